import os

from ib_insync import IB


def make():
    ib = IB()
    ib.connect(os.environ["IB_HOST"], int(os.environ["IB_PORT"]), clientId=int(os.environ["IB_ID"]))
    return ib


def typed() -> IB:
    return make()


one = make()
one.reqMarketDataType(3)
other = typed()
other.disconnect()
typed().sleep(1)
