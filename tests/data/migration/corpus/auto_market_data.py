from ib_async import IB as Broker
from ib_async.contract import Future as IBFuture

broker = Broker()
broker.connect()
broker.reqMarketDataType(1)
contracts = [IBFuture(root, "202612", "CME") for root in ("ES", "NQ")]
broker.qualifyContracts(*contracts)
tickers = [broker.reqMktData(c, "233", False, False) for c in contracts]
for c in contracts:
    broker.cancelMktData(c)
snap = broker.reqMktData(contracts[0], "", True, False)
also = broker.reqTickers(*contracts)
broker.disconnect()
