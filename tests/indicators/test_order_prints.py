from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.errors import UsageError
from tastytrade_provider.indicators.order_prints import orders
from tastytrade_provider.model import Contract
from tests.checks import oracle
from tests.checks.builders import ES, a_batch, opening
from tests.indicators import plain_trades as plain


def test_prints_of_one_time_and_side_in_a_row_are_one_order() -> None:
    # bought 2 + 3 at 6000 and 5 at 6000.25 at once; another side; the first side again; later
    time = opening() + np.array([0, 0, 0, 0, 0, 1])
    batch = a_batch(time_ns=time, price=[6000, 6000, 6000.25, 6000, 6000, 6000], size=[2, 3, 5, 1, 1, 1], side=[1, 1, 1, -1, 1, 1])
    out = orders(batch)
    assert out[["side", "size", "prints", "ticks"]].to_numpy().tolist() == [[1, 10, 3, 1], [-1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]]
    assert out.iloc[0][["price", "first_price", "last_price"]].tolist() == [6000.125, 6000, 6000.25]
    assert orders(batch, min_size=10)["size"].tolist() == [10]


def test_prints_nobody_knows_the_side_of_stand_alone() -> None:
    assert orders(a_batch(time_ns=[opening()] * 3, side=[0, 0, 1]))["prints"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_orders_are_what_the_plain_definition_says(seed: int) -> None:
    batch = oracle.a_tape(np.random.default_rng(seed), 600, oracle.sessions("2026-11-23", "2026-11-24"))
    rows, out = oracle.rows_of(batch), orders(batch)
    groups = plain.orders(rows)
    assert len(groups) < len(rows)
    assert out["size"].tolist() == [sum(rows[i][2] for i in group) for group in groups]
    assert out["ticks"].tolist() == [max(rows[i][1] for i in group) - min(rows[i][1] for i in group) for group in groups]
    assert out.index.as_unit("ns").asi8.tolist() == [rows[group[0]][0] for group in groups]


def test_no_trades_are_no_orders() -> None:
    assert len(orders(a_batch()[:0])) == 0


def test_a_frame_needs_its_contract() -> None:
    with pytest.raises(UsageError, match="give contract="):
        orders(a_batch().to_dataframe())
    assert len(orders(a_batch().to_dataframe(), ES)) == 1


def test_the_es_hour_has_as_many_orders_and_sweeps_as_were_counted_in_it(tapes: Path) -> None:
    """order-flow facts, section 1: 2,972 prints with a side are 2,833 orders, 42 swept more than one level."""
    rows = pd.read_csv(tapes / "es_h4_20231225_trades_bbo.csv.gz")
    rows["time"] = pd.to_datetime(rows["ts_event_ns"], utc=True)
    out = orders(rows[["time", "price", "size", "side"]], Contract("ES", "/ESH4", tick_size=0.25))
    assert (out["ticks"] > 0).sum() == 42
    assert out["size"].sum() == 9892
    sided = out[out["side"] != 0]  # all but the opening auction
    assert (len(sided), sided["prints"].sum()) == (2833, 2972)
