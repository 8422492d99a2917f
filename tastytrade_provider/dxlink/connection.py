"""One dxLink connection, either end, without a socket or a clock.

After any input three questions: the events it returned, `data_to_send()`, `close_expected`. Time comes in through `advance(now_s)`; call
it once before the rest, then after every batch of input and whenever `next_deadline()` is reached.

What the peer may do wrong, and what happens (no case below changes a state):

| the peer ...                                        | a client             | a server answers ERROR, reports Violation |
| --------------------------------------------------- | -------------------- | ----------------------------------------- |
| sends what cannot be read                           | ProtocolViolation    | INVALID_MESSAGE                           |
| speaks out of turn (data before CHANNEL_OPENED)     | ProtocolViolation    | BAD_ACTION                                |
| uses an even number in CHANNEL_REQUEST              | -                    | BAD_ACTION                                |
| uses a channel before it is authorised              | -                    | UNAUTHORIZED                              |
| names a channel nobody asked for                    | Ignored, counted     | BAD_ACTION                                |
| writes on a channel that is cancelled or closed     | Ignored, counted     | Ignored, counted (it crossed on the wire) |
| sends a type that is not in the vocabulary          | Unknown, counted     | Unknown, counted                          |
| sends an ERROR, of whatever kind                    | the Error            | the Error                                 |
| writes after this end gave up (CLOSED)              | counted              | counted                                   |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from tastytrade_provider.dxlink.channel import CONTRACTS, Channel, chunks
from tastytrade_provider.dxlink.events import Event, TimedOut
from tastytrade_provider.dxlink.exchange import Exchange, checked
from tastytrade_provider.dxlink.messages import (
    Auth,
    Authorization,
    AuthState,
    ChannelCancel,
    ChannelClosed,
    ChannelOpened,
    ChannelRequest,
    DataFormat,
    ErrorKind,
    FeedConfig,
    FeedSetup,
    FeedSubscription,
    Subscription,
    feed_data,
)
from tastytrade_provider.dxlink.turns import CROSSING, SPEAKS_NEXT, TURNS, ChannelState, Role, State, allowed
from tastytrade_provider.errors import UsageError


class Connection(Exchange):
    """The protocol of one connection, as client or as server.

    version                     what SETUP says of us
    keepalive_timeout_s         how long the peer may find us silent
    accept_keepalive_timeout_s  how long we let the peer be silent: beyond it the connection is closed
    handshake_timeout_s         how long the peer may take for its next word before the connection is open, and for CHANNEL_OPENED
    auth_required               server: False says AUTHORIZED at once, as dxFeed's public demo does
    max_items, max_bytes        limits of one FEED_SUBSCRIPTION

    A command the protocol has no place for raises UsageError. Each channel is in `channels` until `forget`; its number is not used again.
    A server opens a channel when the application says `channel_opened`; SETUP, the first AUTH_STATE, CHANNEL_CLOSED and every ERROR about
    the protocol it answers by itself.

    >>> client, server = Connection("client"), Connection("server")
    >>> client.setup()
    >>> [event for payload in client.data_to_send() for event in server.receive(payload)]
    [Setup(version='0.1-tastytrade-provider', keepalive_timeout_s=60.0, accept_keepalive_timeout_s=60.0, channel=0)]
    >>> server.state.name
    'UNAUTHORIZED'
    """

    # --- time

    def advance(self, now_s: float) -> list[Event]:
        """Tell the time, in seconds of any monotonic clock. Sends KEEPALIVE when due; returns TimedOut for what did not come."""
        self._now_s = now_s = now_s if self._now_s is None else max(now_s, self._now_s)
        self._heard_s = now_s if self._heard_s is None else self._heard_s
        self._said_s = now_s if self._said_s is None else self._said_s
        self._turn_s = now_s if self._turn_s is None else self._turn_s
        for channel in self.channels.values():
            channel.requested_s = now_s if channel.requested_s is None else channel.requested_s
        due = [act for due_s, act in self._deadlines(now_s) if due_s <= now_s]
        return [event for act in due if self.state is not State.CLOSED for event in act()]

    def next_deadline(self) -> float | None:
        """When `advance` has something to do, in seconds of the caller's clock; None before the first `advance` and once closed."""
        return None if self._now_s is None else min((due_s for due_s, _ in self._deadlines(self._now_s)), default=None)

    def _deadlines(self, now_s: float) -> Iterator[tuple[float, Callable[[], list[Event]]]]:
        def since(mark_s: float | None) -> float:
            return now_s if mark_s is None else mark_s

        if self.state is State.CLOSED:
            return
        if SPEAKS_NEXT.get(self.state) is self.role.peer:
            words = allowed(TURNS[self.state], self.role.peer)
            yield since(self._turn_s) + self._handshake_timeout_s, partial(self._give_up, words, self._handshake_timeout_s)
        yield since(self._heard_s) + self._silence_limit_s, partial(self._give_up, "any message", self._silence_limit_s)
        if self.state not in (State.START, State.SETUP):
            yield since(self._said_s) + self._keepalive_s, self._keepalive_due
        for channel in self.channels.values():
            if self.role is Role.CLIENT and channel.state is ChannelState.REQUESTED:
                yield since(channel.requested_s) + self._handshake_timeout_s, partial(self._channel_late, channel)

    def _give_up(self, waiting_for: str, after_s: float) -> list[Event]:
        self.error(ErrorKind.TIMEOUT, f"The timeout has been reached. No {waiting_for} for {after_s:g} seconds.")
        self.close()
        return [TimedOut(waiting_for, after_s)]

    def _keepalive_due(self) -> list[Event]:
        self.keepalive()
        return []

    def _channel_late(self, channel: Channel) -> list[Event]:
        channel.requested_s = float("inf")  # told once
        return [TimedOut("CHANNEL_OPENED", self._handshake_timeout_s, channel.id)]

    # --- commands of a client

    def setup(self) -> None:
        """Say the first word. Once, at the start."""
        self._say(self._setup)

    def authenticate(self, token: str) -> None:
        """Give the token: sent when the server asks for one, at once if it has. Given in an OPEN connection it renews the authorisation."""
        if not isinstance(token, str) or not token:
            raise UsageError("the token is empty or not a text")
        message = checked(Auth(token))
        if self.role is Role.CLIENT and self.state in (State.START, State.SETUP, State.GREETED):
            self._token = message
            return
        self._say(message)
        self._refusal_told = False

    def open_channel(self, service: str = "FEED", contract: str = "AUTO") -> int:
        """Ask for a channel, as soon as the connection is open, and return its number: odd, ascending."""
        if contract not in CONTRACTS:
            raise UsageError(f"contract {contract!r} is not one of {', '.join(CONTRACTS)}")
        self._only(Role.CLIENT, "open a channel")
        message = checked(ChannelRequest(self._next_channel, service, {"contract": contract}))
        self._next_channel += 2
        channel = self.channels[message.channel] = Channel(message.channel, service, message.parameters)
        if self.state is State.OPEN:
            self._request(channel)
        return channel.id

    def feed_setup(
        self,
        channel: int,
        aggregation_period_s: float | None = None,
        data_format: DataFormat | None = DataFormat.COMPACT,
        event_fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Ask for an aggregation period in seconds (0: none), a format, and columns by event type. Sent when the channel is open."""
        target = self._channel_of_client(channel)
        message = checked(FeedSetup(channel, aggregation_period_s, data_format, _tuples(event_fields)))
        target.add_setup(message)
        self._tell(target, [message])

    def subscribe(self, channel: int, items: Iterable[Subscription]) -> None:
        """Add subscriptions; an item with the type, symbol and source of an earlier one replaces it. Sent when the channel is open."""
        self._change(channel, add=tuple(items))

    def unsubscribe(self, channel: int, items: Iterable[Subscription]) -> None:
        """Remove subscriptions by type, symbol and source; the time they began with is added here, as the specification wants it."""
        known = self._channel_of_client(channel).subscriptions
        self._change(channel, remove=tuple(known.get(item.key, item) for item in items))

    def reset(self, channel: int, items: Iterable[Subscription] = ()) -> None:
        """Remove every subscription of the channel, and add these instead."""
        self._change(channel, add=tuple(items), reset=True)

    def messages(self, channel: int, items: Iterable[Subscription]) -> list[tuple[Subscription, ...]]:
        """Subscriptions as `subscribe` sends them over an open channel, message by message: a server that refuses some says only that it does."""
        return [part.add for part in chunks(FeedSubscription(channel, tuple(items)), self._max_items, self._max_bytes)]

    def cancel(self, channel: int) -> None:
        """Be done with a channel. What the server has under way on it is ignored from now on."""
        target = self._channel_of_client(channel)
        if target.state is ChannelState.NEW:
            target.state = ChannelState.CLOSED
        else:
            self._say(ChannelCancel(channel))

    def forget(self, channel: int) -> None:
        """Keep nothing of a channel that is closed. A client that has asked for thousands would hold, and look through, all of them."""
        if (state := self._known(channel).state) is not ChannelState.CLOSED:
            raise UsageError(f"channel {channel} is {state.name}; only a closed one can be forgotten")
        del self.channels[channel]

    # --- commands of a server

    def auth_state(self, state: Authorization | Literal["AUTHORIZED", "UNAUTHORIZED"], user_id: str | None = None) -> None:
        """Answer an AUTH, or withdraw an authorisation."""
        self._say(checked(AuthState(Authorization(state), user_id)))

    def channel_opened(self, channel: int, parameters: Mapping[str, object] | None = None) -> None:
        """Grant a channel, with other parameters than asked if given."""
        target = self._known(channel)
        message = checked(ChannelOpened(channel, target.service, target.parameters if parameters is None else parameters))
        self._say(message)
        target.parameters = message.parameters

    def channel_closed(self, channel: int) -> None:
        """Close a channel, asked or not."""
        self._say(ChannelClosed(channel))

    def feed_config(
        self,
        channel: int,
        aggregation_period_s: float | None = None,
        data_format: DataFormat | None = None,
        event_fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Announce what FEED_DATA will look like; what is left out stays as it was. Due before the first data of a type."""
        target = self._known(channel)
        message = checked(FeedConfig(channel, aggregation_period_s, data_format, _tuples(event_fields)))
        self._say(message)
        target.add_config(message)

    def feed_data(self, channel: int, body: bytes) -> None:
        """Send events: a body from `rows.encode_compact`, `rows.encode_full` or `rows.join`."""
        self._say(feed_data(channel, body))

    def _change(self, number: int, add: tuple[Subscription, ...] = (), remove: tuple[Subscription, ...] = (), reset: bool = False) -> None:
        channel = self._channel_of_client(number)
        change = checked(FeedSubscription(number, add, remove, reset))
        parts = list(chunks(change, self._max_items, self._max_bytes))
        channel.add_change(change)
        self._tell(channel, parts)

    def _only(self, role: Role, what: str) -> None:
        if self.role is not role or self.state is State.CLOSED:
            raise UsageError(f"a {self.role} in state {self.state.name} cannot {what}")

    def _channel_of_client(self, number: int) -> Channel:
        self._only(Role.CLIENT, "change a channel")
        channel = self._known(number)
        if channel.state in CROSSING:
            raise UsageError(f"channel {number} is {channel.state.name}; open another one")
        return channel


def _tuples(event_fields: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]] | None:
    return None if event_fields is None else {event_type: tuple(names) for event_type, names in event_fields.items()}
