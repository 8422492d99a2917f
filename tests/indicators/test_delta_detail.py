from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import BarBuilder, build_bars
from tastytrade_provider.errors import MissingColumns, NotSupported, UsageError
from tastytrade_provider.indicators.cvd import CVD
from tastytrade_provider.indicators.delta_detail import CVDBySize, DeltaDetail
from tastytrade_provider.model import Action, Contract, Timeframe, TradeBatch
from tests.checks import oracle
from tests.checks.builders import ES, a_bar, a_batch, bars, opening
from tests.indicators import plain_trades as plain

WEEK = oracle.sessions("2026-11-23", "2026-12-02")
TIMEFRAMES = ["1m", "5m", "1d", "7t", "25v", "6r"]


def a_tape(seed: int, n: int = 700, sessions: int = 2) -> TradeBatch:
    """Some prints of one order, some sides inferred."""
    rng = np.random.default_rng(seed)
    batch = oracle.a_tape(rng, n, WEEK[:sessions])
    source = np.where(batch.side == 0, 3, rng.choice([0, 0, 1, 2], len(batch))).astype(np.int8)
    return batch.replace(side_source=source)


def truth(batch: TradeBatch, timeframe: str, joined: bool, **asked: Any) -> pd.DataFrame:
    frame = Timeframe.parse(timeframe)
    rows = oracle.rows_of(batch)
    whole, heads = plain.sizes(rows, joined)
    made = oracle.made_bars(rows, frame.n, frame.unit, WEEK)
    said = [plain.detail(rows, bar, mine, batch.side_source.tolist(), whole, heads, **asked) for bar, mine in zip(made, plain.parts(rows, made), strict=True)]
    return pd.DataFrame(said, index=pd.DatetimeIndex(np.array([bar.start for bar in made]).view("M8[ns]"), tz="UTC", name="time"), dtype=float)


def test_a_bar_by_hand() -> None:
    # ticks of 24000 +       1       0       2       2       1
    batch = a_batch(price=[6000.25, 6000.0, 6000.5, 6000.5, 6000.25], size=[3, 5, 2, 4, 1], side=[-1, 1, 1, 0, -1])
    (row,) = DeltaDetail().run(batch).to_dict("records")
    assert row == {
        "delta": 3, "delta_pct": 3 / 11,  # 7 bought, 4 sold, 4 unknown
        "min_delta": -3, "max_delta": 4,  # 0 -3 2 4 4 3
        "delta_at_high": -1,  # after the last trade at 6000.50: one sold
        "delta_at_low": 1,  # after the trade at 6000.00: 2 bought, 1 sold
        "buy_volume": 7, "sell_volume": 4, "unknown_volume": 4, "buy_trades": 2, "sell_trades": 2, "count_delta": 0,
        "delta_per_trade": 3 / 4, "max_trade": 5, "quality": 11 / 15,
    }  # fmt: skip


def test_sierras_extremes_leave_out_the_zero_a_bar_starts_from() -> None:
    batch = a_batch(size=[3, 5, 1], side=[1, 1, -1])  # 3 8 7
    for extremes, expected in (("zero", [0, 8]), ("sierra", [3, 8])):
        assert DeltaDetail(extremes=extremes).run(batch)[["min_delta", "max_delta"]].to_numpy().tolist() == [expected]


def test_prints_of_one_order_count_once_and_with_their_size_together() -> None:
    batch = a_batch(time_ns=[opening()] * 3 + [opening() + 1], size=[6, 5, 4, 12], side=[1, 1, -1, -1])
    columns = ["delta", "buy_trades", "sell_trades", "max_trade"]
    assert DeltaDetail(min_size=10).run(batch)[columns].to_numpy().tolist() == [[11 - 12, 1, 1, 12]]
    assert DeltaDetail(min_size=10, orders=False).run(batch)[columns].to_numpy().tolist() == [[-12, 0, 1, 12]]
    assert DeltaDetail(max_size=5, orders=False).run(batch)[columns].to_numpy().tolist() == [[5 - 4, 1, 1, 5]]


def test_without_a_trade_of_the_size_a_bar_is_still_there() -> None:
    (row,) = DeltaDetail(min_size=100).run(a_batch(size=[3, 5])).to_dict("records")
    assert (row["delta"], row["max_trade"]) == (0, 0)
    assert all(math.isnan(row[name]) for name in ("delta_pct", "delta_per_trade", "quality"))


ASKED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"joined": True}),
    ({"orders": False, "extremes": "sierra"}, {"joined": False, "sierra": True}),
    ({"min_size": 3, "max_size": 40}, {"joined": True, "least": 3, "most": 40}),
    ({"max_size": 2, "orders": False, "extremes": "sierra"}, {"joined": False, "most": 2, "sierra": True}),
]


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
@pytest.mark.parametrize(("params", "asked"), ASKED, ids=str)
def test_it_is_what_the_plain_definitions_say(timeframe: str, params: dict[str, Any], asked: dict[str, Any]) -> None:
    batch = a_tape(3)
    pd.testing.assert_frame_equal(DeltaDetail(timeframe=timeframe, **params).run(batch), truth(batch, timeframe, **asked), check_freq=False)


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_bought_sold_and_unknown_are_those_of_the_bars(timeframe: str) -> None:
    batch = a_tape(4)
    out, whole = DeltaDetail(timeframe=timeframe).run(batch), build_bars(batch, timeframe, ES)
    pd.testing.assert_frame_equal(out[["buy_volume", "sell_volume", "min_delta", "max_delta"]], whole[["buy_volume", "sell_volume", "min_delta", "max_delta"]])
    assert (out["delta"] + 2 * out["sell_volume"] + out["unknown_volume"] == whole["volume"]).all()


@pytest.mark.parametrize("timeframe", ["1m", "7t", "25v", "6r"])
def test_live_closed_and_forming_bars_have_the_values_of_history(timeframe: str) -> None:
    batch, asked, builder, seen = a_tape(5, 300, sessions=1), DeltaDetail(timeframe=timeframe, min_size=2), BarBuilder(ES, timeframe), 0
    for piece in oracle.cut(np.random.default_rng(5), batch):
        closed = builder.add(piece)
        seen += len(piece)
        assert builder.forming is not None
        told = [asked.of_bar(builder, bar) for bar in (*closed[-3:], builder.forming)]
        history = asked.run(batch[:seen]).tail(len(told))
        np.testing.assert_array_equal(pd.DataFrame(told).to_numpy(), history.to_numpy())


@pytest.mark.parametrize("timeframe", ["1m", "7t", "25v"])
def test_a_corrected_bar_has_the_values_of_a_history_with_the_correction(timeframe: str) -> None:
    batch = a_tape(6, 300, sessions=1)
    at = len(batch) // 2
    change = batch[at : at + 1].replace(action=np.array([Action.CORRECTION], np.int8), lots=np.array([9], np.int64), side=np.array([-1], np.int8))
    change = change.replace(side_source=np.array([0], np.int8))
    builder = BarBuilder(ES, timeframe)
    latest = {bar.start_ns if timeframe == "1m" else bar.bar_no: bar for bar in itertools.chain(builder.add(batch), builder.add(change))}
    whole = DeltaDetail(timeframe=timeframe).run(TradeBatch.concat([batch, change]))
    kept = [latest[key] for key in sorted(latest)][: len(whole) - 1]
    told = pd.DataFrame([DeltaDetail().of_bar(builder, bar) for bar in kept])
    np.testing.assert_array_equal(told.to_numpy(), whole.to_numpy()[: len(kept)])


def test_a_bar_whose_trades_are_gone_is_refused() -> None:
    builder = BarBuilder(ES, "1m")
    first, _ = builder.add(a_batch(time_ns=[opening("monday"), opening("tuesday"), opening("tuesday") + 70 * 10**9]))
    with pytest.raises(UsageError, match="the ledger holds those of the current session"):
        DeltaDetail().of_bar(builder, first)
    with pytest.raises(UsageError, match="no trades are kept"):
        DeltaDetail().of_bar(builder, a_bar(5, day="tuesday"))


def test_it_reads_trades_and_says_so() -> None:
    with pytest.raises(MissingColumns, match=r"^delta_detail needs price and size"):
        DeltaDetail().run(bars(monday=[(1, 2)]))
    with pytest.raises(NotSupported, match=r"delta_detail reads trades, not bars; live, use of_bar\(builder, bar\)"):
        DeltaDetail().update(a_bar())


def test_no_trades_give_no_rows() -> None:
    none = a_batch()[:0]
    assert DeltaDetail().run(none).shape == (0, len(DeltaDetail.outputs))
    assert CVDBySize().run(none).shape == (0, len(CVDBySize.outputs))


def test_cvd_by_size_by_hand() -> None:
    batch = a_batch(time_ns=opening() + np.array([0, 1, 60, 61]) * 10**9, size=[2, 30, 5, 10], side=[1, -1, 1, 1])
    out = CVDBySize(sizes=(10,)).run(batch)["cvd"]
    assert out.tolist() == [2, -30, 7, -20]
    assert out.index.get_level_values("from_size").tolist() == [0, 10, 0, 10]


def test_cvd_by_size_says_what_nobody_could_tell_and_what_the_exchange_told() -> None:
    # the exchange told 2 of 2 + 3 in the small bucket; of the 30 large nobody told the side
    batch = a_batch(time_ns=opening() + np.arange(3) * 10**9, size=[2, 3, 30], side=[1, -1, 0]).replace(side_source=np.array([0, 1, 3], np.int8))
    out = CVDBySize(sizes=(10, 50)).run(batch)[["unknown_volume", "quality"]]
    assert out["unknown_volume"].tolist() == [0, 30, 0]
    assert out["quality"].tolist()[:2] == [0.4, 0]
    assert math.isnan(out["quality"].iloc[2])


@pytest.mark.parametrize("reset", ["session_open", "rth_open", "never", "12:00"])
@pytest.mark.parametrize("timeframe", ["5m", "25v"])
def test_the_buckets_together_are_cvd(timeframe: str, reset: str) -> None:
    batch = a_tape(8)
    whole = CVD(reset=reset).run(build_bars(batch, timeframe, ES))
    split = CVDBySize(timeframe=timeframe, reset=reset, sizes=(2, 5, 41)).run(batch)
    np.testing.assert_array_equal(split["cvd"].to_numpy().reshape(-1, 4).sum(axis=1), whole["cvd"])
    one = CVDBySize(timeframe=timeframe, reset=reset, sizes=()).run(batch).droplevel("from_size")
    pd.testing.assert_frame_equal(one[list(whole)], whole, check_freq=False)


def test_sierras_cvd_opens_inside_its_range() -> None:
    batch = a_batch(time_ns=opening() + np.array([0, 60, 61]) * 10**9, size=[5, 3, 1], side=[1, 1, -1])  # 5 | 8 7
    out = CVDBySize(sizes=(), extremes="sierra").run(batch)
    assert out[["cvd_open", "cvd_high", "cvd_low", "cvd"]].to_numpy().tolist() == [[5, 5, 5, 5], [7, 8, 7, 7]]


@pytest.mark.parametrize("sizes", [(5, 3), (0, 3), (3, 3), 5, ("a",)], ids=str)
def test_sizes_that_do_not_ascend_from_above_zero_are_refused(sizes: Any) -> None:
    with pytest.raises(UsageError, match=r"sizes=.* is not accepted; contracts at which a new bucket begins, ascending"):
        CVDBySize(sizes=sizes)


def test_sizes_within_one_lot_are_refused() -> None:
    with pytest.raises(UsageError, match="closer together than a lot"):
        CVDBySize(sizes=(2, 2.2)).run(a_batch())


def test_the_es_hour_has_as_many_bars_without_zero_as_were_counted_in_it(tapes: Path) -> None:
    """order-flow facts, section 1: 13 of 60 one-minute bars had a greatest delta below 0, 9 a least one above; the hour's delta is +796."""
    rows = pd.read_csv(tapes / "es_h4_20231225_trades_bbo.csv.gz")
    rows["time"] = pd.to_datetime(rows["ts_event_ns"], utc=True)
    contract = Contract("ES", "/ESH4", tick_size=0.25)
    out = DeltaDetail(extremes="sierra", contract=contract).run(rows[["time", "price", "size", "side"]])
    assert (len(out), (out["max_delta"] < 0).sum(), (out["min_delta"] > 0).sum(), out["delta"].sum()) == (60, 13, 9, 796)
    assert (out["unknown_volume"].sum(), (out["buy_volume"] + out["sell_volume"] + out["unknown_volume"]).sum()) == (44, 9892)
