from ib_insync.ib import IB
from ib_insync.contract import Future, Stock
from ib_insync.util import df, startLoop
import ib_insync.util as iutil

startLoop()
ib = IB()
frame = df(ib.reqHistoricalData(Future("HG", "202612", "COMEX"), "", "1 D", "1 min", "TRADES", 1))
iutil.logToConsole("INFO")
iutil.df([])
