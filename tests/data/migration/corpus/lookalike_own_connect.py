class Contract:
    def __init__(self, symbol=""):
        self.symbol = symbol


class Socket:
    def connect(self, host, port, clientId):
        self.peer = host, port, clientId

    def isConnected(self):
        return True

    def disconnect(self):
        self.peer = None

    def sleep(self, seconds):
        pass

    def run(self):
        pass

    def error(self, reqId, code, text):
        print(code)


s = Socket()
s.connect("127.0.0.1", 7497, 1)
s.run()
s.sleep(1)
if s.isConnected():
    s.disconnect()
contract = Contract()
contract.symbol = "ES"
