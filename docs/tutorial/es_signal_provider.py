"""The same signal on the interface, with what each bar's buyers and sellers did.

python es_signal_provider.py 2    stops after two new bars; without a number it goes on

There is no signal, and no line, before the session has as many bars as the slow average needs.
"""

import asyncio
import datetime as dt
import sys

import numpy as np

from tastytrade_provider import Bar, MarketDataError, create_provider

FAST, SLOW = 5, 20
NEW_BARS = int(sys.argv[1]) if len(sys.argv) > 1 else None


async def main():
    async with create_provider("config.yaml") as provider:
        es = await provider.resolve("ESZ6")
        history = await provider.historical_bars(es, "5m")
        print(f"{len(history)} bars of this session")
        closes = dict(zip(history.index.as_unit("ns").asi8.tolist(), history["close"], strict=True))
        told = 0
        async for bar in provider.subscribe_bars(es, "5m"):
            if isinstance(bar, Bar):
                closes[bar.start_ns] = bar.close  # a bar that was repaired comes again, and takes its place
                told += bar.revision == 0
                tell(bar, [closes[start] for start in sorted(closes)])
            else:
                print("trades may be missing:", bar)
            if told == NEW_BARS:
                break


def tell(bar, closes):
    if len(closes) < SLOW:
        return
    fast, slow = (np.mean(closes[-length:]) for length in (FAST, SLOW))
    start = dt.datetime.fromtimestamp(bar.start_ns / 1e9, dt.UTC)
    signal = "LONG" if fast > slow else "SHORT"
    print(f"{start:%H:%M} close {bar.close:.2f}  fast {fast:.2f}  slow {slow:.2f}  {signal}  delta {bar.delta:+.0f}")


try:
    asyncio.run(main())
except MarketDataError as error:  # such as a login that is missing or refused
    sys.exit(f"{type(error).__name__}: {error}")
