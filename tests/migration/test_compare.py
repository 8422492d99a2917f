"""What is injected into one of two like feeds is found, named and sized; like feeds differ in nothing."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.errors import UsageError
from tastytrade_provider.migration import LIMITS, Comparison, Result, compare_bars, compare_trades, thresholds
from tastytrade_provider.model import Quote, SideSource, TradeBatch
from tests.checks.builders import ES, MINUTE_NS, a_bar, a_batch, opening, random_trades

A, B = 0, 1
HOUR = random_trades(7, 3_000, seconds=1.2)  # about an hour of Monday's cash session, a trade every 1.2 s


def live(trades: TradeBatch, *, lag_ms: float = 0.0) -> list[tuple[int, TradeBatch]]:
    """(arrival, batch) of trades handed over one by one, 40 ms after they happened."""
    return [(int(trades.time_ns[i]) + 40_000_000 + int(lag_ms * 1e6), trades[i : i + 1]) for i in range(len(trades))]


def compared(a: TradeBatch, b: TradeBatch, *, lag_ms: float = 0.0, **options: Any) -> Result:
    """The result of two feeds run beside each other, in the order of arrival."""
    comparison = Comparison("/ESZ6", 0.25, ("ib", "tastytrade"), **options)
    events = [(at, A, batch) for at, batch in live(a)] + [(at, B, batch) for at, batch in live(b, lag_ms=lag_ms)]
    for at, side, batch in sorted(events, key=lambda event: event[:2]):
        comparison.add_trades(side, batch, at)
    return comparison.result(is_over=True)


def like_trades(comparison: Comparison) -> Comparison:
    """With the same hour of trades on both sides."""
    for at, batch in live(HOUR):
        for side in (A, B):
            comparison.add_trades(side, batch, at)
    return comparison


def not_passed(result: Result) -> set[str]:
    return {check.name for check in result.checks if check.verdict != "PASS"}


# --- trades


def test_like_feeds_pass_with_no_difference_at_all() -> None:
    result = compared(HOUR, HOUR)
    assert result.verdict == "PASS"
    assert {check.name: check.value for check in result.checks if check.value} == {}
    assert result.facts["trades"]["prints"] == [3_000, 3_000]
    assert result.facts["trades"]["common_lots"] == int(HOUR.lots.sum())


@pytest.mark.parametrize("seed", range(3))
def test_five_percent_of_missing_prints_are_found_and_sized(seed: int) -> None:
    kept = np.random.default_rng(seed).random(len(HOUR)) >= 0.05
    result = compared(HOUR, HOUR[kept])
    missing = 100 * (1 - kept.mean())
    assert result.check("trade_count_pct").value == pytest.approx(missing, abs=0.01)
    lost = 100 * (1 - HOUR.lots[kept].sum() / HOUR.lots.sum())
    assert result.check("trade_volume_pct").value == pytest.approx(lost, rel=0.01)
    assert result.check("trade_unmatched_pct").value == pytest.approx(lost, rel=0.01)
    assert result.verdict == "FAIL"
    assert f"tastytrade has {missing:.2f} % less prints than ib" in result.check("trade_count_pct").reason
    assert not_passed(result) <= {"trade_count_pct", "trade_volume_pct", "trade_unmatched_pct", "delta_pct"}


def test_a_shift_of_two_ticks_is_found_and_sized() -> None:
    result = compared(HOUR, a_batch(time_ns=HOUR.time_ns, price=HOUR.price + 0.5, size=HOUR.size, side=HOUR.side))
    assert result.check("trade_shift_ticks").value == pytest.approx(2.0)
    assert result.check("trade_shift_ticks").verdict == "FAIL"
    assert "prints of tastytrade are typically 2 ticks higher" in result.check("trade_shift_ticks").reason
    assert not_passed(result) <= {"trade_shift_ticks", "trade_unmatched_pct", "lag_p95_ms"}


def test_a_lag_of_300_ms_is_found_and_sized_and_nothing_else() -> None:
    result = compared(HOUR, HOUR, lag_ms=300.0)
    assert result.check("lag_ms").value == pytest.approx(300, rel=0.01)
    assert result.facts["trades"]["first"] == [result.facts["trades"]["lead_ms_n"], 0]
    assert "tastytrade is typically 300 ms later than ib, which is first with 100 % of the prices" in result.check("lag_ms").reason
    assert not_passed(result) == {"lag_ms"}


def test_a_feed_that_dies_is_found_by_its_silence() -> None:
    half = HOUR[HOUR.time_ns < opening() + 30 * MINUTE_NS]
    result = compared(HOUR, half)
    silent = (HOUR.time_ns[-1] - half.time_ns[-1]) / 1e9
    assert result.check("silence_s").value == pytest.approx(silent, abs=1.5)
    assert result.check("silence_s").verdict == "FAIL"
    assert "tastytrade was silent for" in result.check("silence_s").reason


def test_a_feed_that_never_spoke_is_told_dead() -> None:
    comparison = Comparison("/ESZ6", 0.25, ("ib", "tastytrade"))
    for at, batch in live(HOUR):
        comparison.add_trades(A, batch, at)
    result = comparison.result()
    assert result.verdict == "FAIL"
    assert result.check("silence_s").value == pytest.approx((HOUR.time_ns[-1] - HOUR.time_ns[0]) / 1e9 - 15, abs=2.5)  # but for the grace
    assert "never sent a print: a dead feed" in result.check("silence_s").reason


def test_one_print_for_several_fills_is_no_missing_volume() -> None:
    fills = a_batch(time_ns=np.repeat(opening() + np.arange(600) * 10**9, 3), size=2.0, side=1)
    together = a_batch(time_ns=opening() + np.arange(600) * 10**9, size=6.0, side=1)
    result = compared(fills, together)
    assert not_passed(result) == {"trade_count_pct"}
    assert result.check("trade_count_pct").verdict == "WATCH"
    assert result.check("trade_count_pct").value == pytest.approx(200 / 3)


def test_times_cut_to_the_second_meet_those_that_are_exact() -> None:
    cut = a_batch(time_ns=HOUR.time_ns // 10**9 * 10**9, price=HOUR.price, size=HOUR.size, side=HOUR.side)
    assert compared(HOUR, cut).check("trade_unmatched_pct").value == 0


def alternating(n: int = 600, *, flip: int = 1, **columns: Any) -> TradeBatch:
    """A trade a second, bought and sold in turn: every minute's delta is 0."""
    return a_batch(time_ns=opening() + np.arange(n) * 10**9, side=flip * np.where(np.arange(n) % 2, 1, -1), **columns)


def test_a_side_that_tells_no_sides_does_not_pass_though_every_delta_is_zero() -> None:
    mute = a_batch(time_ns=alternating().time_ns, side=np.zeros(600, int), side_source=np.full(600, int(SideSource.NONE)))
    result = compared(alternating(), mute)
    assert not_passed(result) == {"delta_pct", "sides_apart_pct"}
    assert [(result.check(name).verdict, result.check(name).value) for name in ("delta_pct", "sides_apart_pct")] == [("FAIL", 100.0)] * 2
    assert result.check("delta_pct").reason.startswith("no print of tastytrade has a side, so it has no volume delta")


def test_sides_the_wrong_way_round_are_found_and_sized_though_every_delta_is_zero() -> None:
    wrong = compared(alternating(), alternating(flip=-1))
    assert not_passed(wrong) == {"sides_apart_pct"}
    assert wrong.check("sides_apart_pct").value == 100.0
    # one side in four told wrongly, of three lots where the others have one: 150 x 3 of 150 x 3 + 450
    often = np.where(np.arange(600) % 4 == 0, 3.0, 1.0)
    flipped = alternating().side * np.where(np.arange(600) % 4 == 0, -1, 1)
    result = compared(alternating(size=often), a_batch(time_ns=alternating().time_ns, size=often, side=flipped))
    assert result.check("sides_apart_pct").value == pytest.approx(50.0)


def test_where_neither_tells_sides_nothing_is_said_of_them() -> None:
    mute = a_batch(time_ns=alternating().time_ns, side=np.zeros(600, int))
    assert not {"delta_pct", "sides_apart_pct"} & {check.name for check in compared(mute, mute).checks}


def test_deltas_are_compared_by_minute_with_where_the_sides_came_from() -> None:
    # a minute of 60 bought, one lot a second; the other side takes every fourth for sold: 60 against 30, of 60
    flagged = a_batch(time_ns=opening() + np.arange(60) * 10**9, side=1)
    sides = np.where(np.arange(60) % 4 == 0, -1, 1)
    inferred = a_batch(time_ns=flagged.time_ns, side=sides, side_source=np.full(60, int(SideSource.QUOTE)))
    check = compared(flagged, inferred).check("delta_pct")
    assert check.value == pytest.approx(50.0)
    assert check.reason.endswith("(sides: ib from exchange and tastytrade from quote)")


def test_what_comes_after_the_grace_is_late_and_stays_missing() -> None:
    comparison = Comparison("/ESZ6", 0.25)
    early, later = a_batch(time_ns=np.array([opening()])), a_batch(time_ns=np.array([opening() + 20 * 10**9]))
    for batch in (early, later):
        comparison.add_trades(A, batch, 1)
    comparison.add_trades(B, later, 2)
    comparison.add_trades(B, early, 3)
    trades = comparison.result(is_over=True).facts["trades"]
    assert (trades["prints"], trades["late"]) == ([2, 1], [0, 1])


def test_corrections_and_cancels_are_counted_and_are_no_prints() -> None:
    batch = a_batch(time_ns=opening() + np.arange(3) * 10**9, action=np.array([0, 1, 2]))
    trades = compared(batch, batch).facts["trades"]
    assert (trades["prints"], trades["amended"]) == ([1, 1], [2, 2])


def test_what_happened_before_both_were_there_is_left_out_and_the_arrival_of_each_trade_kept() -> None:
    comparison, since_ns = Comparison("/ESZ6", 0.25, limits={"grace_s": 9_000}), int(HOUR.time_ns[500]) + 1
    for side, batch in ((A, HOUR), (B, HOUR[400:])):
        comparison.add_trades(side, batch, batch.time_ns + side * 5_000_000, since_ns=since_ns)
    result = comparison.result(is_over=True)
    assert result.verdict == "PASS"
    assert result.facts["trades"]["prints"] == [2_499, 2_499]
    assert result.facts["trades"]["lead_ms"].keys() == {5.0}


@pytest.mark.parametrize("seed", range(3))
def test_the_result_does_not_depend_on_how_the_feeds_are_cut_into_batches_nor_on_being_asked_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = HOUR[rng.random(len(HOUR)) >= 0.03]
    whole = compare_trades(HOUR, b)
    pieces = Comparison("/ESZ6", 0.25, limits={"grace_s": 900})  # longer than any of the pieces
    parts = [(int(part.time_ns[0]), side, part) for side, batch in ((A, HOUR), (B, b)) for part in split(batch, rng)]
    for i, (_, side, part) in enumerate(sorted(parts, key=lambda each: each[:2])):
        pieces.add_trades(side, part)
        if i % 50 == 0:
            pieces.result()
            pieces = pickle.loads(pickle.dumps(pieces))
    assert pieces.result(is_over=True).facts["trades"] == whole.facts["trades"]


def split(batch: TradeBatch, rng: np.random.Generator) -> list[TradeBatch]:
    cuts = [0, *sorted(rng.choice(np.arange(1, len(batch)), 200, replace=False).tolist()), len(batch)]
    return [batch[start:end] for start, end in pairwise(cuts)]


def test_memory_is_bounded_however_long_it_runs_and_however_silent_one_side_is() -> None:
    def size(days: int) -> int:
        comparison = Comparison("/ESZ6", 0.25)
        for day in range(days):
            comparison.add_trades(A, HOUR.replace(time_ns=HOUR.time_ns + day * 86_400 * 10**9), 1 + day)
        return len(pickle.dumps(comparison))

    assert size(80) < 1.2 * size(40)


def test_a_flood_in_one_second_is_bounded_and_what_is_dropped_is_counted() -> None:
    comparison = Comparison("/ESZ6", 0.25)
    for part in range(3):
        prices = 1_000 + 0.25 * (np.arange(100_000) + 100_000 * part)
        comparison.add_trades(A, a_batch(time_ns=np.full(100_000, opening()), price=prices), 1)
    result = comparison.result(is_over=True)
    assert result.facts["trades"]["prints"][A] + result.facts["trades"]["dropped"][A] == 300_000
    assert result.check("dropped").value == 100_000


# --- bars


def frame(n: int = 500, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 6000 + rng.integers(-3, 4, n).cumsum() * 0.25
    start = pd.date_range("2026-11-23T14:30Z", periods=n, freq="1min", name="time")
    return pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close + 0.25, "volume": rng.integers(100, 900, n)}, index=start)


def test_like_bars_pass_with_no_difference_at_all() -> None:
    result = compare_bars(frame(), frame(), 0.25)
    assert result.verdict == "PASS"
    assert [check.value for check in result.checks] == [0.0] * len(result.checks)
    assert result.facts["bars"]["apart_0_1_2_more"] == [2_000, 0, 0, 0]


def test_bars_two_ticks_higher_are_found_and_sized() -> None:
    result = compare_bars(frame(), frame().assign(**{name: frame()[name] + 0.5 for name in ("open", "high", "low", "close")}), 0.25)
    assert result.check("bar_price_ticks").value == 2.0
    assert "b's close is typically 2 ticks higher" in result.check("bar_price_ticks").reason
    assert not_passed(result) == {"bar_price_ticks"}
    assert result.check("bar_price_ticks").verdict == "FAIL"


def test_volume_filtered_by_three_percent_is_found_in_the_bars_and_only_there() -> None:
    result = compare_bars(frame(), frame().assign(volume=frame()["volume"] * 0.97), 0.25, labels=("tastytrade", "ib"))
    assert result.check("bar_volume_pct").value == pytest.approx(3.0, rel=1e-6)
    assert result.check("bar_volume_pct").reason.startswith("ib has 3.00 % less volume in its bars than tastytrade")
    assert not_passed(result) == {"bar_volume_pct"}


def test_missing_and_double_bars_are_counted_by_side_and_named_by_their_start() -> None:
    a, b = frame(100).drop(frame(100).index[[7, 8]]), frame(100).drop(frame(100).index[50])
    result = compare_bars(a, pd.concat([b, b.iloc[[20]]]), 0.25)
    bars = result.facts["bars"]
    assert (bars["only"], bars["duplicates"], bars["matched"]) == ([1, 2], [0, 1], 97)
    assert [row["start_ns"] for row in bars["examples"]["only_b"]] == [frame(100).index[7].value, frame(100).index[8].value]
    assert result.check("bars_missing_pct").value == pytest.approx(3.0)
    assert result.check("bars_duplicate").verdict == "FAIL"


def test_bars_of_different_stretches_are_compared_where_both_have_some() -> None:
    result = compare_bars(frame(140), frame(140).iloc[40:], 0.25)
    assert result.facts["bars"]["outside"] == [40, 0]
    assert not_passed(result) == {"bars_outside_pct"}
    with pytest.raises(UsageError, match="no time in common"):
        compare_bars(frame(100).iloc[:40], frame(100).iloc[60:], 0.25)


def test_bars_without_prices_or_with_a_volume_that_is_not_known_are_left_out() -> None:
    a = frame(10)
    holes = a.astype(float)
    holes.iloc[3, :4] = np.nan
    holes["volume"] = -1.0  # what IB sends for MIDPOINT bars
    result = compare_bars(a, holes, 0.25)
    assert result.facts["bars"]["without_price"] == [0, 1]
    assert result.facts["bars"]["matched"] == 9
    assert "bar_volume_pct" not in {check.name for check in result.checks}


def test_live_bars_meet_by_their_start_and_a_revision_takes_the_place_of_what_it_revises() -> None:
    comparison = Comparison("/ESZ6", 0.25)
    for minute in range(10):
        comparison.add_bar(A, a_bar(minute, close=6000.0), 1_000_000 * minute + 1)
        comparison.add_bar(B, a_bar(minute, close=6000.25), 1_000_000 * minute + 5_000_001)
        comparison.add_bar(B, a_bar(minute, close=6000.0, revision=1), 1_000_000 * minute + 6_000_001)
    comparison.add_bar(B, a_bar(2, close=6000.0, revision=2), 99)
    bars = comparison.result().facts["bars"]
    assert (bars["matched"], bars["exact"], bars["duplicates"], bars["late"]) == (10, 10, [0, 0], [0, 1])
    assert bars["lead_ms_p50_p95"] == [6.0, 6.0]


def test_a_live_bar_that_only_one_side_has_is_missing_once_the_grace_is_over() -> None:
    comparison = Comparison("/ESZ6", 0.25)
    for minute in range(5):
        comparison.add_bar(A, a_bar(minute), 1)
    assert comparison.result().facts["bars"]["only"] == [4, 0]


# --- quotes


def test_quotes_are_compared_by_the_time_they_stand() -> None:
    # A stands at 6000.00/6000.25 all the time; B leaves for 6000.25/6000.75 from second 6 to second 8 of ten
    comparison = Comparison("/ESZ6", 0.25)
    for side, second, bid, ask in (
        (A, 0, 6000.0, 6000.25),
        (B, 0, 6000.0, 6000.25),
        (B, 6, 6000.25, 6000.75),
        (B, 8, 6000.0, 6000.25),
        (A, 10, 6000.0, 6000.25),
    ):
        comparison.add_quote(side, a_quote(bid, ask), 10**9 + second * 10**9)
    comparison.add_trades(A, HOUR)
    comparison.add_trades(B, HOUR)
    result = comparison.result()
    assert result.check("quotes_apart_pct").value == pytest.approx(20.0)
    assert result.facts["quotes"]["spread_ticks"] == pytest.approx([1.0, 1.2])
    assert result.facts["quotes"]["updates"] == [2, 3]


def test_a_quote_without_a_bid_is_no_price() -> None:
    comparison = Comparison("/ESZ6", 0.25)
    for side in (A, B):
        comparison.add_quote(side, a_quote(None, 6000.25), 1)
    comparison.add_quote(A, a_quote(None, 6000.25), 10**9 + 1)
    result = comparison.result()
    assert result.check("quotes_apart_pct").value == 0
    assert result.facts["quotes"]["spread_ticks"] == [None, None]
    assert "never had both sides bid and ask" in result.check("quotes_apart_pct").reason


def test_the_spread_is_that_of_the_time_in_which_all_four_prices_are_there() -> None:
    # both two ticks wide for 5 s, then B has no ask for 15 s
    comparison = Comparison("/ESZ6", 0.25)
    for side, second, ask in ((A, 0, 6000.5), (B, 0, 6000.5), (B, 5, None), (A, 20, 6000.5)):
        comparison.add_quote(side, a_quote(6000.0, ask), 10**9 + second * 10**9)
    result = comparison.result()
    assert result.facts["quotes"]["spread_ticks"] == [2.0, 2.0]
    assert result.check("quotes_apart_pct").value == pytest.approx(75.0)


def quoted(every_s: float, until_s: float, side: int, *, moves: bool = True) -> list[tuple[int, int, Quote]]:
    """Quotes of one side; of a market that moves, each a tick from the last one."""
    return [(10**9 + int(i * every_s * 1e9), side, a_quote(6000.0 + 0.25 * (moves and i % 2), 6001.0)) for i in range(int(until_s / every_s))]


def of_quotes(*feeds: list[tuple[int, int, Quote]]) -> Result:
    """The comparison of quotes beside like trades."""
    comparison = Comparison("/ESZ6", 0.25, ("ib", "tastytrade"))
    for at, side, quote in sorted((event for feed in feeds for event in feed), key=lambda event: event[:2]):
        comparison.add_quote(side, quote, at)
    return like_trades(comparison).result(is_over=True)


@pytest.mark.parametrize("moves", [True, False])
def test_a_feed_that_never_sends_a_quote_fails(moves: bool) -> None:
    result = of_quotes(quoted(1, 300, A, moves=moves))
    assert result.check("quotes_apart_pct").verdict == "FAIL"
    assert result.check("quotes_apart_pct").reason == "tastytrade never sent a quote while ib sent 300: a dead feed of quotes"


def test_quotes_that_stop_while_the_market_moves_fail_by_their_silence() -> None:
    result = of_quotes(quoted(1, 600, A), quoted(1, 540, B))  # the last minute of ten
    assert (result.check("quotes_silence_s").verdict, result.check("quotes_silence_s").value) == ("FAIL", 60.0)
    assert result.check("quotes_silence_s").reason == "tastytrade sent no quote for 60.0 s while those of ib changed"
    assert not_passed(result) == {"quotes_silence_s"}


def test_a_feed_that_repeats_a_quote_shows_no_silence_of_one_that_sends_changes_only() -> None:
    changes = [(at, B, quote) for at, _, quote in quoted(20, 300, A)]
    repeats = [(10**9 + second * 10**9, A, changes[second // 20][2]) for second in range(300)]
    assert of_quotes(repeats, changes).verdict == "PASS"


def test_like_quotes_that_come_in_bursts_are_not_silent() -> None:
    # what waits in a pipe comes late to the comparison and carries its own arrival
    comparison = Comparison("/ESZ6", 0.25)
    one, other = quoted(0.1, 60, A), quoted(0.1, 60, B)
    for at in range(0, 600, 100):
        for event in (*other[at : at + 100], *one[at : at + 100]):
            comparison.add_quote(event[1], event[2], event[0])
    checks = {check.name: check.value for check in comparison.result(is_over=True).checks}
    assert (checks["quotes_silence_s"], checks["quotes_apart_pct"]) == (0.0, 0.0)


def a_quote(bid: float | None, ask: float | None) -> Quote:
    return Quote(ES, 0, 0, bid, ask, 1.0, 1.0)


# --- verdicts


def test_events_of_a_side_are_counted_and_told() -> None:
    comparison = like_trades(Comparison("/ESZ6", 0.25, ("ib", "tastytrade")))
    comparison.note(B, "fault", "the process died: signal 9")
    result = comparison.result(is_over=True)
    assert not_passed(result) == {"faults"}
    assert result.check("faults").reason == "crashes, freezes and errors: 0 at ib, 1 at tastytrade"
    assert result.facts["health"]["events"][0]["text"] == "the process died: signal 9"


def test_nothing_on_either_side_is_no_pass() -> None:
    result = Comparison("/ESZ6", 0.25).result()
    assert (result.verdict, not_passed(result)) == ("WATCH", {"nothing_compared"})


def within(k: int, n: int, p: float) -> float:
    """The chance of at most k of n, each with the chance p."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(("name", "watch", "fail"), [("prints", "trade_volume_pct", 3), ("bars", "bars_missing_pct", 3), ("quotes", "quotes_apart_pct", 30)])
def test_from_enough_on_a_feed_as_wrong_as_fail_allows_passes_one_time_in_twenty_at_most(name: str, watch: str, fail: float) -> None:
    share, enough = LIMITS[f"{watch}_watch"] / 100, int(LIMITS[f"{name}_enough"])
    assert LIMITS[f"{watch}_fail"] == fail
    assert max(within(int(n * share + 1e-9), n, fail / 100) for n in range(enough, 1_500)) <= 0.05
    assert max(within(int(n * share + 1e-9), n, fail / 100) for n in range(max(enough - 10, 1), enough)) > 0.04  # and not far from the least


@pytest.mark.parametrize(("n", "verdict"), [(1, "WATCH"), (209, "WATCH"), (210, "PASS")])
def test_too_few_prints_are_no_pass_and_say_what_could_be_missing(n: int, verdict: str) -> None:
    result = compared(HOUR[:n], HOUR[:n])
    assert result.verdict == verdict
    if n == 1:  # of which 95 % are missing, one shows none one time in twenty
        assert result.check("too_few").reason == "too few to say: 1 of the 210 prints it takes, up to 95 % of them could be missing or wrong unseen"


@pytest.mark.parametrize(("n", "verdict"), [(1, "WATCH"), (99, "WATCH"), (100, "PASS")])
def test_too_few_bars_are_no_pass(n: int, verdict: str) -> None:
    assert compare_bars(frame(n), frame(n), 0.25).verdict == verdict


def test_few_of_one_kind_are_told_beside_enough_of_another() -> None:
    result = of_quotes(quoted(1, 3, A), quoted(1, 3, B))
    assert not_passed(result) == {"too_few"}
    assert "3 of the 15 quotes" in result.check("too_few").reason
    assert compared(HOUR[:5], HOUR[:5], limits={"prints_enough": 5}).verdict == "PASS"


def test_what_was_to_be_compared_and_came_from_nobody_is_no_pass() -> None:
    comparison = Comparison("/ESZ6", 0.25)
    for kind in ("trades", "quotes"):
        comparison.expect(kind)
    result = like_trades(comparison).result(is_over=True)
    assert not_passed(result) == {"not_compared"}
    assert result.check("not_compared").reason == "no quotes of both sides came: nothing is known of them"


def test_thresholds_decide_and_a_name_that_is_none_is_told_with_the_nearest() -> None:
    b = frame().assign(volume=frame()["volume"] * 0.97)
    for limits, verdict in (({"bar_volume_pct_watch": 4}, "PASS"), ({"bar_volume_pct_fail": 2}, "FAIL")):
        assert compare_bars(frame(), b, 0.25, limits=limits).verdict == verdict
    with pytest.raises(UsageError, match="did you mean 'bar_volume_pct_fail'"):
        thresholds({"bar_volume_fail": 2})
    with pytest.raises(UsageError, match="0 or more"):
        thresholds({"lag_ms_fail": float("nan")})
    with pytest.raises(UsageError, match="above"):
        thresholds({"lag_ms_fail": 10, "lag_ms_watch": 20})
    assert all(thresholds()[f"{name[:-6]}_watch"] <= thresholds()[f"{name[:-6]}_fail"] for name in LIMITS if name.endswith("_watch"))


def test_a_plot_of_minutes_has_volume_and_delta_of_both_sides() -> None:
    batch = a_batch(time_ns=opening() + np.arange(2) * 10**9, size=np.array([3.0, 1.0]), side=np.array([1, -1]))
    assert compared(batch, batch).facts["trades"]["recent"] == [[opening() // MINUTE_NS, 4, 4, 2, 2]]
