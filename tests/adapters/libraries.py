"""Frameworks under test, skipped with the reason where they are not installed."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


def library(name: str) -> Any:
    """A framework's module. What it warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed here; `python3 dev.py test-adapters` makes an environment that has it")
