"""Subscribers are told when the front month moves on: the listing is asked before each open, the roll told at it. The clock is a number."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from tastytrade_provider.errors import ConnectionLost
from tastytrade_provider.model import Contract, Roll
from tastytrade_provider.sessions import next_open
from tastytrade_provider.tastytrade.rolling import Rolling
from tastytrade_provider.tastytrade.rolls import Month
from tests.checks.sources import until

CALENDAR = "CME Globex Equity"
DEC = Contract("ES", "/ESZ6", "/ESZ26:XCME", "CME", 0.25, 1.0, 50.0, dt.date(2026, 12, 18), True, CALENDAR)
MAR = replace(DEC, symbol="/ESH7", streamer_symbol="/ESH27:XCME", expiry=dt.date(2027, 3, 19), is_active=False)
MONDAY_NOON_NS = 1_797_267_600_000_000_000 - 1_797_267_600_000_000_000 % 86_400_000_000_000 + 18 * 3_600_000_000_000  # in the roll week of December 2026


class World:
    """A clock that sleeping moves, and a listing that changes at a time."""

    def __init__(self, moves_on_ns: int, fails: int = 0) -> None:
        self.now_ns, self.moves_on_ns, self.fails = MONDAY_NOON_NS, moves_on_ns, fails
        self.rolls: list[tuple[int, Roll]] = []
        self.notes: list[str] = []
        self.days = 0

    async def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
        self.days = (self.now_ns - MONDAY_NOON_NS) // 86_400_000_000_000
        await asyncio.sleep(0)

    async def months(self, root: str) -> Sequence[Month]:
        assert root == "ES"
        if self.fails:
            self.fails -= 1
            raise ConnectionLost("away")
        is_on = self.now_ns >= self.moves_on_ns
        return [Month(DEC, dt.date(2026, 12, 18), None, not is_on), Month(MAR, dt.date(2027, 3, 19), None, is_on)]

    async def watch(self, *contracts: Contract, days: int = 3) -> None:
        rolling = Rolling(self.months, lambda roll: self.rolls.append((self.now_ns, roll)), self.notes.append, sleep=self.sleep, now_ns=lambda: self.now_ns)
        for contract in contracts:
            rolling.watch(contract)
        await until(lambda: not rolling._tasks or self.days >= days, "the days do not pass")
        await rolling.stop()


async def test_a_flag_that_moves_in_a_session_is_a_roll_at_the_next_open_told_once() -> None:
    world = World(moves_on_ns=MONDAY_NOON_NS + 3_600_000_000_000)
    await world.watch(DEC, MAR)
    opened = next_open(CALENDAR, MONDAY_NOON_NS)
    [(told_ns, roll)] = world.rolls
    assert roll == Roll(DEC, MAR, opened)
    assert 0 <= told_ns - opened < 10**9
    assert world.notes == ["the front month of ES is /ESH7 now, it was /ESZ6"]


async def test_as_long_as_the_flag_stays_nothing_is_told() -> None:
    world = World(moves_on_ns=2**62)
    await world.watch(DEC)
    assert world.rolls == []
    assert world.notes == []


async def test_a_listing_that_cannot_be_had_is_asked_for_again_and_noted() -> None:
    world = World(moves_on_ns=MONDAY_NOON_NS + 3_600_000_000_000, fails=2)
    await world.watch(DEC)
    assert len(world.rolls) == 1
    assert sum("could not be listed" in note for note in world.notes) == 2


async def test_a_flag_that_is_on_an_expired_month_is_noted_and_the_next_listing_is_looked_at() -> None:
    day_ns = 86_400_000_000_000
    world = World(moves_on_ns=MONDAY_NOON_NS + 8 * day_ns)  # the flag stays on December until after its last trade on Friday
    await world.watch(DEC, days=10)
    [(told_ns, roll)] = world.rolls
    assert (roll.old, roll.new) == (DEC, MAR)
    assert told_ns - MONDAY_NOON_NS > 8 * day_ns
    assert any("is not known before the next session" in note and "/ESZ6 (last trade 2026-12-18)" in note for note in world.notes)


async def test_a_task_that_dies_of_something_else_says_so() -> None:
    world = World(moves_on_ns=0)

    async def months(root: str) -> Sequence[Month]:
        raise KeyError("a listing nobody foresaw")

    rolling = Rolling(months, lambda roll: None, world.notes.append)
    rolling.watch(DEC)
    await until(lambda: world.notes, "nothing is said")
    await rolling.stop()
    assert world.notes == ["rolls of ES are not told any more: KeyError: 'a listing nobody foresaw'"]


async def test_what_has_no_months_is_not_watched() -> None:
    world = World(moves_on_ns=0)
    await world.watch(Contract("SPY", "SPY", "SPY", calendar="NYSE"))
    assert world.now_ns == MONDAY_NOON_NS


async def test_a_machine_that_slept_for_hours_before_the_open_tells_the_roll_at_it() -> None:
    class Sleeper(World):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + (4 * 3600 if self.now_ns == MONDAY_NOON_NS else 0))  # its timers stand meanwhile

    world = Sleeper(moves_on_ns=MONDAY_NOON_NS + 3_600_000_000_000)
    await world.watch(DEC, days=1)
    [(told_ns, roll)] = world.rolls
    assert 0 <= told_ns - roll.time_ns < 10**9
