"""Compile every kernel once, so that the first live trade does not wait for the compiler: `python -m tastytrade_provider.warm`.

A compilation holds up the event loop, and with it Ctrl-C and the feed's keepalive: it comes before anything is connected.
"""

from __future__ import annotations

import sys
from typing import Any


def warm_up() -> None:
    """`warm` where the compiled kernels are not on disk, with a note on the error output; else this takes some hundredths of a second."""
    if is_cold():
        print("note: compiling the kernels, once on this machine: about half a minute ...", file=sys.stderr, flush=True)
        warm()


def is_cold() -> bool:
    """Whether one of the kernels of a live feed would have to be compiled: never was, or for another version of it, of numba or of the processor."""
    return not all(map(_is_kept, kernels()))


def kernels() -> tuple[Any, ...]:
    """What `warm` compiles."""
    from . import aggressor, levels
    from . import kernels as bars
    from .dxlink import scanner
    from .indicators import kernels as values
    from .tastytrade import ahead, mapping, minutes

    return (
        bars.run, bars.close, bars.cumulate, bars.survey, levels.profile, aggressor._classify, scanner._scan, mapping._to_trades, minutes._count, ahead._judge,
        values.volume_delta, values.close_first, values.divergence,
    )  # fmt: skip


def _is_kept(kernel: Any) -> bool:
    if not hasattr(kernel, "_cache"):
        return True  # NUMBA_DISABLE_JIT: nothing is compiled
    # numba has no public question for this. An index of another version or source reads as empty; a key is (signature, processor, code)
    processor = kernel.targetctx.codegen().magic_tuple()
    return any(key[1] == processor for key in kernel._cache._cache_file._load_index())


def warm() -> None:
    """Run a few made-up trades through decoder, classifier, bars and indicators; numba keeps what it compiled on disk."""
    from .aggressor import classify
    from .bars import BarBuilder, build_history
    from .dxlink.messages import feed_data
    from .dxlink.rows import encode_compact, index_of
    from .indicators import IndicatorManager
    from .model import Contract
    from .tastytrade.ahead import TimeGuard
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
    TimeGuard().admit(batch)
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
    forming = live.forming
    assert forming is not None
    live.footprint(forming.bar).poc  # noqa: B018 (a property that computes)


if __name__ == "__main__":
    warm()
