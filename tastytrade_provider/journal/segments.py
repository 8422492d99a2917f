"""Segments on disk: finding, reading, checking and repairing them. A journal is a folder of segments, in the order of their names."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import JournalDamaged, UsageError
from ..model import Contract
from .context import Context, decode_reset
from .records import HEADER_SIZE, Buffer, Header, Kind, Record, decode_header, find, holds_messages, next_good, record_at, records

SUFFIX = ".ttj"
DAMAGED = ".damaged"
_CONTEXT = re.compile(rb'\{"context"')
_RESET = re.compile(rb'\{"reset"')


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no record: from `place` up to `end`. `is_tail`: nothing good comes behind them, as a crash leaves it."""

    segment: Path
    place: int
    end: int
    is_tail: bool

    def __str__(self) -> str:
        what = "a torn tail" if self.is_tail else "good records follow"
        return f"{self.segment.name}: {self.end - self.place:,} bytes at {self.place:,} are no record ({what})"


@dataclass(slots=True)
class Report:
    """What a segment holds: records by kind, wall times of the first and the last, contracts at its end, damage."""

    segment: Path
    size: int = 0
    records: dict[str, int] = field(default_factory=lambda: {kind.name.lower(): 0 for kind in Kind})
    first_ns: int | None = None
    last_ns: int | None = None
    run_ns: int | None = None
    context: Context = field(default_factory=Context)
    damages: list[Damage] = field(default_factory=list)


def segments(path: Path) -> list[Path]:
    """The segments of a journal, oldest first; `path` may also be one segment. UsageError where there is no such thing."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"journal {path}: there is no such folder")
    return sorted(path.glob(f"*{SUFFIX}"))


@contextmanager
def mapped(segment: Path) -> Iterator[Buffer]:
    """A segment's bytes, as long as it is when opened."""
    with segment.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


@dataclass(slots=True)
class Reader:
    """Records of segments, in order. JournalDamaged where one is damaged, except for the tail of the last segment, which may be being written.

    header    of the segment being read       segment   its path
    torn      bytes at the end that are no record (yet)
    """

    every: Sequence[Path]
    header: Header | None = None
    segment: Path | None = None
    torn: int = 0

    def __iter__(self) -> Iterator[Record]:
        for segment in self.every:
            self.segment = segment
            with mapped(segment) as data:
                self.header = decode_header(data)
                place = 0
                if self.header is not None:
                    place = HEADER_SIZE
                    for record in records(data, self.header.salt):
                        yield record
                        place = record.end
                if place == len(data) and self.header is not None:
                    continue
                damage = _damage_at(segment, data, place, self.header)
                if segment != self.every[-1] or not damage.is_tail:
                    raise JournalDamaged(f"{segment}: damaged at byte {place:,}; 'journal verify' lists all of it")
                self.torn = len(data) - place


def verify(path: Path, notify: Callable[[Report], None] | None = None) -> list[Report]:
    """Read every byte of a journal and report what is in it and what is damaged. `notify` is told after each segment."""
    found = []
    for segment in segments(path):
        report = Report(segment)
        with mapped(segment) as data:
            _inspect(report, data)
        found.append(report)
        if notify:
            notify(report)
    return found


def repair(segment: Path) -> int:
    """Cut a torn tail off, keeping the bytes in `<segment>.damaged`. Returns how many; damage in the middle is left for `verify`."""
    with mapped(segment) as data:
        report = Report(segment)
        _inspect(report, data)
        tail = next((damage for damage in report.damages if damage.is_tail), None)
        if tail is None:
            return 0
        cut = bytes(data[tail.place :])
    with Path(f"{segment}{DAMAGED}").open("ab") as kept:
        kept.write(cut)
        kept.flush()
        os.fsync(kept.fileno())
    if tail.place < HEADER_SIZE:  # not even its header was written
        segment.unlink()
    else:
        with segment.open("r+b") as file:
            file.truncate(tail.place)
            os.fsync(file.fileno())
    return len(cut)


def contexts(path: Path) -> Context:
    """All contracts and columns that a journal names anywhere, without reading the messages."""
    found = Context()
    for segment in segments(path):
        with mapped(segment) as data:
            header = decode_header(data)
            if header is None:
                continue
            for place in find(_CONTEXT, data):
                record = record_at(data, place, header.salt)
                if record is not None and record.kind is Kind.CONTEXT:
                    here = Context.decode(record.payload)
                    found = Context({**found.contracts, **here.contracts}, {**found.columns, **here.columns}, {**found.rules, **here.rules})
    return found


def resets(path: Path, contract: Contract) -> list[int]:
    """The exchange times (UTC ns) at which somebody had CVD of a contract start anew, without reading the messages."""
    found = set()
    for segment in segments(path):
        with mapped(segment) as data:
            header = decode_header(data)
            for place in find(_RESET, data) if header is not None else ():
                record = record_at(data, place, header.salt) if header is not None else None
                if record is not None and record.kind is Kind.RESET:
                    symbol, time_ns = decode_reset(record.payload)
                    found |= {time_ns} if symbol == contract.streamer_symbol else set()
    return sorted(found)


def _inspect(report: Report, data: Buffer) -> None:
    report.size = len(data)
    header = decode_header(data)
    if header is None:
        report.damages.append(_damage_at(report.segment, data, 0, None))
        return
    report.run_ns = header.run_ns
    place: int = HEADER_SIZE
    while place < len(data):
        for record in records(data, header.salt, place):
            report.records[record.kind.name.lower()] += 1
            report.first_ns = record.wall_ns if report.first_ns is None else report.first_ns
            report.last_ns = record.wall_ns
            if record.kind is Kind.CONTEXT:
                report.context = Context.decode(record.payload)
            place = record.end
        if place < len(data):
            damage = _damage_at(report.segment, data, place, header)
            report.damages.append(damage)
            place = damage.end


def _damage_at(segment: Path, data: Buffer, place: int, header: Header | None) -> Damage:
    if header is None:  # nothing in it can be checked; what looks like a message was once recorded, and is no crash while beginning
        return Damage(segment, 0, len(data), is_tail=not holds_messages(data))
    again = next_good(data, place, header.salt)
    return Damage(segment, place, len(data) if again is None else again, is_tail=again is None)
