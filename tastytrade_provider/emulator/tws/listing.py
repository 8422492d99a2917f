"""Contracts as IB names them: what a query finds, and the fields of contract details.

Months are those the REST side lists: the source's contracts, and further ones in which nothing trades.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tastytrade_provider.emulator.instruments import INDICES, PRODUCTS, SECURITIES, SHARES, listed
from tastytrade_provider.emulator.listing import LISTED
from tastytrade_provider.emulator.tws.hours import hours_text, zone_of
from tastytrade_provider.emulator.tws.refusal import AMBIGUOUS, NO_DEFINITION, Refused
from tastytrade_provider.model import Contract
from tastytrade_provider.sessions import DAY_NS

_EXCHANGES: Final = {"XCME": "CME", "XCBT": "CBOT", "XCEC": "COMEX", "XNYM": "NYMEX"}
_MARKETS: Final = {"XNAS": "NASDAQ", "ARCX": "ARCA", "XNYS": "NYSE"}
_SYMBOLS: Final = {"6E": "EUR", "BTC": "BRR"}  # where IB's symbol is not the root; the root is then the trading class
_ROOTS: Final = sorted(PRODUCTS)
_CON_IDS, _OTHER_CON_IDS = 600_000_000, 700_000_000


class Query(NamedTuple):
    """The twelve fields a contract is described with."""

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    month: str = ""
    strike: str = ""
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""

    @classmethod
    def of(cls, fields: Sequence[str]) -> Query:
        """From the fields of a message."""
        return cls(int(fields[0] or 0), *fields[1:12])


@dataclass(frozen=True)
class Listed:
    """A contract in IB's words. `is_continuous`: asked for as CONTFUT, the present lead month."""

    contract: Contract
    con_id: int
    symbol: str
    sec_type: str
    exchange: str
    local_symbol: str
    primary_exchange: str = ""
    is_continuous: bool = False

    @property
    def root(self) -> str:
        """The trading class."""
        return self.contract.root

    @property
    def kind(self) -> str:
        """As error texts name it: 'CME FUT'."""
        return f"{self.exchange} {self.sec_type}"

    def details(self, version: int, market_ns: int) -> tuple[object, ...]:
        """The fields of contractData behind the request's id; `version` is that of the connection."""
        contract, product = self.contract, PRODUCTS[self.root] if self.sec_type == "FUT" else None
        zone, old = zone_of(contract.calendar), version < 164
        expiry = f"{contract.expiry:%Y%m%d}" if contract.expiry and product else ""
        last = f"{expiry} {'08:30' if product and product.sector == 'Equity Index' else '12:00'} {zone}" if expiry else ""
        trading, liquid = (hours_text(contract.calendar, market_ns, use_rth) for use_rth in (False, True))
        sizes = () if old else (contract.size_step, contract.size_step, contract.size_step)
        return (
            self.symbol, "CONTFUT" if self.is_continuous else self.sec_type, last, 0, "", self.exchange, "USD", self.local_symbol, self.root, self.root,
            self.con_id, contract.tick_size, *((1,) if old else ()), contract.multiplier if product else "",
            "ACTIVETIM,AD,ADJUST,ALERT,ALLOC,AVGCOST,BASKET,DAY,DEACT,GTC,IOC,LIT,LMT,MIT,MKT,STP,STPLMT,TRAIL", f"{self.exchange},QBALGO", 1,
            self.under_con_id, product.description if product else _description(contract), self.primary_exchange, self.month, "", "", "", zone,
            trading, liquid, "", 0, 0, 2147483647, self.symbol if product else "", "IND" if product else "", "67,67", expiry, "", *sizes,
        )  # fmt: skip

    @property
    def month(self) -> str:
        """The contract month, YYYYMM; empty for what does not expire."""
        return f"{_month(self.contract):%Y%m}" if self.sec_type == "FUT" else ""

    @property
    def under_con_id(self) -> int:
        """A number for the product itself."""
        return _CON_IDS + 100_000 * _ROOTS.index(self.root) if self.sec_type == "FUT" else 0

    def matches(self, query: Query) -> bool:
        """Whether a query describes it; what the query leaves open matches."""
        exchanges = ("", self.exchange, self.primary_exchange or self.exchange)
        if query.con_id:
            return query.con_id == self.con_id and query.exchange in exchanges
        dates = ("", self.month, f"{self.contract.expiry:%Y%m%d}" if self.contract.expiry else "")
        return (
            query.symbol in ("", self.symbol)
            and query.sec_type.upper() in (self.sec_type, "CONTFUT" if self.is_continuous else self.sec_type)
            and query.month in dates
            and query.exchange in exchanges
            and query.primary_exchange in ("", self.exchange, self.primary_exchange)
            and query.currency in ("", "USD")
            and query.local_symbol in ("", self.local_symbol)
            and query.trading_class in ("", self.root)
            and (not query.multiplier or float(query.multiplier) == self.contract.multiplier)
            and bool(query.symbol or query.local_symbol)
        )


class Listing:
    """What can be asked for. Lead months are the source's: those the REST side calls active."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self._contracts = tuple(contracts)

    def find(self, query: Query, market_ns: int) -> list[Listed]:
        """Every contract that a query describes, nearest expiry first."""
        wants_lead = query.sec_type.upper() == "CONTFUT"
        return [found for found in (self._leads() if wants_lead else self.every(market_ns)) if found.matches(query)]

    def one(self, query: Query, market_ns: int) -> Listed:
        """The one contract that a query describes. Raises Refused 200."""
        found = self.find(query, market_ns)
        if not found:
            raise Refused(200, NO_DEFINITION)
        if len(found) > 1:
            raise Refused(200, AMBIGUOUS.format(query.symbol or query.local_symbol))
        return found[0]

    def of(self, contract: Contract) -> Listed:
        """A contract of the source in IB's words."""
        return _listed(contract, 1 + self._contracts.index(contract) if contract in self._contracts else 0)

    def every(self, market_ns: int) -> list[Listed]:
        """Every contract, by symbol and month."""
        day = dt.date(1970, 1, 1) + dt.timedelta(days=market_ns // DAY_NS)
        shown = {contract.symbol: contract for contract in self._contracts}
        for root in {contract.root for contract in self._contracts if _is_future(contract)}:
            for contract in itertools.islice(listed(root, day), LISTED):
                shown.setdefault(contract.symbol, contract)
        return sorted((self.of(contract) for contract in shown.values()), key=lambda found: (found.symbol, found.month, found.local_symbol))

    def _leads(self) -> Iterator[Listed]:
        seen = set()
        for contract in self._contracts:
            if _is_future(contract) and contract.root not in seen:
                seen.add(contract.root)
                yield replace(self.of(contract), is_continuous=True)


def _month(contract: Contract) -> dt.date:
    """The contract month, which is not always the month of expiry (crude oil)."""
    code, digits = contract.streamer_symbol.partition(":")[0][-3], contract.streamer_symbol.partition(":")[0][-2:]
    return dt.date(2000 + int(digits), "FGHJKMNQUVXZ".index(code) + 1, 1)


def _is_future(contract: Contract) -> bool:
    return contract.symbol.startswith("/")


def _description(contract: Contract) -> str:
    return next((security.description for security in SECURITIES.values() if security.contract == contract), contract.symbol)


def _listed(contract: Contract, number: int) -> Listed:
    con_id, symbol = _OTHER_CON_IDS + number, contract.symbol.replace("/", " ")  # BRK/B is BRK B
    if contract.calendar == SHARES:
        return Listed(contract, con_id, symbol, "STK", "SMART", symbol, _MARKETS.get(contract.exchange, "NYSE"))
    if contract.calendar == INDICES:
        return Listed(contract, con_id, symbol, "IND", "CBOE", symbol)
    if not _is_future(contract):
        return Listed(contract, con_id, contract.symbol.partition("/")[0], "CRYPTO", "PAXOS", contract.symbol.replace("/", "."))
    month = _month(contract)
    con_id = _CON_IDS + 100_000 * _ROOTS.index(contract.root) + 12 * (month.year - 2000) + month.month
    return Listed(contract, con_id, _SYMBOLS.get(contract.root, contract.root), "FUT", _EXCHANGES[PRODUCTS[contract.root].mic], contract.symbol.lstrip("/"))
