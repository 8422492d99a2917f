"""Calls: which of them are call sites, by which rule, and what they give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import libcst as cst

from .imports import dotted, module_value
from .learning import Learning
from .rule import COMPUTED, Api, Kind, Only, Rule, When
from .rules import find, names, unmistakable
from .values import FOREIGN, Const, Foreign, Function, Instance, Library, Many, Method, Thing, UserClass, Value, is_ib, made, matters, returned

_UNMISTAKABLE: Final = unmistakable()
_REQUEST_ID: Final = re.compile(r"(req|ticker|request|order)_?id|next", re.IGNORECASE)
_KEEPS: Final = frozenset({"values", "copy", "items", "keys"})
_TAKES: Final = frozenset({"get", "pop", "popleft", "setdefault", "__getitem__"})
_IB_METHODS: Final = names("ib", "method")


class Calls(Learning):
    """Everything about calls, and about methods that are handed on instead of called."""

    def use(self, node: cst.CSTNode) -> Value:
        """Evaluate what is handed on: a method of IB's that is not called here is a site itself."""
        value = self.evaluate(node)
        if isinstance(value, Method):
            self.reference(value, node, [])
            return None
        return value

    def value_of(self, node: cst.BaseExpression) -> Value:
        """Evaluate what is assigned: a name for a method is no site yet, its calls are."""
        return self.evaluate(node) if isinstance(node, cst.Name | cst.Attribute | cst.Await) else self.use(node)

    def reference(self, method: Method, node: cst.CSTNode, following: Sequence[cst.Arg]) -> None:
        """A method that is handed on instead of called; `following` are the arguments that go with it, as in partial(ib.connect, host)."""
        self._site(method, following, node, complete=bool(following))

    def _site(self, method: Method, arguments: Sequence[cst.Arg], node: cst.CSTNode, *, complete: bool = True) -> Method:
        api = method.api or self._guess(method.name, arguments)
        rule = self._choose(find(api, "method", method.name), arguments if complete else None)
        if rule is not None:
            self.record(rule, method.token, node)
        return Method(api, method.name, method.token)

    def _guess(self, name: str, arguments: Sequence[cst.Arg]) -> Literal["ib", "native"]:
        if name.endswith("Async") or name.startswith("qualify"):
            return "ib"
        if len(self.apis) == 1:
            return "native" if "native" in self.apis else "ib"
        first = arguments[0].value if arguments else None
        if name in ("reqMarketDataType", "reqMarketRule", "reqMatchingSymbols"):
            return "ib"
        counted = isinstance(first, cst.Integer) or bool(_REQUEST_ID.search(cst.Module(body=[]).code_for_node(first))) if first is not None else False
        return "native" if counted else "ib"

    def _choose(self, rules: list[Rule], arguments: Sequence[cst.Arg] | None) -> Rule | None:
        return next((rule for rule in rules if self._holds(rule.when, arguments)), None)

    def _holds(self, when: When | Only | None, arguments: Sequence[cst.Arg] | None) -> bool:
        if isinstance(when, Only):
            given = {argument.keyword.value if argument.keyword else "" for argument in arguments or ()}  # "": by position or from a star, so it may be any
            return when.argument in given and given.isdisjoint({"", *when.without})
        return when is None or self._argument(when, arguments) in when.values

    def _argument(self, when: When, arguments: Sequence[cst.Arg] | None) -> str:
        if arguments is None:
            return COMPUTED
        hidden = False
        for number, argument in enumerate(arguments):
            if argument.star:
                hidden = True
            elif argument.keyword is not None:
                if argument.keyword.value == when.argument:
                    return self._text(argument.value)
            elif number == when.position and not hidden:
                return self._text(argument.value)
        return COMPUTED if hidden else when.default

    def _text(self, node: cst.BaseExpression) -> str:
        value = self.evaluate(node)
        return value.text if isinstance(value, Const) else COMPUTED

    def _call(self, node: cst.Call) -> Value:
        if isinstance(node.func, cst.Name) and node.func.value == "super" and self.scope.owner is not None:
            return self.scope.owner.family or FOREIGN
        if (result := self._dynamic(node)) is not None:
            return result
        func = self.evaluate(node.func)
        values = self._arguments(node)
        match func:
            case Method():
                if func.name == "create":
                    self._made(Library("ib", "Contract"), func.token, node)
                    return Thing("contract")
                sure = self._site(Method(func.api, func.name, self._token(node.func)), node.args, node)
                if func.api is None and isinstance(node.func, cst.Attribute):
                    self.learn(node.func.value, Thing(sure.api))  # type: ignore[arg-type]
                return returned(sure)
            case Library():
                return self._made(func, self._token(node.func), node)
            case UserClass():
                if (start := next((one.methods["__init__"] for one in func.lineage() if "__init__" in one.methods), None)) is not None:
                    self._pass(start, node.args, values, bound=True)
                return Instance(func)
            case Function():
                bound = isinstance(node.func, cst.Attribute) and func.owner is not None and not func.is_static
                self._pass(func, node.args, values, bound=bound)
                return func.returns
            case Foreign(opaque=False):
                return FOREIGN
        if isinstance(node.func, cst.Attribute):
            holder, verb = self._owners[id(node.func)], node.func.attr.value
            if isinstance(holder, Many):
                return holder if verb in _KEEPS else holder.item if verb in _TAKES else None
            if verb in ("append", "add") and len(values) == 1 and is_ib(values[0]):
                self.learn(node.func.value, Many(values[0]))
        return None

    def _arguments(self, node: cst.Call) -> list[Value]:
        values: list[Value] = []
        for number, argument in enumerate(node.args):
            value = self.evaluate(argument.value)
            if isinstance(value, Method):
                self.reference(value, argument.value, node.args[number + 1 :] if argument.keyword is None else [])
                value = None
            if isinstance(value, Library) and argument.keyword is not None and argument.keyword.value == "default_factory":
                self._made(value, self._token(argument.value), argument.value)
            values.append(value)
        return values

    def _made(self, of: Library, token: cst.CSTNode, node: cst.CSTNode) -> Value:
        kind: Kind = "function" if of.path.startswith("util.") else "class"
        rule = self._choose(find(of.api, kind, of.path), node.args if isinstance(node, cst.Call) else None)
        if rule is not None:
            self.record(rule, token, node)
        if kind == "function":
            return FOREIGN
        return Thing("contract") if rule is not None and rule.anchor in ("contracts", "continuous") else made(of)

    def _dynamic(self, node: cst.Call) -> Value:
        """getattr and its kin on something of IB's; None where the call is nothing of the sort."""
        name = dotted(node.func).rsplit(".", 1)[-1]
        rules = find("ib", "dynamic", name)
        if not rules or not node.args:
            return None
        first = self.evaluate(node.args[0].value)
        api: Api | None = None
        if name in ("getattr", "hasattr", "setattr"):
            on_ib = isinstance(first, Thing) and first.kind in ("ib", "native")
            found = on_ib or (isinstance(first, Library) and (first.is_module or isinstance(made(first), Thing)))
        elif name in ("import_module", "__import__"):
            value = module_value(first.text) if isinstance(first, Const) else None
            found = isinstance(value, Library)
            api = value.api if isinstance(value, Library) else None
        else:
            found = isinstance(first, Const) and (first.text in _UNMISTAKABLE or ("ib" in self.apis and first.text in _IB_METHODS))
        if not found:
            return None
        for argument in node.args[1:]:
            self.use(argument.value)
        self.record(rules[0], self._token(node.func), node)
        if api is not None:
            assert isinstance(first, Const)
            return module_value(first.text if name == "import_module" else first.text.split(".")[0])
        return FOREIGN

    def _token(self, node: cst.CSTNode) -> cst.CSTNode:
        return node.attr if isinstance(node, cst.Attribute) else node

    def _pass(self, function: Function, arguments: Sequence[cst.Arg], values: Sequence[Value], *, bound: bool) -> None:
        """Tell a function of the module what it is called with."""
        if not isinstance(function.node, cst.FunctionDef):
            return
        parameters = function.node.params
        plain = [one.name.value for one in (*parameters.posonly_params, *parameters.params)][1 if bound else 0 :]
        every = {*plain, *(one.name.value for one in parameters.kwonly_params)}
        for number, (argument, value) in enumerate(zip(arguments, values, strict=True)):
            if argument.star:
                return
            name = argument.keyword.value if argument.keyword else plain[number] if number < len(plain) else None
            if name is None or name not in every:
                continue
            known = function.params.get(name)
            if isinstance(known, Const) and value != known and name not in function.varied:
                function.varied.add(name)
                self.changed = True
            elif matters(value) and known is None:
                function.params[name] = value
                self.changed = True
