# ruff: noqa: PD011 - .values is a field of Update and LiveStream here, not of a frame
from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pandas as pd
import pytest

from tastytrade_provider.bars import build_bars
from tastytrade_provider.errors import ConnectionLost, FeedError, UsageError
from tastytrade_provider.indicators import CVD, IndicatorManager, Update, VolumeDelta, stream
from tastytrade_provider.model import Action, Contract, Gap, Roll, TradeBatch
from tastytrade_provider.provider import Subscription
from tests.checks.builders import ES, MINUTE_NS, a_batch, opening


class Feed:
    """A source of trades with a hand on the tap."""

    def __init__(self) -> None:
        self.asked = self.cancelled = 0
        self.tap: Subscription[TradeBatch | Gap | Roll]

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        self.asked += 1
        self.tap = Subscription(contract, on_cancel=self._cancelled)
        self.tap.grant()
        return self.tap

    def follow_trades(self, contract: Contract, *, fill: bool = True) -> Subscription[TradeBatch | Gap | Roll]:
        return self.subscribe_trades(contract)

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


async def test_a_symbol_is_no_contract() -> None:
    symbol: Any = "ES"
    with pytest.raises(UsageError, match=r"'ES' is a str; a Contract is accepted: await provider\.resolve\('ES'\)"):
        IndicatorManager().stream(Feed(), symbol)


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


async def test_a_correction_of_an_earlier_trade_does_not_put_the_clock_back() -> None:
    feed = Feed()
    live = IndicatorManager().stream(feed, ES, "1m", ["cvd"], clock=lambda: 0 if feed.tap.stats.waiting else MINUTE_NS // 5)
    feed.tap.put(a_batch(time_ns=[opening() + MINUTE_NS // 10, opening() + MINUTE_NS * 9 // 10], index=[1, 2], side=1))
    feed.tap.put(at(0.1, index=[1], size=3.0, side=1, action=Action.CORRECTION))
    async with asyncio.timeout(5):
        bar, values = await anext(live)
    assert (bar.end_ns, values["cvd"]) == (opening() + MINUTE_NS, 4)
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


# -- shared by several strategies


def _stopped() -> int:
    """A clock that stands still."""
    return 0


class Counting(VolumeDelta):
    """Volume delta that counts how often it is worked out."""

    name = "counting"
    made = worked = 0

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        type(self).made += 1

    def update(self, bar: Any) -> dict[str, float]:
        type(self).worked += 1
        return super().update(bar)


@pytest.fixture
def manager() -> IndicatorManager:
    Counting.made = Counting.worked = 0
    made = IndicatorManager()
    made.register(Counting)
    return made


def minutes(*sizes: float, first: int = 0, **columns: Any) -> list[TradeBatch]:
    return [at(first + i, size=size, side=1, **columns) for i, size in enumerate(sizes)]


async def rest(live: AsyncIterator[Update]) -> list[Update]:
    return [update async for update in live]


async def test_two_strategies_share_one_subscription_one_builder_and_one_indicator(manager: IndicatorManager) -> None:
    feed = Feed()
    one = manager.stream(feed, ES, "1m", ["counting", "cvd"], clock=None)
    other = manager.stream(
        feed, ES, "1m", {"mine": {"name": "counting"}, "cvd": {"reset": "session_open"}, "all": {"name": "cvd", "reset": "never"}}, clock=None
    )
    for batch in minutes(5, 2, 1):
        feed.tap.put(batch)
    feed.tap.end()
    first, second = await asyncio.gather(rest(one), rest(other))
    assert feed.asked == 1
    assert Counting.worked == 2
    assert [u.values["cvd"] for u in first] == [u.values["cvd"] for u in second] == [5, 7]
    assert [u.values["delta"] for u in first] == [u.values["mine_delta"] for u in second] == [5, 2]
    assert "mine_delta" not in first[0].values
    assert first[0].bar is second[0].bar
    assert list(second[0].values)[-4:] == ["all_cvd", "all_cvd_open", "all_cvd_high", "all_cvd_low"]


async def test_another_timeframe_contract_clock_or_feed_is_a_set_of_its_own(manager: IndicatorManager) -> None:
    feed, nq = Feed(), Contract("NQ", "/NQZ6", tick_size=0.25)
    for contract, timeframe, clock in ((ES, "1m", None), (ES, "5m", None), (nq, "1m", None), (ES, "1m", _stopped), (ES, "1m", None)):
        manager.stream(feed, contract, timeframe, ["cvd"], clock=clock)
    assert feed.asked == 4
    other = Feed()
    manager.stream(other, ES, "1m", ["cvd"], clock=None)
    assert other.asked == 1


async def test_one_that_comes_later_catches_up_and_hears_of_what_closes_from_then_on(manager: IndicatorManager) -> None:
    feed = Feed()
    one = manager.stream(feed, ES, "1m", ["volume_delta"], clock=None)
    for batch in minutes(5, 2, 1):
        feed.tap.put(batch)
    assert [(await anext(one)).values["delta"] for _ in range(2)] == [5, 2]
    late = manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    assert late.values["cvd"] == 7
    assert late.forming is not None
    assert late.forming.values["cvd"] == 8
    feed.tap.put(at(3))
    assert [(await anext(each)).values for each in (one, late)][1]["cvd"] == 8


async def test_a_repair_reaches_an_indicator_that_came_later_as_well(manager: IndicatorManager) -> None:
    feed = Feed()
    one = manager.stream(feed, ES, "1m", ["volume_delta"], clock=None)
    trades = minutes(*[1.0] * 130)
    for batch in trades:
        feed.tap.put(batch)
    for _ in range(129):
        await anext(one)
    late = manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    fix = at(70.5, size=10.0, side=-1)
    feed.tap.put(fix)
    feed.tap.end()
    repaired, sums = await asyncio.gather(rest(one), rest(late))
    assert [(u.bar.start_ns, u.values["delta"]) for u in repaired] == [(opening() + 70 * MINUTE_NS, -9)]
    whole = IndicatorManager().apply(build_bars(TradeBatch.concat([*trades, fix]), "1m", ES), ["cvd"])["cvd"]
    assert [u.values["cvd"] for u in sums] == whole.iloc[70:129].tolist()


async def test_a_strategy_that_leaves_takes_only_its_own_indicators_along(manager: IndicatorManager) -> None:
    feed = Feed()
    one = manager.stream(feed, ES, "1m", ["counting"], clock=None)
    other = manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    for batch in minutes(5, 2):
        feed.tap.put(batch)
    await anext(one)
    one.cancel()
    assert feed.cancelled == 0
    feed.tap.put(at(2, side=1))
    assert [(await anext(other)).values["cvd"] for _ in range(2)] == [5, 7]
    assert Counting.worked == 1
    assert one.values["delta"] == 5  # as it was when it left
    with pytest.raises(StopAsyncIteration):
        await anext(one)
    other.cancel()
    assert feed.cancelled == 1
    manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    assert feed.asked == 2


async def test_leaving_wakes_the_strategy_that_waits_and_spares_the_others(manager: IndicatorManager) -> None:
    feed = Feed()
    one, other = (manager.stream(feed, ES, "1m", ["cvd"]) for _ in range(2))
    waiting = [asyncio.ensure_future(rest(each)) for each in (one, other)]
    await asyncio.sleep(0)
    one.cancel()
    assert await asyncio.wait_for(waiting[0], 5) == []
    feed.tap.end(ConnectionLost("the line went dead"))
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(waiting[1], 5)


async def test_what_the_subscription_ends_with_is_raised_to_every_strategy_and_a_new_one_begins_anew(manager: IndicatorManager) -> None:
    feed = Feed()
    both = [manager.stream(feed, ES, "1m", ["cvd"], clock=None) for _ in range(2)]
    feed.tap.put(at(0, side=1))
    feed.tap.put(at(1, side=1))
    feed.tap.end(ConnectionLost("the line went dead"))
    for live in both:
        assert (await anext(live)).values["cvd"] == 1
        with pytest.raises(ConnectionLost, match="the line went dead"):
            await anext(live)
    manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    assert feed.asked == 2


async def test_a_tape_waits_for_the_strategy_that_reads_slowest(manager: IndicatorManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "UNREAD", 3)
    feed = Feed()
    fast, slow = (manager.stream(feed, ES, "1m", ["volume_delta"], clock=None) for _ in range(2))
    for batch in minutes(*range(1, 11)):
        feed.tap.put(batch)
    feed.tap.end()
    reading = asyncio.ensure_future(rest(fast))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not reading.done()
    assert [u.values["delta"] for u in await rest(slow)] == [*range(1, 10)]
    assert [u.values["delta"] for u in await asyncio.wait_for(reading, 5)] == [*range(1, 10)]


async def test_on_a_live_feed_a_strategy_too_slow_ends_by_itself_with_what_it_has(manager: IndicatorManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "UNREAD", 3)
    feed = Feed()
    fast, slow = (manager.stream(feed, ES, "1m", ["volume_delta"], clock=_stopped) for _ in range(2))
    for batch in minutes(*range(1, 11)):
        feed.tap.put(batch)
    feed.tap.end()
    assert len(await rest(fast)) == 9
    assert [(await anext(slow)).values["delta"] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(FeedError, match="3 bars waiting to be read, and ends"):
        await anext(slow)


async def test_a_history_goes_in_once_for_all(manager: IndicatorManager) -> None:
    feed = Feed()
    history = build_bars(TradeBatch.concat(minutes(5, 2)), "1m", ES)
    one, other = (manager.stream(feed, ES, "1m", ["cvd"], clock=None) for _ in range(2))
    one.warm(history)
    other.warm(history)
    feed.tap.put(at(2, side=1))
    feed.tap.put(at(3, side=1))
    assert (await anext(one)).values["cvd"] == (await anext(other)).values["cvd"] == 8
    late = manager.stream(feed, ES, "1m", {"all": {"name": "cvd", "reset": "never"}}, clock=None)
    assert late.values["all_cvd"] == 8
    late.warm(history.iloc[1:])
    longer = pd.concat([history.set_axis(history.index - pd.Timedelta(hours=1)), history])
    with pytest.raises(UsageError, match="before the first bar"):
        late.warm(longer)


async def test_after_a_roll_the_old_contract_is_a_set_of_its_own_again(manager: IndicatorManager) -> None:
    feed, after = Feed(), Contract("ES", "/ESH7", tick_size=0.25)
    live = manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    feed.tap.put(at(0, size=5.0, side=1))
    feed.tap.put(Roll(ES, after, opening() + MINUTE_NS))
    assert (await anext(live)).values["cvd"] == 5
    assert live.contract == after
    manager.stream(feed, after, "1m", ["cvd"], clock=None)
    assert feed.asked == 1
    manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    assert feed.asked == 2


async def test_a_fault_in_a_shared_indicator_is_counted_under_every_label_it_goes_by(manager: IndicatorManager) -> None:
    feed = Feed()
    params = {"name": "cvd", "reset": "rth_open", "calendar": "24/7"}  # which has no regular hours
    streams = [manager.stream(feed, ES, "1m", {label: params}, clock=None) for label in ("a", "b")]
    for batch in minutes(1, 1):
        feed.tap.put(batch)
    feed.tap.end()
    for live in streams:
        (update,) = await rest(live)
        assert all(math.isnan(value) for value in update.values.values())
    assert {label: fault.count for label, fault in manager.faults.items()} == {"a": 1, "b": 1}


async def test_an_indicator_put_in_the_place_of_another_is_not_shared_with_it(manager: IndicatorManager) -> None:
    feed = Feed()
    one = manager.stream(feed, ES, "1m", ["cvd"], clock=None)

    class Halved(CVD):
        def _kernel(self, state: Any, bars: Any, out: Any) -> None:
            super()._kernel(state, bars, out)
            out /= 2

    manager.register("cvd", Halved, replace=True)
    other = manager.stream(feed, ES, "1m", ["cvd"], clock=None)
    feed.tap.put(at(0, size=4.0, side=1))
    feed.tap.put(at(1))
    assert [(await anext(one)).values["cvd"], (await anext(other)).values["cvd"]] == [4, 2]
