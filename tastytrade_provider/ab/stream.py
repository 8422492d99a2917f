"""One watched stream in the shadow's process: from when both sides count, and what the shadow handed over last. No clock: times are arguments."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from ..migration import Comparison
from ..model import Bar, Gap, Quote, TradeBatch
from .pipe import Watch

PRIMARY, SHADOW = 0, 1
_RECENT = 20_000  # trades kept for the moment the primary fails


class Stream:
    """One watched stream on both sides, until when it is warming up, and what the shadow handed over last."""

    def __init__(self, watch: Watch, comparison: Comparison, warm_s: float) -> None:
        self.watch, self.comparison, self._warm_s = watch, comparison, warm_s
        self.ready = [False, False]
        self.newest_ns = 0  # exchange time
        self.since_ns: int | None = None  # exchange time from which both sides count, None while it warms up
        self.begins_s: float | None = None
        self.beat_ns = 0
        self.serving = False
        self.recent: deque[Any] = deque()
        self.weight = 0
        self.task: asyncio.Task[None] | None = None

    def advance(self, now_s: float) -> None:
        """Begin, a moment after both sides are there."""
        if self.since_ns is None and all(self.ready):
            self.begins_s = now_s + self._warm_s if self.begins_s is None else self.begins_s
            if now_s >= self.begins_s:
                self.since_ns = (self.newest_ns // 10**9 + 1) * 10**9 if self.newest_ns else 0

    def take(self, side: int, item: Any, arrived_ns: Any) -> None:
        """An item of one side, with its arrival, or of trades that of each."""
        if isinstance(item, Gap):
            if self.since_ns is not None and not item.filled:
                self.comparison.note(side, "gap", f"{self.watch.contract.symbol} {self.watch.kind}: {item.reason}", item.start_ns)
            return
        self.ready[side] = True
        if isinstance(item, TradeBatch):
            if len(item) == 0:
                return
            self.newest_ns = max(self.newest_ns, int(item.time_ns.max()))
        elif isinstance(item, Bar):
            self.newest_ns = max(self.newest_ns, item.end_ns - 1)
        if self.since_ns is None:
            return
        if isinstance(item, TradeBatch):
            self.comparison.add_trades(side, item, arrived_ns, since_ns=self.since_ns)
        elif isinstance(item, Quote):
            self.comparison.add_quote(side, item, arrived_ns)
        elif isinstance(item, Bar) and item.start_ns >= self.since_ns:
            self.comparison.add_bar(side, item, arrived_ns)

    def keep(self, item: Any) -> None:
        """Remember the shadow's latest, for the moment the primary fails."""
        if self.watch.kind == "quotes":
            self.recent.clear()
        self.recent.append(item)
        self.weight += len(item) if isinstance(item, TradeBatch) else 1
        while self.weight > _RECENT:
            gone = self.recent.popleft()
            self.weight -= len(gone) if isinstance(gone, TradeBatch) else 1

    def after(self, since_ns: int) -> list[Any]:
        """What the shadow handed over that is newer than the primary's last."""
        found = []
        for item in self.recent:
            if isinstance(item, TradeBatch):
                item = item[item.time_ns > since_ns]
                found += [item] if len(item) else []
            elif not isinstance(item, Bar) or item.start_ns > since_ns:
                found.append(item)
        return found
