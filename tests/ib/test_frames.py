from __future__ import annotations

import math

import numpy as np
import pytest

from tastytrade_provider.history import build_bars
from tastytrade_provider.ib.frames import LiveBars, frame, merged
from tastytrade_provider.ib.mapping import Row
from tastytrade_provider.ib.sizes import size_for
from tastytrade_provider.model import Timeframe, TradeBatch
from tastytrade_provider.sessions import sessions_between
from tests.checks.builders import ES, MINUTE_NS, opening, random_trades

START = opening()


def a_row(minute: int, close: float = 6000.0, volume: float = 1.0, trades: float = 1.0) -> Row:
    return Row(START + minute * MINUTE_NS, close, close, close, close, volume, close, trades)


def trades_of(seed: int) -> TradeBatch:
    """Two days of trades, none in the daily halt (16:00 to 17:00 Chicago)."""
    trades = random_trades(seed, 4000, seconds=40.0)
    return trades[trades.time_ns // (60 * MINUTE_NS) % 24 != 22]


def rows_of(timeframe: str, seed: int) -> list[Row]:
    """The bars of a size as IB would send them."""
    bars = build_bars(trades_of(seed), timeframe, ES)
    names = ["open", "high", "low", "close", "volume", "vwap", "trades"]
    starts = bars.index.as_unit("ns").asi8.tolist()  # type: ignore[attr-defined]
    return [Row(start, *values) for start, values in zip(starts, bars[names].to_numpy(float).tolist(), strict=True)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("timeframe", "size"), [("45s", "15s"), ("7m", "1m"), ("2h", "1h"), ("4h", "1h"), ("1d", "1d"), ("1w", "1d"), ("1mo", "1d")])
def test_bars_put_together_are_those_made_of_the_trades(seed: int, timeframe: str, size: str) -> None:
    wanted = Timeframe.parse(timeframe)
    expected = build_bars(trades_of(seed), timeframe, ES)
    found = frame(ES, wanted, rows_of(size, seed), 0, 2**62)
    assert found.index.equals(expected.index)
    for name in ("open", "high", "low", "close", "volume", "trades"):
        np.testing.assert_array_equal(found[name], expected[name], name)
    np.testing.assert_allclose(found["vwap"], expected["vwap"], rtol=1e-12)
    assert found["session"].tolist() == expected["session"].tolist()


def test_the_size_asked_for_divides_the_timeframe_and_begins_at_the_opens() -> None:
    opens = sessions_between("CME Globex Equity", START, START).open_ns
    names = {text: size_for(Timeframe.parse(text), opens).setting for text in ("7s", "5s", "45s", "1m", "4m", "90m", "1h", "4h", "1d", "1mo")}
    assert names == {
        "7s": "1 secs", "5s": "5 secs", "45s": "15 secs", "1m": "1 min", "4m": "2 mins", "90m": "30 mins", "1h": "1 hour", "4h": "1 hour",
        "1d": "1 day", "1mo": "1 day",
    }  # fmt: skip
    livestock = sessions_between("CMEGlobex_Livestock", START, START).open_ns  # opens at 08:30
    assert size_for(Timeframe.parse("1h"), livestock).setting == "30 mins"


def test_an_unknown_count_of_trades_stays_unknown() -> None:
    bars = merged(ES, Timeframe.parse("5m"), [a_row(0), a_row(1, trades=math.nan)])
    assert math.isnan(bars["trades"][0])
    assert bars["volume"].tolist() == [2.0]


def test_regular_hours_are_cut_with_our_calendar() -> None:
    found = frame(ES, Timeframe.parse("30m"), [a_row(minute) for minute in range(-30, 480, 30)], 0, 2**62, "rth")
    assert [str(time.tz_convert("America/Chicago").time()) for time in found.index[[0, -1]]] == ["08:30:00", "14:30:00"]


def test_a_frame_of_nothing_has_every_column() -> None:
    assert list(frame(ES, Timeframe.parse("1m"), [], 0, 1).columns) == list(build_bars(random_trades(0, 10), "1m", ES).columns)


def test_a_live_bar_is_told_once_a_later_one_has_come() -> None:
    live = LiveBars(ES, Timeframe.parse("1m"), START)
    live.add([a_row(0, 6000.0), a_row(0, 6001.0)])
    assert live.closed(START) == []
    live.add([a_row(1)])
    [bar] = live.closed(START)
    assert (bar.start_ns, bar.end_ns, bar.close, bar.revision, bar.buy_volume) == (START, START + MINUTE_NS, 6001.0, 0, None)
    assert live.closed(START) == []


def test_a_live_bar_is_closed_by_the_clock_when_nobody_trades() -> None:
    live = LiveBars(ES, Timeframe.parse("1m"), START)
    live.add([a_row(0)])
    assert live.closed(START + MINUTE_NS - 1) == []
    assert len(live.closed(START + MINUTE_NS)) == 1


def test_a_change_of_a_told_bar_is_a_revision_and_its_repetition_is_nothing() -> None:
    live = LiveBars(ES, Timeframe.parse("1m"), START)
    live.add([a_row(0), a_row(1)])
    live.closed(START)
    live.add([a_row(0)])
    assert live.closed(START) == []
    live.add([a_row(0, volume=2.0)])
    [bar] = live.closed(START)
    assert (bar.start_ns, bar.volume, bar.revision) == (START, 2.0, 1)


def test_bars_from_before_the_start_are_not_told_and_old_ones_are_forgotten() -> None:
    live = LiveBars(ES, Timeframe.parse("1m"), START + 2 * MINUTE_NS)
    live.add([a_row(minute) for minute in range(600)])
    assert [bar.start_ns for bar in live.closed(0)] == [START + minute * MINUTE_NS for minute in range(2, 599)]
    assert live.told_until_ns == START + 599 * MINUTE_NS
    assert len(live._rows) < 10
    live.add([a_row(minute) for minute in range(600)])  # the same once more, after a reconnect
    assert live.closed(0) == []
