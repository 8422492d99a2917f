"""What was recorded as it stands in the end: trades once corrections and cancels have done their work, gaps once others have filled them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..model import Action, Contract, Gap, TradeBatch


def settled(contract: Contract, batches: Sequence[TradeBatch]) -> TradeBatch:
    """The trades of batches in the order of arrival, each once, oldest first: a corrected one with its new values at its old time, a cancelled one gone.

    A correction of a trade that is not among them stands for it.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> rows = {"time_ns": [1, 2, 3, 4], "index": [7, 8, 8, 7], "price": [6000.0] * 4, "size": [1, 2, 5, 1], "action": [0, 0, 1, 2]}
    >>> after = settled(es, [TradeBatch(es, rows)])
    >>> after.time_ns.tolist(), after.size.tolist(), after.action.tolist()
    ([2], [5.0], [0])
    """
    if not batches:
        return TradeBatch(contract, {"time_ns": [], "price": [], "size": []})
    batch = TradeBatch.concat(list(batches))
    index = batch.index
    if batch.action.any() or not (index[1:] > index[:-1]).all():
        batch = _amended(batch)
    time = batch.time_ns
    return batch if (time[1:] >= time[:-1]).all() else batch[np.argsort(time, kind="stable")]


def standing(told: Iterable[Gap]) -> list[Gap]:
    """The gaps that no later one filled.

    >>> es = Contract("ES", "/ESZ6")
    >>> [gap.start_ns for gap in standing([Gap(es, 1, 3, "lost"), Gap(es, 5, 7, "lost"), Gap(es, 1, 4, "lost", filled=True)])]
    [5]
    """
    left: list[Gap] = []
    for gap in told:
        if gap.filled:
            left = [one for one in left if one.start_ns < gap.start_ns or gap.end_ns < one.end_ns]
        else:
            left.append(gap)
    return left


def _amended(batch: TradeBatch) -> TradeBatch:
    """Each trade once, in the order in which they were first heard of."""
    by_index = np.argsort(batch.index, kind="stable")
    index, action = batch.index[by_index], batch.action[by_index]
    starts = np.flatnonzero(np.concatenate([[True], (index[1:] != index[:-1]) | (index[1:] < 0)]))  # one without an index is nobody's correction
    place = np.arange(len(batch))
    first = np.minimum.reduceat(np.where(action == Action.NEW, place, len(batch)), starts)
    latest = np.maximum.reduceat(np.where(action == Action.CORRECTION, place, -1), starts)
    is_gone = np.maximum.reduceat(action == Action.CANCEL, starts)
    kept = ~is_gone
    begun = by_index[np.where(first < len(batch), first, latest)[kept]]
    values = by_index[np.where(latest >= 0, latest, first)[kept]]
    order = np.argsort(begun)
    begun, values = begun[order], values[order]
    return batch[values].replace(time_ns=batch.time_ns[begun], action=np.zeros(len(begun), np.int8))
