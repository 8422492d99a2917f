from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.errors import MissingColumns, UsageError
from tastytrade_provider.indicators import CVD, FootprintIndicator, Indicator, IndicatorManager, VolumeDelta
from tests.checks.builders import a_batch, bars, frame, random_bars


class Body(Indicator):
    """Close minus open."""

    name = "body"
    inputs = ("open", "close")
    outputs = ("body",)

    def _state(self) -> Any:
        return None

    def _kernel(self, state: Any, bars: Any, out: Any) -> None:
        out[:, 0] = bars.floats("close") - bars.floats("open")


class Broken(Body):
    """Raises at its first bar."""

    name = "broken"

    def _kernel(self, state: Any, bars: Any, out: Any) -> None:
        raise ZeroDivisionError("no such thing")


WEEK = bars(monday=[(5, 2), (1, 4)], tuesday=[(7, 6)])


def test_ours_and_those_of_ta_lib_are_registered() -> None:
    names = IndicatorManager().list_indicators()
    assert {"cvd", "delta_divergence", "delta_quality", "delta_signals", "volume_delta"} <= set(names)
    assert {"cvd_by_size", "delta_detail", "footprint", "footprint_bars", "footprint_levels", "tape_speed"} <= set(names)
    assert {"sma", "ema", "rsi", "macd", "atr", "bbands", "obv", "cdldoji"} <= set(names)
    assert names == sorted(names)


@pytest.mark.parametrize("verb", ["register", "add", "add_indicator"])
def test_a_class_a_factory_and_an_instance_can_be_registered_under_each_verb(verb: str) -> None:
    manager = IndicatorManager()
    getattr(manager, verb)("mine", Body)
    getattr(manager, verb)("made", lambda: Body())
    getattr(manager, verb)("rth", CVD(reset="rth_open"))
    getattr(manager, verb)(Body)
    assert {"mine", "made", "rth", "body"} <= set(manager.list_indicators())
    assert "mine" in manager
    assert manager.create("rth").params["reset"] == "rth_open"
    assert manager.create("rth", reset="never").params["reset"] == "never"
    assert manager.calculate(WEEK, "made")["body"].tolist() == [0, 0, 0]


def test_it_works_as_a_decorator_with_and_without_a_name() -> None:
    manager = IndicatorManager()

    @manager.register
    class One(Body):
        name = "one"

    @manager.register("two")
    class Two(Body):
        pass

    assert manager.get_indicator("one") is One
    assert manager.get_indicator("two") is Two


def test_a_name_is_given_once_unless_it_is_replaced_on_purpose() -> None:
    manager = IndicatorManager()
    with pytest.raises(UsageError, match="'cvd' is registered already; replace=True"):
        manager.register("cvd", Body)
    assert manager.register("cvd", Body, replace=True) is Body
    assert manager.get_indicator("cvd") is Body
    with pytest.raises(UsageError, match="'rsi' is registered already: it is TA-Lib's; replace=True"):
        manager.register("rsi", Body)
    manager.register("rsi", Body, replace=True)
    assert manager.calculate(WEEK, "rsi")["body"].tolist() == [0, 0, 0]


def test_what_cannot_be_an_indicator_is_refused() -> None:
    manager = IndicatorManager()
    with pytest.raises(UsageError, match="cannot be registered as 'three'"):
        manager.register("three", 3)
    with pytest.raises(UsageError, match="no name of its own"):
        manager.register(len)
    manager.register("length", dict)
    with pytest.raises(UsageError, match="made a dict, which lacks name, input, outputs, params, warmup, describe, run, preview, reset"):
        manager.create("length")


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known() -> None:
    with pytest.raises(UsageError) as raised:
        IndicatorManager().get_indicator("volume_detla")
    assert str(raised.value).startswith("no indicator 'volume_detla'; did you mean 'volume_delta'? known are cvd, cvd_by_size, delta_detail, ")
    assert str(raised.value).endswith("volume_delta, and TA-Lib's functions in lower case (sma, rsi, macd ...)")


def test_describe_says_what_it_reads_returns_and_accepts() -> None:
    told = IndicatorManager().describe("delta_divergence")
    assert told["outputs"][:3] == ["regular", "hidden", "absorption"]
    assert told["warmup"] == 5 + 6 + 5
    assert {"name": "left", "default": 5, "accepts": "a whole number from 1 to 500", "meaning": "bars before a pivot that it must exceed"} in told["params"]


def test_an_unknown_parameter_lists_those_accepted() -> None:
    with pytest.raises(UsageError, match="cvd has no parameter 'length'; it accepts reset, calendar"):
        IndicatorManager().calculate(WEEK, "cvd", length=3)


def test_calculate_returns_the_indicators_columns_and_leaves_the_input_alone() -> None:
    before = WEEK.copy(deep=True)
    out = IndicatorManager().calculate(WEEK, "cvd")
    assert out["cvd"].tolist() == [3, 0, 1]
    pd.testing.assert_index_equal(out.index, WEEK.index)
    pd.testing.assert_frame_equal(WEEK, before)


def test_calculate_takes_trades_where_the_indicator_reads_them_and_refuses_bars_there() -> None:
    manager, trades = IndicatorManager(), a_batch(price=[6000.0, 6000.25], side=[1, -1])
    pd.testing.assert_frame_equal(manager.calculate(trades, "footprint"), FootprintIndicator().run(trades))
    with pytest.raises(MissingColumns, match="data_provider: tastytrade has them"):
        manager.calculate(WEEK, "footprint")


def test_apply_adds_the_columns_of_the_configured_indicators_that_read_bars() -> None:
    manager = IndicatorManager(names=["volume_delta", "cvd", "footprint", "footprint_bars", "delta_detail", "tape_speed"])
    out = manager.apply(WEEK)
    assert list(out) == [*WEEK, "delta", "delta_pct", "cvd", "cvd_open", "cvd_high", "cvd_low"]  # min_delta and max_delta were there
    assert out["delta"].tolist() == [3, -3, 1]
    assert "cvd" not in WEEK


def test_applying_twice_changes_nothing() -> None:
    manager, data = IndicatorManager(), frame(random_bars(3, 100))
    once = manager.apply(data)
    pd.testing.assert_frame_equal(manager.apply(once), once)


def test_a_label_gives_a_second_one_of_a_kind_columns_of_its_own() -> None:
    out = IndicatorManager().apply(WEEK, {"cvd": {}, "all": {"name": "cvd", "reset": "never"}})
    assert out["all_cvd"].tolist() == [3, 0, 1]
    assert [name for name in out if "cvd" in name] == [
        "cvd", "cvd_open", "cvd_high", "cvd_low", "all_cvd", "all_cvd_open", "all_cvd_high", "all_cvd_low",
    ]  # fmt: skip
    manager = IndicatorManager()
    manager.register(Body)
    assert "size" in manager.apply(WEEK, {"size": {"name": "body"}})


def test_never_adds_sessions_together_when_told_so_by_label() -> None:
    days = bars(monday=[(5, 2)], tuesday=[(7, 6)])
    assert IndicatorManager().apply(days, {"all": {"name": "cvd", "reset": "never"}})["all_cvd"].tolist() == [3, 4]


def test_two_that_return_the_same_column_are_not_let_overwrite_each_other() -> None:
    class Other(VolumeDelta):
        name = "other"

    manager = IndicatorManager()
    manager.register(Other)
    with pytest.raises(UsageError, match="both return 'delta'; give one a label"):
        manager.apply(WEEK, ["volume_delta", "other"])
    assert manager.apply(WEEK, {"volume_delta": {}, "mine": {"name": "other"}})["mine_delta"].tolist() == [3, -3, 1]


def test_apply_refuses_by_name_what_reads_trades() -> None:
    with pytest.raises(MissingColumns, match="footprint reads trades"):
        IndicatorManager().apply(WEEK, ["footprint"])


def test_a_fault_marks_its_columns_nan_is_counted_and_logged_once_and_spares_the_others(caplog: pytest.LogCaptureFixture) -> None:
    manager = IndicatorManager()
    manager.register(Broken)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            out = manager.apply(WEEK, ["broken", "cvd"])
    assert out["body"].isna().all()
    assert out["cvd"].tolist() == [3, 0, 1]
    assert (manager.faults["broken"].count, manager.faults["broken"].last) == (3, "ZeroDivisionError: no such thing")
    assert [record.message for record in caplog.records] == ["indicator broken failed: no such thing"]
    with pytest.raises(ZeroDivisionError):
        manager.calculate(WEEK, "broken")


def test_bars_without_a_split_get_nan_columns_and_a_reason() -> None:
    manager = IndicatorManager()
    out = manager.apply(WEEK[["open", "high", "low", "close", "volume", "session"]])
    assert np.isnan(out["cvd"]).all()
    assert "Interactive Brokers history has no split" in manager.faults["cvd"].last


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed distributions: one indicator that works, one module that does not exist, and one that wants our name."""
    (tmp_path / "acme_spread.py").write_text(
        "from tastytrade_provider.indicators import Indicator\n"
        "class Range(Indicator):\n"
        "    name, inputs, outputs = 'range', ('high', 'low'), ('range',)\n"
        "    def _state(self): return None\n"
        "    def _kernel(self, state, bars, out): out[:, 0] = bars.floats('high') - bars.floats('low')\n"
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tastytrade_provider.indicators]\nrange = acme_spread:Range\nlost = acme_nowhere:Lost\ncvd = acme_spread:Range\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_plugins_are_found_by_their_entry_point_and_loaded_when_asked_for(plugins: Path) -> None:
    manager = IndicatorManager()
    assert {"cvd", "lost", "range"} <= set(manager.list_indicators())
    assert manager.calculate(WEEK, "range")["range"].tolist() == [0, 0, 0]


def test_a_broken_plugin_is_reported_and_does_not_stop_the_rest(plugins: Path) -> None:
    manager = IndicatorManager()
    with pytest.raises(UsageError, match=r"plugin 'lost' \(acme_nowhere:Lost\) could not be loaded: ModuleNotFoundError"):
        manager.create("lost")
    assert manager.faults["lost"].count == 1
    assert manager.calculate(WEEK, "range")["range"].tolist() == [0, 0, 0]


def test_a_plugin_cannot_take_a_name_of_ours_quietly(plugins: Path) -> None:
    manager = IndicatorManager()
    assert "range" in manager
    assert manager.get_indicator("cvd") is CVD
    assert "wants a name that is taken" in manager.faults["cvd"].last
