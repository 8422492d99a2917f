"""History as IB serves it, from any provider's bars; and bars that go on from it, from the provider's trades."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pandas as pd

from ..bars import BarBuilder
from ..errors import FeedError, NoData, NotSupported
from ..model import Bar, Contract, Timeframe, Trade, TradeBatch
from ..provider import DataProvider
from .bars import Grid, Row, gathered, joined, row_of, rows_of, size_named, start_of
from .hours import SECOND_NS
from .ticks import new_trades

_MINUTE: Final = Timeframe.parse("1m")
_SECOND: Final = Timeframe.parse("1s")
_HOUR_NS: Final = 3600 * SECOND_NS
_FARTHEST_NS: Final = 96 * _HOUR_NS  # back to which the last prints before a time are looked for: over a long weekend
_SETTLED_NS: Final = 2 * SECOND_NS  # a bar this long over has all its trades


@dataclass(frozen=True)
class Query:
    """reqHistoricalData, its arguments read. `end_ns` None: now."""

    contract: Contract
    size: str
    duration: str
    end_ns: int | None
    use_rth: bool

    @property
    def grid(self) -> Grid:
        """Where its bars lie."""
        return Grid(size_named(self.size), self.contract.calendar, self.use_rth)


class Past:
    """A provider's history, on IB's grid. `now_ns` is the feed's clock, UTC nanoseconds."""

    def __init__(self, provider: DataProvider, now_ns: Callable[[], int]) -> None:
        self.provider, self.now_ns = provider, now_ns

    async def bars(self, query: Query) -> list[Row]:
        """The bars of a query, ascending, the last one as far as the trades go. Empty where the market was closed; NoData where it was open."""
        grid, now_ns = query.grid, self.now_ns()
        end_ns = now_ns if query.end_ns is None else query.end_ns
        start_ns = start_of(query.duration, end_ns, query.contract.calendar, query.use_rth)
        if start_ns >= end_ns:
            return []
        if not grid.size.is_intraday:
            start_ns = grid.opened(start_ns)  # the whole of the first week or month that is reached
        is_cut = query.end_ns is not None and end_ns < now_ns and grid.start(end_ns) is not None and grid.start(end_ns) == grid.start(end_ns - 1)
        if not is_cut:
            return await self._made(query.contract, grid, start_ns, query.end_ns)
        opened_ns = max(grid.opened(end_ns), start_ns)  # the last bar as it stood then
        whole = await self._made(query.contract, grid, start_ns, opened_ns) if start_ns < opened_ns else []
        part = _MINUTE if not grid.size.is_intraday or grid.size.ns > _MINUTE.ns else _SECOND
        last = await self.parts(query.contract, part, opened_ns, end_ns - end_ns % part.ns)
        return whole + gathered(last, grid)

    async def _made(self, contract: Contract, grid: Grid, start_ns: int, end_ns: int | None) -> list[Row]:
        part = grid.parts(start_ns if end_ns is None else end_ns)
        until = None if end_ns is None else _stamp(end_ns)
        rows = rows_of(await self.provider.historical_bars(contract, str(part), _stamp(start_ns), until))
        return gathered(rows, grid)

    async def trades_from(self, contract: Contract, start_ns: int, number: int, grid: Grid) -> list[Trade]:
        """The first `number` prints from a time on, and the rest of the last one's second. NoData where the feed does not go back that far."""
        found: list[Trade] = []
        now_ns, reach_ns = self.now_ns(), _HOUR_NS
        while start_ns < now_ns:
            end_ns = min(start_ns + reach_ns, now_ns)
            found += await self._trades(contract, start_ns, None if end_ns == now_ns else end_ns, grid)
            if len(found) >= number:
                last_s = found[number - 1].time_ns // SECOND_NS
                return [trade for i, trade in enumerate(found) if i < number or trade.time_ns // SECOND_NS == last_s]
            start_ns, reach_ns = end_ns, 2 * reach_ns
        return found

    async def trades_before(self, contract: Contract, end_ns: int, number: int, grid: Grid) -> list[Trade]:
        """The last `number` prints before a time, or as many as the feed goes back to. NoData where it has none."""
        end_ns = min(end_ns, self.now_ns())
        reach_ns, found, lacking = _MINUTE.ns, list[Trade](), None
        while len(found) < number and reach_ns <= _FARTHEST_NS:
            try:
                found = await self._trades(contract, end_ns - reach_ns, end_ns, grid)
            except NoData as error:  # nobody traded, or the feed does not go back that far
                lacking = error
            reach_ns *= 4
        if lacking is not None and not found:
            raise lacking
        return found[-number:]

    async def _trades(self, contract: Contract, start_ns: int, end_ns: int | None, grid: Grid) -> list[Trade]:
        batch = await self.provider.historical_trades(contract, _stamp(start_ns), None if end_ns is None else _stamp(end_ns))
        return [trade for trade in new_trades(batch) if grid.start(trade.time_ns) is not None]

    async def parts(self, contract: Contract, part: Timeframe, start_ns: int, end_ns: int) -> list[Row]:
        """Small bars of [start, end); none where the feed has none."""
        if start_ns >= end_ns:
            return []
        try:
            return rows_of(await self.provider.historical_bars(contract, str(part), _stamp(start_ns), _stamp(end_ns)))
        except NoData:
            return []


class Growing:
    """Bars that go on: those before `from_ns` come from history, those after it from trades, and no trade is in both.

    `begin` once the trade subscription stands; then `add` what it hands over. Answers are bars of IB's grid that are new or have changed, in order.
    Bars whose beginning nobody can tell any more are asked for again once they are over: see `mend`.
    """

    def __init__(self, past: Past, query: Query) -> None:
        self.past, self.query, self.grid = past, query, query.grid
        size = self.grid.size
        self.part = size if size.is_intraday and size.ns <= _MINUTE.ns else _MINUTE
        self.from_ns = 0
        self._has_begun = False
        self._builder = BarBuilder(query.contract, self.part)
        self._parts: dict[int, dict[int, Row]] = {}  # bar -> its small bars, the last few
        self._before: dict[tuple[int, int], Row | None] = {}  # (bar, its last small bar) -> those before the last, joined
        self._half: tuple[int, int] | None = None  # small bars from, to: the trades of their beginning are not known
        self._is_mended = False

    async def begin(self) -> list[Row]:
        """The bars to begin with."""
        contract, now_ns = self.query.contract, self.past.now_ns()
        settled_ns, part_ns = now_ns - _SETTLED_NS, self.part.ns
        self.from_ns = settled_ns - settled_ns % part_ns
        try:
            found = await self.past.bars(self.query)
        except NoData:
            found = []
        for part in await self.past.parts(contract, self.part, self.grid.opened(self.from_ns), self.from_ns):
            self._put(part)
        trades = await self._trades()
        if trades is None:  # as far as history tells; and once they are over, they are asked for again
            self._half = self.from_ns, now_ns - now_ns % part_ns + part_ns
            for part in await self.past.parts(contract, self.part, self.from_ns, now_ns):
                self._put(part)
        self.add(trades)
        mine = {start: self._bar(start) for start, parts in self._parts.items() if parts}
        self._has_begun = True
        first_ns = min(mine, default=None)
        return [row for row in found if first_ns is None or row.start_ns < first_ns] + [mine[start] for start in sorted(mine)]

    async def _trades(self) -> TradeBatch | None:
        is_numbered = getattr(self.past.provider.capabilities, "has_index", True)  # without, a trade in both would count twice
        try:
            if not is_numbered:
                raise NotSupported("trades without an index")
            return await self.past.provider.historical_trades(self.query.contract, _stamp(self.from_ns))
        except (NotSupported, FeedError):
            return None

    def add(self, batch: TradeBatch | None) -> list[Row]:
        """Trades."""
        if batch is None:
            return []
        made: list[Bar] = self._builder.add(batch)
        if self._builder.forming is not None:
            made.append(self._builder.forming)
        changed = {start for bar in made if bar.start_ns >= self.from_ns and (start := self._put(row_of(bar), bar.start_ns)) is not None}
        rows = [self._bar(start) for start in sorted(changed) if self._parts[start]]
        if self._has_begun:
            self._forget()
        return rows

    @property
    def is_half(self) -> bool:
        """Whether there are bars whose beginning is missing."""
        return self._half is not None and not self._is_mended

    async def mend(self) -> list[Row]:
        """Those bars, asked for again, once they are over."""
        if self._half is None or self._is_mended or self.past.now_ns() < self._half[1] + _SETTLED_NS:
            return []
        parts = await self.past.parts(self.query.contract, self.part, *self._half)
        self._is_mended = True  # what trades still make of them knows less, and is not taken
        changed = {start for part in parts if (start := self._put(part)) is not None}
        return [self._bar(start) for start in sorted(changed)]

    def _put(self, row: Row | None, start_ns: int | None = None) -> int | None:
        """Keep a small bar; the bar it belongs to, None outside the hours. A row of None takes it away."""
        at_ns = row.start_ns if row is not None else start_ns
        start = None if at_ns is None else self.grid.start(at_ns)
        if start is None or at_ns is None:
            return None
        parts = self._parts.setdefault(start, {})
        if at_ns < max(parts, default=0):
            self._before.clear()
        if row is None:
            parts.pop(at_ns, None)
        elif at_ns not in parts or not self._is_half(at_ns) or row.volume >= parts[at_ns].volume:
            parts[at_ns] = row
        return start

    def _is_half(self, at_ns: int) -> bool:
        return self._half is not None and self._half[0] <= at_ns < self._half[1]

    def _bar(self, start: int) -> Row:
        parts = self._parts[start]
        last = max(parts)
        if (start, last) not in self._before:  # a day has 1,380 minutes, and only the last of them grows
            earlier = [parts[at_ns] for at_ns in sorted(parts) if at_ns != last]
            self._before = {(start, last): joined(start, earlier) if earlier else None}
        before = self._before[start, last]
        return joined(start, [parts[last]] if before is None else [before, parts[last]])

    def _forget(self) -> None:
        for start in sorted(self._parts)[:-3]:
            del self._parts[start]


def _stamp(time_ns: int) -> pd.Timestamp:
    return pd.Timestamp(time_ns, unit="ns", tz="UTC")
