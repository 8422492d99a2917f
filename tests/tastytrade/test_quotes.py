"""Rows of Quote, Trade, Summary and Profile to quotes and the day's figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.errors import ProtocolViolation
from tastytrade_provider.model import Contract, Quote, Summary
from tastytrade_provider.tastytrade.quotes import FIELDS, ContractProfile, DayFigures, LastTrade, MarketDecoder, SummaryState, priced
from tests.checks.builders import ES, opening

MS = opening() // 1_000_000  # 2026-11-23 14:30 UTC
GC = Contract("GC", "/GCZ6", "/GCZ26:XCEC", "CME", tick_size=0.1, multiplier=100)
ROWS: dict[str, dict[str, Any]] = {
    "Quote": {"bidTime": MS, "bidPrice": 6000.0, "bidSize": 41.0, "askTime": MS, "askPrice": 6000.25, "askSize": 37.0},
    "Trade": {
        "time": MS + 152, "timeNanoPart": 7, "price": 6000.25, "change": 12.5, "size": 1.0, "dayId": 20780, "dayVolume": 4.0, "dayTurnover": 24_000.0,
        "tickDirection": "ZERO_UP", "extendedTradingHours": False,
    },
    "Summary": {
        "dayOpenPrice": 5990.0, "dayHighPrice": 6004.5, "dayLowPrice": 5981.25, "dayClosePrice": "NaN", "prevDayClosePrice": 5987.75, "openInterest": 2104512,
    },
    "Profile": {"description": "E-Mini S&P 500", "tradingStatus": "ACTIVE", "highLimitPrice": 6412.75, "lowLimitPrice": 5578.25},
}  # fmt: skip


def a_row(kind: str, **changes: Any) -> dict[str, Any]:
    return {"eventSymbol": ES.streamer_symbol} | ROWS[kind] | changes


def a_decoder() -> MarketDecoder:
    decoder = MarketDecoder()
    decoder.watch(ES)
    decoder.watch(GC)
    return decoder


def read(kind: str, received_ns: int = opening() + 10**9, **changes: Any) -> Any:
    (value,) = a_decoder().read(kind, [a_row(kind, **changes)], received_ns)
    return value


# -- rows


def test_a_quote_has_both_sides_and_the_later_of_their_times() -> None:
    assert read("Quote", bidTime=MS - 3000, askTime=MS + 5, received_ns=9) == Quote(ES, opening() + 5_000_000, 9, 6000.0, 6000.25, 41.0, 37.0)


@pytest.mark.parametrize("empty", ["NaN", None, "Infinity", "-Infinity"])
def test_a_quote_with_one_side_is_kept_and_the_empty_side_is_none_with_its_size(empty: Any) -> None:
    quote = read("Quote", bidPrice=empty, bidSize=0.0)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (None, None, 6000.25, 37.0)
    quote = read("Quote", askPrice=empty, askSize="NaN")
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (6000.0, 41.0, None, None)


def test_an_empty_book_is_a_quote_with_neither_side() -> None:
    quote = read("Quote", bidPrice="NaN", askPrice="NaN")
    assert (quote.bid, quote.ask, quote.bid_size, quote.ask_size) == (None, None, None, None)


def test_a_price_without_a_size_keeps_the_price_and_a_price_of_zero_is_a_price() -> None:
    quote = read("Quote", bidPrice=0.0, bidSize=3.0, askSize="NaN")
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (0.0, 3.0, 6000.25, None)


@pytest.mark.parametrize("times", [{"bidTime": 0, "askTime": 0}, {"bidTime": None, "askTime": None}, {"bidTime": "NaN", "askTime": 0}])
def test_a_quote_without_times_has_the_time_it_was_received(times: dict[str, Any]) -> None:
    assert read("Quote", received_ns=77, **times).time_ns == 77


def test_a_trade_carries_the_days_totals_and_its_time_to_the_nanosecond() -> None:
    expected = LastTrade(ES, opening() + 152_000_007, 9, 6000.25, 1.0, 12.5, 20780, 4.0, 24_000.0, "ZERO_UP", False)
    assert read("Trade", received_ns=9) == expected


def test_after_the_daily_reset_a_trade_has_volume_zero_and_no_turnover() -> None:
    trade = read("Trade", dayVolume=0.0, dayTurnover="NaN", tickDirection="UNDEFINED", extendedTradingHours="true")
    assert (trade.day_volume, trade.day_turnover, trade.tick_direction, trade.extended_hours) == (0.0, None, None, True)


def test_summary_and_profile_have_the_time_they_were_received_and_none_for_what_is_not_sent() -> None:
    assert read("Summary", received_ns=9) == DayFigures(ES, 9, 9, 5990.0, 6004.5, 5981.25, None, 5987.75, 2104512.0)
    assert read("Summary", openInterest=0).open_interest is None
    expected = ContractProfile(ES, 9, 9, None, None, 6412.75, None)
    assert read("Profile", received_ns=9, description="", tradingStatus="UNDEFINED", lowLimitPrice="NaN") == expected


@pytest.mark.parametrize("kind", ROWS)
def test_numbers_may_come_as_text_and_whole(kind: str) -> None:
    as_text: dict[str, Any] = {
        name: str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value for name, value in ROWS[kind].items()
    }
    assert read(kind, **as_text) == read(kind)


@pytest.mark.parametrize("kind", ROWS)
def test_the_order_of_columns_does_not_matter(kind: str) -> None:
    fields = FIELDS[kind]
    for order in (fields, fields[::-1]):
        body = json.dumps([kind, [a_row(kind)[name] for name in order]]).encode()
        announced = {kind: order}.__getitem__
        assert a_decoder().decode([feed_data(1, body).raw], [opening() + 10**9], announced) == [read(kind)]


@pytest.mark.parametrize("kind", ROWS)
def test_a_column_the_server_does_not_send_is_none(kind: str) -> None:
    (value,) = a_decoder().read(kind, [{"eventSymbol": ES.streamer_symbol}], 5)
    given = {name: getattr(value, name) for name in value.__slots__ if getattr(value, name) is not None}
    assert given == {"contract": ES, "time_ns": 5, "received_ns": 5} | ({"extended_hours": False} if kind == "Trade" else {})


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("Quote", {"eventSymbol": "/NQZ26:XCME"}, "symbol '/NQZ26:XCME' is not subscribed"),
        ("Quote", {"eventSymbol": None}, "is not subscribed"),
        ("Quote", {"bidPrice": True}, "bidPrice 'True' is no number"),
        ("Quote", {"askPrice": "soon"}, "askPrice 'soon' is no number"),
        ("Quote", {"askPrice": "6_000"}, "askPrice '6_000' is no number"),
        ("Quote", {"bidSize": []}, "bidSize '[]' is no number"),
        ("Quote", {"bidTime": 10**17}, "bidTime 100000000000000000 is no time in milliseconds"),
        ("Quote", {"askTime": -1}, "askTime -1 is no time in milliseconds"),
        ("Trade", {"dayVolume": {}}, "dayVolume '{}' is no number"),
        ("Trade", {"timeNanoPart": 10**6}, "timeNanoPart 1000000 is not from 0 to 999999"),
        ("Trade", {"tickDirection": 1}, "is no text"),
        ("Summary", {"openInterest": "many"}, "is no number"),
        ("Profile", {"description": 7}, "is no text"),
    ],
)
def test_a_row_that_cannot_be_read_is_counted_and_kept_raw_and_the_others_pass(kind: str, change: dict[str, Any], reason: str) -> None:
    decoder = a_decoder()
    values = decoder.read(kind, [a_row(kind), a_row(kind, **change), a_row(kind, eventSymbol=GC.streamer_symbol)], 1)
    assert [value.contract for value in values] == [ES, GC]
    assert decoder.rejected == 1
    (kept,) = decoder.rejects
    said, _, raw = kept.partition(": ")
    assert reason.replace("'", "") in said.replace("'", "")
    assert json.loads(raw).keys() == a_row(kind).keys()


@pytest.mark.parametrize("body", [b'["Quote",[1]]', b'["Quote"]', b"7", b"[1", b'["Greeks",["/ESZ26:XCME"]]', b'[{"eventType":"Quote"}]'])
def test_a_message_that_cannot_be_read_is_one_reject_and_the_next_one_passes(body: bytes) -> None:
    def fields_of(kind: str) -> tuple[str, ...]:
        if kind not in FIELDS:
            raise ProtocolViolation(f"{kind} was not announced")
        return FIELDS[kind]

    decoder = a_decoder()
    good = feed_data(1, json.dumps(["Quote", [a_row("Quote")[name] for name in FIELDS["Quote"]]]).encode())
    assert len(decoder.decode([feed_data(1, body).raw, good.raw], [1, 2], fields_of)) == 1
    assert (decoder.rejected, len(decoder.rejects)) == (1, 1)


def test_a_value_nested_absurdly_deep_is_a_reject() -> None:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    decoder = a_decoder()
    assert decoder.read("Quote", [a_row("Quote", bidPrice=deep)], 1) == []
    assert decoder.rejected == 1


# -- the day's figures


def test_trade_summary_and_profile_merge_into_one_summary() -> None:
    state = SummaryState(ES)
    for kind in ("Profile", "Summary", "Trade"):
        state.add(read(kind, received_ns=opening() - 1))
    # turnover 24000 for 4 contracts is 6000 a contract; with the multiplier of 50 that is 1,200,000 in currency
    assert state.summary == Summary(
        ES, opening() + 152_000_007, opening() - 1,
        day_open=5990.0, day_high=6004.5, day_low=5981.25, day_close=None, previous_close=5987.75, volume=4.0, turnover=1_200_000.0, vwap=6000.0,
        change=12.5, tick_direction="ZERO_UP", open_interest=2104512.0, high_limit=6412.75, low_limit=5578.25, status="ACTIVE",
        description="E-Mini S&P 500",
    )  # fmt: skip
    assert state.last is not None
    assert (state.last.price, state.last.day_turnover) == (6000.25, 24_000.0)


def test_a_summary_comes_once_for_each_change_and_not_for_a_repetition() -> None:
    state = SummaryState(ES)
    assert state.add(read("Summary")) is not None
    assert state.add(read("Summary", received_ns=opening() + 2 * 10**9)) is None
    changed = state.add(read("Summary", dayHighPrice=6005.0))
    assert changed is not None
    assert changed.day_high == 6005.0
    assert state.add(read("Profile", tradingStatus="HALTED")) is state.summary
    assert state.summary is not None
    assert (state.summary.status, state.summary.day_high) == ("HALTED", 6005.0)


def test_the_first_event_makes_a_summary_even_where_it_says_nothing() -> None:
    (empty,) = a_decoder().read("Profile", [{"eventSymbol": ES.streamer_symbol}], 5)
    assert not isinstance(empty, Quote)
    assert SummaryState(ES).add(empty) == Summary(ES, 5, 5)


def test_the_daily_reset_takes_yesterdays_figures_away() -> None:
    state = SummaryState(ES)
    state.add(read("Summary"))
    state.add(read("Trade"))
    state.add(read("Trade", dayVolume=0, dayTurnover="NaN"))
    state.add(read("Summary", dayOpenPrice="NaN", dayHighPrice="NaN", dayLowPrice="NaN", prevDayClosePrice=6001.0))
    now = state.summary
    assert now is not None
    assert (now.day_high, now.day_low, now.volume, now.turnover, now.vwap, now.previous_close) == (None, None, 0.0, None, None, 6001.0)


def test_the_time_of_a_summary_never_goes_back() -> None:
    state = SummaryState(ES)
    state.add(read("Summary", received_ns=opening() + 10**9))
    late = state.add(read("Trade", received_ns=opening() + 2 * 10**9))
    assert late is not None
    assert (late.time_ns, late.received_ns) == (opening() + 10**9, opening() + 2 * 10**9)


@pytest.mark.parametrize(
    ("turnover", "volume", "low", "high", "vwap", "currency"),
    [
        (18_000.0, 3.0, 5990.0, 6010.0, 6000.0, 900_000.0),  # price times contracts
        (900_000.0, 3.0, 5990.0, 6010.0, 6000.0, 900_000.0),  # times the multiplier of 50 as well
        (18_000.0, 3.0, 6000.0, 6000.0, 6000.0, 900_000.0),  # one price all day: low, high and VWAP are the same
        (18_000.0, 3.0, 6000.25, 6010.0, None, None),  # 6000 is below the low, and so is 120
        (18_000.0, 3.0, None, 6010.0, None, None),
        (18_000.0, 0.0, 5990.0, 6010.0, None, None),
        (None, 3.0, 5990.0, 6010.0, None, None),
        (15.0, 3.0, -40.0, 18.0, None, None),  # both 5 and 0.1 lie within: crude oil's range of 2020-04-20
    ],
)
def test_a_vwap_is_given_only_where_exactly_one_reading_of_the_turnover_lies_in_the_days_range(
    turnover: float | None, volume: float, low: float | None, high: float, vwap: float | None, currency: float | None
) -> None:
    assert priced(ES, turnover, volume, low, high) == (vwap, currency)


def test_with_a_multiplier_of_one_both_readings_are_the_same() -> None:
    assert priced(Contract("X", "/X"), 30.0, 3.0, 9.0, 11.0) == (10.0, 30.0)
