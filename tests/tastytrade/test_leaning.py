"""The sign of a candle's split, by trades whose sides were inferred."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tastytrade_provider.dxlink.rows import Row
from tastytrade_provider.tastytrade.candles import Verdict
from tastytrade_provider.tastytrade.leaning import lean_check

MINUTE_NS = 60_000_000_000
ROUGH = (58.0, 42.0, 3.0)  # bought, sold, unknown: conflated, so that sums do not agree


def candle(minute: int, ask: Any = 70.0, bid: Any = 30.0) -> Row:
    return {"index": 60 * minute << 32, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 100, "askVolume": ask, "bidVolume": bid}


def test_minutes_that_lean_the_same_way_agree_though_their_sums_do_not() -> None:
    check = lean_check([candle(i) for i in range(4)], {i * MINUTE_NS: ROUGH for i in range(4)})
    assert (check.verdict, check.agreeing, check.contradicting) == (Verdict.AGREES, 4, 0)
    assert (check.ask_volume, check.bid_volume, check.bought, check.sold, check.unknown) == (280, 120, 232, 168, 12)


def test_a_split_the_other_way_round_contradicts() -> None:
    assert lean_check([candle(i, 30.0, 70.0) for i in range(4)], {i * MINUTE_NS: ROUGH for i in range(4)}).verdict is Verdict.CONTRADICTS


@pytest.mark.parametrize(
    ("rows", "minutes"),
    [
        ([candle(i) for i in range(3)], [ROUGH] * 3),
        ([candle(i) for i in range(5)], [ROUGH] * 4 + [(42.0, 58.0, 0.0)]),
        ([candle(i, 52.0, 48.0) for i in range(9)], [ROUGH] * 9),
        ([candle(i) for i in range(9)], [(50.0, 50.0, 0.0)] * 9),
        ([candle(i, "NaN", "NaN") for i in range(9)], [ROUGH] * 9),
        ([candle(i + 100) for i in range(9)], [ROUGH] * 9),
    ],
    ids=["three", "four to one", "candles that do not lean", "trades that do not lean", "no split", "other minutes"],
)
def test_little_or_contradicting_evidence_decides_nothing(rows: list[Row], minutes: list[tuple[float, float, float]]) -> None:
    assert lean_check(rows, {i * MINUTE_NS: minute for i, minute in enumerate(minutes)}).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_with_a_rule_that_errs_in_one_minute_of_five_half_an_hour_finds_the_right_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    leans, errs = rng.integers(0, 2, 30) == 1, rng.random(30) < 0.2
    rows = [candle(i, 70.0 if up else 30.0, 30.0 if up else 70.0) for i, up in enumerate(leans)]
    minutes = {i * MINUTE_NS: (60.0, 40.0, 0.0) if up != err else (40.0, 60.0, 0.0) for i, (up, err) in enumerate(zip(leans, errs, strict=True))}
    assert lean_check(rows, minutes).verdict is Verdict.AGREES
