"""What indicators read: columns by name, alike from a frame of bars, one Bar, or a mapping with a bar's fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tastytrade_provider.errors import MissingColumns, UsageError
from tastytrade_provider.model import Bar

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bars = pd.DataFrame | Bar | Mapping[str, Any]

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


class Columns:
    """Columns of closed bars, oldest first. Reading copies: what was passed in is never touched.

    >>> Columns({"close": 6000.25, "volume": None}).floats("volume")
    array([nan])
    """

    def __init__(self, data: Bars) -> None:
        self._data = data
        if isinstance(data, pd.DataFrame):
            if isinstance(data.index, pd.DatetimeIndex) and not data.index.is_monotonic_increasing:
                raise UsageError("bars must come oldest first; sort the frame by its index")
            self._names: Iterable[str] = data.columns
        elif isinstance(data, Bar):
            self._names = Bar.__slots__
        elif isinstance(data, Mapping):
            self._names = data.keys()
        else:
            raise UsageError(f"a {type(data).__name__} is no bars; a DataFrame, a Bar or a mapping with a bar's fields is")

    def __len__(self) -> int:
        return len(self._data) if isinstance(self._data, pd.DataFrame) else 1

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def require(self, indicator: str, names: Iterable[str]) -> None:
        """Raise MissingColumns where one is not there, naming it, the indicator, and who would have it."""
        needed = list(names)
        missing = [name for name in needed if name not in self._names]
        if missing:
            who = next((text for columns, text in _WHO_HAS if columns & set(missing)), "every provider's bars frame has them")
            raise MissingColumns(f"{indicator} needs {_listed(needed)}; {_listed(missing)} missing among {list(self._names)}. {who}")

    def floats(self, name: str) -> Floats:
        """A column as float64, NaN where unknown."""
        if isinstance(self._data, pd.DataFrame):
            return np.array(self._data[name].to_numpy(dtype=np.float64, na_value=np.nan))
        value = self._value(name)
        return np.array([np.nan if value is None or value is pd.NA else value], np.float64)

    def floats_or(self, name: str, default: float) -> Floats:
        """The column, or a constant where there is none."""
        return self.floats(name) if name in self else np.full(len(self), default)

    def words(self, name: str) -> NDArray[Any]:
        """A column of text."""
        if isinstance(self._data, pd.DataFrame):
            return self._data[name].to_numpy(dtype=object)
        return np.array([self._value(name)], object)

    def start_ns(self) -> Int64:
        """When each bar starts, UTC ns: a frame's index or column `time`; a bar's or a mapping's `start_ns` or `time`."""
        if isinstance(self._data, pd.DataFrame):
            found = pd.DatetimeIndex(self._data["time"]) if "time" in self else self._data.index
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
        found = self._data["session"].to_numpy() if isinstance(self._data, pd.DataFrame) else np.array([self._value("session")])
        return found.astype("M8[D]").astype(np.int64).astype(np.float64)

    def symbol(self) -> str | NDArray[Any] | None:
        """The contract's symbol: one for all bars, one for each where a frame has a column `symbol`, None where nobody says."""
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

    def _value(self, name: str) -> Any:
        return getattr(self._data, name) if isinstance(self._data, Bar) else self._data[name]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
