"""An own facade whose methods carry IB's names."""
from ib_insync import IB


class Facade:
    def __init__(self, ib: IB):
        self._inner = ib

    def connect(self):
        return self._inner.connect("127.0.0.1", 7497, 1)

    def reqHistoricalData(self, contract, size):
        return self._inner.reqHistoricalData(contract, "", "1 D", size, "TRADES", False)

    def sleep(self, seconds):
        self._inner.sleep(seconds)


facade = Facade(IB())
facade.connect()
facade.sleep(1)
facade.reqHistoricalData(None, "1 min")
