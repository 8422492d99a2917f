# ruff: noqa: PD011 - .values is a field of Update and LiveSet here, not of a frame
from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import build_bars
from tastytrade_provider.errors import UsageError
from tastytrade_provider.indicators import DeltaDetail, FootprintBars, IndicatorManager, LiveSet, TapeSpeed, Update
from tastytrade_provider.indicators.live import KEPT
from tastytrade_provider.model import Action, Contract, Gap, Roll, TradeBatch
from tests.checks.builders import ES, MINUTE_NS, a_batch, opening, random_trades

NAMES: Mapping[str, Any] = {"volume_delta": {}, "cvd": {}, "delta_divergence": {"left": 2, "right": 2, "min_gap": 1}}


def a_set(timeframe: str = "1m", names: Mapping[str, Any] = NAMES, faults: list[str] | None = None) -> LiveSet:
    heard = [] if faults is None else faults
    indicators = {label: IndicatorManager().create(label, **params) for label, params in names.items()}
    return LiveSet(ES, timeframe, indicators, on_fault=lambda label, error: heard.append(label))


def at(minute: float, **columns: Any) -> TradeBatch:
    """One trade, `minute` minutes after the cash open."""
    return a_batch(time_ns=[opening() + int(minute * MINUTE_NS)], **columns)


def table(updates: list[Update]) -> pd.DataFrame:
    """The latest word on every bar, as a frame; bars left empty are out."""
    latest = {update.bar.start_ns: update for update in updates}
    kept = [latest[start] for start in sorted(latest) if latest[start].bar.open is not None]
    index = pd.DatetimeIndex(np.array([u.bar.start_ns for u in kept], np.int64).view("M8[ns]"), tz="UTC", name="time")
    return pd.DataFrame([u.values for u in kept], index=index)


def batch_says(trades: TradeBatch, timeframe: str = "1m") -> pd.DataFrame:
    data = build_bars(trades, timeframe, ES)
    data.attrs["tick_size"] = ES.tick_size
    return IndicatorManager().apply(data, NAMES)


def same(live: pd.DataFrame, batch: pd.DataFrame) -> None:
    for name in live:
        np.testing.assert_array_equal(live[name].to_numpy(np.float64), batch[name].to_numpy(np.float64), err_msg=name)
    assert live.index.equals(batch.index)


@pytest.mark.parametrize("timeframe", ["1m", "5m", "50t", "200v", "8r"])
@pytest.mark.parametrize("seed", range(3))
def test_live_in_random_batches_equals_history(timeframe: str, seed: int) -> None:
    trades, rng, live = random_trades(seed, 2_000), random.Random(seed), a_set(timeframe)
    updates, i = [], 0
    while i < len(trades):
        n = rng.choice([1, 3, 40])
        updates += live.add(trades[i : i + n])
        i += n
    whole = batch_says(trades, timeframe)
    forming = live.forming
    assert forming is not None
    same(table([*updates, forming]), whole)
    assert len(updates) == len(whole) - 1


def test_the_forming_bar_previews_and_commits_nothing() -> None:
    live = a_set()
    live.add(at(0, size=5.0, side=1))
    for _ in range(3):
        assert live.forming is not None
        assert live.forming.values["cvd"] == 5
        assert math.isnan(live.values["cvd"])
    (closed,) = live.add(at(1, size=2.0, side=-1))
    assert closed.values["cvd"] == live.values["cvd"] == 5
    assert live.forming.values["cvd"] == 3


def test_the_clock_closes_a_bar_when_nobody_trades() -> None:
    live = a_set()
    live.add(at(0, size=5.0, side=1))
    assert live.advance(opening() + MINUTE_NS - 1) == []
    (closed,) = live.advance(opening() + MINUTE_NS)
    assert closed.values["delta"] == 5
    assert live.forming is None


@pytest.mark.parametrize("seed", range(6))
def test_late_corrected_and_cancelled_trades_end_in_the_same_values_as_history(seed: int) -> None:
    trades, rng = random_trades(seed, 1_500), random.Random(seed)
    order = list(range(len(trades)))
    late = sorted(rng.sample(order, 40), reverse=True)
    for i in late:
        order.remove(i)
        order.insert(min(i + rng.randint(1, 60), len(order)), i)
    live, updates, pieces = a_set(), [], []
    for start in range(0, len(order), 25):
        piece = trades[np.array(order[start : start + 25])]
        pieces.append(piece)
        updates += live.add(piece)
        if rng.random() < 0.3:
            one = trades[np.array([rng.choice(order[: start + 25])])]
            action = rng.choice([Action.CORRECTION, Action.CANCEL])
            change = one.replace(action=np.array([action], np.int8), side=np.array([rng.choice([-1, 1])], np.int8), lots=one.lots + 3)
            pieces.append(change)
            updates += live.add(change)
    assert live.unrepaired == 0
    assert any(update.bar.revision for update in updates)
    whole = batch_says(TradeBatch.concat(pieces))
    forming = live.forming
    assert forming is not None
    same(table([*updates, forming]), whole)


def test_after_a_repair_the_later_bars_whose_values_changed_come_again() -> None:
    live = a_set()
    for minute in range(4):
        live.add(at(minute, size=1.0, side=1))
    again = live.add(at(0.5, size=10.0, side=-1))  # the first bar's delta becomes 1 - 10 = -9, and every sum after it 10 less
    assert [(u.bar.start_ns, u.bar.revision, u.values["cvd"]) for u in again] == [
        (opening(), 1, -9), (opening() + MINUTE_NS, 0, -8), (opening() + 2 * MINUTE_NS, 0, -7),
    ]  # fmt: skip
    assert [u.values["delta"] for u in again] == [-9, 1, 1]
    assert live.forming is not None
    assert live.forming.values["cvd"] == -6


def test_a_bar_the_clock_closed_too_early_previews_without_being_counted_twice() -> None:
    live = a_set()
    live.add(at(0, size=5.0, side=1))
    live.advance(opening() + MINUTE_NS)
    updates = live.add(at(0.9, size=2.0, side=1))
    seen = [u.values["cvd"] for u in updates] + ([live.forming.values["cvd"]] if live.forming else [])
    assert seen == [7]


def test_a_bar_that_a_cancel_emptied_comes_without_values_and_leaves_the_sum() -> None:
    live = a_set()
    for minute in range(3):
        live.add(at(minute, size=4.0, side=1, index=[minute]))
    updates = live.add(at(1, size=4.0, side=1, index=[1], action=[Action.CANCEL]))
    (gone,) = updates
    assert (gone.bar.start_ns, gone.bar.open) == (opening() + MINUTE_NS, None)
    assert all(math.isnan(value) for value in gone.values.values())
    assert live.forming is not None
    assert live.forming.values["cvd"] == 8
    assert live.values["cvd"] == 4


def test_a_gap_marks_bars_incomplete_and_a_filled_one_does_not() -> None:
    live = a_set()
    for minute in range(3):
        live.add(at(minute))
    gap = Gap(ES, opening(), opening() + 1, "reconnect")
    assert live.add(dataclasses.replace(gap, filled=True)) == []
    (update,) = live.add(gap)
    assert (update.bar.start_ns, update.bar.complete, update.bar.revision) == (opening(), False, 1)


def test_a_roll_closes_the_old_contracts_bar_and_starts_everything_anew() -> None:
    live, after = a_set(), Contract("ES", "/ESH7", tick_size=0.25)
    live.add(at(0, size=5.0, side=1))
    (last,) = live.add(Roll(ES, after, opening() + MINUTE_NS))
    assert (last.bar.contract, last.values["cvd"]) == (ES, 5)
    live.add(a_batch(after, time_ns=[opening() + MINUTE_NS], size=2.0, side=1))
    assert live.contract == after
    assert live.forming is not None
    assert live.forming.values["cvd"] == 2
    with pytest.raises(UsageError, match="footprints are kept of /ESH7; the bar is of /ESZ6"):
        live.footprint(last.bar)


def test_the_footprint_of_closed_and_forming_bars() -> None:
    live = a_set()
    live.add(at(0, size=5.0, side=1, price=6000.25))
    (closed,) = live.add(at(1, size=2.0, side=-1))
    assert live.footprint(closed.bar).to_dataframe()["delta"].to_dict() == {6000.25: 5.0}
    assert live.forming is not None
    assert live.footprint(live.forming.bar).to_dataframe()["delta"].to_dict() == {6000.0: -2.0}


@pytest.mark.parametrize("split", [1, 137, 400])
def test_history_then_live_equals_history_alone(split: int) -> None:
    trades = random_trades(5, 1_500)
    whole = batch_says(trades)
    history = build_bars(trades, "1m", ES).iloc[:split]
    cut = int(np.searchsorted(trades.time_ns, whole.index[split].value))
    live = a_set()
    live.warm(history)
    updates = live.add(trades[max(cut - 5, 0) :])  # overlaps with the last bar of the history, which is left out
    forming = live.forming
    assert forming is not None
    same(table([*updates, forming]), whole.iloc[split:])


def test_history_goes_in_once_and_first() -> None:
    live = a_set()
    live.add(at(0))
    live.add(at(1))
    with pytest.raises(UsageError, match="before the first bar"):
        live.warm(build_bars(at(0), "1m", ES))


class Picky:
    """An indicator that raises at a delta of 13. Not one of ours: it only has the methods."""

    name, input, outputs, params = "picky", "bars", ("picky",), {}

    def update(self, bar: Any) -> dict[str, float]:
        if bar.delta == 13:
            raise ValueError("13")
        return {"picky": bar.delta}

    preview = update

    def reset(self) -> None:
        pass


def test_a_fault_yields_nan_from_then_on_is_heard_and_spares_the_others() -> None:
    heard: list[str] = []
    live = LiveSet(ES, "1m", {"picky": Picky(), "cvd": IndicatorManager().create("cvd")}, on_fault=lambda label, _: heard.append(label))  # type: ignore[dict-item]
    updates = []
    for minute, size in enumerate((2.0, 13.0, 4.0, 1.0)):
        updates += live.add(at(minute, size=size, side=1))
    assert [u.values["cvd"] for u in updates] == [2, 15, 19]
    assert [str(u.values["picky"]) for u in updates] == ["2.0", "nan", "nan"]
    assert heard == ["picky"]


def test_a_fault_in_a_preview_costs_only_that_preview() -> None:
    heard: list[str] = []
    live = LiveSet(ES, "1m", {"picky": Picky()}, on_fault=lambda label, _: heard.append(label))  # type: ignore[dict-item]
    live.add(at(0, size=13.0, side=1))
    forming = live.forming
    assert forming is not None
    assert math.isnan(forming.values["picky"])
    live.add(at(0.1, size=1.0, side=1))
    after = live.forming
    assert after is not None
    assert after.values["picky"] == 14
    assert heard == ["picky"]


def test_what_is_held_is_bounded_and_a_change_too_old_to_redo_is_counted() -> None:
    live = a_set("10s", {"cvd": {}})
    n = 2_500  # bars of ten seconds: seven hours of one session, more than is held
    live.add(a_batch(time_ns=opening() + np.arange(n) * 10 * 10**9, side=1))
    assert KEPT <= len(live._held) < KEPT + 64
    assert len(live._marks) <= 33
    kept = live.values["cvd"]
    (update,) = live.add(a_batch(time_ns=[opening() + 1], size=3.0, side=-1))
    assert (update.bar.start_ns, update.bar.revision, live.unrepaired) == (opening(), 1, 1)
    assert math.isnan(update.values["cvd"])
    assert live.values["cvd"] == kept


def test_indicators_over_trades_read_a_live_set_as_they_read_a_builder() -> None:
    trades, live = random_trades(3, 400), a_set()
    closed = [update.bar for update in live.add(trades)]
    assert live.forming is not None
    for bar in (closed[-2], closed[-1], live.forming.bar):
        at = pd.Timestamp(bar.start_ns, tz="UTC")
        assert DeltaDetail().of_bar(live, bar)["delta"] == bar.delta
        assert TapeSpeed().of_bar(live, bar)["volume_per_s"] == TapeSpeed().run(trades).loc[at, "volume_per_s"]
        assert FootprintBars().of_bar(live, bar).columns()["poc"].tolist() == [FootprintBars().run(trades).loc[at, "poc"]]
    with pytest.raises(UsageError, match="kept of /ESZ6; the bar is of /ESH7"):
        live.trades_of(dataclasses.replace(closed[-1], contract=dataclasses.replace(ES, symbol="/ESH7")))
