"""Who streams a future is told when its product's front month moves on. The shell around `RollWatch`: it asks for the listing before each session's open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ..errors import MarketDataError
from ..model import Contract, Roll
from ..sessions import next_open
from .rolls import Month, RollWatch

_BEFORE_NS = 120 * 10**9  # so long before a session's open, the listing is asked which month is the front in it
_AGAIN_S = 300.0
_LONGEST_S = 60.0  # of one sleep: it does not count the time for which the machine itself slept, nor a clock that is set


class Rolling:
    """One task per product, from `watch` until `stop`.

    months  the listed months of a product, with the flag of the active one      put  takes each Roll
    sleep   waits; now_ns  UTC nanoseconds
    """

    def __init__(
        self,
        months: Callable[[str], Awaitable[Sequence[Month]]],
        put: Callable[[Roll], None],
        note: Callable[[str], object],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._months, self._put, self._note, self._sleep, self._now_ns = months, put, note, sleep, now_ns
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, contract: Contract) -> None:
        """From now on, for all months of this contract's product. Shares, indices and cryptocurrencies have none."""
        if contract.expiry is not None and contract.root not in self._tasks:
            self._tasks[contract.root] = task = asyncio.create_task(self._run(contract), name=f"rolls of {contract.root}")
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """No more."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _run(self, contract: Contract) -> None:
        watch = RollWatch(await self._listed(contract))
        self._judge(contract, partial(watch.advance, self._now_ns()))
        while True:
            open_ns = next_open(contract.calendar, self._now_ns())
            await self._until(open_ns - _BEFORE_NS)
            months = await self._listed(contract)
            self._judge(contract, partial(watch.update, months, self._now_ns()))
            await self._until(open_ns + 1)
            self._judge(contract, partial(watch.advance, self._now_ns()))

    def _judge(self, contract: Contract, judge: Callable[[], Sequence[Roll]]) -> None:
        """Tell the rolls there are; a listing that names no front month, as one with an expired flag, is noted, and the next one may."""
        try:
            rolls = judge()
        except MarketDataError as error:
            self._note(f"whether the front month of {contract.root} moves on is not known before the next session, so a roll may be told late: {error}")
            return
        for roll in rolls:
            self._note(f"the front month of {roll.old.root} is {roll.new.symbol} now, it was {roll.old.symbol}")
            self._put(roll)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note(f"{task.get_name()} are not told any more: {type(error).__name__}: {error}")

    async def _listed(self, contract: Contract) -> Sequence[Month]:
        while True:
            try:
                return await self._months(contract.root)
            except MarketDataError as error:
                self._note(f"the months of {contract.root} could not be listed, so a roll may be told late: {error}")
                await self._sleep(_AGAIN_S)

    async def _until(self, time_ns: int) -> None:
        while (left_ns := time_ns - self._now_ns()) > 0:
            await self._sleep(min(left_ns / 1e9, _LONGEST_S))
