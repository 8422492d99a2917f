"""What happens to a trade before anyone sees it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastytrade_provider.ledger import Ledger
from tastytrade_provider.model import Action, TradeBatch, TradeFlag
from tastytrade_provider.tastytrade.intake import Intake
from tests.checks.builders import a_batch, opening
from tests.checks.oracle import SECOND, cut

VALID, LEG = TradeFlag.VALID_TICK, TradeFlag.SPREAD_LEG
NEW, CORRECTION, CANCEL = (int(action) for action in Action)


def trades(*index: int, **columns: Any) -> TradeBatch:
    return a_batch(index=list(index), time_ns=[opening() + i * SECOND for i in index], **columns)


def handed(intake: Intake, batch: TradeBatch) -> list[tuple[int, int]]:
    taken = intake.take(batch)
    return [] if taken is None else list(zip(taken.index.tolist(), taken.action.tolist(), strict=True))


def test_new_trades_pass_with_sides_in_their_order() -> None:
    intake = Intake()
    taken = intake.take(trades(1, 2, 3, price=[6000.0, 6000.25, 6000.0], side=[1, 0, 0], bid=[5999.75, 6000.0, np.nan], ask=[6000.0, 6000.25, np.nan]))
    assert taken is not None
    assert (taken.index.tolist(), taken.side.tolist(), taken.side_source.tolist()) == ([1, 2, 3], [1, 1, -1], [0, 1, 2])
    assert intake.counts.trades == 3
    assert intake.last_time_ns == opening() + 3 * SECOND


def test_a_trade_seen_before_is_dropped_and_counted_wherever_it_stands() -> None:
    intake = Intake()
    assert handed(intake, trades(5, 7)) == [(5, NEW), (7, NEW)]
    assert handed(intake, trades(7)) == []
    assert handed(intake, trades(5, 6, 7, 8)) == [(6, NEW), (8, NEW)]
    assert handed(intake, trades(9, 9)) == [(9, NEW)]
    assert (intake.counts.trades, intake.counts.duplicates) == (5, 4)


def test_late_trades_pass() -> None:
    intake = Intake()
    handed(intake, trades(10, 11))
    assert handed(intake, trades(9, 8)) == [(9, NEW), (8, NEW)]
    assert intake.last_time_ns == opening() + 11 * SECOND


def test_trades_without_an_index_are_never_taken_for_one_another() -> None:
    intake = Intake()
    assert handed(intake, trades(-1, -1)) == [(-1, NEW), (-1, NEW)]
    assert handed(intake, trades(-1)) == [(-1, NEW)]
    assert handed(intake, trades(-1, -1, action=[CORRECTION, CANCEL])) == []
    assert (intake.counts.trades, intake.counts.orphans, intake.counts.duplicates) == (3, 2, 0)


@pytest.mark.parametrize("action", [CORRECTION, CANCEL])
def test_what_concerns_a_trade_never_met_is_an_orphan(action: int) -> None:
    intake = Intake()
    assert handed(intake, trades(4, action=action)) == []
    assert intake.counts.orphans == 1


@pytest.mark.parametrize("together", [True, False])
def test_a_correction_and_a_cancel_of_a_trade_that_was_handed_on_follow_it(together: bool) -> None:
    intake = Intake()
    batches = [trades(1, 1, 1, action=[NEW, CORRECTION, CANCEL])] if together else [trades(1, action=what) for what in (NEW, CORRECTION, CANCEL)]
    assert [row for batch in batches for row in handed(intake, batch)] == [(1, NEW), (1, CORRECTION), (1, CANCEL)]
    counts = intake.counts
    assert (counts.trades, counts.corrections, counts.cancels, counts.orphans) == (1, 1, 1, 0)
    assert handed(intake, trades(1, 1, 1, action=[NEW, CORRECTION, CANCEL])) == []  # it is gone, and stays so
    assert (counts.trades, counts.duplicates, counts.orphans, counts.cancels) == (1, 2, 1, 1)


@pytest.mark.parametrize(("name", "flags"), [("invalid_tick", 0), ("spread_leg", VALID | LEG)])
def test_filters_leave_out_and_count_unless_told_to_include(name: str, flags: int) -> None:
    intake = Intake()
    assert handed(intake, trades(1, 2, 3, flags=[VALID, flags, VALID])) == [(1, NEW), (3, NEW)]
    assert intake.counts.excluded == {"invalid_tick": 0, "spread_leg": 0} | {name: 1}
    include: dict[str, Literal["include"]] = {"invalid_ticks" if name == "invalid_tick" else "spread_legs": "include"}
    assert handed(Intake(**include), trades(1, 2, 3, flags=[VALID, flags, VALID])) == [(1, NEW), (2, NEW), (3, NEW)]


def test_an_excluded_trade_again_is_a_duplicate() -> None:
    intake = Intake()
    handed(intake, trades(1, flags=0))
    assert handed(intake, trades(1, flags=0)) == []
    assert handed(intake, trades(1)) == []
    assert (intake.counts.excluded["invalid_tick"], intake.counts.duplicates) == (1, 2)


@pytest.mark.parametrize("together", [True, False])
def test_a_correction_can_make_an_excluded_trade_one_that_counts_and_back(together: bool) -> None:
    intake = Intake()
    rows = trades(1, 1, 1, 1, action=[NEW, CORRECTION, CORRECTION, CORRECTION], flags=[0, VALID, VALID | LEG, VALID])
    pieces = [rows] if together else [rows[np.array([i])] for i in range(4)]
    assert [row for piece in pieces for row in handed(intake, piece)] == [(1, NEW), (1, CANCEL), (1, NEW)]
    assert intake.counts.excluded == {"invalid_tick": 1, "spread_leg": 1}


@pytest.mark.parametrize("action", [CORRECTION, CANCEL])
def test_what_concerns_an_excluded_trade_goes_its_way_and_is_no_orphan(action: int) -> None:
    intake = Intake()
    handed(intake, trades(1, flags=0))
    assert handed(intake, trades(1, action=action, flags=0)) == []
    counts = intake.counts
    assert (counts.orphans, counts.trades, counts.cancels, counts.excluded["invalid_tick"]) == ((0, 0, 1, 1) if action == CANCEL else (0, 0, 0, 2))


def test_a_cancel_is_not_a_valid_tick_and_counts_all_the_same() -> None:
    intake = Intake()
    handed(intake, trades(1, 2))
    assert handed(intake, trades(1, action=CANCEL, flags=0)) == [(1, CANCEL)]


def test_off_tick_and_off_step_are_counted() -> None:
    intake = Intake()
    intake.take(trades(1, 2, price=[6000.1, 6000.0], size=[1.0, 0.5]))
    assert (intake.counts.off_tick, intake.counts.off_step) == (1, 1)


def test_withheld_flags_give_sides_by_the_rules() -> None:
    taken = Intake(trust_flags=False).take(trades(1, price=6000.25, bid=6000.0, ask=6000.25, side=-1))
    assert taken is not None
    assert (taken.side.tolist(), taken.side_source.tolist()) == ([1], [1])


def test_no_trades_are_nothing() -> None:
    assert Intake().take(trades(1)[:0]) is None


def test_indices_are_remembered_for_a_session_and_a_half_and_memory_is_bounded() -> None:
    intake, hour = Intake(), 3600 << 32
    per_hour = 60_000
    for i in range(60):
        index = i * hour + np.arange(per_hour)
        intake.take(a_batch(index=index, time_ns=opening() + i * 3600 * SECOND + np.arange(per_hour)))
    held = len(intake._handed)
    assert held < 3 * 36 * per_hour
    assert handed(intake, a_batch(index=[59 * hour - 24 * hour], time_ns=[opening()])) == []
    assert intake.counts.duplicates == 1


ROW = st.tuples(st.integers(0, 12), st.sampled_from([NEW, NEW, NEW, CORRECTION, CORRECTION, CANCEL]), st.sampled_from([VALID, VALID, VALID, 0, VALID | LEG]))


@pytest.mark.property
@settings(max_examples=300)
@given(rows=st.lists(ROW, min_size=1, max_size=40), seed=st.integers(0, 999), longest=st.integers(2, 45))
def test_what_is_handed_on_adds_up_to_the_latest_version_of_every_trade_that_counts(rows: list[tuple[int, int, int]], seed: int, longest: int) -> None:
    latest: dict[int, tuple[int, int] | None] = {}  # index -> lots and flags, None once cancelled
    for place, (index, action, flags) in enumerate(rows):
        if action == NEW:
            latest.setdefault(index, (place + 1, flags))
        elif latest.get(index) is not None:
            latest[index] = None if action == CANCEL else (place + 1, flags)
    expected = {index: held[0] for index, held in latest.items() if held is not None and held[1] == VALID}
    batch = trades(*(row[0] for row in rows), action=[row[1] for row in rows], flags=[row[2] for row in rows], size=np.arange(1.0, len(rows) + 1))
    intake, ledger = Intake(), Ledger()
    for piece in cut(np.random.default_rng(seed), batch, longest):
        taken = intake.take(piece)
        if taken is not None:
            ledger.add(taken)
    assert dict(zip(ledger.index.tolist(), ledger.lots.tolist(), strict=True)) == expected
    assert (ledger.stats.orphans, ledger.stats.duplicates) == (0, 0)


def test_a_snapshot_tells_trades_as_they_stand_so_an_unknown_corrected_one_is_a_trade_and_an_unknown_cancelled_one_is_none() -> None:
    intake = Intake()
    taken = intake.take_snapshot(trades(1, 2, 3, action=[NEW, CORRECTION, CANCEL]))
    assert taken is not None
    assert list(zip(taken.index.tolist(), taken.action.tolist(), strict=True)) == [(1, NEW), (2, NEW)]
    assert (intake.counts.trades, intake.counts.orphans) == (2, 0)


def test_a_snapshot_corrects_and_cancels_trades_that_were_handed_on_before() -> None:
    intake = Intake()
    handed(intake, trades(1, 2, 3))
    taken = intake.take_snapshot(trades(1, 2, 3, 4, action=[NEW, CORRECTION, CANCEL, NEW]))
    assert taken is not None
    assert list(zip(taken.index.tolist(), taken.action.tolist(), strict=True)) == [(2, CORRECTION), (3, CANCEL), (4, NEW)]


def test_a_corrected_trade_of_a_snapshot_that_only_another_intake_met_is_new_to_some_and_a_correction_to_others() -> None:
    live, fetched, ledger = Intake(), Intake(), Ledger()
    handed(live, trades(1))
    handed(fetched, trades(1, 2, 3))
    live.acquaint(fetched)
    taken = live.take_snapshot(trades(1, 2, 3, action=[NEW, CORRECTION, NEW], size=[1.0, 5.0, 1.0]))
    assert taken is not None
    assert list(zip(taken.index.tolist(), taken.action.tolist(), strict=True)) == [(2, NEW), (2, CORRECTION), (3, NEW)]
    ledger.add(taken)
    assert dict(zip(ledger.index.tolist(), ledger.lots.tolist(), strict=True)) == {2: 5, 3: 1}
    again = live.take_snapshot(trades(2, action=CORRECTION))
    assert again is not None
    assert again.action.tolist() == [CORRECTION]


def test_an_intake_that_is_acquainted_with_another_knows_its_trades() -> None:
    live, fetched = Intake(), Intake()
    handed(fetched, trades(1, 2))
    live.acquaint(fetched)
    assert handed(live, trades(2, action=CORRECTION)) == [(2, CORRECTION)]
    assert live.counts.orphans == 0


def test_a_trade_that_another_intake_met_first_is_handed_on_when_it_comes_here_and_only_once() -> None:
    live, fetched = Intake(), Intake()
    handed(live, trades(1))
    handed(fetched, trades(1, 2, 3, 4))
    live.acquaint(fetched)
    assert handed(live, trades(1)) == []
    assert handed(live, trades(2, 3)) == [(2, NEW), (3, NEW)]
    assert handed(live, trades(2, 3, 4, 4, 5, action=[NEW, CANCEL, NEW, CORRECTION, NEW])) == [(3, CANCEL), (4, NEW), (4, CORRECTION), (5, NEW)]
    assert (live.counts.trades, live.counts.duplicates, live.counts.orphans) == (5, 2, 0)


def test_what_another_intake_left_out_is_left_out_here_and_its_correction_counts_as_new() -> None:
    live, fetched = Intake(), Intake()
    handed(fetched, trades(1, 2, flags=[VALID | LEG, VALID]))
    live.acquaint(fetched)
    assert handed(live, trades(1, flags=[VALID | LEG])) == []
    assert handed(live, trades(1, 2, action=[CORRECTION, CORRECTION], flags=[VALID, VALID | LEG])) == [(1, NEW), (2, CANCEL)]
