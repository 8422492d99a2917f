"""Which of a provider's contracts an ib_async contract means: looked up once, then known by its conId."""

from __future__ import annotations

from ib_async import Contract as IbContract

from ..errors import AmbiguousContract, UnknownContract
from ..model import Contract
from ..provider import DataProvider
from .contracts import asked, con_id, exchange_of, fits


class Book:
    """The contracts met so far. One that the real IB has qualified is understood too, by what describes it."""

    def __init__(self, provider: DataProvider) -> None:
        self._provider = provider
        self._known: dict[int, Contract] = {}

    async def every(self, described: IbContract) -> list[Contract]:
        """All contracts that a description fits, nearest expiry first. UnknownContract where there are none."""
        if described.conId in self._known:
            return [self._known[described.conId]]
        wanted = asked(described)
        found = [contract for contract in await self._listed(wanted.root) if fits(contract, described)] if wanted.root else []
        if not found and wanted.symbol:
            found = [contract for contract in [await self._provider.resolve(wanted.symbol)] if fits(contract, described)]
        if not found:
            raise UnknownContract(f"provider '{self._provider.name}' has no contract like {described}")
        self._known |= {con_id(contract): contract for contract in found}
        if described.conId and len(found) == 1:
            self._known[described.conId] = found[0]
        return found

    async def one(self, described: IbContract) -> Contract:
        """The contract of a request. AmbiguousContract lists the choices."""
        found = await self.every(described)
        if len(found) > 1:
            choices = ", ".join(f"{contract.symbol} ({exchange_of(contract)})" for contract in found)
            raise AmbiguousContract(f"{described} fits {len(found)} contracts: {choices}")
        return found[0]

    async def _listed(self, root: str) -> list[Contract]:
        try:
            return await self._provider.contracts(root)
        except UnknownContract:
            return []  # perhaps one month that is over: `resolve` says
