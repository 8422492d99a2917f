"""Quotes that prints carry, as quotes: each where it differs from the one before."""

from __future__ import annotations

import numpy as np

from ..model import Action, Contract, Quote, TradeBatch, TradeFlag


class EmbeddedQuotes:
    """The quotes in one contract's prints. Sizes are not recorded with them. A print without any quote tells nothing; one side alone is a quote.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> nan = float("nan")
    >>> prints = {"time_ns": [1, 2, 3, 4], "price": [6000] * 4, "size": [1] * 4, "bid": [6000, 6000, nan, nan], "ask": [6000.25, 6000.25, nan, 6001]}
    >>> [(quote.time_ns, quote.bid, quote.ask) for quote in EmbeddedQuotes(es).add(TradeBatch(es, prints))]
    [(1, 6000.0, 6000.25), (4, None, 6001.0)]
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._last = (np.nan, np.nan)

    def add(self, batch: TradeBatch) -> list[Quote]:
        """The quotes that are new in these prints. Those of corrections and of what was fetched after an outage are of the past, and left out."""
        batch = batch[(batch.action == Action.NEW) & ((batch.flags & TradeFlag.BACKFILL) == 0) & ~(np.isnan(batch.bid) & np.isnan(batch.ask))]
        if len(batch) == 0:
            return []
        is_news = np.zeros(len(batch), bool)
        for column, last in zip((batch.bid, batch.ask), self._last, strict=True):
            before = np.concatenate([[last], column[:-1]])
            is_news |= (column != before) & ~(np.isnan(column) & np.isnan(before))
        self._last = float(batch.bid[-1]), float(batch.ask[-1])
        fresh = batch[is_news]
        rows = zip(fresh.time_ns.tolist(), fresh.received_ns.tolist(), fresh.bid.tolist(), fresh.ask.tolist(), strict=True)
        return [Quote(self._contract, at, received, bid if bid == bid else None, ask if ask == ask else None, None, None) for at, received, bid, ask in rows]
