"""Closed bars of a range, page by page: those held here, and before them those of the provider's history."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from ..errors import FeedError, NotSupported, UnsupportedTimeframe, UsageError
from ..indicators import Indicator
from ..model import Timeframe
from ..provider import time_ns
from ..sessions import session_at
from .feed import Feed, Row
from .market import Market
from .wire import iso, record_of

if TYPE_CHECKING:
    from .runtime import Runtime

MOST_ROWS: Final = 5_000
_CURSOR = re.compile(r"(\d{1,19})-(\d{1,9})")
_LENGTH_NS: Final = {"d": 86_400_000_000_000, "w": 7 * 86_400_000_000_000, "mo": 31 * 86_400_000_000_000}
_SECOND_NS: Final = 1_000_000_000
_HISTORY_S: Final = 30.0
_TRIES: Final = 6


@dataclass(frozen=True, slots=True)
class Range:
    """[start_ns, end_ns) by bar start, behind the bar `after` (its start and number) where a page before ended."""

    start_ns: int
    end_ns: int
    limit: int
    after: tuple[int, int] | None = None

    @classmethod
    def parse(cls, market: Market, now_ns: int, start: str | None, end: str | None, limit: int, cursor: str | None) -> Range:
        """From what a request says. Without a start the session of now, without an end everything until now. UsageError for what cannot be read."""
        end_ns = now_ns + _SECOND_NS if end is None else time_ns(end, "end")
        start_ns = session_at(market.contract.calendar, min(now_ns, end_ns)).open_ns if start is None else time_ns(start, "start")
        if start_ns >= end_ns:
            raise UsageError(f"start {iso(start_ns)} is not before end {iso(end_ns)}")
        if cursor is None:
            return cls(start_ns, end_ns, limit)
        match = _CURSOR.fullmatch(cursor)
        if match is None or int(match[1]) >= 2**63:
            raise UsageError("cursor is none that a page before gave as `next`")
        after = int(match[1]), int(match[2])
        return cls(max(start_ns, after[0]), max(end_ns, start_ns), limit, after)


@dataclass(slots=True)
class Page:
    """Rows oldest first (dicts, or rows held here), the cursor of the next page, and what could not be had."""

    rows: list[Row | dict[str, Any]] = field(default_factory=list)
    next: str | None = None
    notes: list[str] = field(default_factory=list)


async def bars(runtime: Runtime, market: Market, feed: Feed, wanted: Range) -> Page:
    """One page of closed bars."""
    page = Page()
    first_ns = feed.first_ns
    own_ns = wanted.end_ns if first_ns is None else min(first_ns, wanted.end_ns)
    has_all = feed.is_whole and market.covered_ns is not None and market.covered_ns <= wanted.start_ns
    is_before = wanted.start_ns < own_ns and not has_all
    stop_ns = own_ns
    if is_before and runtime.provider.capabilities.historical_bars:
        start_ns, span_ns = wanted.start_ns, _span_ns(feed.timeframe, wanted.limit)
        for _ in range(_TRIES):
            stop_ns = min(own_ns, start_ns + span_ns)
            page.rows += await _older(runtime, market, feed, start_ns, stop_ns, page.notes)
            if page.rows or page.notes or stop_ns >= own_ns:
                break
            start_ns, span_ns = stop_ns, span_ns * 4  # a weekend, say: further, before an empty page is handed out
    elif is_before and first_ns is not None:
        page.notes.append(f"bars are kept from {iso(first_ns)} on, and provider '{runtime.provider.name}' has no history of bars")
    is_whole = stop_ns >= own_ns
    if is_whole:
        page.rows += feed.rows(max(wanted.start_ns, own_ns if is_before else wanted.start_ns), wanted.end_ns)
    if wanted.after is not None:
        page.rows = [row for row in page.rows if key_of(row) > wanted.after]
    if len(page.rows) > wanted.limit:
        del page.rows[wanted.limit :]
        is_whole = False
    if not is_whole:
        last = key_of(page.rows[-1]) if page.rows else None
        page.next = f"{stop_ns - 1}-0" if last is None or len(page.rows) < wanted.limit else f"{last[0]}-{last[1]}"
    return page


def frame_of(feed: Feed, most: int) -> pd.DataFrame:
    """The latest closed bars held, as a bars frame, for indicators that are asked for once."""
    updates = [row.update for row in feed.last(most)]
    names = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap", "min_delta", "max_delta")
    columns: dict[str, Any] = {name: pd.Series([getattr(each.bar, name) for each in updates], dtype="float64").to_numpy() for name in names}
    columns["session"] = pd.DatetimeIndex([pd.Timestamp(each.bar.session) for each in updates]).as_unit("ns")
    columns["complete"] = [each.bar.complete for each in updates]
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex([each.bar.start_ns for each in updates], tz="UTC", name="time"))
    contract = feed.live.contract
    frame.attrs |= {"symbol": contract.symbol, "tick_size": contract.tick_size, "calendar": contract.calendar}
    return frame


def key_of(row: Row | dict[str, Any]) -> tuple[int, int]:
    """Start (UTC ns) and number of a row's bar."""
    if isinstance(row, Row):
        return row.update.bar.start_ns, row.update.bar.bar_no
    return row["_ns"], row["bar_no"]


def plain(row: Row | dict[str, Any]) -> dict[str, Any]:
    """A row as its columns."""
    found = record_of(row.update) if isinstance(row, Row) else row
    return {name: value for name, value in found.items() if name != "_ns"}


async def _older(runtime: Runtime, market: Market, feed: Feed, start_ns: int, end_ns: int, notes: list[str]) -> list[Row | dict[str, Any]]:
    """From the provider. CVD needs the bars since its session's open, so they are asked for too."""
    opened_ns = session_at(market.contract.calendar, start_ns).open_ns
    try:
        async with runtime.history_lock, asyncio.timeout(_HISTORY_S):
            frame = await runtime.provider.historical_bars(market.contract, str(feed.timeframe), _stamp(opened_ns), _stamp(end_ns))
    except (NotSupported, UnsupportedTimeframe, FeedError, TimeoutError) as error:
        notes.append(f"bars from {iso(start_ns)} to {iso(end_ns)} could not be had: {error or 'no answer in time'}")
        return []
    if frame.empty:
        return []
    rows = await asyncio.to_thread(_records, frame, runtime.indicators(market.resets), feed.timeframe)
    return [row for row in rows if start_ns <= row["_ns"] < end_ns]


def _records(frame: pd.DataFrame, indicators: dict[str, Indicator], timeframe: Timeframe) -> list[dict[str, Any]]:
    starts: list[int] = pd.DatetimeIndex(frame.index).as_unit("ns").asi8.tolist()
    columns: dict[str, list[Any]] = {}
    for name in ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap", "complete", "revision"):
        columns[name] = _cells(frame[name].tolist())
    columns["trades"] = [None if n is None else int(n) for n in columns["trades"]]
    columns["bar_no"] = frame["bar_no"].tolist() if "bar_no" in frame else [0] * len(frame)
    columns["session"] = [day.date().isoformat() for day in pd.DatetimeIndex(frame["session"])]
    columns["delta_source"] = frame["delta_source"].astype(str).tolist()
    split = zip(columns["volume"], columns["buy_volume"], columns["sell_volume"], strict=True)
    columns["unknown_volume"] = [None if buy is None or sell is None else volume - buy - sell for volume, buy, sell in split]
    for indicator in indicators.values():
        values = indicator.run(frame)
        columns |= {str(name): _cells(values[name].tolist()) for name in values}
    named = list(columns)
    length_ns = timeframe.ns if timeframe.is_intraday else None
    return [
        {"time": iso(start_ns), "end": None if length_ns is None else iso(start_ns + length_ns), "_ns": start_ns, **dict(zip(named, cells, strict=True))}
        for start_ns, *cells in zip(starts, *columns.values(), strict=True)
    ]


def _cells(values: list[Any]) -> list[Any]:
    return [None if value != value else value for value in values]


def _span_ns(timeframe: Timeframe, bars: int) -> int:
    """How far so many bars reach at least; bars of trades have no length, so a session at a time."""
    return bars * (timeframe.ns if timeframe.is_intraday else _LENGTH_NS[timeframe.unit] * timeframe.n) if timeframe.is_time else _LENGTH_NS["d"]


def _stamp(at_ns: int) -> pd.Timestamp:
    return pd.Timestamp(at_ns, unit="ns", tz="UTC")
