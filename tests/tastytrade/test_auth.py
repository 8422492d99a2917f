"""Login and REST against a stub: every failure becomes one of our errors, on one line, with the HTTP status, and with no secret in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator
from tastytrade_provider.emulator.listing import futures
from tastytrade_provider.errors import (
    AuthenticationFailed,
    ConnectionLost,
    FeedError,
    MarketDataError,
    NotEntitled,
    NotSupported,
    ProtocolViolation,
    RateLimited,
    RequestTimeout,
    UnknownContract,
)
from tastytrade_provider.settings import TastytradeSettings
from tastytrade_provider.tastytrade import auth
from tastytrade_provider.tastytrade.auth import Account
from tests.checks.sources import excerpt

SECRET, REFRESH, ACCESS = "our-client-secret", "our-refresh-token", "an-access-token"
Answer = tuple[int, Any, dict[str, str]]
HTML = "<html><body>\n<h1>Bad Gateway</h1>\n</body></html>"
LOGIN: Answer = (200, {"access_token": ACCESS, "expires_in": 900, "token_type": "Bearer"}, {})


def an_answer(status: int = 200, body: Any = None, **headers: str) -> Answer:
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}


def refused(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@asynccontextmanager
async def an_account(**answers: Answer | None) -> AsyncIterator[Account]:
    """An account at a server that answers login, token and futures as given; None: it takes the request and says nothing."""
    paths = {"/oauth/token": answers.get("login", LOGIN), "/api-quote-tokens": answers.get("token"), "/instruments/futures": answers.get("futures")}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = [line.partition(":")[2] for line in head.lower().splitlines() if line.startswith("content-length")]
                await reader.readexactly(int(length[0]) if length else 0)
                answer = paths[head.split()[1].partition("?")[0]]
                if answer is None:
                    await reader.read()
                    break
                status, body, headers = answer
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(content)}", *(f"{name}: {value}" for name, value in headers.items())]
                writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone, as it may
        finally:
            writer.close()

    visits: set[asyncio.Task[None]] = set()

    def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(visit, "127.0.0.1")
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    account = Account(TastytradeSettings(client_secret=SecretStr(SECRET), refresh_token=SecretStr(REFRESH), api_url=url))
    try:
        yield account
    finally:
        await account.disconnect()
        await asyncio.gather(*visits)  # each ends with its client
        server.close()


async def error_of(work: Coroutine[Any, Any, object]) -> MarketDataError:
    """The error of a call, checked for what holds of all of them."""
    with pytest.raises(MarketDataError) as told:
        await work
    text = f"{told.value} {told.value!r}"
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    assert not [secret for secret in (SECRET, REFRESH, ACCESS) if secret in text]
    return told.value


@pytest.mark.parametrize(
    ("answer", "kind", "status", "says"),
    [
        (an_answer(401, refused("invalid_grant", "Grant revoked")), AuthenticationFailed, 401, "check TT_SECRET .* and TT_REFRESH"),
        (an_answer(400, {"error_code": "invalid_client", "error_description": f"no client {SECRET}"}), AuthenticationFailed, 400, "TT_SECRET"),
        (an_answer(401, HTML), AuthenticationFailed, 401, "refused the login"),
        (an_answer(400, {"error": "invalid_grant"}), AuthenticationFailed, 400, "TT_REFRESH"),  # RFC 6749: the SDK raises AttributeError
        (an_answer(403, refused("not_permitted", "Scope missing")), NotEntitled, 403, "does not grant this login the login.*Scope missing"),
        (an_answer(404, HTML), FeedError, 404, "HTTP 404 to the login"),
        (an_answer(429, "", Retry_After="7"), RateLimited, 429, "try again in 7 s"),
        (an_answer(429, HTML), RateLimited, 429, "try again later"),
        (an_answer(500, refused("internal", "Oops")), ConnectionLost, 500, "HTTP 500 to the login; try again"),
        (an_answer(502, HTML), ConnectionLost, 502, "HTTP 502"),
        (an_answer(302, "", Location="https://elsewhere.example/"), ProtocolViolation, 302, "cannot be read"),
        (an_answer(418, refused("teapot", f"{SECRET} and {REFRESH}")), FeedError, 418, r"\(hidden\) and \(hidden\)"),
        (an_answer(200, HTML), ProtocolViolation, 200, "cannot be read"),
        (an_answer(200, {}), ProtocolViolation, 200, "access_token"),
        (an_answer(200, [1]), ProtocolViolation, 200, "cannot be read"),
    ],
)
async def test_a_failed_login_is_told_by_its_status(answer: Answer, kind: type[FeedError], status: int, says: str) -> None:
    async with an_account(login=answer) as account:
        error = await error_of(account.connect())
    assert type(error) is kind
    assert error.status == status
    assert pytest.raises(kind, match=says).matches(error), str(error)


async def test_the_seconds_a_server_asks_for_are_kept() -> None:
    async with an_account(login=an_answer(429, "", Retry_After="7")) as account:
        error = await error_of(account.connect())
    assert isinstance(error, RateLimited)
    assert (error.retry_after_s, error.retryable) == (7.0, True)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (an_answer(404, refused("quote_streamer.customer_not_found_error", "You must be a customer")), NotEntitled, "quote token .*You must be a customer"),
        (an_answer(403, refused("not_permitted", "Scope missing")), NotEntitled, "does not grant this login the quote token"),
        (an_answer(401, refused("token_invalid", "Expired")), AuthenticationFailed, "refused the quote token"),
        (an_answer(200, {"data": {"token": "t", "level": "api"}}), ProtocolViolation, "has no token and dxlink-url; it has level, token"),
        (an_answer(200, {"data": ["t"]}), ProtocolViolation, "it has list"),
        (an_answer(200, {"data": {}}), ProtocolViolation, "No data present"),
    ],
)
async def test_a_refused_quote_token_says_what_is_wrong(answer: Answer, kind: type[FeedError], says: str) -> None:
    async with an_account(token=answer) as account:
        await account.connect()
        error = await error_of(account.quote_token())
    assert type(error) is kind
    assert pytest.raises(kind, match=says).matches(error), str(error)


async def test_the_quote_token_is_not_shown() -> None:
    async with an_account(token=an_answer(200, {"data": {"token": "the-quote-token", "dxlink-url": "wss://x.example/realtime", "level": "demo"}})) as account:
        token = await account.quote_token()
    assert (token.token, token.level) == ("the-quote-token", "demo")
    assert "the-quote-token" not in repr(token)


async def test_a_closed_port_is_connection_lost_and_names_the_address() -> None:
    settings = TastytradeSettings(client_secret=SecretStr(SECRET), refresh_token=SecretStr(REFRESH), api_url="http://127.0.0.1:1")
    error = await error_of(Account(settings).connect())
    assert isinstance(error, ConnectionLost)
    assert "http://127.0.0.1:1 cannot be reached (login)" in str(error)


async def test_a_server_that_says_nothing_is_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_TIMEOUT_S", 0.05)
    async with an_account(login=None) as account:
        error = await error_of(account.connect())
    assert isinstance(error, RequestTimeout)
    assert "did not answer (login)" in str(error)


async def test_without_secrets_the_variables_to_set_are_named() -> None:
    error = await error_of(Account(TastytradeSettings()).connect())
    assert isinstance(error, AuthenticationFailed)
    assert "set TT_SECRET and TT_REFRESH" in str(error)


async def test_the_wrong_secret_is_refused_by_the_emulator_as_by_the_service() -> None:
    async with Emulator(excerpt()) as emulator:
        settings = TastytradeSettings(client_secret=SecretStr(SECRET), refresh_token=SecretStr(REFRESH), api_url=emulator.api_url)
        account = Account(settings)
        error = await error_of(account.connect())
        await account.disconnect()
    assert isinstance(error, AuthenticationFailed)
    assert error.status in (400, 401)


# --- contracts


def listing(change: Callable[[int, dict[str, Any]], dict[str, Any]] = lambda _, item: item) -> Answer:
    source = excerpt(roots=("ES",))
    items = [change(i, item) for i, item in enumerate(futures(source.contracts, source.start_ns))]
    return an_answer(200, {"data": {"items": items}, "pagination": {"total-pages": 1, "page-offset": 0, "per-page": 250, "total-items": len(items)}})


def without_streamer_symbol(which: set[int]) -> Answer:
    return listing(lambda i, item: item | ({"streamer-symbol": ""} if i in which else {}))


async def test_a_contract_without_a_streamer_symbol_is_not_supported_by_name() -> None:
    async with an_account(futures=without_streamer_symbol({0})) as account:
        error = await error_of(account.resolve("ESH6"))
        assert isinstance(error, NotSupported)
        assert "no streamer symbol for /ESH6, so it cannot be streamed; another month may have one" in str(error)
        assert (await account.contracts("ES"))[0].symbol == "/ESM6"


async def test_a_product_of_which_nothing_can_be_streamed_says_so() -> None:
    async with an_account(futures=without_streamer_symbol(set(range(20)))) as account:
        assert isinstance(await error_of(account.contracts("ES")), NotSupported)


async def test_the_streamer_symbol_is_the_one_that_was_answered() -> None:
    async with an_account(futures=listing(lambda i, item: item | {"streamer-symbol": f"/odd{i}:XYZ"})) as account:
        assert (await account.resolve("ES")).streamer_symbol == "/odd0:XYZ"
        assert (await account.resolve("ESM6")).streamer_symbol == "/odd1:XYZ"


async def test_a_listing_that_lacks_a_key_is_a_protocol_violation() -> None:
    def cut(i: int, item: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in item.items() if key != "tick-size"}

    async with an_account(futures=listing(cut)) as account:
        error = await error_of(account.resolve("ES"))
    assert isinstance(error, ProtocolViolation)
    assert "tick" in str(error)


async def test_a_month_that_is_not_listed_is_unknown_and_the_listed_ones_are_named() -> None:
    async with an_account(futures=listing()) as account:
        error = await error_of(account.resolve("ESF6"))
    assert isinstance(error, UnknownContract)
    assert "listed: /ESH6, /ESM6" in str(error)


def test_the_emulators_credentials_are_not_the_stubs() -> None:
    assert {CLIENT_SECRET, REFRESH_TOKEN}.isdisjoint({SECRET, REFRESH})
