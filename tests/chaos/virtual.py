"""Hours in seconds: an event loop whose clock jumps to the next timer when nothing is ready. Nothing sleeps, no socket is opened, no thread is started.

The wall clock goes with it (`time.time`, `datetime.now`), so that tokens expire and trades are stamped in the same time. What runs in the loop is
therefore repeatable: the same coroutine with the same seed does the same things in the same order.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

import time_machine

T = TypeVar("T")
_BEGIN_NS = 100_000 * 10**9  # the loop's clock has an origin of its own, as a monotonic clock has


class Standstill(RuntimeError):
    """Everything waits, and no timer is set: in real life this would hang for ever."""


class _Jump(selectors.SelectSelector):
    """Waiting takes no time: it moves the clock."""

    def __init__(self, loop: Callable[[], VirtualLoop]) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Standstill("everything waits, and no timer is set")
        if timeout > 0:
            self._loop().jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`jump` is called by its selector. What is sent to a thread is done at once instead."""

    def __init__(self, wall: time_machine.Traveller) -> None:
        self._now_ns, self._wall = _BEGIN_NS, wall
        self.failures: list[str] = []
        super().__init__(_Jump(lambda: self))
        self.set_exception_handler(self._failed)

    def time(self) -> float:
        """Seconds of a monotonic clock."""
        return self._now_ns / 1e9

    def jump(self, seconds: float) -> None:
        """Both clocks go on."""
        step_ns = max(round(seconds * 1e9), 1)
        self._now_ns += step_ns
        self._wall.shift(step_ns / 1e9)

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """The result, at once."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(contextvars.copy_context().run(func, *args))
        except Exception as error:  # the caller's, as from a thread
            done.set_exception(error)
        return done

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context.get('message')}: {error!r}")


def run(main: Callable[[], Coroutine[Any, Any, T]], *, start_ns: int, seed: int) -> T:
    """What `main` returns, from `start_ns` (UTC nanoseconds) on. AssertionError where something in the loop failed that nobody awaited."""
    random.seed(seed)
    with time_machine.travel(start_ns // 10**9, tick=False) as wall:
        wall.shift(start_ns % 10**9 / 1e9)
        loop = VirtualLoop(wall)
        try:
            asyncio.set_event_loop(loop)
            result = loop.run_until_complete(main())
            left = [task for task in asyncio.all_tasks(loop) if not task.done()]
            assert not left, f"still running at the end: {left}"
            assert not loop.failures, "; ".join(loop.failures)
            return result
        finally:
            asyncio.set_event_loop(None)
            loop.close()
