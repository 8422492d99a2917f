from ib_async import IB
import datetime as dt

ib = IB()

(
    ib
    .connect("127.0.0.1", 7497, clientId=1, timeout=20, readonly=True, account="DU000")
)
bars = (
    ib.reqHistoricalData(
        contract=None, endDateTime="", durationStr="1 W",
        barSizeSetting="1 hour", whatToShow="TRADES", useRTH=False,
        formatDate=2, keepUpToDate=True, chartOptions=[],
    )
)
weekly = ib.reqHistoricalData(None, dt.datetime.now(), "5 Y", "1 week", "TRADES", True); monthly = ib.reqHistoricalData(None, "", "9 Y", "1 month", "TRADES", True)
agg = ib.reqHistoricalData(None, "", "1 D", "1 min", "AGGTRADES", True)
bid = ib.reqHistoricalData(None, "", "1 D", "1 min", "BID", True)
fee = ib.reqHistoricalData(None, "", "1 D", "1 day", "FEE_RATE", True)
bad = ib.reqHistoricalData(None, "", "1 D", "1 min", "BID_ASK", True, keepUpToDate=True)
