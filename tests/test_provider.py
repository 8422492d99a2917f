"""A consumer's stream of items: what happens when it is slow, wrong, or gone."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pandas as pd
import pytest

from tastytrade_provider.errors import CapacityExceeded, ConnectionLost, NotSupported, UsageError
from tastytrade_provider.model import Gap, Quote, Roll, TradeBatch
from tastytrade_provider.provider import Capabilities, DataProvider, ProviderStatus, Subscription, time_ns
from tests.checks.builders import ES, a_batch

Item = TradeBatch | Gap | Roll


def a_subscription(**options: Any) -> Subscription[Item]:
    sub: Subscription[Item] = Subscription(ES, **options)
    sub.grant()
    return sub


def at(*seconds: int) -> TradeBatch:
    return a_batch(time_ns=[second * 10**9 for second in seconds])


async def everything(sub: Subscription[Any]) -> list[Any]:
    return [item async for item in sub]


async def test_items_come_in_order_and_the_iteration_ends() -> None:
    sub, first, second = a_subscription(), at(1), at(2, 3)
    sub.put(first)
    sub.put(second)
    sub.end()
    assert await everything(sub) == [first, second]
    assert sub.has_ended
    assert (sub.stats.items, sub.stats.trades, sub.stats.dropped, sub.stats.waiting) == (2, 3, 0, 0)


async def test_a_consumer_that_waits_is_woken() -> None:
    sub, item = a_subscription(), at(1)
    waiting = asyncio.ensure_future(anext(sub))
    await asyncio.sleep(0)
    assert not waiting.done()
    sub.put(item)
    assert await waiting is item


async def test_an_error_is_met_after_what_waits_and_again_by_whoever_asks_again() -> None:
    sub, item = a_subscription(), at(1)
    sub.put(item)
    sub.end(ConnectionLost("gone"))
    assert await anext(sub) is item
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone"):
            await anext(sub)
    with pytest.raises(ConnectionLost):
        await sub.ended()


# -- slow


async def test_a_full_buffer_drops_and_hands_over_one_gap_that_spans_what_was_dropped() -> None:
    sub = a_subscription(capacity=3)
    kept = [at(1, 2), at(3)]
    for item in (*kept, at(5, 4), at(6), at(9, 7)):
        sub.put(item)
    assert (sub.stats.waiting, sub.stats.dropped) == (3, 5)
    assert [await anext(sub), await anext(sub)] == kept
    assert await anext(sub) == Gap(ES, 4 * 10**9, 9 * 10**9 + 1, "slow consumer")  # without waiting for the next trade
    after = at(10)
    sub.put(after)
    sub.end()
    assert await everything(sub) == [after]
    assert (sub.stats.items, sub.stats.trades, sub.stats.waiting) == (4, 4, 0)


async def test_the_gap_stands_where_the_trades_are_missing() -> None:
    sub = a_subscription(capacity=2)
    first, second, last = at(1), at(2), at(4)
    for item in (first, second, at(3)):
        sub.put(item)
    assert await anext(sub) is first
    sub.put(last)
    sub.end()
    assert await everything(sub) == [second, Gap(ES, 3 * 10**9, 3 * 10**9 + 1, "slow consumer"), last]


async def test_what_was_dropped_last_is_told_at_the_end() -> None:
    sub = a_subscription(capacity=1)
    for second in (1, 2):
        sub.put(at(second))
    sub.end()
    first, gap = await everything(sub)
    assert (len(first), gap.reason, sub.stats.waiting) == (1, "slow consumer", 0)


async def test_gaps_and_rolls_are_never_dropped() -> None:
    sub = a_subscription(capacity=1)
    gap, roll = Gap(ES, 5, 6, "connection lost"), Roll(ES, ES, 7)
    for item in (at(1), at(2), gap, roll):
        sub.put(item)
    sub.end()
    found = await everything(sub)
    assert [type(item).__name__ for item in found] == ["TradeBatch", "Gap", "Gap", "Roll"]
    assert found[2:] == [gap, roll]


async def test_a_quote_counts_as_one_and_its_gap_has_its_time() -> None:
    sub: Subscription[Quote | Gap] = Subscription(ES, capacity=1)
    for time in (10, 20, 30):
        sub.put(Quote(ES, time, time, 1.0, 2.0, 1.0, 1.0))
    assert (sub.stats.waiting, sub.stats.dropped) == (1, 2)
    sub.end()
    assert (await everything(sub))[1] == Gap(ES, 20, 31, "slow consumer")


async def test_a_waiting_feed_is_told_when_to_stop_and_when_there_is_room() -> None:
    room: list[int] = []
    sub = a_subscription(capacity=4, wait=True, on_room=lambda: room.append(sub.stats.waiting))
    for second in range(3):
        sub.put(at(second))
    assert not sub.is_full
    sub.put(at(4, 5))
    assert sub.is_full
    sub.put(at(6))  # on its way already: kept
    assert (sub.stats.waiting, sub.stats.dropped) == (6, 0)
    await anext(sub)
    assert (room, sub.is_full) == ([], True)
    for _ in range(3):
        await anext(sub)
    assert (room, sub.is_full) == ([1], False)  # half is free


async def test_a_live_feed_is_never_told_to_stop() -> None:
    sub = a_subscription(capacity=1)
    sub.put(at(1))
    assert not sub.is_full


# -- callbacks


async def test_a_callback_gets_what_waits_then_what_comes_and_each_is_counted_once() -> None:
    sub, got = a_subscription(), list[Any]()
    items = [at(1), at(2), at(3, 4)]
    sub.put(items[0])
    sub.put(items[1])
    assert sub.on(got.append) is sub
    sub.put(items[2])
    assert got == items
    assert (sub.stats.items, sub.stats.trades, sub.stats.waiting) == (3, 4, 0)


async def test_a_late_callback_hears_of_the_drop_after_what_was_kept() -> None:
    sub, got = a_subscription(capacity=1), list[Any]()
    sub.put(at(1))
    sub.put(at(2))
    sub.on(got.append)
    assert [type(item).__name__ for item in got] == ["TradeBatch", "Gap"]


async def test_a_callback_that_raises_ends_only_its_own_subscription() -> None:
    failures, cancelled = list[Exception](), list[Any]()
    broken = a_subscription(on_failure=failures.append, on_cancel=cancelled.append)
    fault = ZeroDivisionError("mine")

    def fail(item: Any) -> None:
        raise fault

    healthy, got = a_subscription(), list[Any]()
    healthy.on(got.append)
    broken.on(fail)
    for _ in range(2):
        for sub in (broken, healthy):
            sub.put(at(1))
    assert (failures, cancelled, broken.error, broken.has_ended) == ([fault], [broken], fault, True)
    assert (len(got), healthy.has_ended, healthy.error) == (2, False, None)
    assert broken.stats.items == 1
    with pytest.raises(ZeroDivisionError):
        await anext(broken)


async def test_a_callback_may_cancel() -> None:
    sub, got = a_subscription(), list[Any]()
    sub.put(at(1))
    sub.put(at(2))
    sub.on(lambda item: (got.append(item), sub.cancel()))
    sub.put(at(3))
    assert (len(got), sub.has_ended, sub.error) == (1, True, None)


# -- the end


async def test_cancel_discards_what_waits_and_tells_the_provider_once() -> None:
    told: list[Any] = []
    sub = a_subscription(capacity=1, on_cancel=told.append, on_room=lambda: told.append("room"))
    sub.put(at(1))
    sub.put(at(2))
    sub.cancel()
    sub.cancel()
    sub.put(at(3))
    assert told == [sub, "room"]
    assert await everything(sub) == []
    assert sub.stats.waiting == 0


async def test_leaving_the_block_cancels() -> None:
    async with a_subscription() as sub:
        sub.put(at(1))
    assert sub.has_ended
    assert await everything(sub) == []


async def test_the_first_end_is_the_one_that_counts() -> None:
    sub = a_subscription()
    sub.end(ConnectionLost("gone"))
    sub.end()
    with pytest.raises(ConnectionLost):
        await anext(sub)


# -- ready


async def test_ready_waits_for_the_grant() -> None:
    sub: Subscription[Item] = Subscription(ES)
    waiting = asyncio.ensure_future(sub.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    sub.grant()
    await waiting
    await sub.ready()


@pytest.mark.parametrize("early", [True, False])
async def test_ready_raises_what_the_feed_refused_it_with(early: bool) -> None:
    sub: Subscription[Item] = Subscription(ES)
    waiting = asyncio.ensure_future(sub.ready()) if early else None
    await asyncio.sleep(0)
    sub.end(CapacityExceeded("too many"))
    with pytest.raises(CapacityExceeded):
        await (waiting or sub.ready())
    with pytest.raises(CapacityExceeded):
        await anext(sub)


async def test_ready_of_a_subscription_that_ended_before_its_grant_does_not_wait_for_ever() -> None:
    sub: Subscription[Item] = Subscription(ES)
    sub.cancel()
    async with asyncio.timeout(1):
        await sub.ready()
    assert await everything(sub) == []


async def test_giving_up_on_ready_does_not_take_the_grant_from_others() -> None:
    sub: Subscription[Item] = Subscription(ES)
    one, other = asyncio.ensure_future(sub.ready()), asyncio.ensure_future(sub.ready())
    await asyncio.sleep(0)
    one.cancel()
    sub.grant()
    await other
    with pytest.raises(asyncio.CancelledError):
        await one


# -- the interface


class Silent(DataProvider):
    """What every provider must have, and nothing else."""

    name = "silent"
    capabilities = Capabilities()
    is_connected = False

    async def connect(self) -> None:
        self.is_connected = True

    async def disconnect(self) -> None:
        self.is_connected = False

    async def resolve(self, symbol: str) -> Any:
        raise NotImplementedError

    async def contracts(self, root: str) -> Any:
        raise NotImplementedError

    def status(self) -> ProviderStatus:
        return ProviderStatus("connected", 0)


async def test_what_a_feed_cannot_give_is_refused_by_name() -> None:
    async with Silent() as provider:
        assert provider.is_connected
        for ask in (provider.subscribe_trades, provider.subscribe_quotes, provider.subscribe_bars, provider.subscribe_summary):
            with pytest.raises(NotSupported, match="provider 'silent' does not serve"):
                ask(ES)
        for question in (provider.historical_bars(ES), provider.historical_trades(ES, None), provider.earliest(ES)):
            with pytest.raises(NotSupported, match="provider 'silent' does not serve"):
                await question
    assert not provider.is_connected


@pytest.mark.parametrize(
    "value",
    ["2026-11-20T14:30:00Z", "2026-11-20T08:30:00-06:00", pd.Timestamp("2026-11-20 14:30", tz="UTC"), dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC)],
)
def test_an_aware_time_is_read(value: Any) -> None:
    assert time_ns(value) == 1_795_185_000 * 10**9


@pytest.mark.parametrize("value", ["2026-11-20", "2026-11-20T14:30", dt.datetime(2026, 11, 20), 5, 1.5])  # noqa: DTZ001
def test_a_naive_time_is_refused_with_how_to_write_it(value: Any) -> None:
    with pytest.raises(UsageError, match=r"start .* has no time zone; write e.g. '.*Z'"):
        time_ns(value, "start")


@pytest.mark.parametrize("value", ["soon", "", None, pd.NaT, "3000-01-01T00:00Z", [1]])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"end .* is no time; an aware datetime or ISO text"):
        time_ns(value, "end")
