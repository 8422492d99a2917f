# ruff: noqa: PD011 - .values is a field of Update here, not of a frame
"""One market, in virtual time: whoever comes, before the open, in the middle or in an outage, and by whichever way, has the bars of the exchange's trades."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from tastytrade_provider.bars import BarBuilder, build_bars
from tastytrade_provider.emulator import Market, Oddities, Wire
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.model import Bar, Gap, TradeBatch
from tastytrade_provider.sessions import session_at
from tastytrade_provider.watch import Watched
from tests.chaos import virtual
from tests.chaos.exchange import Exchange, a_provider
from tests.chaos.witness import changes, standing

S = 10**9
MINUTE_NS = 60 * S
COLUMNS = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "min_delta", "max_delta", "vwap")


@dataclass
class Consumer:
    """What one of them was handed: its closed bars, as last told, from `owed_ns` on; the gaps; CVD by bar, where it has it."""

    name: str
    owed_ns: int
    bars: dict[int, Bar] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    cvd: dict[int, float] = field(default_factory=dict)

    def keep(self, *bars: Bar) -> None:
        """Closed bars."""
        self.bars |= {bar.start_ns: bar for bar in bars}

    def hear(self, gap: Gap) -> None:
        """A gap."""
        if not gap.filled:
            self.gaps.append(gap)


class Crowd:
    """Everybody at one exchange."""

    def __init__(self, seed: int, start_ns: int, minutes: float) -> None:
        self.start_ns, self.minutes = start_ns, minutes
        market = Market(seed, start_ns, ("ES",), 0.2, Oddities(nan_quote=0.02, correction=0.03, cancel=0.02))
        wire = Wire(history_cap={"TimeAndSale": 1_000_000, "Candle": 8000})
        self.exchange = Exchange(market, (), wire, seed=seed, keeps="whole", tells_cancels=True, quote_life_s=86_400.0)
        self.provider, self.contract = a_provider(), market.contracts[0]
        self.consumers: list[Consumer] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.sides: dict[int, int] = {}

    async def play(self) -> list[Consumer]:
        """From before the first trade to some minutes behind the last."""
        with self.exchange.in_memory():
            self.exchange.start()
            await self.exchange.log_in(self.provider)
            self._join("early", self.start_ns)
            await asyncio.sleep(self.minutes * 30)
            opened_ns = session_at(self.contract.calendar, time.time_ns()).open_ns
            self._join("late", opened_ns)
            await asyncio.sleep(77)
            self.exchange.darken()
            await asyncio.sleep(10)
            self._join("in an outage", opened_ns)
            await asyncio.sleep(self.minutes * 30)
            self.exchange.close_market()
            await asyncio.sleep(180)
            trades = await self.provider.historical_trades(self.contract)
            self._consumer("afterwards", session_at(self.contract.calendar, time.time_ns()).open_ns).keep(*BarBuilder(self.contract, "1m").add(trades))
            await self.provider.disconnect()
            await self.exchange.stop()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.consumers

    def _join(self, when: str, opened_ns: int) -> None:
        provider, es, clock = self.provider, self.contract, asyncio.get_running_loop().time
        manager, next_ns = IndicatorManager(), time.time_ns() // MINUTE_NS * MINUTE_NS + 2 * MINUTE_NS
        self._build(self._consumer(f"{when}, trades", next_ns), provider.subscribe_trades(es))
        self._build(self._consumer(f"{when}, following", opened_ns), provider.follow_trades(es))
        bars = self._consumer(f"{when}, bars", max(opened_ns, time.time_ns() - 7200 * S))
        provider.subscribe_bars(es, "1m", backfill=timedelta(hours=2)).on(lambda item: bars.hear(item) if isinstance(item, Gap) else bars.keep(item))
        told = self._consumer(f"{when}, stream", next_ns)
        self.tasks.append(asyncio.create_task(self._read(told, manager.stream(provider, es, "1m", ["cvd"], clock=lambda: int(clock() * S)))))
        seen, watched = self._consumer(f"{when}, watched", opened_ns), Watched(es, "1m", manager)

        told.gaps = seen.gaps  # a stream tells bars alone

        def watch(item: Any) -> None:
            watched.add(item)
            if isinstance(item, Gap):
                seen.hear(item)
            forming = watched.live.forming
            closed = [update for update in watched.bars() if forming is None or update.bar.start_ns != forming.bar.start_ns]
            seen.keep(*(update.bar for update in closed))
            seen.cvd |= {update.bar.start_ns: update.values["cvd"] for update in closed}

        provider.follow_trades(es).on(watch)

    def _consumer(self, name: str, owed_ns: int) -> Consumer:
        self.consumers.append(Consumer(name, owed_ns))
        return self.consumers[-1]

    def _build(self, consumer: Consumer, trades: Any) -> None:
        builder = BarBuilder(self.contract, "1m")

        def take(item: Any) -> None:
            if isinstance(item, Gap):
                consumer.hear(item)
                consumer.keep(*builder.add_gap(item))
            elif isinstance(item, TradeBatch):
                for index, side in zip(item.index.tolist(), item.side.tolist(), strict=True):
                    self.sides.setdefault(index, side)
                consumer.keep(*builder.add(item))

        trades.on(take)

    @staticmethod
    async def _read(consumer: Consumer, stream: Any) -> None:
        async for bar, values in stream:
            consumer.keep(bar)
            consumer.cvd[bar.start_ns] = values["cvd"]

    def truth(self) -> TradeBatch:
        """The exchange's trades as they stand in the end, in order. A side that it did not tell is that which was first inferred."""
        told = changes(self.contract, self.exchange.truth)
        times = {change.index: change.time_ns for change in reversed(told)}
        rows = sorted((times[index], index, stand) for index, stand in standing(told).items())
        price, size = self.contract.price, self.contract.size
        return TradeBatch(
            self.contract,
            {
                "time_ns": [row[0] for row in rows],
                "index": [row[1] for row in rows],
                "price": [price(row[2].ticks) for row in rows],
                "size": [size(row[2].lots) for row in rows],
                "side": [row[2].side or self.sides.get(row[1], 0) for row in rows],
            },
        )


@pytest.mark.parametrize(("seed", "start", "minutes"), [(11, "2026-03-01T22:57Z", 25), (54, "2026-03-02T21:50Z", 90)], ids=["the open", "the halt"])
def test_everybody_has_the_bars_and_the_cvd_of_the_exchanges_trades(seed: int, start: str, minutes: float) -> None:
    start_ns = int(pd.Timestamp(start).value)
    crowd = Crowd(seed, start_ns, minutes)
    consumers = virtual.run(crowd.play, start_ns=start_ns, seed=seed)
    trades = crowd.truth()
    frame = build_bars(trades, "1m", crowd.contract)
    cvd = IndicatorManager().calculate(frame, "cvd")["cvd"]
    expected = {stamp.value: row for stamp, row in zip(frame.index, frame.to_dict("records"), strict=True)}
    sums = dict(zip(expected, cvd.tolist(), strict=True))
    assert len(expected) > 20
    summed = 0
    for consumer in consumers:
        owed = [start for start in list(expected)[:-1] if start >= consumer.owed_ns and not is_told(consumer, start)]
        assert [start for start in owed if start not in consumer.bars] == [], f"{consumer.name}: missing"
        for start, bar in consumer.bars.items():
            if start in owed:
                assert bar.complete, (consumer.name, bar)
                known = {name: getattr(bar, name) for name in COLUMNS if getattr(bar, name) is not None}  # a candle has no extremes of delta
                assert known == pytest.approx({name: expected[start][name] for name in known}), consumer.name
                if start in consumer.cvd and not is_told(consumer, start, session_at(crowd.contract.calendar, start).open_ns):
                    summed += 1
                    assert consumer.cvd[start] == sums[start], (consumer.name, bar)
    assert summed > 20


def is_told(consumer: Consumer, start_ns: int, since_ns: int | None = None) -> bool:
    """Whether a gap touches the minute, or what was before it since a time."""
    return any(gap.start_ns < start_ns + MINUTE_NS and gap.end_ns > (since_ns or start_ns) for gap in consumer.gaps)
