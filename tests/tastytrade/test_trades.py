"""What an outage cost is asked for: from how far back, and what an empty answer means."""

from __future__ import annotations

from typing import Any

from tastytrade_provider.model import Contract, Gap, TradeBatch
from tastytrade_provider.sessions import session_at
from tastytrade_provider.settings import TastytradeSettings
from tastytrade_provider.tastytrade.history import Refill
from tastytrade_provider.tastytrade.trades import Trades
from tests.checks.builders import ES, a_batch, opening

S = 10**9
T = opening() + 3600 * S


def trades(*at_s: float) -> TradeBatch:
    time_ns = [T + int(s * S) for s in at_s]
    return a_batch(time_ns=time_ns, received_ns=time_ns, index=[int(s * 10) for s in at_s], price=[6000.0] * len(at_s))


async def refilled(*history: TradeBatch) -> tuple[list[Any], list[int]]:
    """What a listener is told after an outage at 100 s, and from where on the feed's history was asked: it answers with these, one after the other."""
    asked, answers, items = list[int](), list(history), list[Any]()

    async def refill(contract: Contract, start_ns: int, end_ns: None) -> Refill:
        asked.append(start_ns)
        return Refill(answers.pop(0), None, b"")

    every = Trades(TastytradeSettings(), {}, lambda: [], refill, items.append, wait=False)
    every.subscribe(ES).on(items.append)
    [line] = every.lines.values()
    every.hand_over(line, line.hear(trades(100), 0.0))
    every.lost()
    await every._refill(line)
    every.tell_gaps()  # where no trade has ended it
    await every.stop()
    return items[1:], asked


async def test_an_outage_is_asked_for_from_a_minute_before_its_begin() -> None:
    (batch, gap), asked = await refilled(trades(100, 101, 102))
    assert asked == [T + 40 * S]
    assert (batch.time_ns.tolist(), gap.filled) == ([T + 101 * S, T + 102 * S], True)


async def test_where_every_trade_of_that_minute_was_cancelled_since_those_of_the_session_show_that_there_is_a_history() -> None:
    (batch, gap), asked = await refilled(trades(101), trades(30, 101))
    assert asked == [T + 40 * S, session_at(ES.calendar, T).open_ns]
    assert (batch.time_ns.tolist(), gap.filled) == ([T + 101 * S], True)


async def test_where_the_session_has_none_either_there_is_no_history_and_the_gap_stays() -> None:
    [gap], asked = await refilled(trades(), trades())
    assert len(asked) == 2
    assert isinstance(gap, Gap)
    assert (gap.start_ns, gap.filled) == (T + 100 * S, False)
