"""What every source of market data offers: the DataProvider interface, its capabilities, its status, and the Subscription a consumer holds."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from .errors import NotSupported, UsageError
from .follow import Following
from .model import Bar, Contract, Gap, Quote, Roll, Summary, TradeBatch
from .pace import Pace

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Time = datetime | str | None
State = Literal["disconnected", "connecting", "connected", "reconnecting", "closed"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can serve.

    side_source   the best it can know of a trade's aggressor: exchange, quote, tick or none
    time_step_ns  the finest difference of two trades' times          has_index  whether trades are numbered, so that one can be corrected or withdrawn
    """

    trades: bool = False
    quotes: bool = False
    bars: bool = False
    summary: bool = False
    historical_bars: bool = False
    historical_trades: bool = False
    side_source: str = "none"
    max_trade_subscriptions: int | None = None
    time_step_ns: int = 1
    has_index: bool = True


@dataclass(slots=True)
class SubscriptionStats:
    """Counts since the subscription began: items and trades handed over, trades dropped because the consumer was slow, trades waiting now."""

    items: int = 0
    trades: int = 0
    dropped: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """A provider's health at one moment.

    since_ns       UTC ns at which `state` began            lag_ms   receive time minus exchange time of the newest trade, None before the first
    problem        why nothing can come now, in words; None while the feed stands, or was closed by the program
    attempts       how often it was tried in vain to bring a lost feed back; 0 once it is
    trades         rows that became trades                  rejected rows that could not be read: counted here, the latest kept raw in rejects
    duplicates     rows seen before, ignored                orphans  corrections and cancels of a trade never seen
    excluded       rows filtered by configuration, by reason sides   trades by side source
    delta_source   which kind of delta this is              token_level  what the login is entitled to ("api", "demo" = delayed)
    notes          what a user should know or do, in words  failed   callbacks that raised, and ended their subscription
    gaps           the latest that were told                gaps_open, gaps_filled   how many were told so far: those that nothing filled, and the others
    """

    state: State
    since_ns: int
    reconnects: int = 0
    lag_ms: float | None = None
    trades: int = 0
    rejected: int = 0
    duplicates: int = 0
    orphans: int = 0
    corrections: int = 0
    cancels: int = 0
    off_tick: int = 0
    off_step: int = 0
    excluded: dict[str, int] = field(default_factory=dict)
    sides: dict[str, int] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    gaps_open: int = 0
    gaps_filled: int = 0
    rejects: tuple[str, ...] = ()
    delta_source: str | None = None
    token_level: str | None = None
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    problem: str | None = None
    attempts: int = 0


class GapLog:
    """The gaps that a provider has told: the latest of them, and how many in all. `status()` as fields of a ProviderStatus.

    >>> es, log = Contract("ES", "/ESZ6"), GapLog()
    >>> for gap in (Gap(es, 1, 3, "connection lost", filled=True), Gap(es, 5, 7, "connection lost"), Gap(es, 8, 9, "connection lost")):
    ...     log.add(gap)
    >>> log.add(Gap(es, 5, 7, "connection lost", filled=True))  # later after all
    >>> log.status()["gaps_open"], log.status()["gaps_filled"], len(log.status()["gaps"])
    (1, 2, 4)
    """

    def __init__(self, kept: int = 100) -> None:
        self._latest: deque[Gap] = deque(maxlen=kept)
        self._open: deque[Gap] = deque(maxlen=kept)  # those that may still be filled
        self._counts = {"gaps_open": 0, "gaps_filled": 0}

    def add(self, gap: Gap) -> None:
        """One more."""
        self._latest.append(gap)
        if not gap.filled:
            self._open.append(gap)
            self._counts["gaps_open"] += 1
            return
        for known in [one for one in self._open if one.contract == gap.contract and gap.start_ns <= one.start_ns and one.end_ns <= gap.end_ns]:
            self._open.remove(known)
            self._counts["gaps_open"] -= 1
        self._counts["gaps_filled"] += 1

    def status(self) -> dict[str, Any]:
        """`gaps`, `gaps_open`, `gaps_filled`."""
        return {"gaps": tuple(self._latest), **self._counts}


def _weight(item: object) -> int:
    return len(item) if isinstance(item, TradeBatch) else 1


class Subscription(Generic[T]):
    """A stream of items for one consumer: `async for item in sub`, or `sub.on(callback)`.

    The buffer holds at most `capacity` trades (a quote or a bar counts as one). Full, a live feed drops what comes, counts it, and hands over one
    `Gap(reason="slow consumer")` for the stretch; a tape (`wait=True`) never drops: the provider stops reading until there is room.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        capacity: int = 100_000,
        wait: bool = False,
        on_cancel: Callable[[Subscription[T]], None] | None = None,
        on_room: Callable[[], None] | None = None,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        self.contract = contract
        self.stats = SubscriptionStats()
        self.capacity = capacity
        self.error: Exception | None = None
        self._wait = wait
        self._on_cancel, self._on_room, self._on_failure = on_cancel, on_room, on_failure
        self._items: deque[T | Gap] = deque()
        self._callback: Callable[[T], object] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] | None = None
        self._granted = self._ended = False
        self._missed: Gap | None = None

    # -- the consumer's side

    async def ready(self) -> None:
        """Wait until the feed has accepted the subscription; raises what it refused it with."""
        if self.error is not None:
            raise self.error
        if not (self._granted or self._ended):
            self._ready = self._ready or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ready)

    async def ended(self) -> None:
        """Wait until nothing more will come, however long that takes; raises the error that ended it, if one did."""
        if not self._ended:
            self._over = self._over or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)
        if self.error is not None:
            raise self.error

    def on(self, callback: Callable[[T], object]) -> Self:
        """Call `callback(item)` for each item, as it arrives. If it raises, this subscription ends and the provider's status tells."""
        self._callback = callback
        while self._items and self._callback is not None:
            self._call(self._take())
        return self

    def cancel(self) -> None:
        """End the subscription; what waits is discarded."""
        self._items.clear()
        self._missed = None
        self.stats.waiting = 0
        if not self._ended:
            self.end()
            if self._on_cancel:
                self._on_cancel(self)
            self._room()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                if self.error is not None:
                    raise self.error
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        item = self._take()
        self._count(item)
        return item

    async def __aenter__(self) -> Self:
        await self.ready()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()

    # -- the provider's side

    @property
    def is_full(self) -> bool:
        """True where a waiting feed should stop reading."""
        return self._wait and self.stats.waiting >= self.capacity

    @property
    def has_ended(self) -> bool:
        """True once nothing more will be put in."""
        return self._ended

    def grant(self) -> None:
        """The feed has accepted the request."""
        self._granted = True
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def put(self, item: T | Gap) -> None:
        """Hand an item over, or count it as dropped."""
        if self._ended:
            return
        if not self._wait and self.stats.waiting >= self.capacity and not isinstance(item, Gap | Roll):
            self._drop(item)
            return
        self._tell_missed()
        self._enqueue(item)

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes; the consumer reads what waits, then meets `error` or the end."""
        if self._ended:
            return
        self._tell_missed()
        self._ended, self.error = True, error
        if self._ready is not None and not self._ready.done():
            if error is not None:
                self._ready.set_exception(error)
                self._ready.exception()  # seen: whoever still waits gets it, and nobody need
            else:
                self._ready.set_result(None)
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        self._rouse()

    def _tell_missed(self) -> None:
        if self._missed is not None:
            gap, self._missed = self._missed, None
            self._enqueue(gap)

    def _enqueue(self, item: T | Gap) -> None:
        if self._ended:  # by the callback, with the item before
            return
        if self._callback is not None:
            self._call(item)  # type: ignore[arg-type]
            return
        self._push(item)

    def _push(self, item: T | Gap) -> None:
        self._items.append(item)
        self.stats.waiting += _weight(item)
        self._rouse()

    def _take(self) -> T:
        item = self._items.popleft()
        self.stats.waiting -= _weight(item)
        if not self._items and self._missed is not None:  # there is room again: the stretch is over
            gap, self._missed = self._missed, None
            self._push(gap)
        self._room()
        return item  # type: ignore[return-value]

    def _call(self, item: T) -> None:
        assert self._callback is not None
        self._count(item)
        try:
            self._callback(item)
        except Exception as error:  # a consumer's fault must not reach the feed: it ends here and is shown in status
            self._callback = None
            self.cancel()
            self.error = error
            if self._on_failure:
                self._on_failure(error)

    def _count(self, item: T | Gap) -> None:
        self.stats.items += 1
        if isinstance(item, TradeBatch):
            self.stats.trades += len(item)

    def _drop(self, item: T) -> None:
        if isinstance(item, TradeBatch):
            if len(item) == 0:
                return
            start, end = int(item.time_ns.min()), int(item.time_ns.max()) + 1
        else:
            start = int(getattr(item, "time_ns", 0) or getattr(item, "start_ns", 0))
            end = start + 1
        self.stats.dropped += _weight(item)
        if self._missed is not None:
            start, end = min(start, self._missed.start_ns), max(end, self._missed.end_ns)
        self._missed = Gap(self.contract, start, end, "slow consumer")

    def _room(self) -> None:
        if self._on_room and self.stats.waiting <= self.capacity // 2:
            self._on_room()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


async def all_ended(subscriptions: Iterable[Subscription[Any] | Following]) -> None:
    """Wait until every one of them has ended; raises the first error that ended one."""
    await asyncio.gather(*(subscription.ended() for subscription in subscriptions))


class DataProvider(ABC):
    """A source of market data. Times given as `start` and `end` are aware datetimes or ISO text with a zone; ranges are [start, end) by bar start.

    A method a feed cannot serve raises NotSupported and says so in `capabilities`.
    """

    name: str
    capabilities: Capabilities
    progress: Callable[[str, int, float], None] | None = None
    """Set it to be told how a long history comes along: (what, rows so far, share of the range that is here, 0 to 1). None: nobody is told."""
    playback: Pace | None = None
    """The pace of a feed that is played: it can be paused. None: the market's own."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """True while data can arrive."""

    @abstractmethod
    async def connect(self) -> None:
        """Log in and open the feed. Raises FeedError or ConfigError."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close the feed and end every subscription. Calling it twice does no harm."""

    @abstractmethod
    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names: "ES" (front month), "ESZ6", "/ESZ6", "/ESZ26:XCME", "MNQ". Raises UnknownContract or AmbiguousContract."""

    @abstractmethod
    async def contracts(self, root: str) -> list[Contract]:
        """The listed contracts of a product, nearest expiry first."""

    @abstractmethod
    def status(self) -> ProviderStatus:
        """State, counts and gaps, now."""

    def now_ns(self) -> int:
        """The clock that this feed's history goes by, UTC nanoseconds: ours, or that of the market it plays."""
        return time.time_ns()

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """The bars frame of a range. Raises NoData where the market was open and nothing came."""
        raise self._lacks("historical bars")

    async def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        """The trades of a range, oldest first; `start` None: the current session. Raises NoData where the market was open and nothing came."""
        raise self._lacks("historical trades")

    def begins_in_doubt(self, contract: Contract) -> bool:
        """Whether the contract's last `historical_trades` may lack trades before its first one, because nothing tells that there were none."""
        return False

    async def earliest(self, contract: Contract, timeframe: str = "1d") -> pd.Timestamp:
        """The start of the first bar the feed has."""
        raise self._lacks("the first date of a history")

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        """Every trade from now on, in batches, with gaps and rolls in the same stream."""
        raise self._lacks("trades")

    def follow_trades(self, contract: Contract, *, fill: bool = True) -> Following:
        """`subscribe_trades` for a program that starts at any moment and stays: first the session's trades so far (not with `fill=False`), and after a Roll
        the new month's trades in the same way. What CVD and the first bar need in order to be right.
        """
        return Following(self, contract, fill=fill)

    def subscribe_quotes(self, contract: Contract) -> Subscription[Quote | Gap]:
        """Best bid and ask as they change."""
        raise self._lacks("quotes")

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> Subscription[Bar | Gap]:
        """Closed bars as they close, after `backfill` of history."""
        raise self._lacks("bars")

    def subscribe_summary(self, contract: Contract) -> Subscription[Summary]:
        """The day's figures as they change."""
        raise self._lacks("summaries")

    def _lacks(self, what: str) -> NotSupported:
        return NotSupported(f"provider '{self.name}' does not serve {what}")

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.disconnect()


def time_ns(value: datetime | str, name: str = "time") -> int:
    """UTC nanoseconds of an aware datetime, pandas Timestamp or ISO text with a zone; a naive one is a UsageError."""
    import pandas as pd

    try:
        stamp = pd.Timestamp(value).as_unit("ns")
        if pd.isna(stamp):
            raise ValueError
    except (ValueError, TypeError):
        raise UsageError(f"{name} {value!r} is no time; an aware datetime or ISO text such as '2026-11-20T14:30:00Z' is accepted") from None
    if stamp.tz is None:
        raise UsageError(f"{name} {value!r} has no time zone; write e.g. '{stamp.isoformat()}Z' or pass an aware datetime")
    return int(stamp.value)


def backfill_start(backfill: datetime | timedelta | None, now_ns: int) -> int | None:
    """Where a backfill starts, UTC ns; None where none is wanted. UsageError for one that lies ahead, or a time without a zone."""
    if backfill is None:
        return None
    start_ns = now_ns - backfill // timedelta(microseconds=1) * 1000 if isinstance(backfill, timedelta) else time_ns(backfill, "backfill")
    if start_ns > now_ns:
        raise UsageError(f"backfill {backfill!r} lies ahead; a time that has passed, or a timedelta above 0, is accepted")
    return start_ns
