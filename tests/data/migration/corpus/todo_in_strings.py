"""ib.connect() in a docstring, ib.reqHistoricalData(contract) too."""
from ib_async import IB

TEXT = "ib.reqMktData(contract)"
CODE = """
from ib_async import IB
ib = IB()
ib.connect()
"""
# ib.disconnect()
print(IB.__doc__, f"{TEXT} reqTickers")
