"""A program for ib_async runs on the fake TWS as it stands, and with one import changed on the DXLink side of the same market."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastytrade_provider.registry import register_provider
from tests.compat.stage import MarketProvider, a_market, in_a_thread, program

SCRIPT = Path(__file__).with_name("script.py").read_text()
THEIRS, OURS = "from ib_async import IB, Future, util", "from tastytrade_provider.compat import IB, Future, util"


async def test_a_program_prints_the_same_with_one_import_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_market() as emulator:
        theirs = await in_a_thread(program(SCRIPT.replace("7497", str(emulator.tws_port)), {}))
    async with a_market() as emulator:
        register_provider("market", lambda settings: MarketProvider(emulator), replace=True)
        monkeypatch.setenv("TTP_DATA_PROVIDER", "market")
        monkeypatch.chdir(Path(__file__).parent)  # no config.yaml here
        assert SCRIPT.count(THEIRS) == 1
        ours = await in_a_thread(program(SCRIPT.replace(THEIRS, OURS), {}))
    assert [line.split()[0] for line in theirs] == ["contract", "history", "daily", "kept", "closed", "prints"]
    assert ours == theirs
