"""Trading and liquid hours as IB tells them, and times as its texts write them."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tastytrade_provider.emulator.tws.refusal import Refused
from tastytrade_provider.sessions import CALENDARS, DAY_NS, sessions_between

_ZONES: Final = {"America/Chicago": "US/Central", "America/New_York": "US/Eastern"}
_DAYS = 6  # of hours in contract details
_TO_SESSION_END: Final = ("CME Globex Equity",)
"""Calendars whose liquid hours last until the session's end: 08:30-16:00 for ES in a contract line of a gateway, May 2025 (wboayue/rust-ibapi 03f74a45)."""
_TIME = re.compile(r"(\d{8})(?:(-| )(\d{2}:\d{2}:\d{2}))?(?: ([A-Za-z_/+\-0-9]+))?")


class Hours(NamedTuple):
    """One session: its label, and [open, close) of trading and of liquid hours in UTC nanoseconds; liquid -1 where there are none."""

    label: dt.date
    open_ns: int
    close_ns: int
    liquid_open_ns: int
    liquid_close_ns: int

    def window(self, use_rth: bool) -> tuple[int, int]:
        """[start, end) of what a request with useRTH sees; of (-1, -1) nothing."""
        return (self.liquid_open_ns, self.liquid_close_ns) if use_rth else (self.open_ns, self.close_ns)


@lru_cache(maxsize=512)
def _day_hours(calendar: str, day: int, days: int) -> list[Hours]:
    table = sessions_between(calendar, day * DAY_NS, (day + days) * DAY_NS)
    found = []
    for i in range(len(table)):
        session = table.session(i)
        liquid = int(table.rth_open_ns[i]), int(table.rth_close_ns[i])
        if liquid[0] >= 0 and calendar in _TO_SESSION_END:
            liquid = liquid[0], session.close_ns
        if CALENDARS[calendar].rth is None:
            liquid = session.open_ns, session.close_ns
        found.append(Hours(session.label, session.open_ns, session.close_ns, *liquid))
    return found


def hours_between(calendar: str, start_ns: int, end_ns: int) -> list[Hours]:
    """The sessions that begin at or before `end_ns` and end after `start_ns`, ascending."""
    first = start_ns // DAY_NS - 1
    return [hours for hours in _day_hours(calendar, first, end_ns // DAY_NS + 2 - first) if hours.open_ns <= end_ns and hours.close_ns > start_ns]


def hours_at(calendar: str, time_ns: int) -> Hours:
    """The session that a time belongs to: the last one opened at or before it."""
    return max((hours for hours in _day_hours(calendar, time_ns // DAY_NS, 1) if hours.open_ns <= time_ns), key=lambda hours: hours.open_ns)


def zone_of(calendar: str) -> str:
    """The zone of a calendar in IB's spelling.

    >>> zone_of("CME Globex Equity"), zone_of("CMEGlobex_GC"), zone_of("24/7")
    ('US/Central', 'US/Eastern', 'UTC')
    """
    zone = CALENDARS[calendar].timezone
    return _ZONES.get(zone, zone)


def hours_text(calendar: str, market_ns: int, use_rth: bool) -> str:
    """Six days of hours as contract details have them.

    >>> hours_text("CME Globex Equity", 1_772_461_800_000_000_000, use_rth=True)[:69]
    '20260302:0830-20260302:1600;20260303:0830-20260303:1600;20260304:0830'
    """
    zone = ZoneInfo(zone_of(calendar))
    today = moment(market_ns, zone).date()
    known = {hours.label: hours.window(use_rth) for hours in _day_hours(calendar, market_ns // DAY_NS - 1, _DAYS + 2)}
    parts = []
    for day in (today + dt.timedelta(days=n) for n in range(_DAYS)):
        opened, closed = known.get(day, (-1, -1))
        parts.append(f"{moment(opened, zone):%Y%m%d:%H%M}-{moment(closed, zone):%Y%m%d:%H%M}" if opened >= 0 else f"{day:%Y%m%d}:CLOSED")
    return ";".join(parts)


def moment(time_ns: int, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """A time to the second, as an aware datetime."""
    return dt.datetime.fromtimestamp(time_ns // 10**9, zone)


def time_text(time_ns: int, zone: str) -> str:
    """A time with its zone.

    >>> time_text(1_772_461_800_000_000_000, "US/Central")
    '20260302 08:30:00 US/Central'
    """
    return f"{moment(time_ns, ZoneInfo(zone)):%Y%m%d %H:%M:%S} {zone}"


def read_time(written: str, default_zone: str) -> tuple[int, bool]:
    """A time of a request in UTC nanoseconds, and whether its zone had to be supposed. Raises Refused 10314.

    >>> read_time("20260302 08:30:00 US/Central", "UTC"), read_time("20260302-14:30:00", "US/Central")
    ((1772461800000000000, False), (1772461800000000000, False))
    """
    match = _TIME.fullmatch(written.strip())
    if match is None or (match[2] == "-" and match[4]):
        raise Refused(10314)
    try:
        zone = ZoneInfo("UTC" if match[2] == "-" else match[4] or default_zone)
        found = dt.datetime.strptime(f"{match[1]} {match[3] or '00:00:00'}", "%Y%m%d %H:%M:%S").replace(tzinfo=zone)
    except (ValueError, ZoneInfoNotFoundError):
        raise Refused(10314) from None
    return int(found.timestamp()) * 10**9, match[2] != "-" and not match[4]
