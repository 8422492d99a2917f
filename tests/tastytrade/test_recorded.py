"""What a journal has of a contract's trades, and where it may lack some: gaps that were told, ends of recordings, what came before it listened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import encode_compact, index_of
from tastytrade_provider.journal import Journal, segments
from tastytrade_provider.model import Gap, TradeBatch, TradeFlag
from tastytrade_provider.tastytrade import recorded
from tastytrade_provider.tastytrade.mapping import FIELDS, TIME_AND_SALE
from tastytrade_provider.tastytrade.recorded import FOREVER, Hole, Joined, Recorded, joined, read
from tests.checks import journals
from tests.checks.builders import ES

S, MS = 10**9, 10**6
T = 1_795_530_600 * S
"""2026-11-24 14:30 UTC."""


def at(second: float) -> int:
    return T + round(second * S)


def a_message(*seconds: float, kind: str = "NEW", price: float = 6000.0) -> bytes:
    """FEED_DATA with a print of ES at each of these seconds after 14:30."""
    rows: list[dict[str, Any]] = []
    for second in seconds:
        ms = at(second) // MS
        row = dict.fromkeys(FIELDS) | {"eventSymbol": ES.streamer_symbol, "eventFlags": 0, "index": index_of(ms, 0), "time": ms, "price": price, "size": 1.0}
        rows.append(row | {"aggressorSide": "BUY", "validTick": True, "type": kind})
    return feed_data(1, encode_compact(TIME_AND_SALE, FIELDS, rows)).raw


def record(folder: Path, *told: bytes | Gap, watched: float = 0.0, behind: float = 0.1) -> None:
    """One recording whose clock is right: ES is listened to from `watched` on, and each message received when its last print was made, and a bit."""
    now = [at(watched)]
    journal = Journal(folder, wall_ns=lambda: now[0])
    journal.open()
    journal.watch(ES)
    for one in told:
        if isinstance(one, Gap):
            journal.append_gap(one)
        else:
            newest_ns = max(int(index) >> 32 for index in _indices(one)) * S
            now[0] = max(now[0], newest_ns + int(behind * S))
            journal.append([one], [now[0]], journals.COLUMNS)
    journal.close()


def _indices(raw: bytes) -> list[str]:
    return [cell.decode() for cell in raw.split(b",") if len(cell) == 19 and cell.isdigit()]


def seconds(batch: TradeBatch) -> list[float]:
    return [(one - T) / S for one in batch.time_ns.tolist()]


def known(folder: Path, start: float) -> Recorded:
    found = read(folder, ES, at(start))
    assert found is not None
    return found


def fed(*seconds: float) -> TradeBatch:
    ms = [at(second) // MS for second in seconds]
    return TradeBatch(ES, {"time_ns": [one * MS for one in ms], "index": [index_of(one, 0) for one in ms], "price": [6000.0] * len(ms), "size": [1] * len(ms)})


def put_together(folder: Path, start: float, *feed: float, end_ns: int = FOREVER) -> Joined:
    """A journal that ends with its last trade, before a feed that was cut off where these trades begin."""
    past = known(folder, start)
    past = past._replace(holes=(*past.holes, Hole(past.last_ns, FOREVER)))
    return joined(past, fed(*feed), (at(feed[0]) // MS + 1) * MS - 1 if feed else FOREVER, at(start), end_ns)


def test_trades_come_as_they_stand_each_once_and_marked_from_the_asked_time_on(tmp_path: Path) -> None:
    record(tmp_path, a_message(1, 2), a_message(2, 3), a_message(2, kind="CORRECTION", price=6001.0), a_message(4), a_message(3, kind="CANCEL"), a_message(5))
    found = known(tmp_path, 2)
    assert seconds(found.batch) == [2, 4, 5]
    assert found.batch.price.tolist() == [6001.0, 6000.0, 6000.0]
    assert (found.batch.flags & TradeFlag.BACKFILL > 0).all()
    assert (found.batch.action == 0).all()
    assert found.last_ns == at(5)
    assert read(tmp_path, replace(ES, streamer_symbol="/NQZ26:XCME"), at(0)) is None


def test_a_feed_that_begins_where_the_journal_still_goes_on_makes_it_whole_without_doubles(tmp_path: Path) -> None:
    record(tmp_path, *(a_message(second) for second in range(1, 11)))
    made = put_together(tmp_path, 2, 9, 10, 11, 12)
    assert made.cut_ns is None
    assert seconds(made.batch) == list(range(2, 13))
    assert [hole.start_ns for hole in made.filled] == [at(10)]


@pytest.mark.parametrize("first", [10, 11])
def test_a_feed_that_begins_with_the_journals_last_trade_or_later_leaves_a_hole(tmp_path: Path, first: float) -> None:
    record(tmp_path, *(a_message(second) for second in range(1, 11)))
    made = put_together(tmp_path, 2, first, 12)  # of the millisecond in which the journal ends, others may be missing
    assert made.cut_ns == at(first) + MS - 1
    assert seconds(made.batch)[-1] == 12
    assert all(second >= first for second in seconds(made.batch))


def test_what_lies_before_a_hole_can_be_had_by_who_asks_for_no_more(tmp_path: Path) -> None:
    record(tmp_path, *(a_message(second) for second in range(1, 11)))
    assert put_together(tmp_path, 2, 20, end_ns=at(10)).cut_ns is None
    assert put_together(tmp_path, 2, end_ns=at(10)).cut_ns is None  # also where the feed has nothing at all
    assert put_together(tmp_path, 2).cut_ns == FOREVER


def test_a_gap_that_was_told_is_a_hole_unless_it_was_filled(tmp_path: Path) -> None:
    lost, later = Gap(ES, at(3), at(5) + 1, "connection lost"), Gap(ES, at(6), at(8) + 1, "connection lost")
    record(tmp_path, a_message(1, 2, 3), a_message(5, 6), lost, a_message(8, 9), later, a_message(7), replace(later, filled=True), a_message(10))
    assert known(tmp_path, 2).holes[1:] == (Hole(at(3), at(5) + 1),)
    made = put_together(tmp_path, 2, 9, 10, 11)
    assert made.cut_ns == at(5) + 1
    assert seconds(made.batch) == [6, 7, 8, 9, 10, 11]
    assert put_together(tmp_path, 6, 9, 10, 11).cut_ns is None


def test_between_one_recording_and_the_next_there_is_a_hole_that_the_feed_may_fill(tmp_path: Path) -> None:
    record(tmp_path, a_message(1), a_message(2), a_message(3))
    record(tmp_path, a_message(40), a_message(41), watched=39)
    assert known(tmp_path, 2).holes[1:] == (Hole(at(3), at(40) + 1),)
    assert put_together(tmp_path, 2, 40.5, 41, 42).cut_ns == at(40) + 1
    filled = put_together(tmp_path, 2, 2.5, 3, 17, 40, 41, 42)
    assert filled.cut_ns is None
    assert seconds(filled.batch) == [2, 2.5, 3, 17, 40, 41, 42]
    assert filled.filled == (Hole(at(3), at(40) + 1), Hole(at(41), FOREVER))


@pytest.mark.parametrize(
    ("watched", "behind", "cut_ns"),
    [
        (-60, 0.1, None),
        (9, 0.1, at(13.9)),  # once it was asked the feed surely sends within five seconds, and what it sends is a tenth of a second old
        (19, 0.1, at(20) + MS - 1),
        (9, 900, None),  # delayed data: what it sends then is older than what was asked for
    ],
)
def test_a_recording_goes_back_to_its_first_trade_or_to_when_it_surely_listened(tmp_path: Path, watched: float, behind: float, cut_ns: int | None) -> None:
    record(tmp_path, a_message(20), a_message(21), watched=watched, behind=behind)
    assert put_together(tmp_path, 10, 21.5, end_ns=at(21)).cut_ns == cut_ns
    assert put_together(tmp_path, 20.5, 21.5, end_ns=at(21)).cut_ns is None


def test_only_the_segments_that_matter_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for begin in range(0, 100, 10):
        record(tmp_path, *(a_message(second) for second in range(begin, begin + 10)), watched=begin)
    whole: list[int] = []
    real = recorded.JournalDecoder

    def decoder(every: Sequence[Path], **options: Any) -> Any:
        whole.append(len(every)) if options.get("gather") else None
        return real(every, **options)

    monkeypatch.setattr(recorded, "JournalDecoder", decoder)
    assert len(segments(tmp_path)) == 10
    assert seconds(known(tmp_path, 85).batch) == list(range(85, 100))
    assert whole == [4]  # from one before the last in whose begin nothing is later
    assert seconds(known(tmp_path, -5).batch) == list(range(100))
    assert whole == [4, 10]
    assert np.all(np.diff(known(tmp_path, -5).batch.index) > 0)


def test_what_was_made_of_lesser_events_counts_only_where_the_feed_has_nothing() -> None:
    rows = {"time_ns": [at(1), at(2), at(3), at(4)], "index": [-1] * 4, "price": [6000.0] * 4, "size": [1, 2, 4, 8]}
    past = Recorded(TradeBatch(ES, rows), (Hole(0, at(1)), Hole(at(4), FOREVER)), at(4))
    made = joined(past, fed(3, 3.5, 5), at(3) + MS - 1, at(1))
    assert made.cut_ns is None
    assert seconds(made.batch) == [1, 2, 3, 3.5, 5]
    alone = joined(past, fed(), FOREVER, at(1))
    assert (seconds(alone.batch), alone.cut_ns) == ([], FOREVER)  # a hole up to now
