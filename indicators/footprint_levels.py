"""Reading a footprint: imbalances and their stacks, unfinished auctions, exhaustion, absorption. One calculation for a history and for the forming bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastytrade_provider.bars import MILLION, millionths, profile
from tastytrade_provider.model import Contract

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
    def bar(self) -> Int64:
        """Per cell: its bar."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    @property
    def first(self) -> Int64:
        """Per bar: its lowest cell."""
        return self.bounds[:-1]

    @property
    def last(self) -> Int64:
        """Per bar: its highest cell."""
        return self.bounds[1:] - 1

    @cached_property
    def profile(self) -> Int64:
        """Per bar: point of control, low and high of the value area."""
        out = np.empty((len(self.first), 3), np.int64)
        profile(self.bounds, self.ticks, self.sell + self.unknown + self.buy, self.row, millionths(self.rules["value_area"]), out)
        return out

    @cached_property
    def buy_imbalance(self) -> Flags:
        """Per cell: whether buying outweighs the selling one row below."""
        sold_below = self._beside(self.sell, -1)
        found = self._outweighs(self.buy, sold_below)
        found[self.first] = False
        return found

    @cached_property
    def sell_imbalance(self) -> Flags:
        """Per cell: whether selling outweighs the buying one row above."""
        bought_above = self._beside(self.buy, 1)
        found = self._outweighs(self.sell, bought_above)
        found[self.last] = False
        return found

    def stacks(self, side: int) -> Int64:
        """A row (lowest cell, highest cell) for each stack of imbalances of buying (+1) or selling (-1) at consecutive prices."""
        is_so = self._imbalance(side)
        starts, ends = is_so.copy(), is_so.copy()
        joined = self._follows() & is_so[1:] & is_so[:-1]
        starts[1:] &= ~joined
        ends[:-1] &= ~joined
        runs: Int64 = np.column_stack([np.flatnonzero(starts), np.flatnonzero(ends)])
        tall: Int64 = runs[runs[:, 1] - runs[:, 0] + 1 >= self.rules["stack"]]
        return tall

    def unfinished(self, side: int) -> Flags:
        """Per bar: whether its high (+1) or low (-1) traded on both sides, on the one that drove there with more than unfinished_volume."""
        at, drove, other = (self.last, self.buy, self.sell) if side > 0 else (self.first, self.sell, self.buy)
        found: Flags = (self.contract.size(drove[at]) > self.rules["unfinished_volume"]) & (other[at] > 0)
        return found

    def exhausted(self, side: int) -> Flags:
        """Per bar: whether the volume of the side that drove to its high (+1) or low (-1) dries up there, strictly, over exhaustion_levels prices."""
        at, drove = (self.last, self.buy) if side > 0 else (self.first, self.sell)
        found = np.ones(len(at), bool)
        for k in range(1, self.rules["exhaustion_levels"]):
            inner = np.clip(at - side * k, self.first, self.last)
            outer = np.clip(inner + side, self.first, self.last)
            found &= (self.ticks[at] - self.ticks[inner] == side * k * self.row) & (drove[inner] > drove[outer])
        return found

    def absorbed(self, side: int) -> Flags:
        """Per cell: an imbalance near the high of buying (+1), near the low of selling (-1), that the close has left behind by reversal_ticks."""
        extreme = self.ticks[self.last if side > 0 else self.first][self.bar]
        near = np.abs(self.ticks - extreme) < self.rules["absorption_levels"] * self.row
        found: Flags = self._imbalance(side) & near & (side * (self.ticks - self.close[self.bar]) >= self.rules["reversal_ticks"])
        return found

    def ratio(self, side: int) -> Floats:
        """Per bar: volume of the side that drove to the high (+1) or low (-1), next to the extreme and at it, divided; NaN where nothing is to divide by."""
        at, drove = (self.last, self.buy) if side > 0 else (self.first, self.sell)
        inner = self._beside(drove, -side)
        out = np.full(len(at), np.nan)
        np.divide(inner[at], drove[at], out=out, where=(drove[at] > 0) & (self.first < self.last))
        return out

    def columns(self) -> dict[str, Any]:
        """Per bar, in price units and contracts: the outputs of `footprint_bars`."""
        price, bars = self.contract.price, len(self.first)

        def count(cells: Any) -> Floats:
            return np.bincount(self.bar[cells], minlength=bars).astype(np.float64)

        volume = np.add.reduceat(np.column_stack([self.sell, self.unknown, self.buy]), self.first) if bars else np.empty((0, 3), np.int64)
        return {
            "poc": price(self.profile[:, 0]), "val": price(self.profile[:, 1]), "vah": price(self.profile[:, 2]),
            "buy_imbalances": count(self.buy_imbalance), "sell_imbalances": count(self.sell_imbalance),
            "stacked_buy": count(self.stacks(1)[:, 0]), "stacked_sell": count(self.stacks(-1)[:, 0]),
            "unfinished_high": self.unfinished(1), "unfinished_low": self.unfinished(-1),
            "exhaustion_high": self.exhausted(1), "exhaustion_low": self.exhausted(-1),
            "absorption_high": count(self.absorbed(1)) > 0, "absorption_low": count(self.absorbed(-1)) > 0,
            "ratio_high": self.ratio(1), "ratio_low": self.ratio(-1),
            "unknown_volume": self.contract.size(volume[:, 1]),
        }  # fmt: skip

    def _imbalance(self, side: int) -> Flags:
        return self.buy_imbalance if side > 0 else self.sell_imbalance

    def _follows(self) -> Flags:
        """Per cell but the first: whether it is one row above the cell before, in the same bar."""
        found: Flags = (np.diff(self.ticks) == self.row) & (self.bar[1:] == self.bar[:-1])
        return found

    def _beside(self, values: Int64, side: int) -> Int64:
        """Per cell: the value one row above (+1) or below (-1), 0 where nothing traded."""
        out, follows = np.zeros(len(values), np.int64), self._follows()
        if side > 0:
            out[:-1] = np.where(follows, values[1:], 0)
        else:
            out[1:] = np.where(follows, values[:-1], 0)
        return out

    def _outweighs(self, one: Int64, other: Int64) -> Flags:
        enough = (one > 0) & (self.contract.size(one) >= self.rules["min_volume"])
        if self.rules["ignore_zero"]:
            enough &= other > 0
        found: Flags = enough & (one * MILLION >= millionths(self.rules["ratio"]) * other)
        return found
