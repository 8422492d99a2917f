"""The decisions that keep a stream open, with a clock that is a number."""

from __future__ import annotations

import math

import pytest

from tastytrade_provider.backoff import backoff_s
from tastytrade_provider.errors import AuthenticationFailed, ConnectionLost, MarketDataError, NotEntitled, RateLimited, SessionConflict
from tastytrade_provider.tastytrade.upkeep import LIFE_S, OVERLAP_S, RENEW_BEFORE_S, Act, Upkeep, trusted_s


def opened(life_s: float = LIFE_S, at_s: float = 0.0) -> Upkeep:
    upkeep = Upkeep()
    upkeep.opened(at_s, life_s)
    return upkeep


def lost(at_s: float = 0.0) -> Upkeep:
    upkeep = opened()
    upkeep.lost(at_s, chance=0.0)
    return upkeep


@pytest.mark.parametrize(
    ("life_s", "renewed_at_s"),
    [
        (86400.0, 86400.0 - RENEW_BEFORE_S),
        (900.0, 450.0),  # ten minutes before the end would be too early
        (-5.0, 0.5),  # by a clock that is wrong it has expired already: still not at once, over and over
    ],
)
def test_a_token_is_renewed_before_it_expires(life_s: float, renewed_at_s: float) -> None:
    upkeep = opened(life_s, at_s=1000.0)
    assert upkeep.due_s == 1000.0 + renewed_at_s
    assert upkeep.advance(999.9 + renewed_at_s) is None
    assert upkeep.advance(1000.0 + renewed_at_s) is Act.RENEW
    assert upkeep.advance(1000.1 + renewed_at_s) is None  # once: it is under way


MIDNIGHT_S = 1_795_564_800.0  # Wednesday 2026-11-25 00:00 UTC, as the Globex session of that day runs


@pytest.mark.parametrize(
    ("fetched", "renewed"),
    [
        ("-12:00", "-00:10"),
        ("-00:20", "-00:10"),
        ("-00:19", "+22:31"),  # it is the renewal before midnight itself; 22 hours 50 minutes on
        ("-00:10", "+22:40"),
        ("+00:00", "+22:50"),
        ("+00:30", "+23:20"),
        ("+01:30", "+23:50"),  # before the next midnight
    ],
)
def test_a_token_whose_end_nobody_told_is_renewed_ten_minutes_before_midnight_utc(fetched: str, renewed: str) -> None:
    def seconds(text: str) -> float:
        return (-1 if text[0] == "-" else 1) * (int(text[1:3]) * 3600.0 + int(text[4:]) * 60.0)

    life_s = trusted_s(MIDNIGHT_S + seconds(fetched))
    assert opened(life_s, at_s=seconds(fetched)).due_s == seconds(renewed)


def test_the_older_connection_is_closed_when_both_have_run_for_a_while() -> None:
    upkeep = opened(3600.0)
    assert upkeep.advance(3000.0) is Act.RENEW
    upkeep.opened(3001.0, 3600.0)
    assert not upkeep.covers(3001.0 + OVERLAP_S / 2)
    assert upkeep.due_s == 3001.0 + OVERLAP_S
    assert upkeep.advance(3001.0 + OVERLAP_S) is Act.RETIRE
    assert upkeep.covers(3001.0 + OVERLAP_S)
    upkeep.not_yet(3001.0 + OVERLAP_S)
    assert upkeep.advance(3002.0 + OVERLAP_S) is Act.RETIRE
    assert upkeep.due_s == 3001.0 + 3000.0


def test_a_renewal_that_fails_is_tried_again_and_never_gives_up_while_the_old_connection_stands() -> None:
    upkeep, now_s = opened(3600.0), 3000.0
    for _ in range(20):
        assert upkeep.advance(now_s) is Act.RENEW
        upkeep.failed(now_s, AuthenticationFailed("no"), chance=0.0)
        now_s = upkeep.due_s
    assert math.isfinite(now_s)
    upkeep.lost(now_s, chance=0.0)
    assert upkeep.advance(now_s + 0.25) is Act.OPEN


@pytest.mark.parametrize("error", [AuthenticationFailed("no"), NotEntitled("no")])
def test_five_refusals_in_a_row_are_final(error: MarketDataError) -> None:
    upkeep = lost()
    for _ in range(5):
        now_s = upkeep.due_s
        assert upkeep.advance(now_s) is Act.OPEN
        upkeep.failed(now_s, error, chance=0.99)
    assert upkeep.advance(now_s) is Act.GIVE_UP


def test_a_server_that_is_away_is_tried_for_ever_ever_more_slowly_up_to_once_a_minute() -> None:
    upkeep, waits, now_s = lost(), [], 0.0
    for _ in range(200):
        before_s, now_s = now_s, upkeep.due_s
        waits.append(now_s - before_s)
        assert upkeep.advance(now_s) is Act.OPEN
        upkeep.failed(now_s, ConnectionLost("away"), chance=0.0)
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert set(waits[10:]) == {30.0}


@pytest.mark.parametrize(("error", "least_s"), [(SessionConflict("two streams"), 120.0), (RateLimited("slow", retry_after_s=77.0), 77.0)])
def test_whoever_wants_to_be_left_alone_is(error: MarketDataError, least_s: float) -> None:
    upkeep = lost()
    now_s = upkeep.due_s
    assert upkeep.advance(now_s) is Act.OPEN
    upkeep.failed(now_s, error, chance=0.0)
    assert upkeep.due_s == now_s + least_s


def test_a_success_forgets_the_failures() -> None:
    upkeep = lost()
    for _ in range(4):
        now_s = upkeep.due_s
        upkeep.advance(now_s)
        upkeep.failed(now_s, AuthenticationFailed("no"), chance=0.0)
    upkeep.opened(100.0, LIFE_S)
    upkeep.lost(200.0, chance=0.0)
    assert upkeep.due_s == 200.25
    for _ in range(4):
        now_s = upkeep.due_s
        assert upkeep.advance(now_s) is Act.OPEN
        upkeep.failed(now_s, AuthenticationFailed("no"), chance=0.0)


@pytest.mark.parametrize("attempt", [1, 2, 5, 50, 5000])
def test_the_wait_is_spread_so_that_not_everybody_comes_back_at_once(attempt: int) -> None:
    assert backoff_s(attempt, 0.999) == pytest.approx(2 * backoff_s(attempt, 0.0), rel=1e-3)
    assert backoff_s(attempt, 0.999) <= 60.0


def test_a_token_that_is_never_good_for_long_opens_no_third_connection() -> None:
    upkeep, now_s, standing, most, renewals = Upkeep(), 0.0, 1, 1, 0
    upkeep.opened(now_s, 1.0)
    while now_s < 600:
        now_s = max(now_s, upkeep.due_s)
        act = upkeep.advance(now_s)
        if act is Act.RENEW:
            standing, renewals = standing + 1, renewals + 1
            upkeep.opened(now_s, 1.0)
        elif act is Act.RETIRE:
            standing = 1
        most = max(most, standing)
    assert most == 2
    assert renewals <= 600 / OVERLAP_S + 1
