"""The names a module, class or function binds while its code is read, in order."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from typing import Final

from .imports import STAR_NAMES
from .values import FOREIGN, OPAQUE, Const, Function, Library, UserClass, Value, either

_BUILTINS: Final = frozenset(dir(builtins))


@dataclass(eq=False, slots=True)
class Scope:
    """One of them. `of` is the class or function whose body it is, None for the module."""

    parent: Scope | None = None
    of: UserClass | Function | None = None
    names: dict[str, Value] = field(default_factory=dict)
    hints: dict[str, Value] = field(default_factory=dict)
    outer: set[str] = field(default_factory=set)
    stars: list[Library] = field(default_factory=list)

    @property
    def module(self) -> Scope:
        """The outermost scope."""
        return self if self.parent is None else self.parent.module

    @property
    def owner(self) -> UserClass | None:
        """The class whose body or method this is."""
        if isinstance(self.of, UserClass):
            return self.of
        if isinstance(self.of, Function) and self.of.owner is not None:
            return self.of.owner
        return None if self.parent is None else self.parent.owner

    def holder(self, name: str) -> Scope | None:
        """The scope in which a name is found: the bodies of classes are not seen from functions inside them."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or not isinstance(scope.of, UserClass)):
                return scope
            scope = scope.parent
        return None

    def look_up(self, name: str) -> Value:
        """What a name stands for here."""
        holder = self.holder(name)
        if holder is not None:
            value = holder.names[name]
            return holder.hints.get(name, value) if value is None or value == OPAQUE else value
        for star in self.module.stars:
            if name in STAR_NAMES[star.api]:
                return star.member(name)
        return FOREIGN if name in _BUILTINS else None

    def bind(self, name: str, value: Value) -> None:
        """Give a name a value. None, the constant, is no news about a name that stands for something."""
        scope = self.module if name in self.outer else self
        before = scope.names.get(name)
        if name in self.outer:
            value = either(value, before)
        if value == Const("None") and before is not None:
            return
        scope.names[name] = None if value == Const("None") else value

    def branch(self, before: dict[str, Value]) -> dict[str, Value]:
        """Leave a branch: what it bound, with the names as they were before it restored."""
        bound, self.names = self.names, dict(before)
        return bound

    def join(self, *branches: dict[str, Value]) -> None:
        """Names after several ways have met: what matters wins."""
        for branch in branches:
            for name, value in branch.items():
                self.names[name] = either(value, self.names.get(name))
