"""Whether candles and trades whose sides were inferred lean the same way: the sign of a candle's split where the exchange's own sides are not to be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from ..dxlink.rows import Row
from .candles import SignCheck, Verdict, split_of

LEAN: Final = 0.1
"""A minute leans where one side has so much more than the other, as a share of both; less than that says nothing."""
LEAD: Final = 4
"""Minutes that one reading must be ahead of the other. The quote and tick rules find the right sign of a minute's delta in more than four of five
(.82 to .87 over an hour of ES), so that the wrong reading is ever four ahead with a chance of (.18/.82)**4, 1 in 400."""


def lean_check(candle_rows: Iterable[Row], trades_by_minute: Mapping[int, tuple[float, float, float]]) -> SignCheck:
    """Compare the split of one-minute candles with trades whose sides were inferred: start of the minute (UTC ns) -> bought, sold, unknown.

    Sums cannot be expected to agree, since conflated trades share one side: a minute agrees where both lean the same way.

    >>> row = {"open": 1, "high": 1, "low": 1, "close": 1, "volume": 100, "askVolume": 70, "bidVolume": 30}
    >>> rows, minutes = [row | {"index": 60 * i << 32} for i in range(4)], {i * 60_000_000_000: (60.0, 40.0, 0.0) for i in range(4)}
    >>> lean_check(rows, minutes).verdict.value, lean_check(rows[:3], minutes).verdict.value
    ('agrees', 'inconclusive')
    """
    agreeing = contradicting = undecided = 0
    sums = np.zeros(5)
    for start_ns, ask, bid in split_of(candle_rows):
        trades = trades_by_minute.get(start_ns)
        if trades is None:
            continue
        sums += (ask, bid, *trades)
        told, made = _lean(ask, bid), _lean(trades[0], trades[1])
        agreeing += told * made > 0
        contradicting += told * made < 0
        undecided += told * made == 0
    ahead = agreeing - contradicting
    verdict = Verdict.INCONCLUSIVE if abs(ahead) < LEAD else Verdict.AGREES if ahead > 0 else Verdict.CONTRADICTS
    return SignCheck(verdict, agreeing, contradicting, undecided, 0, *sums.tolist())


def _lean(bought: float, sold: float) -> int:
    """1: bought, -1: sold, 0: neither enough."""
    return int(np.sign(bought - sold)) if abs(bought - sold) >= LEAN * (bought + sold) else 0
