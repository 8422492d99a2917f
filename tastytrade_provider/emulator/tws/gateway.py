"""What all TWS connections share: views, clock, lag, client ids, and what may befall the link. Reads no socket and no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from tastytrade_provider.emulator.source import Print, QuoteChange
from tastytrade_provider.emulator.tws.knobs import TwsKnobs
from tastytrade_provider.emulator.tws.listing import Listing
from tastytrade_provider.emulator.tws.refusal import Refused
from tastytrade_provider.emulator.tws.session import Session
from tastytrade_provider.emulator.tws.streams import Stream
from tastytrade_provider.emulator.tws.view import News, View
from tastytrade_provider.model import Action, Contract

Event = Print | QuoteChange


class Gateway:
    """The exchange's events go in by `publish`, sessions read them; `advance` tells the time.

    market_ns   the market's clock as TWS knows it, UTC nanoseconds
    is_dead     True: no subscription says anything (see `TwsKnobs.dead_after`); may be set
    """

    def __init__(self, contracts: Sequence[Contract], knobs: TwsKnobs, market_ns: int) -> None:
        self.contracts, self.knobs, self.market_ns = tuple(contracts), knobs, market_ns
        self.listing = Listing(contracts)
        self.sessions: list[Session] = []
        self.is_dead = self.is_competing = self.is_cut_off = False
        self._views = {contract.streamer_symbol: View(contract, knobs) for contract in contracts}
        self._by_symbol: dict[str, list[tuple[Session, Stream]]] = {}
        self._late: deque[tuple[float, Sequence[Event], int]] = deque()
        self._live_prints = 0

    @property
    def is_silent(self) -> bool:
        """Whether subscriptions say nothing."""
        return self.is_dead or self.is_competing or self.is_cut_off

    # --- sessions

    def open_session(self) -> Session:
        """A new connection's session."""
        session = Session(self)
        self.sessions.append(session)
        return session

    def close_session(self, session: Session) -> None:
        """A connection has ended; its client id is free again."""
        self.sessions.remove(session)
        self.index_streams()

    def log_in(self, session: Session, client_id: int) -> None:
        """Raises Refused 326 for a client id in use."""
        if any(other is not session and other.client_id == client_id for other in self.sessions):
            raise Refused(326, is_final=True)

    def listens(self, kinds: Collection[str]) -> bool:
        """Whether something of these kinds is subscribed."""
        return any(stream.kind in kinds for session in self.sessions for stream in session.streams.values())

    def view(self, contract: Contract) -> View:
        """How a contract is shown; those in which nothing trades have an empty one."""
        return self._views.setdefault(contract.streamer_symbol, View(contract, self.knobs))

    def index_streams(self) -> None:
        """Subscriptions have changed."""
        self._by_symbol = {}
        for session in self.sessions:
            for stream in session.streams.values():
                self._by_symbol.setdefault(stream.listed.contract.streamer_symbol, []).append((session, stream))

    # --- what happens on the exchange

    def publish(self, events: Sequence[Event], market_ns: int, now_s: float | None) -> None:
        """Events, and the market's clock behind them. Later by the lag; None: this is history, it is known at once."""
        if events:  # where more was due than is handed out at a time, the clock is ahead: bars must not end before their last prints
            market_ns = min(market_ns, events[-1].at_ns)
        if now_s is None:
            self._release(events, market_ns, is_live=False)
        elif self.knobs.lag_s:
            self._late.append((now_s + self.knobs.lag_s, events, market_ns))
        else:
            self._release(events, market_ns)

    def advance(self, now_s: float, at_once: bool = False) -> None:
        """Let out what was held back long enough; conflated subscriptions speak once their period has passed, or `at_once`."""
        while self._late and self._late[0][0] <= now_s:
            _, events, market_ns = self._late.popleft()
            self._release(events, market_ns)
        if self.is_silent:
            return
        for session in self.sessions:
            if at_once or now_s - session.flushed_s >= self.knobs.l1_period_s:
                session.flushed_s = now_s
                for stream in list(session.streams.values()):
                    stream.flush()

    @property
    def due_s(self) -> float | None:
        """When `advance` has something to let out; None: nothing is held back."""
        return self._late[0][0] if self._late else None

    @property
    def waiting(self) -> int:
        """Batches of events held back: no more than come in the time of the lag."""
        return len(self._late)

    def settle(self) -> None:
        """The source has ended: nothing waits for more of its kind."""
        for symbol, view in self._views.items():
            self._tell(symbol, News(view.settle(2**63 - 1)))

    def _release(self, events: Sequence[Event], market_ns: int, is_live: bool = True) -> None:
        dead_after = self.knobs.dead_after
        for event in events:
            symbol = event.contract.streamer_symbol
            self._tell(symbol, self._views[symbol].take(event))
            if is_live and isinstance(event, Print) and event.action is Action.NEW:
                self._live_prints += 1
                self.is_dead = self.is_dead or (dead_after is not None and self._live_prints >= dead_after)
        self.market_ns = max(self.market_ns, market_ns)
        for symbol, view in self._views.items():
            if held := view.settle(self.market_ns):
                self._tell(symbol, News(held))
            for _, stream in self._by_symbol.get(symbol, ()):
                stream.advance(self.market_ns)

    def _tell(self, symbol: str, news: News) -> None:
        for session, stream in list(self._by_symbol.get(symbol, ())):
            session.take(stream, news)

    # --- what may befall the link

    def say_error(self, code: int, *words: object) -> None:
        """An error or a notice to everybody, about no request."""
        for session in self._logged_in():
            session.error(-1, code, *words)

    def cut_off(self, code: int = 1100) -> None:
        """TWS loses its own link: error 1100 (2110 for who has come since), or that to a data farm: 2103, 2105; and no data."""
        self.is_cut_off = True
        self.say_error(code)

    def reconnect(self, data_lost: bool, code: int | None = None) -> None:
        """The link is back: 1101 and every subscription is gone, or 1102 and they go on. A farm's `code`, 2104 or 2106, is the same in either case."""
        self.is_cut_off = False
        if data_lost:
            for session in self.sessions:
                session.streams.clear()
            self.index_streams()
        self.say_error(code or (1101 if data_lost else 1102))

    def compete(self, is_competing: bool = True) -> None:
        """The user logs in elsewhere: error 10197 for every subscription and request of data; or logs out there, and data flow again."""
        self.is_competing = is_competing
        for session in self._logged_in():
            for req_id in session.streams if is_competing else ():
                session.error(req_id, 10197)

    def _logged_in(self) -> list[Session]:
        return [session for session in self.sessions if session.client_id >= 0]
