"""Footprint: what was bought and sold at each price of each bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import pandas as pd

from tastytrade_provider.bars import build_footprint
from tastytrade_provider.errors import NotSupported, UnsupportedTimeframe, UsageError
from tastytrade_provider.model import Bar, Contract, Timeframe, TradeBatch

from .base import Indicator
from .columns import Columns, Floats
from .params import checked


def _is_timeframe(value: Any) -> bool:
    try:
        return bool(Timeframe.parse(value))
    except UnsupportedTimeframe:
        return False


class FootprintIndicator(Indicator):
    """Volume by price in each bar, from trades.

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
    input = "trades"
    inputs = ("price", "size")
    outputs = ("buy_volume", "sell_volume", "unknown_volume", "delta")
    accepts = (
        checked("timeframe", "1m", "a number followed by s m h d w mo t v r", _is_timeframe, "length of the bars"),
        checked(
            "contract", None, "a Contract or None", lambda value: value is None or isinstance(value, Contract),
            "the traded contract; None: the batch's own, or the frame's attrs['contract']",
        ),
    )  # fmt: skip

    def run(self, data: pd.DataFrame | TradeBatch) -> pd.DataFrame:
        """The footprint of all bars in the trades. Raises MissingColumns for bars, UsageError where the contract is not known."""
        contract = self.params["contract"]
        if isinstance(data, TradeBatch):
            return build_footprint(data, self.params["timeframe"], contract or data.contract)
        Columns(data).require(self.name, self.inputs)
        contract = contract or data.attrs.get("contract")
        if contract is None:
            raise UsageError("footprint: a frame of trades does not say its contract; give contract=..., or pass a TradeBatch")
        return build_footprint(data, self.params["timeframe"], contract)

    def extend(self, data: pd.DataFrame) -> NoReturn:
        """Not for trades."""
        raise _not_live()

    def update(self, bar: Bar | Mapping[str, Any]) -> NoReturn:
        """Not for trades."""
        raise _not_live()

    def preview(self, bar: Bar | Mapping[str, Any]) -> NoReturn:
        """Not for trades."""
        raise _not_live()

    def _state(self) -> None:
        return None

    def _kernel(self, state: Any, bars: Columns, out: Floats) -> NoReturn:
        raise _not_live()


def _not_live() -> NotSupported:
    return NotSupported("footprint reads trades, not bars; live, use footprint(bar) of the live set or of the BarBuilder")
