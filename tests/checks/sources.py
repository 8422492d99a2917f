"""Markets with an end, so that a test can know every print of them; and ways to wait that are not sleeps."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from tastytrade_provider.emulator import Market, Oddities, Print, QuoteChange
from tastytrade_provider.model import Contract

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 30.0
"""How long anything may take before it counts as not coming."""


@lru_cache(maxsize=8)
def _events(market: Market, count: int) -> Iterator[Print | QuoteChange]:
    """To be copied, which begins anew with what was made up before: that takes longer than many a test, and most want the same market."""
    return itertools.tee(itertools.islice(market, count), 1)[0]


@dataclass(frozen=True)
class Excerpt:
    """The first events of a market. `is_endless=True` only says so: it is then served as a live market is, and stops all the same."""

    market: Market
    events: int
    is_endless: bool = False

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return self.market.contracts

    @property
    def start_ns(self) -> int:
        return self.market.start_ns

    def __iter__(self) -> Iterator[Print | QuoteChange]:
        return copy(_events(self.market, self.events))

    def prints(self, contract: Contract | None = None) -> list[Print]:
        """Its prints, of one contract or of all."""
        return [event for event in self if isinstance(event, Print) and (contract is None or event.contract == contract)]


def excerpt(
    events: int = 1500, *, seed: int = 20261122, roots: tuple[str, ...] = ("ES", "NQ"), oddities: Oddities | None = None, is_endless: bool = False
) -> Excerpt:
    """Some busy seconds of a Monday morning."""
    return Excerpt(Market(seed=seed, roots=roots, prints_per_s=40.0, oddities=oddities or Oddities()), events, is_endless)


async def until(condition: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Let the loop run until something is so; fails with `what` if it does not come to be."""
    ends_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends_s, what if isinstance(what, str) else what()
        await asyncio.sleep(0)


def a_tape(path: Path, rows: str, header: str = "time_ns,price,size,side,bid,ask") -> Path:
    """A tape file of lines as they stand, blanks around cells allowed."""
    lines = [",".join(cell.strip() for cell in line.split(",")) for line in [header, *rows.strip().splitlines()]]
    path.write_text("\n".join(lines) + "\n")
    return path
