"""Each method of compat.IB by itself, on a TastyTrade provider at the emulator, against the prints it published."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import Any

import ib_async
import pandas as pd
import pytest

from tastytrade_provider.compat import IB, ContFuture, Contract, Future, Option, util
from tastytrade_provider.emulator import Print
from tastytrade_provider.errors import AmbiguousContract, CapacityExceeded, ConfigError, NoData, NotSupported, RequestTimeout, UnknownContract, UsageError
from tastytrade_provider.model import Action, Quote, Summary
from tastytrade_provider.provider import Capabilities
from tests.checks.shadows import InMemory
from tests.checks.sources import LIMIT_S, until
from tests.compat.stage import ES, LIVE_NS, OPEN_NS, PRINTS, MarketProvider, a_market, at_the_market, in_a_thread
from tests.emulator.exchange import AList, a_print, a_quote

PAST = [event for event in PRINTS if event.at_ns < LIVE_NS]
S = 10**9
QUIET_NS = a_quote(5).at_ns


def a_future(month: str = "202603", exchange: str = "CME", **other: Any) -> Future:
    """As a program writes it, not qualified."""
    return Future("ES", month, exchange, **other)


async def the_future(ib: IB) -> Contract:
    return await the_future_of(ib, "202603")


async def the_future_of(ib: IB, month: str) -> Contract:
    [contract] = await ib.qualifyContractsAsync(a_future(month))
    assert isinstance(contract, Contract)
    return contract


def sums(prints: list[Print], seconds: int) -> list[tuple[Any, ...]]:
    """Start, open, high, low, close, volume and count of bars of some seconds, added up here."""
    groups: dict[int, list[Print]] = defaultdict(list)
    for event in prints:
        groups[event.time_ns // S // seconds * seconds].append(event)
    found = []
    for start, group in sorted(groups.items()):
        prices = [event.price for event in group]
        found.append((start, prices[0], max(prices), min(prices), prices[-1], sum(event.size for event in group), len(group)))
    return found


def rows(bars: Any) -> list[tuple[Any, ...]]:
    return [(bar.date.timestamp(), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.barCount) for bar in bars]


def rows_of_days(bars: Any) -> list[tuple[Any, ...]]:
    return [(bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.barCount) for bar in bars]


async def history(ib: IB, duration: str = "1 D", size: str = "10 secs", what: str = "TRADES", end: Any = "", **options: Any) -> ib_async.BarDataList:
    return await ib.reqHistoricalDataAsync(await the_future(ib), end, duration, size, what, **{"useRTH": False, "formatDate": 2} | options)


def watch_errors(ib: IB) -> list[tuple[int, int, str]]:
    told: list[tuple[int, int, str]] = []
    ib.errorEvent += lambda req_id, code, text, contract: told.append((req_id, code, text))
    return told


# --- the connection


async def test_connecting_and_disconnecting_tell_their_events_once() -> None:
    told: list[str] = []
    async with a_market() as emulator:
        ib = IB(provider=MarketProvider(emulator))
        ib.connectedEvent += lambda: told.append("connected")
        ib.disconnectedEvent += lambda: told.append("disconnected")
        assert not ib.isConnected()
        assert await ib.connectAsync("127.0.0.1", 7497, clientId=3) is ib
        await ib.connectAsync()
        assert ib.isConnected()
        assert ib.provider.is_connected
        ib.disconnect()
        assert not ib.isConnected()
        await ib.disconnectAsync()
        assert not ib.provider.is_connected
        await ib.connectAsync()  # and again
        assert rows(await history(ib)) == sums(PAST, 10)
        await ib.disconnectAsync()
    assert told == ["connected", "disconnected"] * 2


async def test_before_the_connect_a_request_says_not_connected() -> None:
    with pytest.raises(ConnectionError, match="Not connected"):
        await IB(config={"data_provider": "demo"}).qualifyContractsAsync(a_future())


async def test_an_outage_is_told_as_1100_and_its_end_as_1102_and_no_request_ends() -> None:
    async with at_the_market() as (emulator, ib):
        told = watch_errors(ib)
        ticker = ib.reqMktData(await the_future(ib))
        await until(ticker.hasBidAsk, "no quote came")
        for visitor in emulator.visitors:
            visitor.close(1011, "gone")
        await until(lambda: [code for _, code, _ in told if code in (1100, 1102)] == [1100, 1102], lambda: str(told))
        assert ib.isConnected()
        volume = ticker.rtTime, ticker.lastTimestamp
        await until(lambda: (ticker.rtTime, ticker.lastTimestamp) != volume, "it did not go on")


async def test_the_end_of_the_feed_disconnects() -> None:
    async with at_the_market() as (_, ib):
        gone = asyncio.Event()
        ib.disconnectedEvent += gone.set
        await ib.provider.disconnect()
        await asyncio.wait_for(gone.wait(), LIMIT_S)
        assert not ib.isConnected()


@pytest.mark.parametrize("kind", ["AllLast", "level 1"])
async def test_a_subscription_that_the_feed_ends_without_an_error_is_told(kind: str) -> None:
    feed = InMemory()
    ib = IB(provider=feed)
    await ib.connectAsync()
    contract = await the_future_of(ib, "202612")
    told = watch_errors(ib)
    ticker = ib.reqTickByTickData(contract, kind) if kind == "AllLast" else ib.reqMktData(contract)
    await until(lambda: feed.subscriptions, "nothing was subscribed")
    feed.subscriptions[0].end()
    await until(lambda: told, "the ticker is silent for ever, and nobody was told")
    assert [(code, "the feed has ended this" in text) for _, code, text in told] == [(2103, True)]
    assert ticker.contract is not None
    await ib.disconnectAsync()


async def test_without_a_provider_the_configuration_names_it() -> None:
    ib = IB(config={"data_provider": "demo"})
    assert ib.provider.name == "demo"


def in_a_folder(path: Path, config: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the program runs there, beside this config.yaml, and the environment names no provider."""
    monkeypatch.chdir(path)
    monkeypatch.delenv("TTP_DATA_PROVIDER", raising=False)
    if config is not None:
        (path / "config.yaml").write_text(config)


@pytest.mark.parametrize("config", [None, "symbols: [ES]\n"])
async def test_no_made_up_market_is_played_where_nobody_named_a_provider(config: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_folder(tmp_path, config, monkeypatch)
    ib = IB()
    with pytest.raises(ConfigError, match=r"config\.yaml (is not there|has no data_provider), and TTP_DATA_PROVIDER is not set; .*demo") as caught:
        await ib.connectAsync()
    assert str(tmp_path) in str(caught.value)
    assert not ib.isConnected()
    monkeypatch.setenv("TTP_DATA_PROVIDER", "demo")  # asked for
    assert ib.provider.name == "demo"


async def test_a_configuration_in_the_folder_names_the_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_folder(tmp_path, "data_provider: demo\n", monkeypatch)
    assert IB().provider.name == "demo"


# --- contracts


async def test_contracts_are_qualified_in_place() -> None:
    async with at_the_market() as (_, ib):
        dated, lead, by_name, by_day = await ib.qualifyContractsAsync(
            first := Future("ES", "202603", "CME"), ContFuture("ES", "CME"), Future(localSymbol="ESM6", exchange="CME"), Future("ES", "20260918", "GLOBEX")
        )
        assert dated is first
        assert (first.localSymbol, first.multiplier, first.tradingClass, first.currency) == ("ESH6", "50", "ES", "USD")
        assert first.lastTradeDateOrContractMonth == "20260320"
        assert first.conId < 0
        assert (lead.conId, lead.secType) == (first.conId, "CONTFUT")
        assert hash(lead) == -hash(first)
        assert (by_name.lastTradeDateOrContractMonth, by_day.localSymbol) == ("20260619", "ESU6")
        assert await ib.qualifyContractsAsync(Future("ES", exchange="CME")) == [None]  # several, as in ib_async
        assert (await ib.feedContract(first)).streamer_symbol == ES.streamer_symbol


async def test_a_contract_that_the_real_ib_has_qualified_is_understood() -> None:
    theirs = Future("ES", "20260320", "CME", conId=649180695, localSymbol="ESH6", multiplier="50", currency="USD", tradingClass="ES")
    async with at_the_market() as (_, ib):
        bars = await ib.reqHistoricalDataAsync(theirs, "", "1 D", "10 secs", "TRADES", False, formatDate=2)
        assert rows(bars) == sums(PAST, 10)


@pytest.mark.parametrize(
    "described",
    [Future("ES", "202604", "CME"), Future("ES", "202603", "NYMEX"), Future("QQQQ", "202603", "CME"), Future("ES", "202603", "CME", multiplier="5")],
)
async def test_what_nobody_lists_raises_unknown_contract_and_is_a_request_error_too(described: Future) -> None:
    async with at_the_market() as (_, ib):
        told = watch_errors(ib)
        with pytest.raises(UnknownContract) as refused:
            await ib.qualifyContractsAsync(described)
        assert isinstance(refused.value, ib_async.RequestError)
        assert refused.value.code == 200
        assert [code for _, code, _ in told] == [200]
        ib.RaiseRequestErrors = False  # ib_async's way
        assert await ib.qualifyContractsAsync(described) == [None]


async def test_other_kinds_of_contracts_raise_not_supported_and_data_of_several_months_ambiguous() -> None:
    async with at_the_market() as (_, ib):
        with pytest.raises(NotSupported, match="migration guide: contracts"):
            await ib.qualifyContractsAsync(Option("SPY", "20261218", 500, "C", "SMART"))
        with pytest.raises(AmbiguousContract, match=r"/ESH6.*/ESM6"):
            await ib.reqHistoricalDataAsync(Future("ES", exchange="CME"), "", "1 D", "1 min", "TRADES", False)


async def test_details_tell_tick_size_zone_and_hours() -> None:
    async with at_the_market() as (_, ib):
        [found] = await ib.reqContractDetailsAsync(a_future())
        assert (found.minTick, found.timeZoneId, found.contractMonth, found.realExpirationDate) == (0.25, "US/Central", "202603", "20260320")
        assert found.tradingHours.startswith("20260301:1700-20260302:1600;20260302:1700-20260303:1600;")
        assert found.liquidHours.startswith("20260302:0830-20260302:1600;")
        assert found.liquidSessions()[0].start.isoformat() == "2026-03-02T08:30:00-06:00"
        assert len(await ib.reqContractDetailsAsync(Future("ES", exchange="CME"))) > 3


# --- history


@pytest.mark.parametrize(("size", "seconds"), [("1 secs", 1), ("5 secs", 5), ("30 secs", 30), ("1 min", 60), ("2 mins", 120), ("1 hour", 3600)])
async def test_bars_are_the_sums_of_the_prints(size: str, seconds: int) -> None:
    async with at_the_market() as (_, ib):
        begins = {"1 hour": OPEN_NS // S - 1800}  # the bar that runs began at 08:00
        found = rows(await history(ib, size=size))
        assert found == [(begins.get(size, start), *rest) for start, *rest in sums(PAST, seconds)]


async def test_the_average_is_weighted_by_volume() -> None:
    async with at_the_market() as (_, ib):
        [bar] = await history(ib, size="1 hour")
        assert bar.average == pytest.approx(sum(p.size * p.price for p in PAST) / sum(p.size for p in PAST))


async def test_regular_hours_begin_at_half_past_eight_also_for_bars_of_hours_and_days() -> None:
    async with at_the_market() as (_, ib):
        [hour] = await history(ib, size="1 hour", useRTH=True)
        assert hour.date.timestamp() == OPEN_NS // S
        [day] = await history(ib, "1 W", "1 day", useRTH=True)
        assert day.date == dt.date(2026, 3, 2)
        assert day.volume == sum(event.size for event in PAST)


@pytest.mark.parametrize(
    ("size", "date_format", "date"),
    [
        ("1 min", 1, "2026-03-02T08:30:00-06:00"),
        ("1 min", 2, "2026-03-02T14:30:00+00:00"),
        ("1 day", 1, "2026-03-02"),
        ("1 day", 2, "2026-03-02"),
        ("1 week", 1, "2026-03-06"),  # weeks and months carry their last weekday
        ("1W", 1, "2026-03-06"),
        ("1 month", 1, "2026-03-31"),
        ("1M", 1, "2026-03-31"),
    ],
)
async def test_dates_are_as_ib_async_makes_them(size: str, date_format: int, date: str) -> None:
    async with at_the_market() as (_, ib):
        bars = await history(ib, "1 D", size, formatDate=date_format)
        assert bars[0].date.isoformat() == date
        assert type(bars[0]) is ib_async.BarData
        assert list(util.df(bars).columns) == ["date", "open", "high", "low", "close", "volume", "average", "barCount"]


async def test_the_first_week_and_month_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    plain = MarketProvider.historical_bars

    async def noted(self: Any, contract: Any, timeframe: str, start: Any, end: Any = None) -> Any:
        asked.append((timeframe, start.isoformat()))
        return await plain(self, contract, timeframe, start, end)

    monkeypatch.setattr(MarketProvider, "historical_bars", noted)
    async with at_the_market() as (_, ib):
        await history(ib, "1 W", "1 week")
        await history(ib, "1 M", "1 month")
        await history(ib, "1 M", "1 week", useRTH=True)
    # now is Monday, 2 March 2026; a week ago the session labelled 24 February opened, a month ago that of 3 February
    assert asked == [("1w", "2026-02-22T23:00:00+00:00"), ("1mo", "2026-02-01T23:00:00+00:00"), ("30m", "2026-02-02T14:30:00+00:00")]


async def test_a_set_time_zone_of_tws_counts() -> None:
    async with at_the_market() as (_, ib):
        ib.TimezoneTWS = "Europe/Berlin"
        assert (await history(ib, formatDate=1))[0].date.isoformat() == "2026-03-02T15:30:00+01:00"
        bars = await history(ib, "10 S", end="20260302 15:30:20")
        assert [bar.date.timestamp() for bar in bars] == [OPEN_NS // S + 10]


@pytest.mark.parametrize("end", ["20260302 08:30:40 US/Central", "20260302-14:30:40", dt.datetime(2026, 3, 2, 14, 30, 40, tzinfo=dt.UTC)])
async def test_an_end_cuts_also_in_the_middle_of_a_bar(end: Any) -> None:
    before = [event for event in PAST if event.time_ns < OPEN_NS + 40 * S]
    async with at_the_market() as (_, ib):
        assert rows(await history(ib, "20 S", end=end)) == sums([event for event in before if event.time_ns >= OPEN_NS + 20 * S], 10)
        assert rows(await history(ib, "1 D", "30 secs", end=end)) == sums(before, 30)


async def test_a_closed_market_is_an_empty_list_and_an_open_one_without_data_raises() -> None:
    async with at_the_market() as (_, ib):
        assert list(await history(ib, "3600 S", "1 min", end="20260228-12:00:00")) == []
        with pytest.raises(NoData) as refused:
            await history(ib, "3600 S", "1 min", end="20260227-18:00:00")
        assert refused.value.code == 162  # type: ignore[attr-defined]
        ib.RaiseRequestErrors = False
        assert list(await history(ib, "3600 S", "1 min", end="20260227-18:00:00")) == []


@pytest.mark.parametrize(
    "wrong",
    [{"size": "7 mins"}, {"duration": "1 X"}, {"end": "yesterday"}, {"keepUpToDate": True, "end": "20260302-14:30:40"}],
)
async def test_what_cannot_be_read_is_a_usage_error(wrong: dict[str, Any]) -> None:
    async with at_the_market() as (_, ib):
        with pytest.raises(UsageError):
            await history(ib, **wrong)


async def test_only_trades_have_a_history() -> None:
    async with at_the_market() as (_, ib):
        for what in ("MIDPOINT", "BID", "ASK", "BID_ASK", "HISTORICAL_VOLATILITY"):
            with pytest.raises(NotSupported, match="migration guide: history-other"):
                await history(ib, what=what)
        with pytest.raises(NotSupported, match="migration guide: sessions"):
            await history(ib, what="SCHEDULE")
        assert rows(await history(ib, what="ADJUSTED_LAST")) == sums(PAST, 10)  # a future has neither splits nor dividends


async def test_an_answer_later_than_the_time_given_raises() -> None:
    class Slow(MarketProvider):
        async def historical_bars(self, *_: Any, **__: Any) -> pd.DataFrame:
            return await asyncio.get_running_loop().create_future()

    async with a_market() as emulator:
        ib = IB(provider=Slow(emulator))
        await ib.connectAsync()
        with pytest.raises(RequestTimeout):
            await history(ib, timeout=0.01)
        await ib.disconnectAsync()


async def test_bars_kept_up_to_date_grow_by_hand_of_the_prints_and_say_when_one_is_new() -> None:
    told: list[tuple[int, bool]] = []
    async with at_the_market() as (_, ib):
        bars = await history(ib, size="5 secs", keepUpToDate=True)
        own: list[tuple[int, bool]] = []
        bars.updateEvent += lambda bars, has_new: own.append((len(bars), has_new))
        ib.barUpdateEvent += lambda bars, has_new: told.append((len(bars), has_new))
        began = len(bars)
        end_ns = OPEN_NS + 120 * S
        await until(lambda: bars[-1].date.timestamp() * S >= end_ns, "the bars did not grow")
        done = [bar for bar in bars if bar.date.timestamp() * S < end_ns]
        assert rows(done) == sums([event for event in PRINTS if event.time_ns < end_ns], 5)
        assert told == own
        assert [n for n, has_new in told if has_new] == list(range(began + 1, len(bars) + 1))
        assert any(not has_new for _, has_new in told)  # the last one changes, too
        ib.cancelHistoricalData(bars)
        n = len(told)
        assert ib.realtimeBars() == []
        await asyncio.wait_for(ib.provider.historical_bars(ES, "1m"), LIMIT_S)
        assert len(told) == n


async def test_larger_bars_and_regular_hours_go_on_too() -> None:
    async with at_the_market(speed=100) as (_, ib):
        minutes, day = await asyncio.gather(history(ib, size="2 mins", keepUpToDate=True), history(ib, "2 D", "1 day", keepUpToDate=True, useRTH=True))
        await until(lambda: minutes[-1].date.timestamp() * S >= OPEN_NS + 240 * S, "the bars did not grow")
        assert rows(minutes[:2]) == sums([event for event in PRINTS if event.time_ns < OPEN_NS + 240 * S], 120)
        whole = [(0, *row[1:]) for row in sums(PRINTS, 3600)]
        await until(lambda: [(0, *row[1:]) for row in rows_of_days(day)] == whole, lambda: f"{day}\n{whole}")


async def test_bars_go_on_where_the_first_answer_was_empty() -> None:
    async with at_the_market(source=AList([a_quote(0), a_quote(10**6)], is_endless=True), live_from_ns=QUIET_NS) as (emulator, ib):
        bars = await ib.reqHistoricalDataAsync(a_future("202612"), "", "1 D", "5 secs", "TRADES", False, keepUpToDate=True)
        assert list(bars) == []  # ib_async's own would stay silent for ever
        told: list[bool] = []
        bars.updateEvent += lambda bars, has_new: told.append(has_new)
        emulator.publish([a_print(7, 6000.0, 2, sequence=1)])
        await until(lambda: told, "the bars did not begin")
        assert (bars[0].date.isoformat(), bars[0].open, bars[0].volume) == ("2026-11-24T08:30:05-06:00", 6000.0, 2)
        assert told == [True]


async def test_a_print_that_is_corrected_later_changes_the_bar_in_its_place() -> None:
    first = a_print(3601, 6000.0, 3, sequence=1)
    async with at_the_market(source=AList([a_quote(0), a_quote(10**6)], is_endless=True), live_from_ns=QUIET_NS) as (emulator, ib):
        bars = await ib.reqHistoricalDataAsync(a_future("202612"), "", "1 D", "5 secs", "TRADES", False, keepUpToDate=True)
        told: list[tuple[int, bool]] = []
        ib.barUpdateEvent += lambda bars, has_new: told.append((len(bars), has_new))
        emulator.publish([first, a_print(3607, 6001.0, sequence=2)])
        await until(lambda: len(bars) == 2, "the bars did not come")
        emulator.publish([first._replace(action=Action.CORRECTION, size=5.0)])
        await until(lambda: bars[0].volume == 5, "the correction did not come")
        assert [bar.volume for bar in bars] == [5, 1]
        assert told == [(1, True), (2, True), (2, False)]


async def test_without_trades_of_the_past_the_bar_whose_beginning_is_missing_is_mended() -> None:
    class Forgetful(MarketProvider):
        async def historical_trades(self, *_: Any) -> Any:
            raise NotSupported("no trades of the past")

    async with a_market() as emulator:
        ib = IB(provider=Forgetful(emulator))
        await ib.connectAsync()
        bars = await history(ib, size="10 secs", keepUpToDate=True)
        end_ns = OPEN_NS + 150 * S
        expected = sums([event for event in PRINTS if event.time_ns < end_ns], 10)
        await until(lambda: bars[-1].date.timestamp() * S > end_ns and rows(bars)[: len(expected)] == expected, lambda: f"{rows(bars)}\n{expected}")
        await ib.disconnectAsync()


async def test_prints_of_the_past_end_with_a_whole_second_or_before_a_time() -> None:
    async with at_the_market(start_on=()) as (_, ib):
        contract = await the_future(ib)
        found = await ib.reqHistoricalTicksAsync(contract, "20260302-14:30:00", "", 100, "TRADES", useRth=False)
        last_s = PAST[99].time_ns // S
        expected = [event for i, event in enumerate(PAST) if i < 100 or event.time_ns // S == last_s]
        assert [(tick.price, tick.size) for tick in found] == [(event.price, event.size) for event in expected]
        assert type(found[0]) is ib_async.HistoricalTickLast
        assert found[0].time == pd.Timestamp(PAST[0].time_ns, tz="UTC").floor("us")
        before = await ib.reqHistoricalTicksAsync(contract, "", "20260302-14:30:30", 7, "TRADES", useRth=True)
        assert [tick.price for tick in before] == [event.price for event in PAST if event.time_ns < OPEN_NS + 30 * S][-7:]
        for wrong in (("", ""), ("20260302-14:30:00", "20260302-14:30:30")):
            with pytest.raises(UsageError):
                await ib.reqHistoricalTicksAsync(contract, *wrong, 7, "TRADES", useRth=True)
        with pytest.raises(NotSupported, match="migration guide: ticks"):
            await ib.reqHistoricalTicksAsync(contract, "20260302-14:30:00", "", 7, "BID_ASK", useRth=True)


async def test_the_head_is_the_first_daily_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    async def earliest(self: Any, contract: Any, timeframe: str = "1d") -> pd.Timestamp:
        return pd.Timestamp("2020-01-01 23:00", tz="UTC")

    monkeypatch.setattr(MarketProvider, "earliest", earliest)
    async with at_the_market() as (_, ib):
        contract = await the_future(ib)
        assert (await ib.reqHeadTimeStampAsync(contract, "TRADES", False, 2)).isoformat() == "2020-01-01T23:00:00+00:00"
        assert (await ib.reqHeadTimeStampAsync(contract, "TRADES", False, 1)).isoformat() == "2020-01-01T23:00:00"  # naive, as ib_async reads IB's


# --- streams


async def test_every_print_comes_with_the_exchanges_time_and_its_side_beside_it() -> None:
    async with at_the_market() as (_, ib):
        ticks: list[Any] = []
        sides: list[int] = []
        seen: list[Any] = []
        ticker = ib.reqTickByTickData(await the_future(ib), "AllLast")
        ticker.updateEvent += lambda ticker: ticks.extend(ticker.tickByTicks)
        ib.pendingTickersEvent += seen.extend
        ib.tradesEvent += lambda ticker, trades: sides.extend(trades.side.tolist())
        live = [event for event in PRINTS if event.at_ns >= LIVE_NS][:500]
        await until(lambda: len(ticks) >= len(live), "the prints did not come")
        assert [(tick.time, tick.price, tick.size) for tick in ticks[: len(live)]] == [
            (pd.Timestamp(event.time_ns, tz="UTC").floor("us"), event.price, event.size) for event in live
        ]
        assert sides[: len(live)] == [int(event.side) for event in live]
        assert type(ticks[0]) is ib_async.TickByTickAllLast
        assert set(seen) == {ticker}
        assert ib.ticker(ticker.contract) is ticker
        assert ib.cancelTickByTickData(ticker.contract, "AllLast")
        assert ib.provider.status().failed == ()


async def test_quotes_and_midpoints_share_the_contracts_ticker() -> None:
    async with at_the_market() as (_, ib):
        contract = await the_future(ib)
        ticks: dict[type, list[Any]] = defaultdict(list)
        ticker = ib.reqTickByTickData(contract, "BidAsk")
        assert ib.reqTickByTickData(contract, "MidPoint") is ticker
        ib.reqTickByTickData(contract, "Last")
        ticker.updateEvent += lambda ticker: [ticks[type(tick)].append(tick) for tick in ticker.tickByTicks]
        kinds = {ib_async.TickByTickBidAsk, ib_async.TickByTickMidPoint, ib_async.TickByTickAllLast}
        await until(lambda: set(ticks) == kinds and all(len(found) > 3 for found in ticks.values()), lambda: str(ticks.keys()))
        quote = ticks[ib_async.TickByTickBidAsk][0]
        assert quote.askPrice > quote.bidPrice > 0
        assert quote.bidSize > 0
        assert ticks[ib_async.TickByTickMidPoint][0].midPoint % 0.125 == 0
        assert ticks[ib_async.TickByTickAllLast][0].tickType == 1


async def test_market_data_fill_the_ticker() -> None:
    async with at_the_market() as (_, ib):
        contract = await the_future(ib)
        seen: list[Any] = []
        ticker = ib.reqMktData(contract, "233,375,236")
        ticker.updateEvent += lambda ticker: seen.extend(ticker.ticks)
        told = watch_errors(ib)
        await until(lambda: ticker.hasBidAsk() and ticker.rtVolume == ticker.rtVolume and ticker.vwap == ticker.vwap, lambda: str(ticker))
        assert ticker.minTick == 0.25
        assert ticker.open == PRINTS[0].price
        assert ticker.high >= ticker.last >= ticker.low
        assert ticker.volume > sum(event.size for event in PAST) - 1
        assert ticker.rtTime.timestamp() * S >= LIVE_NS - S
        assert ticker.lastTimestamp.timestamp() <= ticker.rtTime.timestamp()
        assert {1, 2, 4, 8, 48, 77} <= {tick.tickType for tick in seen}
        prices = {event.price for event in PRINTS}
        assert all(tick.price in prices for tick in seen if tick.tickType in (4, 48, 77))
        assert [(code, text[:17]) for _, code, text in told if code == 2103] == [(2103, "generic ticks 236")]
        assert ib.cancelMktData(contract)
        assert not ib.cancelMktData(contract)


async def test_a_second_request_of_a_contract_takes_the_place_of_the_first() -> None:
    async with at_the_market() as (_, ib):
        contract = await the_future(ib)
        first = ib.reqMktData(contract)
        await until(first.hasBidAsk, "no quote came")
        assert ib.reqMktData(contract, "233") is first
        await until(lambda: first.rtVolume == first.rtVolume, "no RTVolume came")
        assert ib.cancelMktData(contract)
        await until(lambda: not ib.client._tasks, "a stream that nobody can cancel was left")


async def test_snapshots_end_by_themselves() -> None:
    async with at_the_market() as (_, ib):
        contract = await the_future(ib)
        [ticker] = await asyncio.wait_for(ib.reqTickersAsync(contract), LIMIT_S)
        assert ticker.hasBidAsk()
        assert ticker.last in {event.price for event in PRINTS}
        assert ticker.volume >= sum(event.size for event in PAST)
        await until(lambda: not ib.client._tasks, "the snapshot goes on")


async def test_real_time_bars_are_the_sums_of_five_seconds() -> None:
    async with at_the_market() as (_, ib):
        bars = ib.reqRealTimeBars(await the_future(ib), 5, "TRADES", useRTH=True)
        told: list[bool] = []
        bars.updateEvent += lambda bars, has_new: told.append(has_new)
        await until(lambda: len(bars) >= 4, "the bars did not come")
        found = [(bar.time.timestamp(), bar.open_, bar.high, bar.low, bar.close, bar.volume, bar.count) for bar in bars[:4]]
        assert found == [row for row in sums(PRINTS, 5) if row[0] >= found[0][0]][:4]
        assert type(bars[0]) is ib_async.RealTimeBar
        assert told[:2] == [True, True]
        ib.cancelRealTimeBars(bars)
        assert not ib.realtimeBars()


@pytest.mark.parametrize(
    ("ask", "anchor"),
    [
        (lambda ib, contract: ib.reqRealTimeBars(contract, 5, "MIDPOINT", False), "realtime-bars"),
        (lambda ib, contract: ib.reqTickByTickData(contract, "AllLast", 10), "ticks"),
    ],
)
async def test_a_stream_that_is_not_there_is_told_by_the_error_event(ask: Any, anchor: str) -> None:
    async with at_the_market() as (_, ib):
        told = watch_errors(ib)
        ask(ib, await the_future(ib))
        await until(lambda: told, "nothing was told")
        assert f"migration guide: {anchor}" in told[0][2]


async def test_a_refusal_of_the_feed_is_told_with_its_code() -> None:
    class Full(MarketProvider):
        def subscribe_trades(self, contract: Any) -> Any:
            subscription = super().subscribe_trades(contract)
            subscription.end(CapacityExceeded("no more than that"))
            return subscription

    async with a_market() as emulator:
        ib = IB(provider=Full(emulator))
        await ib.connectAsync()
        told = watch_errors(ib)
        ib.reqTickByTickData(await the_future(ib), "AllLast")
        await until(lambda: told, "nothing was told")
        assert told[0][1:] == (101, "no more than that")
        await ib.disconnectAsync()


async def test_an_unqualified_contract_is_refused_as_in_ib_async() -> None:
    async with at_the_market() as (_, ib):
        with pytest.raises(ValueError, match="Qualify contract"):
            ib.reqMktData(a_future())


async def test_one_sided_quotes_have_ibs_marks() -> None:
    class OneSided(MarketProvider):
        capabilities = Capabilities(quotes=True, summary=True)

        def subscribe_quotes(self, contract: Any) -> Any:
            subscription = super().subscribe_quotes(contract)
            subscription.put(Quote(contract, OPEN_NS, OPEN_NS, None, 6000.25, None, 7.0))
            return subscription

        def subscribe_summary(self, contract: Any) -> Any:
            subscription = super().subscribe_summary(contract)
            subscription.put(Summary(contract, OPEN_NS, OPEN_NS, previous_close=5990.0, open_interest=4.0, volume=9.0))
            return subscription

    async with a_market() as emulator:
        ib = IB(provider=OneSided(emulator))
        await ib.connectAsync()
        ticks: list[Any] = []
        ticker = ib.reqMktData(await the_future(ib), "588")
        ticker.updateEvent += lambda ticker: ticks.append((ticker.bid, ticker.bidSize, ticker.ask, ticker.askSize))
        await until(lambda: ticks and ticker.futuresOpenInterest == 4.0, "it did not come")
        assert ticks[0] == (-1, 0, 6000.25, 7.0)
        assert ticker.close == 5990.0
        await ib.disconnectAsync()


# --- without async, and beside the real one


async def test_without_async_everything_waits() -> None:
    async with a_market() as emulator:

        def work() -> tuple[Any, ...]:
            ib = IB(provider=MarketProvider(emulator))
            with ib.connect():
                contract = Future("ES", "202603", "CME")
                assert ib.qualifyContracts(contract) == [contract]
                bars = ib.reqHistoricalData(contract, "", "1 D", "10 secs", "TRADES", False, formatDate=2)
                ticker = ib.reqMktData(contract)
                assert ib.waitOnUpdate(timeout=LIMIT_S)
                assert list(ib.loopUntil(ticker.hasBidAsk, timeout=LIMIT_S))[-1]
                [same] = ib.reqTickers(contract)
                assert ib.sleep(0)
                found = rows(bars), same is ticker, ib.provider.is_connected
            return (*found, ib.provider.is_connected)

        assert await in_a_thread(work) == (sums(PAST, 10), True, True, False)


async def test_inside_a_running_loop_a_call_that_waits_says_what_ib_async_says() -> None:
    async with at_the_market() as (_, ib):
        contract = await the_future(ib)
        with pytest.raises(RuntimeError, match="This event loop is already running"):
            ib.reqHistoricalData(contract, "", "1 D", "10 secs", "TRADES", False)


async def test_orders_go_over_the_real_ib_in_the_same_process_and_loop() -> None:
    async with at_the_market() as (emulator, data):
        broker = ib_async.IB()
        await broker.connectAsync("127.0.0.1", emulator.tws_port, 1, timeout=LIMIT_S)
        try:
            [contract] = await broker.qualifyContractsAsync(a_future())
            assert contract.conId > 0
            assert (await broker.reqCurrentTimeAsync()).year == 2026
            assert broker.managedAccounts() == ["DU1234567"]
            ours, theirs = [await ib.reqHistoricalDataAsync(contract, "20260302-14:31:00", "60 S", "10 secs", "TRADES", False) for ib in (data, broker)]
            assert rows(ours) == rows(theirs)
            with pytest.raises(NotSupported, match="migration guide: orders"):
                data.placeOrder(contract, ib_async.MarketOrder("BUY", 1))
        finally:
            broker.disconnect()
