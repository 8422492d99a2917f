"""Websockets in memory: a link has two ends and takes its time, and may go dark or be torn."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from picows import WSCloseCode, WSMsgType

if TYPE_CHECKING:
    from tests.chaos.exchange import Exchange


class Listener(Protocol):
    """What picows calls, by a client of any make."""

    def on_ws_connected(self, transport: Any) -> None:
        """The connection stands."""

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """A frame came."""

    def on_ws_disconnected(self, transport: Any) -> None:
        """The socket is gone."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What picows hands to a listener."""

    msg_type: WSMsgType
    payload: bytes
    code: int = 0
    fin: bool = True

    def get_payload_as_bytes(self) -> bytes:
        return self.payload

    def get_close_code(self) -> WSCloseCode:
        return WSCloseCode(self.code)

    def get_close_reason(self) -> str:
        return self.payload.decode()


class Socket:
    """The client's end of a link, as picows has it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def underlying_transport(self) -> Socket:
        """Itself: `pause_reading` and `resume_reading` are here."""
        return self

    def send(self, kind: WSMsgType, payload: bytes) -> None:
        """A message sets out."""
        self._link.rise(bytes(payload))

    def send_close(self, code: WSCloseCode) -> None:
        """So does a farewell."""
        self._link.rise(None)

    def disconnect(self) -> None:
        """The socket is closed."""
        self._link.leave()

    def pause_reading(self) -> None:
        """Frames wait."""
        self._link.wait(True)

    def resume_reading(self) -> None:
        """And are read."""
        self._link.wait(False)


class Link:
    """One websocket; for the faults it is a visitor.

    is_dark  nothing passes any more, either way, and nobody is told
    """

    def __init__(self, exchange: Exchange, listener: Listener) -> None:
        self.feed = exchange.open_feed()
        self.closed_because = ""
        self.is_dark = False
        self.socket = Socket(self)
        self._exchange, self._listener = exchange, listener
        self._loop = asyncio.get_running_loop()
        self._down: deque[tuple[float, _Frame]] = deque()
        self._up: deque[tuple[float, bytes | None]] = deque()
        self._down_s = self._up_s = 0.0
        self._waits = self._has_left = False

    # --- the exchange's end

    def send(self) -> None:
        """What the feed has to say sets out."""
        if self.closed_because:
            return
        for payload in self.feed.data_to_send():
            self._fall(_Frame(WSMsgType.TEXT, payload))
        if self.feed.close_expected:
            self.close(1000, "Bye")

    def close(self, code: int, reason: str) -> None:
        """Close with a code, behind all that was said."""
        if not self.closed_because:
            self.closed_because = f"{code} {reason}"
            self._fall(_Frame(WSMsgType.CLOSE, reason.encode(), code))
            self._over()

    def reset(self) -> None:
        """Torn: what is under way is lost."""
        self.closed_because = self.closed_because or "reset"
        self._over()
        self._down.clear()
        if not self.is_dark and not self._has_left:
            self._has_left = True
            self._loop.call_later(self._exchange.latency_s(), self._listener.on_ws_disconnected, self.socket)

    # --- the client's end

    def rise(self, payload: bytes | None) -> None:
        """A message sets out to the exchange; None: a farewell."""
        self._up_s = max(self._loop.time() + self._exchange.latency_s(), self._up_s)
        self._up.append((self._up_s, payload))
        self._loop.call_at(self._up_s, self._heard)

    def leave(self) -> None:
        """The client is gone."""
        if not self._has_left:
            self._has_left = True
            self.rise(None)
            self._loop.call_soon(self._listener.on_ws_disconnected, self.socket)

    def wait(self, waits: bool) -> None:
        """Hold what comes for the client, or let it come."""
        self._waits = waits
        self._arrive()

    # --- under way

    def _fall(self, frame: _Frame) -> None:
        self._down_s = max(self._loop.time() + self._exchange.latency_s(), self._down_s)
        self._down.append((self._down_s, frame))
        self._loop.call_at(self._down_s, self._arrive)

    def _arrive(self) -> None:
        now_s = self._loop.time() + 1e-6
        while self._down and self._down[0][0] <= now_s and not self._waits:
            _, frame = self._down.popleft()
            if not self._has_left and not self.is_dark:
                self._listener.on_ws_frame(self.socket, frame)

    def _heard(self) -> None:
        now_s = self._loop.time() + 1e-6
        while self._up and self._up[0][0] <= now_s:
            _, payload = self._up.popleft()
            if self.closed_because or self.is_dark:
                continue
            if payload is None:
                self.closed_because = "the client left"
                self._over()
            else:
                self.feed.receive(payload)
                self.send()

    def _over(self) -> None:
        self.feed.connection.close()
        self._exchange.left(self)
