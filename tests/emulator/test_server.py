from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from tastytrade import DXLinkStreamer, Session
from tastytrade.dxfeed import Candle, TimeAndSale
from tastytrade.instruments import Cryptocurrency, Future
from tastytrade.utils import TastytradeError

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import FeedData, Subscription
from tastytrade_provider.dxlink.rows import decode
from tastytrade_provider.dxlink.turns import State
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Market, Wire, load_tape
from tastytrade_provider.emulator.truth import read
from tastytrade_provider.errors import UsageError
from tastytrade_provider.pace import Pace
from tests.checks.sources import until
from tests.emulator.exchange import BUY, SELL, SYMBOL, UNDEFINED, AList, a_print, a_quote

N = 1234
LIMIT_S = 30.0


def a_tape(n: int = N, spacing_s: float = 0.01) -> AList:
    sides = (BUY, SELL, UNDEFINED)
    prints = [a_print(i * spacing_s, 6000 + 0.25 * (i % 5), 1.0 + i % 3, sides[i % 3], i) for i in range(n)]
    return AList([event for i, a in enumerate(prints) for event in (a_quote(i * spacing_s, a.price - 0.25, a.price), a)])


@asynccontextmanager
async def a_session(emulator: Emulator, **credentials: str) -> AsyncIterator[Session]:
    given = {"provider_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN} | credentials
    session = Session(**given, trust_env=False)  # type: ignore[arg-type]
    session._client.base_url = emulator.api_url
    async with session:
        yield session


@asynccontextmanager
async def a_streamer(session: Session) -> AsyncIterator[DXLinkStreamer]:
    streamer = DXLinkStreamer(session)
    try:
        async with streamer:
            yield streamer
    finally:
        for stream in (*streamer._send.values(), *streamer._recv.values()):
            stream.close()  # which the SDK leaves to the garbage collector, with a warning


class Client:
    """A DXLink client of the emulator on a real socket."""

    def __init__(self, websocket: Any, token: str) -> None:
        self.websocket, self.dxlink, self.rows = websocket, Connection("client"), defaultdict[str, list[dict[str, object]]](list)
        self.dxlink.setup()
        self.dxlink.authenticate(token)

    async def flush(self) -> None:
        for payload in self.dxlink.data_to_send():
            await self.websocket.send(payload.decode())

    async def receive(self) -> None:
        payload = await asyncio.wait_for(self.websocket.recv(), LIMIT_S)
        for event in self.dxlink.receive(payload):
            if isinstance(event, FeedData):
                for name, rows in decode(event, self.dxlink.channels[event.channel].fields):
                    self.rows[name] += rows
        await self.flush()

    async def subscribe(self, event_type: str, symbol: str = SYMBOL, contract: str = "STREAM", from_ms: int | None = None) -> int:
        channel = self.dxlink.open_channel(contract=contract)
        self.dxlink.subscribe(channel, [Subscription(event_type, symbol, from_ms)])
        await self.flush()
        return channel

    async def until(self, event_type: str, n: int) -> list[dict[str, object]]:
        while len(self.rows[event_type]) < n:
            await self.receive()
        return self.rows[event_type]


@asynccontextmanager
async def a_client(emulator: Emulator, token: str | None = None, receive_buffer: int | None = None) -> AsyncIterator[Client]:
    good = emulator.rest.quote_tokens.issue(2e9)
    plug = socket.socket()
    if receive_buffer is not None:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plug.connect(("127.0.0.1", emulator.port))
    async with websockets.connect(emulator.dxlink_url, sock=plug, compression=None, close_timeout=0.1) as websocket:
        client = Client(websocket, token or good)
        await client.flush()
        yield client


async def test_the_sdk_receives_every_print_of_the_ground_truth(tmp_path: Path) -> None:
    async with Emulator(a_tape(), speed="max", truth_path=tmp_path / "truth") as emulator, a_session(emulator) as session:
        contract = await Future.get(session, "/ESZ6")
        found: list[TimeAndSale] = []
        async with a_streamer(session) as streamer:
            await streamer.subscribe(TimeAndSale, [contract.streamer_symbol])
            while len(found) < N:
                found.append(await asyncio.wait_for(streamer.get_event(TimeAndSale), LIMIT_S))
            await emulator.wait_finished()
        truth = read(emulator.truth)
        assert emulator.sent == {"TimeAndSale": N}
    assert len(truth) == N
    assert [(row.index, float(row.price), float(row.size), row.aggressor_side) for row in found] == [
        (row["index"], row["price"], row["size"], row["side"]) for row in truth
    ]


async def test_the_sdk_reads_candles_whose_volumes_add_up_to_the_prints(tmp_path: Path) -> None:
    tape = a_tape(spacing_s=0.25)
    last = tape.events[-1].at_ns
    emulator = Emulator(tape, speed="max", truth_path=tmp_path / "truth", live_from_ns=last + 1)
    async with emulator, a_session(emulator) as session, a_streamer(session) as streamer:
        await streamer.subscribe_candle([SYMBOL], "1m", extended_trading_hours=True)
        candles = [await asyncio.wait_for(streamer.get_event(Candle), LIMIT_S)]
        while not candles[-1].snapshot_end:
            candles.append(await asyncio.wait_for(streamer.get_event(Candle), LIMIT_S))
    bars = [candle for candle in candles if candle.volume]
    assert [candle.event_flags for candle in candles] == [4, *[0] * len(bars), 10]
    assert {candle.event_symbol for candle in candles} == {f"{SYMBOL}{{=m}}"}
    # prints i = 0 .. 1233 have 1 + i % 3 lots and sides BUY, SELL, UNDEFINED in turn; 240 a minute
    assert [int(bar.count) for bar in reversed(bars)] == [240, 240, 240, 240, 240, 34]
    assert (bars[-1].ask_volume, bars[-1].bid_volume, bars[-1].volume) == (80, 160, 480)


async def test_wrong_credentials_and_unknown_symbols_are_errors_of_the_sdk() -> None:
    async with Emulator(Market()) as emulator:
        async with a_session(emulator, provider_secret="wrong") as session:
            with pytest.raises(TastytradeError, match="invalid_client"):
                await Future.get(session, "/ESH6")
        async with a_session(emulator) as session:
            with pytest.raises(TastytradeError, match="not_found"):
                await Future.get(session, "/ESZ1")
            assert len(await Future.get(session, product_codes=["ES"], per_page=2, page_offset=None)) == 6
        emulator.truth.unlink()


async def test_a_cryptocurrency_keeps_the_decimals_of_its_sizes(tmp_path: Path) -> None:
    (tmp_path / "ethusdt.csv").write_text("exch_ms,price,size,side\n1723161256310,2681.62,0.048,BUY\n1723161256311,2681.63,0.101,SELL\n")
    tape = load_tape(tmp_path / "ethusdt.csv")
    async with Emulator(tape, speed="max", truth_path=tmp_path / "truth") as emulator, a_session(emulator) as session:
        contract = await Cryptocurrency.get(session, "ETHUSDT")
        async with a_client(emulator) as client:
            await client.subscribe("TimeAndSale", contract.streamer_symbol)
            assert [row["size"] for row in await client.until("TimeAndSale", 2)] == [0.048, 0.101]


async def test_a_tape_waits_for_its_first_listener_and_every_listener_gets_all_of_it(tmp_path: Path) -> None:
    emulator = Emulator(a_tape(), speed="max", truth_path=tmp_path / "truth", start_on=("TimeAndSale",))
    async with emulator, a_client(emulator) as one, a_client(emulator) as two:
        await two.subscribe("Quote", contract="TICKER")
        while two.dxlink.state is not State.OPEN:
            await two.receive()
        assert emulator.sent == {}
        await one.subscribe("TimeAndSale")
        rows = await one.until("TimeAndSale", N)
        await emulator.wait_finished()
        quotes = await two.until("Quote", 1)
        assert [row["index"] for row in rows] == [row["index"] for row in read(emulator.truth)]
        assert quotes


async def test_withheld_sides_are_undefined_on_the_wire_and_kept_in_the_ground_truth(tmp_path: Path) -> None:
    async with Emulator(a_tape(6), speed="max", truth_path=tmp_path / "truth", withhold_sides=True) as emulator, a_client(emulator) as client:
        await client.subscribe("TimeAndSale")
        assert {row["aggressorSide"] for row in await client.until("TimeAndSale", 6)} == {"UNDEFINED"}
        await emulator.wait_finished()
        assert [row["side"] for row in read(emulator.truth)] == ["BUY", "SELL", "UNDEFINED"] * 2


async def test_history_before_the_start_is_a_snapshot_and_not_a_stream(tmp_path: Path) -> None:
    tape = a_tape(10, spacing_s=1.0)
    middle_ns = tape.start_ns + 5_000_000_000
    async with Emulator(tape, speed="max", truth_path=tmp_path / "truth", live_from_ns=middle_ns) as emulator, a_client(emulator) as client:
        await client.subscribe("TimeAndSale", contract="HISTORY", from_ms=tape.start_ns // 1_000_000)
        rows = await client.until("TimeAndSale", 10)
        assert [row["eventFlags"] for row in rows] == [4, 0, 0, 0, 8, 0, 0, 0, 0, 0]
        assert [row["sequence"] for row in rows] == [4, 3, 2, 1, 0, 5, 6, 7, 8, 9]


async def test_at_a_given_speed_a_tape_takes_its_time(tmp_path: Path) -> None:
    tape = a_tape(101, spacing_s=1.0)  # 100 seconds, at 200 times the speed half a second
    clock = asyncio.get_running_loop().time
    async with Emulator(tape, speed=200, truth_path=tmp_path / "truth") as emulator, a_client(emulator) as client:
        await client.subscribe("TimeAndSale")
        await client.until("TimeAndSale", 1)
        began_s = clock()
        await client.until("TimeAndSale", 101)
        assert 0.4 < clock() - began_s < 5
        await emulator.wait_finished()


async def test_a_paused_exchange_keeps_its_connections_and_its_clock_where_they_are_and_loses_nothing(tmp_path: Path) -> None:
    tape, pace = a_tape(101, spacing_s=1.0), Pace(100.0)
    clock = asyncio.get_running_loop().time
    async with Emulator(tape, speed=pace, truth_path=tmp_path / "truth") as emulator, a_client(emulator) as client:
        await client.subscribe("TimeAndSale")
        await client.until("TimeAndSale", 10)
        pace.pause()
        at_ns, began_s = pace.now_ns, clock()
        await until(lambda: clock() - began_s > 0.3, "our clock stands too")
        assert emulator.market_ns == pace.now_ns == at_ns
        played = (at_ns - tape.start_ns) // 1_000_000_000 + 1
        assert len(await client.until("TimeAndSale", played)) == emulator.sent["TimeAndSale"] == played
        pace.step(tape.start_ns + 80_500_000_000)
        await client.until("TimeAndSale", 82)
        assert (pace.is_paused, emulator.market_ns) == (True, tape.start_ns + 81_000_000_000)
        pace.set_speed("max")
        pace.resume()
        rows = await client.until("TimeAndSale", 101)
        await emulator.wait_finished()
    assert [row["sequence"] for row in rows] == list(range(101))


async def test_a_market_runs_on_its_own_clock_and_is_logged_though_nobody_listens(tmp_path: Path) -> None:
    market = Market(seed=2)
    async with Emulator(market, speed=100, truth_path=tmp_path / "truth") as emulator, a_client(emulator) as client:
        for contract in emulator.source.contracts:
            await client.subscribe("TimeAndSale", contract.streamer_symbol)
        rows = await client.until("TimeAndSale", 300)
        assert emulator.market_ns > market.start_ns
    truth = read(emulator.truth)
    keys = {(row["symbol"], row["index"]) for row in truth}
    assert {(row["eventSymbol"], row["index"]) for row in rows} <= keys
    assert {row["symbol"] for row in truth} == {"/ESH26:XCME", "/NQH26:XCME", "/GCJ26:XCEC"}


async def test_a_refused_token_gets_no_channel() -> None:
    async with Emulator(a_tape(3)) as emulator, a_client(emulator, token="stolen") as client:
        await client.subscribe("TimeAndSale")
        while not client.dxlink.counts and client.dxlink.state is not State.UNAUTHORIZED:
            await client.receive()
        assert emulator.sent == {}
        emulator.truth.unlink()


async def test_a_reader_who_is_too_slow_is_sent_away_and_the_others_go_on(tmp_path: Path) -> None:
    emulator = Emulator(a_tape(30_000, spacing_s=0.001), speed=20, truth_path=tmp_path / "truth", max_buffer_bytes=100_000)
    async with emulator, a_client(emulator) as good, a_client(emulator, receive_buffer=4096) as lazy:
        visitor = emulator.visitors[-1]
        await lazy.subscribe("TimeAndSale")
        await lazy.until("TimeAndSale", 1)
        lazy.websocket.transport.pause_reading()
        await good.subscribe("TimeAndSale")
        while not visitor.closed_because:
            await good.receive()
        assert visitor.closed_because == "1008 slow consumer"
        await emulator.wait_finished()
        rows = await good.until("TimeAndSale", len(good.rows["TimeAndSale"]) + 1)
        assert rows[-1]["sequence"] == rows[0]["sequence"] + len(rows) - 1
        lazy.websocket.transport.abort()


async def test_a_client_that_vanishes_does_not_stop_the_tape_for_the_others(tmp_path: Path) -> None:
    async with Emulator(a_tape(20_000), speed="max", truth_path=tmp_path / "truth") as emulator, a_client(emulator) as stays, a_client(emulator) as goes:
        await goes.subscribe("TimeAndSale")
        await goes.until("TimeAndSale", 100)
        await stays.subscribe("TimeAndSale")
        goes.websocket.transport.abort()
        await stays.until("TimeAndSale", 100)
        while not emulator.sent["TimeAndSale"] >= 20_000:
            await stays.receive()
        await asyncio.wait_for(emulator.wait_finished(), LIMIT_S)


async def test_stop_ends_every_task_and_connection(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    emulator = Emulator(Market(), truth_path=tmp_path / "truth")
    await emulator.start()
    async with a_session(emulator) as session:
        await Future.get(session, "/ESH6")
        async with a_client(emulator) as client:
            await client.subscribe("TimeAndSale", "/ESH26:XCME")
            await client.until("TimeAndSale", 1)
            await emulator.stop()
            await emulator.stop()
            with pytest.raises(websockets.ConnectionClosed):
                await client.until("TimeAndSale", 10**9)
    assert {task for task in asyncio.all_tasks() if task.get_name().startswith("emulator")} == set()
    assert not [task for task in asyncio.all_tasks() - before if not task.done()]
    gc.collect()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"401"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"400"),
        (b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 2_000_000, b"413"),
    ],
)
async def test_bad_http_is_answered_and_ends_nothing_else(sent: bytes, status: bytes) -> None:
    async with Emulator(a_tape(1)) as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        writer.write(sent)
        assert (await asyncio.wait_for(reader.readline(), LIMIT_S)).split()[1] == status
        writer.close()
        async with a_session(emulator) as session:
            assert (await Future.get(session, "/ESZ6")).symbol == "/ESZ6"
        emulator.truth.unlink()


async def test_a_protocol_error_is_told_and_a_message_too_big_closes_with_1009() -> None:
    async with Emulator(a_tape(1)) as emulator:
        async with websockets.connect(emulator.dxlink_url, proxy=None) as socket:
            await socket.send("[1")
            assert json.loads(await asyncio.wait_for(socket.recv(), LIMIT_S))["error"] == "INVALID_MESSAGE"
            await socket.send("x" * 2_000_000)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), LIMIT_S)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        emulator.truth.unlink()


async def test_a_server_s_own_column_order_reaches_the_client(tmp_path: Path) -> None:
    wire = Wire(column_order={"TimeAndSale": ("size", "price")}, dropped_columns={"TimeAndSale": ("buyer", "seller")})
    async with Emulator(a_tape(3), speed="max", truth_path=tmp_path / "truth", wire=wire) as emulator, a_client(emulator) as client:
        await client.subscribe("TimeAndSale")
        rows = await client.until("TimeAndSale", 3)
        assert list(rows[0])[:2] == ["size", "price"]
        assert "buyer" not in rows[0]
        assert [row["size"] for row in rows] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), "fast"])
def test_a_speed_that_is_none_is_refused(speed: Any) -> None:
    with pytest.raises(UsageError, match="is not a number above 0 or 'max'"):
        Emulator(a_tape(1), speed=speed)


def test_before_the_start_there_is_no_address() -> None:
    with pytest.raises(UsageError, match="has not been started"):
        _ = Emulator(a_tape(1)).api_url


async def test_the_real_es_tape_reaches_the_sdk_complete(tapes: Path, tmp_path: Path) -> None:
    tape = load_tape(tapes / "es_h4_20231225_trades_bbo.csv.gz")
    async with Emulator(tape, speed="max", truth_path=tmp_path / "truth") as emulator, a_session(emulator) as session, a_streamer(session) as streamer:
        await streamer.subscribe(TimeAndSale, ["/ESH24:XCME"])
        found = [await asyncio.wait_for(streamer.get_event(TimeAndSale), LIMIT_S) for _ in range(len(tape))]
    lots = {side: sum(row.size for row in found if row.aggressor_side == side) for side in ("BUY", "SELL", "UNDEFINED")}
    assert lots == {"BUY": 5322, "SELL": 4526, "UNDEFINED": 44}
