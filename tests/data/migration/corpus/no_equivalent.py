from ib_insync import IB, Option, ScannerSubscription, Stock


def research(ib: IB):
    spy = Stock('SPY', 'SMART', 'USD')
    chains = ib.reqSecDefOptParams(spy.symbol, '', spy.secType, spy.conId)
    scan = ib.reqScannerData(ScannerSubscription(scanCode='TOP_PERC_GAIN'))
    news = ib.reqHistoricalNews(spy.conId, 'BRFG', '', '', 10)
    report = ib.reqFundamentalData(spy, 'ReportSnapshot')
    call = Option('SPY', '20261218', 600, 'C', 'SMART')
    iv = ib.calculateImpliedVolatility(call, 1.0, 600.0)
    ib.reqMktDepthExchanges()
    return chains, scan, news, report, iv
