"""`demo`: a loopback exchange and the provider on it in one process, shown as a live table or summed up as JSON."""

from __future__ import annotations

import asyncio
import secrets
import socket
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import click
import orjson
from pydantic import SecretStr

from ..demo import PAST_NS, DemoProvider, source
from ..errors import MarketDataError
from ..follow import Following
from ..indicators import IndicatorManager
from ..model import Contract, Gap, Roll, TradeBatch
from ..provider import Subscription
from ..sessions import session_at
from ..settings import ServiceSettings, Settings
from ..warm import warm_up
from ..watch import Watched
from .config import read
from .show import as_json, show

_PAST_S = 15.0


def run(
    *,
    tape: Path | None,
    speed: float | Literal["max"] | None,
    symbol: str | None,
    tick_size: float | None,
    size_step: float | None,
    calendar: str | None,
    seed: int | None,
    timeframe: str | None,
    seconds: float | None,
    infer_sides: bool,
    no_browser: bool,
    as_json: bool,
    config_path: str | None,
) -> None:
    """Run it; see `demo --help`."""
    settings = read(config_path)
    chosen = tape or settings.demo.tape
    market = source(
        chosen, seed=settings.demo.seed if seed is None else seed, symbol=symbol, tick_size=tick_size, size_step=size_step, calendar=calendar, past_ns=PAST_NS
    )
    for contract in market.contracts:
        session_at(contract.calendar, market.start_ns)  # a calendar that does not exist is told before anything is drawn
    warm_up()
    pace = speed or settings.demo.speed
    clock_speed = pace if market.is_endless and pace != "max" else None
    with TemporaryDirectory() as folder:
        truth = {"truth_path": Path(folder, "truth.jsonl")} if infer_sides else {}
        provider = DemoProvider(market, speed=pace, infer_sides=infer_sides, past_ns=PAST_NS if market.is_endless else 0, **truth)
        frame = timeframe or settings.timeframe
        if not (no_browser or as_json or infer_sides or pace == "max") and _has_service():
            _page(provider, settings, frame, seconds, clock_speed)
        else:
            asyncio.run(_demo(provider, frame, settings.indicators, seconds, clock_speed, infer_sides, as_json))


def _has_service() -> bool:
    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        click.echo(f"note: the page needs {', '.join(missing)}: pip install 'tastytrade-provider[service]'; here is the terminal", err=True)
    return not missing


def _page(provider: DemoProvider, settings: Settings, timeframe: str, seconds: float | None, clock_speed: float | None) -> None:
    """The page in a browser, and the same market as a table in the terminal."""
    from .serve import demo_runtime, serve

    tasks: list[asyncio.Task[None]] = []
    settings, key = _with_key(settings)

    def told(url: str) -> None:
        click.echo(f"order flow at {url}  (Ctrl-C ends it)")
        if key:
            click.echo(f"from a page of this address it can be paused too: {url}{key}")
        tasks.append(asyncio.get_running_loop().create_task(_table(provider, timeframe, settings.indicators), name="terminal"))
        if not webbrowser.open(url + key):
            click.echo("no browser could be opened here; open the address yourself")

    serve(demo_runtime(settings, provider, timeframe, speed=clock_speed), told, port=_free(settings.service), seconds=seconds)
    for task in tasks:
        error = task.exception() if task.done() and not task.cancelled() else None
        if error is not None and not isinstance(error, MarketDataError):  # those say that the provider was closed while the table was being set up
            raise error


def _with_key(settings: Settings) -> tuple[Settings, str]:
    """Settings in which something can be changed, and what the page's address takes for it: where no token is configured, one that is good for this run,
    in the fragment, which no browser sends to anybody. A configured one is asked for by the page, and never shown."""
    token = settings.service.token
    if token is not None and token.get_secret_value().strip():
        return settings, ""
    made = secrets.token_urlsafe(12)
    return settings.model_copy(update={"service": settings.service.model_copy(update={"token": SecretStr(made)})}), f"#token={made}"


def _free(service: ServiceSettings) -> int:
    """The configured port, or where that is taken any free one."""
    with socket.socket() as probe:
        try:
            probe.bind((service.host, service.port))
        except OSError:
            return 0
    return service.port


async def _table(provider: DemoProvider, timeframe: str, indicators: Sequence[str]) -> None:
    while not provider.is_connected:  # noqa: ASYNC110  (the service connects it, in a moment; a provider has no event for that)
        await asyncio.sleep(0.05)
    watched = await _watched(provider, timeframe, indicators)
    trades = [_trades(provider, one.contract).on(one.add) for one in watched]
    await show(watched, trades, provider, _title(provider, timeframe), seconds=None, quiet=False, clock_speed=None)  # which may be paused


def _title(provider: DemoProvider, timeframe: str) -> str:
    return f"{'made-up market' if provider.source.is_endless else 'tape'} on a loopback exchange, {timeframe} bars"


async def _watched(provider: DemoProvider, timeframe: str, indicators: Sequence[str]) -> list[Watched]:
    manager = IndicatorManager()
    return [Watched(await provider.resolve(contract.symbol), timeframe, manager, indicators) for contract in provider.source.contracts]


def _trades(provider: DemoProvider, contract: Contract) -> Following | Subscription[TradeBatch | Gap | Roll]:
    """A tape from its first trade on; of a market that began earlier the session so far, as the page has it."""
    return provider.follow_trades(contract) if provider.source.is_endless else provider.subscribe_trades(contract)


async def _past(trades: Sequence[Following | Subscription[TradeBatch | Gap | Roll]]) -> None:
    """Wait until the session so far has come, or will not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PAST_S):
            while any(isinstance(one, Following) and one.covered_ns is None and one.problem is None for one in trades):  # noqa: ASYNC110  (no event for it)
                await asyncio.sleep(0.02)


async def _demo(
    provider: DemoProvider, timeframe: str, indicators: Sequence[str], seconds: float | None, clock_speed: float | None, infer_sides: bool, json: bool
) -> None:
    sides: dict[tuple[str, int], int] = {}
    async with provider:
        watched = await _watched(provider, timeframe, indicators)

        def note(item: TradeBatch | Gap | Roll) -> None:
            if isinstance(item, TradeBatch):
                symbols = repeat(item.contract.streamer_symbol, len(item))
                sides.update(zip(zip(symbols, item.index.tolist(), strict=True), item.side.tolist(), strict=True))

        trades = []
        for one in watched:
            trades.append(_trades(provider, one.contract).on(one.add))
            if infer_sides:
                provider.subscribe_trades(one.contract).on(note)
        await _past(trades)  # the seconds count from there
        await show(watched, trades, provider, _title(provider, timeframe), seconds=seconds, quiet=json, clock_speed=clock_speed)
        for text in getattr(provider.source, "assumed", ()):
            click.echo(f"note: {text}", err=True)
    agreements = _agreements(provider.emulator.truth, sides) if infer_sides else {}
    by_symbol = {one.contract.symbol: agreements.get(one.contract.streamer_symbol, _Agreement()) for one in watched}
    if json:
        more = {symbol: {"agreement": asdict(agreement)} for symbol, agreement in by_symbol.items()} if infer_sides else {}
        as_json(watched, provider, single=not provider.source.is_endless, more=more)
    elif infer_sides:
        for symbol, agreement in by_symbol.items():
            click.echo(f"{symbol}: inferred sides agree with the exchange's flag on {agreement.agreed:,} of {agreement.compared:,} trades")


@dataclass(slots=True)
class _Agreement:
    """How many inferred sides are those of the exchange, over the trades for which it gave one."""

    compared: int = 0
    agreed: int = 0


def _agreements(truth: Path, sides: Mapping[tuple[str, int], int]) -> dict[str, _Agreement]:
    """By streamer symbol, over the trades that were handed over."""
    flags = {"BUY": 1, "SELL": -1}
    found: dict[str, _Agreement] = {}
    with truth.open("rb") as lines:
        for line in lines:
            trade = orjson.loads(line)
            key = trade["symbol"], trade["index"]
            if trade["side"] in flags and trade["type"] == "NEW" and key in sides:
                one = found.setdefault(trade["symbol"], _Agreement())
                one.compared += 1
                one.agreed += flags[trade["side"]] == sides[key]
    return found
