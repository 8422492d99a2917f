"""A program as people write them for ib_async: history, bars kept up to date, RTVolume, every print, bar events, a frame.

tests/compat/test_script.py runs it as it stands on a fake TWS, and with the next line changed on the DXLink side of the same market.
"""

from ib_async import IB, Future, util

HOST, PORT, UNTIL = "127.0.0.1", 7497, "2026-03-02 14:32:30+00:00"

ib = IB()
ib.connect(HOST, PORT, clientId=17)

contract = Future("ES", "202603", "CME")
ib.qualifyContracts(contract)
details = ib.reqContractDetails(contract)[0]
print("contract", contract.localSymbol, contract.lastTradeDateOrContractMonth, contract.multiplier, details.minTick, details.timeZoneId)

history = ib.reqHistoricalData(contract, endDateTime="", durationStr="1 D", barSizeSetting="10 secs", whatToShow="TRADES", useRTH=False, formatDate=1)
print("history", util.df(history).to_string())
daily = ib.reqHistoricalData(contract, endDateTime="", durationStr="5 D", barSizeSetting="1 day", whatToShow="TRADES", useRTH=True)
print("daily", util.df(daily).to_string())

prints, rt_volumes, new_bars = [], [], []


def on_pending_tickers(tickers):
    for ticker in tickers:
        prints.extend((tick.price, tick.size) for tick in ticker.tickByTicks)
        rt_volumes.extend(tick.price for tick in ticker.ticks if tick.tickType == 48)


def on_bar_update(bars, has_new_bar):
    if has_new_bar and len(bars) > 1:
        new_bars.append(bars[-2])


ib.pendingTickersEvent += on_pending_tickers
ticker = ib.reqMktData(contract, "233", False, False)
ib.reqTickByTickData(contract, "AllLast")
bars = ib.reqHistoricalData(
    contract, endDateTime="", durationStr="1 D", barSizeSetting="5 secs", whatToShow="TRADES", useRTH=False, formatDate=2, keepUpToDate=True
)
bars.updateEvent += on_bar_update
while str(bars[-1].date) < UNTIL:
    ib.sleep(0.1)
ib.cancelHistoricalData(bars)
while not rt_volumes or not ticker.hasBidAsk():
    ib.waitOnUpdate(timeout=1)
ib.cancelTickByTickData(contract, "AllLast")
ib.cancelMktData(contract)

closed = [bar for bar in bars if str(bar.date) < UNTIL]
print("kept", util.df(closed).to_string())
print("closed", len(new_bars) > 3, all(bar in bars for bar in new_bars))
print("prints", prints[:200])
ib.disconnect()
