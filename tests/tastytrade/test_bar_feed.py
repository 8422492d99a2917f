"""Live bars joined to their history: at whatever second one subscribes, the bars are those of all trades, each once and none of them half."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.bars import build_history
from tastytrade_provider.emulator import Emulator, Market, Print, QuoteChange, Wire
from tastytrade_provider.errors import CapacityExceeded, ConnectionLost, RequestTimeout, UnsupportedTimeframe, UsageError
from tastytrade_provider.grid import Grid
from tastytrade_provider.model import Action, AggressorSide, Bar, Contract, Gap, Timeframe, TradeBatch
from tastytrade_provider.pace import Pace
from tastytrade_provider.provider import Subscription
from tastytrade_provider.tastytrade.bar_feed import NO_HISTORY, BarFeed, Join, bars_of
from tastytrade_provider.tastytrade.history import History, Refill
from tastytrade_provider.tastytrade.intake import Intake
from tastytrade_provider.tastytrade.line import Line, TradeSubscription
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.checks.builders import ES, MINUTE_NS, a_bar, a_batch, opening
from tests.checks.providers import gather
from tests.checks.sources import LIMIT_S, until
from tests.test_providers import login

S = 10**9
MINUTES = 4.5
START_NS = 1_772_463_600_000_000_000  # Monday 2026-03-02 09:00 Chicago
SEAM_NS = START_NS + 2 * MINUTE_NS
SESSION_OPEN_NS = 1_772_406_000_000_000_000  # Sunday 17:00 Chicago
M1 = Timeframe.parse("1m")


@dataclass(frozen=True)
class Told:
    """A market written out: an end, no clock of its own."""

    contracts: tuple[Contract, ...]
    start_ns: int
    events: tuple[Print | QuoteChange, ...]
    is_endless: bool = False

    def __iter__(self) -> Iterator[Print | QuoteChange]:
        return iter(self.events)

    def trades(self) -> TradeBatch:
        """Every print, with the side the exchange gave it."""
        prints = [event for event in self.events if isinstance(event, Print)]
        columns = {name: [getattr(one, name) for one in prints] for name in ("time_ns", "index", "price", "size", "side", "action")}
        return TradeBatch(self.contracts[0], columns)

    def bars(self, timeframe: str = "1m") -> list[dict[str, Any]]:
        """All bars of these trades but the last, which is not closed."""
        frame = build_history(self.trades(), timeframe, self.contracts[0]).bars()
        columns = frame.drop(columns=["complete", "revision", "session"]).assign(start_ns=frame.index.as_unit("ns").asi8)
        return [{str(name): value for name, value in row.items()} for row in columns.to_dict("records")][:-1]


@cache
def a_market(seed: int = 20261122) -> Told:
    """ES for some minutes. Prints without a side are left out: those that infer one and those that do not must agree here."""
    market = Market(seed=seed, start_ns=START_NS, roots=("ES",), prints_per_s=1.0)
    events = itertools.takewhile(lambda event: event.at_ns < START_NS + MINUTES * MINUTE_NS, market)
    kept = tuple(event for event in events if isinstance(event, Print) and event.side is not AggressorSide.UNKNOWN)
    return Told(market.contracts, START_NS, kept)


@asynccontextmanager
async def connected(source: Any, now_ns: int, *, cap: int = 100_000, start_on: str = "TimeAndSale") -> Any:
    """A provider on an exchange where everything before `now_ns` is history; the rest follows as fast as it can be read once somebody subscribes."""
    wire = Wire(history_cap={"TimeAndSale": cap, "Candle": 8000})
    async with Emulator(source, speed="max", start_on=(start_on,), live_from_ns=now_ns, wire=wire, truth_path=os.devnull) as emulator:
        provider = create_provider(login(emulator))
        assert isinstance(provider, TastyTradeProvider)
        provider._wall_ns = lambda: now_ns
        async with provider:
            yield provider


async def collected(subscription: Subscription[Any], provider: TastyTradeProvider, is_enough: int | Callable[[list[Any]], bool]) -> list[Any]:
    """The items of a subscription, once there are so many of them or such, with what comes until the provider hangs up."""
    items: list[Any] = []
    subscription.on(items.append)
    is_there = is_enough if callable(is_enough) else lambda items: len(items) >= is_enough
    await until(lambda: is_there(items) or subscription.has_ended, f"{is_enough} items did not come")
    await provider.disconnect()
    return items


@pytest.fixture(autouse=True)
def _no_files_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


async def no_trades(*_: Any) -> Any:
    """A server that does not answer a request for past trades."""
    raise RequestTimeout("no answer")


async def no_candles(*_: Any) -> Any:
    raise RequestTimeout("no answer")


def assert_bars(items: list[Any], expected: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    assert [item.start_ns for item in items] == [row["start_ns"] for row in expected]
    for item, row in zip(items, expected, strict=True):
        assert (item.complete, item.revision, item.end_ns) == (True, 0, item.start_ns + MINUTE_NS)
        assert {name: getattr(item, name) for name in names} == {name: row[name] for name in names}
        assert item.vwap == pytest.approx(row["vwap"])


BOTH = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades")
WHOLE = (*BOTH, "min_delta", "max_delta", "delta_source")


async def since_open_and_since_now(source: Told, now_ns: int, opened: dt.datetime, *, is_late: bool) -> tuple[list[Any], list[Any]]:
    """What two subscribers get who come at once: one who wants the session's bars, and one who does not."""
    async with connected(source, now_ns, start_on="Quote" if is_late else "TimeAndSale") as provider:
        since_open, since_now = (provider.subscribe_bars(source.contracts[0], backfill=backfill) for backfill in (opened, None))
        if is_late:
            await asyncio.gather(since_open.ready(), since_now.ready())
            provider.subscribe_quotes(source.contracts[0])
        rest: list[Any] = []
        since_now.on(rest.append)
        return await collected(since_open, provider, lambda items: len(items) >= 4 and len(rest) >= 2), rest


@pytest.mark.parametrize("has_trades", [True, False], ids=["trades", "candles"])
async def test_whichever_second_of_a_minute_one_subscribes_in_every_bar_comes_once_and_whole(has_trades: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    source, opened = a_market(), dt.datetime.fromtimestamp(SESSION_OPEN_NS / S, dt.UTC)
    if not has_trades:
        monkeypatch.setattr(History, "refill", no_trades)
    for second in range(60):
        # now and then the live trades come once the history is there; otherwise both at once
        whole, rest = await since_open_and_since_now(source, SEAM_NS + second * S, opened, is_late=second % 2 == 1)
        expected = source.bars()
        assert_bars(whole, expected, WHOLE if has_trades else BOTH)
        assert_bars(rest, expected[2:], WHOLE if has_trades else BOTH)
        # the running minute, and the next one where the exchange may have begun it already
        from_candles = 0 if has_trades else 1 + (second >= 58)
        assert [bar.delta_source for bar in rest] == ["candle"] * from_candles + ["time_and_sale"] * (2 - from_candles)


async def test_cvd_over_bars_from_the_session_s_open_is_that_of_all_trades() -> None:
    source, opened = a_market(), dt.datetime.fromtimestamp(SESSION_OPEN_NS / S, dt.UTC)
    async with connected(source, SEAM_NS + 17 * S) as provider:
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=opened), provider, 4)
    truth = source.trades()
    closed = truth.time_ns < START_NS + 4 * MINUTE_NS
    assert sum(bar.delta for bar in items) == (truth.size * truth.side)[closed].sum()


async def test_a_history_of_trades_that_is_cut_is_no_history_of_trades() -> None:
    source = a_market()
    async with connected(source, SEAM_NS + 30 * S, cap=50) as provider:
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=3)), provider, 4)
    assert_bars(items, source.bars(), BOTH)
    assert [bar.delta_source for bar in items] == ["candle", "candle", "candle", "time_and_sale"]


async def test_bars_before_the_session_s_open_come_from_candles_and_those_after_it_from_trades() -> None:
    old = tuple(event._replace(at_ns=at, time_ns=at, index=(at // S << 32) + i) for i, event in enumerate(a_market().events[:50])
                if isinstance(event, Print) and (at := SESSION_OPEN_NS - 73 * 3600 * S + (i * 3) * S))  # fmt: skip
    source = replace(a_market(), start_ns=old[0].at_ns, events=(*old, *a_market().events))
    expected = source.bars()
    async with connected(source, SEAM_NS + 30 * S) as provider:
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(days=5)), provider, len(expected))
    assert_bars(items, expected, BOTH)
    assert {bar.delta_source for bar in items if bar.start_ns < SESSION_OPEN_NS} == {"candle"}
    assert {bar.delta_source for bar in items if bar.start_ns > SESSION_OPEN_NS} == {"time_and_sale"}


@pytest.mark.parametrize("timeframe", ["20t", "50v", "4r"])
async def test_bars_of_trades_volume_and_range_are_counted_from_the_session_s_open(timeframe: str) -> None:
    source = a_market()
    everything = source.bars(timeframe)
    seam = SEAM_NS + 30 * S
    running = max(i for i, row in enumerate(everything) if row["start_ns"] < seam)
    for backfill, expected in ((dt.timedelta(hours=3), everything), (None, everything[running:])):
        async with connected(source, seam) as provider:
            items = await collected(provider.subscribe_bars(source.contracts[0], timeframe, backfill=backfill), provider, len(expected))
        assert [(bar.start_ns, bar.bar_no, bar.volume, bar.delta) for bar in items] == [
            (row["start_ns"], row["bar_no"], row["volume"], row["buy_volume"] - row["sell_volume"]) for row in expected
        ]


async def test_without_the_session_s_trades_bars_of_trades_end_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "refill", no_trades)
    source = a_market()
    async with connected(source, SEAM_NS) as provider:
        subscription = provider.subscribe_bars(source.contracts[0], "100t")
        with pytest.raises(UnsupportedTimeframe, match="'100t' need every trade since the session's open"):
            await asyncio.wait_for(subscription.ended(), LIMIT_S)
        assert not provider._lines[source.contracts[0].streamer_symbol].listeners


async def test_with_neither_trades_nor_candles_the_stretch_is_a_gap_and_the_half_bar_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "refill", no_trades)
    monkeypatch.setattr(History, "bars", no_candles)
    source = a_market()
    now_ns = SEAM_NS + 30 * S
    async with connected(source, now_ns) as provider:
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=2, seconds=30)), provider, 4)
    past, missed, half, last = items
    assert (past, missed) == (
        Gap(source.contracts[0], START_NS, SEAM_NS, NO_HISTORY),
        Gap(source.contracts[0], SEAM_NS, now_ns + 1, NO_HISTORY),
    )
    truth = source.trades()
    late = truth[(truth.time_ns >= now_ns) & (truth.time_ns < SEAM_NS + MINUTE_NS)]
    assert (half.start_ns, half.complete, half.volume) == (SEAM_NS, False, late.size.sum())
    assert_bars([last], source.bars()[-1:], WHOLE)


async def test_a_correction_of_a_trade_from_before_the_subscription_hands_its_bar_out_again() -> None:
    market = a_market()
    wrong = next(event for event in market.events if isinstance(event, Print) and event.at_ns > START_NS + 10 * S)
    right = wrong._replace(at_ns=SEAM_NS + 90 * S, size=wrong.size + 5, action=Action.CORRECTION)
    withdrawn = wrong._replace(at_ns=SEAM_NS + 100 * S, action=Action.CANCEL)
    source = replace(market, events=tuple(sorted((*market.events, right, withdrawn), key=lambda event: event.at_ns)))
    async with connected(source, SEAM_NS + 30 * S, start_on="Quote") as provider:
        subscription = provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=5))
        await subscription.ready()
        provider.subscribe_quotes(source.contracts[0])  # the live trades come now, when the history is there
        items = await collected(subscription, provider, lambda items: any(item.start_ns == START_NS + 3 * MINUTE_NS for item in items))
    first = [bar for bar in items if bar.start_ns == START_NS]
    asked = market.bars()[0]["volume"]
    last = {bar.start_ns: (bar.revision, bar.volume) for bar in items}
    if len(first) == 3:  # otherwise both came in one batch
        assert [(bar.revision, bar.volume) for bar in first] == [(0, asked), (1, asked + 5), (2, asked - wrong.size)]
    assert last.pop(START_NS) == (len(first) - 1, asked - wrong.size)
    assert list(last.values()) == [(0, row["volume"]) for row in market.bars()[1:]]


async def test_what_was_corrected_or_cancelled_before_the_subscription_counts_as_it_stands() -> None:
    market = a_market()
    prints = [event for event in market.events if isinstance(event, Print)]
    larger = prints[5]._replace(at_ns=START_NS + 90 * S, size=prints[5].size + 5, action=Action.CORRECTION)
    withdrawn = prints[6]._replace(at_ns=START_NS + 91 * S, action=Action.CANCEL)
    source = replace(market, events=tuple(sorted((*prints, larger, withdrawn), key=lambda event: event.at_ns)))
    async with connected(source, SEAM_NS + 30 * S) as provider:
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(minutes=5)), provider, 4)
    first, *others = market.bars()
    assert (items[0].volume, items[0].trades) == (first["volume"] + 5 - prints[6].size, first["trades"] - 1)
    assert_bars(items[1:], others, WHOLE)


async def test_history_is_fetched_again_where_a_correction_came_while_its_trade_was_not_known() -> None:
    line, whole = Line(ES, Intake()), trades(1, 2)
    listener: Subscription[Any] = Subscription(ES)
    live: TradeSubscription = Subscription(ES)

    class Fetching:
        calls = 0

        async def refill(self, contract: Contract, start_ns: int) -> Refill:
            self.calls += 1
            line.take(trades(1, size=[8.0], action=[int(Action.CORRECTION)]))
            return Refill(whole if self.calls == 1 else trades(1, 2, size=[8.0, 1.0]), None, None)

    fetching: Any = Fetching()
    feed = BarFeed(listener, live, line, fetching, Intake, lambda now_ns: a_join(), lambda: OPEN, lambda: True)
    taken, is_whole = await feed._all_trades(a_join())
    assert taken is not None
    assert (is_whole, fetching.calls, taken.size.tolist(), line.intake.counts.orphans) == (True, 2, [8.0, 1.0], 1)
    assert line.intake.counts.corrections == 1  # the second time the trade was known


@pytest.mark.parametrize(("speed", "closes_s"), [(0.5, 60.5), (1.0, 60.5), (20.0, 70.0), ("max", None)])
async def test_a_playback_closes_a_bar_by_its_own_clock_and_gives_what_is_under_way_half_a_second_of_ours(speed: Any, closes_s: float | None) -> None:
    ours_s, looks, items, playback = [0.0], list[float](), list[Any](), Pace(speed)
    playback.begin(lambda: ours_s[0], OPEN + 30 * S)
    live: TradeSubscription = Subscription(ES)
    live.grant()
    listener: Subscription[Any] = Subscription(ES)

    class Past:
        async def refill(self, *_: Any) -> Refill:
            return Refill(trades(1), None, None)

    def is_whole() -> bool:  # asked at each look at the clock
        looks.append(ours_s[0])
        return True

    past: Any = Past()
    feed = BarFeed(listener.on(items.append), live, Line(ES, Intake()), past, Intake, lambda now_ns: a_join(), lambda: OPEN + 30 * S, is_whole, playback)
    task = asyncio.create_task(feed.run())
    try:
        await until(lambda: looks, "it was not served")
        for second in (60.4, 60.6, 69.9, 70.1):
            ours_s[0] = (second - 30) / (1.0 if speed == "max" else speed)
            live.put(trades())  # so that it looks now
            await until(lambda: looks[-1] == ours_s[0], "the feed does not look at the clock")
            assert starts(items) == ([0] if closes_s is not None and second > closes_s else [])
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_disconnect_and_cancel_end_it_and_leave_nobody_listening() -> None:
    source = a_market()
    contract = source.contracts[0]
    async with connected(source, SEAM_NS + 30 * S) as provider:
        one, other, third = (provider.subscribe_bars(contract) for _ in range(3))
        third.cancel()  # before it began
        await asyncio.wait_for(asyncio.gather(one.ready(), other.ready()), LIMIT_S)
        one.cancel()
        await until(lambda: len(provider._feeds) == 1, "the task of a cancelled subscription goes on")
        assert len(provider._lines[contract.streamer_symbol].listeners) == 1
        await provider.disconnect()
        assert not provider._feeds
        assert all(subscription.has_ended and subscription.error is None for subscription in (one, other, third))
        assert all(isinstance(item, Bar) for item in await gather(other))
        with pytest.raises(UsageError, match="closed"):
            provider.subscribe_bars(contract)


async def test_what_ends_the_trades_ends_the_bars_with_the_same_error() -> None:
    source = a_market()
    async with connected(source, SEAM_NS + 30 * S) as provider:
        subscription = provider.subscribe_bars(source.contracts[0])
        provider._end_all(CapacityExceeded("too many"))
        with pytest.raises(CapacityExceeded, match="too many"):
            await asyncio.wait_for(subscription.ended(), LIMIT_S)


async def test_what_cannot_be_asked_for_is_refused_at_once() -> None:
    source = a_market()
    contract = source.contracts[0]
    async with connected(source, SEAM_NS) as provider:
        refused: list[tuple[type[Exception], str, Callable[[], object]]] = [
            (UnsupportedTimeframe, "'7x'", lambda: provider.subscribe_bars(contract, "7x")),
            (UsageError, "hours 'all'", lambda: provider.subscribe_bars(contract, hours="all")),
            (UnsupportedTimeframe, "no regular hours", lambda: provider.subscribe_bars(contract, "1d", hours="rth")),
            (UnsupportedTimeframe, "no regular hours", lambda: provider.subscribe_bars(contract, "5t", hours="rth")),
            (UsageError, "no regular trading hours", lambda: provider.subscribe_bars(replace(contract, calendar="24/7"), hours="rth")),
            (UsageError, "lies ahead", lambda: provider.subscribe_bars(contract, backfill=dt.timedelta(seconds=-1))),
            (UsageError, "streamer symbol", lambda: provider.subscribe_bars(replace(contract, streamer_symbol=""))),
        ]
        for error, words, ask in refused:
            with pytest.raises(error, match=words):
                ask()
        assert not provider._feeds


# --- what is decided, without a feed


OPEN = opening()  # the start of regular hours


def a_join(at_s: float = 30, *, timeframe: str = "1m", hours: str = "eth", start_ns: int | None = None) -> Join:
    return Join(ES, Timeframe.parse(timeframe), hours, start_ns, OPEN + int(at_s * S))


def trades(*at_s: float, **columns: Any) -> TradeBatch:
    """A lot at each second after the opening; its index is its tenth of a second."""
    return a_batch(**{"time_ns": [OPEN + int(at * S) for at in at_s], "index": [int(at * 10) + 1000 for at in at_s]} | columns)


def starts(items: list[Any]) -> list[int]:
    return [(item.start_ns - OPEN) // S for item in items]


def test_a_bar_closes_by_the_clock_though_nobody_trades_half_a_second_late_for_stragglers() -> None:
    join = a_join()
    assert join.begin(trades(1, 20)) == []
    assert join.take(trades(31)) == []
    assert join.advance(OPEN + MINUTE_NS + S // 2 - 1) == []
    [bar] = join.advance(OPEN + MINUTE_NS + S // 2)
    assert (bar.start_ns, bar.volume, bar.complete) == (OPEN, 3, True)
    [again] = join.take(trades(59.9))
    assert (again.start_ns, again.volume, again.revision) == (OPEN, 4, 1)


def test_closed_bars_wait_behind_the_half_one_until_its_candle_is_there() -> None:
    join = a_join()
    join.begin_without()
    assert join.half == (OPEN, OPEN + MINUTE_NS)
    assert join.past is None
    assert join.take(trades(31, 59, 61, 121)) == []
    assert not join.is_half_due(OPEN + 62 * S - 1)
    assert join.is_half_due(OPEN + 62 * S)
    candle = a_bar(0, buy=7.0)
    first, second = join.mend([candle])
    assert first is candle
    assert (second.start_ns, second.volume, second.complete) == (OPEN + MINUTE_NS, 1, True)
    assert starts(join.take(trades(181))) == [120]
    assert join.take(trades(32)) == []  # a straggler of the bar that a candle stands for


@pytest.mark.parametrize(("at_s", "half"), [(1.9, (-60, 60)), (2, (0, 60)), (57.9, (0, 60)), (58, (0, 120)), (60, (0, 120)), (62, (60, 120))])
def test_a_bar_that_ended_or_ends_within_two_seconds_is_asked_for_too(at_s: float, half: tuple[int, int]) -> None:
    join = a_join(at_s, start_ns=OPEN - 3600 * S)
    join.begin_without()
    assert join.half == (OPEN + half[0] * S, OPEN + half[1] * S)
    assert join.past == (OPEN - 3600 * S, OPEN + half[0] * S)


def test_a_gap_is_handed_over_at_once_and_the_bars_it_touches_are_not_complete() -> None:
    join = a_join()
    join.begin(trades(1))
    gap = Gap(ES, OPEN + 40 * S, OPEN + 70 * S, "connection lost")
    assert join.take(gap) == [gap]
    [bar] = join.take(trades(75))
    assert (bar.start_ns, bar.complete) == (OPEN, False)
    [bar] = join.take(trades(125))
    assert (bar.start_ns, bar.complete) == (OPEN + MINUTE_NS, False)
    late = Gap(ES, OPEN + 50 * S, OPEN + 60 * S, "connection lost")
    assert join.take(late) == [late]
    assert join.take(Gap(ES, OPEN - 90 * S, OPEN - 80 * S, "connection lost")) == []


def test_regular_hours_hand_over_only_bars_that_lie_within_them() -> None:
    join = a_join(-90, hours="rth")
    assert join.begin(trades(-100)) == []
    items = join.take(trades(-61, -10, 1, 61, 6 * 3600 + 1800 - 5, 6 * 3600 + 1800 + 5, 6 * 3600 + 1900))
    assert starts(items) == [0, 60, 6 * 3600 + 1740]


async def test_a_backfill_out_of_regular_hours_has_no_bars_and_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "refill", no_trades)
    market = a_market()
    early = START_NS - 45 * MINUTE_NS  # 08:15 Chicago: regular hours begin at 08:30
    source = replace(market, start_ns=early, events=tuple(
        event._replace(at_ns=event.at_ns - 45 * MINUTE_NS, time_ns=event.at_ns - 45 * MINUTE_NS, index=event.index - (45 * 60 << 32))
        for event in market.events if isinstance(event, Print)) + market.events)  # fmt: skip
    async with connected(source, SEAM_NS + 30 * S) as provider:
        items = await collected(provider.subscribe_bars(source.contracts[0], backfill=dt.timedelta(hours=1), hours="rth"), provider, 4)
    assert_bars(items, market.bars(), BOTH)


@pytest.mark.parametrize("backfill_s", [0, 20, 30, 89])
def test_a_backfill_begins_with_the_first_bar_that_starts_in_it_and_has_the_running_one_in_any_case(backfill_s: int) -> None:
    join = a_join(start_ns=OPEN + (30 - backfill_s) * S)
    assert starts(join.begin(trades(-30, 10, 61))) == [0]
    join = a_join(start_ns=OPEN + (30 - backfill_s) * S)
    join.begin_without()
    assert join.past is None


def test_a_trade_that_the_history_has_and_the_live_stream_has_not_counts() -> None:
    [bar] = a_join().begin(trades(1, 40, 61))
    assert (bar.start_ns, bar.volume) == (OPEN, 2)


def test_trades_without_an_index_that_are_both_fetched_and_live_count_once() -> None:
    join = a_join()
    join.begin(trades(1, 29, 31, index=-1))
    join.take(trades(29, 31, index=-1))
    [bar] = join.take(trades(32, 61, index=-1))
    assert isinstance(bar, Bar)
    assert bar.volume == 4.0


def test_a_week_that_began_before_this_session_is_a_candle_s() -> None:
    join = Join(ES, Timeframe.parse("1w"), "eth", None, opening("wednesday"))
    assert not join.fits_session
    join.begin_without()
    assert join.half is not None
    assert join.half[0] == opening() - (15 * 3600 + 1800) * S  # Sunday 17:00 Chicago
    assert join.half[1] == opening("friday") + (3 * 3600 + 2700) * S  # the half day after Thanksgiving: 12:15 Chicago


@pytest.mark.parametrize(("timeframe", "at_s", "expected"), [("1m", 59.9, (0, 60)), ("4h", 0, (-2 * 3600 - 1800 - 3600, 3600 - 1800)), ("5s", 7, (5, 10))])
def test_the_span_of_a_bar_is_where_the_builder_puts_it(timeframe: str, at_s: float, expected: tuple[int, int]) -> None:
    grid = Grid(ES, Timeframe.parse(timeframe), "session_open", OPEN, OPEN)
    start_ns, end_ns = grid.span(OPEN + int(at_s * S))
    assert ((start_ns - OPEN) // S, (end_ns - OPEN) // S) == expected
    [bar] = build_history(trades(at_s), timeframe, ES).bars().index.as_unit("ns").asi8.tolist()
    assert bar == start_ns


def test_rows_of_a_frame_become_bars_with_none_for_what_is_not_known() -> None:
    frame = build_history(trades(1, 2, 61, side=[1, -1, 1]), "1m", ES).bars()
    frame.loc[frame.index[0], ["buy_volume", "sell_volume", "min_delta", "max_delta"]] = np.nan
    one, two = bars_of(frame, ES, M1, OPEN + 2 * MINUTE_NS)
    assert (one.start_ns, one.end_ns, one.volume, one.trades, one.buy_volume, one.delta, one.min_delta) == (OPEN, OPEN + MINUTE_NS, 2, 2, None, None, None)
    assert (two.start_ns, two.buy_volume, two.sell_volume, str(two.session), two.delta_source) == (OPEN + MINUTE_NS, 1, 0, "2026-11-23", "time_and_sale")
    assert bars_of(frame.iloc[:0], ES, M1, OPEN) == []
    ticks = bars_of(build_history(trades(1, 2, 61), "2t", ES).bars(), ES, Timeframe.parse("2t"), OPEN + 70 * S)
    assert [((bar.start_ns - OPEN) // S, (bar.end_ns - OPEN) // S, bar.bar_no) for bar in ticks] == [(1, 61, 0), (61, 70, 1)]


async def test_a_lost_connection_while_the_half_bar_is_asked_for_leaves_it_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise ConnectionLost("gone")

    monkeypatch.setattr(History, "refill", no_trades)
    monkeypatch.setattr(BarFeed, "_asked", broken)
    source = a_market()
    async with connected(source, SEAM_NS + 30 * S) as provider:
        items = await collected(provider.subscribe_bars(source.contracts[0]), provider, 3)
    assert [type(item) for item in items] == [Gap, Bar, Bar]
    assert [bar.complete for bar in items[1:]] == [False, True]


def test_a_bar_that_a_gap_touches_comes_again_with_the_totals_of_its_candle() -> None:
    join = Join(ES, M1, "eth", None, SEAM_NS, "exclude")
    join.begin(a_batch(time_ns=[SEAM_NS - S], price=[6000.0], size=[1.0], index=[1]))
    gap = Gap(ES, SEAM_NS + 70 * S, SEAM_NS + 100 * S, "connection lost")
    items = [*join.take(a_batch(time_ns=[SEAM_NS + 65 * S], price=[6000.0], size=[2.0], index=[2])), *join.take(gap)]
    items += join.take(a_batch(time_ns=[SEAM_NS + 125 * S], price=[6001.0], size=[3.0], index=[3]))
    [torn] = [item for item in items if isinstance(item, Bar) and not item.complete]
    assert (torn.start_ns, torn.volume, torn.revision) == (SEAM_NS + MINUTE_NS, 2.0, 0)
    assert join.torn_due(SEAM_NS + 121 * S) is None  # its candle is not settled yet
    assert join.torn_due(SEAM_NS + 122 * S) == (SEAM_NS + MINUTE_NS, SEAM_NS + 2 * MINUTE_NS)
    assert join.torn_due(SEAM_NS + 999 * S) is None  # asked for once
    candle = replace(a_bar(start_ns=torn.start_ns, end_ns=torn.end_ns, volume=9.0, buy_volume=4.0, sell_volume=5.0), delta_source="candle")
    [told] = join.patch([candle])
    assert isinstance(told, Bar)
    assert (told.volume, told.delta_source, told.complete, told.revision) == (9.0, "candle", False, 1)
    late = join.take(a_batch(time_ns=[SEAM_NS + 66 * S], price=[6000.0], size=[1.0], index=[4]))
    assert not [item for item in late if isinstance(item, Bar) and item.start_ns == torn.start_ns]  # the candle has it already
    filled = join.take(replace(gap, filled=True))
    assert [(item.complete, item.revision) for item in filled if isinstance(item, Bar)] == [(True, 2)]


def test_a_closed_bar_that_a_gap_touches_afterwards_comes_from_its_candle_with_a_higher_revision() -> None:
    join = a_join()
    join.begin(trades(1, 20))
    [whole] = join.advance(OPEN + MINUTE_NS + S // 2)  # by the clock, before anybody knew of the outage
    gap = Gap(ES, OPEN + 20 * S, OPEN + 70 * S, "connection lost")
    told = [item for item in join.take(gap) if isinstance(item, Bar)]
    assert [(bar.complete, bar.revision) for bar in (whole, *told)] == [(True, 0), (False, 1)]
    candle = replace(a_bar(0, buy=7.0), start_ns=OPEN, end_ns=OPEN + MINUTE_NS)
    [patched] = join.patch([candle])
    assert isinstance(patched, Bar)
    assert (patched.volume, patched.complete, patched.revision) == (7, False, 2)
    join.take(replace(gap, end_ns=OPEN + 90 * S))  # another outage, and nobody has traded since
    assert join.patch([candle]) == []
    [grown] = join.patch([replace(candle, volume=9.0)])
    assert isinstance(grown, Bar)
    assert (grown.volume, grown.revision) == (9, 3)


def test_a_candle_that_told_no_more_than_the_trades_tells_no_more_after_another_gap_either() -> None:
    join = a_join()
    join.begin(trades(1, 20))
    join.advance(OPEN + MINUTE_NS + S // 2)
    candle = replace(a_bar(0, buy=1.0), start_ns=OPEN, end_ns=OPEN + MINUTE_NS)
    for end_s in (70, 90):
        join.take(Gap(ES, OPEN + 20 * S, OPEN + end_s * S, "connection lost"))
        assert join.patch([candle]) == []


@pytest.mark.parametrize(("found", "gaps"), [(None, [(OPEN, OPEN + 30 * S + 1)]), ([], [])], ids=["nobody could be asked", "nobody traded"])
def test_a_half_bar_that_nobody_could_be_asked_for_is_a_gap_though_no_trade_came_live(found: list[Bar] | None, gaps: list[tuple[int, int]]) -> None:
    join = a_join()
    join.begin_without()
    join.advance(OPEN + 62 * S)
    assert [(gap.start_ns, gap.end_ns) for gap in join.mend(found) if isinstance(gap, Gap)] == gaps


def test_a_gap_that_reaches_back_to_a_candle_does_not_hand_it_over_twice() -> None:
    join = a_join()
    join.begin_without()
    candle = replace(a_bar(0, buy=7.0), start_ns=OPEN, end_ns=OPEN + MINUTE_NS)
    assert join.mend([candle]) == [candle]
    join.take(Gap(ES, OPEN + 20 * S, OPEN + 70 * S, "no time_and_sale"))
    assert join.torn_due(OPEN + 122 * S) == (OPEN, OPEN + 2 * MINUTE_NS)
    assert join.patch([candle]) == []


def test_a_candle_that_tells_no_more_than_the_trades_changes_nothing() -> None:
    join = Join(ES, M1, "eth", None, SEAM_NS, "exclude")
    join.begin(a_batch(time_ns=[SEAM_NS - S], price=[6000.0], size=[1.0], index=[1]))
    join.take(Gap(ES, SEAM_NS + 70 * S, SEAM_NS + 100 * S, "connection lost"))
    join.take(a_batch(time_ns=[SEAM_NS + 101 * S, SEAM_NS + 125 * S], price=[6000.0, 6001.0], size=[2.0, 1.0], index=[2, 3]))
    assert join.patch([a_bar(start_ns=SEAM_NS + MINUTE_NS, end_ns=SEAM_NS + 2 * MINUTE_NS, volume=2.0, buy_volume=1.0, sell_volume=1.0)]) == []


async def test_a_listener_to_trades_gets_those_that_history_told_a_bar_feed_before_they_came_live(monkeypatch: pytest.MonkeyPatch) -> None:
    told = a_market()
    async with connected(told, SEAM_NS) as provider:
        ears, held, got = provider._keeper._heard, list[tuple[Any, ...]](), list[Any]()
        take = ears.trades
        monkeypatch.setattr(ears, "trades", lambda *messages: bool(held.append(messages)))  # the live stream is behind
        trades = provider.subscribe_trades(told.contracts[0]).on(got.append)
        await until(lambda: held, "nothing comes live")
        bars = provider.subscribe_bars(told.contracts[0], "1m")
        await bars.ready()
        monkeypatch.setattr(ears, "trades", take)
        for messages in held:
            take(*messages)
        last = told.events[-1]
        await until(lambda: got and got[-1].index[-1] == last.index, lambda: f"the last trade does not come, {provider.status()}")
        trades.cancel()
        assert (await anext(bars)).complete
    live = [one.index for one in told.events if isinstance(one, Print) and one.at_ns >= SEAM_NS]
    assert [index for batch in got for index in batch.index.tolist()] == live


async def test_a_backfill_that_the_feed_s_candles_do_not_go_back_to_begins_with_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    told = a_market()
    wire = Wire(history_cap={"TimeAndSale": 100, "Candle": 4})
    async with Emulator(told, speed="max", start_on=("Nothing",), live_from_ns=told.events[-1].at_ns + 1, wire=wire, truth_path=os.devnull) as emulator:
        provider = create_provider(login(emulator))
        assert isinstance(provider, TastyTradeProvider)
        provider._wall_ns = lambda: START_NS + 4 * MINUTE_NS + 30 * S
        monkeypatch.setattr(provider._history, "refill", no_trades)
        async with provider:
            items = await collected(provider.subscribe_bars(told.contracts[0], "1m", backfill=dt.timedelta(minutes=4, seconds=30)), provider, 4)
    assert items[0] == Gap(told.contracts[0], START_NS, START_NS + MINUTE_NS, NO_HISTORY)
    assert [(one.start_ns - START_NS) // MINUTE_NS for one in items[1:4]] == [1, 2, 3]
