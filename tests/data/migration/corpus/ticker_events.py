import asyncio
from ib_async import IB, Future


class Tape:
    def __init__(self, ib: IB):
        self._client = ib
        self.prints = []

    def start(self, month):
        self.ticker = self._client.reqTickByTickData(Future('MES', month, 'CME'), 'Last', 0, False)
        self.ticker.updateEvent += self._on_update

    def _on_update(self, ticker):
        for tick in ticker.tickByTicks:
            self.prints.append((tick.time, tick.price, tick.size))

    def stop(self):
        self.ticker.updateEvent.disconnect(self._on_update)
        self._client.cancelTickByTickData(self.ticker.contract, 'Last')


async def run():
    ib = IB()
    await ib.connectAsync('127.0.0.1', 4002, 5)
    tape = Tape(ib)
    tape.start('202609')
    await asyncio.sleep(60)
    tape.stop()
    async for tickers in ib.pendingTickersEvent:
        print(len(tickers))
