"""The async shell of a live set: it reads a subscription, keeps the bar clock, and hands updates over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Protocol, Self

from tastytrade_provider.model import Contract, Gap, Roll, Timeframe, TradeBatch

from .base import Indicator
from .live import LiveSet, Update

_LONGEST_WAIT_S = 1.0


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

    def subscribe_trades(self, contract: Contract) -> TradeStream:
        """Every trade from now on."""


class LiveStream(LiveSet):
    """A live set over a provider's trades: `async for bar, values in stream`, or read `forming` and `values` at any time in between.

    The bar clock is the exchange time of the last trade plus the time since it came, by `clock` (monotonic nanoseconds), so bars close though
    nobody trades. None for a tape that does not run at the market's pace: there its trades are the clock.
    Raises what the subscription raises; ends with it. The trades are read while the loop waits for the next update, so keep it running.
    """

    def __init__(
        self,
        source: TradeSource,
        contract: Contract,
        timeframe: str | Timeframe,
        indicators: Mapping[str, Indicator],
        *,
        on_fault: Callable[[str, Exception], None],
        clock: Callable[[], int] | None,
        reset: str = "session_open",
    ) -> None:
        super().__init__(contract, timeframe, indicators, on_fault=on_fault, reset=reset)
        self._clock = clock
        self._offset_ns: int | None = None
        self._updates: deque[Update] = deque()
        self._reading: asyncio.Future[TradeBatch | Gap | Roll] | None = None
        self._trades = source.subscribe_trades(contract)

    def cancel(self) -> None:
        """End the subscription."""
        self._trades.cancel()

    async def ready(self) -> None:
        """Wait until the feed has accepted the subscription; raises what it refused it with."""
        await self._trades.ready()

    def __aiter__(self) -> AsyncIterator[Update]:
        return self

    async def __anext__(self) -> Update:
        while not self._updates:
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._trades.__anext__())
                self._reading.add_done_callback(_seen)
            # waited for, never cancelled: an item that is on its way is not lost when the clock or the caller is faster
            await asyncio.wait({self._reading}, timeout=self._patience_s())
            if self._reading.done():
                item, self._reading = self._reading.result(), None
                self._set_clock(item)
                self._updates.extend(self.add(item))
            if self._offset_ns is not None and self._clock is not None:
                self._updates.extend(self.advance(self._clock() + self._offset_ns))
        return self._updates.popleft()

    async def __aenter__(self) -> Self:
        await self.ready()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()

    def _set_clock(self, item: TradeBatch | Gap | Roll) -> None:
        if self._clock is not None and isinstance(item, TradeBatch) and len(item):
            self._offset_ns = int(item.time_ns.max()) - self._clock()

    def _patience_s(self) -> float | None:
        """How long to wait for trades before looking at the clock."""
        if self._offset_ns is None or self._clock is None:
            return None
        bar = self._builder.forming
        left_s = _LONGEST_WAIT_S if bar is None or not bar.timeframe.is_time else (bar.end_ns - self._clock() - self._offset_ns) / 1e9
        return min(max(left_s, 0.0), _LONGEST_WAIT_S)


def _seen(reading: asyncio.Future[TradeBatch | Gap | Roll]) -> None:
    """Mark an error as noticed: the next read raises it, and after `cancel` there is none."""
    if not reading.cancelled():
        reading.exception()
