"""Live bars out of a series of candles: which are handed over, when, and what becomes of one that changes afterwards. No clock: times are arguments.

A candle always comes with the totals of its whole bar, and a series asked for from a time on brings all bars since then and every change after them. So
history and live bars are one series without a seam, and after an outage the same question brings what was missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..dxlink.rows import EventFlags, Row, time_of
from ..errors import UnsupportedTimeframe
from ..grid import Grid
from ..model import Bar, Contract, Gap, Timeframe
from . import candles
from .bar_feed import NO_HISTORY, Item, bars_of, first_start, is_regular
from .history import was_open
from .snapshot import flags_in, index_in

if TYPE_CHECKING:
    import pandas as pd

SETTLE_NS = 2_000_000_000  # the clock closes a bar so long after its end: then its last trade is surely in its candle
_AWAY_NS = 60_000_000_000  # a candle that still grows so long after its end shows that the feed's clock is behind ours: delayed data
_KEPT = 2_000  # bars handed over that a change can still reach
_NEVER_NS = 2**62


def check(timeframe: Timeframe) -> None:
    """Raises UnsupportedTimeframe where live bars of it cannot be had from candles."""
    if not timeframe.is_time:
        raise UnsupportedTimeframe(f"live bars of timeframe '{timeframe}' are made of trades, not of candles; time bars (s m h d w mo) are had from both")


class CandleBars:
    """Candles in, bars out: each once when it has closed, and again with a higher `revision` where its candle changes after that.

    A bar has closed when a candle of a later one is there, or two seconds after its end by the exchange's clock: `now_ns` of the calls, moved to where
    the candles are.

    start_ns  where the backfill starts; None: from the bar of `now_ns` on
    counts    of what candles could not be read       split  the last word on bought and sold volume of a bars frame
    hurry_ns  how much later still the clock closes a bar
    """

    def __init__(
        self,
        contract: Contract,
        timeframe: Timeframe,
        hours: str,
        start_ns: int | None,
        now_ns: int,
        counts: candles.CandleCounts,
        split: Callable[[pd.DataFrame], pd.DataFrame],
    ) -> None:
        check(timeframe)
        self.contract, self.timeframe, self.hours = contract, timeframe, hours
        self.hurry_ns = 0
        self._counts, self._split = counts, split
        grid = Grid(contract, timeframe, "session_open", min(now_ns, start_ns or now_ns), now_ns)
        self.from_ns = first_start(grid, timeframe, start_ns, now_ns)
        self._changed: dict[int, Row] = {}  # by index: what was not handed over as it stands
        self._handed: dict[int, Bar] = {}  # by start
        self._forgotten_ns = 0  # bars that start before this may have been handed over too
        self._newest, self._span = -1, (0, 0)  # index of the newest candle; start and end of its bar
        self._torn: dict[int, int] = {}  # index -> start of a bar whose candle was cut short by an outage
        self._ahead_ns = 0  # the exchange's clock before that of the calls

    @property
    def from_time_ms(self) -> int:
        """From where on candles are to be asked for (Unix milliseconds): all that were handed over too, since they may have changed meanwhile."""
        return candles.from_time_ms(self.contract, self.timeframe, min(self._handed, default=self.from_ns))

    def begin(self, rows: Sequence[Row], start_was_cut: bool, now_ns: int) -> list[Item]:
        """A snapshot of the series, the first or the one after an outage: the bars in it that are new or changed, a Gap where it does not tell."""
        known, span = self._newest, self._span
        told = {index_in(row): row for row in rows}
        self._keep(row for index, row in told.items() if time_of(index)[0] * 1_000_000 >= self._forgotten_ns)
        newest_ns = self._span[0] if self._newest >= 0 else now_ns
        self._ahead_ns = max(self._ahead_ns, newest_ns - now_ns)
        gap = self._before_first(told, start_was_cut, now_ns) if known < 0 else [] if known in told else self._torn_off(known, span, told, now_ns)
        return [*gap, *self.advance(now_ns)]

    def take(self, rows: Iterable[Row], now_ns: int) -> list[Item]:
        """Candles that have changed since."""
        indices = self._keep(rows)
        if self._newest in indices:
            (start_ns, end_ns), exchange_ns = self._span, now_ns + self._ahead_ns
            if exchange_ns < start_ns or exchange_ns > end_ns + _AWAY_NS:
                self._ahead_ns = start_ns - now_ns
        for index in indices & self._torn.keys():
            del self._torn[index]
        return self.advance(now_ns)

    def advance(self, now_ns: int) -> list[Item]:
        """Our clock."""
        is_over = now_ns + self._ahead_ns >= self._span[1] + SETTLE_NS + self.hurry_ns
        due = {index: row for index, row in self._changed.items() if index < self._newest or is_over}
        for index in due:
            del self._changed[index]
        gone = [index for index, row in due.items() if flags_in(row) & EventFlags.REMOVE]
        items = [self._withdrawn(self._start_of(index)) for index in gone]
        items += [self._passed(bar) for bar in self._bars(row for index, row in due.items() if index not in gone)]
        while len(self._handed) > _KEPT:
            self._forgotten_ns = self._handed.pop(min(self._handed)).start_ns + 1
        return [bar for bar in items if bar is not None]

    # -- the work

    def _keep(self, rows: Iterable[Row]) -> set[int]:
        """Note what changed, and the newest candle; the indices."""
        changed = {index_in(row): row for row in rows}
        self._changed |= changed
        for index in sorted((index for index in changed if index > self._newest), reverse=True):
            if bars := self._bars([changed[index]]):  # else it is a marker, or unreadable
                self._newest, self._span = index, (bars[0].start_ns, bars[0].end_ns)
                break
        return set(changed)

    def _passed(self, bar: Bar) -> Bar | None:
        """The bar as it is to be handed over; None where that has been done, or it is not wanted."""
        if bar.start_ns < self.from_ns or not (self.hours == "eth" or is_regular(bar)):
            return None
        before = self._handed.get(bar.start_ns)
        revision = before.revision if before is not None else int(bar.start_ns < self._forgotten_ns)
        bar = replace(bar, complete=bar.start_ns not in self._torn.values(), revision=revision)
        if before is not None:
            if bar == before:
                return None
            bar = replace(bar, revision=revision + 1)
        self._handed[bar.start_ns] = bar
        return bar

    def _withdrawn(self, start_ns: int) -> Bar | None:
        """A bar whose candle was removed, since corrections left nothing of it."""
        before = self._handed.get(start_ns)
        if before is None or before.open is None:
            return None
        none = dict.fromkeys(("open", "high", "low", "close", "vwap"))
        volumes = dict.fromkeys(("volume", "buy_volume", "sell_volume"), 0.0)
        self._handed[start_ns] = bar = replace(before, **none, **volumes, trades=0, delta_source="none", revision=before.revision + 1)  # type: ignore[arg-type]
        return bar

    def _torn_off(self, known: int, span: tuple[int, int], told: Iterable[int], now_ns: int) -> list[Item]:
        """The Gap after an outage whose snapshot lacks the newest candle known: from its bar on, or from behind it where that had closed."""
        start_ns = span[1] if span[0] in self._handed else span[0]
        if start_ns == span[0]:
            self._torn[known] = start_ns
        later = [index for index in told if index > known]
        end_ns = self._start_of(min(later)) if later else self._running_ns(now_ns)
        return [Gap(self.contract, start_ns, end_ns, "connection lost")] if end_ns > start_ns else []

    def _before_first(self, told: Iterable[int], start_was_cut: bool, now_ns: int) -> list[Item]:
        """The Gap before the first candle of all, where there should be some."""
        starts = [self._start_of(index) for index in sorted(told)[:1]]
        end_ns = max([*starts, self.from_ns]) if starts else self._running_ns(now_ns)
        is_missing = end_ns > self.from_ns and (start_was_cut or (not starts and was_open(self.contract, self.from_ns, end_ns, self.hours)))
        return [Gap(self.contract, self.from_ns, end_ns, NO_HISTORY)] if is_missing else []

    def _running_ns(self, now_ns: int) -> int:
        exchange_ns = now_ns + self._ahead_ns
        return Grid(self.contract, self.timeframe, "session_open", exchange_ns, exchange_ns).span(exchange_ns)[0]

    def _start_of(self, index: int) -> int:
        """Where the bar of a candle starts, whatever the candle says; 0 where it is too early to matter."""
        price = dict.fromkeys(("open", "high", "low", "close"), 1.0)
        bars = self._bars([{"index": index, **price}], candles.CandleCounts())
        return bars[0].start_ns if bars else 0

    def _bars(self, rows: Iterable[Row], counts: candles.CandleCounts | None = None) -> list[Bar]:
        found = candles.frame(rows, self.contract, self.timeframe, self.from_ns, _NEVER_NS, counts=counts or self._counts)
        return bars_of(self._split(found), self.contract, self.timeframe, _NEVER_NS)
