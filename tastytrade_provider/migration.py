"""The import name of the migration tools that no other folder can take: `from tastytrade_provider.migration import compare_bars`.

They lie in the folder `migration` beside this package, and other programs have a folder of that name too. `__path__` makes this module a package whose
submodules lie there (`tastytrade_provider.migration.compare`), as it is with `tastytrade_provider.indicators`. Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .door import lazily

if TYPE_CHECKING:
    from migration.checks import CHECKS, LIMITS, Check, thresholds
    from migration.compare import Comparison, Result, compare_bars, compare_trades
    from migration.files import compare_files, read_bars
    from migration.report import to_html, to_json, to_lines, write_report

__all__ = [
    "CHECKS",
    "LIMITS",
    "Check",
    "Comparison",
    "Result",
    "compare_bars",
    "compare_files",
    "compare_trades",
    "read_bars",
    "thresholds",
    "to_html",
    "to_json",
    "to_lines",
    "write_report",
]

__path__ = [str(Path(__file__).resolve().parent.parent / "migration")]

__getattr__ = lazily(
    __name__,
    {
        "LIMITS": "checks",
        "CHECKS": "checks",
        "Check": "checks",
        "Comparison": "compare",
        "Result": "compare",
        "compare_bars": "compare",
        "compare_files": "files",
        "compare_trades": "compare",
        "read_bars": "files",
        "thresholds": "checks",
        "to_html": "report",
        "to_json": "report",
        "to_lines": "report",
        "write_report": "report",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
