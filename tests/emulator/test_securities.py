"""Shares, ETFs, indices and cryptocurrencies, judged by the unmodified SDK: what its models accept over REST, and prints of a share over DXLink."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from tastytrade import DXLinkStreamer, Session
from tastytrade.dxfeed import TimeAndSale
from tastytrade.instruments import Cryptocurrency, Equity, Future, FutureProduct
from tastytrade.market_sessions import ExchangeType, MarketStatus, get_futures_holidays, get_market_holidays, get_market_sessions
from tastytrade.utils import TastytradeError

from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Market, Print, QuoteChange
from tastytrade_provider.emulator.instruments import SECURITIES, future
from tastytrade_provider.emulator.truth import read
from tastytrade_provider.model import AggressorSide, TradeBatch, TradeFlag
from tastytrade_provider.settings import TastytradeSettings
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.emulator.exchange import OPEN_MS, AList, a_print, a_quote

LIMIT_S = 30.0
SPY = SECURITIES["SPY"].contract
ALL = (future("ES", 2026, 12), *(security.contract for security in SECURITIES.values()))
# a share trades between the cents of its ticks too: the midpoint of 689.12 and 689.13, in a lot of 37
PRINTS = [
    a_print(0, 689.13, 100.0, AggressorSide.BUY, 0, bid=689.12, ask=689.13)._replace(contract=SPY),
    a_print(1, 689.125, 37.0, AggressorSide.UNKNOWN, 1, bid=689.12, ask=689.13)._replace(contract=SPY),
    a_print(2, 689.12, 5.0, AggressorSide.SELL, 2, bid=689.12, ask=689.13)._replace(contract=SPY),
]
TAPE: list[Print | QuoteChange] = [a_quote(0, 689.12, 689.13)._replace(contract=SPY), *PRINTS]


@asynccontextmanager
async def a_session(emulator: Emulator) -> AsyncIterator[Session]:
    session = Session(CLIENT_SECRET, REFRESH_TOKEN, trust_env=False)
    session._client.base_url = emulator.api_url
    async with session:
        yield session


async def test_the_sdk_reads_every_kind_of_instrument() -> None:
    async with Emulator(AList([a_quote()], ALL)) as emulator, a_session(emulator) as session:
        spy, spx, berkshire = [await Equity.get(session, symbol) for symbol in ("SPY", "SPX", "BRK/B")]
        coin = await Cryptocurrency.get(session, "BTC/USD")
        coins = await Cryptocurrency.get(session, ["BTC/USD", "ETH/USD"])
        gold = await FutureProduct.get(session, "GC")
        front = await Future.get(session, "/ESZ6")
    assert (spy.is_etf, spy.is_index, spy.listed_market, spy.streamer_symbol) == (True, False, "ARCX", "SPY")
    assert spy.tick_sizes is not None
    assert [(str(step.value), step.threshold and str(step.threshold)) for step in spy.tick_sizes] == [("0.0001", "1.0"), ("0.01", None)]
    assert (spx.is_index, spx.active, spx.tick_sizes, spx.market_time_instrument_collection) == (True, False, None, "Equity Index")
    assert berkshire.symbol == "BRK/B"
    assert (coin.streamer_symbol, str(coin.tick_size), coin.destination_venue_symbols[0].max_quantity_precision) == ("BTC/USD:CXTALP", "0.01", 8)
    assert [item.symbol for item in coins] == ["BTC/USD", "ETH/USD"]
    assert gold.code == "GC"
    assert front.active_month


async def test_lists_of_shares_can_be_filtered_and_come_in_pages() -> None:
    async with Emulator(AList([a_quote()], ALL)) as emulator, a_session(emulator) as session:
        emulator.rest.most_per_page = 1
        symbols = ["SPY", "AAPL", "ES", "SPX", "XYZ"]
        everything = await Equity.get(session, symbols, page_offset=None)
        first = await Equity.get(session, symbols)
        etfs = await Equity.get(session, symbols, is_etf=True)
        indices = await Equity.get(session, symbols, is_index=True)
        active = await Equity.get_active_equities(session, page_offset=None)
    assert [item.symbol for item in everything] == ["SPY", "AAPL", "ES", "SPX"]
    assert [item.symbol for item in first] == ["SPY"]
    assert [item.symbol for item in etfs] == ["SPY"]
    assert [item.symbol for item in indices] == ["SPX"]
    assert {item.symbol for item in active} == {"SPY", "QQQ", "AAPL", "BRK/B", "ES"}


@pytest.mark.parametrize("symbol", ["XYZ", "BTC/USD", "/ESZ6"])
async def test_what_is_no_share_is_not_found_among_them(symbol: str) -> None:
    async with Emulator(AList([a_quote()], ALL)) as emulator, a_session(emulator) as session:
        with pytest.raises(TastytradeError, match="not_found"):
            await Equity.get(session, symbol)


async def test_an_expired_future_is_told_where_it_is_asked_for_and_is_not_active() -> None:
    async with Emulator(AList([a_quote()], ALL)) as emulator, a_session(emulator) as session:
        expired = await Future.get(session, "ESU6")
        listed = await Future.get(session, product_codes=["ES"])
        asked = await session._get("/instruments/futures", params={"symbol[]": ["/ESU6", "/ESZ6"], "only-active-futures": "false"})
        hidden = await Future.get(session, ["/ESU6"])
    assert (expired.symbol, expired.active, expired.active_month, expired.expiration_date) == ("/ESU6", False, False, date(2026, 9, 18))
    assert all(item.active for item in listed)
    assert [item["symbol"] for item in asked["items"]] == ["/ESU6", "/ESZ6"]
    assert hidden == []


async def test_an_instrument_may_come_without_a_streamer_symbol() -> None:
    async with Emulator(AList([a_quote()], ALL)) as emulator, a_session(emulator) as session:
        emulator.rest.unstreamed |= {"/ESH7", "SPY", "ETH/USD"}
        assert (await Future.get(session, "ESH7")).streamer_symbol == ""
        assert (await Equity.get(session, "SPY")).streamer_symbol == ""
        assert (await Cryptocurrency.get(session, "ETH/USD")).streamer_symbol == ""
        assert (await Future.get(session, "ESZ6")).streamer_symbol == "/ESZ26:XCME"


async def test_the_hours_of_shares_are_those_of_new_york() -> None:
    # Tuesday 2026-11-24 14:30 UTC is 09:30 in New York; a public reply has start-at 75 minutes before the open and close-at-ext at 20:00
    async with Emulator(AList([a_quote()], ALL)) as emulator, a_session(emulator) as session:
        [shares, futures] = await get_market_sessions(session, [ExchangeType.NYSE, ExchangeType.CME])
        closed = await get_market_holidays(session)
        cme = await get_futures_holidays(session, ExchangeType.CME)
    assert shares.status is futures.status is MarketStatus.OPEN
    times = [time.isoformat() for time in (shares.start_at, shares.open_at, shares.close_at, shares.close_at_ext) if time]
    assert times == ["2026-11-24T13:15:00+00:00", "2026-11-24T14:30:00+00:00", "2026-11-24T21:00:00+00:00", "2026-11-25T01:00:00+00:00"]
    assert shares.next_session is not None
    assert shares.next_session.session_date == date(2026, 11, 25)
    assert [str(day) for day in closed.half_days] == ["2026-11-27", "2026-12-24"]
    assert len(closed.holidays) == 10  # New Year, King, Presidents, Good Friday, Memorial, Juneteenth, Independence (3 July), Labor, Thanksgiving, Christmas
    assert date(2026, 7, 3) in closed.holidays
    assert date(2026, 7, 3) not in cme.holidays


@pytest.mark.parametrize(
    ("second", "state"),
    [(0, "Open"), (-60, "Pre-market"), (-76 * 60, "Closed"), (6.5 * 3600, "Extended"), (10.5 * 3600, "Closed"), (-5.5 * 3600, "Closed")],
)
async def test_the_state_of_the_share_market_follows_the_clock(second: float, state: str) -> None:
    async with Emulator(AList([a_quote(second)], ALL)) as emulator, a_session(emulator) as session:
        [shares] = await get_market_sessions(session, [ExchangeType.NYSE])
    assert shares.status.value == state


async def test_the_sdk_streams_the_prints_of_a_share() -> None:
    async with Emulator(AList(TAPE, (SPY,)), speed="max") as emulator, a_session(emulator) as session:
        streamer = DXLinkStreamer(session)
        try:
            async with streamer, asyncio.timeout(LIMIT_S):
                await streamer.subscribe(TimeAndSale, ["SPY"], refresh_interval=0)
                rows = [await streamer.get_event(TimeAndSale) for _ in PRINTS]
        finally:
            streams: list[Any] = [*streamer._send.values(), *streamer._recv.values()]
            for stream in streams:
                stream.close()  # which the SDK leaves to the garbage collector, with a warning
    assert [(row.event_symbol, float(row.price), row.size, row.aggressor_side) for row in rows] == [
        ("SPY", 689.13, 100, "BUY"),
        ("SPY", 689.125, 37, "UNDEFINED"),
        ("SPY", 689.12, 5, "SELL"),
    ]


async def test_a_share_goes_the_whole_way_from_its_name_to_trades() -> None:
    async with Emulator(AList(TAPE, (SPY,)), speed="max", start_on=("TimeAndSale",)) as emulator:
        settings = TastytradeSettings(client_secret=SecretStr(CLIENT_SECRET), refresh_token=SecretStr(REFRESH_TOKEN), api_url=emulator.api_url)
        async with TastyTradeProvider(settings, wait=True) as provider, asyncio.timeout(LIMIT_S):
            contract = await provider.resolve("SPY")
            found: list[TradeBatch] = []
            async with provider.subscribe_trades(contract) as trades:
                async for item in trades:
                    assert isinstance(item, TradeBatch)
                    found.append(item)
                    if sum(map(len, found)) == len(PRINTS):
                        break
        truth = read(emulator.truth)
    rows = [trade for batch in found for trade in batch]
    assert contract == SPY
    assert [(trade.price, trade.size, trade.index) for trade in rows] == [(row["price"], row["size"], row["index"]) for row in truth]
    columns = {name: np.concatenate([batch.columns[name] for batch in found]).tolist() for name in ("ticks", "lots", "flags")}
    assert columns["ticks"][::2] == [68913, 68912]
    assert columns["lots"] == [100, 37, 5]
    assert [bool(flags & TradeFlag.OFF_TICK) for flags in columns["flags"]] == [False, True, False]


def test_a_made_up_market_trades_a_share_in_its_own_hours() -> None:
    # 08:59:58 UTC on Tuesday 2026-11-24 is two seconds before 04:00 in New York
    market = Market(seed=1, start_ns=OPEN_MS * 1_000_000 - int((5.5 * 3600 + 2) * 1e9), roots=("SPY",))
    first = next(iter(market))
    assert first.contract == SPY
    assert first.at_ns // 10**9 == OPEN_MS // 1000 - int(5.5 * 3600)
