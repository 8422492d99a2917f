"""The values everything is made of, and their units.

Time is int64 UTC nanoseconds. Price is a float as sent, and an integer count of ticks wherever it is a key or is compared. Size is a float at the
surface and an integer count of lots (`contract.size_step`) wherever it is added up, so sums are exact. Values never change: a correction is a new value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum, IntFlag
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .errors import MissingColumns, UnsupportedTimeframe, UsageError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
Int64 = NDArray[np.int64]


class AggressorSide(IntEnum):
    """Who crossed the spread. UNKNOWN is a third answer, never folded into the others."""

    SELL = -1
    UNKNOWN = 0
    BUY = 1


class SideSource(IntEnum):
    """Where a trade's side came from, best first: the exchange's flag, the quote, the tick rule, nowhere."""

    EXCHANGE = 0
    QUOTE = 1
    TICK = 2
    NONE = 3


class Action(IntEnum):
    """What a row does: a new trade, a replacement of an earlier one (same index), a withdrawal of it."""

    NEW = 0
    CORRECTION = 1
    CANCEL = 2


class TradeFlag(IntFlag):
    """Marks on a trade. OFF_TICK, OFF_STEP: price or size is no whole number of ticks or lots; kept, rounded for sums, counted."""

    VALID_TICK = 1
    SPREAD_LEG = 2
    EXTENDED_HOURS = 4
    OFF_TICK = 8
    OFF_STEP = 16
    BACKFILL = 32


@dataclass(frozen=True)
class Contract:
    """One tradable instrument.

    tick_size   smallest price step, in price units          size_step  smallest size, in contracts (1 for futures, 0.001 for some crypto)
    multiplier  currency value of one point of one contract  calendar   name of its session calendar (see sessions.CALENDARS)

    >>> es = Contract("ES", "/ESZ6", "/ESZ26:XCME", "CME", tick_size=0.25, multiplier=50)
    >>> es.ticks(6000.25), es.price(24001)
    (24001, 6000.25)
    """

    root: str
    symbol: str
    streamer_symbol: str = ""
    exchange: str = ""
    tick_size: float = 0.01
    size_step: float = 1.0
    multiplier: float = 1.0
    expiry: date | None = None
    is_active: bool = True
    calendar: str = "CME Globex Equity"

    def __post_init__(self) -> None:
        for name in ("tick_size", "size_step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{self.symbol}: {name} is {value!r}; it must be a number above 0")

    @cached_property
    def tick_ratio(self) -> tuple[int, int]:
        """The tick size as a fraction of whole numbers, so that ticks -> price rounds once: price = ticks * numerator / denominator."""
        return Decimal(repr(self.tick_size)).as_integer_ratio()

    @cached_property
    def step_ratio(self) -> tuple[int, int]:
        """The size step as a fraction of whole numbers."""
        return Decimal(repr(self.size_step)).as_integer_ratio()

    @overload
    def ticks(self, price: float) -> int: ...
    @overload
    def ticks(self, price: Array) -> Int64: ...
    def ticks(self, price: float | Array) -> int | Int64:
        """The nearest whole number of ticks to a price (or an array of prices)."""
        found: int | Int64 = _whole(price, self.tick_ratio)
        return found

    @overload
    def price(self, ticks: int) -> float: ...
    @overload
    def price(self, ticks: Array) -> NDArray[np.float64]: ...
    def price(self, ticks: int | Array) -> float | NDArray[np.float64]:
        """The price of a count of ticks: exactly the float its decimal text reads as."""
        found: float | NDArray[np.float64] = _steps(ticks) * self.tick_ratio[0] / self.tick_ratio[1]
        return found

    def lots(self, size: float) -> int:
        """The nearest whole number of size steps to a size."""
        return int(_whole(size, self.step_ratio))

    @overload
    def size(self, lots: int) -> float: ...
    @overload
    def size(self, lots: Array) -> NDArray[np.float64]: ...
    def size(self, lots: int | Array) -> float | NDArray[np.float64]:
        """The size of a count of lots, in contracts."""
        found: float | NDArray[np.float64] = _steps(lots) * self.step_ratio[0] / self.step_ratio[1]
        return found


def _steps(count: Any) -> Any:
    return count.astype(np.int64) if isinstance(count, np.ndarray) else count


def _whole(value: Any, ratio: tuple[int, int]) -> Any:
    steps = np.rint(value * ratio[1] / ratio[0])
    return steps.astype(np.int64) if isinstance(steps, np.ndarray) else int(steps)


_LONGEST = {"d": 366, "w": 53, "mo": 12}  # a year: sessions are known for some twenty only, and a bar needs some on either side
_UNIT_NS = {"s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_TIMEFRAME = re.compile(r"([1-9][0-9]{0,8})(mo|[smhdwtvr])")


@dataclass(frozen=True)
class Timeframe:
    """How long a bar is: time (`s m h d w mo`), trades (`t`), volume in contracts (`v`), range in ticks (`r`).

    >>> Timeframe.parse("15m").ns, str(Timeframe.parse("1mo")), Timeframe.parse("133t").is_time
    (900000000000, '1mo', False)
    """

    n: int
    unit: Literal["s", "m", "h", "d", "w", "mo", "t", "v", "r"]

    @classmethod
    def parse(cls, text: str | Timeframe) -> Timeframe:
        """Read '5s', '1m', '1h', '1d', '1w', '1mo', '133t', '1000v' or '8r'. Anything else: UnsupportedTimeframe."""
        if isinstance(text, Timeframe):
            return text
        match = _TIMEFRAME.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise UnsupportedTimeframe(f"timeframe {text!r} is not a number followed by s m h d w mo t v r")
        found: Any = match[2]
        frame = cls(int(match[1]), found)
        if frame.is_intraday and frame.ns > 24 * _UNIT_NS["h"]:
            raise UnsupportedTimeframe(f"timeframe {text!r} is longer than a session; use d, w or mo")
        if frame.n > _LONGEST.get(frame.unit, frame.n):
            raise UnsupportedTimeframe(f"timeframe {text!r} is longer than a year; up to 366d, 53w or 12mo is accepted")
        return frame

    def __str__(self) -> str:
        return f"{self.n}{self.unit}"

    @property
    def is_intraday(self) -> bool:
        """True for s, m and h."""
        return self.unit in _UNIT_NS

    @property
    def is_time(self) -> bool:
        """True where the clock closes bars, False where trades do (t, v, r)."""
        return self.unit not in ("t", "v", "r")

    @property
    def ns(self) -> int:
        """Length in nanoseconds; only s, m and h have one."""
        if not self.is_intraday:
            raise UnsupportedTimeframe(f"timeframe '{self}' has no fixed length; s, m and h have")
        return self.n * _UNIT_NS[self.unit]


COLUMNS: Mapping[str, Any] = {
    "time_ns": np.int64,
    "received_ns": np.int64,
    "index": np.int64,
    "ticks": np.int32,
    "lots": np.int64,
    "price": np.float64,
    "size": np.float64,
    "bid": np.float64,
    "ask": np.float64,
    "side": np.int8,
    "side_source": np.int8,
    "action": np.int8,
    "flags": np.uint16,
}
"""The columns of a TradeBatch and their types."""

_RANGES = {"side": (-1, 1), "side_source": (0, 3), "action": (0, 2)}
_DEFAULTS = {"received_ns": 0, "index": -1, "bid": np.nan, "ask": np.nan, "side": 0, "action": 0, "flags": int(TradeFlag.VALID_TICK)}


@dataclass(frozen=True, slots=True)
class Trade:
    """One print. Prices in price units, size in contracts, times in UTC ns; `index` None where the vendor has none, bid and ask None where not sent."""

    contract: Contract
    time_ns: int
    received_ns: int
    index: int | None
    price: float
    size: float
    bid: float | None
    ask: float | None
    side: AggressorSide
    side_source: SideSource
    action: Action
    flags: TradeFlag


def check_contract(value: object) -> None:
    """UsageError for what is no Contract, such as a symbol.

    >>> check_contract(Contract("ES", "/ESZ6"))
    """
    if not isinstance(value, Contract):
        symbol = value if isinstance(value, str) else "ES"
        raise UsageError(f"{value!r} is a {type(value).__name__}; a Contract is accepted: await provider.resolve({symbol!r})")


class TradeBatch:
    """The trades of one or more messages read in one go, as numpy columns (`COLUMNS`), all of one contract and one length.

    `time_ns`, `price` and `size` are needed; what else is missing is filled in: ticks and lots from price and size, side UNKNOWN, index -1.
    Each column is an attribute: `batch.side`. Columns are shared, not copied: treat them as read-only. MissingColumns or UsageError where they do not fit.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> batch = TradeBatch(es, {"time_ns": [1, 2], "price": [6000.0, 6000.25], "size": [2.0, 1.0], "side": [1, -1]})
    >>> len(batch), batch.ticks.tolist(), [trade.side.name for trade in batch]
    (2, [24000, 24001], ['BUY', 'SELL'])
    """

    __slots__ = ("columns", "contract")

    time_ns: Int64
    received_ns: Int64
    index: Int64
    ticks: NDArray[np.int32]
    lots: Int64
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    side: NDArray[np.int8]
    side_source: NDArray[np.int8]
    action: NDArray[np.int8]
    flags: NDArray[np.uint16]

    def __init__(self, contract: Contract, columns: Mapping[str, Any]) -> None:
        self.contract = contract
        self.columns: Mapping[str, Array] = _filled(contract, columns)

    @classmethod
    def of(cls, contract: Contract, columns: Mapping[str, Array]) -> TradeBatch:
        """A batch of columns known to be right: all of `COLUMNS`, of their types and one length. Nothing is looked at, which is what makes it fast."""
        batch = cls.__new__(cls)
        batch.contract, batch.columns = contract, columns
        return batch

    def __getattr__(self, name: str) -> Any:
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(f"a TradeBatch has no column {name!r}; it has {', '.join(COLUMNS)}") from None

    def __getstate__(self) -> tuple[Contract, dict[str, Array]]:
        return self.contract, dict(self.columns)

    def __setstate__(self, state: tuple[Contract, dict[str, Array]]) -> None:
        self.contract, self.columns = state

    def __len__(self) -> int:
        return len(self.columns["time_ns"])

    def __repr__(self) -> str:
        return f"<TradeBatch {self.contract.symbol} {len(self)} trades>"

    def __getitem__(self, rows: slice | Array) -> TradeBatch:
        return TradeBatch.of(self.contract, {name: column[rows] for name, column in self.columns.items()})

    def __iter__(self) -> Iterator[Trade]:
        c = {name: column.tolist() for name, column in self.columns.items()}
        for i in range(len(self)):
            yield Trade(
                self.contract,
                c["time_ns"][i],
                c["received_ns"][i],
                None if c["index"][i] < 0 else c["index"][i],
                c["price"][i],
                c["size"][i],
                None if math.isnan(c["bid"][i]) else c["bid"][i],
                None if math.isnan(c["ask"][i]) else c["ask"][i],
                AggressorSide(c["side"][i]),
                SideSource(c["side_source"][i]),
                Action(c["action"][i]),
                TradeFlag(c["flags"][i]),
            )

    def replace(self, **columns: Array) -> TradeBatch:
        """The same batch with some columns exchanged."""
        return TradeBatch.of(self.contract, {**self.columns, **columns})

    @classmethod
    def concat(cls, batches: list[TradeBatch]) -> TradeBatch:
        """Several batches of one contract as one, in the order given."""
        return cls.of(batches[0].contract, {name: np.concatenate([b.columns[name] for b in batches]) for name in COLUMNS})

    def to_dataframe(self) -> pd.DataFrame:
        """A frame with index `time` (datetime64[ns, UTC]) and the columns of the batch."""
        import pandas as pd

        columns = {name: column for name, column in self.columns.items() if name != "time_ns"}
        return pd.DataFrame(columns, index=pd.DatetimeIndex(self.time_ns.view("M8[ns]"), tz="UTC", name="time"))

    @classmethod
    def from_dataframe(cls, df: pd.DataFrame, contract: Contract) -> TradeBatch:
        """Read a frame of trades: time (index or column `time`, aware), price and size are needed, the other columns optional.

        `side` may be 1/0/-1 or BUY/SELL/UNDEFINED/UNKNOWN text; missing is UNKNOWN. Raises MissingColumns or UsageError naming what offended.
        """
        import pandas as pd

        if not isinstance(df, pd.DataFrame):
            raise UsageError(f"{str(df)[:80]} is a {type(df).__name__}; a TradeBatch or a pandas DataFrame of trades is accepted")
        missing = [name for name in ("price", "size") if name not in df.columns]
        if "time" not in df.columns and not isinstance(df.index, pd.DatetimeIndex):
            missing.insert(0, "time")
        if missing:
            raise MissingColumns(f"a frame of trades needs time, price and size; {', '.join(missing)} missing among {list(df.columns)}")
        try:
            time = pd.DatetimeIndex(df["time"]) if "time" in df.columns else df.index
        except (ValueError, TypeError) as error:
            raise UsageError(f"column 'time' of a frame of trades is no time: {str(error)[:120]}") from None
        if not isinstance(time, pd.DatetimeIndex) or time.tz is None or time.hasnans:
            raise UsageError("a frame of trades needs aware times in every row, in its index or in a column 'time'")
        columns = {name: df[name].to_numpy() for name in COLUMNS if name in df.columns and name != "time_ns"}
        if "side" in columns:
            side = df["side"].astype(object).where(df["side"].notna(), "UNKNOWN")
            words: dict[Any, int] = {"BUY": 1, "SELL": -1, "UNDEFINED": 0, "UNKNOWN": 0}
            codes = side.map(words | {1: 1, 0: 0, -1: -1})
            if codes.isna().any():
                raise UsageError(f"side {side[codes.isna()].iloc[0]!r} is none of 1, 0, -1, {', '.join(words)}")
            columns["side"] = codes.to_numpy(np.int8)
        return cls(contract, {"time_ns": time.tz_convert("UTC").as_unit("ns").asi8, **columns})


def _column(name: str, values: Any) -> Array:
    """One column in its type, shared where it has it already. A value that the type cannot hold is refused, never rounded or wrapped."""
    kind = np.dtype(COLUMNS[name])
    try:
        given = np.asarray(values)
        with np.errstate(invalid="ignore"):
            column = given.astype(kind, copy=False)
        same = column is given or kind.kind == "f" or bool((column == given).all())
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{name} of a TradeBatch is not readable as {kind}: {str(error)[:120]}") from None
    if column.ndim != 1 or not same:
        raise UsageError(f"{name} of a TradeBatch must be one column of {kind}; {str(values)[:120]} is not")
    return column


def _filled(contract: Contract, given: Mapping[str, Any]) -> dict[str, Array]:
    strange = sorted(given.keys() - COLUMNS.keys())
    missing = [name for name in ("time_ns", "price", "size") if name not in given]
    if strange or missing:
        raise MissingColumns(f"a TradeBatch needs time_ns, price, size and takes {', '.join(COLUMNS)}; missing {missing}, unknown {strange}")
    n = len(given["time_ns"])
    columns = {name: _column(name, given[name]) for name in given}
    if any(len(column) != n for column in columns.values()):
        raise UsageError(f"columns of a TradeBatch differ in length: { {name: len(column) for name, column in columns.items()} }")
    for name, (least, most) in _RANGES.items():
        if n and name in columns and not (least <= columns[name].min() and columns[name].max() <= most):
            raise UsageError(f"{name} of a TradeBatch goes from {columns[name].min()} to {columns[name].max()}; it must be from {least} to {most}")
    for name, value in _DEFAULTS.items():
        if name not in columns:
            columns[name] = np.full(n, value, COLUMNS[name])
    off = np.zeros(n, np.uint16)
    for name, source, ratio, flag in (
        ("ticks", "price", contract.tick_ratio, TradeFlag.OFF_TICK),
        ("lots", "size", contract.step_ratio, TradeFlag.OFF_STEP),
    ):
        if name not in columns:
            steps = columns[source] * ratio[1] / ratio[0]
            limit = float(np.iinfo(COLUMNS[name]).max)
            bad = ~(np.abs(steps) < limit)
            if bad.any():
                at = int(bad.argmax())
                raise UsageError(f"{source} {columns[source][at].item()!r} in row {at} is no finite number of steps of {contract.symbol}")
            columns[name] = np.rint(steps).astype(COLUMNS[name])
            off |= np.where(np.abs(steps - columns[name]) > OFF_STEP_TOLERANCE, np.uint16(flag), np.uint16(0))
    columns["flags"] = columns["flags"] | off
    if "side_source" not in columns:
        columns["side_source"] = np.where(columns["side"] != 0, SideSource.EXCHANGE, SideSource.NONE).astype(np.int8)
    elif ((columns["side"] == 0) != (columns["side_source"] == SideSource.NONE)).any():
        raise UsageError("side_source of a TradeBatch must be NONE where side is UNKNOWN, and only there")
    return {name: columns[name] for name in COLUMNS}


OFF_STEP_TOLERANCE = 1e-4
"""A price or size further than this share of a step from a whole step is marked OFF_TICK or OFF_STEP."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask, in price units and contracts; None where that side of the book is empty or was not sent."""

    contract: Contract
    time_ns: int
    received_ns: int
    bid: float | None
    ask: float | None
    bid_size: float | None
    ask_size: float | None


def _decimal(size: float) -> float:
    """`kernels.decimal` for one number, which needs no numpy: a difference of sizes as the float nearest its nine decimals."""
    return round(size * 1e9) / 1e9 if abs(size) < 9e6 else size


@dataclass(frozen=True, slots=True)
class Bar:
    """Trades from `start_ns` up to, not including, `end_ns`. Prices in price units, volumes in contracts.

    buy_volume, sell_volume, min_delta, max_delta are None where the source cannot know; min_delta <= 0 <= max_delta, the delta's own extremes in the bar.
    session is the label date. delta_source says how sides were found. complete is False where a gap touches the bar. revision counts re-issues.
    bar_no counts from 0 within a session. An open of None marks a bar that corrections left without trades.
    """

    contract: Contract
    timeframe: Timeframe
    start_ns: int
    end_ns: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float
    buy_volume: float | None
    sell_volume: float | None
    trades: int | None
    vwap: float | None
    min_delta: float | None
    max_delta: float | None
    session: date
    delta_source: str
    complete: bool = True
    revision: int = 0
    bar_no: int = 0

    @property
    def delta(self) -> float | None:
        """Volume delta in contracts: bought minus sold."""
        return None if self.buy_volume is None or self.sell_volume is None else _decimal(self.buy_volume - self.sell_volume)

    @property
    def unknown_volume(self) -> float | None:
        """Volume whose aggressor no rule could tell, in contracts."""
        return None if self.buy_volume is None or self.sell_volume is None else _decimal(self.volume - self.buy_volume - self.sell_volume)


@dataclass(frozen=True, slots=True)
class Summary:
    """The day's figures of a contract; None where the feed did not send one. Prices in price units, volume in contracts, turnover in currency."""

    contract: Contract
    time_ns: int
    received_ns: int
    day_open: float | None = None
    day_high: float | None = None
    day_low: float | None = None
    day_close: float | None = None
    previous_close: float | None = None
    volume: float | None = None
    turnover: float | None = None
    vwap: float | None = None
    change: float | None = None
    tick_direction: str | None = None
    open_interest: float | None = None
    high_limit: float | None = None
    low_limit: float | None = None
    status: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval [start_ns, end_ns) in which trades of a contract may be missing, and why. `filled` is True once they were fetched after all."""

    contract: Contract
    start_ns: int
    end_ns: int
    reason: str
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Roll:
    """From `time_ns` on the front month is another contract."""

    old: Contract
    new: Contract
    time_ns: int
