"""ib_async's client, answering from a DataProvider instead of a socket: each request is a task that tells ib_async's own wrapper what it found."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final

from ib_async import Client, util
from ib_async import Contract as IbContract

from ..errors import MarketDataError, NotSupported, RequestTimeout
from ..provider import DataProvider
from .answers import Answers
from .errors import FEED_BACK, FEED_LOST, code_of, lacks, refused

if TYPE_CHECKING:
    from .ib import IB

_WATCH_S: Final = 0.25
_log = logging.getLogger("ib_async.client")


class FeedClient(Client):
    """The requests of market data, and the life of the provider behind them. Any other request raises NotSupported.

    It lives in the event loop that `connectAsync` was run in, and the feed moves on only while that loop runs: ib_async's one rule.
    """

    def __init__(self, ib: IB, provider: Callable[[], DataProvider], now_ns: Callable[[DataProvider], int]) -> None:
        super().__init__(ib.wrapper)  # type: ignore[no-untyped-call]
        self.ib = ib
        self.late: set[int] = set()
        self._make, self._now_ns = provider, now_ns
        self._provider: DataProvider | None = None
        self._answers: Answers | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[tuple[int, str], int] = {}
        self._watching: asyncio.TimerHandle | None = None
        self._was_up = True
        self._closing: asyncio.Future[None] | None = None

    # -- life

    def isConnected(self) -> bool:
        """True from the connect to the disconnect, also while the feed reconnects."""
        return bool(super().isConnected())  # type: ignore[no-untyped-call]

    def reset(self) -> None:
        """Back to the state before `connectAsync`."""
        super().reset()  # type: ignore[no-untyped-call]

    @property
    def provider(self) -> DataProvider:
        """The provider, made when it is first asked for."""
        if self._provider is None:
            self._provider = self._make()
        return self._provider

    @property
    def answers(self) -> Answers:
        """What answers requests."""
        if self._answers is None:
            provider = self.provider
            self._answers = Answers(self, provider, lambda: self._now_ns(provider))
        return self._answers

    async def connectAsync(self, host: str, port: int, clientId: int, timeout: float | None = None) -> None:  # noqa: ASYNC109  # ib_async's signature
        """Connect the provider, within its own time-outs. Host and port are only kept to be shown."""
        if self.isConnected():
            return
        if self._closing is not None:
            await self._closing
        self.host, self.port, self.clientId = host, int(port), int(clientId)
        self.connState = Client.CONNECTING
        try:
            await self.provider.connect()
        except BaseException:
            self.reset()
            raise
        self.reset()
        self.connState, self._apiReady, self._reqIdSeq = Client.CONNECTED, True, 1
        self._loop, self._was_up = asyncio.get_running_loop(), True
        self._watching = self._loop.call_later(_WATCH_S, self._watch)
        atexit.register(self.disconnect)
        self.apiStart.emit()

    def disconnect(self) -> None:
        """End every request and close the provider: at once where the loop stands still, in a task of the loop where it runs."""
        if not self.isConnected() or self._loop is None:
            return
        loop = self._loop
        closing = self._let_go()
        if loop.is_closed():
            closing.close()
        elif loop.is_running():
            self._closing = loop.create_task(closing)
        else:
            loop.run_until_complete(closing)

    async def disconnectAsync(self) -> None:
        """The same, waited for."""
        if self.isConnected():
            await self._let_go()
        elif self._closing is not None:
            await self._closing

    def _let_go(self) -> Coroutine[Any, Any, None]:
        atexit.unregister(self.disconnect)
        if self._watching is not None:
            self._watching.cancel()
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._streams.clear()
        self.reset()
        return self._close(tasks)

    async def _close(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.provider.disconnect()
        self._closing = None

    def _watch(self) -> None:
        """Tell of an outage, of its end, and of the feed's end."""
        assert self._loop is not None
        self._watching = self._loop.call_later(_WATCH_S, self._watch)
        is_up = self.provider.is_connected
        if is_up == self._was_up and is_up:
            return
        if not is_up and self.provider.status().state in ("closed", "disconnected"):
            self.wrapper.setEventsDone()
            self.wrapper.connectionClosed()
            self.disconnect()
            self.apiEnd.emit()
        elif is_up != self._was_up:
            self._was_up = is_up
            code, text = (FEED_BACK, "the feed is back, with all subscriptions") if is_up else (FEED_LOST, "the feed is lost; it reconnects by itself")
            self.wrapper.error(-1, code, f"{self.provider.name}: {text}", "")

    # -- for the answers

    @contextlib.contextmanager
    def packet(self) -> Iterator[None]:
        """What ib_async does around the messages of one network packet: ticks of the last one are forgotten, and events told at the end."""
        self.wrapper.tcpDataArrived()
        arrived = self.wrapper.lastTime
        yield
        self.wrapper.tcpDataProcessed()
        self.wrapper.lastTime = arrived  # ticks set the exchange's; idle time is counted on our clock

    def warn(self, req_id: int, code: int, text: str) -> None:
        """Tell something by errorEvent that ends no request."""
        self.wrapper.error(req_id, code, text, "")

    def refuse(self, req_id: int, error: Exception) -> None:
        """End a request with an error: by errorEvent, and as an exception where somebody waits for the answer and wants exceptions."""
        raises = self.ib.RaiseRequestErrors or isinstance(error, NotSupported)
        waiting = self.wrapper._futures.pop(req_id, None) if raises else None
        self.wrapper.error(req_id, code_of(error), str(error) or type(error).__name__, "")
        if waiting is not None:
            self.wrapper._futures[req_id] = waiting
            self.wrapper._endReq(req_id, refused(req_id, error), success=False)

    def _begin(self, req_id: int, answer: Coroutine[Any, Any, None]) -> None:
        if not self.isConnected():
            answer.close()
            raise ConnectionError("Not connected")
        loop: asyncio.AbstractEventLoop = util.getLoop()  # type: ignore[no-untyped-call]
        task = self._tasks[req_id] = loop.create_task(self._run(req_id, answer), name=f"request {req_id}")
        task.add_done_callback(lambda _: answer.close())  # cancelled before it began, it was never awaited

    async def _run(self, req_id: int, answer: Coroutine[Any, Any, None]) -> None:
        try:
            await answer
        except MarketDataError as error:
            self.refuse(req_id, error)
        except Exception as error:  # ours, not the feed's; whoever waits must hear of it all the same
            _log.exception("request %s failed", req_id)
            self.refuse(req_id, error)
        finally:
            self._tasks.pop(req_id, None)

    def _stream(self, req_id: int, contract: IbContract, kind: str, answer: Coroutine[Any, Any, None]) -> None:
        """A stream of ticks; it takes the place of one of the same contract and kind, which ib_async could not cancel any more."""
        before = self._streams.pop((hash(contract), kind), None)
        if before is not None:
            self._cancel(before)
        self._begin(req_id, answer)
        self._streams[hash(contract), kind] = req_id

    def _cancel(self, req_id: int) -> None:
        task = self._tasks.pop(req_id, None)
        if task is not None:
            task.cancel()

    # -- requests, by the names and arguments that ib_async's IB calls

    def reqContractDetails(self, reqId: int, contract: IbContract) -> None:
        """Contract details."""
        self._begin(reqId, self.answers.contract_details(reqId, contract))

    def reqHistoricalData(
        self, reqId: int, contract: IbContract, endDateTime: str, durationStr: str, barSizeSetting: str, whatToShow: str,
        useRTH: bool, formatDate: int, keepUpToDate: bool, chartOptions: Any,
    ) -> None:  # fmt: skip
        """Bars, and bars that go on."""
        asked = (reqId, contract, endDateTime, durationStr, barSizeSetting, whatToShow, bool(useRTH), int(formatDate), bool(keepUpToDate))
        self._begin(reqId, self.answers.historical_data(*asked))

    def cancelHistoricalData(self, reqId: int) -> None:
        """End it. Where the answer had not come yet, ib_async's time for it was over."""
        if reqId in self.wrapper._futures:
            self.late.add(reqId)
            self.warn(-1, code_of(RequestTimeout("")), f"historical data of request {reqId} did not come in time")
        self._cancel(reqId)

    def reqHistoricalTicks(
        self, reqId: int, contract: IbContract, startDateTime: str, endDateTime: str, numberOfTicks: int, whatToShow: str,
        useRth: bool, ignoreSize: bool, miscOptions: Any,
    ) -> None:  # fmt: skip
        """Ticks of the past."""
        self._begin(reqId, self.answers.historical_ticks(reqId, contract, startDateTime, endDateTime, numberOfTicks, whatToShow, bool(useRth)))

    def reqHeadTimeStamp(self, reqId: int, contract: IbContract, whatToShow: str, useRTH: bool, formatDate: int) -> None:
        """The first bar there is."""
        self._begin(reqId, self.answers.head(reqId, contract, whatToShow, int(formatDate)))

    def cancelHeadTimeStamp(self, reqId: int) -> None:
        """It has been answered."""
        self._cancel(reqId)

    def reqRealTimeBars(self, reqId: int, contract: IbContract, barSize: int, whatToShow: str, useRTH: bool, realTimeBarsOptions: Any) -> None:
        """Bars of five seconds."""
        self._begin(reqId, self.answers.realtime_bars(reqId, contract, barSize, whatToShow, bool(useRTH)))

    def cancelRealTimeBars(self, reqId: int) -> None:
        """End them."""
        self._cancel(reqId)

    def reqMktData(self, reqId: int, contract: IbContract, genericTickList: str, snapshot: bool, regulatorySnapshot: bool, mktDataOptions: Any) -> None:
        """Level 1."""
        answer = self.answers.market_data(reqId, contract, genericTickList, bool(snapshot or regulatorySnapshot))
        if snapshot or regulatorySnapshot:
            self._begin(reqId, answer)
        else:
            self._stream(reqId, contract, "mktData", answer)

    def cancelMktData(self, reqId: int) -> None:
        """End it."""
        self._cancel(reqId)

    def reqTickByTickData(self, reqId: int, contract: IbContract, tickType: str, numberOfTicks: int, ignoreSize: bool) -> None:
        """Every print or quote."""
        self._stream(reqId, contract, tickType, self.answers.tick_by_tick(reqId, contract, tickType, numberOfTicks, ignoreSize))

    def cancelTickByTickData(self, reqId: int) -> None:
        """End it."""
        self._cancel(reqId)

    def reqMarketDataType(self, marketDataType: int) -> None:
        """There is one type: what the login is entitled to."""
        if marketDataType != 1:
            _log.warning("market data type %s is not there: the provider '%s' sends what its login is entitled to", marketDataType, self.provider.name)

    def send(self, *fields: Any, makeEmpty: bool = True) -> None:
        """Every other request of ib_async ends here."""
        raise lacks(f"request {fields[0]} of the TWS API" if fields else "this request", "no-equivalent")
