"""What the expressions of a module stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import libcst as cst

from .calls import Calls
from .imports import dotted
from .rules import find, names, unmistakable
from .scope import Scope
from .values import FOREIGN, OPAQUE, Const, Foreign, Function, Instance, Library, Many, Method, Thing, UserClass, Value, either, made, matters

_UNMISTAKABLE: Final = unmistakable()
_METHODS: Final[dict[Literal["ib", "native"], frozenset[str]]] = {"ib": names("ib", "method"), "native": names("native", "method")}
_EVENTS: Final = names("ib", "event")
_OWN_EVENTS: Final = frozenset({"pendingTickersEvent", "barUpdateEvent"})
_HOURS: Final = frozenset({"tradingHours", "liquidHours"})
_PASS_ON: Final = frozenset({"enumerate", "reversed", "list", "tuple", "sorted", "iter"})
_UNIONS: Final = frozenset({"Optional", "Union", "Annotated", "Final", "ClassVar", "Awaitable", "ReadOnly", "Required"})


class Expressions(Calls):
    """Evaluates expressions in the current scope."""

    def evaluate(self, node: cst.CSTNode) -> Value:
        """What an expression stands for; its call sites are recorded."""
        handler: Callable[[Expressions, cst.CSTNode], Value] | None = self._EXPRESSIONS.get(type(node))
        if handler:
            return handler(self, node)
        for child in node.children:
            self.use(child)
        return None

    def _name(self, node: cst.Name) -> Value:
        value = self.scope.look_up(node.value)
        return Const(node.value) if node.value in ("True", "False", "None") else self._by_name(node, value)

    def _attribute(self, node: cst.Attribute) -> Value:
        owner = self._owners[id(node)] = self.evaluate(node.value)
        return self._by_name(node, self._member(owner, node))

    def _member(self, owner: Value, node: cst.Attribute) -> Value:
        name = node.attr.value
        match owner:
            case Library():
                if owner.is_module:
                    return owner.member(name)
                thing = made(owner)
                return self._of_thing(thing, node) if isinstance(thing, Thing) else Method(owner.api, name, node.attr) if name == "create" else FOREIGN
            case Thing():
                return self._of_thing(owner, node)
            case Instance():
                return self._of_instance(owner.of, node)
            case UserClass():
                return self._of_instance(owner, node)
            case Foreign(opaque=False) | Const() | Function() | Method():
                return FOREIGN
            case Many():
                return None
        if name in _UNMISTAKABLE:
            return Method(None, name, node.attr)
        return self._event(node, owner)

    def _of_thing(self, thing: Thing, node: cst.Attribute) -> Value:
        name = node.attr.value
        if thing.kind in ("ib", "native"):
            api: Literal["ib", "native"] = "ib" if thing.kind == "ib" else "native"
            if name in _METHODS[api]:
                return Method(api, name, node.attr)
            if api == "ib" and (rules := find("ib", "attribute", name)) and name not in _HOURS:
                self.record(rules[0], node.attr, node)
                return FOREIGN
        if thing.kind == "details" and name in _HOURS:
            self.record(find("ib", "attribute", name)[0], node.attr, node)
        elif name in _EVENTS or name == "barUpdateEvent":
            return self._event(node, thing)
        return FOREIGN if thing.kind != "wrapper" else None

    def _event(self, node: cst.Attribute, owner: Value) -> Value:
        """An event of IB's or the hours of a contract, as far as the owner allows it."""
        name = node.attr.value
        known = isinstance(owner, Thing)
        if name == "updateEvent" and (known or ("ib" in self.apis and owner is None)):
            is_bars = owner == Thing("bars") or (not known and "bar" in dotted(node.value).lower())
            self.record(find("ib", "event", "barUpdateEvent" if is_bars else "updateEvent")[0], node.attr, node)
            return FOREIGN
        if name in _EVENTS and (owner == Thing("ib") or name in _OWN_EVENTS):
            self.record(find("ib", "event", name)[0], node.attr, node)
            return FOREIGN
        if name in _HOURS and self.apis and not known:
            self.record(find("ib", "attribute", name)[0], node.attr, node)
            return FOREIGN
        return None

    def _of_instance(self, of: UserClass, node: cst.Attribute) -> Value:
        name = node.attr.value
        for one in of.lineage():
            if name in one.attributes and one.attributes[name] is not None:
                return one.attributes[name]
            if name in one.methods:
                function = one.methods[name]
                return function.returns if function.is_property else function
        known = any(name in one.attributes for one in of.lineage())
        family = of.family
        if family is not None and not known:
            return self._of_thing(family, node) if family.kind != "wrapper" else None
        inherits_unseen = any(base is None for one in of.lineage() for base in one.bases)
        return Method(None, name, node.attr) if inherits_unseen and not known and name in _UNMISTAKABLE else None

    def annotation(self, node: cst.BaseExpression) -> Value:
        """What a thing so annotated is: OPAQUE where the type is not shown in this module."""
        match node:
            case cst.SimpleString() | cst.ConcatenatedString():
                try:
                    return self.annotation(cst.parse_expression(str(node.evaluated_value)))
                except cst.ParserSyntaxError:
                    return OPAQUE
            case cst.BinaryOperation(operator=cst.BitOr()):
                return either(self.annotation(node.left), self.annotation(node.right))
            case cst.Subscript():
                inner = [self.annotation(one.slice.value) for one in node.slice if isinstance(one.slice, cst.Index)]
                found = next((one for one in inner if matters(one)), OPAQUE)
                return found if dotted(node.value).rsplit(".", 1)[-1] in _UNIONS or not matters(found) else Many(found)
            case cst.Name() | cst.Attribute():
                value = self.evaluate(node)
                if isinstance(value, Library):
                    return made(value)
                if isinstance(value, UserClass):
                    return Instance(value)
                return FOREIGN if value == FOREIGN or value == Const("None") else OPAQUE
        return OPAQUE

    def items(self, iterated: cst.BaseExpression, target: cst.BaseExpression) -> Value:
        """What a loop over an expression gives its target."""
        if (
            isinstance(iterated, cst.Call)
            and isinstance(iterated.func, cst.Name)
            and iterated.func.value in ("enumerate", "reversed", "list", "sorted", "iter")
        ):
            value = next(iter([self.use(argument.value) for argument in iterated.args]), None)
        else:
            value = self.use(iterated)
        if isinstance(value, Many):
            return value if isinstance(target, cst.Tuple) and not isinstance(value.item, Many) else value.item
        return FOREIGN if isinstance(value, Foreign) else None

    def _string(self, node: cst.SimpleString | cst.ConcatenatedString) -> Value:
        text = node.evaluated_value
        return Const(text) if isinstance(text, str) else FOREIGN

    def _number(self, node: cst.Integer | cst.Float) -> Value:
        return Const(node.value)

    def _formatted(self, node: cst.FormattedString) -> Value:
        for part in node.parts:
            if isinstance(part, cst.FormattedStringExpression):
                self.use(part.expression)
        return FOREIGN

    def _collection(self, node: cst.List | cst.Tuple | cst.Set) -> Value:
        values = [self.use(element.value) for element in node.elements]
        found = next((value for value in values if matters(value)), None)
        return Many(found) if found is not None else FOREIGN

    def _dict(self, node: cst.Dict) -> Value:
        values: list[Value] = []
        for element in node.elements:
            if isinstance(element, cst.DictElement):
                self.use(element.key)
            values.append(self.use(element.value))
        found = next((value for value in values if matters(value)), None)
        return Many(found) if found is not None else FOREIGN

    def _comprehension(self, node: cst.ListComp | cst.SetComp | cst.GeneratorExp | cst.DictComp) -> Value:
        home, self.scope = self.scope, Scope(self.scope, self.scope.of)
        loop: cst.CompFor | None = node.for_in
        while loop is not None:
            value = self.items(loop.iter, loop.target)
            self._bind_target(loop.target, value)
            for condition in loop.ifs:
                self.use(condition.test)
            loop = loop.inner_for_in
        if isinstance(node, cst.DictComp):
            self.use(node.key)
            value = self.use(node.value)
        else:
            value = self.use(node.elt)
        self.scope = home
        return Many(value)

    def _bind_target(self, target: cst.BaseExpression, value: Value) -> None:
        if isinstance(target, cst.Name):
            self.scope.names[target.value] = value
        elif isinstance(target, cst.Tuple | cst.List):
            for element in target.elements:
                self._bind_target(element.value, value)

    def _lambda(self, node: cst.Lambda) -> Value:
        home, self.scope = self.scope, Scope(self.scope, self.scope.of)
        for parameter in (*node.params.posonly_params, *node.params.params, *node.params.kwonly_params):
            if parameter.default is not None:
                self.use(parameter.default)
            self.scope.names[parameter.name.value] = None
        value = self.use(node.body)
        self.scope = home
        return Function(node, returns=value if matters(value) else None)

    def _operation(self, node: cst.BinaryOperation) -> Value:
        self.use(node.left)
        self.use(node.right)
        return FOREIGN

    def _unary(self, node: cst.UnaryOperation) -> Value:
        self.use(node.expression)
        return FOREIGN

    def _comparison(self, node: cst.Comparison) -> Value:
        self.use(node.left)
        for one in node.comparisons:
            self.use(one.comparator)
        return FOREIGN

    def _await(self, node: cst.Await) -> Value:
        return self.evaluate(node.expression)

    def _yield(self, node: cst.Yield) -> Value:
        if isinstance(node.value, cst.BaseExpression):
            self.give_back(self.use(node.value))
        elif node.value is not None:
            self.use(node.value.item)
        return None

    def _subscript(self, node: cst.Subscript) -> Value:
        value = self.use(node.value)
        for element in node.slice:
            self.use(element.slice)
        if isinstance(value, Many):
            return value if any(isinstance(element.slice, cst.Slice) for element in node.slice) else value.item
        return FOREIGN if isinstance(value, Foreign) else None

    def _conditional(self, node: cst.IfExp) -> Value:
        self.use(node.test)
        return either(self.use(node.body), self.use(node.orelse))

    def _or(self, node: cst.BooleanOperation) -> Value:
        return either(self.use(node.left), self.use(node.right))

    def _walrus(self, node: cst.NamedExpr) -> Value:
        value = self.evaluate(node.value)
        if isinstance(node.target, cst.Name):
            self.scope.bind(node.target.value, value)
        return value

    _EXPRESSIONS: Final[dict[type[cst.CSTNode], Any]] = {
        cst.Name: _name,
        cst.Attribute: _attribute,
        cst.Call: Calls._call,
        cst.SimpleString: _string,
        cst.ConcatenatedString: _string,
        cst.FormattedString: _formatted,
        cst.Integer: _number,
        cst.Float: _number,
        cst.List: _collection,
        cst.Tuple: _collection,
        cst.Set: _collection,
        cst.Dict: _dict,
        cst.ListComp: _comprehension,
        cst.SetComp: _comprehension,
        cst.GeneratorExp: _comprehension,
        cst.DictComp: _comprehension,
        cst.Lambda: _lambda,
        cst.BinaryOperation: _operation,
        cst.UnaryOperation: _unary,
        cst.Comparison: _comparison,
        cst.Await: _await,
        cst.Yield: _yield,
        cst.Subscript: _subscript,
        cst.IfExp: _conditional,
        cst.BooleanOperation: _or,
        cst.NamedExpr: _walrus,
    }
