from dataclasses import dataclass, field

from ib_async import IB, Contract


@dataclass
class Feed:
    ib: IB
    spare: IB = field(default_factory=IB)
    contract: Contract = None

    def bars(self):
        return self.ib.reqHistoricalData(self.contract, "", "2 D", "10 mins", "TRADES", True)

    def swap(self):
        self.ib.disconnect()
        self.spare.connect("127.0.0.1", 4002, 2)


def build():
    return Feed(ib=IB(), contract=Contract(symbol="ES", secType="FUT", exchange="CME"))
