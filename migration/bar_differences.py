"""Bars of two sources held against each other: which are missing or double, how far prices and volumes lie apart. Pure; memory is bounded."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final

import numpy as np

from tastytrade_provider.model import Array, Int64

from .histogram import Histogram

FIELDS: Final = ("open", "high", "low", "close")
ROW: Final = np.dtype([("start", "i8"), ("ticks", "i8", (4,)), ("volume", "f8"), ("arrived", "i8"), ("revision", "i8")])
_KEPT = 1_440  # bars for the plots: a day of minutes
_EXAMPLES = 20
_PENDING = 100_000  # bars of one side waiting for the other


class BarDifferences:
    """Bars in by `add`, compared once `settle` says that nothing more is to come for them.

    Bars meet by start (UTC ns). A bar that comes again with a higher revision takes the place of the earlier one while that waits, and is counted as late
    afterwards; one that comes again with the same revision is a duplicate. Volumes in contracts, prices in whole ticks; a volume of NaN is not known.
    """

    def __init__(self) -> None:
        self._pending: tuple[list[Array], list[Array]] = ([], [])
        self._until = np.iinfo(np.int64).min
        self.bars, self.only = [0, 0], [0, 0]
        self.duplicates, self.late, self.dropped = [0, 0], [0, 0], [0, 0]
        self.matched = self.exact = 0
        self.apart = {name: Histogram(1, 1000) for name in FIELDS}  # B minus A, in ticks
        self.volume = [0.0, 0.0]
        self.volume_pct = Histogram(0.1, 1000)  # B over A minus 1
        self.lead_ms = Histogram(0.25, 10_000)  # positive: A came first
        self.examples: dict[str, list[dict[str, Any]]] = {"only_a": [], "only_b": [], "different": []}
        self.recent: deque[tuple[int, float, float]] = deque(maxlen=_KEPT)  # start, volume A, volume B
        self.span: list[int] = []  # first and last start

    def add(self, side: int, start_ns: Int64, ticks: Int64, volume: Array, arrived_ns: int = 0, revision: Int64 | int = 0) -> None:
        """Bars of one side (0 or 1): n starts, n x 4 prices in ticks, n volumes."""
        rows = np.empty(len(start_ns), ROW)
        rows["start"], rows["ticks"], rows["volume"], rows["arrived"], rows["revision"] = start_ns, ticks, volume, arrived_ns, revision
        is_late = rows["start"] < self._until
        self.late[side] += int(is_late.sum())
        room = max(_PENDING - sum(map(len, self._pending[side])), 0) if arrived_ns else len(rows)
        rows = rows[~is_late]
        self.dropped[side] += len(rows[room:])
        self._pending[side].append(rows[:room])

    def settle(self, until_ns: int) -> None:
        """Compare the bars that start before `until_ns`; what comes for them later is late."""
        if until_ns <= self._until:
            return
        self._until = until_ns
        a, b = (self._taken(side) for side in (0, 1))
        _, at_a, at_b = np.intersect1d(a["start"], b["start"], assume_unique=True, return_indices=True)
        for side, rows, at, name in ((0, a, at_a, "only_a"), (1, b, at_b, "only_b")):
            self.bars[side] += len(rows)
            alone = np.delete(rows["start"], at)
            self.only[side] += len(alone)
            self.examples[name] = (self.examples[name] + [{"start_ns": start} for start in alone[:_EXAMPLES].tolist()])[:_EXAMPLES]
            if len(rows):
                self.span = [min([*self.span[:1], int(rows["start"][0])]), max([*self.span[1:], int(rows["start"][-1])])]
        self._match(a[at_a], b[at_b])

    def _taken(self, side: int) -> Array:
        """The rows due, one for each start, ascending."""
        rows = np.concatenate([np.empty(0, ROW), *self._pending[side]])
        due = rows["start"] < self._until
        self._pending[side][:] = [rows[~due]] if not due.all() else []
        rows = rows[due]
        rows = rows[np.lexsort((rows["revision"], rows["start"]))]
        again = rows["start"][1:] == rows["start"][:-1]
        self.duplicates[side] += int((again & (rows["revision"][1:] == rows["revision"][:-1])).sum())
        return rows[np.append(~again, True)] if len(rows) else rows

    def _match(self, a: Array, b: Array) -> None:
        apart = b["ticks"] - a["ticks"]
        for i, name in enumerate(FIELDS):
            self.apart[name].add(apart[:, i])
        is_exact = (apart == 0).all(axis=1)
        self.matched += len(a)
        self.exact += int(is_exact.sum())
        known = np.isfinite(a["volume"]) & np.isfinite(b["volume"])
        for side, rows in ((0, a), (1, b)):
            self.volume[side] += float(rows["volume"][known].sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            self.volume_pct.add(100 * (b["volume"] / a["volume"] - 1))
        both = (a["arrived"] > 0) & (b["arrived"] > 0)
        self.lead_ms.add((b["arrived"] - a["arrived"])[both] / 1e6)
        self.recent.extend(zip(a["start"].tolist(), a["volume"].tolist(), b["volume"].tolist(), strict=True))
        self._keep_worst(a[~is_exact], b[~is_exact])

    def _keep_worst(self, a: Array, b: Array) -> None:
        widest = np.abs(b["ticks"] - a["ticks"]).max(axis=1, initial=0)
        for i in np.argsort(-widest, kind="stable")[:_EXAMPLES]:
            row = {"start_ns": int(a["start"][i]), "a_ticks": a["ticks"][i].tolist(), "b_ticks": b["ticks"][i].tolist(), "apart_ticks": int(widest[i])}
            self.examples["different"].append(row)
        self.examples["different"] = sorted(self.examples["different"], key=lambda row: -row["apart_ticks"])[:_EXAMPLES]

    def facts(self) -> dict[str, Any]:
        """Everything counted, ready for JSON. Sides in the order A, B."""
        every: Counter[float] = Counter()
        for one in self.apart.values():
            every.update(one.counts())
        n = sum(every.values())
        return {
            "bars": self.bars,
            "only": self.only,
            "duplicates": self.duplicates,
            "late": self.late,
            "dropped": self.dropped,
            "matched": self.matched,
            "exact": self.exact,
            "apart_ticks": {name: one.counts() for name, one in self.apart.items()},
            "apart_mean_ticks": sum(abs(ticks) * count for ticks, count in every.items()) / n if n else None,
            "apart_median_ticks": {name: one.quantile(0.5) for name, one in self.apart.items()},
            "apart_0_1_2_more": [sum(count for ticks, count in every.items() if min(abs(ticks), 3) == far) for far in range(4)],
            "volume": self.volume,
            "volume_pct_p5_p50_p95": [self.volume_pct.quantile(share) for share in (0.05, 0.5, 0.95)],
            "lead_ms_p50_p95": [self.lead_ms.quantile(share) for share in (0.5, 0.95)],
            "span_ns": self.span,
            "examples": self.examples,
            "recent": [list(row) for row in self.recent],
        }
