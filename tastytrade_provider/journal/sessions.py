"""One Parquet file per contract and session: small, quick to read, and turned into bars and footprint while it is being read.

Columns: time_ns, received_ns, index (delta-encoded); ticks, lots; side, side_source, action, flags; bid_ticks, ask_ticks (null: not sent). What those cannot
say exactly stands in price, size, bid, ask, which are null elsewhere. Trades are in the order in which they were handed over, corrections and cancels among
them.
Needs pyarrow: MissingExtra where it is not installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import orjson

from .. import kernels as k
from ..errors import JournalDamaged, MissingExtra, UsageError
from ..forming import Forming
from ..grid import Grid
from ..history import TO_KERNEL, BarHistory, build_history
from ..model import COLUMNS, AggressorSide, Array, Contract, SideSource, Timeframe, TradeBatch, TradeFlag
from ..sessions import parse_reset
from .context import contract_as_json, contract_of_json

VERSION = 1
_KEY = b"tastytrade_provider.session"
ROWS = 1 << 20
"""Rows of a row group: about a session of the busiest future."""

_EXACT = {"time_ns": "int64", "received_ns": "int64", "index": "int64", "ticks": "int32", "lots": "int64", "side": "int8", "side_source": "int8",
          "action": "int8", "flags": "uint16"}  # fmt: skip
_QUOTES = {"bid": "bid_ticks", "ask": "ask_ticks"}
_ODD = ("price", "size", "bid", "ask")
_DELTA = ("time_ns", "received_ns", "index")
_LIMIT = float(2**31 - 1)


@dataclass(frozen=True)
class SessionInfo:
    """What a session file says of itself.

    is_plain    trades in order, each new, no spread legs          sources  what it was made of, name -> bytes
    is_flagged  every side is the exchange's: `side_source` is EXCHANGE, or NONE where there is no side, and need not be read
    """

    contract: Contract
    session: str
    rows: int
    start_ns: int
    end_ns: int
    is_plain: bool
    sources: dict[str, int]
    is_flagged: bool = False


class SessionWriter:
    """Writes one session file: under another name until `close`, then durable and in its place at once. `abort` leaves nothing."""

    def __init__(self, path: Path, contract: Contract, session: str) -> None:
        arrow, parquet = _pyarrow()
        self.path, self.contract, self.session, self._arrow = path, contract, session, arrow
        self._schema = arrow.schema(
            [arrow.field(name, getattr(arrow, kind)(), nullable=False) for name, kind in _EXACT.items()]
            + [arrow.field(name, arrow.int32()) for name in _QUOTES.values()]
            + [arrow.field(name, arrow.float64()) for name in _ODD]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = path.with_name(f"{path.name}.tmp")
        others = [name for name in self._schema.names if name not in _DELTA]
        self._file = self._temporary.open("wb")
        self._writer = parquet.ParquetWriter(
            self._file, self._schema, compression="zstd", use_dictionary=others, column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED")
        )
        self._pending: list[TradeBatch] = []
        self._waiting = self._rows = 0
        self._start_ns, self._end_ns = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        self._is_plain, self._is_flagged, self._last = True, True, (np.iinfo(np.int64).min, -1)

    def add(self, batch: TradeBatch) -> None:
        """Enter trades of the file's session."""
        if len(batch) == 0:
            return
        ordered, some, _ = k.survey(batch.time_ns, batch.index, batch.lots, batch.action, batch.flags)
        first, last = (int(batch.time_ns[0]), int(batch.index[0])), (int(batch.time_ns[-1]), int(batch.index[-1]))
        follows = first[0] >= self._last[0] and (first[1] > self._last[1] or first[1] < 0)
        self._is_plain = self._is_plain and ordered and follows and not some & TradeFlag.SPREAD_LEG
        self._is_flagged = self._is_flagged and bool(np.array_equal(batch.side_source, _flagged(batch.side)))
        self._last = last
        self._start_ns, self._end_ns = min(self._start_ns, int(batch.time_ns.min())), max(self._end_ns, int(batch.time_ns.max()))
        self._pending.append(batch)
        self._waiting += len(batch)
        if self._waiting >= ROWS:
            self._flush(whole=False)

    def close(self, sources: dict[str, int] | None = None) -> SessionInfo:
        """Finish the file and put it in its place. `sources`: what it was made of, name -> bytes."""
        self._flush(whole=True)
        info = SessionInfo(self.contract, self.session, self._rows, self._start_ns, self._end_ns, self._is_plain, sources or {}, self._is_flagged)
        told = {"version": VERSION, **vars(info), "contract": contract_as_json(self.contract)}
        self._writer.add_key_value_metadata({_KEY: orjson.dumps(told)})
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self.path)
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return info

    def abort(self) -> None:
        """Give up, unless it is finished; a file that was there before stays as it is."""
        self._writer.close()
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _flush(self, whole: bool) -> None:
        if not self._pending:
            return
        batch = TradeBatch.concat(self._pending)
        stop = len(batch) if whole else len(batch) // ROWS * ROWS
        for start in range(0, stop, ROWS):
            part = batch[start : min(start + ROWS, stop)]
            self._writer.write_table(self._table(part), row_group_size=ROWS)
            self._rows += len(part)
        rest = batch[stop:]
        self._pending, self._waiting = ([rest] if len(rest) else []), len(rest)

    def _table(self, batch: TradeBatch) -> Any:
        contract, columns = batch.contract, {name: batch.columns[name] for name in _EXACT}
        masks: dict[str, Array] = {}
        for name, ticks_name in _QUOTES.items():
            value = batch.columns[name]
            steps = np.rint(value * contract.tick_ratio[1] / contract.tick_ratio[0])
            is_there = np.abs(steps) < _LIMIT
            ticks = np.where(is_there, steps, 0).astype(np.int32)
            columns[ticks_name], masks[ticks_name] = ticks, ~is_there
            columns[name], masks[name] = value, np.isnan(value) | (is_there & (contract.price(ticks) == value))
        for name, made in (("price", contract.price(batch.ticks)), ("size", contract.size(batch.lots))):
            columns[name] = batch.columns[name]
            masks[name] = made == columns[name]
        arrays = [self._arrow.array(columns[name], mask=masks.get(name), from_pandas=False) for name in self._schema.names]
        return self._arrow.Table.from_arrays(arrays, schema=self._schema)


def session_info(path: Path | str) -> SessionInfo | None:
    """What a session file says of itself; None for a Parquet file that is none. JournalDamaged where it cannot be read."""
    with _opened(path) as file:
        return _info(file)


def load_session(path: Path | str) -> TradeBatch:
    """All trades of a session file, exactly as they were handed over."""
    with _opened(path) as file:
        info = _known(path, file)
        parts = list(_row_groups(file, info.contract))
    return TradeBatch.concat(parts) if parts else TradeBatch(info.contract, {"time_ns": [], "price": [], "size": []})


def load_history(paths: Path | str | Sequence[Path | str], timeframe: str | Timeframe, reset: str = "session_open") -> BarHistory:
    """Bars, footprint and CVD of session files of one contract, oldest first: what `build_history` makes of their trades.

    A row group is read while the kernel runs over the one before it, so it takes hardly longer than reading, and little memory.
    """
    files = [paths] if isinstance(paths, Path | str) else list(paths)
    infos = []
    for path in files:
        with _opened(path) as file:
            infos.append(_known(path, file))
    if not infos:
        raise UsageError("no session file is named; a history needs at least one")
    contract = infos[0].contract
    if any(info.contract != contract for info in infos):
        raise UsageError(f"session files of {len({info.contract for info in infos})} contracts; a history is of one")
    held = [(path, info) for path, info in zip(files, infos, strict=True) if info.rows]
    is_plain = all(info.is_plain for _, info in held) and all(one.end_ns < other.start_ns for (_, one), (_, other) in pairwise(held))
    if not (held and is_plain):
        every = [load_session(path) for path in files]
        return build_history(TradeBatch.concat(every), timeframe, contract, reset)
    frame, reset = Timeframe.parse(timeframe), parse_reset(reset)
    grid = Grid(contract, frame, reset, held[0][1].start_ns, held[-1][1].end_ns)
    forming = Forming(levels=4096, room=65_536)
    bars: list[Array] = []
    cells: list[Array] = []
    closed = 0
    for chunk in _ahead(held):
        for made, found in zip(*forming.run(grid, *chunk), strict=True):
            bars.append(made)
            found[:, 0] += closed
            cells.append(found)
        closed = sum(map(len, bars))
    row, last = forming.close()
    last[:, 0] += closed
    rows = np.concatenate([*bars, row])
    return BarHistory(contract, frame, rows, np.concatenate([*cells, last]), grid.session_of(rows[:, k.SESSION]), grid.segment_of(rows[:, k.START]))


def _ahead(held: Sequence[tuple[Path | str, SessionInfo]]) -> Iterator[list[Array]]:
    """What the kernel takes, of each row group, the next ones being read meanwhile."""

    def read(path: Path | str, info: SessionInfo, number: int) -> list[Array]:
        names = ["time_ns", *TO_KERNEL]
        if info.is_flagged:
            names.remove("side_source")
        with _opened(path, known[path]) as file:
            table = file.read_row_group(number, columns=names, use_threads=number == 0)  # nothing else runs while the first is read
        columns = {name: _numpy(table, name) for name in names}
        return [columns[name] if name in columns else _flagged(columns["side"]) for name in ("time_ns", *TO_KERNEL)]

    groups = []
    known: dict[Path | str, Any] = {}  # what a file says of its columns takes longer to read than to keep
    for path, info in held:
        with _opened(path) as file:
            known[path] = file.metadata
            groups += [(path, info, number) for number in range(file.metadata.num_row_groups)]
    with ThreadPoolExecutor(2, "row groups") as pool:
        waiting = [pool.submit(read, *group) for group in groups[:2]]
        for i in range(len(groups)):
            chunk = waiting.pop(0).result()
            if i + 2 < len(groups):
                waiting.append(pool.submit(read, *groups[i + 2]))
            yield chunk


def _flagged(side: Array) -> Array:
    """Where sides come from that are all the exchange's."""
    source: Array = (side == AggressorSide.UNKNOWN) * np.int8(SideSource.NONE)  # EXCHANGE is 0
    return source


def _column(table: Any, name: str) -> Any:
    """A column in one piece; copied only where it is in more than one."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _numpy(table: Any, name: str) -> Array:
    made: Array = _column(table, name).to_numpy(zero_copy_only=False)
    return made


def _row_groups(file: Any, contract: Contract) -> Iterator[TradeBatch]:
    for number in range(file.metadata.num_row_groups):
        table = file.read_row_group(number)
        columns = {name: _numpy(table, name) for name in _EXACT}
        for name, made in (("price", contract.price(columns["ticks"])), ("size", contract.size(columns["lots"]))):
            columns[name] = _merged(table, name, made)
        for name, ticks_name in _QUOTES.items():
            ticks = _column(table, ticks_name)
            made = contract.price(ticks.fill_null(0).to_numpy(zero_copy_only=False))
            columns[name] = _merged(table, name, np.where(_nulls(ticks), np.nan, made))
        yield TradeBatch.of(contract, {name: columns[name] for name in COLUMNS})


def _merged(table: Any, name: str, made: Array) -> Array:
    """What the exact columns make of it, and what the odd column says where it says something."""
    odd = _column(table, name)
    return made if odd.null_count == len(odd) else np.where(_nulls(odd), made, odd.to_numpy(zero_copy_only=False))


def _nulls(column: Any) -> Array:
    nulls: Array = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _opened(path: Path | str, metadata: Any = None) -> Any:
    arrow, parquet = _pyarrow()
    try:
        return parquet.ParquetFile(path, metadata=metadata)
    except (OSError, arrow.ArrowException) as error:
        if not Path(path).exists():
            raise UsageError(f"{path}: there is no such file") from error
        raise JournalDamaged(f"{path} cannot be read as Parquet: {str(error)[:120]}") from error


def _info(file: Any) -> SessionInfo | None:
    told = (file.metadata.metadata or {}).get(_KEY)
    if told is None:
        return None
    found = orjson.loads(told)
    if found.pop("version") != VERSION:
        raise UsageError(f"a session file of version {orjson.loads(told)['version']}; this program reads version {VERSION}")
    return SessionInfo(**found | {"contract": contract_of_json(found["contract"])})


def _known(path: Path | str, file: Any) -> SessionInfo:
    info = _info(file)
    if info is None:
        raise UsageError(f"{path} is a Parquet file but not one of a session; 'journal compact' makes those")
    return info


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("Parquet files need pyarrow: pip install 'tastytrade-provider[store]'") from error
    return pyarrow, pyarrow.parquet
