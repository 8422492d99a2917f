"""One strategy file runs on every provider with no change, and asks the manager for what it needs by name."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.checks.provider_data import bounds, heard, open_market
from tests.test_providers import MAKERS

STRATEGY = """
from tastytrade_provider.indicators import IndicatorManager

manager = IndicatorManager()

async def decide(provider, start, end):
    contract = await provider.resolve("ES")
    bars = await provider.historical_bars(contract, "1s", start, end)
    return bars.join(manager.calculate(bars, "rsi", timeperiod=3)).join(manager.calculate(bars, "cvd"))
"""


async def test_one_strategy_decides_the_same_on_every_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    file = tmp_path / "strategy.py"
    file.write_text(STRATEGY)
    decide: Any = runpy.run_path(str(file))["decide"]
    found: dict[str, pd.DataFrame] = {}
    for name, make in MAKERS.items():
        async with make(open_market()) as stage:
            await heard(stage)
            found[name] = await decide(stage.provider, *bounds(stage.source.prints()))
    exact = found.pop("tastytrade")
    assert exact["rsi"].notna().sum() > 3
    assert exact["cvd"].iloc[-1] == (exact["buy_volume"] - exact["sell_volume"]).sum() != 0
    for name, frame in found.items():
        np.testing.assert_array_equal(frame["rsi"], exact["rsi"], name)
    assert found.pop("ib")["cvd"].isna().all()  # its bars have no split: unknown, never zero
    for name, frame in found.items():
        np.testing.assert_array_equal(frame["cvd"], exact["cvd"], name)
