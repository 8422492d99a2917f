"""Which recorded contract a symbol names."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import AmbiguousContract, UnknownContract
from ..model import Contract
from ..tastytrade.symbols import ACCEPTED, FutureSymbol, symbol_text


def resolved(recorded: Sequence[Contract], symbol: str) -> Contract:
    """The one contract. A product alone is its month nearest to expiry. UnknownContract, AmbiguousContract."""
    name = symbol_text(symbol)
    exact = [contract for contract in recorded if name and name in (contract.symbol.upper(), contract.streamer_symbol.upper())]
    wanted = FutureSymbol.parse(symbol)
    if not exact and wanted is not None and wanted.dated is not None:
        exact = [contract for contract in recorded if wanted.fits(contract)]
    if not exact and wanted is not None and wanted.dated is None:
        months = sorted((c for c in recorded if c.root.upper() == wanted.root and c.expiry is not None), key=lambda contract: str(contract.expiry))
        exact = months[:1] or [contract for contract in recorded if contract.root.upper() == wanted.root]
    if not exact:
        raise unknown(recorded, symbol)
    if len(exact) > 1:
        raise AmbiguousContract(f"{symbol!r} names {', '.join(contract.streamer_symbol for contract in exact)}; one of these is accepted")
    return exact[0]


def months(recorded: Sequence[Contract], root: str) -> list[Contract]:
    """The recorded months of a product, nearest expiry first. UnknownContract where there is none."""
    name = symbol_text(root).removeprefix("/")
    found = [contract for contract in recorded if contract.root.upper() == name]
    if not found:
        raise unknown(recorded, root)
    return sorted(found, key=lambda contract: (contract.expiry is None, contract.expiry, contract.symbol))


def unknown(recorded: Sequence[Contract], symbol: str) -> UnknownContract:
    """That the recording holds no such contract, and which it holds."""
    names = ", ".join(contract.symbol for contract in recorded) or "nothing"
    return UnknownContract(f"the recording holds no contract {symbol!r}; recorded: {names}. Accepted forms: {ACCEPTED}")
