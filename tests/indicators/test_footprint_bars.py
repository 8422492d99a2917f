"""Cells of the footprints drawn here are (ticks above 6000, sold, bought); the golden file holds 268 random bars and what plain_trades.py makes of them.

To write it anew after a change of a definition: `python -m tests.indicators.test_footprint_bars`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import BarBuilder, Footprint
from tastytrade_provider.errors import NotSupported, UsageError
from tastytrade_provider.indicators.footprint_bars import FootprintBars, FootprintLevels, read_footprint
from tastytrade_provider.indicators.footprint_levels import Reading
from tastytrade_provider.model import Action, Timeframe, TradeBatch
from tests.checks import oracle
from tests.checks.builders import ES, MINUTE_NS, a_bar, a_batch, opening
from tests.indicators import plain_trades as plain

GOLDEN = Path(__file__).parents[1] / "data" / "footprint_golden.csv"
LOOSE: dict[str, Any] = {"ratio": 2, "min_volume": 2, "unfinished_volume": 1, "exhaustion_levels": 3, "absorption_levels": 3, "reversal_ticks": 2, "stack": 2}
WEEK = oracle.sessions("2026-11-23", "2026-12-02")


def drawn(*cells: tuple[int, int, int], close: int = 0, **rules: Any) -> Reading:
    found = Footprint.of(ES, np.array([[24000 + at, sold, 0, bought] for at, sold, bought in cells]))
    return read_footprint(found, 6000 + close / 4, **rules)


def at(prices: Any, reading: Reading) -> list[int]:
    return [int(ticks) - 24000 for ticks in reading.ticks[prices]]


def test_bought_is_compared_with_what_was_sold_one_price_below() -> None:
    found = drawn((0, 10, 90), (1, 40, 30), (2, 9, 119), (3, 0, 27))
    # at 1: 30 against 10 sold below; at 2: 119 against 40 is less than three times; at 3: 27 against 9, yet fewer than 30
    assert at(found.buy_imbalance, found) == [1]
    assert at(drawn((0, 10, 90), (1, 40, 30), (2, 9, 119), (3, 0, 27), min_volume=27).buy_imbalance, found) == [1, 3]


def test_sold_is_compared_with_what_was_bought_one_price_above() -> None:
    found = drawn((0, 30, 0), (1, 60, 10), (2, 40, 21), (3, 99, 5))
    # at 0: 30 against 10; at 1: 60 against 21 is less than three times; at 2: 40 against 5; above 3 nothing can be compared
    assert at(found.sell_imbalance, found) == [0, 2]


def test_a_zero_is_a_number_unless_it_is_ignored_and_outside_the_bar_there_is_none() -> None:
    cells = ((0, 50, 50), (1, 50, 0), (2, 0, 50), (3, 0, 50))
    found = drawn(*cells)
    assert (at(found.buy_imbalance, found), at(found.sell_imbalance, found)) == ([3], [0])
    found = drawn(*cells, ignore_zero=True)
    assert (at(found.buy_imbalance, found), at(found.sell_imbalance, found)) == ([], [])


def test_a_price_that_did_not_trade_counts_as_zero() -> None:
    found = drawn((0, 50, 50), (2, 0, 40))
    assert at(found.buy_imbalance, found) == [2]


def test_one_price_can_hold_an_imbalance_of_either_side() -> None:
    found = drawn((0, 10, 0), (1, 90, 90), (2, 0, 10))
    assert (at(found.buy_imbalance, found), at(found.sell_imbalance, found)) == ([1], [1])


def test_stacks_are_imbalances_at_consecutive_prices_with_a_start_and_an_end() -> None:
    cells = ((0, 5, 0), (1, 5, 50), (2, 5, 50), (3, 90, 50), (4, 5, 50), (5, 5, 50), (6, 5, 50), (8, 5, 50))
    found = drawn(*cells)  # at 4: 50 against 90 is none; 7 did not trade, and 8 stands apart
    assert [at(stack, found) for stack in found.stacks(1)] == [[1, 3]]
    assert [at(stack, found) for stack in drawn(*cells, stack=2).stacks(1)] == [[1, 3], [5, 6]]
    assert len(drawn(*cells, stack=4).stacks(1)) == 0


def test_an_auction_is_unfinished_where_both_sides_traded_at_the_extreme() -> None:
    def told(low: tuple[int, int], high: tuple[int, int]) -> list[bool]:
        row = drawn((0, *low), (1, 5, 5), (2, *high)).columns()
        return [bool(row["unfinished_low"][0]), bool(row["unfinished_high"][0])]

    assert told((21, 1), (1, 21)) == [True, True]
    assert told((20, 1), (1, 20)) == [False, False]  # not more than 20
    assert told((99, 0), (0, 99)) == [False, False]  # one side only: finished


def test_exhaustion_is_volume_that_dries_up_towards_the_extreme() -> None:
    def told(*sold: int) -> bool:
        return bool(drawn(*((i, n, 1) for i, n in enumerate(sold))).columns()["exhaustion_low"][0])

    assert told(1, 2, 3, 4, 5, 1)
    assert not told(1, 2, 3, 3, 5, 6)  # not strictly
    assert not told(1, 2, 3, 4)  # four prices, five are asked for
    assert bool(drawn(*((i, 1, n) for i, n in enumerate((9, 5, 4, 3, 2, 1)))).columns()["exhaustion_high"][0])


def test_absorption_is_an_imbalance_at_the_extreme_that_the_close_leaves_behind() -> None:
    cells = [(0, 10, 0), (1, 90, 1), (2, 5, 10), *((i, 1, 1) for i in range(3, 9))]
    assert drawn(*cells, close=5).columns()["absorption_low"].tolist() == [True]  # sold 90 at 1 against 10 above; the close is 4 ticks higher
    assert drawn(*cells, close=4).columns()["absorption_low"].tolist() == [False]
    assert drawn(*cells, close=8, absorption_levels=1).columns()["absorption_low"].tolist() == [False]


def test_ratios_at_the_extremes() -> None:
    row = drawn((0, 10, 1), (1, 25, 6), (2, 1, 4)).columns()
    assert (row["ratio_low"][0], row["ratio_high"][0]) == (25 / 10, 6 / 4)
    assert np.isnan(drawn((0, 10, 10)).columns()["ratio_low"][0])
    assert np.isnan(drawn((0, 0, 1), (1, 5, 0)).columns()["ratio_low"][0])


# -- against the plain definitions


def a_tape(seed: int, n: int = 900) -> TradeBatch:
    return oracle.a_tape(np.random.default_rng(seed), n, WEEK[:2])


def plain_rows(batch: TradeBatch, timeframe: str, row: int = 1, **rules: Any) -> list[dict[str, Any]]:
    frame = Timeframe.parse(timeframe)
    made = oracle.made_bars(oracle.rows_of(batch), frame.n, frame.unit, WEEK)
    return [{"time": bar.start} | plain.footprint(plain.grouped(bar.cells, row), bar.prices[-1], row=row, **rules) for bar in made]


def as_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    for name in ("poc", "val", "vah"):
        frame[name] = frame[name] / 4
    time = pd.DatetimeIndex(frame.pop("time").to_numpy(np.int64).view("M8[ns]"), tz="UTC", name="time")
    return frame.set_index(time)[list(FootprintBars.outputs)].astype(float)


@pytest.mark.parametrize("timeframe", ["5m", "1d", "40t", "90v", "12r"])
@pytest.mark.parametrize(("row", "rules"), [(1, LOOSE), (1, LOOSE | {"ignore_zero": True}), (3, LOOSE), (1, {})], ids=str)
def test_bars_are_what_the_plain_definitions_say(timeframe: str, row: int, rules: dict[str, Any]) -> None:
    batch = a_tape(1)
    out = FootprintBars(timeframe=timeframe, ticks_per_row=row, **rules).run(batch)
    pd.testing.assert_frame_equal(out.astype(float), as_frame(plain_rows(batch, timeframe, row, **rules)), check_exact=True)


@pytest.mark.parametrize("timeframe", ["5m", "40t", "90v", "12r"])
def test_live_closed_and_forming_bars_have_the_values_of_history(timeframe: str) -> None:
    batch, asked, builder, seen = a_tape(2, 500), FootprintBars(timeframe=timeframe, **LOOSE), BarBuilder(ES, timeframe), 0
    for piece in oracle.cut(np.random.default_rng(2), batch):
        closed = builder.add(piece)
        seen += len(piece)
        assert builder.forming is not None
        told = [{name: value[0] for name, value in asked.of_bar(builder, bar).columns().items()} for bar in (*closed, builder.forming)]
        np.testing.assert_array_equal(pd.DataFrame(told).to_numpy(float), asked.run(batch[:seen]).tail(len(told)).to_numpy(float))


def test_a_cancelled_trade_is_gone_from_the_footprint_and_what_it_says() -> None:
    batch = a_batch(price=[6000, 6000.25, 6000.5], size=[10, 40, 1], side=[-1, 1, 1], index=[1, 2, 3])
    cancel = batch[1:2].replace(action=np.array([Action.CANCEL], np.int8))
    assert FootprintBars().run(batch)["buy_imbalances"].tolist() == [1]
    assert FootprintBars().run(TradeBatch.concat([batch, cancel]))["buy_imbalances"].tolist() == [0]
    builder = BarBuilder(ES, "1m")
    builder.add(batch)
    builder.add(cancel)
    assert builder.forming is not None
    assert FootprintBars().of_bar(builder, builder.forming).columns()["buy_imbalances"].tolist() == [0]


def test_several_bars_merged_are_read_like_one() -> None:
    batch = a_tape(3)
    builder = BarBuilder(ES, "1h")
    closed = [bar for bar in builder.add(batch) if bar.session == WEEK[0].label]
    merged = Footprint.merged(ES, [builder.footprint(bar) for bar in closed])
    assert closed[-1].close is not None
    told = read_footprint(merged, closed[-1].close, **LOOSE).columns()
    day = FootprintBars(timeframe="1d", **LOOSE).run(batch[batch.time_ns < closed[-1].end_ns]).iloc[0]
    assert {name: value[0] for name, value in told.items()} == day.to_dict()


def test_a_footprint_without_trades_says_nothing() -> None:
    empty = read_footprint(Footprint.of(ES, np.empty((0, 4), np.int64)), 6000.0)
    assert all(len(value) == 0 for value in empty.columns().values())
    assert FootprintBars().run(a_batch()[:0]).shape == (0, len(FootprintBars.outputs))
    assert FootprintLevels().run(a_batch()[:0]).shape == (0, len(FootprintLevels.outputs))


# -- levels


def minutes(*prints: tuple[int, float, float, int]) -> TradeBatch:
    """Trades of (minute, price, size, side)."""
    minute, price, size, side = zip(*prints, strict=True)
    return a_batch(time_ns=opening() + np.array(minute) * MINUTE_NS, price=price, size=size, side=side)


def test_a_poc_is_naked_until_a_later_bar_trades_it() -> None:
    out = FootprintLevels().run(minutes((0, 6000, 5, 1), (1, 6002, 5, 1), (2, 6003, 2, 1), (2, 6001, 5, 1), (3, 6001, 1, 1)))
    minute = [None if pd.isna(ended) else (ended.value - opening()) // MINUTE_NS for ended in out["ended"]]
    # 6002 lies inside the range of minute 2, 6001 inside that of minute 3; 6000 and the last 6001 are naked
    assert list(zip(out["kind"], out["start"], minute, strict=True)) == [("poc", 6000, None), ("poc", 6002, 2), ("poc", 6001, 3), ("poc", 6001, None)]


def test_each_stack_has_its_side_its_start_and_its_end() -> None:
    up = [(0, 6000 + i / 4, 50, 1) for i in range(1, 4)] + [(0, 6000 + i / 4, 5, -1) for i in range(4)]
    out = FootprintLevels().run(minutes(*sorted(up), (1, 6005, 1, 1), (2, 6000.5, 1, 1)))
    (stack,) = out[out["kind"] == "stacked"].to_dict("records")
    assert (stack["side"], stack["start"], stack["end"], stack["levels"]) == (1, 6000.25, 6000.75, 3)
    assert stack["ended"].value == opening() + 2 * MINUTE_NS


@pytest.mark.parametrize("timeframe", ["5m", "40t"])
def test_levels_are_those_of_the_plain_definitions(timeframe: str) -> None:
    batch = a_tape(4)
    frame, rules = Timeframe.parse(timeframe), LOOSE | {"exhaustion_levels": 2}
    made = oracle.made_bars(oracle.rows_of(batch), frame.n, frame.unit, WEEK)
    expected = []
    for n, (bar, row) in enumerate(zip(made, plain_rows(batch, timeframe, **rules), strict=True)):
        low, high = min(bar.cells), max(bar.cells)
        levels = [("poc", 0, row["poc"], row["poc"])]
        levels += [("stacked", side, *ends) for side, name in ((1, "buy_stacks"), (-1, "sell_stacks")) for ends in row[name]]
        for kind in ("unfinished", "exhaustion"):
            levels += [(kind, side, end, end) for side, end, name in ((1, high, "high"), (-1, low, "low")) if row[f"{kind}_{name}"]]
        levels += [("absorption", 1, p, p) for p in row["buys"] if p > high - 3 and p - bar.prices[-1] >= 2]
        levels += [("absorption", -1, p, p) for p in row["sells"] if p < low + 3 and bar.prices[-1] - p >= 2]
        for kind, side, start, end in levels:
            ended = next((later.start for later in made[n + 1 :] if min(later.prices) <= end and max(later.prices) >= start), None)
            expected.append((bar.start, kind, side, start / 4, end / 4, ended))
    out = FootprintLevels(timeframe=timeframe, **rules).run(batch)
    ended = [None if pd.isna(time) else time.value for time in out["ended"]]
    starts = out.index.as_unit("ns").asi8.tolist()
    got = list(zip(starts, out["kind"], out["side"], out["start"], out["end"], ended, strict=True))
    assert sorted(map(str, got)) == sorted(map(str, expected))
    assert {kind for _, kind, *_ in got} == {"poc", "stacked", "unfinished", "exhaustion", "absorption"}
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"ratio": 0.5}, "ratio=0.5 is not accepted; a number from 1 on is"),
        ({"value_area": 70}, "value_area=70 is not accepted; a number from 0 to 1 is"),
        ({"percent": 300}, "has no parameter 'percent'; it accepts .*ratio, min_volume"),
    ],
    ids=str,
)
def test_a_wrong_rule_is_named_with_what_is_accepted(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FootprintBars(**rules)
    with pytest.raises(UsageError, match=message):
        drawn((0, 1, 1), **rules)


def test_bars_one_by_one_are_refused_with_the_way_to_go() -> None:
    with pytest.raises(NotSupported, match=r"of_bar\(builder, bar\) with a BarBuilder"):
        FootprintLevels().update(a_bar())


# -- the golden file


def golden_rows() -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not isinstance(value, list)} for row in plain_rows(a_tape(7, 2000), "15t", **LOOSE)]


def test_bars_equal_the_golden_file() -> None:
    data = pd.read_csv(GOLDEN)
    out = FootprintBars(timeframe="15t", **LOOSE).run(a_tape(7, 2000))
    pd.testing.assert_frame_equal(out.astype(float), as_frame(data.to_dict("records")), check_exact=True)


def test_the_golden_file_is_what_the_plain_definitions_say_and_holds_every_signal() -> None:
    with GOLDEN.open(newline="") as file:
        stored = list(csv.DictReader(file))
    assert stored == [{name: str(value) for name, value in row.items()} for row in golden_rows()]
    for name in FootprintBars.outputs:
        assert len({row[name] for row in stored}) > 1, name


if __name__ == "__main__":
    with GOLDEN.open("w", newline="") as file:
        written = golden_rows()
        writer = csv.DictWriter(file, list(written[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(written)
