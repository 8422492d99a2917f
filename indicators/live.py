"""Indicators kept up with the trades of one contract: closed bars commit, the forming bar previews, a repaired bar is taken back and done again."""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from tastytrade_provider.bars import BarBuilder, BarTrades, Cvd, Footprint
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Bar, Contract, Gap, Roll, Timeframe, TradeBatch

from .base import Indicator, column_names

KEPT = 2_000
"""Closed bars that a late trade can still reach; the BarBuilder keeps as many footprints."""

_MARK_EVERY = 64  # bars: a repair replays at most this many more than it must


class Update(NamedTuple):
    """A bar and the values of all indicators at its close, by column name."""

    bar: Bar
    values: dict[str, float]


class Change(NamedTuple):
    """A bar that closed or changed, and how it stood before where only its values changed, because of earlier bars."""

    update: Update
    before: Update | None


class _Held(NamedTuple):
    key: tuple[int, int]
    update: Update


@dataclass(slots=True)
class _Mark:
    """The indicators as they stood before bar number `at`."""

    at: int
    live: dict[str, Indicator]
    broken: set[str]


class LiveSet:
    """Indicators of one contract and timeframe, fed with trades. No clock and no network: `add` what came, `advance` the time.

    A late, corrected or cancelled trade changes closed bars: those come again with a higher `revision`, and after them every later bar whose values
    changed with them. A bar left without trades comes with an open of None and values of NaN. `unrepaired` counts changed bars too old to be
    redone: they come with values of NaN, and what is summed up since does not hold their change.
    An indicator that raises yields NaN from then on (a sum that missed a bar is no sum); `on_fault(label, error)` hears of it.
    A roll starts everything anew with the new contract.
    """

    def __init__(
        self,
        contract: Contract,
        timeframe: str | Timeframe,
        indicators: Mapping[str, Indicator],
        *,
        on_fault: Callable[[str, Exception], None],
        reset: str = "session_open",
    ) -> None:
        self.unrepaired = 0
        self._builder = BarBuilder(contract, timeframe, reset)
        self._live = dict(indicators)
        self._columns = {label: column_names(label, indicator) for label, indicator in indicators.items()}
        self._on_fault = on_fault
        self._seam_ns: int | None = None
        self._start_over()

    # -- in

    def warm(self, bars: pd.DataFrame) -> None:
        """Commit a history of closed bars before the first trade. Live bars that start no later than its last are taken as known and left out."""
        if self._held or self._seam_ns is not None:
            raise UsageError("history goes in once, before the first bar")
        for label, indicator in self._live.items():
            self._extend(label, indicator, bars)
        if len(bars):
            self._seam_ns = pd.Timestamp(bars.index[-1]).as_unit("ns").value

    def add(self, item: TradeBatch | Gap | Roll) -> list[Update]:
        """Enter what a trade subscription hands over. Returns the bars that closed or changed, with their values."""
        return [change.update for change in self.enter(item)]

    def enter(self, item: TradeBatch | Gap | Roll) -> list[Change]:
        """`add`, for who must tell a changed bar from changed values."""
        if isinstance(item, TradeBatch):
            return self._take(self._builder.add(item))
        if isinstance(item, Gap):
            return self._take(self._builder.add_gap(item))
        forming = self._builder.forming
        changes = self._take([forming]) if forming else []
        self._builder = BarBuilder(item.new, self._builder.timeframe, self._builder.reset)
        for indicator in self._live.values():
            indicator.reset()
        self._seam_ns = None
        self._start_over()
        return changes

    def advance(self, now_ns: int) -> list[Update]:
        """Close the forming bar where the exchange's clock (UTC ns) has passed its end."""
        return [change.update for change in self.pass_time(now_ns)]

    def pass_time(self, now_ns: int) -> list[Change]:
        """`advance`, for who must tell a changed bar from changed values."""
        return self._take(self._builder.advance(now_ns))

    # -- more and fewer indicators

    def include(self, label: str, indicator: Indicator, history: pd.DataFrame | None = None) -> None:
        """Take in another indicator, new and under a label of its own: it catches up with `history` (what went into `warm`) and the bars held.

        Where bars between the two are no longer held it begins with the first that is.
        """
        self._live[label], self._columns[label] = indicator, column_names(label, indicator)
        if history is not None and not self._gone:
            self._extend(label, indicator, history)
        marks = {mark.at: mark for mark in self._marks}
        for i, held in enumerate(self._held):
            mark = marks.get(self._gone + i)
            if mark is not None:
                mark.live[label] = copy.deepcopy(indicator)
                mark.broken |= self._broken & {label}
            bar, values = held.update
            self._held[i] = held._replace(update=Update(bar, values | self._named(label, self._updated(label, indicator, bar))))

    def exclude(self, label: str) -> None:
        """Let an indicator go, and its values with it."""
        gone = set(self._columns.pop(label))
        self._broken.discard(label)
        for live in (self._live, *(mark.live for mark in self._marks)):
            del live[label]
        for i, held in enumerate(self._held):
            bar, values = held.update
            self._held[i] = held._replace(update=Update(bar, {name: value for name, value in values.items() if name not in gone}))

    # -- out

    @property
    def contract(self) -> Contract:
        """The contract whose trades count now."""
        return self._builder.contract

    @property
    def forming(self) -> Update | None:
        """The bar that is not closed yet, and the values if it closed as it stands; None between bars."""
        bar = self._builder.forming
        if bar is None or self._is_known(bar):
            return None
        at = bisect_left(self._held, _key(bar), key=_key_of)
        live, broken = (self._live, self._broken) if at == len(self._held) else self._as_before(at)
        values = {}
        for label, indicator in live.items():
            try:
                values[label] = None if label in broken else indicator.preview(bar)
            except Exception as error:  # nothing was committed: only this preview is lost
                values[label] = None
                self._on_fault(label, error)
        return Update(bar, self._flat(values))

    @property
    def due_ns(self) -> int | None:
        """When the clock closes the forming bar; None between bars, and where trades do."""
        bar = self._builder.forming
        return None if bar is None or not bar.timeframe.is_time else bar.end_ns

    @property
    def values(self) -> dict[str, float]:
        """The values at the last close; NaN before the first."""
        return dict(self._held[-1].update.values) if self._held else self._flat({})

    @property
    def cvd(self) -> Cvd:
        """CVD now with its extremes trade by trade since the reset, in contracts."""
        return self._builder.cvd

    def footprint(self, bar: Bar) -> Footprint:
        """Volume by price in a bar of the current contract, closed or forming. UsageError where it is not kept."""
        return self._kept(bar).footprint(bar)

    def trades_of(self, bar: Bar, before_ns: int = 0) -> BarTrades:
        """The trades of a bar, with those of the `before_ns` nanoseconds before it: as BarBuilder.trades_of, for `of_bar(live, bar)`."""
        return self._kept(bar).trades_of(bar, before_ns)

    # -- the work

    def _kept(self, bar: Bar) -> BarBuilder:
        if bar.contract != self.contract:
            raise UsageError(f"trades and footprints are kept of {self.contract.symbol}; the bar is of {bar.contract.symbol}")
        return self._builder

    def _start_over(self) -> None:
        self._held: list[_Held] = []
        self._gone = 0  # bars no longer held
        self._marks: list[_Mark] = []
        self._broken: set[str] = set()

    def _is_known(self, bar: Bar) -> bool:
        return self._seam_ns is not None and bar.start_ns <= self._seam_ns

    def _take(self, bars: list[Bar]) -> list[Change]:
        """Commit bars in their places, and do again what comes after a changed one."""
        changed = {_key(bar): bar for bar in bars if not self._is_known(bar)}
        changes = []
        if self._gone:
            for key in [key for key in changed if key < self._held[0].key]:
                self.unrepaired += 1
                changes.append(Change(Update(changed.pop(key), self._flat({})), None))
        if not changed:
            return changes
        at = bisect_left(self._held, min(changed), key=_key_of)
        later = {held.key: held.update for held in self._held[at:]}
        if later:
            self._live, self._broken = self._as_before(at)
            self._marks = [mark for mark in self._marks if mark.at <= self._gone + at]
            del self._held[at:]
        for key in sorted(changed.keys() | later.keys()):
            before = None if key in changed else later[key]
            bar = changed[key] if before is None else before.bar
            if bar.open is None:
                changes.append(Change(Update(bar, self._flat({})), None))
                continue
            update = self._commit(key, bar)
            if before is None or not same_values(update.values, before.values):
                changes.append(Change(update, before))
        return changes

    def _commit(self, key: tuple[int, int], bar: Bar) -> Update:
        place = self._gone + len(self._held)
        if place % _MARK_EVERY == 0 and not (self._marks and self._marks[-1].at == place):
            self._marks.append(_Mark(place, copy.deepcopy(self._live), set(self._broken)))
        update = Update(bar, self._flat({label: self._updated(label, indicator, bar) for label, indicator in self._live.items()}))
        self._held.append(_Held(key, update))
        if len(self._held) >= KEPT + _MARK_EVERY:
            cut = self._marks[1].at - self._gone
            del self._held[:cut], self._marks[0]
            self._gone += cut
        return update

    def _as_before(self, at: int) -> tuple[dict[str, Indicator], set[str]]:
        """Copies of the indicators as they stood before the held bar `at`."""
        mark = next(mark for mark in reversed(self._marks) if mark.at <= self._gone + at)
        live, broken = copy.deepcopy(mark.live), set(mark.broken)
        for held in self._held[mark.at - self._gone : at]:
            for label in live.keys() - broken:
                try:
                    live[label].update(held.update.bar)
                except Exception:  # reported when it first happened
                    broken.add(label)
        return live, broken

    def _extend(self, label: str, indicator: Indicator, history: pd.DataFrame) -> None:
        """Commit a history, with what its contract knows where the frame does not say it itself."""
        bars = history.copy(deep=False)
        bars.attrs = {"tick_size": self.contract.tick_size, "calendar": self.contract.calendar} | history.attrs
        try:
            indicator.extend(bars)
        except Exception as error:  # one indicator's fault must not reach the others
            self._failed(label, error)

    def _updated(self, label: str, indicator: Indicator, bar: Bar) -> dict[str, float] | None:
        """Commit a bar; None from an indicator that has failed, now or before."""
        try:
            return None if label in self._broken else indicator.update(bar)
        except Exception as error:  # one indicator's fault must reach neither the others nor the caller
            self._failed(label, error)
            return None

    def _failed(self, label: str, error: Exception) -> None:
        self._broken.add(label)
        self._on_fault(label, error)

    def _flat(self, values: Mapping[str, Mapping[str, float] | None]) -> dict[str, float]:
        """Values by column name; NaN for an indicator without any."""
        flat: dict[str, float] = {}
        for label in self._columns:
            flat |= self._named(label, values.get(label))
        return flat

    def _named(self, label: str, found: Mapping[str, float] | None) -> dict[str, float]:
        columns = self._columns[label]
        return dict.fromkeys(columns, math.nan) if found is None else dict(zip(columns, found.values(), strict=True))


def _key(bar: Bar) -> tuple[int, int]:
    """A bar's place, which a repair does not change: its start, or its number in the session where trades make bars."""
    return (bar.start_ns, 0) if bar.timeframe.is_time else (bar.session.toordinal(), bar.bar_no)


def _key_of(held: _Held) -> tuple[int, int]:
    return held.key


def same_values(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two updates of a live set say the same; NaN equals NaN."""
    return all(a == b or (a != a and b != b) for a, b in zip(one.values(), other.values(), strict=True))
