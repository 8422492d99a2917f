"""`history build`: what was recorded as files of bars and footprint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson

from ..errors import UsageError
from ..history import BarHistory
from ..journal.segments import SUFFIX
from ..journal.sessions import load_history, session_info
from ..model import Array, Contract, Timeframe
from ..provider import time_ns
from ..replay import open_source
from ..replay.history import built
from ..replay.names import resolved
from ..replay.position import Cut
from .frames import write_parquet

_ALL = 2**62


@dataclass(frozen=True)
class Built:
    """One contract's files."""

    contract: Contract
    bars: Path
    footprint: Path
    counts: tuple[int, int]


def build(
    *,
    path: Path,
    symbols: tuple[str, ...],
    timeframe: str,
    start: str | None,
    end: str | None,
    ticks_per_row: int,
    out: Path,
    as_json: bool,
) -> int:
    """Run it; see `history build --help`. `start` and `end` as of historical_bars; without them everything. UsageError where nothing was recorded then."""
    wanted = Timeframe.parse(timeframe)
    bounds = 0 if start is None else time_ns(start, "start"), _ALL if end is None else time_ns(end, "end")
    if bounds[0] >= bounds[1]:
        raise UsageError(f"start {start} is not before end {end}")
    recording = _recording(path)
    contracts = [resolved(list(recording), symbol) for symbol in symbols] or list(recording)
    made = [_made(recording[contract], path, contract, wanted, bounds, ticks_per_row, out) for contract in contracts]
    if as_json:
        click.echo(orjson.dumps([_record(one) for one in made], option=orjson.OPT_INDENT_2).decode())
    return 0


def _recording(path: Path) -> dict[Contract, list[Path]]:
    """The recorded contracts, each with its session files; none where it is a journal or a tape."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() and not any(path.glob(f"*{SUFFIX}")) else [path] if path.suffix == ".parquet" else []
    found: dict[Contract, list[Path]] = {}
    for file in files:
        info = session_info(file)
        if info is not None:
            found.setdefault(info.contract, []).append(file)
    return found or {contract: [] for contract in open_source(path).contracts}


def _made(files: Sequence[Path], path: Path, contract: Contract, timeframe: Timeframe, bounds: tuple[int, int], ticks_per_row: int, out: Path) -> Built:
    history, complete = _history(files, path, contract, timeframe, bounds)
    bars, footprint = history.bars().assign(complete=complete), history.footprint(ticks_per_row)
    bars, footprint = bars[_inside(bars.index, bounds)], footprint[_inside(footprint.index.get_level_values("time"), bounds)]
    if bars.empty:
        raise UsageError(f"{path}: no trade of {contract.symbol} was recorded in that range")
    stem = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', contract.symbol.strip('/'))}-{timeframe}"
    targets = out / f"{stem}-bars.parquet", out / f"{stem}-footprint.parquet"
    for frame, target in zip((bars, footprint), targets, strict=True):
        write_parquet(frame, target)
    return Built(contract, *targets, counts=(len(bars), len(footprint)))


def _history(files: Sequence[Path], path: Path, contract: Contract, timeframe: Timeframe, bounds: tuple[int, int]) -> tuple[BarHistory, Array]:
    """Bars of session files, row group by row group, of those that reach into the range; else of whatever lies at the path."""
    if not files:
        return built(open_source(path), Cut(contract, _ALL, _ALL), timeframe)
    infos = [(file, info) for file in files if (info := session_info(file)) is not None]
    near_ns = 0 if timeframe.is_intraday or not timeframe.is_time else _ALL  # a bar of weeks needs the sessions around it too
    kept = [file for file, info in infos if info.end_ns >= bounds[0] - near_ns and info.start_ns < bounds[1] + near_ns]
    if not kept:
        raise UsageError(f"{path}: no session of {contract.symbol} was recorded in that range")
    history = load_history(kept, timeframe)
    return history, np.ones(len(history.rows), bool)


def _inside(index: Any, bounds: tuple[int, int]) -> Array:
    starts: Array = index.as_unit("ns").asi8
    return (starts >= bounds[0]) & (starts < bounds[1])


def _record(one: Built) -> dict[str, Any]:
    files = {"bars": str(one.bars), "footprint": str(one.footprint)}
    return {"contract": one.contract.symbol, **files, "bar_rows": one.counts[0], "footprint_rows": one.counts[1]}
