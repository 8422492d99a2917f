"""Rewrites what can be rewritten without a reader: `migrate rewrite`. Formatting and comments stay; what needs a reader gets a TODO.

To `compat` the program keeps its calls and takes its `IB` from `tastytrade_provider.compat`. To `provider` the object becomes a DataProvider, the
calls that mean the same on it are renamed, and every other call gets a TODO, because what it returns has another shape.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import libcst as cst

from .edits import Edits, comment_of
from .flow import Flow, Site
from .imports import MENTION
from .rewrite_compat import to_compat
from .rewrite_provider import to_provider
from .scanner import NAMES, Unread, files_of

Target = Literal["compat", "provider"]
_REWRITERS: Final = {"compat": to_compat, "provider": to_provider}
_ORDERS: Final = "orders go through the same object: give them an IB of their own first, then rewrite (tastytrade-provider migrate guide orders)"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One file: its content before and after, how many sites were rewritten and marked, and why it was left alone, if it was."""

    file: str
    before: bytes
    after: bytes
    changes: int = 0
    todos: int = 0
    left_alone: str = ""

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after

    def diff(self) -> str:
        """A unified diff, as `patch -p1` reads it."""
        before, after = (text.decode("utf-8", "replace").splitlines(keepends=True) for text in (self.before, self.after))
        lines = difflib.unified_diff(before, after, f"a/{self.file}", f"b/{self.file}")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def rewrite_source(source: bytes, name: str, target: Target) -> Rewritten:
    """The rewritten content of one Python file. libcst.ParserSyntaxError where it is none."""
    module = cst.parse_module(source)
    sites = Flow(module).sites()
    if any(site.rule.id == "orders" and site.rule.api == "ib" for site in sites):
        return Rewritten(name, source, source, left_alone=_ORDERS)
    edits = Edits()
    _REWRITERS[target](module, sites, edits)
    for site in sites:
        if site.rule.effort == "Assist" or (site.rule.effort == "Auto" and site.token in edits.unsure):
            _mark(site, module, edits, target)
    after = edits.apply(module).bytes
    return Rewritten(name, source, after, changes=edits.changes, todos=edits.todos)


def _mark(site: Site, module: cst.Module, edits: Edits, target: Target) -> None:
    statement, rule = site.statement, site.rule
    if statement is None:
        return
    instead = f"{rule.provider}. " if target == "provider" and rule.provider != "none" else ""
    text = f"# TODO(tastytrade-provider): {rule.id}: {instead}{rule.advice} See {rule.guide}"
    there = [*getattr(statement, "leading_lines", ()), *(module.header if module.body and module.body[0] is statement else ())]
    if text not in [comment_of(line) for line in there]:
        edits.mark(statement, text)


def rewrite(path: Path, target: Target) -> tuple[list[Rewritten], list[Unread]]:
    """What would become of a file or tree: the files that change or are left alone with a reason, and those that could not be read. Nothing is written.

    Notebooks are not rewritten; those that hold call sites are listed as left alone.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    root = path.parent if path.is_file() else path
    found: list[Rewritten] = []
    unread: list[Unread] = []
    for file in files_of(path):
        name = file.relative_to(root).as_posix()
        try:
            source = file.read_bytes()
            if not (MENTION.search(source) or NAMES.search(source)):
                continue
            if file.suffix == ".ipynb":
                found.append(Rewritten(name, source, source, left_alone="notebooks are not rewritten; `migrate scan` lists their call sites"))
                continue
            one = rewrite_source(source, name, target)
        except (cst.ParserSyntaxError, RecursionError, UnicodeError) as error:
            unread.append(Unread(name, f"line {error.raw_line}: not Python 3" if isinstance(error, cst.ParserSyntaxError) else str(error)))
        except OSError as error:
            unread.append(Unread(name, error.strerror or str(error)))
        else:
            if one.is_changed or one.left_alone:
                found.append(one)
    return found, unread


def write(root: Path, changed: list[Rewritten]) -> None:
    """Write what `rewrite` made of a tree. A file that changed in between is refused by OSError, and the rest is left as it is."""
    base = root.parent if root.is_file() else root
    for one in changed:
        if one.is_changed and (base / one.file).read_bytes() != one.before:
            raise OSError(f"{one.file}: changed while it was being rewritten; run again")
    for one in changed:
        if one.is_changed:
            (base / one.file).write_bytes(one.after)
