from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, generate_latest

from tastytrade_provider.errors import ConnectionLost, NoData
from tastytrade_provider.service import Runtime, create_app, create_router, models
from tastytrade_provider.settings import ServiceSettings
from tests.checks.builders import opening
from tests.service.stage import SECOND, Handed, client, fetched, running, some_trades

TOKEN = "not-a-secret-in-a-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(params=[None])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Runtime, Handed, Any]]:
    """A runtime with trades, and HTTP into its ready app. The parameter is why the trades before it could not be fetched."""
    settings, handed = ServiceSettings(token=TOKEN), Handed()  # type: ignore[arg-type]
    handed.past = request.param
    async with running(handed, settings=settings) as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1), (1, 6000.25, 1, -1), (5, 6000.5, 4, 1), (6, 6000.5, 2, 0), (11, 6000.0, 5, -1)))
        async with client(create_app(runtime=live)) as http:
            yield live, provider, http


async def test_a_host_application_keeps_its_routes_and_ours_answer_beside_them() -> None:
    async with running() as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        app, registry = FastAPI(), CollectorRegistry()
        Counter("host_orders", "Orders of the host.", registry=registry).inc()
        live.register_metrics(registry)

        @app.get("/health")
        async def health() -> dict[str, Any]:
            return {"host": "fine", "order_flow": live.health()}

        @app.get("/metrics")
        async def metrics() -> Any:
            return generate_latest(registry).decode()

        before = {getattr(route, "path", None) for route in app.routes}
        app.include_router(create_router(live))
        assert all(path.startswith("/api/") for path in {getattr(route, "path", "") for route in app.routes} - before if path)
        async with client(app) as http:
            assert await fetched(lambda: http.get("/health")) == {"host": "fine", "order_flow": {"status": "ok", "feed": "connected"}}
            text = (await http.get("/metrics")).text
            assert "host_orders_total 1.0" in text
            assert "tastytrade_provider_trades_total{symbol=" in text
            assert (await fetched(lambda: http.get("/api/delta/ES")))["trades"] == 1
            assert (await http.get("/ready")).status_code == 404
            assert (await http.get("/api/delta/ES", headers={"Host": "trading.example.com"})).status_code == 200


async def test_status_tells_what_the_feed_is(served: Any) -> None:
    found = await fetched(lambda: served[2].get("/api/tastytrade/status"))
    assert (found["state"], found["delta_source"], found["token_level"], found["ready"]) == ("connected", "time_and_sale", "api", True)
    assert found["contracts"][0]["shares"] == {"exchange": 0.8, "quote": 0.0, "tick": 0.0, "none": 0.2}


async def test_delta_is_that_of_the_forming_bar_and_cvd_that_of_the_session(served: Any) -> None:
    found = await fetched(lambda: served[2].get("/api/delta/ES"))
    assert (found["closed"], found["delta"], found["bar"]["sell_volume"]) == (False, -5.0, 5.0)
    assert found["cvd"] == {
        "value": 1.0, "open": 6.0, "high": 6.0, "low": 1.0, "highest": 6.0, "lowest": 0.0, "since": "2026-11-23T14:30:00Z",
    }  # fmt: skip
    assert found["sides"] == {"exchange": 4, "quote": 0, "tick": 0, "none": 1}


async def test_all_contracts_come_together_and_one_by_a_form_that_is_no_path(served: Any) -> None:
    every = await fetched(lambda: served[2].get("/api/delta"))
    assert [each["symbol"] for each in every["contracts"]] == ["/ESZ6", "/NQZ6"]
    assert every["contracts"][1]["bar"] is None
    one = await fetched(lambda: served[2].get("/api/delta", params={"symbol": "/NQZ26:XCME"}))
    assert [each["symbol"] for each in one["contracts"]] == ["/NQZ6"]
    assert (await fetched(lambda: served[2].get("/api/delta/any", params={"symbol": "/ESZ6"})))["market"] == "ES"


async def test_history_comes_page_by_page_each_bar_once(served: Any) -> None:
    _, provider, http = served
    for second in range(16, 120):
        provider.put(some_trades((second, 6000.0, 1, 1)))
    url, times = "/api/delta/ES/history?limit=5", list[str]()
    for _ in range(10):
        answer = await http.get(url)
        times += [bar["time"] for bar in answer.json()["bars"]]
        link = answer.headers.get("link")
        if link is None:
            break
        assert answer.json()["next"] in link
        url = link[1 : link.index(">")]
    assert times == [f"2026-11-23T14:{30 + second // 60}:{second % 60:02}Z" for second in range(0, 115, 5)]


async def test_a_range_holds_the_bars_that_start_in_it(served: Any) -> None:
    params = {"start": "2026-11-23T14:30:05Z", "end": "2026-11-23T15:30:10+01:00"}
    found = await fetched(lambda: served[2].get("/api/bars/ES", params=params))
    assert [(bar["time"], bar["delta"], bar["unknown_volume"]) for bar in found["bars"]] == [("2026-11-23T14:30:05Z", 4.0, 2.0)]


async def test_csv_and_arrow_hold_what_json_does(served: Any) -> None:
    http = served[2]
    bars = (await fetched(lambda: http.get("/api/bars/ES")))["bars"]
    text = await http.get("/api/bars/ES", headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [(row["time"], float(row["cvd"]), row["strength"]) for row in rows] == [(bar["time"], bar["cvd"], "") for bar in bars]
    stream = await http.get("/api/bars/ES", headers={"Accept": "application/vnd.apache.arrow.stream"})
    table = pa.ipc.open_stream(stream.content).read_all()
    assert table["delta"].to_pylist() == [bar["delta"] for bar in bars]
    assert table["time"].to_pylist() == [bar["time"] for bar in bars]


async def test_a_media_type_nobody_has_is_not_acceptable(served: Any) -> None:
    answer = await served[2].get("/api/bars/ES", headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert "text/csv" in answer.json()["detail"]


@pytest.mark.parametrize("served", [NoData("nothing is kept")], indirect=True)
async def test_bars_from_before_the_service_come_from_the_provider_with_cvd_since_their_sessions_open(served: Any) -> None:
    _, provider, http = served
    at = pd.DatetimeIndex((opening() - np.array([30, 20, 10], np.int64) * SECOND), tz="UTC", name="time")
    columns: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close", "vwap"), [6000.0] * 3)
    columns |= {"volume": [5.0, 6.0, 7.0], "buy_volume": [4.0, 2.0, 7.0], "sell_volume": [1.0, 4.0, 0.0], "trades": [1, 2, 3]}
    columns |= {"min_delta": np.nan, "max_delta": np.nan, "session": pd.Timestamp("2026-11-23"), "delta_source": "candle", "complete": True, "revision": 0}
    provider.history = pd.DataFrame(columns, index=at)
    start = (pd.Timestamp(opening(), tz="UTC") - pd.Timedelta(seconds=20)).isoformat()
    found = await fetched(lambda: http.get("/api/bars/ES", params={"start": start}))
    assert [(bar["volume"], bar["cvd"], bar["cvd_high"], bar["delta_source"]) for bar in found["bars"]] == [
        (6.0, 1.0, None, "candle"), (7.0, 8.0, None, "candle"), (4.0, 2.0, 3.0, "time_and_sale"), (6.0, 6.0, 6.0, "time_and_sale"),
    ]  # fmt: skip
    assert [bar["complete"] for bar in found["bars"]] == [True, True, False, True]  # nobody knows whether the first trade heard was the first of its bar
    [(asked, until)] = provider.asked
    assert (asked.isoformat(), until.isoformat()) == ("2026-11-22T23:00:00+00:00", "2026-11-23T14:30:00+00:00")


@pytest.mark.parametrize("served", [NoData("nothing is kept")], indirect=True)
async def test_history_that_cannot_be_had_is_said_and_the_rest_comes(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, provider, http = served

    async def refused(*_: Any, **__: Any) -> pd.DataFrame:
        raise ConnectionLost("the stream is down")

    monkeypatch.setattr(provider, "historical_bars", refused)
    found = await fetched(lambda: http.get("/api/bars/ES"))
    assert "the stream is down" in found["notes"][0]
    assert len(found["bars"]) == 0
    assert found["next"] is not None


async def test_footprint_is_that_of_the_forming_bar_or_of_a_range(served: Any) -> None:
    http = served[2]
    [now] = (await fetched(lambda: http.get("/api/delta/ES/footprint")))["bars"]
    assert (now["price"], now["buy_volume"], now["sell_volume"], now["poc"]) == ([6000.0], [0.0], [5.0], 6000.0)
    found = await fetched(lambda: http.get("/api/delta/ES/footprint", params={"start": "2026-11-23T14:30:00Z", "limit": 1}))
    [first] = found["bars"]
    assert (first["price"], first["buy_volume"], first["sell_volume"]) == ([6000.0, 6000.25], [3.0, 0.0], [0.0, 1.0])
    rest = await fetched(lambda: http.get("/api/delta/ES/footprint", params={"cursor": found["next"]}))
    assert [bar["time"] for bar in rest["bars"]] == ["2026-11-23T14:30:05Z", "2026-11-23T14:30:10Z"]
    assert rest["bars"][0]["unknown_volume"] == [2.0]


async def test_reset_needs_the_token_and_cvd_starts_anew_with_the_next_bar(served: Any) -> None:
    _, provider, http = served
    assert (await http.post("/api/delta/ES/reset")).status_code == 401
    assert (await http.post("/api/delta/ES/reset", headers={"Authorization": "Bearer wrong"})).status_code == 401
    done = await fetched(lambda: http.post("/api/delta/ES/reset", headers=BEARER))
    assert (done["symbol"], done["journalled"]) == ("/ESZ6", False)
    provider.put(some_trades((16, 6000.0, 7, 1)))
    assert (await fetched(lambda: http.get("/api/delta/ES")))["cvd"]["value"] == 7.0


async def test_without_a_token_nothing_can_be_changed() -> None:
    async with running() as (live, _, _), client(create_app(runtime=live)) as http:
        answer = await http.post("/api/delta/ES/reset")
        assert (answer.status_code, "TTP_SERVICE__TOKEN" in answer.json()["detail"]) == (403, True)


async def test_changes_have_a_rate(served: Any) -> None:
    http = served[2]
    codes = [(await http.post("/api/delta/ES/reset", headers=BEARER)).status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    assert int((await http.post("/api/delta/ES/reset", headers=BEARER)).headers["retry-after"]) <= 12


async def test_indicators_are_listed_and_their_values_calculated(served: Any) -> None:
    http = served[2]
    listed = {each["name"]: each["live"] for each in (await fetched(lambda: http.get("/api/indicators")))["indicators"]}
    assert (listed["cvd"], listed["footprint"]) == (True, False)
    found = await fetched(lambda: http.get("/api/indicators/cvd/ES", params={"params": '{"reset": "never"}'}))
    assert (found["time"][-1], found["columns"]["cvd"]) == ("2026-11-23T14:30:05Z", [2.0, 6.0])


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/api/delta/ZZ", 404, "UnknownContract"),
        ("/api/delta/ES?timeframe=7x", 422, "RequestValidationError"),
        ("/api/delta/ES?timeframe=25h", 400, "UnsupportedTimeframe"),
        ("/api/bars/ES?start=2026-11-23", 400, "UsageError"),
        ("/api/bars/ES?start=2026-11-24T00:00:00Z&end=2026-11-23T00:00:00Z", 400, "UsageError"),
        ("/api/bars/ES?end=1776-07-04T00:00:00Z", 400, "UsageError"),
        ("/api/bars/ES?cursor=9999999999999999999-0", 400, "UsageError"),
        ("/api/bars/ES?limit=0", 422, "RequestValidationError"),
        ("/api/indicators/cdv/ES", 404, "UsageError"),
        ("/api/indicators/cvd/ES?params=[1]", 400, "UsageError"),
        ("/api/indicators/footprint/ES", 400, "UsageError"),
    ],
)
async def test_what_cannot_be_is_answered_by_what_was_wrong(served: Any, path: str, status: int, kind: str) -> None:
    answer = await served[2].get(path)
    assert (answer.status_code, answer.json()["error"]) == (status, kind), answer.text


@pytest.mark.parametrize(("method", "path", "status", "kind"), [("GET", "/api/nothing", 404, "NotFound"), ("DELETE", "/api/delta/ES", 405, "MethodNotAllowed")])
async def test_a_path_and_a_method_that_nobody_serves_are_errors_of_the_same_shape(served: Any, method: str, path: str, status: int, kind: str) -> None:
    answer = await served[2].request(method, path)
    found = orjson.loads(answer.content)
    assert (answer.status_code, found["error"], sorted(found)) == (status, kind, ["detail", "error"])
    assert path in found["detail"]


async def test_a_contract_that_is_not_there_yet_is_unavailable_and_the_host_is_up() -> None:
    provider = Handed()
    provider.failure = ConnectionLost("no network")
    live = Runtime(provider, ("ES",))
    app = create_app(runtime=live)
    async with live.lifespan(app), client(app) as http:
        for path in ("/api/delta/ES", "/api/delta"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (503, "ConnectionLost", "1"), path
        assert (await http.get("/health")).status_code == 200
        assert (await http.get("/ready")).status_code == 503


async def test_health_ready_statistics_and_metrics_answer_in_the_ready_app(served: Any) -> None:
    live, _, http = served
    assert await fetched(lambda: http.get("/health")) == {"status": "ok", "feed": "connected"}
    assert (await fetched(lambda: http.get("/ready")))["ready"]
    live.clock.pass_s(5)
    silent = await http.get("/ready")
    assert (silent.status_code, silent.json()["reason"]) == (503, "nothing came from an open market for 5.0 s")
    assert (await fetched(lambda: http.get("/statistics")))["contracts"][0]["feeds"] == [{"timeframe": "5s", "closed_bars": 2, "unrepaired": 0}]
    assert "tastytrade_provider_feed_ready 0.0" in (await http.get("/metrics")).text


@pytest.mark.parametrize("name", sorted(models.EXAMPLES))
def test_the_examples_are_what_they_are_examples_of(name: str) -> None:
    kind = getattr(models, name)
    assert kind.model_validate(models.EXAMPLES[name])
    orjson.dumps(models.EXAMPLES[name])


async def test_every_answer_fits_its_model(served: Any) -> None:
    http = served[2]
    for path, kind in (
        ("/api/tastytrade/status", models.Status), ("/api/delta", models.Deltas), ("/api/delta/ES", models.Delta), ("/api/delta/NQ", models.Delta),
        ("/api/delta/ES/history", models.History), ("/api/delta/ES/footprint", models.Footprints), ("/api/bars/ES?timeframe=2t", models.History),
        ("/api/indicators", models.Indicators), ("/api/indicators/cvd/NQ", models.Values),
    ):  # fmt: skip
        kind.model_validate_json((await http.get(path)).content, strict=True)
