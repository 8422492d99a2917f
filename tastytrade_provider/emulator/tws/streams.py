"""Live subscriptions: what each says about prints and quotes as they come. Reads no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from tastytrade_provider.emulator.source import Print, QuoteChange
from tastytrade_provider.emulator.tws.bars import SECOND_NS, Bar, Maker
from tastytrade_provider.emulator.tws.history import QUOTED, BarQuery, middle, quoted, tick_mask
from tastytrade_provider.emulator.tws.listing import Listed
from tastytrade_provider.emulator.tws.view import News, View, counts

Say = Callable[..., None]
"""Sends one message made of its arguments."""
TICK_TYPES: Final = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
"""Tick-by-tick types and their numbers on the wire."""


@dataclass(eq=False)
class Stream:
    """One subscription. `kind` is one of `knobs.STREAMS`; `follows_in_silence`: it takes what happens also while nothing may be said."""

    req_id: int
    kind: str
    listed: Listed
    view: View
    say: Say
    follows_in_silence: ClassVar[bool] = False

    def begin(self) -> None:
        """Say what is known already."""

    def is_busted_by(self, news: News) -> bool:
        """Whether what happened ends the subscription, so that the client has to ask anew (error 10225)."""
        return False

    def take(self, news: News) -> None:
        """Note what happened, or say it at once."""

    def advance(self, market_ns: int) -> None:
        """The market's clock has gone on."""

    def flush(self) -> None:
        """Say what was noted."""


class TickByTick(Stream):
    """Every print or quote by itself, its time in whole seconds."""

    def __init__(self, req_id: int, kind: str, listed: Listed, view: View, say: Say, ignore_size: bool = False) -> None:
        super().__init__(req_id, kind, listed, view, say)
        self._ignore_size, self._told = ignore_size, (0.0, 0.0)
        self._number = TICK_TYPES[kind]

    def begin(self) -> None:
        """Quotes begin with the one that stands."""
        if self.view.book.quote is not None:
            self._tell(self.view.book.quote)

    def take(self, news: News) -> None:
        """Say it."""
        if self._number <= 2:
            for tick in news.ticks:
                self._trade(tick)
        elif news.quote is not None:
            self._tell(news.quote)

    def _trade(self, tick: Print) -> None:
        if self.kind == "AllLast" or counts(tick):
            mask = tick_mask(tick.valid_tick, tick.spread_leg)
            self.say(99, self.req_id, self._number, tick.time_ns // SECOND_NS, tick.price, tick.size, mask, self.listed.exchange, "")

    def _tell(self, quote: QuoteChange) -> None:
        second = quote.at_ns // SECOND_NS
        if self._number == 3:
            bid, ask, bid_size, ask_size = quoted(quote.bid, quote.ask, quote.bid_size, quote.ask_size)
            if not self._ignore_size or (bid, ask) != self._told:
                self.say(99, self.req_id, 3, second, bid, ask, bid_size, ask_size, 0)
                self._told = bid, ask
        elif self._number == 4 and (mid := middle(quote)) == mid and (mid, mid) != self._told:
            self.say(99, self.req_id, 4, second, mid)
            self._told = mid, mid


class MarketData(Stream):
    """Level 1, conflated: what differs from what was said last. `generic`: 233 RTVolume and 375 RT trade volume are understood, others ignored."""

    def __init__(self, req_id: int, listed: Listed, view: View, say: Say, generic: frozenset[str]) -> None:
        super().__init__(req_id, "MktData", listed, view, say)
        self._volumes = [(48, True)] * ("233" in generic) + [(77, False)] * ("375" in generic)
        self._told: dict[int, object] = {}
        self._ticks: list[Print] = []
        self._last = next((tick for tick in reversed(view.ticks) if counts(tick)), None)
        self._all_volume, self._all_turnover = 0.0, 0.0

    def begin(self) -> None:
        """Parameters, then every value known."""
        self.say(81, self.req_id, self.listed.contract.tick_size, "9c0001", 3)
        self.say(58, 1, self.req_id, 1)
        self.flush()

    def take(self, news: News) -> None:
        """Note the prints; all else is read when it is said."""
        self._ticks += news.ticks
        for tick in news.ticks:
            self._last = tick if counts(tick) else self._last

    def flush(self) -> None:
        """Say what has changed."""
        quote, last, day, before = self.view.book.quote, self._last, self.view.book.day, self.view.book.previous_day
        if quote is not None:
            bid, ask, bid_size, ask_size = quoted(quote.bid, quote.ask, quote.bid_size, quote.ask_size)
            self._price(1, 0, bid, bid_size)
            self._price(2, 3, ask, ask_size)
        if last is not None:
            self._price(4, 5, last.price, last.size)
            if self._is_news(45, last.time_ns // SECOND_NS):
                self.say(46, 6, self.req_id, 45, last.time_ns // SECOND_NS)
        if day is not None:
            if self._is_news(8, day.volume):
                self.say(2, 6, self.req_id, 8, day.volume)
            for number, price in ((6, day.high), (7, day.low), (14, day.open), (9, before and before.close)):
                if price is not None and self._is_news(number, price):
                    self.say(1, 6, self.req_id, number, price, 0, 0)
            for number, with_unreported in self._volumes:
                self._rt_volume(number, with_unreported, day.volume, day.turnover)
        self._ticks.clear()

    def _price(self, number: int, size_number: int, price: float, size: float) -> None:
        is_moved, is_resized = self._is_news(number, price), self._is_news(size_number, size)
        if is_moved:
            self.say(1, 6, self.req_id, number, price, size, 1)
        if is_moved or is_resized:
            self.say(2, 6, self.req_id, size_number, size)

    def _is_news(self, number: int, value: object) -> bool:
        is_news = self._told.get(number) != value
        self._told[number] = value
        return is_news

    def _rt_volume(self, number: int, with_unreported: bool, volume: float, turnover: float) -> None:
        """The last print (those since the last time are lost, as at IB), the day's volume and VWAP, and that one market maker filled it."""
        ticks = [tick for tick in self._ticks if with_unreported or counts(tick)]
        if ticks:
            price, size, at_ms = ticks[-1].price, ticks[-1].size, ticks[-1].time_ns // 1_000_000
            vwap = turnover / volume / self.listed.contract.multiplier if volume else 0.0
            values = (f"{price:.10g}", f"{size:.10g}", str(at_ms), f"{volume:.10g}", f"{vwap:.10g}", "true")
            self.say(46, 6, self.req_id, number, ";".join(values))


@dataclass(eq=False)
class _Bars(Stream):
    """Bars that go on from a maker."""

    query: BarQuery
    maker: Maker
    follows_in_silence: ClassVar[bool] = True

    def is_busted_by(self, news: News) -> bool:
        """Bars of trades end with a print that is corrected or withdrawn."""
        return news.was_repaired and self.query.what == "TRADES"

    def add(self, news: News) -> list[Bar]:
        """The bars that ended."""
        if self.query.what != "TRADES":
            ended = None if news.quote is None else self.maker.value(news.quote.at_ns, QUOTED[self.query.what](news.quote))
        else:
            ended = None if news.bar is None else self.maker.trade(news.bar.time_ns, news.bar.price, news.bar.size)
        return [] if ended is None else [ended]


@dataclass(eq=False)
class RealTimeBars(_Bars):
    """Bars of five seconds, each once it has ended; the one that was forming at the subscription is left out."""

    skipped_ns: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.skipped_ns = None if self.maker.bar is None else self.maker.bar.start_ns

    def take(self, news: News) -> None:
        """Say the bars that ended."""
        for bar in self.add(news):
            self._tell(bar)

    def advance(self, market_ns: int) -> None:
        """Say the bar whose time is over."""
        bar = self.maker.bar
        if bar is not None and market_ns >= bar.start_ns + self.maker.grid.size.ns:
            self.maker.bar = None
            self._tell(bar)

    def _tell(self, bar: Bar) -> None:
        if bar.start_ns != self.skipped_ns:
            values = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.count)
            self.say(50, 3, self.req_id, bar.start_ns // SECOND_NS, *values)


@dataclass(eq=False)
class KeptBars(_Bars):
    """History that is kept up to date: the forming bar now and then, a bar that ended as it ended."""

    zone: str
    is_changed: bool = field(default=False, init=False)

    def take(self, news: News) -> None:
        """Say the bar that ended; note that the forming one has changed."""
        for bar in self.add(news):
            self._tell(bar)
        self.is_changed = self.is_changed or news.bar is not None or news.quote is not None

    def flush(self) -> None:
        """Say the forming bar."""
        if self.is_changed and self.maker.bar is not None:
            self._tell(self.maker.bar)
        self.is_changed = False

    def _tell(self, bar: Bar) -> None:
        date = self.maker.grid.date(bar.start_ns, self.query.date_format, self.zone)
        self.say(90, self.req_id, bar.count, date, bar.open, bar.close, bar.high, bar.low, bar.average, bar.volume)


@dataclass(eq=False)
class Depth(Stream):
    """A ladder of `rows` levels a side. The market has one level; those behind it are made up, one tick apart and ever larger."""

    rows: int
    is_smart: bool
    told: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict, init=False)

    def begin(self) -> None:
        """The whole ladder."""
        self.flush()

    def flush(self) -> None:
        """Say the levels that have changed: 0 inserts, 1 updates, 2 deletes."""
        quote, contract = self.view.book.quote, self.listed.contract
        if quote is None:
            return
        for side, best, size, step in ((1, quote.bid, quote.bid_size, -1), (0, quote.ask, quote.ask_size, 1)):
            if best != best:
                for row in reversed(range(self.rows)):
                    if self.told.pop((side, row), None):
                        self._tell(row, 2, side, 0.0, 0.0)
                continue
            for row in range(self.rows):
                key = side, row
                level = (contract.price(contract.ticks(best) + step * row), size if row == 0 else 10.0 + 5.0 * row)
                if self.told.get(key) != level:
                    self._tell(row, 1 if key in self.told else 0, side, *level)
                    self.told[key] = level

    def _tell(self, row: int, operation: int, side: int, price: float, size: float) -> None:
        if self.is_smart:
            self.say(13, 1, self.req_id, row, self.listed.exchange, operation, side, price, size, True)
        else:
            self.say(12, 1, self.req_id, row, operation, side, price, size)
