"""Prints dated ahead of the feed's own clock: one of them would close every bar up to its time, and hide every gap. Pure, and the same live and in a replay.

The feed's clock is compared with ours by their difference, which stays what it is while the feed is live: 0.1 s behind, a quarter of an hour behind where
data is delayed, years where an old tape is played at its own pace. Only a feed whose difference has stood still is judged: a tape that is played faster is not.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from ..jit import kernel
from ..model import Int64, TradeBatch

LIMIT_NS: Final = 60_000_000_000
"""A print so much further ahead than any before it is odd."""
STEADY_NS: Final = 10_000_000_000
"""For so long the difference must have stood still, within `SPREAD_NS`, before prints are judged by it."""
SPREAD_NS: Final = 5_000_000_000
NEW_CLOCK_NS: Final = 5_000_000_000
"""Where nothing but odd prints came for so long, and they agree, it is the clocks that have changed: ours was set back, say."""
_HELD: Final = 10_000
_IS_ARMED, _SINCE, _LOW, _HIGH, _HAS_BEGUN = range(5)


class TimeGuard:
    """One contract's prints: `admit` hands on those that are not odd. An odd one is refused, unless those that follow show that it was not.

    rejected  prints refused, and not admitted since      rejects  the latest of them, with what they said
    """

    def __init__(self) -> None:
        self.rejected = 0
        self.rejects: deque[str] = deque(maxlen=20)
        self._state = np.zeros(5, np.int64)
        self._held: deque[TradeBatch] = deque(maxlen=_HELD)  # odd ones since the last that was not, each a batch of one

    def admit(self, batch: TradeBatch) -> TradeBatch | None:
        """The prints of a batch, as they arrived, that are to be believed; None where none is."""
        time, received = batch.columns["time_ns"], batch.columns["received_ns"]
        at = _judge(self._state, time, received, 0)
        if at == len(batch):
            self._held.clear()
            return batch
        parts = [batch[:at]]
        while at < len(batch):
            parts += self._odd(batch[at : at + 1], is_first=bool(len(parts[-1])))
            begun, at = at + 1, _judge(self._state, time, received, at + 1)
            parts.append(batch[begun:at])
        if len(parts[-1]):
            self._held.clear()
        parts = [part for part in parts if len(part)]
        return TradeBatch.concat(parts) if parts else None

    def start_over(self) -> None:
        """Another recording begins, or whatever else may have another clock."""
        self._state[:] = 0
        self._held.clear()

    def within(self, batch: TradeBatch, now_ns: int) -> TradeBatch:
        """Prints that were fetched (received now, by our clock), without odd ones."""
        if not self._state[_IS_ARMED]:
            return batch
        is_odd = batch.time_ns > now_ns + int(self._state[_HIGH]) + LIMIT_NS
        for at in np.flatnonzero(is_odd).tolist():
            self._refuse(batch[at : at + 1], int(batch.time_ns[at]) - now_ns)
        return batch[~is_odd]

    def _odd(self, one: TradeBatch, *, is_first: bool) -> list[TradeBatch]:
        """What an odd print makes believable: nothing, or itself and those before it."""
        if is_first:
            self._held.clear()
        ahead_ns, received_ns = _ahead(one), int(one.received_ns[0])
        is_agreed = all(abs(_ahead(other) - ahead_ns) <= LIMIT_NS for other in self._held)
        if self._held and is_agreed and received_ns - int(self._held[0].received_ns[0]) >= NEW_CLOCK_NS:
            held = [*self._held]
            self._held.clear()
            self.rejected -= len(held)
            self._state[_HIGH] = ahead_ns
            return [*held, one]
        self._held.append(one)
        self._refuse(one, ahead_ns)
        return []

    def _refuse(self, one: TradeBatch, ahead_ns: int) -> None:
        self.rejected += 1
        [trade] = one
        by_s = (ahead_ns - int(self._state[_HIGH])) / 1e9
        self.rejects.append(f"{one.contract.symbol}: dated {by_s:.0f} s ahead of every print before it: {trade}"[:400])


def _ahead(one: TradeBatch) -> int:
    return int(one.time_ns[0]) - int(one.received_ns[0])


@kernel
def _judge(state: Int64, time: Int64, received: Int64, first: int) -> int:
    """The first row from `first` on that is odd; their count where none is."""
    for i in range(first, len(time)):
        ahead = time[i] - received[i]
        if state[_IS_ARMED]:
            if ahead > state[_HIGH] + LIMIT_NS:
                return i
            state[_HIGH] = max(state[_HIGH], ahead)
            continue
        low, high = min(state[_LOW], ahead), max(state[_HIGH], ahead)
        if not state[_HAS_BEGUN] or high - low > SPREAD_NS:
            state[_HAS_BEGUN], state[_SINCE], state[_LOW], state[_HIGH] = 1, received[i], ahead, ahead
        else:
            state[_LOW], state[_HIGH] = low, high
            state[_IS_ARMED] = received[i] - state[_SINCE] >= STEADY_NS
    return len(time)
