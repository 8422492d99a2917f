"""Bars and trades of what was played of a recording. Reads the recording again, so none of it is for the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels as k
from ..errors import NoData
from ..grid import Grid
from ..history import BarHistory, build_history
from ..model import Array, Contract, Gap, Timeframe, TradeBatch, TradeFlag
from ..sessions import session_at, sessions_between
from ..tastytrade.history import was_open
from ..tastytrade.reach import OPENING_NS, is_late
from ..tastytrade.settled import settled, standing
from .position import Cut
from .sources import Source

if TYPE_CHECKING:
    import pandas as pd

BEGAN = "recording began"


def trades(source: Source, cut: Cut, start_ns: int, end_ns: int) -> TradeBatch:
    """The trades of [start_ns, end_ns) as they stand after corrections and cancels, oldest first. NoData where there is none though the market was open."""
    every = settled(cut.contract, cut.past(source).batches)
    found = every[(every.time_ns >= start_ns) & (every.time_ns < end_ns)]
    if len(found) == 0 and was_open(cut.contract, start_ns, end_ns, "eth"):
        raise _nothing("trades", every.time_ns, cut.contract, start_ns, end_ns)
    return found


def begins_late(source: Source, contract: Contract, start_ns: int, first_ns: int) -> bool:
    """Whether trades may lie between `start_ns` and the first of the recording, which does not go back so far."""
    return is_late(contract, None, start_ns, begins_ns(source, contract, first_ns))


def bars(source: Source, cut: Cut, timeframe: Timeframe, start_ns: int, end_ns: int, hours: str) -> pd.DataFrame:
    """The bars of trades that start in [start_ns, end_ns), the last one as far as trades were played; `complete` is False where a gap touches one.

    attrs: `start_was_cut` that the recording does not go back to `start_ns`, though a bar could have begun there.
    """
    contract, (history, complete) = cut.contract, built(source, cut, timeframe)
    starts = history.rows[:, k.START]
    inside = (starts >= start_ns) & (starts < end_ns)
    if len(starts) and hours == "rth":
        table = sessions_between(contract.calendar, int(starts[0]), int(starts[-1]))
        session = table.index_of(starts)
        opened, closed = table.rth_open_ns[session], table.rth_close_ns[session]
        inside &= (opened >= 0) & (starts >= opened) & (_ends(history) <= closed)
    if not inside.any() and was_open(contract, start_ns, end_ns, hours):
        raise _nothing(f"{timeframe} bars", history.rows[:, k.START], contract, start_ns, end_ns)
    wanted: pd.DataFrame = history.bars().assign(complete=complete)[inside]
    first_ns = min(begins_ns(source, contract, int(starts[0])), end_ns) if len(starts) else start_ns
    wanted.attrs["start_was_cut"] = is_late(contract, timeframe, start_ns, first_ns, hours)
    return wanted


def built(source: Source, cut: Cut, timeframe: Timeframe) -> tuple[BarHistory, Array]:
    """Bars, footprint and CVD of what was played, and which bars are complete: those that no gap touches."""
    past = cut.past(source)
    every = settled(cut.contract, past.batches)
    counted = every.replace(flags=every.flags & ~np.uint16(TradeFlag.SPREAD_LEG))  # the intake has left out what is unwanted
    history = build_history(counted, timeframe, cut.contract)
    gaps = known_gaps(source, cut.contract, past.gaps, int(every.time_ns[0])) if len(every) else []
    return history, ~_touched(history, gaps)


def begins_ns(source: Source, contract: Contract, first_ns: int) -> int:
    """From where on a recording has every trade of a contract: from its first one (`first_ns`), or from the session's open where none can lie before it."""
    opened_ns = session_at(contract.calendar, first_ns).open_ns
    return opened_ns if source.is_whole or first_ns - opened_ns <= OPENING_NS else first_ns


def known_gaps(source: Source, contract: Contract, told: Sequence[Gap], first_ns: int) -> list[Gap]:
    """Where trades may be missing: the gaps that were told and not filled, and what lies before the first trade of a recording begun within a session."""
    opened_ns = session_at(contract.calendar, first_ns).open_ns
    is_whole = begins_ns(source, contract, first_ns) == opened_ns
    return standing(told if is_whole else [Gap(contract, opened_ns, first_ns, BEGAN), *told])


def _ends(history: BarHistory) -> Array:
    """Where each bar ends, as a BarBuilder would tell."""
    rows = history.rows
    if history.timeframe.is_intraday:
        ends: Array = rows[:, k.END]
        return ends
    after_last: Array = rows[:, k.LAST] + 1
    if not history.timeframe.is_time:
        return after_last
    grid = Grid(history.contract, history.timeframe, "session_open", int(rows[0, k.START]), int(rows[-1, k.LAST]))
    return np.maximum(after_last, [grid.close_of(at) for at in rows[:, k.SESSION].tolist()])


def _touched(history: BarHistory, gaps: Sequence[Gap]) -> Array:
    starts = history.rows[:, k.START] - (not history.timeframe.is_time)  # as BarBuilder has it: the bar of the trade that ends a gap began too late
    touched = np.zeros(len(starts), bool)
    ends = _ends(history) if gaps else starts
    for gap in gaps:
        touched |= (starts < gap.end_ns) & (ends > gap.start_ns)
    return touched


def _nothing(what: str, times: Array, contract: Contract, start_ns: int, end_ns: int) -> NoData:
    held = f"those played so far go from {_text(int(times[0]))} to {_text(int(times[-1]))}" if len(times) else "none was played yet"
    return NoData(
        f"the recording has no {what} of {contract.symbol} from {_text(start_ns)} to {_text(end_ns)}, while the market was open; {held}. "
        "History ends where the replay stands: give it a `start`, and what lies before is history"
    )


def _text(time_ns: int) -> str:
    return f"{np.datetime64(time_ns, 'ns').astype('M8[s]')}Z"
