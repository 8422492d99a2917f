"""What reading a module teaches about its names, beyond what it assigns to them."""

from __future__ import annotations

import re
from typing import Final

import libcst as cst

from .imports import dotted
from .rule import Rule
from .rules import find
from .scope import Scope
from .values import OPAQUE, Const, Function, Instance, Many, Thing, UserClass, Value, either, matters

_NAMED_IB: Final = re.compile(r"_*ib(_?(client|conn|connection|async|insync|kr))?", re.IGNORECASE)


class Learning:
    """The current scope, and what was learned in it (`changed`), which is used when the module is read again."""

    def __init__(self) -> None:
        self.scope = Scope()
        self.apis: set[str] = set()
        self.changed = False
        self._learned: dict[str, Value] = {}
        self._owners: dict[int, Value] = {}

    def record(self, rule: Rule, token: cst.CSTNode, node: cst.CSTNode) -> None:
        """A call site was met."""
        raise NotImplementedError

    def evaluate(self, node: cst.CSTNode) -> Value:
        """What an expression stands for; its call sites are recorded."""
        raise NotImplementedError

    def _by_name(self, node: cst.BaseExpression, value: Value) -> Value:
        """What a thing is called tells where nothing else does, in a module that imports IB's library."""
        if value is not None:
            return value
        path = dotted(node)
        learned = self._learned.get(self._key(path)) if path else None
        if learned is not None:
            return learned
        if "ib" in self.apis and path and _NAMED_IB.fullmatch(path.rsplit(".", 1)[-1]):
            return Thing("ib")
        return None

    def _key(self, path: str) -> str:
        owner, of = self.scope.owner, self.scope.of
        place = owner.name if path.startswith("self.") and owner else str(id(of.node)) if isinstance(of, Function) else ""
        return f"{place}:{path}"

    def learn(self, node: cst.CSTNode, value: Value) -> None:
        """Something unknown turned out to be IB's."""
        path = dotted(node) if isinstance(node, cst.BaseExpression) else ""
        if not path:
            return
        if isinstance(node, cst.Name) and (holder := self.scope.holder(node.value)) is not None:
            known = holder.names[node.value]
            if known is None or known == OPAQUE or (isinstance(known, Many) and known.item is None):
                holder.names[node.value] = value
                if holder.hints.get(node.value) != value:
                    holder.hints[node.value] = value
                    self.changed = True
            return
        key = self._key(path)
        if self._learned.get(key) != value:
            self._learned[key] = value
            self.changed = True

    def learn_attribute(self, of: UserClass, name: str, value: Value) -> None:
        """What an attribute of one of the program's classes was seen to hold."""
        value = None if value == Const("None") else value
        known = of.attributes.get(name)
        joined = either(value, known) if name in of.attributes else value
        if name not in of.attributes or joined != known:
            of.attributes[name] = joined
            self.changed = True

    def store(self, target: cst.Attribute, value: Value) -> None:
        """Assign to an attribute."""
        owner = self.evaluate(target.value)
        if isinstance(owner, Instance):
            self.learn_attribute(owner.of, target.attr.value, value)
        elif owner == Thing("ib") and (rules := find("ib", "attribute", target.attr.value)):
            self.record(rules[0], target.attr, target)
        elif owner is None and matters(value):
            self.learn(target, value)

    def give_back(self, value: Value) -> None:
        """The current function returns or yields a value."""
        function = self.scope.of
        if isinstance(function, Function) and matters(value) and function.returns is None:
            function.returns = value
            self.changed = True
