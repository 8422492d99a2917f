"""backtrader: a data feed with the split of volume as lines, and our indicators as backtrader's."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ..manager import IndicatorManager
from .framework import framework

_EXTRA = ("buy_volume", "sell_volume", "min_delta", "max_delta", "session_day")
_LINES = ("open", "high", "low", "close", "volume", *_EXTRA[:-1])


def feed(bars: pd.DataFrame) -> Any:
    """A backtrader data feed over a bars frame, with `buy_volume sell_volume min_delta max_delta` as lines where the frame has them.

    `session_day` is the session's label date in days since 1970-01-01, which CVD resets by.
    """
    data = bars[[name for name in _LINES if name in bars]].astype(np.float64)
    if "session" in bars:
        data["session_day"] = bars["session"].to_numpy().astype("M8[D]").astype(np.int64).astype(np.float64)
    return _feed_class()(dataname=data)


def indicator(name: str, **params: Any) -> Any:
    """A backtrader indicator class for one of ours; its lines are the outputs. In a strategy: `self.cvd = indicator("cvd")(self.data)`.

    What a bars frame would know has to be said here: `calendar` where the feed has no session, `tick_size` for delta_divergence.
    """
    bt = framework("backtrader", "backtrader")
    made = IndicatorManager().create(name, **params)

    def start(self: Any) -> None:
        super(kind, self).__init__()
        self.own = IndicatorManager().create(name, **params)

    def step(self: Any) -> None:
        for line, value in self.own.update(_bar(bt, self.data)).items():
            getattr(self.lines, line)[0] = float(value)

    class_name = "".join(part.capitalize() for part in name.split("_"))
    kind = type(bt.Indicator)(class_name, (bt.Indicator,), {"lines": made.outputs, "__init__": start, "next": step, "__module__": __name__})
    return kind


def _bar(bt: Any, data: Any) -> dict[str, Any]:
    bar: dict[str, Any] = {"time": pd.Timestamp(bt.num2date(data.datetime[0]), tz="UTC")}
    for line in (*_LINES, "session_day"):
        if hasattr(data.lines, line):
            bar[line] = getattr(data, line)[0]
    day = bar.pop("session_day", np.nan)
    return bar if np.isnan(day) else bar | {"session": np.datetime64(int(day), "D")}


@cache
def _feed_class() -> Any:
    bt = framework("backtrader", "backtrader")
    return type(bt.feeds.PandasData)(
        "OrderFlowData", (bt.feeds.PandasData,), {"lines": _EXTRA, "params": tuple((line, -1) for line in _EXTRA), "__module__": __name__}
    )
