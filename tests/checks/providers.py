"""What every provider must do, whoever wrote it: numbered cards, each with what passes. `CARDS` lists them.

A provider joins by a `Stage` maker in tests/test_providers.py. What a feed cannot serve it says in `capabilities`; cards ask only for the rest.

P01  connect and disconnect may be called twice; is_connected tells the truth; `async with` does both; a closed provider says so
P02  every accepted form of a symbol gives the one contract, with the feed's own streamer symbol
P03  an unknown symbol raises UnknownContract, which names it and the accepted forms; what is no text is a UsageError with the same
P04  contracts(root) are ascending by expiry, hold the front month, and raise UnknownContract for a root nobody lists
P05  every print arrives once, in order, with index, time, price, size, quote and side as published. A feed without indices or exchange sides, or with
     coarse times, says so in `capabilities`: then the index is -1, the time is cut to its step, and the side follows from the quote before the print
P06  two contracts that trade at once stay apart
P07  a batch has all columns in their types and one length, stamped on arrival; iterating gives the same as Trades
P08  callbacks and iteration give the same; a callback that raises ends only its own subscription, and status tells
P09  cancel ends one subscription, disconnect ends all
P10  a time without zone raises UsageError wherever a time is taken
P11  what capabilities deny raises NotSupported
P12  a slow consumer of a live feed gets one Gap("slow consumer") over what it lost, and a count; a tape waits and loses nothing
P13  status accounts for every row: trades, corrections, cancels, excluded, duplicates, rejected, orphans. Without indices there are no corrections
P14  no secret in what a provider shows of itself, nor in its errors
P15  the blocking twin gives the same trades
P16  a subscription made before connect gets every trade
P30  a symbol where a contract is wanted raises UsageError, which says how to get one
P31  history without a start is the current session, trades as bars
P17 to P29: bars, history, quotes, summaries, in tests/checks/provider_data.py
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import pytest

from tastytrade_provider import blocking
from tastytrade_provider.emulator import Oddities, Print
from tastytrade_provider.errors import NoData, NotSupported, UnknownContract, UsageError
from tastytrade_provider.model import COLUMNS, Action, AggressorSide, Contract, Gap, SideSource, TradeBatch
from tastytrade_provider.provider import Capabilities, DataProvider, Subscription
from tests.checks.sources import LIMIT_S, Excerpt, excerpt, until


@dataclass(frozen=True)
class Stage:
    """A provider that is not connected yet, on a feed that plays `source` once somebody subscribes.

    finish   waits until the whole source was published and the provider has read it
    rows     how many rows of trades the feed has sent
    waits    True where a slow consumer makes the feed wait
    secrets  what must never be shown
    """

    provider: DataProvider
    source: Excerpt
    finish: Callable[[], Awaitable[None]]
    rows: Callable[[], int]
    waits: bool
    secrets: Callable[[], list[str]]


class Make(Protocol):
    """Sets a stage for a source."""

    def __call__(self, source: Excerpt) -> AbstractAsyncContextManager[Stage]: ...


async def gather(subscription: Subscription[Any]) -> list[Any]:
    """Every item, to the end."""
    return [item async for item in subscription]


def trades_of(items: list[Any]) -> TradeBatch:
    """All trades of a stream as one batch; anything else in it fails."""
    assert items
    assert all(isinstance(item, TradeBatch) for item in items), [item for item in items if not isinstance(item, TradeBatch)]
    return TradeBatch.concat(items)


async def play(stage: Stage, *contracts: Contract) -> list[list[Any]]:
    """Subscribe contracts of a connected stage, let all of it pass, and return what came, by contract."""
    gathering = [asyncio.create_task(gather(stage.provider.subscribe_trades(contract))) for contract in contracts]
    await asyncio.sleep(0)
    await stage.finish()
    await stage.provider.disconnect()
    async with asyncio.timeout(LIMIT_S):
        return list(await asyncio.gather(*gathering))


def told_ns(p: Print, capabilities: Capabilities) -> int:
    """The time of a print as a feed of these capabilities can tell it."""
    return p.time_ns - p.time_ns % capabilities.time_step_ns


def has_index(capabilities: Capabilities) -> bool:
    """Whether prints of a feed are numbered, so that one can be told from the next, corrected and withdrawn."""
    return capabilities.has_index


def assert_as_published(trades: TradeBatch, source: Excerpt, capabilities: Capabilities) -> None:
    """Every print of the batch's contract once and in order, value by value."""
    prints = source.prints(trades.contract)
    assert trades.index.tolist() == [p.index if has_index(capabilities) else -1 for p in prints]
    assert trades.time_ns.tolist() == [told_ns(p, capabilities) for p in prints]
    for name in ("price", "size", "bid", "ask"):
        np.testing.assert_array_equal(getattr(trades, name), [getattr(p, name) for p in prints], name)
    if capabilities.side_source != "exchange":
        assert not (trades.side_source == SideSource.EXCHANGE).any()
        for side, quote in ((AggressorSide.BUY, "ask"), (AggressorSide.SELL, "bid")):
            at_quote = np.array([p.bid < p.ask and p.price == getattr(p, quote) for p in prints])
            assert at_quote.any()
            assert (trades.side[at_quote] == side).all()
            assert (trades.side_source[at_quote] == SideSource.QUOTE).all()
        return
    flagged = np.array([p.side is not AggressorSide.UNKNOWN for p in prints])
    assert trades.side[flagged].tolist() == [int(p.side) for p in prints if p.side is not AggressorSide.UNKNOWN]
    assert ((trades.side_source == SideSource.EXCHANGE) == flagged).all()


async def p01_connect_and_disconnect_may_be_called_twice(make: Make) -> None:
    async with make(excerpt()) as stage:
        provider = stage.provider
        assert not provider.is_connected
        for _ in range(2):
            await provider.connect()
            assert provider.is_connected
        for _ in range(2):
            await provider.disconnect()
            assert not provider.is_connected
        contract = stage.source.contracts[0]
        with pytest.raises(UsageError, match="closed"):
            provider.subscribe_trades(contract)
        async with provider as entered:
            assert entered is provider
            assert provider.is_connected
            assert (await provider.resolve(contract.symbol)).symbol == contract.symbol
        assert not provider.is_connected
        assert provider.status().state == "closed"


async def p02_every_form_of_a_symbol_gives_the_one_contract(make: Make) -> None:
    async with make(excerpt()) as stage, stage.provider as provider:
        expected = stage.source.contracts[0]
        dated, streamer = expected.symbol.removeprefix("/"), expected.streamer_symbol
        forms = [expected.root, dated, f"/{dated}", streamer.removeprefix("/").partition(":")[0], streamer, dated.lower(), f" {dated} "]
        found = [await provider.resolve(form) for form in forms]
        assert set(found) == {found[0]}, forms
        assert found[0].streamer_symbol == streamer
        assert (found[0].tick_size, found[0].multiplier, found[0].expiry) == (expected.tick_size, expected.multiplier, expected.expiry)


async def p03_an_unknown_symbol_is_told_with_the_accepted_forms(make: Make) -> None:
    async with make(excerpt()) as stage, stage.provider as provider:
        for symbol in ("ESZ99X", "ESF0", "/ESZ31:XCME", "QQQQ", "no such thing", "", "/"):
            with pytest.raises(UnknownContract) as told:
                await provider.resolve(symbol)
            assert repr(symbol) in str(told.value)
            assert "ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME" in str(told.value)
        for ask in (provider.resolve, provider.contracts):
            for what in (None, 5, ["ES"]):
                with pytest.raises(UsageError, match=rf"symbol {re.escape(repr(what))} is a \w+, not text. Accepted forms: futures as ES"):
                    await ask(cast(str, what))


async def p04_contracts_are_ascending_by_expiry(make: Make) -> None:
    async with make(excerpt()) as stage, stage.provider as provider:
        front = stage.source.contracts[0]
        found = await provider.contracts(front.root)
        expiries = [contract.expiry for contract in found if contract.expiry is not None]
        assert len(expiries) == len(found)
        assert expiries == sorted(set(expiries))
        assert front.symbol in [contract.symbol for contract in found]
        assert {contract.root for contract in found} == {front.root}
        assert await provider.contracts(f"/{front.root.lower()}") == found
        with pytest.raises(UnknownContract, match="NOPE"):
            await provider.contracts("NOPE")


async def p05_every_print_arrives_once_in_order_as_published(make: Make) -> None:
    async with make(excerpt(roots=("ES",))) as stage:
        await stage.provider.connect()
        contract = await stage.provider.resolve("ES")
        [items] = await play(stage, contract)
        assert_as_published(trades_of(items), stage.source, stage.provider.capabilities)


async def p06_two_contracts_stay_apart(make: Make) -> None:
    async with make(excerpt()) as stage:
        await stage.provider.connect()
        contracts = [await stage.provider.resolve(contract.symbol) for contract in stage.source.contracts]
        for contract, items in zip(contracts, await play(stage, *contracts), strict=True):
            assert {item.contract for item in items} == {contract}
            assert_as_published(trades_of(items), stage.source, stage.provider.capabilities)


async def p07_a_batch_has_all_columns_in_their_types(make: Make) -> None:
    async with make(excerpt(roots=("ES",))) as stage:
        await stage.provider.connect()
        [items] = await play(stage, await stage.provider.resolve("ES"))
        last_ns = 0
        for batch in items:
            assert {name: column.dtype for name, column in batch.columns.items()} == {name: np.dtype(kind) for name, kind in COLUMNS.items()}
            assert {len(column) for column in batch.columns.values()} == {len(batch)}
            assert (np.diff(batch.received_ns, prepend=last_ns) >= 0).all()
            last_ns = int(batch.received_ns[-1])
            trades = list(batch)
            assert [trade.price for trade in trades] == batch.price.tolist()
            assert [-1 if trade.index is None else trade.index for trade in trades] == batch.index.tolist()
            assert [int(trade.side) for trade in trades] == batch.side.tolist()
            assert batch.ticks.tolist() == [round(price / batch.contract.tick_size) for price in batch.price.tolist()]
        assert items[0].received_ns[0] > 0


async def p08_callbacks_and_iteration_give_the_same(make: Make) -> None:
    async with make(excerpt(roots=("ES",))) as stage:
        provider = stage.provider
        called: list[Any] = []
        await provider.connect()
        contract = await provider.resolve("ES")

        def fails_at_once(item: object) -> None:
            raise ZeroDivisionError("a consumer's own fault")

        faulty = provider.subscribe_trades(contract).on(fails_at_once)
        provider.subscribe_trades(contract).on(called.append)
        [items] = await play(stage, contract)
        assert trades_of(called).index.tolist() == trades_of(items).index.tolist()
        assert_as_published(trades_of(items), stage.source, stage.provider.capabilities)
        assert faulty.has_ended
        assert isinstance(faulty.error, ZeroDivisionError)
        assert faulty.stats.items == 1
        assert [text for text in provider.status().failed if "ZeroDivisionError: a consumer's own fault" in text]


async def p09_cancel_ends_one_and_disconnect_all(make: Make) -> None:
    async with make(excerpt(events=20_000, is_endless=True)) as stage:
        await stage.provider.connect()
        es, nq = [await stage.provider.resolve(contract.symbol) for contract in stage.source.contracts]
        first, second, third = (stage.provider.subscribe_trades(contract) for contract in (es, es, nq))
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(first.ready(), second.ready(), third.ready())
            first.cancel()
            first.cancel()
            assert await gather(first) == []
            assert isinstance(await anext(second), TradeBatch)
            assert isinstance(await anext(third), TradeBatch)
            await stage.provider.disconnect()
            await asyncio.gather(gather(second), gather(third))
        assert all(sub.has_ended and sub.error is None for sub in (first, second, third))


async def p10_a_time_without_zone_is_refused(make: Make) -> None:
    naive, aware = dt.datetime(2026, 3, 2, 15), dt.datetime(2026, 3, 2, 15, tzinfo=dt.UTC)  # noqa: DTZ001  # that it is naive is the point
    async with make(excerpt()) as stage, stage.provider as provider:
        contract = await provider.resolve("ES")
        for start, end in ((naive, aware), (aware, naive), ("2026-03-02 15:00", None)):
            if provider.capabilities.historical_bars:
                with pytest.raises(UsageError, match="zone"):
                    await provider.historical_bars(contract, "1m", start, end)
            if provider.capabilities.historical_trades:
                with pytest.raises(UsageError, match="zone"):
                    await provider.historical_trades(contract, start, end)
        if provider.capabilities.bars:
            with pytest.raises(UsageError, match="zone"):
                provider.subscribe_bars(contract, backfill=naive)


async def p11_what_capabilities_deny_is_not_supported(make: Make) -> None:
    async with make(excerpt()) as stage, stage.provider as provider:
        contract = await provider.resolve("ES")
        since = dt.datetime(2026, 3, 2, 15, tzinfo=dt.UTC)
        calls: dict[str, Callable[[], Any]] = {
            "trades": lambda: provider.subscribe_trades(contract),
            "quotes": lambda: provider.subscribe_quotes(contract),
            "bars": lambda: provider.subscribe_bars(contract),
            "summary": lambda: provider.subscribe_summary(contract),
            "historical_bars": lambda: provider.historical_bars(contract, "1m", since),
            "historical_trades": lambda: provider.historical_trades(contract, since),
        }
        for name, call in calls.items():
            if not getattr(provider.capabilities, name):
                with pytest.raises(NotSupported, match=f"'{provider.name}'"):
                    await call()


async def p12_a_slow_consumer_is_told_what_it_lost_or_waited_for(make: Make) -> None:
    for is_endless in (False, True):
        async with make(excerpt(roots=("ES",), is_endless=is_endless)) as stage:
            await stage.provider.connect()
            contract = await stage.provider.resolve("ES")
            subscription = stage.provider.subscribe_trades(contract)
            subscription.capacity = 100
            published = stage.source.prints()
            if stage.waits:
                items: list[Any] = []
                seen = 0
                async with asyncio.timeout(LIMIT_S):
                    while seen < len(published):
                        items.append(await anext(subscription))
                        seen += len(items[-1])
                        for _ in range(20):
                            await asyncio.sleep(0)
                assert_as_published(trades_of(items), stage.source, stage.provider.capabilities)
                assert subscription.stats.dropped == 0
                assert len(items) > 3
            else:
                await stage.finish()
                await stage.provider.disconnect()
                *batches, gap = await gather(subscription)
                trades = trades_of(batches)
                assert isinstance(gap, Gap)
                assert (gap.reason, gap.contract) == ("slow consumer", contract)
                if has_index(stage.provider.capabilities):
                    lost = [p for p in published if p.index not in set(trades.index.tolist())]
                else:  # what came first was kept
                    lost = published[len(trades) :]
                    assert trades.price.tolist() == [p.price for p in published[: len(trades)]]
                assert lost
                assert all(gap.start_ns <= told_ns(p, stage.provider.capabilities) < gap.end_ns for p in lost)
                assert subscription.stats.dropped == len(lost)
                assert subscription.stats.trades == len(trades) == len(published) - len(lost)


ODD = Oddities(nan_quote=0.05, invalid_tick=0.05, spread_leg=0.05, fractional=0.02, correction=0.05, cancel=0.05)


async def p13_status_accounts_for_every_row(make: Make) -> None:
    async with make(excerpt(events=4000, oddities=ODD)) as stage:
        await stage.provider.connect()
        await play(stage, *[await stage.provider.resolve(contract.symbol) for contract in stage.source.contracts])
        status = stage.provider.status()
        named = (status.trades, status.corrections, status.cancels, status.duplicates, status.rejected, status.orphans)
        assert sum(named) + sum(status.excluded.values()) == stage.rows()
        if not has_index(stage.provider.capabilities):
            prints = [p for p in stage.source.prints() if p.action is Action.NEW]
            assert status.trades == sum(p.valid_tick and not p.spread_leg for p in prints)
            assert sum(status.excluded.values()) == len(prints) - status.trades > 0
            assert (sum(named) - status.trades, status.gaps) == (0, ())
            return
        assert stage.rows() == len(stage.source.prints())
        assert status.excluded["invalid_tick"] > 0
        assert status.excluded["spread_leg"] > 0
        assert status.corrections > 0
        assert status.cancels > 0
        assert (status.rejected, status.duplicates, status.orphans, status.gaps) == (0, 0, 0, ())


async def p14_no_secret_is_shown(make: Make) -> None:
    async with make(excerpt(roots=("ES",))) as stage:
        provider = stage.provider
        await provider.connect()
        contract = await provider.resolve("ES")
        with pytest.raises(UnknownContract) as unknown:
            await provider.resolve("NOPE9")
        [items] = await play(stage, contract)
        shown = "\n".join([repr(provider), str(provider), repr(provider.status()), repr(contract), repr(items[0]), repr(vars(provider)), repr(unknown.value)])
        assert stage.secrets()
        assert not [secret for secret in stage.secrets() if secret in shown]


async def p15_the_blocking_twin_gives_the_same_trades(make: Make) -> None:
    async with make(excerpt(roots=("ES",))) as stage:
        total = len(stage.source.prints())

        def run() -> list[Any]:
            items: list[Any] = []
            with blocking(stage.provider) as feed:
                assert feed.is_connected
                subscription = feed.subscribe_trades(feed.resolve("ES"))
                while sum(map(len, items)) < total:
                    items.append(subscription.next(timeout_s=LIMIT_S))
                assert feed.status().trades == total
                assert feed.capabilities == stage.provider.capabilities
                waiting = feed.contracts("ES")
                assert waiting
            with pytest.raises(UsageError, match="disconnected"):
                feed.status()
            return items

        assert_as_published(trades_of(await asyncio.to_thread(run)), stage.source, stage.provider.capabilities)


async def p16_a_subscription_made_before_connect_gets_every_trade(make: Make) -> None:
    async with make(excerpt(roots=("ES",))) as stage:
        subscription = stage.provider.subscribe_trades(stage.source.contracts[0])
        gathering = asyncio.create_task(gather(subscription))
        await stage.provider.connect()
        await until(lambda: stage.provider.status().trades, "no trade came")
        await stage.finish()
        await stage.provider.disconnect()
        assert_as_published(trades_of(await gathering), stage.source, stage.provider.capabilities)


async def p30_a_symbol_is_no_contract(make: Make) -> None:
    async with make(excerpt()) as stage, stage.provider as provider:
        able, symbol = provider.capabilities, cast(Contract, "ES")
        calls: list[tuple[bool, Callable[[], Any]]] = [
            (able.trades, lambda: provider.subscribe_trades(symbol)),
            (able.trades, lambda: provider.follow_trades(symbol)),
            (able.quotes, lambda: provider.subscribe_quotes(symbol)),
            (able.bars, lambda: provider.subscribe_bars(symbol)),
            (able.summary, lambda: provider.subscribe_summary(symbol)),
            (able.historical_bars, lambda: provider.historical_bars(symbol)),
            (able.historical_bars, lambda: provider.earliest(symbol)),
            (able.historical_trades, lambda: provider.historical_trades(symbol)),
        ]
        for is_able, call in calls:
            if is_able:
                with pytest.raises(UsageError, match=r"'ES' is a str; a Contract is accepted: await provider\.resolve\('ES'\)"):
                    await call()


async def p31_history_without_a_start_is_the_current_session(make: Make) -> None:
    async with make(excerpt(roots=("ES",), is_endless=True)) as stage, stage.provider as provider:
        if not (provider.capabilities.historical_trades and provider.capabilities.historical_bars):
            return
        contract = await provider.resolve("ES")
        end = dt.datetime.fromtimestamp(stage.source.start_ns // 10**9 - 3600, dt.UTC)  # an hour before anything was traded: Monday 13:30 UTC
        for call in (provider.historical_trades(contract, end=end), provider.historical_bars(contract, end=end)):
            with pytest.raises(NoData):  # of a session that had begun
                await call


CARDS = (
    p01_connect_and_disconnect_may_be_called_twice,
    p02_every_form_of_a_symbol_gives_the_one_contract,
    p03_an_unknown_symbol_is_told_with_the_accepted_forms,
    p04_contracts_are_ascending_by_expiry,
    p05_every_print_arrives_once_in_order_as_published,
    p06_two_contracts_stay_apart,
    p07_a_batch_has_all_columns_in_their_types,
    p08_callbacks_and_iteration_give_the_same,
    p09_cancel_ends_one_and_disconnect_all,
    p10_a_time_without_zone_is_refused,
    p11_what_capabilities_deny_is_not_supported,
    p12_a_slow_consumer_is_told_what_it_lost_or_waited_for,
    p13_status_accounts_for_every_row,
    p14_no_secret_is_shown,
    p15_the_blocking_twin_gives_the_same_trades,
    p16_a_subscription_made_before_connect_gets_every_trade,
    p30_a_symbol_is_no_contract,
    p31_history_without_a_start_is_the_current_session,
)
