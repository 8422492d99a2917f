"""Market hours as the REST API tells them, from our own session calendar and on the market's own clock."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from tastytrade_provider.sessions import DAY_NS, DEFAULT_CALENDAR, Session, is_open, sessions_between

_CHICAGO: Final = ZoneInfo("America/Chicago")


def session(collection: str, market_ns: int) -> dict[str, Any]:
    """The session that is on, or the halt, with the one before and the one after. Every collection has the hours of CME's index futures."""
    table = sessions_between(DEFAULT_CALENDAR, market_ns, market_ns)
    at = table.index_at(market_ns)
    current = table.session(at)
    return {
        "state": "Open" if is_open(DEFAULT_CALENDAR, market_ns) else "Closed",
        **_times(collection, current),
        "next-session": _times(collection, table.session(at + 1)),
        "previous-session": _times(collection, table.session(at - 1)),
    }


def holidays(market_ns: int) -> dict[str, list[str]]:
    """Holidays and half days of the market's year: weekdays without a session, and sessions that end before 16:00 Chicago."""
    return _holidays((dt.date(1970, 1, 1) + dt.timedelta(days=market_ns // DAY_NS)).year)


@lru_cache(maxsize=8)
def _holidays(year: int) -> dict[str, list[str]]:
    first, last = dt.date(year, 1, 1), dt.date(year, 12, 31)
    start_ns, end_ns = ((day - dt.date(1970, 1, 1)).days * DAY_NS for day in (first, last))
    table = sessions_between(DEFAULT_CALENDAR, start_ns, end_ns)
    closes = {table.label_date(i): _moment(int(table.close_ns[i])).astimezone(_CHICAGO).time() for i in range(len(table))}
    weekdays = [day for n in range(366) if (day := first + dt.timedelta(days=n)) <= last and day.weekday() < 5]
    return {
        "market-half-days": [day.isoformat() for day in weekdays if day in closes and closes[day] < dt.time(16)],
        "market-holidays": [day.isoformat() for day in weekdays if day not in closes],
    }


def _times(collection: str, session: Session) -> dict[str, Any]:
    opened, closed = (_moment(time_ns).isoformat(timespec="milliseconds") for time_ns in (session.open_ns, session.close_ns))
    return {
        "instrument-collection": collection,
        "session-date": session.label.isoformat(),
        "start-at": opened,
        "open-at": opened,
        "close-at": closed,
        "close-at-ext": closed,
    }


def _moment(time_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC)
