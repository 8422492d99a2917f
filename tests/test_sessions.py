"""Sessions against CME's published hours, CME Group releases and plain 17:00 Chicago arithmetic."""

import csv
import datetime as dt
import functools
import random
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tastytrade_provider import sessions
from tastytrade_provider.errors import UsageError
from tastytrade_provider.sessions import (
    CALENDARS,
    DEFAULT_CALENDAR,
    FIRST_YEAR,
    LAST_YEAR,
    RESETS,
    SessionTable,
    calendar_for,
    is_open,
    next_open,
    parse_reset,
    reset_times,
    session_at,
    sessions_between,
)

EQUITY, GOLD, RATES, FX, GRAINS, CRYPTO = (
    "CME Globex Equity",
    "CMEGlobex_GC",
    "CME Globex Fixed Income",
    "CMEGlobex_FX",
    "CMEGlobex_Grains",
    "CME Globex Crypto",
)
CHICAGO, NEW_YORK = ZoneInfo("America/Chicago"), ZoneInfo("America/New_York")
HOURS_2026 = Path(__file__).parent / "data" / "cme_hours_2026.csv"


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 10**9


def local(text: str, zone: ZoneInfo = CHICAGO) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 10**9


def between(calendar: str, first: str, last: str) -> SessionTable:
    return sessions_between(calendar, utc(first), utc(last))


def labelled(calendar: str, label: str) -> tuple[int, int] | None:
    """Open and close of the session of that label, None where there is none."""
    day = dt.date.fromisoformat(label)
    noon = utc(f"{label}T12:00")
    table = sessions_between(calendar, noon, noon)
    for i in range(len(table)):
        if table.label_date(i) == day:
            return int(table.open_ns[i]), int(table.close_ns[i])
    return None


def labels(table: SessionTable) -> list[str]:
    return [table.label_date(i).isoformat() for i in range(len(table))]


# Published hours -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "opens"),
    [
        ("2026-03-06", "2026-03-05T23:00"),  # last session before the clocks go forward on Sunday 8 March
        ("2026-03-09", "2026-03-08T22:00"),
        ("2026-10-30", "2026-10-29T22:00"),  # last session before they go back on Sunday 1 November
        ("2026-11-02", "2026-11-01T23:00"),
        ("2023-12-26", "2023-12-25T23:00"),  # Monday 17:00 re-open on Christmas Day
    ],
)
def test_a_session_opens_at_17_00_chicago_whatever_the_clocks_do(label, opens):
    for calendar in (EQUITY, GOLD):
        assert labelled(calendar, label)[0] == utc(opens)


@pytest.mark.parametrize("row", list(csv.DictReader(HOURS_2026.read_text().splitlines())), ids=lambda row: row["label"])
@pytest.mark.parametrize(("calendar", "column"), [(EQUITY, "equity_close"), (GOLD, "metals_close")])
def test_the_holidays_of_2026_close_as_cme_published(row, calendar, column):
    hours = labelled(calendar, row["label"])
    if row[column] == "closed":
        assert hours is None
    else:
        assert hours[1] == local(f"{row['label']}T{row[column]}")


def test_the_day_after_thanksgiving_is_a_half_day():
    assert labelled(EQUITY, "2026-11-27") == (utc("2026-11-26T23:00"), utc("2026-11-27T18:15"))
    assert labelled(GOLD, "2026-11-27") == (utc("2026-11-26T23:00"), utc("2026-11-27T19:45"))


def test_good_friday_of_2026_is_a_morning_for_equities_and_nothing_for_gold():
    assert labelled(EQUITY, "2026-04-03") == (local("2026-04-02T17:00"), local("2026-04-03T08:15"))
    assert next_open(EQUITY, local("2026-04-03T08:15")) == local("2026-04-05T17:00")
    assert next_open(GOLD, local("2026-04-02T16:00")) == local("2026-04-05T17:00")


def test_christmas_of_2026_closes_from_thursday_noon_to_sunday():
    assert next_open(EQUITY, local("2026-12-24T12:15")) == local("2026-12-27T17:00")
    assert next_open(GOLD, local("2026-12-24T12:45")) == local("2026-12-27T17:00")


@pytest.mark.parametrize("calendar", [EQUITY, GOLD, RATES, FX])
def test_every_session_of_2016_to_2027_opens_at_17_00_chicago_and_ordinary_ones_close_at_16_00(calendar):
    table = between(calendar, "2016-01-04", "2027-12-30")
    early = 0
    for i in range(len(table)):
        day = table.label_date(i)
        assert day.weekday() < 5
        assert table.open_ns[i] == local(f"{day - dt.timedelta(days=1)}T17:00")
        assert table.open_ns[i] == local(f"{day - dt.timedelta(days=1)}T18:00", NEW_YORK)
        early += int(table.close_ns[i]) != local(f"{day}T16:00")
        assert table.close_ns[i] <= local(f"{day}T16:00")
    assert early <= 12 * 13  # at most 13 American holidays and eves a year
    weekdays = int(np.busday_count("2016-01-01", "2028-01-01"))
    assert weekdays - 12 * 3 - 2 <= len(table) <= weekdays  # New Year, Good Friday, Christmas, and once a day of mourning


@pytest.mark.parametrize("calendar", sorted(CALENDARS))
def test_sessions_of_2015_to_2030_neither_overlap_nor_run_backwards(calendar):
    table = between(calendar, "2015-01-01", "2030-12-31")
    assert (table.open_ns < table.close_ns).all()
    assert (table.close_ns[:-1] <= table.open_ns[1:]).all()
    assert (np.diff(table.label) > 0).all()
    assert np.diff(table.open_ns).max() <= 5 * 86_400 * 10**9


def test_days_of_mourning_follow_the_releases_of_cme_group():
    assert labelled(EQUITY, "2018-12-05")[1] == local("2018-12-05T08:30")
    assert labelled(RATES, "2018-12-05") is None
    assert labelled(GOLD, "2018-12-05")[1] == local("2018-12-05T16:00")
    assert labelled(EQUITY, "2025-01-09")[1] == local("2025-01-09T08:30")
    assert labelled(RATES, "2025-01-09")[1] == local("2025-01-09T12:15")
    assert labelled(GRAINS, "2025-01-09")[1] == local("2025-01-09T12:15")
    assert labelled(FX, "2025-01-09")[1] == local("2025-01-09T16:00")


def test_before_21_september_2015_equities_closed_at_16_15():
    assert labelled(EQUITY, "2015-09-18")[1] == local("2015-09-18T16:15")
    assert labelled(EQUITY, "2015-09-21")[1] == local("2015-09-21T16:00")
    assert labelled(EQUITY, "2015-07-03")[1] == local("2015-07-03T12:00")  # an early close stays one


def test_metals_close_early_on_christmas_eve_and_grains_stay_shut_on_juneteenth():
    assert labelled(GOLD, "2013-12-24")[1] == local("2013-12-24T13:45", NEW_YORK)
    assert labelled(GRAINS, "2022-06-20") is None
    assert labelled(GRAINS, "2022-06-21")[0] == local("2022-06-20T19:00")


def test_presidents_day_of_2023_halts_each_market_at_its_published_hour():
    closes = {calendar: labelled(calendar, "2023-02-20")[1] for calendar in (EQUITY, RATES, GOLD, "CMEGlobex_CL", FX, CRYPTO)}
    published = {EQUITY: "12:00", RATES: "12:00", GOLD: "13:30", "CMEGlobex_CL": "13:30", FX: "16:00", CRYPTO: "16:00"}
    assert closes == {calendar: local(f"2023-02-20T{time}") for calendar, time in published.items()}


def test_cme_crypto_trades_through_halt_and_weekend_from_29_may_2026_16_00_chicago():
    assert labelled(CRYPTO, "2026-05-29") == (local("2026-05-28T17:00"), local("2026-05-29T16:00"))
    assert labelled(CRYPTO, "2026-06-01") == (local("2026-05-29T16:00"), local("2026-06-01T16:00"))
    assert session_at(CRYPTO, local("2026-06-06T12:00")).label == dt.date(2026, 6, 8)
    assert not is_open(CRYPTO, local("2026-05-23T12:00"))
    assert is_open(CRYPTO, local("2026-06-06T12:00"))
    assert is_open(CRYPTO, local("2027-01-01T12:00"))
    assert labelled(CRYPTO, "2027-01-04")[0] == labelled(CRYPTO, "2026-12-31")[1]


# Looking up ------------------------------------------------------------------------------------------------------------------------


def test_a_print_in_the_halt_belongs_to_the_session_that_closed():
    table = between(EQUITY, "2026-03-04", "2026-03-05")
    times = [local(f"2026-03-04T{time}") for time in ("15:59", "16:00", "16:59", "17:00")]
    found = [table.label_date(i).isoformat() for i in table.index_of(np.array(times, np.int64))]
    assert found == ["2026-03-04", "2026-03-04", "2026-03-04", "2026-03-05"]
    assert [table.index_at(time) for time in times] == table.index_of(np.array(times, np.int64)).tolist()


def test_the_sunday_open_begins_mondays_session():
    assert session_at(EQUITY, local("2026-03-08T16:59")).label == dt.date(2026, 3, 6)
    assert session_at(EQUITY, local("2026-03-08T17:00")).label == dt.date(2026, 3, 9)


@pytest.mark.parametrize("calendar", sorted(CALENDARS))
@pytest.mark.parametrize("seed", [1, 2])
def test_index_of_agrees_with_a_search_by_hand_and_the_range_has_a_neighbour_on_both_sides(calendar, seed):
    rng = random.Random(seed)
    start = rng.randrange(utc("2015-01-01"), utc("2030-01-01"))
    end = start + rng.randrange(40 * 86_400 * 10**9)
    table = sessions_between(calendar, start, end)
    assert table.close_ns[0] <= start
    assert table.open_ns[0] <= start <= end < table.open_ns[-1]
    times = [rng.randrange(start, end + 1) for _ in range(200)]
    expected = [max(i for i in range(len(table)) if table.open_ns[i] <= time) for time in times]
    assert table.index_of(np.array(times, np.int64)).tolist() == expected


def test_a_time_the_table_does_not_cover_is_refused_and_the_halt_after_its_last_session_is_not():
    table = between(EQUITY, "2026-03-04T12:00", "2026-03-04T12:00")
    assert labels(table) == ["2026-03-03", "2026-03-04", "2026-03-05"]
    assert table.index_at(local("2026-03-05T16:59")) == 2
    for time in (local("2026-03-05T17:00"), local("2026-03-02T16:59")):
        with pytest.raises(UsageError, match="covers 2026-03-02T23:00:00Z to 2026-03-05T23:00:00Z"):
            table.index_at(time)
    assert table.index_of(np.array([], np.int64)).tolist() == []


def test_the_table_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        between(EQUITY, "2026-03-04", "2026-03-05").open_ns[0] = 0


def test_open_and_closed_follow_the_halt_the_weekend_and_the_half_day():
    opened = ["2026-03-04T15:59", "2026-03-04T17:00", "2026-03-08T17:00", "2026-11-27T12:14", "2026-03-04T15:20"]
    closed = ["2026-03-04T16:00", "2026-03-04T16:59", "2026-03-07T12:00", "2026-11-27T12:15", "2026-12-25T12:00"]
    assert [time for time in opened + closed if is_open(EQUITY, local(time))] == opened
    assert next_open(EQUITY, local("2026-03-04T16:00")) == local("2026-03-04T17:00")
    assert next_open(EQUITY, local("2026-03-04T17:00")) == local("2026-03-05T17:00")


def test_halts_inside_a_session_are_closed_and_next_open_ends_them():
    assert not is_open(EQUITY, local("2021-06-25T15:20"))
    assert is_open(EQUITY, local("2021-06-28T15:20"))
    assert not is_open(GRAINS, local("2026-03-04T08:00"))
    assert is_open(GRAINS, local("2026-03-04T08:30"))
    assert next_open(GRAINS, local("2026-03-04T08:00")) == local("2026-03-04T08:30")
    assert next_open(GRAINS, local("2026-03-04T13:20")) == local("2026-03-04T19:00")


def test_a_session_of_24_7_is_the_utc_day():
    session = session_at("24/7", utc("2026-03-08T23:59"))
    assert (session.label, session.open_ns, session.close_ns) == (dt.date(2026, 3, 8), utc("2026-03-08"), utc("2026-03-09"))
    assert is_open("24/7", utc("2026-12-25"))
    assert next_open("24/7", utc("2026-12-25")) == utc("2026-12-26")


@pytest.mark.parametrize(
    ("calendar", "label", "opens", "closes"),
    [
        (EQUITY, "2026-03-09", "2026-03-09T13:30", "2026-03-09T20:00"),
        (EQUITY, "2026-03-06", "2026-03-06T14:30", "2026-03-06T21:00"),
        (GOLD, "2026-03-06", "2026-03-06T13:20", "2026-03-06T18:30"),
        (EQUITY, "2026-11-27", "2026-11-27T14:30", "2026-11-27T18:15"),  # a half day ends them
        (EQUITY, "2026-04-03", None, None),  # Good Friday ends at 08:15
        (CRYPTO, "2026-03-06", None, None),
    ],
)
def test_regular_hours_are_local_and_end_with_the_session(calendar, label, opens, closes):
    table = between(calendar, label, label)
    i = labels(table).index(label)
    assert (table.rth_open_ns[i], table.rth_close_ns[i]) == ((utc(opens), utc(closes)) if opens else (-1, -1))


# Names and ranges ------------------------------------------------------------------------------------------------------------------


def test_importing_sessions_does_not_import_the_calendar_library():
    code = "import sys, tastytrade_provider.sessions; sys.exit('pandas_market_calendars' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


def test_every_calendar_name_exists_in_pandas_market_calendars():
    library = pytest.importorskip("pandas_market_calendars")
    assert set(CALENDARS) <= set(library.get_calendar_names())


def test_an_unknown_calendar_names_the_known_ones():
    for call in (lambda: session_at("CMEGlobex_ES", utc("2026-03-04")), lambda: sessions_between("", 0, 0)):
        with pytest.raises(UsageError, match=r"CME Globex Equity.*CMEGlobex_GC"):
            call()


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (utc("2012-12-31T23:59"), utc("2013-02-01")),
        (utc("2035-12-01"), utc("2036-01-01")),
        (utc("2026-03-05"), utc("2026-03-04")),
        (-1, 0),
        (0, 2**63),
    ],
)
def test_a_range_outside_validity_or_backwards_is_refused(start, end):
    with pytest.raises(UsageError, match=f"{FIRST_YEAR} to {LAST_YEAR}"):
        sessions_between(EQUITY, start, end)


def test_both_ends_of_validity_work():
    for calendar in CALENDARS:
        for time in (utc("2013-01-01"), utc("2036-01-01") - 1):
            table = sessions_between(calendar, time, time)
            assert table.index_at(time) == 1
            assert len(reset_times(table, calendar, "weekly")) <= 2
            assert len(reset_times(table, calendar, "trade_date")) <= 3


def test_the_holiday_after_the_last_year_belongs_to_the_trade_date_behind_it():
    # 2036-01-01 is a Tuesday: FX opens at 17:00 Chicago that evening for Wednesday, the first trade date of a year nobody may ask for
    table = sessions_between("CMEGlobex_FX", utc("2035-12-31T12:00"), utc("2036-01-01") - 1)
    assert [str(table.label_date(i)) for i in range(len(table))] == ["2035-12-28", "2035-12-31", "2036-01-02"]
    assert reset_times(table, "CMEGlobex_FX", "trade_date").tolist() == [utc(day) for day in ("2035-12-27T23:00", "2035-12-30T23:00", "2036-01-01T23:00")]


def test_the_library_is_asked_once_for_all_years_of_a_calendar(monkeypatch):
    asked = []
    monkeypatch.setattr(sessions, "_pmc", lambda name, library=sessions._pmc: asked.append(name) or library(name))
    for function in ("_hours", "_table", "_trade_dates"):
        monkeypatch.setattr(sessions, function, functools.cache(getattr(sessions, function).__wrapped__))
    for name in ("CMEGlobex_GC", "CMEGlobex_CL"):  # one table of the library for both
        for year in (2013, 2020, 2035):
            table = sessions_between(name, utc(f"{year}-06-10"), utc(f"{year}-06-12"))
            reset_times(table, name, "trade_date")
    assert asked == ["CMEGlobex_EnergyAndMetals", "CME_TradeDate"]


def test_roots_find_their_calendar():
    assert {calendar_for(root) for root in ("ES", "MES", "NQ", "MNQ", "YM", "MYM", "RTY", "M2K", "EMD")} == {EQUITY}
    assert [calendar_for(root) for root in ("/GC", "mgc", "CL", "NG", "ZN", "6E", "ZC", "LE", "MBT", "SI", "HG")] == [
        GOLD,
        GOLD,
        "CMEGlobex_CL",
        "CMEGlobex_NG",
        RATES,
        FX,
        GRAINS,
        "CMEGlobex_Livestock",
        CRYPTO,
        "CMEGlobex_SI",
        "CMEGlobex_HG",
    ]
    assert calendar_for("NOSUCH") == DEFAULT_CALENDAR


# Resets ----------------------------------------------------------------------------------------------------------------------------


def test_session_open_resets_at_every_reopen_and_never_resets_never():
    table = between(EQUITY, "2026-11-25T12:00", "2026-11-27T12:00")
    opens = [local(f"2026-11-{day}T17:00") for day in (23, 24, 25, 26, 29)]
    assert reset_times(table, EQUITY, "session_open").tolist() == opens
    assert reset_times(table, EQUITY, "never").tolist() == []


def test_presidents_day_and_tuesday_are_one_trade_date():
    table = between(EQUITY, "2023-02-17T12:00", "2023-02-22T12:00")
    assert labels(table) == ["2023-02-16", "2023-02-17", "2023-02-20", "2023-02-21", "2023-02-22", "2023-02-23"]
    # DTN's notice: Sunday 17:00 opens for trade date Tuesday 21 February, Monday 17:00 resumes the same trade date
    expected = [local(f"2023-02-{day}T17:00") for day in (15, 16, 19, 21, 22)]
    assert reset_times(table, EQUITY, "trade_date").tolist() == expected


def test_a_table_that_begins_inside_a_trade_date_or_week_does_not_reset_there():
    table = between(EQUITY, "2026-01-21T12:00", "2026-01-21T12:00")
    assert labels(table) == ["2026-01-20", "2026-01-21", "2026-01-22"]  # Martin Luther King Day, Monday 19, has trade date 20
    assert reset_times(table, EQUITY, "trade_date").tolist() == [local("2026-01-20T17:00"), local("2026-01-21T17:00")]
    assert reset_times(table, EQUITY, "weekly").tolist() == []


def test_a_day_of_mourning_stays_a_trade_date():
    table = between(GOLD, "2025-01-09T12:00", "2025-01-09T12:00")
    assert reset_times(table, GOLD, "trade_date").tolist() == table.open_ns.tolist()


def test_weekly_resets_at_the_sunday_open_or_later_when_monday_is_closed():
    table = between(EQUITY, "2023-12-20T12:00", "2024-01-09T12:00")
    expected = ["2023-12-25T17:00", "2024-01-01T17:00", "2024-01-07T17:00"]  # both Mondays were holidays without a session
    assert reset_times(table, EQUITY, "weekly").tolist() == [local(time) for time in expected]


def test_rth_open_skips_sessions_without_regular_hours_and_refuses_calendars_without():
    table = between(EQUITY, "2026-04-02T12:00", "2026-04-06T12:00")
    expected = [local(f"2026-{day}T08:30") for day in ("04-01", "04-02", "04-06", "04-07")]
    assert reset_times(table, EQUITY, "rth_open").tolist() == expected
    with pytest.raises(UsageError, match="no regular trading hours"):
        reset_times(between("24/7", "2026-04-02", "2026-04-03"), "24/7", "rth_open")


def test_a_time_of_day_acts_once_per_session_on_both_sides_of_a_clock_change():
    table = between(EQUITY, "2026-03-06T12:00", "2026-03-09T12:00")
    assert labels(table) == ["2026-03-05", "2026-03-06", "2026-03-09", "2026-03-10"]
    expected = ["2026-03-05T15:30", "2026-03-06T15:30", "2026-03-09T14:30", "2026-03-10T14:30"]  # 09:30 Chicago in UTC
    assert reset_times(table, EQUITY, "09:30").tolist() == [utc(time) for time in expected]


def test_a_time_of_day_in_the_halt_acts_before_each_open_and_a_half_day_has_no_afternoon():
    table = between(EQUITY, "2026-11-26T06:00", "2026-11-27T06:00")
    assert labels(table) == ["2026-11-25", "2026-11-26", "2026-11-27", "2026-11-30"]
    halt = ["2026-11-24T16:30", "2026-11-25T16:30", "2026-11-26T16:30", "2026-11-29T16:30"]
    assert reset_times(table, EQUITY, "16:30").tolist() == [local(time) for time in halt]
    afternoon = ["2026-11-25T14:00", "2026-11-26T14:00", "2026-11-30T14:00"]
    assert reset_times(table, EQUITY, "14:00").tolist() == [local(time) for time in afternoon]


def test_24_7_resets_by_utc_days_and_iso_weeks():
    table = between("24/7", "2026-03-07T12:00", "2026-03-09T12:00")
    assert reset_times(table, "24/7", "trade_date").tolist() == table.open_ns.tolist()
    assert reset_times(table, "24/7", "weekly").tolist() == [utc("2026-03-09")]
    assert reset_times(table, "24/7", "00:00").tolist() == table.open_ns.tolist()


def test_gold_reads_a_time_of_day_in_new_york():
    table = between(GOLD, "2026-03-04T12:00", "2026-03-04T12:00")
    assert reset_times(table, GOLD, "18:00").tolist() == table.open_ns.tolist()


@pytest.mark.parametrize("reset", ["daily", "25:00", "9:30", "09:60", "", "09:30 ", None, 930])
def test_anything_else_is_no_reset_and_the_message_says_what_is(reset):
    with pytest.raises(UsageError, match="session_open, rth_open, trade_date, weekly, never or a time of day 'HH:MM'"):
        parse_reset(reset)


def test_every_named_reset_is_accepted():
    assert [parse_reset(reset) for reset in (*RESETS, "00:00", "23:59")] == [*RESETS, "00:00", "23:59"]
