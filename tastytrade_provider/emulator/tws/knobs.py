"""What may differ between TWS and the exchange, and how strict it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tastytrade_provider.errors import UsageError

STREAMS = ("Last", "AllLast", "BidAsk", "MidPoint", "MktData", "RealTimeBars", "HistoricalData", "MktDepth")
"""Kinds of subscriptions, in the words of the requests."""


@dataclass(frozen=True)
class TwsKnobs:
    """How the TWS side shows the market. As it stands both brokers show the same prints; times of ticks are whole seconds, as in the protocol.

    aggregate      prints of one price and time, one after the other, come as one print of their summed size
    missing        share (0 to 1) of prints that no tick shows, in ticks live and historical and in `last`; bars have them. `seed` says which; of any
                   1/share prints in a row it is one, so the share is exact
    filtered       share (0 to 1) of the volume that bars and the day's figures leave out; prices and counts stay, ticks have it all
    shift_ticks    every price is higher by so many ticks
    lag_s          everything comes so many seconds of real time later, history included
    dead_after     prints of all contracts after the start (history not counted) behind which no stream says anything more; the socket stays open
    time_zone      that of the TWS login: of times as text with formatDate=1, and of end times without a zone
    l1_period_s    how often market data and bars that are forming may be updated, seconds of real time

    tick_by_tick_lines, market_data_lines, depth_lines   subscriptions of a client at once: beyond them error 10190, 101, 309
    messages_per_s  beyond it error 100, and the socket is closed
    pacing         error 162 for history of bars below one minute and of ticks: the same request within 15 s, six of one contract within 2 s, 60 in 10 min
    not_entitled   roots without market data permissions: errors 354, 10189, 420, 162
    start_on       kinds of subscriptions (`STREAMS`) that start a tape
    accounts, server_version   as told to clients; 157 to 178, lower where the client knows less
    """

    aggregate: bool = False
    missing: float = 0.0
    filtered: float = 0.0
    shift_ticks: int = 0
    lag_s: float = 0.0
    dead_after: int | None = None
    seed: int = 1
    time_zone: str = "US/Central"
    l1_period_s: float = 0.25
    tick_by_tick_lines: int = 5
    market_data_lines: int = 100
    depth_lines: int = 3
    messages_per_s: int = 50
    pacing: bool = False
    not_entitled: tuple[str, ...] = ()
    start_on: tuple[str, ...] = STREAMS
    accounts: tuple[str, ...] = ("DU1234567",)
    server_version: int = 178

    def __post_init__(self) -> None:
        for name in ("missing", "filtered"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"TwsKnobs.{name} is {getattr(self, name)!r}, expected a share from 0 to 1")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and field.name != "shift_ticks" and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"TwsKnobs.{field.name} is {value!r}, expected 0 or more")
        if not 157 <= self.server_version <= 178:
            raise UsageError(f"TwsKnobs.server_version is {self.server_version}, expected 157 to 178")
        if unknown := set(self.start_on) - set(STREAMS):
            raise UsageError(f"TwsKnobs.start_on has {', '.join(sorted(unknown))}; there are {', '.join(STREAMS)}")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise UsageError(f"TwsKnobs.time_zone {self.time_zone!r} is no time zone, expected one such as US/Central") from error
