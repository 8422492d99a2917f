from __future__ import annotations

import math

import pandas as pd
import pytest

from tastytrade_provider.bars import build_bars
from tastytrade_provider.errors import MissingColumns
from tastytrade_provider.indicators import VolumeDelta
from tastytrade_provider.indicators.delta_detail import DeltaDetail
from tests.checks.builders import ES, a_bar, bars, random_trades


def test_delta_is_bought_minus_sold_and_its_share_is_of_the_sided_volume() -> None:
    # 30 bought, 10 sold, 20 unknown: delta 30 - 10 = 20, share 20 / (30 + 10) = 0.5
    values = VolumeDelta().update(a_bar(buy=30.0, sell=10.0, volume=60.0))
    assert (values["delta"], values["delta_pct"]) == (20.0, 0.5)


def test_tenths_are_subtracted_as_tenths() -> None:
    assert VolumeDelta().update(a_bar(buy=0.3, sell=0.1))["delta"] == 0.2  # 0.3 - 0.1 is 0.19999999999999998 in floats


def test_without_sided_volume_there_is_no_share() -> None:
    values = VolumeDelta().update(a_bar(buy=0.0, sell=0.0, volume=7.0))
    assert values["delta"] == 0.0
    assert math.isnan(values["delta_pct"])


def test_a_bar_without_a_split_is_unknown_and_not_zero() -> None:
    assert all(math.isnan(value) for value in VolumeDelta().update(a_bar(buy=None, sell=None, volume=7.0)).values())


def test_the_extremes_are_those_of_the_bar_and_nan_where_it_does_not_know_them() -> None:
    assert VolumeDelta().update(a_bar(buy=5.0, sell=3.0, min_delta=-2.0, max_delta=4.0)) == {
        "delta": 2.0, "delta_pct": 0.25, "min_delta": -2.0, "max_delta": 4.0,
    }  # fmt: skip
    out = VolumeDelta().run(bars(monday=[(5, 3)]).drop(columns=["min_delta", "max_delta"]))
    assert out[["min_delta", "max_delta"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("deltas", "low", "high"),
    [
        ([3, 5, -1], None, 8.0),  # 3 8 7: never below the 3, which a bar that begins at 0 does not hold
        ([-3, -5, 1], -8.0, None),  # -3 -8 -7
        ([-3, 5], -3.0, 2.0),  # -3 2: beyond the 0 on both sides
        ([4, -4], 0.0, 4.0),  # 4 0: came back to 0
    ],
    ids=str,
)
def test_sierras_extremes_are_those_a_bar_can_tell_from_the_zero_it_starts_from(deltas: list[int], low: float | None, high: float | None) -> None:
    running = [sum(deltas[:i]) for i in range(len(deltas) + 1)]
    bar = a_bar(buy=float(sum(d for d in deltas if d > 0)), sell=float(-sum(d for d in deltas if d < 0)), min_delta=min(running), max_delta=max(running))
    values = VolumeDelta(extremes="sierra").update(bar)
    assert [None if math.isnan(values[name]) else values[name] for name in ("min_delta", "max_delta")] == [low, high]


@pytest.mark.parametrize("seed", range(3))
def test_sierras_extremes_of_bars_are_those_of_their_trades_or_unknown(seed: int) -> None:
    trades = random_trades(seed, n=600, seconds=20)
    found = VolumeDelta(extremes="sierra").run(build_bars(trades, "1m", ES))[["min_delta", "max_delta"]]
    truth = DeltaDetail(extremes="sierra", orders=False).run(trades)[["min_delta", "max_delta"]]
    assert ((found == truth) | found.isna()).all(axis=None)
    assert 0 < found.isna().to_numpy().mean() < 0.5
    assert (found.isna() & (truth == 0)).sum().sum() < found.isna().sum().sum()


def test_interactive_brokers_history_is_told_who_has_the_split() -> None:
    history = pd.DataFrame({"open": [1.0], "high": [1.0], "low": [1.0], "close": [1.0], "volume": [5.0]})
    with pytest.raises(MissingColumns) as raised:
        VolumeDelta().run(history)
    assert str(raised.value) == (
        "volume_delta needs buy_volume and sell_volume; buy_volume and sell_volume missing among ['open', 'high', 'low', 'close', 'volume']. "
        "Interactive Brokers history has no split: data_provider: tastytrade has (delta_source time_and_sale or candle)"
    )
