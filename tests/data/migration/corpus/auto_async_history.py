import asyncio

from ib_async import IB, Future


async def main():
    ib = IB()
    await ib.connectAsync("127.0.0.1", 4002, clientId=11)
    contract = Future(symbol="NQ", lastTradeDateOrContractMonth="202612", exchange="CME")
    await ib.qualifyContractsAsync(contract)
    bars = await ib.reqHistoricalDataAsync(contract, "", "3600 S", "1 min", "TRADES", False)
    for bar in bars:
        print(bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume)
    if ib.isConnected():
        ib.disconnect()


asyncio.run(main())
