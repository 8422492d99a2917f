"""Providers that behave or misbehave, made in the shadow's process by `tests.checks.shadows:name`; and one in memory for the primary's side."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import numpy as np

from tastytrade_provider.errors import AuthenticationFailed, ConnectionLost, UnknownContract
from tastytrade_provider.model import Contract, TradeBatch
from tastytrade_provider.provider import Capabilities, DataProvider, ProviderStatus, Subscription
from tastytrade_provider.settings import Settings
from tests.checks.builders import ES

STEP_NS = 20_000_000


def trades(first: int, n: int = 1, contract: Contract = ES) -> TradeBatch:
    """Trades number `first` and following of one made-up market: 20 ms apart, one lot, the price walking up and down."""
    number = first + np.arange(n)
    columns = {"time_ns": number * STEP_NS, "price": 6000 + 0.25 * (number % 7), "size": np.ones(n), "side": np.where(number % 3, 1, -1)}
    return TradeBatch(contract, columns)


def number_now() -> int:
    """The number of the trade that happens now."""
    return time.time_ns() // STEP_NS


class InMemory(DataProvider):
    """Serves what a test, or a task of its own, puts into its subscriptions."""

    def __init__(self, name: str = "in memory") -> None:
        self.name = name
        self.capabilities = Capabilities(trades=True, side_source="exchange")
        self.open = False
        self.subscriptions: list[Subscription[Any]] = []
        self.reconnects = 0

    @property
    def is_connected(self) -> bool:
        return self.open

    async def connect(self) -> None:
        self.open = True

    async def disconnect(self) -> None:
        self.open = False
        for subscription in self.subscriptions:
            subscription.end()

    async def resolve(self, symbol: str) -> Contract:
        return ES

    async def contracts(self, root: str) -> list[Contract]:
        return [ES]

    def subscribe_trades(self, contract: Contract) -> Subscription[Any]:
        self.subscriptions.append(Subscription(contract))
        self.subscriptions[-1].grant()
        return self.subscriptions[-1]

    def put(self, item: Any) -> None:
        for subscription in self.subscriptions:
            subscription.put(item)

    def status(self) -> ProviderStatus:
        return ProviderStatus("connected" if self.open else "reconnecting", 0, reconnects=self.reconnects)


class Market(InMemory):
    """Plays the made-up market as time goes by."""

    burst = 1

    async def connect(self) -> None:
        await super().connect()
        self._task = asyncio.create_task(self._play())

    async def disconnect(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await super().disconnect()

    async def _play(self) -> None:
        reached = number_now()
        while True:
            await asyncio.sleep(0.01)
            now = number_now()
            if now > reached:
                for _ in range(self.burst):
                    self.put(trades(reached, now - reached))
            reached = now


class Flood(Market):
    """Hands over as much as its process can make, and more."""

    burst = 2_000


class Freeze(Market):
    """Stops the whole process a moment after it was subscribed."""

    def subscribe_trades(self, contract: Contract) -> Subscription[Any]:
        asyncio.get_running_loop().call_later(0.5, time.sleep, 3600)
        return super().subscribe_trades(contract)


class Refuse(Market):
    """Cannot log in."""

    async def connect(self) -> None:
        raise AuthenticationFailed("no such user")


class Restarting(Market):
    """Can be reached at the second attempt."""

    attempts = 0

    async def connect(self) -> None:
        Restarting.attempts += 1
        if Restarting.attempts == 1:
            raise ConnectionLost("it is being restarted")
        await super().connect()


class Unknowing(Market):
    """Knows no contract."""

    async def resolve(self, symbol: str) -> Contract:
        raise UnknownContract(f"no contract is named {symbol}")


def steady(settings: Settings) -> DataProvider:
    return Market("steady")


def flooding(settings: Settings) -> DataProvider:
    return Flood("flooding")


def freezing(settings: Settings) -> DataProvider:
    return Freeze("freezing")


def refusing(settings: Settings) -> DataProvider:
    return Refuse("refusing")


def restarting(settings: Settings) -> DataProvider:
    return Restarting("restarting")


def unknowing(settings: Settings) -> DataProvider:
    return Unknowing("unknowing")


def silent(settings: Settings) -> DataProvider:
    return InMemory("silent")


def crashing(settings: Settings) -> DataProvider:
    os._exit(3)
