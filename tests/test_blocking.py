"""A provider without async: following a contract, and waits that run out."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tastytrade_provider import blocking
from tastytrade_provider.errors import RequestTimeout
from tastytrade_provider.model import Contract, TradeBatch
from tastytrade_provider.provider import Capabilities, Subscription
from tests.checks.builders import ES, a_batch, opening
from tests.checks.shadows import InMemory


def numbered(*index: int) -> TradeBatch:
    return a_batch(time_ns=[opening() + i * 10**9 for i in index], index=list(index))


class Remembering(InMemory):
    """Hands over trades 1 to 3 of the past once they are asked for and `found`; trades 3 and 4 come live, and then the end."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(trades=True, historical_trades=True)
        self.found = threading.Event()
        self.asked = 0

    def now_ns(self) -> int:
        return opening()

    def subscribe_trades(self, contract: Contract) -> Subscription[Any]:
        subscription = super().subscribe_trades(contract)
        subscription.put(numbered(3, 4))
        subscription.end()
        return subscription

    async def historical_trades(self, contract: Contract, start: Any = None, end: Any = None) -> TradeBatch:
        self.asked += 1
        await asyncio.to_thread(self.found.wait)
        return numbered(1, 2, 3)


def test_following_a_contract_gives_its_past_and_then_its_trades_each_once() -> None:
    provider = Remembering()
    provider.found.set()
    with blocking(provider) as feed, feed.follow_trades(feed.resolve("ES")) as following:
        assert [item.index.tolist() for item in following if isinstance(item, TradeBatch)] == [[1, 2, 3], [4]]
        following.ended()


def test_a_callback_that_raises_ends_the_following_and_is_raised_where_its_end_is_waited_for() -> None:
    provider = Remembering()
    provider.found.set()
    with blocking(provider) as feed, pytest.raises(ZeroDivisionError):
        feed.follow_trades(ES).on(lambda item: 1 / 0).ended()


def test_a_wait_that_ran_out_loses_nothing_of_the_past_that_is_still_being_fetched() -> None:
    provider = Remembering()
    with blocking(provider) as feed, feed.follow_trades(ES) as following:
        for _ in range(3):
            with pytest.raises(RequestTimeout, match=r"nothing came from /ESZ6 within 0\.01 s"):
                following.next(timeout_s=0.01)
        provider.found.set()
        assert [following.next().index.tolist() for _ in range(2)] == [[1, 2, 3], [4]]  # type: ignore[union-attr]
        assert provider.asked == 1


def test_without_the_past_it_begins_with_the_first_live_trade() -> None:
    with blocking(Remembering()) as feed:
        assert feed.follow_trades(ES, fill=False).next().index.tolist() == [3, 4]  # type: ignore[union-attr]
