"""The kinds of values a message field can have: how each is read and written, and how a bad one may be shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from tastytrade_provider.dxlink.vocabulary import Authorization, DataFormat, ErrorKind

_SHOWN = 80


def shown(value: object) -> str:
    """A value as an error may show it: at most about 80 characters, and nothing at all where a token may be inside."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value if isinstance(value, str) else repr(value)
    if "AUTH" in text or "token" in text.lower():
        return f"<{len(text)} characters withheld: they may hold a token>"
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


class Kind(NamedTuple):
    """What is expected, how to read it (ValueError where it is something else), how to write it; a secret is never shown."""

    expected: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    is_secret: bool = False


def require(fits: bool) -> None:
    """ValueError unless the value fits."""
    if not fits:
        raise ValueError


def _text(value: Any) -> str:
    require(isinstance(value, str))
    return str(value)


def _seconds(value: Any) -> float | None:
    if value == "NaN":  # dxFeed's server reads NaN as "your default", which is what leaving the field out means
        return None
    require(type(value) in (int, float) and math.isfinite(value) and value >= 0)
    return float(value)


def _milliseconds(value: Any) -> int:
    require(type(value) is int or (type(value) is float and value.is_integer()))
    require(-(2**63) <= value < 2**63)
    return int(value)


def _flag(value: Any) -> bool:
    require(isinstance(value, bool))
    return bool(value)


def _error_kind(value: Any) -> ErrorKind | str:
    text = _text(value)
    return ErrorKind(text) if text in ErrorKind.__members__ else text


def _parameters(value: Any) -> dict[str, object]:
    require(isinstance(value, dict))
    try:
        orjson.dumps(value)  # a peer echoes parameters, so what cannot be written again (too deep) is refused at the door
    except TypeError:
        raise ValueError from None
    return dict(value)


def _event_fields(value: Any) -> dict[str, tuple[str, ...]]:
    require(isinstance(value, dict))
    for columns in value.values():
        require(isinstance(columns, list) and bool(columns) and all(isinstance(name, str) for name in columns))
        require(len(set(columns)) == len(columns))
    return {event_type: tuple(columns) for event_type, columns in value.items()}


TEXT = Kind("a text", _text)
SECONDS = Kind("a number of seconds, 0 or more", _seconds, lambda value: int(value) if value == value // 1 else value)
PARAMETERS = Kind("an object", _parameters)
FORMAT = Kind("FULL or COMPACT", DataFormat)
COLUMNS = Kind("an object of event types, each with a list of different field names", _event_fields)
MILLISECONDS = Kind("Unix milliseconds", _milliseconds)
FLAG = Kind("true or false", _flag)
TOKEN = Kind("a text", _text, is_secret=True)
STATE = Kind("AUTHORIZED or UNAUTHORIZED", Authorization)
ERROR_KIND = Kind("an error type", _error_kind)
