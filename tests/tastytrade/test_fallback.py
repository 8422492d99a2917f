"""The ladder of delta sources against an exchange that does not serve every event to this login."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tastytrade_provider.emulator import Wire
from tastytrade_provider.errors import NotSupported
from tastytrade_provider.model import Gap, SideSource, TradeBatch
from tests.checks.sources import excerpt, until
from tests.tastytrade.test_provider import a_provider, an_emulator, serve_all

pytestmark = pytest.mark.usefixtures("quick_ladder")


def sides(batches: list[TradeBatch]) -> set[int]:
    return set(np.unique(np.concatenate([batch.side_source for batch in batches])).tolist())


@pytest.mark.parametrize(
    ("unserved", "source", "sources"),
    [
        ({"TimeAndSale"}, "quote_trade", {SideSource.QUOTE, SideSource.TICK, SideSource.NONE}),
        ({"TimeAndSale", "Quote"}, "tick_rule", {SideSource.TICK, SideSource.NONE}),
    ],
)
async def test_where_time_and_sale_does_not_come_trades_are_made_of_what_does_and_say_so(unserved: set[str], source: str, sources: set[SideSource]) -> None:
    market = excerpt(events=20_000, roots=("ES",))  # some 40 seconds
    wire = Wire(unserved=frozenset(unserved))
    async with an_emulator(market, speed=8, wire=wire, start_on=("Trade", "Quote")) as emulator, a_provider(emulator) as provider:
        items: list[Any] = []
        provider.subscribe_trades(market.contracts[0]).on(items.append)
        await until(lambda: len(items) > 12, "no trades")
        status = provider.status()
        volume_ns = emulator.market_ns
    batches = [item for item in items if isinstance(item, TradeBatch)]
    assert status.delta_source == source
    assert sides(batches) <= {int(one) for one in sources}
    assert any("no TimeAndSale came while the market traded" in note for note in status.notes)
    [gap] = [item for item in items if isinstance(item, Gap)]  # before Trade was heard, nobody knows
    assert gap is items[0]
    assert gap.reason == "no time_and_sale"
    got = sum(float(batch.size.sum()) for batch in batches)
    most = sum(p.size for p in market.prints() if batches[0].time_ns[0] <= p.time_ns <= volume_ns)
    assert 0 < got <= most * 1.2
    assert status.trades == sum(map(len, batches))
    assert status.sides["exchange"] == 0


@pytest.mark.parametrize("source", ["quote_trade", "tick_rule"])
async def test_a_lesser_source_asked_for_by_name_serves_from_the_start_and_adds_up_to_the_days_volume(source: str) -> None:
    market = excerpt(events=4000, roots=("ES",))
    async with an_emulator(market, speed=20, start_on=("Trade",)) as emulator, a_provider(emulator, delta_source=source) as provider:
        items: list[Any] = []
        provider.subscribe_trades(market.contracts[0]).on(items.append)
        await emulator.wait_finished()
        last = market.prints()[-1]
        await until(lambda: items and int(items[-1].time_ns[-1]) == last.time_ns, "the last trade did not come")
        status = provider.status()
    assert all(isinstance(item, TradeBatch) for item in items)
    assert status.delta_source == source
    prints = [p for p in market.prints() if p.valid_tick]
    total, got = sum(p.size for p in prints), sum(float(batch.size.sum()) for batch in items)
    first = next(p.size for p in prints)
    assert total - got == pytest.approx(0, abs=max(first, total * 0.2))  # the first event only says where the day stands; it may cover some prints
    assert emulator.sent["TimeAndSale"] == 0


async def test_when_time_and_sale_comes_after_all_it_takes_over_and_nothing_is_counted_twice() -> None:
    market = excerpt(events=400_000, roots=("ES",))
    wire = Wire(unserved=frozenset({"TimeAndSale"}))
    async with an_emulator(market, speed=8, wire=wire, start_on=("Trade", "Quote")) as emulator, a_provider(emulator) as provider:
        items: list[Any] = []
        provider.subscribe_trades(market.contracts[0]).on(items.append)
        await until(lambda: provider.status().delta_source == "quote_trade", "no fall")
        serve_all(emulator, provider)
        await until(lambda: provider.status().delta_source == "time_and_sale", "no rise")
        seen = len(items)
        await until(lambda: len(items) > seen + 3, "no trades after the rise")
    batches = [item for item in items if isinstance(item, TradeBatch)]
    told = [batch for batch in batches if (batch.index >= 0).all()]
    made = [batch for batch in batches if (batch.index < 0).all()]
    assert told
    assert made
    assert min(int(batch.time_ns.min()) for batch in told) > max(int(batch.time_ns.max()) for batch in made)
    assert sides(told) == {int(SideSource.EXCHANGE)}


async def test_candle_alone_knows_no_trades_and_says_where_to_go() -> None:
    async with an_emulator(excerpt()) as emulator, a_provider(emulator, delta_source="candle") as provider:
        with pytest.raises(NotSupported, match="subscribe_bars and historical_bars give them"):
            provider.subscribe_trades(emulator.source.contracts[0])
        assert provider.status().delta_source == "candle"


async def test_a_market_that_is_told_in_full_is_never_listened_to_elsewhere() -> None:
    market = excerpt(events=6000, roots=("ES",))
    async with an_emulator(market, speed=10) as emulator, a_provider(emulator) as provider:
        provider.subscribe_trades(market.contracts[0]).on(lambda item: None)
        await emulator.wait_finished()
        await asyncio.sleep(0)
        assert provider.status().delta_source == "time_and_sale"
        assert not any("no TimeAndSale" in note for note in provider.status().notes)
