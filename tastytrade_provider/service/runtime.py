"""What lives as long as the service: provider, markets, hub. It starts, runs and stops without ever taking the host application down."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..config import load
from ..errors import ConnectionLost, UnknownContract, UsageError
from ..indicators import CVD, Indicator, IndicatorManager
from ..model import Contract, Timeframe
from ..pace import Pace
from ..provider import DataProvider
from ..registry import create_provider
from ..sessions import is_open
from ..settings import ServiceSettings, Settings
from .feed import Feed
from .hub import Hub, TopicName
from .market import Market
from .readiness import SILENCE_S, Pulse, Verdict, judge
from .resets import Resets, SegmentedCvd
from .status import statistics, status
from .watcher import Watcher

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_BEAT_S: Final = 0.05
_FLUSH_EVERY: Final = 2  # beats: the forming bar goes out ten times a second
_STATUS_EVERY: Final = 20
_MOST_FEEDS: Final = 32
_ALWAYS: Final = ("volume_delta", "cvd")

log = logging.getLogger(__name__)

_CANCEL_AGAIN_S = 0.5


class Runtime:
    """The service without its HTTP: give it to `create_router`, and run it by `lifespan`, or by `start` and `stop` in a lifespan of your own.

    provider     where the data come from; connected, watched and connected again here. What it raises is shown in `status()`, never raised
    symbols      what to watch                  timeframe, indicators  of the bars kept from the start; clients may ask for other timeframes
    manager      indicators by name, yours included
    settings     the `service` section: the token
    clock        monotonic nanoseconds          wall_ns  UTC nanoseconds
    speed        how fast the exchange's clock runs beside ours, so that bars close though nobody trades; None: only trades are its clock. Where the
                 provider has a `playback`, that says how fast
    silence_s    see `readiness`
    """

    def __init__(
        self,
        provider: DataProvider,
        symbols: Sequence[str] = ("ES",),
        *,
        timeframe: str = "1m",
        indicators: Sequence[str] = ("volume_delta", "cvd", "delta_divergence"),
        manager: IndicatorManager | None = None,
        settings: ServiceSettings | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        speed: float | None = 1.0,
        silence_s: float = SILENCE_S,
        hub: Hub | None = None,
    ) -> None:
        self.provider, self.symbols = provider, tuple(dict.fromkeys(symbols))
        self.timeframe = str(Timeframe.parse(timeframe))
        self.manager = manager or IndicatorManager()
        self.settings = settings or ServiceSettings()
        self.hub: Hub = hub or Hub(secrets.token_hex(8))
        self.markets: dict[str, Market] = {}
        self.faults: Counter[str] = Counter()
        self.history_lock = asyncio.Semaphore(2)  # the provider's history is asked for little at a time
        self.clock, self.wall_ns = clock, wall_ns
        self.playback = provider.playback  # of a feed that is played: it can be paused
        self._pace = None if speed is None else self.playback or Pace(speed)
        if self._pace is not None and self._pace is not self.playback:
            self._pace.begin(lambda: clock() / 1e9, 0)
        if self.playback is not None:
            self.playback.told.append(self._pace_changed)
        self.started_ns: int | None = None
        self._names = tuple(dict.fromkeys((*_ALWAYS, *indicators)))
        self._silence_s = silence_s
        self._was_paused = False
        self._heard: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._used: dict[tuple[str, str], int] = {}
        self.watcher: Watcher = Watcher(provider, self.symbols, self._watched, self._hear, can_fill=speed is not None, wall_ns=wall_ns)
        self.indicators(Resets())  # a misspelt name is told now

    @classmethod
    def of(cls, config: str | Path | Mapping[str, Any] | Settings | None = None) -> Runtime:
        """From a configuration. Raises ConfigError, and what `create_provider` raises."""
        settings = load(config)
        return cls(
            create_provider(settings),
            settings.symbols,
            timeframe=settings.timeframe,
            indicators=settings.indicators,
            settings=settings.service,
            speed=_speed(settings),
        )

    # -- life

    async def start(self) -> None:
        """Begin, and return at once: the feed comes up beside the application. Calling it twice does no harm."""
        if not self._tasks:
            self.started_ns = self.wall_ns()
            self.hub.open()
            self._tasks = [asyncio.create_task(self.watcher.run(), name="service feed"), asyncio.create_task(self._beat(), name="service beat")]

    async def stop(self) -> None:
        """Tell the clients, close the feed, flush the journal. Calling it twice does no harm."""
        await self.hub.close("the service stops")
        tasks, self._tasks = self._tasks, []
        while waiting := [task for task in tasks if not task.done()]:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting, timeout=_CANCEL_AGAIN_S)  # a plugin's code may swallow a cancel; then once more
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.watcher.disconnect()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """A FastAPI lifespan: `FastAPI(lifespan=runtime.lifespan)`."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    # -- what is asked

    def market(self, symbol: str) -> Market:
        """The contract watched under a name: "ES", "ESZ6", "/ESZ6", "/ESZ26:XCME". UnknownContract; ConnectionLost while it is not there yet."""
        wanted = symbol.strip().upper().lstrip("/")
        for market in self.markets.values():
            contract = market.contract
            if wanted and wanted in {name.upper().lstrip("/") for name in (market.name, contract.symbol, contract.streamer_symbol)}:
                return market
        for market in self.markets.values():
            if wanted == market.contract.root.upper():
                return market
        if wanted in {name.upper().lstrip("/") for name in self.symbols}:
            raise ConnectionLost(f"{symbol!r} is not there yet: {self.problem or 'the feed is being connected'}")
        raise UnknownContract(f"{symbol[:40]!r} is not watched; watched: {', '.join(self.symbols)}")

    async def feed(self, market: Market, timeframe: str | None = None) -> Feed:
        """The feed of a timeframe (None: the configured one), made of the session's trades where it is new. The least used one makes room for it."""
        wanted = str(Timeframe.parse(timeframe or self.timeframe))
        await market.has_begun.wait()
        self._used[market.name, wanted] = self.clock()
        if wanted not in market.feeds:
            self._make_room()
        try:
            return await market.feed(wanted)
        finally:
            if wanted not in market.feeds:  # it cannot be, and nothing is kept of it
                self._used.pop((market.name, wanted), None)

    def indicators(self, resets: Resets) -> dict[str, Indicator]:
        """New indicators for one contract: the configured ones that read bars, CVD with the contract's resets."""
        made = {name: self.manager.create(name) for name in self._names}
        return {name: SegmentedCvd(resets, **each.params) if type(each) is CVD else each for name, each in made.items() if each.input == "bars"}

    def reset(self, market: Market) -> int:
        """CVD of a contract starts anew with its next bar. Returns the exchange time (UTC ns) from which on; it stands in the journal, if there is one."""
        started = [feed.forming.bar.start_ns + 1 for feed in market.feeds.values() if feed.forming is not None]
        at_ns = max([market.now_ns or self.wall_ns(), (market.last_ns or 0) + 1, *started])
        journal = getattr(self.provider, "journal", None)
        if journal is not None:
            if not self.provider.is_connected:
                raise ConnectionLost("the journal is closed while the feed is down, and a reset that a replay would not repeat is refused")
            journal.append_reset(market.contract, at_ns)
        market.reset(at_ns)
        return at_ns

    def health(self) -> dict[str, Any]:
        """Of the process: "ok" while the tasks of the service run. The feed's own state is in it, and changes nothing about it."""
        running = bool(self._tasks) and not any(task.done() for task in self._tasks[1:])
        return {"status": "ok" if running else "stopped", "feed": self.state}

    def readiness(self) -> Verdict:
        """Whether the feed is fresh enough to trade on."""
        is_paused = self.playback is not None and self.playback.is_paused
        pulses = [self._pulse(market) for market in self.markets.values()]
        return judge(self.state, self.problem, pulses, self._silence_s, is_paused=is_paused)

    def status(self) -> dict[str, Any]:
        """State, counts, gaps, rates: what `GET /api/tastytrade/status` answers."""
        return status(self)

    def statistics(self) -> dict[str, Any]:
        """Counts of contracts, timeframes and clients."""
        return statistics(self)

    def register_metrics(self, registry: CollectorRegistry) -> None:
        """Put the metrics into a registry of prometheus_client: they are read when it is scraped."""
        from .metrics import RuntimeCollector

        registry.register(RuntimeCollector(self))

    @property
    def state(self) -> str:
        """The provider's state; "ended" after a tape or a recording, "stopped" where the service does not run."""
        if self.watcher.has_ended:
            return "ended"
        return self.provider.status().state if self._tasks else "stopped"

    @property
    def problem(self) -> str | None:
        """Why there is no feed, in words: what kept the provider from being started, or what it says itself while it reconnects."""
        return self.watcher.problem or self.provider.status().problem

    @property
    def attempts(self) -> int:
        """To bring the feed back since it was last up, of this service, or of the provider itself."""
        return self.watcher.attempts or self.provider.status().attempts

    @property
    def live_names(self) -> tuple[str, ...]:
        """The indicators kept up on every timeframe."""
        return self._names

    # -- the feed

    async def _watched(self, name: str, contract: Contract) -> Market:
        """The market of a contract: the one there is, so that nothing of it is lost by a reconnect, or a new one."""
        known = self.markets.get(name)
        if known is not None and known.contract == contract:
            return known
        resets = Resets(await asyncio.to_thread(self._recorded_resets, contract))
        made = Market(name, contract, self.hub, resets, self.indicators, self._fault, self.clock, self._pace)
        await made.feed(self.timeframe)
        self.markets[name] = made
        return made

    def _hear(self, name: str) -> None:
        self._heard[name] = self.clock()

    # -- the rest

    async def _beat(self) -> None:
        beat, now_s = 0, asyncio.get_running_loop().time
        due_s = now_s()
        while True:
            due_s = max(due_s + _BEAT_S, now_s())  # by the clock: the work of a beat does not put off the next one
            await asyncio.sleep(due_s - now_s())
            beat += 1
            for market in list(self.markets.values()):
                try:
                    market.advance()
                    if beat % _FLUSH_EVERY == 0:
                        market.flush()
                except Exception as error:  # one contract's trouble is neither the others' nor the host's
                    self._fault(f"market {market.name}", error)
            if beat % _STATUS_EVERY == 0:
                self._tell_status()

    def _tell_status(self) -> None:
        self.hub.publish_state(STATUS, lambda: {"type": "status", **self.status()})

    def _pace_changed(self) -> None:
        """All pages hear of it at once; and while it stood, nobody was silent."""
        assert self.playback is not None  # it is what calls
        if self._was_paused:
            self._heard = dict.fromkeys(self._heard, self.clock())
        self._was_paused = self.playback.is_paused
        self._tell_status()

    def _fault(self, label: str, error: Exception) -> None:
        self.faults[label] += 1
        if self.faults[label] == 1:
            log.warning("%s failed: %s: %s", label, type(error).__name__, error)

    def _pulse(self, market: Market) -> Pulse:
        contract, heard = market.contract, self._heard.get(market.name)
        now_ns = market.now_ns or (self.wall_ns() if self.playback is None else self.provider.now_ns())
        try:
            open_now = is_open(contract.calendar, now_ns)
        except UsageError:  # a time no calendar knows: better told as silent than taken for closed
            open_now = True
        return Pulse(contract.symbol, open_now, None if heard is None else (self.clock() - heard) / 1e9)

    def _make_room(self) -> None:
        every = [(self._used.get((market.name, timeframe), 0), market, timeframe) for market in self.markets.values() for timeframe in market.feeds]
        free = sorted(
            (used, market.name, timeframe)
            for used, market, timeframe in every
            if timeframe != self.timeframe and not market.is_filling(timeframe) and not self.hub.is_heard(market.name, timeframe)
        )
        if len(every) >= _MOST_FEEDS + len(self.markets):
            if not free:
                raise UsageError(f"{_MOST_FEEDS} timeframes are in use, and that is the most; use one of them")
            _, name, timeframe = free[0]
            self.markets[name].drop(timeframe)
            self._used.pop((name, timeframe), None)

    def _recorded_resets(self, contract: Contract) -> list[int]:
        """Of the recording being played, or of the journal being written: so a replay repeats them, and a restart knows them."""
        recorded: Callable[[Contract], list[int]] | None = getattr(self.provider, "recorded_resets", None)
        if recorded is not None:
            return recorded(contract)
        journal = getattr(self.provider, "journal", None)
        if journal is None:
            return []
        from ..journal.segments import resets

        return resets(journal.path, contract) if journal.path.is_dir() else []


STATUS: Final = TopicName("", "", "status")


def _stamp(time_ns: int) -> Any:
    import pandas as pd

    return pd.Timestamp(time_ns, unit="ns", tz="UTC")


def _speed(settings: Settings) -> float | None:
    """How fast the exchange's clock runs: as ours where the feed is live, not at all where a tape's trades are the clock."""
    if settings.data_provider == "replay":
        return None
    if settings.data_provider == "demo":
        return None if settings.demo.tape is not None or settings.demo.speed == "max" else float(settings.demo.speed)
    return 1.0
