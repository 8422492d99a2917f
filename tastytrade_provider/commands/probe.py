"""`probe`: which events a TastyTrade login receives, and what to make of them."""

from __future__ import annotations

import asyncio
import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click
import orjson

from ..config import load
from ..tastytrade.ladder import Seen
from ..tastytrade.mapping import TIME_AND_SALE
from ..tastytrade.probe import Report, probe
from ..tastytrade.provider import TastyTradeProvider
from ..warm import warm_up

_WIDTH = 80
_SHOWN_REJECTS = 3  # --json has all that were kept
_COLUMNS = ("event", "rows", "per second", "latency p50", "p95", "unreadable")
_UNITS = (("d", 86_400_000.0), ("h", 3_600_000.0), ("min", 60_000.0), ("s", 1000.0))
_AHEAD_MS = 1000.0  # rows cannot come before they happen: beyond this a clock is wrong, or the feed plays a tape
_COARSE_MS = 5000.0  # below this a second matters


def run(*, symbol: str, seconds: float, as_json: bool, config_path: str | None) -> int:
    """Run it; see `probe --help`. Returns the exit code of the ladder's verdict."""
    settings = load(config_path).tastytrade
    provider = TastyTradeProvider(settings)  # no journal: whoever records meanwhile is not disturbed
    warm_up()
    if not as_json:
        click.echo(f"note: watching {symbol} for {seconds:g} s", err=True)
    report = asyncio.run(probe(provider, symbol, seconds, invalid_ticks=settings.invalid_ticks))
    click.echo(orjson.dumps(facts(report), option=orjson.OPT_INDENT_2).decode() if as_json else "\n".join(lines(report)))
    return report.decision.exit_code


def facts(report: Report) -> dict[str, Any]:
    """The report for a program. Shares are of the rows of TimeAndSale, 0 to 1; None where there are none."""
    seen, decision = report.observation, report.decision
    return {
        "symbol": seen.contract.symbol,
        "streamer_symbol": seen.contract.streamer_symbol,
        "seconds": round(seen.seconds, 3),
        "market_open": seen.is_open,
        "token_level": seen.token_level,
        "events": {name: _event(name, what, seen.seconds) for name, what in seen.events.items()},
        "candle_sign": {**dataclasses.asdict(report.sign), "verdict": seen.candle_sign},
        "time_and_sale_history": seen.history,
        "delta_source": decision.delta_source,
        "reason": decision.reason,
        "text": decision.text,
        "exit_code": decision.exit_code,
        "notes": list(report.notes),
        "rejects": list(report.rejects),
    }


def _event(name: str, what: Seen, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "arrives": what.rows > 0,
        "rows": what.rows,
        "rows_per_s": None if name == "Candle" else round(what.rows / seconds, 3),
        "latency_p50_ms": what.latency_p50_ms,
        "latency_p95_ms": what.latency_p95_ms,
        "rejected": what.rejected,
        "refused": what.refused,
    }
    if name == TIME_AND_SALE:
        share = {"with_side": what.with_side, "valid_tick": what.valid_tick, "spread_leg": what.spread_legs}
        found |= {f"{key}_share": n / what.rows if what.rows else None for key, n in share.items()} | {"spread_legs": what.spread_legs}
    return found


def lines(report: Report) -> Iterator[str]:
    """The report for a reader, at most 80 columns wide."""
    seen, decision = report.observation, report.decision
    level = "demo (DELAYED DATA)" if seen.token_level == "demo" else seen.token_level or "unknown"
    market = "open" if seen.is_open else "closed"
    yield from _wrapped(f"{seen.contract.symbol} watched for {seen.seconds:.0f} s, market {market}, token level {level}")
    yield ""
    yield from _table([_COLUMNS, *(_cells(name, what, seen.seconds) for name, what in seen.events.items())])
    yield ""
    for text in _remarks(report):
        yield from _wrapped(text)
    yield ""
    verdict, *steps = decision.text.splitlines()
    yield from _wrapped(f"Delta source {verdict}" if decision.delta_source else verdict)
    for step in steps:
        yield from _wrapped(step if step.startswith(" ") else f"- {step}")
    for title, texts in (("The provider noted:", report.notes), ("Rows that could not be read:", report.rejects[-_SHOWN_REJECTS:])):
        if texts:
            yield from ("", title)
        for text in texts:
            yield from _wrapped(f"- {text}")


def _cells(name: str, what: Seen, seconds: float) -> tuple[str, ...]:
    if name == "Candle":  # asked for, not streamed
        return "Candle 1m", f"{what.rows:,}" if what.rows else "none", "-", "-", "-", f"{what.rejected:,}"
    rate = f"{what.rows / seconds:,.1f}" if what.rows else "-"
    return name, f"{what.rows:,}" if what.rows else "none", rate, _took(what.latency_p50_ms), _took(what.latency_p95_ms), f"{what.rejected:,}"


def _remarks(report: Report) -> Iterator[str]:
    seen, sign = report.observation, report.sign
    trades = seen.seen(TIME_AND_SALE)
    if trades.rows:
        legs = f"{trades.spread_legs:,} of spreads" if trades.spread_legs else "none of a spread"
        yield f"TimeAndSale: {trades.with_side / trades.rows:.1%} with a side, {trades.valid_tick / trades.rows:.1%} validTick=true, {legs}."
    yield f"Past trades (TimeAndSale on a HISTORY channel): {'served' if seen.history else 'not served'}."
    compared = sign.agreeing + sign.contradicting + sign.undecided + sign.unexplained
    if seen.candle_sign == "untested":
        minutes = f"the {compared} whole minutes watched fit neither reading, or both" if compared else "no whole minute of candles and trades was there"
        longer = " Watch longer: --seconds 200." if seen.is_open else ""
        yield f"Sign of Candle's bid and ask volume: not known; {minutes}.{longer}"
    else:
        yield f"Sign of Candle's bid and ask volume: {seen.candle_sign} with the trades of {sign.agreeing + sign.contradicting} minutes."
    quote_ms = seen.seen("Quote").latency_p50_ms
    if quote_ms is not None and 0 <= quote_ms < _COARSE_MS:
        yield "Quotes are stamped in whole seconds, so their latency looks up to 1 s longer than it is."
    ahead_ms = -min((what.latency_p50_ms for what in seen.events.values() if what.latency_p50_ms is not None), default=0.0)
    if ahead_ms > _AHEAD_MS:
        yield f"Rows are stamped {_took(ahead_ms)} ahead of this machine's clock: the clock is slow, or the feed plays a tape."
    elif trades.rows and not seen.is_open:
        yield "Trades came although the market is closed at this hour: this machine's clock is wrong, or the feed plays a tape."


def _took(late_ms: float | None) -> str:
    """A latency in the unit that suits it.

    >>> [_took(ms) for ms in (None, 3.2, 1500.0, 900_000.0, -90_000_000.0)]
    ['-', '3 ms', '1.5 s', '15.0 min', '-1.0 d']
    """
    if late_ms is None:
        return "-"
    unit, ms = next(((unit, ms) for unit, ms in _UNITS if abs(late_ms) >= ms), ("ms", 1.0))
    return f"{late_ms / ms:.{0 if unit == 'ms' else 1}f} {unit}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need to be, the first to the left, numbers to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])


def _wrapped(text: str) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip())) + "  " * text.startswith("- ")
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]
