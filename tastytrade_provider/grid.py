"""Where bars of a timeframe may begin and end, and where CVD starts anew."""

from __future__ import annotations

import numpy as np

from . import kernels as k
from .model import Array, Contract, Int64, Timeframe
from .sessions import DAY_NS, SessionTable, reset_times, sessions_between

_KIND = {"t": k.BY_TRADES, "v": k.BY_VOLUME, "r": k.BY_RANGE}


class Grid:
    """Where bars of a timeframe may begin and end: the sessions around a stretch of time, and the instants at which CVD starts anew."""

    def __init__(self, contract: Contract, timeframe: Timeframe, reset: str, start_ns: int, end_ns: int) -> None:
        margin = (8 + {"d": 1, "w": 7, "mo": 31}.get(timeframe.unit, 0) * timeframe.n) * DAY_NS
        self.table: SessionTable = sessions_between(contract.calendar, start_ns - margin, end_ns + margin)
        self.resets: Int64 = reset_times(self.table, contract.calendar, reset)
        self.kind = _KIND.get(timeframe.unit, k.BY_CLOCK if timeframe.is_intraday else k.BY_SESSION)
        if timeframe.is_intraday:
            self.size = timeframe.ns
        elif timeframe.unit == "v":
            self.size = contract.lots(timeframe.n)
        else:
            self.size = timeframe.n
        opens, closes, label = self.table.open_ns, self.table.close_ns, self.table.label
        if self.kind == k.BY_SESSION:
            first = np.flatnonzero(np.diff(_period(label, timeframe), prepend=-1))
            opens, closes, label = opens[first], closes[np.append(first[1:], len(opens)) - 1], label[first]
        self.opens: Int64 = opens
        """Begins of sessions, or of day, week or month bars."""
        self.closes: Int64 = closes
        """Where trading in them ends; a print between there and the next begin is a straggler."""
        self.label: Int64 = label
        self.start_ns, self.end_ns = start_ns, end_ns + DAY_NS

    def covers(self, start_ns: int, end_ns: int) -> bool:
        """Whether trades of this stretch can be placed."""
        return self.start_ns <= start_ns and end_ns <= self.end_ns

    def span(self, time_ns: int) -> tuple[int, int]:
        """Where the bar of a trade at this time would start, and when the clock closes it: found by giving the kernel that trade.

        >>> opened = 1_767_600_000_000_000_000
        >>> grid = Grid(Contract("ES", "/ESZ6"), Timeframe.parse("5m"), "session_open", opened, opened)
        >>> [(bound - opened) // 10**9 for bound in grid.span(opened + 301 * 10**9)]
        [300, 600]
        """
        state, one = np.zeros(k.STATE_SIZE, np.int64), np.ones(1, np.int64)
        ticks, side = np.zeros(1, np.int32), np.zeros(1, np.int8)
        rows, cells = np.empty((1, k.BAR_WIDTH), np.int64), np.empty((1, 5), np.int64)
        k.run(state, np.zeros(3, np.int64), one * time_ns, ticks, one, side, side, 0, 0, self.opens, self.closes, self.kind, self.size, rows, cells)
        return int(state[k.START]), self.due(state)

    def due(self, row: Array) -> int:
        """When the clock closes a bar (kernel row): at its end, or where trading ends. Stragglers that still belong to it make it a revision."""
        close_ns = self.close_of(int(row[k.SESSION]))
        return int(row[k.END] if self.kind == k.BY_CLOCK or close_ns <= row[k.START] else close_ns)

    def close_of(self, open_ns: int) -> int:
        """Where trading ends in the session, or the day, week or month bar, given by its open."""
        return int(self.closes[np.searchsorted(self.opens, open_ns)])

    def session_of(self, open_ns: Int64) -> Int64:
        """Label days of sessions given by their open."""
        found: Int64 = self.label[np.searchsorted(self.opens, open_ns)]
        return found

    def segment_of(self, start_ns: Int64) -> Int64:
        """The CVD segment of bars by their start: the last reset at or before it, 0 before the first."""
        place = np.searchsorted(self.resets, start_ns, side="right")
        return np.concatenate([np.zeros(1, np.int64), self.resets])[place]


def _period(label: Int64, timeframe: Timeframe) -> Int64:
    """Which day, week (from Monday) or month bar a session label belongs to."""
    if timeframe.unit == "d":
        number = label
    elif timeframe.unit == "w":
        number = (label + 3) // 7
    else:
        number = label.astype("M8[D]").astype("M8[M]").astype(np.int64)
    periods: Int64 = number // timeframe.n
    return periods
