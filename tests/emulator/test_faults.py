"""Every fault as the sources quote it, seen by a client on a real socket; and the product's provider living through some of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import websockets

from tastytrade_provider.dxlink.events import Event
from tastytrade_provider.dxlink.messages import AuthState, ChannelClosed, Error, ErrorKind, FeedConfig, FeedData, Setup, Subscription
from tastytrade_provider.dxlink.rows import decode
from tastytrade_provider.dxlink.turns import State
from tastytrade_provider.emulator import Emulator, Faults
from tastytrade_provider.emulator.faults import KINDS, table, usage
from tastytrade_provider.emulator.truth import read
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Gap, TradeBatch
from tastytrade_provider.tastytrade import upkeep
from tests.checks.sources import excerpt, until
from tests.emulator.exchange import SYMBOL
from tests.emulator.test_server import LIMIT_S, Client, a_tape
from tests.tastytrade.test_provider import a_provider

N = 600
Row = dict[str, object]


class Witness(Client):
    """A client that keeps what it hears."""

    def __init__(self, websocket: Any, token: str) -> None:
        super().__init__(websocket, token)
        self.heard: list[Event] = []

    async def receive(self) -> None:
        for event in self.dxlink.receive(await asyncio.wait_for(self.websocket.recv(), LIMIT_S)):
            self.heard.append(event)
            if isinstance(event, FeedData):
                for name, rows in decode(event, self.dxlink.channels[event.channel].fields):
                    self.rows[name] += rows
        await self.flush()

    async def hear(self, kind: type[Any], n: int = 1) -> Any:
        """The n-th event of a kind."""
        while len(found := [event for event in self.heard if isinstance(event, kind)]) < n:
            await self.receive()
        return found[n - 1]

    async def closed(self) -> Any:
        """The close frame that ended the connection; None: there was none."""
        try:
            while True:
                await self.receive()
        except websockets.ConnectionClosed as ended:
            return ended.rcvd


@asynccontextmanager
async def a_witness(emulator: Emulator, token: str | None = None) -> AsyncIterator[Witness]:
    good = token or emulator.rest.quote_tokens.issue(2e9)
    async with websockets.connect(emulator.dxlink_url, proxy=None, compression=None, close_timeout=0.1) as websocket:
        client = Witness(websocket, good)
        await client.flush()
        yield client


@asynccontextmanager
async def struck(tmp_path: Path, *faults: str, source: Any = None, speed: Any = "max", seed: int = 1) -> AsyncIterator[tuple[Emulator, Witness]]:
    """An emulator with faults and a client of it that has subscribed the trades."""
    emulator = Emulator(source or a_tape(N), speed=speed, truth_path=tmp_path / "truth", faults=Faults(faults, seed))
    async with emulator, a_witness(emulator) as client:
        await client.subscribe("TimeAndSale")
        yield emulator, client


def a_caller(emulator: Emulator) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=emulator.api_url, trust_env=False, headers={"User-Agent": "test/1"})


def indexes(rows: list[Row]) -> list[Any]:
    return [row["index"] for row in rows]


# --- the plan


def test_a_fault_strikes_once_at_its_mark_or_every_so_often_and_marks_passed_together_strike_once() -> None:
    plan = Faults(["reset=100rows", "close=1008@every:2s", "rest=429@first:2", "rest=html@every:3"])
    assert [[(fault.name, fault.what) for fault in plan.due(*now)] for now in [(0, 99, 0), (1.9, 100, 1), (2, 5000, 2), (7, 0, 3), (7.9, 0, 3), (8, 0, 6)]] == [
        [],
        [("reset", ""), ("rest", "429")],
        [("close", "1008"), ("rest", "429")],
        [("close", "1008"), ("rest", "html")],
        [],
        [("close", "1008"), ("rest", "html")],
    ]


@pytest.mark.parametrize("spec", ["random=7", "random=7@1s", "columns=every:1s"])
def test_the_same_specification_and_seed_give_the_same_faults_and_another_seed_gives_others(spec: str) -> None:
    def struck(spec: str, seed: int) -> list[Any]:
        plan = Faults([spec], seed)
        return [fault for tenth in range(1000) for fault in plan.due(tenth / 10, 0)]

    assert struck(spec, 3) == struck(spec, 3)
    assert struck(spec, 3) != struck(spec.replace("7", "8"), 4)


def test_random_strikes_at_the_mean_distance_that_was_asked_for_with_many_sorts_of_fault() -> None:
    plan = Faults(["random=20261122@500rows"])
    found = [fault for rows in range(0, 500_000, 10) for fault in plan.due(0.0, rows)]
    assert 800 < len(found) < 1200  # 1000 in the mean, standard deviation 32
    assert {fault.name for fault in found} == set(KINDS) - {"random", "silence"} - {name for name, kind in KINDS.items() if kind.limit}


@pytest.mark.parametrize(
    "spec",
    [
        *("reset", "reset=", "reset=5", "reset=0s", "reset=-1s", "reset=1008@5s", "reset=@5s", "reset=first:2", "reset=1.5rows", "nonsense=5s", "", "=5s"),
        *("close=1010@2s", "error=2s", "error=SILLY@2s", "rest=500@2s", "random=x", "random=", "random=7@every:2s", "corrections=0@2s"),
        *("session_limit=x", "session_limit=0", "session_limit=1.5", "slow_setup=", "no_keepalive=fast", "subscription_size=5s"),
        *("unserved=", "unserved=Greeks", "unserved=Quote,", "history_cap=TimeAndSale", "history_cap=Quote:5", "history_cap=Candle:0"),
        *("level=", "level=api", "auto_without_history=yes"),
    ],
)
def test_a_specification_that_is_none_is_refused_and_every_fault_is_named_with_what_it_accepts(spec: str) -> None:
    with pytest.raises(UsageError) as refused:
        Faults([spec])
    assert repr(spec) in str(refused.value)
    assert "close=[1000|1008|1009@]WHEN" in str(refused.value)
    assert all(f" {usage(name)}" in str(refused.value) for name in KINDS)
    assert "\n" not in str(refused.value)


def test_the_table_has_a_word_on_every_fault() -> None:
    assert all(usage(name) in table().splitlines() and kind.text in table() for name, kind in KINDS.items())


# --- the end of a connection


async def test_a_reset_ends_the_stream_without_a_close_frame_and_the_next_connection_is_well(tmp_path: Path) -> None:
    async with struck(tmp_path, "reset=100rows") as (emulator, client):
        assert await client.closed() is None
        async with a_witness(emulator) as again:
            await again.subscribe("TimeAndSale")
            rows = await again.until("TimeAndSale", 300)
            await emulator.wait_finished()
        truth = indexes(read(emulator.truth))
        first = truth.index(rows[0]["index"])
        assert first >= 100
        assert indexes(rows) == truth[first : first + len(rows)]
        assert len(truth) == N


async def test_a_reset_is_a_tcp_reset(tmp_path: Path) -> None:
    upgrade = "GET /realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    async with Emulator(a_tape(1), truth_path=tmp_path / "truth", faults=["reset=0.1s"]) as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        writer.write(f"{upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.readline(), LIMIT_S)).split()[1] == b"101"
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), LIMIT_S)
        writer.close()


@pytest.mark.parametrize(("code", "reason"), [(1000, "Bye"), (1008, "policy violation"), (1009, "message too big")])
async def test_a_close_has_the_code_that_was_asked_for_and_comes_after_the_rows(code: int, reason: str, tmp_path: Path) -> None:
    async with struck(tmp_path, f"close={code}@100rows") as (emulator, client):
        frame = await client.closed()
        assert (frame.code, frame.reason) == (code, reason)
    rows = indexes(client.rows["TimeAndSale"])
    assert len(rows) >= 100
    assert rows == indexes(read(emulator.truth))[: len(rows)]


async def test_a_repeated_fault_comes_again(tmp_path: Path) -> None:
    async with struck(tmp_path, "close=every:100rows") as (emulator, client):
        assert (await client.closed()).code == 1000
        async with a_witness(emulator) as again:
            await again.subscribe("TimeAndSale")
            assert (await again.closed()).code == 1000


async def test_silence_leaves_the_socket_open_and_nothing_comes_though_the_exchange_goes_on(tmp_path: Path) -> None:
    async with struck(tmp_path, "silence=100rows") as (emulator, client):
        rows = await client.until("TimeAndSale", 100)
        await emulator.wait_finished()
        sent = emulator.sent["TimeAndSale"]
        await client.until("TimeAndSale", sent)
        await client.websocket.send("[1")  # what would be answered with an ERROR
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.websocket.recv(), 0.2)
        assert [visitor.closed_because for visitor in emulator.visitors] == [""]
        assert 100 <= len(rows) == sent < N == len(read(emulator.truth))


async def test_without_a_keepalive_the_client_is_sent_away_after_the_time_the_setup_says(tmp_path: Path) -> None:
    async with struck(tmp_path, "no_keepalive=0.3s", source=a_tape(2, spacing_s=3600), speed=1) as (_, client):
        setup = await client.hear(Setup)
        assert (setup.keepalive_timeout_s, setup.accept_keepalive_timeout_s) == (0.3, 0.3)
        frame = await client.closed()
        assert (frame.code, frame.reason) == (1000, "Bye")


async def test_a_client_that_says_keepalive_is_not_sent_away(tmp_path: Path) -> None:
    now_s = asyncio.get_running_loop().time
    async with struck(tmp_path, "no_keepalive=0.4s", source=a_tape(200, spacing_s=0.1), speed=10) as (_, client):
        began_s = now_s()
        while now_s() - began_s < 1.0:
            await client.receive()
            client.dxlink.advance(now_s())
            await client.flush()


async def test_a_slow_setup_takes_its_time_and_then_all_is_well(tmp_path: Path) -> None:
    began_s = asyncio.get_running_loop().time()
    async with struck(tmp_path, "slow_setup=0.3s") as (_, client):
        await client.hear(Setup)
        assert asyncio.get_running_loop().time() - began_s >= 0.3
        assert len(await client.until("TimeAndSale", N)) == N


# --- words


@pytest.mark.parametrize("kind", ErrorKind)
async def test_an_error_is_told_and_ends_nothing(kind: ErrorKind, tmp_path: Path) -> None:
    async with struck(tmp_path, f"error={kind}@100rows") as (emulator, client):
        rows = await client.until("TimeAndSale", N)
        assert [(event.kind, event.channel) for event in client.heard if isinstance(event, Error)] == [(kind, 0)]
        await emulator.wait_finished()
        assert indexes(rows) == indexes(read(emulator.truth))


async def test_a_closed_channel_is_told_and_a_new_one_goes_on(tmp_path: Path) -> None:
    async with struck(tmp_path, "channel_closed=100rows") as (emulator, client):
        assert (await client.hear(ChannelClosed)).channel == 1
        before = len(client.rows["TimeAndSale"])
        assert await client.subscribe("TimeAndSale") == 3
        rows = await client.until("TimeAndSale", N)
        await emulator.wait_finished()
        assert 100 <= before < N
        assert indexes(rows) == indexes(read(emulator.truth))


async def test_an_expired_token_gets_no_rows_and_is_refused_and_a_fresh_one_goes_on(tmp_path: Path) -> None:
    async with struck(tmp_path, "token_expiry=100rows") as (emulator, client):
        told = await client.hear(Error)
        assert (told.kind, told.message) == ("UNAUTHORIZED", "Your authentication token has expired, reauthentication is required")
        old = next(iter(emulator.rest.quote_tokens.until_s))
        client.dxlink.authenticate(old)
        await client.flush()
        refused = await client.hear(Error, 2)
        assert (refused.kind, refused.message) == ("UNAUTHORIZED", "Authentication failed")
        await emulator.wait_finished()
        assert len(client.rows["TimeAndSale"]) == emulator.sent["TimeAndSale"] < N == len(read(emulator.truth))
        async with a_witness(emulator, old) as stale:
            assert (await stale.hear(Error)).message == "Authentication failed"
        async with a_witness(emulator) as fresh:
            await fresh.subscribe("TimeAndSale", contract="HISTORY", from_ms=0)
            snapshot = await fresh.until("TimeAndSale", N)
            assert set(indexes(read(emulator.truth))) <= set(indexes(snapshot))


async def test_after_a_second_auth_state_the_same_token_is_good_again(tmp_path: Path) -> None:
    source = a_tape(3000, spacing_s=0.001)
    async with struck(tmp_path, "auth_state=every:500rows", source=source, speed=2) as (emulator, client):
        told = await client.hear(AuthState, 3)  # the first asked for the token, the second granted it
        assert told.state == "UNAUTHORIZED"
        assert client.dxlink.state is State.UNAUTHORIZED
        before = len(client.rows["TimeAndSale"])
        client.dxlink.authenticate(next(iter(emulator.rest.quote_tokens.until_s)))
        await client.flush()
        assert (await client.hear(AuthState, 4)).state == "AUTHORIZED"
        assert len(await client.until("TimeAndSale", before + 100)) >= before + 100


async def test_one_session_too_many_is_told_as_live_and_a_place_that_becomes_free_is_given(tmp_path: Path) -> None:
    text = "The number of user sessions has exceeded the configured limit, user=tasty/U"
    async with Emulator(a_tape(1), truth_path=tmp_path / "truth", faults=["session_limit=1"]) as emulator:
        async with a_witness(emulator) as first:
            await first.hear(AuthState, 2)
            async with a_witness(emulator) as second:
                told = await second.hear(Error)
                assert (told.kind, told.message[: len(text)]) == ("UNAUTHORIZED", text)
        await until(lambda: not emulator.visitors, "the connections did not end")
        async with a_witness(emulator) as third:
            assert (await third.hear(AuthState, 2)).state == "AUTHORIZED"


@pytest.mark.parametrize(
    ("limit", "text"), [("subscription_size", "Your subscription size is too big"), ("subscription_rate", "Your subscription rate is too high")]
)
async def test_a_subscription_beyond_the_limit_is_refused_word_for_word_and_stays_silent(limit: str, text: str, tmp_path: Path) -> None:
    async with struck(tmp_path, f"{limit}=2") as (_, client):
        await client.until("TimeAndSale", 1)
        client.dxlink.subscribe(1, [Subscription("Quote", SYMBOL), Subscription("Trade", SYMBOL)])
        await client.flush()
        told = await client.hear(Error)
        assert (told.kind, told.message) == ("BAD_ACTION", text)
        await client.until("TimeAndSale", N)
        assert not client.rows["Trade"]


# --- REST


@pytest.mark.parametrize(
    ("what", "status", "retry_after"),
    [("401", 401, None), ("403", 403, None), ("429", 429, None), ("429-retry-after", 429, "1"), ("502", 502, None), ("html", 200, None)],
)
async def test_the_first_rest_answers_are_what_was_asked_for_and_the_rest_is_well(what: str, status: int, retry_after: str | None, tmp_path: Path) -> None:
    async with Emulator(a_tape(1), truth_path=tmp_path / "truth", faults=[f"rest={what}@first:2"]) as emulator, a_caller(emulator) as http:
        answers = [await http.get("/api-quote-tokens") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 401]
    assert [answer.headers.get("Retry-After") for answer in answers] == [retry_after, retry_after, None]
    assert ("html" in answers[0].headers.get("Content-Type", "")) == (what in ("502", "html"))
    assert answers[2].json()["error"]["code"] == "unauthorized"


async def test_every_third_rest_answer_can_be_bad(tmp_path: Path) -> None:
    async with Emulator(a_tape(1), truth_path=tmp_path / "truth", faults=["rest=502@every:3"]) as emulator, a_caller(emulator) as http:
        assert [(await http.get("/")).status_code for _ in range(7)] == [401, 401, 502, 401, 401, 502, 401]


# --- rows


@pytest.mark.parametrize("what", ["reorder", "drop"])
async def test_columns_change_in_mid_stream_and_the_announced_ones_give_the_right_values(what: str, tmp_path: Path) -> None:
    async with struck(tmp_path, f"columns={what}@300rows") as (emulator, client):
        rows = await client.until("TimeAndSale", N)
        await emulator.wait_finished()
        configs = [event for event in client.heard if isinstance(event, FeedConfig)]
        first, second = [config.event_fields["TimeAndSale"] for config in configs if config.event_fields]
        assert (len(second) == len(first) - 1 and set(second) < set(first)) if what == "drop" else (second != first and set(second) == set(first))
        truth = read(emulator.truth)
        assert [(row["index"], row["price"], row["size"]) for row in rows] == [(row["index"], row["price"], row["size"]) for row in truth]
        assert list(rows[0]) == list(first)
        assert list(rows[-1]) == list(second)


async def test_a_message_comes_twice_and_the_ground_truth_has_it_once(tmp_path: Path) -> None:
    async with struck(tmp_path, "duplicate=300rows") as (emulator, client):
        rows = await client.until("TimeAndSale", N + 50)  # 100 events a message, of which 50 prints
        await emulator.wait_finished()
        truth = indexes(read(emulator.truth))
        assert indexes(rows) != truth
        assert list(dict.fromkeys(indexes(rows))) == truth
        assert emulator.sent["TimeAndSale"] == N + 50


async def test_rows_come_out_of_order_and_none_is_lost(tmp_path: Path) -> None:
    async with struck(tmp_path, "reorder=every:100rows") as (emulator, client):
        rows = await client.until("TimeAndSale", N)
        await emulator.wait_finished()
        truth = indexes(read(emulator.truth))
        assert indexes(rows) != truth
        assert sorted(indexes(rows)) == truth


async def test_a_storm_of_corrections_is_in_the_ground_truth_and_on_the_wire_alike(tmp_path: Path) -> None:
    async with struck(tmp_path, "corrections=200@300rows") as (emulator, client):
        rows = await client.until("TimeAndSale", N + 200)
        await emulator.wait_finished()
        truth = read(emulator.truth)
        keys = ("index", "type", "size", "price")
        assert [tuple(row[key] for key in keys) for row in rows] == [tuple(row[key] for key in keys) for row in truth]
        at = indexes(rows)
        storm = [n for n, row in enumerate(rows) if row["type"] != "NEW"]
        assert storm == list(range(storm[0], storm[0] + 200))
        assert at[storm[0] : storm[0] + 200] == at[storm[0] - 200 : storm[0]]  # the newest ones, each with its old index
        assert {row["type"] for row in rows} == {"NEW", "CORRECTION", "CANCEL"}
        assert all(rows[n]["size"] == float(rows[n - 200]["size"]) + 1 for n in storm if rows[n]["type"] == "CORRECTION")  # type: ignore[arg-type]


async def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    async def rows(seed: int) -> list[Row]:
        async with struck(tmp_path, "corrections=100@300rows", "columns=500rows", seed=seed) as (_, client):
            return await client.until("TimeAndSale", N + 100)

    one, same, other = [await rows(seed) for seed in (5, 5, 6)]
    assert [list(row.items()) for row in one if row["type"] != "NEW"] == [list(row.items()) for row in same if row["type"] != "NEW"]
    assert [row["type"] for row in one] != [row["type"] for row in other]


# --- the product


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        (["reset=300rows"], ["connection lost"]),
        (["token_expiry=300rows"], ["connection lost", "token has expired"]),
        (["reset=300rows", "rest=502@300rows"], ["connection lost", "HTTP 502 to /api-quote-tokens: asked again after"]),
        (["random=20261122@400rows"], ["connection lost"]),
    ],
    ids=["reset", "token expiry", "rest 502", "random"],
)
async def test_the_provider_lives_through_it_says_what_happened_and_loses_none_without_a_gap(
    faults: list[str], told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    source = excerpt(events=4000, roots=("ES",))
    [es] = source.contracts
    async with Emulator(source, speed=60, truth_path=tmp_path / "truth", faults=faults) as emulator, a_provider(emulator) as provider:
        items: list[Any] = []
        provider.subscribe_trades(es).on(items.append)
        await asyncio.wait_for(emulator.wait_finished(), LIMIT_S)
        end_ns = source.prints(es)[-1].time_ns
        await until(lambda: provider._lines[es.streamer_symbol].intake.last_time_ns == end_ns, "the last trades did not come")
        await until(lambda: provider.is_connected, "it did not come back")
        status = provider.status()
        truth = {record["index"] for record in read(emulator.truth)}
    trades = [trade.index for item in items if isinstance(item, TradeBatch) for trade in item]
    gaps = [item for item in items if isinstance(item, Gap)]
    assert status.state == "connected"
    assert status.reconnects >= 1
    assert all(any(text in note for note in status.notes) for text in told), status.notes
    assert gaps
    missing = {p.index: p.time_ns for p in source.prints(es) if p.index not in set(trades)}
    first_ns = min(trade.time_ns for item in items if isinstance(item, TradeBatch) for trade in item)
    assert all(any(gap.start_ns <= at < gap.end_ns for gap in gaps) for at in missing.values() if at >= first_ns)
    assert set(trades) <= truth


# --- the command


def emulate(*words: str) -> Any:
    return subprocess.run([sys.executable, "-m", "tastytrade_provider", "emulate", *words], capture_output=True, text=True, timeout=60)


def test_the_command_lists_the_faults_and_says_what_it_takes_where_one_is_unknown() -> None:
    shown = emulate("--fault", "list")
    assert (shown.returncode, shown.stdout) == (0, table() + "\n")
    refused = emulate("--fault", "earthquake=5s")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: fault 'earthquake=5s' is not understood; there are reset=WHEN, close=")
    assert refused.stderr.count("\n") == 1


async def test_the_command_s_exchange_has_the_faults_that_were_asked_for(tmp_path: Path) -> None:
    words = ["--fault", "rest=429-retry-after@first:1", "--fault", "close=1008@0.1s", "--fault", "level=demo", "--truth", str(tmp_path / "truth")]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tastytrade_provider", "emulate", *words, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        found = orjson.loads(await asyncio.wait_for(process.stdout.readline(), LIMIT_S))
        async with httpx2.AsyncClient(trust_env=False) as http:
            assert (await http.get(found["api_url"])).headers["Retry-After"] == "1"
        assert found["dxlink_url"].endswith("/delayed")
        async with websockets.connect(found["dxlink_url"], proxy=None) as websocket:
            assert (await Witness(websocket, "none").closed()).code == 1008
    finally:
        process.terminate()
        await process.wait()
