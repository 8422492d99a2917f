from ib_insync import *

ib = IB()
ib.connect('127.0.0.1', 7497, clientId=3)
es = Future('ES', '20261218', 'CME')
ib.qualifyContracts(es)


def on_bar(bars, has_new_bar):
    if has_new_bar:
        print(bars[-2])


bars = ib.reqHistoricalData(es, '', '7200 S', '1 min', 'TRADES', False, 1, True)
bars.updateEvent += on_bar
ib.sleep(30)
ib.cancelHistoricalData(bars)
ib.disconnect()
