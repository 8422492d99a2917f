from ib_async import *

ib = IB()
ib.connect()
contracts = [Future(r, '202612', 'CME') for r in ['ES', 'NQ', 'RTY']]
ib.qualifyContracts(*contracts)
for contract in contracts:
    ib.reqMktData(contract, '', False, False)

table = {c.conId: None for c in contracts}


def on_pending(tickers):
    for t in tickers:
        table[t.contract.conId] = t.marketPrice()


ib.pendingTickersEvent += on_pending
ib.sleep(30)
ib.pendingTickersEvent -= on_pending

for contract in contracts:
    ib.cancelMktData(contract)
