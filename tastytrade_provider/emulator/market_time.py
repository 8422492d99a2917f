"""Market hours as the REST API tells them, from our own session calendar and on the market's own clock."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from tastytrade_provider.emulator.instruments import SHARES
from tastytrade_provider.sessions import DAY_NS, DEFAULT_CALENDAR, SessionTable, is_open, sessions_between

_CHICAGO: Final = ZoneInfo("America/Chicago")
_START_BEFORE_NS: Final = 75 * 60 * 10**9
"""What the API calls the start of a day for shares comes 75 minutes before the open (a public reply: start-at 12:15Z, open-at 13:30Z)."""
_CALENDARS: Final = {"Equity": SHARES, "equities": SHARES}


def session(collection: str, market_ns: int) -> dict[str, Any]:
    """The session that is on, or has ended, with the one before and the one after. `Equity` has the hours of shares, all others of CME's index futures."""
    calendar = _CALENDARS.get(collection, DEFAULT_CALENDAR)
    table = sessions_between(calendar, market_ns, market_ns)
    at = table.index_at(market_ns)
    return {
        "state": _state(calendar, table, at, market_ns),
        **_times(collection, calendar, table, at),
        "next-session": _times(collection, calendar, table, at + 1),
        "previous-session": _times(collection, calendar, table, at - 1),
    }


def _state(calendar: str, table: SessionTable, at: int, market_ns: int) -> str:
    if calendar != SHARES:
        return "Open" if is_open(calendar, market_ns) else "Closed"
    opened, closed = int(table.rth_open_ns[at]), int(table.rth_close_ns[at])
    if opened <= market_ns < closed:
        return "Open"
    if closed <= market_ns < int(table.close_ns[at]):
        return "Extended"
    return "Pre-market" if opened - _START_BEFORE_NS <= market_ns < opened else "Closed"


def holidays(collection: str, market_ns: int) -> dict[str, list[str]]:
    """Holidays and half days of the market's year: weekdays without a session, and sessions that end earlier than usual."""
    return _holidays(_CALENDARS.get(collection, DEFAULT_CALENDAR), (dt.date(1970, 1, 1) + dt.timedelta(days=market_ns // DAY_NS)).year)


@lru_cache(maxsize=8)
def _holidays(calendar: str, year: int) -> dict[str, list[str]]:
    first, last = dt.date(year, 1, 1), dt.date(year, 12, 31)
    start_ns, end_ns = ((day - dt.date(1970, 1, 1)).days * DAY_NS for day in (first, last))
    table = sessions_between(calendar, start_ns, end_ns)
    closes = {table.label_date(i): _moment(int(table.close_ns[i])).astimezone(_CHICAGO).time() for i in range(len(table))}
    usual = max(closes.values())
    weekdays = [day for n in range(366) if (day := first + dt.timedelta(days=n)) <= last and day.weekday() < 5]
    return {
        "market-half-days": [day.isoformat() for day in weekdays if day in closes and closes[day] < usual],
        "market-holidays": [day.isoformat() for day in weekdays if day not in closes],
    }


def _times(collection: str, calendar: str, table: SessionTable, at: int) -> dict[str, Any]:
    opened, closed = int(table.open_ns[at]), int(table.close_ns[at])
    times = {"start-at": opened, "open-at": opened, "close-at": closed, "close-at-ext": closed}
    if calendar == SHARES:
        opened = int(table.rth_open_ns[at])
        times |= {"start-at": opened - _START_BEFORE_NS, "open-at": opened, "close-at": int(table.rth_close_ns[at])}
    told = {key: _moment(time_ns).isoformat(timespec="milliseconds") for key, time_ns in times.items()}
    return {"instrument-collection": collection, "session-date": table.label_date(at).isoformat(), **told}


def _moment(time_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC)
