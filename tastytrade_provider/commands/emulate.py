"""`emulate`: the loopback exchange alone, for any client."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Literal

import click
import orjson

from ..demo import source
from ..emulator import Emulator, Faults
from ..emulator.faults import table


def run(
    *,
    tape: Path | None,
    speed: float | Literal["max"] | None,
    symbol: str | None,
    tick_size: float | None,
    size_step: float | None,
    calendar: str | None,
    seed: int | None,
    port: int,
    truth: Path | None,
    fault: tuple[str, ...],
) -> None:
    """Run it; see `emulate --help`."""
    if "list" in fault:
        click.echo(table())
        return
    faults = Faults(fault, seed=1 if seed is None else seed)
    market = source(tape, seed=1 if seed is None else seed, symbol=symbol, tick_size=tick_size, size_step=size_step, calendar=calendar)
    if truth is not None:
        truth.touch()  # a place that cannot be written is told before anything listens
    asyncio.run(_emulate(Emulator(market, speed=speed or 1.0, truth_path=truth, faults=faults, tws=True), port))


async def _emulate(emulator: Emulator, port: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):  # not loop.add_signal_handler, which Windows lacks
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    await emulator.start(port)
    try:
        addresses = {"api_url": emulator.api_url, "dxlink_url": emulator.dxlink_url, "tws_port": emulator.tws_port, "truth": str(emulator.truth)}
        click.echo(orjson.dumps(addresses).decode())
        await stop.wait()
    finally:
        await emulator.stop()
