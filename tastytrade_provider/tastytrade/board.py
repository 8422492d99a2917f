"""Who listens to quotes and summaries, and what they are handed. No clock: times are arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..dxlink.messages import Subscription as Item
from ..model import Gap, Quote, Summary
from ..provider import Subscription
from .quotes import MarketDecoder, SummaryState

SUMMARY_TYPES = ("Trade", "Summary", "Profile")


class Board:
    """Quotes and summaries of all contracts. Conflated by the feed: the last value of each symbol counts, those in between may not come.

    rejected rows are counted and kept in `decoder`.
    """

    def __init__(self) -> None:
        self.decoder = MarketDecoder()
        self._quotes: dict[str, list[Subscription[Quote | Gap]]] = {}
        self._summaries: dict[str, list[Subscription[Summary]]] = {}
        self._states: dict[str, SummaryState] = {}
        self._last_ns: dict[str, int] = {}
        self._pending: set[str] = set()  # symbols whose next quote comes behind a gap

    def join_quotes(self, listener: Subscription[Quote | Gap]) -> list[Item]:
        """Add a listener; what the feed must be asked for because of it."""
        self.decoder.watch(listener.contract)
        return _join(self._quotes, listener, ("Quote",))

    def join_summary(self, listener: Subscription[Summary]) -> list[Item]:
        """Add a listener; it gets the latest summary at once where one is there."""
        self.decoder.watch(listener.contract)
        state = self._states.setdefault(listener.contract.streamer_symbol, SummaryState(listener.contract))
        asked = _join(self._summaries, listener, SUMMARY_TYPES)
        if state.summary is not None:
            listener.put(state.summary)
        return asked

    def leave(self, listener: Subscription[Any]) -> list[Item]:
        """Remove a listener; what the feed need not send any more."""
        symbol, gone = listener.contract.streamer_symbol, list[Item]()
        for listeners, types in ((self._quotes, ("Quote",)), (self._summaries, SUMMARY_TYPES)):
            held = listeners.get(symbol, [])
            if listener in held:
                held.remove(listener)
                gone += [Item(kind, symbol) for kind in types] if not held else []
        return gone

    def wanted(self) -> list[Item]:
        """Everything that has a listener."""
        return [
            Item(kind, symbol)
            for listeners, types in ((self._quotes, ("Quote",)), (self._summaries, SUMMARY_TYPES))
            for symbol, held in listeners.items()
            if held
            for kind in types
        ]

    def listeners(self) -> list[Subscription[Any]]:
        """All of them."""
        groups: list[list[Any]] = [*self._quotes.values(), *self._summaries.values()]
        return [listener for held in groups for listener in held]

    def served_by(self, items: Sequence[Item]) -> list[Subscription[Any]]:
        """The listeners that need one of these items."""
        asked = {(item.type, item.symbol) for item in items}
        groups: list[tuple[dict[str, list[Any]], tuple[str, ...]]] = [(self._quotes, ("Quote",)), (self._summaries, SUMMARY_TYPES)]
        return [one for table, types in groups for symbol, held in table.items() if any((kind, symbol) in asked for kind in types) for one in held]

    def take(self, raws: Sequence[bytes], received_ns: Sequence[int], fields_of: Callable[[str], Sequence[str]]) -> None:
        """Decode messages and hand over what they hold; the first after an outage comes behind a Gap."""
        for value in self.decoder.decode(raws, received_ns, fields_of):
            symbol = value.contract.streamer_symbol
            if isinstance(value, Quote):
                gap = self._gap(symbol, value)
                self._last_ns[symbol] = value.time_ns
                for listener in tuple(self._quotes.get(symbol, ())):
                    if gap is not None:
                        listener.put(gap)
                    listener.put(value)
            elif symbol in self._states:
                summary = self._states[symbol].add(value)
                if summary is not None:
                    for waiting in tuple(self._summaries.get(symbol, ())):
                        waiting.put(summary)

    def broke(self) -> None:
        """The connection is gone: quotes in between did not come."""
        self._pending = set(self._last_ns)

    def _gap(self, symbol: str, quote: Quote) -> Gap | None:
        if symbol not in self._pending:
            return None
        self._pending.discard(symbol)
        start_ns = self._last_ns[symbol]
        return Gap(quote.contract, start_ns, max(quote.time_ns, start_ns + 1), "connection lost")


def _join(listeners: dict[str, list[Any]], listener: Subscription[Any], types: Sequence[str]) -> list[Item]:
    held = listeners.setdefault(listener.contract.streamer_symbol, [])
    held.append(listener)
    return [Item(kind, listener.contract.streamer_symbol) for kind in types] if len(held) == 1 else []
