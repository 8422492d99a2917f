"""A byte scanner for COMPACT FEED_DATA of one event type: text to columns without a Python object per value.

It reads the usual spelling only. The first message with anything else in it (blanks, escapes in a word, exponents, words it was not told, another event
type, values missing where one is needed) stops the scan, and the caller reads that message with `rows.decode`: slower, and never less exact. Numbers of at
most 15 digits are read as digits over a power of ten, one rounding, which is the float their text denotes. Texts in skipped columns are not looked into.

Measured: 140 to 150 ns a row where many are scanned in one call (240 with signed positions and a look for the end at every digit); a call itself costs
about 3 us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from tastytrade_provider.jit import kernel
from tastytrade_provider.model import Array

# What a column holds. Integers, words and truth values go to an int64 column, numbers to a float64 column.
SKIP, INTEGER, NUMBER, NUMBER_OR_NONE, TRUTH, WORD = 0, 1, 2, 3, 4, 5
_QUOTE, _COMMA, _DOT, _MINUS, _OPEN, _SHUT, _BACKSLASH = 34, 44, 46, 45, 91, 93, 92
_POWERS = np.array([10.0**i for i in range(23)])
_FNV_START, _FNV_PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)


# Positions are unsigned: numba then leaves out its wrap-around of negative ones. Mixed with signed ones they would become floats.
_U1, _U2, _U3, _U4, _U5, _U9, _U10, _U15 = (np.uint64(i) for i in (1, 2, 3, 4, 5, 9, 10, 15))
_ZERO, _COLON, _BRACE = np.uint64(48), 58, 125


@kernel
def _scan(buffer: Any, starts: Any, first: int, table: Any, received: Any, ints: Any, numbers: Any, n: int) -> Any:
    """Scan messages from `first` on into the columns, from row n on. Returns (rows, the message that stopped it or their count).

    table: what `Layout` holds.
    """
    kinds, slots, hashes, codes, word_starts = table[0], table[1], table[2], table[3], table[4]
    event_type, width = table[5, 0], np.uint64(table[5, 1])
    room, rows = np.uint64(ints.shape[1]), np.uint64(n)
    for message in range(np.uint64(first), np.uint64(len(starts) - 1)):
        i, end = starts[message], starts[message + _U1]
        row, column = rows, np.uint64(0)
        colons = np.uint64(0)
        while i < end and buffer[i] != _OPEN:
            colons += np.uint64(buffer[i] == _COLON)
            i += _U1
        # type, channel and data have one each, and what `parse` let pass has nothing else before the last of them
        in_place = colons == _U3 and buffer[i - _U1] == _COLON
        i += _U1
        good: Any = in_place and i < end and buffer[i] == _QUOTE and buffer[end - _U1] == _BRACE
        if good:
            i += _U1
            value = _FNV_START
            while i < end and buffer[i] != _QUOTE:
                value = (value ^ np.uint64(buffer[i])) * _FNV_PRIME
                i += _U1
            good = i + _U2 < end and np.int64(value) == event_type and buffer[i + _U1] == _COMMA and buffer[i + _U2] == _OPEN
            i += _U3
        while good and i < end and row < room:
            kind, slot, byte = kinds[column], np.uint64(slots[column]), buffer[i]
            if byte == _QUOTE:
                i += _U1
                if kind == WORD:
                    value = _FNV_START
                    while i < end and buffer[i] != _QUOTE and buffer[i] != _BACKSLASH:
                        value = (value ^ np.uint64(buffer[i])) * _FNV_PRIME
                        i += _U1
                    key = np.int64(value)
                    low, high = np.uint64(word_starts[slot]), np.uint64(word_starts[slot + _U1])
                    good = i < end and buffer[i] == _QUOTE and low < high
                    while high - low > _U1:
                        middle = (low + high) >> _U1
                        if hashes[middle] <= key:
                            low = middle
                        else:
                            high = middle
                    good = good and hashes[low] == key
                    ints[slot, row] = codes[low]
                else:
                    begin = i
                    while i < end and buffer[i] != _QUOTE:
                        i += _U2 if buffer[i] == _BACKSLASH else _U1
                    if kind == NUMBER_OR_NONE:
                        good = i == begin + _U3 and buffer[begin] == 78 and buffer[begin + _U1] == 97 and buffer[begin + _U2] == 78  # NaN
                        numbers[slot, row] = np.nan
                    else:
                        good = kind == SKIP
                i += _U1
            elif byte == _MINUS or 48 <= byte <= 57:
                is_negative = byte == _MINUS
                begin = i + _U1 if is_negative else i
                i = begin
                digits, decimals = np.uint64(0), np.uint64(0)
                digit = np.uint64(buffer[i]) - _ZERO  # wraps round to a large one for what lies below "0"
                while digit <= _U9:  # the last byte of a message is no digit, so this ends inside it
                    digits = digits * _U10 + digit
                    i += _U1
                    digit = np.uint64(buffer[i]) - _ZERO
                count = whole = i - begin
                has_point = buffer[i] == _DOT
                if has_point:
                    i += _U1
                    digit = np.uint64(buffer[i]) - _ZERO
                    while digit <= _U9:
                        digits = digits * _U10 + digit
                        i += _U1
                        digit = np.uint64(buffer[i]) - _ZERO
                    decimals = i - begin - whole - _U1
                    count += decimals
                # JSON has no leading zeros, and digits on both sides of a point
                good = (whole == 1 or (whole > 1 and buffer[begin] != 48)) and (not has_point or decimals > 0)
                if kind == INTEGER:
                    good = good and not has_point and (count <= 18 or (count == 19 and buffer[begin] < 57))
                    ints[slot, row] = -np.int64(digits) if is_negative else np.int64(digits)
                elif kind in (NUMBER, NUMBER_OR_NONE):
                    good = good and count <= 15
                    number = np.float64(np.int64(digits)) / _POWERS[min(decimals, _U15)]
                    numbers[slot, row] = -number if is_negative else number
                else:
                    good = good and kind == SKIP
            elif byte == 116 and i + _U4 <= end and buffer[i + _U1] == 114 and buffer[i + _U2] == 117 and buffer[i + _U3] == 101:  # true
                good = kind in (TRUTH, SKIP)
                if kind == TRUTH:
                    ints[slot, row] = 1
                i += _U4
            elif (
                byte == 102 and i + _U5 <= end and buffer[i + _U1] == 97 and buffer[i + _U2] == 108 and buffer[i + _U3] == 115 and buffer[i + _U4] == 101
            ):  # false
                good = kind in (TRUTH, SKIP)
                if kind == TRUTH:
                    ints[slot, row] = 0
                i += _U5
            elif byte == 110 and i + _U4 <= end and buffer[i + _U1] == 117 and buffer[i + _U2] == 108 and buffer[i + _U3] == 108:  # null
                good = kind in (NUMBER_OR_NONE, SKIP)
                if kind == NUMBER_OR_NONE:
                    numbers[slot, row] = np.nan
                i += _U4
            elif byte == _SHUT and column == 0 and row == rows and buffer[i - _U1] == _OPEN:
                break  # an empty list
            else:
                good = False
            if not good or i >= end:
                good = False
                break
            column += _U1
            if column == width:
                ints[0, row], ints[1, row] = received[message], np.int64(message)
                row += _U1
                column = np.uint64(0)
            if buffer[i] == _COMMA:
                i += _U1
            else:
                break
        good = good and column == 0 and i + _U3 == end and buffer[i] == _SHUT and buffer[i + _U1] == _SHUT and buffer[i + _U2] == _BRACE
        if not good:
            return np.int64(rows), np.int64(message)
        rows = row
    return np.int64(rows), np.int64(len(starts) - 1)


@dataclass(frozen=True, eq=False)
class Layout:
    """How to scan one event type: its columns in the order announced, and where each goes.

    ints[0] and ints[1] of the output are the receive time and the number of the message a row came in; then the declared columns.

    table  int64, a row each: kind and slot by column, hash and code by word, where a slot's words begin, (hash of the event type, count of columns).
           One array instead of six because each costs its share of every call.
    """

    table: Array

    @classmethod
    def of(
        cls,
        event_type: str,
        fields: Sequence[str],
        columns: Mapping[str, int],
        words: Mapping[str, Mapping[str, int]],
        order: Sequence[str],
    ) -> Layout:
        """`columns`: kind by field name, the rest is skipped; `words`: code by word by field; `order`: output columns, ints then numbers as in `slots_of`."""
        ints, numbers = slots_of(columns, order)
        kinds = [columns.get(name, SKIP) for name in fields]
        slots = [ints.get(name, numbers.get(name, 0)) for name in fields]
        hashes: list[int] = []
        codes: list[int] = []
        word_starts = [0, 0, 0]
        for name in ints:
            known = sorted((_signed(hash_of(word)), code) for word, code in words.get(name, {}).items())
            hashes += [value for value, _ in known]
            codes += [code for _, code in known]
            word_starts.append(len(hashes))
        parts = (kinds, slots, hashes, codes, word_starts, [_signed(hash_of(event_type)), len(fields)])
        table = np.zeros((len(parts), max(map(len, parts))), np.int64)
        for row, part in zip(table, parts, strict=True):
            row[: len(part)] = part
        return cls(table)


def slots_of(columns: Mapping[str, int], order: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Row numbers of the int64 output (from 2 on) and of the float64 output."""
    ints = [name for name in order if columns[name] in (INTEGER, TRUTH, WORD)]
    numbers = [name for name in order if columns[name] in (NUMBER, NUMBER_OR_NONE)]
    return {name: i + 2 for i, name in enumerate(ints)}, {name: i for i, name in enumerate(numbers)}


def hash_of(word: str) -> int:
    """The 64-bit FNV-1a of a word's UTF-8 bytes, which is what the scanner compares words by.

    >>> hex(hash_of("a"))
    '0xaf63dc4c8601ec8c'
    """
    value = int(_FNV_START)
    for byte in word.encode():
        value = ((value ^ byte) * int(_FNV_PRIME)) & 0xFFFFFFFFFFFFFFFF
    return value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def joined(raws: Sequence[bytes]) -> tuple[Array, Array]:
    """Messages as one run of bytes, and where in it each begins, the end included."""
    if len(raws) == 1:
        return np.frombuffer(raws[0], np.uint8), np.array([0, len(raws[0])], np.uint64)
    return np.frombuffer(b"".join(raws), np.uint8), np.fromiter(accumulate(map(len, raws), initial=0), np.uint64, len(raws) + 1)


def scan(layout: Layout, raws: Sequence[bytes], received: Array, first: int, ints: Array, numbers: Array, n: int) -> tuple[int, int]:
    """Scan messages `raws[first:]` into the columns, from row n on. Returns the rows there are then, and the message that stopped it (or len(raws))."""
    return scan_joined(layout, joined(raws), received, first, ints, numbers, n)


def scan_joined(layout: Layout, messages: tuple[Array, Array], received: Array, first: int, ints: Array, numbers: Array, n: int) -> tuple[int, int]:
    """`scan` over messages joined before, for those who go on after a stop."""
    found: tuple[int, int] = _scan(*messages, first, layout.table, received, ints, numbers, n)
    return found
