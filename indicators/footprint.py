"""Footprint: what was bought and sold at each price of each bar."""

from __future__ import annotations

import pandas as pd

from tastytrade_provider.bars import build_footprint
from tastytrade_provider.model import Contract, TradeBatch

from .params import whole
from .trades import BARS, FromTrades

ROWS = whole("ticks_per_row", 1, 1, 100_000, "ticks in a row of the footprint, each row named by its lowest price: a whole multiple of so many ticks")


class FootprintIndicator(FromTrades):
    """Volume by price in each bar, from trades. Over "1d" bars: the volume profile of each session.

    Input   a TradeBatch, or a frame of trades (time, price, size; side where known) with its contract as parameter or in attrs['contract'].
    Output  rows (time, price): time is the bar's start; buy_volume, sell_volume, unknown_volume, delta in contracts.
    Bars cannot be taken apart again: given bars it raises MissingColumns. Live, the footprint of a bar comes from `footprint(bar)` of the
    live set or the BarBuilder, out of the same kernel; `update`, `extend` and `preview` raise NotSupported.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> trades = TradeBatch(es, {"time_ns": [1_767_600_000_000_000_000] * 2, "price": [6000, 6000.25], "size": [2, 3], "side": [1, -1]})
    >>> FootprintIndicator(timeframe="5m").run(trades)["delta"].tolist()
    [2.0, -3.0]
    """

    name = "footprint"
    outputs = ("buy_volume", "sell_volume", "unknown_volume", "delta")
    accepts = (*BARS, ROWS)
    live = "footprint(bar) of the live set or of the BarBuilder"

    def _of(self, trades: TradeBatch, contract: Contract) -> pd.DataFrame:
        return build_footprint(trades, self.params["timeframe"], contract, self.params["ticks_per_row"])
