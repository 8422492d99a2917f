"""The provider of Interactive Brokers on a fake TWS, as a stage for the cards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tastytrade_provider import create_provider
from tastytrade_provider.emulator import Emulator
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.ib.pacing import Ask, Pacer
from tastytrade_provider.ib.provider import IbProvider
from tests.checks.providers import Stage
from tests.checks.sources import Excerpt


def login(emulator: Emulator, client_id: int = 7) -> dict[str, Any]:
    """The configuration of a provider that connects to a fake TWS."""
    return {"data_provider": "ib", "ib": {"host": "127.0.0.1", "port": emulator.tws_port, "client_id": client_id}}


class Unhurried(Pacer):
    """The fake TWS has no pacing rules unless it is told to, and the cards are not about them: nothing waits for a quarter of a minute."""

    def wait_s(self, ask: Ask, now_s: float) -> float:
        """Nothing."""
        return 0.0


@asynccontextmanager
async def ib(source: Excerpt) -> AsyncIterator[Stage]:
    """The fake says prints as they are; a tape begins once somebody wants prints, behind the quotes that are asked for first."""
    knobs = TwsKnobs(start_on=("AllLast",))
    async with Emulator(source, speed="max", tws=knobs, start_on=()) as emulator:
        provider = create_provider(login(emulator))
        assert isinstance(provider, IbProvider)
        provider._history.pacer = Unhurried()

        async def finish() -> None:
            """Its answer to a question comes behind everything that was said before."""
            await emulator.wait_finished()
            await provider.earliest(source.contracts[0])

        def rows() -> int:
            return sum(len(emulator.tws.gateway.view(contract).ticks) for contract in source.contracts)

        yield Stage(provider, source, finish, rows, waits=False, secrets=lambda: list(knobs.accounts))
        await provider.disconnect()
