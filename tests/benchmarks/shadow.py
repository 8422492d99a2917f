"""Part `shadow`: what a program feels of the shadow beside its provider. Latency from the socket to the callback, alone and with shadows in every state.

A round has every case once, in an order that turns from round to round, in a fresh process for the primary; the shadow has its own, and so has the server. It
sends trades one by one at the rate of a busy market; the time is from its send to the program's callback, on the machine's one monotonic clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.benchmarks.report import Part, Ratio, Spread
from tests.benchmarks.server import Load, running
from tests.benchmarks.shadow_client import CASES

TARGETS: Final = {"p50_us": 1.2, "p99_us": 1.5}
"""At most so many times the figure alone, as medians over the rounds."""
PER_S: Final = 400
"""Trades a second, each in a message of its own: ES when it is busy."""
_ROOT = Path(__file__).resolve().parents[2]

Round = dict[str, dict[str, float]]
"""Case -> p50_us and p99_us."""


def measure(is_quick: bool) -> list[Part]:
    """Five rounds of some eight seconds a case."""
    load = Load(PER_S if is_quick else 8 * PER_S, 1, PER_S)
    with running() as port:
        return parts([_round(port, load, turn) for turn in range(2 if is_quick else 5)])


def _round(port: int, load: Load, turn: int) -> Round:
    cases = list(CASES)
    cases = cases[turn % len(cases) :] + cases[: turn % len(cases)]
    command = [sys.executable, "-m", "tests.benchmarks.shadow_client", str(port), "/".join(map(str, load)), *cases]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


def parts(rounds: list[Round]) -> list[Part]:
    """The table and the judgement."""
    part = Part(
        f"shadow: {PER_S} trades/s one by one, from the server's send to the program's callback", ("case", "p50 us", "p99 us"), ("picows", "numba", "numpy")
    )
    spreads = {(case, name): Spread([one[case][name] for one in rounds]) for case in CASES for name in TARGETS}
    for case, meaning in CASES.items():
        part.add((case, *(spreads[case, name] for name in TARGETS)))
        part.notes.append(f"{case}: {meaning}")
        for name, target in TARGETS.items() if case != "alone" else ():
            ratio = spreads[case, name].median / spreads["alone", name].median
            judged = None if case == "healthy" else target
            part.ratios.append(Ratio(f"shadow {case}, {name.removesuffix('_us')} beside the primary alone", ratio, judged, at_most=True))
    part.notes.append("rounds, in turn (p50/p99 us): " + " | ".join(_told(one) for one in rounds))
    return [part]


def _told(one: Round) -> str:
    return ", ".join(f"{case} {'/'.join(f'{figures[name]:.0f}' for name in TARGETS)}" for case, figures in one.items())
