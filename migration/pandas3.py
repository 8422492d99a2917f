"""Forms of code that pandas 3 refuses or quietly understands otherwise."""

from __future__ import annotations

import re
from typing import Final

import libcst as cst
import libcst.matchers as m

from .flow import Site
from .imports import dotted
from .rules import PANDAS_TRAPS

MENTION: Final = re.compile(rb"\bpandas\b|\bresample\b|\.df\(")
_RULES: Final = {rule.id: rule for rule in PANDAS_TRAPS}
_FREQUENCY: Final = re.compile(r"^-?\d*\.?\d*(T|H|S|L|U|N|M|Q|Y|A|BM|BQ|BA|CBMS?|BH)(-[A-Z]{3})?$")
_FREQUENCY_CALLS: Final = frozenset(
    {"resample", "asfreq", "floor", "ceil", "round", "Grouper", "date_range", "period_range", "bdate_range", "to_offset", "interval_range"}
)
_FIRST: Final = frozenset({"resample", "asfreq", "floor", "ceil", "round", "to_offset"})
_INTEGERS: Final = frozenset({"int", "int64", "i8", "np.int64", "numpy.int64", "<i8", "M8[ns]"})
_TIMES: Final = re.compile(r"\.index\b|to_datetime\(|date_range\(|DatetimeIndex\(|['\".](\w*_)?(time|date|datetime|when|ts|timestamp|stamp)s?\b", re.IGNORECASE)
_FRAME: Final = re.compile(r"(^|[_.])(df|frame|data|bars|ohlc|prices)\d*($|_)", re.IGNORECASE)
_MAKES_FRAME: Final = re.compile(r"^(pd|pandas)\.(read_\w+|DataFrame|concat|merge)$|(^|\.)util\.df$")


def sites(module: cst.Module) -> list[Site]:
    """Every trap in a module."""
    finder = _Finder(module)
    module.visit(finder)
    return finder.found


class _Finder(cst.CSTVisitor):
    def __init__(self, module: cst.Module) -> None:
        self.found: list[Site] = []
        self._module = module
        self._frames: set[str] = set()
        self._arrays: set[str] = set()

    def _add(self, rule: str, node: cst.CSTNode) -> None:
        self.found.append(Site(_RULES[rule], node, node, None))

    def _code(self, node: cst.CSTNode) -> str:
        return self._module.code_for_node(node)

    def visit_Call(self, node: cst.Call) -> None:
        name = dotted(node.func).rsplit(".", 1)[-1] or (node.func.attr.value if isinstance(node.func, cst.Attribute) else "")
        if name in ("astype", "view") and isinstance(node.func, cst.Attribute) and node.args:
            receiver = self._code(node.func.value)
            if _plain(node.args[0].value) in _INTEGERS and _TIMES.search(receiver) and "as_unit" not in receiver:
                self._add("pandas3-unit", node.func.attr)
        if name in _FREQUENCY_CALLS:
            for number, argument in enumerate(node.args):
                named = argument.keyword is not None and argument.keyword.value in ("freq", "rule")
                if (named or (argument.keyword is None and number == 0 and name in _FIRST)) and _FREQUENCY.match(_text(argument.value) or "min"):
                    self._add("pandas3-frequency", argument.value)
        if name == "select_dtypes":
            for argument in node.args:
                if any(_plain(one) in ("object", "O") for one in _each(argument.value)):
                    self._add("pandas3-string", node.func.attr if isinstance(node.func, cst.Attribute) else node)

    def visit_Comparison(self, node: cst.Comparison) -> None:
        sides = [node.left, *(one.comparator for one in node.comparisons)]
        if any(isinstance(one, cst.Attribute) and one.attr.value == "dtype" for one in sides) and any(_plain(one) in ("object", "O") for one in sides):
            self._add("pandas3-string", node.left)

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        self._target(node.target)

    def visit_Assign(self, node: cst.Assign) -> None:
        for one in node.targets:
            self._target(one.target)
        if len(node.targets) == 1 and isinstance(node.targets[0].target, cst.Name):
            name = node.targets[0].target.value
            self._frames.discard(name)
            self._arrays.discard(name)
            if isinstance(node.value, cst.Call) and _MAKES_FRAME.search(dotted(node.value.func)):
                self._frames.add(name)
            if _shares_memory(node.value):
                self._arrays.add(name)

    def _target(self, target: cst.BaseExpression) -> None:
        if not isinstance(target, cst.Subscript):
            return
        base = target.value
        if _shares_memory(base) or (isinstance(base, cst.Name) and base.value in self._arrays):
            self._add("pandas3-readonly", base)
        elif isinstance(base, cst.Subscript) and self._is_frame(base.value):
            self._add("pandas3-chained", base)

    def _is_frame(self, node: cst.BaseExpression) -> bool:
        if isinstance(node, cst.Attribute) and node.attr.value in ("loc", "iloc"):
            return True
        path = dotted(node)
        return path in self._frames or bool(path and _FRAME.search(path))


def _shares_memory(node: cst.BaseExpression) -> bool:
    if m.matches(node, m.Attribute(attr=m.Name("values"))):
        return True
    return m.matches(node, m.Call(func=m.Attribute(attr=m.Name("to_numpy")))) and not any(
        argument.keyword is not None and argument.keyword.value == "copy" for argument in cst.ensure_type(node, cst.Call).args
    )


def _text(node: cst.BaseExpression) -> str | None:
    value = node.evaluated_value if isinstance(node, cst.SimpleString) else None
    return value if isinstance(value, str) else None


def _plain(node: cst.BaseExpression) -> str:
    return _text(node) or dotted(node)


def _each(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    return [one.value for one in node.elements] if isinstance(node, cst.List | cst.Tuple) else [node]
