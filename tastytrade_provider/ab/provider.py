"""AbProvider: the primary's own subscriptions, seen in passing; the shadow beside it; and the shadow in its place while it is down."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import FeedError, UnknownProvider, UsageError
from ..migration import Comparison, Result, thresholds
from ..model import Bar, Contract, Gap, Quote, Roll, Summary, TradeBatch
from ..pace import Pace
from ..provider import Capabilities, DataProvider, ProviderStatus, Subscription, Time
from ..registry import available, create_provider
from ..settings import Settings
from .pipe import Watch
from .shadow import Shadow

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_LOOK_S = 0.25


def create(settings: Settings) -> AbProvider:
    """The factory the registry calls. UsageError where `ab.primary` or `ab.shadow` is ab itself or no provider, or a threshold is none."""
    if "ab" in (settings.ab.primary, settings.ab.shadow):
        raise UsageError("ab.primary and ab.shadow name two other providers; 'ab' cannot be one of them")
    if ":" not in settings.ab.shadow and settings.ab.shadow not in (known := available()):
        raise UnknownProvider(f"ab.shadow: no provider is named {settings.ab.shadow!r}; known: {', '.join(known)}, or package.module:Class")
    return AbProvider(create_provider(_plain(settings, settings.ab.primary)), settings)


class AbProvider(DataProvider):
    """The primary serves the program untouched: its own methods, its own Subscription objects. Each trade, quote and bar subscription is mirrored in the
    shadow, which lives in a process of its own: it cannot slow or break anything here, and what happens to it is recorded.

    `report()` tells the differences so far. With `ab.failover_s` the shadow serves a subscription whose primary is down, or silent while the shadow is not,
    for longer: a Gap whose reason begins with "failover" marks where it begins and ends, and `status().notes` says who serves. Trades that both had are not
    handed over twice. Requests for history and contracts are always the primary's.

    A shadow registered with `register_provider` is not known in the other process; a name of ours, a plugin's or package.module:Class is.
    """

    def __init__(self, primary: DataProvider, settings: Settings) -> None:
        self.primary = primary
        self.name = "ab"
        self.labels = _labels(settings.ab.primary, settings.ab.shadow)
        self.limits = thresholds(settings.ab.thresholds)
        self.shadow = Shadow(_plain(settings, settings.ab.shadow), self.labels, self._serve)
        self._settings = settings
        self._failover_s = settings.ab.failover_s
        self._streams: dict[int, _Tapped] = {}
        self._keys = itertools.count(1)
        self._names: dict[str, float] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._getting_ready: set[asyncio.Task[None]] = set()

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # an attribute elsewhere; here it is the primary's
        """The primary's."""
        return self.primary.capabilities

    @property
    def playback(self) -> Pace | None:  # type: ignore[override]  # as above
        """The primary's."""
        return self.primary.playback

    @property
    def is_connected(self) -> bool:
        """True while data can arrive from the primary, or the shadow serves in its place."""
        return self.primary.is_connected or self.serving == self.labels[1]

    @property
    def serving(self) -> str:
        """Who serves: the primary's label, or the shadow's while it stands in for at least one subscription."""
        return self.labels[1] if any(stream.serving for stream in self._streams.values()) else self.labels[0]

    async def connect(self) -> None:
        """Connect the primary; the shadow starts on its own and is not waited for."""
        await self.primary.connect()
        self.shadow.start()
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._look(), name="a/b")

    async def disconnect(self) -> None:
        """Close both. The shadow is given some seconds for its last word."""
        owned = [task for task in (self._watcher, *self._getting_ready) if task is not None]
        self._watcher = None
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)
        await self.shadow.stop()
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        await self.primary.disconnect()

    # -- the primary's

    async def resolve(self, symbol: str) -> Contract:
        """The primary's contract. The shadow looks for the same dated month."""
        return await self.primary.resolve(symbol)

    async def contracts(self, root: str) -> list[Contract]:
        """The primary's."""
        return await self.primary.contracts(root)

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """The primary's."""
        return await self.primary.historical_bars(contract, timeframe, start, end, hours=hours)

    async def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        """The primary's."""
        return await self.primary.historical_trades(contract, start, end)

    def begins_in_doubt(self, contract: Contract) -> bool:
        """As the primary says."""
        return self.primary.begins_in_doubt(contract)

    async def earliest(self, contract: Contract, timeframe: str = "1d") -> pd.Timestamp:
        """The primary's."""
        return await self.primary.earliest(contract, timeframe)

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        """The primary's subscription, mirrored in the shadow."""
        return self._tapped(self.primary.subscribe_trades(contract), Watch(next(self._keys), "trades", contract))

    def subscribe_quotes(self, contract: Contract) -> Subscription[Quote | Gap]:
        """The primary's subscription, mirrored in the shadow."""
        return self._tapped(self.primary.subscribe_quotes(contract), Watch(next(self._keys), "quotes", contract))

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> Subscription[Bar | Gap]:
        """The primary's subscription, mirrored in the shadow without its backfill."""
        subscription = self.primary.subscribe_bars(contract, timeframe, backfill=backfill, hours=hours)
        return self._tapped(subscription, Watch(next(self._keys), "bars", contract, timeframe, hours))

    def subscribe_summary(self, contract: Contract) -> Subscription[Summary]:
        """The primary's; summaries are not compared."""
        return self.primary.subscribe_summary(contract)

    def now_ns(self) -> int:
        """The clock of the provider that serves bars."""
        return self.primary.now_ns()

    def status(self) -> ProviderStatus:
        """The primary's, with what befell the shadow and who serves in `notes`."""
        status = self.primary.status()
        notes = [f"shadow {self.labels[1]}: {text}" for _, text in list(self.shadow.faults)[-5:]]
        notes += [f"failover: {self.labels[1]} serves {stream.watch.kind} of {stream.watch.name}" for stream in self._streams.values() if stream.serving]
        return replace(status, notes=(*status.notes, *notes))

    # -- the comparison

    def report(self) -> list[Result]:
        """The differences so far, one result for each contract (and timeframe of bars), as of the shadow's last word, which is at most some seconds old."""
        comparisons: dict[str, Comparison] = pickle.loads(self.shadow.state) if self.shadow.state else {}
        reconnects = self.primary.status().reconnects
        for name, tick_size in self._names.items():
            comparison = comparisons.setdefault(name, Comparison(name, tick_size, self.labels, limits=self._settings.ab.thresholds))
            for at_ns, text in self.shadow.faults:
                comparison.note(1, "fault", text, at_ns)
            if reconnects:
                comparison.note(0, "reconnect", f"{reconnects} reconnects", n=reconnects)
            if self.shadow.dropped:
                text = f"{self.shadow.dropped} items of all contracts were not compared: the shadow's process did not read them in time"
                comparison.note(0, "dropped", text, n=self.shadow.dropped)
        return [comparison.result() for _, comparison in sorted(comparisons.items())]

    async def fresh_report(self, timeout_s: float = 5.0) -> list[Result]:
        """`report()` with everything up to now; as of the last word where the shadow does not answer in time."""
        await self.shadow.ask(timeout_s)
        return self.report()

    # -- the work

    def _tapped(self, subscription: Subscription[T], watch: Watch) -> Subscription[T]:
        step_ns = self.primary.capabilities.time_step_ns
        stream = self._streams[watch.key] = _Tapped(subscription, watch, self.shadow, self.labels, step_ns, keeps_open=self._failover_s is not None)
        self._names[watch.name] = watch.contract.tick_size
        self.shadow.watch(watch)
        task = asyncio.get_running_loop().create_task(self._when_ready(stream))
        self._getting_ready.add(task)
        task.add_done_callback(self._getting_ready.discard)
        return subscription

    async def _when_ready(self, stream: _Tapped) -> None:
        with suppress(Exception):  # a refusal is the program's to see, where it waits for the subscription
            await stream.subscription.ready()
            self.shadow.ready(stream.watch.key)

    async def _look(self) -> None:
        """Notice what has ended, and who is down."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now_ns = time.monotonic_ns()
            for key, stream in list(self._streams.items()):
                if stream.subscription.has_ended:
                    del self._streams[key]
                    self.shadow.unwatch(key)
                elif self._failover_s is not None:
                    stream.judge(now_ns, int(self._failover_s * 1e9), self.primary.is_connected, self.shadow.beat_of(key))

    def _serve(self, items: list[tuple[int, Any]]) -> None:
        for key, item in items:
            if key in self._streams:
                self._streams[key].stand_in(item)


class _Tapped:
    """A subscription of the primary's whose items are also passed on to the shadow's process, and which the shadow may serve.

    The program holds the primary's own object, with its buffer, its waiting and its errors: only what the provider calls on it, `put` and `end`, goes through
    here first. `step_ns` is how fine the primary's exchange times are: of the last step, both may have trades.
    """

    def __init__(self, subscription: Subscription[Any], watch: Watch, shadow: Shadow, labels: tuple[str, str], step_ns: int, *, keeps_open: bool) -> None:
        self.subscription, self.watch, self._shadow, self._labels, self._keeps_open = subscription, watch, shadow, labels, keeps_open
        self.serving = False
        self._step_ns = step_ns
        self._over: FeedError | None = None  # why the primary cannot come back
        self._alone_since_ns: int | None = None  # since when neither can serve
        self._life = 0  # the shadow's, that serves
        self._put, self._end = subscription.put, subscription.end
        self._arrived_ns = time.monotonic_ns()
        self._down_since_ns: int | None = None
        self._last_ns = 0  # exchange time of what was handed over last
        self._had_ns = 0  # up to which that was the primary's
        subscription.put, subscription.end = self._from_primary, self._ended  # type: ignore[method-assign]  # seen in passing, see above

    def close(self) -> None:
        """Let the subscription be the primary's alone again."""
        self.subscription.put, self.subscription.end = self._put, self._end  # type: ignore[method-assign]
        if self._over is not None:
            self._end()

    def judge(self, now_ns: int, patience_ns: int, is_connected: bool, beat_ns: int) -> None:
        """Let the shadow serve where the primary has been down for too long, or silent while the shadow was not. End it where neither can serve."""
        if self._over is None or beat_ns:
            self._alone_since_ns = None
        elif self._alone_since_ns is None:
            self._alone_since_ns = now_ns
        elif now_ns - self._alone_since_ns > patience_ns:
            self._end(self._over)
        if self.serving:
            return
        if is_connected and self._over is None:
            self._down_since_ns = None
        elif self._down_since_ns is None:
            self._down_since_ns = now_ns
        is_down = self._down_since_ns is not None and now_ns - self._down_since_ns > patience_ns
        if beat_ns and (is_down or self._over is not None or beat_ns - self._arrived_ns > patience_ns):
            self.serving, self._life = True, self._shadow.lives
            self._put(self._mark(self._last_ns + max(self._step_ns, self._shadow.step_ns), f"failover: {self._labels[1]} serves"))
            self._had_ns = self._last_ns = self._last_ns + self._step_ns - 1
            self._shadow.serve(self.watch.key, self._had_ns)

    def stand_in(self, item: Any) -> None:
        """An item of the shadow's."""
        if not self.serving or (isinstance(item, Bar) and item.start_ns <= self._had_ns):
            return
        if isinstance(item, TradeBatch):
            item = item[item.time_ns > self._had_ns]
            if len(item) == 0:
                return
        if self._life != self._shadow.lives:
            self._life = self._shadow.lives
            first = int(item.time_ns.min()) if isinstance(item, TradeBatch) else _time_of(item)
            self._put(self._mark(first, f"failover: {self._labels[1]} serves again after it was started again"))
        self._last_ns = max(self._last_ns, _time_of(item) + self._shadow.step_ns - 1)
        self._put(item)

    def _from_primary(self, item: Any) -> None:
        if not self.serving:
            self._put(item)
            if self._keeps_open:
                self._last_ns = max(self._last_ns, _time_of(item))
        elif not isinstance(item, Gap | Roll):
            self._hand_back(item)
        self._arrived_ns = time.monotonic_ns()
        self._shadow.pass_on(self.watch.key, item)

    def _hand_back(self, item: Any) -> None:
        """The primary is there again: from its first item that the shadow has not served."""
        newer = item[item.time_ns > self._last_ns] if isinstance(item, TradeBatch) else item
        if (isinstance(item, TradeBatch) and len(newer) == 0) or (isinstance(item, Bar) and item.start_ns <= self._last_ns):
            return
        self.serving = False
        self._down_since_ns = None
        self._shadow.rest(self.watch.key)
        first = int(newer.time_ns.min()) if isinstance(newer, TradeBatch) else _time_of(newer)
        self._put(self._mark(max(first, self._last_ns + 1), f"failover over: {self._labels[0]} serves again"))
        self._last_ns = max(self._last_ns, _time_of(newer))
        self._put(newer)

    def _ended(self, error: Exception | None = None) -> None:
        if self._keeps_open and isinstance(error, FeedError):
            self._over = error
        else:
            self._end(error)

    def _mark(self, end_ns: int, reason: str) -> Gap:
        return Gap(self.watch.contract, self._last_ns, max(end_ns, self._last_ns + 1), reason)


def _time_of(item: Any) -> int:
    """Exchange time of an item's newest part; of a bar its start."""
    if isinstance(item, TradeBatch):
        return int(item.time_ns.max()) if len(item) else 0
    return item.start_ns if isinstance(item, Bar) else item.time_ns if isinstance(item, Quote) else 0


def _plain(settings: Settings, name: str) -> Settings:
    """The settings for one of the two. A journal is one provider's at a time, and the shadow's process must not take it."""
    journal = settings.journal if name == settings.ab.primary else settings.journal.model_copy(update={"enabled": False})
    return settings.model_copy(update={"data_provider": name, "delta_provider": None, "delta_columns": False, "journal": journal})


def _labels(primary: str, shadow: str) -> tuple[str, str]:
    names = primary.rpartition(":")[2], shadow.rpartition(":")[2]
    return names if names[0] != names[1] else (f"{names[0]} (primary)", f"{names[1]} (shadow)")
