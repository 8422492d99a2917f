"""What a login really receives of one contract: watched as it comes, before anything is filtered, and judged by the ladder of delta sources.

`Collector` counts and reads no clock; `probe` is the shell that subscribes, waits and asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..dxlink.messages import FeedData
from ..dxlink.rows import Row, decode
from ..errors import MarketDataError, NoData, ProtocolViolation
from ..model import AggressorSide, Contract, Quote, TradeBatch, TradeFlag
from ..provider import Subscription, all_ended
from ..sessions import is_open
from .candles import CANDLE, CandleCounts, SignCheck, Verdict, frame, sign_check
from .fallback import FallbackTrades
from .intake import Filter, Intake
from .ladder import Observation, Seen, Sign, decide
from .ladder import Verdict as Decision
from .leaning import lean_check
from .mapping import TIME_AND_SALE, TradeDecoder
from .minutes import MINUTE_NS, Minutes
from .provider import TastyTradeProvider
from .quotes import PROFILE, QUOTE, SUMMARY, TRADE, LastTrade, MarketDecoder

EVENT_TYPES = (TIME_AND_SALE, QUOTE, TRADE, SUMMARY, PROFILE, CANDLE)
_PAST_NS = 10 * MINUTE_NS  # trades and candles of so long are asked for, to compare them
_ANSWER_S = 10.0
_ALWAYS_NS = 2**62
_SIGNS: dict[Verdict, Sign] = {Verdict.AGREES: "agrees", Verdict.CONTRADICTS: "contradicts", Verdict.INCONCLUSIVE: "untested"}


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    rejected: int = 0
    late_ms: list[float] = field(default_factory=list)

    def seen(self) -> Seen:
        middle, most = (float(at) for at in np.percentile(self.late_ms, (50, 95))) if self.late_ms else (None, None)
        return Seen(self.rows, self.rejected, latency_p50_ms=middle, latency_p95_ms=most)


class Collector:
    """Counts what comes of one contract. Feed it with `take`, as a provider's `observe`; ask it for `observation`.

    last_time_ns  exchange time of the newest live trade, told by TimeAndSale or Trade, None before the first
    unreadable    messages, other than of live trades, that could not be taken apart into rows, so that no event type is to blame
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.last_time_ns: int | None = None
        self.unreadable = 0
        self._tallies = {name: _Tally() for name in EVENT_TYPES}
        self._trades, self._past, self._board = TradeDecoder(), TradeDecoder(), MarketDecoder()
        for decoder in (self._trades, self._past, self._board):
            decoder.watch(contract)
        self._live: list[TradeBatch] = []
        self._history: list[TradeBatch] = []
        self._events: list[Quote | LastTrade] = []
        self._candles: list[Row] = []
        self._with_side = self._valid = self._legs = 0

    def take(self, delivery: str, raws: Sequence[bytes], received_ns: Sequence[int], fields_of: Callable[[str], Sequence[str]]) -> None:
        """Messages of one channel, raw. `delivery`: STREAM is live trades, HISTORY what was asked for, TICKER the rest."""
        if delivery == "STREAM":
            self._take_trades(raws, received_ns, fields_of)
            return
        for raw, received in zip(raws, received_ns, strict=True):
            try:
                events = decode(FeedData(0, raw), fields_of)
            except (ProtocolViolation, RecursionError):
                self.unreadable += 1
                continue
            for event_type, rows in events:
                if event_type == CANDLE:
                    self._candles += rows
                elif event_type == TIME_AND_SALE:
                    # rows that mark the ends of a snapshot are no trades: what this decoder rejects is no fault of the feed
                    self._history += self._past.decode([raw], [received], fields_of)
                elif event_type in self._tallies:
                    self._take_values(event_type, rows, received)

    def _take_trades(self, raws: Sequence[bytes], received_ns: Sequence[int], fields_of: Callable[[str], Sequence[str]]) -> None:
        tally = self._tallies[TIME_AND_SALE]
        for batch in self._trades.decode(raws, received_ns, fields_of):
            tally.rows += len(batch)
            tally.late_ms += ((batch.received_ns - batch.time_ns) / 1e6).tolist()
            self._with_side += int((batch.side != AggressorSide.UNKNOWN).sum())
            self._valid += int((batch.flags & TradeFlag.VALID_TICK > 0).sum())
            self._legs += int((batch.flags & TradeFlag.SPREAD_LEG > 0).sum())
            self.last_time_ns = max(self.last_time_ns or 0, int(batch.time_ns.max()))
            self._live.append(batch)
        tally.rejected = self._trades.rejected

    def _take_values(self, event_type: str, rows: Sequence[Row], received: int) -> None:
        tally, rejected = self._tallies[event_type], self._board.rejected
        for value in self._board.read(event_type, rows, received):
            tally.rows += 1
            # the first is the state so far, whose age is no latency; the time of one that carries none is when it was received
            if tally.rows > 1 and value.time_ns != value.received_ns:
                tally.late_ms.append((value.received_ns - value.time_ns) / 1e6)
            if isinstance(value, Quote | LastTrade):
                self._events.append(value)
            if isinstance(value, LastTrade) and value.time_ns != value.received_ns:
                self.last_time_ns = max(self.last_time_ns or 0, value.time_ns)
        tally.rejected += self._board.rejected - rejected

    def sign(self) -> SignCheck:
        """Candles beside the trades of the same whole minutes: those of TimeAndSale, else those made of Trade and Quote."""
        is_told = bool(self._history or self._live)
        minutes = Minutes(trust_inferred=not is_told)
        intake = Intake(invalid_ticks="exclude", spread_legs="include")  # candles are of valid ticks
        made = FallbackTrades(self.contract).take(self._events)
        for batch in (intake.take(one) for one in (*self._history, *self._live)) if is_told else (made,):
            if batch is not None:
                minutes.add(batch)
        check = sign_check(self._candles, minutes.whole())
        if is_told or check.verdict is not Verdict.INCONCLUSIVE:
            return check
        leaning = lean_check(self._candles, minutes.whole())  # conflated trades seldom add up
        return check if leaning.verdict is Verdict.INCONCLUSIVE else leaning

    def observation(self, seconds: float, *, now_ns: int, token_level: str | None, invalid_ticks: Filter = "exclude") -> Observation:
        """All of it, after `seconds` of watching and once the past was asked for. `now_ns` tells whether the market is open."""
        counts = CandleCounts()
        bars = len(frame(self._candles, self.contract, "1m", 0, _ALWAYS_NS, counts=counts))
        sign = _SIGNS[self.sign().verdict]
        events = {name: tally.seen() for name, tally in self._tallies.items() if name not in (TIME_AND_SALE, CANDLE)}
        trades = self._tallies[TIME_AND_SALE].seen()
        events[TIME_AND_SALE] = replace(trades, with_side=self._with_side, valid_tick=self._valid, spread_legs=self._legs)
        events[CANDLE] = Seen(bars, counts.rejected)
        opened = is_open(self.contract.calendar, now_ns)
        return Observation(self.contract, seconds, opened, token_level, {name: events[name] for name in EVENT_TYPES}, sign, bool(self._history), invalid_ticks)


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe found: what came, the comparison of candles with trades, what to make of it, what the provider noted meanwhile, and the latest
    rows that it could not read, raw, with the reason."""

    observation: Observation
    sign: SignCheck
    decision: Decision
    notes: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()


async def probe(provider: TastyTradeProvider, symbol: str, seconds: float, *, invalid_ticks: Filter = "exclude") -> Report:
    """Connect, subscribe everything there is of one contract, watch it for so long, then ask for its last minutes. The provider is left disconnected.

    Raises what connecting, resolving and subscribing raise; a request for the past that fails is a note.
    """
    async with provider:
        contract = await provider.resolve(symbol)
        collector = Collector(contract)
        provider.observe = collector.take
        began_s = time.monotonic()
        subscriptions: list[Subscription[Any]] = [
            provider.subscribe_trades(contract), provider.subscribe_quotes(contract), provider.subscribe_summary(contract)
        ]  # fmt: skip
        await _watch([subscription.on(_ignored) for subscription in subscriptions], seconds)
        watched_s = time.monotonic() - began_s
        end_ns = (collector.last_time_ns or time.time_ns()) + 1
        start_ns = (end_ns - _PAST_NS) // MINUTE_NS * MINUTE_NS
        start, end = (f"{np.datetime64(time_ns, 'ns')}Z" for time_ns in (start_ns, end_ns))
        said = await asyncio.gather(
            _answered("the history of TimeAndSale", provider.historical_trades(contract, start, end)),
            _answered("the history of Candle", provider.historical_bars(contract, "1m", start, end)),
        )
        status = provider.status()
    seen = collector.observation(watched_s, now_ns=time.time_ns(), token_level=status.token_level, invalid_ticks=invalid_ticks)
    notes = [*status.notes, *(note for note in said if note)]
    if collector.unreadable:
        notes.append(f"{collector.unreadable} messages could not be taken apart into rows")
    return Report(seen, collector.sign(), decide(seen), tuple(notes), status.rejects)


def _ignored(item: object) -> None:
    """The collector has seen it already, raw."""


async def _watch(subscriptions: Sequence[Subscription[Any]], seconds: float) -> None:
    """Wait so long; an error that ends a subscription earlier is raised."""
    ended = asyncio.create_task(all_ended(subscriptions))
    try:
        await asyncio.wait([ended], timeout=seconds)
        if ended.done():
            ended.result()
    finally:
        ended.cancel()
        await asyncio.wait([ended])


async def _answered(what: str, answer: Awaitable[object]) -> str | None:
    """Wait for an answer, which the collector sees; None, or what went wrong. That a history does not go back far enough is nothing wrong."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            await answer
    except NoData:
        return None
    except (MarketDataError, TimeoutError) as error:
        return f"{what}: {str(error) or f'no answer within {_ANSWER_S:g} s'}"
    return None
