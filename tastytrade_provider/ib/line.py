"""One contract's trades and quotes, live: who listens, whose side each print is, and what an outage may have cost. No clock: times are arguments."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..aggressor import AggressorClassifier
from ..model import Contract, Gap, Quote, Roll, TradeBatch, TradeFlag
from ..provider import Subscription
from .mapping import SECOND_NS, quote_of

TradeSubscription = Subscription[TradeBatch | Gap | Roll]
QuoteSubscription = Subscription[Quote | Gap]
_NAMES = ("time_ns", "received_ns", "price", "size", "bid", "ask")


@dataclass(slots=True)
class LineCounts:
    """Prints handed on, and why others were not.

    no_volume   IB's word for "no trade": a size of 0        unreported  what `Last` leaves out: combinations, derivatives, average prices
    """

    trades: int = 0
    off_tick: int = 0
    off_step: int = 0
    excluded: dict[str, int] = field(default_factory=lambda: {"no_volume": 0, "unreported": 0})


class Line:
    """Ticks go in by `quote` and `trade`, out to the listeners by `flush`, once for everything that was read in one go.

    A print carries the last quote that came before it. Sides are inferred from quotes that come apart: at the ask or bid, else by the tick rule.
    After `broke`, the next print (or `silent`) tells the gap, once; so does the next quote to those who listen to quotes.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.trades: list[TradeSubscription] = []
        self.quotes: list[QuoteSubscription] = []
        self.counts = LineCounts()
        self._classifier = AggressorClassifier("apart")
        self._classified: Counter[str] = Counter()  # by those before it
        self.lag_ms: float | None = None
        self.newest_ns = 0
        self._bid = self._ask = math.nan
        self._read: list[tuple[int, int, float, float, float, float]] = []
        self._changes: list[Quote] = []
        self._since_ns = 0
        self._last: tuple[int, int] | None = None  # exchange time and our clock of the newest print since somebody listens
        self._last_quote_ns: int | None = None
        self._is_broken = self._are_quotes_broken = False

    @property
    def sides(self) -> Counter[str]:
        """Prints so far by where their side came from."""
        return self._classified + Counter(self._classifier.counts)

    def begin(self, now_ns: int) -> None:
        """Somebody listens to trades, after nobody did."""
        self._since_ns, self._last, self._is_broken = now_ns, None, False
        if not self.quotes:
            self._forget()

    def quote(self, epoch_s: int, bid: float, ask: float, bid_size: float, ask_size: float, received_ns: int) -> None:
        """A quote."""
        quote = quote_of(self.contract, epoch_s, received_ns, bid, ask, bid_size, ask_size)
        self._bid = math.nan if quote.bid is None else quote.bid
        self._ask = math.nan if quote.ask is None else quote.ask
        if self.quotes:
            self._changes.append(quote)

    def trade(self, epoch_s: int, price: float, size: float, unreported: bool, received_ns: int) -> None:
        """A print. ValueError where it has no finite price or size."""
        if not (math.isfinite(price) and math.isfinite(size)):
            raise ValueError(f"a print of {self.contract.symbol} with price {price} and size {size}")
        if size <= 0:
            self.counts.excluded["no_volume"] += 1
        elif unreported:
            self.counts.excluded["unreported"] += 1
        else:
            self._read.append((epoch_s * SECOND_NS, received_ns, price, size, self._bid, self._ask))

    def flush(self) -> list[Gap]:
        """Hand over what was read; the gaps among it are returned, for the status."""
        gaps: list[Gap] = []
        if self._read:
            read, self._read = self._read, []
            batch = self._batch(read)
            gap = self._ended_by(batch)
            if gap is not None:
                self._put(gap)
                gaps.append(gap)
            self._last = self.newest_ns, int(batch.received_ns[-1])
            for listener in tuple(self.trades):
                listener.put(batch)
        if self._changes:
            changes, self._changes = self._changes, []
            self._hand_over_quotes(changes)
        return gaps

    def broke(self) -> None:
        """The connection is gone: from the newest print and quote on, some may be missing, and the last quote is not to be trusted."""
        self._is_broken = bool(self.trades)
        self._are_quotes_broken = bool(self.quotes) and self._last_quote_ns is not None
        self._forget()

    def silent(self, now_ns: int) -> Gap | None:
        """The gap where no print came that could end it: up to what the exchange's clock must show now. Handed over, and returned."""
        if not self._is_broken:
            return None
        start_ns, end_ns = (self._since_ns, now_ns) if self._last is None else (self._last[0], self._last[0] + now_ns - self._last[1])
        gap = self._gap(start_ns, end_ns)
        self._put(gap)
        return gap

    def end(self, error: Exception | None) -> None:
        """Nothing more comes."""
        everyone: list[Subscription[Any]] = [*self.trades, *self.quotes]
        for listener in everyone:
            listener.end(error)
        self.trades.clear()
        self.quotes.clear()

    def _forget(self) -> None:
        """The last quote and price are of before: no side is to be told by them."""
        self._bid = self._ask = math.nan
        self._classified.update(self._classifier.counts)
        self._classifier = AggressorClassifier("apart")

    def _put(self, gap: Gap) -> None:
        for listener in tuple(self.trades):
            listener.put(gap)

    def _batch(self, read: list[tuple[int, int, float, float, float, float]]) -> TradeBatch:
        columns = dict(zip(_NAMES, zip(*read, strict=True), strict=True))
        batch = self._classifier.classify(TradeBatch(self.contract, {name: np.array(values) for name, values in columns.items()}))
        self.counts.trades += len(batch)
        self.counts.off_tick += int((batch.flags & TradeFlag.OFF_TICK > 0).sum())
        self.counts.off_step += int((batch.flags & TradeFlag.OFF_STEP > 0).sum())
        self.newest_ns = max(self.newest_ns, int(batch.time_ns.max()))
        self.lag_ms = (int(batch.received_ns[-1]) - int(batch.time_ns[-1])) / 1e6
        return batch

    def _ended_by(self, batch: TradeBatch) -> Gap | None:
        """The gap that the first later print ends; a late one from before it does not."""
        if not self._is_broken:
            return None
        start_ns = None if self._last is None else self._last[0]
        later = np.flatnonzero(batch.time_ns >= (start_ns or 0))
        if len(later) == 0:
            return None
        first_ns, seen_ns = int(batch.time_ns[later[0]]), int(batch.received_ns[later[0]])
        if start_ns is None:
            start_ns = first_ns - max(seen_ns - self._since_ns, 0)
        return self._gap(start_ns, first_ns + SECOND_NS)  # others of its second may be missing too

    def _gap(self, start_ns: int, end_ns: int) -> Gap:
        self._is_broken = False
        return Gap(self.contract, start_ns, max(end_ns, start_ns + 1), "connection lost")

    def _hand_over_quotes(self, changes: list[Quote]) -> None:
        gap = None
        if self._are_quotes_broken and self._last_quote_ns is not None:
            self._are_quotes_broken = False
            gap = Gap(self.contract, self._last_quote_ns, max(changes[0].time_ns, self._last_quote_ns) + 1, "connection lost")
        self._last_quote_ns = changes[-1].time_ns
        for listener in tuple(self.quotes):
            for item in (gap, *changes):
                if item is not None:
                    listener.put(item)
