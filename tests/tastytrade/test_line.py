"""The gap of an outage: from the newest trade before it to the first after it, told once, and never shortened by a straggler."""

from __future__ import annotations

import pytest

from tastytrade_provider.model import Action, Gap, Roll, TradeBatch
from tastytrade_provider.provider import Subscription
from tastytrade_provider.tastytrade.intake import Intake
from tastytrade_provider.tastytrade.line import Line, TradeSubscription
from tastytrade_provider.tastytrade.quotes import LastTrade
from tastytrade_provider.tastytrade.rung import Rung
from tests.checks.builders import ES, a_batch, opening

S = 10**9
T = opening()


def a_line(listeners: int = 1) -> Line:
    line = Line(ES, Intake())
    for _ in range(listeners):
        line.join(Subscription(ES), T)
    return line


def trades(*at_s: float, action: Action = Action.NEW, first: int | None = None) -> TradeBatch:
    """A trade at each second after the opening, received a tenth of a second later; its index is its tenth of a second."""
    time_ns = [T + int(s * S) for s in at_s]
    index = [int(s * 10) for s in at_s] if first is None else list(range(first, first + len(at_s)))
    return a_batch(time_ns=time_ns, received_ns=[t + S // 10 for t in time_ns], index=index, action=[int(action)] * len(at_s), price=[6000.0] * len(at_s))


def test_the_first_trade_after_an_outage_ends_the_gap_and_comes_after_it() -> None:
    line = a_line()
    line.take(trades(1, 2))
    line.broke()
    gap, batch = line.take(trades(9, 10))
    assert gap == Gap(ES, T + 2 * S, T + 9 * S + 1, "connection lost")
    assert isinstance(batch, TradeBatch)
    assert len(line.take(trades(11))) == 1


def test_a_correction_of_an_earlier_trade_does_not_end_the_gap() -> None:
    line = a_line()
    line.take(trades(1, 2))
    line.broke()
    [correction] = line.take(trades(1, action=Action.CORRECTION))
    assert isinstance(correction, TradeBatch)
    gap, _ = line.take(trades(9))
    assert gap == Gap(ES, T + 2 * S, T + 9 * S + 1, "connection lost")


def test_a_line_says_whether_trades_came_since_it_was_last_asked() -> None:
    line = a_line()
    assert not line.is_fed()
    line.take(trades(1, 2))
    assert [line.is_fed(), line.is_fed()] == [True, False]


def a_last_trade(at_s: float, day_volume: float) -> LastTrade:
    time_ns = T + int(at_s * S)
    return LastTrade(ES, time_ns, time_ns + S // 10, 6000.0, 1.0, None, 1, day_volume, None, None, False)


@pytest.mark.parametrize("between", ["time and sale", "an outage", "nobody listened"])
def test_what_traded_while_nobody_asked_for_last_trades_is_not_one_large_trade_when_they_are_asked_for_again(between: str) -> None:
    line, listener = Line(ES, Intake(), Rung("auto", 0.0)), Subscription[TradeBatch | Gap | Roll](ES)
    line.join(listener, T)
    line.rung.put("time_and_sale", listens=True)
    line.substitute(a_last_trade(1, 100.0), 1.0)
    if between == "time and sale":
        line.hear(trades(2), 2.0)
        assert not line.rung.listens
    elif between == "an outage":
        line.broke()
    else:
        line.leave(listener)
        line.join(listener, T + 5 * S)
    line.rung.put("quote_trade", listens=True)
    assert line.substitute(a_last_trade(60, 5000.0), 60.0) == []  # where the day stands now
    *_, batch = line.substitute(a_last_trade(61, 5003.0), 61.0)
    assert isinstance(batch, TradeBatch)
    assert batch.size.tolist() == [3.0]


def test_where_time_and_sale_takes_over_what_happened_between_the_two_is_a_gap() -> None:
    line = Line(ES, Intake(), Rung("auto", 0.0))
    line.join(Subscription(ES), T)
    line.rung.put("quote_trade", listens=True)
    line.substitute(a_last_trade(1, 100.0), 1.0)
    [made] = line.substitute(a_last_trade(2, 103.0), 2.0)
    assert isinstance(made, TradeBatch)
    gap, told = line.hear(trades(1, 2, 3, 4), 4.0)
    assert gap == Gap(ES, T + 2 * S, T + 3 * S + 1, "no time_and_sale")
    assert isinstance(told, TradeBatch)
    assert [(at - T) / S for at in told.time_ns.tolist()] == [3, 4]  # the first two are in what was made


def test_a_withdrawal_with_which_time_and_sale_takes_over_is_handed_over() -> None:
    line = Line(ES, Intake(), Rung("auto", 0.0))
    line.join(Subscription(ES), T)
    line.hear(trades(1), 1.0)
    line.rung.put("quote_trade", listens=True)
    line.substitute(a_last_trade(2, 100.0), 2.0)
    line.substitute(a_last_trade(3, 103.0), 3.0)
    told = [item for item in line.hear(trades(1, action=Action.CANCEL), 4.0) if isinstance(item, TradeBatch)]
    assert [(batch.index.tolist(), batch.action.tolist()) for batch in told] == [([10], [Action.CANCEL])]


def test_two_outages_without_a_trade_between_are_one_gap() -> None:
    line = a_line()
    line.take(trades(1))
    line.broke()
    line.broke()
    gap, _ = line.take(trades(20))
    assert gap == Gap(ES, T + 1 * S, T + 20 * S + 1, "connection lost")


def test_without_a_trade_the_exchanges_clock_ends_the_gap() -> None:
    line = a_line()
    line.take(trades(5))  # received at 5.1 s of our clock
    line.broke()
    assert line.silent(T + 15 * S + S // 10) == Gap(ES, T + 5 * S, T + 16 * S, "connection lost")  # and the quickest message may take a second
    assert line.silent(T + 16 * S) is None
    assert len(line.take(trades(30))) == 1


def test_a_trade_that_came_late_does_not_make_the_gap_shorter() -> None:
    line = a_line()
    line.take(trades(5))  # a tenth of a second on its way
    slow = trades(6)
    line.take(slow.replace(received_ns=slow.time_ns + 3 * S))
    line.broke()
    assert line.silent(T + 15 * S + S // 10) == Gap(ES, T + 6 * S, T + 16 * S, "connection lost")


def test_an_outage_before_the_first_trade_is_a_gap_from_the_subscription_on() -> None:
    line = a_line()  # since T
    line.broke()
    gap, _ = line.take(trades(9))  # received 9.1 s after the subscription
    assert gap == Gap(ES, T - S // 10, T + 9 * S + 1, "connection lost")
    quiet = a_line()
    quiet.broke()
    assert quiet.silent(T + 4 * S) == Gap(ES, T, T + 5 * S, "connection lost")


def test_nobody_is_told_of_an_outage_in_which_nobody_listened() -> None:
    line = a_line(listeners=0)
    line.broke()
    line.join(Subscription(ES), T)
    assert len(line.take(trades(9))) == 1


def test_the_minute_in_which_the_listeners_were_ended_and_the_one_in_which_one_comes_again_are_not_whole() -> None:
    line = a_line()
    for item in line.hear(trades(-1, 1, 61, 70), 0.0):
        line.put(item)
    line.end(None)
    line.join(Subscription(ES), T + 100 * S)
    for item in line.hear(trades(110, 130, 181), 0.0):
        line.put(item)
    assert [(start - T) // S for start in line.minutes.whole()] == [0, 120]


def test_only_the_first_listener_and_the_last_concern_the_feed() -> None:
    line = a_line(listeners=0)
    one: TradeSubscription = Subscription(ES)
    other: TradeSubscription = Subscription(ES)
    assert [line.join(one, T), line.join(other, T)] == [True, False]
    assert [line.leave(one), line.leave(one), line.leave(other)] == [False, False, True]


def test_fetched_trades_come_before_those_that_waited_and_the_gap_is_filled() -> None:
    line = a_line()
    line.take(trades(1, 2))
    line.broke()
    line.hold()
    assert line.take(trades(9, 10)) == []
    fetched, gap, waited = line.refill(trades(2, 4, 6, 9), None)  # the feed answers from the last known trade on
    assert isinstance(fetched, TradeBatch)
    assert isinstance(waited, TradeBatch)
    assert fetched.index.tolist() + waited.index.tolist() == [40, 60, 90, 100]
    assert gap == Gap(ES, T + 2 * S, T + 9 * S + 1, "connection lost", filled=True)
    assert len(line.take(trades(12))) == 1


def test_where_the_feed_does_not_go_back_far_enough_the_rest_of_the_gap_stays() -> None:
    line = a_line()
    line.take(trades(1))
    line.broke()
    line.hold()
    gap, fetched, filled = line.refill(trades(5, 6), T + 5 * S)
    assert gap == Gap(ES, T + 1 * S, T + 5 * S + 1, "connection lost")
    assert isinstance(fetched, TradeBatch)
    assert filled == Gap(ES, T + 5 * S, T + 6 * S + 1, "connection lost", filled=True)


def test_what_could_not_be_fetched_is_a_gap_and_what_waited_comes_after_it() -> None:
    line = a_line()
    line.take(trades(1))
    line.broke()
    line.hold()
    line.take(trades(9))
    assert line.silent(T + 20 * S) is None  # it waits still
    gap, waited = line.release()
    assert gap == Gap(ES, T + 1 * S, T + 9 * S + 1, "connection lost")
    assert isinstance(waited, TradeBatch)


def test_an_outage_before_the_first_trade_has_nothing_to_be_fetched_from() -> None:
    line = a_line()
    line.broke()
    line.hold()
    assert not line.is_held


def test_an_outage_while_trades_wait_for_a_refill_in_vain_is_a_gap_of_its_own() -> None:
    line = a_line()
    line.take(trades(1))
    line.broke()
    line.hold()
    line.take(trades(5, 6))
    line.broke()  # again, before the answer
    line.take(trades(9))
    items = line.release()
    assert [item for item in items if isinstance(item, Gap)] == [
        Gap(ES, T + 1 * S, T + 5 * S + 1, "connection lost"),
        Gap(ES, T + 6 * S, T + 9 * S + 1, "connection lost"),
    ]
    assert [len(item) for item in items if isinstance(item, TradeBatch)] == [2, 1]


def test_a_correction_of_an_earlier_trade_says_nothing_about_the_exchanges_clock() -> None:
    line = a_line()
    line.take(trades(5))  # received at 5.1 s of our clock
    correction = trades(5, action=Action.CORRECTION)
    line.take(correction.replace(received_ns=correction.received_ns + 30 * S))
    line.broke()
    assert line.silent(T + 50 * S + S // 10) == Gap(ES, T + 5 * S, T + 51 * S, "connection lost")


def test_trades_that_were_fetched_say_nothing_about_the_exchanges_clock() -> None:
    line = a_line()
    line.take(trades(5))
    line.broke()
    line.hold()
    line.refill(trades(5, 7), None)  # the answer comes much later than the trade at 7 s was made
    line.broke()
    assert line.silent(T + 50 * S + S // 10) == Gap(ES, T + 7 * S, T + 51 * S, "connection lost")


def test_what_waits_for_a_refill_is_not_for_those_who_come_after_all_have_left() -> None:
    line = a_line(listeners=0)
    first: TradeSubscription = Subscription(ES)
    line.join(first, T)
    line.take(trades(1))
    line.broke()
    line.hold()
    line.take(trades(5))
    line.leave(first)
    line.join(Subscription(ES), T + 6 * S)
    assert not line.is_held
    assert line.refill(trades(1, 3, 5), None) == []  # the answer to what was asked for the first
    assert [len(item) for item in line.take(trades(7)) if isinstance(item, TradeBatch)] == [1]


def test_a_history_that_knows_the_last_trade_more_exactly_than_it_was_told_live_is_one() -> None:
    line = a_line()
    line.take(trades(1))
    line.broke()
    line.hold()
    exact = trades(1, 2)
    [fetched, gap] = line.refill(exact.replace(time_ns=exact.time_ns + 151_060), None)  # live, the nanoseconds were left out
    assert isinstance(fetched, TradeBatch)
    assert fetched.index.tolist() == [20]
    assert isinstance(gap, Gap)
    assert gap.filled


def test_a_refill_brings_nothing_from_before_the_subscription() -> None:
    line = a_line()
    line.take(trades(5, 6))
    line.broke()
    line.hold()
    items = line.refill(trades(1, 2, 5, 6, 7), None)  # asked from a little before, should the last messages not have come in order
    [fetched] = [item for item in items if isinstance(item, TradeBatch)]
    assert fetched.time_ns.tolist() == [T + 7 * S]
