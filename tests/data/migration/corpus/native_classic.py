from ibapi.client import EClient
from ibapi.wrapper import EWrapper
from ibapi.contract import Contract

import threading
import time


class IBapi(EWrapper, EClient):
    def __init__(self):
        EClient.__init__(self, self)
        self.data = []

    def historicalData(self, reqId, bar):
        self.data.append([bar.date, bar.close])

    def historicalDataEnd(self, reqId, start, end):
        print("done")

    def error(self, reqId, errorCode, errorString):
        print(reqId, errorCode, errorString)


def run_loop():
    app.run()


app = IBapi()
app.connect('127.0.0.1', 7497, 123)

api_thread = threading.Thread(target=run_loop, daemon=True)
api_thread.start()
time.sleep(1)

contract = Contract()
contract.symbol = 'ES'
contract.secType = 'FUT'
contract.exchange = 'CME'
contract.currency = 'USD'
contract.lastTradeDateOrContractMonth = '202612'

app.reqHistoricalData(1, contract, '', '2 D', '1 hour', 'TRADES', 0, 2, False, [])
time.sleep(5)
app.disconnect()
