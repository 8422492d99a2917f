"""`replay`: what was recorded, shown as it is played, or summed up as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from ..errors import ConfigError
from ..indicators import IndicatorManager
from ..replay import ReplayProvider
from ..warm import warm_up
from ..watch import Watched
from .config import read
from .show import as_json, show


def run(
    *, path: Path | None, symbols: tuple[str, ...], speed: float | Literal["max"] | None, timeframe: str | None, as_json: bool, config_path: str | None
) -> None:
    """Run it; see `replay --help`."""
    settings = read(config_path)
    chosen = path or settings.replay.path
    if chosen is None:
        raise ConfigError("nothing to replay: name a journal's folder, a session file or a tape, or set replay.path")
    start = None if path else settings.replay.start  # which belongs to the recording that is configured
    provider = ReplayProvider(chosen, speed or settings.replay.speed, start=start)
    warm_up()
    asyncio.run(_replay(provider, str(chosen), symbols, timeframe or settings.timeframe, settings.indicators, as_json))


async def _replay(provider: ReplayProvider, name: str, symbols: tuple[str, ...], timeframe: str, indicators: Sequence[str], json: bool) -> None:
    manager = IndicatorManager()
    async with provider:
        contracts = [await provider.resolve(symbol) for symbol in symbols] or provider.recorded
        watched = [Watched(contract, timeframe, manager, indicators) for contract in contracts]
        subscriptions = [provider.subscribe_trades(one.contract).on(one.add) for one in watched]
        await show(watched, subscriptions, provider, f"replay of {name}, {timeframe} bars", seconds=None, quiet=json, clock_speed=None)
        if json:
            as_json(watched, provider, single=len(watched) == 1, more={})
        for text in provider.status().notes:
            click.echo(f"note: {text}", err=True)
