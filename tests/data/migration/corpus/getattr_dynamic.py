import importlib
from operator import methodcaller

from ib_async import IB

ib = IB()


def call(name, *args, **kwargs):
    return getattr(ib, name)(*args, **kwargs)


connect = getattr(ib, "connect")
connect("127.0.0.1", 7497, 1)
fetch = methodcaller("reqHistoricalData", None, "", "1 D", "1 min", "TRADES", True)
fetch(ib)
native = importlib.import_module("ibapi.client")
other = __import__("ib_insync")
