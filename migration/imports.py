"""Which library an import names, and what its names stand for."""

from __future__ import annotations

import re
import sys
from typing import Final, Literal

import libcst as cst

from .rules import names
from .values import FOREIGN, Library, Value

LIBRARIES: Final[dict[str, Literal["ib", "native"]]] = {"ib_async": "ib", "ib_insync": "ib", "ibapi": "native"}
MENTION: Final = re.compile(rb"\b(?:ib_async|ib_insync|ibapi)\b")
"""The text of a file that may import one of them."""

STAR_NAMES: Final = {
    "ib": names("ib", "class") | {"util", "Ticker", "BarDataList", "RealTimeBarList", "ContractDetails"},
    "native": names("native", "class") | {"ContractDetails"},
}
"""What `from library import *` brings in, as far as it matters."""


def dotted(node: cst.BaseExpression | None) -> str:
    """`a.b.c` of a name or attribute; empty for anything else.

    >>> dotted(cst.parse_expression("self.ib.client"))
    'self.ib.client'
    """
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr.value}" if left else ""
    return ""


def module_value(path: str) -> Value:
    """What a module's name stands for: a library of IB's, something foreign (the standard library, this package), or nothing known.

    >>> module_value("ib_insync.util")
    Library(api='ib', path='util')
    """
    parts = path.split(".")
    if parts[0] in LIBRARIES:
        return Library(LIBRARIES[parts[0]], "" if len(parts) == 1 else parts[-1])
    for number, part in enumerate(parts):  # a copy that a program carries along
        if part in ("ib_async", "ib_insync"):
            return Library("ib", "" if number == len(parts) - 1 else parts[-1])
    return FOREIGN if parts[0] in sys.stdlib_module_names or parts[0] == "tastytrade_provider" else None


def bound_by(statement: cst.Import | cst.ImportFrom) -> dict[str, Value]:
    """The names an import binds. A star binds `*` to the library."""
    found: dict[str, Value] = {}
    if isinstance(statement, cst.Import):
        for alias in statement.names:
            path = dotted(alias.name)
            if alias.asname:
                found[dotted(alias.asname.name)] = module_value(path)
            else:
                found[path.split(".")[0]] = module_value(path.split(".")[0])
        return found
    source = None if statement.relative else module_value(dotted(statement.module))
    if isinstance(statement.names, cst.ImportStar):
        return {"*": source}
    for alias in statement.names:
        name = dotted(alias.asname.name) if alias.asname else dotted(alias.name)
        found[name] = source.member(dotted(alias.name)) if isinstance(source, Library) else source
    return found
