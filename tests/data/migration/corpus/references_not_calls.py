import asyncio
from functools import partial

from ib_async import IB, Future

ib = IB()
connect = partial(ib.connect, "127.0.0.1", 7497)
connect(clientId=4)
subscribe = ib.reqMktData
found = list(map(ib.reqContractDetails, [Future("ES", "202612", "CME")]))
tickers = [subscribe(details[0].contract) for details in found]


async def history(contract):
    return await asyncio.to_thread(ib.reqHistoricalData, contract, "", "1 D", "1 min", "TRADES", False)
