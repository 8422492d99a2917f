import ibapi
import ibapi.client
import ibapi.wrapper
from ibapi.ticktype import TickTypeEnum


class Feed(ibapi.wrapper.EWrapper):
    def error(self, reqId, code, text, advanced=""):
        print(code, text)

    def tickGeneric(self, reqId, tickType, value):
        print(TickTypeEnum.to_str(tickType), value)


feed = Feed()
client = ibapi.client.EClient(feed)
client.connect("127.0.0.1", 7496, clientId=4)
client.reqHeadTimeStamp(5, contract=None, whatToShow="TRADES", useRTH=0, formatDate=1)
client.reqHistoricalTicks(6, None, "20260105 10:00:00", "", 10, "TRADES", 1, True, [])
client.cancelHistoricalData(7)
client.run()
