"""Part `decode`: messages that are already in memory, one at a time, to trades: our decoder beside the SDK's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from tests.benchmarks import tape
from tests.benchmarks.report import Part, Ratio, Spread

_CHANNEL = 13  # the SDK's own number for TimeAndSale


def measure(is_quick: bool) -> list[Part]:
    """ns per row at 1, 10 and 100 rows per message."""
    return asyncio.run(_measure(is_quick))  # the SDK's session wants a running loop


async def _measure(is_quick: bool) -> list[Part]:
    part = Part("decode: one message at a time, no socket", ("rows/message", "candidate", "ns/row"), ("tastytrade", "pydantic", "numba", "numpy"))
    rows = [tape.row(trade) for trade in tape.prints(2_000 if is_quick else 20_000)]
    for per in (1, 10, 100):
        raws = [tape.message(rows[at : at + per], _CHANNEL) for at in range(0, len(rows), per)]
        found = {"sdk": list[float](), "ours": list[float]()}
        ways = {"sdk": _sdk(), "ours": _ours()}
        for repeat in range(-1, 2 if is_quick else 5):
            for name, way in ways.items():
                some = raws[: len(raws) // 4] if name == "sdk" else raws
                started = time.perf_counter_ns()
                count = way(some)
                spent = time.perf_counter_ns() - started
                assert count == len(some) * per, f"{name} decoded {count} of {len(some) * per} rows"
                if repeat >= 0:  # the first warms up
                    found[name].append(spent / count)
        spreads = {name: Spread(values) for name, values in found.items()}
        for name, spread in spreads.items():
            part.add((str(per), name, spread))
        part.ratios.append(Ratio(f"decode, {per} rows per message, beside the SDK", spreads["sdk"].median / spreads["ours"].median))
    return [part]


def _sdk() -> Callable[[list[bytes]], int]:
    """What the streamer does with a message: json.loads, _map_message, and the consumer's take from the queue."""
    from tastytrade import DXLinkStreamer, Session
    from tastytrade.dxfeed import TimeAndSale

    streamer = DXLinkStreamer(Session("secret", "refresh"))

    def decode(raws: list[bytes]) -> int:
        count = 0
        for raw in raws:
            message = json.loads(raw)
            streamer._map_message(message["data"], message["channel"])
            while streamer.get_event_nowait(TimeAndSale) is not None:
                count += 1
        return count

    return decode


def _ours() -> Callable[[list[bytes]], int]:
    from tastytrade_provider.dxlink.messages import FeedData, parse
    from tastytrade_provider.model import Contract
    from tastytrade_provider.tastytrade.mapping import TradeDecoder

    decoder = TradeDecoder()
    decoder.watch(Contract("ES", "/ESZ6", tape.SYMBOL, tick_size=tape.TICK))

    def fields_of(_: str) -> tuple[str, ...]:
        return tape.COLUMNS

    def decode(raws: list[bytes]) -> int:
        count = 0
        for raw in raws:
            message = parse(raw)
            assert isinstance(message, FeedData)
            for batch in decoder.decode([message.raw], [0], fields_of):
                count += len(batch)
        return count

    return decode
