from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tastytrade_provider.bars import build_bars
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.indicators.adapters.for_nautilus import contract_of, order_flow
from tastytrade_provider.model import TradeBatch
from tests.adapters.libraries import library
from tests.checks.builders import MINUTE_NS, opening, random_trades

library("nautilus_trader")
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def es() -> Any:
    from nautilus_trader.test_kit.providers import TestInstrumentProvider

    return TestInstrumentProvider.es_future(expiry_year=2026, expiry_month=12)


def ticks(instrument: Any, trades: TradeBatch) -> list[Any]:
    from nautilus_trader.model.data import TradeTick
    from nautilus_trader.model.enums import AggressorSide
    from nautilus_trader.model.identifiers import TradeId

    sides = {1: AggressorSide.BUYER, -1: AggressorSide.SELLER, 0: AggressorSide.NO_AGGRESSOR}
    made = []
    for i, trade in enumerate(trades):
        price, size = instrument.make_price(trade.price), instrument.make_qty(trade.size)
        made.append(TradeTick(instrument.id, price, size, sides[int(trade.side)], TradeId(str(i)), trade.time_ns, trade.time_ns))
    return made


def test_the_ticks_of_a_contract_give_the_values_of_the_history(es: Any) -> None:
    contract, trades = contract_of(es), random_trades(3, 1_500)
    assert (contract.tick_size, contract.size_step) == (0.25, 1)
    flow = order_flow(contract, "1m", ["volume_delta", "cvd"])
    whole = IndicatorManager().apply(build_bars(trades, "1m", contract), ["volume_delta", "cvd"])
    for tick in ticks(es, trades):
        flow.handle_trade_tick(tick)
    assert flow.initialized
    assert flow.forming.values["cvd"] == whole["cvd"].iloc[-1]
    for name, value in flow.values.items():
        np.testing.assert_equal(value, whole[name].iloc[-2], err_msg=name)
    assert flow.bar.start_ns == whole.index[-2].value


def test_it_is_initialized_with_the_first_closed_bar_past_the_warm_up_and_reset_makes_it_new(es: Any) -> None:
    flow = order_flow(contract_of(es), "1m", {"delta_divergence": {"left": 1, "right": 1, "min_gap": 1}})
    warmup = IndicatorManager().create("delta_divergence", left=1, right=1, min_gap=1).warmup
    first, *_ = ticks(es, random_trades(1, 1))
    flow.handle_trade_tick(first)
    assert (flow.has_inputs, flow.initialized, flow.bar) == (True, False, None)
    flow.advance(opening() + 5 * MINUTE_NS)
    assert (flow.bar.trades, flow.initialized) == (1, warmup < 1)
    for tick in ticks(es, random_trades(1, 200)):
        flow.handle_trade_tick(tick)
    assert flow.initialized
    flow.reset()
    assert (flow.has_inputs, flow.initialized, flow.bar, flow.forming) == (False, False, None, None)


def test_a_strategy_in_a_backtest_registers_it_for_trade_ticks(es: Any) -> None:
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.objects import Money
    from nautilus_trader.trading.strategy import Strategy

    trades, flow = random_trades(4, 300), order_flow(contract_of(es), "1m", ["cvd"])

    class Reader(Strategy):  # type: ignore[misc, unused-ignore]
        def on_start(self) -> None:
            self.register_indicator_for_trade_ticks(es.id, flow)
            self.subscribe_trade_ticks(es.id)

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    try:
        engine.add_venue(es.id.venue, OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)])
        engine.add_instrument(es)
        engine.add_data(ticks(es, trades))
        engine.add_strategy(Reader())
        engine.run()
        whole = IndicatorManager().apply(build_bars(trades, "1m", contract_of(es)), ["cvd"])
        assert flow.forming.values["cvd"] == whole["cvd"].iloc[-1]
    finally:
        engine.dispose()
