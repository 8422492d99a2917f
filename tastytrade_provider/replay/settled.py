"""Trades as they stand once corrections and cancels have done their work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model import Action, Contract, TradeBatch


def settled(contract: Contract, batches: Sequence[TradeBatch]) -> TradeBatch:
    """The trades of batches in the order of arrival, oldest first: a corrected one with its new values at its old time, a cancelled one gone.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> rows = {"time_ns": [1, 2, 3, 4], "index": [7, 8, 8, 7], "price": [6000.0] * 4, "size": [1, 2, 5, 1], "action": [0, 0, 1, 2]}
    >>> after = settled(es, [TradeBatch(es, rows)])
    >>> after.time_ns.tolist(), after.size.tolist(), after.action.tolist()
    ([2], [5.0], [0])
    """
    if not batches:
        return TradeBatch(contract, {"time_ns": [], "price": [], "size": []})
    batch = TradeBatch.concat(list(batches))
    if batch.action.any():
        batch = _amended(batch)
    time = batch.time_ns
    return batch if (time[1:] >= time[:-1]).all() else batch[np.argsort(time, kind="stable")]


def _amended(batch: TradeBatch) -> TradeBatch:
    place: dict[int, int] = {}  # index -> row of the trade
    latest = np.arange(len(batch))  # row of the trade -> row with its values
    kept = batch.action == Action.NEW
    for row, (index, action) in enumerate(zip(batch.index.tolist(), batch.action.tolist(), strict=True)):
        if action == Action.NEW:
            place[index] = row
        elif index in place and index >= 0:
            latest[place[index]] = row
            kept[place[index]] = action != Action.CANCEL
    made = batch[latest]
    return made.replace(time_ns=batch.time_ns, action=np.zeros(len(batch), np.int8))[kept]
