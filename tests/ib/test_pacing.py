from __future__ import annotations

import random

import pytest

from tastytrade_provider.ib.pacing import Ask, Pacer


def test_the_same_request_waits_fifteen_seconds() -> None:
    pacer = Pacer()
    pacer.made(Ask("a", "ES"), 100.0)
    assert pacer.wait_s(Ask("a", "ES"), 101.0) == 14.0
    assert pacer.wait_s(Ask("b", "ES"), 101.0) == 0.0


def test_five_of_one_series_go_out_at_once_and_the_sixth_two_seconds_after_the_first() -> None:
    pacer = Pacer()
    for i in range(5):
        pacer.made(Ask(i, "ES"), 100.0 + i / 10)
    assert pacer.wait_s(Ask(5, "ES"), 100.5) == pytest.approx(1.5)
    assert pacer.wait_s(Ask(5, "NQ"), 100.5) == 0.0


def test_sixty_go_out_in_ten_minutes_and_quotes_count_twice() -> None:
    pacer = Pacer()
    for i in range(59):
        pacer.made(Ask(i, i), 100.0 + i)
    assert pacer.wait_s(Ask("one", "ES"), 200.0) == 0.0
    assert pacer.wait_s(Ask("quotes", "ES", weight=2), 200.0) == 500.0
    assert pacer.wait_s(Ask("quotes", "ES", weight=2), 700.0) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_no_window_ever_holds_more_than_it_may(seed: int) -> None:
    rng, pacer, now_s = random.Random(seed), Pacer(), 0.0
    made: list[tuple[float, Ask]] = []
    for i in range(300):
        now_s += rng.random()
        ask = Ask(rng.randrange(40) if rng.random() < 0.2 else 1000 + i, rng.choice(["ES", "NQ"]), rng.choice([1, 1, 2]))
        now_s += pacer.wait_s(ask, now_s)
        assert pacer.wait_s(ask, now_s) < 1e-6
        pacer.made(ask, now_s)
        made.append((now_s, ask))
        recent = [(at_s, other) for at_s, other in made if at_s > now_s - 600 + 1e-6]
        assert sum(other.weight for _, other in recent) <= 60
        assert sum(other.weight for at_s, other in recent if at_s > now_s - 2 + 1e-6 and other.series == ask.series) <= 5
        assert sum(at_s > now_s - 15 + 1e-6 and other.same == ask.same for at_s, other in recent) == 1


def test_a_stream_is_asked_for_once_in_fifteen_seconds_but_anew_on_a_new_connection() -> None:
    pacer = Pacer()
    assert pacer.stream_wait_s("ES", 0.0) == 0.0
    pacer.stream_made("ES", 100.0)
    assert pacer.stream_wait_s("ES", 105.0) == 10.0
    pacer.forget_streams()
    assert pacer.stream_wait_s("ES", 105.0) == 0.0
