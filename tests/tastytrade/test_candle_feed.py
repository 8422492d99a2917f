"""Live bars from candles, against an exchange that serves this login no TimeAndSale: each once and whole, at whatever second one subscribes."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.dxlink.rows import Row
from tastytrade_provider.emulator import Emulator, Print, Wire
from tastytrade_provider.errors import NotSupported, RequestTimeout, UnsupportedTimeframe, UsageError
from tastytrade_provider.model import Action, Gap, Timeframe
from tastytrade_provider.pace import Pace
from tastytrade_provider.provider import Subscription
from tastytrade_provider.tastytrade import candle_bars, candle_feed, snapshot, upkeep
from tastytrade_provider.tastytrade.bar_feed import NO_HISTORY
from tastytrade_provider.tastytrade.candles import CandleCounts, SignCheck, Verdict
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.checks.builders import ES, MINUTE_NS
from tests.checks.providers import CARDS, Stage
from tests.checks.sources import LIMIT_S, Excerpt, until
from tests.tastytrade.test_bar_feed import BOTH, SEAM_NS, SESSION_OPEN_NS, START_NS, S, Told, a_market, assert_bars, collected
from tests.tastytrade.test_candle_bars import OPEN, candle
from tests.test_providers import finish, login, secrets

OPENED = dt.datetime.fromtimestamp(SESSION_OPEN_NS / S, dt.UTC)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    monkeypatch.setattr(candle_feed, "_TICK_S", 0.02)
    monkeypatch.setattr(candle_feed, "_AGAIN_S", 0.02)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@asynccontextmanager
async def connected(source: Any, now_ns: int, **wire: Any) -> Any:
    """A provider that takes delta from candles, on an exchange where everything before `now_ns` is history and TimeAndSale is not served."""
    served = Wire(unserved=frozenset({"TimeAndSale"}) | wire.pop("unserved", frozenset()), **wire)
    async with Emulator(source, speed="max", start_on=("Quote",), live_from_ns=now_ns, wire=served, truth_path=os.devnull) as emulator:
        provider = create_provider(login(emulator, delta_source="candle"))
        assert isinstance(provider, TastyTradeProvider)
        provider._wall_ns = lambda: now_ns
        async with provider:
            yield provider, emulator


async def live(provider: TastyTradeProvider, source: Told, *subscriptions: Any) -> None:
    """Let the market go on, now that the subscriptions stand."""
    for subscription in subscriptions:
        async with asyncio.timeout(LIMIT_S):
            await subscription.ready()
    provider.subscribe_quotes(source.contracts[0])


def both(late: list[Any], items: list[Any]) -> bool:
    return len(items) >= 4 and len(late) >= 2


async def test_whichever_second_of_a_minute_one_subscribes_in_every_bar_comes_once_and_whole() -> None:
    source = a_market()
    for second in range(0, 60, 7):
        async with connected(source, SEAM_NS + second * S) as (provider, _):
            whole, rest = (provider.subscribe_bars(source.contracts[0], backfill=backfill) for backfill in (OPENED, None))
            await live(provider, source, whole, rest)
            late: list[Any] = []
            rest.on(late.append)
            items = await collected(whole, provider, partial(both, late))
        expected = source.bars()
        assert_bars(items, expected, BOTH)
        assert_bars(late, expected[2:], BOTH)
        assert {bar.delta_source for bar in items} == {"candle"}
        assert all(bar.min_delta is None and bar.max_delta is None for bar in items)


async def test_the_last_bar_is_closed_by_the_clock_though_no_later_candle_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candle_bars, "SETTLE_NS", 0)
    source = a_market()
    async with connected(source, SEAM_NS - 2 * MINUTE_NS + int(59.9 * S)) as (provider, _):
        bars = provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=5))
        items = await collected(bars, provider, 1)  # nothing goes on: what ended is history, and its candle is the newest
    assert_bars(items, source.bars()[:1], BOTH)


class Following:
    """A connection that serves a series of candles: its snapshot at once, and then nothing."""

    def __init__(self, rows: list[Row], looks: list[float], ours_s: list[float]) -> None:
        self.snapshot, self.stands, self.failure = snapshot.Snapshot(0.0), True, None
        self.snapshot.add(rows, 0.0)
        self._looks, self._ours_s = looks, ours_s

    def follow(self, *_: Any) -> Any:
        return self

    def leave_series(self, series: Any) -> None:
        assert series is self

    async def result(self) -> snapshot.Snapshot:
        return self.snapshot

    async def news(self, timeout_s: float) -> None:
        self._looks.append(self._ours_s[0])
        await asyncio.sleep(timeout_s)


@pytest.mark.parametrize(
    ("speed", "is_paused", "closes_s"), [(0.5, False, 62.0), (1.0, False, 62.0), (20.0, False, 100.0), ("max", False, None), (1.0, True, None)]
)
async def test_a_playback_closes_a_bar_by_its_own_clock_and_gives_candles_two_seconds_of_ours(speed: Any, is_paused: bool, closes_s: float | None) -> None:
    ours_s, looks, items, playback = [0.0], list[float](), list[Any](), Pace(speed)
    playback.begin(lambda: ours_s[0], OPEN + 30 * S)
    past: Any = SimpleNamespace(split=lambda contract, found: found, counts=CandleCounts(), check_sign=lambda *_: None)
    dialogue: Any = Following([candle(0, flags=4 | 8)], looks, ours_s)
    listener: Subscription[Any] = Subscription(ES)
    serving: dict[Any, Any] = {}
    feed = candle_feed.CandleFeed(
        listener.on(items.append), Timeframe.parse("1m"), "eth", lambda _: None, past, lambda: dialogue, lambda: OPEN + 30 * S, print, serving, playback
    )
    task = asyncio.create_task(feed.run())

    async def look() -> None:
        seen = len(looks) + 2  # with the second one, the first was answered
        await until(lambda: len(looks) >= seen, "the feed does not look at the clock")

    try:
        await look()
        if is_paused:
            playback.pause()
        for second in (61.9, 62.1, 99.9, 100.1):
            ours_s[0] = (second - 30) / (1.0 if speed == "max" else speed)
            await look()
            assert [bar.start_ns for bar in items] == ([OPEN] if closes_s is not None and second > closes_s else [])
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_it_says_of_itself_that_delta_is_of_candles_and_has_no_trades() -> None:
    source = a_market()
    async with connected(source, SEAM_NS) as (provider, emulator):
        subscription = provider.subscribe_bars(source.contracts[0])
        await live(provider, source, subscription)
        assert provider.status().delta_source == "candle"
        with pytest.raises(NotSupported, match="knows bars and no trades"):
            provider.subscribe_trades(source.contracts[0])
        assert emulator.sent["TimeAndSale"] == 0


@pytest.mark.parametrize("timeframe", ["100t", "1000v", "8r"])
async def test_bars_of_trades_volume_and_range_are_refused_at_once_with_the_reason(timeframe: str) -> None:
    source = a_market()
    async with connected(source, SEAM_NS) as (provider, _):
        with pytest.raises(UnsupportedTimeframe, match=f"'{timeframe}' are made of trades, not of candles"):
            provider.subscribe_bars(source.contracts[0], timeframe)
        with pytest.raises(UsageError, match="streamer symbol"):
            provider.subscribe_bars(replace(source.contracts[0], streamer_symbol=""))
        assert not provider._feeds


async def test_a_correction_after_the_close_hands_the_bar_out_again_and_a_withdrawal_leaves_it_empty() -> None:
    market = a_market()
    prints = [event for event in market.events if isinstance(event, Print)]
    of_first = [one for one in prints if one.time_ns < START_NS + MINUTE_NS]
    larger = prints[5]._replace(at_ns=SEAM_NS + 40 * S, size=prints[5].size + 5, action=Action.CORRECTION)
    source = replace(market, events=tuple(sorted((*prints, larger), key=lambda event: event.at_ns)))
    async with connected(source, SEAM_NS + 30 * S) as (provider, emulator):
        bars = provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=5))
        await live(provider, source, bars)
        items: list[Any] = []
        bars.on(items.append)
        await until(lambda: len(items) >= 5, lambda: f"{items}")
        emulator.publish([one._replace(at_ns=emulator.market_ns, action=Action.CANCEL) for one in of_first])
        await until(lambda: items[-1].open is None, lambda: f"{items[-1]}")
    first = [(bar.revision, bar.volume, bar.trades) for bar in items if bar.start_ns == START_NS]
    asked = market.bars()[0]
    assert first == [(0, asked["volume"], asked["trades"]), (1, asked["volume"] + 5, asked["trades"]), (2, 0.0, 0)]
    assert [bar.revision for bar in items if bar.start_ns != START_NS] == [0, 0, 0]


@pytest.mark.parametrize("how", ["connection", "channel", "renewal"])
async def test_after_an_outage_the_same_series_brings_what_was_missed(how: str) -> None:
    source = a_market()
    async with connected(source, SEAM_NS + 5 * S) as (provider, emulator):
        bars = provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=5))
        items: list[Any] = []
        bars.on(items.append)
        await bars.ready()
        [feed] = provider._feeds.of_candles
        began = emulator.sent["Candle"]
        if how == "connection":
            for visitor in emulator.visitors:
                visitor.close(1000, "Bye")
            await until(lambda: provider.status().reconnects == 1, "no reconnect")
        elif how == "channel":
            [dialogue] = provider._keeper.dialogues
            [channel] = dialogue._requests
            [visitor] = [one for one in emulator.visitors if one.feed is not None]
            visitor.feed.connection.channel_closed(channel)
            visitor.send()
        else:
            await provider._keeper._open()
        await until(lambda: emulator.sent["Candle"] >= began + 3, lambda: f"the series was not asked for again: {bars.error!r} {provider.status().notes}")
        provider.subscribe_quotes(source.contracts[0])
        await until(lambda: len(items) >= 4, lambda: f"{items}")
        assert feed in provider._feeds.of_candles
    assert_bars(items, source.bars(), BOTH)


async def test_where_the_feed_does_not_go_back_as_far_the_stretch_is_a_gap() -> None:
    source = a_market()
    async with connected(source, SEAM_NS + 30 * S, history_cap={"Candle": 2}) as (provider, _):
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(hours=1)), provider, 2)
    gap, bar = items
    assert gap == Gap(source.contracts[0], SEAM_NS + 30 * S - 3600 * S + 30 * S, START_NS + MINUTE_NS, NO_HISTORY)  # from the first whole bar of the hour
    assert_bars([bar], source.bars()[1:2], BOTH)


async def test_where_candles_contradict_the_trades_bars_come_without_a_split() -> None:
    source = a_market()
    async with connected(source, SEAM_NS + 30 * S) as (provider, _):
        provider._history.signs[source.contracts[0].streamer_symbol] = SignCheck(Verdict.CONTRADICTS)
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=5)), provider, 2)
    assert [(bar.volume, bar.buy_volume, bar.delta_source) for bar in items] == [(row["volume"], None, "none") for row in source.bars()[:2]]


async def test_a_server_that_serves_no_candles_ends_it_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot.Snapshot.__init__, "__kwdefaults__", {"quiet_s": 0.05, "deadline_s": 0.05})
    source = a_market()
    async with connected(source, SEAM_NS, unserved=frozenset({"Candle"})) as (provider, _):
        subscription = provider.subscribe_bars(source.contracts[0])
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(RequestTimeout, match="did not answer the request for Candle"):
                await subscription.ended()


async def test_disconnect_and_cancel_end_it_and_leave_no_channel_open() -> None:
    source = a_market()
    async with connected(source, SEAM_NS) as (provider, _):
        one, other = (provider.subscribe_bars(source.contracts[0]) for _ in range(2))
        await live(provider, source, one, other)
        [dialogue] = provider._keeper.dialogues
        assert len(dialogue._requests) == 2
        assert not dialogue.is_busy  # a series that stays keeps no connection from being retired
        one.cancel()
        await until(lambda: len(dialogue._requests) == 1, "the channel of a cancelled subscription stays")
        await provider.disconnect()
        assert not provider._feeds
        assert all(subscription.has_ended and subscription.error is None for subscription in (one, other))
        with pytest.raises(UsageError, match="closed"):
            provider.subscribe_bars(source.contracts[0])


@asynccontextmanager
async def candle_stage(source: Excerpt) -> Any:
    async with Emulator(source, speed="max", start_on=("Quote",)) as emulator:
        provider = create_provider(login(emulator, delta_source="candle"))
        provider._wall_ns = lambda: emulator.market_ns + 1  # type: ignore[attr-defined]
        yield Stage(provider, source, finish(provider, lambda: emulator), lambda: 0, waits=False, secrets=lambda: secrets(emulator))
        await provider.disconnect()


OF_ALL = ("p01", "p02", "p03", "p04")  # the others subscribe trades


@pytest.mark.parametrize("card", [card for card in CARDS if card.__name__[:3] in OF_ALL], ids=lambda card: card.__name__)
async def test_it_passes_the_cards_that_need_no_trades(card: Callable[[Any], Any]) -> None:
    await card(candle_stage)
