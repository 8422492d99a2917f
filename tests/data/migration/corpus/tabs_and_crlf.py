from ib_insync import IB

class A:
	def go(self):
		ib = IB()
		ib.connect('127.0.0.1', 7497, clientId=1)
		if True:
			ib.reqMarketDataType(3)
		ib.disconnect()
