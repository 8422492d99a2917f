"""What a subscriber of the day's figures is shown, from the exchange's rows to the Summary."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tastytrade_provider import create_provider
from tastytrade_provider.emulator import Emulator, Market
from tastytrade_provider.emulator.source import Before
from tastytrade_provider.model import Contract, Summary
from tests.checks.sources import LIMIT_S, Excerpt
from tests.test_providers import login


@dataclass(frozen=True)
class AfterADay(Excerpt):
    """A market with a day before it."""

    def before(self, contract: Contract) -> Before:
        return Before(close=5990.0, volume=1_500_000.0, open_interest=2_104_512)


async def test_a_summary_has_what_the_contract_is_and_what_the_day_before_left() -> None:
    source = AfterADay(Market(seed=20261122, roots=("ES",), prints_per_s=40.0), 600)
    prints = source.prints()
    async with Emulator(source, speed="max", start_on=("Trade",)) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        summary = Summary(es, 0, 0)
        subscription = provider.subscribe_summary(es)
        async with asyncio.timeout(LIMIT_S):
            while summary.time_ns < prints[-1].time_ns or summary.description is None or summary.volume != sum(one.size for one in prints):
                summary = await anext(subscription)
    assert (summary.description, summary.status) == ("E-mini S&P 500, Mar 2026", "ACTIVE")
    assert (summary.high_limit, summary.low_limit) == (6409.25, 5570.75)  # 7 % of 5990 is 419.3, in ticks of 0.25
    assert (summary.previous_close, summary.open_interest) == (5990.0, 2_104_512.0)
    assert summary.change == prints[-1].price - 5990.0
    assert (summary.day_high, summary.day_low) == (max(one.price for one in prints), min(one.price for one in prints))
