"""Prometheus metrics, read from a runtime when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .counts import BUCKETS_S, Histogram
from .market import Market

if TYPE_CHECKING:
    from ..provider import ProviderStatus
    from .runtime import Runtime

PREFIX: Final = "tastytrade_provider"

_BY_CONTRACT: Final[tuple[tuple[str, str, Callable[[Market], float]], ...]] = (
    ("trades", "Trades received.", lambda market: market.counts.trades),
    ("gaps", "Intervals in which trades may be missing.", lambda market: market.gap_count),
)
_BY_PROVIDER: Final[tuple[tuple[str, str, Callable[[ProviderStatus], float]], ...]] = (
    ("rejected_rows", "Rows of the feed that could not be read.", lambda status: status.rejected),
    ("duplicate_trades", "Trades received before, and ignored.", lambda status: status.duplicates),
    ("orphan_changes", "Corrections and cancels of trades never seen.", lambda status: status.orphans),
    ("corrected_trades", "Corrections applied.", lambda status: status.corrections),
    ("cancelled_trades", "Cancels applied.", lambda status: status.cancels),
    ("reconnects", "Times the feed's connection was made again.", lambda status: status.reconnects),
)
_STATES: Final[tuple[tuple[str, str, Callable[[Runtime], float]], ...]] = (
    ("feed_connected", "1 while the feed is connected.", lambda runtime: runtime.state == "connected"),
    ("feed_ready", "1 while the feed is fresh enough to trade on.", lambda runtime: runtime.readiness().ready),
    ("queued_trades", "Trades received and not entered yet.", lambda runtime: runtime.watcher.queued),
    ("websocket_clients", "WebSocket clients connected.", lambda runtime: len(runtime.hub.clients)),
    ("websocket_queued_messages", "Messages waiting for all clients together.", lambda runtime: sum(client.waiting for client in runtime.hub.clients)),
)
_TOTALS: Final[tuple[tuple[str, str, Callable[[Runtime], float]], ...]] = (
    ("connection_attempts", "Attempts to start the provider again; its own reconnects are in its notes.", lambda runtime: runtime.watcher.attempts_ever),
    ("websocket_messages", "Messages sent to WebSocket clients.", lambda runtime: runtime.hub.delivered),
    ("websocket_slow_clients", "Clients dropped because they did not read.", lambda runtime: runtime.hub.slow),
    ("dropped_trades", "Trades dropped because this service was slow.", lambda runtime: runtime.watcher.dropped),
    ("faults", "Errors of indicators and contracts that were kept from the rest.", lambda runtime: sum(runtime.faults.values())),
)


class RuntimeCollector(Collector):
    """All metrics of one runtime. No value is kept here, and no label holds anything but names of contracts, timeframes and sources."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead: registering must not need a running feed."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Everything, now."""
        runtime = self._runtime
        # ES and ESZ6 may both be watched, and a roll may bring it about: two samples of one name would spoil the scrape
        status, markets = runtime.provider.status(), [*{market.contract.symbol: market for market in reversed(runtime.markets.values())}.values()]
        for name, text, of_market in _BY_CONTRACT:
            yield _counter(name, text, ("symbol",), [((market.contract.symbol,), of_market(market)) for market in markets])
        sides = [((market.contract.symbol, source), n) for market in markets for source, n in market.counts.by_source.items()]
        yield _counter("sided_trades", "Trades by where their side came from.", ("symbol", "source"), sides)
        closed = [((market.contract.symbol, timeframe), feed.closed) for market in markets for timeframe, feed in market.feeds.items()]
        yield _counter("closed_bars", "Bars closed.", ("symbol", "timeframe"), closed)
        for name, text, of_status in _BY_PROVIDER:
            yield _counter(name, text, (), [((), of_status(status))])
        for name, text, of_runtime in _TOTALS:
            yield _counter(name, text, (), [((), of_runtime(runtime))])
        for name, text, of_runtime in _STATES:
            yield GaugeMetricFamily(f"{PREFIX}_{name}", text, float(of_runtime(runtime)))
        yield _histogram("feed_lag_seconds", "From a trade at the exchange to its arrival here.", markets, lambda market: market.counts.lag)
        yield _histogram("publish_delay_seconds", "From a trade's arrival to the message about it.", markets, lambda market: market.delay)
        journal = getattr(runtime.provider, "journal", None)
        if journal is not None:
            yield _counter("journal_records", "Records written to the journal.", (), [((), journal.written)])
            yield _counter("journal_lost_messages", "Messages that could not be written to the journal.", (), [((), journal.lost)])


def _counter(name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], Any]]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for values, n in samples:
        family.add_metric(values, float(n))
    return family


def _histogram(name: str, text: str, markets: list[Market], of: Callable[[Market], Histogram]) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}_{name}", text, labels=("symbol",))
    for market in markets:
        found = of(market)
        bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
        family.add_metric((market.contract.symbol,), list(zip(bounds, found.cumulative(), strict=True)), found.sum_s)
    return family
