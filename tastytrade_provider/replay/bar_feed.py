"""Live bars of a replay: what a live feed's consumer would be handed for the same trades."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ..errors import MarketDataError
from ..grid import Grid
from ..model import Bar, Gap, Timeframe, TradeBatch
from ..provider import Subscription, backfill_start
from ..tastytrade.bar_feed import NO_HISTORY, Join
from ..tastytrade.history import was_open
from .history import known_gaps
from .position import Past
from .sources import Source

Item = Bar | Gap


class BarFeed:
    """One subscription of bars. Nothing of it waits: the replay hands trades in, and bars come out into the listener.

    It begins with `fill` where trades were played before, else with the first trade.
    """

    def __init__(self, listener: Subscription[Item], timeframe: Timeframe, hours: str, backfill: datetime | timedelta | None, is_late: bool) -> None:
        self.listener, self.contract, self.is_late = listener, listener.contract, is_late
        self._timeframe, self._hours, self._backfill = timeframe, hours, backfill
        self._early: list[Gap] = []
        self._join: Join | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it takes trades; until then they belong to the past it is filled with."""
        return self._join is not None

    def fill(self, source: Source, past: Past, first_ns: int, now_ns: int) -> None:
        """Begin behind what was played from `first_ns` up to `now_ns`."""
        self._begin(source, past, first_ns, now_ns + 1)

    def take(self, source: Source, item: TradeBatch | Gap) -> None:
        """Played just now."""
        if self._join is None and isinstance(item, Gap):
            self._early.append(item)
            self.listener.put(item)
            return
        if self._join is None:
            assert isinstance(item, TradeBatch)
            first_ns = int(item.time_ns.min())
            self._begin(source, Past([], self._early), first_ns, first_ns)
        if self._join is not None:
            self._put(self._join.take(item))

    def advance(self, now_ns: int) -> None:
        """The exchange's clock."""
        if self._join is not None:
            self._put(self._join.advance(now_ns))

    def _begin(self, source: Source, past: Past, first_ns: int, now_ns: int) -> None:
        try:
            start_ns = backfill_start(self._backfill, now_ns)
        except MarketDataError as error:  # it lies ahead, which only the recording's clock can tell
            self.listener.end(error)
            return
        whole_ns, _ = Grid(self.contract, self._timeframe, "session_open", first_ns, first_ns).span(first_ns)
        join = self._join = Join(self.contract, self._timeframe, self._hours, start_ns, now_ns, "include", whole_ns)
        gaps = known_gaps(source, self.contract, past.gaps, first_ns)
        for gap in gaps:
            join.builder.add_gap(gap)
        items = join.begin(past.trades(self.contract)) if past.batches else []
        if join.past is not None and was_open(self.contract, *join.past, self._hours):
            self._put([Gap(self.contract, *join.past, NO_HISTORY)])
        self._put([gap for gap in gaps if gap not in self._early and start_ns is not None and gap.end_ns > start_ns])
        self._put(items)

    def _put(self, items: Sequence[Item]) -> None:
        for item in items:
            self.listener.put(item)
