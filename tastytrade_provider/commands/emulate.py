"""`emulate`: the loopback exchange alone, for any client."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Literal

import click
import orjson

from ..demo import source
from ..emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Faults
from ..emulator.faults import table
from ..emulator.limits import DELAY_NS
from ..emulator.server import HOST
from .ports import refusal


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
    past_ns = DELAY_NS if faults.limits.level == "demo" else 0
    market = source(tape, seed=1 if seed is None else seed, symbol=symbol, tick_size=tick_size, size_step=size_step, calendar=calendar, past_ns=past_ns)
    if truth is not None:
        truth.touch()  # a place that cannot be written is told before anything listens
    asyncio.run(_emulate(Emulator(market, speed=speed or 1.0, truth_path=truth, faults=faults, tws=True), port))


async def _emulate(emulator: Emulator, port: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):  # not loop.add_signal_handler, which Windows lacks
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    try:
        await emulator.start(port)
    except OSError as error:
        raise refusal(error, HOST, port) from error
    try:
        told = {
            "api_url": emulator.api_url,
            "dxlink_url": emulator.dxlink_url,
            "tws_port": emulator.tws_port,
            "truth": str(emulator.truth),
            "client_secret": CLIENT_SECRET,  # a login that opens nothing but this
            "refresh_token": REFRESH_TOKEN,
        }
        click.echo(orjson.dumps(told).decode())
        await stop.wait()
    finally:
        await emulator.stop()
