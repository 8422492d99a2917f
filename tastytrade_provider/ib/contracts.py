"""IB's contract details to our contracts, and the question that brings them. Pure; vendor words stop here.

A line of details as captured from a gateway: symbol ES, secType FUT, lastTradeDate "20250620 08:30 US/Central", exchange CME, localSymbol ESM5,
tradingClass ES, minTick 0.25, multiplier 50, contractMonth 202506, realExpirationDate 20250620.
IB calls some products by another symbol than the exchange does; what the exchange calls it, is IB's trading class.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ib_async.contract import Contract as IbContract
from ib_async.contract import ContractDetails

from ..errors import AmbiguousContract, ProtocolViolation, UnknownContract
from ..model import Contract
from ..sessions import calendar_for
from ..tastytrade.symbols import MONTHS, FutureSymbol

ACCEPTED: Final = "ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME"
MIC: Final = {"CME": "XCME", "CBOT": "XCBT", "COMEX": "XCEC", "NYMEX": "XNYM"}
"""IB's exchange -> the exchange in a streamer symbol such as /ESZ26:XCME."""

_IB_SYMBOL: Final = {
    "6A": "AUD", "6B": "GBP", "6C": "CAD", "6E": "EUR", "6J": "JPY", "6L": "BRE", "6M": "MXP", "6N": "NZD", "6S": "CHF",
    "BTC": "BRR", "ETH": "ETHUSDRR", "SIL": "SI",
}  # fmt: skip
_EXCHANGE_ROOTS: Final = {
    "CME": "ES MES NQ MNQ RTY M2K EMD 6A 6B 6C 6E 6J 6L 6M 6N 6S M6A M6B M6E BTC MBT ETH MET SR1 SR3 LE GF HE",
    "CBOT": "YM MYM ZN ZB ZF ZT UB TN TWE ZQ ZC ZS ZW ZM ZL ZO ZR KE",
    "COMEX": "GC MGC SI SIL HG MHG",
    "NYMEX": "CL MCL QM NG MNG QG RB HO BZ PL PA",
}
_EXCHANGE: Final = {root: exchange for exchange, roots in _EXCHANGE_ROOTS.items() for root in roots.split()}


@dataclass(frozen=True)
class Listed:
    """A contract and what IB wants to be asked with."""

    contract: Contract
    ib: IbContract
    description: str

    @property
    def kind(self) -> tuple[str, str, float]:
        """What two months of one product have in common."""
        return self.contract.root, self.contract.exchange, self.contract.multiplier


def question(root: str, *, month: str = "", continuous: bool = False) -> IbContract:
    """What to ask for a product's months, for one month ("202612", also an expired one), or for its lead month.

    >>> question("6E").symbol, question("6E").exchange, question("6E", continuous=True).secType
    ('EUR', 'CME', 'CONTFUT')
    """
    kind = "CONTFUT" if continuous else "FUT"
    asked = IbContract(secType=kind, symbol=_IB_SYMBOL.get(root, root), exchange=_EXCHANGE.get(root, ""), currency="USD")
    if month:
        asked.lastTradeDateOrContractMonth, asked.includeExpired = month, True
    return asked


def month_asked(wanted: FutureSymbol) -> str:
    """Year and month of a symbol that gives the year with two digits, as IB writes it; "" for any other.

    >>> month_asked(FutureSymbol.parse("/ESZ25:XCME"))
    '202512'
    """
    if not wanted.month or not wanted.year or len(wanted.year) != 2:
        return ""
    return f"20{wanted.year}{MONTHS.index(wanted.month) + 1:02}"


def listed(details: ContractDetails) -> Listed:
    """One line of IB's answer as a contract. Raises ProtocolViolation where it holds no month or no tick size."""
    ib = details.contract
    assert ib is not None  # the decoder always sets it
    root = ib.tradingClass or ib.symbol
    month = details.contractMonth or ib.lastTradeDateOrContractMonth[:6]
    day = details.realExpirationDate or ib.lastTradeDateOrContractMonth[:8]
    try:
        year, code = int(month[:4]), MONTHS[int(month[4:6]) - 1]
        expiry = dt.datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007  # a date
        magnifier = details.priceMagnifier or 1  # prices come times this, in cents: IB's tick and multiplier are by the dollar
        multiplier = float(ib.multiplier or 1) / magnifier
    except (ValueError, IndexError):
        raise ProtocolViolation(f"IB's details of {ib.localSymbol!r} cannot be read: month {month!r}, expiry {day!r}, multiplier {ib.multiplier!r}") from None
    contract = Contract(
        root=root,
        symbol=f"/{root}{code}{year % 10}",
        streamer_symbol=f"/{root}{code}{year % 100:02}:{MIC.get(ib.exchange, ib.exchange)}",
        exchange=ib.exchange,
        tick_size=round(details.minTick * magnifier, 12),
        multiplier=multiplier,
        expiry=expiry,
        calendar=calendar_for(root),
    )
    return Listed(contract, ib, details.longName)


def months_of(symbol: str, root: str, listing: Sequence[Listed]) -> list[Listed]:
    """The months of one product, nearest first. AmbiguousContract where the listing holds several products that are called so."""
    return _one_kind(symbol, [one for one in listing if one.contract.root == root] or list(listing))


def choose(symbol: str, wanted: FutureSymbol, listing: Sequence[Listed], lead: int | None = None) -> Listed | None:
    """The contract a symbol names among those listed; `lead` is the number (conId) of IB's lead month. None where it is not among them.

    A year of one digit is the nearest such year. AmbiguousContract lists the choices.
    """
    ours = [one for one in listing if one.contract.root == wanted.root] or list(listing)
    ours = _one_kind(symbol, [one for one in ours if _fits(wanted, one.contract)])
    if wanted.month is None:
        return next((one for one in ours if one.ib.conId == lead), ours[0] if ours else None)
    return ours[0] if ours else None


def unknown(symbol: str, listing: Sequence[Listed] = ()) -> UnknownContract:
    """The error for a symbol that IB does not list, with what it lists."""
    there = f"; listed: {', '.join(one.contract.symbol for one in listing)}" if listing else ""
    return UnknownContract(f"Interactive Brokers lists no contract {symbol!r}{there}. Accepted forms: {ACCEPTED}")


def _fits(wanted: FutureSymbol, contract: Contract) -> bool:
    name, _, exchange = contract.streamer_symbol.partition(":")
    month = not wanted.month or name.endswith(f"{wanted.month}{wanted.year}") or contract.symbol.endswith(f"{wanted.month}{wanted.year}")
    return month and wanted.exchange in (None, exchange, contract.exchange)


def _one_kind(symbol: str, found: list[Listed]) -> list[Listed]:
    kinds = {one.kind for one in found}
    if len(kinds) > 1:
        nearest = {one.kind: one for one in sorted(found, key=_expiry, reverse=True)}
        choices = ", ".join(f"{one.contract.streamer_symbol} (multiplier {one.contract.multiplier:g})" for one in nearest.values())
        raise AmbiguousContract(f"{symbol!r} names {len(kinds)} products at Interactive Brokers: {choices}; one of these is accepted")
    return sorted(found, key=_expiry)


def _expiry(one: Listed) -> dt.date:
    return one.contract.expiry or dt.date.max
