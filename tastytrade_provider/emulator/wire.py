"""How the emulated server writes: the freedoms a real one has, as named settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tastytrade_provider.errors import UsageError


def _caps() -> dict[str, int]:
    return {"TimeAndSale": 1000, "Candle": 8000}


@dataclass(frozen=True)
class Wire:
    """The defaults are what clients in use can read.

    column_order         event type -> columns that come first, in this order; the rest as asked
    dropped_columns      event type -> columns the server does not have
    pairs_per_message    how many [type, rows] pairs a COMPACT message may hold; the common clients read only the first
    max_bytes            size of a FEED_DATA message; beyond 65,536 common clients give up. A single row is never split
    rows_per_message     rows in a pair; None: as many as fit
    auto_without_history True: a Candle on an AUTO channel gets an empty snapshot (tastyware/tastytrade issue 353)
    future_marker        True: a candle snapshot begins with the row of the year 2038 that live servers send
    unserved             event types this login does not receive: no data, no word, as live servers do for what is not entitled
    history_cap          event type -> rows of a snapshot before it ends with SNAPSHOT_SNIP (dxFeed's own defaults)
    """

    column_order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pairs_per_message: int = 1
    max_bytes: int = 65_536
    rows_per_message: int | None = None
    auto_without_history: bool = False
    future_marker: bool = True
    unserved: frozenset[str] = frozenset()
    history_cap: Mapping[str, int] = field(default_factory=_caps)

    def __post_init__(self) -> None:
        for name in ("pairs_per_message", "max_bytes", "rows_per_message"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"Wire.{name} is {value}, expected 1 or more")

    def fields(self, event_type: str, asked: tuple[str, ...] | None, known: tuple[str, ...]) -> tuple[str, ...]:
        """The columns the server sends: what was asked and is known (all that is known if nothing was asked), in the server's order.

        >>> Wire(column_order={"Quote": ("askPrice",)}).fields("Quote", ("bidPrice", "askPrice", "colour"), ("bidPrice", "askPrice"))
        ('askPrice', 'bidPrice')
        """
        dropped = self.dropped_columns.get(event_type, ())
        kept = [name for name in asked or known if name in known and name not in dropped]
        first = [name for name in self.column_order.get(event_type, ()) if name in kept]
        return (*first, *(name for name in kept if name not in first)) or known[:1]
