"""Code cells of a notebook as Python, with the way back to the lines of the file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

_MAGIC_LINE: Final = re.compile(r"^(\s*)(?:[%!?].*|.*[\w\]\)]\?{1,2}\s*)$")
_ASSIGNED_MAGIC: Final = re.compile(r"^(\s*[\w, ]+=\s*)[%!].*$")
_PYTHON_CELL: Final = re.compile(r"^%%(time|timeit|capture|prun)\b")


@dataclass(frozen=True, slots=True)
class Cell:
    """One code cell: Python without IPython's own commands, and for each of its lines the line of the file."""

    number: int
    source: str
    lines: tuple[int, ...]


def cells(text: str) -> list[Cell]:
    """The code cells of a notebook. ValueError where the text is no notebook.

    IPython's commands become `pass`, so that every line keeps its place. In a file that holds a cell's source on one line, all its lines are that one.
    """
    notebook: Any = json.loads(text)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("no list of cells: notebooks of format 4 are read")
    physical = text.splitlines()
    found: list[Cell] = []
    at = 0
    for number, cell in enumerate(notebook["cells"], 1):
        source = cell.get("source", "")
        pieces: list[str] = list(source) if isinstance(source, list) else [source]
        places: list[int] = []
        for piece in pieces:
            at = _find(physical, json.dumps(piece), json.dumps(piece, ensure_ascii=False), at)
            places += [at + 1] * max(1, len(piece.splitlines()))
            at += isinstance(source, list)
        if cell.get("cell_type") == "code":
            lines = "".join(pieces).splitlines()
            found.append(Cell(number, _as_python(lines), tuple(places[: len(lines)] or [at + 1])))
    return found


def _find(physical: list[str], escaped: str, plain: str, start: int) -> int:
    for place in range(min(start, len(physical) - 1), len(physical)):
        if escaped in physical[place] or plain in physical[place]:
            return place
    return min(start, len(physical) - 1)


def _as_python(lines: list[str]) -> str:
    if lines and lines[0].startswith("%%") and not _PYTHON_CELL.match(lines[0]):
        return "".join("\n" for _ in lines)
    made = []
    for line in lines:
        assigned = _ASSIGNED_MAGIC.match(line)
        magic = _MAGIC_LINE.match(line) if not line.lstrip().startswith("#") else None
        made.append(f"{assigned[1]}None" if assigned else f"{magic[1]}pass" if magic else line)
    return "\n".join(made) + "\n"
