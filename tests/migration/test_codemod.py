"""The codemod: only what is sure, nothing else touched, and twice is once."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("libcst")

from migration.codemod import Rewritten, rewrite, rewrite_source, write

CORPUS = Path(__file__).resolve().parents[1] / "data" / "migration" / "corpus"
PROGRAMS = sorted(file.name for file in CORPUS.glob("*.py") if file.name != "broken_python2.py")
rewritten = cache(rewrite_source)
Target = Literal["compat", "provider"]


def of(code: str, target: Target = "compat") -> str:
    return rewritten(code.encode(), "program.py", target).after.decode()


@pytest.mark.parametrize("target", ["compat", "provider"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_rewritten_program_parses_and_twice_is_once(name: str, target: Target) -> None:
    once = rewritten((CORPUS / name).read_bytes(), name, target)
    ast.parse(once.after)
    assert rewritten(once.after, name, target).after == once.after


@pytest.mark.parametrize("name", PROGRAMS)
def test_lines_that_are_not_rewritten_stay_as_they_are(name: str) -> None:
    before = (CORPUS / name).read_bytes()
    after = rewritten(before, name, "compat").after
    changed = (b"TODO(tastytrade-provider)", b"import", b"pass")
    kept = [line for line in after.splitlines(keepends=True) if not any(word in line for word in changed)]
    there = before.splitlines(keepends=True)
    assert [line for line in kept if line not in there] == []


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name.startswith("auto_")])
def test_no_ib_of_ibs_own_is_left_in_a_program_of_auto_rows(name: str) -> None:
    tree = ast.parse(rewritten((CORPUS / name).read_bytes(), name, "compat").after)
    sources = {alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sources.get("IB") == "tastytrade_provider.compat" or sources.get("*") == "tastytrade_provider.compat" or sources.get("compat")
    assert not {"ib_insync", "ib_async"} & set(sources.values())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "from ib_insync import (  # why\n    IB as Broker,  # it\n    util,\n)",
            "from tastytrade_provider.compat import (  # why\n    IB as Broker,  # it\n    util,\n)",
        ),
        ("from ib_async import *; import os", "from tastytrade_provider.compat import *; import os"),
        ("import ib_async", "from tastytrade_provider import compat as ib_async"),
        ("import ib_insync as ibi  # old", "from tastytrade_provider import compat as ibi  # old"),
        ("import os, ib_async as ibi", "import os\nfrom tastytrade_provider import compat as ibi"),
        ("from ib_insync.contract import Future", "from tastytrade_provider.compat import Future"),
        ("from ib_insync.util import df", "from ib_async.util import df"),
        ("import ib_insync.util as u", "import ib_async.util as u"),
        ("from .ib_async import IB", "from .ib_async import IB"),
    ],
)
def test_what_a_program_imports_comes_from_compat_under_the_name_it_uses(before: str, after: str) -> None:
    rest = "\ndef f(ib, c):\n    ib.reqMktData(c)\n"
    assert of(before + rest) == after + rest


def test_a_request_for_delayed_data_is_deleted_unless_a_comment_hangs_on_it() -> None:
    code = "from ib_async import IB\nib = IB()\nib.reqMarketDataType(3)\nib.reqMarketDataType(1)  # live\nif ib:\n    ib.reqMarketDataType(4)\n"
    after = of(code)
    assert "reqMarketDataType(3)" not in after
    assert "reqMarketDataType(1)  # live" in after
    assert after.endswith("if ib:\n    pass\n")


def test_an_assist_row_gets_one_todo_with_the_guides_section_above_its_statement() -> None:
    code = "from ib_async import IB\n\ndef f(ib: IB):\n    # first\n    ib.sleep(1); ib.sleep(2)\n"
    lines = of(code).splitlines()
    assert lines[3] == "    # first"
    assert lines[4].startswith("    # TODO(tastytrade-provider): event-loop: ")
    assert lines[4].endswith("See tastytrade-provider migrate guide event-loop")
    assert lines[5] == "    ib.sleep(1); ib.sleep(2)"


def test_a_program_that_places_orders_through_the_same_object_is_left_alone() -> None:
    made = rewritten(b"from ib_async import IB\nib = IB()\nib.placeOrder(1, 2)\n", "p.py", "compat")
    assert not made.is_changed
    assert "orders" in made.left_alone


def test_to_provider_in_a_program_without_async() -> None:
    code = "from ib_async import IB, Future\nib = IB()\nib.connect('127.0.0.1', 7497, clientId=1)\n"
    code += "es = Future('ES', '202612', 'CME')\nib.qualifyContracts(es)\nif ib.isConnected():\n    ib.disconnect()\n"
    assert of(code, "provider").splitlines()[1:] == [
        "from tastytrade_provider import blocking, create_provider",
        'ib = blocking(create_provider("config.yaml"))',
        "ib.connect()",
        'es = "ESZ6"',
        "es = ib.resolve(es)",
        "if ib.is_connected:",
        "    ib.disconnect()",
    ]


def test_to_provider_in_a_program_with_async() -> None:
    code = "from ib_async import IB, Future\nasync def main():\n    ib = IB()\n    await ib.connectAsync()\n"
    code += "    nq = Future('NQ', '20270319', 'CME')\n    await ib.qualifyContractsAsync(nq)\n    ib.disconnect()\n"
    assert of(code, "provider").splitlines()[2:] == [
        "async def main():",
        '    ib = create_provider("config.yaml")',
        "    await ib.connect()",
        '    nq = "NQH7"',
        "    nq = await ib.resolve(nq)",
        "    await ib.disconnect()",
    ]


def test_to_provider_marks_what_returns_something_else() -> None:
    after = of("from ib_async import IB\ndef f(ib: IB, c):\n    return ib.reqMktData(c)\n", "provider").splitlines()
    assert "market-data: subscribe_quotes, subscribe_trades, subscribe_summary. " in after[2]
    assert after[3] == "    return ib.reqMktData(c)"


def test_line_ends_of_windows_are_kept() -> None:
    after = rewritten((CORPUS / "tabs_and_crlf.py").read_bytes(), "a.py", "compat").after
    assert after.count(b"\n") == after.count(b"\r\n")


def test_a_tree_is_shown_first_and_written_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from ib_async import IB\nib = IB()\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "old.py").write_text("import ib_async\nprint 'x'\n")
    (tmp_path / "n.ipynb").write_text('{"cells": [], "of": "ib_async"}')
    found, unread = rewrite(tmp_path, "compat")
    assert [(one.file, bool(one.left_alone)) for one in found] == [("a.py", False), ("n.ipynb", True)]
    assert [one.file for one in unread] == ["old.py"]
    assert found[0].diff() == ("--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-from ib_async import IB\n+from tastytrade_provider.compat import IB\n ib = IB()\n")
    assert (tmp_path / "a.py").read_text().startswith("from ib_async")
    write(tmp_path, found)
    assert (tmp_path / "a.py").read_text() == "from tastytrade_provider.compat import IB\nib = IB()\n"


def test_a_file_that_changed_in_between_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("from ib_async import IB\nib = IB()\n")
    found, _ = rewrite(tmp_path, "compat")
    (tmp_path / "b.py").write_text("# mine\n")
    with pytest.raises(OSError, match=r"b\.py: changed"):
        write(tmp_path, found)
    assert (tmp_path / "a.py").read_text().startswith("from ib_async")


def test_a_diff_says_where_a_last_line_has_no_end() -> None:
    assert "\\ No newline at end of file" in Rewritten("a.py", b"x", b"y\n").diff()
