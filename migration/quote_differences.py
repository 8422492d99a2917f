"""Best bid and ask of two feeds held against each other over time. Pure; memory is bounded."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tastytrade_provider.model import Array, Quote

_EMPTY: Final = np.iinfo(np.int64).min
ROW: Final = np.dtype([("arrived", "i8"), ("side", "i8"), ("bid", "i8"), ("ask", "i8")])
_PENDING = 200_000  # quotes waiting to be compared


class QuoteDifferences:
    """Quotes in by `add` with their arrival on one clock (ns), compared by `settle`: how long the two books were alike, and how wide each was."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, int, int, int]] = []
        self._standing = np.zeros(0, ROW)  # the quote in force, by side
        self._until = 0
        self.updates, self.dropped = [0, 0], [0, 0]
        self.both_ns = self.alike_ns = 0
        self.spread_ns = [0.0, 0.0]  # spread in ticks times ns

    def add(self, side: int, quote: Quote, arrived_ns: int) -> None:
        """A quote of one side (0 or 1). One that comes behind what is settled counts from there on."""
        ticks = quote.contract.ticks
        bid, ask = (_EMPTY if price is None else ticks(price) for price in (quote.bid, quote.ask))
        if len(self._pending) >= _PENDING:
            self.dropped[side] += 1
            return
        self.updates[side] += 1
        self._pending.append((max(arrived_ns, self._until), side, bid, ask))

    def settle(self, until_ns: int) -> None:
        """Compare the books up to this moment of the arrival clock."""
        if until_ns <= self._until:
            return
        pending = np.array(self._pending, ROW) if self._pending else np.zeros(0, ROW)
        due = pending["arrived"] < until_ns
        self._pending = pending[~due].tolist()
        standing = self._standing.copy()
        standing["arrived"] = self._until
        rows = np.concatenate([standing, np.sort(pending[due], order="arrived", kind="stable")])
        self._until = until_ns
        if len(rows) == 0:
            return
        at = [np.maximum.accumulate(np.where(rows["side"] == side, np.arange(len(rows)), -1)) for side in (0, 1)]
        self._standing = np.array([rows[i[-1]] for i in at if i[-1] >= 0], ROW)
        lasted = np.diff(rows["arrived"], append=until_ns)
        self._measure(rows[at[0]], rows[at[1]], np.where((at[0] >= 0) & (at[1] >= 0), lasted, 0))

    def _measure(self, a: Array, b: Array, lasted: Array) -> None:
        self.both_ns += int(lasted.sum())
        self.alike_ns += int(lasted[(a["bid"] == b["bid"]) & (a["ask"] == b["ask"])].sum())
        whole = (a["bid"] != _EMPTY) & (a["ask"] != _EMPTY) & (b["bid"] != _EMPTY) & (b["ask"] != _EMPTY)
        for side, rows in ((0, a), (1, b)):
            self.spread_ns[side] += float(((rows["ask"][whole] - rows["bid"][whole]) * lasted[whole]).sum())

    def facts(self) -> dict[str, Any]:
        """Everything counted, ready for JSON. Sides in the order A, B; spreads in ticks, weighed by time."""
        return {
            "updates": self.updates,
            "dropped": self.dropped,
            "both_s": self.both_ns / 1e9,
            "alike_s": self.alike_ns / 1e9,
            "spread_ticks": [total / self.both_ns if self.both_ns else None for total in self.spread_ns],
        }
