"""Where a history begins late: a thin market's quiet beginning is none of the feed's fault, and what the feed does not have is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.dxlink.messages import Subscription as Item
from tastytrade_provider.dxlink.rows import EventFlags, index_of
from tastytrade_provider.errors import NoData, RequestTimeout, UnsupportedTimeframe
from tastytrade_provider.model import Timeframe
from tastytrade_provider.tastytrade.history import History
from tastytrade_provider.tastytrade.intake import Intake
from tastytrade_provider.tastytrade.reach import is_late, open_ns
from tastytrade_provider.tastytrade.snapshot import Snapshot
from tests.checks.builders import ES

OPENED = "2026-11-22T23:00:00Z"  # Sunday 17:00 in Chicago
FRIDAY = "2026-11-20T20:00:00Z"
MONDAY_NS = pd.Timestamp("2026-11-23T14:30:00Z").value
CANDLE: dict[str, Any] = {**dict.fromkeys(("open", "high", "low", "close", "vwap"), 6000.0), "volume": 2.0}
TRADE: dict[str, Any] = {"price": 6000.0, "size": 2.0, "type": "NEW", "aggressorSide": "BUY"}


def ns(time: str) -> int:
    return int(pd.Timestamp(time).value)


class Feed:
    """Trades and one-minute candles at these times, and the end of the answer wherever one asks from. `asked`: the event types."""

    def __init__(self, trades: Sequence[str], candles: Sequence[str], *, unserved: Sequence[str] = ()) -> None:
        self.trades, self.candles, self.unserved = trades, candles, unserved
        self.asked: list[str] = []
        self.notes: list[str] = []
        self.history = History(self.ask, Intake, lambda _: {}, note=self.notes.append)

    async def ask(self, event_type: str, _: object, item: Item) -> Snapshot:
        self.asked.append(event_type)
        if event_type in self.unserved:
            raise RequestTimeout("no answer")
        times = self.trades if event_type == "TimeAndSale" else self.candles if item.symbol.endswith("{=m}") else ()
        more = TRADE if event_type == "TimeAndSale" else CANDLE
        stamps = [stamp for time in times if (stamp := ns(time) // 1_000_000) >= (item.from_time_ms or 0)]
        rows = [{"eventSymbol": ES.streamer_symbol, "index": index_of(stamp, 1), "time": stamp, "eventFlags": 0} | more for stamp in sorted(stamps)[::-1]]
        end = {"eventFlags": int(EventFlags.SNAPSHOT_END | EventFlags.REMOVE), "index": index_of(item.from_time_ms or 0, 0)}
        snapshot = Snapshot(0.0)
        snapshot.add([{"eventFlags": int(EventFlags.SNAPSHOT_BEGIN | EventFlags.REMOVE), "index": index_of(MONDAY_NS // 1_000_000, 0)}, *rows, end], 0.0)
        return snapshot

    async def got(self, start: str, end: str | None = None) -> list[str]:
        """Times of the trades."""
        batch = await self.history.trades(ES, start, end, MONDAY_NS)
        return [f"{np.datetime64(time, 's')}Z" for time in (batch.time_ns // 10**9).tolist()]


async def test_the_first_trade_of_a_thin_market_may_come_long_after_the_open() -> None:
    feed = Feed(["2026-11-22T23:20:30Z", "2026-11-23T09:00:00Z"], [FRIDAY, "2026-11-22T23:20:00Z"])
    assert await feed.got(OPENED) == ["2026-11-22T23:20:30Z", "2026-11-23T09:00:00Z"]
    assert feed.notes == []
    frame = await feed.history.bars(ES, "8r", OPENED, None, "eth", MONDAY_NS)
    assert (len(frame), frame["complete"].all(), frame.attrs["start_was_cut"]) == (1, True, False)
    minutes = await feed.history.bars(ES, "1m", OPENED, None, "eth", MONDAY_NS)
    assert (len(minutes), minutes.attrs["start_was_cut"]) == (1, False)


async def test_trades_that_candles_tell_of_and_the_feed_has_not_are_told_with_where_they_begin() -> None:
    feed = Feed(["2026-11-22T23:20:30Z"], [FRIDAY, "2026-11-22T23:05:00Z", "2026-11-22T23:20:00Z"])
    with pytest.raises(NoData, match="go back to 2026-11-22T23:20:30Z only; ask from there"):
        await feed.got(OPENED)
    assert await feed.got("2026-11-22T23:20:30Z") == ["2026-11-22T23:20:30Z"]
    with pytest.raises(UnsupportedTimeframe, match="go back to 2026-11-22T23:20:30Z only"):
        await feed.history.bars(ES, "8r", OPENED, None, "eth", MONDAY_NS)


async def test_where_nothing_tells_of_the_time_before_the_first_trade_of_the_session_a_note_says_so() -> None:
    feed = Feed(["2026-11-22T23:20:30Z"], ["2026-11-22T23:20:00Z"])
    assert await feed.got(OPENED) == ["2026-11-22T23:20:30Z"]
    [note] = feed.notes
    assert "asked for from 2026-11-22T23:00:00Z, begin at 2026-11-22T23:20:30Z; whether any were before is not known" in note
    assert feed.history.in_doubt == {ES.streamer_symbol}
    await feed.got("2026-11-22T23:20:30Z")
    assert feed.history.in_doubt == set()  # of those fetched last
    bars = await feed.history.bars(ES, "8r", OPENED, None, "eth", MONDAY_NS)
    assert (bars["complete"].tolist(), bars.attrs["start_was_cut"]) == ([False], True)
    minutes = await feed.history.bars(ES, "1m", OPENED, None, "eth", MONDAY_NS)
    assert (minutes.index[0], minutes.attrs["start_was_cut"]) == (pd.Timestamp("2026-11-22T23:20:00Z"), True)


async def test_a_week_whose_first_sessions_have_no_trade_is_no_data_and_so_is_an_open_hour_in_it() -> None:
    feed = Feed(["2026-11-22T23:20:30Z"], ["2026-11-22T23:20:00Z"])
    with pytest.raises(NoData, match="go back to 2026-11-22T23:20:30Z only"):
        await feed.got("2026-11-16T15:00:00Z")
    with pytest.raises(NoData, match="go back to 2026-11-22T23:20:30Z only"):
        await feed.got("2026-11-16T15:00:00Z", "2026-11-16T16:00:00Z")
    for timeframe in ("8r", "1000v", "133t"):
        with pytest.raises(NoData, match=f"for {timeframe} bars from 2026-11-16T15:00:00Z to 2026-11-16T16:00:00Z, with the market open"):
            await feed.history.bars(ES, timeframe, "2026-11-16T15:00:00Z", "2026-11-16T16:00:00Z", "eth", MONDAY_NS)
        since = await feed.history.bars(ES, timeframe, "2026-11-16T15:00:00Z", None, "eth", MONDAY_NS)
        assert (since["complete"].tolist(), since.attrs["start_was_cut"]) == ([False], True)


async def test_a_weekend_before_the_first_trade_hides_none() -> None:
    feed = Feed(["2026-11-22T23:00:30Z"], [])
    assert await feed.got("2026-11-21T12:00:00Z") == ["2026-11-22T23:00:30Z"]
    assert await feed.got("2026-11-21T12:00:00Z", "2026-11-21T18:00:00Z") == []
    assert (feed.asked, feed.notes) == (["TimeAndSale", "TimeAndSale"], [])  # and nobody was asked what he need not


async def test_in_the_first_minute_of_a_session_nobody_may_have_traded() -> None:
    feed = Feed([], [])
    assert await feed.got(OPENED, "2026-11-22T23:00:59Z") == []
    with pytest.raises(NoData, match="from 2026-11-22T23:00:00Z to 2026-11-22T23:30:00Z, while the market was open"):
        await feed.got(OPENED, "2026-11-22T23:30:00Z")


async def test_without_candles_it_stays_unknown() -> None:
    feed = Feed(["2026-11-22T23:20:30Z"], [], unserved=["Candle"])
    assert await feed.got(OPENED) == ["2026-11-22T23:20:30Z"]
    assert len(feed.notes) == 1


@pytest.mark.parametrize(
    ("timeframe", "start", "first", "hours", "late"),
    [
        ("1m", OPENED, "2026-11-22T23:00:00Z", "eth", False),
        ("1m", OPENED, "2026-11-22T23:01:00Z", "eth", True),
        ("1m", "2026-11-22T23:00:30Z", "2026-11-22T23:01:00Z", "eth", False),
        ("5s", OPENED, "2026-11-22T23:00:55Z", "eth", False),  # a quiet minute
        ("5s", OPENED, "2026-11-22T23:01:00Z", "eth", True),
        ("4h", "2026-11-22T23:30:00Z", "2026-11-23T03:00:00Z", "eth", False),  # the bar that runs at the start began before it
        ("4h", "2026-11-22T23:30:00Z", "2026-11-23T07:00:00Z", "eth", True),
        ("1h", "2026-11-20T22:00:00Z", OPENED, "eth", False),  # the weekend: Friday closes at 22:00 UTC
        ("1h", "2026-11-20T21:00:00Z", OPENED, "eth", True),
        ("1h", "2026-11-23T10:00:00Z", "2026-11-23T15:00:00Z", "rth", False),  # regular hours begin at 14:30 UTC, a bar straddles
        ("1h", "2026-11-23T10:00:00Z", "2026-11-23T16:00:00Z", "rth", True),
        ("1d", "2026-11-20T15:00:00Z", OPENED, "eth", False),
        ("1d", "2026-11-19T15:00:00Z", OPENED, "eth", True),  # Friday's session, opened on Thursday evening
        ("1mo", "2026-10-05T15:00:00Z", "2026-11-01T22:00:00Z", "eth", False),
        (None, OPENED, "2026-11-22T23:00:59Z", "eth", False),
        (None, OPENED, "2026-11-22T23:01:00Z", "eth", True),
        ("100v", "2026-11-20T22:00:00Z", "2026-11-22T23:00:20Z", "eth", False),
    ],
)
def test_late_is_what_leaves_out_a_bar_that_could_have_been(timeframe: str | None, start: str, first: str, hours: str, late: bool) -> None:
    wanted = None if timeframe is None else Timeframe.parse(timeframe)
    assert is_late(ES, wanted, ns(start), ns(first), hours) is late


def test_time_that_the_market_was_closed_does_not_count() -> None:
    assert open_ns(ES, ns("2026-11-20T21:00:00Z"), ns("2026-11-22T23:30:00Z")) == 90 * 60 * 10**9
    assert open_ns(ES, ns("2026-11-23T14:00:00Z"), ns("2026-11-23T15:00:00Z"), "rth") == 30 * 60 * 10**9
