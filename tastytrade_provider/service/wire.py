"""What goes over the wire: bars and gaps as JSON, times as ISO text, each closed bar encoded once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from ..indicators import Update
from ..model import Gap
from ..watch import bar_record

_SECOND = 1_000_000_000


def iso(time_ns: int) -> str:
    """UTC ISO text of nanoseconds, with no more digits than it takes.

    >>> iso(1_767_600_000_000_000_000), iso(1_767_600_000_250_000_000)
    ('2026-01-05T08:00:00Z', '2026-01-05T08:00:00.25Z')
    """
    seconds, rest = divmod(time_ns, _SECOND)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def record_of(update: Update) -> dict[str, Any]:
    """A bar with its indicator values, as `demo --json` prints it, with its end and its number."""
    bar = update.bar
    return bar_record(update) | {"time": iso(bar.start_ns), "end": iso(bar.end_ns), "bar_no": bar.bar_no}


def gap_record(gap: Gap) -> dict[str, Any]:
    """A gap."""
    return {"symbol": gap.contract.symbol, "start": iso(gap.start_ns), "end": iso(gap.end_ns), "reason": gap.reason, "filled": gap.filled}


def encode(message: Mapping[str, Any]) -> str:
    """JSON text; NaN and infinities become null."""
    return orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def number(value: float) -> float | None:
    """None for what is not known."""
    return value if math.isfinite(value) else None
