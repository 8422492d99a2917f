"""Contracts between ib_async's words and ours."""

from __future__ import annotations

import datetime as dt

import pytest
from ib_async import CFD, Bag, ContFuture, Contract, Crypto, Forex, Future, FuturesOption, Index, Option, Stock

from tastytrade_provider import model
from tastytrade_provider.compat.contracts import Asked, asked, con_id, details, exchange_of, fits, month_of, plain
from tastytrade_provider.errors import NotSupported, UsageError

CL = model.Contract("CL", "/CLF7", "/CLF27:XNYM", "CME", tick_size=0.01, multiplier=1000, expiry=dt.date(2026, 12, 21), calendar="CMEGlobex_CL")
EURO = model.Contract("6E", "/6EZ6", "/6EZ26:XCME", "CME", tick_size=0.00005, multiplier=125_000, expiry=dt.date(2026, 12, 14), calendar="CMEGlobex_FX")
SPY = model.Contract("SPY", "SPY", "SPY", "ARCX", tick_size=0.01, calendar="NYSE")
BITCOIN = model.Contract("BTC/USD", "BTC/USD", "BTC/USD:CXTALP", "CXTALP", tick_size=0.01, size_step=1e-8, calendar="24/7")


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (Future("ES", "202612", "CME"), Asked("ES", "/ESZ26")),
        (Future("ES", "20261218", "CME"), Asked("ES", "/ESZ26")),
        (Future("ES", exchange="CME"), Asked("ES")),
        (Future(localSymbol="ESZ6", exchange="CME"), Asked("ES", "ESZ6")),
        (Contract(secType="FUT", symbol="EUR", lastTradeDateOrContractMonth="202612"), Asked("6E", "/6EZ26")),
        (Future("SI", "202612", tradingClass="SIL"), Asked("SIL", "/SILZ26")),
        (ContFuture("NQ", "CME"), Asked(symbol="/NQ")),
        (Stock("SPY", "SMART", "USD"), Asked(symbol="SPY")),
        (Stock("BRK B", "SMART", "USD"), Asked(symbol="BRK B")),
        (Index("SPX", "CBOE"), Asked(symbol="SPX")),
        (Crypto("BTC", "PAXOS", "USD"), Asked(symbol="BTC/USD")),
    ],
)
def test_a_description_says_what_to_look_up(described: Contract, expected: Asked) -> None:
    assert asked(described) == expected


@pytest.mark.parametrize("described", [Option("SPY"), FuturesOption("ES"), Forex("EURUSD"), CFD("IBUS500"), Bag()])
def test_what_the_feed_does_not_have_names_the_guide(described: Contract) -> None:
    with pytest.raises(NotSupported, match="migration guide: contracts"):
        asked(described)


def test_a_description_without_a_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="localSymbol"):
        asked(Future())


def test_ours_come_back_from_ib_s_words() -> None:
    for contract in (CL, EURO, SPY, BITCOIN):
        assert fits(contract, plain(contract))
        assert [other for other in (CL, EURO, SPY, BITCOIN) if fits(other, plain(contract))] == [contract]


def test_a_month_is_that_of_the_contract_and_the_date_that_of_its_last_day() -> None:
    assert month_of(CL) == "202701"
    assert plain(CL).lastTradeDateOrContractMonth == "20261221"
    assert (plain(CL).exchange, plain(CL).multiplier, plain(EURO).symbol, plain(EURO).localSymbol) == ("NYMEX", "1000", "EUR", "6EZ6")
    assert [fits(CL, Future("CL", month, "NYMEX")) for month in ("202701", "202612", "20261221", "")] == [True, False, True, True]
    assert [fits(CL, Future("CL", "202701", "NYMEX", multiplier=multiplier)) for multiplier in ("1000", "500")] == [True, False]


def test_others_have_ib_s_types() -> None:
    assert [(plain(one).secType, plain(one).symbol, plain(one).localSymbol, exchange_of(one)) for one in (SPY, BITCOIN)] == [
        ("STK", "SPY", "SPY", "SMART"),
        ("CRYPTO", "BTC", "BTC.USD", "PAXOS"),
    ]


def test_numbers_are_below_zero_and_differ() -> None:
    numbers = {con_id(contract) for contract in (CL, EURO, SPY, BITCOIN)}
    assert len(numbers) == 4
    assert max(numbers) < 0
    assert min(numbers) > -(2**31)


def test_hours_of_oil_are_told_in_new_york() -> None:
    sunday_ns = int(dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC).timestamp()) * 10**9
    told = details(CL, "FUT", sunday_ns)
    assert told.timeZoneId == "US/Eastern"
    assert told.tradingHours.split(";")[:2] == ["20261122:CLOSED", "20261122:1800-20261123:1700"]
    assert told.liquidHours.split(";")[1] == "20261123:0900-20261123:1430"
    assert len(told.tradingSessions()) == 5
