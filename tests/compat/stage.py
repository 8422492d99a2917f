"""A market with two doors, and programs run in a thread of their own, so that ib_async's handling of loops is real."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ib_async import util

from tastytrade_provider.compat import IB
from tastytrade_provider.config import load
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Market
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.checks.sources import LIMIT_S, Excerpt

SOURCE = Excerpt(Market(seed=20261122, roots=("ES",), prints_per_s=4.0), 12_000)
[ES] = SOURCE.contracts
PRINTS = SOURCE.prints()
OPEN_NS = 1_772_461_800_000_000_000
"""Monday 2026-03-02 08:30 in Chicago, when the market begins."""
LIVE_NS = OPEN_NS + 65 * 10**9
"""What was before is the past of an exchange that starts."""


class MarketProvider(TastyTradeProvider):
    """The provider, with the clock of the exchange it is connected to: the market is of another day."""

    def __init__(self, emulator: Emulator) -> None:
        section = {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN, "api_url": emulator.api_url}
        super().__init__(load({"data_provider": "tastytrade", "tastytrade": section}).tastytrade)
        self._wall_ns = self.now_ns = lambda: emulator.market_ns


def a_market(live_from_ns: int = LIVE_NS, source: Any = SOURCE, **options: Any) -> Emulator:
    """An exchange whose past ends at a time; the rest is played once somebody wants every print."""
    knobs = TwsKnobs(start_on=("AllLast",))
    settings: dict[str, Any] = {"speed": 40, "tws": knobs, "start_on": ("TimeAndSale",), "truth_path": os.devnull, "live_from_ns": live_from_ns}
    return Emulator(source, **settings | options)


@asynccontextmanager
async def at_the_market(**options: Any) -> AsyncIterator[tuple[Emulator, IB]]:
    """An exchange, and our IB connected to its DXLink side."""
    async with a_market(**options) as emulator:
        ib = IB(provider=MarketProvider(emulator))
        await ib.connectAsync()
        try:
            yield emulator, ib
        finally:
            await ib.disconnectAsync()


async def in_a_thread(work: Callable[[], Any]) -> Any:
    """What a program without a loop of its own returns, or raises."""
    result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def run() -> None:
        try:
            value, error = work(), None
        except BaseException as caught:
            value, error = None, caught
        finally:
            with asyncio.Runner(loop_factory=util.getLoop):  # ends what is left, and closes the loop
                pass
        loop.call_soon_threadsafe(lambda: result.set_exception(error) if error is not None else result.set_result(value))

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wait_for(result, 2 * LIMIT_S)


def program(source: str, names: Mapping[str, Any]) -> Callable[[], list[str]]:
    """A program as a function that returns what it printed."""

    def run() -> list[str]:
        lines: list[str] = []
        exec(compile(source, "script.py", "exec"), {"__name__": "__main__", "print": lambda *words: lines.append(" ".join(map(str, words))), **names})
        return lines

    return run
