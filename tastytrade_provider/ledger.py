"""The current session's trades of a contract in order, so that late, corrected and cancelled trades can repair what was built from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .kernels import survey
from .model import Action, Array, Int64, TradeBatch, TradeFlag

FIELDS: dict[str, Any] = {
    "time_ns": np.int64,
    "index": np.int64,
    "ticks": np.int32,
    "lots": np.int64,
    "side": np.int8,
    "side_source": np.int8,
}

_PIECE = 8_192  # rows merged at a time: a merge costs a Python object per value, and most pieces of a large batch need none
_TO_KERNEL = ("time_ns", "ticks", "lots", "side", "side_source")


def countable(batch: TradeBatch, *, legs: bool = False) -> TradeBatch:
    """What of a batch a ledger is to be told: not trades of no size, and without `legs` no legs of a spread. A correction that makes a trade such a leg
    withdraws it, and a cancel withdraws whatever it names.
    """
    action = batch.action
    is_wanted = (batch.lots > 0) | (action != Action.NEW)
    if not legs and (is_leg := batch.flags & TradeFlag.SPREAD_LEG != 0).any():
        is_wanted &= ~is_leg | (action != Action.NEW)
        batch = batch.replace(action=np.where(is_leg & (action == Action.CORRECTION), np.int8(Action.CANCEL), action))
    return batch[is_wanted]


@dataclass(slots=True)
class LedgerStats:
    """What happened to trades that were not simply new: seen before; replaced; withdrawn; corrections or cancels of a trade not held; too old to hold."""

    duplicates: int = 0
    corrections: int = 0
    cancels: int = 0
    orphans: int = 0
    too_late: int = 0


class Ledger:
    """Trades ordered by (time, index), each index once. NEW adds, CORRECTION replaces, CANCEL removes; an orphan of either is counted, never guessed.

    `add` returns the first row that is not what it was: the old length where the batch was simply appended.
    """

    def __init__(self) -> None:
        self.stats = LedgerStats()
        self._columns: dict[str, Array] = {name: np.empty(1024, kind) for name, kind in FIELDS.items()}
        self._n = 0
        self._floor_ns = np.iinfo(np.int64).min
        self._highest = -1

    def __len__(self) -> int:
        return self._n

    def __getattr__(self, name: str) -> Array:
        if name in FIELDS:
            return self._columns[name][: self._n]
        raise AttributeError(name)

    def add(self, batch: TradeBatch, *, in_order: bool = False) -> int:
        """Enter a batch; the first changed row comes back. `in_order`: `kernels.survey` found it so."""
        if len(batch) == 0:
            return self._n
        if (in_order or self._is_in_order(batch)) and self._follows(batch):
            self._append({name: batch.columns[name] for name in FIELDS})
            return self._n - len(batch)
        if len(batch) <= _PIECE:
            return self._merge(batch)
        if not batch.action.any():
            is_first = batch.index < 0
            is_first[np.unique(batch.index, return_index=True)[1]] = True  # of those with one index, the first to come: before the order is lost
            self.stats.duplicates += len(batch) - int(is_first.sum())
            batch = batch[is_first]
            batch = batch[np.lexsort((batch.index, batch.time_ns))]
        return min(self.add(batch[i : i + _PIECE]) for i in range(0, len(batch), _PIECE))

    def drop(self, rows: int, before_ns: int) -> int:
        """Forget the first rows, all from before a time; later arrivals from there count as too late. Returns how many rows went."""
        self._floor_ns = before_ns
        for name in FIELDS:
            self._columns[name] = self._columns[name][rows : self._n].copy()
        self._n -= rows
        return rows

    def rows(self, first: int, stop: int) -> tuple[Array, ...]:
        """time_ns, ticks, lots, side, side_source of rows, as the trades kernel takes them."""
        return tuple(self._columns[name][first:stop] for name in _TO_KERNEL)

    @staticmethod
    def _is_in_order(batch: TradeBatch) -> bool:
        found: tuple[bool, int, int] = survey(batch.time_ns, batch.index, batch.lots, batch.action, batch.flags)
        return found[0]

    def _follows(self, batch: TradeBatch) -> bool:
        """True where a batch in order comes after all that is held."""
        time, index = batch.columns["time_ns"][0], batch.columns["index"][0]
        if time < self._floor_ns:
            return False
        if self._n == 0:
            return True
        last_time = self._columns["time_ns"][self._n - 1]
        if index < 0:
            return bool(time > last_time or (time == last_time and self._columns["index"][self._n - 1] < 0))
        return bool(time >= last_time and index > self._highest)

    def _append(self, columns: dict[str, Array]) -> None:
        self._highest = max(self._highest, int(columns["index"].max()))
        n = self._n + len(columns["index"])
        for name, column in columns.items():
            held = self._columns[name]
            if n > len(held):
                held = self._columns[name] = np.concatenate([held[: self._n], np.empty(max(n, 2 * len(held)) - self._n, held.dtype)])
            held[self._n : n] = column
        self._n = n

    def _merge(self, batch: TradeBatch) -> int:
        rows = [dict(zip(FIELDS, values, strict=True)) for values in zip(*(batch.columns[name].tolist() for name in FIELDS), strict=True)]
        place = self._places(batch.index)
        added: dict[int, dict[str, Any]] = {}
        anonymous: list[dict[str, Any]] = []
        removed: set[int] = set()
        first = self._n
        for row, action in zip(rows, batch.action.tolist(), strict=True):
            index = row["index"]
            held = place.get(index)
            known = held is not None or index in added
            if action == Action.NEW:
                if known:
                    self.stats.duplicates += 1
                elif row["time_ns"] < self._floor_ns:
                    self.stats.too_late += 1
                elif index < 0:
                    anonymous.append(row)
                else:
                    added[index] = row
            elif not known:
                self.stats.orphans += 1
            elif action == Action.CANCEL or row["lots"] <= 0:
                self.stats.cancels += 1
                if held is not None:
                    removed.add(place.pop(index))
                added.pop(index, None)
            else:
                self.stats.corrections += 1
                if held is None:
                    added[index] = row | {"time_ns": added[index]["time_ns"]}
                else:
                    for name in ("ticks", "lots", "side", "side_source"):
                        self._columns[name][held] = row[name]
                    first = min(first, held)
        first = min(first, *removed, self._n)
        if removed:
            keep = np.setdiff1d(np.arange(self._n), np.fromiter(removed, np.int64))
            for name in FIELDS:
                self._columns[name][: len(keep)] = self._columns[name][keep]
            self._n = len(keep)
        fresh = [*added.values(), *anonymous]
        if fresh:
            place_ns = min(row["time_ns"] for row in fresh)
            start = int(np.searchsorted(self.time_ns, place_ns))  # nothing before it moves
            self._append({name: np.array([row[name] for row in fresh], kind) for name, kind in FIELDS.items()})
            order = np.lexsort((self.index[start:], self.time_ns[start:]))  # by time, then index, then arrival (lexsort is stable)
            moved = np.flatnonzero(order != np.arange(len(order)))
            first = min(first, start + int(moved[0]) if len(moved) else self._n - len(fresh))
            for name in FIELDS:
                self._columns[name][start : self._n] = self._columns[name][start : self._n][order]
        return first

    def _places(self, wanted: Int64) -> dict[int, int]:
        """The rows that hold the wanted indices."""
        held = self.index
        if (held[1:] > held[:-1]).all():
            rows = np.minimum(np.searchsorted(held, wanted), max(self._n - 1, 0))
        else:
            order = np.argsort(held, kind="stable")
            rows = order[np.minimum(np.searchsorted(held, wanted, sorter=order), max(self._n - 1, 0))]
        if self._n == 0:
            return {}
        return {index: row for index, row in zip(wanted.tolist(), rows.tolist(), strict=True) if index >= 0 and held[row] == index}


class SeenIndices:
    """Which trade indices of one contract were met already: the duplicates test of a feed, in ascending order so that the usual case is one comparison."""

    def __init__(self) -> None:
        self._held = np.empty(1024, np.int64)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def last(self) -> int:
        """The highest index met, -1 before the first."""
        return int(self._held[self._n - 1]) if self._n else -1

    @property
    def held(self) -> Int64:
        """All of them, ascending."""
        return self._held[: self._n]

    def contains(self, index: Int64) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For each index, whether it was met before."""
        held = self._held[: self._n]
        place = np.searchsorted(held, index)
        found = np.zeros(len(index), np.bool_)
        inside = place < self._n
        found[inside] = held[place[inside]] == index[inside]
        return found

    def add(self, index: Int64, *, ascending: bool = False) -> None:
        """Remember indices that are not held yet. `ascending`: they are known to be so, and beyond `last`."""
        n = self._n + len(index)
        if n > len(self._held):
            self._held = np.concatenate([self._held[: self._n], np.empty(max(n, 2 * len(self._held)) - self._n, np.int64)])
        late = not ascending and len(index) > 0 and (index[0] <= self.last or bool((index[1:] <= index[:-1]).any()))
        self._held[self._n : n] = index
        self._n = n
        if late:
            self._held[:n].sort(kind="stable")  # nearly sorted already, which this kind makes use of

    def forget_below(self, index: int) -> None:
        """Bound the memory: indices below this one are no longer known."""
        kept = self._held[int(np.searchsorted(self._held[: self._n], index)) : self._n]
        self._held, self._n = np.concatenate([kept, np.empty(1024, np.int64)]), len(kept)
