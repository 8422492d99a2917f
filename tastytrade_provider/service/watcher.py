"""The feed kept up: connect, watch every contract, fetch what was before, and begin again where that ends. What fails is told and tried again."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from ..errors import ConnectionLost, MarketDataError
from ..follow import Following, Item
from ..model import Contract, Roll
from ..provider import DataProvider
from ..sessions import session_at
from .market import Market

_READY_S: Final = 10.0  # how long a subscription may take to be accepted
_WAIT_S: Final = (0.5, 60.0)  # least and most between two attempts

log = logging.getLogger(__name__)


class Watcher:
    """Brings a provider's trades to the markets, for as long as `run` runs.

    market        makes, or finds, the Market of a contract under the name it was asked for
    heard         told the name whenever a trade or a quote came
    can_fill      whether trades from before the subscription may be asked for; not where a recording is played
    problem       why there is no feed, in words       attempts   since it was last up, `attempts_ever` of all
    has_ended     a tape or a recording is over
    """

    def __init__(
        self,
        provider: DataProvider,
        symbols: Sequence[str],
        market: Callable[[str, Contract], Awaitable[Market]],
        heard: Callable[[str], None],
        *,
        can_fill: bool,
        wall_ns: Callable[[], int],
    ) -> None:
        self.problem: str | None = None
        self.attempts: int = 0
        self.attempts_ever: int = 0
        self.has_ended = False
        self._provider, self._symbols, self._market, self._heard = provider, symbols, market, heard
        self._can_fill, self._wall_ns = can_fill, wall_ns
        self._followed: list[Following] = []
        self._dropped = 0

    @property
    def queued(self) -> int:
        """Trades handed over by the provider and not entered yet."""
        return sum(following.stats.waiting for following in self._followed)

    @property
    def dropped(self) -> int:
        """Trades the provider dropped because this service was slow."""
        return self._dropped + sum(following.stats.dropped for following in self._followed)

    async def run(self) -> None:
        """Until a tape ends, or it is cancelled."""
        while not self.has_ended:
            try:
                await self._provider.connect()
                await self._watch()
                self.attempts, self.problem = 0, None
                await self._until_one_ends()
            except Exception as error:  # whatever a provider raises, the host goes on: shown, and tried again
                self._note(error)
            if self.has_ended:
                break
            await self.disconnect()
            self.attempts += 1
            self.attempts_ever += 1
            await asyncio.sleep(min(_WAIT_S[1], _WAIT_S[0] * 2.0 ** min(self.attempts, 10)))

    async def disconnect(self) -> None:
        """Close the feed."""
        self._dropped = self.dropped
        self._followed = []
        try:
            await self._provider.disconnect()
        except Exception as error:  # as in `run`
            self._note(error)

    async def _watch(self) -> None:
        problems = []
        for name in self._symbols:
            try:
                await self._watch_one(name)
            except MarketDataError as error:  # one contract's trouble is not the others'
                problems.append(f"{name}: {error}")
        if not self._followed:
            raise ConnectionLost("; ".join(problems) or "no symbol is configured")
        if problems:
            log.warning("not watched: %s", "; ".join(problems))

    async def _watch_one(self, name: str) -> None:
        contract = await self._provider.resolve(name)
        await asyncio.to_thread(session_at, contract.calendar, self._wall_ns())  # its calendar may take a second to load
        market = await self._market(name, contract)
        following = Following(self._provider, contract, fill=self._can_fill, since_ns=market.last_ns)
        async with asyncio.timeout(_READY_S):
            await following.ready()
        self._followed.append(following)
        following.on(partial(self._take, market, following))
        try:
            await following.filled()
        finally:
            market.has_begun.set()
        market.problem = following.problem
        self._listen(name, contract)

    def _listen(self, name: str, contract: Contract) -> None:
        """To quotes, which only show that the feed is alive."""
        if self._provider.capabilities.quotes:
            with suppress(MarketDataError):
                self._provider.subscribe_quotes(contract).on(lambda _: self._heard(name))

    def _take(self, market: Market, following: Following, item: Item) -> None:
        self._heard(market.name)
        market.add(item)
        if isinstance(item, Roll):
            self._listen(market.name, item.new)
        elif following.covered_ns is not None and (market.covered_ns is None or following.covered_ns < market.covered_ns):
            market.covered_ns = following.covered_ns

    async def _until_one_ends(self) -> None:
        """Raises what ended it. Where all end without an error, a tape or a recording is over."""
        ends = [asyncio.ensure_future(following.ended()) for following in self._followed]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_EXCEPTION)
            for end in ends:
                if end.done():
                    end.result()
            self.has_ended = True
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    def _note(self, error: Exception) -> None:
        """For status and log. Only our own errors promise to hold no secret: of others the kind and the place are told."""
        ours = isinstance(error, MarketDataError)
        self.problem = str(error) if ours else "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        where = "" if ours else "\n" + "".join(traceback.format_tb(error.__traceback__))
        log.warning("the feed of provider '%s' failed: %s%s", self._provider.name, self.problem, where)
