"""Two providers side by side: like feeds pass, and whatever the shadow does, the primary's program goes on untouched."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
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
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.errors import ConnectionLost, FeedError, NoData, NotEntitled, UnknownProvider, UsageError
from tastytrade_provider.migration import Comparison, Result
from tastytrade_provider.model import Contract, Gap, TradeBatch
from tastytrade_provider.pace import Pace
from tastytrade_provider.provider import Capabilities, Subscription
from tastytrade_provider.registry import available
from tests.checks.builders import ES, a_batch, opening
from tests.checks.shadows import STEP_NS, InMemory, number_now, trades
from tests.checks.shadows import Market as Playing

LIMIT_S = 60.0
"""A process has to start and import; on a busy machine that takes a while."""
PATIENT_S = 300.0
"""Two brokers' feeds of a market eight times as fast have to be made, read and compared."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_shell, "_WARM_S", 0.2)
    monkeypatch.setattr(shadow_shell, "_STATE_EVERY_S", 0.2)
    monkeypatch.setattr(shadow_shell, "_FROZEN_S", LIMIT_S)  # a process that goes last on a busy machine is not frozen


async def wait_for(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110  # what is waited for happens in another process
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(what) from None


async def reported(provider: AbProvider, condition: Callable[[list[Result]], object], what: str) -> list[Result]:
    """The first report of which something is so. One a second: each costs the primary's process as much as many trades do."""
    results: list[Result] = []
    try:
        async with asyncio.timeout(PATIENT_S):
            while not condition(results):
                await asyncio.sleep(1)
                results = provider.report()
    except TimeoutError:
        checks = {check.name: check.reason for result in results for check in result.checks if check.verdict != "PASS"}
        raise AssertionError(f"{what}: {checks} {list(provider.shadow.faults)}") from None
    return results


def settings_of(shadow: str, **ab: Any) -> Any:
    """`shadow`: of those made for tests, or a provider of ours."""
    name = shadow if shadow in available() else f"tests.checks.shadows:{shadow}"
    return load({"data_provider": "ab", "ab": {"primary": "demo", "shadow": name} | ab})


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


@asynccontextmanager
async def both_brokers(tmp_path: Path, knobs: TwsKnobs, grace_s: float) -> AsyncIterator[tuple[Emulator, AbProvider]]:
    """One market eight times as fast, through DXLink to the primary and through the fake TWS to the shadow.

    grace_s  of the market's time, eight of which pass in one of ours: what a busy machine delays for longer counts as missing, and stays so
    """
    market = Market(seed=3, roots=("ES",), prints_per_s=40.0)
    async with Emulator(market, speed=8.0, truth_path=tmp_path / "truth", tws=knobs) as emulator:
        config: dict[str, Any] = login(emulator) | {"ib": {"port": emulator.tws_port, "client_id": 7}}
        config["ab"] = {"primary": "tastytrade", "shadow": "ib", "thresholds": {"grace_s": grace_s}}
        config["tastytrade"] |= {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
        provider = create_provider(config)
        assert isinstance(provider, AbProvider)
        provider.primary._wall_ns = lambda: emulator.market_ns + 1  # type: ignore[attr-defined]  # the market is of another day
        async with provider:
            contract = await provider.resolve("ES")
            provider.subscribe_trades(contract).on(lambda item: None)
            provider.subscribe_bars(contract, "5s").on(lambda item: None)
            await reported(provider, lambda results: min(prints(results)) > 800 and matched(results) > 3, "the feeds did not begin")
            yield emulator, provider


def matched(results: list[Result]) -> int:
    """Bars that met."""
    return next((result.facts["bars"]["matched"] for result in results if "bars" in result.facts), 0)


def values(results: list[Result], names: Iterable[str]) -> dict[str, float]:
    return {name: value(results, name) for name in names}


@pytest.mark.slow
async def test_one_market_through_both_brokers_differs_in_no_print_price_or_volume(tmp_path: Path) -> None:
    same = dict.fromkeys(("trade_count_pct", "trade_volume_pct", "trade_unmatched_pct", "trade_shift_ticks", "silence_s", "gaps", "faults"), 0.0)
    same |= dict.fromkeys(("bars_missing_pct", "bars_duplicate", "bar_price_ticks", "bar_volume_pct"), 0.0)
    async with both_brokers(tmp_path, TwsKnobs(), grace_s=8 * PATIENT_S) as (_, provider):
        await reported(provider, lambda results: results and values(results, same) == same, "they differ")


@pytest.mark.slow
async def test_what_is_wrong_with_one_broker_is_found_named_and_sized(tmp_path: Path) -> None:
    injected = {"trade_count_pct": 5.0, "trade_shift_ticks": 2.0, "bar_volume_pct": 3.0, "bar_price_ticks": 2.0}
    async with both_brokers(tmp_path, TwsKnobs(missing=0.05, shift_ticks=2, lag_s=0.3, filtered=0.03), grace_s=120) as (emulator, provider):
        of_trades, of_bars = await reported(provider, lambda results: values(results, injected) == pytest.approx(injected, rel=0.1), "not of that size")
        for result, name, said in (
            (of_trades, "trade_count_pct", "ib has"),
            (of_trades, "trade_shift_ticks", "prints of ib are typically 2 ticks higher"),
            (of_bars, "bar_volume_pct", "ib has"),
            (of_bars, "bar_price_ticks", "ib's close is typically 2 ticks higher"),
            (of_trades, "lag_ms", "ib is typically"),
        ):
            assert said in result.check(name).reason
            assert result.check(name).verdict != "PASS"
        assert of_trades.check("lag_ms").value > 270  # on a busy machine the shadow's process is later still
        emulator.tws.gateway.is_dead = True
        results = await reported(provider, lambda results: value(results, "silence_s") > 30, "the dead feed was not found")
        [check] = [result.check("silence_s") for result in results if "trades" in result.facts]
        assert (check.verdict, check.reason) == ("FAIL", f"ib was silent for {check.value:.0f} s while tastytrade traded")


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


async def test_a_shadow_that_is_started_again_while_it_serves_goes_on_behind_a_gap() -> None:
    async with beside("steady", failover_s=0.5) as (primary, provider):
        items: list[Any] = []
        provider.subscribe_trades(await provider.resolve("ES")).on(items.append)
        await play(primary, lambda: provider.shadow.beats.get(1) and len(items) > 20, "the feeds did not begin")
        primary.open = False
        n = len(items)
        await wait_for(lambda: len(items) > n + 20, "the shadow did not serve")
        pid = provider.shadow.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await wait_for(lambda: any(isinstance(item, Gap) and "started again" in item.reason for item in items), "the shadow does not serve any more")
    parts = [item for item in items if isinstance(item, Gap | TradeBatch)]
    at = next(i for i, item in enumerate(parts) if isinstance(item, Gap) and "started again" in item.reason)
    before, gap, after = parts[at - 1 : at + 2]
    assert isinstance(gap, Gap)
    assert isinstance(before, TradeBatch)
    assert isinstance(after, TradeBatch)
    assert (gap.start_ns, gap.end_ns) == (int(before.time_ns.max()), int(after.time_ns.min()))


async def test_a_primary_that_refuses_is_told_where_no_shadow_can_stand_in() -> None:
    async with beside("refusing", failover_s=0.3) as (primary, provider):
        subscription = provider.subscribe_trades(await provider.resolve("ES"))
        primary.subscriptions[0].end(NotEntitled("no data of CME"))
        with pytest.raises(NotEntitled, match="no data of CME"):
            async with asyncio.timeout(LIMIT_S):
                await anext(subscription)


async def test_a_second_that_a_primary_of_whole_seconds_has_begun_is_not_handed_over_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async with beside("steady", failover_s=0.5) as (primary, provider):
        primary.capabilities = replace(primary.capabilities, time_step_ns=10**9)
        items: list[Any] = []
        provider.subscribe_trades(await provider.resolve("ES")).on(items.append)
        put = primary.put
        monkeypatch.setattr(primary, "put", lambda item: put(item.replace(time_ns=item.time_ns // 10**9 * 10**9)))
        await play(primary, lambda: provider.shadow.beats.get(1) and items, "the feeds did not begin")
        primary.open = False
        await wait_for(lambda: isinstance(items[-1], TradeBatch) and any(isinstance(item, Gap) for item in items), "the shadow did not serve")
    at = next(i for i, item in enumerate(items) if isinstance(item, Gap))
    mark, first = items[at], items[at + 1]
    newest_ns = max(int(item.time_ns.max()) for item in items[:at])
    assert (mark.start_ns, mark.end_ns) == (newest_ns, newest_ns + 10**9)
    assert first.time_ns.min() >= newest_ns + 10**9


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
    by_clock = {"lag_ms", "lag_p95_ms", "quotes_apart_pct", "quotes_silence_s"}  # a busy machine makes one of them late
    apart = {check["name"] for one in found["comparisons"] for check in one["checks"] if check["value"] and check["name"] not in by_clock}
    assert apart <= {"nothing_compared", "too_few"}  # of bars, where none had closed yet, and of so short a time
    assert code == int(found["verdict"] == "FAIL")
    assert (tmp_path / "out" / "report.html").is_file()


class Trading(InMemory):
    """Has traded before anybody else could."""

    def subscribe_trades(self, contract: Contract) -> Subscription[Any]:
        subscription = super().subscribe_trades(contract)
        asyncio.get_running_loop().call_soon(subscription.put, trades(1, 120))
        return subscription


class Refusing(InMemory):
    """May not see what is asked for."""

    def subscribe_trades(self, contract: Contract) -> Subscription[Any]:
        subscription = super().subscribe_trades(contract)
        asyncio.get_running_loop().call_soon(subscription.end, NotEntitled("no market data subscription"))
        return subscription


def run_command(monkeypatch: pytest.MonkeyPatch, shadow: str, primary: type[InMemory] = InMemory, *, start_s: float = 3600.0, **options: Any) -> int:
    """The command with a primary in memory, for as good as no time once it begins."""
    settings = settings_of(shadow)
    monkeypatch.setattr(command, "create", lambda _: AbProvider(primary("primary"), settings))
    monkeypatch.setattr(command, "_START_S", start_s)
    given: dict[str, Any] = {"minutes": 0.001, "symbols": ("ES",), "timeframe": "1m", "out": None, "as_json": True, "config_path": None}
    return command.run(**given | options)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can hear")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_before_its_time_it_reports_what_was_compared_until_then(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = command._Comparing._tell

    def end_soon(self: command._Comparing) -> None:
        tell(self)
        if all(prints(self.provider.report())):
            pid = self.provider.shadow.pid
            assert pid is not None
            os.kill(pid, number)  # a terminal, and a service manager, tell both processes
            signal.raise_signal(number)

    monkeypatch.setattr(command._Comparing, "_tell", end_soon)
    before = signal.getsignal(signal.SIGTERM)
    code = run_command(monkeypatch, "steady", Playing, minutes=390.0, out=tmp_path)
    found = orjson.loads((tmp_path / "report.json").read_bytes())
    assert all(found["comparisons"][0]["trades"]["prints"])
    assert found["comparisons"][0]["health"]["events"] == []
    assert code == int(found["verdict"] == "FAIL")
    assert (tmp_path / "report.html").is_file()
    assert re.search(r"note: ended after 0(\.\d+)? of 390 min", capsys.readouterr().err)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("shadow", "said"),
    [
        ("refusing", "refusing: cannot connect: AuthenticationFailed: no such user"),
        ("nowhere", "cannot connect: UsageError: provider 'tests.checks.shadows:nowhere' cannot be loaded"),
        ("unknowing", "unknowing: trades of /ESZ6: UnknownContract: no contract is named /ESZ6"),
    ],
)
def test_what_the_shadow_is_refused_with_for_good_ends_the_command_at_once(shadow: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FeedError, match=re.escape(said)):
        run_command(monkeypatch, shadow)


def test_tws_that_does_not_run_ends_the_command_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and not listened at
        monkeypatch.setenv("TTP_IB__PORT", str(nobody.getsockname()[1]))
        with pytest.raises(FeedError, match=r"ib: cannot connect: ConnectionLost: TWS or IB Gateway at .* cannot be reached.*is it running"):
            run_command(monkeypatch, "ib")


def test_what_the_primary_is_refused_with_for_good_ends_the_command_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotEntitled, match="no market data subscription"):
        run_command(monkeypatch, "silent", Refusing)


def test_what_may_pass_is_shown_while_the_command_waits_and_quoted_when_nothing_came(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trouble = "restarting: cannot connect: ConnectionLost: it is being restarted"
    with pytest.raises(NoData, match=f"^demo sent nothing to compare, restarting did; {trouble}$"):
        run_command(monkeypatch, "restarting")
    assert f"note: {trouble}\n" in capsys.readouterr().err


def test_that_neither_sent_anything_is_said_only_where_it_is_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoData, match=r"^demo sent 120 trades, quotes and bars, silent nothing to compare them with$"):
        run_command(monkeypatch, "silent", Trading, start_s=0.5)
    with pytest.raises(NoData, match=r"^neither demo nor silent sent anything to compare; is the market open[?]$"):
        run_command(monkeypatch, "silent", start_s=0.5)


def test_a_shadow_that_is_no_provider_is_told_when_the_provider_is_made() -> None:
    with pytest.raises(UnknownProvider, match=r"ab\.shadow: no provider is named 'foo'; known: ab, bus, demo"):
        create_provider({"data_provider": "ab", "ab": {"primary": "demo", "shadow": "foo"}})


def test_a_timeframe_longer_than_the_run_is_said_to_have_had_no_bar_to_close() -> None:
    traded = Comparison("/ESZ6", 0.25)
    for side in (0, 1):
        traded.add_trades(side, trades(1, 50))
    results = [traded.result(is_over=True), Comparison("/ESZ6 1m", 0.25).result(), Comparison("/NQZ6 1m", 0.25).result()]
    reasons = [[result.check("nothing_compared").reason for result in command._said_better(results, "1m", minutes)] for minutes in (0.3, 2)]
    neither = "neither a nor b has sent a bar or a print: nothing was compared"
    assert reasons == [["100 bars and prints were seen", "no whole 1m bar closed in 0.3 min", neither], ["100 bars and prints were seen", neither, neither]]


class Remembering(InMemory):
    """Has had three trades."""

    def __init__(self) -> None:
        super().__init__("primary")
        self.playback = Pace()
        self.capabilities = Capabilities(trades=True, historical_trades=True, side_source="exchange")

    def now_ns(self) -> int:
        return opening()

    async def historical_trades(self, contract: Contract, start: Any = None, end: Any = None) -> TradeBatch:
        return numbered(1, 2, 3)


def numbered(*index: int) -> TradeBatch:
    return a_batch(time_ns=[opening() + i * 10**9 for i in index], index=list(index))


async def test_following_its_trades_is_following_the_primarys_which_are_compared_too() -> None:
    primary = Remembering()
    async with AbProvider(primary, settings_of("steady")) as provider:
        following = provider.follow_trades(await provider.resolve("ES"))
        assert provider.playback is primary.playback
        assert [stream.subscription for stream in provider._streams.values()] == primary.subscriptions
        primary.put(numbered(3, 4))
        primary.subscriptions[0].end()
        assert [item.index.tolist() async for item in following if isinstance(item, TradeBatch)] == [[1, 2, 3], [4]]
