"""Bars of `delta_source: auto` where TimeAndSale is not served: of inferred trades, of candles once their sign is known, of trades again when they come."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.emulator import Emulator, Market, Print, QuoteChange, Wire
from tastytrade_provider.emulator.source import Numbering
from tastytrade_provider.errors import CapacityExceeded
from tastytrade_provider.model import AggressorSide, Bar
from tastytrade_provider.tastytrade import candle_feed, ladder_feed
from tastytrade_provider.tastytrade.candles import SignCheck, Verdict
from tastytrade_provider.tastytrade.history import History
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.checks.builders import MINUTE_NS
from tests.checks.sources import until
from tests.tastytrade.test_bar_feed import START_NS, S, Told, no_trades
from tests.tastytrade.test_provider import serve_all
from tests.test_providers import login

pytestmark = pytest.mark.usefixtures("quick_ladder")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder_feed, "_LOOK_S", 0.02)
    monkeypatch.setattr(ladder_feed, "_CONFIRM_S", 0.1)
    monkeypatch.setattr(candle_feed, "_TICK_S", 0.02)
    monkeypatch.setattr(History, "refill", no_trades)  # the answer that never comes, at once


def a_leaning_market(minutes: int = 240) -> Told:
    """ES, a print every two seconds: all of a minute's were bought at the ask, all of the next one's sold at the bid."""
    [contract] = Market(seed=1, start_ns=START_NS, roots=("ES",)).contracts
    number, events = Numbering(), list[Print | QuoteChange]()
    quote = (6000.0, 6000.25, 5.0, 5.0)
    events.append(QuoteChange(contract, START_NS, *quote))
    for at_ns in range(START_NS + S, START_NS + minutes * MINUTE_NS, 2 * S):
        is_bought = at_ns // MINUTE_NS % 2 == 0
        price, side = (6000.25, AggressorSide.BUY) if is_bought else (6000.0, AggressorSide.SELL)
        events.append(Print(contract, at_ns, at_ns, number(at_ns), price, 2.0, side, *quote))
    return Told((contract,), START_NS, tuple(events))


@asynccontextmanager
async def connected(source: Told, speed: float = 240) -> Any:
    wire = Wire(unserved=frozenset({"TimeAndSale"}))
    async with Emulator(source, speed=speed, start_on=("Trade",), wire=wire, truth_path=os.devnull) as emulator:
        provider = create_provider(login(emulator))
        assert isinstance(provider, TastyTradeProvider)
        provider._wall_ns = lambda: emulator.market_ns
        async with provider:
            yield provider, emulator


def sources(items: list[Any]) -> list[str]:
    """Each source of bars, in order, once in a row."""
    found = [item.delta_source for item in items if isinstance(item, Bar)]
    return [one for i, one in enumerate(found) if i == 0 or found[i - 1] != one]


def assert_each_once(items: list[Any]) -> None:
    starts = [item.start_ns for item in items if isinstance(item, Bar) and item.revision == 0]
    assert starts == list(range(starts[0], starts[0] + len(starts) * MINUTE_NS, MINUTE_NS))


async def test_where_trades_are_refused_their_lesser_source_is_not_listened_to_any_more() -> None:
    source = a_leaning_market()
    async with connected(source) as (provider, _):
        trades = provider.subscribe_trades(source.contracts[0])
        await until(lambda: provider._board.wanted(), "Trade and Quote are not listened to")
        provider._too_big(provider._trades.wanted(), "subscription size is too big")
        assert trades.has_ended
        assert provider._board.wanted() == []


async def test_bars_are_of_inferred_trades_then_of_candles_then_of_the_exchange_s_own_when_they_come() -> None:
    source = a_leaning_market()
    contract, expected = source.contracts[0], {row["start_ns"]: row for row in source.bars()}
    async with connected(source) as (provider, emulator):
        items: list[Any] = []
        provider.subscribe_bars(contract).on(items.append)
        await until(lambda: sum(isinstance(item, Bar) and item.delta_source == "candle" for item in items) >= 4, lambda: f"{sources(items)}")
        status = provider.status()
        assert status.delta_source == "candle, quote_trade"
        assert any("bars are made of candles now" in note for note in status.notes)
        assert provider._history.sign_of(contract) is Verdict.AGREES
        serve_all(emulator, provider)
        await until(lambda: sources(items)[-1] == "time_and_sale", lambda: f"{sources(items)} {provider.status().notes}")
        assert provider.status().delta_source == "time_and_sale"
    assert_each_once(items)
    told = sources(items)
    assert told[-2:] == ["candle", "time_and_sale"]
    assert "quote_trade" in told
    for item in items[[isinstance(item, Bar) and item.delta_source == "quote_trade" for item in items].index(True) + 1 :]:
        if isinstance(item, Bar) and item.delta_source in ("candle", "time_and_sale"):
            row = expected[item.start_ns]
            assert (item.volume, item.buy_volume, item.sell_volume, item.complete) == (row["volume"], row["buy_volume"], row["sell_volume"], True)


@pytest.mark.parametrize("verdict", [Verdict.CONTRADICTS, Verdict.AGREES])
async def test_a_sign_that_is_known_from_before_decides_at_once(verdict: Verdict) -> None:
    source = a_leaning_market()
    contract = source.contracts[0]
    async with connected(source) as (provider, _):
        provider._history.signs[contract.streamer_symbol] = SignCheck(verdict)
        items: list[Any] = []
        provider.subscribe_bars(contract).on(items.append)
        await until(lambda: sum(isinstance(item, Bar) for item in items) >= 5, "no bars")
    if verdict is Verdict.AGREES:
        assert sources(items)[-1] == "candle"
    else:
        assert sources(items)[-1] == "quote_trade"
    assert_each_once(items)


async def test_what_ends_the_trades_ends_bars_of_candles_too_and_cancelling_leaves_nobody_listening() -> None:
    source = a_leaning_market()
    contract = source.contracts[0]
    async with connected(source) as (provider, _):
        provider._history.signs[contract.streamer_symbol] = SignCheck(Verdict.AGREES)
        one, other = (provider.subscribe_bars(contract) for _ in range(2))
        await until(lambda: len(provider._feeds.of_candles) == 2, "no candles")
        line = provider._lines[contract.streamer_symbol]
        await until(lambda: len(line.listeners) == 2, lambda: f"{line.listeners}")  # TimeAndSale is still waited for
        one.cancel()
        await until(lambda: len(line.listeners) == 1 and len(provider._feeds) == 1, "a cancelled one still listens")
        provider._end_all(CapacityExceeded("too many"))
        with pytest.raises(CapacityExceeded, match="too many"):
            await other.ended()
        assert not line.listeners
