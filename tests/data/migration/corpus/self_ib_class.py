import logging

from ib_insync import IB, Contract, util

logger = logging.getLogger(__name__)


class DataFeed:
    def __init__(self, host="127.0.0.1", port=7497, client_id=1):
        self.ib = IB()
        self.host, self.port, self.client_id = host, port, client_id

    def connect(self):
        self.ib.connect(self.host, self.port, clientId=self.client_id)
        self.ib.errorEvent += self.on_error
        self.ib.disconnectedEvent += self.on_disconnect

    def contract(self, symbol, month):
        c = Contract()
        c.symbol = symbol
        c.secType = "FUT"
        c.exchange = "CME"
        c.lastTradeDateOrContractMonth = month
        return self.ib.qualifyContracts(c)[0]

    def history(self, contract, days):
        return util.df(
            self.ib.reqHistoricalData(
                contract,
                "",
                f"{days} D",
                "15 mins",
                "TRADES",
                True,
            )
        )

    def on_error(self, reqId, code, text, contract):
        logger.error("%s %s %s", reqId, code, text)

    def on_disconnect(self):
        logger.warning("gone")
        self.connect()

    def stop(self):
        if self.ib.isConnected():
            self.ib.disconnect()


feed = DataFeed()
feed.connect()
print(feed.history(feed.contract("ES", "202612"), 2))
feed.stop()
