from ib_insync import *

util.startLoop()

ib = IB()
ib.connect('127.0.0.1', 7497, clientId=10)

stock = Stock('AMD', 'SMART', 'USD')
pair = Forex('EURUSD')
fut = ContFuture('VX', 'CFE')
ib.qualifyContracts(stock, pair, fut)

bars = ib.reqHistoricalData(pair, '', '5 D', '1 hour', 'MIDPOINT', True)
spread = ib.reqHistoricalData(pair, '', '5 D', '1 hour', 'BID_ASK', True)
adjusted = ib.reqHistoricalData(stock, endDateTime='', durationStr='10 Y', barSizeSetting='1 day', whatToShow='ADJUSTED_LAST', useRTH=True)
iv = ib.reqHistoricalData(stock, '', '1 Y', '1 day', whatToShow='OPTION_IMPLIED_VOLATILITY', useRTH=True)
hours = ib.reqHistoricalData(stock, '', '5 D', '1 day', 'SCHEDULE', True)
df = util.df(bars)
ib.run()
