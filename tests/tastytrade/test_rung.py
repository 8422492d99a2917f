"""Which source a contract's trades come from, second by second."""

from __future__ import annotations

import pytest

from tastytrade_provider.tastytrade.rung import FALL_AFTER_S, LISTEN_AFTER_S, Rung


def silent(at_s: float = LISTEN_AFTER_S) -> Rung:
    rung = Rung("auto", 0.0)
    rung.advance(at_s)
    assert rung.listens
    return rung


def test_silence_alone_moves_nothing_but_the_ear() -> None:
    rung = Rung("auto", 100.0)
    assert not rung.advance(100.0 + LISTEN_AFTER_S - 0.1)
    assert rung.advance(100.0 + LISTEN_AFTER_S)
    assert rung.listens
    for now_s in range(200, 10_000, 100):  # the night: nobody trades
        assert not rung.advance(now_s)
    assert rung.source == "time_and_sale"


@pytest.mark.parametrize(("has_quotes", "source"), [(True, "quote_trade"), (False, "tick_rule")])
def test_trades_that_time_and_sale_does_not_tell_are_taken_from_elsewhere(has_quotes: bool, source: str) -> None:
    rung = silent()
    if has_quotes:
        rung.quoted()
    rung.traded(30.0)
    rung.traded(31.0)
    assert not rung.advance(30.0 + FALL_AFTER_S)  # two could be one message that is late
    rung.traded(32.0)
    assert not rung.advance(30.0 + FALL_AFTER_S - 0.1)
    assert rung.advance(30.0 + FALL_AFTER_S)
    assert rung.source == source
    assert rung.is_inferred


def test_a_first_quote_makes_the_better_of_the_two() -> None:
    rung = silent()
    for now_s in (30.0, 35.0, 41.0):
        rung.traded(now_s)
    rung.advance(41.0)
    assert rung.source == "tick_rule"
    rung.quoted()
    assert rung.advance(42.0)
    assert rung.source == "quote_trade"


def test_time_and_sale_takes_over_as_soon_as_it_comes() -> None:
    rung = silent()
    for now_s in (30.0, 35.0, 41.0):
        rung.traded(now_s)
    rung.advance(41.0)
    assert rung.told(50.0)
    assert (rung.source, rung.listens) == ("time_and_sale", False)
    assert not rung.told(51.0)


def test_a_row_that_comes_in_time_forgets_the_trades_told_elsewhere() -> None:
    rung = silent()
    for now_s in (30.0, 31.0, 32.0):
        rung.traded(now_s)
    assert not rung.told(33.0)  # it had not been left
    assert not rung.advance(45.0)
    assert rung.source == "time_and_sale"


@pytest.mark.parametrize("wanted", ["time_and_sale", "candle", "quote_trade", "tick_rule"])
def test_a_source_that_was_asked_for_by_name_stays(wanted: str) -> None:
    rung = Rung(wanted, 0.0)  # type: ignore[arg-type]
    for now_s in range(0, 1000, 10):
        rung.traded(now_s)
        rung.quoted()
        assert not rung.advance(now_s)
        assert not rung.told(now_s)
    assert rung.source == wanted
    assert rung.listens == (wanted in ("quote_trade", "tick_rule"))


def test_silence_while_nobody_listened_does_not_count() -> None:
    rung = Rung("auto", 0.0)
    rung.start_over(1000.0)
    assert not rung.advance(1000.0 + LISTEN_AFTER_S - 1)
