from ibapi.client import EClient
from ibapi.wrapper import EWrapper


class Base(EWrapper, EClient):
    def __init__(self):
        super().__init__(self)

    def nextValidId(self, orderId):
        self.order_id = orderId


class Downloader(Base):
    def contractDetailsEnd(self, reqId):
        self.disconnect()

    def symbolSamples(self, reqId, descriptions):
        print(descriptions)

    def ask(self, text):
        self.reqMatchingSymbols(1, text)

    def helper(self):
        return self.order_id


app = Downloader()
app.connect("127.0.0.1", 7497, 8)
app.run()
