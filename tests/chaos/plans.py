"""What a seed means: when, how long, which faults, what the exchange keeps. Everything is drawn from the seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from tastytrade_provider.emulator import Oddities, Wire
from tests.chaos.exchange import Keeps

_MONDAY_NS: Final = 1_772_409_600 * 10**9  # 2026-03-02 00:00 UTC
_HOUR_NS: Final = 3600 * 10**9
_WITHHOLDS: Final[tuple[Keeps, ...]] = ("cut", "empty", "mute", "refused")


@dataclass(frozen=True)
class Plan:
    """What a seed means.

    keeps, tells_cancels, quote_life_s, wire   as `Exchange` takes them       oddities, prints_per_s   of its market, each of two contracts
    start_ns, hours   when the market is watched, and how long                 faults                   as the emulator takes them
    network_s         mean seconds between outages of the network              drops_columns            some fault takes columns away
    """

    seed: int
    keeps: Keeps
    start_ns: int
    hours: float
    prints_per_s: float
    faults: tuple[str, ...]
    network_s: float
    quote_life_s: float
    tells_cancels: bool
    wire: Wire
    oddities: Oddities
    drops_columns: bool


def plan(seed: int) -> Plan:
    """Even seeds have the history of trades to draw on, odd ones do not."""
    rng = random.Random(f"plan {seed}")
    keeps: Keeps = "whole" if seed % 2 == 0 else rng.choice(_WITHHOLDS)
    drops = rng.random() < 0.2  # a column that is not sent cannot be known: then prints have no oddities that only it tells
    faults = [f"{name}=every:{rng.uniform(900, 4000):.0f}s" for name in ("silence", "duplicate", "reorder", "auth_state") if rng.random() < 0.7]
    faults += [f"error={kind}@every:{rng.uniform(600, 3600):.0f}s" for kind in ("UNSUPPORTED_PROTOCOL", "INVALID_MESSAGE", "BAD_ACTION") if rng.random() < 0.5]
    faults += [f"rest={kind}@every:{rng.uniform(300, 3000):.0f}s" for kind in ("401", "403", "429", "429-retry-after", "502", "html") if rng.random() < 0.5]
    if drops:
        mean_s = rng.uniform(60, 400)
        faults += [f"{name}=every:{mean_s * rng.uniform(2, 6):.0f}s" for name in ("reset", "close", "channel_closed", "token_expiry", "columns")]
        faults.append(f"columns=drop@every:{rng.uniform(300, 2000):.0f}s")
    else:
        faults.append(f"random={seed}@{rng.choice([20, 60, 120, 300])}s")
    faults += [f"session_limit={rng.choice([1, 2, 3])}"] if rng.random() < 0.25 else []
    faults += [f"slow_setup={rng.uniform(0.5, 8):.1f}s"] if rng.random() < 0.15 else []
    faults += [f"no_keepalive={rng.choice([15, 30])}s"] if rng.random() < 0.15 else []
    faults += [f"subscription_rate={rng.choice([2, 5])}"] if rng.random() < 0.1 else []
    some = rng.random() < 0.5 and not drops
    oddities = Oddities(0.02, 0.01, 0.01, 0.0, 0.02, 0.01) if some else Oddities(nan_quote=0.01)
    return Plan(
        seed=seed,
        keeps=keeps,
        start_ns=_MONDAY_NS + int(rng.uniform(0, 4.8) * 24 * _HOUR_NS),
        hours=rng.uniform(1.0, 3.0),
        prints_per_s=rng.uniform(0.2, 0.9),
        faults=tuple(faults),
        network_s=rng.choice([200.0, 600.0, 1800.0]),
        quote_life_s=rng.uniform(500, 2400),
        tells_cancels=rng.random() < 0.75,
        wire=Wire(rows_per_message=rng.choice([None, None, 1, 3]), history_cap={"TimeAndSale": 1 if keeps == "cut" else 1_000_000, "Candle": 8000}),
        oddities=oddities,
        drops_columns=drops,
    )
