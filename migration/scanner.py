"""Finds the call sites of IB's libraries in a tree of programs and notebooks. Nothing of it is run or imported."""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from . import pandas3
from .flow import Flow, Site
from .imports import LIBRARIES, MENTION
from .notebook import Cell, cells
from .rule import Effort
from .rules import unmistakable

SKIPPED: Final = frozenset(
    {".git", ".hg", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__", "site-packages", ".mypy_cache", ".ipynb_checkpoints"}
)
NAMES: Final = re.compile(rb"\b(?:" + b"|".join(sorted(name.encode() for name in unmistakable())) + rb"|pendingTickersEvent|barUpdateEvent)\b")
"""The text of a file that may use IB's objects without importing the library."""

_DEPTH: Final = 5_000  # long sums and chains of calls nest deeply in the tree
_ALONE: Final = 24
_BATCH: Final = 8


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One call site. `line` counts from 1 in the file as it is stored, `column` from 1; `cell` is the notebook's cell, else None."""

    file: str
    line: int
    column: int
    rule: str
    effort: Effort
    advice: str
    guide: str
    cell: int | None = None

    def record(self) -> dict[str, str | int]:
        """As the JSON output has it: `file line column rule class advice guide`, and `cell` in a notebook."""
        made: dict[str, str | int] = {"file": self.file, "line": self.line, "column": self.column, "rule": self.rule}
        made |= {"class": self.effort, "advice": self.advice, "guide": self.guide}
        return made if self.cell is None else made | {"cell": self.cell}


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be read, and why."""

    file: str
    reason: str


@dataclass(slots=True)
class Report:
    """What a scan found, sorted by file and line."""

    hits: list[Hit] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    files: int = 0
    lines: int = 0

    def effort(self) -> dict[Effort, int]:
        """How many sites of each class."""
        counted = Counter(hit.effort for hit in self.hits)
        return {name: counted[name] for name in ("Auto", "Assist", "Manual")}

    def add(self, other: Report) -> None:
        """Take in the report of other files."""
        self.hits += other.hits
        self.unread += other.unread
        self.files += other.files
        self.lines += other.lines


def files_of(path: Path) -> list[Path]:
    """The Python files and notebooks of a tree, in order; a file stands for itself."""
    if path.is_file():
        return [path]
    found: list[Path] = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not _is_library(Path(folder, name)))
        found += [Path(folder, name) for name in sorted(names) if name.endswith((".py", ".pyw", ".ipynb"))]
    return found


def _is_library(folder: Path) -> bool:
    """A copy of IB's library that a program carries along is not the program."""
    return folder.name in LIBRARIES and (folder / "decoder.py").is_file() and (folder / "client.py").is_file()


def scan(path: Path, *, with_pandas3: bool = False, progress: Callable[[int, int], object] | None = None, workers: int | None = None) -> Report:
    """Scan a file or a tree. `progress(done, total)` is told of files. OSError where the path does not exist."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    files = files_of(path)
    root = path.parent if path.is_file() else path
    report = Report()
    batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
    for part in _reports(batches, root, with_pandas3, workers if workers is not None else min(os.cpu_count() or 1, 8), len(files)):
        report.add(part)
        if progress:
            progress(report.files, len(files))
    report.hits.sort()
    report.unread.sort(key=lambda one: one.file)
    return report


def _reports(batches: list[list[Path]], root: Path, with_pandas3: bool, workers: int, files: int) -> Iterator[Report]:
    if workers < 2 or files < _ALONE:
        for batch in batches:
            yield _scan_batch(batch, root, with_pandas3)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_scan_batch, batches, [root] * len(batches), [with_pandas3] * len(batches))


def _scan_batch(batch: list[Path], root: Path, with_pandas3: bool) -> Report:
    report = Report()
    for file in batch:
        report.add(scan_file(file, file.relative_to(root).as_posix(), with_pandas3=with_pandas3))
    return report


def scan_file(file: Path, name: str, *, with_pandas3: bool = False) -> Report:
    """Scan one file, which the report calls `name`."""
    try:
        return scan_source(file.read_bytes(), name, with_pandas3=with_pandas3)
    except OSError as error:
        return Report(unread=[Unread(name, error.strerror or str(error))], files=1)


def scan_source(source: bytes, name: str, *, with_pandas3: bool = False) -> Report:
    """Scan the content of a file."""
    report = Report(files=1, lines=source.count(b"\n"))
    mentions = bool(MENTION.search(source) or NAMES.search(source))
    traps = with_pandas3 and pandas3.MENTION.search(source) is not None
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(max(depth, _DEPTH))
    try:
        if name.endswith(".ipynb"):
            if mentions or traps:
                _scan_notebook(cells(source.decode("utf-8-sig")), name, report, mentions=mentions, traps=traps)
        elif mentions or traps:
            report.hits = [_hit(name, *found) for found in _found(cst.parse_module(source), mentions=mentions, traps=traps)]
        else:
            _check(source)
    except (cst.ParserSyntaxError, SyntaxError, ValueError, RecursionError) as error:
        report.unread.append(Unread(name, _reason(error)))
    finally:
        sys.setrecursionlimit(depth)
    return report


def _check(source: bytes) -> None:
    """A file without a word of IB is not analysed, but it is said when it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        cst.parse_module(source)  # newer syntax than that of the running Python may still be read


def _scan_notebook(found: list[Cell], name: str, report: Report, *, mentions: bool, traps: bool) -> None:
    """All cells are one program; a cell that is no Python is left out and told of."""
    origin: list[tuple[Cell, int]] = []
    program: list[str] = []
    for cell in found:
        try:
            cst.parse_module(cell.source)
        except cst.ParserSyntaxError as error:
            report.unread.append(Unread(name, f"cell {cell.number}: {_reason(error)}"))
            continue
        for number, text in enumerate(cell.source.splitlines()):
            program.append(text)
            origin.append((cell, number))
    for site, line, column in _found(cst.parse_module("\n".join(program) + "\n"), mentions=mentions, traps=traps):
        cell, number = origin[line - 1]
        report.hits.append(_hit(name, site, cell.lines[min(number, len(cell.lines) - 1)], column, cell.number))


def _found(module: cst.Module, *, mentions: bool, traps: bool) -> list[tuple[Site, int, int]]:
    sites = Flow(module).sites() if mentions else []
    if traps:
        sites += pandas3.sites(module)
    if not sites:
        return []
    places = MetadataWrapper(module, unsafe_skip_copy=True).resolve(PositionProvider)
    return [(site, places[site.token].start.line, places[site.token].start.column) for site in sites]


def _hit(name: str, site: Site, line: int, column: int, cell: int | None = None) -> Hit:
    rule = site.rule
    return Hit(name, line, column + 1, rule.id, rule.effort, rule.advice, rule.guide, cell)


def _reason(error: Exception) -> str:
    if isinstance(error, cst.ParserSyntaxError):
        return f"line {error.raw_line}: not Python 3"
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    return str(error) or type(error).__name__
