"""Builders of bars and trades that supply what a test does not care about."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd

from tastytrade_provider.model import Bar, Contract, Timeframe, Trade, TradeBatch

ES = Contract("ES", "/ESZ6", "/ESZ26:XCME", "XCME", tick_size=0.25, multiplier=50)
MINUTE_NS = 60_000_000_000
DAYS = {name: pd.Timestamp(f"2026-11-{23 + i}") for i, name in enumerate(("monday", "tuesday", "wednesday", "thursday", "friday"))}
"""Session label dates of one week."""


def opening(day: str = "monday") -> int:
    """14:30 UTC of a weekday, the cash open in Chicago in winter, in ns."""
    return int((DAYS[day] + pd.Timedelta(hours=14, minutes=30)).as_unit("ns").value)


def a_batch(contract: Contract = ES, **columns: Any) -> TradeBatch:
    """Trades a second apart from Monday's cash open, one lot at 6000 each, sides as given. A scalar stands for every row."""
    n = max((len(value) for value in columns.values() if np.ndim(value)), default=1)
    start = opening()
    given = {"time_ns": start + np.arange(n) * 10**9, "price": 6000.0, "size": 1.0} | columns
    return TradeBatch(contract, {name: np.broadcast_to(value, n) for name, value in given.items()})


def a_trade(contract: Contract = ES, **columns: Any) -> Trade:
    """One trade."""
    return next(iter(a_batch(contract, **columns)))


def a_bar(minute: int = 0, *, day: str = "monday", close: float = 6000.0, buy: float | None = 1.0, sell: float | None = 0.0, **other: Any) -> Bar:
    """A closed one-minute bar that starts `minute` minutes after the cash open. Flat at `close` where no other price is given."""
    start = opening(day) + minute * MINUTE_NS
    known = buy is not None and sell is not None
    values: dict[str, Any] = {
        "contract": ES,
        "timeframe": Timeframe(1, "m"),
        "start_ns": start,
        "end_ns": start + MINUTE_NS,
        **dict.fromkeys(("open", "high", "low", "close", "vwap"), close),
        "volume": (buy or 0.0) + (sell or 0.0),
        "buy_volume": buy,
        "sell_volume": sell,
        "trades": 1,
        "min_delta": min((buy or 0.0) - (sell or 0.0), 0.0) if known else None,
        "max_delta": max((buy or 0.0) - (sell or 0.0), 0.0) if known else None,
        "session": DAYS[day].date(),
        "delta_source": "time_and_sale" if known else "none",
    }
    return Bar(**values | other)


def bars(**sessions: list[tuple[float, float]]) -> pd.DataFrame:
    """A bars frame of weekdays, each a list of (bought, sold), a minute apart, flat at 6000.

    >>> bars(monday=[(5, 2), (1, 4)], tuesday=[(7, 6)])["buy_volume"].tolist()
    [5.0, 1.0, 7.0]
    """
    return frame([a_bar(i, day=day, buy=float(buy), sell=float(sell)) for day, split in sessions.items() for i, (buy, sell) in enumerate(split)])


def frame(closed: list[Bar]) -> pd.DataFrame:
    """The bars frame of Bar values."""
    names = ["open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap", "min_delta", "max_delta"]
    columns: dict[str, Any] = {name: np.array([getattr(bar, name) for bar in closed], np.float64) for name in names}
    columns["session"] = pd.DatetimeIndex([pd.Timestamp(bar.session) for bar in closed]).as_unit("ns")
    columns |= {name: [getattr(bar, name) for bar in closed] for name in ("delta_source", "complete", "revision")}
    start = np.array([bar.start_ns for bar in closed], np.int64)
    return pd.DataFrame(columns, index=pd.DatetimeIndex(start.view("M8[ns]"), tz="UTC", name="time"))


def random_bars(seed: int, n: int, *, unknown: float = 0.0, gaps: float = 0.0) -> list[Bar]:
    """A walk in ticks over five sessions, with a share of bars without a split and of incomplete bars."""
    rng = random.Random(seed)
    found, ticks = [], 24_000
    for i in range(n):
        day = list(DAYS)[i * 5 // n]
        first, close = ticks + rng.randint(-1, 1), ticks + rng.randint(-4, 4)
        high, low = max(first, close) + rng.randint(0, 3), min(first, close) - rng.randint(0, 3)
        buy, sell = (None, None) if rng.random() < unknown else (float(rng.randint(0, 9)), float(rng.randint(0, 9)))
        delta = (buy or 0.0) - (sell or 0.0)
        found.append(
            a_bar(
                i % (n // 5 + 1),
                day=day,
                buy=buy,
                sell=sell,
                open=first / 4,
                high=high / 4,
                low=low / 4,
                close=close / 4,
                volume=(buy or 0.0) + (sell or 0.0) + rng.randint(0, 2),
                min_delta=None if buy is None else min(delta, 0.0) - rng.randint(0, 3),
                max_delta=None if buy is None else max(delta, 0.0) + rng.randint(0, 3),
                complete=rng.random() >= gaps,
            )
        )
        ticks = close
    return sorted(found, key=lambda bar: bar.start_ns)


def random_trades(seed: int, n: int, *, seconds: float = 20.0) -> TradeBatch:
    """Trades of a random walk from Monday's cash open, `seconds` apart on average, with indices and some unknown sides."""
    rng = np.random.default_rng(seed)
    time_ns = opening() + np.cumsum(rng.integers(0, int(2 * seconds * 1e9), n))
    ticks = 24_000 + np.cumsum(rng.integers(-2, 3, n))
    return a_batch(time_ns=time_ns, price=ticks / 4, size=rng.integers(1, 9, n).astype(float), side=rng.integers(-1, 2, n), index=np.arange(n))
