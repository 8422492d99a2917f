"""What can be listed: futures with their product table, month codes, expiry and front month; some shares, indices and cryptocurrencies.

Expiries follow each product's rule on weekdays; exchange holidays, which move a few of them by a day, are left out.
"""

from __future__ import annotations

import calendar
import datetime as dt
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tastytrade_provider.errors import UnknownContract, UsageError
from tastytrade_provider.model import Contract
from tastytrade_provider.sessions import calendar_for

MONTHS: Final = "FGHJKMNQUVXZ"
_DAY = dt.timedelta(days=1)


def _nth(year: int, month: int, weekday: int, n: int) -> dt.date:
    first = dt.date(year, month, 1)
    return first + _DAY * ((weekday - first.weekday()) % 7 + 7 * (n - 1))


def _weekdays_back(day: dt.date, n: int) -> dt.date:
    """`n` weekdays before `day`; with 0 the day itself or the last weekday before it."""
    while n or day.weekday() > 4:
        day -= _DAY
        n -= n > 0 and day.weekday() <= 4
    return day


def _month_end(year: int, month: int) -> dt.date:
    return dt.date(year + month // 12, month % 12 + 1, 1) - _DAY


def third_friday(year: int, month: int) -> dt.date:
    """Expiry of equity index futures.

    >>> third_friday(2024, 9)
    datetime.date(2024, 9, 20)
    """
    return _nth(year, month, 4, 3)


def _third_last_weekday(year: int, month: int) -> dt.date:
    return _weekdays_back(_month_end(year, month), 2)


def _before_25th(year: int, month: int) -> dt.date:
    before = dt.date(year, month, 1) - _DAY
    return _weekdays_back(_weekdays_back(before.replace(day=25), 0), 3)


def _eighth_last_weekday(year: int, month: int) -> dt.date:
    return _weekdays_back(_month_end(year, month), 7)


def _monday_before_third_wednesday(year: int, month: int) -> dt.date:
    return _nth(year, month, 2, 3) - 2 * _DAY


def _last_friday(year: int, month: int) -> dt.date:
    end = _month_end(year, month)
    return end - _DAY * ((end.weekday() - 4) % 7)


@dataclass(frozen=True)
class Product:
    """A family of futures.

    mic         dxFeed's exchange in a streamer symbol        multiplier  currency value of one point
    months      month codes that trade actively               roll_days   how long before expiry the next month becomes the front
    """

    root: str
    description: str
    mic: str
    tick_size: float
    multiplier: float
    sector: str
    months: str
    expiry: Callable[[int, int], dt.date]
    roll_days: int

    @property
    def is_cash_settled(self) -> bool:
        """True where no goods are delivered."""
        return self.sector in ("Equity Index", "Cryptocurrency")


_QUARTERLY = "HMUZ"
_EQUITY = ("Equity Index", _QUARTERLY, third_friday, 8)
_METAL = ("Metals", "GJMQZ", _third_last_weekday, 30)
_ENERGY = ("Energy", MONTHS, _before_25th, 5)
_RATE = ("Interest Rate", _QUARTERLY, _eighth_last_weekday, 22)
_FX = ("Currency", _QUARTERLY, _monday_before_third_wednesday, 5)
_CRYPTO = ("Cryptocurrency", MONTHS, _last_friday, 1)

# Tick sizes and multipliers: contract specifications on cmegroup.com.
PRODUCTS: Final = {
    product.root: product
    for product in (
        Product("ES", "E-mini S&P 500", "XCME", 0.25, 50, *_EQUITY),
        Product("MES", "Micro E-mini S&P 500", "XCME", 0.25, 5, *_EQUITY),
        Product("NQ", "E-mini Nasdaq-100", "XCME", 0.25, 20, *_EQUITY),
        Product("MNQ", "Micro E-mini Nasdaq-100", "XCME", 0.25, 2, *_EQUITY),
        Product("RTY", "E-mini Russell 2000", "XCME", 0.1, 50, *_EQUITY),
        Product("M2K", "Micro E-mini Russell 2000", "XCME", 0.1, 5, *_EQUITY),
        Product("YM", "E-mini Dow", "XCBT", 1, 5, *_EQUITY),
        Product("MYM", "Micro E-mini Dow", "XCBT", 1, 0.5, *_EQUITY),
        Product("GC", "Gold", "XCEC", 0.1, 100, *_METAL),
        Product("MGC", "Micro Gold", "XCEC", 0.1, 10, *_METAL),
        Product("SI", "Silver", "XCEC", 0.005, 5000, "Metals", "HKNUZ", _third_last_weekday, 30),
        Product("HG", "Copper", "XCEC", 0.0005, 25000, "Metals", "HKNUZ", _third_last_weekday, 30),
        Product("CL", "Crude Oil", "XNYM", 0.01, 1000, *_ENERGY),
        Product("MCL", "Micro WTI Crude Oil", "XNYM", 0.01, 100, *_ENERGY),
        Product("NG", "Henry Hub Natural Gas", "XNYM", 0.001, 10000, *_ENERGY),
        Product("ZN", "10-Year T-Note", "XCBT", 0.015625, 1000, *_RATE),
        Product("ZB", "U.S. Treasury Bond", "XCBT", 0.03125, 1000, *_RATE),
        Product("6E", "Euro FX", "XCME", 0.00005, 125000, *_FX),
        Product("BTC", "Bitcoin", "XCME", 5, 5, *_CRYPTO),
        Product("MBT", "Micro Bitcoin", "XCME", 5, 0.1, *_CRYPTO),
    )
}


@dataclass(frozen=True)
class Security:
    """What is no future. `contract.exchange` is the market a share is listed on, as the API writes it."""

    contract: Contract
    description: str
    is_etf: bool = False


SHARES, INDICES, COINS = "NYSE", "CBOE_Index_Options", "24/7"
"""Session calendars, by which a contract that is no future is known as one or the other."""


def _share(symbol: str, market: str, description: str, is_etf: bool = False) -> Security:
    return Security(Contract(symbol, symbol, symbol, market, calendar=SHARES), description, is_etf)


def _index(symbol: str, description: str) -> Security:
    return Security(Contract(symbol, symbol, symbol, "OTC", calendar=INDICES), description)


def _coin(symbol: str, description: str) -> Security:
    return Security(Contract(symbol, symbol, f"{symbol}:CXTALP", "CXTALP", size_step=1e-8, calendar=COINS), description)


# Markets, the suffix of coins and the OTC of indices as in public examples of the API's replies.
SECURITIES: Final = {
    "SPY": _share("SPY", "ARCX", "SPDR S&P 500 ETF Trust", is_etf=True),
    "QQQ": _share("QQQ", "XNAS", "Invesco QQQ Trust", is_etf=True),
    "AAPL": _share("AAPL", "XNAS", "Apple Inc"),
    "BRK/B": _share("BRK/B", "XNYS", "Berkshire Hathaway Inc Class B"),
    "ES:XNYS": _share("ES", "XNYS", "Eversource Energy"),  # which has the letters of the E-mini S&P 500
    "SPX": _index("SPX", "S&P 500 Index"),
    "VIX": _index("VIX", "Cboe Volatility Index"),
    "BTC/USD": _coin("BTC/USD", "Bitcoin to USD"),
    "ETH/USD": _coin("ETH/USD", "Ethereum to USD"),
}
"""By the name that means them alone."""


def described(contract: Contract) -> str:
    """What a contract is, in words.

    >>> described(future("ES", 2026, 3)), described(SECURITIES["SPY"].contract)
    ('E-mini S&P 500, Mar 2026', 'SPDR S&P 500 ETF Trust')
    """
    match = _SYMBOL.fullmatch(contract.streamer_symbol)
    if match is not None and match[1] in PRODUCTS:
        return f"{PRODUCTS[match[1]].description}, {calendar.month_abbr[MONTHS.index(match[2]) + 1]} 20{match[3]}{match[4]}"
    return next((security.description for security in SECURITIES.values() if security.contract.symbol == contract.symbol), contract.symbol)


# Of equity indices the limit outside regular hours, of the others how far a price may go within an hour (cmegroup.com, price limits).
_LIMITS = {"Equity Index": 0.07, "Metals": 0.1, "Energy": 0.1, "Cryptocurrency": 0.1}


def price_limits(contract: Contract, previous_close: float) -> tuple[float, float]:
    """The highest and the lowest price allowed, in whole ticks; NaN where there is no limit, or no close it is counted from.

    >>> price_limits(future("ES", 2026, 3), 6000.0), price_limits(future("ZN", 2026, 3), 110.0)
    ((6420.0, 5580.0), (nan, nan))
    """
    share = _LIMITS.get(PRODUCTS[contract.root].sector) if contract.root in PRODUCTS and contract.symbol.startswith("/") else None
    if share is None or math.isnan(previous_close):
        return math.nan, math.nan
    near = 1e-9
    high, low = (previous_close * (1 + sign * share) / contract.tick_size for sign in (1, -1))
    return contract.price(math.floor(high + near)), contract.price(math.ceil(low - near))


_SYMBOL = re.compile(r"/?([A-Z0-9]{1,3}?)([FGHJKMNQUVXZ])(\d)(\d?)(?::[A-Z]+)?", re.IGNORECASE)


def future(root: str, year: int, month: int) -> Contract:
    """One contract. Raises UnknownContract for a root that is not in `PRODUCTS`.

    >>> es = future("ES", 2024, 3)
    >>> es.symbol, es.streamer_symbol, es.expiry
    ('/ESH4', '/ESH24:XCME', datetime.date(2024, 3, 15))
    """
    if root not in PRODUCTS:
        raise UnknownContract(f"no futures product {root!r}; known are {', '.join(PRODUCTS)}, and besides {', '.join(SECURITIES)}")
    product, code = PRODUCTS[root], MONTHS[month - 1]
    return Contract(
        root,
        f"/{root}{code}{year % 10}",
        f"/{root}{code}{year % 100:02}:{product.mic}",
        "CME",
        tick_size=float(product.tick_size),
        multiplier=float(product.multiplier),
        expiry=product.expiry(year, month),
        calendar=calendar_for(root),
    )


def listed(root: str, day: dt.date) -> Iterator[Contract]:
    """The contracts of a product that have not expired on `day`, nearest first, without end."""
    months = [MONTHS.index(code) + 1 for code in PRODUCTS[root].months] if root in PRODUCTS else [1]
    for year in itertools.count(day.year):
        for month in months:
            contract = future(root, year, month)
            if contract.expiry is not None and contract.expiry >= day:
                yield contract


def expired(root: str, day: dt.date, count: int) -> list[Contract]:
    """The last `count` contracts of a product that expired before `day`, oldest first.

    >>> [contract.symbol for contract in expired("ES", dt.date(2026, 3, 2), 2)]
    ['/ESU5', '/ESZ5']
    """
    before = itertools.takewhile(lambda contract: contract.expiry is not None and contract.expiry < day, listed(root, day.replace(day=1, year=day.year - 2)))
    return list(before)[-count:]


def front_month(root: str, day: dt.date) -> Contract:
    """The contract that trades most on `day`: the nearest one that is not about to expire. Of `SECURITIES` the one there is.

    >>> front_month("ES", dt.date(2026, 3, 13)).symbol
    '/ESM6'
    """
    if root in SECURITIES:
        return SECURITIES[root].contract
    return next(listed(root, day + dt.timedelta(days=PRODUCTS[root].roll_days if root in PRODUCTS else 0)))


def contract_named(symbol: str, day: dt.date) -> Contract:
    """The contract that `symbol` meant on `day`: 'ESH4', '/ESH4', '/ESH24:XCME'. Raises UnknownContract or UsageError.

    >>> contract_named("esh4", dt.date(2023, 12, 25)).streamer_symbol
    '/ESH24:XCME'
    """
    match = _SYMBOL.fullmatch(symbol)
    if match is None or match[1].upper() not in PRODUCTS:
        raise UnknownContract(f"{symbol!r} is no future: expected a root ({', '.join(PRODUCTS)}), a month letter {MONTHS} and a year")
    root, code, digits = match[1].upper(), match[2].upper(), match[3] + match[4]
    step = 10 ** len(digits)
    year = day.year - (day.year - int(digits)) % step
    contract = future(root, year, MONTHS.index(code) + 1)
    if contract.expiry is None:
        raise UsageError(f"{symbol!r} has no expiry")
    return contract if contract.expiry >= day or len(digits) > 1 else future(root, year + step, MONTHS.index(code) + 1)
