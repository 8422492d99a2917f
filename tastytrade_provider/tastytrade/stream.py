"""The websocket under the DXLink protocol: one connection, frames in, frames out. A loop that reads, asks the protocol, writes.

picows, because it is the fastest way from a socket to a callback: 2.7x aiohttp and 6.3x websockets at one row a message, 2.3x and 6.6x at ten, 1.2x and
5.1x at a hundred (docs/performance.md). Frames arrive in a callback, all of one read are decoded together, and nothing is scheduled per message.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from ..dxlink.connection import Connection
from ..dxlink.events import Event
from ..dxlink.messages import FeedData
from ..dxlink.turns import State
from ..errors import ConnectionLost, ProtocolViolation, RequestTimeout

OnData = Callable[[int, Sequence[bytes], Sequence[int]], None]
_TICK_S = 1.0
_LONGEST_TICK_S = 5.0  # of a longer one the program was busy, and did not listen
_log = logging.getLogger(__name__)
_MAX_FRAME = 64 << 20  # a snapshot may be large; beyond this it is no feed


class Stream(WSListener):
    """One websocket with its protocol.

    on_data(channel, raws, received_ns)  FEED_DATA messages of one channel that arrived together
    on_event(event)                          everything else the protocol reports
    closed                                   resolves to the reason once the connection is over
    heard_s                                  when anything was last read, by the loop's clock
    """

    def __init__(self, on_data: OnData, on_event: Callable[[Event], None]) -> None:
        self.protocol = Connection("client")
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._on_data, self._on_event = on_data, on_event
        self._transport: WSTransport | None = None
        self._frames: list[bytes] = []
        self._times: list[int] = []
        self._parts: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_s, self._listened_s = self._loop.time(), 0.0
        self._is_paused = False
        self._reason = ""
        self.heard_s = self._loop.time()

    async def open(self, url: str, token: str, timeout_s: float = 10.0) -> None:
        """Connect and say the first word. Raises ConnectionLost or RequestTimeout."""
        try:
            async with asyncio.timeout(timeout_s):  # picows bounds the upgrade only, and the system's patience with a silent host is two minutes
                await ws_connect(lambda: self, url, websocket_handshake_timeout=timeout_s, max_frame_size=_MAX_FRAME)
        except TimeoutError as error:
            raise RequestTimeout(f"{url} did not answer within {timeout_s:g} s") from error
        except (OSError, WSError, ValueError) as error:  # ValueError: the server named an address that is none
            raise ConnectionLost(f"{url} cannot be reached: {error or type(error).__name__}") from error
        self.protocol.authenticate(token)
        self.protocol.setup()
        self._tick()

    def close(self, reason: str = "closed by us") -> None:
        """End the connection."""
        self._reason = self._reason or reason
        self.protocol.close()
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
        self._over()

    def pause(self) -> None:
        """Stop reading: the peer's sends back up until `resume`."""
        if self._transport is not None and not self.closed.done():
            self._transport.underlying_transport.pause_reading()
            self._is_paused = True

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self.closed.done():
            self._transport.underlying_transport.resume_reading()
            self._is_paused = False

    def flush(self) -> None:
        """Write what the protocol wants said."""
        if self._transport is not None:
            for payload in self.protocol.data_to_send():
                self._transport.send(WSMsgType.TEXT, payload)

    # -- called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame came; those of one read are taken together at the end of it."""
        kind = frame.msg_type
        if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY or kind is WSMsgType.CONTINUATION:
            payload = frame.get_payload_as_bytes()
            if not frame.fin or self._parts:
                self._parts.append(payload)
                if not frame.fin:
                    return
                payload, self._parts = b"".join(self._parts), []
            if not self._frames:
                self._loop.call_soon(self._drain)
            self._frames.append(payload)
            self._times.append(time.time_ns())
        elif kind is WSMsgType.CLOSE:
            self._reason = self._reason or f"the server closed: {frame.get_close_code().value} {frame.get_close_reason() or ''}".rstrip()
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is gone."""
        self._drain()
        self.protocol.close()
        self._over()

    # -- the loop's work

    def _drain(self) -> None:
        frames, times = self._frames, self._times
        self._frames, self._times = [], []
        if frames:
            self.heard_s = self._loop.time()
        try:
            self._take(frames, times)
            self.flush()
        except ProtocolViolation as violation:
            self.close(f"protocol violation: {violation}")
        except Exception as error:  # nobody awaits this callback: a fault of ours must end the connection, or trades would just stop coming
            _log.exception("reading the feed failed")
            self.close(f"reading the feed failed: {type(error).__name__}: {error}")

    def _take(self, frames: Sequence[bytes], times: Sequence[int]) -> None:
        """Through the protocol, in order; data messages of one channel that follow each other are handed over together, as raw bytes."""
        at = 0
        while at < len(frames):
            channel, stop = self.protocol.data_run(frames, at)
            if stop > at:
                whole = at == 0 and stop == len(frames)
                self._on_data(channel, frames if whole else frames[at:stop], times if whole else times[at:stop])
                at = stop
                continue
            for event in self.protocol.receive(frames[at]):
                if isinstance(event, FeedData):
                    self._on_data(event.channel, [event.raw], [times[at]])
                else:
                    self._on_event(event)
            at += 1

    def _tick(self) -> None:
        """Tell the protocol the time: keepalives go out, silence is noticed. Its clock stands while we do not listen: that is no silence of the server's."""
        now_s = self._loop.time()
        elapsed_s, self._ticked_s = now_s - self._ticked_s, now_s
        if not self._is_paused:
            self._listened_s += min(elapsed_s, _LONGEST_TICK_S)
        if self.protocol.state is State.OPEN and (self._is_paused or elapsed_s > _LONGEST_TICK_S):
            self.protocol.keepalive()
        for event in self.protocol.advance(self._listened_s):
            self._on_event(event)
        self.flush()
        if self.protocol.close_expected:
            self.close("silence: the server said nothing for too long")
        else:
            self._timer = self._loop.call_later(_TICK_S, self._tick)

    def _over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed.done():
            self.closed.set_result(self._reason or "the connection broke")
