"""Sends the endless tape at a pace, from a process of its own: the benchmarks' server, with frames made as they are sent instead of beforehand."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tests.benchmarks.server import Load, _Client
from tests.soak import tape


class _Tape:
    """What a client is sent."""

    def frames(self, load: Load, channel: int) -> Iterator[bytes]:
        """One message after the other."""
        return tape.frames(load.rows, channel)


def serve() -> None:
    """Listen on a free port of the loopback, print it, serve one client."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                _Client(connection, cast(Any, _Tape())).serve({})
            except ConnectionError as error:
                print(f"soak server: {error}", file=sys.stderr, flush=True)

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


@contextmanager
def running() -> Iterator[int]:
    """The server in a process of its own; its port."""
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-m", "tests.soak.server"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.communicate()


if __name__ == "__main__":
    serve()
