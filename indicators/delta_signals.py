"""Signals of single bars from price and delta: known at the close, without delay."""

from __future__ import annotations

import numpy as np

from . import kernels as k
from .base import Indicator
from .columns import Columns, Floats
from .segments import PARAMS, Anchor


class DeltaSignals(Indicator):
    """Delta turnaround, and new extremes on an opposite delta.

    turnaround          -1: two bars rose, this one fell on a negative delta though its high is not below the one before; +1 mirrored
    extreme_divergence  -1: a high above all of the segment's bars before, on a negative delta; +1: a low below all, on a positive one

    Input   closed bars with open, high, low, close, buy_volume, sell_volume.
    Output  turnaround, extreme_divergence: +1 bullish, -1 bearish, 0 none; NaN where the bar has no split
    Resets  as of `cvd`: extremes, and the bars a turnaround looks back at, are those of one segment; with session_open, of the session.
    The third of its kind, a bar that moves against its delta, is `bar_divergence` of `delta_divergence`.

    >>> import pandas as pd
    >>> bars = pd.DataFrame({"open": [1, 2, 3.5], "high": [2, 3, 4], "low": [1, 2, 2], "close": [2, 3, 2], "buy_volume": 1, "sell_volume": [0, 0, 5]})
    >>> DeltaSignals(reset="never").run(bars).iloc[2].tolist()
    [-1.0, -1.0]
    """

    name = "delta_signals"
    inputs = ("open", "high", "low", "close", "buy_volume", "sell_volume")
    outputs = ("turnaround", "extreme_divergence")
    accepts = PARAMS

    def _state(self) -> tuple[Floats, Anchor]:
        return np.full(k.SIGNALS_STATE, np.nan), Anchor(self.params["reset"], self.params["calendar"])

    def _kernel(self, state: tuple[Floats, Anchor], bars: Columns, out: Floats) -> None:
        held, anchor = state
        k.signals(held, anchor.keys(bars), bars.table(self.inputs), out.T)
