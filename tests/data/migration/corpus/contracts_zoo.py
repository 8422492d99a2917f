from ib_async import Bag, CFD, ComboLeg, ContFuture, Contract, Crypto, Future, FuturesOption, Index
from ib_async import contract as c

a = Future(localSymbol="ESZ6", exchange="CME")
b = Future("ES", exchange="CME", lastTradeDateOrContractMonth=f"{2026}12")
d = c.Future("ES", "202612", "CME")
e = Contract(conId=495512563)
f = Contract(secType="CONTFUT", symbol="ES", exchange="CME")
g = ContFuture(symbol="MGC", exchange="COMEX")
h = FuturesOption("ES", "202612", 6000, "C", "CME")
i = Index("SPX", "CBOE")
j = Crypto("BTC", "PAXOS", "USD")
k = CFD("IBUS500")
spread = Bag(symbol="ES", exchange="CME", comboLegs=[ComboLeg(conId=1, ratio=1, action="BUY")])
m = Contract.create(secType="FUT", symbol="ES")
