"""What a symbol names, against the emulator's listing: futures first, then shares, indices and coins; every page; expired months; empty streamer symbols."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator
from tastytrade_provider.emulator.instruments import SECURITIES, future
from tastytrade_provider.errors import NotSupported, ProtocolViolation, UnknownContract, UsageError
from tastytrade_provider.model import Contract
from tastytrade_provider.settings import TastytradeSettings
from tastytrade_provider.tastytrade.listing import Listing
from tastytrade_provider.tastytrade.rest import Rest
from tastytrade_provider.tastytrade.rolls import Method
from tests.emulator.exchange import OPEN_MS, AList, a_quote

ES, NQ, GC = future("ES", 2026, 12), future("NQ", 2026, 12), future("GC", 2027, 2)
CONTRACTS = (ES, NQ, GC, *(security.contract for security in SECURITIES.values()))


@asynccontextmanager
async def a_listing(*contracts: Contract) -> AsyncIterator[tuple[Listing, Emulator]]:
    """The listing of Tuesday 2026-11-24."""
    async with Emulator(AList([a_quote()], contracts or CONTRACTS)) as emulator:
        settings = TastytradeSettings(client_secret=SecretStr(CLIENT_SECRET), refresh_token=SecretStr(REFRESH_TOKEN), api_url=emulator.api_url)
        rest = Rest(settings)
        try:
            yield Listing(rest, lambda: OPEN_MS * 1_000_000), emulator
        finally:
            await rest.close()


async def test_a_symbol_is_resolved_whatever_it_names() -> None:
    expected = {
        "ES": "/ESZ26:XCME", "/es": "/ESZ26:XCME", "ESZ6": "/ESZ26:XCME", "ESH27": "/ESH27:XCME", "/NQM27:XCME": "/NQM27:XCME", "GC": "/GCG27:XCEC",
        "SPY": "SPY", " aapl ": "AAPL", "BRK/B": "BRK/B", "SPX": "SPX", "AAPL:XNAS": "AAPL", "ES:XNYS": "ES",
        "BTC/USD": "BTC/USD:CXTALP", "eth/usd": "ETH/USD:CXTALP", "BTC/USD:CXTALP": "BTC/USD:CXTALP",
    }  # fmt: skip
    async with a_listing() as (listing, _):
        found = {symbol: (await listing.resolve(symbol)).streamer_symbol for symbol in expected}
    assert found == expected


async def test_each_kind_has_its_own_sessions_ticks_and_steps() -> None:
    async with a_listing() as (listing, _):
        found = [await listing.resolve(symbol) for symbol in ("ES", "SPY", "SPX", "BTC/USD")]
    assert found == [
        Contract("ES", "/ESZ6", "/ESZ26:XCME", "CME", 0.25, 1.0, 50.0, dt.date(2026, 12, 18), calendar="CME Globex Equity"),
        Contract("SPY", "SPY", "SPY", "ARCX", 0.01, 1.0, calendar="NYSE"),
        Contract("SPX", "SPX", "SPX", "OTC", 0.01, 1.0, calendar="CBOE_Index_Options"),
        Contract("BTC/USD", "BTC/USD", "BTC/USD:CXTALP", "CXTALP", 0.01, 1e-8, calendar="24/7"),
    ]


async def test_the_letters_of_a_future_mean_the_future_and_with_its_market_the_share() -> None:
    async with a_listing() as (listing, _):
        assert (await listing.resolve("ES")).symbol == "/ESZ6"
        eversource = await listing.resolve("ES:XNYS")
    assert (eversource.symbol, eversource.streamer_symbol, eversource.expiry, eversource.calendar) == ("ES", "ES", None, "NYSE")


async def test_without_such_a_future_the_letters_mean_the_share() -> None:
    async with a_listing(NQ, SECURITIES["ES:XNYS"].contract) as (listing, _):
        assert (await listing.resolve("ES")).calendar == "NYSE"
        with pytest.raises(UnknownContract, match="'/ES'"):
            await listing.resolve("/ES")


@pytest.mark.parametrize(
    ("symbol", "says"),
    [
        ("", "lists no contract ''. Accepted forms: futures as ES"),
        ("XYZ", "lists no contract 'XYZ'. Accepted"),
        ("AAPL:XNYS", "lists no contract 'AAPL:XNYS'; listed: AAPL:XNAS"),
        ("BTC/USD:CXBINA", "listed: BTC/USD:CXTALP"),
        ("AAPL?x=1", "lists no contract"),
        ("../futures", "lists no contract"),
        ("ES Z6", "lists no contract"),
        ("/SPY", "lists no contract '/SPY'"),
        ("ESF7", "listed: /ESZ6, /ESH7"),
        ("ESZ26:XCBT", "listed: /ESZ6, /ESH7"),
        ("/XXZ6", "lists no contract '/XXZ6'"),
    ],
)
async def test_what_is_not_listed_is_unknown_and_what_is_near_is_named(symbol: str, says: str) -> None:
    async with a_listing() as (listing, _):
        with pytest.raises(UnknownContract) as told:
            await listing.resolve(symbol)
    assert says in str(told.value)


async def test_every_page_of_a_list_is_read() -> None:
    async with a_listing() as (listing, emulator):
        emulator.rest.most_per_page = 2
        assert [contract.symbol for contract in await listing.contracts("ES")] == ["/ESZ6", "/ESH7", "/ESM7", "/ESU7", "/ESZ7", "/ESH8"]
        assert (await listing.resolve("ESH28")).streamer_symbol == "/ESH28:XCME"


async def test_products_are_listed_with_their_figures() -> None:
    async with a_listing() as (listing, _):
        products = {product.root: product for product in await listing.products()}
    assert list(products) == sorted(products)
    gold = products["GC"]
    assert (gold.tick_size, gold.multiplier, gold.active_months, gold.listed_months) == (0.1, 100.0, "GJMQZ", "FGHJKMNQUVXZ")
    assert (gold.calendar, gold.is_cash_settled, gold.exchange, gold.description) == ("CMEGlobex_GC", False, "CME", "Gold")


# --- expired


@pytest.mark.parametrize("symbol", ["ESU6", "/ESU26:XCME", "ESU26"])
async def test_an_expired_month_that_is_still_told_resolves_and_is_not_active(symbol: str) -> None:
    async with a_listing() as (listing, _):
        contract = await listing.resolve(symbol)
        assert contract not in await listing.contracts("ES")
    assert (contract.streamer_symbol, contract.expiry, contract.is_active) == ("/ESU26:XCME", dt.date(2026, 9, 18), False)


@pytest.mark.parametrize(("symbol", "month"), [("ESH4", "March 2024"), ("/ESU16", "September 2016"), ("ESH26", "March 2026")])
async def test_an_expired_month_that_is_told_no_more_says_so_and_names_what_lives(symbol: str, month: str) -> None:
    async with a_listing() as (listing, _):
        with pytest.raises(UnknownContract) as told:
            await listing.resolve(symbol)
    assert f"'{symbol}' expired with its month, {month}, and TastyTrade tells nothing of it any more" in str(told.value)
    assert str(told.value).endswith("the nearest that live: /ESZ6, /ESH7, /ESM7, /ESU7")


# --- streamer symbols


async def test_a_contract_without_a_streamer_symbol_is_not_supported_by_name() -> None:
    async with a_listing() as (listing, emulator):
        emulator.rest.unstreamed |= {"/ESZ6", "SPY", "BTC/USD", "/ESU6"}
        for symbol, name in {"ESZ6": "/ESZ6", "ES": "/ESZ6", "SPY": "SPY", "BTC/USD": "BTC/USD"}.items():
            with pytest.raises(NotSupported, match=f"no streamer symbol for {name}, so it cannot be streamed"):
                await listing.resolve(symbol)
        with pytest.raises(NotSupported, match=r"/ESU6, .* \(it expired on 2026-09-18\); another month may have one"):
            await listing.resolve("ESU6")
        assert (await listing.contracts("ES"))[0].symbol == "/ESH7"


async def test_a_product_of_which_nothing_can_be_streamed_says_so() -> None:
    async with a_listing() as (listing, emulator):
        emulator.rest.unstreamed |= {contract.symbol for contract in await listing.contracts("ES")}
        with pytest.raises(NotSupported):
            await listing.contracts("ES")


async def test_the_streamer_symbol_is_the_one_that_was_answered() -> None:
    odd = Contract("ES", "/ESZ6", "/odd:XYZ", "CME", tick_size=0.25, expiry=dt.date(2026, 12, 18))
    async with a_listing(odd) as (listing, _):
        assert (await listing.resolve("ES")).streamer_symbol == "/odd:XYZ"


async def test_a_listing_that_lacks_a_key_is_a_protocol_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    from tastytrade_provider.emulator import listing as told

    whole = told.futures

    def cut(*args: object, **kwargs: object) -> list[dict[str, object]]:
        return [{key: value for key, value in item.items() if key != "tick-size"} for item in whole(*args, **kwargs)]  # type: ignore[arg-type]

    monkeypatch.setattr(told, "futures", cut)
    async with a_listing() as (listing, _):
        with pytest.raises(ProtocolViolation, match="tick"):
            await listing.resolve("ES")


# --- the front month


async def test_the_front_month_is_by_flag_by_date_or_by_volume() -> None:
    volumes = {dt.date(2026, 12, day): {"/ESZ6": 900.0, "/ESH7": 1000.0} for day in (1, 2)}
    async with a_listing() as (listing, _):
        assert (await listing.front_month("ES")).symbol == "/ESZ6"
        # the third Friday of December 2026 is the 18th: by date the Thursday eight days before is the March contract's
        dates = [(await listing.front_month("/es", "date", dt.date(2026, 12, day))).symbol for day in (9, 10)]
        crossings = [(await listing.front_month("ES", "volume", dt.date(2026, 12, day), volumes=volumes)).symbol for day in (2, 3)]
        assert (await listing.front_month("ES", "date")).symbol == "/ESZ6"
        with pytest.raises(UsageError, match="needs volumes"):
            await listing.front_month("ES", "volume")
        with pytest.raises(UnknownContract):
            await listing.front_month("XX")
    assert dates == ["/ESZ6", "/ESH7"]
    assert crossings == ["/ESZ6", "/ESH7"]


async def test_a_front_month_that_cannot_be_streamed_is_not_passed_over() -> None:
    async with a_listing() as (listing, emulator):
        emulator.rest.unstreamed.add("/ESZ6")
        methods: tuple[Method, ...] = ("active", "date")
        for method in methods:
            with pytest.raises(NotSupported, match="/ESZ6"):
                await listing.front_month("ES", method, dt.date(2026, 11, 24))
        assert [month.contract.streamer_symbol for month in await listing.months("ES")][:2] == ["", "/ESH27:XCME"]


async def test_months_come_with_the_dates_and_the_flag_a_roll_goes_by() -> None:
    async with a_listing() as (listing, _):
        months = await listing.months("ES")
    assert [(month.contract.symbol, str(month.last_trade), month.is_active) for month in months][:2] == [
        ("/ESZ6", "2026-12-18", True),
        ("/ESH7", "2027-03-19", False),
    ]
