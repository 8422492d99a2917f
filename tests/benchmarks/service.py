"""Part `service`: a crowd of WebSocket clients on a busy market, some of which stop reading: does everybody else get every bar, and how soon?"""

from __future__ import annotations

from typing import Final

from tests.benchmarks.report import Part, Ratio, Spread
from tests.service.load import run

MOST_MS: Final = 250.0
"""From a print to the client, for 99 of 100 prints."""
GROWTH: Final = 1.1
"""Memory at the end, beside that after a third of the time."""


def measure(is_quick: bool) -> list[Part]:
    """One run: a minute with 200 clients, 20 of them deaf."""
    clients, deaf, rate, seconds = (20, 2, 500, 12) if is_quick else (200, 20, 2000, 60)
    found = run(clients, deaf, rate, seconds)
    part = Part(
        f"service: {clients} WebSocket clients on 5-second bars, {deaf} of which stop reading, {rate:,} trades/s, {seconds} s",
        ("of", "p50 ms", "p99 ms", "longest ms"),
        ("fastapi", "uvicorn", "websockets", "orjson"),
    )
    part.add(("a print to a client that reads", *(Spread([found[name]]) for name in ("p50_ms", "p99_ms", "max_ms"))))
    early, late = found["resident_mib"]
    part.ratios.append(Ratio(f"service, p99 beside {MOST_MS:.0f} ms", found["p99_ms"] / MOST_MS, None if is_quick else 1.0, at_most=True))
    part.ratios.append(Ratio(f"service, memory at the end beside {early:.0f} MiB after a third", late / early, None if is_quick else GROWTH, at_most=True))
    part.ratios.append(Ratio("service, bars that a client missed or got twice", float(found["missing_bars"] + found["doubled_bars"]), 0.0, at_most=True))
    if not is_quick:
        part.ratios.append(Ratio("service, closed bars beside the 11 that a minute surely has", found["closed_bars"] / 11, 1.0))
    part.notes.append(f"{found['closed_bars']} bars closed while all were there; {found['messages']:,} messages; stopped in {found['stopped_in_s']} s")
    return [part]
