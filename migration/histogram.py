"""Counts in bins of one width, for runs of any length."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tastytrade_provider.model import Array


class Histogram:
    """How often a value came, in bins `width` wide around its multiples. What lies beyond `reach` counts in the last bin, so memory is bounded.

    >>> lead = Histogram(width=0.5, reach=1000)
    >>> lead.add(np.array([1.0, 1.1, 3.0]))
    >>> lead.n, lead.quantile(0.5), lead.counts()
    (3, 1.0, {1.0: 2, 3.0: 1})
    """

    def __init__(self, width: float, reach: float) -> None:
        self.width, self._last = width, round(reach / width)
        self._bins: Counter[int] = Counter()

    def add(self, values: Array) -> None:
        """Count finite values."""
        values = values[np.isfinite(values)]
        if len(values):
            bins, counts = np.unique(np.clip(np.rint(values / self.width), -self._last, self._last).astype(np.int64), return_counts=True)
            self._bins.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    @property
    def n(self) -> int:
        """How many values were counted."""
        return self._bins.total()

    def counts(self) -> dict[float, int]:
        """Middle of a bin -> how many values, ascending."""
        return {number * self.width: self._bins[number] for number in sorted(self._bins)}

    def quantile(self, share: float) -> float | None:
        """The middle of the bin where `share` (0 to 1) of the values are reached; None before a value."""
        wanted, seen = share * self.n, 0
        for middle, count in self.counts().items():
            seen += count
            if seen >= wanted:
                return middle
        return None

    def mean_distance(self) -> float | None:
        """The mean distance of the values from 0; None before a value."""
        return sum(abs(number) * count for number, count in self._bins.items()) * self.width / self.n if self.n else None
