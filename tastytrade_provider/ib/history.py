"""History over TWS: bars in pages backwards, trades in pages forwards, inside the pacing rules. Whatever fails is raised, never an empty answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NoData, ProtocolViolation, UsageError
from ..model import Contract, Timeframe, TradeBatch, check_contract
from ..provider import Time, time_ns
from ..sessions import DAY_NS, session_at, sessions_between
from . import frames
from .contracts import Listed
from .mapping import SECOND_NS, Row, row_of, trades_of
from .pacing import UNDER_WAY, Ask, Pacer
from .sizes import Size, check, size_for
from .wire import Wire

if TYPE_CHECKING:
    import pandas as pd

TICKS = 1000
"""Ticks that one request brings; the last second of them comes whole, so it may be some more."""
_BEFORE_NS = 30 * SECOND_NS  # quotes are fetched from so long before the first print, so that it has met one
_HALF_YEAR_NS = 180 * DAY_NS  # bars of 30 seconds and less are not kept longer


class History:
    """Bars and trades of the past. `wire` gives the connection, or raises ConnectionLost; `qualified` what IB calls a contract.

    excluded  prints of the past that were left out, by reason          waited_s  how long requests have waited for the pacing rules, in all
    """

    def __init__(self, wire: Callable[[], Wire], qualified: Callable[[Contract], Awaitable[Listed]]) -> None:
        self.excluded: dict[str, int] = {}
        self.waited_s = 0.0
        self.pacer = Pacer()
        self._heads_ns: dict[int, int] = {}  # by conId: they do not change
        self._wire, self._qualified = wire, qualified
        self._under_way = asyncio.Semaphore(UNDER_WAY)

    async def bars(self, contract: Contract, timeframe: str, start: Time, end: Time, hours: str, now_ns: int) -> pd.DataFrame:
        """The bars frame of [start, end) by bar start; `start` None: the session of `now_ns`, `end` None: up to now, with the bar that runs."""
        wanted = check(contract, timeframe, hours)
        start_ns, end_ns = bounds(contract, start, end, now_ns)
        rows = await self.rows(contract, wanted, start_ns, end_ns, is_now=end is None)
        found = frames.frame(contract, wanted, rows, start_ns, end_ns, hours)
        if not rows and was_open(contract, start_ns, min(end_ns, now_ns)):
            raise NoData(f"Interactive Brokers has no {wanted} bars of {contract.symbol} from {text(start_ns)} to {text(end_ns)}, while the market was open")
        return found

    async def rows(self, contract: Contract, timeframe: Timeframe, start_ns: int, end_ns: int, *, is_now: bool = False) -> list[Row]:
        """IB's bars of which the bars of a timeframe that start in [start_ns, end_ns) are made; with `is_now` up to IB's own now."""
        listed = await self._qualified(contract)
        grid = frames.grid_of(contract, timeframe, start_ns, end_ns)
        size = size_for(timeframe, grid.opens)
        last_ns = end_ns if is_now else grid.span(max(end_ns - 1, start_ns))[1]  # the last bar whole
        rows: dict[int, Row] = {}
        first, until_ns = True, last_ns
        while until_ns > start_ns and (until_ns := _last_close(contract, start_ns, until_ns)) > start_ns:
            page = await self._page(contract, listed, size, None if is_now and first else until_ns)
            rows |= {row.start_ns: row for row in page if start_ns <= row.start_ns and (is_now or row.start_ns < last_ns)}
            reached_ns = min((row.start_ns for row in page), default=until_ns)
            first, until_ns = False, reached_ns if reached_ns < until_ns else until_ns - size.duration_ns
        return [rows[at] for at in sorted(rows)]

    async def trades(self, contract: Contract, start: Time, end: Time, now_ns: int) -> TradeBatch:
        """The trades of [start, end), oldest first; times are whole seconds, sides from the quotes of that time."""
        start_ns, end_ns = bounds(contract, start, end, now_ns)
        listed = await self._qualified(contract)
        prints = await self._ticks(contract, listed, "TRADES", start_ns, end_ns)
        quotes = await self._ticks(contract, listed, "BID_ASK", start_ns - _BEFORE_NS, end_ns) if prints else []
        batch, left_out = trades_of(contract, prints, quotes)
        for reason, count in left_out.items():
            self.excluded[reason] = self.excluded.get(reason, 0) + count
        if len(batch) == 0 and was_open(contract, start_ns, min(end_ns, now_ns)):
            raise NoData(f"Interactive Brokers has no trades of {contract.symbol} from {text(start_ns)} to {text(end_ns)}, while the market was open")
        return batch[(batch.time_ns >= start_ns) & (batch.time_ns < end_ns)]

    async def earliest_ns(self, contract: Contract, timeframe: str, now_ns: int) -> int:
        """Where the first bar that IB has starts."""
        check_contract(contract)
        wanted = check(contract, timeframe, "eth")
        listed = await self._qualified(contract)
        if listed.ib.conId not in self._heads_ns:
            self._heads_ns[listed.ib.conId] = await self._head_ns(contract, listed)
        head_ns = self._heads_ns[listed.ib.conId]
        grid = frames.grid_of(contract, wanted, head_ns, head_ns)
        if size_for(wanted, grid.opens).ns <= 30 * SECOND_NS:
            head_ns = max(head_ns, now_ns - _HALF_YEAR_NS)
            grid = frames.grid_of(contract, wanted, head_ns, head_ns)
        return grid.span(head_ns)[0]

    async def _head_ns(self, contract: Contract, listed: Listed) -> int:
        wire = self._wire()
        subject = f"the first date of {contract.symbol}"

        def send(req_id: int) -> None:
            wire.client.reqHeadTimeStamp(req_id, listed.ib, "TRADES", False, 2)

        async with self._paced(Ask((listed.ib.conId, "head"), (listed.ib.conId, "head"))):
            found = await wire.ask(subject, send, cancel=wire.client.cancelHeadTimeStamp)
        if len(found) != 1 or not str(found[0]).isdigit():
            raise ProtocolViolation(f"Interactive Brokers' answer to {subject} is no time: {found}")
        return int(found[0]) * SECOND_NS

    async def _page(self, contract: Contract, listed: Listed, size: Size, until_ns: int | None) -> list[Row]:
        """IB's bars up to `until_ns`, None: now, as far as one request reaches; none where it says that there are none."""
        wire = self._wire()
        end = "" if until_ns is None else utc_text(until_ns)
        subject = f"bars of {size.setting} of {contract.symbol} up to {end or 'now'}"

        def send(req_id: int) -> None:
            wire.client.reqHistoricalData(req_id, listed.ib, end, size.duration, size.setting, "TRADES", False, 2, False, [])

        try:
            async with self._paced(Ask((listed.ib.conId, end, size), (listed.ib.conId, "TRADES")), is_paced=size.is_paced):
                bars = await wire.ask(subject, send, cancel=wire.client.cancelHistoricalData)
        except NoData:
            return []
        return readable(contract, bars)

    async def _ticks(self, contract: Contract, listed: Listed, what: str, start_ns: int, end_ns: int) -> list[Any]:
        """Ticks from `start_ns` on until `end_ns`, page by page. A page ends with a whole second; the next one begins with it, and takes its place."""
        found: list[Any] = []
        at_s, end_s = start_ns // SECOND_NS, -(-end_ns // SECOND_NS)
        while at_s < end_s:
            page = await self._tick_page(contract, listed, what, at_s)
            seconds = [int(tick.time.timestamp()) for tick in page]
            found += [tick for tick, second in zip(page, seconds, strict=True) if second < end_s]
            if not page:
                at_s = _next_open_s(contract, at_s)
            elif len(page) < TICKS or seconds[0] == seconds[-1]:
                at_s = seconds[-1] + 1
            else:
                at_s = seconds[-1]
                while found and int(found[-1].time.timestamp()) == at_s:
                    found.pop()
        return found

    async def _tick_page(self, contract: Contract, listed: Listed, what: str, at_s: int) -> list[Any]:
        wire = self._wire()
        start = utc_text(at_s * SECOND_NS)
        subject = f"{what} ticks of {contract.symbol} from {start}"

        def send(req_id: int) -> None:
            wire.client.reqHistoricalTicks(req_id, listed.ib, start, "", TICKS, what, False, False, [])

        ask = Ask((listed.ib.conId, what, start), (listed.ib.conId, what), weight=2 if what == "BID_ASK" else 1)
        try:
            async with self._paced(ask):
                return await wire.ask(subject, send)
        except NoData:
            return []

    @asynccontextmanager
    async def _paced(self, ask: Ask, *, is_paced: bool = True) -> AsyncIterator[None]:
        """Wait until the request may go out, and count it as under way."""
        async with self._under_way:
            if is_paced:
                await self._turn(ask)
            yield

    async def live_turn(self, listed: Listed, size: Size) -> None:
        """Wait until live bars of that size may be asked for: the rules count them as any other request for history."""
        if size.is_paced:
            await self._turn(Ask((listed.ib.conId, "live", size), (listed.ib.conId, "TRADES")))

    async def _turn(self, ask: Ask) -> None:
        while (wait_s := self.pacer.wait_s(ask, time.monotonic())) > 0:
            self.waited_s += wait_s
            await asyncio.sleep(wait_s)
        self.pacer.made(ask, time.monotonic())


def readable(contract: Contract, bars: list[Any]) -> list[Row]:
    """The rows of IB's bars in which something traded. Raises ProtocolViolation."""
    return [row for bar in bars if (row := row_of(contract, bar)) is not None]


def bounds(contract: Contract, start: Time, end: Time, now_ns: int) -> tuple[int, int]:
    """[start, end) as UTC nanoseconds. UsageError for a time without a zone, or a start that is not before the end."""
    check_contract(contract)
    end_ns = now_ns if end is None else time_ns(end, "end")
    start_ns = session_at(contract.calendar, min(now_ns, end_ns)).open_ns if start is None else time_ns(start, "start")
    if start_ns >= end_ns:
        raise UsageError(f"start {text(start_ns)} is not before end {text(end_ns)}{' (now, by the clock of TWS)' if end is None else ''}")
    return start_ns, end_ns


def was_open(contract: Contract, start_ns: int, end_ns: int) -> bool:
    """Whether the market was open at some time in [start_ns, end_ns)."""
    if start_ns >= end_ns:
        return False
    table = sessions_between(contract.calendar, start_ns, end_ns)
    return bool(((table.open_ns < end_ns) & (table.close_ns > start_ns)).any())


def text(at_ns: int) -> str:
    """A time for a message."""
    return f"{np.datetime64(at_ns, 'ns').astype('M8[s]')}Z"


def utc_text(at_ns: int) -> str:
    """A time as IB takes it, in UTC whatever zone TWS is set to.

    >>> utc_text(1_773_066_600_000_000_000)
    '20260309 14:30:00 UTC'
    """
    return f"{time.strftime('%Y%m%d %H:%M:%S', time.gmtime(at_ns // SECOND_NS))} UTC"


def _last_close(contract: Contract, start_ns: int, until_ns: int) -> int:
    """`until_ns`, or where the market was closed then, the last close before it: nothing is asked for a weekend."""
    table = sessions_between(contract.calendar, start_ns, until_ns)
    at = int(np.searchsorted(table.open_ns, until_ns, side="left")) - 1
    return min(until_ns, int(table.close_ns[at]))


def _next_open_s(contract: Contract, at_s: int) -> int:
    """The second at which the session after that one opens."""
    table = sessions_between(contract.calendar, at_s * SECOND_NS, at_s * SECOND_NS)
    return int(table.open_ns[table.index_at(at_s * SECOND_NS) + 1]) // SECOND_NS
