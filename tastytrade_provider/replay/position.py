"""How far a recording has been played, and what it held up to there: history ends where the clock stands, so nobody looks ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..model import Contract, Gap, Quote, TradeBatch
from .sources import Source


@dataclass(frozen=True)
class Past:
    """What was played of a contract: trades as they were handed over, batch by batch, and the gaps among them."""

    batches: Sequence[TradeBatch]
    gaps: Sequence[Gap]

    def trades(self, contract: Contract) -> TradeBatch:
        """All of them as one batch, corrections and cancels where they came."""
        return TradeBatch.concat(list(self.batches)) if self.batches else TradeBatch(contract, {"time_ns": [], "price": [], "size": []})


@dataclass
class Position:
    """Counts of what was played. `now_ns` is the exchange's clock, None before the first trade; `first_ns` the first trade of each streamer symbol."""

    now_ns: int | None = None
    first_ns: dict[str, int] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)

    def add(self, item: TradeBatch | Gap | Quote) -> None:
        """Something is played now."""
        symbol = item.contract.streamer_symbol
        if isinstance(item, Gap):
            self.gaps[symbol] += 1
        elif isinstance(item, Quote):
            self.now_ns = max(self.now_ns or 0, item.time_ns)
        elif len(item):
            self.rows[symbol] += len(item)
            self.first_ns.setdefault(symbol, int(item.time_ns.min()))
            self.now_ns = max(self.now_ns or 0, int(item.time_ns.max()))

    def cut(self, contract: Contract) -> Cut:
        """How far the contract has come."""
        return Cut(contract, self.rows[contract.streamer_symbol], self.gaps[contract.streamer_symbol])


class Cut(NamedTuple):
    """How many rows of trades and how many gaps of a contract were played."""

    contract: Contract
    rows: int
    gaps: int

    def past(self, source: Source) -> Past:
        """What was played, read from the recording again. Reads the disk: not for the event loop."""
        batches, gaps, missing = list[TradeBatch](), list[Gap](), self.rows
        reads = source.reads(gather=True) if self.rows or self.gaps else iter(())
        for item in (item for read in reads for item in read.items if item.contract.streamer_symbol == self.contract.streamer_symbol):
            if isinstance(item, Gap):
                gaps.append(item)
            elif isinstance(item, TradeBatch) and missing:
                batches.append(item[:missing])
                missing -= len(batches[-1])
            if not missing and len(gaps) >= self.gaps:
                break
        return Past(batches, gaps[: self.gaps])
