"""`demo`: a loopback exchange and the provider on it in one process, shown as a live table or summed up as JSON."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import click
import orjson

from ..config import load
from ..demo import DemoProvider, source
from ..indicators import IndicatorManager
from ..model import Gap, Roll, TradeBatch
from ..watch import Watched
from .show import as_json, show


def run(
    *,
    tape: Path | None,
    speed: float | Literal["max"] | None,
    symbol: str | None,
    tick_size: float | None,
    size_step: float | None,
    calendar: str | None,
    seed: int | None,
    timeframe: str | None,
    seconds: float | None,
    infer_sides: bool,
    no_browser: bool,
    as_json: bool,
    config_path: str | None,
) -> None:
    """Run it; see `demo --help`."""
    settings = load(config_path)
    chosen = tape or settings.demo.tape
    market = source(
        chosen, seed=settings.demo.seed if seed is None else seed, symbol=symbol, tick_size=tick_size, size_step=size_step, calendar=calendar
    )
    provider = DemoProvider(market, speed=speed or settings.demo.speed, infer_sides=infer_sides)
    asyncio.run(_demo(provider, timeframe or settings.timeframe, seconds, infer_sides, as_json))


async def _demo(provider: DemoProvider, timeframe: str, seconds: float | None, infer_sides: bool, json: bool) -> None:
    manager = IndicatorManager()
    sides: dict[int, int] = {}
    async with provider:
        watched = [Watched(await provider.resolve(contract.symbol), timeframe, manager) for contract in provider.source.contracts]

        def note(item: TradeBatch | Gap | Roll) -> None:
            if isinstance(item, TradeBatch):
                sides.update(zip(item.index.tolist(), item.side.tolist(), strict=True))

        subscriptions = []
        for one in watched:
            subscription = provider.subscribe_trades(one.contract)
            subscriptions.append(subscription)
            subscription.on(one.add)
            if infer_sides:
                provider.subscribe_trades(one.contract).on(note)
        title = f"{'made-up market' if provider.source.is_endless else 'tape'} on a loopback exchange, {timeframe} bars"
        await show(watched, subscriptions, provider, title, seconds=seconds, quiet=json, advance=provider.source.is_endless)
        for text in getattr(provider.source, "assumed", ()):
            click.echo(f"note: {text}", err=True)
    if json or infer_sides:
        agreement = _agreement(provider.emulator.truth, sides) if infer_sides else None
        if json:
            as_json(watched, provider, single=not provider.source.is_endless, more={"agreement": agreement} if agreement else {})
        elif agreement:
            click.echo(f"inferred sides agree with the exchange's flag on {agreement['agreed']:,} of {agreement['compared']:,} trades")


def _agreement(truth: Path, sides: dict[int, int]) -> dict[str, int]:
    """How many inferred sides are those of the exchange, over the trades for which it gave one."""
    flags = {"BUY": 1, "SELL": -1}
    compared = agreed = 0
    with truth.open("rb") as lines:
        for line in lines:
            trade = orjson.loads(line)
            if trade["side"] in flags and trade["index"] in sides:
                compared += 1
                agreed += flags[trade["side"]] == sides[trade["index"]]
    return {"compared": compared, "agreed": agreed}


