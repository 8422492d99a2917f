"""Trades made of conflated events, for logins that do not receive every print."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from ..aggressor import AggressorClassifier
from ..model import Contract, Quote, TradeBatch, TradeFlag
from ..sessions import session_at
from .quotes import LastTrade

Inferred = Literal["quote_trade", "tick_rule"]


class FallbackTrades:
    """Trades out of conflated Trade events, for the sources quote_trade and tick_rule.

    Each Trade event that raises dayVolume becomes one trade: its price, its time, and the volume since the event before. So volumes add up to
    dayVolume even where events were conflated away, at the cost that several trades may share one price and side. The side comes from EMO against
    the last quote that arrived before it, else from the tick rule (quote_trade), or from the tick rule alone (tick_rule), and is labelled so.
    The first event only says where the day stands.

    with_quotes  whether sides come from quotes first
    resets       daily resets of dayVolume met; what traded after the last event before one is not told by the feed
    corrections  falls of dayVolume inside a day: nothing is taken back, and volume counts again from the former high
    unusable     events without dayVolume or price; their volume comes with the next event that has both
    """

    def __init__(self, contract: Contract, source: Inferred = "quote_trade") -> None:
        self.contract = contract
        self.sides = AggressorClassifier("apart")
        self.resets = self.corrections = self.unusable = 0
        self.with_quotes = source == "quote_trade"
        self._quote: tuple[float, float] = (math.nan, math.nan)
        self._volume: float | None = None
        self._last: LastTrade | None = None

    def broke(self) -> None:
        """The connection was lost: what traded until it is back is a gap, not one large trade."""
        self._volume, self._last, self._quote = None, None, (math.nan, math.nan)

    def take(self, events: Iterable[Quote | LastTrade]) -> TradeBatch | None:
        """The trades of quotes and trades of this contract in order of arrival; None where there are none."""
        rows = []
        for event in events:
            if isinstance(event, Quote):
                if self.with_quotes:
                    self._quote = math.nan if event.bid is None else event.bid, math.nan if event.ask is None else event.ask
                continue
            size = self._traded(event)
            if size > 0 and event.price is not None:
                flags = TradeFlag.VALID_TICK | (TradeFlag.EXTENDED_HOURS if event.extended_hours else TradeFlag(0))
                rows.append((event.time_ns, event.received_ns, event.price, size, *self._quote, int(flags)))
        if not rows:
            return None
        columns = dict(zip(("time_ns", "received_ns", "price", "size", "bid", "ask", "flags"), map(np.array, zip(*rows, strict=True)), strict=True))
        return self.sides.classify(TradeBatch(self.contract, columns))

    def _traded(self, event: LastTrade) -> float:
        """Contracts traded since the event before, and the new standing."""
        volume, before, last = event.day_volume, self._volume, self._last
        if volume is None:
            self.unusable += 1
            return 0.0
        if before is None or last is None:
            self._volume, self._last = volume, event
            return 0.0
        if volume < before:
            if not self._was_reset(event, last):
                self.corrections += 1
                return 0.0
            self.resets += 1
            self._volume, self._last, before = 0.0, event, 0.0
        if volume == before:
            return 0.0
        if event.price is None:
            self.unusable += 1
            return 0.0
        self._volume, self._last = volume, event
        return volume - before

    def _was_reset(self, event: LastTrade, last: LastTrade) -> bool:
        """Whether dayVolume fell because a day began.

        dxFeed's javadoc of Trade: a daily reset outside trading hours sets dayVolume to zero and dayTurnover to NaN and leaves the rest. Where that
        event was conflated away, the feed's day or our calendar's session tells.
        """
        is_new_day = None not in (event.day_id, last.day_id) and event.day_id != last.day_id
        if is_new_day or (event.day_volume == 0 and event.day_turnover is None):
            return True
        calendar = self.contract.calendar
        return session_at(calendar, event.received_ns) != session_at(calendar, last.received_ns)
