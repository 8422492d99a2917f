"""Which delta a login can have, best first, and what to make of the lesser ones.

time_and_sale  every print with the exchange's side.
candle         a bar's askVolume and bidVolume. dxFeed says of neither whose side it means, so the sign must have been checked. No footprint.
quote_trade    Trade and Quote, both conflated: volume from differences of dayVolume, the side by EMO against the last quote, else the tick rule.
tick_rule      Trade alone: volume from differences of dayVolume, the side by the tick rule.

TimeAndSale is not among the events TastyTrade documents for API streams: people have received it for futures, and some mostly validTick=false.
So it is looked at, not assumed, and what was seen is said in words a user can act on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..model import Action, Contract, TradeBatch, TradeFlag
from .intake import Filter

Source = Literal["time_and_sale", "candle", "quote_trade", "tick_rule"]
Sign = Literal["agrees", "contradicts", "untested"]
MINUTE_NS = 60_000_000_000
INVALID_PERCENT = 5
"""More of a minute's prints than this with validTick=false degrade the status."""
_DELAYED_MS = 60_000.0  # live data takes far less than a second, delayed data 10 or 15 minutes
INCLUDE_SWITCH = "tastytrade.invalid_ticks: include"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one event type. Counts of rows; latencies (received minus exchange time) in ms, None where nothing came.

    with_side, valid_tick, spread_legs  of the rows of TimeAndSale: with BUY or SELL, with validTick, with spreadLeg
    refused                             the server's words where it refused the subscription
    """

    rows: int = 0
    rejected: int = 0
    with_side: int = 0
    valid_tick: int = 0
    spread_legs: int = 0
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw of one contract.

    events       event type (TimeAndSale, Candle, Quote, Trade) -> Seen; absent is nothing
    candle_sign  askVolume minus bidVolume against the delta of the same bars by the quote rule
    history      whether a HISTORY subscription of TimeAndSale returned anything; None: not tried
    """

    contract: Contract
    seconds: float
    is_open: bool
    token_level: str | None
    events: Mapping[str, Seen] = field(default_factory=dict)
    candle_sign: Sign = "untested"
    history: bool | None = None
    invalid_ticks: Filter = "exclude"

    def seen(self, event_type: str) -> Seen:
        """What came of an event type."""
        return self.events.get(event_type, Seen())


@dataclass(frozen=True, slots=True)
class Verdict:
    """The delta to use (None: there is none), why, and what the user does next. `exit_code`: 0 time_and_sale, 1 a fallback, 2 nothing."""

    delta_source: Source | None
    reason: str
    text: str
    exit_code: int


_LADDER: Mapping[Source, tuple[tuple[str, ...], str]] = {
    "time_and_sale": (("TimeAndSale",), "every print with the exchange's own side, and footprint"),
    "candle": (("Candle",), "delta per bar from Candle's bid and ask volume; no footprint"),
    "quote_trade": (("Trade", "Quote"), "sides inferred from conflated trades and quotes; trades between two events share one price and side"),
    "tick_rule": (("Trade",), "sides guessed from the direction of the price alone; the least accurate"),
}
"""The rungs, best first: the event types each needs, and what it gives."""
_SIGNS: Mapping[Sign, str] = {
    "untested": "the sign of Candle's askVolume minus bidVolume could not be checked against the quote rule",
    "contradicts": "Candle's askVolume minus bidVolume contradicts the quote rule",
}


def decide(seen: Observation) -> Verdict:
    """The best rung nothing speaks against.

    >>> es = Contract("ES", "/ESZ6", "/ESZ26:XCME", tick_size=0.25)
    >>> verdict = decide(Observation(es, 60, True, "api", {"Trade": Seen(rows=12), "Quote": Seen(rows=90)}))
    >>> verdict.delta_source, verdict.exit_code
    ('quote_trade', 1)
    """
    against = list[str]()
    for source, (_, gives) in _LADDER.items():
        said = _objection(seen, source)
        if said is None:
            reason = "; ".join([f"{source}: {gives}", *dict.fromkeys(against)])
            exit_code = 0 if source == "time_and_sale" else 1
            return Verdict(source, reason, "\n".join([reason + ".", *_next_steps(seen, source)]), exit_code)
        against.append(said)
    reason = "; ".join(dict.fromkeys(against))
    return Verdict(None, reason, "\n".join([f"No delta: {reason}.", *_next_steps(seen, None)]), 2)


def _objection(seen: Observation, source: Source) -> str | None:
    """What speaks against a rung; None: nothing."""
    for event_type in _LADDER[source][0]:
        what = seen.seen(event_type)
        if what.rows:
            continue
        if what.refused:
            return f"{event_type} was refused: {what.refused}"
        if what.rejected:
            return f"no row of {event_type} could be read, {what.rejected} came in {seen.seconds:g} s"
        return f"no {event_type} came in {seen.seconds:g} s"
    return _SIGNS.get(seen.candle_sign) if source == "candle" else None


def _next_steps(seen: Observation, source: Source | None) -> list[str]:
    """What the user does next, one sentence or block each."""
    trades, steps = seen.seen("TimeAndSale"), list[str]()
    if seen.token_level == "demo":
        steps.append("The token is of level 'demo', whose data is delayed; live data needs the token of a production login.")
    late_ms = max(seen.seen(name).latency_p50_ms or 0.0 for name in ("TimeAndSale", "Trade", "Quote"))
    if seen.is_open and late_ms > _DELAYED_MS:
        steps.append(f"Half of the rows came {late_ms / 1000:.0f} s late or later: the data is delayed, or this machine's clock is wrong.")
    rejected = ", ".join(f"{name} {what.rejected}" for name, what in seen.events.items() if what.rejected)
    if rejected:
        steps.append(f"Rows that could not be read: {rejected}. Do next: report the raw rows that the status keeps under rejects.")
    if source == "time_and_sale":
        invalid = trades.rows - trades.valid_tick
        if invalid * 100 > INVALID_PERCENT * trades.rows and seen.invalid_ticks == "exclude":
            steps.append(f"{invalid} of {trades.rows} prints ({invalid / trades.rows:.1%}) have validTick=false and are left out of every delta.")
            steps.append(f"Do next: set '{INCLUDE_SWITCH}', and compare the volume with the exchange's before you trust it.")
        if trades.with_side * 2 < trades.rows:
            steps.append(f"Only {trades.with_side} of {trades.rows} prints have a side; the others get it from the quote they carry, labelled as such.")
        if trades.spread_legs:
            steps.append(f"{trades.spread_legs} prints are legs of spread trades, left out of delta unless 'tastytrade.spread_legs: include' is set.")
        if seen.history is False:
            steps.append("HISTORY of TimeAndSale gave nothing: after an interruption the missed trades stay a gap.")
        return steps or ["Nothing to do."]
    if trades.rejected:
        return steps  # TimeAndSale comes: there is nothing to ask TastyTrade for
    if not seen.is_open:
        steps.append("The market is closed, so silence proves nothing. Do next: run this again while it is open, before you write to anybody.")
        return steps
    if source is not None:
        steps.append(f"With 'tastytrade.delta_source: auto' the provider uses {source} and labels every bar with it.")
    steps.append("Do next: write to TastyTrade's API support (the address is on developer.tastytrade.com), from the address of your login:\n" + _letter(seen))
    if source is None:
        steps.append("Until then take delta from elsewhere: 'data_provider: ib', a recording, or the demo.")
    return steps


def _letter(seen: Observation) -> str:
    counts, said = ", ".join(f"{name} {seen.seen(name).rows}" for name in ("TimeAndSale", "Candle", "Trade", "Quote")), seen.seen("TimeAndSale").refused
    return (
        f"    My OAuth application streams {seen.contract.streamer_symbol} over DXLink with a token of /api-quote-tokens "
        f"(level {seen.token_level or 'unknown'}).\n"
        f"    Events received in {seen.seconds:g} s of open market: {counts}.{f' The server answered: {said}.' if said else ''}\n"
        "    Please tell me whether TimeAndSale for CME futures can be enabled for my API token, and what I have to sign or subscribe to for it."
    )


_NEW, _VALID = int(Action.NEW), int(TradeFlag.VALID_TICK)  # plain numbers: arithmetic with the enums doubles the cost of a batch


class TickQuality:
    """How many prints of each minute have validTick=false, and whether that is too many.

    `add` counts into the running minute of the clock, `advance` ends the minutes that are over. A minute without prints decides nothing.

    degraded  whether the last minute with prints had more than 5 % invalid ones, and these are excluded
    prints, invalid  of that minute
    """

    def __init__(self, invalid_ticks: Filter = "exclude") -> None:
        self.degraded = False
        self.prints = self.invalid = 0
        self._excluded = invalid_ticks == "exclude"
        self._minute = 0
        self._running = [0, 0]

    def add(self, batch: TradeBatch, now_ns: int) -> None:
        """Count a batch as decoded, before anything is filtered. Corrections and cancels are no prints."""
        self.advance(now_ns)
        columns = batch.columns
        new = columns["action"] == _NEW
        self._running[0] += int(np.count_nonzero(new))
        self._running[1] += int(np.count_nonzero(new & (columns["flags"] & _VALID == 0)))

    def advance(self, now_ns: int) -> bool:
        """Judge the minutes that ended before `now_ns`. Returns whether `degraded` changed."""
        minute, before = now_ns // MINUTE_NS, self.degraded
        if minute > self._minute:
            if self._running[0]:
                self.prints, self.invalid = self._running
                self.degraded = self._excluded and self.invalid * 100 > INVALID_PERCENT * self.prints
            self._minute, self._running = minute, [0, 0]
        return self.degraded != before

    @property
    def note(self) -> str | None:
        """What to tell the user while degraded, else None."""
        if not self.degraded:
            return None
        return f"{self.invalid} of {self.prints} prints in a minute had validTick=false and were left out of delta; '{INCLUDE_SWITCH}' counts them"
