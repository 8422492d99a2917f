"""The tutorial, followed line by line in a copy of its folder, with both brokers on the loopback exchange."""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("libcst")
pytest.importorskip("ib_async", reason="the extra [ib] is not installed")

import ib_async

from migration.guide import anchors, examples
from tastytrade_provider.emulator import Emulator
from tastytrade_provider.model import Bar
from tests.checks.builders import a_bar
from tests.checks.sources import until
from tests.migration.pairs import at_the_exchange, command, followed, printed, run
from tests.migration.world import NOW_NS, SECOND_NS, World, an_exchange

TUTORIAL = Path(__file__).resolve().parents[1] / "docs" / "tutorial"
README = (TUTORIAL / "README.md").read_text("utf-8")
WORLD = World(live_s=700)
_BAR_NS = 300 * SECOND_NS


async def market(emulator: Emulator, lines: list[str]) -> None:
    """Once the program is ready, what ends the bar of 15:30 and begins the next; once that is told, the next bar."""
    prints, begun_ns = WORLD.prints(), NOW_NS - NOW_NS % _BAR_NS
    await until(lambda: lines and followed(emulator), "the program was not ready")
    for bar, start in enumerate(("15:30", "15:35")):
        emulator.publish([event for event in prints if bar * _BAR_NS < event.at_ns - begun_ns <= (bar + 1) * _BAR_NS])
        await until(lambda: any(line.startswith(start) for line in lines), lambda: f"nothing was said of the bar of {start}: {lines}")  # noqa: B023


def text_of(name: str | Path) -> str:
    return Path(name).read_text("utf-8")


async def python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    name, *arguments = words
    lines: list[str] = []
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    async with an_exchange(WORLD, start_on="") as emulator:
        with at_the_exchange(emulator):
            goes_on = asyncio.create_task(market(emulator, lines))
            await run(text_of(name), name, printed(lines) | {"__name__": "__main__"})
            await goes_on
    return 0, "".join(f"{line}\n" for line in lines)


async def shell(line: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """A line of the tutorial, with variables before it."""
    words = line.split()
    if "python" in words:
        with monkeypatch.context() as patch:
            while words[0] != "python":
                patch.setenv(*words.pop(0).split("=", 1))
            return await python(words[1:], patch)
    async with an_exchange(World(live_s=2000), speed=20.0) as emulator:
        with at_the_exchange(emulator):
            return await command(line)


CODES = {"migrate scan": (1,), " ab ": (0, 1)}
"""What is no 0: call sites are found; and on a busy machine one side of a comparison, twenty times as fast as life, may begin late."""


async def test_every_command_of_the_tutorial_does_what_the_tutorial_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tutorial"
    shutil.copytree(TUTORIAL, folder)
    monkeypatch.chdir(folder)
    blocks = examples(README)
    for block, shown in zip(blocks, [*blocks[1:], None], strict=True):
        if block.language != "console":
            continue
        for line in block.code.splitlines():
            code, said = await shell(line, monkeypatch)
            assert code in next((codes for words, codes in CODES.items() if words in line), (0,)), said
            if "scan" in line:
                assert "9 Auto, 1 Assist, 0 Manual" in said
        if shown is not None and shown.language == "text":
            assert said == shown.code
        if "rewrite" in block.code:
            diff = [row for row in said.splitlines() if row]
            assert diff == ["1 file written: 1 changes, 1 TODOs"]
    assert (folder / "report" / "report.html").is_file()


def tells(name: str, bars: list[Bar]) -> list[str]:
    """What a program's `tell` says of each bar that closes, over those before it."""
    theirs = [ib_async.BarData(date=dt.datetime.fromtimestamp(bar.start_ns / 1e9, dt.UTC), close=bar.close) for bar in bars]
    tree = ast.parse(text_of(TUTORIAL / name))
    [function] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "tell"]
    lines: list[str] = []
    names: dict[str, Any] = {"FAST": 5, "SLOW": 20, "util": ib_async.util, "math": math, "np": np, "dt": dt} | printed(lines)
    exec(compile(ast.Module([function], []), name, "exec"), names)
    for count in range(1, len(bars) + 1):
        names["tell"](*([theirs[:count]] if name == "es_signal.py" else [bars[count - 1], [bar.close for bar in bars[:count]]]))
    return lines


@pytest.mark.parametrize("name", ["es_signal.py", "es_signal_provider.py"])
def test_there_is_no_signal_before_there_are_as_many_bars_as_the_slow_average_needs(name: str) -> None:
    bars = [a_bar(5 * number, close=6000.0 + number) for number in range(21)]
    first, second = tells(name, bars)
    assert first.startswith("16:05 close 6019.00  fast 6017.00  slow 6009.50  LONG")  # the means of 6015 to 6019 and of 6000 to 6019
    assert second.startswith("16:10 close 6020.00  fast 6018.00  slow 6010.50  LONG")


def test_without_a_login_the_program_on_the_interface_ends_with_what_is_missing_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TUTORIAL)
    monkeypatch.setattr(sys, "argv", ["es_signal_provider.py"])
    for variable in ("TT_SECRET", "TT_REFRESH"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SystemExit, match=r"^ConfigError: config\.yaml: tastytrade\.client_secret: missing, .* set TTP_TASTYTRADE__CLIENT_SECRET or TT_SECRET"):
        exec(compile(text_of("es_signal_provider.py"), "es_signal_provider.py", "exec"), {"__name__": "__main__"})


def test_the_configuration_that_the_tutorial_shows_is_the_one_beside_it() -> None:
    assert [block.code for block in examples(README) if block.language == "yaml"] == [(TUTORIAL / "config.yaml").read_text("utf-8")]


def test_the_links_into_the_guide_lead_somewhere() -> None:
    guide = (TUTORIAL / "../../migration/GUIDE.md").read_text("utf-8")
    assert set(re.findall(r"GUIDE\.md#([\w-]+)", README)) - set(anchors(guide)) == set()
