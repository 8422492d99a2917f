"""Snapshots by the flags of dxFeed's IndexedEvent javadoc, by what servers were seen to do besides, and from the emulator's own rows."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.dxlink.messages import FeedData
from tastytrade_provider.dxlink.rows import Row, decode, index_of
from tastytrade_provider.emulator import Print, Wire
from tastytrade_provider.errors import ProtocolViolation
from tastytrade_provider.model import Action
from tastytrade_provider.tastytrade.snapshot import Snapshot, flags_in, index_in
from tests.emulator.exchange import BUY, OPEN_MS, SELL, SYMBOL, UNDEFINED, Talk, a_print

PENDING, REMOVE, BEGIN, END, SNIP = 1, 2, 4, 8, 16
MARKER, EMPTY = REMOVE | END, BEGIN | END | REMOVE  # 10 and 14
LONG_MAX = 2**63 - 1


def a_row(index: int, flags: int = 0, close: object = None) -> Row:
    return {"eventSymbol": "X", "eventFlags": flags, "index": index, "close": float(index) if close is None else close}


def rows_of(*pairs: tuple[int, int]) -> list[Row]:
    """Rows from (index, flags); what is removed carries no price."""
    return [a_row(index, flags, "NaN" if flags & REMOVE else None) for index, flags in pairs]


def indexes(rows: Iterable[Row]) -> list[object]:
    return [row["index"] for row in rows]


def fed(*messages: list[Row], at_s: float = 0.1) -> Snapshot:
    series = Snapshot(0.0)
    for message in messages:
        series.add(message, at_s)
    return series


# -- the flags

Case = tuple[str, list[tuple[int, int]], str | None, list[int]]
CASES: list[Case] = [
    ("the last row is one of the series", [(3, BEGIN), (2, 0), (1, END)], "flag", [1, 2, 3]),
    ("the last row is a marker", [(3, BEGIN), (2, 0), (1, MARKER)], "flag", [2, 3]),
    ("the server cut it off", [(3, BEGIN), (2, 0), (1, SNIP)], "snip", [1, 2, 3]),
    ("one row is all there is", [(1, BEGIN | END)], "flag", [1]),
    ("nothing is there", [(1, EMPTY)], "empty", []),
    ("only the row of 2038 and the marker", [(LONG_MAX, BEGIN), (1, MARKER)], "empty", []),
    ("the row of 2038 opens it", [(LONG_MAX, BEGIN), (2, 0), (1, END)], "flag", [1, 2]),
    ("a row is withdrawn again", [(3, BEGIN), (2, 0), (2, REMOVE), (1, END)], "flag", [1, 3]),
    ("a withdrawn row comes back", [(2, BEGIN), (2, REMOVE), (2, 0), (1, END)], "flag", [1, 2]),
    ("SNAPSHOT_MODE says nothing about rows", [(2, BEGIN | 64), (1, END | 64)], "flag", [1, 2]),
    ("a transaction that ends with it", [(2, BEGIN | PENDING), (1, END)], "flag", [1, 2]),
    ("END inside a transaction", [(2, BEGIN), (1, END | PENDING)], None, [2]),
    ("END inside a transaction that closes", [(3, BEGIN), (1, END | PENDING), (2, 0)], "flag", [1, 2, 3]),
    ("END of something that never began", [(2, 0), (1, END)], None, [1, 2]),
    ("END does not come", [(3, BEGIN), (2, PENDING), (1, 0)], None, [1, 2, 3]),
]


@pytest.mark.parametrize(("rows", "ended_by", "left"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("at_once", [True, False], ids=["one message", "a message each"])
def test_a_snapshot_ends_as_its_flags_say(rows: list[tuple[int, int]], ended_by: str | None, left: list[int], at_once: bool) -> None:
    messages = [rows_of(*rows)] if at_once else [rows_of(pair) for pair in rows]
    series = fed(*messages)
    assert (series.ended_by, series.is_complete) == (ended_by, ended_by is not None)
    assert indexes(series.rows()) == left
    assert series.take_updates() == []


def test_a_message_that_ends_inside_a_transaction_does_not_end_the_snapshot() -> None:
    series = fed(rows_of((3, BEGIN), (1, END), (2, PENDING)))
    assert not series.is_complete
    series.add([a_row(2)], 0.2)
    assert (series.ended_by, indexes(series.rows())) == ("flag", [1, 2, 3])


def test_a_later_version_of_an_index_replaces_the_earlier_one() -> None:
    series = fed([a_row(2, BEGIN, 1.0), a_row(1, 0, 5.0)], [a_row(2, 0, 2.0)], [a_row(0, MARKER, "NaN")])
    assert [row["close"] for row in series.rows()] == [5.0, 2.0]


def test_a_daily_series_that_the_server_caps_says_where_it_really_begins() -> None:
    # /ESU6:XCME{=1d} asked from far back gave 2016 candles on a live server
    day_ms, last_ms = 86_400_000, 1_788_220_800_000  # 2026-09-01
    rows = [a_row(index_of(last_ms - i * day_ms)) for i in range(2016)]
    rows[0]["eventFlags"], rows[-1]["eventFlags"] = BEGIN, SNIP
    series = fed(*(rows[at : at + 450] for at in range(0, 2016, 450)))
    assert (series.ended_by, series.start_was_cut, len(series.rows())) == ("snip", True, 2016)
    assert series.first_time_ms == last_ms - 2015 * day_ms


def test_a_whole_series_was_not_cut() -> None:
    series = fed(rows_of((index_of(5000), BEGIN), (index_of(2000), MARKER)))
    assert (series.start_was_cut, series.first_time_ms) == (False, 5000)
    assert Snapshot(0.0).first_time_ms is None


# -- time


def test_without_an_end_silence_ends_it_and_it_says_so() -> None:
    series = Snapshot(100.0, quiet_s=2.0)
    series.add(rows_of((3, BEGIN), (2, PENDING)), 100.5)
    series.add(rows_of((1, PENDING)), 101.5)
    assert (series.due_s, series.advance(103.4), series.rows()) == (103.5, False, rows_of((3, BEGIN)))
    assert series.advance(103.5)
    assert (series.ended_by, indexes(series.rows()), series.due_s) == ("quiet", [1, 2, 3], None)


def test_updates_of_the_forming_bar_do_not_put_silence_off() -> None:
    series = Snapshot(0.0, quiet_s=2.0)
    series.add(rows_of((3, BEGIN), (2, 0)), 0.0)
    for tenth in range(1, 20):
        series.add([a_row(3, 0, float(tenth))], tenth / 10)
        assert not series.advance(tenth / 10)
    assert series.advance(2.0)
    assert [row["close"] for row in series.rows()] == [2.0, 19.0]


def test_rows_that_trickle_end_at_the_deadline_and_not_as_silence() -> None:
    # a row a second: each gives a tenth of one more, so at 33 s 32 came before the first, and the bound is 33.2
    series = Snapshot(0.0)
    for second in range(34):
        series.add(rows_of((1000 - second, BEGIN if second == 0 else 0)), float(second))
        assert not series.advance(float(second))
    assert series.due_s == pytest.approx(33.3)
    assert series.advance(34.0)
    assert (series.ended_by, len(series.rows())) == ("deadline", 34)


def test_live_rows_do_not_put_the_deadline_off() -> None:
    series = Snapshot(0.0)
    series.add(rows_of((1000, BEGIN)), 0.0)
    for tenth in range(1, 300):
        series.add(rows_of((1000 + tenth, 0)), tenth / 10)
    assert (series.due_s, series.advance(30.0), series.ended_by) == (30.0, True, "deadline")


def test_rows_of_a_transaction_that_come_again_and_again_put_the_deadline_off_once() -> None:
    series = Snapshot(0.0)
    series.add(rows_of((1000, BEGIN)), 0.0)
    for tenth in range(1, 301):
        series.add([a_row(999, PENDING, float(tenth))], tenth / 10)
    assert (series.due_s, series.advance(30.0), series.ended_by) == (30.0, True, "deadline")


@pytest.mark.parametrize("pause_s", [0.5, 2.9, 14.0])
def test_a_slow_history_that_flows_comes_whole(pause_s: float) -> None:
    """A quarter of minutes in messages of 450 rows; where they come seldom, the pauses have grown to that."""
    n, now_s, size = 90_000, 0.0, 450
    series = Snapshot(0.0)
    for at in range(0, n, size):
        now_s += min(pause_s, 2.9 * 1.9 ** max(at // size - 1, 0))  # nobody can know at once that a line is slow
        assert not series.advance(now_s), (now_s, series.ended_by)
        series.add([a_row(n - index, BEGIN * (index == 0), 0.0) for index in range(at, min(at + size, n))], now_s)
    assert now_s > 30
    series.add(rows_of((0, MARKER)), now_s)
    assert (series.ended_by, series.count) == ("flag", n)


def test_silence_ends_it_at_last_however_slow_it_was() -> None:
    series, now_s = Snapshot(0.0), 0.0
    for number in range(40):
        now_s += min(2.9 * 1.5 ** max(number - 1, 0), 29.0)
        series.add([a_row(100_000 - 450 * number - i, BEGIN * (number == i == 0)) for i in range(450)], now_s)
        assert not series.advance(now_s)
    assert (series.due_s, series.advance(now_s + 29.9)) == (now_s + 30.0, False)
    assert series.advance(now_s + 30.0)
    assert series.ended_by == "quiet"


def test_an_answer_that_never_comes_is_no_silence() -> None:
    series = Snapshot(0.0)
    assert not series.advance(29.9)
    assert (series.due_s, series.advance(30.0)) == (30.0, True)
    assert (series.ended_by, series.is_heard, series.rows()) == ("deadline", False, [])


def test_what_ended_stays_ended() -> None:
    series = fed(rows_of((2, BEGIN), (1, END)))
    assert series.advance(99.0)
    assert series.ended_by == "flag"


# -- updates


def test_what_comes_after_the_end_is_an_update_once() -> None:
    series = fed(rows_of((2, BEGIN), (1, END)))
    series.add([a_row(2, 0, 7.0)], 1.0)
    series.add([a_row(3, 0, 9.0), a_row(2, 0, 8.0), a_row(LONG_MAX, BEGIN, "NaN")], 1.1)
    assert series.take_updates() == [a_row(3, 0, 9.0), a_row(2, 0, 8.0)]
    assert series.take_updates() == []
    assert [row["close"] for row in series.rows()] == [1.0, 8.0, 9.0]


def test_a_snapshot_sent_again_is_no_news_but_for_what_changed() -> None:
    first = rows_of((3, BEGIN), (2, 0), (1, MARKER))
    series = fed(first)
    series.add(first, 5.0)
    assert series.take_updates() == []
    series.add([a_row(3), a_row(2, SNIP)], 5.5)
    assert (series.take_updates(), series.start_was_cut, series.ended_by) == ([], False, "flag")
    series.add([a_row(3, BEGIN, 3.5), *first[1:]], 6.0)
    assert series.take_updates() == [a_row(3, BEGIN, 3.5)]


def test_a_withdrawal_after_the_end_is_told_where_there_was_something() -> None:
    series = fed(rows_of((2, BEGIN), (1, END)))
    series.add(rows_of((2, REMOVE), (9, REMOVE)), 1.0)
    assert series.take_updates() == rows_of((2, REMOVE))
    assert indexes(series.rows()) == [1]


def test_updates_of_a_transaction_are_told_together_or_when_it_is_never_closed() -> None:
    series = fed(rows_of((1, BEGIN | END)))
    series.add(rows_of((2, PENDING)), 1.0)
    assert series.take_updates() == []
    series.add(rows_of((3, 0)), 1.1)
    assert indexes(series.take_updates()) == [2, 3]
    series.add(rows_of((4, PENDING)), 5.0)
    assert (series.due_s, series.advance(7.9), series.take_updates()) == (8.0, True, [])
    series.advance(8.0)
    assert indexes(series.take_updates()) == [4]
    series.add([a_row(4, PENDING, 9.0)], 20.0)
    assert (series.due_s, series.advance(22.9), series.take_updates()) == (23.0, True, [])


def test_of_a_series_that_goes_on_only_the_newest_rows_are_kept() -> None:
    series = fed(rows_of((1, BEGIN | END)))
    for index in range(2, 86_400):
        series.add([a_row(index)], float(index))
        assert len(series.take_updates()) == 1
        series.forget(2_000)
        assert series.count <= 4_000
    assert indexes(series.rows())[-2_000:] == [*range(84_400, 86_400)]


def test_a_change_of_a_forgotten_row_is_an_update_and_the_snapshot_sent_again_is_none() -> None:
    first = [a_row(index, BEGIN if index == 99 else 0) for index in range(99, 0, -1)] + rows_of((0, MARKER))
    series = fed(first)
    series.forget(10)
    series.add(first, 5.0)
    assert (series.take_updates(), series.count) == ([], 10)
    series.add([a_row(5, 0, 7.0)], 6.0)
    assert series.take_updates() == [a_row(5, 0, 7.0)]
    series.add(rows_of((6, REMOVE)), 7.0)
    assert series.take_updates() == rows_of((6, REMOVE))


def test_nothing_is_forgotten_of_a_snapshot_that_has_not_ended() -> None:
    series = fed(rows_of((3, BEGIN), (2, 0), (1, 0)))
    series.forget(1)
    assert series.count == 3


# -- reading


def test_a_row_that_cannot_be_placed_is_counted_and_kept() -> None:
    series = fed([a_row(2, BEGIN), {"index": 1.5, "close": 1.0}, {"index": 4, "eventFlags": "many"}, a_row(1, END)])
    assert (series.rejected, len(series.rejects), indexes(series.rows())) == (2, 2, [1, 2])
    assert "1.5" in series.rejects[0]


@pytest.mark.parametrize(
    ("row", "index"),
    [
        ({"index": 7238429996434378670}, 7238429996434378670),  # a real /ESM23 print of 2023-05-29
        ({"index": "7238429996434378670"}, 7238429996434378670),
        ({"index": 7.238429996434379e18, "time": 1685328315116, "sequence": 53166}, 7238429996434378670),
        ({"time": 1000}, 1 << 32),
    ],
)
def test_an_index_is_read_exactly_or_made_from_time_and_sequence(row: Row, index: int) -> None:
    assert index_in(row) == index


@pytest.mark.parametrize("row", [{}, {"index": True}, {"index": 2**63}, {"index": "-", "time": "soon"}, {"time": 1000, "sequence": -1}, {"time": 10**18}])
def test_what_has_neither_is_refused(row: Row) -> None:
    with pytest.raises(ProtocolViolation):
        index_in(row)


@pytest.mark.parametrize(("value", "flags"), [(10, 10), (10.0, 10), (None, 0), ("NaN", 0)])
def test_flags_are_read_as_json_gives_them(value: object, flags: int) -> None:
    assert flags_in({"eventFlags": value}) == flags


def test_infinite_flags_are_refused() -> None:
    with pytest.raises(ProtocolViolation):
        flags_in({"eventFlags": "Infinity"})


# -- any order


@pytest.mark.property
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30, unique=True), st.randoms(use_true_random=False), st.integers(1, 7), st.integers(0, 30))
def test_the_order_of_rows_and_the_cuts_between_messages_change_nothing(at: list[int], chance: random.Random, size: int, repeats: int) -> None:
    newest_first = sorted(at, reverse=True)
    truth = [a_row(index) for index in sorted(at)]
    middle = [a_row(index) for index in newest_first[1:-1]]
    middle += [chance.choice(middle) for _ in range(repeats if middle else 0)]
    chance.shuffle(middle)
    first, last = a_row(newest_first[0], BEGIN), a_row(newest_first[-1], END)
    cuts = [middle[i : i + size] for i in range(0, len(middle), size)]
    together = [first, *middle, last]
    chance.shuffle(together)
    for series in (fed([first], *cuts, [last]), fed([first, *middle, last]), fed(together)):
        assert series.ended_by == "flag"
        assert [row | {"eventFlags": 0} for row in series.rows()] == truth
        assert series.take_updates() == []


# -- the emulator's rows


def a_morning(seed: int, n: int = 300) -> list[Print]:
    """Prints over half an hour, some of them invalid, then corrections and cancels of some."""
    chance = random.Random(seed)
    seconds = sorted(chance.uniform(0, 1800) for _ in range(n))
    prints = [
        a_print(
            second, 6000 + chance.randint(-8, 8) / 4, float(chance.randint(1, 9)), chance.choice((BUY, SELL, UNDEFINED)), i, valid_tick=chance.random() > 0.1
        )
        for i, second in enumerate(seconds)
    ]
    repaired = chance.sample(prints, 40)
    return [
        *prints,
        *(event._replace(size=event.size + 3, action=Action.CORRECTION) for event in repaired[:20]),
        *(event._replace(action=Action.CANCEL) for event in repaired[20:]),
    ]


def survivors(events: list[Print]) -> dict[int, Print]:
    """Prints by index after corrections and cancels, added up by hand."""
    standing: dict[int, Print] = {}
    for event in events:
        if event.action is Action.CANCEL:
            del standing[event.index]
        else:
            standing[event.index] = event
    return standing


def snapshot_of(talk: Talk, event_type: str, symbol: str, from_ms: int) -> Snapshot:
    """What the emulator answers, message by message."""
    talk.heard.clear()
    talk.subscribe(talk.channel("HISTORY"), event_type, symbol, from_ms)
    messages = [message for message in talk.heard if isinstance(message, FeedData)]
    assert len(messages) > 3
    return fed(*([row for _, rows in decode(message, talk.client.channels[message.channel].fields) for row in rows] for message in messages))


@pytest.mark.parametrize("seed", range(3))
def test_candles_of_the_emulator_are_the_tape_added_up(seed: int) -> None:
    events = a_morning(seed)
    talk = Talk(Wire(rows_per_message=7)).happen(*events)
    minutes: dict[int, dict[str, float]] = {}
    for event in sorted(survivors(events).values(), key=lambda event: event.index):
        if not event.valid_tick:
            continue
        minute = minutes.setdefault(event.time_ns // 60_000_000_000 * 60_000, {"open": event.price, "askVolume": 0.0, "bidVolume": 0.0, "volume": 0.0})
        minute["close"] = event.price
        minute["high"], minute["low"] = max(minute.get("high", event.price), event.price), min(minute.get("low", event.price), event.price)
        minute["volume"] += event.size
        minute["askVolume"] += event.size * (event.side is BUY)
        minute["bidVolume"] += event.size * (event.side is SELL)
    series = snapshot_of(talk, "Candle", f"{SYMBOL}{{=1m}}", OPEN_MS - 60_000)
    assert (series.ended_by, series.rejected) == ("flag", 0)
    names = ("open", "high", "low", "close", "volume", "askVolume", "bidVolume")
    found = {row["time"]: {name: row[name] for name in names} for row in series.rows()}
    assert found == {start: {name: minute[name] for name in names} for start, minute in minutes.items()}


@pytest.mark.parametrize("seed", range(3))
def test_prints_of_the_emulator_s_history_are_those_that_stand(seed: int) -> None:
    events = a_morning(seed)
    talk = Talk(Wire(rows_per_message=50)).happen(*events)
    series = snapshot_of(talk, "TimeAndSale", SYMBOL, OPEN_MS - 1000)
    standing = survivors(events)
    assert series.ended_by == "flag"
    assert [(row["index"], row["size"], row["price"]) for row in series.rows()] == [
        (index, standing[index].size, standing[index].price) for index in sorted(standing)
    ]


def test_a_capped_history_of_the_emulator_begins_where_its_oldest_row_is() -> None:
    events = a_morning(7)
    talk = Talk(Wire(rows_per_message=20, history_cap={"TimeAndSale": 100, "Candle": 8000})).happen(*events)
    series = snapshot_of(talk, "TimeAndSale", SYMBOL, OPEN_MS - 1000)
    kept = sorted(survivors(events).values(), key=lambda event: event.index)[-100:]
    assert (series.ended_by, series.start_was_cut, len(series.rows())) == ("snip", True, 100)
    assert series.first_time_ms == kept[0].time_ns // 1_000_000
