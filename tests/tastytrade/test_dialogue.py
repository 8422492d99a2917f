"""Subscriptions that the server refuses for coming too fast are asked for again, slower, until all of them are granted."""

from __future__ import annotations

import pytest

from tastytrade_provider.emulator import Emulator, faulty
from tastytrade_provider.registry import create_provider
from tastytrade_provider.tastytrade import dialogue
from tests.checks.sources import excerpt, until
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
