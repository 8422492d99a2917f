"""The small market on which the guide's examples and the rewritten programs run: two doors, one truth, a few minutes of live trading behind two days."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tastytrade_provider.emulator import Emulator, Print, QuoteChange
from tastytrade_provider.emulator.instruments import front_month
from tastytrade_provider.emulator.source import Numbering
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.model import AggressorSide, Contract
from tastytrade_provider.sessions import is_open

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
OPEN_NS = 1_794_783_600 * SECOND_NS
"""Monday's session opens: Sunday 2026-11-15 17:00 Chicago."""
NOW_NS = 1_794_929_500 * SECOND_NS
"""Tuesday 2026-11-17 09:31:40 Chicago: everything before is history when an example begins, everything after happens while it runs."""
_PAST_EVERY_S, _LIVE_PER_S = 20, 2
_SPARSE_UNTIL_NS = NOW_NS - 2 * 60 * MINUTE_NS
"""Of what was before, only the last print of each minute is told: every exchange that starts goes through the whole past."""
_FIRST = {"ES": 6000.0, "NQ": 21500.0, "GC": 4000.0}


@dataclass(frozen=True)
class World:
    """A source: of each contract a print a minute, in the last two hours before `NOW_NS` every 20 s, then two a second."""

    roots: tuple[str, ...] = ("ES", "NQ")
    live_s: int = 200
    is_endless: bool = False
    start_ns: int = OPEN_NS

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """The December futures."""
        return tuple(front_month(root, np.datetime64(NOW_NS, "ns").astype("M8[D]").item()) for root in self.roots)

    def __iter__(self) -> Iterator[Print | QuoteChange]:
        return iter(_events(self.contracts, self.live_s))

    def prints(self, root: str = "ES", since_ns: int = NOW_NS) -> list[Print]:
        """The prints of one contract since a time."""
        return [event for event in self if isinstance(event, Print) and event.contract.root == root and event.at_ns >= since_ns]


@cache
def _events(contracts: tuple[Contract, ...], live_s: int) -> list[Print | QuoteChange]:
    past = range(OPEN_NS + SECOND_NS, NOW_NS, _PAST_EVERY_S * SECOND_NS)
    live = range(NOW_NS + SECOND_NS, NOW_NS + live_s * SECOND_NS, SECOND_NS // _LIVE_PER_S)
    minutes = {at_ns // MINUTE_NS for at_ns in (*past, *live)}
    trading = {minute for minute in minutes if is_open(contracts[0].calendar, minute * MINUTE_NS)}
    times = [at_ns for at_ns in (*past, *live) if at_ns // MINUTE_NS in trading]
    found: list[Print | QuoteChange] = []
    for contract in contracts:
        draws = np.random.default_rng([20261117, *contract.root.encode()]).integers([-1, 1, 0, 1, 1], [2, 9, 2, 40, 40], (len(times), 5)).tolist()
        at_ticks, number = contract.ticks(_FIRST[contract.root]), Numbering()
        for at_ns, (step, size, is_buy, *sizes) in zip(times, draws, strict=True):
            at_ticks += step
            if times[0] < at_ns < _SPARSE_UNTIL_NS and (at_ns - OPEN_NS) % MINUTE_NS + _PAST_EVERY_S * SECOND_NS < MINUTE_NS:
                continue
            bid, ask = contract.price(at_ticks), contract.price(at_ticks + 1)
            quoted = (bid, ask, *map(float, sizes))
            side, price = (AggressorSide.BUY, ask) if is_buy else (AggressorSide.SELL, bid)
            found.append(QuoteChange(contract, at_ns - 1_000_000, *quoted))
            found.append(Print(contract, at_ns, at_ns, number(at_ns), price, float(size), side, *quoted))
    return sorted(found, key=lambda event: event.at_ns)


def an_exchange(source: World | None = None, *, start_on: str = "TimeAndSale", **options: Any) -> Emulator:
    """An exchange where that has happened; what comes after NOW_NS is played, as fast as it is read, once somebody subscribes. `start_on` "": never."""
    settings: dict[str, Any] = {"speed": "max", "tws": TwsKnobs(**({} if start_on else {"start_on": ()})), "truth_path": os.devnull, "live_from_ns": NOW_NS}
    return Emulator(source or World(), **settings | {"start_on": (start_on,)} | options)
