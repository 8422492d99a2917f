"""Whose turn it is: the protocol as two tables, the same for both ends.

A key is who speaks and what is said; the value is the state both ends are in afterwards. Nothing else moves a state, so a reader can say
the protocol aloud: "at START the client says SETUP, then the server says SETUP, then the server says AUTH_STATE ...".

Sources: dxLink asyncapi 1.0.2 for the order; dxFeed's JavaScript client for what is tolerated (a channel requested again).
"""

from __future__ import annotations

from enum import Enum, StrEnum

from tastytrade_provider.dxlink.messages import AuthState, Error, ErrorKind, Message, name_of
from tastytrade_provider.errors import ProtocolViolation


class Role(StrEnum):
    """Which end of the connection speaks."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def peer(self) -> Role:
        """The other end."""
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


class State(Enum):
    """Where a connection is."""

    START = "nothing said yet"
    SETUP = "the client has introduced itself"
    GREETED = "both have; the server is about to say whether it wants a token"
    UNAUTHORIZED = "the server wants a token"
    AUTHENTICATING = "the client has sent one"
    OPEN = "channels may be used"
    CLOSED = "over; the transport should be closed"


class ChannelState(Enum):
    """Where a channel is."""

    NEW = "wanted, not asked for yet"
    REQUESTED = "asked for"
    OPENED = "in use"
    CANCELLED = "the client is done with it"
    CLOSED = "over"


_C, _S = Role.CLIENT, Role.SERVER

TURNS: dict[State, dict[tuple[Role, str], State]] = {
    State.START: {(_C, "SETUP"): State.SETUP},
    State.SETUP: {(_S, "SETUP"): State.GREETED},
    State.GREETED: {
        (_S, "AUTH_STATE UNAUTHORIZED"): State.UNAUTHORIZED,
        (_S, "AUTH_STATE AUTHORIZED"): State.OPEN,
    },
    State.UNAUTHORIZED: {
        (_C, "AUTH"): State.AUTHENTICATING,
        (_S, "AUTH_STATE UNAUTHORIZED"): State.UNAUTHORIZED,
        (_S, "AUTH_STATE AUTHORIZED"): State.OPEN,
    },
    State.AUTHENTICATING: {
        (_S, "AUTH_STATE AUTHORIZED"): State.OPEN,
        (_S, "AUTH_STATE UNAUTHORIZED"): State.UNAUTHORIZED,
        (_S, "ERROR UNAUTHORIZED"): State.UNAUTHORIZED,
    },
    State.OPEN: {
        (_C, "AUTH"): State.AUTHENTICATING,
        (_S, "AUTH_STATE UNAUTHORIZED"): State.UNAUTHORIZED,
        (_S, "AUTH_STATE AUTHORIZED"): State.OPEN,
    },
    State.CLOSED: {},
}

SPEAKS_NEXT: dict[State, Role] = {
    State.START: _C,
    State.SETUP: _S,
    State.GREETED: _S,
    State.UNAUTHORIZED: _C,
    State.AUTHENTICATING: _S,
}
"""Who must say the next word of the handshake; the other end waits for it no longer than the handshake time-out."""

ALWAYS = {"ERROR", "ERROR UNAUTHORIZED", "KEEPALIVE"}
"""What either end may say at any time, and what moves no state unless the table above says so."""

CHANNEL_TURNS: dict[ChannelState, dict[tuple[Role, str], ChannelState]] = {
    ChannelState.NEW: {(_C, "CHANNEL_REQUEST"): ChannelState.REQUESTED},
    ChannelState.REQUESTED: {
        (_S, "CHANNEL_OPENED"): ChannelState.OPENED,
        (_S, "CHANNEL_CLOSED"): ChannelState.CLOSED,
        (_C, "CHANNEL_CANCEL"): ChannelState.CANCELLED,
    },
    ChannelState.OPENED: {
        (_C, "FEED_SETUP"): ChannelState.OPENED,
        (_S, "FEED_CONFIG"): ChannelState.OPENED,
        (_C, "FEED_SUBSCRIPTION"): ChannelState.OPENED,
        (_S, "FEED_DATA"): ChannelState.OPENED,
        (_C, "CHANNEL_CANCEL"): ChannelState.CANCELLED,
        (_S, "CHANNEL_CLOSED"): ChannelState.CLOSED,
        (_C, "CHANNEL_REQUEST"): ChannelState.REQUESTED,  # the JavaScript client asks again after each AUTHORIZED
    },
    ChannelState.CANCELLED: {(_S, "CHANNEL_CLOSED"): ChannelState.CLOSED},
    ChannelState.CLOSED: {(_C, "CHANNEL_REQUEST"): ChannelState.REQUESTED},
}

CROSSING = {ChannelState.CANCELLED, ChannelState.CLOSED}
"""States in which the other end may still have messages under way that it sent in good faith: they are ignored, not violations."""

CHANNEL_LABELS = {label for turns in CHANNEL_TURNS.values() for _, label in turns}


class OutOfTurn(ProtocolViolation):
    """The peer said what the protocol has no place for. `kind` and `channel` are those of the ERROR that answers it."""

    def __init__(self, reason: str, kind: ErrorKind = ErrorKind.BAD_ACTION, channel: int = 0) -> None:
        super().__init__(reason)
        self.kind = kind
        self.channel = channel


def label_of(message: Message) -> str:
    """A message as the tables name it.

    >>> label_of(Error(ErrorKind.UNAUTHORIZED)), label_of(Error(ErrorKind.UNAUTHORIZED, channel=3))
    ('ERROR UNAUTHORIZED', 'ERROR')
    """
    name = name_of(message)
    if isinstance(message, AuthState):
        return f"{name} {message.state}"
    if isinstance(message, Error) and message.kind == ErrorKind.UNAUTHORIZED and message.channel == 0:
        return f"{name} UNAUTHORIZED"
    return name


def allowed(turns: dict[tuple[Role, str], State] | dict[tuple[Role, str], ChannelState], role: Role) -> str:
    """What `role` could say instead, for an error text."""
    return ", ".join(label for speaker, label in turns if speaker is role) or "nothing"
