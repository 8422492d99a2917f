"""Trades to bars: OHLC, bought, sold and unknown volume, min and max delta, CVD and footprint. Live and history run the same kernel."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from . import kernels as k
from .errors import UsageError
from .forming import Forming
from .grid import Grid
from .history import SOURCES, TO_KERNEL, BarHistory, BarTrades, Footprint, bar_columns, build_bar_trades, build_bars, build_footprint, build_history, in_order
from .kernels import cumulate, decimal
from .ledger import Ledger, countable
from .levels import MILLION, grouped, millionths, profile
from .model import Array, Bar, Contract, Gap, Timeframe, TradeBatch, TradeFlag, check_contract
from .sessions import DAY_NS, parse_reset

__all__ = [
    "MILLION",
    "SOURCES",
    "BarBuilder",
    "BarHistory",
    "BarTrades",
    "Cvd",
    "Footprint",
    "build_bar_trades",
    "build_bars",
    "build_footprint",
    "build_history",
    "cumulate",
    "decimal",
    "grouped",
    "in_order",
    "millionths",
    "profile",
]

_FOOTPRINTS_KEPT = 2_000
_CHECKPOINT_EVERY = 16_384  # trades; a correction then replays at most this many more than it must (0.1 ms)
_GAPS_KEPT = 1_000
_LEG = int(TradeFlag.SPREAD_LEG)  # arithmetic with the enum itself costs a microsecond, and this is asked of every batch
_GRACE_NS = 60_000_000_000  # a session's trades are kept this long into the next one, for stragglers


class Cvd(NamedTuple):
    """Cumulative volume delta, its high and low since the reset, all in contracts, and the UTC ns from which it counts (None before a trade)."""

    value: float
    high: float
    low: float
    since_ns: int | None


_NO_CVD = Cvd(0, 0, 0, None)


@dataclass(slots=True)
class _Checkpoint:
    """Where a repair can start: the ledger row, and everything that came out of the rows before it."""

    row: int
    closed: int
    closed_until: int
    session_ns: int
    forming: tuple[Array, Array]
    cvd: tuple[Array, Cvd]


@dataclass(slots=True)
class _Closed:
    """A bar handed out: its row, its cells, and how often it was re-issued."""

    row: Array
    cells: Array
    revision: int = 0
    complete: bool = True


class BarBuilder:
    """Bars of one contract and timeframe from trades as they come.

    `add` takes a batch and returns the bars it closed, and bars it repaired (`revision` + 1): a late, corrected or cancelled trade re-runs the kernel
    from the nearest checkpoint before it. `advance` closes bars by the clock. The state equals `build_bars` over the same trades in order.

    reset        when CVD starts anew: session_open, rth_open, trade_date, weekly, never, or "HH:MM" in the calendar's zone
    spread_legs  "exclude" leaves prints that are legs of a spread out, "include" counts them

    A volume bar splits the print that fills it: the rest opens the next bar, and the print counts as a trade where it began. A range bar closes when the
    next trade would make it wider than n ticks. No bar crosses a session end; prints after the close make bars of their own up to the next open.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> builder = BarBuilder(es, "1m")
    >>> opened = 1_767_600_000_000_000_000
    >>> trades = {"time_ns": [opened, opened + 61_000_000_000], "price": [6000.0, 6000.25], "size": [2, 3], "side": [1, -1]}
    >>> [(bar.volume, bar.delta) for bar in builder.add(TradeBatch(es, trades))], builder.forming.delta, builder.cvd.value
    ([(2.0, 2.0)], -3.0, -1.0)
    """

    def __init__(
        self,
        contract: Contract,
        timeframe: str | Timeframe,
        reset: str = "session_open",
        spread_legs: Literal["exclude", "include"] = "exclude",
    ) -> None:
        check_contract(contract)
        if spread_legs not in ("exclude", "include"):
            raise UsageError(f"spread_legs {spread_legs!r} is neither 'exclude' nor 'include'")
        self.contract, self.timeframe, self.reset = contract, Timeframe.parse(timeframe), parse_reset(reset)
        self.ledger = Ledger()
        self.excluded = 0
        self._legs = spread_legs == "include"
        self._grid: Grid | None = None
        self._forming = Forming()
        self._closed: OrderedDict[tuple[int, int], _Closed] = OrderedDict()
        self._count = 0  # bars closed since the beginning, of which _closed keeps the latest
        self._checkpoints: list[_Checkpoint] = []
        self._revisions: dict[tuple[int, int], int] = {}  # of bars that corrections took back, should they close again
        self._cvd_state = np.zeros(2, np.int64)
        self._cvd = _NO_CVD  # in lots
        self._since_ns = 0
        self._session = (0, 0)  # of the trade last placed: its open, and the next session's
        self._clock_ns = 0
        self._closed_until = 0
        self._gaps: list[Gap] = []

    # -- in

    def add(self, batch: TradeBatch) -> list[Bar]:
        """Enter trades. Returns closed bars, and earlier ones re-issued with a higher revision, in time order. UsageError for trades of another contract."""
        if batch.contract is not self.contract and batch.contract.symbol != self.contract.symbol:
            raise UsageError(
                f"trades of {batch.contract.symbol} for bars of {self.contract.symbol}; each contract has a BarBuilder of its own, also after a roll"
            )
        columns = batch.columns
        ordered, some, _ = k.survey(columns["time_ns"], columns["index"], columns["lots"], columns["action"], columns["flags"])
        if not ordered or (some & _LEG and not self._legs):
            given, batch = len(batch), countable(batch, legs=self._legs)
            self.excluded += given - len(batch)
        if len(batch) == 0:
            return []
        before = len(self.ledger)
        first = self.ledger.add(batch, in_order=ordered)
        if first < before or self._is_late(first, self._closed_until):
            return self._repair(first)
        return self._extend(first)

    def add_gap(self, gap: Gap) -> list[Bar]:
        """Trades may be missing in the gap's interval: bars that touch it are `complete=False`. A filled gap takes back those inside it.

        Closed bars that this changes are returned re-issued.
        """
        if gap.filled:
            self._gaps = [known for known in self._gaps if known.start_ns < gap.start_ns or gap.end_ns < known.end_ns]
        else:
            self._gaps.append(gap)
            del self._gaps[:-_GAPS_KEPT]
        return [self._reissue(held, gap.filled) for held in self._closed.values() if held.complete != gap.filled and self._is_complete(held.row) == gap.filled]

    def advance(self, now_ns: int) -> list[Bar]:
        """Close the forming bar, and start CVD anew, where the exchange clock (UTC ns) has passed their time though nobody traded."""
        self._clock_ns = max(self._clock_ns, now_ns)
        return self._close_by_clock({})

    # -- out

    @property
    def forming(self) -> Bar | None:
        """The bar that is not closed yet, None between bars."""
        state = self._forming.state
        return self._bar(state[: k.BAR_WIDTH], self._revisions.get(self._key(state), 0)) if state[k.OPEN_BAR] else None

    @property
    def cvd(self) -> Cvd:
        """CVD now, with the forming bar, and its extremes trade by trade since the reset."""
        state, now = self._forming.state, self._cvd
        if state[k.OPEN_BAR]:
            now, _ = self._summed(now, self._cvd_state.copy(), state[: k.BAR_WIDTH].reshape(1, -1))
        elif self._grid is not None and self._clock_ns and self._grid.segment_of(np.array([self._clock_ns]))[0] > self._cvd_state[1]:
            now = _NO_CVD
        size = self.contract.size
        return Cvd(size(int(now.value)), size(int(now.high)), size(int(now.low)), now.since_ns)

    def footprint(self, bar: Bar) -> Footprint:
        """Volume by price of a closed bar (the last 2,000 are kept) or of the forming one. An older one is a UsageError."""
        state = self._forming.state
        if state[k.OPEN_BAR] and self._key(state) == self._bar_key(bar):
            return Footprint.of(self.contract, self._forming.levels())
        held = self._closed.get(self._bar_key(bar))
        if held is None:
            raise UsageError(f"no footprint is kept of the bar at {bar.start_ns}; the last {_FOOTPRINTS_KEPT} closed bars have one")
        return Footprint.of(self.contract, held.cells)

    def trades_of(self, bar: Bar, before_ns: int = 0) -> BarTrades:
        """The trades of a closed bar or of the forming one, with those of the `before_ns` nanoseconds before it. UsageError where they are not kept:
        the ledger holds the current session.
        """
        key, state, later = self._bar_key(bar), self._forming.state, 0
        row = state[: k.BAR_WIDTH].copy()
        if not (state[k.OPEN_BAR] and self._key(state) == key):
            later = int(state[k.SELL : k.BUY + 1].sum()) if state[k.OPEN_BAR] else 0
            held = self._closed.get(key)
            for other in () if held is None else reversed(self._closed.values()):
                if other is held:
                    row = held.row
                    break
                later += int(other.row[k.SELL : k.BUY + 1].sum())
        time, lots = self.ledger.time_ns, self.ledger.lots
        first = int(np.searchsorted(time, row[k.START] - before_ns))
        stop = int(np.searchsorted(time, row[k.LAST], side="right"))
        own = int(row[k.SELL : k.BUY + 1].sum())
        skip = int(lots[first:].sum()) - own - later
        if self._key(row) != key or own == 0 or skip < 0:
            raise UsageError(f"no trades are kept of the bar at {bar.start_ns}; the ledger holds those of the current session")
        columns = {name: getattr(self.ledger, name)[first:stop].copy() for name in ("time_ns", *TO_KERNEL)}
        return BarTrades(self.contract, columns, row.reshape(1, -1).copy(), skip)

    # -- the work

    def _extend(self, first: int, before: dict[tuple[int, int], _Closed] | None = None) -> list[Bar]:
        """Run the ledger's rows from `first` on through the kernel; `before` holds what came out of them last time, in a repair."""
        old = {} if before is None else before
        time, n, bars = self.ledger.time_ns, len(self.ledger), list[Bar]()
        while first < n:
            start_ns = int(time[first])
            self._since_ns = min(self._since_ns or start_ns, start_ns)
            opened, until = self._session
            if not opened <= start_ns < until:
                table = self._cover(start_ns, int(time[-1])).table
                place = int(np.searchsorted(table.open_ns, start_ns, side="right"))
                opened, until = self._session = int(table.open_ns[place - 1]), int(table.open_ns[place])
            last = self._checkpoints[-1] if self._checkpoints else None
            if last is None or last.session_ns != opened or first - last.row >= _CHECKPOINT_EVERY:
                last = _Checkpoint(first, self._count, self._closed_until, opened, self._forming.save(), (self._cvd_state.copy(), self._cvd))
                self._checkpoints.append(last)
            stop = min(n, last.row + _CHECKPOINT_EVERY)
            if time[stop - 1] >= until:
                stop = int(np.searchsorted(time, until))
            assert self._grid is not None
            bars += self._emit(*self._forming.run(self._grid, *self.ledger.rows(first, stop)), old)
            first = stop
        self._trim()
        return bars

    def _repair(self, first: int) -> list[Bar]:
        """Something before the end of the ledger changed, from row `first` on: run again from the checkpoint before it, hand out what differs."""
        while len(self._checkpoints) > 1 and (self._checkpoints[-1].row > first or self._is_late(first, self._checkpoints[-1].closed_until)):
            self._checkpoints.pop()
        start = self._checkpoints.pop()
        again = self._count - start.closed
        old = dict([self._closed.popitem() for _ in range(min(again, len(self._closed)))][::-1])
        self._count = start.closed
        self._forming.restore(start.forming)
        self._cvd_state, self._cvd = start.cvd[0].copy(), start.cvd[1]
        bars = self._extend(start.row, old)
        if start.row == len(self.ledger):  # nothing is left behind it, and it still is where the next repair starts
            self._checkpoints.append(start)
        bars += self._close_by_clock(old)
        state = self._forming.state
        if state[k.OPEN_BAR]:
            reopened = old.pop(self._key(state), None)
            if reopened is not None:
                self._revisions[self._key(state)] = reopened.revision + 1
        for key, gone in old.items():
            row = gone.row.copy()
            row[k.SELL : k.BY_TICK + 1] = 0
            self._revisions[key] = gone.revision + 2
            bars.append(self._bar(row, gone.revision + 1))
        return sorted(bars, key=lambda bar: (bar.start_ns, bar.bar_no))

    def _is_late(self, first: int, closed_until: int) -> bool:
        """Whether the trade in row `first` belongs where a bar was closed already."""
        return first < len(self.ledger) and bool(self.ledger.time_ns[first] < closed_until)

    def _close_by_clock(self, old: dict[tuple[int, int], _Closed]) -> list[Bar]:
        state = self._forming.state
        if not state[k.OPEN_BAR] or self._grid is None or self._grid.due(state) > self._clock_ns:
            return []
        self._closed_until = int(state[k.END])
        row, cells = self._forming.close()
        return self._emit([row], [cells], old)

    def _emit(self, blocks: list[Array], cells: list[Array], old: dict[tuple[int, int], _Closed]) -> list[Bar]:
        """Keep closed bars, sum their deltas up, and return those that are new or not what they were."""
        if not blocks:
            return []
        rows, levels = np.concatenate(blocks), np.concatenate(cells)
        if self.timeframe.is_time:
            rows[:, k.BAR_NO] = 0
        self._cvd, _ = self._summed(self._cvd, self._cvd_state, rows)
        bounds = np.searchsorted(levels[:, 0], np.arange(len(rows) + 1))
        bars = []
        for i, row in enumerate(rows):
            key = self._key(row)
            now = _Closed(row, levels[bounds[i] : bounds[i + 1], 1:], complete=self._is_complete(row))
            was = old.pop(key, None)
            if was is not None and np.array_equal(was.row, row) and np.array_equal(was.cells, now.cells):
                self._closed[key] = was
                continue
            now.revision = was.revision + 1 if was is not None else self._revisions.pop(key, 0)
            self._closed[key] = now
            bars.append(self._bar(row, now.revision))
        self._count += len(rows)
        return bars

    def _summed(self, now: Cvd, state: Array, rows: Array) -> tuple[Cvd, Array]:
        """CVD and its extremes after more bars, in lots; `state` is advanced. Also open, high, low, close of each bar."""
        assert self._grid is not None
        segment = self._grid.segment_of(rows[:, k.START])
        if segment[-1] != state[1]:
            now = _NO_CVD
        out = np.empty((len(rows), 4), np.int64)
        k.cumulate(state, segment, rows[:, k.BUY] - rows[:, k.SELL], rows[:, k.MIN_DELTA], rows[:, k.MAX_DELTA], out)
        last = segment == segment[-1]
        since = now.since_ns or max(int(rows[last.argmax(), k.START]), self._since_ns)
        return Cvd(int(state[0]), max(now.high, int(out[last, 1].max())), min(now.low, int(out[last, 2].min())), since), out

    def _cover(self, start_ns: int, end_ns: int) -> Grid:
        grid = self._grid
        if grid is None or not grid.covers(start_ns, end_ns):
            start_ns = min(start_ns, int(self.ledger.time_ns[0]))
            self._grid = grid = Grid(self.contract, self.timeframe, self.reset, start_ns, end_ns + DAY_NS)
        return grid

    def _trim(self) -> None:
        """Forget the session before, once the new one is well under way, and closed bars that no repair can reach."""
        kept = self._checkpoints
        if len(kept) > 1 and kept[0].session_ns != kept[-1].session_ns:
            opened = next(i for i, point in enumerate(kept) if point.session_ns == kept[-1].session_ns)
            if self.ledger.time_ns[-1] >= kept[-1].session_ns + _GRACE_NS:
                gone = self.ledger.drop(kept[opened].row, kept[-1].session_ns)
                del kept[:opened]
                for point in kept:
                    point.row -= gone
        reachable = self._count - kept[0].closed if kept else 0
        while len(self._closed) > max(_FOOTPRINTS_KEPT, reachable):
            self._closed.popitem(last=False)

    def _is_complete(self, row: Array) -> bool:
        # a gap ends at the trade after it; where trades make bars, that trade's bar is the one that should have begun earlier
        start, end = int(row[k.START]) - (not self.timeframe.is_time), self._end(row)
        return not any(gap.start_ns < end and gap.end_ns > start for gap in self._gaps)

    def _reissue(self, held: _Closed, complete: bool) -> Bar:
        held.complete, held.revision = complete, held.revision + 1
        return self._bar(held.row, held.revision)

    def _end(self, row: Array) -> int:
        assert self._grid is not None
        if self.timeframe.is_intraday:
            return int(row[k.END])
        after_last = int(row[k.LAST]) + 1
        return max(after_last, self._grid.close_of(int(row[k.SESSION]))) if self.timeframe.is_time else after_last

    def _key(self, row: Array) -> tuple[int, int]:
        return (int(row[k.START]), 0) if self.timeframe.is_time else (int(row[k.SESSION]), int(row[k.BAR_NO]))

    def _bar_key(self, bar: Bar) -> tuple[int, int]:
        if self.timeframe.is_time or self._grid is None:
            return bar.start_ns, 0
        return int(self._grid.table.open_ns[self._grid.table.index_at(bar.start_ns)]), bar.bar_no

    def _bar(self, row: Array, revision: int) -> Bar:
        assert self._grid is not None
        columns = bar_columns(self.contract, self._grid.session_of(row[k.SESSION : k.SESSION + 1]), row.reshape(1, -1))
        value: dict[str, Any] = {name: None if column[0] != column[0] else column[0].item() for name, column in columns.items()}
        value |= {"start_ns": int(row[k.START]), "end_ns": self._end(row), "delta_source": SOURCES[value["delta_source"]]}
        bar_no = 0 if self.timeframe.is_time else int(row[k.BAR_NO])
        return Bar(self.contract, self.timeframe, **value, complete=self._is_complete(row), revision=revision, bar_no=bar_no)
