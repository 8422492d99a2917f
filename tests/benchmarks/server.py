"""A loopback server that sends a tape as fast as a client takes it, or at a pace: raw sockets, frames made beforehand, sent in pieces of 256 KiB.

It is a process of its own and speaks just enough: the websocket upgrade, the DXLink handshake, and `GET .../api-quote-tokens`, which the SDK asks first.
The path says what to send: `/dxlink/<rows>/<rows per message>/<messages per second, 0: no pace>`; with `/plain/...` the frames come right after the upgrade,
and the client of `/shadow/...`, the same otherwise, may break off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import tape

_PIECE = 256 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Load(NamedTuple):
    """What one connection is to be sent; `per_s` 0 means as fast as it goes."""

    rows: int
    per_message: int
    per_s: int = 0

    def path(self, kind: str = "dxlink") -> str:
        """The address's path that asks for it."""
        return f"/{kind}/{self.rows}/{self.per_message}/{self.per_s}"


def frame(payload: bytes) -> bytes:
    """A text frame as a server sends it: final, not masked."""
    n = len(payload)
    head = bytes((0x81, n)) if n < 126 else b"\x81\x7e" + n.to_bytes(2, "big") if n < 65_536 else b"\x81\x7f" + n.to_bytes(8, "big")
    return head + payload


class _Tape:
    """Frames of the tape, made once for each load and kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[str] = []
        self._made: dict[tuple[Load, int], list[bytes]] = {}

    def frames(self, load: Load, channel: int) -> list[bytes]:
        with self._lock:
            if len(self._rows) < load.rows:
                self._rows = [tape.row(trade) for trade in tape.prints(load.rows)]
            key = (load._replace(per_s=0), channel)
            if key not in self._made:
                starts = range(0, load.rows, load.per_message)
                self._made[key] = [frame(tape.message(self._rows[at : min(at + load.per_message, load.rows)], channel)) for at in starts]
            return self._made[key]


class _Client:
    """One accepted socket."""

    def __init__(self, connection: socket.socket, frames: _Tape) -> None:
        self._socket, self._tape = connection, frames
        self._unread = b""
        self._sent_ns: list[int] = []
        self.may_break_off = False

    def serve(self, stamps: dict[str, list[int]]) -> None:
        while b"\r\n\r\n" not in self._unread:
            if not self._more():
                return
        head, self._unread = self._unread.split(b"\r\n\r\n", 1)
        path = head.split(b" ", 2)[1].decode()
        if path == "/stamps":
            self._answer(stamps)
        elif path.endswith("/api-quote-tokens"):
            host = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"host:")).decode()
            self._answer({"data": {"token": "token", "dxlink-url": f"ws://{host}{path.removesuffix('/api-quote-tokens')}", "level": "api"}})
        else:
            kind, *numbers = path.strip("/").split("/")
            self.may_break_off = kind == "shadow"
            load = Load(*map(int, numbers))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            frames = self._tape.frames(load, 1) if kind == "plain" else []
            self._upgrade(head)
            if kind != "plain":
                frames = self._tape.frames(load, self._handshake())
            self._send(frames, load.per_s)
            stamps[path] = self._sent_ns
            while self._more():  # until the client has all and goes
                self._unread = b""

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self._socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _upgrade(self, head: bytes) -> None:
        key = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self._socket.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept)

    def _handshake(self) -> int:
        """DXLink up to the first subscription; its channel."""
        while True:
            said = json.loads(self._receive())
            channel = said["channel"]
            match said["type"]:
                case "SETUP":
                    self._say({"type": "SETUP", "channel": 0, "version": "1.0", "keepaliveTimeout": 60, "acceptKeepaliveTimeout": 60})
                    self._say({"type": "AUTH_STATE", "channel": 0, "state": "UNAUTHORIZED"})
                case "AUTH":
                    self._say({"type": "AUTH_STATE", "channel": 0, "state": "AUTHORIZED", "userId": "bench"})
                case "CHANNEL_REQUEST":
                    self._say({**said, "type": "CHANNEL_OPENED"})
                case "FEED_SETUP":
                    fields = {"TimeAndSale": tape.COLUMNS}
                    self._say({"type": "FEED_CONFIG", "channel": channel, "aggregationPeriod": 0, "dataFormat": "COMPACT", "eventFields": fields})
                case "FEED_SUBSCRIPTION":
                    return int(channel)

    def _send(self, frames: list[bytes], per_s: int) -> None:
        if not per_s:
            blob = memoryview(b"".join(frames))
            for at in range(0, len(blob), _PIECE):
                self._socket.sendall(blob[at : at + _PIECE])
            return
        start = time.monotonic() + 0.05
        for i, one in enumerate(frames):
            time.sleep(max(0.0, start + i / per_s - time.monotonic()))
            self._sent_ns.append(time.monotonic_ns())
            self._socket.sendall(one)

    def _say(self, message: dict[str, object]) -> None:
        self._socket.sendall(frame(json.dumps(message, separators=(",", ":")).encode()))

    def _receive(self) -> bytes:
        """One message of the client: short, whole and masked."""
        head = self._take(2)
        if head[0] & 15 == 8:
            raise ConnectionError("the client closed during the handshake")
        n = head[1] & 127
        if n == 126:
            n = int.from_bytes(self._take(2), "big")
        mask, body = self._take(4), self._take(n)
        return bytes(byte ^ mask[i % 4] for i, byte in enumerate(body))

    def _take(self, n: int) -> bytes:
        while len(self._unread) < n:
            if not self._more():
                raise ConnectionError("the client left during the handshake")
        taken, self._unread = self._unread[:n], self._unread[n:]
        return taken

    def _more(self) -> bool:
        try:
            got = self._socket.recv(65_536)
        except ConnectionError:
            return False
        self._unread += got
        return bool(got)


def serve() -> None:
    """Listen on a free port of the loopback, print it, and serve until stdin ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    frames, stamps = _Tape(), dict[str, list[int]]()

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            client = _Client(connection, frames)
            with connection:
                try:
                    client.serve(stamps)
                except ConnectionError as error:
                    if not client.may_break_off:
                        print(f"bench server: {error}", file=sys.stderr, flush=True)

    for _ in range(4):  # the SDK keeps its REST connection while it streams
        threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


@contextmanager
def running() -> Iterator[int]:
    """The server in a process of its own; its port."""
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.server"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.communicate()


def sent_ns(port: int, load: Load) -> list[int]:
    """When each message of a paced load was sent, by the machine's monotonic clock."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/stamps", timeout=10) as answer:
        stamps: dict[str, list[int]] = json.load(answer)
    return stamps[load.path()]


if __name__ == "__main__":
    serve()
