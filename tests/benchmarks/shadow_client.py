"""The primary's process of the shadow part: each case once, one after the other.

Started as `python -m tests.benchmarks.shadow_client <port> <load> <case>...`; prints one JSON line a case. The shadow comes into its state by a stream of
another contract, in which nothing trades; the measured stream begins then.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np

from tastytrade_provider.ab import AbProvider
from tastytrade_provider.config import load as load_config
from tastytrade_provider.model import Contract, Gap, Roll, TradeBatch
from tastytrade_provider.provider import DataProvider, Subscription
from tastytrade_provider.settings import Settings, TastytradeSettings
from tastytrade_provider.tastytrade.auth import QuoteToken
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.benchmarks import tape
from tests.benchmarks.server import Load, sent_ns

CASES: Final = {
    "alone": "the primary without a shadow",
    "killed": "the shadow's process is killed as the measurement begins; it is started again half a second later",
    "frozen": "the shadow's process is stopped and reads nothing any more",
    "flooding": "the shadow hands over as much as its process can make",
    "healthy": "the shadow has the same feed; told, not judged",
}
BUSY: Final = Contract("ES", "/ESZ6", tape.SYMBOL, "CME", tick_size=tape.TICK, multiplier=50)
QUIET: Final = Contract("NQ", "/NQZ6", "/NQZ26:XCME", "CME", tick_size=tape.TICK, multiplier=20)
_LOOPBACK: Final = "tests.benchmarks.shadow_client:loopback"
_PATIENCE_S = 120.0


class _Account:
    def __init__(self, url: str) -> None:
        self._url = url

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def quote_token(self) -> QuoteToken:
        return QuoteToken(self._url, "token", "api")


class Loopback(TastyTradeProvider):
    """The product's provider at the benchmark's server; only the account is replaced, and a contract of which nothing comes is there."""

    def __init__(self, url: str) -> None:
        super().__init__(TastytradeSettings())
        self._account = _Account(url)  # type: ignore[assignment]

    async def resolve(self, symbol: str) -> Contract:
        """One of the two."""
        return BUSY if symbol == BUSY.symbol else QUIET

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        """The feed, or silence."""
        if contract.symbol == BUSY.symbol:
            return super().subscribe_trades(contract)
        silence: Subscription[TradeBatch | Gap | Roll] = Subscription(contract)
        silence.grant()
        return silence


def loopback(settings: Settings) -> DataProvider:
    """Made in the shadow's process."""
    return Loopback(os.environ["BENCH_SHADOW"])


async def measure(port: int, load: Load, case: str) -> dict[str, float]:
    """One case from its beginning to its end."""
    primary = Loopback(f"ws://127.0.0.1:{port}{load.path()}")
    os.environ["BENCH_SHADOW"] = f"ws://127.0.0.1:{port}{load.path('shadow')}"
    if case == "alone":
        return await _late_us(primary, port, load)
    names = {"primary": _LOOPBACK, "shadow": "tests.checks.shadows:flooding" if case == "flooding" else _LOOPBACK}
    provider = AbProvider(primary, load_config({"data_provider": "ab", "ab": names}))

    async def begin() -> None:
        provider.subscribe_trades(QUIET)
        await _until(lambda: any(provider.shadow.beats.values()) if case == "flooding" else provider.shadow.beats, f"{case}: the shadow did not begin")
        pid = provider.shadow.pid
        assert pid is not None
        if case in ("killed", "frozen"):
            os.kill(pid, signal.SIGKILL if case == "killed" else signal.SIGSTOP)

    found = await _late_us(provider, port, load, begin)
    said = [text for _, text in provider.shadow.faults]
    assert case in ("frozen", "flooding") or bool(said) == (case == "killed"), f"{case}: {said}"
    return found


async def _late_us(provider: DataProvider, port: int, load: Load, begin: Callable[[], Awaitable[None]] | None = None) -> dict[str, float]:
    arrived_ns: list[int] = []
    done = asyncio.Event()

    def take(item: TradeBatch | Gap | Roll) -> None:
        now_ns = time.monotonic_ns()
        assert isinstance(item, TradeBatch), item
        arrived_ns.extend([now_ns] * len(item))
        if len(arrived_ns) >= load.rows:
            done.set()

    async with provider:
        if begin is not None:
            await begin()
        subscription = provider.subscribe_trades(BUSY).on(take)
        async with asyncio.timeout(_PATIENCE_S):
            await done.wait()
        assert subscription.error is None
    p50, p99 = np.percentile((np.array(arrived_ns) - np.array(sent_ns(port, load))) / 1e3, [50, 99]).tolist()
    return {"p50_us": p50, "p99_us": p99}


async def _until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not condition():  # noqa: ASYNC110  # told by another process four times a second
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(what) from None


async def main(port: int, load: Load, cases: list[str]) -> None:
    """Each case once, after a short one that is not told: kernels are loaded then."""
    await measure(port, load._replace(rows=load.per_s // 2), "alone")
    for case in cases:
        print(json.dumps(await measure(port, load, case)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Load(*map(int, sys.argv[2].split("/"))), sys.argv[3:]))
