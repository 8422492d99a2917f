"""Journals for tests: messages whose order can be told, what a folder of segments gives back, and a recorder that is killed while it writes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tastytrade_provider.journal import Journal, Reader, segments, verify
from tastytrade_provider.journal.records import Kind
from tastytrade_provider.tastytrade.mapping import FIELDS, TIME_AND_SALE
from tests.checks.builders import ES

COLUMNS = {TIME_AND_SALE: FIELDS}
ROOT = Path(__file__).resolve().parents[2]


def a_message(number: int, rows: int = 1) -> bytes:
    """FEED_DATA with `rows` trades of ES, told apart by their indices."""
    cells = []
    for i in range(number * rows, (number + 1) * rows):
        ms = 1_795_530_600_000 + i * 50
        index = (ms // 1000) << 32 | (ms % 1000) << 22 | (i & 0x3FFFFF)
        price, side = 6000 + (i * 7 % 9 - 4) * 0.25, "BUY" if i * 5 % 3 else "SELL"
        cells.append(f'"{ES.streamer_symbol}",0,{index},{ms},0,{price},{float(i % 4 + 1)},{price - 0.25},{price},"{side}",false,false,true,"NEW"')
    return f'{{"type":"FEED_DATA","channel":1,"data":["{TIME_AND_SALE}",[{",".join(cells)}]]}}'.encode()


def write(folder: Path, numbers: range, rows: int = 1, **settings: object) -> None:
    """A recording of messages, one a read."""
    journal = Journal(folder, **settings)  # type: ignore[arg-type]
    journal.open()
    journal.watch(ES)
    for number in numbers:
        journal.append([a_message(number, rows)], [number], COLUMNS)
    journal.close()


def raws(folder: Path) -> list[bytes]:
    """The messages a journal gives back."""
    return [record.payload for record in Reader(segments(folder)) if record.kind is Kind.DATA]


@dataclass
class Toll:
    """What killing a recorder cost. `lost`: messages it had written and that are not there; `phantoms`: messages there that it never wrote."""

    kills: int = 0
    written: int = 0
    lost: int = 0
    phantoms: int = 0
    undetected: int = 0


def kill_while_recording(folder: Path, times: int, seed: int) -> Toll:
    """Kill a recorder with SIGKILL at random moments, `times` times over on one journal, damage the tail after some of them, and count.

    `undetected`: damaged tails that neither `verify` nor the next recording told of.
    """
    chance, toll, count = random.Random(seed), Toll(), 0
    for _ in range(times):
        before = set(segments(folder)) if folder.exists() else set()
        told = recorded_until_killed(folder, count, chance.uniform(0.0, 0.05))
        fresh = [segment for segment in segments(folder) if segment not in before]
        records = list(Reader(fresh))
        found = [record.payload for record in records if record.kind is Kind.DATA]
        toll.kills += 1
        toll.written += told
        toll.lost += max(0, told - len(found))
        toll.phantoms += sum(raw != a_message(number) for number, raw in enumerate(found, count))
        newest, way = fresh[-1], chance.choice(("none", "cut", "zeros", "garbage"))
        size, last = newest.stat().st_size, list(Reader([newest]))[-1:]
        if damages := verify(newest)[0].damages:
            way = "none"  # the kill itself tore the last write, at the border of a page: damage enough, and what it tore was never told
            toll.undetected += not all(damage.is_tail for damage in damages)
        if way == "cut" and last and last[0].kind is Kind.DATA:
            os.truncate(newest, size - chance.randint(1, len(last[0].payload)))
            found.pop()
        elif way in ("zeros", "garbage"):
            with newest.open("ab") as file:
                file.write(bytes(chance.randint(1, 5000)) if way == "zeros" else chance.randbytes(chance.randint(1, 5000)))
        if newest.stat().st_size != size and not any(damage.is_tail for damage in verify(newest)[0].damages):
            toll.undetected += 1
        count += len(found)
    toll.phantoms += raws(folder) != [a_message(number) for number in range(count)]
    return toll


def recorded_until_killed(folder: Path, first: int, after_s: float) -> int:
    """How many messages a recorder said it had written before it was killed."""
    command = [sys.executable, "-m", "tests.checks.journals", str(folder), str(first)]
    recorder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert recorder.stdout is not None
    try:
        assert recorder.stdout.read(1) == b".", "the recorder did not begin"
        try:
            recorder.wait(after_s)
        except subprocess.TimeoutExpired:
            recorder.send_signal(signal.SIGKILL)
        rest = recorder.stdout.read()
    finally:
        recorder.kill()
        recorder.wait()
        recorder.stdout.close()
    return 1 + len(rest)


def _record_for_ever(folder: Path, first: int) -> None:
    """Write messages, and after each one a dot."""
    journal = Journal(folder, max_bytes=100_000)
    journal.open()
    journal.watch(ES)
    number = first
    while True:
        journal.append([a_message(number)], [number], COLUMNS)
        os.write(1, b".")
        number += 1


if __name__ == "__main__":
    _record_for_ever(Path(sys.argv[1]), int(sys.argv[2]))
