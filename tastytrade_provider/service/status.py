"""What the service says of itself: the feed's status, one contract's delta, statistics."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .feed import Feed
from .market import Market
from .playback import state as playback
from .wire import gap_record, iso

if TYPE_CHECKING:
    from .runtime import Runtime

_GAPS_SHOWN = 20


def status(runtime: Runtime) -> dict[str, Any]:
    """The provider's status, with rates and what this service makes of it."""
    now = runtime.clock()
    found = runtime.provider.status()
    journal = getattr(runtime.provider, "journal", None)
    verdict = runtime.readiness()
    return {
        "provider": runtime.provider.name,
        "state": runtime.state,
        "since": iso(found.since_ns),
        "ready": verdict.ready,
        "reason": verdict.reason,
        "problem": runtime.problem,
        "attempts": runtime.attempts,
        "token_level": found.token_level,
        "delta_source": found.delta_source,
        "lag_ms": found.lag_ms,
        "rate": sum(market.counts.rate(now) for market in runtime.markets.values()),
        "trades": found.trades,
        "rejected": found.rejected,
        "duplicates": found.duplicates,
        "orphans": found.orphans,
        "corrections": found.corrections,
        "cancels": found.cancels,
        "excluded": found.excluded,
        "sides": found.sides,
        "reconnects": found.reconnects,
        "gap_count": sum(market.gap_count for market in runtime.markets.values()),
        "gaps": [gap_record(gap) for market in runtime.markets.values() for gap in list(market.gaps)[-_GAPS_SHOWN:]],
        "notes": [*found.notes, *found.failed, *(f"{market.name}: {market.problem}" for market in runtime.markets.values() if market.problem)],
        "contracts": [_contract(market, now) for market in runtime.markets.values()],
        "timeframe": runtime.timeframe,
        "journal": None if journal is None else {"written": journal.written, "lost": journal.lost, "failure": journal.failure},
        "playback": playback(runtime),
    }


def _contract(market: Market, now: int) -> dict[str, Any]:
    counts = market.counts
    return {
        "market": market.name,
        "symbol": market.contract.symbol,
        "streamer_symbol": market.contract.streamer_symbol,
        "tick_size": market.contract.tick_size,
        "last": counts.last_price,
        "last_time": None if market.last_ns is None else iso(market.last_ns),
        "trades": counts.trades,
        "rate": counts.rate(now),
        "shares": counts.shares,
        "complete_since": None if market.covered_ns is None else iso(market.covered_ns),
        "timeframes": sorted(market.feeds),
    }


def delta(market: Market, feed: Feed) -> dict[str, Any]:
    """The bar that is forming (or the last one), CVD with its extremes, and where the sides came from."""
    forming = feed.forming
    rows = feed.last(1)
    update = forming or (rows[0].update if rows else None)
    shown = None if update is None else market.delta_update(feed, update, closed=forming is None)
    named = {"market": market.name, "symbol": market.contract.symbol, "timeframe": str(feed.timeframe)}
    parts = ("closed", "bar", "delta", "cvd", "quality")
    return {
        **named,
        **({part: None for part in parts} if shown is None else {part: shown[part] for part in parts}),
        "trades": market.counts.trades,
        "sides": market.counts.by_source,
        "shares": market.counts.shares,
        "complete_since": None if market.covered_ns is None else iso(market.covered_ns),
        "resets": [iso(time_ns) for time_ns in market.resets.times],
    }


def statistics(runtime: Runtime) -> dict[str, Any]:
    """Counts."""
    hub, now = runtime.hub, runtime.clock()
    uptime_s = 0.0 if runtime.started_ns is None else (runtime.wall_ns() - runtime.started_ns) / 1e9
    return {
        "uptime_s": uptime_s,
        "clients": len(hub.clients),
        "messages_published": hub.published,
        "messages_delivered": hub.delivered,
        "slow_clients_dropped": hub.slow,
        "queued_trades": runtime.watcher.queued,
        "faults": dict(runtime.faults),
        "contracts": [
            {
                **_contract(market, now),
                "gaps": market.gap_count,
                "kept_trades": len(market.recent),
                "feeds": [{"timeframe": timeframe, "closed_bars": feed.closed, "unrepaired": feed.live.unrepaired} for timeframe, feed in market.feeds.items()],
            }
            for market in runtime.markets.values()
        ],
    }


def readiness(runtime: Runtime) -> dict[str, Any]:
    """The verdict, ready for JSON."""
    return asdict(runtime.readiness())
