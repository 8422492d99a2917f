"""What is counted of a contract's trades: how many, how fast, by where their side came from, how late. Pure: times are arguments."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

import numpy as np

from ..model import Action, SideSource, TradeBatch

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms, in seconds; above the last is infinity."""

_RATE_S = 5


class Histogram:
    """Counts of durations by `BUCKETS_S`, and their sum in seconds.

    >>> lags = Histogram()
    >>> lags.observe(0.003)
    >>> lags.observe(60.0, 2)
    >>> lags.count, lags.sum_s, lags.cumulative()[2], lags.cumulative()[-1]
    (3, 120.003, 1, 3)
    """

    def __init__(self) -> None:
        self.sum_s = 0.0
        self._counts = [0] * (len(BUCKETS_S) + 1)

    @property
    def count(self) -> int:
        """How many."""
        return sum(self._counts)

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count a duration. One below 0, as between two clocks that differ, counts as 0: a sum that falls would be taken for a restart."""
        self._counts[bisect_left(BUCKETS_S, seconds)] += times
        self.sum_s += max(seconds, 0.0) * times

    def cumulative(self) -> list[int]:
        """How many were at most as long as each bound, infinity last."""
        found: list[int] = np.cumsum(self._counts).tolist()
        return found


class Counts:
    """Of one contract. Cancels are taken off, corrections change nothing here."""

    def __init__(self) -> None:
        self.trades = 0
        self.last_price: float | None = None
        self.lag = Histogram()
        self._sources = np.zeros(len(SideSource), np.int64)
        self._seconds: deque[list[int]] = deque()  # [second of our clock, trades in it]

    def add(self, batch: TradeBatch, clock_ns: int, *, is_past: bool = False) -> int | None:
        """Count a batch; one that was fetched (`is_past`) tells nothing of the rate. Returns the exchange time of its newest trade, None where it holds only
        changes."""
        columns = batch.columns
        action, source = columns["action"], columns["side_source"]
        n = len(action)
        if action.any():
            new, gone = action == Action.NEW, action == Action.CANCEL
            n = int(new.sum())
            self._sources -= np.bincount(source[gone], minlength=len(SideSource))
            source, price, time_ns, received_ns = source[new], columns["price"][new], columns["time_ns"][new], columns["received_ns"][new]
        else:
            price, time_ns, received_ns = columns["price"], columns["time_ns"], columns["received_ns"]
        if not n:
            return None
        self.trades += n
        self._sources += np.bincount(source, minlength=len(SideSource))
        self.last_price = float(price[-1])
        newest_ns = int(time_ns[-1])
        if received_ns[-1]:
            self.lag.observe((int(received_ns[-1]) - newest_ns) / 1e9, n)
        if is_past:
            return newest_ns
        second = clock_ns // 1_000_000_000
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += n
        else:
            self._seconds.append([second, n])
            while self._seconds[0][0] < second - 2 * _RATE_S:
                self._seconds.popleft()
        return newest_ns

    def rate(self, clock_ns: int) -> float:
        """Trades per second over the last five whole seconds."""
        second = clock_ns // 1_000_000_000
        return sum(n for at, n in self._seconds if second - _RATE_S <= at < second) / _RATE_S

    @property
    def by_source(self) -> dict[str, int]:
        """Trades by where their side came from."""
        return {source.name.lower(): int(self._sources[source]) for source in SideSource}

    @property
    def shares(self) -> dict[str, float]:
        """The same as fractions of 1; all 0 before the first trade."""
        total = int(self._sources.sum())
        return {name: n / total if total else 0.0 for name, n in self.by_source.items()}
