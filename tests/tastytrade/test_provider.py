"""The TastyTrade provider against the emulator: whatever order, loss or oddity the server shows, every trade is there or its gap is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import DataFormat, ErrorKind
from tastytrade_provider.emulator import Emulator, Oddities, Print, Wire, load_tape
from tastytrade_provider.emulator.instruments import future
from tastytrade_provider.emulator.visitor import Visitor
from tastytrade_provider.errors import AuthenticationFailed, ConnectionLost, NoData, RequestTimeout, SessionConflict, UsageError
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.model import Action, AggressorSide, Contract, Gap, SideSource, TradeBatch, TradeFlag
from tastytrade_provider.tastytrade import dialogue as dialogue_shell
from tastytrade_provider.tastytrade import trades as trades_shell
from tastytrade_provider.tastytrade import upkeep
from tastytrade_provider.tastytrade.history import History
from tastytrade_provider.tastytrade.mapping import FIELDS
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tastytrade_provider.tastytrade.stream import Stream
from tastytrade_provider.watch import Watched
from tests.checks.providers import assert_as_published, gather, trades_of
from tests.checks.sources import LIMIT_S, Excerpt, a_tape, excerpt, until
from tests.emulator.exchange import AList, a_print, a_quote
from tests.test_providers import finish, login


@pytest.fixture(autouse=True)
def _no_waiting_to_reconnect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def an_emulator(source: Any, **settings: Any) -> Emulator:
    return Emulator(source, **{"speed": "max", "start_on": ("TimeAndSale",)} | settings)


def a_provider(emulator: Emulator, **section: Any) -> TastyTradeProvider:
    provider = create_provider(login(emulator, **section))
    assert isinstance(provider, TastyTradeProvider)
    return provider


async def played(source: Excerpt, **settings: Any) -> tuple[list[list[Any]], TastyTradeProvider]:
    """What a provider hands over of a source, by contract."""
    async with an_emulator(source, **settings) as emulator, a_provider(emulator) as provider:
        gathering = [asyncio.create_task(gather(provider.subscribe_trades(contract))) for contract in source.contracts]
        await finish(provider, lambda: emulator)()
        await provider.disconnect()
        return list(await asyncio.gather(*gathering)), provider


def visitors(emulator: Emulator) -> list[Visitor]:
    return [visitor for visitor in emulator.visitors if visitor.feed is not None]


def serve_all(emulator: Emulator, provider: TastyTradeProvider) -> None:
    """From now on the login receives all events, as after an entitlement, and asks again."""
    emulator.wire = Wire()
    for visitor in visitors(emulator):
        assert visitor.feed is not None
        visitor.feed._wire = emulator.wire
    for dialogue in provider._keeper.dialogues:
        dialogue.ask_trades(provider._trades.wanted())


# --- the server's freedoms


@pytest.mark.parametrize("order", [FIELDS[::-1], ("aggressorSide", "askPrice", "bidPrice"), FIELDS[7:] + FIELDS[:7]], ids=["reversed", "some first", "rotated"])
async def test_the_servers_own_order_of_columns_changes_nothing(order: tuple[str, ...]) -> None:
    source = excerpt(roots=("ES",))
    [items], provider = await played(source, wire=Wire(column_order={"TimeAndSale": order}))
    assert_as_published(trades_of(items), source, TastyTradeProvider.capabilities)
    assert provider.status().rejected == 0


async def test_without_aggressor_flags_sides_are_inferred_and_say_so() -> None:
    source = excerpt(roots=("ES",))
    [items], provider = await played(source, wire=Wire(dropped_columns={"TimeAndSale": ("aggressorSide",)}))
    trades, prints = trades_of(items), source.prints()
    assert trades.index.tolist() == [p.index for p in prints]
    assert (trades.side_source != SideSource.EXCHANGE).all()
    assert provider.status().sides["exchange"] == 0
    # every print of the made-up market stands at the bid or the ask of the quote it carries: the quote rule must find what the flag would have said
    flagged = [i for i, p in enumerate(prints) if p.side is not AggressorSide.UNKNOWN]
    assert trades.side[flagged].tolist() == [int(prints[i].side) for i in flagged if prints[i].side]
    assert set(trades.side_source[flagged].tolist()) <= {int(SideSource.QUOTE), int(SideSource.TICK)}


@pytest.mark.parametrize(
    "dropped",
    [("bidPrice", "askPrice"), ("timeNanoPart",), ("eventFlags", "spreadLeg", "extendedTradingHours"), ("validTick", "type"), ("time", "timeNanoPart")],
)
async def test_a_dropped_column_costs_nothing_but_itself(dropped: tuple[str, ...]) -> None:
    source = excerpt(roots=("ES",))
    [items], provider = await played(source, wire=Wire(dropped_columns={"TimeAndSale": dropped}))
    trades, prints = trades_of(items), source.prints()
    assert trades.index.tolist() == [p.index for p in prints]
    assert trades.price.tolist() == [p.price for p in prints]
    assert trades.size.sum() == sum(p.size for p in prints)
    coarse = 1_000_000 if "timeNanoPart" in dropped else 1
    assert trades.time_ns.tolist() == [p.time_ns // coarse * coarse for p in prints]
    assert np.isnan(trades.bid).all() == ("bidPrice" in dropped)
    assert provider.status().rejected == 0


@pytest.mark.parametrize("wire", [Wire(rows_per_message=1), Wire(pairs_per_message=5, rows_per_message=3), Wire(max_bytes=1 << 20)])
async def test_how_rows_are_packed_into_messages_changes_nothing(wire: Wire) -> None:
    source = excerpt(roots=("ES",))
    [items], _ = await played(source, wire=wire)
    assert_as_published(trades_of(items), source, TastyTradeProvider.capabilities)


async def test_rows_as_objects_with_names_are_read_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    compact = Connection.feed_setup
    monkeypatch.setattr(Connection, "feed_setup", lambda self, channel, period, event_fields: compact(self, channel, period, DataFormat.FULL, event_fields))
    source = excerpt(roots=("ES",))
    [items], _ = await played(source)
    assert_as_published(trades_of(items), source, TastyTradeProvider.capabilities)


# --- broken connections


async def lose_the_connection(
    lose: Callable[[Visitor], object], monkeypatch: pytest.MonkeyPatch
) -> tuple[Excerpt, list[list[Any]], TastyTradeProvider, Emulator]:
    """Two contracts; the connection is lost after 200 trades and may come back once a witness has seen 400 more. Then the witness leaves, and with
    nobody there the exchange waits for the provider."""
    source = excerpt(events=6000)
    async with an_emulator(source) as emulator, a_provider(emulator) as provider, a_provider(emulator) as witness:
        gate, seen = asyncio.Event(), 0
        ends = [source.prints(contract)[-1].time_ns for contract in source.contracts]
        token = provider._account.quote_token

        async def later() -> Any:
            await gate.wait()
            return await token()

        monkeypatch.setattr(provider._account, "quote_token", later)
        gathering = [asyncio.create_task(gather(provider.subscribe_trades(contract))) for contract in source.contracts]

        def watch(item: Any) -> None:
            nonlocal seen
            before, seen = seen, seen + len(item)
            if before < 200 <= seen:
                lose(visitors(emulator)[0])
            if seen >= 600 and provider.status().state == "reconnecting":
                gate.set()
                for subscription in watching:
                    subscription.cancel()

        watching = [witness.subscribe_trades(contract).on(watch) for contract in source.contracts]
        async with asyncio.timeout(LIMIT_S):
            await emulator.wait_finished()
        await until(lambda: len(provider.status().gaps) == 2, "no gaps")
        await until(lambda: [line.intake.last_time_ns for line in provider._lines.values()] == ends, "the last trades did not come")
        await provider.disconnect()
        return source, list(await asyncio.gather(*gathering)), provider, emulator


async def test_while_it_reconnects_the_status_says_why_and_how_often_it_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, gate = 0, asyncio.Event()
    async with an_emulator(excerpt(events=300, roots=("ES",))) as emulator, a_provider(emulator) as provider:
        token = provider._account.quote_token

        async def hard_to_get() -> Any:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise ConnectionLost(f"no route at try {tries}")
            await gate.wait()
            return await token()

        def told() -> tuple[str | None, int]:
            return provider.status().problem, provider.status().attempts

        monkeypatch.setattr(provider._account, "quote_token", hard_to_get)
        assert told() == (None, 0)
        visitors(emulator)[0].close(1008, "policy")
        await until(lambda: tries == 3, "it was not tried again")
        assert provider.status().state == "reconnecting"
        assert told() == ("connection lost: the server closed: 1008 policy; reconnect 2 failed: no route at try 2", 2)
        gate.set()
        await until(lambda: provider.is_connected, "it did not come back")
        assert told() == (None, 0)


def token_expires(visitor: Visitor) -> None:
    """As the live service does around 00:00 UTC."""
    assert visitor.feed is not None
    visitor.feed.connection.error(ErrorKind.UNAUTHORIZED, "Your authentication token has expired, reauthentication is required")
    visitor.send()


def channel_closes(visitor: Visitor) -> None:
    assert visitor.feed is not None
    visitor.feed.connection.channel_closed(1)
    visitor.send()


@pytest.mark.parametrize(
    ("lose", "told"),
    [
        (Visitor.abort, "connection lost"),
        (partial(Visitor.close, code=1000, reason="Bye"), "the server closed: 1000 Bye"),
        (partial(Visitor.close, code=1008, reason="policy"), "the server closed: 1008 policy"),
        (token_expires, "token has expired"),
        (channel_closes, "channel 1 was closed"),
    ],
    ids=["aborted", "closed with 1000", "closed with 1008", "token expired", "channel closed"],
)
async def test_a_lost_connection_comes_back_and_tells_one_gap_over_every_lost_print_where_no_history_of_trades_is_served(
    lose: Callable[[Visitor], object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(History, "refill", no_history)
    monkeypatch.setattr(trades_shell, "_REFILL_S", 0.3)
    source, found, provider, emulator = await lose_the_connection(lose, monkeypatch)
    status = provider.status()
    assert status.reconnects == 1
    assert any(told in note for note in status.notes), status.notes
    assert len(emulator.rest.quote_tokens.until_s) == 3  # the provider's first, the witness's, and a fresh one
    lost_altogether = 0
    for contract, items in zip(source.contracts, found, strict=True):
        [gap] = [item for item in items if isinstance(item, Gap)]
        assert (gap.contract, gap.reason, gap.filled) == (contract, "connection lost", False)
        got = {trade.index for item in items if isinstance(item, TradeBatch) for trade in item}
        prints = source.prints(contract)
        lost = [p for p in prints if p.index not in got]
        assert all(gap.start_ns <= p.time_ns < gap.end_ns for p in lost)
        assert sum(len(item) for item in items if isinstance(item, TradeBatch)) == len(got) == len(prints) - len(lost)
        lost_altogether += len(lost)
        at = items.index(gap)
        assert all(trade.time_ns <= gap.start_ns for item in items[:at] for trade in item)
        assert all(trade.time_ns >= gap.end_ns - 1 for item in items[at + 1 :] for trade in item)
    assert lost_altogether > 100


async def no_history(*_: Any) -> Any:
    """A server that does not answer a request for past trades."""
    raise RequestTimeout("no answer")


@pytest.mark.parametrize("lose", [Visitor.abort, token_expires], ids=["aborted", "token expired"])
async def test_the_trades_of_an_outage_are_fetched_and_handed_over_in_their_place_each_once(
    lose: Callable[[Visitor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, found, provider, _ = await lose_the_connection(lose, monkeypatch)
    assert provider.status().reconnects == 1
    fetched = 0
    for contract, items in zip(source.contracts, found, strict=True):
        [gap] = [item for item in items if isinstance(item, Gap)]
        assert (gap.contract, gap.reason, gap.filled) == (contract, "connection lost", True)
        trades = [trade for item in items if isinstance(item, TradeBatch) for trade in item]
        assert [trade.index for trade in trades] == [p.index for p in source.prints(contract)]
        refilled = [trade for trade in trades if trade.flags & TradeFlag.BACKFILL]
        assert all(gap.start_ns <= trade.time_ns < gap.end_ns for trade in refilled)
        fetched += len(refilled)
    assert fetched > 100
    assert provider.status().duplicates < fetched


async def test_a_subscription_made_while_the_connection_is_away_is_served_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    source = excerpt(events=4000, is_endless=True)
    async with an_emulator(source) as emulator:
        provider = a_provider(emulator)
        es, nq = source.contracts
        await provider.connect()
        real, late = dialogue_shell._first, []

        async def in_the_handshake(*waiting: Any) -> None:
            late.append(provider.subscribe_trades(nq))
            await real(*waiting)

        first = provider.subscribe_trades(es)
        async with asyncio.timeout(LIMIT_S):
            await anext(first)
            monkeypatch.setattr(dialogue_shell, "_first", in_the_handshake)
            visitors(emulator)[0].abort()
            await until(lambda: late, "no reconnect")
            await late[0].ready()
            assert trades_of([await anext(late[0])]).contract == nq
        await provider.disconnect()


async def test_a_token_is_renewed_over_a_second_connection_and_nothing_is_lost_or_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "OVERLAP_S", 0.1)
    source = excerpt(events=12_000, roots=("ES",))  # some 25 seconds of a market
    async with an_emulator(source, speed=12) as emulator:
        emulator.rest.quote_tokens.life_s = 0.4  # renewed after half of it
        async with a_provider(emulator) as provider:
            gathering = asyncio.create_task(gather(provider.subscribe_trades(source.contracts[0])))
            await until(lambda: len(emulator.rest.quote_tokens.until_s) > 3, "no renewal")
            emulator.rest.quote_tokens.life_s = 3600.0
            await until(lambda: len(provider._keeper.dialogues) == 1 and len(visitors(emulator)) == 1, "the old connection stays open")
            await finish(provider, lambda: emulator)()
            await provider.disconnect()
            items = await gathering
    assert_as_published(trades_of([item for item in items if isinstance(item, TradeBatch)]), source, TastyTradeProvider.capabilities)
    assert not [item for item in items if isinstance(item, Gap) and item.end_ns <= source.prints()[-1].time_ns]
    assert provider.status().duplicates > 0  # two connections told the same for a while


async def test_a_connection_that_breaks_while_the_new_one_is_young_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    source = excerpt(events=12_000, roots=("ES",))
    async with an_emulator(source, speed=12) as emulator:
        emulator.rest.quote_tokens.life_s = 1.0
        async with a_provider(emulator) as provider:
            gathering = asyncio.create_task(gather(provider.subscribe_trades(source.contracts[0])))
            await until(lambda: len([one for one in provider._keeper.dialogues if one.grants("STREAM")]) == 2, "no renewal")
            emulator.rest.quote_tokens.life_s = 3600.0
            visitors(emulator)[0].abort()
            await until(lambda: provider.status().reconnects == 1 and provider.is_connected, "the outage went unnoticed")
            await finish(provider, lambda: emulator)()
            await provider.disconnect()
            items = await gathering
    assert_as_published(trades_of([item for item in items if isinstance(item, TradeBatch)]), source, TastyTradeProvider.capabilities)


class Clock:
    """A stream's loop whose time stands until it is moved."""

    def __init__(self, stream: Stream) -> None:
        self._loop = stream._loop
        self.s = self._loop.time()
        stream._loop = self  # type: ignore[assignment]

    def time(self) -> float:
        return self.s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def stream_of(provider: TastyTradeProvider) -> Stream:
    [dialogue] = provider._keeper.dialogues
    return dialogue.stream


async def test_silence_beyond_the_time_out_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with an_emulator(excerpt(roots=("ES",)), start_on=("Quote",)) as emulator:  # nobody asks for quotes: the tape never starts
        provider = a_provider(emulator)
        await provider.connect()
        subscription = provider.subscribe_trades(emulator.source.contracts[0])
        await subscription.ready()
        stream = stream_of(provider)
        clock = Clock(stream)
        stream._tick()
        for _ in range(12):
            clock.s += 5.0
            assert not stream.closed.done()
            stream._tick()
        assert stream.closed.done()
        await until(lambda: provider.status().reconnects == 1 and provider.is_connected, "no reconnect")
        assert any("did not come for 60 s" in note for note in provider.status().notes), provider.status().notes
        monkeypatch.setattr(trades_shell, "_GAP_AFTER_S", 0.0)
        provider._trades.tell_gaps()  # no trade came to end the gap: the clock does
        gap = await anext(subscription)
        assert isinstance(gap, Gap)
        assert gap.start_ns < gap.end_ns
        await provider.disconnect()


async def test_a_program_that_was_busy_or_made_the_feed_wait_does_not_take_that_for_silence() -> None:
    async with an_emulator(excerpt(roots=("ES",)), start_on=("Quote",)) as emulator:
        provider = a_provider(emulator)
        await provider.connect()
        stream = stream_of(provider)
        clock = Clock(stream)
        stream._tick()
        clock.s += 3600.0  # the loop stood still
        stream._tick()
        stream.pause()
        for _ in range(100):
            clock.s += 5.0
            stream._tick()
        stream.resume()
        clock.s += 1.0
        stream._tick()
        assert not stream.closed.done()
        assert provider.is_connected
        await provider.disconnect()


# --- refusals


async def test_a_refused_quote_token_is_an_authentication_failure_and_leaves_nothing_open() -> None:
    async with an_emulator(excerpt()) as emulator:
        emulator.rest.quote_tokens.life_s = -1.0
        provider = a_provider(emulator)
        with pytest.raises(AuthenticationFailed, match="the stream refused the quote token: Authentication failed"):
            await provider.connect()
        assert not provider.is_connected
        assert provider.status().state == "disconnected"
        emulator.rest.quote_tokens.life_s = 60.0
        await provider.connect()
        assert provider.is_connected
        await provider.disconnect()


async def test_a_login_refused_again_and_again_ends_the_subscriptions_with_the_reason() -> None:
    async with an_emulator(excerpt(events=50_000, is_endless=True)) as emulator:
        provider = a_provider(emulator)
        await provider.connect()
        subscription = provider.subscribe_trades(emulator.source.contracts[0])
        async with asyncio.timeout(LIMIT_S):
            await anext(subscription)
            emulator.rest.quote_tokens.life_s = -1.0
            visitors(emulator)[0].abort()
            with pytest.raises(AuthenticationFailed, match="refused the quote token"):
                await subscription.ended()
        assert provider.status().state == "disconnected"
        assert len(emulator.rest.quote_tokens.until_s) == 6  # the good one and five refused: no more, or the address gets blocked
        emulator.rest.quote_tokens.life_s = 60.0
        await provider.connect()
        assert provider.is_connected
        await provider.disconnect()


async def test_the_limit_of_sessions_is_told_as_a_session_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The number of user sessions has exceeded the configured limit, user=tasty/U0001"
    monkeypatch.setattr("tastytrade_provider.emulator.feed.Feed._on_auth", lambda self, message: self.connection.error(ErrorKind.UNAUTHORIZED, text))
    async with an_emulator(excerpt()) as emulator:
        with pytest.raises(SessionConflict, match="Close one, or wait") as told:
            await a_provider(emulator).connect()
        assert told.value.retryable


async def test_a_server_that_does_not_answer_the_handshake_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue_shell, "HANDSHAKE_S", 0.05)
    monkeypatch.setattr("tastytrade_provider.emulator.feed.Feed.receive", lambda self, payload: None)
    async with an_emulator(excerpt()) as emulator:
        provider = a_provider(emulator)
        with pytest.raises(RequestTimeout, match="did not open within"):
            await provider.connect()
        await until(lambda: not visitors(emulator), "the socket was left open")


async def test_a_stream_address_that_nobody_listens_at_is_connection_lost() -> None:
    async with an_emulator(excerpt()) as emulator:
        for url in ("ws://127.0.0.1:1/realtime", emulator.dxlink_url + "/nowhere", "ftp://127.0.0.1/realtime"):
            emulator.rest.dxlink_url = url
            with pytest.raises(ConnectionLost) as told:
                await a_provider(emulator).connect()
            assert url in str(told.value)
            assert "\n" not in str(told.value)


# --- subscriptions


async def test_the_last_cancel_tells_the_server_and_a_new_subscription_asks_again() -> None:
    async with an_emulator(excerpt(events=50_000, is_endless=True)) as emulator:
        provider = a_provider(emulator)
        await provider.connect()
        contract = emulator.source.contracts[0]
        [visitor] = visitors(emulator)
        assert visitor.feed is not None
        for _ in range(2):
            one, other = provider.subscribe_trades(contract), provider.subscribe_trades(contract)
            async with asyncio.timeout(LIMIT_S):
                await anext(one)
            await until(lambda: visitor.feed and visitor.feed.listens(["TimeAndSale"]), "the server was not asked")
            one.cancel()
            await asyncio.sleep(0)
            assert visitor.feed.listens(["TimeAndSale"])
            other.cancel()
            await until(lambda: visitor.feed and not visitor.feed.listens(["TimeAndSale"]), "the server was not told")
        assert provider.status().gaps == ()
        await provider.disconnect()


async def test_a_contract_without_a_streamer_symbol_is_refused_by_name() -> None:
    async with an_emulator(excerpt()) as emulator:
        with pytest.raises(UsageError, match=r"/ESZ6 has no streamer symbol; take the contract from resolve"):
            a_provider(emulator).subscribe_trades(Contract("ES", "/ESZ6"))


# --- oddities


def surviving(prints: list[Print]) -> dict[int, Print]:
    """What remains of prints by the specification, one after the other: NEW adds, CORRECTION replaces, CANCEL removes; then filtered."""
    held: dict[int, Print] = {}
    for one in prints:
        if one.action is Action.CANCEL:
            del held[one.index]
        else:
            held[one.index] = one
    return {index: one for index, one in held.items() if one.valid_tick and not one.spread_leg}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_is_odd_the_bars_hold_what_survives(seed: int) -> None:
    odd = Oddities(nan_quote=0.05, invalid_tick=0.05, spread_leg=0.05, correction=0.05, cancel=0.05)
    source = excerpt(events=4000, seed=seed, roots=("ES",), oddities=odd)
    [items], provider = await played(source)
    watched = Watched(source.contracts[0], "1m", IndicatorManager())
    for item in items:
        watched.add(item)
    left = surviving(source.prints()).values()
    found = watched.summary()
    assert found["trades"] == len(left) == sum(found["trades_by_source"].values())
    assert found["volume"] == sum(one.size for one in left)
    buys = sum(one.size for one in left if one.side is AggressorSide.BUY)
    sells = sum(one.size for one in left if one.side is AggressorSide.SELL)
    unflagged = sum(one.size for one in left if one.side is AggressorSide.UNKNOWN)
    assert buys <= found["buy_volume"] <= buys + unflagged
    assert sells <= found["sell_volume"] <= sells + unflagged
    assert provider.status().rejected == 0


async def test_a_size_that_is_no_whole_number_is_kept_and_counted() -> None:
    source = excerpt(roots=("ES",), oddities=Oddities(fractional=0.1))
    [items], provider = await played(source)
    assert_as_published(trades_of(items), source, TastyTradeProvider.capabilities)
    assert provider.status().off_step == sum(p.size % 1 != 0 for p in source.prints()) > 0


@pytest.mark.parametrize(("invalid_ticks", "is_noted"), [("exclude", True), ("include", False)])
async def test_a_minute_of_invalid_ticks_is_noted_with_the_switch_that_counts_them(invalid_ticks: str, is_noted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    source, now_ns = excerpt(roots=("ES",), oddities=Oddities(invalid_tick=1.0)), time.time_ns
    async with an_emulator(source) as emulator, a_provider(emulator, invalid_ticks=invalid_ticks) as provider:
        provider.subscribe_trades(source.contracts[0]).on(lambda item: None)
        await finish(provider, lambda: emulator)()
        monkeypatch.setattr(trades_shell, "time", SimpleNamespace(time_ns=lambda: now_ns() + 60 * 10**9))  # the minute is over
        notes = [note for note in provider.status().notes if "validTick=false" in note]
        assert provider.status().excluded["invalid_tick"] == (len(source.prints()) if is_noted else 0)
    assert len(notes) == is_noted
    for note in notes:
        assert note.startswith(f"{source.contracts[0].symbol}: ")
        assert "'tastytrade.invalid_ticks: include' counts them" in note


async def test_one_correction_and_one_cancel_give_the_bar_footprint_and_cvd_worked_out_by_hand(tmp_path: Path) -> None:
    tape = a_tape(
        tmp_path / "es.csv",
        """
        1772463600000000000, 6000.00, 5, BUY,  5999.75, 6000.00, NEW,        1
        1772463601000000000, 6000.25, 3, BUY,  6000.00, 6000.25, NEW,        2
        1772463602000000000, 6000.00, 4, SELL, 6000.00, 6000.25, NEW,        3
        1772463603000000000, 6000.25, 1, BUY,  6000.00, 6000.25, CORRECTION, 2
        1772463604000000000, 6000.00, 5, BUY,  5999.75, 6000.00, CANCEL,     1
        1772463605000000000, 5999.75, 2, SELL, 5999.75, 6000.00, NEW,        4
        """,
        header="time_ns,price,size,side,bid,ask,type,index",
    )
    async with an_emulator(load_tape(tape, symbol="ES")) as emulator:
        provider = a_provider(emulator)
        await provider.connect()
        watched = Watched(await provider.resolve("ES"), "1m", IndicatorManager())
        provider.subscribe_trades(watched.contract).on(watched.add)
        await finish(provider, lambda: emulator)()
        status = provider.status()
        await provider.disconnect()
    # What is left: 1 bought at 6000.25 (corrected from 3), 4 sold at 6000.00, 2 sold at 5999.75; the 5 at 6000.00 never happened.
    found = watched.summary()
    assert (found["trades"], found["volume"], found["buy_volume"], found["sell_volume"]) == (3, 7, 1, 6)
    assert (found["open"], found["high"], found["low"], found["close"]) == (6000.25, 6000.25, 5999.75, 5999.75)
    assert found["delta"] == -5  # +1 -4 -2
    assert (found["cvd_high"], found["cvd_low"]) == (1, -5)  # 0, +1, -3, -5
    assert found["poc"] == 6000.0  # 4 lots, against 1 and 2
    [bar] = found["bars"]
    assert (bar["time"], bar["min_delta"], bar["max_delta"]) == ("2026-03-02T15:00:00Z", -5, 1)
    assert (bar["cvd"], bar["cvd_open"], bar["cvd_high"], bar["cvd_low"]) == (-5, 0, 1, -5)
    assert watched.by_source == {"exchange": 3, "quote": 0, "tick": 0, "none": 0}
    assert watched.live.forming is not None
    cells = watched.live.footprint(watched.live.forming.bar).to_dataframe()
    assert cells[["buy_volume", "sell_volume"]].to_dict("index") == {
        5999.75: {"buy_volume": 0, "sell_volume": 2},
        6000.00: {"buy_volume": 0, "sell_volume": 4},
        6000.25: {"buy_volume": 1, "sell_volume": 0},
    }
    assert (status.trades, status.corrections, status.cancels, status.orphans) == (4, 1, 1, 0)


# --- the front month by volume


async def volume_front(*traded: Contract) -> str:
    """The front month of ES by volume on Wednesday 2026-11-25, where only these months traded, on Monday and Tuesday."""
    contracts = traded or (future("ES", 2026, 12),)
    two_days = [(day, number, contract) for day in (-1, 0) for number, contract in enumerate(traded, start=1)]
    prints = [a_print(day * 86_400, sequence=number, size=float(number))._replace(contract=contract) for day, number, contract in two_days]
    opened = a_quote(86_400)._replace(contract=contracts[0])
    source = AList([*prints, opened], contracts=contracts)
    async with an_emulator(source, live_from_ns=opened.at_ns) as emulator, a_provider(emulator) as provider:
        provider._wall_ns = lambda: opened.at_ns
        return (await provider.front_month("ES", "volume")).symbol


async def test_a_month_that_did_not_trade_in_a_week_is_the_front_by_volume_no_more_and_no_error() -> None:
    december, march = future("ES", 2026, 12), future("ES", 2027, 3)
    assert await volume_front(december) == "/ESZ6"
    assert await volume_front(march) == "/ESH7"
    assert await volume_front(december, march) == "/ESH7"  # which traded two lots a day for one


async def test_where_no_month_traded_in_a_week_there_is_no_front_month_by_volume() -> None:
    with pytest.raises(NoData, match=r"none of /ESZ6, /ESH7, /ESM7 traded in the last 7 days"):
        await volume_front()
