"""Bars drawn as (open, high, low, close, delta)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tastytrade_provider.indicators.delta_signals import DeltaSignals
from tastytrade_provider.model import Bar
from tests.checks.builders import a_bar, frame, random_bars

Drawn = tuple[float, float, float, float, float]
UP = ((10, 12, 9, 11, 2), (11, 14, 10, 13, 2))


def drawn(*bars: Drawn, day: str = "monday", first: int = 0) -> list[Bar]:
    return [
        a_bar(first + i, day=day, open=o, high=h, low=low, close=c, buy=10 + d / 2, sell=10 - d / 2)
        for i, (o, h, low, c, d) in enumerate(bars)
    ]  # fmt: skip


def turnarounds(bars: list[Bar]) -> list[float]:
    return DeltaSignals().run(frame(bars))["turnaround"].tolist()


def test_two_bars_up_and_one_down_on_sold_volume_from_as_high_is_a_bearish_turnaround() -> None:
    assert turnarounds(drawn(*UP, (13, 14, 10, 11, -1))) == [0, 0, -1]


def test_two_bars_down_and_one_up_on_bought_volume_from_as_low_is_a_bullish_one() -> None:
    assert turnarounds(drawn((13, 14, 11, 12, -2), (12, 13, 9, 10, -2), (10, 12, 9, 11, 1))) == [0, 0, 1]


@pytest.mark.parametrize(
    "third",
    [(13, 13.9, 10, 11, -1), (13, 14, 10, 11, 1), (13, 14, 10, 11, 0), (13, 14, 10, 13, -1), (11, 14, 10, 13, -1)],
    ids=["lower high", "bought", "neither", "flat", "up"],
)
def test_without_one_of_its_conditions_there_is_none(third: Drawn) -> None:
    assert turnarounds(drawn(*UP, third)) == [0, 0, 0]


def test_it_needs_two_bars_up_of_the_same_session() -> None:
    down = (13.0, 14.0, 10.0, 11.0, -1.0)
    assert turnarounds(drawn(UP[1], down)) == [0, 0]
    assert turnarounds(drawn((10, 12, 9, 10, 2), UP[1], down)) == [0, 0, 0]
    assert turnarounds([*drawn(*UP), *drawn(down, day="tuesday")]) == [0, 0, 0]


def test_a_new_extreme_of_the_session_on_an_opposite_delta() -> None:
    out = DeltaSignals().run(frame(drawn((10, 12, 9, 11, -1), (11, 12, 10, 11, -1), (11, 13, 10, 11, -1), (11, 14, 10, 11, 1), (11, 12, 8, 11, 1))))
    # the first bar has nothing to exceed; 12 is no new high; 13 on sold volume; 14 on bought volume confirms; 8 on bought volume
    assert out["extreme_divergence"].tolist() == [0, 0, -1, 0, 1]


def test_extremes_are_those_of_the_session() -> None:
    days = [*drawn((10, 20, 5, 11, 1)), *drawn((10, 12, 9, 11, 1), (11, 13, 10, 11, -1), day="tuesday")]
    assert DeltaSignals().run(frame(days))["extreme_divergence"].tolist() == [0, 0, -1]
    assert DeltaSignals(reset="never").run(frame(days))["extreme_divergence"].tolist() == [0, 0, 0]


def test_a_bar_without_a_split_says_nothing_and_still_counts_as_a_bar() -> None:
    live = DeltaSignals()
    bars = drawn(*UP, (13, 14, 10, 11, -1))
    blind = a_bar(1, open=11.0, high=14.0, low=10.0, close=13.0, buy=None, sell=None)
    assert all(math.isnan(value) for value in [*map(live.update, (bars[0], blind))][1].values())
    assert live.update(bars[2])["turnaround"] == -1


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_definitions_say_bar_by_bar(seed: int) -> None:
    bars = random_bars(seed, 400)
    data = frame(bars)
    out = DeltaSignals().run(data)
    rows = list(data.itertuples())
    for i, row in enumerate(rows):
        before = [other for other in rows[:i] if other.session == row.session]
        delta, turn, extreme = row.buy_volume - row.sell_volume, 0, 0
        two = before[-2:]
        if len(two) == 2 and all(bar.close > bar.open for bar in two) and row.close < row.open and row.high >= two[1].high and delta < 0:
            turn = -1
        if len(two) == 2 and all(bar.close < bar.open for bar in two) and row.close > row.open and row.low <= two[1].low and delta > 0:
            turn = 1
        if before and row.high > max(bar.high for bar in before) and delta < 0:
            extreme = -1
        if before and row.low < min(bar.low for bar in before) and delta > 0:
            extreme = 1
        assert out.iloc[i].tolist() == [turn, extreme], i
    assert set(np.unique(out)) == {-1, 0, 1}
