"""Volume delta: who crossed the spread for more, bar by bar."""

from __future__ import annotations

import numpy as np

from . import kernels as k
from .base import Indicator
from .columns import SPLIT, Columns, Floats
from .params import choice

EXTREMES = choice("extremes", "zero", ("zero", "sierra"), "whether the delta's extremes in a bar include the 0 it starts from, or only its value after trades")


class VolumeDelta(Indicator):
    """Volume delta of each bar: bought minus sold.

    Input   closed bars with buy_volume and sell_volume, in contracts; min_delta and max_delta where the source knows them.
    Output  delta, min_delta, max_delta in contracts; delta_pct = delta / (buy_volume + sell_volume), a fraction from -1 to 1.
    Unknown volume counts in neither side. A bar without a split yields NaN; one with no sided volume has a delta of 0 and no delta_pct.
    min_delta <= 0 <= max_delta are the delta's own extremes inside the bar: NaN where only totals are known.
    With extremes="sierra" the 0 a bar starts from is no extreme, as in Sierra Chart: an extreme is NaN where the bar cannot tell it from that 0.
    From trades `delta_detail` knows every one of them.

    >>> import pandas as pd
    >>> VolumeDelta().run(pd.DataFrame({"buy_volume": [30.0, 0.0], "sell_volume": [10.0, 0.0]})).values.tolist()
    [[20.0, 0.5, nan, nan], [0.0, nan, nan, nan]]
    """

    name = "volume_delta"
    inputs = ("buy_volume", "sell_volume")
    outputs = ("delta", "delta_pct", "min_delta", "max_delta")
    accepts = (EXTREMES,)

    def _state(self) -> Floats:
        return np.empty(0)

    def _kernel(self, state: Floats, bars: Columns, out: Floats) -> None:
        k.volume_delta(bars.table(SPLIT), self.params["extremes"] == "sierra", out.T)
