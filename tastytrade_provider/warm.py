"""Compile every kernel once, so that the first live trade does not wait for the compiler: `python -m tastytrade_provider.warm`."""

from __future__ import annotations


def warm() -> None:
    """Run a few made-up trades through decoder, classifier, bars and indicators; numba keeps what it compiled on disk."""
    from .aggressor import classify
    from .bars import BarBuilder, build_history
    from .dxlink.messages import feed_data
    from .dxlink.rows import encode_compact, index_of
    from .indicators import IndicatorManager
    from .model import Contract
    from .tastytrade.mapping import FIELDS, TIME_AND_SALE, TradeDecoder
    from .tastytrade.minutes import Minutes

    es = Contract("ES", "/ESZ6", "/ESZ26:XCME", tick_size=0.25)
    opened_ms = 1_764_860_400_000
    rows = [
        {
            "eventSymbol": es.streamer_symbol, "eventFlags": 0, "index": index_of(opened_ms + 1000 * i, i), "time": opened_ms + 1000 * i, "timeNanoPart": 0,
            "price": 6000.0 + i % 3, "size": 1.0, "bidPrice": 6000.0, "askPrice": 6000.25, "aggressorSide": ("BUY", "SELL", "UNDEFINED")[i % 3],
            "spreadLeg": False, "extendedTradingHours": False, "validTick": True, "type": "NEW",
        }
        for i in range(200)
    ]  # fmt: skip
    decoder = TradeDecoder()
    decoder.watch(es)
    (batch,) = decoder.decode([feed_data(1, encode_compact(TIME_AND_SALE, FIELDS, rows)).raw], [0], lambda _: FIELDS)
    batch = classify(batch)
    Minutes().add(batch)
    for timeframe in ("1m", "1d", "10t", "10v", "2r"):
        BarBuilder(es, timeframe).add(batch)
        history = build_history(batch, timeframe, es)
        history.cvd()
    bars = build_history(batch, "1s", es).bars()
    IndicatorManager().apply(bars)
    live = IndicatorManager().live(es, "1s")
    live.add(batch)
    live.forming  # noqa: B018 (a property that computes)


if __name__ == "__main__":
    warm()
