"""`record`: the configured provider's feed into a journal, with counts."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol, cast

import click

from ..config import load
from ..errors import NotSupported
from ..journal import Journal
from ..provider import DataProvider, ProviderStatus, all_ended
from ..registry import create_provider
from ..warm import warm_up
from .ending import sigterm_as_ctrl_c
from .show import tell

_TELL_EVERY_S = 5.0


class _Recordable(Protocol):
    journal: Journal | None


def run(*, symbols: tuple[str, ...], seconds: float | None, path: Path | None, config_path: str | None) -> int:
    """Run it; see `record --help`."""
    settings = load(config_path)
    provider = create_provider(settings)
    if not hasattr(provider, "journal"):
        raise NotSupported(f"provider '{provider.name}' has no raw feed to record; tastytrade and demo have")
    journal = cast(_Recordable, provider).journal = Journal(path or settings.journal.path)
    warm_up()
    with sigterm_as_ctrl_c(), suppress(KeyboardInterrupt):  # the ordinary end: everything is closed by then
        asyncio.run(_record(provider, journal, symbols or tuple(settings.symbols), seconds))
    if journal.repaired:
        click.echo(f"note: {journal.repaired:,} bytes that an earlier crash left torn were cut off and kept beside the segment", err=True)
    click.echo(f"recorded to {journal.path}: {_counts(journal, provider.status())}")
    tell(provider.status())
    return 1 if journal.lost else 0


async def _record(provider: DataProvider, journal: Journal, symbols: tuple[str, ...], seconds: float | None) -> None:
    async with provider:
        until_s = time.monotonic() + seconds if seconds else None
        contracts = dict.fromkeys([await provider.resolve(symbol) for symbol in symbols])  # ES and ESZ6 may be one
        subscriptions = [provider.subscribe_trades(contract).on(lambda item: None) for contract in contracts]
        click.echo(f"recording {', '.join(symbols)} from {provider.name} to {journal.path}; Ctrl-C ends it")
        ended = asyncio.ensure_future(all_ended(subscriptions))
        try:
            while not ended.done() and (until_s is None or time.monotonic() < until_s):
                wait_s = _TELL_EVERY_S if until_s is None else min(_TELL_EVERY_S, max(until_s - time.monotonic(), 0.0))
                await asyncio.wait([ended], timeout=wait_s)
                click.echo(_counts(journal, provider.status()))
            if ended.done():
                ended.result()
        finally:
            ended.cancel()
            await asyncio.wait([ended])


def _counts(journal: Journal, status: ProviderStatus) -> str:
    parts = [f"{journal.written:,} records", f"{status.trades:,} trades", f"{status.rejected:,} rows not readable", f"{status.gaps_open:,} gaps"]
    if journal.lost or journal.failure:
        parts.append(f"{journal.lost:,} messages NOT WRITTEN: {journal.failure}")
    return ", ".join(parts)
