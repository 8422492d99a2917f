"""Volumes by minute, worked out by hand."""

from __future__ import annotations

from tastytrade_provider.model import Action, AggressorSide, SideSource, TradeBatch
from tastytrade_provider.tastytrade.minutes import MINUTE_NS, Minutes
from tests.checks.builders import a_batch, opening

BUY, SELL, UNKNOWN = AggressorSide.BUY, AggressorSide.SELL, AggressorSide.UNKNOWN
M0 = opening() // MINUTE_NS * MINUTE_NS


def trades(*rows: tuple[float, float, AggressorSide], source: SideSource = SideSource.EXCHANGE, action: Action = Action.NEW) -> TradeBatch:
    """(minute, size, side) each."""
    return a_batch(
        time_ns=[M0 + int(minute * MINUTE_NS) for minute, _, _ in rows],
        size=[size for _, size, _ in rows],
        side=[int(side) for _, _, side in rows],
        side_source=[int(SideSource.NONE if side is UNKNOWN else source) for _, _, side in rows],
        action=[int(action)] * len(rows),
        price=[6000.0] * len(rows),
    )


def test_a_minute_counts_once_another_minute_has_begun_on_both_sides_of_it() -> None:
    minutes = Minutes()
    minutes.add(trades((0.5, 1, BUY), (1.0, 2, BUY), (1.5, 3, SELL)))
    minutes.add(trades((1.9, 4, UNKNOWN)))
    assert minutes.whole() == {}  # the first may have begun before us, the newest is not over
    minutes.add(trades((2.0, 5, BUY)))
    assert minutes.whole() == {M0 + MINUTE_NS: (2.0, 3.0, 4.0)}


def test_an_inferred_side_is_unknown_unless_it_is_trusted() -> None:
    for trust, expected in ((False, (0.0, 0.0, 5.0)), (True, (2.0, 3.0, 0.0))):
        minutes = Minutes(trust_inferred=trust)
        minutes.add(trades((0, 1, BUY), (1, 2, BUY), (1, 3, SELL), (2, 1, BUY), source=SideSource.QUOTE))
        assert minutes.whole() == {M0 + MINUTE_NS: expected}


def test_minutes_of_which_nobody_heard_the_end_or_the_begin_are_left_out() -> None:
    minutes = Minutes()
    minutes.add(trades((0.5, 1, BUY), (1.5, 2, BUY), (2.1, 3, BUY)))
    minutes.pause()
    minutes.add(trades((4.5, 4, BUY), (5.0, 5, BUY), (6.0, 6, BUY)))
    assert [(start - M0) // MINUTE_NS for start in minutes.whole()] == [1, 5]


def test_a_minute_with_a_correction_or_a_gap_is_left_out() -> None:
    minutes = Minutes()
    minutes.add(trades(*((minute, 1, BUY) for minute in range(7))))
    minutes.add(trades((2, 9, BUY), action=Action.CORRECTION))
    minutes.doubt(M0 + 4 * MINUTE_NS, M0 + 5 * MINUTE_NS - 1)
    assert [(start - M0) // MINUTE_NS for start in minutes.whole()] == [1, 3, 5]


def test_a_gap_in_minutes_without_a_trade_counts_against_trades_that_come_later() -> None:
    minutes = Minutes()
    minutes.add(trades((0, 1, BUY), (1, 1, BUY)))
    minutes.doubt(M0 + 2 * MINUTE_NS, M0 + 3 * MINUTE_NS + 1)
    minutes.add(trades((3.5, 1, BUY), (4, 1, BUY), (5, 1, BUY)))
    assert [(start - M0) // MINUTE_NS for start in minutes.whole()] == [1, 4]


def test_minutes_of_a_session_ago_are_forgotten() -> None:
    minutes = Minutes()
    minutes.add(trades(*((minute, 1, BUY) for minute in range(3000))))
    assert len(minutes.whole()) == 1439
    minutes.add(trades((100, 50, BUY)))  # a straggler from then changes nothing
    assert set(minutes.whole().values()) == {(1.0, 0.0, 0.0)}
