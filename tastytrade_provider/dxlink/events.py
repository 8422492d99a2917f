"""What a connection reports besides the messages themselves."""

from __future__ import annotations

from dataclasses import dataclass

from tastytrade_provider.dxlink.messages import ErrorKind, Message


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not accept the token, or not any longer. Told once; the next `authenticate` or AUTHORIZED makes it news again."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """`waiting_for` did not come for `after_s` seconds. On channel 0 the connection is closed; a channel's time-out ends nothing."""

    waiting_for: str
    after_s: float
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that has no effect because its channel is unknown here, or over already."""

    message: Message
    reason: str


@dataclass(frozen=True, slots=True)
class Violation:
    """The client broke the protocol, and an ERROR of this kind has been queued for it. Only a server reports this; a client raises."""

    kind: ErrorKind
    reason: str
    channel: int = 0


Event = Message | Refused | TimedOut | Ignored | Violation
