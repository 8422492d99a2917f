"""How long to wait before trying again."""

from __future__ import annotations


def backoff_s(attempt: int, chance: float) -> float:
    """Seconds to wait before reconnecting for the n-th time (from 1): doubling from 0.5 s to a minute, times 0.5 to 1 by `chance` in [0, 1).

    >>> [backoff_s(attempt, 0.0) for attempt in (1, 2, 3, 20)]
    [0.25, 0.5, 1.0, 30.0]
    """
    return min(60.0, 0.5 * 2.0 ** min(attempt - 1, 10)) * (0.5 + chance / 2)
