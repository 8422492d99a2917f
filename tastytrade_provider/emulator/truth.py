"""The ground truth: every print an exchange published, one JSON line each, whatever became of it on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import orjson

from tastytrade_provider.emulator.source import Print
from tastytrade_provider.model import AggressorSide

SIDES = {AggressorSide.BUY: "BUY", AggressorSide.SELL: "SELL", AggressorSide.UNKNOWN: "UNDEFINED"}
"""Sides in the exchange's words."""


def line(event: Print) -> bytes:
    """One print as a line: symbol (the streamer symbol), index, time_ns, price, size, side, bid, ask (null: none), type, valid_tick, spread_leg."""
    record = {
        "symbol": event.contract.streamer_symbol,
        "index": event.index,
        "time_ns": event.time_ns,
        "price": event.price,
        "size": event.size,
        "side": SIDES[event.side],
        "bid": None if math.isnan(event.bid) else event.bid,
        "ask": None if math.isnan(event.ask) else event.ask,
        "type": event.action.name,
        "valid_tick": event.valid_tick,
        "spread_leg": event.spread_leg,
    }
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


class TruthLog:
    """Appends prints to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")

    def append(self, prints: Iterable[Print]) -> None:
        """Write prints; they reach the file at the next `flush`."""
        self._file.writelines(map(line, prints))

    def flush(self) -> None:
        """Bring what was written into the file."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close; may be called again."""
        self._file.close()

    def __enter__(self) -> TruthLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read(path: Path) -> list[dict[str, object]]:
    """The records of a truth log."""
    return [orjson.loads(row) for row in path.read_bytes().splitlines()]
