"""How the service carries a crowd: many WebSocket clients on 5-second bars of a busy market, some of which stop reading. `dev.py bench service` runs it.

A print's delay ends when a client receives the first message in whose volume it is counted; prints carry the time they were due, so a late generator counts
against the service. Service and clients are two processes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from websockets.asyncio.client import connect

from tastytrade_provider.model import Contract, Gap, Roll, TradeBatch
from tastytrade_provider.provider import Capabilities, DataProvider, ProviderStatus, Subscription

ROOT = Path(__file__).resolve().parents[2]
BAR_NS = 5_000_000_000
CONTRACT = Contract("ES", "/ESZ6", "/ESZ26:XCME", "XCME", tick_size=0.25, multiplier=50, calendar="24/7")


class Busy(DataProvider):
    """A market of one contract with `rate` prints a second of one lot each, evenly spaced."""

    name = "busy"
    capabilities = Capabilities(trades=True, side_source="exchange")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._listeners: list[Subscription[TradeBatch | Gap | Roll]] = []
        self._printing: asyncio.Task[None] | None = None
        self._since_ns = time.time_ns()

    @property
    def is_connected(self) -> bool:
        return self._printing is not None

    async def connect(self) -> None:
        self._printing = asyncio.create_task(self._print())

    async def disconnect(self) -> None:
        if self._printing is not None:
            self._printing.cancel()
            self._printing = None

    async def resolve(self, symbol: str) -> Contract:
        return CONTRACT

    async def contracts(self, root: str) -> list[Contract]:
        return [CONTRACT]

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        self._listeners.append(Subscription(contract))
        self._listeners[-1].grant()
        return self._listeners[-1]

    def status(self) -> ProviderStatus:
        return ProviderStatus("connected" if self.is_connected else "disconnected", self._since_ns)

    async def _print(self) -> None:
        """Prints as they fall due, some milliseconds together, as a socket would hand them over."""
        step_ns, ticks = 1_000_000_000 // self._rate, 24_000
        due_ns = (time.time_ns() // BAR_NS + 1) * BAR_NS  # from a bar's begin on, so that a bar's volume tells which print was its last
        rng = np.random.default_rng(1)
        while True:
            await asyncio.sleep(0.004)
            now_ns = time.time_ns()
            n = (now_ns - due_ns) // step_ns
            if n <= 0:
                continue
            times = due_ns + np.arange(n) * step_ns
            due_ns += n * step_ns
            walk = ticks + np.cumsum(rng.integers(-1, 2, n))
            ticks = int(walk[-1])
            columns = {"time_ns": times, "received_ns": np.full(n, now_ns), "price": walk / 4, "size": np.ones(n), "side": rng.choice([-1, 1], n)}
            for listener in self._listeners:
                listener.put(TradeBatch(CONTRACT, columns))


class Crowd:
    """What the clients saw. `delays`: prints by whole milliseconds, over all healthy clients."""

    def __init__(self, rate: int) -> None:
        self.step_ms = 1000.0 / rate
        self.delays = np.zeros(10_000, np.int64)
        self.bars: list[list[str]] = []
        self.messages = 0
        self.since_ns: int | None = None  # prints from before are not counted: everybody is still coming in

    async def listen(self, url: str, until_s: float) -> None:
        """One client that reads."""
        bars: list[str] = []
        self.bars.append(bars)
        async with connect(url, compression=None, max_size=None) as socket:
            await socket.send(json.dumps({"type": "subscribe", "symbol": "ES", "timeframe": "5s", "channels": ["delta"], "history": 0}))
            start, counted = "", 0
            while (left_s := until_s - time.monotonic()) > 0:
                try:
                    text = await asyncio.wait_for(socket.recv(), left_s)
                except TimeoutError:
                    break
                now_ns = time.time_ns()
                message = orjson.loads(text)
                if message["type"] != "delta_update":
                    continue
                self.messages += 1
                bar = message["bar"]
                if message["closed"]:
                    bars.append(bar["time"])
                if bar["time"] == start:
                    self._count(bar, counted, now_ns)
                elif not message["closed"]:  # the prints of a bar that was forming when it came are not all ours to count
                    if start:
                        self._count(bar, 0, now_ns)
                    start = bar["time"]
                else:
                    continue
                counted = int(bar["volume"])

    def _count(self, bar: dict[str, Any], counted: int, now_ns: int) -> None:
        begun_ns = np.datetime64(bar["time"][:-1], "ns").astype(np.int64)
        oldest_ms = (now_ns - int(begun_ns)) / 1e6 - counted * self.step_ms
        n = int(bar["volume"]) - counted
        if self.since_ns is None or now_ns - oldest_ms * 1e6 < self.since_ns:
            return
        if n > 0:
            found = (oldest_ms - np.arange(n) * self.step_ms).clip(0, len(self.delays) - 1).astype(np.int64)
            self.delays += np.bincount(found, minlength=len(self.delays))

    async def ignore(self, url: str, until_s: float) -> str:
        """One client that subscribes and never reads again. Returns how it ended."""
        async with connect(url, compression=None, max_size=None, max_queue=1, ping_interval=None, close_timeout=0.1) as socket:
            await socket.send(json.dumps({"type": "subscribe", "symbol": "ES", "timeframe": "5s", "channels": ["delta", "footprint"], "history": 5000}))
            await asyncio.sleep(max(0.0, until_s - time.monotonic()))
            socket.transport.abort()
        return "deaf"

    def percentile(self, share: float) -> float:
        """Delay in ms below which this share of prints lies."""
        total = self.delays.cumsum()
        return float(np.searchsorted(total, share * total[-1]))


def resident_mib(pid: int) -> float:
    """Memory of a process; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
    except OSError:
        return 0.0


async def crowd(url: str, pid: int, clients: int, deaf: int, rate: int, seconds: float) -> dict[str, Any]:
    """Run the clients, and say what they saw."""
    seen, socket = Crowd(rate), f"ws{url[4:]}ws"
    begun = time.monotonic()
    until_s = begun + seconds + 3.0
    tasks = [asyncio.create_task(seen.ignore(socket, until_s)) for _ in range(deaf)]
    for _ in range(clients - deaf):
        tasks.append(asyncio.create_task(seen.listen(socket, until_s)))  # type: ignore[arg-type]
        await asyncio.sleep(2.0 / clients)
    await asyncio.sleep(1.0)
    joined_ns = seen.since_ns = time.time_ns()
    await asyncio.sleep(max(0.0, begun + seconds / 3 - time.monotonic()))
    early_mib, early_s = resident_mib(pid), time.monotonic()
    await asyncio.sleep(max(0.0, until_s - 0.5 - time.monotonic()))
    late_mib = resident_mib(pid)
    await asyncio.gather(*tasks)
    over_ns = time.time_ns()
    ends = {bar: int(np.datetime64(bar[:-1], "ns").astype(np.int64)) + BAR_NS for bars in seen.bars for bar in bars}
    expected = [bar for bar, end_ns in ends.items() if joined_ns < end_ns < over_ns - 1_000_000_000]  # while all of them were there
    missing = sum(bar not in set(bars) for bars in seen.bars for bar in expected)
    twice = sum(len(bars) - len(set(bars)) for bars in seen.bars)
    return {
        "clients": clients, "deaf": deaf, "rate": rate, "seconds": seconds, "closed_bars": len(expected), "missing_bars": missing, "doubled_bars": twice,
        "messages": seen.messages, "p50_ms": seen.percentile(0.5), "p99_ms": seen.percentile(0.99), "max_ms": seen.percentile(1.0),
        "resident_mib": [round(early_mib, 1), round(late_mib, 1)], "between_s": round(time.monotonic() - early_s, 1),
    }  # fmt: skip


def run(clients: int, deaf: int, rate: int, seconds: float) -> dict[str, Any]:
    """A service in a process of its own, a crowd in this one, and what came of it."""
    command = [sys.executable, "-m", "tests.service.load", str(rate)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        try:
            url = service.stdout.readline().strip()
            found = asyncio.run(crowd(url, service.pid, clients, deaf, rate, seconds))
        finally:
            service.terminate()
            begun = time.monotonic()
            service.wait()
    return found | {"stopped_in_s": round(time.monotonic() - begun, 2)}


def main() -> None:
    """The service of `run`."""
    from tastytrade_provider.commands.serve import serve
    from tastytrade_provider.service import Runtime

    serve(Runtime(Busy(int(sys.argv[1])), ("ES",), timeframe="5s"), lambda url: print(url, flush=True), port=0)


if __name__ == "__main__":
    main()
