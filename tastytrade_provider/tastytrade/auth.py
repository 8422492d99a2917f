"""Login, tokens and contracts over REST, through the official SDK; its errors become ours here, with the HTTP status it drops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from .. import __version__
from ..errors import (
    AuthenticationFailed,
    ConnectionLost,
    FeedError,
    NotEntitled,
    ProtocolViolation,
    RateLimited,
    RequestTimeout,
    UnknownContract,
)
from ..model import Contract
from ..settings import TastytradeSettings, is_loopback
from .symbols import FutureSymbol, contract_of_cryptocurrency, contract_of_future, unknown

if TYPE_CHECKING:
    import httpx2
    from tastytrade import Session
    from tastytrade.instruments import Future

T = TypeVar("T")
_TIMEOUT_S = 15.0
_LOGIN, _QUOTE_TOKEN = "login", "quote token"


@dataclass(frozen=True, slots=True)
class QuoteToken:
    """What opens the stream. `level` is what the login may see: "api", or "demo" for delayed data."""

    url: str
    token: str = field(repr=False)
    level: str = "unknown"


class Account:
    """One login at TastyTrade's REST service. Every failure is one of our errors, with the HTTP status; nothing of a secret is in it."""

    def __init__(self, settings: TastytradeSettings) -> None:
        self._settings = settings
        self._status: int | None = None
        self._retry_after_s: float | None = None
        self._session: Session | None = None
        self._one_at_a_time = asyncio.Lock()  # the status noted is then that of the call under way

    async def connect(self) -> None:
        """Get an access token. Raises AuthenticationFailed, ConnectionLost, RequestTimeout."""
        await self._call(self._open().refresh(), _LOGIN)

    async def disconnect(self) -> None:
        """Close the HTTP connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session._client.aclose()

    async def quote_token(self) -> QuoteToken:
        """A token for the stream, and the address it is good for."""
        data: dict[str, Any] = await self._call(self._open()._get("/api-quote-tokens"), _QUOTE_TOKEN)
        try:
            return QuoteToken(str(data["dxlink-url"]), str(data["token"]), str(data.get("level", "unknown")))
        except (KeyError, TypeError):
            has = ", ".join(sorted(data)) if isinstance(data, dict) else type(data).__name__
            raise ProtocolViolation(f"TastyTrade's answer to the quote token has no token and dxlink-url; it has {has}") from None

    async def contracts(self, root: str) -> list[Contract]:
        """The listed futures of a product, nearest expiry first. UnknownContract where there are none, NotSupported where none can be streamed."""
        found = await self._futures(root.strip().upper().removeprefix("/"))
        if not found:
            raise unknown(root, [])
        return [contract_of_future(future) for future in [future for future in found if future.streamer_symbol] or found]

    async def _futures(self, root: str) -> list[Future]:
        from tastytrade.instruments import Future

        found: list[Future] = await self._call(Future.get(self._open(), product_codes=[root], page_offset=None), f"futures of {root}")
        return sorted(found, key=lambda future: future.expiration_date)

    async def resolve(self, symbol: str) -> Contract:
        """The contract a symbol names. A product alone is its front month by TastyTrade's active flag."""
        wanted = FutureSymbol.parse(symbol)
        if not symbol.strip():
            raise unknown(symbol, [])
        if wanted is not None:
            found = await self._futures(wanted.root)
            if wanted.dated is None:
                front = [future for future in found if future.active_month] or [future for future in found if future.active]
                if front:
                    return contract_of_future(front[0])
            else:
                for future in found:
                    if future.symbol == wanted.dated and wanted.fits(contract := contract_of_future(future)):
                        return contract
                if found:
                    raise unknown(symbol, [future.symbol for future in found])
        return await self._cryptocurrency(symbol)

    async def _cryptocurrency(self, symbol: str) -> Contract:
        from tastytrade.instruments import Cryptocurrency

        try:
            coin: Cryptocurrency = await self._call(Cryptocurrency.get(self._open(), symbol.strip().upper()), f"cryptocurrency {symbol}")
        except UnknownContract:
            raise unknown(symbol, []) from None
        return contract_of_cryptocurrency(coin)

    def _open(self) -> Session:
        if self._session is None:
            from tastytrade import Session

            secret, refresh = self._settings.client_secret, self._settings.refresh_token
            if secret is None or refresh is None:
                raise AuthenticationFailed("TastyTrade needs a client secret and a refresh token: set TT_SECRET and TT_REFRESH")
            url = self._settings.api_url
            self._session = Session(
                secret.get_secret_value(),
                refresh.get_secret_value(),
                is_test=self._settings.is_test,
                timeout=_TIMEOUT_S,
                trust_env=not (url and is_loopback(urlsplit(url).hostname or "")),  # a proxy has no business on loopback
                event_hooks={"request": [self._address], "response": [self._note]},
            )
        return self._session

    async def _address(self, request: httpx2.Request) -> None:
        request.headers["User-Agent"] = f"tastytrade-provider/{__version__}"  # without product/version the API answers 401
        if self._settings.api_url:
            to = urlsplit(self._settings.api_url)
            request.url = request.url.copy_with(scheme=to.scheme, host=to.hostname, port=to.port, path=to.path.rstrip("/") + request.url.path)
            request.headers["Host"] = to.netloc

    async def _note(self, response: httpx2.Response) -> None:
        self._status = response.status_code
        after = response.headers.get("Retry-After", "")
        self._retry_after_s = float(after) if after.isdigit() else None

    async def _call(self, request: Awaitable[T], what: str) -> T:
        """Await an SDK call; whatever it raises becomes one of our errors, decided by the HTTP status where there was one."""
        import httpx2
        from tastytrade.utils import TastytradeError

        try:
            async with self._one_at_a_time:
                self._status = None
                return await asyncio.wait_for(request, 2 * _TIMEOUT_S)
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise RequestTimeout(f"TastyTrade did not answer ({what}) within {_TIMEOUT_S:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            where = self._settings.api_url or "TastyTrade's API"
            raise ConnectionLost(f"{where} cannot be reached ({what}): {self._plain(error) or type(error).__name__}") from error
        except (TastytradeError, AttributeError, KeyError, TypeError, json.JSONDecodeError, ValueError) as error:
            raise self._translated(error, what) from error

    def _translated(self, error: Exception, what: str) -> Exception:
        status, said = self._status, self._plain(error)
        if status is None or status < 400:
            return ProtocolViolation(f"TastyTrade's answer to the {what} cannot be read (HTTP {status}): {type(error).__name__}: {said}", status=status)
        if status == 401 or (status == 400 and what == _LOGIN):
            return AuthenticationFailed(
                f"TastyTrade refused the {what} (HTTP {status}): check TT_SECRET (client secret) and TT_REFRESH (refresh token)", status=status
            )
        if status == 403 or (status == 404 and what == _QUOTE_TOKEN):
            return NotEntitled(f"TastyTrade does not grant this login the {what} (HTTP {status}): {said}", status=status)
        if status == 404 and what != _LOGIN:
            return UnknownContract(f"TastyTrade knows no {what} (HTTP 404)")
        if status == 429:
            wait = f"; try again in {self._retry_after_s:g} s" if self._retry_after_s else "; try again later"
            return RateLimited(f"TastyTrade limits requests ({what}, HTTP 429){wait}", status=status, retry_after_s=self._retry_after_s)
        if status >= 500:
            return ConnectionLost(f"TastyTrade answered HTTP {status} to the {what}; try again in a moment", status=status)
        return FeedError(f"TastyTrade answered HTTP {status} to the {what}: {said}", status=status)

    def _plain(self, error: Exception) -> str:
        """What an error says, as one short line; a server may have quoted our own secrets back at us."""
        said = " ".join(str(error).split())
        for secret in (self._settings.client_secret, self._settings.refresh_token):
            if secret is not None and secret.get_secret_value():
                said = said.replace(secret.get_secret_value(), "(hidden)")
        return said[:200]
