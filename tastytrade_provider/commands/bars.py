"""`bars`: historical bars of the configured provider."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import load
from ..enrich import enriched
from ..errors import UsageError
from ..registry import create_provider
from ..replay import ReplayProvider
from .frames import as_csv as csv_of
from .frames import as_json as json_of
from .frames import as_table, write_parquet

if TYPE_CHECKING:
    import pandas as pd

    from ..provider import DataProvider

_EVERY_S = 0.5
_PLAIN_EVERY_S = 5.0
_UNENDED = {
    "quiet": "the feed did not say that this is all of it, and then fell silent; bars may be missing",
    "deadline": "the feed's answer took too long and was cut short; bars may be missing",
}


def run(
    *,
    symbol: str,
    timeframe: str | None,
    start: str | None,
    end: str | None,
    hours: str,
    as_json: bool,
    as_csv: bool,
    out: Path | None,
    config_path: str | None,
) -> int:
    """Run it; see `bars --help`. 0, also where the market was closed and there is none; what cannot be had is an error."""
    if as_json and as_csv:
        raise UsageError("--json and --csv are two answers; one of them is accepted")
    settings = load(config_path)
    inner = create_provider(settings)
    if isinstance(inner, ReplayProvider):
        inner.seek("end")  # all that was recorded is asked for here
    progress = Progress()
    inner.progress = progress
    frame = asyncio.run(_bars(enriched(inner, settings), symbol, timeframe or settings.timeframe, start, end, hours))
    progress.end()
    if out is not None:
        write_parquet(frame, out)
    if as_json:
        click.echo(json_of(frame))
    elif as_csv:
        click.echo(csv_of(frame), nl=False)
    elif out is None:
        click.echo(as_table(frame) if len(frame) else "no bars: the market was closed")
    for note in notes(frame):
        click.echo(f"note: {note}", err=True)
    return 0


def notes(frame: pd.DataFrame) -> list[str]:
    """What is to be known of the bars besides: where they begin, if late, whether the answer ended, and what could not be read."""
    found, attrs = list[str](), frame.attrs
    if attrs.get("start_was_cut") and len(frame):
        found.append(f"the history begins at {frame.index[0]:%Y-%m-%dT%H:%M:%S}Z; from the start that was asked for up to there the feed has nothing")
    if attrs.get("ended_by") in _UNENDED:
        found.append(_UNENDED[attrs["ended_by"]])
    if rejected := attrs.get("counts", {}).get("rejected"):
        found.append(f"bars that could not be read are left out: {rejected}")
    return found


async def _bars(provider: DataProvider, symbol: str, timeframe: str, start: str | None, end: str | None, hours: str) -> pd.DataFrame:
    async with provider:
        return await provider.historical_bars(await provider.resolve(symbol), timeframe, start, end, hours=hours)


class Progress:
    """How a long history comes along, on the error output: one line that changes in a terminal, else one now and then. Quick answers show nothing."""

    def __init__(self) -> None:
        self._began_s = self._told_s = time.monotonic()
        self._is_open = False

    def __call__(self, what: str, rows: int, share: float) -> None:
        """`rows` of `what` are here, `share` (0 to 1) of the range."""
        now_s, is_terminal = time.monotonic(), sys.stderr.isatty()
        if now_s - self._told_s < (_EVERY_S if is_terminal else _PLAIN_EVERY_S):
            return
        self._told_s, self._is_open = now_s, is_terminal
        text = f"{what}: {rows:,} rows, {share:.0%}"
        click.echo(f"\r\x1b[2K{text}" if is_terminal else text, err=True, nl=not is_terminal)

    def end(self) -> None:
        """Nothing more comes: leave the line."""
        if self._is_open:
            click.echo("\r\x1b[2K", err=True, nl=False)
