"""Reading a footprint: imbalances and their stacks, unfinished auctions, exhaustion, absorption. One calculation for a history and for the forming bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastytrade_provider.bars import millionths, profile
from tastytrade_provider.model import Contract

from . import trade_kernels as k
from .columns import Floats, Int64
from .params import Param, choice, number, whole

Flags = NDArray[np.bool_]

RULES: tuple[Param, ...] = (
    number("ratio", 3.0, 1, "an imbalance has at least so many times the volume of the side it is compared with, diagonally"),
    number("min_volume", 30, 0, "an imbalance has at least so many contracts"),
    choice("ignore_zero", False, (False, True), "whether a side of volume 0 is no comparison; else it is a 0 like any number"),
    whole("stack", 3, 2, 1000, "consecutive imbalances of one side that make a stack"),
    number(
        "unfinished_volume", 20, 0, "more than so many contracts of the side that drove to an extreme leave its auction unfinished, where the other traded too"
    ),
    whole("exhaustion_levels", 5, 2, 1000, "levels inwards from the extreme whose volume must rise strictly"),
    whole("absorption_levels", 5, 1, 1000, "levels from the extreme inwards in which an imbalance can be absorbed"),
    whole("reversal_ticks", 4, 1, 100_000, "ticks from an absorbed imbalance to the close, against the imbalance"),
    Param("value_area", 0.7, "a number from 0 to 1", "share of the volume in the value area", lambda v: isinstance(v, int | float) and 0 <= v <= 1),
)
"""How a footprint is read."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Footprints of bars, read. Per cell or per bar, as said; prices in ticks, volumes in lots.

    bounds  cells of bar b are rows bounds[b] to bounds[b + 1]      close  of each bar

    At a price p bought[p] is compared with sold[p - row], the row below, and sold[p] with bought[p + row]: what is compared stood at the bid and
    the ask at once. Where the other row is outside the bar there is no comparison; inside, a price that did not trade has volume 0.
    """

    contract: Contract
    rules: Mapping[str, Any]
    row: int
    bounds: Int64
    ticks: Int64
    sell: Int64
    unknown: Int64
    buy: Int64
    close: Int64

    @cached_property
    def profile(self) -> Int64:
        """Per bar: point of control, low and high of the value area."""
        out = np.empty((len(self.close), 3), np.int64)
        profile(self.bounds, self.ticks, self.sell + self.unknown + self.buy, self.row, millionths(self.rules["value_area"]), out)
        return out

    @property
    def buy_imbalance(self) -> Flags:
        """Per cell: whether buying outweighs the selling one row below."""
        found: Flags = self._read[0][k.IMBALANCE] != 0
        return found

    @property
    def sell_imbalance(self) -> Flags:
        """Per cell: whether selling outweighs the buying one row above."""
        found: Flags = self._read[0][k.CELL_WIDTH + k.IMBALANCE] != 0
        return found

    def stacks(self, side: int) -> Int64:
        """A row (lowest cell, highest cell) for each stack of imbalances of buying (+1) or selling (-1) at consecutive prices."""
        height = self._read[0][_CELL_OF[side] + k.STACK]
        high = np.flatnonzero(height)
        found: Int64 = np.column_stack([high - height[high] + 1, high])
        return found

    def absorbed(self, side: int) -> Int64:
        """Cells with an imbalance near the high of buying (+1), near the low of selling (-1), that the close has left behind by reversal_ticks."""
        return np.flatnonzero(self._read[0][_CELL_OF[side] + k.ABSORBED])

    def extremes(self, side: int, what: int) -> Int64:
        """The highest (+1) or lowest (-1) cells of the bars for which `what` holds there: trade_kernels.UNFINISHED or EXHAUSTED."""
        bars = np.flatnonzero(self._read[1][_BAR_OF[side] + what])
        return self.bounds[bars + 1] - 1 if side > 0 else self.bounds[bars]

    def bar_of(self, cells: Int64) -> Int64:
        """The bars that cells belong to."""
        return np.searchsorted(self.bounds, cells, side="right") - 1

    def columns(self) -> dict[str, Any]:
        """Per bar, in price units and contracts: the outputs of `footprint_bars`."""
        price, found = self.contract.price, self._read[1]
        high, low = found[: k.BAR_WIDTH], found[k.BAR_WIDTH : 2 * k.BAR_WIDTH]
        return {
            "poc": price(self.profile[:, 0]), "val": price(self.profile[:, 1]), "vah": price(self.profile[:, 2]),
            "buy_imbalances": high[k.IMBALANCES], "sell_imbalances": low[k.IMBALANCES],
            "stacked_buy": high[k.STACKS], "stacked_sell": low[k.STACKS],
            "unfinished_high": high[k.UNFINISHED] != 0, "unfinished_low": low[k.UNFINISHED] != 0,
            "exhaustion_high": high[k.EXHAUSTED] != 0, "exhaustion_low": low[k.EXHAUSTED] != 0,
            "absorption_high": high[k.ABSORPTIONS] > 0, "absorption_low": low[k.ABSORPTIONS] > 0,
            "ratio_high": high[k.RATIO], "ratio_low": low[k.RATIO],
            "unknown_volume": self.contract.size(found[-1].astype(np.int64)),
        }  # fmt: skip

    @cached_property
    def _read(self) -> tuple[NDArray[np.int32], Floats]:
        """What `trade_kernels.read` says of the cells, and of the bars."""
        rules, cells, bars = self.rules, np.zeros((2 * k.CELL_WIDTH, len(self.ticks)), np.int32), np.zeros((2 * k.BAR_WIDTH + 1, len(self.close)))
        k.read(
            self.bounds, self.ticks, self.sell, self.unknown, self.buy, self.close, self.row,
            self._lots(rules["min_volume"], above=False), millionths(rules["ratio"]), rules["ignore_zero"], rules["stack"],
            self._lots(rules["unfinished_volume"], above=True), rules["exhaustion_levels"], rules["absorption_levels"], rules["reversal_ticks"],
            cells, bars,
        )  # fmt: skip
        return cells, bars

    def _lots(self, size: float, *, above: bool) -> int:
        """The fewest lots that are at least a size, or above it."""
        if size > _MANY:
            return _MANY
        lots = max(self.contract.lots(size) - 1, 0)
        while self.contract.size(lots) < size or (above and self.contract.size(lots) == size):
            lots += 1
        return lots


_CELL_OF, _BAR_OF = {1: 0, -1: k.CELL_WIDTH}, {1: 0, -1: k.BAR_WIDTH}
_MANY = 1 << 40  # lots that never trade
