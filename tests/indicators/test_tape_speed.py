from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tastytrade_provider.bars import BarBuilder
from tastytrade_provider.indicators.tape_speed import TapeSpeed
from tastytrade_provider.model import Timeframe, TradeBatch
from tests.checks import oracle
from tests.checks.builders import ES, a_batch, opening
from tests.indicators import plain_trades as plain

WEEK = oracle.sessions("2026-11-23", "2026-12-02")
SECOND = 10**9


def at(*seconds: float, **columns: Any) -> TradeBatch:
    return a_batch(time_ns=opening() + np.array([int(s * SECOND) for s in seconds]), **columns)


def test_the_fullest_window_counts_and_what_is_as_old_as_the_window_is_out() -> None:
    # windows of 10 s that end at 0, 4, 10, 13: of 1, 2, 2 (0 is out), 3 trades; of 1, 3, 6, 14 contracts
    out = TapeSpeed(window_s=10).run(at(0, 4, 10, 13, size=[1, 2, 4, 8]))
    assert out[["trades_per_s", "volume_per_s"]].to_numpy().tolist() == [[0.3, 1.4]]


def test_a_window_may_begin_in_the_bar_before() -> None:
    out = TapeSpeed(window_s=10).run(at(55, 58, 61))
    assert out["trades_per_s"].tolist() == [0.2, 0.3]


def test_a_bar_is_fast_above_so_many_times_the_mean_of_those_before() -> None:
    out = TapeSpeed(window_s=1, average=2, threshold=1.5).run(at(0, 60, 120, 120.1, 180, 180.1, 180.2))
    assert out["trades_per_s"].tolist() == [1, 1, 2, 3]
    assert str(out["average"].tolist()) == "[nan, nan, 1.0, 1.5]"
    assert out["is_fast"].tolist() == [False, False, True, True]


@pytest.mark.parametrize("timeframe", ["1m", "7t", "25v", "6r"])
def test_it_is_what_the_plain_definition_says(timeframe: str) -> None:
    batch, frame = oracle.a_tape(np.random.default_rng(2), 400, WEEK[:2]), Timeframe.parse(timeframe)
    rows = oracle.rows_of(batch)
    made = oracle.made_bars(rows, frame.n, frame.unit, WEEK)
    opens = {session.label: session.open_ns for session in WEEK}
    truth = [plain.speeds(rows, mine, opens[bar.session], 90 * SECOND) for bar, mine in zip(made, plain.parts(rows, made), strict=True)]
    out = TapeSpeed(timeframe=timeframe, window_s=90).run(batch)
    np.testing.assert_array_equal(out[["trades_per_s", "volume_per_s"]].to_numpy(), np.array(truth) / 90)


@pytest.mark.parametrize("timeframe", ["1m", "7t", "25v", "6r"])
def test_live_closed_and_forming_bars_have_the_values_of_history(timeframe: str) -> None:
    batch, seen = oracle.a_tape(np.random.default_rng(3), 300, WEEK[:1]), 0
    asked, builder = TapeSpeed(timeframe=timeframe, window_s=45), BarBuilder(ES, timeframe)
    for piece in oracle.cut(np.random.default_rng(3), batch):
        closed = builder.add(piece)
        seen += len(piece)
        assert builder.forming is not None
        told = [list(asked.of_bar(builder, bar).values()) for bar in (*closed[-3:], builder.forming)]
        assert told == asked.run(batch[:seen])[["trades_per_s", "volume_per_s"]].tail(len(told)).to_numpy().tolist()
