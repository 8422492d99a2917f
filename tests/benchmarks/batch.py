"""Part `batch`: trades in memory -> one-minute bars, CVD and footprint: our kernel on one thread beside polars and duckdb, all with the same results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tastytrade_provider.history import BarHistory, build_history
from tastytrade_provider.kernels import BUY, CLOSE, HIGH, LOW, OPEN, SELL, START, UNKNOWN
from tastytrade_provider.model import COLUMNS, Array, Contract, TradeBatch
from tastytrade_provider.sessions import sessions_between
from tests.benchmarks.report import Part, Ratio, Spread

if TYPE_CHECKING:
    import polars as pl

ES = Contract("ES", "/ESZ6", "/ESZ26:XCME", "CME", tick_size=0.25, multiplier=50)
TARGET = 2.5  # times polars
_MINUTE_NS, _DAY_MINUTES = 60_000_000_000, 1_440
_SHIFT_MINUTES = 120  # CME sessions open at 22:00 or 23:00 UTC and close an hour before: two hours on, a session is a UTC day
_PER_SESSION = 500_000
_KEY = 1 << 24  # room for prices in ticks below a bar's number, for those who group by one key


class Totals(NamedTuple):
    """Sums over everything made: whoever disagrees in a bar or a cell differs in one of them."""

    bars: int
    prices: int
    volume: int
    delta: int
    cvd: int
    cells: int
    bought: int
    unknown: int
    weighted: int


def tape(count: int) -> TradeBatch:
    """Trades over whole CME sessions, busy at both ends, sides without a pattern, 1 in 100 unknown; columns nobody adds up are one value, repeated."""
    from datetime import UTC, datetime

    table = sessions_between(ES.calendar, *(int(datetime(year, 1, 5, tzinfo=UTC).timestamp()) * 10**9 for year in (2024, 2025)))
    whole = np.flatnonzero(table.close_ns - table.open_ns == 1_380 * _MINUTE_NS)[: -(-count // _PER_SESSION)]
    chance = np.random.default_rng(20240105)
    columns = {name: np.empty(count, COLUMNS[name]) for name in ("time_ns", "ticks", "lots", "side", "side_source")}
    day = 1 + 2 * (np.arange(1_380) / 690 - 1) ** 2
    for number, session in enumerate(whole.tolist()):
        at = slice(number * _PER_SESSION, min((number + 1) * _PER_SESSION, count))
        n = at.stop - at.start
        minute = np.sort(np.searchsorted(np.cumsum(day / day.sum()), chance.random(n))).clip(0, 1_379)
        held = np.bincount(minute, minlength=1_380)
        place = np.arange(n) - (np.cumsum(held) - held)[minute]
        columns["time_ns"][at] = table.open_ns[session] + minute * _MINUTE_NS + place * (_MINUTE_NS // held[minute])
        side = np.where(chance.random(n) < 0.5, -1, 1)
        walk = np.cumsum(np.where(chance.random(n) < 0.03, chance.choice([-1, 1], n), 0))
        columns["ticks"][at] = 20_000 + walk + (side > 0)
        columns["lots"][at] = 1 + chance.integers(0, 4, n) * (chance.random(n) < 0.4)
        columns["side"][at] = np.where(chance.random(n) < 0.01, 0, side)
        columns["side_source"][at] = np.where(columns["side"][at] == 0, 3, 0)
    plain = {"action": np.zeros(count, np.int8), "flags": np.ones(count, np.uint16), "index": np.arange(count, dtype=np.int64)}
    same = {name: np.broadcast_to(COLUMNS[name](0), count) for name in ("received_ns", "price", "size", "bid", "ask")}
    given = {**columns, **plain, **same}
    return TradeBatch(ES, {name: given[name] for name in COLUMNS})


def with_ours(batch: TradeBatch) -> tuple[BarHistory, Array]:
    """One pass of the kernel, and the running sum."""
    made = build_history(batch, "1m", ES)
    return made, made.cvd()


def our_totals(made: BarHistory, cvd: Array) -> Totals:
    """For comparison."""
    rows, cells = made.rows, made.cells
    return Totals(
        bars=len(rows),
        prices=int(rows[:, [OPEN, HIGH, LOW, CLOSE]].sum()),
        volume=int(rows[:, [SELL, UNKNOWN, BUY]].sum()),
        delta=int((rows[:, BUY] - rows[:, SELL]).sum()),
        cvd=int(cvd[:, 3].sum()),
        cells=len(cells),
        bought=int(cells[:, 4].sum()),
        unknown=int(cells[:, 3].sum()),
        weighted=int((_weight(rows[:, START] // _MINUTE_NS)[cells[:, 0]] * cells[:, 1] * (cells[:, 4] - cells[:, 2])).sum()),
    )


def _weight(minute: Array) -> Array:
    """Makes a sum depend on which bar a cell is of."""
    return minute % 1_009


def with_polars(frame: pl.DataFrame, engine: str) -> list[pl.DataFrame]:
    """Bars on the sorted minute, footprint on one key made of minute and price: the fastest of the ways tried (by columns, with the side as a key)."""
    import polars as pl

    minute = (pl.col("time_ns") // _MINUTE_NS).alias("minute")
    signed = (pl.col("lots") * pl.col("side")).alias("delta")
    ticks, volume = pl.col("ticks"), pl.col("lots").sum().alias("volume")
    prices = [ticks.first().alias("open"), ticks.max().alias("high"), ticks.min().alias("low"), ticks.last().alias("close")]
    by_minute = frame.lazy().with_columns(minute.set_sorted(), signed).group_by("minute", maintain_order=True)
    bars = by_minute.agg(*prices, volume, pl.col("delta").sum(), pl.len().alias("trades"))
    bars = bars.with_columns(pl.col("delta").cum_sum().over((pl.col("minute") + _SHIFT_MINUTES) // _DAY_MINUTES).alias("cvd"))
    unknown = (pl.col("lots") * (pl.col("side") == 0)).alias("unknown")
    keyed = frame.lazy().select((minute * _KEY + ticks.cast(pl.Int64)).alias("key"), "lots", signed, unknown)
    footprint = keyed.group_by("key").agg(volume, pl.col("delta").sum(), pl.col("unknown").sum())
    footprint = footprint.with_columns(((pl.col("volume") - pl.col("unknown") + pl.col("delta")) // 2).alias("bought"))
    made: list[pl.DataFrame] = pl.collect_all([bars, footprint], engine=engine)  # type: ignore[call-overload]
    return made


def polars_totals(made: pl.DataFrame, cells: pl.DataFrame) -> Totals:
    """For comparison."""
    import polars as pl

    return Totals(
        bars=len(made),
        prices=sum(int(made[name].cast(pl.Int64).sum()) for name in ("open", "high", "low", "close")),
        volume=int(made["volume"].sum()),
        delta=int(made["delta"].sum()),
        cvd=int(made["cvd"].sum()),
        cells=len(cells),
        bought=int(cells["bought"].sum()),
        unknown=int(cells["unknown"].sum()),
        weighted=int((_weight((key := cells["key"].to_numpy()) // _KEY) * (key % _KEY) * cells["delta"].to_numpy()).sum()),
    )


def with_duckdb(frame: pl.DataFrame) -> Totals:
    """The same in SQL, over the frame where it lies."""
    import duckdb

    key = f"time_ns // {_MINUTE_NS}"
    made = duckdb.execute(
        f"with b as (select {key} as minute, arg_min(ticks, index) o, max(ticks) h, min(ticks) l, arg_max(ticks, index) c, sum(lots) v, sum(lots * side) d "
        f"from frame group by minute), s as (select *, sum(d) over (partition by (minute + {_SHIFT_MINUTES}) // {_DAY_MINUTES} order by minute) cvd from b) "
        "select count(*), sum(o + h + l + c), sum(v), sum(d), sum(cvd) from s"
    ).fetchall()
    cells = duckdb.execute(
        f"with f as (select {key} as minute, ticks, sum(lots) filter (side = 1) b, sum(lots) filter (side = 0) u, sum(lots * side) d from frame group by all) "
        "select count(*), sum(b), sum(u), sum((minute % 1009) * ticks * d) from f"
    ).fetchall()
    return Totals(*map(int, [*made[0], *cells[0]]))


def frame_of(batch: TradeBatch) -> pl.DataFrame:
    """The same columns for polars and duckdb."""
    import polars as pl

    return pl.DataFrame({name: batch.columns[name] for name in ("time_ns", "index", "ticks", "lots", "side")})


def timed(work: Callable[[], object], repeats: int) -> Spread:
    """Seconds of each run; one has gone before, to warm up."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return Spread(found)


def faster_engine(frame: pl.DataFrame) -> str:
    """Which of polars' two engines is the quicker here; both are warm afterwards."""
    spent = {engine: timed(lambda engine=engine: with_polars(frame, engine), 1).median for engine in ("in-memory", "streaming")}  # type: ignore[misc]
    return min(spent, key=lambda engine: spent[engine])


def in_memory(count: int, repeats: int) -> tuple[Totals, str, dict[str, Spread]]:
    """What all made of the tape, polars' engine, and the seconds of each; the tape is gone afterwards."""
    batch = tape(count)
    frame = frame_of(batch)
    engine = faster_engine(frame)
    ours = our_totals(*with_ours(batch))
    for name, theirs in (("polars", polars_totals(*with_polars(frame, engine))), ("duckdb", with_duckdb(frame))):
        assert theirs == ours, f"{name} and ours disagree:\n{theirs}\n{ours}"
    spreads = {
        "ours, one thread": timed(lambda: with_ours(batch), repeats),
        "polars": timed(lambda: with_polars(frame, engine), repeats),
        "duckdb": timed(lambda: with_duckdb(frame), min(repeats, 3)),
        "limit: numpy sum() of the columns": timed(lambda: [batch.columns[name].sum() for name in ("time_ns", "ticks", "lots", "side")], repeats),
    }
    return ours, engine, spreads


def measure(is_quick: bool) -> list[Part]:
    """50 million trades, five times each."""
    count, repeats = (100_000, 2) if is_quick else (50_000_000, 5)
    ours, engine, spreads = in_memory(count, repeats)
    spreads["polars, one thread"] = Spread(_polars_on_one_thread(count, repeats, engine))
    part = Part(
        f"batch: {count / 1e6:g} million trades in memory to {ours.bars} bars, CVD and {ours.cells} footprint cells",
        ("candidate", "seconds", "million trades/s", "ours is", "target"),
        ("numba", "numpy", "polars", "duckdb"),
    )
    ratios = {name: spread.median / spreads["ours, one thread"].median for name, spread in spreads.items()}
    for name, spread in spreads.items():
        part.add((name, spread, count / spread.median / 1e6, f"{ratios[name]:.2f}x", f"{TARGET:g}x" if name == "polars" else ""))
    part.ratios += [
        Ratio("batch, ours on one thread beside polars with its default threads", ratios["polars"], TARGET),
        Ratio("batch, ours beside polars, both on one thread", ratios["polars, one thread"]),
        Ratio("batch, ours on one thread beside duckdb", ratios["duckdb"]),
    ]
    part.notes.append(f"all made the same bars, CVD and cells (ours also each bar's least and most delta, notional, side sources); polars' engine: {engine}")
    return [part]


def _polars_on_one_thread(count: int, repeats: int, engine: str) -> list[float]:
    command = [sys.executable, "-m", "tests.benchmarks.batch", str(count), str(repeats), engine]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    values: list[float] = json.loads(done.stdout)
    return values


if __name__ == "__main__":
    size, times, chosen = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    alone = frame_of(tape(size))
    with_polars(alone, chosen)
    print(json.dumps(timed(lambda: with_polars(alone, chosen), times).values))
