from ib_insync import IB

ib = IB()


def connected():
    print("up")


ib.connectedEvent.connect(connected)
ib.disconnectedEvent.connect(lambda: print("down"))
ib.timeoutEvent += lambda idle: ib.disconnect()
ib.errorEvent.connect(print)
ib.barUpdateEvent += lambda bars, new: print(bars[-1], new)
ib.orderStatusEvent += print
ib.setTimeout(60)
ib.connect('127.0.0.1', 7496, 0)
