"""Bars, footprint and CVD of a finished stretch of trades, in one pass of the kernel; and how kernel rows become surface values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from . import kernels as k
from .errors import UsageError
from .forming import Forming
from .grid import Grid
from .ledger import Ledger, countable
from .levels import grouped, millionths, profile
from .model import Array, Contract, Int64, Timeframe, TradeBatch, TradeFlag, check_contract
from .sessions import parse_reset

if TYPE_CHECKING:
    import pandas as pd

SOURCES = ("time_and_sale", "quote_trade", "tick_rule", "none", "candle")
"""`delta_source` of a bar. Made of trades: where most of its sided volume got its side (exchange flag, quote, tick rule), or none.
candle: its bought and sold volume are those of the feed's own candle."""

TO_KERNEL = ("ticks", "lots", "side", "side_source")
_TO_SURVEY = ("time_ns", "index", "lots", "action", "flags")
_PIECE = 1 << 17  # trades looked at and then added up: what the look has read is still in the processor's cache, 11 % less time over 20 million
_TOO_LARGE = 2.0**63
_PRICES = {"open": k.OPEN, "high": k.HIGH, "low": k.LOW, "close": k.CLOSE}


@dataclass(frozen=True, eq=False)
class Footprint:
    """Volume by price in a bar: one row a level that traded, prices ascending. `ticks` int64; `sell`, `unknown`, `buy` int64 lots.

    Rows may hold several ticks (`grouped`); `ticks` is then the lowest of each.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> found = Footprint.of(es, np.array([[24000, 4, 0, 1], [24001, 2, 1, 6], [24002, 0, 0, 1]]))  # ticks, sell, unknown, buy
    >>> found.poc, found.value_area(0.7), found.delta.tolist()
    (6000.25, (6000.0, 6000.25), [-3, 4, 1])
    """

    contract: Contract
    ticks: Int64
    sell: Int64
    unknown: Int64
    buy: Int64
    ticks_per_row: int = 1

    @classmethod
    def of(cls, contract: Contract, cells: Array, ticks_per_row: int = 1) -> Footprint:
        """From rows that end in (ticks, sell, unknown, buy); rows of one price are added up."""
        ticks, place = np.unique(cells[:, -4], return_inverse=True)
        sums = np.zeros((len(ticks), 3), np.int64)
        np.add.at(sums, place, cells[:, -3:])
        sell, unknown, buy = (np.ascontiguousarray(sums[:, i]) for i in range(3))
        return cls(contract, ticks, sell, unknown, buy, ticks_per_row)

    @classmethod
    def merged(cls, contract: Contract, footprints: Sequence[Footprint]) -> Footprint:
        """The footprint of several bars together. UsageError where their rows are not equally high."""
        heights = {f.ticks_per_row for f in footprints} or {1}
        if len(heights) > 1:
            raise UsageError(f"footprints with rows of {sorted(heights)} ticks cannot be merged; group them alike first")
        cells = [f.cells[:, 1:] for f in footprints]
        return cls.of(contract, np.concatenate(cells) if cells else np.empty((0, 4), np.int64), heights.pop())

    def grouped(self, ticks_per_row: int) -> Footprint:
        """The same in rows of several ticks, from whole multiples of that many up. UsageError where the present rows do not go into them."""
        if ticks_per_row < 1 or ticks_per_row % self.ticks_per_row:
            raise UsageError(f"ticks_per_row {ticks_per_row!r} is no whole multiple of the {self.ticks_per_row} that rows hold")
        _, ticks, sell, unknown, buy = (np.ascontiguousarray(column) for column in grouped(self.cells, ticks_per_row).T)
        return Footprint(self.contract, ticks, sell, unknown, buy, ticks_per_row)

    @cached_property
    def cells(self) -> Array:
        """Rows (0, ticks, sell, unknown, buy), as `BarHistory.cells` has them."""
        return np.column_stack([np.zeros(len(self.ticks), np.int64), self.ticks, self.sell, self.unknown, self.buy])

    @property
    def volume(self) -> Int64:
        """Lots by level."""
        return self.sell + self.unknown + self.buy

    @property
    def delta(self) -> Int64:
        """Lots bought minus sold by level."""
        return self.buy - self.sell

    @cached_property
    def poc(self) -> float | None:
        """Point of control: the price with most volume; of equals the one nearest the middle of the range, then the lower. None without trades."""
        return None if len(self.ticks) == 0 else self.contract.price(self._profile(0)[0])

    def value_area(self, share: float = 0.7) -> tuple[float, float] | None:
        """Lowest and highest price of the value area: from the POC on, always the larger of the next price above and below, of equals above, until
        it holds `share` of the volume. Prices are those of rows. None without trades.
        """
        if not 0 <= share <= 1:
            raise UsageError(f"share {share!r} of a value area is not from 0 to 1")
        if len(self.ticks) == 0:
            return None
        _, low, high = self._profile(millionths(share))
        return self.contract.price(low), self.contract.price(high)

    def _profile(self, share: int) -> list[int]:
        out = np.empty((1, 3), np.int64)
        profile(np.array([0, len(self.ticks)]), self.ticks, self.volume, self.ticks_per_row, share, out)
        found: list[int] = out[0].tolist()
        return found

    def to_dataframe(self) -> pd.DataFrame:
        """Index `price`; buy_volume, sell_volume, unknown_volume, delta in contracts."""
        import pandas as pd

        size = self.contract.size
        columns = {
            "buy_volume": size(self.buy),
            "sell_volume": size(self.sell),
            "unknown_volume": size(self.unknown),
            "delta": size(self.delta),
        }
        return pd.DataFrame(columns, index=pd.Index(self.contract.price(self.ticks), name="price"))


def bar_columns(contract: Contract, label: Int64, rows: Array) -> dict[str, Array]:
    """The surface values of closed bars: kernel rows (n x BAR_WIDTH) in ticks and lots -> columns in price units and contracts; NaN without trades.

    vwap is NaN too where a bar is so large and so wide that its sum may not have fitted.
    """
    volume = rows[:, k.SELL] + rows[:, k.UNKNOWN] + rows[:, k.BUY]
    traded = volume > 0
    tick, step = contract.tick_ratio, contract.size
    with np.errstate(invalid="ignore", divide="ignore"):
        vwap = (rows[:, k.OPEN] + rows[:, k.NOTIONAL] / volume) * tick[0] / tick[1]
        vwap[volume * (rows[:, k.HIGH] - rows[:, k.LOW]).astype(np.float64) >= _TOO_LARGE] = np.nan
    prices = {name: np.where(traded, contract.price(rows[:, at]), np.nan) for name, at in _PRICES.items()}
    by_source = rows[:, k.BY_EXCHANGE : k.BY_TICK + 1]
    return {
        **prices,
        "volume": step(volume),
        "buy_volume": step(rows[:, k.BUY]),
        "sell_volume": step(rows[:, k.SELL]),
        "trades": rows[:, k.TRADES],
        "vwap": vwap,
        "min_delta": step(rows[:, k.MIN_DELTA]),
        "max_delta": step(rows[:, k.MAX_DELTA]),
        "session": label.astype("M8[D]"),
        "delta_source": np.where(by_source.any(axis=1), by_source.argmax(axis=1), 3),
    }


@dataclass(frozen=True, eq=False)
class BarHistory:
    """Bars, footprint and CVD of a stretch of trades, from one pass of the kernel. `rows` and `cells` are its integer output."""

    contract: Contract
    timeframe: Timeframe
    rows: Array
    cells: Array
    label: Int64
    segment: Int64

    def ticks(self, name: Literal["open", "high", "low", "close"]) -> Int64:
        """A price of each bar, in ticks."""
        return np.ascontiguousarray(self.rows[:, _PRICES[name]])

    def bars(self) -> pd.DataFrame:
        """The bars frame (index `time`: bar start), the last bar as far as the trades go."""
        import pandas as pd

        columns = bar_columns(self.contract, self.label, self.rows)
        columns["session"] = columns["session"].astype("M8[ns]")
        frame = pd.DataFrame(columns, index=self.time)
        frame["delta_source"] = pd.Categorical.from_codes(columns["delta_source"].astype(np.int8), pd.Index(SOURCES))
        frame["complete"], frame["revision"] = True, 0
        if not self.timeframe.is_time:
            frame["bar_no"] = self.rows[:, k.BAR_NO]
        frame.attrs |= {"symbol": self.contract.symbol, "tick_size": self.contract.tick_size, "calendar": self.contract.calendar}
        return frame

    def cvd(self) -> Array:
        """Open, high, low, close of CVD in each bar, in contracts (n x 4)."""
        out = np.empty((len(self.rows), 4), np.int64)
        rows = self.rows
        state = np.zeros(2, np.int64)
        k.cumulate(state, self.segment, rows[:, k.BUY] - rows[:, k.SELL], rows[:, k.MIN_DELTA], rows[:, k.MAX_DELTA], out)
        return self.contract.size(out)

    def footprint(self, ticks_per_row: int = 1) -> pd.DataFrame:
        """Rows (time, price): buy_volume, sell_volume, unknown_volume, delta in contracts."""
        import pandas as pd

        cells, size = grouped(self.cells, ticks_per_row), self.contract.size
        index = pd.MultiIndex.from_arrays([self.time[cells[:, 0]], self.contract.price(cells[:, 1])], names=["time", "price"])
        columns = {"buy_volume": cells[:, 4], "sell_volume": cells[:, 2], "unknown_volume": cells[:, 3], "delta": cells[:, 4] - cells[:, 2]}
        return pd.DataFrame({name: size(column) for name, column in columns.items()}, index=index)

    @property
    def time(self) -> pd.DatetimeIndex:
        """Starts of the bars."""
        import pandas as pd

        return pd.DatetimeIndex(
            self.rows[:, k.START].view("M8[ns]") if self.rows.flags.c_contiguous else self.rows[:, k.START].astype("M8[ns]"),
            tz="UTC",
            name="time",
        )


@dataclass(frozen=True, eq=False)
class BarTrades:
    """Bars with the trades they are made of: for what single trades tell and bars do not.

    columns  time_ns, ticks, lots, side, side_source of the trades in order, corrections and cancels applied, spread legs left out
    rows     of the kernel, one a bar; bar by bar they take `volume` lots off the trades, after `skip` lots in front that belong to none of them.
             What a volume bar splits lies in two bars
    """

    contract: Contract
    columns: Mapping[str, Array]
    rows: Array
    skip: int = 0

    @property
    def volume(self) -> Int64:
        """Lots of each bar."""
        found: Int64 = self.rows[:, k.SELL : k.BUY + 1].sum(axis=1)
        return found

    @property
    def high(self) -> Int64:
        """Highest price of each bar, in ticks."""
        return np.ascontiguousarray(self.rows[:, k.HIGH])

    @property
    def low(self) -> Int64:
        """Lowest price of each bar, in ticks."""
        return np.ascontiguousarray(self.rows[:, k.LOW])

    @property
    def session_ns(self) -> Int64:
        """Open of the session (of a day, week or month bar: its own) that each bar belongs to, UTC ns."""
        return np.ascontiguousarray(self.rows[:, k.SESSION])


def _batch(trades: TradeBatch | pd.DataFrame, contract: Contract) -> TradeBatch:
    check_contract(contract)
    return trades if isinstance(trades, TradeBatch) else TradeBatch.from_dataframe(trades, contract)


def in_order(trades: TradeBatch | pd.DataFrame, contract: Contract) -> Mapping[str, Array]:
    """Columns time_ns, ticks, lots, side, side_source of trades in any order: in order, corrections and cancels applied, spread legs left out."""
    batch = _batch(trades, contract)
    if _is_ready(batch.columns, 0, len(batch)):
        return batch.columns
    ledger = Ledger()
    ledger.add(countable(batch))
    return {name: getattr(ledger, name) for name in ("time_ns", *TO_KERNEL)}


def build_history(trades: TradeBatch | pd.DataFrame, timeframe: str | Timeframe, contract: Contract, reset: str = "session_open") -> BarHistory:
    """Bars, footprint and CVD of trades in any order, corrections and cancels applied, spread legs left out: the state a BarBuilder would end in."""
    batch = _batch(trades, contract)
    frame, anchor = Timeframe.parse(timeframe), parse_reset(reset)
    try:
        return _history(batch.columns, frame, contract, anchor, is_sure=False)
    except _OutOfOrderError:
        return _history(in_order(batch, contract), frame, contract, anchor)


def build_bar_trades(trades: TradeBatch | pd.DataFrame, timeframe: str | Timeframe, contract: Contract) -> tuple[BarTrades, BarHistory]:
    """The trades of a stretch in order, beside the bars they make."""
    columns = in_order(trades, contract)
    history = _history(columns, Timeframe.parse(timeframe), contract, "session_open")
    return BarTrades(contract, columns, history.rows), history


class _OutOfOrderError(Exception):
    """Trades that cannot go through the kernel as they are."""


def _history(columns: Mapping[str, Array], frame: Timeframe, contract: Contract, reset: str, *, is_sure: bool = True) -> BarHistory:
    """Of trades in order. Where that is not sure each piece is looked at before it goes through the kernel; _OutOfOrderError says that one was not."""
    time = columns["time_ns"]
    n = len(time)
    if n == 0:
        none = np.empty(0, np.int64)
        return BarHistory(contract, frame, np.empty((0, k.BAR_WIDTH), np.int64), np.empty((0, 5), np.int64), none, none)
    if time[0] > time[-1]:
        raise _OutOfOrderError
    grid = Grid(contract, frame, reset, int(time[0]), int(time[-1]))
    forming = Forming(levels=4096, room=65_536)
    blocks, cells, closed = list[Array](), list[Array](), 0
    for at in range(0, n, _PIECE):
        stop = min(at + _PIECE, n)
        if not (is_sure or (time[stop - 1] <= time[-1] and _is_ready(columns, max(at - 1, 0), stop))):  # the grid ends with the last
            raise _OutOfOrderError
        more, found = forming.run(grid, time[at:stop], *(columns[name][at:stop] for name in TO_KERNEL))
        for block, made in zip(more, found, strict=True):
            made[:, 0] += closed
            blocks.append(block)
            cells.append(made)
        closed += sum(len(block) for block in more)
    row, last = forming.close()
    last[:, 0] += closed
    rows = np.concatenate([*blocks, row])
    return BarHistory(contract, frame, rows, np.concatenate([*cells, last]), grid.session_of(rows[:, k.SESSION]), grid.segment_of(rows[:, k.START]))


def _is_ready(columns: Mapping[str, Array], first: int, stop: int) -> bool:
    """Whether these trades can go through the kernel as they are: in order, each counting once."""
    ordered, some, _ = k.survey(*(columns[name][first:stop] for name in _TO_SURVEY))
    return bool(ordered and not some & TradeFlag.SPREAD_LEG)


def build_bars(trades: TradeBatch | pd.DataFrame, timeframe: str | Timeframe, contract: Contract) -> pd.DataFrame:
    """The bars frame of a stretch of trades; the last bar is as far as they go.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> trades = TradeBatch(es, {"time_ns": [1_767_600_000_000_000_000], "price": [6000.0], "size": [2], "side": [-1]})
    >>> build_bars(trades, "1m", es)[["close", "sell_volume", "min_delta"]].values.tolist()
    [[6000.0, 2.0, -2.0]]
    """
    return build_history(trades, timeframe, contract).bars()


def build_footprint(trades: TradeBatch | pd.DataFrame, timeframe: str | Timeframe, contract: Contract, ticks_per_row: int = 1) -> pd.DataFrame:
    """Volume by price and bar: rows (time, price) with buy_volume, sell_volume, unknown_volume, delta in contracts.

    Over "1d" bars these are the volume profiles of sessions. ticks_per_row: rows of several ticks, named by their lowest price.
    """
    return build_history(trades, timeframe, contract).footprint(ticks_per_row)
