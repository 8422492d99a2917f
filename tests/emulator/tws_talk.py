"""A TWS client in memory, for tests of the fake TWS without a socket."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from tastytrade_provider.emulator import Print, QuoteChange
from tastytrade_provider.emulator.tws import Gateway, Session, TwsKnobs
from tastytrade_provider.emulator.tws.wire import message
from tastytrade_provider.model import Contract
from tests.emulator.exchange import ES, OPEN_MS

OPEN_NS = OPEN_MS * 1_000_000
Fields = tuple[str, ...]


def described(symbol: str = "ES", sec_type: str = "FUT", month: str = "202612", exchange: str = "CME", con_id: int = 0) -> tuple[object, ...]:
    """The twelve fields of a contract, the December E-mini unless told otherwise."""
    return (con_id, symbol, sec_type, month, 0.0, "", "", exchange, "", "USD", "", "")


def hello(versions: str = "v157..178") -> bytes:
    """A client's first bytes."""
    return b"API\0" + struct.pack(">I", len(versions)) + versions.encode()


def parted(data: bytes) -> list[Fields]:
    """What a server sent, message by message, each as its fields."""
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(tuple(data[at + 4 : at + 4 + length].decode().split("\0")[:-1]))
        at += 4 + length
    return found


@dataclass
class Desk:
    """A gateway with clients, on a clock that is told."""

    knobs: TwsKnobs = field(default_factory=TwsKnobs)
    contracts: tuple[Contract, ...] = (ES,)
    market_ns: int = OPEN_NS
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.contracts, self.knobs, self.market_ns)

    def client(self, client_id: int = 1, versions: str = "v157..178") -> Client:
        """A client that has logged in; what it was told so far is forgotten."""
        client = Client(self, self.gateway.open_session())
        client.session.receive(hello(versions), self.now_s)
        client.ask(71, 2, client_id, "")
        client.heard.clear()
        return client

    def happened(self, *events: Print | QuoteChange) -> Desk:
        """Events from before anybody came."""
        self.gateway.publish(events, max((event.at_ns for event in events), default=self.market_ns), None)
        return self

    def happen(self, *events: Print | QuoteChange, second: float | None = None) -> Desk:
        """Events now; `second` is the market's clock behind them, counted from the open."""
        latest = max((event.at_ns for event in events), default=self.gateway.market_ns)
        self.gateway.publish(events, latest if second is None else OPEN_NS + int(second * 1e9), self.now_s)
        self.gateway.advance(self.now_s, at_once=True)
        return self


@dataclass(eq=False)
class Client:
    """One client; `heard` is what it was told."""

    desk: Desk
    session: Session
    heard: list[Fields] = field(default_factory=list)

    def ask(self, *values: object) -> list[Fields]:
        """Send a request; tells the answers that come at once."""
        self.session.receive(message(*values), self.desk.now_s)
        return self.listen()

    def listen(self) -> list[Fields]:
        """What came since the last look."""
        new = parted(self.session.data_to_send())
        self.heard += new
        return new

    def bars(self, req_id: int = 1, **other: object) -> list[Fields]:
        """Ask for historical data: one day of one-minute trades unless told otherwise."""
        values = {"contract": described(), "end": "", "size": "1 min", "duration": "1 D", "rth": False, "what": "TRADES", "date_format": 2, "keep": False}
        values |= other
        contract = values.pop("contract")
        assert isinstance(contract, tuple)
        return self.ask(20, req_id, *contract, False, *values.values(), "")

    def ticks(self, req_id: int = 1, kind: str = "AllLast", contract: tuple[object, ...] | None = None, ignore_size: bool = False) -> list[Fields]:
        """Subscribe tick-by-tick data."""
        return self.ask(97, req_id, *(contract or described()), kind, 0, ignore_size)

    def market_data(self, req_id: int = 1, generic: str = "", snapshot: bool = False) -> list[Fields]:
        """Ask for level 1."""
        return self.ask(1, 11, req_id, *described(), False, generic, snapshot, False, "")

    def depth(self, req_id: int = 1, rows: int = 3) -> list[Fields]:
        """Subscribe a ladder."""
        return self.ask(10, 5, req_id, *described(), rows, False, "")

    def live_bars(self, req_id: int = 1, what: str = "TRADES") -> list[Fields]:
        """Subscribe five-second bars."""
        return self.ask(50, 3, req_id, *described(), 5, what, False, "")


def only(messages: list[Fields], message_id: int) -> list[Fields]:
    """The messages of one kind, behind their id."""
    return [fields[1:] for fields in messages if fields[0] == str(message_id)]


def errors(messages: list[Fields]) -> list[tuple[int, int]]:
    """(request, code) of every error told."""
    return [(int(fields[2]), int(fields[3])) for fields in messages if fields[0] == "4"]


def answered_bars(messages: list[Fields]) -> list[tuple[str, ...]]:
    """The bars of historicalData: date, open, high, low, close, volume, average, count."""
    [fields] = only(messages, 17)
    rows = fields[4:]
    assert len(rows) == 8 * int(fields[3])
    return [rows[at : at + 8] for at in range(0, len(rows), 8)]
