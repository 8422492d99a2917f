"""History and bars of the fake TWS, against sums done by hand. The open is Tuesday 2026-11-24 08:30 in Chicago, 14:30 UTC."""

from __future__ import annotations

import datetime as dt

import pytest

from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.emulator.tws.bars import SIZES, Grid, start_of
from tastytrade_provider.emulator.tws.hours import hours_at
from tests.emulator.exchange import a_print, a_quote
from tests.emulator.tws_talk import OPEN_NS, Desk, answered_bars, described, errors, only

CALENDAR = "CME Globex Equity"
OPEN_S = OPEN_NS // 10**9
CLOSE = 7.5 * 3600  # 16:00 in Chicago


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 10**9


# --- bars


def test_bars_of_trades_are_open_high_low_close_volume_average_and_count() -> None:
    prints = [a_print(0, 6000.0, 2), a_print(20, 6001.0, 1), a_print(59, 5999.5, 1), a_print(60, 6000.5, 4), a_print(185, 6002.0, 3)]
    client = Desk().happened(*(event._replace(index=event.index + i) for i, event in enumerate(prints))).client()
    assert answered_bars(client.bars()) == [
        (str(OPEN_S), "6000", "6001", "5999.5", "5999.5", "4", "6000.125", "3"),  # (2*6000 + 6001 + 5999.5) / 4
        (str(OPEN_S + 60), "6000.5", "6000.5", "6000.5", "6000.5", "4", "6000.5", "1"),
        (str(OPEN_S + 180), "6002", "6002", "6002", "6002", "3", "6002", "1"),
    ]


def test_bars_of_quotes_open_with_the_quote_that_stood_and_count_nothing() -> None:
    quotes = [a_quote(10, 5999.75, 6000.25), a_quote(70, 6000.0, 6000.5), a_quote(80, 5999.5, 6000.0)]
    client = Desk().happened(*quotes).client()
    rows = {what: answered_bars(client.bars(n, what=what)) for n, what in enumerate(("BID", "ASK", "MIDPOINT"))}
    assert rows["BID"] == [
        (str(OPEN_S), "5999.75", "5999.75", "5999.75", "5999.75", "-1", "-1", "-1"),
        (str(OPEN_S + 60), "5999.75", "6000", "5999.5", "5999.5", "-1", "-1", "-1"),
    ]
    assert rows["ASK"][1][1:5] == ("6000.25", "6000.5", "6000", "6000")
    assert rows["MIDPOINT"][1][1:5] == ("6000", "6000.25", "5999.75", "5999.75")


def test_spread_legs_and_invalid_prints_are_in_no_bar_but_in_the_ticks_of_all_last() -> None:
    desk = Desk().happened(a_print(0, 6000.0), a_print(1, 6010.0, 7, sequence=1, spread_leg=True), a_print(2, 6020.0, 9, sequence=2, valid_tick=False))
    client = desk.client()
    [bar] = answered_bars(client.bars())
    assert bar[1:6] == ("6000", "6000", "6000", "6000", "1")
    client.ticks(1, "AllLast")
    client.ticks(2, "Last")
    desk.happen(a_print(3, 6030.0, sequence=3, spread_leg=True), a_print(4, 6040.0, sequence=4))
    ticks = only(client.listen(), 99)
    assert [(fields[0], fields[3], fields[5]) for fields in ticks] == [("1", "6030", "2"), ("1", "6040", "0"), ("2", "6040", "0")]


def test_a_date_is_text_in_the_login_s_zone_or_epoch_seconds() -> None:
    client = Desk(TwsKnobs(time_zone="Europe/Berlin")).happened(a_print()).client()
    assert [answered_bars(client.bars(n, date_format=n))[0][0] for n in (1, 2)] == ["20261124 15:30:00 Europe/Berlin", str(OPEN_S)]


def test_daily_bars_carry_the_session_s_label_weeks_and_months_their_last_weekday() -> None:
    evening = a_print(-14 * 3600, 5990.0)  # Monday 18:30 in Chicago: Tuesday's session
    client = Desk().happened(evening, a_print(0, 6000.0)).client()
    found = {size: answered_bars(client.bars(n, size=size)) for n, size in enumerate(("1 day", "1 week", "1 month"))}
    assert {size: [row[0] for row in rows] for size, rows in found.items()} == {"1 day": ["20261124"], "1 week": ["20261127"], "1 month": ["20261130"]}
    assert all(rows[0][1:6] == ("5990", "6000", "5990", "6000", "2") for rows in found.values())


def test_regular_hours_of_index_futures_end_with_the_session_at_16_00() -> None:
    seconds = (-60, 0, CLOSE - 60, CLOSE + 2 * 3600)
    desk = Desk().happened(*(a_print(second, sequence=n) for n, second in enumerate(seconds)))
    rows = answered_bars(desk.client().bars(rth=True, duration="2 D"))
    assert [int(row[0]) - OPEN_S for row in rows] == [0, CLOSE - 60]


def test_an_hourly_bar_of_regular_hours_begins_at_the_open_not_before() -> None:
    grid = Grid(SIZES["1 hour"], CALENDAR, use_rth=True)
    assert [grid.start(OPEN_NS + minute * 60 * 10**9) for minute in (0, 29, 30, 95)] == [OPEN_NS, OPEN_NS, OPEN_NS + 1800 * 10**9, OPEN_NS + 5400 * 10**9]
    assert grid.start(OPEN_NS - 1) is None


def test_bars_above_an_hour_count_from_the_session_s_open() -> None:
    grid = Grid(SIZES["4 hours"], CALENDAR, use_rth=False)
    assert grid.start(utc("2026-11-24 14:30")) == utc("2026-11-24 11:00")  # 17:00, 21:00, 01:00, 05:00 in Chicago


@pytest.mark.parametrize("size", SIZES)
def test_every_bar_size_is_served(size: str) -> None:
    assert len(answered_bars(Desk().happened(a_print()).client().bars(size=size))) == 1


@pytest.mark.parametrize(
    ("duration", "starts"),
    [
        ("60 S", "2026-11-24 14:29"),
        ("1 D", "2026-11-23 23:00"),
        ("2 D", "2026-11-22 23:00"),  # Sunday evening
        ("3 D", "2026-11-19 23:00"),  # Thursday evening: Friday's session
        ("1 W", "2026-11-17 23:00"),
        ("1 M", "2026-10-25 22:00"),  # a Sunday; 24 October is a Saturday, and summer time
        ("1 Y", "2025-11-24 23:00"),
    ],
)
def test_durations_count_seconds_sessions_or_the_calendar(duration: str, starts: str) -> None:
    assert start_of(duration, OPEN_NS, CALENDAR, use_rth=False) == utc(starts)


def test_a_duration_of_regular_hours_begins_at_their_open() -> None:
    assert start_of("2 D", OPEN_NS + 1, CALENDAR, use_rth=True) == utc("2026-11-23 14:30")


def test_a_duration_ends_where_the_request_says_and_the_bar_there_is_left_out() -> None:
    client = Desk().happened(*(a_print(60 * n, sequence=n) for n in range(6))).client()
    rows = answered_bars(client.bars(end="20261124-14:34:00", duration="120 S"))
    assert [int(row[0]) - OPEN_S for row in rows] == [120, 180]


def test_trading_ends_early_on_a_half_day() -> None:
    assert hours_at(CALENDAR, utc("2026-11-27 15:00")).close_ns == utc("2026-11-27 18:15")


# --- bars as they form


def test_bars_kept_up_to_date_continue_those_of_the_answer_without_a_seam() -> None:
    desk = Desk().happened(a_print(0, 6000.0, 2))
    client = desk.client()
    client.bars(4, keep=True)
    desk.happen(a_print(30, 6001.0, 1, sequence=1))
    desk.happen(a_print(59, 5999.0, 1, sequence=2), a_print(61, 6003.0, 5, sequence=3))
    # request, count, date, open, close, high, low, average, volume
    assert only(client.listen(), 90) == [
        ("4", "2", str(OPEN_S), "6000", "6001", "6001", "6000", str(18001 / 3), "3"),
        ("4", "3", str(OPEN_S), "6000", "5999", "6001", "5999", "6000", "4"),
        ("4", "1", str(OPEN_S + 60), "6003", "6003", "6003", "6003", "6003", "5"),
    ]
    assert answered_bars(client.bars(9))[0][1:] == ("6000", "6001", "5999", "5999", "4", "6000", "3")


def test_bars_of_five_seconds_come_when_they_are_over_and_never_begun_in_the_middle() -> None:
    desk = Desk().happened(a_print(1, 6000.0))
    client = desk.client()
    client.live_bars(6)
    desk.happen(a_print(4, 6001.0, sequence=1), a_print(6, 6002.0, 2, sequence=2), second=9.9)
    assert only(client.listen(), 50) == []
    desk.happen(second=10)
    assert only(client.listen(), 50) == [("3", "6", str(OPEN_S + 5), "6002", "6002", "6002", "6002", "2", "6002", "1")]
    desk.happen(a_print(11, 6003.0, sequence=3), a_print(21, 6004.0, sequence=4))
    assert [fields[2:4] for fields in only(client.listen(), 50)] == [(str(OPEN_S + 10), "6003")]


def test_a_bar_does_not_end_by_a_clock_that_is_ahead_of_the_prints_handed_out() -> None:
    desk = Desk()
    client = desk.client()
    client.live_bars(6)
    desk.happen(a_print(1, 6000.0, 1), second=7)  # more is due by then than comes at a time
    assert only(client.listen(), 50) == []
    desk.happen(a_print(2, 6001.0, 2, sequence=1), a_print(6, 6002.0, sequence=2), second=7)
    assert [fields[2:8] for fields in only(client.listen(), 50)] == [(str(OPEN_S), "6000", "6001", "6000", "6001", "3")]


# --- ticks of the past


def a_second_of(n: int, second: float) -> list[object]:
    return [a_print(second + i / 100, 6000.0 + i, sequence=int(second * 100) + i) for i in range(n)]


def asked_ticks(desk: Desk, start: str = "", end: str = "", number: int = 1000, what: str = "TRADES") -> list[tuple[str, ...]]:
    return desk.client(99).ask(96, 7, *described(), False, start, end, number, what, False, False, "")


def prices(answer: list[tuple[str, ...]]) -> list[float]:
    [fields] = only(answer, 98)
    assert fields[-1] == "1"
    return [float(price) for price in fields[4:-1:6]]


def test_ticks_from_a_start_end_with_a_whole_second_and_to_an_end_with_the_number() -> None:
    desk = Desk().happened(*a_second_of(3, 0), *a_second_of(4, 1), *a_second_of(2, 2))  # type: ignore[arg-type]
    assert prices(asked_ticks(desk, start="20261124-14:30:00", number=4)) == [6000, 6001, 6002, 6000, 6001, 6002, 6003]
    desk = Desk().happened(*a_second_of(3, 0), *a_second_of(4, 1))  # type: ignore[arg-type]
    assert prices(asked_ticks(desk, end="20261124-14:30:02", number=2)) == [6002, 6003]
    desk = Desk().happened(*a_second_of(3, 0))  # type: ignore[arg-type]
    assert prices(asked_ticks(desk, end="20261124-14:30:00")) == []


def test_quotes_and_midpoints_of_the_past() -> None:
    desk = Desk().happened(a_quote(0, 5999.75, 6000.0), a_quote(3, float("nan"), 6000.0))
    assert only(asked_ticks(desk, start="20261124-14:30:00", what="BID_ASK"), 97) == [
        ("7", "2", str(OPEN_S), "0", "5999.75", "6000", "5", "7", str(OPEN_S + 3), "0", "-1", "6000", "0", "7", "1")
    ]
    desk = Desk().happened(a_quote(0, 5999.75, 6000.0))
    assert only(asked_ticks(desk, start="20261124-14:30:00", what="MIDPOINT"), 96) == [("7", "1", str(OPEN_S), "0", "5999.875", "0", "1")]


@pytest.mark.parametrize("asked", [{}, {"start": "20261124-14:30:00", "end": "20261124-15:30:00"}, {"start": "20261124-14:30:00", "number": 1001}])
def test_ticks_want_either_a_start_or_an_end_and_at_most_a_thousand(asked: dict[str, object]) -> None:
    assert errors(asked_ticks(Desk().happened(a_print()), **asked)) == [(7, 321)]  # type: ignore[arg-type]


# --- first data, schedule


def test_the_first_data_are_told_in_utc_as_text_or_as_epoch_seconds() -> None:
    client = Desk().happened(a_print(-3600, sequence=0), a_print(5, sequence=1)).client()
    told = [client.ask(87, n, *described(), False, rth, "TRADES", n) for rth, n in ((False, 1), (True, 2))]
    assert told == [[("88", "1", "20261124-13:30:00")], [("88", "2", str(OPEN_S + 5))]]
    assert errors(client.ask(87, 3, *described(month="202703"), False, False, "TRADES", 1)) == [(3, 162)]


def test_the_schedule_has_the_sessions_with_their_labels_in_the_contract_s_zone() -> None:
    [fields] = only(Desk().client().bars(3, what="SCHEDULE", duration="3 D", size="1 day"), 106)
    assert fields == (
        *("3", "20261119-17:00:00", "20261124-16:00:00", "US/Central", "3"),
        *("20261119-17:00:00", "20261120-16:00:00", "20261120"),
        *("20261122-17:00:00", "20261123-16:00:00", "20261123"),
        *("20261123-17:00:00", "20261124-16:00:00", "20261124"),
    )
