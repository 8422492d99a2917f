"""Live bars by the ladder of delta sources: of trades while TimeAndSale comes, else of candles once their sign is known, else of what trades can be inferred.

The listener sees one stream: a stage begins with the bar after the last one handed over, whichever source that was of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ..errors import FeedError
from ..model import Bar, Gap
from ..provider import Subscription
from .line import TradeSubscription

_LOOK_S = 0.5
_CONFIRM_S = 30.0  # so often candles are compared with inferred trades

Items = Subscription[Bar | Gap]


class Feed(Protocol):
    """Something that serves a listener to bars until it ends."""

    async def run(self) -> None:
        """Serve."""

    def close(self) -> None:
        """Nobody will call `run`."""


class LadderFeed:
    """One subscription of bars being served from whatever is the best: `run` until it ends.

    from_ns       from where on bars are wanted             note          told in a sentence what happened
    is_inferred   whether trades are made of lesser events  is_confirmed  asks whether the sign of the candles is known to be right
    make_trades, make_candles  a feed of bars for a listener, from a bar start on (UTC ns)
    watch         subscribes trades, so that TimeAndSale is asked for, and heard when it comes, while bars are of candles
    """

    def __init__(
        self,
        listener: Items,
        from_ns: int,
        make_trades: Callable[[Items, int], Feed],
        make_candles: Callable[[Items, int], Feed],
        watch: Callable[[], TradeSubscription],
        is_inferred: Callable[[], bool],
        is_confirmed: Callable[[], Awaitable[bool]],
        note: Callable[[str], object],
    ) -> None:
        self._listener, self._until_ns = listener, from_ns
        self._make_trades, self._make_candles, self._watch = make_trades, make_candles, watch
        self._is_inferred, self._is_confirmed, self._note = is_inferred, is_confirmed, note
        self._watching: TradeSubscription | None = None
        self._is_refused = False  # candles were not served when they were asked for
        self._asked_s = 0.0
        self._stage, self._feed = self._begin(make_trades)

    def close(self) -> None:
        """Nobody will call `run`."""
        self._feed.close()

    async def run(self) -> None:
        """Serve until the listener leaves or the feed ends. What ends it is the listener's to know."""
        error: Exception | None = None
        try:
            while await self._serve(self._wants_candles):
                self._note(f"{self._name}: bars are made of candles now, whose split agrees with the trades")
                self._stage, self._feed = self._begin(self._make_candles)
                if not await self._serve(self._wants_trades) and not self._was_refused():
                    break
                self._stage, self._feed = self._begin(self._make_trades)
                self._unwatch()  # the feed listens by itself
            error = self._stage.error
        except Exception as failure:  # whatever it was: bars that just stop would be a silent loss
            error = failure
        finally:
            self._unwatch()
            self._listener.end(error)

    @property
    def _name(self) -> str:
        return self._listener.contract.symbol

    def _begin(self, make: Callable[[Items, int], Feed]) -> tuple[Items, Feed]:
        stage: Items = Subscription(self._listener.contract)
        return stage.on(self._pass_on), make(stage, self._until_ns)

    async def _serve(self, is_done: Callable[[], Awaitable[bool]]) -> bool:
        """The stage that was begun, until another one is better (True), or there is nothing more to serve (False)."""
        task = asyncio.create_task(self._feed.run(), name=f"bars {self._name}, a stage")
        ready = asyncio.ensure_future(self._stage.ready())
        ready.add_done_callback(self._granted)
        try:
            while not (task.done() or self._listener.has_ended):
                await asyncio.wait({task}, timeout=_LOOK_S)
                if self._watching is not None and self._watching.has_ended:
                    self._stage.end(self._watching.error)
                    return False
                if not task.done() and await is_done():
                    self._watching = self._watching or self._watch()
                    return True
            return False
        finally:
            ready.cancel()
            self._stage.cancel()
            task.cancel()
            await asyncio.wait({task})

    def _was_refused(self) -> bool:
        """Whether it was candles that ended the stage, and trades can go on."""
        error = self._stage.error
        if not isinstance(error, FeedError) or self._watching is None or self._watching.has_ended:
            return False
        self._note(f"{self._name}: live candles are not served: {error}")
        self._is_refused = True
        return True

    def _granted(self, ready: asyncio.Future[None]) -> None:
        if not ready.cancelled() and ready.exception() is None and not self._stage.has_ended:
            self._listener.grant()

    def _pass_on(self, item: Bar | Gap) -> None:
        if isinstance(item, Bar):
            self._until_ns = max(self._until_ns, item.end_ns)
        self._listener.put(item)

    def _unwatch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _wants_candles(self) -> bool:
        now_s = asyncio.get_running_loop().time
        if self._is_refused or not self._is_inferred() or now_s() - self._asked_s < _CONFIRM_S:
            return False
        is_confirmed = await self._is_confirmed()
        self._asked_s = now_s()
        return is_confirmed

    async def _wants_trades(self) -> bool:
        return not self._is_inferred()
