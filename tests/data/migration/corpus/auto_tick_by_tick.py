import ib_insync as ibi

app = ibi.IB()
app.connect(port=4002, clientId=5)
nq = ibi.Future("NQ", "202609", exchange="CME")
[nq] = app.qualifyContracts(nq)
ticker = app.reqTickByTickData(nq, "AllLast")
quotes = app.reqTickByTickData(nq, tickType="BidAsk", numberOfTicks=0, ignoreSize=True)
print(ticker.tickByTicks, quotes.tickByTicks)
app.cancelTickByTickData(nq, "AllLast")
app.cancelTickByTickData(nq, "BidAsk")
app.disconnect()
