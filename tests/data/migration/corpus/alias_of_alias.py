import ib_async as lib

Client = lib.IB
Fut = lib.Future
u = lib.util

a = Client()
b = a
b.connect()
c = b.qualifyContracts(Fut("CL", "202611", "NYMEX"))
hist = b.reqHistoricalData
bars = hist(c[0], "", "1 D", "1 min", "TRADES", False)
frame = u.df(bars)
b.disconnect()
