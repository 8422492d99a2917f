"""Bought, sold and unknown volume by minute, to be compared with what candles say of the same minutes."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..jit import kernel
from ..model import Action, AggressorSide, Array, Int64, SideSource, TradeBatch

MINUTE_NS: Final = 60_000_000_000
_KEPT: Final = 1440  # a session, and a little
_NEW, _BUY, _SELL, _EXCHANGE = int(Action.NEW), int(AggressorSide.BUY), int(AggressorSide.SELL), int(SideSource.EXCHANGE)


class Minutes:
    """What a minute's trades add up to; sides that were inferred count as unknown, for what the exchange told is what candles split.

    The first and the newest minute may be cut and are left out, as is one in which a trade was corrected or cancelled (a candle may have it either
    way), and one marked by `doubt`, since trades of it may be missing. The newest 1,440 minutes are kept.

    trust_inferred  True: inferred sides count
    """

    def __init__(self, *, trust_inferred: bool = False) -> None:
        self._trust_inferred = trust_inferred
        self._minute = np.full(_KEPT, -1, np.int64)
        self._volumes = np.zeros((_KEPT, 3), np.float64)
        self._is_doubtful = np.zeros(_KEPT, np.bool_)
        self._first = -1
        self._is_paused = False

    def add(self, batch: TradeBatch) -> None:
        """Count trades as they are handed over."""
        c = batch.columns
        if len(batch):
            if self._first < 0:
                self._first = int(batch.time_ns.min()) // MINUTE_NS
            state = self._minute, self._volumes, self._is_doubtful
            _count(c["time_ns"], c["size"], c["side"], c["side_source"], c["action"], self._trust_inferred, *state)
            if self._is_paused:
                self._is_paused = False
                self.doubt(int(batch.time_ns.min()), int(batch.time_ns.min()))

    def pause(self) -> None:
        """Nobody counts for a while: the newest minute may be cut, and the one with which it goes on."""
        self._is_paused = True
        if (newest := int(self._minute.max())) >= 0:
            self._is_doubtful[newest % _KEPT] = True

    def doubt(self, start_ns: int, end_ns: int) -> None:
        """Trades may be missing here."""
        self._is_doubtful |= (self._minute >= start_ns // MINUTE_NS) & (self._minute <= end_ns // MINUTE_NS)
        for minute in (start_ns // MINUTE_NS, end_ns // MINUTE_NS):  # of which no trade was met yet
            if self._minute[minute % _KEPT] < minute:
                self._minute[minute % _KEPT], self._volumes[minute % _KEPT], self._is_doubtful[minute % _KEPT] = minute, 0.0, True

    def whole(self) -> dict[int, tuple[float, float, float]]:
        """Start of the minute (UTC ns) -> bought, sold and unknown volume in contracts."""
        kept = (self._minute > self._first) & (self._minute < self._minute.max()) & ~self._is_doubtful
        minutes, volumes = self._minute[kept], self._volumes[kept]
        return {minute * MINUTE_NS: (b, s, u) for minute, (b, s, u) in sorted(zip(minutes.tolist(), volumes.tolist(), strict=True))}


@kernel
def _count(time_ns: Int64, size: Array, side: Array, source: Array, action: Array, trust: bool, minute_of: Int64, volumes: Array, is_doubtful: Array) -> None:
    for i in range(len(time_ns)):
        minute = time_ns[i] // 60_000_000_000
        at = minute % len(minute_of)
        if minute_of[at] > minute:
            continue  # a straggler from a session ago
        if minute_of[at] < minute:
            minute_of[at], is_doubtful[at] = minute, False
            volumes[at, :] = 0.0
        if action[i] != _NEW:
            is_doubtful[at] = True
        elif side[i] == _BUY and (trust or source[i] == _EXCHANGE):
            volumes[at, 0] += size[i]
        elif side[i] == _SELL and (trust or source[i] == _EXCHANGE):
            volumes[at, 1] += size[i]
        else:
            volumes[at, 2] += size[i]
