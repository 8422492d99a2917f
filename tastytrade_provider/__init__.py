"""Futures order flow in Python, on a retail broker's feed.

`create_provider("config.yaml")` gives the provider the configuration names; `blocking(provider)` the same without async; trades become bars, volume
delta, CVD and footprint through `BarBuilder` (live) and `build_bars` (history), indicators come from `tastytrade_provider.indicators`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .door import lazily

if TYPE_CHECKING:
    from .bars import BarBuilder, Cvd, Footprint, build_bars, build_footprint
    from .blocking import blocking
    from .config import Settings, load
    from .errors import MarketDataError
    from .model import AggressorSide, Bar, Contract, Gap, Quote, Roll, SideSource, Summary, Timeframe, Trade, TradeBatch
    from .provider import Capabilities, DataProvider, ProviderStatus, Subscription
    from .registry import create_provider, register_provider

__version__ = "0.1.0"

_MODULE_OF = {
    "AggressorSide": "model",
    "Bar": "model",
    "BarBuilder": "bars",
    "Capabilities": "provider",
    "Contract": "model",
    "Cvd": "bars",
    "DataProvider": "provider",
    "Footprint": "bars",
    "Gap": "model",
    "MarketDataError": "errors",
    "ProviderStatus": "provider",
    "Quote": "model",
    "Roll": "model",
    "Settings": "config",
    "SideSource": "model",
    "Subscription": "provider",
    "Summary": "model",
    "Timeframe": "model",
    "Trade": "model",
    "TradeBatch": "model",
    "blocking": "blocking",
    "build_bars": "bars",
    "build_footprint": "bars",
    "create_provider": "registry",
    "load": "config",
    "register_provider": "registry",
}

__all__ = [
    "AggressorSide",
    "Bar",
    "BarBuilder",
    "Capabilities",
    "Contract",
    "Cvd",
    "DataProvider",
    "Footprint",
    "Gap",
    "MarketDataError",
    "ProviderStatus",
    "Quote",
    "Roll",
    "Settings",
    "SideSource",
    "Subscription",
    "Summary",
    "Timeframe",
    "Trade",
    "TradeBatch",
    "blocking",
    "build_bars",
    "build_footprint",
    "create_provider",
    "load",
    "register_provider",
]


__getattr__ = lazily(__name__, _MODULE_OF)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
