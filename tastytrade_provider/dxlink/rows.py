"""The rows inside FEED_DATA, in both formats and both directions; index arithmetic and snapshot flags.

Source: dxLink asyncapi 1.0.2 (FeedDataMessage, JSONDouble); index and flags as in dxFeed's IndexedEvent and TimeAndSale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntFlag
from itertools import groupby

import orjson

from tastytrade_provider.dxlink.messages import FeedData, shown
from tastytrade_provider.errors import ProtocolViolation, UsageError

EMPTY_CHAR = "\0"
"""What dxFeed writes for a character field that is not set."""

MAX_SEQUENCE = (1 << 22) - 1
_EXACT = 1 << 53
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, None: math.nan}

Row = dict[str, object]
"""Column name -> value as JSON gave it: text, int, float, bool or None. In FULL, empty fields are absent."""


class EventFlags(IntFlag):
    """`eventFlags` of an indexed event. A snapshot runs from BEGIN to END or SNIP; act on it once TX_PENDING is clear."""

    TX_PENDING = 1
    REMOVE = 2
    SNAPSHOT_BEGIN = 4
    SNAPSHOT_END = 8
    SNAPSHOT_SNIP = 16
    SNAPSHOT_MODE = 64


def decode(message: FeedData, fields_of: Callable[[str], Sequence[str]]) -> list[tuple[str, list[Row]]]:
    """The events of one FEED_DATA, in order, grouped by event type.

    The shape of the data says whether it is COMPACT or FULL, since servers do not always keep to what they announced. `fields_of` gives
    the columns of a COMPACT event type (`Channel.fields`); FULL names its own. Raises ProtocolViolation for a body that cannot be read.

    >>> from tastytrade_provider.dxlink.messages import feed_data
    >>> decode(feed_data(1, b'["Quote",["AAPL",1.5,"MSFT",2.5]]'), lambda event_type: ("eventSymbol", "bidPrice"))
    [('Quote', [{'eventSymbol': 'AAPL', 'bidPrice': 1.5}, {'eventSymbol': 'MSFT', 'bidPrice': 2.5}])]
    """
    try:
        content = orjson.loads(message.raw)
    except ValueError as error:
        raise ProtocolViolation(f"FEED_DATA {shown(message.raw)} is not JSON ({str(error)[:80]})") from None
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, list):
        raise ProtocolViolation(f"data of FEED_DATA is {shown(data)}, expected a list")
    return _full(data) if data and isinstance(data[0], dict) else _compact(data, fields_of)


def _full(data: list[object]) -> list[tuple[str, list[Row]]]:
    def event_type(row: object) -> str:
        if isinstance(row, dict) and isinstance(name := row.get("eventType"), str):
            return name
        raise ProtocolViolation(f"event {shown(row)} in FULL data, expected an object with eventType")

    return [(name, [row for row in rows if isinstance(row, dict)]) for name, rows in groupby(data, event_type)]


def _compact(data: list[object], fields_of: Callable[[str], Sequence[str]]) -> list[tuple[str, list[Row]]]:
    if len(data) % 2:
        raise ProtocolViolation(f"COMPACT data has {len(data)} elements, expected pairs of an event type and its values")
    events: list[tuple[str, list[Row]]] = []
    for event_type, values in zip(data[::2], data[1::2], strict=True):
        if not isinstance(event_type, str) or not isinstance(values, list):
            raise ProtocolViolation(f"COMPACT data has {shown(event_type)} with {shown(values)}, expected an event type and a list of values")
        fields = fields_of(event_type)
        width = len(fields)
        if len(values) % width if width else values:
            raise ProtocolViolation(f"{event_type} has {len(values)} values, expected a multiple of its {width} columns")
        starts = range(0, len(values), width) if width else ()
        events.append((event_type, [dict(zip(fields, values[at : at + width], strict=True)) for at in starts]))
    return events


def column_number(value: object) -> float:
    """A numeric column as a number: null and "NaN" are NaN. An integer beyond 2**53 stays an int, since a float would change it.

    >>> column_number("-Infinity"), column_number(None), column_number(7238429996434378670)
    (-inf, nan, 7238429996434378670)
    """
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value) if -_EXACT <= value <= _EXACT else value
    if (value is None or isinstance(value, str)) and value in _SPECIAL:
        return _SPECIAL[value]
    raise ProtocolViolation(f"{shown(value)} is not a number, null, 'NaN', 'Infinity' or '-Infinity'")


def encode_compact(event_type: str, fields: Sequence[str], rows: Iterable[Mapping[str, object] | Sequence[object]]) -> bytes:
    """The data of a COMPACT FEED_DATA with one event type. A row is a mapping (absent is null) or the values in column order.

    >>> encode_compact("Quote", ("eventSymbol", "bidPrice"), [("AAPL", float("nan")), {"eventSymbol": "MSFT"}])
    b'["Quote",["AAPL","NaN","MSFT",null]]'
    """
    return _dumps([event_type, [_wire(value) for row in rows for value in _values(fields, row)]])


def encode_full(event_type: str, fields: Sequence[str], rows: Iterable[Mapping[str, object] | Sequence[object]]) -> bytes:
    """The data of a FULL FEED_DATA with one event type: fields that are None are left out.

    >>> encode_full("Quote", ("eventSymbol", "bidPrice"), [("AAPL", None)])
    b'[{"eventType":"Quote","eventSymbol":"AAPL"}]'
    """
    pairs = (zip(fields, _values(fields, row), strict=True) for row in rows)
    return _dumps([{"eventType": event_type, **{name: _wire(value) for name, value in row if value is not None}} for row in pairs])


def join(*bodies: bytes) -> bytes:
    """Several bodies of one format as one: how a FEED_DATA comes to hold more than one event type.

    >>> join(b'["Quote",["AAPL"]]', b'["Trade",["AAPL"]]')
    b'["Quote",["AAPL"],"Trade",["AAPL"]]'
    """
    return b"[%b]" % b",".join(body[1:-1] for body in bodies if body != b"[]")


def time_of(index: int) -> tuple[int, int]:
    """Unix milliseconds and sequence in the `index` of a TimeAndSale, Candle or Greeks.

    >>> time_of(7238429996434378670)
    (1685328315116, 53166)
    """
    return (index >> 32) * 1000 + (index >> 22 & 0x3FF), index & MAX_SEQUENCE


def index_of(time_ms: int, sequence: int = 0) -> int:
    """The index of an event: seconds << 32 | milliseconds << 22 | sequence. UsageError where that does not fit 64 bits.

    >>> index_of(1685328315116, 53166)
    7238429996434378670
    """
    seconds, milliseconds = divmod(time_ms, 1000)
    if not 0 <= sequence <= MAX_SEQUENCE:
        raise UsageError(f"sequence {sequence} is not from 0 to {MAX_SEQUENCE}")
    if not -(2**31) <= seconds < 2**31:
        raise UsageError(f"time {time_ms} ms is beyond the 32 bits an index has for seconds")
    return seconds << 32 | milliseconds << 22 | sequence


def _values(fields: Sequence[str], row: Mapping[str, object] | Sequence[object]) -> Sequence[object]:
    if isinstance(row, Mapping):
        return [row.get(name) for name in fields]
    if len(row) != len(fields):
        raise UsageError(f"row has {len(row)} values, expected {len(fields)}, one for each column")
    return row


def _wire(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _dumps(data: object) -> bytes:
    try:
        return orjson.dumps(data)
    except TypeError as error:
        raise UsageError(f"rows cannot be written as JSON: {error}") from None
