"""`record` killed while it records: what it had written is there, nothing else is, and the next recording goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from tastytrade_provider.dxlink.messages import FeedData
from tastytrade_provider.dxlink.rows import decode
from tastytrade_provider.emulator.truth import read
from tastytrade_provider.journal import contexts, verify
from tests.checks.journals import ROOT, raws
from tests.checks.sources import LIMIT_S

PROGRAM = (sys.executable, "-m", "tastytrade_provider")


@contextmanager
def running(*words: object, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program in a process of its own, killed at the end where it has not ended yet."""
    process = subprocess.Popen([*PROGRAM, *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, **env})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def written(recorder: subprocess.Popen[bytes], folder: Path, more_than: int) -> None:
    """Wait until there are more messages than that."""
    ends_s = time.monotonic() + 2 * LIMIT_S
    while not (folder.exists() and len(raws(folder)) > more_than):
        assert time.monotonic() < ends_s, "nothing is recorded"
        alive_for(recorder, 0.02)


def alive_for(recorder: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        raise AssertionError(f"the recorder ended by itself with {recorder.wait(seconds)}")
    except subprocess.TimeoutExpired:
        return


def indexes(folder: Path, messages: list[bytes]) -> list[int]:
    """The trades in messages, by index, in order."""
    columns = contexts(folder).columns
    rows = [row for raw in messages for _, rows in decode(FeedData(0, raw), columns.__getitem__) for row in rows]
    return [int(str(row["index"])) for row in rows if row["type"] == "NEW"]


def killed(folder: Path, times: int, seed: int) -> int:
    """Kill `record` with SIGKILL at random moments, `times` times over on one journal, against an exchange that goes on; how many messages it had written."""
    chance, journal, truth = random.Random(seed), folder / "journal", folder / "truth.jsonl"
    config, runs = folder / "config.yaml", list[list[bytes]]()
    with running("emulate", "--seed", seed, "--speed", 3, "--truth", truth) as exchange:
        assert exchange.stdout is not None
        login = orjson.loads(exchange.stdout.readline())
        section = ["tastytrade:", f"  api_url: {login['api_url']}", "  client_secret: ${TT_SECRET}", "  refresh_token: ${TT_REFRESH}"]
        config.write_text("\n".join(["data_provider: tastytrade", *section]) + "\n")
        before: list[bytes] = []
        for _ in range(times):
            with running(
                "record", "ES", "--path", journal, "--config", config, TT_SECRET=login["client_secret"], TT_REFRESH=login["refresh_token"]
            ) as recorder:
                written(recorder, journal, len(before) + 3)
                alive_for(recorder, chance.uniform(0.0, 0.3))
                seen = raws(journal)
                recorder.send_signal(signal.SIGKILL)
                recorder.wait()
            after = raws(journal)
            assert after[: len(seen)] == seen, "a message that could be read before the kill is lost"
            runs.append(after[len(before) :])
            before = after
        exchange.send_signal(signal.SIGINT)
        exchange.wait(LIMIT_S)
    happened = [int(str(record["index"])) for record in read(truth) if str(record["symbol"]).startswith("/ES") and record["type"] == "NEW"]
    at = {index: number for number, index in enumerate(happened)}
    for run in runs:
        found = indexes(journal, run)
        assert set(found) <= set(at), "a phantom: never traded"
        assert [at[index] for index in found] == list(range(at[found[0]], at[found[0]] + len(found))), "a trade in the middle is missing, or there twice"
    assert all(damage.is_tail for report in verify(journal) for damage in report.damages)
    return len(before)


@pytest.mark.slow
def test_a_recorder_that_is_told_to_end_sums_up_as_on_ctrl_c(tmp_path: Path) -> None:
    with running("record", "ES", "--path", tmp_path / "journal") as recorder:
        written(recorder, tmp_path / "journal", 1)
        recorder.send_signal(signal.SIGTERM)
        out, _ = recorder.communicate(timeout=2 * LIMIT_S)
    assert recorder.returncode == 0
    assert out.decode().splitlines()[-1].startswith(f"recorded to {tmp_path / 'journal'}: ")


@pytest.mark.slow  # a recorder takes seconds to start
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [20261122])
def test_record_killed_twenty_times_loses_nothing_it_wrote_and_invents_nothing(tmp_path: Path, seed: int) -> None:
    assert killed(tmp_path, 20, seed) >= 20 * 4
