from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.errors import UsageError
from tastytrade_provider.pace import SPEEDS, Pace

SECOND = 1_000_000_000


class Stand:
    """A pace on a clock that a test sets."""

    def __init__(self, speed: Any = 1.0, at_ns: int = 0) -> None:
        self.now_s = 50.0
        self.pace = Pace(speed)
        self.pace.begin(lambda: self.now_s, at_ns)

    def wait(self, seconds: float) -> int:
        self.now_s += seconds
        return self.pace.now_ns


def test_played_time_passes_as_many_times_as_fast_as_ours() -> None:
    stand = Stand(5.0, at_ns=7)
    assert stand.wait(2.0) == 10 * SECOND + 7
    stand.pace.set_speed(0.5)
    assert stand.wait(2.0) == 11 * SECOND + 7
    assert stand.pace.left_s(12 * SECOND + 7) == 2.0


def test_while_it_stands_no_time_passes_and_nothing_is_ever_due() -> None:
    stand = Stand()
    stand.wait(1.0)
    stand.pace.pause()
    assert stand.wait(3600.0) == SECOND
    assert stand.pace.left_s(0) == math.inf
    stand.pace.set_speed(20.0)
    assert stand.wait(1.0) == SECOND
    stand.pace.resume()
    assert stand.wait(1.0) == 21 * SECOND


def test_at_most_speed_it_is_where_the_player_says_and_goes_on_from_there() -> None:
    stand = Stand("max")
    assert stand.wait(5.0) == 0
    assert stand.pace.left_s(10**18) == 0.0
    stand.pace.reach(90 * SECOND)
    stand.pace.set_speed(1.0)
    assert stand.wait(5.0) == 95 * SECOND
    assert stand.pace.ran_ns == 5 * SECOND


def test_who_measures_by_what_ran_is_not_thrown_back_when_it_is_played_from_the_beginning_again() -> None:
    stand = Stand(at_ns=7)
    stand.wait(5.0)
    stand.pace.begin(lambda: 1.0, 3)
    assert (stand.pace.now_ns, stand.pace.ran_ns) == (3, 5 * SECOND)


def test_a_step_ends_with_the_first_trade_of_its_contract_behind_its_end_and_not_before() -> None:
    pace = Stand().pace
    pace.pause()
    pace.step(60 * SECOND, "ES")
    seen = []
    for symbol, second in (("ES", 59), ("NQ", 60), ("ES", 61), ("ES", 62)):
        pace.traded(symbol, second * SECOND)
        seen.append((pace.is_hurried, pace.is_paused))
    assert seen == [(True, False), (True, False), (False, True), (False, True)]
    assert not pace.is_stepping


def test_a_pause_ends_a_step_and_so_does_going_on() -> None:
    stand = Stand()
    stand.pace.step(60 * SECOND)
    stand.pace.pause()
    assert (stand.pace.is_paused, stand.pace.is_stepping) == (True, False)
    stand.pace.step(60 * SECOND)
    stand.pace.resume()
    assert stand.wait(1.0) == SECOND


def test_every_change_is_told() -> None:
    pace, told = Stand().pace, list[tuple[bool, Any]]()
    pace.told.append(lambda: told.append((pace.is_paused, pace.speed)))
    pace.pause()
    pace.set_speed(5.0)
    pace.step(1)
    pace.traded("ES", 1)
    pace.resume()
    assert told == [(True, 1.0), (True, 5.0), (False, 5.0), (True, 5.0), (False, 5.0)]


def test_only_speeds_that_it_can_are_taken_and_its_own_is_among_them() -> None:
    pace = Pace(3.0, (0.5, 1.0))
    assert pace.speeds == (0.5, 1.0, 3.0)
    with pytest.raises(UsageError, match=r"'max' is none of 0\.5, 1, 3"):
        pace.set_speed("max")
    assert pace.speed == 3.0


@pytest.mark.parametrize("speed", [0, -1.0, math.nan, math.inf, "fast"])
def test_what_is_no_speed_is_refused(speed: Any) -> None:
    with pytest.raises(UsageError, match="is not a number above 0 or 'max'"):
        Pace(speed)


CHANGES = st.sampled_from(["pause", "resume", *SPEEDS])


@given(st.lists(st.tuples(CHANGES, st.integers(0, 100))))
def test_whatever_is_done_to_it_played_time_never_goes_back_and_is_the_sum_of_what_ran(changes: list[tuple[Any, int]]) -> None:
    stand, expected, is_paused, speed = Stand(), 0.0, False, 1.0
    for change, seconds in changes:
        if change == "pause":
            stand.pace.pause()
        elif change == "resume":
            stand.pace.resume()
        else:
            stand.pace.set_speed(change)
        is_paused, speed = (change == "pause", speed) if change in ("pause", "resume") else (is_paused, change)
        before = stand.pace.now_ns
        stand.wait(float(seconds))
        expected += 0.0 if is_paused or speed == "max" else seconds * speed
        assert stand.pace.now_ns >= before
        assert stand.pace.now_ns == expected * SECOND
