"""Kernels over footprint cells: the point of control with its value area, and rows of several ticks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import kernel
from .model import Array

MILLION = 1_000_000
"""Shares and ratios are compared as whole millionths, so that 70 % of 10 lots is 7 and never 7.000000000000001."""


def millionths(value: float) -> int:
    """A share or ratio as a whole number of millionths."""
    return round(value * MILLION)


@kernel
def profile(bounds: Any, ticks: Any, volume: Any, step: int, share: int, out: Any) -> None:
    """Per bar: ticks of the point of control, and of the low and the high of its value area.

    bounds  cells of bar b are rows bounds[b] to bounds[b + 1], at least one, prices ascending by `step` ticks or multiples of it
    share   of the bar's volume that the value area must hold, in millionths

    POC: most volume; of equals the one nearest the middle of the bar, then the lower. The value area grows from there, one price at a time, by
    the larger of the next price above and the next below (of equals above). A price that did not trade has no volume; where both neighbours
    are such prices, growing upwards leads to the next one above that traded.
    """
    for b in range(len(bounds) - 1):
        first, last = bounds[b], bounds[b + 1] - 1
        ends = ticks[first] + ticks[last]
        total, poc = volume[first], first
        for i in range(first + 1, last + 1):
            total += volume[i]
            if volume[i] > volume[poc] or (volume[i] == volume[poc] and abs(2 * ticks[i] - ends) < abs(2 * ticks[poc] - ends)):
                poc = i
        low, high, held = poc, poc, volume[poc]
        while held * MILLION < share * total and (low > first or high < last):
            above = volume[high + 1] if high < last and ticks[high + 1] - ticks[high] == step else 0
            below = volume[low - 1] if low > first and ticks[low] - ticks[low - 1] == step else 0
            if high < last and (low == first or above >= below):
                high += 1
                held += volume[high]
            else:
                low -= 1
                held += volume[low]
        out[b, 0], out[b, 1], out[b, 2] = ticks[poc], ticks[low], ticks[high]


@kernel
def _group(cells: Any, n: int, out: Any) -> int:
    rows = 0
    for i in range(len(cells)):
        bar, row = cells[i, 0], cells[i, 1] // n * n
        if rows == 0 or out[rows - 1, 0] != bar or out[rows - 1, 1] != row:
            out[rows, 0], out[rows, 1] = bar, row
            out[rows, 2] = out[rows, 3] = out[rows, 4] = 0
            rows += 1
        for k in range(2, 5):
            out[rows - 1, k] += cells[i, k]
    return rows


def grouped(cells: Array, ticks_per_row: int) -> Array:
    """Cells (bar, ticks, sell, unknown, buy), ascending, in rows of several ticks, each named by its lowest: a whole multiple of `ticks_per_row`.

    >>> grouped(np.array([[0, 7, 1, 0, 0], [0, 8, 2, 0, 0], [0, 9, 0, 0, 4]]), 4).tolist()
    [[0, 4, 1, 0, 0], [0, 8, 2, 0, 4]]
    """
    if ticks_per_row == 1:
        return cells
    out = np.empty((len(cells), 5), np.int64)
    return out[: _group(np.ascontiguousarray(cells, np.int64), ticks_per_row, out)]
