from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.demo import DemoProvider
from tastytrade_provider.emulator import Emulator
from tastytrade_provider.errors import AuthenticationFailed, ConnectionLost, NoData, UnknownContract, UsageError
from tastytrade_provider.journal import Journal
from tastytrade_provider.model import Gap, Roll
from tastytrade_provider.pace import Pace
from tastytrade_provider.registry import create_provider
from tastytrade_provider.replay import ReplayProvider
from tastytrade_provider.service import Runtime, runtime, watcher
from tastytrade_provider.service.hub import TopicName
from tests.checks.builders import ES, opening
from tests.checks.journals import COLUMNS, a_message
from tests.checks.sources import excerpt, until
from tests.service.stage import NQ, SECOND, Clock, Handed, Played, running, some_trades
from tests.test_providers import login


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "_WAIT_S", (0.0, 0.0))


async def test_trades_become_bars_with_delta_and_cvd() -> None:
    async with running() as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1), (1, 6000.25, 1, -1), (5, 6000.5, 4, 1)))
        feed = await live.feed(live.market("ES"))
        [row] = feed.rows()
        assert (row.update.bar.delta, row.update.values["cvd"]) == (2.0, 2.0)
        assert feed.forming is not None
        now = feed.cvd(feed.forming)
        assert now is not None
        assert (now.value, now.high, now.low) == (6.0, 6.0, 0.0)


@pytest.mark.parametrize("name", ["ES", "es", "ESZ6", "/ESZ6", "/ESZ26:XCME"])
async def test_a_contract_answers_to_all_its_names(name: str) -> None:
    async with running() as (live, _, _):
        assert live.market(name).contract == ES


async def test_a_contract_that_is_not_watched_is_named_with_those_that_are() -> None:
    async with running(symbols=("ES",)) as (live, _, _):
        with pytest.raises(UnknownContract, match="watched: ES"):
            live.market("NQ")


async def test_a_provider_that_fails_is_shown_and_tried_again_until_it_works() -> None:
    provider = Handed()
    provider.failure = AuthenticationFailed("the login was refused")
    live = Runtime(provider, ("ES",))
    await live.start()
    await until(lambda: provider.connects > 2, "it is not tried again")
    assert live.status()["problem"] == "the login was refused"
    assert live.health()["status"] == "ok"
    assert live.readiness().reason == "the feed is disconnected: the login was refused"
    with pytest.raises(ConnectionLost, match="the login was refused"):
        live.market("ES")
    provider.failure = None
    await until(lambda: live.markets and live.watcher.problem is None, "it does not come up")
    await live.stop()


async def test_while_the_provider_reconnects_by_itself_its_own_reason_and_attempts_are_told() -> None:
    async with running(symbols=("ES",)) as (live, provider, _):
        provider.state, provider.problem, provider.attempts = "reconnecting", "connection lost: reset by peer", 3
        assert live.readiness().reason == "the feed is reconnecting: connection lost: reset by peer"
        assert (live.status()["problem"], live.status()["attempts"]) == ("connection lost: reset by peer", 3)
        provider.state, provider.problem, provider.attempts = "connected", None, 0
        assert (live.status()["problem"], live.status()["attempts"]) == (None, 0)


async def test_of_an_error_that_is_not_ours_only_its_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    provider = Handed()
    provider.failure = RuntimeError("https://user:hunter2@host refused")
    live = Runtime(provider, ("ES",))
    with caplog.at_level(logging.DEBUG):
        await live.start()
        await until(lambda: live.watcher.problem, "nothing is told")
        assert live.watcher.problem == "RuntimeError"
        await live.stop()
    assert "hunter2" not in caplog.text


async def test_one_contract_that_does_not_exist_keeps_no_other_from_being_watched() -> None:
    live = Runtime(Handed(ES), ("ES", "ZZ"))
    await live.start()
    await until(lambda: live.markets and live.watcher.problem is None, "ES is not watched")
    assert list(live.markets) == ["ES"]
    await live.stop()


async def test_after_the_subscription_was_lost_the_next_trade_ends_a_gap() -> None:
    async with running(symbols=("ES",)) as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        old = len(provider.trades["/ESZ6"])
        provider.past = NoData("nothing is kept")
        provider.end(ConnectionLost("gone"))
        await until(lambda: len(provider.trades["/ESZ6"]) > old and live.watcher.problem is None, "it is not watched again")
        await until(lambda: provider.trades["/ESZ6"][-1]._callback is not None, "nobody listens")
        provider.put(some_trades((12, 6001.0, 1, 1)))
        [gap] = live.market("ES").gaps
        assert (gap.start_ns, gap.end_ns, gap.reason) == (opening(), opening() + 12 * SECOND + 1, "connection lost")
        assert [row.update.bar.complete for row in (await live.feed(live.market("ES"))).rows()] == [False]


async def test_silence_of_an_open_market_is_not_ready_and_recovery_is() -> None:
    async with running() as (live, provider, clock):
        assert live.readiness().reason == "nothing came from the feed yet"
        provider.put(some_trades((0, 6000.0, 3, 1)))
        assert live.readiness().ready
        clock.pass_s(4.9)
        verdict = live.readiness()
        assert (verdict.ready, verdict.reason) == (False, "nothing came from an open market for 4.9 s")
        provider.put(some_trades((5, 6000.0, 3, 1)))
        assert live.readiness().ready


async def test_one_contract_that_trades_shows_that_the_feed_is_alive() -> None:
    async with running() as (live, provider, clock):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        clock.pass_s(30)
        provider.put(some_trades((30, 21000.0, 1, 1), contract=NQ))
        assert live.readiness().ready


async def test_a_closed_market_is_not_a_silent_feed() -> None:
    async with running(wall_ns=lambda: opening("friday") + 24 * 3600 * SECOND) as (live, _, clock):
        clock.pass_s(3600)
        verdict = live.readiness()
        assert (verdict.ready, verdict.reason) == (True, "the market is closed")


async def test_what_is_played_is_open_by_its_own_clock_also_before_its_first_trade() -> None:
    async with running(Played(), wall_ns=lambda: opening("friday") + 24 * 3600 * SECOND) as (live, _, _):
        verdict = live.readiness()
        assert (verdict.ready, verdict.reason) == (False, "nothing came from the feed yet")


async def test_another_timeframe_holds_the_sessions_trades_so_far() -> None:
    async with running() as (live, provider, _):
        for second in range(600):
            provider.put(some_trades((second, 6000.0 + second % 3, 1 + second % 2, 1 if second % 3 else -1)))
        market = live.market("ES")
        minutes = (await live.feed(market, "1m")).rows()
        assert [row.update.bar.trades for row in minutes] == [60] * 9
        # of each six seconds: sizes 1 2 1 2 1 2, sides - + + - + +
        assert [row.update.bar.delta for row in minutes] == [10 * (-1 + 2 + 1 - 2 + 1 + 2)] * 9
        assert minutes[-1].update.values["cvd"] == 270.0


async def test_trades_that_come_while_a_timeframe_is_being_made_are_in_it() -> None:
    async with running() as (live, provider, _):
        for second in range(1000):
            provider.put(some_trades((second, 6000.0, 1, 1)))
        market = live.market("ES")
        making = asyncio.create_task(live.feed(market, "10s"))
        await until(lambda: market.is_filling("10s"), "it is not being made")
        provider.put(some_trades((1000, 6000.0, 1, 1)))
        assert [row.update.bar.volume for row in (await making).rows()] == [10.0] * 100


async def test_an_unused_timeframe_makes_room_and_one_in_use_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_MOST_FEEDS", 2)
    async with running(symbols=("ES",)) as (live, _, clock):
        market = live.market("ES")
        for minutes in (1, 2, 3):
            clock.pass_s(1)
            await live.feed(market, f"{minutes}m")
        assert sorted(market.feeds) == ["2m", "3m", "5s"]
        client = live.hub.join()
        for timeframe in ("2m", "3m"):
            live.hub.subscribe(client, TopicName("ES", timeframe, "delta"))
        with pytest.raises(UsageError, match="2 timeframes are in use"):
            await live.feed(market, "4m")
        live.hub.leave(client)


async def test_a_timeframe_that_cannot_be_leaves_nothing_behind() -> None:
    async with running() as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        for years in range(100, 120):
            with pytest.raises(UsageError):
                await live.feed(live.markets["ES"], f"{years * 365}d")
        assert list(live.markets["ES"].feeds) == ["5s"]
        assert len(live._used) <= 1


async def test_bars_close_by_the_clock_though_nobody_trades() -> None:
    async with running() as (live, provider, clock):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        feed = await live.feed(live.market("ES"))
        clock.pass_s(5.1)
        await until(lambda: live.hub.topic(TopicName("ES", "5s", "delta")).seq == 0, "")
        assert feed.rows() == []
        clock.pass_s(0.2)
        await until(lambda: len(feed.rows()) == 1, "the bar does not close")


async def test_a_reset_acts_at_the_next_bar_on_every_timeframe() -> None:
    async with running() as (live, provider, _):
        market = live.market("ES")
        await live.feed(market, "10s")
        provider.put(some_trades((0, 6000.0, 3, 1), (5, 6000.0, 4, 1)))
        at_ns = live.reset(market)
        provider.put(some_trades((6, 6000.0, 1, 1), (11, 6000.0, 2, -1), (16, 6000.0, 5, 1), (21, 6000.0, 1, 1)))
        assert opening() + 5 * SECOND < at_ns < opening() + 6 * SECOND
        cvds = {name: [row.update.values["cvd"] for row in (await live.feed(market, name)).rows()] for name in ("5s", "10s")}
        assert cvds == {"5s": [3.0, 8.0, -2.0, 3.0], "10s": [8.0, 3.0]}
        feed = await live.feed(market, "5s")
        now = feed.cvd(feed.forming)
        assert now is not None
        assert (now.value, now.high, now.low, now.since_ns) == (4.0, 4.0, -2.0, opening() + 10 * SECOND)


async def test_a_replay_repeats_the_resets_of_the_recording(tmp_path: Path) -> None:
    first_ms = 1_795_530_600_000  # of a_message, which has a trade each 50 ms
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES)
    for number in range(600):
        journal.append([a_message(number)], [number], COLUMNS)
        if number == 250:
            journal.append_reset(ES, first_ms * 1_000_000 + 12_500_000_000)
    journal.close()
    provider = ReplayProvider(tmp_path, "max")
    live = Runtime(provider, ("ES",), timeframe="5s", speed=None)
    await live.start()
    await until(lambda: live.watcher.has_ended, "the recording does not end")
    rows = (await live.feed(live.market("ES"))).rows()
    deltas = [row.update.bar.delta or 0.0 for row in rows]
    assert [row.update.values["cvd"] for row in rows] == [
        deltas[0], deltas[0] + deltas[1], sum(deltas[:3]), deltas[3], deltas[3] + deltas[4],
    ]  # fmt: skip
    assert live.readiness().reason == "the feed is ended"
    await live.stop()


async def test_a_reset_of_a_live_feed_stands_in_its_journal_and_is_known_after_a_restart(tmp_path: Path) -> None:
    times = []
    for _ in range(2):
        provider = DemoProvider(excerpt(3000, is_endless=True), speed=1.0)
        provider.journal = Journal(tmp_path)
        live = Runtime(provider, ("ES",), speed=1.0)
        await live.start()
        await until(lambda live=live: live.markets and live.market("ES").last_ns and live.watcher.problem is None, "no trade comes")  # type: ignore[misc]
        assert live.market("ES").resets.times == times
        times = [*times, live.reset(live.market("ES"))]
        await live.stop()
    assert len(times) == 2


async def test_a_roll_goes_on_with_the_new_contract_and_says_so() -> None:
    async with running(symbols=("ES",)) as (live, provider, _):
        new = replace(ES, symbol="/ESH7", streamer_symbol="/ESH27:XCME")
        provider.put(some_trades((0, 6000.0, 3, 1)))
        provider.put(Roll(ES, new, opening() + SECOND))
        await until(lambda: provider.trades["/ESH7"][-1]._callback is not None, "nobody listens to the new month")
        provider.put(some_trades((3, 6001.0, 9, 1)))
        provider.put(some_trades((6, 6050.0, 4, 1), (11, 6050.0, 1, 1), contract=new))
        feed = await live.feed(live.market("ESH7"))
        assert [(row.update.bar.contract.symbol, row.update.values["cvd"]) for row in feed.rows()] == [("/ESZ6", 3.0), ("/ESH7", 4.0)]
        facts: list[Any] = list(live.hub.topic(TopicName("ES", "5s", "delta")).facts)
        assert any('"type":"roll"' in text and '"new":"/ESH7"' in text for _, text in facts)


async def test_gaps_are_told_and_counted_filled_ones_not() -> None:
    async with running(symbols=("ES",)) as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        provider.put(Gap(ES, opening(), opening() + SECOND, "connection lost"))
        provider.put(Gap(ES, opening(), opening() + SECOND, "connection lost", filled=True))
        assert live.status()["gap_count"] == 1
        assert [gap["filled"] for gap in live.status()["gaps"]] == [False, True]


async def test_a_misspelt_indicator_is_told_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="did you mean 'cvd'"):
        Runtime(Handed(), ("ES",), indicators=["cdv"])


async def test_start_and_stop_may_be_called_twice() -> None:
    live = Runtime(Handed(), ("ES",), clock=Clock())
    await live.start()
    await live.start()
    await live.stop()
    await live.stop()
    assert live.health()["status"] == "stopped"


async def test_trades_of_the_past_are_counted_and_are_no_rate(tmp_path: Path) -> None:
    source = excerpt(20_000, is_endless=True, roots=("ES",))
    provider = DemoProvider(source, speed=1.0, past_ns=5 * SECOND)
    provider.playback.pause()
    live = Runtime(provider, ("ES",), timeframe="1s")
    await live.start()
    await until(lambda: live.markets and live.market("ES").has_begun.is_set(), "it is not watched")
    counts = live.market("ES").counts
    assert counts.trades > 100
    assert counts.rate(live.clock() + 2 * SECOND) == 0.0
    await live.stop()


async def test_a_feed_that_falls_silent_is_not_ready_within_five_seconds_and_is_again_when_it_goes_on() -> None:
    pace = Pace(1.0)
    async with Emulator(excerpt(20_000, roots=("ES",)), speed=pace, start_on=("TimeAndSale",)) as emulator:
        provider = create_provider(login(emulator))
        live = Runtime(provider, ("ES",), wall_ns=lambda: emulator.market_ns)
        await live.start()
        await until(lambda: live.readiness().ready, lambda: f"never ready: {live.readiness().reason}")
        pace.pause()  # the connection stays, and nothing comes any more
        silent_s = time.monotonic()
        await until(lambda: not live.readiness().ready, "silence is not told")
        assert time.monotonic() - silent_s < 6.0  # five, and what a busy machine may add
        assert "nothing came" in (live.readiness().reason or "")
        pace.resume()
        await until(lambda: live.readiness().ready, lambda: f"not ready again: {live.readiness().reason}")
        await live.stop()
