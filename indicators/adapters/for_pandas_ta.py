"""pandas-ta-classic: our indicators as `df.ta.cvd(append=True)` and in a Strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from tastytrade_provider.errors import UsageError

from ..manager import IndicatorManager
from .framework import framework

OURS = ("volume_delta", "cvd", "delta_divergence")


def register(names: Iterable[str] = OURS) -> None:
    """Bind indicators to pandas_ta_classic, in its category volume. UsageError where it has one of that name that is not ours."""
    ta = framework("pandas_ta_classic", "pandas-ta-classic")
    custom = framework("pandas_ta_classic.custom", "pandas-ta-classic")
    manager = IndicatorManager()
    for name in names:
        is_ours = getattr(getattr(ta.AnalysisIndicators, name, None), "is_ours", False)
        if not is_ours and any(name in group for group in ta.Category.values()):
            raise UsageError(f"pandas_ta_classic has an indicator {name!r} of its own")
        custom.bind(name, _function(manager, name), _method(manager, name))
        if name not in ta.Category["volume"]:
            ta.Category["volume"].append(name)


def _function(manager: IndicatorManager, name: str) -> Callable[..., pd.DataFrame]:
    def function(bars: pd.DataFrame, **params: Any) -> pd.DataFrame:
        return manager.calculate(bars, name, **params)

    function.__name__, function.__doc__ = name, manager.describe(name)["summary"]
    return function


def _method(manager: IndicatorManager, name: str) -> Callable[..., Any]:
    known = {param["name"] for param in manager.describe(name)["params"]}

    def method(self: Any, **options: Any) -> Any:
        params = {option: options.pop(option) for option in [*options] if option in known}
        return self._post_process(manager.calculate(self._df, name, **params), **options)

    method.__name__, method.__doc__ = name, manager.describe(name)["summary"]
    method.is_ours = True  # type: ignore[attr-defined]
    return method
