"""The ready application: the router, the page at /, and what an operator asks for."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from .. import __version__
from ..config import load
from ..settings import Settings
from .errors import answer_of, problem
from .router import create_router
from .runtime import Runtime
from .security import HEADERS, Denied, Guard
from .socket import serve
from .status import readiness
from .wire import encode

STATIC: Final = Path(__file__).parent / "static"
_READS: Final = ("/statistics", "/metrics", "/openapi.json")
"""What needs the token beside /api where looking does. Not /health and /ready, which whoever keeps the process running asks; not the page's own files,
for which a browser cannot send one: what they show asks for it."""

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def create_app(config: str | Path | Mapping[str, Any] | Settings | None = None, *, runtime: Runtime | None = None) -> FastAPI:
    """The application of a configuration, not yet running: its lifespan starts and stops the feed. `runtime`: one made before, instead.

    Raises ConfigError; also where `service.host` can be reached from other machines and there is no token.
    """
    settings = load(config).service if runtime is None else runtime.settings
    guard = Guard.bound(settings)
    live = runtime or Runtime.of(config)
    app = FastAPI(
        title="tastytrade-provider", version=__version__, description="Futures order flow: volume delta, CVD, footprint.",
        docs_url=None, redoc_url=None, lifespan=live.lifespan,
    )  # fmt: skip
    app.state.runtime = live
    app.include_router(create_router(live, guard))
    app.add_exception_handler(HTTPException, _refused)
    registry = CollectorRegistry()
    live.register_metrics(registry)

    @app.get("/health", include_in_schema=False)
    async def health() -> Response:
        found = live.health()
        return _json(found, 200 if found["status"] == "ok" else 503)

    @app.get("/ready", include_in_schema=False)
    async def ready() -> Response:
        found = readiness(live)
        return _json(found, 200 if found["ready"] else 503)

    @app.get("/statistics", include_in_schema=False)
    async def statistics() -> Response:
        return _json(live.statistics())

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.websocket("/ws")
    async def websocket(websocket: WebSocket) -> None:
        await serve(websocket, live, guard)

    if (STATIC / "index.html").exists():
        mimetypes.add_type("text/javascript", ".js")  # on Windows the registry may say otherwise, and then no browser runs it
        mimetypes.add_type("text/javascript", ".mjs")
        app.mount("/", _Fresh(directory=STATIC, html=True), name="page")
    app.add_middleware(_Shield, guard=guard)
    return app


class _Fresh(StaticFiles):
    """Files that a browser asks for again each time, cheaply: an upgrade is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


class _Shield:
    """Host, Origin and token for what lies outside the router too, and the security headers on every answer."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], guard: Guard) -> None:
        self._app, self._guard = app, guard
        self._headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def shielded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        request = Request(scope)
        try:
            self._guard.check_source(request.headers)
            if scope["path"] in _READS:
                self._guard.check_read(request.headers)
        except Denied as error:
            await answer_of(error)(scope, receive, shielded)
            return
        await self._app(scope, receive, shielded)


async def _refused(request: Request, error: Exception) -> Response:
    """A path or a method that nobody serves, in the shape of every other error."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    answer = problem(status, status.phrase.replace(" ", ""), f"{status.phrase}: {request.method} {request.url.path[:100]}")
    answer.headers.update(error.headers or {})
    return answer


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(encode(content), status, {"Cache-Control": "no-store"}, "application/json")
