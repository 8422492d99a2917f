"""Five-minute bars of one futures contract, printed."""
from ib_async import IB, Future, util

ib = IB()
ib.connect("127.0.0.1", 7497, clientId=7)

contract = Future("ES", "202612", "CME")
ib.qualifyContracts(contract)

bars = ib.reqHistoricalData(
    contract,
    endDateTime="",
    durationStr="1 D",
    barSizeSetting="5 mins",
    whatToShow="TRADES",
    useRTH=False,
)
df = util.df(bars)
print(df.tail())
ib.disconnect()
