"""Which candles become bars, and when: clock, outages and changes as plain numbers."""

from __future__ import annotations

from typing import Any

import pytest

from tastytrade_provider.dxlink.rows import Row, index_of
from tastytrade_provider.errors import UnsupportedTimeframe
from tastytrade_provider.model import Bar, Gap, Timeframe
from tastytrade_provider.tastytrade import candle_bars
from tastytrade_provider.tastytrade.bar_feed import NO_HISTORY
from tastytrade_provider.tastytrade.candle_bars import CandleBars
from tastytrade_provider.tastytrade.candles import CandleCounts
from tests.checks.builders import ES, MINUTE_NS, opening

S = 10**9
OPEN = opening()  # the start of regular hours


def of_minutes(at_s: float = 30, *, back: int | None = None, timeframe: str = "1m", hours: str = "eth") -> CandleBars:
    now_ns = OPEN + int(at_s * S)
    start_ns = None if back is None else now_ns // MINUTE_NS * MINUTE_NS - back * MINUTE_NS
    return CandleBars(ES, Timeframe.parse(timeframe), hours, start_ns, now_ns, CandleCounts(), lambda found: found)


def candle(minute: int, ask: float | str = 6.0, bid: float | str = 4.0, *, flags: int = 0, volume: float = 10.0, price: float | str = 6000.0) -> Row:
    at_ms = OPEN // 1_000_000 + minute * 60_000
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return {"eventFlags": flags, "index": index_of(at_ms), "time": at_ms, "count": 3, **prices, "volume": volume, "askVolume": ask, "bidVolume": bid}


def told(items: list[Any]) -> list[tuple[Any, ...]]:
    """(minute, volume, revision, complete) of a bar, (first minute, last minute, reason) of a gap."""
    found = []
    for item in items:
        start = (item.start_ns - OPEN) / MINUTE_NS
        found.append((start, (item.end_ns - OPEN) / MINUTE_NS, item.reason) if isinstance(item, Gap) else (start, item.volume, item.revision, item.complete))
    return found


def at(minute: float) -> int:
    return OPEN + int(minute * MINUTE_NS)


def test_a_bar_is_handed_over_once_a_later_candle_is_there_or_two_seconds_after_its_end() -> None:
    bars = of_minutes()
    assert bars.begin([candle(0)], False, at(0.5)) == []
    assert bars.take([candle(0, 8.0, volume=12.0)], at(0.7)) == []
    [bar] = bars.take([candle(0, 9.0, volume=13.0), candle(1)], at(0.9))  # our clock is behind
    assert isinstance(bar, Bar)
    assert (bar.start_ns, bar.end_ns, bar.volume, bar.buy_volume, bar.sell_volume, bar.delta_source) == (OPEN, at(1), 13.0, 9.0, 4.0, "candle")
    assert bars.advance(at(1) - 1 + 2 * S) == []  # the exchange's clock stands where the candle of minute 1 begins, a tenth of a minute ahead of ours
    assert bars.advance(at(1.9) + 2 * S - 1) == []
    assert told(bars.advance(at(1.9) + 2 * S)) == [(1, 10.0, 0, True)]


def test_a_candle_that_changes_after_the_close_comes_again_and_one_that_does_not_does_not() -> None:
    bars = of_minutes()
    bars.begin([candle(0)], False, at(0.5))
    assert told(bars.take([candle(1)], at(1.1))) == [(0, 10.0, 0, True)]
    assert bars.take([candle(0)], at(1.2)) == []
    assert told(bars.take([candle(0, volume=11.0)], at(1.3))) == [(0, 11.0, 1, True)]
    assert told(bars.take([candle(0, volume=12.0)], at(1.4))) == [(0, 12.0, 2, True)]
    [gone] = bars.take([candle(0, flags=2, price="NaN")], at(1.5))
    assert isinstance(gone, Bar)
    assert (gone.open, gone.vwap, gone.volume, gone.delta, gone.trades, gone.revision) == (None, None, 0.0, 0.0, 0, 3)
    assert told(bars.take([candle(0, volume=9.0)], at(1.6))) == [(0, 9.0, 4, True)]


@pytest.mark.parametrize(
    ("ask", "bid", "split"),
    [("NaN", 4.0, (None, 4.0)), (6.0, "NaN", (6.0, None)), ("NaN", "NaN", (None, None)), (8.0, 4.0, (None, None))],
    ids=["no ask", "no bid", "neither", "more than the volume"],
)
def test_a_split_that_is_not_told_or_cannot_be_is_unknown_and_no_zero(ask: Any, bid: Any, split: tuple[Any, Any]) -> None:
    bars = of_minutes()
    bars.begin([candle(0, ask, bid)], False, at(0.5))
    [bar] = bars.take([candle(1)], at(1.1))
    assert isinstance(bar, Bar)
    assert (bar.volume, bar.buy_volume, bar.sell_volume, bar.delta, bar.delta_source) == (10.0, *split, None, "none")


def test_a_backfill_is_handed_over_at_once_up_to_the_running_bar() -> None:
    bars = of_minutes(150, back=2)
    assert bars.from_time_ms == (at(0) - MINUTE_NS) // 1_000_000
    items = bars.begin([candle(-1), candle(0), candle(2)], False, at(2.5))  # nobody traded in minute 1
    assert told(items) == [(0, 10.0, 0, True)]
    assert told(bars.take([candle(3)], at(3.0))) == [(2, 10.0, 0, True)]


@pytest.mark.parametrize(("rows", "cut", "expected"), [([1, 2], True, [(0, 1, NO_HISTORY), (1, 10.0, 0, True)]), ([], False, [(0, 2, NO_HISTORY)])])
def test_a_stretch_that_the_history_lacks_is_a_gap(rows: list[int], cut: bool, expected: list[Any]) -> None:
    assert told(of_minutes(150, back=2).begin([candle(minute) for minute in rows], cut, at(2.5))) == expected


def test_after_an_outage_the_refill_brings_what_was_missed_and_what_changed() -> None:
    bars = of_minutes()
    bars.begin([candle(0)], False, at(0.5))
    bars.take([candle(1)], at(1.1))
    assert bars.from_time_ms == at(-1) // 1_000_000
    items = bars.begin([candle(0, volume=11.0), candle(1, volume=20.0), candle(2), candle(3)], False, at(3.2))
    assert told(items) == [(0, 11.0, 1, True), (1, 20.0, 0, True), (2, 10.0, 0, True)]


def test_a_refill_that_lacks_the_running_candle_leaves_a_gap_from_its_bar_on_which_is_not_complete() -> None:
    bars = of_minutes()
    bars.begin([candle(0)], False, at(0.5))
    bars.take([candle(1)], at(1.1))
    assert told(bars.begin([candle(3)], True, at(3.2))) == [(1, 3, "connection lost"), (1, 10.0, 0, False)]
    assert told(bars.take([candle(4)], at(4.1))) == [(3, 10.0, 0, True)]


def test_one_that_is_empty_leaves_a_gap_to_the_running_bar_and_a_candle_that_comes_after_all_mends_its_bar() -> None:
    bars = of_minutes()
    bars.begin([candle(0)], False, at(0.5))
    assert told(bars.begin([], False, at(2.5))) == [(0, 2, "connection lost"), (0, 10.0, 0, False)]
    assert told(bars.take([candle(0, volume=15.0), candle(2)], at(2.6))) == [(0, 15.0, 1, True)]


def test_a_bar_that_had_closed_before_the_outage_is_not_torn() -> None:
    bars = of_minutes()
    bars.begin([candle(0)], False, at(0.5))
    assert told(bars.advance(at(1) + 2 * S)) == [(0, 10.0, 0, True)]
    assert told(bars.begin([candle(3)], True, at(3.2))) == [(1, 3, "connection lost")]


def test_delayed_candles_are_not_closed_by_our_clock_while_they_grow() -> None:
    bars = of_minutes(15 * 60 + 30, back=15)
    assert told(bars.begin([candle(0)], False, at(15.5))) == [(0, 10.0, 0, True)]  # so it seems: the market may have stood still
    assert bars.take([candle(0, volume=11.0)], at(15.6)) == []  # it has not: the data is a quarter of an hour late
    assert bars.take([candle(0, volume=12.0)], at(15.7)) == []
    assert told(bars.take([candle(1)], at(16.0))) == [(0, 12.0, 1, True)]
    assert bars.take([candle(1, volume=11.0)], at(16.5)) == []


def test_what_cannot_be_read_is_counted_and_is_no_bar() -> None:
    bars = of_minutes()
    bars.begin([candle(0), candle(1, volume=-1.0)], False, at(0.5))
    assert told(bars.take([candle(2)], at(2.1))) == [(0, 10.0, 0, True)]
    assert bars._counts.rejected > 0
    assert "the volume is no volume" in bars._counts.rejects[0]


def test_only_so_many_bars_are_kept_and_one_before_them_that_changes_is_known_to_have_been_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candle_bars, "_KEPT", 2)
    bars = of_minutes(330, back=5)
    assert len(bars.begin([candle(minute) for minute in range(6)], False, at(5.5))) == 5
    assert bars.from_time_ms == at(2) // 1_000_000
    assert bars.begin([candle(minute) for minute in range(2, 6)], False, at(5.6)) == []
    assert told(bars.take([candle(1, volume=11.0)], at(5.7))) == [(1, 11.0, 1, True)]


def test_regular_hours_hand_over_only_bars_within_them() -> None:
    bars = of_minutes(150, back=5, hours="rth")
    assert told(bars.begin([candle(minute) for minute in range(-3, 3)], False, at(2.5))) == [(0, 10.0, 0, True), (1, 10.0, 0, True)]


def test_a_day_is_closed_two_seconds_after_its_session() -> None:
    bars = of_minutes(timeframe="1d")  # Tuesday's session: from Monday 17:00 Chicago to 16:00
    midnight_ms = OPEN // (86_400 * S) * 86_400_000
    day = candle(0) | {"index": index_of(midnight_ms), "time": midnight_ms}
    assert bars.begin([day], False, OPEN) == []
    closes = OPEN + (7 * 60 + 30) * MINUTE_NS
    assert bars.advance(closes + 2 * S - 1) == []
    [bar] = bars.advance(closes + 2 * S)
    assert (bar.start_ns, bar.end_ns) == (OPEN - (15 * 60 + 30) * MINUTE_NS, closes)


@pytest.mark.parametrize("timeframe", ["100t", "1000v", "8r"])
def test_bars_of_trades_are_refused(timeframe: str) -> None:
    with pytest.raises(UnsupportedTimeframe, match=f"'{timeframe}'"):
        of_minutes(timeframe=timeframe)
