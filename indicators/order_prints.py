"""Prints of one order rejoined: an order that meets several resting ones is reported print by print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tastytrade_provider.bars import in_order
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Contract, TradeBatch

from .columns import Int64


def begins(columns: Mapping[str, Any]) -> Any:
    """Per print, whether it is the first of its order: another exchange time or side than the print before it, or a side nobody told.

    Two orders of one side that follow each other within the resolution of the exchange time (dxFeed: a millisecond) are taken for one.
    """
    time, side = columns["time_ns"], columns["side"]
    first = np.ones(len(time), bool)
    first[1:] = (time[1:] != time[:-1]) | (side[1:] != side[:-1]) | (side[1:] == 0)
    return first


def whole(columns: Mapping[str, Any], first: Any) -> Int64:
    """Per print, the lots of its order; `first` marks where orders begin."""
    starts = np.flatnonzero(first)
    return np.repeat(np.add.reduceat(columns["lots"], starts), np.diff(np.append(starts, len(first)))) if len(starts) else np.empty(0, np.int64)


def orders(trades: TradeBatch | pd.DataFrame, contract: Contract | None = None, *, min_size: float = 0) -> pd.DataFrame:
    """Aggressive orders of at least min_size contracts, a row each, from trades in any order.

    Index   time
    Output  side +1, -1, or 0 where nobody told (each such print stands alone); size in contracts; prints; price, their VWAP; first_price, last_price;
            ticks, how far they swept: 0 where all traded at one price

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> prints = {"time_ns": [5, 5, 5, 9], "price": [6000, 6000, 6000.25, 6000], "size": [2, 3, 5, 1], "side": [1, 1, 1, -1]}
    >>> orders(TradeBatch(es, prints))[["side", "size", "prints", "price", "ticks"]].values.tolist()
    [[1.0, 10.0, 3.0, 6000.125, 1.0], [-1.0, 1.0, 1.0, 6000.0, 0.0]]
    """
    if contract is None:
        contract = trades.contract if isinstance(trades, TradeBatch) else trades.attrs.get("contract")
        if contract is None:
            raise UsageError("orders: a frame of trades does not say its contract; give contract=..., or pass a TradeBatch")
    columns = in_order(trades, contract)
    starts = np.flatnonzero(begins(columns))
    ends = np.append(starts[1:], len(columns["lots"]))[: len(starts)] - 1
    ticks, lots = columns["ticks"].astype(np.int64), columns["lots"]
    size = np.add.reduceat(lots, starts) if len(starts) else lots[:0]
    notional = np.add.reduceat(lots * ticks, starts) if len(starts) else lots[:0]
    sweep = np.maximum.reduceat(ticks, starts) - np.minimum.reduceat(ticks, starts) if len(starts) else lots[:0]
    numerator, denominator = contract.tick_ratio
    table = pd.DataFrame(
        {
            "side": columns["side"][starts].astype(np.int64),
            "size": contract.size(size),
            "prints": ends - starts + 1,
            "price": notional / size * numerator / denominator,
            "first_price": contract.price(ticks[starts]),
            "last_price": contract.price(ticks[ends]),
            "ticks": sweep,
        },
        index=pd.DatetimeIndex(columns["time_ns"][starts].view("M8[ns]"), tz="UTC", name="time"),
    )
    return table[table["size"] >= min_size]
