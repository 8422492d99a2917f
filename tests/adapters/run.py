"""Each adapter beside the framework it is for: `python3 dev.py test-adapters [ENVIRONMENT ...]`; anything else goes to pytest.

A framework that cannot share an environment with the others has one of its own. They lie in .venv/adapters, are made the first time, and again
when their list changes. The checkout itself is on the path: adapters need nothing of it but the indicators.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv" / "adapters"
OURS = ("numba>=0.60", "pandas-market-calendars>=5.5.0", "TA-Lib>=0.8", "pytest>=8.3", "pytest-asyncio>=1.0", "pytest-timeout>=2.3", "hypothesis>=6.100")
ENVIRONMENTS = {
    "light": ("backtrader", "pandas-ta-classic", "talipp"),
    "nautilus": ("nautilus_trader",),  # up to Python 3.11 its last version wants pandas below 3
    "freqtrade": ("freqtrade",),  # pins most of what it imports
}
MODULES = {
    "light": ("backtrader", "pandas_ta_classic", "talipp"),
    "nautilus": ("nautilus_trader",),
    "freqtrade": ("freqtrade",),
}


def prepare(name: str) -> Path:
    """The environment's interpreter; installs what is not there."""
    folder = HOME / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join((*OURS, *ENVIRONMENTS[name]))
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"test-adapters: making {folder} with {', '.join(ENVIRONMENTS[name])} ...", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-input", *OURS, *ENVIRONMENTS[name]], check=True)
        stamp.write_text(wanted)
    return python


def main(arguments: list[str]) -> int:
    """0 where every framework was there and every test passed."""
    chosen = [name for name in arguments if name in ENVIRONMENTS] or list(ENVIRONMENTS)
    options = [option for option in arguments if option not in ENVIRONMENTS]
    failed = []
    for name in chosen:
        try:
            python = prepare(name)
            check = subprocess.run([python, "-W", "ignore", "-c", f"import {', '.join(MODULES[name])}"], cwd=ROOT)
            tests = subprocess.run([python, "-m", "pytest", "-q", "-rs", "tests/adapters", *options], cwd=ROOT)
            failed += [name] if check.returncode or tests.returncode else []
        except subprocess.CalledProcessError as error:
            print(f"test-adapters: {name}: {' '.join(map(str, error.cmd[:5]))} ... failed", file=sys.stderr)
            failed.append(name)
    print(f"test-adapters: {'failed in ' + ', '.join(failed) if failed else 'all passed in ' + ', '.join(chosen)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
