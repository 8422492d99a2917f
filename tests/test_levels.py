from __future__ import annotations

import numpy as np
import pytest

from tastytrade_provider.bars import Footprint, build_footprint, build_history
from tastytrade_provider.errors import UsageError
from tastytrade_provider.levels import grouped
from tastytrade_provider.model import Contract
from tests.checks import oracle
from tests.checks.builders import ES
from tests.indicators import plain_trades as plain


def a_footprint(*volumes: int, low: int = 24000, contract: Contract = ES) -> Footprint:
    """Bought volume by price from `low` ticks on; a 0 is a price that did not trade."""
    return Footprint.of(contract, np.array([[low + i, 0, 0, volume] for i, volume in enumerate(volumes) if volume]))


def in_ticks(footprint: Footprint, share: float = 0.7) -> tuple[int, ...]:
    area = footprint.value_area(share)
    assert area is not None
    assert footprint.poc is not None
    return tuple(footprint.contract.ticks(price) - 24000 for price in (footprint.poc, *area))


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        ((5, 20, 50, 15, 10), (2, 1, 2)),  # 50 of 100, then 20 > 15: 70
        ((20, 5, 50, 5, 20), (2, 2, 4)),  # 50; of equals the 5 above: 55; then 20 above against 5 below: 75
        ((10, 40, 0, 40, 10), (1, 0, 3)),  # two POCs equally far from the middle: the lower
        ((30, 10, 30), (0, 0, 2)),  # 30 of 70, 40, 70: 49 are wanted
        ((9,), (0, 0, 0)),
        ((4, 0, 0, 6), (3, 0, 3)),  # nothing but gaps below: down to the next that traded
        ((5, 50, 0, 40, 5), (1, 0, 3)),  # a gap above has no volume, 5 below is more; then up through the gap
    ],
    ids=str,
)
def test_the_value_area_grows_by_the_larger_neighbour_and_upwards_between_equals(volumes: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    assert in_ticks(a_footprint(*volumes)) == expected


def test_a_share_is_reached_exactly() -> None:
    assert in_ticks(a_footprint(3, 7), share=0.7) == (1, 1, 1)
    assert in_ticks(a_footprint(3, 7), share=0.71) == (1, 0, 1)
    assert in_ticks(a_footprint(3, 7), share=1) == (1, 0, 1)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_what_a_walk_over_every_price_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = int(rng.choice([1, 1, 4]))
    cells = {24000 + row * int(at): [int(n) for n in rng.integers(0, 6, 3)] for at in rng.choice(25, rng.integers(1, 20), replace=False)}
    cells = {ticks: cell for ticks, cell in cells.items() if sum(cell)} or {24000: [1, 0, 0]}
    found = Footprint.of(ES, np.array([[ticks, *cell] for ticks, cell in cells.items()]), row)
    low, high = plain.value_area(cells, 70, row)
    assert (found.poc, found.value_area()) == (plain.poc(cells) / 4, (low / 4, high / 4))


def test_without_trades_there_is_no_area_and_a_share_above_all_is_refused() -> None:
    empty = Footprint.of(ES, np.empty((0, 4), np.int64))
    assert (empty.poc, empty.value_area()) == (None, None)
    with pytest.raises(UsageError, match="is not from 0 to 1"):
        empty.value_area(70)


def test_rows_of_several_ticks_begin_at_whole_multiples_below_zero_too() -> None:
    cells = np.array([[0, -3, 1, 0, 0], [0, -1, 0, 0, 2], [0, 0, 4, 0, 0], [0, 3, 0, 8, 0], [1, 3, 16, 0, 0]])
    assert grouped(cells, 2).tolist() == [[0, -4, 1, 0, 0], [0, -2, 0, 0, 2], [0, 0, 4, 0, 0], [0, 2, 0, 8, 0], [1, 2, 16, 0, 0]]


def test_one_footprint_and_a_history_are_grouped_alike() -> None:
    batch = oracle.a_tape(np.random.default_rng(1), 300, oracle.sessions("2026-11-23", "2026-11-24"))
    whole = build_footprint(batch, "1d", ES, ticks_per_row=4)
    fine = build_history(batch, "1d", ES)
    for bar, time in enumerate(fine.time):
        one = Footprint.of(ES, fine.cells[fine.cells[:, 0] == bar]).grouped(4)
        assert one.ticks_per_row == 4
        assert one.to_dataframe().equals(whole.loc[time])


def test_rows_that_do_not_fit_are_neither_grouped_nor_merged() -> None:
    rows = a_footprint(1, 2, 3).grouped(2)
    assert rows.grouped(6).ticks_per_row == 6
    with pytest.raises(UsageError, match="no whole multiple of the 2"):
        rows.grouped(3)
    with pytest.raises(UsageError, match=r"rows of \[1, 2\] ticks cannot be merged"):
        Footprint.merged(ES, [rows, a_footprint(1)])
    assert Footprint.merged(ES, [rows, rows]).volume.tolist() == [6, 6]


@pytest.mark.parametrize(
    ("root", "tick_size", "price"),
    [("ES", 0.25, 6000.25), ("NQ", 0.25, 25000.75), ("GC", 0.1, 4000.3), ("6E", 0.00005, 1.08765), ("ZN", 0.015625, 110.515625)],
    ids=lambda value: str(value),
)
def test_prices_of_levels_are_the_floats_that_were_traded(root: str, tick_size: float, price: float) -> None:
    contract = Contract(root, f"/{root}Z6", tick_size=tick_size)
    ticks = contract.ticks(price) + np.arange(-2000, 2000)
    assert np.array_equal(contract.ticks(contract.price(ticks)), ticks)
    found = a_footprint(1, 5, 2, low=contract.ticks(price) - 1, contract=contract)
    assert found.poc == price
    assert found.to_dataframe().index[1] == price


@pytest.mark.parametrize("timeframe", ["1m", "1d", "7t", "25v", "6r"])
def test_a_footprint_sums_up_to_its_bar(timeframe: str) -> None:
    batch = oracle.a_tape(np.random.default_rng(9), 900, oracle.sessions("2026-11-23", "2026-11-25"))
    history = build_history(batch, timeframe, ES)
    bars = history.bars()
    sums = {name: np.bincount(history.cells[:, 0], history.cells[:, at]) for at, name in ((2, "sell"), (3, "unknown"), (4, "buy"))}
    assert (sums["buy"] == bars["buy_volume"]).all()
    assert (sums["sell"] == bars["sell_volume"]).all()
    assert ((sums["buy"] - sums["sell"]) + 2 * sums["sell"] + sums["unknown"] == bars["volume"]).all()
