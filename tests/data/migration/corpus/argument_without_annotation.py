"""Helpers that are handed a connected client by the caller."""
import pandas as pd


def minutes(ib, contract, end=""):
    bars = ib.reqHistoricalData(contract, end, "1 D", "1 min", "TRADES", False)
    ib.sleep(0.2)
    return pd.DataFrame(bars)


def depth(client, contract):
    book = client.reqMktDepth(contract, numRows=5)
    client.sleep(2)
    client.cancelMktDepth(contract)
    return book.domBids, book.domAsks
