"""One TCP connection of a client: HTTP requests, and after an upgrade a websocket with a `Feed` behind it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

import h11
import wsproto
from wsproto.events import AcceptConnection, CloseConnection, Ping, TextMessage
from wsproto.events import Request as Upgrade
from wsproto.utilities import RemoteProtocolError

from tastytrade_provider.emulator.feed import Feed
from tastytrade_provider.emulator.rest import Request, Response, error

PATHS: Final = {"api": "/realtime", "demo": "/delayed"}
"""Where the stream is, by the level of the quote token; the server answers at both."""
HIGH_WATER = 256 * 1024
"""Bytes waiting to be written above which a source that can wait does."""
_CHUNK = 65_536
MAX_MESSAGE = 1024 * 1024
"""Characters of a client's message, or bytes of a request's body, beyond which it is refused."""
_NORMAL, _POLICY, _TOO_BIG = 1000, 1008, 1009
_LINGER_NOT = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # closing then sends RST instead of FIN (POSIX SO_LINGER)


class Visitor:
    """`answer` handles HTTP, `open_feed` makes the feed of a websocket, `heard` is called after each message of the client.

    max_buffer_bytes  what may wait for a slow reader; beyond it the websocket is closed with 1008
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Request], Response],
        open_feed: Callable[[], Feed],
        heard: Callable[[], None],
        max_buffer_bytes: int,
    ) -> None:
        self.feed: Feed | None = None
        self.closed_because = ""
        self._reader, self._writer = reader, writer
        self._answer, self._open_feed, self._heard = answer, open_feed, heard
        self._max_buffer_bytes = max_buffer_bytes
        self._websocket: wsproto.WSConnection | None = None
        writer.transport.set_write_buffer_limits(high=HIGH_WATER)

    async def run(self) -> None:
        """Serve until either end closes."""
        try:
            await self._http()
        except (ConnectionError, TimeoutError) as gone:
            self.closed_because = self.closed_because or f"connection lost: {gone}"
        finally:
            if self.feed is not None:
                self.feed.connection.close()
            self._writer.close()

    def send(self) -> None:
        """Write what the feed has to say; a reader who is too slow is sent away."""
        if self.feed is None or self._websocket is None or self.closed_because:
            return
        for payload in self.feed.data_to_send():
            self._writer.write(self._websocket.send(TextMessage(data=payload.decode())))
        if self.feed.close_expected:
            self.close(_NORMAL, "Bye")
        elif self._writer.transport.get_write_buffer_size() > self._max_buffer_bytes:
            self.close(_POLICY, "slow consumer")

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written; nobody waits for a client that is being sent away."""
        if self.closed_because:
            return
        try:
            await self._writer.drain()
        except ConnectionError:
            return  # `run` sees it too, and ends

    async def drain_all(self) -> None:
        """Wait until everything was handed to the system."""
        self._writer.transport.set_write_buffer_limits(high=0)
        await self.drain()
        self._writer.transport.set_write_buffer_limits(high=HIGH_WATER)

    def close(self, code: int, reason: str) -> None:
        """Close the websocket with a code; what was written before still goes out."""
        if self._websocket is not None and not self.closed_because:
            self.closed_because = f"{code} {reason}"
            self._writer.write(self._websocket.send(CloseConnection(code=code, reason=reason)))
        self._writer.close()

    def abort(self) -> None:
        """Drop the connection at once, with what waits to be written."""
        self.closed_because = self.closed_because or "aborted"
        self._writer.transport.abort()

    def reset(self) -> None:
        """Drop the connection with a TCP reset, no word of farewell."""
        self.closed_because = self.closed_because or "reset"
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._writer.transport.abort()

    # --- HTTP

    async def _http(self) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            while (request := await self._next(http)) is not None:
                headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
                target = request.target.decode()
                if headers.get("upgrade", "").lower() == "websocket" and target.partition("?")[0] in PATHS.values():
                    await self._dxlink(request, http.trailing_data[0])
                    return
                body = b""
                while isinstance(part := await self._event(http), h11.Data) and len(body) <= MAX_MESSAGE:
                    body += bytes(part.data)
                if not isinstance(part, h11.EndOfMessage):
                    self._respond(http, error(413, "too_large", f"a body of more than {MAX_MESSAGE} bytes"))
                    return
                self._respond(http, self._answer(Request(request.method.decode(), target, headers, body)))
                if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                    return
                http.start_next_cycle()
        except RemoteProtocolError as violation:
            if self._websocket is None:
                self._respond(http, error(400, "bad_request", str(violation)))
        except h11.RemoteProtocolError as violation:
            if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._respond(http, error(violation.error_status_hint, "bad_request", str(violation)))

    async def _next(self, http: h11.Connection) -> h11.Request | None:
        event = await self._event(http)
        return event if isinstance(event, h11.Request) else None

    async def _event(self, http: h11.Connection) -> object:
        while (event := http.next_event()) is h11.NEED_DATA:
            if http.they_are_waiting_for_100_continue:
                self._writer.write(http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            http.receive_data(await self._reader.read(_CHUNK))
        return event

    def _respond(self, http: h11.Connection, response: Response) -> None:
        headers = [*response.headers, ("Content-Length", str(len(response.body)))]
        for event in (h11.Response(status_code=response.status, headers=headers), h11.Data(data=response.body), h11.EndOfMessage()):
            self._writer.write(http.send(event) or b"")

    # --- DXLink

    async def _dxlink(self, request: h11.Request, early: bytes) -> None:
        websocket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        websocket.initiate_upgrade_connection(list(request.headers), request.target.decode())
        self._websocket, self.feed = websocket, self._open_feed()
        text = ""
        data: bytes | None = early
        while True:
            if data != b"":
                websocket.receive_data(data)
            for event in websocket.events():
                if isinstance(event, Upgrade):
                    self._writer.write(websocket.send(AcceptConnection()))
                elif isinstance(event, Ping) and not self.closed_because:
                    self._writer.write(websocket.send(event.response()))
                elif isinstance(event, TextMessage):
                    text += event.data
                    if len(text) > MAX_MESSAGE:
                        self.close(_TOO_BIG, "message too big")
                        return
                    if event.message_finished:
                        self.feed.receive(text)
                        text = ""
                elif isinstance(event, CloseConnection):
                    self._taken_leave(websocket, event)
                    return
            self.send()
            self._heard()
            data = await self._reader.read(_CHUNK) or None

    def _taken_leave(self, websocket: wsproto.WSConnection, event: CloseConnection) -> None:
        if not self.closed_because:
            self.closed_because = f"client closed with {event.code}"
            if websocket.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
                self._writer.write(websocket.send(event.response()))
