from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ib_async.contract import Contract as IbContract
from ib_async.contract import ContractDetails

from tastytrade_provider.errors import AmbiguousContract, ProtocolViolation
from tastytrade_provider.ib.contracts import Listed, choose, listed, month_asked, months_of, question
from tastytrade_provider.tastytrade.symbols import FutureSymbol


def details(month: str = "202506", day: str = "20250620", con_id: int = 1, **contract: Any) -> ContractDetails:
    """As captured from a gateway in May 2025 for ESM5, other months and products by argument."""
    given = {"symbol": "ES", "tradingClass": "ES", "exchange": "CME", "multiplier": "50"} | contract
    ib = IbContract(secType="FUT", lastTradeDateOrContractMonth=day, currency="USD", conId=con_id, **given)
    return ContractDetails(contract=ib, minTick=0.25, priceMagnifier=1, contractMonth=month, realExpirationDate=day, longName="E-mini S&P 500")


def wanted(text: str) -> FutureSymbol:
    found = FutureSymbol.parse(text)
    assert found is not None
    return found


def year_of(*years: int) -> list[Listed]:
    return [listed(details(f"{year}12", f"{year}1220", con_id=year)) for year in years]


def test_a_captured_line_becomes_the_contract_that_tastytrade_calls_so() -> None:
    found = listed(details()).contract
    assert (found.root, found.symbol, found.streamer_symbol, found.exchange) == ("ES", "/ESM5", "/ESM25:XCME", "CME")
    assert (found.tick_size, found.multiplier, found.expiry, found.calendar) == (0.25, 50.0, dt.date(2025, 6, 20), "CME Globex Equity")


def test_the_month_is_that_of_the_contract_and_not_of_its_expiry() -> None:
    found = listed(details("202507", "20250620", symbol="CL", tradingClass="CL", exchange="NYMEX", multiplier="1000")).contract
    assert (found.symbol, found.streamer_symbol) == ("/CLN5", "/CLN25:XNYM")


def test_a_product_is_called_by_its_trading_class_and_asked_for_by_ibs_symbol() -> None:
    assert listed(details(symbol="EUR", tradingClass="6E", multiplier="125000")).contract.root == "6E"
    assert (question("6E").symbol, question("BTC").symbol, question("MGC").exchange, question("ZN").exchange) == ("EUR", "BRR", "COMEX", "CBOT")


def test_a_price_in_cents_has_its_tick_and_its_multiplier_by_the_cent() -> None:
    line = details(symbol="ZC", tradingClass="ZC", exchange="CBOT", multiplier="5000")
    line.priceMagnifier, line.minTick = 100, 0.0025
    found = listed(line).contract
    assert (found.tick_size, found.multiplier) == (0.25, 50.0)


@pytest.mark.parametrize("change", [{"month": "x"}, {"day": "soon"}, {"multiplier": "many"}])
def test_details_without_a_month_or_an_expiry_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(ProtocolViolation, match="cannot be read"):
        listed(details(**change))


def test_one_digit_of_a_year_is_the_nearest_such_year_and_two_are_that_year() -> None:
    listing = year_of(2036, 2026)
    for text, year in (("ESZ6", 2026), ("/ESZ6", 2026), ("ESZ36", 2036), ("/ESZ26:XCME", 2026), ("/ESZ36:CME", 2036)):
        found = choose(text, wanted(text), listing)
        assert found is not None
        assert found.ib.conId == year, text
    assert choose("ESZ7", wanted("ESZ7"), listing) is None
    assert choose("ESZ6:XCBT", wanted("ESZ6:XCBT"), listing) is None


def test_the_front_month_is_ibs_lead_month_or_where_it_names_none_the_nearest() -> None:
    listing = year_of(2026, 2027)
    for lead, expected in ((2027, 2027), (None, 2026), (1999, 2026)):
        found = choose("ES", wanted("ES"), listing, lead)
        assert found is not None
        assert found.ib.conId == expected


def test_several_products_of_one_symbol_are_listed_as_choices() -> None:
    listing = [listed(details(symbol="ES", exchange=exchange)) for exchange in ("CME", "QBALGO")]
    with pytest.raises(AmbiguousContract) as told:
        choose("ESM5", wanted("ESM5"), listing)
    assert "/ESM25:XCME (multiplier 50)" in str(told.value)
    assert "/ESM25:QBALGO (multiplier 50)" in str(told.value)
    found = choose("ESM5:XCME", wanted("ESM5:XCME"), listing)
    assert found is not None
    assert found.ib.exchange == "CME"


def test_the_trading_class_tells_a_product_from_its_small_sister() -> None:
    big, small = (details(symbol="SI", tradingClass=name, exchange="COMEX", multiplier=size) for name, size in (("SI", "5000"), ("SIL", "1000")))
    assert [one.contract.multiplier for one in months_of("SIL", "SIL", [listed(big), listed(small)])] == [1000.0]
    with pytest.raises(AmbiguousContract):
        months_of("silver", "XX", [listed(big), listed(small)])


def test_an_expired_contract_is_asked_for_by_its_month() -> None:
    asked = question("ES", month=month_asked(wanted("/ESZ24:XCME")))
    assert (asked.lastTradeDateOrContractMonth, asked.includeExpired) == ("202412", True)
    assert month_asked(wanted("ESZ4")) == ""
