"""An endless tape whose sessions last a minute of load: what a program keeps of a session comes and goes many times in a run."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from tastytrade_provider.model import Int64
from tastytrade_provider.sessions import sessions_between
from tests.benchmarks import tape
from tests.benchmarks.server import frame

CALENDAR = "CME Globex Equity"
PER_SESSION = 120_000
_START_NS = 1_767_571_200 * 10**9  # Monday 2026-01-05 00:00 UTC
_DAY_NS, _MS_NS = 86_400 * 10**9, 10**6


def times_ms(count: int) -> Int64:
    """When each trade happened, Unix milliseconds, ascending: `PER_SESSION` evenly over each session, none while it is closed."""
    sessions = -(-count // PER_SESSION)
    table = sessions_between(CALENDAR, _START_NS, _START_NS + (sessions * 7 // 4 + 7) * _DAY_NS)
    spread = (np.arange(PER_SESSION) + 0.5) / PER_SESSION
    parts = [opened + ((closed - opened) * spread).astype(np.int64) for opened, closed in zip(table.open_ns[:sessions], table.close_ns[:sessions], strict=True)]
    found: Int64 = np.concatenate(parts)[:count] // _MS_NS
    return found


def frames(count: int, channel: int) -> Iterator[bytes]:
    """A websocket frame for each trade, one row in each, made as they are wanted."""
    chance, walk = random.Random(tape.SEED), 24_000
    for i, time_ms in enumerate(times_ms(count).tolist()):
        draw = chance.getrandbits(16)
        if draw & 15 == 0:
            walk = min(max(walk + (1 if draw & 64 else -1), 23_900), 24_100)
        side = 1 if draw & 32 else -1
        index = (time_ms // 1000) << 32 | (time_ms % 1000) << 22 | i & 0x3FFFFF
        trade = tape.Print(time_ms, index, walk + (side > 0), 1 + (draw >> 8 & 7), side, is_told=draw >> 12 != 0)
        yield frame(tape.message([tape.row(trade)], channel))
