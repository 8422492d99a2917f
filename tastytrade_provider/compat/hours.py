"""Sessions, zones and times as IB tells them. Pure."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import UsageError
from ..sessions import CALENDARS, DAY_NS, SessionTable, sessions_between

SECOND_NS: Final = 1_000_000_000
_ZONES: Final = {"America/Chicago": "US/Central", "America/New_York": "US/Eastern"}
_TO_SESSION_END: Final = ("CME Globex Equity",)  # IB's liquid hours of ES: 08:30-16:00, in a contract line of a gateway of May 2025
_DAYS: Final = 6  # of hours in contract details
_TIME: Final = re.compile(r"(\d{8})(?:(-| +)(\d{2}:\d{2}:\d{2}))?(?: +([A-Za-z][A-Za-z0-9_/+-]*))?")


def zone_of(calendar: str) -> str:
    """A calendar's zone in IB's spelling.

    >>> zone_of("CME Globex Equity"), zone_of("24/7")
    ('US/Central', 'UTC')
    """
    zone = CALENDARS[calendar].timezone if calendar in CALENDARS else "UTC"
    return _ZONES.get(zone, zone)


def window(table: SessionTable, i: int, calendar: str, use_rth: bool) -> tuple[int, int]:
    """[start, end) of what useRTH shows of a session, UTC ns; (-1, -1) where it shows nothing.

    Regular hours are IB's liquid hours: for equity index futures they last to the session's end, for what never had a floor they are the session.
    """
    opened, closed = int(table.open_ns[i]), int(table.close_ns[i])
    if not use_rth or CALENDARS[calendar].rth is None:
        return opened, closed
    rth_open, rth_close = int(table.rth_open_ns[i]), int(table.rth_close_ns[i])
    return rth_open, closed if rth_open >= 0 and calendar in _TO_SESSION_END else rth_close


def read_time(written: str, zone: str) -> int:
    """UTC nanoseconds of a time as ib_async passes it on; `zone` counts where it names none. UsageError.

    >>> read_time("20260302 08:30:00 US/Central", "UTC") == read_time("20260302-14:30:00", "US/Central") == read_time("20260302 14:30:00", "UTC")
    True
    """
    match = _TIME.fullmatch(written.strip())
    try:
        if match is None:
            raise ValueError
        named = ZoneInfo(match[4] or ("UTC" if match[2] == "-" else zone))
        return int(dt.datetime.strptime(f"{match[1]} {match[3] or '00:00:00'}", "%Y%m%d %H:%M:%S").replace(tzinfo=named).timestamp()) * SECOND_NS
    except (ValueError, ZoneInfoNotFoundError):
        raise UsageError(f"time {written!r} is not written as '20261120 14:30:00 US/Central', '20261120-14:30:00' (UTC) or '20261120'") from None


def moment(time_ns: int, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """An aware datetime, to the microsecond.

    >>> moment(1_772_461_800_123_456_789).isoformat()
    '2026-03-02T14:30:00.123456+00:00'
    """
    return dt.datetime.fromtimestamp(time_ns // SECOND_NS, zone) + dt.timedelta(microseconds=time_ns % SECOND_NS // 1000)


def time_text(time_ns: int, zone: str) -> str:
    """A time with its zone.

    >>> time_text(1_772_461_800_000_000_000, "US/Central")
    '20260302 08:30:00 US/Central'
    """
    return f"{moment(time_ns, ZoneInfo(zone)):%Y%m%d %H:%M:%S} {zone}"


def hours_text(calendar: str, now_ns: int, use_rth: bool) -> str:
    """Six days of hours as contract details have them, by local day; days without are closed."""
    zone = ZoneInfo(zone_of(calendar))
    today = moment(now_ns, zone).date()
    table = sessions_between(calendar, now_ns - DAY_NS, now_ns + (_DAYS + 1) * DAY_NS)
    found: dict[dt.date, str] = {}
    for i in range(len(table)):
        opened, closed = (moment(at_ns, zone) for at_ns in window(table, i, calendar, use_rth))
        if closed > opened:
            found[table.label_date(i)] = f"{opened:%Y%m%d:%H%M}-{closed:%Y%m%d:%H%M}"
    days = [today + dt.timedelta(days=n) for n in range(_DAYS)]
    return ";".join(found.get(day, f"{day:%Y%m%d}:CLOSED") for day in days)
