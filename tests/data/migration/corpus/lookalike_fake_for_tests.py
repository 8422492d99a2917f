"""A stand-in written by the user: nothing of IB runs here."""


class FakeIB:
    def __init__(self):
        self.calls = []

    def reqHistoricalData(self, contract, *args, **kwargs):
        self.calls.append((contract, args, kwargs))
        return []

    def qualifyContracts(self, *contracts):
        return list(contracts)

    def connect(self, *args):
        return self


fake = FakeIB()
fake.connect()
fake.qualifyContracts("ES")
fake.reqHistoricalData("ES", "", "1 D", "1 min", "TRADES", False)
