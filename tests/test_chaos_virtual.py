"""A few seeds of the chaos that runs in virtual time, cut short; `dev.py chaos` runs as many as one likes, whole."""

from __future__ import annotations

from typing import Any

import pytest

from tastytrade_provider.emulator.faults import KINDS, Faults
from tastytrade_provider.model import Action, Gap
from tastytrade_provider.provider import Subscription
from tests.chaos import scenario
from tests.chaos.plans import plan
from tests.chaos.witness import Change, Stand, Tally, Witness
from tests.checks.builders import ES, a_batch

S = 10**9
T = 1_767_600_000 * S  # a Monday of the past, 08:00 UTC


@pytest.mark.parametrize("seed", [8, 9, 101])
def test_whatever_strikes_every_trade_is_handed_over_once_or_lies_in_a_gap_that_was_told(seed: int) -> None:
    outcome = scenario.run(seed, minutes=20)
    assert outcome.is_good, outcome.tally.wrong
    assert outcome.tally.sent > 100
    assert outcome.faults
    assert outcome.reconnects


def test_a_seed_does_the_same_every_time() -> None:
    first, again = (scenario.run(1003, minutes=12) for _ in range(2))
    assert first.digest == again.digest
    assert (first.tally, first.reconnects, first.tokens, first.faults) == (again.tally, again.reconnects, again.tokens, again.faults)


def test_among_the_seeds_every_fault_is_planned_and_half_have_a_history_to_fill_from() -> None:
    plans = [plan(seed) for seed in range(200)]
    planned = {spec.partition("=")[0] for what in plans for spec in Faults(what.faults).specs}
    served = {"unserved", "history_cap", "level", "auto_without_history"}  # what the chaos says in other words, or what changes no decision
    assert planned == set(KINDS) - {"subscription_size", "corrections"} - served  # the one ends a subscription, the other is in the mix that `random` is
    assert sum(what.keeps == "whole" for what in plans) == 100


# --- the witness itself: what it calls lost, doubled, wrong


def a_witness(*items: object) -> Witness:
    witness = Witness("one", ES, T, Subscription(ES))
    for item in items:
        witness.take(item)
    return witness


def a_trade(at_s: int, *, lots: int = 1, action: Action = Action.NEW, told_s: int | None = None) -> Change:
    return Change(T + (at_s if told_s is None else told_s) * S, T + at_s * S, at_s, action, Stand(24_000, lots, 1))


def batch(*at_s: int, lots: int = 1) -> object:
    n = len(at_s)
    columns: dict[str, Any] = {"time_ns": [T + s * S for s in at_s], "index": list(at_s), "price": [6000.0] * n, "size": [float(lots)] * n, "side": [1] * n}
    return a_batch(**columns, side_source=[1] * n)


def judged(witness: Witness, *truth: Change) -> Tally:
    return witness.judge(truth, T, coarse=False, tells_cancels=True)


def test_a_trade_that_was_not_handed_over_is_lost_unless_a_gap_covers_it() -> None:
    truth = [a_trade(s) for s in (1, 2, 3, 4)]
    assert judged(a_witness(batch(1, 2, 3, 4)), *truth) == Tally(sent=4)
    bare = judged(a_witness(batch(1, 4)), *truth)
    assert (bare.sent, bare.lost, bare.inside) == (4, 2, 0)
    half = judged(a_witness(batch(1), Gap(ES, T + S, T + 3 * S, "connection lost"), batch(4)), *truth)
    assert (half.lost, half.inside) == (1, 1)  # the gap ends before the trade at 3 s


def test_a_trade_handed_over_twice_or_that_never_happened_is_doubled() -> None:
    truth = [a_trade(1), a_trade(2)]
    assert judged(a_witness(batch(1, 2), batch(2)), *truth).doubled == 1
    assert judged(a_witness(batch(1, 2, 3)), *truth).doubled == 1


def test_a_correction_that_did_not_arrive_is_wrong_unless_it_fell_into_a_gap() -> None:
    truth = [a_trade(1), a_trade(2), a_trade(1, lots=7, action=Action.CORRECTION, told_s=5)]
    assert judged(a_witness(batch(1, 2)), *truth).wrong
    assert not judged(a_witness(batch(1, 2), Gap(ES, T + 2 * S, T + 6 * S, "connection lost")), *truth).wrong
