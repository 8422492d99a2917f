"""The websocket clients of the transport part: each counts bytes in its usual way of receiving, and does nothing else.

Started as `python -m tests.benchmarks.transport_clients picows|websockets|aiohttp <port> <load>...`. Prints one JSON line a load.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

from tests.benchmarks.live_clients import Watch
from tests.benchmarks.server import Load

Count = Callable[[int], bool]
"""Takes the bytes of a message; True once all rows are there."""


async def with_picows(url: str, count: Count) -> None:
    """Frames in a callback; the bytes are copied out, as a program has to that keeps them."""
    from picows import WSFrame, WSListener, WSTransport, ws_connect

    done = asyncio.get_running_loop().create_future()

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if count(len(frame.get_payload_as_bytes())) and not done.done():
                done.set_result(None)

    transport, _ = await ws_connect(Listener, url)
    await done
    transport.disconnect()
    await transport.wait_disconnected()


async def with_websockets(url: str, count: Count) -> None:
    """Messages as bytes, without the conversion to text."""
    from websockets.asyncio.client import connect

    async with connect(url, compression=None, max_size=None, proxy=None, ping_interval=None) as socket:
        while not count(len(await socket.recv(decode=False))):
            pass


async def with_aiohttp(url: str, count: Count) -> None:
    """Messages as bytes, without the conversion to text."""
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0, decode_text=False) as socket:
        async for message in socket:
            if count(len(message.data)):
                break


CANDIDATES: dict[str, Callable[[str, Count], Awaitable[None]]] = {"picows": with_picows, "websockets": with_websockets, "aiohttp": with_aiohttp}


async def measure(name: str, port: int, loads: list[Load]) -> None:
    """Each load once, after a short one to warm up."""
    for load in [Load(2_000, 10), *loads]:
        watch, received = Watch(load), 0

        def count(n: int, watch: Watch = watch, load: Load = load) -> bool:
            nonlocal received
            watch.take(min(load.per_message, load.rows - watch.rows))
            received += n
            is_all = watch.rows == load.rows
            if is_all:
                watch.finish()
            return is_all

        await asyncio.wait_for(CANDIDATES[name](f"ws://127.0.0.1:{port}{load.path('plain')}", count), 60)
        if load in loads:
            print(json.dumps({"rows": load.rows, "per_message": load.per_message, "bytes": received, **watch.result()}), flush=True)


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1], int(sys.argv[2]), [Load(*map(int, text.split("/"))) for text in sys.argv[3:]]))
