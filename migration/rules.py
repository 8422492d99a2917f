"""What stands in programs for Interactive Brokers, and what becomes of it: one row per kind of call site.

The scanner finds these, the codemod acts on them, and the guide's table is printed from them, so the three cannot disagree. Where several rows
catch the same call, the first whose condition fits counts. A row reads: rule, class, library and kind, names; what it is on `compat.IB`, on
`DataProvider`, the guide's section; the advice, and a condition on an argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .rule import COMPUTED, Api, Kind, Only, Rule, When, row

_NO_HISTORY: Final = (
    *("BID_ASK", "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "FEE_RATE", "AGGTRADES"),
    *("YIELD_ASK", "YIELD_BID", "YIELD_BID_ASK", "YIELD_LAST"),
)
_DAYS: Final = ("1 day", "1 days", "1D", "1d", "1 week", "1 weeks", "1W", "1w", "1 month", "1 months", "1M")
_QUOTES: Final = ("MIDPOINT", "BID", "ASK")
_TRUE: Final = ("True", "1")

# fmt: off
CALL_SITES: Final[tuple[Rule, ...]] = (
    # The connection
    row("ib-object", "Auto", "ib class", "IB",
        "IB() of tastytrade_provider.compat", 'create_provider("config.yaml")', "connection",
        "Takes its login from the configuration."),
    row("ib-subclass", "Assist", "ib subclass", "IB",
        "subclass compat.IB", "hold a provider", "connection",
        "Works where only public methods are used; hold the object, do not extend it."),
    row("connect", "Auto", "ib method", "connect*",
        "unchanged", "await provider.connect()", "connection",
        "No host, port or client id: those of the call are not used."),
    row("disconnect", "Auto", "ib method", "disconnect",
        "unchanged", "await provider.disconnect()", "connection",
        "Same meaning."),
    row("is-connected", "Auto", "ib method", "isConnected",
        "unchanged", "provider.is_connected", "connection",
        "An attribute on the interface, not a method."),
    row("connection-event", "Auto", "ib event", "connectedEvent disconnectedEvent timeoutEvent",
        "unchanged", "provider.status()", "outages",
        "After an outage subscriptions come back by themselves: remove code that makes them anew."),
    row("error-event", "Assist", "ib event", "errorEvent",
        "unchanged", "typed exceptions", "errors",
        "Errors are raised where they happen and carry a type; on compat.IB IB's nearest codes come (162, 200, 354, 1100, 1102 ...)."),
    row("settings", "Assist", "ib attribute", "RaiseRequestErrors RequestTimeout MaxSyncedSubAccounts TimezoneTWS",
        "RaiseRequestErrors is True unless set", "none", "errors",
        "Requests raise and have a time-out; times are aware and in UTC; on compat.IB TimezoneTWS sets the zone of bar times."),
    row("internals", "Manual", "ib attribute", "client wrapper",
        "none", "none", "internals",
        "Reaches below IB's public methods; nothing stands for it."),
    row("gateway", "Manual", "ib class", "IBC Watchdog",
        "none", "none", "connection",
        "No gateway is to be started or watched: delete it."),
    row("event-loop", "Assist", "ib method", "sleep run waitOnUpdate loopUntil schedule timeRange* waitUntil setTimeout",
        "unchanged", "asyncio, or blocking(provider)", "event-loop",
        "asyncio's own functions, or blocking(provider) for a program without async."),
    row("event-loop", "Assist", "ib function",
        "util.startLoop util.patchAsyncio util.run util.sleep util.schedule util.timeRange* util.waitUntil* util.getLoop util.useQt",
        "unchanged", "asyncio, or blocking(provider)", "event-loop",
        "A notebook needs no patched loop: blocking(provider) works inside one."),
    row("dataframe", "Auto", "ib function", "util.df",
        "unchanged", "historical_bars returns the frame", "frames",
        "On the interface bars come as a frame with the index `time`."),
    row("util", "Assist", "ib function",
        "util.logToConsole util.logToFile util.tree util.barplot util.parseIBDatetime util.formatIBDatetime util.allowCtrlC util.timeit util.isNan",
        "unchanged", "standard library", "frames",
        "Only a convenience: logging, pandas or nothing."),
    # Contracts
    row("contract-by-id", "Manual", "ib class", "Future ContFuture Contract",
        "none", 'provider.resolve("ESZ6")', "contracts",
        "A conId is IB's own number: write symbol and month.", Only("conId", ("symbol", "localSymbol", "tradingClass"))),
    row("future", "Auto", "ib class", "Future",
        "unchanged", 'provider.resolve("ESZ6")', "contracts",
        "Root and month make the symbol; `ES` alone is the front month."),
    row("cont-future", "Assist", "ib class", "ContFuture",
        "the front month", 'provider.resolve("ES")', "continuous",
        "Gives the front month; a joined history is not adjusted at the roll."),
    row("contract", "Assist", "ib class", "Contract",
        "unchanged", 'provider.resolve("ESZ6")', "contracts",
        "Futures, shares, ETFs, indices and cryptocurrencies; of a future symbol, exchange and month say which."),
    row("contract", "Assist", "native class", "Contract",
        "Future(...)", 'provider.resolve("ESZ6")', "contracts",
        "Futures, shares, ETFs, indices and cryptocurrencies; of a future symbol, exchange and month say which."),
    row("other-contract", "Manual", "ib class", "Stock Forex Option FuturesOption Index CFD Crypto Bond Commodity MutualFund Warrant Bag",
        "unchanged for Stock, Index and Crypto", "provider.resolve(symbol)", "contracts",
        "Futures, shares, ETFs, indices and cryptocurrencies are served; keep the other kinds on IB."),
    row("qualify", "Auto", "ib method", "qualifyContracts*",
        "unchanged", "contract = await provider.resolve(symbol)", "contracts",
        "Returns the contract and changes no argument; an unknown one raises UnknownContract."),
    row("contract-details", "Assist", "ib method", "reqContractDetails*",
        "some fields", "contract.tick_size, .multiplier, .expiry", "contract-details",
        "The contract itself holds tick size, multiplier and expiry; other fields do not exist."),
    row("matching-symbols", "Assist", "ib method", "reqMatchingSymbols*",
        "none", "provider.contracts(root)", "contract-details",
        "Lists a root's months; there is no search by words."),
    row("market-rule", "Assist", "ib method", "reqMarketRule*",
        "none", "contract.tick_size", "contract-details",
        "One tick size per contract."),
    row("trading-schedule", "Assist", "ib method", "reqHistoricalSchedule*",
        "none", "tastytrade_provider.sessions", "sessions",
        "Sessions come from a calendar, not from the feed."),
    row("trading-schedule", "Assist", "ib attribute", "tradingHours liquidHours",
        "unchanged", "tastytrade_provider.sessions", "sessions",
        "Sessions come from a calendar, not from the feed."),
    row("trading-schedule", "Assist", "ib method", "reqHistoricalData*",
        "none", "tastytrade_provider.sessions", "sessions",
        "Sessions come from a calendar, not from the feed.", When("whatToShow", 4, ("SCHEDULE",))),
    # History
    row("historical-unsupported", "Manual", "ib method", "reqHistoricalData*",
        "none", "none", "history-other",
        "No such history: build it from live quotes, or drop it.", When("whatToShow", 4, _NO_HISTORY)),
    row("historical-adjusted", "Assist", "ib method", "reqHistoricalData*",
        "TRADES", "historical_bars", "history-other",
        "Futures have neither splits nor dividends: plain bars are meant.", When("whatToShow", 4, ("ADJUSTED_LAST",))),
    row("historical-quotes", "Assist", "ib method", "reqHistoricalData*",
        "none", "subscribe_quotes", "history-other",
        "Bars of quotes are not served: take trades, or record quotes.", When("whatToShow", 4, _QUOTES)),
    row("historical-dynamic", "Assist", "ib method", "reqHistoricalData*",
        "unchanged", "historical_bars", "history",
        "whatToShow is computed here: TRADES works, other values raise NotSupported.", When("whatToShow", 4, (COMPUTED,))),
    row("historical-daily", "Assist", "ib method", "reqHistoricalData*",
        "unchanged", 'historical_bars(contract, "1d")', "daily-bars",
        "Daily bars: IB's close may be the settlement, and its dates name the day of the close.", When("barSizeSetting", 3, _DAYS)),
    row("historical-live", "Auto", "ib method", "reqHistoricalData*",
        "unchanged", "subscribe_bars(contract, timeframe, backfill=...)", "history-live",
        "The subscription begins with history and stays open.", When("keepUpToDate", 7, _TRUE, "False")),
    row("historical-bars", "Auto", "ib method", "reqHistoricalData*",
        "unchanged", "historical_bars(contract, timeframe, start, end)", "history",
        "Times are bar starts in UTC; whole sessions unless hours='rth'; a failure raises, it is never an empty list."),
    row("cancel-historical", "Auto", "ib method", "cancelHistoricalData",
        "unchanged", "subscription.cancel()", "history-live",
        "Same meaning."),
    row("historical-ticks", "Assist", "ib method", "reqHistoricalTicks*",
        "TRADES", "historical_trades(contract, start, end)", "ticks",
        "Trades where the feed keeps them (see capabilities); no history of quotes."),
    row("head-timestamp", "Assist", "ib method", "reqHeadTimeStamp*",
        "unchanged", "provider.earliest(contract)", "history",
        "The first bar the feed has."),
    # Live
    row("realtime-quotes", "Assist", "ib method", "reqRealTimeBars",
        "none", "subscribe_quotes", "realtime-bars",
        "Bars of quotes are not served: take trades, or build them from quotes.", When("whatToShow", 2, _QUOTES)),
    row("realtime-bars", "Auto", "ib method", "reqRealTimeBars",
        "unchanged", 'subscribe_bars(contract, "5s")', "realtime-bars",
        "Same bars; the interface calls the field `open`, not `open_`."),
    row("cancel-realtime-bars", "Auto", "ib method", "cancelRealTimeBars",
        "unchanged", "subscription.cancel()", "realtime-bars",
        "Same meaning."),
    row("bar-event", "Auto", "ib event", "barUpdateEvent",
        "unchanged", "async for bar in subscription", "history-live",
        "Closed bars are whole values; a repaired one comes again with a higher revision."),
    row("snapshot", "Auto", "ib method", "reqMktData",
        "unchanged", "the first item of subscribe_quotes", "market-data",
        "The first quote and trade, without an eleven-second window.", When("snapshot", 2, _TRUE, "False")),
    row("snapshot", "Auto", "ib method", "reqTickers*",
        "unchanged", "the first item of subscribe_quotes", "market-data",
        "The first quote and trade, without an eleven-second window."),
    row("market-data", "Auto", "ib method", "reqMktData",
        "unchanged", "subscribe_quotes, subscribe_trades, subscribe_summary", "market-data",
        "Every trade comes, not a summary several times a second; read volume from trades or the summary."),
    row("cancel-market-data", "Auto", "ib method", "cancelMktData",
        "unchanged", "subscription.cancel()", "market-data",
        "Same meaning."),
    row("ticker-state", "Assist", "ib method", "ticker tickers pendingTickers realtimeBars",
        "unchanged", "keep your own state", "market-data",
        "The interface keeps no table of tickers: hold the last item you need."),
    row("pending-tickers", "Assist", "ib event", "pendingTickersEvent",
        "unchanged", "async for item in subscription", "events",
        "One subscription per contract instead of one event for all."),
    row("ticker-event", "Assist", "ib event", "updateEvent",
        "unchanged", "async for item in subscription", "events",
        "Handlers get trades or quotes, not a ticker that changes under them."),
    row("tick-by-tick", "Auto", "ib method", "reqTickByTickData",
        "unchanged", "subscribe_trades or subscribe_quotes", "ticks",
        "Exchange time and aggressor side come with each trade; no cap of five streams."),
    row("cancel-tick-by-tick", "Auto", "ib method", "cancelTickByTickData",
        "unchanged", "subscription.cancel()", "ticks",
        "Same meaning."),
    row("market-data-type", "Auto", "ib method", "reqMarketDataType",
        "delete", "delete", "market-data",
        "Delete it; who asked for delayed data (3, 4) gets live data."),
    row("market-depth", "Manual", "ib method", "reqMktDepth cancelMktDepth reqMktDepthExchanges*",
        "none", "none", "depth",
        "Market depth is not to be had with the API's token."),
    # What stays with IB, or has nothing to stand for it
    row("orders", "Manual", "ib method",
        "placeOrder cancelOrder bracketOrder oneCancelsAll exerciseOptions reqGlobalCancel whatIfOrder* trades openTrades orders openOrders fills "
        "executions positions portfolio accountValues managedAccounts pnl pnlSingle accountSummary* reqAccountSummary* reqAccountUpdates* "
        "reqAccountUpdatesMulti* reqOpenOrders* reqAllOpenOrders* reqAutoOpenOrders reqCompletedOrders* reqExecutions* reqPositions* "
        "requestFA* replaceFA reqPnL cancelPnL reqPnLSingle cancelPnLSingle",
        "none", "none", "orders",
        "Orders and accounts stay on IB: keep a connection of their own for them."),
    row("orders", "Manual", "ib event",
        "newOrderEvent orderModifyEvent cancelOrderEvent openOrderEvent orderStatusEvent execDetailsEvent commissionReportEvent updatePortfolioEvent "
        "positionEvent accountValueEvent accountSummaryEvent pnlEvent pnlSingleEvent",
        "none", "none", "orders",
        "Orders and accounts stay on IB: keep a connection of their own for them."),
    row("no-equivalent", "Manual", "ib method",
        "reqScannerParameters* reqScannerData* reqScannerSubscription cancelScannerSubscription reqFundamentalData* reqHistogramData* "
        "reqNewsBulletins cancelNewsBulletins newsBulletins newsTicks reqNewsProviders* reqNewsArticle* reqHistoricalNews* reqSecDefOptParams* "
        "reqSmartComponents* calculateImpliedVolatility* calculateOptionPrice* reqCurrentTime* reqUserInfo* reqWshMetaData cancelWshMetaData "
        "getWshMetaData* reqWshEventData cancelWshEventData getWshEventData*",
        "none", "none", "no-equivalent",
        "Nothing stands for it; keep it on IB or drop it."),
    row("no-equivalent", "Manual", "ib event", "scannerDataEvent tickNewsEvent newsBulletinEvent wshMetaEvent wshEvent",
        "none", "none", "no-equivalent",
        "Nothing stands for it; keep it on IB or drop it."),
    row("dynamic", "Manual", "ib dynamic", "getattr hasattr setattr methodcaller attrgetter import_module __import__",
        "by hand", "by hand", "dynamic",
        "Which name is used is decided while the program runs: look at it yourself."),
    # IB's own ibapi: requests carry an id, answers come to methods of EWrapper
    row("native-client", "Manual", "native class", "EClient EWrapper",
        "compat.IB", "blocking(provider)", "native",
        "Client, wrapper and reader thread become one object whose calls return what was asked for."),
    row("native-client", "Manual", "native subclass", "EClient EWrapper",
        "compat.IB", "blocking(provider)", "native",
        "Client, wrapper and reader thread become one object whose calls return what was asked for."),
    row("native-connect", "Manual", "native method", "connect disconnect isConnected run startApi setConnectOptions setConnectionOptions",
        "ib.connect()", "provider.connect()", "native",
        "No reader thread and no waiting for nextValidId: connect returns when data can be asked for."),
    row("native-ready", "Manual", "native override", "nextValidId connectAck connectionClosed managedAccounts",
        "after ib.connect()", "after provider.connect()", "native",
        "What waits here goes after connect()."),
    row("native-details", "Manual", "native method", "reqContractDetails reqMatchingSymbols reqMarketRule",
        "qualifyContracts", "provider.resolve(symbol)", "native",
        "The contract itself holds tick size, multiplier and expiry."),
    row("native-historical", "Manual", "native method", "reqHistoricalData cancelHistoricalData reqHistoricalTicks reqHeadTimeStamp cancelHeadTimeStamp",
        "reqHistoricalData", "historical_bars", "native",
        "Without a request id; the bars are returned."),
    row("native-live", "Manual", "native method",
        "reqMktData cancelMktData reqRealTimeBars cancelRealTimeBars reqTickByTickData cancelTickByTickData reqMarketDataType",
        "reqMktData", "subscribe_trades, subscribe_quotes, subscribe_bars", "native",
        "Without a request id; read the subscription where the callback was."),
    row("native-callback", "Manual", "native override",
        "historicalData historicalDataEnd historicalDataUpdate historicalTicks historicalTicksBidAsk historicalTicksLast headTimestamp "
        "historicalSchedule realtimeBar tickPrice tickSize tickString tickGeneric tickEFP tickSnapshotEnd tickReqParams tickByTickAllLast "
        "tickByTickBidAsk tickByTickMidPoint tickOptionComputation marketDataType contractDetails contractDetailsEnd bondContractDetails "
        "symbolSamples marketRule",
        "the call's return value", "async for item in subscription", "native",
        "The body goes where the data is read."),
    row("native-error", "Assist", "native override", "error winError",
        "errorEvent", "except MarketDataError", "errors",
        "Errors are raised where they happen and carry a type; IB's codes do not come."),
    row("trading-schedule", "Assist", "native attribute", "tradingHours liquidHours",
        "none", "tastytrade_provider.sessions", "sessions",
        "Sessions come from a calendar, not from the feed."),
    row("market-depth", "Manual", "native method", "reqMktDepth cancelMktDepth reqMktDepthExchanges",
        "none", "none", "depth",
        "Market depth is not to be had with the API's token."),
    row("market-depth", "Manual", "native override", "updateMktDepth updateMktDepthL2 mktDepthExchanges",
        "none", "none", "depth",
        "Market depth is not to be had with the API's token."),
    row("orders", "Manual", "native method",
        "placeOrder cancelOrder exerciseOptions reqGlobalCancel reqIds reqOpenOrders reqAllOpenOrders reqAutoOpenOrders reqCompletedOrders "
        "reqExecutions reqPositions cancelPositions reqPositionsMulti cancelPositionsMulti reqAccountUpdates reqAccountUpdatesMulti "
        "cancelAccountUpdatesMulti reqAccountSummary cancelAccountSummary reqManagedAccts reqPnL cancelPnL reqPnLSingle cancelPnLSingle "
        "requestFA replaceFA",
        "none", "none", "orders",
        "Orders and accounts stay on IB: keep a connection of their own for them."),
    row("orders", "Manual", "native override",
        "openOrder openOrderEnd orderStatus orderBound completedOrder completedOrdersEnd execDetails execDetailsEnd commissionReport "
        "commissionAndFeesReport position positionEnd positionMulti positionMultiEnd updateAccountValue updateAccountTime updatePortfolio "
        "accountDownloadEnd accountSummary accountSummaryEnd accountUpdateMulti accountUpdateMultiEnd pnl pnlSingle",
        "none", "none", "orders",
        "Orders and accounts stay on IB: keep a connection of their own for them."),
    row("no-equivalent", "Manual", "native method",
        "reqScannerParameters reqScannerSubscription cancelScannerSubscription reqFundamentalData cancelFundamentalData reqHistogramData "
        "cancelHistogramData reqNewsBulletins cancelNewsBulletins reqNewsProviders reqNewsArticle reqHistoricalNews reqSecDefOptParams "
        "reqSmartComponents calculateImpliedVolatility cancelCalculateImpliedVolatility calculateOptionPrice cancelCalculateOptionPrice "
        "reqCurrentTime reqFamilyCodes reqSoftDollarTiers reqUserInfo reqWshMetaData cancelWshMetaData reqWshEventData cancelWshEventData",
        "none", "none", "no-equivalent",
        "Nothing stands for it; keep it on IB or drop it."),
    row("no-equivalent", "Manual", "native override",
        "scannerData scannerDataEnd scannerParameters fundamentalData histogramData historicalNews historicalNewsEnd newsArticle newsProviders "
        "tickNews updateNewsBulletin securityDefinitionOptionParameter securityDefinitionOptionParameterEnd smartComponents currentTime familyCodes "
        "softDollarTiers wshMetaData wshEventData userInfo",
        "none", "none", "no-equivalent",
        "Nothing stands for it; keep it on IB or drop it."),
)
PANDAS_TRAPS: Final[tuple[Rule, ...]] = (
    row("pandas3-unit", "Assist", "pandas trap", "astype view",
        "none", "none", "pandas3",
        'Times count microseconds in pandas 3, not nanoseconds: .as_unit("ns") first.'),
    row("pandas3-frequency", "Assist", "pandas trap", "freq",
        "none", "none", "pandas3",
        "This frequency raises in pandas 3: write min, h, s, ms, us, ns, ME, QE, YE."),
    row("pandas3-chained", "Assist", "pandas trap", "[][]",
        "none", "none", "pandas3",
        "Changes nothing in pandas 3: one step, df.loc[rows, column] = value."),
    row("pandas3-readonly", "Assist", "pandas trap", "to_numpy values",
        "none", "none", "pandas3",
        "The array is read-only in pandas 3: .to_numpy(copy=True), or write into the frame."),
    row("pandas3-string", "Assist", "pandas trap", "object",
        "none", "none", "pandas3",
        "Text has the dtype `str` in pandas 3, not object: pd.api.types.is_string_dtype."),
)
# fmt: on


def find(api: Api, kind: Kind, name: str) -> list[Rule]:
    """The rows of a name, in the order in which they count."""
    return _BY_NAME.get((api, kind, name), [])


def names(api: Api, kind: Kind) -> frozenset[str]:
    """Every name that rows of that kind catch."""
    return frozenset(name for rule in CALL_SITES if (rule.api, rule.kind) == (api, kind) for name in rule.names)


def unmistakable() -> frozenset[str]:
    """Methods that only IB's libraries have: a call of one counts even where nothing tells what the object is.

    >>> sorted(unmistakable() & {"reqMktData", "connect", "placeOrder", "qualifyContracts"})
    ['qualifyContracts', 'reqMktData']
    """
    methods = names("ib", "method") | names("native", "method")
    subscriptions = {f"cancel{what}" for what in ("MktData", "HistoricalData", "RealTimeBars", "TickByTickData", "MktDepth")}
    return (
        frozenset(name for name in methods if name.startswith(("req", "qualifyContracts")) and name != "reqIds" and not name.startswith("requestFA"))
        | subscriptions
    )


def table(rules: Iterable[Rule] = CALL_SITES) -> str:
    """The guide's table of call sites, in Markdown, in the order of the rows."""
    lines = ["| call | rule | class | on compat.IB | on DataProvider | to know |", "| --- | --- | --- | --- | --- | --- |"]
    for rule in rules:
        shown = ", ".join(f"`{name}`" for name in rule.names)
        condition = f" {rule.when}" if rule.when else ""
        library = "ibapi: " if rule.api == "native" else ""
        lines.append(f"| {library}{shown}{condition} | [{rule.id}](#{rule.anchor}) | {rule.effort} | {rule.compat} | {rule.provider} | {rule.advice} |")
    return "\n".join(lines) + "\n"


_BY_NAME: Final[dict[tuple[Api, Kind, str], list[Rule]]] = {}
for _rule in CALL_SITES:
    for _name in _rule.names:
        _BY_NAME.setdefault((_rule.api, _rule.kind, _name), []).append(_rule)
