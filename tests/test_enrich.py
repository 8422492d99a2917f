"""Bars with order flow in them: indicator columns in frames, delta from a second provider, and faults that stay where they arise."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider import enrich
from tastytrade_provider.config import load
from tastytrade_provider.enrich import EnrichedProvider, enriched, with_delta
from tastytrade_provider.errors import ConnectionLost, FeedError, UsageError
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.model import Bar, Contract, Gap, Roll, TradeBatch
from tastytrade_provider.pace import Pace
from tastytrade_provider.provider import Capabilities, DataProvider, ProviderStatus, Subscription, Time
from tests.checks.builders import ES, a_bar, a_batch, frame, opening
from tests.checks.sources import until

THEIRS = replace(ES, streamer_symbol="/ESZ26:XCME", exchange="tastytrade's")
UNSPLIT = [a_bar(minute, buy=None, sell=None, volume=10.0 + minute) for minute in range(4)]
SPLIT = [a_bar(minute, buy=5.0 + minute, sell=2.0) for minute in range(4)]


class Feed(DataProvider):
    """A provider in memory: its bars, and subscriptions a test puts into. `broken` is what every call of it raises."""

    def __init__(self, name: str, bars: list[Bar], contract: Contract = ES) -> None:
        self.name, self._bars, self.contract = name, bars, contract
        self.capabilities = Capabilities(trades=True, bars=True, historical_bars=True, side_source="exchange" if name == "tastytrade" else "quote")
        self.broken: FeedError | None = None
        self.open = False
        self.bar_subs: list[Subscription[Any]] = []
        self.trade_subs: list[Subscription[Any]] = []

    @property
    def is_connected(self) -> bool:
        return self.open

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    async def connect(self) -> None:
        self._check()
        self.open = True

    async def disconnect(self) -> None:
        self.open = False

    async def resolve(self, symbol: str) -> Contract:
        self._check()
        return self.contract

    async def contracts(self, root: str) -> list[Contract]:
        return [self.contract]

    async def historical_bars(self, contract: Contract, timeframe: str = "1m", start: Time = None, end: Time = None, *, hours: str = "eth") -> pd.DataFrame:
        self._check()
        assert contract is self.contract
        return frame(self._bars)

    def subscribe_trades(self, contract: Contract) -> Subscription[Any]:
        self.trade_subs.append(Subscription(contract))
        return self.trade_subs[-1]

    def subscribe_bars(
        self, contract: Contract, timeframe: str = "1m", *, backfill: datetime | timedelta | None = None, hours: str = "eth"
    ) -> Subscription[Bar | Gap]:
        self._check()
        self.bar_subs.append(Subscription(contract))
        return self.bar_subs[-1]

    def status(self) -> ProviderStatus:
        return ProviderStatus("connected" if self.open else "closed", 0, delta_source="time_and_sale" if self.name == "tastytrade" else "quote_trade")


@pytest.fixture
def ib() -> Feed:
    return Feed("ib", UNSPLIT)


@pytest.fixture
def tastytrade() -> Feed:
    return Feed("tastytrade", SPLIT, THEIRS)


# --- frames


async def test_frames_carry_the_columns_of_the_configured_indicators() -> None:
    provider = EnrichedProvider(Feed("tastytrade", SPLIT), ["volume_delta", "cvd"])
    bars = await provider.historical_bars(ES)
    assert bars["delta"].tolist() == [3.0, 4.0, 5.0, 6.0]
    assert bars["cvd"].tolist() == [3.0, 7.0, 12.0, 18.0]
    pd.testing.assert_frame_equal(bars[["open", "volume"]], frame(SPLIT)[["open", "volume"]])


async def test_an_indicator_that_fails_is_nan_and_counted_and_the_bars_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by nought")

    provider = EnrichedProvider(Feed("tastytrade", SPLIT), ["volume_delta", "cvd"])
    monkeypatch.setattr(type(IndicatorManager().create("cvd")), "_kernel", fail)
    bars = await provider.historical_bars(ES)
    assert bars["cvd"].isna().all()
    assert bars["delta"].tolist() == [3.0, 4.0, 5.0, 6.0]
    assert provider.manager.faults["cvd"].count == 1
    assert any("indicator cvd failed 1 times, at last: ZeroDivisionError: by nought" in note for note in provider.status().notes)


def test_an_indicator_that_does_not_exist_is_told_when_the_provider_is_made() -> None:
    with pytest.raises(UsageError, match="did you mean 'cvd'"):
        EnrichedProvider(Feed("ib", []), ["cvdd"])


def test_a_provider_is_wrapped_only_where_the_settings_ask_for_it() -> None:
    ib = Feed("ib", [])
    assert enriched(ib, load({"data_provider": "ib"})) is ib
    assert enriched(ib, load({"data_provider": "demo", "delta_provider": "demo"})) is ib
    wrapped = enriched(ib, load({"data_provider": "ib", "delta_columns": True, "indicators": ["cvd"]}))
    assert isinstance(wrapped, EnrichedProvider)
    assert wrapped.delta is None
    both = enriched(ib, load({"data_provider": "ib", "delta_provider": "demo"}))
    assert isinstance(both, EnrichedProvider)
    assert both.delta is not None
    assert (both.name, both.delta.name) == ("ib", "demo")


async def test_bars_stay_the_first_providers_and_delta_is_the_seconds_each_labelled(ib: Feed, tastytrade: Feed) -> None:
    async with EnrichedProvider(ib, ["volume_delta"], tastytrade) as provider:
        contract = await provider.resolve("ES")
        assert contract is ES
        bars = await provider.historical_bars(contract)
        assert bars["volume"].tolist() == [10.0, 11.0, 12.0, 13.0]
        assert bars["buy_volume"].tolist() == [5.0, 6.0, 7.0, 8.0]
        assert bars["delta"].tolist() == [3.0, 4.0, 5.0, 6.0]
        assert bars["delta_source"].tolist() == ["time_and_sale"] * 4
        assert bars["delta_source"].dtype == "category"
        assert (bars.attrs["bars_provider"], bars.attrs["delta_provider"]) == ("ib", "tastytrade")
        assert provider.status().delta_source == "time_and_sale"
        assert provider.capabilities.side_source == "exchange"


def test_a_bar_the_second_provider_lacks_has_no_delta_and_says_so() -> None:
    bars = with_delta(frame(UNSPLIT), frame([SPLIT[0], SPLIT[2]]))
    np.testing.assert_array_equal(bars["buy_volume"], [5.0, np.nan, 7.0, np.nan])
    assert bars["delta_source"].tolist() == ["time_and_sale", "none", "time_and_sale", "none"]
    assert with_delta(frame(UNSPLIT), None)["delta_source"].tolist() == ["none"] * 4


async def test_a_second_provider_that_fails_everywhere_costs_the_delta_and_nothing_else(ib: Feed, tastytrade: Feed) -> None:
    tastytrade.broken = ConnectionLost("nobody there")
    async with EnrichedProvider(ib, ["volume_delta"], tastytrade) as provider:
        contract = await provider.resolve("ES")
        bars = await provider.historical_bars(contract)
        assert bars["volume"].tolist() == [10.0, 11.0, 12.0, 13.0]
        assert bars["delta"].isna().all()
        assert provider.subscribe_bars(contract) is ib.bar_subs[0]
        assert provider.subscribe_trades(contract) is ib.trade_subs[0]
        assert provider.faults == {"connect": 1, "resolve /ESZ6": 2}
        assert any("resolve /ESZ6 failed 2 times, at last: ConnectionLost: nobody there" in note for note in provider.status().notes)
    assert not ib.open


async def test_a_second_provider_that_could_not_connect_is_tried_again(ib: Feed, tastytrade: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrich, "_RETRY_S", 0.0)
    tastytrade.broken = ConnectionLost("not yet")
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        await until(lambda: provider.faults["connect"] > 3, "it was not tried again")
        tastytrade.broken = None
        await until(lambda: tastytrade.open, "it did not connect")
    assert not tastytrade.open


async def test_another_month_or_tick_size_is_not_taken_for_the_same_contract(ib: Feed) -> None:
    wrong = Feed("tastytrade", SPLIT, replace(THEIRS, tick_size=0.1))
    async with EnrichedProvider(ib, [], wrong) as provider:
        bars = await provider.historical_bars(await provider.resolve("ES"))
        assert bars["delta_source"].tolist() == ["none"] * 4
        assert "another tick size" in " ".join(provider.status().notes)


# --- live


async def test_trades_are_the_second_providers(ib: Feed, tastytrade: Feed) -> None:
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        contract = await provider.resolve("ES")
        live = IndicatorManager().stream(provider, contract, "1m", ["cvd"], clock=None)
        tastytrade.trade_subs[0].put(a_batch(THEIRS, side=1))
        later: TradeBatch = a_batch(THEIRS, time_ns=np.array([SPLIT[1].start_ns]), side=-1)
        tastytrade.trade_subs[0].put(later)
        _, values = await anext(live)
        assert values["cvd"] == 1.0
        assert ib.trade_subs == []


async def test_live_bars_wait_for_their_delta_in_order_and_a_gap_keeps_its_place(ib: Feed, tastytrade: Feed) -> None:
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        bars = provider.subscribe_bars(await provider.resolve("ES"))
        [own], [theirs] = ib.bar_subs, tastytrade.bar_subs
        own.grant()
        await bars.ready()
        gap = Gap(ES, 1, 2, "connection lost")
        for item in (UNSPLIT[0], gap, UNSPLIT[1]):
            own.put(item)
        theirs.put(SPLIT[1])
        theirs.put(SPLIT[0])
        got = [await anext(bars) for _ in range(3)]
        assert got[1] is gap
        assert [(bar.volume, bar.delta, bar.delta_source, bar.revision) for bar in (got[0], got[2]) if isinstance(bar, Bar)] == [
            (10.0, 3.0, "time_and_sale", 0),
            (11.0, 4.0, "time_and_sale", 0),
        ]


async def test_a_bar_whose_delta_is_late_goes_without_and_comes_again_with_it(ib: Feed, tastytrade: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrich, "_HISTORY_S", 0.0)
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        bars = provider.subscribe_bars(await provider.resolve("ES"))
        ib.bar_subs[0].put(UNSPLIT[0])
        first = await anext(bars)
        tastytrade.bar_subs[0].put(SPLIT[0])
        second = await anext(bars)
        assert [(bar.delta, bar.delta_source, bar.revision) for bar in (first, second) if isinstance(bar, Bar)] == [
            (None, "none", 0),
            (3.0, "time_and_sale", 1),
        ]


async def test_a_repair_on_either_side_comes_as_a_higher_revision(ib: Feed, tastytrade: Feed) -> None:
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        got: list[Any] = []
        provider.subscribe_bars(await provider.resolve("ES")).on(got.append)
        [own], [theirs] = ib.bar_subs, tastytrade.bar_subs
        theirs.put(replace(SPLIT[0], complete=False))
        own.put(UNSPLIT[0])
        theirs.put(replace(SPLIT[0], buy_volume=9.0, revision=1))
        theirs.put(replace(SPLIT[0], buy_volume=9.0, revision=2))  # nothing of what is taken from it has changed
        own.put(replace(UNSPLIT[0], volume=12.0, revision=1))
        assert [(bar.volume, bar.delta, bar.complete, bar.revision) for bar in got] == [
            (10.0, 3.0, False, 0),
            (10.0, 7.0, True, 1),
            (12.0, 7.0, True, 2),
        ]


def test_a_bar_of_the_past_is_complete_only_where_its_delta_is_too() -> None:
    found = with_delta(frame(UNSPLIT), frame([SPLIT[0], replace(SPLIT[1], complete=False)]))
    assert found["complete"].tolist() == [True, False, True, True]


async def test_bars_go_on_without_delta_when_the_second_provider_ends_and_end_with_the_first(ib: Feed, tastytrade: Feed) -> None:
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        bars = provider.subscribe_bars(await provider.resolve("ES"))
        [own], [theirs] = ib.bar_subs, tastytrade.bar_subs
        own.put(UNSPLIT[0])
        theirs.end(ConnectionLost("gone"))
        first = await anext(bars)
        assert isinstance(first, Bar)
        assert first.delta is None
        assert provider.faults == {"bars of delta": 1}
        own.end(ConnectionLost("also gone"))
        with pytest.raises(ConnectionLost, match="also gone"):
            await anext(bars)


async def test_cancelling_ends_both(ib: Feed, tastytrade: Feed) -> None:
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        provider.subscribe_bars(await provider.resolve("ES")).cancel()
        assert ib.bar_subs[0].has_ended
        assert tastytrade.bar_subs[0].has_ended


# --- followed trades


class Numbered(Feed):
    """Three trades of the past, numbered; it rolls to its own name of the next month."""

    def __init__(self, name: str, contract: Contract, *, has_index: bool = True) -> None:
        super().__init__(name, [], contract)
        self.capabilities = replace(self.capabilities, historical_trades=True, has_index=has_index)
        self.asked: list[Contract] = []

    def now_ns(self) -> int:
        return opening()

    async def historical_trades(self, contract: Contract, start: Time = None, end: Time = None) -> TradeBatch:
        self.asked.append(contract)
        return numbered(contract, 1, 2, 3)

    def subscribe_trades(self, contract: Contract) -> Subscription[Any]:
        subscription = super().subscribe_trades(contract)
        subscription.grant()
        return subscription


def numbered(contract: Contract, *index: int) -> TradeBatch:
    return a_batch(contract, time_ns=[opening() + i * 10**9 for i in index], index=list(index))


async def test_followed_trades_are_all_of_the_second_provider_also_after_a_roll() -> None:
    ib, tastytrade = Numbered("ib", ES, has_index=False), Numbered("tastytrade", THEIRS)
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        assert provider.capabilities.has_index
        following = provider.follow_trades(await provider.resolve("ES"))
        new = replace(THEIRS, symbol="/ESH7", streamer_symbol="/ESH27:XCME")
        tastytrade.trade_subs[0].put(numbered(THEIRS, 3, 4))
        tastytrade.trade_subs[0].put(Roll(THEIRS, new, opening()))
        got = [await anext(following) for _ in range(4)]
        assert [item.index.tolist() for item in got if isinstance(item, TradeBatch)] == [[1, 2, 3], [4], [1, 2, 3]]
        assert tastytrade.asked == [THEIRS, new]
        assert (ib.asked, ib.trade_subs) == ([], [])


async def test_followed_trades_are_all_of_the_first_where_the_second_does_not_know_the_contract() -> None:
    ib, tastytrade = Numbered("ib", ES), Numbered("tastytrade", THEIRS)
    tastytrade.broken = ConnectionLost("not yet")
    async with EnrichedProvider(ib, [], tastytrade) as provider:
        following = provider.follow_trades(await provider.resolve("ES"))
        tastytrade.broken = None
        first = await anext(following)
        assert isinstance(first, TradeBatch)
        assert first.contract is ES
        assert (len(ib.asked), len(ib.trade_subs), tastytrade.asked, tastytrade.trade_subs) == (1, 1, [], [])


async def test_a_feed_that_is_played_can_be_paused_through_the_wrapped_provider(ib: Feed) -> None:
    ib.playback = Pace()
    assert EnrichedProvider(ib, ["cvd"]).playback is ib.playback
