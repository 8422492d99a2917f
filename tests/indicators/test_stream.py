from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tastytrade_provider.errors import ConnectionLost, UsageError
from tastytrade_provider.indicators import IndicatorManager, Update
from tastytrade_provider.model import Contract, Gap, Roll, TradeBatch
from tastytrade_provider.provider import Subscription
from tests.checks.builders import ES, MINUTE_NS, a_batch, opening


class Feed:
    """A source of trades with a hand on the tap."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.tap: Subscription[TradeBatch | Gap | Roll]

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        self.tap = Subscription(contract, on_cancel=self._cancelled)
        self.tap.grant()
        return self.tap

    def _cancelled(self, sub: object) -> None:
        self.cancelled += 1


def at(minute: float, **columns: Any) -> TradeBatch:
    return a_batch(time_ns=[opening() + int(minute * MINUTE_NS)], **columns)


async def test_each_closed_bar_comes_with_its_values() -> None:
    feed = Feed()
    async with IndicatorManager().stream(feed, ES, "1m", ["volume_delta", "cvd", "footprint"], clock=None) as live:
        for minute, size in enumerate((5.0, 2.0, 1.0)):
            feed.tap.put(at(minute, size=size, side=1))
        feed.tap.end()
        got = [(bar.start_ns, values["cvd"]) async for bar, values in live]
        assert got == [(opening(), 5), (opening() + MINUTE_NS, 7)]
        assert live.forming is not None
        assert live.forming.values["cvd"] == 8
        assert live.footprint(live.forming.bar).poc == 6000
    assert live.values["cvd"] == 7


async def test_without_names_the_configured_ones_run() -> None:
    live = IndicatorManager(names=["cvd"]).stream(Feed(), ES)
    assert list(live.values) == ["cvd", "cvd_open", "cvd_high", "cvd_low"]
    live.cancel()


async def test_the_clock_closes_the_bar_when_no_trade_follows() -> None:
    # it stands at 1000 when the trade of half past comes; asked again, half a minute less a nanosecond has gone by, and then that one too
    feed, readings = Feed(), [1_000, *[999 + MINUTE_NS // 2] * 3]
    live = IndicatorManager().stream(feed, ES, "1m", ["cvd"], clock=lambda: readings.pop(0) if readings else 1_000 + MINUTE_NS // 2)
    feed.tap.put(at(0.5, side=1))
    bar, values = await asyncio.wait_for(anext(live), 5)
    assert (bar.end_ns, values["cvd"]) == (opening() + MINUTE_NS, 1)
    assert not readings
    live.cancel()


async def test_cancel_ends_the_loop_and_the_subscription() -> None:
    feed = Feed()
    live = IndicatorManager().stream(feed, ES, "1m", ["cvd"])

    async def read() -> list[Update]:
        return [update async for update in live]

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    live.cancel()
    assert await asyncio.wait_for(reading, 5) == []
    assert feed.cancelled == 1


async def test_an_item_is_not_lost_when_the_reader_gives_up_waiting() -> None:
    feed = Feed()
    live = IndicatorManager().stream(feed, ES, "1m", ["cvd"], clock=None)
    waiting = asyncio.ensure_future(anext(live))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    feed.tap.put(at(0, size=3.0, side=1))
    feed.tap.put(at(1, side=1))
    update = await asyncio.wait_for(anext(live), 5)
    assert update.values["cvd"] == 3
    live.cancel()


async def test_what_the_subscription_ends_with_is_raised() -> None:
    feed = Feed()
    live = IndicatorManager().stream(feed, ES, "1m", ["cvd"])
    feed.tap.end(ConnectionLost("the line went dead"))
    with pytest.raises(ConnectionLost, match="the line went dead"):
        await anext(live)


async def test_a_fault_is_counted_by_the_manager_and_never_raised() -> None:
    feed, manager = Feed(), IndicatorManager()
    live = manager.stream(feed, ES, "1m", {"cvd": {"reset": "rth_open", "calendar": "24/7"}}, clock=None)  # which has no regular hours
    feed.tap.put(at(0))
    feed.tap.put(at(1))
    feed.tap.end()
    (update,) = [update async for update in live]
    assert update.values["cvd"] != update.values["cvd"]
    assert "no regular trading hours" in manager.faults["cvd"].last


async def test_an_unknown_name_is_told_before_anything_is_subscribed() -> None:
    feed = Feed()
    with pytest.raises(UsageError, match="did you mean 'cvd'"):
        IndicatorManager().stream(feed, ES, "1m", ["cdv"])
    assert not hasattr(feed, "tap")
