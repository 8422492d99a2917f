"""How users write a contract."""

from __future__ import annotations

from typing import Any

import pytest
from tastytrade.instruments import Cryptocurrency, Equity

from tastytrade_provider.errors import NotSupported
from tastytrade_provider.model import Contract
from tastytrade_provider.tastytrade.symbols import FutureSymbol, contract_of_cryptocurrency, contract_of_equity, unknown


@pytest.mark.parametrize(
    ("text", "root", "dated"),
    [
        ("ES", "ES", None), ("/ES", "ES", None), ("es", "ES", None), (" MNQ ", "MNQ", None), ("6E", "6E", None), ("ZN", "ZN", None), ("M2K", "M2K", None),
        ("SR3", "SR3", None), ("E7", "E7", None), ("M6A", "M6A", None), ("2YY", "2YY", None), ("BZ", "BZ", None), ("HG", "HG", None), ("10Y", "10Y", None),
        ("ESZ6", "ES", "/ESZ6"), ("/ESZ6", "ES", "/ESZ6"), ("/ESZ26:XCME", "ES", "/ESZ6"), ("esz26", "ES", "/ESZ6"), ("6EZ6", "6E", "/6EZ6"),
        ("M2KH7", "M2K", "/M2KH7"), ("SR3Z6", "SR3", "/SR3Z6"), ("ZNZ6", "ZN", "/ZNZ6"), ("BZZ6", "BZ", "/BZZ6"),
        ("HGZ6", "HG", "/HGZ6"), ("E7H6", "E7", "/E7H6"), ("J7U26", "J7", "/J7U6"), ("GFX6", "GF", "/GFX6"),
    ],
)  # fmt: skip
def test_a_symbol_is_read_in_every_form_users_write(text: str, root: str, dated: str | None) -> None:
    symbol = FutureSymbol.parse(text)
    assert symbol is not None
    assert (symbol.root, symbol.dated) == (root, dated)


@pytest.mark.parametrize("text", ["", "/", "ES Z6", "ES/Z6", "/ESZ26:", "ESZ026", "BTC/USD", "ÉS", "ESZ٦", "-"])
def test_what_has_not_the_form_of_a_future_is_none(text: str) -> None:
    assert FutureSymbol.parse(text) is None


@pytest.mark.parametrize(("text", "fits"), [("ESZ6", True), ("ESZ26", True), ("ESZ16", False), ("ESH6", False), ("/ESZ26:XCME", True), ("NQZ6", False)])
def test_a_two_digit_year_tells_decades_apart(text: str, fits: bool) -> None:
    symbol = FutureSymbol.parse(text)
    assert symbol is not None
    assert symbol.fits(Contract("ES", "/ESZ6", "/ESZ26:XCME")) == fits


def test_an_unknown_symbol_is_refused_with_what_would_be_known() -> None:
    assert str(unknown("XY", ["/ESZ6"])) == (
        "TastyTrade lists no contract 'XY'; listed: /ESZ6. Accepted forms: futures as ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME; "
        "shares, ETFs and indices as AAPL, SPY, SPX, ES:XNYS; cryptocurrencies as BTC/USD"
    )


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("ESZ6", "2026-12-01"), ("ESH7", "2027-03-01"), ("ESZ5", "2025-12-01"), ("ESZ2", "2022-12-01"), ("ESM1", "2031-06-01"),
        ("ESM0", "2030-06-01"), ("ESZ16", "2016-12-01"), ("/ESF31:XCME", "2031-01-01"),
    ],
)  # fmt: skip
def test_one_digit_of_a_year_means_the_nearest_such_year_and_two_mean_themselves(text: str, month: str) -> None:
    symbol = FutureSymbol.parse(text)
    assert symbol is not None
    assert str(symbol.delivery(2026)) == month


def test_a_product_has_no_month_of_delivery() -> None:
    symbol = FutureSymbol.parse("ES")
    assert symbol is not None
    assert symbol.delivery(2026) is None


def an_equity(**changed: Any) -> Equity:
    """As the API describes GOOGL in public examples of its replies."""
    told: dict[str, Any] = {
        "id": 7824, "active": True, "description": "ALPHABET INC CLASS A COMMON STOCK", "instrument-type": "Equity", "is-closing-only": False,
        "is-etf": False, "is-illiquid": False, "is-index": False, "is-options-closing-only": False, "lendability": "Easy To Borrow",
        "listed-market": "XNAS", "market-time-instrument-collection": "Equity", "streamer-symbol": "GOOGL", "symbol": "GOOGL",
        "tick-sizes": [{"threshold": "1.0", "value": "0.0001"}, {"value": "0.01"}],
    }  # fmt: skip
    return Equity(**told | {name.replace("_", "-"): value for name, value in changed.items()})


def test_a_share_has_the_tick_of_prices_above_a_dollar_and_trades_from_4_to_20_new_york() -> None:
    assert contract_of_equity(an_equity()) == Contract("GOOGL", "GOOGL", "GOOGL", "XNAS", tick_size=0.01, size_step=1.0, calendar="NYSE")


def test_an_index_is_active_although_it_cannot_be_traded() -> None:
    # so the API says of SPX: active false, no tick sizes
    spx = an_equity(symbol="SPX", streamer_symbol="SPX", is_index=True, active=False, listed_market="OTC", tick_sizes=None)
    assert contract_of_equity(spx) == Contract("SPX", "SPX", "SPX", "OTC", tick_size=0.01, calendar="CBOE_Index_Options")
    assert not contract_of_equity(an_equity(active=False)).is_active


def test_a_coin_takes_its_finest_size_from_its_venues() -> None:
    venues = [("ZERO_HASH_CLOB", 5, 1), ("Jane Street", 7, 2), ("Zero Hash", None, None)]  # DOGE/USD in a public reply
    told: dict[str, Any] = {
        "id": 7, "symbol": "DOGE/USD", "instrument-type": "Cryptocurrency", "short-description": "Dogecoin", "description": "Dogecoin to USD",
        "is-closing-only": False, "active": True, "tick-size": "0.00001", "streamer-symbol": "DOGE/USD:CXTALP",
        "destination-venue-symbols": [
            {"id": i, "symbol": "DOGE", "destination-venue": name, "max-price-precision": price, "max-quantity-precision": size, "routable": True}
            for i, (name, price, size) in enumerate(venues)
        ],
    }  # fmt: skip
    expected = Contract("DOGE/USD", "DOGE/USD", "DOGE/USD:CXTALP", "CXTALP", tick_size=0.00001, size_step=0.01, calendar="24/7")
    assert contract_of_cryptocurrency(Cryptocurrency(**told)) == expected


def test_what_has_no_streamer_symbol_is_not_supported_by_name() -> None:
    with pytest.raises(NotSupported, match="no streamer symbol for GOOGL, so it cannot be streamed"):
        contract_of_equity(an_equity(streamer_symbol=""))
