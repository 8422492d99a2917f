"""The side of each trade and where it came from: exchange flag, quote rule, EMO, tick rule.

Rules, in order of trust (Lee and Ready 1991; Ellis, Michaely and O'Hara 2000):

- exchange    the feed's own BUY or SELL flag.
- quote rule  above the middle of the quote is bought, below is sold. Used for a quote embedded in the print: it has no age. Locked or crossed: no answer.
- EMO         at the ask is bought, at the bid is sold. Used for quotes that arrive apart and may be stale.
- tick rule   above the last different price is bought, below is sold.

Prices are compared to within a ten-thousandth of a tick, since the sum of a bid and an ask is rounded. A correction or cancel gets a side by the same
rules and leaves no trace: it speaks of an earlier trade. What no rule can tell stays UNKNOWN.

The tick rule's memory ends with the session: who comes in the next one, or asks for its trades later, does not know the prices before its open, and the
opening auction, which often has no flag, must not have another side for those who were there the day before.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .errors import UsageError
from .jit import kernel
from .model import OFF_STEP_TOLERANCE, SideSource, TradeBatch
from .sessions import sessions_between

Quotes = Literal["embedded", "apart"]

_NEVER_NS = np.iinfo(np.int64).max


@kernel
def _classify(
    state: Any, apart: bool, trust_flags: bool, same: float, first: int, until_ns: int, time: Any, price: Any, bid: Any, ask: Any, action: Any,
    side: Any, source: Any, counts: Any,
) -> int:  # fmt: skip
    """Fill side and source in place from row `first` on, up to the first new trade at or after `until_ns`, whose row is returned, or the end.

    state: [last price, last direction], NaN and 0 before the first trade. Prices nearer than `same` are one.
    """
    for i in range(first, len(price)):
        if action[i] == 0 and time[i] >= until_ns:
            return i
        p, b, a = price[i], bid[i], ask[i]
        direction = 1.0 if p - state[0] > same else (-1.0 if state[0] - p > same else state[1])
        if not (trust_flags and side[i] != 0):
            found, where = 0, 3
            if b < a:
                if apart:
                    found = 1 if abs(p - a) <= same else (-1 if abs(p - b) <= same else 0)
                else:
                    above = p + p - (b + a)
                    found = 1 if above > same else (-1 if above < -same else 0)
            if found != 0:
                where = 1
            elif direction != 0.0:
                found, where = int(direction), 2
            side[i], source[i] = found, where
        if action[i] == 0:
            state[0], state[1] = p, direction
            counts[source[i]] += 1
    return len(price)


class AggressorClassifier:
    """Sides for one contract's trades, in order, with the tick rule's memory carried from batch to batch of a session.

    quotes  "embedded" where each print carries the quote it met, "apart" where quotes come as messages of their own.
    trust_flags=False withholds the exchange's flags, to measure the rules against them.

    `counts` holds the trades classified so far by side source; corrections and cancels are not trades of their own.
    """

    def __init__(self, quotes: Quotes = "embedded", *, trust_flags: bool = True) -> None:
        self._apart, self._trust = quotes == "apart", trust_flags
        self._state = np.array([np.nan, 0.0])
        self._counts = np.zeros(4, np.int64)
        self._until_ns = np.iinfo(np.int64).min  # the open of the next session

    @property
    def counts(self) -> dict[str, int]:
        """Trades so far by side source: exchange, quote, tick, none."""
        return {source.name.lower(): int(self._counts[source]) for source in SideSource}

    def classify(self, batch: TradeBatch) -> TradeBatch:
        """The batch with `side` and `side_source` filled."""
        side = batch.side.copy()
        source = batch.side_source.copy()  # where a flag is trusted, so is where it came from
        same = OFF_STEP_TOLERANCE * batch.contract.tick_size
        columns = batch.time_ns, batch.price, batch.bid, batch.ask, batch.action, side, source, self._counts
        first = 0
        while (first := _classify(self._state, self._apart, self._trust, same, first, self._until_ns, *columns)) < len(side):
            self._begin_session(batch.contract.calendar, int(batch.time_ns[first]))
        return batch.replace(side=side, side_source=source)

    def _begin_session(self, calendar: str, time_ns: int) -> None:
        self._state[:] = np.nan, 0.0
        try:
            table = sessions_between(calendar, time_ns, time_ns)
        except UsageError:  # a time that no calendar knows
            self._until_ns = _NEVER_NS
        else:
            self._until_ns = int(table.open_ns[table.index_at(time_ns) + 1])


def classify(batch: TradeBatch, quotes: Quotes = "embedded", *, trust_flags: bool = True) -> TradeBatch:
    """Classify one batch by itself, as if no trade went before.

    >>> from tastytrade_provider.model import Contract
    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> batch = TradeBatch(es, {"time_ns": [1], "price": [6000.25], "size": [1.0], "bid": [6000.0], "ask": [6000.25]})
    >>> classify(batch).side.tolist()
    [1]
    """
    return AggressorClassifier(quotes, trust_flags=trust_flags).classify(batch)
