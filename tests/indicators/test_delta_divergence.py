# ruff: noqa: PD011 - .values is a field of Update here, not of a frame
"""Series small enough to check by eye: each is a list of (price, delta), flat bars with a volume of 4."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import BarBuilder
from tastytrade_provider.errors import MissingColumns, UsageError
from tastytrade_provider.indicators import DeltaDivergence, IndicatorManager, divergences
from tastytrade_provider.model import Action
from tests.checks.builders import ES, MINUTE_NS, a_bar, a_batch, bars, frame, opening, random_bars

TWO = {"left": 2, "right": 2, "min_gap": 1}
# Swing highs at rows 2 and 6, confirmed at 4 and 8. In between a swing low at row 4, and no second one.
PEAKS = [1, 2, 5, 2, 1, 2, 6, 2, 1.5]


def series(prices: list[float], deltas: list[float], **other: Any) -> pd.DataFrame:
    rows = [
        a_bar(i, close=float(price), buy=2 + delta / 2, sell=2 - delta / 2, volume=4.0) for i, (price, delta) in enumerate(zip(prices, deltas, strict=True))
    ]
    return frame(rows).assign(**other)


def signals(data: pd.DataFrame, **params: Any) -> list[tuple[int, str, float]]:
    out = DeltaDivergence(**{**TWO, **params}).run(data)
    return [(int(i), kind, out[kind].iloc[i]) for kind in ("regular", "hidden", "absorption") for i in np.flatnonzero(out[kind])]


def test_a_higher_high_on_a_lower_cvd_is_regular_bearish_at_the_confirming_bar() -> None:
    # CVD 3 at row 2, and 3 - 1 - 1 + 0 + 0 = 1 at row 6
    assert signals(series(PEAKS, [1, 1, 1, -1, -1, 0, 0, 0, 0])) == [(8, "regular", -1.0)]


def test_a_lower_low_on_a_higher_cvd_is_regular_bullish() -> None:
    assert signals(series([-p for p in PEAKS], [-1, -1, -1, 1, 1, 0, 0, 0, 0])) == [(8, "regular", 1.0)]


def test_a_lower_high_on_a_higher_cvd_is_hidden_bearish() -> None:
    prices = [1, 2, 6, 2, 1, 2, 5, 2, 1.5]
    assert signals(series(prices, [0, 0, 0, 1, 0, 0, 0, 0, 0])) == [(8, "hidden", -1.0)]


def test_a_higher_low_on_a_lower_cvd_is_hidden_bullish() -> None:
    prices = [-1, -2, -6, -2, -1, -2, -5, -2, -1.5]
    assert signals(series(prices, [0, 0, 0, -1, 0, 0, 0, 0, 0])) == [(8, "hidden", 1.0)]


def test_equal_highs_on_a_higher_cvd_are_absorption_bearish_and_equal_lows_on_a_lower_one_bullish() -> None:
    prices = [1, 2, 5, 2, 1, 2, 5, 2, 1.5]
    assert signals(series(prices, [0, 0, 0, 1, 0, 0, 0, 0, 0])) == [(8, "absorption", -1.0)]
    assert signals(series([-p for p in prices], [0, 0, 0, -1, 0, 0, 0, 0, 0])) == [(8, "absorption", 1.0)]


def test_a_higher_high_on_a_higher_cvd_is_nothing() -> None:
    assert signals(series(PEAKS, [0, 0, 0, 1, 0, 0, 0, 0, 0])) == []


def test_a_new_extreme_on_an_unchanged_cvd_is_regular_on_both_sides_until_min_cvd_asks_for_more() -> None:
    flat = [0.0] * 9
    assert signals(series(PEAKS, flat)) == [(8, "regular", -1.0)]
    assert signals(series([-p for p in PEAKS], flat)) == [(8, "regular", 1.0)]
    assert signals(series(PEAKS, flat), min_cvd=1) == []


# Swing highs of 5, 3 and 6 at rows 2, 6 and 10, on a CVD of 3, 0 and 1: the last is higher than the one before on a higher CVD, which is nothing,
# and higher than the first on a lower one
THREE = [1, 2, 5, 2, 1, 2, 3, 2, 0.5, 2, 6, 2, 1.5]
THREE_DELTAS = [1, 1, 1, -1, -1, -1, 0, 0, 0, 0, 1, 0, 0]


def test_tenths_of_contracts_are_compared_as_tenths() -> None:
    def tenths(prices: list[float], split: list[tuple[float, float]]) -> pd.DataFrame:
        return frame([a_bar(i, close=price, buy=buy, sell=sell) for i, (price, (buy, sell)) in enumerate(zip(prices, split, strict=True))])

    still = [(0.0, 0.0), (0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.1, 0.0), (0.2, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
    lower = [1, 2, 6, 2, 1, 2, 5, 2, 1.5]
    assert signals(tenths(PEAKS, still)) == [(8, "regular", -1.0)]  # CVD 0.3 at both highs, where 0.1 + 0.2 is more than 0.3 in floats
    assert signals(tenths(lower, still)) == []
    fallen = [(0.0, 0.0), (0.0, 0.0), (0.9, 0.0), (0.0, 0.1), *[(0.0, 0.0)] * 5]  # 0.9 and 0.8, of which the difference is less than 0.1 in floats
    assert signals(tenths(PEAKS, fallen), min_cvd=0.1) == [(8, "regular", -1.0)]


def test_a_pivot_is_compared_with_as_many_before_it_as_asked_for() -> None:
    data = series(THREE, THREE_DELTAS)
    assert signals(data) == []
    assert signals(data, earlier_pivots=2) == [(12, "regular", -1.0)]
    assert signals(data, earlier_pivots=2, max_gap=7) == []
    (event,) = divergences(data, **TWO, earlier_pivots=2).to_dict("records")
    assert (event["prev_pivot_ts"], event["bars_between"], event["cvd_change"], event["strength"]) == (data.index[2], 8, -2, 2 / 32)


def test_of_several_earlier_pivots_the_nearest_that_diverges_counts() -> None:
    # on a CVD of 3, 2 and 1 the last diverges from both; from the nearer one it is told
    data = series(THREE, [1, 1, 1, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0])
    assert signals(data, earlier_pivots=2) == [(12, "regular", -1.0)]
    assert DeltaDivergence(**TWO, earlier_pivots=2).run(data)["prev_pivot_offset"].iloc[12] == 6


@pytest.mark.parametrize("row", [4, 6, 8])
def test_a_gap_keeps_earlier_pivots_apart_too(row: int) -> None:
    assert signals(series(THREE, THREE_DELTAS).assign(complete=[i != row for i in range(13)]), earlier_pivots=2) == []


def test_min_strength_asks_for_a_share_of_the_volume_between_the_pivots() -> None:
    data = series(PEAKS, [1, 1, 1, -1, -1, 0, 0, 0, 0])  # 2 of 16
    assert signals(data, min_strength=0.125) == [(8, "regular", -1.0)]
    assert signals(data, min_strength=0.126) == []
    data["volume"] = np.nan
    assert signals(data) == [(8, "regular", -1.0)]
    assert signals(data, min_strength=0.001) == []


def test_a_roll_between_the_pivots_keeps_them_apart() -> None:
    data = series(PEAKS, [0.0] * 9)
    assert signals(data.assign(symbol=["/ESZ6"] * 4 + ["/ESH7"] * 5), reset="never") == []


@pytest.mark.parametrize(("row", "revision"), [(0, 2), (4, 2), (8, 2), (9, 0)])
def test_an_event_says_how_often_a_bar_it_rests_on_was_corrected(row: int, revision: int) -> None:
    data = series([*PEAKS, 1], [1, 1, 1, -1, -1, 0, 0, 0, 0, 0])
    (event,) = divergences(data.assign(revision=[2 * (i == row) for i in range(10)]), **TWO).to_dict("records")
    assert event["revision"] == revision


def test_a_correction_live_takes_a_signal_back_with_a_revision() -> None:
    # a print a minute at these prices, bought or sold so that CVD is 3 at the first high and 1 at the second
    sides = [1, 1, 1, -1, -1, 1, -1, 1, -1, 1]
    prices = [6000 + p for p in (*PEAKS, 1)]
    batch = a_batch(time_ns=opening() + np.arange(10) * MINUTE_NS, price=prices, side=sides, index=np.arange(10))
    live = IndicatorManager().live(ES, "1m", {"delta_divergence": TWO})
    told = {update.bar.start_ns: update for update in live.add(batch)}
    confirming = opening() + 8 * MINUTE_NS
    assert told[confirming].values["regular"] == -1
    change = batch[5:6].replace(action=np.array([Action.CORRECTION], np.int8), lots=np.array([4], np.int64))  # CVD is 4 at the second high
    again = {update.bar.start_ns: update for update in live.add(change)}
    assert again[opening() + 5 * MINUTE_NS].bar.revision == 1
    assert again[confirming].values["regular"] == 0
    corrected = BarBuilder(ES, "1m")
    first, second = corrected.add(batch), corrected.add(change)
    latest = {bar.start_ns: bar for bar in (*first, *second)}
    assert len(divergences(frame(first), **TWO)) == 1
    assert len(divergences(frame(list(latest.values())), **TWO)) == 0


def test_the_values_beside_the_signal() -> None:
    out = DeltaDivergence(**TWO).run(series(PEAKS, [1, 1, 1, -1, -1, 0, 0, 0, 0])).iloc[8]
    # |1 - 3| over the volume of rows 3 to 6, 4 lots each; the pivots are rows 6 and 2
    assert (out["strength"], out["pivot_offset"], out["prev_pivot_offset"]) == (2 / 16, 2, 6)
    assert not out["conflict"]


def test_the_event_table() -> None:
    data = series(PEAKS, [1, 1, 1, -1, -1, 0, 0, 0, 0])
    data.loc[data.index[4], "delta_source"] = "tick_rule"
    (event,) = divergences(data, tick_size=0.25, **TWO).to_dict("records")
    assert event == {
        "ts": data.index[8], "pivot_ts": data.index[6], "prev_pivot_ts": data.index[2],
        "kind": "regular", "direction": -1, "price": 6.0, "prev_price": 5.0, "cvd": 1.0, "prev_cvd": 3.0,
        "price_change_ticks": 4.0, "cvd_change": -2.0, "bars_between": 4, "strength": 0.125, "segment_id": 0,
        "confirmed_bars": 2, "quality": 0.75, "revision": 0,
    }  # fmt: skip


def test_without_events_the_table_has_its_columns_and_no_rows() -> None:
    for data in (bars(monday=[(1, 1)] * 3), bars(monday=[(1, 1)]).iloc[:0]):
        table = divergences(data)
        assert len(table) == 0
        assert list(table)[:5] == ["ts", "pivot_ts", "prev_pivot_ts", "kind", "direction"]


def test_a_high_and_a_low_confirmed_at_once_are_two_events_and_a_conflict_in_the_columns() -> None:
    # rows 2 and 6 are wide bars: swing high and swing low at once; the second is wider, on an unchanged CVD
    wide = {2: 3.0, 6: 4.0}
    data = frame([a_bar(i, close=10.0, high=10 + wide.get(i, i % 2), low=10 - wide.get(i, i % 2), buy=1.0, sell=1.0) for i in range(9)])
    out = DeltaDivergence(**TWO).run(data)
    assert out["conflict"].tolist() == [False] * 8 + [True]
    assert (out[["regular", "hidden", "absorption"]] == 0).all(axis=None)
    assert out["pivot_offset"].iloc[8] == 2
    assert out[["strength", "prev_pivot_offset"]].iloc[8].isna().all()
    assert divergences(data, **TWO)[["kind", "direction"]].to_numpy().tolist() == [["regular", -1], ["regular", 1]]


def test_of_equal_highs_the_earliest_is_the_pivot() -> None:
    data = series([1, 2, 5, 5, 1, 2, 6, 6, 1.5, 1], [0.0] * 10)
    (event,) = divergences(data, **TWO).to_dict("records")
    assert (event["prev_pivot_ts"], event["pivot_ts"]) == (data.index[2], data.index[6])


@pytest.mark.parametrize(("gaps", "found"), [((4, 4), True), ((5, 9), False), ((1, 3), False), ((1, 4), True)], ids=str)
def test_pivots_are_compared_from_min_gap_to_max_gap_bars_apart(gaps: tuple[int, int], found: bool) -> None:
    assert bool(signals(series(PEAKS, [0.0] * 9), min_gap=gaps[0], max_gap=gaps[1])) is found


def test_a_session_between_the_pivots_keeps_them_apart() -> None:
    data = series(PEAKS, [0.0] * 9)
    data["session"] = [pd.Timestamp("2026-11-23")] * 5 + [pd.Timestamp("2026-11-24")] * 4
    assert signals(data) == []
    assert signals(data, reset="never") == [(8, "regular", -1.0)]


@pytest.mark.parametrize("row", [2, 3, 4, 5, 6])
def test_an_incomplete_bar_at_or_between_the_pivots_keeps_them_apart(row: int) -> None:
    data = series(PEAKS, [0.0] * 9)
    assert signals(data.assign(complete=[i != row for i in range(9)])) == []


@pytest.mark.parametrize("row", [1, 7, 8])
def test_an_incomplete_bar_outside_them_does_not(row: int) -> None:
    assert signals(series(PEAKS, [0.0] * 9).assign(complete=[i != row for i in range(9)])) == [(8, "regular", -1.0)]


def test_a_bar_without_a_split_breaks_the_comparison_like_a_gap() -> None:
    data = series(PEAKS, [0.0] * 9)
    data.loc[data.index[4], ["buy_volume", "sell_volume"]] = np.nan
    assert signals(data) == []


def test_prices_are_compared_in_whole_ticks() -> None:
    # 5.00 and 5.10 are 20 and 20.4 quarters: no new extreme, an equal high
    data = series([1, 2, 5, 2, 1, 2, 5.1, 2, 1.5], [0, 0, 0, 1, 0, 0, 0, 0, 0])
    assert signals(data, tick_size=0.25) == [(8, "absorption", -1.0)]
    assert signals(data) == []  # as floats it is a higher high on a higher CVD


def test_min_price_ticks_counts_ticks_of_the_contract_or_of_the_frame() -> None:
    data = series(PEAKS, [0.0] * 9)  # one point is four ticks
    data.attrs["tick_size"] = 0.25
    assert signals(data, min_price_ticks=4) == [(8, "regular", -1.0)]
    assert signals(data, min_price_ticks=5) == []
    live = DeltaDivergence(**TWO, min_price_ticks=4)
    assert [live.update(a_bar(i, close=float(p), buy=1.0, sell=1.0))["regular"] for i, p in enumerate(PEAKS)][-1] == -1


def test_a_history_that_knows_no_tick_size_and_bars_that_do_are_one_series() -> None:
    closed = random_bars(2, 300)
    live = DeltaDivergence(**TWO)
    live.extend(frame(closed[:150]))
    got = [live.update(bar)["regular"] for bar in closed[150:]]
    assert got == DeltaDivergence(**TWO).run(frame(closed))["regular"].tolist()[150:]
    assert set(got) == {-1, 0, 1}


def test_several_ticks_cannot_be_asked_for_without_a_tick_size() -> None:
    with pytest.raises(UsageError, match=r"need tick_size, e\.g\. tick_size=0\.25"):
        DeltaDivergence(min_price_ticks=2).run(series(PEAKS, [0.0] * 9))


def test_the_extreme_takes_the_cvd_of_the_bar_where_it_went_furthest() -> None:
    data = series(PEAKS, [0.0] * 9)
    data["max_delta"] = [0, 0, 0, 0, 0, 0, 3, 0, 0]  # inside the second high CVD went up to 3: no divergence
    assert signals(data, cvd_value="extreme") == []
    assert signals(data, cvd_value="close") == [(8, "regular", -1.0)]


def test_the_extreme_needs_bars_that_know_it_and_says_who_has_them() -> None:
    data = series(PEAKS, [0.0] * 9).drop(columns=["min_delta", "max_delta"])
    with pytest.raises(MissingColumns, match=r"^delta_divergence needs .*min_delta and max_delta; .*delta_source time_and_sale\)$"):
        DeltaDivergence(cvd_value="extreme").run(data)


def test_a_bar_that_moves_against_its_delta_is_marked_at_once() -> None:
    moves = [(1, -3), (1, 3), (-1, 3), (-1, -3), (0, 3), (1, 0)]  # (close - open, delta)
    data = frame([a_bar(i, open=10.0, close=10.0 + up, buy=5 + d / 2, sell=5 - d / 2) for i, (up, d) in enumerate(moves)])
    assert DeltaDivergence().run(data)["bar_divergence"].tolist() == [-1, 0, 1, 0, 0, 0]


def test_the_first_signal_can_come_on_the_bar_after_the_warm_up_and_no_earlier() -> None:
    # a pivot at row 1 exceeds one bar and is confirmed at 3; one at 3 is confirmed at 5
    rows = [row for seed in range(40) for row, _, _ in signals(frame(random_bars(seed, 60)), left=1, right=2, min_gap=2)]
    assert min(rows) == DeltaDivergence(left=1, right=2, min_gap=2).warmup == 5


@pytest.mark.parametrize("seed", range(5))
def test_upside_down_every_signal_changes_its_sign(seed: int) -> None:
    data = frame(random_bars(seed, 400))
    turned = data.assign(
        open=-data["open"], high=-data["low"], low=-data["high"], close=-data["close"], buy_volume=data["sell_volume"], sell_volume=data["buy_volume"]
    )
    one, other = (DeltaDivergence(left=2, right=2, min_gap=1).run(d) for d in (data, turned))
    kinds = ["regular", "hidden", "absorption", "bar_divergence"]
    assert (one[kinds] == -other[kinds]).all(axis=None)
    assert (one["conflict"] == other["conflict"]).all()


@pytest.mark.parametrize("seed", range(3))
def test_events_never_change_as_bars_are_added(seed: int) -> None:
    data = frame(random_bars(seed, 250, gaps=0.01))
    whole = divergences(data, tick_size=0.25, **TWO)
    for k in range(0, 250, 7):
        seen = divergences(data.iloc[:k], tick_size=0.25, **TWO)
        assert seen.to_numpy().tolist() == whole[whole["ts"] < data.index[k]].to_numpy().tolist()


def test_a_largest_gap_below_the_least_is_refused() -> None:
    with pytest.raises(UsageError, match="max_gap=4 is not accepted; a whole number from min_gap=5 on is"):
        DeltaDivergence(max_gap=4)
