"""Uses a connection made elsewhere in the program."""
from .connection import ib, make_future


def poll(root):
    contract = make_future(root)
    ib.qualifyContracts(contract)
    ticker = ib.reqMktData(contract, "", False, False)
    ib.sleep(1)
    ib.cancelMktData(contract)
    return ticker.last
