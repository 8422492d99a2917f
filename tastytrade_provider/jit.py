"""The compiler for kernels: numba's njit, typed, cached on disk so that only the first run on a machine compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function of scalars and numpy columns; it runs without the interpreter lock."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))


def inlined(function: F) -> F:
    """Compile a helper that only kernels call."""
    return cast(F, numba.njit(cache=True, nogil=True, inline="never")(function))
