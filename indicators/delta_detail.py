"""Volume delta with all that only single trades tell: by size of order, by count, since the bar's high and low, with the exchange's share."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from tastytrade_provider.bars import BarTrades, build_bar_trades, cumulate
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Bar, Contract, TradeBatch

from . import trade_kernels as k
from .columns import Columns, Floats, Int64
from .cvd import empty_sum
from .order_prints import begins, whole
from .params import checked, choice, number
from .segments import PARAMS, Anchor
from .trades import BARS, FromTrades, Kept
from .volume_delta import EXTREMES

JOINED = choice("orders", True, (True, False), "whether prints of one order are joined: its size is theirs together, and it counts once")
_ALL = (0, np.iinfo(np.int64).max)


def detail(trades: BarTrades, orders: bool, extremes: str, least: int, most: int) -> Int64:
    """What `trade_kernels.detail` says of each bar, over orders (or prints) of `least` to `most` lots; its extremes as asked for."""
    columns = trades.columns
    first = begins(columns) if orders else np.ones(len(columns["lots"]), bool)
    out = np.zeros((len(trades.rows), k.DETAIL_WIDTH), np.int64)
    k.detail(
        columns["ticks"], columns["lots"], columns["side"], columns["side_source"], whole(columns, first), first,
        trades.skip, trades.volume, trades.high, trades.low, least, most, out,
    )  # fmt: skip
    if extremes == "zero":
        out[:, k.LEAST], out[:, k.MOST] = np.minimum(out[:, k.LEAST], 0), np.maximum(out[:, k.MOST], 0)
    return out


class DeltaDetail(FromTrades):
    """Volume delta of each bar over orders of a size, from trades, with what bars do not hold.

    Input   a TradeBatch, or a frame of trades (time, price, size; side where known) with its contract as parameter or in attrs['contract'].
    Output  a row for each bar, also where no order has the size; contracts, but for shares and counts
            delta, delta_pct   bought minus sold; divided by their sum, NaN where that is 0
            min_delta, max_delta   extremes of the running delta. extremes="zero": with the 0 it starts from, so min_delta <= 0 <= max_delta.
                               "sierra": its values after trades alone, as Sierra Chart has them
            delta_at_high, delta_at_low   delta since the bar last traded at its high, its low; what traded there is not in it
            buy_volume, sell_volume, unknown_volume   by who crossed the spread; unknown is in neither side
            buy_trades, sell_trades, count_delta   orders (or prints) that began in the bar, and bought minus sold among them
            delta_per_trade    delta / (buy_trades + sell_trades), NaN where that is 0
            max_trade          size of the largest order (or print)
            quality            share of the volume whose side the exchange told; NaN without volume
    Sizes of min_size to max_size contracts count, both included. What joins prints to orders is said at `order_prints.begins`. In volume bars a print may lie
    in two: its volume in each for its part, its count where it began, its whole size for min_size, max_size and max_trade.
    Live: `of_bar(builder, bar)`, of the forming bar as it stands.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> trades = TradeBatch(es, {"time_ns": [1_767_600_000_000_000_000] * 3, "price": [6000] * 3, "size": [2, 3, 4], "side": [1, 1, -1]})
    >>> found = DeltaDetail(min_size=5).run(trades)  # bought 2 + 3 in one order; the 4 are too small
    >>> found[["delta", "buy_trades", "sell_trades", "max_trade"]].values.tolist()
    [[5.0, 1.0, 0.0, 5.0]]
    """

    name = "delta_detail"
    outputs = (
        "delta", "delta_pct", "min_delta", "max_delta", "delta_at_high", "delta_at_low", "buy_volume", "sell_volume", "unknown_volume",
        "buy_trades", "sell_trades", "count_delta", "delta_per_trade", "max_trade", "quality",
    )  # fmt: skip
    accepts = (
        *BARS,
        number("min_size", None, 0, "least size of an order that counts, in contracts; None: any"),
        number("max_size", None, 0, "greatest size of an order that counts, in contracts; None: any"),
        JOINED,
        EXTREMES,
    )

    def of_bar(self, kept: Kept, bar: Bar) -> dict[str, float]:
        """The outputs of one bar, closed or forming, from the trades kept of it. UsageError where they are not."""
        trades = kept.trades_of(bar)
        return {name: float(column[0]) for name, column in self._columns(trades).items()}

    def _of(self, trades: TradeBatch, contract: Contract) -> pd.DataFrame:
        found, history = build_bar_trades(trades, self.params["timeframe"], contract)
        return pd.DataFrame(self._columns(found), index=history.time)

    def _columns(self, trades: BarTrades) -> dict[str, Floats]:
        p, size = self.params, trades.contract.size
        least, most = (default if p[name] is None else trades.contract.lots(p[name]) for name, default in zip(("min_size", "max_size"), _ALL, strict=True))
        found = detail(trades, p["orders"], p["extremes"], least, most)
        buy, sell, unknown = found[:, k.BUY], found[:, k.SELL], found[:, k.UNKNOWN]
        delta, sided = buy - sell, found[:, k.BUYS] + found[:, k.SELLS]
        values = {
            "delta": size(delta), "delta_pct": _divide(delta, buy + sell),
            "min_delta": size(found[:, k.LEAST]), "max_delta": size(found[:, k.MOST]),
            "delta_at_high": size(found[:, k.SINCE_HIGH]), "delta_at_low": size(found[:, k.SINCE_LOW]),
            "buy_volume": size(buy), "sell_volume": size(sell), "unknown_volume": size(unknown),
            "buy_trades": found[:, k.BUYS], "sell_trades": found[:, k.SELLS], "count_delta": found[:, k.BUYS] - found[:, k.SELLS],
            "delta_per_trade": _divide(size(delta), sided), "max_trade": size(found[:, k.LARGEST]),
            "quality": _divide(found[:, k.BY_EXCHANGE], buy + sell + unknown),
        }  # fmt: skip
        return {name: np.asarray(column, np.float64) for name, column in values.items()}


def _sizes(value: Any) -> bool:
    if not isinstance(value, tuple | list) or not all(isinstance(size, int | float) and 0 < size < np.inf for size in value):
        return False
    return list(value) == sorted(set(value))


class CVDBySize(FromTrades):
    """CVD and delta by size of order, from trades: who is behind a move, the small or the large.

    Input   as of `delta_detail`, and its joining of orders.
    Output  rows (time, from_size): orders of from_size contracts up to, not including, the next size; together they are all trades
            delta, buy_volume, sell_volume of the bar; cvd and cvd_open, cvd_high, cvd_low, in contracts
            unknown_volume, in neither side, of the bar; quality, the share of the bucket's volume whose side the exchange told, NaN without volume
    Resets  as of `cvd`, at the first bar starting at or after `reset`.
    With extremes="sierra" cvd_open is brought into cvd_low to cvd_high, as Sierra Chart draws it. With sizes=() it is CVD as a whole.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> trades = TradeBatch(es, {"time_ns": [1_767_600_000_000_000_000] * 2, "price": [6000] * 2, "size": [2, 30], "side": [1, -1]})
    >>> CVDBySize(sizes=(10,)).run(trades)["cvd"].tolist()
    [2.0, -30.0]
    """

    name = "cvd_by_size"
    live = "DeltaDetail(min_size=..., max_size=...).of_bar(live, bar), a bucket each"
    outputs = ("delta", "buy_volume", "sell_volume", "cvd", "cvd_open", "cvd_high", "cvd_low", "unknown_volume", "quality")
    accepts = (
        *BARS,
        checked("sizes", (10, 50), "contracts at which a new bucket begins, ascending, such as (10, 50)", _sizes, "bounds of the buckets"),
        JOINED,
        EXTREMES,
        *PARAMS,
    )

    def _of(self, trades: TradeBatch, contract: Contract) -> pd.DataFrame:
        p, size = self.params, contract.size
        found, history = build_bar_trades(trades, p["timeframe"], contract)
        keys = Anchor(p["reset"], p["calendar"]).keys(Columns(history.bars())) if len(history.rows) else np.empty(0)
        bounds = [0, *(contract.lots(edge) for edge in p["sizes"]), _ALL[1]]
        if len(set(bounds)) < len(bounds):
            raise UsageError(f"cvd_by_size: sizes={p['sizes']!r} are closer together than a lot of {contract.symbol}, {contract.size_step}")
        blocks = []
        for least, limit in itertools.pairwise(bounds):
            sums = detail(found, p["orders"], p["extremes"], least, limit - 1)
            ohlc = np.empty((len(sums), 4))
            buy, sell, unknown, low, high = (np.asarray(size(sums[:, i]), np.float64) for i in (k.BUY, k.SELL, k.UNKNOWN, k.LEAST, k.MOST))
            quality = _divide(sums[:, k.BY_EXCHANGE], sums[:, k.BUY] + sums[:, k.SELL] + sums[:, k.UNKNOWN])
            cumulate(empty_sum(), keys, buy - sell, low, high, ohlc, True)
            if p["extremes"] == "sierra":
                ohlc[:, 0] = np.clip(ohlc[:, 0], ohlc[:, 2], ohlc[:, 1])
            blocks.append(np.column_stack([buy - sell, buy, sell, ohlc[:, [3, 0, 1, 2]], unknown, quality]))
        index = pd.MultiIndex.from_product([history.time, [0.0, *map(float, p["sizes"])]], names=["time", "from_size"])
        return pd.DataFrame(np.stack(blocks, axis=1).reshape(-1, len(self.outputs)), index=index, columns=list(self.outputs))


def _divide(one: Any, other: Any) -> Floats:
    share = np.full(len(one), np.nan)
    np.divide(one, other, out=share, where=np.asarray(other) > 0)
    return share
