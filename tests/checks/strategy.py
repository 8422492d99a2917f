"""A user's strategy: it knows the interface and the names of two indicators, and leaves it to config.yaml beside it who serves."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import Any

from tastytrade_provider import Bar, create_provider
from tastytrade_provider.indicators import IndicatorManager

BARS = 25
TOLD = ["time", "close", "volume", "delta_source", "rsi", "cvd"]


async def main() -> None:
    manager = IndicatorManager()
    rsi, cvd = manager.create("rsi"), manager.create("cvd")
    heard: list[dict[str, Any]] = []
    async with create_provider(Path(__file__).with_name("config.yaml")) as provider:
        es = await provider.resolve("ES")
        async with provider.subscribe_bars(es, "1m", backfill=dt.timedelta(hours=1)) as live:
            async for bar in live:
                if isinstance(bar, Bar):
                    about = {"time": bar.start_ns, "close": bar.close, "volume": bar.volume, "delta_source": bar.delta_source}
                    heard.append(about | rsi.update(bar) | cvd.update(bar))
                if len(heard) == BARS:
                    break
        start, last = (dt.datetime.fromtimestamp(heard[at]["time"] // 10**9, dt.UTC) for at in (0, -1))
        bars = await provider.historical_bars(es, "1m", start, last + dt.timedelta(minutes=1))
    bars = bars.join(manager.calculate(bars, "rsi")).join(manager.calculate(bars, "cvd"))
    bars["time"] = bars.index.astype("int64")
    lines = {"heard": [{name: one[name] for name in TOLD} for one in heard], "asked": bars[TOLD].to_dict("records")}
    print(json.dumps({"provider": provider.name, "lines": lines}))


if __name__ == "__main__":
    asyncio.run(main())
