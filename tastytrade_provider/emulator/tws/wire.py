"""TWS messages as bytes: a length of four bytes, then fields of text, each ended by a zero byte."""

from __future__ import annotations

import struct
from typing import Final

from tastytrade_provider.errors import MarketDataError

HELLO: Final = b"API\0"
"""What a client sends before its first message, without a length."""
MAX_BYTES: Final = 1024 * 1024
"""Length beyond which a client's message is refused."""
_LENGTH = struct.Struct(">I")


class Unreadable(MarketDataError):
    """What came is no TWS message."""


def text(value: object) -> str:
    """A value as a field: True is 1, None is empty, a whole number has no decimals (older clients read sizes as int).

    >>> [text(value) for value in (True, None, 5.0, 6000.25, "ES")]
    ['1', '', '5', '6000.25', 'ES']
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return "" if value is None else str(value)


def message(*values: object) -> bytes:
    """One message.

    >>> message(9, 1, 5)
    b'\\x00\\x00\\x00\\x069\\x001\\x005\\x00'
    """
    payload = "".join(text(value) + "\0" for value in values).encode()
    return _LENGTH.pack(len(payload)) + payload


class Framer:
    """Cuts a client's bytes into messages, wherever the network cut them.

    >>> framer = Framer()
    >>> framer.receive(b"API\\0\\0\\0\\0\\x09v157..1"), framer.receive(b"78" + message(49, 1))
    ([], [['v157..178'], ['49', '1']])
    """

    def __init__(self) -> None:
        self._data = b""
        self._was_greeted = False

    def receive(self, data: bytes) -> list[list[str]]:
        """The messages that are complete now, each as its fields. Raises Unreadable."""
        self._data += data
        if not self._was_greeted:
            if not HELLO.startswith(self._data[: len(HELLO)]):
                raise Unreadable(f"expected {HELLO!r} first, got {self._data[:8]!r}")
            if len(self._data) < len(HELLO):
                return []
            self._was_greeted, self._data = True, self._data[len(HELLO) :]
        messages, at = [], 0
        while len(self._data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data, at)
            if length > MAX_BYTES:
                raise Unreadable(f"a message of {length} bytes; at most {MAX_BYTES} are taken")
            if len(self._data) - at - _LENGTH.size < length:
                break
            at += _LENGTH.size
            messages.append(self._data[at : at + length].decode(errors="backslashreplace").removesuffix("\0").split("\0"))
            at += length
        self._data = self._data[at:]
        return messages
