"""What a subscriber of the day's figures is shown, from the exchange's rows to the Summary."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tastytrade_provider import create_provider
from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import encode_compact
from tastytrade_provider.emulator import Emulator, Market
from tastytrade_provider.emulator.source import Before
from tastytrade_provider.model import Contract, Gap, Quote, Summary
from tastytrade_provider.provider import Subscription
from tastytrade_provider.tastytrade.board import Board
from tastytrade_provider.tastytrade.quotes import FIELDS
from tests.checks.builders import ES
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


def test_who_comes_after_all_have_left_is_told_nothing_of_their_time() -> None:
    board, day_ns = Board(lambda value: None, lambda *message: None), 86_400 * 10**9
    time_ns = 1_795_444_200 * 10**9

    def send(kind: str, at_ns: int, **row: Any) -> None:
        board.take([feed_data(1, encode_compact(kind, FIELDS[kind], [row | {"eventSymbol": ES.streamer_symbol}])).raw], [at_ns], lambda name: FIELDS[name])

    def summaries() -> tuple[Subscription[Summary], list[Summary]]:
        listener, heard = Subscription[Summary](ES, on_cancel=board.leave), list[Summary]()
        board.join_summary(listener)
        return listener.on(heard.append), heard

    def quotes() -> tuple[Subscription[Quote | Gap], list[Any]]:
        listener, heard = Subscription[Quote | Gap](ES, on_cancel=board.leave), list[Any]()
        board.join_quotes(listener)
        return listener.on(heard.append), heard

    first, _ = summaries()
    quoted, _ = quotes()
    send("Summary", time_ns, dayOpenPrice=5990.0, dayHighPrice=6004.5, dayLowPrice=5981.25)
    send("Quote", time_ns, bidTime=time_ns // 10**6, bidPrice=6000.0, bidSize=1.0)
    first.cancel()
    quoted.cancel()
    board.broke()
    _, today = summaries()
    _, fresh = quotes()
    send("Trade", time_ns + day_ns, time=(time_ns + day_ns) // 10**6, price=6100.0, dayVolume=5.0)
    send("Quote", time_ns + day_ns, bidTime=(time_ns + day_ns) // 10**6, bidPrice=6100.0, bidSize=1.0)
    assert [(one.day_high, one.volume) for one in today] == [(None, 5.0)]
    assert [type(one).__name__ for one in fresh] == ["Quote"]
