"""The token renewed over a second connection, while the first one is dead and nobody knows it yet. In virtual time, against an exchange in memory."""

from __future__ import annotations

import asyncio

import pytest

from tastytrade_provider.emulator import Market, Wire
from tests.chaos import virtual
from tests.chaos.exchange import Exchange, Keeps, a_provider
from tests.chaos.witness import Tally, Witness, changes

MONDAY_NS = 1_772_461_800 * 10**9  # 2026-03-02 08:30 Chicago, the busiest minutes
RENEWED_S = 50.0  # of a token that lives twice as long


async def _watched(keeps: Keeps, dies_s: float, *, then_the_new_one: bool) -> Tally:
    """Two and a half minutes of trades, in which the first connection goes dark at `dies_s`."""
    market = Market(seed=1, start_ns=MONDAY_NS, roots=("ES",), prints_per_s=3.0)
    wire = Wire(history_cap={"TimeAndSale": 1_000_000, "Candle": 8000})
    exchange = Exchange(market, (), wire, seed=1, keeps=keeps, tells_cancels=True, quote_life_s=2 * RENEWED_S)
    [es], provider = market.contracts, a_provider()
    with exchange.in_memory():
        exchange.start()
        await exchange.log_in(provider)
        subscription = provider.subscribe_trades(es)
        witness = Witness("all", es, MONDAY_NS, subscription)
        subscription.on(witness.take)
        await asyncio.sleep(dies_s)
        exchange.darken()
        await asyncio.sleep(RENEWED_S - dies_s + 5)
        assert len(provider._keeper.dialogues) == 2  # the older one stands, as far as one can see
        if then_the_new_one:
            exchange.visitors[-1].reset()
        await asyncio.sleep(95)
        exchange.close_market()
        await asyncio.sleep(5)
        await provider.disconnect()
        await exchange.stop()
    [(_, subscribed_ns), *_] = exchange.subscribed
    return witness.judge(changes(es, exchange.truth), subscribed_ns, coarse=False, tells_cancels=True)


@pytest.mark.parametrize("then_the_new_one", [False, True], ids=["the old one is found dead", "the new one is torn first"])
@pytest.mark.parametrize("keeps", ["whole", "empty"])
def test_what_a_dead_connection_did_not_deliver_before_its_successor_stood_is_fetched_or_told(keeps: Keeps, then_the_new_one: bool) -> None:
    found = virtual.run(lambda: _watched(keeps, 40.0, then_the_new_one=then_the_new_one), start_ns=MONDAY_NS, seed=1)
    assert found.sent > 300
    assert (found.lost, found.doubled, found.wrong) == (0, 0, [])
    assert (found.inside == 0) == (keeps == "whole")
