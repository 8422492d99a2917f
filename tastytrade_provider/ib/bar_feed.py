"""One subscription of bars being served: what has closed before, then IB's bars as they grow, across broken connections and closed markets.

Bars of five seconds come from reqRealTimeBars, all others from reqHistoricalData with keepUpToDate. That one is refused (162, no data) where it is asked for
while nothing has traded for as long as it reaches back, a long weekend for small bars: it is asked for again once the market has opened. After a broken
connection IB's own history fills what was missed, so there is a Gap only where it cannot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..errors import ConnectionLost, FeedError, MarketDataError, NoData, RequestTimeout
from ..model import Bar, Contract, Gap, Timeframe
from ..provider import Subscription
from ..sessions import is_open, next_open
from . import frames
from .contracts import Listed
from .frames import LiveBars
from .history import History, readable
from .mapping import SECOND_NS, Row, row_of_seconds
from .refusals import BUST, error_for
from .sizes import size_for
from .wire import ANSWER_S, Wire

_LATE_NS: Final = 10 * SECOND_NS  # a bar is closed by the clock so long after its end: IB updates bars every five seconds
_TICK_S: Final = 0.5
_AGAIN_S: Final = 15.0  # the pacing rule for the same request
_GRANT_S: Final = 1.0
_LONGEST_S: Final = 600.0  # a closed market is looked at again at least so often


class _Stream:
    """What comes for one request."""

    def __init__(self, subject: str, restart: Callable[[], None]) -> None:
        self.news = asyncio.Event()
        self.begun = False
        self.error: MarketDataError | None = None
        self._subject, self._restart = subject, restart
        self._bars: deque[tuple[str, Any]] = deque()

    def put(self, kind: str, value: Any) -> None:
        self._bars.append((kind, value))
        self.news.set()

    def end(self) -> None:
        self.begun = True
        self.news.set()

    def refused(self, code: int, text: str) -> None:
        self.error = error_for(code, text, self._subject)
        self.news.set()

    def told(self, code: int, text: str) -> None:
        if code == BUST:
            self._restart()

    def take(self, contract: Contract) -> list[Row]:
        rows: list[Row] = []
        while self._bars:
            kind, bar = self._bars.popleft()
            if kind == "bar":
                rows += readable(contract, [bar])
            else:
                epoch_s, opened, high, low, close, volume, vwap, count = bar
                row = row_of_seconds(contract, epoch_s, (opened, high, low, close), volume, vwap, count)
                rows += [row] if row is not None else []
        return rows


class BarFeed:
    """Serves one listener: `run` until it ends; `restart` when IB has forgotten the request.

    wire      the connection now, None while there is none            listed   what IB calls the contract
    now_ns    IB's clock, UTC ns                                       gap      tells the status of one
    """

    def __init__(
        self,
        listener: Subscription[Bar | Gap],
        timeframe: Timeframe,
        start_ns: Callable[[int], int | None],
        hours: str,
        history: History,
        listed: Callable[[Contract], Awaitable[Listed]],
        wire: Callable[[], Wire | None],
        now_ns: Callable[[], int],
        told: Callable[[Gap], None],
    ) -> None:
        self._listener, self._timeframe, self._start_ns, self._hours = listener, timeframe, start_ns, hours
        self._history, self._listed, self._wire, self._now_ns, self._told = history, listed, wire, now_ns, told
        self._contract = listener.contract
        self._wake = asyncio.Event()
        self._live: LiveBars | None = None

    def restart(self) -> None:
        """Ask again: the connection is a new one, or IB has lost the subscriptions of the old one."""
        self._wake.set()

    async def run(self) -> None:
        """Serve until the listener leaves or IB refuses for good."""
        error: Exception | None = None
        try:
            while not self._listener.has_ended:
                self._wake.clear()
                await self._once()
        except Exception as failure:  # whatever it was: bars that just stop would be a silent loss
            error = failure
        finally:
            self._listener.end(error)

    async def _once(self) -> None:
        """One request, from its being sent to its end; returns when it is to be sent again."""
        wire = self._wire()
        if wire is None:
            await self._wake.wait()
            return
        try:
            await self._serve(wire)
        except NoData:
            self._listener.grant()
            await self._sleep(self._until_open_s())
        except MarketDataError as error:
            if self._live is None and not isinstance(error, ConnectionLost):
                raise
            if not (isinstance(error, FeedError) and (error.retryable or type(error) is FeedError)):
                raise
            await self._sleep(_AGAIN_S)

    async def _serve(self, wire: Wire) -> None:
        listed = await self._listed(self._contract)
        stream = _Stream(f"live {self._timeframe} bars of {self._contract.symbol}", self.restart)
        req_id, cancel = await self._send(wire, listed, stream)
        try:
            rows = await self._first(stream)
            now_ns = self._now_ns()
            if self._live is None:
                self._live = LiveBars(self._contract, self._timeframe, self._from_ns(now_ns), self._hours)
            is_joined = bool(rows)
            await self._fill(self._live, rows, now_ns)
            self._live.add(rows, self._whole_ns)
            self._put(self._live)
            self._listener.grant()
            while not (self._wake.is_set() or self._listener.has_ended):
                stream.news.clear()
                rows = stream.take(self._contract)
                if rows and not is_joined:  # five-second bars begin with the next one: the running one is history by now
                    is_joined = True
                    await self._fill(self._live, rows, now_ns)
                self._live.add(rows, self._whole_ns)
                self._put(self._live)
                if stream.error is not None:
                    raise stream.error
                await self._news(stream)
        finally:
            wire.drop(req_id, cancel)

    async def _send(self, wire: Wire, listed: Listed, stream: _Stream) -> tuple[int, Callable[[int], None]]:
        client = wire.client
        if self._is_five_seconds:
            return wire.stream(stream, lambda req_id: client.reqRealTimeBars(req_id, listed.ib, 5, "TRADES", False, [])), client.cancelRealTimeBars
        now_ns = self._now_ns()
        size = size_for(self._timeframe, frames.grid_of(self._contract, self._timeframe, now_ns, now_ns).opens)

        def send(req_id: int) -> None:
            client.reqHistoricalData(req_id, listed.ib, "", size.duration, size.setting, "TRADES", False, 2, True, [])

        await self._history.live_turn(listed, size)
        return wire.stream(stream, send), client.cancelHistoricalData

    @property
    def _is_five_seconds(self) -> bool:
        return self._timeframe.is_intraday and self._timeframe.ns == 5 * SECOND_NS

    @property
    def _whole_ns(self) -> int:
        """How much of its time a bar has behind it when it comes: one of five seconds is over, the others still grow."""
        return 5 * SECOND_NS if self._is_five_seconds else 0

    async def _first(self, stream: _Stream) -> list[Row]:
        """The first answer. Five-second bars have none: a moment without a refusal is one."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + (_GRANT_S if self._is_five_seconds else ANSWER_S)
        while not stream.begun and stream.error is None and not self._wake.is_set() and (left_s := until_s - loop.time()) > 0:
            stream.news.clear()
            await self._news(stream, left_s)
        if stream.error is not None:
            raise stream.error
        if not (stream.begun or self._is_five_seconds or self._wake.is_set()):
            raise RequestTimeout(f"Interactive Brokers did not answer the request for live {self._timeframe} bars within {ANSWER_S:g} s")
        return stream.take(self._contract)

    async def _fill(self, live: LiveBars, rows: list[Row], now_ns: int) -> None:
        """Put the history before what came first into `live`, where that does not reach back far enough."""
        first_ns = min((row.start_ns for row in rows), default=self._running_ns(now_ns))
        if live.told_until_ns < first_ns:
            try:
                live.add(await self._history.rows(self._contract, self._timeframe, live.told_until_ns, first_ns))
            except FeedError as error:
                gap = Gap(self._contract, live.told_until_ns, first_ns, f"no history: {error}")
                self._told(gap)
                self._listener.put(gap)

    def _from_ns(self, now_ns: int) -> int:
        """Where the first bar to hand over starts: the running one, or the first whole one of the backfill."""
        running_ns, start_ns = self._running_ns(now_ns), self._start_ns(now_ns)
        if start_ns is None or start_ns >= running_ns:
            return running_ns
        first_ns, next_ns = frames.grid_of(self._contract, self._timeframe, start_ns, start_ns).span(start_ns)
        return start_ns if first_ns == start_ns else next_ns

    def _running_ns(self, now_ns: int) -> int:
        return frames.grid_of(self._contract, self._timeframe, now_ns, now_ns).span(now_ns)[0]

    def _put(self, live: LiveBars) -> None:
        for bar in live.closed(self._now_ns() - _LATE_NS if self._wire() is not None else 0):
            self._listener.put(bar)

    async def _news(self, stream: _Stream, most_s: float = _TICK_S) -> None:
        waiting = [asyncio.ensure_future(event.wait()) for event in (stream.news, self._wake)]
        try:
            await asyncio.wait(waiting, timeout=min(most_s, _TICK_S), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _until_open_s(self) -> float:
        now_ns = self._now_ns()
        if is_open(self._contract.calendar, now_ns):
            return _AGAIN_S
        return min(max((next_open(self._contract.calendar, now_ns) - now_ns) / 1e9 + 1.0, _AGAIN_S), _LONGEST_S)
