"""What `migrate scan`, `rewrite` and `guide` print, write and return."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("libcst")

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
    assert "2 call sites in 1 of 2 files (4 lines): 2 Auto, 0 Assist, 0 Manual" in said.out
    assert "not read: old.py: line 1" in said.err


def test_scan_returns_0_where_nothing_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.py").write_text("x = 1\n")
    assert scanned(tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == []


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


def test_the_guide_answers_for_a_call_a_rule_or_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("reqRealTimeBars", "realtime-bars"):
        guide(word)
        assert "[realtime-bars](#realtime-bars)" in capsys.readouterr().out
    with pytest.raises(UsageError, match="nothing in the guide on 'nonsense'"):
        guide("nonsense")
