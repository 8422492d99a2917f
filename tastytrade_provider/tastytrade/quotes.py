"""dxFeed's words to ours: rows of Quote, Trade, Summary and Profile become quotes and the day's figures. Vendor words stop here.

One row of each as on the wire (COMPACT, in the order of the field lists below; made up, in the notation of real rows):

    Quote    "/ESZ26:XCME",1795444200000,6000.0,41.0,1795444200000,6000.25,37.0
    Trade    "/ESZ26:XCME",1795444200152,0,6000.25,12.5,1.0,20780,1204.0,361215050.0,"ZERO_UP",false
    Summary  "/ESZ26:XCME",5990.0,6004.5,5981.25,"NaN",5987.75,2104512
    Profile  "/ESZ26:XCME","E-Mini S&P 500 Futures","ACTIVE",6412.75,5578.25

All four are conflated: the server keeps the latest of each symbol and may skip those in between. They are state, never a record of trades.
Definitions: javadoc of dxFeed's com.dxfeed.event.market, QD 3.352.

bidTime, askTime   milliseconds of the last change of that side, sent in whole seconds unless the server is set otherwise; 0 where unknown.
                   A quote's time is the later of them. Order quotes by arrival: within a second these times cannot.
bidPrice, askPrice "NaN" where that side of the book is empty; whatever size comes with it then means nothing.
dayVolume, dayTurnover  official figures of the whole trading day, reset to 0 and NaN on a schedule outside trading hours.
change             last price minus the previous day's close.
openInterest       a whole number, for which dxFeed has no NaN: 0 also means not sent, and is None here.
tickDirection, tradingStatus  UP DOWN ZERO ZERO_UP ZERO_DOWN; ACTIVE HALTED. UNDEFINED is None here.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ..dxlink.messages import FeedData, shown
from ..dxlink.rows import EMPTY_CHAR, Row, decode
from ..errors import ProtocolViolation
from ..model import OFF_STEP_TOLERANCE, Contract, Quote, Summary
from ..sessions import FIRST_YEAR, LAST_YEAR

QUOTE, TRADE, SUMMARY, PROFILE = "Quote", "Trade", "Summary", "Profile"
QUOTE_FIELDS = ("eventSymbol", "bidTime", "bidPrice", "bidSize", "askTime", "askPrice", "askSize")
TRADE_FIELDS = (
    "eventSymbol", "time", "timeNanoPart", "price", "change", "size", "dayId", "dayVolume", "dayTurnover", "tickDirection",
    "extendedTradingHours",
)  # fmt: skip
SUMMARY_FIELDS = ("eventSymbol", "dayOpenPrice", "dayHighPrice", "dayLowPrice", "dayClosePrice", "prevDayClosePrice", "openInterest")
PROFILE_FIELDS = ("eventSymbol", "description", "tradingStatus", "highLimitPrice", "lowLimitPrice")
FIELDS: Mapping[str, tuple[str, ...]] = {QUOTE: QUOTE_FIELDS, TRADE: TRADE_FIELDS, SUMMARY: SUMMARY_FIELDS, PROFILE: PROFILE_FIELDS}
"""The columns to ask for by event type; the server announces which it sends, and in which order."""

_FIRST_MS, _LAST_MS = (int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()) * 1000 for year in (FIRST_YEAR, LAST_YEAR + 1))
_NO_TEXT = (None, "", EMPTY_CHAR, "NaN", "UNDEFINED")


@dataclass(frozen=True, slots=True)
class LastTrade:
    """The last trade of a day and the day's totals so far: dxFeed's Trade. Prices in price units, sizes in contracts; None where not sent.

    Between two of these any number of trades may have been conflated away; only `day_volume` counts them all.
    day_id        the feed's own number of the trading day       day_turnover  as sent: see `priced` for its unit
    """

    contract: Contract
    time_ns: int
    received_ns: int
    price: float | None
    size: float | None
    change: float | None
    day_id: int | None
    day_volume: float | None
    day_turnover: float | None
    tick_direction: str | None
    extended_hours: bool


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The day's prices and the open interest: dxFeed's Summary. It carries no time, so `time_ns` is when it was received."""

    contract: Contract
    time_ns: int
    received_ns: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    previous_close: float | None
    open_interest: float | None


@dataclass(frozen=True, slots=True)
class ContractProfile:
    """Description, trading status and price limits: dxFeed's Profile. It carries no time, so `time_ns` is when it was received."""

    contract: Contract
    time_ns: int
    received_ns: int
    description: str | None
    status: str | None
    high_limit: float | None
    low_limit: float | None


Value = Quote | LastTrade | DayFigures | ContractProfile


class MarketDecoder:
    """Rows of Quote, Trade, Summary and Profile to values. A row that cannot be read is counted and kept, never skipped.

    Numbers may come as text. null, "NaN" and the infinities are None; anything else that is no number rejects its row.

    rejected  rows that could not be read      rejects  the latest of them, raw, with the reason
    """

    def __init__(self) -> None:
        self.rejected = 0
        self.rejects: deque[str] = deque(maxlen=20)
        self._contracts: dict[str, Contract] = {}

    def watch(self, contract: Contract) -> None:
        """Accept rows of this contract's streamer symbol from now on."""
        self._contracts[contract.streamer_symbol] = contract

    def decode(self, raws: Sequence[bytes], received_ns: Sequence[int], fields_of: Callable[[str], Sequence[str]]) -> list[Value]:
        """The values of several messages, in order of arrival. `fields_of` gives the announced columns of an event type."""
        values: list[Value] = []
        for raw, received in zip(raws, received_ns, strict=True):
            try:
                events = decode(FeedData(0, raw), fields_of)
            except (ProtocolViolation, RecursionError) as violation:
                self._reject(raw, str(violation))
                continue
            for event_type, rows in events:
                values += self.read(event_type, rows, received)
        return values

    def read(self, event_type: str, rows: Iterable[Row], received_ns: int) -> list[Value]:
        """The values of rows as `dxlink.rows.decode` gives them, all of one event type.

        >>> decoder = MarketDecoder()
        >>> decoder.watch(Contract("ES", "/ESZ6", "/ESZ26:XCME", tick_size=0.25))
        >>> row = {"eventSymbol": "/ESZ26:XCME", "bidPrice": "NaN", "bidSize": 0.0, "askPrice": 6000.25, "askSize": 37.0}
        >>> (quote,) = decoder.read("Quote", [row], 7)
        >>> quote.bid, quote.ask, quote.bid_size, quote.ask_size, quote.time_ns
        (None, 6000.25, None, 37.0, 7)
        """
        values = []
        for row in rows:
            try:
                values.append(self._value(event_type, row, received_ns))
            except (ValueError, RecursionError) as error:
                self._reject(row, str(error))
        return values

    def _value(self, event_type: str, row: Row, received_ns: int) -> Value:
        if event_type not in _READERS:
            raise ValueError(f"event {event_type!r} is none of {', '.join(_READERS)}")
        symbol = row.get("eventSymbol")
        if not isinstance(symbol, str) or symbol not in self._contracts:
            raise ValueError(f"symbol {shown(symbol)} is not subscribed")
        return _READERS[event_type](self._contracts[symbol], row, received_ns)

    def _reject(self, row: Row | bytes, reason: str) -> None:
        self.rejected += 1
        raw = row if isinstance(row, bytes) else _as_json(row)
        self.rejects.append(f"{reason}: {raw[:400].decode('utf-8', 'replace')}")


class SummaryState:
    """One contract's Trade, Summary and Profile merged: a new `model.Summary` whenever one of its figures changes.

    Each event is the whole of its kind, so what it no longer carries is None again: yesterday's high does not survive the daily reset.

    summary  the latest, None before the first event       last  the last trade, which has the last price and the turnover as sent
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.summary: Summary | None = None
        self.last: LastTrade | None = None
        self._figures: dict[str, Any] = {}

    def add(self, value: LastTrade | DayFigures | ContractProfile) -> Summary | None:
        """The Summary that this event makes, or None where no figure changed by it."""
        if isinstance(value, LastTrade):
            self.last = value
            part: dict[str, Any] = {"volume": value.day_volume, "change": value.change, "tick_direction": value.tick_direction}
        elif isinstance(value, DayFigures):
            part = {"day_open": value.open, "day_high": value.high, "day_low": value.low, "day_close": value.close}
            part |= {"previous_close": value.previous_close, "open_interest": value.open_interest}
        else:
            part = {"description": value.description, "status": value.status, "high_limit": value.high_limit, "low_limit": value.low_limit}
        figures = self._figures | part
        turnover = self.last.day_turnover if self.last else None
        figures["vwap"], figures["turnover"] = priced(self.contract, turnover, figures.get("volume"), figures.get("day_low"), figures.get("day_high"))
        if self.summary is not None and figures == self._figures:
            return None
        self._figures = figures
        time_ns = max(value.time_ns, self.summary.time_ns if self.summary else 0)
        self.summary = Summary(self.contract, time_ns, value.received_ns, **figures)
        return self.summary


def priced(contract: Contract, turnover: float | None, volume: float | None, low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """VWAP in price units and turnover in currency, from dayTurnover as sent; (None, None) where its unit cannot be told.

    dxFeed's javadoc of Trade gives the day's VWAP as dayTurnover / dayVolume, which makes turnover price times contracts; it also calls it
    the exchange's official figure, which for futures may hold the multiplier as well. A VWAP lies between the day's low and high: whichever
    of the two readings does, and alone does, is taken. Without low and high, or where neither or both would do, there is no answer.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25, multiplier=50)
    >>> priced(es, 900_000.0, 3.0, 5990.0, 6010.0), priced(es, 18_000.0, 3.0, 5990.0, 6010.0), priced(es, 7.0, 3.0, 5990.0, 6010.0)
    ((6000.0, 900000.0), (6000.0, 900000.0), (None, None))
    """
    if turnover is None or volume is None or volume <= 0 or low is None or high is None:
        return None, None
    near = OFF_STEP_TOLERANCE * contract.tick_size  # sums of floats, when all trades were at the low or the high
    fits = [factor for factor in {1.0, contract.multiplier} if low - near <= turnover / volume / factor <= high + near]
    if len(fits) != 1:
        return None, None
    return turnover / volume / fits[0], turnover * contract.multiplier / fits[0]


def _quote(contract: Contract, row: Row, received_ns: int) -> Quote:
    bid, bid_size = _side(row, "bid")
    ask, ask_size = _side(row, "ask")
    time_ns = max(_time_ns(row, "bidTime"), _time_ns(row, "askTime"))
    return Quote(contract, time_ns or received_ns, received_ns, bid, ask, bid_size, ask_size)


def _side(row: Row, side: str) -> tuple[float | None, float | None]:
    price, size = _number(row, f"{side}Price"), _number(row, f"{side}Size")
    return price, None if price is None else size


def _last_trade(contract: Contract, row: Row, received_ns: int) -> LastTrade:
    time_ns, nanos = _time_ns(row, "time"), _number(row, "timeNanoPart") or 0.0
    day_id, extended = _number(row, "dayId"), row.get("extendedTradingHours")
    if not 0 <= nanos < 1_000_000:
        raise ValueError(f"timeNanoPart {shown(row['timeNanoPart'])} is not from 0 to 999999")
    return LastTrade(
        contract, time_ns + int(nanos) if time_ns else received_ns, received_ns,
        price=_number(row, "price"), size=_number(row, "size"), change=_number(row, "change"),
        day_id=None if day_id is None else int(day_id),
        day_volume=_number(row, "dayVolume"), day_turnover=_number(row, "dayTurnover"),
        tick_direction=_text(row, "tickDirection"), extended_hours=extended in (True, "true"),
    )  # fmt: skip


def _day_figures(contract: Contract, row: Row, received_ns: int) -> DayFigures:
    opened, high, low, close, before, interest = (_number(row, name) for name in SUMMARY_FIELDS[1:])
    return DayFigures(contract, received_ns, received_ns, opened, high, low, close, before, interest or None)


def _profile(contract: Contract, row: Row, received_ns: int) -> ContractProfile:
    description, status = (_text(row, name) for name in PROFILE_FIELDS[1:3])
    return ContractProfile(contract, received_ns, received_ns, description, status, *(_number(row, name) for name in PROFILE_FIELDS[3:]))


_READERS: Mapping[str, Callable[[Contract, Row, int], Value]] = {
    QUOTE: _quote,
    TRADE: _last_trade,
    SUMMARY: _day_figures,
    PROFILE: _profile,
}


def _number(row: Row, name: str) -> float | None:
    """A number that may come as text; None where it is not there or not finite. ValueError for anything else."""
    value = row.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str) or "_" in str(value):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} {shown(value)} is no number") from None
    return number if math.isfinite(number) else None


def _text(row: Row, name: str) -> str | None:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} {shown(value)} is no text")
    return None if value in _NO_TEXT else value


def _time_ns(row: Row, name: str) -> int:
    """Milliseconds as nanoseconds; 0 where not sent."""
    ms = _number(row, name) or 0.0
    if ms and not _FIRST_MS <= ms < _LAST_MS:
        raise ValueError(f"{name} {shown(row[name])} is no time in milliseconds of the years {FIRST_YEAR} to {LAST_YEAR}")
    return int(ms) * 1_000_000


def _as_json(row: Row) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:  # nested deeper than can be written
        return str({name: type(value).__name__ if isinstance(value, list | dict) else value for name, value in row.items()}).encode()
