"""Which bars CVD adds up together: one number a segment, the same for a frame and for single bars."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from tastytrade_provider.errors import MissingColumns, UsageError
from tastytrade_provider.sessions import CALENDARS, FIRST_YEAR, LAST_YEAR, RESETS, parse_reset, reset_times, sessions_between

from .columns import Columns, Floats, Int64
from .params import Param, checked

_ROLL = float(1 << 33)  # beyond every key of a segment: they are days or seconds
WEEK_NS = 7 * 86_400_000_000_000
_FIRST_NS, _LAST_NS = (int(np.datetime64(str(year), "ns").astype(np.int64)) for year in (FIRST_YEAR, LAST_YEAR + 1))


def _is_reset(value: Any) -> bool:
    try:
        return isinstance(value, str) and parse_reset(value) == value
    except UsageError:
        return False


PARAMS: tuple[Param, ...] = (
    checked(
        "reset", "session_open", f"{' | '.join(RESETS)} | 'HH:MM'", _is_reset,
        "when CVD starts anew, at the first bar starting at or after it; 'HH:MM' in the calendar's zone",
    ),
    checked(
        "calendar", None, f"None or one of {', '.join(CALENDARS)}", lambda value: value is None or value in CALENDARS,
        "session calendar; None: the contract's, or the frame's attrs['calendar']",
    ),
)  # fmt: skip


class Anchor:
    """Where CVD starts anew: at a reset, and always where the contract changes. Carried from bar to bar."""

    __slots__ = ("_calendar", "_reset", "_rolls", "_symbol")

    def __init__(self, reset: str, calendar: str | None, symbol: str | None = None, rolls: int = 0) -> None:
        self._reset, self._calendar, self._symbol, self._rolls = reset, calendar, symbol, rolls

    def __deepcopy__(self, memo: Any) -> Anchor:
        return Anchor(self._reset, self._calendar, self._symbol, self._rolls)

    def keys(self, bars: Columns) -> Floats:
        """A number for each bar that changes where CVD starts anew; the bars follow those asked about before.

        A bar that does not say its contract is of the one before. Raises what `segments` raises.
        """
        keys = segments(bars, self._reset, self._calendar)
        told = bars.symbol()
        if isinstance(told, str):
            if told != self._symbol:
                self._rolls += self._symbol is not None
                self._symbol = told
        elif told is not None:
            symbols = np.array([self._symbol, *told], object)
            codes, _ = pd.factorize(symbols)
            at = np.maximum.accumulate(np.where(codes >= 0, np.arange(len(codes)), 0))  # the latest that was told
            rolls = self._rolls + np.cumsum((np.diff(codes[at]) != 0) & (codes[at][:-1] >= 0))
            self._symbol, self._rolls = symbols[at[-1]], int(rolls[-1])
            return keys + rolls * _ROLL
        return keys + self._rolls * _ROLL if self._rolls else keys


def segments(bars: Columns, reset: str, calendar: str | None) -> Floats:
    """A number for each bar that changes where CVD starts anew.

    Bars that say their session need no calendar for `session_open`. Else it comes from the parameter, the contract or the frame's attrs;
    raises MissingColumns where none of them says.
    """
    if reset == "session_open" and "session" in bars:
        return bars.session_days()
    if reset == "never":
        return np.zeros(len(bars))
    calendar = calendar or bars.context("calendar")
    if calendar is None:
        lacks = "a column session, or " if reset == "session_open" else ""
        known = ", ".join(CALENDARS)
        raise MissingColumns(f"reset={reset!r} needs {lacks}a calendar: give e.g. calendar='CME Globex Equity'; known are {known}")
    start = bars.start_ns()
    opens, keys = _resets(calendar, reset, int(start.min()) // WEEK_NS, int(start.max()) // WEEK_NS)
    return keys[np.searchsorted(opens, start, side="right")]


@lru_cache(maxsize=64)
def _resets(calendar: str, reset: str, first_week: int, last_week: int) -> tuple[Int64, Floats]:
    """The instants at which CVD starts anew, and the numbers of the segments before, between and after them: label days, or seconds.

    Two weeks more on the early side: no reset but `never` is further back. Whole weeks, so that bars one by one find their table ready.
    """
    start, end = max((first_week - 2) * WEEK_NS, _FIRST_NS), min((last_week + 1) * WEEK_NS, _LAST_NS - 1)
    table = sessions_between(calendar, start, end)
    if reset == "session_open":  # the same numbers as bars that say their session
        return table.open_ns, np.concatenate([[-1.0], table.label.astype(np.float64)])
    instants = reset_times(table, calendar, reset)
    return instants, np.concatenate([[-1.0], (instants // 10**9).astype(np.float64)])
