from __future__ import annotations

import pandas as pd
import pytest

from tastytrade_provider.errors import UsageError
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.indicators.adapters.for_pandas_ta import register
from tests.adapters.libraries import library
from tests.checks.builders import bars, frame, random_bars

ta = library("pandas_ta_classic")
pytestmark = pytest.mark.filterwarnings("default")


def test_ours_are_methods_of_its_accessor_that_can_append() -> None:
    register()
    register()  # again does no harm
    data = bars(monday=[(5, 2), (1, 4)], tuesday=[(7, 6)])
    assert data.ta.cvd()["cvd"].tolist() == [3, 0, 1]
    data.ta.cvd(reset="never", append=True, suffix="all")
    assert data["cvd_all"].tolist() == [3, 0, 1 + 0]
    assert ta.Category["volume"].count("cvd") == 1
    assert ta.cvd(data)["cvd"].tolist() == [3, 0, 1]


def test_a_strategy_runs_them_beside_its_own() -> None:
    register()
    data = frame(random_bars(3, 80))
    whole = IndicatorManager().calculate(data, "volume_delta")
    data.ta.cores = 0
    data.ta.strategy(ta.Strategy(name="flow", ta=[{"kind": "volume_delta"}, {"kind": "sma", "length": 5}]))
    pd.testing.assert_series_equal(data["delta"], whole["delta"])
    assert "SMA_5" in data


def test_a_name_of_its_own_is_not_taken() -> None:
    with pytest.raises(UsageError, match="has an indicator 'rsi' of its own"):
        register(["rsi"])
