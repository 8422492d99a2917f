"""What tests of TastyTrade's side may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastytrade_provider.tastytrade import rung, trades


@pytest.fixture
def quick_ladder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The ladder of sources decides in hundredths of a second; what emulators write goes where the test's files are."""
    monkeypatch.setattr(rung, "LISTEN_AFTER_S", 0.05)
    monkeypatch.setattr(rung, "FALL_AFTER_S", 0.05)
    monkeypatch.setattr(trades, "_TICK_S", 0.02)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
