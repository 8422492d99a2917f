"""How far delta and CVD can be trusted: what nobody could tell, and what the exchange told."""

from __future__ import annotations

import numpy as np

from tastytrade_provider.bars import cumulate

from . import kernels as k
from .base import Indicator
from .columns import Columns, Floats
from .cvd import empty_sum
from .segments import PARAMS, Anchor

BY_EXCHANGE = ("time_and_sale", "candle")
"""`delta_source` of bars whose sides the exchange told, and no rule inferred."""


class DeltaQuality(Indicator):
    """Unknown volume and the share of volume whose side the exchange told, of each bar and of CVD since its anchor.

    Input   closed bars with volume, buy_volume, sell_volume; delta_source where known.
    Output  unknown_volume       of the bar, in contracts, in neither buy nor sell volume; all of it where the bar has no split
            quality              share of the bar's volume whose side the exchange told, from 0 to 1: its sided volume by the bar's delta_source;
                                 NaN without volume, or where no delta_source says
            cvd_unknown_volume   the running sum of unknown_volume since CVD's anchor: CVD would be within this of what it is, were all sides known
            cvd_quality          the share since the anchor
    Resets  as of `cvd`.
    Bars name the source of most of their sides; `delta_detail` counts trade by trade.

    >>> import pandas as pd
    >>> bars = pd.DataFrame({"volume": [10, 10], "buy_volume": [6, 5], "sell_volume": [2, 5], "delta_source": ["time_and_sale", "tick_rule"]})
    >>> DeltaQuality(reset="never").run(bars).values.tolist()
    [[2.0, 0.8, 2.0, 0.8], [0.0, 0.0, 2.0, 0.4]]
    """

    name = "delta_quality"
    inputs = ("volume", "buy_volume", "sell_volume")
    outputs = ("unknown_volume", "quality", "cvd_unknown_volume", "cvd_quality")
    accepts = PARAMS

    def _state(self) -> tuple[Floats, Floats, Floats, Anchor]:
        return empty_sum(), empty_sum(), empty_sum(), Anchor(self.params["reset"], self.params["calendar"])

    def _kernel(self, state: tuple[Floats, Floats, Floats, Anchor], bars: Columns, out: Floats) -> None:
        *sums, anchor = state
        volume = bars.floats("volume")
        sided = np.nan_to_num(bars.floats("buy_volume") + bars.floats("sell_volume"))
        keys, told = anchor.keys(bars), told_volume(bars, sided)
        k.difference(volume, sided, out.T[0])
        totals = [self._running(total, keys, values) for total, values in zip(sums, (out[:, 0], told, volume), strict=True)]
        out[:, 2] = totals[0]
        np.divide(told, volume, out=out[:, 1], where=volume > 0)
        np.divide(totals[1], totals[2], out=out[:, 3], where=totals[2] > 0)

    @staticmethod
    def _running(total: Floats, keys: Floats, values: Floats) -> Floats:
        out = np.empty((len(values), 4))
        cumulate(total, keys, values.copy(), values, values, out, True)
        return out[:, 3]


def told_volume(bars: Columns, sided: Floats) -> Floats:
    """Of the sided volume of each bar, what the exchange told; NaN where no delta_source says."""
    if "delta_source" not in bars:
        return np.full(len(bars), np.nan)
    return np.where(np.isin(bars.words("delta_source").astype(str), BY_EXCHANGE), sided, 0.0)
