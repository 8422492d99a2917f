"""Cumulative volume delta."""

from __future__ import annotations

import numpy as np

from tastytrade_provider.bars import cumulate

from . import kernels as k
from .base import Indicator
from .columns import SPLIT, Columns, Floats
from .segments import PARAMS, Anchor


class CVD(Indicator):
    """Cumulative volume delta since the session opened, or another anchor.

    Input   closed bars with buy_volume and sell_volume, in contracts, oldest first; min_delta and max_delta for the high and the low.
    Output  cvd (the close), cvd_open, cvd_high, cvd_low in contracts. Positive: buyers crossed the spread for more than sellers did.
    Resets  on the first bar starting at or after `reset`, so two sessions are never added together; always where the contract changes, as a Bar's
            `contract` or a frame's column `symbol` tells.
    Unknown volume counts in neither; a bar without a split yields NaN and leaves the sum alone.
    cvd_high and cvd_low are NaN where the bar's own extremes are not known: an open-close range would pass for a measured one.
    A history that starts in mid-session counts from its first bar.

    >>> import pandas as pd
    >>> days = pd.to_datetime(["2026-11-23", "2026-11-23", "2026-11-24"])
    >>> bars = pd.DataFrame({"buy_volume": [5, 1, 7], "sell_volume": [2, 4, 6], "session": days})
    >>> CVD().run(bars)["cvd"].tolist()
    [3.0, 0.0, 1.0]
    """

    name = "cvd"
    inputs = ("buy_volume", "sell_volume")
    outputs = ("cvd", "cvd_open", "cvd_high", "cvd_low")
    accepts = PARAMS

    def _state(self) -> tuple[Floats, Anchor]:
        return empty_sum(), Anchor(self.params["reset"], self.params["calendar"])

    def _kernel(self, state: tuple[Floats, Anchor], bars: Columns, out: Floats) -> None:
        total, anchor = state
        k.close_first(cvd_of(total, bars.table(SPLIT), anchor.keys(bars)), out.T)


def empty_sum() -> Floats:
    """The state of `cumulate` before any bar: no segment equals NaN."""
    return np.array([0.0, np.nan])


def cvd_of(state: Floats, split: Floats, keys: Floats) -> Floats:
    """Open, high, low, close of CVD in each bar (n x 4), in contracts; high and low NaN where the delta's extremes are not known.

    split  rows of SPLIT
    """
    ohlc = np.empty((len(keys), 4))
    cumulate(state, keys, split[0] - split[1], split[2], split[3], ohlc, True)
    return ohlc
