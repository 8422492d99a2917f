"""The definitions over trades and footprints in plain Python: loops and dicts, looked up afresh for every value. What golden files are computed with."""

from __future__ import annotations

import itertools
import math
from typing import Any

from tests.checks.oracle import Made, Row

Part = tuple[int, int, bool]
"""A trade's number on the tape, its lots in the bar, and whether it began there."""
Cells = dict[int, list[int]]
"""Ticks -> sold, unknown, bought."""


def parts(rows: list[Row], bars: list[Made]) -> list[list[Part]]:
    """Which trades each bar is made of."""
    out, i, used = [], 0, 0
    for bar in bars:
        mine: list[Part] = []
        while sum(lots for _, lots, _ in mine) < bar.volume:
            lots = min(rows[i][2] - used, bar.volume - sum(lots for _, lots, _ in mine))
            mine.append((i, lots, used == 0))
            used += lots
            if used == rows[i][2]:
                i, used = i + 1, 0
        out.append(mine)
    return out


def orders(rows: list[Row]) -> list[list[int]]:
    """Numbers of the trades of each order."""
    found: list[list[int]] = []
    for i, (time, _, _, side) in enumerate(rows):
        if found and side != 0 and rows[found[-1][-1]][0] == time and rows[found[-1][-1]][3] == side:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def sizes(rows: list[Row], joined: bool) -> tuple[dict[int, int], set[int]]:
    """Lots of the order (or print) each trade belongs to, and the trades orders begin with."""
    groups = orders(rows) if joined else [[i] for i in range(len(rows))]
    return {i: sum(rows[j][2] for j in group) for group in groups for i in group}, {group[0] for group in groups}


def detail(
    rows: list[Row],
    bar: Made,
    mine: list[Part],
    sources: list[int],
    whole: dict[int, int],
    heads: set[int],
    least: float = 0,
    most: float = math.inf,
    sierra: bool = False,
) -> dict[str, Any]:
    """What delta_detail says of a bar; `whole` and `heads` as `sizes` tells them."""
    counted = [(i, lots, began) for i, lots, began in mine if least <= whole[i] <= most]

    def lots_of(side: int, chosen: list[Part]) -> int:
        return sum(lots for i, lots, _ in chosen if rows[i][3] == side)

    def net(chosen: list[Part]) -> int:
        return lots_of(1, chosen) - lots_of(-1, chosen)

    def since(price: int) -> int:
        last = max(n for n, (i, _, _) in enumerate(mine) if rows[i][1] == price)
        return net([part for part in mine[last + 1 :] if part in counted])

    def count(side: int) -> int:
        return sum(1 for i, _, began in counted if began and i in heads and rows[i][3] == side)

    running = [net(counted[: n + 1]) for n, (i, _, _) in enumerate(counted) if rows[i][3] != 0] + ([] if sierra else [0])
    buy, sell, unknown = (lots_of(side, counted) for side in (1, -1, 0))
    volume, trades = buy + sell + unknown, count(1) + count(-1)
    return {
        "delta": buy - sell, "delta_pct": (buy - sell) / (buy + sell) if buy + sell else math.nan,
        "min_delta": min(running, default=0), "max_delta": max(running, default=0),
        "delta_at_high": since(max(bar.prices)), "delta_at_low": since(min(bar.prices)),
        "buy_volume": buy, "sell_volume": sell, "unknown_volume": unknown,
        "buy_trades": count(1), "sell_trades": count(-1), "count_delta": count(1) - count(-1),
        "delta_per_trade": (buy - sell) / trades if trades else math.nan, "max_trade": max((whole[i] for i, _, _ in counted), default=0),
        "quality": sum(lots for i, lots, _ in counted if rows[i][3] != 0 and sources[i] == 0) / volume if volume else math.nan,
    }  # fmt: skip


def speeds(rows: list[Row], mine: list[Part], open_ns: int, window_ns: int) -> tuple[int, int]:
    """Most trades, and most lots, in a window that ends at one of the bar's trades."""
    most = [0, 0]
    for i, _, _ in mine:
        inside = [row for row in rows[: i + 1] if rows[i][0] - window_ns < row[0] and row[0] >= open_ns]
        most = [max(most[0], len(inside)), max(most[1], sum(row[2] for row in inside))]
    return most[0], most[1]


def grouped(cells: Cells, n: int) -> Cells:
    """Rows of n ticks."""
    out: Cells = {}
    for ticks, cell in cells.items():
        row = out.setdefault(math.floor(ticks / n) * n, [0, 0, 0])
        for side in range(3):
            row[side] += cell[side]
    return out


def poc(cells: Cells) -> int:
    """The level with most volume; of equals nearest the middle, then lower."""
    middle = (min(cells) + max(cells)) / 2
    return min(cells, key=lambda ticks: (-sum(cells[ticks]), abs(ticks - middle), ticks))


def value_area(cells: Cells, share_percent: int, row: int = 1) -> tuple[int, int]:
    """Every price from low to high is a level, one that did not trade has no volume."""
    volume = {ticks: sum(cells.get(ticks, [0])) for ticks in range(min(cells), max(cells) + 1, row)}
    low = high = poc(cells)
    while sum(volume[ticks] for ticks in range(low, high + 1, row)) * 100 < share_percent * sum(volume.values()):
        above, below = volume.get(high + row), volume.get(low - row)
        if above is not None and (below is None or above >= below):
            high += row
        else:
            low -= row
    return low, high


def footprint(
    cells: Cells, close: int, *, ratio: float = 3, min_volume: float = 30, ignore_zero: bool = False, stack: int = 3, unfinished_volume: float = 20,
    exhaustion_levels: int = 5, absorption_levels: int = 5, reversal_ticks: int = 4, row: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """What footprint_bars says of a bar, prices in ticks; and the prices with imbalances and the stacks."""
    low, high = min(cells), max(cells)
    ladder = list(range(low, high + 1, row))

    def sold(ticks: int) -> int:
        return cells.get(ticks, [0, 0, 0])[0]

    def bought(ticks: int) -> int:
        return cells.get(ticks, [0, 0, 0])[2]

    def outweighs(one: int, other: int) -> bool:
        return one > 0 and one >= min_volume and one >= ratio * other and not (ignore_zero and other == 0)

    buys = [p for p in ladder if p > low and outweighs(bought(p), sold(p - row))]
    sells = [p for p in ladder if p < high and outweighs(sold(p), bought(p + row))]

    def stacks(prices: list[int]) -> list[tuple[int, int]]:
        runs = [(a, b) for a, b in itertools.product(prices, prices) if a <= b and all(p in prices for p in range(a, b + 1, row))]
        longest = [(a, b) for a, b in runs if a - row not in prices and b + row not in prices]
        return [(a, b) for a, b in longest if (b - a) // row + 1 >= stack]

    def dries_up(volumes: list[int]) -> bool:
        return len(volumes) >= exhaustion_levels and all(a < b for a, b in itertools.pairwise(volumes[:exhaustion_levels]))

    down = ladder[::-1]
    # a price that did not trade is no level of the footprint; its 0 cannot continue a strict rise
    return {
        "poc": poc(cells), "val": value_area(cells, 70, row)[0], "vah": value_area(cells, 70, row)[1],
        "buy_imbalances": len(buys), "sell_imbalances": len(sells), "stacked_buy": len(stacks(buys)), "stacked_sell": len(stacks(sells)),
        "unfinished_high": bought(high) > unfinished_volume and sold(high) > 0, "unfinished_low": sold(low) > unfinished_volume and bought(low) > 0,
        "exhaustion_high": dries_up([bought(p) for p in down]), "exhaustion_low": dries_up([sold(p) for p in ladder]),
        "absorption_high": any(p - close >= reversal_ticks for p in buys if p in down[:absorption_levels]),
        "absorption_low": any(close - p >= reversal_ticks for p in sells if p in ladder[:absorption_levels]),
        "ratio_high": bought(high - row) / bought(high) if high > low and bought(high) else math.nan,
        "ratio_low": sold(low + row) / sold(low) if high > low and sold(low) else math.nan,
        "unknown_volume": sum(cell[1] for cell in cells.values()),
        "buys": buys, "sells": sells, "buy_stacks": stacks(buys), "sell_stacks": stacks(sells),
    }  # fmt: skip
