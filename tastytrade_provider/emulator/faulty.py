"""The acts behind `faults`: a feed that misbehaves, bad REST answers, and what each fault does to an emulator."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import Auth, ErrorKind, FeedSubscription
from tastytrade_provider.dxlink.turns import ChannelState, State
from tastytrade_provider.emulator.book import Books
from tastytrade_provider.emulator.columns import COLUMNS, Row
from tastytrade_provider.emulator.faults import Fault, Faults
from tastytrade_provider.emulator.feed import VERSION, Feed
from tastytrade_provider.emulator.limits import Limits
from tastytrade_provider.emulator.rest import Response, error
from tastytrade_provider.emulator.source import Print
from tastytrade_provider.emulator.wire import Wire
from tastytrade_provider.model import Action

if TYPE_CHECKING:
    from tastytrade_provider.emulator.server import Emulator
    from tastytrade_provider.emulator.visitor import Visitor

EXPIRED = "Your authentication token has expired, reauthentication is required"
TOO_MANY_SESSIONS = "The number of user sessions has exceeded the configured limit, user=tasty/{}"
TOO_BIG = "Your subscription size is too big"
TOO_FAST = "Your subscription rate is too high"
_RATE_WINDOW_S = 1.0
_LOOK_S = 0.02
_ESSENTIAL = {"eventSymbol", "eventType", "eventTime", "eventFlags", "index", "time", "sequence", "price", "size"}  # never dropped
_REASONS = {1000: "Bye", 1008: "policy violation", 1009: "message too big"}


class FaultyFeed(Feed):
    """A `Feed` with limits, that can be struck. `streams` counts the others that are logged in; `clock` gives seconds of any monotonic clock."""

    def __init__(
        self,
        books: Books,
        accepts: Callable[[str], bool],
        wire: Wire | None = None,
        user_id: str = "U0001-emulated",
        *,
        limits: Limits,
        streams: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(books, accepts, wire, user_id)
        self._limits, self._streams, self._clock = limits, streams, clock
        self._speaks_from_s = clock() + limits.slow_setup
        self._is_silent = self._is_expired = False
        self._tricks: deque[str] = deque()
        self._recent: deque[tuple[float, int]] = deque()
        if limits.no_keepalive is not None:
            timeout_s = limits.no_keepalive
            self.connection = Connection("server", version=VERSION, keepalive_timeout_s=timeout_s, accept_keepalive_timeout_s=timeout_s)

    # --- struck

    def silence(self) -> None:
        """Send nothing any more; rows that would have been sent are not counted as sent."""
        self._is_silent = True

    def expire(self) -> None:
        """The token is out of date: say so, and send no rows until there is a good one."""
        if self.connection.state is State.OPEN:  # whoever is about to log in is refused then
            self._is_expired = True
            self.connection.error(ErrorKind.UNAUTHORIZED, EXPIRED)

    def withdraw(self) -> None:
        """Ask for another AUTH; a client that is not logged in is asked already."""
        if self.connection.state is State.OPEN:
            self.connection.auth_state("UNAUTHORIZED")

    def close_channels(self) -> None:
        """Close every open channel."""
        for number in [number for number, channel in self.connection.channels.items() if channel.state is ChannelState.OPENED]:
            self.connection.channel_closed(number)
            self._forget(number)

    def change_columns(self, what: str, seed: int) -> None:
        """Another order of each type's columns, or ("drop") one column fewer; FEED_CONFIG tells it before the next rows."""
        rng = np.random.default_rng(seed)
        if what == "drop":
            spare = {event_type: [name for name in known if name not in _ESSENTIAL] for event_type, known in COLUMNS.items()}
            dropped = {event_type: (names[rng.integers(len(names))],) for event_type, names in spare.items()}
            self._wire = replace(self._wire, dropped_columns=dropped)
        else:
            orders = {event_type: tuple(known[at] for at in rng.permutation(len(known))) for event_type, known in COLUMNS.items()}
            self._wire = replace(self._wire, column_order=orders)
        self._layouts.clear()

    def trick(self, name: str) -> None:
        """Send the next rows of TimeAndSale twice ("duplicate"), or the later half first ("reorder")."""
        self._tricks.append(name)

    # --- limited

    def data_to_send(self) -> list[bytes]:
        """As `Feed.data_to_send`; while setup is slow the words wait, once silent they are gone."""
        if self._clock() < self._speaks_from_s:
            return []
        payloads = super().data_to_send()
        return [] if self._is_silent else payloads

    def _on_auth(self, message: Auth) -> None:
        limit = self._limits.session_limit
        if limit is not None and self._streams() >= limit:
            self.connection.error(ErrorKind.UNAUTHORIZED, TOO_MANY_SESSIONS.format(self._user_id))
            self.connection.auth_state("UNAUTHORIZED")
            return
        super()._on_auth(message)
        if self.connection.state is State.OPEN:
            self._is_expired = False

    def _on_subscription(self, message: FeedSubscription) -> None:
        granted = message.add
        if (rate := self._limits.subscription_rate) is not None and self._items_of_a_second(len(granted)) > rate:
            self.connection.error(ErrorKind.BAD_ACTION, TOO_FAST, message.channel)
            granted = ()
        elif granted and (size := self._limits.subscription_size) is not None:
            wanted = sum(len(channel.subscriptions) for channel in self.connection.channels.values() if channel.state is ChannelState.OPENED)
            if wanted > size:
                self.connection.error(ErrorKind.BAD_ACTION, TOO_BIG, message.channel)
                granted = granted[: max(len(granted) - (wanted - size), 0)]
        super()._on_subscription(replace(message, add=granted))

    def _items_of_a_second(self, n: int) -> int:
        now_s = self._clock()
        self._recent.append((now_s, n))
        while now_s - self._recent[0][0] >= _RATE_WINDOW_S:
            self._recent.popleft()
        return sum(n for _, n in self._recent)

    def _send_pending(self, channel: int, event_type: str) -> None:
        rows = list(self._pending.pop((channel, event_type)).values())
        parts = [rows]
        if event_type == "TimeAndSale" and self._tricks and (len(rows) > 1 or self._tricks[0] == "duplicate"):
            half = len(rows) // 2
            parts = [rows, rows] if self._tricks.popleft() == "duplicate" else [rows[half:], rows[:half]]
        for part in parts:
            self._send(channel, event_type, part)

    def _send(self, channel: int, event_type: str, rows: list[Row]) -> None:
        if not self._is_silent and not self._is_expired and self.connection.state is State.OPEN:
            super()._send(channel, event_type, rows)


_HTML = (("Content-Type", "text/html"),)
ANSWERS: Final[dict[str, Response]] = {
    "401": error(401, "token_invalid", "This token is invalid or has expired"),
    "403": error(403, "not_permitted", "User not permitted access"),
    "429": Response(429, b"", ()),
    "429-retry-after": Response(429, b"", (("Retry-After", "1"),)),
    "502": Response(502, b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>", _HTML),
    "html": Response(200, b"<!doctype html><title>Scheduled maintenance</title>", _HTML),
}
"""What a struck REST request gets."""


def storm(books: Books, count: int, seed: int, at_ns: int) -> list[Print]:
    """Corrections (one lot more, three of four) and cancels of the newest `count` prints over all contracts, published at `at_ns`, oldest first."""
    rng = np.random.default_rng(seed)
    newest = [event for book in books.by_symbol.values() for event in islice(reversed(book.prints.values()), count)]
    newest = sorted(newest, key=lambda event: (event.time_ns, event.index))[-count:]
    return [
        event._replace(at_ns=at_ns, action=Action.CANCEL if cancelled else Action.CORRECTION, size=event.size + (0.0 if cancelled else 1.0))
        for event, cancelled in zip(newest, (rng.random(len(newest)) < 0.25).tolist(), strict=True)
    ]


class Trouble:
    """Lets the faults of a plan happen to an emulator."""

    def __init__(self, emulator: Emulator, plan: Faults) -> None:
        self._emulator, self._plan = emulator, plan
        self._first_stream_s: float | None = None
        self._answers = 0
        self.spoilt: deque[Response] = deque()

    def open_feed(self, books: Books, accepts: Callable[[str], bool]) -> FaultyFeed:
        """A feed for one more stream; the first one starts the clock of the plan."""
        clock = asyncio.get_running_loop().time
        self._first_stream_s = clock() if self._first_stream_s is None else self._first_stream_s
        return FaultyFeed(books, accepts, self._emulator.wire, limits=self._plan.limits, streams=self._streams, clock=clock)

    def answer(self) -> Response | None:
        """What the REST request at hand gets instead of its answer; None: its answer."""
        self._answers += 1
        self.look()
        return self.spoilt.popleft() if self.spoilt else None

    def look(self) -> None:
        """Strike with what is due."""
        now_s = 0.0 if self._first_stream_s is None else asyncio.get_running_loop().time() - self._first_stream_s
        for fault in self._plan.due(now_s, self._emulator.sent.total(), self._answers):
            _STRIKES[fault.name](self._emulator, self, fault)
            self._emulator.look_for_listeners()

    async def run(self) -> None:
        """Look again and again, for faults that come by the clock."""
        clock = asyncio.get_running_loop().time
        while True:
            self.look()
            for visitor in self._emulator.visitors:
                if visitor.feed is not None:
                    visitor.feed.advance(clock())
                    visitor.send()
            await asyncio.sleep(_LOOK_S)

    def _streams(self) -> int:
        feeds = [visitor.feed for visitor in self._emulator.visitors if visitor.feed is not None and not visitor.closed_because]
        return sum(feed.connection.state is State.OPEN for feed in feeds)


_Strike = Callable[["Emulator", Trouble, Fault], None]


def _each_feed(act: Callable[[FaultyFeed, Fault], None]) -> _Strike:
    def strike_each(emulator: Emulator, _: Trouble, fault: Fault) -> None:
        for visitor in emulator.visitors:
            if isinstance(visitor.feed, FaultyFeed) and not visitor.closed_because and not visitor.feed.close_expected:
                act(visitor.feed, fault)
                visitor.send()

    return strike_each


def _each_stream(act: Callable[[Visitor, Fault], None]) -> _Strike:
    def strike_each(emulator: Emulator, _: Trouble, fault: Fault) -> None:
        for visitor in emulator.visitors:
            if visitor.feed is not None and not visitor.closed_because:
                act(visitor, fault)

    return strike_each


def _expire(emulator: Emulator, trouble: Trouble, fault: Fault) -> None:
    emulator.rest.quote_tokens.expire()
    _each_feed(lambda feed, _: feed.expire())(emulator, trouble, fault)


def _correct(emulator: Emulator, _: Trouble, fault: Fault) -> None:
    emulator.publish(storm(emulator.books, int(fault.what), fault.seed, emulator.market_ns))


_STRIKES: Final[dict[str, _Strike]] = {
    "reset": _each_stream(lambda visitor, _: visitor.reset()),
    "close": _each_stream(lambda visitor, fault: visitor.close(int(fault.what), _REASONS[int(fault.what)])),
    "silence": _each_feed(lambda feed, _: feed.silence()),
    "channel_closed": _each_feed(lambda feed, _: feed.close_channels()),
    "error": _each_feed(lambda feed, fault: feed.connection.error(fault.what, f"{fault.what}, as asked for")),
    "token_expiry": _expire,
    "auth_state": _each_feed(lambda feed, _: feed.withdraw()),
    "columns": _each_feed(lambda feed, fault: feed.change_columns(fault.what, fault.seed)),
    "duplicate": _each_feed(lambda feed, _: feed.trick("duplicate")),
    "reorder": _each_feed(lambda feed, _: feed.trick("reorder")),
    "corrections": _correct,
    "rest": lambda _, trouble, fault: trouble.spoilt.append(ANSWERS[fault.what]),
}
