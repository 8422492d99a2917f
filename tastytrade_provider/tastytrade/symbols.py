"""The ways users write a contract, and the one TastyTrade's answer turns into.

A future goes first: "ES" is the E-mini S&P 500, not the share of Eversource Energy. A leading slash says that only a future is meant, and the
market a share is listed on (its code ISO 10383, in the answer `listed-market`) that only the share is: "/ES", "ES:XNYS".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import NotSupported, UnknownContract, UsageError
from ..model import Contract
from ..sessions import calendar_for

if TYPE_CHECKING:
    from tastytrade.instruments import Cryptocurrency, Equity, Future, FutureProduct

ACCEPTED = "futures as ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME; shares, ETFs and indices as AAPL, SPY, SPX, ES:XNYS; cryptocurrencies as BTC/USD"
MONTHS = "FGHJKMNQUVXZ"
"""Codes of the months from January on."""
_DATED = re.compile(r"/?([A-Z0-9]{1,4}?)([FGHJKMNQUVXZ])([0-9]{1,2})(?::([A-Z]+))?")
_ROOT = re.compile(r"/?([A-Z0-9]{1,4})")


def symbol_text(symbol: object) -> str:
    """A symbol in capitals, without the space around it; UsageError for what is no text."""
    if not isinstance(symbol, str):
        raise UsageError(f"symbol {symbol!r} is a {type(symbol).__name__}, not text. Accepted forms: {ACCEPTED}")
    return symbol.strip().upper()


@dataclass(frozen=True, slots=True)
class FutureSymbol:
    """A future as the user named it: the product, and month and year where given.

    >>> FutureSymbol.parse("/ESZ26:XCME").dated, FutureSymbol.parse("6E").dated
    ('/ESZ6', None)
    """

    root: str
    month: str | None = None
    year: str | None = None
    exchange: str | None = None

    @classmethod
    def parse(cls, text: str) -> FutureSymbol | None:
        """Read a symbol; None where it has not the form of a future's."""
        text = symbol_text(text)
        if match := _DATED.fullmatch(text):
            return cls(match[1], match[2], match[3], match[4])
        if match := _ROOT.fullmatch(text):
            return cls(match[1])
        return None

    @property
    def dated(self) -> str | None:
        """TastyTrade's own form, with one digit for the year; None for a product without a month."""
        return f"/{self.root}{self.month}{self.year[-1]}" if self.month and self.year else None

    def fits(self, contract: Contract) -> bool:
        """Whether a contract is the one meant, also where the year was given with two digits, or the exchange with it."""
        name, _, exchange = contract.streamer_symbol.partition(":")
        century = self.year is None or len(self.year) == 1 or name.endswith(f"{self.month}{self.year}")
        return contract.symbol == self.dated and century and self.exchange in (None, exchange)

    def delivery(self, near: int) -> dt.date | None:
        """First day of the month that is named; None for a product without a month.

        One digit of a year means the year nearest to `near`, of two equally near the later.

        >>> [str(FutureSymbol.parse(text).delivery(2026)) for text in ("ESZ6", "ESH4", "ESM1", "ESM21")]
        ['2026-12-01', '2024-03-01', '2031-06-01', '2021-06-01']
        """
        if not (self.month and self.year):
            return None
        said = int(self.year)
        years = [2000 + said] if len(self.year) == 2 else [year for year in range(near - 5, near + 6) if year % 10 == said]
        return dt.date(max(years, key=lambda year: (-abs(year - near), year)), MONTHS.index(self.month) + 1, 1)


@dataclass(frozen=True, slots=True)
class Product:
    """A family of futures. `listed_months` are those that exist, `active_months` those that trade much, as codes.

    multiplier  currency value of one point of one contract        sector  TastyTrade's word, such as "Equity Index"
    calendar    name of its session calendar
    """

    root: str
    description: str
    exchange: str
    tick_size: float
    multiplier: float
    listed_months: str
    active_months: str
    sector: str
    is_cash_settled: bool
    calendar: str


def product_of(product: FutureProduct) -> Product:
    """A product from TastyTrade's answer."""
    return Product(
        root=product.code,
        description=product.description,
        exchange=product.exchange,
        tick_size=float(product.tick_size),
        multiplier=float(product.notional_multiplier),
        listed_months="".join(month.value for month in product.listed_months),
        active_months="".join(month.value for month in product.active_months),
        sector=product.market_sector,
        is_cash_settled=product.cash_settled,
        calendar=calendar_for(product.code),
    )


def contract_of_future(future: Future) -> Contract:
    """A contract from TastyTrade's answer. The streamer symbol is taken from it, never built: the exchange suffix cannot be guessed."""
    over = "" if future.active else f" (it expired on {future.expiration_date})"
    _streamed(future.symbol, future.streamer_symbol, f"{over}; another month may have one, see contracts({future.product_code!r})")
    return listed_future(future)


def listed_future(future: Future) -> Contract:
    """The same of a future that is only spoken of: its streamer symbol may be empty."""
    return Contract(
        root=future.product_code,
        symbol=future.symbol,
        streamer_symbol=future.streamer_symbol,
        exchange=future.exchange,
        tick_size=float(future.tick_size),
        multiplier=float(future.notional_multiplier),
        expiry=future.expiration_date,
        is_active=future.active,
        calendar=calendar_for(future.product_code),
    )


def contract_of_equity(equity: Equity) -> Contract:
    """A share, an ETF or an index.

    tick_size  that of prices from 1 dollar up (the answer has 0.0001 below); 0.01 where the answer has none, as for indices. Prints between ticks, which
               wholesalers make all day, are kept as they are and flagged OFF_TICK.
    calendar   "NYSE", 04:00 to 20:00 New York; of an index "CBOE_Index_Options". No trades come of an index, but values, as bars and summary.
    is_active  of an index always True: the answer's flag says whether it can be traded itself, which none can
    """
    plain = [step.value for step in equity.tick_sizes or () if step.threshold is None and step.symbol is None]
    return Contract(
        root=equity.symbol,
        symbol=equity.symbol,
        streamer_symbol=_streamed(equity.symbol, equity.streamer_symbol),
        exchange=equity.listed_market or "",
        tick_size=float(plain[0]) if plain else 0.01,
        is_active=equity.active or equity.is_index,
        calendar="CBOE_Index_Options" if equity.is_index else "NYSE",
    )


def contract_of_cryptocurrency(coin: Cryptocurrency) -> Contract:
    """A cryptocurrency: its size step is the finest that its venues take. `exchange` is dxFeed's own, where the streamer symbol has one."""
    digits = max((venue.max_quantity_precision or 0 for venue in coin.destination_venue_symbols), default=8)
    venues = ",".join(sorted({venue.destination_venue for venue in coin.destination_venue_symbols}))
    return Contract(
        root=coin.symbol,
        symbol=coin.symbol,
        streamer_symbol=_streamed(coin.symbol, coin.streamer_symbol),
        exchange=coin.streamer_symbol.partition(":")[2] or venues,
        tick_size=float(coin.tick_size),
        size_step=float(f"1e-{digits}"),
        is_active=coin.active,
        calendar="24/7",
    )


def _streamed(symbol: str, streamer_symbol: str, hint: str = "") -> str:
    if not streamer_symbol:
        raise NotSupported(f"TastyTrade gives no streamer symbol for {symbol}, so it cannot be streamed{hint}")
    return streamer_symbol


def unknown(symbol: str, known: Iterable[str] = ()) -> UnknownContract:
    """The error for a symbol nobody lists, with what is listed."""
    listed = ", ".join(known)
    return UnknownContract(f"TastyTrade lists no contract {symbol!r}{listed and '; listed: '}{listed}. Accepted forms: {ACCEPTED}")


def expired(symbol: str, month: dt.date, live: Iterable[str]) -> UnknownContract:
    """The error for a month that is over and of which the service tells nothing any more, with the nearest that live."""
    return UnknownContract(
        f"{symbol!r} expired with its month, {month:%B %Y}, and TastyTrade tells nothing of it any more; the nearest that live: {', '.join(live)}"
    )
