"""Delta divergence: price makes a new swing extreme and CVD does not."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Contract

from . import kernels as k
from .base import Indicator
from .columns import SPLIT, Columns, Floats
from .cvd import cvd_of, empty_sum
from .delta_quality import told_volume
from .params import choice, number, whole
from .segments import PARAMS, Anchor

_KINDS = ("regular", "hidden", "absorption")
_RULES = (  # in the kernel's order
    "left", "right", "min_gap", "max_gap", "min_price_ticks", "min_cvd", "min_strength", "equal_ticks", "earlier_pivots",
)  # fmt: skip
_INPUTS = (*SPLIT, "open", "high", "low", "close", "volume", "complete")  # in the kernel's order
_NO_EVENTS = np.empty((0, k.EVENT_WIDTH))

_State = tuple[Floats, Floats, Anchor]


class DeltaDivergence(Indicator):
    """Delta divergence between two swing highs, or two swing lows, of price and the CVD there.

    A pivot high is higher than the `left` bars before it and not lower than the `right` bars after it: of equals the earliest. A low
    mirrored. Each is compared with the previous pivot of its kind, if that lies min_gap to max_gap bars before it and in the same CVD
    segment: no reset or roll, and no bar that is incomplete or without a split, in between. With earlier_pivots above 1 it is compared with so
    many before it, and the nearest that diverges counts. P and C are price and CVD at the pivots, 1 then 2:

    regular     highs: P2 - P1 >= min_price_ticks and C2 - C1 <= -min_cvd: -1    lows: P1 - P2 >= min_price_ticks and C2 - C1 >= min_cvd: +1
    hidden      highs: P2 < P1 and C2 > C1: -1                                   lows: P2 > P1 and C2 < C1: +1
    absorption  highs: |P2 - P1| <= equal_ticks and C2 > C1: -1                  lows: |P2 - P1| <= equal_ticks and C2 < C1: +1

    Each only where its strength is min_strength or more. CVD that stands still under a new extreme is regular while min_cvd is 0, and with
    equal_ticks above 0 a pair can be hidden and absorption at once.

    Input   closed bars with open, high, low, close, volume, buy_volume, sell_volume; session and complete where known.
    Output  regular, hidden, absorption: +1 bullish, -1 bearish, 0 none; on the bar that confirms the pivot, `right` bars after it, and
            never revised by later bars
            conflict        a high and a low confirmed at once speak against each other: the three are 0, `divergences` has both
            bar_divergence  without delay: +1 where the bar fell on a positive delta, -1 where it rose on a negative one, NaN if unknown
            strength        |C2 - C1| / volume between the pivots; NaN without a divergence, as are the next two
            pivot_offset, prev_pivot_offset   how many bars back the two pivots are
    tick_size  prices are compared in whole ticks of it. None: the contract's, or the frame's attrs['tick_size']; failing that as they
            stand, any difference counting as one tick, and min_price_ticks above 1 or equal_ticks above 0 raise UsageError.

    >>> closes = [1, 2, 3, 4, 5, 4, 3, 2, 3, 4, 5, 6, 5, 4, 3]
    >>> buys = [5, 5, 5, 5, 5, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    >>> bars = pd.DataFrame({name: closes for name in ("open", "high", "low", "close")} | {"volume": 5, "buy_volume": buys})
    >>> bars["sell_volume"] = bars["volume"] - bars["buy_volume"]
    >>> found = DeltaDivergence(left=3, right=3, reset="never").run(bars)
    >>> found.loc[found["regular"] != 0, ["regular", "pivot_offset", "prev_pivot_offset"]]
        regular  pivot_offset  prev_pivot_offset
    14     -1.0           3.0               10.0
    """

    name = "delta_divergence"
    outputs = (*_KINDS, "conflict", "bar_divergence", "strength", "pivot_offset", "prev_pivot_offset")
    flags = frozenset({"conflict"})
    accepts = (
        whole("left", 5, 1, 500, "bars before a pivot that it must exceed"),
        whole("right", 5, 1, 500, "bars after a pivot that must not exceed it: the delay of a signal"),
        whole("min_gap", 5, 1, 100_000, "least bars between two pivots compared"),
        whole("max_gap", 60, 1, 100_000, "most bars between two pivots compared, not below min_gap"),
        whole("min_price_ticks", 1, 1, 100_000, "least step of price between pivots for a regular divergence, in ticks"),
        number("min_cvd", 0, 0, "least step of CVD against price for a regular divergence, in contracts"),
        number("min_strength", 0, 0, "least strength of any divergence: step of CVD as a share of the volume between"),
        whole("equal_ticks", 0, 0, 100_000, "prices up to this many ticks apart are equal, for absorption"),
        whole("earlier_pivots", 1, 1, 100, "how many pivots of its kind before it a pivot is compared with, the nearest first, until one diverges"),
        choice("cvd_value", "close", ("close", "extreme"), "CVD at a pivot: of the bar's close, or its high at highs and its low at lows"),
        number("tick_size", None, 0, "smallest price step, in price units", above=True),
        *PARAMS,
    )

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        p = self.params
        if p["max_gap"] < p["min_gap"]:
            raise UsageError(f"delta_divergence: max_gap={p['max_gap']} is not accepted; a whole number from min_gap={p['min_gap']} on is")
        extremes = ("min_delta", "max_delta") if p["cvd_value"] == "extreme" else ()
        self.inputs = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", *extremes)
        self._rules = np.array([p[name] for name in _RULES] + ([1, 2] if extremes else [3, 3]), np.float64)

    @property
    def warmup(self) -> int:
        """Bars before the first that can confirm a second pivot; pivots of a kind are further apart than the lesser of left and right."""
        p = self.params
        return int(p["left"] + max(p["min_gap"], min(p["left"], p["right"]) + 1) + p["right"])

    def _state(self) -> _State:
        pivots = np.full(k.state_size(self.params["left"], self.params["right"], self.params["earlier_pivots"]), np.nan)
        pivots[[k.BARS, k.SEGMENT, k.BROKE, k.VOLUME]] = 0, -1, 0, 0
        return empty_sum(), pivots, Anchor(self.params["reset"], self.params["calendar"])

    def _kernel(self, state: _State, bars: Columns, out: Floats) -> None:
        self._run(state, bars, out, _NO_EVENTS)

    def _run(self, state: _State, bars: Columns, out: Floats, events: Floats) -> tuple[int, Floats]:
        """Fill `out` and `events`, see kernels.divergence. Returns the count of events, and CVD as `cvd_of` gives it."""
        total, pivots, anchor = state
        tick_size = self.params["tick_size"] or bars.context("tick_size")
        if tick_size is None and (self.params["min_price_ticks"] > 1 or self.params["equal_ticks"] > 0):
            raise UsageError("delta_divergence: min_price_ticks above 1 and equal_ticks above 0 need tick_size, e.g. tick_size=0.25")
        keys, x = anchor.keys(bars), bars.table(_INPUTS)
        cvd = cvd_of(total, x[:4], keys)
        count = k.divergence(pivots, self._rules, *_ratio(tick_size), keys, cvd, x, out.T, events)
        return count, cvd


def divergences(bars: pd.DataFrame, **params: Any) -> pd.DataFrame:
    """The divergences in a frame of bars as a table of events, oldest first; parameters and needs of `DeltaDivergence`.

    ts, pivot_ts, prev_pivot_ts  starts of the confirming bar (known at its close) and of the two pivots
    kind, direction              regular, hidden or absorption; +1 bullish, -1 bearish
    price, prev_price            at the pivots, in price units                  price_change_ticks  NaN where the tick size is not known
    cvd, prev_cvd, cvd_change    at the pivots, in contracts                    strength  |cvd_change| / volume between
    bars_between                 bars from pivot to pivot                       confirmed_bars  bars from pivot to `ts`
    segment_id                   stretches of unbroken CVD, counted from 0
    quality                      share of the volume between whose side the exchange told; NaN without a column delta_source
    revision                     0, or how often a late, corrected or cancelled trade changed one of the bars it rests on: the most of any
    """
    indicator = DeltaDivergence(**params)
    columns = Columns(bars)
    columns.require(indicator.name, indicator.inputs)
    p = indicator.params
    found, cvd = _NO_EVENTS, np.empty((0, 4))
    if len(columns):
        # pivots of a kind are further apart than the lesser of left and right; of each two kinds at most can be true at once
        room = np.empty((4 * (len(columns) // (min(p["left"], p["right"]) + 1) + 1), k.EVENT_WIDTH))
        count, cvd = indicator._run(indicator._state(), columns, np.full((len(columns), len(indicator.outputs)), np.nan, order="F"), room)
        found = room[:count]
    row, side, kind, distance = found[:, [k.EVENT_BAR, k.EVENT_SIDE, k.EVENT_KIND, k.EVENT_DISTANCE]].astype(np.int64).T
    at = row - p["right"]
    before = at - distance
    time = pd.DatetimeIndex(bars["time"]) if "time" in bars.columns else bars.index
    price = np.column_stack([columns.floats("high"), columns.floats("low")])
    total = cvd[:, [1, 2]] if p["cvd_value"] == "extreme" else cvd[:, [3, 3]]
    revised = columns.floats_or("revision", 0.0).astype(np.int64)
    numerator, denominator = _ratio(p["tick_size"] or columns.context("tick_size"))
    step = np.full(len(row), np.nan)
    if numerator:
        step = np.rint(price[at, side] * denominator / numerator) - np.rint(price[before, side] * denominator / numerator)
    return pd.DataFrame(
        {
            "ts": time[row],
            "pivot_ts": time[at],
            "prev_pivot_ts": time[before],
            "kind": np.array(_KINDS, object)[kind],
            "direction": np.where(side == 0, -1, 1),
            "price": price[at, side],
            "prev_price": price[before, side],
            "cvd": total[at, side],
            "prev_cvd": total[before, side],
            "price_change_ticks": step,
            "cvd_change": total[at, side] - total[before, side],
            "bars_between": at - before,
            "strength": found[:, k.EVENT_STRENGTH],
            "segment_id": found[:, k.EVENT_SEGMENT].astype(np.int64),
            "confirmed_bars": np.full(len(row), p["right"]),
            "quality": _quality(columns, before, at),
            "revision": np.array([revised[max(a - p["left"], 0) : b + 1].max() for a, b in zip(before, row, strict=True)], np.int64),
        }
    )


@lru_cache(maxsize=256)
def _ratio(tick_size: float | None) -> tuple[int, int]:
    """The tick size as a fraction of whole numbers; (0, 1) where it is not known."""
    return (0, 1) if tick_size is None else Contract("", "", tick_size=tick_size).tick_ratio


def _quality(bars: Columns, before: NDArray[np.int64], at: NDArray[np.int64]) -> Floats:
    """Of the volume after one bar up to another, the share whose side the exchange told."""
    if "delta_source" not in bars or len(at) == 0:
        return np.full(len(at), np.nan)
    told = told_volume(bars, np.nan_to_num(bars.floats("buy_volume") + bars.floats("sell_volume")))
    between = np.column_stack([before + 1, at + 1]).ravel()
    sums = (np.add.reduceat(np.append(column, 0.0), between)[::2] for column in (told, bars.floats("volume")))
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = np.divide(*sums)
    return share
