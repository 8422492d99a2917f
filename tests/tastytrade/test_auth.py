"""Login and REST against a stub: every failure becomes one of our errors, on one line, with the HTTP status, and with no secret in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator
from tastytrade_provider.errors import (
    AuthenticationFailed,
    ConnectionLost,
    FeedError,
    MarketDataError,
    NotEntitled,
    ProtocolViolation,
    RateLimited,
    RequestTimeout,
)
from tastytrade_provider.settings import TastytradeSettings
from tastytrade_provider.tastytrade import rest
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


@dataclass
class Heard:
    """What a stub and its client went through: (path, Authorization) of each request, the pauses asked for, what was noted."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def asked(self, path: str) -> list[str]:
        return [authorization for asked, authorization in self.requests if asked == path]


@asynccontextmanager
async def an_account(heard: Heard | None = None, **answers: Answer | list[Answer] | None) -> AsyncIterator[Account]:
    """An account at a server that gives login and quote token as told; of a list one after the other, the last again and again; None: it says nothing."""
    paths = {"/oauth/token": answers.get("login", LOGIN), "/api-quote-tokens": answers.get("token")}
    heard = heard or Heard()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                sent = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines()[1:])}
                await reader.readexactly(int(sent.get("content-length", 0)))
                path = head.split()[1].partition("?")[0]
                heard.requests.append((path, sent.get("authorization", "")))
                answer = paths[path]
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
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
    settings = TastytradeSettings(client_secret=SecretStr(SECRET), refresh_token=SecretStr(REFRESH), api_url=url)
    account = Account(settings, sleep=heard.sleep, chance=lambda: 0.0, note=heard.notes.append)
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
        (
            an_answer(403, refused("not_permitted", "Scope missing")),
            NotEntitled,
            403,
            "TastyTrade does not let this login in .HTTP 403.: not_permitted: Scope missing",
        ),
        (an_answer(404, HTML), FeedError, 404, "HTTP 404 to the login"),
        (an_answer(429, "", Retry_After="7"), RateLimited, 429, "try again in 7 s"),
        (an_answer(429, HTML), RateLimited, 429, "try again later"),
        (an_answer(500, refused("internal", "Oops")), ConnectionLost, 500, "HTTP 500 to the login, 4 times: internal: Oops; try again"),
        (an_answer(502, HTML), ConnectionLost, 502, "HTTP 502 to the login, 4 times: an HTML page 'Bad Gateway'"),
        (an_answer(302, "", Location="https://elsewhere.example/"), ProtocolViolation, 302, "cannot be read"),
        (an_answer(418, refused("teapot", f"{SECRET} and {REFRESH}")), FeedError, 418, r"\(hidden\) and \(hidden\)"),
        (an_answer(200, HTML), ProtocolViolation, 200, "cannot be read .HTTP 200, 4 times.: an HTML page 'Bad Gateway'"),
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
        (
            an_answer(401, refused("token_invalid", "Expired")),
            AuthenticationFailed,
            "refused the quote token, also with a fresh access token .HTTP 401: token_invalid: Expired",
        ),
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
    monkeypatch.setattr(rest, "TIMEOUT_S", 0.05)
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


# --- patience


A_TOKEN = an_answer(200, {"data": {"token": "t", "dxlink-url": "wss://x.example/realtime", "level": "api"}})


def a_login(token: str) -> Answer:
    return an_answer(200, {"access_token": token, "expires_in": 900})


async def test_a_request_refused_with_401_is_made_once_more_with_a_fresh_token() -> None:
    heard = Heard()
    async with an_account(heard, login=[a_login("old"), a_login("new")], token=[an_answer(401, HTML), A_TOKEN]) as account:
        assert (await account.quote_token()).token == "t"
    assert heard.requests == [("/oauth/token", ""), ("/api-quote-tokens", "Bearer old"), ("/oauth/token", ""), ("/api-quote-tokens", "Bearer new")]
    assert heard.pauses == []
    assert heard.notes == ["HTTP 401 to /api-quote-tokens: asked again after 0.0 s"]


async def test_a_second_401_is_final() -> None:
    heard = Heard()
    async with an_account(heard, token=an_answer(401, HTML)) as account:
        error = await error_of(account.quote_token())
    assert isinstance(error, AuthenticationFailed)
    assert error.status == 401
    assert len(heard.asked("/api-quote-tokens")) == 2
    assert len(heard.asked("/oauth/token")) == 2


async def test_many_requests_refused_at_once_share_one_fresh_token() -> None:
    heard = Heard()
    refusals = [an_answer(401, HTML)] * 8
    async with an_account(heard, login=[a_login("old"), a_login("new")], token=[*refusals, A_TOKEN]) as account:
        await account.connect()
        await asyncio.gather(*(account.quote_token() for _ in refusals))
    assert len(heard.asked("/oauth/token")) == 2
    assert sorted(heard.asked("/api-quote-tokens")) == ["Bearer new"] * 8 + ["Bearer old"] * 8


async def test_a_fresh_token_that_is_refused_too_says_that_the_login_was() -> None:
    async with an_account(login=[a_login("old"), an_answer(401, refused("invalid_grant", "Grant revoked"))], token=an_answer(401, HTML)) as account:
        error = await error_of(account.quote_token())
    assert isinstance(error, AuthenticationFailed)
    assert "refused the login (HTTP 401: invalid_grant: Grant revoked)" in str(error)


# pauses with chance 0, by hand: half of 1, 2, 4, 8 s after a 429; half of 0.5, 1, 2 s after a page or a 5xx; what the server says where it says it
@pytest.mark.parametrize(
    ("answers", "pauses"),
    [
        ([an_answer(429, "")] * 4, [0.5, 1.0, 2.0, 4.0]),
        ([an_answer(429, "", Retry_After="7"), an_answer(429, "")], [7.0, 1.0]),
        ([an_answer(502, HTML), an_answer(200, HTML), an_answer(503, "")], [0.25, 0.5, 1.0]),
        ([an_answer(503, "", Retry_After="3")], [3.0]),
        ([an_answer(502, HTML), an_answer(429, ""), an_answer(401, HTML), an_answer(502, HTML)], [0.25, 0.5, 0.5]),
    ],
)
async def test_a_server_in_trouble_is_asked_again_after_a_pause(answers: list[Answer], pauses: list[float]) -> None:
    heard = Heard()
    async with an_account(heard, token=[*answers, A_TOKEN]) as account:
        assert (await account.quote_token()).token == "t"
    assert heard.pauses == pauses
    assert len(heard.notes) == len(answers)


@pytest.mark.parametrize(
    ("answer", "requests", "kind", "says"),
    [
        (an_answer(429, ""), 5, RateLimited, "limits requests .quote token, HTTP 429, 5 times.; try again later"),
        (an_answer(429, "", Retry_After="3600"), 1, RateLimited, "HTTP 429.; try again in 3600 s"),
        (an_answer(502, HTML), 4, ConnectionLost, "HTTP 502 to the quote token, 4 times: an HTML page 'Bad Gateway'"),
        (an_answer(500, ""), 4, ConnectionLost, "HTTP 500 to the quote token, 4 times: nothing"),
        (an_answer(200, HTML), 4, ProtocolViolation, "HTTP 200, 4 times.: an HTML page 'Bad Gateway'"),
        (an_answer(403, refused("not_permitted", "Scope missing")), 1, NotEntitled, "not_permitted: Scope missing"),
        (an_answer(418, ""), 1, FeedError, "HTTP 418 to the quote token: nothing"),
    ],
)
async def test_patience_has_an_end_and_the_error_says_what_came(answer: Answer, requests: int, kind: type[FeedError], says: str) -> None:
    heard = Heard()
    async with an_account(heard, token=answer) as account:
        error = await error_of(account.quote_token())
    assert type(error) is kind
    assert error.status == answer[0]
    assert pytest.raises(kind, match=says).matches(error), str(error)
    assert len(heard.asked("/api-quote-tokens")) == requests


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
async def test_a_login_that_was_refused_is_not_repeated(status: int) -> None:
    heard = Heard()
    async with an_account(heard, login=an_answer(status, "")) as account:
        await error_of(account.connect())
    assert heard.requests == [("/oauth/token", "")]


async def test_a_token_quoted_back_by_the_server_is_hidden() -> None:
    async with an_account(token=an_answer(418, refused("teapot", f"no {ACCESS} here"))) as account:
        assert "no (hidden) here" in str(await error_of(account.quote_token()))


# --- quote token


@pytest.mark.parametrize(
    ("issued", "expires", "expected"),
    [
        # 2026-11-24 14:30:00 UTC is 1,795,530,600 s
        ("2026-11-24T14:30:00.000+00:00", "2026-11-25T14:30:00.500Z", (1_795_530_600_000_000_000, 1_795_617_000_500_000_000)),
        ("2026-11-24T08:30:00-06:00", "soon", (1_795_530_600_000_000_000, None)),
        ("2026-11-24T14:30:00", None, (None, None)),  # without a zone it is no instant
    ],
)
async def test_a_quote_token_says_from_when_until_when_it_is_good(issued: str, expires: str | None, expected: tuple[int | None, int | None]) -> None:
    data = {"token": "t", "dxlink-url": "wss://x.example/realtime", "issued-at": issued} | ({"expires-at": expires} if expires else {})
    async with an_account(token=an_answer(200, {"data": data})) as account:
        token = await account.quote_token()
    assert (token.issued_ns, token.expires_ns) == expected


@pytest.mark.parametrize("fault", ["401", "429-retry-after", "502", "html"])
async def test_a_fault_of_the_emulator_is_ridden_out(fault: str) -> None:
    heard = Heard()
    async with Emulator(excerpt(events=10), faults=[f"rest={fault}@2"]) as emulator:  # the first answer is the login's
        settings = TastytradeSettings(client_secret=SecretStr(CLIENT_SECRET), refresh_token=SecretStr(REFRESH_TOKEN), api_url=emulator.api_url)
        account = Account(settings, sleep=heard.sleep, note=heard.notes.append)
        token = await account.quote_token()
        await account.disconnect()
        assert token.url == emulator.dxlink_url
    assert token.issued_ns is not None
    assert token.expires_ns == token.issued_ns + 86_400 * 10**9
    assert len(heard.notes) == 1


def test_the_emulators_credentials_are_not_the_stubs() -> None:
    assert {CLIENT_SECRET, REFRESH_TOKEN}.isdisjoint({SECRET, REFRESH})
