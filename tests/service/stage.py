"""A service without sockets: a provider whose trades a test hands over itself, a clock it sets, and a WebSocket in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson
import pandas as pd

from tastytrade_provider.errors import MarketDataError, UnknownContract
from tastytrade_provider.model import Contract, Gap, Quote, Roll, TradeBatch
from tastytrade_provider.pace import Pace
from tastytrade_provider.provider import Capabilities, DataProvider, ProviderStatus, State, Subscription, Time
from tastytrade_provider.service import Runtime
from tests.checks.builders import ES, a_batch, opening
from tests.checks.sources import LIMIT_S, until

NQ = Contract("NQ", "/NQZ6", "/NQZ26:XCME", "XCME", tick_size=0.25, multiplier=20)
SECOND = 1_000_000_000


class Handed(DataProvider):
    """Serves what a test puts into it. `failure`: what `connect` raises while it is set."""

    name = "handed"
    capabilities = Capabilities(trades=True, quotes=True, historical_bars=True, historical_trades=True, side_source="exchange")

    def __init__(self, *contracts: Contract) -> None:
        self.listed = contracts or (ES, NQ)
        self.failure: BaseException | None = None
        self.connects = 0
        self.history: pd.DataFrame | None = None
        self.past: MarketDataError | None = None  # why its trades so far, of which there are none, cannot be fetched
        self.asked: list[tuple[Any, Any]] = []
        self.trades: dict[str, list[Subscription[TradeBatch | Gap | Roll]]] = {}
        self.quotes: list[Subscription[Quote | Gap]] = []
        self.state: State = "disconnected"
        self.problem: str | None = None
        self.attempts = 0

    @property
    def is_connected(self) -> bool:
        return self.state == "connected"

    async def connect(self) -> None:
        self.connects += 1
        if self.failure is not None:
            raise self.failure
        self.state = "connected"

    async def disconnect(self) -> None:
        self.state = "disconnected"
        self.end()

    async def resolve(self, symbol: str) -> Contract:
        for contract in self.listed:
            if symbol.lstrip("/") in (contract.root, contract.symbol.lstrip("/")):
                return contract
        raise UnknownContract(f"no contract {symbol!r}")

    async def contracts(self, root: str) -> list[Contract]:
        return list(self.listed)

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        made: Subscription[TradeBatch | Gap | Roll] = Subscription(contract)
        made.grant()
        self.trades.setdefault(contract.symbol, []).append(made)
        return made

    def subscribe_quotes(self, contract: Contract) -> Subscription[Quote | Gap]:
        made: Subscription[Quote | Gap] = Subscription(contract)
        self.quotes.append(made)
        return made

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        self.asked.append((start, end))
        return pd.DataFrame() if self.history is None else self.history[(self.history.index >= start) & (self.history.index < end)]

    async def historical_trades(self, contract: Contract, start: Time, end: Time = None) -> TradeBatch:
        if self.past is not None:
            raise self.past
        return a_batch(contract)[:0]

    def now_ns(self) -> int:
        return opening()

    def status(self) -> ProviderStatus:
        told: dict[str, Any] = {"problem": self.problem, "attempts": self.attempts}
        return ProviderStatus(self.state, since_ns=opening(), delta_source="time_and_sale", token_level="api", **told)

    def put(self, item: TradeBatch | Gap | Roll) -> None:
        """Hand something over."""
        for subscription in self.trades[item.contract.symbol if not isinstance(item, Roll) else item.old.symbol]:
            subscription.put(item)

    def end(self, error: Exception | None = None) -> None:
        """End every subscription."""
        for subscriptions in self.trades.values():
            for subscription in subscriptions:
                subscription.end(error)
        for each in self.quotes:
            each.end(None)


class Played(Handed):
    """Trades that a test hands over, and a pace."""

    name = "played"
    playback: Pace

    def __init__(self, *contracts: Contract) -> None:
        super().__init__(*contracts)
        self.playback = Pace(1.0)


class Clock:
    """Nanoseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def some_trades(*rows: tuple[float, float, float, int], contract: Contract = ES) -> TradeBatch:
    """Trades as (seconds after the cash open, price, size, side)."""
    at, price, size, side = zip(*rows, strict=True)
    time_ns = [opening() + int(seconds * 1e9) for seconds in at]
    return a_batch(contract, time_ns=time_ns, received_ns=[each + 2_000_000 for each in time_ns], price=price, size=size, side=side)


@asynccontextmanager
async def running(provider: Handed | None = None, *, symbols: tuple[str, ...] = ("ES", "NQ"), **options: Any) -> AsyncIterator[tuple[Runtime, Handed, Clock]]:
    """A runtime that watches its contracts; the clock stands still."""
    provider, clock = provider or Handed(), Clock()
    runtime = Runtime(provider, symbols, **{"clock": clock, "wall_ns": opening, "timeframe": "5s"} | options)
    await runtime.start()
    try:
        await until(
            lambda: len(runtime.markets) == len(symbols) and all(one.has_begun.is_set() for one in runtime.markets.values()),
            lambda: f"not watched: {runtime.watcher.problem}",
        )
        yield runtime, provider, clock
    finally:
        await runtime.stop()


def client(app: Any, **headers: str) -> httpx2.AsyncClient:
    """HTTP into an application, without a socket."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1", headers=headers)


class Socket:
    """A WebSocket into an application, in memory: `heard` holds what was said so far."""

    def __init__(self, app: Any, path: str = "/api/tastytrade/ws", **headers: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self.is_accepted = False
        self.closed: int | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in ({"host": "127.0.0.1"} | headers).items()]
        scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": path, "raw_path": path.encode(),
            "root_path": "", "query_string": b"", "headers": named, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "subprotocols": [], "state": {},
        }  # fmt: skip
        self._in.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(scope, self._in.get, self._send))

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        if message["type"] == "websocket.accept":
            self.is_accepted = True
        elif message["type"] == "websocket.close":
            self.closed = message.get("code", 1000)
        else:
            self.heard.append(orjson.loads(message["text"]))

    def say(self, message: Any) -> None:
        """JSON, or text as it stands."""
        self._in.put_nowait({"type": "websocket.receive", "text": message if isinstance(message, str) else orjson.dumps(message).decode()})

    def say_raw(self, **parts: Any) -> None:
        """What a server may hand over."""
        self._in.put_nowait({"type": "websocket.receive", **parts})

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Messages of a type."""
        return [message for message in self.heard if message["type"] == kind]

    async def hears(self, kind: str, n: int = 1) -> dict[str, Any]:
        """The n-th message of a type."""
        await until(lambda: len(self.of(kind)) >= n, lambda: f"{n} of {kind} did not come; heard {[each['type'] for each in self.heard]}")
        return self.of(kind)[n - 1]

    async def leave(self) -> None:
        """Go, and wait until the server has noticed."""
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, LIMIT_S)

    async def is_over(self) -> int | None:
        """Wait until the server has ended it; the close code."""
        await asyncio.wait_for(self.task, LIMIT_S)
        return self.closed


async def fetched(get: Callable[[], Any]) -> dict[str, Any]:
    """The JSON of an answer that is 200."""
    answer = await get()
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = orjson.loads(answer.content)
    return found


def wall() -> float:
    """Seconds, for limits."""
    return time.monotonic()
