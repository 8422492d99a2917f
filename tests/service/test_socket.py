from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tastytrade_provider.model import Gap
from tastytrade_provider.service import Runtime, create_app, socket
from tastytrade_provider.service.hub import Hub
from tastytrade_provider.settings import ServiceSettings
from tests.checks.builders import ES, opening
from tests.checks.sources import until
from tests.service.stage import Handed, Socket, running, some_trades


@pytest.fixture
async def served() -> AsyncIterator[tuple[Runtime, Handed, Any]]:
    """A runtime with a few trades, and its app."""
    async with running() as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1), (5, 6000.25, 1, -1), (11, 6000.5, 4, 1)))
        yield live, provider, create_app(runtime=live)


async def test_a_snapshot_comes_first_and_then_every_closed_bar_and_the_forming_one(served: Any) -> None:
    live, provider, app = served
    talk = Socket(app)
    assert (await talk.hears("hello"))["markets"] == ["ES", "NQ"]
    talk.say({"type": "subscribe", "symbol": "ES", "channels": ["delta", "footprint"], "id": 7})
    first = await talk.hears("snapshot")
    assert (first["id"], first["symbol"], first["seqs"]["delta"]) == (7, "/ESZ6", 2)
    assert [(bar["delta"], bar["cvd"]) for bar in first["bars"]] == [(3.0, 3.0), (-1.0, 2.0)]
    assert (first["forming"]["delta"], first["forming"]["cvd"]["value"]) == (4.0, 6.0)
    assert first["footprints"][0]["buy_volume"] == [3.0]
    provider.put(some_trades((12, 6000.5, 1, 1)))
    await until(lambda: any(each["bar"]["volume"] == 5.0 for each in talk.of("delta_update")), "the forming bar does not come")
    forming = talk.of("delta_update")[-1]
    assert (forming["closed"], forming["seq"], forming["bar"]["volume"], forming["cvd"]["value"]) == (False, 2, 5.0, 7.0)
    provider.put(some_trades((15, 6000.5, 2, -1)))
    await until(lambda: any(each["closed"] for each in talk.of("delta_update")), "the closed bar does not come")
    [closed] = [each for each in talk.of("delta_update") if each["closed"]]
    assert (closed["seq"], closed["bar"]["time"], closed["delta"]) == (3, "2026-11-23T14:30:10Z", 5.0)
    assert closed["quality"] == {"complete": True, "revision": 0, "delta_source": "time_and_sale", "unknown_share": 0.0}
    await talk.leave()
    assert not live.hub.clients


async def test_a_correction_hands_the_bar_out_again_with_a_higher_revision(served: Any) -> None:
    _, provider, app = served
    talk = Socket(app)
    talk.say({"type": "subscribe", "symbol": "ES"})
    await talk.hears("snapshot")
    provider.put(some_trades((1, 6000.0, 2, -1)))
    await until(lambda: len([each for each in talk.of("delta_update") if each["closed"]]) == 2, "the bars do not come again")
    again = [each for each in talk.of("delta_update") if each["closed"]]
    assert [(each["bar"]["revision"], each["delta"], each["bar"]["cvd"]) for each in again] == [(1, 1.0, 1.0), (0, -1.0, 0.0)]
    await talk.leave()


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(served: Any) -> None:
    _, provider, app = served
    talk = Socket(app)
    talk.say({"type": "subscribe", "symbol": "ES"})
    first = await talk.hears("snapshot")
    await talk.leave()
    provider.put(some_trades((15, 6000.5, 2, -1), (20, 6000.5, 2, -1)))
    again = Socket(app)
    again.say({"type": "subscribe", "symbol": "ES", "resume": {"stream": first["stream"], "seqs": first["seqs"]}})
    assert (await again.hears("resumed"))["seqs"] == {"delta": 4}
    await again.hears("delta_update", 2)
    assert [each["seq"] for each in again.of("delta_update")][:2] == [3, 4]
    assert again.of("snapshot") == []
    await again.leave()


async def test_who_comes_back_hears_of_the_forming_bar_though_nobody_trades(served: Any) -> None:
    _, _, app = served
    talk = Socket(app)
    talk.say({"type": "subscribe", "symbol": "ES"})
    first = await talk.hears("snapshot")
    await talk.leave()
    again = Socket(app)
    again.say({"type": "subscribe", "symbol": "ES", "resume": {"stream": first["stream"], "seqs": first["seqs"]}})
    heard = await again.hears("delta_update")
    assert (heard["closed"], heard["delta"]) == (False, 4.0)
    await again.leave()


@pytest.mark.parametrize("resume", [{"stream": "another", "seqs": {"delta": 2}}, {"stream": None, "seqs": {"delta": 99}}, {"stream": None, "seqs": {}}])
async def test_who_cannot_be_brought_up_to_date_gets_a_snapshot(served: Any, resume: dict[str, Any]) -> None:
    live, _, app = served
    talk = Socket(app)
    talk.say({"type": "subscribe", "symbol": "ES", "resume": {**resume, "stream": resume["stream"] or live.hub.stream}})
    await talk.hears("snapshot")
    await talk.leave()


async def test_signals_gaps_and_resets_are_told(served: Any) -> None:
    live, provider, app = served
    talk = Socket(app)
    talk.say({"type": "subscribe", "symbol": "ES"})
    await talk.hears("snapshot")
    live.reset(live.market("ES"))
    assert (await talk.hears("reset"))["seq"] == 3
    provider.put(Gap(ES, opening(), opening() + 1, "connection lost"))
    assert (await talk.hears("gap"))["gap"]["reason"] == "connection lost"
    await talk.leave()


async def test_after_unsubscribing_nothing_comes(served: Any) -> None:
    _, provider, app = served
    talk = Socket(app)
    talk.say({"type": "subscribe", "symbol": "ES"})
    await talk.hears("snapshot")
    talk.say({"type": "unsubscribe", "symbol": "ES", "id": "x"})
    assert (await talk.hears("unsubscribed"))["id"] == "x"
    provider.put(some_trades((30, 6000.5, 2, -1)))
    talk.say({"type": "ping", "id": 1})
    await talk.hears("pong")
    assert [each for each in talk.of("delta_update") if each["closed"]] == []
    await talk.leave()


async def test_a_client_that_stops_reading_is_dropped_and_the_others_get_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "_GOODBYE_S", 0.05)
    async with running(hub=Hub("s", most_waiting=5)) as (live, provider, _):
        app = create_app(runtime=live)
        slow, quick = Socket(app), Socket(app)
        for talk in (slow, quick):
            talk.say({"type": "subscribe", "symbol": "ES"})
            await talk.hears("snapshot")
        slow.reads.clear()
        for i in range(12):
            provider.put(some_trades((5 * i, 6000.0, 1, 1)))
            await until(lambda i=i: len([each for each in quick.of("delta_update") if each["closed"]]) >= i, "a bar is missing")  # type: ignore[misc]
        await slow.is_over()
        assert live.hub.slow == len(live.hub.clients) == 1
        assert [each["seq"] for each in quick.of("delta_update") if each["closed"]] == list(range(1, 12))
        await quick.leave()


async def test_a_slow_client_that_begins_to_read_hears_why_it_was_dropped() -> None:
    async with running(hub=Hub("s", most_waiting=5)) as (live, provider, _):
        talk = Socket(create_app(runtime=live))
        talk.say({"type": "subscribe", "symbol": "ES"})
        await talk.hears("snapshot")
        talk.reads.clear()
        provider.put(some_trades(*((5.0 * i, 6000.0, 1.0, 1) for i in range(20))))
        await until(lambda: not live.hub.clients, "it is not dropped")
        talk.reads.set()
        assert (await talk.hears("error"))["code"] == "slow_client"
        assert await talk.is_over() == 1013


async def test_when_the_service_stops_clients_are_told(served: Any) -> None:
    live, _, app = served
    talk = Socket(app)
    await talk.hears("hello")
    await live.stop()
    assert await talk.is_over() == 1012
    assert talk.of("error")[0]["message"] == "the service stops"


async def test_one_too_many_is_told_so() -> None:
    async with running(hub=Hub("s", most_clients=1)) as (live, _, _):
        app = create_app(runtime=live)
        first, second = Socket(app), Socket(app)
        await first.hears("hello")
        assert await second.is_over() == 1013
        assert second.heard[0]["code"] == "full"
        await first.leave()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "bad_request"),
        ("null", "bad_request"),
        ("{", "bad_request"),
        ({"type": "subscribe", "symbol": "ZZ"}, "bad_request"),
        ({"type": "subscribe", "symbol": "ES", "timeframe": "7x"}, "bad_request"),
        ({"type": "subscribe", "symbol": "ES", "channels": []}, "bad_request"),
        ({"type": "subscribe", "symbol": "ES", "history": 10**9}, "bad_request"),
        ({"type": "shutdown"}, "bad_request"),
        ({"type": "ping", "id": {"a": 1}}, "bad_request"),
        ({"type": "ping", "x": "\ud800"}, "bad_request"),
    ],
)
async def test_what_is_no_request_is_answered_and_the_connection_goes_on(served: Any, message: Any, code: str) -> None:
    talk = Socket(served[2])
    talk.say(message if isinstance(message, str) else orjson.dumps(message).decode() if message.get("x") is None else '{"type":"ping","x":"\\ud800"}')
    assert (await talk.hears("error"))["code"] == code
    talk.say({"type": "ping"})
    await talk.hears("pong")
    await talk.leave()


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ({"type": "subscribe", "id": 7, "history": -1}, "subscribe.history: Input should be greater than or equal to 0"),
        ({"type": "shutdown", "id": "seven"}, "Input tag 'shutdown' found"),
    ],
)
async def test_an_error_says_what_was_wrong_and_to_which_request_it_belongs(served: Any, message: Any, told: str) -> None:
    talk = Socket(served[2])
    talk.say(message)
    error = await talk.hears("error")
    assert error["message"].startswith(told)
    assert error["id"] == (message["id"] if isinstance(message, dict) else None)
    await talk.leave()


async def test_unsubscribing_from_what_nobody_asked_for_makes_nothing(served: Any) -> None:
    live = served[0]
    talk = Socket(served[2])
    for timeframe in ("7s", "8t"):
        talk.say({"type": "unsubscribe", "symbol": "ES", "timeframe": timeframe, "id": timeframe})
    assert (await talk.hears("unsubscribed", 2))["id"] == "8t"
    assert list(live.markets["ES"].feeds) == ["5s"]
    assert {name.timeframe for name in live.hub._topics} <= {"5s", ""}
    await talk.leave()


async def test_a_long_message_ends_the_connection(served: Any) -> None:
    for parts in ({"text": "x" * 20_000}, {"bytes": b"x" * 20_000}):
        talk = Socket(served[2])
        talk.say_raw(**parts)
        assert await talk.is_over() == 1009


async def test_a_flood_ends_the_connection(served: Any) -> None:
    talk = Socket(served[2])
    for _ in range(40):
        talk.say({"type": "ping"})
    assert await talk.is_over() == 1008
    assert talk.of("error")[-1]["code"] == "too_many"


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://["}, {"host": "evil.example"}])
async def test_a_page_from_elsewhere_does_not_get_in(served: Any, headers: dict[str, str]) -> None:
    talk = Socket(served[2], **headers)
    assert await talk.is_over() == 1008
    assert not talk.is_accepted


async def test_where_the_token_is_needed_the_first_message_must_bring_it() -> None:
    async with running(settings=ServiceSettings(host="0.0.0.0", token="s3cret")) as (live, _, _):  # type: ignore[arg-type]
        app = create_app(runtime=live)
        good, wrong, none, header = Socket(app), Socket(app), Socket(app), Socket(app, authorization="Bearer s3cret")
        good.say({"type": "auth", "token": "s3cret"})
        await good.hears("hello")
        await header.hears("hello")
        wrong.say({"type": "auth", "token": "s3cre"})
        assert await wrong.is_over() == 1008
        none.say({"type": "subscribe", "symbol": "ES"})
        assert await none.is_over() == 1008
        assert none.of("snapshot") == []
        await good.leave()
        await header.leave()


async def test_who_has_not_shown_the_token_takes_nobodys_place() -> None:
    async with running(settings=ServiceSettings(host="0.0.0.0", token="s3cret"), hub=Hub("s", most_clients=1)) as (live, _, _):  # type: ignore[arg-type]
        app = create_app(runtime=live)
        silent = Socket(app)
        await until(lambda: silent.is_accepted, "the first was not let in")
        known = Socket(app, authorization="Bearer s3cret")
        await known.hears("hello")
        await known.leave()
        await silent.leave()


async def test_the_status_comes_by_subscription(served: Any) -> None:
    talk = Socket(served[2], path="/ws")
    talk.say({"type": "subscribe", "channels": ["status"]})
    assert (await talk.hears("status"))["state"] == "connected"
    await talk.leave()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from(["subscribe", "unsubscribe", "ping", "auth"])},
    optional={
        "symbol": st.sampled_from(["ES", "NQ", "", "/ESZ6"]) | JSON,
        "timeframe": st.sampled_from(["1m", "5s", "1d", "3t", "1mo", "999999999s"]) | JSON,
        "channels": st.lists(st.sampled_from(["delta", "signals", "footprint", "status"]) | JSON, max_size=5) | JSON,
        "history": st.integers(-1, 10) | JSON,
        "resume": st.fixed_dictionaries({"stream": st.just("s") | JSON, "seqs": st.dictionaries(st.just("delta"), st.integers(), max_size=1) | JSON}) | JSON,
        "id": st.integers() | JSON,
        "token": JSON,
    },
)


@pytest.mark.property
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=50) | JSON.map(json.dumps) | NEARLY.map(json.dumps), max_size=8), st.lists(st.binary(max_size=60), max_size=2))
async def test_no_message_breaks_anything(texts: list[str], raws: list[bytes]) -> None:
    async with running(hub=Hub("s")) as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1), (5, 6000.25, 1, -1)))
        talk = Socket(create_app(runtime=live))
        for text in texts:
            talk.say(text)
        for raw in raws:
            talk.say_raw(bytes=raw)
        talk.say({"type": "ping", "id": "the end"})
        await until(lambda: talk.task.done() or any(each["id"] == "the end" for each in talk.of("pong")), "no answer")
        if talk.task.done():
            talk.task.result()
            assert talk.closed in (1008, 1009)
        else:
            await talk.leave()
        assert live.health()["status"] == "ok"
        assert not live.faults
