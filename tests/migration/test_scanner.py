"""The scanner against a corpus whose labels were written before its rules, and what it does with what it cannot read."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("libcst")

from migration.page import to_page
from migration.sarif import to_sarif
from migration.scanner import Hit, Report, scan, scan_source

DATA = Path(__file__).resolve().parents[1] / "data" / "migration"
CORPUS = DATA / "corpus"
Label = tuple[str, int, str, str]


@pytest.fixture(scope="module")
def labels() -> Counter[Label]:
    with (DATA / "labels.csv").open(newline="") as file:
        return Counter((row["file"], int(row["line"]), row["rule"], row["class"]) for row in csv.DictReader(file))


@pytest.fixture(scope="module")
def report() -> Report:
    return scan(CORPUS, with_pandas3=True, workers=1)


def found(hits: list[Hit]) -> Counter[Label]:
    return Counter((hit.file, hit.line, hit.rule, hit.effort) for hit in hits)


def hits(code: str, name: str = "program.py", *, with_pandas3: bool = False) -> list[tuple[int, str]]:
    return sorted((hit.line, hit.rule) for hit in scan_source(code.encode(), name, with_pandas3=with_pandas3).hits)


def test_precision_and_recall_on_the_labelled_corpus_are_at_least_098_for_every_rule(labels: Counter[Label], report: Report) -> None:
    said = found(report.hits)
    print(f"\n{'rule':24} {'labels':>6} {'precision':>9} {'recall':>7}")
    poor = []
    for rule in sorted({label[2] for label in labels} | {label[2] for label in said}):
        wanted, given = (Counter({label: count for label, count in each.items() if label[2] == rule}) for each in (labels, said))
        right = (wanted & given).total()
        precision, recall = right / max(given.total(), 1), right / max(wanted.total(), 1)
        print(f"{rule:24} {wanted.total():6} {precision:9.3f} {recall:7.3f}")
        if min(precision, recall) < 0.98:
            poor.append(rule)
    right = (labels & said).total()
    print(f"{'all':24} {labels.total():6} {right / said.total():9.3f} {right / labels.total():7.3f}")
    assert not poor


def test_the_corpus_has_at_least_sixty_files_and_every_one_is_read_or_named(report: Report) -> None:
    assert report.files >= 60
    assert [one.file for one in report.unread] == ["broken_python2.py", "notebook_broken_cell.ipynb"]


def test_pandas_traps_are_reported_only_on_request(report: Report) -> None:
    plain = scan(CORPUS, workers=1)
    assert not any(hit.rule.startswith("pandas3") for hit in plain.hits)
    assert any(hit.rule.startswith("pandas3") for hit in report.hits)


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    shutil.copytree(CORPUS, tmp_path / "tree")
    assert scan(tmp_path / "tree", workers=2).hits == scan(tmp_path / "tree", workers=1).hits


def test_a_hit_names_the_place_of_the_call_and_carries_class_advice_and_guide() -> None:
    (hit,) = scan_source(b"def f(ib, c):\n    return ib.reqMktData(c)\n", "a.py").hits
    assert (hit.line, hit.column, hit.rule, hit.effort) == (2, 15, "market-data", "Auto")
    assert hit.record().keys() == {"file", "line", "column", "rule", "class", "advice", "guide"}
    assert hit.guide == "tastytrade-provider migrate guide market-data"
    assert hit.advice


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("ib.reqHistoricalData(c, '', '1 D', '5 mins', 'TRADES', True)", "historical-bars"),
        ("ib.reqHistoricalData(c, '', '1 D', '1 day', 'TRADES', True)", "historical-daily"),
        ("ib.reqHistoricalData(c, '', '1 D', '1 min', 'MIDPOINT', True)", "historical-quotes"),
        ("ib.reqHistoricalData(c, '', '1 D', '1 min', 'BID_ASK', True)", "historical-unsupported"),
        ("ib.reqHistoricalData(c, '', '1 D', '1 day', 'ADJUSTED_LAST', True)", "historical-adjusted"),
        ("ib.reqHistoricalData(c, '', '1 D', '1 day', 'SCHEDULE', True)", "trading-schedule"),
        ("ib.reqHistoricalData(c, '', '1 D', '1 min', 'TRADES', True, keepUpToDate=True)", "historical-live"),
        ("ib.reqHistoricalData(*c)", "historical-dynamic"),
        ("ib.reqHistoricalData(c, whatToShow='TRADES' if c else 'BID')", "historical-dynamic"),
        ("ib.reqMktData(c, '', True)", "snapshot"),
        ("ib.reqMktData(c, snapshot=False)", "market-data"),
    ],
)
def test_arguments_decide_between_rules_of_one_call(call: str, rule: str) -> None:
    assert hits(f"from ib_async import IB\ndef f(ib: IB, c):\n    {call}\n") == [(3, rule)]


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        ("Future(conId=5, exchange='CME')", "contract-by-id"),
        ("ContFuture(conId=5)", "contract-by-id"),
        ("Contract(secType='FUT', conId=5)", "contract-by-id"),
        ("Future('ES', conId=5)", "future"),
        ("Future(conId=5, localSymbol='ESZ6')", "future"),
        ("Contract(conId=5, tradingClass='ES')", "contract"),
        ("Future(conId=5, **more)", "future"),
        ("Future()", "future"),
    ],
)
def test_a_contract_that_only_its_number_names_is_manual_since_compat_refuses_it(made: str, rule: str) -> None:
    (hit,) = scan_source(f"from ib_async import Contract, ContFuture, Future\nmore = {{}}\nc = {made}\n".encode(), "a.py").hits
    assert (hit.rule, hit.effort == "Manual") == (rule, rule == "contract-by-id")


def test_a_name_that_stands_for_two_texts_is_computed() -> None:
    code = "from ib_async import IB\ndef f(ib: IB, what='TRADES'):\n    ib.reqHistoricalData(1, '', '', '', what, 0)\nf(1, 'BID')\n"
    assert hits(code) == [(3, "historical-dynamic")]


def test_the_object_asked_for_market_data_is_ibs_in_its_other_calls_too() -> None:
    code = "def f(x, y, c):\n    x.sleep(1)\n    y.sleep(1)\n    x.reqMktData(c)\n"
    assert hits(code) == [(2, "event-loop"), (4, "market-data")]


def test_stars_of_both_libraries_bring_their_own_names() -> None:
    native = "from ibapi.client import *\nfrom ibapi.wrapper import *\nclass App(EWrapper, EClient):\n    def error(self, *a): pass\nApp().run()\n"
    assert hits(native) == [(3, "native-client"), (4, "native-error"), (5, "native-connect")]
    assert hits("from ib_insync import *\nfrom asyncio import Future\nFuture()\nIB()\n") == [(4, "ib-object")]


def test_words_in_strings_and_comments_are_no_call_sites() -> None:
    assert hits('"""ib_async: ib.connect()"""\n# ib.reqMktData(c)\nx = "ib.reqTickers()"\n') == []


def test_a_notebooks_hit_names_the_line_of_the_file_and_the_cell() -> None:
    cells = [{"cell_type": "markdown", "source": ["ib"]}, {"cell_type": "code", "source": ["%pip list\n", "import ib_async\n", "ib = ib_async.IB()"]}]
    text = json.dumps({"cells": cells}, indent=1)
    (hit,) = scan_source(text.encode(), "n.ipynb").hits
    assert "ib_async.IB()" in text.splitlines()[hit.line - 1]
    assert hit.record()["cell"] == 2
    (on_one_line,) = scan_source(json.dumps({"cells": cells}).encode(), "n.ipynb").hits
    assert (on_one_line.line, on_one_line.cell) == (1, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("old.py", b"print 'ib_insync'\n"),
        ("half.py", b"def broken(:\n"),
        ("bytes.py", b"# coding: utf-8\nimport ibapi\nx = '\xff'\n"),
        ("n.ipynb", b"{ib_async"),
        ("n.ipynb", b'["ib_async"]'),
        ("zero.py", b"import ib_async\n\0"),
    ],
)
def test_what_cannot_be_read_is_listed_with_a_reason_and_stops_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.py").write_text("import ib_async\nib_async.IB()\n")
    report = scan(tmp_path, workers=1)
    assert [one.file for one in report.unread] == [name]
    assert report.unread[0].reason
    assert [hit.file for hit in report.hits] == ["good.py"]


def test_nothing_of_a_scanned_program_runs(tmp_path: Path) -> None:
    (tmp_path / "bomb.py").write_text(f"import ib_async\nopen({str(tmp_path / 'ran')!r}, 'w')\nib_async.IB()\n")
    assert len(scan(tmp_path).hits) == 1
    assert not (tmp_path / "ran").exists()


def test_a_library_of_ibs_that_a_program_carries_along_is_not_the_program(tmp_path: Path) -> None:
    for name in ("client.py", "decoder.py"):
        (tmp_path / "vendor" / "ibapi").mkdir(parents=True, exist_ok=True)
        (tmp_path / "vendor" / "ibapi" / name).write_text("from ibapi.contract import Contract\nContract()\n")
    (tmp_path / "mine.py").write_text("from ibapi.contract import Contract\nContract()\n")
    assert [hit.file for hit in scan(tmp_path).hits] == ["mine.py"]


def test_sarif_holds_every_hit_with_its_rule_and_place(report: Report) -> None:
    log = to_sarif(report, CORPUS, "1.2.3")
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    assert len(run["results"]) == len(report.hits)
    rules = run["tool"]["driver"]["rules"]
    for result, hit in zip(run["results"], report.hits, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == hit.rule
        place = result["locations"][0]["physicalLocation"]
        assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == (hit.file, hit.line)
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 2
    assert to_sarif(report, Path("src"), "1")["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].startswith("src/")


def test_the_page_escapes_what_it_shows() -> None:
    page = to_page(scan_source(b"import ib_async\nib_async.IB()\n", "<script>.py"), "a & b")
    assert "<script>" not in page
    assert "&lt;script&gt;.py" in page
    assert "a &amp; b" in page


def test_a_deeply_nested_expression_does_not_stop_the_scan() -> None:
    code = "import ib_async\nx = " + "+".join(["1"] * 600) + "\nib_async.IB()\n"
    report = scan_source(code.encode(), "deep.py")
    assert len(report.hits) == 1


@pytest.mark.slow
def test_a_hundred_thousand_lines_are_scanned_in_a_minute(tmp_path: Path) -> None:
    programs = [file.read_text() for file in sorted(CORPUS.glob("*.py")) if "lookalike" not in file.name and "broken" not in file.name]
    rest = "".join(f"def f{n}(a, b=None):\n    x = [a + {n}, b]\n    return {{k: v for k, v in enumerate(x) if v}}\n\n" for n in range(50))
    lines = number = 0
    while lines < 100_000:
        text = (programs[number % len(programs)] if number % 4 == 0 else "import os\n") + "\n" + rest
        (tmp_path / f"m{number}.py").write_text(text)
        lines += text.count("\n")
        number += 1
    told: list[int] = []
    start = time.perf_counter()
    report = scan(tmp_path, progress=lambda done, total: told.append(done))
    seconds = time.perf_counter() - start
    print(f"\n{report.lines:,} lines in {report.files:,} files: {seconds:.1f} s")
    assert told == sorted(told)
    assert told[-1] == number
    assert seconds < 60


def test_the_scanner_does_without_ibs_libraries_and_pandas() -> None:
    code = "import sys, migration.scanner, migration.codemod; print(sorted({'pandas', 'ib_async', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
