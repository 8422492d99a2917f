"""The file format of a tape: reads it into columns, and says exactly what is wrong with a file that is none."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tastytrade_provider.errors import MissingExtra, UsageError
from tastytrade_provider.model import Action, AggressorSide

TIMES = {"time_ns": 1, "ts_event_ns": 1, "exch_ms": 1_000_000}
"""Column of the exchange time -> nanoseconds in its unit."""
_SIDES = {"BUY": AggressorSide.BUY, "SELL": AggressorSide.SELL, "UNDEFINED": AggressorSide.UNKNOWN, "UNKNOWN": AggressorSide.UNKNOWN}
_KINDS = {"T": True, "Q": False}
_ACTIONS = {action.name: action for action in Action}
_FORMATS = (".csv", ".csv.gz", ".parquet")
_ACCEPTED = (
    "a tape has a header with time_ns, ts_event_ns or exch_ms; price and size; and if it likes side, bid, ask, bidsz, asksz, kind (T, Q), type and index"
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Equally long columns, ascending by `time_ns`. In a quote's row `price` and `size` are NaN; a print's row holds the quote standing."""

    has_quote_rows: bool
    time_ns: NDArray[np.int64]
    is_trade: NDArray[np.bool_]
    price: Floats
    size: Floats
    side: NDArray[np.int64]
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats
    action: NDArray[np.int64]
    index: NDArray[np.int64]


def read_rows(path: Path) -> Rows:
    """Read and check a file. Raises UsageError naming the file, the line and what would be accepted."""
    cells = _Cells(path, _frame(path))
    time_ns = cells.times()
    is_trade = cells.words("kind", _KINDS, default="T").astype(bool)
    if not is_trade.any():
        raise UsageError(f"tape {path}: no trade in it; {_ACCEPTED}")
    price = cells.numbers("price", is_trade)
    size = cells.numbers("size", is_trade)
    cells.refuse(is_trade & (size < 0), "size", "a number, 0 or more")
    action = cells.words("type", _ACTIONS, default="NEW")
    if "index" in cells.frame:
        index = cells.integers("index", is_trade)
    else:
        cells.refuse(action != Action.NEW, "type", "NEW in a tape without a column index, since nothing says which print is meant")
        index = np.arange(len(time_ns), dtype=np.int64)
    nobody = np.zeros(len(time_ns), bool)
    quotes = [cells.numbers(name, nobody) for name in ("bid", "ask", "bidsz", "asksz")]
    order = np.argsort(time_ns, kind="stable")
    columns: tuple[NDArray[Any], ...] = (
        time_ns, is_trade, price, size, cells.words("side", _SIDES, default="UNDEFINED"), *quotes, action, index
    )  # fmt: skip
    rows = Rows(not is_trade.all(), *(column[order] for column in columns))
    return _with_standing_quotes(rows) if rows.has_quote_rows else rows


def _with_standing_quotes(rows: Rows) -> Rows:
    """Give each print the last quote from before its exchange time; NaN before the first quote.

    Strictly before: quotes of the print's own millisecond include those that the print itself moved. On a recorded perpetual with millisecond times
    the quote rule then finds the venue's own side for 99.96 % of the prints, and for 56 % with the quotes of the same millisecond.
    """
    quoted = np.flatnonzero(~rows.is_trade)
    last = np.searchsorted(rows.time_ns[quoted], rows.time_ns[rows.is_trade], side="left") - 1
    for column in (rows.bid, rows.ask, rows.bid_size, rows.ask_size):
        column[rows.is_trade] = np.where(last >= 0, column[quoted[np.maximum(last, 0)]], np.nan)
    return rows


def _frame(path: Path) -> pd.DataFrame:
    try:
        if path.name.lower().endswith(".parquet"):
            return pd.read_parquet(path)
        if path.name.lower().endswith(_FORMATS):
            return pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except FileNotFoundError as error:
        raise UsageError(f"tape {path}: there is no such file") from error
    except ImportError as error:
        raise MissingExtra(f"tape {path}: reading Parquet needs the extra 'store': pip install 'tastytrade-provider[store]'") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: what pandas and pyarrow say of malformed content
        raise UsageError(f"tape {path}: cannot be read ({str(error).strip()[:120]}); {_ACCEPTED}") from error
    raise UsageError(f"tape {path}: expected a name that ends in {', '.join(_FORMATS)}")


class _Cells:
    """Columns of a file as numbers, with the place of a cell that is none."""

    def __init__(self, path: Path, frame: pd.DataFrame) -> None:
        self.path, self.frame = path, frame
        frame.columns = pd.Index([str(name).strip() for name in frame.columns])
        missing = [name for name in ("price", "size") if name not in frame.columns]
        self._time = next((name for name in TIMES if name in frame.columns), None)
        if self._time is None:
            missing.insert(0, "a time")
        if missing:
            has = ", ".join(frame.columns[:12].astype(str))
            raise UsageError(f"tape {path}, line 1: no column for {', '.join(missing)} among {has[:200]}; {_ACCEPTED}")
        if frame.empty:
            raise UsageError(f"tape {path}: no rows after the header; {_ACCEPTED}")

    def refuse(self, bad: NDArray[np.bool_], name: str, accepted: str) -> None:
        """UsageError for the first row marked bad."""
        if bad.any():
            row = int(bad.argmax())
            where = f"row {row}" if self.path.name.lower().endswith(".parquet") else f"line {row + 2}"
            raise UsageError(f"tape {self.path}, {where}: {name} is {str(self.frame[name].iloc[row])!r}, expected {accepted}")

    def numbers(self, name: str, needed: NDArray[np.bool_]) -> Floats:
        """A column of finite numbers; NaN where a cell that is not needed is empty, and everywhere in a column that is not there."""
        if name not in self.frame:
            return np.full(len(self.frame), np.nan)
        texts = self.frame[name]
        values = np.array(pd.to_numeric(texts, errors="coerce"), np.float64)
        is_empty = np.asarray(texts.isna() | texts.astype(str).str.strip().str.lower().isin(["", "nan"]), bool)
        self.refuse(~np.isfinite(values) & (needed | ~is_empty), name, "a number")
        return values

    def integers(self, name: str, needed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """A column of whole numbers, exact beyond 2**53; 0 where a cell is not needed."""
        texts = self.frame[name].astype(str).str.strip()
        self.refuse(needed & ~np.asarray(texts.str.fullmatch(r"-?\d{1,18}|-?[1-8]\d{18}"), bool), name, "a whole number of 64 bits")
        return np.array(texts.where(needed, "0"), dtype=object).astype(np.int64)

    def times(self) -> NDArray[np.int64]:
        """Exchange time, UTC nanoseconds."""
        name = str(self._time)
        times = self.integers(name, np.ones(len(self.frame), bool))
        unit = TIMES[name]
        limit = np.iinfo(np.int64).max // unit
        self.refuse((times < 0) | (times > limit), name, "a time after 1970 in the unit its name says")
        return times * np.int64(unit)

    def words(self, name: str, known: dict[str, Any], default: str) -> NDArray[np.int64]:
        """A column of known words as their numbers; an empty cell and an absent column mean `default`."""
        if name not in self.frame:
            return np.full(len(self.frame), int(known[default]), np.int64)
        texts = self.frame[name].fillna("").astype(str).str.strip().str.upper().replace({"": default})
        values = texts.map({word: int(number) for word, number in known.items()})
        self.refuse(np.asarray(values.isna(), bool), name, f"one of {', '.join(known)}")
        return np.asarray(values, np.int64)
