"""Sessions of shares and of indices. Half days and holidays of 2026 as NYSE announced them; clocks change on 8 March and 1 November 2026."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tastytrade_provider.sessions import SessionTable, is_open, next_open, reset_times, session_at, sessions_between

SHARES, INDICES = "NYSE", "CBOE_Index_Options"
NEW_YORK = ZoneInfo("America/New_York")


def local(text: str) -> int:
    """A New York wall clock time in UTC ns."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def session(calendar: str, day: str) -> tuple[int, ...] | None:
    """(open, close, regular open, regular close) of the session labelled `day`; None where there is none."""
    table: SessionTable = sessions_between(calendar, local(f"{day}T00:00"), local(f"{day}T23:59"))
    columns = (table.open_ns, table.close_ns, table.rth_open_ns, table.rth_close_ns)
    rows = [tuple(int(column[i]) for column in columns) for i in range(len(table)) if str(table.label_date(i)) == day]
    return rows[0] if rows else None


@pytest.mark.parametrize("day", ["2026-03-06", "2026-03-09", "2026-07-02", "2026-10-30", "2026-11-02", "2026-11-24", "2014-06-03"])
def test_shares_trade_from_4_to_20_with_regular_hours_from_9_30_to_16(day: str) -> None:
    assert session(SHARES, day) == tuple(local(f"{day}T{time}") for time in ("04:00", "20:00", "09:30", "16:00"))


@pytest.mark.parametrize("day", ["2026-11-27", "2026-12-24", "2024-07-03", "2013-11-29"])
def test_on_a_half_day_regular_hours_end_at_13_and_the_session_at_17(day: str) -> None:
    assert session(SHARES, day) == tuple(local(f"{day}T{time}") for time in ("04:00", "17:00", "09:30", "13:00"))
    opened, closed, *regular = session(INDICES, day) or ()
    assert (opened, closed) == (local(f"{day}T09:30"), local(f"{day}T13:15"))
    assert regular == [opened, closed]


@pytest.mark.parametrize("day", ["2026-01-01", "2026-01-19", "2026-04-03", "2026-06-19", "2026-07-03", "2026-09-07", "2026-11-26", "2026-12-25", "2025-01-09"])
@pytest.mark.parametrize("calendar", [SHARES, INDICES])
def test_holidays_have_no_session(calendar: str, day: str) -> None:
    assert session(calendar, day) is None


def test_indices_are_computed_from_9_30_to_16_15_with_regular_hours_to_16() -> None:
    assert session(INDICES, "2026-11-24") == tuple(local(f"2026-11-24T{time}") for time in ("09:30", "16:15", "09:30", "16:00"))


def test_a_print_between_two_sessions_belongs_to_the_one_that_closed() -> None:
    assert session_at(SHARES, local("2026-11-25T03:59:59")).label == dt.date(2026, 11, 24)
    assert session_at(SHARES, local("2026-11-25T04:00")).label == dt.date(2026, 11, 25)
    assert session_at(SHARES, local("2026-11-28T12:00")).label == dt.date(2026, 11, 27)


def test_open_and_next_open_follow_the_half_day() -> None:
    assert is_open(SHARES, local("2026-11-27T16:59"))
    assert not is_open(SHARES, local("2026-11-27T17:00"))
    assert next_open(SHARES, local("2026-11-27T17:00")) == local("2026-11-30T04:00")


def test_sums_restart_at_4_at_9_30_or_each_trade_date() -> None:
    table = sessions_between(SHARES, local("2026-11-25T12:00"), local("2026-11-27T12:00"))
    assert [reset_times(table, SHARES, reset).tolist() for reset in ("session_open", "trade_date")] == [table.open_ns.tolist()] * 2
    expected = [local(f"2026-11-{day}T09:30") for day in (24, 25, 27, 30)]
    assert reset_times(table, SHARES, "rth_open").tolist() == expected
    assert np.all(np.diff(table.label) >= 1)
