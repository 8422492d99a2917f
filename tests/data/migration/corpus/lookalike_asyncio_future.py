import asyncio
from asyncio import Future
from concurrent import futures
from concurrent.futures import Future as ThreadFuture


async def main():
    one = Future()
    two = asyncio.Future()
    three = ThreadFuture()
    four: Future = asyncio.get_running_loop().create_future()
    for f in (one, two, three, four):
        f.cancel()
    return futures.Future()
