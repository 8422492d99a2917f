"""Which contracts IB lists, and what it calls each: asked for once an hour, product by product."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from ..errors import ProtocolViolation, UnknownContract
from ..model import Contract
from ..sessions import session_at
from ..tastytrade.symbols import FutureSymbol, symbol_text
from .contracts import Listed, choose, listed, month_asked, months_of, question, unknown
from .wire import Wire

_LISTING_S: Final = 3600.0
_ANSWER_S: Final = 10.0


class Directory:
    """Contracts by symbol. `wire` gives the connection, or raises ConnectionLost; `note` tells a user of a line that cannot be read.

    known  streamer symbol -> contract, of all that were ever listed here
    """

    def __init__(self, wire: Callable[[], Wire], note: Callable[[str], None]) -> None:
        self.known: dict[str, Listed] = {}
        self._wire, self._note = wire, note
        self._listings: dict[str, tuple[float, list[Listed]]] = {}

    async def resolve(self, symbol: str) -> Listed:
        """What a symbol names; see `IbProvider.resolve`. UnknownContract, AmbiguousContract."""
        wanted = FutureSymbol.parse(symbol)
        if wanted is None:
            raise unknown(symbol)
        listing = await self._listing(symbol, wanted.root)
        lead = await self._lead(wanted.root) if wanted.month is None else None
        found = choose(symbol, wanted, listing, lead)
        if found is None and (month := month_asked(wanted)):
            found = choose(symbol, wanted, await self._expired(symbol, wanted.root, month))
        if found is None:
            raise unknown(symbol, listing)
        self.known[found.contract.streamer_symbol] = found
        # its calendar takes up to a second to load: now, in a thread, and not when the first bar of a live feed wants its session
        await asyncio.to_thread(session_at, found.contract.calendar, time.time_ns())
        return found

    async def months(self, root: str) -> list[Contract]:
        """The listed months of a product, nearest expiry first. UnknownContract, AmbiguousContract."""
        name = symbol_text(root).removeprefix("/")
        return [one.contract for one in months_of(root, name, await self._listing(root, name))]

    async def qualified(self, contract: Contract) -> Listed:
        """What IB calls a contract, also one that came from elsewhere. UnknownContract."""
        name = contract.streamer_symbol or contract.symbol
        if name not in self.known:
            await self.resolve(name)
        if name not in self.known:
            raise unknown(name)
        return self.known[name]

    async def _listing(self, symbol: str, root: str) -> list[Listed]:
        kept_s, listing = self._listings.get(root, (0.0, []))
        if not listing or time.monotonic() - kept_s > _LISTING_S:
            try:
                listing = await self._lines(f"contract {symbol}", question(root))
            except UnknownContract:
                raise unknown(symbol) from None
            self._listings[root] = time.monotonic(), listing
        for one in listing:
            self.known.setdefault(one.contract.streamer_symbol, one)
        return listing

    async def _expired(self, symbol: str, root: str, month: str) -> list[Listed]:
        try:
            return await self._lines(f"contract {symbol}", question(root, month=month))
        except UnknownContract:
            return []

    async def _lead(self, root: str) -> int | None:
        """The number (conId) of IB's lead month; None where IB has no continuous future of the product."""
        try:
            found = await self._details(f"lead month of {root}", question(root, continuous=True))
        except UnknownContract:
            return None
        return next((details.contract.conId for details in found if (details.contract.tradingClass or root) == root), None)

    async def _lines(self, subject: str, asked: Any) -> list[Listed]:
        found = []
        for details in await self._details(subject, asked):
            try:
                found.append(listed(details))
            except ProtocolViolation as error:
                self._note(str(error))
        return found

    async def _details(self, subject: str, asked: Any) -> list[Any]:
        wire = self._wire()
        return await wire.ask(subject, lambda req_id: wire.client.reqContractDetails(req_id, asked), timeout_s=_ANSWER_S)
