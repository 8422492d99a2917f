"""A stream kept open: when to connect again, when to renew the token, when to give up. Decisions only; `now_s` is any monotonic clock."""

from __future__ import annotations

import math
from enum import Enum

from ..backoff import backoff_s
from ..errors import AuthenticationFailed, MarketDataError, NotEntitled, RateLimited, SessionConflict

RENEW_BEFORE_S = 600.0
"""A token is renewed so long before it expires, or after half of its life where that is shorter."""
LIFE_S = 23 * 3600.0
"""How long a token is trusted at most where the server does not say until when it is good. TastyTrade's documentation says 24 hours."""
_DAY_S = 86_400.0
OVERLAP_S = 10.0
"""Two connections run beside each other for so long when the token is renewed: then the new one surely delivers all that the old one does."""
_REFUSALS = 5  # as many logins refused in a row are final: more would get the address blocked
_SESSIONS_S = 120.0  # wait for another session of the same login to end


def trusted_s(wall_s: float) -> float:
    """How long a token of this moment is trusted where the server does not say until when it is good: until the midnight of UTC, about which live servers
    let every token expire (vanillaTTFeedHub KI-002), 23 hours at most. `wall_s` is Unix time. One that is fetched so shortly before midnight that it is
    itself the renewal is trusted for longer.

    >>> trusted_s(20 * 3600.0) / 3600, trusted_s(0.5 * 3600.0) / 3600, trusted_s(23.9 * 3600.0) / 3600
    (4.0, 23.0, 23.0)
    """
    left_s = _DAY_S - wall_s % _DAY_S
    return min(LIFE_S, left_s) if left_s >= 2 * RENEW_BEFORE_S else LIFE_S


class Act(Enum):
    """What is to be done now: open a connection because there is none, open one beside the other, close the older one, or give up."""

    OPEN = "open"
    RENEW = "renew"
    RETIRE = "retire"
    GIVE_UP = "give up"


class Upkeep:
    """Tell it what happened (`opened`, `failed`, `lost`), ask what to do (`advance`), and again at `due_s`.

    >>> upkeep = Upkeep()
    >>> upkeep.opened(0.0, 3600.0)
    >>> upkeep.advance(2999.0), upkeep.advance(3000.0)
    (None, <Act.RENEW: 'renew'>)
    >>> upkeep.opened(3001.0, 3600.0)  # beside the other one, which is closed when both have run for a while
    >>> upkeep.advance(3011.0), upkeep.advance(3012.0)
    (<Act.RETIRE: 'retire'>, None)
    >>> upkeep.lost(3500.0, chance=0.0)
    >>> upkeep.advance(3500.25)
    <Act.OPEN: 'open'>
    """

    def __init__(self) -> None:
        self.attempts = 0  # to connect or renew, since the last success
        self._open_at = self._renew_at = self._retire_at = math.inf
        self._is_open = self._is_over = False
        self._opened_s = -math.inf

    @property
    def due_s(self) -> float:
        """When `advance` has something to say without anything happening; inf: never."""
        return min(self._open_at, self._renews_at, self._retire_at)

    @property
    def _renews_at(self) -> float:
        """Not while two stand beside each other: a token that is never good for long would have more and more of them opened."""
        return self._renew_at if self._retire_at == math.inf else max(self._renew_at, self._retire_at)

    def advance(self, now_s: float) -> Act | None:
        """What to do now, each thing once; tell how OPEN and RENEW went by `opened` or `failed`."""
        if self._is_over:
            return Act.GIVE_UP
        for act, mark, due_s in (
            (Act.RETIRE, "_retire_at", self._retire_at), (Act.OPEN, "_open_at", self._open_at), (Act.RENEW, "_renew_at", self._renews_at)
        ):  # fmt: skip
            if now_s >= due_s:
                setattr(self, mark, math.inf)
                return act
        return None

    def opened(self, now_s: float, life_s: float) -> None:
        """A connection stands; its token is good for so many seconds (see `trusted_s` where nobody knows)."""
        if self._is_open:
            self._retire_at = now_s + OVERLAP_S
        life_s = max(life_s, 1.0)
        self._is_open, self.attempts, self._opened_s = True, 0, now_s
        self._open_at, self._renew_at = math.inf, now_s + max(life_s - RENEW_BEFORE_S, life_s / 2)

    def not_yet(self, now_s: float) -> None:
        """RETIRE could not be done; it is asked for again in a second."""
        self._retire_at = now_s + 1.0

    def covers(self, heard_s: float) -> bool:
        """Whether the newest connection had stood long enough when an older one was last heard: then it delivers all that comes after that."""
        return heard_s >= self._opened_s + OVERLAP_S

    def lost(self, now_s: float, chance: float) -> None:
        """No connection stands any more."""
        self._is_open, self.attempts = False, 0
        self._renew_at = self._retire_at = math.inf
        self._open_at = now_s + backoff_s(1, chance)

    def failed(self, now_s: float, error: MarketDataError, chance: float) -> None:
        """OPEN or RENEW did not succeed. To renew is tried as long as the old connection stands."""
        self.attempts += 1
        if not self._is_open and isinstance(error, AuthenticationFailed | NotEntitled) and self.attempts >= _REFUSALS:
            self._is_over = True
            return
        at_s = now_s + max(backoff_s(self.attempts + 1, chance), _least_wait_s(error))
        if self._is_open:
            self._renew_at = at_s
        else:
            self._open_at = at_s


def _least_wait_s(error: MarketDataError) -> float:
    """How long the other side wants to be left alone."""
    if isinstance(error, SessionConflict):
        return _SESSIONS_S
    return (error.retry_after_s or 0.0) if isinstance(error, RateLimited) else 0.0
