"""One login at TastyTrade's REST service through the official SDK; whatever it raises becomes one of our errors, with the HTTP status it drops."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from ..errors import (
    AuthenticationFailed,
    ConnectionLost,
    FeedError,
    MarketDataError,
    NotEntitled,
    ProtocolViolation,
    RateLimited,
    RequestTimeout,
    UnknownContract,
)
from ..settings import TastytradeSettings, is_loopback
from .retry import LONGEST_S

if TYPE_CHECKING:
    from tastytrade import Session

    from .patient import Refused

T = TypeVar("T")
TIMEOUT_S = 15.0
LOGIN, QUOTE_TOKEN = "login", "quote token"
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.IGNORECASE | re.DOTALL)


class Rest:
    """Calls at the service. `sleep` and `chance` are those of pauses between tries; `note` is told of each answer after which a request is repeated."""

    def __init__(
        self,
        settings: TastytradeSettings,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._settings, self._sleep, self._chance, self._note = settings, sleep, chance, note
        self._session: Session | None = None
        self._renewing = asyncio.Lock()

    async def login(self) -> None:
        """Get an access token, unless there is one that is still good."""
        await self.call(lambda session: session.refresh(), LOGIN)

    async def close(self) -> None:
        """Close the HTTP connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session._client.aclose()

    async def call(self, ask: Callable[[Session], Awaitable[T]], what: str) -> T:
        """Await an SDK call. `what` names it in messages."""
        session = self._open()
        import httpx2
        from tastytrade.utils import TastytradeError

        from .patient import Refused

        limit_s = 2 * TIMEOUT_S + LONGEST_S
        try:
            async with asyncio.timeout(limit_s):  # not wait_for: Python 3.11's may swallow a cancel
                return await ask(session)
        except Refused as refused:
            raise self._translated(refused, LOGIN if refused.is_login else what) from refused
        except (httpx2.TimeoutException, TimeoutError) as error:
            within_s = TIMEOUT_S if isinstance(error, httpx2.TimeoutException) else limit_s
            raise RequestTimeout(f"TastyTrade did not answer ({what}) within {within_s:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            where = self._settings.api_url or "TastyTrade's API"
            raise ConnectionLost(f"{where} cannot be reached ({what}): {self._plain(str(error)) or type(error).__name__}") from error
        except (TastytradeError, AttributeError, KeyError, TypeError, json.JSONDecodeError, ValueError) as error:
            said = f"{type(error).__name__}: {self._plain(str(error))}"
            raise ProtocolViolation(f"TastyTrade's answer to the {what} cannot be read (HTTP 200): {said}", status=200) from error

    def _open(self) -> Session:
        if self._session is None:
            from tastytrade import Session

            from .patient import Patient

            secret, refresh = self._settings.client_secret, self._settings.refresh_token
            if secret is None or refresh is None:
                raise AuthenticationFailed("TastyTrade needs a client secret and a refresh token: set TT_SECRET and TT_REFRESH")
            url = self._settings.api_url
            self._session = Session(
                secret.get_secret_value(),
                refresh.get_secret_value(),
                is_test=self._settings.is_test,
                timeout=TIMEOUT_S,
                trust_env=not (url and is_loopback(urlsplit(url).hostname or "")),  # a proxy has no business on loopback
                auth=Patient(url, self._renewed, self._sleep, self._chance, self._note),
            )
        return self._session

    async def _renewed(self, refused: str) -> str:
        """A fresh Authorization for one that was refused; the many that were refused with it get the same."""
        session = self._open()
        async with self._renewing:
            if refused == f"Bearer {session.session_token}":
                await session.refresh(force=True)
        return f"Bearer {session.session_token}"

    def _translated(self, refused: Refused, what: str) -> MarketDataError:
        status, body = refused.status, refused.body
        said = self._plain(_said(body)) or "nothing"
        often = f", {refused.tries} times" if refused.tries > 1 else ""
        if status == 401 or (status == 400 and what == LOGIN):
            what = what if what == LOGIN else f"{what}, also with a fresh access token"
            return AuthenticationFailed(
                f"TastyTrade refused the {what} (HTTP {status}: {said}): check TT_SECRET (client secret) and TT_REFRESH (refresh token)", status=status
            )
        if status == 403 or (status == 404 and what == QUOTE_TOKEN):
            refusal = "does not let this login in" if what == LOGIN else f"does not grant this login the {what}"
            return NotEntitled(f"TastyTrade {refusal} (HTTP {status}): {said}", status=status)
        if status == 404 and what != LOGIN:
            return UnknownContract(f"TastyTrade knows no {what} (HTTP 404)")
        if status == 429:
            wait = f"; try again in {refused.retry_after_s:g} s" if refused.retry_after_s else "; try again later"
            return RateLimited(f"TastyTrade limits requests ({what}, HTTP 429{often}){wait}", status=status, retry_after_s=refused.retry_after_s)
        if status >= 500:
            return ConnectionLost(f"TastyTrade answered HTTP {status} to the {what}{often}: {said}; try again in a moment", status=status)
        if status < 400:
            return ProtocolViolation(f"TastyTrade's answer to the {what} cannot be read (HTTP {status}{often}): {said}", status=status)
        return FeedError(f"TastyTrade answered HTTP {status} to the {what}: {said}", status=status)

    def _plain(self, said: str) -> str:
        """What was said, as one short line; a server may have quoted our own secrets back at us."""
        said = " ".join(said.split())
        hidden = [secret.get_secret_value() for secret in (self._settings.client_secret, self._settings.refresh_token) if secret is not None]
        hidden += [self._session.session_token] if self._session is not None else []
        for secret in filter(None, hidden):
            said = said.replace(secret, "(hidden)")
        return said[:200]


def _said(body: bytes) -> str:
    """The reason in an error reply: of the API's own kind, of OAuth's (RFC 6749), of a proxy's page; else its text.

    >>> _said(b'{"error": {"code": "not_permitted", "message": "Scope missing"}}'), _said(b'{"error_code": "invalid_client", "error_description": "No"}')
    ('not_permitted: Scope missing', 'invalid_client: No')
    >>> _said(b"<html><title>502 Bad Gateway</title></html>"), _said(b"")
    ("an HTML page '502 Bad Gateway'", '')
    """
    text = body[:20_000].decode("utf-8", "replace").strip()
    if text.startswith("<"):
        found = _TITLE.search(text)
        return f"an HTML page {' '.join((found[1] or found[2] or '').split())!r}" if found else "an HTML page"
    try:
        reply = json.loads(text)
    except ValueError:
        return text
    if not isinstance(reply, dict):
        return text
    error = reply.get("error", reply)
    if not isinstance(error, dict):
        return f"{error}: {reply['error_description']}" if "error_description" in reply else str(error)
    parts = [error.get(first, error.get(second)) for first, second in (("code", "error_code"), ("message", "error_description"))]
    return ": ".join(str(part) for part in parts if part) or text
