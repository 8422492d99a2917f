"""A market with seeded random faults, through real sockets: with the feed's history to draw on, nothing is lost, doubled or left uncorrected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.bars import BarBuilder
from tastytrade_provider.emulator import Emulator, Wire
from tastytrade_provider.emulator.truth import read
from tastytrade_provider.model import Gap, TradeBatch
from tastytrade_provider.tastytrade import upkeep
from tests.checks.sources import LIMIT_S, excerpt, until
from tests.tastytrade.test_provider import a_provider

SIDES = {"BUY": 1, "SELL": -1, "UNDEFINED": 0}


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_strikes_the_ledger_ends_as_the_ground_truth(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "backoff_s", lambda attempt, chance: 0.0)
    source = excerpt(events=3000, seed=seed, roots=("ES",))
    [es] = source.contracts
    builder, gaps = BarBuilder(es, "1s"), list[Gap]()

    def take(item: Any) -> None:
        if isinstance(item, TradeBatch):
            builder.add(item)
        elif isinstance(item, Gap):
            gaps.append(item)
            builder.add_gap(item)

    wire, faults = Wire(history_cap={"TimeAndSale": 100_000}), [f"random={seed}@300rows"]
    async with Emulator(source, speed=60, truth_path=tmp_path / "truth", faults=faults, wire=wire) as emulator, a_provider(emulator) as provider:
        subscription = provider.subscribe_trades(es).on(take)
        await asyncio.wait_for(emulator.wait_finished(), LIMIT_S)
        last_ns = source.prints(es)[-1].time_ns
        line = provider._lines[es.streamer_symbol]

        def expected() -> dict[int, Any]:
            """What counts from the first trade we got: of an outage before it, nobody can tell where to ask from."""
            first_ns = int(builder.ledger.time_ns[0])
            return {index: record for index, record in _stands(read(emulator.truth)).items() if record["time_ns"] >= first_ns}

        def stands_still() -> str:
            known, missing = set(builder.ledger.index.tolist()), set(expected())
            return f"{len(missing - known)} trades did not come, {len(known - missing)} were not withdrawn; held={line.is_held}; {gaps=}; {provider.status()}"

        def has_all() -> bool:
            if line.intake.last_time_ns < last_ns or not provider.is_connected or line.is_held:
                return False
            return {i: r["size"] for i, r in expected().items()} == dict(zip(builder.ledger.index.tolist(), builder.ledger.lots.tolist(), strict=True))

        await until(has_all, stands_still)
        stands = expected()
    assert subscription.error is None
    ledger = builder.ledger
    assert all(gap.filled or gap.end_ns <= int(ledger.time_ns[0]) + 1 for gap in gaps)
    inferred = ledger.side_source != 0  # the exchange gave no flag: what the rules found is not the ground truth's to judge
    assert int((ledger.lots * ledger.side)[~inferred].sum()) == sum(record["size"] * SIDES[record["side"]] for record in stands.values())


def _stands(records: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What counts in the end, by index."""
    stands: dict[int, dict[str, Any]] = {}
    for record in records:
        if record["type"] == "CANCEL":
            stands.pop(record["index"], None)
        elif record["valid_tick"] and not record["spread_leg"]:
            stands[record["index"]] = record
    return stands
