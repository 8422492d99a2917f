"""One conversation with the stream: what is asked over a connection, on which channels, and who hears what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..dxlink.connection import Connection
from ..dxlink.events import Event, Ignored, Refused, TimedOut, Violation
from ..dxlink.messages import ChannelClosed, ChannelOpened, Error
from ..dxlink.messages import Subscription as Item
from ..dxlink.turns import ChannelState
from ..errors import AuthenticationFailed, ConnectionLost, FeedError, RequestTimeout, SessionConflict
from .mapping import FIELDS, TIME_AND_SALE
from .quotes import FIELDS as BOARD_FIELDS
from .requests import Series, SnapshotRequest
from .snapshot import Snapshot
from .stream import OnData, Stream

HANDSHAKE_S = 10.0
_TOO_BIG, _TOO_FAST = "subscription size is too big", "subscription rate is too high"
_SLOWER_S = 1.5  # a refused rate is counted over a second
_ASKED_KEPT = 1_000  # messages: as many as the server's limit of 25,000 takes, and more

Columns = Callable[[str], Sequence[str]]
MakeStream = Callable[[OnData, Callable[[Event], None]], Stream]


class Heard(Protocol):
    """Who hears a dialogue, and says what it shall ask for."""

    def wanted_trades(self) -> list[Item]:
        """All that trades are wanted of."""

    def wanted_board(self) -> list[Item]:
        """All that quotes and figures are wanted of."""

    def trades(self, raws: Sequence[bytes], received_ns: Sequence[int], columns: Columns) -> bool:
        """Messages of trades. True where the stream should be paused."""

    def board(self, raws: Sequence[bytes], received_ns: Sequence[int], columns: Columns) -> None:
        """Messages of quotes and figures."""

    def data(self, delivery: str, raws: Sequence[bytes], received_ns: Sequence[int], columns: Columns) -> None:
        """Every message of data, before anything else hears it."""

    def granted(self, delivery: str) -> None:
        """The channel of trades (STREAM) or of quotes and figures (TICKER) is open."""

    def beside(self) -> None:
        """A second connection is about to be opened beside one that stands."""

    def doubt(self) -> None:
        """What came since then may lack trades: the older connection was not heard after the newer one stood. Behind it comes the loss."""

    def too_big(self, items: Sequence[Item], said: str) -> None:
        """The server refused these, because it serves only so many."""

    def progress(self, what: str, rows: int, share: float) -> None:
        """How much of a history is here."""

    def note(self, text: str) -> None:
        """Something to be shown in the status."""


class Dialogue:
    """Trades on a STREAM channel, quotes and figures on a TICKER channel once somebody wants some, history on channels of its own.

    closed  resolves to the reason once it is over
    """

    def __init__(self, heard: Heard, make_stream: MakeStream = Stream) -> None:
        self.stream = make_stream(self._on_data, self._on_event)
        self.closed = self.stream.closed
        self._heard = heard
        self._trades: int | None = None
        self._board: int | None = None
        self._requests: dict[int, SnapshotRequest] = {}
        self._asked: list[tuple[float, int, tuple[Item, ...]]] = []  # by our clock, channel: the latest messages of which one may be refused
        self._again: dict[int, dict[Item, None]] = {}  # refused for coming too fast, by channel, in order
        self._burst = 1  # so many of them at a time
        self._slower: asyncio.TimerHandle | None = None
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, url: str, token: str) -> None:
        """Connect, log in, ask for all that is wanted. Raises ConnectionLost, RequestTimeout, AuthenticationFailed, SessionConflict."""
        try:
            await self.stream.open(url, token, HANDSHAKE_S)
            self._trades = self._channel("STREAM", {TIME_AND_SALE: FIELDS}, self._heard.wanted_trades())
            self.ask_board([])
            async with asyncio.timeout(HANDSHAKE_S):
                await _first(self._opened, self.closed)
            if self.closed.done():
                raise ConnectionLost(f"the stream closed during the handshake: {self.closed.result()}")
        except TimeoutError:
            self.close()
            raise RequestTimeout(f"the stream did not open within {HANDSHAKE_S:g} s") from None
        except BaseException:  # also one who gives up waiting leaves no socket behind
            self.close()
            raise

    def close(self, reason: str = "closed by us") -> None:
        """End it."""
        self.stream.close(reason)
        if self._opened.done() and not self._opened.cancelled():
            self._opened.exception()  # noticed: `open` has raised it, or nobody waits any more

    @property
    def protocol(self) -> Connection | None:
        """The protocol while it can be spoken to."""
        stream = self.stream
        return None if self._trades is None or stream.closed.done() or stream.protocol.close_expected else stream.protocol

    @property
    def is_busy(self) -> bool:
        """Whether answers to requests are on their way."""
        return any(not request.stays for request in self._requests.values())

    def grants(self, delivery: str) -> bool:
        """Whether the channel of trades (STREAM) or of quotes and figures (TICKER) is open."""
        channel, protocol = self._trades if delivery == "STREAM" else self._board, self.protocol
        return channel is not None and protocol is not None and protocol.channels[channel].state.name == "OPENED"

    def ask_trades(self, items: Sequence[Item]) -> None:
        """Subscribe trades."""
        self._subscribe(self._trades, items)

    def ask_board(self, items: Sequence[Item]) -> None:
        """Subscribe quotes and figures; all that are wanted where none were before."""
        if self._board is not None:
            self._subscribe(self._board, items)
        elif self.protocol is not None and (wanted := self._heard.wanted_board()):  # else whoever opens the next one asks
            self._board = self._channel("TICKER", BOARD_FIELDS, wanted)

    def leave(self, delivery: str, items: Sequence[Item]) -> None:
        """Unsubscribe."""
        channel, protocol = self._trades if delivery == "STREAM" else self._board, self.protocol
        if items and protocol is not None and channel is not None:
            protocol.unsubscribe(channel, items)
            self.stream.flush()

    async def history(self, event_type: str, fields: Sequence[str], item: Item) -> Snapshot:
        """One snapshot over a HISTORY channel of its own, or, where the server refuses that, an AUTO channel, which then is noted.

        Raises ConnectionLost, RequestTimeout, or what the server said.
        """
        try:
            return await self._snapshot("HISTORY", event_type, fields, item)
        except (ConnectionLost, RequestTimeout):
            raise
        except FeedError as refused:
            found = await self._snapshot("AUTO", event_type, fields, item)
            self._heard.note(f"{event_type} of {item.symbol} came over an AUTO channel, whose snapshots can be empty or cut; HISTORY was refused: {refused}")
            return found

    def follow(self, event_type: str, fields: Sequence[str], item: Item, delivery: str = "HISTORY") -> Series:
        """A series on a channel of its own, for as long as it is wanted: see `leave_series`. Raises ConnectionLost."""
        if self.protocol is None:
            raise ConnectionLost("the connection to TastyTrade's stream is closed")
        series = Series(self.stream, event_type, fields, item, delivery, self._heard.progress)
        self._requests[series.channel] = series
        return series

    def leave_series(self, series: Series) -> None:
        """It is wanted no more."""
        self._requests.pop(series.channel, None)
        series.close()

    async def _snapshot(self, contract: str, event_type: str, fields: Sequence[str], item: Item) -> Snapshot:
        if self.protocol is None:
            raise ConnectionLost("the connection to TastyTrade's stream is closed")
        request = SnapshotRequest(self.stream, event_type, fields, item, contract, self._heard.progress)
        self._requests[request.channel] = request
        try:
            return await request.result()
        finally:
            del self._requests[request.channel]

    # -- what comes

    def _on_data(self, channel: int, raws: Sequence[bytes], received_ns: Sequence[int]) -> None:
        asked = self.stream.protocol.channels[channel]
        self._heard.data(asked.contract or "", raws, received_ns, asked.fields)
        if channel == self._trades:
            if self._heard.trades(raws, received_ns, asked.fields):
                self.stream.pause()
        elif channel == self._board:
            self._heard.board(raws, received_ns, asked.fields)
        elif channel in self._requests:
            self._requests[channel].take(raws)

    def _on_event(self, event: Event) -> None:
        opened = self._opened
        if isinstance(event, ChannelOpened):
            if event.channel in (self._trades, self._board):
                self._note_asked(event.channel, [*self.stream.protocol.channels[event.channel].subscriptions.values()])
            if event.channel == self._trades:
                self._heard.granted("STREAM")
                if not opened.done():
                    opened.set_result(None)
            elif event.channel == self._board:
                self._heard.granted("TICKER")
        elif isinstance(event, Refused):
            error = _refusal(event.reason)
            if not opened.done():
                opened.set_exception(error)
            else:
                self.stream.close(str(error))
        elif isinstance(event, Error):
            self._on_error(event)
        elif isinstance(event, TimedOut | ChannelClosed):
            if event.channel in self._requests:
                self._requests[event.channel].fail(RequestTimeout("TastyTrade's stream closed the channel of the request, or did not open it"))
            elif event.channel in (0, self._trades, self._board):
                what = f"{event.waiting_for} did not come for {event.after_s:g} s" if isinstance(event, TimedOut) else f"channel {event.channel} was closed"
                self.stream.close(what)
            elif isinstance(event, ChannelClosed):
                self.stream.protocol.forget(event.channel)  # the answer to our own cancel
        elif isinstance(event, Ignored):
            if event.message.channel in (self._trades, self._board):
                self._heard.note(event.reason)
        elif isinstance(event, Violation):
            self._heard.note(event.reason)

    def _on_error(self, event: Error) -> None:
        said = event.message or ""
        self._heard.note(f"the server says {event.kind}: {said}")
        if event.channel in self._requests:
            self._requests[event.channel].fail(FeedError(f"TastyTrade's stream refused the request: {event.kind}: {said}"))
            return
        if _TOO_BIG in said and (full := self._meant(event.channel)):
            self._asked.remove(full[-1])  # what was asked for last is the first to be too much; another refusal means the message before it
            self._heard.too_big(full[-1][2], said)
        elif _TOO_FAST in said:
            lately = [(channel, item) for asked_s, channel, items in self._meant(event.channel) if _now_s() - asked_s < _SLOWER_S for item in items]
            self._burst = max(1, len(lately) // 2)
            for channel, item in lately:
                self._again.setdefault(channel, {})[item] = None
            self._slow_down()

    def _meant(self, channel: int) -> list[tuple[float, int, tuple[Item, ...]]]:
        """The messages that an error on a channel may be about; one on no channel, lately sent ones of any."""
        return [one for one in self._asked if one[1] == channel or (channel == 0 and _now_s() - one[0] < _SLOWER_S)]

    # -- subscriptions, not too fast

    def _slow_down(self) -> None:
        if self._again and self._slower is None:
            self._slower = asyncio.get_running_loop().call_later(_SLOWER_S, self._ask_again)

    def _ask_again(self) -> None:
        """Some of what was refused, trades first. One timer for all channels: two would keep each other refused for ever."""
        self._slower = None
        channel = min(self._again, key=lambda one: one != self._trades)
        wanted = set(self._heard.wanted_trades() if channel == self._trades else self._heard.wanted_board())
        items = [item for item in self._again.pop(channel) if item in wanted]
        if left := items[self._burst :]:
            self._again[channel] = dict.fromkeys(left)
        self._subscribe(channel, items[: self._burst])
        self._slow_down()

    def _note_asked(self, channel: int, items: Sequence[Item]) -> None:
        """What is sent, message by message."""
        if self.stream.protocol.channels[channel].state is ChannelState.OPENED:  # else it is, together with all before it, once the channel is
            self._asked += [(_now_s(), channel, message) for message in self.stream.protocol.messages(channel, items)]
            del self._asked[:-_ASKED_KEPT]

    # -- small parts

    def _channel(self, delivery: str, fields: Any, items: Sequence[Item]) -> int:
        protocol = self.stream.protocol
        channel = protocol.open_channel("FEED", delivery)
        protocol.feed_setup(channel, 0, event_fields=fields)
        if items:
            protocol.subscribe(channel, items)
        self.stream.flush()
        return channel

    def _subscribe(self, channel: int | None, items: Sequence[Item]) -> None:
        protocol = self.protocol
        if items and protocol is not None and channel is not None:
            protocol.subscribe(channel, items)
            self._note_asked(channel, items)
            self.stream.flush()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _first(opened: asyncio.Future[None], closed: asyncio.Future[str]) -> None:
    """Wait for the channel to open or the connection to end, whichever is first; a refusal is raised."""
    waiting: set[asyncio.Future[Any]] = {opened, closed}
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if opened in done:
        opened.result()


def _refusal(reason: str) -> FeedError:
    """What a refused quote token means. The session limit says the same word, and only there waiting helps."""
    if "number of user sessions" in reason:
        return SessionConflict(f"TastyTrade has too many streams open for this login: {reason}. Close one, or wait some minutes")
    return AuthenticationFailed(f"the stream refused the quote token: {reason}")
