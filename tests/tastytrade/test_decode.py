"""A journal of a feed that was not served TimeAndSale: the trades made of Quote and Trade come again, bit by bit, with their gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import encode_compact, index_of
from tastytrade_provider.emulator import Wire
from tastytrade_provider.journal import Journal, Standing, segments
from tastytrade_provider.model import Contract, Gap, TradeBatch
from tastytrade_provider.replay import ReplayProvider, compact
from tastytrade_provider.tastytrade import trades
from tastytrade_provider.tastytrade.decode import JournalDecoder
from tastytrade_provider.tastytrade.mapping import FIELDS, TIME_AND_SALE
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tastytrade_provider.tastytrade.quotes import FIELDS as BOARD_FIELDS
from tests.checks.builders import ES, opening
from tests.checks.recordings import played
from tests.checks.sources import excerpt, until
from tests.tastytrade.test_provider import a_provider, an_emulator, serve_all, visitors
from tests.test_replay import assert_same

NOT_SERVED = Wire(unserved=frozenset({"TimeAndSale"}))


pytestmark = pytest.mark.usefixtures("quick_ladder")


@pytest.fixture(autouse=True)
def _gives_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "_REFILL_S", 1.0)


def made(items: list[Any]) -> list[TradeBatch]:
    return [item for item in items if isinstance(item, TradeBatch) and (item.index < 0).all()]


def without_what_nobody_heard(items: list[Any]) -> tuple[list[Any], list[Gap]]:
    """A listener that left does not hear what is missing for it; whoever reads the recording does."""
    left = [item for item in items if isinstance(item, Gap) and item.reason == "not subscribed"]
    return [item for item in items if item not in left], left


def shown(item: TradeBatch | Gap) -> str:
    if isinstance(item, Gap):
        return f"{item.contract.root} gap {item.start_ns} {item.end_ns} {item.reason} {item.filled}"
    return f"{item.contract.root} {len(item)} from {item.time_ns[0]} to {item.time_ns[-1]} {'made' if item.index[0] < 0 else 'told'}"


async def the_feed(folder: Path, items: list[Any], **journal: Any) -> TastyTradeProvider:
    """ES and NQ without TimeAndSale, with it, and without it again; a connection lost in each; ES left and subscribed again."""
    market = excerpt(events=400_000, roots=("ES", "NQ"))
    async with an_emulator(market, speed=8, wire=NOT_SERVED, start_on=("Trade", "Quote")) as emulator, a_provider(emulator) as provider:
        provider.journal = Journal(folder, **journal)
        es, nq = [provider.subscribe_trades(contract).on(items.append) for contract in market.contracts]

        async def both(what: str, *, are_made: bool) -> None:
            at = len(items)
            await until(lambda: len({one.contract for one in items[at:] if isinstance(one, TradeBatch) and (one.index[0] < 0) == are_made}) > 1, what)

        async def lose() -> None:
            visitors(emulator)[0].close(1011, "gone")
            await until(lambda: not provider.is_connected, "the connection stands")

        await both("no fall", are_made=True)
        await lose()
        await both("no trades after the reconnect", are_made=True)
        serve_all(emulator, provider)
        await until(lambda: provider.status().delta_source == "time_and_sale", "no rise")
        await both("no trades after the rise", are_made=False)
        await lose()
        await both("no trades after the second reconnect", are_made=False)
        emulator.wire = NOT_SERVED
        await lose()
        es.cancel()  # with nothing on its way to it
        await until(lambda: provider.status().delta_source == "quote_trade", "no second fall")
        es = provider.subscribe_trades(es.contract).on(items.append)
        await both("no trades of both", are_made=True)
        es.cancel()
        nq.cancel()
        return provider


@pytest.mark.parametrize("max_bytes", [256 << 20, 4096], ids=["one segment", "many segments"])
async def test_what_was_made_of_lesser_events_is_made_again_in_a_replay(tmp_path: Path, max_bytes: int) -> None:
    live: list[Any] = []
    provider = await the_feed(tmp_path / "journal", live, max_bytes=max_bytes)
    assert len(segments(tmp_path / "journal")) > 3 or max_bytes > 4096
    replay = ReplayProvider(tmp_path / "journal", "max")
    again, left = without_what_nobody_heard(await played(replay))
    assert [gap.contract.root for gap in left] == ["ES"]
    assert len(made(live)) > 10
    assert {item.reason for item in live if isinstance(item, Gap)} >= {"no time_and_sale", "connection lost"}
    assert [shown(item) for item in again] == [shown(item) for item in live]
    assert_same(again, live)
    then, now = provider.status(), replay.status()
    assert (now.trades, now.sides) == (then.trades, then.sides)
    assert_same(without_what_nobody_heard(await played(replay))[0], live)
    compact(tmp_path / "journal")
    files = ReplayProvider(tmp_path / "journal" / "sessions", "max")
    filed = [item for item in await played(files) if isinstance(item, TradeBatch)]
    assert sum(map(len, filed)) == sum(len(item) for item in live if isinstance(item, TradeBatch))
    assert sum(float(item.size.sum()) for item in made(filed)) == sum(float(item.size.sum()) for item in made(live))
    assert set(files.status().delta_source.split(", ")) >= {"quote_trade", "time_and_sale"}


S = 10**9
NQ = Contract("NQ", "/NQZ6", "/NQZ26:XCME")


class ByHand:
    """A recording told second by second after Monday's cash open."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.second = folder, 0
        self.journal = Journal(folder, wall_ns=self._now_ns, monotonic_ns=self._now_ns)

    def _now_ns(self) -> int:
        return opening() + self.second * S

    def begin(self, wanted: str, source: str, *, listens: bool) -> None:
        self.journal.open()
        self.journal.watch(ES, {})
        self.journal.stand(ES, Standing(wanted, source, listens, 1, False, None))

    def last_trade(self, second: int, day_volume: float) -> None:
        self.second = second
        row = {"eventSymbol": ES.streamer_symbol, "time": self._now_ns() // 10**6, "price": 6000.0, "size": 1.0, "dayId": 20_780, "dayVolume": day_volume}
        raw = feed_data(3, encode_compact("Trade", BOARD_FIELDS["Trade"], [dict.fromkeys(BOARD_FIELDS["Trade"]) | row])).raw
        self.journal.append([raw], [self._now_ns()], BOARD_FIELDS, are_trades=False)

    def prints(self, second: int, *times: int, channel: int = 1) -> None:
        """Prints of these seconds, received in that one."""
        self.second, rows = second, list[dict[str, Any]]()
        for time_ms in ((opening() + time * S) // 10**6 for time in times):
            row = {"eventSymbol": ES.streamer_symbol, "eventFlags": 0, "index": index_of(time_ms, 0), "time": time_ms, "price": 6000.0, "size": 1.0}
            rows.append(dict.fromkeys(FIELDS) | row | {"aggressorSide": "BUY", "validTick": True, "type": "NEW"})
        self.journal.append([feed_data(channel, encode_compact(TIME_AND_SALE, FIELDS, rows)).raw], [self._now_ns()], {TIME_AND_SALE: FIELDS})

    def replayed(self) -> list[tuple[int, str]]:
        """Second and kind of each trade."""
        self.journal.close()
        batches = [item for read in JournalDecoder(segments(self.folder)) for item in read.items if isinstance(item, TradeBatch)]
        return [((ns - opening()) // S, "made" if index < 0 else "told") for one in batches for ns, index in zip(one.time_ns, one.index, strict=True)]


def test_a_recording_with_another_source_configured_than_the_one_before_it_comes_again_by_its_own(tmp_path: Path) -> None:
    hand = ByHand(tmp_path)
    hand.begin("time_and_sale", "time_and_sale", listens=False)
    hand.prints(1, 1)
    hand.journal.close()
    hand.begin("auto", "quote_trade", listens=True)
    for second in (10, 11, 12):
        hand.last_trade(second, 100.0 + second)
    hand.prints(13, 11, 13)  # the first was made of Trade already
    assert hand.replayed() == [(1, "told"), (11, "made"), (12, "made"), (13, "told")]


def test_who_listens_again_after_all_have_left_is_told_trades_that_came_late_as_it_was_then(tmp_path: Path) -> None:
    hand = ByHand(tmp_path)
    hand.begin("auto", "quote_trade", listens=True)
    hand.last_trade(10, 100.0)
    hand.last_trade(11, 101.0)
    hand.journal.stand(ES, Standing("auto", "quote_trade", True, 2, False, None))
    hand.prints(21, 10, 20)  # what was made before is none of the new listener's
    assert hand.replayed() == [(11, "made"), (10, "told"), (20, "told")]


def test_what_was_fetched_for_a_hole_does_not_end_the_trades_made_of_lesser_events(tmp_path: Path) -> None:
    hand = ByHand(tmp_path)
    hand.begin("auto", "quote_trade", listens=True)
    hand.last_trade(10, 100.0)
    hand.last_trade(11, 101.0)
    hand.prints(12, 1, 2, channel=0)
    hand.last_trade(13, 102.0)
    assert hand.replayed() == [(11, "made"), (1, "told"), (2, "told"), (13, "made")]


def test_what_is_said_of_a_contract_after_the_end_does_not_stand_in_the_next_recording(tmp_path: Path) -> None:
    hand, standing = ByHand(tmp_path), Standing("auto", "time_and_sale", False, 1, False, None)
    hand.journal.open()
    hand.journal.watch(NQ, {})
    hand.journal.stand(NQ, standing)
    hand.journal.close()
    hand.journal.stand(NQ, standing._replace(begun=2))
    hand.begin("auto", "time_and_sale", listens=False)
    hand.prints(1, 1)
    assert hand.replayed() == [(1, "told")]
