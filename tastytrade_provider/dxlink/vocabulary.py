"""The words of dxLink: one frozen value per message. `messages` reads and writes them.

Source: dxLink asyncapi 1.0.2. Time-outs and periods are in seconds, `from_time_ms` in Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class ErrorKind(StrEnum):
    """What an ERROR is about. A kind that is not listed here stays a plain text."""

    UNSUPPORTED_PROTOCOL = "UNSUPPORTED_PROTOCOL"
    TIMEOUT = "TIMEOUT"
    UNAUTHORIZED = "UNAUTHORIZED"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    BAD_ACTION = "BAD_ACTION"
    UNKNOWN = "UNKNOWN"


class Authorization(StrEnum):
    """The two states an AUTH_STATE can tell."""

    AUTHORIZED = "AUTHORIZED"
    UNAUTHORIZED = "UNAUTHORIZED"


class DataFormat(StrEnum):
    """How FEED_DATA is written: rows of values only, or objects with field names."""

    COMPACT = "COMPACT"
    FULL = "FULL"


EventFields = Mapping[str, tuple[str, ...]]
"""Event type -> its columns, in order."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Each side's first message. Time-outs in seconds; None where the sender named none."""

    version: str
    keepalive_timeout_s: float | None = None
    accept_keepalive_timeout_s: float | None = None
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Auth:
    """The client's token."""

    token: str = field(repr=False)
    channel: int = 0


@dataclass(frozen=True, slots=True)
class AuthState:
    """Whether the client may use channels. `user_id` is what live servers add."""

    state: Authorization
    user_id: str | None = None
    channel: int = 0


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A sign of life, nothing more."""

    channel: int = 0


@dataclass(frozen=True, slots=True)
class Error:
    """Information that something failed; it ends nothing by itself. `kind` is a plain text where the specification does not list it."""

    kind: ErrorKind | str
    message: str = ""
    channel: int = 0


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """The client wants a channel of a service."""

    channel: int
    service: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """The server opened the channel; the parameters are what it granted."""

    channel: int
    service: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ChannelCancel:
    """The client is done with the channel."""

    channel: int


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """The server closed the channel, asked or not."""

    channel: int


@dataclass(frozen=True, slots=True)
class FeedSetup:
    """What the client would accept. Period in seconds, 0 for no aggregation; None leaves the choice to the server."""

    channel: int
    aggregation_period_s: float | None = None
    data_format: DataFormat | None = None
    event_fields: EventFields | None = None


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """What the server does. It may name only the event types that changed; None means "as before"."""

    channel: int
    aggregation_period_s: float | None = None
    data_format: DataFormat | None = None
    event_fields: EventFields | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One event type of one symbol. `from_time_ms` (Unix milliseconds) makes it a time series, `source` names an order book."""

    type: str
    symbol: str
    from_time_ms: int | None = None
    source: str | None = None

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What a later add overwrites and a remove takes away: the time is no part of it."""
        return self.type, self.symbol, self.source


@dataclass(frozen=True, slots=True)
class FeedSubscription:
    """A change of subscriptions, to be applied in the order reset, remove, add."""

    channel: int
    add: tuple[Subscription, ...] = ()
    remove: tuple[Subscription, ...] = ()
    reset: bool = False


class FeedData(NamedTuple):
    """Events, not decoded yet: `rows.decode` does that.

    raw  the whole message in UTF-8, beginning `{"type":"FEED_DATA","channel":<n>,"data":`; the first `[` in it opens the data.

    A tuple and not a dataclass because this is the one message that comes by the thousand: 0.2 against 0.4 microseconds to build.
    """

    channel: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A well-formed message of a type that is not in this vocabulary (DOM_SNAPSHOT, or one yet to be invented)."""

    type: str
    channel: int
    raw: bytes = field(repr=False)


Message = (
    Setup | Auth | AuthState | KeepAlive | Error | ChannelRequest | ChannelOpened | ChannelCancel | ChannelClosed
    | FeedSetup | FeedConfig | FeedSubscription | FeedData | Unknown
)  # fmt: skip
