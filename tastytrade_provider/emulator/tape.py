"""A recorded market: a file of prints, with or without quotes, as a source.

The clock of a tape is its exchange time: rows are sorted by it, equal times stay in the file's order. Read with `load_tape`.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tastytrade_provider.emulator.instruments import PRODUCTS, contract_named, front_month
from tastytrade_provider.emulator.source import Numbering, Print, QuoteChange
from tastytrade_provider.emulator.tape_file import Rows, read_rows
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Action, AggressorSide, Contract

_FUTURE_IN_NAME = re.compile(r"/?([a-z0-9]{1,3}?)_?([fghjkmnquvxz]\d{1,2})(?![a-z0-9])", re.IGNORECASE)
_MOST_DECIMALS = 9


@dataclass(frozen=True, eq=False)
class Tape:
    """One contract's prints and quotes, in exchange time; a source. `len(tape)` counts the prints, corrections and cancels among them.

    assumed  what the file did not say and was supposed, a sentence each
    """

    contract: Contract
    rows: Rows = field(repr=False)
    assumed: tuple[str, ...] = ()

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """The one contract."""
        return (self.contract,)

    @property
    def start_ns(self) -> int:
        """Time of the first row."""
        return int(self.rows.time_ns[0])

    @property
    def end_ns(self) -> int:
        """Time of the last row."""
        return int(self.rows.time_ns[-1])

    @property
    def is_endless(self) -> bool:
        """False."""
        return False

    def __len__(self) -> int:
        return int(self.rows.is_trade.sum())

    def __iter__(self) -> Iterator[Print | QuoteChange]:
        rows, number = self.rows, Numbering()
        known: dict[int, tuple[int, int]] = {}  # the file's own index -> index on the wire, time
        standing: tuple[float, float, float, float] | None = None
        columns = (rows.time_ns, rows.is_trade, rows.price, rows.size, rows.side, rows.action, rows.index)
        quotes = zip(rows.bid.tolist(), rows.ask.tolist(), rows.bid_size.tolist(), rows.ask_size.tolist(), strict=True)
        for (at_ns, is_trade, price, size, side, action, name), quote in zip(zip(*(column.tolist() for column in columns), strict=True), quotes, strict=True):
            if not (is_trade and rows.has_quote_rows) and _is_news(quote, standing):
                standing = quote
                yield QuoteChange(self.contract, at_ns, *quote)
            if not is_trade:
                continue
            if action == Action.NEW:
                index, time_ns = known[name] = number(at_ns), at_ns
            else:
                index, time_ns = known.get(name, (name, at_ns))
            yield Print(self.contract, at_ns, time_ns, index, price, size, AggressorSide(side), *quote, Action(action))


def _is_news(quote: tuple[float, float, float, float], standing: tuple[float, float, float, float] | None) -> bool:
    return quote != standing and not (math.isnan(quote[0]) and math.isnan(quote[1]))


def load_tape(
    path: str | Path,
    symbol: str | None = None,
    tick_size: float | None = None,
    size_step: float | None = None,
    calendar: str | None = None,
) -> Tape:
    """Read a tape: CSV, CSV.gz or Parquet with a header.

    Columns: `time_ns` or `ts_event_ns` (UTC nanoseconds) or `exch_ms` (milliseconds); `price size`; optional `side` (BUY, SELL, UNDEFINED)
    `bid ask bidsz asksz`; `kind` T or Q where quotes are rows of their own: then a print carries the last quote from before its exchange
    time. `type` (NEW, CORRECTION, CANCEL) with `index`, which names the print that a later row is about.

    symbol     'ESH4', '/ESH24:XCME', a root ('ES': its front month on that day) or anything else, which then is no future.
               None: from the file's name, if it begins like es_h4 or ESZ6, else its first word.
    tick_size, size_step, calendar   None: by the product; for what is no future the greatest common step of the prices and of the sizes
               (1 at most), and "24/7".

    Raises UsageError naming the file, the line and what would be accepted.
    """
    path = Path(path)
    rows = read_rows(path)
    day = dt.date(1970, 1, 1) + dt.timedelta(days=int(rows.time_ns[0]) // 86_400_000_000_000)
    assumed: list[str] = []
    contract = _contract(symbol or _symbol_in(path, assumed), day, rows, assumed, tick_size, size_step)
    if calendar is not None:
        contract = replace(contract, calendar=calendar)
    elif not contract.symbol.startswith("/"):
        assumed.append("the market never closes: calendar 24/7")
    return Tape(contract, rows, tuple(assumed))


def _symbol_in(path: Path, assumed: list[str]) -> str:
    stem = path.name.split(".", 1)[0]
    match = _FUTURE_IN_NAME.match(stem)
    is_future = match is not None and match[1].upper() in PRODUCTS
    symbol = "".join(match.groups()) if match and is_future else (re.findall(r"[A-Za-z0-9]+", stem) or ["tape"])[0]
    symbol = symbol.upper()
    assumed.append(f"symbol {symbol}, from the name of the file")
    return symbol


def _contract(symbol: str, day: dt.date, rows: Rows, assumed: list[str], tick_size: float | None, size_step: float | None) -> Contract:
    if symbol.upper() in PRODUCTS:
        contract = front_month(symbol.upper(), day)
        assumed.append(f"{symbol} is its front month on {day}: {contract.symbol}")
    elif symbol.startswith("/") or ((match := _FUTURE_IN_NAME.fullmatch(symbol)) and match[1].upper() in PRODUCTS):
        contract = contract_named(symbol, day)
    else:
        if tick_size is None:
            trades = rows.is_trade
            tick_size = _common_step(np.concatenate((rows.price[trades], rows.bid, rows.ask)), "tick size", symbol)
            assumed.append(f"tick size {tick_size:g}, the greatest common step of the prices")
        if size_step is None:
            size_step = min(_common_step(rows.size[rows.is_trade], "size step", symbol), 1.0)
            assumed.append(f"size step {size_step:g}, the greatest common step of the sizes, 1 at most")
        contract = Contract(symbol, symbol, symbol, calendar="24/7", tick_size=tick_size, size_step=size_step)
    return replace(contract, tick_size=tick_size or contract.tick_size, size_step=size_step or contract.size_step)


def _common_step(values: NDArray[np.float64], what: str, symbol: str) -> float:
    values = np.unique(np.abs(values[np.isfinite(values) & (values != 0)]))
    for decimals in range(_MOST_DECIMALS + 1):
        scaled = values * 10.0**decimals
        if np.all(np.abs(scaled - np.rint(scaled)) < 1e-4):
            # one value alone has no step but itself: then the last decimal counts
            steps = int(np.gcd.reduce(np.rint(scaled).astype(np.int64))) if len(values) > 1 else 1
            return float(steps / 10**decimals)
    raise UsageError(f"{symbol}: the values have no common step of up to {_MOST_DECIMALS} decimals; say the {what}")
