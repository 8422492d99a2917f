"""Answers about the past, read from a `View`. Reads no clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from tastytrade_provider.emulator.source import QuoteChange
from tastytrade_provider.emulator.tws.bars import SECOND_NS, Bar, Grid, Maker, size_named, start_of
from tastytrade_provider.emulator.tws.hours import hours_at, hours_between, moment, zone_of
from tastytrade_provider.emulator.tws.listing import Listed
from tastytrade_provider.emulator.tws.refusal import NO_DATA, Refused
from tastytrade_provider.emulator.tws.view import View
from tastytrade_provider.sessions import DAY_NS

_BACK_NS: Final = 40 * DAY_NS  # the longest bar and some


def _bid(quote: QuoteChange) -> float:
    return quote.bid


def _ask(quote: QuoteChange) -> float:
    return quote.ask


def middle(quote: QuoteChange) -> float:
    """Midpoint; NaN where a side is missing."""
    return (quote.bid + quote.ask) / 2


QUOTED: Final[dict[str, Callable[[QuoteChange], float]]] = {"BID": _bid, "ASK": _ask, "MIDPOINT": middle}
"""What a whatToShow of quotes looks at."""
_SHOWN: Final = ("TRADES", *QUOTED)


@dataclass(frozen=True)
class BarQuery:
    """reqHistoricalData, its times read: [start, end) in UTC nanoseconds."""

    listed: Listed
    bar_size: str
    duration: str
    end_ns: int
    use_rth: bool
    what: str
    date_format: int

    def __post_init__(self) -> None:
        size_named(self.bar_size)
        if self.date_format not in (1, 2):
            raise Refused(321, f"Historical data format date {self.date_format} is invalid; expected 1 or 2")

    @property
    def start_ns(self) -> int:
        """Where the duration begins."""
        return start_of(self.duration, self.end_ns, self.listed.contract.calendar, self.use_rth)

    @property
    def grid(self) -> Grid:
        """The grid of its bars."""
        return Grid(size_named(self.bar_size), self.listed.contract.calendar, self.use_rth)


def check_what(what: str) -> None:
    """Raises Refused 321 where a whatToShow is not served."""
    if what not in _SHOWN:
        raise Refused(321, f"Historical data what to show {what!r} is not available here; there are {', '.join(_SHOWN)}")


def bars(view: View, query: BarQuery) -> tuple[list[Bar], Maker]:
    """The bars of a query, the last one as it stands, and their maker to go on with. Raises Refused 162 where there are none."""
    check_what(query.what)
    maker, start_ns = Maker(query.grid), query.start_ns
    is_intraday = maker.grid.size.unit == "s"
    from_ns = start_ns - (maker.grid.size.ns if is_intraday else _BACK_NS)
    lowest_ns = start_ns if is_intraday else maker.grid.start(start_ns) or start_ns - start_ns % DAY_NS
    found: list[Bar | None] = []
    if query.what == "TRADES":
        found += [maker.trade(event.time_ns, event.price, event.size) for event in view.bar_prints_from(from_ns, query.end_ns)]
    else:
        look = QUOTED[query.what]
        found += [maker.value(quote.at_ns, look(quote)) for quote in view.quotes_from(from_ns, query.end_ns)]
    made = [bar for bar in (*found, maker.bar) if bar is not None and bar.start_ns >= lowest_ns]
    if not made:
        what = query.what.capitalize()
        raise Refused(162, NO_DATA.format(query.listed.local_symbol, query.listed.exchange, what))
    return made, maker


def resumed(view: View, query: BarQuery) -> Maker:
    """A maker with the bar that is forming at the query's end, if there is one."""
    try:
        maker = bars(view, query)[1]
    except Refused:
        return Maker(query.grid)
    if maker.bar is not None and maker.bar.start_ns + maker.grid.size.ns < query.end_ns:
        maker.bar = None
    return maker


def bar_fields(bar: Bar, query: BarQuery, zone: str) -> tuple[object, ...]:
    """A bar of historicalData."""
    date = query.grid.date(bar.start_ns, query.date_format, zone)
    return date, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.count


def ticks(view: View, what: str, start_ns: int | None, end_ns: int | None, number: int) -> tuple[int, list[tuple[object, ...]]]:
    """The id of the answer to reqHistoricalTicks, and its ticks, oldest first.

    From a start as many as wanted and the rest of the last one's second; to an end the last ones before it. Times are whole seconds.
    """
    if (start_ns is None) == (end_ns is None):
        raise Refused(321, "Historical ticks query: either a start or an end time is expected")
    if not 1 <= number <= 1000:
        raise Refused(321, f"Historical ticks query: number of ticks {number}, expected 1 to 1000")
    low, high = 0 if start_ns is None else start_ns, 2**63 - 1 if end_ns is None else end_ns
    if what == "TRADES":
        message_id, rows = 98, _trades(view, low, high, None if start_ns is not None else number)
    elif what in ("BID_ASK", "MIDPOINT"):
        quotes = [quote for quote in view.quotes_from(low, high) if quote.at_ns >= low]
        rows = _quotes(quotes) if what == "BID_ASK" else _middles(quotes)
        message_id = 97 if what == "BID_ASK" else 96
    else:
        raise Refused(321, f"Historical ticks query: what to show {what!r}, expected TRADES, BID_ASK or MIDPOINT")
    if start_ns is None:
        return message_id, rows[-number:]
    last_s = rows[min(number, len(rows)) - 1][0] if rows else 0
    return message_id, [row for i, row in enumerate(rows) if i < number or row[0] == last_s]


def _trades(view: View, low: int, high: int, newest: int | None) -> list[tuple[object, ...]]:
    found = list(islice(view.ticks_from(low, high), newest))[::-1]
    exchange = view.contract.exchange
    return [(tick.time_ns // SECOND_NS, tick_mask(tick.valid_tick, tick.spread_leg), tick.price, tick.size, exchange, "") for tick in found]


def _quotes(quotes: Sequence[QuoteChange]) -> list[tuple[object, ...]]:
    return [(quote.at_ns // SECOND_NS, 0, *quoted(quote.bid, quote.ask, quote.bid_size, quote.ask_size)) for quote in quotes]


def _middles(quotes: Sequence[QuoteChange]) -> list[tuple[object, ...]]:
    return [(quote.at_ns // SECOND_NS, 0, middle(quote), 0) for quote in quotes if not math.isnan(middle(quote))]


def tick_mask(valid: bool, spread_leg: bool) -> int:
    """The attributes of a trade: 2 is `unreported`."""
    return 0 if valid and not spread_leg else 2


def quoted(bid: float, ask: float, bid_size: float, ask_size: float) -> tuple[float, float, float, float]:
    """Bid, ask and their sizes; a side that is missing is -1 with size 0."""
    no_bid, no_ask = math.isnan(bid), math.isnan(ask)
    return -1.0 if no_bid else bid, -1.0 if no_ask else ask, 0.0 if no_bid else _size(bid_size), 0.0 if no_ask else _size(ask_size)


def _size(size: float) -> float:
    return 0.0 if math.isnan(size) else size


def head(view: View, listed: Listed, what: str, use_rth: bool, date_format: int) -> str:
    """The time of the first data there are. Raises Refused 162 where there are none."""
    check_what(what)
    grid = Grid(size_named("1 secs"), listed.contract.calendar, use_rth)
    times = (event.time_ns for event in view.book.prints.values()) if what == "TRADES" else (quote.at_ns for quote in view.quotes)
    first = next((time_ns for time_ns in times if grid.start(time_ns) is not None), None)
    if first is None:
        raise Refused(162, NO_DATA.format(listed.local_symbol, listed.exchange, what.capitalize()))
    return str(first // SECOND_NS) if date_format == 2 else f"{moment(first):%Y%m%d-%H:%M:%S}"


def schedule(query: BarQuery) -> tuple[object, ...]:
    """The fields of historicalSchedule: the sessions that a query covers, in the contract's zone."""
    calendar = query.listed.contract.calendar
    name = zone_of(calendar)
    zone = ZoneInfo(name)
    sessions = [hours for hours in hours_between(calendar, query.start_ns, query.end_ns - 1) if hours.window(query.use_rth)[0] >= 0]
    sessions = sessions or [hours_at(calendar, query.end_ns - 1)]
    rows = [(*(f"{moment(time_ns, zone):%Y%m%d-%H:%M:%S}" for time_ns in hours.window(query.use_rth)), f"{hours.label:%Y%m%d}") for hours in sessions]
    return rows[0][0], rows[-1][1], name, len(rows), *(text for row in rows for text in row)
