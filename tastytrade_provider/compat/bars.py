"""IB's bars: sizes, durations, where a bar begins, what its date says, and small bars put together into larger ones. Pure."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from ib_async import BarData

from ..errors import UsageError
from ..model import Bar, Timeframe
from ..sessions import DAY_NS, FIRST_YEAR, SessionTable, sessions_between
from .hours import SECOND_NS, moment, time_text, window

if TYPE_CHECKING:
    import pandas as pd

_HOUR_NS: Final = 3600 * SECOND_NS
_MINUTE_NS: Final = 60 * SECOND_NS
SIZES: Final[dict[str, Timeframe]] = {
    name: Timeframe.parse(text)
    for name, text in (
        *((f"{n} secs", f"{n}s") for n in (1, 5, 10, 15, 30)),
        ("1 min", "1m"),
        *((f"{n} mins", f"{n}m") for n in (2, 3, 5, 10, 15, 20, 30)),
        ("1 hour", "1h"),
        *((f"{n} hours", f"{n}h") for n in (2, 3, 4, 8)),
        *((name, "1d") for name in ("1 day", "1D")),
        *((name, "1w") for name in ("1 week", "1W")),
        *((name, "1mo") for name in ("1 month", "1M")),
    )
}
"""IB's bar sizes -> timeframes."""
_DURATION: Final = re.compile(r"([1-9]\d{0,5}) *([SDWMY])")
_PARTS: Final = tuple(Timeframe.parse(text) for text in ("30m", "15m", "10m", "5m", "1m"))


class Row(NamedTuple):
    """One bar. Volume in contracts; `average` is volume-weighted; average and trades are NaN where they are not known."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    trades: float


def size_named(name: str) -> Timeframe:
    """A bar size by IB's name. UsageError."""
    if name not in SIZES:
        raise UsageError(f"bar size {name!r} is none of {', '.join(SIZES)}")
    return SIZES[name]


class Grid:
    """Where IB's bars of a size lie: up to one hour on multiples of their length, above it from the session's open; none begins before the hours shown."""

    def __init__(self, size: Timeframe, calendar: str, use_rth: bool) -> None:
        self.size, self.calendar, self.use_rth = size, calendar, use_rth
        self._table: SessionTable | None = None
        self._covers = (0, 0)

    def start(self, time_ns: int) -> int | None:
        """The bar a time belongs to: its start in UTC ns, of d, w, mo the UTC midnight of the first label. None outside the hours shown."""
        table, i = self._session(time_ns)
        opened, closed = window(table, i, self.calendar, self.use_rth)
        if self.use_rth and not opened <= time_ns < closed:
            return None
        if not self.size.is_intraday:
            return (_first_day(table.label_date(i), self.size.unit) - dt.date(1970, 1, 1)).days * DAY_NS
        origin = 0 if self.size.ns <= _HOUR_NS else int(table.open_ns[i])
        return max(time_ns - (time_ns - origin) % self.size.ns, opened)

    def opened(self, time_ns: int) -> int:
        """The first time that belongs to the bar of a time, UTC ns."""
        start = self.start(time_ns)
        if start is None or self.size.is_intraday:
            return time_ns if start is None else start
        table = sessions_between(self.calendar, start - 4 * DAY_NS, time_ns)
        firsts = (window(table, i, self.calendar, self.use_rth)[0] for i in range(len(table)))
        return next((first for first in firsts if 0 <= first <= time_ns and self.start(first) == start), time_ns)

    def date(self, start_ns: int, date_format: int, zone: str) -> str:
        """A bar's date: 1 is text in a zone, 2 epoch seconds. Days are YYYYMMDD either way, weeks and months their last weekday."""
        if self.size.is_intraday:
            return str(start_ns // SECOND_NS) if date_format == 2 else time_text(start_ns, zone)
        return f"{_last_day(moment(start_ns).date(), self.size.unit):%Y%m%d}"

    def parts(self, time_ns: int) -> Timeframe:
        """The bars to ask a feed for, of whole sessions: of this size, or the largest of which bars of the hours shown can be made exactly."""
        if not self.use_rth:
            return self.size
        table, _ = self._session(time_ns)
        shown = [window(table, i, self.calendar, True) for i in range(len(table))]
        bounds = [bound - int(table.open_ns[i]) for i, pair in enumerate(shown) for bound in pair if bound >= 0]
        own = [self.size] if self.size.is_intraday and self.size.ns <= _HOUR_NS else []
        fits = [part for part in (*own, *_PARTS) if not self.size.is_intraday or self.size.ns % part.ns == 0]
        return next(part for part in fits if not any(bound % part.ns for bound in bounds))

    def _session(self, time_ns: int) -> tuple[SessionTable, int]:
        if self._table is None or not self._covers[0] <= time_ns < self._covers[1]:
            self._table = sessions_between(self.calendar, time_ns, time_ns)
            i = self._table.index_at(time_ns)
            self._covers = int(self._table.open_ns[i]), int(self._table.open_ns[i + 1]) if i + 1 < len(self._table) else self._table.until_ns
        return self._table, self._table.index_at(time_ns)


def _first_day(label: dt.date, unit: str) -> dt.date:
    return {"d": label, "w": label - dt.timedelta(days=label.weekday()), "mo": label.replace(day=1)}[unit]


def _last_day(first: dt.date, unit: str) -> dt.date:
    if unit != "mo":
        return first + dt.timedelta(days=4) if unit == "w" else first
    last = (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
    return last - dt.timedelta(days=max(last.weekday() - 4, 0))


def start_of(duration: str, end_ns: int, calendar: str, use_rth: bool) -> int:
    """Where a duration that ends at `end_ns` begins, UTC ns: S as they are, "n D" with the n-th last session, W M Y with the first session they reach.

    UsageError. (Monday 14:30 UTC; its session opened on Sunday at 23:00.)

    >>> [(1_772_461_800_000_000_000 - start_of(text, 1_772_461_800_000_000_000, "CME Globex Equity", False)) // 10**9 for text in ("60 S", "1 D")]
    [60, 55800]
    """
    match = _DURATION.fullmatch(duration.strip())
    if match is None:
        raise UsageError(f"duration {duration!r} is not a number of S, D, W, M or Y such as '1 D'")
    n, unit = int(match[1]), match[2]
    if unit == "S":
        return end_ns - n * SECOND_NS
    end = moment(end_ns).date()
    first = max(_back(end, 2 * n + 10 if unit == "D" else n, unit), dt.date(FIRST_YEAR, 1, 15))
    start_ns = (first - dt.date(1970, 1, 1)).days * DAY_NS
    table = sessions_between(calendar, start_ns, max(end_ns, start_ns))
    opened = [window(table, i, calendar, use_rth)[0] for i in range(len(table))]
    opened = [open_ns for open_ns in opened if 0 <= open_ns < end_ns]
    chosen = opened[-n:] if unit == "D" else [open_ns for open_ns in opened if open_ns >= start_ns]
    return chosen[0] if chosen else end_ns


def _back(day: dt.date, n: int, unit: str) -> dt.date:
    if unit in "DW":
        return day - dt.timedelta(days=min(n * (7 if unit == "W" else 1), 40_000))
    months = day.year * 12 + day.month - 1 - n * (12 if unit == "Y" else 1)
    if months < 12 * FIRST_YEAR:
        return dt.date(FIRST_YEAR, 1, 1)
    first = dt.date(months // 12, months % 12 + 1, 1)
    longest = ((first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)).day
    return first.replace(day=min(day.day, longest))


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """A bars frame as rows; bars without a price are left out."""
    starts = frame.index.as_unit("ns").asi8.tolist()  # type: ignore[attr-defined]
    columns = [frame[name].to_numpy(np.float64).tolist() for name in ("open", "high", "low", "close", "volume", "vwap", "trades")]
    return [Row(*values) for values in zip(starts, *columns, strict=True) if values[1] == values[1]]


def row_of(bar: Bar) -> Row | None:
    """A bar as a row; None where it holds no trade."""
    if bar.open is None or bar.high is None or bar.low is None or bar.close is None:
        return None
    average, count = (math.nan if value is None else float(value) for value in (bar.vwap, bar.trades))
    return Row(bar.start_ns, bar.open, bar.high, bar.low, bar.close, bar.volume, average, count)


def joined(start_ns: int, rows: Iterable[Row]) -> Row:
    """One bar out of several, in order.

    >>> joined(7, [Row(7, 5.0, 6.0, 4.0, 5.5, 2.0, 5.0, 1), Row(8, 5.5, 7.0, 5.0, 6.0, 6.0, 6.0, 3)])
    Row(start_ns=7, open=5.0, high=7.0, low=4.0, close=6.0, volume=8.0, average=5.75, trades=4)
    """
    parts = list(rows)
    if len(parts) == 1:
        return parts[0]._replace(start_ns=start_ns)
    volume = sum(row.volume for row in parts)
    turnover = sum(row.volume * row.average for row in parts if row.volume)
    return Row(
        start_ns,
        parts[0].open,
        max(row.high for row in parts),
        min(row.low for row in parts),
        parts[-1].close,
        volume,
        turnover / volume if volume else math.nan,
        sum(row.trades for row in parts),
    )


def gathered(rows: Iterable[Row], grid: Grid) -> list[Row]:
    """Bars on IB's grid out of small ones, ascending; those outside the hours shown are left out."""
    by_start: dict[int, list[Row]] = {}
    for row in rows:
        start = grid.start(row.start_ns)
        if start is not None:
            by_start.setdefault(start, []).append(row)
    return [joined(start, by_start[start]) for start in sorted(by_start)]


def bar_data(row: Row, date: str) -> BarData:
    """As ib_async's decoder makes it, the date still text. -1: not known."""
    average, count = (-1 if value != value else value for value in (row.average, row.trades))
    text: Any = date
    return BarData(text, row.open, row.high, row.low, row.close, row.volume, average, int(count))
