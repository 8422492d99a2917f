from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import build_bars, build_history
from tastytrade_provider.errors import MissingColumns, UsageError
from tastytrade_provider.indicators import CVD
from tastytrade_provider.model import Contract, TradeBatch
from tests.checks.builders import ES, a_bar, bars, frame, random_trades


def spread(*starts: str) -> pd.DataFrame:
    """Bars that buy one lot each and know no session, starting at the given UTC times."""
    index = pd.DatetimeIndex(starts, tz="UTC", name="time").as_unit("ns")
    return pd.DataFrame({"buy_volume": 1.0, "sell_volume": 0.0}, index=index)


def test_two_sessions_are_never_added_together() -> None:
    # Monday 5 - 2 = 3, then 3 + 1 - 4 = 0; Tuesday starts anew: 7 - 6 = 1
    assert CVD().run(bars(monday=[(5, 2), (1, 4)], tuesday=[(7, 6)]))["cvd"].tolist() == [3.0, 0.0, 1.0]


def test_a_bar_opens_where_the_one_before_closed_and_its_extremes_include_the_open() -> None:
    one = a_bar(0, buy=5.0, sell=2.0, min_delta=-1.0, max_delta=4.0)  # 0 -> 3, between 0 - 1 and 0 + 4
    two = a_bar(1, buy=1.0, sell=4.0, min_delta=-5.0, max_delta=0.0)  # 3 -> 0, between 3 - 5 and 3 + 0
    assert CVD().run(frame([one, two]))[["cvd_open", "cvd_high", "cvd_low", "cvd"]].to_numpy().tolist() == [[0, 4, -1, 3], [3, 3, -2, 0]]


def test_a_bar_without_a_split_yields_nan_and_leaves_the_sum_alone() -> None:
    cvd = CVD()
    got = [cvd.update(a_bar(i, buy=buy, sell=0.0 if buy else None, volume=9.0))["cvd"] for i, buy in enumerate((5.0, None, 2.0))]
    assert got[0] == 5.0
    assert math.isnan(got[1])
    assert got[2] == 7.0


def test_high_and_low_are_unknown_where_the_bar_does_not_know_its_extremes() -> None:
    out = CVD().run(bars(monday=[(5, 2)]).drop(columns=["min_delta", "max_delta"]))
    assert out[["cvd", "cvd_open"]].to_numpy().tolist() == [[3.0, 0.0]]
    assert out[["cvd_high", "cvd_low"]].isna().all(axis=None)


def test_unknown_volume_counts_in_neither_side() -> None:
    assert CVD().update(a_bar(buy=2.0, sell=1.0, volume=100.0))["cvd"] == 1.0


RESETS = [
    # a Globex session opens at 17:00 Chicago: 23:00 UTC in winter, 22:00 UTC from 8 March 2026 on
    ("session_open", ["2026-03-05 22:59", "2026-03-05 23:00", "2026-03-06 14:29", "2026-03-08 22:00", "2026-03-08 22:30"], [1, 1, 2, 1, 2]),
    # New York's cash session opens at 08:30 Chicago: 14:30 UTC in winter
    ("rth_open", ["2026-01-06 14:29", "2026-01-06 14:30", "2026-01-06 23:00", "2026-01-07 14:29", "2026-01-07 14:35"], [1, 1, 2, 3, 1]),
    # Monday 19 January 2026 is Martin Luther King's day: its short session and Tuesday's are one trade date
    ("trade_date", ["2026-01-16 15:00", "2026-01-18 23:00", "2026-01-19 15:00", "2026-01-19 23:00", "2026-01-20 23:00"], [1, 1, 2, 3, 1]),
    ("weekly", ["2026-01-09 15:00", "2026-01-11 23:00", "2026-01-13 15:00", "2026-01-16 15:00", "2026-01-18 23:00"], [1, 1, 2, 3, 1]),
    # 09:00 in Chicago is 15:00 UTC
    ("09:00", ["2026-01-06 14:59", "2026-01-06 15:00", "2026-01-06 23:00", "2026-01-07 14:59", "2026-01-07 15:01"], [1, 1, 2, 3, 1]),
    ("never", ["2026-01-06 14:59", "2026-03-06 15:00", "2026-12-06 23:00"], [1, 2, 3]),
]


@pytest.mark.parametrize(("reset", "starts", "counted"), RESETS, ids=[row[0] for row in RESETS])
def test_it_starts_anew_at_the_first_bar_from_the_reset_on(reset: str, starts: list[str], counted: list[int]) -> None:
    assert CVD(reset=reset, calendar="CME Globex Equity").run(spread(*starts))["cvd"].tolist() == counted


@pytest.mark.parametrize(("reset", "starts", "counted"), RESETS, ids=[row[0] for row in RESETS])
def test_bars_one_by_one_start_anew_at_the_same_places(reset: str, starts: list[str], counted: list[int]) -> None:
    cvd = CVD(reset=reset, calendar="CME Globex Equity")
    rows = [{"time": time, "buy_volume": 1, "sell_volume": 0} for time in pd.DatetimeIndex(starts, tz="UTC")]
    assert [cvd.update(row)["cvd"] for row in rows] == counted


def test_the_calendar_may_come_from_the_frame_and_a_bar_brings_its_own() -> None:
    data = spread("2026-01-06 14:29", "2026-01-06 14:30")
    data.attrs["calendar"] = "CME Globex Equity"
    assert CVD(reset="rth_open").run(data)["cvd"].tolist() == [1, 1]
    cvd = CVD(reset="rth_open")
    assert [cvd.update(a_bar(minute))["cvd"] for minute in (-1, 0, 1)] == [1, 1, 2]


def test_a_history_that_knows_no_session_and_bars_that_do_agree_on_the_segment() -> None:
    cvd = CVD(calendar="CME Globex Equity")
    cvd.extend(spread("2026-11-23 14:00", "2026-11-23 14:10"))
    assert cvd.update(a_bar(0, day="monday"))["cvd"] == 3


@pytest.mark.parametrize("reset", ["session_open", "never"])
def test_it_always_starts_anew_where_the_contract_changes(reset: str) -> None:
    data = bars(monday=[(1, 0)] * 6).assign(symbol=["/ESZ6", "/ESZ6", None, "/ESH7", None, "/ESH7"])
    assert CVD(reset=reset).run(data)["cvd"].tolist() == [1, 2, 3, 1, 2, 3]  # who does not say it is of the contract before
    after = dataclasses.replace(ES, symbol="/ESH7")
    closed = [a_bar(0), a_bar(1), a_bar(2, contract=after), a_bar(3, contract=after), a_bar(4)]
    cvd = CVD(reset=reset)
    assert [cvd.update(bar)["cvd"] for bar in closed] == [1, 2, 1, 2, 1]


def test_a_roll_between_pieces_of_a_history_is_a_roll() -> None:
    data = bars(monday=[(1, 0)] * 4).assign(symbol=["/ESZ6", "/ESZ6", "/ESH7", "/ESH7"])
    for cut in range(1, 4):
        cvd = CVD(reset="never")
        assert [*cvd.extend(data.iloc[:cut])["cvd"], *cvd.extend(data.iloc[cut:])["cvd"]] == [1, 2, 1, 2]


def test_a_history_that_does_not_say_its_contract_goes_on_with_bars_that_do() -> None:
    cvd = CVD(reset="never")
    cvd.extend(bars(monday=[(1, 0)] * 2))
    assert [cvd.update(bar)["cvd"] for bar in (a_bar(2), a_bar(3))] == [3, 4]


@pytest.mark.parametrize("reset", ["session_open", "rth_open"])
def test_without_a_session_or_a_calendar_it_says_which_calendars_there_are(reset: str) -> None:
    with pytest.raises(MissingColumns, match=r"calendar='CME Globex Equity'; known are .*CMEGlobex_GC"):
        CVD(reset=reset).run(spread("2026-01-06 14:29"))


def test_naive_times_are_refused_where_the_time_matters() -> None:
    with pytest.raises(UsageError, match="aware times"):
        CVD(calendar="CME Globex Equity").run(spread("2026-01-06 14:29").tz_localize(None))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"reset": "noon"}, r"cvd: reset='noon' is not accepted; session_open \| rth_open \| .* 'HH:MM' is"),
        ({"calendar": "CME"}, r"cvd: calendar='CME' is not accepted; None or one of CME Globex Equity"),
        ({"period": 3}, r"cvd has no parameter 'period'; it accepts reset, calendar"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named_with_what_is_accepted(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CVD(**params)


@pytest.mark.parametrize("timeframe", ["1m", "133t", "1d"])
@pytest.mark.parametrize("reset", ["session_open", "rth_open", "trade_date", "weekly", "never", "10:00"])
def test_it_equals_the_cvd_the_bar_builder_sums_from_the_same_trades(timeframe: str, reset: str) -> None:
    trades = random_trades(seed=11, n=3_000, seconds=90)
    truth = build_history(trades, timeframe, ES, reset).cvd()
    data = build_bars(trades, timeframe, ES)
    out = CVD(reset=reset, calendar=ES.calendar).run(data)
    np.testing.assert_array_equal(out[["cvd_open", "cvd_high", "cvd_low", "cvd"]].to_numpy(), truth)


@pytest.mark.parametrize("size_step", [0.1, 0.001, 1e-8])
def test_sums_of_sizes_like_a_tenth_are_those_of_whole_lots_to_the_last_bit(size_step: float) -> None:
    coin = Contract("ETH/USD", "ETH/USD", tick_size=0.01, size_step=size_step, calendar="24/7")
    whole = random_trades(seed=12, n=3_000, seconds=90)
    size = whole.lots * 1009 * size_step  # 0.1 + 0.2 is not 0.3 in floats; 1 + 2 lots are 3
    trades = TradeBatch(coin, {name: whole.columns[name] for name in ("time_ns", "price", "side", "index")} | {"size": size})
    truth = build_history(trades, "1m", coin, "never").cvd()
    data = build_bars(trades, "1m", coin)
    np.testing.assert_array_equal(CVD(reset="never").run(data)[["cvd_open", "cvd_high", "cvd_low", "cvd"]].to_numpy(), truth)
    live = CVD(reset="never")
    np.testing.assert_array_equal([live.update(row)["cvd"] for row in data.to_dict("records")], truth[:, 3])


def test_sums_beyond_nine_decimals_stay_what_they_are() -> None:
    whole = 10.0**12 + 1
    assert CVD().run(bars(monday=[(whole, 0), (1, 0)]))["cvd"].tolist() == [whole, whole + 1]
