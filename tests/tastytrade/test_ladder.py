"""Which delta a login can have, how bad ticks are told, and trades out of conflated events."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.model import Action, Quote, TradeFlag
from tastytrade_provider.tastytrade.fallback import FallbackTrades
from tastytrade_provider.tastytrade.ladder import MINUTE_NS, Observation, Seen, TickQuality, Verdict, decide
from tastytrade_provider.tastytrade.quotes import LastTrade
from tests.checks.builders import ES, a_batch, opening

SECOND = 10**9
ALL = {"TimeAndSale": Seen(100, with_side=100, valid_tick=100), "Candle": Seen(9), "Trade": Seen(40), "Quote": Seen(300)}


def seen(*kinds: str, **more: Any) -> Observation:
    given: dict[str, Any] = {"is_open": True, "token_level": "api", "events": {kind: ALL[kind] for kind in kinds}} | more
    return Observation(ES, 60.0, **given)


def judged(verdict: Verdict) -> tuple[str | None, int]:
    return verdict.delta_source, verdict.exit_code


# -- the ladder


def test_time_and_sale_is_taken_where_it_comes_and_there_is_nothing_to_do() -> None:
    verdict = decide(seen("TimeAndSale", "Candle", "Trade", "Quote", candle_sign="agrees", history=True))
    assert judged(verdict) == ("time_and_sale", 0)
    assert verdict.text.endswith("\nNothing to do.")


@pytest.mark.parametrize(
    ("kinds", "sign", "expected", "said"),
    [
        (("Candle", "Trade", "Quote"), "agrees", ("candle", 1), "no TimeAndSale came in 60 s"),
        (("Candle", "Trade", "Quote"), "untested", ("quote_trade", 1), "could not be checked against the quote rule"),
        (("Candle", "Trade", "Quote"), "contradicts", ("quote_trade", 1), "contradicts the quote rule"),
        (("Trade", "Quote"), "agrees", ("quote_trade", 1), "no Candle came in 60 s"),
        (("Trade",), "untested", ("tick_rule", 1), "no Quote came in 60 s"),
        (("Quote",), "untested", (None, 2), "no Trade came in 60 s"),
        (("Candle", "Quote"), "contradicts", (None, 2), "contradicts"),
        ((), "untested", (None, 2), "no TimeAndSale came in 60 s; no Candle came in 60 s; no Trade came in 60 s"),
    ],
)
def test_each_rung_is_taken_where_nothing_speaks_against_it_and_the_reason_says_what_spoke_against_better_ones(
    kinds: tuple[str, ...], sign: Any, expected: tuple[str | None, int], said: str
) -> None:
    verdict = decide(seen(*kinds, candle_sign=sign))
    assert judged(verdict) == expected
    assert said in verdict.reason


def test_without_time_and_sale_the_user_is_told_whom_to_write_to_and_what() -> None:
    text = decide(seen("Trade", "Quote")).text
    assert "With 'tastytrade.delta_source: auto' the provider uses quote_trade" in text
    assert "write to TastyTrade's API support" in text
    assert "streams /ESZ26:XCME over DXLink with a token of /api-quote-tokens (level api)" in text
    assert "in 60 s of open market: TimeAndSale 0, Candle 0, Trade 40, Quote 300." in text
    assert "whether TimeAndSale for CME futures can be enabled" in text


def test_what_the_server_said_is_passed_on() -> None:
    verdict = decide(seen("Trade", events={"Trade": Seen(3), "TimeAndSale": Seen(refused="not entitled")}))
    assert "TimeAndSale was refused: not entitled" in verdict.reason
    assert "The server answered: not entitled." in verdict.text


@pytest.mark.parametrize("kinds", [(), ("Trade", "Quote")])
def test_in_a_closed_market_silence_proves_nothing_and_nobody_is_written_to(kinds: tuple[str, ...]) -> None:
    text = decide(seen(*kinds, is_open=False)).text
    assert "run this again while it is open" in text
    assert "API support" not in text


def test_rows_that_only_we_cannot_read_are_reported_to_us_and_not_to_tastytrade() -> None:
    verdict = decide(seen(events={"TimeAndSale": Seen(rejected=7), "Trade": Seen(3)}))
    assert judged(verdict) == ("tick_rule", 1)
    assert "no row of TimeAndSale could be read, 7 came in 60 s" in verdict.reason
    assert "Rows that could not be read: TimeAndSale 7." in verdict.text
    assert "API support" not in verdict.text


@pytest.mark.parametrize(("valid", "named"), [(95, False), (94, True), (0, True)])
def test_more_than_five_percent_of_invalid_ticks_name_the_switch(valid: int, named: bool) -> None:
    events = {"TimeAndSale": Seen(100, with_side=100, valid_tick=valid)}
    verdict = decide(seen(events=events))
    assert judged(verdict) == ("time_and_sale", 0)
    assert ("tastytrade.invalid_ticks: include" in verdict.text) == named
    assert "tastytrade.invalid_ticks: include" not in decide(seen(events=events, invalid_ticks="include")).text


def test_everything_else_that_matters_about_time_and_sale_is_said() -> None:
    events = {"TimeAndSale": Seen(100, rejected=2, with_side=49, valid_tick=100, spread_legs=3, latency_p50_ms=900_000.0, latency_p95_ms=901_000.0)}
    text = decide(seen(events=events, token_level="demo", history=False)).text
    for said in (
        "level 'demo', whose data is delayed", "came 900 s late", "TimeAndSale 2.", "Only 49 of 100 prints have a side", "3 prints are legs of spread trades",
        "missed trades stay a gap",
    ):  # fmt: skip
        assert said in text
    assert "Nothing to do" not in text


# -- the quality of ticks


def prints(valid: int, invalid: int, **more: Any) -> Any:
    return a_batch(flags=[int(TradeFlag.VALID_TICK)] * valid + [0] * invalid, **more)


def test_a_minute_with_more_than_five_percent_of_invalid_ticks_degrades_once_it_is_over() -> None:
    quality, minute = TickQuality(), opening()
    quality.add(prints(94, 5), minute + SECOND)
    quality.add(prints(0, 1), minute + 59 * SECOND)
    assert (quality.advance(minute + MINUTE_NS - 1), quality.degraded, quality.note) == (False, False, None)
    assert (quality.advance(minute + MINUTE_NS), quality.degraded) == (True, True)
    assert quality.note == "6 of 100 prints in a minute had validTick=false and were left out of delta; 'tastytrade.invalid_ticks: include' counts them"


def test_exactly_five_percent_is_no_reason() -> None:
    quality = TickQuality()
    quality.add(prints(95, 5), opening())
    quality.advance(opening() + MINUTE_NS)
    assert (quality.degraded, quality.prints, quality.invalid) == (False, 100, 5)


def test_a_good_minute_ends_it_and_a_silent_one_does_not() -> None:
    quality, minute = TickQuality(), opening()
    quality.add(prints(0, 1), minute)
    assert quality.advance(minute + MINUTE_NS)
    assert not quality.advance(minute + 5 * MINUTE_NS)
    assert quality.degraded
    quality.add(prints(1, 0), minute + 5 * MINUTE_NS)
    assert quality.degraded
    quality.add(prints(0, 1), minute + 6 * MINUTE_NS)  # ends the good minute by itself
    assert (quality.degraded, quality.note) == (False, None)


def test_where_invalid_ticks_are_included_nothing_is_left_out_and_nothing_degrades() -> None:
    quality = TickQuality("include")
    quality.add(prints(0, 9), opening())
    assert not quality.advance(opening() + MINUTE_NS)
    assert (quality.degraded, quality.invalid) == (False, 9)


def test_cancels_and_corrections_are_no_prints() -> None:
    quality = TickQuality()
    quality.add(prints(0, 2, action=[int(Action.CANCEL), int(Action.CORRECTION)]), opening())
    quality.add(prints(1, 0), opening())
    quality.advance(opening() + MINUTE_NS)
    assert (quality.prints, quality.invalid) == (1, 0)


# -- trades out of conflated events


def quote(bid: float | None, ask: float | None) -> Quote:
    return Quote(ES, opening(), opening(), bid, ask, 1.0, 1.0)


def last(volume: float | None, price: float | None = 6000.0, *, at_ns: int = opening(), day: int | None = 20780, turnover: float | None = 1.0) -> LastTrade:
    return LastTrade(ES, at_ns, at_ns + 5, price, 1.0, None, day, volume, turnover, None, False)


def rows(batch: Any) -> list[tuple[float, float, int, int]]:
    """Price, size, side, source of each trade."""
    return [] if batch is None else [(t.price, t.size, int(t.side), int(t.side_source)) for t in batch]


QUOTE_RULE, TICK_RULE, NOWHERE = 1, 2, 3


def test_volume_is_what_the_day_gained_and_the_side_is_the_quotes_it_touched() -> None:
    trades = FallbackTrades(ES)
    batch = trades.take([last(100), quote(6000.0, 6000.25), last(103, 6000.25), last(105, 6000.0), last(105, 6000.0)])
    # 103 - 100 at the ask, 105 - 103 at the bid; the event said twice trades nothing
    assert rows(batch) == [(6000.25, 3.0, 1, QUOTE_RULE), (6000.0, 2.0, -1, QUOTE_RULE)]
    assert batch is not None
    assert (batch.bid.tolist(), batch.ask.tolist(), batch.index.tolist()) == ([6000.0] * 2, [6000.25] * 2, [-1, -1])
    assert (batch.time_ns.tolist(), batch.received_ns.tolist()) == ([opening()] * 2, [opening() + 5] * 2)


def test_inside_the_quote_the_tick_rule_answers_and_before_any_direction_nobody() -> None:
    events: list[Quote | LastTrade] = [
        last(0),
        quote(6000.0, 6000.5),
        last(1, 6000.25),
        last(2, 6000.5),
        quote(6000.0, 6001.0),
        last(3, 6000.75),
        last(4, 6000.5),
    ]
    assert rows(FallbackTrades(ES).take(events)) == [
        (6000.25, 1.0, 0, NOWHERE), (6000.5, 1.0, 1, QUOTE_RULE), (6000.75, 1.0, 1, TICK_RULE), (6000.5, 1.0, -1, TICK_RULE),
    ]  # fmt: skip


@pytest.mark.parametrize("one_sided", [quote(None, 6000.25), quote(6000.0, None), quote(6000.5, 6000.25)])
def test_a_one_sided_or_crossed_quote_leaves_it_to_the_tick_rule(one_sided: Quote) -> None:
    assert rows(FallbackTrades(ES).take([last(0), last(1, 6000.0), one_sided, last(2, 6000.25)]))[1] == (6000.25, 1.0, 1, TICK_RULE)


def test_the_tick_rule_source_looks_at_no_quote() -> None:
    batch = FallbackTrades(ES, "tick_rule").take([last(0), last(1, 6000.0), quote(6000.25, 6000.5), last(2, 6000.25), last(4, 6000.25)])
    assert rows(batch) == [(6000.0, 1.0, 0, NOWHERE), (6000.25, 1.0, 1, TICK_RULE), (6000.25, 2.0, 1, TICK_RULE)]
    assert batch is not None
    assert all(math.isnan(bid) for bid in batch.bid)


def test_standing_and_quote_are_carried_from_batch_to_batch() -> None:
    trades = FallbackTrades(ES)
    assert trades.take([last(100), quote(6000.0, 6000.25)]) is None
    assert rows(trades.take([last(101, 6000.25)])) == [(6000.25, 1.0, 1, QUOTE_RULE)]
    assert trades.take([]) is None


def test_at_the_daily_reset_volume_begins_at_zero_again() -> None:
    trades = FallbackTrades(ES)
    evening = opening() + 8 * 3600 * SECOND  # 22:30 UTC, 16:30 in Chicago: the halt
    events = [last(900), last(0, at_ns=opening(), turnover=None), last(4, 6000.25, at_ns=evening + 3600 * SECOND, day=20781)]
    assert [size for _, size, _, _ in rows(trades.take(events))] == [4.0]
    assert (trades.resets, trades.corrections) == (1, 0)


@pytest.mark.parametrize("evidence", ["day", "session"])
def test_a_reset_whose_event_was_conflated_away_is_known_by_the_feeds_day_or_by_our_session(evidence: str) -> None:
    trades = FallbackTrades(ES)
    next_session = opening() + 9 * 3600 * SECOND  # 23:30 UTC, after the open at 17:00 in Chicago
    first = last(7, at_ns=next_session, day=None) if evidence == "session" else last(7, day=20781)
    assert [size for _, size, _, _ in rows(trades.take([last(900), first, last(9)]))] == [7.0, 2.0]
    assert (trades.resets, trades.corrections) == (1, 0)


def test_a_feeds_day_that_changes_while_volume_goes_on_is_no_reset() -> None:
    trades = FallbackTrades(ES)
    assert [size for _, size, _, _ in rows(trades.take([last(900, day=20780), last(903, day=20781)]))] == [3.0]
    assert trades.resets == 0


@pytest.mark.parametrize("lower", [90.0, 0.0])
def test_a_fall_inside_the_day_is_counted_and_volume_counts_again_from_the_former_high(lower: float) -> None:
    trades = FallbackTrades(ES)
    sizes = [size for _, size, _, _ in rows(trades.take([last(80), last(100), last(lower), last(95), last(104)]))]
    # 20 up to 100, nothing below it, then 4: together 24, which is 104 - 80
    assert sizes == [20.0, 4.0]
    assert (trades.corrections, trades.resets) == (2, 0)


def test_an_event_without_volume_or_price_is_counted_and_its_volume_comes_with_the_next() -> None:
    trades = FallbackTrades(ES)
    batch = trades.take([last(None), last(10), last(None), last(12, None), last(15, 6000.5)])
    assert rows(batch) == [(6000.5, 5.0, 0, NOWHERE)]
    assert trades.unusable == 3


def test_after_a_broken_connection_what_was_missed_is_no_trade_and_the_old_quote_is_not_trusted() -> None:
    trades = FallbackTrades(ES)
    trades.take([quote(6000.0, 6000.25), last(100), last(101, 6000.0)])
    trades.broke()
    assert trades.take([last(500, 6000.25)]) is None
    # up from 6000.0, the last trade before: the tick rule remembers prices, not volume
    assert rows(trades.take([last(502, 6000.25)])) == [(6000.25, 2.0, 1, TICK_RULE)]


def test_trades_outside_regular_hours_keep_their_mark() -> None:
    late = LastTrade(ES, opening(), opening(), 6000.0, 1.0, None, 20780, 12.0, 1.0, None, True)
    batch = FallbackTrades(ES).take([last(10), late])
    assert batch is not None
    assert batch.flags.tolist() == [TradeFlag.VALID_TICK | TradeFlag.EXTENDED_HOURS]


@pytest.mark.property
@given(volumes=st.lists(st.integers(0, 1000), min_size=1, max_size=40), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_inside_a_day_volumes_add_up_to_the_days_gain_however_events_are_batched(volumes: list[int], cuts: list[int]) -> None:
    trades = FallbackTrades(ES)
    edges = sorted({0, len(volumes), *(cut for cut in cuts if cut < len(volumes))})
    batches = [trades.take([last(volume) for volume in volumes[a:b]]) for a, b in itertools.pairwise(edges)]
    total = sum(float(batch.size.sum()) for batch in batches if batch is not None)
    assert total == max(volumes) - volumes[0]
