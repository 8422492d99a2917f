"""One connection to TWS: requests that answer once, streams that go on, and nothing that fails in silence. The shell around ib_async's `Client`.

Of ib_async this uses the socket, the throttle and the decoder, and takes the place of its `Wrapper`. That one keeps what a data feed must not lose or must
not share: it discards the exchange's time of ticks, turns a refused or late request into an empty list, goes on waiting after error 321, shares one Ticker
among subscriptions, never updates bars that began empty, and after a broken connection all of that is dead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from typing import Any, Final, Protocol

from ib_async.client import Client
from ib_async.decoder import Decoder

from ..errors import ConnectionLost, MarketDataError, RequestTimeout
from .refusals import CLIENT_ID_IN_USE, error_for, is_refusal

ANSWER_S: Final = 60.0
_CLOCK_S = 2.0
logging.getLogger("ib_async").addHandler(logging.NullHandler())  # what it logs as errors is raised or shown here


class Route(Protocol):
    """Where messages with a certain request number go."""

    def put(self, kind: str, value: Any) -> None:
        """Something came."""

    def end(self) -> None:
        """The answer, or the first part of a stream, is complete."""

    def refused(self, code: int, text: str) -> None:
        """TWS says that this is over."""

    def told(self, code: int, text: str) -> None:
        """TWS says something that does not end it."""


class _Answer:
    """A request that is answered once."""

    def __init__(self, subject: str) -> None:
        self.values: list[Any] = []
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._subject = subject

    def put(self, kind: str, value: Any) -> None:
        self.values.append(value)

    def end(self) -> None:
        if not self.done.done():
            self.done.set_result(self.values)

    def refused(self, code: int, text: str) -> None:
        self.fail(error_for(code, text, self._subject))

    def told(self, code: int, text: str) -> None:
        """Nothing that matters to an answer."""

    def fail(self, error: MarketDataError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Reader(Decoder):
    """The decoder, but a message that cannot be read is told to the wire; ib_async logs it and goes on as if it had not come."""

    def interpret(self, fields: list[str]) -> None:
        try:
            self.handlers[int(fields[0])](fields)
        except Exception as error:  # whatever is wrong with it, it is one message that is missing
            wire: Any = self.wrapper
            wire.unreadable(fields, error)

    def wrap(self, methodName: str, types: list[Any], skip: int = 2) -> Callable[[list[str]], None]:  # ib_async's name
        def handler(fields: list[str]) -> None:
            method = getattr(self.wrapper, methodName, None)
            if method is not None:
                method(*(field if kind is str else kind(float(field or 0)) for kind, field in zip(types, fields[skip:], strict=False)))

        return handler


class Wire:
    """Connect with `open`, then `ask` and `stream`; `closed` is done, with the reason, once the connection is gone.

    on_read  called after each packet, when all of its messages were handed to their routes
    on_told  called with (code, text) of what TWS says about no request in particular, or about one that goes on

    rejected counts messages that could not be read, the latest are kept raw in `rejects`. offset_ns: TWS's clock minus ours.
    """

    defaultTimezone = UTC  # the decoder's name for it: every time it makes is aware UTC

    def __init__(self, on_read: Callable[[], None], on_told: Callable[[int, str], None]) -> None:
        self.received_ns = time.time_ns()
        self.offset_ns = 0
        self.rejected = 0
        self.rejects: deque[str] = deque(maxlen=20)
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._on_read, self._on_told = on_read, on_told
        self._routes: dict[int, Route] = {}
        self._clock: asyncio.Future[None] | None = None
        self._refusal: MarketDataError | None = None
        make: Any = Client  # it carries no types
        self.client: Any = make(self)
        reader: Any = _Reader  # it is typed for ib_async's own Wrapper
        self.client.decoder = reader(self, 0)

    async def open(self, host: str, port: int, client_id: int, timeout_s: float) -> None:
        """Connect, and learn TWS's clock. Raises ConnectionLost, RequestTimeout."""
        where = f"TWS or IB Gateway at {host}:{port}"
        connecting = asyncio.ensure_future(self.client.connectAsync(host, port, client_id, timeout_s))
        try:
            await asyncio.wait({connecting, self.closed}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise self._refusal or ConnectionLost(f"{where} closed the connection before it was ready; is client id {client_id} in use?")
            try:
                connecting.result()
            except TimeoutError as error:
                raise self._refusal or RequestTimeout(f"{where} did not get ready within {timeout_s:g} s") from error
            except OSError as error:
                raise ConnectionLost(f"{where} cannot be reached: {error}; is it running, with its API port open?") from error
            await self._learn_clock()
        except BaseException:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):  # the socket may be gone already
            self.client.disconnect()
        self._gone("closed by us")

    async def ask(self, subject: str, send: Callable[[int], None], *, cancel: Callable[[int], None] | None = None, timeout_s: float = ANSWER_S) -> list[Any]:
        """Send a request and wait for its whole answer. `subject` is what errors call it. Raises what it is refused with, RequestTimeout, ConnectionLost."""
        answer = _Answer(subject)
        req_id = self.stream(answer, send)
        try:
            async with asyncio.timeout(timeout_s):  # not wait_for: Python 3.11's may swallow a cancel
                return await asyncio.shield(answer.done)
        except TimeoutError:
            if cancel is not None and self.is_open:
                cancel(req_id)
            raise RequestTimeout(f"Interactive Brokers did not answer {subject} within {timeout_s:g} s") from None
        finally:
            answer.done.cancel()
            self._routes.pop(req_id, None)

    def stream(self, route: Route, send: Callable[[int], None]) -> int:
        """Send a request whose answers go to `route` until `drop`. The number it was given. ConnectionLost."""
        if not self.is_open:
            raise ConnectionLost("the connection to TWS is not open")
        req_id: int = self.client.getReqId()
        self._routes[req_id] = route
        send(req_id)
        return req_id

    def drop(self, req_id: int, cancel: Callable[[int], None] | None = None) -> None:
        """Send nothing of it on any more, and cancel it at TWS where it still runs there."""
        if self._routes.pop(req_id, None) is not None and cancel is not None and self.is_open:
            cancel(req_id)

    @property
    def is_open(self) -> bool:
        """True while requests can be sent."""
        return bool(self.client.isReady()) and not self.closed.done()

    async def _learn_clock(self) -> None:
        self._clock = asyncio.get_running_loop().create_future()
        self.client.reqCurrentTime()
        waiting: set[asyncio.Future[Any]] = {self._clock, self.closed}
        await asyncio.wait(waiting, timeout=_CLOCK_S, return_when=asyncio.FIRST_COMPLETED)
        if self.closed.done():
            raise ConnectionLost(f"the connection to TWS ended at once: {self.closed.result()}")

    def _gone(self, reason: str) -> None:
        if self.closed.done():
            return
        self.closed.set_result(reason)
        lost = ConnectionLost(f"the connection to TWS is gone: {reason}")
        for route in tuple(self._routes.values()):
            if isinstance(route, _Answer):
                route.fail(lost)
        self._routes.clear()

    def _put(self, req_id: int, kind: str, value: Any) -> None:
        route = self._routes.get(req_id)
        if route is not None:  # else one that was cancelled a moment ago
            route.put(kind, value)

    def _end(self, req_id: int) -> None:
        route = self._routes.get(req_id)
        if route is not None:
            route.end()

    # -- what ib_async's Client and Decoder call, by their names

    def unreadable(self, fields: list[str], error: Exception) -> None:
        """A message that could not be read, or was not understood."""
        self.rejected += 1
        self.rejects.append(f"{type(error).__name__}: {error}: {','.join(fields)[:400]}")

    def tcpDataArrived(self) -> None:
        """A packet came."""
        self.received_ns = time.time_ns()

    def tcpDataProcessed(self) -> None:
        """All messages of the packet were decoded."""
        self._on_read()

    def connectAck(self) -> None:
        """The handshake is through."""

    def setEventsDone(self) -> None:
        """The socket is closed, by whomever and at whatever stage."""
        self._gone("the other side closed it" if self._refusal is None else str(self._refusal))

    def connectionClosed(self) -> None:
        """The socket is closed after it was ready; `setEventsDone` came first."""

    def currentTime(self, epoch_s: int) -> None:
        """TWS's clock, in whole seconds: taken for ours where the two are less than that apart."""
        offset_ns = epoch_s * 1_000_000_000 - time.time_ns()
        self.offset_ns = 0 if abs(offset_ns) <= 2_000_000_000 else offset_ns
        if self._clock is not None and not self._clock.done():
            self._clock.set_result(None)

    def error(self, req_id: int, code: int, text: str, _: str) -> None:
        """An error, a warning, or news: TWS has one message for all of them."""
        if code == CLIENT_ID_IN_USE:
            self._refusal = error_for(code, text, "the connection")
            self._gone(text)
        route = self._routes.get(req_id)
        if route is None:
            self._on_told(code, text)
        elif is_refusal(code):
            route.refused(code, text)
        else:
            route.told(code, text)
            self._on_told(code, text)

    def contractDetails(self, req_id: int, details: Any) -> None:
        self._put(req_id, "details", details)

    def contractDetailsEnd(self, req_id: int) -> None:
        self._end(req_id)

    def historicalData(self, req_id: int, bar: Any) -> None:
        self._put(req_id, "bar", bar)

    def historicalDataEnd(self, req_id: int, _start: str, _end: str) -> None:
        self._end(req_id)

    def historicalDataUpdate(self, req_id: int, bar: Any) -> None:
        self._put(req_id, "bar", bar)

    def realtimeBar(self, req_id: int, *bar: Any) -> None:
        self._put(req_id, "seconds", bar)

    def headTimestamp(self, req_id: int, text: str) -> None:
        self._put(req_id, "head", text)
        self._end(req_id)

    def historicalTicksLast(self, req_id: int, ticks: list[Any], done: bool) -> None:
        for tick in ticks:
            self._put(req_id, "tick", tick)
        if done:
            self._end(req_id)

    def historicalTicksBidAsk(self, req_id: int, ticks: list[Any], done: bool) -> None:
        self.historicalTicksLast(req_id, ticks, done)

    def tickByTickAllLast(self, req_id: int, _type: int, epoch_s: int, price: float, size: float, mask: Any, _exchange: str, _terms: str) -> None:
        self._put(req_id, "trade", (epoch_s, price, size, mask.unreported))

    def tickByTickBidAsk(self, req_id: int, epoch_s: int, bid: float, ask: float, bid_size: float, ask_size: float, _mask: Any) -> None:
        self._put(req_id, "quote", (epoch_s, bid, ask, bid_size, ask_size))

    def priceSizeTick(self, req_id: int, kind: int, price: float, _size: float) -> None:
        self._put(req_id, "price", (kind, price))

    def tickSize(self, req_id: int, kind: int, size: float) -> None:
        self._put(req_id, "size", (kind, size))

    def tickString(self, req_id: int, kind: int, value: str) -> None:
        self._put(req_id, "text", (kind, value))

    def tickGeneric(self, req_id: int, kind: int, value: float) -> None:
        self._put(req_id, "number", (kind, value))

    def marketDataType(self, req_id: int, kind: int) -> None:
        if kind != 1:
            self._on_told(0, f"market data of request {req_id} are {({2: 'frozen', 3: 'delayed', 4: 'delayed and frozen'}).get(kind, kind)}, not live")
