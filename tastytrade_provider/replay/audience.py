"""Who listens to a replay, and how what is played reaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..model import Contract, Gap, Quote, Roll, TradeBatch
from ..provider import Subscription
from .bar_feed import BarFeed
from .quotes import EmbeddedQuotes
from .sources import Source

TradeSubscription = Subscription[TradeBatch | Gap | Roll]
QuoteSubscription = Subscription[Quote | Gap]


class Audience:
    """Subscriptions of trades and quotes, and feeds of bars, by streamer symbol. `left` is called when one is cancelled."""

    def __init__(self, left: Callable[[], None]) -> None:
        self.trades: dict[str, list[TradeSubscription]] = {}
        self.quotes: dict[str, list[QuoteSubscription]] = {}
        self.feeds: dict[str, list[BarFeed]] = {}
        self._embedded: dict[str, EmbeddedQuotes] = {}
        self._left = left

    def everyone(self) -> list[Subscription[Any]]:
        """All subscriptions."""
        groups: list[Any] = [*self.trades.values(), *self.quotes.values()]
        return [listener for group in groups for listener in group] + [feed.listener for feed in self.every_feed()]

    def every_feed(self) -> Iterator[BarFeed]:
        """All feeds of bars."""
        for feeds in tuple(self.feeds.values()):
            yield from tuple(feeds)

    def leave(self, listener: Subscription[Any]) -> None:
        """A subscription was cancelled."""
        symbol = listener.contract.streamer_symbol
        groups: list[dict[str, list[Any]]] = [self.trades, self.quotes]
        for group in groups:
            group[symbol] = [one for one in group.get(symbol, ()) if one is not listener]
        self.feeds[symbol] = [feed for feed in self.feeds.get(symbol, ()) if feed.listener is not listener]
        self._left()

    def end(self, error: Exception | None) -> None:
        """Nothing more comes for anybody."""
        for listener in self.everyone():
            listener.end(error)
        groups: list[dict[str, Any]] = [self.trades, self.quotes, self.feeds, self._embedded]
        for group in groups:
            group.clear()

    def hand_over(self, source: Source, item: TradeBatch | Gap | Quote, feeds: list[BarFeed]) -> None:
        """What was played to who wants it. `feeds`: those of bars that it is news to; others have it in the past they are filled with."""
        contract, symbol = item.contract, item.contract.streamer_symbol
        if isinstance(item, Quote):
            self._quoted(symbol, item)
            return
        if isinstance(item, Gap):
            self._quoted(symbol, item)
        elif source.quotes == "embedded" and self.quotes.get(symbol):
            for quote in self._embedded_of(contract).add(item):
                self._quoted(symbol, quote)
        for listener in tuple(self.trades.get(symbol, ())):
            listener.put(item)
        for feed in feeds:
            feed.take(source, item)

    def _quoted(self, symbol: str, item: Quote | Gap) -> None:
        for listener in tuple(self.quotes.get(symbol, ())):
            listener.put(item)

    def _embedded_of(self, contract: Contract) -> EmbeddedQuotes:
        return self._embedded.setdefault(contract.streamer_symbol, EmbeddedQuotes(contract))
