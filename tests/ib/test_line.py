from __future__ import annotations

import math
from typing import Any

import pytest

from tastytrade_provider.ib.line import Line
from tastytrade_provider.model import Gap, Quote, TradeBatch
from tastytrade_provider.provider import Subscription
from tests.checks.builders import ES, opening

SECOND = opening() // 10**9


def a_line() -> tuple[Line, list[Any], list[Any]]:
    """A line with a listener to trades and one to quotes, and what they were handed."""
    line, trades, quotes = Line(ES), list[Any](), list[Any]()
    line.begin(opening())
    line.trades.append(Subscription(ES).on(trades.append))
    line.quotes.append(Subscription(ES).on(quotes.append))
    return line, trades, quotes


def trade(line: Line, second: int, price: float, size: float = 1.0, *, unreported: bool = False) -> None:
    line.trade(SECOND + second, price, size, unreported, (SECOND + second) * 10**9 + 200_000_000)


def quote(line: Line, second: int, bid: float, ask: float) -> None:
    line.quote(SECOND + second, bid, ask, 5.0 if bid > 0 else 0.0, 5.0 if ask > 0 else 0.0, (SECOND + second) * 10**9)


def test_what_was_read_in_one_go_is_one_batch_with_the_quotes_that_came_before() -> None:
    line, trades, quotes = a_line()
    quote(line, 0, 6000.0, 6000.25)
    trade(line, 0, 6000.25)
    quote(line, 1, 6000.25, 6000.5)
    trade(line, 1, 6000.25)
    line.flush()
    line.flush()
    [batch] = trades
    assert batch.side.tolist() == [1, -1]
    assert [row.side_source.name for row in batch] == ["QUOTE", "QUOTE"]
    assert batch.bid.tolist() == [6000.0, 6000.25]
    assert batch.index.tolist() == [-1, -1]
    assert len(quotes) == 2


def test_between_the_quotes_the_tick_rule_decides_and_says_so() -> None:
    line, trades, _ = a_line()
    quote(line, 0, 6000.0, 6000.5)
    for price in (6000.5, 6000.25, 6000.25):
        trade(line, 1, price)
    line.flush()
    assert [(row.side.name, row.side_source.name) for row in trades[0]] == [("BUY", "QUOTE"), ("SELL", "TICK"), ("SELL", "TICK")]


def test_prints_without_volume_and_unreported_ones_are_counted_and_leave_no_trace() -> None:
    line, trades, _ = a_line()
    trade(line, 0, -1.0, 0.0)
    trade(line, 0, 9999.0, unreported=True)
    line.flush()
    assert trades == []
    assert line.counts.excluded == {"no_volume": 1, "unreported": 1}


def test_a_print_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        trade(a_line()[0], 0, math.nan)


def test_a_late_print_is_handed_on_with_its_own_time() -> None:
    line, trades, _ = a_line()
    trade(line, 5, 6000.0)
    line.flush()
    trade(line, 3, 6000.25)
    line.flush()
    assert [int(batch.time_ns[0]) // 10**9 - SECOND for batch in trades] == [5, 3]
    assert line.newest_ns == (SECOND + 5) * 10**9


def test_an_outage_is_told_once_by_the_next_print_and_old_quotes_are_not_trusted_after_it() -> None:
    line, trades, quotes = a_line()
    quote(line, 0, 6000.0, 6000.25)
    trade(line, 1, 6000.0)
    line.flush()
    line.broke()
    trade(line, 9, 6000.25)
    trade(line, 9, 6000.25)
    [gap] = line.flush()
    assert gap == Gap(ES, (SECOND + 1) * 10**9, (SECOND + 10) * 10**9, "connection lost")
    assert [type(item) for item in trades] == [TradeBatch, Gap, TradeBatch]
    assert math.isnan(trades[-1].bid[0])
    quote(line, 10, 6000.0, 6000.25)
    line.flush()
    assert [type(item) for item in quotes] == [Quote, Gap, Quote]


def test_an_outage_nobody_trades_after_is_told_by_the_clock() -> None:
    line, trades, _ = a_line()
    trade(line, 1, 6000.0)
    line.flush()
    line.broke()
    seen_ns = int(trades[0].received_ns[0])
    gap = line.silent(seen_ns + 5 * 10**9)
    assert gap == Gap(ES, (SECOND + 1) * 10**9, (SECOND + 6) * 10**9, "connection lost")
    assert trades[-1] == gap
    assert line.silent(seen_ns + 9 * 10**9) is None


def test_a_listener_who_comes_later_does_not_meet_the_quote_and_the_price_of_one_who_left() -> None:
    line, trades = Line(ES), list[Any]()
    line.begin(opening())
    first = Subscription(ES)
    line.trades.append(first)
    quote(line, 0, 6000.0, 6000.25)
    trade(line, 0, 6000.25)
    line.flush()
    line.trades.remove(first)
    line.begin(opening() + 3600 * 10**9)
    line.trades.append(Subscription(ES).on(trades.append))
    trade(line, 3600, 6000.25)
    line.flush()
    [batch] = trades
    assert [(row.side.name, row.side_source.name) for row in batch] == [("UNKNOWN", "NONE")]
    assert math.isnan(batch.bid[0])
    assert (line.sides["quote"], line.sides["none"]) == (1, 1)


def test_after_an_outage_the_price_before_it_tells_no_side() -> None:
    line, trades, _ = a_line()
    quote(line, 0, 6000.0, 6000.25)
    trade(line, 0, 6000.25)
    line.flush()
    line.broke()
    trade(line, 3600, 5990.0)
    line.flush()
    assert [(row.side.name, row.side_source.name) for row in trades[-1]] == [("UNKNOWN", "NONE")]


def test_who_comes_after_an_outage_that_nobody_listened_through_is_told_of_no_gap() -> None:
    line, got = Line(ES), list[Any]()
    first: Subscription[Any] = Subscription(ES)
    line.quotes.append(first)
    quote(line, 0, 6000.0, 6000.25)
    line.flush()
    line.quotes.remove(first)
    line.broke()
    line.quotes.append(Subscription(ES).on(got.append))
    quote(line, 3600, 6000.0, 6000.25)
    line.flush()
    assert [type(item) for item in got] == [Quote]
