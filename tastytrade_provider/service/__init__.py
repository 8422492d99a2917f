"""Order flow over HTTP and WebSocket: a router for any FastAPI app, the ready app, and the runtime behind both. Needs the extra `[service]`.

app = create_app("config.yaml")                 # everything: /api, /health, /ready, /statistics, /metrics, /ws and the page

runtime = Runtime.of("config.yaml")             # or into an app of your own, whose routes stay what they are
app = FastAPI(lifespan=runtime.lifespan)        # or call runtime.start() and stop() in yours
app.include_router(create_router(runtime))
"""

from __future__ import annotations

from ..errors import MissingExtra

try:
    from .app import create_app
    from .router import create_router
    from .runtime import Runtime
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in ("fastapi", "starlette", "prometheus_client"):
        raise
    raise MissingExtra(f"the service needs {package}: pip install 'tastytrade-provider[service]'") from error

__all__ = ["Runtime", "create_app", "create_router"]
