#!/usr/bin/env python3
"""Load for a long time: is memory flat, and is a consumer that stops reading for a minute told what it missed?

One consumer makes bars, CVD and footprints of every trade; a second one stops reading for a while. Each message is one trade; a session lasts
120,000 of them, so that what is kept of a session comes and goes. Exit code 1 where memory grows beyond the bound, a trade is missing without a gap,
or the buffer of the one that stops reading goes beyond its capacity.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
GROWTH_MB = 24.0
"""How much the median of the last third may lie above that of the first, once the consumer that stopped has caught up: what is kept has bounds by
number, not by time, and the allocator makes some noise."""
WAITING_MB = 400.0
"""How much a full buffer may add: 100,000 trades in batches of one, some 2.4 KB each. The allocator keeps what was once needed."""
_PAUSE_S, _PAUSE_AFTER_S = 60.0, 10.0
_MB = 1024 * 1024


def main(arguments: list[str]) -> int:
    """Run, print the figures, judge them."""
    parser = argparse.ArgumentParser(prog="dev.py soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: %(default)s; at least 3)")
    parser.add_argument("--rate", type=int, default=2000, help="messages a second (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.minutes < 3 or options.rate < 1:
        parser.error("--minutes: at least 3, --rate: at least 1")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # started as a file, its folder is there instead
    from tests.soak.server import running

    with running() as port:
        found = asyncio.run(soak(port, int(options.minutes * 60 * options.rate), options.rate))
    for line in found.lines():
        print(line)
    return 1 if found.wrong() else 0


def rss_mb() -> float:
    """Memory this process holds now. Linux tells it in a file; elsewhere `ps` does."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MB
    except FileNotFoundError:
        said = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], stdout=subprocess.PIPE, check=True, text=True)
        return int(said.stdout) / 1024


@dataclass
class Found:
    """What a run showed. Trades of the tape by number: `came` to the one that never stops, `read` by the one that does, `told` as missing to it."""

    rows: int
    seconds: float = 0.0
    capacity: int = 0
    most_waiting: int = 0
    dropped: int = 0
    bars: int = 0
    memory_mb: list[float] = field(default_factory=list)
    caught_up: int = 0  # the sample at which the one that stopped had caught up; 0: it has not
    came: int = 0
    read: int = 0
    told: int = 0
    gaps: list[Any] = field(default_factory=list)
    others: list[Any] = field(default_factory=list)

    @property
    def thirds_mb(self) -> tuple[float, float]:
        """Median memory of the first third and of the last."""
        after = self.memory_mb[self.caught_up :]
        third = max(len(after) // 3, 1)
        return statistics.median(after[:third]), statistics.median(after[-third:])

    def lines(self) -> list[str]:
        """For a reader."""
        first, last = self.thirds_mb
        begin, peak = self.memory_mb[0], max(self.memory_mb)
        return [
            f"{self.came} messages in {self.seconds:.0f} s ({self.came / self.seconds:.0f} a second), {self.bars} bars closed",
            f"the consumer that stopped reading for {_PAUSE_S:g} s: {self.most_waiting} waited at most (capacity {self.capacity}), "
            f"{self.dropped} dropped, {len(self.gaps)} gaps told, {self.told} trades inside them",
            f"memory: {begin:.0f} MB at first, peak {peak:.0f} MB with a full buffer (bound {begin + WAITING_MB:.0f}); since it was read, after "
            f"{self.caught_up} s: first third {first:.1f} MB, last third {last:.1f} MB, growth {last - first:+.1f} MB (bound {GROWTH_MB:g})",
            *(f"FAILED: {text}" for text in self.wrong()),
        ]

    def wrong(self) -> list[str]:
        """What is not as it should be."""
        first, last = self.thirds_mb
        said = {
            f"memory grew by {last - first:.1f} MB, more than {GROWTH_MB:g}": last - first > GROWTH_MB,
            f"memory rose to {max(self.memory_mb):.0f} MB": max(self.memory_mb) - self.memory_mb[0] > WAITING_MB,
            "the consumer that stopped never caught up": self.caught_up == 0,
            f"{self.rows - self.came} of {self.rows} trades did not come": self.came != self.rows,
            f"the connection did not hold: {self.others[:3]}": bool(self.others),
            "nothing was dropped, so nothing is shown: --rate is too low": self.dropped == 0,
            f"{self.rows - self.read - self.told} trades are missing without a gap": self.read + self.told != self.rows,
            f"{self.told} trades lie in gaps, and {self.dropped} were dropped": self.told != self.dropped,
            f"{self.most_waiting} trades waited": self.most_waiting > self.capacity,
        }
        return [text for text, is_so in said.items() if is_so]


async def soak(port: int, rows: int, rate: int) -> Found:
    """The run itself."""
    from tastytrade_provider.bars import BarBuilder
    from tastytrade_provider.model import Contract, Gap, TradeBatch
    from tastytrade_provider.settings import TastytradeSettings
    from tastytrade_provider.tastytrade.auth import QuoteToken
    from tastytrade_provider.tastytrade.provider import TastyTradeProvider
    from tests.benchmarks import tape as layout
    from tests.soak import tape

    class Account:
        async def connect(self) -> None: ...

        async def disconnect(self) -> None: ...

        async def quote_token(self) -> QuoteToken:
            return QuoteToken(f"ws://127.0.0.1:{port}/dxlink/{rows}/1/{rate}", "token", "api")

    contract = Contract("ES", "/ESZ6", layout.SYMBOL, "CME", tick_size=layout.TICK, multiplier=50, calendar=tape.CALENDAR)
    times_ns, was_read = tape.times_ms(rows) * 1_000_000, np.zeros(rows, np.bool_)
    found, builder = Found(rows), BarBuilder(contract, "1m")
    done = asyncio.get_running_loop().create_future()

    def work_in(item: object) -> None:
        if isinstance(item, TradeBatch):
            found.came += len(item)
            for bar in builder.add(item):
                found.bars += 1
                builder.footprint(bar)
            if found.came >= rows and not done.done():
                done.set_result(None)
        else:
            found.others.append(item)

    async def read(subscription: Any) -> None:
        """Every item, but for one long pause."""
        pauses_at = time.monotonic() + _PAUSE_AFTER_S
        async for item in subscription:
            if isinstance(item, TradeBatch):
                was_read[np.searchsorted(times_ns, item.time_ns)] = True
            elif isinstance(item, Gap) and item.reason == "slow consumer":
                found.gaps.append(item)
            else:
                found.others.append(item)
            if time.monotonic() > pauses_at:
                pauses_at = float("inf")
                await asyncio.sleep(_PAUSE_S)

    provider = TastyTradeProvider(TastytradeSettings())
    provider._account = Account()  # type: ignore[assignment]
    trades, slow = provider.subscribe_trades(contract).on(work_in), provider.subscribe_trades(contract)
    began = time.monotonic()
    async with provider:
        reader = asyncio.create_task(read(slow))
        while not done.done():
            await asyncio.wait([done, reader], timeout=1.0)
            found.memory_mb.append(rss_mb())
            found.most_waiting = max(found.most_waiting, slow.stats.waiting)
            if not found.caught_up and found.gaps and slow.stats.waiting < rate:
                found.caught_up = len(found.memory_mb)
            if reader.done() or not provider.is_connected or time.monotonic() - began > 3 * rows / rate + 120:
                found.others += provider.status().notes
                break
        found.seconds = time.monotonic() - began
    await reader
    if trades.error is not None:
        raise trades.error
    found.capacity, found.dropped, found.read = slow.capacity, slow.stats.dropped, int(was_read.sum())
    for gap in found.gaps:
        inside = (times_ns >= gap.start_ns) & (times_ns < gap.end_ns)
        found.told += int((inside & ~was_read).sum())
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
