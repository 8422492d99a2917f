from ibapi.client import EClient
from ibapi.wrapper import EWrapper
from ibapi.contract import Contract, ContractDetails
from ibapi.common import TickerId


class TestApp(EClient, EWrapper):
    def __init__(self):
        EClient.__init__(self, self)

    def nextValidId(self, orderId: int):
        super().nextValidId(orderId)
        self.start()

    def start(self):
        contract = Contract()
        contract.symbol = "MNQ"
        self.reqContractDetails(1, contract)
        self.reqMarketDataType(4)
        self.reqMktData(2, contract, "233", False, False, [])
        self.reqMktDepth(3, contract, 5, False, [])

    def contractDetails(self, reqId: int, contractDetails: ContractDetails):
        print(contractDetails.liquidHours)

    def tickPrice(self, reqId: TickerId, tickType, price, attrib):
        print(price)

    def tickSize(self, reqId, tickType, size):
        print(size)

    def tickString(self, reqId, tickType, value):
        print(value)

    def updateMktDepth(self, reqId, position, operation, side, price, size):
        print(price)

    def stop(self):
        self.done = True
        self.disconnect()

    def log(self, text):
        print(text)


def main():
    app = TestApp()
    app.nextOrderId = 0
    app.connect("127.0.0.1", 7497, 0)
    app.run()


if __name__ == "__main__":
    main()
