from __future__ import annotations

import copy
import math

import pytest

from tastytrade_provider.indicators import CVD, IndicatorManager
from tastytrade_provider.model import Gap, Roll, TradeBatch
from tastytrade_provider.service import feed as feeds
from tastytrade_provider.service.feed import CvdNow, Feed
from tastytrade_provider.service.recent import Recent
from tastytrade_provider.service.resets import Resets, SegmentedCvd
from tests.checks.builders import ES, MINUTE_NS, a_batch, bars, frame, opening, random_bars
from tests.service.stage import NQ, SECOND, some_trades


def a_feed(resets: Resets | None = None) -> Feed:
    manager, known = IndicatorManager(), resets or Resets()

    def fail(label: str, error: Exception) -> None:
        raise error

    return Feed(ES, "5s", {"volume_delta": manager.create("volume_delta"), "cvd": SegmentedCvd(known)}, known, fail)


# -- CVD with resets


def test_cvd_starts_anew_at_the_first_bar_from_a_reset_on_and_at_the_session() -> None:
    week = bars(monday=[(5, 2), (1, 5), (7, 0), (2, 0)], tuesday=[(7, 6), (1, 0)])
    resets = Resets([opening() + MINUTE_NS + 1])
    found = SegmentedCvd(resets).run(week)
    assert found["cvd"].tolist() == [3.0, -1.0, 7.0, 9.0, 1.0, 2.0]
    assert found["cvd_open"].tolist() == [0.0, 3.0, 0.0, 7.0, 0.0, 1.0]


def test_a_reset_at_a_bars_start_acts_on_that_bar() -> None:
    assert SegmentedCvd(Resets([opening() + MINUTE_NS])).run(bars(monday=[(5, 2), (1, 5)]))["cvd"].tolist() == [3.0, -4.0]


def test_without_resets_it_is_cvd() -> None:
    week = frame(random_bars(7, 200, unknown=0.1))
    assert SegmentedCvd(Resets()).run(week).equals(CVD().run(week))


@pytest.mark.parametrize("seed", range(4))
def test_bar_by_bar_and_all_at_once_are_the_same(seed: int) -> None:
    closed = random_bars(seed, 150, unknown=0.1)
    resets = Resets([closed[at].start_ns + seed for at in (10, 11, 40, 90, 149)])
    at_once, one_by_one = SegmentedCvd(resets).run(frame(closed)), SegmentedCvd(resets)
    for i, bar in enumerate(closed):
        values = one_by_one.update(bar)
        for name, value in values.items():
            expected = at_once[name].iloc[i]
            assert value == expected or (math.isnan(value) and math.isnan(expected)), (seed, i, name)


def test_a_copy_of_an_indicator_meets_resets_made_later() -> None:
    resets = Resets()
    then = copy.deepcopy(SegmentedCvd(resets))
    resets.add(opening() + MINUTE_NS)
    assert then.run(bars(monday=[(5, 2), (1, 5)]))["cvd"].tolist() == [3.0, -4.0]


# -- the feed


def test_extremes_of_cvd_are_those_of_trades_since_it_started_anew() -> None:
    feed = a_feed()
    feed.add(some_trades((0, 6000.0, 5, 1), (1, 6000.0, 9, -1), (5, 6000.0, 10, 1), (10, 6000.0, 1, -1)))
    assert feed.cvd(feed.forming) == CvdNow(5.0, 6.0, -4.0, opening())
    assert feed.cvd(None) == CvdNow(6.0, 6.0, -4.0, opening())


def test_extremes_follow_when_a_late_trade_changes_an_earlier_bar() -> None:
    feed = a_feed()
    feed.add(some_trades((0, 6000.0, 5, 1), (5, 6000.0, 1, 1), (10, 6000.0, 1, 1)))
    feed.add(some_trades((1, 6000.0, 20, -1)))
    assert [row.update.values["cvd"] for row in feed.rows()] == [-15.0, -14.0]
    assert feed.cvd(None) == CvdNow(-14.0, 5.0, -15.0, opening())


def test_a_late_trade_in_an_empty_stretch_makes_a_bar_in_its_place() -> None:
    feed = a_feed()
    feed.add(some_trades((0, 6000.0, 5, 1), (20, 6000.0, 1, 1), (30, 6000.0, 1, 1)))
    feed.add(some_trades((11, 6000.0, 2, 1)))
    assert [(row.update.bar.start_ns - opening()) // SECOND for row in feed.rows()] == [0, 10, 20]
    assert [row.update.values["cvd"] for row in feed.rows()] == [5.0, 7.0, 8.0]


def test_only_the_latest_bars_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEPT", 3)
    feed = a_feed()
    assert feed.is_whole
    feed.add(some_trades(*((5.0 * i, 6000.0, 1.0, 1) for i in range(6))))
    assert ([row.update.values["cvd"] for row in feed.rows()], feed.is_whole, feed.closed) == ([3.0, 4.0, 5.0], False, 5)


def test_a_signal_that_is_not_known_is_none() -> None:
    feed = a_feed()
    feed.add(some_trades((0, 6000.0, 5, 1), (5, 6000.0, 1, 1)))
    [row] = feed.rows()
    broken = row.update._replace(values={"regular": math.nan, "hidden": -1.0, "strength": math.nan})
    assert feed.signals(broken) == [{"name": "hidden", "direction": "bearish", "strength": None}]


# -- the session's trades


def trades_of(recent: Recent) -> list[int]:
    return [index for piece in recent.pieces() if isinstance(piece, TradeBatch) for index in piece.index.tolist()]


def test_recent_trades_come_back_in_order_in_small_pieces() -> None:
    recent = Recent()
    for start in range(0, 10_000, 10):
        recent.add(a_batch(index=range(start, start + 10)))
    assert trades_of(recent) == list(range(10_000))
    assert max(len(piece) for piece in recent.pieces() if isinstance(piece, TradeBatch)) <= 256


def test_a_gap_stays_between_the_trades_it_came_between() -> None:
    recent = Recent()
    gap = Gap(ES, 1, 2, "connection lost")
    recent.add(a_batch(index=[1]))
    recent.add(gap)
    recent.add(a_batch(index=[2]))
    assert [piece if isinstance(piece, Gap) else piece.index.tolist() for piece in recent.pieces()] == [[1], gap, [2]]


def test_recent_trades_have_a_limit_and_say_that_they_are_not_whole() -> None:
    recent = Recent(most=5_000)
    for start in range(0, 20_000, 100):
        recent.add(a_batch(index=range(start, start + 100)))
    kept = trades_of(recent)
    assert kept == list(range(kept[0], 20_000))
    assert len(kept) <= 5_000 + 4_196
    assert not recent.is_whole


def test_a_session_that_is_over_is_forgotten_and_a_roll_forgets_all() -> None:
    recent = Recent()
    recent.add(a_batch(index=[1], time_ns=[opening()]))
    recent.add(Gap(ES, opening(), opening() + 1, "x"))
    recent.add(a_batch(index=[2], time_ns=[opening("tuesday")]))
    recent.forget_before(opening("tuesday"))
    assert trades_of(recent) == [2]
    recent.add(Roll(ES, NQ, opening("tuesday")))
    assert (recent.pieces(), len(recent)) == ([], 0)
