"""Bars, footprint and CVD: numbers worked by hand, the published totals of a real hour, and a second calculation with dicts and loops."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tastytrade_provider import history as history_module
from tastytrade_provider.bars import BarBuilder, BarHistory, build_bars, build_footprint, build_history
from tastytrade_provider.errors import UsageError
from tastytrade_provider.history import Footprint, build_bar_trades
from tastytrade_provider.model import Action, Bar, Contract, Gap, TradeBatch, TradeFlag
from tests.checks.builders import ES, a_batch
from tests.checks.oracle import HOUR, MINUTE, SECOND, Session, a_tape, cut, index_of, made_bars, made_cvd, rows_of, said, sessions, utc

OPEN = utc("2026-11-23T14:30")
ROUND_SPRING = sessions("2026-03-02", "2026-03-13")
ROUND_AUTUMN = sessions("2026-10-26", "2026-11-06")
ROUND_THANKSGIVING = sessions("2026-11-16", "2026-12-04")
TIMEFRAMES = ["1s", "1m", "7m", "1h", "4h", "1d", "1w", "1mo", "1t", "13t", "5v", "100v", "1r", "4r"]
TRADED = ["1s", "1m", "1h", "1d", "13t", "25v", "4r"]


def at(seconds: float, price: float, size: float, side: int, **more: Any) -> TradeBatch:
    """One trade, so many seconds after the cash open."""
    time_ns = OPEN + round(seconds * SECOND)
    columns = {"index": index_of(time_ns, 1)} | more
    return a_batch(time_ns=[time_ns], price=price, size=size, side=side, **columns)


def several(*trades: TradeBatch) -> TradeBatch:
    return TradeBatch.concat(list(trades))


def _place(bar: Bar) -> tuple[int, int]:
    return (bar.start_ns, 0) if bar.timeframe.is_time else (bar.session.toordinal(), bar.bar_no)


class Seen:
    """The latest word on every bar, as a careful consumer keeps it."""

    def __init__(self) -> None:
        self.bars: dict[tuple[int, int], Bar] = {}

    def take(self, bars: list[Bar]) -> None:
        for bar in bars:
            key = _place(bar)
            before = self.bars.get(key)
            assert before is None or bar.revision > before.revision, f"revision {bar.revision} after {before.revision}"
            self.bars[key] = bar

    def standing(self, forming: Bar | None) -> list[Bar]:
        """Closed bars that were not withdrawn, then the forming one, which may stand where a closed one was taken back."""
        bars = {key: bar for key, bar in self.bars.items() if bar.open is not None}
        if forming is not None:
            bars = {key: bar for key, bar in bars.items() if key < _place(forming)}
        return sorted([*bars.values(), *([forming] if forming else [])], key=lambda bar: (bar.start_ns, bar.session, bar.bar_no))


def summaries(history: BarHistory) -> list[tuple[object, ...]]:
    frame = history.bars()
    number = frame["bar_no"] if "bar_no" in frame else pd.Series(0, frame.index)
    names = ["open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap", "min_delta", "max_delta"]
    columns = [frame.index.asi8.tolist(), [day.date() for day in frame["session"]], *(frame[name].tolist() for name in names), number.tolist()]
    return list(zip(*columns, strict=True))


def cells_of(frame: pd.DataFrame) -> list[tuple[float, ...]]:
    return list(zip(*(frame[name].tolist() for name in ("sell_volume", "unknown_volume", "buy_volume")), strict=True))


def levels_of(footprint: Footprint) -> list[tuple[float, ...]]:
    """The same of one bar, and without a frame for each of thousands."""
    return list(zip(footprint.sell.tolist(), footprint.unknown.tolist(), footprint.buy.tolist(), strict=True))


# -- by hand


def test_three_trades_of_a_minute_make_the_bar_anyone_would_write_down() -> None:
    trades = several(at(0, 6000.25, 3, 1), at(10, 6001.00, 2, -1), at(59.9, 5999.75, 1, 0), at(60, 6000.00, 9, 1))
    closed, forming = BarBuilder(ES, "1m").add(trades), build_bars(trades, "1m", ES).iloc[-1]
    assert len(closed) == 1
    bar = closed[0]
    assert (bar.start_ns, bar.end_ns) == (OPEN, OPEN + MINUTE)
    assert (bar.open, bar.high, bar.low, bar.close) == (6000.25, 6001.0, 5999.75, 5999.75)
    assert (bar.volume, bar.buy_volume, bar.sell_volume, bar.unknown_volume, bar.delta, bar.trades) == (6, 3, 2, 1, 1, 3)
    assert (bar.min_delta, bar.max_delta) == (0, 3)  # 0, +3, +1, +1
    assert bar.vwap == pytest.approx((3 * 6000.25 + 2 * 6001 + 5999.75) / 6)
    assert (bar.session, bar.delta_source, bar.complete, bar.revision, bar.bar_no) == (dt.date(2026, 11, 23), "time_and_sale", True, 0, 0)
    assert (forming["volume"], forming["min_delta"], forming["max_delta"]) == (9, 0, 9)


def test_a_volume_bar_splits_the_print_that_fills_it_and_counts_it_where_it_began() -> None:
    trades = several(at(0, 6000, 4, 1), at(1, 6000.25, 17, -1), at(2, 6000.5, 1, 1))
    frame = build_bars(trades, "10v", ES)
    assert frame["volume"].tolist() == [10, 10, 2]
    assert frame["buy_volume"].tolist() == [4, 0, 1]
    assert frame["sell_volume"].tolist() == [6, 10, 1]
    assert frame["trades"].tolist() == [2, 0, 1]  # the print of 17 began in the first bar
    assert frame["min_delta"].tolist() == [-2, -10, -1]
    assert frame["max_delta"].tolist() == [4, 0, 0]
    assert frame["bar_no"].tolist() == [0, 1, 2]
    assert frame.index.asi8.tolist() == [OPEN, OPEN + SECOND, OPEN + SECOND]
    assert [bar.volume for bar in BarBuilder(ES, "10v").add(trades)] == [10, 10]


def test_the_trade_that_would_make_a_range_bar_too_wide_opens_the_next_one() -> None:
    trades = several(at(0, 6000, 1, 1), at(1, 6000.5, 1, 1), at(2, 5999.75, 1, -1), at(3, 6002, 1, 1))
    frame = build_bars(trades, "2r", ES)
    assert frame[["open", "high", "low", "close"]].to_numpy().tolist() == [
        [6000, 6000.5, 6000, 6000.5],
        [5999.75, 5999.75, 5999.75, 5999.75],
        [6002, 6002, 6002, 6002],
    ]  # a jump of nine ticks leaves no phantom bars behind


def test_the_footprint_holds_what_was_sold_unknown_and_bought_at_each_price() -> None:
    trades = several(at(0, 6000, 3, 1), at(1, 6000, 2, -1), at(2, 6000.25, 5, 0), at(3, 6000, 1, 1))
    frame = build_footprint(trades, "1m", ES)
    assert frame.index.tolist() == [(pd.Timestamp(OPEN, tz="UTC"), 6000.0), (pd.Timestamp(OPEN, tz="UTC"), 6000.25)]
    assert frame[["buy_volume", "sell_volume", "unknown_volume", "delta"]].to_numpy().tolist() == [[4, 2, 0, 2], [0, 0, 5, 0]]
    builder = BarBuilder(ES, "1m")
    builder.add(trades)
    assert builder.forming is not None
    found = builder.footprint(builder.forming)
    pd.testing.assert_frame_equal(found.to_dataframe(), frame.droplevel("time"), check_names=False)
    assert found.poc == 6000.0


def test_of_prices_with_equal_volume_the_one_nearest_the_middle_is_the_point_of_control_then_the_lower() -> None:
    for volumes, poc in (([5, 1, 5, 1, 1], 6000.5), ([5, 1, 1, 1, 5], 6000.0), ([1, 5, 5, 1], 6000.25)):
        trades = several(*(at(i, 6000 + i / 4, volume, 1) for i, volume in enumerate(volumes)))
        builder = BarBuilder(ES, "1m")
        builder.add(trades)
        assert builder.forming is not None
        assert builder.footprint(builder.forming).poc == poc


def test_one_correction_worked_by_hand() -> None:
    builder = BarBuilder(ES, "1m")
    assert builder.add(several(at(0, 6000, 5, 1, index=1), at(30, 6000.25, 4, 1, index=2))) == []
    (first,) = builder.add(at(60, 6000.5, 1, 1, index=3))
    assert (first.delta, first.max_delta, first.high, first.revision) == (9, 9, 6000.25, 0)
    # the second trade was a sale of 6 at 5999.50, not a purchase of 4 at 6000.25
    (again,) = builder.add(at(30, 5999.5, 6, -1, index=2, action=Action.CORRECTION))
    assert (again.start_ns, again.revision) == (first.start_ns, 1)
    assert (again.open, again.high, again.low, again.close) == (6000, 6000, 5999.5, 5999.5)
    assert (again.volume, again.buy_volume, again.sell_volume, again.trades) == (11, 5, 6, 2)
    assert (again.min_delta, again.max_delta, again.delta) == (-1, 5, -1)
    assert again.vwap == pytest.approx((5 * 6000 + 6 * 5999.5) / 11)
    assert builder.footprint(again).to_dataframe()["delta"].to_dict() == {5999.5: -6, 6000.0: 5}
    assert builder.cvd[:3] == (0, 5, -1)  # -1 of the first minute, +1 of the second; it was +5 at its highest
    assert builder.forming is not None
    assert (builder.forming.delta, builder.forming.revision) == (1, 0)


def test_one_cancel_worked_by_hand() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(several(at(0, 6000, 5, 1, index=1), at(61, 6001, 7, -1, index=2)))
    (second,) = builder.add(at(120, 6000.5, 1, 1, index=3))
    assert (second.delta, builder.cvd.value) == (-7, -1)
    (gone,) = builder.add(at(61, 6001, 7, -1, index=2, action=Action.CANCEL))
    assert (gone.start_ns, gone.open, gone.volume, gone.trades, gone.revision) == (second.start_ns, None, 0, 0, 1)
    assert builder.cvd[:3] == (6, 6, 0)
    (back,) = builder.add(at(62, 6001.25, 2, 1, index=4))  # something traded in that minute after all
    assert (back.start_ns, back.open, back.delta, back.revision) == (second.start_ns, 6001.25, 2, 2)
    assert builder.cvd.value == 8


def test_cancelling_the_trade_that_closed_a_bar_makes_it_form_again() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(at(0, 6000, 5, 1, index=1))
    (first,) = builder.add(at(60, 6000, 1, 1, index=2))
    assert builder.add(at(60, 6000, 1, 1, index=2, action=Action.CANCEL)) == []
    assert builder.forming is not None
    assert (builder.forming.start_ns, builder.forming.volume, builder.forming.revision) == (first.start_ns, 5, 1)
    (again,) = builder.add(several(at(59, 6000, 1, -1, index=3), at(60, 6000, 1, 1, index=4)))
    assert (again.volume, again.revision) == (6, 1)


def test_a_late_trade_goes_into_the_bar_it_belongs_to() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(several(at(0, 6000, 5, 1), at(60, 6000, 1, 1), at(120, 6000, 1, 1)))
    (again,) = builder.add(at(59, 6002, 2, -1))
    assert (again.start_ns, again.high, again.close, again.volume, again.revision) == (OPEN, 6002, 6002, 7, 1)
    assert builder.cvd.value == 5


def test_a_trade_of_the_same_index_again_changes_nothing() -> None:
    builder, trades = BarBuilder(ES, "1m"), several(at(0, 6000, 5, 1), at(60, 6000, 1, 1))
    builder.add(trades)
    assert builder.add(trades) == []
    assert builder.cvd.value == 6
    assert builder.ledger.stats.duplicates == 2


# -- what is left out


def test_spread_legs_and_trades_of_no_size_are_left_out_and_counted() -> None:
    trades = several(
        at(0, 6000, 5, 1), at(1, 6000, 3, -1, flags=TradeFlag.VALID_TICK | TradeFlag.SPREAD_LEG), at(2, 6001, 0, 1), at(3, 6000, 1, 1)
    )  # fmt: skip
    builder = BarBuilder(ES, "1m")
    builder.add(trades)
    assert builder.forming is not None
    assert (builder.forming.volume, builder.forming.high, builder.excluded) == (6, 6000, 2)
    assert build_bars(trades, "1m", ES)["volume"].tolist() == [6]
    with_legs = BarBuilder(ES, "1m", spread_legs="include")
    with_legs.add(trades)
    assert with_legs.forming is not None
    assert (with_legs.forming.volume, with_legs.excluded) == (9, 1)


def test_an_unknown_side_is_in_neither_volume_and_its_source_is_told() -> None:
    frame = build_bars(several(at(0, 6000, 5, 0), at(60, 6000, 3, 1)), "1m", ES)
    assert frame[["buy_volume", "sell_volume", "volume"]].to_numpy().tolist() == [[0, 0, 5], [3, 0, 3]]
    assert frame["delta_source"].tolist() == ["none", "time_and_sale"]


@pytest.mark.parametrize(("source", "called"), [(0, "time_and_sale"), (1, "quote_trade"), (2, "tick_rule")])
@pytest.mark.parametrize("timeframe", ["1m", "10v", "3v"])
def test_delta_source_says_how_most_of_the_sided_volume_got_its_side(source: int, called: str, timeframe: str) -> None:
    trades = several(at(0, 6000, 4, 1, side_source=source), at(1, 6000, 3, -1, side_source=source), at(2, 6000, 3, 0))
    assert build_bars(trades, timeframe, ES)["delta_source"].iloc[0] == called


def test_the_vwap_of_a_days_coins_counted_in_hundred_millionths_is_what_it_is() -> None:
    coin = Contract("BTC/USD", "BTC/USD", tick_size=0.01, size_step=1e-8, calendar="24/7")
    trades = a_batch(coin, time_ns=OPEN + np.arange(1_000) * SECOND, price=[100_000.0, 100_001.0] * 500, size=50.0, side=1)
    (vwap,) = build_bars(trades, "1d", coin)["vwap"]  # 5e12 lots at 1e7 ticks are more than an integer of 64 bits holds
    assert vwap == 100_000.5


def test_a_vwap_that_cannot_be_summed_up_is_missing_and_not_wrong() -> None:
    coin = Contract("BTC/USD", "BTC/USD", tick_size=0.01, size_step=1e-8, calendar="24/7")
    (vwap,) = build_bars(a_batch(coin, price=[1.0, 10_000_000.0], size=[1e6, 1e6]), "1d", coin)["vwap"]
    assert math.isnan(vwap)


@pytest.mark.parametrize("column", ["spread_legs", "reset", "timeframe"])
def test_a_wrong_option_is_refused(column: str) -> None:
    options: dict[str, Any] = {"timeframe": "1m", column: "nonsense"}
    with pytest.raises(UsageError, match="nonsense"):
        BarBuilder(ES, **options)


def test_no_trades_make_no_bars_and_the_frame_has_its_columns() -> None:
    nothing = a_batch(time_ns=[1])[:0]
    frame = build_bars(nothing, "1m", ES)
    assert len(frame) == 0
    assert {"open", "delta_source", "complete", "session"} <= set(frame.columns)
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"
    assert len(build_footprint(nothing, "1m", ES)) == 0
    assert BarBuilder(ES, "1m").add(nothing) == []


# -- the real hour


def es_hour(tapes: Path) -> tuple[Contract, TradeBatch]:
    contract = Contract("ES", "/ESH4", "/ESH24:XCME", "CME", tick_size=0.25, multiplier=50)
    table = pd.read_csv(tapes / "es_h4_20231225_trades_bbo.csv.gz")
    table["time"] = pd.to_datetime(table["ts_event_ns"], unit="ns", utc=True)
    return contract, TradeBatch.from_dataframe(table[["time", "price", "size", "side", "bid", "ask"]], contract)


def test_the_real_hour_has_its_published_totals(tapes: Path) -> None:
    contract, trades = es_hour(tapes)
    assert len(trades) == 2973
    (day,) = build_bars(trades, "1d", contract).to_dict("records")
    assert (day["volume"], day["buy_volume"], day["sell_volume"], day["trades"]) == (9892, 5322, 4526, 2973)
    assert [day[name] for name in ("open", "high", "low", "close")] == [4800.25, 4811.75, 4800.25, 4810.0]
    assert day["session"] == pd.Timestamp("2023-12-26")
    quarters = build_history(trades, "15m", contract)
    frame = quarters.bars()
    assert (frame["buy_volume"] - frame["sell_volume"]).tolist() == [302, 520, -133, 107]
    cvd = quarters.cvd()
    assert (cvd[:, 1].max(), cvd[:, 2].min(), cvd[-1, 3]) == (860, -4, 796)
    levels = build_footprint(trades, "1d", contract).droplevel("time")
    volume = levels[["buy_volume", "sell_volume", "unknown_volume"]].sum(axis=1)
    assert (len(levels), volume.idxmax(), volume.max(), levels["unknown_volume"].sum()) == (46, 4810.0, 1045, 44)
    builder = BarBuilder(contract, "1h")
    for piece in cut(np.random.default_rng(1), trades):
        builder.add(piece)
    assert builder.cvd[:3] == (796, 860, -4)
    assert builder.forming is not None
    assert builder.footprint(builder.forming).poc == 4810.0


# -- against dicts and loops


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
@pytest.mark.parametrize(("seed", "calendar"), [(1, ROUND_SPRING), (2, ROUND_AUTUMN), (3, ROUND_THANKSGIVING)])
def test_the_kernel_agrees_with_dicts_and_loops(timeframe: str, seed: int, calendar: list[Session]) -> None:
    trades = a_tape(np.random.default_rng(seed), 800, calendar[2:-3])
    n, unit = int(timeframe.rstrip("abcdefghijklmnopqrstuvwxyz")), timeframe.lstrip("0123456789")
    made = made_bars(rows_of(trades), n, unit, calendar)
    history = build_history(trades, timeframe, ES)
    if unit == "mo":  # the calendar here may begin inside the month
        made = [bar for bar in made if bar.start > calendar[0].open_ns]
    found = summaries(history)[-len(made) :] if made else []
    for one, other in zip(found, [bar.summary() for bar in made], strict=True):
        assert one[:10] == other[:10]
        assert one[10] == pytest.approx(other[10], rel=1e-14)
        assert one[11:] == other[11:]
    footprint = cells_of(history.footprint())
    expected = [tuple(bar.cells[ticks]) for bar in made for ticks in sorted(bar.cells)]
    assert footprint[-len(expected) :] == expected if expected else True
    if len(made) == len(history.rows):
        assert [tuple(row) for row in history.cvd().tolist()] == made_cvd(made, [session.open_ns for session in calendar])


@pytest.mark.parametrize("timeframe", ["7s", "1m", "5h", "1d", "13t", "2v", "4r"])
@pytest.mark.parametrize("seed", [1, 2])
def test_coins_around_the_clock_in_thousandths_and_prices_below_zero_agree_with_dicts_and_loops_too(timeframe: str, seed: int) -> None:
    rng, day = np.random.default_rng(seed), 24 * HOUR
    coin = Contract("COIN", "COIN", tick_size=0.01, size_step=0.001, calendar="24/7")
    calendar = [Session(dt.date(2026, 3, 6) + dt.timedelta(days=i), utc("2026-03-06T00:00") + i * day, utc("2026-03-07T00:00") + i * day) for i in range(5)]
    tape = a_tape(rng, 400, calendar[1:4])
    lots = rng.integers(1, 1_500, len(tape))
    trades = TradeBatch(coin, {name: tape.columns[name] for name in ("time_ns", "side")} | {"price": (tape.ticks - 24_000) / 100, "size": lots / 1_000})
    assert trades.price.min() < 0 < trades.price.max()
    n, unit = int(timeframe[:-1]), timeframe[-1]
    made = made_bars(rows_of(trades), n * 1_000 if unit == "v" else n, unit, calendar)
    expected = [bar.summary() for bar in made]
    history, builder, seen = build_history(trades, timeframe, coin), BarBuilder(coin, timeframe), Seen()
    for piece in cut(rng, trades, 120):
        seen.take(builder.add(piece))
    for found in (summaries(history), [said(bar) for bar in seen.standing(builder.forming)]):
        for one, other in zip(found, expected, strict=True):
            start, session, *prices, volume, buy, sell, count, vwap, least, most, number = other
            assert one[:2] == (start, session)
            assert one[2:6] == tuple(price / 25 for price in prices)
            assert (one[6:9], one[9], one[11:13], one[13]) == ((volume / 1_000, buy / 1_000, sell / 1_000), count, (least / 1_000, most / 1_000), number)
            assert one[10] == pytest.approx(vwap / 25, rel=1e-12, abs=1e-12)
    assert cells_of(history.footprint()) == [tuple(lots / 1_000 for lots in bar.cells[ticks]) for bar in made for ticks in sorted(bar.cells)]
    resets = [session.open_ns for session in calendar]
    assert (history.cvd() * 1_000).round().astype(int).tolist() == [list(row) for row in made_cvd(made, resets)]


@pytest.mark.property
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), timeframe=st.sampled_from(TIMEFRAMES), calendar=st.sampled_from([0, 1, 2]))
@example(seed=1, timeframe="5v", calendar=2)
def test_trades_in_pieces_end_as_trades_at_once(seed: int, timeframe: str, calendar: int) -> None:
    print(f"{seed=}")
    rng = np.random.default_rng(seed)
    trades = a_tape(rng, 400, (ROUND_SPRING, ROUND_AUTUMN, ROUND_THANKSGIVING)[calendar][2:-3])
    builder, seen, footprints = BarBuilder(ES, timeframe), Seen(), dict[int, list[tuple[float, ...]]]()
    for piece in cut(rng, trades, 120):
        bars = builder.add(piece)
        seen.take(bars)
        footprints |= {len(footprints) + i: levels_of(builder.footprint(bar)) for i, bar in enumerate(bars)}
    assert builder.forming is not None
    footprints[len(footprints)] = levels_of(builder.footprint(builder.forming))
    history = build_history(trades, timeframe, ES)
    assert [said(bar) for bar in seen.standing(builder.forming)] == summaries(history)
    assert [cell for cells in footprints.values() for cell in cells] == cells_of(history.footprint())
    assert builder.cvd.value == history.cvd()[-1, 3]
    same_segment = history.segment == history.segment[-1]
    assert builder.cvd[1:3] == (history.cvd()[same_segment, 1].max(), history.cvd()[same_segment, 2].min())


@pytest.mark.parametrize("disturbed", ["nothing", "late at the end", "a cancel at the end", "a leg in the middle", "weeks too far"])
@pytest.mark.parametrize("timeframe", ["1m", "1d", "13t", "25v", "4r"])
def test_history_is_the_same_in_pieces_of_any_length(timeframe: str, disturbed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trades = a_tape(np.random.default_rng(4), 300, ROUND_AUTUMN[2:5])
    last = trades[-1:]
    if disturbed == "late at the end":
        trades = TradeBatch.concat([trades[:100], trades[101:], trades[100:101]])
    elif disturbed == "a cancel at the end":
        trades = TradeBatch.concat([trades, last.replace(action=np.array([Action.CANCEL], np.int8))])
    elif disturbed == "a leg in the middle":
        trades = trades.replace(flags=np.where(np.arange(len(trades)) == 150, np.uint16(TradeFlag.SPREAD_LEG), trades.flags))
    elif disturbed == "weeks too far":  # where the sessions around the first and the last trade do not reach
        trades = TradeBatch.concat([trades, last.replace(time_ns=last.time_ns + 40 * 24 * HOUR, index=last.index + (1 << 60)), trades[:1]])
    whole = build_history(trades, timeframe, ES)
    for piece in (1, 7, 100):
        monkeypatch.setattr(history_module, "_PIECE", piece)
        made = build_history(trades, timeframe, ES)
        np.testing.assert_array_equal(made.rows, whole.rows)
        np.testing.assert_array_equal(made.cells, whole.cells)


def _disturbed(rng: np.random.Generator, trades: TradeBatch) -> tuple[list[TradeBatch], TradeBatch]:
    """The trades with corrections, cancels, duplicates and late ones among them, and the list as it should have been."""
    order = np.argsort(np.arange(len(trades)) + rng.exponential(8, len(trades)) * (rng.random(len(trades)) < 0.1), kind="stable")
    messages, right = [trades[np.array([i])] for i in order.tolist()], dict(zip(trades.index.tolist(), trades, strict=True))
    sent: list[int] = []
    out: list[TradeBatch] = []
    for message in messages:
        out.append(message)
        sent.append(int(message.index[0]))
        if rng.random() < 0.06:
            index = sent[int(rng.integers(max(0, len(sent) - 60), len(sent)))]
            place = int(np.flatnonzero(trades.index == index)[0])
            said_first = trades[np.array([place])]
            what = rng.integers(3)
            if what == 0:
                out.append(said_first)  # again; where it was cancelled, it counts again
                right.setdefault(index, next(iter(said_first)))
            elif what == 1 and index in right:
                new = {"ticks": said_first.ticks + np.int32(rng.integers(-9, 9)), "lots": rng.integers(1, 9, 1), "side": rng.integers(-1, 2, 1).astype(np.int8)}
                source = np.where(new["side"] == 0, 3, 0).astype(np.int8)
                changed = said_first.replace(**new, side_source=source, price=new["ticks"] * 0.25, size=new["lots"] * 1.0)
                out.append(changed.replace(action=np.array([1], np.int8)))
                right[index] = next(iter(changed))
            elif what == 2 and index in right:
                out.append(said_first.replace(action=np.array([2], np.int8)))
                del right[index]
    kept = [right[index] for index in sorted(right)]
    corrected = TradeBatch(
        ES, {name: [getattr(trade, name) for trade in kept] for name in ("time_ns", "index", "price", "size", "side", "side_source")}
    )  # fmt: skip
    return out, corrected


@pytest.mark.property
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), timeframe=st.sampled_from(TRADED), clock=st.booleans(), longest=st.sampled_from([2, 10, 200]))
def test_after_corrections_cancels_late_and_double_trades_the_bars_are_those_of_the_corrected_list(
    seed: int, timeframe: str, clock: bool, longest: int
) -> None:
    print(f"{seed=}")
    rng = np.random.default_rng(seed)
    messages, corrected = _disturbed(rng, a_tape(rng, 150, ROUND_THANKSGIVING[6:7]))
    builder, seen = BarBuilder(ES, timeframe), Seen()
    now = 0
    for piece in cut(rng, TradeBatch.concat(messages), longest):
        seen.take(builder.add(piece))
        now = max(now, int(piece.time_ns.max()))
        if clock and rng.random() < 0.5:
            seen.take(builder.advance(now + int(rng.integers(0, 5 * SECOND))))
    history = build_history(corrected, timeframe, ES)
    standing = seen.standing(builder.forming)
    assert [said(bar) for bar in standing] == summaries(history)
    assert [cell for bar in standing for cell in levels_of(builder.footprint(bar))] == cells_of(history.footprint())
    assert builder.cvd.value == history.cvd()[-1, 3]
    assert builder.cvd[1:3] == (history.cvd()[:, 1].max(), history.cvd()[:, 2].min())
    assert summaries(build_history(TradeBatch.concat(messages), timeframe, ES)) == summaries(history)


# -- the clock


def test_the_clock_closes_a_bar_in_which_nobody_trades_any_more() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(at(10, 6000, 5, 1))
    assert builder.advance(OPEN + MINUTE - 1) == []
    (bar,) = builder.advance(OPEN + MINUTE)
    assert (bar.volume, bar.revision) == (5, 0)
    assert builder.forming is None
    assert builder.advance(OPEN + HOUR) == []
    assert builder.cvd.value == 5


def test_a_trade_that_comes_after_the_clock_closed_its_bar_makes_a_revision() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(at(10, 6000, 5, 1))
    builder.advance(OPEN + MINUTE)
    (again,) = builder.add(at(59, 6001, 2, -1))
    assert (again.start_ns, again.close, again.volume, again.delta, again.revision) == (OPEN, 6001, 7, 3, 1)
    assert builder.forming is None
    assert builder.cvd[:3] == (3, 5, 0)


def test_the_same_when_the_bar_was_emptied_before() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(at(10, 6000, 5, 1, index=1))
    builder.advance(OPEN + MINUTE)
    (gone,) = builder.add(at(10, 6000, 5, 1, index=1, action=Action.CANCEL))
    assert (gone.open, gone.revision) == (None, 1)
    (back,) = builder.add(at(20, 6001, 2, -1, index=2))
    assert (back.volume, back.revision) == (2, 2)


def test_a_late_trade_for_a_bar_of_the_session_before_does_not_replace_it() -> None:
    monday, tuesday = (session for session in ROUND_THANKSGIVING if str(session.label) in ("2026-11-23", "2026-11-24"))
    builder, seen = BarBuilder(ES, "1m"), Seen()
    seen.take(builder.add(a_batch(time_ns=[monday.close_ns - 30 * SECOND], size=5.0, side=1, index=[1])))
    seen.take(builder.advance(monday.close_ns))
    seen.take(builder.add(a_batch(time_ns=[tuesday.open_ns + SECOND], size=1.0, side=1, index=[3])))
    (again,) = builder.add(a_batch(time_ns=[monday.close_ns - 10 * SECOND], size=2.0, side=-1, index=[2]))
    seen.take([again])
    assert (again.volume, again.revision, again.session) == (7, 1, monday.label)
    assert builder.forming is not None
    assert (builder.forming.volume, builder.cvd.value) == (1, 1)


@pytest.mark.parametrize("timeframe", ["1d", "1w", "1000t", "500v", "90r"])
def test_at_the_end_of_trading_the_clock_closes_also_bars_that_no_minute_ends(timeframe: str) -> None:
    friday = next(session for session in ROUND_THANKSGIVING if str(session.label) == "2026-11-20")
    builder = BarBuilder(ES, timeframe)
    builder.add(a_batch(time_ns=[friday.open_ns + HOUR, friday.close_ns - SECOND], index=[1, 2]))
    assert builder.advance(friday.close_ns - 1) == []
    (bar,) = builder.advance(friday.close_ns)
    assert bar.volume == 2
    assert bar.end_ns == (friday.close_ns if bar.timeframe.is_time else friday.close_ns - SECOND + 1)
    (again,) = builder.add(a_batch(time_ns=[friday.close_ns + SECOND], index=[3]))  # a straggler still belongs to it
    assert (again.volume, again.revision) == (3, 1)
    assert builder.forming is None


# -- sessions


RESETS = ["2026-03-05T23:00", "2026-03-08T22:00", "2026-10-29T22:00", "2026-11-01T23:00"]


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("late", [0, 1, 17 * MINUTE])
@pytest.mark.parametrize("timeframe", ["1m", "1h", "50t"])
def test_cvd_starts_anew_at_the_open_also_where_its_first_trade_is_late(reset: str, late: int, timeframe: str) -> None:
    opened = utc(reset)
    friday = opened - (72 * HOUR if reset.endswith(("08T22:00", "01T23:00")) else 24 * HOUR) + 6 * HOUR
    trades = a_batch(time_ns=[friday, friday + 1, opened + late, opened + late + 2 * HOUR], size=[5.0, 3.0, 2.0, 1.0], side=[1, 1, -1, 1], index=[1, 2, 3, 4])
    history = build_history(trades, timeframe, ES)
    assert history.cvd()[:, 3].tolist() == {"1m": [8, -2, -1], "1h": [8, -2, -1], "50t": [8, -1]}[timeframe]
    builder = BarBuilder(ES, timeframe)
    builder.add(trades[:2])
    assert builder.cvd.value == 8
    builder.add(trades[2:])
    assert builder.cvd[:3] == (-1, 0, -2)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("timeframe", ["1m", "1d", "50t", "100v", "9r"])
def test_cvd_starts_anew_by_the_clock_without_a_trade(reset: str, timeframe: str) -> None:
    opened = utc(reset)
    builder = BarBuilder(ES, timeframe)
    builder.add(a_batch(time_ns=[opened - (54 if reset.endswith(("08T22:00", "01T23:00")) else 6) * HOUR], size=5.0, side=1))
    builder.advance(opened - 1)
    assert builder.cvd.value == 5
    builder.advance(opened)
    assert builder.cvd == (0, 0, 0, None)


def test_the_half_day_after_thanksgiving_ends_at_a_quarter_past_twelve() -> None:
    close = utc("2026-11-27T18:15")
    trades = a_batch(time_ns=[close - 20 * MINUTE, close - 1, close + 5 * MINUTE, utc("2026-11-29T23:00")], index=[1, 2, 3, 4])
    bars = BarBuilder(ES, "1h").add(trades)
    assert [(bar.start_ns, bar.end_ns, bar.volume) for bar in bars] == [
        (close - 75 * MINUTE, close - 15 * MINUTE, 1),
        (close - 15 * MINUTE, close, 1),
        (close, close + 45 * MINUTE, 1),  # after the close: a bar of its own
    ]
    builder = BarBuilder(ES, "1h")
    builder.add(trades[:2])
    (last,) = builder.advance(close)
    assert last.end_ns == close


@pytest.mark.parametrize("timeframe", ["1m", "7m", "1h", "4h", "1d", "13t", "50v", "3r"])
@pytest.mark.parametrize("calendar", [ROUND_SPRING, ROUND_AUTUMN, ROUND_THANKSGIVING])
def test_no_bar_crosses_the_end_of_a_session(timeframe: str, calendar: list[Session]) -> None:
    trades = a_tape(np.random.default_rng(5), 900, calendar[2:-3])
    during = np.zeros(len(trades), bool)
    for session in calendar:
        during |= (trades.time_ns >= session.open_ns) & (trades.time_ns < session.close_ns)
    builder = BarBuilder(ES, timeframe)
    bars = [*builder.add(trades[during]), builder.forming]
    labels = {session.label: session for session in calendar}
    for bar in bars:
        assert bar is not None
        session = labels[bar.session]
        assert session.open_ns <= bar.start_ns < bar.end_ns <= session.close_ns


def test_cvd_says_from_when_it_counts() -> None:
    builder = BarBuilder(ES, "1m")
    assert builder.cvd.since_ns is None
    builder.add(at(10, 6000, 5, 1))
    assert builder.cvd.since_ns == OPEN + 10 * SECOND  # the session began long before: this is not all of it
    opened = utc("2026-11-23T23:00")
    builder.add(a_batch(time_ns=[opened + 30 * SECOND]))
    assert builder.cvd.since_ns == opened


def test_cvd_counts_from_the_earliest_trade_whichever_came_first() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(a_batch(time_ns=[OPEN + 130 * SECOND], index=[3], side=1))
    builder.add(a_batch(time_ns=[OPEN + 70 * SECOND], index=[2], side=1))
    assert (builder.cvd.value, builder.cvd.since_ns) == (2.0, OPEN + 70 * SECOND)


# -- gaps


def test_a_gap_makes_the_bars_it_touches_incomplete_and_a_filled_one_whole_again() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(several(at(0, 6000, 1, 1), at(60, 6000, 1, 1), at(120, 6000, 1, 1), at(180, 6000, 1, 1)))
    gap = Gap(ES, OPEN + 90 * SECOND, OPEN + 185 * SECOND, "connection lost")
    assert [(bar.start_ns, bar.complete, bar.revision) for bar in builder.add_gap(gap)] == [(OPEN + MINUTE, False, 1), (OPEN + 2 * MINUTE, False, 1)]
    assert builder.forming is not None
    assert not builder.forming.complete
    assert builder.add_gap(gap) == []
    (bar,) = builder.add(at(240, 6000, 1, 1))
    assert not bar.complete
    filled = Gap(ES, gap.start_ns, gap.end_ns, gap.reason, filled=True)
    assert [(bar.start_ns, bar.complete, bar.revision) for bar in builder.add_gap(filled)] == [
        (OPEN + MINUTE, True, 2), (OPEN + 2 * MINUTE, True, 2), (OPEN + 3 * MINUTE, True, 1),
    ]  # fmt: skip


def test_a_gap_that_ends_at_the_bound_of_a_minute_leaves_the_next_one_whole() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add_gap(Gap(ES, OPEN - MINUTE, OPEN, "connection lost"))
    builder.add(at(0, 6000, 1, 1))
    assert builder.forming is not None
    assert builder.forming.complete


def test_where_trades_make_bars_the_one_that_begins_after_a_gap_is_incomplete() -> None:
    builder = BarBuilder(ES, "2t")
    builder.add(several(at(0, 6000, 1, 1), at(1, 6000, 1, 1)))
    builder.add_gap(Gap(ES, OPEN + SECOND + 1, OPEN + 9 * SECOND, "connection lost"))
    bars = builder.add(several(at(9, 6000, 1, 1), at(10, 6000, 1, 1), at(11, 6000, 1, 1)))
    assert [(bar.bar_no, bar.complete) for bar in bars] == [(0, True), (1, False)]


# -- prices that cannot be


@pytest.mark.parametrize("timeframe", ["1h", "1d", "300t"])
def test_insane_prices_in_a_bar_take_no_memory_and_leave_the_footprint_right(timeframe: str) -> None:
    rng = np.random.default_rng(11)
    n = 3_000
    ticks = 24_000 + np.cumsum(rng.integers(-2, 3, n))
    for place in (5, 700, 701, 1500, 2400):
        ticks[place] = 400_000_000 if place % 2 else -300_000_000
    columns = {
        "time_ns": OPEN + np.arange(n) * SECOND,
        "index": np.arange(n),
        "price": ticks * 0.25,
        "size": rng.integers(1, 9, n),
        "side": rng.integers(-1, 2, n),
    }
    trades = TradeBatch(ES, columns)
    made = made_bars(rows_of(trades), int(timeframe[:-1]), timeframe[-1], ROUND_THANKSGIVING)
    history = build_history(trades, timeframe, ES)
    expected = [tuple(bar.cells[level]) for bar in made for level in sorted(bar.cells)]
    assert cells_of(history.footprint()) == expected
    builder, found = BarBuilder(ES, timeframe), list[tuple[float, ...]]()
    for i, piece in enumerate(cut(rng, trades, 200)):
        for bar in builder.add(piece):
            found += levels_of(builder.footprint(bar))
        if i == 7:  # a late trade goes back to a checkpoint, with what had spilled
            builder.add(a_batch(time_ns=[OPEN + 1], index=[10**6], price=1e8, size=1.0, side=1))
            builder.add(a_batch(time_ns=[OPEN + 1], index=[10**6], action=Action.CANCEL))
    assert builder.forming is not None
    found += levels_of(builder.footprint(builder.forming))
    assert found == expected
    assert builder._forming.cells.nbytes + builder._forming._out.nbytes < 100 << 20


def test_bars_are_of_a_contract_and_not_of_a_symbol() -> None:
    symbol: Any = "ES"
    with pytest.raises(UsageError, match=r"'ES' is a str; a Contract is accepted: await provider\.resolve\('ES'\)"):
        BarBuilder(symbol, "1m")


def test_a_footprint_that_is_no_longer_kept_is_refused_with_the_reason() -> None:
    builder = BarBuilder(ES, "1m")
    (bar,) = builder.add(several(at(0, 6000, 1, 1), at(60, 6000, 1, 1)))
    other = BarBuilder(ES, "1m")
    with pytest.raises(UsageError, match="no footprint is kept"):
        other.footprint(bar)


def test_a_session_long_gone_can_no_longer_be_corrected_and_that_is_counted() -> None:
    builder = BarBuilder(ES, "1m")
    builder.add(at(0, 6000, 1, 1, index=1))
    opened = utc("2026-11-23T23:00")
    builder.add(a_batch(time_ns=[opened, opened + 61 * SECOND], index=[2, 3]))
    assert builder.add(at(0, 6000, 9, 1, index=1, action=Action.CORRECTION)) == []
    assert builder.add(at(1, 6000, 9, 1, index=0)) == []
    assert (builder.ledger.stats.orphans, builder.ledger.stats.too_late) == (1, 1)


def test_a_trade_that_a_correction_makes_the_leg_of_a_spread_counts_no_more_live_nor_in_history() -> None:
    leg = TradeFlag.VALID_TICK | TradeFlag.SPREAD_LEG
    became = at(1, 6000, 5, 1, action=Action.CORRECTION, flags=leg)
    for correction in (became, became.replace(action=np.array([Action.CANCEL], np.int8))):  # as sent; and as the filter of a feed hands it on
        tape = several(at(0, 6000, 2, 1), at(1, 6000, 5, 1), at(60, 6000, 1, -1))
        builder = BarBuilder(ES, "1m")
        assert [bar.volume for bar in builder.add(tape)] == [7]
        assert [(bar.volume, bar.revision) for bar in builder.add(correction)] == [(2, 1)]
        assert build_bars(several(tape, correction), "1m", ES)["volume"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("trades", "contract", "says"),
    [
        (None, ES, "None is a NoneType; a TradeBatch or a pandas DataFrame of trades is accepted"),
        ([1], ES, r"\[1\] is a list; a TradeBatch or a pandas"),
        (None, None, "None is a NoneType; a Contract is accepted"),
        (a_batch(), None, "None is a NoneType; a Contract is accepted"),
    ],
)
def test_what_is_no_trades_or_no_contract_is_refused_with_what_would_be(trades: Any, contract: Any, says: str) -> None:
    for build in (build_bars, build_footprint, build_bar_trades):
        with pytest.raises(UsageError, match=says):
            build(trades, "5m", contract)
