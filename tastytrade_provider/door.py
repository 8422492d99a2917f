"""Names that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(module: str, submodule_of: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of `module`: a name of `submodule_of` comes from that submodule, any other is an AttributeError that lists them."""

    def __getattr__(name: str) -> Any:
        if name not in submodule_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}; it has {', '.join(sorted(submodule_of))}")
        value = getattr(importlib.import_module(f"{module}.{submodule_of[name]}"), name)
        setattr(sys.modules[module], name, value)
        return value

    return __getattr__
