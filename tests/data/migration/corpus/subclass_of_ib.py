from ib_async import IB


class MyIB(IB):
    def start(self, port):
        self.connect("127.0.0.1", port, clientId=1)
        self.errorEvent += self.on_error

    def on_error(self, reqId, code, text, contract):
        print(code, text)

    def run_for(self, seconds):
        self.sleep(seconds)


mine = MyIB()
mine.start(7497)
mine.reqMarketDataType(1)
mine.disconnect()
