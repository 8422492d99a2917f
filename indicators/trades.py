"""What indicators over single trades have in common: bars cannot be taken apart again, so they run over trades, or over what a BarBuilder keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

import pandas as pd

from tastytrade_provider.bars import BarTrades, Footprint
from tastytrade_provider.errors import NotSupported, UnsupportedTimeframe, UsageError
from tastytrade_provider.model import Bar, Contract, Timeframe, TradeBatch

from .base import Indicator
from .columns import Columns, Floats
from .params import Param, checked


def _is_timeframe(value: Any) -> bool:
    try:
        return bool(Timeframe.parse(value))
    except UnsupportedTimeframe:
        return False


BARS: tuple[Param, ...] = (
    checked("timeframe", "1m", "a number followed by s m h d w mo t v r", _is_timeframe, "length of the bars"),
    checked(
        "contract", None, "a Contract or None", lambda value: value is None or isinstance(value, Contract),
        "the traded contract; None: the batch's own, or the frame's attrs['contract']",
    ),
)  # fmt: skip
"""Parameters of every indicator over trades."""


class Kept(Protocol):
    """Where trades and footprints of recent bars are kept: a BarBuilder, a live set."""

    def trades_of(self, bar: Bar, before_ns: int = 0) -> BarTrades:
        """The trades of a bar."""

    def footprint(self, bar: Bar) -> Footprint:
        """Volume by price in a bar."""


class FromTrades(Indicator):
    """An indicator over trades: `run` takes a TradeBatch, or a frame of trades with its contract as parameter or in attrs['contract'].

    Given bars it raises MissingColumns. `update`, `extend` and `preview` raise NotSupported; `live` says where its values come from then.
    """

    input = "trades"
    inputs = ("price", "size")
    accepts = BARS
    live = "of_bar(builder, bar) with a BarBuilder or a live set"

    def run(self, data: pd.DataFrame | TradeBatch) -> pd.DataFrame:
        """The outputs for all trades. Raises MissingColumns for bars, UsageError where the contract is not known."""
        contract = self.params["contract"]
        if isinstance(data, TradeBatch):
            return self._of(data, contract or data.contract)
        Columns(data).require(self.name, self.inputs)
        contract = contract or data.attrs.get("contract")
        if contract is None:
            raise UsageError(f"{self.name}: a frame of trades does not say its contract; give contract=..., or pass a TradeBatch")
        return self._of(TradeBatch.from_dataframe(data, contract), contract)

    def extend(self, data: pd.DataFrame) -> NoReturn:
        """Not for trades."""
        raise self._not_live()

    def update(self, bar: Bar | Mapping[str, Any]) -> NoReturn:
        """Not for trades."""
        raise self._not_live()

    def preview(self, bar: Bar | Mapping[str, Any]) -> NoReturn:
        """Not for trades."""
        raise self._not_live()

    @abstractmethod
    def _of(self, trades: TradeBatch, contract: Contract) -> pd.DataFrame:
        """The outputs for trades of a known contract."""

    def _state(self) -> None:
        return None

    def _kernel(self, state: Any, bars: Columns, out: Floats) -> NoReturn:
        raise self._not_live()

    def _not_live(self) -> NotSupported:
        return NotSupported(f"{self.name} reads trades, not bars; live, use {self.live}")
