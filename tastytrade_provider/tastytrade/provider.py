"""TastyTrade as a DataProvider: contracts, history, and every futures print with the exchange's own side, over our own DXLink client."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dxlink.messages import Subscription as Item
from ..errors import CapacityExceeded, ConnectionLost, MarketDataError, NoData, NotSupported, UsageError
from ..journal import Journal
from ..model import Bar, Contract, Gap, Quote, Summary, TradeBatch, check_contract
from ..provider import Capabilities, DataProvider, ProviderStatus, State, Subscription, Time
from ..sessions import session_at
from ..settings import Settings, TastytradeSettings
from .auth import Account
from .bar_feed import check
from .bar_feeds import Around, BarFeeds
from .dialogue import Columns
from .history import History
from .intake import Intake
from .keeper import Keeper
from .line import TradeSubscription
from .mapping import TIME_AND_SALE
from .rolling import Rolling
from .rolls import Method, Month, volumes_of
from .snapshot import Snapshot
from .symbols import Product
from .trades import Trades

if TYPE_CHECKING:
    import pandas as pd

_COMPARED, _COMPARED_NS = 3, 7 * 86_400 * 10**9  # months, and the stretch, whose volumes are compared

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
    journal      where every message of trades is kept as it came, before anything looks into it; opened by the first subscription of trades, closed with the
                 connection. Trades that the feed's history does not go back to are taken from it
    observe      an attribute, None or a function that sees every message of data first, whatever becomes of it: for a probe

    Rows that are not readable as trades, and prints dated far ahead of the feed's clock, are counted in `status().rejected` and the latest kept raw; rows
    filtered by configuration are counted too.
    After a broken connection it reconnects, resubscribes, and hands over one `Gap` per contract.
    """

    name = "tastytrade"
    capabilities = Capabilities(trades=True, quotes=True, bars=True, summary=True, historical_bars=True, historical_trades=True, side_source="exchange")

    def __init__(self, settings: TastytradeSettings, *, wait: bool = False, trust_flags: bool = True, journal: Journal | None = None) -> None:
        self._settings, self._wait, self._trust_flags = settings, wait, trust_flags
        self.observe: Observe | None = None
        self._history = History(self._ask, self._new_intake, self._known_minutes, self._made_minutes, lambda: self._trades.recording, self._told)
        self._wall_ns: Callable[[], int] = time.time_ns  # what history and bars take for now; a tape's clock stands elsewhere
        self._state: State = "disconnected"
        self._since_ns = time.time_ns()
        self._over_by: MarketDataError | None = None  # what the stream will not come back from
        self._notes: deque[str] = deque(maxlen=20)
        self._account = Account(settings, note=self._notes.append)
        self._trades = Trades(settings, self._rules, lambda: self._keeper.dialogues, self._history.refill, self._notes.append, wait=wait)
        self._board, self._lines = self._trades.board, self._trades.lines
        self.journal = journal
        self._rolling = Rolling(self._months, self._trades.put, self._notes.append, now_ns=lambda: self._wall_ns())
        self._keeper: Keeper = Keeper(_Ears(self), self._lost, self._back, self._over)
        self._feeds = BarFeeds(
            Around(
                self._trades, self._history, lambda: self._keeper.newest, self._now_ns, lambda: self.is_connected, self._new_intake, self.subscribe_trades,
                self._notes.append, settings.spread_legs, settings.delta_source, wait,
            )
        )  # fmt: skip

    # -- DataProvider

    @property
    def journal(self) -> Journal | None:
        """Where the feed is kept as it comes, if anywhere."""
        return self._trades.recording.journal

    @journal.setter
    def journal(self, journal: Journal | None) -> None:
        self._trades.recording.journal = journal

    @property
    def is_connected(self) -> bool:
        """True while the stream is open and authorised."""
        return self._state == "connected"

    async def connect(self) -> None:
        """Log in, fetch a quote token, open the stream. Raises AuthenticationFailed, ConnectionLost, RequestTimeout."""
        if self._keeper.is_running:
            return
        self._enter("connecting")
        self._over_by = None
        try:
            await self._account.connect()
            await self._keeper.start(self._account)
            self._trades.start()
        except BaseException:
            self._enter("disconnected")
            await self._account.disconnect()
            await self._trades.recording.close()
            raise
        self._enter("connected")

    async def disconnect(self) -> None:
        """Close the stream and end every subscription."""
        self._enter("closed")
        await self._keeper.stop()
        await self._feeds.stop()
        await self._rolling.stop()
        await self._trades.stop()
        self._end_all(None)
        await self._account.disconnect()
        await self._trades.recording.close()

    def now_ns(self) -> int:
        """The clock that history goes by: ours, or the demo exchange's."""
        return self._wall_ns()

    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names: a future as ES (front month by TastyTrade's flag), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME; else a share, ETF or index
        (AAPL, SPY, SPX; ES:XNYS where a future has the same letters); else a cryptocurrency (BTC/USD). Raises UnknownContract, NotSupported."""
        contract = await self._account.resolve(symbol)
        # its calendar takes up to a second to load: now, in a thread, and not when the first trade of a live feed wants its session
        await asyncio.to_thread(session_at, contract.calendar, time.time_ns())
        return contract

    async def products(self) -> list[Product]:
        """Every product with futures, by root."""
        return await self._account.products()

    async def front_month(self, root: str, method: Method = "active") -> Contract:
        """A product's front month: by TastyTrade's flag ("active", as `resolve` has it), by the date rule of the product ("date"), or "volume": the first
        month whose day's volume was passed by no later one's. A month that did not trade all week has none; NoData where that is so of all."""
        if method != "volume":
            return await self._account.front_month(root, method)
        months = sorted(await self._account.months(root), key=lambda month: month.last_trade)[:_COMPARED]
        now_ns = self._wall_ns()
        day = session_at(months[0].contract.calendar, now_ns).label
        start = f"{np.datetime64(now_ns - _COMPARED_NS, 'ns')}Z"
        bars = {month.contract.symbol: await self._traded(month.contract, start) for month in months if month.contract.streamer_symbol}
        if bars and all(frame is None for frame in bars.values()):
            raise NoData(f"none of {', '.join(bars)} traded in the last 7 days, so no volume names a front month; the methods active and date do")
        return await self._account.front_month(root, method, day, volumes=volumes_of(bars, until=day))

    async def _traded(self, contract: Contract, start: str) -> pd.DataFrame | None:
        """Its days since then; None where it did not trade."""
        try:
            return await self.historical_bars(contract, "1d", start)
        except NoData:
            return None

    async def contracts(self, root: str) -> list[Contract]:
        """The listed months of a product, nearest expiry first."""
        return await self._account.contracts(root)

    def subscribe_trades(self, contract: Contract) -> TradeSubscription:
        """Every print from now on, as TimeAndSale on a STREAM channel: not conflated, with the exchange's side.

        With `delta_source: auto`, where TimeAndSale stays silent while the market trades, trades are made of Trade and Quote, and say so by their
        `side_source`; `status().delta_source` tells. Raises NotSupported with `delta_source: candle`, which knows bars only.
        """
        self._check_open(contract)
        if self._settings.delta_source == "candle":
            raise NotSupported("delta_source 'candle' knows bars and no trades: subscribe_bars and historical_bars give them; delta_source auto has both")
        if not self._wait:  # a tape knows no listing of its days
            self._rolling.watch(contract)
        return self._trades.subscribe(contract)

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

        With `delta_source: candle` all bars are made of candles, s m h d w mo only. With `auto` they are, while TimeAndSale does not come, as soon as
        inferred trades have shown whose side a candle's bid and ask volume mean. `Bar.delta_source` says so.
        """
        wanted = check(contract, timeframe, hours)
        if self._settings.delta_source == "candle":
            self._check_open(contract)
        return self._feeds.subscribe(contract, wanted, hours, backfill)

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """The bars frame of [start, end) by bar start, from Candle events; `start` None: the current session. See `History.bars` for `attrs`.

        With `end` None the last bar may still run: it is as it stands now, and `complete`, since no gap touches it. It is one whose end lies ahead of the
        clock; an `end` at its start leaves it out.

        buy_volume and sell_volume are the candle's ask and bid volume, NaN where it has none; `delta_source` says "candle". Raises NoData where the
        market was open and the feed has nothing, UnsupportedTimeframe, UsageError, RequestTimeout, ConnectionLost.
        """
        return await self._history.bars(contract, timeframe, start, end, hours, self._now_ns(contract))

    async def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        """The trades of [start, end), oldest first, sides found as live; `start` None: the current session.

        NoData where the feed does not go back that far, and the message says how far. Where the
        session's first trade comes late, and nothing tells whether any were before it, `status().notes` says so.
        """
        check_contract(contract)
        line = self._lines.get(contract.streamer_symbol)
        for _ in range(2):
            orphans = line.intake.counts.orphans if line is not None else 0
            intake = self._new_intake()
            found = await self._history.trades(contract, start, end, self._now_ns(contract), intake)
            if line is None or not line.listeners:
                break
            line.intake.acquaint(intake)  # so that whoever follows it live is told of corrections of these
            if line.intake.counts.orphans == orphans:
                break  # else a correction came while its trade was not known: once more, now that it is
        return found

    def begins_in_doubt(self, contract: Contract) -> bool:
        """Whether nothing tells if there were trades before the first of those that were fetched last: `status().notes` says so too."""
        return contract.streamer_symbol in self._history.in_doubt

    async def earliest(self, contract: Contract, timeframe: str = "1d") -> pd.Timestamp:
        """The start of the first bar the feed has. NoData where it has none."""
        return await self._history.earliest(contract, timeframe, self._now_ns(contract))

    def status(self) -> ProviderStatus:
        """Counts over all contracts since the provider was made."""
        found = self._trades.counted()
        others = self._board.decoder, self._history.counts
        found["rejected"] += sum(one.rejected for one in others)
        found["rejects"] += tuple(text for one in others for text in one.rejects)
        found["delta_source"] = ", ".join(sorted({found["delta_source"], *(["candle"] if self._feeds.of_candles else [])}))
        return ProviderStatus(
            state=self._state,
            since_ns=self._since_ns,
            reconnects=self._keeper.reconnects,
            token_level=self._keeper.token.level if self._keeper.token else None,
            problem=self._keeper.problem,
            attempts=self._keeper.attempts,
            notes=(*self._notes, *self._trades.quality_notes(), *self._trades.recording.notes()),
            **found,
        )

    # -- what the stream does

    def _lost(self) -> None:
        """From now on something may be missing."""
        self._enter("reconnecting")
        self._board.broke()
        self._trades.lost()

    def _back(self) -> None:
        """The stream stands again, with everything subscribed."""
        self._enter("connected")
        self._trades.back()

    def _over(self, error: MarketDataError | None) -> None:
        """The stream will not come back."""
        self._over_by = error
        self._enter("disconnected")
        self._end_all(error)

    async def _ask(self, event_type: str, fields: Sequence[str], item: Item) -> Snapshot:
        """One snapshot over a HISTORY channel of its own."""
        dialogue = self._keeper.newest
        if dialogue is None:
            raise ConnectionLost(f"provider '{self.name}' is not connected; connect() first")
        return await dialogue.history(event_type, fields, item)

    def _too_big(self, items: Sequence[Item], said: str) -> None:
        """The server serves no more subscriptions: those of the message it refused end, the others go on."""
        error = CapacityExceeded(f"TastyTrade refused a subscription: {said}")
        trades = [item for item in items if item.type == TIME_AND_SALE]
        self._trades.end(error, [item.symbol for item in trades])
        for dialogue in self._keeper.dialogues:
            dialogue.leave("STREAM", trades)  # it may have served the first of them
        for listener in self._board.served_by(items):
            self._end_board(listener, error)

    # -- small parts

    @property
    def _rules(self) -> Any:
        return {"invalid_ticks": self._settings.invalid_ticks, "spread_legs": self._settings.spread_legs, "trust_flags": self._trust_flags}

    def _known_minutes(self, contract: Contract) -> dict[int, tuple[float, float, float]]:
        line = self._lines.get(contract.streamer_symbol)
        return {} if line is None else line.minutes.whole()

    async def _months(self, root: str) -> list[Month]:
        return await self._account.months(root)

    def _made_minutes(self, contract: Contract) -> dict[int, tuple[float, float, float]]:
        line = self._lines.get(contract.streamer_symbol)
        return {} if line is None else line.made.whole()

    def _told(self, text: str) -> None:
        """Something a user should know, once."""
        if text not in self._notes:
            self._notes.append(text)

    def _new_intake(self) -> Intake:
        return Intake(**self._rules)

    def _now_ns(self, contract: Contract) -> int:
        """Now, as history means it: our clock, or the newest trade's time where that is a tape's."""
        check_contract(contract)
        line = self._lines.get(contract.streamer_symbol)
        return self._wall_ns() if line is None or not line.intake.last_time_ns or not self._wait else line.intake.last_time_ns + 1

    def _check_open(self, contract: Contract) -> None:
        check_contract(contract)
        if not contract.streamer_symbol:
            raise UsageError(f"{contract.symbol} has no streamer symbol; take the contract from resolve() or contracts()")
        if self._state == "closed":
            raise UsageError(f"provider '{self.name}' is closed; connect() opens it again")
        if self._over_by is not None:
            raise self._over_by  # nothing will come, and nobody would say so

    def _board_listener(self, contract: Contract) -> Subscription[Any]:
        self._check_open(contract)
        return Subscription(contract, on_cancel=self._board_left, on_failure=self._trades.note_failure)

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
        self._trades.end(error)
        for listener in self._board.listeners():
            self._end_board(listener, error)
        for bars in self._feeds.of_candles.values():
            bars.end(error)

    def _end_board(self, listener: Subscription[Any], error: MarketDataError | None) -> None:
        """End a listener, which nobody will cancel then: the next one asks for the same anew."""
        listener.end(error)
        self._board_left(listener)

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()


class _Ears:
    """What a dialogue hears, for the provider."""

    def __init__(self, provider: TastyTradeProvider) -> None:
        self._provider = provider
        self.trades = provider._trades.take
        self.wanted_trades, self.beside, self.doubt = provider._trades.wanted, provider._trades.mark, provider._trades.doubt
        self.too_big = provider._too_big
        self.note = provider._notes.append
        self.wanted_board = provider._board.wanted

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
        if delivery == "STREAM":
            self._provider._trades.grant()
            return
        for listener in self._provider._board.listeners():
            listener.grant()
