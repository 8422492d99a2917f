"""What happens to a decoded trade before anyone sees it: seen before? wanted? whose side? Pure, per contract, and everything is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..aggressor import AggressorClassifier
from ..kernels import survey
from ..ledger import SeenIndices
from ..model import Action, TradeBatch, TradeFlag

Filter = Literal["exclude", "include"]
_VALID, _LEG = int(TradeFlag.VALID_TICK), int(TradeFlag.SPREAD_LEG)
_KEPT_INDEX_SPAN = (36 * 3600) << 32  # indices of the last 36 hours are remembered: a session and a half


@dataclass(slots=True)
class IntakeCounts:
    """Trades handed on, and why others were not. invalid_tick, spread_leg: excluded by configuration."""

    trades: int = 0
    duplicates: int = 0
    orphans: int = 0
    corrections: int = 0
    cancels: int = 0
    off_tick: int = 0
    off_step: int = 0
    excluded: dict[str, int] = field(default_factory=lambda: {"invalid_tick": 0, "spread_leg": 0})


class Intake:
    """One contract's trades: duplicates dropped, filters applied, corrections and cancels matched to the trade they concern, sides found.

    NEW adds an index, CORRECTION replaces it, CANCEL removes it. A correction or cancel of a trade never met is an orphan: counted, not handed on.
    One of an excluded trade goes the way of that trade.
    """

    def __init__(self, *, invalid_ticks: Filter = "exclude", spread_legs: Filter = "exclude", trust_flags: bool = True) -> None:
        self.counts = IntakeCounts()
        self.sides = AggressorClassifier("embedded", trust_flags=trust_flags)
        self.last_time_ns = 0
        self._unwanted = {
            "invalid_tick": (TradeFlag.VALID_TICK, 0) if invalid_ticks == "exclude" else None,
            "spread_leg": (TradeFlag.SPREAD_LEG, TradeFlag.SPREAD_LEG) if spread_legs == "exclude" else None,
        }
        self._seen, self._excluded = SeenIndices(), SeenIndices()

    def take(self, batch: TradeBatch) -> TradeBatch | None:
        """The trades of a batch that count, with sides; None where nothing is left."""
        columns = batch.columns
        ordered, some, every = survey(columns["time_ns"], columns["index"], columns["lots"], columns["action"], columns["flags"])
        if not (ordered and columns["index"][0] > self._seen.last and self._all_wanted(some, every)):
            batch = self._filtered(self._matched(batch))
            if len(batch) == 0:
                return None
        is_new = None if ordered else (batch.action == Action.NEW) & (batch.index >= 0)
        self._seen.add(batch.index if is_new is None else batch.index[is_new])
        if len(self._seen) > 1 << 20:
            self._seen.forget_below(self._seen.last - _KEPT_INDEX_SPAN)
        self.counts.trades += len(batch) if is_new is None else int((batch.action == Action.NEW).sum())
        if some & (TradeFlag.OFF_TICK | TradeFlag.OFF_STEP):
            self.counts.off_tick += int((batch.flags & TradeFlag.OFF_TICK > 0).sum())
            self.counts.off_step += int((batch.flags & TradeFlag.OFF_STEP > 0).sum())
        self.last_time_ns = max(self.last_time_ns, int(batch.time_ns[-1] if is_new is None else batch.time_ns.max()))
        return self.sides.classify(batch)

    def _all_wanted(self, some: int, every: int) -> bool:
        """Whether no trade of a batch is filtered, by the flags that any and that all of them have."""
        return (self._unwanted["invalid_tick"] is None or bool(every & _VALID)) and (self._unwanted["spread_leg"] is None or not some & _LEG)

    def _filtered(self, batch: TradeBatch) -> TradeBatch:
        for name, rule in self._unwanted.items():
            if rule is None or len(batch) == 0:
                continue
            unwanted = (batch.flags & rule[0]) == rule[1]
            unwanted &= batch.action != Action.CANCEL  # a cancel is never a valid tick, and always counts
            if unwanted.any():
                withdrawn = unwanted & (batch.action == Action.CORRECTION)  # corrected into one that does not count: gone
                self.counts.excluded[name] += int(unwanted.sum())
                self._excluded.add(batch.index[unwanted & ~withdrawn & (batch.index >= 0)])
                batch = batch.replace(action=np.where(withdrawn, np.int8(Action.CANCEL), batch.action))[~unwanted | withdrawn]
        return batch

    def _matched(self, batch: TradeBatch) -> TradeBatch:
        """Row by row, in order, since one row may concern another of the same batch."""
        keep = np.ones(len(batch), np.bool_)
        seen, excluded = self._seen.contains(batch.index).tolist(), self._excluded.contains(batch.index).tolist()
        here: set[int] = set()
        action = batch.action.copy()
        for i, (index, what) in enumerate(zip(batch.index.tolist(), batch.action.tolist(), strict=True)):
            known = seen[i] or index in here
            if what == Action.NEW:
                if index >= 0 and (known or excluded[i]):
                    keep[i] = False
                    self.counts.duplicates += 1
                here.add(index)
            elif known:
                self.counts.corrections += what == Action.CORRECTION
                self.counts.cancels += what == Action.CANCEL
            elif excluded[i] and what == Action.CORRECTION:
                action[i] = Action.NEW  # what was excluded is replaced by one that may count
                here.add(index)
            else:
                keep[i] = False
                if not excluded[i]:
                    self.counts.orphans += 1
        return batch.replace(action=action)[keep]
