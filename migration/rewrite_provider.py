"""To `provider`: the object becomes a DataProvider, and what means the same on it is renamed. Everything else is left to the reader, with a TODO.

Only what can be told from one function is rewritten: a connection made by `IB()`, its connect, disconnect and isConnected, a Future of literal root and
month whose contract is qualified by name in the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import libcst as cst
import libcst.matchers as m

from .edits import Edits, is_bare
from .flow import Site
from .imports import bound_by, dotted
from .values import Library

_MONTHS: Final = "FGHJKMNQUVXZ"
_OBJECT: Final = 'create_provider("config.yaml")'


def to_provider(module: cst.Module, sites: Sequence[Site], edits: Edits) -> None:
    """Gather the edits of one module."""
    auto = [site for site in sites if site.rule.effort == "Auto" and site.rule.api == "ib"]
    calls = {site.token: site for site in auto if isinstance(site.node, cst.Call)}
    waits = any(_method(site).endswith("Async") for site in auto)
    returns_at_once = any(_method(site) in ("connect", "qualifyContracts", "reqHistoricalData") for site in auto)
    edits.unsure.update(site.token for site in auto)
    if waits and returns_at_once:  # both ways in one module: a reader has to say which it is to be
        return
    contracts = _contracts(auto)
    for site in calls.values():
        if _rewrite(site, edits, is_async=waits, contracts=contracts):
            edits.unsure.discard(site.token)
    if any(site.rule.id == "ib-object" and site.token not in edits.unsure for site in auto):
        _import(module, edits, "create_provider" if waits else "blocking, create_provider")


def _method(site: Site) -> str:
    return site.token.value if isinstance(site.token, cst.Name) else ""


def _rewrite(site: Site, edits: Edits, *, is_async: bool, contracts: dict[cst.CSTNode, str]) -> bool:
    call = cst.ensure_type(site.node, cst.Call)
    rule = site.rule.id
    if rule == "ib-object":
        made = cst.parse_expression(_OBJECT if is_async else f"blocking({_OBJECT})")
        edits.replace(call, lambda _: made)
        return True
    if rule == "connect" and _is_direct(call):
        edits.replace(call, lambda node: _without_arguments(node, "connect"))
        return True
    if rule == "is-connected" and _is_direct(call):
        edits.replace(call, lambda node: cst.ensure_type(cst.ensure_type(node, cst.Call).func, cst.Attribute).with_changes(attr=cst.Name("is_connected")))
        return True
    if rule == "disconnect" and _is_direct(call):
        if not is_async:
            return True
        if not _can_await(site):
            return False
        edits.replace(call, lambda node: cst.Await(cst.ensure_type(node, cst.Call)))
        return True
    if rule == "market-data-type" and is_bare(site.statement, call):
        assert site.statement is not None
        edits.remove(site.statement)
        return True
    if rule in ("future", "qualify") and site.token in contracts:
        if rule == "future":
            text = cst.SimpleString(f'"{contracts[site.token]}"')
            edits.replace(call, lambda _: text)
        else:
            _resolve(site, call, edits)
        return True
    return False


def _is_direct(call: cst.Call) -> bool:
    """A call such as `ib.connect()` or `self.ib.connect()`: its receiver is a name."""
    return isinstance(call.func, cst.Attribute) and bool(dotted(call.func.value))


def _without_arguments(node: cst.CSTNode, name: str) -> cst.CSTNode:
    call = cst.ensure_type(node, cst.Call)
    return call.with_changes(
        func=cst.ensure_type(call.func, cst.Attribute).with_changes(attr=cst.Name(name)), args=[], whitespace_before_args=cst.SimpleWhitespace("")
    )


def _can_await(site: Site) -> bool:
    function = site.function
    is_statement = isinstance(site.statement, cst.SimpleStatementLine) and any(
        isinstance(one, cst.Expr) and one.value is site.node for one in site.statement.body
    )
    return isinstance(function, cst.FunctionDef) and function.asynchronous is not None and is_statement


def _contracts(sites: Sequence[Site]) -> dict[cst.CSTNode, str]:
    """The tokens of futures and of the calls that qualify them, where both stand in one function and name the contract alike."""
    made: dict[tuple[cst.CSTNode | None, str], tuple[cst.CSTNode, str]] = {}
    found: dict[cst.CSTNode, str] = {}
    for site in sites:
        name, symbol = _assigned(site), _symbol(site.node)
        if site.rule.id == "future" and name and symbol:
            key = (site.function, name)
            made[key] = (site.token, "") if key in made else (site.token, symbol)  # two contracts of one name: unclear which is meant
    for site in sites:
        name = _qualified(site)
        if site.rule.id == "qualify" and name and (token_symbol := made.get((site.function, name))) and token_symbol[1]:
            found[token_symbol[0]] = found[site.token] = token_symbol[1]
    return found


def _line(site: Site) -> cst.CSTNode | None:
    statement = site.statement
    return statement.body[0] if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1 else None


def _assigned(site: Site) -> str:
    line = _line(site)
    if isinstance(line, cst.Assign) and len(line.targets) == 1 and line.value is site.node:
        return dotted(line.targets[0].target)
    return ""


def _symbol(node: cst.CSTNode) -> str:
    """`ESZ6` of `Future("ES", "202612", ...)`; empty where root or month is computed."""
    if not isinstance(node, cst.Call):
        return ""
    given: dict[str, str] = {}
    for name, argument in zip(("symbol", "lastTradeDateOrContractMonth", "exchange", "localSymbol"), node.args, strict=False):
        if argument.star:
            return ""
        if argument.keyword is None:
            given[name] = _literal(argument.value)
    given |= {argument.keyword.value: _literal(argument.value) for argument in node.args if argument.keyword is not None}
    root, month = given.get("symbol", ""), given.get("lastTradeDateOrContractMonth", "")
    if not root.isalnum() or not month.isdigit() or len(month) not in (6, 8) or not 1 <= int(month[4:6]) <= 12:
        return ""
    return f"{root}{_MONTHS[int(month[4:6]) - 1]}{month[3]}"


def _literal(node: cst.BaseExpression) -> str:
    value = node.evaluated_value if isinstance(node, cst.SimpleString) else ""
    return value if isinstance(value, str) else ""


def _awaited(node: cst.BaseExpression) -> cst.BaseExpression:
    return node.expression if isinstance(node, cst.Await) else node


def _qualified(site: Site) -> str:
    """The name in `ib.qualifyContracts(name)`, as a statement, awaited or not."""
    line = _line(site)
    if not isinstance(line, cst.Expr) or _awaited(line.value) is not site.node or not isinstance(site.node, cst.Call) or not _is_direct(site.node):
        return ""
    arguments = site.node.args
    return dotted(arguments[0].value) if len(arguments) == 1 and not arguments[0].star and arguments[0].keyword is None else ""


def _resolve(site: Site, call: cst.Call, edits: Edits) -> None:
    """`ib.qualifyContracts(contract)` becomes `contract = ib.resolve(contract)`."""
    line = _line(site)
    assert isinstance(line, cst.Expr)
    edits.replace(call, lambda node: cst.ensure_type(node, cst.Call).with_changes(func=_renamed(node, "resolve")))
    target = call.args[0].value
    assert isinstance(target, cst.Name | cst.Attribute)
    edits.replace(line, lambda node: cst.Assign([cst.AssignTarget(target)], cst.ensure_type(node, cst.Expr).value))


def _renamed(node: cst.CSTNode, name: str) -> cst.BaseExpression:
    return cst.ensure_type(cst.ensure_type(node, cst.Call).func, cst.Attribute).with_changes(attr=cst.Name(name))


def _import(module: cst.Module, edits: Edits, names: str) -> None:
    """Bring our names in beside the first import of IB's library."""
    for statement in m.findall(module, m.SimpleStatementLine()):
        for small in cst.ensure_type(statement, cst.SimpleStatementLine).body:
            bound = bound_by(small).values() if isinstance(small, cst.Import | cst.ImportFrom) else ()
            if any(isinstance(value, Library) and value.api == "ib" for value in bound):
                edits.follow(statement, f"from tastytrade_provider import {names}")
                return
