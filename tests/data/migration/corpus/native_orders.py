from ibapi.client import EClient
from ibapi.wrapper import EWrapper
from ibapi.order import Order


class Trader(EWrapper, EClient):
    def __init__(self):
        EClient.__init__(self, self)

    def orderStatus(self, orderId, status, filled, remaining, *rest):
        print(orderId, status)

    def execDetails(self, reqId, contract, execution):
        print(execution)

    def buy(self, contract, quantity):
        order = Order()
        order.action = "BUY"
        order.totalQuantity = quantity
        self.placeOrder(self.next_id, contract, order)

    def account(self):
        self.reqPositions()
        self.reqAccountSummary(9, "All", "NetLiquidation")
