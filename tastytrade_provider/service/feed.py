"""One contract at one timeframe: the live set, its bars so far, and CVD since it last started anew. Pure: trades in, rows out."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

import orjson

from ..bars import Footprint
from ..errors import UsageError
from ..indicators import Indicator, LiveSet, Update
from ..model import Bar, Contract, Timeframe
from .recent import Item
from .resets import Resets
from .wire import record_of

KEPT: Final = 5_000
"""Bars held for clients; older ones come from the provider's history."""

SIGNALS: Final = ("regular", "hidden", "absorption")

Key = tuple[int, int]


class Row(NamedTuple):
    """A closed bar, its values, and its JSON."""

    update: Update
    json: orjson.Fragment


@dataclass(frozen=True, slots=True)
class CvdNow:
    """CVD of the last bar, its extremes since it started anew at `since_ns` (the start of that segment's first bar), in contracts."""

    value: float
    high: float
    low: float
    since_ns: int


class Feed:
    """Bars and indicators of one contract and timeframe."""

    def __init__(
        self,
        contract: Contract,
        timeframe: str,
        indicators: Mapping[str, Indicator],
        resets: Resets,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self.timeframe = Timeframe.parse(timeframe)
        self.live = LiveSet(contract, self.timeframe, indicators, on_fault=on_fault)
        self.closed = 0
        self.is_whole = True  # nothing was forgotten since the first bar
        self._resets = resets
        self._rows: dict[Key, Row] = {}
        self._keys: list[Key] = []
        self._peak: tuple[tuple[date, int], CvdNow] | None = None  # over the closed bars of the running segment

    # -- in

    def add(self, item: Item) -> list[Row]:
        """Enter what a trade subscription hands over. Returns the bars that closed or changed."""
        return self._take(self.live.add(item))

    def advance(self, now_ns: int) -> list[Row]:
        """Let the exchange's clock close a bar."""
        return self._take(self.live.advance(now_ns))

    # -- out

    @property
    def forming(self) -> Update | None:
        """The bar that is not closed yet."""
        return self.live.forming

    def rows(self, start_ns: int | None = None, end_ns: int | None = None) -> list[Row]:
        """Closed bars held that start in [start_ns, end_ns), oldest first."""
        found = (self._rows[key] for key in self._keys)
        return [row for row in found if (start_ns is None or row.update.bar.start_ns >= start_ns) and (end_ns is None or row.update.bar.start_ns < end_ns)]

    def last(self, most: int) -> list[Row]:
        """The latest closed bars, oldest first."""
        return [self._rows[key] for key in self._keys[-most:]] if most > 0 else []

    @property
    def first_ns(self) -> int | None:
        """Where the first bar held starts."""
        if self._keys:
            return self._rows[self._keys[0]].update.bar.start_ns
        forming = self.forming
        return forming.bar.start_ns if forming else None

    def cvd(self, forming: Update | None) -> CvdNow | None:
        """CVD with the forming bar (pass `self.forming`, or None for the last closed bar); None before the first."""
        peak = self._peak
        if forming is None:
            return peak[1] if peak else None
        segment = self._segment(forming.bar)
        return _raised(peak[1] if peak and peak[0] == segment else None, forming)

    def footprint(self, bar: Bar) -> Footprint | None:
        """Volume by price in a bar; None where it is no longer kept."""
        try:
            return self.live.footprint(bar)
        except UsageError:
            return None

    def signals(self, update: Update) -> list[dict[str, Any]]:
        """The divergences a bar confirmed."""
        values = update.values
        strength = _or_none(values.get("strength"))
        named = [(name, values.get(name, 0.0)) for name in SIGNALS]
        return [{"name": name, "direction": "bullish" if value > 0 else "bearish", "strength": strength} for name, value in named if value and value == value]

    # -- the work

    def _take(self, updates: Iterable[Update]) -> list[Row]:
        rows = []
        for update in updates:
            row = Row(update, orjson.Fragment(orjson.dumps(record_of(update))))
            rows.append(row)
            self._keep(row)
        return rows

    def _keep(self, row: Row) -> None:
        bar, key = row.update.bar, _key(row.update.bar)
        known = key in self._rows
        if bar.open is None:  # corrections left it without trades
            if known:
                del self._rows[key], self._keys[bisect_left(self._keys, key)]
            self._count_again()
            return
        self._rows[key] = row
        if known:
            self._count_again()
            return
        self.closed += 1
        is_last = not self._keys or key > self._keys[-1]
        insort(self._keys, key)
        if len(self._keys) > KEPT:
            del self._rows[self._keys.pop(0)]
            self.is_whole = False
        if is_last:
            segment = self._segment(bar)
            self._peak = segment, _raised(self._peak[1] if self._peak and self._peak[0] == segment else None, row.update)
        else:
            self._count_again()

    def _count_again(self) -> None:
        self._peak = None
        for row in self.rows():
            segment = self._segment(row.update.bar)
            self._peak = segment, _raised(self._peak[1] if self._peak and self._peak[0] == segment else None, row.update)

    def _segment(self, bar: Bar) -> tuple[date, int]:
        return bar.session, self._resets.before(bar.start_ns)


def _raised(now: CvdNow | None, update: Update) -> CvdNow:
    """CVD and its extremes after one more bar. A bar that does not know its own extremes counts with its close, one without a split not at all."""
    value = update.values["cvd"]
    if math.isnan(value):
        return now or CvdNow(0.0, 0.0, 0.0, update.bar.start_ns)
    size, lots = update.bar.contract.size, update.bar.contract.lots
    high, low = (value if math.isnan(edge) else edge for edge in (update.values["cvd_high"], update.values["cvd_low"]))
    before = now or CvdNow(0.0, 0.0, 0.0, update.bar.start_ns)
    return CvdNow(size(lots(value)), max(before.high, size(lots(high))), min(before.low, size(lots(low))), before.since_ns)


def _key(bar: Bar) -> Key:
    """A bar's place, which a repair does not change: its start, or its number in the session where trades make bars."""
    return (bar.start_ns, 0) if bar.timeframe.is_time else (bar.session.toordinal(), bar.bar_no)


def _or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
