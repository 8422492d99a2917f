"""Faults that hold from the start: what a login may do and what it is served, and how each is written. `faults` names and explains them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tastytrade_provider.emulator.columns import COLUMNS
from tastytrade_provider.emulator.wire import Wire

DELAY_NS: Final = 15 * 60 * 10**9
"""How far behind the data of a login of level demo are (developer.tastytrade.com, sandbox)."""


@dataclass(frozen=True)
class Limits:
    """What holds from the start. None: there is no such limit.

    level                the quote token's: "api", or "demo" for delayed data
    unserved, history_cap, auto_without_history   as in `Wire`
    """

    session_limit: int | None = None
    subscription_size: int | None = None
    subscription_rate: int | None = None
    no_keepalive: float | None = None
    slow_setup: float = 0.0
    unserved: frozenset[str] = frozenset()
    history_cap: Mapping[str, int] = field(default_factory=dict)
    level: str = "api"
    auto_without_history: bool = False

    def on(self, wire: Wire) -> Wire:
        """A wire with these limits besides its own."""
        return replace(
            wire,
            unserved=wire.unserved | self.unserved,
            history_cap={**wire.history_cap, **self.history_cap},
            auto_without_history=wire.auto_without_history or self.auto_without_history,
        )


# Readers of what a limit is written as. Each raises ValueError where it is none.


def number(text: str) -> int:
    """1 or more, in digits."""
    return int(_matched(r"0*[1-9]\d*", text)[0])


def seconds(text: str) -> float:
    """More than 0, with or without an s.

    >>> seconds("1.5s"), seconds("2")
    (1.5, 2.0)
    """
    found = float(_matched(r"(\d+(?:\.\d+)?)s?", text)[1])
    if found <= 0:
        raise ValueError(text)
    return found


def event_types(text: str) -> frozenset[str]:
    """Event types that are served otherwise, with commas between them."""
    return frozenset(_matched("|".join(COLUMNS), one)[0] for one in text.split(","))


def caps(text: str) -> dict[str, int]:
    """Rows of a history by event type.

    >>> caps("TimeAndSale:100,Candle:8")
    {'TimeAndSale': 100, 'Candle': 8}
    """
    parts = [_matched("(TimeAndSale|Candle):(.*)", part) for part in text.split(",")]
    return {part[1]: number(part[2]) for part in parts}


def level(text: str) -> str:
    """The one level besides api."""
    return _matched("demo", text)[0]


def bare(text: str) -> bool:
    """Nothing at all."""
    return not _matched("", text)[0]


def _matched(pattern: str, text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text, re.ASCII)
    if match is None:
        raise ValueError(text)
    return match
