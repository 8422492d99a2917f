"""What TWS sends, as values: bars, trades of the past, quotes, the day's figures. Pure.

historical bar  date "1773066600" (formatDate 2: epoch seconds, the bar's start) or "20260309" (bars of a day and more: the day on which the session
                closes); open, high, low, close, volume in contracts, wap, count; -1 where it does not know
tick-by-tick    epoch seconds: the exchange's time to the second, no finer. AllLast: price, size, mask (1 past limit, 2 unreported), exchange,
                conditions; no aggressor. BidAsk: bid, ask, their sizes; 0 or -1 and a size of 0 where that side is empty
unreported      a print that `Last` leaves out: combinations, derivatives, average prices
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from ..aggressor import classify
from ..errors import ProtocolViolation
from ..model import Array, Contract, Int64, Quote, Summary, TradeBatch, TradeFlag
from ..sessions import DAY_NS, sessions_between

SECOND_NS: Final = 1_000_000_000


class BarLike(Protocol):
    """A bar as the decoder makes it."""

    date: Any
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    barCount: int


class TradeTick(Protocol):
    """A print of the past as the decoder makes it."""

    time: datetime
    price: float
    size: float
    tickAttribLast: Any


class QuoteTick(Protocol):
    """A quote of the past as the decoder makes it."""

    time: datetime
    priceBid: float
    priceAsk: float
    sizeBid: float
    sizeAsk: float


class Row(NamedTuple):
    """One of IB's bars. start_ns: UTC nanoseconds, a day's bar at its session's open; vwap and trades NaN where IB does not know."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    trades: float


def row_of(contract: Contract, bar: BarLike) -> Row | None:
    """A bar as a row; None where nothing traded in it. ProtocolViolation where it cannot be read.

    >>> from ib_async.objects import BarData
    >>> row_of(Contract("ES", "/ESZ6"), BarData("1773066600", 6000.0, 6001.0, 5999.0, 6000.5, 12.0, 6000.2, 7)).start_ns
    1773066600000000000
    """
    return _row(contract, bar.date, (bar.open, bar.high, bar.low, bar.close), bar.volume, bar.average, bar.barCount)


def row_of_seconds(contract: Contract, epoch_s: int, prices: tuple[float, float, float, float], volume: float, vwap: float, trades: int) -> Row | None:
    """A five-second bar as a row; None where nothing traded in it."""
    return _row(contract, str(epoch_s), prices, volume, vwap, trades)


def _row(contract: Contract, when: Any, prices: tuple[float, float, float, float], volume: float, vwap: float, trades: int) -> Row | None:
    if volume == 0 or (trades <= 0 and volume < 0):  # -1: live bars begin so, where nothing has traded yet
        return None
    if not all(map(math.isfinite, prices)) or not math.isfinite(volume) or volume < 0:
        raise ProtocolViolation(f"a bar of {contract.symbol} at {when!r} cannot be read: prices {prices}, volume {volume}")
    known = trades > 0
    return Row(bar_start_ns(contract, when), *prices, volume, vwap if vwap > 0 or prices[2] < 0 else math.nan, trades if known else math.nan)


def bar_start_ns(contract: Contract, when: Any) -> int:
    """Where a bar starts: epoch seconds as they are, a day's date is the open of the session with that label, or the next one that has a session.

    A time without a zone is refused: it would be the time of wherever TWS runs.
    """
    text = when.strftime("%Y%m%d") if isinstance(when, date) and not isinstance(when, datetime) else str(when)
    if len(text) == 8 and text.isdigit():
        day = (date(int(text[:4]), int(text[4:6]), int(text[6:8])) - date(1970, 1, 1)).days
        table = sessions_between(contract.calendar, day * DAY_NS, (day + 1) * DAY_NS)
        return int(table.open_ns[np.searchsorted(table.label, day)])
    if text.isdigit():
        return int(text) * SECOND_NS
    raise ProtocolViolation(f"the time {text!r} of a bar is neither epoch seconds nor a date")


def trades_of(contract: Contract, trades: Sequence[TradeTick], quotes: Sequence[QuoteTick]) -> tuple[TradeBatch, dict[str, int]]:
    """Prints of the past as a batch, oldest first, with sides, and how many were left out and why.

    Times are whole seconds, so which quotes of a print's own second came before it is not told: `quotes_met` says which one it is compared with.
    """
    left_out = {"no_volume": sum(tick.size <= 0 for tick in trades)}
    left_out["unreported"] = sum(tick.size > 0 and tick.tickAttribLast.unreported for tick in trades)
    kept = [tick for tick in trades if tick.size > 0 and not tick.tickAttribLast.unreported]
    time_s = np.array([int(tick.time.timestamp()) for tick in kept], np.int64)
    quote_s = np.array([int(tick.time.timestamp()) for tick in quotes], np.int64)
    bids = np.array([_price(tick.priceBid, tick.sizeBid) for tick in quotes] + [math.nan])
    asks = np.array([_price(tick.priceAsk, tick.sizeAsk) for tick in quotes] + [math.nan])
    price = np.array([tick.price for tick in kept], np.float64)
    met = quotes_met(time_s, price, quote_s, bids[:-1], asks[:-1])
    batch = TradeBatch(
        contract,
        {
            "time_ns": time_s * SECOND_NS,
            "price": price,
            "size": np.array([tick.size for tick in kept], np.float64),
            "bid": bids[met],  # -1, before the first quote, is the NaN at the end
            "ask": asks[met],
            "flags": np.full(len(kept), TradeFlag.VALID_TICK | TradeFlag.BACKFILL, np.uint16),
        },
    )
    return classify(batch, "apart"), left_out


def quotes_met(time_s: Int64, price: Array, quote_s: Int64, bid: Array, ask: Array) -> Int64:
    """Which quote each print met, -1 for none, where all that is known is the second of both and the order within each.

    The first one at whose bid or ask it can have traded, among the last quote before its second and those of its second, but none before the quote that
    the print before it met; where there is none, that one. On a made-up market whose truth is known this finds 95 sides in 100 at 10 prints a second,
    where the last quote of an earlier second finds 91, and the quote of the exact instant 99 (10,000 prints).

    >>> quotes_met(np.array([5, 5]), np.array([10.0, 10.25]), np.array([4, 5, 5]), np.array([9.75, 10.0, 10.25]), np.array([10.0, 10.25, 10.5])).tolist()
    [0, 1]
    """
    first = (np.searchsorted(quote_s, time_s, side="left") - 1).tolist()
    last = (np.searchsorted(quote_s, time_s, side="right") - 1).tolist()
    bids, asks, met, at = bid.tolist(), ask.tolist(), [-1] * len(first), -1
    for i, paid in enumerate(price.tolist()):
        at = max(at, first[i])
        at = next((j for j in range(max(at, 0), last[i] + 1) if paid in (bids[j], asks[j])), at)
        met[i] = at
    return np.array(met, np.int64)


def quote_of(contract: Contract, epoch_s: int, received_ns: int, bid: float, ask: float, bid_size: float, ask_size: float) -> Quote:
    """A tick-by-tick quote; None on a side that is empty."""
    bid, ask = _price(bid, bid_size), _price(ask, ask_size)
    has_bid, has_ask = not math.isnan(bid), not math.isnan(ask)
    return Quote(
        contract,
        epoch_s * SECOND_NS,
        received_ns,
        bid if has_bid else None,
        ask if has_ask else None,
        bid_size if has_bid else None,
        ask_size if has_ask else None,
    )


def _price(price: float, size: float) -> float:
    return price if size > 0 and math.isfinite(price) else math.nan


_PRICES: Final = {4: "last", 6: "day_high", 7: "day_low", 9: "previous_close", 14: "day_open"}
_SIZES: Final = {8: "volume", 86: "open_interest"}
_LAST_TIME, _RT_VOLUME, _HALTED = 45, 48, 49


class DayFigures:
    """One contract's level 1 figures as they come, one by one: a Summary whenever one of them changes.

    IB's `close` is the close of the day before. `day_close` is not told before the day has ended, and never here. Turnover is not told at all.
    """

    GENERIC = "233,588"
    """Generic ticks to ask for: RTVolume, which has the VWAP, and the open interest of futures."""

    def __init__(self, contract: Contract, description: str | None = None) -> None:
        self._contract = contract
        self._figures: dict[str, Any] = {"description": description or None}
        self._last: float | None = None
        self._time_ns = 0

    def add(self, what: str, kind: int, value: Any, received_ns: int) -> Summary | None:
        """A tick: `what` is price, size, text or number, `kind` IB's number for it. Kinds that are no figure of the day are passed over."""
        if what == "price" and kind in _PRICES:
            return self._change(received_ns, **{_PRICES[kind]: value if math.isfinite(value) and value != -1 else None})
        if what == "size" and kind in _SIZES and value >= 0:
            return self._change(received_ns, **{_SIZES[kind]: value})
        if what == "number" and kind == _HALTED and value >= 0:
            return self._change(received_ns, status="HALTED" if value > 0 else "ACTIVE")
        if what == "text" and kind in (_LAST_TIME, _RT_VOLUME):
            return self._text(kind, value, received_ns)
        return None

    def _text(self, kind: int, value: str, received_ns: int) -> Summary | None:
        """The time of the last trade in seconds, or RTVolume: "price;size;ms since epoch;volume;VWAP;single"."""
        try:
            if kind == _LAST_TIME:
                self._time_ns = max(self._time_ns, int(value) * SECOND_NS)
                return None
            _, _, at_ms, volume, vwap, _ = value.split(";")
            self._time_ns = max(self._time_ns, int(at_ms or 0) * 1_000_000)
            return self._change(received_ns, **{name: float(sent) for name, sent in (("volume", volume), ("vwap", vwap)) if sent})
        except ValueError:
            raise ProtocolViolation(f"tick {kind} of {self._contract.symbol} cannot be read: {value!r}") from None

    def _change(self, received_ns: int, **figures: Any) -> Summary | None:
        before = dict(self._figures)
        self._last = figures.pop("last", self._last)
        self._figures |= figures
        previous = self._figures.get("previous_close")
        self._figures["change"] = self._last - previous if self._last is not None and previous is not None else None
        if self._figures == before:
            return None
        return Summary(self._contract, self._time_ns or received_ns, received_ns, **self._figures)
