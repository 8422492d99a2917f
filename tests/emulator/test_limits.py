"""What a real login may be: asked for as `emulate --fault` does, and seen by what `probe` and `stream` show of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tastytrade_provider.commands import show
from tastytrade_provider.commands.probe import facts, lines
from tastytrade_provider.emulator import Emulator, Faults, Market, Wire
from tastytrade_provider.emulator.faults import table
from tastytrade_provider.emulator.limits import Limits
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.model import Contract
from tastytrade_provider.tastytrade import probe as shell
from tastytrade_provider.tastytrade import rung, trades, upkeep
from tastytrade_provider.tastytrade.probe import Collector, Report, probe
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tastytrade_provider.watch import Watched
from tests.checks.sources import Excerpt, excerpt, until
from tests.tastytrade.test_provider import a_provider


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rung, "LISTEN_AFTER_S", 0.05)
    monkeypatch.setattr(rung, "FALL_AFTER_S", 0.05)
    monkeypatch.setattr(trades, "_TICK_S", 0.02)
    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def a_login(*faults: str, events: int = 60_000) -> Emulator:
    """An exchange for a login like that; its market is ten times as fast as ours."""
    source = Excerpt(Market(seed=20261122, roots=("ES",), prints_per_s=40.0), events)
    return Emulator(source, speed=10, start_on=("TimeAndSale", "Trade"), faults=faults)


async def probed(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, *arriving: str) -> Report:
    """What `probe` finds, which watches until these event types have come."""
    collectors: list[Collector] = []

    def made(contract: Contract) -> Collector:
        collectors.append(Collector(contract))
        return collectors[0]

    async def watch(subscriptions: object, seconds: float) -> None:
        await until(lambda: all(collectors[0]._tallies[name].rows > 3 * (name != "Profile") for name in arriving), "not all of it arrives")

    monkeypatch.setattr(shell, "Collector", made)
    monkeypatch.setattr(shell, "_watch", watch)
    return await probe(at_its_time(emulator), "ES", 1.0)


def at_its_time(emulator: Emulator) -> TastyTradeProvider:
    """A provider whose clock is the exchange's."""
    provider = a_provider(emulator)
    provider._wall_ns = lambda: emulator.market_ns
    return provider


@asynccontextmanager
async def streamed(emulator: Emulator) -> AsyncIterator[tuple[Watched, TastyTradeProvider]]:
    """What `stream` shows, once there is something."""
    async with at_its_time(emulator) as provider:
        one = Watched(await provider.resolve("ES"), "1m", IndicatorManager())
        provider.subscribe_trades(one.contract).on(one.add)
        await until(lambda: one.trades > 10, "no trades")
        yield one, provider


async def test_a_login_without_time_and_sale_has_a_lesser_delta_and_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_ANSWER_S", 0.1)
    async with a_login("unserved=TimeAndSale") as emulator:
        found = facts(await probed(emulator, monkeypatch, "Quote", "Trade", "Summary", "Profile"))
        async with streamed(emulator) as (one, provider):
            shown = show._health(provider)
    assert [name for name, event in found["events"].items() if not event["arrives"]] == ["TimeAndSale"]
    assert found["time_and_sale_history"] is False
    assert found["exit_code"] == 1
    assert "no TimeAndSale came" in found["reason"]
    assert "the history of TimeAndSale: no answer within 0.1 s" in found["notes"]
    assert one.by_source["exchange"] == 0
    first, *notes = shown.splitlines()
    assert first == "connected, delta from quote_trade; 1 gaps"  # before Trade was listened to, nobody knows
    assert any("no TimeAndSale came while the market traded" in note for note in notes)


async def test_a_login_whose_history_is_cut_has_a_gap_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_login("history_cap=TimeAndSale:1,Candle:1") as emulator:
        found = facts(await probed(emulator, monkeypatch, "TimeAndSale"))
        async with streamed(emulator) as (one, provider):
            for visitor in emulator.visitors:
                visitor.reset()
            await until(lambda: provider.status().gaps and provider.is_connected, "no gap is told")
            shown, gaps = show._health(provider), provider.status().gaps
    assert (found["delta_source"], found["time_and_sale_history"]) == ("time_and_sale", True)
    assert one.by_source["exchange"] > 0
    assert shown.startswith("connected, delta from time_and_sale; 1 reconnects; ")
    assert " gaps" in shown
    assert any(not gap.filled for gap in gaps)


async def test_a_login_of_level_demo_is_shown_as_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_login("level=demo") as emulator:
        assert emulator.dxlink_url.endswith("/delayed")
        report = await probed(emulator, monkeypatch, "TimeAndSale")
        async with streamed(emulator) as (_, provider):
            shown = show._health(provider)
    told = " ".join(lines(report))
    assert facts(report)["token_level"] == "demo"
    assert "demo (DELAYED DATA)" in " ".join(told.split())
    assert "whose data is delayed" in " ".join(told.split())
    assert shown.splitlines()[0] == "connected, delta from time_and_sale; DELAYED DATA (token level demo)"


async def test_a_server_whose_auto_has_no_history_of_candles_is_asked_for_it_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_login("auto_without_history") as emulator:
        found = facts(await probed(emulator, monkeypatch, "TimeAndSale"))
        async with streamed(emulator) as (_, provider):
            shown = show._health(provider)
    assert found["events"]["Candle"]["arrives"]
    assert shown.splitlines()[0] == "connected, delta from time_and_sale; nothing lost"


def test_limits_add_to_what_the_wire_has_and_to_each_other() -> None:
    faults = Faults(["unserved=Trade,Quote", "unserved=Profile", "history_cap=TimeAndSale:7", "level=demo", "auto_without_history"])
    emulator = Emulator(excerpt(events=1), wire=Wire(unserved=frozenset({"Summary"}), history_cap={"TimeAndSale": 50, "Candle": 60}), faults=faults)
    assert emulator.wire.unserved == {"Trade", "Quote", "Profile", "Summary"}
    assert emulator.wire.history_cap == {"TimeAndSale": 7, "Candle": 60}
    assert emulator.wire.auto_without_history
    assert emulator.rest.level == "demo"
    assert Limits().on(Wire()) == Wire()
    assert {"unserved=TYPE[,TYPE...]", "history_cap=TimeAndSale:N|Candle:N[,...]", "level=demo", "auto_without_history"} < set(table().splitlines())
