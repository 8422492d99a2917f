from __future__ import annotations

from datetime import date

import pytest

from tastytrade_provider.emulator.instruments import SECURITIES, contract_named, expired, front_month, future
from tastytrade_provider.errors import UnknownContract


# Expiries as the exchange published them.
@pytest.mark.parametrize(
    ("root", "year", "month", "expiry"),
    [
        ("ES", 2024, 9, date(2024, 9, 20)),
        ("NQ", 2026, 3, date(2026, 3, 20)),
        ("GC", 2025, 12, date(2025, 12, 29)),
        ("CL", 2025, 12, date(2025, 11, 20)),
        ("6E", 2025, 12, date(2025, 12, 15)),
        ("ZN", 2026, 3, date(2026, 3, 20)),
    ],
)
def test_a_contract_expires_when_its_exchange_says(root: str, year: int, month: int, expiry: date) -> None:
    assert future(root, year, month).expiry == expiry


@pytest.mark.parametrize("symbol", ["ESZ6", "/ESZ6", "/ESZ26", "/ESZ26:XCME", "esz6"])
def test_a_contract_is_found_by_every_spelling_of_its_symbol(symbol: str) -> None:
    assert contract_named(symbol, date(2026, 11, 24)) == future("ES", 2026, 12)


def test_one_digit_of_a_year_means_the_next_such_year() -> None:
    assert contract_named("ESH4", date(2023, 12, 25)).expiry == date(2024, 3, 15)
    assert contract_named("ESH4", date(2024, 6, 3)).streamer_symbol == "/ESH34:XCME"
    assert contract_named("/ESH24:XCME", date(2024, 6, 3)).expiry == date(2024, 3, 15)


def test_the_front_month_changes_eight_days_before_equity_expiry() -> None:
    assert [front_month("ES", date(2026, 3, day)).symbol for day in (11, 12, 13)] == ["/ESH6", "/ESH6", "/ESM6"]


@pytest.mark.parametrize("symbol", ["ES", "/XXZ6", "ESA6", "", "ETHUSDT"])
def test_what_names_no_contract_is_refused(symbol: str) -> None:
    with pytest.raises(UnknownContract, match="expected a root"):
        contract_named(symbol, date(2026, 11, 24))


def test_the_last_expired_contracts_come_oldest_first() -> None:
    # the March contract of 2026 trades until Friday the 20th
    assert [contract.symbol for contract in expired("ES", date(2026, 3, 20), 3)] == ["/ESM5", "/ESU5", "/ESZ5"]
    assert [contract.symbol for contract in expired("ES", date(2026, 3, 21), 3)] == ["/ESU5", "/ESZ5", "/ESH6"]


def test_a_security_is_its_own_front_month_and_the_letters_of_a_future_mean_the_future() -> None:
    assert front_month("SPY", date(2026, 3, 2)) == SECURITIES["SPY"].contract
    assert front_month("ES", date(2026, 3, 2)) == future("ES", 2026, 3)
    assert front_month("ES:XNYS", date(2026, 3, 2)).calendar == "NYSE"


@pytest.mark.parametrize("root", ["XX", "SPYX"])
def test_an_unknown_root_is_refused_with_what_there_is(root: str) -> None:
    with pytest.raises(UnknownContract, match=r"known are ES, .*besides SPY"):
        front_month(root, date(2026, 3, 2))
