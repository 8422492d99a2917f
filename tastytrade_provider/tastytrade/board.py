"""Who listens to quotes and summaries, and what they are handed. No clock: times are arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from ..dxlink.messages import Subscription as Item
from ..model import Contract, Gap, Quote, Summary
from ..provider import Subscription
from .quotes import LastTrade, MarketDecoder, SummaryState, Value

SUMMARY_TYPES = ("Trade", "Summary", "Profile")
WATCHED_TYPES = ("Quote", "Trade")


class Board:
    """Quotes and summaries of all contracts. Conflated by the feed: the last value of each symbol counts, those in between may not come.

    heard  called with every quote and last trade of the contracts under `watch`
    keep   called before that with the message they are in, when it was received (UTC ns), and what gives the columns of an event type
    rejected rows are counted and kept in `decoder`.
    """

    def __init__(self, heard: Callable[[Quote | LastTrade], None], keep: Callable[[bytes, int, Callable[[str], Sequence[str]]], None]) -> None:
        self.decoder = MarketDecoder()
        self._heard, self._keep = heard, keep
        self._quotes: dict[str, list[Subscription[Quote | Gap]]] = {}
        self._summaries: dict[str, list[Subscription[Summary]]] = {}
        self._states: dict[str, SummaryState] = {}
        self._last_ns: dict[str, int] = {}
        self._watched: set[str] = set()
        self._pending: set[str] = set()  # symbols whose next quote comes behind a gap

    def join_quotes(self, listener: Subscription[Quote | Gap]) -> list[Item]:
        """Add a listener; what the feed must be asked for because of it."""
        before = self._begin(listener.contract)
        self._quotes.setdefault(listener.contract.streamer_symbol, []).append(listener)
        return self._added(before)

    def join_summary(self, listener: Subscription[Summary]) -> list[Item]:
        """Add a listener; it gets the latest summary at once where one is there."""
        before, symbol = self._begin(listener.contract), listener.contract.streamer_symbol
        state = self._states.setdefault(symbol, SummaryState(listener.contract))
        self._summaries.setdefault(symbol, []).append(listener)
        if state.summary is not None:
            listener.put(state.summary)
        return self._added(before)

    def leave(self, listener: Subscription[Any]) -> list[Item]:
        """Remove a listener; what the feed need not send any more."""
        before = self.wanted()
        symbol = listener.contract.streamer_symbol
        for listeners in (self._quotes, self._summaries):
            held: list[Any] = listeners.get(symbol, [])
            if listener in held:
                held.remove(listener)
        if not self._quotes.get(symbol):  # what was known is of no use to who comes later
            self._last_ns.pop(symbol, None)
            self._pending.discard(symbol)
        if not self._summaries.get(symbol):
            self._states.pop(symbol, None)
        return self._gone(before)

    def watch(self, contract: Contract) -> list[Item]:
        """Hear quotes and last trades of a contract; what the feed must be asked for because of it."""
        before = self._begin(contract)
        self._watched.add(contract.streamer_symbol)
        return self._added(before)

    def unwatch(self, contract: Contract) -> list[Item]:
        """The opposite; what the feed need not send any more."""
        before = self.wanted()
        self._watched.discard(contract.streamer_symbol)
        return self._gone(before)

    def wanted(self) -> list[Item]:
        """Everything that somebody wants."""
        wanted = [(kind, symbol) for symbol, held in self._quotes.items() if held for kind in ("Quote",)]
        wanted += [(kind, symbol) for symbol, held in self._summaries.items() if held for kind in SUMMARY_TYPES]
        wanted += [(kind, symbol) for symbol in sorted(self._watched) for kind in WATCHED_TYPES]
        return [Item(kind, symbol) for kind, symbol in dict.fromkeys(wanted)]

    def _begin(self, contract: Contract) -> list[Item]:
        self.decoder.watch(contract)
        return self.wanted()

    def _added(self, before: Sequence[Item]) -> list[Item]:
        return [item for item in self.wanted() if item not in before]

    def _gone(self, before: Sequence[Item]) -> list[Item]:
        after = self.wanted()
        return [item for item in before if item not in after]

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
        for raw, received in zip(raws, received_ns, strict=True):
            values = self.decoder.decode([raw], [received], fields_of)
            if any(self._is_watched(value) for value in values):
                self._keep(raw, received, fields_of)
            for value in values:
                self._hand_over(value)

    def _is_watched(self, value: Value) -> TypeGuard[Quote | LastTrade]:
        return isinstance(value, Quote | LastTrade) and value.contract.streamer_symbol in self._watched

    def _hand_over(self, value: Value) -> None:
        symbol = value.contract.streamer_symbol
        if self._is_watched(value):
            self._heard(value)
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
