"""Two moving averages over five-minute bars of the E-mini S&P 500: what they say now, and at each bar that closes.

python es_signal.py 2    stops after two new bars; without a number it goes on

There is no signal, and no line, before the session has as many bars as the slow average needs.
"""

import math
import sys

from ib_async import IB, Future, util

FAST, SLOW = 5, 20
NEW_BARS = int(sys.argv[1]) if len(sys.argv) > 1 else None

ib = IB()
ib.connect("127.0.0.1", 7497, clientId=11)
es = Future("ES", "202612", "CME")
ib.qualifyContracts(es)
bars = ib.reqHistoricalData(es, endDateTime="", durationStr="1 D", barSizeSetting="5 mins", whatToShow="TRADES", useRTH=False, formatDate=2, keepUpToDate=True)


def tell(closed):
    frame = util.df(closed)
    fast, slow = (frame["close"].rolling(length).mean().iloc[-1] for length in (FAST, SLOW))
    if math.isnan(slow):
        return
    last = closed[-1]
    print(f"{last.date:%H:%M} close {last.close:.2f}  fast {fast:.2f}  slow {slow:.2f}  {'LONG' if fast > slow else 'SHORT'}")


told = 0


def on_bar(bars, has_new_bar):
    global told
    if has_new_bar:
        tell(bars[:-1])
        told += 1


bars.updateEvent += on_bar
print(f"{len(bars)} bars of this session")
tell(bars[:-1])
while NEW_BARS is None or told < NEW_BARS:
    ib.sleep(0.1)
ib.cancelHistoricalData(bars)
ib.disconnect()
