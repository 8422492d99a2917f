"""A contract's trades for a program that starts at any moment and stays: the session's so far, then live, and after a roll the new month's likewise."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from .errors import ConnectionLost, MarketDataError, NoData, NotSupported, RequestTimeout
from .model import Action, Array, Contract, Gap, Roll, TradeBatch
from .sessions import session_at

if TYPE_CHECKING:
    from .provider import DataProvider, SubscriptionStats

Item = TradeBatch | Gap | Roll

_THIN_NS: Final = 60 * 10**9  # a session's first trade may come this long after its open
_STRAGGLER_NS: Final = 60 * 10**9  # a live trade may come this late, behind others
_FILL_S: Final = 10.0  # how long the session's trades so far may take to come


class Following:
    """What `DataProvider.follow_trades` gives: `async for item in following`, or `following.on(callback)`.

    A trade that was both fetched and told live comes once. Where the session's trades cannot be fetched, a Gap comes before the first live one; where they were
    asked for over a connection that was lost, they are asked for once more before that. A Roll is followed by the new month's trades, and nothing more of the
    old one.

    since_ns    of the newest trade that a subscription before this one handed over: only what came after it is fetched
    contract    the one followed now; another after a Roll        problem     why there is nothing from before the subscription, in words; None: there is
    covered_ns  UTC ns from which on every trade was handed over, but for gaps told; None before the first
    """

    def __init__(self, provider: DataProvider, contract: Contract, *, fill: bool = True, since_ns: int | None = None) -> None:
        self.contract = contract
        self.problem: str | None = None
        self.covered_ns: int | None = None
        self._provider, self._fill, self._known_ns = provider, fill, since_ns
        self._live = provider.subscribe_trades(contract)
        self._waiting: deque[Item] = deque()
        self._has_begun = False
        self._lacks: tuple[int, str] | None = None  # since when trades are missing, and why: until the first live one
        self._unanswered: int | None = None  # how often the feed had reconnected when it did not answer
        self._next: Item | None = None  # a live item that waits for that
        self._filled: Array | None = None  # indices of the trades that were fetched, ascending, as long as a live one may be among them
        self._filled_ns = self._made_ns = 0  # exchange time of the newest of them, and of those that were made of lesser events: they have no index
        self._running: asyncio.Task[None] | None = None
        self._has_ended = False
        self._is_filled = asyncio.Event()
        self._dropped = 0  # of the months before

    async def ready(self) -> None:
        """Wait until the feed has accepted the subscription; raises what it refused it with."""
        await self._live.ready()

    async def filled(self) -> None:
        """After `on`: wait until what was before has been handed over, or is known not to be had. Raises what ended it."""
        assert self._running is not None
        waiting = asyncio.ensure_future(self._is_filled.wait())
        try:
            await asyncio.wait({self._running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._running.done():
            self._running.result()

    @property
    def stats(self) -> SubscriptionStats:
        """Of the live subscription; `dropped` of all months."""
        now = self._live.stats
        return replace(now, dropped=now.dropped + self._dropped) if self._dropped else now

    def on(self, callback: Callable[[Item], object]) -> Self:
        """Call `callback(item)` for each item. If it raises, that ends it, and `ended` raises it too."""
        self._running = asyncio.get_running_loop().create_task(self._run(callback), name=f"follow {self.contract.symbol}")
        self._running.add_done_callback(_seen)
        return self

    async def ended(self) -> None:
        """Wait until nothing more will come; raises the error that ended it."""
        if self._running is None:
            await self._live.ended()
        else:
            await asyncio.shield(self._running)

    def cancel(self) -> None:
        """End it; what waits is discarded."""
        self._has_ended = True
        self._waiting.clear()
        self._next = None
        self._live.cancel()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        if not self._has_begun:
            await self._begin()
        while not self._waiting:
            if self._next is None:
                self._next = await self._live.__anext__()
            await self._ask_again()
            item, self._next = self._next, None
            if item is not None:
                self._pass(item)
        return self._waiting.popleft()

    # -- the work

    async def _run(self, callback: Callable[[Item], object]) -> None:
        def take(item: Item) -> None:
            self._pass(item)
            while self._waiting:
                callback(self._waiting.popleft())

        while not self._has_begun and not self._has_ended:
            await self._begin()
            while self._waiting and not self._has_ended:
                callback(self._waiting.popleft())
            self._is_filled.set()
            live = self._live
            while self._lacks is not None and self._unanswered is not None:
                try:
                    item = await live.__anext__()
                except StopAsyncIteration:
                    break
                await self._ask_again()
                if self._has_ended:
                    break
                take(item)
            live.on(take)
            await live.ended()

    def _pass(self, item: Item) -> None:
        """A live item; what it means goes to those that wait to be handed over."""
        if isinstance(item, TradeBatch) and (self._filled is not None or self._lacks is not None or self.covered_ns is None):
            item = self._first(item)
            if len(item) == 0:
                return
        self._waiting.append(item)
        if isinstance(item, Roll):
            self._dropped += self._live.stats.dropped
            self._live.cancel()
            self.contract, self.covered_ns, self._known_ns, self._has_begun = item.new, None, None, False
            self._filled = self._lacks = self._unanswered = None
            self._live = self._provider.subscribe_trades(item.new)

    def _first(self, batch: TradeBatch) -> TradeBatch:
        """The first live trades: without those fetched before, and behind the gap that they end."""
        if self._filled is not None:
            if (batch.time_ns > self._filled_ns + _STRAGGLER_NS).all():
                self._filled = None
            else:
                at = np.minimum(np.searchsorted(self._filled, batch.index), len(self._filled) - 1)
                is_told = np.where(batch.index < 0, batch.time_ns <= self._made_ns, self._filled[at] == batch.index)
                batch = batch[(batch.action != Action.NEW) | ~is_told]
        new = batch.time_ns[batch.action == Action.NEW]
        if new.size:
            first_ns = int(new.min())
            if self._lacks is not None:
                (start_ns, why), self._lacks = self._lacks, None
                self._waiting.append(Gap(self.contract, min(start_ns, first_ns), first_ns + 1, why))
            if self.covered_ns is None:
                self.covered_ns = first_ns
        return batch

    async def _begin(self) -> None:
        """What was before. Cancelled meanwhile, it begins anew."""
        if self._fill:
            await self._fetch()
        elif self._known_ns is not None:
            self._lacks = self._known_ns, "connection lost"
        self._has_begun = True

    async def _ask_again(self) -> None:
        """What was before, if the feed did not answer because its connection was dead."""
        if self._lacks is not None and self._unanswered is not None and self._unanswered != self._provider.status().reconnects:
            await self._fetch()

    async def _fetch(self) -> None:
        provider, contract, known_ns = self._provider, self.contract, self._known_ns
        # of a market that is played, its own clock: ours may be in another session. A calendar may take a second to load
        opened_ns = (await asyncio.to_thread(session_at, contract.calendar, provider.now_ns())).open_ns
        start_ns, able = max(opened_ns, known_ns or 0), provider.capabilities
        try:
            if not able.historical_trades or not able.has_index:  # without numbers nobody could tell which trades are in both
                raise NotSupported(f"provider '{provider.name}' has no numbered trades of the past")
            await self._live.ready()  # what is told live begins before what is fetched ends
            async with asyncio.timeout(_FILL_S):
                found = await provider.historical_trades(contract, _stamp(start_ns))
        except (MarketDataError, TimeoutError) as error:
            if isinstance(error, NoData) and provider.playback is not None:
                return  # what is played begins with its first trade
            self.problem = f"trades before the {'subscription' if known_ns is None else 'reconnect'} could not be fetched: {error or 'no answer in time'}"
            self._lacks = start_ns, "no history" if known_ns is None else "connection lost"
            self._unanswered = provider.status().reconnects if isinstance(error, ConnectionLost | RequestTimeout | TimeoutError) else None
            return
        self.problem = self._lacks = self._unanswered = None
        self.covered_ns = opened_ns if known_ns is None else known_ns
        first_ns = int(found.time_ns.min()) if len(found) else None
        is_late = known_ns is None and (first_ns is None or first_ns - opened_ns > _THIN_NS)
        if is_late and (provider.playback is not None or provider.begins_in_doubt(contract)):  # what is played begins with its first trade
            self.covered_ns = first_ns
        if len(found) and not self._has_ended:
            self._filled, self._filled_ns = np.sort(found.index), int(found.time_ns.max())
            self._made_ns = int(found.time_ns[found.index < 0].max(initial=0))
            self._waiting.append(found)


def _seen(running: asyncio.Task[None]) -> None:
    """An error is raised by `ended`, and nobody need ask."""
    if not running.cancelled():
        running.exception()


def _stamp(time_ns: int) -> Any:
    import pandas as pd

    return pd.Timestamp(time_ns, unit="ns", tz="UTC")
