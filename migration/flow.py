"""Reads a module from top to bottom, again and again until nothing new is learned, and follows IB's objects through it. Nothing is run.

Functions are read after the body they stand in, with what their callers were seen to pass. What remains unknown counts only where a name is
unmistakable (`reqMktData`), and teaches what the object is: `client.sleep()` is IB's where the same `client` is asked for market data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import libcst as cst

from .expressions import Expressions
from .imports import bound_by, dotted
from .rule import Rule
from .rules import find
from .scope import Scope
from .values import FOREIGN, OPAQUE, Const, Function, Instance, Library, Many, Method, UserClass, Value, either, matters

_PASSES: Final = 5


@dataclass(frozen=True, slots=True)
class Site:
    """A call site: its rule, the name that shows it, the expression, the statement and the function it stands in (None: the module)."""

    rule: Rule
    token: cst.CSTNode
    node: cst.CSTNode
    statement: cst.CSTNode | None
    function: cst.CSTNode | None = None


class Flow(Expressions):
    """One module. `sites()` gives its call sites; `scope` afterwards holds what its names stand for."""

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        self._module = module
        self._later: deque[tuple[Function, Scope]] = deque()
        self._functions: dict[cst.CSTNode, Function] = {}
        self._classes: dict[cst.ClassDef, UserClass] = {}
        self._statement: cst.CSTNode | None = None
        self._sites: dict[tuple[int, str], Site] = {}

    def sites(self) -> list[Site]:
        """Every call site, in no particular order."""
        for _ in range(_PASSES):
            self.changed = False
            self._sites.clear()
            before = dict(self.scope.names)
            self._body(self._module.body)
            while self._later:
                self._function_body(*self._later.popleft())
            if not self.changed and before == self.scope.names:
                break
        return list(self._sites.values())

    def record(self, rule: Rule, token: cst.CSTNode, node: cst.CSTNode) -> None:
        of = self.scope.of
        self._sites.setdefault((id(token), rule.id), Site(rule, token, node, self._statement, of.node if isinstance(of, Function) else None))

    # Statements

    def _body(self, statements: Sequence[cst.CSTNode]) -> None:
        for statement in statements:
            outer, self._statement = self._statement, statement
            self._execute(statement)
            self._statement = outer

    def _block(self, block: cst.CSTNode | None) -> None:
        if isinstance(block, cst.IndentedBlock):
            self._body(block.body)
        elif isinstance(block, cst.SimpleStatementSuite):  # `if x: f()`: the statement is the whole line
            for statement in block.body:
                self._execute(statement)
        elif isinstance(block, cst.If):  # elif
            self._execute(block)
        elif block is not None:
            self._block(block.body)  # type: ignore[attr-defined]

    def _execute(self, statement: cst.CSTNode) -> None:
        handler = self._STATEMENTS.get(type(statement))
        if handler:
            handler(self, statement)
        else:
            for child in statement.children:
                if isinstance(child, cst.BaseExpression):
                    self.use(child)
                elif isinstance(child, cst.BaseSmallStatement | cst.BaseCompoundStatement | cst.BaseSuite):
                    self._block(child) if isinstance(child, cst.BaseSuite) else self._execute(child)
                else:
                    self._execute(child)

    def _line(self, statement: cst.SimpleStatementLine) -> None:
        for small in statement.body:
            self._execute(small)

    def _expression(self, statement: cst.Expr) -> None:
        self.use(statement.value)

    def _import(self, statement: cst.Import | cst.ImportFrom) -> None:
        for name, value in bound_by(statement).items():
            if isinstance(value, Library):
                self.apis.add(value.api)
            if name == "*":
                if isinstance(value, Library) and value not in self.scope.module.stars:
                    self.scope.module.stars.append(value)
            else:
                known = self.scope.names.get(name)
                self.scope.bind(name, known if isinstance(known, Library) and not isinstance(value, Library) else value)

    def _assign(self, statement: cst.Assign) -> None:
        value = self.value_of(statement.value)
        for target in statement.targets:
            self._give(target.target, value, statement.value)

    def _annotated(self, statement: cst.AnnAssign) -> None:
        value = self.annotation(statement.annotation.annotation)
        if statement.value is not None:
            value = either(value if value not in (FOREIGN, OPAQUE) else None, self.value_of(statement.value)) or value
        self._give(statement.target, value, statement.value)

    def _augmented(self, statement: cst.AugAssign) -> None:
        self.use(statement.target)
        self.use(statement.value)

    def _return(self, statement: cst.Return) -> None:
        if statement.value is not None:
            self.give_back(self.use(statement.value))

    def _global(self, statement: cst.Global | cst.Nonlocal) -> None:
        if isinstance(statement, cst.Global):
            self.scope.outer.update(item.name.value for item in statement.names)

    def _give(self, target: cst.BaseExpression, value: Value, source: cst.BaseExpression | None) -> None:
        """Bind a target of an assignment, a loop or a with statement."""
        if isinstance(target, cst.Name):
            self.scope.bind(target.value, value)
            return
        if isinstance(value, Method) and source is not None:
            self.reference(value, source, [])
            value = None
        if isinstance(target, cst.Tuple | cst.List):
            values = source.elements if isinstance(source, cst.Tuple | cst.List) and len(source.elements) == len(target.elements) else None
            for number, element in enumerate(target.elements):
                item = self.evaluate(values[number].value) if values else value.item if isinstance(value, Many) else None
                self._give(element.value, item, None)
        elif isinstance(target, cst.StarredElement):
            self._give(target.value, Many(value), None)
        elif isinstance(target, cst.Attribute):
            self.store(target, value)
        else:
            self.use(target)
            if isinstance(target, cst.Subscript) and matters(value):
                self.learn(target.value, Many(value))

    def _if(self, statement: cst.If) -> None:
        self.use(statement.test)
        before = dict(self.scope.names)
        self._block(statement.body)
        then = self.scope.branch(before)
        self._block(statement.orelse)
        self.scope.join(then)

    def _try(self, statement: cst.Try | cst.TryStar) -> None:
        before = dict(self.scope.names)
        self._block(statement.body)
        tried = dict(self.scope.names)
        branches = []
        for handler in statement.handlers:
            if handler.type is not None:
                self.use(handler.type)
            self._block(handler.body)
            branches.append(self.scope.branch(tried))
        self._block(statement.orelse)
        self.scope.join(*branches, before)
        self._block(statement.finalbody)

    def _for(self, statement: cst.For) -> None:
        self._give(statement.target, self.items(statement.iter, statement.target), None)
        self._block(statement.body)
        self._block(statement.orelse)

    def _while(self, statement: cst.While) -> None:
        self.use(statement.test)
        self._block(statement.body)
        self._block(statement.orelse)

    def _with(self, statement: cst.With) -> None:
        for item in statement.items:
            value = self.use(item.item)
            if item.asname is not None:
                self._give(item.asname.name, value.item if isinstance(value, Many) else value, None)
        self._block(statement.body)

    # Functions and classes

    def _function(self, node: cst.FunctionDef) -> None:
        owner = self.scope.of if isinstance(self.scope.of, UserClass) else None
        function = self._functions.setdefault(node, Function(node, owner))
        for decorator in node.decorators:
            self.use(decorator.decorator)
            name = dotted(decorator.decorator)
            function.is_property |= name.endswith("property")
            function.is_static |= name == "staticmethod"
        for parameter in (*node.params.posonly_params, *node.params.params, *node.params.kwonly_params):
            if parameter.default is not None:
                default = self.use(parameter.default)
                if isinstance(default, Const) and default.text != "None":
                    function.params.setdefault(parameter.name.value, default)
            if parameter.annotation is not None:
                declared = self.annotation(parameter.annotation.annotation)
                if matters(declared) or parameter.name.value not in function.params:
                    function.params[parameter.name.value] = declared
        if node.returns is not None:
            declared = self.annotation(node.returns.annotation)
            function.returns = declared if matters(declared) else function.returns
        if owner is not None:
            owner.methods[node.name.value] = function
            family = owner.family
            if family is not None and family.kind in ("native", "wrapper"):
                for rule in find("native", "override", node.name.value):
                    self.record(rule, node.name, node)
        self.scope.bind(node.name.value, function)
        self._later.append((function, self.scope))

    def _function_body(self, function: Function, parent: Scope) -> None:
        node = function.node
        assert isinstance(node, cst.FunctionDef)
        self.scope = Scope(parent, function, hints=function.hints)
        parameters = node.params
        plain = [*parameters.posonly_params, *parameters.params, *parameters.kwonly_params]
        for parameter in plain:
            name = parameter.name.value
            self.scope.names[name] = OPAQUE if name in function.varied else function.params.get(name)
        for star in (parameters.star_arg, parameters.star_kwarg):
            if isinstance(star, cst.Param):
                self.scope.names[star.name.value] = FOREIGN
        if function.owner is not None and not function.is_static and plain:
            self.scope.names[plain[0].name.value] = Instance(function.owner)
        self._statement = node
        self._block(node.body)
        self._statement = None
        self.scope = self.scope.module

    def _class(self, node: cst.ClassDef) -> None:
        known = self._classes.setdefault(node, UserClass(node.name.value))
        for decorator in node.decorators:
            self.use(decorator.decorator)
        known.bases = [self.evaluate(base.value) for base in node.bases]
        for base in known.bases:
            if isinstance(base, Library) and (rules := find(base.api, "subclass", base.path)):
                self.record(rules[0], node.name, node)
        self.scope.bind(node.name.value, known)
        home, self.scope = self.scope, Scope(self.scope, known)
        self._block(node.body)
        for name, value in self.scope.names.items():
            if not isinstance(value, Function):
                self.learn_attribute(known, name, value)
        self.scope = home

    _STATEMENTS: Final[dict[type[cst.CSTNode], Any]] = {
        cst.SimpleStatementLine: _line,
        cst.Expr: _expression,
        cst.Import: _import,
        cst.ImportFrom: _import,
        cst.Assign: _assign,
        cst.AnnAssign: _annotated,
        cst.AugAssign: _augmented,
        cst.Return: _return,
        cst.Global: _global,
        cst.Nonlocal: _global,
        cst.If: _if,
        cst.Try: _try,
        cst.TryStar: _try,
        cst.For: _for,
        cst.While: _while,
        cst.With: _with,
        cst.FunctionDef: _function,
        cst.ClassDef: _class,
    }
