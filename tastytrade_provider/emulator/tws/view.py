"""One contract as TWS shows it: the exchange's events with IB's differences put in, and what is kept of them for history."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from tastytrade_provider.emulator.book import MAX_PRINTS, Book
from tastytrade_provider.emulator.source import Print, QuoteChange
from tastytrade_provider.emulator.tws.knobs import TwsKnobs
from tastytrade_provider.model import Action, Contract


@dataclass(slots=True)
class News:
    """What an event changes. `ticks` as trades are shown; `bar` as bars count it; `was_repaired`: an earlier print was corrected or withdrawn."""

    ticks: list[Print] = field(default_factory=list)
    bar: Print | None = None
    quote: QuoteChange | None = None
    was_repaired: bool = False


class View:
    """Takes the events of one contract in order; `book` has what bars and the day's figures are made of, `ticks` what trades were shown."""

    def __init__(self, contract: Contract, knobs: TwsKnobs) -> None:
        self.contract = contract
        self.book = Book(contract)
        self.ticks: deque[Print] = deque(maxlen=MAX_PRINTS)
        self.quotes: deque[QuoteChange] = deque(maxlen=MAX_PRINTS)
        self._knobs = knobs
        self._held: Print | None = None
        self._is_missing = _every(knobs.missing, np.random.default_rng([knobs.seed, *contract.streamer_symbol.encode()]))
        self._lots = 0  # of all prints so far, before the filter
        self._shift = contract.price(abs(knobs.shift_ticks)) * (1 if knobs.shift_ticks >= 0 else -1)

    def take(self, event: Print | QuoteChange) -> News:
        """Take an event of the exchange."""
        if isinstance(event, QuoteChange):
            return self._quote(event)
        event = self._shifted(event)
        if event.action is not Action.NEW:
            was_known = event.index in self.book.prints
            self.book.apply(event)
            return News(was_repaired=was_known)
        bar = self._filtered(event)
        self.book.apply(bar)
        ticks = [] if self._is_missing() else self._joined(event)
        return News(ticks, bar if counts(bar) else None)

    def settle(self, market_ns: int) -> list[Print]:
        """The print that waited for more of its kind, once the market's clock has passed it."""
        return self._released() if self._held is not None and market_ns > self._held.time_ns else []

    def ticks_from(self, start_ns: int, end_ns: int) -> Iterator[Print]:
        """Ticks shown in [start, end), newest first."""
        return (tick for tick in takewhile(lambda tick: tick.time_ns >= start_ns, reversed(self.ticks)) if tick.time_ns < end_ns)

    def quotes_from(self, start_ns: int, end_ns: int) -> list[QuoteChange]:
        """Quote changes in [start, end), oldest first, and the one that stood before."""
        found: list[QuoteChange] = []
        for quote in reversed(self.quotes):
            if quote.at_ns < end_ns:
                found.append(quote)
            if quote.at_ns < start_ns:
                break
        return found[::-1]

    def bar_prints_from(self, start_ns: int, end_ns: int) -> list[Print]:
        """Prints that bars count in [start, end), oldest first; corrections are in."""
        recent = takewhile(lambda event: event.time_ns >= start_ns, reversed(self.book.prints.values()))
        return [event for event in recent if event.time_ns < end_ns and counts(event)][::-1]

    @property
    def first_ns(self) -> int | None:
        """Time of the first print known; None where nothing has traded."""
        return next((event.time_ns for event in self.book.prints.values()), None)

    def _quote(self, quote: QuoteChange) -> News:
        if self._shift:
            quote = quote._replace(bid=self._moved(quote.bid), ask=self._moved(quote.ask))
        self.book.apply(quote)
        self.quotes.append(quote)
        return News(self._released(), quote=quote)

    def _joined(self, event: Print) -> list[Print]:
        if not self._knobs.aggregate:
            return self._shown([event])
        held = self._held
        if held is not None and (held.time_ns, held.price, counts(held)) == (event.time_ns, event.price, counts(event)):
            self._held = held._replace(size=held.size + event.size)
            return []
        released, self._held = self._released(), event
        return released

    def _released(self) -> list[Print]:
        held, self._held = self._held, None
        return [] if held is None else self._shown([held])

    def _shown(self, ticks: list[Print]) -> list[Print]:
        self.ticks.extend(ticks)
        return ticks

    def _filtered(self, event: Print) -> Print:
        """With its size less the share that is left out: rounded over the running sum, so that the share holds to one lot whatever is added up."""
        if not self._knobs.filtered or not counts(event):
            return event
        kept = 1 - self._knobs.filtered
        before, self._lots = self._lots, self._lots + self.contract.lots(event.size)
        return event._replace(size=self.contract.size(math.floor(self._lots * kept + 1e-9) - math.floor(before * kept + 1e-9)))

    def _shifted(self, event: Print) -> Print:
        return event._replace(price=self._moved(event.price), bid=self._moved(event.bid), ask=self._moved(event.ask)) if self._shift else event

    def _moved(self, price: float) -> float:
        return price if math.isnan(price) else self.contract.price(self.contract.ticks(price) + self._knobs.shift_ticks)


def counts(event: Print) -> bool:
    """Whether bars and `Last` have it: IB leaves out combos and what trades away from the market (TWS API, historical_bars and tick_data)."""
    return event.valid_tick and not event.spread_leg


def _every(share: float, rng: np.random.Generator) -> Callable[[], bool]:
    """True for that share of its calls: for one at a random place of each 1/share in a row."""
    if share <= 0:
        return lambda: False

    def places() -> Iterator[bool]:
        number = block = 0
        while True:
            due = max(int((block + rng.random()) / share), number)
            while number < due:
                yield False
                number += 1
            yield True
            number, block = number + 1, block + 1

    return places().__next__
