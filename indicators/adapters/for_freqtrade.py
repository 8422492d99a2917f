"""freqtrade: a function for `populate_indicators`, on the order flow columns that freqtrade itself adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tastytrade_provider.errors import MissingColumns

from ..manager import IndicatorManager

_NAMES = {"ask": "buy_volume", "bid": "sell_volume", "date": "time"}  # freqtrade sums trades at the ask, which were bought, in `ask`


def populate_indicators(
    dataframe: pd.DataFrame,
    metadata: Mapping[str, Any] | None = None,
    names: Iterable[str] | Mapping[str, Mapping[str, Any]] = ("volume_delta", "cvd"),
    *,
    calendar: str = "24/7",
) -> pd.DataFrame:
    """The dataframe with the columns of our indicators: `return populate_indicators(dataframe, metadata)` in a strategy.

    Reads freqtrade's `date`, `bid`, `ask`, `min_delta`, `max_delta`, which `use_public_trades: true` in the exchange's configuration brings.
    `calendar` says when CVD starts anew; "24/7" is each UTC day. A candle without trades has no delta, and CVD goes on after it.

    >>> candles = pd.DataFrame({"date": pd.date_range("2026-11-23", periods=2, freq="5min", tz="UTC"), "bid": [2.0, 4.0], "ask": [5.0, 1.0]})
    >>> populate_indicators(candles)[["bid", "ask", "delta", "cvd"]].values.tolist()
    [[2.0, 5.0, 3.0, 3.0], [4.0, 1.0, -3.0, 0.0]]
    """
    missing = [name for name in ("date", "bid", "ask") if name not in dataframe]
    if missing:
        pair = (metadata or {}).get("pair", "this pair")
        raise MissingColumns(f"{', '.join(missing)} missing in the dataframe of {pair}: freqtrade adds bid and ask with exchange: use_public_trades: true")
    bars = dataframe.rename(columns=_NAMES)
    for name, bound in (("min_delta", np.minimum), ("max_delta", np.maximum)):
        if name in bars:  # freqtrade's extremes leave the 0 out at which a bar begins
            bars[name] = bound(bars[name].to_numpy(np.float64), 0.0)
    manager = IndicatorManager()
    wanted = dict(names) if isinstance(names, Mapping) else {name: {} for name in ([names] if isinstance(names, str) else names)}
    for label, params in wanted.items():
        accepted = {param["name"] for param in manager.describe(params.get("name", label))["params"]}
        wanted[label] = {**({"calendar": calendar} if "calendar" in accepted else {}), **params}
    found = manager.apply(bars, wanted)
    for fault in manager.faults.values():
        raise MissingColumns(fault.last)
    before = set(bars.columns)
    return dataframe.assign(**{str(name): found[name] for name in found if name not in before or name in ("min_delta", "max_delta", "delta")})
