"""Quotes, trades and the day's figures as IB's ticks, told to ib_async's wrapper. Reads no clock."""

from __future__ import annotations

import math
from typing import Any, Final

from ib_async import TickAttribBidAsk, TickAttribLast
from ib_async.wrapper import Wrapper

from ..model import Action, Quote, Summary, Trade, TradeBatch, TradeFlag
from .hours import SECOND_NS, moment

GENERIC: Final = {"233": 48, "375": 77}
"""Generic ticks that trades make -> tick type. 588 (open interest) comes from the day's figures."""
_SERVED: Final = {*GENERIC, "588", "", "mdoff"}
_FIGURES: Final = {14: "day_open", 6: "day_high", 7: "day_low", 9: "previous_close"}


def not_served(generic: str) -> list[str]:
    """Generic ticks asked for that will not come.

    >>> not_served("233, 236,456"), not_served("")
    (['236', '456'], [])
    """
    asked = [part.strip().partition(":")[0] for part in generic.split(",")]
    return [part for part in asked if part not in _SERVED]


def new_trades(batch: TradeBatch) -> list[Trade]:
    """The prints of a batch; corrections and cancels, which IB has no tick for, are left to `tradesEvent`."""
    return [trade for trade in batch if trade.action is Action.NEW]


def is_reported(trade: Trade) -> bool:
    """Whether IB's `Last` has it: no leg of a spread, and a price that counts."""
    return bool(trade.flags & TradeFlag.VALID_TICK) and not trade.flags & TradeFlag.SPREAD_LEG


def attributes(trade: Trade) -> TickAttribLast:
    """IB's marks of a print."""
    return TickAttribLast(pastLimit=False, unreported=not is_reported(trade))


def set_time(wrapper: Wrapper, time_ns: int) -> None:
    """Ticks carry the exchange's time, to the microsecond, where ib_async gives them the arrival of the packet."""
    if time_ns > 0:
        wrapper.lastTime = moment(time_ns, wrapper.defaultTimezone)


class TickByTick:
    """One reqTickByTickData. `kind`: Last, AllLast, BidAsk or MidPoint."""

    def __init__(self, wrapper: Wrapper, req_id: int, kind: str, exchange: str, ignore_size: bool) -> None:
        self._wrapper, self._req_id, self._kind, self._exchange, self._ignore_size = wrapper, req_id, kind, exchange, ignore_size
        self._told: tuple[float | None, float | None] | None = None

    def trades(self, batch: TradeBatch) -> None:
        """Prints."""
        number = 1 if self._kind == "Last" else 2
        for trade in new_trades(batch):
            if number == 2 or is_reported(trade):
                set_time(self._wrapper, trade.time_ns)
                self._wrapper.tickByTickAllLast(
                    self._req_id, number, trade.time_ns // SECOND_NS, trade.price, trade.size, attributes(trade), self._exchange, ""
                )

    def quote(self, quote: Quote) -> None:
        """A best bid and ask; a side that is missing is -1 with size 0."""
        now = quote.bid, quote.ask
        time_ns = quote.time_ns or quote.received_ns
        set_time(self._wrapper, time_ns)
        if self._kind == "BidAsk":
            if not self._ignore_size or now != self._told:
                (bid, bid_size), (ask, ask_size) = _side(quote.bid, quote.bid_size), _side(quote.ask, quote.ask_size)
                self._wrapper.tickByTickBidAsk(self._req_id, time_ns // SECOND_NS, bid, ask, bid_size, ask_size, TickAttribBidAsk())
        elif quote.bid is not None and quote.ask is not None and (self._told is None or sum(self._told) != quote.bid + quote.ask):  # type: ignore[arg-type]
            self._wrapper.tickByTickMidPoint(self._req_id, time_ns // SECOND_NS, (quote.bid + quote.ask) / 2)
        if self._kind == "BidAsk" or None not in now:
            self._told = now


class MarketData:
    """One reqMktData: what has changed, as the feed tells it. `generic` ticks: see GENERIC."""

    def __init__(self, wrapper: Wrapper, req_id: int, generic: str) -> None:
        self._wrapper, self._req_id = wrapper, req_id
        asked = {part.strip() for part in generic.split(",")}
        self._volumes = [number for name, number in GENERIC.items() if name in asked]
        self._wants_open_interest = "588" in asked
        self._told: dict[int, Any] = {}
        self._volume, self._since, self._vwap = math.nan, 0.0, math.nan  # the day's by the last summary, and what was traded after it
        self.has_quote = self.has_last = self.has_summary = False

    def begin(self, tick_size: float) -> None:
        """Parameters."""
        self._wrapper.tickReqParams(self._req_id, tick_size, "", 0)
        self._wrapper.marketDataType(self._req_id, 1)

    def quote(self, quote: Quote) -> None:
        """Ticks 1 and 2, price and size in one."""
        self.has_quote = True
        set_time(self._wrapper, quote.time_ns or quote.received_ns)
        for number, side in ((1, _side(quote.bid, quote.bid_size)), (2, _side(quote.ask, quote.ask_size))):
            if self._is_news(number, side):
                self._wrapper.priceSizeTick(self._req_id, number, *side)

    def trades(self, batch: TradeBatch) -> None:
        """Ticks 4 (price and size), 45 (time), and one RTVolume for each print."""
        fresh = new_trades(batch)
        for trade in fresh:
            self._since += trade.size if is_reported(trade) else 0.0
            set_time(self._wrapper, trade.time_ns)
            for number in self._volumes:
                if number == 48 or is_reported(trade):
                    self._wrapper.tickString(self._req_id, number, self._rt_volume(trade))
        last = next((trade for trade in reversed(fresh) if is_reported(trade)), None)
        if last is not None:
            self.has_last = True
            set_time(self._wrapper, last.time_ns)
            self._wrapper.priceSizeTick(self._req_id, 4, last.price, last.size)
            self._wrapper.tickString(self._req_id, 45, str(last.time_ns // SECOND_NS))

    def last_price(self, price: float | None) -> None:
        """The last price as history knows it, where no trade has come since the request; None: nobody knows."""
        if price is not None and not self.has_last:
            self._wrapper.priceSizeTick(self._req_id, 4, price, 0)
        self.has_last = True

    def _rt_volume(self, trade: Trade) -> str:
        volume = "" if math.isnan(self._volume) else f"{self._volume + self._since:.10g}"
        vwap = "" if math.isnan(self._vwap) else f"{self._vwap:.10g}"
        return f"{trade.price:.10g};{trade.size:.10g};{trade.time_ns // 1_000_000};{volume};{vwap};true"

    def summary(self, summary: Summary) -> None:
        """Ticks 14, 6, 7, 9 (prices), 8 (volume), 86 (open interest, where asked for)."""
        self.has_summary = True
        set_time(self._wrapper, summary.time_ns or summary.received_ns)
        for number, name in _FIGURES.items():
            price = getattr(summary, name)
            if price is not None and self._is_news(number, price):
                self._wrapper.priceSizeTick(self._req_id, number, price, 0)
        if summary.vwap is not None:
            self._vwap = summary.vwap
        if summary.volume is not None and self._is_news(8, summary.volume):
            self._volume, self._since = summary.volume, 0.0
            self._wrapper.tickSize(self._req_id, 8, summary.volume)
        if self._wants_open_interest and summary.open_interest is not None and self._is_news(86, summary.open_interest):
            self._wrapper.tickSize(self._req_id, 86, summary.open_interest)

    def _is_news(self, number: int, value: object) -> bool:
        is_news = self._told.get(number) != value
        self._told[number] = value
        return is_news


def _side(price: float | None, size: float | None) -> tuple[float, float]:
    """A side of the book; IB's mark for an empty one is -1 with size 0."""
    return (-1.0, 0.0) if price is None else (price, size or 0.0)
