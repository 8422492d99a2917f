"""`attach` on managers of the kinds that programs have."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tastytrade_provider.errors import UsageError
from tastytrade_provider.indicators import Attached, IndicatorManager, attach
from tests.checks.builders import a_bar, bars

DAY = bars(monday=[(5, 2), (1, 4)])
OURS = ["volume_delta", "cvd", "delta_divergence"]


class Named:
    """register(name, indicator), calculate(df, name)"""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    def register(self, name: str, indicator: Any) -> None:
        self.held[name] = indicator

    def list_indicators(self) -> list[str]:
        return list(self.held)

    def calculate(self, df: pd.DataFrame, name: str) -> Any:
        return self.held[name].calculate(df)


class NameLast(Named):
    """register(indicator, name=None)"""

    def register(self, indicator: Any, name: str | None = None) -> None:  # type: ignore[override]
        self.held[name or type(indicator).__name__] = indicator


class OwnName(Named):
    """add(indicator): the name is the indicator's"""

    register = None  # type: ignore[assignment]

    def add(self, indicator: Any) -> None:
        self.held[indicator.name] = indicator


class OfFunctions(Named):
    """add_indicator(name, func, **params)"""

    register = None  # type: ignore[assignment]

    def add_indicator(self, name: str, func: Callable[[pd.DataFrame], Any], **params: Any) -> None:
        self.held[name] = func

    def calculate(self, df: pd.DataFrame, name: str) -> Any:
        return self.held[name](df)


class OfClasses(Named):
    """register_indicator_class(name, cls): it makes the instances"""

    def register_indicator_class(self, name: str, cls: type[Any]) -> None:
        self.held[name] = cls

    def calculate(self, df: pd.DataFrame, name: str) -> Any:
        return self.held[name]().calculate(df)


class OfTypes(OfClasses):
    """register(name, indicator: type): a class under an indicator's name"""

    register_indicator_class = None  # type: ignore[assignment]

    def register(self, name: str, indicator: type[Any], /) -> None:
        assert isinstance(indicator, type)
        self.held[name] = indicator


class Shelf(Named):
    """no method, but a dict of indicators"""

    register = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.indicators = {"sma": lambda df: df["close"]}
        self.held = self.indicators

    def calculate(self, df: pd.DataFrame, name: str) -> Any:
        return self.indicators[name](df)


@pytest.mark.parametrize("kind", [Named, NameLast, OwnName, OfFunctions, OfClasses, OfTypes, Shelf], ids=lambda kind: kind.__doc__)
def test_it_enters_ours_by_the_managers_own_signature(kind: type[Named]) -> None:
    theirs = kind()
    assert attach(theirs) == OURS
    assert theirs.calculate(DAY, "cvd")["cvd"].tolist() == [3, 0]
    assert theirs.calculate(DAY, "volume_delta")["delta"].tolist() == [3, -3]
    assert set(OURS) <= set(theirs.list_indicators())


def test_a_list_of_indicators_is_appended_to() -> None:
    class Listing:
        def __init__(self) -> None:
            self.indicators = [Attached("sma", IndicatorManager().get_indicator("sma"))]

    theirs = Listing()
    attach(theirs, ["cvd"])
    assert [one.name for one in theirs.indicators] == ["sma", "cvd"]
    with pytest.raises(UsageError, match="has an indicator 'cvd' already"):
        attach(theirs, ["cvd"])


def test_what_is_returned_can_be_a_frame_a_dict_or_the_main_column() -> None:
    for returns, kind in (("frame", pd.DataFrame), ("dict", dict), ("series", pd.Series)):
        theirs = Named()
        attach(theirs, ["cvd"], returns=returns)  # type: ignore[arg-type]
        found = theirs.calculate(DAY, "cvd")
        assert isinstance(found, kind)
        assert (found if returns == "series" else found["cvd"]).tolist() == [3, 0]
    with pytest.raises(UsageError, match="returns='list' is not accepted; frame, dict, series are"):
        attach(Named(), returns="list")  # type: ignore[arg-type]


def test_any_indicator_may_be_entered_and_has_the_shape_such_managers_read() -> None:
    theirs = Named()
    attach(theirs, ["rsi", "footprint"])
    one = theirs.held["rsi"]
    assert (one.name, one.params["timeperiod"], one.enabled) == ("rsi", 14, True)
    attach(theirs, ["cvd"])
    live = theirs.held["cvd"]
    assert live.update(a_bar(buy=5.0, sell=2.0))["cvd"] == 3
    live.reset()
    assert live.update(a_bar(buy=1.0, sell=2.0))["cvd"] == -1


def test_a_class_takes_parameters() -> None:
    theirs = OfClasses()
    attach(theirs, ["cvd"])
    assert theirs.held["cvd"](reset="never").params["reset"] == "never"
    assert theirs.held["cvd"].name == "cvd"


class PerTimeframe:
    def add_indicator(self, timeframe: str, indicator: Any) -> None:
        self.held = (timeframe, indicator)


class HardCoded:
    def __init__(self) -> None:
        self.indicators: dict[str, Any] = {}  # for results, but who can tell

    def analyse(self, data: pd.DataFrame) -> dict[str, float]:
        return {}


class Awaited:
    async def register(self, name: str, indicator: Any) -> None:
        raise AssertionError


class ByName:
    def add(self, name: str) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (PerTimeframe(), r"add_indicator\(timeframe: 'str', indicator: 'Any'\) -> 'None' asks for 'timeframe'\. Say how with method="),
        (HardCoded(), "it has none of register_indicator_class, register, .* delta_columns: true in config.yaml puts the columns into the bars"),
        (Awaited(), "must be awaited"),
        (ByName(), r"add\(name: 'str'\) -> 'None' takes no indicator"),
        (object(), "cannot attach to builtins.object"),
        (IndicatorManager(), "has our indicators already"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_it_cannot_attach_to_is_refused_with_the_reason(theirs: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        attach(theirs)


def test_a_manager_that_asks_for_more_is_entered_by_a_function_of_the_user() -> None:
    theirs = PerTimeframe()
    attach(theirs, ["cvd"], method=lambda name, indicator: theirs.add_indicator("1m", indicator))
    assert theirs.held[0] == "1m"
    assert theirs.held[1].calculate(DAY)["cvd"].tolist() == [3, 0]


def test_a_manager_that_wants_its_own_kind_gets_it_by_wrap_and_is_quoted_without() -> None:
    class Own:
        def __init__(self, name: str, calculate: Any) -> None:
            self.name, self.calculate = name, calculate

    class Picky(Named):
        def register(self, name: str, indicator: Any) -> None:
            if not isinstance(indicator, Own):
                raise TypeError("an Own, please")
            super().register(name, indicator)

    with pytest.raises(UsageError, match="refused volume_delta: TypeError: an Own, please; wrap="):
        attach(Picky())
    theirs = Picky()
    attach(theirs, wrap=lambda one: Own(one.name, one.calculate))
    assert theirs.calculate(DAY, "cvd")["cvd"].tolist() == [3, 0]


def test_a_name_that_is_taken_is_refused_before_anything_is_entered() -> None:
    theirs = Named()
    theirs.register("cvd", len)
    with pytest.raises(UsageError, match="Named has an indicator 'cvd' already; only="):
        attach(theirs)
    assert theirs.list_indicators() == ["cvd"]
    assert attach(theirs, only=["volume_delta"]) == ["volume_delta"]


def test_a_named_method_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="it has none of enrol"):
        attach(Named(), method="enrol")


def test_one_that_takes_and_forgets_is_told() -> None:
    class Forgetful(Named):
        def list_indicators(self) -> list[str]:
            return []

    with pytest.raises(UsageError, match="took 'volume_delta' but does not list it"):
        attach(Forgetful())


def test_a_fault_gives_nan_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    theirs = Named()
    attach(theirs, ["cvd"])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = theirs.calculate(DAY[["close"]], "cvd")
    assert found.isna().all().all()
    assert found.index.equals(DAY.index)
    assert theirs.held["cvd"].faults == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Interactive Brokers history has no split" in caplog.text
    assert pd.isna(theirs.held["cvd"].update({"close": 1.0})["cvd"])


def test_an_unknown_name_is_told_before_anything_is_entered() -> None:
    theirs = Named()
    with pytest.raises(UsageError, match="did you mean 'cvd'"):
        attach(theirs, ["volume_delta", "cdv"])
    assert not theirs.held


BESIDE = """
import manager
from indicators.manager import IndicatorManager
from tastytrade_provider.indicators import attach
import indicators.base, indicators.volume_delta, pandas as pd
theirs = IndicatorManager()
assert IndicatorManager is not manager and attach(theirs, ["volume_delta", "cvd"]) == ["volume_delta", "cvd"]
bars = pd.DataFrame({"buy_volume": [5.0, 1.0], "sell_volume": [2.0, 4.0], "session": pd.Timestamp("2026-11-23")})
assert theirs.calculate(bars, "cvd")["cvd"].tolist() == [3.0, 0.0]
assert indicators.base.Indicator.mine and indicators.volume_delta.volume_delta() == "theirs"
print("fine")
"""
THEIRS = {
    "manager": """
class IndicatorManager:
    def __init__(self): self.known = {}
    def register(self, name, indicator): self.known[name] = indicator
    def list_indicators(self): return list(self.known)
    def calculate(self, df, name): return self.known[name].calculate(df)
""",
    "base": "class Indicator:\n    mine = True\n",
    "volume_delta": "def volume_delta():\n    return 'theirs'\n",
}


@pytest.mark.parametrize("with_init", [True, False], ids=["with __init__.py", "without __init__.py"])
def test_it_attaches_to_the_manager_of_a_program_whose_folder_is_called_indicators_too(tmp_path: Path, with_init: bool) -> None:
    folder = tmp_path / "indicators"
    folder.mkdir()
    for name, text in THEIRS.items():
        (folder / f"{name}.py").write_text(text)
    if with_init:
        (folder / "__init__.py").touch()
    path = os.pathsep.join(map(str, (tmp_path, folder, Path(__file__).resolve().parents[2])))
    done = subprocess.run([sys.executable, "-c", BESIDE], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("fine", 0), done.stdout + done.stderr
