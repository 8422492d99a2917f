"""Whether a history goes back to where it was asked from, or only to its first row: a feed that has nothing older ends its answer like one that has all.

That the first row comes late shows nothing: a thin market's first trade may come minutes, or hours, after the open. Candles of before it can tell: where
they have volume, trades are missing; where they have none, though some are there from earlier still, nobody traded. Pure: rows in, an answer out.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

import numpy as np

from ..dxlink.rows import Row
from ..grid import Grid
from ..model import Contract, Timeframe
from ..sessions import DAY_NS, FIRST_YEAR, sessions_between
from . import candles

OPENING_NS: Final = 60_000_000_000
"""For so long nobody may have traded, and nothing is asked."""
_SESSION_NS: Final = 23 * 3_600_000_000_000
_KNOWN_NS: Final = int(np.datetime64(f"{FIRST_YEAR + 1}-01-01", "ns").astype(np.int64))  # the tables of sessions begin a year earlier


class Reach(Enum):
    """What is known of the time before the first row."""

    WHOLE = "whole"
    CUT = "cut"
    UNKNOWN = "unknown"


class Witness(NamedTuple):
    """The candles that are to tell: of which timeframe, and how far before the start they are asked for. They come up to now, so the older the fewer."""

    timeframe: Timeframe
    before_ns: int


_WITNESSES: Final = (
    (7 * DAY_NS, Witness(Timeframe.parse("1m"), 3 * DAY_NS)),
    (120 * DAY_NS, Witness(Timeframe.parse("1h"), 7 * DAY_NS)),
)
_DAYS: Final = Witness(Timeframe.parse("1d"), 30 * DAY_NS)


def witness(start_ns: int, now_ns: int) -> Witness:
    """Whose candles tell of the time after `start_ns`.

    >>> [str(witness(-days * DAY_NS, 0).timeframe) for days in (1, 30, 365)]
    ['1m', '1h', '1d']
    """
    return next((one for age_ns, one in _WITNESSES if now_ns - start_ns <= age_ns), _DAYS)


def open_ns(contract: Contract, start_ns: int, end_ns: int, hours: str = "eth") -> int:
    """For how long the market was open in [start_ns, end_ns), nanoseconds."""
    if end_ns <= start_ns:
        return 0
    table = sessions_between(contract.calendar, start_ns, end_ns)
    opened, closed = (table.open_ns, table.close_ns) if hours == "eth" else (table.rth_open_ns, table.rth_close_ns)
    return int(np.maximum(np.minimum(closed, end_ns) - np.maximum(opened, start_ns), 0)[opened >= 0].sum())


def is_late(contract: Contract, timeframe: Timeframe | None, start_ns: int, first_ns: int, hours: str = "eth") -> bool:
    """Whether a bar (`timeframe` None: a trade) could have begun in [start_ns, first_ns), for more than a minute that the market was open."""
    start_ns = max(start_ns, _KNOWN_NS)
    if open_ns(contract, start_ns, first_ns, hours) < OPENING_NS:
        return False
    if timeframe is None or not timeframe.is_time:
        return True
    if not timeframe.is_intraday:
        opens = Grid(contract, timeframe, "session_open", first_ns, first_ns).opens
        return bool(((opens >= start_ns) & (opens < first_ns)).any())
    table = sessions_between(contract.calendar, start_ns, first_ns)
    opened, closed = (table.open_ns, table.close_ns) if hours == "eth" else (table.rth_open_ns, table.rth_close_ns)
    begin_ns = np.maximum(opened, start_ns)
    bar_ns = begin_ns + (table.open_ns - begin_ns) % timeframe.ns  # the first bar that starts there
    until_ns = closed if hours == "eth" else closed - timeframe.ns + 1  # in regular hours only whole ones count
    return bool(((opened >= 0) & (bar_ns < np.minimum(until_ns, first_ns))).any())


def reach(rows: Iterable[Row], contract: Contract, told: Witness, start_ns: int, first_ns: int, hours: str = "eth") -> Reach:
    """What candles say of [start_ns, first_ns), in which there is nothing though the market was open."""
    is_intraday, start_ns = told.timeframe.is_intraday, max(start_ns, _KNOWN_NS)
    bars = candles.frame(rows, contract, told.timeframe, start_ns - told.before_ns, first_ns, hours if is_intraday else "eth")
    starts = bars.index[bars["volume"] > 0].to_numpy("M8[ns]").astype(np.int64)
    bar_ns = told.timeframe.ns if is_intraday else _SESSION_NS
    if ((starts >= start_ns) & (starts + bar_ns <= first_ns)).any():
        return Reach.CUT
    has_room = open_ns(contract, start_ns, first_ns, hours) >= 2 * bar_ns  # for a candle that would have told
    return Reach.WHOLE if has_room and (starts < start_ns).any() else Reach.UNKNOWN
