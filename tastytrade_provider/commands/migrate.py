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
from ..errors import MissingExtra

if TYPE_CHECKING:
    from migration.scanner import Report

_TOLD_EVERY_S = 1.0


def scan(path: Path, as_json: bool, sarif: Path | None, html: Path | None, pandas3: bool) -> int:
    """List the call sites of IB's libraries. 0: none, 1: there are some, 2: none, but not all could be read."""
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
    return 1 if report.hits else 2 if report.unread else 0


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
    """List the guide's sections, or print what it says of one, of a rule or of a call: laid out on a terminal, Markdown as it is elsewhere."""
    tool = _tool("guide")
    text = tool.PATH.read_text("utf-8")
    if section is None:
        click.echo(tool.contents(text), nl=False)
        return 0
    found = tool.lookup(text, section)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(found, code_theme="ansi_dark", hyperlinks=False))
    else:
        click.echo(found, nl=False)
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
        click.echo(f"{base / hit.file}:{hit.line}:{hit.column}{cell}: {hit.effort} {hit.rule}: {hit.advice} See {hit.guide}")
    effort = ", ".join(f"{count:,} {name}" for name, count in report.effort().items())
    files = len({hit.file for hit in report.hits})
    unread = f"; {len(report.unread):,} not read" if report.unread else ""
    click.echo(f"{len(report.hits):,} call sites in {files:,} of {report.files:,} files ({report.lines:,} lines): {effort}{unread}")


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
