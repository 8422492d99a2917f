from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.indicators.adapters.for_backtrader import feed, indicator
from tests.adapters.libraries import library
from tests.checks.builders import ES, bars, frame, random_bars

bt = library("backtrader")
pytestmark = pytest.mark.filterwarnings("default")

DATA = frame(random_bars(7, 150, unknown=0.05))
DATA.attrs |= {"tick_size": ES.tick_size, "calendar": ES.calendar}


def lines(data: Any, name: str, *, runonce: bool = True, **params: Any) -> dict[str, list[float]]:
    """What a strategy reads from the indicator, bar by bar."""
    seen: dict[str, list[float]] = {}

    class Reader(bt.Strategy):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.flow = indicator(name, **params)(self.data)

        def next(self) -> None:
            for line in self.flow.lines.getlinealiases():
                seen.setdefault(line, []).append(getattr(self.flow.lines, line)[0])

    cerebro = bt.Cerebro(runonce=runonce)
    cerebro.adddata(feed(data))
    cerebro.addstrategy(Reader)
    cerebro.run()
    return seen


def test_cvd_by_hand_resets_with_the_session() -> None:
    assert lines(bars(monday=[(5, 2), (1, 4)], tuesday=[(7, 6)]), "cvd")["cvd"] == [3, 0, 1]


@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("volume_delta", {}),
        ("cvd", {}),
        ("cvd", {"reset": "rth_open", "calendar": ES.calendar}),
        ("delta_divergence", {"left": 2, "right": 2, "min_gap": 1, "tick_size": ES.tick_size}),
    ],
)
def test_a_strategy_reads_the_values_of_the_history(name: str, params: dict[str, Any], runonce: bool) -> None:
    data = DATA.assign(complete=True)
    whole = IndicatorManager().calculate(data, name, **params)
    read = lines(data, name, runonce=runonce, **params)
    assert list(read) == list(whole)
    for column in whole:
        np.testing.assert_array_equal(read[column], whole[column].to_numpy(np.float64), err_msg=column)


def test_two_of_a_kind_keep_states_of_their_own() -> None:
    kind, found = indicator("cvd"), []

    class Reader(bt.Strategy):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.flows = [kind(self.data), kind(self.data)]

        def next(self) -> None:
            found.append([flow.cvd[0] for flow in self.flows])

    cerebro = bt.Cerebro()
    cerebro.adddata(feed(bars(monday=[(5, 2), (1, 4)])))
    cerebro.addstrategy(Reader)
    cerebro.run()
    assert found == [[3, 3], [0, 0]]
