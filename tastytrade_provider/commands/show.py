"""Showing watched contracts: a table that lives in a terminal, plain tables elsewhere, JSON at the end for a program."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
import orjson

from ..follow import Following
from ..provider import DataProvider, ProviderStatus, Subscription, all_ended
from ..watch import Watched, table

_REFRESH_S = 0.25
_PLAIN_EVERY_S = 5.0
_NOTES = 3
_SILENT = {
    "connecting": "no data yet",
    "reconnecting": "no data since {}; what was missed is fetched after the reconnect, or told as a gap",
    "disconnected": "no data since {}",
}
"""What is said while nothing can come, by the provider's state."""


async def show(
    watched: Sequence[Watched],
    subscriptions: Sequence[Subscription[Any] | Following],
    provider: DataProvider,
    title: str,
    *,
    seconds: float | None,
    quiet: bool,
    clock_speed: float | None,
) -> None:
    """Draw until the subscriptions end, `seconds` are over, or Ctrl-C. An error that ended a subscription is raised.

    clock_speed  how fast the exchange's clock runs, where it closes bars without a trade; None: only trades do
    """
    until = time.monotonic() + seconds if seconds else None
    ended = asyncio.create_task(all_ended(subscriptions))
    try:
        if quiet:
            while not ended.done() and (until is None or time.monotonic() < until):
                await asyncio.wait([ended], timeout=_wait_s(until))
                _tick(watched, clock_speed)
        else:
            await _draw(watched, provider, title, ended, until, clock_speed)
        if ended.done():
            ended.result()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.uncancel():
            raise
        # Ctrl-C, once: that was the end, and what has been seen is still summed up
    finally:
        ended.cancel()
        await asyncio.wait([ended])


async def _draw(
    watched: Sequence[Watched], provider: DataProvider, title: str, ended: asyncio.Future[Any], until: float | None, clock_speed: float | None
) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if console.is_terminal:
        with Live(table(watched, title, _health(provider)), console=console, auto_refresh=False) as live:
            while not ended.done() and (until is None or time.monotonic() < until):
                await asyncio.wait([ended], timeout=_wait_s(until))
                _tick(watched, clock_speed)
                live.update(table(watched, title, _health(provider)), refresh=True)
        return
    shown = 0.0
    try:
        while not ended.done() and (until is None or time.monotonic() < until):
            if time.monotonic() - shown >= _PLAIN_EVERY_S and any(one.trades for one in watched):
                shown = time.monotonic()
                console.print(table(watched, title, _health(provider)))
            await asyncio.wait([ended], timeout=_wait_s(until))
            _tick(watched, clock_speed)
    finally:  # Ctrl-C as well: how it stood at the end
        console.print(table(watched, title, _health(provider)))


def as_json(watched: Sequence[Watched], provider: DataProvider, *, single: bool, more: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the summary: of one contract as it is, of several by symbol; `more` by symbol goes in. What may be missing goes to the error output."""
    summaries = {one.contract.symbol: {**one.summary(), **more.get(one.contract.symbol, {})} for one in watched}
    found: Any = next(iter(summaries.values())) if single else summaries
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    tell(provider.status())


def tell(status: ProviderStatus) -> None:
    """To the error output: what may be missing, and what else a user should know."""
    for text in (_troubles(status), _doubles(status), *status.notes):
        if text:
            click.echo(f"note: {text}", err=True)


def _health(provider: DataProvider) -> str:
    """How it stands in a line, and the latest of what a user should know in lines below it."""
    status = provider.status()
    parts = [f"{status.state}, delta from {status.delta_source}"]
    if status.reconnects:
        is_whole = status.gaps_filled and not status.gaps_open
        parts.append(f"{status.reconnects:,} reconnects" + (", refilled" if is_whole else ""))
    parts += [_troubles(status) or "nothing lost", *filter(None, [_doubles(status)])]
    return "\n".join(["; ".join(parts), *status.notes[-_NOTES:]])


def _doubles(status: ProviderStatus) -> str:
    """What came more than once, as a refill brings it: nobody loses by it."""
    return f"{status.duplicates:,} duplicates ignored" if status.duplicates else ""


def _troubles(status: ProviderStatus) -> str:
    counts = {
        "rows that could not be read": status.rejected, "gaps": status.gaps_open,
        "corrections or cancels of unknown trades": status.orphans, "trades off the tick": status.off_tick,
        **{f"trades excluded as {name.replace('_', ' ')}": n for name, n in status.excluded.items()},
    }  # fmt: skip
    why = f": {status.problem}" if status.problem else ""
    silent = [_SILENT[status.state].format(time.strftime("%H:%M:%S UTC", time.gmtime(status.since_ns / 1e9))) + why] if status.state in _SILENT else []
    delayed = ["DELAYED DATA (token level demo)"] if status.token_level == "demo" else []
    return "; ".join([*silent, *delayed, *(f"{n:,} {what}" for what, n in counts.items() if n), *status.failed])


def _tick(watched: Sequence[Watched], clock_speed: float | None) -> None:
    if clock_speed is not None:
        for one in watched:
            one.tick(clock_speed)


def _wait_s(until: float | None) -> float:
    return _REFRESH_S if until is None else max(0.0, min(_REFRESH_S, until - time.monotonic()))
