"""The trades kernel: trades -> bars and footprint cells, with carried state. And the running sum of bar deltas that is CVD.

One kernel serves history, live, replay and preview. It is branch-free per trade: a bar's end is found by galloping over sorted times, sizes are added
into a dense array of price levels (sell, unknown, buy per level, flat), sides are an index, not a condition. Indices into that array are unsigned: numba
then leaves out its wrap-around of negative ones, which doubles the loop's speed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import inlined, kernel

# The state of the forming bar: one int64 array. NOTIONAL is the sum of lots times ticks above the open (with coins counted in hundred-millionths, lots times
# ticks of one day are more than 64 bits hold).
(
    OPEN_BAR, START, END, LAST, OPEN, HIGH, LOW, CLOSE, SELL, UNKNOWN, BUY, TRADES, NOTIONAL, MIN_DELTA, MAX_DELTA,
    BY_EXCHANGE, BY_QUOTE, BY_TICK, SESSION, BAR_NO, BASE, NEED_LOW, NEED_HIGH, STATE_SIZE,
) = range(24)  # fmt: skip

# A closed bar: one int64 row with the state's first fields, in the same places.
BAR_WIDTH = BAR_NO + 1

# Why the kernel returned before the end of its input.
DONE, WANTS_LEVELS, WANTS_ROOM = 0, 1, 2

# How bars end.
BY_CLOCK, BY_SESSION, BY_TRADES, BY_VOLUME, BY_RANGE = 0, 1, 2, 3, 4


@inlined
def _gallop(values: Any, first: int, stop: int, limit: int) -> int:
    """The first position at or after `first` whose value reaches `limit`, in sorted values; `stop` where none does."""
    low, step = first, 1
    while low + step < stop and values[low + step] < limit:
        low += step
        step *= 2
    high = min(low + step, stop)
    if low < stop and values[low] >= limit:
        return low
    while low + 1 < high:
        middle = (low + high) // 2
        if values[middle] < limit:
            low = middle
        else:
            high = middle
    return high


@inlined
def _close(s: Any, cells: Any, bars: Any, n_bars: int, out_cells: Any, n_cells: int) -> int:
    """Write the forming bar and its levels out, and empty both. Returns the new count of cells."""
    for k in range(BAR_WIDTH):
        bars[n_bars, k] = s[k]
    base = s[BASE]
    for level in range(max(s[LOW] - base, 0), min(s[HIGH] - base + 1, len(cells) // 3)):
        sell, unknown, buy = cells[3 * level], cells[3 * level + 1], cells[3 * level + 2]
        if sell + unknown + buy > 0:
            out_cells[n_cells, 0], out_cells[n_cells, 1] = n_bars, base + level
            out_cells[n_cells, 2], out_cells[n_cells, 3], out_cells[n_cells, 4] = sell, unknown, buy
            n_cells += 1
            cells[3 * level] = cells[3 * level + 1] = cells[3 * level + 2] = 0
    s[OPEN_BAR] = 0
    s[BAR_NO] += 1
    return n_cells


@kernel
def run(
    s: Any, cells: Any, time: Any, ticks: Any, lots: Any, side: Any, source: Any, first: int, spent: int,
    opens: Any, closes: Any, kind: int, size: int, bars: Any, out_cells: Any,
) -> Any:  # fmt: skip
    """Add trades from `first` on (of which `spent` lots of the first are already in) until the end, or until more room is wanted.

    opens, closes  session bounds, ascending, the last open beyond every trade; kind BY_SESSION: bounds of whole bars instead.
    size           ns, trades, lots or ticks, as `kind` says.
    Returns (next trade, its lots already in, closed bars, cells written, reason).
    """
    n, n_bars, n_cells, i = len(time), 0, 0, first
    session = np.searchsorted(opens, time[i], side="right") - 1 if i < n else 0
    while i < n:
        t = time[i]
        while opens[session + 1] <= t:
            session += 1
        if s[OPEN_BAR] != 0:
            full = (
                t >= s[END]
                or (kind == BY_TRADES and s[TRADES] >= size)
                or (kind == BY_VOLUME and s[SELL] + s[UNKNOWN] + s[BUY] >= size)
                or (kind == BY_RANGE and max(s[HIGH], ticks[i]) - min(s[LOW], ticks[i]) > size)
            )
            if full:
                if n_bars >= len(bars) or n_cells + min(s[HIGH] - s[LOW] + 1, len(cells) // 3) > len(out_cells):
                    return i, spent, n_bars, n_cells, WANTS_ROOM
                n_cells = _close(s, cells, bars, n_bars, out_cells, n_cells)
                n_bars += 1
        opening = s[OPEN_BAR] == 0
        if opening:
            if s[SESSION] != opens[session]:
                s[SESSION], s[BAR_NO] = opens[session], 0
            if kind == BY_CLOCK:
                # Prints after the close make bars of their own, up to the next open: no bar crosses a session end.
                low, high = opens[session], closes[session]
                if t >= high:
                    low, high = high, opens[session + 1]
                start = opens[session] + (t - opens[session]) // size * size
                s[START], s[END] = max(start, low), min(start + size, high)
            elif kind == BY_SESSION:
                s[START], s[END] = opens[session], opens[session + 1]
            else:
                s[START], s[END] = t, opens[session + 1]
        # the trades [i, j) that belong to this bar; the last may go in with a part of its lots
        part = -1
        if kind <= BY_SESSION:
            j = _gallop(time, i, n, s[END])
        elif kind == BY_TRADES:
            j = min(n, i + size - (0 if opening else s[TRADES]))
            j = _gallop(time, i, j, s[END])
        elif kind == BY_VOLUME:
            room = size - (0 if opening else s[SELL] + s[UNKNOWN] + s[BUY])
            j = i
            while j < n and time[j] < s[END]:
                free = lots[j] - (spent if j == i else 0)
                if free > room:
                    if room > 0:
                        part = room
                        j += 1
                    break
                room -= free
                j += 1
                if room == 0:
                    break
        else:
            high, low = ticks[i], ticks[i]
            if not opening:
                high, low = max(high, s[HIGH]), min(low, s[LOW])
            j = i + 1
            while j < n and time[j] < s[END]:
                high, low = max(high, ticks[j]), min(low, ticks[j])
                if high - low > size:
                    break
                j += 1
        top = bottom = ticks[i]
        for k in range(np.uint64(i), np.uint64(j)):
            top, bottom = max(ticks[k], top), min(ticks[k], bottom)
        high, low = np.int64(top), np.int64(bottom)
        base = s[BASE]
        if low < base or high >= base + len(cells) // 3:
            s[NEED_LOW], s[NEED_HIGH] = low, high
            return i, spent, n_bars, n_cells, WANTS_LEVELS
        if not opening:
            high, low = max(high, s[HIGH]), min(low, s[LOW])
        if opening:
            s[OPEN_BAR], s[OPEN] = 1, ticks[i]
            for k in range(SELL, BY_TICK + 1):
                s[k] = 0
        s[HIGH], s[LOW], s[CLOSE], s[LAST] = high, low, ticks[j - 1], time[j - 1]
        if spent > 0 or part >= 0:
            # a split print goes in lot by lot range; only volume bars come here
            delta = s[BUY] - s[SELL]
            for k in range(i, j):
                amount = lots[k] - (spent if k == i else 0)
                if part >= 0 and k == j - 1:
                    amount = part
                cells[3 * (ticks[k] - base) + side[k] + 1] += amount
                s[UNKNOWN + side[k]] += amount
                s[NOTIONAL] += (ticks[k] - s[OPEN]) * amount
                if side[k] != 0:
                    s[BY_EXCHANGE + (source[k] if source[k] < 3 else 0)] += amount
                delta += side[k] * amount
                s[MIN_DELTA], s[MAX_DELTA] = min(s[MIN_DELTA], delta), max(s[MAX_DELTA], delta)
            s[TRADES] += j - i - (1 if spent > 0 else 0)
            if part >= 0:
                spent = part + (spent if j - 1 == i else 0)
                i = j - 1
            else:
                spent, i = 0, j
            continue
        start_delta = delta = s[BUY] - s[SELL]
        least, most = s[MIN_DELTA], s[MAX_DELTA]
        for k in range(np.uint64(i), np.uint64(j)):
            cells[np.uint64(3 * (ticks[k] - base) + side[k] + 1)] += lots[k]
            delta += lots[k] * side[k]
            least = delta if delta < least else least
            most = delta if delta > most else most
        volume, notional, unknown, opened = np.int64(0), np.int64(0), np.int64(0), s[OPEN]
        inferred = np.int8(0)
        for k in range(np.uint64(i), np.uint64(j)):
            volume += lots[k]
            notional += lots[k] * (ticks[k] - opened)
            unknown += lots[k] * (side[k] == 0)
            inferred |= np.int8((source[k] == 1) | (source[k] == 2))
        quote, tick = np.int64(0), np.int64(0)
        if inferred != 0:
            for k in range(np.uint64(i), np.uint64(j)):
                quote += lots[k] * (source[k] == 1)
                tick += lots[k] * (source[k] == 2)
        s[MIN_DELTA], s[MAX_DELTA] = least, most
        gained = delta - start_delta
        bought = (volume - unknown + gained) // 2
        s[BUY] += bought
        s[SELL] += bought - gained
        s[UNKNOWN] += unknown
        s[NOTIONAL] += notional
        s[BY_EXCHANGE] += volume - unknown - quote - tick
        s[BY_QUOTE] += quote
        s[BY_TICK] += tick
        s[TRADES] += j - i
        i = j
    return n, spent, n_bars, n_cells, DONE


@kernel
def close(s: Any, cells: Any, bars: Any, out_cells: Any) -> int:
    """Close the forming bar by the clock. Returns the count of cells written; the bar is row 0."""
    return _close(s, cells, bars, 0, out_cells, 0)


@inlined
def decimal(size: float) -> float:
    """A sum or difference of sizes as the float nearest its nine decimals, which 0.1 + 0.2 is not; unchanged where floats do not have so many."""
    return np.rint(size * 1e9) / 1e9 if abs(size) < 9e6 else size


@kernel
def cumulate(state: Any, segment: Any, delta: Any, least: Any, most: Any, out: Any, in_contracts: Any = None) -> None:
    """CVD over bars: out[i] = open, high, low, close of the running sum, which starts anew where `segment` changes.

    state         [running sum, segment]. A delta of NaN gives NaN and leaves the sum alone.
    in_contracts  None for whole lots, which add up exactly; True for floats, whose every sum is then a `decimal`
    """
    for i in range(len(delta)):
        if segment[i] != state[1]:
            state[0], state[1] = 0, segment[i]
        before = state[0]
        if delta[i] == delta[i]:
            state[0] = before + delta[i]
            out[i, 0], out[i, 1], out[i, 2], out[i, 3] = before, before + most[i], before + least[i], state[0]
        else:
            out[i, 0] = out[i, 1] = out[i, 2] = out[i, 3] = delta[i]
        if in_contracts is not None:
            state[0] = decimal(state[0])
            for c in range(1, 4):  # the open is the close before
                out[i, c] = decimal(out[i, c])


@kernel
def survey(time: Any, index: Any, lots: Any, action: Any, flags: Any) -> Any:
    """One look at a batch: (in order, flags that any trade has, flags that all have).

    In order: all new and of some size, ascending by time, and within a time by index; where there are no indices, by time alone.
    """
    out_of_place = False
    some, every = np.uint16(0), np.uint16(0xFFFF)
    for i in range(np.uint64(1), np.uint64(len(time))):
        out_of_place |= (time[i] < time[i - 1]) | ((index[i] <= index[i - 1]) & ((index[i] >= 0) | (index[i - 1] >= 0)))
    for i in range(np.uint64(0), np.uint64(len(time))):
        some |= flags[i]
        every &= flags[i]
        out_of_place |= (action[i] != 0) | (lots[i] <= 0)
    return not out_of_place, some, every
