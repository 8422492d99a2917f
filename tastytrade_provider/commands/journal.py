"""`journal info`, `journal verify`, `journal compact`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson

from ..errors import UsageError
from ..journal import Report, segments
from ..journal import verify as verify_journal


def info(path: Path, as_json: bool) -> int:
    """What is in a journal. 1 where damage was found."""
    reports = _reports(path)
    if as_json:
        click.echo(orjson.dumps(_summary(reports), option=orjson.OPT_INDENT_2).decode())
    else:
        for report in reports:
            span = f"{_text(report.first_ns)} to {_text(report.last_ns)}" if report.first_ns else "empty"
            names = ", ".join(contract.symbol for contract in report.context.contracts.values()) or "no contract"
            messages, gaps = report.records["data"] + report.records["ticker"], report.records["gap"]
            click.echo(f"{report.segment.name}: {messages:,} messages, {gaps:,} gaps, {report.size:,} bytes, {span}, {names}")
        _tell_damage(reports)
    return int(any(report.damages for report in reports))


def verify(path: Path, as_json: bool) -> int:
    """Read every byte. 1 where damage was found."""
    reports = _reports(path)
    if as_json:
        click.echo(orjson.dumps(_summary(reports), option=orjson.OPT_INDENT_2).decode())
    else:
        _tell_damage(reports)
        total, size = sum(sum(report.records.values()) for report in reports), sum(report.size for report in reports)
        verdict = "damaged" if any(report.damages for report in reports) else "good"
        click.echo(f"{path}: {verdict}; {len(reports):,} segments, {total:,} records, {size:,} bytes read")
    return int(any(report.damages for report in reports))


def compact(path: Path, to: Path | None, as_json: bool) -> int:
    """Session files of the closed segments. 1 where damage was found."""
    from ..replay import compact as compact_journal

    reports = _reports(path)
    damages = [damage for report in reports for damage in report.damages if not (damage.is_tail and report is reports[-1])]
    if damages:
        _tell_damage(reports)
        return 1
    made = compact_journal(path, to)
    if as_json:
        rows = [{"path": str(one.path), "contract": one.contract.symbol, "session": one.session, "outcome": one.outcome, "rows": one.rows} for one in made]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
    else:
        for one in made:
            click.echo(f"{one.contract.symbol} {one.session}: {one.outcome}, {one.rows:,} trades, {one.path}")
    return 0


def _reports(path: Path) -> list[Report]:
    if not segments(path):
        raise UsageError(f"journal {path}: no segment in this folder")
    return verify_journal(path)


def _summary(reports: list[Report]) -> dict[str, Any]:
    every = [_record(report) for report in reports]
    return {"segments": every, "records": sum(sum(report.records.values()) for report in reports), "damaged": any(report.damages for report in reports)}


def _record(report: Report) -> dict[str, Any]:
    return {
        "segment": report.segment.name,
        "bytes": report.size,
        "records": report.records,
        "first": _text(report.first_ns),
        "last": _text(report.last_ns),
        "contracts": [contract.symbol for contract in report.context.contracts.values()],
        "damages": [{"offset": damage.place, "bytes": damage.end - damage.place, "is_tail": damage.is_tail} for damage in report.damages],
    }


def _tell_damage(reports: list[Report]) -> None:
    for report in reports:
        for damage in report.damages:
            click.echo(f"damaged: {damage}", err=True)


def _text(at_ns: int | None) -> str | None:
    return None if at_ns is None else f"{np.datetime64(at_ns, 'ns').astype('M8[ms]')}Z"
