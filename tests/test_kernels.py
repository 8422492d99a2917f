"""The pure loops: what calls them is tested in test_bars.py; here stands what only they can show."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider import kernels as k
from tastytrade_provider.forming import Forming
from tastytrade_provider.grid import Grid
from tastytrade_provider.model import Array, Timeframe
from tests.checks.builders import ES
from tests.checks.oracle import HOUR, MINUTE, SECOND, utc

OPEN = utc("2026-11-23T14:30")


def columns(rows: list[tuple[int, int, int, int]]) -> tuple[Array, ...]:
    """time_ns, ticks, lots, side, source as the kernel takes them."""
    time, ticks, lots, side = (np.array([row[i] for row in rows]) for i in range(4))
    return time, ticks.astype(np.int32), lots, side.astype(np.int8), np.where(side == 0, 3, 0).astype(np.int8)


def grid(timeframe: str) -> Grid:
    return Grid(ES, Timeframe.parse(timeframe), "session_open", OPEN, OPEN + 30 * HOUR)


def ran(forming: Forming, timeframe: str, rows: list[tuple[int, int, int, int]]) -> tuple[list[Array], list[Array]]:
    bars, cells = forming.run(grid(timeframe), *columns(rows))
    return [row for block in bars for row in block], [row for block in cells for row in block]


def test_two_bars_and_their_cells_by_hand() -> None:
    rows = [(OPEN, 100, 3, 1), (OPEN + 1, 102, 2, -1), (OPEN + 2, 102, 1, 0), (OPEN + MINUTE, 99, 5, -1), (OPEN + 2 * MINUTE, 99, 1, 1)]
    forming = Forming()
    bars, cells = ran(forming, "1m", rows)
    names = (k.START, k.END, k.OPEN, k.HIGH, k.LOW, k.CLOSE, k.SELL, k.UNKNOWN, k.BUY, k.TRADES, k.NOTIONAL, k.MIN_DELTA, k.MAX_DELTA, k.BY_EXCHANGE)
    assert [[int(bar[name]) for name in names] for bar in bars] == [
        [OPEN, OPEN + MINUTE, 100, 102, 100, 102, 2, 1, 3, 3, 0 + 4 + 2, 0, 3, 5],
        [OPEN + MINUTE, OPEN + 2 * MINUTE, 99, 99, 99, 99, 5, 0, 0, 1, 0, -5, 0, 5],
    ]
    assert [cell.tolist() for cell in cells] == [[0, 100, 0, 0, 3], [0, 102, 2, 1, 0], [1, 99, 5, 0, 0]]  # bar, ticks, sold, unknown, bought
    assert forming.levels().tolist() == [[0, 99, 0, 0, 1]]


def test_a_print_larger_than_several_volume_bars_fills_them_one_by_one() -> None:
    forming = Forming()
    bars, cells = ran(forming, "10v", [(OPEN, 100, 4, 1), (OPEN + 1, 101, 33, -1), (OPEN + 2, 101, 2, 1)])
    assert [(int(bar[k.SELL]), int(bar[k.BUY]), int(bar[k.TRADES])) for bar in bars] == [(6, 4, 2), (10, 0, 0), (10, 0, 0)]
    assert [cell.tolist() for cell in cells] == [[0, 100, 0, 0, 4], [0, 101, 6, 0, 0], [1, 101, 10, 0, 0], [2, 101, 10, 0, 0]]
    assert forming.levels().tolist() == [[0, 101, 7, 0, 2]]


def test_more_bars_and_levels_than_there_is_room_for_come_out_whole() -> None:
    rows = [(OPEN + i * SECOND, 100 + (i * 37) % 900, 1 + i % 3, (-1) ** i) for i in range(4_000)]
    small, large = Forming(levels=4, room=2), Forming(levels=4096, room=8192)
    (bars, cells), (more, others) = (ran(forming, "7s", rows) for forming in (small, large))
    np.testing.assert_array_equal(np.array(bars)[:, : k.BAR_NO], np.array(more)[:, : k.BAR_NO])
    np.testing.assert_array_equal(cells, others)
    assert small.close()[0][0, : k.BAR_NO].tolist() == large.close()[0][0, : k.BAR_NO].tolist()


@pytest.mark.parametrize("timeframe", ["1m", "1h", "50v", "30t"])
def test_a_saved_place_can_be_gone_on_from(timeframe: str) -> None:
    rng = np.random.default_rng(3)
    wild = rng.random(900) < 0.01
    rows = [
        (OPEN + i * SECOND, int(t), int(lots), int(side))
        for i, (t, lots, side) in enumerate(
            zip(np.where(wild, rng.integers(-(10**9), 10**9, 900), rng.integers(90, 110, 900)), rng.integers(1, 9, 900), rng.integers(-1, 2, 900), strict=True)
        )
    ]
    forming = Forming()
    ran(forming, timeframe, rows[:400])
    saved = forming.save()
    first = ran(forming, timeframe, rows[400:])
    end = forming.levels()
    forming.restore(saved)
    np.testing.assert_array_equal(forming.levels(), saved[1])
    again = ran(forming, timeframe, rows[400:])
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(forming.levels(), end)


def test_a_bar_alternating_between_absurd_prices_is_not_slow_and_holds_every_lot() -> None:
    n = 20_000
    rows = [(OPEN + i, 2_000_000_000 * (-1) ** i if i % 50 == 0 else 24_000 + i % 9, 1, 1) for i in range(n)]
    forming = Forming()
    ran(forming, "1d", rows)
    levels = forming.levels()
    assert levels[:, 4].sum() == n
    assert levels[:, 1].tolist() == [24_000 + i for i in range(9)] + [2_000_000_000]


def test_cvd_is_the_running_sum_with_its_extremes_and_starts_anew_with_each_segment() -> None:
    delta, least, most = np.array([3.0, -5, 2, 4]), np.array([-1.0, -6, 0, -2]), np.array([4.0, 1, 2, 5])
    out, state = np.empty((4, 4)), np.zeros(2)
    k.cumulate(state, np.array([7, 7, 7, 8]), delta, least, most, out)
    assert out.tolist() == [[0, 4, -1, 3], [3, 4, -3, -2], [-2, 0, -2, 0], [0, 5, -2, 4]]  # open, high, low, close
    assert state.tolist() == [4, 8]


def test_cvd_of_a_bar_without_a_split_is_missing_and_leaves_the_sum_alone() -> None:
    delta = np.array([3.0, math.nan, 2.0])
    out = np.empty((3, 4))
    k.cumulate(np.zeros(2), np.zeros(3, np.int64), delta, delta, delta, out)
    assert out[:, 3].tolist()[::2] == [3, 5]
    assert np.isnan(out[1]).all()


ROW: Any = st.tuples(st.integers(0, 3), st.integers(-1, 4), st.integers(-1, 2), st.integers(0, 2), st.integers(0, 63))


@pytest.mark.property
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_a_survey_says_what_a_look_at_every_row_says(rows: list[tuple[int, int, int, int, int]]) -> None:
    time, index, lots, action, flags = (np.array([row[i] for row in rows], np.int64) for i in range(5))
    found = k.survey(time, index, lots, action.astype(np.int8), flags.astype(np.uint16))
    pairs = list(itertools.pairwise(rows))
    in_time = all(one[0] <= other[0] for one, other in pairs)
    by_index = all(one[1] < other[1] or (one[1] < 0 and other[1] < 0) for one, other in pairs)
    new = all(row[2] > 0 and row[3] == 0 for row in rows)
    assert found[0] == (in_time and by_index and new)
    assert found[1:] == (int(np.bitwise_or.reduce(flags)), int(np.bitwise_and.reduce(flags)))
