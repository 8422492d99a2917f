#!/usr/bin/env python3
"""Runs this checkout on a fresh machine.

    python3 dev.py demo            the whole chain on a built-in exchange, in the browser; no account needed
    python3 dev.py test            every test, on up to four cores (`-n0`: one after another)
    python3 dev.py lint            ruff, mypy and the import contracts (arguments go to `ruff check`)
    python3 dev.py bench           benchmarks
    python3 dev.py chaos           faults injected into a running chain
    python3 dev.py soak            hours of load
    python3 dev.py test-adapters   adapters, each beside the framework it is for

On Windows: `py dev.py ...`. Further arguments go to the tool. Paths are relative to this file's folder.

One file, standard library only. Any Python from 3.8 can start it; it looks for 3.11 or newer (or lets uv find one), makes .venv,
installs what the verb needs, and installs again when setup.cfg or pyproject.toml change. PIP_* and UV_* settings pass through.
Its own lines go to stderr; stdout belongs to the tool. Exit code: the tool's; 2 for a verb or tool that is not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, NamedTuple, NoReturn, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "dev-stamp.json"
OLDEST = (3, 11)
KNOWN = ("3.14", "3.13", "3.12", "3.11")  # the versions whose packages all come as ready wheels


class Verb(NamedTuple):
    """extras: what to install; commands: run in turn by .venv's Python; needs: the file without which there is nothing to run."""

    extras: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    needs: str | None = None


def _script(extras: tuple[str, ...], path: str) -> Verb:
    return Verb(extras, ((path,),), needs=path)


VERBS: dict[str, Verb] = {
    "demo": Verb(("service",), (("-m", "tastytrade_provider", "demo"),), needs="tastytrade_provider/__main__.py"),
    "test": Verb(("dev",), (("-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"),)),
    "lint": Verb(
        ("dev",),
        (
            ("-m", "ruff", "check"),
            ("-m", "ruff", "format", "--check"),
            ("-m", "mypy"),
            ("-c", "from importlinter.cli import lint_imports_command as run; run()", "--config", "setup.cfg"),
        ),
    ),
    "bench": _script(("dev",), "tests/benchmarks/run.py"),
    "chaos": _script(("dev",), "tests/chaos/run.py"),
    "soak": _script(("dev",), "tests/soak/run.py"),
    "test-adapters": _script(("dev",), "tests/adapters/run.py"),
}


class Stop(Exception):
    """Ends the run with one message and an exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def say(text: str) -> None:
    """One line of our own, kept off stdout."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


class Interpreter(NamedTuple):
    """A Python that answered: how to call it, its version, and whether it can make virtual environments."""

    command: tuple[str, ...]
    version: tuple[int, int]
    has_ensurepip: bool


PROBE = "import sys, importlib.util as u; print(*sys.version_info[:2], int(None not in (u.find_spec('venv'), u.find_spec('ensurepip'))))"


def probe(command: Sequence[str]) -> Interpreter | None:
    """What this Python says of itself; None if it does not run (a shim may stand where nothing is installed)."""
    try:
        done = subprocess.run([*command, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 3:
        return None
    return Interpreter(tuple(command), (int(words[0]), int(words[1])), words[2] == b"1")


def candidates() -> Iterator[tuple[str, ...]]:
    """Commands that may be a Python new enough: this one first, then by name, newest first."""
    yield (sys.executable,)
    for version in KNOWN:
        if os.name == "nt":
            yield ("py", "-" + version)
        else:
            found = shutil.which("python" + version)
            if found:
                yield (found,)


def find_python(commands: Sequence[Sequence[str]] | None = None) -> Interpreter:
    """The first Python that is new enough and can make virtual environments. Raises Stop saying what to install."""
    without_ensurepip = None
    for command in candidates() if commands is None else commands:
        python = probe(command)
        if python is None or python.version < OLDEST:
            continue
        if python.has_ensurepip:
            return python
        without_ensurepip = without_ensurepip or python
    if without_ensurepip:
        raise Stop(ensurepip_message(without_ensurepip))
    raise Stop(
        f"needs Python {dotted(OLDEST)} or newer and found none (this is {dotted(sys.version_info[:2])}). Install one "
        f"(Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python; Windows: winget install Python.Python.3.13), "
        f"or install uv (https://docs.astral.sh/uv), which brings its own."
    )


def ensurepip_message(python: Interpreter) -> str:
    """What to install where a distribution ships Python without its venv module."""
    version = dotted(python.version)
    return (
        f"Python {version} ({' '.join(python.command)}) cannot make virtual environments: ensurepip is missing. "
        f"On Debian and Ubuntu: sudo apt install python{version}-venv. Or install uv (https://docs.astral.sh/uv), which does not need it."
    )


def dotted(version: Sequence[object]) -> str:
    """(3, 11) as 3.11."""
    return ".".join(str(part) for part in version)


def fingerprint(root: Path = ROOT) -> str:
    """Changes when an installation made before no longer fits: other dependencies, or the checkout has moved."""
    digest = hashlib.sha256(str(root).encode())
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update(b"\0" + (root / name).read_bytes())
    return digest.hexdigest()


def read_stamp(path: Path = STAMP) -> tuple[str, list[str]]:
    """(fingerprint, extras) of the last complete installation; ("", []) where there was none."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
        return str(stamp["fingerprint"]), [str(extra) for extra in stamp["extras"]]
    except (OSError, ValueError, KeyError, TypeError):
        return "", []  # absent or damaged: either way it says nothing, and installing again is safe


def extras_to_install(wanted: Sequence[str], stamp: tuple[str, Sequence[str]], now: str) -> list[str]:
    """The extras to hand to the installer, those already there included; [] when nothing is to be done."""
    then, installed = stamp
    if then == now and set(wanted) <= set(installed):
        return []
    return sorted({*wanted, *installed})


def quietly(what: str, command: Sequence[str]) -> None:
    """Run a step without its output, and say how long it took. On failure show that output and raise Stop."""
    say(f"{what} ...")
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise Stop(f"{what} failed (exit code {done.returncode}); the tool's own words stand above")
    say(f"{what}: done in {time.monotonic() - started:.1f} s")


def venv_python() -> Path:
    """The environment's own interpreter."""
    return SCRIPTS / ("python.exe" if os.name == "nt" else "python")


def ensure_venv(uv: str | None) -> None:
    """Make .venv unless one is there that works: new enough, and with pip where pip is what installs."""
    python = probe([str(venv_python())]) if venv_python().exists() else None
    if python and python.version >= OLDEST and (uv or subprocess.call([str(venv_python()), "-c", "import pip"], stderr=subprocess.DEVNULL) == 0):
        return
    if uv:
        # --seed brings pip along, so that the environment serves after uv has gone
        quietly("making .venv with uv", [uv, "venv", "--quiet", "--seed", "--clear", "--python", ">=" + dotted(OLDEST), str(VENV)])
    else:
        base = find_python()
        quietly(f"making .venv with Python {dotted(base.version)}", [*base.command, "-m", "venv", "--clear", str(VENV)])


def install(extras: Sequence[str], uv: str | None) -> None:
    """Put the checkout and these extras into .venv, editable."""
    target = f".[{','.join(extras)}]"
    pip = [uv, "pip", "install", "--quiet", "--python", str(venv_python())] if uv else [str(venv_python()), "-m", "pip", "install", "--quiet", "--no-input"]
    quietly(f"installing {target} with {'uv' if uv else 'pip'} (a minute or two the first time)", [*pip, "--editable", target])


def prepare(wanted: Sequence[str]) -> None:
    """Make .venv hold the checkout with these extras. Where it already does, this takes a few milliseconds."""
    now = fingerprint()
    if venv_python().exists() and not extras_to_install(wanted, read_stamp(), now):
        return
    uv = shutil.which("uv")
    ensure_venv(uv)  # a new environment has no stamp, so read it afterwards
    extras = extras_to_install(wanted, read_stamp(), now)
    install(extras, uv)
    if (ROOT / "tastytrade_provider" / "warm.py").exists():
        quietly("compiling the kernels", [str(venv_python()), "-m", "tastytrade_provider.warm"])
    STAMP.write_text(json.dumps({"fingerprint": now, "extras": extras}), encoding="utf-8")


def run(command: Sequence[str]) -> int:
    """Run one command in the checkout and return its exit code. Ctrl-C reaches the command; we wait until it has tidied up."""
    child = subprocess.Popen(command, cwd=ROOT)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def become(command: Sequence[str]) -> NoReturn:
    """Hand the process over to a command: signals and exit code are then the command's own. Windows has no such thing, so there we wait."""
    if os.name == "nt":
        raise SystemExit(run(command))
    os.chdir(ROOT)
    os.execv(command[0], list(command))


def run_all(commands: Sequence[Sequence[str]]) -> int:
    """Run every command even if one fails; the first failure's exit code."""
    worst = 0
    for command in commands:
        say(" ".join(command[1:] if command[1] != "-c" else ["lint-imports", *command[3:]]))
        code = run(command)
        worst = worst or code
    say("all clean" if worst == 0 else "not clean, see above")
    return worst


def usage(unknown: str | None = None) -> str:
    """The verbs, and which word was none of them."""
    return (f"'{unknown}' is not a verb; " if unknown else "") + f"verbs: {', '.join(VERBS)}"


def main(arguments: Sequence[str]) -> int:
    """Run one verb; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    name, rest = arguments[0], list(arguments[1:])
    verb = VERBS.get(name)
    if verb is None:
        raise Stop(usage(name), code=2)
    if verb.needs and not (ROOT / verb.needs).exists():
        raise Stop(f"'{name}' has nothing to run yet: {verb.needs} is not in this checkout", code=2)
    prepare(verb.extras)
    first, *others = ([str(venv_python()), *command] for command in verb.commands)
    if not others:
        become([*first, *rest])
    return run_all([[*first, *rest], *others])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        say(str(stop))
        sys.exit(stop.code)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
