"""CVD that somebody had start anew. Instants are exchange time, so whoever plays the same trades with the same instants gets the same CVD."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..indicators import CVD

if TYPE_CHECKING:
    from indicators.columns import Columns, Floats


class Resets:
    """Instants (UTC ns) at which CVD starts anew: each acts at the first bar that starts at or after it.

    One object for all indicators of a contract and for every copy of them: a bar that is done again meets the resets of now.

    >>> resets = Resets([100])
    >>> resets.add(300)
    >>> [resets.before(start) for start in (99, 100, 299, 300)]
    [0, 1, 1, 2]
    """

    def __init__(self, times: Iterable[int] = ()) -> None:
        self.times: list[int] = sorted(set(times))

    def add(self, time_ns: int) -> None:
        """One more."""
        if time_ns not in self.times:
            insort(self.times, time_ns)

    def before(self, start_ns: int) -> int:
        """How many act on a bar that starts then, or acted earlier."""
        return bisect_right(self.times, start_ns)

    def __deepcopy__(self, memo: Any) -> Resets:
        return self


class SegmentedCvd(CVD):
    """`cvd`, which also starts anew at `resets`: what CVD was when such a bar opened is taken off from there to the end of its session.

    The sum itself stays `cvd`'s own, so no reset can add what it would not.
    """

    def __init__(self, resets: Resets, **params: Any) -> None:
        super().__init__(**params)
        self.resets = resets

    def _state(self) -> Any:
        return super()._state(), np.array([0.0, np.nan, 0.0])  # taken off, session, resets acted

    def _kernel(self, state: Any, bars: Columns, out: Floats) -> None:
        total, since = state
        super()._kernel(total, bars, out)
        sessions, acted = bars.session_days(), np.searchsorted(self.resets.times, bars.start_ns(), side="right")
        if not acted[-1] and not since[2]:
            since[1] = sessions[-1]
            return
        base = np.empty(len(bars))
        for i, (session, count, opened) in enumerate(zip(sessions, acted, out[:, 1].copy(), strict=True)):
            if session != since[1]:
                since[:] = 0.0, session, count
            elif count > since[2] and not np.isnan(opened):
                since[:] = opened, session, count
            base[i] = since[0]
        out -= base[:, None]
