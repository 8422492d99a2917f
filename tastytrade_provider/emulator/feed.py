"""The exchange's side of one DXLink connection: channels, subscriptions, rows. Reads no socket and no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from operator import itemgetter

from tastytrade_provider.dxlink.channel import CONTRACTS
from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import (
    Auth,
    ChannelCancel,
    ChannelRequest,
    DataFormat,
    ErrorKind,
    FeedSetup,
    FeedSubscription,
    Message,
    Subscription,
)
from tastytrade_provider.dxlink.rows import encode_compact, encode_full, join
from tastytrade_provider.dxlink.turns import ChannelState
from tastytrade_provider.emulator import columns
from tastytrade_provider.emulator.book import Book, Books
from tastytrade_provider.emulator.candles import CandleSymbol, parse
from tastytrade_provider.emulator.columns import COLUMNS, Row
from tastytrade_provider.emulator.snapshots import candle_snapshot, empty_candle_snapshot, time_and_sale_snapshot
from tastytrade_provider.emulator.source import Print, QuoteChange
from tastytrade_provider.emulator.wire import Wire

VERSION = "1.0-1.2.3-20240912-171526"  # what the live server called itself (tastyware/tastytrade issue 339)
DEFAULT_PERIOD_S = 0.1
_FRAME = 64  # bytes of a FEED_DATA around its body

AUTO = {"TimeAndSale": "STREAM", "Candle": "HISTORY", "Quote": "TICKER", "Trade": "TICKER", "Summary": "TICKER", "Profile": "TICKER"}
"""What AUTO means for each event type; TimeAndSale with a fromTime is HISTORY (QD MarketFactoryImpl)."""
_SERIES = ("TimeAndSale", "Candle")


@dataclass(frozen=True, slots=True)
class _Line:
    """One subscription that something is delivered for."""

    channel: int
    type: str
    symbol: str
    delivery: str
    book: Book

    @property
    def key(self) -> tuple[str, str]:
        return self.type, self.symbol


@dataclass(slots=True)
class _Layout:
    fields: tuple[str, ...]
    pick: Callable[[Row], Row]
    is_full: bool


class Feed:
    """Answers one client. `books` holds what happened, `accepts` says whether a token is good.

    After `receive`, `take`, `flush` and `advance`: `data_to_send()` and `close_expected`, as with a `Connection`.
    """

    def __init__(self, books: Books, accepts: Callable[[str], bool], wire: Wire | None = None, user_id: str = "U0001-emulated") -> None:
        self.connection = Connection("server", version=VERSION)
        self.sent: Counter[str] = Counter()
        self._books, self._accepts, self._wire, self._user_id = books, accepts, wire or Wire(), user_id
        self._lines: dict[int, dict[tuple[str, str], _Line]] = {}
        self._by_symbol: dict[str, list[_Line]] = {}
        self._pending: dict[tuple[int, str], dict[object, Row]] = {}
        self._layouts: dict[tuple[int, str], _Layout] = {}
        self._flushed_s: dict[int, float] = {}
        self._number = count()
        self._events: dict[type[Message], Callable[..., None]] = {
            Auth: self._on_auth,
            ChannelRequest: self._on_request,
            ChannelCancel: lambda message: self._forget(message.channel),
            FeedSetup: self._on_setup,
            FeedSubscription: self._on_subscription,
        }

    # --- the wire

    def receive(self, payload: str | bytes) -> None:
        """Take one message of the client."""
        for event in self.connection.receive(payload):
            react = self._events.get(type(event))  # type: ignore[arg-type]  # what has no entry needs no reaction
            if react is not None:
                react(event)

    def data_to_send(self) -> list[bytes]:
        """The messages to be sent, each a text frame; handed over once."""
        return self.connection.data_to_send()

    @property
    def close_expected(self) -> bool:
        """True once the connection should be closed."""
        return self.connection.close_expected

    def advance(self, now_s: float) -> None:
        """Tell the time: keepalives, time-outs."""
        self.connection.advance(now_s)

    def listens(self, event_types: Collection[str]) -> bool:
        """Whether something of these types is subscribed."""
        return any(line.type in event_types for lines in self._by_symbol.values() for line in lines)

    # --- what happens on the exchange

    def take(self, event: Print | QuoteChange, bars: dict[str, int]) -> None:
        """Note an event for those who subscribed it. `bars` are the bars it changed, as `Books.apply` told; call that first."""
        for line in self._by_symbol.get(event.contract.streamer_symbol, ()):
            if line.type == "Candle":
                if line.symbol in bars:
                    index = bars[line.symbol]
                    self._note(line, index, line.book.series[line.symbol].row(index))
            elif isinstance(event, QuoteChange):
                if line.type == "Quote":
                    self._note(line, 0, columns.quote(event))
            elif line.type == "TimeAndSale":
                self._note(line, event.index, columns.time_and_sale(event))
            elif line.type == "Profile":
                if line.book.is_new_day:  # it says nothing of a single print
                    self._note(line, 0, columns.profile(line.book))
            elif (row := _figures(line)) is not None:
                self._note(line, 0, row)

    def flush(self, now_s: float | None = None) -> None:
        """Send what was noted. Conflated channels wait for their period to pass; None: send everything now."""
        due = {channel for channel, _ in self._pending if now_s is None or self._is_due(channel, now_s)}
        for channel, event_type in list(self._pending):
            if channel in due:
                self._send_pending(channel, event_type)
        if now_s is not None:
            self._flushed_s.update(dict.fromkeys(due, now_s))

    def _is_due(self, channel: int, now_s: float) -> bool:
        setup = self.connection.channels[channel].setup
        period_s = setup.aggregation_period_s if setup and setup.aggregation_period_s is not None else DEFAULT_PERIOD_S
        streams = any(line.delivery == "STREAM" for line in self._lines.get(channel, {}).values())
        return streams or now_s - self._flushed_s.get(channel, -period_s) >= period_s

    def _note(self, line: _Line, index: int, row: Row) -> None:
        pending = self._pending.setdefault((line.channel, line.type), {})
        if line.delivery == "STREAM":
            pending[next(self._number)] = row
        else:  # HISTORY: the last version of an index; TICKER: of the symbol
            key = (line.symbol, index if line.delivery == "HISTORY" else 0)
            pending.pop(key, None)
            pending[key] = row

    # --- what the client says

    def _on_auth(self, message: Auth) -> None:
        if self._accepts(message.token):
            self.connection.auth_state("AUTHORIZED", self._user_id)
        else:
            self.connection.error(ErrorKind.UNAUTHORIZED, "Authentication failed")
            self.connection.auth_state("UNAUTHORIZED")

    def _on_request(self, message: ChannelRequest) -> None:
        self._forget(message.channel)
        contract = message.parameters.get("contract", "AUTO")
        if message.service != "FEED" or contract not in CONTRACTS:
            text = f"Service {message.service} with contract {contract} is not available"
            self.connection.error(ErrorKind.BAD_ACTION, text, message.channel)
            self.connection.channel_closed(message.channel)
        else:
            self.connection.channel_opened(message.channel, {**message.parameters, "contract": contract})

    def _on_setup(self, message: FeedSetup) -> None:
        for key in [key for key in self._layouts if key[0] == message.channel]:
            del self._layouts[key]

    def _on_subscription(self, message: FeedSubscription) -> None:
        lines = self._lines.setdefault(message.channel, {})
        for channel, event_type in list(self._pending):
            if channel == message.channel:
                self._send_pending(channel, event_type)  # before a snapshot begins
        if message.reset:
            lines.clear()
        for item in message.remove:
            lines.pop((item.type, _normal(item)), None)
        for item in message.add:
            self._add(message.channel, item)
        self._index_lines()

    def _add(self, channel: int, item: Subscription) -> None:
        if item.type not in COLUMNS or item.type in self._wire.unserved:
            return  # as the live server: no data, no word
        candle_symbol = parse(item.symbol) if item.type == "Candle" else None
        symbol = _normal(item)
        book = self._books.by_symbol.get(candle_symbol.base if candle_symbol else item.symbol)
        delivery = self._delivery(channel, item)
        if delivery == "HISTORY" and item.type in _SERIES and item.from_time_ms is not None:
            self._send(channel, item.type, self._snapshot(channel, item.type, symbol, candle_symbol, book, item.from_time_ms))
        if book is None or (item.type == "Candle" and (candle_symbol is None or not candle_symbol.is_served)):
            return
        if candle_symbol is not None:
            book.candles(candle_symbol)
        line = _Line(channel, item.type, symbol, delivery, book)
        self._lines[channel][line.key] = line
        if delivery == "TICKER" and (row := _current(line)) is not None:
            self._send(channel, item.type, [row])

    def _delivery(self, channel: int, item: Subscription) -> str:
        contract = self.connection.channels[channel].contract or "AUTO"
        if contract != "AUTO":
            return contract
        return "HISTORY" if item.type in _SERIES and item.from_time_ms is not None else AUTO[item.type]

    def _snapshot(self, channel: int, event_type: str, symbol: str, candle_symbol: CandleSymbol | None, book: Book | None, from_ms: int) -> list[Row]:
        cap = self._wire.history_cap.get(event_type, 1000)
        if event_type == "TimeAndSale":
            return time_and_sale_snapshot(symbol, book, from_ms, cap)
        candle_symbol = candle_symbol or CandleSymbol(symbol, symbol, 0, "", False, False)
        if self._wire.auto_without_history and self.connection.channels[channel].contract in (None, "AUTO"):
            return empty_candle_snapshot(candle_symbol, from_ms)
        return candle_snapshot(candle_symbol, book, from_ms, cap, self._wire.future_marker)

    def _forget(self, channel: int) -> None:
        self._lines.pop(channel, None)
        for table in (self._pending, self._layouts):
            for key in [key for key in table if key[0] == channel]:
                del table[key]
        self._index_lines()

    def _index_lines(self) -> None:
        self._by_symbol = {}
        for lines in self._lines.values():
            for line in lines.values():
                self._by_symbol.setdefault(line.book.contract.streamer_symbol, []).append(line)

    # --- sending

    def _send_pending(self, channel: int, event_type: str) -> None:
        self._send(channel, event_type, list(self._pending.pop((channel, event_type)).values()))

    def _send(self, channel: int, event_type: str, rows: list[Row]) -> None:
        if not rows or self.close_expected or self.connection.channels[channel].state is not ChannelState.OPENED:
            return
        layout = self._layout(channel, event_type)
        bodies = self._bodies(event_type, layout, [layout.pick(row) for row in rows])
        for body in self._joined(bodies):
            self.connection.feed_data(channel, body)
        self.sent[event_type] += len(rows)

    def _layout(self, channel: int, event_type: str) -> _Layout:
        """The columns of a type, announced by FEED_CONFIG when they are first needed."""
        key = (channel, event_type)
        if key not in self._layouts:
            setup, known = self.connection.channels[channel].setup, COLUMNS[event_type]
            asked = None if setup is None or setup.event_fields is None else setup.event_fields.get(event_type)
            period_s = DEFAULT_PERIOD_S if setup is None or setup.aggregation_period_s is None else setup.aggregation_period_s
            fields = self._wire.fields(event_type, asked, known)
            is_full = setup is not None and setup.data_format is DataFormat.FULL
            self.connection.feed_config(channel, period_s, DataFormat.FULL if is_full else DataFormat.COMPACT, {event_type: fields})
            at = [known.index(name) for name in fields]
            pick = itemgetter(*at) if len(at) > 1 else itemgetter(slice(at[0], at[0] + 1))
            self._layouts[key] = _Layout(fields, pick, is_full)
        return self._layouts[key]

    def _bodies(self, event_type: str, layout: _Layout, rows: list[Row]) -> list[bytes]:
        size = self._wire.rows_per_message or -(-len(rows) // self._wire.pairs_per_message)
        encode = encode_full if layout.is_full else encode_compact
        bodies: list[bytes] = []
        waiting = [rows[at : at + size] for at in range(0, len(rows), size)]
        while waiting:
            part = waiting.pop(0)
            body = encode(event_type, layout.fields, part)
            if len(body) + _FRAME <= self._wire.max_bytes or len(part) == 1:
                bodies.append(body)
            else:
                half = len(part) // 2
                waiting[:0] = [part[:half], part[half:]]
        return bodies

    def _joined(self, bodies: list[bytes]) -> list[bytes]:
        pairs, limit = self._wire.pairs_per_message, self._wire.max_bytes - _FRAME
        messages: list[list[bytes]] = []
        for body in bodies:
            if messages and len(messages[-1]) < pairs and sum(map(len, messages[-1])) + len(body) <= limit:
                messages[-1].append(body)
            else:
                messages.append([body])
        return [parts[0] if len(parts) == 1 else join(*parts) for parts in messages]


def _normal(item: Subscription) -> str:
    candle_symbol = parse(item.symbol) if item.type == "Candle" else None
    return candle_symbol.text if candle_symbol else item.symbol


def _figures(line: _Line) -> Row | None:
    """The day's figures for a Trade or Summary line; None before the first print."""
    book = line.book
    if book.day is None or book.last is None:
        return None
    if line.type == "Trade":
        return columns.trade(book.last, book.day, book.previous_day)
    return columns.summary(book, book.day, book.previous_day) if line.type == "Summary" else None


def _current(line: _Line) -> Row | None:
    if line.type == "Quote":
        return None if line.book.quote is None else columns.quote(line.book.quote)
    if line.type == "TimeAndSale":
        return None if line.book.last is None else columns.time_and_sale(line.book.last)
    return columns.profile(line.book) if line.type == "Profile" else _figures(line)
