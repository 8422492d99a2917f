"""What is asked over a connection, and what becomes of it where the server refuses, does not answer, or goes away."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tastytrade_provider.emulator import Emulator, faulty
from tastytrade_provider.errors import CapacityExceeded, ConnectionLost, RequestTimeout
from tastytrade_provider.registry import create_provider
from tastytrade_provider.tastytrade import dialogue, stream, upkeep
from tastytrade_provider.tastytrade.stream import Stream
from tests.checks.sources import LIMIT_S, excerpt, until
from tests.test_providers import login


async def test_refused_subscriptions_of_both_channels_all_come_through_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty, "_RATE_WINDOW_S", 0.1)
    monkeypatch.setattr(dialogue, "_SLOWER_S", 0.15)
    source = excerpt(events=50_000, roots=("ES", "NQ"))
    async with Emulator(source, faults=["subscription_rate=2"], start_on=("TimeAndSale",)) as emulator, create_provider(login(emulator)) as provider:
        contracts = [await provider.resolve(symbol) for symbol in ("ES", "NQ")]
        trades, quotes = {"ES": 0, "NQ": 0}, {"ES": 0, "NQ": 0}
        for contract in contracts:
            provider.subscribe_trades(contract).on(lambda _, root=contract.root: trades.update({root: trades[root] + 1}))  # type: ignore[misc]
            provider.subscribe_quotes(contract).on(lambda _, root=contract.root: quotes.update({root: quotes[root] + 1}))  # type: ignore[misc]
        await until(lambda: all([*trades.values(), *quotes.values()]), lambda: f"trades {trades}, quotes {quotes}: {provider.status().notes}")
        assert any("rate is too high" in note for note in provider.status().notes)


@pytest.mark.parametrize("kind", ["subscribe_trades", "subscribe_quotes"])
async def test_each_subscription_that_the_server_has_no_room_for_is_told_so(kind: str) -> None:
    source = excerpt(events=3000, roots=("ES", "NQ", "GC"))
    async with Emulator(source, faults=["subscription_size=1"]) as emulator, create_provider(login(emulator)) as provider:
        contracts = [await provider.resolve(root) for root in ("ES", "NQ", "GC")]
        first, *others = (getattr(provider, kind)(contract) for contract in contracts)
        await until(lambda: all(one.has_ended for one in others), lambda: f"not all are told: {provider.status().notes}")
        for one in others:
            with pytest.raises(CapacityExceeded, match="too big"):
                await one.ready()
        assert kind == "subscribe_quotes" or not first.has_ended  # those that are asked for with the first of a channel share its message, and its fate


async def test_what_was_refused_for_want_of_room_can_be_had_once_there_is_some() -> None:
    source = excerpt(events=50_000, roots=("ES", "NQ"))
    async with Emulator(source, faults=["subscription_size=1"], start_on=("Quote",)) as emulator, create_provider(login(emulator)) as provider:
        es, nq = [await provider.resolve(root) for root in ("ES", "NQ")]
        first = provider.subscribe_quotes(es)
        await first.ready()
        refused = provider.subscribe_quotes(nq)
        await until(lambda: refused.has_ended, "the second is not refused")
        first.cancel()
        again = provider.subscribe_quotes(nq)
        async with asyncio.timeout(LIMIT_S):
            assert (await anext(again)).contract == nq


@pytest.mark.parametrize("address", ["ws://a..b/", "ws://127.0.0.1:abc/", "ws://[::1/"])
async def test_an_address_that_is_none_is_no_connection(address: str) -> None:
    with pytest.raises(ConnectionLost, match="cannot be reached"):
        await Stream(lambda *_: None, lambda _: None).open(address, "a token")


async def test_requests_that_were_answered_leave_nothing_behind_on_the_connection() -> None:
    source = excerpt(events=900, roots=("ES",))
    async with Emulator(source, live_from_ns=source.prints()[-1].at_ns + 1) as emulator, create_provider(login(emulator)) as provider:
        es, prints = await provider.resolve("ES"), source.prints()
        start, end = (str(np.datetime64(one.time_ns, "ns")) + "Z" for one in (prints[0], prints[-1]))
        channels = provider._keeper.newest.stream.protocol.channels  # type: ignore[attr-defined]
        standing = len(channels)
        for _ in range(5):
            await provider.historical_trades(es, start, end)
        await until(lambda: len(channels) == standing, lambda: f"{len(channels)} channels are kept, {standing} were before")


async def test_a_host_that_is_silent_to_the_very_first_word_is_not_waited_for_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(stream, "ws_connect", silent)
    with pytest.raises(RequestTimeout, match=r"did not answer within 0\.01 s"):
        async with asyncio.timeout(LIMIT_S):
            await Stream(lambda *_: None, lambda _: None).open("ws://192.0.2.1/", "a token", 0.01)


async def test_a_fault_of_ours_while_reconnecting_ends_what_waits_for_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty_token() -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    async with Emulator(excerpt(events=300, roots=("ES",))) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        listeners = [provider.subscribe_trades(es), provider.subscribe_quotes(es)]
        await listeners[0].ready()
        monkeypatch.setattr(provider._account, "quote_token", faulty_token)  # type: ignore[attr-defined]
        for visitor in emulator.visitors:
            visitor.abort()
        await until(lambda: all(one.has_ended for one in listeners), lambda: f"{provider.status()}")
        assert "nobody thought of this" in str(listeners[0].error)
        assert not provider.is_connected
        with pytest.raises(ConnectionLost, match="nobody thought of this"):  # what is asked for now would never come
            provider.subscribe_quotes(es)
        monkeypatch.undo()
        await provider.connect()
        async with provider.subscribe_quotes(es):
            assert provider.is_connected


@pytest.mark.parametrize("kind", ["subscribe_trades", "subscribe_quotes"])
async def test_a_subscription_in_the_very_moment_in_which_the_connection_is_lost_is_served_by_the_next_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    start_on = ("TimeAndSale" if kind == "subscribe_trades" else "Quote",)
    async with Emulator(excerpt(events=3000, roots=("ES",)), start_on=start_on) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        provider._keeper.newest.stream.close("torn")  # type: ignore[attr-defined]
        subscription = getattr(provider, kind)(es)
        async with asyncio.timeout(LIMIT_S):
            assert (await anext(subscription)).contract == es
