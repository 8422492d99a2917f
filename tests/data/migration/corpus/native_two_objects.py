from ibapi import wrapper
from ibapi.client import EClient


class Wrapper(wrapper.EWrapper):
    def tickByTickAllLast(self, reqId, tickType, time, price, size, attribs, exchange, special):
        print(time, price, size)

    def realtimeBar(self, reqId, time, open_, high, low, close, volume, wap, count):
        print(time, close)

    def nextValidId(self, orderId):
        print(orderId)


class Client(EClient):
    def __init__(self, wrapper):
        EClient.__init__(self, wrapper)


class Program:
    def __init__(self):
        self.wrapper = Wrapper()
        self.client = Client(self.wrapper)
        self.client.connect("127.0.0.1", 4001, 1)

    def go(self, contract):
        self.client.reqTickByTickData(10, contract, "AllLast", 0, False)
        self.client.reqRealTimeBars(11, contract, 5, "TRADES", 0, [])
        self.client.cancelTickByTickData(10)
        self.client.cancelRealTimeBars(11)
        if self.client.isConnected():
            self.client.disconnect()
