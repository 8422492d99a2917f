from __future__ import annotations

import pandas as pd
import pytest

from tastytrade_provider.errors import UsageError
from tastytrade_provider.indicators import IndicatorManager, divergences
from tastytrade_provider.indicators.adapters import for_pandas
from tests.checks.builders import ES, bars, frame, random_bars

DATA = frame(random_bars(7, 200))
DATA.attrs["tick_size"] = ES.tick_size


def test_every_indicator_is_a_method_of_a_frame() -> None:
    assert bars(monday=[(5, 2), (1, 4)], tuesday=[(7, 6)]).orderflow.cvd()["cvd"].tolist() == [3, 0, 1]
    pd.testing.assert_frame_equal(
        DATA.orderflow.cvd(reset="weekly", calendar=ES.calendar), IndicatorManager().calculate(DATA, "cvd", reset="weekly", calendar=ES.calendar)
    )
    assert {"cvd", "rsi", "volume_delta", "apply", "divergences"} <= set(dir(DATA.orderflow))


def test_several_at_once_and_the_table_of_divergences() -> None:
    pd.testing.assert_frame_equal(DATA.orderflow.apply(["cvd"]), IndicatorManager().apply(DATA, ["cvd"]))
    pd.testing.assert_frame_equal(DATA.orderflow.divergences(left=2, right=2), divergences(DATA, left=2, right=2))


def test_a_name_that_is_no_indicator_is_told() -> None:
    with pytest.raises(AttributeError, match="no indicator 'cdv'"):
        DATA.orderflow.cdv  # noqa: B018


def test_an_accessor_of_somebody_else_is_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs:
        pass

    monkeypatch.setattr(pd.DataFrame, "orderflow", Theirs)
    with pytest.raises(UsageError, match=r"pandas has an accessor 'orderflow' already: .*Theirs"):
        for_pandas._register()
