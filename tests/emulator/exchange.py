"""Prints, quotes and a client for tests of the emulator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.events import Event
from tastytrade_provider.dxlink.messages import FeedData, Subscription
from tastytrade_provider.dxlink.rows import decode, index_of
from tastytrade_provider.emulator import Print, QuoteChange, Wire
from tastytrade_provider.emulator.book import Books
from tastytrade_provider.emulator.feed import Feed
from tastytrade_provider.emulator.source import Before
from tastytrade_provider.model import AggressorSide, Contract

ES = Contract("ES", "/ESZ6", "/ESZ26:XCME", "CME", tick_size=0.25, multiplier=50)
SYMBOL = ES.streamer_symbol
OPEN_MS = 1_795_530_600_000
"""Tuesday 2026-11-24 14:30 UTC."""
BUY, SELL, UNDEFINED = AggressorSide.BUY, AggressorSide.SELL, AggressorSide.UNKNOWN


def a_print(second: float = 0, price: float = 6000.0, size: float = 1.0, side: AggressorSide = BUY, sequence: int = 0, **other: Any) -> Print:
    """A print `second` seconds after the open, of one lot bought at 6000."""
    time_ns = OPEN_MS * 1_000_000 + int(second * 1e9)
    index = index_of(time_ns // 1_000_000, sequence)
    values: dict[str, Any] = {"at_ns": time_ns, "time_ns": time_ns, "index": index, "bid": 5999.75, "ask": 6000.0, "bid_size": 5.0, "ask_size": 7.0}
    return Print(contract=ES, price=price, size=size, side=side, **values | other)


def a_quote(second: float = 0, bid: float = 5999.75, ask: float = 6000.0) -> QuoteChange:
    """A quote change `second` seconds after the open."""
    return QuoteChange(ES, OPEN_MS * 1_000_000 + int(second * 1e9), bid, ask, 5.0, 7.0)


@dataclass
class AList:
    """A source that is a list."""

    events: list[Print | QuoteChange]
    contracts: tuple[Contract, ...] = (ES,)
    is_endless: bool = False

    @property
    def start_ns(self) -> int:
        return self.events[0].at_ns

    def __iter__(self) -> Iterator[Print | QuoteChange]:
        return iter(self.events)


@dataclass
class Talk:
    """A client and a `Feed` joined in memory; the client has logged in."""

    wire: Wire = field(default_factory=Wire)
    token: str = "good"
    heard: list[Event] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    before: Before | None = None

    def __post_init__(self) -> None:
        self.books = Books([ES], lambda _: self.before)
        self.feed = Feed(self.books, lambda token: token == "good", self.wire)
        self.client = Connection("client")
        self.client.setup()
        self.client.authenticate(self.token)
        self.run()

    def run(self) -> Talk:
        while (up := self.client.data_to_send()) or (down := self.feed.data_to_send()):
            for payload in up:
                self.feed.receive(payload)
            for payload in [] if up else down:
                self.payloads.append(payload)
                self.heard += self.client.receive(payload)
        return self

    def channel(self, contract: str = "AUTO", **setup: Any) -> int:
        number = self.client.open_channel(contract=contract)
        if setup:
            self.client.feed_setup(number, **setup)
        self.run()
        return number

    def subscribe(self, channel: int, event_type: str, symbol: str = SYMBOL, from_ms: int | None = None) -> Talk:
        self.client.subscribe(channel, [Subscription(event_type, symbol, from_ms)])
        return self.run()

    def happen(self, *events: Print | QuoteChange, now_s: float | None = None) -> Talk:
        for event in events:
            self.feed.take(event, self.books.apply(event))
        self.feed.flush(now_s)
        return self.run()

    def rows(self, event_type: str) -> list[dict[str, object]]:
        """The rows of a type heard so far, read by the columns that were announced."""
        messages = [message for message in self.heard if isinstance(message, FeedData)]
        pairs = [pair for message in messages for pair in decode(message, self.client.channels[message.channel].fields)]
        return [row for name, rows in pairs if name == event_type for row in rows]


def column(rows: Iterable[dict[str, object]], name: str) -> list[object]:
    """One column of rows."""
    return [row.get(name) for row in rows]
