"""Which session a nanosecond belongs to.

A session is never a calendar date: the Globex session labelled Monday opens on Sunday at 17:00 Chicago. The hours come from
pandas_market_calendars (>= 5.5.0); where it is silent or wrong the rows of `OVERRIDES` decide, each with its reason.
All times are int64 UTC nanoseconds, all labels int64 days since 1970-01-01.

Measured with 5.5.0 on two shared cores: one year of a calendar costs 40 to 120 ms, all its years 80 to 160 ms, hence all at once and kept, and so the
trade dates (80 ms); from then on `sessions_between` costs 5 us, `is_open` 13 us. Importing pandas_market_calendars costs 0.25 s beyond pandas' 0.7 s,
12 s together from a cold disk, hence only at the first look-up.
"""

from __future__ import annotations

import datetime as dt
import importlib
import itertools
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tastytrade_provider.errors import UsageError

Ints = NDArray[np.int64]
DAY_NS: Final = 86_400_000_000_000
FIRST_YEAR, LAST_YEAR = 2013, 2035
"""Range of validity. Before 2012-11-19 Globex equity hours were others; after 2035 nobody has published anything."""

_CHICAGO, _NEW_YORK = "America/Chicago", "America/New_York"
_METALS = "CMEGlobex_EnergyAndMetals"  # pandas_market_calendars' one table for COMEX and NYMEX
_EQUITY, _RATES, _CRYPTO = "CME Globex Equity", "CME Globex Fixed Income", "CME Globex Crypto"
_GRAINS, _LIVESTOCK = "CMEGlobex_Grains", "CMEGlobex_Livestock"
_INDEX = "CBOE_Index_Options"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Where a calendar's hours come from.

    pmc       name of the table in pandas_market_calendars; "" is the UTC day
    timezone  zone of `rth`, of `pause` and of a reset given as a time of day
    rth       regular trading hours, local "HH:MM"; None where the product has no such convention
    pause     a halt inside the session, local "HH:MM", up to and including the label date `pause_until`
    after_h   hours of trading after the regular close; where there are any, the session is the table's `pre` to `post`, which moves with an early close
    """

    pmc: str
    timezone: str
    kind: str
    rth: tuple[str, str] | None
    pause: tuple[str, str] | None = None
    pause_until: str = "9999-12-31"
    after_h: int = 0


# RTH of equity indices is the New York cash session; of metals, energy, rates and FX the hours of the former trading floor. No exchange
# page keeps them: they are convention, which is why they stand here as data. On a half day they end with the session; they are cut by
# time of day and so exist on a holiday with a short session too.
CALENDARS: Final[dict[str, Calendar]] = {
    # The break at 15:15 ended with trade date 2021-06-28 (pandas_market_calendars cme.py).
    "CME Globex Equity": Calendar(_EQUITY, _CHICAGO, "equity", ("08:30", "15:00"), ("15:15", "15:30"), "2021-06-25"),
    "CMEGlobex_GC": Calendar(_METALS, _NEW_YORK, "metals", ("08:20", "13:30")),
    "CMEGlobex_SI": Calendar(_METALS, _NEW_YORK, "metals", ("08:25", "13:25")),
    "CMEGlobex_HG": Calendar(_METALS, _NEW_YORK, "metals", ("08:10", "13:00")),
    "CMEGlobex_PL": Calendar(_METALS, _NEW_YORK, "metals", ("08:20", "13:05")),
    "CMEGlobex_CL": Calendar(_METALS, _NEW_YORK, "energy", ("09:00", "14:30")),
    "CMEGlobex_NG": Calendar(_METALS, _NEW_YORK, "energy", ("09:00", "14:30")),
    "CME Globex Fixed Income": Calendar(_RATES, _CHICAGO, "rates", ("07:20", "14:00")),
    "CMEGlobex_FX": Calendar("CMEGlobex_FX", _CHICAGO, "fx", ("07:20", "14:00")),
    "CMEGlobex_Grains": Calendar(_GRAINS, _CHICAGO, "grains", ("08:30", "13:20"), ("07:45", "08:30")),
    "CMEGlobex_Livestock": Calendar(_LIVESTOCK, _CHICAGO, "livestock", ("08:30", "13:05")),
    "CME Globex Crypto": Calendar(_CRYPTO, _CHICAGO, "crypto", None),  # never had a floor
    # Shares and ETFs: 04:00 to 20:00, on half days to 17:00. The overnight session that some shares have elsewhere is left out: a print of it belongs to
    # the session that closed.
    "NYSE": Calendar("NYSE", _NEW_YORK, "shares", ("09:30", "16:00"), after_h=4),
    "CBOE_Index_Options": Calendar(_INDEX, _CHICAGO, "indices", ("08:30", "15:00")),  # while an index is computed
    "24/7": Calendar("", "UTC", "crypto", None),  # spot and perpetuals: the UTC day, labelled with its date
}

_ROOTS: Final = {
    "CME Globex Equity": "ES MES NQ MNQ YM MYM RTY M2K EMD",
    "CMEGlobex_GC": "GC MGC QO 1OZ",
    "CMEGlobex_SI": "SI SIL QI",
    "CMEGlobex_HG": "HG MHG QC",
    "CMEGlobex_PL": "PL PA",
    "CMEGlobex_CL": "CL MCL QM RB HO BZ",
    "CMEGlobex_NG": "NG MNG QG",
    "CME Globex Fixed Income": "ZN ZB ZF ZT UB TN TWE ZQ SR1 SR3 2YY 5YY 10Y 30Y",
    "CMEGlobex_FX": "6A 6B 6C 6E 6J 6L 6M 6N 6S 6Z E7 J7 M6A M6B M6E MCD MJY MSF",
    "CMEGlobex_Grains": "ZC ZS ZW ZM ZL ZO ZR KE XC XK XW MZC MZS MZW MZM MZL",
    "CMEGlobex_Livestock": "LE GF HE",
    "CME Globex Crypto": "BTC MBT BFF ETH MET SOL MSL XRP MXP",
}
_CALENDAR_OF_ROOT: Final = {root: name for name, roots in _ROOTS.items() for root in roots.split()}
DEFAULT_CALENDAR: Final = "CME Globex Equity"
"""For a root not listed: outside grains and livestock every Globex product opens at 17:00 Chicago, so its session labels and resets are
right under this calendar, and only the early closes of holidays can differ."""


def calendar_for(root: str) -> str:
    """Calendar name of a futures root; `DEFAULT_CALENDAR` where the root is not listed. A leading slash is ignored.

    >>> calendar_for("MNQ"), calendar_for("/GC"), calendar_for("ZC")
    ('CME Globex Equity', 'CMEGlobex_GC', 'CMEGlobex_Grains')
    """
    return _CALENDAR_OF_ROOT.get(root.lstrip("/").upper(), DEFAULT_CALENDAR)


@dataclass(frozen=True, slots=True)
class Override:
    """Days on which `calendars` (pandas_market_calendars names) close at `close`, Chicago time, or hold no session (None)."""

    calendars: tuple[str, ...]
    days: tuple[dt.date, ...]
    close: str | None
    reason: str


def _days(*iso: str) -> tuple[dt.date, ...]:
    return tuple(dt.date.fromisoformat(day) for day in iso)


def _yearly(month: int, day: int, weekdays: range, since: int = FIRST_YEAR - 1) -> tuple[dt.date, ...]:
    days = (dt.date(year, month, day) for year in range(since, LAST_YEAR + 2))
    return tuple(day for day in days if day.weekday() in weekdays)


def _after_thanksgiving() -> tuple[dt.date, ...]:
    return tuple(dt.date(year, 11, 23 + (4 - dt.date(year, 11, 23).weekday()) % 7) for year in range(FIRST_YEAR - 1, LAST_YEAR + 2))


_MON_THU = range(4)  # a 24 December on a Friday is the observed holiday
OVERRIDES: Final = (
    Override((_EQUITY,), _days("2018-12-05", "2025-01-09"), "08:30", "Days of mourning: CME Group releases of 2018-12-02 and 2024-12-30"),
    Override((_RATES,), _days("2018-12-05"), None, "the same release of 2018-12-02: closed from the evening of 4 December"),
    Override((_RATES, _GRAINS, _LIVESTOCK), _days("2025-01-09"), "12:15", "the same release of 2024-12-30"),
    Override((_METALS,), _yearly(12, 24, _MON_THU), "12:45", "pmc has 2026 only; NYMEX closed alike in 2013"),
    Override(
        (_INDEX,), _yearly(12, 24, _MON_THU), "12:15", "pmc misses it; its NYSE table closes the shares at 12:00 Chicago, index options follow a quarter later"
    ),
    Override((_GRAINS,), _yearly(12, 24, _MON_THU) + _after_thanksgiving(), "12:05", "pmc has it for livestock only; grains close alike"),
    Override(
        (_GRAINS, _LIVESTOCK),
        _yearly(6, 19, range(5), 2022) + _days("2022-06-20", "2027-06-18", "2032-06-18", "2033-06-20"),
        None,
        "Juneteenth as observed: pmc's Globex tables miss it, its CME_Agriculture has it; closed in 2022 by CME's notice",
    ),
)
# Until Friday 2015-09-18 these closed at 16:15; pmc gives today's 16:00 for all years (NinjaTrader advisory 25, ATAS note of that month).
_CLOSE_1615 = ((_EQUITY, _METALS), dt.date(2015, 9, 21))
# CME crypto trades without the daily halt, weekends included, since Friday 2026-05-29 16:00 Chicago; what trades from Friday evening to
# Sunday evening belongs to the next business day (CME Group announcement of 2026-02-19, which leaves the weekly maintenance hour open).
_CRYPTO_CONTINUOUS_FROM = dt.date(2026, 5, 30)
# pmc's CME_TradeDate drops the days of mourning; CME cleared both (metals, energy and FX kept normal hours, same releases).
_TRADE_DATES_TOO = _days("2018-12-05", "2025-01-09")


@dataclass(frozen=True, slots=True)
class Session:
    """One session: label date, open (inclusive) and close (exclusive) in UTC nanoseconds."""

    label: dt.date
    open_ns: int
    close_ns: int


@dataclass(frozen=True, eq=False)
class SessionTable:
    """Consecutive sessions, ascending; equally long int64 arrays.

    open_ns, close_ns          UTC nanoseconds, close exclusive
    label                      label date, days since 1970-01-01
    rth_open_ns, rth_close_ns  regular trading hours, -1 where the session has none
    until_ns                   open of the session after the last one: from here on the table knows nothing
    """

    open_ns: Ints
    close_ns: Ints
    label: Ints
    rth_open_ns: Ints
    rth_close_ns: Ints
    until_ns: int = np.iinfo(np.int64).max

    def __len__(self) -> int:
        return len(self.open_ns)

    def index_of(self, times: Ints) -> Ints:
        """Row of each time's session: the last whose open is at or before it. A print in the halt belongs to the session that closed.

        Raises UsageError for a time before the first open or from `until_ns` on.
        """
        times = np.asarray(times, np.int64)
        if times.size and not (len(self) and times.min() >= self.open_ns[0] and times.max() < self.until_ns):
            known = f"{_text(self.open_ns[0])} to {_text(self.until_ns)}" if len(self) else "nothing"
            raise UsageError(f"times {_text(times.min())} to {_text(times.max())} lie outside the session table, which covers {known}")
        return np.searchsorted(self.open_ns, times, side="right").astype(np.int64) - np.int64(1)

    def index_at(self, time_ns: int) -> int:
        """`index_of` for one time."""
        return int(self.index_of(np.array([time_ns], np.int64))[0])

    def label_date(self, i: int) -> dt.date:
        """Label date of row `i`."""
        return _date(int(self.label[i]))

    def session(self, i: int) -> Session:
        """Row `i` as a value."""
        return Session(self.label_date(i), int(self.open_ns[i]), int(self.close_ns[i]))


def _text(time_ns: int) -> str:
    return f"{np.datetime64(int(time_ns) // 10**9, 's')}Z"


def _date(day: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=day)


def _day(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days


def _ns(day: dt.date, local: str, zone: ZoneInfo) -> int:
    """UTC nanoseconds of a wall clock time; whole minutes, so the float is exact."""
    return int(dt.datetime.combine(day, dt.time.fromisoformat(local), zone).timestamp()) * 10**9


def _pmc(name: str) -> Any:
    library = importlib.import_module("pandas_market_calendars")  # lazily: see the module's docstring
    if name not in library.get_calendar_names():
        raise UsageError(f"pandas_market_calendars {library.__version__} has no calendar {name!r}; 5.5.0 or later is needed")
    return library.get_calendar(name)


@cache
def _hours(pmc: str, is_extended: bool) -> Ints:
    """Rows of (label, open_ns, close_ns), oldest first: every session of validity and of one year more on either side, overrides applied."""
    zone = ZoneInfo(_CHICAGO)
    ends = ["pre", "post"] if is_extended else ["market_open", "market_close"]
    schedule = _pmc(pmc).schedule(f"{FIRST_YEAR - 1}-01-01", f"{LAST_YEAR + 1}-12-31", market_times=ends)
    columns = (schedule[name].dt.as_unit("ns").astype("int64").tolist() for name in ends)
    rows = {label.date(): times for label, times in zip(schedule.index, zip(*columns, strict=True), strict=True)}
    if pmc in _CLOSE_1615[0]:
        for day, (opened, closed) in rows.items():
            if day < _CLOSE_1615[1] and closed == _ns(day, "16:00", zone):
                rows[day] = (opened, _ns(day, "16:15", zone))
    for row in OVERRIDES:
        for day in rows.keys() & set(row.days) if pmc in row.calendars else ():
            if row.close is None:
                del rows[day]
            else:
                rows[day] = (rows[day][0], _ns(day, row.close, zone))
    if pmc == _CRYPTO:
        before = None
        for day in sorted(rows):
            if day >= _CRYPTO_CONTINUOUS_FROM and before is not None:
                rows[day] = (before, _ns(day, "16:00", zone))
            before = rows[day][1]
    return np.array([(_day(day), *rows[day]) for day in sorted(rows)], np.int64)


@cache
def _table(name: str) -> SessionTable:
    """Every session of a calendar, from the year before `FIRST_YEAR` to the one after `LAST_YEAR`: both ends of validity have neighbours."""
    calendar = _calendar(name)
    if calendar.pmc:
        label, opened, closed = _hours(calendar.pmc, calendar.after_h > 0).T.copy()
    else:
        label = np.arange(_day(dt.date(FIRST_YEAR - 1, 1, 1)), _day(dt.date(LAST_YEAR + 2, 1, 1)), dtype=np.int64)
        opened, closed = label * DAY_NS, (label + 1) * DAY_NS
    rth_open, rth_close = np.full((2, len(label)), -1, np.int64)
    if calendar.rth:
        zone = ZoneInfo(calendar.timezone)
        dates = [_date(day) for day in label.tolist()]
        begin, end = (np.array([_ns(day, local, zone) for day in dates], np.int64) for local in calendar.rth)
        held = (begin >= opened) & (begin < closed)
        rth_open[held], rth_close[held] = begin[held], np.minimum(end, closed - np.int64(calendar.after_h * 3600 * 10**9))[held]
    for column in (opened, closed, label, rth_open, rth_close):
        column.flags.writeable = False  # shared by every caller
    return SessionTable(opened, closed, label, rth_open, rth_close)


def _calendar(name: str) -> Calendar:
    if name not in CALENDARS:
        raise UsageError(f"calendar {name!r} is not known; known are {', '.join(CALENDARS)}")
    return CALENDARS[name]


def _covering(name: str, start_ns: int, end_ns: int) -> SessionTable:
    table = _table(name)
    low, high = np.searchsorted(table.open_ns, (start_ns, end_ns), side="right").tolist()
    rows, until_ns = slice(low - 2, high + 1), int(table.open_ns[high + 1])
    return SessionTable(table.open_ns[rows], table.close_ns[rows], table.label[rows], table.rth_open_ns[rows], table.rth_close_ns[rows], until_ns)


def sessions_between(calendar: str, start_ns: int, end_ns: int) -> SessionTable:
    """The sessions of [start_ns, end_ns], with the one before and the one after.

    Raises UsageError for an unknown calendar, an end before the start, or a time outside `FIRST_YEAR` to `LAST_YEAR`.

    >>> table = sessions_between("24/7", 1_700_000_000_000_000_000, 1_700_000_000_000_000_000)
    >>> [str(table.label_date(i)) for i in range(len(table))]
    ['2023-11-13', '2023-11-14', '2023-11-15']
    """
    _calendar(calendar)
    first, last = (_day(dt.date(year, 1, 1)) * DAY_NS for year in (FIRST_YEAR, LAST_YEAR + 1))
    if not first <= start_ns <= end_ns < last:
        wanted = f"{start_ns} to {end_ns} ns" if not 0 <= start_ns <= end_ns < 2**63 else f"{_text(start_ns)} to {_text(end_ns)}"
        raise UsageError(f"sessions are known from {FIRST_YEAR} to {LAST_YEAR}, start before end; asked for {wanted}")
    return _covering(calendar, int(start_ns), int(end_ns))


def session_at(calendar: str, time_ns: int) -> Session:
    """The session a time belongs to: the last one opened at or before it. Raises as `sessions_between`."""
    table = sessions_between(calendar, time_ns, time_ns)
    return table.session(table.index_at(time_ns))


def _pause(name: str, label: dt.date) -> tuple[int, int]:
    """[start, end) of the halt inside the session of that label; empty where there is none."""
    calendar = CALENDARS[name]
    if calendar.pause is None or label.isoformat() > calendar.pause_until:
        return 0, 0
    zone = ZoneInfo(calendar.timezone)
    return _ns(label, calendar.pause[0], zone), _ns(label, calendar.pause[1], zone)


def is_open(calendar: str, time_ns: int) -> bool:
    """Whether trading is scheduled at that instant: inside a session and not in a halt. Raises as `sessions_between`."""
    session = session_at(calendar, time_ns)
    start, end = _pause(calendar, session.label)
    return time_ns < session.close_ns and not start <= time_ns < end


def next_open(calendar: str, time_ns: int) -> int:
    """First instant after `time_ns` at which trading starts or resumes, UTC nanoseconds. Raises as `sessions_between`."""
    session = session_at(calendar, time_ns)
    resumes = _pause(calendar, session.label)[1]
    if time_ns < resumes < session.close_ns:
        return resumes
    table = sessions_between(calendar, time_ns, time_ns)
    return int(table.open_ns[table.index_at(time_ns) + 1])


RESETS: Final = ("session_open", "rth_open", "trade_date", "weekly", "never")
"""Named resets of the CVD; a time of day "HH:MM" in the calendar's timezone is one too."""


def parse_reset(reset: str) -> str:
    """`reset` if it is one, else UsageError. Needs no calendar.

    >>> parse_reset("09:30")
    '09:30'
    """
    if reset in RESETS or (isinstance(reset, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", reset)):
        return reset
    raise UsageError(f"reset {reset!r} is not one of {', '.join(RESETS)} or a time of day 'HH:MM'")


@cache
def _trade_dates() -> Ints:
    """Every trade date; one year further than the sessions, so that a holiday which ends them has its next business day."""
    valid = _pmc("CME_TradeDate").valid_days(f"{FIRST_YEAR - 1}-01-01", f"{LAST_YEAR + 2}-12-31")
    return np.unique(np.array([_day(day) for day in (*(each.date() for each in valid), *_TRADE_DATES_TOO)], np.int64))


def _trade_date(label: Ints) -> Ints:
    """Trade date of each session: its label, or the next business day of CME where the label is a holiday."""
    dates = _trade_dates()
    return dates[np.searchsorted(dates, label)]


def _daily(name: str, local: str, close_ns: Ints) -> list[int]:
    """One instant per session after the first: the last `local` time of day between the close before and its own close.

    So "09:30" acts on Monday and not also on Saturday, "16:30" falls into the halt and acts at the open, and a half day that ends
    before the time has none.
    """
    zone = ZoneInfo(CALENDARS[name].timezone)
    found = []
    for before, close in itertools.pairwise(close_ns.tolist()):
        day = dt.datetime.fromtimestamp(close // 10**9, zone).date()
        instant = _ns(day, local, zone)
        if instant >= close:
            instant = _ns(day - dt.timedelta(days=1), local, zone)
        if instant >= before:
            found.append(instant)
    return found


def reset_times(table: SessionTable, calendar: str, reset: str) -> Ints:
    """Instants at which CVD restarts for the sessions of `table`, ascending UTC nanoseconds.

    session_open  each open                      rth_open  each start of regular trading hours
    trade_date    the open of the first session of each CME trade date: a holiday's short session and the next one count together
    weekly        the open of the first session of the label's ISO week
    "HH:MM"       once per session, in the calendar's timezone       never  none

    Raises UsageError for anything else, and for rth_open where the calendar has no regular hours.
    """
    parse_reset(reset)
    declared = _calendar(calendar)
    if reset == "never" or not len(table):
        return np.empty(0, np.int64)
    if reset == "session_open":
        return table.open_ns.copy()
    if reset == "rth_open":
        if declared.rth is None:
            raise UsageError(f"calendar {calendar!r} has no regular trading hours for 'rth_open'; use 'session_open' or 'HH:MM'")
        return table.rth_open_ns[table.rth_open_ns >= 0]
    # with the session before the table's first, without which the first would always look like a beginning
    wider = _covering(calendar, int(table.open_ns[0]), int(table.open_ns[-1]))
    if reset not in RESETS:
        return np.array(_daily(calendar, reset, wider.close_ns[:-1]), np.int64)
    group = wider.label[:-1]
    if reset == "weekly":
        group = (group + np.int64(3)) // np.int64(7)  # 1970-01-01 was a Thursday
    elif declared.pmc:
        group = _trade_date(group)
    begins: NDArray[np.bool_] = group[1:] != group[:-1]
    return wider.open_ns[1:-1][begins]
