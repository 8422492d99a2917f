"""Against golden files, and against the plain definitions on many random series.

tests/data/indicators_golden.csv holds 300 random bars (seed 7) and what plain.py makes of them. To write it anew after a change of a definition:
`python -m tests.indicators.test_golden`.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.indicators import CVD, DeltaDivergence, Indicator, VolumeDelta, divergences
from tests.checks.builders import frame, random_bars
from tests.indicators import plain

GOLDEN = Path(__file__).parents[1] / "data" / "indicators_golden.csv"
SEED, BARS = 7, 300
PRICES = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "min_delta", "max_delta")


def random_rows(seed: int, n: int) -> list[plain.Row]:
    return [dataclasses.asdict(bar) | {"timeframe": None, "contract": None} for bar in random_bars(seed, n, gaps=0.01)]


def golden_rows() -> list[plain.Row]:
    rows = random_rows(SEED, BARS)
    parts = (plain.volume_delta(rows), plain.cvd(rows), plain.divergence_columns(rows, left=3, right=2))
    kept = ("start_ns", "session", "complete", *PRICES)
    return [{name: row[name] for name in kept} | a | b | c for row, a, b, c in zip(rows, *parts, strict=True)]


def read_golden() -> pd.DataFrame:
    data = pd.read_csv(GOLDEN, parse_dates=["session"])
    return data.set_index(pd.DatetimeIndex(data.pop("start_ns").to_numpy().view("M8[ns]"), tz="UTC", name="time"))


@pytest.mark.parametrize("indicator", [VolumeDelta(), CVD(), DeltaDivergence(left=3, right=2, tick_size=0.25)], ids=lambda indicator: str(indicator.name))
def test_columns_equal_the_golden_file(indicator: Indicator) -> None:
    data = read_golden()
    out = indicator.run(data[[*PRICES, "session", "complete"]])
    for name in out:
        np.testing.assert_array_equal(out[name].to_numpy(np.float64), data[name].to_numpy(np.float64), err_msg=name)


def test_the_golden_file_is_what_the_plain_definitions_say() -> None:
    with GOLDEN.open(newline="") as file:
        stored = list(csv.DictReader(file))
    assert stored == [{name: "" if value is None else str(value) for name, value in row.items()} for row in golden_rows()]


def test_the_golden_file_holds_every_kind_of_signal() -> None:
    data = read_golden()
    assert {(kind, sign) for kind in ("regular", "hidden") for sign in (1, -1) if (data[kind] == sign).any()} == {
        ("regular", 1), ("regular", -1), ("hidden", 1), ("hidden", -1),
    }  # fmt: skip


PARAMS: list[dict[str, Any]] = [
    {},
    {"left": 1, "right": 1, "min_gap": 1, "max_gap": 400},
    {"left": 2, "right": 3, "min_gap": 4, "max_gap": 12, "min_cvd": 5},
    {"left": 3, "right": 1, "min_gap": 1, "max_gap": 40, "cvd_value": "extreme", "min_price_ticks": 3},
    {"left": 1, "right": 2, "min_gap": 2, "max_gap": 30, "equal_ticks": 2, "min_cvd": 2.5},
    {"left": 2, "right": 2, "min_gap": 6, "max_gap": 50, "min_cvd": 40, "earlier_pivots": 4},
]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_divergences_are_the_definitions_on_random_bars(params: dict[str, Any], seed: int) -> None:
    rows = random_rows(seed, 500)
    data = frame(random_bars(seed, 500, gaps=0.01))
    found, truth = divergences(data, tick_size=0.25, **params), plain.events(rows, **params)
    assert [(t.value, k, d) for t, k, d in zip(found["ts"], found["kind"], found["direction"], strict=True)] == [
        (rows[e["row"]]["start_ns"], e["kind"], e["direction"]) for e in truth
    ]
    assert found["pivot_ts"].tolist() == [data.index[e["pivot"]] for e in truth]
    assert found["prev_pivot_ts"].tolist() == [data.index[e["prev"]] for e in truth]
    assert found["price_change_ticks"].tolist() == [e["ticks"] for e in truth]
    assert found["cvd_change"].tolist() == [e["change"] for e in truth]
    assert found["strength"].tolist() == [e["strength"] for e in truth]
    columns, expected = DeltaDivergence(tick_size=0.25, **params).run(data), pd.DataFrame(plain.divergence_columns(rows, **params))
    for name in columns:
        np.testing.assert_array_equal(columns[name].to_numpy(np.float64), expected[name].to_numpy(np.float64), err_msg=name)


if __name__ == "__main__":
    with GOLDEN.open("w", newline="") as file:
        written = golden_rows()
        writer = csv.DictWriter(file, list(written[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(written)
