"""`migrate scan`, `migrate rewrite`, `migrate guide`."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import orjson

from .. import __version__
from ..errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from migration.scanner import Report

_TOLD_EVERY_S = 1.0


def scan(path: Path, as_json: bool, sarif: Path | None, html: Path | None, pandas3: bool) -> int:
    """List the call sites of IB's libraries. 0: none, 1: there are some."""
    report: Report = _tool("scanner").scan(path, with_pandas3=pandas3, progress=_progress())
    if sarif is not None:
        _write(sarif, orjson.dumps(_tool("sarif").to_sarif(report, path, __version__), option=orjson.OPT_INDENT_2) + b"\n")
    if html is not None:
        _write(html, _tool("page").to_page(report, f"Call sites of IB in {path}").encode())
    if as_json:
        click.echo(orjson.dumps([hit.record() for hit in report.hits], option=orjson.OPT_INDENT_2).decode())
    elif Path("-") not in (sarif, html):
        _tell(report, path)
    for one in report.unread:
        click.echo(f"not read: {one.file}: {one.reason}", err=True)
    return int(bool(report.hits))


def rewrite(path: Path, to: Literal["compat", "provider"], write: bool) -> int:
    """Show what would be rewritten as a unified diff, or write it. 0 in both cases."""
    codemod = _tool("codemod")
    found, unread = codemod.rewrite(path, to)
    changed = [one for one in found if one.is_changed]
    if write:
        codemod.write(path, changed)
    else:
        click.echo("".join(one.diff() for one in changed), nl=False)
    for one in unread:
        click.echo(f"not read: {one.file}: {one.reason}", err=True)
    for one in found:
        if one.left_alone:
            click.echo(f"left alone: {one.file}: {one.left_alone}", err=True)
    files = f"{len(changed):,} file{'s' if len(changed) != 1 else ''}"
    sums = f"{sum(one.changes for one in changed):,} changes, {sum(one.todos for one in changed):,} TODOs"
    click.echo(f"{files} {'written' if write else 'would change; --write does it'}: {sums}", err=True)
    return 0


def guide(section: str | None) -> int:
    """Print the guide, one of its sections, or its table of call sites where the guide itself is not installed."""
    rules = _tool("rules")
    path = Path(rules.__file__).with_name("GUIDE.md")
    if section is None:
        click.echo(path.read_text("utf-8") if path.is_file() else rules.table(), nl=False)
        return 0
    wanted = [rule for rule in (*rules.CALL_SITES, *rules.PANDAS_TRAPS) if section in (rule.id, rule.anchor, *rule.names)]
    if not wanted:
        raise UsageError(f"nothing in the guide on {section!r}; a rule, a section or the name of a call is accepted, such as historical-bars or reqMktData")
    click.echo(rules.table(wanted), nl=False)
    return 0


def _tool(name: str) -> Any:
    try:
        return importlib.import_module(f"tastytrade_provider.migration.{name}")
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        raise MissingExtra("reading programs needs libcst: pip install 'tastytrade-provider[migrate]'") from error


def _tell(report: Report, path: Path) -> None:
    base = path.parent if path.is_file() else path
    for hit in report.hits:
        cell = f" (cell {hit.cell})" if hit.cell else ""
        click.echo(f"{base / hit.file}:{hit.line}:{hit.column}{cell}: {hit.effort} {hit.rule}: {hit.advice} {hit.guide}")
    effort = ", ".join(f"{count:,} {name}" for name, count in report.effort().items())
    files = len({hit.file for hit in report.hits})
    click.echo(f"{len(report.hits):,} call sites in {files:,} of {report.files:,} files ({report.lines:,} lines): {effort}")


def _progress() -> Callable[[int, int], object]:
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _TOLD_EVERY_S:
            told = now
            click.echo(f"scanned {done:,} of {total:,} files", err=True, nl=not sys.stderr.isatty())
            if sys.stderr.isatty():
                click.echo("\r", err=True, nl=False)

    return tell


def _write(path: Path, content: bytes) -> None:
    if path == Path("-"):
        click.echo(content, nl=False)
    else:
        path.write_bytes(content)
