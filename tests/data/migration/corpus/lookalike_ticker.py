import ccxt
from dataclasses import dataclass


@dataclass
class Ticker:
    bid: float
    updateEvent: object = None


class Event(list):
    def __iadd__(self, other):
        self.append(other)
        return self


t = Ticker(1.0)
t.updateEvent = Event()
t.updateEvent += print
exchange = ccxt.binance()
exchange.fetch_ticker("BTC/USDT")
tradingHours = {"ES": 1}
print(tradingHours)
