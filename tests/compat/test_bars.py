"""IB's bars: durations, grids, dates; expected values worked out by hand."""

from __future__ import annotations

import datetime as dt

import pytest

from tastytrade_provider.compat.bars import SIZES, Grid, Row, gathered, size_named, start_of
from tastytrade_provider.errors import UsageError

EQUITY, GOLD = "CME Globex Equity", "CMEGlobex_GC"


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp()) * 10**9


NOW = utc("2026-11-24 14:30:00")  # a Tuesday, 08:30 in Chicago


@pytest.mark.parametrize(
    ("duration", "starts"),
    [
        ("60 S", "2026-11-24 14:29"),
        ("1 D", "2026-11-23 23:00"),
        ("2 D", "2026-11-22 23:00"),  # Sunday evening
        ("3 D", "2026-11-19 23:00"),  # Thursday evening: Friday's session
        ("1 W", "2026-11-17 23:00"),  # the first to open on the 17th or later
        ("1 M", "2026-10-25 22:00"),  # a Sunday; the 24th of October is a Saturday, and summer time
        ("1 Y", "2025-11-24 23:00"),
    ],
)
def test_durations_count_seconds_sessions_or_the_calendar(duration: str, starts: str) -> None:
    assert start_of(duration, NOW, EQUITY, use_rth=False) == utc(starts)


def test_a_duration_of_regular_hours_begins_at_their_open() -> None:
    assert start_of("2 D", NOW + 1, EQUITY, use_rth=True) == utc("2026-11-23 14:30")
    assert start_of("2 D", NOW, EQUITY, use_rth=True) == utc("2026-11-20 14:30")  # today's have not begun


def test_the_last_of_a_month_goes_back_to_the_last_of_a_shorter_one() -> None:
    assert start_of("1 M", utc("2026-03-31 12:00"), EQUITY, use_rth=False) == utc("2026-03-01 23:00")  # 28 February is a Saturday


@pytest.mark.parametrize("wrong", ["", "1", "D", "1 H", "0 D", "-1 D", "1.5 D", "1 D 2 D"])
def test_other_durations_are_usage_errors(wrong: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        start_of(wrong, NOW, EQUITY, use_rth=False)


@pytest.mark.parametrize("wrong", ["1 sec", "7 mins", "1 hours", "60 mins", ""])
def test_other_sizes_are_usage_errors(wrong: str) -> None:
    with pytest.raises(UsageError, match="bar size"):
        size_named(wrong)


@pytest.mark.parametrize(
    ("size", "use_rth", "at", "starts"),
    [
        ("10 secs", False, "2026-11-24 14:30:17", "2026-11-24 14:30:10"),
        ("1 hour", False, "2026-11-24 14:45", "2026-11-24 14:00"),
        ("1 hour", True, "2026-11-24 14:45", "2026-11-24 14:30"),  # cut by the open of regular hours
        ("1 hour", True, "2026-11-24 15:10", "2026-11-24 15:00"),
        ("4 hours", False, "2026-11-24 14:45", "2026-11-24 11:00"),  # counted from 17:00 in Chicago
        ("8 hours", False, "2026-11-24 14:45", "2026-11-24 07:00"),
        ("1 day", False, "2026-11-23 23:30", "2026-11-24 00:00"),  # by its label
        ("1 week", False, "2026-11-22 23:30", "2026-11-23 00:00"),
        ("1 month", True, "2026-11-24 14:45", "2026-11-02 00:00"),
    ],
)
def test_bars_begin_on_the_clock_up_to_an_hour_and_above_it_at_the_session_s_open(size: str, use_rth: bool, at: str, starts: str) -> None:
    grid = Grid(size_named(size), EQUITY, use_rth)
    assert grid.start(utc(at)) == (utc(starts) if size != "1 month" else utc("2026-11-01 00:00"))


def test_regular_hours_of_equity_indices_last_to_the_session_s_end_and_of_gold_to_the_floor_s() -> None:
    equity, gold = (Grid(size_named("1 min"), calendar, use_rth=True) for calendar in (EQUITY, GOLD))
    assert [equity.start(utc(f"2026-11-24 {at}")) is not None for at in ("14:29:59", "14:30", "21:59:59", "22:00")] == [False, True, True, False]
    assert [gold.start(utc(f"2026-11-24 {at}")) is not None for at in ("13:19:59", "13:20", "18:29:59", "18:30")] == [False, True, True, False]


def test_on_a_half_day_they_end_with_the_session() -> None:
    grid = Grid(size_named("1 min"), EQUITY, use_rth=True)
    assert [grid.start(utc(f"2026-11-27 {at}")) is not None for at in ("18:14:59", "18:15")] == [True, False]


@pytest.mark.parametrize("calendar", [EQUITY, GOLD, "CMEGlobex_SI", "CME Globex Fixed Income", "NYSE"])
def test_regular_hours_are_whole_numbers_of_the_bars_asked_for(calendar: str) -> None:
    minute = Grid(size_named("1 min"), calendar, use_rth=True)
    inside = [at for at in range(NOW - 6 * 3600 * 10**9, NOW + 8 * 3600 * 10**9, 300 * 10**9) if minute.start(at) is not None]
    shown_ns = inside[-1] + 300 * 10**9 - inside[0]
    for size in SIZES.values():
        part = Grid(size, calendar, use_rth=True).parts(NOW)
        assert shown_ns % part.ns == 0
        assert not size.is_intraday or size.ns % part.ns == 0
        assert Grid(size, calendar, use_rth=False).parts(NOW) == size


def test_the_bar_of_a_week_opened_on_sunday_evening_and_that_of_regular_hours_on_monday() -> None:
    at = utc("2026-11-25 15:00")
    assert Grid(size_named("1 week"), EQUITY, use_rth=False).opened(at) == utc("2026-11-22 23:00")
    assert Grid(size_named("1 week"), EQUITY, use_rth=True).opened(at) == utc("2026-11-23 14:30")
    assert Grid(size_named("1 day"), EQUITY, use_rth=False).opened(at) == utc("2026-11-24 23:00")


def test_dates_of_weeks_and_months_are_their_last_weekday() -> None:
    assert Grid(size_named("1 week"), EQUITY, use_rth=False).date(utc("2026-11-23 00:00"), 2, "UTC") == "20261127"
    assert [Grid(size_named("1 month"), EQUITY, False).date(utc(f"2026-{month}-01 00:00"), 1, "UTC") for month in ("01", "02", "05")] == [
        "20260130",
        "20260227",
        "20260529",
    ]


def test_small_bars_make_a_larger_one_and_those_outside_are_left_out() -> None:
    rows = [
        Row(utc(f"2026-11-24 {at}"), 1.0, high, 0.5, close, 2.0, close, 3)
        for at, high, close in (("14:00", 9.0, 9.0), ("14:30", 2.0, 1.5), ("15:30", 3.0, 2.5))
    ]
    assert gathered(rows, Grid(size_named("1 day"), EQUITY, use_rth=True)) == [Row(utc("2026-11-24 00:00"), 1.0, 3.0, 0.5, 2.5, 4.0, 2.0, 6)]
