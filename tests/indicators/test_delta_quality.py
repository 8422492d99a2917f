from __future__ import annotations

import math

import pytest

from tastytrade_provider.indicators.delta_quality import DeltaQuality
from tests.checks.builders import a_bar, bars, frame


def test_unknown_is_what_is_on_neither_side_and_quality_what_the_exchange_told_of_all() -> None:
    # 6 + 2 of 10 told by the exchange; 5 + 5 of 10 inferred: 8 of 20 in the sum, with 2 unknown
    closed = [a_bar(0, buy=6.0, sell=2.0, volume=10.0), a_bar(1, buy=5.0, sell=5.0, volume=10.0, delta_source="tick_rule")]
    out = DeltaQuality().run(frame(closed))
    assert out.to_numpy().tolist() == [[2, 0.8, 2, 0.8], [0, 0, 2, 0.4]]


def test_tenths_leave_nothing_unknown_that_is_not() -> None:
    told = DeltaQuality().run(frame([a_bar(i, buy=0.1, sell=0.2, volume=0.3) for i in range(3)]))
    assert told["unknown_volume"].tolist() == told["cvd_unknown_volume"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("source", "quality"), [("time_and_sale", 1), ("candle", 1), ("quote_trade", 0), ("tick_rule", 0), ("none", 0)])
def test_only_the_exchanges_own_flag_is_quality(source: str, quality: float) -> None:
    assert DeltaQuality().update(a_bar(buy=1.0, sell=1.0, delta_source=source))["quality"] == quality


def test_a_bar_without_a_split_is_unknown_as_a_whole() -> None:
    told = DeltaQuality().update(a_bar(buy=None, sell=None, volume=9.0))
    assert told == {"unknown_volume": 9, "quality": 0, "cvd_unknown_volume": 9, "cvd_quality": 0}


def test_the_sums_start_anew_with_cvd() -> None:
    days = [a_bar(0, buy=1.0, sell=0.0, volume=4.0), a_bar(0, day="tuesday", buy=1.0, sell=0.0, volume=2.0)]
    assert DeltaQuality().run(frame(days))[["cvd_unknown_volume", "cvd_quality"]].to_numpy().tolist() == [[3, 0.25], [1, 0.5]]
    assert DeltaQuality(reset="never").run(frame(days))["cvd_unknown_volume"].tolist() == [3, 4]


def test_where_nobody_says_the_source_or_nothing_traded_quality_is_not_known() -> None:
    out = DeltaQuality().run(bars(monday=[(5, 3)]).drop(columns="delta_source"))
    assert out["unknown_volume"].tolist() == [0]
    assert out[["quality", "cvd_quality"]].isna().all(axis=None)
    assert math.isnan(DeltaQuality().update(a_bar(buy=0.0, sell=0.0))["quality"])
