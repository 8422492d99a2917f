"""What is played can be paused, stepped and changed in speed: over REST, with one truth for all who look, and without a trace in the numbers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tastytrade_provider.demo import DemoProvider
from tastytrade_provider.emulator.truth import read as read_truth
from tastytrade_provider.provider import DataProvider
from tastytrade_provider.replay import ReplayProvider
from tastytrade_provider.service import Runtime, create_app
from tastytrade_provider.service.wire import iso
from tastytrade_provider.settings import ServiceSettings
from tests.checks.builders import opening
from tests.checks.sources import a_tape, excerpt, until
from tests.service.stage import SECOND, Clock, Played, Socket, client, fetched, running, some_trades

BEARER = {"Authorization": "Bearer let-me"}
PATH = "/api/tastytrade/playback"
SETTINGS = ServiceSettings(token="let-me")  # type: ignore[arg-type]
TAPE_S = 40


def a_recording(folder: Path) -> Path:
    """Forty seconds of a contract from the cash open on, five prints in each."""
    chance, ticks, rows = random.Random(20261122), 0, []
    for n in range(5 * TAPE_S):
        ticks += chance.choice((-1, 0, 1))
        rows.append(f"{opening() + n * SECOND // 5},{6000 + ticks / 4},{chance.randint(1, 30)},{chance.choice(('BUY', 'SELL'))}")
    return a_tape(folder / "es_z6.csv", "\n".join(rows), header="time_ns,price,size,side")


def the_demo(folder: Path, speed: Any) -> DataProvider:
    from tastytrade_provider.emulator import load_tape

    return DemoProvider(load_tape(a_recording(folder)), speed=speed, truth_path=folder / "truth.jsonl")


def the_replay(folder: Path, speed: Any) -> DataProvider:
    return ReplayProvider(a_recording(folder), speed)


PLAYERS = pytest.mark.parametrize("player", [the_demo, the_replay], ids=["demo", "replay"])


@asynccontextmanager
async def playing(provider: DataProvider, **options: Any) -> AsyncIterator[tuple[Runtime, Any]]:
    """A service on what is played, and HTTP into it with the token."""
    live = Runtime(provider, ["ES"], **{"timeframe": "5s", "speed": None, "settings": SETTINGS} | options)
    await live.start()
    try:
        async with client(create_app(runtime=live), **BEARER) as http:
            yield live, http
    finally:
        await live.stop()


async def told(http: Any, **wanted: Any) -> dict[str, Any]:
    """The answer to a change."""
    return await fetched(lambda: http.post(PATH, json=wanted))


def trades(live: Runtime) -> int:
    return live.market("ES").counts.trades if live.markets else 0


async def quiet(live: Runtime) -> int:
    """Wait a third of a second, in which at twenty times the speed six seconds would have been played; how many trades there are then."""
    clock = asyncio.get_running_loop().time
    ends_s = clock() + 0.3
    await until(lambda: clock() > ends_s, "the clock stands")
    return trades(live)


async def at_rest(live: Runtime) -> int:
    """Trades once what was under way has come."""
    while (before := trades(live)) != await quiet(live):
        assert trades(live) > before
    return before


async def bars_of(live: Runtime) -> list[Any]:
    """Everything that came out, to the last bit."""
    feed = await live.feed(live.market("ES"))
    cells = [feed.footprint(row.update.bar) for row in feed.rows()]
    forming = feed.forming
    return [
        [orjson.dumps(row.json) for row in feed.rows()],
        [None if each is None else [each.ticks.tolist(), each.buy.tolist(), each.sell.tolist(), each.unknown.tolist()] for each in cells],
        None if forming is None else (forming.bar, repr(forming.values)),
    ]


@PLAYERS
async def test_bars_of_a_tape_played_with_pauses_steps_and_changes_are_those_of_the_tape_at_once(player: Callable[..., DataProvider], tmp_path: Path) -> None:
    async with playing(player(tmp_path, "max")) as (live, _):
        await until(lambda: live.watcher.has_ended, "the tape does not end")
        expected = await bars_of(live)
    async with playing(player(tmp_path, 20.0)) as (live, http):
        await until(lambda: trades(live) > 10, "no trade comes")
        assert (await told(http, action="pause"))["state"] == "paused"
        stood = await at_rest(live)
        assert stood < 5 * TAPE_S
        await told(http, speed=5.0)
        assert await quiet(live) == stood
        await told(http, action="step", seconds=7)
        await until(lambda: live.playback is not None and live.playback.is_paused and trades(live) >= stood + 35, "the step does not end")
        assert await at_rest(live) == stood + 35
        await told(http, action="resume")
        await until(lambda: trades(live) > stood + 36, "it does not go on")
        await told(http, action="pause")
        await at_rest(live)
        await told(http, action="step")
        await until(lambda: live.playback is not None and live.playback.is_paused, "the step does not end")
        await told(http, speed=20.0)
        await told(http, action="resume")
        await until(lambda: trades(live) > 150, "it does not go on")
        await told(http, speed="max")
        await until(lambda: live.watcher.has_ended, "the tape does not end")
        assert await bars_of(live) == expected
        assert live.status()["gap_count"] == 0
        over = await http.post(PATH, json={"action": "pause"})
        assert (over.status_code, over.json()["detail"]) == (409, "it is over: there is nothing more to be played")


@PLAYERS
async def test_each_step_closes_one_bar(player: Callable[..., DataProvider], tmp_path: Path) -> None:
    provider: Any = player(tmp_path, 20.0)
    provider.playback.pause()
    async with playing(provider) as (live, http):
        await until(lambda: live.markets and live.watcher.problem is None and live.state == "connected", "it is not watched")
        assert (await fetched(lambda: http.get(PATH)))["time"] is None
        await told(http, action="step")
        await until(lambda: trades(live), "no trade comes")
        assert (await at_rest(live), (await fetched(lambda: http.get(PATH)))["time"]) == (1, iso(opening()))
        feed = await live.feed(live.market("ES"))
        for closed in range(1, 5):
            await told(http, action="step", symbol="ES", timeframe="5s")
            await until(lambda: live.playback is not None and live.playback.is_paused, "the step does not end")
            await until(lambda closed=closed: feed.closed >= closed, "no bar closed")  # type: ignore[misc]
            await at_rest(live)
            assert feed.closed == closed
            assert feed.forming is not None
            assert feed.forming.bar.trades == 1
        of_trades = await http.post(PATH, json={"action": "step", "timeframe": "40t"})
        assert (of_trades.status_code, "for how many seconds" in of_trades.json()["detail"]) == (400, True)


async def test_while_the_exchange_stands_its_clock_does_too_and_nobody_counts_the_silence(tmp_path: Path) -> None:
    provider = DemoProvider(excerpt(200_000, is_endless=True, roots=("ES",)), speed=20.0, truth_path=tmp_path / "truth.jsonl")
    async with playing(provider, speed=20.0, silence_s=0.25) as (live, http):
        await until(lambda: trades(live) > 50 and live.readiness().ready, "no trade comes")
        await told(http, action="pause")
        stood = await at_rest(live)
        at_ns, closed = provider.emulator.market_ns, (await live.feed(live.market("ES"))).closed
        connections = live.status()["reconnects"]
        assert live.market("ES").problem is None
        assert await quiet(live) == stood
        assert provider.emulator.market_ns == at_ns == provider.now_ns()
        assert (await live.feed(live.market("ES"))).closed == closed
        ready = await http.get("/ready")
        assert (ready.status_code, ready.json()["ready"], ready.json()["reason"]) == (200, True, "paused")
        published = [each for each in read_truth(tmp_path / "truth.jsonl") if each["type"] == "NEW"]
        assert stood == len(published)  # everything that happened has come, and nothing else happens
        await told(http, action="resume")
        assert live.readiness().ready
        await until(lambda: trades(live) > stood + 50, "it does not go on")
        assert live.readiness().ready
        assert (live.status()["gap_count"], live.status()["reconnects"]) == (0, connections)


async def test_bars_close_by_the_exchanges_clock_which_a_pause_stops_and_a_step_does_not_move() -> None:
    provider, clock = Played(), Clock()
    async with running(provider, symbols=("ES",), clock=clock) as (live, _, _):
        ours = [0.0]
        provider.playback.begin(lambda: ours[0], 0)
        provider.put(some_trades((0, 6000.0, 3, 1)))
        market, feed = live.market("ES"), await live.feed(live.market("ES"))
        provider.playback.pause()
        ours[0] += 60.0
        market.advance()
        assert (feed.closed, market.now_ns) == (0, opening())
        provider.playback.step(opening() + 30 * SECOND)
        provider.playback.reach(opening() + 20 * SECOND)
        market.advance()
        assert (feed.closed, market.now_ns) == (0, opening())
        provider.playback.resume()
        ours[0] += 5.3
        market.advance()
        assert feed.closed == 1


async def test_all_who_listen_hear_of_a_change_at_once() -> None:
    provider = Played()
    async with running(provider, symbols=("ES",), settings=SETTINGS) as (live, _, _):
        app = create_app(runtime=live)
        both = [Socket(app, path="/ws") for _ in range(2)]
        for talk in both:
            talk.say({"type": "subscribe", "channels": ["status"]})
            assert (await talk.hears("status"))["playback"]["state"] == "playing"
        async with client(app, **BEARER) as http:
            assert (await told(http, action="pause", speed=5.0))["speed"] == 5.0
            for talk in both:
                await until(lambda talk=talk: talk.of("status")[-1]["playback"]["state"] == "paused", "it was not told")  # type: ignore[misc]
                assert talk.of("status")[-1]["playback"]["speed"] == 5.0
                await talk.leave()


async def test_a_live_feed_can_be_neither_looked_at_nor_changed_so() -> None:
    async with running(settings=SETTINGS) as (live, _, _), client(create_app(runtime=live), **BEARER) as http:
        for answer in (await http.get(PATH), await http.post(PATH, json={"action": "pause"})):
            assert (answer.status_code, answer.json()) == (
                404, {"error": "NotSupported", "detail": "provider 'handed' is live: it can be neither paused nor stepped"},
            )  # fmt: skip
        assert live.status()["playback"] is None


async def test_a_change_needs_the_token_comes_from_here_and_has_a_rate() -> None:
    provider = Played()
    async with running(provider, settings=SETTINGS) as (live, _, _), client(create_app(runtime=live)) as http:
        pause = {"action": "pause"}
        assert (await http.post(PATH, json=pause)).status_code == 401
        assert (await http.post(PATH, json=pause, headers={"Authorization": "Bearer wrong"})).status_code == 401
        assert (await http.post(PATH, json=pause, headers=BEARER | {"Origin": "https://elsewhere.example"})).status_code == 403
        assert (await http.post(PATH, json=pause, headers=BEARER | {"Host": "elsewhere.example"})).status_code == 421
        assert not provider.playback.is_paused
        answers = [(await http.post(PATH, json=pause, headers=BEARER)).status_code for _ in range(25)]
        assert (answers[0], answers[-1]) == (200, 429)
    async with running(Played()) as (live, _, _), client(create_app(runtime=live)) as http:
        refused = await http.post(PATH, json=pause)
        assert (refused.status_code, "no token is set" in refused.json()["detail"]) == (403, True)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"action": "stop"}, 422), ({"speed": 3.0}, 400), ({"speed": 0}, 422), ({"speed": "fast"}, 422), ({"action": "step", "timeframe": "7x"}, 422),
     ({"action": "step", "symbol": "ZZ"}, 404), ({"action": "step", "seconds": -1}, 422), ({"more": 1}, 422), ([], 422)],
)  # fmt: skip
async def test_what_cannot_be_done_is_told(body: Any, status: int) -> None:
    provider = Played()
    async with running(provider, settings=SETTINGS) as (live, _, _), client(create_app(runtime=live), **BEARER) as http:
        assert (await http.post(PATH, json=body)).status_code == status
        assert (provider.playback.is_paused, provider.playback.speed) == (False, 1.0)


def test_a_made_up_market_cannot_be_played_at_once_since_it_has_no_end() -> None:
    assert DemoProvider(excerpt(10, is_endless=True)).playback.speeds == (0.5, 1.0, 5.0, 20.0)
    assert DemoProvider(excerpt(10)).playback.speeds == (0.5, 1.0, 5.0, 20.0, "max")
