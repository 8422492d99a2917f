"""A scan as SARIF 2.1.0, the form in which code hosts take findings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .rule import Effort
from .rules import CALL_SITES, PANDAS_TRAPS
from .scanner import Report

_LEVELS: Final[dict[Effort, str]] = {"Auto": "note", "Assist": "warning", "Manual": "error"}
_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(report: Report, root: Path, version: str) -> dict[str, Any]:
    """The log of one run. Files are named relative to `root`, the folder that was scanned; a relative `root` is part of their names."""
    found = {hit.rule for hit in report.hits}
    described = {rule.id: rule for rule in (*CALL_SITES, *PANDAS_TRAPS) if rule.id in found}
    order = sorted(described)
    base = root.parent if root.is_file() else root

    def location(file: str, line: int | None = None, column: int | None = None) -> dict[str, Any]:
        place: dict[str, Any] = {"uri": quote(file)} | {"uriBaseId": "SRCROOT"} if base.is_absolute() else {"uri": quote((base / file).as_posix())}
        region = {} if line is None else {"region": {"startLine": line, "startColumn": column}}
        return {"physicalLocation": {"artifactLocation": place, **region}}

    rules = [
        {
            "id": name,
            "shortDescription": {"text": f"{described[name].effort}: {described[name].advice}"},
            "help": {"text": f"{described[name].advice} See {described[name].guide}"},
            "defaultConfiguration": {"level": _LEVELS[described[name].effort]},
        }
        for name in order
    ]
    results = [
        {
            "ruleId": hit.rule,
            "ruleIndex": order.index(hit.rule),
            "level": _LEVELS[hit.effort],
            "message": {"text": f"{hit.effort}: {hit.advice} See {hit.guide}"},
            "locations": [location(hit.file, hit.line, hit.column)],
        }
        for hit in report.hits
    ]
    notes = [{"level": "warning", "message": {"text": f"not read: {one.reason}"}, "locations": [location(one.file)]} for one in report.unread]
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "tastytrade-provider migrate scan", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": results,
    }
    if base.is_absolute():
        run["originalUriBaseIds"] = {"SRCROOT": {"uri": f"{base.as_uri()}/"}}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
