"""What footprints say, bar by bar and level by level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tastytrade_provider.bars import BarHistory, Footprint, build_history, grouped
from tastytrade_provider.model import Bar, Contract, TradeBatch

from .columns import Int64
from .footprint import ROWS
from .footprint_levels import RULES, Reading
from .params import settle
from .trade_kernels import EXHAUSTED, UNFINISHED, first_touch
from .trades import BARS, FromTrades, Kept

_SUMMARY = (
    "poc", "val", "vah", "buy_imbalances", "sell_imbalances", "stacked_buy", "stacked_sell", "unfinished_high", "unfinished_low",
    "exhaustion_high", "exhaustion_low", "absorption_high", "absorption_low", "ratio_high", "ratio_low", "unknown_volume",
)  # fmt: skip


_Found = tuple[str, int, Int64, Int64, Int64]  # kind, side; of each level its bar, its lowest and its highest price in ticks


def read_footprint(footprint: Footprint, close: float, **rules: Any) -> Reading:
    """Read one footprint, of a closed bar, of the forming one or of several merged; `close` is the bar's last price. Rules as of `footprint_bars`.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> cells = np.array([[24000, 50, 0, 0], [24001, 9, 0, 150], [24002, 9, 0, 27], [24003, 9, 0, 30], [24004, 0, 0, 2]])  # ticks, sell, unknown, buy
    >>> found = read_footprint(Footprint.of(es, cells), 6001.0, min_volume=20)
    >>> found.buy_imbalance.tolist(), found.stacks(1).tolist()
    ([False, True, True, True, False], [[1, 3]])
    """
    n = len(footprint.ticks)
    return Reading(
        footprint.contract, settle("read_footprint", RULES, rules), footprint.ticks_per_row, np.array([0, n] if n else [0]),
        footprint.ticks, footprint.sell, footprint.unknown, footprint.buy, np.array([footprint.contract.ticks(close)] if n else [], np.int64),
    )  # fmt: skip


class _Read(FromTrades):
    accepts = (*BARS, ROWS, *RULES)

    def _reading(self, trades: TradeBatch, contract: Contract) -> tuple[Reading, BarHistory]:
        history = build_history(trades, self.params["timeframe"], contract)
        rules = {param.name: self.params[param.name] for param in RULES}
        cells = grouped(history.cells, self.params["ticks_per_row"])
        bounds = np.append(0, np.cumsum(np.bincount(cells[:, 0], minlength=len(history.rows))))
        ticks, sell, unknown, buy = (np.ascontiguousarray(cells[:, i]) for i in range(1, 5))
        return Reading(contract, rules, self.params["ticks_per_row"], bounds, ticks, sell, unknown, buy, history.ticks("close")), history

    def of_bar(self, kept: Kept, bar: Bar) -> Reading:
        """The footprint of one bar, closed or forming, read by the same rules. UsageError where it is not kept."""
        rules = {param.name: self.params[param.name] for param in RULES}
        footprint = kept.footprint(bar).grouped(self.params["ticks_per_row"])
        assert bar.close is not None  # a bar without trades has no footprint
        return read_footprint(footprint, bar.close, **rules)


class FootprintBars(_Read):
    """What the footprint of each bar says, from trades.

    Input   as of `footprint`.
    Output  a row for each bar
            poc, val, vah    point of control, low and high of the value area, which holds `value_area` of the volume, in price units
            buy_imbalances, sell_imbalances   how many prices have one: bought there at least `ratio` times what was sold one row below, or sold
                             there so many times what was bought one row above, and at least min_volume contracts
            stacked_buy, stacked_sell   how many stacks of at least `stack` imbalances at consecutive prices
            unfinished_high, unfinished_low   the extreme traded on both sides: bought more than unfinished_volume at the high and anything sold,
                             or sold more than that at the low and anything bought
            exhaustion_high, exhaustion_low   over exhaustion_levels consecutive prices the buying dries up towards the high, strictly; the selling
                             towards the low
            absorption_high, absorption_low   an imbalance of buying among the absorption_levels prices at the high, and a close at least
                             reversal_ticks below it; an imbalance of selling at the low and a close above it
            ratio_high, ratio_low   bought one row below the high / bought at the high; sold one row above the low / sold at the low; NaN where
                             nothing was. A bar that fell is read at its high, one that rose at its low; 0.71 and 29 are customary bounds
            unknown_volume   contracts on neither side: they are in poc, val and vah and in nothing else
    A closed bar's row never changes but by a correction. Live: `of_bar(builder, bar).columns()`, of the forming bar as it stands.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> trades = TradeBatch(es, {"time_ns": [1_767_600_000_000_000_000] * 2, "price": [6000, 6000.25], "size": [10, 40], "side": [-1, 1]})
    >>> FootprintBars().run(trades)[["poc", "val", "buy_imbalances"]].values.tolist()
    [[6000.25, 6000.25, 1.0]]
    """

    name = "footprint_bars"
    outputs = _SUMMARY
    flags = frozenset(name for name in _SUMMARY if name.startswith(("unfinished", "exhaustion", "absorption")))

    def _of(self, trades: TradeBatch, contract: Contract) -> pd.DataFrame:
        reading, history = self._reading(trades, contract)
        return pd.DataFrame(reading.columns(), index=history.time, columns=list(self.outputs))


class FootprintLevels(_Read):
    """Levels that footprints leave behind, and when a later bar trades them, from trades. Over "1d" bars: levels of session profiles.

    Input   as of `footprint`; rules as of `footprint_bars`.
    Output  a row for each level, in order of time
            kind     stacked, unfinished, exhaustion, absorption, poc
            side     +1 of buying or at the high, -1 of selling or at the low, 0 of a POC
            start, end   lowest and highest price, in price units; of single prices both are the same
            levels   rows from start to end
            ended    start of the first later bar whose range touches it; NaT while none does. A POC with NaT is naked

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> opened = 1_767_600_000_000_000_000
    >>> trades = TradeBatch(es, {"time_ns": [opened, opened + 60 * 10**9], "price": [6000, 6001], "size": [1, 1], "side": [1, 1]})
    >>> FootprintLevels().run(trades)[["kind", "start", "ended"]].values.tolist()
    [['poc', 6000.0, NaT], ['poc', 6001.0, NaT]]
    """

    name = "footprint_levels"
    outputs = ("kind", "side", "start", "end", "levels", "ended")

    def _of(self, trades: TradeBatch, contract: Contract) -> pd.DataFrame:
        reading, history = self._reading(trades, contract)
        found: list[_Found] = [("poc", 0, np.arange(len(history.rows)), reading.profile[:, 0], reading.profile[:, 0])]
        for side in (1, -1):
            low, high = reading.stacks(side).T
            found.append(("stacked", side, reading.bar_of(low), reading.ticks[low], reading.ticks[high]))
            single = {"unfinished": reading.extremes(side, UNFINISHED), "exhaustion": reading.extremes(side, EXHAUSTED), "absorption": reading.absorbed(side)}
            found += [(kind, side, reading.bar_of(cells), reading.ticks[cells], reading.ticks[cells]) for kind, cells in single.items()]
        bar, start, end = (np.concatenate(columns) for columns in list(zip(*found, strict=True))[2:])
        which = np.repeat(np.arange(len(found)), [len(bars) for _, _, bars, _, _ in found])
        order = np.lexsort((start, which, bar))
        bar, start, end, which = bar[order], start[order], end[order], which[order]
        touched = np.empty(len(bar), np.int64)
        first_touch(bar, start, end + reading.row - 1, history.ticks("low"), history.ticks("high"), touched)
        starts = np.append(history.time.as_unit("ns").asi8, np.iinfo(np.int64).min)  # the last one, which -1 finds, is NaT
        columns = {
            "kind": np.array([kind for kind, *_ in found], object)[which],
            "side": np.array([side for _, side, *_ in found])[which],
            "start": contract.price(start),
            "end": contract.price(end),
            "levels": (end - start) // reading.row + 1,
            "ended": pd.DatetimeIndex(starts[touched].view("M8[ns]"), tz="UTC"),
        }
        return pd.DataFrame(columns, index=pd.DatetimeIndex(starts[bar].view("M8[ns]"), tz="UTC", name="time"))
