from ib_async import IB, Future

with IB().connect("127.0.0.1", 7497, clientId=21) as ib:
    mes = Future(conId=568550526, exchange="CME")
    ib.qualifyContracts(mes)
    print(ib.reqHistoricalData(mes, "", "1800 S", "30 secs", "TRADES", useRTH=0))
