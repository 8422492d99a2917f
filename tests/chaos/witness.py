"""A consumer that keeps what it was handed, and is asked at the end: what was lost, what doubled, what lies inside the gaps that were told."""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tastytrade_provider.bars import BarBuilder
from tastytrade_provider.emulator.source import Print
from tastytrade_provider.model import Action, Bar, Contract, Gap, SideSource, TradeBatch
from tastytrade_provider.sessions import session_at
from tastytrade_provider.tastytrade.line import TradeSubscription

_UNSURE_NS = 2 * 10**9  # a trade so short before a consumer left may still have been on its way, behind a later one
_MILLISECOND_NS = 10**6
_MINUTE_NS = 60 * 10**9
_LONG_AFTER_NS = 30 * 60 * 10**9  # a change so late may concern the session before, which nobody holds any more
_REFILLED_NS = 60 * 10**9  # a refill begins so long before the last trade known; a change to an older one does not come with it


class Stand(NamedTuple):
    """A trade as it stands: what counts of it."""

    ticks: int
    lots: int
    side: int | None  # None: inferred, so nothing the exchange could be asked about


class Change(NamedTuple):
    """One print of the ground truth."""

    at_ns: int
    time_ns: int
    index: int  # type: ignore[assignment]
    action: Action
    stand: Stand


@dataclass
class Tally:
    """Trades that were to be handed over, by what became of them."""

    sent: int = 0
    lost: int = 0
    doubled: int = 0
    inside: int = 0
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.sent + other.sent, self.lost + other.lost, self.doubled + other.doubled, self.inside + other.inside, self.wrong + other.wrong)


def changes(contract: Contract, truth: Iterable[tuple[int, Print]]) -> list[Change]:
    """What counts of the truth about one contract: no spread legs, no invalid ticks."""
    return [
        Change(at_ns, event.time_ns, event.index, event.action, Stand(contract.ticks(event.price), contract.lots(event.size), int(event.side) or None))
        for at_ns, event in truth
        if event.contract == contract and event.valid_tick and not event.spread_leg
    ]


def standing(changes: Iterable[Change]) -> dict[int, Stand]:
    """What is left in the end, by index."""
    stands: dict[int, Stand] = {}
    for change in changes:
        if change.action is Action.CANCEL:
            stands.pop(change.index, None)
        elif change.action is Action.NEW or change.index in stands:  # what was cancelled is not corrected any more
            stands[change.index] = change.stand
    return stands


def contradicted(changes: Iterable[Change]) -> set[int]:
    """Trades corrected after they were cancelled: live the correction is an orphan's, and the exchange's history has the trade again."""
    cancelled, found = set[int](), set[int]()
    for change in changes:
        if change.action is Action.CANCEL:
            cancelled.add(change.index)
        elif change.action is Action.CORRECTION and change.index in cancelled:
            found.add(change.index)
    return found


class Witness:
    """Takes items of one subscription; `builder` gets them too.

    name        for messages          joined_ns  when it subscribed          left_ns  when it left; None: it stayed to the end
    newest_ns   exchange time of the newest trade handed over
    sure_ns     when it left: up to when it could know of an outage, and had read what it was told
    first_ns    when the first trade was handed over, by our clock; 0 before it          is_slow   reads later than it is told
    """

    def __init__(self, name: str, contract: Contract, joined_ns: int, subscription: TradeSubscription, builder: BarBuilder | None = None) -> None:
        self.name, self.contract, self.joined_ns, self.subscription, self.builder = name, contract, joined_ns, subscription, builder
        self.left_ns: int | None = None
        self.sure_ns = 2**63 - 1
        self.is_slow = False
        self.newest_ns = self.first_ns = 0
        self.gaps: list[Gap] = []
        self._told: list[tuple[Gap, int]] = []  # every gap, also those filled, with the time it was told
        self._since: list[int] = []  # of each of those, when the last new trade before it was handed over
        self._new_ns = 0
        self.stands: dict[int, Stand] = {}
        self._known: set[int] = set()
        self._twice: list[int] = []
        self._bars: dict[int, Bar] = {}  # as last handed out
        self._inferred = 0
        self.heard: list[str] = []  # a digest of everything up to each item
        self._digest = hashlib.sha256(name.encode())

    def unread(self) -> list[Any]:
        """What waits to be read."""
        missed = self.subscription._missed
        return [*self.subscription._items, *([missed] if missed is not None else [])]

    def take(self, item: Any) -> None:
        """One item."""
        now_ns = time.time_ns()
        if isinstance(item, Gap):
            self._hear(repr((item.start_ns, item.end_ns, item.reason, item.filled)).encode())
            self._told.append((item, now_ns))
            self._since.append(self._new_ns)
            if not item.filled:
                self.gaps.append(item)
            if self.builder is not None:
                self._keep(self.builder.add_gap(item))
        elif isinstance(item, TradeBatch):
            self._hear(b"".join(item.columns[name].tobytes() for name in ("time_ns", "index", "ticks", "lots", "side", "side_source", "action", "received_ns")))
            self.first_ns = self.first_ns or now_ns
            self._enter(item)
            if self.builder is not None:
                self._keep(self.builder.add(item))

    def _hear(self, item: bytes) -> None:
        self._digest.update(item)
        self.heard.append(self._digest.hexdigest())

    def _keep(self, bars: Sequence[Bar]) -> None:
        self._bars |= {bar.start_ns: bar for bar in bars}

    def _enter(self, batch: TradeBatch) -> None:
        columns = [batch.columns[name].tolist() for name in ("time_ns", "index", "ticks", "lots", "side", "side_source", "action")]
        for time_ns, index, ticks, lots, side, source, action in zip(*columns, strict=True):
            stand = Stand(ticks, lots, side if source == SideSource.EXCHANGE else None)
            if index < 0:
                self._inferred += 1
            elif action == Action.NEW:
                self._new_ns = time.time_ns()
                if index in self._known:
                    self._twice.append(index)
                self._known.add(index)
                self.stands[index] = stand
                self.newest_ns = max(self.newest_ns, time_ns)
            elif action == Action.CANCEL:
                self.stands.pop(index, None)
            elif index in self.stands:
                self.stands[index] = stand

    @property
    def digest(self) -> str:
        """Of all items in order."""
        return self._digest.hexdigest()

    def judge(self, truth: Sequence[Change], owed_from_ns: int | None, *, coarse: bool, tells_cancels: bool) -> Tally:
        """What became of the trades that were published from `owed_from_ns` on (None: never subscribed), as long as it was there.

        coarse  times may have come in milliseconds        tells_cancels  the history that an outage is filled from says what was cancelled
        """
        tally = Tally(doubled=len(self._twice))
        until_ns = 2**63 - 1 if self.left_ns is None else min(self.newest_ns, self.sure_ns) - _UNSURE_NS
        if self._twice:
            tally.wrong.append(f"{self.name}: handed over twice: {self._twice[:5]}")
        if self._inferred:
            tally.wrong.append(f"{self.name}: {self._inferred} trades were made of quotes, though the exchange told every trade")
        real = {change.index for change in truth}
        if foreign := [index for index in self._known if index not in real]:
            tally.doubled += len(foreign)
            tally.wrong.append(f"{self.name}: {len(foreign)} trades never happened: {foreign[:5]}")
        if owed_from_ns is None:
            return tally
        slack_ns = coarse * _MILLISECOND_NS
        gaps = Cover([(gap.start_ns - slack_ns, gap.end_ns + slack_ns) for gap in self.gaps])
        withdrawn = {change.index for change in truth if change.action is Action.CANCEL}  # perhaps before it could be fetched: then nothing is missing
        lost: list[Change] = []
        for change in truth:
            if change.action is Action.NEW and owed_from_ns <= change.at_ns and change.time_ns < until_ns:
                tally.sent += 1
                if change.index in self._known or change.index in withdrawn:
                    continue
                if change.time_ns in gaps:
                    tally.inside += 1
                else:
                    lost.append(change)
        tally.lost = len(lost)
        if lost:
            times = [change.time_ns for change in lost]
            near = _near(self.gaps, min(times), max(times))
            tally.wrong.append(f"{self.name}: {len(lost)} trades lost without a gap, from {min(times)} to {max(times)}; gaps near them {near}")
        if self.left_ns is None:
            excused = {change.index for change in truth if change.action is not Action.NEW and self._excuses(change, tells_cancels)} | contradicted(truth)
            tally.wrong += [*self._differences(truth, excused), *self._incomplete(truth, excused, owed_from_ns), *self._sums()]
        return tally

    def unfilled(self, known_ns: int, failed_ns: Sequence[int]) -> list[str]:
        """Gaps that should have been filled from the history that was there: told after the first trade of the contract had come (`known_ns`), which is
        where one can ask from, and not because it could not be had (`failed_ns`, the times at which that was noted: since the last trade before the gap).
        """
        wrong = [
            (gap.start_ns, gap.end_ns)
            for (gap, told_ns), since_ns in zip(self._told, self._since, strict=True)
            if not gap.filled and gap.reason != "slow consumer" and 0 < known_ns < told_ns and gap.start_ns > known_ns
            if not any(since_ns <= noted_ns <= told_ns for noted_ns in failed_ns)
        ]
        return [f"{self.name}: {len(wrong)} gaps were not filled: {wrong[:3]}"] if wrong else []

    def _differences(self, truth: Sequence[Change], excused: Container[int]) -> list[str]:
        """Trades that do not stand as they should, but for changes that nobody could know of."""
        stands = standing(truth)
        last = {change.index: change.at_ns for change in truth}
        wrong = [
            (held, stands.get(index), last.get(index)) for index, held in self.stands.items() if index not in excused and not _same(held, stands.get(index))
        ]
        return [f"{self.name}: {len(wrong)} trades stand otherwise than they should: {wrong[:3]}"] if wrong else []

    def _incomplete(self, truth: Sequence[Change], excused: Container[int], owed_from_ns: int) -> list[str]:
        """Bars that say they are complete and have another volume than was traded."""
        stands, volumes, open_to_doubt = standing(truth), dict[int, int](), set[int]()
        for change in truth:
            minute_ns = change.time_ns // _MINUTE_NS * _MINUTE_NS
            if change.index in excused or change.at_ns - change.time_ns > _LONG_AFTER_NS:
                open_to_doubt.add(minute_ns)
            elif change.index in stands:
                volumes[minute_ns] = volumes.get(minute_ns, 0) + stands.pop(change.index).lots
        wrong = [
            (bar.start_ns, bar.volume, volumes.get(bar.start_ns, 0), bar.revision)
            for bar in self._bars.values()
            if bar.complete and bar.start_ns >= owed_from_ns and bar.start_ns not in open_to_doubt and bar.volume != volumes.get(bar.start_ns, 0)
        ]
        return [f"{self.name}: {len(wrong)} of {len(self._bars)} bars are not what was traded: {wrong[:3]}"] if wrong else []

    def _sums(self) -> list[str]:
        """The builder's ledger and CVD beside the trades that were handed over."""
        if self.builder is None or len(self.builder.ledger) == 0:
            return []
        ledger = self.builder.ledger
        held = dict(zip(ledger.index.tolist(), zip(ledger.ticks.tolist(), ledger.lots.tolist(), strict=True), strict=True))
        opened_ns = session_at(self.contract.calendar, int(ledger.time_ns[-1])).open_ns
        cvd = int((ledger.lots * ledger.side)[ledger.time_ns >= opened_ns].sum())
        wrong = []
        if len(held) != len(ledger) or held != {index: self.stands[index][:2] for index in held if index in self.stands}:
            wrong.append(f"{self.name}: the ledger of the session is not what was handed over")
        if self.builder.cvd.value != self.contract.size(cvd):
            wrong.append(f"{self.name}: CVD is {self.builder.cvd.value}, and the session's trades add up to {self.contract.size(cvd)}")
        return wrong

    def _excuses(self, change: Change, tells_cancels: bool) -> bool:
        """Whether a correction or cancel fell into an outage: one that was not filled, or filled from a history that does not tell it."""
        for gap, told_ns in self._told:
            if gap.start_ns <= change.at_ns < told_ns or gap.start_ns <= change.time_ns < gap.end_ns:
                is_told = change.time_ns >= gap.start_ns - _REFILLED_NS and (tells_cancels or change.action is not Action.CANCEL)
                if not gap.filled or not is_told:
                    return True
        return False


class Cover:
    """Intervals [start, end), to be asked whether a time lies in one.

    >>> 5 in Cover([(1, 3), (4, 6)]), 3 in Cover([(1, 3), (4, 6)])
    (True, False)
    """

    def __init__(self, intervals: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(intervals):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def __contains__(self, time: int) -> bool:
        place = bisect_right(self._starts, time) - 1
        return place >= 0 and time < self._ends[place]


def _same(held: Stand, stands: Stand | None) -> bool:
    if stands is None:
        return False
    return held[:2] == stands[:2] and (held.side is None or stands.side is None or held.side == stands.side)


def _near(gaps: Sequence[Gap], start_ns: int, end_ns: int) -> list[tuple[int, int, str]]:
    """Those around a stretch, for a message."""
    near_ns = 120 * 10**9
    return [(gap.start_ns, gap.end_ns, gap.reason) for gap in gaps if gap.end_ns > start_ns - near_ns and gap.start_ns < end_ns + near_ns]
