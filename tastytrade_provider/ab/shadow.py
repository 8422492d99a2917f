"""The shadow's process seen from the primary's: started, fed, watched, and started again, without ever being waited for."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import numpy as np

from ..model import TradeBatch
from ..settings import Settings
from .pipe import Message, Watch, framed, read_async

COMPARED: Final = ("time_ns", "ticks", "lots", "side", "side_source", "action")
"""The columns of a trade that the comparison reads; the others stay here."""
_CODE = """
import os, sys
if hasattr(os, "nice"):
    os.nice(10)
sys.path[:] = sys.argv[1:]
from tastytrade_provider.ab.worker import main
main()
"""  # the primary's process goes first, from the beginning: importing is the most work of all
_FLUSH_S = 0.2  # items go out together: one message costs little more than one item, and so it delays less than one trade in a hundred
_BUFFERED = 20_000  # items that may wait for that
_UNREAD = 4 << 20  # bytes that the other process may leave unread
_FROZEN_S = 10.0  # without a beat for this long it is killed; it beats four times a second
_STARTING_S = 60.0  # its first beat may take that long: importing and compiling on a busy machine
_BACKOFF_S = (0.5, 30.0)
_FAULTS = 100
_WARM_S = 1.0  # after both sides are ready: what was on its way to only one of them is left out
_STATE_EVERY_S = 1.0
_FAREWELL_S = 5.0
_LEAVING_S = 2.0  # from the end of its output to its own end


class Shadow:
    """Owns the process. `watch` and `pass_on` cost a few microseconds; what cannot be sent is dropped and counted.

    state     the latest comparisons, pickled by the process       beats     key -> when its newest item arrived (monotonic ns)
    faults    (UTC ns, what happened), the latest hundred          on_items  gets what the shadow serves while the primary is down
    lives     how often the process was started                    step_ns   how fine its exchange times are
    """

    def __init__(self, settings: Settings, labels: tuple[str, str], on_items: Callable[[list[tuple[int, Any]]], None]) -> None:
        self._settings, self._labels, self._on_items = settings, labels, on_items
        self.state: bytes | None = None
        self.beats: dict[int, int] = {}
        self.faults: deque[tuple[int, str]] = deque(maxlen=_FAULTS)
        self.fault_count = self.dropped = self.lives = 0
        self.step_ns = 1
        self._refused: dict[int | None, str] = {}  # what it said is final, of each stream, or None: of the connection
        self._watches: dict[int, Watch] = {}
        self._ready: set[int] = set()
        self._serving: dict[int, int] = {}
        self._buffer: list[tuple[int, int, Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._answer: asyncio.Event | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def refusal(self) -> str | None:
        """Why nothing will ever come from it: its connection, or each stream, was refused with a final error. None: something may."""
        if None in self._refused or (self._watches and self._watches.keys() <= self._refused.keys()):
            return self._refused.get(None) or next(iter(self._refused.values()))
        return None

    def start(self) -> None:
        """Begin; returns at once."""
        if self._task is None:
            self._stopping = False
            self._task = asyncio.create_task(self._supervise(), name="shadow")

    async def stop(self) -> None:
        """Take the last state, and end the process."""
        task, self._task, self._stopping = self._task, None, True
        if task is None:
            return
        self._flush()
        # a process that is only being started, or waits to be, has nothing to say
        _, pending = await asyncio.wait([task], timeout=_FAREWELL_S if self._send(("stop",)) else 0)
        if pending:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def ask(self, timeout_s: float) -> bool:
        """Wait for a state that holds everything passed on so far; False where none came in time."""
        self._flush()
        self._answer = asyncio.Event()
        self._send(("ask",))
        try:
            async with asyncio.timeout(timeout_s):
                await self._answer.wait()
        except TimeoutError:
            return False
        return True

    # -- in

    def watch(self, watch: Watch) -> None:
        """Have a stream followed and compared."""
        self._watches[watch.key] = watch
        self._send(("watch", watch))

    def unwatch(self, key: int) -> None:
        """No longer."""
        self._serving.pop(key, None)
        if self._watches.pop(key, None) is not None:
            self._send(("unwatch", key))

    def ready(self, key: int) -> None:
        """The primary has accepted the stream."""
        self._ready.add(key)
        self._send(("ready", key))

    def pass_on(self, key: int, item: Any) -> None:
        """An item of the primary's."""
        if self._process is None:
            return
        if len(self._buffer) >= _BUFFERED:
            self._drop(1)
            return
        self._buffer.append((key, time.monotonic_ns(), item))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self._flush)

    def serve(self, key: int, since_ns: int) -> None:
        """Let the shadow's items of this stream come here, from those newer than `since_ns` on; also where the process has to be started again."""
        self._serving[key] = since_ns
        self._send(("serve", key, since_ns))

    def beat_of(self, key: int) -> int:
        """When its newest item of a stream arrived (monotonic ns); 0 where none did, or none will any more."""
        return 0 if key in self._refused or None in self._refused else self.beats.get(key, 0)

    def rest(self, key: int) -> None:
        """No longer."""
        self._serving.pop(key, None)
        self._send(("rest", key))

    # -- the pipe

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        items, self._buffer = self._buffer, []
        if items and not self._send(("items", _joined(items))):
            self._drop(len(items))

    def _send(self, message: Message) -> bool:
        """False where the process is not there, or does not read."""
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > _UNREAD:
            return False
        pipe.write(framed(message))
        return True

    def _drop(self, n: int) -> None:
        self.dropped += n

    # -- the process

    async def _supervise(self) -> None:
        wait_s = _BACKOFF_S[0]
        while not self._stopping:
            began = time.monotonic()
            fault = await self._live()
            if self._stopping:
                return
            self._fault(f"{fault}; started again in {wait_s:g} s")
            await asyncio.sleep(wait_s)
            wait_s = _BACKOFF_S[0] if time.monotonic() - began > 60 else min(2 * wait_s, _BACKOFF_S[1])

    async def _live(self) -> str:
        """One life of the process. Returns how it ended."""
        try:
            # its own standard input and output, the code told to search where this process does; no secret on the command line
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _CODE, *sys.path, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
            )
        except OSError as error:
            return f"the shadow's process could not be started: {error}"
        try:
            self._process = process
            self.lives += 1
            self._refused.clear()
            self._send(("start", self._settings, self._labels, self.state, _WARM_S, _STATE_EVERY_S))
            for message in self._greetings():
                self._send(message)
            reason = await self._hear(process)
            if not reason:  # it is about to end, and a kill just then would lose its exit code
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LEAVING_S):
                        await process.wait()
        finally:
            self._process = None
            self._buffer.clear()
            self.beats = {}  # nobody can stand in now
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
            code = await process.wait()
            if process.stdin is not None:
                process.stdin.close()
        return reason or f"the shadow's process died ({'signal ' + str(-code) if code < 0 else 'exit code ' + str(code)})"

    def _greetings(self) -> Iterable[Message]:
        yield from (("watch", watch) for watch in self._watches.values())
        yield from (("ready", key) for key in self._ready if key in self._watches)
        yield from (("serve", key, since_ns) for key, since_ns in self._serving.items())

    async def _hear(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        patience_s = _STARTING_S
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    message = await read_async(process.stdout)
            except TimeoutError:
                return f"the shadow's process was frozen for {patience_s:g} s and was killed"
            if message is None:
                return ""
            patience_s = _FROZEN_S
            self._heard(message)

    def _heard(self, message: Message) -> None:
        what, *content = message
        if what == "beat":
            self.beats = content[0]
        elif what == "state":
            self.state = content[0]
            if self._answer is not None:
                self._answer.set()
        elif what == "trouble":
            text, key, is_final = content
            if is_final:
                self._refused[key] = text
            self._fault(text)
        elif what == "items":
            self._on_items(content[0])
        elif what == "step":
            self.step_ns = content[0]

    def _fault(self, text: str) -> None:
        self.fault_count += 1
        self.faults.append((time.time_ns(), text))


def _joined(items: list[tuple[int, int, Any]]) -> list[tuple[int, Any, Any]]:
    """Batches of trades of one stream as one, with the arrival of each trade: ten times cheaper to send. Other items as they are."""
    batches: dict[int, list[tuple[int, TradeBatch]]] = {}
    found: list[tuple[int, Any, Any]] = []
    for key, at, item in items:
        if isinstance(item, TradeBatch):
            batches.setdefault(key, []).append((at, item))
        else:
            found.append((key, at, item))
    for key, parts in batches.items():
        arrived = np.repeat([at for at, _ in parts], [len(batch) for _, batch in parts])
        found.append((key, arrived, {name: np.concatenate([batch.columns[name] for _, batch in parts]) for name in COMPARED}))
    return found
