"""Best bid and ask of two feeds held against each other over time. Pure; memory is bounded."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tastytrade_provider.model import Array, Quote

_EMPTY: Final = np.iinfo(np.int64).min
ROW: Final = np.dtype([("arrived", "i8"), ("side", "i8"), ("bid", "i8"), ("ask", "i8"), ("news", "i8")])
_PENDING = 200_000  # quotes waiting to be compared
_TELLING = 10  # changed quotes of one side that make silence of the other worth telling


class QuoteDifferences:
    """Quotes in by `add` with their arrival on one clock (ns), compared by `settle`: how long the two books were alike, how wide each was, and
    for how long one was silent while the other changed. A quote that repeats the last one shows that its side lives, and nothing about the other: that may send
    changes only.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[int, int, int, int, int]] = []
        self._standing = np.zeros(0, ROW)  # the quote in force, by side
        self._until = 0
        self.updates, self.dropped = [0, 0], [0, 0]
        self.both_ns = self.alike_ns = self.whole_ns = 0  # while both had a quote; it was the same; both had bid and ask
        self.spread_ns = [0.0, 0.0]  # spread in ticks times ns
        self.silence_ns = [0, 0]
        self._newest: list[tuple[float | None, ...] | None] = [None, None]
        self._heard: list[int | None] = [None, None]  # arrival of the latest quote compared
        self._meanwhile = [[0, 0], [0, 0]]  # changes of the other side since then, and the first of their arrivals

    def add(self, side: int, quote: Quote, arrived_ns: int) -> None:
        """A quote of one side (0 or 1). One that comes behind what is settled counts from there on."""
        ticks = quote.contract.ticks
        bid, ask = (_EMPTY if price is None else ticks(price) for price in (quote.bid, quote.ask))
        if len(self._pending) >= _PENDING:
            self.dropped[side] += 1
            return
        self.updates[side] += 1
        newest = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
        self._pending.append((max(arrived_ns, self._until), side, bid, ask, int(newest != self._newest[side])))
        self._newest[side] = newest

    def settle(self, until_ns: int) -> None:
        """Compare the books up to this moment of the arrival clock."""
        if until_ns <= self._until:
            return
        pending = np.array(self._pending, ROW) if self._pending else np.zeros(0, ROW)
        due = pending["arrived"] < until_ns
        self._pending = pending[~due].tolist()
        standing = self._standing.copy()
        standing["arrived"] = self._until
        fresh = np.sort(pending[due], order="arrived", kind="stable")
        self._listen(fresh)
        rows = np.concatenate([standing, fresh])
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
        self.whole_ns += int(lasted[whole].sum())
        for side, rows in ((0, a), (1, b)):
            self.spread_ns[side] += float(((rows["ask"][whole] - rows["bid"][whole]) * lasted[whole]).sum())

    def _listen(self, rows: Array) -> None:
        """Who is silent while the other's quotes change: from its last quote to the other's newest change."""
        for arrived, side, news in zip(rows["arrived"].tolist(), rows["side"].tolist(), rows["news"].tolist(), strict=True):
            self._heard[side], self._meanwhile[side] = arrived, [0, 0]
            if news:
                other = 1 - side
                seen, first = self._meanwhile[other]
                self._meanwhile[other] = [seen + 1, first if seen else arrived]
                since = self._heard[other]
                since = self._meanwhile[other][1] if since is None else since
                if seen + 1 >= _TELLING:
                    self.silence_ns[other] = max(self.silence_ns[other], arrived - since)

    def facts(self) -> dict[str, Any]:
        """Everything counted, ready for JSON. Sides in the order A, B; spreads in ticks, weighed by the time in which both sides had bid and ask."""
        return {
            "updates": self.updates,
            "dropped": self.dropped,
            "both_s": self.both_ns / 1e9,
            "alike_s": self.alike_ns / 1e9,
            "spread_ticks": [total / self.whole_ns if self.whole_ns else None for total in self.spread_ns],
            "silence_s": [silent / 1e9 for silent in self.silence_ns],
        }
