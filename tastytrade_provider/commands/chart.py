"""`chart`: a picture of a tape, a journal, a session file, or bars in Parquet."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click
import pandas as pd

from ..bars import build_history
from ..chart import MOST_BARS, city, draw, zone_of
from ..errors import MissingExtra, UsageError
from ..indicators import IndicatorManager, divergences
from ..model import Contract, TradeBatch
from ..replay import ReplayProvider

_BARS = {"open", "high", "low", "close", "volume"}
_SUFFIXES = (".png", ".svg")


def run(*, path: Path, out: Path, symbol: str | None, timeframe: str, last: int | None) -> None:
    """Run it; see `chart --help`."""
    if out.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{out} names no picture; a file that ends in {' or '.join(_SUFFIXES)} does")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise UsageError(f"{out}: {out.parent} is no folder that can be written to; make it, or choose another place")
    bars, contract, footprint = _read(path, symbol, timeframe)
    if len(bars) == 0:
        raise UsageError(f"{path}: there are no bars to draw")
    manager = IndicatorManager()
    with_columns = bars.assign(**{str(name): column for each in ("volume_delta", "cvd") for name, column in manager.calculate(bars, each).items()})
    shown = with_columns.iloc[-(last or MOST_BARS) :]
    span = _span(shown, zone_of(contract))
    title = f"{contract.symbol}  {timeframe}  {span}" if footprint is not None else f"{contract.symbol}  {span}"
    draw(shown, contract, footprint=footprint, events=divergences(bars), title=title).savefig(out)
    click.echo(f"{out}: {len(shown):,} bars of {contract.symbol}")


def _read(path: Path, symbol: str | None, timeframe: str) -> tuple[pd.DataFrame, Contract, pd.DataFrame | None]:
    """Bars, whose they are, and the footprint where there are trades."""
    if path.name.lower().endswith(".parquet"):
        bars = _parquet_bars(path)
        if bars is not None:
            about = {name: bars.attrs[name] for name in ("tick_size", "calendar") if name in bars.attrs}
            return bars, Contract("", str(symbol or bars.attrs.get("symbol") or path.stem), **about), None
    contract, trades = asyncio.run(_trades(path, symbol))
    history = build_history(trades, timeframe, contract)
    return history.bars(), contract, history.footprint()


def _parquet_bars(path: Path) -> pd.DataFrame | None:
    """A bars frame; None where the file holds something else."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra(f"{path}: reading Parquet needs the extra 'store': pip install 'tastytrade-provider[store]'") from error
    try:
        names = parquet.read_schema(path).names
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({error})") from error
    if _BARS - set(names):
        return None
    bars = pd.read_parquet(path)
    if "time" in bars.columns:
        bars = bars.set_index("time")
    if not isinstance(bars.index, pd.DatetimeIndex) or bars.index.tz is None:
        raise UsageError(f"{path}: bars need aware times, in their index or in a column 'time'")
    return bars


async def _trades(path: Path, symbol: str | None) -> tuple[Contract, TradeBatch]:
    async with ReplayProvider(path, "max", start="end") as provider:
        recorded = provider.recorded
        if symbol is None and len(recorded) != 1:
            raise UsageError(f"{path} holds {', '.join(contract.symbol for contract in recorded) or 'no contract'}; name one with --symbol")
        contract = recorded[0] if symbol is None else await provider.resolve(symbol)
        return contract, await provider.historical_trades(contract, await provider.earliest(contract))


def _span(bars: pd.DataFrame, zone: str) -> str:
    first, last = (pd.Timestamp(at).tz_convert(zone).strftime("%Y-%m-%d %H:%M") for at in (bars.index[0], bars.index[-1]))
    return f"{first} to {last[11:] if first[:10] == last[:10] else last} {city(zone)}"
