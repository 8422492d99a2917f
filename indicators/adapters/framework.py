"""The frameworks that adapters are for: none is a dependency of ours, so each is imported when its adapter is used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tastytrade_provider.errors import MissingExtra


def framework(module: str, install: str) -> ModuleType:
    """A framework's module. MissingExtra saying what to install where it is not there."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(f"this adapter needs {module.partition('.')[0]}: pip install {install}") from error
