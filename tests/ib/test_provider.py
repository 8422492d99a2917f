"""The provider on a fake TWS, through a real socket and ib_async's own client."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.emulator import Emulator, Market, Oddities, Print
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.errors import (
    CapacityExceeded,
    ConnectionLost,
    NoData,
    NotEntitled,
    PacingViolation,
    RequestTimeout,
    SessionConflict,
    UnknownContract,
    UnsupportedTimeframe,
    UsageError,
)
from tastytrade_provider.history import build_bars
from tastytrade_provider.ib import bar_feed, streams, wire
from tastytrade_provider.ib import provider as shell
from tastytrade_provider.ib.provider import IbProvider
from tastytrade_provider.model import Bar, Contract, Gap, Quote, SideSource, Summary, Timeframe, TradeBatch
from tests.checks.sources import LIMIT_S, Excerpt, excerpt, until
from tests.checks.tws import Unhurried, login

S, MINUTE_NS = 10**9, 60_000_000_000


def calm(events: int = 3000, roots: tuple[str, ...] = ("ES",), *, is_endless: bool = False) -> Excerpt:
    """A market of about eight prints a second: 3000 events are some four minutes."""
    return Excerpt(Market(seed=20261122, roots=roots, prints_per_s=2.0), events, is_endless)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects, and streams that come anew, do not wait."""
    monkeypatch.setattr(shell, "backoff_s", lambda attempt, chance: 0.0)
    monkeypatch.setattr(streams, "_GRANT_S", 0.05)
    monkeypatch.setattr(bar_feed, "_GRANT_S", 0.05)


@asynccontextmanager
async def a_stage(source: Excerpt, tmp_path: Any = None, *, is_past: bool = False, **knobs: Any) -> AsyncIterator[tuple[Emulator, IbProvider]]:
    """A connected provider; with `is_past` the whole source has happened already."""
    end_ns = max(event.at_ns for event in source) + 1 if is_past else None
    knobs = {"start_on": ("AllLast",), "l1_period_s": 0.0} | knobs
    async with Emulator(source, speed="max", tws=TwsKnobs(**knobs), start_on=(), live_from_ns=end_ns, truth_path=tmp_path) as emulator:
        provider = create_provider(login(emulator))
        assert isinstance(provider, IbProvider)
        async with provider:
            yield emulator, provider


@pytest.fixture(autouse=True)
def _own_truth(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def counted(source: Excerpt, contract: Contract) -> list[Print]:
    """Prints that bars count."""
    return [p for p in source.prints(contract) if p.valid_tick and not p.spread_leg]


def batch_of(source: Excerpt, contract: Contract) -> TradeBatch:
    prints = counted(source, contract)
    return TradeBatch(contract, {"time_ns": [p.time_ns for p in prints], "price": [p.price for p in prints], "size": [p.size for p in prints]})


def stamp(at_ns: int) -> pd.Timestamp:
    return pd.Timestamp(at_ns, unit="ns", tz="UTC")


async def take(subscription: Any, count: int) -> list[Any]:
    async with asyncio.timeout(LIMIT_S):
        return [await anext(subscription) for _ in range(count)]


# -- history


@pytest.mark.parametrize("timeframe", ["5s", "20s", "1m", "4m", "1h", "4h", "1d", "1w"])
@pytest.mark.parametrize("zone", ["US/Central", "Asia/Tokyo"])
async def test_bars_of_the_past_are_those_of_the_prints_whatever_zone_tws_is_set_to(timeframe: str, zone: str) -> None:
    source = calm(5000)
    async with a_stage(source, is_past=True, time_zone=zone) as (_, provider):
        es = await provider.resolve("ES")
        found = await provider.historical_bars(es, timeframe, stamp(source.start_ns) if timeframe.endswith("s") else None)
        expected = build_bars(batch_of(source, es), timeframe, es)
        pd.testing.assert_index_equal(found.index, expected.index)
        for name in ("open", "high", "low", "close", "volume", "trades"):
            np.testing.assert_array_equal(found[name], expected[name], name)
        np.testing.assert_allclose(found["vwap"], expected["vwap"], rtol=1e-9)
        assert found["session"].tolist() == expected["session"].tolist()
        assert list(found.columns) == list(expected.columns)
        assert found[["buy_volume", "sell_volume", "min_delta", "max_delta"]].isna().all().all()
        assert set(found["delta_source"]) == {"none"}


async def test_a_range_is_cut_by_bar_start() -> None:
    source = calm(5000)
    async with a_stage(source, is_past=True) as (_, provider):
        es = await provider.resolve("ES")
        whole = await provider.historical_bars(es, "1m")
        assert len(whole) > 3
        found = await provider.historical_bars(es, "1m", whole.index[1], whole.index[3])
        pd.testing.assert_frame_equal(found, whole.iloc[1:3])


async def test_bars_say_whether_ib_begins_later_than_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    source = calm(5000)  # from Monday 09:00 Chicago on
    first_ns = source.start_ns // MINUTE_NS * MINUTE_NS
    async with a_stage(source, is_past=True) as (_, provider):
        es = await provider.resolve("ES")

        async def was_cut(start_ns: int, timeframe: str = "1m") -> bool:
            told = (await provider.historical_bars(es, timeframe, stamp(start_ns))).attrs["start_was_cut"]
            assert isinstance(told, bool)
            return told

        assert [await was_cut(at_ns) for at_ns in (first_ns - 5 * MINUTE_NS, first_ns, first_ns + MINUTE_NS)] == [True, False, False]
        assert [await was_cut(first_ns - days * 1440 * MINUTE_NS, "1d") for days in (1, 4)] == [False, True]  # there is Sunday's open between, and Friday's
        heads = provider._history._heads_ns
        assert list(heads.values()) == [source.prints(es)[0].time_ns // S * S]
        heads[next(iter(heads))] = first_ns - 3 * MINUTE_NS  # IB has had trades since then, but none in the minutes that were asked for
        assert [await was_cut(first_ns - minutes * MINUTE_NS) for minutes in (3, 5)] == [False, True]
        heads.clear()
        monkeypatch.setattr(wire.Wire, "ask", _no_head(wire.Wire.ask))
        assert await was_cut(first_ns - 3 * MINUTE_NS)  # nobody knows


def _no_head(ask: Any) -> Any:
    async def asked(self: wire.Wire, subject: str, *args: Any, **options: Any) -> Any:
        if "first date" in subject:
            raise RequestTimeout("no answer")
        return await ask(self, subject, *args, **options)

    return asked


async def test_a_closed_market_is_an_empty_frame_with_all_columns() -> None:
    async with a_stage(excerpt(events=500, roots=("ES",)), is_past=True) as (_, provider):
        es = await provider.resolve("ES")
        saturday = await provider.historical_bars(es, "1m", "2026-02-28T12:00Z", "2026-02-28T18:00Z")
        assert (len(saturday), saturday.attrs["start_was_cut"]) == (0, False)
        assert list(saturday.columns) == list((await provider.historical_bars(es, "1m")).columns)


async def test_an_open_market_without_bars_is_no_data_and_never_an_empty_frame() -> None:
    async with a_stage(excerpt(events=500, roots=("ES",)), is_past=True) as (_, provider):
        es = await provider.resolve("ES")
        with pytest.raises(NoData, match="open"):
            await provider.historical_bars(es, "1m", "2026-02-26T15:00Z", "2026-02-26T16:00Z")
        with pytest.raises(NoData, match="open"):
            await provider.historical_trades(es, "2026-02-26T15:00Z", "2026-02-26T15:01Z")


async def test_a_login_without_permission_is_told_so() -> None:
    async with a_stage(excerpt(events=500, roots=("ES",)), is_past=True, not_entitled=("ES",)) as (_, provider):
        es = await provider.resolve("ES")
        with pytest.raises(NotEntitled, match="permission"):
            await provider.historical_bars(es, "1m")
        with pytest.raises(NotEntitled):
            await provider.subscribe_trades(es).ready()
        with pytest.raises(NotEntitled):
            await provider.subscribe_summary(es).ready()
        with pytest.raises(NotEntitled):
            await provider.subscribe_bars(es, "1m").ready()


async def test_requests_keep_within_the_pacing_rules_of_tws() -> None:
    source = calm(6000)
    async with a_stage(source, is_past=True, pacing=True) as (_, provider):
        es = await provider.resolve("ES")
        prints = counted(source, es)
        batch = await provider.historical_trades(es, stamp(prints[0].time_ns // 10**9 * 10**9), stamp(prints[-1].time_ns + 10**9))
        assert len(batch) == len(prints) > 3000


async def test_a_pacing_violation_is_an_error_and_not_an_empty_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_stage(calm(500), is_past=True, pacing=True) as (_, provider):
        es = await provider.resolve("ES")
        monkeypatch.setattr(provider._history.pacer, "wait_s", lambda ask, now_s: 0.0)
        with pytest.raises(PacingViolation, match="162"):
            await provider.historical_bars(es, "5s")  # more pages than two seconds allow


async def test_a_request_that_is_not_answered_times_out_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_stage(excerpt(events=500, roots=("ES",)), is_past=True) as (_, provider):
        es = await provider.resolve("ES")
        monkeypatch.setattr(wire.Wire.ask, "__kwdefaults__", {"cancel": None, "timeout_s": 0.05})
        assert provider._wire is not None
        monkeypatch.setattr(provider._wire.client, "reqHistoricalData", lambda *_: None)
        with pytest.raises(RequestTimeout, match="did not answer bars of 1 min"):
            await provider.historical_bars(es, "1m")


async def test_trades_of_the_past_come_whole_and_with_sides_from_quotes() -> None:
    source = calm(3000)
    async with a_stage(source, is_past=True) as (_, provider):
        es = await provider.resolve("ES")
        prints = counted(source, es)
        start_ns, end_ns = prints[0].time_ns // 10**9 * 10**9, prints[-1].time_ns + 10**9
        batch = await provider.historical_trades(es, stamp(start_ns), stamp(end_ns))
        assert batch.price.tolist() == [p.price for p in prints]
        assert batch.size.tolist() == [p.size for p in prints]
        assert batch.time_ns.tolist() == [p.time_ns // 10**9 * 10**9 for p in prints]
        assert (batch.side_source == SideSource.QUOTE).mean() > 0.8
        flagged = np.array([int(p.side) for p in prints])
        agree = (batch.side == flagged)[flagged != 0].mean()
        assert agree > 0.95, agree


async def test_the_first_date_is_the_start_of_the_first_bar() -> None:
    source = excerpt(events=2000, roots=("ES",))
    async with a_stage(source, is_past=True) as (_, provider):
        es = await provider.resolve("ES")
        assert await provider.earliest(es, "1m") == stamp(source.prints(es)[0].time_ns // MINUTE_NS * MINUTE_NS)
        assert await provider.earliest(es) == pd.Timestamp("2026-03-01T23:00Z")  # Sunday 17:00 Chicago


@pytest.mark.parametrize("timeframe", ["133t", "1000v", "8r", "7x"])
async def test_timeframes_that_ib_lacks_are_refused_with_the_reason(timeframe: str) -> None:
    provider = create_provider({"data_provider": "ib"})
    with pytest.raises(UnsupportedTimeframe, match=timeframe):
        await provider.historical_bars(Contract("ES", "/ESH6", "/ESH26:XCME"), timeframe)
    with pytest.raises(UnsupportedTimeframe, match=timeframe):
        provider.subscribe_bars(Contract("ES", "/ESH6", "/ESH26:XCME"), timeframe)


# -- contracts


async def test_a_contract_is_the_same_whichever_broker_it_comes_from() -> None:
    source = excerpt(roots=("ES", "GC"))
    async with a_stage(source) as (emulator, provider):
        tasty = create_provider(
            {"data_provider": "tastytrade", "tastytrade": {"client_secret": "s" * 9, "refresh_token": "r" * 9, "api_url": emulator.api_url}}
        )
        assert tasty.name == "tastytrade"
        for expected in source.contracts:
            found = await provider.resolve(expected.root)
            assert (found.symbol, found.streamer_symbol, found.expiry) == (expected.symbol, expected.streamer_symbol, expected.expiry)
            assert (found.tick_size, found.multiplier, found.calendar) == (expected.tick_size, expected.multiplier, expected.calendar)


async def test_a_contract_nobody_lists_ends_the_subscription_that_asked_for_it() -> None:
    async with a_stage(excerpt(roots=("ES",))) as (_, provider):
        subscription = provider.subscribe_trades(Contract("ZZ", "/ZZH6", "/ZZH26:XCME"))
        with pytest.raises(UnknownContract, match="ZZH26"):
            await subscription.ready()


# -- live


async def test_quotes_arrive_as_published_and_an_empty_side_is_none() -> None:
    source = excerpt(events=600, roots=("ES",))
    async with a_stage(source, start_on=("BidAsk",)) as (emulator, provider):
        es = await provider.resolve("ES")
        subscription = provider.subscribe_quotes(es)
        await emulator.wait_finished()
        await provider.earliest(es)
        await provider.disconnect()
        quotes = [item async for item in subscription if isinstance(item, Quote)]
        expected = [event for event in source if not isinstance(event, Print)]
        assert [(quote.bid, quote.ask, quote.bid_size, quote.ask_size) for quote in quotes] == [(q.bid, q.ask, q.bid_size, q.ask_size) for q in expected]
        assert [quote.time_ns for quote in quotes] == [event.at_ns // 10**9 * 10**9 for event in expected]


async def test_the_summary_tells_the_day_as_the_prints_make_it() -> None:
    source = excerpt(events=2000, roots=("ES",))
    async with a_stage(source, start_on=("MktData",)) as (emulator, provider):
        es = await provider.resolve("ES")
        seen: list[Summary] = []
        provider.subscribe_summary(es).on(seen.append)
        await emulator.wait_finished()
        await provider.earliest(es)
        prints = counted(source, es)
        last, prices = seen[-1], [p.price for p in prints]
        assert (last.day_open, last.day_high, last.day_low) == (prices[0], max(prices), min(prices))
        assert last.volume == sum(p.size for p in prints)
        assert last.vwap == pytest.approx(sum(p.size * p.price for p in prints) / last.volume)
        assert last.description == "E-mini S&P 500"


@asynccontextmanager
async def a_market_that_has_begun(source: Excerpt, begun: int, kind: str) -> AsyncIterator[tuple[Emulator, Any]]:
    """So many events are the past, the others come once a stream of that kind is asked for."""
    live_from_ns = list(source)[begun].at_ns
    knobs = TwsKnobs(start_on=(kind,), l1_period_s=0.0)
    async with (
        Emulator(source, speed="max", tws=knobs, start_on=(), live_from_ns=live_from_ns) as emulator,
        create_provider(login(emulator)) as provider,
    ):
        yield emulator, provider


@pytest.mark.parametrize("timeframe", ["5s", "10s", "1m", "3m"])
@pytest.mark.parametrize("minutes", [0, 2])
async def test_live_bars_are_those_of_the_prints_each_once_and_join_the_backfill(timeframe: str, minutes: int) -> None:
    source = calm(5000)
    async with a_market_that_has_begun(source, 2000, "RealTimeBars" if timeframe == "5s" else "HistoricalData") as (emulator, provider):
        es = await provider.resolve("ES")
        now_ns = emulator.market_ns
        bars: list[Any] = []
        provider.subscribe_bars(es, timeframe, backfill=dt.timedelta(minutes=minutes) or None).on(bars.append)
        await emulator.wait_finished()
        expected = build_bars(batch_of(source, es), timeframe, es)
        size_ns = Timeframe.parse(timeframe).ns
        wanted = now_ns - minutes * MINUTE_NS if minutes else now_ns // size_ns * size_ns
        expected = expected[expected.index >= stamp(min(wanted, now_ns // size_ns * size_ns))].iloc[:-1]
        await until(lambda: len(bars) >= len(expected), lambda: f"{len(bars)} of {len(expected)} bars")
        bars = bars[: len(expected)]  # the last one may close by the clock
        assert all(isinstance(bar, Bar) for bar in bars)
        assert [bar.start_ns for bar in bars] == expected.index.as_unit("ns").asi8.tolist()
        for name in ("open", "high", "low", "close", "volume", "trades"):
            assert [getattr(bar, name) for bar in bars] == expected[name].tolist(), name
        assert {(bar.revision, bar.delta, bar.delta_source, bar.complete) for bar in bars} == {(0, None, "none", True)}


async def test_five_second_bars_that_come_before_the_stream_is_granted_are_told_all_though_the_market_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    source = calm(2000)
    async with a_market_that_has_begun(source, 500, "RealTimeBars") as (emulator, provider):
        es = await provider.resolve("ES")
        expected = build_bars(batch_of(source, es), "5s", es).index.as_unit("ns").asi8
        expected = expected[expected >= emulator.market_ns // (5 * 10**9) * (5 * 10**9)].tolist()[:-1]  # the last one never ends
        plain = bar_feed.BarFeed._first

        async def only_at_the_end(self: Any, stream: Any) -> Any:
            await until(lambda: stream._bars and stream._bars[-1][1][0] * 10**9 == expected[-1], "the last bar did not come")
            return await plain(self, stream)

        monkeypatch.setattr(bar_feed.BarFeed, "_first", only_at_the_end)
        bars: list[Any] = []
        provider.subscribe_bars(es, "5s").on(bars.append)
        await until(lambda: len(bars) >= len(expected), lambda: f"{len(bars)} of {len(expected)} bars")
        assert [bar.start_ns for bar in bars] == expected


async def test_bars_of_corrected_prints_come_again_as_revisions() -> None:
    """TWS ends the request with a bust event (10225); asked for again, it gives the bars as they are now."""
    market = Market(seed=20261122, roots=("ES",), prints_per_s=2.0, oddities=Oddities(correction=0.002, cancel=0.002))
    source = Excerpt(market, 4000)
    prints = source.prints()
    actions = [int(p.action) for p in prints]
    assert len(set(actions)) == 3
    async with a_market_that_has_begun(source, 100, "HistoricalData") as (emulator, provider):
        provider._history.pacer = Unhurried()
        es = await provider.resolve("ES")
        columns = {name: [getattr(p, name) for p in prints] for name in ("time_ns", "price", "size", "index")}
        expected = build_bars(TradeBatch(es, columns | {"action": actions}), "30s", es)
        bars: list[Any] = []
        provider.subscribe_bars(es, "30s").on(bars.append)
        await emulator.wait_finished()

        def latest() -> dict[int, float]:
            return {bar.start_ns: bar.volume for bar in bars}

        wanted = dict(zip(expected.index.as_unit("ns").asi8.tolist(), expected["volume"].tolist(), strict=True))
        wanted.popitem()
        await until(lambda: {start: latest().get(start) for start in wanted} == wanted, lambda: f"{latest()} is not {wanted}")
        last: dict[int, int] = {}
        for bar in bars:
            assert bar.revision == last.get(bar.start_ns, -1) + 1
            last[bar.start_ns] = bar.revision


async def test_bars_that_were_refused_while_nothing_traded_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """IB answers keepUpToDate with error 162 where it has no bars yet; ib_async stays silent for ever then."""
    source = calm(3000)
    async with a_stage(source, start_on=("AllLast",)) as (emulator, provider):
        es = await provider.resolve("ES")
        monkeypatch.setattr(bar_feed.BarFeed, "_until_open_s", lambda self: 0.01)
        subscription = provider.subscribe_bars(es, "1m")
        await asyncio.wait_for(subscription.ready(), LIMIT_S)  # there is no bar yet, and that is no refusal
        provider.subscribe_trades(es)
        await emulator.wait_finished()
        async with asyncio.timeout(LIMIT_S):
            assert isinstance(await anext(subscription), Bar)


# -- the connection


async def outage(emulator: Emulator, provider: IbProvider, lose: Callable[[], None], restore: Callable[[], None] = lambda: None) -> None:
    lose()
    await until(lambda: not provider.is_connected, "the provider has not noticed")
    restore()
    await until(lambda: provider.is_connected, "the provider has not come back")


@pytest.mark.parametrize("what", ["socket", "1101", "1102"])
async def test_after_an_outage_everything_goes_on_behind_one_gap(what: str) -> None:
    source = excerpt(events=600, roots=("ES",), is_endless=True)
    prints = source.prints()
    async with Emulator(source, speed="max", tws=TwsKnobs(start_on=()), start_on=()) as emulator:
        provider = create_provider(login(emulator))
        assert isinstance(provider, IbProvider)
        async with provider:
            es = await provider.resolve("ES")
            items: list[Any] = []
            trades, quotes = provider.subscribe_trades(es).on(items.append), provider.subscribe_quotes(es)
            await asyncio.wait_for(asyncio.gather(trades.ready(), quotes.ready()), LIMIT_S)
            events = list(source)
            emulator.publish(events[:200])
            emulator.tws.flush()
            await until(lambda: items, "no trade came")
            if what == "socket":
                await outage(emulator, provider, emulator.tws.drop_connections)
            else:
                await outage(emulator, provider, emulator.tws.cut_off, lambda: emulator.tws.reconnect(what == "1101"))
            symbol = es.streamer_symbol
            await until(lambda: len(emulator.tws.gateway._by_symbol.get(symbol, ())) >= 2, "the streams were not asked for again")
            before = sum(map(len, items))
            emulator.publish(events[200:])
            emulator.tws.flush()
            total = sum(isinstance(event, Print) for event in events[200:])
            await until(lambda: sum(len(item) for item in items if isinstance(item, TradeBatch)) == before + total, "trades after the outage are missing")
            gaps = [item for item in items if isinstance(item, Gap)]
            assert [(gap.contract, gap.reason, gap.filled) for gap in gaps] == [(es, "connection lost", False)]
            assert provider.status().gaps == tuple(gaps)
            last = [event for event in events[:200] if isinstance(event, Print)][-1]
            first = next(event for event in events[200:] if isinstance(event, Print))
            assert gaps[0].start_ns <= last.time_ns
            assert gaps[0].end_ns > first.time_ns
            assert provider.status().reconnects == (1 if what == "socket" else 0)
            assert len(prints) == before + total


async def test_while_tws_is_gone_the_status_says_why_and_how_often_it_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_stage(calm(10)) as (emulator, provider):
        opened, tries, gate = provider._open, 0, asyncio.Event()

        async def hard_to_open() -> Any:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise ConnectionLost(f"nobody listens at try {tries}")
            await gate.wait()
            return await opened()

        def told() -> tuple[str | None, int]:
            return provider.status().problem, provider.status().attempts

        monkeypatch.setattr(provider, "_open", hard_to_open)
        assert told() == (None, 0)
        emulator.tws.drop_connections()
        await until(lambda: tries == 3, "it was not tried again")
        problem, attempts = told()
        assert problem is not None
        assert (problem.startswith("connection lost: "), problem.endswith("; reconnect 2 failed: nobody listens at try 2"), attempts) == (True, True, 2)
        gate.set()
        await until(lambda: provider.is_connected, "it did not come back")
        assert told() == (None, 0)
        emulator.tws.cut_off()  # TWS stands, and has lost IB
        await until(lambda: not provider.is_connected, "the provider has not noticed")
        assert told()[0] is not None
        assert "lost" in str(told()[0])
        emulator.tws.reconnect(False)
        await until(lambda: provider.is_connected, "it did not come back")
        assert told() == (None, 0)


async def heard(provider: IbProvider) -> None:
    """Wait until TWS has answered everything that was sent before."""
    with pytest.raises(UnknownContract):
        await provider.resolve("QQQQ")


@asynccontextmanager
async def while_trades_run(source: Excerpt, first: int) -> AsyncIterator[tuple[Emulator, IbProvider, list[Any]]]:
    """A listener to trades who has heard the first so many events."""
    async with Emulator(source, speed="max", tws=TwsKnobs(start_on=()), start_on=()) as emulator, create_provider(login(emulator)) as provider:
        assert isinstance(provider, IbProvider)
        items: list[Any] = []
        trades = provider.subscribe_trades(await provider.resolve("ES")).on(items.append)
        await asyncio.wait_for(trades.ready(), LIMIT_S)
        emulator.publish(list(source)[:first])
        emulator.tws.flush()
        await until(lambda: items, "no trade came")
        yield emulator, provider, items


def untold(missed: list[Any], items: list[Any]) -> list[int]:
    """Times of prints that no gap among the items covers."""
    gaps = [item for item in items if isinstance(item, Gap)]
    return [event.time_ns for event in missed if isinstance(event, Print) and not any(gap.start_ns <= event.time_ns < gap.end_ns for gap in gaps)]


@pytest.mark.parametrize("data_lost", [False, True])
async def test_after_a_broken_data_farm_trades_go_on_behind_a_gap_though_tws_says_nothing_of_subscriptions(
    data_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.Pacer, "stream_wait_s", lambda *_: 0.0)
    source = excerpt(events=600, roots=("ES",), is_endless=True)
    events = list(source)
    async with while_trades_run(source, 200) as (emulator, provider, items):
        emulator.tws.cut_off(2103)
        emulator.publish(events[200:300])  # nobody hears of these
        emulator.tws.flush()
        emulator.tws.reconnect(data_lost, 2104)
        await heard(provider)
        before = sum(len(item) for item in items if isinstance(item, TradeBatch))
        emulator.publish(events[300:])
        emulator.tws.flush()
        total = sum(isinstance(event, Print) for event in events[300:])
        await until(lambda: sum(len(item) for item in items if isinstance(item, TradeBatch)) == before + total, "trades after the outage are missing")
        assert untold(events[200:300], items) == []


@pytest.mark.parametrize(("broken", "mended"), [(2103, 2104), (2110, 1102)])
async def test_the_gap_of_a_tws_that_comes_back_without_its_own_link_lasts_until_that_is_back(
    broken: int, mended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_GAP_AFTER_S", 3600.0)
    monkeypatch.setattr(streams.Pacer, "stream_wait_s", lambda *_: 0.0)
    source = excerpt(events=600, roots=("ES",), is_endless=True)
    events = list(source)
    async with while_trades_run(source, 200) as (emulator, provider, items):
        await outage(emulator, provider, emulator.tws.drop_connections)
        emulator.tws.cut_off(broken)
        await heard(provider)
        provider._tell_gaps()  # nothing has come for a while
        emulator.publish(events[200:400])
        emulator.tws.flush()
        emulator.tws.reconnect(False, mended)
        await heard(provider)
        count = len(items)
        emulator.publish(events[400:])
        emulator.tws.flush()
        await until(lambda: any(isinstance(item, TradeBatch) for item in items[count:]), "the trades do not go on")
        assert untold(events[200:400], items) == []


async def test_what_still_comes_for_a_subscription_that_tws_has_declared_lost_does_not_count_twice() -> None:
    async with while_trades_run(excerpt(events=600, roots=("ES",), is_endless=True), 200) as (emulator, provider, items):
        [session] = emulator.tws.gateway.sessions
        [old] = [req_id for req_id, stream in session.streams.items() if stream.kind == "AllLast"]
        await outage(emulator, provider, emulator.tws.cut_off, lambda: emulator.tws.reconnect(data_lost=True))
        await heard(provider)
        count = len(items)
        for req_id in (old, *(req_id for req_id, stream in session.streams.items() if stream.kind == "AllLast")):
            session.say(99, req_id, 2, emulator.market_ns // 10**9, 6000.0, 3.0, 0, "CME", "")
        emulator.tws.flush()
        await heard(provider)
        assert [item.size.tolist() for item in items[count:] if isinstance(item, TradeBatch)] == [[3.0]]


@asynccontextmanager
async def while_bars_run(**knobs: Any) -> AsyncIterator[tuple[Emulator, IbProvider, Any]]:
    """A listener to bars of half a minute, after a while of trading."""
    source = calm(1000)
    knobs = {"start_on": ()} | knobs
    async with (
        Emulator(source, speed="max", tws=TwsKnobs(**knobs), start_on=(), live_from_ns=list(source)[500].at_ns) as emulator,
        create_provider(login(emulator)) as provider,
    ):
        assert isinstance(provider, IbProvider)
        if not knobs.get("pacing"):
            provider._history.pacer = Unhurried()
        bars = provider.subscribe_bars(await provider.resolve("ES"), "30s")
        await asyncio.wait_for(bars.ready(), LIMIT_S)
        yield emulator, provider, bars


@pytest.mark.parametrize(("broken", "mended"), [(2103, 2104), (2105, 2106)])
async def test_live_bars_that_a_broken_farm_has_stopped_without_a_word_are_asked_for_again(broken: int, mended: int) -> None:
    async with while_bars_run() as (emulator, _, bars):
        emulator.tws.cut_off(broken)
        emulator.tws.reconnect(True, mended)
        [session] = emulator.tws.gateway.sessions
        assert not session.streams
        await until(lambda: session.streams, "the bars have stopped for ever")
        assert not bars.has_ended


async def test_live_bars_that_tws_no_longer_updates_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Error 10182, "failed to request live updates (disconnected)"."""
    monkeypatch.setattr(bar_feed, "_AGAIN_S", 0.01)
    async with while_bars_run() as (emulator, _, bars):
        [session] = emulator.tws.gateway.sessions
        [req_id] = session.streams
        session.drop(req_id, "HistoricalData")
        session.error(req_id, 10182)
        emulator.tws.flush()
        await until(lambda: session.streams, "the bars have stopped for ever")
        assert not bars.has_ended


async def test_a_live_bar_in_which_nothing_has_traded_yet_is_none() -> None:
    """Volume and count -1, as IB sends it; the bars go on."""
    async with while_bars_run() as (emulator, provider, bars):
        [session] = emulator.tws.gateway.sessions
        [req_id] = session.streams
        next_s = (emulator.market_ns // (30 * 10**9) + 1) * 30
        session.say(90, req_id, -1, next_s, 6000.0, 6000.0, 6000.0, 6000.0, -1.0, -1)
        emulator.tws.flush()
        await heard(provider)
        assert not bars.has_ended


async def test_a_second_listener_to_small_bars_waits_for_the_pacing_rule_and_is_not_refused() -> None:
    async with while_bars_run(pacing=True) as (emulator, provider, first):
        second = provider.subscribe_bars(first.contract, "30s")
        await heard(provider)
        [session] = emulator.tws.gateway.sessions
        assert (len(session.streams), second.has_ended) == (1, False)


async def test_a_summary_does_not_begin_with_the_figures_of_a_listener_who_has_left() -> None:
    async with a_stage(excerpt(events=2000, roots=("ES",)), start_on=("MktData",)) as (emulator, provider):
        es = await provider.resolve("ES")
        seen: list[Summary] = []
        first = provider.subscribe_summary(es).on(seen.append)
        await emulator.wait_finished()
        await provider.earliest(es)
        first.cancel()
        await heard(provider)
        emulator.tws.cut_off()  # nothing new can come
        later: list[Summary] = []
        provider.subscribe_summary(es).on(later.append)
        await heard(provider)
        assert seen
        assert later == []


async def test_a_client_id_in_use_is_said_at_once() -> None:
    async with a_stage(excerpt(roots=("ES",))) as (emulator, _):
        second = create_provider(login(emulator))
        with pytest.raises(ConnectionLost, match=r"client id is already in use.*ib\.client_id"):
            await asyncio.wait_for(second.connect(), 3.0)
        assert second.status().state == "disconnected"
        third = create_provider(login(emulator, client_id=8))
        async with third:
            assert third.is_connected


async def test_a_disconnect_while_it_connects_leaves_no_connection_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    has_left = asyncio.Event()

    async def answered_late(_: object) -> None:
        await has_left.wait()

    monkeypatch.setattr(wire.Wire, "_learn_clock", answered_late)
    async with Emulator(calm(100), speed="max", tws=TwsKnobs(start_on=()), start_on=()) as emulator:
        provider = create_provider(login(emulator))
        connecting = asyncio.create_task(provider.connect())
        await until(lambda: emulator.tws.gateway.sessions, "it does not connect")
        await provider.disconnect()
        has_left.set()
        with pytest.raises(ConnectionLost, match="disconnected while it connected"):
            await connecting
        assert provider.status().state == "closed"
        await until(lambda: not emulator.tws.gateway.sessions, "the connection is still there")


async def test_two_who_connect_at_once_share_one_connection() -> None:
    async with Emulator(calm(100), speed="max", tws=TwsKnobs(start_on=()), start_on=()) as emulator:
        provider = create_provider(login(emulator))
        await asyncio.gather(provider.connect(), provider.connect())
        assert provider.is_connected
        assert len(emulator.tws.gateway.sessions) == 1
        await provider.disconnect()


async def test_no_tws_is_a_lost_connection_that_says_where() -> None:
    async with a_stage(excerpt(roots=("ES",))) as (emulator, _):
        config = login(emulator)
    with pytest.raises(ConnectionLost, match=str(config["ib"]["port"])):
        await create_provider(config).connect()


async def test_more_tick_by_tick_streams_than_the_login_has_are_refused() -> None:
    source = excerpt(events=300, roots=("ES", "NQ", "GC"))
    async with a_stage(source, start_on=()) as (emulator, provider):
        contracts = [await provider.resolve(contract.root) for contract in source.contracts]
        first, second, third = (provider.subscribe_trades(contract) for contract in contracts)
        await asyncio.wait_for(asyncio.gather(first.ready(), second.ready()), LIMIT_S)
        with pytest.raises(CapacityExceeded, match="10190"):
            await asyncio.wait_for(third.ended(), LIMIT_S)
        assert provider.capabilities.max_trade_subscriptions == 2
        assert not first.has_ended
        [session] = emulator.tws.gateway.sessions
        await until(lambda: len(session.streams) == 4, "the third contract's quotes still run")


async def test_a_competing_session_is_told_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CONFLICT_S", 0.02)
    monkeypatch.setattr(streams.Pacer, "stream_wait_s", lambda *_: 0.0)
    source = excerpt(events=400, roots=("ES",), is_endless=True)
    async with Emulator(source, speed="max", tws=TwsKnobs(start_on=()), start_on=()) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        items: list[Any] = []
        running = provider.subscribe_trades(es).on(items.append)
        await asyncio.wait_for(running.ready(), LIMIT_S)
        emulator.publish(list(source)[:100])
        emulator.tws.flush()
        await until(lambda: items, "no trade came")
        emulator.tws.compete()
        await until(lambda: sum("competing" in note for note in provider.status().notes) > 4, "it is not asked for again and again")
        late = provider.subscribe_quotes(await provider.resolve("ESU6"))
        with pytest.raises(SessionConflict):
            await asyncio.wait_for(late.ended(), LIMIT_S)
        emulator.tws.compete(False)
        [session] = emulator.tws.gateway.sessions
        await until(lambda: len(session.streams) == 2, "the streams have not come back")
        emulator.publish(list(source)[100:200])
        emulator.tws.flush()
        await until(lambda: isinstance(items[-1], TradeBatch) and len(items) > 2, "the trades do not go on")
        assert [type(item).__name__ for item in items] == ["TradeBatch", "Gap", "TradeBatch"]


async def test_farms_are_notes_and_only_their_latest_state() -> None:
    async with a_stage(excerpt(roots=("ES",)), start_on=()) as (emulator, provider):
        for code in (2104, 2103, 2104):
            emulator.tws.gateway.say_error(code)
        emulator.tws.flush()
        await until(lambda: any("farm" in note for note in provider.status().notes), "no farm is shown")
        assert [note for note in provider.status().notes if note.endswith(":usfuture")] == ["Market data farm connection is OK:usfuture"]


async def test_a_message_that_cannot_be_read_is_counted_and_kept() -> None:
    async with a_stage(excerpt(roots=("ES",)), start_on=()) as (emulator, provider):
        [session] = emulator.tws.gateway.sessions
        session.say(99, 1, 1, "no second", 6000.0, 1.0, 0, "CME", "")
        emulator.tws.flush()
        await until(lambda: provider.status().rejected, "nothing was counted")
        assert "no second" in provider.status().rejects[0]


async def test_a_stream_is_not_asked_for_twice_within_the_pacing_rule() -> None:
    async with a_stage(calm(100), start_on=()) as (emulator, provider):
        es = await provider.resolve("ES")
        first = provider.subscribe_trades(es)
        await asyncio.wait_for(first.ready(), LIMIT_S)
        first.cancel()
        [session] = emulator.tws.gateway.sessions
        await until(lambda: not session.streams, "the streams were not cancelled")
        provider.subscribe_trades(es)
        with pytest.raises(UnknownContract):
            await provider.resolve("QQQQ")  # its answer comes behind all that was sent before
        assert not session.streams


async def test_a_subscription_on_a_closed_provider_is_refused() -> None:
    provider = create_provider({"data_provider": "ib"})
    await provider.disconnect()
    with pytest.raises(UsageError, match="closed"):
        provider.subscribe_quotes(Contract("ES", "/ESH6", "/ESH26:XCME"))
