"""`ab`: two providers side by side for a while, and where they differ."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..ab import AbProvider, create
from ..config import load
from ..errors import FeedError, NoData
from ..migration import Result
from ..model import Timeframe
from ..provider import DataProvider, Subscription
from .ending import sigterm_as_ctrl_c
from .migrate_compare import tell

_START_S = 60.0
_LOOK_S = 0.25  # the shadow's process tells four times a second
_QUOTED = 3  # of what befell the two, the latest


def run(*, minutes: float, symbols: tuple[str, ...], timeframe: str | None, out: Path | None, as_json: bool, config_path: str | None) -> int:
    """Run it; see `ab --help`. Returns 1 where a check failed, else 0.

    Raises at once what either side is refused with for good, and in the end NoData where there was nothing to compare.
    """
    settings = load(config_path)
    timeframe = timeframe or settings.timeframe
    # nobody reads what comes, so nobody is to be served by the other side
    provider = create(settings.model_copy(update={"ab": settings.ab.model_copy(update={"failover_s": None})}))
    if not as_json:
        click.echo(f"note: comparing {' and '.join(provider.labels)} for {minutes:g} min", err=True)
    comparing = _Comparing(provider)
    with sigterm_as_ctrl_c():
        results = asyncio.run(comparing.run(symbols or tuple(settings.symbols), timeframe, minutes * 60))
    if comparing.lasted_s < minutes * 60:
        lasted = round(comparing.lasted_s / 60, 2)
        click.echo(f"note: ended after {lasted:g} of {minutes:g} min", err=True)
        minutes = lasted
    results = _said_better(results, timeframe, minutes)
    code = tell(results, out, f"{provider.labels[0]} against {provider.labels[1]}", as_json=as_json)
    if all(result.check("nothing_compared").value for result in results):
        raise NoData("; ".join([comparing.who_sent(), *_happened(results)]))
    return code


class _Comparing:
    """The run, and what is told of it meanwhile.

    lasted_s  for how long the two were compared
    """

    def __init__(self, provider: AbProvider) -> None:
        self.provider = provider
        self.lasted_s = 0.0
        self._subscriptions: list[Subscription[Any]] = []
        self._ended: set[int] = set()
        self._told = 0
        self._shadow_sent = False

    async def run(self, symbols: Sequence[str], timeframe: str, seconds: float) -> list[Result]:
        """The differences after so many seconds of both, or until Ctrl-C."""
        async with self.provider as provider:
            for symbol in symbols:
                contract = await provider.resolve(symbol)
                self._subscriptions += [subscription.on(_ignore) for subscription in _everything(provider, contract, timeframe)]
            try:
                await self._sit_out(seconds)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.uncancel():
                    raise
                # Ctrl-C, once: that was the end, and what has been compared is still told
            if not await provider.shadow.ask(timeout_s=10):
                logging.getLogger(__name__).warning("the shadow's process did not answer; the report is as of its last word")
            return provider.report()

    def who_sent(self) -> str:
        """Where nothing was compared: what there was of each side."""
        n = self._received
        a, b = self.provider.labels
        told = f"{a} sent {n:,} trades, quotes and bars"
        if self._shadow_sent:
            return f"{told} and {b} some too, but nothing of the same time; more --minutes may help" if n else f"{a} sent nothing to compare, {b} did"
        return f"{told}, {b} nothing to compare them with" if n else f"neither {a} nor {b} sent anything to compare; is the market open?"

    @property
    def _received(self) -> int:
        return sum(subscription.stats.trades or subscription.stats.items for subscription in self._subscriptions)

    async def _sit_out(self, seconds: float) -> None:
        """The time counts from the shadow's first item; a shadow that sends none for a minute is not waited for."""
        clock = asyncio.get_running_loop().time
        latest_s, until_s = clock() + _START_S, None
        while until_s is None or self.lasted_s < seconds:
            self._shadow_sent = self._shadow_sent or any(self.provider.shadow.beats.values())
            if not self._shadow_sent and (refusal := self.provider.shadow.refusal) is not None:
                raise FeedError(f"{self.provider.labels[1]}: {refusal}")
            self._tell()
            if until_s is None and (self._shadow_sent or clock() >= latest_s):
                until_s = clock() + seconds
            await asyncio.sleep(_LOOK_S if until_s is None else max(0.0, min(_LOOK_S, until_s - clock())))
            self.lasted_s = 0.0 if until_s is None else min(seconds, seconds - (until_s - clock()))

    def _tell(self) -> None:
        """What befell the shadow since the last time, and the primary's subscriptions that have ended; raises where all did before anything came."""
        shadow = self.provider.shadow
        new, self._told = shadow.fault_count - self._told, shadow.fault_count
        news = [f"{self.provider.labels[1]}: {text}" for _, text in ([*shadow.faults][-new:] if new else [])]
        for at, subscription in enumerate(self._subscriptions):
            if at not in self._ended and subscription.has_ended:
                self._ended.add(at)
                news.append(f"{self.provider.labels[0]}: a subscription of {subscription.contract.symbol} ended: {subscription.error or 'nothing more comes'}")
        for text in news:
            click.echo(f"note: {text}", err=True)
        errors = [subscription.error for subscription in self._subscriptions if subscription.error is not None]
        if errors and len(errors) == len(self._subscriptions) and not self._received:
            raise errors[0]


def _everything(provider: DataProvider, contract: Any, timeframe: str) -> list[Subscription[Any]]:
    """What the primary can serve of a contract."""
    can = provider.capabilities
    found: list[Subscription[Any]] = []
    found += [provider.subscribe_trades(contract)] if can.trades else []
    found += [provider.subscribe_quotes(contract)] if can.quotes else []
    found += [provider.subscribe_bars(contract, timeframe)] if can.bars else []
    return found


def _said_better(results: list[Result], timeframe: str, minutes: float) -> list[Result]:
    """Where there were prints and no bars because the time was too short for one, say so."""
    frame = Timeframe.parse(timeframe)
    traded = {result.symbol for result in results if not result.check("nothing_compared").value}
    is_short = not frame.is_intraday or minutes * 60e9 < 2 * frame.ns  # the first bar that both saw whole begins with the next one

    def better(result: Result) -> Result:
        if not (is_short and result.symbol.removesuffix(f" {timeframe}") in traded and result.check("nothing_compared").value):
            return result
        reason = f"no whole {timeframe} bar closed in {minutes:g} min"
        return replace(result, checks=tuple(replace(one, reason=reason) if one.name == "nothing_compared" else one for one in result.checks))

    return [better(result) for result in results]


def _happened(results: list[Result]) -> list[str]:
    """The latest of what befell either side."""
    found = dict.fromkeys(f"{event['side']}: {event['text']}" for result in results for event in result.facts["health"]["events"])
    return list(found)[-_QUOTED:]


def _ignore(item: object) -> None:
    """The program of this command does nothing: only the comparison looks at what comes."""
