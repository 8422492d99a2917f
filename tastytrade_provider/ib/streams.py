"""The live streams of one connection: which are wanted, which run, when they may be asked for, and what a refusal means for those who listen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..errors import MarketDataError, SessionConflict
from ..provider import Subscription
from .contracts import Listed
from .mapping import DayFigures
from .pacing import Pacer
from .refusals import error_for
from .wire import Wire

Kind = Literal["BidAsk", "AllLast", "MktData"]
KINDS: Final[tuple[Kind, ...]] = ("BidAsk", "AllLast", "MktData")
"""In the order they are asked for: quotes first, so that the first print has met one."""
_GRANT_S: Final = 1.0  # TWS says nothing to a good request: so long without a refusal is a yes
CONFLICT_S: Final = 60.0
"""How often a stream is asked for again that another session of the same user has taken."""


@dataclass(eq=False)
class Running:
    """One stream that was asked for. `take` gets what comes, `granted` and `over` tell how the request went."""

    symbol: str
    kind: Kind
    take: Callable[[str, Any], None]
    granted: Callable[[], None]
    over: Callable[[Running, int, str], None]
    req_id: int = -1
    timer: asyncio.TimerHandle | None = None
    is_granted: bool = False

    def put(self, kind: str, value: Any) -> None:
        """Something came, so the request was good."""
        if not self.is_granted:
            self.grant()
        self.take(kind, value)

    def grant(self) -> None:
        """The request was accepted."""
        self.is_granted = True
        self.granted()

    def end(self) -> None:
        """A live stream has no end of its own."""

    def refused(self, code: int, text: str) -> None:
        """TWS ended it."""
        self.over(self, code, text)

    def told(self, code: int, text: str) -> None:
        """Shown in the provider's notes."""


class Streams:
    """Keeps the streams of each contract equal to what its listeners want: `sync` after anything has changed.

    wanted    (symbol) -> kinds that somebody listens to        listed   (symbol) -> what IB calls it, None where that is not known yet
    listeners (symbol, kind) -> who they are                    take     (symbol, kind, what, value): what has come
    leave     forgets one that was ended, and syncs
    note      tells a user; lost tells that data of a symbol may be missing
    """

    def __init__(
        self,
        pacer: Pacer,
        wanted: Callable[[str], set[Kind]],
        listed: Callable[[str], Listed | None],
        listeners: Callable[[str, Kind], list[Subscription[Any]]],
        take: Callable[[str, Kind, str, Any], None],
        note: Callable[[str], None],
        lost: Callable[[str], None],
        leave: Callable[[Subscription[Any]], None],
    ) -> None:
        self._pacer = pacer
        self._wanted, self._listed, self._listeners, self._leave = wanted, listed, listeners, leave
        self._take, self._note, self._lost = take, note, lost
        self._wire: Wire | None = None
        self._running: dict[tuple[str, Kind], Running] = {}
        self._waiting: dict[tuple[str, Kind], asyncio.TimerHandle] = {}
        self._taken: set[tuple[str, Kind]] = set()  # by another session, after they ran here

    def attach(self, wire: Wire | None) -> None:
        """A new connection, on which nothing runs yet; None: there is none."""
        for running in self._running.values():
            if running.timer is not None:
                running.timer.cancel()
            if wire is not None and wire is self._wire:
                wire.drop(running.req_id)  # forgotten by TWS (1101); what it may send of it all the same would count twice
        for waiting in self._waiting.values():
            waiting.cancel()
        self._running.clear()
        self._waiting.clear()
        self._pacer.forget_streams()
        self._wire = wire

    def ask_anew(self) -> None:
        """Cancel what runs and ask for it again, each as soon as it may be: TWS may have stopped it without a word."""
        for key in tuple(self._running):
            if key not in self._waiting:
                self._again(key)

    def _again(self, key: tuple[str, Kind]) -> None:
        wait_s = self._wait_s(key)
        if wait_s > 0:
            self._later(key, wait_s)
            return
        self._lost(key[0])
        self._stop(key)
        self._start(key)

    def is_granted(self, symbol: str, kind: Kind) -> bool:
        """Whether a stream runs, and TWS has not refused it."""
        running = self._running.get((symbol, kind))
        return running is not None and running.is_granted

    def sync(self, symbol: str) -> None:
        """Ask for what is wanted and does not run, cancel what runs and is not wanted."""
        wanted = self._wanted(symbol)
        for kind in KINDS:
            key = symbol, kind
            if kind not in wanted:
                self._stop(key)
            elif key not in self._running and key not in self._waiting:
                self._start(key)

    def _start(self, key: tuple[str, Kind]) -> None:
        symbol, kind = key
        wire, listed = self._wire, self._listed(symbol)
        if wire is None or listed is None or not wire.is_open:
            return
        wait_s = self._wait_s(key)
        if wait_s > 0:
            self._later(key, wait_s)
            return
        running = Running(symbol, kind, lambda what, value: self._take(symbol, kind, what, value), lambda: self._granted(symbol, kind), self._over)
        self._running[key] = running
        self._pacer.stream_made(key, time.monotonic())
        client = wire.client
        if kind == "MktData":
            running.req_id = wire.stream(running, lambda req_id: client.reqMktData(req_id, listed.ib, DayFigures.GENERIC, False, False, []))
        else:
            running.req_id = wire.stream(running, lambda req_id: client.reqTickByTickData(req_id, listed.ib, kind, 0, False))
        running.timer = asyncio.get_running_loop().call_later(_GRANT_S, self._silence_is_a_yes, running)

    def _wait_s(self, key: tuple[str, Kind]) -> float:
        """Until the pacing rule lets it be asked for."""
        return self._pacer.stream_wait_s(key, time.monotonic()) if key[1] != "MktData" else 0.0

    def _later(self, key: tuple[str, Kind], wait_s: float) -> None:
        def again() -> None:
            self._waiting.pop(key, None)
            if key in self._running:
                self._again(key)
            self.sync(key[0])

        self._waiting[key] = asyncio.get_running_loop().call_later(wait_s, again)

    def _silence_is_a_yes(self, running: Running) -> None:
        if not running.is_granted:
            running.grant()

    def _granted(self, symbol: str, kind: Kind) -> None:
        self._taken.discard((symbol, kind))
        for listener in self._listeners(symbol, kind):
            listener.grant()

    def _stop(self, key: tuple[str, Kind]) -> None:
        waiting, running = self._waiting.pop(key, None), self._running.pop(key, None)
        self._taken.discard(key)
        if waiting is not None:
            waiting.cancel()
        if running is None:
            return
        if running.timer is not None:
            running.timer.cancel()
        if self._wire is not None:
            self._wire.drop(running.req_id, self._cancel_of(self._wire, key[1]))

    @staticmethod
    def _cancel_of(wire: Wire, kind: Kind) -> Callable[[int], None]:
        cancel: Callable[[int], None] = wire.client.cancelMktData if kind == "MktData" else wire.client.cancelTickByTickData
        return cancel

    def _over(self, running: Running, code: int, text: str) -> None:
        """TWS has ended a stream. What another session took is asked for again; any other refusal ends those who listen to it."""
        key = running.symbol, running.kind
        if self._running.get(key) is not running:
            return
        error = error_for(code, text, f"the {running.kind} stream of {running.symbol}")
        if running.timer is not None:
            running.timer.cancel()
        del self._running[key]
        is_taken = isinstance(error, SessionConflict) and (running.is_granted or key in self._taken)
        if self._wire is not None:
            self._wire.drop(running.req_id, self._cancel_of(self._wire, running.kind) if is_taken else None)
        if is_taken:
            self._taken.add(key)
            self._note(f"{error}; asked for again every {CONFLICT_S:g} s")
            self._lost(running.symbol)
            self._later(key, CONFLICT_S)
            return
        self._end(running.symbol, running.kind, error)

    def _end(self, symbol: str, kind: Kind, error: MarketDataError) -> None:
        for listener in self._listeners(symbol, kind):
            listener.end(error)
            self._leave(listener)
