"""The shadow's process: the shadow provider, and the comparison of what it hands over with what the primary's process sends.

Everything that costs time is done here, so that the primary's process pays only for passing its items on. Run as `python -m tastytrade_provider.ab.worker`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import queue
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO

from ..migration import Comparison
from ..model import Bar, Contract, Gap, Quote, TradeBatch
from ..provider import DataProvider, Subscription
from ..registry import create_provider
from ..settings import Settings
from .pipe import Message, Watch, framed, read
from .stream import PRIMARY, SHADOW, Stream

_BEAT_EVERY_S = 0.25
_UNSENT = 256  # messages that may wait for the primary's process to read
_RETRY_S = (0.5, 30.0)


class Worker:
    """Reads what the primary's process says, runs the shadow, and answers with beats and states."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._outbox: queue.Queue[bytes | None] = queue.Queue(_UNSENT)
        self._streams: dict[int, Stream] = {}
        self._comparisons: dict[str, Comparison] = {}
        self._provider: DataProvider | None = None
        self._connected = asyncio.Event()
        self._over = asyncio.Event()
        self._reconnects = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._troubles: dict[int | None, str] = {}  # of each stream, or None: of the connection
        self._state_every_s = 1.0

    async def run(self) -> None:
        """Until the other side says stop, or is gone."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), daemon=True, name="from the primary").start()
        writer = threading.Thread(target=self._speak, daemon=True, name="to the primary")
        writer.start()
        self._tasks.append(asyncio.create_task(self._tick()))
        await self._over.wait()
        self._send_state()
        for task in [*self._tasks, *(stream.task for stream in self._streams.values() if stream.task)]:
            task.cancel()
        if self._provider is not None:
            with suppress(Exception):  # it is the end, whatever it says
                async with asyncio.timeout(5):
                    await self._provider.disconnect()
        with suppress(queue.Full):
            self._outbox.put(None, timeout=2)
        await asyncio.to_thread(writer.join, 2)

    # -- the pipe

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        taken = threading.Event()
        while (message := read(self._source)) is not None:
            # one at a time: when this process cannot keep up the pipe fills, and the other side drops and counts
            loop.call_soon_threadsafe(self._receive, message, taken)
            taken.wait()
            taken.clear()
        loop.call_soon_threadsafe(self._over.set)

    def _speak(self) -> None:
        with suppress(OSError):  # nobody is there any more
            while (data := self._outbox.get()) is not None:
                self._sink.write(data)
                self._sink.flush()

    def _send(self, message: Message) -> bool:
        try:
            self._outbox.put_nowait(framed(message))
        except queue.Full:
            return False
        return True

    def _send_state(self) -> None:
        self._send(("state", pickle.dumps(self._comparisons, pickle.HIGHEST_PROTOCOL)))

    def _receive(self, message: Message, taken: threading.Event) -> None:
        try:
            getattr(self, f"_on_{message[0]}")(*message[1:])
        finally:
            taken.set()

    # -- what the other side says

    def _on_start(self, settings: Settings, labels: tuple[str, str], state: bytes | None, warm_s: float, state_every_s: float) -> None:
        self._labels, self._limits, self._warm_s, self._state_every_s = labels, settings.ab.thresholds, warm_s, state_every_s
        if state:
            self._comparisons = pickle.loads(state)
        self._tasks.append(asyncio.create_task(self._connect(settings)))

    def _on_watch(self, watch: Watch) -> None:
        comparison = self._comparisons.get(watch.name)
        if comparison is None:
            comparison = Comparison(watch.name, watch.contract.tick_size, self._labels, limits=self._limits)
            self._comparisons[watch.name] = comparison
        comparison.expect(watch.kind)
        stream = self._streams[watch.key] = Stream(watch, comparison, self._warm_s)
        stream.task = asyncio.create_task(self._follow(stream))

    def _on_unwatch(self, key: int) -> None:
        stream = self._streams.pop(key, None)
        if stream is not None and stream.task is not None:
            stream.task.cancel()

    def _on_ready(self, key: int) -> None:
        if key in self._streams:
            self._streams[key].ready[PRIMARY] = True

    def _on_items(self, items: list[tuple[int, Any, Any]]) -> None:
        for key, arrived_ns, item in items:
            stream = self._streams.get(key)
            if stream is not None:
                stream.take(PRIMARY, TradeBatch.of(stream.watch.contract, item) if isinstance(item, dict) else item, arrived_ns)

    def _on_serve(self, key: int, since_ns: int) -> None:
        if key in self._streams:
            stream = self._streams[key]
            stream.serving = True
            self._send(("items", [(key, item) for item in stream.after(since_ns)]))

    def _on_rest(self, key: int) -> None:
        if key in self._streams:
            self._streams[key].serving = False

    def _on_ask(self) -> None:
        self._send_state()

    def _on_stop(self) -> None:
        self._over.set()

    # -- the shadow

    async def _connect(self, settings: Settings) -> None:
        wait_s = _RETRY_S[0]
        while True:
            try:
                self._provider = provider = create_provider(settings)
                await provider.connect()
                self._send(("step", provider.capabilities.time_step_ns))
                self._connected.set()
                return
            except Exception as error:  # whatever a shadow does, it is told and tried again
                self._tell(f"cannot connect: {_in_words(error)}", None, is_final=_is_final(error) or _nobody_listens(error))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_S[1])

    async def _follow(self, stream: Stream) -> None:
        wait_s, what, key = _RETRY_S[0], f"{stream.watch.kind} of {stream.watch.contract.symbol}", stream.watch.key
        while True:
            await self._connected.wait()
            try:
                contract = await self._same(stream.watch.contract)
                subscription = self._subscribe(stream.watch, contract)
                try:
                    subscription.on(lambda item: self._take(stream, item))
                    await subscription.ready()
                    stream.ready[SHADOW] = True
                    await subscription.ended()
                finally:
                    subscription.cancel()
                self._tell(f"{what} have ended", key)
            except Exception as error:  # as above
                self._tell(f"{what}: {_in_words(error)}", key, is_final=_is_final(error))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_S[1])

    async def _same(self, contract: Contract) -> Contract:
        assert self._provider is not None
        found = await self._provider.resolve(contract.symbol)
        if found.tick_size != contract.tick_size:
            raise ValueError(f"its tick size is {found.tick_size:g}, the primary's {contract.tick_size:g}")
        return found

    def _subscribe(self, watch: Watch, contract: Contract) -> Subscription[Any]:
        assert self._provider is not None
        if watch.kind == "bars":
            return self._provider.subscribe_bars(contract, watch.timeframe, hours=watch.hours)
        return self._provider.subscribe_trades(contract) if watch.kind == "trades" else self._provider.subscribe_quotes(contract)

    def _take(self, stream: Stream, item: Any) -> None:
        arrived_ns = time.monotonic_ns()
        item = _relabelled(item, stream.watch.contract)
        stream.beat_ns = arrived_ns
        stream.take(SHADOW, item, arrived_ns)
        if not isinstance(item, Gap):
            stream.keep(item)
        if stream.serving and not self._send(("items", [(stream.watch.key, item)])):
            stream.comparison.note(SHADOW, "dropped", "an item was not served: the primary's process did not read it in time")

    def _tell(self, text: str, key: int | None, *, is_final: bool = False) -> None:
        if text != self._troubles.get(key):  # the same again and again is one fault that lasts
            self._troubles[key] = text
            self._send(("trouble", text, key, is_final))

    async def _tick(self) -> None:
        told_s = time.monotonic()
        while True:
            await asyncio.sleep(_BEAT_EVERY_S)
            now_s = time.monotonic()
            for stream in self._streams.values():
                stream.advance(now_s)
            self._send(("beat", {key: stream.beat_ns for key, stream in self._streams.items()}))
            if now_s - told_s >= self._state_every_s:
                told_s = now_s
                self._count_reconnects()
                self._send_state()

    def _count_reconnects(self) -> None:
        if self._provider is None or not self._connected.is_set():
            return
        reconnects = self._provider.status().reconnects
        for comparison in self._comparisons.values() if reconnects > self._reconnects else ():
            comparison.note(SHADOW, "reconnect", f"{reconnects} reconnects so far", n=reconnects - self._reconnects)
        self._reconnects = reconnects


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_final(error: Exception) -> bool:
    """Whether asking again changes nothing."""
    return not getattr(error, "retryable", False)


def _nobody_listens(error: BaseException | None) -> bool:
    """Whether a connection was refused outright: TWS that does not run."""
    while error is not None:
        # of several addresses of a host, asyncio tells only the texts
        if isinstance(error, ConnectionRefusedError) or (isinstance(error, OSError) and f"[Errno {errno.ECONNREFUSED}]" in str(error)):
            return True
        error = error.__cause__
    return False


def _relabelled(item: Any, contract: Contract) -> Any:
    """The shadow's item as one of the primary's contract."""
    if isinstance(item, TradeBatch):
        return TradeBatch.of(contract, item.columns)
    return replace(item, contract=contract) if isinstance(item, Bar | Quote | Gap) else item


def main() -> None:
    """Run, speaking over standard input and output; what anybody prints goes to the error output."""
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C, and who stops a service, reach both; the primary's process says when it is over
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_run(sys.stdin.buffer, sink))
    os._exit(0)  # the thread that listens cannot be told to stop, and the interpreter would not end in peace while it reads


async def _run(source: BinaryIO, sink: BinaryIO) -> None:
    await Worker(source, sink).run()


if __name__ == "__main__":
    main()
