"""What the knobs put between the market and a TWS client: nothing by default, and exactly as much as is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tastytrade_provider.emulator import Print
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.errors import UsageError
from tests.checks.sources import excerpt
from tests.emulator.exchange import a_print, a_quote
from tests.emulator.tws_talk import OPEN_NS, Client, Desk, answered_bars, only

MARKET = excerpt(6000, roots=("ES",))
ES = MARKET.contracts[0]
PRINTS = MARKET.prints()


def a_listener(knobs: TwsKnobs, *kinds: str) -> tuple[Desk, Client]:
    """A client of the market's lead month that listens to these tick types, under request 1, 2, ..."""
    desk = Desk(knobs, MARKET.contracts, MARKET.start_ns)
    client = desk.client()
    for req_id, kind in enumerate(kinds, start=1):
        client.ticks(req_id, kind, (0, "ES", "CONTFUT", "", 0.0, "", "", "CME", "", "USD", "", ""))
    return desk, client


def ticks(knobs: TwsKnobs, batch: int = 500) -> list[tuple[str, ...]]:
    """Time, price, size of every AllLast tick of the whole market."""
    desk, client = a_listener(knobs, "AllLast")
    events = list(MARKET)
    for at in range(0, len(events), batch):
        desk.happen(*events[at : at + batch])
    desk.gateway.settle()
    return [fields[2:5] for fields in only(client.listen(), 99)]


def as_ticks(prints: list[Print]) -> list[tuple[str, ...]]:
    return [(str(event.time_ns // 10**9), f"{event.price:.10g}", f"{event.size:.10g}") for event in prints]


def test_by_default_every_print_comes_in_order_with_its_second() -> None:
    assert ticks(TwsKnobs()) == as_ticks(PRINTS)


def test_quotes_come_as_they_change() -> None:
    desk, client = a_listener(TwsKnobs(), "BidAsk", "MidPoint")
    desk.happen(a_quote_of(1, 5999.75, 6000.0), a_quote_of(2, 5999.5, 6000.25), a_quote_of(3, 5999.5, float("nan")))
    second = MARKET.start_ns // 10**9
    assert [fields[2:] for fields in only(client.listen(), 99)] == [
        (str(second + 1), "5999.75", "6000", "5", "7", "0"),
        (str(second + 1), "5999.875"),
        (str(second + 2), "5999.5", "6000.25", "5", "7", "0"),  # the midpoint is the same
        (str(second + 3), "5999.5", "-1", "5", "0", "0"),
    ]


def a_quote_of(second: float, bid: float, ask: float) -> Any:
    return a_quote(0, bid, ask)._replace(contract=ES, at_ns=MARKET.start_ns + int(second * 1e9))


def test_joined_prints_have_one_price_and_one_time_each_and_all_the_volume() -> None:
    groups: list[list[Print]] = []
    before: object = None
    for event in MARKET:
        if isinstance(event, Print):
            if (event.time_ns, event.price) != before:
                groups.append([])
            groups[-1].append(event)
        before = (event.time_ns, event.price) if isinstance(event, Print) else None
    expected = [(str(group[0].time_ns // 10**9), f"{group[0].price:.10g}", str(int(sum(event.size for event in group)))) for group in groups]
    assert len(expected) < 0.9 * len(PRINTS)
    for batch in (1, 7, 500):
        assert ticks(TwsKnobs(aggregate=True), batch) == expected


def test_a_joined_print_waits_no_longer_than_the_market_s_clock() -> None:
    desk = Desk(TwsKnobs(aggregate=True))
    client = desk.client()
    client.ticks()
    desk.happen(a_print(1, 6000.0, 2), a_print(1, 6000.0, 3, sequence=1), second=1)
    assert only(client.listen(), 99) == []
    desk.happen(second=1.002)
    assert [fields[3:5] for fields in only(client.listen(), 99)] == [("6000", "5")]


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_missing_prints_are_the_share_exactly_in_places_that_the_seed_chooses(share: float) -> None:
    every, left = as_ticks(PRINTS), ticks(TwsKnobs(missing=share))
    assert abs(len(every) - len(left) - share * len(every)) <= 1
    assert left == ticks(TwsKnobs(missing=share), batch=13)
    assert left != ticks(TwsKnobs(missing=share, seed=2))
    rest = iter(every)
    assert all(tick in rest for tick in left)  # in order, and nothing else


def all_bars(knobs: TwsKnobs) -> list[tuple[str, ...]]:
    desk = Desk(knobs, MARKET.contracts, MARKET.start_ns).happened(*MARKET)
    lead = (0, "ES", "CONTFUT", "", 0.0, "", "", "CME", "", "USD", "", "")
    return answered_bars(desk.client().bars(contract=lead, size="10 secs"))


def test_missing_prints_are_in_the_bars() -> None:
    assert all_bars(TwsKnobs(missing=0.3)) == all_bars(TwsKnobs())


def test_filtered_volume_is_the_share_of_bars_to_one_lot_and_of_no_tick() -> None:
    whole, filtered = all_bars(TwsKnobs()), all_bars(TwsKnobs(filtered=0.03))
    assert sum(int(row[5]) for row in whole) == sum(event.size for event in PRINTS)
    for full, less in zip(whole, filtered, strict=True):
        assert (full[:5], full[7]) == (less[:5], less[7])
        assert abs(int(less[5]) - 0.97 * int(full[5])) <= 1
    assert abs(sum(int(row[5]) for row in filtered) - 0.97 * sum(event.size for event in PRINTS)) <= 1
    assert ticks(TwsKnobs(filtered=0.03)) == as_ticks(PRINTS)


@pytest.mark.parametrize("shift", [2, -3])
def test_every_price_is_shifted_by_the_ticks_asked_for(shift: int) -> None:
    assert [float(price) for _, price, _ in ticks(TwsKnobs(shift_ticks=shift))] == [event.price + shift * 0.25 for event in PRINTS]
    for row, shifted in zip(all_bars(TwsKnobs()), all_bars(TwsKnobs(shift_ticks=shift)), strict=True):
        assert [float(price) for price in shifted[1:5]] == [float(price) + shift * 0.25 for price in row[1:5]]
    desk, client = a_listener(TwsKnobs(shift_ticks=shift), "BidAsk")
    desk.happen(a_quote_of(1, 5999.75, 6000.0))
    assert [float(field) for field in only(client.listen(), 99)[0][3:5]] == [5999.75 + shift * 0.25, 6000.0 + shift * 0.25]


def test_with_a_lag_everything_is_known_later_history_and_the_clock_too() -> None:
    desk = Desk(TwsKnobs(lag_s=0.3)).happened(a_print(0, 6000.0))
    client = desk.client()
    client.ticks()
    desk.happen(a_print(1, 6001.0, sequence=1))
    assert desk.gateway.due_s == 0.3
    desk.now_s = 0.29
    assert only(desk_tells(desk, client), 99) == []
    assert len(answered_bars(client.bars(2, size="1 secs"))) == 1
    assert client.ask(49, 1)[0][2] == str(OPEN_NS // 10**9)
    desk.now_s = 0.3
    assert [fields[3] for fields in only(desk_tells(desk, client), 99)] == ["6001"]
    assert len(answered_bars(client.bars(3, size="1 secs"))) == 2
    assert client.ask(49, 1)[0][2] == str(OPEN_NS // 10**9 + 1)


def desk_tells(desk: Desk, client: Client) -> list[tuple[str, ...]]:
    desk.gateway.advance(desk.now_s)
    return client.listen()


def test_a_dead_feed_says_nothing_more_after_so_many_prints_and_the_rest_still_answers() -> None:
    desk = Desk(TwsKnobs(dead_after=2)).happened(a_print(-5, sequence=0))
    client = desk.client()
    client.ticks(1)
    client.market_data(2)
    client.live_bars(3)
    client.listen()
    for n in range(1, 30):
        desk.happen(a_print(n, 6000.0 + n, sequence=n), a_quote(n + 0.5, 6000.0 + n))
    told = client.listen()
    assert [fields[3] for fields in only(told, 99)] == ["6001", "6002"]
    assert only(told, 50) == []
    assert len(answered_bars(client.bars(9, size="1 secs"))) == 30
    desk.gateway.is_dead = False
    desk.happen(a_print(40, 6040.0, sequence=40))
    assert [fields[3] for fields in only(client.listen(), 99)] == ["6040"]


def test_market_data_are_conflated_and_rt_volume_has_the_last_print_and_the_day_s_sums() -> None:
    desk = Desk()
    client = desk.client()
    client.market_data(5, "233,375")
    events = [a_print(n, 6000.0 + n, n, sequence=n) for n in (1, 2, 3)]
    desk.gateway.publish(events, events[-1].at_ns, 0.0)
    desk.gateway.advance(10.0)
    told = client.listen()
    at_ms = events[-1].time_ns // 1_000_000
    vwap = (6001 + 2 * 6002 + 3 * 6003) / 6
    assert [fields[2:] for fields in only(told, 46)] == [
        ("45", str(at_ms // 1000)),
        ("48", f"6003;3;{at_ms};6;{vwap:.10g};true"),
        ("77", f"6003;3;{at_ms};6;{vwap:.10g};true"),
    ]
    assert [fields[1:5] for fields in only(told, 1)] == [("5", "4", "6003", "3"), ("5", "6", "6003", "0"), ("5", "7", "6001", "0"), ("5", "14", "6001", "0")]
    assert [fields[1:] for fields in only(told, 2)] == [("5", "5", "3"), ("5", "8", "6")]
    desk.gateway.publish([a_print(4, 6003.0, 3, sequence=4)], 0, 10.1)
    desk.gateway.advance(10.1)
    assert client.listen() == []  # a quarter of a second has not passed
    desk.gateway.advance(10.3)
    assert [fields[2] for fields in only(client.listen(), 46)] == ["45", "48", "77"]


def test_a_snapshot_says_what_is_known_and_that_this_was_all() -> None:
    client = Desk().happened(a_print(), a_quote()).client()
    told = client.market_data(5, snapshot=True)
    assert told[-1] == ("57", "1", "5")
    assert {fields[2] for fields in only(told, 1)} == {"1", "2", "4", "6", "7", "14"}
    assert client.session.streams == {}


def test_the_ladder_follows_the_quote() -> None:
    desk = Desk().happened(a_quote(0, 5999.75, 6000.0))
    client = desk.client()
    ladder = [fields[2:] for fields in only(client.depth(5, rows=2), 12)]
    assert ladder == [("0", "0", "1", "5999.75", "5"), ("1", "0", "1", "5999.5", "15"), ("0", "0", "0", "6000", "7"), ("1", "0", "0", "6000.25", "15")]
    desk.happen(a_quote(1, 5999.75, 6000.25), a_quote(2, float("nan"), 6000.25))
    changes = [fields[2:] for fields in only(client.listen(), 12)]
    assert changes == [("1", "2", "1", "0", "0"), ("0", "2", "1", "0", "0"), ("0", "1", "0", "6000.25", "7"), ("1", "1", "0", "6000.5", "15")]


@pytest.mark.parametrize(
    "wrong",
    [{"missing": 1.5}, {"filtered": -0.1}, {"lag_s": -1.0}, {"lag_s": float("nan")}, {"time_zone": "Mars"}, {"server_version": 200}, {"start_on": ("Trades",)}],
)
def test_a_knob_that_cannot_be_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"TwsKnobs.{next(iter(wrong))}"):
        TwsKnobs(**wrong)
