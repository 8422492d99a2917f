"""A synthetic ES tape, its rows as dxLink writes them, and the sums that every consumer of it must reach.

Rows have the 21 columns of TimeAndSale in the order of tastytrade SDK 13.2.3: sizes as doubles, nulls for buyer and seller, sides without a pattern,
1 in 100 UNDEFINED inside a quote that tells its side.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from typing import NamedTuple

SYMBOL = "/ESZ26:XCME"
COLUMNS = (
    "eventSymbol", "eventTime", "eventFlags", "index", "time", "timeNanoPart", "sequence", "exchangeCode", "price", "size", "bidPrice", "askPrice",
    "tradeThroughExempt", "aggressorSide", "spreadLeg", "extendedTradingHours", "validTick", "type", "buyer", "seller", "exchangeSaleConditions",
)  # fmt: skip
TICK = 0.25
MINUTE_MS = 60_000
_START_MS = 1_767_600_000_000  # a Monday, 08:00 UTC: hours before the session ends
_STEP_MS = 15
SEED = 20260105


class Print(NamedTuple):
    """One trade of the tape: Unix milliseconds, dxFeed's index, price in ticks, contracts, side 1 or -1, and whether the feed says it."""

    time_ms: int
    event_index: int
    ticks: int
    size: int
    side: int
    is_told: bool


def prints(count: int) -> Iterator[Print]:
    """The first `count` trades of the tape; always the same."""
    chance = random.Random(SEED)
    walk = 24_000
    for i in range(count):
        draw = chance.getrandbits(32)
        if draw & 15 == 0:
            walk += 1 if draw & 16 else -1
        side = 1 if draw & 32 else -1
        time_ms = _START_MS + i * _STEP_MS
        index = (time_ms // 1000) << 32 | (time_ms % 1000) << 22 | i & 0x3FFFFF
        yield Print(time_ms, index, walk + (side > 0), 1 + (draw >> 8 & 63 if draw >> 16 & 7 == 0 else draw >> 8 & 1), side, draw >> 20 & 127 != 0)


def row(trade: Print) -> str:
    """The values of one trade as they stand in a FEED_DATA message, without brackets."""
    bid = (trade.ticks - (trade.side > 0)) * TICK
    said = ("BUY" if trade.side > 0 else "SELL") if trade.is_told else "UNDEFINED"
    return (
        f'"{SYMBOL}",0,0,{trade.event_index},{trade.time_ms},0,{trade.event_index & 0x3FFFFF},"G",{trade.ticks * TICK},{float(trade.size)},{bid},{bid + TICK},'
        f'"\\u0000","{said}",false,false,true,"NEW",null,null,null'
    )


def message(rows: list[str], channel: int) -> bytes:
    """A FEED_DATA message in COMPACT format."""
    return f'{{"type":"FEED_DATA","channel":{channel},"data":["TimeAndSale",[{",".join(rows)}]]}}'.encode()


Footprints = dict[int, dict[int, list[int]]]
"""Unix minute -> price in ticks -> contracts [bought, sold]."""


class Sums(NamedTuple):
    """What a consumer ends with: trades, bars, bought minus sold, footprint cells, and a digest over every cell of every bar."""

    trades: int
    bars: int
    delta: int
    cells: int
    digest: str


def sums(footprints: Footprints, trades: int) -> Sums:
    """The sums of footprints, whoever made them."""
    cells = sorted((minute, ticks, *map(int, sides)) for minute, levels in footprints.items() for ticks, sides in levels.items())
    digest = hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]
    return Sums(trades, len(footprints), sum(cell[2] - cell[3] for cell in cells), len(cells), digest)


def truth(count: int) -> Sums:
    """The sums of the first `count` trades, added up trade by trade."""
    found: Footprints = {}
    for trade in prints(count):
        found.setdefault(trade.time_ms // MINUTE_MS, {}).setdefault(trade.ticks, [0, 0])[trade.side < 0] += trade.size
    return sums(found, count)
