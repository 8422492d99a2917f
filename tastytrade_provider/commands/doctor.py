"""`doctor`: what a user needs, checked one by one, each with what to do. No secret is ever shown, only whether it is set."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import time
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

import click
import orjson

from ..errors import MarketDataError, UsageError
from ..journal.lock import is_locked
from ..settings import SECRETS, Named, Settings
from .config import read

Status = Literal["OK", "WARN", "FAIL"]
CORE = {
    "tastytrade": "13.2.3", "pandas": "2.2.2", "numpy": "1.26.4", "numba": "0.60", "picows": "2.3", "orjson": "3.10", "pydantic-settings": "2.5",
    "PyYAML": "6", "click": "8.1", "rich": "13.7", "pandas-market-calendars": "5.5.0", "h11": "0.14", "wsproto": "1.2",
}  # fmt: skip
"""What is always needed, and the least version of it."""
EXTRAS = {
    "store": ("pyarrow",), "service": ("fastapi", "uvicorn", "prometheus_client"), "ib": ("ib_async",), "talib": ("talib",), "plot": ("matplotlib",),
    "migrate": ("libcst",), "bus": ("nats",),
}  # fmt: skip
"""Extra -> the modules it brings."""
_FOR = {
    "store": "Parquet files", "service": "serve and the page of demo", "ib": "data_provider ib", "talib": "TA-Lib's indicators", "plot": "chart",
    "migrate": "migrate scan and migrate rewrite", "bus": "data_provider bus",
}  # fmt: skip
_NEEDS = {"ib": "ib", "bus": "bus"}  # provider -> the extra it cannot do without
_OLDEST, _NEWEST = 2025, 2035
_SKEW_S = 2.0
_SPACE = 1 << 30


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it stands, and what to do about it ("" where nothing)."""

    status: Status
    name: str
    text: str
    todo: str = ""


def run(*, as_json: bool, timeout_s: float, connect: bool, config_path: str | None) -> int:
    """Run it; see `doctor --help`. 0 where nothing failed, else 1. `connect`: whether the configured provider is tried, for `timeout_s` at most."""
    checks: list[Check] = []
    for check in _all(timeout_s, connect, config_path):
        checks.append(check)
        if not as_json:
            click.echo(f"{check.status:<5} {check.name}: {check.text}" + (f"\n      -> {check.todo}" if check.todo else ""))
    failed = any(check.status == "FAIL" for check in checks)
    if as_json:
        click.echo(orjson.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}, option=orjson.OPT_INDENT_2).decode())
    return int(failed)


def _all(timeout_s: float, connect: bool, config_path: str | None) -> Iterator[Check]:
    yield python()
    yield from packages()
    settings, check = configuration(config_path)
    provider = settings.data_provider if settings is not None else None
    used = {provider, settings.delta_provider, *((settings.ab.primary, settings.ab.shadow) if provider == "ab" else ())} if settings is not None else set()
    yield from extras({_NEEDS[name] for name in used if name in _NEEDS})
    yield check
    yield from secrets(None if settings is None else "tastytrade" in used)
    yield clock()
    yield compiler_cache()
    if settings is not None:
        if settings.journal.enabled:
            yield journal(settings)
        if connect:
            yield from asyncio.run(reachable(settings, timeout_s))


def python() -> Check:
    """The interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036  # whoever has it will see no other message
        return Check("FAIL", "python", found, "install Python 3.11 or later")
    return Check("OK", "python", f"{found} at {sys.executable}")


def packages(version: Callable[[str], str] = importlib.metadata.version) -> Iterator[Check]:
    """What is always needed."""
    good = []
    for name, least in CORE.items():
        try:
            found = version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check("FAIL", name, "not installed", f"pip install '{name}>={least}'")
            continue
        if _numbers(found) < _numbers(least):
            yield Check("FAIL", name, f"{found} is older than {least}", f"pip install '{name}>={least}'")
        else:
            good.append(f"{name} {found}")
    yield Check("OK", "packages", ", ".join(good))


def extras(needed: set[str]) -> Iterator[Check]:
    """What is optional: there, missing, or missing though the configuration needs it."""
    present = []
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        install = f"pip install 'tastytrade-provider[{extra}]'"
        if not missing:
            present.append(extra)
        elif extra in needed:
            yield Check("FAIL", f"extra {extra}", f"{', '.join(missing)} missing, and the configuration needs it", install)
        else:
            yield Check("WARN", f"extra {extra}", f"not installed; only needed for {_FOR[extra]}", f"if you want that: {install}")
    yield Check("OK", "extras", ", ".join(present) or "none installed")


def configuration(config_path: str | None) -> tuple[Settings | None, Check]:
    """The settings, as far as they can be read."""
    path = Path(config_path or "config.yaml")
    is_file = config_path is not None or path.exists()
    try:
        settings = read(path if is_file else None)
    except MarketDataError as error:
        return None, Check("FAIL", "config", str(error), f"correct {path if is_file else 'the environment'}; `config check` says the same")
    if not is_file:
        return settings, Check(
            "WARN", "config", f"no config.yaml here; defaults, data_provider {settings.data_provider}", "write one, or name it with --config"
        )
    return settings, Check("OK", "config", f"{path}: data_provider {settings.data_provider}, {', '.join(settings.symbols)}")


def secrets(needed: bool | None) -> Iterator[Check]:
    """Whether the secrets are set, and from where; never what they are. `needed`: for TastyTrade, None where the configuration could not be read."""
    found = Named.values()
    for key, names in SECRETS.items():
        name = ".".join(map(str, key))
        if key in found:
            yield Check("OK", name, f"set by {found[key][0]}")
        elif key[0] == "tastytrade" and needed is not False:
            todo = f"set {' or '.join(names)} in the environment; `probe` then tells what the login receives"
            yield Check("WARN" if needed is None else "FAIL", name, "not set", todo)
        else:
            yield Check("OK", name, "not set, and not needed")


def clock(now_s: Callable[[], float] = time.time) -> Check:
    """This machine's time, as far as it can be judged alone, and the time zones that sessions need."""
    now = dt.datetime.fromtimestamp(now_s(), dt.UTC)
    if not _OLDEST <= now.year <= _NEWEST:
        return Check("FAIL", "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC", f"set it; sessions are known up to {_NEWEST}")
    try:
        zoneinfo.ZoneInfo("America/Chicago")
    except zoneinfo.ZoneInfoNotFoundError:
        return Check("FAIL", "clock", "the time zone America/Chicago is not known", "pip install tzdata")
    return Check("OK", "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def compiler_cache() -> Check:
    """Where compiled kernels are kept."""
    from ..kernels import run as kernel

    folder = Path(kernel.stats.cache_path or "")  # type: ignore[attr-defined]  # numba's
    parent = next((each for each in (folder, *folder.parents) if each.is_dir()), Path())
    if not os.access(parent, os.W_OK):
        todo = "set NUMBA_CACHE_DIR to a folder that can be written to"
        return Check("WARN", "compiled kernels", f"{parent} cannot be written to: every start compiles anew", todo)
    count = len(list(folder.glob("*.nbc"))) if folder.is_dir() else 0
    if count == 0:
        return Check("WARN", "compiled kernels", "none yet: the first run compiles", "python -m tastytrade_provider.warm compiles them now")
    return Check("OK", "compiled kernels", f"{count} in {folder}")


def journal(settings: Settings) -> Check:
    """Room for the journal, and whether somebody records there."""
    path = settings.journal.path.resolve()
    parent = next(each for each in (path, *path.parents) if each.is_dir())
    free = shutil.disk_usage(parent).free
    if not os.access(parent, os.W_OK):
        return Check("FAIL", "journal", f"{parent} cannot be written to", "choose another journal.path")
    text = f"{path}, {free / 1e9:,.1f} GB free"
    if is_locked(path / "lock"):
        text += "; another process is recording there, so stream and serve need a journal.path of their own, or journal.enabled: false"
    return Check("WARN", "journal", text, "make room: a busy session takes up to a gigabyte") if free < _SPACE else Check("OK", "journal", text)


async def reachable(settings: Settings, timeout_s: float) -> list[Check]:
    """The configured provider: connect, and resolve the first symbol."""
    from ..registry import create_provider

    name, symbol = f"provider {settings.data_provider}", settings.symbols[0]
    found = await _skew(settings) if settings.data_provider == "tastytrade" else []
    try:
        provider = create_provider(settings)
        async with asyncio.timeout(timeout_s):
            async with provider:
                contract = await provider.resolve(symbol)
                problem = provider.status().problem
    except MarketDataError as error:
        todo = "correct what it names" if isinstance(error, UsageError) else _advice(settings)
        return [*found, Check("FAIL", name, f"{type(error).__name__}: {error}", todo)]
    except TimeoutError:
        return [*found, Check("FAIL", name, f"no answer within {timeout_s:g} s", _advice(settings))]
    except Exception as error:  # of others than ours only the kind is told: what they say may hold a secret
        return [*found, Check("FAIL", name, type(error).__name__, _advice(settings))]
    if problem is not None:
        return [*found, Check("FAIL", name, f"connected, and lost again: {problem}", _advice(settings))]
    return [*found, Check("OK", name, f"connects; {symbol} is {contract.symbol}, expiry {contract.expiry or 'none'}")]


async def _skew(settings: Settings) -> list[Check]:
    """This machine's clock beside that of TastyTrade's server."""
    import httpx2
    import tastytrade

    url = settings.tastytrade.api_url or (tastytrade.CERT_URL if settings.tastytrade.is_test else tastytrade.API_URL)
    try:
        async with httpx2.AsyncClient(timeout=5.0) as client:
            began_s = time.time()
            answer = await client.get(url)
            now_s = (began_s + time.time()) / 2
        told = parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5  # whole seconds are told
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, KeyError, ValueError):
        return []  # whether it can be reached is told by the next check
    behind_s = told - now_s
    text = f"{abs(behind_s):.1f} s {'behind' if behind_s > 0 else 'ahead of'} TastyTrade's"
    if abs(behind_s) > _SKEW_S:
        return [Check("WARN", "clock beside the feed", text, "set this machine's clock by NTP: latencies and the end of bars depend on it")]
    return [Check("OK", "clock beside the feed", text)]


def _advice(settings: Settings) -> str:
    return {
        "tastytrade": "check the two secrets and the network; `probe ES` says more",
        "ib": f"start TWS or IB Gateway, let it listen at {settings.ib.host}:{settings.ib.port} (API settings), and use a client id that is free",
        "replay": "check replay.path; `journal info` says what a journal holds",
    }.get(settings.data_provider, "see what it says, or try `demo`, which needs no account")


def _numbers(version: str) -> tuple[int, ...]:
    """A version's leading numbers, to be compared.

    >>> _numbers("13.2.3rc1") >= _numbers("13.2")
    True
    """
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
