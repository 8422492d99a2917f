"""The WebSocket: JSON text both ways.

A client says
    {"type": "auth", "token": "..."}                       first, where looking needs the token and no Authorization header could be sent
    {"type": "subscribe", "symbol": "ES", "timeframe": "1m", "channels": ["delta", "signals", "footprint"], "history": 300, "id": 1}
    {"type": "subscribe", ..., "resume": {"stream": "...", "seqs": {"delta": 17}}}        after a reconnect: what was missed, if it is still known
    {"type": "subscribe", "channels": ["status"]}          the feed's status, each second
    {"type": "unsubscribe", "symbol": "ES", "timeframe": "1m", "channels": ["delta"], "id": 2}
    {"type": "ping", "id": 3}
and hears `hello`, then for each request `snapshot` or `resumed`, `unsubscribed`, `pong` or `error`, all with its `id`, and from then on
    delta_update     a bar, `closed` or forming; an earlier bar again, with a higher `revision`, where trades changed it
    footprint_update, signal, gap, reset, roll, status
Facts of one topic (contract, timeframe, channel) are numbered by `seq` without a hole; the forming bar carries the number of the fact before it.
A client that does not read is told (`error` slow_client, close code 1013) and dropped.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import MarketDataError, UsageError
from ..model import Timeframe
from .feed import KEPT
from .hub import Client, TopicName
from .security import Denied, Guard, RateLimit
from .wire import encode

if TYPE_CHECKING:
    from .runtime import Runtime

MOST_CHARS: Final = 16_384
"""A client's message may be this long."""

_REQUESTS: Final = (30, 0.2)  # at once, and seconds for one more
_AUTH_S: Final = 10.0
_GOODBYE_S: Final = 2.0
_POLICY, _TOO_BIG, _LATER = 1008, 1009, 1013  # close codes, RFC 6455 and its registry


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[str, Field(max_length=64)] | None = None


class _Auth(_Message):
    type: Literal["auth"]
    token: Annotated[str, Field(max_length=1_000)]


class _Resume(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    stream: Annotated[str, Field(max_length=64)]
    seqs: Annotated[dict[str, int], Field(max_length=8)]


class _Topics(_Message):
    symbol: Annotated[str, Field(max_length=40)] | None = None
    timeframe: Annotated[str, Field(max_length=12)] | None = None
    channels: Annotated[list[Literal["delta", "signals", "footprint", "status"]], Field(min_length=1, max_length=4)] = ["delta"]


class _Subscribe(_Topics):
    type: Literal["subscribe"]
    history: Annotated[int, Field(ge=0, le=KEPT)] = 300
    resume: _Resume | None = None


class _Unsubscribe(_Topics):
    type: Literal["unsubscribe"]


class _Ping(_Message):
    type: Literal["ping"]


_REQUEST: TypeAdapter[Any] = TypeAdapter(Annotated[_Auth | _Subscribe | _Unsubscribe | _Ping, Field(discriminator="type")])


class _Over(Exception):
    """This connection ends, with a close code and a reason."""

    def __init__(self, code: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.kind = code, kind


async def serve(websocket: WebSocket, runtime: Runtime, guard: Guard) -> None:
    """One connection, from its handshake to its end."""
    try:
        guard.check_source(websocket.headers)
    except Denied:
        await websocket.close(_POLICY)  # before it is accepted: HTTP 403
        return
    await websocket.accept()
    reader = _Reader(websocket, runtime, guard)
    try:
        await reader.let_in()  # before it takes the place of one who may
        client = runtime.hub.join()
    except WebSocketDisconnect:
        return
    except (_Over, UsageError) as error:
        await _goodbye(websocket, error if isinstance(error, _Over) else _Over(_LATER, "full", str(error)))
        return
    end: _Over | None = None
    try:
        end = await _talk(websocket, runtime, reader, client)
    except WebSocketDisconnect:
        return
    finally:
        runtime.hub.leave(client)
    if end is not None:
        await _goodbye(websocket, end)


async def _talk(websocket: WebSocket, runtime: Runtime, reader: _Reader, client: Client) -> _Over | None:
    """Until one side ends it. Returns what to say at the end; raises WebSocketDisconnect where the client has gone."""
    tasks = [
        asyncio.create_task(reader.run(client), name="websocket requests"),
        asyncio.create_task(client.pump(websocket.send_text), name="websocket sends"),
        asyncio.create_task(client.ended.wait(), name="websocket end"),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if client.dropped is not None:
            is_slow = client.dropped.startswith("slow")
            runtime.hub.slow += is_slow
            return _Over(_LATER if is_slow else 1012, "slow_client" if is_slow else "closing", client.dropped)
        for task in tasks:
            if task.done() and (error := task.exception()) is not None:
                if isinstance(error, _Over):
                    return error
                if isinstance(error, WebSocketDisconnect | RuntimeError | OSError):  # starlette's words for a socket that has gone
                    return None
                raise error
        return None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _goodbye(websocket: WebSocket, end: _Over) -> None:
    """Say why, and close; a client that does not read gets two seconds to begin."""
    with suppress(TimeoutError, WebSocketDisconnect, RuntimeError, OSError):  # it has gone, or never reads: either way there is nobody to tell
        async with asyncio.timeout(_GOODBYE_S):
            await websocket.send_text(encode({"type": "error", "code": end.kind, "message": str(end), "id": None}))
            await websocket.close(end.code, str(end)[:100])


class _Reader:
    """A client's requests, one after the other."""

    _client: Client

    def __init__(self, websocket: WebSocket, runtime: Runtime, guard: Guard) -> None:
        self._websocket, self._runtime, self._guard = websocket, runtime, guard
        self._limit = RateLimit(*_REQUESTS, runtime.clock)

    async def let_in(self) -> None:
        """Where looking needs the token: it came with the handshake, or comes with the first message. Raises _Over."""
        try:
            self._guard.check_read(self._websocket.headers)
        except Denied:
            await self._let_in()

    async def run(self, client: Client) -> None:
        """Until the client has gone."""
        self._client = client
        self._say({"type": "hello", "stream": self._runtime.hub.stream, "markets": [*self._runtime.symbols], "timeframe": self._runtime.timeframe})
        while True:
            await self._answer(await self._receive())

    async def _let_in(self) -> None:
        try:
            async with asyncio.timeout(_AUTH_S):
                request = self._read(await self._receive())
        except TimeoutError:
            raise _Over(_POLICY, "unauthorized", "no token came") from None
        except UsageError as error:
            raise _Over(_POLICY, "unauthorized", str(error)) from None
        if not isinstance(request, _Auth) or not self._guard.is_token(request.token):
            raise _Over(_POLICY, "unauthorized", "the token is missing or wrong")

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        if text is None:
            raw = message.get("bytes") or b""
            if len(raw) > MOST_CHARS:
                raise _Over(_TOO_BIG, "too_big", f"a message may be {MOST_CHARS} characters long")
            text = raw.decode("utf-8", "replace")
        if len(text) > MOST_CHARS:
            raise _Over(_TOO_BIG, "too_big", f"a message may be {MOST_CHARS} characters long")
        if self._limit.wait_s(None) > 0:
            raise _Over(_POLICY, "too_many", "too many messages in a short time")
        return str(text)

    @staticmethod
    def _read(text: str) -> Any:
        try:
            return _REQUEST.validate_json(text.encode("utf-8", "replace"))
        except ValidationError as error:
            said = "; ".join(
                ": ".join(filter(None, (".".join(str(part)[:40] for part in each["loc"]), each["msg"]))) for each in error.errors(include_input=False)[:5]
            )
            raise UsageError(said[:500]) from None

    async def _answer(self, text: str) -> None:
        asked: Any = None
        try:
            asked = self._read(text)
            if isinstance(asked, _Ping):
                self._say({"type": "pong", "id": asked.id})
            elif isinstance(asked, _Subscribe):
                await self._subscribe(asked)
            elif isinstance(asked, _Unsubscribe):
                for name in self._names(asked):
                    self._runtime.hub.unsubscribe(self._client, name)
                self._say({"type": "unsubscribed", "id": asked.id})
            else:
                self._say({"type": "welcome", "id": asked.id})
        except MarketDataError as error:
            kind = "bad_request" if isinstance(error, UsageError) else "unavailable"
            said = str(error).encode("utf-8", "replace").decode()
            self._say({"type": "error", "code": kind, "message": said, "id": _id(text) if asked is None else asked.id})

    def _names(self, asked: _Topics) -> list[TopicName]:
        found = []
        for channel in dict.fromkeys(asked.channels):
            if channel == "status":
                found.append(TopicName("", "", "status"))
                continue
            market = self._runtime.market(asked.symbol or self._runtime.symbols[0])
            found.append(TopicName(market.name, str(Timeframe.parse(asked.timeframe or self._runtime.timeframe)), channel))
        return found

    async def _subscribe(self, asked: _Subscribe) -> None:
        hub, client = self._runtime.hub, self._client
        names = self._names(asked)
        for name in names:
            if name.market:
                await self._runtime.feed(self._runtime.markets[name.market], name.timeframe)
        # no await from here on: nothing is published between the snapshot and the first update
        topics = [hub.subscribe(client, name) for name in names]
        if any(name.channel == "status" for name in names):
            self._say({"type": "status", **self._runtime.status(), "id": asked.id})
        kept = [topic for topic in topics if topic.name.channel != "status"]
        if not kept:
            return
        if asked.resume is not None and asked.resume.stream == hub.stream:
            seqs = asked.resume.seqs
            missed = [(topic, topic.since(seqs.get(topic.name.channel, -1))) for topic in kept]
            if all(facts is not None for _, facts in missed):
                self._say({"type": "resumed", "stream": hub.stream, "seqs": {topic.name.channel: topic.seq for topic in kept}, "id": asked.id})
                for topic, facts in missed:
                    for text in facts or ():
                        client.put(text, topic)
                self._runtime.markets[kept[0].name.market].touch()  # the forming bar is no fact: it comes anew
                return
        market = self._runtime.markets[kept[0].name.market]
        feed = market.feeds[kept[0].name.timeframe]
        self._say({**market.snapshot(feed, [topic.name.channel for topic in kept], asked.history), "id": asked.id})

    def _say(self, message: dict[str, Any]) -> None:
        self._client.put(encode(message))


def _id(text: str) -> Any:
    """The id of a request that is none otherwise, so that the client knows which; None where it has none that could be."""
    try:
        return _Message.model_validate(dict(id=orjson.loads(text)["id"])).id
    except (ValueError, TypeError, KeyError):  # of pydantic too
        return None
