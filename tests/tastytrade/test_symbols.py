"""How users write a contract."""

from __future__ import annotations

import pytest

from tastytrade_provider.model import Contract
from tastytrade_provider.tastytrade.symbols import FutureSymbol, unknown


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
        "TastyTrade lists no contract 'XY'; listed: /ESZ6. Accepted forms: ES (front month), ESZ6, /ESZ6, ESZ26, /ESZ26:XCME"
    )
