from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.errors import MissingColumns
from tastytrade_provider.indicators.adapters.for_freqtrade import populate_indicators
from tests.adapters.libraries import library

pytestmark = pytest.mark.filterwarnings("default")


def candles(bid: list[float], ask: list[float], **other: Any) -> pd.DataFrame:
    """As freqtrade hands them over, an hour each."""
    date = pd.date_range("2026-11-23 22:00", periods=len(bid), freq="1h", tz="UTC")
    prices = dict.fromkeys(("open", "high", "low", "close"), 100.0)
    return pd.DataFrame({"date": date, **prices, "volume": np.add(bid, ask), "bid": bid, "ask": ask, **other})


def test_what_traded_at_the_ask_was_bought_and_cvd_begins_anew_with_the_utc_day() -> None:
    data = candles([2, 4, 6], [5, 1, 7])
    out = populate_indicators(data, {"pair": "BTC/USDT"})
    assert out["delta"].tolist() == [3, -3, 1]
    assert out["cvd"].tolist() == [3, 0, 1]
    assert list(out)[: len(data.columns)] == list(data)
    assert "cvd" not in data


def test_extremes_hold_the_zero_at_which_a_candle_begins() -> None:
    out = populate_indicators(candles([2.0], [5.0], min_delta=[1.0], max_delta=[4.0], delta=[3.0]))
    assert (out["min_delta"].item(), out["max_delta"].item(), out["cvd_low"].item(), out["cvd_high"].item()) == (0, 4, 0, 4)


def test_a_candle_without_trades_has_no_delta_and_the_sum_goes_on() -> None:
    out = populate_indicators(candles([np.nan, 2.0, np.nan, 1.0], [np.nan, 5.0, np.nan, 0.0]), names={"all": {"name": "cvd", "reset": "never"}})
    np.testing.assert_array_equal(out["all_cvd"], [np.nan, 3, np.nan, 2])


def test_without_public_trades_the_setting_that_brings_them_is_named() -> None:
    with pytest.raises(MissingColumns, match=r"bid, ask missing in the dataframe of BTC/USDT: .* use_public_trades: true"):
        populate_indicators(candles([1], [1]).drop(columns=["bid", "ask"]), {"pair": "BTC/USDT"})


def test_a_real_strategy_returns_it_on_freqtrades_own_order_flow() -> None:
    library("freqtrade")
    from freqtrade.data.converter.orderflow import populate_dataframe_with_trades
    from freqtrade.strategy import IStrategy

    start = pd.Timestamp("2026-11-23 22:00", tz="UTC")
    rows = [(0, "buy", 5.0), (1, "sell", 2.0), (61, "buy", 1.0), (62, "sell", 4.0), (121, "buy", 7.0)]
    when = [start + pd.Timedelta(minutes=minute) for minute, _, _ in rows]
    trades = pd.DataFrame(
        {
            "timestamp": [at.as_unit("ms").value for at in when],
            "id": [str(i) for i in range(len(rows))],
            "type": None,
            "side": [side for _, side, _ in rows],
            "price": 100.0,
            "amount": [amount for _, _, amount in rows],
            "cost": [100.0 * amount for _, _, amount in rows],
            "date": when,
        }
    )
    flow = {"max_candles": 100, "scale": 0.5, "stacked_imbalance_range": 3, "imbalance_volume": 1, "imbalance_ratio": 3, "cache_size": 10}
    config = {"timeframe": "1h", "orderflow": flow, "stake_currency": "USDT"}
    data = candles([0, 0, 0], [0, 0, 0]).drop(columns=["bid", "ask"])
    with_flow, _ = populate_dataframe_with_trades(None, config, data, trades)

    class Strategy(IStrategy):  # type: ignore[misc, unused-ignore]
        timeframe = "1h"
        stoploss = -0.1
        minimal_roi = {"0": 1}  # noqa: RUF012

        def populate_indicators(self, dataframe: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
            return populate_indicators(dataframe, metadata)

        def populate_entry_trend(self, dataframe: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
            return dataframe

        populate_exit_trend = populate_entry_trend

    out = Strategy(config).advise_indicators(with_flow, {"pair": "BTC/USDT"})
    assert out["cvd"].tolist()[:2] == [3, 0]
    assert out["delta"].tolist()[:2] == [3, -3]
