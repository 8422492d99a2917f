"""What every part hands back: a table of medians with their range, and ratios that may have a target. Also which machine and versions it was."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median


@dataclass
class Spread:
    """Repeated measurements of one thing."""

    values: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def __str__(self) -> str:
        if not self.values:
            return "-"
        return f"{short(self.median)} [{short(min(self.values))}..{short(max(self.values))}]"


@dataclass
class Ratio:
    """How many times better than a peer, and what it must be at least; or `at_most`, where less is better. A target of None is only told."""

    name: str
    value: float
    target: float | None = None
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        """True where no more is asked."""
        return self.target is None or (self.value <= self.target if self.at_most else self.value >= self.target)

    def __str__(self) -> str:
        found = f"{'ok  ' if self.is_met else 'MISS'}  {self.name}: {self.value:{'.2f' if self.at_most else '.1f'}}x"
        return found + ("" if self.target is None else f", target {'at most ' * self.at_most}{self.target:g}x")


@dataclass
class Part:
    """One table. `packages`: whose versions it depends on."""

    title: str
    columns: Sequence[str]
    packages: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, cells: Sequence[str | Spread | float]) -> None:
        """One row; the spreads in it are kept in full under the row's first cells and the column's name."""
        self.rows.append([short(cell) if isinstance(cell, float) else str(cell) for cell in cells])
        key = " ".join(str(cell) for cell in cells[:2] if isinstance(cell, str))
        for name, cell in zip(self.columns, cells, strict=True):
            if isinstance(cell, Spread):
                self.measured[f"{key} {name}"] = cell.values

    def text(self) -> str:
        """As printed."""
        widths = [max(len(row[i]) for row in [list(self.columns), *self.rows]) for i in range(len(self.columns))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [list(self.columns), *self.rows]]
        return "\n".join([f"== {self.title}", machine(), "versions: " + versions(self.packages), *lines, *map(str, self.ratios), *self.notes, ""])

    def as_json(self) -> dict[str, object]:
        """For a program: every value measured, and the ratios."""
        ratios = [{"name": one.name, "value": one.value, "target": one.target, "at_most": one.at_most, "met": one.is_met} for one in self.ratios]
        where = {"machine": machine(), "versions": versions(self.packages)}
        return {"title": self.title, **where, "measured": self.measured, "ratios": ratios, "notes": self.notes}


def short(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """The class of machine: processor, cores, system, Python."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")), model)
    return f"machine: {model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def versions(packages: Sequence[str]) -> str:
    """Each package with its version."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed)")
    return ", ".join(found)
