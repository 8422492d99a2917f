"""Who gets which message. Facts (closed bars, signals, gaps, resets) are queued for every client in order; the forming bar is conflated.

A topic is a contract, a timeframe and a channel. Its facts are numbered (`seq`) and the latest are kept, so that a client that comes back gets what
it missed. Each message is encoded once, whoever gets it. A client that lets its queue run full is told so and dropped; nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import UsageError
from .wire import encode

_FAREWELL_S = 1.0
_REMEMBERED = 1_024  # facts of a topic that a client may have missed


class TopicName(NamedTuple):
    """Which contract (as it was asked for), timeframe and channel; "status" has neither."""

    market: str
    timeframe: str
    channel: str


@dataclass(eq=False, slots=True)
class Topic:
    """The numbered facts of one topic, and who listens."""

    name: TopicName
    seq: int = 0
    clients: set[Client] = field(default_factory=set)
    facts: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def since(self, seq: int) -> list[str] | None:
        """The facts after a number; None where they are not all known any more, or it never was one of ours."""
        if not 0 <= seq <= self.seq or (seq < self.seq and (not self.facts or self.facts[0][0] > seq + 1)):
            return None
        return [text for number, text in self.facts if number > seq]


class Client:
    """One connection: what waits to be sent to it."""

    def __init__(self, most_messages: int, most_chars: int) -> None:
        self.topics: set[Topic] = set()
        self.sent = 0
        self.dropped: str | None = None
        self.ended = asyncio.Event()
        self._facts: deque[str] = deque()
        self._states: dict[Topic, str] = {}
        self._chars = 0
        self._most_messages, self._most_chars = most_messages, most_chars
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Messages not sent yet."""
        return len(self._facts) + len(self._states)

    def put(self, text: str, topic: Topic | None = None) -> None:
        """Queue a fact, behind which an older state of its topic is none any more. Full: the client is dropped."""
        if self.dropped is not None:
            return
        if topic is not None:
            self._states.pop(topic, None)
        self._chars += len(text)
        self._facts.append(text)
        if len(self._facts) > self._most_messages or self._chars > self._most_chars:
            self.drop(f"slow client: {len(self._facts)} messages were waiting")
        self._wake.set()

    def put_state(self, topic: Topic, text: str) -> None:
        """The newest state of a topic instead of the one that waits."""
        if self.dropped is None:
            self._states[topic] = text
            self._wake.set()

    def drop(self, why: str) -> None:
        """Nothing more for this one; whoever serves it says why, and closes."""
        if self.dropped is None:
            self.dropped = why
            self._facts.clear()
            self._states.clear()
            self.ended.set()

    async def pump(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Send what waits, facts first, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._facts or self._states:
                if self._facts:
                    text = self._facts.popleft()
                    self._chars -= len(text)
                else:
                    text = self._states.pop(next(iter(self._states)))
                await send(text)
                self.sent += 1


class Hub:
    """All topics and clients. `stream` names this run: sequence numbers of another one mean nothing here."""

    def __init__(self, stream: str, *, most_clients: int = 500, most_topics: int = 64, most_waiting: int = 512, most_chars: int = 16 << 20) -> None:
        self.stream = stream
        self.clients: set[Client] = set()
        self.published = self.slow = self._delivered = 0
        self._most_clients, self._most_topics = most_clients, most_topics
        self._most_waiting, self._most_chars = most_waiting, most_chars
        self._topics: dict[TopicName, Topic] = {}
        self._emptied = asyncio.Event()
        self._closed: str | None = None
        self._first = 0  # the number before the first of a new topic

    @property
    def delivered(self) -> int:
        """Messages sent, to all clients together."""
        return self._delivered + sum(client.sent for client in self.clients)

    def join(self) -> Client:
        """A new client. UsageError where there are enough."""
        if self._closed is not None:
            raise UsageError(self._closed)
        if len(self.clients) >= self._most_clients:
            raise UsageError(f"{self._most_clients} clients are connected, and that is the most")
        self._emptied.clear()
        client = Client(self._most_waiting, self._most_chars)
        self.clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """It has gone. Calling it twice does no harm."""
        if client in self.clients:
            self.clients.discard(client)
            self._delivered += client.sent
            for topic in client.topics:
                topic.clients.discard(client)
            client.topics.clear()
            if not self.clients:
                self._emptied.set()

    def topic(self, name: TopicName) -> Topic:
        """The topic of that name."""
        found = self._topics.get(name)
        if found is None:
            found = self._topics[name] = Topic(name, self._first)
        return found

    def forget(self, market: str, timeframe: str) -> None:
        """A timeframe nobody listens to is no longer kept. Should it come back, its numbers begin higher: none is ever given twice."""
        for name in [name for name in self._topics if name[:2] == (market, timeframe)]:
            self._first = max(self._first, self._topics.pop(name).seq + 1)

    def is_heard(self, market: str, timeframe: str) -> bool:
        """Whether anybody listens to a timeframe."""
        return any(topic.clients for name, topic in self._topics.items() if name[:2] == (market, timeframe))

    def subscribe(self, client: Client, name: TopicName) -> Topic:
        """From now on the client gets what is published there. UsageError where it has enough of them."""
        topic = self.topic(name)
        if topic not in client.topics and len(client.topics) >= self._most_topics:
            raise UsageError(f"one connection may have {self._most_topics} subscriptions")
        topic.clients.add(client)
        client.topics.add(topic)
        return topic

    def unsubscribe(self, client: Client, name: TopicName) -> None:
        """No more of it."""
        topic = self._topics.get(name)
        if topic is not None:
            topic.clients.discard(client)
            client.topics.discard(topic)

    def publish(self, name: TopicName, message: Mapping[str, Any]) -> None:
        """A fact: numbered, kept, and queued for everyone who listens."""
        topic = self.topic(name)
        topic.seq += 1
        text = encode({**message, "seq": topic.seq})
        topic.facts.append((topic.seq, text))
        self.published += 1
        for client in topic.clients:
            client.put(text, topic)

    def publish_state(self, name: TopicName, make: Callable[[], Mapping[str, Any] | None]) -> None:
        """A state, which carries the number of the fact before it. `make` is asked only where somebody listens."""
        topic = self.topic(name)
        if not topic.clients:
            return
        message = make()
        if message is not None:
            text = encode({**message, "seq": topic.seq})
            for client in topic.clients:
                client.put_state(topic, text)

    def open(self) -> None:
        """Let clients in, also after `close`."""
        self._closed = None

    async def close(self, why: str) -> None:
        """Tell everybody that it ends, let nobody in any more, and wait a second at most until they have gone."""
        self._closed = why
        for client in list(self.clients):
            client.drop(why)
        if self.clients:
            with suppress(TimeoutError):  # whoever does not read is not waited for
                async with asyncio.timeout(_FAREWELL_S):
                    await self._emptied.wait()
