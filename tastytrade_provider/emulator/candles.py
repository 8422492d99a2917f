"""Candle symbols as the server writes them, and bars added up print by print."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tastytrade_provider.dxlink.rows import index_of
from tastytrade_provider.emulator.columns import Row, candle
from tastytrade_provider.emulator.source import Print
from tastytrade_provider.model import Action, AggressorSide, Contract
from tastytrade_provider.sessions import DAY_NS, Session, session_at

_SYMBOL = re.compile(r"(?P<base>[^{}]+)\{(?P<attributes>[^{}]*)\}")
_PERIOD = re.compile(r"(?P<n>\d*)(?P<unit>mo|pr|[tsmhdwoyvp]|pm)")
_DEFAULTS = {"a": "m", "price": "last", "tho": "false"}
_WORDS = {"a": {"midnight": "m", "session": "s"}, "price": {"settlement": "s"}}
_LENGTH_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


@dataclass(frozen=True)
class CandleSymbol:
    """A candle symbol in the server's spelling. `is_served`: bars of last prices by s m h d w mo; others have no data here.

    >>> parse("/ESZ26:XCME{=1m,tho=true,a=midnight}").text
    '/ESZ26:XCME{=m,tho=true}'
    """

    base: str
    text: str
    n: int
    unit: str
    from_session: bool
    is_served: bool


def parse(symbol: str) -> CandleSymbol | None:
    """Normalise: defaults out, keys sorted, the 1 of `1m` dropped (dxFeed CandleSymbol). None where there is no `{...}` at the end."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        return None
    attributes: dict[str, str] = {}
    for part in match["attributes"].split(","):
        key, _, value = (text.strip() for text in part.partition("="))
        attributes[key] = _WORDS.get(key, {}).get(value.lower(), value)
    attributes = {key: value for key, value in sorted(attributes.items()) if _DEFAULTS.get(key) != value and value}
    period = _PERIOD.fullmatch(attributes.get("", "t"))
    n, unit = (int(period["n"] or 1), period["unit"]) if period else (0, "")
    if period and "" in attributes:
        attributes[""] = f"{n if n != 1 else ''}{unit}"
    text = f"{match['base']}{{{','.join(f'{key}={value}' for key, value in attributes.items())}}}"
    is_served = n > 0 and unit in ("s", "m", "h", "d", "w", "mo") and attributes.get("price") is None and "pl" not in attributes
    return CandleSymbol(match["base"], text, n, unit, attributes.get("a") == "s", is_served)


class CandleSeries:
    """The bars of one candle symbol. Valid ticks only; UNDEFINED prints count in the volume and on neither side.

    Bars of s, m, h begin on multiples of their length since UTC midnight, or since the session's open with `a=s`; bars of d, w, mo are those
    of session labels, stamped with UTC midnight of the first day. `tho` changes nothing: Globex has one session a day.
    """

    def __init__(self, symbol: CandleSymbol, contract: Contract, prints: Iterable[Print]) -> None:
        self.symbol = symbol
        self.bars: dict[int, list[float]] = {}
        self._calendar = contract.calendar
        self._session: Session | None = None
        for event in prints:
            self._add(event)

    def update(self, event: Print, newest_first: Iterable[Print]) -> int:
        """Take a print that the book has taken already; return the index of the bar it changed. A repair adds the bar up anew."""
        start_ns = self._start(event.time_ns)
        if event.action is Action.NEW:
            self._add(event)
        else:
            self.bars.pop(start_ns, None)
            of_bar = [known for known in _while_not_before(newest_first, start_ns) if self._start(known.time_ns) == start_ns]
            for known in reversed(of_bar):
                self._add(known)
        return index_of(start_ns // 1_000_000)

    def row(self, index: int, flags: int = 0) -> Row:
        """The bar of an index as it stands; a removal where corrections left nothing of it."""
        bar = self.bars.get((index >> 32) * 10**9)
        return candle(self.symbol.text, index, flags if bar is not None else flags | 2, bar)

    def indexes(self) -> list[int]:
        """The bars' indexes, ascending."""
        return [index_of(start_ns // 1_000_000) for start_ns in sorted(self.bars)]

    def _add(self, event: Print) -> None:
        if not event.valid_tick:
            return
        price, size = event.price, event.size
        bar = self.bars.get(start_ns := self._start(event.time_ns))
        if bar is None:
            bar = self.bars[start_ns] = [0.0, price, price, price, price, 0.0, 0.0, 0.0, 0.0]
        bar[0] += 1
        bar[2], bar[3], bar[4] = max(bar[2], price), min(bar[3], price), price
        bar[5] += size
        bar[6] += size * price
        bar[7] += size if event.side is AggressorSide.BUY else 0.0
        bar[8] += size if event.side is AggressorSide.SELL else 0.0

    def _start(self, time_ns: int) -> int:
        n, unit = self.symbol.n, self.symbol.unit
        if unit in _LENGTH_NS:
            origin = self._session_of(time_ns).open_ns if self.symbol.from_session else time_ns - time_ns % DAY_NS
            return time_ns - (time_ns - origin) % (n * _LENGTH_NS[unit])
        label = self._session_of(time_ns).label
        days = (label - dt.date(1970, 1, 1)).days
        if unit == "d":
            days -= days % n
        elif unit == "w":
            days -= (days + 3) % (7 * n)  # 1970-01-01 was a Thursday
        else:
            month = label.year * 12 + label.month - 1
            month -= month % n
            days = (dt.date(month // 12, month % 12 + 1, 1) - dt.date(1970, 1, 1)).days
        return days * DAY_NS

    def _session_of(self, time_ns: int) -> Session:
        session = self._session
        if session is None or not session.open_ns <= time_ns < session.close_ns:
            session = self._session = session_at(self._calendar, time_ns)
        return session


def _while_not_before(newest_first: Iterable[Print], start_ns: int) -> Iterator[Print]:
    """Prints back to the start of a bar; labels of days begin before their midnight, hence a week of slack."""
    for event in newest_first:
        if event.time_ns < start_ns - 7 * DAY_NS:
            return
        yield event
