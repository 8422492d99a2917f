"""Speed of the tape: how fast it traded at its fastest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tastytrade_provider.bars import BarTrades, build_bar_trades
from tastytrade_provider.model import Bar, Contract, TradeBatch

from . import trade_kernels as k
from .columns import Floats
from .params import number, whole
from .trades import BARS, FromTrades, Kept

SECOND_NS = 1_000_000_000


class TapeSpeed(FromTrades):
    """Speed of the tape in each bar: the most that traded within any window of `window_s` seconds ending at one of its trades, from trades.

    Input   as of `footprint`.
    Output  trades_per_s, volume_per_s   prints, and contracts, in the fullest window, divided by its length
            average   mean of trades_per_s over the `average` bars before this one; NaN until there are so many
            is_fast   trades_per_s above `threshold` times that mean
    A window may begin in the bar before, and never before the session's open. Prints of unknown side count.
    Live: `of_bar(builder, bar)` gives the two speeds, of the forming bar as it stands.

    >>> es, opened = Contract("ES", "/ESZ6", tick_size=0.25), 1_767_600_000_000_000_000
    >>> times = [opened, opened + 10 * SECOND_NS, opened + 20 * SECOND_NS]
    >>> TapeSpeed(window_s=20).run(TradeBatch(es, {"time_ns": times, "price": [6000] * 3, "size": [2, 5, 1]}))["volume_per_s"].tolist()
    [0.35]
    """

    name = "tape_speed"
    outputs = ("trades_per_s", "volume_per_s", "average", "is_fast")
    flags = frozenset({"is_fast"})
    accepts = (
        *BARS,
        number("window_s", 15, 0, "length of the window, in seconds", above=True),
        whole("average", 10, 1, 100_000, "bars before this one that the speed is measured against"),
        number("threshold", 1.5, 0, "how many times their mean is fast"),
    )

    def of_bar(self, kept: Kept, bar: Bar) -> dict[str, float]:
        """trades_per_s and volume_per_s of one bar, closed or forming, from the trades kept of it. UsageError where they are not."""
        (row,) = self._speeds(kept.trades_of(bar, self._window_ns)).tolist()
        return dict(zip(self.outputs, row, strict=False))

    @property
    def _window_ns(self) -> int:
        window_s: float = self.params["window_s"]
        return round(window_s * SECOND_NS)

    def _of(self, trades: TradeBatch, contract: Contract) -> pd.DataFrame:
        found, history = build_bar_trades(trades, self.params["timeframe"], contract)
        speeds = self._speeds(found)
        frame = pd.DataFrame(speeds, index=history.time, columns=list(self.outputs[:2]))
        frame["average"] = frame["trades_per_s"].rolling(self.params["average"]).mean().shift()
        frame["is_fast"] = frame["trades_per_s"] > self.params["threshold"] * frame["average"]
        return frame

    def _speeds(self, trades: BarTrades) -> Floats:
        most, contract = np.zeros((len(trades.rows), 2), np.int64), trades.contract
        k.speed(trades.columns["time_ns"], trades.columns["lots"], trades.skip, trades.volume, trades.session_ns, self._window_ns, most)
        return np.column_stack([most[:, 0], contract.size(most[:, 1])]) / (self._window_ns / SECOND_NS)
