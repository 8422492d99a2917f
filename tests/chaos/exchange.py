"""The emulator in memory: its feeds, its REST answers and its faults, at the far end of links that are slow, dark or torn, and never a socket."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, cast
from unittest import mock

import httpx2
from picows import WSError

from tastytrade_provider import create_provider
from tastytrade_provider.dxlink.messages import Auth, ErrorKind, FeedSubscription
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN
from tastytrade_provider.emulator.book import Book, Books
from tastytrade_provider.emulator.columns import Row
from tastytrade_provider.emulator.faults import Fault, Faults
from tastytrade_provider.emulator.faulty import FaultyFeed, Trouble
from tastytrade_provider.emulator.rest import Request, Rest
from tastytrade_provider.emulator.snapshots import time_and_sale_snapshot
from tastytrade_provider.emulator.source import Print, Reel, Source
from tastytrade_provider.emulator.wire import Wire
from tastytrade_provider.model import Action
from tastytrade_provider.tastytrade import stream
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.chaos.links import Link, Listener

if TYPE_CHECKING:
    from tastytrade_provider.emulator.server import Emulator

API_URL, DXLINK_URL = "http://127.0.0.1:1", "ws://127.0.0.1:1/realtime"
Keeps = Literal["whole", "cut", "empty", "mute", "refused"]
"""What a HISTORY subscription of TimeAndSale gets: everything, the newest print alone, an empty snapshot, never a word, an ERROR."""
_LOOK_S = 0.5
_REST_TIMEOUT_S = 15.0


class Feed(FaultyFeed):
    """A feed that may withhold the history of trades, that drops a login whose token has run out, and tells when trades are subscribed."""

    def __init__(self, exchange: Exchange, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._exchange, self.token = exchange, ""

    def _on_auth(self, message: Auth) -> None:
        self.token = message.token
        super()._on_auth(message)

    def _on_subscription(self, message: FeedSubscription) -> None:
        contract = self.connection.channels[message.channel].contract
        if contract == "HISTORY" and self._exchange.keeps in ("mute", "refused") and any(item.type == "TimeAndSale" for item in message.add):
            if self._exchange.keeps == "refused":
                self.connection.error(ErrorKind.BAD_ACTION, "no history", message.channel)
            return
        super()._on_subscription(message)
        if contract == "STREAM":
            held = self._lines.get(message.channel, {})
            for item in message.add:
                if (item.type, item.symbol) in held:
                    self._exchange.subscribed.append((item.symbol, time.time_ns()))

    @property
    def is_mute(self) -> bool:
        """Whether no rows go out, for as long as this lasts."""
        return self._is_silent or self._is_expired

    def lapse(self) -> None:
        """The token it logged in with is good no more."""
        if not self._is_expired:
            self.expire()

    def _snapshot(self, channel: int, event_type: str, *rest: Any) -> list[Row]:
        symbol, _, book, from_ms = rest
        if event_type != "TimeAndSale" or (self._exchange.keeps == "whole" and not self._exchange.tells_cancels):
            return super()._snapshot(channel, event_type, *rest)
        if self._exchange.keeps == "empty":
            return time_and_sale_snapshot(symbol, None, from_ms, 1)
        return time_and_sale_snapshot(symbol, self._exchange.told_of(book), from_ms, self._wire.history_cap[event_type])


class Schedule(Faults):
    """Counts what strikes, until it `is_quiet`."""

    def __init__(self, specs: Sequence[str], seed: int) -> None:
        super().__init__(specs, seed)
        self.struck: Counter[str] = Counter()
        self.is_quiet = False

    def due(self, now_s: float, rows: int, answers: int = 0) -> list[Fault]:
        """As planned, while it is not quiet."""
        found = [] if self.is_quiet else super().due(now_s, rows, answers)
        self.struck.update(f"{fault.name} {fault.what}".rstrip() for fault in found)
        return found


class Exchange:
    """A source behind REST and DXLink, in the running loop's time; the market's clock is the wall clock.

    source, specs, wire, seed   as the emulator has them
    keeps                       what of the history of trades is given out
    tells_cancels               whether a history of trades has the cancels too, in place of what they cancelled, or has those trades no more
    quote_life_s                how long a token is good for; then its login ends

    truth       every print: (when it was published, UTC ns; the print)
    subscribed  when trades of a symbol were subscribed, each time: (symbol, UTC ns)
    plan        its faults; `plan.struck` counts them
    down        what a new connection and every REST request meets now: "" (nothing), "refuse", "hang", "502"
    slow_s      what every way takes longer now
    """

    def __init__(self, source: Source, specs: Sequence[str], wire: Wire, *, seed: int, keeps: Keeps, tells_cancels: bool, quote_life_s: float) -> None:
        self.source, self.wire, self.keeps, self.tells_cancels = source, wire, keeps, tells_cancels
        self.rest = Rest(source.contracts, dxlink_url=DXLINK_URL)
        self.rest.quote_tokens.life_s = quote_life_s
        self.books = Books(source.contracts)
        self._told = Books(source.contracts)
        self.truth: list[tuple[int, Print]] = []
        self.subscribed: list[tuple[str, int]] = []
        self.down: Literal["", "refuse", "hang", "502"] = ""
        self.slow_s = 0.0
        self._rng = random.Random(f"exchange {seed}")
        self._sent: Counter[str] = Counter()
        self.visitors: list[Link] = []
        self.plan = Schedule(specs, seed)
        self.trouble = Trouble(cast("Emulator", self), self.plan)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False

    # --- what the faults ask of an emulator

    @property
    def market_ns(self) -> int:
        """The market's clock."""
        return time.time_ns()

    @property
    def sent(self) -> Counter[str]:
        """Rows sent so far, by event type."""
        return sum((link.feed.sent for link in self.visitors), Counter(self._sent))

    def look_for_listeners(self) -> None:
        """The market goes on whether anybody listens or not."""

    def publish(self, events: Sequence[Print]) -> None:
        """Let this happen too, now."""
        self._publish(events)
        self._flush()

    # --- life

    def start(self) -> None:
        """Open; the plan's clock runs from now on."""
        self.trouble.open_feed(self.books, lambda _: False)
        self._tasks = [asyncio.create_task(self._play()), asyncio.create_task(self._keep_house())]

    async def stop(self) -> None:
        """Close."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def calm_down(self) -> None:
        """No fault strikes from now on."""
        self.plan.is_quiet, self.down, self.slow_s = True, "", 0.0
        self.trouble.spoilt.clear()

    def close_market(self) -> None:
        """Nothing is traded from now on."""
        self._is_over = True

    def darken(self) -> None:
        """Every connection goes dark."""
        for link in self.visitors:
            link.is_dark = True

    # --- connections

    async def connect(self, factory: Callable[[], Listener], url: str, *, websocket_handshake_timeout: float, **_: Any) -> None:
        """Stands in for picows' ws_connect."""
        assert url == DXLINK_URL
        await asyncio.sleep(2 * self.latency_s())
        if self.down == "hang":
            await asyncio.sleep(websocket_handshake_timeout)
            raise TimeoutError
        if self.down == "refuse":
            raise ConnectionRefusedError("connection refused")
        if self.down == "502":
            raise WSError("upgrade refused: 502")
        listener = factory()
        link = Link(self, listener)
        self.visitors.append(link)
        listener.on_ws_connected(link.socket)

    async def log_in(self, provider: TastyTradeProvider) -> None:
        """Connect a provider here; what that raises is raised. Websockets are as `in_memory` says."""
        session = provider._account._rest._open()
        session._client._transport = Wires(self)
        await provider.connect()

    def in_memory(self) -> AbstractContextManager[object]:
        """While this is entered, websockets of providers lead here."""
        return mock.patch.object(stream, "ws_connect", self.connect)

    def open_feed(self) -> Feed:
        """The far end of one more connection."""

        def accepts(token: str) -> bool:
            return self.rest.quote_tokens.is_good(token, time.time())

        def others() -> int:
            feeds = [link.feed for link in self.visitors if not link.closed_because]
            return sum(feed.connection.state.name == "OPEN" for feed in feeds)

        clock = asyncio.get_running_loop().time
        return Feed(self, self.books, accepts, self.wire, limits=self.plan.limits, streams=others, clock=clock)

    def told_of(self, book: Book) -> Book:
        """A contract's prints as a history that has cancels tells them."""
        return self._told.by_symbol[book.contract.streamer_symbol]

    def left(self, link: Link) -> None:
        """A connection is over."""
        if link in self.visitors:
            self.visitors.remove(link)
            self._sent += link.feed.sent

    def latency_s(self) -> float:
        """How long something is under way: some milliseconds, now and then much longer."""
        chance = self._rng.random()
        return self.slow_s + (0.002 + 0.03 * chance if chance < 0.99 else 0.3 * self._rng.random())

    # --- what goes on

    def _publish(self, events: Sequence[Any]) -> None:
        now_ns = time.time_ns()
        for event in events:
            if isinstance(event, Print):
                self.truth.append((now_ns, event))
                prints = self._told.by_symbol[event.contract.streamer_symbol].prints
                if event.action is Action.NEW or event.index in prints:
                    prints[event.index] = event
            bars = self.books.apply(event)
            for link in self.visitors:
                link.feed.take(event, bars)

    def _flush(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for link in list(self.visitors):
            link.feed.flush(now_s)
            link.send()

    async def _play(self) -> None:
        reel = Reel(self.source)
        while reel.next_ns is not None and not self._is_over:
            ahead_s = (reel.next_ns - time.time_ns()) / 1e9
            await asyncio.sleep(max(ahead_s, 0.0) + 0.05 * self._rng.random())  # what happens in between goes out together
            if not self._is_over:
                self._publish(reel.take_until(time.time_ns()))
                self._flush()

    async def _keep_house(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self.trouble.look()
            for link in list(self.visitors):
                if link.feed.token and not self.rest.quote_tokens.is_good(link.feed.token, time.time()):
                    link.feed.lapse()
                link.feed.advance(clock())
                link.feed.flush(clock())
                link.send()
            await asyncio.sleep(_LOOK_S * (0.5 + self._rng.random()))


def a_provider() -> TastyTradeProvider:
    """A provider that logs in at an exchange in memory; connect it by `Exchange.log_in`."""
    config = {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN, "api_url": API_URL}
    provider = create_provider({"data_provider": "tastytrade", "tastytrade": config})
    assert isinstance(provider, TastyTradeProvider)
    return provider


class Wires(httpx2.AsyncBaseTransport):
    """The HTTP side."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer after a while, or not at all."""
        exchange = self._exchange
        body = await request.aread()
        await asyncio.sleep(2 * exchange.latency_s())
        if exchange.down == "hang":
            await asyncio.sleep(_REST_TIMEOUT_S)
            raise httpx2.ReadTimeout("no answer", request=request)
        if exchange.down == "refuse":
            raise httpx2.ConnectError("connection refused", request=request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, request.url.raw_path.decode(), headers, body)
        spoilt = exchange.trouble.answer()
        answer = spoilt or exchange.rest.answer(asked, time.time(), exchange.market_ns)
        return httpx2.Response(answer.status, headers=list(answer.headers), content=answer.body, request=request)
