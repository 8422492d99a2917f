"""Any provider, with order flow in its bars: indicator columns in every frame, and delta from a second provider where the first has none.

`delta_columns: true` puts the columns of `indicators` into the frames of `historical_bars`, for programs that cannot ask an indicator manager.
`delta_provider: tastytrade` under `data_provider: ib` leaves the bars Interactive Brokers' and takes what was bought and sold from TastyTrade.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .errors import FeedError, MarketDataError
from .follow import Following
from .history import build_bars
from .indicators import IndicatorManager
from .model import Bar, Contract, Gap, Quote, Roll, Summary, TradeBatch, check_contract
from .pace import Pace
from .provider import Capabilities, DataProvider, ProviderStatus, Subscription, Time
from .registry import create_provider
from .settings import Settings

if TYPE_CHECKING:
    import pandas as pd

DELTA: Final = ("buy_volume", "sell_volume", "min_delta", "max_delta", "delta_source")
"""What of a bar the delta provider says; everything else stays the first provider's, but that it is complete only where both are."""
_WAIT_S = 2.0  # a closed bar waits this long for its delta, then goes without
_HISTORY_S = 15.0  # and one of the past this long: the other's history takes its time
_KEPT = 20_000  # deltas that wait for their bar
_RETRY_S = 30.0
_log = logging.getLogger(__name__)


def enriched(provider: DataProvider, settings: Settings) -> DataProvider:
    """The provider as the settings want it: wrapped where they ask for `delta_columns` or another `delta_provider`, else as it is.

    Raises UsageError for an indicator that does not exist, and what the creation of the delta provider raises.
    """
    names = settings.indicators if settings.delta_columns else []
    other = settings.delta_provider if settings.delta_provider != settings.data_provider else None
    if not names and other is None:
        return provider
    plain = {"data_provider": other, "delta_provider": None, "delta_columns": False}
    return EnrichedProvider(provider, names, create_provider(settings.model_copy(update=plain)) if other else None)


class EnrichedProvider(DataProvider):
    """`bars` serves everything but delta; `delta`, where there is one, trades with their sides, and so delta, CVD and footprint.

    names  indicators whose columns each frame of historical bars carries

    Bars take over `DELTA` of the delta provider's bar of the same start, labelled by its `delta_source`; "none" and NaN or None where it has no such bar.
    Volumes are then of two sources, so `volume - buy_volume - sell_volume` is no longer the unknown part. `subscribe_trades` and `historical_trades` are the
    delta provider's, for the one dated contract that `resolve` gave.
    Whatever goes wrong with the delta provider or an indicator is told in `status().notes` and counted in `faults`, and never reaches the caller: the bars
    come without. While the delta provider has not resolved a contract, trades are those of `bars`.
    """

    def __init__(self, bars: DataProvider, names: list[str], delta: DataProvider | None = None) -> None:
        self.bars, self.delta = bars, delta
        self.name = bars.name
        self.manager = IndicatorManager(names)
        self.manager.apply(build_bars(_no_trades(), "1m", _no_trades().contract))  # an unknown name is told now, not in the first frame
        self.faults: dict[str, int] = {}
        self._last: dict[str, str] = {}
        self._same: dict[Contract, Contract] = {}
        self._connecting: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # an attribute elsewhere; here it follows two providers
        """What `bars` can, with the trades of `delta`."""
        own = self.bars.capabilities
        if self.delta is None:
            return own
        other = self.delta.capabilities
        return replace(other, quotes=own.quotes, bars=own.bars, summary=own.summary, historical_bars=own.historical_bars)

    @property
    def playback(self) -> Pace | None:  # type: ignore[override]  # as above
        """That of `bars`."""
        return self.bars.playback

    @property
    def is_connected(self) -> bool:
        """True while bars can arrive."""
        return self.bars.is_connected

    async def connect(self) -> None:
        """Connect both. Only the provider of bars must succeed; the other is tried again every half minute."""
        await self.bars.connect()
        if self.delta is not None and self._connecting is None and not await self._attempt("connect", self.delta.connect):
            self._connecting = asyncio.create_task(self._keep_trying(self.delta), name="connect the delta provider")

    async def disconnect(self) -> None:
        """Close both."""
        task, self._connecting = self._connecting, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self.delta is not None:
            await self._attempt("disconnect", self.delta.disconnect)
        await self.bars.disconnect()

    async def resolve(self, symbol: str) -> Contract:
        """The contract by the provider of bars; the other is asked for the same dated one."""
        contract = await self.bars.resolve(symbol)
        await self._find(contract)
        return contract

    async def contracts(self, root: str) -> list[Contract]:
        """The listed months, as the provider of bars has them."""
        return await self.bars.contracts(root)

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        """The bars frame with delta and the indicators' columns."""
        frame = await self.bars.historical_bars(contract, timeframe, start, end, hours=hours)
        other = await self._find(contract)
        if self.delta is not None:
            found: Any = None
            if other is not None:
                try:
                    found = await self.delta.historical_bars(other, timeframe, start, end, hours=hours)
                except MarketDataError as error:
                    self._fault("history of delta", error)
            frame = with_delta(frame, found)
            frame.attrs |= {"bars_provider": self.bars.name, "delta_provider": self.delta.name}
        return self.manager.apply(frame)

    async def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        """The trades of a range, of the delta provider where there is one."""
        await self._find(contract)
        provider, contract = self._tape(contract)
        return await provider.historical_trades(contract, start, end)

    def begins_in_doubt(self, contract: Contract) -> bool:
        """As the provider says whose trades they are."""
        provider, contract = self._tape(contract)
        return provider.begins_in_doubt(contract)

    async def earliest(self, contract: Contract, timeframe: str = "1d") -> pd.Timestamp:
        """The start of the first bar."""
        return await self.bars.earliest(contract, timeframe)

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        """Every trade, of the delta provider where it knows the contract."""
        provider, contract = self._tape(contract)
        return provider.subscribe_trades(contract)

    def follow_trades(self, contract: Contract, *, fill: bool = True) -> Following:
        """As `subscribe_trades`, those of the past and of the months after a roll of the same provider: trades of two cannot be told apart."""
        provider, contract = self._tape(contract)
        return provider.follow_trades(contract, fill=fill)

    def subscribe_quotes(self, contract: Contract) -> Subscription[Quote | Gap]:
        """Best bid and ask, of the provider of bars."""
        return self.bars.subscribe_quotes(contract)

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> Subscription[Bar | Gap]:
        """Closed bars with delta. One whose delta comes more than two seconds later goes without, and comes again with it and a higher revision."""
        own = self.bars.subscribe_bars(contract, timeframe, backfill=backfill, hours=hours)
        other = self._same.get(contract)
        if self.delta is None or other is None:
            return own
        try:
            theirs = self.delta.subscribe_bars(other, timeframe, backfill=backfill, hours=hours)
        except MarketDataError as error:
            self._fault("bars of delta", error)
            return own
        return _Joined(own, theirs, lambda error: self._fault("bars of delta", error)).out

    def subscribe_summary(self, contract: Contract) -> Subscription[Summary]:
        """The day's figures, of the provider of bars."""
        return self.bars.subscribe_summary(contract)

    def now_ns(self) -> int:
        """The clock of the provider that serves bars."""
        return self.bars.now_ns()

    def status(self) -> ProviderStatus:
        """That of the provider of bars, with the state of the other and every fault in `notes`."""
        status = self.bars.status()
        notes = [f"{what} failed {n} times, at last: {self._last[what]}" for what, n in self.faults.items()]
        notes += [f"indicator {label} failed {fault.count} times, at last: {fault.last}" for label, fault in self.manager.faults.items()]
        if self.delta is None:
            return replace(status, notes=(*status.notes, *notes))
        other = self.delta.status()
        notes = [f"bars from {self.bars.name}; delta from {self.delta.name}: {other.state}", *(f"{self.delta.name}: {note}" for note in other.notes), *notes]
        return replace(status, delta_source=other.delta_source, token_level=other.token_level, notes=(*status.notes, *notes))

    # -- the other provider, whose faults end here

    def _tape(self, contract: Contract) -> tuple[DataProvider, Contract]:
        """Whose trades are served, and what that provider calls the contract."""
        other = self._same.get(contract)
        return (self.bars, contract) if self.delta is None or other is None else (self.delta, other)

    async def _find(self, contract: Contract) -> Contract | None:
        """The delta provider's contract of the same month and tick size."""
        check_contract(contract)
        if self.delta is None or contract in self._same:
            return self._same.get(contract)
        try:
            found = await self.delta.resolve(contract.symbol)
        except MarketDataError as error:
            self._fault(f"resolve {contract.symbol}", error)
            return None
        if found.tick_size != contract.tick_size or (found.expiry and contract.expiry and found.expiry != contract.expiry):
            self._fault(f"resolve {contract.symbol}", FeedError(f"{self.delta.name} has {found.symbol} with another tick size or expiry"))
            return None
        self._same[contract] = found
        return found

    async def _attempt(self, what: str, call: Callable[[], Any]) -> bool:
        try:
            await call()
        except MarketDataError as error:
            self._fault(what, error)
            return False
        return True

    async def _keep_trying(self, delta: DataProvider) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            if await self._attempt("connect", delta.connect):
                return

    def _fault(self, what: str, error: Exception) -> None:
        self.faults[what] = self.faults.get(what, 0) + 1
        self._last[what] = f"{type(error).__name__}: {error}"
        _log.log(logging.WARNING if self.faults[what] == 1 else logging.DEBUG, "delta provider, %s: %s", what, error)


def with_delta(frame: pd.DataFrame, other: pd.DataFrame | None) -> pd.DataFrame:
    """The frame with `DELTA` of the bars of the same start in `other`; where that has none: NaN, and "none" as the source."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in DELTA:
        found = None if other is None or name not in other else other[name][~other.index.duplicated(keep="last")].reindex(frame.index)
        if name == "delta_source":
            columns[name] = pd.Categorical(["none"] * len(frame) if found is None else found.astype(object).fillna("none"))
        else:
            columns[name] = float("nan") if found is None else found.astype("float64")
    if other is not None and "complete" in other and "complete" in frame:
        partial = other.index[~other["complete"].to_numpy(bool)]
        columns["complete"] = frame["complete"].to_numpy(bool) & ~frame.index.isin(partial)
    return frame.assign(**columns)


class _Waiting(NamedTuple):
    item: Bar | Gap
    until_s: float


class _Joined:
    """Bars of one subscription with the delta of another's, in the order of the first, handed over in `out`."""

    def __init__(self, own: Subscription[Bar | Gap], theirs: Subscription[Bar | Gap], on_fault: Callable[[Exception], None]) -> None:
        self.out: Subscription[Bar | Gap] = Subscription(own.contract, on_cancel=lambda _: self._cancel())
        self._own, self._theirs, self._loop = own, theirs, asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._deltas: dict[int, Bar] = {}
        self._told: dict[int, tuple[Bar, Bar]] = {}  # by start: the first's bar, and as it was handed over
        self._timer: asyncio.TimerHandle | None = None
        self._on_fault = on_fault
        own.on(self._take)
        theirs.on(self._take_delta)
        self._tasks = [asyncio.create_task(self._ready()), asyncio.create_task(self._ended()), asyncio.create_task(self._their_end())]

    def _take(self, item: Bar | Gap) -> None:
        wait_s = _HISTORY_S if not self._deltas else _WAIT_S
        self._waiting.append(_Waiting(item, self._loop.time() + wait_s))
        self._release()

    def _take_delta(self, item: Bar | Gap) -> None:
        if isinstance(item, Gap):
            return
        self._deltas[item.start_ns] = item
        if len(self._deltas) > _KEPT:
            del self._deltas[next(iter(self._deltas))]
        told = self._told.get(item.start_ns)
        if told is not None and replace(_of_both(told[0], item), revision=told[1].revision) != told[1]:  # it comes late, or was repaired
            self._tell(told[0], item)
        self._release()

    def _tell(self, bar: Bar, delta: Bar | None) -> None:
        """Hand a bar over, with a higher revision than the last time: it may have been repaired on either side."""
        told, out = self._told.get(bar.start_ns), _of_both(bar, delta)
        if told is not None:
            out = replace(out, revision=max(bar.revision, told[1].revision + 1))
        self._told[bar.start_ns] = bar, out
        if len(self._told) > _KEPT:
            del self._told[next(iter(self._told))]
        self.out.put(out)

    def _release(self) -> None:
        """Hand over from the front what has its delta, or has waited long enough."""
        while self._waiting:
            item, until_s = self._waiting[0]
            if isinstance(item, Bar):
                delta = self._deltas.get(item.start_ns)
                if delta is None and self._loop.time() < until_s and not self._theirs.has_ended:
                    break
                self._waiting.popleft()
                self._tell(item, delta)
            else:
                self._waiting.popleft()
                self.out.put(item)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._waiting[0].until_s, self._release) if self._waiting else None

    async def _ready(self) -> None:
        with suppress(MarketDataError):  # it ends the subscription, and that is told by `_ended`
            await self._own.ready()
            self.out.grant()

    async def _ended(self) -> None:
        error: Exception | None = None
        try:
            await self._own.ended()
        except Exception as found:  # whatever ended it is handed on as it is
            error = found
        self._waiting = deque(_Waiting(item, 0.0) for item, _ in self._waiting)
        self._release()
        self._theirs.cancel()
        self.out.end(error)

    async def _their_end(self) -> None:
        try:
            await self._theirs.ended()
        except Exception as error:  # bars go on without delta
            self._on_fault(error)
        self._release()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._own.cancel()
        self._theirs.cancel()


def _of_both(bar: Bar, delta: Bar | None) -> Bar:
    if delta is None:
        return replace(bar, buy_volume=None, sell_volume=None, min_delta=None, max_delta=None, delta_source="none")
    return replace(bar, **{name: getattr(delta, name) for name in DELTA}, complete=bar.complete and delta.complete)


def _no_trades() -> TradeBatch:
    return TradeBatch(Contract("", ""), {"time_ns": [], "price": [], "size": []})
