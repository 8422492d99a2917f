"""Kernels over bars, with carried state."""

from __future__ import annotations

from typing import Any

import numpy as np

from tastytrade_provider.jit import inlined, kernel

# numba's cache on disk keeps the name of the module that first ran a kernel, and imports it when loading. This folder can be imported under
# two names, of which a user's own `indicators` may take one. So the kernels answer to the name that is ours alone.
__name__ = "tastytrade_provider.indicators.kernels"

# The state of `divergence`: a head, the last pivot high, the last pivot low, and a ring of the last left + right + 1 bars.
BARS, SEGMENT, KEY, BROKE, VOLUME, HEAD = range(6)
AT, PRICE, CVD, PIVOT_SEGMENT, PIVOT_VOLUME, PIVOT_WIDTH = range(6)
RING_PRICE, RING_CVD, RING_SEGMENT, RING_VOLUME, RING_WIDTH = 0, 2, 4, 5, 6  # price and CVD: of the high, then of the low

# What `divergence` says of a bar: for the pivot high and the pivot low it confirms, SIDE_WIDTH values each; then the bar's segment.
REGULAR, HIDDEN, ABSORPTION, DISTANCE, STRENGTH, SIDE_WIDTH = range(6)
OUT_SEGMENT, OUT_WIDTH = 2 * SIDE_WIDTH, 2 * SIDE_WIDTH + 1


def state_size(left: int, right: int) -> int:
    """Length of the state of `divergence`; before any bar it is full of NaN but for zeros in BARS and BROKE and -1 in SEGMENT."""
    return HEAD + 2 * PIVOT_WIDTH + (left + right + 1) * RING_WIDTH


@inlined
def _steps(price: float, numerator: int, denominator: int) -> float:
    """A price in whole ticks, or as it stands where the tick size is not known (a numerator of 0)."""
    return price if numerator == 0 else np.rint(price * denominator / numerator)


@kernel
def divergence(
    s: Any, left: int, right: int, min_gap: int, max_gap: int, min_price: float, min_cvd: float, min_strength: float, equal: float,
    tick_numerator: int, tick_denominator: int, high: Any, low: Any, cvd_high: Any, cvd_low: Any, key: Any, broken: Any, volume: Any, out: Any,
) -> None:  # fmt: skip
    """Compare each confirmed pivot of price with the one before it of the same kind.

    min_price, equal  in ticks, or in price units where the tick size is not known; prices in the state are as they came, whichever it is
    min_cvd           in the unit of cvd_high and cvd_low, the CVD that belongs to each
    min_strength      least |change of CVD| / volume between the pivots
    key               of the CVD segment                broken   1 for a bar whose delta is not all known: it is a segment of its own
    out               OUT_WIDTH values a bar, full of NaN; kinds are -1 at highs, +1 at lows, 0 without a divergence
    """
    size = left + right + 1
    first = HEAD + 2 * PIVOT_WIDTH
    for i in range(len(high)):
        n = int(s[BARS])
        if key[i] != s[KEY] or broken[i] != 0 or s[BROKE] != 0:
            s[SEGMENT] += 1
            s[VOLUME] = 0
        s[KEY], s[BROKE] = key[i], broken[i]
        s[VOLUME] += volume[i]
        s[BARS] = n + 1
        new = first + n % size * RING_WIDTH
        s[new + RING_PRICE], s[new + RING_PRICE + 1] = high[i], low[i]
        s[new + RING_CVD], s[new + RING_CVD + 1] = cvd_high[i], cvd_low[i]
        s[new + RING_SEGMENT], s[new + RING_VOLUME] = s[SEGMENT], s[VOLUME]
        out[i, OUT_SEGMENT] = s[SEGMENT]
        at = n - right
        bar = first + at % size * RING_WIDTH
        for side in range(2):
            o = side * SIDE_WIDTH
            out[i, o + REGULAR] = out[i, o + HIDDEN] = out[i, o + ABSORPTION] = 0
            if n + 1 < size:
                continue
            # seen from a high: at lows price and CVD change sign, and +1 becomes -1
            sign = 1.0 if side == 0 else -1.0
            price = sign * _steps(s[bar + RING_PRICE + side], tick_numerator, tick_denominator)
            is_pivot = True
            for j in range(n - size + 1, at):
                is_pivot &= price > sign * _steps(s[first + j % size * RING_WIDTH + RING_PRICE + side], tick_numerator, tick_denominator)
            for j in range(at + 1, n + 1):
                is_pivot &= price >= sign * _steps(s[first + j % size * RING_WIDTH + RING_PRICE + side], tick_numerator, tick_denominator)
            if not is_pivot:
                continue
            p = HEAD + side * PIVOT_WIDTH
            distance = at - s[p + AT]
            if s[p + PIVOT_SEGMENT] == s[bar + RING_SEGMENT] and min_gap <= distance <= max_gap:
                rise = price - sign * _steps(s[p + PRICE], tick_numerator, tick_denominator)
                change = s[bar + RING_CVD + side] - s[p + CVD]
                gain = sign * change
                regular = rise >= min_price and gain <= -min_cvd
                hidden = rise < 0 and gain > 0
                absorption = abs(rise) <= equal and gain > 0
                between = s[bar + RING_VOLUME] - s[p + PIVOT_VOLUME]
                if (regular or hidden or absorption) and (min_strength == 0 or abs(change) >= min_strength * between):
                    out[i, o + REGULAR] = -sign if regular else 0.0
                    out[i, o + HIDDEN] = -sign if hidden else 0.0
                    out[i, o + ABSORPTION] = -sign if absorption else 0.0
                    out[i, o + DISTANCE] = distance
                    if between > 0:
                        out[i, o + STRENGTH] = abs(change) / between
            s[p + AT], s[p + PRICE], s[p + CVD] = at, s[bar + RING_PRICE + side], s[bar + RING_CVD + side]
            s[p + PIVOT_SEGMENT], s[p + PIVOT_VOLUME] = s[bar + RING_SEGMENT], s[bar + RING_VOLUME]


# The state of `signals`: key of the segment, its high and low so far, then open, close, high and low of the last two bars, the latest last.
SIGNALS_STATE = 11


@kernel
def signals(s: Any, key: Any, open_: Any, high: Any, low: Any, close: Any, delta: Any, out: Any) -> None:
    """Per bar: delta turnaround, and new extreme of the segment on an opposite delta. `s` is full of NaN before any bar.

    A NaN compares as false, so bars and segments that have not been make no signal.
    """
    for i in range(len(close)):
        if key[i] != s[0]:
            s[:] = np.nan
            s[0] = key[i]
        if delta[i] == delta[i]:
            risen = s[4] > s[3] and s[8] > s[7]
            fallen = s[4] < s[3] and s[8] < s[7]
            out[i, 0] = out[i, 1] = 0
            if risen and close[i] < open_[i] and high[i] >= s[9] and delta[i] < 0:
                out[i, 0] = -1
            if fallen and close[i] > open_[i] and low[i] <= s[10] and delta[i] > 0:
                out[i, 0] = 1
            if high[i] > s[1] and delta[i] < 0:
                out[i, 1] = -1
            if low[i] < s[2] and delta[i] > 0:
                out[i, 1] = 1
        if not s[1] >= high[i]:
            s[1] = high[i]
        if not s[2] <= low[i]:
            s[2] = low[i]
        s[3:7] = s[7:11]
        s[7], s[8], s[9], s[10] = open_[i], close[i], high[i], low[i]
