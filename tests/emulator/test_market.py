from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from tastytrade_provider.emulator import Market, Oddities, Print, QuoteChange
from tastytrade_provider.emulator.source import Reel
from tastytrade_provider.errors import UnknownContract, UsageError
from tastytrade_provider.model import Action
from tastytrade_provider.sessions import sessions_between

HOUR_NS = 3_600_000_000_000
MONDAY_OPEN_NS = 1_772_461_800_000_000_000  # 2026-03-02 08:30 Chicago


def first(market: Market, n: int = 3000) -> list[Print | QuoteChange]:
    return list(itertools.islice(market, n))


def prints(events: list[Print | QuoteChange]) -> list[Print]:
    return [event for event in events if isinstance(event, Print)]


def test_the_same_seed_and_start_make_the_same_market() -> None:
    assert first(Market(seed=7)) == first(Market(seed=7))
    assert first(Market(seed=7)) != first(Market(seed=8))
    assert first(Market(seed=7)) != first(Market(seed=7, start_ns=MONDAY_OPEN_NS + HOUR_NS))


@pytest.mark.parametrize("poll_seed", [1, 2, 3])
def test_a_market_does_not_depend_on_how_it_is_polled(poll_seed: int) -> None:
    whole = first(Market(seed=7), 2000)
    chance = random.Random(poll_seed)
    reel, polled, now_ns = Reel(Market(seed=7)), [], MONDAY_OPEN_NS
    while len(polled) < 2000:
        now_ns += chance.randrange(10**9)
        polled += reel.take_until(now_ns, chance.choice([None, 1, 7]))
    assert polled[:2000] == whole


def test_a_contract_trades_alike_whoever_trades_beside_it() -> None:
    alone = prints(first(Market(seed=7, roots=["ES"]), 500))
    among = [event for event in prints(first(Market(seed=7), 4000)) if event.contract.root == "ES"]
    assert among[: len(alone)] == alone


def test_events_come_in_order_of_time_and_indexes_ascend_without_a_repeat() -> None:
    events = first(Market(seed=3), 20_000)
    assert all(a.at_ns <= b.at_ns for a, b in itertools.pairwise(events))
    for root in ("ES", "NQ", "GC"):
        indexes = [event.index for event in prints(events) if event.contract.root == root]
        assert all(a < b for a, b in itertools.pairwise(indexes))


def test_sweeps_are_prints_of_one_moment_and_side_with_consecutive_sequences() -> None:
    es = prints(first(Market(seed=3, roots=["ES"]), 20_000))
    sweeps = [list(group) for _, group in itertools.groupby(es, lambda event: event.time_ns)]
    large = [sweep for sweep in sweeps if len({event.price for event in sweep}) > 1]
    assert len(large) > 20
    assert all(len({event.side for event in sweep}) == 1 for sweep in large)
    assert all(b.index - a.index == 1 for sweep in sweeps for a, b in itertools.pairwise(sweep))


def test_prices_lie_on_the_grid_and_sizes_are_whole_lots() -> None:
    for event in prints(first(Market(seed=3), 20_000)):
        contract = event.contract
        assert contract.price(contract.ticks(event.price)) == event.price
        assert event.size >= 1
        assert event.size.is_integer()


def test_spreads_are_mostly_one_tick_and_sometimes_wider() -> None:
    quotes = [event for event in first(Market(seed=3), 20_000) if isinstance(event, QuoteChange)]
    ticks = np.array([round((event.ask - event.bid) / event.contract.tick_size) for event in quotes])
    assert ticks.min() == 1
    assert 0.6 < (ticks == 1).mean() < 0.98


def test_nobody_trades_in_the_halt_and_the_reopening_is_an_auction_with_crossed_quotes() -> None:
    market = Market(seed=5, start_ns=MONDAY_OPEN_NS + 7 * HOUR_NS + HOUR_NS // 4, roots=["ES"])  # 15:45 Chicago
    es = prints(first(market, 20_000))
    table = sessions_between("CME Globex Equity", MONDAY_OPEN_NS, MONDAY_OPEN_NS)
    halt = int(table.close_ns[1]), int(table.open_ns[2])
    assert es[0].time_ns < halt[0]
    assert not [event for event in es if halt[0] <= event.time_ns < halt[1]]
    auction = next(event for event in es if event.time_ns >= halt[1])
    assert (auction.time_ns, auction.side.name, auction.bid > auction.ask) == (halt[1], "UNKNOWN", True)


def test_activity_is_u_shaped_over_regular_hours_and_thin_overnight() -> None:
    def per_hour(start_ns: int) -> int:
        reel = Reel(Market(seed=5, start_ns=start_ns, roots=["ES"]))
        return len(prints(reel.take_until(start_ns + HOUR_NS // 6)))

    opening, noon, night = (per_hour(MONDAY_OPEN_NS + hours * HOUR_NS) for hours in (0, 3, 12))
    assert opening > 1.5 * noon > 1.5 * 1.5 * night


def test_the_mean_rate_over_a_session_is_what_was_asked() -> None:
    table = sessions_between("CME Globex Equity", MONDAY_OPEN_NS, MONDAY_OPEN_NS)
    start, end = int(table.open_ns[1]), int(table.close_ns[1])
    found = prints(Reel(Market(seed=5, start_ns=start, roots=["ES"], prints_per_s=0.5)).take_until(end))
    assert len(found) / ((end - start) / 1e9) == pytest.approx(0.5, rel=0.15)


def test_without_oddities_every_print_is_plain() -> None:
    found = prints(first(Market(seed=3), 5000))
    assert all(event.valid_tick and not event.spread_leg and event.action is Action.NEW for event in found)
    assert not any(np.isnan([event.bid, event.ask]).any() for event in found)
    assert {event.side.name for event in found} == {"BUY", "SELL", "UNKNOWN"}


def test_oddities_come_in_the_share_asked_and_leave_the_rest_as_it_was() -> None:
    odd = Oddities(nan_quote=0.1, invalid_tick=0.2, spread_leg=0.1, fractional=0.05)
    plain, strange = prints(first(Market(seed=3), 20_000)), prints(first(Market(seed=3, oddities=odd), 20_000))
    assert [(a.index, a.price, a.side) for a in plain] == [(b.index, b.price, b.side) for b in strange]
    shares = {
        "nan": np.mean([np.isnan(b.bid) or np.isnan(b.ask) for b in strange]),
        "invalid": np.mean([not b.valid_tick for b in strange]),
        "leg": np.mean([b.spread_leg for b in strange]),
        "fraction": np.mean([not b.size.is_integer() for b in strange]),
    }
    assert shares == pytest.approx({"nan": 0.1, "invalid": 0.2, "leg": 0.1, "fraction": 0.05}, abs=0.02)


def test_a_correction_or_cancel_carries_the_index_of_an_earlier_print() -> None:
    found = prints(first(Market(seed=3, oddities=Oddities(correction=0.02, cancel=0.02)), 20_000))
    published: dict[tuple[str, int], Print] = {}
    later = []
    for event in found:
        if event.action is not Action.NEW:
            original = published[event.contract.root, event.index]
            assert event.at_ns > original.at_ns
            assert event.time_ns == original.time_ns
            later.append(event.action.name)
        published[event.contract.root, event.index] = event
    assert set(later) == {"CORRECTION", "CANCEL"}


def test_impossible_markets_are_refused() -> None:
    with pytest.raises(UnknownContract, match="XX"):
        Market(roots=["XX"])
    with pytest.raises(UsageError, match="at least one, and none twice"):
        Market(roots=["ES", "ES"])
    with pytest.raises(UsageError, match="prints_per_s 0"):
        Market(prints_per_s=0)
    with pytest.raises(UsageError, match="a share from 0 to 1"):
        Oddities(cancel=2)


def test_a_made_up_market_knows_the_day_before_and_the_same_seed_knows_the_same() -> None:
    market = Market(seed=3)
    told = {contract.root: market.before(contract) for contract in market.contracts}
    assert told == {contract.root: Market(seed=3).before(contract) for contract in market.contracts}
    assert told["ES"] != Market(seed=4).before(market.contracts[0])
    assert all(
        abs(contract.ticks(told[contract.root].close) - contract.ticks(price)) <= 60
        for contract, price in zip(market.contracts, (6000.0, 21500.0, 2650.0), strict=True)
    )
    assert all(before.open_interest >= before.volume > 0 for before in told.values())
