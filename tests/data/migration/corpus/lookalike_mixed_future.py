import asyncio
import concurrent.futures

from ib_async import IB

Future = concurrent.futures.Future


class Pool:
    def __init__(self):
        self.ib = IB()
        self.pending = asyncio.Future()
        self.other = Future()

    async def wait(self):
        await asyncio.sleep(1)
        self.ib.sleep(1)
        return self.pending.result()
