"""A source recorded by a live provider and played again."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tastytrade_provider import create_provider
from tastytrade_provider.demo import DemoProvider
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN
from tastytrade_provider.journal import Journal
from tastytrade_provider.model import TradeBatch
from tastytrade_provider.replay import ReplayProvider
from tests.checks.providers import Stage
from tests.checks.sources import Excerpt, until


async def record(source: Any, folder: Path) -> tuple[list[Any], DemoProvider]:
    """Everything a live provider hands over of a source, while it records; and the provider."""
    provider, items = DemoProvider(source, speed="max"), list[Any]()
    provider.journal = Journal(folder)
    async with provider:
        contracts = [await provider.resolve(contract.symbol) for contract in source.contracts]
        subscriptions = [provider.subscribe_trades(contract).on(items.append) for contract in contracts]
        await asyncio.gather(*(subscription.ended() for subscription in subscriptions))
    return items, provider


async def played(provider: ReplayProvider) -> list[Any]:
    """Everything a replay hands over, of all contracts, in order."""
    items: list[Any] = []
    async with provider:
        subscriptions = [provider.subscribe_trades(contract).on(items.append) for contract in provider.recorded]
        await asyncio.gather(*(subscription.ended() for subscription in subscriptions))
    return items


@asynccontextmanager
async def replay(source: Excerpt) -> AsyncIterator[Stage]:
    """A stage for the cards: a replay of what a live provider recorded of the source."""
    with tempfile.TemporaryDirectory() as folder:
        _, live = await record(replace(source, is_endless=False), Path(folder))
        provider = create_provider({"data_provider": "replay", "replay": {"path": folder, "speed": "max"}})
        rest = live.emulator.rest
        secrets = [CLIENT_SECRET, REFRESH_TOKEN, *rest.access_tokens.until_s, *rest.quote_tokens.until_s]

        async def finish() -> None:
            await until(lambda: not provider.is_connected, "the recording does not end")

        yield Stage(provider, source, finish, lambda: len(source.prints()), waits=True, secrets=lambda: secrets)
        await provider.disconnect()


async def _record_until_killed(api_url: str, folder: str) -> None:
    """A live provider that records ES, and writes how many trades it was told so far."""
    login = {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN, "api_url": api_url}
    async with create_provider({"data_provider": "tastytrade", "tastytrade": login, "journal": {"enabled": True, "path": folder}}) as provider:
        told = 0
        async for item in provider.subscribe_trades(await provider.resolve("ES")):
            told += len(item) if isinstance(item, TradeBatch) else 0
            print(told, flush=True)


if __name__ == "__main__":
    asyncio.run(_record_until_killed(*sys.argv[1:]))
