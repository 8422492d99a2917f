"""Bars, footprint and CVD once more, with dicts and loops and nothing of ours: what the kernel is held against. And random tapes to try it on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np

from tastytrade_provider.model import Bar, Contract, TradeBatch

from .builders import ES

CHICAGO = ZoneInfo("America/Chicago")
SECOND, MINUTE, HOUR = 10**9, 60 * 10**9, 3600 * 10**9
EARLY_CLOSES = {"2026-11-26": "12:00", "2026-11-27": "12:15"}
"""CME's published hours of Thanksgiving 2026 for equity indices, Chicago time."""
UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR}

Row = tuple[int, int, int, int]
"""time_ns, ticks, lots, side."""


def utc(text: str) -> int:
    """Nanoseconds of a UTC time such as '2026-03-05T23:00'."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * SECOND


@dataclass
class Session:
    """One Globex equity session: 17:00 Chicago the evening before its label to 16:00, or to the early close of a holiday."""

    label: dt.date
    open_ns: int
    close_ns: int


def sessions(first: str, last: str) -> list[Session]:
    """The sessions labelled from one date to another."""
    found = []
    day = dt.date.fromisoformat(first)
    while day <= dt.date.fromisoformat(last):
        if day.weekday() < 5:
            close = dt.time.fromisoformat(EARLY_CLOSES.get(day.isoformat(), "16:00"))
            begin = dt.datetime.combine(day - dt.timedelta(days=1), dt.time(17), CHICAGO)
            end = dt.datetime.combine(day, close, CHICAGO)
            found.append(Session(day, int(begin.timestamp()) * SECOND, int(end.timestamp()) * SECOND))
        day += dt.timedelta(days=1)
    return found


@dataclass
class Made:
    """A bar as the oracle makes it."""

    start: int
    end: int
    session: dt.date
    prices: list[int] = field(default_factory=list)
    deltas: list[int] = field(default_factory=lambda: [0])
    cells: dict[int, list[int]] = field(default_factory=dict)
    notional: int = 0
    trades: int = 0
    number: int = 0

    def enter(self, ticks: int, lots: int, side: int, counts: bool = True) -> None:
        """Add a trade, or a part of one."""
        self.prices.append(ticks)
        self.deltas.append(self.deltas[-1] + lots * side)
        self.cells.setdefault(ticks, [0, 0, 0])[side + 1] += lots
        self.notional += ticks * lots
        self.trades += counts

    @property
    def volume(self) -> int:
        """Lots so far."""
        return sum(sum(cell) for cell in self.cells.values())

    def summary(self, tick: float = 0.25) -> tuple[object, ...]:
        """What `said` says of a Bar."""
        sell, _, buy = (sum(cell[i] for cell in self.cells.values()) for i in range(3))
        prices = [ticks * tick for ticks in (self.prices[0], max(self.prices), min(self.prices), self.prices[-1])]
        vwap = self.notional / self.volume * tick
        return (self.start, self.session, *prices, self.volume, buy, sell, self.trades, vwap, min(self.deltas), max(self.deltas), self.number)


def said(bar: Bar) -> tuple[object, ...]:
    """The numbers of a Bar."""
    return (
        bar.start_ns, bar.session, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.buy_volume, bar.sell_volume,
        bar.trades, bar.vwap, bar.min_delta, bar.max_delta, bar.bar_no,
    )  # fmt: skip


def made_bars(rows: Iterable[Row], n: int, unit: str, calendar: list[Session]) -> list[Made]:
    """Bars of trades in order."""
    bars: list[Made] = []
    for time, ticks, lots, side in rows:
        at = max(i for i, session in enumerate(calendar) if session.open_ns <= time)
        here, after = calendar[at], calendar[at + 1]
        start, end = time, after.open_ns
        if unit in UNITS:
            low, high = (here.open_ns, here.close_ns) if time < here.close_ns else (here.close_ns, after.open_ns)
            grid = here.open_ns + (time - here.open_ns) // (n * UNITS[unit]) * n * UNITS[unit]
            start, end = max(grid, low), min(grid + n * UNITS[unit], high)
        elif unit in ("d", "w", "mo"):
            inside = [s for s in calendar if _period(s.label, unit) == _period(here.label, unit)]
            start, here = inside[0].open_ns, inside[0]
        left, counts = lots, True
        while left:
            last = bars[-1] if bars else None
            if unit in ("t", "v", "r"):
                full = last is None or last.session != here.label
                full = full or (unit == "t" and last is not None and last.trades == n)
                full = full or (unit == "v" and last is not None and last.volume == n)
                full = full or (unit == "r" and last is not None and max(*last.prices, ticks) - min(*last.prices, ticks) > n)
            else:
                full = last is None or last.start != start
            if full:
                number = 0 if unit not in ("t", "v", "r") or last is None or last.session != here.label else last.number + 1
                last = Made(start, end, here.label, number=number)
                bars.append(last)
            assert last is not None
            part = min(left, n - last.volume) if unit == "v" else left
            last.enter(ticks, part, side, counts)
            left, counts = left - part, False
    return bars


def _period(label: dt.date, unit: str) -> tuple[int, ...]:
    if unit == "d":
        return (label.toordinal(),)
    return label.isocalendar()[:2] if unit == "w" else (label.year, label.month)


def made_cvd(bars: list[Made], resets: list[int]) -> list[tuple[int, int, int, int]]:
    """Open, high, low, close of the running delta, which starts anew at the first bar at or after each reset."""
    out, total, segment = [], 0, 0
    for bar in bars:
        latest = max((reset for reset in resets if reset <= bar.start), default=0)
        if latest != segment:
            total, segment = 0, latest
        out.append((total, total + max(bar.deltas), total + min(bar.deltas), total + bar.deltas[-1]))
        total += bar.deltas[-1]
    return out


def index_of(time_ns: int, sequence: int) -> int:
    """A trade's index as dxFeed makes it: seconds << 32 | milliseconds << 22 | sequence."""
    return (time_ns // SECOND << 32) | (time_ns // 10**6 % 1000 << 22) | sequence


def a_tape(rng: np.random.Generator, n: int, calendar: list[Session], contract: Contract = ES) -> TradeBatch:
    """Random trades inside sessions, some exactly on their bounds, some in the same nanosecond, a few after the close."""
    times = []
    for session in calendar:
        times += rng.integers(session.open_ns, session.close_ns, n // len(calendar)).tolist()
        cluster = rng.integers(session.open_ns, session.close_ns - MINUTE)
        times += (cluster + rng.integers(0, 20 * SECOND, n // len(calendar)) // 10**6 * 10**6).tolist()
        times += [t for t in (session.open_ns, session.close_ns - 1, session.close_ns, session.close_ns + 90 * SECOND) if rng.random() < 0.5]
    ordered = np.sort(np.array(times, np.int64))
    ticks = 24_000 + np.cumsum(rng.integers(-3, 4, len(ordered)) * (rng.random(len(ordered)) < 0.4)).astype(np.int64)
    index = [index_of(time, sequence) for sequence, time in enumerate(ordered.tolist())]
    columns = {
        "time_ns": ordered, "index": index, "price": ticks * 0.25, "size": rng.choice([1, 1, 1, 2, 3, 7, 40], len(ordered)),
        "side": rng.choice([1, -1, 0], len(ordered), p=[0.48, 0.48, 0.04]),
    }  # fmt: skip
    return TradeBatch(contract, columns)


def rows_of(batch: TradeBatch) -> list[Row]:
    """The trades of a batch as the oracle takes them."""
    return list(zip(batch.time_ns.tolist(), batch.ticks.tolist(), batch.lots.tolist(), batch.side.tolist(), strict=True))


def cut(rng: np.random.Generator, batch: TradeBatch, longest: int = 40) -> list[TradeBatch]:
    """The batch in pieces of random length."""
    places = np.cumsum(rng.integers(1, longest, len(batch)))
    return [batch[int(a) : int(b)] for a, b in zip([0, *places], [*places, len(batch)], strict=True) if a < len(batch)]
