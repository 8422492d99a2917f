"""What ib_async's own `IB` does, and what the provider does instead: each pair on the same fake TWS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ib_async import IB, ContFuture, Contract

from tastytrade_provider import create_provider
from tastytrade_provider.emulator import Emulator
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.errors import ConnectionLost, NoData
from tastytrade_provider.ib import provider as shell
from tastytrade_provider.ib import streams
from tastytrade_provider.ib.provider import IbProvider
from tastytrade_provider.model import TradeBatch
from tests.checks.sources import LIMIT_S, excerpt, until
from tests.checks.tws import login

SOURCE = excerpt(events=400, roots=("ES",), is_endless=True)


@pytest.fixture(autouse=True)
def _own_truth(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(shell, "backoff_s", lambda attempt, chance: 0.0)
    monkeypatch.setattr(streams, "_GRANT_S", 0.05)


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Emulator, IB, Contract, IbProvider]]:
    """A market that stands still, ib_async's IB with its lead month, and the provider."""
    async with Emulator(SOURCE, speed="max", tws=TwsKnobs(start_on=()), start_on=()) as emulator:
        ib, provider = IB(), create_provider(login(emulator))
        assert isinstance(provider, IbProvider)
        await ib.connectAsync("127.0.0.1", emulator.tws_port, clientId=1, timeout=LIMIT_S)
        try:
            [lead] = await ib.qualifyContractsAsync(ContFuture("ES", "CME"))
            assert isinstance(lead, Contract)
            async with provider:
                yield emulator, ib, lead, provider
        finally:
            ib.disconnect()


def publish(emulator: Emulator, first: int, stop: int) -> None:
    emulator.publish(list(SOURCE)[first:stop])
    emulator.tws.flush()


async def test_error_162_is_an_empty_list_there_and_an_error_here() -> None:
    async with both() as (_, ib, lead, provider):
        assert list(await ib.reqHistoricalDataAsync(lead, "", "1 D", "1 min", "TRADES", False)) == []
        with pytest.raises(NoData):
            await provider.historical_bars(await provider.resolve("ES"), "1m", "2026-03-02T14:00Z")


@pytest.mark.parametrize("how", ["socket", "1101"])
async def test_nothing_is_asked_for_again_there_and_everything_here(how: str) -> None:
    async with both() as (emulator, ib, lead, provider):
        es = await provider.resolve("ES")
        theirs: list[Any] = []
        ours: list[Any] = []
        ib.reqTickByTickData(lead, "AllLast").updateEvent += lambda ticker: theirs.extend(ticker.tickByTicks)
        await asyncio.wait_for(provider.subscribe_trades(es).on(ours.append).ready(), LIMIT_S)
        publish(emulator, 0, 100)
        await until(lambda: theirs and ours, "no trade came")
        if how == "socket":
            emulator.tws.drop_connections()
            await until(lambda: not ib.isConnected() and not provider.is_connected, "the drop was not noticed")
            await ib.connectAsync("127.0.0.1", emulator.tws_port, clientId=1, timeout=LIMIT_S)
        else:
            emulator.tws.cut_off()
            await until(lambda: not provider.is_connected, "the cut was not noticed")
            emulator.tws.reconnect(data_lost=True)
        await until(lambda: provider.is_connected and sum(len(s.streams) for s in emulator.tws.gateway.sessions) == 2, "not asked for again")
        heard, counted = len(theirs), sum(isinstance(item, TradeBatch) for item in ours)
        publish(emulator, 100, 200)
        await until(lambda: sum(isinstance(item, TradeBatch) for item in ours) > counted, "our trades do not go on")
        await ib.reqCurrentTimeAsync()  # what was published has passed
        assert len(theirs) == heard


async def test_a_client_id_in_use_is_a_time_out_there_and_said_here() -> None:
    async with both() as (emulator, *_):
        again = IB()
        with pytest.raises(TimeoutError):
            await again.connectAsync("127.0.0.1", emulator.tws_port, clientId=1, timeout=0.3)
        with pytest.raises(ConnectionLost, match="already in use"):
            await create_provider(login(emulator, client_id=1)).connect()


async def test_the_exchange_time_of_a_trade_is_lost_there_and_kept_to_the_second_here() -> None:
    async with both() as (emulator, ib, lead, provider):
        es = await provider.resolve("ES")
        theirs: list[Any] = []
        ours: list[Any] = []
        ib.reqTickByTickData(lead, "AllLast").updateEvent += lambda ticker: theirs.extend(ticker.tickByTicks)
        await asyncio.wait_for(provider.subscribe_trades(es).on(ours.append).ready(), LIMIT_S)
        publish(emulator, 0, 100)
        await until(lambda: theirs and ours, "no trade came")
        first = next(p for p in SOURCE.prints(es))
        assert abs(theirs[0].time.timestamp() - first.time_ns / 1e9) > 3600  # the time at which it arrived
        assert ours[0].time_ns[0] == first.time_ns // 10**9 * 10**9
