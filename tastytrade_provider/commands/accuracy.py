"""`accuracy`: the rules that infer sides, measured on a tape that has the exchange's flags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import pandas as pd

from ..accuracy import Prints, score_bars, score_rules
from ..emulator.tape import Tape, load_tape
from ..model import Action

LATE = (1, 2, 5)
"""Trades by which quotes are made late, to show what that costs."""


def run(*, tape: Path, symbol: str | None, tick_size: float | None, size_step: float | None, calendar: str | None, as_json: bool) -> None:
    """Run it; see `accuracy --help`."""
    found = report(load_tape(tape, symbol, tick_size, size_step, calendar), tape)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(_text(found))


def report(tape: Tape, path: Path) -> dict[str, Any]:
    """Everything that is measured, ready for JSON. UsageError where no trade has a flag."""
    prints = by_exchange_time(tape)
    told = prints.flag != 0
    flags, lots = prints.flag[told], prints.size[told]
    rules = [{"quotes": quotes, **asdict(score)} for quotes, each in _orders(tape, path, prints) for score in score_rules(each)]
    return {
        "tape": str(path),
        "symbol": prints.contract.symbol,
        "trades": len(prints.flag),
        "flagged": int(told.sum()),
        "volume": prints.contract.size(prints.contract.lots(float(prints.size.sum()))),
        "delta": prints.contract.size(prints.contract.lots(float((lots * flags).sum()))),
        "rules": rules,
        "bars": [asdict(score) for score in score_bars(prints)],
    }


def by_exchange_time(tape: Tape) -> Prints:
    """The tape's new trades in exchange time, each with the quote embedded in it, or else the last one from before its time."""
    rows = tape.rows
    kept = rows.is_trade & (rows.action == Action.NEW)
    columns = (rows.time_ns, rows.price, rows.size, rows.side.astype(np.int8), rows.bid, rows.ask)
    return Prints(tape.contract, *(column[kept] for column in columns))


def by_arrival(tape: Tape, path: Path) -> Prints:
    """The same trades in the order of the file, each with the quote last seen before it there: what a program that waits for nothing would see."""
    frame = pd.read_parquet(path) if path.name.lower().endswith(".parquet") else pd.read_csv(path)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    is_trade = frame["kind"].fillna("T").astype(str).str.strip().str.upper() == "T"
    quotes = frame[["bid", "ask"]].astype(float).mask(is_trade).ffill()[is_trade]
    trades = frame[is_trade]
    # the tape's rows are sorted by time, equal times in the file's order: sorted the same way, the file's rows are known by their place
    name = next(column for column in ("time_ns", "ts_event_ns", "exch_ms") if column in frame)
    place = np.argsort(np.argsort(trades[name].to_numpy(), kind="stable"), kind="stable")
    rows = tape.rows
    at = np.flatnonzero(rows.is_trade)[place]
    kept = rows.action[at] == Action.NEW
    columns = (rows.time_ns[at], rows.price[at], rows.size[at], rows.side[at].astype(np.int8), quotes["bid"].to_numpy(), quotes["ask"].to_numpy())
    return Prints(tape.contract, *(column[kept] for column in columns))


def _orders(tape: Tape, path: Path, prints: Prints) -> Iterator[tuple[str, Prints]]:
    yield "by exchange time" if tape.rows.has_quote_rows else "as recorded", prints
    if tape.rows.has_quote_rows:
        yield "by arrival", by_arrival(tape, path)
    for trades in LATE:
        yield f"{trades} trade{'s' if trades > 1 else ''} late", prints.late(trades)


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['symbol']}: {found['flagged']:,} of {found['trades']:,} trades have the exchange's flag; "
        f"volume {found['volume']:,.10g}, delta {found['delta']:+,.10g}",
        "",
        f"{'quotes':<18}{'rule':<12}{'% of trades':>12}{'% of volume':>12}{'% answered':>12}",
    ]
    before = None
    for row in found["rules"]:
        quotes = "" if row["quotes"] == before else row["quotes"]
        before = row["quotes"]
        lines.append(f"{quotes:<18}{row['rule']:<12}{row['trades_pct']:>12.2f}{row['volume_pct']:>12.2f}{row['answered_pct']:>12.2f}")
    lines += ["", f"{'bars':<8}{'estimate':<14}{'bulk %':>8}{'correlation':>13}{'same sign %':>13}{'CVD at the end':>16}{'error':>12}"]
    for row in found["bars"]:
        correlation, sign = ("-" if value is None else f"{value:.{places}f}" for value, places in ((row["correlation"], 2), (row["sign_agreement_pct"], 1)))
        head = f"{row['bar_s']} s"
        lines.append(f"{head:<8}{row['estimator']:<14}{row['bulk_pct']:>8.1f}{correlation:>13}{sign:>13}{row['cvd_end']:>+16,.1f}{row['cvd_error']:>+12,.1f}")
    lines += ["", "bulk % flatters: compare it with the blind half of the same bars, and judge by the other columns"]
    return "\n".join(lines)
