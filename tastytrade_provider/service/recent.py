"""The trades of the running session, kept so that another timeframe can be made of them at any time."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..model import Gap, Roll, TradeBatch

Item = TradeBatch | Gap | Roll

MOST_TRADES: Final = 1_000_000
"""Of one contract: about 75 MB, and more than a busy session of ES has. Beyond it the oldest go, and a new timeframe begins later."""

_SEAL = 4_096  # trades kept in one piece: a batch of one trade costs thirty times its data
_PIECE = 256  # trades handed out in one piece


class Recent:
    """Items in order of arrival, small batches joined.

    is_whole  whether nothing was dropped since the first item
    """

    def __init__(self, most: int = MOST_TRADES) -> None:
        self.is_whole = True
        self._most = most
        self._sealed: deque[TradeBatch | Gap] = deque()
        self._open: list[TradeBatch] = []
        self._trades = self._open_trades = 0

    def __len__(self) -> int:
        return self._trades

    def add(self, item: Item) -> None:
        """Keep one more. A roll forgets the contract before it."""
        if isinstance(item, TradeBatch):
            self._open.append(item)
            self._open_trades += len(item)
            self._trades += len(item)
            if self._open_trades >= _SEAL:
                self._seal()
        elif isinstance(item, Roll):
            self._sealed.clear()
            self._open, self._trades, self._open_trades, self.is_whole = [], 0, 0, True
        else:
            self._seal()
            self._sealed.append(item)

    def forget_before(self, time_ns: int) -> None:
        """Drop the pieces that end before a time: a session that is over."""
        while self._sealed and _end_ns(self._sealed[0]) < time_ns:
            self._drop_first()

    def pieces(self) -> list[TradeBatch | Gap]:
        """Everything, in pieces small enough for an event loop to breathe between them."""
        self._seal()
        found: list[TradeBatch | Gap] = []
        for item in self._sealed:
            if isinstance(item, Gap):
                found.append(item)
            else:
                found += [item[start : start + _PIECE] for start in range(0, len(item), _PIECE)]
        return found

    def _seal(self) -> None:
        if self._open:
            self._sealed.append(TradeBatch.concat(self._open))
            self._open, self._open_trades = [], 0
        while self._trades > self._most and len(self._sealed) > 1:
            self._drop_first()
            self.is_whole = False

    def _drop_first(self) -> None:
        gone = self._sealed.popleft()
        self._trades -= len(gone) if isinstance(gone, TradeBatch) else 0


def _end_ns(item: TradeBatch | Gap) -> int:
    return int(item.time_ns.max()) if isinstance(item, TradeBatch) and len(item) else item.end_ns if isinstance(item, Gap) else 0
