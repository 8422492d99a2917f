"""Contracts as ib_async describes them, and ours. Pure.

A contract gets a number below zero as its conId: IB has none such, so an order sent with it to the real IB is refused and never meets another contract.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

from ib_async import Contract as IbContract
from ib_async import ContractDetails

from ..errors import UsageError
from ..ib.contracts import MIC, question
from ..model import Contract
from ..sessions import CALENDARS
from ..tastytrade.symbols import MONTHS, FutureSymbol
from .errors import lacks
from .hours import hours_text, zone_of

_ROOTS: Final = {
    question(root).symbol: root
    for root in ("6A", "6B", "6C", "6E", "6J", "6L", "6M", "6N", "6S", "BTC", "ETH")
    if question(root).symbol != root
}  # fmt: skip
"""IB's symbol -> root, where they differ: IB's EUR is 6E."""
_EXCHANGES: Final = {mic: exchange for exchange, mic in MIC.items()}
_OLD_EXCHANGES: Final = {"GLOBEX": "CME", "CMECRYPTO": "CME", "ECBOT": "CBOT", "QBALGO": "", "SMART": ""}
_DATED: Final = re.compile(r"/?[A-Z0-9]+?([FGHJKMNQUVXZ])(\d\d)(?::([A-Z]+))?")
_FUTURES: Final = ("FUT", "CONTFUT")
_SINGLE: Final = {"STK": "NYSE", "IND": "CBOE_Index_Options", "CRYPTO": "24/7"}
"""What one symbol names, and the calendar of what is found then."""


@dataclass(frozen=True)
class Asked:
    """What to ask a provider for: every month of `root`, `symbol` alone, or first the one and then the other."""

    root: str = ""
    symbol: str = ""


def month_of(contract: Contract) -> str:
    """The contract month, YYYYMM, which is not always the month of expiry (crude oil); "" for what has none.

    >>> from datetime import date
    >>> month_of(Contract("CL", "/CLF7", "/CLF27:XNYM", expiry=date(2026, 12, 21)))
    '202701'
    """
    if match := _DATED.fullmatch(contract.streamer_symbol):
        return f"20{match[2]}{MONTHS.index(match[1]) + 1:02}"
    return f"{contract.expiry:%Y%m}" if contract.expiry else ""


def exchange_of(contract: Contract) -> str:
    """The exchange in IB's spelling.

    >>> exchange_of(Contract("GC", "/GCJ6", "/GCJ26:XCEC", "CME"))
    'COMEX'
    """
    suffix = contract.streamer_symbol.partition(":")[2]
    if contract.symbol.startswith("/"):
        return _EXCHANGES.get(suffix, _EXCHANGES.get(contract.exchange, contract.exchange))
    return {"24/7": "PAXOS", "CBOE_Index_Options": "CBOE"}.get(contract.calendar, "SMART")


def asked(described: IbContract) -> Asked:
    """What a description asks for. NotSupported for what the feed does not have, UsageError where it names nothing."""
    kind, symbol = described.secType, described.symbol.strip().upper()
    if kind not in ("", *_FUTURES, *_SINGLE):
        raise lacks(f"contracts of type {kind}", "contracts")
    local = described.localSymbol.strip().upper().replace(" ", "")
    if kind in _SINGLE and (symbol or local):
        return Asked(symbol=f"{symbol}/{described.currency or 'USD'}" if kind == "CRYPTO" and symbol else (symbol or local).replace(".", "/"))
    named = FutureSymbol.parse(local)
    root = described.tradingClass or _ROOTS.get(symbol, symbol) or (named.root if named else "")
    if not root:
        raise UsageError(f"{described} names no contract this feed could look up: symbol, localSymbol and tradingClass are empty")
    if kind == "CONTFUT":
        return Asked(symbol=f"/{root}")
    month = described.lastTradeDateOrContractMonth
    if named is not None and named.dated:
        return Asked(root, local)
    return Asked(root, f"/{root}{MONTHS[int(month[4:6]) - 1]}{month[2:4]}" if re.fullmatch(r"20\d\d(0[1-9]|1[0-2])(\d\d)?", month) else "")


def fits(contract: Contract, described: IbContract) -> bool:
    """Whether a contract is one that a description means; what it leaves open fits."""
    ours = plain(contract)
    exchange = _OLD_EXCHANGES.get(described.exchange, described.exchange)
    dates = ("", ours.lastTradeDateOrContractMonth, month_of(contract))
    is_meant = described.secType in ("", ours.secType) or (described.secType, ours.secType) == ("CONTFUT", "FUT")
    if not (is_meant and exchange in ("", ours.exchange) and described.currency in ("", "USD")):
        return False
    if described.secType in _SINGLE:
        return contract.calendar == _SINGLE[described.secType]
    return (
        described.lastTradeDateOrContractMonth in dates
        and described.localSymbol.replace(" ", "") in ("", ours.localSymbol)
        and described.tradingClass in ("", ours.tradingClass)
        and (not described.multiplier or float(described.multiplier) == contract.multiplier)
    )


def con_id(contract: Contract) -> int:
    """A contract's number, the same in every program; below zero."""
    return -1 - (zlib.crc32((contract.streamer_symbol or contract.symbol).encode()) & 0x3FFFFFFF)


def plain(contract: Contract) -> IbContract:
    """A contract of ours as ib_async's."""
    made = IbContract(conId=con_id(contract), exchange=exchange_of(contract), currency="USD")
    if contract.symbol.startswith("/"):
        made.secType, made.symbol = "FUT", question(contract.root).symbol
        made.localSymbol, made.tradingClass = contract.symbol.removeprefix("/"), contract.root
        made.multiplier = f"{contract.multiplier:g}"
        made.lastTradeDateOrContractMonth = f"{contract.expiry:%Y%m%d}" if contract.expiry else month_of(contract)
        return made
    made.secType = next((kind for kind, calendar in _SINGLE.items() if calendar == contract.calendar), "STK")
    made.symbol = contract.symbol.partition("/")[0] if made.secType == "CRYPTO" else contract.symbol.replace("/", " ")
    made.localSymbol = contract.symbol.replace("/", ".") if made.secType == "CRYPTO" else made.symbol
    made.tradingClass = made.symbol
    return made


def details(contract: Contract, kind: str, now_ns: int) -> ContractDetails:
    """A contract of ours as IB's details; fields nobody knows are empty. `kind`: the secType asked for, which CONTFUT keeps."""
    shown = plain(contract)
    if kind == "CONTFUT":
        shown.secType = kind
    is_known = contract.calendar in CALENDARS
    expiry = f"{contract.expiry:%Y%m%d}" if contract.expiry else ""
    return ContractDetails(
        contract=shown,
        marketName=contract.root,
        minTick=contract.tick_size,
        validExchanges=shown.exchange,
        priceMagnifier=1,
        contractMonth=month_of(contract),
        timeZoneId=zone_of(contract.calendar),
        tradingHours=hours_text(contract.calendar, now_ns, use_rth=False) if is_known else "",
        liquidHours=hours_text(contract.calendar, now_ns, use_rth=True) if is_known else "",
        underSymbol=contract.root,
        realExpirationDate=expiry,
        minSize=contract.size_step,
        sizeIncrement=contract.size_step,
        suggestedSizeIncrement=contract.size_step,
    )
