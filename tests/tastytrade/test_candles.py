"""Candles to bars: symbols as the server writes them, CME's published hours, a real candle, and everything that must not become a number."""

from __future__ import annotations

import datetime as dt
import math
import random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.dxlink.rows import Row, index_of
from tastytrade_provider.emulator.candles import parse
from tastytrade_provider.errors import UnsupportedTimeframe, UsageError
from tastytrade_provider.history import SOURCES as OF_TRADES
from tastytrade_provider.history import build_bars
from tastytrade_provider.model import Contract, TradeBatch
from tastytrade_provider.tastytrade.candles import (
    FIELDS,
    SOURCES,
    CandleCounts,
    SignCheck,
    Verdict,
    candle_symbol,
    frame,
    from_time_ms,
    normalise,
    sign_check,
)
from tastytrade_provider.tastytrade.snapshot import Snapshot
from tests.emulator.exchange import BUY, SELL, SYMBOL, UNDEFINED, Talk, a_print

ES = Contract("ES", "/ESZ6", "/ESZ26:XCME", "CME", tick_size=0.25, multiplier=50)
GC = Contract("GC", "/GCZ6", "/GCZ26:XCEC", "CME", tick_size=0.1, multiplier=100, calendar="CMEGlobex_GC")
BTC = Contract("BTC", "/BTCZ6", "/BTCZ26:XCME", "CME", tick_size=5, calendar="CME Globex Crypto")
COIN = Contract("ETHUSDT", "ETHUSDT", "ETHUSDT", size_step=0.001, calendar="24/7")
CHICAGO, UTC = ZoneInfo("America/Chicago"), dt.UTC
MINUTE_NS, HOUR_NS = 60 * 10**9, 3600 * 10**9
FOREVER = 2**63 - 1
COLUMNS = [
    "open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap", "min_delta", "max_delta",
    "session", "delta_source", "complete", "revision",
]  # fmt: skip
NAN = math.nan


def at(text: str, zone: dt.tzinfo = UTC) -> int:
    """UTC nanoseconds of a wall clock time."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 10**9


def a_candle(time: str | int, price: float = 6000.0, **other: Any) -> Row:
    """A candle of ten contracts, six bought and four sold, as decoded from the wire."""
    time_ms = (at(time) if isinstance(time, str) else time) // 1_000_000
    values = {"eventFlags": 0, "index": index_of(time_ms), "time": time_ms, "sequence": 0, "count": 3, **dict.fromkeys(("open", "high", "low", "close"), price)}
    return values | {"volume": 10.0, "vwap": price, "bidVolume": 4.0, "askVolume": 6.0} | other


def bars(rows: list[Row], timeframe: str = "1m", contract: Contract = ES, hours: str = "eth", counts: CandleCounts | None = None) -> pd.DataFrame:
    return frame(rows, contract, timeframe, at("2013-02-01"), FOREVER, hours, counts=counts)


def starts(found: pd.DataFrame) -> list[int]:
    return pd.DatetimeIndex(found.index).as_unit("ns").asi8.tolist()


def labels(found: pd.DataFrame) -> list[str]:
    return [str(label.date()) for label in found["session"]]


# -- symbols


@pytest.mark.parametrize(
    ("timeframe", "asked"),
    [
        ("1m", "{=m}"), ("5s", "{=5s}"), ("15m", "{=15m}"), ("30m", "{=30m}"), ("1h", "{=h}"), ("60m", "{=60m}"), ("133t", "{=133t}"), ("1t", "{=t}"),
        ("1000v", "{=1000v}"), ("2h", "{=2h,a=s}"), ("90m", "{=90m,a=s}"), ("7m", "{=7m,a=s}"), ("1d", "{=d,a=s}"), ("1w", "{=w,a=s}"), ("1mo", "{=mo,a=s}"),
        ("3mo", "{=3mo,a=s}"),
    ],
)  # fmt: skip
def test_a_timeframe_is_asked_for_as_the_server_writes_it_and_from_the_session_where_that_matters(timeframe: str, asked: str) -> None:
    symbol = candle_symbol("/ESZ26:XCME", timeframe)
    assert symbol == f"/ESZ26:XCME{asked}"
    assert normalise(symbol) == symbol
    assert "tho" not in symbol
    assert candle_symbol("/ESZ26:XCME", timeframe, session_aligned=False) == symbol.replace(",a=s", "")


@pytest.mark.parametrize("ask", [lambda: candle_symbol("/ESZ26:XCME", "8r"), lambda: bars([], "8r"), lambda: from_time_ms(ES, "8r", 0)])
def test_range_bars_are_refused_with_the_reason(ask: Any) -> None:
    with pytest.raises(UnsupportedTimeframe, match=r"'8r': .*price candles open where the one before closed"):
        ask()


# The first five: QD's CandlePeriod and reports of live servers.
@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("{=1m,tho=true}", "{=m,tho=true}"), ("{=1d}", "{=d}"), ("{=1h}", "{=h}"), ("{=m}", "{=m}"), ("{price=bid,=5m}", "{=5m,price=bid}"),
        ("{=15m,tho=false,price=last,a=m}", "{=15m}"), ("{tho=true,=2h, a=s}", "{=2h,a=s,tho=true}"), ("{=1mo}", "{=mo}"), ("{=01pr}", "{=pr}"),
        ("{=11m}", "{=11m}"), ("{=nonsense}", "{=nonsense}"),
    ],
)  # fmt: skip
def test_symbols_are_compared_in_the_server_s_form(asked: str, served: str) -> None:
    assert normalise(SYMBOL + asked) == SYMBOL + served
    emulated = parse(SYMBOL + asked)
    assert emulated is not None
    assert normalise(emulated.text) == normalise(SYMBOL + asked)


def test_what_is_no_candle_symbol_stays_as_it_is() -> None:
    assert normalise("/ESZ26:XCME") == "/ESZ26:XCME"


# -- values


def test_a_real_candle_splits_its_volume_into_sold_and_bought() -> None:
    # /ESU24, dxFeed/dxfeed-graal-net-api issue 83: bid and ask volume make up the volume
    row = a_candle("2024-08-08T14:30", 5300.25, volume=2042.0, bidVolume=1175.0, askVolume=867.0)
    bar = bars([row]).iloc[0]
    assert (bar["volume"], bar["sell_volume"], bar["buy_volume"], bar["volume"] - bar["buy_volume"] - bar["sell_volume"]) == (2042, 1175, 867, 0)
    assert bar["delta_source"] == "candle"


@pytest.mark.parametrize("timeframe", ["1m", "1d", "133t"])
@pytest.mark.parametrize("rows", [[], [a_candle("2026-11-24T14:30")]], ids=["empty", "one bar"])
def test_the_frame_has_the_columns_and_types_of_bars_made_of_trades(timeframe: str, rows: list[Row]) -> None:
    found = bars(rows, timeframe)
    trades = build_bars(TradeBatch(ES, {"time_ns": [at("2026-11-24T14:30")], "price": [6000.0], "size": [1]}), timeframe, ES)
    assert list(found) == COLUMNS + (["bar_no"] if timeframe == "133t" else []) == list(trades)
    assert len(found) == len(rows)
    for name in found:
        assert found[name].dtype.kind == trades[name].dtype.kind, name
        assert name == "delta_source" or found[name].dtype == trades[name].dtype, name
    assert (found.index.dtype, found.index.name, found.attrs) == (trades.index.dtype, "time", trades.attrs)
    assert found[["min_delta", "max_delta"]].isna().all(axis=None)
    assert (found["complete"].all(), found["revision"].any()) == (True, False)


def test_the_words_of_delta_source_are_those_of_trades_and_candle() -> None:
    assert SOURCES[: len(OF_TRADES)] == OF_TRADES
    assert set(SOURCES) == {*OF_TRADES, "candle"}
    assert list(bars([])["delta_source"].cat.categories) == list(SOURCES)
    rows = [a_candle("2026-11-24T14:30"), a_candle("2026-11-24T14:31", bidVolume="NaN")]
    trades = build_bars(TradeBatch(ES, {"time_ns": [at("2026-11-24T14:32")], "price": [6000.0], "size": [1], "side": [1]}), "1m", ES)
    assert pd.concat([bars(rows), trades])["delta_source"].tolist() == ["candle", "none", "time_and_sale"]
    assert isinstance(pd.concat([bars(rows[:1]), bars(rows[1:])])["delta_source"].dtype, pd.CategoricalDtype)


def test_rows_without_prices_are_left_out_and_never_zero() -> None:
    nothing = dict.fromkeys(("open", "high", "low", "close"), "NaN")
    counts = CandleCounts()
    rows = [
        a_candle("2026-11-24T14:30"),
        a_candle("2026-11-24T14:31", **nothing),
        a_candle("2026-11-24T14:32", **dict.fromkeys(nothing, None)),
        a_candle("2026-11-24T14:33", eventFlags=2),
        a_candle("2026-11-24T14:29", eventFlags=10, **nothing),
        {name: a_candle("2026-11-24T14:34")[name] for name in ("index", "volume")},
        a_candle("2026-11-24T14:35", **nothing, index=2**63 - 1),
    ]
    assert len(bars(rows, counts=counts)) == 1
    assert (counts.empty, counts.rejected) == (6, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"open": "NaN"}, {"close": "Infinity"}, {"high": "6000"}, {"volume": -1.0}, {"volume": "Infinity"}, {"low": True}, {"index": None, "time": None}],
    ids=str,
)
def test_a_row_that_cannot_be_read_is_counted_and_kept(wrong: Row) -> None:
    counts = CandleCounts()
    assert len(bars([a_candle("2026-11-24T14:30") | wrong], counts=counts)) == 0
    assert (counts.rejected, len(counts.rejects), counts.empty) == (1, 1, 0)


def test_prices_at_and_below_zero_are_prices() -> None:
    # WTI traded at -37.63 on 2020-04-20
    assert bars([a_candle("2020-04-20T18:00", -37.5), a_candle("2020-04-20T18:01", 0.0)])["close"].tolist() == [-37.5, 0.0]


@pytest.mark.parametrize(
    ("sent", "bought", "sold", "source", "counted"),
    [
        ({"askVolume": 6.0, "bidVolume": 4.0}, 6, 4, "candle", (0, 0)),
        ({"askVolume": 6.0, "bidVolume": 1.0}, 6, 1, "candle", (0, 0)),
        ({"askVolume": 7.0, "bidVolume": 4.0}, 7, 4, "candle", (0, 0)),  # a lot too much may be rounding
        ({"askVolume": 8.0, "bidVolume": 4.0}, NAN, NAN, "none", (0, 1)),
        ({"askVolume": 6.0, "bidVolume": -1.0}, NAN, NAN, "none", (0, 1)),
        ({"askVolume": "Infinity", "bidVolume": 4.0}, NAN, NAN, "none", (0, 1)),
        ({"askVolume": "NaN", "bidVolume": "NaN"}, NAN, NAN, "none", (1, 0)),
        ({"askVolume": 6.0, "bidVolume": None}, 6, NAN, "none", (1, 0)),
        ({"askVolume": 0.0, "bidVolume": 0.0}, 0, 0, "none", (0, 0)),
        ({"askVolume": 6.0, "bidVolume": 4.0, "volume": "NaN"}, 6, 4, "candle", (0, 0)),
    ],
)
def test_a_split_is_served_where_it_can_be_true(sent: Row, bought: float, sold: float, source: str, counted: tuple[int, int]) -> None:
    counts = CandleCounts()
    bar = bars([a_candle("2026-11-24T14:30", **sent)], counts=counts).iloc[0]
    np.testing.assert_equal([bar["buy_volume"], bar["sell_volume"]], [bought, sold])
    assert (bar["delta_source"], (counts.no_split, counts.split_refused)) == (source, counted)
    np.testing.assert_equal(bar["volume"], NAN if sent.get("volume") == "NaN" else 10.0)


def test_a_count_of_zero_beside_volume_is_not_known() -> None:
    rows = [a_candle("2026-11-24T14:30", count=0), a_candle("2026-11-24T14:31", count=5)]
    np.testing.assert_equal(bars(rows)["trades"].tolist(), [NAN, 5.0])
    np.testing.assert_equal(bars([a_candle("2026-11-24T14:30", count="NaN", vwap="NaN")])[["trades", "vwap"]].to_numpy(), [[NAN, NAN]])


def test_rows_come_in_any_order_and_the_last_version_counts() -> None:
    rows = [a_candle("2026-11-24T14:31", 2.0), a_candle("2026-11-24T14:32", 3.0), a_candle("2026-11-24T14:30", 1.0), a_candle("2026-11-24T14:31", 2.5)]
    assert bars(rows)["close"].tolist() == [1.0, 2.5, 3.0]


def test_the_range_is_closed_at_its_start_and_open_at_its_end() -> None:
    rows = [a_candle(f"2026-11-24T14:3{i}") for i in range(5)]
    found = frame(rows, ES, "1m", at("2026-11-24T14:31"), at("2026-11-24T14:33"))
    assert starts(found) == [at("2026-11-24T14:31"), at("2026-11-24T14:32")]
    # a day's bar begins before its stamp
    assert len(frame([a_candle("2026-11-25")], ES, "1d", at("2026-11-24T23:00"), at("2026-11-24T23:01"))) == 1
    assert len(frame([a_candle("2026-11-25")], ES, "1d", at("2026-11-24T23:01"), at("2026-11-26"))) == 0


# -- sessions


# The two weeks in which Chicago changes its clocks: 17:00 is 23:00Z in winter and 22:00Z in summer.
@pytest.mark.parametrize(
    ("label", "opens"),
    [
        ("2026-03-06", "2026-03-05T23:00"),
        ("2026-03-09", "2026-03-08T22:00"),
        ("2026-10-30", "2026-10-29T22:00"),
        ("2026-11-02", "2026-11-01T23:00"),
        ("2026-01-19", "2026-01-18T23:00"),  # Martin Luther King Day: a short session of its own
    ],
)
@pytest.mark.parametrize("stamp", ["midnight UTC", "midnight Chicago", "the open"])
def test_a_day_s_bar_starts_at_the_open_of_the_session_with_its_date_however_it_is_stamped(label: str, opens: str, stamp: str) -> None:
    at_ns = {"midnight UTC": at(label), "midnight Chicago": at(label, CHICAGO), "the open": at(opens)}[stamp]
    found = bars([a_candle(at_ns)], "1d")
    assert (starts(found), labels(found)) == ([at(opens)], [label])


@pytest.mark.parametrize(
    ("timeframe", "stamp", "start", "label"),
    [
        ("1w", "2026-11-23", "2026-11-22T23:00", "2026-11-23"),
        ("1w", "2023-12-25", "2023-12-25T23:00", "2023-12-26"),  # no session on Monday, Christmas Day
        ("1w", "2026-11-22", "2026-11-22T23:00", "2026-11-23"),  # a week that begins on Sunday
        ("1w", "2023-12-25T06:00", "2023-12-25T23:00", "2023-12-26"),  # midnight in Chicago
        ("1mo", "2026-11-01", "2026-11-01T23:00", "2026-11-02"),  # the first is a Sunday
        ("1mo", "2026-08-01", "2026-08-02T22:00", "2026-08-03"),  # a Saturday
        ("1mo", "2026-10-01", "2026-09-30T22:00", "2026-10-01"),
    ],
)
def test_weeks_and_months_start_at_the_first_open_in_them(timeframe: str, stamp: str, start: str, label: str) -> None:
    found = bars([a_candle(stamp)], timeframe)
    assert (starts(found), labels(found)) == ([at(start)], [label])
    assert from_time_ms(ES, timeframe, at(start)) * 1_000_000 <= at(stamp)


def test_a_day_without_a_session_is_not_added_to_another_day() -> None:
    counts = CandleCounts()
    rows = [a_candle("2026-12-24", 1.0), a_candle("2026-12-25", 2.0), a_candle("2026-12-28", 3.0)]  # closed on Christmas Day
    found = bars(rows, "1d", counts=counts)
    assert (starts(found), found["close"].tolist(), counts.off_grid) == (
        [at("2026-12-23T23:00"), at("2026-12-25"), at("2026-12-27T23:00")],
        [1, 2, 3],
        1,
    )


def test_of_two_candles_that_mean_one_bar_the_later_stamp_is_served_and_the_other_counted() -> None:
    counts = CandleCounts()
    found = bars([a_candle("2026-11-22", 1.0), a_candle("2026-11-23", 2.0)], "1w", counts=counts)
    assert (found["close"].tolist(), counts.rejected) == ([2.0], 1)
    assert "2026-11-22T23:00" in counts.rejects[0]


@pytest.mark.parametrize(("evening", "opens"), [("2026-03-05", "23:00"), ("2026-03-08", "22:00"), ("2026-10-29", "22:00"), ("2026-11-01", "23:00")])
def test_bars_from_the_session_s_open_stay_where_they_are(evening: str, opens: str) -> None:
    first = at(f"{evening}T{opens}")
    counts = CandleCounts()
    rows = [a_candle(first + i * 4 * HOUR_NS) for i in range(6)]  # 17:00, 21:00, ... 13:00; the last ends at 16:00
    found = bars(rows, "4h", counts=counts)
    assert (starts(found), set(labels(found)), counts.off_grid) == (
        [first + i * 4 * HOUR_NS for i in range(6)],
        {str(dt.date.fromisoformat(evening) + dt.timedelta(days=1))},
        0,
    )


def test_bars_from_midnight_are_kept_and_counted_where_the_session_has_no_such_bar() -> None:
    # In winter the session opens at 23:00Z. From midnight 20:00Z reaches over close (22:00Z) and open, the others begin within it.
    counts = CandleCounts()
    rows = [a_candle(f"2026-11-24T{hour:02}:00") for hour in (0, 4, 8, 12, 16, 20)]
    found = bars(rows, "4h", counts=counts)
    assert (starts(found), set(labels(found)), counts.off_grid) == ([at(f"2026-11-24T{hour:02}:00") for hour in (0, 4, 8, 12, 16, 20)], {"2026-11-24"}, 6)


def test_a_bar_that_begins_in_the_halt_and_reaches_over_the_open_starts_at_the_open() -> None:
    counts = CandleCounts()
    found = bars([a_candle("2026-11-24T21:45"), a_candle("2026-11-24T22:30")], "45m", counts=counts)  # the halt is 22:00Z to 23:00Z
    assert (starts(found), labels(found)) == ([at("2026-11-24T21:45"), at("2026-11-24T23:00")], ["2026-11-24", "2026-11-25"])
    assert counts.off_grid == 1  # 21:45 is 22h45 after the open of 23:00Z: no multiple of 45 minutes


def test_a_print_after_the_close_belongs_to_the_session_that_closed() -> None:
    found = bars([a_candle("2026-11-24T22:05"), a_candle("2026-11-24T23:00")])
    assert labels(found) == ["2026-11-24", "2026-11-25"]


def test_regular_hours_are_cut_with_the_table_of_the_product() -> None:
    rows = [a_candle(f"2026-11-24T{hour:02}:{minute:02}") for hour in range(13, 23) for minute in (0, 10, 20, 30, 40, 50)]
    es, gold = bars(rows, "10m", hours="rth"), bars(rows, "10m", GC, hours="rth")
    assert (starts(es)[0], starts(es)[-1], len(es)) == (at("2026-11-24T08:30", CHICAGO), at("2026-11-24T14:50", CHICAGO), 39)
    new_york = ZoneInfo("America/New_York")
    assert (starts(gold)[0], starts(gold)[-1], len(gold)) == (at("2026-11-24T08:20", new_york), at("2026-11-24T13:20", new_york), 31)


def test_on_a_half_day_regular_hours_end_with_the_session() -> None:
    # Friday 2026-11-27 closes at 12:15 Chicago, 18:15Z: the bar of 18:00Z ends there
    rows = [a_candle(f"2026-11-27T{hour:02}:{minute}") for hour in range(13, 19) for minute in ("00", "30")]
    found = bars(rows, "30m", hours="rth")
    assert (starts(found)[0], starts(found)[-1], len(found)) == (at("2026-11-27T14:30"), at("2026-11-27T18:00"), 8)


def test_a_bar_partly_within_regular_hours_is_left_out_and_counted() -> None:
    counts = CandleCounts()
    found = bars([a_candle(f"2026-11-24T{hour}:00") for hour in range(13, 23)], "1h", hours="rth", counts=counts)
    assert (starts(found)[0], starts(found)[-1], counts.straddling) == (at("2026-11-24T15:00"), at("2026-11-24T20:00"), 1)  # 14:00Z holds the open, 14:30Z
    gold = bars([a_candle(f"2026-11-24T{hour}:00") for hour in range(12, 22)], "1h", GC, hours="rth", counts=counts)  # 13:20Z to 18:30Z
    assert (starts(gold)[0], starts(gold)[-1], counts.straddling) == (at("2026-11-24T14:00"), at("2026-11-24T17:00"), 3)


@pytest.mark.parametrize("timeframe", ["1d", "1w", "1mo"])
def test_days_cannot_be_cut_to_regular_hours(timeframe: str) -> None:
    with pytest.raises(UnsupportedTimeframe, match="cannot be cut; ask for s, m or h"):
        bars([], timeframe, hours="rth")


def test_hours_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="'noon' is neither 'eth' nor 'rth'"):
        bars([], hours="noon")
    with pytest.raises(UsageError, match="no regular trading hours"):
        bars([], contract=BTC, hours="rth")


def test_a_coin_s_day_is_the_utc_day() -> None:
    found = bars([a_candle("2024-08-08"), a_candle("2024-08-09")], "1d", COIN)
    assert (starts(found), labels(found)) == ([at("2024-08-08"), at("2024-08-09")], ["2024-08-08", "2024-08-09"])


def test_bars_of_trades_are_numbered_from_the_session_s_open_also_where_the_range_begins_later() -> None:
    opened = at("2026-11-24T23:00")
    seconds = (-7200, 0, 1, 1, 60)
    rows = [a_candle(opened + second * 10**9, float(i), index=index_of(opened // 10**6 + second * 1000, i)) for i, second in enumerate(seconds)]
    found = frame(rows, ES, "133t", opened + 10**9, FOREVER)
    assert (found["open"].tolist(), found["bar_no"].tolist(), found.index.is_unique) == ([2, 3, 4], [1, 2, 3], False)
    assert from_time_ms(ES, "133t", opened + 10**9) == opened // 1_000_000
    assert bars(rows, "1000v")["bar_no"].tolist() == [0, 0, 1, 2, 3]


def test_a_row_of_the_far_past_does_not_spoil_a_range_that_is_known() -> None:
    assert len(frame([a_candle("1999-01-04"), a_candle("2026-11-24")], ES, "1d", at("2020-01-01"), FOREVER)) == 1


# -- the emulator's candles against the same prints put together by hand


@pytest.mark.parametrize(("timeframe", "seed"), [("1m", 1), ("1h", 2), ("2h", 3), ("1d", 4)])
def test_what_the_emulator_serves_becomes_the_bars_of_its_prints(timeframe: str, seed: int) -> None:
    chance = random.Random(seed)
    opened = at("2026-11-23T23:00")  # of Tuesday; prints run from Tuesday 14:30Z past the halt
    prints = [
        a_print(second, 6000 + chance.randint(-8, 8) / 4, float(chance.randint(1, 9)), chance.choice((BUY, SELL, UNDEFINED)), i)
        for i, second in enumerate(sorted(chance.choices(range(7 * 3600), k=300) + chance.choices(range(9 * 3600, 12 * 3600), k=300)))
    ]
    length = {"1m": MINUTE_NS, "1h": HOUR_NS, "2h": 2 * HOUR_NS, "1d": 24 * HOUR_NS}[timeframe]
    truth: dict[int, list[float]] = {}
    for event in prints:
        days, since_open = divmod(event.time_ns - opened, 24 * HOUR_NS)
        bar = truth.setdefault(opened + days * 24 * HOUR_NS + since_open // length * length, [])
        if not bar:
            bar += [event.price, event.price, event.price, event.price, 0, 0, 0, 0]
        bar[1], bar[2], bar[3] = max(bar[1], event.price), min(bar[2], event.price), event.price
        bar[4] += event.size
        bar[5] += event.size * (event.side is BUY)
        bar[6] += event.size * (event.side is SELL)
        bar[7] += 1
    talk = Talk().happen(*prints)
    series = Snapshot(0.0)
    start_ns = at("2026-11-23T23:00")
    talk.subscribe(talk.channel("HISTORY", event_fields={"Candle": FIELDS}), "Candle", candle_symbol(SYMBOL, timeframe), from_time_ms(ES, timeframe, start_ns))
    series.add(talk.rows("Candle"), 0.0)
    assert series.ended_by == "flag"
    assert {normalise(str(row["eventSymbol"])) for row in series.rows()} == {candle_symbol(SYMBOL, timeframe)}
    found = frame(series.rows(), ES, timeframe, start_ns, FOREVER)
    names = ["open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades"]
    assert dict(zip(starts(found), found[names].to_numpy().tolist(), strict=True)) == truth
    assert set(labels(found)) == {"2026-11-24", "2026-11-25"}


# -- the sign of the split

MINUTES = [at(f"2026-11-24T14:{minute}") for minute in (30, 31, 32)]


def checked(*minutes: tuple[float, float, tuple[float, float, float]]) -> SignCheck:
    """Minutes as (ask volume, bid volume, (bought, sold, unknown))."""
    rows = [a_candle(start, askVolume=ask, bidVolume=bid, volume=ask + bid) for start, (ask, bid, _) in zip(MINUTES, minutes, strict=False)]
    return sign_check(rows, {start: trades for start, (_, _, trades) in zip(MINUTES, minutes, strict=False)})


@pytest.mark.parametrize(
    ("minutes", "verdict"),
    [
        ([(1175, 867, (1175, 867, 0))], Verdict.AGREES),
        ([(1175, 867, (867, 1175, 0))], Verdict.CONTRADICTS),
        ([(1175, 867, (1170, 860, 12))], Verdict.AGREES),
        ([(1175, 867, (1000, 1000, 400))], Verdict.INCONCLUSIVE),  # so much unknown that both readings fit
        ([(500, 500, (500, 500, 0))], Verdict.INCONCLUSIVE),
        ([(1175, 867, (700, 300, 3))], Verdict.INCONCLUSIVE),  # neither fits: not the same prints
        ([(6, 4, (6, 4, 0)), (4, 6, (6, 4, 0))], Verdict.INCONCLUSIVE),
        ([(6, 4, (6, 4, 0)), (9, 1, (3, 2, 0))], Verdict.INCONCLUSIVE),
        ([(6, 4, (6, 4, 0)), (7, 2, (7, 2, 0)), (9, 1, (3, 2, 0))], Verdict.AGREES),
        ([], Verdict.INCONCLUSIVE),
    ],
)
def test_the_split_is_compared_with_the_trades_of_its_minutes(minutes: list[Any], verdict: Verdict) -> None:
    assert checked(*minutes).verdict is verdict


def test_the_comparison_tells_its_numbers() -> None:
    assert checked((6, 4, (6, 4, 0)), (5, 5, (5, 5, 0)), (7, 2, (7, 1, 1))) == SignCheck(Verdict.AGREES, 2, 0, 1, 0, 18, 11, 18, 10, 1)


def test_minutes_that_only_one_side_has_and_candles_without_a_split_do_not_count() -> None:
    rows = [a_candle(MINUTES[0], askVolume="NaN"), a_candle(MINUTES[1])]
    assert sign_check(rows, {MINUTES[0]: (6, 4, 0), MINUTES[2]: (6, 4, 0)}) == SignCheck(Verdict.INCONCLUSIVE)
