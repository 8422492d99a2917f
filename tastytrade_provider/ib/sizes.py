"""Which of IB's bar sizes serve a timeframe, and how far one request may reach. Pure.

Sizes and the durations that go with them: interactivebrokers.github.io/tws-api/historical_bars (valid durations and bar sizes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import UnsupportedTimeframe, UsageError
from ..model import Contract, Int64, Timeframe
from ..sessions import CALENDARS, DAY_NS

SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """One of IB's bar sizes: its `setting` and length, and the longest `duration` to ask for at once with what that is in nanoseconds.

    is_paced: the strict pacing rules hold.
    """

    setting: str
    ns: int
    duration: str
    duration_ns: int

    @property
    def is_paced(self) -> bool:
        """True for bars under a minute."""
        return self.ns < 60 * SECOND_NS


_TABLE: Final = (  # setting, seconds, duration, days
    ("1 secs", 1, "1800 S", 1800 / 86400),
    ("5 secs", 5, "3600 S", 3600 / 86400),
    ("10 secs", 10, "14400 S", 14400 / 86400),
    ("15 secs", 15, "14400 S", 14400 / 86400),
    ("30 secs", 30, "28800 S", 28800 / 86400),
    ("1 min", 60, "1 D", 1),
    ("2 mins", 120, "2 D", 2),
    ("3 mins", 180, "1 W", 7),
    ("5 mins", 300, "1 W", 7),
    ("10 mins", 600, "1 W", 7),
    ("15 mins", 900, "1 W", 7),
    ("20 mins", 1200, "1 W", 7),
    ("30 mins", 1800, "1 M", 30),
    ("1 hour", 3600, "1 M", 30),
)
INTRADAY: Final = tuple(Size(setting, seconds * SECOND_NS, duration, int(days * DAY_NS)) for setting, seconds, duration, days in _TABLE)
"""Longer ones are not asked for: where IB begins its bars of two hours and more is not documented, and ours begin at the session's open."""
DAY: Final = Size("1 day", DAY_NS, "1 Y", 365 * DAY_NS)
"""Weeks and months are made of days too: IB dates its own by their last day."""


def check(contract: Contract, timeframe: str | Timeframe, hours: str) -> Timeframe:
    """The timeframe, where IB can serve bars of it with these hours. Raises UnsupportedTimeframe, UsageError."""
    wanted = Timeframe.parse(timeframe)
    if not wanted.is_time:
        raise UnsupportedTimeframe(
            f"timeframe '{wanted}': Interactive Brokers has time bars only (s m h d w mo); historical_trades and build_bars make bars of trades, volume, range"
        )
    if hours not in ("eth", "rth"):
        raise UsageError(f"hours {hours!r} is neither 'eth' nor 'rth'")
    if hours == "rth" and not wanted.is_intraday:
        raise UnsupportedTimeframe(f"timeframe '{wanted}' has no regular hours: a bar of whole sessions cannot be cut; ask for s, m or h")
    if hours == "rth" and contract.calendar in CALENDARS and CALENDARS[contract.calendar].rth is None:
        raise UsageError(f"calendar {contract.calendar!r} has no regular trading hours; use hours='eth'")
    return wanted


def size_for(timeframe: Timeframe, opens: Int64) -> Size:
    """The largest of IB's sizes of which bars of a timeframe can be made exactly, in sessions that open at `opens` (UTC ns).

    >>> import numpy as np
    >>> [size_for(Timeframe.parse(text), np.array([17 * 3_600_000_000_000])).setting for text in ("1m", "4m", "45s", "4h", "1w")]
    ['1 min', '2 mins', '15 secs', '1 hour', '1 day']
    """
    if not timeframe.is_intraday:
        return DAY
    return next(size for size in reversed(INTRADAY) if timeframe.ns % size.ns == 0 and not (opens % size.ns).any())
