"""Part `live`: socket to delta, CVD and footprint, our whole path beside the SDK with a naive engine, over the same server and the same rows.

Each round starts both candidates anew, one after the other. Each must end with exactly the sums of the tape. Rows per second is wall time between the first and
the last hand-over; the server and the client share the machine, so it is a lower bound for the faster one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import tape
from tests.benchmarks.report import Part, Ratio, Spread
from tests.benchmarks.server import Load, running

TARGETS = {1: 20.0, 10: 25.0, 100: 20.0}  # at least so many times the SDK's rows per second, by rows per message
_PACED_PER_S = 2_000
_ROOT = Path(__file__).resolve().parents[2]


def measure(is_quick: bool) -> list[Part]:
    """The blast table and the paced one."""
    few = {1: 3_000, 10: 5_000, 100: 10_000} if is_quick else {1: 12_000, 10: 40_000, 100: 60_000}
    many = few if is_quick else {1: 150_000, 10: 400_000, 100: 600_000}  # the faster one needs more to last
    paced = Load(_PACED_PER_S // 2 if is_quick else 3 * _PACED_PER_S, 1, _PACED_PER_S)
    loads = {
        "sdk": [Load(few[per], per) for per in few] + [paced],
        "ours": [Load(few[per], per) for per in few] + [Load(many[per], per) for per in many if many != few] + [paced],
    }
    expected = {load.rows: list(tape.truth(load.rows)) for both in loads.values() for load in both}
    runs: dict[tuple[str, int, bool], list[dict[str, Any]]] = {}
    with running() as port:
        for _ in range(2 if is_quick else 5):
            for name in loads:
                longest = dict[tuple[int, bool], dict[str, Any]]()
                for run in _run(name, port, loads[name]):
                    assert run["sums"] == expected[run["rows"]], f"{name} ends with {run['sums']}, the tape with {expected[run['rows']]}"
                    longest[run["per_message"], bool(run["per_s"])] = run  # the later one has more rows
                for key, run in longest.items():
                    runs.setdefault((name, *key), []).append(run)
    return [_blast(runs), _paced(runs)]


def _run(name: str, port: int, loads: list[Load]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.benchmarks.live_clients", name, str(port), *("/".join(map(str, load)) for load in loads)]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _spread(runs: list[dict[str, Any]], name: str) -> Spread:
    return Spread([run[name] for run in runs])


_PACKAGES = ("tastytrade", "httpx2", "pydantic", "picows", "numba", "numpy")


def _blast(runs: dict[tuple[str, int, bool], list[dict[str, Any]]]) -> Part:
    part = Part(
        "live: socket to delta, CVD and footprint, as fast as it goes",
        ("rows/message", "candidate", "krows/s", "client CPU ns/row", "ratio", "target"),
        _PACKAGES,
    )
    for per, target in TARGETS.items():
        peer = _spread(runs["sdk", per, False], "krows_s").median
        for name in ("sdk", "ours"):
            mine = runs[name, per, False]
            ratio = _spread(mine, "krows_s").median / peer
            part.add((str(per), name, _spread(mine, "krows_s"), _spread(mine, "cpu_ns_row"), f"{ratio:.1f}x", f"{target:g}x" if name == "ours" else ""))
        part.ratios.append(Ratio(f"live, {per} rows per message, rows/s beside the SDK", ratio, target))
        cpu = _spread(runs["sdk", per, False], "cpu_ns_row").median / _spread(runs["ours", per, False], "cpu_ns_row").median
        part.ratios.append(Ratio(f"live, {per} rows per message, CPU beside the SDK", cpu))
    part.notes.append("both ended with the same bars, delta and footprint cells as the tape")
    return part


def _paced(runs: dict[tuple[str, int, bool], list[dict[str, Any]]]) -> Part:
    part = Part(
        f"live: {_PACED_PER_S} messages/s of one row, from the server's send to the callback",
        ("candidate", "p50 us", "p99 us", "CPU % of a core"),
        _PACKAGES,
    )
    for name in ("sdk", "ours"):
        mine = runs[name, 1, True]
        part.add((name, _spread(mine, "p50_us"), _spread(mine, "p99_us"), Spread([100 * run["cpu_share"] for run in mine])))
    return part
