"""Kernels over the trades of bars: what a bar's totals cannot tell."""

from __future__ import annotations

from typing import Any

import numpy as np

from tastytrade_provider.jit import kernel

# the name under which numba keeps them on disk: see kernels.py
__name__ = "tastytrade_provider.indicators.trade_kernels"

# What `detail` says of a bar. Lots, but for the four counts.
SELL, UNKNOWN, BUY, BY_EXCHANGE, LEAST, MOST, SINCE_HIGH, SINCE_LOW, SELLS, UNKNOWNS, BUYS, LARGEST, DETAIL_WIDTH = range(13)

# What `read` says of the side that drives up, and again of the one that drives down: of a cell, and of a bar.
IMBALANCE, STACK, ABSORBED, CELL_WIDTH = range(4)
IMBALANCES, STACKS, UNFINISHED, EXHAUSTED, ABSORPTIONS, RATIO, BAR_WIDTH = range(7)
_MILLION = 1_000_000


@kernel
def detail(
    ticks: Any, lots: Any, side: Any, source: Any, whole: Any, begins: Any, skip: int, volume: Any, high: Any, low: Any,
    least_size: int, most_size: int, out: Any,
) -> None:  # fmt: skip
    """Per bar, over the trades whose order has least_size to most_size lots.

    whole   lots of the order each print belongs to        begins  whether it is the order's first print: that one is counted
    skip    lots in front that belong to no bar            volume  lots of each bar; a print may lie in two
    out     full of zeros. LEAST, MOST: of the running delta after each sided trade. SINCE_HIGH, SINCE_LOW: the delta of what came after the last
            trade, of whatever size, at the bar's high, its low
    """
    i, used, n = 0, 0, len(lots)
    while i < n and skip > 0:
        if lots[i] > skip:
            used, skip = skip, 0
        else:
            skip -= lots[i]
            i += 1
    for b in range(len(volume)):
        left, delta, sided = volume[b], np.int64(0), False
        while left > 0 and i < n:
            part = min(lots[i] - used, left)
            if least_size <= whole[i] <= most_size:
                out[b, UNKNOWN + side[i]] += part
                if used == 0 and begins[i]:
                    out[b, UNKNOWNS + side[i]] += 1
                out[b, LARGEST] = max(out[b, LARGEST], whole[i])
                out[b, SINCE_HIGH] += side[i] * part
                out[b, SINCE_LOW] += side[i] * part
                if side[i] != 0:
                    delta += side[i] * part
                    out[b, LEAST] = min(out[b, LEAST], delta) if sided else delta
                    out[b, MOST] = max(out[b, MOST], delta) if sided else delta
                    sided = True
                    if source[i] == 0:
                        out[b, BY_EXCHANGE] += part
            if ticks[i] == high[b]:
                out[b, SINCE_HIGH] = 0
            if ticks[i] == low[b]:
                out[b, SINCE_LOW] = 0
            left -= part
            used += part
            if used == lots[i]:
                i, used = i + 1, 0


@kernel
def speed(time: Any, lots: Any, skip: int, volume: Any, opens: Any, window_ns: int, out: Any) -> None:
    """Per bar, the most trades, and the most lots, in a window that ends at one of its trades and reaches back to what is less than window_ns old.

    opens  of each bar's session: a window does not reach back beyond it. A print split over two bars counts in full in both.
    """
    i, used, first = 0, 0, 0
    count, total = np.int64(0), np.int64(0)
    bar, left = -1, skip
    while i < len(lots):
        while left == 0 and bar + 1 < len(volume):
            bar += 1
            left = volume[bar]
        if left == 0:
            return
        if used == 0:
            count += 1
            total += lots[i]
        earliest = time[i] - window_ns
        while time[first] <= earliest or (bar >= 0 and time[first] < opens[bar] <= time[i]):
            count -= 1
            total -= lots[first]
            first += 1
        if bar >= 0:
            out[bar, 0] = max(out[bar, 0], count)
            out[bar, 1] = max(out[bar, 1], total)
        part = min(lots[i] - used, left)
        left -= part
        used += part
        if used == lots[i]:
            i, used = i + 1, 0


@kernel
def read(
    bounds: Any, ticks: Any, sell: Any, unknown: Any, buy: Any, close: Any, row: int, least: int, ratio: int, ignore_zero: bool, stack: int,
    unfinished: int, exhaustion_levels: int, absorption_levels: int, reversal_ticks: int, cells: Any, bars: Any,
) -> None:  # fmt: skip
    """Read the footprint of each bar twice: upwards with buying against selling, and mirrored downwards with selling against buying.

    bounds  cells of bar b are rows bounds[b] to bounds[b + 1], at least one, prices ascending by multiples of `row` ticks
    least   lots of an imbalance at least                 unfinished  lots at an unfinished extreme at least
    ratio   of an imbalance, in millionths                close       of each bar, in ticks
    cells   zeros; STACK: at the highest cell of one how many cells it has
    bars    zeros; RATIO is NaN where there is nothing to divide by; last of all the bar's unknown lots
    """
    for side in range(2):
        sign = 1 - 2 * side
        drove, other = (buy, sell) if side == 0 else (sell, buy)
        c, o = side * CELL_WIDTH, side * BAR_WIDTH
        for b in range(len(close)):
            first, last = bounds[b], bounds[b + 1] - 1
            at, end = (last, first) if side == 0 else (first, last)  # where it drove to, and where it came from
            run = 0
            for i in range(first, last + 1):
                is_next = i > first and ticks[i] - ticks[i - 1] == row
                run = run if is_next else 0
                behind = i - sign  # the cell that is compared; where the price beside did not trade its volume is 0
                against = 0
                if i != end and abs(ticks[i] - ticks[behind]) == row:
                    against = other[behind]
                enough = drove[i] >= max(least, 1) and not (ignore_zero and against == 0)
                if i != end and enough and drove[i] * _MILLION >= ratio * against:
                    run += 1
                    cells[c + IMBALANCE, i] = 1
                    bars[o + IMBALANCES, b] += 1
                    if run >= stack:
                        cells[c + STACK, i] = run
                        if run > stack:
                            cells[c + STACK, i - 1] = 0
                        else:
                            bars[o + STACKS, b] += 1
                    if abs(ticks[i] - ticks[at]) < absorption_levels * row and sign * (ticks[i] - close[b]) >= reversal_ticks:
                        cells[c + ABSORBED, i] = 1
                        bars[o + ABSORPTIONS, b] += 1
                else:
                    run = 0
            if drove[at] >= unfinished and other[at] > 0:
                bars[o + UNFINISHED, b] = 1
            level = 1
            while level < exhaustion_levels and level <= last - first:
                inner = at - sign * level
                if abs(ticks[at] - ticks[inner]) != level * row or drove[inner] <= drove[inner + sign]:
                    break
                level += 1
            if level == exhaustion_levels:
                bars[o + EXHAUSTED, b] = 1
            bars[o + RATIO, b] = np.nan
            if drove[at] > 0 and first < last:
                inner = at - sign
                bars[o + RATIO, b] = drove[inner] / drove[at] if abs(ticks[at] - ticks[inner]) == row else 0.0
    for b in range(len(close)):
        for i in range(bounds[b], bounds[b + 1]):
            bars[2 * BAR_WIDTH, b] += unknown[i]


@kernel
def first_touch(born: Any, start: Any, end: Any, low: Any, high: Any, out: Any) -> None:
    """Per level [start, end] of bar `born`, in ticks: the first later bar whose range touches it, or -1."""
    for i in range(len(born)):
        out[i] = -1
        for b in range(born[i] + 1, len(low)):
            if low[b] <= end[i] and high[b] >= start[i]:
                out[i] = b
                break
