"""Bars as IB makes them: sizes, durations, where a bar begins, what its date says."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from tastytrade_provider.emulator.tws.hours import Hours, hours_at, hours_between, moment, time_text
from tastytrade_provider.emulator.tws.refusal import Refused
from tastytrade_provider.sessions import DAY_NS, FIRST_YEAR

SECOND_NS: Final = 1_000_000_000
_HOUR_NS: Final = 3600 * SECOND_NS


class Size(NamedTuple):
    """A bar size. `ns`: its length, 0 for days, weeks and months; `unit`: s, d, w or mo."""

    ns: int
    unit: str = "s"


SIZES: Final[dict[str, Size]] = {
    **{f"{n} secs": Size(n * SECOND_NS) for n in (1, 5, 10, 15, 30)},
    "1 min": Size(60 * SECOND_NS),
    **{f"{n} mins": Size(n * 60 * SECOND_NS) for n in (2, 3, 5, 10, 15, 20, 30)},
    "1 hour": Size(_HOUR_NS),
    **{f"{n} hours": Size(n * _HOUR_NS) for n in (2, 3, 4, 8)},
    "1 day": Size(0, "d"),
    "1 week": Size(0, "w"),
    "1W": Size(0, "w"),
    "1 month": Size(0, "mo"),
    "1M": Size(0, "mo"),
}
_LEGAL: Final = ", ".join(name for name in SIZES if name not in ("1 week", "1 month"))
_DURATION: Final = re.compile(r"([1-9]\d{0,5}) ?([SDWMY])")
_LONGEST_S: Final = 86_400


def size_named(name: str) -> Size:
    """A bar size by its name. Raises Refused 321."""
    if name not in SIZES:
        raise Refused(321, f"Historical data bar size setting is invalid. Legal ones are: {_LEGAL}")
    return SIZES[name]


class Grid:
    """Where the bars of a size lie.

    Up to one hour they begin on multiples of their length, above it they count from the session's open; none begins before the hours asked for.
    """

    def __init__(self, size: Size, calendar: str, use_rth: bool) -> None:
        self.size, self._calendar, self._use_rth = size, calendar, use_rth
        self._hours: Hours | None = None

    def start(self, time_ns: int) -> int | None:
        """The bar a time belongs to, as its start; None outside the hours. Days, weeks and months: UTC midnight of their first label."""
        hours = self._hours
        if hours is None or not hours.open_ns <= time_ns < hours.close_ns:
            hours = self._hours = hours_at(self._calendar, time_ns)
        opened, closed = hours.window(self._use_rth)
        if self._use_rth and not opened <= time_ns < closed:
            return None
        if self.size.unit != "s":
            return _first_day(hours.label, self.size.unit) * DAY_NS
        origin = time_ns - time_ns % DAY_NS if self.size.ns <= _HOUR_NS else hours.open_ns
        return max(time_ns - (time_ns - origin) % self.size.ns, opened)

    def date(self, start_ns: int, date_format: int, zone: str) -> str:
        """A bar's date: formatDate 1 is text in the zone of the TWS, 2 is epoch seconds. Days are YYYYMMDD either way, weeks and months their last weekday."""
        if self.size.unit == "s":
            return str(start_ns // SECOND_NS) if date_format == 2 else time_text(start_ns, zone)
        return f"{_last_day(moment(start_ns).date(), self.size.unit):%Y%m%d}"


def _first_day(label: dt.date, unit: str) -> int:
    first = {"d": label, "w": label - dt.timedelta(days=label.weekday()), "mo": label.replace(day=1)}[unit]
    return (first - dt.date(1970, 1, 1)).days


def _last_day(first: dt.date, unit: str) -> dt.date:
    if unit != "mo":
        return first + dt.timedelta(days=4) if unit == "w" else first
    last = (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
    return last - dt.timedelta(days=max(last.weekday() - 4, 0))


def start_of(duration: str, end_ns: int, calendar: str, use_rth: bool) -> int:
    """Where a duration that ends at `end_ns` begins: seconds as they are, "n D" with the n-th last session, W M Y with the first session they reach.

    Raises Refused 321.
    """
    match = _DURATION.fullmatch(duration.strip())
    if match is None or (match[2] == "S" and int(match[1]) > _LONGEST_S):
        raise Refused(321, f"Historical data query duration {duration!r} is invalid. Expected a number of S (up to {_LONGEST_S}), D, W, M or Y")
    n, unit = int(match[1]), match[2]
    if unit == "S":
        return end_ns - n * SECOND_NS
    end = moment(end_ns, ZoneInfo("UTC")).date()
    back = {"D": dt.timedelta(days=2 * n + 10), "W": dt.timedelta(weeks=n), "M": dt.timedelta(days=round(n * 30.4375)), "Y": dt.timedelta(days=365 * n)}[unit]
    first = max(end - min(back, end - dt.date(FIRST_YEAR, 1, 15)), dt.date(FIRST_YEAR, 1, 15))
    start_ns = (first - dt.date(1970, 1, 1)).days * DAY_NS
    opened = [hours.window(use_rth)[0] for hours in hours_between(calendar, start_ns, end_ns - 1)]
    opened = [open_ns for open_ns in opened if 0 <= open_ns < end_ns]
    chosen = opened[-n:] if unit == "D" else [open_ns for open_ns in opened if open_ns >= start_ns]
    return chosen[0] if chosen else end_ns


@dataclass(slots=True)
class Bar:
    """One bar. Volume in contracts; `turnover` is price times volume; volume and count -1 where nothing is counted (quotes)."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0
    turnover: float = 0.0
    count: int = 0

    @property
    def average(self) -> float:
        """Volume-weighted; -1 where there is no volume."""
        return self.turnover / self.volume if self.volume > 0 else -1.0


class Maker:
    """Adds up bars: of prints by `trade`, of a quoted price by `value`. Both tell the bar that ended, if one did; `bar` is the one that is forming."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.bar: Bar | None = None
        self._standing = math.nan

    def trade(self, time_ns: int, price: float, size: float) -> Bar | None:
        """Add a print."""
        start_ns = self.grid.start(time_ns)
        if start_ns is None:
            return None
        ended = None
        if self.bar is None or self.bar.start_ns != start_ns:
            ended, self.bar = self.bar, Bar(start_ns, price, price, price, price)
        _reach(self.bar, price)
        self.bar.volume += size
        self.bar.turnover += price * size
        self.bar.count += 1
        return ended

    def value(self, time_ns: int, price: float) -> Bar | None:
        """Add a price that stands from now on; a bar opens with the one that stood. NaN is passed over."""
        start_ns = self.grid.start(time_ns)
        standing, self._standing = self._standing, price if price == price else self._standing
        if start_ns is None or price != price:
            return None
        ended = None
        if self.bar is None or self.bar.start_ns != start_ns:
            first = price if math.isnan(standing) else standing
            ended, self.bar = self.bar, Bar(start_ns, first, first, first, first, -1.0, 0.0, -1)
        _reach(self.bar, price)
        return ended


def _reach(bar: Bar, price: float) -> None:
    bar.high, bar.low, bar.close = max(bar.high, price), min(bar.low, price), price
