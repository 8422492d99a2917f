"""Errors as HTTP answers, all of one shape: `{"error": kind, "detail": sentence}`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from ..errors import FeedError, MarketDataError, RateLimited, UnknownContract, UsageError
from .models import Problem
from .security import Denied, Guard
from .wire import encode

_STATUS: Final[tuple[tuple[type[MarketDataError], int], ...]] = ((UnknownContract, 404), (UsageError, 400), (FeedError, 503), (MarketDataError, 503))
_MEANING: Final = {
    400: "The request cannot be: a time, a timeframe or a name that is none",
    401: "The token is missing or wrong",
    403: "Asked by a page from elsewhere, or no token is set",
    404: "No such contract or indicator; a live feed has no playback",
    406: "No media type that is accepted is served",
    409: "It is over: there is nothing more to be played",
    421: "Not a host name of this service",
    422: "A parameter is missing or malformed",
    429: "Too many changes; see Retry-After",
    503: "The feed cannot answer now",
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {status: {"model": Problem, "description": text} for status, text in _MEANING.items()}
"""For OpenAPI: what every endpoint may answer beside its 200."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def problem(status: int, kind: str, detail: str, retry_after_s: float | None = None) -> Response:
    """An error answer."""
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(max(1, round(retry_after_s)))} if retry_after_s is not None else {})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    text = encode({"error": kind, "detail": detail.encode("utf-8", "replace").decode()})
    return Response(text, status, headers, "application/json")


def answer_of(error: Exception) -> Response:
    """The answer for one of our errors."""
    if isinstance(error, Denied):
        return problem(error.status, "Denied", str(error), error.retry_after_s)
    if isinstance(error, RequestValidationError):  # where and what is wrong, never the value
        said = "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors())
        return problem(422, "RequestValidationError", said[:1000])
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    retry_after_s = error.retry_after_s if isinstance(error, RateLimited) else 1.0 if status == 503 else None
    return problem(status, type(error).__name__, str(error), retry_after_s)


def guarded(guard: Guard) -> type[APIRoute]:
    """A kind of route that looks at Host, Origin and token first, and answers our errors."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            inner = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    guard.check_source(request.headers)
                    (guard.check_read if request.method in ("GET", "HEAD") else guard.check_change)(request.headers)
                    return await inner(request)
                except (Denied, RequestValidationError, MarketDataError) as error:
                    return answer_of(error)

            return handle

    return GuardedRoute
