"""What a page may do with a feed that is played: pause it, let it go on, make a step, change its speed. Live feeds know none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import UsageError
from ..model import Timeframe
from ..pace import Pace
from .market import Market
from .models import PlaybackChange
from .wire import iso

if TYPE_CHECKING:
    from .runtime import Runtime

_SECOND_NS: Final = 1_000_000_000


def state(runtime: Runtime) -> dict[str, Any] | None:
    """How it is played now; None where nothing is. `time`: exchange time up to which it was, None before the first trade."""
    pace = runtime.playback
    if pace is None:
        return None
    at_ns = max((market.last_ns or 0 for market in runtime.markets.values()), default=0)
    name = "ended" if runtime.watcher.has_ended else "paused" if pace.is_paused else "stepping" if pace.is_stepping else "playing"
    return {"state": name, "speed": pace.speed, "speeds": list(pace.speeds), "time": iso(at_ns) if at_ns else None}


async def change(runtime: Runtime, pace: Pace, wanted: PlaybackChange) -> None:
    """Do it. UsageError for what cannot be."""
    if wanted.speed is not None:
        pace.set_speed(wanted.speed)
    if wanted.action == "pause":
        pace.pause()
    elif wanted.action == "resume":
        pace.resume()
    elif wanted.action == "step":
        market = runtime.market(wanted.symbol or runtime.symbols[0])
        pace.step(await _end_of_step(runtime, market, wanted), market.contract.streamer_symbol)


async def _end_of_step(runtime: Runtime, market: Market, wanted: PlaybackChange) -> int:
    """Behind the bar that forms: the first trade from there on closes it. Of bars made of trades nobody knows the end, so they need `seconds`. The very
    first step is to the first trade."""
    if market.last_ns is None:
        return 0
    if wanted.seconds is not None:
        return market.last_ns + int(wanted.seconds * _SECOND_NS)
    timeframe = Timeframe.parse(wanted.timeframe or runtime.timeframe)
    if not timeframe.is_time:
        raise UsageError(f"when a bar of {timeframe} ends is known only by its trades; say for how many seconds to go on")
    forming = (await runtime.feed(market, str(timeframe))).forming
    return market.last_ns + 1 if forming is None else forming.bar.end_ns
