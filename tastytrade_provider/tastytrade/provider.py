"""TastyTrade as a DataProvider: login, contracts, and every futures print with the exchange's own side, over our own DXLink client."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..dxlink.events import Event, Ignored, Refused, TimedOut, Violation
from ..dxlink.messages import ChannelClosed, ChannelOpened, Error, FeedData
from ..dxlink.messages import Subscription as Item
from ..dxlink.turns import State as WireState
from ..errors import AuthenticationFailed, CapacityExceeded, ConnectionLost, FeedError, RequestTimeout, UsageError
from ..model import Contract, Gap, Roll, TradeBatch
from ..provider import Capabilities, DataProvider, ProviderStatus, State, Subscription
from ..settings import Settings, TastytradeSettings
from .auth import Account, QuoteToken
from .intake import Intake
from .mapping import FIELDS, TIME_AND_SALE, TradeDecoder
from .stream import Stream

TradeSubscription = Subscription[TradeBatch | Gap | Roll]
_HANDSHAKE_S = 10.0
_GAP_AFTER_S = 2.0  # without a trade this long after a reconnect, the gap is told by the clock


def backoff_s(attempt: int, chance: float) -> float:
    """Seconds to wait before reconnecting for the n-th time (from 1): doubling from 0.5 s to a minute, times 0.5 to 1 by `chance` in [0, 1).

    >>> [backoff_s(attempt, 0.0) for attempt in (1, 2, 3, 20)]
    [0.25, 0.5, 1.0, 30.0]
    """
    return min(60.0, 0.5 * 2.0 ** min(attempt - 1, 10)) * (0.5 + chance / 2)


def create(settings: Settings) -> TastyTradeProvider:
    """The factory the registry calls."""
    return TastyTradeProvider(settings.tastytrade)


class _Tape:
    """One contract's live trades: who listens, and what happens to a trade before they get it."""

    def __init__(self, contract: Contract, intake: Intake) -> None:
        self.contract, self.intake = contract, intake
        self.listeners: list[TradeSubscription] = []
        self.outage_from_ns: int | None = None  # the last trade before a connection broke

    def put(self, item: TradeBatch | Gap) -> None:
        for listener in tuple(self.listeners):
            listener.put(item)


class TastyTradeProvider(DataProvider):
    """Live trades of futures (and cryptocurrencies) with CME's BUY/SELL flag.

    settings     the `tastytrade` section of the configuration
    wait         True: a slow consumer makes the feed wait instead of losing trades (for tapes, whose server waits too)
    trust_flags  False: the exchange's flags are ignored and sides inferred, to measure the rules

    Rows that are not readable as trades are counted in `status().rejected` and the latest kept raw; rows filtered by configuration are counted too.
    After a broken connection it reconnects, resubscribes, and hands over one `Gap` per contract.
    """

    name = "tastytrade"
    capabilities = Capabilities(trades=True, side_source="exchange")

    def __init__(self, settings: TastytradeSettings, *, wait: bool = False, trust_flags: bool = True) -> None:
        self._settings, self._wait, self._trust_flags = settings, wait, trust_flags
        self._account = Account(settings)
        self._decoder = TradeDecoder()
        self._tapes: dict[str, _Tape] = {}
        self._stream: Stream | None = None
        self._channel: int | None = None
        self._runner: asyncio.Task[None] | None = None
        self._state: State = "disconnected"
        self._since_ns = time.time_ns()
        self._token: QuoteToken | None = None
        self._opened: asyncio.Future[None] | None = None
        self._reconnects = 0
        self._gaps: list[Gap] = []
        self._notes: list[str] = []
        self._failed: list[str] = []
        self._lag_ms: float | None = None
        self._timers: set[asyncio.TimerHandle] = set()

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
            await self._account.connect()
            stream = await self._open()
        except BaseException:
            self._enter("disconnected")
            await self._account.disconnect()
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
        if self._stream is not None:
            self._stream.close()
        for timer in self._timers:
            timer.cancel()
        self._end_all(None)
        await self._account.disconnect()

    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names: ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME, or a cryptocurrency's symbol."""
        return await self._account.resolve(symbol)

    async def contracts(self, root: str) -> list[Contract]:
        """The listed months of a product, nearest expiry first."""
        return await self._account.contracts(root)

    def subscribe_trades(self, contract: Contract) -> TradeSubscription:
        """Every print from now on, as TimeAndSale on a STREAM channel: not conflated, with the exchange's side."""
        if not contract.streamer_symbol:
            raise UsageError(f"{contract.symbol} has no streamer symbol; take the contract from resolve() or contracts()")
        tape = self._tapes.get(contract.streamer_symbol)
        if tape is None:
            intake = Intake(invalid_ticks=self._settings.invalid_ticks, spread_legs=self._settings.spread_legs, trust_flags=self._trust_flags)
            tape = self._tapes[contract.streamer_symbol] = _Tape(contract, intake)
            self._decoder.watch(contract)
        listener: TradeSubscription = Subscription(contract, wait=self._wait, on_cancel=self._cancelled, on_room=self._room, on_failure=self._note_failure)
        tape.listeners.append(listener)
        if self._stream is not None and self._channel is not None and self._state == "connected":
            channel = self._stream.protocol.channels[self._channel]
            if len(tape.listeners) == 1:
                self._stream.protocol.subscribe(self._channel, [Item(TIME_AND_SALE, contract.streamer_symbol)])
                self._stream.flush()
            if channel.state.name == "OPENED":
                listener.grant()
        return listener

    def status(self) -> ProviderStatus:
        """Counts over all contracts since the provider was made."""
        counts = [tape.intake.counts for tape in self._tapes.values()]
        sides: dict[str, int] = {}
        excluded: dict[str, int] = {}
        for tape in self._tapes.values():
            for source, n in tape.intake.sides.counts.items():
                sides[source] = sides.get(source, 0) + n
            for reason, n in tape.intake.counts.excluded.items():
                excluded[reason] = excluded.get(reason, 0) + n
        return ProviderStatus(
            state=self._state,
            since_ns=self._since_ns,
            reconnects=self._reconnects,
            lag_ms=self._lag_ms,
            trades=sum(c.trades for c in counts),
            rejected=self._decoder.rejected,
            duplicates=sum(c.duplicates for c in counts),
            orphans=sum(c.orphans for c in counts),
            corrections=sum(c.corrections for c in counts),
            cancels=sum(c.cancels for c in counts),
            off_tick=sum(c.off_tick for c in counts),
            off_step=sum(c.off_step for c in counts),
            excluded=excluded,
            sides=sides,
            gaps=tuple(self._gaps[-100:]),
            rejects=tuple(self._decoder.rejects),
            delta_source="time_and_sale",
            token_level=self._token.level if self._token else None,
            notes=tuple(self._notes[-20:]),
            failed=tuple(self._failed[-20:]),
        )

    # -- the stream

    async def _open(self) -> Stream:
        """A stream that is authorised, with everything subscribed again."""
        self._token = await self._account.quote_token()
        stream = Stream(self._on_data, self._on_event)
        self._opened = asyncio.get_running_loop().create_future()
        await stream.open(self._token.url, self._token.token, _HANDSHAKE_S)
        self._stream = stream
        channel = self._channel = stream.protocol.open_channel("FEED", "STREAM")
        stream.protocol.feed_setup(channel, 0, event_fields={TIME_AND_SALE: FIELDS})
        wanted = [Item(TIME_AND_SALE, symbol) for symbol, tape in self._tapes.items() if tape.listeners]
        if wanted:
            stream.protocol.subscribe(channel, wanted)
        try:
            await asyncio.wait_for(asyncio.shield(_first(self._opened, stream.closed)), _HANDSHAKE_S)
        except TimeoutError:
            stream.close("no answer to the handshake")
            raise RequestTimeout(f"the stream did not open within {_HANDSHAKE_S:g} s") from None
        except FeedError:
            stream.close("refused")
            raise
        if stream.closed.done():
            raise ConnectionLost(f"the stream closed during the handshake: {stream.closed.result()}")
        self._enter("connected")
        return stream

    async def _run(self, stream: Stream) -> None:
        """Keep a stream open: wait for its end, then reconnect until it is back."""
        while True:
            reason = await stream.closed
            self._enter("reconnecting")
            self._notes.append(f"connection lost: {reason}")
            for tape in self._tapes.values():
                if tape.intake.last_time_ns and tape.outage_from_ns is None:
                    tape.outage_from_ns = tape.intake.last_time_ns
            attempt = 0
            while True:
                attempt += 1
                await asyncio.sleep(backoff_s(attempt, random.random()))
                try:
                    stream = await self._open()
                    break
                except FeedError as error:
                    self._notes.append(f"reconnect {attempt} failed: {error}")
                    if isinstance(error, AuthenticationFailed) and attempt >= 5:
                        self._end_all(error)
                        return
            self._reconnects += 1
            timer = asyncio.get_running_loop().call_later(_GAP_AFTER_S, self._gaps_by_clock, time.monotonic())
            self._timers.add(timer)

    def _on_data(self, channel: int, messages: Sequence[FeedData], received_ns: Sequence[int]) -> None:
        stream = self._stream
        if stream is None or channel != self._channel:
            return
        full = False
        for batch in self._decoder.decode(messages, received_ns, stream.protocol.channels[channel].fields):
            tape = self._tapes[batch.contract.streamer_symbol]
            taken = tape.intake.take(batch)
            if taken is None:
                continue
            if tape.outage_from_ns is not None:
                self._gap(tape, int(taken.time_ns[0]), "connection lost")
            for listener in tuple(tape.listeners):
                listener.put(taken)
                full = full or listener.is_full
            self._lag_ms = (int(taken.received_ns[-1]) - int(taken.time_ns[-1])) / 1e6
        if full:
            stream.pause()

    def _on_event(self, event: Event) -> None:
        opened = self._opened
        if isinstance(event, ChannelOpened):
            for tape in self._tapes.values():
                for listener in tape.listeners:
                    listener.grant()
            if opened is not None and not opened.done():
                opened.set_result(None)
        elif isinstance(event, Refused):
            self._notes.append(f"the stream refused the quote token: {event.reason}")
            error = AuthenticationFailed(f"the stream refused the quote token: {event.reason}")
            if opened is not None and not opened.done():
                opened.set_exception(error)
            elif self._stream is not None:
                self._stream.close(str(error))
        elif isinstance(event, Error):
            self._notes.append(f"the server says {event.kind}: {event.message}")
            if "too big" in (event.message or ""):
                self._end_all(CapacityExceeded(f"TastyTrade refused a subscription: {event.message}"))
        elif isinstance(event, TimedOut | ChannelClosed):
            what = f"no {event.waiting_for} for {event.after_s:g} s" if isinstance(event, TimedOut) else f"channel {event.channel} was closed"
            if self._stream is not None and self._stream.protocol.state is not WireState.CLOSED:
                self._stream.close(what)
        elif isinstance(event, Ignored | Violation):
            self._notes.append(event.reason)

    # -- small parts

    def _gap(self, tape: _Tape, end_ns: int, reason: str) -> None:
        start_ns, tape.outage_from_ns = tape.outage_from_ns or end_ns, None
        gap = Gap(tape.contract, start_ns, max(end_ns, start_ns + 1), reason)
        self._gaps.append(gap)
        tape.put(gap)

    def _gaps_by_clock(self, connected_s: float) -> None:
        """No trade came since the reconnect: the gap ends where the exchange's clock must be now."""
        self._timers = {timer for timer in self._timers if timer.when() > asyncio.get_running_loop().time()}
        for tape in self._tapes.values():
            if tape.outage_from_ns is not None:
                self._gap(tape, max(time.time_ns(), tape.outage_from_ns + 1), "connection lost")

    def _cancelled(self, listener: Subscription[TradeBatch | Gap | Roll]) -> None:
        tape = self._tapes.get(listener.contract.streamer_symbol)
        if tape is None or listener not in tape.listeners:
            return
        tape.listeners.remove(listener)
        if not tape.listeners and self._stream is not None and self._channel is not None and self._state == "connected":
            self._stream.protocol.unsubscribe(self._channel, [Item(TIME_AND_SALE, listener.contract.streamer_symbol)])
            self._stream.flush()

    def _room(self) -> None:
        if self._wait and self._stream is not None and not any(sub.is_full for tape in self._tapes.values() for sub in tape.listeners):
            self._stream.resume()

    def _note_failure(self, error: Exception) -> None:
        self._failed.append(f"a callback raised {type(error).__name__}: {error}")

    def _end_all(self, error: FeedError | None) -> None:
        for tape in self._tapes.values():
            for listener in tuple(tape.listeners):
                listener.end(error)
            tape.listeners.clear()

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()


async def _first(opened: asyncio.Future[None], closed: asyncio.Future[str]) -> None:
    """Wait for the channel to open or the connection to end, whichever is first; a refusal is raised."""
    waiting: set[asyncio.Future[Any]] = {opened, closed}
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if opened in done:
        opened.result()
