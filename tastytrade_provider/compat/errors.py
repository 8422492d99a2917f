"""What cannot be served, by section of the migration guide; and errors of a provider in IB's codes. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from ib_async import RequestError

from ..errors import (
    AmbiguousContract,
    CapacityExceeded,
    ConnectionLost,
    FeedError,
    MarketDataError,
    NoData,
    NotEntitled,
    NotSupported,
    PacingViolation,
    RequestTimeout,
    SessionConflict,
    UnknownContract,
)

_METHODS: Final = {
    "depth": "reqMktDepth cancelMktDepth reqMktDepthExchanges",
    "contract-details": "reqMatchingSymbols reqMarketRule",
    "sessions": "reqHistoricalSchedule",
    "orders": "placeOrder cancelOrder bracketOrder oneCancelsAll exerciseOptions reqGlobalCancel whatIfOrder trades openTrades orders openOrders fills "
    "executions positions portfolio accountValues managedAccounts pnl pnlSingle accountSummary reqAccountSummary reqAccountUpdates reqAccountUpdatesMulti "
    "reqOpenOrders reqAllOpenOrders reqAutoOpenOrders reqCompletedOrders reqExecutions reqPositions requestFA replaceFA reqPnL cancelPnL reqPnLSingle "
    "cancelPnLSingle",
    "no-equivalent": "reqScannerParameters reqScannerData reqScannerSubscription cancelScannerSubscription reqFundamentalData reqHistogramData "
    "reqNewsBulletins cancelNewsBulletins newsBulletins newsTicks reqNewsProviders reqNewsArticle reqHistoricalNews reqSecDefOptParams "
    "reqSmartComponents calculateImpliedVolatility calculateOptionPrice reqCurrentTime reqUserInfo reqWshMetaData cancelWshMetaData getWshMetaData "
    "reqWshEventData cancelWshEventData getWshEventData",
}
_EVENTS: Final = {
    "orders": "newOrderEvent orderModifyEvent cancelOrderEvent openOrderEvent orderStatusEvent execDetailsEvent commissionReportEvent "
    "updatePortfolioEvent positionEvent accountValueEvent accountSummaryEvent pnlEvent pnlSingleEvent",
    "no-equivalent": "scannerDataEvent tickNewsEvent newsBulletinEvent wshMetaEvent wshEvent",
}
_WHY: Final = {
    "depth": "the feed has no market depth",
    "contract-details": "the feed has neither a search by words nor market rules; reqContractDetails gives the months of a root, and minTick",
    "sessions": "sessions come from a calendar, tastytrade_provider.sessions",
    "orders": "orders and accounts stay with Interactive Brokers: keep a real ib_async.IB for them beside this one",
    "no-equivalent": "nothing in the feed stands for it; keep it on a real ib_async.IB, or drop it",
    "contracts": "keep it on a real ib_async.IB",
    "history-other": "the feed has no such history; TRADES is served",
    "realtime-bars": "bars of five seconds of TRADES are served",
    "ticks": "the feed keeps no such ticks",
}


def _by_name(table: dict[str, str]) -> dict[str, str]:
    return {name: anchor for anchor, names in table.items() for name in names.split()}


METHODS: Final = _by_name(_METHODS)
"""Methods of ib_async's IB that have nothing to stand for them -> anchor in the migration guide. A twin with Async goes the same way."""
EVENTS: Final = _by_name(_EVENTS)
"""Its events that could never come -> anchor."""


def lacks(what: str, anchor: str) -> NotSupported:
    """The error for what the feed cannot give.

    >>> lacks("reqMktDepth", "depth")
    NotSupported('compat.IB does not serve reqMktDepth: the feed has no market depth (migration guide: depth)')
    """
    return NotSupported(f"compat.IB does not serve {what}: {_WHY[anchor]} (migration guide: {anchor})")


FEED_LOST, FEED_BACK, GAP = 1100, 1102, 2103
"""Told by errorEvent for no request: the feed broke off and reconnects; it is back with all subscriptions. GAP, for the request it touches: trades may be
missing. (IB: connectivity lost; restored, data maintained; a market data farm is disconnected.)"""
_OTHER: Final = 320  # "Server error when reading an API client request"; its kin 321 is no failure to ib_async, which would wait for ever
_CODES: Final[tuple[tuple[type[MarketDataError], int], ...]] = (
    (NoData, 162),
    (RequestTimeout, 162),
    (PacingViolation, 162),
    (UnknownContract, 200),
    (AmbiguousContract, 200),
    (NotEntitled, 354),
    (CapacityExceeded, 101),
    (SessionConflict, 10197),
    (ConnectionLost, 504),
)


def code_of(error: Exception) -> int:
    """IB's code that comes nearest to an error.

    >>> code_of(NoData("nothing")), code_of(ValueError())
    (162, 320)
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), _OTHER)


def refused(req_id: int, error: Exception) -> Exception:
    """The error as a request raises it: of its own class, and an ib_async RequestError too, so that both ways to catch it hold."""
    kind: Any = type(error) if isinstance(error, MarketDataError) else FeedError
    made: Exception = _both(kind)(req_id, code_of(error), str(error) or type(error).__name__)
    made.__cause__ = error
    return made


@lru_cache(maxsize=64)
def _both(kind: Any) -> type[Any]:
    def __init__(self: Any, req_id: int, code: int, message: str) -> None:
        Exception.__init__(self, message)
        self.reqId, self.code, self.message, self.status = req_id, code, message, None

    return type(kind.__name__, (kind, RequestError), {"__init__": __init__, "__module__": kind.__module__, "__doc__": kind.__doc__})
