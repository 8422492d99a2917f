from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ib_async import IB, Future, Ticker


class Quotes:
    def __init__(self, ib: IB, contract: Future) -> None:
        self.ib = ib
        self.contract = contract
        self.ticker: Ticker | None = None

    def open(self) -> None:
        self.ticker = self.ib.reqMktData(self.contract, genericTickList="233,588", snapshot=False)
        self.ticker.updateEvent += self.show

    def show(self, ticker: Ticker) -> None:
        print(ticker.rtVolume)

    def close(self) -> None:
        self.ib.cancelMktData(self.contract)
