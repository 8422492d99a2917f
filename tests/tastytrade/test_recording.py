"""A feed and its journal: after a kill both together give the state of an uninterrupted run; where they do not meet, that is told."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.bars import BarBuilder
from tastytrade_provider.emulator import Emulator, Market, Wire
from tastytrade_provider.errors import ConnectionLost, NoData, UnsupportedTimeframe, UsageError
from tastytrade_provider.journal import Journal, contexts, segments, verify
from tastytrade_provider.model import Gap, TradeBatch
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.checks.journals import ROOT
from tests.checks.sources import LIMIT_S, Excerpt, until
from tests.test_providers import login

S = 10**9
CLOSE_NS = 1_772_488_800_000_000_000  # Monday 2026-03-02 16:00 Chicago
OPEN_NS = CLOSE_NS + 3600 * S
KILLED, RESTARTED, ENDED = 1500, 1800, 2000  # events
EVENING = Market(seed=3, start_ns=CLOSE_NS - 2 * S, roots=("ES",), prints_per_s=60.0)
"""The last seconds of a session, and the begin of the next one."""


@pytest.fixture(autouse=True)
def _no_files_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@cache
def prints(events: int) -> list[int]:
    """The exchange times of the new session's prints."""
    return [one.time_ns for one in Excerpt(EVENING, events).prints() if one.time_ns >= OPEN_NS]


async def recorded_until_killed(folder: Path, events: int) -> None:
    """A recorder in a process of its own, killed once it was told all that had happened."""
    source = Excerpt(EVENING, events)
    async with Emulator(source, speed="max", start_on=("TimeAndSale",)) as emulator:
        command = (sys.executable, "-m", "tests.checks.recordings", emulator.api_url, str(folder))
        recorder = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        assert recorder.stdout is not None
        try:
            async with asyncio.timeout(2 * LIMIT_S):
                while int(line := await recorder.stdout.readline() or b"-1") != len(source.prints()):
                    assert line, "the recorder ended by itself"
        finally:
            recorder.kill()
            await recorder.wait()


async def followed(emulator: Emulator, **journal: Any) -> tuple[list[Any], Any]:
    """CVD, forming bar and footprint of a follower who comes now and stays until the end; and what was told besides trades."""
    source = Excerpt(EVENING, ENDED)
    async with create_provider(login(emulator) | ({"journal": journal} if journal else {})) as provider:
        provider._wall_ns = lambda: OPEN_NS + 60 * S  # type: ignore[attr-defined]
        es = await provider.resolve("ES")
        builder, told = BarBuilder(es, "1m"), list[Any]()
        newest = [0]

        def add(item: Any) -> None:
            if isinstance(item, TradeBatch):
                builder.add(item[item.time_ns >= OPEN_NS])
                newest[0] = max(newest[0], int(item.time_ns.max()))
            else:
                told.append(item)
                builder.add_gap(item)

        provider.follow_trades(es).on(add)
        await until(lambda: newest[0] == source.prints()[-1].time_ns, "the last trade did not come")
        forming = builder.forming
        assert forming is not None
        return [builder.cvd, replace(forming, revision=0), builder.footprint(forming).to_dataframe().to_dict()], told


def an_exchange(cap: int, *, live_from: int | None = RESTARTED) -> Emulator:
    """The market, gone on while nobody recorded (all of it live where that is None), whose history of trades is no longer than `cap`."""
    at_ns = None if live_from is None else Excerpt(EVENING, live_from).prints()[-1].time_ns
    wire = Wire(history_cap={"TimeAndSale": cap, "Candle": 8000})
    return Emulator(Excerpt(EVENING, ENDED), speed="max", start_on=("TimeAndSale",), live_from_ns=at_ns, wire=wire)


async def test_after_a_kill_the_journal_and_a_short_history_give_the_state_of_an_uninterrupted_run(tmp_path: Path) -> None:
    await recorded_until_killed(tmp_path / "journal", KILLED)
    cap = len(prints(ENDED)) - len(prints(KILLED)) + 20
    assert cap < len(prints(KILLED))
    async with an_exchange(100_000, live_from=None) as emulator:
        uninterrupted, _ = await followed(emulator)
    async with an_exchange(cap) as emulator:
        restarted, told = await followed(emulator, enabled=True, path=str(tmp_path / "journal"))
    assert told == []
    assert restarted == uninterrupted
    assert restarted[0].value != 0
    # what the feed filled stands in the journal now: the next one who starts need not have it from the feed
    async with an_exchange(20, live_from=ENDED) as emulator, create_provider(login(emulator) | journal_at(tmp_path)) as provider:
        es = await provider.resolve("ES")
        last_ns = prints(ENDED)[-1]
        found = await provider.historical_trades(es, iso(OPEN_NS), iso(last_ns + 1))
        assert found.time_ns.tolist() == prints(ENDED)
        bars = await provider.historical_bars(es, "1000v", iso(OPEN_NS), iso(last_ns + 1))
        assert bars["volume"].sum() == found.size.sum()
        assert len(bars) > 1


async def test_a_hole_between_the_journal_and_the_feed_is_told_and_never_joined(tmp_path: Path) -> None:
    await recorded_until_killed(tmp_path / "journal", KILLED)
    unheard = len(prints(RESTARTED)) - len(prints(KILLED))
    async with an_exchange(unheard - 5) as emulator:  # whenever it is asked, the first five are out of its reach
        _, told = await followed(emulator, enabled=True, path=str(tmp_path / "journal"))
        assert [(gap.reason, gap.start_ns) for gap in told if isinstance(gap, Gap)] == [("no history", OPEN_NS)]
    missing = len(prints(ENDED)) - len(prints(KILLED))
    async with an_exchange(missing - 5, live_from=ENDED) as emulator, create_provider(login(emulator) | journal_at(tmp_path)) as provider:
        provider._wall_ns = lambda: prints(ENDED)[-1] + 1  # type: ignore[attr-defined]
        es = await provider.resolve("ES")
        with pytest.raises(NoData, match=r"TastyTrade's and the journal's trades of .* go back to"):
            await provider.historical_trades(es, iso(OPEN_NS))
        with pytest.raises(UnsupportedTimeframe, match="TastyTrade's and the journal's go back to"):
            await provider.historical_bars(es, "8r", iso(OPEN_NS))
        before = await provider.historical_trades(es, iso(OPEN_NS), iso(prints(KILLED)[-10]))  # of what was before the hole, nothing is missing
        assert before.time_ns.tolist() == [at for at in prints(KILLED) if at < prints(KILLED)[-10]]


def journal_at(tmp_path: Path) -> dict[str, Any]:
    return {"journal": {"enabled": True, "path": str(tmp_path / "journal")}}


def iso(time_ns: int) -> str:
    return f"{np.datetime64(time_ns, 'ns')}Z"


async def test_only_who_subscribes_trades_records_and_leaves_no_empty_segment(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with_journal = journal_at(tmp_path)
    async with Emulator(Excerpt(EVENING, 300), speed="max", start_on=("TimeAndSale",)) as emulator:
        other = Journal(folder)
        other.open()
        async with create_provider(login(emulator) | with_journal) as provider:
            es = await provider.resolve("ES")
            refused = provider.subscribe_trades(es)
            with pytest.raises(UsageError, match="another process is recording"):
                await refused.ready()
        other.close()
        assert segments(folder) == []
        async with create_provider(login(emulator) | with_journal) as provider:
            await provider.resolve("ES")
        assert segments(folder) == []
        async with create_provider(login(emulator) | with_journal) as provider:
            got: list[Any] = []
            await provider.subscribe_trades(es).on(got.append).ready()
            await until(lambda: sum(len(item) for item in got) == len(Excerpt(EVENING, 300).prints()), "the trades do not come")
    [report] = verify(folder)
    assert report.records["data"] > 0


async def test_who_listens_while_the_first_try_to_connect_fails_hears_the_second_one_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, items = Excerpt(EVENING, ENDED), list[Any]()
    async with Emulator(source, speed="max", start_on=("TimeAndSale",)) as emulator:
        provider = create_provider(login(emulator) | {"journal": {"enabled": True, "path": str(tmp_path / "journal")}})
        assert isinstance(provider, TastyTradeProvider)

        async def unreachable() -> None:
            raise ConnectionLost("unreachable")

        with monkeypatch.context() as patched:
            patched.setattr(provider._account, "connect", unreachable)
            provider.subscribe_trades(source.contracts[0]).on(items.append)
            with pytest.raises(ConnectionLost):
                await provider.connect()
        async with provider:
            await until(lambda: any(isinstance(item, TradeBatch) for item in items), "nothing came after the second try")
    assert [contract.symbol for contract in contexts(tmp_path / "journal").contracts.values()] == [source.contracts[0].symbol]
