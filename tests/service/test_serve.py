from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tastytrade_provider.commands.serve import run
from tastytrade_provider.errors import ConfigError
from tastytrade_provider.journal import verify
from tests.checks.journals import ROOT
from tests.service.stage import wall

CODE = "from tastytrade_provider.commands.serve import run; run(host=None, port=0, as_json=True, config_path=None)"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`serve` of the demo's market as a process of its own, with a journal; and its address."""
    env = os.environ | {"TTP_JOURNAL__ENABLED": "true", "TTP_JOURNAL__PATH": str(tmp_path / "journal"), "TTP_TIMEFRAME": "1s", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", CODE], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line, process.stderr.read().decode() if process.stderr else ""
            yield process, orjson.loads(line)["url"]
        finally:
            process.kill()


def next_of(socket: Any, kind: str) -> dict[str, Any]:
    """The next message of a type."""
    while True:
        message: dict[str, Any] = orjson.loads(socket.recv(timeout=30))
        if message["type"] == kind:
            return message


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can hear")
def test_on_sigterm_clients_are_told_the_journal_is_whole_and_it_ends_within_five_seconds(served: Any, tmp_path: Path) -> None:
    process, url = served
    with connect(f"ws{url[4:]}ws") as socket:
        while True:
            socket.send('{"type":"subscribe","symbol":"ES","channels":["delta"]}')
            first = orjson.loads(socket.recv(timeout=30))
            while first["type"] == "hello":
                first = orjson.loads(socket.recv(timeout=30))
            if first["type"] == "snapshot":
                break
            assert first["code"] == "unavailable", first  # the feed is still coming up
        while not next_of(socket, "delta_update")["closed"]:
            pass
        begun = wall()
        process.send_signal(signal.SIGTERM)
        assert next_of(socket, "error")["message"] == "the service stops"
        with pytest.raises(ConnectionClosed) as told:
            next_of(socket, "nothing more")
        assert told.value.rcvd is not None
        assert told.value.rcvd.code == 1012
    assert process.wait(30) == 0
    assert wall() - begun < 5
    [report] = verify(tmp_path / "journal")
    assert report.damages == []
    assert report.records["data"] > 0


def test_another_address_than_loopback_needs_the_token() -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines; set TTP_SERVICE__TOKEN"):
        run(host="0.0.0.0", port=0, as_json=False, config_path=None)
