"""One channel: what was asked, what the server granted, what is subscribed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tastytrade_provider.dxlink.messages import EventFields, FeedConfig, FeedSetup, FeedSubscription, Subscription, encode
from tastytrade_provider.dxlink.turns import ChannelState
from tastytrade_provider.errors import ProtocolViolation, UsageError

CONTRACTS = ("AUTO", "HISTORY", "STREAM", "TICKER")
_Settings = TypeVar("_Settings", FeedSetup, FeedConfig)


@dataclass(slots=True)
class Channel:
    """The state of one channel, on either end. Written by `Connection` only."""

    id: int
    service: str
    parameters: Mapping[str, object]
    state: ChannelState = ChannelState.NEW
    setup: FeedSetup | None = None
    config: FeedConfig | None = None
    subscriptions: dict[tuple[str, str, str | None], Subscription] = field(default_factory=dict)
    is_stale: bool = False
    """The peer has not been told of the latest setup and subscriptions."""
    was_told: bool = False
    """The peer has been told of some; telling it anew has to begin with a reset."""
    requested_s: float | None = None
    columns: EventFields = field(default_factory=dict)
    """Event type -> columns, FEED_CONFIG over FEED_SETUP: kept merged, since every data message asks."""

    @property
    def contract(self) -> str | None:
        """AUTO, HISTORY, STREAM or TICKER: as granted once the channel is open, as asked before. None for services without contracts."""
        contract = self.parameters.get("contract")
        return contract if isinstance(contract, str) else None

    def fields(self, event_type: str) -> tuple[str, ...]:
        """The columns of an event type in the order of the rows: as FEED_CONFIG announced, until then as FEED_SETUP asked.

        Raises ProtocolViolation for a type that neither named, since no row of it can be read.
        """
        known = self.columns
        if event_type not in known:
            raise ProtocolViolation(f"channel {self.id} has no columns for {event_type!r}; announced: {', '.join(known) or 'none'}")
        return known[event_type]

    def add_setup(self, setup: FeedSetup) -> None:
        """Merge a FEED_SETUP: what a later one leaves out stays as it was."""
        self.setup = setup if self.setup is None else _merged(self.setup, setup)
        self._merge_columns()

    def add_config(self, config: FeedConfig) -> None:
        """Merge a FEED_CONFIG: servers repeat it with only the event types that changed."""
        self.config = config if self.config is None else _merged(self.config, config)
        self._merge_columns()

    def add_change(self, change: FeedSubscription) -> None:
        """Apply a change of subscriptions in the order reset, remove, add."""
        if change.reset:
            self.subscriptions.clear()
        for item in change.remove:
            self.subscriptions.pop(item.key, None)
        for item in change.add:
            self.subscriptions[item.key] = item

    def forget(self) -> None:
        """Back to a channel nothing was agreed on, when a client asks for it anew."""
        self.setup = self.config = None
        self._merge_columns()
        self.subscriptions.clear()

    def _merge_columns(self) -> None:
        self.columns = {**_fields(self.setup), **_fields(self.config)}


def _fields(settings: FeedSetup | FeedConfig | None) -> EventFields:
    return {} if settings is None or settings.event_fields is None else settings.event_fields


def _merged(old: _Settings, new: _Settings) -> _Settings:
    return replace(
        old,
        aggregation_period_s=old.aggregation_period_s if new.aggregation_period_s is None else new.aggregation_period_s,
        data_format=new.data_format or old.data_format,
        event_fields={**_fields(old), **_fields(new)} or None,
    )


def chunks(change: FeedSubscription, max_items: int, max_bytes: int) -> Iterator[FeedSubscription]:
    """A change as messages of limited size, in the order reset, remove, add. UsageError for an item that alone exceeds `max_bytes`.

    >>> from tastytrade_provider.dxlink.messages import Subscription
    >>> change = FeedSubscription(1, add=tuple(Subscription("Quote", s) for s in ("A", "B", "C")), reset=True)
    >>> [(len(part.add), part.reset) for part in chunks(change, max_items=2, max_bytes=8192)]
    [(2, True), (1, False)]
    """
    empty = FeedSubscription(change.channel)
    frame = len(encode(replace(empty, reset=True))) + len(b',"remove":[],"add":[]')
    around_one = len(encode(empty)) + len(b',"add":[]') - len(b",")
    part, size = replace(empty, reset=change.reset), frame
    for is_add, item in [(False, item) for item in change.remove] + [(True, item) for item in change.add]:
        cost = len(encode(replace(empty, add=(item,)))) - around_one
        if frame + cost > max_bytes:
            raise UsageError(f"subscription of {item.symbol[:40]!r} takes {frame + cost} bytes, more than the {max_bytes} of a message")
        if len(part.add) + len(part.remove) == max_items or size + cost > max_bytes:
            yield part
            part, size = empty, frame
        part = replace(part, add=(*part.add, item)) if is_add else replace(part, remove=(*part.remove, item))
        size += cost
    if part != empty:
        yield part
