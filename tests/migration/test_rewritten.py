"""Programs of the corpus, run as they are on ib_async and a fake TWS, and as `migrate rewrite --to compat` leaves them at the same market's DXLink side."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libcst")
pytest.importorskip("ib_async", reason="the extra [ib] is not installed")

import ib_async
from ib_async import util

from migration.codemod import rewrite_source
from tastytrade_provider.emulator import Emulator
from tastytrade_provider.errors import UsageError
from tests.checks.sources import until
from tests.migration.pairs import at_the_exchange, printed, run
from tests.migration.world import World, an_exchange

CORPUS = Path(__file__).resolve().parents[1] / "data" / "migration" / "corpus"
WORLD = World(("ES", "NQ", "GC"))
Names = dict[str, Any]

# what a program leaves behind that a reader would compare, besides what it prints
LEFT: dict[str, Callable[[Names], Any]] = {
    "auto_sync_history": lambda names: names["df"].to_string(),
    "auto_async_history": lambda names: None,
    "auto_keep_up_to_date": lambda names: [bar.date.timestamp() for bar in names["bars"]],
    "auto_realtime_bars": lambda names: list(names["bars"]),
    "auto_market_data": lambda names: [(t.contract.localSymbol, t.bid, t.bidSize, t.ask, t.askSize, t.volume) for t in [names["snap"], *names["also"]]],
    "auto_tick_by_tick": lambda names: (names["nq"].localSymbol, names["app"].isConnected()),
    "conditional_import": lambda names: names["main"]().to_string(),
    "async_gather": lambda names: None,  # who of its three is first, chance decides
}
_NEW_BARS = 3  # closed minutes that auto_keep_up_to_date prints


async def left_by(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Any]:
    """What a program printed, and what it left behind. Where it sleeps, the market goes on until it has seen what there is."""
    lines: list[str] = []
    asleep = threading.Event()

    def sleep(self: Any, seconds: float) -> None:
        asleep.set()
        while len(lines) < _NEW_BARS:
            util.run(asyncio.sleep(0.01))

    async def market(emulator: Emulator) -> None:
        await until(asleep.is_set, "the program did not come to where it sleeps")
        emulator.publish(WORLD.prints())

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ib_insync", ib_async)  # they agree in every name used here
        patch.setattr(sys, "argv", [name, "--ib"])
        patch.setattr(ib_async.IB, "sleep", sleep)
        async with an_exchange(WORLD, start_on="") as emulator:
            with at_the_exchange(emulator):
                goes_on = asyncio.create_task(market(emulator)) if ".sleep(" in source else None
                names = await run(f"{source}\n_left = _look(globals())\n", name, printed(lines) | {"__name__": "__main__", "_look": LEFT[name]})
                if goes_on is not None:
                    await goes_on
    return sorted(lines) if name == "async_gather" else lines, names["_left"]


@pytest.fixture
def _ends_as_programs_end() -> Iterator[None]:
    """A program that ends with its loop leaves it to the interpreter to close what is open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.usefixtures("_ends_as_programs_end")
@pytest.mark.parametrize("name", LEFT)
async def test_a_rewritten_program_means_what_it_meant(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("data_provider: tastytrade\n")
    monkeypatch.chdir(tmp_path)
    before = (CORPUS / f"{name}.py").read_bytes().replace(b"202609", b"202612")  # a month that is listed on the day of this market
    after = rewrite_source(before, f"{name}.py", "compat").after
    assert b"from tastytrade_provider" in after
    theirs = await left_by(name, before.decode(), monkeypatch)
    ours = await left_by(name, after.decode(), monkeypatch)
    assert ours == theirs


async def test_a_contract_known_only_by_ib_s_number_is_refused_with_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("data_provider: tastytrade\n")
    monkeypatch.chdir(tmp_path)
    program = rewrite_source((CORPUS / "auto_with_statement.py").read_bytes(), "auto_with_statement.py", "compat").after
    async with an_exchange(WORLD, start_on="") as emulator:
        with (
            at_the_exchange(emulator),
            pytest.raises(UsageError, match=r"conId=568550526.* names no contract .*symbol, localSymbol and tradingClass are empty"),
        ):
            await run(program.decode(), "auto_with_statement", {})
