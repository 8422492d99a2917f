import pandas as pd
from ib_async import IB, Future, util

ib = IB()
ib.connect()
bars = ib.reqHistoricalData(Future("ES", "202612", "CME"), "", "2 D", "1 min", "TRADES", False)
df = util.df(bars).set_index("date")
hourly = df.resample("1H").agg({"open": "first", "close": "last"})
seconds = hourly.index.astype("int64") // 10**9
