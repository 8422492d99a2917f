import sys

USE_IB = "--ib" in sys.argv

if USE_IB:
    from ib_async import IB, util


def main():
    if not USE_IB:
        return None
    from ib_async import Future

    ib = IB()
    ib.connect()
    try:
        return util.df(ib.reqHistoricalData(Future("ES", "202612", "CME"), "", "1 D", "2 mins", "TRADES", 0))
    finally:
        ib.disconnect()
