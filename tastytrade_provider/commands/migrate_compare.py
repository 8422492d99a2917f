"""`migrate compare`: stored bars of two sources held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..config import load
from ..migration import Result, compare_files, to_json, to_lines, write_report


def run(*, a: Path, b: Path, tick_size: float | None, timezone: str | None, out: Path | None, as_json: bool, config_path: str | None) -> int:
    """Run it; see `migrate compare --help`. Returns 1 where a check failed, else 0."""
    result = compare_files(a, b, tick_size=tick_size, zone=timezone, limits=load(config_path).ab.thresholds)
    return tell([result], out, "Comparison of stored bars", as_json=as_json)


def tell(results: Sequence[Result], out: Path | None, title: str, *, as_json: bool) -> int:
    """Print the results, write the report where it is wanted, and return the exit code they call for."""
    click.echo(to_json(results).decode() if as_json else "\n".join(to_lines(results)))
    if out is not None:
        _, page = write_report(out, results, title)
        click.echo(f"note: the report is {page}", err=True)
    return int(any(result.verdict == "FAIL" for result in results))
