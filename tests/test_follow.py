"""Following a contract: what was before the subscription, what comes live, and the new month after a roll, each trade once."""

from __future__ import annotations

import asyncio
from typing import Any

import pandas as pd
import pytest

from tastytrade_provider.emulator import Emulator, Market
from tastytrade_provider.errors import ConnectionLost, NoData, RequestTimeout
from tastytrade_provider.follow import Item
from tastytrade_provider.model import Action, Contract, Gap, Roll, TradeBatch
from tastytrade_provider.pace import Pace
from tastytrade_provider.provider import Capabilities, DataProvider, ProviderStatus, Subscription
from tastytrade_provider.registry import create_provider
from tests.checks.builders import ES, MINUTE_NS, a_batch, opening
from tests.checks.sources import Excerpt, until
from tests.test_providers import login

NEXT = Contract("ES", "/ESH7", "/ESH27:XCME", tick_size=0.25)
OPENED_NS = opening() - 15 * 3600 * 10**9 - 30 * MINUTE_NS  # Sunday evening, 17:00 in Chicago


def trades(*index: int, contract: Contract = ES, action: Action = Action.NEW) -> TradeBatch:
    """Trade n is that of the n-th second after Monday's cash open."""
    n = len(index)
    return a_batch(contract, time_ns=[opening() + i * 10**9 for i in index], index=list(index), action=[int(action)] * n)


def unnumbered(*second: int) -> TradeBatch:
    """The same, made of lesser events."""
    batch = trades(*second)
    return batch.replace(index=batch.index * 0 - 1)


class Feed(DataProvider):
    """A tap for each contract, and a past to be asked for."""

    name = "hand"

    def __init__(self, past: dict[str, TradeBatch | Exception], *, has_index: bool = True) -> None:
        self.capabilities = Capabilities(trades=True, historical_trades=True, has_index=has_index)
        self.past, self.asked = past, list[tuple[str, int]]()
        self.taps: dict[str, Subscription[Item]] = {}
        self.left: list[str] = []

    @property
    def is_connected(self) -> bool:
        return True

    async def connect(self) -> None: ...
    async def disconnect(self) -> None: ...
    async def resolve(self, symbol: str) -> Contract:
        return ES

    async def contracts(self, root: str) -> list[Contract]:
        return [ES, NEXT]

    def status(self) -> ProviderStatus:
        return ProviderStatus("connected", 0)

    def now_ns(self) -> int:
        return opening()

    async def historical_trades(self, contract: Contract, start: Any, end: Any = None) -> TradeBatch:
        self.asked.append((contract.symbol, pd.Timestamp(start).value))
        found = self.past[contract.symbol]
        if isinstance(found, Exception):
            raise found
        return found

    def subscribe_trades(self, contract: Contract) -> Subscription[Item]:
        tap = self.taps[contract.symbol] = Subscription[Item](contract, on_cancel=lambda _: self.left.append(contract.symbol))
        tap.grant()
        return tap


def told(items: list[Item]) -> list[object]:
    """Indices of trades, and what else there is by its kind."""
    found: list[object] = []
    for item in items:
        found += item.index.tolist() if isinstance(item, TradeBatch) else [item]
    return found


async def followed(feed: Feed, *live: Item, how: str, fill: bool = True) -> list[Item]:
    """What is handed over of these live items, which came before the past was fetched; read in one of the two ways."""
    following = feed.follow_trades(ES, fill=fill)
    for item in live:
        feed.taps[ES.symbol].put(item)
    feed.taps[ES.symbol].end()
    if how == "iterated":
        return [item async for item in following]
    items: list[Item] = []
    await following.on(items.append).ended()
    return items


both = pytest.mark.parametrize("how", ["iterated", "called"])


@both
async def test_the_sessions_trades_come_first_and_one_that_is_told_live_too_comes_once(how: str) -> None:
    feed = Feed({ES.symbol: trades(1, 2, 3)})
    withdrawn = trades(2, action=Action.CANCEL)
    assert told(await followed(feed, trades(2, 3, 4), withdrawn, trades(5), how=how)) == [1, 2, 3, 4, 2, 5]
    assert feed.asked == [(ES.symbol, OPENED_NS)]


@both
async def test_a_straggler_behind_the_first_trades_that_were_not_fetched_comes_once_too(how: str) -> None:
    feed = Feed({ES.symbol: trades(1, 2, 3)})
    assert told(await followed(feed, trades(4), trades(3, 5), trades(70), trades(71), how=how)) == [1, 2, 3, 4, 5, 70, 71]


@both
async def test_trades_without_a_number_are_told_apart_by_their_time(how: str) -> None:
    feed = Feed({ES.symbol: unnumbered(1, 2, 3)})
    items = await followed(feed, unnumbered(2, 3), unnumbered(3, 4), unnumbered(5), how=how)
    assert [(ns - opening()) // 10**9 for item in items if isinstance(item, TradeBatch) for ns in item.time_ns.tolist()] == [1, 2, 3, 4, 5]


@both
@pytest.mark.parametrize("error", [NoData("they go back to 14:00 only"), ConnectionLost("no answer")])
async def test_where_they_cannot_be_fetched_a_gap_from_the_open_comes_before_the_first_live_trade(how: str, error: Exception) -> None:
    gap = Gap(ES, OPENED_NS, opening() + 7 * 10**9 + 1, "no history")
    assert told(await followed(Feed({ES.symbol: error}), trades(7), trades(8), how=how)) == [gap, 7, 8]


@both
async def test_where_the_connection_was_dead_they_are_asked_for_once_more_when_it_stands_again(how: str) -> None:
    class Dead(Feed):
        reconnects = 0

        def status(self) -> ProviderStatus:
            return ProviderStatus("connected", 0, reconnects=self.reconnects)

    feed = Dead({ES.symbol: RequestTimeout("no answer")})
    following = feed.follow_trades(ES)
    items: list[Item] = []
    if how == "called":
        following.on(items.append)
        await following.filled()
    else:
        reading = asyncio.create_task(_into(following, items))
    await until(lambda: feed.asked, "not asked")
    feed.past, feed.reconnects = {ES.symbol: trades(1, 2, 3)}, 1
    feed.taps[ES.symbol].put(trades(3, 4))
    feed.taps[ES.symbol].end()
    await (following.ended() if how == "called" else reading)
    assert told(items) == [1, 2, 3, 4]
    assert (following.problem, following.covered_ns) == (None, OPENED_NS)


async def test_without_numbers_nobody_could_tell_a_trade_that_comes_twice_so_the_past_is_not_fetched() -> None:
    feed = Feed({ES.symbol: trades(1)}, has_index=False)
    gap, *rest = await followed(feed, trades(7), how="iterated")
    assert isinstance(gap, Gap)
    assert (told(rest), feed.asked) == ([7], [])


async def test_what_is_played_begins_with_its_first_trade() -> None:
    feed = Feed({ES.symbol: NoData("nothing was played yet")})
    feed.playback = Pace()
    assert told(await followed(feed, trades(7), how="iterated")) == [7]


@pytest.mark.parametrize(("in_doubt", "covered_ns"), [(True, opening() + 10**9), (False, OPENED_NS)])
async def test_where_nobody_knows_of_trades_before_the_first_fetched_it_is_complete_since_that_one_and_not_since_the_open(
    in_doubt: bool, covered_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed({ES.symbol: trades(1, 2)})
    monkeypatch.setattr(feed, "begins_in_doubt", lambda contract: in_doubt and contract == ES)
    following = feed.follow_trades(ES)
    assert told([await anext(following)]) == [1, 2]
    assert following.covered_ns == covered_ns


@both
async def test_after_a_roll_come_the_new_months_trades_and_none_of_the_old(how: str) -> None:
    feed = Feed({ES.symbol: trades(1), NEXT.symbol: trades(1, 2, contract=NEXT)})
    following = feed.follow_trades(ES)
    roll = Roll(ES, NEXT, opening() + 3 * 10**9)
    for item in (trades(2), roll, trades(3)):
        feed.taps[ES.symbol].put(item)
    items: list[Item] = []
    reading = asyncio.ensure_future(_into(following, items)) if how == "iterated" else asyncio.ensure_future(following.on(items.append).ended())
    await until(lambda: NEXT.symbol in feed.taps, "the new month was not subscribed")
    feed.taps[NEXT.symbol].put(trades(2, 4, contract=NEXT))
    feed.taps[NEXT.symbol].end()
    await reading
    assert told(items) == [1, 2, roll, 1, 2, 4]
    assert [item.contract for item in items if isinstance(item, TradeBatch)] == [ES, ES, NEXT, NEXT]
    assert (feed.left, following.contract) == ([ES.symbol], NEXT)


async def _into(following: Any, items: list[Item]) -> None:
    async for item in following:
        items.append(item)


class Slow(Feed):
    """Its past comes when a test says so."""

    def __init__(self, past: dict[str, TradeBatch | Exception]) -> None:
        super().__init__(past)
        self.may_answer = asyncio.Event()

    async def historical_trades(self, contract: Contract, start: Any, end: Any = None) -> TradeBatch:
        found = await super().historical_trades(contract, start, end)
        await self.may_answer.wait()
        return found


async def test_a_read_that_is_given_up_while_the_past_is_fetched_loses_nothing() -> None:
    feed = Slow({ES.symbol: trades(1, 2)})
    following = feed.follow_trades(ES)
    reading = asyncio.ensure_future(anext(following))
    await until(lambda: feed.asked, "nothing was asked for")
    reading.cancel()
    await asyncio.wait([reading])
    feed.may_answer.set()
    assert told([await anext(following)]) == [1, 2]


async def test_nothing_is_handed_over_after_it_was_cancelled() -> None:
    feed, items = Slow({ES.symbol: trades(1, 2)}), list[Item]()
    following = feed.follow_trades(ES).on(items.append)
    await until(lambda: feed.asked, "nothing was asked for")
    following.cancel()
    feed.may_answer.set()
    await following.ended()
    assert items == []


async def test_nothing_is_handed_over_after_it_was_cancelled_while_the_past_is_asked_for_once_more() -> None:
    class Dead(Slow):
        reconnects = 0

        def status(self) -> ProviderStatus:
            return ProviderStatus("connected", 0, reconnects=self.reconnects)

    feed, items = Dead({ES.symbol: RequestTimeout("no answer")}), list[Item]()
    following = feed.follow_trades(ES).on(items.append)
    await following.filled()
    feed.past, feed.reconnects = {ES.symbol: trades(1, 2)}, 1
    feed.taps[ES.symbol].put(trades(3))
    await until(lambda: len(feed.asked) == 2, "not asked again")
    following.cancel()
    feed.may_answer.set()
    await following.ended()
    assert items == []


@both
async def test_what_came_live_before_the_feed_failed_is_handed_over_first(how: str) -> None:
    feed, items = Feed({ES.symbol: trades(1)}), list[Item]()
    following = feed.follow_trades(ES)
    feed.taps[ES.symbol].put(trades(7))
    feed.taps[ES.symbol].end(ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        await (_into(following, items) if how == "iterated" else following.on(items.append).ended())
    gap, *rest = items
    assert isinstance(gap, Gap)
    assert told(rest) == [7]


async def test_a_callback_that_raises_ends_it_and_is_raised() -> None:
    feed = Feed({ES.symbol: trades(1)})
    following = feed.follow_trades(ES).on(lambda item: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await following.ended()


async def test_the_provider_itself_is_asked_for_the_new_month_and_no_more_for_the_old() -> None:
    source = Excerpt(Market(seed=5, roots=("ES",), prints_per_s=2.0), 600)
    async with Emulator(source, speed=60, start_on=("TimeAndSale",)) as emulator, create_provider(login(emulator)) as provider:
        old = await provider.resolve("ES")
        new = next(one for one in await provider.contracts("ES") if one != old)
        items: list[Item] = []
        following = provider.follow_trades(old, fill=False).on(items.append)
        await until(lambda: items, "no trades came")
        n = len(items)
        provider._trades.put(roll := Roll(old, new, int(items[-1].time_ns[-1])))  # type: ignore[attr-defined,union-attr]  # as at the session's open
        await until(lambda: following.contract == new and [one.symbol for one in provider._trades.wanted()] == [new.streamer_symbol], "it was not asked for")  # type: ignore[attr-defined]
        await emulator.wait_finished()
        assert [item for item in items[n:] if not isinstance(item, TradeBatch) or item.contract != old] == [roll]
        assert items[-1] == roll
