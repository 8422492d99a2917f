from ib_async import IB, Contract


class Base:
    def __init__(self):
        self.ib = IB()

    def up(self):
        return self.ib.isConnected()


class Child(Base):
    def depth(self, contract: Contract):
        self.ib.sleep(1)
        return self.ib.reqMktDepth(contract)


child = Child()
child.ib.connect("127.0.0.1", 7497, 1)
child.up()
