"""Live bars with history before them, joined without a missing, doubled or half bar: the work behind `subscribe_bars`.

Two ways to the same stream. Where the feed gives every trade since the session's open, history and live bars come out of one BarBuilder, and there is no
seam: a trade that is in both counts once, by its index. Where it does not, bars up to the running one come from candles, the running one is asked for
again once it has closed, since its beginning was missed, and from the next one on bars are made of live trades. `Join` decides, `BarFeed` asks and waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bars import BarBuilder
from ..errors import FeedError, NoData, UnsupportedTimeframe
from ..grid import Grid
from ..model import Bar, Contract, Gap, Roll, Timeframe, TradeBatch
from ..pace import Pace
from ..provider import Subscription
from ..sessions import session_at, sessions_between
from . import candles
from .history import History
from .intake import Filter, Intake
from .line import Line, TradeSubscription

if TYPE_CHECKING:
    import pandas as pd

Item = Bar | Gap
NO_HISTORY = "no history"
_SETTLE_NS = 2_000_000_000  # a candle is asked for this long after its end, when its last trade is surely in it
_LATE_NS = 500_000_000  # the clock closes a bar this long after its end: a trade that comes later still makes it a revision
_OPENING_NS = 60_000_000_000  # for so long after the open, nobody may have traded
_TICK_S = 0.25
_TOLD_KEPT = 1_000  # bars of candles: a gap reaches back no further
_ROOM = 5_000_000  # trades that may wait while history is fetched: more than a busy session has


def check(contract: Contract, timeframe: str, hours: str) -> Timeframe:
    """The timeframe, where bars of it can be served with these hours. Raises UnsupportedTimeframe, UsageError."""
    wanted = Timeframe.parse(timeframe)
    if hours != "eth" and not wanted.is_time:
        raise UnsupportedTimeframe(f"timeframe '{wanted}' has no regular hours only; s, m and h have")
    if hours != "eth":
        candles.frame((), contract, wanted, 0, 0, hours)  # refuses what it would refuse with rows
    return wanted


def first_start(grid: Grid, timeframe: Timeframe, start_ns: int | None, now_ns: int) -> int:
    """From where on bars are handed over: the first that starts in the backfill, and the running one in any case."""
    running_ns = grid.span(now_ns)[0]
    if start_ns is None or start_ns >= running_ns:
        return running_ns
    first_ns, next_ns = grid.span(start_ns)
    return next_ns if timeframe.is_time and first_ns < start_ns else start_ns


def is_regular(bar: Bar) -> bool:
    """Whether a bar lies within the regular hours."""
    table = sessions_between(bar.contract.calendar, bar.start_ns, bar.start_ns)
    at = table.index_at(bar.start_ns)
    return bool(0 <= table.rth_open_ns[at] <= bar.start_ns < bar.end_ns <= table.rth_close_ns[at])


class Join:
    """Which bars are handed over, and in which order. Pure: times are arguments (UTC ns), answers are the items to hand over.

    start_ns  where the backfill starts: bars that start earlier are not handed over, but for the running one; None: from that on
    now_ns    when the live trades began
    whole_ns  from where on every trade is known to who calls `begin`; None: from the open of the running session

    `begin` with every trade since the session's open, or `begin_without`. Then `past` is the stretch that candles are wanted for, and `half` the one to
    ask for again once `is_half_due`: the running bar, and one next to it that ended or ends about now, since clocks differ and candles settle.
    """

    def __init__(
        self,
        contract: Contract,
        timeframe: Timeframe,
        hours: str,
        start_ns: int | None,
        now_ns: int,
        spread_legs: Filter = "exclude",
        whole_ns: int | None = None,
    ) -> None:
        self.contract, self.timeframe, self.hours = contract, timeframe, hours
        self.builder = BarBuilder(contract, timeframe, spread_legs=spread_legs)
        self.opened_ns = session_at(contract.calendar, now_ns).open_ns
        self.half: tuple[int, int] | None = None
        self._start_ns, self._now_ns = start_ns, now_ns
        self._grid = Grid(contract, timeframe, "session_open", min(now_ns - _SETTLE_NS, start_ns or now_ns), now_ns + _SETTLE_NS)
        self._running = self._grid.span(now_ns)
        self._from_ns = first_start(self._grid, timeframe, start_ns, now_ns)
        self._own_ns = self.opened_ns if whole_ns is None else whole_ns  # bars from here on are made of trades, those before of candles
        self._halves: dict[int, Bar] = {}  # what live trades made of the half bars, should no candle come
        self._torn: list[tuple[int, int]] = []  # stretches of bars that a gap touches, to be asked for again
        self._incomplete: dict[int, Bar] = {}  # bars in them, and candles, as they were handed over
        self._patched: dict[int, int] = {}  # start of a bar that candles told -> its revision
        self._held: list[Bar] = []
        self._made_ns = 0  # exchange time of the newest trade that `begin` was told and that has no index

    @property
    def fits_session(self) -> bool:
        """Whether the running bar began in the running session, so that the session's trades make all of it."""
        return self._running[0] >= self.opened_ns

    @property
    def past(self) -> tuple[int, int] | None:
        """The stretch of bar starts that candles are wanted for, None where none are."""
        return (self._from_ns, self._own_start) if self._from_ns < self._own_start else None

    @property
    def _own_start(self) -> int:
        return self._own_ns if self.half is None else self.half[0]

    def begin(self, trades: TradeBatch | None) -> list[Item]:
        """Every trade since the session's open is here."""
        if trades is None:
            return []
        is_early = trades.time_ns < self._now_ns
        self._made_ns = int(trades.time_ns[trades.index < 0].max(initial=0))
        bars = self.builder.add(trades[is_early])
        forming = self.builder.forming
        if not self.timeframe.is_time and forming is not None:
            self._from_ns = min(self._from_ns, forming.start_ns)
        if self._start_ns is None:
            bars = []  # they had closed before
        return self._passed([*bars, *self.builder.add(trades[~is_early])])

    def begin_without(self) -> None:
        """The trades before now cannot be had. Raises UnsupportedTimeframe where bars cannot be made without them."""
        if not self.timeframe.is_time:
            raise UnsupportedTimeframe(
                f"live bars of timeframe '{self.timeframe}' need every trade since the session's open, and TastyTrade does not give them now; "
                "time bars (s m h d w mo) can do without"
            )
        first_ns = self._grid.span(self._now_ns - _SETTLE_NS)[0]
        last_ns, self._own_ns = self._grid.span(self._now_ns + _SETTLE_NS)
        self.half = first_ns, self._own_ns
        self.builder.add_gap(Gap(self.contract, first_ns, max(self._now_ns, last_ns) + 1, NO_HISTORY))

    def take(self, item: TradeBatch | Gap) -> list[Item]:
        """A live item."""
        if isinstance(item, TradeBatch):
            if self._made_ns:
                item = item[(item.index >= 0) | (item.time_ns > self._made_ns)]
            return self._passed(self.builder.add(item))
        if not item.filled and self.timeframe.is_time:  # before the bars are passed on, which are remembered for it
            grid = Grid(self.contract, self.timeframe, "session_open", item.start_ns, item.end_ns)
            self._torn.append((grid.span(item.start_ns)[0], grid.span(item.end_ns - 1)[1]))
        bars = self._passed(self.builder.add_gap(item))
        return [item, *bars] if item.end_ns > self._from_ns else bars

    def advance(self, now_ns: int) -> list[Item]:
        """The exchange's clock."""
        return self._passed(self.builder.advance(now_ns - _LATE_NS))

    def is_half_due(self, now_ns: int) -> bool:
        """Whether the candles of `half` can be asked for now."""
        return self.half is not None and now_ns >= self.half[1] + _SETTLE_NS

    def torn_due(self, now_ns: int) -> tuple[int, int] | None:
        """A stretch of bars that a gap touches and that candles can be asked for now, once; None where there is none."""
        due = next((stretch for stretch in self._torn if now_ns >= stretch[1] + _SETTLE_NS), None)
        if due is not None:
            self._torn.remove(due)
        return due

    def patch(self, found: Sequence[Bar]) -> list[Item]:
        """Bars that a gap touches, with the totals that candles tell: `delta_source` says so, and `complete` stays False, since nobody knows more of them."""
        patched: list[Item] = []
        for bar in self.wanted(found):
            made = self._incomplete.get(bar.start_ns)
            if made is None or (made.volume or 0.0) < (bar.volume or 0.0):
                revision = max(self._patched.get(bar.start_ns, -1), -1 if made is None else made.revision) + 1
                self._patched[bar.start_ns] = revision
                self._incomplete[bar.start_ns] = told = replace(bar, complete=False, revision=revision)  # what another gap finds there
                patched.append(told)
        return patched

    def mend(self, found: Sequence[Bar] | None) -> list[Item]:
        """The candles of `half`, and what waited behind them. A half bar without a candle is handed over as it is, `complete=False`, after a Gap.

        found  None where nobody could be asked: then there is a Gap though no trade has come live either
        """
        if self.half is None:
            return []
        (first_ns, _), self.half = self.half, None
        whole = {bar.start_ns: bar for bar in found or ()}
        bars = self.told([bar for _, bar in sorted((self._halves | whole).items())])
        missed = [bar.start_ns for bar in bars if not bar.complete]
        is_told = found is not None and not missed
        gap = [] if is_told else [Gap(self.contract, max(first_ns, self._from_ns), max([*missed, self._now_ns]) + 1, NO_HISTORY)]
        held, self._held = self._held, []
        return [*gap, *bars, *held]

    def told(self, found: Sequence[Bar]) -> list[Bar]:
        """Bars that candles tell and that are handed over now; a gap that reaches back to them makes them no news."""
        bars = self.wanted(found)
        self._incomplete |= {bar.start_ns: bar for bar in bars[-_TOLD_KEPT:]}
        return bars

    def wanted(self, bars: Sequence[Bar]) -> list[Bar]:
        """Those that the listener asked for: not too early, and within the hours."""
        return [bar for bar in bars if bar.start_ns >= self._from_ns and (self.hours == "eth" or is_regular(bar))]

    def _passed(self, bars: Sequence[Bar]) -> list[Item]:
        passed = self.wanted([bar for bar in map(self._after_patch, bars) if bar is not None and bar.start_ns >= self._own_ns])
        if self._torn:
            self._incomplete |= {bar.start_ns: bar for bar in passed if not bar.complete}
        if self.half is None:
            return list(passed)
        self._halves |= {bar.start_ns: bar for bar in bars if self.half[0] <= bar.start_ns < self._own_ns}
        self._held += passed
        return []

    def _after_patch(self, bar: Bar) -> Bar | None:
        """A bar as it is to be handed over where candles have told its totals before; None: they know better."""
        revision = self._patched.get(bar.start_ns)
        if revision is None:
            return bar
        if not bar.complete:
            return None
        self._patched[bar.start_ns] = revision + 1
        return replace(bar, revision=revision + 1)


def bars_of(frame: pd.DataFrame, contract: Contract, timeframe: Timeframe, until_ns: int) -> list[Bar]:
    """The rows of a bars frame as values. A bar of trades or volume ends where the next one starts, the last of the frame at `until_ns` at the latest."""
    if frame.empty:
        return []
    starts: list[int] = frame.index.as_unit("ns").asi8.tolist()  # type: ignore[attr-defined]
    grid = Grid(contract, timeframe, "session_open", starts[0], starts[-1])
    table = frame.assign(session=frame["session"].dt.date, delta_source=frame["delta_source"].astype(str))
    found = []
    for i, row in enumerate(table.to_dict("records")):
        value: dict[str, Any] = {str(name): None if cell != cell else cell for name, cell in row.items()}
        if value["trades"] is not None:
            value["trades"] = int(value["trades"])
        end_ns = grid.span(starts[i])[1]
        if not timeframe.is_time:
            end_ns = min(end_ns, starts[i + 1] if i + 1 < len(starts) else until_ns)
        found.append(Bar(contract, timeframe, start_ns=starts[i], end_ns=end_ns, **value))
    return found


def ran_ns(playback: Pace | None) -> int:
    """How much of the exchange's time has passed, since whenever: by our clock, or by that of a market that is played, which may stand."""
    return int(asyncio.get_running_loop().time() * 1e9) if playback is None else playback.ran_ns


def hurry_ns(playback: Pace | None, late_ns: int) -> int:
    """How much later still than `late_ns` the clock closes a bar of a market that is played fast: what is under way to us takes as long as ever."""
    speed = 1.0 if playback is None or playback.speed == "max" else playback.speed
    return int(late_ns * max(0.0, speed - 1.0))


class BarFeed:
    """One subscription of bars being served: `run` until it ends.

    trades    the live trades, subscribed before anything is fetched     line     where they come from
    join      makes the `Join` for the time at which they began          wall_ns  our clock
    is_whole  False while trades may be missing, so that the clock closes no bar
    playback  the pace of a market that is played: its clock stands and runs with it; None: it runs as ours
    """

    def __init__(
        self,
        listener: Subscription[Item],
        trades: TradeSubscription,
        line: Line,
        history: History,
        make_intake: Callable[[], Intake],
        join: Callable[[int], Join],
        wall_ns: Callable[[], int],
        is_whole: Callable[[], bool],
        playback: Pace | None = None,
    ) -> None:
        self._listener, self._trades, self._line, self._history, self._make_intake = listener, trades, line, history, make_intake
        self._make_join, self._wall_ns, self._is_whole, self._playback = join, wall_ns, is_whole, playback
        trades.capacity = _ROOM
        self._newest_ns = 0
        self._clock = (0, 0)  # exchange time, and what had run when it was
        self._reading: asyncio.Task[TradeBatch | Gap | Roll] | None = None

    def close(self) -> None:
        """Nobody will call `run`."""
        self._trades.cancel()

    async def run(self) -> None:
        """Serve until the listener leaves or the feed ends. What ends it is the listener's to know."""
        join: Join | None = None
        error: Exception | None = None
        try:
            await self._trades.ready()
            now_ns = self._wall_ns()
            self._clock = now_ns, ran_ns(self._playback)
            join = self._make_join(now_ns)
            await self._fill(join)
            self._listener.grant()
            await self._serve(join)
        except StopAsyncIteration:
            error = None  # the feed ended, and so do we
        except Exception as failure:  # whatever it was: bars that just stop would be a silent loss
            error = failure
        finally:
            if self._reading is not None:
                self._reading.cancel()
            self._trades.cancel()
            if join is not None:
                self._put(join.mend(None))
            self._listener.end(error)

    async def _fill(self, join: Join) -> None:
        fetched, is_whole = await self._all_trades(join) if join.fits_session else (None, False)
        items = join.begin(fetched) if is_whole else []
        if not is_whole:
            join.begin_without()
        if join.past is not None:
            self._put(await self._candles(join, *join.past))
        self._put(items)

    async def _all_trades(self, join: Join) -> tuple[TradeBatch | None, bool]:
        """The trades since the session's open, ready to be counted, and whether that is all of them."""
        counts = self._line.intake.counts
        for _ in range(2):
            orphans = counts.orphans
            try:
                batch, cut_ns, *_ = await self._history.refill(join.contract, join.opened_ns)
            except FeedError:
                return None, False
            if cut_ns is not None or (len(batch) == 0 and self._wall_ns() - join.opened_ns > _OPENING_NS):
                return None, False  # nothing at all of an open session: the feed does not serve its trades
            intake = self._make_intake()
            taken = intake.take_snapshot(batch)
            self._line.intake.acquaint(intake)
            if counts.orphans == orphans:
                break  # else a correction came while we did not know its trade: once more, now that we do
        return taken, True

    async def _candles(self, join: Join, start_ns: int, end_ns: int) -> list[Item]:
        """Bars from candles; a Gap where there are none, be it that they do not go back so far."""
        try:
            found = await self._frame(join, start_ns, end_ns)
        except (FeedError, UnsupportedTimeframe):
            return [Gap(join.contract, start_ns, end_ns, NO_HISTORY)]
        bars = bars_of(found, join.contract, join.timeframe, end_ns)
        is_cut = bars and bars[0].start_ns > start_ns and found.attrs.get("ended_by") in ("snip", "deadline")
        return [*([Gap(join.contract, start_ns, bars[0].start_ns, NO_HISTORY)] if is_cut else []), *join.told(bars)]

    async def _asked_half(self, join: Join, start_ns: int, end_ns: int) -> list[Bar] | None:
        """Bars of candles; None where they cannot be had."""
        try:
            return await self._asked(join, start_ns, end_ns)
        except NoData:  # nobody traded
            return []
        except FeedError:
            return None

    async def _asked(self, join: Join, start_ns: int, end_ns: int) -> list[Bar]:
        return bars_of(await self._frame(join, start_ns, end_ns), join.contract, join.timeframe, end_ns)

    async def _frame(self, join: Join, start_ns: int, end_ns: int) -> pd.DataFrame:
        start, end = (np.datetime_as_string(np.datetime64(bound, "ns"), timezone="UTC") for bound in (start_ns, end_ns))
        return await self._history.bars(join.contract, str(join.timeframe), str(start), str(end), "eth", end_ns)

    async def _serve(self, join: Join) -> None:
        while not self._listener.has_ended:
            if self._listener.is_full:
                await asyncio.sleep(_TICK_S)  # a tape waits for a slow consumer
                continue
            self._reading = self._reading or asyncio.ensure_future(_next(self._trades))
            await asyncio.wait({self._reading}, timeout=_TICK_S)
            if self._reading.done():
                reading, self._reading = self._reading, None
                self._take(join, reading.result())
                while self._trades.stats.waiting and not self._listener.is_full:
                    self._take(join, await anext(self._trades))
            now_ns = self._clock[0] + ran_ns(self._playback) - self._clock[1]
            if self._is_whole():
                self._put(join.advance(now_ns - hurry_ns(self._playback, _LATE_NS)))
            if join.half is not None and join.is_half_due(now_ns):
                self._put(join.mend(await self._asked_half(join, *join.half)))
            if (stretch := join.torn_due(now_ns)) is not None:
                try:
                    self._put(join.patch(await self._asked(join, *stretch)))
                except (FeedError, UnsupportedTimeframe):
                    continue  # the gap was told, and the bars say that they are not complete

    def _take(self, join: Join, item: TradeBatch | Gap | Roll) -> None:
        if isinstance(item, Roll):
            return
        if isinstance(item, TradeBatch) and len(item) and (newest := int(item.time_ns.max())) >= self._newest_ns:
            self._newest_ns, self._clock = newest, (newest, ran_ns(self._playback))
        self._put(join.take(item))

    def _put(self, items: Sequence[Item]) -> None:
        for item in items:
            self._listener.put(item)


async def _next(trades: TradeSubscription) -> TradeBatch | Gap | Roll:
    return await anext(trades)
