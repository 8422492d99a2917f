"""nautilus_trader: order flow indicators that a strategy registers for trade ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from tastytrade_provider.model import Bar, Contract, TradeBatch

from ..live import Update
from ..manager import IndicatorManager
from .framework import framework

_SIDES = {1: 1, 2: -1}  # AggressorSide.BUYER, SELLER; 0 is NO_AGGRESSOR


def contract_of(instrument: Any, calendar: str = "CME Globex Equity") -> Contract:
    """Our Contract of a nautilus instrument; `calendar` is one of sessions.CALENDARS, "24/7" for what never closes."""
    tick_size, size_step = float(instrument.price_increment), float(instrument.size_increment)
    return Contract(str(instrument.raw_symbol), str(instrument.id), tick_size=tick_size, size_step=size_step, calendar=calendar)


def order_flow(contract: Contract, timeframe: str = "1m", names: Iterable[str] | Mapping[str, Mapping[str, Any]] = ("volume_delta", "cvd")) -> Any:
    """A nautilus indicator that makes bars of the trade ticks it is handed and keeps ours up with them.

    In a strategy's `on_start`: `self.register_indicator_for_trade_ticks(instrument_id, flow)`, and then at any time

    flow.values, flow.bar  by column name at the last closed bar, and that bar; NaN and None before the first
    flow.forming           the bar under way and the values if it closed as it stands; None between bars
    flow.advance(ts_ns)    closes bars by the clock where nobody trades, `self.clock.timestamp_ns()` for one
    flow.initialized       once every indicator is past its warm-up
    """
    return _class()(contract, timeframe, names)


@cache
def _class() -> Any:
    base = framework("nautilus_trader.indicators.base", "nautilus_trader").Indicator

    class OrderFlow(base):  # type: ignore[misc, valid-type]
        bar: Bar | None

        def __init__(self, contract: Contract, timeframe: str, names: Any) -> None:
            super().__init__([contract.symbol, timeframe])
            self._asked = contract, timeframe, names
            self.manager = IndicatorManager()
            self._start_over()

        def handle_trade_tick(self, tick: Any) -> None:
            self._set_has_inputs(True)
            price, size, side = float(tick.price), float(tick.size), _SIDES.get(int(tick.aggressor_side), 0)
            columns = {"time_ns": [tick.ts_event], "received_ns": [tick.ts_init], "price": [price], "size": [size], "side": [side]}
            self._keep(self.live.add(TradeBatch(self.live.contract, columns)))

        def advance(self, ts_ns: int) -> None:
            self._keep(self.live.advance(ts_ns))

        @property
        def values(self) -> dict[str, float]:
            return self.live.values

        @property
        def forming(self) -> Update | None:
            return self.live.forming

        def _keep(self, updates: list[Update]) -> None:
            for update in updates:
                self.bar = update.bar
                self.closed += update.bar.revision == 0
            if self.closed > self._warmup:
                self._set_initialized(True)

        def _reset(self) -> None:
            self._start_over()

        def _start_over(self) -> None:
            contract, timeframe, names = self._asked
            wanted = names if isinstance(names, Mapping) else {name: {} for name in names}
            self._warmup = max((self.manager.create(**{"name": label, **params}).warmup for label, params in wanted.items()), default=0)
            self.live = self.manager.live(contract, timeframe, wanted)
            self.bar, self.closed = None, 0

    return OrderFlow
