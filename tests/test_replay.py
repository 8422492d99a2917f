from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import BarBuilder, build_history
from tastytrade_provider.demo import DemoProvider
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Oddities, load_tape
from tastytrade_provider.errors import (
    AmbiguousContract,
    ConfigError,
    JournalDamaged,
    MissingExtra,
    NoData,
    NotSupported,
    RequestTimeout,
    UnknownContract,
    UsageError,
)
from tastytrade_provider.journal import Journal, segments
from tastytrade_provider.journal.sessions import SessionWriter, load_history, load_session, session_info
from tastytrade_provider.model import COLUMNS, Bar, Contract, Gap, TradeBatch
from tastytrade_provider.provider import Subscription
from tastytrade_provider.registry import create_provider
from tastytrade_provider.replay import ReplayProvider, compact
from tastytrade_provider.tastytrade import trades
from tastytrade_provider.tastytrade.history import History
from tastytrade_provider.tastytrade.mapping import TradeDecoder
from tests.checks import journals
from tests.checks.builders import ES, a_batch, opening
from tests.checks.journals import ROOT, a_message, recorded_until_killed, write
from tests.checks.providers import gather
from tests.checks.recordings import played, record
from tests.checks.sources import LIMIT_S, a_tape, excerpt, until
from tests.checks.terminal import runner

NQ = Contract("NQ", "/NQZ6", "/NQZ26:XCME", "XCME", tick_size=0.25, multiplier=20)
ODD = Oddities(nan_quote=0.05, invalid_tick=0.05, spread_leg=0.05, fractional=0.02, correction=0.05, cancel=0.05)


@pytest.fixture(autouse=True)
def truth_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def assert_same(items: Sequence[Any], expected: Sequence[Any]) -> None:
    """Item by item, column by column, bit by bit."""
    assert [type(item).__name__ for item in items] == [type(item).__name__ for item in expected]
    for item, other in zip(items, expected, strict=True):
        if isinstance(item, TradeBatch):
            assert item.contract == other.contract
            for name in COLUMNS:
                assert item.columns[name].dtype == other.columns[name].dtype
                np.testing.assert_array_equal(
                    item.columns[name].view(f"u{item.columns[name].itemsize}"), other.columns[name].view(f"u{item.columns[name].itemsize}"), name
                )
        else:
            assert item == other


def of(contract: Contract, items: Sequence[Any]) -> TradeBatch:
    return TradeBatch.concat([item for item in items if isinstance(item, TradeBatch) and item.contract == contract])


def decoded(numbers: range, rows: int = 1) -> TradeBatch:
    """What the decoder makes of messages that were never interrupted."""
    decoder = TradeDecoder()
    decoder.watch(ES)
    [batch] = decoder.decode([a_message(number, rows) for number in numbers], list(numbers), lambda name: journals.COLUMNS[name])
    return batch


# -- the same as live


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_replay_hands_over_what_the_live_feed_did_bit_by_bit(tmp_path: Path, seed: int) -> None:
    live, provider = await record(excerpt(4000, seed=seed, oddities=ODD), tmp_path / "journal")
    replay = ReplayProvider(tmp_path / "journal", "max")
    again = await played(replay)
    assert_same(again, live)
    assert len(live) > 10
    then, now = provider.status(), replay.status()
    for name in ("trades", "corrections", "cancels", "excluded", "duplicates", "orphans", "rejected", "off_tick", "off_step", "sides", "delta_source"):
        assert getattr(now, name) == getattr(then, name), name
    assert then.corrections > 0
    assert then.excluded["invalid_tick"] > 0
    assert_same(await played(replay), live)  # and once more


async def test_other_rules_can_be_tried_on_the_same_recording(tmp_path: Path) -> None:
    source = excerpt(2000, oddities=ODD)
    await record(source, tmp_path / "journal")
    replay = ReplayProvider(tmp_path / "journal", "max", rules={"invalid_ticks": "include", "spread_legs": "include"})
    items = await played(replay)
    assert replay.status().excluded == {"invalid_tick": 0, "spread_leg": 0}
    assert sum(map(len, items)) == len(source.prints())


async def test_neither_token_nor_user_is_on_disk_after_a_recording(tmp_path: Path) -> None:
    _, provider = await record(excerpt(500), tmp_path / "journal")
    rest = provider.emulator.rest
    secrets = [CLIENT_SECRET, REFRESH_TOKEN, *rest.access_tokens.until_s, *rest.quote_tokens.until_s, "userId", '"AUTH', "SETUP", "token"]
    files = [path.read_bytes() for path in (tmp_path / "journal").rglob("*") if path.is_file()]
    assert sum(map(len, files)) > 10_000
    assert [secret for secret in secrets if any(secret.encode() in data for data in files)] == []


async def test_a_message_that_cannot_be_read_is_recorded_and_rejected_as_it_was_live(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES)
    bad = a_message(1).replace(b'"NEW"', b'"NOVEL"')
    for message in (a_message(0), bad, a_message(2)):
        journal.append([message], [5], journals.COLUMNS)
    journal.close()
    replay = ReplayProvider(tmp_path, "max")
    items = await played(replay)
    assert sum(map(len, items)) == 2
    assert replay.status().rejected == 1
    assert "NOVEL" in replay.status().rejects[0]


# -- gaps and restarts


async def test_a_gap_told_before_the_trades_of_a_read_is_handed_over_before_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES)
    journal.append([a_message(0)], [1], journals.COLUMNS)
    journal.append([a_message(9)], [2], journals.COLUMNS)
    first, second = Gap(ES, 10, 20, "connection lost"), Gap(ES, 30, 40, "connection lost", filled=True)
    journal.append_gap(first, before_read=True)
    journal.append_gap(second)
    journal.close()
    items = await played(ReplayProvider(tmp_path, "max"))
    assert [type(item).__name__ for item in items] == ["TradeBatch", "Gap", "TradeBatch", "Gap"]
    assert (items[1], items[3]) == (first, second)


async def no_history(*_: Any) -> Any:
    """A server that does not answer a request for past trades."""
    raise RequestTimeout("no answer")


@pytest.mark.parametrize("is_refilled", [False, True])
async def test_a_connection_lost_while_recording_is_replayed_to_the_same_bars(tmp_path: Path, is_refilled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_refilled:
        monkeypatch.setattr(History, "refill", no_history)
        monkeypatch.setattr(trades, "_REFILL_S", 1.0)
    config = {"data_provider": "tastytrade", "tastytrade": {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}}
    config["journal"] = {"enabled": True, "path": str(tmp_path / "journal")}
    live: list[Any] = []
    async with Emulator(excerpt(6000, is_endless=True, roots=("ES",)), speed="max") as emulator:
        config["tastytrade"]["api_url"] = emulator.api_url  # type: ignore[index]
        async with create_provider(config) as provider:
            subscription = provider.subscribe_trades(await provider.resolve("ES")).on(live.append)
            await until(lambda: len(live) > 3, "no trade comes")
            for visitor in emulator.visitors:
                visitor.close(1001, "restart")
            await until(lambda: provider.status().gaps and isinstance(live[-1], TradeBatch), "no gap is told")
            count, ending = len(live), asyncio.create_task(emulator.wait_finished())
            await until(lambda: len(live) > count or ending.done(), "no trade follows")
            ending.cancel()
        assert subscription.has_ended
    assert [(item.reason, item.filled) for item in live if isinstance(item, Gap)] == [("connection lost", is_refilled)]
    again = await played(ReplayProvider(tmp_path / "journal", "max"))
    # not item by item: the journal holds messages as they arrived, and live some of them waited for what was fetched
    assert bars_of(again) == bars_of(live)


def bars_of(items: Sequence[Any]) -> tuple[dict[int, Any], Any]:
    """The latest of each bar, and CVD, that the items of a subscription make."""
    builder, bars = BarBuilder(items[0].contract, "5s"), dict[int, Any]()
    for item in items:
        closed = builder.add(item) if isinstance(item, TradeBatch) else builder.add_gap(item) if isinstance(item, Gap) else []
        bars |= {bar.start_ns: replace(bar, revision=0) for bar in closed}
    return bars, builder.cvd


async def test_between_one_recording_and_the_next_there_is_a_gap(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    write(tmp_path, range(8, 10))
    replay = ReplayProvider(tmp_path, "max")
    items = await played(replay)
    [gap] = [item for item in items if isinstance(item, Gap)]
    before, after = decoded(range(5)), decoded(range(8, 9))
    assert gap == Gap(ES, int(before.time_ns[-1]), int(after.time_ns[0]) + 1, "recording stopped")
    assert items.index(gap) == 5
    assert replay.status().gaps == (gap,)


def states(builder: BarBuilder) -> list[Any]:
    forming = builder.forming
    assert forming is not None
    frame = builder.footprint(forming).to_dataframe()
    return [builder.cvd, replace(forming, revision=0), frame.to_dict()]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_after_a_kill_the_journal_and_a_backfill_give_the_state_of_an_uninterrupted_run(tmp_path: Path, seed: int) -> None:
    told = recorded_until_killed(tmp_path, 0, 0.01 * seed)
    recorded = decoded(range(told))
    rest = decoded(range(max(0, told - 3), told + 200))  # the backfill overlaps what is in the journal
    restarted, last_ns = BarBuilder(ES, "1m"), 0
    for item in await played(ReplayProvider(tmp_path, "max")):
        assert isinstance(item, TradeBatch)
        restarted.add(item)
        last_ns = int(item.time_ns[-1])
    assert last_ns >= recorded.time_ns[-1]
    restarted.add(rest)
    uninterrupted = BarBuilder(ES, "1m")
    uninterrupted.add(decoded(range(told + 200)))
    assert states(restarted) == states(uninterrupted)
    assert restarted.cvd.value != 0


async def test_a_backfill_recorded_after_the_restart_is_met_once_and_its_filled_gap_makes_bars_complete(tmp_path: Path) -> None:
    write(tmp_path, range(50))
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES)
    overlapping = decoded(range(40, 80))
    for number in range(40, 100):
        journal.append([a_message(number)], [number], journals.COLUMNS)
    journal.append_gap(Gap(ES, int(overlapping.time_ns[0]), int(overlapping.time_ns[-1]), "recording stopped", filled=True))
    journal.close()
    replay, builder, whole = ReplayProvider(tmp_path, "max"), BarBuilder(ES, "1m"), BarBuilder(ES, "1m")
    for item in await played(replay):
        builder.add_gap(item) if isinstance(item, Gap) else builder.add(item)
    whole.add(decoded(range(100)))
    assert replay.status().duplicates == 10
    assert states(builder) == states(whole)
    assert builder.forming is not None
    assert builder.forming.complete


# -- the clock


@pytest.mark.parametrize(("speed", "expected"), [(1.0, [1.0, 0.5]), (4.0, [0.25, 0.125])])
async def test_the_recorded_pace_is_kept_n_times_as_fast(tmp_path: Path, speed: float, expected: list[float]) -> None:
    stamps = iter([0, 5_000_000_000, 6_000_000_000, 6_500_000_000])
    journal = Journal(tmp_path, monotonic_ns=lambda: next(stamps))
    journal.open()
    journal.watch(ES)
    for number in range(3):
        journal.append([a_message(2 * number), a_message(2 * number + 1)], [number, number], journals.COLUMNS)
    journal.close()
    now, slept, seen = [100.0], list[float](), list[tuple[float, int]]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    replay = ReplayProvider(tmp_path, speed, clock=lambda: now[0], sleep=sleep)
    async with replay:
        subscription = replay.subscribe_trades(await replay.resolve("ES")).on(lambda item: seen.append((now[0], len(item))))
        await subscription.ended()
    assert slept == pytest.approx(expected)
    assert seen == [(pytest.approx(100.0 + sum(expected[:i])), 2) for i in range(3)]


async def test_a_pause_made_while_the_recording_is_silent_holds_what_follows_until_it_goes_on(tmp_path: Path) -> None:
    stamps = iter([0, 1_000_000_000, 61_000_000_000])
    journal = Journal(tmp_path, monotonic_ns=lambda: next(stamps))
    journal.open()
    journal.watch(ES)
    for number in (0, 400):  # recorded a minute apart
        journal.append([a_message(number)], [number], journals.COLUMNS)
    journal.close()
    async with ReplayProvider(tmp_path) as replay:
        subscription = replay.subscribe_trades(ES)
        await until(lambda: subscription.stats.waiting == 1, "no trade comes")
        replay.playback.pause()
        replay.playback.set_speed("max")
        for _ in range(100):
            await asyncio.sleep(0)
        assert subscription.stats.waiting == 1
        replay.playback.resume()
        assert of(ES, await gather(subscription)).index.tolist() == [decoded(range(number, number + 1)).index[0] for number in (0, 400)]


async def test_a_slow_consumer_makes_the_recording_wait_and_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path, range(300))
    async with ReplayProvider(tmp_path, "max") as replay:
        subscription = replay.subscribe_trades(ES)
        subscription.capacity = 10
        await until(lambda: subscription.is_full, "nothing comes")
        for _ in range(50):
            await asyncio.sleep(0)
        assert subscription.stats.waiting == 10
        items = await gather(subscription)
    assert of(ES, items).index.tolist() == decoded(range(300)).index.tolist()


# -- as a provider


async def recorded_two(folder: Path) -> None:
    journal = Journal(folder)
    journal.open()
    for contract in (replace(ES, symbol="/ESH7", streamer_symbol="/ESH27:XCME"), ES, NQ):
        journal.watch(contract)
    journal.append([a_message(0)], [0], journals.COLUMNS)
    journal.close()


async def test_a_symbol_names_a_recorded_contract(tmp_path: Path) -> None:
    await recorded_two(tmp_path)
    async with ReplayProvider(tmp_path) as replay:
        assert [await replay.resolve(symbol) for symbol in ("NQ", "/NQZ6", "nqz26", "/NQZ26:XCME", " NQZ6 ")] == [NQ] * 5
        assert (await replay.resolve("ESH7")).streamer_symbol == "/ESH27:XCME"
        with pytest.raises(AmbiguousContract, match="/ESH27:XCME"):
            await replay.resolve("ES")  # two months, and no expiry to choose by
        with pytest.raises(UnknownContract, match="recorded: /ESH7, /ESZ6, /NQZ6"):
            await replay.resolve("CL")


async def test_history_is_what_was_played_and_never_beyond_the_clock(tmp_path: Path) -> None:
    write(tmp_path, range(100), rows=20)  # twenty trades a second, from 14:30 on
    every = decoded(range(100), 20)
    async with ReplayProvider(tmp_path, "max", start="end") as replay:
        whole = await replay.historical_trades(ES, "2026-01-01T00:00Z")
        assert whole.index.tolist() == every.index.tolist()
        assert replay.begins_in_doubt(ES)  # the recording begins with 14:30
        assert len(await replay.historical_trades(ES, "2026-11-24T14:30:00Z")) == 2000
        assert not replay.begins_in_doubt(ES)
        assert len(await replay.historical_trades(ES)) == 2000
        assert replay.begins_in_doubt(ES)  # in the middle of its session
        cut = await replay.historical_trades(ES, "2026-11-24T14:30:10Z", "2026-11-24T14:30:20Z")
        assert len(cut) == 10 * 20
        bars = await replay.historical_bars(ES, "1m", "2026-11-24T14:31:00Z", hours="rth")
        assert bars["trades"].tolist() == [800]
        assert (await replay.historical_bars(ES, "1m"))["trades"].tolist() == [1200, 800]
        assert [await replay.earliest(ES, timeframe) for timeframe in ("1m", "1d")] == [pd.Timestamp("2026-11-24T14:30Z"), pd.Timestamp("2026-11-23T23:00Z")]
        with pytest.raises(UsageError, match="zone"):
            await replay.historical_trades(ES, "2026-01-01")
    async with ReplayProvider(tmp_path, "max", start="2026-11-24T14:30:30Z") as replay:
        past = await replay.historical_trades(ES, "2026-01-01T00:00Z", "2026-12-01T00:00Z")
        assert past.index.tolist() == every.index[: 30 * 20].tolist()
        assert (await replay.historical_bars(ES, "1m"))["trades"].tolist() == [600]
        with pytest.raises(NoData, match=r"played so far go from 2026-11-24T14:30:00Z"):
            await replay.historical_bars(ES, "1m", "2026-11-24T14:31:00Z", "2026-11-24T14:32:00Z")
        items = await gather(replay.subscribe_trades(ES))
        assert of(ES, items).index.tolist() == every.index[30 * 20 :].tolist()
        assert len(await replay.historical_trades(ES, "2026-01-01T00:00Z")) == 2000
    async with ReplayProvider(tmp_path, "max") as replay:
        for nothing in (replay.historical_bars(ES), replay.historical_bars(ES, "1m", "2026-11-24T14:30:00Z"), replay.earliest(ES)):
            with pytest.raises(NoData, match="played yet"):
                await nothing


@pytest.mark.parametrize(
    ("timeframe", "start", "end", "hours", "is_cut"),
    [
        ("1m", None, None, "eth", True),  # the session opened at 23:00
        ("1m", "2026-11-23T12:00Z", "2026-11-25T00:00Z", "eth", True),
        ("1m", "2026-11-24T14:29:00Z", None, "eth", True),
        ("1m", "2026-11-24T14:29:30Z", None, "eth", False),  # half a minute that nobody may have traded in
        ("1m", "2026-11-24T14:30:00Z", None, "eth", False),
        ("1m", "2026-11-24T14:31:00Z", None, "eth", False),
        ("1m", None, None, "rth", False),  # regular hours and the recording begin at 14:30
        ("1m", "2026-11-23T20:00Z", None, "rth", True),  # an hour of the day before
        ("1d", None, None, "eth", False),  # the day's bar is there, and not complete
        ("1d", "2026-11-20T12:00Z", None, "eth", True),
        ("133t", "2026-11-24T14:30:00Z", None, "eth", False),
        ("133t", "2026-11-24T14:00:00Z", None, "eth", True),
        ("1m", "2026-11-21T00:00Z", "2026-11-22T12:00Z", "eth", False),  # a weekend: nothing is there, and nothing is missing
    ],
)
async def test_bars_say_whether_the_recording_began_too_late_for_the_start_that_was_asked_for(
    tmp_path: Path, timeframe: str, start: str | None, end: str | None, hours: str, is_cut: bool
) -> None:
    write(tmp_path, range(100), rows=20)  # Tuesday from 14:30 on
    async with ReplayProvider(tmp_path, "max", start="end") as replay:
        frame = await replay.historical_bars(ES, timeframe, start, end, hours=hours)
    assert frame.attrs["start_was_cut"] is is_cut


async def test_a_tape_that_begins_with_its_session_has_all_of_it_and_nothing_of_the_day_before(tmp_path: Path) -> None:
    rows = "1703545230000000000,4800.25,2,BUY,4800,4800.25\n1703545400000000000,4800.25,2,BUY,4800,4800.25"  # half a minute after 17:00 Chicago
    async with ReplayProvider(a_tape(tmp_path / "ESH4.csv", rows), "max", start="end") as replay:
        es = replay.recorded[0]
        frames = [await replay.historical_bars(es, "1m", start) for start in (None, "2023-12-25T23:00:00Z", "2023-12-22T20:00:00Z")]
    assert [frame.attrs["start_was_cut"] for frame in frames] == [False, False, True]


async def test_a_start_behind_the_end_of_the_recording_is_told_since_nothing_is_played(tmp_path: Path) -> None:
    write(tmp_path, range(100), rows=20)
    async with ReplayProvider(tmp_path, "max", start="2026-11-25T00:00:00Z") as replay:
        assert await gather(replay.subscribe_trades(ES)) == []
        assert replay.status().notes == ("nothing is played: the recording ends with 2026-11-24T14:31:39Z, and was to be played from 2026-11-25T00:00:00Z on",)
        replay.seek("2026-11-24T14:31:00Z")
        await replay.disconnect()
        await replay.connect()
        assert replay.status().notes == ()


@pytest.mark.parametrize("timeframe", ["1m", "1h", "1w", "133t", "8r"])
async def test_bars_before_and_after_the_place_where_one_listens_are_those_of_all_trades(tmp_path: Path, timeframe: str) -> None:
    write(tmp_path, range(500), rows=8)  # eight trades a message, 200 s in all
    every = decoded(range(500), 8)
    expected = [(bar.start_ns, bar.volume, bar.delta, bar.bar_no) for bar in BarBuilder(ES, timeframe).add(every)]
    async with ReplayProvider(tmp_path, "max", start="2026-11-24T14:31:17Z") as replay:
        whole = replay.subscribe_bars(ES, timeframe, backfill=dt.timedelta(minutes=30))
        rest = replay.subscribe_bars(ES, timeframe)
        items, later = await gather(whole), await gather(rest)
    assert [(bar.start_ns, bar.volume, bar.delta, bar.bar_no) for bar in items if isinstance(bar, Bar)] == expected
    running = max((start for start, *_ in expected if start <= every.time_ns[77 * 20]), default=0)
    assert [(bar.start_ns, bar.volume, bar.delta, bar.bar_no) for bar in later] == [one for one in expected if one[0] >= running]
    # the recording began within the session: of bars that are counted by trades, the first one should have begun earlier
    assert [bar.complete for bar in items if isinstance(bar, Bar)] == [timeframe == "1m" or i > 0 for i in range(len(expected))]
    told = [item for item in items if isinstance(item, Gap)]
    assert {gap.reason for gap in told} <= {"no history", "recording began"}


async def test_a_listener_that_comes_in_the_middle_is_told_what_was_played_and_then_what_follows_each_bar_once(tmp_path: Path) -> None:
    write(tmp_path, range(500), rows=8)
    expected = BarBuilder(ES, "5s").add(decoded(range(500), 8))
    late: list[Subscription[Any]] = []
    async with ReplayProvider(tmp_path, "max") as replay:

        def count(item: TradeBatch) -> None:
            seen.append(len(item))
            if len(seen) in (1, 77, 300):
                late.append(replay.subscribe_bars(ES, "5s", backfill=dt.timedelta(hours=1)))

        seen: list[int] = []
        trades = replay.subscribe_trades(ES).on(count)
        first = replay.subscribe_bars(ES, "5s")
        await trades.ended()
        assert [bar.start_ns for bar in await gather(first)] == [bar.start_ns for bar in expected]
        for one in late:
            bars = [item for item in await gather(one) if isinstance(item, Bar)]
            assert [replace(bar, complete=True) for bar in bars] == expected
    assert len(late) == 3


async def test_a_bar_closes_in_a_pause_of_the_recording_by_its_clock(tmp_path: Path) -> None:
    stamps = iter([0, 1_000_000_000, 21_000_000_000])
    journal = Journal(tmp_path, monotonic_ns=lambda: next(stamps))
    journal.open()
    journal.watch(ES)
    for number in (0, 400):  # twenty seconds apart
        journal.append([a_message(number)], [number], journals.COLUMNS)
    journal.close()
    now, closed = [0.0], list[float]()

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        await asyncio.sleep(0)

    async with ReplayProvider(tmp_path, clock=lambda: now[0], sleep=sleep) as replay:
        await replay.subscribe_bars(ES, "5s").on(lambda bar: closed.append(now[0])).ended()
    assert closed == [5.5]  # half a second late, for stragglers


async def test_gaps_of_the_recording_are_in_its_bars(tmp_path: Path) -> None:
    write(tmp_path, range(120), rows=2)
    write(tmp_path, range(140, 300), rows=2)
    every = TradeBatch.concat([decoded(range(120), 2), decoded(range(140, 300), 2)])
    async with ReplayProvider(tmp_path, "max") as replay:
        items = await gather(replay.subscribe_bars(ES, "5s"))
    [gap] = [item for item in items if isinstance(item, Gap)]
    assert gap.reason == "recording stopped"
    live = {bar.start_ns: bar for bar in items if isinstance(bar, Bar)}
    async with ReplayProvider(tmp_path, "max", start="end") as replay:
        frame = await replay.historical_bars(ES, "5s")
    assert frame["trades"].sum() == len(every)
    assert frame["complete"].tolist() == [True, True, False, True, True, True]  # the gap is from second 11.95 to second 14
    assert [live[at].complete for at in live] == frame["complete"].tolist()[: len(live)]


async def test_quotes_are_those_that_prints_carry_and_of_a_tape_those_it_has(tmp_path: Path) -> None:
    write(tmp_path / "journal", range(3))
    async with ReplayProvider(tmp_path / "journal", "max") as replay:
        quotes = await gather(replay.subscribe_quotes(ES))
    every = decoded(range(3))
    assert [(quote.time_ns, quote.bid, quote.ask, quote.bid_size) for quote in quotes] == [
        (at, bid, ask, None) for at, bid, ask in zip(every.time_ns.tolist(), every.bid.tolist(), every.ask.tolist(), strict=True)
    ]
    rows = """
        1703545200000000000, , , , 4800.00, 4800.25, 7, 9, Q
        1703545200000000500, 4800.25, 2, BUY, , , , , T
        1703545200005000000, , , , 4800.25, , 3, , Q
    """
    tape = a_tape(tmp_path / "ESH4.csv", rows, header="time_ns,price,size,side,bid,ask,bidsz,asksz,kind")
    async with ReplayProvider(tape, "max") as replay:
        contract = replay.recorded[0]
        trades = replay.subscribe_trades(contract)
        quotes = await gather(replay.subscribe_quotes(contract))
        assert [len(item) for item in await gather(trades)] == [1]
    assert [(quote.bid, quote.ask, quote.bid_size, quote.ask_size) for quote in quotes] == [(4800.0, 4800.25, 7.0, 9.0), (4800.25, None, 3.0, None)]
    bare = a_tape(tmp_path / "NQH4.csv", "1703545200000000500, 4800.25, 2, BUY", header="time_ns,price,size,side")
    replay = ReplayProvider(bare, "max")
    early = replay.subscribe_quotes(contract)
    async with replay:
        with pytest.raises(NotSupported, match="there are none in the recording"):
            replay.subscribe_quotes(contract)
        with pytest.raises(NotSupported):
            await early.ready()


async def test_bars_of_a_tape_are_those_that_the_demo_gives_of_it(tmp_path: Path) -> None:
    rows = "\n".join(f"{1703545200000000000 + i * 7_000_123},{4800 + i % 5 * 0.25},{i % 3 + 1},{('BUY', 'SELL')[i % 2]},4800,4801" for i in range(5000))
    tape = a_tape(tmp_path / "ESH4.csv", rows)
    items: list[list[Any]] = []
    async with ReplayProvider(tape, "max") as replay:
        items.append(await gather(replay.subscribe_bars(replay.recorded[0], "5s")))
    source = load_tape(tape)
    async with DemoProvider(source, speed=20.0) as demo:
        subscription = demo.subscribe_bars(await demo.resolve(source.contract.symbol), "5s")
        async with asyncio.timeout(LIMIT_S):
            items.append(await gather(subscription))
    assert items[0] == items[1]
    assert len(items[0]) == 6


async def test_damage_in_the_middle_ends_the_replay_with_an_error_after_what_is_good(tmp_path: Path) -> None:
    write(tmp_path, range(10))
    [segment] = segments(tmp_path)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    items: list[Any] = []
    async with ReplayProvider(tmp_path, "max") as replay:
        with pytest.raises(JournalDamaged, match=segment.name):
            items.extend([item async for item in replay.subscribe_trades(ES)])


async def test_a_torn_tail_is_told(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    with segments(tmp_path)[0].open("ab") as file:
        file.write(bytes(11))
    replay = ReplayProvider(tmp_path, "max")
    assert len(await played(replay)) == 3
    assert "last 11 bytes" in replay.status().notes[0]


@pytest.mark.parametrize(
    ("settings", "error", "said"), [({}, ConfigError, "replay.path is missing"), ({"path": "/no/such/thing"}, UsageError, "nothing to replay")]
)
async def test_a_recording_that_is_not_there_is_told(settings: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        await create_provider({"data_provider": "replay", "replay": settings}).connect()


# -- a tape


async def test_a_tape_replayed_directly_gives_the_trades_that_the_demo_gives_of_it(tmp_path: Path) -> None:
    rows = [
        f"{1703545200000000000 + i * 7_000_123},{4800 + i % 5 * 0.25},{i % 3 + 1},{('BUY', 'SELL', '')[i % 3]},{4800 + i % 4 * 0.25},4801" for i in range(500)
    ]
    path = tmp_path / "ESH4.csv"
    path.write_text("\n".join(["time_ns,price,size,side,bid,ask", *rows]) + "\n")
    live, _ = await record(load_tape(path), tmp_path / "journal")
    direct = await played(ReplayProvider(path, "max"))
    one, other = (TradeBatch.concat(items) for items in (live, direct))
    for name in set(COLUMNS) - {"received_ns"}:
        np.testing.assert_array_equal(one.columns[name], other.columns[name], name)


# -- session files


async def compacted(tmp_path: Path, count: int = 3000) -> tuple[list[Any], dict[Contract, Path]]:
    live, _ = await record(excerpt(count, oddities=ODD), tmp_path / "journal")
    made = compact(tmp_path / "journal")
    assert [one.outcome for one in made] == ["written", "written"]
    return live, {one.contract: one.path for one in made}


async def test_a_session_file_holds_what_was_handed_over_bit_by_bit(tmp_path: Path) -> None:
    live, files = await compacted(tmp_path)
    assert len(files) == 2
    for contract, path in files.items():
        expected = of(contract, live)
        assert_same([load_session(path)], [expected])
        info = session_info(path)
        assert info is not None
        assert (info.rows, info.session, info.contract) == (len(expected), path.stem, contract)
        assert np.isnan(expected.bid).any()
        assert expected.action.any()
    assert list((tmp_path / "journal" / "sessions").rglob("*.tmp")) == []


async def test_history_of_a_session_file_is_that_of_its_trades(tmp_path: Path) -> None:
    live, files = await compacted(tmp_path)
    for contract, path in files.items():
        for timeframe in ("5s", "50t", "8r"):
            made, expected = load_history(path, timeframe), build_history(of(contract, live), timeframe, contract)
            np.testing.assert_array_equal(made.rows, expected.rows)
            np.testing.assert_array_equal(made.cells, expected.cells)
            np.testing.assert_array_equal(made.cvd(), expected.cvd())


def sessions_of(folder: Path, monkeypatch: pytest.MonkeyPatch, days: int = 3, rows: int = 64) -> tuple[list[Path], TradeBatch]:
    """Session files of plain trades, each of several row groups."""
    monkeypatch.setattr("tastytrade_provider.journal.sessions.ROWS", rows)
    rng, paths, batches = np.random.default_rng(7), [], []
    for day in range(days):
        n, side = 500 + day, rng.integers(-1, 2, 500 + day)
        batch = a_batch(
            time_ns=opening() + day * 86_400 * 10**9 + np.sort(rng.integers(0, 3 * 3600 * 10**9, n)),
            price=6000 + np.cumsum(rng.integers(-1, 2, n)) / 4, size=rng.integers(1, 9, n).astype(float), side=side,
            side_source=np.where(side == 0, 3, rng.integers(0, 3, n) * (day == 1)), index=np.arange(n) + 1000 * day, bid=np.nan, ask=6001.0,
        )  # fmt: skip
        writer = SessionWriter(folder / f"{day}.parquet", ES, f"2026-11-{23 + day}")
        for start in range(0, n, 37):
            writer.add(batch[start : start + 37])
        info = writer.close()
        assert info.is_plain
        assert info.is_flagged == (day != 1)  # one day's sides were told in part by quotes and ticks
        assert info.rows == n
        paths.append(writer.path)
        batches.append(batch)
    return paths, TradeBatch.concat(batches)


@pytest.mark.parametrize("timeframe", ["1m", "1h", "1d", "133t", "100v", "6r"])
def test_files_read_row_group_by_row_group_give_the_bars_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeframe: str) -> None:
    paths, trades = sessions_of(tmp_path, monkeypatch)
    made, expected = load_history(paths, timeframe), build_history(trades, timeframe, ES)
    for name in ("rows", "cells", "label", "segment"):
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name), name)
    assert_same([TradeBatch.concat([load_session(path) for path in paths])], [trades])


def test_compacting_again_changes_nothing_and_never_replaces_what_pruned_segments_gave(tmp_path: Path) -> None:
    write(tmp_path, range(20))
    write(tmp_path, range(20, 40))
    first, second = segments(tmp_path)
    [made] = compact(tmp_path)
    assert (made.outcome, made.rows, made.session) == ("written", 40, "2026-11-24")
    assert [one.outcome for one in compact(tmp_path)] == ["current"]
    kept = made.path.read_bytes()
    first.unlink()
    assert [(one.outcome, one.rows) for one in compact(tmp_path)] == [("kept", 40)]
    assert made.path.read_bytes() == kept
    assert second.exists()


def test_what_is_still_being_recorded_is_left_for_later(tmp_path: Path) -> None:
    write(tmp_path, range(20))
    journal = Journal(tmp_path)
    journal.open()
    assert [one.outcome for one in compact(tmp_path)] == ["open"]
    assert list(tmp_path.rglob("*.parquet*")) == []
    journal.close()
    assert [one.outcome for one in compact(tmp_path)] == ["written"]


def test_a_correction_lies_in_the_session_of_the_trade_it_corrects(tmp_path: Path) -> None:
    day = 86_400_000
    old = a_message(0)
    ms = 1_795_530_600_000
    late = old.replace(f",{ms},".encode(), f",{ms + day},".encode()).replace(b'"NEW"', b'"CORRECTION"').replace(b"false,false", b"false,true")
    index = (ms // 1000) << 32 | (ms % 1000) << 22
    assert str(index).encode() in late
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES)
    journal.append([old, late], [1, 2], journals.COLUMNS)
    journal.close()
    [made] = compact(tmp_path)
    assert (made.session, made.rows) == ("2026-11-24", 2)
    assert load_session(made.path).action.tolist() == [0, 1]


async def test_session_files_can_be_replayed(tmp_path: Path) -> None:
    live, files = await compacted(tmp_path, 1000)
    again = await played(ReplayProvider(tmp_path / "journal" / "sessions", "max"))
    received = [int(item.received_ns[0]) for item in again]
    assert received == sorted(received)
    for contract in files:
        assert_same([of(contract, again)], [of(contract, live)])


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, range(3))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"tastytrade-provider\[store\]"):
        compact(tmp_path)


# -- the command line


def test_the_command_line_records_verifies_compacts_and_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run, journal, config = runner(capsys, monkeypatch), tmp_path / "journal", tmp_path / "config.yaml"
    config.write_text("data_provider: demo\nsymbols: [ES]\ndemo: {speed: 20}\n")
    command = [sys.executable, "-m", "tastytrade_provider", "record", "--seconds", "1", "--path", str(journal), "--config", str(config)]
    recorded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert recorded.returncode == 0, recorded.stderr
    assert run("journal", "verify", journal).code == 0
    assert run("journal", "info", journal, "--json").json["segments"][0]["records"]["data"] > 0
    made = run("journal", "compact", journal, "--json").json
    assert run("replay", journal, "--speed", "max", "--json").json["trades"] == sum(one["rows"] for one in made) > 0
    [segment] = segments(journal)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    for verb in ("verify", "info", "compact"):
        damaged = run("journal", verb, journal)
        assert damaged.code == 1
        assert segment.name in damaged.err
    assert run("replay", journal, "--speed", "max", "--json").code == 2


async def test_the_configuration_names_from_when_on_to_play(tmp_path: Path) -> None:
    write(tmp_path, range(100), rows=20)
    settings = {"data_provider": "replay", "replay": {"path": str(tmp_path), "speed": "max", "start": "2026-11-24T09:30:30-05:00"}}
    async with create_provider(settings) as replay:
        assert len(await replay.historical_trades(ES, "2026-11-24T14:30:00Z")) == 30 * 20
        assert sum(map(len, await gather(replay.subscribe_trades(ES)))) == 70 * 20


def test_the_command_plays_from_the_configured_start_unless_it_is_given_another_recording(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "journal", range(100), rows=20)
    (tmp_path / "config.yaml").write_text(f"replay: {{path: {tmp_path / 'journal'}, speed: max, start: 2026-11-24T14:30:30Z}}\n")
    run = runner(capsys, monkeypatch)
    words = ("--config", tmp_path / "config.yaml", "--json")
    assert [run("replay", *path, *words).json["trades"] for path in ((), (tmp_path / "journal",))] == [70 * 20, 100 * 20]
