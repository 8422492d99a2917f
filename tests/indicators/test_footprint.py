from __future__ import annotations

import pandas as pd
import pytest

from tastytrade_provider.errors import MissingColumns, NotSupported, UsageError
from tastytrade_provider.indicators import FootprintIndicator
from tests.checks.builders import ES, a_bar, a_batch, bars, opening

TRADES = a_batch(
    time_ns=[opening(), opening() + 1, opening() + 2, opening() + 60_000_000_000],
    price=[6000.0, 6000.25, 6000.0, 6000.25],
    size=[2.0, 3.0, 1.0, 4.0],
    side=[1, -1, 0, 1],
)


def test_rows_are_bar_and_price_with_bought_sold_and_unknown_apart() -> None:
    out = FootprintIndicator(timeframe="1m").run(TRADES)
    first, second = pd.Timestamp("2026-11-23 14:30", tz="UTC"), pd.Timestamp("2026-11-23 14:31", tz="UTC")
    assert out.index.names == ["time", "price"]
    assert out.to_dict("index") == {
        (first, 6000.0): {"buy_volume": 2, "sell_volume": 0, "unknown_volume": 1, "delta": 2},
        (first, 6000.25): {"buy_volume": 0, "sell_volume": 3, "unknown_volume": 0, "delta": -3},
        (second, 6000.25): {"buy_volume": 4, "sell_volume": 0, "unknown_volume": 0, "delta": 4},
    }


def test_a_frame_of_trades_does_as_well_once_the_contract_is_known() -> None:
    data = TRADES.to_dataframe()
    with pytest.raises(UsageError, match="give contract="):
        FootprintIndicator().run(data)
    pd.testing.assert_frame_equal(FootprintIndicator(contract=ES).run(data), FootprintIndicator().run(TRADES))


def test_given_bars_it_says_who_has_trades() -> None:
    with pytest.raises(MissingColumns, match=r"^footprint needs price and size; .* data_provider: tastytrade has them"):
        FootprintIndicator().run(bars(monday=[(1, 2)]))


def test_bars_one_by_one_are_refused_with_the_way_to_go() -> None:
    for refused in (FootprintIndicator().update, FootprintIndicator().preview):
        with pytest.raises(NotSupported, match=r"footprint\(bar\) of the live set"):
            refused(a_bar())


def test_a_timeframe_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="timeframe='7x' is not accepted; a number followed by s m h"):
        FootprintIndicator(timeframe="7x")
