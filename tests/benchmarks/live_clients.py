"""The two candidates of the live part, each in a process of its own: websocket in, delta, CVD and footprint out.

sdk   tastytrade's SDK as it is, with the engine a first version of a program would have: dicts, floats, datetime-free buckets
ours  the product: TastyTradeProvider -> subscription -> BarBuilder, with duplicates, sides, ledger, bars, footprint and CVD

Started as `python -m tests.benchmarks.live_clients sdk|ours <port> <load>...`; a load is rows/rows per message/messages per second.
Prints one JSON line a load.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.benchmarks import tape
from tests.benchmarks.server import Load, sent_ns

_PATIENCE_S = 60.0


class Watch:
    """When rows came: the clocks at the first and the last hand-over, and in a paced run the time of every message."""

    def __init__(self, load: Load) -> None:
        self.load, self.rows = load, 0
        self.arrived_ns: list[int] = []
        self._first = (0, 0, 0)
        self._last = (0, 0)

    def take(self, rows: int) -> None:
        """Call it first in the consumer's callback."""
        if self.rows == 0:
            self._first = rows, time.perf_counter_ns(), time.process_time_ns()
        if self.load.per_s:
            self.arrived_ns += [time.monotonic_ns()] * rows
        self.rows += rows

    def finish(self) -> None:
        """Call it when the last row has been worked in."""
        self._last = time.perf_counter_ns(), time.process_time_ns()

    def result(self) -> dict[str, float]:
        """Rows after the first hand-over, per second of wall time and in ns of CPU."""
        rows, wall_ns, cpu_ns = max(self.rows - self._first[0], 1), self._last[0] - self._first[1], self._last[1] - self._first[2]
        return {"krows_s": rows / wall_ns * 1e6, "cpu_ns_row": cpu_ns / rows, "cpu_share": cpu_ns / wall_ns}


class NaiveEngine:
    """Delta per minute, CVD and footprint, trade by trade, in dicts."""

    def __init__(self) -> None:
        self.delta: dict[int, float] = {}
        self.footprint: dict[int, dict[float, list[float]]] = {}
        self.cvd = 0.0

    def add(self, trade: Any) -> None:
        """One TimeAndSale of the SDK; a side that is not told is taken from the quote."""
        minute, price, size = trade.time // tape.MINUTE_MS, float(trade.price), float(trade.size)
        if trade.aggressor_side == "BUY":
            bought = True
        elif trade.aggressor_side == "SELL":
            bought = False
        else:
            bought = trade.price >= trade.ask_price
        signed = size if bought else -size
        self.delta[minute] = self.delta.get(minute, 0.0) + signed
        self.cvd += signed
        level = self.footprint.setdefault(minute, {}).setdefault(price, [0.0, 0.0])
        level[0 if bought else 1] += size

    def sums(self, trades: int) -> tape.Sums:
        """For comparison, with prices in ticks."""
        found = {
            minute: {round(price / tape.TICK): [int(size) for size in sides] for price, sides in levels.items()} for minute, levels in self.footprint.items()
        }
        sums = tape.sums(found, trades)
        assert sum(self.delta.values()) == self.cvd == sums.delta
        return sums


async def sdk(port: int, load: Load) -> tuple[Watch, tape.Sums]:
    """The SDK's streamer, unmodified; only the address of its REST service is another one."""
    from tastytrade import DXLinkStreamer, Session
    from tastytrade.dxfeed import TimeAndSale

    session = Session("secret", "refresh", trust_env=False)
    session.session_expiration = time.time() + 86_400  # has a token: it need not log in
    session._client.base_url = f"http://127.0.0.1:{port}{load.path()}"
    watch, engine = Watch(load), NaiveEngine()
    async with session, DXLinkStreamer(session) as streamer:
        await streamer.subscribe(TimeAndSale, [tape.SYMBOL], refresh_interval=0)
        async for trade in streamer.listen(TimeAndSale):
            watch.take(1)
            engine.add(trade)
            if watch.rows == load.rows:
                break
        watch.finish()
    return watch, engine.sums(watch.rows)


async def ours(port: int, load: Load) -> tuple[Watch, tape.Sums]:
    """The whole path a user's program has; only the REST account is replaced."""
    from tastytrade_provider.bars import BarBuilder
    from tastytrade_provider.model import Bar, Contract, Gap, Roll, TradeBatch
    from tastytrade_provider.settings import TastytradeSettings
    from tastytrade_provider.tastytrade.auth import QuoteToken
    from tastytrade_provider.tastytrade.provider import TastyTradeProvider

    class Account:
        async def connect(self) -> None: ...

        async def disconnect(self) -> None: ...

        async def quote_token(self) -> QuoteToken:
            return QuoteToken(f"ws://127.0.0.1:{port}{load.path()}", "token", "api")

    contract = Contract("ES", "/ESZ6", tape.SYMBOL, "CME", tick_size=tape.TICK, multiplier=50)
    watch, builder, closed = Watch(load), BarBuilder(contract, "1m"), list[Bar]()
    done = asyncio.get_running_loop().create_future()

    def work_in(item: TradeBatch | Gap | Roll) -> None:
        assert isinstance(item, TradeBatch), item
        watch.take(len(item))
        closed.extend(builder.add(item))
        if watch.rows >= load.rows:
            watch.finish()
            done.set_result(None)

    provider = TastyTradeProvider(TastytradeSettings())
    provider._account = Account()  # type: ignore[assignment]
    subscription = provider.subscribe_trades(contract).on(work_in)
    async with provider:
        await subscription.ready()
        await done
    if subscription.error is not None:
        raise subscription.error
    forming = builder.forming
    bars = [*closed, forming] if forming else closed
    found: tape.Footprints = {}
    for bar in bars:
        levels = builder.footprint(bar)
        cells = zip(levels.ticks.tolist(), levels.buy.tolist(), levels.sell.tolist(), strict=True)
        found[bar.start_ns // (tape.MINUTE_MS * 1_000_000)] = {ticks: [buy, sell] for ticks, buy, sell in cells}
    sums = tape.sums(found, provider.status().trades)
    assert sum(bar.delta or 0 for bar in bars) == builder.cvd.value == sums.delta
    return watch, sums


CANDIDATES: dict[str, Callable[[int, Load], Awaitable[tuple[Watch, tape.Sums]]]] = {"sdk": sdk, "ours": ours}


async def measure(name: str, port: int, loads: list[Load]) -> None:
    """Each load once, after a short one to warm up."""
    await CANDIDATES[name](port, Load(2_000, 10))
    for load in loads:
        watch, sums = await asyncio.wait_for(CANDIDATES[name](port, load), _PATIENCE_S)
        result: dict[str, object] = {"rows": load.rows, "per_message": load.per_message, "per_s": load.per_s, "sums": sums, **watch.result()}
        if load.per_s:
            sent = [stamp for stamp in sent_ns(port, load) for _ in range(load.per_message)]
            late_us = sorted((came - went) / 1e3 for came, went in zip(watch.arrived_ns, sent, strict=True))
            result |= {"p50_us": late_us[len(late_us) // 2], "p99_us": late_us[len(late_us) * 99 // 100]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1], int(sys.argv[2]), [Load(*map(int, text.split("/"))) for text in sys.argv[3:]]))
