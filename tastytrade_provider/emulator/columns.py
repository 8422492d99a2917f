"""Events as rows of DXLink columns, in dxFeed's own order and spelling (dxFeed event javadoc; dxLink asyncapi 1.0.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from tastytrade_provider.dxlink.rows import EMPTY_CHAR, time_of
from tastytrade_provider.emulator.instruments import described, price_limits
from tastytrade_provider.emulator.source import Print, QuoteChange
from tastytrade_provider.emulator.truth import SIDES

if TYPE_CHECKING:
    from tastytrade_provider.emulator.book import Book, Day

Row = tuple[object, ...]
"""The values of `COLUMNS[event_type]`, in order."""

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "TimeAndSale": (
        "eventSymbol", "eventType", "eventTime", "eventFlags", "index", "time", "timeNanoPart", "sequence", "exchangeCode", "price", "size",
        "bidPrice", "askPrice", "exchangeSaleConditions", "tradeThroughExempt", "aggressorSide", "spreadLeg", "extendedTradingHours",
        "validTick", "type", "buyer", "seller",
    ),
    "Quote": (
        "eventSymbol", "eventType", "eventTime", "sequence", "timeNanoPart", "bidTime", "bidExchangeCode", "bidPrice", "bidSize",
        "askTime", "askExchangeCode", "askPrice", "askSize",
    ),
    "Trade": (
        "eventSymbol", "eventType", "eventTime", "time", "timeNanoPart", "sequence", "exchangeCode", "price", "change", "size", "dayId",
        "dayVolume", "dayTurnover", "tickDirection", "extendedTradingHours",
    ),
    "Summary": (
        "eventSymbol", "eventType", "eventTime", "dayId", "dayOpenPrice", "dayHighPrice", "dayLowPrice", "dayClosePrice",
        "dayClosePriceType", "prevDayId", "prevDayClosePrice", "prevDayClosePriceType", "prevDayVolume", "openInterest",
    ),
    "Candle": (
        "eventSymbol", "eventType", "eventTime", "eventFlags", "index", "time", "sequence", "count", "open", "high", "low", "close",
        "volume", "vwap", "bidVolume", "askVolume", "impVolatility", "openInterest",
    ),
    "Profile": (
        "eventSymbol", "eventType", "eventTime", "description", "shortSaleRestriction", "tradingStatus", "statusReason", "haltStartTime",
        "haltEndTime", "highLimitPrice", "lowLimitPrice", "high52WeekPrice", "low52WeekPrice", "beta", "earningsPerShare", "dividendFrequency",
        "exDividendAmount", "exDividendDayId", "shares", "freeFloat",
    ),
}  # fmt: skip
"""Event types that are served, each with all its columns."""

FLAGS_AT: Final = 3
"""Where eventFlags stands in an indexed event's row."""

FUTURE_INDEX: Final = 2**63 - 1
"""Index of the row of the year 2038 that live candle snapshots begin with."""

_EXCHANGE = "G"  # Globex, as in the real rows of tastyware/tastytrade pull request 47
_NAN = math.nan


def time_and_sale(event: Print, flags: int = 0) -> Row:
    """A print as a TimeAndSale."""
    time_ms, sequence = time_of(event.index)
    return (
        event.contract.streamer_symbol, "TimeAndSale", 0, flags, event.index, time_ms, event.time_ns % 1_000_000, sequence, _EXCHANGE,
        event.price, event.size, event.bid, event.ask, None, EMPTY_CHAR, SIDES[event.side], event.spread_leg, False,
        event.valid_tick, event.action.name, None, None,
    )  # fmt: skip


def no_time_and_sale(symbol: str, index: int, flags: int) -> Row:
    """The marker that stands where a snapshot of TimeAndSale has no event."""
    time_ms, sequence = time_of(index)
    return (
        symbol, "TimeAndSale", 0, flags, index, time_ms, 0, sequence, EMPTY_CHAR,
        _NAN, _NAN, _NAN, _NAN, None, EMPTY_CHAR, "UNDEFINED", False, False, False, "NEW", None, None,
    )  # fmt: skip


def quote(event: QuoteChange) -> Row:
    """A quote change as a Quote."""
    time_ms = event.at_ns // 1_000_000
    return (
        event.contract.streamer_symbol, "Quote", 0, 0, event.at_ns % 1_000_000, time_ms, _EXCHANGE, event.bid, event.bid_size,
        time_ms, _EXCHANGE, event.ask, event.ask_size,
    )  # fmt: skip


def trade(event: Print, day: Day, previous: Day | None) -> Row:
    """The last print of the day so far as a Trade."""
    time_ms, sequence = time_of(event.index)
    change = _NAN if previous is None else round(event.price - previous.close, 9)
    return (
        event.contract.streamer_symbol, "Trade", 0, time_ms, event.time_ns % 1_000_000, sequence, _EXCHANGE, event.price, change,
        event.size, day.day_id, round(day.volume, 9), round(day.turnover, 6), day.direction, False,
    )  # fmt: skip


def summary(book: Book, day: Day, previous: Day | None) -> Row:
    """The day so far as a Summary."""
    before = (0, _NAN, "REGULAR", _NAN) if previous is None else (previous.day_id, previous.close, "FINAL", round(previous.volume, 9))
    open_interest = 0 if book.before is None else book.before.open_interest  # counted once a day; 0 also means not known (dxFeed has no NaN here)
    return (
        book.contract.streamer_symbol, "Summary", 0, day.day_id, day.open, day.high, day.low, _NAN, "REGULAR", *before, open_interest
    )  # fmt: skip


def profile(book: Book) -> Row:
    """What the contract is, that it trades, and between which prices, as a Profile. The short sale and company figures are none of a future's."""
    high, low = price_limits(book.contract, book.previous_close)
    return (
        book.contract.streamer_symbol, "Profile", 0, described(book.contract), "UNDEFINED", "ACTIVE", None, 0, 0, high, low, *[_NAN] * 6, 0, _NAN, _NAN
    )  # fmt: skip


def candle(symbol: str, index: int, flags: int, bar: list[float] | None) -> Row:
    """A bar (count, open, high, low, close, volume, turnover, bought, sold) as a Candle; None: a marker or a removal."""
    time_ms, sequence = time_of(index)
    if bar is None:
        values: Row = (0, *[_NAN] * 8)
    else:
        count, opened, high, low, close, volume, turnover, bought, sold = bar
        vwap = turnover / volume if volume else _NAN
        # askVolume is what was bought: it traded at the ask
        values = (int(count), opened, high, low, close, round(volume, 9), vwap, round(sold, 9), round(bought, 9))
    return (symbol, "Candle", 0, flags, index, time_ms, sequence, *values, _NAN, 0)
