"""`stream`: live order flow from the configured provider."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..indicators import IndicatorManager
from ..provider import DataProvider
from ..registry import create_provider
from ..warm import warm_up
from ..watch import Watched
from .config import read
from .show import as_json, show


def run(*, symbols: tuple[str, ...], timeframe: str | None, seconds: float | None, as_json: bool, config_path: str | None) -> None:
    """Run it; see `stream --help`."""
    settings = read(config_path)
    provider = create_provider(settings)
    warm_up()
    asyncio.run(_stream(provider, symbols or tuple(settings.symbols), timeframe or settings.timeframe, settings.indicators, seconds, as_json))


async def _stream(provider: DataProvider, symbols: tuple[str, ...], timeframe: str, indicators: Sequence[str], seconds: float | None, json: bool) -> None:
    manager = IndicatorManager()
    async with provider:
        contracts = dict.fromkeys([await provider.resolve(symbol) for symbol in symbols])  # ES and ESZ6 may be one
        watched = [Watched(contract, timeframe, manager, indicators) for contract in contracts]
        followed = [provider.follow_trades(one.contract).on(one.add) for one in watched]
        await show(watched, followed, provider, f"live from {provider.name}", seconds=seconds, quiet=json, clock_speed=1.0)
        if json:
            as_json(watched, provider, single=len(watched) == 1, more={})
