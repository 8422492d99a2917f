"""Programs and lines of programs run as users run them: in a thread of their own, on a loopback exchange, at the exchange's time."""

from __future__ import annotations

import ast
import asyncio
import inspect
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ib_async
import pytest
import time_machine
from click.testing import CliRunner

from migration.guide import PATH, Example, examples
from tastytrade_provider.cli import cli
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator
from tastytrade_provider.errors import MarketDataError
from tests.checks.sources import LIMIT_S
from tests.compat.stage import in_a_thread
from tests.migration.world import NOW_NS

GUIDE = PATH.read_text("utf-8")
EXAMPLES = examples(GUIDE)


def of_section(anchor: str, language: str = "python") -> list[Example]:
    """The guide's examples of one section."""
    return [example for example in EXAMPLES if (example.anchor, example.language) == (anchor, language)]


@contextmanager
def at_the_exchange(emulator: Emulator) -> Iterator[None]:
    """The wall clock shows the exchange's time; configurations and IB connections lead to this exchange, whatever address a program names."""
    connect = ib_async.IB.connectAsync

    async def redirected(self: Any, host: str = "", port: int = 0, clientId: int = 1, limit_s: float = 4, *rest: Any, **more: Any) -> Any:
        more.pop("timeout", None)
        return await connect(self, "127.0.0.1", emulator.tws_port, clientId, LIMIT_S, *rest, **more)  # four seconds are short on a busy machine

    with pytest.MonkeyPatch.context() as patch, time_machine.travel(NOW_NS / 1e9, tick=True):
        patch.setattr(ib_async.IB, "connectAsync", redirected)
        patch.setenv("TT_SECRET", CLIENT_SECRET)
        patch.setenv("TT_REFRESH", REFRESH_TOKEN)
        patch.setenv("TTP_TASTYTRADE__API_URL", emulator.api_url)
        patch.setenv("TTP_IB__PORT", str(emulator.tws_port))
        yield


async def run(code: str, name: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run lines of a program, top-level await included, and give the names it has made. What it has connected is closed."""
    return await in_a_thread(lambda: _run(code, name, names))  # type: ignore[no-any-return]


def _run(code: str, name: str, names: dict[str, Any]) -> dict[str, Any]:
    compiled = compile(code, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if not compiled.co_flags & inspect.CO_COROUTINE:
        try:
            exec(compiled, names)
        finally:
            for value in list(names.values()):
                if isinstance(value, ib_async.IB):
                    value.disconnect()
        return names

    async def main() -> None:
        async with asyncio.timeout(LIMIT_S):
            try:
                await eval(compiled, names)
            finally:
                if "provider" in names:
                    await names["provider"].disconnect()

    asyncio.run(main())
    return names


def printed(lines: list[str]) -> dict[str, Callable[..., None]]:
    """A `print` for a program, which keeps the lines."""
    return {"print": lambda *words, **_: lines.append(" ".join(map(str, words)))}


async def command(line: str) -> tuple[int, str]:
    """A line of a shell: variables, then tastytrade-provider. Its exit code and what it printed. `--seconds` and `--minutes` are cut short."""
    words = shlex.split(line)
    with pytest.MonkeyPatch.context() as patch:
        while "=" in words[0]:
            patch.setenv(*words.pop(0).split("=", 1))
        assert words.pop(0) == "tastytrade-provider", line
        for option, value in (("--seconds", "1.5"), ("--minutes", "0.04")):
            if option in words:
                words[words.index(option) + 1] = value
        done = await in_a_thread(lambda: CliRunner().invoke(cli, words, standalone_mode=False))
    if isinstance(done.exception, MarketDataError):
        return 2, f"error: {done.exception}"
    if done.exception is not None:
        raise done.exception
    return done.return_value or 0, done.output


def followed(emulator: Emulator) -> int:
    """How many contracts are followed by trade."""
    feeds = [visitor.feed for visitor in emulator.visitors if visitor.feed is not None]
    ours = sum(line.type == "TimeAndSale" for feed in feeds for lines in feed._by_symbol.values() for line in lines)
    return ours + sum(len(session.streams) for session in emulator.tws.gateway.sessions)
