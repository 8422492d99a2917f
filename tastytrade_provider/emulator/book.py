"""What is known of each contract so far: surviving prints, standing quote, the day's figures, the candles somebody asked for."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tastytrade_provider.emulator.candles import CandleSeries, CandleSymbol
from tastytrade_provider.emulator.source import Before, Print, QuoteChange
from tastytrade_provider.model import Action, Contract
from tastytrade_provider.sessions import Session, session_at

MAX_PRINTS = 2_000_000
"""Prints kept for history by contract; the oldest go first."""


@dataclass
class Day:
    """Figures of one session; `day_id` is its label in days since 1970-01-01."""

    day_id: int
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0
    turnover: float = 0.0
    direction: str = "UNDEFINED"


class Book:
    """One contract's state; written by `apply` only. `before` is what the session before the first one left, where it is known."""

    def __init__(self, contract: Contract, before: Before | None = None) -> None:
        self.contract, self.before = contract, before
        self.is_new_day = False  # whether the last print was a session's first
        self.prints: dict[int, Print] = {}
        self.quote: QuoteChange | None = None
        self.last: Print | None = None
        self.day: Day | None = None
        self.previous_day: Day | None = None
        self.series: dict[str, CandleSeries] = {}
        self._session: Session | None = None

    def apply(self, event: Print | QuoteChange) -> dict[str, int]:
        """Take an event; return the index of the bar it changed by candle symbol."""
        if isinstance(event, QuoteChange):
            self.quote = event
            return {}
        if event.action is Action.NEW:
            self.prints[event.index] = event
            self._count(event)
            if len(self.prints) > MAX_PRINTS:
                del self.prints[next(iter(self.prints))]
        elif event.index not in self.prints:
            return {}  # nothing is known that it could repair: whoever receives it decides for himself
        elif event.action is Action.CORRECTION:
            self.prints[event.index] = event
        else:
            del self.prints[event.index]
        return {text: series.update(event, reversed(self.prints.values())) for text, series in self.series.items()}

    def candles(self, symbol: CandleSymbol) -> CandleSeries:
        """The bars of a candle symbol that is served, from now on kept up to date."""
        if symbol.text not in self.series:
            self.series[symbol.text] = CandleSeries(symbol, self.contract, self.prints.values())
        return self.series[symbol.text]

    def prints_from(self, from_ms: int, limit: int) -> list[Print]:
        """Surviving prints at or after a time, newest first, at most `limit`."""
        recent = itertools.takewhile(lambda event: event.time_ns // 1_000_000 >= from_ms, reversed(self.prints.values()))
        return list(itertools.islice(recent, limit))

    def _count(self, event: Print) -> None:
        session = self._session
        if session is None or not session.open_ns <= event.time_ns < session.close_ns:
            session = self._session = session_at(self.contract.calendar, event.time_ns)
        day_id = (session.label - dt.date(1970, 1, 1)).days
        price = event.price
        if self.day is None or self.day.day_id != day_id:
            self.previous_day, self.day, self.is_new_day = self.day or self._day_before(session), Day(day_id, price, price, price, price), True
        else:
            self.is_new_day = False
        day = self.day
        if self.last is not None and price != self.last.price:
            day.direction = "UP" if price > self.last.price else "DOWN"
        elif self.last is not None:
            day.direction = {"UP": "ZERO_UP", "DOWN": "ZERO_DOWN"}.get(day.direction, day.direction)
        day.high, day.low, day.close = max(day.high, price), min(day.low, price), price
        day.volume += event.size
        day.turnover += event.size * price * self.contract.multiplier
        self.last = event

    @property
    def previous_close(self) -> float:
        """Close of the session before the running one, or before the first; NaN where it is not known."""
        if self.previous_day is not None:
            return self.previous_day.close
        return math.nan if self.before is None else self.before.close

    def _day_before(self, session: Session) -> Day | None:
        if self.before is None:
            return None
        label = session_at(self.contract.calendar, session.open_ns - 1).label
        return Day((label - dt.date(1970, 1, 1)).days, math.nan, math.nan, math.nan, self.before.close, self.before.volume)


def _unknown(contract: Contract) -> None:
    """No contract is known from before."""


class Books:
    """The books of a source's contracts, by streamer symbol. `before` tells what is known of a contract from before."""

    def __init__(self, contracts: Iterable[Contract], before: Callable[[Contract], Before | None] = _unknown) -> None:
        self.by_symbol = {contract.streamer_symbol: Book(contract, before(contract)) for contract in contracts}

    def apply(self, event: Print | QuoteChange) -> dict[str, int]:
        """Take an event; return the index of the bar it changed by candle symbol."""
        return self.by_symbol[event.contract.streamer_symbol].apply(event)
