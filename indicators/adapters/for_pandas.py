"""pandas: `bars.orderflow.cvd()`. Importing this module is what adds the accessor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from tastytrade_provider.errors import UsageError

from ..delta_divergence import divergences
from ..manager import IndicatorManager

_MANAGER = IndicatorManager()


class OrderFlow:
    """Every indicator that IndicatorManager knows, as a method of a bars frame.

    >>> bars = pd.DataFrame({"buy_volume": [5, 1], "sell_volume": [2, 4]})
    >>> bars.orderflow.cvd(reset="never")["cvd"].tolist()
    [3.0, 0.0]
    >>> bars.orderflow.apply(["volume_delta"])["delta"].tolist()
    [3.0, -3.0]
    """

    def __init__(self, bars: pd.DataFrame) -> None:
        self._bars = bars

    def __getattr__(self, name: str) -> Callable[..., pd.DataFrame]:
        if name.startswith("_") or name not in _MANAGER:
            raise AttributeError(f"no indicator {name!r}; IndicatorManager().list_indicators() has them all")
        return partial(_MANAGER.calculate, self._bars, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_MANAGER.list_indicators()]

    def apply(self, names: Iterable[str] | Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        """The bars with the columns of several indicators; see IndicatorManager.apply."""
        return _MANAGER.apply(self._bars, names)

    def divergences(self, **params: Any) -> pd.DataFrame:
        """Delta divergences as a table of events; see `divergences`."""
        return divergences(self._bars, **params)


def _register() -> None:
    there = getattr(pd.DataFrame, "orderflow", None)
    if there is None:
        pd.api.extensions.register_dataframe_accessor("orderflow")(OrderFlow)
    elif there.__name__ != OrderFlow.__name__:  # ours under its other import name is as good
        raise UsageError(f"pandas has an accessor 'orderflow' already: {there.__module__}.{there.__qualname__}")


_register()
