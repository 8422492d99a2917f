"""Each request as a coroutine over the provider; what it finds goes to ib_async's wrapper, in the order and the types of IB's own messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ib_async import BarDataList, HistoricalTickLast, RealTimeBarList
from ib_async import Contract as IbContract

from ..errors import FeedError, NotSupported, UsageError
from ..model import Bar, Contract, Gap, Roll, TradeBatch
from ..provider import DataProvider, Subscription
from .bars import Grid, Row, bar_data, row_of, size_named
from .book import Book
from .contracts import details, exchange_of
from .errors import GAP, lacks
from .history import Growing, Past, Query
from .hours import SECOND_NS, moment, read_time, time_text, zone_of
from .shown import add_realtime, show
from .ticks import MarketData, TickByTick, attributes, not_served

if TYPE_CHECKING:
    from .client import FeedClient

T = TypeVar("T")
_SNAPSHOT_S: Final = 11.0  # IB's own window
_MEND_S: Final = 0.5  # how often to look whether bars that are not whole are over
_HOUR_NS: Final = 3600 * SECOND_NS


class Answers:
    """The answers of one client. Errors are the client's to tell."""

    def __init__(self, client: FeedClient, provider: DataProvider, now_ns: Callable[[], int]) -> None:
        self.client, self.wrapper, self.provider, self.now_ns = client, client.wrapper, provider, now_ns
        self.book = Book(provider)
        self.past = Past(provider, now_ns)

    # -- contracts

    async def contract_details(self, req_id: int, described: IbContract) -> None:
        """Every contract that fits."""
        found = await self.book.every(described)
        told = await asyncio.to_thread(lambda: [details(contract, described.secType, self.now_ns()) for contract in found])  # calendars take their time
        with self.client.packet():
            for one in told:
                self.wrapper.contractDetails(req_id, one)
            self.wrapper.contractDetailsEnd(req_id)

    # -- history

    async def historical_data(
        self, req_id: int, described: IbContract, end: str, duration: str, size: str, what: str, use_rth: bool, date_format: int, keep: bool
    ) -> None:
        """Bars; with `keep` the last one goes on as it forms."""
        contract = await self.book.one(described)
        _check_what(what, contract, "history-other")
        size_named(size)
        if keep and end:
            raise UsageError("keepUpToDate goes with an empty endDateTime only")
        zone = self.client.ib.TimezoneTWS or zone_of(contract.calendar)
        query = Query(contract, size, duration, read_time(end, zone) if end else None, use_rth)
        grid = query.grid

        def bar(row: Row) -> Any:
            return bar_data(row, grid.date(row.start_ns, date_format, zone))

        def answer(rows: list[Row]) -> None:
            with self.client.packet():
                for row in rows:
                    self.wrapper.historicalData(req_id, bar(row))
                self.wrapper.historicalDataEnd(req_id, "", "")

        if not keep:
            answer(await self.past.bars(query))
            return
        growing = Growing(self.past, query)
        trades = self.provider.subscribe_trades(contract)
        try:
            await trades.ready()
            answer(await growing.begin())
            await self._grow(req_id, trades, growing, bar)
        finally:
            trades.cancel()

    async def _grow(self, req_id: int, trades: Subscription[TradeBatch | Gap | Roll], growing: Growing, bar: Callable[[Row], Any]) -> None:
        def tell(rows: list[Row]) -> None:
            bars = self.wrapper.reqId2Subscriber.get(req_id)
            if rows and isinstance(bars, BarDataList):
                with self.client.packet():
                    for row in rows:
                        show(self.client.ib, bars, bar(row))

        while True:
            try:
                async with asyncio.timeout(_MEND_S if growing.is_half else None):
                    item = await anext(trades)
            except TimeoutError:
                tell(await growing.mend())
                continue
            except StopAsyncIteration:
                self._over(req_id, trades)
                return
            if isinstance(item, TradeBatch):
                tell(growing.add(item))
                tell(await growing.mend())
            else:
                self._aside(req_id, item)

    async def historical_ticks(self, req_id: int, described: IbContract, start: str, end: str, number: int, what: str, use_rth: bool) -> None:
        """Prints: from a start as many as wanted and the rest of the last one's second, or the last ones before an end."""
        if what != "TRADES":
            raise lacks(f"historical ticks of {what}", "ticks")
        if bool(start) == bool(end) or not 1 <= number <= 1000:
            raise UsageError("reqHistoricalTicks takes a start or an end, not both, and 1 to 1000 ticks")
        contract = await self.book.one(described)
        zone = self.client.ib.TimezoneTWS or zone_of(contract.calendar)
        grid = Grid(size_named("1 secs"), contract.calendar, use_rth)
        found = await (self.past.trades_from if start else self.past.trades_before)(contract, read_time(start or end, zone), number, grid)
        exchange = exchange_of(contract)
        ticks = [HistoricalTickLast(moment(trade.time_ns), attributes(trade), trade.price, trade.size, exchange, "") for trade in found]
        with self.client.packet():
            self.wrapper.historicalTicksLast(req_id, ticks, True)

    async def head(self, req_id: int, described: IbContract, what: str, date_format: int) -> None:
        """The start of the first daily bar."""
        contract = await self.book.one(described)
        _check_what(what, contract, "history-other")
        first_ns = int((await self.provider.earliest(contract, "1d")).as_unit("ns").value)
        text = str(first_ns // SECOND_NS) if date_format == 2 else time_text(first_ns, "UTC")[:-4].replace(" ", "-")
        with self.client.packet():
            self.wrapper.headTimestamp(req_id, text)

    # -- streams

    async def realtime_bars(self, req_id: int, described: IbContract, bar_size: int, what: str, use_rth: bool) -> None:
        """Bars of five seconds, each once it is over; a repaired one takes its place again."""
        if bar_size != 5:
            raise UsageError(f"barSize {bar_size!r}: real-time bars are of 5 seconds")
        contract = await self.book.one(described)
        _check_what(what, contract, "realtime-bars")
        grid = Grid(size_named("5 secs"), contract.calendar, use_rth)

        def take(bar: Bar) -> None:
            bars, row = self.wrapper.reqId2Subscriber.get(req_id), row_of(bar)
            if isinstance(bars, RealTimeBarList) and row is not None and grid.start(row.start_ns) is not None:
                add_realtime(self.client.ib, bars, row)

        await self._follow(req_id, self.provider.subscribe_bars(contract, "5s"), take)

    async def tick_by_tick(self, req_id: int, described: IbContract, kind: str, number: int, ignore_size: bool) -> None:
        """Every print, or every quote the feed sends."""
        if kind not in ("Last", "AllLast", "BidAsk", "MidPoint"):
            raise UsageError(f"tickType {kind!r} is none of Last, AllLast, BidAsk, MidPoint")
        if number:
            raise lacks("numberOfTicks of the past before tick-by-tick data; reqHistoricalTicks has them", "ticks")
        contract = await self.book.one(described)
        ticks = TickByTick(self.wrapper, req_id, kind, exchange_of(contract), ignore_size)
        if kind in ("BidAsk", "MidPoint"):
            await self._follow(req_id, self.provider.subscribe_quotes(contract), ticks.quote)
        else:
            await self._follow(req_id, self.provider.subscribe_trades(contract), self._with_sides(req_id, ticks.trades))

    async def market_data(self, req_id: int, described: IbContract, generic: str, snapshot: bool) -> None:
        """Quotes, trades and the day's figures, as far as the provider has them."""
        contract = await self.book.one(described)
        ticks = MarketData(self.wrapper, req_id, generic)
        if missing := not_served(generic):
            self.client.warn(req_id, GAP, f"generic ticks {','.join(missing)} are not served and will not come (migration guide: market-data)")
        can = self.provider.capabilities
        streams: list[Coroutine[Any, Any, None]] = []
        if can.quotes:
            streams.append(self._follow(req_id, self.provider.subscribe_quotes(contract), ticks.quote))
        if can.trades:
            streams.append(self._follow(req_id, self.provider.subscribe_trades(contract), self._with_sides(req_id, ticks.trades)))
        if can.summary:
            streams.append(self._follow(req_id, self.provider.subscribe_summary(contract), ticks.summary))
        if not streams:
            raise NotSupported(f"provider '{self.provider.name}' serves no market data")
        with self.client.packet():
            ticks.begin(contract.tick_size)
        streams.append(self._last_price(contract, ticks))
        if not snapshot:
            await _together(*streams)
            return

        def is_whole() -> bool:
            return (ticks.has_quote or not can.quotes) and ticks.has_last and (ticks.has_summary or not can.summary)

        await _together(*streams, self._until(is_whole, _SNAPSHOT_S), first_ends=True)
        with self.client.packet():
            self.wrapper.tickSnapshotEnd(req_id)

    async def _last_price(self, contract: Contract, ticks: MarketData) -> None:
        """The price of the last minute that traded, until a trade comes."""
        now_ns = self.now_ns()
        try:
            minutes = await self.past.parts(contract, size_named("1 min"), now_ns - _HOUR_NS, now_ns)
        except (FeedError, NotSupported):
            minutes = []  # then the first trade says
        with self.client.packet():
            ticks.last_price(minutes[-1].close if minutes else None)

    async def _until(self, is_so: Callable[[], bool], limit_s: float) -> None:
        """Wait until something is so, looking after each update, for a limited time."""
        try:
            async with asyncio.timeout(limit_s):
                while not is_so():
                    await self.client.ib.updateEvent
        except TimeoutError:
            return

    def _with_sides(self, req_id: int, take: Callable[[TradeBatch], None]) -> Callable[[TradeBatch], None]:
        """Ticks first, then the batch with its aggressor sides."""

        def both(batch: TradeBatch) -> None:
            take(batch)
            ticker = self.wrapper.reqId2Ticker.get(req_id)
            if ticker is not None and len(self.client.ib.tradesEvent):
                self.client.ib.tradesEvent.emit(ticker, batch)

        return both

    async def _follow(self, req_id: int, items: Subscription[Any], take: Callable[[Any], None]) -> None:
        """Read a subscription to its end; each item is a packet."""
        try:
            async for item in items:
                if isinstance(item, Gap | Roll):
                    self._aside(req_id, item)
                else:
                    with self.client.packet():
                        take(item)
            self._over(req_id, items)
        finally:
            items.cancel()

    def _over(self, req_id: int, items: Subscription[Any]) -> None:
        """The feed has ended a subscription without an error, as a tape does: ib_async's lists and tickers have no end of their own to tell by."""
        self.client.warn(req_id, GAP, f"{items.contract.symbol}: the feed has ended this; nothing more will come of it")

    def _aside(self, req_id: int, item: Gap | Roll) -> None:
        if isinstance(item, Roll):
            self.client.warn(req_id, GAP, f"the front month is {item.new.symbol} now, no longer {item.old.symbol}; this request stays with its contract")
        elif not item.filled:
            start, end = (f"{moment(at_ns):%Y-%m-%d %H:%M:%S}Z" for at_ns in (item.start_ns, item.end_ns))
            self.client.warn(req_id, GAP, f"{item.contract.symbol}: data from {start} to {end} may be missing: {item.reason}")


def _check_what(what: str, contract: Contract, anchor: str) -> None:
    """TRADES; and ADJUSTED_LAST of futures, which have neither splits nor dividends."""
    if what == "SCHEDULE":
        raise lacks("whatToShow SCHEDULE", "sessions")
    if what != "TRADES" and not (what == "ADJUSTED_LAST" and contract.symbol.startswith("/") and anchor == "history-other"):
        raise lacks(f"whatToShow {what}", anchor)


async def _together(*parts: Coroutine[Any, Any, None], first_ends: bool = False) -> None:
    """Run all until they have ended, or one has failed; `first_ends`: until the last one given has ended."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        wanted = {tasks[-1]} if first_ends else set(tasks)
        pending = set(tasks)
        while wanted & pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
