"""One login at TastyTrade: access tokens, quote tokens, and what is listed there."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from ..errors import ProtocolViolation
from ..model import Contract
from ..settings import TastytradeSettings
from .listing import Listing
from .rest import QUOTE_TOKEN, Rest
from .rolls import Method, Month, Volumes
from .symbols import Product

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class QuoteToken:
    """What opens the stream. `level` is what the login may see: "api", or "demo" for delayed data.

    issued_ns, expires_ns  from when until when it is good by the server's clock, UTC nanoseconds; None where the answer does not say
    """

    url: str
    token: str = field(repr=False)
    level: str = "unknown"
    issued_ns: int | None = None
    expires_ns: int | None = None


class Account:
    """One login at TastyTrade's REST service. Every failure is one of our errors, with the HTTP status; nothing of a secret is in it.

    A request is made again, within bounds (see `retry`), where that can help: once with a fresh token after a 401, more slowly after a 429, after a moment
    where the server is out of order. Never a login that was refused.

    sleep, chance  the pauses between tries and their jitter        note  told of each try that failed, in a sentence

    For the parameters and errors of what is listed see `Listing`.
    """

    def __init__(
        self,
        settings: TastytradeSettings,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._rest = Rest(settings, sleep=sleep, chance=chance, note=note)
        self._listing = Listing(self._rest)

    async def connect(self) -> None:
        """Get an access token. Raises AuthenticationFailed, ConnectionLost, RequestTimeout."""
        await self._rest.login()

    async def disconnect(self) -> None:
        """Close the HTTP connections."""
        await self._rest.close()

    async def quote_token(self) -> QuoteToken:
        """A token for the stream, and the address it is good for."""
        data: dict[str, Any] = await self._rest.call(lambda session: session._get("/api-quote-tokens"), QUOTE_TOKEN)
        try:
            url, token = str(data["dxlink-url"]), str(data["token"])
        except (KeyError, TypeError):
            has = ", ".join(sorted(data)) if isinstance(data, dict) else type(data).__name__
            raise ProtocolViolation(f"TastyTrade's answer to the quote token has no token and dxlink-url; it has {has}") from None
        return QuoteToken(url, token, str(data.get("level", "unknown")), _ns(data.get("issued-at")), _ns(data.get("expires-at")))

    async def products(self) -> list[Product]:
        """Every product with futures, by root."""
        return await self._listing.products()

    async def contracts(self, root: str) -> list[Contract]:
        """The live futures of a product, nearest expiry first. UnknownContract where there are none, NotSupported where none can be streamed."""
        return await self._listing.contracts(root)

    async def months(self, root: str) -> list[Month]:
        """The same with the dates rolls go by, and the flag of the active one, for `rolls`."""
        return await self._listing.months(root)

    async def front_month(
        self, root: str, method: Method = "active", day: dt.date | None = None, *, volumes: Volumes | None = None, holidays: Collection[dt.date] = ()
    ) -> Contract:
        """The front month by TastyTrade's flag ("active"), by calendar ("date") or by traded volume ("volume")."""
        return await self._listing.front_month(root, method, day, volumes=volumes, holidays=holidays)

    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names; a product alone is its front month by TastyTrade's active flag, and goes before a share of the same letters."""
        return await self._listing.resolve(symbol)


def _ns(text: object) -> int | None:
    """An instant as the API writes it, in UTC nanoseconds; None where it is none, or has no zone."""
    try:
        time = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return None if time.tzinfo is None else (time - _EPOCH) // dt.timedelta(microseconds=1) * 1000
