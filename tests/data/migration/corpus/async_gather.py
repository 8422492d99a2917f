import asyncio

from ib_async import IB, ContFuture, util

ROOTS = {"ES": "CME", "NQ": "CME", "GC": "COMEX"}


async def one(ib: IB, root: str, exchange: str):
    contract = ContFuture(root, exchange)
    await ib.qualifyContractsAsync(contract)
    details = await ib.reqContractDetailsAsync(contract)
    print(details[0].minTick, details[0].liquidHours)
    return await ib.reqHistoricalDataAsync(
        contract, endDateTime="", durationStr="1 Y", barSizeSetting="1 day", whatToShow="TRADES", useRTH=True
    )


async def main():
    ib = IB()
    await ib.connectAsync()
    found = await asyncio.gather(*(one(ib, root, exchange) for root, exchange in ROOTS.items()))
    frames = [util.df(bars) for bars in found]
    ib.disconnect()
    return frames


util.patchAsyncio()
util.run(main())
