"""Live bars from candles: one series on a channel of its own, asked for anew after each outage. The shell around `CandleBars`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from ..dxlink.messages import Subscription as Item
from ..errors import ConnectionLost, FeedError, RequestTimeout
from ..model import Bar, Gap, Timeframe
from ..pace import Pace
from ..provider import Subscription
from . import candle_bars, candles
from .bar_feed import hurry_ns, ran_ns
from .candle_bars import CandleBars
from .dialogue import Dialogue
from .history import History
from .requests import Series

_TICK_S = 0.25
_AGAIN_S = 1.0  # after a series that the server ended


class CandleFeed:
    """One subscription of bars being served from candles: `run` until it ends. What ends it is the listener's to know.

    newest    the connection to ask over, None where none stands       note  told in a sentence what happened
    start_ns  our clock -> where the backfill starts, None: from now   wall_ns  our clock
    serving   holds this feed and its listener while it runs
    playback  the pace of a market that is played: its clock stands and runs with it; None: it runs as ours
    """

    def __init__(
        self,
        listener: Subscription[Bar | Gap],
        timeframe: Timeframe,
        hours: str,
        start_ns: Callable[[int], int | None],
        history: History,
        newest: Callable[[], Dialogue | None],
        wall_ns: Callable[[], int],
        note: Callable[[str], object],
        serving: dict[CandleFeed, Subscription[Bar | Gap]],
        playback: Pace | None = None,
    ) -> None:
        self._serving, self._playback = serving, playback
        self._listener, self._history, self._newest, self._note = listener, history, newest, note
        self._timeframe, self._hours, self._start_ns = timeframe, hours, start_ns
        self._symbol = candles.candle_symbol(listener.contract.streamer_symbol, timeframe)
        self._wall_ns, self._ahead_ns = wall_ns, 0
        self._delivery = "HISTORY"
        self._has_stood = False

    def close(self) -> None:
        """Nobody will call `run`."""

    async def run(self) -> None:
        """Serve until the listener leaves, or the server serves no candles at all."""
        error: Exception | None = None
        self._serving[self] = self._listener
        bars: CandleBars | None = None
        try:
            while not self._listener.has_ended:
                dialogue = self._newest()
                if dialogue is None:
                    await asyncio.sleep(_TICK_S)
                    continue
                bars = bars or self._begin()
                await self._follow(dialogue, bars)
        except Exception as failure:  # whatever it was: bars that just stop would be a silent loss
            error = failure
        finally:
            del self._serving[self]
            self._listener.end(error)

    def _begin(self) -> CandleBars:
        history, contract = self._history, self._listener.contract
        now_ns = self._wall_ns()
        self._ahead_ns = now_ns - ran_ns(self._playback)
        split = partial(history.split, contract)
        return CandleBars(contract, self._timeframe, self._hours, self._start_ns(now_ns), now_ns, history.counts, split)

    def _now_ns(self) -> int:
        """Our clock when it began, and the time that has passed since."""
        return self._ahead_ns + ran_ns(self._playback)

    async def _follow(self, dialogue: Dialogue, bars: CandleBars) -> None:
        """One series, until it ends or a newer connection stands."""
        item = Item(candles.CANDLE, self._symbol, from_time_ms=bars.from_time_ms)
        try:
            series = dialogue.follow(candles.CANDLE, candles.FIELDS, item, self._delivery)
        except ConnectionLost:
            return
        try:
            snapshot = await series.result()
            snapshot.take_updates()  # they are in its rows
            rows = snapshot.rows()
            self._history.check_sign(self._listener.contract, self._timeframe, rows)
            self._put(bars.begin(rows, snapshot.start_was_cut, self._now_ns()))
            self._has_stood = True
            self._listener.grant()
            await self._serve(series, dialogue, bars)
        except ConnectionLost:
            return
        except FeedError as refused:
            if not self._has_stood and (self._delivery != "HISTORY" or isinstance(refused, RequestTimeout)):
                raise
            self._note(f"live candles of {self._symbol} are asked for again: {refused}")
            self._delivery = "HISTORY" if self._has_stood else "AUTO"
            await asyncio.sleep(_AGAIN_S)
        finally:
            dialogue.leave_series(series)

    async def _serve(self, series: Series, dialogue: Dialogue, bars: CandleBars) -> None:
        while series.stands and self._newest() is dialogue and not self._listener.has_ended:
            await series.news(_TICK_S)
            bars.hurry_ns = hurry_ns(self._playback, candle_bars.SETTLE_NS)
            self._put(bars.take(series.snapshot.take_updates(), self._now_ns()))
        if series.failure is not None:
            raise series.failure

    def _put(self, items: Sequence[Bar | Gap]) -> None:
        for item in items:
            self._listener.put(item)
