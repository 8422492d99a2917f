"""Whether the feed is fresh enough to trade on, and why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SILENCE_S = 4.0
"""An open market from which neither trade nor quote came for so long counts as silent; ES quotes change several times a second, also at night."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A contract: whether its market is open, and for how many seconds nothing came from it (None: nothing yet)."""

    symbol: str
    is_open: bool
    silent_s: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ready`, the reason when not (or what there is to know when ready), and what it rests on."""

    ready: bool
    reason: str | None
    pulses: tuple[Pulse, ...]


def judge(state: str, problem: str | None, pulses: Sequence[Pulse], limit_s: float = SILENCE_S, *, is_paused: bool = False) -> Verdict:
    """Ready: connected, and of the contracts whose market is open at least one was heard within the limit. Neither a closed market nor one that
    somebody has paused is a silent feed.

    >>> judge("connected", None, [Pulse("/ESZ6", True, 0.2)]).ready
    True
    >>> judge("connected", None, [Pulse("/ESZ6", True, 7.0)]).reason
    'nothing came from an open market for 7.0 s'
    >>> judge("connected", None, [Pulse("/ESZ6", False, 7000.0)]).reason
    'the market is closed'
    >>> judge("connected", None, [Pulse("/ESZ6", True, 7.0)], is_paused=True)
    Verdict(ready=True, reason='paused', pulses=(Pulse(symbol='/ESZ6', is_open=True, silent_s=7.0),))
    """
    reason: str | None = None
    heard = [pulse.silent_s for pulse in pulses if pulse.is_open and pulse.silent_s is not None]
    if state != "connected":
        reason = f"the feed is {state}" + (f": {problem}" if problem else "")
    elif not pulses:
        reason = problem or "no contract is being watched yet"
    elif is_paused:
        return Verdict(True, "paused", tuple(pulses))
    elif not any(pulse.is_open for pulse in pulses):
        return Verdict(True, "the market is closed", tuple(pulses))
    elif not heard:
        reason = "nothing came from the feed yet"
    elif min(heard) > limit_s:
        reason = f"nothing came from an open market for {min(heard):.1f} s"
    return Verdict(reason is None, reason, tuple(pulses))
