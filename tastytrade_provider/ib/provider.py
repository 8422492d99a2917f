"""Interactive Brokers as a DataProvider: the connection kept open, and what is asked of it handed to the parts that know how."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..backoff import backoff_s
from ..errors import ConnectionLost, FeedError, MarketDataError, UsageError
from ..model import Bar, Contract, Gap, Summary, Timeframe, TradeBatch, check_contract
from ..provider import Capabilities, DataProvider, GapLog, ProviderStatus, State, Subscription, Time, backfill_start
from ..settings import IbSettings, Settings
from ..tastytrade.reach import is_late
from .bar_feed import BarFeed
from .directory import Directory
from .history import History, bounds
from .line import Line, QuoteSubscription, TradeSubscription
from .mapping import DayFigures
from .refusals import DATA_FARMS, FARMS, LINK_BACK, LINK_BACK_EMPTY, LINK_LOST
from .sizes import check
from .streams import Kind, Streams
from .wire import Wire

if TYPE_CHECKING:
    import pandas as pd

TICK_BY_TICK: Final = 5
"""Tick-by-tick streams at once that users of an ordinary login measured; IB ties the number to the market data lines. Trades of a contract take two."""
_READY_S = 10.0
_GAP_AFTER_S = 2.0  # without a print this long after a reconnect, the gap is told by the clock


def create(settings: Settings) -> IbProvider:
    """The factory the registry calls."""
    return IbProvider(settings.ib)


class IbProvider(DataProvider):
    """Futures from TWS or IB Gateway. Its prints carry no side: it is inferred from the quotes beside them, and `side_source` says so.

    Times of prints and quotes are those of the exchange, to the second, in UTC whatever zone TWS is set to. After a broken connection it reconnects,
    asks for everything again, and hands over one `Gap` per contract; the same where TWS says that it has lost its subscriptions (1101), or that a data farm
    was broken (2103): it does not say whose data that farm has, nor whether it goes on with them.
    Beyond the login's tick-by-tick streams a subscription ends with CapacityExceeded.
    """

    name = "ib"
    capabilities: Capabilities = Capabilities(
        trades=True,
        quotes=True,
        bars=True,
        summary=True,
        historical_bars=True,
        historical_trades=True,
        side_source="quote",
        max_trade_subscriptions=TICK_BY_TICK // 2,
        time_step_ns=1_000_000_000,
        has_index=False,
    )

    def __init__(self, settings: IbSettings) -> None:
        self._settings = settings
        self._wire: Wire | None = None
        self._connecting = asyncio.Lock()
        self._runner: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._state: State = "disconnected"
        self._since_ns = time.time_ns()
        self._reconnects = 0
        self._problem: str | None = None  # why nothing can come, and `_attempts` in vain to connect again
        self._attempts = 0
        self._directory = Directory(self._open_wire, self._note)
        self._history = History(self._open_wire, self._directory.qualified)
        self._lines: dict[str, Line] = {}
        self._figures: dict[str, DayFigures] = {}
        self._latest: dict[str, Summary] = {}
        self._summaries: dict[str, list[Subscription[Summary]]] = {}
        self._bar_feeds: set[BarFeed] = set()
        self._looked_up: set[str] = set()
        self._streams = Streams(self._history.pacer, self._wanted, self._directory.known.get, self._listeners, self._take, self._note, self._lost, self._left)
        self._rejected = 0
        self._rejects: deque[str] = deque(maxlen=20)
        self._gaps = GapLog()
        self._notes: deque[str] = deque(maxlen=20)
        self._farms: dict[str, str] = {}
        self._broken_farms: set[str] = set()
        self._failed: deque[str] = deque(maxlen=20)

    # -- DataProvider

    @property
    def is_connected(self) -> bool:
        """True while TWS is connected, and TWS with IB."""
        return self._state == "connected"

    async def connect(self) -> None:
        """Connect to TWS. Raises ConnectionLost (not there, or the client id is in use), RequestTimeout."""
        async with self._connecting:
            if self._runner is not None:
                return
            self._enter("connecting")
            try:
                wire = await self._open()
            except BaseException:
                self._enter("closed" if self._state == "closed" else "disconnected")
                raise
            self._runner = asyncio.create_task(self._run(wire), name="ib connection")

    async def disconnect(self) -> None:
        """Hang up and end every subscription."""
        self._enter("closed")
        runner, self._runner = self._runner, None
        owned = [task for task in (runner, *self._tasks) if task is not None]
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)
        self._flush()
        self._break_off()
        self._end_all()

    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names: ES (IB's lead month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME. With two digits of the year also one that has expired.

        UnknownContract names the accepted forms, AmbiguousContract the choices.
        """
        return (await self._directory.resolve(symbol)).contract

    async def contracts(self, root: str) -> list[Contract]:
        """The listed months of a product, nearest expiry first."""
        return await self._directory.months(root)

    def subscribe_trades(self, contract: Contract) -> TradeSubscription:
        """Every print from now on, tick-by-tick, with a side inferred from tick-by-tick quotes. Takes two of the login's tick-by-tick streams."""
        self._check(contract)
        line = self._line(contract)
        listener: TradeSubscription = Subscription(contract, on_cancel=self._left, on_failure=self._note_failure)
        if not line.trades:
            line.begin(time.time_ns())
        line.trades.append(listener)
        self._join(contract, listener, "AllLast")
        return listener

    def subscribe_quotes(self, contract: Contract) -> QuoteSubscription:
        """Best bid and ask, every change, tick-by-tick; None on an empty side. After an outage a Gap first. Takes one tick-by-tick stream."""
        self._check(contract)
        listener: QuoteSubscription = Subscription(contract, on_cancel=self._left, on_failure=self._note_failure)
        self._line(contract).quotes.append(listener)
        self._join(contract, listener, "BidAsk")
        return listener

    def subscribe_summary(self, contract: Contract) -> Subscription[Summary]:
        """The day's figures from level 1 market data, each time one of them changes."""
        self._check(contract)
        listener: Subscription[Summary] = Subscription(contract, on_cancel=self._left, on_failure=self._note_failure)
        symbol = contract.streamer_symbol
        if not self._summaries.get(symbol):  # nobody has listened: what is known may be of another day
            self._figures.pop(symbol, None)
            self._latest.pop(symbol, None)
        self._summaries.setdefault(symbol, []).append(listener)
        if symbol in self._latest:
            listener.put(self._latest[symbol])
        self._join(contract, listener, "MktData")
        return listener

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> Subscription[Bar | Gap]:
        """Closed bars as they close, from the running one on, or after `backfill` of history: IB's own bars, each once, without a split of their volume.

        A bar that IB changes later comes again with a higher `revision`. After an outage what was missed comes from IB's history.
        """
        wanted = check(contract, timeframe, hours)
        self._check(contract)
        backfill_start(backfill, self._now_ns())

        def left(_: object) -> None:
            task.cancel()

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._bar_feeds.discard(feed)
            listener.end()  # also where it was cancelled before it began

        listener: Subscription[Bar | Gap] = Subscription(contract, on_cancel=left, on_failure=self._note_failure)

        def start_ns(now_ns: int) -> int | None:
            return backfill_start(backfill, now_ns)

        feed = BarFeed(listener, wanted, start_ns, hours, self._history, self._directory.qualified, self._connected_wire, self._now_ns, self._gaps.add)
        self._bar_feeds.add(feed)
        task = asyncio.create_task(feed.run(), name=f"bars {contract.symbol} {wanted}")
        self._tasks.add(task)
        task.add_done_callback(ended)
        return listener

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """The bars frame of [start, end) by bar start; `start` None: the current session. Pages are asked for inside IB's pacing rules: that may take minutes.

        IB does not tell who bought: buy_volume and sell_volume are NaN, `delta_source` is "none". Raises NoData where the market was open and IB has
        nothing, UnsupportedTimeframe, UsageError, NotEntitled, PacingViolation, RequestTimeout, ConnectionLost.
        attrs: `start_was_cut` that IB does not go back to `start`: its first bar comes late, and not because nobody traded.
        """
        now_ns = self._now_ns()
        found = await self._history.bars(contract, timeframe, start, end, hours, now_ns)
        start_ns, end_ns = bounds(contract, start, end, now_ns)
        first_ns = int(found.index[0].value) if len(found) else end_ns
        found.attrs["start_was_cut"] = await self._was_cut(contract, timeframe, start_ns, first_ns, hours, now_ns)
        return found

    async def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        """The trades of [start, end), oldest first; `start` None: the current session.

        A thousand prints take a request, a thousand quotes two of the 60 that ten minutes allow.
        """
        return await self._history.trades(contract, start, end, self._now_ns())

    async def earliest(self, contract: Contract, timeframe: str = "1d") -> pd.Timestamp:
        """The start of the first bar that IB has of the contract; bars of 30 seconds and less are kept for half a year."""
        import pandas as pd

        return pd.Timestamp(await self._history.earliest_ns(contract, timeframe, self._now_ns()), unit="ns", tz="UTC")

    async def _was_cut(self, contract: Contract, timeframe: str, start_ns: int, first_ns: int, hours: str, now_ns: int) -> bool:
        """Whether bars may be missing before the first one. Where that is late, IB is asked for its first date, before which nobody can have traded."""
        wanted = Timeframe.parse(timeframe)
        if not is_late(contract, wanted, start_ns, first_ns, hours):
            return False
        try:
            head_ns = await self._history.earliest_ns(contract, timeframe, now_ns)
        except FeedError:
            return True
        return is_late(contract, wanted, start_ns, min(head_ns, first_ns), hours)

    def status(self) -> ProviderStatus:
        """Counts over all contracts since the provider was made."""
        lines = self._lines.values()
        excluded: Counter[str] = Counter(self._history.excluded)
        sides: Counter[str] = Counter()
        for line in lines:
            excluded.update(line.counts.excluded)
            sides.update(line.sides)
        lags = [(line.newest_ns, line.lag_ms) for line in lines if line.lag_ms is not None]
        waited = [f"requests have waited {self._history.waited_s:.0f} s for IB's pacing rules"] if self._history.waited_s else []
        wire = self._wire
        return ProviderStatus(
            state=self._state,
            since_ns=self._since_ns,
            reconnects=self._reconnects,
            lag_ms=max(lags)[1] if lags else None,
            trades=sum(line.counts.trades for line in lines),
            rejected=self._rejected + (wire.rejected if wire else 0),
            off_tick=sum(line.counts.off_tick for line in lines),
            off_step=sum(line.counts.off_step for line in lines),
            excluded=dict(excluded),
            sides=dict(sides),
            rejects=(*self._rejects, *(wire.rejects if wire else ())),
            delta_source="quote_trade",
            notes=(*self._notes, *self._farms.values(), *waited),
            failed=tuple(self._failed),
            problem=self._problem,
            attempts=self._attempts,
            **self._gaps.status(),
        )

    # -- the connection

    async def _open(self) -> Wire:
        """A connection on which everything is asked for again."""
        wire = Wire(self._flush, self._told)
        await wire.open(self._settings.host, self._settings.port, self._settings.client_id, _READY_S)
        if self._state == "closed":
            wire.close()
            raise ConnectionLost(f"provider '{self.name}' was disconnected while it connected")
        self._wire = wire
        self._enter("connected")
        self._broken_farms.clear()  # a new connection is told anew which are
        self._figures.clear()
        self._latest.clear()
        self._streams.attach(wire)
        self._ask_anew()
        return wire

    async def _run(self, wire: Wire) -> None:
        """Keep a connection open: wait for its end, then reconnect until it is back."""
        while True:
            reason = await wire.closed
            self._enter("reconnecting")
            self._problem = lost_by = f"connection lost: {reason}"
            self._note(lost_by)
            self._flush()
            self._break_off()
            self._lost_all()
            while True:
                await asyncio.sleep(backoff_s(self._attempts + 1, random.random()))
                try:
                    wire = await self._open()
                    break
                except FeedError as error:
                    self._attempts += 1
                    failed = f"reconnect {self._attempts} failed: {error}"
                    self._problem = f"{lost_by}; {failed}"
                    self._note(failed)
            self._reconnects += 1
            self._tell_gaps_later()

    def _ask_anew(self) -> None:
        """Streams that do not run, and all bars: IB's history fills what they missed."""
        for symbol in {*self._lines, *self._summaries}:
            self._sync(symbol)
        for feed in tuple(self._bar_feeds):
            feed.restart()

    def _told(self, code: int, text: str) -> None:
        """What TWS says of itself."""
        if code == LINK_LOST:
            self._enter("reconnecting")
            self._problem = text
            self._note(text)
            self._lost_all()
        elif code in (LINK_BACK, LINK_BACK_EMPTY):
            self._note(text)
            if self._wire is not None:
                self._enter("connected")
                self._broken_farms.clear()
                if code == LINK_BACK_EMPTY:
                    self._lost_all()
                    self._streams.attach(self._wire)
                self._ask_anew()
                self._tell_gaps_later()
        elif code in FARMS:
            name = text.rpartition(":")[2]
            self._farms[name] = text
            if code in DATA_FARMS:
                self._farm(name, is_well=FARMS[code], is_live=DATA_FARMS[code])
        else:
            self._note(f"TWS says: {text} ({code})" if code else text)

    def _farm(self, name: str, *, is_well: bool, is_live: bool) -> None:
        """The state of a data farm. Where one was broken, everything is asked for again: what has stopped, TWS does not say."""
        if not is_well:
            self._broken_farms.add(name)
            if is_live:
                self._lost_all()
        elif name in self._broken_farms:
            self._broken_farms.discard(name)
            self._ask_anew()
            if is_live:
                self._streams.ask_anew()
                self._tell_gaps_later()

    def _tell_gaps_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_GAP_AFTER_S, self._tell_gaps)

    def _tell_gaps(self) -> None:
        if self._broken_farms:
            return  # nothing comes yet: a gap that ended now would be too short
        for line in self._lines.values():
            gap = line.silent(time.time_ns())
            if gap is not None:
                self._gaps.add(gap)

    def _break_off(self) -> None:
        wire, self._wire = self._wire, None
        self._streams.attach(None)
        if self._timer is not None:
            self._timer.cancel()
        if wire is not None:
            self._rejected += wire.rejected
            self._rejects.extend(wire.rejects)
            wire.close()

    def _lost_all(self) -> None:
        for line in self._lines.values():
            line.broke()

    def _lost(self, symbol: str) -> None:
        if symbol in self._lines:
            self._lines[symbol].broke()

    # -- live

    def _join(self, contract: Contract, listener: Subscription[Any], kind: Kind) -> None:
        self._sync(contract.streamer_symbol)
        if self._streams.is_granted(contract.streamer_symbol, kind):
            listener.grant()

    def _sync(self, symbol: str) -> None:
        self._streams.sync(symbol)
        if self._wire is not None and self._wanted(symbol) and symbol not in self._directory.known and symbol not in self._looked_up:
            self._looked_up.add(symbol)
            task = asyncio.create_task(self._look_up(symbol), name=f"contract {symbol}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look_up(self, symbol: str) -> None:
        """Learn what IB calls a contract that came from elsewhere, then ask for its streams."""
        try:
            await self._directory.qualified(Contract(symbol, symbol, symbol))
        except ConnectionLost:
            return  # asked again with the next connection
        except MarketDataError as error:
            for listener in self._everyone(symbol):
                listener.end(error)
                self._left(listener)
        finally:
            self._looked_up.discard(symbol)
        self._streams.sync(symbol)

    def _wanted(self, symbol: str) -> set[Kind]:
        line = self._lines.get(symbol)
        found: set[Kind] = set()
        if line is not None and line.trades:
            found |= {"BidAsk", "AllLast"}
        if line is not None and line.quotes:
            found.add("BidAsk")
        if self._summaries.get(symbol):
            found.add("MktData")
        return found

    def _listeners(self, symbol: str, kind: Kind) -> list[Subscription[Any]]:
        """Those who cannot be served without a stream."""
        line = self._lines.get(symbol)
        if kind == "MktData" or line is None:
            return list(self._summaries.get(symbol, ()))
        return [*line.trades, *line.quotes] if kind == "BidAsk" else [*line.trades]

    def _everyone(self, symbol: str) -> list[Subscription[Any]]:
        line = self._lines.get(symbol)
        return [*(line.trades if line else ()), *(line.quotes if line else ()), *self._summaries.get(symbol, ())]

    def _take(self, symbol: str, kind: Kind, what: str, value: Any) -> None:
        wire = self._wire
        received_ns = wire.received_ns if wire is not None else time.time_ns()
        if kind == "MktData":
            number, figure = value
            summary = self._day_figures(symbol).add(what, number, figure, received_ns)
            if summary is not None:
                self._latest[symbol] = summary
                for listener in tuple(self._summaries.get(symbol, ())):
                    listener.put(summary)
        elif what == "trade":
            epoch_s, price, size, unreported = value
            self._lines[symbol].trade(epoch_s, price, size, unreported, received_ns)
        else:
            epoch_s, bid, ask, bid_size, ask_size = value
            self._lines[symbol].quote(epoch_s, bid, ask, bid_size, ask_size, received_ns)

    def _day_figures(self, symbol: str) -> DayFigures:
        if symbol not in self._figures:
            known = self._directory.known[symbol]
            self._figures[symbol] = DayFigures(known.contract, known.description)
        return self._figures[symbol]

    def _flush(self) -> None:
        """A packet was read: hand over what was in it."""
        for line in self._lines.values():
            for gap in line.flush():
                self._gaps.add(gap)

    def _left(self, listener: Subscription[Any]) -> None:
        symbol = listener.contract.streamer_symbol
        line = self._lines.get(symbol)
        held: list[list[Any]] = [self._summaries.get(symbol, [])] + ([line.trades, line.quotes] if line is not None else [])
        for listeners in held:
            if listener in listeners:
                listeners.remove(listener)
        self._streams.sync(symbol)

    # -- small parts

    def _check(self, contract: Contract) -> None:
        check_contract(contract)
        if not contract.streamer_symbol:
            raise UsageError(f"{contract.symbol} has no streamer symbol; take the contract from resolve() or contracts()")
        if self._state == "closed":
            raise UsageError(f"provider '{self.name}' is closed; connect() opens it again")

    def _line(self, contract: Contract) -> Line:
        return self._lines.setdefault(contract.streamer_symbol, Line(contract))

    def _open_wire(self) -> Wire:
        wire = self._wire
        if wire is None or self._state == "closed":
            raise ConnectionLost(f"provider '{self.name}' is not connected; connect() first")
        return wire

    def _connected_wire(self) -> Wire | None:
        return self._wire if self.is_connected else None

    def _now_ns(self) -> int:
        """Now by TWS's clock, or the newest print where that is ahead."""
        offset_ns = self._wire.offset_ns if self._wire is not None else 0
        return max([time.time_ns() + offset_ns, *(line.newest_ns + 1 for line in self._lines.values())])

    def _end_all(self) -> None:
        for line in self._lines.values():
            line.end(None)
        for listeners in self._summaries.values():
            for listener in listeners:
                listener.end()
        self._summaries.clear()

    def _note(self, text: str) -> None:
        self._notes.append(text)

    def _note_failure(self, error: Exception) -> None:
        self._failed.append(f"a callback raised {type(error).__name__}: {error}")

    def _enter(self, state: State) -> None:
        if state in ("connected", "closed"):
            self._problem, self._attempts = None, 0
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()
