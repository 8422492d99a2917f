"""Values and their units."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.errors import MissingColumns, UnsupportedTimeframe, UsageError
from tastytrade_provider.kernels import decimal
from tastytrade_provider.model import COLUMNS, Action, AggressorSide, Contract, SideSource, Timeframe, TradeBatch, TradeFlag
from tests.checks.builders import ES, a_bar, a_batch

TICKS = [
    ("ES", "0.25", 24_000),
    ("NQ", "0.25", 100_000),
    ("GC", "0.1", 40_000),
    ("6E", "0.00005", 23_000),
    ("ZN", "0.015625", 7_100),
    ("6J", "0.0000005", 13_000),
]


@pytest.mark.parametrize(("root", "tick", "around"), TICKS)
def test_a_price_is_the_float_that_its_decimal_text_reads_as(root: str, tick: str, around: int) -> None:
    contract = Contract(root, root, tick_size=float(tick))
    ticks = np.arange(around - 5_000, around + 5_000)
    said = [float(str(Decimal(tick) * int(count))) for count in ticks]
    assert contract.price(ticks).tolist() == said
    assert [contract.price(int(count)) for count in ticks] == said
    assert contract.ticks(np.array(said)).tolist() == ticks.tolist()
    assert [contract.ticks(price) for price in said] == ticks.tolist()


@pytest.mark.parametrize(("step", "lots"), [("1", 12_345), ("0.001", 76_661), ("0.00001", 123_457)])
def test_a_size_is_the_float_that_its_decimal_text_reads_as(step: str, lots: int) -> None:
    contract = Contract("X", "X", size_step=float(step))
    size = float(str(Decimal(step) * lots))
    assert contract.size(lots) == size
    assert contract.size(np.array([lots])).tolist() == [size]
    assert contract.lots(size) == lots


@pytest.mark.parametrize("name", ["tick_size", "size_step"])
@pytest.mark.parametrize("value", [0.0, -0.25, float("nan"), float("inf")])
def test_a_contract_without_a_step_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"/ESZ6: {name}"):
        Contract("ES", "/ESZ6", **{name: value})


@pytest.mark.parametrize("text", ["5s", "1m", "15m", "24h", "1440m", "86400s", "1d", "366d", "1w", "53w", "1mo", "12mo", "133t", "1000v", "8r"])
def test_a_timeframe_comes_back_as_it_was_written(text: str) -> None:
    frame = Timeframe.parse(text)
    assert str(frame) == text
    assert Timeframe.parse(frame) is frame
    assert frame.is_time == (text[-1] not in "tvr")


@pytest.mark.parametrize(
    "text", ["7x", "", "m", "0m", "01m", "-1m", "1.5m", "1M", "1 m", " 1m", "1min", "1m\n", "\u0661m", "1234567890s", "5", None, 5, ["1m"]]
)
def test_what_is_no_timeframe_is_refused_with_what_would_be_one(text: Any) -> None:
    with pytest.raises(UnsupportedTimeframe) as caught:
        Timeframe.parse(text)
    assert str(caught.value) == f"timeframe {text!r} is not a number followed by s m h d w mo t v r"


@pytest.mark.parametrize("text", ["25h", "1441m", "86401s"])
def test_a_timeframe_longer_than_a_session_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedTimeframe, match=f"timeframe '{text}' is longer than a session; use d, w or mo"):
        Timeframe.parse(text)


@pytest.mark.parametrize("text", ["367d", "999999999d", "54w", "13mo", "500mo"])
def test_a_timeframe_longer_than_a_year_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedTimeframe, match=f"timeframe '{text}' is longer than a year; up to 366d, 53w or 12mo is accepted"):
        Timeframe.parse(text)


def test_only_seconds_minutes_and_hours_have_a_length() -> None:
    assert [Timeframe.parse(text).ns for text in ("5s", "1m", "2h")] == [5 * 10**9, 60 * 10**9, 7200 * 10**9]
    with pytest.raises(UnsupportedTimeframe, match="'1d' has no fixed length"):
        _ = Timeframe.parse("1d").ns


NEEDED: dict[str, Any] = {"time_ns": [1, 2], "price": [6000.0, 6000.25], "size": [2.0, 1.0]}


def test_what_is_not_given_is_filled_in_and_missing_is_not_zero() -> None:
    batch = TradeBatch(ES, NEEDED)
    assert list(batch.columns) == list(COLUMNS)
    assert {name: column.dtype for name, column in batch.columns.items()} == {name: np.dtype(kind) for name, kind in COLUMNS.items()}
    assert (batch.ticks.tolist(), batch.lots.tolist(), batch.index.tolist()) == ([24_000, 24_001], [2, 1], [-1, -1])
    first = next(iter(batch))
    assert (first.index, first.bid, first.ask, first.side, first.side_source) == (None, None, None, AggressorSide.UNKNOWN, SideSource.NONE)
    assert (first.action, first.flags) == (Action.NEW, TradeFlag.VALID_TICK)
    assert TradeBatch(ES, NEEDED | {"side": [1, 0]}).side_source.tolist() == [SideSource.EXCHANGE, SideSource.NONE]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": [1.0]}, "differ in length"),
        ({"colour": [1, 2]}, r"unknown \['colour'\]"),
        ({"side": [2, 0]}, "side of a TradeBatch goes from 0 to 2; it must be from -1 to 1"),
        ({"side": ["BUY", "SELL"]}, "side of a TradeBatch is not readable as int8"),
        ({"side": [0.5, 0]}, "side of a TradeBatch must be one column of int8"),
        ({"action": [0, 3]}, "action of a TradeBatch goes from 0 to 3"),
        ({"side": [1, 0], "side_source": [0, 0]}, "must be NONE where side is UNKNOWN"),
        ({"side": [1, 0], "side_source": [3, 3]}, "must be NONE where side is UNKNOWN"),
        ({"index": [1.0, float("nan")]}, "index of a TradeBatch must be one column of int64"),
        ({"ticks": [1, 2**31]}, "ticks of a TradeBatch must be one column of int32"),
        ({"flags": [1, -1]}, "flags of a TradeBatch"),
        ({"price": [6000.0, float("nan")]}, "price nan in row 1 is no finite number of steps of /ESZ6"),
        ({"price": [6000.0, 1e12]}, "price 1000000000000.0 in row 1"),
        ({"size": [1.0, float("inf")]}, "size inf in row 1"),
        ({"time_ns": [[1, 2]]}, "time_ns of a TradeBatch"),
    ],
)
def test_columns_that_do_not_fit_are_refused_with_what_offended(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TradeBatch(ES, NEEDED | change)


@pytest.mark.parametrize("name", list(NEEDED))
def test_time_price_and_size_are_needed(name: str) -> None:
    with pytest.raises(MissingColumns, match=name):
        TradeBatch(ES, {key: value for key, value in NEEDED.items() if key != name})


def test_thirteen_columns_are_looked_at_as_closely_as_three() -> None:
    columns = dict(TradeBatch(ES, NEEDED).columns)
    assert TradeBatch(ES, {name: column.tolist() for name, column in columns.items()}).side.dtype == np.int8
    with pytest.raises(UsageError, match="goes from 9 to 9"):
        TradeBatch(ES, columns | {"side": [9, 9]})
    columns["colour"] = columns.pop("side")
    with pytest.raises(MissingColumns, match="colour"):
        TradeBatch(ES, columns)


def test_prices_off_the_tick_and_sizes_off_the_step_are_kept_and_marked() -> None:
    batch = a_batch(price=[6000.0, 6000.1, 6000.25], size=[1.0, 1.0, 1.5])
    assert batch.price.tolist() == [6000.0, 6000.1, 6000.25]
    assert batch.ticks.tolist() == [24_000, 24_000, 24_001]
    valid = TradeFlag.VALID_TICK
    assert batch.flags.tolist() == [valid, valid | TradeFlag.OFF_TICK, valid | TradeFlag.OFF_STEP]


def test_a_price_that_arithmetic_made_is_not_off_the_tick() -> None:
    gold = Contract("GC", "/GCZ6", tick_size=0.1)
    batch = a_batch(gold, price=[4000 + 0.1 * 3, 0.1 + 0.2])
    assert batch.ticks.tolist() == [40_003, 3]
    assert not (batch.flags & TradeFlag.OFF_TICK).any()


def test_a_batch_is_sliced_joined_copied_and_pickled() -> None:
    batch = a_batch(price=[1.0, 2.0, 3.0], side=[1, -1, 0])
    assert batch[1:].price.tolist() == [2, 3]
    assert batch[np.array([True, False, True])].side.tolist() == [1, 0]
    assert TradeBatch.concat([batch[:1], batch[1:]]).price.tolist() == [1, 2, 3]
    for other in (pickle.loads(pickle.dumps(batch)), copy.copy(batch), copy.deepcopy(batch)):
        assert (other.contract, other.side.tolist()) == (batch.contract, batch.side.tolist())
    assert repr(batch) == "<TradeBatch /ESZ6 3 trades>"
    with pytest.raises(AttributeError, match="no column 'colour'; it has time_ns"):
        _ = batch.colour


def test_a_frame_of_trades_comes_back_as_it_went() -> None:
    batch = a_batch(price=[6000.0, 6000.1], side=[1, 0], index=[5, 6], bid=[5999.75, np.nan])
    frame = batch.to_dataframe()
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"
    assert frame.index.name == "time"
    again = TradeBatch.from_dataframe(frame, ES)
    for name in COLUMNS:
        np.testing.assert_array_equal(again.columns[name], batch.columns[name])
        assert again.columns[name].dtype == batch.columns[name].dtype


def test_a_frame_needs_only_time_price_and_size_and_reads_sides_as_words() -> None:
    time = pd.to_datetime(["2026-11-23T09:30:00-05:00", "2026-11-23T09:30:01-05:00"])
    frame = pd.DataFrame({"time": time, "price": [6000, 6000.25], "size": [1, 2]})
    assert TradeBatch.from_dataframe(frame, ES).time_ns.tolist() == [1_795_444_200 * 10**9, 1_795_444_201 * 10**9]
    assert TradeBatch.from_dataframe(frame.set_index("time"), ES).size.tolist() == [1, 2]
    for sides, read in ((["BUY", "SELL"], [1, -1]), (["UNDEFINED", None], [0, 0]), ([-1, 1], [-1, 1]), ([1.0, np.nan], [1, 0])):
        assert TradeBatch.from_dataframe(frame.assign(side=sides), ES).side.tolist() == read
    assert TradeBatch.from_dataframe(frame.assign(side=pd.Categorical(["BUY", "UNKNOWN"])), ES).side.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("frame", "error", "says"),
    [
        (pd.DataFrame({"time": pd.to_datetime(["2026-11-23"]), "price": 1.0, "size": 1.0}), UsageError, "aware"),
        (pd.DataFrame({"price": 1.0, "size": 1.0}, index=pd.DatetimeIndex(["2026-11-23"])), UsageError, "aware"),
        (pd.DataFrame({"time": pd.to_datetime(["2026-11-23", None], utc=True), "price": 1.0, "size": 1.0}), UsageError, "every row"),
        (pd.DataFrame({"time": ["soon"], "price": 1.0, "size": 1.0}), UsageError, "is no time"),
        (pd.DataFrame({"price": [1.0], "size": 1.0}), MissingColumns, "time missing"),
        (pd.DataFrame({"size": [1.0]}, index=pd.DatetimeIndex(["2026-11-23"], tz="UTC")), MissingColumns, "price missing"),
        (pd.DataFrame({"price": 1.0, "size": 1.0, "side": "Buyer"}, index=pd.DatetimeIndex(["2026-11-23"], tz="UTC")), UsageError, "side 'Buyer' is none of"),
    ],
)
def test_a_frame_that_is_none_of_trades_is_refused_with_what_offended(frame: pd.DataFrame, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        TradeBatch.from_dataframe(frame, ES)


def test_delta_and_unknown_volume_are_missing_where_the_split_is() -> None:
    assert (a_bar(buy=3, sell=1, volume=5.0).delta, a_bar(buy=3, sell=1, volume=5.0).unknown_volume) == (2, 1)
    assert (a_bar(buy=None).delta, a_bar(buy=None).unknown_volume) == (None, None)


def test_the_delta_of_fractional_sizes_is_the_decimal_that_one_would_write() -> None:
    bar = a_bar(buy=0.3, sell=0.1, volume=0.6)
    assert (bar.delta, bar.unknown_volume) == (0.2, 0.2)
    assert (a_bar(buy=None, sell=None).delta, a_bar(buy=None, sell=None).unknown_volume) == (None, None)


@given(st.floats(0), st.floats(0))
def test_the_delta_of_a_bar_is_that_of_the_indicators(buy: float, sell: float) -> None:
    np.testing.assert_equal(a_bar(buy=buy, sell=sell, volume=1.0, min_delta=0.0, max_delta=0.0).delta, float(decimal(buy - sell)) + 0.0)
