"""The emulator: a source behind a REST API and a DXLink feed on one loopback port. The one shell here; what decides is elsewhere."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from tastytrade_provider.emulator.book import Books
from tastytrade_provider.emulator.columns import COLUMNS
from tastytrade_provider.emulator.faults import Faults
from tastytrade_provider.emulator.faulty import Trouble
from tastytrade_provider.emulator.feed import Feed
from tastytrade_provider.emulator.rest import CLIENT_SECRET, REFRESH_TOKEN, Request, Response, Rest
from tastytrade_provider.emulator.source import Print, QuoteChange, Reel, Source, before
from tastytrade_provider.emulator.truth import TruthLog
from tastytrade_provider.emulator.tws import Gateway, TwsKnobs, TwsServer
from tastytrade_provider.emulator.visitor import PATHS, Visitor
from tastytrade_provider.emulator.wire import Wire
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Action, AggressorSide
from tastytrade_provider.pace import Pace, Speed

HOST = "127.0.0.1"
BATCH = 100
"""Events handed out at a time where the consumers set the pace."""
_PACED_BATCH = 2000
_NEVER_NS = 2**63 - 1
_SHORTEST_S, _LONGEST_S = 0.002, 0.05  # how long a paced source sleeps
_HOUSEKEEPING_S = 0.5
_LEAVE_S = 5.0  # how long a closed connection may take to take what was written


class Emulator:
    """A loopback exchange.

    source          a Market or a Tape. A tape begins once somebody subscribes one of `start_on`, a market at `start()`.
    speed           1: as it happened; n: n times as fast; "max": as fast as the slowest listener reads, and not at all while nobody listens; or a Pace of
                    yours, which can be paused and changed while it plays
    truth_path      where the ground truth goes, JSON lines (see `truth.line`); None: a new temporary file, which is yours to delete
    wire            how FEED_DATA is written
    withhold_sides  True: every aggressorSide is sent as UNDEFINED; the ground truth keeps it
    live_from_ns    events before this time are history when the emulator starts (UTC nanoseconds); None: no history
    start_on        event types whose subscription starts a tape
    max_buffer_bytes  what may wait for a slow reader at a given speed before its connection is closed with 1008
    faults          what goes wrong and when: a plan, or specifications such as "reset=500rows" (see `faults`)
    tws             knobs: the same market at a fake TWS too, on a port of its own; True: as the knobs stand by themselves

    >>> from tastytrade_provider.emulator import Emulator, Market
    >>> async def demo() -> str:
    ...     async with Emulator(Market(seed=1), truth_path=os.devnull) as emulator:
    ...         return emulator.api_url.rpartition(":")[0]
    >>> asyncio.run(demo())
    'http://127.0.0.1'
    """

    def __init__(
        self,
        source: Source,
        *,
        speed: Speed | Pace = 1.0,
        client_secret: str = CLIENT_SECRET,
        refresh_token: str = REFRESH_TOKEN,
        truth_path: Path | str | None = None,
        wire: Wire | None = None,
        withhold_sides: bool = False,
        live_from_ns: int | None = None,
        start_on: Collection[str] = tuple(COLUMNS),
        max_buffer_bytes: int = 8 * 1024 * 1024,
        faults: Faults | Sequence[str] = (),
        tws: TwsKnobs | bool = False,
    ) -> None:
        plan = faults if isinstance(faults, Faults) else Faults(faults)
        self.source, self.wire = source, plan.limits.on(wire or Wire())
        self.pace = speed if isinstance(speed, Pace) else Pace(speed)
        self.rest = Rest(source.contracts, client_secret, refresh_token, level=plan.limits.level)
        self._withhold_sides, self._start_on, self._max_buffer_bytes = withhold_sides, tuple(start_on), max_buffer_bytes
        self._live_from_ns = source.start_ns if live_from_ns is None else live_from_ns
        self._truth_path = None if truth_path is None else Path(truth_path)
        self._trouble = Trouble(self, plan) if plan else None
        self.books = Books(source.contracts, partial(before, source))  # what happened so far; only `publish` changes it
        self._market_ns = self._live_from_ns
        self._tws: TwsServer | None = None
        if tws:
            gateway = Gateway(source.contracts, TwsKnobs() if tws is True else tws, self._live_from_ns)
            self._tws = TwsServer(gateway, self.look_for_listeners, max_buffer_bytes)
        self._sent: Counter[str] = Counter()
        self._visitors: dict[Visitor, asyncio.Task[None]] = {}
        self._failures: list[Exception] = []
        self._leaving_s: dict[Visitor, float] = {}
        self._listened = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._truth: TruthLog | None = None
        self._reel: Reel | None = None

    # --- what it tells

    @property
    def api_url(self) -> str:
        """Base of the REST API."""
        return f"http://{HOST}:{self.port}"

    @property
    def dxlink_url(self) -> str:
        """Address of the DXLink websocket."""
        return f"ws://{HOST}:{self.port}{PATHS[self.rest.level]}"

    @property
    def port(self) -> int:
        """The port listened on; UsageError before `start`."""
        if self._server is None:
            raise UsageError("the emulator has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def tws(self) -> TwsServer:
        """The fake TWS; UsageError where there is none."""
        if self._tws is None:
            raise UsageError("the emulator has no TWS side; Emulator(..., tws=True) gives it one")
        return self._tws

    @property
    def tws_port(self) -> int:
        """The port of the fake TWS; UsageError before `start`, or where there is none."""
        return self.tws.port

    @property
    def truth(self) -> Path:
        """Path of the ground truth; complete after `wait_finished`, `publish` or `stop`, otherwise up to a second behind."""
        if self._truth_path is None:
            raise UsageError("the emulator has not been started")
        return self._truth_path

    @property
    def market_ns(self) -> int:
        """The market's own clock, UTC nanoseconds."""
        return self._market_ns

    @property
    def sent(self) -> Counter[str]:
        """Rows sent so far by event type, to all clients together, snapshots included."""
        return sum((visitor.feed.sent for visitor in self._visitors if visitor.feed is not None), Counter(self._sent))

    @property
    def visitors(self) -> list[Visitor]:
        """The connections open now."""
        return list(self._visitors)

    # --- life

    async def start(self, port: int = 0, tws_port: int = 0) -> None:
        """Listen on 127.0.0.1, on free ports unless they are given."""
        if self._server is not None:
            raise UsageError("the emulator has been started already")
        if self._truth_path is None:
            handle, name = tempfile.mkstemp(prefix="truth-", suffix=".jsonl")
            os.close(handle)
            self._truth_path = Path(name)
        self._truth = TruthLog(self._truth_path)
        self._reel = Reel(self.source)
        self._publish(self._truth, self._reel.take_until(self._live_from_ns - 1))
        self._market_ns = self._live_from_ns
        try:
            self._server = await asyncio.start_server(self._visit, HOST, port)
            if self._tws is not None:
                await self._tws.start(tws_port)
        except OSError:
            if self._server is not None:
                self._server.close()
                self._server = None
            self._truth.close()
            raise
        self.rest.dxlink_url = self.dxlink_url
        self._tasks = [
            asyncio.create_task(self._play(self._reel, self._truth), name="emulator source"),
            asyncio.create_task(self._keep_house(self._truth), name="emulator housekeeping"),
        ]
        if self._trouble is not None:
            self._tasks.append(asyncio.create_task(self._trouble.run(), name="emulator faults"))

    async def stop(self) -> None:
        """Close every connection and end every task; raises what a task died of. May be called again."""
        if self._server is None or self._truth is None:
            return
        self._server.close()
        for visitor in self._visitors:
            visitor.abort()
        visits = list(self._visitors.values())
        for task in (*self._tasks, *visits):
            task.cancel()
        results = [*await asyncio.gather(*self._tasks, *visits, return_exceptions=True), *self._failures]
        await self._server.wait_closed()
        self._truth.close()
        self._tasks, self._failures = [], []
        if self._tws is not None:
            await self._tws.stop()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def __aenter__(self) -> Emulator:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def wait_finished(self) -> None:
        """Wait until a tape has ended and every row of it was written to every subscriber. A market never ends."""
        if not self._tasks:
            raise UsageError("the emulator is not running")
        await asyncio.shield(self._tasks[0])

    # --- connections

    def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitor = Visitor(reader, writer, self._answer, self._open_feed, self.look_for_listeners, self._max_buffer_bytes)
        self._visitors[visitor] = asyncio.create_task(self._serve(visitor), name="emulator visitor")

    async def _serve(self, visitor: Visitor) -> None:
        try:
            await visitor.run()
        except Exception as error:  # kept for `stop`, which raises it: one visitor's end must not be the others'
            self._failures.append(error)
        finally:
            del self._visitors[visitor]
            self._leaving_s.pop(visitor, None)
            if visitor.feed is not None:
                self._sent += visitor.feed.sent
            self.look_for_listeners()

    def _answer(self, request: Request) -> Response:
        spoilt = self._trouble and self._trouble.answer()
        return spoilt or self.rest.answer(request, time.time(), self._market_ns)

    def _open_feed(self) -> Feed:
        def accepts(token: str) -> bool:
            return self.rest.quote_tokens.is_good(token, time.time())

        return Feed(self.books, accepts, self.wire) if self._trouble is None else self._trouble.open_feed(self.books, accepts)

    def look_for_listeners(self) -> None:
        """Let a tape go on or wait, now that subscriptions have changed."""
        has_tws = self._tws is not None and self._tws.listens
        if has_tws or any(visitor.feed is not None and visitor.feed.listens(self._start_on) for visitor in self._visitors):
            self._listened.set()
        else:
            self._listened.clear()

    async def _keep_house(self, truth: TruthLog) -> None:
        now_s = asyncio.get_running_loop().time
        while True:
            for visitor in list(self._visitors):
                if visitor.feed is not None:
                    visitor.feed.advance(now_s())
                    visitor.send()
                if visitor.closed_because and now_s() - self._leaving_s.setdefault(visitor, now_s()) > _LEAVE_S:
                    visitor.abort()
            truth.flush()
            await asyncio.sleep(_HOUSEKEEPING_S)

    def publish(self, events: Sequence[Print]) -> None:
        """Let this happen on the exchange too, now: it reaches the ground truth and everybody who listens."""
        if self._truth is None:
            raise UsageError("the emulator has not been started")
        self._publish(self._truth, events)
        self._truth.flush()
        self._flush_all(None)

    # --- the source

    async def _play(self, reel: Reel, truth: TruthLog) -> None:
        if not self.source.is_endless:
            await self._listened.wait()
        self.pace.begin(asyncio.get_running_loop().time, self._live_from_ns)
        while reel.next_ns is not None:
            await (self._hurry(reel, truth) if self.pace.is_hurried else self._keep_pace(reel, truth, reel.next_ns))
        for visitor in list(self._visitors):
            self._flush(visitor, None)
            await visitor.drain_all()
        if self._tws is not None:
            await self._tws.finish()
        truth.flush()

    async def _hurry(self, reel: Reel, truth: TruthLog) -> None:
        """Some events without waiting for the clock, but for those who read. A step goes by one event where it may end."""
        await self._listened.wait()
        pace = self.pace
        if not pace.is_hurried:
            return
        before = [] if pace.until_ns is None else reel.take_until(pace.until_ns - 1, BATCH)
        events = before or reel.take_until(_NEVER_NS, 1 if pace.is_stepping else BATCH)
        self._market_ns = max(self._market_ns, events[-1].at_ns)
        self._publish(truth, events)
        self._flush_all(None)
        pace.reach(self._market_ns)
        for event in events if pace.is_stepping else ():
            if isinstance(event, Print) and event.action is Action.NEW and event.valid_tick and not event.spread_leg:
                pace.traded(event.contract.streamer_symbol, event.time_ns)
        if self._trouble is not None:
            self._trouble.look()
        await asyncio.gather(*(visitor.drain() for visitor in self._visitors), *([self._tws.drain()] if self._tws is not None else []))
        await asyncio.sleep(0)

    async def _keep_pace(self, reel: Reel, truth: TruthLog, next_ns: int) -> None:
        """What is due by the clock. While it stands nothing is, and what was noted before still goes out."""
        self._market_ns = self.pace.now_ns
        events = reel.take_until(self._market_ns, _PACED_BATCH)
        if len(events) == _PACED_BATCH:  # more is due: the market's clock is where its events are
            self._market_ns = events[-1].at_ns
        self._publish(truth, events)
        self._flush_all(asyncio.get_running_loop().time())
        if self._trouble is not None:
            self._trouble.look()
        left_s = self.pace.left_s(next_ns if reel.next_ns is None else reel.next_ns)
        await asyncio.sleep(min(max(left_s, _SHORTEST_S), _LONGEST_S) if len(events) < _PACED_BATCH else 0)

    def _publish(self, truth: TruthLog, events: Sequence[Print | QuoteChange]) -> None:
        truth.append(event for event in events if isinstance(event, Print))
        feeds = [visitor.feed for visitor in self._visitors if visitor.feed is not None]
        for event in events:
            if self._withhold_sides and isinstance(event, Print):
                event = event._replace(side=AggressorSide.UNKNOWN)
            bars = self.books.apply(event)
            for feed in feeds:
                feed.take(event, bars)
        if self._tws is not None:
            self._tws.publish(events, self._market_ns)

    def _flush_all(self, now_s: float | None) -> None:
        for visitor in list(self._visitors):
            self._flush(visitor, now_s)
        if self._tws is not None:
            self._tws.flush(at_once=now_s is None)

    def _flush(self, visitor: Visitor, now_s: float | None) -> None:
        if visitor.feed is not None:
            visitor.feed.flush(now_s)
            visitor.send()
