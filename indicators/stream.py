"""The async shell of live sets: one subscription a contract and timeframe, read for every strategy that asks for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count
from types import TracebackType
from typing import Any, Protocol, Self

import pandas as pd

from tastytrade_provider.bars import BarTrades, Cvd, Footprint
from tastytrade_provider.errors import FeedError
from tastytrade_provider.model import Bar, Contract, Gap, Roll, Timeframe, TradeBatch

from .base import Indicator, column_names
from .live import Change, LiveSet, Update, same_values

UNREAD = 10_000
"""Bars that wait for a strategy at most. Beyond that a tape waits for the slowest strategy, and a live feed ends its stream with a FeedError."""

_LONGEST_WAIT_S = 1.0

Identity = tuple[object, ...]
"""What two strategies must both ask for to share an indicator: its name, its class and its parameters."""


class TradeStream(Protocol):
    """What this shell needs of a subscription."""

    async def ready(self) -> None:
        """Wait until the feed has accepted the request."""

    async def __anext__(self) -> TradeBatch | Gap | Roll:
        """The next item."""

    def cancel(self) -> None:
        """End it."""


class TradeSource(Protocol):
    """What this shell needs of a DataProvider."""

    def follow_trades(self, contract: Contract, *, fill: bool = True) -> TradeStream:
        """The session's trades so far, every trade from now on, and after a roll the new month's."""


class SharedSet:
    """One subscription, one BarBuilder and each indicator once, behind all streams of a contract and timeframe.

    Whichever stream is waited for reads on for all of them. The bar clock is the exchange time of the last trade plus the time since it
    came, by `clock` (monotonic nanoseconds), so bars close though nobody trades. None for a tape that does not run at the market's pace.
    """

    def __init__(
        self,
        source: TradeSource,
        contract: Contract,
        timeframe: Timeframe,
        clock: Callable[[], int] | None,
        *,
        on_fault: Callable[[str, Exception], None],
        on_end: Callable[[SharedSet], None],
    ) -> None:
        self.source, self.timeframe, self.clock = source, timeframe, clock
        self.live = LiveSet(contract, timeframe, {}, on_fault=self._failed)
        self.end: Exception | None = None
        self._on_fault, self._on_end = on_fault, on_end
        self._streams: list[LiveStream] = []
        self._labels: dict[Identity, str] = {}
        self._numbers = count()
        self._history: pd.DataFrame | None = None
        self._forming: Update | None = None
        self._is_fresh = False
        self._newest_ns = 0
        self._offset_ns: int | None = None
        self._reading: asyncio.Future[TradeBatch | Gap | Roll] | None = None
        self._room = asyncio.Event()
        self.trades = source.follow_trades(contract, fill=clock is not None)

    def serves(self, source: TradeSource, contract: Contract, timeframe: Timeframe, clock: Callable[[], int] | None) -> bool:
        """Whether a strategy that asks for this can be served by this set."""
        return self.source is source and self.live.contract == contract and self.timeframe == timeframe and self.clock is clock

    # -- strategies come and go

    def join(self, wanted: Mapping[str, tuple[Identity, Indicator]]) -> LiveStream:
        """A stream of these indicators by label. Those that are here already are shared; a new one catches up with the bars held."""
        new = {identity: indicator for identity, indicator in wanted.values() if identity not in self._labels}
        self._labels |= {identity: f"{next(self._numbers)}" for identity in new}
        columns: dict[str, str] = {}
        for label, (identity, indicator) in wanted.items():
            columns |= zip(column_names(label, indicator), column_names(self._labels[identity], indicator), strict=True)
        stream = LiveStream(self, {label: self._labels[identity] for label, (identity, _) in wanted.items()}, columns)
        self._streams.append(stream)
        for identity, indicator in new.items():
            self.live.include(self._labels[identity], indicator, self._history)
        self._is_fresh = False
        return stream

    def leave(self, stream: LiveStream) -> None:
        """Forget a stream, the indicators only it had, and with the last one the subscription."""
        self._streams.remove(stream)
        self.has_room()
        if not self._streams:
            self.trades.cancel()
            self._on_end(self)
            return
        needed = {label for other in self._streams for label in other.shares.values()}
        for identity, label in [item for item in self._labels.items() if item[1] not in needed]:
            del self._labels[identity]
            self.live.exclude(label)
        self._is_fresh = False

    def has_room(self) -> None:
        """A stream was read, or left: a tape may go on."""
        self._room.set()

    def warm(self, bars: pd.DataFrame) -> None:
        """See LiveStream.warm."""
        known = self._history
        if known is not None and len(known) and (not len(bars) or bars.index[0] >= known.index[0]):
            return
        self.live.warm(bars)
        self._history = bars

    # -- the work

    def forming(self) -> Update | None:
        """The forming bar with the values of all indicators, worked out once until something happens."""
        if not self._is_fresh:
            self._forming, self._is_fresh = self.live.forming, True
        return self._forming

    async def step(self, stopped: asyncio.Future[None]) -> None:
        """Wait for the next item, the clock or `stopped`, and hand what follows from it to every stream."""
        while self.clock is None and any(stream.is_full for stream in self._streams):
            self._room.clear()
            waiting = asyncio.ensure_future(self._room.wait())
            try:
                await _either(waiting, stopped)
            finally:
                waiting.cancel()
            if stopped.done():
                return
        if self._reading is None:
            self._reading = asyncio.ensure_future(self.trades.__anext__())
            self._reading.add_done_callback(_seen)
        reading = self._reading
        # waited for, never cancelled: an item that is on its way is not lost when the clock or the caller is faster
        await _either(reading, stopped, timeout_s=self._patience_s())
        if self._reading is reading and reading.done():  # or another stream was woken before
            self._reading = None
            try:
                item = reading.result()
            except Exception as error:  # raised by every stream, when it has handed over what came before
                self.end = error
                self._on_end(self)
                return
            if isinstance(item, Roll):
                self._history = None
            self._set_clock(item)
            self._share(self.live.enter(item))
        if self._offset_ns is not None and self.clock is not None:
            self._share(self.live.pass_time(self.clock() + self._offset_ns))

    def _share(self, changes: list[Change]) -> None:
        self._is_fresh = False
        for stream in [*self._streams] if changes else ():
            if stream.is_full and self.clock is not None:
                stream.fail(FeedError(f"this stream of {self.live.contract.symbol}, {self.timeframe} bars, has {UNREAD:,} bars waiting to be read, and ends"))
            else:
                stream.take(changes)

    def _failed(self, shared: str, error: Exception) -> None:
        for label in sorted({label for stream in self._streams for label, other in stream.shares.items() if other == shared}):
            self._on_fault(label, error)

    def _set_clock(self, item: TradeBatch | Gap | Roll) -> None:
        # what is about earlier trades says nothing of the time
        if self.clock is not None and isinstance(item, TradeBatch) and len(item) and (newest_ns := int(item.time_ns.max())) >= self._newest_ns:
            self._newest_ns, self._offset_ns = newest_ns, newest_ns - self.clock()

    def _patience_s(self) -> float | None:
        """How long to wait for trades before looking at the clock."""
        if self._offset_ns is None or self.clock is None:
            return None
        due_ns = self.live.due_ns
        left_s = _LONGEST_WAIT_S if due_ns is None else (due_ns - self.clock() - self._offset_ns) / 1e9
        return min(max(left_s, 0.0), _LONGEST_WAIT_S)


class LiveStream:
    """A strategy's live set over a provider's trades: `async for bar, values in stream`, or `forming` and `values` at any time in between.

    Streams that one manager gave out for the same contract and timeframe share a subscription, a BarBuilder and the indicators that more
    than one of them asked for. A stream that comes later hands over the bars that close from then on. The trades are read while one of the
    streams waits for its next update, so keep them running, and `cancel` those not needed any more. All belong to one event loop.
    Raises what the subscription raises and ends with it; FeedError where this stream alone was read too slowly (see UNREAD).
    """

    def __init__(self, shared: SharedSet, shares: Mapping[str, str], columns: Mapping[str, str]) -> None:
        self.shares = shares
        self._shared, self._columns = shared, columns
        self._updates: deque[Update] = deque()
        self._failure: Exception | None = None
        self._final: tuple[Update | None, dict[str, float]] | None = None  # `forming` and `values` when it was cancelled
        self._stopped: asyncio.Future[None] | None = None

    # -- for strategies

    def warm(self, bars: pd.DataFrame) -> None:
        """Commit a history of closed bars before the first trade. Live bars that start no later than its last are taken as known and left out.

        Where another stream has brought a history that reaches as far back, that one serves. UsageError once bars have closed.
        """
        self._shared.warm(bars)

    @property
    def contract(self) -> Contract:
        """The contract whose trades count now."""
        return self._shared.live.contract

    @property
    def forming(self) -> Update | None:
        """The bar that is not closed yet, and the values if it closed as it stands; None between bars."""
        if self._final is not None:
            return self._final[0]
        update = self._shared.forming()
        return update and self._mine(update)

    @property
    def values(self) -> dict[str, float]:
        """The values at the last close; NaN before the first."""
        return dict(self._final[1]) if self._final is not None else self._picked(self._shared.live.values)

    @property
    def cvd(self) -> Cvd:
        """CVD now with its extremes trade by trade since the reset, in contracts."""
        return self._shared.live.cvd

    @property
    def unrepaired(self) -> int:
        """Changed bars that were too old to be done again."""
        return self._shared.live.unrepaired

    def footprint(self, bar: Bar) -> Footprint:
        """Volume by price in a bar of the current contract, closed or forming. UsageError where it is not kept."""
        return self._shared.live.footprint(bar)

    def trades_of(self, bar: Bar, before_ns: int = 0) -> BarTrades:
        """The trades of a bar, closed or forming: what `of_bar(live, bar)` of the indicators over trades asks for. UsageError where they are not kept."""
        return self._shared.live.trades_of(bar, before_ns)

    async def ready(self) -> None:
        """Wait until the feed has accepted the subscription; raises what it refused it with."""
        await self._shared.trades.ready()

    def cancel(self) -> None:
        """End this stream, and with the last one that shares it the subscription."""
        if self._final is not None:
            return
        self._final = self.forming, self.values
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)
        self._shared.leave(self)

    def __aiter__(self) -> AsyncIterator[Update]:
        return self

    async def __anext__(self) -> Update:
        if self._stopped is None:
            self._stopped = asyncio.get_running_loop().create_future()
        while not self._updates:
            error = self._failure or self._shared.end
            if error is not None and not isinstance(error, StopAsyncIteration):
                raise error
            if error is not None or self._final is not None:
                raise StopAsyncIteration
            await self._shared.step(self._stopped)
        update = self._updates.popleft()
        self._shared.has_room()
        return update

    async def __aenter__(self) -> Self:
        await self.ready()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()

    # -- for the set

    @property
    def is_full(self) -> bool:
        """Whether it should be read before more comes."""
        return len(self._updates) >= UNREAD

    def take(self, changes: list[Change]) -> None:
        """Keep what is news here for the strategy: bars that closed or changed, and values that changed among its own."""
        for update, before in changes:
            mine = self._mine(update)
            if before is None or not same_values(mine.values, self._picked(before.values)):
                self._updates.append(mine)

    def fail(self, error: Exception) -> None:
        """End with an error, after what waits to be read."""
        self._failure = error
        self.cancel()

    def _mine(self, update: Update) -> Update:
        return Update(update.bar, self._picked(update.values))

    def _picked(self, values: Mapping[str, float]) -> dict[str, float]:
        return {mine: values[shared] for mine, shared in self._columns.items()}


async def _either(one: asyncio.Future[Any], other: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    await asyncio.wait({one, other}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


def _seen(reading: asyncio.Future[TradeBatch | Gap | Roll]) -> None:
    """Mark an error as noticed: the next read raises it, and after `cancel` there is none."""
    if not reading.cancelled():
        reading.exception()
