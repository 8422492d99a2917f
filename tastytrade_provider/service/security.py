"""Who may ask what: the token, the Origin, the Host (a page elsewhere whose name was made to point here), and how often something may be changed."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from ..config import is_loopback
from ..errors import ConfigError
from ..settings import ServiceSettings

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Sent with every answer of the ready app. Styles may be inline because the chart library writes some."""


class Denied(Exception):
    """Not with this request. `status` is the HTTP status."""

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


@dataclass(frozen=True)
class Guard:
    """What a request must bring.

    token         the secret; None: nobody can change anything
    reads_need_token  whether looking needs it too: wherever the service can be reached from other machines
    hosts         names the Host header may hold, without port; None: any, where a host application looks to that itself
    """

    token: str | None = field(default=None, repr=False)
    reads_need_token: bool = False
    hosts: frozenset[str] | None = None

    @classmethod
    def of(cls, settings: ServiceSettings) -> Guard:
        """For a router in an application of somebody else's: whatever it listens on."""
        return cls(_secret(settings))

    @classmethod
    def bound(cls, settings: ServiceSettings) -> Guard:
        """For the ready app, by where it listens. ConfigError for an address beyond loopback without a token."""
        token = _secret(settings)
        if is_loopback(settings.host):
            return cls(token, False, frozenset({"localhost", "127.0.0.1", "::1", settings.host.lower()}))
        if token is None:
            raise ConfigError(f"service.host {settings.host} can be reached from other machines; set TTP_SERVICE__TOKEN")
        return cls(token, True, None)  # without the token a foreign page gets nothing, under whatever name it calls

    def check_source(self, headers: Mapping[str, str]) -> None:
        """Host and Origin. Denied where a page of somewhere else asks."""
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            raise Denied(421, "this service does not answer to that host name")
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            raise Denied(403, "requests of pages from elsewhere are not answered")

    def check_read(self, headers: Mapping[str, str]) -> None:
        """Denied where looking needs the token and it is not there."""
        if self.reads_need_token:
            self.check_token(headers.get("authorization", ""))

    def check_change(self, headers: Mapping[str, str]) -> None:
        """Denied without the token."""
        if self.token is None:
            raise Denied(403, "no token is set, so nothing can be changed; set TTP_SERVICE__TOKEN and send it as 'Authorization: Bearer ...'")
        self.check_token(headers.get("authorization", ""))

    def check_token(self, authorization: str) -> None:
        """Denied unless it is `Bearer` and the token."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not self.is_token(given.strip()):
            raise Denied(401, "the token is missing or wrong; send it as 'Authorization: Bearer ...'")

    def is_token(self, given: str) -> bool:
        """Compared in constant time."""
        return self.token is not None and hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


class RateLimit:
    """So many at once, and one more each `refill_s`, by who asks. Remembers the latest `most` of them.

    >>> limit = RateLimit(burst=1, refill_s=10.0, clock=iter([0, 1_000_000_000, 11_000_000_000]).__next__)
    >>> limit.wait_s("a"), limit.wait_s("a"), limit.wait_s("a")
    (0.0, 9.0, 0.0)
    """

    def __init__(self, burst: int, refill_s: float, clock: Callable[[], int], most: int = 1_000) -> None:
        self._burst, self._refill_s, self._clock, self._most = burst, refill_s, clock, most
        self._left: OrderedDict[Any, tuple[float, int]] = OrderedDict()

    def wait_s(self, who: Any) -> float:
        """0 where it may go on (and it is counted), else the seconds to wait."""
        now = self._clock()
        left, seen = self._left.pop(who, (float(self._burst), now))
        left = min(float(self._burst), left + (now - seen) / 1e9 / self._refill_s)
        wait_s = 0.0 if left >= 1.0 else (1.0 - left) * self._refill_s
        self._left[who] = (left - 1.0 if left >= 1.0 else left, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return wait_s


def _secret(settings: ServiceSettings) -> str | None:
    value = settings.token.get_secret_value().strip() if settings.token else ""
    return value or None


def _netloc(origin: str) -> str | None:
    """Name and port of an Origin header; None where it has none, as `null`."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
