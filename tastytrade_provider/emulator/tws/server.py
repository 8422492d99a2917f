"""The TWS socket: a loopback server around a `Gateway`. The one shell here; what decides is elsewhere."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from tastytrade_provider.emulator.source import Print, QuoteChange
from tastytrade_provider.emulator.tws.gateway import Gateway
from tastytrade_provider.emulator.tws.session import Session
from tastytrade_provider.errors import UsageError

HOST: Final = "127.0.0.1"
_HIGH_WATER = 256 * 1024
_CHUNK = 65_536
_MOST_WAITING = 200  # batches held back by the lag above which a source that can wait does
_LINGER_NOT = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # closing then sends RST instead of FIN (POSIX SO_LINGER)


class TwsServer:
    """A fake TWS. Its clients see the events given to `publish`, by way of `gateway`, whose methods make link, login and feed misbehave.

    heard             called after each message of a client and each end of a connection
    max_buffer_bytes  what may wait for a slow reader before its connection is dropped
    refuses           True: connections are dropped as soon as they are made
    """

    def __init__(self, gateway: Gateway, heard: Callable[[], None], max_buffer_bytes: int) -> None:
        self.gateway, self.refuses = gateway, False
        self._heard, self._max_buffer_bytes = heard, max_buffer_bytes
        self._server: asyncio.Server | None = None
        self._connections: dict[Session, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._has_late = asyncio.Event()

    @property
    def port(self) -> int:
        """The port listened on; UsageError before `start`."""
        if self._server is None:
            raise UsageError("the fake TWS has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def listens(self) -> bool:
        """Whether something is subscribed that starts a tape."""
        return self.gateway.listens(self.gateway.knobs.start_on)

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1. What was published before is history."""
        self._server = await asyncio.start_server(self._visit, HOST, port)
        if self.gateway.knobs.lag_s:
            self._keep(asyncio.create_task(self._let_out(), name="tws lag"))

    async def stop(self) -> None:
        """Close every connection and end every task; raises what a task died of."""
        if self._server is None:
            return
        self._server.close()
        self.drop_connections()
        for task in self._tasks:
            task.cancel()
        results = [*await asyncio.gather(*self._tasks, return_exceptions=True), *self._failures]
        await self._server.wait_closed()
        self._failures = []
        for result in results:
            if isinstance(result, Exception):
                raise result

    # --- the market

    def publish(self, events: Sequence[Print | QuoteChange], market_ns: int) -> None:
        """Events of the exchange, and its clock."""
        self.gateway.publish(events, market_ns, None if self._server is None else asyncio.get_running_loop().time())
        if self.gateway.due_s is not None:
            self._has_late.set()

    def flush(self, at_once: bool = False) -> None:
        """Write what there is to say; `at_once`: conflated subscriptions too."""
        self.gateway.advance(asyncio.get_running_loop().time(), at_once)
        self._send_all()

    async def drain(self) -> None:
        """Wait until every client has taken most of what was written, and the lag holds back only so much."""
        await self._let_out_to(_MOST_WAITING)
        for writer in list(self._connections.values()):
            await self._drained(writer)

    async def finish(self) -> None:
        """The source has ended: wait until everything was handed to the system."""
        await self._let_out_to(0)
        self.gateway.settle()
        self.flush(at_once=True)
        for writer in list(self._connections.values()):
            writer.transport.set_write_buffer_limits(high=0)
            await self._drained(writer)
            writer.transport.set_write_buffer_limits(high=_HIGH_WATER)

    # --- what may befall a connection

    def drop_connections(self) -> None:
        """Drop every connection with a TCP reset, no word of farewell."""
        for writer in self._connections.values():
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()

    def cut_off(self, code: int = 1100) -> None:
        """See `Gateway.cut_off`."""
        self.gateway.cut_off(code)
        self._send_all()

    def reconnect(self, data_lost: bool, code: int | None = None) -> None:
        """See `Gateway.reconnect`."""
        self.gateway.reconnect(data_lost, code)
        self._send_all()
        self._heard()

    def compete(self, is_competing: bool = True) -> None:
        """See `Gateway.compete`."""
        self.gateway.compete(is_competing)
        self._send_all()

    # --- connections

    def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self._keep(asyncio.create_task(self._serve(reader, writer), name="tws visitor"))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = self.gateway.open_session()
        self._connections[session] = writer
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)
        now_s = asyncio.get_running_loop().time
        try:
            while not session.close_expected and (data := await reader.read(_CHUNK)):
                session.receive(data, now_s())
                self._send(session, writer)
                self._heard()
        except ConnectionError as gone:
            session.closed_because = f"connection lost: {gone}"
        except Exception as error:  # kept for `stop`, which raises it: one visitor's end must not be the others'
            self._failures.append(error)
        finally:
            del self._connections[session]
            self.gateway.close_session(session)
            writer.close()
            self._heard()

    def _send_all(self) -> None:
        for session, writer in self._connections.items():
            self._send(session, writer)

    def _send(self, session: Session, writer: asyncio.StreamWriter) -> None:
        if data := session.data_to_send():
            writer.write(data)
        if writer.transport.get_write_buffer_size() > self._max_buffer_bytes:
            writer.transport.abort()

    async def _drained(self, writer: asyncio.StreamWriter) -> None:
        try:
            await writer.drain()
        except ConnectionError:
            return  # `_serve` sees it too, and ends

    async def _let_out(self) -> None:
        """Whatever else happens, what the lag holds back comes out in time."""
        while True:
            await self._has_late.wait()
            self._has_late.clear()
            await self._let_out_to(0)

    async def _let_out_to(self, waiting: int) -> None:
        now_s = asyncio.get_running_loop().time
        while (due_s := self.gateway.due_s) is not None and self.gateway.waiting > waiting:
            await asyncio.sleep(max(due_s - now_s(), 0.0))
            self.flush()
