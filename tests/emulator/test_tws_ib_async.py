"""The unmodified ib_async on the fake TWS, against the prints the emulator published."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.emulator import Emulator, Print, QuoteChange
from tastytrade_provider.emulator.truth import read
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Action
from tests.checks.sources import LIMIT_S, excerpt, until
from tests.emulator.exchange import AList, a_print, a_quote
from tests.emulator.test_server import a_client

ib_async = pytest.importorskip("ib_async", reason="the extra [ib] is not installed")

SOURCE = excerpt(2500, roots=("ES",))
[ES] = SOURCE.contracts
PRINTS = SOURCE.prints()
FUTURE = {"symbol": "ES", "lastTradeDateOrContractMonth": "202603", "exchange": "CME"}
OPEN_NS = a_print().time_ns


class Watched:
    """An `IB` that has connected, and the errors it was told."""

    def __init__(self) -> None:
        self.ib = ib_async.IB()
        self.ib.RaiseRequestErrors = True
        self.errors: list[tuple[int, int]] = []
        self.ib.errorEvent += lambda req_id, code, text, contract: self.errors.append((req_id, code))

    def heard(self, code: int) -> bool:
        return code in [known for _, known in self.errors]


@asynccontextmanager
async def connected(emulator: Emulator, client_id: int = 1) -> AsyncIterator[Watched]:
    watched = Watched()
    await watched.ib.connectAsync("127.0.0.1", emulator.tws_port, client_id, timeout=LIMIT_S, raiseSyncErrors=True)
    try:
        yield watched
    finally:
        watched.ib.disconnect()


async def the_future(ib: Any) -> Any:
    [contract] = await ib.qualifyContractsAsync(ib_async.Future(**FUTURE))
    return contract


def a_quiet_market(*events: Print | QuoteChange, **options: Any) -> Emulator:
    """An exchange on which that has happened, and nothing more until a test publishes it."""
    known = [a_quote(0), *events] if events else [a_quote(0), a_print(0, sequence=0)]
    after = known[-1].at_ns + 10**9
    return Emulator(AList([*known, a_quote(10**6)], is_endless=True), truth_path=os.devnull, live_from_ns=after, **({"tws": True} | options))


def a_tape(**options: Any) -> Emulator:
    """An exchange that plays the whole source once somebody listens."""
    return Emulator(SOURCE, speed="max", **({"tws": True, "truth_path": os.devnull} | options))


def sums(prints: list[Print], seconds: int) -> list[tuple[Any, ...]]:
    """Start, open, high, low, close, volume and count of bars of some seconds, added up here."""
    groups: dict[int, list[Print]] = defaultdict(list)
    for event in prints:
        groups[event.time_ns // 10**9 // seconds * seconds].append(event)
    found = []
    for start, prints in sorted(groups.items()):
        prices = [event.price for event in prints]
        found.append((start, prices[0], max(prices), min(prices), prices[-1], sum(event.size for event in prints), len(prints)))
    return found


def rows(bars: Any) -> list[tuple[Any, ...]]:
    return [(bar.date.timestamp(), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.barCount) for bar in bars]


# --- connection


async def test_it_connects_with_all_its_start_up_requests_and_hears_that_the_farms_are_well() -> None:
    async with a_quiet_market() as emulator, connected(emulator) as watched:
        assert watched.ib.client.serverVersion() == 178
        assert watched.ib.managedAccounts() == ["DU1234567"]
        assert [code for _, code in watched.errors] == [2104, 2106, 2158]
        assert (await watched.ib.reqCurrentTimeAsync()).timestamp() >= OPEN_NS / 1e9 + 1


async def test_a_second_client_of_the_same_id_hears_326_and_is_shown_the_door() -> None:
    async with a_quiet_market() as emulator, connected(emulator):
        second = Watched()
        connecting = asyncio.create_task(second.ib.connectAsync("127.0.0.1", emulator.tws_port, 1, timeout=LIMIT_S))
        await until(lambda: second.heard(326) and len(emulator.tws.gateway.sessions) == 1, "326 did not come")
        assert not connecting.done()  # ib_async waits for its time-out all the same
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        async with connected(emulator, 2) as other:
            assert other.ib.isConnected()


async def test_a_dropped_connection_is_noticed_and_the_same_id_may_come_again() -> None:
    async with a_quiet_market() as emulator, connected(emulator) as watched:
        [contract] = await watched.ib.qualifyContractsAsync(ib_async.Future("ES", "202612", "CME"))
        watched.ib.reqTickByTickData(contract, "AllLast")
        await until(lambda: emulator.tws.listens, "the subscription did not arrive")
        gone = asyncio.Event()
        watched.ib.disconnectedEvent += gone.set
        emulator.tws.drop_connections()
        await asyncio.wait_for(gone.wait(), LIMIT_S)
        await until(lambda: not emulator.tws.gateway.sessions, "the session did not end")
        await watched.ib.connectAsync("127.0.0.1", emulator.tws_port, 1, timeout=LIMIT_S)
        assert not emulator.tws.listens  # ib_async subscribes nothing again by itself


async def test_1101_loses_the_subscriptions_and_1102_keeps_them() -> None:
    async with a_quiet_market() as emulator, connected(emulator) as watched:
        [contract] = await watched.ib.qualifyContractsAsync(ib_async.Future("ES", "202612", "CME"))
        watched.ib.reqMktData(contract)
        await until(lambda: emulator.tws.listens, "the subscription did not arrive")
        emulator.tws.cut_off()
        emulator.tws.reconnect(data_lost=False)
        await until(lambda: watched.heard(1102), "1102 did not come")
        assert emulator.tws.listens
        emulator.tws.reconnect(data_lost=True)
        await until(lambda: watched.heard(1101), "1101 did not come")
        assert not emulator.tws.listens


async def test_while_connections_are_refused_nobody_gets_in() -> None:
    async with a_quiet_market() as emulator:
        emulator.tws.refuses = True
        reader, writer = await asyncio.open_connection("127.0.0.1", emulator.tws_port)
        assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
        writer.close()
        emulator.tws.refuses = False
        async with connected(emulator) as watched:
            assert watched.ib.isConnected()


async def test_an_emulator_without_a_tws_side_says_so() -> None:
    with pytest.raises(UsageError, match="no TWS side"):
        _ = a_quiet_market(tws=False).tws_port


# --- contracts


async def test_contracts_qualify_as_at_a_gateway() -> None:
    async with a_quiet_market() as emulator, connected(emulator) as watched:
        ib = watched.ib
        dated, lead, by_name = await ib.qualifyContractsAsync(
            ib_async.Future("ES", "202612", "CME"), ib_async.ContFuture("ES", "CME"), ib_async.Future(localSymbol="ESH7", exchange="CME")
        )
        assert (dated.localSymbol, dated.multiplier, lead.conId) == ("ESZ6", "50", dated.conId)
        assert by_name.lastTradeDateOrContractMonth == "20270319"
        [ambiguous] = await ib.qualifyContractsAsync(ib_async.Future("ES", exchange="CME"))
        assert ambiguous is None
        with pytest.raises(ib_async.wrapper.RequestError) as refused:
            await ib.qualifyContractsAsync(ib_async.Future("XX", "202612", "CME"))
        assert refused.value.code == 200
        [details] = await ib.reqContractDetailsAsync(by_name)
        assert (details.minTick, details.timeZoneId, details.contractMonth) == (0.25, "US/Central", "202703")
        [matched] = await ib.reqMatchingSymbolsAsync("e")
        assert (matched.contract.symbol, matched.derivativeSecTypes) == ("ES", ["FUT"])


# --- history


async def test_history_has_the_sums_of_the_ground_truth_s_prints() -> None:
    async with a_tape(live_from_ns=PRINTS[-1].at_ns + 1) as emulator, connected(emulator) as watched:
        contract = await the_future(watched.ib)
        for size, seconds in (("5 secs", 5), ("30 secs", 30), ("1 min", 60)):
            bars = await watched.ib.reqHistoricalDataAsync(contract, "", "1 D", size, "TRADES", useRTH=False, formatDate=2)
            assert rows(bars) == sums(PRINTS, seconds)
        daily = await watched.ib.reqHistoricalDataAsync(contract, "", "1 W", "1 day", "TRADES", useRTH=True)
        assert [(bar.date.isoformat(), bar.volume) for bar in daily] == [("2026-03-02", sum(event.size for event in PRINTS))]
        assert daily[0].average == pytest.approx(sum(p.size * p.price for p in PRINTS) / sum(p.size for p in PRINTS))


async def test_no_data_is_error_162_and_without_raise_request_errors_an_empty_list() -> None:
    async with a_quiet_market() as emulator, connected(emulator) as watched:
        [contract] = await watched.ib.qualifyContractsAsync(ib_async.Future("ES", "202703", "CME"))
        with pytest.raises(ib_async.wrapper.RequestError) as refused:
            await watched.ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", useRTH=False)
        assert refused.value.code == 162
        assert "no data" in refused.value.message
        watched.ib.RaiseRequestErrors = False
        assert list(await watched.ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", useRTH=False)) == []


async def test_bars_kept_up_to_date_end_as_the_ground_truth_and_are_cancelled() -> None:
    middle_ns = PRINTS[len(PRINTS) // 3].at_ns
    async with a_tape(live_from_ns=middle_ns) as emulator, connected(emulator) as watched:
        contract = await the_future(watched.ib)
        bars = await watched.ib.reqHistoricalDataAsync(contract, "", "1 D", "5 secs", "TRADES", useRTH=False, formatDate=2, keepUpToDate=True)
        expected = sums(PRINTS, 5)
        assert rows(bars)[:-1] == expected[: len(bars) - 1]
        await asyncio.wait_for(emulator.wait_finished(), LIMIT_S)
        await until(lambda: rows(bars) == expected, "the last bars did not come")
        watched.ib.cancelHistoricalData(bars)
        await until(lambda: watched.heard(162), "the cancel was not confirmed")


async def test_ticks_of_the_past_head_and_schedule() -> None:
    async with a_tape(live_from_ns=PRINTS[-1].at_ns + 1) as emulator, connected(emulator) as watched:
        contract = await the_future(watched.ib)
        found: list[Any] = []
        start: Any = "20260302-14:30:00"
        while page := await watched.ib.reqHistoricalTicksAsync(contract, start, "", 1000, "TRADES", useRth=False):
            found += page
            start = page[-1].time.replace(second=page[-1].time.second + 1)
        assert [(tick.time.timestamp(), tick.price, tick.size) for tick in found] == [(p.time_ns // 10**9, p.price, p.size) for p in PRINTS]
        quotes = await watched.ib.reqHistoricalTicksAsync(contract, "", "20260302-20:00:00", 3, "BID_ASK", useRth=False)
        last = [event for event in SOURCE if isinstance(event, QuoteChange)][-3:]
        assert [(tick.priceBid, tick.priceAsk, tick.sizeBid, tick.sizeAsk) for tick in quotes] == [event[2:] for event in last]
        head = await watched.ib.reqHeadTimeStampAsync(contract, "TRADES", useRTH=False, formatDate=2)
        assert head.timestamp() == PRINTS[0].time_ns // 10**9
        schedule = await watched.ib.reqHistoricalScheduleAsync(contract, 2, useRTH=False)
        assert [session.refDate for session in schedule.sessions] == ["20260227", "20260302"]


# --- streams


async def test_every_print_comes_as_a_tick_with_the_exchange_s_second(tmp_path: Path) -> None:
    async with a_tape(truth_path=tmp_path / "truth") as emulator, connected(emulator) as watched:
        contract = await the_future(watched.ib)
        seconds: list[int] = []
        plain = watched.ib.wrapper.tickByTickAllLast

        def hook(req_id: int, kind: int, second: int, *rest: Any) -> None:
            seconds.append(second)
            plain(req_id, kind, second, *rest)

        watched.ib.wrapper.tickByTickAllLast = hook
        ticks: list[Any] = []
        ticker = watched.ib.reqTickByTickData(contract, "AllLast")
        ticker.updateEvent += lambda ticker: ticks.extend(ticker.tickByTicks)
        await asyncio.wait_for(emulator.wait_finished(), LIMIT_S)
        truth = read(emulator.truth)
        await until(lambda: len(ticks) >= len(truth), "the last prints did not come")
    assert [(tick.price, tick.size) for tick in ticks] == [(record["price"], record["size"]) for record in truth]
    assert seconds == [event.time_ns // 10**9 for event in PRINTS]


async def test_both_brokers_show_the_prints_of_one_truth(tmp_path: Path) -> None:
    knobs = TwsKnobs(start_on=())  # so that the tape starts with the later one, DXLink
    async with a_tape(truth_path=tmp_path / "truth", tws=knobs) as emulator, connected(emulator) as watched, a_client(emulator) as dxlink:
        ticks: list[Any] = []
        ticker = watched.ib.reqTickByTickData(await the_future(watched.ib), "AllLast")
        ticker.updateEvent += lambda ticker: ticks.extend(ticker.tickByTicks)
        await until(lambda: emulator.tws.gateway.listens(("AllLast",)), "the subscription did not arrive")
        await dxlink.subscribe("TimeAndSale", ES.streamer_symbol)
        shown = await dxlink.until("TimeAndSale", len(PRINTS))
        await until(lambda: len(ticks) >= len(PRINTS), "the last prints did not come")
        truth = [(record["price"], record["size"]) for record in read(emulator.truth)]
    assert [(tick.price, tick.size) for tick in ticks] == [(row["price"], row["size"]) for row in shown] == truth


async def test_quotes_tick_by_tick_are_those_of_the_source() -> None:
    expected = [event[2:] for event in SOURCE if isinstance(event, QuoteChange)]
    async with a_tape() as emulator, connected(emulator) as watched:
        contract = await the_future(watched.ib)
        ticks: list[Any] = []
        ticker = watched.ib.reqTickByTickData(contract, "BidAsk")
        ticker.updateEvent += lambda ticker: ticks.extend(ticker.tickByTicks)
        await until(lambda: len(ticks) >= len(expected), "the last quotes did not come")
    assert [(tick.bidPrice, tick.askPrice, tick.bidSize, tick.askSize) for tick in ticks] == expected


async def test_market_data_and_rt_volume_end_with_the_day_s_figures() -> None:
    async with a_tape() as emulator, connected(emulator) as watched:
        contract = await the_future(watched.ib)
        ticker = watched.ib.reqMktData(contract, "233,375")
        volume = sum(event.size for event in PRINTS)
        await until(lambda: ticker.rtVolume == ticker.rtTradeVolume == volume, "not all volume was shown")
        await until(lambda: ticker.volume == volume, "the day's volume did not come")
        assert (ticker.last, ticker.lastSize) == (PRINTS[-1].price, PRINTS[-1].size)
        assert (ticker.open, ticker.high, ticker.low) == (PRINTS[0].price, max(p.price for p in PRINTS), min(p.price for p in PRINTS))
        assert ticker.vwap == pytest.approx(sum(p.size * p.price for p in PRINTS) / volume)
        last_quote = [event for event in SOURCE if isinstance(event, QuoteChange)][-1]
        await until(lambda: (ticker.bid, ticker.ask, ticker.bidSize, ticker.askSize) == last_quote[2:], "the last quote did not come")
        [snapshot] = await watched.ib.reqTickersAsync(contract)
        assert (snapshot.bid, snapshot.ask, snapshot.last) == (last_quote.bid, last_quote.ask, PRINTS[-1].price)
        assert watched.ib.cancelMktData(contract)


async def test_real_time_bars_are_the_sums_of_five_seconds() -> None:
    async with a_tape() as emulator, connected(emulator) as watched:
        bars = watched.ib.reqRealTimeBars(await the_future(watched.ib), 5, "TRADES", useRTH=False)
        expected = sums(PRINTS, 5)[:-1]  # the last one is not over when the tape ends
        await until(lambda: len(bars) >= len(expected), "the last bars did not come")
        assert [(b.time.timestamp(), b.open_, b.high, b.low, b.close, b.volume, b.count) for b in bars] == expected


async def test_the_ladder_begins_with_the_best_quote() -> None:
    async with a_quiet_market() as emulator, connected(emulator) as watched:
        [contract] = await watched.ib.qualifyContractsAsync(ib_async.Future("ES", "202612", "CME"))
        ticker = watched.ib.reqMktDepth(contract, 3)
        await until(lambda: len(ticker.domAsks) == 3, "the ladder did not come")
        assert [level.price for level in ticker.domBids] == [5999.75, 5999.5, 5999.25]
        assert [level.price for level in ticker.domAsks] == [6000.0, 6000.25, 6000.5]


async def test_the_sixth_tick_by_tick_stream_is_refused_with_10190() -> None:
    async with a_quiet_market() as emulator, connected(emulator) as watched:
        found = await watched.ib.reqContractDetailsAsync(ib_async.Future("ES", exchange="CME"))
        for details in found:
            watched.ib.reqTickByTickData(details.contract, "AllLast")
        await until(lambda: watched.heard(10190), "10190 did not come")
        [session] = emulator.tws.gateway.sessions
        assert len(session.streams) == 5


async def test_a_bust_makes_ib_async_ask_anew_and_the_bars_go_on() -> None:
    first = a_print(0, 6000.0, 3)
    async with a_quiet_market(first) as emulator, connected(emulator) as watched:
        [contract] = await watched.ib.qualifyContractsAsync(ib_async.Future("ES", "202612", "CME"))
        bars = await watched.ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", useRTH=False, formatDate=2, keepUpToDate=True)
        [before] = emulator.tws.gateway.sessions[0].streams.values()
        emulator.publish([first._replace(action=Action.CORRECTION, size=5.0)])
        await until(lambda: watched.heard(10225), "10225 did not come")
        await until(lambda: list(emulator.tws.gateway.sessions[0].streams.values()) not in ([], [before]), "it did not ask anew")
        emulator.publish([a_print(30, 6001.0, 2, sequence=1)])
        await until(lambda: bars[-1].volume == 7, "the bar did not go on")
        assert rows(bars) == [(OPEN_NS // 10**9, 6000.0, 6001.0, 6000.0, 6001.0, 7.0, 2)]


async def test_what_lags_comes_that_much_later() -> None:
    async with a_quiet_market(tws=TwsKnobs(lag_s=0.2)) as emulator, connected(emulator) as watched:
        [contract] = await watched.ib.qualifyContractsAsync(ib_async.Future("ES", "202612", "CME"))
        ticker = watched.ib.reqTickByTickData(contract, "AllLast")
        await until(lambda: emulator.tws.listens, "the subscription did not arrive")
        clock, arrived = asyncio.get_running_loop().time, list[float]()
        ticker.updateEvent += lambda ticker: arrived.append(clock())
        published = clock()
        emulator.publish([a_print(5, sequence=5)])
        await until(lambda: arrived, "the print did not come")
        assert arrived[0] - published >= 0.2


async def test_a_tape_starts_for_a_tws_client_unless_the_knob_leaves_it_to_the_other_side() -> None:
    async with a_tape(tws=TwsKnobs(start_on=())) as emulator, connected(emulator) as watched:
        watched.ib.reqTickByTickData(await the_future(watched.ib), "AllLast")
        await until(lambda: emulator.tws.gateway.listens(("AllLast",)), "the subscription did not arrive")
        assert not emulator.tws.listens
        assert emulator.market_ns == SOURCE.start_ns


async def test_the_command_emulate_tells_a_port_that_answers(tmp_path: Path) -> None:
    words = ("-m", "tastytrade_provider", "emulate", "--seed", "3", "--truth", str(tmp_path / "truth"))
    program = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert program.stdout is not None
    try:
        told = json.loads(await asyncio.wait_for(program.stdout.readline(), 60))
        ib = ib_async.IB()
        await ib.connectAsync("127.0.0.1", told["tws_port"], 1, timeout=LIMIT_S)
        [contract] = await ib.qualifyContractsAsync(ib_async.ContFuture("ES", "CME"))
        assert contract.conId
        ib.disconnect()
    finally:
        program.terminate()
        assert await asyncio.wait_for(program.wait(), LIMIT_S) == 0
