"""The pages in docs/indicators hold what the indicators declare, and their examples run. `python -m tests.indicators.test_docs` draws the pictures anew."""

from __future__ import annotations

import re
import struct
import tempfile
from pathlib import Path

import pytest

from tastytrade_provider.emulator.market import Market
from tastytrade_provider.emulator.source import Print
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.indicators.classic import NAMES as TA_LIB
from tastytrade_provider.indicators.params import Param

DOCS = Path(__file__).resolve().parents[2] / "docs" / "indicators"
MANAGER = IndicatorManager()
OURS = [name for name in MANAGER.list_indicators() if name not in TA_LIB]
PAGES = sorted(DOCS.glob("*.md"))
# Hours of the made-up market from Monday's cash open, timeframe, bars
PICTURES = {"footprint.png": (3.0, "1m", 14), "session.png": (31.0, "15m", 110), "divergence.png": (31.0, "5m", 90)}


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def linked(text: str) -> list[str]:
    """Targets of links and pictures in the folder, without their anchors."""
    return [target for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", text) if ":" not in target]


def row(param: Param) -> str:
    accepts = param.accepts.replace("|", r"\|")
    return f"| `{param.name}` | `{param.default!r}` | {accepts} | {param.meaning} |"


@pytest.mark.parametrize("name", OURS)
def test_an_indicator_has_a_page_with_all_its_columns_and_parameters(name: str) -> None:
    text, indicator = page(name), MANAGER.create(name)
    assert f"[{name}]({name}.md)" in page("README")
    for output in indicator.outputs:
        assert f"`{output}`" in text, output
    near = [text, *((DOCS / other).read_text(encoding="utf-8") for other in linked(text) if other.endswith(".md"))]
    for param in indicator.accepts:
        assert any(row(param) in each for each in near), row(param)
    for word in ("**Resets**", "**Unknowns**", "```python"):
        assert word in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_examples_of_a_page_run_one_after_the_other(path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(path), "exec"), names)
    assert blocks


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_about_a_screen_and_what_it_links_to_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    for target in linked(text):
        assert (DOCS / target).exists(), target


def test_there_is_no_page_without_an_indicator_and_no_picture_without_a_page() -> None:
    assert {path.stem for path in PAGES} == {"README", *OURS}
    assert {path.name for path in DOCS.glob("*.png")} == set(PICTURES)
    assert set(PICTURES) <= {target for path in PAGES for target in linked(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_chart_draws_it_1600_by_900(name: str) -> None:
    head = (DOCS / name).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (1600, 900)


def made_up_tape(hours: float) -> str:
    """Prints of ES on the made-up market, as CSV."""
    market, lines = Market(roots=("ES",), prints_per_s=2.0), ["time_ns,price,size,side"]
    for event in market:
        if event.at_ns >= market.start_ns + int(hours * 3600e9):
            break
        if isinstance(event, Print):
            lines.append(f"{event.time_ns},{event.price},{event.size:g},{event.side.name}")
    return "\n".join(lines)


if __name__ == "__main__":
    from tastytrade_provider.commands.chart import run

    with tempfile.TemporaryDirectory() as folder:
        for picture, (hours, timeframe, last) in PICTURES.items():
            tape = Path(folder) / "es.csv"
            tape.write_text(made_up_tape(hours))
            run(path=tape, out=DOCS / picture, symbol="/ESH6", timeframe=timeframe, last=last)
