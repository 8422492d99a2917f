"""Interactive Brokers' pacing rules: how long a request has to wait. No clock: `now_s` is any monotonic one.

Source: interactivebrokers.github.io/tws-api/historical_limitations and tick_data. For bars under a minute and for ticks of the past: 60
requests in ten minutes, one that asks for quotes counts twice; no more than 5 of one contract and kind in two seconds; the same one not twice in 15
seconds. Lifted for bars of a minute and more. Always: 50 requests under way at once. Tick-by-tick: one request of a kind and contract in 15 seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

UNDER_WAY: Final = 50
"""Requests for history that may be open at once."""
_WINDOW_S, _MOST = 600.0, 60
_SHORT_S, _MOST_SHORT = 2.0, 5
_SAME_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for history: `same` identifies it, `series` is its contract, exchange and kind; `weight` 2 where quotes are asked for."""

    same: Hashable
    series: Hashable
    weight: int = 1


class Pacer:
    """Tells how long a request must wait and remembers those that were made.

    >>> pacer = Pacer()
    >>> ask = Ask("ES 5 secs to 10:00", "ES trades")
    >>> pacer.wait_s(ask, 100.0)
    0.0
    >>> pacer.made(ask, 100.0)
    >>> pacer.wait_s(ask, 104.0)
    11.0
    """

    def __init__(self) -> None:
        self._made: deque[tuple[float, Ask]] = deque()
        self._streams: dict[Hashable, float] = {}

    def wait_s(self, ask: Ask, now_s: float) -> float:
        """Seconds until the request keeps every rule; 0 where it does now."""
        while self._made and self._made[0][0] <= now_s - _WINDOW_S:
            self._made.popleft()
        due_s = now_s
        same = [at_s for at_s, made in self._made if made.same == ask.same]
        if same:
            due_s = max(due_s, same[-1] + _SAME_S)
        series = [at_s for at_s, made in self._made if made.series == ask.series for _ in range(made.weight)]
        due_s = max(due_s, _room_s(series, _SHORT_S, _MOST_SHORT, ask.weight))
        every = [at_s for at_s, made in self._made for _ in range(made.weight)]
        due_s = max(due_s, _room_s(every, _WINDOW_S, _MOST, ask.weight))
        return due_s - now_s

    def made(self, ask: Ask, now_s: float) -> None:
        """The request goes out now."""
        self._made.append((now_s, ask))

    def stream_wait_s(self, stream: Hashable, now_s: float) -> float:
        """Seconds until a tick-by-tick stream may be asked for again."""
        return max(self._streams.get(stream, -_SAME_S) + _SAME_S - now_s, 0.0)

    def stream_made(self, stream: Hashable, now_s: float) -> None:
        """A tick-by-tick stream is asked for now."""
        self._streams[stream] = now_s

    def forget_streams(self) -> None:
        """The connection is a new one: its streams have not been asked for."""
        self._streams.clear()


def _room_s(times: list[float], window_s: float, most: int, weight: int) -> float:
    """When so many of `times` (ascending) lie further back than the window that `weight` more fit in."""
    too_many = len(times) + weight - most
    return times[too_many - 1] + window_s if too_many > 0 else 0.0
