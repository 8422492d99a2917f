"""The REST side: one request in, one response out. Reads no socket and no clock; who calls says what time it is.

Shapes after the public OpenAPI pages (developer.tastytrade.com) and the models of the tastytrade SDK 13.2.3.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from tastytrade_provider.emulator import listing, market_time
from tastytrade_provider.model import Contract

CLIENT_SECRET: Final = "emulated-client-secret"
REFRESH_TOKEN: Final = "emulated-refresh-token"
DEFAULT_PER_PAGE: Final = 250
MOST_PER_PAGE: Final = 1000
ACCESS_TOKEN_LIFE_S: Final = 900.0
QUOTE_TOKEN_LIFE_S: Final = 86_400.0

_USER_AGENT = re.compile(r"[^\s/]+/\S+")


@dataclass(frozen=True)
class Request:
    """One HTTP request. Header names in lower case; `target` is path and query as they came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """Status, body, and headers besides Content-Length."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json; charset=utf-8"),)


@dataclass(frozen=True)
class Query:
    """What a handler needs of a request. Keys without their brackets: `symbol[]` is `symbol`."""

    values: Mapping[str, Sequence[str]]
    match: re.Match[str]
    now_s: float
    market_ns: int

    def number(self, key: str, default: int) -> int:
        """The last value of a key, if it is a whole number of 0 or more."""
        last = self.values.get(key, [""])[-1]
        return int(last) if last.isdigit() else default


@dataclass
class Tokens:
    """The tokens given out, with the time each is good until (seconds of the caller's clock)."""

    prefix: str
    life_s: float
    until_s: dict[str, float] = field(default_factory=dict)

    def issue(self, now_s: float) -> str:
        """A new token."""
        token = f"{self.prefix}-{len(self.until_s) + 1}"
        self.until_s[token] = now_s + self.life_s
        return token

    def is_good(self, token: str, now_s: float) -> bool:
        """Whether it was given out and still counts."""
        return now_s < self.until_s.get(token, float("-inf"))

    def expire(self) -> None:
        """Every token given out so far is good no more."""
        self.until_s = dict.fromkeys(self.until_s, float("-inf"))


class Rest:
    """The endpoints.

    dxlink_url     what `/api-quote-tokens` names; set it once it is known
    level          of the quote tokens: "api", or "demo" for delayed data
    unstreamed     symbols whose `streamer-symbol` is told as empty, which the API's schema allows; add to it
    most_per_page  longest page of a list, whatever is asked for; set it lower to have many pages
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        client_secret: str = CLIENT_SECRET,
        refresh_token: str = REFRESH_TOKEN,
        dxlink_url: str = "",
        level: str = "api",
    ) -> None:
        self.dxlink_url, self.level = dxlink_url, level
        self.unstreamed: set[str] = set()
        self.most_per_page = MOST_PER_PAGE
        self.access_tokens = Tokens("access", ACCESS_TOKEN_LIFE_S)
        self.quote_tokens = Tokens("quote", QUOTE_TOKEN_LIFE_S)
        self._contracts = tuple(contracts)
        self._credentials = {"client_secret": client_secret, "refresh_token": refresh_token}

    def answer(self, request: Request, now_s: float, market_ns: int) -> Response:
        """Answer a request. `now_s` is wall time in Unix seconds, for tokens; `market_ns` the market's own clock, UTC nanoseconds."""
        url = urlsplit(request.target)
        if not _USER_AGENT.match(request.headers.get("user-agent", "")):
            return error(401, "invalid_user_agent", "User-Agent must be of the form product/version")
        if url.path == "/oauth/token":
            return self._oauth(request, now_s) if request.method == "POST" else _method_not_allowed(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.access_tokens.is_good(token.strip(), now_s):
            return error(401, "unauthorized", "The access token is missing, unknown or has expired")
        values: dict[str, list[str]] = {}
        for key, value in parse_qsl(url.query):
            values.setdefault(key.removesuffix("[]"), []).append(value)
        for pattern, handler in _ROUTES:
            if (match := pattern.fullmatch(unquote(url.path))) is not None:
                if request.method != "GET":
                    return _method_not_allowed(request)
                return handler(self, Query(values, match, now_s, market_ns))
        return _not_found(url.path)

    def _oauth(self, request: Request, now_s: float) -> Response:
        try:
            asked = orjson.loads(request.body)
        except ValueError:
            asked = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        if not isinstance(asked, dict) or asked.get("grant_type") != "refresh_token":
            return _oauth_error(400, "unsupported_grant_type", "grant_type must be refresh_token")
        for key, expected in self._credentials.items():
            if asked.get(key) != expected:
                reason = ("invalid_client", "Client authentication failed") if key == "client_secret" else ("invalid_grant", "Grant revoked")
                return _oauth_error(401, *reason)
        token = self.access_tokens.issue(now_s)
        return _json(200, {"access_token": token, "expires_in": int(self.access_tokens.life_s), "token_type": "Bearer"})

    def _quote_token(self, query: Query) -> Response:
        token = self.quote_tokens.issue(query.now_s)
        content = {
            "token": token,
            "dxlink-url": self.dxlink_url,
            "websocket-url": self.dxlink_url,
            "level": self.level,
            "issued-at": _iso(query.now_s),
            "expires-at": _iso(self.quote_tokens.until_s[token]),
        }
        return _data(content, "/api-quote-tokens")

    def _listed(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [item | {"streamer-symbol": ""} if item["symbol"] in self.unstreamed else item for item in items]

    def _futures(self, query: Query) -> Response:
        only_active = query.values.get("only-active-futures", ["true"])[-1] != "false"
        futures = self._listed(listing.futures(self._contracts, query.market_ns, only_active=only_active))
        if wanted := query.values.get("symbol"):
            names = {symbol.lstrip("/") for symbol in wanted}
            futures = [item for item in futures if item["symbol"].lstrip("/") in names]
        elif codes := query.values.get("product-code"):
            futures = [item for item in futures if item["product-code"] in codes]
        return self._page(futures, query, "/instruments/futures")

    def _future(self, query: Query) -> Response:
        symbol = query.match[1].lstrip("/")
        return _one(self._listed(listing.futures(self._contracts, query.market_ns, only_active=False)), lambda item: item["symbol"] == f"/{symbol}", query)

    def _equities(self, query: Query) -> Response:
        items, wanted = self._listed(listing.equities(self._contracts)), query.values.get("symbol")
        for key in ("is-index", "is-etf", "lendability"):
            if asked := query.values.get(key):
                items = [item for item in items if str(item[key]).lower() == asked[-1].lower()]
        return self._page([item for item in items if not wanted or item["symbol"] in wanted], query, "/instruments/equities")

    def _active_equities(self, query: Query) -> Response:
        return self._page([item for item in self._listed(listing.equities(self._contracts)) if item["active"]], query, "/instruments/equities/active")

    def _equity(self, query: Query) -> Response:
        return _one(self._listed(listing.equities(self._contracts)), lambda item: item["symbol"] == query.match[1], query)

    def _products(self, query: Query) -> Response:
        return _data({"items": listing.products()}, "/instruments/future-products")

    def _product(self, query: Query) -> Response:
        wanted = (query.match[1], query.match[2])
        return _one(listing.products(), lambda item: (item["exchange"], item["code"]) == wanted, query)

    def _cryptocurrencies(self, query: Query) -> Response:
        items, wanted = self._listed(listing.cryptocurrencies(self._contracts)), query.values.get("symbol")
        return _data({"items": [item for item in items if not wanted or item["symbol"] in wanted]}, "/instruments/cryptocurrencies")

    def _cryptocurrency(self, query: Query) -> Response:
        return _one(self._listed(listing.cryptocurrencies(self._contracts)), lambda item: item["symbol"] == query.match[1], query)

    def _sessions(self, query: Query) -> Response:
        names = query.values.get("instrument-collections", ["CME"])
        items = [market_time.session(name, query.market_ns) for name in names]
        return _data({"items": items}, "/market-time/sessions/current")

    def _holidays(self, query: Query) -> Response:
        return _data(market_time.holidays(query.match[1], query.market_ns), query.match[0])

    def _page(self, items: Sequence[dict[str, Any]], query: Query, context: str) -> Response:
        size, page = min(max(query.number("per-page", DEFAULT_PER_PAGE), 1), self.most_per_page), query.number("page-offset", 0)
        shown = list(itertools.islice(items, page * size, (page + 1) * size))
        pagination = {
            "per-page": size,
            "page-offset": page,
            "item-offset": page * size,
            "total-items": len(items),
            "total-pages": -(-len(items) // size),
            "current-item-count": len(shown),
            "previous-link": None,
            "next-link": None,
            "paging-link-template": None,
        }
        return _json(200, {"data": {"items": shown}, "context": context, "pagination": pagination})


_ROUTES: Final[tuple[tuple[re.Pattern[str], Callable[[Rest, Query], Response]], ...]] = tuple(
    (re.compile(pattern), handler)
    for pattern, handler in (
        ("/api-quote-tokens", Rest._quote_token),
        ("/instruments/futures", Rest._futures),
        ("/instruments/futures/(/?[^/]+)", Rest._future),
        ("/instruments/future-products", Rest._products),
        ("/instruments/future-products/([^/]+)/([^/]+)", Rest._product),
        ("/instruments/equities", Rest._equities),
        ("/instruments/equities/active", Rest._active_equities),
        ("/instruments/equities/(.+)", Rest._equity),
        ("/instruments/cryptocurrencies", Rest._cryptocurrencies),
        ("/instruments/cryptocurrencies/(.+)", Rest._cryptocurrency),
        ("/market-time/sessions/current", Rest._sessions),
        ("/market-time/futures/holidays/(CME)", Rest._holidays),
        ("/market-time/(equities)/holidays", Rest._holidays),
    )
)


def error(status: int, code: str, message: str) -> Response:
    """An error as the API words it."""
    return _json(status, {"error": {"code": code, "message": message}})


def _oauth_error(status: int, code: str, description: str) -> Response:
    return _json(status, {"error_code": code, "error_description": description})


def _not_found(what: str) -> Response:
    return error(404, "not_found", f"Couldn't find {what}")


def _method_not_allowed(request: Request) -> Response:
    return error(405, "method_not_allowed", f"{request.method} is not allowed here")


def _one(items: Sequence[dict[str, Any]], fits: Callable[[dict[str, Any]], bool], query: Query) -> Response:
    found = next(filter(fits, items), None)
    return _not_found(query.match[0]) if found is None else _data(found, query.match[0])


def _data(content: Mapping[str, Any], context: str) -> Response:
    return _json(200, {"data": content, "context": context})


def _json(status: int, content: object) -> Response:
    return Response(status, orjson.dumps(content))


def _iso(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).isoformat(timespec="milliseconds")
