"""The conformance checks on everything registered, with default parameters and with others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tastytrade_provider.indicators import Indicator, IndicatorManager, base
from tastytrade_provider.indicators.classic import NAMES as TA_LIB  # tested in test_classic.py
from tests.checks.indicators import CHECKS, history, same

MANAGER = IndicatorManager()
ALIKE: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in MANAGER.list_indicators() if name not in TA_LIB and MANAGER.create(name).input == "bars"),
    ("cvd", {"reset": "rth_open", "calendar": "CME Globex Equity"}),
    ("cvd", {"reset": "weekly"}),
    ("cvd", {"reset": "12:00"}),
    ("volume_delta", {"extremes": "sierra"}),
    ("delta_divergence", {"left": 2, "right": 1, "min_gap": 1, "max_gap": 9, "cvd_value": "extreme", "equal_ticks": 2, "earlier_pivots": 3}),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "params"), ALIKE, ids=str)
def test_every_indicator_conforms(name: str, params: dict[str, Any], check: Callable[[Callable[[], Indicator]], None]) -> None:
    check(partial(MANAGER.create, name, **params))


@pytest.mark.parametrize(("name", "params"), ALIKE, ids=str)
def test_a_frame_that_goes_through_in_blocks_equals_one_that_goes_at_once(name: str, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data = history()
    data["symbol"] = ["/ESZ6"] * 150 + ["/ESH7"] * (len(data) - 150)
    whole = MANAGER.create(name, **params).run(data)
    monkeypatch.setattr(base, "_BLOCK", 7)
    same(MANAGER.create(name, **params).run(data), whole)
