"""`IB`: ib_async's own IB, whose market data come from a DataProvider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import ib_async
from ib_async import BarDataList, Event, IBDefaults, StartupFetch, StartupFetchALL
from ib_async import Contract as IbContract

from ..config import Settings, load
from ..errors import ConfigError, RequestTimeout
from ..model import Contract
from ..provider import DataProvider
from ..registry import create_provider
from .client import FeedClient
from .errors import EVENTS, METHODS, lacks, refused

_CONFIG: Final = Path("config.yaml")


class IB(ib_async.IB):
    """ib_async's IB for market data from any provider: the same methods, their Async twins, events and types.

    provider  a DataProvider; without one the registry makes the one that `config` names
    config    a path, a dict or Settings; without it ./config.yaml where there is one, and the environment TTP_*. Where neither of them names a provider,
              connecting raises ConfigError: the made-up market of `demo` is played to no one who did not ask for it
    clock     "now" in UTC nanoseconds, for a provider that plays another day and does not tell its clock

    Host, port and client id are accepted and not used. What the feed cannot give (depth, orders, accounts, news ...) raises NotSupported that names the
    section of the migration guide. A program that also trades keeps the real IB for its orders, in the same process and the same event loop:

    >>> import ib_async
    >>> from tastytrade_provider.compat import IB, Future
    >>> def main() -> None:
    ...     data, broker = IB(), ib_async.IB()
    ...     data.connect()
    ...     broker.connect("127.0.0.1", 7497, clientId=1)
    ...     [contract] = broker.qualifyContracts(Future("ES", "202612", "CME"))   # qualified by the broker: its conId counts for orders
    ...     bars = data.reqHistoricalData(contract, "", "1 D", "1 min", "TRADES", useRTH=False)
    ...     broker.placeOrder(contract, ib_async.LimitOrder("BUY", 1, bars[-1].close))

    What differs from ib_async, and why:
    - RaiseRequestErrors is True: a failure is never an empty list. An exception is both of the package's own class and an ib_async.RequestError.
    - The feed reconnects and resubscribes by itself: errorEvent tells 1100 and 1102, and 2103 for a request that trades may be missing of.
    - Ticks carry the exchange's time, bars in time text the zone `TimezoneTWS`, or where that is not set the contract's own.
    - `keepUpToDate` goes on where the first answer was empty; a bar that is repaired later is exchanged in its place.
    - contracts qualified here have a conId below zero, which no broker takes for another contract.

    `tradesEvent(ticker, trades)` hands over, after the ticks of reqMktData and reqTickByTickData, the TradeBatch they came from, with each print's
    aggressor side; `provider` is everything else the feed can give, and `feedContract` the contract to ask it for.
    """

    RaiseRequestErrors: bool = True

    def __init__(
        self,
        defaults: IBDefaults | None = None,
        *,
        provider: DataProvider | None = None,
        config: str | Path | Mapping[str, Any] | Settings | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(IBDefaults() if defaults is None else defaults)
        self.tradesEvent = Event("tradesEvent")

        def make() -> DataProvider:
            return create_provider(_named() if config is None else config) if provider is None else provider

        self.client: FeedClient = FeedClient(self, make, (lambda provider: provider.now_ns()) if clock is None else lambda _: clock())
        self.client.apiEnd += self.disconnectedEvent
        for name in EVENTS:
            delattr(self, name)  # so that __getattr__ says what is the matter

    @property
    def provider(self) -> DataProvider:
        """The provider behind it. Use it in this event loop, once connected."""
        return self.client.provider

    async def feedContract(self, contract: IbContract) -> Contract:
        """The provider's own contract for an ib_async one. UnknownContract, AmbiguousContract."""
        return await self.client.answers.book.one(contract)

    async def connectAsync(
        self,
        host: str = "127.0.0.1",
        port: int = 7497,
        clientId: int = 1,
        timeout: float | None = 4,  # noqa: ASYNC109  # ib_async's signature
        readonly: bool = False,
        account: str = "",
        raiseSyncErrors: bool = False,
        fetchFields: StartupFetch = StartupFetchALL,
    ) -> Self:
        """Connect the provider, within its own time-outs; the arguments are accepted and not used. Raises FeedError, ConfigError."""
        self.wrapper.clientId = int(clientId)
        if not self.client.isConnected():
            await self.client.connectAsync(host, port, clientId)
            self.connectedEvent.emit()
        return self

    async def disconnectAsync(self) -> None:
        """`disconnect`, and wait until the provider is closed: for programs with a running loop."""
        is_open = self.isConnected()
        await self.client.disconnectAsync()
        if is_open:
            self.disconnectedEvent.emit()
            self.wrapper.reset()  # type: ignore[no-untyped-call]

    async def reqHistoricalDataAsync(self, *args: Any, **kwargs: Any) -> BarDataList:
        """As ib_async's; where its `timeout` is over it raises RequestTimeout."""
        bars = await super().reqHistoricalDataAsync(*args, **kwargs)
        if bars.reqId in self.client.late:
            self.client.late.discard(bars.reqId)
            if self.RaiseRequestErrors:
                raise refused(bars.reqId, RequestTimeout(f"no bars of {bars.contract} within the time given"))
        return bars

    def _onError(self, reqId: int, errorCode: int, errorString: str, contract: IbContract | None) -> None:
        """ib_async asks for the account again after 1102; there is none."""

    def __del__(self) -> None:
        """Closed by `disconnect`, or when the program ends."""

    def __getattr__(self, name: str) -> Any:
        if name in EVENTS:
            raise lacks(name, EVENTS[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _named() -> Settings:
    """What ./config.yaml and the environment say, where one of them names the provider."""
    is_there = _CONFIG.is_file()
    settings = load(_CONFIG if is_there else None)
    if "data_provider" not in settings.model_fields_set:
        looked = f"{_CONFIG.absolute()} {'has no data_provider' if is_there else 'is not there'}, and TTP_DATA_PROVIDER is not set"
        raise ConfigError(
            f"no provider is named: {looked}; start the program in the folder of its {_CONFIG}, pass IB(config=...) or IB(provider=...), or set "
            "TTP_DATA_PROVIDER, to demo for a made-up market"
        )
    return settings


def _refusing(name: str, anchor: str) -> Any:
    def refuse(*_: Any, **__: Any) -> None:
        raise lacks(name, anchor)

    refuse.__name__, refuse.__doc__ = name, f"Not served: see the migration guide, section {anchor}."
    return refuse


for _name, _anchor in METHODS.items():
    for _twin in (_name, f"{_name}Async"):
        if hasattr(ib_async.IB, _twin):
            setattr(IB, _twin, _refusing(_twin, _anchor))
