"""What happens to a decoded trade before anyone sees it: seen before? wanted? whose side? Pure, per contract, and everything is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..aggressor import AggressorClassifier
from ..kernels import survey
from ..ledger import SeenIndices
from ..model import Action, Int64, TradeBatch, TradeFlag

Filter = Literal["exclude", "include"]
_VALID, _LEG = int(TradeFlag.VALID_TICK), int(TradeFlag.SPREAD_LEG)
_OFF = int(TradeFlag.OFF_TICK | TradeFlag.OFF_STEP)
_REMEMBERED = 1 << 20  # indices; then those too old are forgotten
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


class _Fate(Enum):
    """What became of an index after its first row: handed on, excluded by configuration, withdrawn; or handed on by another intake, and still to come here."""

    HANDED = 0
    EXCLUDED = 1
    GONE = 2
    ELSEWHERE = 3


class Intake:
    """One contract's trades: duplicates dropped, filters applied, corrections and cancels matched to the trade they concern, sides found.

    NEW adds an index, CORRECTION replaces it, CANCEL removes it. A correction or cancel of a trade never met is an orphan: counted, not handed on.
    One of an excluded trade goes the way of that trade, except that a correction can make it one that counts: then it is handed on as new, and a
    correction the other way is handed on as a cancel.
    """

    def __init__(self, *, invalid_ticks: Filter = "exclude", spread_legs: Filter = "exclude", trust_flags: bool = True) -> None:
        self.counts = IntakeCounts()
        self.sides = AggressorClassifier("embedded", trust_flags=trust_flags)
        self.last_time_ns = 0
        # a trade is unwanted where flags & mask == value
        rules = {"invalid_tick": (invalid_ticks, _VALID, 0), "spread_leg": (spread_legs, _LEG, _LEG)}
        self._unwanted = {name: (mask, value) for name, (choice, mask, value) in rules.items() if choice == "exclude"}
        self._handed, self._excluded, self._elsewhere = SeenIndices(), SeenIndices(), SeenIndices()
        self._changed: dict[int, _Fate] = {}  # of indices that are no longer what the two above say
        self._forget_at = _REMEMBERED

    def take(self, batch: TradeBatch) -> TradeBatch | None:
        """The trades of a batch that count, with sides; None where nothing is left."""
        if len(batch) == 0:
            return None
        columns = batch.columns
        ordered, some, every = survey(columns["time_ns"], columns["index"], columns["lots"], columns["action"], columns["flags"])
        if ordered and columns["index"][0] > max(self._handed.last, self._excluded.last, self._elsewhere.last) and self._all_wanted(some, every):
            self._handed.add(columns["index"], ascending=True)
            self.counts.trades += len(batch)
            self.last_time_ns = max(self.last_time_ns, int(columns["time_ns"][-1]))
        else:
            batch = self._matched(batch)
            if len(batch) == 0:
                return None
            self.last_time_ns = max(self.last_time_ns, int(batch.time_ns.max()))
        if len(self._handed) + len(self._excluded) + len(self._elsewhere) > self._forget_at:
            self._forget(self._handed.last - _KEPT_INDEX_SPAN)
        if some & _OFF:
            self.counts.off_tick += int((batch.flags & TradeFlag.OFF_TICK > 0).sum())
            self.counts.off_step += int((batch.flags & TradeFlag.OFF_STEP > 0).sum())
        return self.sides.classify(batch)

    def take_snapshot(self, batch: TradeBatch) -> TradeBatch | None:
        """The same for trades of a snapshot, which come once each as they stand now and not as what once happened to them.

        A corrected one that was never met is a trade like any other, a cancelled one that was never met is none. A corrected one that only another intake has
        handed on is both: new to those who have not got it, a correction to those who have.
        """
        elsewhere = self._elsewhere.contains(batch.index) & ~np.isin(batch.index, list(self._changed))
        met, is_correction = self._has_met(batch.index), batch.action == Action.CORRECTION
        gone = ~met & (batch.action == Action.CANCEL)
        as_new = is_correction & (~met | elsewhere)
        told = batch.replace(action=np.where(as_new, np.int8(Action.NEW), batch.action))
        if (twice := is_correction & elsewhere).any():
            order = np.argsort(np.concatenate([np.flatnonzero(~gone), np.flatnonzero(twice)]), kind="stable")
            return self.take(TradeBatch.concat([told[~gone], batch[twice]])[order])
        return self.take(told[~gone])

    def acquaint(self, other: Intake) -> None:
        """Know what another intake has met, so that corrections of it are no orphans here. A trade of it that comes here too is handed on all the same: once,
        to those who have not got it from the other, and whoever has knows it by its index.
        """
        for known, more in ((self._elsewhere, other._handed), (self._excluded, other._excluded)):
            index = more.held[more.held >= max(self._handed.last, more.last) - _KEPT_INDEX_SPAN]
            known.add(index[~self._has_met(index)])

    def _has_met(self, index: Int64) -> NDArray[np.bool_]:
        """Which indices are known, of whatever fate."""
        met: NDArray[np.bool_] = self._handed.contains(index) | self._excluded.contains(index) | self._elsewhere.contains(index)
        return met

    def _all_wanted(self, some: int, every: int) -> bool:
        """Whether no trade of a batch is filtered, by the flags that any and that all of them have."""
        return not any((every if value == 0 else some) & mask == value for mask, value in self._unwanted.values())

    def _matched(self, batch: TradeBatch) -> TradeBatch:
        """Row by row, in order, since one row may concern another of the same batch."""
        known = {_Fate.HANDED: self._handed, _Fate.EXCLUDED: self._excluded, _Fate.ELSEWHERE: self._elsewhere}
        met = {index: fate for fate, seen in known.items() for index in batch.index[seen.contains(batch.index)].tolist()}
        fates: dict[int, _Fate] = {}
        actions = np.full(len(batch), -1, np.int8)  # -1: not handed on
        for i, (index, what, flags) in enumerate(zip(batch.index.tolist(), batch.action.tolist(), batch.flags.tolist(), strict=True)):
            fate = None
            if index >= 0:
                fate = fates.get(index, self._changed.get(index, met.get(index)))
            reason = None if what == Action.CANCEL else self._reason(flags)
            actions[i], after = self._decided(what, fate, reason)
            if index >= 0 and after is not None and after is not fate:
                fates[index] = after
        fresh: dict[_Fate, list[int]] = {_Fate.HANDED: [], _Fate.EXCLUDED: []}
        for index, fate in fates.items():
            if fate is _Fate.GONE or index in met:
                self._changed[index] = fate
            else:
                fresh[fate].append(index)
        self._handed.add(np.array(fresh[_Fate.HANDED], np.int64))
        self._excluded.add(np.array(fresh[_Fate.EXCLUDED], np.int64))
        return batch.replace(action=actions)[actions >= 0]

    def _decided(self, what: int, fate: _Fate | None, reason: str | None) -> tuple[int, _Fate | None]:
        """What a row is handed on as (-1: not at all), and what its index is from now on."""
        counts = self.counts
        if what == Action.NEW:
            if fate not in (None, _Fate.ELSEWHERE):
                counts.duplicates += 1
                return -1, fate
            if reason is not None:
                counts.excluded[reason] += 1
                return -1, _Fate.EXCLUDED
            counts.trades += 1
            return Action.NEW, _Fate.HANDED
        if fate is None or (fate is _Fate.GONE and what == Action.CORRECTION):
            counts.orphans += 1
            return -1, fate
        if fate is _Fate.GONE:
            counts.duplicates += 1
            return -1, fate
        if what == Action.CANCEL:
            counts.cancels += 1
            return -1 if fate is _Fate.EXCLUDED else Action.CANCEL, _Fate.GONE
        if reason is not None:
            counts.excluded[reason] += 1
            return (-1, fate) if fate is _Fate.EXCLUDED else (Action.CANCEL, _Fate.EXCLUDED)
        if fate is _Fate.EXCLUDED:
            counts.trades += 1
            return Action.NEW, _Fate.HANDED
        counts.corrections += 1
        return Action.CORRECTION, _Fate.HANDED

    def _reason(self, flags: int) -> str | None:
        return next((name for name, (mask, value) in self._unwanted.items() if flags & mask == value), None)

    def _forget(self, index: int) -> None:
        self._handed.forget_below(index)
        self._excluded.forget_below(index)
        self._elsewhere.forget_below(index)
        self._changed = {known: fate for known, fate in self._changed.items() if known >= index}
        self._forget_at = max(_REMEMBERED, 2 * (len(self._handed) + len(self._excluded) + len(self._elsewhere)))
