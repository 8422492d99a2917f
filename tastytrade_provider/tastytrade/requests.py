"""Requests on channels of their own: a series from a time on, whose snapshot is gathered. Then the channel is closed, or stays for what changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..dxlink.messages import FeedData
from ..dxlink.messages import Subscription as Item
from ..dxlink.rows import decode
from ..dxlink.turns import ChannelState
from ..errors import ConnectionLost, FeedError, ProtocolViolation, RequestTimeout
from .snapshot import Snapshot
from .stream import Stream

_KEPT = 2_000  # rows of a series that stays: as many bars as a change can still reach (see CandleBars)

Progress = Callable[[str, int, float], None]
"""(what is asked for, rows so far, share of it that is here, 0 to 1)"""


class SnapshotRequest:
    """One series being gathered on a channel of its own. `take` its data, `fail` it, `await result()`."""

    stays = False  # whether what changes after the snapshot is wanted too

    def __init__(self, stream: Stream, event_type: str, fields: Sequence[str], item: Item, contract: str, progress: Progress) -> None:
        protocol = stream.protocol
        self._loop = asyncio.get_running_loop()
        self.snapshot = Snapshot(self._loop.time())
        self.channel = protocol.open_channel("FEED", contract)
        self._item, self._progress, self._asked_ms = item, progress, time.time_ns() // 1_000_000
        self._stream, self._what = stream, f"{event_type} of {item.symbol}"
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        protocol.feed_setup(self.channel, 0, event_fields={event_type: tuple(fields)})
        protocol.subscribe(self.channel, [item])
        stream.flush()
        self._wait_for_end()

    def take(self, raws: Sequence[bytes]) -> None:
        """Messages of this channel."""
        fields_of = self._stream.protocol.channels[self.channel].fields
        for raw in raws:
            if self.snapshot.is_complete and not self.stays:
                break  # what comes now is news, about trades of any age: it would blur where the snapshot begins
            try:
                rows = [row for _, some in decode(FeedData(self.channel, raw), fields_of) for row in some]
            except ProtocolViolation as violation:
                self.fail(violation)
                return
            self.snapshot.add(rows, self._loop.time())
        if not self._done.done():
            self._tell()
        self._look()

    def fail(self, error: FeedError) -> None:
        """The request ends with an error."""
        if not self._done.done():
            self._done.set_exception(error)

    async def result(self) -> Snapshot:
        """The snapshot once it is complete. Raises ConnectionLost, RequestTimeout (nobody answered), or what the server said."""
        try:
            either: set[asyncio.Future[Any]] = {self._done, self._stream.closed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._done.done():
                raise ConnectionLost(f"the connection was lost while {self._what} was on its way: {self._stream.closed.result()}")
            self._done.result()
            if not self.snapshot.is_heard:
                raise RequestTimeout(f"TastyTrade's stream did not answer the request for {self._what}")
            return self.snapshot
        finally:
            if not self.stays:
                self.close()

    def close(self) -> None:
        """Nothing more is wanted."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._done.done():
            self._done.cancel()
        elif not self._done.cancelled():
            self._done.exception()  # noticed: `result` has raised it, or whoever asked has given up
        protocol = self._stream.protocol
        if not self._stream.closed.done() and not protocol.close_expected and protocol.channels[self.channel].state is not ChannelState.CLOSED:
            protocol.cancel(self.channel)
            self._stream.flush()

    def _tell(self) -> None:
        """Rows come newest first, so the oldest one shows how much is still to come."""
        first_ms, from_ms = self.snapshot.first_time_ms, self._item.from_time_ms
        if first_ms is not None and from_ms is not None and self._asked_ms > from_ms:
            done = (self._asked_ms - first_ms) / (self._asked_ms - from_ms)
            self._progress(self._what, self.snapshot.count, 1.0 if self.snapshot.is_complete else min(max(done, 0.0), 1.0))

    def _look(self) -> None:
        if self.snapshot.is_complete and not self._done.done():
            self._done.set_result(None)

    def _wait_for_end(self) -> None:
        self.snapshot.advance(self._loop.time())
        self._look()
        due_s = self.snapshot.due_s
        if not self._done.done() and due_s is not None:
            self._timer = self._loop.call_later(max(due_s - self._loop.time(), 0.01), self._wait_for_end)


class Series(SnapshotRequest):
    """A series that stays subscribed: `await result()` gives its snapshot, `news` waits for changes of it. Until `close`.

    With the first call of `news` older rows are let go of: read those of the snapshot before.

    failure  why the server sends no more of it, None as long as it does
    """

    stays = True

    def __init__(self, *args: Any) -> None:
        self._news = asyncio.Event()
        self.failure: FeedError | None = None
        super().__init__(*args)

    @property
    def stands(self) -> bool:
        """False once nothing more can come."""
        return self.failure is None and not self._stream.closed.done()

    def take(self, raws: Sequence[bytes]) -> None:
        """Messages of this channel."""
        super().take(raws)
        self._news.set()

    def fail(self, error: FeedError) -> None:
        """The server wants to send no more of it."""
        self.failure = self.failure or error
        self._news.set()
        super().fail(error)

    async def news(self, timeout_s: float) -> None:
        """Wait for a message, the end, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()
        self.snapshot.advance(self._loop.time())
        self.snapshot.forget(_KEPT)
