"""Two providers side by side: like feeds pass, and whatever the shadow does, the primary's program goes on untouched."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.ab import AbProvider
from tastytrade_provider.ab import shadow as shadow_shell
from tastytrade_provider.commands import ab as command
from tastytrade_provider.config import load
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Market
from tastytrade_provider.errors import ConnectionLost, NoData, UsageError
from tastytrade_provider.migration import Result
from tastytrade_provider.model import Gap, TradeBatch
from tests.checks.builders import ES
from tests.checks.shadows import STEP_NS, InMemory, number_now, trades

LIMIT_S = 60.0
"""A process has to start and import; on a busy machine that takes a while."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_shell, "_WARM_S", 0.2)
    monkeypatch.setattr(shadow_shell, "_STATE_EVERY_S", 0.2)


async def wait_for(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110  # what is waited for happens in another process
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(what) from None


def settings_of(shadow: str, **ab: Any) -> Any:
    return load({"data_provider": "ab", "ab": {"primary": "demo", "shadow": f"tests.checks.shadows:{shadow}"} | ab})


@asynccontextmanager
async def beside(shadow: str, **ab: Any) -> AsyncIterator[tuple[InMemory, AbProvider]]:
    """A primary in memory and the shadow of that name."""
    primary = InMemory("primary")
    async with AbProvider(primary, settings_of(shadow, **ab)) as provider:
        yield primary, provider


def prints(results: list[Result]) -> list[int]:
    return next((result.facts["trades"]["prints"] for result in results if "trades" in result.facts), [0, 0])


def value(results: list[Result], name: str) -> float:
    return max((check.value for result in results for check in result.checks if check.name == name), default=0.0)


async def play(primary: InMemory, until: Callable[[], object], what: str) -> None:
    """Play the made-up market on the primary, as time goes by, until something is so."""
    reached = number_now()

    def step() -> object:
        nonlocal reached
        now = number_now()
        if now > reached:
            primary.put(trades(reached, now - reached))
        reached = now
        return until()

    await wait_for(step, what)


# --- the comparison, end to end


def login(emulator: Emulator) -> dict[str, Any]:
    ab = {"primary": "tastytrade", "shadow": "tastytrade"}
    return {"data_provider": "ab", "symbols": ["ES"], "ab": ab, "tastytrade": {"api_url": emulator.api_url}}


async def test_the_program_holds_the_primarys_own_subscription_and_gets_every_trade_once() -> None:
    async with beside("steady") as (primary, provider):
        subscription = provider.subscribe_trades(await provider.resolve("ES"))
        assert subscription is primary.subscriptions[0]
        for number in range(5):
            primary.put(trades(number))
        got = [await anext(subscription) for _ in range(5)]
        assert [item.time_ns.tolist() for item in got if isinstance(item, TradeBatch)] == [[number * STEP_NS] for number in range(5)]
        subscription.cancel()
        await wait_for(lambda: not provider._streams, "a cancelled subscription is still compared")


async def test_what_only_the_shadow_has_is_found_through_the_processes() -> None:
    async with beside("steady", thresholds={"grace_s": 0.5}) as (primary, provider):
        provider.subscribe_trades(await provider.resolve("ES")).on(lambda item: None)
        await play(primary, lambda: min(prints(provider.report())) > 20, "nothing was compared")
        await wait_for(
            lambda: any(check.name == "silence_s" and check.value >= 2 for result in provider.report() for check in result.checks), "silence was not seen"
        )
        [result] = provider.report()
        assert "demo was silent for" in result.check("silence_s").reason


# --- the shadow misbehaves


async def test_a_shadow_that_is_killed_is_told_and_started_again_and_goes_on_comparing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_shell, "_BACKOFF_S", (0.0, 0.0))
    async with beside("steady") as (primary, provider):
        provider.subscribe_trades(await provider.resolve("ES")).on(lambda item: None)
        await play(primary, lambda: min(prints(provider.report())) > 20, "nothing was compared")
        before, pid = prints(provider.report())[1], provider.shadow.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await play(primary, lambda: prints(provider.report())[1] > before + 20, "it did not go on")
        [result] = provider.report()
        assert result.facts["trades"]["prints"][0] == pytest.approx(result.facts["trades"]["prints"][1], abs=result.facts["trades"]["prints"][1] / 2)
        assert "the shadow's process died (signal 9)" in result.facts["health"]["events"][-1]["text"]
        assert result.check("faults").value >= 1
        assert any("died (signal 9)" in note for note in provider.status().notes)


async def test_a_shadow_that_freezes_is_killed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_shell, "_FROZEN_S", 1.5)
    async with beside("freezing") as (primary, provider):
        got: list[Any] = []
        provider.subscribe_trades(await provider.resolve("ES")).on(got.append)
        await play(primary, lambda: any("was frozen" in text for _, text in provider.shadow.faults), "the freeze was not noticed")
        before = len(got)
        await play(primary, lambda: len(got) > before, "the primary's program got no more")


@pytest.mark.parametrize(
    ("name", "said"), [("crashing", "died (exit code 3)"), ("refusing", "AuthenticationFailed: no such user"), ("nowhere", "cannot be loaded")]
)
async def test_a_shadow_that_cannot_run_is_told_and_costs_nothing(name: str, said: str) -> None:
    async with beside(name) as (primary, provider):
        subscription = provider.subscribe_trades(await provider.resolve("ES"))
        await wait_for(lambda: any(said in text for _, text in provider.shadow.faults), f"{list(provider.shadow.faults)}")
        primary.put(trades(1))
        item = await anext(subscription)
        assert isinstance(item, TradeBatch)
        [result] = provider.report()
        assert result.check("faults").verdict != "PASS"


async def test_a_shadow_that_floods_is_bounded_and_the_primary_goes_on() -> None:
    async with beside("flooding") as (primary, provider):
        got: list[Any] = []
        provider.subscribe_trades(await provider.resolve("ES")).on(got.append)
        await wait_for(lambda: provider.shadow.beats, "the shadow did not begin")
        for number in range(2_000):
            primary.put(trades(number))
        assert len(got) == 2_000
        process = provider.shadow._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdin.transport.get_write_buffer_size() < 2 * shadow_shell._UNREAD


async def test_items_the_shadow_does_not_read_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_shell, "_BUFFERED", 100)
    async with beside("steady") as (primary, provider):
        got: list[Any] = []
        provider.subscribe_trades(await provider.resolve("ES")).on(got.append)
        await wait_for(lambda: provider.shadow.pid, "there is no process")
        for number in range(1_000):
            primary.put(trades(number))
        assert (len(got), provider.shadow.dropped) == (1_000, 900)
        [result] = provider.report()
        assert result.check("dropped").value == 900


async def test_the_shadows_process_ends_with_the_provider() -> None:
    async with beside("steady") as (_, provider):
        await wait_for(lambda: provider.shadow.beats or provider.shadow.state, "the shadow did not begin")
        pid = provider.shadow.pid
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- failover


async def test_while_the_primary_is_down_the_shadow_serves_marked_and_hands_back() -> None:
    async with beside("steady", failover_s=0.5) as (primary, provider):
        items: list[Any] = []
        provider.subscribe_trades(await provider.resolve("ES")).on(items.append)
        await play(primary, lambda: provider.shadow.beats.get(1) and len(items) > 20, "the feeds did not begin")
        primary.open = False
        n = len(items)
        await wait_for(lambda: len(items) > n + 20, "the shadow did not serve")
        begin = items[n]
        assert isinstance(begin, Gap)
        assert begin.reason == "failover: steady serves"
        assert (provider.serving, provider.is_connected) == ("steady", True)
        assert "failover: steady serves trades of /ESZ6" in provider.status().notes
        primary.open = True
        await play(primary, lambda: provider.serving == "demo", "it was not handed back")
        await play(primary, lambda: isinstance(items[-1], TradeBatch) and not isinstance(items[-2], Gap), "the primary does not serve")
    marks = [item.reason for item in items if isinstance(item, Gap)]
    assert marks == ["failover: steady serves", "failover over: demo serves again"]
    times = [time for item in items if isinstance(item, TradeBatch) for time in item.time_ns.tolist()]
    assert len(times) == len(set(times))
    assert times == sorted(times)
    assert all(item.contract is ES or item.contract == ES for item in items)


async def test_a_primary_whose_subscription_broke_off_is_stood_in_for_and_without_failover_the_program_is_told() -> None:
    async with beside("steady", failover_s=0.5) as (primary, provider):
        subscription = provider.subscribe_trades(await provider.resolve("ES"))
        await wait_for(lambda: provider.shadow.beats.get(1), "the shadow did not begin")
        primary.subscriptions[0].end(ConnectionLost("for good"))
        assert isinstance(await asyncio.wait_for(anext(subscription), LIMIT_S), Gap)
        assert isinstance(await asyncio.wait_for(anext(subscription), LIMIT_S), TradeBatch)
    assert subscription.has_ended
    async with beside("steady") as (primary, provider):
        subscription = provider.subscribe_trades(await provider.resolve("ES"))
        primary.subscriptions[0].end(ConnectionLost("for good"))
        with pytest.raises(ConnectionLost, match="for good"):
            await anext(subscription)


# --- configuration and command


def test_a_wrong_threshold_and_an_ab_of_an_ab_are_told_when_the_provider_is_made() -> None:
    with pytest.raises(UsageError, match="did you mean 'lag_ms_fail'"):
        create_provider(settings_of("steady", thresholds={"lagms_fail": 3}))
    with pytest.raises(UsageError, match="'ab' cannot be one of them"):
        create_provider(settings_of("steady", primary="ab"))


async def test_two_clients_of_one_exchange_differ_in_nothing_as_the_command_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Emulator(Market(seed=3, roots=("ES",), prints_per_s=30.0), speed=1.0, truth_path=tmp_path / "truth") as emulator:
        config = tmp_path / "config.json"
        config.write_text(orjson.dumps(login(emulator)).decode())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TT_SECRET", CLIENT_SECRET)
            patch.setenv("TT_REFRESH", REFRESH_TOKEN)
            options: dict[str, Any] = {"minutes": 0.12, "symbols": (), "timeframe": "5s", "out": tmp_path / "out", "as_json": True, "config_path": str(config)}
            code = await asyncio.to_thread(lambda: command.run(**options))
    found = orjson.loads(capsys.readouterr().out)
    of_trades, of_bars = found["comparisons"]
    assert of_bars["symbol"] == f"{of_trades['symbol']} 5s"
    assert of_trades["trades"]["prints"][0] == of_trades["trades"]["prints"][1] > 0
    assert of_trades["trades"]["common_lots"] == of_trades["trades"]["either_lots"]
    assert of_trades["trades"]["lead_ms_n"] > 0
    assert of_trades["quotes"]["updates"][1] > 0
    by_clock = {"lag_ms", "lag_p95_ms", "quotes_apart_pct"}  # a busy machine makes one of them late
    apart = {check["name"] for one in found["comparisons"] for check in one["checks"] if check["value"] and check["name"] not in by_clock}
    assert apart <= {"nothing_compared"}  # of bars, where none had closed yet
    assert code == int(found["verdict"] == "FAIL")
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_command_says_when_there_was_nothing_to_compare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "create", lambda settings: AbProvider(InMemory("primary"), settings_of("refusing")))
    monkeypatch.setattr(command, "_START_S", 0.5)
    with pytest.raises(NoData, match="is the market open"):
        command.run(minutes=0.001, symbols=("ES",), timeframe=None, out=None, as_json=True, config_path=None)
