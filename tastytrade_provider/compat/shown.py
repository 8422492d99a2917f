"""Live bars in ib_async's lists, with its events. Unlike there, an empty list grows, and a bar that is repaired later is exchanged in its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ib_async import BarData, BarDataList, RealTimeBar, RealTimeBarList, util

from .bars import Row
from .hours import moment

if TYPE_CHECKING:
    from .ib import IB


def show(ib: IB, bars: BarDataList, bar: BarData) -> None:
    """A bar as it stands now: appended where it is new, exchanged where it has changed. `barUpdateEvent` and `updateEvent` tell, with hasNewBar."""
    bar.date = util.parseIBDatetime(bar.date)  # type: ignore[arg-type]  # still text, as in ib_async's own wrapper
    _place(ib, bars, bar, "date")


def add_realtime(ib: IB, bars: RealTimeBarList, row: Row) -> None:
    """A bar of five seconds that is over."""
    average, count = (-1 if math.isnan(value) else value for value in (row.average, row.trades))
    time = moment(row.start_ns, ib.wrapper.defaultTimezone)
    _place(ib, bars, RealTimeBar(time, -1, row.open, row.high, row.low, row.close, row.volume, average, int(count)), "time")


def _place(ib: IB, bars: Any, bar: Any, key: str) -> None:
    at = len(bars)
    while at and getattr(bars[at - 1], key) > getattr(bar, key):
        at -= 1
    has_new = at == 0 or getattr(bars[at - 1], key) != getattr(bar, key)
    if has_new and at < len(bars):
        bars.insert(at, bar)  # it came late; it is no new bar to those who watch the end
    elif has_new:
        bars.append(bar)
    elif bars[at - 1] == bar:
        return
    else:
        bars[at - 1] = bar
    is_last = has_new and at == len(bars) - 1
    ib.barUpdateEvent.emit(bars, is_last)
    bars.updateEvent.emit(bars, is_last)
