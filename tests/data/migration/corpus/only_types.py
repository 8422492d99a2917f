from ib_async import BarData, BarDataList, Contract, Future, Ticker


def close(bar: BarData) -> float:
    return bar.close


def last(bars: BarDataList) -> BarData:
    return bars[-1]


def is_future(contract: Contract) -> bool:
    return isinstance(contract, Future)


def price(ticker: Ticker) -> float:
    return ticker.last
