"""How often a client may ask. Reads no clock."""

from __future__ import annotations

from collections import deque
from typing import Final

from tastytrade_provider.emulator.tws.refusal import PACING, Refused

_SAME_S, _BURST_S, _LONG_S = 15.0, 2.0, 600.0
_BURST, _LONG = 6, 60
_RATE_S: Final = 1.0


class Pacing:
    """The limits of historical requests (TWS API, historical_limitations): the same one within 15 s, six of one contract within 2 s, 60 within 10 min.

    >>> pacing = Pacing()
    >>> pacing.check(0.0, "ES", "ES 5 secs")
    >>> pacing.check(14.0, "ES", "ES 5 secs")
    Traceback (most recent call last):
    tastytrade_provider.emulator.tws.refusal.Refused: (162, 'Historical Market Data Service error message:Historical data request pacing violation')
    >>> pacing.check(15.5, "ES", "ES 5 secs")
    """

    def __init__(self) -> None:
        self._asked: deque[tuple[float, str, str]] = deque(maxlen=_LONG)

    def check(self, now_s: float, contract: str, request: str) -> None:
        """Note a request. Raises Refused 162 for one that comes too soon; that one does not count."""
        recent = [(request_, contract_, now_s - at_s) for at_s, contract_, request_ in self._asked if now_s - at_s < _LONG_S]
        is_same = any(request_ == request and age_s < _SAME_S for request_, _, age_s in recent)
        of_contract = sum(contract_ == contract and age_s < _BURST_S for _, contract_, age_s in recent)
        if is_same or of_contract >= _BURST - 1 or len(recent) >= _LONG:
            raise Refused(162, PACING)
        self._asked.append((now_s, contract, request))


class Rate:
    """Messages in a second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque()

    def check(self, now_s: float) -> None:
        """Note a message. Raises Refused 100, after which the connection is closed."""
        self._times.append(now_s)
        while now_s - self._times[0] >= _RATE_S:
            self._times.popleft()
        if len(self._times) > self._limit:
            raise Refused(100, self._limit, len(self._times), is_final=True)
