from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks

from tastytrade_provider.model import Contract, Gap, Roll, TradeBatch
from tastytrade_provider.provider import Subscription
from tastytrade_provider.service import Runtime, create_app
from tastytrade_provider.settings import ServiceSettings
from tests.checks.builders import ES, opening
from tests.service.stage import Played, some_trades


class Busy(Played):
    """Has trades for whoever subscribes."""

    def subscribe_trades(self, contract: Contract) -> Subscription[TradeBatch | Gap | Roll]:
        made = super().subscribe_trades(contract)
        made.put(some_trades(*((second, 6000.0 + second % 5 / 4, 1 + second % 3, second % 3 - 1) for second in range(120)), contract=contract))
        return made


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A running service, which accepts changes by the token "t"."""
    live = Runtime(Busy(ES), ("ES",), timeframe="5s", wall_ns=opening, settings=ServiceSettings(token="t"))  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(create_app(runtime=live), port=0, log_level="error", ws="wsproto"))
    started = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(server.serve())
        while not (server.started and live.markets and live.market("ES").counts.trades):  # noqa: ASYNC110  # two loops: nothing to wait on
            await asyncio.sleep(0.01)
        started.set()
        await task

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def api(url: str) -> schemathesis.schemas.BaseSchema:
    """Its OpenAPI document."""
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


CHECKS = [checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]
OPERATIONS = (
    "GET /api/bars/{symbol}", "GET /api/delta", "GET /api/delta/{symbol}", "GET /api/delta/{symbol}/footprint", "GET /api/delta/{symbol}/history",
    "GET /api/indicators", "GET /api/indicators/{name}/{symbol}", "GET /api/tastytrade/playback", "GET /api/tastytrade/status",
    "POST /api/delta/{symbol}/reset", "POST /api/tastytrade/playback",
)  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_request_breaks_the_service_and_every_answer_fits_the_document(api: schemathesis.schemas.BaseSchema, name: str) -> None:
    method, _, path = name.partition(" ")

    @settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(), is_known=st.integers(0, 3))
    def ask(case: schemathesis.Case, is_known: int) -> None:
        if is_known:  # of what a schema allows, almost nothing names a contract
            case.path_parameters = {known: {"symbol": "ES", "name": "cvd"}[known] for known in case.path_parameters or {}}
            case.query = {key: value for key, value in (case.query or {}).items() if key != "symbol"}
        case.call_and_validate(checks=CHECKS, headers={"Authorization": "Bearer t"}, timeout=60)  # of a busy machine

    ask()


def test_every_operation_is_asked(api: schemathesis.schemas.BaseSchema) -> None:
    assert sorted(f"{method.upper()} {path}" for path, methods in api.raw_schema["paths"].items() for method in methods) == list(OPERATIONS)
