from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from ib_async.objects import BarData, HistoricalTickBidAsk, HistoricalTickLast, TickAttribBidAsk, TickAttribLast

from tastytrade_provider.errors import ProtocolViolation
from tastytrade_provider.ib.mapping import DayFigures, bar_start_ns, quote_of, quotes_met, row_of, trades_of
from tastytrade_provider.model import Summary
from tests.checks.builders import ES, opening

SECOND = opening() // 10**9


def at(second: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(SECOND + second, dt.UTC)


def a_print(second: int, price: float, size: float = 1.0, unreported: bool = False) -> HistoricalTickLast:
    return HistoricalTickLast(at(second), TickAttribLast(False, unreported), price, size, "CME", "")


def a_quote(second: int, bid: float, ask: float, bid_size: float = 5.0, ask_size: float = 5.0) -> HistoricalTickBidAsk:
    return HistoricalTickBidAsk(at(second), TickAttribBidAsk(), bid, ask, bid_size, ask_size)


def a_bar(when: Any = str(SECOND), **other: Any) -> BarData:
    return BarData(**{"date": when, "open": 6000.0, "high": 6001.0, "low": 5999.0, "close": 6000.5, "volume": 12.0, "average": 6000.2, "barCount": 7} | other)


def test_an_intraday_bar_starts_at_its_epoch_second_and_a_day_at_the_open_of_its_session() -> None:
    assert bar_start_ns(ES, str(SECOND)) == SECOND * 10**9
    sunday_evening = dt.datetime(2026, 11, 22, 23, tzinfo=dt.UTC)  # 17:00 Chicago, in winter
    for date in ("20261123", dt.date(2026, 11, 23)):
        assert bar_start_ns(ES, date) == int(sunday_evening.timestamp()) * 10**9


def test_a_bar_time_as_text_is_refused_because_its_zone_is_not_told() -> None:
    with pytest.raises(ProtocolViolation, match="20261123 08:30:00"):
        row_of(ES, a_bar("20261123 08:30:00"))


def test_a_bar_without_trades_is_none_and_one_that_makes_no_sense_is_refused() -> None:
    assert row_of(ES, a_bar(volume=0.0, barCount=0)) is None
    row = row_of(ES, a_bar(average=-1.0, barCount=-1))
    assert row is not None
    assert math.isnan(row.vwap)
    assert math.isnan(row.trades)
    for wrong in ({"open": math.nan}, {"volume": math.inf}):
        with pytest.raises(ProtocolViolation):
            row_of(ES, a_bar(**wrong))


def test_a_price_below_zero_is_a_price() -> None:
    row = row_of(ES, a_bar(open=-37.0, high=-36.0, low=-38.0, close=-37.5, average=-37.2))  # crude oil, 2020-04-20
    assert row is not None
    assert (row.low, row.vwap) == (-38.0, -37.2)


def test_prints_of_the_past_get_the_side_of_the_quote_before_them() -> None:
    quotes = [a_quote(0, 6000.0, 6000.25), a_quote(2, 6000.25, 6000.5)]
    batch, left_out = trades_of(ES, [a_print(1, 6000.25), a_print(1, 6000.0), a_print(3, 6000.25, 3)], quotes)
    assert batch.side.tolist() == [1, -1, -1]
    assert [source.name for source in (trade.side_source for trade in batch)] == ["QUOTE"] * 3
    assert batch.time_ns.tolist() == [(SECOND + s) * 10**9 for s in (1, 1, 3)]
    assert left_out == {"no_volume": 0, "unreported": 0}


def test_a_print_that_met_no_quote_goes_by_the_tick_rule_and_the_first_is_unknown() -> None:
    batch, _ = trades_of(ES, [a_print(0, 6000.0), a_print(0, 6000.25), a_print(0, 6000.25)], [])
    assert batch.side.tolist() == [0, 1, 1]
    assert np.isnan(batch.bid).all()


def test_prints_without_volume_or_unreported_are_left_out_and_counted() -> None:
    batch, left_out = trades_of(ES, [a_print(0, 6000.0, 0.0), a_print(0, 6000.0, unreported=True), a_print(0, 6000.0)], [])
    assert len(batch) == 1
    assert left_out == {"no_volume": 1, "unreported": 1}


def test_within_a_second_prints_follow_the_quotes_in_order() -> None:
    # the book goes up a tick in second 5: the first print can have met the old quote only, the third the new one only
    quotes, bid, ask = np.array([4, 5]), np.array([6000.0, 6000.25]), np.array([6000.25, 6000.5])
    met = quotes_met(np.array([5, 5, 5, 6]), np.array([6000.0, 6000.25, 6000.5, 6000.25]), quotes, bid, ask)
    assert met.tolist() == [0, 0, 1, 1]


def test_an_empty_side_of_the_book_is_none() -> None:
    quote = quote_of(ES, SECOND, 7, -1.0, 6000.25, 0.0, 3.0)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (None, None, 6000.25, 3.0)
    assert (quote.time_ns, quote.received_ns) == (SECOND * 10**9, 7)


def test_the_days_figures_gather_tick_by_tick() -> None:
    figures, told = DayFigures(ES, "E-mini S&P 500"), list[Summary]()
    for what, kind, value in (
        ("price", 14, 6000.0),
        ("price", 9, 5990.0),
        ("price", 4, 6001.0),
        ("price", 4, 6001.0),  # nothing new
        ("price", 1, 6000.75),  # a bid is no figure of the day
        ("text", 48, f"6001.0;2;{SECOND}500;800;6000.4;true"),
        ("size", 86, 2_000_000.0),
        ("number", 49, 1.0),
    ):
        summary = figures.add(what, kind, value, 7)
        if summary is not None:
            told.append(summary)
    assert len(told) == 6
    last = told[-1]
    assert (last.day_open, last.previous_close, last.change, last.volume, last.vwap) == (6000.0, 5990.0, 11.0, 800.0, 6000.4)
    assert (last.open_interest, last.status, last.description, last.turnover) == (2_000_000.0, "HALTED", "E-mini S&P 500", None)
    assert last.time_ns == SECOND * 10**9 + 500_000_000


def test_a_figure_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="tick 48"):
        DayFigures(ES).add("text", 48, "6001.0;2", 7)
