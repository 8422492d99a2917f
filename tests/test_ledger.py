"""The ledger and the duplicates test against a dict and a sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.ledger import Ledger, SeenIndices, countable
from tastytrade_provider.model import Action, TradeBatch, TradeFlag
from tests.checks.builders import a_batch
from tests.checks.oracle import cut

Held = dict[int, tuple[int, int, int, int]]
NEW, CORRECTION, CANCEL = (int(action) for action in Action)


def trade(index: int, time_ns: int = 0, ticks: int = 1, lots: int = 1, side: int = 0, action: int = NEW) -> TradeBatch:
    return several([(index, time_ns, ticks, lots, side, action)])


def several(rows: list[tuple[int, int, int, int, int, int]]) -> TradeBatch:
    names = ("index", "time_ns", "ticks", "lots", "side", "action")
    columns: dict[str, Any] = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return a_batch(price=1.0, size=1.0, **columns)


def held_by(ledger: Ledger) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(ledger, name).tolist() for name in ("index", "time_ns", "ticks", "lots", "side")), strict=True))


def apply(held: Held, rows: list[tuple[int, int, int, int, int, int]]) -> dict[str, int]:
    """The same with a dict."""
    counts = dict.fromkeys(("duplicates", "corrections", "cancels", "orphans"), 0)
    for index, time_ns, ticks, lots, side, action in rows:
        if action == NEW:
            counts["duplicates"] += index in held
            held.setdefault(index, (time_ns, ticks, lots, side))
        elif index not in held:
            counts["orphans"] += 1
        elif action == CANCEL or lots <= 0:
            counts["cancels"] += 1
            del held[index]
        else:
            counts["corrections"] += 1
            held[index] = (held[index][0], ticks, lots, side)
    return counts


def in_order(held: Held) -> list[tuple[int, ...]]:
    return sorted(((index, *row) for index, row in held.items()), key=lambda row: (row[1], row[0]))


ROWS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.integers(0, 12),
        st.integers(1, 9),
        st.integers(0, 3),
        st.sampled_from([-1, 0, 1]),
        st.sampled_from([NEW, NEW, NEW, CORRECTION, CANCEL]),
    ),
    max_size=60,
)


@pytest.mark.property
@given(rows=ROWS, seed=st.integers(0, 999), longest=st.integers(2, 70))
def test_in_any_pieces_it_holds_what_a_dict_and_a_sort_hold(rows: list[tuple[int, int, int, int, int, int]], seed: int, longest: int) -> None:
    rows = [(index, index // 3 + time // 6, ticks, max(lots, action == NEW), side, action) for index, time, ticks, lots, side, action in rows]
    ledger, held = Ledger(), Held()
    for piece in cut(np.random.default_rng(seed), several(rows), longest):
        before = held_by(ledger)
        first = ledger.add(piece)
        after = held_by(ledger)
        assert before[:first] == after[:first]  # and from there on something is not what it was, or nothing is there
        assert first == len(after) or first == len(before) or before[first:] != after[first:] or first < len(before)
    counts = apply(held, rows)
    assert held_by(ledger) == in_order(held)
    assert {name: getattr(ledger.stats, name) for name in counts} == counts


@pytest.mark.parametrize("seed", range(3))
def test_a_large_batch_in_any_order_ends_as_the_same_trades_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 30_000
    index = rng.permutation(np.repeat(np.arange(n // 2), 2))
    rows = [(i, i // 4, 1 + i % 7, 1 + i % 3, i % 3 - 1, NEW) for i in index.tolist()]
    if seed:  # corrections among them
        rows += [(i, 0, 5, 2, 1, CORRECTION if i % 2 else CANCEL) for i in rng.integers(0, n // 2, 50).tolist()]
        rows += [(i, i // 4, 9, 9, 0, NEW) for i in rng.integers(0, n // 2, 50).tolist()]
    held, ledger = Held(), Ledger()
    counts = apply(held, rows)
    assert ledger.add(several(rows)) == 0
    assert held_by(ledger) == in_order(held)
    assert {name: getattr(ledger.stats, name) for name in counts} == counts


def test_of_an_index_that_comes_twice_the_first_to_come_counts_in_a_large_batch_too() -> None:
    n = 9_000
    rows = [(i, 10 + i, 5, 1, 1, NEW) for i in range(n)] + [(n - 1, 3, 7, 1, 1, NEW)]
    held, ledger = Held(), Ledger()
    counts = apply(held, rows)
    ledger.add(several(rows))
    assert held_by(ledger) == in_order(held)
    assert ledger.stats.duplicates == counts["duplicates"] == 1


def test_what_follows_is_appended_and_the_first_new_row_comes_back() -> None:
    ledger = Ledger()
    assert ledger.add(trade(1, 10)) == 0
    assert ledger.add(several([(2, 10, 1, 1, 0, NEW), (3, 11, 1, 1, 0, NEW)])) == 1
    assert ledger.add(trade(5, 9)) == 0
    assert ledger.index.tolist() == [5, 1, 2, 3]


def test_a_correction_keeps_the_time_and_the_place_of_the_trade_it_replaces() -> None:
    for together in (True, False):
        ledger = Ledger()
        rows = [(1, 10, 1, 1, 1, NEW), (2, 20, 1, 1, 1, NEW), (1, 99, 7, 3, -1, CORRECTION)]
        for piece in [several(rows)] if together else [several([row]) for row in rows]:
            ledger.add(piece)
        assert held_by(ledger) == [(1, 10, 7, 3, -1), (2, 20, 1, 1, 1)]


def test_an_index_comes_once_even_where_trades_without_one_lie_between() -> None:
    ledger = Ledger()
    for row in [(5, 10, 1, 1, 0, NEW), (-1, 11, 1, 1, 0, NEW), (5, 12, 1, 1, 0, NEW)]:
        ledger.add(several([row]))
    assert ledger.index.tolist() == [5, -1]
    assert ledger.stats.duplicates == 1


def test_trades_without_an_index_keep_the_order_they_came_in() -> None:
    ledger = Ledger()
    ledger.add(several([(-1, 10, 1, 1, 0, NEW), (-1, 10, 2, 1, 0, NEW), (-1, 12, 3, 1, 0, NEW)]))
    ledger.add(several([(-1, 10, 4, 1, 0, NEW), (-1, 11, 5, 1, 0, NEW)]))
    assert ledger.ticks.tolist() == [1, 2, 4, 5, 3]
    ledger.add(trade(-1, 12, action=CANCEL))
    assert (len(ledger), ledger.stats.orphans) == (5, 1)


def test_what_was_dropped_is_too_late_and_what_follows_goes_on() -> None:
    ledger = Ledger()
    ledger.add(several([(1, 10, 1, 1, 0, NEW), (2, 20, 1, 1, 0, NEW), (3, 30, 1, 1, 0, NEW)]))
    assert ledger.drop(2, 30) == 2
    assert ledger.index.tolist() == [3]
    ledger.add(trade(0, 29))
    ledger.add(trade(4, 30))
    assert (ledger.index.tolist(), ledger.stats.too_late) == ([3, 4], 1)


def test_no_trades_change_nothing() -> None:
    ledger = Ledger()
    assert ledger.add(trade(1)[:0]) == 0


@pytest.mark.property
@given(batches=st.lists(st.lists(st.integers(0, 200), max_size=30), max_size=20), forget=st.integers(-1, 200))
def test_seen_indices_are_a_set(batches: list[list[int]], forget: int) -> None:
    seen, held = SeenIndices(), set[int]()
    probe = np.arange(-1, 205)
    for batch in batches:
        fresh = list(dict.fromkeys(index for index in batch if index not in held))
        seen.add(np.array(fresh, np.int64))
        held |= set(fresh)
        assert (len(seen), seen.last) == (len(held), max(held, default=-1))
        assert seen.contains(probe).tolist() == [int(index) in held for index in probe]
    seen.forget_below(forget)
    assert seen.contains(probe).tolist() == [int(index) in held and index >= forget for index in probe]
    seen.add(np.array([999]))
    assert seen.contains(np.array([999, 998])).tolist() == [True, False]


def test_a_correction_that_makes_a_trade_the_leg_of_a_spread_withdraws_it_as_does_a_cancel_flagged_so() -> None:
    leg = TradeFlag.VALID_TICK | TradeFlag.SPREAD_LEG
    ledger = Ledger()
    ledger.add(a_batch(index=[1, 2, 3], size=[2.0, 5.0, 7.0]))
    told = a_batch(index=[2, 3, 4, 1], size=[5.0, 7.0, 9.0, 3.0], action=[CORRECTION, CANCEL, NEW, CORRECTION], flags=[leg, leg, leg, TradeFlag.VALID_TICK])
    ledger.add(countable(told))
    assert (ledger.index.tolist(), ledger.lots.tolist()) == ([1], [3])
    ledger.add(countable(told[2:3], legs=True))
    assert ledger.lots.tolist() == [3, 9]
