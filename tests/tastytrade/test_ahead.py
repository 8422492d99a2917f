"""A print dated far ahead is refused, counted and shown, and moves no clock; a clock that was set is none of its kind."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import encode_compact, index_of
from tastytrade_provider.journal import Journal, segments
from tastytrade_provider.model import TradeBatch
from tastytrade_provider.tastytrade.ahead import TimeGuard
from tastytrade_provider.tastytrade.decode import JournalDecoder
from tastytrade_provider.tastytrade.mapping import FIELDS, TIME_AND_SALE
from tests.checks.builders import ES, a_batch, opening
from tests.checks.sources import excerpt, until
from tests.tastytrade.test_provider import a_provider, an_emulator

S = 10**9
YEAR = 365 * 86_400 * S
T = opening()


def prints(*at: tuple[float, float], behind_ns: int = S // 10) -> TradeBatch:
    """(exchange time, our clock) in seconds since the opening; ours is `behind_ns` ahead besides."""
    return a_batch(
        time_ns=[T + int(time * S) for time, _ in at], received_ns=[T + behind_ns + int(received * S) for _, received in at], price=[6000.0] * len(at)
    )


def steady(behind_ns: int = S // 10) -> TimeGuard:
    """One that has seen eleven seconds of a live feed."""
    guard = TimeGuard()
    batch = prints(*((second, second) for second in range(12)), behind_ns=behind_ns)
    assert guard.admit(batch) is batch
    return guard


def times(batch: TradeBatch | None) -> list[float]:
    return [] if batch is None else ((batch.time_ns - T) / S).tolist()


@pytest.mark.parametrize("behind_ns", [S // 10, 900 * S, -7 * S, 20 * YEAR], ids=["live", "delayed", "our clock is slow", "an old tape"])
@pytest.mark.parametrize("ahead_s", [61.0, 3600.0, 5 * 365 * 86_400.0])
def test_a_print_far_ahead_of_all_before_it_is_refused_however_far_apart_the_clocks_are(ahead_s: float, behind_ns: int) -> None:
    guard = steady(behind_ns)
    assert times(guard.admit(prints((12, 12), (12 + ahead_s, 12), (13, 13), behind_ns=behind_ns))) == [12, 13]
    assert guard.rejected == 1
    assert f"ES: dated {ahead_s:.0f} s ahead of every print before it" in guard.rejects[0].replace("/ESZ6", "ES")
    assert times(guard.admit(prints((14, 14), behind_ns=behind_ns))) == [14]


def test_a_minute_ahead_is_believed() -> None:
    guard = steady()
    assert times(guard.admit(prints((71.9, 12), (13, 13)))) == [71.9, 13]
    assert guard.rejected == 0


def test_one_alone_waits_for_the_next_and_is_refused_by_it() -> None:
    guard = steady()
    assert guard.admit(prints((5000, 12))) is None
    assert guard.rejected == 1
    assert times(guard.admit(prints((40, 40)))) == [40]
    assert guard.admit(prints((5030, 41))) is None  # five seconds and more after the first, but one came between that was not odd
    assert guard.rejected == 2


def test_where_all_that_comes_is_ahead_it_is_our_clock_that_was_set_back_and_nothing_is_lost() -> None:
    guard = steady()  # then our clock is set back by ten minutes
    assert guard.admit(prints((12, -588), (14, -586))) is None
    assert guard.rejected == 2
    assert times(guard.admit(prints((16.5, -583.5), (17, -583), (18, -582)))) == [12, 14, 16.5, 17, 18]
    assert guard.rejected == 0
    assert times(guard.admit(prints((19, -581)))) == [19]


def test_odd_prints_that_do_not_agree_make_no_clock() -> None:
    guard = steady()
    assert guard.admit(prints((1000, 12), (9000, 18), (20_000, 24))) is None
    assert guard.rejected == 3


@pytest.mark.parametrize("speed", [2, 100, 86_400])
def test_a_tape_that_is_played_faster_is_not_judged(speed: int) -> None:
    guard = TimeGuard()
    batch = prints(*((second * speed, second) for second in range(100)))
    assert guard.admit(batch) is batch


def test_in_the_first_seconds_nobody_knows_the_clock_and_everything_is_believed() -> None:
    guard = TimeGuard()
    assert times(guard.admit(prints((0, 0), (9, 9), (5000, 9.5), (10, 10)))) == [0, 9, 5000, 10]


def test_what_comes_late_is_never_odd_and_catching_up_is_not_either() -> None:
    guard = steady()
    late = prints(*((12 + i, 612 + i / 100) for i in range(600)), (1000, 1000))  # ten minutes stuck on the way
    assert guard.admit(late) is late


def test_what_is_fetched_is_judged_by_our_clock_of_now() -> None:
    guard = steady()
    assert times(guard.within(prints((1, 0), (90, 0), (5, 0)), T + 20 * S)) == [1, 5]
    assert guard.rejected == 1
    assert times(TimeGuard().within(prints((1, 0), (90, 0)), T + 20 * S)) == [1, 90]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_how_prints_are_batched_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(i / 4 + (rng.choice([0, 0, 0, 0, 100, 700]) if i > 60 else 0), i / 4) for i in range(400)]
    whole, cut = TimeGuard(), TimeGuard()
    expected, found, at = times(whole.admit(prints(*rows))), list[float](), 0
    while at < len(rows):
        n = int(rng.integers(1, 30))
        found += times(cut.admit(prints(*rows[at : at + n])))
        at += n
    assert found == expected
    assert (cut.rejected, len(found)) == (whole.rejected, 400 - whole.rejected)
    assert whole.rejected > 50


def raw(*at: tuple[float, float]) -> tuple[list[bytes], list[int]]:
    """Messages of one print each, and when they were received: (exchange time, our clock) in seconds since the opening."""
    raws = []
    for number, (second, _) in enumerate(at):
        ms = T // 1_000_000 + int(second * 1000)
        row = {"eventSymbol": ES.streamer_symbol, "eventFlags": 0, "index": index_of(ms, number), "time": ms, "timeNanoPart": 0, "price": 6000.0, "size": 1.0}
        row |= {"bidPrice": 6000.0, "askPrice": 6000.25, "aggressorSide": "SELL", "spreadLeg": False, "extendedTradingHours": False, "validTick": True}
        raws.append(feed_data(1, encode_compact(TIME_AND_SALE, FIELDS, [row | {"type": "NEW"}])).raw)
    return raws, [T + int(received * S) for _, received in at]


def test_a_replay_refuses_what_was_refused_live_and_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES, {})
    messages = raw(*((second, second) for second in range(12)), (12 + 3 * 365 * 86_400, 12.5), (13, 13))
    for one, received_ns in zip(*messages, strict=True):
        journal.append([one], [received_ns], {TIME_AND_SALE: FIELDS})
    journal.close()
    for gather in (0, 512):
        decoder = JournalDecoder(segments(tmp_path), gather=gather)
        batches = [item for read in decoder for item in read.items]
        assert [second for batch in batches if isinstance(batch, TradeBatch) for second in times(batch)] == [*range(12), 13]
        assert (decoder.rejected, len(decoder.rejects)) == (1, 1)


async def test_a_live_print_of_another_year_closes_no_bar_moves_no_clock_and_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    market = excerpt(events=400, roots=("ES",))
    contract, prints = market.contracts[0], market.prints()
    async with an_emulator(market) as emulator, a_provider(emulator) as provider:
        provider._wall_ns = lambda: market.start_ns
        items, bars = list[object](), list[object]()
        provider.subscribe_trades(contract).on(items.append)
        provider.subscribe_bars(contract).on(bars.append)
        line = provider._lines[contract.streamer_symbol]
        await until(lambda: sum(map(len, items)) == len(prints), "the prints did not come")  # type: ignore[arg-type]
        last = prints[-1]
        line.guard._state[:] = 1, 0, 0, last.time_ns - time.time_ns(), 1  # as after ten seconds of it
        odd = last.time_ns + 2 * YEAR
        emulator.publish([last._replace(time_ns=odd, index=index_of(odd // 1_000_000), at_ns=last.at_ns + S)])
        await until(lambda: provider.status().rejected == 1, "it was not refused")
        emulator.publish([last._replace(time_ns=last.time_ns + S, index=index_of(last.time_ns // 1_000_000 + 1000), at_ns=last.at_ns + S)])
        await until(lambda: sum(map(len, items)) == len(prints) + 1, "the next print did not come")  # type: ignore[arg-type]
        status = provider.status()
    assert (status.rejected, status.gaps, line.intake.last_time_ns, bars) == (1, (), last.time_ns + S, [])
    assert "s ahead of every print before it" in status.rejects[0]
