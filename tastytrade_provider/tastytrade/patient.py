"""What every HTTP request to TastyTrade goes through: address and User-Agent, a fresh token after a 401, patience with a server in trouble.

It hangs in the SDK's HTTP client as its authentication, the one place that sees each single request, pages of a list among them, and may repeat it.
Imports the HTTP client, so it is imported late.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from urllib.parse import urlsplit

import httpx2

from .. import __version__
from .retry import Kind, kind_of, seconds_of, wait_s


class Refused(Exception):
    """An answer that is none, after all tries. Becomes one of our errors in `rest`."""

    def __init__(self, status: int, body: bytes, retry_after_s: float | None, tries: int, *, is_login: bool) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body, self.retry_after_s, self.tries, self.is_login = status, body, retry_after_s, tries, is_login


class Patient(httpx2.Auth):
    """The flow of one request.

    api_url  where requests go instead of the SDK's own address; None: there
    renew    gets the Authorization that was refused and gives a fresh one      sleep, chance  pauses and their jitter
    note     told in a sentence about each answer after which a request is made again
    """

    def __init__(
        self,
        api_url: str | None,
        renew: Callable[[str], Awaitable[str]],
        sleep: Callable[[float], Awaitable[object]],
        chance: Callable[[], float],
        note: Callable[[str], object],
    ) -> None:
        self._api_url, self._renew, self._sleep, self._chance, self._note = api_url, renew, sleep, chance, note

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Sends the request until its answer is good, or raises `Refused`."""
        is_login = request.method == "POST"
        self._address(request)
        tries: Counter[Kind] = Counter()
        waited_s: dict[Kind, float] = {}
        while True:
            response = yield request
            body = await response.aread()
            kind = kind_of(response.status_code, body, is_login=is_login)
            if kind is Kind.GOOD:
                return
            tries[kind] += 1
            retry_after_s = seconds_of(response.headers.get("Retry-After", ""), dt.datetime.now(dt.UTC))
            pause_s = wait_s(kind, tries[kind], waited_s.get(kind, 0.0), retry_after_s, self._chance())
            if pause_s is None:
                raise Refused(response.status_code, body, retry_after_s, tries.total(), is_login=is_login)
            self._note(f"HTTP {response.status_code} to {request.url.path}: asked again after {pause_s:.1f} s")
            if kind is Kind.UNAUTHORIZED:
                request.headers["Authorization"] = await self._renew(request.headers.get("Authorization", ""))
            else:
                waited_s[kind] = waited_s.get(kind, 0.0) + pause_s
                await self._sleep(pause_s)

    def _address(self, request: httpx2.Request) -> None:
        request.headers["User-Agent"] = f"tastytrade-provider/{__version__}"  # without product/version the API answers 401
        if self._api_url:
            to = urlsplit(self._api_url)
            request.url = request.url.copy_with(scheme=to.scheme, host=to.hostname, port=to.port, path=to.path.rstrip("/") + request.url.path)
            request.headers["Host"] = to.netloc
