"""Snapshots of time series: newest first, flagged as dxFeed flags them (IndexedEvent javadoc)."""

from __future__ import annotations

from tastytrade_provider.dxlink.rows import EventFlags, index_of
from tastytrade_provider.emulator.book import Book
from tastytrade_provider.emulator.candles import CandleSymbol
from tastytrade_provider.emulator.columns import FLAGS_AT, FUTURE_INDEX, Row, candle, no_time_and_sale, time_and_sale

_LAST_MS = (2**31 - 1) * 1000  # what fits an index
_EMPTY = EventFlags.SNAPSHOT_BEGIN | EventFlags.SNAPSHOT_END | EventFlags.REMOVE  # 14
_MARKER = EventFlags.SNAPSHOT_END | EventFlags.REMOVE  # 10


def time_and_sale_snapshot(symbol: str, book: Book | None, from_ms: int, cap: int) -> list[Row]:
    """The prints since `from_ms` (Unix milliseconds); an unknown symbol has an empty one."""
    from_index = _index_from(from_ms)
    prints = [] if book is None else book.prints_from(from_ms, cap + 1)
    rows = [time_and_sale(event) for event in prints]
    marker = no_time_and_sale(symbol, from_index, int(_MARKER))
    return _flagged(rows, cap, is_exact=bool(prints) and prints[-1].time_ns // 1_000_000 == from_ms, marker=marker)


def candle_snapshot(symbol: CandleSymbol, book: Book | None, from_ms: int, cap: int, future_marker: bool) -> list[Row]:
    """The bars since `from_ms`; what is unknown or not served has an empty one."""
    from_index = _index_from(from_ms)
    rows: list[Row] = []
    newest_first: list[int] = []
    if book is not None and symbol.is_served:
        series = book.candles(symbol)
        newest_first = [index for index in reversed(series.indexes()) if index >= from_index][: cap + 1]
        rows = [series.row(index) for index in newest_first]
    marker = candle(symbol.text, from_index, int(_MARKER), None)
    is_exact = bool(newest_first) and newest_first[-1] == from_index
    first = candle(symbol.text, FUTURE_INDEX, 0, None) if future_marker and rows else None
    return _flagged(rows, cap, is_exact, marker, first)


def empty_candle_snapshot(symbol: CandleSymbol, from_ms: int) -> list[Row]:
    """One row that begins, ends and removes."""
    return [candle(symbol.text, _index_from(from_ms), int(_EMPTY), None)]


def _flagged(rows: list[Row], cap: int, is_exact: bool, marker: Row, first: Row | None = None) -> list[Row]:
    if not rows:
        return [_with(marker, _EMPTY)]
    if len(rows) > cap:
        rows = rows[:cap]
        rows[-1] = _with(rows[-1], EventFlags.SNAPSHOT_SNIP)
    elif is_exact:
        rows[-1] = _with(rows[-1], EventFlags.SNAPSHOT_END)
    else:
        rows.append(marker)
    if first is not None:
        rows.insert(0, first)
    rows[0] = _with(rows[0], EventFlags.SNAPSHOT_BEGIN)
    return rows


def _with(row: Row, flags: EventFlags) -> Row:
    before = row[FLAGS_AT]
    assert isinstance(before, int)
    return (*row[:FLAGS_AT], int(flags) | before, *row[FLAGS_AT + 1 :])


def _index_from(from_ms: int) -> int:
    return index_of(min(max(from_ms, 0), _LAST_MS))
