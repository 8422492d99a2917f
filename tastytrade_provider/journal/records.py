"""How a record of the journal lies in its segment, and how a good one is told from anything else. Pure: bytes in, records out.

A segment is a header and records, nothing between them, numbers little-endian:

    header   magic 8s | created_ns i64 | run_ns i64 | crc u32           created: wall clock; run: when the recording it belongs to began
    record   length u32 | crc u32 | kind u8 | wall_ns i64 | monotonic_ns i64 | payload        length: bytes after the crc

The crc (CRC-32) of a record goes on from the header's crc plus the record's own place, so a record is good only where it was written: neither zeros nor a
stray copy of a good record elsewhere, in this segment or another one, ever reads as a record.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from mmap import mmap
from typing import NamedTuple

from ..errors import UsageError

MAGIC = b"TTPJRNL\x01"  # the last byte is the version
_HEADER = struct.Struct("<8sqqI")
HEADER_SIZE = _HEADER.size
_FRAME = struct.Struct("<IIBqq")
_STAMPS = struct.Struct("<Bqq")
_CHECKED = 8  # where the bytes under the crc begin
SMALLEST = _FRAME.size - _CHECKED
LARGEST = 65 << 20
"""Least and most a record's `length` may be; what a websocket message may hold is less."""

_BEGINNINGS = re.compile(rb'\{"(?:type":"FEED_DATA|context|gap|reset|standing|refill)"')  # of every payload: where a record may be found again behind damage
_U32 = 0xFFFFFFFF

Buffer = bytes | bytearray | memoryview | mmap


class Kind(IntEnum):
    """What a payload is: a FEED_DATA message of trades as it came; the contracts and columns that hold from here on; an interval in which trades may be
    missing; an instant at which somebody had CVD start anew; a FEED_DATA message of quotes and last trades; where a contract's trades come from,
    which may be those, and whether they are held back; the trades that were fetched, and that those held back come behind."""

    DATA = 1
    CONTEXT = 2
    GAP = 3
    RESET = 4
    TICKER = 5
    STANDING = 6
    REFILL = 7


_KINDS = {int(kind): kind for kind in Kind}


class Header(NamedTuple):
    """The begin of a segment. Times are the wall clock's, UTC ns; `salt` goes into the crc of every record."""

    created_ns: int
    run_ns: int
    salt: int


class Record(NamedTuple):
    """One record. `monotonic_ns` is of a clock that nobody sets: equal for the messages of one read. Ends where the next begins."""

    kind: Kind
    wall_ns: int
    monotonic_ns: int
    payload: bytes
    end: int


def encode_header(created_ns: int, run_ns: int) -> tuple[bytes, int]:
    """A header, and its salt."""
    head = _HEADER.pack(MAGIC, created_ns, run_ns, 0)[:-4]
    salt = zlib.crc32(head)
    return head + salt.to_bytes(4, "little"), salt


def decode_header(data: Buffer) -> Header | None:
    """The header at the begin of a segment, None where there is no good one."""
    if len(data) < HEADER_SIZE:
        return None
    magic, created_ns, run_ns, salt = _HEADER.unpack_from(data)
    return Header(created_ns, run_ns, salt) if magic == MAGIC and zlib.crc32(data[: HEADER_SIZE - 4]) == salt else None


def encode(kind: int, wall_ns: int, monotonic_ns: int, payload: bytes, salt: int, place: int) -> bytes:
    """One record as it is written at `place`, bytes from the begin of the segment.

    >>> written = encode(Kind.GAP, 1, 2, b'{"gap":{}}', salt=7, place=40)
    >>> record_at(bytes(40) + written, 40, 7).payload, record_at(bytes(41) + written, 41, 7)
    (b'{"gap":{}}', None)
    """
    length = SMALLEST + len(payload)
    if length > LARGEST:
        raise UsageError(f"a message of {len(payload):,} bytes is more than a journal's record holds")
    crc = zlib.crc32(payload, zlib.crc32(_STAMPS.pack(kind, wall_ns, monotonic_ns), (salt + place) & _U32))
    return _FRAME.pack(length, crc, kind, wall_ns, monotonic_ns) + payload


def record_at(data: Buffer, place: int, salt: int) -> Record | None:
    """The record at a place, None where there is no good one."""
    if place < 0 or place + _FRAME.size > len(data):
        return None
    length, crc, kind, wall_ns, monotonic_ns = _FRAME.unpack_from(data, place)
    end = place + _CHECKED + length
    if not SMALLEST <= length <= LARGEST or end > len(data) or kind not in _KINDS:
        return None
    with memoryview(data) as view:
        if zlib.crc32(view[place + _CHECKED : end], (salt + place) & _U32) != crc:
            return None
        return Record(_KINDS[kind], wall_ns, monotonic_ns, bytes(view[place + _FRAME.size : end]), end)


def records(data: Buffer, salt: int, place: int = HEADER_SIZE) -> Iterator[Record]:
    """The good records from a place on, up to the first that is none or the end."""
    while (record := record_at(data, place, salt)) is not None:
        yield record
        place = record.end


def next_good(data: Buffer, place: int, salt: int) -> int | None:
    """Where the first good record behind a damaged place begins; None where there is none, so that it is the tail."""
    return next((start for start in find(_BEGINNINGS, data, place) if start > place and record_at(data, start, salt) is not None), None)


def holds_messages(data: Buffer) -> bool:
    """Whether anything in it looks like a payload, be it in a good record or not."""
    return _BEGINNINGS.search(data) is not None


def find(beginning: re.Pattern[bytes], data: Buffer, place: int = 0) -> Iterator[int]:
    """Where records would begin whose payload begins so."""
    return (found.start() - _FRAME.size for found in beginning.finditer(data, place))
