from ib_async import IB, Future, LimitOrder, MarketOrder

ib = IB()
ib.connect('127.0.0.1', 7497, clientId=1)
contract = Future('ES', '202612', 'CME')
ib.qualifyContracts(contract)
ticker = ib.reqMktData(contract)
ib.sleep(2)
trade = ib.placeOrder(contract, LimitOrder('BUY', 1, ticker.bid))
while not trade.isDone():
    ib.waitOnUpdate()
print(ib.positions(), ib.accountSummary())
ib.cancelOrder(trade.order)
