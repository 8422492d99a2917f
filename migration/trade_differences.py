"""Trades of two feeds held against each other, second by second and price by price. Pure; memory is bounded.

Prints are never matched one to one: a broker may put the fills of one order together, another send each. What both must show is the volume that traded at
a price in a second. The first print of a price in a second is the same event on both sides, so its arrival also tells who is earlier.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np

from tastytrade_provider.model import Action, Array, Int64, SideSource, TradeBatch

from .histogram import Histogram

SECOND_NS: Final = 1_000_000_000
ROW: Final = np.dtype([("second", "i8"), ("ticks", "i8"), ("arrived", "i8"), ("prints", "i8"), ("lots", "i8"), ("signed", "i8"), ("unknown", "i8")])
_SUMS: Final = ("prints", "lots", "signed", "unknown")
_KEPT = 1_440  # minutes for the plots: a day
_PENDING = 200_000  # rows of one side waiting for the other
_TELLING = 10  # prints on one side that make silence on the other worth telling


class TradeDifferences:
    """Trades in by `add`, compared once `settle` says that nothing more is to come for a second. Sums in lots, which are whole numbers."""

    def __init__(self) -> None:
        self._pending: tuple[list[Array], list[Array]] = ([], [])
        self._until = np.iinfo(np.int64).min
        self.newest: list[int | None] = [None, None]  # exchange time, ns
        self.prints, self.lots, self.unknown = [0, 0], [0, 0], [0, 0]
        self.late, self.amended, self.dropped = [0, 0], [0, 0], [0, 0]
        self.common = self.either = 0  # lots that both have at a price in a second; lots that at least one has
        self.sides_apart = 0  # of the lots that both have, those with another side
        self.sources = np.zeros((2, len(SideSource)), np.int64)
        self.shift_ticks = Histogram(0.1, 1000)  # mean price of a second, B minus A
        self.lead_ms = Histogram(0.25, 10_000)  # positive: A came first
        self.first = [0, 0]
        self.delta_apart = self.delta_lots = 0
        self.recent: deque[list[int]] = deque(maxlen=_KEPT)  # minute (UTC), lots A, B, delta A, B
        self._minute = [0] * 5
        self._last: list[int | None] = [None, None]  # second of the latest print compared
        self._meanwhile = [[0, 0], [0, 0]]  # prints of the other side since then, and the first of their seconds
        self.silence_s, self.silence_from_s = [0, 0], [0, 0]

    def add(self, side: int, batch: TradeBatch, arrived_ns: Int64 | int = 0, since_ns: int = 0) -> None:
        """Trades of one side (0 or 1) from `since_ns` on. Corrections and cancels are counted, the print they concern stays as it came."""
        counted = (batch.action == Action.NEW) & (batch.lots > 0) & (batch.time_ns >= since_ns)
        self.amended[side] += int((batch.action != Action.NEW).sum())
        if not counted.all():
            batch, arrived_ns = batch[counted], np.broadcast_to(arrived_ns, len(batch))[counted]
        if len(batch) == 0:
            return
        newest = int(batch.time_ns.max())
        self.newest[side] = max(newest, self.newest[side] or newest)
        rows = np.empty(len(batch), ROW)
        rows["second"], rows["ticks"], rows["lots"], rows["prints"], rows["arrived"] = batch.time_ns // SECOND_NS, batch.ticks, batch.lots, 1, arrived_ns
        rows["signed"], rows["unknown"] = batch.lots * batch.side, np.where(batch.side == 0, batch.lots, 0)
        is_late = rows["second"] < self._until
        if is_late.any():
            self.late[side] += int(is_late.sum())
            rows = rows[~is_late]
        self.sources[side] += np.bincount(batch.side_source, minlength=len(SideSource))
        self._pending[side].append(_grouped(rows))
        if sum(map(len, self._pending[side])) > _PENDING or len(self._pending[side]) > 1_000:
            merged = _grouped(np.concatenate(self._pending[side]))
            self.dropped[side] += int(merged["prints"][_PENDING:].sum())
            self._pending[side][:] = [merged[:_PENDING]]

    def settle(self, until_ns: int) -> None:
        """Compare the seconds that end by `until_ns`; what comes for them later is late."""
        until = until_ns // SECOND_NS
        if until <= self._until:
            return
        self._until = until
        a, b = (self._taken(side) for side in (0, 1))
        rows, at = _outer(a, b)
        if len(rows) == 0:
            return
        self._match(a, b, rows, at)
        self._by_second(a, b)

    def _taken(self, side: int) -> Array:
        rows = _grouped(np.concatenate([np.empty(0, ROW), *self._pending[side]]))
        due = rows["second"] < self._until
        self._pending[side][:] = [rows[~due]] if not due.all() else []
        return rows[due]

    def _match(self, a: Array, b: Array, keys: Array, at: tuple[Array, Array]) -> None:
        lots, signed, unknown = np.zeros((3, 2, len(keys)), np.int64)
        arrived = np.zeros((2, len(keys)), np.int64)
        for side, rows in ((0, a), (1, b)):
            lots[side, at[side]], arrived[side, at[side]] = rows["lots"], rows["arrived"]
            signed[side, at[side]], unknown[side, at[side]] = rows["signed"], rows["unknown"]
            self.prints[side] += int(rows["prints"].sum())
            self.lots[side] += int(rows["lots"].sum())
            self.unknown[side] += int(rows["unknown"].sum())
        common = int(lots.min(axis=0).sum())
        split = ((lots - unknown + signed) // 2, (lots - unknown - signed) // 2, unknown)  # bought, sold, neither is known
        self.sides_apart += common - sum(int(part.min(axis=0).sum()) for part in split)
        self.common += common
        self.either += int(lots.max(axis=0).sum())
        lead = (arrived[1] - arrived[0])[(arrived > 0).all(axis=0)]
        self.lead_ms.add(lead / 1e6)
        self.first[0] += int((lead > 0).sum())
        self.first[1] += int((lead < 0).sum())

    def _by_second(self, a: Array, b: Array) -> None:
        seconds = np.union1d(a["second"], b["second"])
        sums = np.zeros((2, 4, len(seconds)), np.int64)  # prints, lots, lots x ticks, signed
        for side, rows in ((0, a), (1, b)):
            place = np.searchsorted(seconds, rows["second"])
            for i, values in enumerate((rows["prints"], rows["lots"], rows["lots"] * rows["ticks"], rows["signed"])):
                np.add.at(sums[side, i], place, values)
        prints, lots, notional, signed = (sums[:, i] for i in range(4))
        both = (lots > 0).all(axis=0)
        self.shift_ticks.add(notional[1, both] / lots[1, both] - notional[0, both] / lots[0, both])
        for second, *row in zip(seconds.tolist(), *prints.tolist(), *lots.tolist(), *signed.tolist(), strict=True):
            self._listen(second, row[:2])
            if second // 60 != self._minute[0]:
                self._close_minute()
                self._minute = [second // 60, 0, 0, 0, 0]
            for i, value in enumerate(row[2:], 1):
                self._minute[i] += value

    def _listen(self, second: int, prints: list[int]) -> None:
        """Who is silent while the other trades: from its last print to the other's newest."""
        for side in (0, 1):
            other = prints[1 - side]
            if prints[side]:
                self._last[side], self._meanwhile[side] = second, [0, 0]
            elif other:
                seen, first = self._meanwhile[side]
                self._meanwhile[side] = [seen + other, first if seen else second]
                since = self._last[side]
                since = self._meanwhile[side][1] if since is None else since
                if seen + other >= _TELLING and second - since > self.silence_s[side]:
                    self.silence_s[side], self.silence_from_s[side] = second - since, since

    def _close_minute(self) -> None:
        minute, lots_a, lots_b, delta_a, delta_b = self._minute
        if minute:
            self.delta_apart += abs(delta_a - delta_b)
            self.delta_lots += max(lots_a, lots_b)
            self.recent.append(self._minute)

    def facts(self) -> dict[str, Any]:
        """Everything counted, ready for JSON, the running minute closed as it stands. Sides in the order A, B; lots and deltas in lots."""
        self._close_minute()
        self._minute = [0] * 5
        return {
            "prints": self.prints,
            "lots": self.lots,
            "unknown_lots": self.unknown,
            "late": self.late,
            "amended": self.amended,
            "dropped": self.dropped,
            "common_lots": self.common,
            "either_lots": self.either,
            "sides_apart_lots": self.sides_apart,
            "side_sources": [{source.name.lower(): int(counts[source]) for source in SideSource} for counts in self.sources],
            "shift_ticks_p50": self.shift_ticks.quantile(0.5),
            "delta_apart_lots": self.delta_apart,
            "delta_lots": self.delta_lots,
            "first": self.first,
            "lead_ms_n": self.lead_ms.n,
            "lead_ms_p5_p50_p95": [self.lead_ms.quantile(share) for share in (0.05, 0.5, 0.95)],
            "lead_ms": self.lead_ms.counts(),
            "silence_s": self.silence_s,
            "silence_from_s": self.silence_from_s,
            "recent": list(self.recent),
        }


def _grouped(rows: Array) -> Array:
    """One row for each second and price: sums, and the earliest arrival."""
    if len(rows) < 2:
        return rows
    rows = rows[np.lexsort((rows["arrived"], rows["ticks"], rows["second"]))]
    first = np.append(True, (rows["second"][1:] != rows["second"][:-1]) | (rows["ticks"][1:] != rows["ticks"][:-1]))
    if first.all():
        return rows
    at = np.flatnonzero(first)
    merged = rows[at]
    for name in _SUMS:
        merged[name] = np.add.reduceat(rows[name], at)
    return merged


def _outer(a: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    """Every (second, price) of either side, and where those of each side stand among them."""
    keys = np.concatenate([np.column_stack([rows["second"], rows["ticks"]]) for rows in (a, b)])
    found, place = np.unique(keys, axis=0, return_inverse=True)
    place = place.reshape(-1)
    return found, (place[: len(a)], place[len(a) :])
