#!/usr/bin/env python3
"""Chaos in virtual time: per seed some hours of a market, with everything going wrong that can, and consumers that come and go.

Even seeds have the feed's history of trades to fill outages from, odd ones do not. Exit code 1 where a trade was lost outside every gap that was told,
or handed over twice, or stands otherwise than the exchange says, or where a replay of what was recorded differs from what was handed over live.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
if TYPE_CHECKING:
    from tests.chaos.scenario import Outcome


def main(arguments: list[str]) -> int:
    """Run the seeds, tell the bad ones, sum up."""
    parser = argparse.ArgumentParser(prog="dev.py chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many (default: %(default)s; 1,000 take about half an hour on two quiet cores)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: as many as there are cores, %(default)s)")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs: at least 1")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # started as a file, its folder is there instead
    began_s, done, bad = time.monotonic(), 0, 0
    sent = lost = doubled = inside = 0
    hours = cpu_s = 0.0
    faults = reconnects = tokens = 0
    for outcome in _outcomes(range(options.first_seed, options.first_seed + options.seeds), options.jobs):
        done += 1
        tally = outcome.tally
        sent, lost, doubled, inside = sent + tally.sent, lost + tally.lost, doubled + tally.doubled, inside + tally.inside
        hours, cpu_s, faults = hours + outcome.hours, cpu_s + outcome.seconds, faults + outcome.faults
        reconnects, tokens = reconnects + outcome.reconnects, tokens + outcome.tokens
        if not outcome.is_good:
            bad += 1
            print(f"seed {outcome.seed} failed; repeat it with: python3 dev.py chaos --seeds 1 --first-seed {outcome.seed}", flush=True)
            for text in tally.wrong:
                print(f"  {text}", flush=True)
        if done % 10 == 0 or done == options.seeds:
            print(f"{done} of {options.seeds} seeds, {bad} bad, {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    print(f"{hours:.0f} hours of market, {faults} faults, {reconnects} reconnects, {tokens} quote tokens, {cpu_s:.0f} s of computing, {bad} bad seeds")
    print(f"seeds {done}, trades sent {sent}, lost {lost}, doubled {doubled}, inside gaps {inside}")
    return 1 if bad else 0


def _outcomes(seeds: range, jobs: int) -> Iterator[Outcome]:
    from tests.chaos import scenario

    if jobs == 1 or len(seeds) == 1:
        yield from map(scenario.run, seeds)
        return
    with ProcessPoolExecutor(min(jobs, len(seeds)), initializer=sys.path.insert, initargs=(0, str(ROOT))) as pool:
        yield from pool.map(scenario.run, seeds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
