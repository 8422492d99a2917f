"""The cards for bars, history, quotes and summaries: the second half of tests/checks/providers.py. `DATA_CARDS` lists them.

A card asks only for what `capabilities` claim.

P17  bars of a range in which the market was closed: an empty frame, with all columns in their types
P18  bars of a range in which the market was open and nothing came: NoData
P19  a bars frame: index, columns and types of the contract, ascending and unique, in [start, end); bought, sold and unknown volume make the volume
P20  historical trades are the published prints of [start, end), oldest first
P21  history agrees with itself: bars made of the historical trades are the historical bars, in prices and volume
P22  subscribe_bars hands over each closed bar once, in order, and it is what a plain count over the prints gives
P23  so it does, history before it and all, to who comes in the middle; gaps are told only for what was never there
P24  regular hours are a part of all hours
P25  an unknown timeframe raises UnsupportedTimeframe, which names it and what is accepted
P26  quotes are those published; where one side of the book is empty, that side is None and the other is kept
P27  the summary's volume is that of the day's prints
P28  after a restart in mid-session, history and live trades together make the CVD of the whole session
P29  earliest is where the first bar starts
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import BarBuilder, build_bars
from tastytrade_provider.emulator import Market, Print, QuoteChange
from tastytrade_provider.emulator.market import START_NS
from tastytrade_provider.errors import NoData, UnsupportedTimeframe
from tastytrade_provider.model import AggressorSide, Bar, Contract, Gap, Quote, Summary, TradeBatch
from tastytrade_provider.provider import Capabilities, Subscription
from tests.checks.providers import Make, Stage, has_index, told_ns
from tests.checks.sources import Excerpt, until

BAR, BAR_NS = "5s", 5_000_000_000
FLOATS = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "vwap", "min_delta", "max_delta")
COLUMNS = ["open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap", "min_delta", "max_delta", "session", "delta_source",
           "complete", "revision"]  # fmt: skip
SATURDAY = ("2026-02-28T12:00:00Z", "2026-02-28T18:00:00Z")
THURSDAY = ("2026-02-26T15:00:00Z", "2026-02-26T16:00:00Z")
"""Before the made-up markets of the cards begin: one closed, one open."""


@dataclass(frozen=True)
class Plain:
    """One bar counted by hand from prints. The sides of `unknown` are the provider's to infer."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    bought: float
    sold: float
    unknown: float


def plain_bars(prints: list[Print], capabilities: Capabilities) -> dict[int, Plain]:
    """By start, UTC ns."""
    groups: dict[int, list[Print]] = {}
    for one in prints:
        groups.setdefault(told_ns(one, capabilities) // BAR_NS * BAR_NS, []).append(one)
    found = {}
    for start, group in groups.items():
        prices = [one.price for one in group]
        sides = [sum(one.size for one in group if one.side is side) for side in (AggressorSide.BUY, AggressorSide.SELL, AggressorSide.UNKNOWN)]
        found[start] = Plain(prices[0], max(prices), min(prices), prices[-1], sum(sides), *sides)
    return found


def assert_plain(bar: Any, expected: Plain, capabilities: Capabilities) -> None:
    """A bar (a value, or a frame's row) against a count by hand; the split where the feed has it from the exchange."""
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (expected.open, expected.high, expected.low, expected.close, expected.volume)
    if capabilities.side_source == "exchange":
        assert expected.bought <= bar.buy_volume <= expected.bought + expected.unknown
        assert expected.sold <= bar.sell_volume <= expected.sold + expected.unknown
        assert bar.buy_volume + bar.sell_volume <= bar.volume


def stamp(at_ns: int) -> pd.Timestamp:
    return pd.Timestamp(at_ns, unit="ns", tz="UTC")


def bounds(prints: list[Print]) -> tuple[pd.Timestamp, pd.Timestamp]:
    """A range around prints, by whole bars."""
    return stamp(prints[0].time_ns // BAR_NS * BAR_NS), stamp((prints[-1].time_ns // BAR_NS + 1) * BAR_NS)


async def heard(stage: Stage) -> Contract:
    """Connect, and listen to ES until all of it has come; the feed stays open."""
    await stage.provider.connect()
    contract = await stage.provider.resolve("ES")
    got: list[Any] = []
    stage.provider.subscribe_trades(contract).on(got.append)
    published = len(stage.source.prints(contract))
    await until(lambda: sum(map(len, got)) == published, lambda: f"{sum(map(len, got))} of {published} prints came")
    return contract


def open_market(events: int = 1500, *, prints_per_s: float = 12.0, before_s: int = 0) -> Excerpt:
    """ES alone, served as a live market: a quarter of a minute with fewer prints than a feed's history has at most."""
    return Excerpt(Market(seed=20261122, roots=("ES",), prints_per_s=prints_per_s, start_ns=START_NS - before_s * 10**9), events, is_endless=True)


async def p17_a_closed_market_gives_an_empty_frame_with_all_columns(make: Make) -> None:
    async with make(open_market()) as stage:
        if stage.provider.capabilities.historical_bars:
            assert_frame(await stage.provider.historical_bars(await heard(stage), BAR, *SATURDAY), 0)


async def p18_an_open_market_without_an_answer_is_no_data(make: Make) -> None:
    async with make(open_market()) as stage:
        if stage.provider.capabilities.historical_bars:
            contract = await heard(stage)
            with pytest.raises(NoData):
                await stage.provider.historical_bars(contract, "1m", *THURSDAY)


def assert_frame(frame: pd.DataFrame, rows: int) -> None:
    """Index, columns and types of a frame of time bars."""
    assert len(frame) == rows
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert (frame.index.name, str(frame.index.dtype)) == ("time", "datetime64[ns, UTC]")
    assert [name for name in frame.columns if name in COLUMNS] == COLUMNS
    assert {name: str(frame[name].dtype) for name in FLOATS} == dict.fromkeys(FLOATS, "float64")
    assert str(frame["trades"].dtype) in ("int64", "float64")
    assert (str(frame["session"].dtype), str(frame["delta_source"].dtype), str(frame["complete"].dtype)) == ("datetime64[ns]", "category", "bool")
    assert frame["revision"].dtype.kind == "i"
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique


async def p19_a_bars_frame_keeps_its_contract(make: Make) -> None:
    async with make(open_market()) as stage:
        capabilities = stage.provider.capabilities
        if not capabilities.historical_bars:
            return
        prints = stage.source.prints()
        expected = plain_bars(prints, capabilities)
        contract, (start, end) = await heard(stage), bounds(prints)
        frame = await stage.provider.historical_bars(contract, BAR, start, end)
        assert_frame(frame, len(expected))
        for at, row in zip(frame.index.as_unit("ns").asi8.tolist(), frame.itertuples(), strict=True):  # type: ignore[attr-defined]
            assert_plain(row, expected[at], capabilities)
        assert set(frame["session"]) == {pd.Timestamp("2026-03-02")}
        shorter = await stage.provider.historical_bars(contract, BAR, start + pd.Timedelta(seconds=5), end - pd.Timedelta(seconds=5))
        assert shorter.index.tolist() == frame.index[1:-1].tolist()


async def p20_historical_trades_are_the_published_prints(make: Make) -> None:
    async with make(open_market()) as stage:
        capabilities = stage.provider.capabilities
        if not capabilities.historical_trades:
            return
        prints = stage.source.prints()
        contract, (start, end) = await heard(stage), bounds(prints)
        middle = stamp(prints[len(prints) // 2].time_ns // 10**9 * 10**9)
        for first, last in ((start, end), (start, middle)):
            expected = [p for p in prints if first.value <= told_ns(p, capabilities) < last.value]
            trades = await stage.provider.historical_trades(contract, first, last)
            assert trades.index.tolist() == [p.index if has_index(capabilities) else -1 for p in expected]
            assert trades.time_ns.tolist() == [told_ns(p, capabilities) for p in expected]
            assert trades.price.tolist() == [p.price for p in expected]
            assert trades.size.tolist() == [p.size for p in expected]


async def p21_bars_of_the_historical_trades_are_the_historical_bars(make: Make) -> None:
    async with make(open_market()) as stage:
        provider = stage.provider
        if not (provider.capabilities.historical_trades and provider.capabilities.historical_bars):
            return
        contract, (start, end) = await heard(stage), bounds(stage.source.prints())
        told = await provider.historical_bars(contract, BAR, start, end)
        made = build_bars(await provider.historical_trades(contract, start, end), BAR, contract)
        assert made.index.tolist() == told.index.tolist()
        for name in ("open", "high", "low", "close", "volume"):
            np.testing.assert_array_equal(made[name], told[name], name)


def assert_bars(items: list[Any], prints: list[Print], capabilities: Capabilities) -> None:
    """Every bar of the prints but the last, each once and in order; gaps only for what lies before them."""
    expected = plain_bars(prints, capabilities)
    bars = [item for item in items if isinstance(item, Bar)]
    gaps = [item for item in items if isinstance(item, Gap)]
    closed = sorted(expected)[:-1]
    assert [bar.start_ns for bar in bars][: len(closed)] == closed
    assert len(bars) <= len(expected)  # the last one may be closed by the clock
    assert all(gap.end_ns <= prints[0].time_ns for gap in gaps), gaps
    for bar in bars[: len(closed)]:
        assert_plain(bar, expected[bar.start_ns], capabilities)
        touched = any(gap.start_ns < bar.end_ns and gap.end_ns > bar.start_ns for gap in gaps)
        assert (bar.end_ns - bar.start_ns, bar.revision, bar.complete or touched) == (BAR_NS, 0, True)


async def enough(bars: Subscription[Bar | Gap], prints: list[Print]) -> list[Any]:
    """The items of a subscription, up to the last bar but one of the prints."""
    last = sorted({one.time_ns // BAR_NS * BAR_NS for one in prints})[-2]
    items: list[Any] = []
    bars.on(items.append)
    await until(
        lambda: bars.has_ended or any(isinstance(item, Bar) and item.start_ns >= last for item in items), lambda: f"bars to {last} did not come: {items}"
    )
    return items


async def p22_each_closed_bar_comes_once_as_the_prints_make_it(make: Make) -> None:
    async with make(open_market()) as stage:
        provider = stage.provider
        if provider.capabilities.bars:
            await provider.connect()
            contract = await provider.resolve("ES")
            bars = provider.subscribe_bars(contract, BAR, backfill=dt.timedelta(hours=1))
            provider.subscribe_trades(contract).on(lambda item: None)
            assert_bars(await enough(bars, stage.source.prints()), stage.source.prints(), provider.capabilities)


async def p23_history_and_live_bars_join_for_who_comes_in_the_middle(make: Make) -> None:
    async with make(open_market()) as stage:
        provider, prints = stage.provider, stage.source.prints()
        if not provider.capabilities.bars:
            return
        await provider.connect()
        contract = await provider.resolve("ES")
        late: list[Subscription[Bar | Gap]] = []
        count = 0

        def listen(batch: TradeBatch) -> None:
            nonlocal count
            count += len(batch)
            if count > len(prints) / 3 and not late:
                late.append(provider.subscribe_bars(contract, BAR, backfill=dt.timedelta(hours=1)))

        trades: Any = provider.subscribe_trades(contract)
        trades.on(listen)
        await until(lambda: late or trades.has_ended, "a third of the prints did not come")
        assert_bars(await enough(late[0], prints), prints, provider.capabilities)


async def p24_regular_hours_are_a_part_of_all_hours(make: Make) -> None:
    async with make(open_market(prints_per_s=2.0, before_s=120)) as stage:  # two minutes before the regular open
        if not stage.provider.capabilities.historical_bars:
            return
        contract, prints = await heard(stage), stage.source.prints()
        start, end = stamp(START_NS - 3600 * 10**9), stamp(prints[-1].time_ns)
        eth, rth = [await stage.provider.historical_bars(contract, "1m", start, end, hours=hours) for hours in ("eth", "rth")]
        assert 0 < len(rth) == len(eth) - 2
        pd.testing.assert_frame_equal(rth, eth[eth.index >= stamp(START_NS)], check_freq=False)


async def p25_an_unknown_timeframe_is_told_with_what_is_accepted(make: Make) -> None:
    async with make(open_market()) as stage:
        provider = stage.provider
        contract, said = await heard(stage), "'7x' is not a number followed by s m h d w mo t v r"
        if provider.capabilities.historical_bars:
            with pytest.raises(UnsupportedTimeframe, match=said):
                await provider.historical_bars(contract, "7x", *THURSDAY)
        if provider.capabilities.bars and provider.is_connected:
            with pytest.raises(UnsupportedTimeframe, match=said):
                provider.subscribe_bars(contract, "7x")


@dataclass(frozen=True)
class OneSided(Excerpt):
    """A market whose bid is gone after two thirds of the events."""

    def __iter__(self) -> Iterator[Print | QuoteChange]:
        for place, event in enumerate(super().__iter__()):
            yield event if place < self.events * 2 // 3 else event._replace(bid=math.nan)


async def p26_quotes_are_those_published_also_one_sided(make: Make) -> None:
    whole = open_market()
    source = OneSided(whole.market, whole.events, is_endless=True)
    async with make(source) as stage:
        provider = stage.provider
        if not provider.capabilities.quotes:
            return
        await provider.connect()
        contract = await provider.resolve("ES")
        got: list[Any] = []
        quotes = provider.subscribe_quotes(contract).on(got.append)
        trades = provider.subscribe_trades(contract).on(lambda item: None)
        await until(lambda: any(isinstance(item, Quote) and item.bid is None for item in got) or trades.has_ended, "no one-sided quote came")
        published = {tuple(None if math.isnan(price) else price for price in (event.bid, event.ask)) for event in source}
        assert got
        assert all(isinstance(item, Quote) and item.contract == contract for item in got)
        assert {(item.bid, item.ask) for item in got} <= published
        assert any(item.bid is None and item.ask is not None and item.bid_size is None for item in got)
        assert quotes.error is None


async def p27_the_summary_counts_the_day_s_prints(make: Make) -> None:
    async with make(open_market()) as stage:
        provider = stage.provider
        if not provider.capabilities.summary:
            return
        await provider.connect()
        contract = await provider.resolve("ES")
        latest: list[Summary] = []
        provider.subscribe_summary(contract).on(latest.append)
        provider.subscribe_trades(contract).on(lambda item: None)
        total = sum(one.size for one in stage.source.prints())
        await until(lambda: latest and latest[-1].volume == total, lambda: f"{latest[-1:]} is not the volume {total}")
        volumes = [one.volume for one in latest if one.volume is not None]
        assert volumes == sorted(volumes)


async def p28_after_a_restart_history_and_live_trades_make_the_whole_session(make: Make) -> None:
    async with make(open_market()) as stage:
        provider, prints = stage.provider, stage.source.prints()
        if not (provider.capabilities.historical_trades and has_index(provider.capabilities)):
            return
        contract = await heard(stage)
        await provider.disconnect()
        await provider.connect()
        builder, missing = BarBuilder(contract, "1m"), {one.index for one in prints}

        def add(batch: TradeBatch) -> None:
            builder.add(batch)
            missing.difference_update(batch.index.tolist())

        live: Any = provider.subscribe_trades(contract)
        with suppress(NoData):  # a market that begins anew has no history yet: all of it is still to come
            add(await provider.historical_trades(contract, stamp(prints[0].time_ns) - pd.Timedelta(hours=1)))
        live.on(add)
        await until(lambda: not missing, lambda: f"{len(missing)} of {len(prints)} prints are missing")
        told = sum(one.size * int(one.side) for one in prints)
        unknown = sum(one.size for one in prints if one.side is AggressorSide.UNKNOWN)
        assert abs(builder.cvd.value - told) <= unknown
        assert len(builder.ledger) == len(prints)


async def p29_earliest_is_where_the_first_bar_starts(make: Make) -> None:
    async with make(open_market()) as stage:
        provider = stage.provider
        if not provider.capabilities.historical_bars:
            return
        contract, first_ns = await heard(stage), stage.source.prints()[0].time_ns
        found = await provider.earliest(contract, "1m")
        assert found == stamp(first_ns).floor("min")


DATA_CARDS = (
    p17_a_closed_market_gives_an_empty_frame_with_all_columns,
    p18_an_open_market_without_an_answer_is_no_data,
    p19_a_bars_frame_keeps_its_contract,
    p20_historical_trades_are_the_published_prints,
    p21_bars_of_the_historical_trades_are_the_historical_bars,
    p22_each_closed_bar_comes_once_as_the_prints_make_it,
    p23_history_and_live_bars_join_for_who_comes_in_the_middle,
    p24_regular_hours_are_a_part_of_all_hours,
    p25_an_unknown_timeframe_is_told_with_what_is_accepted,
    p26_quotes_are_those_published_also_one_sided,
    p27_the_summary_counts_the_day_s_prints,
    p28_after_a_restart_history_and_live_trades_make_the_whole_session,
    p29_earliest_is_where_the_first_bar_starts,
)
