"""Part `transport`: three websocket clients that only count bytes, so that the choice in `tastytrade/stream.py` has numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.report import Part, Ratio, Spread
from tests.benchmarks.server import Load, running

CANDIDATES = ("picows", "websockets", "aiohttp")
_ROOT = Path(__file__).resolve().parents[2]


def measure(is_quick: bool) -> list[Part]:
    """Rows per second and CPU per row, by rows per message."""
    rows = {1: 2_000, 10: 5_000, 100: 10_000} if is_quick else {1: 100_000, 10: 400_000, 100: 600_000}
    loads = [Load(rows[per], per) for per in rows]
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with running() as port:
        for _ in range(2 if is_quick else 5):
            for name in CANDIDATES:
                command = [sys.executable, "-m", "tests.benchmarks.transport_clients", name, str(port), *("/".join(map(str, load)) for load in loads)]
                done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
                for line in done.stdout.splitlines():
                    run = json.loads(line)
                    runs.setdefault((name, run["per_message"]), []).append(run)
    part = Part("transport: socket to a callback that counts bytes", ("rows/message", "candidate", "krows/s", "CPU ns/row"), CANDIDATES)
    for per in rows:
        assert len({run["bytes"] for name in CANDIDATES for run in runs[name, per]}) == 1, "the candidates did not receive the same bytes"
        spreads = {name: Spread([run["krows_s"] for run in runs[name, per]]) for name in CANDIDATES}
        for name in CANDIDATES:
            part.add((str(per), name, spreads[name], Spread([run["cpu_ns_row"] for run in runs[name, per]])))
        second = max(spreads[name].median for name in CANDIDATES[1:])
        part.ratios.append(Ratio(f"transport, {per} rows per message, picows beside the better of the others", spreads["picows"].median / second))
    return [part]
