"""The exchange of messages under a `Connection`: `turns` has the order, this file the consequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast

from tastytrade_provider.dxlink.channel import Channel, chunks
from tastytrade_provider.dxlink.events import Event, Ignored, Refused, Violation
from tastytrade_provider.dxlink.messages import (
    Auth,
    Authorization,
    AuthState,
    ChannelCancel,
    ChannelClosed,
    ChannelOpened,
    ChannelRequest,
    Error,
    ErrorKind,
    FeedConfig,
    FeedData,
    FeedSetup,
    FeedSubscription,
    KeepAlive,
    Message,
    Setup,
    Unknown,
    channel_of_data,
    data_head,
    encode,
    name_of,
    parse,
)
from tastytrade_provider.dxlink.turns import (
    ALWAYS,
    CHANNEL_LABELS,
    CHANNEL_TURNS,
    CROSSING,
    TURNS,
    ChannelState,
    OutOfTurn,
    Role,
    State,
    allowed,
    label_of,
)
from tastytrade_provider.errors import ProtocolViolation, UsageError

DEFAULT_KEEPALIVE_S = 30.0
_SHORTEST_KEEPALIVE_S = 0.05  # below this a peer's odd time-out would turn the keepalive into a flood
_CLIENT, _OPENED, _CLOSED = Role.CLIENT, ChannelState.OPENED, State.CLOSED
_M = TypeVar("_M", bound=Message)


class Exchange:
    """Everything of a connection but its time-outs and commands; see `Connection`."""

    def __init__(
        self,
        role: Role | Literal["client", "server"],
        *,
        version: str = "0.1-tastytrade-provider",
        keepalive_timeout_s: float = 60.0,
        accept_keepalive_timeout_s: float = 60.0,
        handshake_timeout_s: float = 10.0,
        auth_required: bool = True,
        max_items: int = 100,
        max_bytes: int = 8192,
    ) -> None:
        self.role = Role(role)
        self.state = State.START
        self.channels: dict[int, Channel] = {}
        self.counts: Counter[str] = Counter()
        self.peer_setup: Setup | None = None
        if not (accept_keepalive_timeout_s > 0 and handshake_timeout_s > 0):
            raise UsageError(f"time-outs {accept_keepalive_timeout_s} and {handshake_timeout_s} s are not both more than 0")
        self._setup = checked(Setup(version, keepalive_timeout_s, accept_keepalive_timeout_s))
        self._silence_limit_s = accept_keepalive_timeout_s
        self._keepalive_s = DEFAULT_KEEPALIVE_S
        self._handshake_timeout_s = handshake_timeout_s
        self._auth_required = auth_required
        self._max_items, self._max_bytes = max_items, max_bytes
        self._token: Auth | None = None
        self._refusal_told = False
        self._next_channel = 1
        self._outbox: list[bytes] = []
        # Seconds of the caller's clock. None: since the last `advance`, and the next one says when. `_said_s` is the `advance` before the
        # message instead, because a keepalive may come too early but not too late.
        self._now_s: float | None = None
        self._heard_s: float | None = None
        self._said_s: float | None = None
        self._turn_s: float | None = None

    def __repr__(self) -> str:
        return f"<dxLink {self.role}, {self.state.name}, {len(self.channels)} channels>"

    # --- the three questions

    def receive(self, payload: bytes | str) -> list[Event]:
        """Take one message of the peer and return what it means. ProtocolViolation, for a client, by the table above."""
        self._heard_s = None
        if self.state is _CLOSED:
            self.counts["after close"] += 1
            return []
        try:
            message = parse(payload)
            # The table's answer to the one message that comes by the thousand, without the look-ups: 0.5 instead of 1.7 microseconds.
            if type(message) is FeedData and self.role is _CLIENT:
                known = self.channels.get(message.channel)
                if known is not None and known.state is _OPENED:
                    return [message]
            return self._take(message)
        except ProtocolViolation as violation:
            self.counts["violation"] += 1
            if self.role is Role.CLIENT:
                raise
            kind, channel = (violation.kind, violation.channel) if isinstance(violation, OutOfTurn) else (ErrorKind.INVALID_MESSAGE, 0)
            self.error(kind, str(violation), channel)
            return [Violation(kind, str(violation), channel)]

    def data_run(self, payloads: Sequence[bytes], first: int) -> tuple[int, int]:
        """For a client: (channel, stop) such that payloads[first:stop] are FEED_DATA of one open channel, in the usual spelling.

        They need nothing of the protocol but to count as a sign of life: 0.1 microseconds a message, and no object. stop is `first` where `receive`
        must be asked.
        """
        channel = channel_of_data(payloads[first])
        known = None if channel is None else self.channels.get(channel)
        if channel is None or known is None or known.state is not _OPENED or self.role is not _CLIENT or self.state is _CLOSED:
            return 0, first
        head, stop = data_head(channel), first + 1
        while stop < len(payloads) and payloads[stop].startswith(head):
            stop += 1
        self._heard_s = None
        return channel, stop

    def data_to_send(self) -> list[bytes]:
        """The messages to be sent, each a text frame; they are handed over once."""
        outbox, self._outbox = self._outbox, []
        return outbox

    @property
    def close_expected(self) -> bool:
        """True once this end is done: send what is left, then close the transport."""
        return self.state is State.CLOSED

    # --- commands of both ends

    def keepalive(self) -> None:
        """Send a sign of life now; `advance` sends those that are needed."""
        self._say(KeepAlive())

    def error(self, kind: ErrorKind | str, text: str, channel: int = 0) -> None:
        """Inform the peer of a failure. Nothing else happens."""
        self._say(checked(Error(kind, text, channel)))

    def close(self) -> None:
        """The connection is over: by decision, or because the transport went away. May be called again."""
        self.state = State.CLOSED
        self._token = None

    # --- what messages of the peer do

    def _take(self, message: Message) -> list[Event]:
        if isinstance(message, Unknown):
            self.counts["unknown type"] += 1
            return [message]
        label = label_of(message)
        if label in CHANNEL_LABELS:
            return self._take_on_channel(message, label)
        before = self.state
        following = TURNS[before].get((self.role.peer, label), before if label in ALWAYS else None)
        if following is None:
            raise OutOfTurn(f"{label} in state {before.name}, expected {allowed(TURNS[before], self.role.peer)}")
        self._enter(following)
        react = _REACTIONS.get(type(message))
        return [message] if react is None else [message, *react(self, message, before)]

    def _take_on_channel(self, message: Message, label: str) -> list[Event]:
        number = message.channel
        channel = self.channels.get(number)
        if self.role is Role.SERVER:
            channel = self._admit(message, channel)
        if channel is None:
            self.counts["unknown channel"] += 1
            return [Ignored(message, f"channel {number} is unknown")]
        following = CHANNEL_TURNS[channel.state].get((self.role.peer, label))
        if following is None:
            if channel.state in CROSSING:
                self.counts["crossed"] += 1
                return [Ignored(message, f"channel {number} is {channel.state.name}")]
            expected = allowed(CHANNEL_TURNS[channel.state], self.role.peer)
            raise OutOfTurn(f"{label} on channel {number} in state {channel.state.name}, expected {expected}", channel=number)
        channel.state = following
        self.channels[number] = channel
        react = _CHANNEL_REACTIONS.get(type(message))
        if react is not None:
            react(self, message, channel)
        return [message]

    def _admit(self, message: Message, channel: Channel | None) -> Channel:
        number = message.channel
        if number % 2 == 0:
            raise OutOfTurn("Protocol violation with an even channel usage.", channel=number)
        if self.state is not State.OPEN:
            raise OutOfTurn(f"{name_of(message)} before the connection is authorized", ErrorKind.UNAUTHORIZED, number)
        if channel is None and isinstance(message, ChannelRequest):
            return Channel(number, message.service, message.parameters)
        if channel is None:
            raise OutOfTurn(f"{name_of(message)} on channel {number}, expected CHANNEL_REQUEST first", channel=number)
        return channel

    def _on_setup(self, message: Setup, before: State) -> list[Event]:
        self.peer_setup = message
        # The specification's schema makes acceptKeepaliveTimeout our limit, its prose keepaliveTimeout: the shorter one satisfies both.
        limits_s = [limit_s for limit_s in (message.accept_keepalive_timeout_s, message.keepalive_timeout_s) if limit_s]
        self._keepalive_s = max(min(limits_s) / 2, _SHORTEST_KEEPALIVE_S) if limits_s else DEFAULT_KEEPALIVE_S
        if self.role is Role.SERVER:
            self._say(self._setup)
            self._say(AuthState(Authorization.UNAUTHORIZED if self._auth_required else Authorization.AUTHORIZED))
        return []

    def _on_auth_state(self, message: AuthState, before: State) -> list[Event]:
        token, self._token = self._token, None
        if message.state is Authorization.AUTHORIZED:
            self._refusal_told = False
            self._flush()
        elif token is not None:
            self._say(token)
        elif before in (State.AUTHENTICATING, State.OPEN):
            return self._refused(f"AUTH_STATE UNAUTHORIZED in state {before.name}")
        return []

    def _on_error(self, message: Error, before: State) -> list[Event]:
        is_refusal = message.kind == ErrorKind.UNAUTHORIZED and message.channel == 0 and self.role is Role.CLIENT
        return self._refused(message.message) if is_refusal else []

    def _refused(self, reason: str) -> list[Event]:
        is_news, self._refusal_told = not self._refusal_told, True
        return [Refused(reason)] if is_news else []

    def _on_request(self, message: ChannelRequest, channel: Channel) -> None:
        channel.service, channel.parameters = message.service, message.parameters
        channel.forget()

    def _on_opened(self, message: ChannelOpened, channel: Channel) -> None:
        channel.service, channel.parameters = message.service, message.parameters
        channel.is_stale = True
        self._flush()

    def _on_cancel(self, message: ChannelCancel, channel: Channel) -> None:
        self._say(ChannelClosed(channel.id))

    # --- sending

    def _say(self, message: Message) -> None:
        label, is_open_end = label_of(message), self.state is not State.CLOSED
        if label in CHANNEL_LABELS:
            channel = self._known(message.channel)
            turns = CHANNEL_TURNS[channel.state]
            if not is_open_end or (following := turns.get((self.role, label))) is None:
                where = f"on channel {channel.id} in state {channel.state.name}" if is_open_end else "on a closed connection"
                raise UsageError(f"a {self.role} cannot send {label} {where}; it could send {allowed(turns, self.role)}")
            payload = encode(message)
            channel.state = following
        else:
            connection_turns = TURNS[self.state]
            state = connection_turns.get((self.role, label), self.state if label in ALWAYS and is_open_end else None)
            if state is None:
                could = allowed(connection_turns, self.role)
                raise UsageError(f"a {self.role} cannot send {label} in state {self.state.name}; it could send {could}")
            payload = encode(message)
            self._enter(state)
        self._outbox.append(payload)
        self._said_s = self._now_s

    def _enter(self, state: State) -> None:
        if state is not self.state:
            self.state, self._turn_s = state, None

    def _request(self, channel: Channel) -> None:
        self._say(ChannelRequest(channel.id, channel.service, channel.parameters))
        channel.requested_s = None

    def _flush(self) -> None:
        """Send what waited: channels for the connection to open, settings and subscriptions for their channel to open."""
        if self.state is not State.OPEN:
            return
        for channel in self.channels.values():
            if channel.state is ChannelState.NEW:
                self._request(channel)
            elif channel.state is ChannelState.OPENED and channel.is_stale:
                everything = FeedSubscription(channel.id, add=tuple(channel.subscriptions.values()), reset=channel.was_told)
                settings = [] if channel.setup is None else [channel.setup]
                self._tell(channel, [*settings, *chunks(everything, self._max_items, self._max_bytes)])

    def _tell(self, channel: Channel, messages: Sequence[FeedSetup | FeedSubscription]) -> None:
        channel.is_stale = self.state is not State.OPEN or channel.state is not ChannelState.OPENED
        if channel.is_stale:
            return
        for message in messages:
            self._say(message)
            channel.was_told = True

    def _known(self, number: int) -> Channel:
        if number not in self.channels:
            raise UsageError(f"channel {number} is unknown; there are {', '.join(map(str, self.channels)) or 'none'}")
        return self.channels[number]


_REACTIONS: dict[type[Message], Callable[[Exchange, Any, State], list[Event]]] = {
    Setup: Exchange._on_setup,
    AuthState: Exchange._on_auth_state,
    Error: Exchange._on_error,
}
_CHANNEL_REACTIONS: dict[type[Message], Callable[[Exchange, Any, Channel], None]] = {
    ChannelRequest: Exchange._on_request,
    ChannelOpened: Exchange._on_opened,
    ChannelCancel: Exchange._on_cancel,
    FeedSetup: lambda _, message, channel: channel.add_setup(message),
    FeedConfig: lambda _, message, channel: channel.add_config(message),
    FeedSubscription: lambda _, message, channel: channel.add_change(message),
}


def checked(message: _M) -> _M:
    """The message as the peer would read it; UsageError where the peer could not."""
    try:
        read = parse(encode(message))
    except ProtocolViolation as violation:
        raise UsageError(str(violation)) from None
    return cast("_M", read)
