"""The ways users write a contract, and the one TastyTrade's answer turns into."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import NotSupported, UnknownContract
from ..model import Contract
from ..sessions import calendar_for

if TYPE_CHECKING:
    from tastytrade.instruments import Cryptocurrency, Future

ACCEPTED = "ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME"
_DATED = re.compile(r"/?([A-Z0-9]{1,4}?)([FGHJKMNQUVXZ])([0-9]{1,2})(?::([A-Z]+))?")
_ROOT = re.compile(r"/?([A-Z0-9]{1,4})")


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
        text = text.strip().upper()
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


def contract_of_future(future: Future) -> Contract:
    """A contract from TastyTrade's answer. The streamer symbol is taken from it, never built: the exchange suffix cannot be guessed."""
    if not future.streamer_symbol:
        raise NotSupported(f"TastyTrade gives no streamer symbol for {future.symbol}, so it cannot be streamed; another month may have one")
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


def contract_of_cryptocurrency(coin: Cryptocurrency) -> Contract:
    """A cryptocurrency: its size step is the finest that its venues take."""
    if not coin.streamer_symbol:
        raise NotSupported(f"TastyTrade gives no streamer symbol for {coin.symbol}, so it cannot be streamed")
    digits = max((venue.max_quantity_precision or 0 for venue in coin.destination_venue_symbols), default=8)
    return Contract(
        root=coin.symbol,
        symbol=coin.symbol,
        streamer_symbol=coin.streamer_symbol,
        exchange=",".join(sorted({venue.destination_venue for venue in coin.destination_venue_symbols})),
        tick_size=float(coin.tick_size),
        size_step=float(f"1e-{digits}"),
        is_active=coin.active,
        calendar="24/7",
    )


def unknown(symbol: str, known: list[str]) -> UnknownContract:
    """The error for a symbol nobody lists, with what is listed."""
    listed = f"; listed: {', '.join(known)}" if known else ""
    return UnknownContract(f"TastyTrade lists no contract {symbol!r}{listed}. Accepted forms: {ACCEPTED}")
