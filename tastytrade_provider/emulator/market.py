"""A made-up market that looks like Globex: the same seed and start give the same tape, bit for bit, however it is read.

Each contract has its own generator and a book of one level on each side. In every second some orders arrive; each takes from the best level,
a large one sweeps several. What a print carries as its quote is the book before the order that made it, as in CME's own data.
"""

from __future__ import annotations

import datetime as dt
import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from tastytrade_provider.emulator.instruments import front_month
from tastytrade_provider.emulator.source import Before, Numbering, Print, QuoteChange
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Action, AggressorSide, Contract
from tastytrade_provider.sessions import DAY_NS, is_open, next_open, sessions_between

SECOND_NS = 1_000_000_000
START_NS = 1_772_461_800_000_000_000
"""Monday 2026-03-02 08:30 Chicago, where a market starts if nobody says otherwise."""

_FIRST_PRICE = {"ES": 6000.0, "MES": 6000.0, "NQ": 21500.0, "MNQ": 21500.0, "GC": 2650.0, "MGC": 2650.0, "CL": 70.0, "ZN": 110.0}
_PRINTS_PER_ORDER = 1.6  # measured over 100,000 events
_LOTS_PER_PRINT = 3.05  # too
_OVERNIGHT = 0.4  # activity outside regular hours, of the session's mean
_BURST, _BURST_BEGINS, _BURST_S = 4.0, 0.02, 5
_MEAN_BURST = 1 + (_BURST - 1) * _BURST_BEGINS * _BURST_S / (1 + _BURST_BEGINS * _BURST_S)
_SWEEP_SHARE, _UNDEFINED_SHARE = 0.04, 0.001


@dataclass(frozen=True)
class Oddities:
    """Shares (0 to 1) of prints that are unlike the others. They change nothing else: the rest of the tape stays as it is without them.

    nan_quote     bid or ask is missing        invalid_tick  not a valid tick          spread_leg  a leg of a spread
    fractional    a size that is no whole number
    correction, cancel   is published again some seconds later, with its own index: with one lot more, or withdrawn
    """

    nan_quote: float = 0.0
    invalid_tick: float = 0.0
    spread_leg: float = 0.0
    fractional: float = 0.0
    correction: float = 0.0
    cancel: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise UsageError(f"Oddities.{field.name} is {getattr(self, field.name)!r}, expected a share from 0 to 1")


@dataclass(frozen=True)
class Market:
    """An endless source.

    start_ns      UTC nanoseconds; a closed market opens by its calendar
    roots         futures whose front month at the start is traded
    prints_per_s  mean over a session, for each contract: less overnight, most after the open and before the close of regular hours

    >>> market = Market(seed=1)
    >>> [contract.symbol for contract in market.contracts]
    ['/ESH6', '/NQH6', '/GCJ6']
    """

    seed: int = 1
    start_ns: int = START_NS
    roots: Sequence[str] = ("ES", "NQ", "GC")
    prints_per_s: float = 5.0
    oddities: Oddities = Oddities()

    def __post_init__(self) -> None:
        if not self.roots or len(set(self.roots)) != len(self.roots):
            raise UsageError(f"roots {self.roots!r}: expected at least one, and none twice")
        if not (math.isfinite(self.prints_per_s) and self.prints_per_s > 0) or self.seed < 0:
            raise UsageError(f"prints_per_s {self.prints_per_s!r} and seed {self.seed!r}: expected more than 0, and 0 or more")
        self.contracts  # noqa: B018  # an unknown root is told now

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """The front months on the day of the start."""
        day = dt.date(1970, 1, 1) + dt.timedelta(days=self.start_ns // DAY_NS)
        return tuple(front_month(root, day) for root in self.roots)

    @property
    def is_endless(self) -> bool:
        """True."""
        return True

    def before(self, contract: Contract) -> Before:
        """The session before: it closed near where the market starts, with a session's volume and some days' of it held open."""
        rng = np.random.default_rng([self.seed, self.start_ns, *contract.root.encode(), 2])
        ticks = _first_ticks(contract) + int(rng.integers(-60, 61))
        volume = round(self.prints_per_s * 82_800 * _LOTS_PER_PRINT * float(rng.uniform(0.7, 1.3)))
        return Before(contract.price(ticks), float(volume), round(volume * float(rng.uniform(1.0, 2.5))))

    def __iter__(self) -> Iterator[Print | QuoteChange]:
        pits = [_Pit(contract, self) for contract in self.contracts]
        second_ns = -(-self.start_ns // SECOND_NS) * SECOND_NS
        while True:
            trading = [pit for pit in pits if pit.is_open(second_ns)]
            if not trading:
                second_ns = min(next_open(pit.contract.calendar, second_ns) for pit in pits)
                continue
            events = [event for pit in trading for event in pit.second(second_ns)]
            yield from sorted(events, key=lambda event: event.at_ns)
            second_ns += SECOND_NS


def _first_ticks(contract: Contract) -> int:
    return contract.ticks(_FIRST_PRICE.get(contract.root, 20_000 * contract.tick_size))


class _Pit:
    """One contract's book and the orders that arrive. Prices in ticks."""

    def __init__(self, contract: Contract, market: Market) -> None:
        self.contract = contract
        key = [market.seed, market.start_ns, *contract.root.encode()]
        self._rng, self._odd_rng = (np.random.default_rng([*key, n]) for n in (0, 1))
        self._orders_per_s = market.prints_per_s / _PRINTS_PER_ORDER / _MEAN_BURST
        self._oddities = None if market.oddities == Oddities() else market.oddities
        self._late: list[tuple[int, int, Print]] = []
        self._number = Numbering()
        self._bid = _first_ticks(contract)
        self._ask = self._bid + 1
        self._bid_size, self._ask_size = self._fresh_size(), self._fresh_size()
        self._bias, self._burst_s = 0.0, 0
        self._hours = (0, 0, 0, 0)
        self._asked = -1, False  # minute, whether the market is open in it
        self._told: QuoteChange | None = None

    def is_open(self, time_ns: int) -> bool:
        """Whether it is traded in that second. Sessions and halts begin and end on whole minutes: asked once for each."""
        if self._asked[0] != (minute := time_ns // (60 * SECOND_NS)):
            self._asked = minute, is_open(self.contract.calendar, time_ns)
        return self._asked[1]

    def second(self, from_ns: int) -> list[Print | QuoteChange]:
        """The events of one second, in order."""
        rng = self._rng
        events: list[Print | QuoteChange] = []
        activity = self._activity(from_ns)
        if from_ns == self._hours[0]:
            events += self._auction(from_ns)
        self._bias = min(max(0.97 * self._bias + 0.1 * float(rng.standard_normal()), -1.0), 1.0)
        if self._burst_s:
            self._burst_s -= 1
        elif rng.random() < _BURST_BEGINS:
            self._burst_s = _BURST_S
        arrivals = rng.poisson(self._orders_per_s * activity * (_BURST if self._burst_s else 1.0))
        times = np.sort(rng.integers(1, SECOND_NS, arrivals)).tolist()
        chances, sizes = rng.random((arrivals, 6)).tolist(), rng.geometric(0.35, arrivals).tolist()
        for at_ns, chance, size in zip(times, chances, sizes, strict=True):
            events += self._order(from_ns + at_ns, size, *chance)
        return events if self._oddities is None else self._oddly(events, from_ns + SECOND_NS, self._oddities)

    def _activity(self, time_ns: int) -> float:
        """Share of the mean rate: a U over regular hours, even overnight; 1 on average over a session."""
        opened, closed, rth_opened, rth_closed = self._hours
        if not opened <= time_ns < closed:
            table = sessions_between(self.contract.calendar, time_ns, time_ns)
            at = table.index_at(time_ns)
            columns = (table.open_ns, table.close_ns, table.rth_open_ns, table.rth_close_ns)
            self._hours = opened, closed, rth_opened, rth_closed = tuple(int(column[at]) for column in columns)  # type: ignore[assignment]
        length, regular = closed - opened, rth_closed - rth_opened
        if regular <= 0 or regular >= length:
            return 1.0
        if not rth_opened <= time_ns < rth_closed:
            return _OVERNIGHT
        from_middle = 2 * (time_ns - rth_opened) / regular - 1
        return (length - _OVERNIGHT * (length - regular)) / regular * (0.6 + 1.2 * from_middle**2)

    def _auction(self, at_ns: int) -> list[Print | QuoteChange]:
        """The opening: one large print without an aggressor, while the pre-open quotes still cross."""
        self._bid += int(self._rng.integers(-12, 13))
        self._ask = self._bid + 1
        bid, ask = (self.contract.price(self._bid + ticks) for ticks in (4, -5))
        crossed = QuoteChange(self.contract, at_ns, bid, ask, 1.0, 15.0)
        lots = float(self._rng.integers(20, 80))
        auction = self._print(at_ns, self._bid, lots, AggressorSide.UNKNOWN, crossed)
        return [crossed, auction, *self._quote(at_ns)]

    def _order(
        self, at_ns: int, lots: int, side_chance: float, sweep: float, split: float, narrow: float, resize: float, flag: float
    ) -> list[Print | QuoteChange]:
        if self._ask - self._bid > 1 and narrow < 0.7:
            self._bid, self._ask = (self._ask - 1, self._ask) if side_chance < 0.5 else (self._bid, self._bid + 1)
        if resize < 0.3:
            self._bid_size, self._ask_size = self._fresh_size(), self._fresh_size()
        events = self._quote(at_ns)
        before = self._told
        assert before is not None
        is_buy = side_chance < 0.5 + 0.3 * self._bias
        side = AggressorSide.UNKNOWN if flag < _UNDEFINED_SHARE else AggressorSide.BUY if is_buy else AggressorSide.SELL
        lots = lots * 20 if sweep < _SWEEP_SHARE else lots
        while lots > 0:
            price, resting = (self._ask, self._ask_size) if is_buy else (self._bid, self._bid_size)
            taken = min(lots, resting)
            lots -= taken
            parts = [taken] if split < 0.5 or taken < 2 else [taken // 2, taken - taken // 2]
            events += [self._print(at_ns, price, float(part), side, before) for part in parts]
            left = resting - taken
            if is_buy:
                self._ask, self._ask_size = (self._ask, left) if left else (self._ask + 1, self._fresh_size())
            else:
                self._bid, self._bid_size = (self._bid, left) if left else (max(self._bid - 1, 1), self._fresh_size())
        return events + self._quote(at_ns)

    def _fresh_size(self) -> int:
        return int(self._rng.geometric(0.05))

    def _print(self, at_ns: int, ticks: int, lots: float, side: AggressorSide, quote: QuoteChange) -> Print:
        contract = self.contract
        quoted = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
        return Print(contract, at_ns, at_ns, self._number(at_ns), contract.price(ticks), lots, side, *quoted)

    def _quote(self, at_ns: int) -> list[Print | QuoteChange]:
        """The book as a quote change; nothing where it stands as last told."""
        contract = self.contract
        prices = contract.price(self._bid), contract.price(self._ask)
        quote = QuoteChange(contract, at_ns, *prices, float(self._bid_size), float(self._ask_size))
        if self._told is not None and self._told[2:] == quote[2:]:
            return []
        self._told = quote
        return [quote]

    def _oddly(self, events: list[Print | QuoteChange], until_ns: int, odd: Oddities) -> list[Print | QuoteChange]:
        found: list[Print | QuoteChange] = []
        for event in events:
            if isinstance(event, Print):
                nan, invalid, leg, fraction, later, delay = self._odd_rng.random(6).tolist()
                if nan < odd.nan_quote:
                    event = event._replace(bid=math.nan) if nan < odd.nan_quote / 2 else event._replace(ask=math.nan)
                event = event._replace(
                    valid_tick=invalid >= odd.invalid_tick,
                    spread_leg=leg < odd.spread_leg,
                    size=event.size + 0.5 if fraction < odd.fractional else event.size,
                )
                if later < odd.correction + odd.cancel:
                    is_cancel = later >= odd.correction
                    again = event._replace(
                        at_ns=event.at_ns + int((0.2 + 3 * delay) * SECOND_NS),
                        action=Action.CANCEL if is_cancel else Action.CORRECTION,
                        size=event.size if is_cancel else event.size + 1,
                    )
                    heapq.heappush(self._late, (again.at_ns, again.index, again))
            found.append(event)
        while self._late and self._late[0][0] < until_ns:
            found.append(heapq.heappop(self._late)[2])
        return sorted(found, key=lambda event: event.at_ns)
