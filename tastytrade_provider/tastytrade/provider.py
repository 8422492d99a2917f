"""TastyTrade as a DataProvider: contracts, history, and every futures print with the exchange's own side, over our own DXLink client."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..dxlink.messages import Subscription as Item
from ..errors import CapacityExceeded, ConnectionLost, MarketDataError, NotSupported, RequestTimeout, UsageError
from ..journal import Journal
from ..model import Bar, Contract, Gap, Quote, Roll, Summary, TradeBatch
from ..provider import Capabilities, DataProvider, ProviderStatus, State, Subscription, Time
from ..sessions import session_at
from ..settings import Settings, TastytradeSettings
from .auth import Account
from .bar_feed import BarFeed, Join, check, start_of
from .board import Board
from .dialogue import Columns
from .history import History, Refill
from .intake import Intake
from .keeper import Keeper
from .ladder import Source, TickQuality
from .line import Line, TradeSubscription
from .mapping import FIELDS, TIME_AND_SALE, TradeDecoder
from .quotes import LastTrade
from .rung import Rung, Wanted
from .snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd

_GAP_AFTER_S = 2.0  # without a trade this long after a reconnect, the gap is told by the clock
_REFILL_S = 10.0  # live trades wait this long for those an outage cost
_REFILL_AGAIN_S = 0.25
_TICK_S = 1.0
_REORDERED_NS = 60 * 10**9  # a refill begins so long before the last trade known

Observe = Callable[[str, Sequence[bytes], Sequence[int], Columns], None]
"""(contract of the channel: STREAM, TICKER or HISTORY; messages; when each was received, UTC ns; columns of an event type)"""


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
        self._decoder = TradeDecoder()
        self._lines: dict[str, Line] = {}
        self._quality: dict[str, TickQuality] = {}
        self._board = Board(self._substitute)
        self._history = History(self._ask, self._new_intake, self._known_minutes)
        self._refills: set[asyncio.Task[None]] = set()
        self._feeds: set[asyncio.Task[None]] = set()
        self._wall_ns: Callable[[], int] = time.time_ns  # what history and bars take for now; a tape's clock stands elsewhere
        self._state: State = "disconnected"
        self._since_ns = time.time_ns()
        self._gaps: deque[Gap] = deque(maxlen=100)
        self._notes: deque[str] = deque(maxlen=20)
        self._account = Account(settings, note=self._notes.append)
        self._failed: deque[str] = deque(maxlen=20)
        self._lag_ms: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._keeper = Keeper(_Ears(self), self._lost, self._back, self._over)

    # -- DataProvider

    @property
    def is_connected(self) -> bool:
        """True while the stream is open and authorised."""
        return self._state == "connected"

    async def connect(self) -> None:
        """Log in, fetch a quote token, open the stream. Raises AuthenticationFailed, ConnectionLost, RequestTimeout."""
        if self._keeper.is_running:
            return
        self._enter("connecting")
        try:
            if self.journal is not None:
                await self.journal.start()
            await self._account.connect()
            await self._keeper.start(self._account)
            self._tick(is_new=True)
        except BaseException:
            self._enter("disconnected")
            await self._account.disconnect()
            if self.journal is not None:
                await self.journal.stop()
            raise
        self._enter("connected")

    async def disconnect(self) -> None:
        """Close the stream and end every subscription."""
        self._enter("closed")
        await self._keeper.stop()
        owned = (*self._refills, *self._feeds)
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)
        for timer in (self._timer, self._ticking):
            if timer is not None:
                timer.cancel()
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
        """Every print from now on, as TimeAndSale on a STREAM channel: not conflated, with the exchange's side.

        With `delta_source: auto`, where TimeAndSale stays silent while the market trades, trades are made of Trade and Quote, and say so by their
        `side_source`; `status().delta_source` tells. Raises NotSupported with `delta_source: candle`, which knows bars only.
        """
        if self._settings.delta_source == "candle":
            raise NotSupported("delta_source 'candle' knows no trades, only bars: subscribe_bars gives them; or set tastytrade.delta_source to auto")
        if not contract.streamer_symbol:
            raise UsageError(f"{contract.symbol} has no streamer symbol; take the contract from resolve() or contracts()")
        if self._state == "closed":
            raise UsageError(f"provider '{self.name}' is closed; connect() opens it again")
        line = self._lines.get(contract.streamer_symbol)
        if line is None:
            wanted: Wanted = "time_and_sale" if self._wait else self._settings.delta_source  # a tape waits, so its silence means nothing
            line = self._lines[contract.streamer_symbol] = Line(contract, self._new_intake(), Rung(wanted, _now_s()))
            self._quality[contract.streamer_symbol] = TickQuality(self._settings.invalid_ticks)
            if self.journal is not None:
                self.journal.watch(contract, self._rules)
            self._decoder.watch(contract)
        listener: TradeSubscription = Subscription(contract, wait=self._wait, on_cancel=self._cancelled, on_room=self._room, on_failure=self._note_failure)
        is_first = line.join(listener, time.time_ns())
        if is_first:
            line.rung.start_over(_now_s())
            self._listen(line)
        for dialogue in self._keeper.dialogues:
            if is_first and self._first_source == "time_and_sale":
                dialogue.ask_trades([Item(TIME_AND_SALE, contract.streamer_symbol)])
            if dialogue.grants("STREAM"):
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
            sides.update(line.fallback.sides.counts)
            excluded.update(line.intake.counts.excluded)
        return ProviderStatus(
            state=self._state,
            since_ns=self._since_ns,
            reconnects=self._keeper.reconnects,
            lag_ms=self._lag_ms,
            trades=sum(c.trades for c in counts) + sum(line.inferred for line in self._lines.values()),
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
            delta_source=", ".join(sorted({line.rung.source for line in self._lines.values() if line.listeners})) or self._first_source,
            token_level=self._keeper.token.level if self._keeper.token else None,
            notes=(*self._notes, *self._quality_notes(), *self._journal_notes()),
            failed=tuple(self._failed),
        )

    # -- what the stream does

    def _lost(self) -> None:
        """From now on trades may be missing."""
        self._enter("reconnecting")
        for task in self._refills:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._board.broke()
        for line in self._lines.values():
            line.broke()
            line.hold()  # before the stream is back: its first trade must not pass those it waits for
        if self._ticking is not None:
            self._ticking.cancel()

    def _back(self) -> None:
        """The stream stands again, with everything subscribed."""
        self._enter("connected")
        for line in self._lines.values():
            if line.is_held:
                task = asyncio.create_task(self._refill(line), name=f"refill {line.contract.symbol}")
                self._refills.add(task)
                task.add_done_callback(self._refills.discard)
        self._timer = asyncio.get_running_loop().call_later(_GAP_AFTER_S, self._tell_gaps)
        self._tick(is_new=True)

    def _over(self, error: MarketDataError | None) -> None:
        """The stream will not come back."""
        self._enter("disconnected")
        self._end_all(error)

    def _take_trades(self, raws: Sequence[bytes], received_ns: Sequence[int], columns: Columns) -> bool:
        """Messages of trades. True where a listener is full, and the feed should wait."""
        is_full, journal = False, self.journal
        if journal is not None:
            journal.append(raws, received_ns, {TIME_AND_SALE: tuple(columns(TIME_AND_SALE))})
        for batch in self._decoder.decode(raws, received_ns, columns):
            line = self._lines[batch.contract.streamer_symbol]
            self._quality[batch.contract.streamer_symbol].add(batch, received_ns[-1])
            if line.rung.listens or line.rung.is_inferred:
                batch = self._told(line, batch)
            items = line.take(batch)
            if items and isinstance(items[-1], TradeBatch):
                self._lag_ms = (int(items[-1].received_ns[-1]) - int(items[-1].time_ns[-1])) / 1e6
            is_full |= self._hand_over(line, items, before_read=True)
        return is_full

    # -- the ladder of sources

    @property
    def _first_source(self) -> Source:
        """Where trades come from as long as nothing else was seen."""
        return "time_and_sale" if self._settings.delta_source == "auto" else self._settings.delta_source

    def _tick(self, *, is_new: bool = False) -> None:
        """Once a second: does TimeAndSale tell what happens? `is_new`: the connection is."""
        now_s = _now_s()
        for line in self._lines.values():
            rung = line.rung
            if is_new or not line.listeners:
                rung.start_over(now_s)
            was = rung.source
            if rung.advance(now_s):
                self._listen(line)
            if rung.source != was:
                self._notes.append(f"{line.contract.symbol}: no TimeAndSale came while the market traded; trades are made of {rung.source} now")
                if was == "time_and_sale":
                    line.fall()
                self._hand_over(line, line.settle())
        if self._ticking is not None:
            self._ticking.cancel()
        self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _told(self, line: Line, batch: TradeBatch) -> TradeBatch:
        """TimeAndSale after a silence; what is left of it to be taken."""
        was, batch = line.rung.source, line.told(batch, _now_s())
        if was != line.rung.source:
            self._notes.append(f"{line.contract.symbol}: TimeAndSale comes; trades are those of the exchange again")
        self._listen(line)
        return batch

    def _substitute(self, value: Quote | LastTrade) -> None:
        """A quote or last trade of a contract whose TimeAndSale is silent."""
        line = self._lines[value.contract.streamer_symbol]
        if self._hand_over(line, line.substitute(value, _now_s())):
            self._pause()

    def _listen(self, line: Line) -> None:
        """Ask for Trade and Quote, or do not any more, as the rung wants."""
        if line.rung.listens and line.listeners:
            wanted = self._board.watch(line.contract)
            for dialogue in self._keeper.dialogues:
                dialogue.ask_board(wanted)
        else:
            gone = self._board.unwatch(line.contract)
            for dialogue in self._keeper.dialogues:
                dialogue.leave("TICKER", gone)

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
            async with asyncio.timeout(_REFILL_S):
                found = await self._missed(line, start_ns)
            items = line.refill(found.batch, found.cut_ns, time.time_ns())
            if self.journal is not None and found.raw is not None:
                self.journal.append([found.raw], [time.time_ns()], {TIME_AND_SALE: FIELDS})
        except ConnectionLost:
            return
        except (MarketDataError, TimeoutError) as error:
            self._notes.append(f"trades of {line.contract.symbol} could not be fetched after the reconnect: {error or 'no answer in time'}")
            gap = None if (items := line.release()) else line.silent(time.time_ns())
            items += [gap] if gap is not None else []
        if self._hand_over(line, items):
            self._pause()

    async def _missed(self, line: Line, start_ns: int) -> Refill:
        """What an outage cost, asked for until there is an answer. A little from before it too: the last messages may not have come in order."""
        while True:
            try:
                return await self._history.refill(line.contract, start_ns - _REORDERED_NS)
            except RequestTimeout:  # the server closed the channel: perhaps all of them, then `_lost` ends this
                await asyncio.sleep(_REFILL_AGAIN_S)

    async def _ask(self, event_type: str, fields: Sequence[str], item: Item) -> Snapshot:
        """One snapshot over a HISTORY channel of its own."""
        dialogue = self._keeper.newest
        if dialogue is None:
            raise ConnectionLost(f"provider '{self.name}' is not connected; connect() first")
        return await dialogue.history(event_type, fields, item)

    def _too_big(self, items: Sequence[Item], said: str) -> None:
        """The server serves no more subscriptions: those it refused end, the others go on."""
        error = CapacityExceeded(f"TastyTrade refused a subscription: {said}")
        for item in items:
            line = self._lines.get(item.symbol)
            if item.type == TIME_AND_SALE and line is not None:
                self._hand_over(line, line.release())
                line.end(error)
        for listener in self._board.served_by(items):
            listener.end(error)

    # -- small parts

    def _pause(self) -> None:
        for dialogue in self._keeper.dialogues:
            dialogue.stream.pause()

    def _tell_gaps(self) -> None:
        for line in self._lines.values():
            gap = line.silent(time.time_ns())
            if gap is not None:
                self._hand_over(line, [gap])

    def _cancelled(self, listener: Subscription[TradeBatch | Gap | Roll]) -> None:
        symbol = listener.contract.streamer_symbol
        if self._lines[symbol].leave(listener):
            self._listen(self._lines[symbol])
            for dialogue in self._keeper.dialogues:
                dialogue.leave("STREAM", [Item(TIME_AND_SALE, symbol)])

    def _room(self) -> None:
        if self._wait and not any(sub.is_full for line in self._lines.values() for sub in line.listeners):
            for dialogue in self._keeper.dialogues:
                dialogue.stream.resume()

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

    def _known_minutes(self, contract: Contract) -> dict[int, tuple[float, float, float]]:
        line = self._lines.get(contract.streamer_symbol)
        return {} if line is None else line.minutes.whole()

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
        for dialogue in self._keeper.dialogues:
            dialogue.ask_board(items)
            if dialogue.grants("TICKER"):
                listener.grant()

    def _board_left(self, listener: Subscription[Any]) -> None:
        gone = self._board.leave(listener)
        for dialogue in self._keeper.dialogues:
            dialogue.leave("TICKER", gone)

    def _end_all(self, error: MarketDataError | None) -> None:
        for line in self._lines.values():
            self._hand_over(line, line.release())  # what still waited for a refill
            line.end(error)
        for listener in self._board.listeners():
            listener.end(error)

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


class _Ears:
    """What a dialogue hears, for the provider."""

    def __init__(self, provider: TastyTradeProvider) -> None:
        self._provider = provider
        self.trades = provider._take_trades
        self.too_big = provider._too_big
        self.note = provider._notes.append
        self.wanted_board = provider._board.wanted

    def wanted_trades(self) -> list[Item]:
        """All that somebody listens to."""
        wanted = [(symbol, line) for symbol, line in self._provider._lines.items() if line.listeners]
        is_asked = self._provider._first_source == "time_and_sale"
        return [Item(TIME_AND_SALE, symbol) for symbol, _ in wanted] if is_asked else []

    def board(self, raws: Sequence[bytes], received_ns: Sequence[int], columns: Columns) -> None:
        """Quotes and figures."""
        self._provider._board.take(raws, received_ns, columns)

    def data(self, delivery: str, raws: Sequence[bytes], received_ns: Sequence[int], columns: Columns) -> None:
        """For a probe."""
        if self._provider.observe is not None:
            self._provider.observe(delivery, raws, received_ns, columns)

    def progress(self, what: str, rows: int, share: float) -> None:
        """For whoever waits for a long history."""
        if self._provider.progress is not None:
            self._provider.progress(what, rows, share)

    def granted(self, delivery: str) -> None:
        """Those who waited for the channel need not any more."""
        lines, board = self._provider._lines.values(), self._provider._board
        for listener in board.listeners() if delivery == "TICKER" else [listener for line in lines for listener in line.listeners]:
            listener.grant()
