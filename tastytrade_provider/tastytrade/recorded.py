"""What a journal has of a contract's trades since a time, and where it may lack some: to go before the feed's own history. Reads the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ..journal import segments
from ..model import Action, Contract, Gap, TradeBatch, TradeFlag
from .decode import JournalDecoder
from .settled import settled, standing

FOREVER: Final = 2**62
_MS: Final = 1_000_000
_LOOKED_AT = 64  # reads at the begin of a segment: among those that came late there is one that shows the time
_ASKED_NS = 5_000_000_000  # so long after it was asked the feed surely sends


class Hole(NamedTuple):
    """Exchange times (UTC ns, from `start_ns` to before `end_ns`) of which trades may be missing. One that is open ends with FOREVER."""

    start_ns: int
    end_ns: int


class Recorded(NamedTuple):
    """A contract's trades as they stand in a journal, oldest first, marked BACKFILL, and the holes among them: before the first, and between.

    last_ns   exchange time of the newest: from there on nothing is known
    """

    batch: TradeBatch
    holes: tuple[Hole, ...]
    last_ns: int


class Joined(NamedTuple):
    """A journal's trades with the feed's behind them. `cut_ns` as of a Refill: nothing up to it, everything after it; None: everything since the start.

    filled  the journal's holes that the feed has filled
    """

    batch: TradeBatch
    cut_ns: int | None
    filled: tuple[Hole, ...]


@dataclass(slots=True)
class _Run:
    """One recording, as far as it is about the contract: when it began by the recorder's clock, its first trade, and how far that clock is ahead at least."""

    begun_ns: int
    first_ns: int
    ahead_ns: int

    @property
    def whole_from_ns(self) -> int:
        """The exchange time from which on no trade is missing: that of the first one, or earlier where it began to listen earlier."""
        return min(_end_of_ms(self.first_ns), self.begun_ns + _ASKED_NS - self.ahead_ns)


def read(path: Path, contract: Contract, start_ns: int) -> Recorded | None:
    """The trades of a contract from a time on, None where there is none. Raises JournalDamaged, UsageError. Takes its time: not for the event loop."""
    batches, gaps, runs = list[TradeBatch](), list[tuple[Gap, int]](), dict[int, _Run]()
    decoder = JournalDecoder(_since(segments(path), start_ns), gather=512, as_sent=True)
    for item in (item for one in decoder for item in one.items if item.contract.streamer_symbol == contract.streamer_symbol):
        run_ns = decoder.run_ns or 0
        if isinstance(item, Gap):
            gaps.append((item, run_ns))
        elif isinstance(item, TradeBatch):
            batches.append(TradeBatch.of(contract, dict(item.columns)))
            _measure(runs, run_ns, item, decoder.begun_ns(contract.streamer_symbol))
    if not runs:
        return None
    told = [Gap(contract, gap.start_ns, min(gap.end_ns, _began(runs, run_ns, gap)), gap.reason, gap.filled) for gap, run_ns in gaps]
    holes = [Hole(0, next(iter(runs.values())).whole_from_ns), *(Hole(gap.start_ns, gap.end_ns) for gap in standing(told) if gap.end_ns > gap.start_ns)]
    batch = settled(contract, batches)
    last_ns = max(int(each.time_ns[each.action == Action.NEW].max(initial=0)) for each in batches)
    batch = batch[batch.time_ns >= start_ns]
    return Recorded(batch.replace(flags=batch.flags | np.uint16(TradeFlag.BACKFILL)), tuple(holes), last_ns)


def joined(recorded: Recorded, fed: TradeBatch, fed_from_ns: int, start_ns: int, end_ns: int = FOREVER) -> Joined:
    """The journal's trades of [start, end) before the feed's, which are whole after `fed_from_ns` (FOREVER: there are none). By index, no doubles.

    What both know is as the feed tells it now; what was made of lesser events counts where the feed has nothing. A hole of the journal that begins where
    the feed has everything is none.
    """
    near = [hole for hole in recorded.holes if hole.end_ns > start_ns and hole.start_ns < end_ns]
    left = [hole for hole in near if hole.start_ns // _MS * _MS <= fed_from_ns]  # of the millisecond in which it begins, the rest may be missing too
    cut_ns = max((min(hole.end_ns, fed_from_ns) for hole in left), default=None)
    time_ns, index = recorded.batch.time_ns, recorded.batch.index
    is_known = (index >= 0) & np.isin(index, fed.index) | (index < 0) & (time_ns // _MS >= fed_from_ns // _MS)
    earlier = recorded.batch[(time_ns > (start_ns - 1 if cut_ns is None else cut_ns)) & ~is_known]
    both = TradeBatch.concat([earlier, fed])
    order = np.lexsort((both.index, both.time_ns) if (both.index < 0).any() else (both.index,))
    return Joined(both[order], cut_ns, tuple(hole for hole in near if hole not in left))


def _measure(runs: dict[int, _Run], run_ns: int, batch: TradeBatch, begun_ns: int) -> None:
    is_new = batch.action == Action.NEW
    if not is_new.any():
        return
    time_ns, received_ns = batch.time_ns[is_new], batch.received_ns[is_new]
    run = runs.setdefault(run_ns, _Run(begun_ns, int(time_ns[0]), FOREVER))
    run.ahead_ns = min(run.ahead_ns, int((received_ns - time_ns).min()))


def _began(runs: dict[int, _Run], run_ns: int, gap: Gap) -> int:
    """Where a gap between two recordings ends: before the first trade of the second one, if it listened by then."""
    return runs[run_ns].whole_from_ns if gap.reason == "recording stopped" and not gap.filled and run_ns in runs else gap.end_ns


def _since(every: Sequence[Path], start_ns: int) -> list[Path]:
    """The segments in which trades from a time on lie: from the one before the last that surely began by then."""
    for at in reversed(range(len(every))):
        if _begins_ns(every[at]) <= start_ns:
            return list(every[max(at - 1, 0) :])
    return list(every)


def _begins_ns(segment: Path) -> int:
    """The exchange's time at the begin of a segment: the latest of what comes first, since that may be about earlier trades. FOREVER without trades."""
    items = (item for one in islice(JournalDecoder([segment], as_sent=True), _LOOKED_AT) for item in one.items)
    return max((int(item.time_ns.max()) for item in items if isinstance(item, TradeBatch) and len(item)), default=FOREVER)


def _end_of_ms(time_ns: int) -> int:
    """Others of the same millisecond may be missing."""
    return (time_ns // _MS + 1) * _MS - 1
