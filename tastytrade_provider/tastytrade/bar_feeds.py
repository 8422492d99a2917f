"""Subscriptions of live bars being served, and which source each is served from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ..errors import FeedError
from ..grid import Grid
from ..model import Bar, Contract, Gap, Timeframe
from ..pace import Pace
from ..provider import Subscription, backfill_start
from . import candle_bars
from .bar_feed import BarFeed, Join
from .candle_feed import CandleFeed
from .candles import Verdict
from .dialogue import Dialogue
from .history import History
from .intake import Intake
from .ladder_feed import Feed, LadderFeed
from .trades import Trades

_COMPARED_NS = 30 * 60 * 10**9  # of so long before now, candles are compared with trades

Listener = Subscription[Bar | Gap]
StartNs = Callable[[int], int | None]
"""Our clock -> where the backfill starts."""


@dataclass(frozen=True)
class Around:
    """What serving bars takes: trades, history, the newest connection, our clock for a contract, whether it is connected, and somebody to tell."""

    trades: Trades
    history: History
    newest: Callable[[], Dialogue | None]
    now_ns: Callable[[Contract], int]
    is_connected: Callable[[], bool]
    make_intake: Callable[[], Intake]
    subscribe_trades: Callable[[Contract], Any]
    note: Callable[[str], object]
    spread_legs: Any
    delta_source: str
    waits: bool


class BarFeeds:
    """The tasks that serve bars. `len` counts them.

    of_candles  those that are made of candles now, and who listens
    playback    the pace of a market that is played, None for one whose clock runs as ours
    """

    def __init__(self, around: Around) -> None:
        self.of_candles: dict[CandleFeed, Listener] = {}
        self.playback: Pace | None = None
        self._around = around
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def subscribe(self, contract: Contract, timeframe: Timeframe, hours: str, backfill: datetime | timedelta | None) -> Listener:
        """A listener that is served from now on. Raises UnsupportedTimeframe where only candles are to be used and have no such bars, and UsageError."""
        around = self._around
        now_ns = around.now_ns(contract)
        begun_ns = backfill_start(backfill, now_ns)

        def left(_: object) -> None:
            task.cancel()

        def start_ns(now_ns: int) -> int | None:
            return backfill_start(backfill, now_ns)

        listener: Listener = Subscription(contract, wait=around.waits, on_cancel=left, on_failure=around.trades.note_failure)
        feed: Feed
        if around.delta_source == "candle":
            feed = self._of_candle_series(listener, timeframe, hours, start_ns)
        elif around.delta_source == "auto" and timeframe.is_time and not around.waits:
            if begun_ns is None:
                begun_ns = Grid(contract, timeframe, "session_open", now_ns, now_ns).span(now_ns)[0]
            feed = self._by_ladder(listener, timeframe, hours, begun_ns)
        else:
            feed = self._of_trades(listener, timeframe, hours, start_ns)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            feed.close()
            listener.end()  # also where it was cancelled before it began

        task = asyncio.create_task(feed.run(), name=f"bars {contract.symbol} {timeframe}")
        self._tasks.add(task)
        task.add_done_callback(ended)
        return listener

    async def stop(self) -> None:
        """End all of them."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of_trades(self, listener: Listener, timeframe: Timeframe, hours: str, start_ns: StartNs) -> BarFeed:
        around, contract = self._around, listener.contract
        trades = around.subscribe_trades(contract)
        line = around.trades.lines[contract.streamer_symbol]

        def join(now_ns: int) -> Join:
            first_ns = start_ns(now_ns)
            return Join(contract, timeframe, hours, first_ns, max(now_ns, first_ns or 0), around.spread_legs)

        def is_whole() -> bool:
            return around.is_connected() and line.refill_from_ns is None

        return BarFeed(listener, trades, line, around.history, around.make_intake, join, lambda: around.now_ns(contract), is_whole, self.playback)

    def _of_candle_series(self, listener: Listener, timeframe: Timeframe, hours: str, start_ns: StartNs) -> CandleFeed:
        around = self._around
        candle_bars.check(timeframe)
        now_ns = lambda: around.now_ns(listener.contract)  # noqa: E731
        return CandleFeed(listener, timeframe, hours, start_ns, around.history, around.newest, now_ns, around.note, self.of_candles, self.playback)

    def _by_ladder(self, listener: Listener, timeframe: Timeframe, hours: str, from_ns: int) -> LadderFeed:
        around, contract = self._around, listener.contract
        return LadderFeed(
            listener,
            from_ns,
            lambda stage, from_ns: self._of_trades(stage, timeframe, hours, lambda _: from_ns),
            lambda stage, from_ns: self._of_candle_series(stage, timeframe, hours, lambda _: from_ns),
            lambda: around.subscribe_trades(contract).on(lambda _: None),
            lambda: around.trades.lines[contract.streamer_symbol].rung.is_inferred,
            lambda: self._is_sign_confirmed(contract),
            around.note,
        )

    async def _is_sign_confirmed(self, contract: Contract) -> bool:
        """Whether trades have shown that a candle's ask volume is what was bought."""
        history, now_ns = self._around.history, self._around.now_ns(contract)
        if history.sign_of(contract) is Verdict.INCONCLUSIVE:
            with suppress(FeedError):  # without candles it stays what it is
                await history.bars(contract, "1m", f"{np.datetime64(now_ns - _COMPARED_NS, 'ns')}Z", None, "eth", now_ns)
        return history.sign_of(contract) is Verdict.AGREES
