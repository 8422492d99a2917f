from __future__ import annotations

import pytest

from tastytrade_provider.errors import ConfigError
from tastytrade_provider.service import Runtime, create_app
from tastytrade_provider.service.security import Denied, Guard, RateLimit
from tastytrade_provider.settings import ServiceSettings
from tests.service.stage import Clock, Handed, client, running, some_trades

TOKEN = "s3cret-token-of-this-test"


def settings(**values: object) -> ServiceSettings:
    return ServiceSettings(**values)  # type: ignore[arg-type]


def test_beyond_loopback_nothing_starts_without_a_token() -> None:
    bare = ServiceSettings.model_construct(host="0.0.0.0", port=8000, token=None)
    with pytest.raises(ConfigError, match="TTP_SERVICE__TOKEN"):
        create_app(runtime=Runtime(Handed(), settings=bare))
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached from other machines"):
        create_app({"service": {"host": "0.0.0.0"}})


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "", "[::2]", "127.0.0.1@evil.example", "]["])
def test_a_name_made_to_point_here_is_not_answered(host: str) -> None:
    with pytest.raises(Denied) as told:
        Guard.bound(settings()).check_source({"host": host})
    assert told.value.status == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_this_machine_is_answered_under_each_of_its_names(host: str) -> None:
    Guard.bound(settings()).check_source({"host": host, "origin": f"http://{host}"})


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "", "http://127.0.0.1:8000.evil.example", "http://["])
def test_a_page_from_elsewhere_is_not_answered(origin: str) -> None:
    with pytest.raises(Denied):
        Guard.bound(settings()).check_source({"host": "127.0.0.1:8000", "origin": origin})
    with pytest.raises(Denied):
        Guard.of(settings()).check_source({"origin": origin})


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Basic x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer \u00e9\ud800"])
def test_only_the_token_is_the_token(given: str) -> None:
    guard = Guard.of(settings(token=TOKEN))
    with pytest.raises(Denied):
        guard.check_token(given)
    guard.check_token(f"bearer {TOKEN}")


async def test_beyond_loopback_even_looking_needs_the_token() -> None:
    async with running(settings=settings(host="0.0.0.0", token=TOKEN)) as (live, _, _), client(create_app(runtime=live), host="10.0.0.5") as http:
        for path in ("/api/tastytrade/status", "/api/delta/ES", "/metrics", "/statistics", "/openapi.json"):
            assert (await http.get(path)).status_code == 401, path
            assert (await http.get(path, headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200, path
        assert (await http.get("/health")).status_code == 200


async def test_every_answer_carries_the_security_headers_errors_too() -> None:
    async with running() as (live, _, _), client(create_app(runtime=live)) as http:
        for path, headers in (("/api/delta", {}), ("/nothing", {}), ("/api/delta", {"Host": "evil.example"}), ("/metrics", {})):
            answer = await http.get(path, headers=headers)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "access-control-allow-origin" not in answer.headers


async def test_no_answer_holds_the_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        async with running(settings=settings(token=TOKEN)) as (live, provider, _), client(create_app(runtime=live)) as http:
            provider.put(some_trades((0, 6000.0, 1, 1)))
            for path in ("/api/tastytrade/status", "/api/delta", "/statistics", "/metrics", "/openapi.json", "/health", "/ready", f"/api/delta/{TOKEN}x"):
                answer = await http.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
                assert TOKEN not in answer.text.replace(f"{TOKEN}x", ""), path
            await http.post("/api/delta/ES/reset", headers={"Authorization": "Bearer wrong"})
            assert TOKEN not in repr(live.settings)
            assert TOKEN not in repr(Guard.of(live.settings))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("tastytrade_provider")]
    assert not any(TOKEN in text for text in ours)


def test_a_limit_remembers_no_more_than_so_many_who_ask() -> None:
    limit = RateLimit(1, 1.0, Clock(), most=3)
    for who in range(10):
        assert limit.wait_s(who) == 0.0
    assert limit.wait_s(9) == 1.0
    assert limit.wait_s(0) == 0.0
