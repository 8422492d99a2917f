"""What TastyTrade lists: products, months, shares, indices, cryptocurrencies; and which of them a symbol names."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ..errors import UnknownContract
from ..model import Contract
from ..sessions import session_at
from .rest import Rest
from .rolls import Method, Month, Volumes, front, month_of, rule_of
from .symbols import FutureSymbol, Product, contract_of_cryptocurrency, contract_of_equity, contract_of_future, expired, product_of, symbol_text, unknown

if TYPE_CHECKING:
    from tastytrade import Session
    from tastytrade.instruments import Future

_NAME = re.compile(r"[A-Z0-9][A-Z0-9./-]*")  # of a share or coin; anything else would be another request than meant
_NAMED = 4  # contracts a message lists where the wanted one is over


class Listing:
    """The listings at `rest`. `now_ns` is the clock that says which session it is, UTC nanoseconds."""

    def __init__(self, rest: Rest, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._rest, self._now_ns = rest, now_ns

    async def products(self) -> list[Product]:
        """Every product with futures, by root."""
        from tastytrade.instruments import FutureProduct

        found: list[FutureProduct] = await self._rest.call(lambda session: FutureProduct.get(session), "list of products")
        return sorted((product_of(product) for product in found), key=lambda product: product.root)

    async def contracts(self, root: str) -> list[Contract]:
        """The live futures of a product, nearest expiry first, all pages of the list. Months without a streamer symbol are left out.

        UnknownContract where there are none, NotSupported where none can be streamed.
        """
        found = await self._listed(root)
        return [contract_of_future(future) for future in [future for future in found if future.streamer_symbol] or found]

    async def months(self, root: str) -> list[Month]:
        """All live months with the dates rolls go by, for `rolls.front`, `rolls.segments` and `rolls.RollWatch`. UnknownContract where there are none."""
        return [month_of(future) for future in await self._listed(root)]

    async def front_month(
        self, root: str, method: Method = "active", day: dt.date | None = None, *, volumes: Volumes | None = None, holidays: Collection[dt.date] = ()
    ) -> Contract:
        """The front month of a product in the session labelled `day`; None: the one that is on, or was last.

        method  "active": TastyTrade's own flag, which is what `resolve` takes; it speaks of today only
                "date": the product's roll rule (`rolls.RULES`, else the figures of the listing)
                "volume": the month that traded more than the one before it for two sessions; needs `volumes`, see `rolls.volumes_of`

        Raises UnknownContract, NotSupported, UsageError as `rolls.front`.
        """
        found = await self._listed(root)
        months = [month_of(future) for future in found]
        if day is None:
            day = session_at(months[0].contract.calendar, self._now_ns()).label
        chosen = front(months, day, method, rule=rule_of(found[0]), volumes=volumes, holidays=holidays)
        return contract_of_future(next(future for future in found if future.symbol == chosen.symbol))

    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names.

        ES, /ES             front month by TastyTrade's active flag      ESZ6, /ESZ6, ESZ26, /ESZ26:XCME  one month, an expired one where it is still told
        AAPL, SPY, SPX      share, ETF, index                            ES:XNYS  the share, where a future has the same letters
        BTC/USD             cryptocurrency

        Where letters name both a future and something else, the future is meant. Raises UnknownContract, NotSupported (no streamer symbol).
        """
        text = symbol_text(symbol)
        if not text:
            raise unknown(symbol)
        wanted = FutureSymbol.parse(text)
        if wanted is not None:
            found = await self._futures(wanted.root)
            if found or text.startswith("/"):
                return await self._future(symbol, wanted, found)
        return await self._other(symbol, text)

    async def _future(self, symbol: str, wanted: FutureSymbol, live: list[Future]) -> Contract:
        if wanted.dated is None:
            flagged = [future for future in live if future.active_month] or live
            if not flagged:
                raise unknown(symbol)
            return contract_of_future(flagged[0])
        for future in live:
            if future.symbol == wanted.dated and wanted.fits(contract := contract_of_future(future)):
                return contract
        over = _over(wanted, live)
        if over or not live:
            told = [contract_of_future(future) for future in await self._told(wanted.dated)]
            fitting = [contract for contract in told if wanted.fits(contract)]
            if fitting:
                return max(fitting, key=lambda contract: contract.expiry or dt.date.min)  # a symbol comes again after ten years
        if over:
            raise expired(symbol, over, [future.symbol for future in live[:_NAMED]])
        raise unknown(symbol, [future.symbol for future in live])

    async def _listed(self, root: str) -> list[Future]:
        found = await self._futures(symbol_text(root).removeprefix("/"))
        if not found:
            raise unknown(root)
        return found

    async def _futures(self, root: str) -> list[Future]:
        """The live futures of a product, nearest expiry first."""
        from tastytrade.instruments import Future

        found: list[Future] = await self._rest.call(lambda session: Future.get(session, product_codes=[root], page_offset=None), f"futures of {root}")
        return sorted((future for future in found if future.active), key=lambda future: future.expiration_date)

    async def _told(self, symbol: str) -> list[Future]:
        """The futures of one symbol, expired ones among them: the API's `only-active-futures` is true by default, and the SDK cannot set it."""
        from tastytrade.instruments import Future

        async def ask(session: Session) -> list[Future]:
            data = await session._get("/instruments/futures", params={"symbol[]": [symbol], "only-active-futures": "false"})
            return [Future(**item) for item in data["items"]]

        return await self._rest.call(ask, f"future {symbol}")

    async def _other(self, symbol: str, text: str) -> Contract:
        """What is no future: a share, an ETF, an index, a cryptocurrency."""
        name, _, market = text.partition(":")
        if not _NAME.fullmatch(name):
            raise unknown(symbol)
        for find in (self._coin, self._share) if "/" in name else (self._share, self._coin):
            contract = await find(name)
            if contract is not None:
                if market not in ("", contract.exchange):
                    raise unknown(symbol, [f"{contract.symbol}:{contract.exchange}"])
                return contract
        raise unknown(symbol)

    async def _share(self, name: str) -> Contract | None:
        from tastytrade.instruments import Equity

        try:
            equity: Equity = await self._rest.call(lambda session: Equity.get(session, name), f"share {name}")
        except UnknownContract:
            return None
        return contract_of_equity(equity)

    async def _coin(self, name: str) -> Contract | None:
        from tastytrade.instruments import Cryptocurrency

        try:
            coin: Cryptocurrency = await self._rest.call(lambda session: Cryptocurrency.get(session, name), f"cryptocurrency {name}")
        except UnknownContract:
            return None
        return contract_of_cryptocurrency(coin)


def _over(wanted: FutureSymbol, live: list[Future]) -> dt.date | None:
    """The month that is wanted, if it lies before the nearest of the live ones. Names carry it; an expiry may lie in the month before."""
    nearest = FutureSymbol.parse(next((future.streamer_symbol for future in live if future.streamer_symbol), ""))
    now = nearest.delivery(live[0].expiration_date.year) if nearest else None
    month = wanted.delivery(now.year) if now else None
    return month if now and month and month < now else None
