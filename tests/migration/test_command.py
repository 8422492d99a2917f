"""What `migrate scan`, `rewrite` and `guide` print, write and return."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("libcst")

from migration.guide import PATH, anchors
from tastytrade_provider.commands.migrate import guide, rewrite, scan
from tastytrade_provider.errors import UsageError

PROGRAM = "from ib_async import IB\nib = IB()\nib.connect()\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(PROGRAM)
    (tmp_path / "src" / "old.py").write_text("print 'x'\n")
    return tmp_path / "src"


def scanned(path: Path, *, as_json: bool = False, sarif: Path | None = None, html: Path | None = None) -> int:
    return scan(path, as_json, sarif, html, False)


def test_scan_returns_1_where_something_is_found_and_tells_effort_and_what_was_not_read(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scanned(tree) == 1
    said = capsys.readouterr()
    assert f"{tree / 'a.py'}:2:6: Auto ib-object: " in said.out
    assert "2 call sites in 1 of 2 files (4 lines): 2 Auto, 0 Assist, 0 Manual; 1 not read" in said.out
    assert "not read: old.py: line 1" in said.err


def test_scan_returns_0_where_nothing_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.py").write_text("x = 1\n")
    assert scanned(tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_scan_returns_2_where_nothing_is_found_but_a_file_cannot_be_read(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scanned(tree / "old.py") == 2
    assert "1 not read" in capsys.readouterr().out


def test_json_is_a_list_of_objects_that_a_program_can_read(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scanned(tree / "a.py", as_json=True) == 1
    assert [(row["file"], row["line"], row["rule"], row["class"]) for row in json.loads(capsys.readouterr().out)] == [
        ("a.py", 2, "ib-object", "Auto"),
        ("a.py", 3, "connect", "Auto"),
    ]


def test_sarif_and_page_are_written_beside_the_text_or_printed_instead_of_it(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scanned(tree, sarif=tmp_path / "o.sarif", html=tmp_path / "o.html")
    assert json.loads((tmp_path / "o.sarif").read_text())["version"] == "2.1.0"
    assert "<h1>" in (tmp_path / "o.html").read_text()
    capsys.readouterr()
    scanned(tree, sarif=Path("-"))
    assert json.loads(capsys.readouterr().out)["runs"]


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        scanned(tmp_path / "nowhere")


def test_rewrite_shows_first_and_writes_on_request(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rewrite(tree, "compat", False) == 0
    assert "+from tastytrade_provider.compat import IB" in capsys.readouterr().out
    assert (tree / "a.py").read_text() == PROGRAM
    assert rewrite(tree, "compat", True) == 0
    assert "1 file written" in capsys.readouterr().err
    assert "compat" in (tree / "a.py").read_text()


def guided(word: str | None, capsys: pytest.CaptureFixture[str]) -> str:
    assert guide(word) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("anchor", anchors(PATH.read_text("utf-8")))
def test_the_guide_prints_each_of_its_sections_from_its_heading_to_the_next(anchor: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = guided(anchor, capsys).splitlines()
    assert len(lines) > 2
    assert lines[0].startswith("#")
    below = [found for found in anchors("\n".join(lines)) if found != anchor]
    assert bool(below) == (anchor in ("from-interactive-brokers-to-tastytrade", "three-routes", "one-by-one", "what-the-token-cannot-give", "cutover"))


def test_a_section_is_all_of_its_text_and_nothing_of_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    said = guided("history", capsys)
    assert said.startswith("### History\n\n```python\n# Interactive Brokers\n")
    assert "`reqHeadTimeStamp` becomes:" in said
    assert said.endswith("the session it lies in.\n")


@pytest.mark.parametrize("word", ["#no-equivalent", "No equivalent"])
def test_a_section_may_be_written_as_a_link_or_as_its_heading_is(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guided(word, capsys).startswith("### No equivalent\n")


def test_without_a_section_the_guide_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = guided(None, capsys).splitlines()
    assert [line.strip() for line in lines[:-2]] == anchors(PATH.read_text("utf-8"))
    assert "    history" in lines


@pytest.mark.parametrize("word", ["reqMktDepth", "reqmktdepth", "market-depth"])
def test_a_call_or_a_rule_is_answered_with_its_rows_and_their_section(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = guided(word, capsys)
    assert said.startswith("- **reqMktDepth")
    assert "Manual. Market depth is not to be had with the API's token." in said
    assert "\n### Depth\n" in said


def test_a_call_that_several_sections_speak_of_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    said = guided("reqHistoricalData", capsys)
    assert said.endswith("says more: sessions, history-other, history, daily-bars, history-live, native\n")
    assert "###" not in said


def test_a_word_the_guide_does_not_know_is_an_error_with_what_is_near() -> None:
    with pytest.raises(UsageError, match="no section, rule or call 'credential'; near to it: credentials"):
        guide("credential")


def test_on_a_terminal_the_guide_is_laid_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    said = guided("credentials", capsys)
    assert "TastyTrade's API knows OAuth2 only." in said
    lines = re.sub(r"\x1b\[[\d;]*m", "", said).splitlines()
    assert not [line for line in lines if line.startswith(("#", "```", "|"))]
    assert max(map(len, lines)) <= 100
