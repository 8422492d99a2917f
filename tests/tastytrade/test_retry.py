"""When a request is made again: the table, its bounds, and what a server asks for."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.tastytrade.retry import LONGEST_S, PATIENCE, Kind, kind_of, seconds_of, wait_s

NOW = dt.datetime(2026, 11, 24, 14, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("status", "body", "request_", "login"),
    [
        (200, b'{"data": 1}', Kind.GOOD, Kind.GOOD),
        (200, b" \n[1]", Kind.GOOD, Kind.GOOD),
        (200, b"", Kind.FAILING, Kind.FAILING),
        (200, b"<!doctype html>", Kind.FAILING, Kind.FAILING),
        (302, b"", Kind.FINAL, Kind.FINAL),
        (400, b"{}", Kind.FINAL, Kind.FINAL),
        (401, b"{}", Kind.UNAUTHORIZED, Kind.FINAL),
        (403, b"{}", Kind.FINAL, Kind.FINAL),
        (404, b"<html>", Kind.FINAL, Kind.FINAL),
        (429, b"", Kind.LIMITED, Kind.FINAL),
        (500, b"{}", Kind.FAILING, Kind.FAILING),
        (503, b"<html>", Kind.FAILING, Kind.FAILING),
    ],
)
def test_an_answer_is_judged_by_its_status_and_whether_it_is_json(status: int, body: bytes, request_: Kind, login: Kind) -> None:
    assert kind_of(status, body, is_login=False) is request_
    assert kind_of(status, body, is_login=True) is login


def pauses(kind: Kind, retry_after_s: float | None, chance: float) -> list[float]:
    """The pauses of a request that is always answered alike."""
    waited: list[float] = []
    while (pause := wait_s(kind, len(waited) + 1, sum(waited), retry_after_s, chance)) is not None:
        waited.append(pause)
    return waited


# by hand: 1 2 4 8 s and 0.5 1 2 s, times 0.5 to 1
@pytest.mark.parametrize(
    ("kind", "retry_after_s", "chance", "expected"),
    [
        (Kind.UNAUTHORIZED, None, 0.5, [0.0]),
        (Kind.LIMITED, None, 0.0, [0.5, 1.0, 2.0, 4.0]),
        (Kind.LIMITED, None, 0.5, [0.75, 1.5, 3.0, 6.0]),
        (Kind.FAILING, None, 0.0, [0.25, 0.5, 1.0]),
        (Kind.LIMITED, 20.0, 0.0, [20.0, 20.0, 20.0]),  # 80 s would be more than a minute
        (Kind.LIMITED, 61.0, 0.0, []),
        (Kind.FAILING, 0.0, 0.0, [0.0, 0.0, 0.0]),
        (Kind.FINAL, None, 0.0, []),
        (Kind.GOOD, None, 0.0, []),
    ],
)
def test_pauses_double_and_end(kind: Kind, retry_after_s: float | None, chance: float, expected: list[float]) -> None:
    assert pauses(kind, retry_after_s, chance) == expected


@given(st.sampled_from(Kind), st.none() | st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_no_request_is_made_more_often_or_waits_longer_than_its_bounds(kind: Kind, retry_after_s: float | None, chance: float) -> None:
    found = pauses(kind, retry_after_s, chance)
    patience = PATIENCE.get(kind)
    assert len(found) < patience.tries if patience else not found
    assert sum(found) <= (patience.total_s if patience else 0.0) <= LONGEST_S
    assert retry_after_s is None or set(found) <= {retry_after_s}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("Tue, 24 Nov 2026 14:30:30 GMT", 30.0), ("Tue, 24 Nov 2026 14:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 14:30:30 -0000", 30.0), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("\u0667", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert seconds_of(text, NOW) == seconds
