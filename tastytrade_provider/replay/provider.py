"""A recording as a DataProvider. The shell of the replay: it waits as long as the recording says, and for the slowest consumer."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, NoData, UsageError
from ..grid import Grid
from ..model import Bar, Contract, Gap, Quote, Timeframe, TradeBatch, check_contract
from ..pace import Pace, Speed
from ..provider import Capabilities, DataProvider, GapLog, ProviderStatus, State, Subscription, Time, backfill_start, time_ns
from ..settings import Settings
from ..tastytrade.bar_feed import check
from ..tastytrade.decode import Read
from ..tastytrade.history import asked_range
from . import history
from .audience import Audience, QuoteSubscription, TradeSubscription
from .bar_feed import BarFeed
from .names import months, resolved
from .position import Position
from .sources import Source, open_source

if TYPE_CHECKING:
    import pandas as pd

_BREATHE_S = 0.005  # how long others may have to wait where the recording is played as fast as it goes
_TICK_S = 0.25  # so often a pause of the recording closes bars by the clock
_NEVER_NS = 2**62


def create(settings: Settings) -> ReplayProvider:
    """The factory the registry calls."""
    if settings.replay.path is None:
        raise ConfigError("replay.path is missing: data_provider replay needs a journal's folder, a session file or a tape")
    return ReplayProvider(settings.replay.path, settings.replay.speed, start=settings.replay.start)


class ReplayProvider(DataProvider):
    """Plays what was recorded: a journal's folder or segment, Parquet session files, a tape.

    path    what to play
    speed   1 as recorded, by the time between receipts; N times; "max" as fast as the slowest consumer takes it
    rules   arguments of the Intake (`invalid_ticks`, `spread_legs`, `trust_flags`) for a journal; None: as when it was recorded
    playback  its pace, an attribute: pause it, change its speed, let it make a step
    start   where the clock stands when it is connected: an aware datetime or ISO text with a zone (exchange time), None: at the beginning, "end": at the end
    clock, sleep  seconds of a monotonic clock, and how to wait

    It goes on when it is connected and the first subscription is made, and ends every subscription at its end. Nothing is dropped: a slow consumer makes it
    wait. Where a recording stopped and another began, and wherever the feed told one, there is a Gap. History is what was played, and what lies before
    `start`: nobody looks ahead. Quotes are those of a tape, or else those that prints carry, then without sizes. A summary is the exchange's, and no
    recording of trades has it.
    """

    name = "replay"
    playback: Pace
    capabilities = Capabilities(trades=True, quotes=True, bars=True, historical_bars=True, historical_trades=True, side_source="exchange")

    def __init__(
        self,
        path: Path | str,
        speed: Speed = 1.0,
        *,
        rules: Mapping[str, Any] | None = None,
        start: datetime | str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.playback = Pace(speed)
        self._path, self._rules = Path(path), rules
        self._start_ns = self._begin_at(start)
        self._clock, self._sleep = clock, sleep
        self._pace_changed = asyncio.Event()
        self.playback.told.append(self._pace_changed.set)
        self._source: Source | None = None
        self._reads: Iterator[Read] = iter(())
        self._at = Position()
        self._room_made: asyncio.Event = asyncio.Event()
        self._audience = Audience(self._room_made.set)
        self._player: asyncio.Task[None] | None = None
        self._state: State = "disconnected"
        self._since_ns = time.time_ns()
        self._lag_ms: float | None = None
        self._gaps = GapLog()
        self._failed: deque[str] = deque(maxlen=20)
        self._unplayed: str | None = None
        self._in_doubt: set[str] = set()

    # -- DataProvider

    @property
    def is_connected(self) -> bool:
        """True from `connect` to the end of the recording."""
        return self._state == "connected"

    @property
    def recorded(self) -> list[Contract]:
        """Every contract of the recording."""
        return list(self._opened().contracts)

    def recorded_resets(self, contract: Contract) -> list[int]:
        """Exchange times (UTC ns) at which CVD of a contract was made to start anew while it was recorded, also those not played yet. Reads the disk."""
        return self._opened().resets(contract)

    def seek(self, start: datetime | str | None) -> None:
        """Where the clock stands from the next `connect` on: see `start`."""
        self._start_ns = self._begin_at(start)

    async def connect(self) -> None:
        """Open the recording. After a `disconnect` or the end it begins anew. UsageError where there is none, JournalDamaged where it cannot be read."""
        if self._state == "connected":
            return
        await self._stop_playing()
        self._gaps = GapLog()
        source, self._reads, self._at, self._unplayed = await asyncio.to_thread(self._open)
        self._source, self.capabilities = source, replace(type(self).capabilities, quotes=source.quotes is not None)
        self._enter("connected")
        for listener in self._audience.everyone():
            listener.grant()
        if not self.capabilities.quotes:
            for quotes in [quotes for group in self._audience.quotes.values() for quotes in group]:
                quotes.end(self._lacks("quotes: there are none in the recording"))
        self._play_if_heard()

    async def disconnect(self) -> None:
        """Stop, and end every subscription."""
        self._enter("closed")
        await self._stop_playing()
        self._audience.end(None)

    async def resolve(self, symbol: str) -> Contract:
        """The recorded contract a symbol names. A product alone is its month nearest to expiry, a product recorded under other names is asked for by them."""
        return resolved(self._opened().contracts, symbol)

    async def contracts(self, root: str) -> list[Contract]:
        """The recorded months of a product, nearest expiry first."""
        return months(self._opened().contracts, root)

    def subscribe_trades(self, contract: Contract) -> TradeSubscription:
        """Every trade from where the recording is now."""
        listener: TradeSubscription = self._listener(contract)
        self._audience.trades.setdefault(contract.streamer_symbol, []).append(listener)
        return self._granted(listener)

    def subscribe_quotes(self, contract: Contract) -> QuoteSubscription:
        """Best bid and ask from where the recording is now; without sizes where only prints carry them. NotSupported where nothing does."""
        if not self.capabilities.quotes:
            raise self._lacks("quotes: there are none in the recording")
        listener: QuoteSubscription = self._listener(contract)
        self._audience.quotes.setdefault(contract.streamer_symbol, []).append(listener)
        return self._granted(listener)

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> Subscription[Bar | Gap]:
        """Closed bars as they close, from the running one on, or after `backfill` of what was played: each once, none missing, none half.

        They are closed by trades, and by the recording's clock half a second after their end. The bar that runs when the recording ends is not handed over.
        A stretch of the backfill that lies before the recording is told by a Gap("no history").
        """
        wanted = check(contract, timeframe, hours)
        backfill_start(backfill, _NEVER_NS)  # refuses a time without a zone
        listener: Subscription[Bar | Gap] = self._listener(contract)
        feed = BarFeed(listener, wanted, hours, backfill, is_late=self._at.rows[contract.streamer_symbol] > 0)
        self._audience.feeds.setdefault(contract.streamer_symbol, []).append(feed)
        return self._granted(listener)

    async def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        """The trades of [start, end) as they stand after corrections and cancels, oldest first, of those played so far; `start=None` is the session in
        which the clock stands. NoData where there are none though the market was open. Of a recording that begins later than `start` it is all there is:
        `begins_in_doubt` says so.
        """
        source, bounds, symbol = self._opened(), self._range(contract, start, end), contract.streamer_symbol
        found = await asyncio.to_thread(history.trades, source, self._at.cut(contract), *bounds)
        self._in_doubt.discard(symbol)
        if len(found) and await asyncio.to_thread(history.begins_late, source, contract, bounds[0], self._at.first_ns[symbol]):
            self._in_doubt.add(symbol)
        return found

    def begins_in_doubt(self, contract: Contract) -> bool:
        """Whether the trades that were asked for last begin later than asked because the recording does: what was traded before, nobody knows."""
        return contract.streamer_symbol in self._in_doubt

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """Bars that start in [start, end), of the trades played so far; `start=None` is the session in which the clock stands.

        The last one is as far as trades were played. `complete` is False where a gap touches a bar, or it began before the recording did; attrs: with
        `start_was_cut` the recording began too late for the first bars that were asked for.
        """
        wanted = check(contract, timeframe, hours)
        source, bounds = self._opened(), self._range(contract, start, end)
        return await asyncio.to_thread(history.bars, source, self._at.cut(contract), wanted, *bounds, hours)

    async def earliest(self, contract: Contract, timeframe: str = "1d") -> pd.Timestamp:
        """The start of the bar that holds the first trade played. NoData where none was."""
        import pandas as pd

        check_contract(contract)
        wanted, first_ns = Timeframe.parse(timeframe), self._at.first_ns.get(contract.streamer_symbol)
        if first_ns is None:
            raise NoData(f"no trade of {contract.symbol} was played yet; history ends where the replay stands")
        return pd.Timestamp(Grid(contract, wanted, "session_open", first_ns, first_ns).span(first_ns)[0], unit="ns", tz="UTC")

    def status(self) -> ProviderStatus:
        """Counts of what was played so far."""
        source = self._source
        told = {"state": self._state, "since_ns": self._since_ns, "lag_ms": self._lag_ms, "failed": tuple(self._failed), **self._gaps.status()}
        if source is None:
            return ProviderStatus(**told)
        tally = source.tally()
        notes = tuple(text for text in (source.note, self._unplayed) if text)
        more = {"excluded": dict(tally.excluded), "sides": dict(tally.sides), "rejects": tally.rejects, "delta_source": source.delta_source, "notes": notes}
        return ProviderStatus(**told, **tally.counts, **more)  # type: ignore[arg-type]

    # -- playing

    def _play_if_heard(self) -> None:
        if self._player is None and self._audience.everyone():
            self._player = asyncio.create_task(self._play(), name="replay")

    async def _play(self) -> None:
        error: Exception | None = None
        try:
            await self._play_all()
        except Exception as damage:  # whatever it is, it is what those who listen must meet
            error = damage
        finally:
            if self._state == "connected":
                self._enter("closed")
            self._audience.end(error)

    async def _play_all(self) -> None:
        pace, due_ns, breath_s = self.playback, 0, self._clock()
        pace.begin(self._clock, due_ns)
        await self._fill_feeds()
        for read in self._reads:
            due_ns += read.pause_ns
            if pace.left_s(due_ns) > 0:
                await self._wait_until(due_ns)
                breath_s = self._clock()
            if pace.is_hurried:
                pace.reach(due_ns)
            if self._clock() - breath_s > _BREATHE_S:
                await asyncio.sleep(0)
                breath_s = self._clock()
            await self._fill_feeds()
            for item in read.items:
                self._put(item)
            for feed in self._audience.every_feed():
                feed.advance(self._at.now_ns or 0)
            if self._is_full():
                await self._room()
                breath_s = self._clock()
                pace.reach(due_ns)  # a consumer's slowness moves what follows, and does not make it hurry
        await self._fill_feeds()

    async def _wait_until(self, due_ns: int) -> None:
        """Wait; meanwhile the recording's clock goes on, and closes bars, unless it stands."""
        pace, began_ns = self.playback, self._at.now_ns
        before_ns = pace.now_ns
        while (left_s := pace.left_s(due_ns)) > 0:
            feeds = list(self._audience.every_feed())
            await self._rest(min(left_s, _TICK_S) if feeds else left_s)
            for feed in feeds if began_ns is not None else ():
                feed.advance((began_ns or 0) + pace.now_ns - before_ns)

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or until the pace changes."""
        self._pace_changed.clear()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._pace_changed.wait())]
        if seconds < math.inf:
            waits.append(asyncio.ensure_future(self._sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _fill_feeds(self) -> None:
        """Begin the feeds of bars that came when trades had been played. The recording waits meanwhile, so that nothing is missed or doubled."""
        for feed in self._audience.every_feed():
            if feed.is_late and not feed.has_begun and not feed.listener.has_ended:
                contract, now_ns = feed.contract, self._at.now_ns or 0
                past = await asyncio.to_thread(self._at.cut(contract).past, self._opened())
                feed.fill(self._opened(), past, self._at.first_ns[contract.streamer_symbol], now_ns)

    def _put(self, item: TradeBatch | Gap | Quote) -> None:
        if isinstance(item, Gap):
            self._gaps.add(item)
        elif isinstance(item, TradeBatch) and len(item):
            self._lag_ms = (int(item.received_ns[-1]) - int(item.time_ns[-1])) / 1e6
            self.playback.traded(item.contract.streamer_symbol, int(item.time_ns.max()))
        feeds = [feed for feed in self._audience.feeds.get(item.contract.streamer_symbol, ()) if feed.has_begun or not feed.is_late]
        self._at.add(item)
        self._audience.hand_over(self._opened(), item, feeds)

    def _is_full(self) -> bool:
        return any(listener.is_full for listener in self._audience.everyone())

    async def _room(self) -> None:
        while self._is_full():
            self._room_made.clear()
            await self._room_made.wait()

    async def _stop_playing(self) -> None:
        player, self._player = self._player, None
        if player is not None:
            player.cancel()
            with suppress(asyncio.CancelledError):
                await player

    # -- small parts

    def _open(self) -> tuple[Source, Iterator[Read], Position, str | None]:
        """The recording, what is to be played of it, where it stands, and what is to be told where nothing is."""
        source, at = open_source(self._path, self._rules), Position()
        reads = source.reads()
        for read in reads if self._start_ns is not None else ():
            times = [int(item.time_ns.max()) for item in read.items if isinstance(item, TradeBatch)]
            if times and max(times) >= (self._start_ns or 0):
                reads = chain([read], reads)
                break
            for item in read.items:
                at.add(item)
        else:
            if self._start_ns not in (None, _NEVER_NS):
                ends = "holds no trade" if at.now_ns is None else f"ends with {_text(at.now_ns)}"
                return source, reads, at, f"nothing is played: the recording {ends}, and was to be played from {_text(self._start_ns or 0)} on"
        return source, reads, at, None

    @staticmethod
    def _begin_at(start: datetime | str | None) -> int | None:
        return None if start is None else _NEVER_NS if start == "end" else time_ns(start, "start")

    def _range(self, contract: Contract, start: Time, end: Time) -> tuple[int, int]:
        check_contract(contract)
        now_ns = self._at.now_ns
        if now_ns is None and start is None:
            raise NoData("nothing was played yet; history ends where the replay stands: give it a `start`, and what lies before is history")
        return asked_range(contract, start, end, 1 + (time_ns(start or "", "start") if now_ns is None else now_ns))

    def _listener(self, contract: Contract) -> Subscription[Any]:
        check_contract(contract)
        if self._state == "closed":
            raise UsageError(f"provider '{self.name}' is closed; connect() plays the recording again")
        return Subscription(contract, wait=True, on_cancel=self._audience.leave, on_room=self._room_made.set, on_failure=self._note_failure)

    def _granted(self, listener: Subscription[Any]) -> Subscription[Any]:
        if self._state == "connected":
            listener.grant()
            self._play_if_heard()
        return listener

    def _opened(self) -> Source:
        if self._source is None:
            raise UsageError(f"provider '{self.name}' is not connected; connect() opens the recording")
        return self._source

    def _note_failure(self, error: Exception) -> None:
        self._failed.append(f"a callback raised {type(error).__name__}: {error}")

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()


def _text(time_ns: int) -> str:
    return f"{np.datetime64(time_ns, 'ns').astype('M8[s]')}Z"
