"""Every provider passes the cards of tests/checks/providers.py and provider_data.py. A new provider is one more line in MAKERS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.demo import DemoProvider
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator
from tastytrade_provider.provider import DataProvider
from tests.checks.provider_data import DATA_CARDS
from tests.checks.providers import CARDS, Make, Stage
from tests.checks.recordings import replay
from tests.checks.sources import Excerpt, until
from tests.checks.tws import ib


def login(emulator: Emulator, **section: Any) -> dict[str, Any]:
    """The configuration of a provider that logs in at an emulator."""
    return {
        "data_provider": "tastytrade",
        "tastytrade": {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN, "api_url": emulator.api_url} | section,
    }


def finish(provider: DataProvider, emulator: Callable[[], Emulator]) -> Callable[[], Awaitable[None]]:
    """Wait for the last print, then let the exchange hang up: what the provider notices last, it notices after every row."""

    async def wait() -> None:
        await emulator().wait_finished()
        for visitor in emulator().visitors:
            visitor.close(1000, "that was all")
        await until(lambda: not provider.is_connected, "the provider has not read to the end")

    return wait


def secrets(emulator: Emulator) -> list[str]:
    return [CLIENT_SECRET, REFRESH_TOKEN, *emulator.rest.access_tokens.until_s, *emulator.rest.quote_tokens.until_s]


@asynccontextmanager
async def tastytrade(source: Excerpt) -> AsyncIterator[Stage]:
    async with Emulator(source, speed="max", start_on=("TimeAndSale",)) as emulator:
        provider = create_provider(login(emulator))
        provider._wall_ns = lambda: emulator.market_ns + 1  # type: ignore[attr-defined]  # a market at full speed has a clock of its own
        yield Stage(provider, source, finish(provider, lambda: emulator), lambda: emulator.sent["TimeAndSale"], waits=False, secrets=lambda: secrets(emulator))
        await provider.disconnect()


@asynccontextmanager
async def demo(source: Excerpt) -> AsyncIterator[Stage]:
    provider = DemoProvider(source, speed="max")
    yield Stage(
        provider,
        source,
        finish(provider, lambda: provider.emulator),
        lambda: provider.emulator.sent["TimeAndSale"],
        waits=not source.is_endless,
        secrets=lambda: secrets(provider.emulator),
    )
    await provider.disconnect()


MAKERS: dict[str, Make] = {
    "tastytrade": tastytrade,
    "demo": demo,
    "replay": replay,
    "ib": ib,
}


PAIRS = [pytest.param(card, make, id=f"{card.__name__}-{name}") for card in (*CARDS, *DATA_CARDS) for name, make in MAKERS.items()]


@pytest.mark.parametrize(("card", "make"), PAIRS)
async def test_the_provider_passes_the_card(card: Callable[[Make], Awaitable[None]], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where emulators put their ground truth
    monkeypatch.setattr("tempfile.tempdir", None)
    await card(make)
