"""The market without an account: a loopback exchange and the TastyTrade provider on it, as one DataProvider."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from .dxlink.messages import Subscription as Item
from .emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Wire, load_tape
from .emulator.source import Source
from .errors import ConnectionLost, MarketDataError, UsageError
from .journal import Journal
from .model import Contract
from .pace import SPEEDS, Pace, Speed
from .provider import ProviderStatus
from .sessions import is_open, session_at
from .settings import Settings, TastytradeSettings
from .tastytrade.auth import Account
from .tastytrade.provider import TastyTradeProvider
from .tastytrade.rolls import Method
from .tastytrade.snapshot import Snapshot
from .tastytrade.symbols import Product

_CALENDAR = "CME Globex Equity"
_MINUTE_NS = 60_000_000_000
PAST_NS = 15 * _MINUTE_NS
"""What a made-up market has behind it when the demo begins, so that there are bars to look at."""
_PRINTS_PER_S = 20.0  # so that every contract trades within seconds, also overnight: 200 of 200 starts within 2.3 s, at 5 it was 160


def create(settings: Settings) -> DemoProvider:
    """The factory the registry calls."""
    demo = settings.demo
    made = DemoProvider(source(demo.tape, seed=demo.seed, past_ns=PAST_NS), speed=demo.speed, past_ns=0 if demo.tape else PAST_NS)
    made.journal = Journal(settings.journal.path) if settings.journal.enabled else None
    return made


def source(
    tape: Path | None,
    *,
    seed: int = 1,
    symbol: str | None = None,
    tick_size: float | None = None,
    size_step: float | None = None,
    calendar: str | None = None,
    past_ns: int = 0,
) -> Source:
    """A tape file, or where there is none the market that grows from `seed`, beginning `past_ns` before now (or, with CME closed, before the last session's
    last hours). UsageError for a description of a tape without one."""
    about = {"--symbol": symbol, "--tick-size": tick_size, "--size-step": size_step, "--calendar": calendar}
    given = [name for name, value in about.items() if value is not None]
    if tape is None and given:
        raise UsageError(f"without a tape there is nothing that {', '.join(given)} could describe; name one with --tape")
    if tape is not None:
        return load_tape(tape, symbol=symbol, tick_size=tick_size, size_step=size_step, calendar=calendar)
    now = time.time_ns()
    if not is_open(_CALENDAR, now):
        now = session_at(_CALENDAR, now).close_ns - 3 * 3600 * 10**9
    from .emulator.market import Market

    return Market(seed=seed, start_ns=now - now % _MINUTE_NS - past_ns, prints_per_s=_PRINTS_PER_S)


class DemoProvider(TastyTradeProvider):
    """Everything a login would give, from a loopback exchange: REST, quote token, DXLink socket.

    past_ns   how much of the source has happened when it connects
    playback  its pace: pause it, change it, let it make a step. A made-up market has no "max", since it has no end

    At the end of a tape every subscription ends, once all of it was handed over; nothing is dropped, a slow consumer makes the tape wait.
    """

    name = "demo"
    playback: Pace

    def __init__(self, source: Source, *, speed: Speed = 1.0, infer_sides: bool = False, truth_path: Path | str = os.devnull, past_ns: int = 0) -> None:
        super().__init__(TastytradeSettings(), wait=not source.is_endless)
        self._keeper.is_for_once = not source.is_endless
        self.source = source
        self.playback = Pace(speed, tuple(each for each in SPEEDS if each != "max" or not source.is_endless))
        wire = Wire(history_cap={"TimeAndSale": 1_000_000, "Candle": 8000})  # all of its past is to be had
        self._make = partial(
            Emulator,
            source,
            speed=self.playback,
            withhold_sides=infer_sides,
            truth_path=truth_path,
            start_on=("TimeAndSale",),
            live_from_ns=source.start_ns + past_ns,
            wire=wire,
        )
        self.emulator = self._make()
        self._wall_ns = lambda: self.emulator.market_ns
        self._feeds.playback = self.playback
        self._history.begins_ns = source.start_ns
        self._ending: asyncio.Task[None] | None = None
        self._was_played = self._is_at_end = self._is_open = False

    async def connect(self) -> None:
        """Open the exchange, log in, open the stream. After a `disconnect` the exchange, and with it a tape, begins anew."""
        if self._keeper.is_running:
            return
        if self._was_played:
            self.emulator = self._make()
            self._lines.clear()
        self._was_played, self._is_at_end = True, False
        await self.emulator.start()
        self._is_open = True
        self._settings = TastytradeSettings(client_secret=SecretStr(CLIENT_SECRET), refresh_token=SecretStr(REFRESH_TOKEN), api_url=self.emulator.api_url)
        self._account = Account(self._settings, note=self._notes.append)
        try:
            await super().connect()
        except BaseException:
            await self.emulator.stop()
            raise
        if not self.source.is_endless:
            self._ending = asyncio.create_task(self._close_exchange(), name="end of tape")

    async def disconnect(self) -> None:
        """Close both."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.cancel()
            with suppress(asyncio.CancelledError):
                await ending
        await super().disconnect()
        await self.emulator.stop()
        self._is_open = False

    async def resolve(self, symbol: str) -> Contract:
        """As of a login. UsageError before `connect`: there is no exchange to ask."""
        self._check_there()
        return await super().resolve(symbol)

    async def contracts(self, root: str) -> list[Contract]:
        """As of a login. UsageError before `connect`."""
        self._check_there()
        return await super().contracts(root)

    async def products(self) -> list[Product]:
        """As of a login. UsageError before `connect`."""
        self._check_there()
        return await super().products()

    async def front_month(self, root: str, method: Method = "active") -> Contract:
        """As of a login. UsageError before `connect`."""
        self._check_there()
        return await super().front_month(root, method)

    def status(self) -> ProviderStatus:
        """As of a login; without a lag, since the market's clock is not ours."""
        return replace(super().status(), lag_ms=None)

    async def _ask(self, event_type: str, fields: Sequence[str], item: Item) -> Snapshot:
        self._check_there()
        return await super()._ask(event_type, fields, item)

    def _check_there(self) -> None:
        if not self._is_open:
            raise UsageError(f"provider '{self.name}' is not connected; use `async with` or `await connect()` first")

    async def _close_exchange(self) -> None:
        try:
            await self.emulator.wait_finished()
            self._is_at_end = True
        finally:
            for visitor in self.emulator.visitors:
                visitor.close(1000, "end of tape")  # after its last trade, which still goes out

    def _over(self, error: MarketDataError | None) -> None:
        self._enter("closed")
        self._end_all(None if self._is_at_end else ConnectionLost(f"the tape broke off: {error}"))
