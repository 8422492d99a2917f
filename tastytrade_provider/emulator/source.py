"""What an exchange publishes, whoever carries it: prints and quote changes in the order of their publication.

A source knows no protocol and no clock; it is read by a `Reel`, as fast or as slowly as the reader likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from tastytrade_provider.dxlink.rows import MAX_SEQUENCE, index_of
from tastytrade_provider.model import Action, AggressorSide, Contract


class Print(NamedTuple):
    """One print. Prices in price units, sizes in contracts, NaN where the exchange gave none.

    time_ns  when the trade happened        at_ns  when this was published: later for a CORRECTION or a CANCEL
    index    unique and ascending by contract; a CORRECTION or CANCEL carries that of the print it is about
    """

    contract: Contract
    at_ns: int
    time_ns: int
    index: int  # type: ignore[assignment]  # the field, not tuple.index
    price: float
    size: float
    side: AggressorSide
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    action: Action = Action.NEW
    valid_tick: bool = True
    spread_leg: bool = False


class QuoteChange(NamedTuple):
    """A new best bid and ask; NaN where that side of the book is empty."""

    contract: Contract
    at_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


class Before(NamedTuple):
    """What the session before a source's first one left of a contract. Price in price units, the others in contracts."""

    close: float
    volume: float
    open_interest: int


class Source(Protocol):
    """A market or a tape. Iterating begins anew each time and gives the same events.

    One that knows what came before it has also `before(contract) -> Before`; a tape does not.
    """

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Those that trade here, the first one foremost."""

    @property
    def start_ns(self) -> int:
        """When the first event may come, UTC nanoseconds."""

    @property
    def is_endless(self) -> bool:
        """True for a market, which goes on for ever; False for a tape, which begins once somebody listens."""

    def __iter__(self) -> Iterator[Print | QuoteChange]: ...


def before(source: Source, contract: Contract) -> Before | None:
    """What came before a source; None where it does not know."""
    told = getattr(source, "before", None)
    found: Before | None = None if told is None else told(contract)
    return found


class Reel:
    """Reads a source: what is handed over does not depend on how often it is asked.

    >>> from tastytrade_provider.emulator.source import QuoteChange
    >>> es = Contract("ES", "/ESZ6")
    >>> reel = Reel([QuoteChange(es, at, 1.0, 2.0, 1.0, 1.0) for at in (10, 20, 30)])
    >>> len(reel.take_until(20)), reel.next_ns, len(reel.take_until(1000)), reel.is_ended
    (2, 30, 1, True)
    """

    def __init__(self, source: Source | list[Print | QuoteChange]) -> None:
        self._events = iter(source)
        self._next = next(self._events, None)

    @property
    def next_ns(self) -> int | None:
        """When the next event is published; None at the end."""
        return None if self._next is None else self._next.at_ns

    @property
    def is_ended(self) -> bool:
        """True once everything was taken."""
        return self._next is None

    def take_until(self, time_ns: int, limit: int | None = None) -> list[Print | QuoteChange]:
        """The events published up to and including `time_ns`, at most `limit` of them."""
        taken: list[Print | QuoteChange] = []
        while self._next is not None and self._next.at_ns <= time_ns and (limit is None or len(taken) < limit):
            taken.append(self._next)
            self._next = next(self._events, None)
        return taken


class Numbering:
    """Indexes of one contract: its millisecond and a running sequence, as dxFeed numbers prints.

    >>> from tastytrade_provider.dxlink.rows import time_of
    >>> number = Numbering(53148)
    >>> [time_of(number(time_ns)) for time_ns in (1_685_328_300_152_000_000, 1_685_328_300_152_999_999)]
    [(1685328300152, 53148), (1685328300152, 53149)]
    """

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._time_ms = 0

    def __call__(self, time_ns: int) -> int:
        """The index of the next print; times must not go back."""
        time_ms = time_ns // 1_000_000
        if time_ms != self._time_ms and self._next > MAX_SEQUENCE // 2:
            self._next = 0  # 22 bits: begins anew, and only where a later millisecond keeps the order
        self._time_ms = time_ms
        index = index_of(time_ms, self._next)
        self._next += 1
        return index
