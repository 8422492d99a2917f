"""To `compat`: the program keeps its calls; what it imports from ib_async or ib_insync comes from `tastytrade_provider.compat`, which has the same names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import libcst as cst
import libcst.matchers as m

from .edits import Edits, is_bare
from .flow import Site
from .imports import LIBRARIES, STAR_NAMES, dotted

COMPAT: Final = "tastytrade_provider.compat"


def to_compat(module: cst.Module, sites: Sequence[Site], edits: Edits) -> None:
    """Gather the edits of one module. One that only names ib_async's types is left as it is."""
    for site in sites:
        if site.rule.id == "market-data-type" and site.rule.api == "ib" and is_bare(site.statement, site.node):
            assert site.statement is not None
            edits.remove(site.statement)
    has_calls = any(site.rule.api == "ib" for site in sites)
    for statement in m.findall(module, m.SimpleStatementLine()):
        assert isinstance(statement, cst.SimpleStatementLine)
        for small in statement.body:
            if isinstance(small, cst.Import):
                _import(small, statement, has_calls, edits)
            elif isinstance(small, cst.ImportFrom) and not small.relative:
                path = dotted(small.module)
                if _is_ours(path, has_calls) and (new := _source(small, path)) != path:
                    _set_module(small, new, edits)


def _is_ours(path: str, has_calls: bool) -> bool:
    root = path.split(".")[0]
    return LIBRARIES.get(root) == "ib" and (has_calls or root == "ib_insync")


def _source(small: cst.ImportFrom, path: str) -> str:
    """Where the names come from now: compat has those of the package, ib_async still has those of its modules."""
    if "." not in path or (not isinstance(small.names, cst.ImportStar) and all(dotted(alias.name) in STAR_NAMES["ib"] for alias in small.names)):
        return COMPAT
    return path.replace("ib_insync", "ib_async", 1)


def _set_module(small: cst.ImportFrom, path: str, edits: Edits) -> None:
    edits.replace(small, lambda node: cst.ensure_type(node, cst.ImportFrom).with_changes(module=cst.parse_expression(path)))


def _import(small: cst.Import, statement: cst.SimpleStatementLine, has_calls: bool, edits: Edits) -> None:
    """`import ib_async as ib` becomes `from tastytrade_provider import compat as ib`; the name the program uses stays."""
    swapped = [alias for alias in small.names if _is_ours(dotted(alias.name), has_calls)]
    lines = [_line(alias) for alias in swapped]
    if not lines:
        return
    if len(small.names) == 1:
        made = cst.ensure_type(cst.parse_statement(lines[0]), cst.SimpleStatementLine).body[0]
        assert isinstance(made, cst.Import | cst.ImportFrom)
        if not made.deep_equals(small.with_changes(semicolon=made.semicolon)):
            edits.replace(small, lambda node: made.with_changes(semicolon=cst.ensure_type(node, cst.Import).semicolon))
        return
    kept = [alias for alias in small.names if alias not in swapped]
    for line in lines:
        edits.follow(statement, line)
    if kept:
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        edits.replace(small, lambda node: cst.ensure_type(node, cst.Import).with_changes(names=kept))
    else:
        edits.remove(statement)


def _line(alias: cst.ImportAlias) -> str:
    path = dotted(alias.name)
    name = dotted(alias.asname.name) if alias.asname else path.split(".")[0]
    if "." in path and alias.asname:
        return f"import {path.replace('ib_insync', 'ib_async', 1)} as {name}"
    return "from tastytrade_provider import compat" + ("" if name == "compat" else f" as {name}")
