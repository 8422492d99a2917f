"""`ab`: two providers side by side for a while, and where they differ."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..ab import AbProvider, create
from ..config import load
from ..errors import NoData
from ..migration import Result
from ..provider import DataProvider, Subscription
from .migrate_compare import tell

_START_S = 60.0


def run(*, minutes: float, symbols: tuple[str, ...], timeframe: str | None, out: Path | None, as_json: bool, config_path: str | None) -> int:
    """Run it; see `ab --help`. Returns 1 where a check failed, else 0. NoData where neither side sent anything to compare."""
    settings = load(config_path)
    provider = create(settings)
    if not as_json:
        click.echo(f"note: comparing {' and '.join(provider.labels)} for {minutes:g} min", err=True)
    results = asyncio.run(_compare(provider, symbols or tuple(settings.symbols), timeframe or settings.timeframe, minutes * 60))
    code = tell(results, out, f"{provider.labels[0]} against {provider.labels[1]}", as_json=as_json)
    if all(result.check("nothing_compared").verdict != "PASS" for result in results):
        raise NoData(f"neither {provider.labels[0]} nor {provider.labels[1]} sent anything to compare; is the market open?")
    return code


async def _compare(provider: AbProvider, symbols: tuple[str, ...], timeframe: str, seconds: float) -> list[Result]:
    async with provider:
        for symbol in symbols:
            contract = await provider.resolve(symbol)
            for subscription in _everything(provider, contract, timeframe):
                subscription.on(_ignore)
        await _begun(provider)
        await asyncio.sleep(seconds)
        if not await provider.shadow.ask(timeout_s=10):
            logging.getLogger(__name__).warning("the shadow's process did not answer; the report is as of its last word")
        return provider.report()


async def _begun(provider: AbProvider) -> None:
    """The time counts from the shadow's first item; a shadow that sends none for a minute is not waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            while not any(provider.shadow.beats.values()):  # noqa: ASYNC110  # told by another process four times a second
                await asyncio.sleep(0.25)


def _everything(provider: DataProvider, contract: Any, timeframe: str) -> list[Subscription[Any]]:
    """What the primary can serve of a contract."""
    can = provider.capabilities
    found: list[Subscription[Any]] = []
    found += [provider.subscribe_trades(contract)] if can.trades else []
    found += [provider.subscribe_quotes(contract)] if can.quotes else []
    found += [provider.subscribe_bars(contract, timeframe)] if can.bars else []
    return found


def _ignore(item: object) -> None:
    """The program of this command does nothing: only the comparison looks at what comes."""
