"""History, quotes and summaries through the socket: what comes equals a plain aggregation of the ground truth."""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.rows import EventFlags, index_of
from tastytrade_provider.emulator import Emulator, Market, Print, Wire, columns
from tastytrade_provider.errors import NoData, RequestTimeout, UnsupportedTimeframe, UsageError
from tastytrade_provider.model import Action, AggressorSide, Gap, Quote, TradeBatch, TradeFlag
from tastytrade_provider.tastytrade import requests, upkeep
from tastytrade_provider.tastytrade.history import History
from tastytrade_provider.tastytrade.intake import Intake
from tastytrade_provider.tastytrade.snapshot import Snapshot
from tests.checks.builders import ES
from tests.checks.sources import LIMIT_S, Excerpt, excerpt, until
from tests.test_providers import login

BAR_NS = 5_000_000_000


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def of_the_past(source: Excerpt, **settings: Any) -> Emulator:
    """An emulator for which the whole source has happened already."""
    last_ns = max(event.at_ns for event in source)
    return Emulator(source, **{"speed": "max", "start_on": ("TimeAndSale",), "live_from_ns": last_ns + 1} | settings)


def by_bar(prints: list[Print]) -> dict[int, list[Print]]:
    found: dict[int, list[Print]] = {}
    for one in prints:
        found.setdefault(one.time_ns // BAR_NS * BAR_NS, []).append(one)
    return found


def bought(prints: list[Print], side: AggressorSide) -> float:
    return sum(one.size for one in prints if one.side is side)


async def test_historical_bars_are_the_candles_of_the_feed_with_their_split() -> None:
    source = excerpt(events=8_000, roots=("ES",))
    expected = by_bar(source.prints())
    assert len(expected) > 2
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        first, last = min(expected), max(expected)
        frame = await provider.historical_bars(es, "5s", _iso(first), _iso(last))
    assert frame.index.to_numpy("M8[ns]").astype(int).tolist() == sorted(expected)[:-1]  # the end is not in it
    for (_, row), start in zip(frame.iterrows(), sorted(expected), strict=False):
        prints = expected[start]
        assert (row.open, row.close) == (prints[0].price, prints[-1].price)
        assert (row.high, row.low) == (max(p.price for p in prints), min(p.price for p in prints))
        assert row.volume == sum(p.size for p in prints)
        assert (row.buy_volume, row.sell_volume) == (bought(prints, AggressorSide.BUY), bought(prints, AggressorSide.SELL))
    assert set(frame.delta_source) == {"candle"}
    assert (frame.attrs["ended_by"], frame.attrs["start_was_cut"]) == ("flag", False)


async def test_where_the_market_was_closed_there_are_no_bars_and_where_it_was_open_that_is_an_error() -> None:
    source = excerpt(roots=("ES",))  # Monday 2026-03-02
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        empty = await provider.historical_bars(es, "1m", "2026-02-28T12:00:00Z", "2026-02-28T18:00:00Z")  # a Saturday
        assert len(empty) == 0
        assert {"open", "buy_volume", "session", "delta_source"} <= set(empty.columns)
        with pytest.raises(NoData, match=r"no 1m bars of /ES.* while the market was open"):
            await provider.historical_bars(es, "1m", "2026-02-26T15:00:00Z", "2026-02-26T16:00:00Z")
        with pytest.raises(UsageError, match="has no time zone"):
            await provider.historical_bars(es, "1m", "2026-02-26T15:00:00")
        with pytest.raises(UsageError, match="is not before end"):
            await provider.historical_bars(es, "1m", "2026-02-26T15:00:00Z", "2026-02-26T15:00:00Z")
        with pytest.raises(UnsupportedTimeframe, match="'7x' is not a number followed by"):
            await provider.historical_bars(es, "7x")


async def test_a_long_history_tells_how_it_comes_along() -> None:
    source = excerpt(events=8_000, roots=("ES",))
    async with of_the_past(source, wire=Wire(rows_per_message=2)) as emulator, create_provider(login(emulator)) as provider:
        told: list[tuple[str, int, float]] = []
        provider.progress = lambda *one: told.append(one)
        es = await provider.resolve("ES")
        await provider.historical_bars(es, "5s", _iso(source.start_ns), _iso(source.prints()[-1].time_ns))
    assert told
    assert [what for what, _, _ in told] == [f"Candle of {es.streamer_symbol}{{=5s}}"] * len(told)
    assert [rows for _, rows, _ in told] == sorted(rows for _, rows, _ in told)
    assert [share for _, _, share in told] == sorted(share for _, _, share in told)
    assert told[-1][2] == 1.0


async def test_regular_hours_of_a_night_are_empty_and_no_error() -> None:
    source = excerpt(roots=("ES",))
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        night = await provider.historical_bars(es, "1m", "2026-02-26T08:00:00Z", "2026-02-26T09:00:00Z", hours="rth")
    assert len(night) == 0
    assert "buy_volume" in night


async def test_trades_that_the_feed_does_not_have_are_an_error_and_not_an_empty_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    source = excerpt(events=900, roots=("ES",))
    monkeypatch.setattr(requests, "Snapshot", partial(Snapshot, deadline_s=0.05))
    wire = Wire(unserved=frozenset({"TimeAndSale"}))
    async with of_the_past(source, wire=wire, start_on=("Quote",)) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        with pytest.raises((NoData, RequestTimeout), match=r"TimeAndSale|trades of"):
            await provider.historical_trades(es, _iso(source.start_ns), _iso(source.prints()[-1].time_ns))


@pytest.mark.parametrize("is_swapped", [False, True])
async def test_candles_that_contradict_the_trades_of_the_same_minutes_are_served_without_a_split(is_swapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Excerpt(Market(seed=5, roots=("ES",), prints_per_s=2.0), 4000)
    if is_swapped:
        swapped(monkeypatch)
    async with Emulator(source, speed="max", start_on=("TimeAndSale",)) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        provider.subscribe_trades(es).on(lambda item: None)
        await emulator.wait_finished()
        line = provider._lines[es.streamer_symbol]  # type: ignore[attr-defined]
        await until(lambda: line.intake.last_time_ns == source.prints()[-1].time_ns, "the last trade did not come")
        last = source.prints()[-1].time_ns
        bars = await provider.historical_bars(es, "1m", _iso(source.start_ns), _iso(last))
        fives = await provider.historical_bars(es, "5m", _iso(source.start_ns), _iso(last))
    assert len(line.minutes.whole()) >= 3
    for frame in (bars, fives):  # what one-minute bars have shown holds for all
        assert set(frame.delta_source) == ({"none"} if is_swapped else {"candle"})
        assert frame.buy_volume.isna().all() == is_swapped
        assert frame.volume.notna().all()


def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed whose candles call bought what was sold."""
    right = columns.COLUMNS["Candle"]
    swap = {"bidVolume": "askVolume", "askVolume": "bidVolume"}
    monkeypatch.setitem(columns.COLUMNS, "Candle", tuple(swap.get(name, name) for name in right))


@pytest.mark.parametrize("timeframe", ["5m", "15s"])
async def test_bars_of_any_timeframe_have_their_split_compared_where_minutes_of_trades_are_known(timeframe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Excerpt(Market(seed=5, roots=("ES",), prints_per_s=2.0), 4000)
    swapped(monkeypatch)
    async with Emulator(source, speed="max", start_on=("TimeAndSale",)) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        provider.subscribe_trades(es).on(lambda item: None)
        await emulator.wait_finished()
        last = source.prints()[-1].time_ns
        line = provider._lines[es.streamer_symbol]  # type: ignore[attr-defined]
        await until(lambda: line.intake.last_time_ns == last, "the last trade did not come")
        for _ in range(2):
            found = await provider.historical_bars(es, timeframe, _iso(source.start_ns), _iso(last))
            assert (found.buy_volume.isna().all(), set(found.delta_source)) == (True, {"none"})
            assert found.attrs["counts"]["split_refused"] == len(found)
        notes = [note for note in provider.status().notes if "served without bought and sold volume" in note]
    assert len(notes) == 1
    assert es.symbol in notes[0]


async def test_candles_that_cannot_be_read_are_told_with_the_frame_and_in_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Excerpt(Market(seed=5, roots=("ES",), prints_per_s=2.0), 4000)
    rows_of = Snapshot.rows

    def spoilt(snapshot: Snapshot) -> list[Any]:
        rows = [dict(row) for row in rows_of(snapshot)]
        for row in rows[2:4]:
            row["high"] = "NaN"
        return rows

    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        whole = await provider.historical_bars(es, "1m", _iso(source.start_ns))
        monkeypatch.setattr(Snapshot, "rows", spoilt)
        found = await provider.historical_bars(es, "1m", _iso(source.start_ns))
        again = await provider.historical_bars(es, "1m", _iso(source.start_ns))
        status = provider.status()
    assert found.index.tolist() == whole.index.delete([2, 3]).tolist()
    assert [frame.attrs["counts"]["rejected"] for frame in (whole, found, again)] == [0, 2, 2]  # of this call alone
    assert status.rejected == 4
    assert all("a price is missing" in reject for reject in status.rejects)


async def test_historical_trades_are_the_prints_each_once_and_marked() -> None:
    source = excerpt(events=900, roots=("ES",))
    prints = source.prints()
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        batch = await provider.historical_trades(es, _iso(source.start_ns), _iso(prints[-1].time_ns + 10**9))
    assert batch.index.tolist() == [p.index for p in prints]
    assert (batch.flags & TradeFlag.BACKFILL > 0).all()


async def test_the_trades_up_to_now_are_those_up_to_the_exchanges_now_whose_clock_may_be_ahead_of_ours() -> None:
    source = excerpt(events=900, roots=("ES",))
    prints = source.prints()
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        provider._wall_ns = lambda: prints[-20].time_ns  # type: ignore[attr-defined]
        batch = await provider.historical_trades(es, _iso(source.start_ns))
    assert batch.index.tolist() == [p.index for p in prints]


async def test_a_session_s_trades_that_were_fetched_are_corrected_live() -> None:
    source = excerpt(events=600, roots=("ES",))
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es, first, got = await provider.resolve("ES"), source.prints()[0], list[TradeBatch]()
        provider._wall_ns = lambda: source.prints()[-1].time_ns  # type: ignore[attr-defined]
        following = provider.follow_trades(es).on(got.append)  # type: ignore[arg-type]
        await following.filled()
        emulator.publish([first._replace(action=Action.CANCEL)])
        await until(lambda: (first.index, Action.CANCEL) in zip(got[-1].index.tolist(), got[-1].action.tolist(), strict=True), lambda: f"{provider.status()}")
        assert provider.status().orphans == 0


async def test_a_correction_that_comes_live_while_its_trade_is_being_fetched_is_in_what_was_fetched() -> None:
    source = excerpt(events=600, roots=("ES",))
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es, first, calls = await provider.resolve("ES"), source.prints()[0], 0
        ask = provider._history.trades  # type: ignore[attr-defined]

        async def corrected_meanwhile(*args: Any) -> TradeBatch:
            nonlocal calls
            calls += 1
            found: TradeBatch = await ask(*args)
            if calls == 1:
                emulator.publish([first._replace(action=Action.CORRECTION, size=first.size + 5)])
                await until(lambda: provider.status().orphans, lambda: f"{provider.status()}")
            return found

        provider._history.trades = corrected_meanwhile  # type: ignore[attr-defined]
        async with provider.subscribe_trades(es):
            batch = await provider.historical_trades(es, _iso(source.start_ns))
    assert (calls, batch.index[0], batch.size[0]) == (2, first.index, first.size + 5)


async def test_a_history_of_trades_that_was_cut_says_how_far_back_it_goes() -> None:
    source = excerpt(events=900, roots=("ES",))
    async with of_the_past(source, wire=Wire(history_cap={"TimeAndSale": 100})) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        with pytest.raises(NoData, match=r"go back to 2026-03-02T.* only"):
            await provider.historical_trades(es, _iso(source.start_ns), _iso(source.prints()[-1].time_ns))


async def test_a_request_that_is_not_answered_times_out_and_the_stream_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    source = excerpt(events=300, roots=("ES",))
    monkeypatch.setattr(requests, "Snapshot", partial(Snapshot, deadline_s=0.05))
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        monkeypatch.setattr(Connection, "subscribe", lambda *_: None)  # so the server never hears of the wish
        with pytest.raises(RequestTimeout, match="did not answer the request for Candle of"):
            await provider.historical_bars(es, "1m", "2026-02-26T15:00:00Z", "2026-02-26T16:00:00Z")
        assert provider.is_connected


async def test_quotes_arrive_and_after_an_outage_a_gap_comes_before_the_next() -> None:
    source = excerpt(events=6000, roots=("ES",), is_endless=True)
    async with Emulator(source, speed="max", start_on=("Quote",)) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        got: list[Quote | Gap] = []
        subscription = provider.subscribe_quotes(es).on(got.append)
        await subscription.ready()
        await until(lambda: len(got) > 2, "no quote comes")
        for visitor in emulator.visitors:
            visitor.abort()
        await until(lambda: any(isinstance(item, Gap) for item in got), "no gap is told")
        at = next(i for i, item in enumerate(got) if isinstance(item, Gap))
    assert all(isinstance(item, Quote) for item in got[:at])
    assert isinstance(got[at + 1], Quote)
    assert got[at].reason == "connection lost"  # type: ignore[union-attr]
    changes = {(change.bid, change.ask) for change in source if not isinstance(change, Print)}
    assert {(item.bid, item.ask) for item in got if isinstance(item, Quote)} <= changes


async def test_the_days_volume_is_that_of_the_prints_so_far() -> None:
    source = excerpt(events=2000, roots=("ES",))
    async with of_the_past(source) as emulator, create_provider(login(emulator)) as provider:
        es = await provider.resolve("ES")
        subscription = provider.subscribe_summary(es)
        async with asyncio.timeout(LIMIT_S):
            summary = await anext(subscription)
            while summary.volume is None:
                summary = await anext(subscription)
    assert summary.volume == sum(one.size for one in source.prints())


async def test_where_a_history_of_trades_was_cut_others_of_the_same_millisecond_may_be_missing() -> None:
    snapshot = Snapshot(0.0)
    kept = [(5000, int(EventFlags.SNAPSHOT_BEGIN)), (4321, int(EventFlags.SNAPSHOT_SNIP))]  # newest first
    snapshot.add([{"eventFlags": flags, "index": index_of(time_ms, 7)} for time_ms, flags in kept], 0.1)

    async def ask(*_: object) -> Snapshot:
        return snapshot

    refill = await History(ask, Intake, lambda _: {}).refill(ES, 1_000_000_000)
    assert refill.cut_ns == 4_321_999_999


def _iso(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
