"""`serve`: the configured provider's order flow over HTTP and WebSocket, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import orjson

from ..errors import ConfigError
from ..settings import ServiceSettings, Settings
from ..warm import warm_up
from .config import read
from .ports import listen

if TYPE_CHECKING:
    from ..service import Runtime

_FAREWELL_S = 2  # for requests and sockets under way; then they are cut


def run(*, host: str | None, port: int | None, as_json: bool, config_path: str | None) -> None:
    """Run it; see `serve --help`."""
    from ..service import Runtime

    settings = read(config_path)
    if host is not None:
        settings = settings.model_copy(update={"service": _at(settings.service, host)})
    runtime = Runtime.of(settings)
    warm_up()

    def told(url: str) -> None:
        click.echo(orjson.dumps({"url": url}).decode() if as_json else f"order flow of {runtime.provider.name} at {url}  (Ctrl-C ends it)")

    serve(runtime, told, port=port)


def demo_runtime(settings: Settings, provider: Any, timeframe: str, *, speed: float | None) -> Runtime:
    """A runtime of the demo's market, all contracts of it, for `serve`. `speed`: of the exchange's clock, None where a tape's trades are the clock."""
    from ..service import Runtime

    symbols = [contract.symbol for contract in provider.source.contracts]
    return Runtime(provider, symbols, timeframe=timeframe, indicators=settings.indicators, settings=settings.service, speed=speed)


def serve(runtime: Runtime, told: Callable[[str], object], *, port: int | None = None, seconds: float | None = None) -> None:
    """Serve a runtime where its settings say, on uvicorn, until SIGINT or SIGTERM; then clients are told, the journal flushed, and it returns.

    told     called with the address once it listens       port  another one; 0 takes a free one
    seconds  end after this long

    Raises UsageError where the port cannot be had.
    """
    import uvicorn

    from ..service import create_app

    app = create_app(runtime=runtime)
    settings = runtime.settings

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                name = self.servers[0].sockets[0].getsockname()
                if seconds is not None:
                    asyncio.get_running_loop().call_later(seconds, self.handle_exit, signal.SIGTERM, None)
                told(f"http://{f'[{name[0]}]' if ':' in name[0] else name[0]}:{name[1]}/")

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await runtime.hub.close("the service stops")  # while the sockets can still carry it
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app, log_level=logging.WARNING, access_log=False, server_header=False, ws="wsproto",
        ws_max_size=65_536, ws_per_message_deflate=False, timeout_graceful_shutdown=_FAREWELL_S, proxy_headers=False, lifespan="on",
    )  # fmt: skip
    server, listening = Server(config), listen(settings.host, settings.port if port is None else port)
    # from now on, not only once it listens; and uvicorn sends them again when it is done
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=listening)
    finally:
        for each in listening:
            each.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _at(service: ServiceSettings, host: str) -> ServiceSettings:
    """The section with another host. ConfigError where that needs a token and there is none."""
    from pydantic import ValidationError

    try:
        return ServiceSettings(**{**dict(service), "host": host})
    except ValidationError as error:
        raise ConfigError("; ".join(str(each["msg"]) for each in error.errors(include_input=False, include_url=False))) from None
