from __future__ import annotations

import datetime as dt

import pytest

from tastytrade_provider.errors import NotSupported
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.indicators.adapters.for_talipp import UNDOABLE, order_flow
from tests.adapters.libraries import library
from tests.checks.builders import a_bar, frame, random_bars

library("talipp")
from talipp.ohlcv import OHLCV  # type: ignore[import-not-found, unused-ignore] # noqa: E402

BARS = random_bars(5, 60)
CVD = IndicatorManager().calculate(frame(BARS), "cvd")["cvd"].tolist()


def test_values_are_added_one_by_one_and_read_as_a_sequence() -> None:
    cvd = order_flow("cvd")
    for bar in BARS:
        cvd.add(bar)
    assert [value.cvd for value in cvd] == CVD
    assert (len(cvd), cvd[-1].cvd_open) == (60, CVD[-2])
    assert [value.cvd for value in order_flow("cvd", BARS)] == CVD


def test_the_last_value_is_updated_in_place() -> None:
    cvd = order_flow("cvd")
    cvd.add(a_bar(0, buy=5.0, sell=2.0))
    cvd.add(a_bar(1, buy=1.0, sell=0.0))
    for sold in (1.0, 4.0):
        cvd.update(a_bar(1, buy=1.0, sell=sold))
    assert [value.cvd for value in cvd] == [3, 0]
    cvd.add(a_bar(2, buy=7.0, sell=6.0))
    assert cvd[-1].cvd == 1


@pytest.mark.parametrize("removed", [1, UNDOABLE, UNDOABLE + 5, 60])
def test_values_are_removed_as_if_they_had_not_been(removed: int) -> None:
    cvd = order_flow("cvd", BARS)
    for _ in range(removed):
        cvd.remove()
    for bar in BARS[60 - removed :]:
        cvd.add(bar)
    assert [value.cvd for value in cvd] == CVD


def test_purging_old_values_leaves_the_sum_alone_and_bounds_what_can_be_removed() -> None:
    cvd = order_flow("cvd", BARS[:40])
    cvd.purge_oldest(30)
    for bar in BARS[40:]:
        cvd.add(bar)
    assert cvd[-1].cvd == CVD[-1]
    for _ in range(UNDOABLE):
        cvd.remove()
    with pytest.raises(NotSupported, match="no more than 16 values"):
        cvd.remove()


def test_removing_all_begins_anew() -> None:
    cvd = order_flow("cvd", BARS)
    cvd.remove_all()
    cvd.add(BARS[0])
    assert [value.cvd for value in cvd] == CVD[:1]


def test_its_own_ohlcv_with_the_split_set_on_it_is_a_value_and_one_output_is_a_number() -> None:
    value = OHLCV(1.0, 2.0, 0.5, 1.5, 9.0, dt.datetime(2026, 11, 23, 15, tzinfo=dt.UTC))
    value.buy_volume, value.sell_volume = 5.0, 2.0
    assert order_flow("cvd", [value], reset="never")[-1].cvd == 3
    pytest.importorskip("talib", reason="TA-Lib (extra talib) is not installed")
    assert list(order_flow("sma", [value, value], timeperiod=2))[-1] == 1.5
