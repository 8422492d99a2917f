"""Instruments as the REST API describes them: every key the tastytrade SDK 13.2.3 requires, decimals as texts."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from tastytrade_provider.emulator.instruments import INDICES, MONTHS, PRODUCTS, SECURITIES, SHARES, Product, expired, listed
from tastytrade_provider.model import Contract

LISTED = 6
"""Contracts of each product that are listed, the front month among them."""
EXPIRED = 2
"""Expired contracts of each product that are still told where they are asked for."""


def futures(contracts: Sequence[Contract], market_ns: int, *, only_active: bool = True) -> list[dict[str, Any]]:
    """The futures of a source's products on the market's day: its own contracts, further months in which nothing trades, and if asked for expired ones."""
    day = _day(market_ns)
    shown: dict[str, Contract] = {contract.symbol: contract for contract in contracts if contract.symbol.startswith("/")}
    active: dict[str, str] = {}
    for contract in list(shown.values()):
        active.setdefault(contract.root, contract.symbol)
    for root in active:
        for contract in itertools.islice(listed(root, day), LISTED):
            shown.setdefault(contract.symbol, contract)
    items = []
    for root, symbol in active.items():
        over = [] if only_active or root not in PRODUCTS else [contract for contract in expired(root, day, EXPIRED) if contract.symbol not in shown]
        items += [_future(replace(contract, is_active=False), is_front=False, is_next=False, target=symbol) for contract in over]
        months = sorted((c for c in shown.values() if c.root == root), key=lambda contract: contract.expiry or dt.date.max)
        at = [contract.symbol for contract in months].index(symbol)
        for i, contract in enumerate(months):
            items.append(_future(contract, is_front=i == at, is_next=i == at + 1, target=months[min(i + 1, len(months) - 1)].symbol))
    return items


def _future(contract: Contract, is_front: bool, is_next: bool, target: str) -> dict[str, Any]:
    expiry = (contract.expiry or dt.date.max).isoformat()
    return {
        "symbol": contract.symbol,
        "product-code": contract.root,
        "contract-size": _text(contract.multiplier),
        "tick-size": _text(contract.tick_size),
        "notional-multiplier": _text(contract.multiplier),
        "main-fraction": "0.0",
        "sub-fraction": "0.0",
        "display-factor": "0.01",
        "last-trade-date": expiry,
        "expiration-date": expiry,
        "closing-only-date": expiry,
        "active": contract.is_active,
        "active-month": is_front,
        "next-active-month": is_next,
        "is-closing-only": False,
        "stops-trading-at": f"{expiry}T13:30:00.000+00:00",
        "expires-at": f"{expiry}T13:30:00.000+00:00",
        "product-group": f"{contract.exchange}_{contract.root}",
        "exchange": contract.exchange,
        "roll-target-symbol": target,
        "streamer-exchange-code": contract.streamer_symbol.partition(":")[2],
        "streamer-symbol": contract.streamer_symbol,
        "back-month-first-calendar-symbol": True,
        "is-tradeable": contract.is_active,
        "future-product": _product(PRODUCTS[contract.root]),
        "tick-sizes": [{"value": _text(contract.tick_size)}],
    }


@lru_cache(maxsize=1)
def products() -> list[dict[str, Any]]:
    """Every product of the table."""
    return [_product(product) for product in PRODUCTS.values()]


def _product(product: Product) -> dict[str, Any]:
    months = list(product.months)
    return {
        "root-symbol": f"/{product.root}",
        "code": product.root,
        "description": product.description,
        "clearing-code": product.root,
        "clearing-exchange-code": "16",
        "clearport-code": product.root,
        "exchange": "CME",
        "product-type": "Financial" if product.is_cash_settled else "Physical",
        "listed-months": months if product.sector != "Metals" else list(MONTHS),
        "active-months": months,
        "notional-multiplier": _text(product.multiplier),
        "tick-size": _text(product.tick_size),
        "display-factor": "0.01",
        "streamer-exchange-code": product.mic,
        "small-notional": product.root.startswith("M"),
        "back-month-first-calendar-symbol": True,
        "first-notice": not product.is_cash_settled,
        "cash-settled": product.is_cash_settled,
        "market-sector": product.sector,
        "roll": {
            "name": product.sector.lower().replace(" ", "_"),
            "active-count": 3,
            "cash-settled": product.is_cash_settled,
            "business-days-offset": 4,
            "first-notice": not product.is_cash_settled,
        },
    }


def equities(contracts: Sequence[Contract]) -> list[dict[str, Any]]:
    """The shares, ETFs and indices of a source, told by their calendars."""
    return [_equity(number, contract) for number, contract in enumerate(contracts, start=1) if contract.calendar in (SHARES, INDICES)]


def _equity(number: int, contract: Contract) -> dict[str, Any]:
    is_index = contract.calendar == INDICES
    security = next((security for security in SECURITIES.values() if security.contract.symbol == contract.symbol), None)
    name = contract.symbol if security is None else security.description
    described = {
        "id": number,
        "symbol": contract.symbol,
        "instrument-type": "Equity",
        "short-description": name,
        "is-index": is_index,
        "listed-market": contract.exchange,
        "description": name,
        "lendability": "Locate Required" if is_index else "Easy To Borrow",
        "borrow-rate": "0.0",
        "market-time-instrument-collection": "Equity Index" if is_index else "Equity",
        "is-closing-only": False,
        "is-options-closing-only": False,
        "active": not is_index,  # as the API says of SPX: an index cannot be traded itself
        "is-fractional-quantity-eligible": not is_index,
        "is-illiquid": False,
        "is-etf": security is not None and security.is_etf,
        "streamer-symbol": contract.streamer_symbol,
        "option-tick-sizes": [{"value": "0.01", "threshold": "3.0"}, {"value": "0.05"}],
    }
    return described if is_index else described | {"tick-sizes": [{"value": "0.0001", "threshold": "1.0"}, {"value": _text(contract.tick_size)}]}


def cryptocurrencies(contracts: Sequence[Contract]) -> list[dict[str, Any]]:
    """What is neither future nor share: only there a size has decimals."""
    others = (contract for contract in contracts if not contract.symbol.startswith("/") and contract.calendar not in (SHARES, INDICES))
    return [_cryptocurrency(number, contract) for number, contract in enumerate(others, start=1)]


def _cryptocurrency(number: int, contract: Contract) -> dict[str, Any]:
    venue = {
        "id": number,
        "symbol": contract.symbol,
        "destination-venue": "EMULATED",
        "max-quantity-precision": _decimals(contract.size_step),
        "max-price-precision": _decimals(contract.tick_size),
        "routable": True,
    }
    return {
        "id": number,
        "symbol": contract.symbol,
        "instrument-type": "Cryptocurrency",
        "short-description": contract.symbol,
        "description": contract.symbol,
        "is-closing-only": False,
        "active": True,
        "tick-size": _text(contract.tick_size),
        "streamer-symbol": contract.streamer_symbol,
        "destination-venue-symbols": [venue],
    }


def _day(market_ns: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=market_ns // 86_400_000_000_000)


def _decimals(step: float) -> int:
    exponent = Decimal(repr(step)).normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _text(value: float) -> str:
    return f"{Decimal(repr(value)):f}"
