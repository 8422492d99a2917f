"""One contract's line: who listens to its trades, what happens to them on the way, and what an outage may have cost. No clock: times are arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..model import Action, Contract, Gap, Roll, TradeBatch
from ..provider import Subscription
from .intake import Intake

TradeSubscription = Subscription[TradeBatch | Gap | Roll]


@dataclass(slots=True)
class Line:
    """Trades go in by `take` and out to `listeners` by `put`. After `broke`, the next trade (or `silent`) tells the gap, once."""

    contract: Contract
    intake: Intake
    listeners: list[TradeSubscription] = field(default_factory=list)
    _since_ns: int = 0  # our clock when somebody began to listen
    _last: tuple[int, int] | None = None  # exchange time and our clock of the newest trade since then
    _is_broken: bool = False

    def join(self, listener: TradeSubscription, now_ns: int) -> bool:
        """Add a listener; True where it is the only one, so that the feed must be asked."""
        if not self.listeners:
            self._since_ns, self._last, self._is_broken = now_ns, None, False
        self.listeners.append(listener)
        return len(self.listeners) == 1

    def leave(self, listener: TradeSubscription) -> bool:
        """Remove a listener; True where it was the last one, so that the feed need not send any more."""
        if listener not in self.listeners:
            return False
        self.listeners.remove(listener)
        return not self.listeners

    def take(self, batch: TradeBatch) -> list[TradeBatch | Gap]:
        """What of a batch is to be handed over: nothing, the trades that count, or before them the gap that they end."""
        taken = self.intake.take(batch)
        if taken is None:
            return []
        gap = self._ended_by(taken)
        self._last = self.intake.last_time_ns, int(taken.received_ns[-1])
        return [taken] if gap is None else [gap, taken]

    def put(self, item: TradeBatch | Gap) -> bool:
        """Hand an item to every listener. True where one of them is full, and the feed should wait."""
        for listener in tuple(self.listeners):
            listener.put(item)
        return any(listener.is_full for listener in self.listeners)

    def broke(self) -> None:
        """The connection is gone: from the newest trade on, trades may be missing."""
        self._is_broken = bool(self.listeners)

    def silent(self, now_ns: int) -> Gap | None:
        """The gap where no trade came that could end it: up to what the exchange's clock must show now."""
        if not self._is_broken:
            return None
        if self._last is None:
            return self._gap(self._since_ns, now_ns)
        time_ns, seen_ns = self._last
        return self._gap(time_ns, time_ns + now_ns - seen_ns)

    def end(self, error: Exception | None) -> None:
        """Nothing more comes."""
        for listener in tuple(self.listeners):
            listener.end(error)
        self.listeners.clear()

    def _ended_by(self, batch: TradeBatch) -> Gap | None:
        """The gap that the first later trade ends; a correction or a straggler from before it does not."""
        if not self._is_broken:
            return None
        start_ns = None if self._last is None else self._last[0]
        later = np.flatnonzero((batch.action == Action.NEW) & (batch.time_ns >= (start_ns or 0)))
        if len(later) == 0:
            return None
        first_ns, seen_ns = int(batch.time_ns[later[0]]), int(batch.received_ns[later[0]])
        if start_ns is None:
            start_ns = first_ns - max(seen_ns - self._since_ns, 0)
        return self._gap(start_ns, first_ns + 1)  # one of the same nanosecond may be missing too

    def _gap(self, start_ns: int, end_ns: int) -> Gap:
        self._is_broken = False
        return Gap(self.contract, start_ns, max(end_ns, start_ns + 1), "connection lost")
