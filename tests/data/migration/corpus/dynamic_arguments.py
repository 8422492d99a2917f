from ib_async import IB

DURATIONS = {"1m": "1 D", "1h": "1 M"}
WHAT = "TRADES"


def load(ib: IB, contract, size, what, end=None):
    return ib.reqHistoricalData(contract, end or "", DURATIONS[size], size, what, False)


def load_trades(ib: IB, contract, size):
    return ib.reqHistoricalData(contract, "", DURATIONS[size], size, WHAT, useRTH=False)


def load_default(ib: IB, contract, size, what="TRADES"):
    return ib.reqHistoricalData(contract, "", DURATIONS[size], size, what, useRTH=False)


def load_any(ib: IB, *args, **kwargs):
    return ib.reqHistoricalData(*args, **kwargs)


def load_some(ib: IB, contract, options):
    return ib.reqHistoricalData(contract, **options)


def follow(ib: IB, contract, live):
    return ib.reqHistoricalData(contract, "", "1 D", "1 min", "TRADES", False, keepUpToDate=live)


def five_seconds(ib: IB, contract, what):
    ib.reqRealTimeBars(contract, 5, what, False)
    ib.reqRealTimeBars(contract, 5, "MIDPOINT", False)
    return ib.reqTickByTickData(contract, what)
