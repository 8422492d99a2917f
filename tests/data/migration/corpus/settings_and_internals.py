from ib_async import IB, IBC, Watchdog, util

util.logToFile("ib.log")
ibc = IBC(1019, gateway=True, tradingMode="paper")
ib = IB()
ib.RaiseRequestErrors = True
ib.RequestTimeout = 20
dog = Watchdog(ibc, ib, port=4002)
ib.client.setConnectOptions("+PACEAPI")
ib.wrapper.reqId2Ticker.clear()
print(ib.reqCurrentTime())
print(ib.tickers())
IB.sleep(1)
