"""Part `journal`: raw messages made durable, beside sqlite; and a Parquet file of trades to bars and footprint, beside polars, with the same results."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tastytrade_provider.journal import Journal, Reader, segments
from tastytrade_provider.journal.sessions import ROWS, SessionWriter, load_history
from tests.benchmarks import tape
from tests.benchmarks.batch import ES, our_totals, polars_totals, timed, with_polars
from tests.benchmarks.batch import tape as trades
from tests.benchmarks.report import Part, Ratio, Spread

APPEND_TARGET = 4  # times sqlite
HISTORY_TARGET = 2  # times polars
_PER_MESSAGE = 10


def measure(is_quick: bool) -> list[Part]:
    """Appending, then history from a file."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:  # not in /tmp, which may be memory
        return [_append(Path(folder), is_quick), _history(Path(folder), is_quick)]


def _append(folder: Path, is_quick: bool) -> Part:
    rows = [tape.row(trade) for trade in tape.prints(20_000)]
    raws = [tape.message(rows[at : at + _PER_MESSAGE], 1) for at in range(0, len(rows), _PER_MESSAGE)]
    messages, repeats = raws * (1 if is_quick else 20), 2 if is_quick else 9
    part = Part(
        f"journal: {len(messages):,} raw messages of {_PER_MESSAGE} rows, each kept at once, all durable at the end",
        ("candidate", "million rows/s", "bytes/row"),
        ("numpy",),
    )
    found: dict[str, list[float]] = {"ours": [], "sqlite WAL, a commit per message": []}
    sizes: dict[str, float] = {}
    for repeat in range(-1, repeats):
        for name, way in zip(found, (_ours, _sqlite), strict=True):
            path = folder / f"{way.__name__}{repeat}"
            seconds = way(path, messages)
            if repeat >= 0:  # the first warms up
                found[name].append(len(messages) * _PER_MESSAGE / seconds / 1e6)
                sizes[name] = sum(each.stat().st_size for each in path.rglob("*")) / len(messages) / _PER_MESSAGE
    spreads = {name: Spread(values) for name, values in found.items()}
    for name, spread in spreads.items():
        part.add((name, spread, f"{sizes[name]:.0f}"))
    ours, sqlite = spreads.values()
    part.ratios.append(Ratio("journal, appending beside sqlite", ours.median / sqlite.median, APPEND_TARGET))
    part.notes.append(f"ours: durable each second; sqlite {sqlite3.sqlite_version}: journal_mode WAL, synchronous NORMAL, durable at its own checkpoints")
    return part


def _ours(path: Path, messages: Sequence[bytes]) -> float:
    columns, read = {"TimeAndSale": tape.COLUMNS}, messages
    journal = Journal(path)
    journal.open()
    with _each_second(journal.sync):
        started = time.perf_counter()
        for message in read:
            journal.append((message,), (time.time_ns(),), columns)
        journal.sync()
        spent = time.perf_counter() - started
    journal.close()
    assert sum(record.payload == raw for record, raw in zip(_data(path), messages, strict=True)) == len(messages)
    return spent


def _data(path: Path) -> Iterator[object]:
    return (record for record in Reader(segments(path)) if record.kind.name == "DATA")


def _sqlite(path: Path, messages: Sequence[bytes]) -> float:
    path.mkdir()
    base = sqlite3.connect(path / "journal.db", isolation_level=None)
    try:
        base.execute("pragma journal_mode = wal")
        base.execute("pragma synchronous = normal")
        base.execute("create table journal (wall_ns integer, monotonic_ns integer, payload blob)")
        started = time.perf_counter()
        for raw in messages:  # without a transaction each statement is one
            base.execute("insert into journal values (?, ?, ?)", (time.time_ns(), time.monotonic_ns(), raw))
        base.execute("pragma wal_checkpoint(truncate)")
        spent = time.perf_counter() - started
        assert base.execute("select count(*) from journal").fetchone() == (len(messages),)
    finally:
        base.close()
    return spent


@contextmanager
def _each_second(work: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(1.0):
            work()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _history(folder: Path, is_quick: bool) -> Part:
    import polars as pl

    count, repeats = (300_000, 2) if is_quick else (20_000_000, 5)
    path = folder / "history.parquet"
    batch = trades(count)
    writer = SessionWriter(path, ES, "many")
    for start in range(0, count, ROWS):
        some = batch[start : start + ROWS]
        nothing = np.full(len(some), np.nan)
        writer.add(some.replace(price=ES.price(some.ticks), size=ES.size(some.lots), received_ns=some.time_ns + 50_000_000, bid=nothing, ask=nothing))
    writer.close()
    del batch

    def ours() -> object:
        made = load_history(path, "1m")
        return made, made.cvd()

    def theirs(engine: str) -> list[pl.DataFrame]:
        return with_polars(pl.scan_parquet(path), engine)  # type: ignore[arg-type]  # it asks for `lazy()` only

    made = load_history(path, "1m")
    totals = our_totals(made, made.cvd())
    engines = ("in-memory", "streaming")
    for engine in engines:
        found = polars_totals(*theirs(engine))
        assert found == totals, f"polars and ours disagree:\n{found}\n{totals}"
    spreads = {"ours": timed(ours, repeats)} | {f"polars, {engine}": timed(lambda engine=engine: theirs(engine), repeats) for engine in engines}  # type: ignore[misc]
    spreads["limit: pyarrow reads the five columns"] = timed(lambda: _read(path), repeats)
    part = Part(
        f"history: {count / 1e6:g} million trades in a Parquet file to {totals.bars} bars, CVD and {totals.cells} footprint cells",
        ("candidate", "seconds", "million trades/s"),
        ("pyarrow", "numba", "numpy", "polars"),
    )
    part.notes.append(f"the file: {path.stat().st_size / count:.1f} bytes a trade")
    for name, spread in spreads.items():
        part.add((name, spread, count / spread.median / 1e6))
    best = min(spreads[f"polars, {engine}"].median for engine in engines)
    part.ratios.append(Ratio("history from Parquet, beside the faster of polars' engines", best / spreads["ours"].median, HISTORY_TARGET))
    part.ratios.append(
        Ratio(
            "history from Parquet, share of the speed at which pyarrow reads", spreads["limit: pyarrow reads the five columns"].median / spreads["ours"].median
        )
    )
    return part


def _read(path: Path) -> object:
    import pyarrow.parquet as parquet

    return parquet.read_table(path, columns=["time_ns", "ticks", "lots", "side", "side_source"])
