"""The side of each trade and where it came from: exchange flag, quote rule, EMO, tick rule.

Rules, in order of trust (Lee and Ready 1991; Ellis, Michaely and O'Hara 2000):

- exchange    the feed's own BUY or SELL flag.
- quote rule  above the middle of the quote is bought, below is sold. Used for a quote embedded in the print: it has no age. Locked or crossed: no answer.
- EMO         at the ask is bought, at the bid is sold. Used for quotes that arrive apart and may be stale.
- tick rule   above the last different price is bought, below is sold.

What no rule can tell stays UNKNOWN.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .jit import kernel
from .model import SideSource, TradeBatch

Quotes = Literal["embedded", "apart"]


@kernel
def _classify(state: Any, apart: bool, trust_flags: bool, price: Any, bid: Any, ask: Any, side: Any, source: Any, counts: Any) -> None:
    """Fill side and source in place. state: [last price, last direction], NaN and 0 before the first trade."""
    last, direction = state[0], state[1]
    for i in range(len(price)):
        p, b, a = price[i], bid[i], ask[i]
        if p > last:
            direction = 1.0
        elif p < last:
            direction = -1.0
        last = p
        if trust_flags and side[i] != 0:
            source[i] = 0
        else:
            found, where = 0, 3
            if b < a:
                if apart:
                    found = 1 if p == a else (-1 if p == b else 0)
                else:
                    middle = b + a
                    found = 1 if p + p > middle else (-1 if p + p < middle else 0)
            if found != 0:
                where = 1
            elif direction != 0.0:
                found, where = int(direction), 2
            side[i], source[i] = found, where
        counts[source[i]] += 1
    state[0], state[1] = last, direction


class AggressorClassifier:
    """Sides for one contract's trades, in order, with the tick rule's memory carried from batch to batch.

    quotes  "embedded" where each print carries the quote it met, "apart" where quotes come as messages of their own.
    trust_flags=False withholds the exchange's flags, to measure the rules against them.

    `counts` holds the trades classified so far by side source.
    """

    def __init__(self, quotes: Quotes = "embedded", *, trust_flags: bool = True) -> None:
        self._apart, self._trust = quotes == "apart", trust_flags
        self._state = np.array([np.nan, 0.0])
        self._counts = np.zeros(4, np.int64)

    @property
    def counts(self) -> dict[str, int]:
        """Trades so far by side source: exchange, quote, tick, none."""
        return {source.name.lower(): int(self._counts[source]) for source in SideSource}

    def classify(self, batch: TradeBatch) -> TradeBatch:
        """The batch with `side` and `side_source` filled."""
        side = batch.side.copy()
        source = np.empty(len(batch), np.int8)
        _classify(self._state, self._apart, self._trust, batch.price, batch.bid, batch.ask, side, source, self._counts)
        return batch.replace(side=side, side_source=source)


def classify(batch: TradeBatch, quotes: Quotes = "embedded", *, trust_flags: bool = True) -> TradeBatch:
    """Classify one batch by itself, as if no trade went before.

    >>> from tastytrade_provider.model import Contract
    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> batch = TradeBatch(es, {"time_ns": [1], "price": [6000.25], "size": [1.0], "bid": [6000.0], "ask": [6000.25]})
    >>> classify(batch).side.tolist()
    [1]
    """
    return AggressorClassifier(quotes, trust_flags=trust_flags).classify(batch)
