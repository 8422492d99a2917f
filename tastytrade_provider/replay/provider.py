"""A recording as a DataProvider. The shell of the replay: it waits as long as the recording says, and for the slowest consumer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import AmbiguousContract, ConfigError, UnknownContract, UsageError
from ..history import build_bars
from ..model import Contract, Gap, Roll, Timeframe, TradeBatch
from ..provider import Capabilities, DataProvider, ProviderStatus, State, Subscription, Time, time_ns
from ..sessions import sessions_between
from ..settings import Settings
from ..tastytrade.symbols import ACCEPTED, FutureSymbol
from .settled import settled
from .sources import Source, open_source

if TYPE_CHECKING:
    import pandas as pd

TradeSubscription = Subscription[TradeBatch | Gap | Roll]
_BREATHE_S = 0.005  # how long others may have to wait where the recording is played as fast as it goes


def create(settings: Settings) -> ReplayProvider:
    """The factory the registry calls."""
    if settings.replay.path is None:
        raise ConfigError("replay.path is missing: data_provider replay needs a journal's folder, a session file or a tape")
    return ReplayProvider(settings.replay.path, settings.replay.speed)


class ReplayProvider(DataProvider):
    """Plays what was recorded: a journal's folder or segment, Parquet session files, a tape.

    path    what to play
    speed   1 as recorded, by the time between receipts; N times; "max" as fast as the slowest consumer takes it
    rules   arguments of the Intake (`invalid_ticks`, `spread_legs`, `trust_flags`) for a journal; None: as when it was recorded
    clock, sleep  seconds of a monotonic clock, and how to wait

    It begins when it is connected and the first subscription is made, and ends every subscription at its end. Nothing is dropped: a slow consumer makes it
    wait. Where a recording stopped and another began, and wherever the feed told one, there is a Gap. History is the whole recording, also what has not been
    played yet.
    """

    name = "replay"
    capabilities = Capabilities(trades=True, historical_bars=True, historical_trades=True, side_source="exchange")

    def __init__(
        self,
        path: Path | str,
        speed: float | Literal["max"] = 1.0,
        *,
        rules: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if speed != "max" and not (isinstance(speed, int | float) and 0 < speed < float("inf")):
            raise UsageError(f"speed {speed!r} is not a number above 0 or 'max'")
        self._path, self._speed, self._rules = Path(path), speed, rules
        self._clock, self._sleep = clock, sleep
        self._source: Source | None = None
        self._listeners: dict[str, list[TradeSubscription]] = {}
        self._player: asyncio.Task[None] | None = None
        self._room_made: asyncio.Event = asyncio.Event()
        self._state: State = "disconnected"
        self._since_ns = time.time_ns()
        self._lag_ms: float | None = None
        self._gaps: deque[Gap] = deque(maxlen=100)
        self._failed: deque[str] = deque(maxlen=20)

    # -- DataProvider

    @property
    def is_connected(self) -> bool:
        """True from `connect` to the end of the recording."""
        return self._state == "connected"

    @property
    def recorded(self) -> list[Contract]:
        """Every contract of the recording."""
        return list(self._opened().contracts)

    async def connect(self) -> None:
        """Open the recording. After a `disconnect` or the end it begins anew. UsageError where there is none, JournalDamaged where it cannot be read."""
        if self._state == "connected":
            return
        await self._stop_playing()
        self._source = await asyncio.to_thread(open_source, self._path, self._rules)
        self._gaps.clear()
        self._enter("connected")
        for listener in self._everyone():
            listener.grant()
        self._play_if_heard()

    async def disconnect(self) -> None:
        """Stop, and end every subscription."""
        self._enter("closed")
        await self._stop_playing()
        self._end_all(None)

    async def resolve(self, symbol: str) -> Contract:
        """The recorded contract a symbol names. A product alone is its month nearest to expiry, a product recorded under other names is asked for by them."""
        return self._resolved(symbol)

    async def contracts(self, root: str) -> list[Contract]:
        """The recorded months of a product, nearest expiry first."""
        name = root.strip().upper().removeprefix("/")
        found = [contract for contract in self._opened().contracts if contract.root.upper() == name]
        if not found:
            raise self._unknown(root)
        return sorted(found, key=lambda contract: (contract.expiry is None, contract.expiry, contract.symbol))

    def subscribe_trades(self, contract: Contract) -> TradeSubscription:
        """Every trade from where the recording is now."""
        if self._state == "closed":
            raise UsageError(f"provider '{self.name}' is closed; connect() plays the recording again")
        listener: TradeSubscription = Subscription(contract, wait=True, on_cancel=self._cancelled, on_room=self._room_made.set, on_failure=self._note_failure)
        self._listeners.setdefault(contract.streamer_symbol, []).append(listener)
        if self._state == "connected":
            listener.grant()
            self._play_if_heard()
        return listener

    async def historical_trades(self, contract: Contract, start: Time, end: Time = None) -> TradeBatch:
        """The recorded trades of [start, end) as they stand after corrections and cancels, oldest first. `end=None` is the end of the recording."""
        if start is None:
            raise UsageError("historical trades need a start; an aware datetime or ISO text with a zone")
        bounds = time_ns(start, "start"), np.iinfo(np.int64).max if end is None else time_ns(end, "end")
        trades = await self._all_trades(contract)
        return trades[(trades.time_ns >= bounds[0]) & (trades.time_ns < bounds[1])]

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """Bars of the recorded trades that start in [start, end); `start=None` is the last session recorded."""
        if hours not in ("eth", "rth"):
            raise UsageError(f"hours {hours!r} is neither 'eth' nor 'rth'")
        frame = Timeframe.parse(timeframe)
        start_ns = None if start is None else time_ns(start, "start")
        end_ns = np.iinfo(np.int64).max if end is None else time_ns(end, "end")
        trades = await self._all_trades(contract)
        if len(trades):
            table = sessions_between(contract.calendar, int(trades.time_ns[0]), int(trades.time_ns[-1]))
            session = table.index_of(trades.time_ns)
            start_ns = int(table.open_ns[session[-1]]) if start_ns is None else start_ns
            if hours == "rth":
                trades = trades[(trades.time_ns >= table.rth_open_ns[session]) & (trades.time_ns < table.rth_close_ns[session])]
        bars = build_bars(trades, frame, contract)
        at_ns = bars.index.as_unit("ns").asi8  # type: ignore[attr-defined]  # a DatetimeIndex
        wanted: pd.DataFrame = bars[(at_ns >= (start_ns or 0)) & (at_ns < end_ns)]
        return wanted

    def status(self) -> ProviderStatus:
        """Counts of what was played so far."""
        source = self._source
        told = {"state": self._state, "since_ns": self._since_ns, "lag_ms": self._lag_ms, "gaps": tuple(self._gaps), "failed": tuple(self._failed)}
        if source is None:
            return ProviderStatus(**told)  # type: ignore[arg-type]
        tally = source.tally()
        notes = (source.note,) if source.note else ()
        more = {"excluded": dict(tally.excluded), "sides": dict(tally.sides), "rejects": tally.rejects, "delta_source": source.delta_source, "notes": notes}
        return ProviderStatus(**told, **tally.counts, **more)  # type: ignore[arg-type]

    # -- playing

    def _play_if_heard(self) -> None:
        if self._player is None and any(self._listeners.values()):
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
            self._end_all(error)

    async def _play_all(self) -> None:
        due_s = breath_s = self._clock()
        for read in self._opened().reads():
            now_s = self._clock()
            if self._speed != "max":
                due_s += read.pause_ns / 1e9 / self._speed
                if due_s > now_s:
                    await self._sleep(due_s - now_s)
                    breath_s = self._clock()
            if now_s - breath_s > _BREATHE_S:
                await asyncio.sleep(0)
                breath_s = self._clock()
            for item in read.items:
                self._put(item)
            if self._is_full():
                waited_s = self._clock()
                await self._room()
                breath_s = self._clock()
                due_s += breath_s - waited_s  # a consumer's slowness moves what follows, and does not make it hurry

    def _put(self, item: TradeBatch | Gap) -> None:
        if isinstance(item, Gap):
            self._gaps.append(item)
        elif len(item):
            self._lag_ms = (int(item.received_ns[-1]) - int(item.time_ns[-1])) / 1e6
        for listener in tuple(self._listeners.get(item.contract.streamer_symbol, ())):
            listener.put(item)

    def _is_full(self) -> bool:
        return any(listener.is_full for listener in self._everyone())

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

    def _resolved(self, symbol: str) -> Contract:
        every, name = self._opened().contracts, symbol.strip().upper()
        exact = [contract for contract in every if name and name in (contract.symbol.upper(), contract.streamer_symbol.upper())]
        wanted = FutureSymbol.parse(symbol)
        if not exact and wanted is not None and wanted.dated is not None:
            exact = [contract for contract in every if wanted.fits(contract)]
        if not exact and wanted is not None and wanted.dated is None:
            months = sorted((c for c in every if c.root.upper() == wanted.root and c.expiry is not None), key=lambda contract: str(contract.expiry))
            exact = months[:1] or [contract for contract in every if contract.root.upper() == wanted.root]
        if not exact:
            raise self._unknown(symbol)
        if len(exact) > 1:
            raise AmbiguousContract(f"{symbol!r} names {', '.join(contract.streamer_symbol for contract in exact)}; one of these is accepted")
        return exact[0]

    def _unknown(self, symbol: str) -> UnknownContract:
        recorded = ", ".join(contract.symbol for contract in self._opened().contracts) or "nothing"
        return UnknownContract(f"the recording holds no contract {symbol!r}; recorded: {recorded}. Accepted forms: {ACCEPTED}")

    def _opened(self) -> Source:
        if self._source is None:
            raise UsageError(f"provider '{self.name}' is not connected; connect() opens the recording")
        return self._source

    async def _all_trades(self, contract: Contract) -> TradeBatch:
        source = self._opened()

        def read() -> TradeBatch:
            batches = [item for each in source.reads(gather=True) for item in each.items if isinstance(item, TradeBatch) and item.contract == contract]
            return settled(contract, batches)

        return await asyncio.to_thread(read)

    def _everyone(self) -> list[TradeSubscription]:
        return [listener for listeners in self._listeners.values() for listener in listeners]

    def _end_all(self, error: Exception | None) -> None:
        for listener in self._everyone():
            listener.end(error)
        self._listeners.clear()

    def _cancelled(self, listener: TradeSubscription) -> None:
        self._listeners[listener.contract.streamer_symbol].remove(listener)
        self._room_made.set()

    def _note_failure(self, error: Exception) -> None:
        self._failed.append(f"a callback raised {type(error).__name__}: {error}")

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()
