"""What an indicator may be told: each parameter with its default, what is accepted, and what it means."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tastytrade_provider.errors import UsageError


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: `accepts` says in words what `is_valid` lets through."""

    name: str
    default: Any
    accepts: str
    meaning: str
    is_valid: Callable[[Any], bool]


def whole(name: str, default: int, low: int, high: int, meaning: str) -> Param:
    """A whole number within bounds, both included."""
    accepts = f"a whole number from {low} to {high}"
    return Param(name, default, accepts, meaning, lambda value: _is_number(value, numbers.Integral, low, high))


def number(name: str, default: float | None, low: float, meaning: str, *, above: bool = False) -> Param:
    """A finite number from `low` on (`above`: beyond it). A default of None makes None acceptable: found elsewhere."""

    def is_valid(value: Any) -> bool:
        if value is None:
            return default is None
        return _is_number(value, numbers.Real, low, math.inf) and math.isfinite(value) and not (above and value == low)

    accepts = f"a number {'above' if above else 'from'} {low}" + ("" if above else " on") + (" or None" if default is None else "")
    return Param(name, default, accepts, meaning, is_valid)


def choice(name: str, default: Any, options: Iterable[Any], meaning: str) -> Param:
    """One of a few values."""
    known = tuple(options)
    return Param(name, default, " | ".join(str(option) for option in known), meaning, lambda value: value in known)


def checked(name: str, default: Any, accepts: str, is_valid: Callable[[Any], bool], meaning: str) -> Param:
    """A value that a function judges."""
    return Param(name, default, accepts, meaning, is_valid)


def settle(owner: str, declared: Iterable[Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters with what was given in place of defaults. UsageError for a name or a value that is not accepted."""
    table = {param.name: param for param in declared}
    strange = [name for name in given if name not in table]
    if strange:
        raise UsageError(f"{owner} has no parameter {strange[0]!r}; it accepts {', '.join(table) or 'none'}")
    for name, value in given.items():
        if not table[name].is_valid(value):
            raise UsageError(f"{owner}: {name}={value!r} is not accepted; {table[name].accepts} is")
    return {name: given.get(name, param.default) for name, param in table.items()}


def _is_number(value: Any, kind: type, low: float, high: float) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high  # type: ignore[operator]
