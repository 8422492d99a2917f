"""Kernels over bars, with carried state."""

from __future__ import annotations

from typing import Any

import numpy as np

from tastytrade_provider.bars import decimal  # numba does not see when it changes: then clear what is compiled of this file
from tastytrade_provider.jit import inlined, kernel

# numba's cache on disk keeps the name of the module that first ran a kernel, and imports it when loading. This folder can be imported under
# two names, of which a user's own `indicators` may take one. So the kernels answer to the name that is ours alone.
__name__ = "tastytrade_provider.indicators.kernels"


@kernel
def all_finite(x: Any) -> bool:
    """Whether a column holds neither NaN nor infinity. In half the time of a sum, which is a tenth of a moving average's."""
    bad = 0
    for i in range(len(x)):
        bad |= not (abs(x[i]) < np.inf)
    return bad == 0


@kernel
def difference(one: Any, other: Any, out: Any) -> None:
    """one - other, of sizes."""
    for i in range(len(out)):
        out[i] = decimal(one[i] - other[i])


@kernel
def volume_delta(x: Any, is_sierra: bool, out: Any) -> None:
    """x: bought, sold and the delta's extremes, a row each. out: delta, share, extremes; full of NaN.

    is_sierra  extremes without the 0 a bar starts from. An extreme other than 0 is the same either way; a 0 was reached by trades where the delta
               ended on it, and hides elsewhere what was
    """
    for i in range(x.shape[1]):
        buy, sell, low, high = x[0, i], x[1, i], x[2, i], x[3, i]
        out[0, i] = decimal(buy - sell)
        if not is_sierra or low != 0 or buy == sell:
            out[2, i] = low
        if not is_sierra or high != 0 or buy == sell:
            out[3, i] = high
        if buy + sell > 0:
            out[1, i] = (buy - sell) / (buy + sell)


@kernel
def close_first(ohlc: Any, out: Any) -> None:
    """Open, high, low, close of each bar to a row for each of close, open, high, low."""
    for i in range(len(ohlc)):
        out[0, i], out[1, i], out[2, i], out[3, i] = ohlc[i, 3], ohlc[i, 0], ohlc[i, 1], ohlc[i, 2]


# What `divergence` reads of a bar, a row each.
_BUY, _SELL, _MIN_DELTA, _MAX_DELTA, _OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _COMPLETE = range(10)

# The rules of `divergence`: OF_HIGH, OF_LOW are the columns of cvd (open, high, low, close) that belong to a pivot high, a pivot low.
LEFT, RIGHT, MIN_GAP, MAX_GAP, MIN_PRICE, MIN_CVD, MIN_STRENGTH, EQUAL, EARLIER, OF_HIGH, OF_LOW, RULES_WIDTH = range(12)

# The state of `divergence`: a head, the last EARLIER pivot highs, latest first, as many pivot lows, and the last left + right bars, oldest first, a
# row for each of price at the high, at the low, CVD at the high, at the low, segment, volume of the segment so far.
BARS, SEGMENT, KEY, BROKE, VOLUME, HEAD = range(6)
AT, PRICE, CVD, PIVOT_SEGMENT, PIVOT_VOLUME, PIVOT_WIDTH = range(6)
_PRICES, _CVDS, _SEGMENTS, _VOLUMES, _WIDTH = 0, 2, 4, 5, 6

# What `divergence` says of a bar, and of an event.
REGULAR, HIDDEN, ABSORPTION, CONFLICT, BAR_DIVERGENCE, STRENGTH, PIVOT_OFFSET, PREV_PIVOT_OFFSET = range(8)
EVENT_BAR, EVENT_SIDE, EVENT_KIND, EVENT_DISTANCE, EVENT_STRENGTH, EVENT_SEGMENT, EVENT_WIDTH = range(7)

_ANY = float(np.nextafter(0.0, 1.0))  # the least difference there is, where prices are not counted in ticks


def state_size(left: int, right: int, earlier: int) -> int:
    """Length of the state of `divergence`; before any bar it is full of NaN but for zeros in BARS, BROKE and VOLUME and -1 in SEGMENT."""
    return HEAD + 2 * earlier * PIVOT_WIDTH + (left + right) * _WIDTH


@inlined
def _pivots(price: Any, sign: float, numerator: int, denominator: int, left: int, right: int, steps: Any, is_pivot: Any) -> None:
    """steps: sign * price in whole ticks, or as it stands where the tick size is not known (a numerator of 0). is_pivot: per bar after the first
    left + right, whether the one `right` before it is higher than the `left` before that, and not lower than those after it.

    Neighbour by neighbour over all bars, not bar by bar over its neighbours: that takes eight bars at a time. A NaN is no pivot, nor beside one.
    """
    n = len(is_pivot)
    for i in range(len(price)):
        steps[i] = sign * price[i] if numerator == 0 else sign * np.rint(price[i] * denominator / numerator)
    is_pivot[:] = 1
    at = steps[left : left + n]
    for j in range(left):
        before = steps[j : j + n]
        for i in range(n):
            is_pivot[i] &= at[i] > before[i]
    for j in range(left + 1, left + right + 1):
        after = steps[j : j + n]
        for i in range(n):
            is_pivot[i] &= at[i] >= after[i]


@kernel
def divergence(s: Any, rules: Any, tick_numerator: int, tick_denominator: int, key: Any, cvd: Any, x: Any, out: Any, events: Any) -> int:
    """Compare each confirmed pivot of price with those before it of the same kind, the nearest first. Returns the count of events found.

    rules   min_price and equal in ticks, or where the tick size is not known (a numerator of 0) in price units and any rise enough;
            prices in the state are as they came, whichever it is
    key     of the CVD segment; a bar that is incomplete, or without CVD, is a segment of its own
    cvd     open, high, low, close of each bar          x       its columns, a row each
    out     a row for each output, full of NaN          events  one row each, as many as there is room for
    """
    n, back = len(key), int(rules[LEFT]) + int(rules[RIGHT])
    left, right, of_high, of_low = int(rules[LEFT]), int(rules[RIGHT]), int(rules[OF_HIGH]), int(rules[OF_LOW])
    min_price, earlier = rules[MIN_PRICE] if tick_numerator != 0 else _ANY, int(rules[EARLIER])
    held = s[HEAD + 2 * earlier * PIVOT_WIDTH :].reshape((_WIDTH, back))
    w = np.empty((_WIDTH, back + n))
    w[:, :back] = held
    w[_PRICES, back:], w[_PRICES + 1, back:] = x[_HIGH], x[_LOW]
    steps, is_pivot = np.empty((2, back + n)), np.empty((2, n), np.uint8)
    _pivots(w[_PRICES], 1.0, tick_numerator, tick_denominator, left, right, steps[0], is_pivot[0])
    # a low is a high of prices and CVD with their signs changed, and its +1 is a high's -1
    _pivots(w[_PRICES + 1], -1.0, tick_numerator, tick_denominator, left, right, steps[1], is_pivot[1])
    bars, n_events = s[BARS], 0
    for i in range(n):
        is_broken = cvd[i, 3] != cvd[i, 3] or x[_COMPLETE, i] == 0
        if key[i] != s[KEY] or is_broken or s[BROKE] != 0:
            s[SEGMENT] += 1
            s[VOLUME] = 0
        s[KEY], s[BROKE] = key[i], is_broken
        s[VOLUME] += x[_VOLUME, i]
        w[_CVDS, back + i], w[_CVDS + 1, back + i] = cvd[i, of_high], cvd[i, of_low]
        w[_SEGMENTS, back + i], w[_VOLUMES, back + i] = s[SEGMENT], s[VOLUME]

        body, delta = x[_CLOSE, i] - x[_OPEN, i], x[_BUY, i] - x[_SELL, i]
        if body == body and delta == delta:
            out[BAR_DIVERGENCE, i] = np.sign(delta) if np.sign(body) == -np.sign(delta) else 0.0
        out[REGULAR, i] = out[HIDDEN, i] = out[ABSORPTION, i] = out[CONFLICT, i] = 0
        found = 0
        for side in range(2):
            if is_pivot[side, i] == 0:
                continue
            sign = 1.0 if side == 0 else -1.0
            at, latest = left + i, HEAD + side * earlier * PIVOT_WIDTH
            oldest = latest + (earlier - 1) * PIVOT_WIDTH
            for p in range(latest, oldest + 1, PIVOT_WIDTH):
                distance = bars + i - right - s[p + AT]
                if not (s[p + PIVOT_SEGMENT] == w[_SEGMENTS, at] and rules[MIN_GAP] <= distance <= rules[MAX_GAP]):
                    continue
                before = s[p + PRICE] if tick_numerator == 0 else np.rint(s[p + PRICE] * tick_denominator / tick_numerator)
                rise = steps[side, at] - sign * before
                change = decimal(w[_CVDS + side, at] - s[p + CVD])
                gain = sign * change
                regular = rise >= min_price and gain <= -rules[MIN_CVD]
                hidden = rise < 0 and gain > 0
                absorption = abs(rise) <= rules[EQUAL] and gain > 0
                between = w[_VOLUMES, at] - s[p + PIVOT_VOLUME]
                if not (regular or hidden or absorption) or not (rules[MIN_STRENGTH] == 0 or abs(change) >= rules[MIN_STRENGTH] * between):
                    continue
                strength = abs(change) / between if between > 0 else np.nan
                found += 1
                out[REGULAR, i] = -sign if regular else 0.0
                out[HIDDEN, i] = -sign if hidden else 0.0
                out[ABSORPTION, i] = -sign if absorption else 0.0
                out[STRENGTH, i], out[PIVOT_OFFSET, i], out[PREV_PIVOT_OFFSET, i] = strength, right, right + distance
                for kind in range(3):
                    if out[kind, i] != 0 and n_events < len(events):
                        events[n_events, EVENT_BAR], events[n_events, EVENT_SIDE], events[n_events, EVENT_KIND] = i, side, kind
                        events[n_events, EVENT_DISTANCE], events[n_events, EVENT_STRENGTH] = distance, strength
                        events[n_events, EVENT_SEGMENT] = s[SEGMENT]
                        n_events += 1
                break
            for p in range(oldest, latest, -PIVOT_WIDTH):
                s[p : p + PIVOT_WIDTH] = s[p - PIVOT_WIDTH : p]
            s[latest + AT], s[latest + PRICE], s[latest + CVD] = bars + i - right, w[_PRICES + side, at], w[_CVDS + side, at]
            s[latest + PIVOT_SEGMENT], s[latest + PIVOT_VOLUME] = w[_SEGMENTS, at], w[_VOLUMES, at]
        if found == 2:
            out[REGULAR, i] = out[HIDDEN, i] = out[ABSORPTION, i] = 0
            out[CONFLICT, i], out[STRENGTH, i], out[PREV_PIVOT_OFFSET, i] = 1, np.nan, np.nan
    s[BARS] = bars + n
    held[:] = w[:, n:]
    return n_events


# The state of `signals`: key of the segment, its high and low so far, then open, close, high and low of the last two bars, the latest last.
SIGNALS_STATE = 11


@kernel
def signals(s: Any, key: Any, x: Any, out: Any) -> None:
    """Per bar: delta turnaround, and new extreme of the segment on an opposite delta. `s` is full of NaN before any bar.

    x: open, high, low, close, bought, sold, a row each. A NaN compares as false, so bars and segments that have not been make no signal.
    """
    for i in range(len(key)):
        open_, high, low, close, delta = x[0, i], x[1, i], x[2, i], x[3, i], x[4, i] - x[5, i]
        if key[i] != s[0]:
            s[:] = np.nan
            s[0] = key[i]
        if delta == delta:
            risen = s[4] > s[3] and s[8] > s[7]
            fallen = s[4] < s[3] and s[8] < s[7]
            out[0, i] = out[1, i] = 0
            if risen and close < open_ and high >= s[9] and delta < 0:
                out[0, i] = -1
            if fallen and close > open_ and low <= s[10] and delta > 0:
                out[0, i] = 1
            if high > s[1] and delta < 0:
                out[1, i] = -1
            if low < s[2] and delta > 0:
                out[1, i] = 1
        if not s[1] >= high:
            s[1] = high
        if not s[2] <= low:
            s[2] = low
        s[3:7] = s[7:11]
        s[7], s[8], s[9], s[10] = open_, close, high, low
