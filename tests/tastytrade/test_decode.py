"""A journal of a feed that was not served TimeAndSale: the trades made of Quote and Trade come again, bit by bit, with their gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.emulator import Emulator, Wire
from tastytrade_provider.journal import Journal, segments
from tastytrade_provider.model import Gap, TradeBatch
from tastytrade_provider.replay import ReplayProvider, compact
from tastytrade_provider.tastytrade import trades
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.checks.recordings import played
from tests.checks.sources import excerpt, until
from tests.tastytrade.test_provider import a_provider, an_emulator, visitors
from tests.test_replay import assert_same

NOT_SERVED = Wire(unserved=frozenset({"TimeAndSale"}))


pytestmark = pytest.mark.usefixtures("quick_ladder")


@pytest.fixture(autouse=True)
def _gives_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "_REFILL_S", 1.0)


def serve(emulator: Emulator, provider: TastyTradeProvider) -> None:
    """From now on the login receives all events, and asks again."""
    emulator.wire = Wire()
    for visitor in visitors(emulator):
        assert visitor.feed is not None
        visitor.feed._wire = emulator.wire
    for dialogue in provider._keeper.dialogues:
        dialogue.ask_trades(provider._trades.wanted())


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
        serve(emulator, provider)
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
