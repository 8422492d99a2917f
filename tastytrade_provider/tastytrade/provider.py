"""TastyTrade as a DataProvider: login, contracts, and every futures print with the exchange's own side, over our own DXLink client."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..dxlink.connection import Connection
from ..dxlink.events import Event, Ignored, Refused, TimedOut, Violation
from ..dxlink.messages import ChannelClosed, ChannelOpened, Error
from ..dxlink.messages import Subscription as Item
from ..errors import (
    AuthenticationFailed,
    CapacityExceeded,
    ConnectionLost,
    FeedError,
    MarketDataError,
    NotEntitled,
    RateLimited,
    RequestTimeout,
    SessionConflict,
    UsageError,
)
from ..journal import Journal
from ..model import Bar, Contract, Gap, Quote, Roll, Summary, TradeBatch
from ..provider import Capabilities, DataProvider, ProviderStatus, State, Subscription, Time
from ..sessions import session_at
from ..settings import Settings, TastytradeSettings
from .auth import Account, QuoteToken
from .bar_feed import BarFeed, Join, check, start_of
from .board import Board
from .history import History
from .intake import Intake
from .ladder import TickQuality
from .line import Line, TradeSubscription
from .mapping import FIELDS, TIME_AND_SALE, TradeDecoder
from .quotes import FIELDS as BOARD_FIELDS
from .requests import SnapshotRequest
from .snapshot import Snapshot
from .stream import Stream

if TYPE_CHECKING:
    import pandas as pd

_HANDSHAKE_S = 10.0
_GAP_AFTER_S = 2.0  # without a trade this long after a reconnect, the gap is told by the clock
_REFUSALS = 5  # as many logins refused in a row are final: more would get the address blocked
_REFILL_S = 10.0  # live trades wait this long for those an outage cost
_SESSIONS_S = 120.0  # wait for another session of the same login to end

Observe = Callable[[str, Sequence[bytes], Sequence[int], Callable[[str], Sequence[str]]], None]
"""(contract of the channel: STREAM, TICKER or HISTORY; messages; when each was received, UTC ns; columns of an event type)"""


def backoff_s(attempt: int, chance: float) -> float:
    """Seconds to wait before reconnecting for the n-th time (from 1): doubling from 0.5 s to a minute, times 0.5 to 1 by `chance` in [0, 1).

    >>> [backoff_s(attempt, 0.0) for attempt in (1, 2, 3, 20)]
    [0.25, 0.5, 1.0, 30.0]
    """
    return min(60.0, 0.5 * 2.0 ** min(attempt - 1, 10)) * (0.5 + chance / 2)


def create(settings: Settings) -> TastyTradeProvider:
    """The factory the registry calls."""
    return TastyTradeProvider(settings.tastytrade, journal=Journal(settings.journal.path) if settings.journal.enabled else None)


class TastyTradeProvider(DataProvider):
    """Live trades of futures (and cryptocurrencies) with CME's BUY/SELL flag.

    settings     the `tastytrade` section of the configuration
    wait         True: a slow consumer makes the feed wait instead of losing trades (for tapes, whose server waits too)
    trust_flags  False: the exchange's flags are ignored and sides inferred, to measure the rules
    journal      where every message of trades is kept as it came, before anything looks into it; opened and closed with the connection
    observe      an attribute, None or a function that sees every message of data first, whatever becomes of it: for a probe

    Rows that are not readable as trades are counted in `status().rejected` and the latest kept raw; rows filtered by configuration are counted too.
    After a broken connection it reconnects, resubscribes, and hands over one `Gap` per contract.
    """

    name = "tastytrade"
    capabilities = Capabilities(trades=True, quotes=True, bars=True, summary=True, historical_bars=True, historical_trades=True, side_source="exchange")

    def __init__(self, settings: TastytradeSettings, *, wait: bool = False, trust_flags: bool = True, journal: Journal | None = None) -> None:
        self._settings, self._wait, self._trust_flags = settings, wait, trust_flags
        self.journal = journal
        self.observe: Observe | None = None
        self._account = Account(settings)
        self._decoder = TradeDecoder()
        self._lines: dict[str, Line] = {}
        self._quality: dict[str, TickQuality] = {}
        self._board = Board()
        self._history = History(self._ask, self._new_intake)
        self._requests: dict[int, SnapshotRequest] = {}
        self._refills: set[asyncio.Task[None]] = set()
        self._feeds: set[asyncio.Task[None]] = set()
        self._wall_ns: Callable[[], int] = time.time_ns  # what history and bars take for now; a tape's clock stands elsewhere
        self._stream: Stream | None = None
        self._channel: int | None = None
        self._board_channel: int | None = None
        self._runner: asyncio.Task[None] | None = None
        self._state: State = "disconnected"
        self._since_ns = time.time_ns()
        self._token: QuoteToken | None = None
        self._opened: asyncio.Future[None] | None = None
        self._reconnects = 0
        self._gaps: deque[Gap] = deque(maxlen=100)
        self._notes: deque[str] = deque(maxlen=20)
        self._failed: deque[str] = deque(maxlen=20)
        self._lag_ms: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- DataProvider

    @property
    def is_connected(self) -> bool:
        """True while the stream is open and authorised."""
        return self._state == "connected"

    async def connect(self) -> None:
        """Log in, fetch a quote token, open the stream. Raises AuthenticationFailed, ConnectionLost, RequestTimeout."""
        if self._runner is not None:
            return
        self._enter("connecting")
        try:
            if self.journal is not None:
                await self.journal.start()
            await self._account.connect()
            stream = await self._open()
        except BaseException:
            self._enter("disconnected")
            await self._account.disconnect()
            if self.journal is not None:
                await self.journal.stop()
            raise
        self._runner = asyncio.create_task(self._run(stream), name="tastytrade stream")

    async def disconnect(self) -> None:
        """Close the stream and end every subscription."""
        self._enter("closed")
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            with suppress(asyncio.CancelledError):
                await runner
        owned = (*self._refills, *self._feeds)
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)
        self._break_off()
        self._end_all(None)
        await self._account.disconnect()
        if self.journal is not None:
            await self.journal.stop()

    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names: ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME, or a cryptocurrency's symbol."""
        contract = await self._account.resolve(symbol)
        # its calendar takes up to a second to load: now, in a thread, and not when the first trade of a live feed wants its session
        await asyncio.to_thread(session_at, contract.calendar, time.time_ns())
        return contract

    async def contracts(self, root: str) -> list[Contract]:
        """The listed months of a product, nearest expiry first."""
        return await self._account.contracts(root)

    def subscribe_trades(self, contract: Contract) -> TradeSubscription:
        """Every print from now on, as TimeAndSale on a STREAM channel: not conflated, with the exchange's side."""
        if not contract.streamer_symbol:
            raise UsageError(f"{contract.symbol} has no streamer symbol; take the contract from resolve() or contracts()")
        if self._state == "closed":
            raise UsageError(f"provider '{self.name}' is closed; connect() opens it again")
        line = self._lines.get(contract.streamer_symbol)
        if line is None:
            line = self._lines[contract.streamer_symbol] = Line(contract, self._new_intake())
            self._quality[contract.streamer_symbol] = TickQuality(self._settings.invalid_ticks)
            if self.journal is not None:
                self.journal.watch(contract, self._rules)
            self._decoder.watch(contract)
        listener: TradeSubscription = Subscription(contract, wait=self._wait, on_cancel=self._cancelled, on_room=self._room, on_failure=self._note_failure)
        is_first, protocol = line.join(listener, time.time_ns()), self._protocol
        if protocol is not None and self._channel is not None:
            if is_first:
                protocol.subscribe(self._channel, [Item(TIME_AND_SALE, contract.streamer_symbol)])
                self._flush()
            if protocol.channels[self._channel].state.name == "OPENED":
                listener.grant()
        return listener

    def subscribe_quotes(self, contract: Contract) -> Subscription[Quote | Gap]:
        """Best bid and ask, conflated by the feed: the latest counts. One-sided quotes come with None on the empty side; after an outage a Gap first."""
        listener: Subscription[Quote | Gap] = self._board_listener(contract)
        self._ask_board(self._board.join_quotes(listener), listener)
        return listener

    def subscribe_summary(self, contract: Contract) -> Subscription[Summary]:
        """The day's figures (from Trade, Summary and Profile), each time one of them changes; conflated by the feed."""
        listener: Subscription[Summary] = self._board_listener(contract)
        self._ask_board(self._board.join_summary(listener), listener)
        return listener

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> Subscription[Bar | Gap]:
        """Closed bars as they close, from the running one on, or after `backfill` of history: each once, none missing, none half.

        Where the feed gives every trade since the session's open, bars from there on are made of trades; otherwise the bar that runs now comes from
        a candle, two seconds after it has closed. Bars of before come from candles; a stretch without any is told by a Gap("no history").
        A correction hands a bar out again with a higher `revision`. Ends with UnsupportedTimeframe for t, v, r where the session's trades cannot be had.
        """
        wanted = check(contract, timeframe, hours)
        start_of(backfill, self._now_ns(contract))
        trades = self.subscribe_trades(contract)
        line, legs = self._lines[contract.streamer_symbol], self._settings.spread_legs

        def left(_: object) -> None:
            task.cancel()

        listener: Subscription[Bar | Gap] = Subscription(contract, wait=self._wait, on_cancel=left, on_failure=self._note_failure)

        def join(now_ns: int) -> Join:
            return Join(contract, wanted, hours, start_of(backfill, now_ns), now_ns, legs)

        def is_whole() -> bool:
            return self.is_connected and line.refill_from_ns is None

        def ended(task: asyncio.Task[None]) -> None:
            self._feeds.discard(task)
            trades.cancel()
            listener.end()  # also where it was cancelled before it began

        feed = BarFeed(listener, trades, line, self._history, self._new_intake, join, lambda: self._now_ns(contract), is_whole)
        task = asyncio.create_task(feed.run(), name=f"bars {contract.symbol} {wanted}")
        self._feeds.add(task)
        task.add_done_callback(ended)
        return listener

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """The bars frame of [start, end) by bar start, from Candle events; `start` None: the current session. See `History.bars` for `attrs`.

        buy_volume and sell_volume are the candle's ask and bid volume, NaN where it has none; `delta_source` says "candle". Raises NoData where the
        market was open and the feed has nothing, UnsupportedTimeframe, UsageError, RequestTimeout, ConnectionLost.
        """
        return await self._history.bars(contract, timeframe, start, end, hours, self._now_ns(contract))

    async def historical_trades(self, contract: Contract, start: Time, end: Time = None) -> TradeBatch:
        """The trades of [start, end), oldest first, sides found as live. NoData where the feed does not go back that far; the message says how far."""
        return await self._history.trades(contract, start, end, self._now_ns(contract))

    def status(self) -> ProviderStatus:
        """Counts over all contracts since the provider was made."""
        counts = [line.intake.counts for line in self._lines.values()]
        sides: Counter[str] = Counter()
        excluded: Counter[str] = Counter()
        for line in self._lines.values():
            sides.update(line.intake.sides.counts)
            excluded.update(line.intake.counts.excluded)
        return ProviderStatus(
            state=self._state,
            since_ns=self._since_ns,
            reconnects=self._reconnects,
            lag_ms=self._lag_ms,
            trades=sum(c.trades for c in counts),
            rejected=self._decoder.rejected + self._board.decoder.rejected,
            duplicates=sum(c.duplicates for c in counts),
            orphans=sum(c.orphans for c in counts),
            corrections=sum(c.corrections for c in counts),
            cancels=sum(c.cancels for c in counts),
            off_tick=sum(c.off_tick for c in counts),
            off_step=sum(c.off_step for c in counts),
            excluded=dict(excluded),
            sides=dict(sides),
            gaps=tuple(self._gaps),
            rejects=(*self._decoder.rejects, *self._board.decoder.rejects),
            delta_source="time_and_sale",
            token_level=self._token.level if self._token else None,
            notes=(*self._notes, *self._quality_notes(), *self._journal_notes()),
            failed=tuple(self._failed),
        )

    # -- the stream

    async def _open(self) -> Stream:
        """A stream that is authorised, with everything subscribed again."""
        self._token = await self._account.quote_token()
        stream = Stream(self._on_data, self._on_event)
        self._opened = asyncio.get_running_loop().create_future()
        try:
            await stream.open(self._token.url, self._token.token, _HANDSHAKE_S)
            self._stream = stream
            channel = self._channel = stream.protocol.open_channel("FEED", "STREAM")
            stream.protocol.feed_setup(channel, 0, event_fields={TIME_AND_SALE: FIELDS})
            wanted = [Item(TIME_AND_SALE, symbol) for symbol, line in self._lines.items() if line.listeners]
            if wanted:
                stream.protocol.subscribe(channel, wanted)
            if self._board.wanted():
                self._open_board(stream)
            await asyncio.wait_for(_first(self._opened, stream.closed), _HANDSHAKE_S)
            if stream.closed.done():
                raise ConnectionLost(f"the stream closed during the handshake: {stream.closed.result()}")
        except TimeoutError:
            self._break_off()
            raise RequestTimeout(f"the stream did not open within {_HANDSHAKE_S:g} s") from None
        except BaseException:  # also one who gives up waiting leaves no socket behind
            self._break_off()
            raise
        self._enter("connected")
        return stream

    async def _run(self, stream: Stream) -> None:
        """Keep a stream open: wait for its end, then reconnect until it is back."""
        while True:
            reason = await stream.closed
            self._enter("reconnecting")
            self._notes.append(f"connection lost: {reason}")
            self._break_off()
            await self._stop_refills()
            self._board.broke()
            for line in self._lines.values():
                line.broke()
                line.hold()  # before the stream is back: its first trade must not pass those it waits for
            attempt, wait_s = 0, 0.0
            while True:
                attempt += 1
                await asyncio.sleep(max(backoff_s(attempt, random.random()), wait_s))
                try:
                    stream = await self._open()
                    break
                except MarketDataError as error:
                    self._notes.append(f"reconnect {attempt} failed: {error}")
                    if isinstance(error, AuthenticationFailed | NotEntitled) and attempt >= _REFUSALS:
                        self._enter("disconnected")
                        self._runner = None  # `connect` may try again
                        self._end_all(error)
                        return
                    wait_s = _least_wait_s(error)
            self._reconnects += 1
            for line in self._lines.values():
                if line.is_held:
                    task = asyncio.create_task(self._refill(line), name=f"refill {line.contract.symbol}")
                    self._refills.add(task)
                    task.add_done_callback(self._refills.discard)
            self._timer = asyncio.get_running_loop().call_later(_GAP_AFTER_S, self._tell_gaps)

    def _on_data(self, channel: int, raws: Sequence[bytes], received_ns: Sequence[int]) -> None:
        stream = self._stream
        if stream is None:
            return
        if self.observe is not None:
            asked = stream.protocol.channels[channel]
            self.observe(asked.contract or "", raws, received_ns, asked.fields)
        if channel != self._channel:
            if channel == self._board_channel:
                self._board.take(raws, received_ns, stream.protocol.channels[channel].fields)
            elif channel in self._requests:
                self._requests[channel].take(raws)
            return
        is_full, fields, journal = False, stream.protocol.channels[channel].fields, self.journal
        if journal is not None:
            journal.append(raws, received_ns, {TIME_AND_SALE: fields(TIME_AND_SALE)})
        for batch in self._decoder.decode(raws, received_ns, fields):
            line = self._lines[batch.contract.streamer_symbol]
            self._quality[batch.contract.streamer_symbol].add(batch, received_ns[-1])
            items = line.take(batch)
            if items and isinstance(items[-1], TradeBatch):
                self._lag_ms = (int(items[-1].received_ns[-1]) - int(items[-1].time_ns[-1])) / 1e6
            is_full |= self._hand_over(line, items, before_read=True)
        if is_full:
            stream.pause()

    def _hand_over(self, line: Line, items: Sequence[TradeBatch | Gap], *, before_read: bool = False) -> bool:
        """To the listeners, and what the journal cannot know from the messages alone to the journal. True where a listener is full."""
        is_full = False
        for item in items:
            if isinstance(item, Gap):
                self._gaps.append(item)
                if self.journal is not None:
                    self.journal.append_gap(item, before_read=before_read)
            is_full |= line.put(item)
        return is_full

    async def _refill(self, line: Line) -> None:
        """Fetch what an outage cost. The live trades wait behind it, at most `_REFILL_S`; in vain, the gap is told.

        Should the connection be lost again meanwhile, they go on waiting: the next refill begins where this one did.
        """
        start_ns = line.refill_from_ns
        assert start_ns is not None  # it is held
        try:
            found = await asyncio.wait_for(self._history.refill(line.contract, start_ns), _REFILL_S)
            items = line.refill(found.batch, found.cut_ns, time.time_ns())
            if self.journal is not None and found.raw is not None:
                self.journal.append([found.raw], [time.time_ns()], {TIME_AND_SALE: FIELDS})
        except ConnectionLost:
            return
        except (MarketDataError, TimeoutError) as error:
            self._notes.append(f"trades of {line.contract.symbol} could not be fetched after the reconnect: {error or 'no answer in time'}")
            gap = None if (items := line.release()) else line.silent(time.time_ns())
            items += [gap] if gap is not None else []
        if self._hand_over(line, items) and self._stream is not None:
            self._stream.pause()

    async def _stop_refills(self) -> None:
        tasks = tuple(self._refills)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, event_type: str, fields: Sequence[str], item: Item) -> Snapshot:
        """One snapshot over a HISTORY channel of its own."""
        stream = self._stream
        if stream is None or self._protocol is None or self._state == "closed":
            raise ConnectionLost(f"provider '{self.name}' is not connected; connect() first")
        request = SnapshotRequest(stream, event_type, fields, item)
        self._requests[request.channel] = request
        try:
            return await request.result()
        finally:
            del self._requests[request.channel]

    def _on_event(self, event: Event) -> None:
        opened = self._opened
        if isinstance(event, ChannelOpened):
            if event.channel == self._board_channel:
                for waiting in self._board.listeners():
                    waiting.grant()
            if event.channel != self._channel:
                return
            for line in self._lines.values():
                for listener in line.listeners:
                    listener.grant()
            if opened is not None and not opened.done():
                opened.set_result(None)
        elif isinstance(event, Refused):
            error = _refusal(event.reason)
            if opened is not None and not opened.done():
                opened.set_exception(error)
            elif self._stream is not None:
                self._stream.close(str(error))
        elif isinstance(event, Error):
            self._notes.append(f"the server says {event.kind}: {event.message}")
            if event.channel in self._requests:
                self._requests[event.channel].fail(FeedError(f"TastyTrade's stream refused the request: {event.kind}: {event.message}"))
            if "too big" in (event.message or ""):
                self._end_all(CapacityExceeded(f"TastyTrade refused a subscription: {event.message}"))
        elif isinstance(event, TimedOut | ChannelClosed):
            if event.channel in self._requests:
                self._requests[event.channel].fail(RequestTimeout("TastyTrade's stream closed the channel of the request, or did not open it"))
                return
            if event.channel not in (0, self._channel, self._board_channel):
                return  # the answer to our own cancel
            what = f"{event.waiting_for} did not come for {event.after_s:g} s" if isinstance(event, TimedOut) else f"channel {event.channel} was closed"
            if self._stream is not None:
                self._stream.close(what)
        elif isinstance(event, Ignored):
            if event.message.channel in (self._channel, self._board_channel):
                self._notes.append(event.reason)
        elif isinstance(event, Violation):
            self._notes.append(event.reason)

    # -- small parts

    @property
    def _protocol(self) -> Connection | None:
        """The protocol of the stream while it can be spoken to."""
        stream = self._stream
        return None if stream is None or stream.closed.done() or stream.protocol.close_expected else stream.protocol

    def _flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def _break_off(self) -> None:
        """Let go of the stream, if there is one."""
        stream, self._stream, self._channel, self._board_channel = self._stream, None, None, None
        if stream is not None:
            stream.close()
        if self._timer is not None:
            self._timer.cancel()

    def _tell_gaps(self) -> None:
        for line in self._lines.values():
            gap = line.silent(time.time_ns())
            if gap is not None:
                self._hand_over(line, [gap])

    def _cancelled(self, listener: Subscription[TradeBatch | Gap | Roll]) -> None:
        symbol, protocol = listener.contract.streamer_symbol, self._protocol
        if self._lines[symbol].leave(listener) and protocol is not None and self._channel is not None:
            protocol.unsubscribe(self._channel, [Item(TIME_AND_SALE, symbol)])
            self._flush()

    def _room(self) -> None:
        if self._wait and self._stream is not None and not any(sub.is_full for line in self._lines.values() for sub in line.listeners):
            self._stream.resume()

    def _quality_notes(self) -> list[str]:
        notes = []
        for symbol, quality in self._quality.items():
            quality.advance(time.time_ns())
            if quality.note is not None and self._lines[symbol].listeners:
                notes.append(f"{self._lines[symbol].contract.symbol}: {quality.note}")
        return notes

    def _journal_notes(self) -> list[str]:
        journal = self.journal
        return [f"{journal.lost} messages were not journalled: {journal.failure}"] if journal is not None and journal.failure else []

    def _note_failure(self, error: Exception) -> None:
        self._failed.append(f"a callback raised {type(error).__name__}: {error}")

    @property
    def _rules(self) -> Any:
        return {"invalid_ticks": self._settings.invalid_ticks, "spread_legs": self._settings.spread_legs, "trust_flags": self._trust_flags}

    def _new_intake(self) -> Intake:
        return Intake(**self._rules)

    def _now_ns(self, contract: Contract) -> int:
        """Now, as history means it: our clock, or the newest trade's time where that is a tape's."""
        line = self._lines.get(contract.streamer_symbol)
        return self._wall_ns() if line is None or not line.intake.last_time_ns or not self._wait else line.intake.last_time_ns + 1

    def _board_listener(self, contract: Contract) -> Subscription[Any]:
        if not contract.streamer_symbol:
            raise UsageError(f"{contract.symbol} has no streamer symbol; take the contract from resolve() or contracts()")
        if self._state == "closed":
            raise UsageError(f"provider '{self.name}' is closed; connect() opens it again")
        return Subscription(contract, on_cancel=self._board_left, on_failure=self._note_failure)

    def _ask_board(self, items: list[Item], listener: Subscription[Any]) -> None:
        stream, protocol = self._stream, self._protocol
        if stream is None or protocol is None:
            return
        if self._board_channel is None:
            self._open_board(stream)
        elif items:
            protocol.subscribe(self._board_channel, items)
        self._flush()
        if self._board_channel is not None and protocol.channels[self._board_channel].state.name == "OPENED":
            listener.grant()

    def _open_board(self, stream: Stream) -> None:
        channel = self._board_channel = stream.protocol.open_channel("FEED", "TICKER")
        stream.protocol.feed_setup(channel, 0, event_fields=BOARD_FIELDS)
        stream.protocol.subscribe(channel, self._board.wanted())

    def _board_left(self, listener: Subscription[Any]) -> None:
        gone, protocol = self._board.leave(listener), self._protocol
        if gone and protocol is not None and self._board_channel is not None:
            protocol.unsubscribe(self._board_channel, gone)
            self._flush()

    def _end_all(self, error: MarketDataError | None) -> None:
        for line in self._lines.values():
            self._hand_over(line, line.release())  # what still waited for a refill
            line.end(error)
        for listener in self._board.listeners():
            listener.end(error)

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()


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


def _least_wait_s(error: MarketDataError) -> float:
    """How long the other side wants to be left alone."""
    if isinstance(error, SessionConflict):
        return _SESSIONS_S
    return (error.retry_after_s or 0.0) if isinstance(error, RateLimited) else 0.0
