"""The clock that a playback goes by: how fast it runs, and whether it stands. Pure: our own clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

from .errors import UsageError

Speed = float | Literal["max"]
SPEEDS: Final[tuple[Speed, ...]] = (0.5, 1.0, 5.0, 20.0, "max")
"""How fast a recording can be played: as it happened is 1, "max" as fast as the slowest consumer takes it."""


class Pace:
    """Played time, UTC ns of whatever is played. Who plays asks it what is due, anybody may pause it, change its speed, or let it make one step.

    speed     1 as it happened, N times as fast, or "max": nobody waits for the clock, it is where the player says it has come
    speeds    those that can be chosen; `speed` is one of them in any case. Without "max" for a market without an end
    told      functions that are called after each change

    >>> ours = [100.0]
    >>> pace = Pace(2.0)
    >>> pace.begin(lambda: ours[0], at_ns=0)
    >>> ours[0] += 3.0; pace.now_ns, pace.left_s(10_000_000_000)
    (6000000000, 2.0)
    >>> pace.pause(); ours[0] += 60.0; pace.now_ns, pace.left_s(6_000_000_000)
    (6000000000, inf)
    >>> pace.resume(); ours[0] += 1.0; pace.now_ns
    8000000000
    """

    def __init__(self, speed: Speed = 1.0, speeds: tuple[Speed, ...] = SPEEDS) -> None:
        if speed != "max" and not (isinstance(speed, int | float) and math.isfinite(speed) and speed > 0):
            raise UsageError(f"speed {speed!r} is not a number above 0 or 'max'")
        self.speed: Speed = speed
        self.speeds = tuple(sorted({*speeds, speed}, key=lambda each: math.inf if each == "max" else each))
        self.is_paused = False
        self.told: list[Callable[[], object]] = []
        self._until_ns: int | None = None
        self._symbol: str | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._since_s = 0.0
        self._ran_ns = 0  # up to `_since_s`
        self._jumped_ns = 0

    # -- what anybody may ask and do

    @property
    def now_ns(self) -> int:
        """The played time."""
        return self._jumped_ns + self.ran_ns

    @property
    def ran_ns(self) -> int:
        """How much of it passed by the clock, never less than before; what was played without waiting is not in it."""
        if self.is_paused or self.is_hurried:
            return self._ran_ns
        return self._ran_ns + int((self._clock() - self._since_s) * float(self.speed) * 1e9)

    @property
    def is_stepping(self) -> bool:
        """Whether a step is under way, after which it stands."""
        return self._until_ns is not None

    def pause(self) -> None:
        """Stand, also in the middle of a step."""
        self._change(is_paused=True)

    def resume(self) -> None:
        """Go on."""
        self._change(is_paused=False)

    def set_speed(self, speed: Speed) -> None:
        """From now on. UsageError where it is none of `speeds`."""
        if speed not in self.speeds:
            raise UsageError(f"speed {speed!r} is none of {', '.join(f'{each:g}' if each != 'max' else 'max' for each in self.speeds)}")
        self._bank()
        self.speed = speed
        self._tell()

    def step(self, until_ns: int, symbol: str | None = None) -> None:
        """Play without waiting up to the first trade at or after a time (of the contract with this streamer symbol; None: of any), and stand there."""
        self._change(is_paused=False, until_ns=until_ns, symbol=symbol)

    # -- what who plays says and asks

    @property
    def is_hurried(self) -> bool:
        """Whether nobody waits for the clock."""
        return not self.is_paused and (self.is_stepping or self.speed == "max")

    @property
    def until_ns(self) -> int | None:
        """Where a step leads."""
        return self._until_ns

    def begin(self, clock: Callable[[], float], at_ns: int) -> None:
        """It is played from here; a pause, or a step that was asked for before, stays. `clock`: ours, monotonic seconds."""
        self._bank()  # who measures by `ran_ns` may have begun before
        self._clock, self._since_s, self._jumped_ns = clock, clock(), at_ns - self._ran_ns

    def left_s(self, time_ns: int) -> float:
        """For how many seconds of ours to wait for a played time: none where it is there, or nobody waits; infinity while it stands."""
        if self.is_paused:
            return math.inf
        return 0.0 if self.is_hurried else max(0.0, (time_ns - self.now_ns) / 1e9 / float(self.speed))

    def reach(self, time_ns: int) -> None:
        """It has come to here, whatever the clock says."""
        self._bank()
        self._jumped_ns = time_ns - self._ran_ns

    def traded(self, symbol: str, time_ns: int) -> None:
        """A trade was played that counts: where a step leads to it, it stands now."""
        if self._until_ns is not None and time_ns >= self._until_ns and self._symbol in (None, symbol):
            self.pause()

    # -- the work

    def _change(self, *, is_paused: bool, until_ns: int | None = None, symbol: str | None = None) -> None:
        self._bank()
        self.is_paused, self._until_ns, self._symbol = is_paused, until_ns, symbol
        self._tell()

    def _bank(self) -> None:
        self._ran_ns, self._since_s = self.ran_ns, self._clock()

    def _tell(self) -> None:
        for function in tuple(self.told):
            function()
