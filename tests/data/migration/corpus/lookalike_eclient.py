from enterprise.client import EClient
from enterprise.wrapper import EWrapper


class App(EWrapper, EClient):
    def nextValidId(self, orderId):
        self.order = orderId

    def error(self, reqId, code, text):
        print(text)


app = App()
app.connect("127.0.0.1", 7497, 1)
app.run()
