"""Any DataProvider without async: the same methods, waiting. The feed runs in a thread of its own, so nothing of it stands still while you compute."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .errors import RequestTimeout, UsageError
from .follow import Following
from .model import Bar, Contract, Gap, Quote, Roll, Summary, TradeBatch
from .provider import Capabilities, DataProvider, ProviderStatus, Subscription, SubscriptionStats, Time

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_SETTLE_S = 1.0


def blocking(provider: DataProvider) -> BlockingProvider:
    """The provider for programs without an event loop (also inside one, as in a notebook).

    >>> with blocking(provider) as feed:                              # doctest: +SKIP
    ...     for item in feed.subscribe_trades(feed.resolve("ES")):
    ...         print(item)
    """
    return BlockingProvider(provider)


class BlockingSubscription(Generic[T]):
    """A subscription to iterate over: `for item in sub`. It waits for the next item, ends with the feed, raises what the feed raises."""

    def __init__(self, home: BlockingProvider, subscription: Subscription[T] | Following) -> None:
        self._home = home
        self._subscription: Any = subscription  # a Following is one of TradeBatch, Gap and Roll
        self._coming: asyncio.Future[T] | None = None

    @property
    def stats(self) -> SubscriptionStats:
        """Counts of items handed over, dropped and waiting."""
        stats: SubscriptionStats = self._subscription.stats
        return stats

    def ready(self) -> None:
        """Wait until the feed has accepted the subscription; raises what it refused it with."""
        self._home._run(self._subscription.ready())

    def ended(self) -> None:
        """Wait until nothing more will come; raises the error that ended the subscription."""
        self._home._run(self._subscription.ended())

    def on(self, callback: Callable[[T], object]) -> Self:
        """Call `callback(item)` for each item, in the feed's thread: keep it short."""
        self._home._run(_call(self._subscription.on, callback))
        return self

    def next(self, timeout_s: float | None = None) -> T:
        """The next item. RequestTimeout where none came in time, StopIteration at the end of the feed."""
        try:
            return self._home._run(self._next(timeout_s))
        except StopAsyncIteration:
            raise StopIteration from None
        except TimeoutError:
            raise RequestTimeout(f"nothing came from {self._subscription.contract.symbol} within {timeout_s:g} s") from None

    def cancel(self) -> None:
        """End the subscription."""
        self._home._run(_call(self._subscription.cancel))

    async def _next(self, timeout_s: float | None) -> T:
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._subscription.__anext__())
            self._coming.add_done_callback(_seen)
        # what did not come in time is waited for by the next call: a past that is being fetched would be lost with its request
        done, _ = await asyncio.wait([self._coming], timeout=timeout_s)
        if not done:
            raise TimeoutError
        coming, self._coming = self._coming, None
        return coming.result()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self.next()

    def __enter__(self) -> Self:
        self.ready()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()


class BlockingProvider:
    """A DataProvider whose methods wait. Methods, arguments and errors are those of `DataProvider`."""

    def __init__(self, provider: DataProvider) -> None:
        self._provider = provider
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{provider.name} feed", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """What it can serve."""
        return self._provider.capabilities

    @property
    def is_connected(self) -> bool:
        """True while data can arrive."""
        return self._provider.is_connected

    def connect(self) -> None:
        """Log in and open the feed."""
        self._run(self._provider.connect())

    def disconnect(self) -> None:
        """Close the feed and its thread. The provider cannot be connected again through this object."""
        if self._loop.is_closed():
            return
        try:
            self._run(self._provider.disconnect())
            self._run(_settled())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names."""
        return self._run(self._provider.resolve(symbol))

    def contracts(self, root: str) -> list[Contract]:
        """The listed contracts of a product."""
        return self._run(self._provider.contracts(root))

    def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """The bars frame of a range."""
        return self._run(self._provider.historical_bars(contract, timeframe, start, end, hours=hours))

    def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        """The trades of a range."""
        return self._run(self._provider.historical_trades(contract, start, end))

    def earliest(self, contract: Contract, timeframe: str = "1d") -> pd.Timestamp:
        """The start of the first bar the feed has."""
        return self._run(self._provider.earliest(contract, timeframe))

    def subscribe_trades(self, contract: Contract) -> BlockingSubscription[TradeBatch | Gap | Roll]:
        """Every trade from now on."""
        return self._subscribe(self._provider.subscribe_trades, contract)

    def follow_trades(self, contract: Contract, *, fill: bool = True) -> BlockingSubscription[TradeBatch | Gap | Roll]:
        """The session's trades so far, then every one from now on, and after a roll the new month's."""
        return self._subscribe(self._provider.follow_trades, contract, fill=fill)

    def subscribe_quotes(self, contract: Contract) -> BlockingSubscription[Quote | Gap]:
        """Best bid and ask as they change."""
        return self._subscribe(self._provider.subscribe_quotes, contract)

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> BlockingSubscription[Bar | Gap]:
        """Closed bars as they close."""
        return self._subscribe(self._provider.subscribe_bars, contract, timeframe, backfill=backfill, hours=hours)

    def subscribe_summary(self, contract: Contract) -> BlockingSubscription[Summary]:
        """The day's figures."""
        return self._subscribe(self._provider.subscribe_summary, contract)

    def status(self) -> ProviderStatus:
        """State, counts and gaps, now."""
        return self._run(_call(self._provider.status))

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:
            self.disconnect()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.disconnect()

    def _subscribe(self, make: Callable[..., Subscription[T] | Following], *args: Any, **kwargs: Any) -> BlockingSubscription[T]:
        return BlockingSubscription(self, self._run(_call(make, *args, **kwargs)))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise UsageError(f"provider '{self.name}' was disconnected; blocking(provider) makes a new one of it")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while waiting: the request ends too
            raise


async def _settled() -> None:
    """Let whoever still waits in another thread get an answer before the loop stops: what ended by the disconnect, a cancellation otherwise."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, late = await asyncio.wait(others, timeout=_SETTLE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _call(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    return function(*args, **kwargs)


def _seen(coming: asyncio.Future[Any]) -> None:
    """How a wait that nobody takes up again came out is no news to anybody."""
    if not coming.cancelled():
        coming.exception()


class _Callable(ModuleType):
    """`from tastytrade_provider import blocking` gives the function, or this module once something imported it: both can be called."""

    def __call__(self, provider: DataProvider) -> BlockingProvider:
        return blocking(provider)


sys.modules[__name__].__class__ = _Callable
