from __future__ import annotations

import json
from typing import Any

import pytest
from tastytrade.instruments import Cryptocurrency, Future, FutureProduct
from tastytrade.market_sessions import MarketCalendar, MarketSession

from tastytrade_provider.emulator.instruments import future
from tastytrade_provider.emulator.rest import CLIENT_SECRET, REFRESH_TOKEN, Request, Response, Rest
from tastytrade_provider.model import Contract

NOW_S = 1_795_530_600.0
MARKET_NS = 1_795_530_600_000_000_000  # Tuesday 2026-11-24 14:30 UTC
ETH = Contract("ETHUSDT", "ETHUSDT", "ETHUSDT", tick_size=0.01, size_step=0.001, calendar="24/7")
LOGIN = {"grant_type": "refresh_token", "client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
AGENT = {"user-agent": "a-test/1.0"}


class Api:
    """A logged-in client of a `Rest` in memory."""

    def __init__(self, *contracts: Contract, market_ns: int = MARKET_NS) -> None:
        self.rest = Rest(contracts or (future("ES", 2026, 12), future("NQ", 2026, 12), ETH), dxlink_url="ws://127.0.0.1:1/realtime")
        self.market_ns = market_ns
        self.token = self.body(self.login())["access_token"]

    def login(self, **changed: str) -> Response:
        return self.rest.answer(Request("POST", "/oauth/token", AGENT, json.dumps(LOGIN | changed).encode()), NOW_S, self.market_ns)

    def get(self, target: str, now_s: float = NOW_S, method: str = "GET", **headers: str) -> Response:
        sent = AGENT | {"authorization": f"Bearer {self.token}"} | headers
        return self.rest.answer(Request(method, target, sent), now_s, self.market_ns)

    def data(self, target: str) -> Any:
        response = self.get(target)
        assert response.status == 200, response.body
        return self.body(response)["data"]

    @staticmethod
    def body(response: Response) -> Any:
        return json.loads(response.body)


def test_a_login_gives_an_access_token_for_a_quarter_of_an_hour() -> None:
    api = Api()
    assert Api.body(api.login()) == {"access_token": "access-2", "expires_in": 900, "token_type": "Bearer"}
    assert api.get("/api-quote-tokens", now_s=NOW_S + 899).status == 200
    assert api.get("/api-quote-tokens", now_s=NOW_S + 900).status == 401


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"refresh_token": "wrong"}, 401, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_are_refused_in_the_shape_of_oauth(changed: dict[str, str], status: int, code: str) -> None:
    response = Api().login(**changed)
    assert response.status == status
    assert Api.body(response)["error_code"] == code
    assert Api.body(response)["error_description"]


def test_a_login_that_is_no_json_is_refused_and_a_form_is_read() -> None:
    rest = Rest(())
    form = "&".join(f"{key}={value}" for key, value in LOGIN.items()).encode()
    answers = [rest.answer(Request("POST", "/oauth/token", AGENT, body), NOW_S, MARKET_NS).status for body in (b"\xff{", b"[]", form)]
    assert answers == [400, 400, 200]


@pytest.mark.parametrize(
    "headers",
    [{"authorization": ""}, {"authorization": "Bearer nobody"}, {"authorization": "access-1"}, {"user-agent": "python"}, {"user-agent": ""}],
)
def test_without_a_good_token_and_a_named_agent_nothing_is_told(headers: dict[str, str]) -> None:
    response = Api().get("/instruments/futures", **headers)
    assert response.status == 401
    assert set(Api.body(response)["error"]) == {"code", "message"}


def test_a_quote_token_comes_with_its_address_level_and_life() -> None:
    api = Api()
    data = api.data("/api-quote-tokens")
    assert data["dxlink-url"] == "ws://127.0.0.1:1/realtime"
    assert data["level"] == "api"
    assert (data["issued-at"], data["expires-at"]) == ("2026-11-24T14:30:00.000+00:00", "2026-11-25T14:30:00.000+00:00")
    assert api.rest.quote_tokens.is_good(data["token"], NOW_S)
    assert not api.rest.quote_tokens.is_good(data["token"], NOW_S + 86_400)
    assert not api.rest.quote_tokens.is_good("another", NOW_S)


def test_futures_satisfy_the_sdk_and_one_month_of_a_product_is_active() -> None:
    items = [Future(**item) for item in Api().data("/instruments/futures")["items"]]
    es = [item for item in items if item.product_code == "ES"]
    assert [item.symbol for item in es] == ["/ESZ6", "/ESH7", "/ESM7", "/ESU7", "/ESZ7", "/ESH8"]
    assert [item.symbol for item in es if item.active_month] == ["/ESZ6"]
    assert [item.symbol for item in es if item.next_active_month] == ["/ESH7"]
    assert es[0].streamer_symbol == "/ESZ26:XCME"
    assert str(es[0].expiration_date) == "2026-12-18"
    assert {item.product_code for item in items} == {"ES", "NQ"}


def test_the_back_months_of_a_tape_are_those_of_its_own_time() -> None:
    api = Api(future("ES", 2024, 3), market_ns=1_703_545_200_000_000_000)
    items = [Future(**item) for item in api.data("/instruments/futures?product-code[]=ES")["items"]]
    assert [item.symbol for item in items][:2] == ["/ESH4", "/ESM4"]
    assert items[0].active_month


@pytest.mark.parametrize("query", ["symbol[]=/NQZ6", "symbol%5B%5D=%2FNQZ6", "symbol[]=NQZ6&product-code[]=ES"])
def test_futures_are_chosen_by_symbol_before_product(query: str) -> None:
    assert [item["symbol"] for item in Api().data(f"/instruments/futures?{query}")["items"]] == ["/NQZ6"]


def test_lists_come_in_pages() -> None:
    api = Api()
    pages = [Api.body(api.get(f"/instruments/futures?per-page=5&page-offset={page}")) for page in range(4)]
    symbols = [item["symbol"] for page in pages for item in page["data"]["items"]]
    assert len(symbols) == len(set(symbols)) == 12
    assert [page["pagination"]["current-item-count"] for page in pages] == [5, 5, 2, 0]
    assert {(page["pagination"]["total-pages"], page["pagination"]["total-items"]) for page in pages} == {(3, 12)}


@pytest.mark.parametrize("path", ["/instruments/futures/ESZ6", "/instruments/futures/%2FESZ6"])
def test_one_future_is_found_with_or_without_its_slash(path: str) -> None:
    assert Future(**Api().data(path)).streamer_symbol == "/ESZ26:XCME"


def test_products_satisfy_the_sdk() -> None:
    api = Api()
    products = {item["code"]: FutureProduct(**item) for item in api.data("/instruments/future-products")["items"]}
    one = FutureProduct(**api.data("/instruments/future-products/CME/GC"))
    assert one == products["GC"]
    assert (float(one.tick_size), float(one.notional_multiplier), one.streamer_exchange_code) == (0.1, 100.0, "XCEC")


def test_what_is_no_future_is_a_cryptocurrency_with_decimals() -> None:
    api = Api()
    one = Cryptocurrency(**api.data("/instruments/cryptocurrencies/ETHUSDT"))
    assert (float(one.tick_size), one.destination_venue_symbols[0].max_quantity_precision) == (0.01, 3)
    assert [item["symbol"] for item in api.data("/instruments/cryptocurrencies?symbol[]=ETHUSDT")["items"]] == ["ETHUSDT"]
    assert api.data("/instruments/cryptocurrencies?symbol[]=BTC")["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/instruments/futures/ESZ9",
        "/instruments/future-products/CME/XX",
        "/instruments/future-products/CFE/ES",
        "/instruments/cryptocurrencies/DOGE",
        "/market-time/futures/holidays/CFE",
        "/quote-streamer-tokens",
        "/",
    ],
)
def test_what_is_unknown_is_not_found(path: str) -> None:
    response = Api().get(path)
    assert response.status == 404
    assert Api.body(response)["error"]["code"] == "not_found"


def test_other_methods_are_not_allowed() -> None:
    assert Api().get("/instruments/futures", method="POST").status == 405
    assert Api().get("/oauth/token").status == 405


# Hours of the session of Tuesday 2026-11-24 and of Thanksgiving: CME's 2026 holiday calendar.
@pytest.mark.parametrize(
    ("market_ns", "state", "opened", "closed"),
    [
        (MARKET_NS, "Open", "2026-11-23T23:00:00.000+00:00", "2026-11-24T22:00:00.000+00:00"),
        (MARKET_NS + 8 * 3_600_000_000_000, "Closed", "2026-11-23T23:00:00.000+00:00", "2026-11-24T22:00:00.000+00:00"),
        (MARKET_NS + 48 * 3_600_000_000_000, "Open", "2026-11-25T23:00:00.000+00:00", "2026-11-26T18:00:00.000+00:00"),
    ],
)
def test_the_current_session_is_told_on_the_market_s_own_clock(market_ns: int, state: str, opened: str, closed: str) -> None:
    (item,) = Api(market_ns=market_ns).data("/market-time/sessions/current?instrument-collections[]=CME")["items"]
    assert (item["state"], item["open-at"], item["close-at"]) == (state, opened, closed)
    session = MarketSession(**item)
    assert session.next_session is not None
    assert session.previous_session is not None
    assert session.previous_session.open_at < session.open_at < session.next_session.open_at  # type: ignore[operator]


def test_holidays_and_half_days_of_the_year_are_told() -> None:
    calendar = MarketCalendar(**Api().data("/market-time/futures/holidays/CME"))
    assert {str(day) for day in calendar.holidays} == {"2026-01-01", "2026-12-25"}
    assert {"2026-01-19", "2026-04-03", "2026-11-26", "2026-11-27", "2026-12-24"} <= {str(day) for day in calendar.half_days}
