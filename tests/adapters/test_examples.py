"""The examples of docs/adapters.md run as they stand, each with its framework."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.adapters.libraries import library

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")
FIRST, *EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FRAMEWORKS = ("backtrader", "nautilus_trader", "pandas_ta_classic", "talipp")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", EXAMPLES, ids=re.findall(r"^## (.*)$", PAGE, re.MULTILINE))
def test_an_example_runs(code: str) -> None:
    for name in FRAMEWORKS:
        if f"import {name}" in code or f"from {name}" in code or f"for_{name}" in code:
            library(name)
    exec(compile(FIRST + code, "docs/adapters.md", "exec"), {"__name__": "__main__"})
