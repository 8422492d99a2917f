"""What indicators read: columns by name, alike from a frame of bars, one Bar, or a mapping with a bar's fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tastytrade_provider.errors import MissingColumns, UsageError
from tastytrade_provider.model import Bar

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bars = pd.DataFrame | Bar | Mapping[str, Any]

SPLIT = ("buy_volume", "sell_volume", "min_delta", "max_delta")
"""What delta and CVD are made of; the last two as NaN where bars do not have them."""

# Who has a column that bars often lack. The first row that names one of the missing columns is told.
_WHO_HAS = (
    (
        {"buy_volume", "sell_volume"},
        "Interactive Brokers history has no split: data_provider: tastytrade has (delta_source time_and_sale or candle)",
    ),
    (
        {"min_delta", "max_delta"},
        "only bars made of trades know a delta's extremes: data_provider: tastytrade has (delta_source time_and_sale)",
    ),
    (
        {"price", "size"},
        "bars hold no single trades: data_provider: tastytrade has them (historical_trades, subscribe_trades), and so has a replay",
    ),
)
_OF_BAR = frozenset(Bar.__slots__)
_EPOCH = date(1970, 1, 1).toordinal()


class Columns:
    """Columns of closed bars, oldest first. Reading copies: what was passed in is never touched.

    >>> Columns({"close": 6000.25, "volume": None}).floats("volume")
    array([nan])
    """

    __slots__ = ("_data", "_names", "_rows", "_series")

    def __init__(self, data: Bars) -> None:
        self._data = data
        if isinstance(data, Bar):  # first, and with as little as can be: live, this is asked for each bar
            self._names: Iterable[str] = _OF_BAR
            self._rows: range | None = None
        elif isinstance(data, pd.DataFrame):
            if isinstance(data.index, pd.DatetimeIndex) and not data.index.is_monotonic_increasing:
                raise UsageError("bars must come oldest first; sort the frame by its index")
            self._names, self._rows = data.columns, range(len(data))
            self._series: dict[tuple[str, Any], NDArray[Any]] = {}
        elif isinstance(data, Mapping):
            self._names, self._rows = data.keys(), None
        else:
            raise UsageError(f"a {type(data).__name__} is no bars; a DataFrame, a Bar or a mapping with a bar's fields is")

    def __len__(self) -> int:
        return 1 if self._rows is None else len(self._rows)

    def part(self, start: int, stop: int) -> Columns:
        """Some bars of a frame, by number."""
        found = Columns.__new__(Columns)
        found._data, found._names, found._rows, found._series = self._data, self._names, range(start, stop), self._series
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def require(self, indicator: str, names: Iterable[str]) -> None:
        """Raise MissingColumns where one is not there, naming it, the indicator, and who would have it."""
        if self._names is _OF_BAR and _OF_BAR.issuperset(names):
            return
        needed = list(names)
        missing = [name for name in needed if name not in self._names]
        if missing:
            who = next((text for columns, text in _WHO_HAS if columns & set(missing)), "every provider's bars frame has them")
            there = list(Bar.__slots__ if self._names is _OF_BAR else self._names)
            raise MissingColumns(f"{indicator} needs {_listed(needed)}; {_listed(missing)} missing among {there}. {who}")

    def table(self, names: tuple[str, ...]) -> Floats:
        """Columns as the rows of one array (names x bars) of float64: NaN where unknown, and where there is no such column."""
        data = self._data
        if isinstance(data, Bar):
            return np.array(_fields(names)(data), np.float64, ndmin=2).T  # numpy reads None as NaN
        if isinstance(data, pd.DataFrame):
            found = np.empty((len(names), len(self)))
            for row, name in zip(found, names, strict=True):
                row[:] = self._column(name, np.float64) if name in self._names else np.nan
            return found
        values = (data.get(name) for name in names)
        return np.array([[np.nan if value is None or value is pd.NA else value] for value in values], np.float64)

    def floats(self, name: str) -> Floats:
        """A column as float64, NaN where unknown."""
        if name not in self._names:
            raise KeyError(name)
        found: Floats = self.table((name,))[0]
        return found

    def floats_or(self, name: str, default: float) -> Floats:
        """The column, or a constant where there is none."""
        return self.floats(name) if name in self else np.full(len(self), default)

    def words(self, name: str) -> NDArray[Any]:
        """A column of text."""
        if isinstance(self._data, pd.DataFrame):
            return self._column(name, np.object_)
        return np.array([self._value(name)], object)

    def start_ns(self) -> Int64:
        """When each bar starts, UTC ns: a frame's index or column `time`; a bar's or a mapping's `start_ns` or `time`."""
        if isinstance(self._data, pd.DataFrame):
            assert self._rows is not None
            rows = slice(self._rows.start, self._rows.stop)
            found = pd.DatetimeIndex(self._data["time"].iloc[rows]) if "time" in self else self._data.index[rows]
        elif "start_ns" in self:
            return np.array([self._value("start_ns")], np.int64)
        elif "time" in self:
            found = pd.DatetimeIndex([self._value("time")])
        else:
            raise MissingColumns(f"bars need time or start_ns here; they have {list(self._names)}")
        if not isinstance(found, pd.DatetimeIndex) or found.tz is None:
            raise UsageError("bars need aware times here, in the index or in a column 'time'")
        return np.array(found.tz_convert("UTC").as_unit("ns").asi8)

    def session_days(self) -> Floats:
        """Label dates of the bars' sessions, in days since 1970-01-01."""
        if isinstance(self._data, Bar):
            return np.array([float(self._data.session.toordinal() - _EPOCH)])
        found = self._column("session") if isinstance(self._data, pd.DataFrame) else np.array([self._value("session")])
        return found.astype("M8[D]").astype(np.int64).astype(np.float64)

    def symbol(self) -> str | NDArray[Any] | None:
        """The contract's symbol: one for all bars, one for each where a frame has a column `symbol`, None where nobody says."""
        if isinstance(self._data, Bar):
            return self._data.contract.symbol
        if isinstance(self._data, pd.DataFrame):
            return self.words("symbol") if "symbol" in self else None
        if "contract" in self:
            found: str | None = getattr(self._value("contract"), "symbol", None)
            return found
        return self._value("symbol") if "symbol" in self else None

    def context(self, name: str) -> Any:
        """`tick_size` or `calendar`: of a bar's contract or in a frame's `attrs`; None where neither says."""
        if isinstance(self._data, pd.DataFrame):
            return self._data.attrs.get(name)
        return getattr(self._value("contract"), name, None) if "contract" in self else None

    def _column(self, name: str, dtype: type[np.float64] | type[np.object_] | None = None) -> NDArray[Any]:
        """A frame's column as it lies there, if it is of that type; else converted, once for all parts."""
        assert isinstance(self._data, pd.DataFrame)
        assert self._rows is not None
        found = self._series.get((name, dtype))
        if found is None:
            series = self._data[name]
            found = series.to_numpy(dtype=dtype, na_value=np.nan) if dtype is np.float64 else series.to_numpy(dtype=dtype)
            self._series[name, dtype] = found
        return found[self._rows.start : self._rows.stop]

    def _value(self, name: str) -> Any:
        return getattr(self._data, name) if isinstance(self._data, Bar) else self._data[name]


@cache
def _fields(names: tuple[str, ...]) -> Callable[[Bar], Any]:
    """All of these of a bar in one call."""
    return attrgetter(*names)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
