#!/usr/bin/env python3
"""Benchmarks: tables of medians beside good libraries, measured in one run on one machine, and whether the ratios reach their targets.

Absolute figures belong to the machine that printed them; the ratios are what is promised. Exit code 1 where one misses its target.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("decode", "live", "transport", "batch", "journal", "indicators", "shadow", "service")


def main(arguments: list[str]) -> int:
    """Measure the parts named (all, where none is), print their tables, write the JSON, judge the ratios."""
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all of them where none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, and little else")
    parser.add_argument("--no-gate", action="store_true", help="print the ratios without judging them")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where every value measured goes (default: %(default)s)")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"part {sorted(unknown)[0]!r} is none of {', '.join(PARTS)}")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # started as a file, its folder is there instead
    started, measured = time.monotonic(), []
    for name in options.parts or PARTS:
        for part in importlib.import_module(f"tests.benchmarks.{name}").measure(options.quick):
            print(part.text(), flush=True)
            measured.append(part)
    options.json.write_text(json.dumps({"quick": options.quick, "parts": [part.as_json() for part in measured]}, indent=1) + "\n", encoding="utf-8")
    missed = [ratio for part in measured for ratio in part.ratios if not ratio.is_met]
    print(f"{time.monotonic() - started:.0f} s{' with small sizes' * options.quick}; every value is in {options.json}; {len(missed)} targets missed")
    return 1 if missed and not options.no_gate else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
