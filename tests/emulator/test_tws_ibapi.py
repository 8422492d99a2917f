"""IB's own client on the fake TWS. Its licence forbids shipping it: `pip install --target FOLDER ibapi==9.81.1.post1`, PYTHONPATH=FOLDER, and these run."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tastytrade_provider.emulator import Emulator
from tastytrade_provider.emulator.tws import TwsKnobs
from tests.checks.sources import LIMIT_S, excerpt, until

client = pytest.importorskip("ibapi.client", reason="ibapi, which may not be shipped, is not installed")
wrapper = pytest.importorskip("ibapi.wrapper")

SOURCE = excerpt(2500, roots=("ES",))
PRINTS = SOURCE.prints()


TOLD = (
    *("nextValidId", "managedAccounts", "error", "contractDetails", "contractDetailsEnd", "historicalData", "historicalDataEnd"),
    *("historicalTicksLast", "headTimestamp", "realtimeBar", "tickByTickAllLast", "tickString"),
)


class Program(client.EClient, wrapper.EWrapper):  # type: ignore[misc, name-defined]
    """Keeps what it is told, by the name of the callback."""

    def __init__(self) -> None:
        client.EClient.__init__(self, self)
        self.told: dict[str, list[tuple[Any, ...]]] = defaultdict(list)


def _noting(name: str) -> Callable[..., None]:
    return lambda self, *values: self.told[name].append(values)


for name in TOLD:
    setattr(Program, name, _noting(name))


def the_future() -> Any:
    contract = wrapper.Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = "ES", "FUT", "CME", "USD"
    contract.lastTradeDateOrContractMonth = "202603"
    return contract


async def test_ibapi_reads_contracts_history_and_ticks() -> None:
    async with Emulator(SOURCE, speed="max", tws=TwsKnobs(start_on=("AllLast",)), truth_path=os.devnull) as emulator:
        program = Program()
        told = program.told
        await asyncio.to_thread(program.connect, "127.0.0.1", emulator.tws_port, 3)
        thread = threading.Thread(target=program.run, daemon=True)
        thread.start()
        try:
            await until(lambda: told["nextValidId"] and told["managedAccounts"], "the login was not answered")
            assert program.serverVersion() == 157
            program.reqContractDetails(1, the_future())
            await until(lambda: told["contractDetailsEnd"], "contract details did not come")
            [(_, details)] = told["contractDetails"]
            assert (details.contract.localSymbol, details.minTick, details.timeZoneId) == ("ESH6", 0.25, "US/Central")
            program.reqMktData(2, the_future(), "233", False, False, [])
            program.reqRealTimeBars(3, the_future(), 5, "TRADES", False, [])
            program.reqTickByTickData(4, the_future(), "AllLast", 0, False)
            await asyncio.wait_for(emulator.wait_finished(), LIMIT_S)
            await until(lambda: len(told["tickByTickAllLast"]) == len(PRINTS), "the last ticks did not come")
            program.reqHistoricalData(5, the_future(), "", "1 D", "1 min", "TRADES", 0, 2, False, [])
            program.reqHistoricalTicks(6, the_future(), "20260302-14:30:00", "", 10, "TRADES", 0, False, [])
            program.reqHeadTimeStamp(7, the_future(), "TRADES", 0, 2)
            program.reqContractDetails(8, wrapper.Contract())
            answers = ("historicalDataEnd", "historicalTicksLast", "headTimestamp")
            await until(lambda: all(told[name] for name in answers) and told["error"][-1][:2] == (8, 200), "history did not come")
            assert sum(bar.volume for _, bar in told["historicalData"]) == sum(event.size for event in PRINTS)
            assert [values[3:5] for values in told["tickByTickAllLast"]] == [(event.price, event.size) for event in PRINTS]
            assert told["historicalTicksLast"][0][1][0].price == PRINTS[0].price
            assert told["headTimestamp"] == [(7, str(PRINTS[0].time_ns // 10**9))]
            assert told["realtimeBar"]
            assert {values[1] for values in told["tickString"]} == {45, 48}
            assert [code for _, code, _ in told["error"]] == [2104, 2106, 2158, 200]
        finally:
            program.disconnect()
            await asyncio.to_thread(thread.join, LIMIT_S)
