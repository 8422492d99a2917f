"""What the two processes say to each other: length-prefixed pickles over a pipe. Both ends are ours, on one machine and of one version.

to the shadow     ("start", settings, labels, state or None, warm_s, state_every_s) · ("watch", Watch) · ("ready", key) · ("unwatch", key)
                  ("items", [(key, arrived_ns, item)]) with trades as a dict of columns and an array of arrivals
                  ("serve", key, since_ns) · ("rest", key) · ("ask",) · ("stop",)
from the shadow   ("beat", {key: arrived_ns of its newest item}) · ("state", bytes) · ("trouble", text, key or None, is_final) · ("items", [(key, item)])
                  ("step", how fine its exchange times are, in ns)
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from ..model import Contract

_LENGTH = struct.Struct("<I")
Message = tuple[Any, ...]
Kind = Literal["trades", "quotes", "bars"]


@dataclass(frozen=True)
class Watch:
    """One stream to be compared. `key` is its number, `timeframe` and `hours` are for bars."""

    key: int
    kind: Kind
    contract: Contract
    timeframe: str = ""
    hours: str = "eth"

    @property
    def name(self) -> str:
        """The comparison it belongs to."""
        return f"{self.contract.symbol} {self.timeframe}" if self.kind == "bars" else self.contract.symbol


def framed(message: Message) -> bytes:
    """A message as it goes through a pipe.

    >>> from io import BytesIO
    >>> read(BytesIO(framed(("ask",))))
    ('ask',)
    """
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def read(pipe: BinaryIO) -> Message | None:
    """The next message, None at the end. Waits: for a thread."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    body = pipe.read(_LENGTH.unpack(head)[0])
    return None if len(body) < _LENGTH.unpack(head)[0] else _unpickled(body)


async def read_async(pipe: asyncio.StreamReader) -> Message | None:
    """The next message, None at the end."""
    try:
        head = await pipe.readexactly(_LENGTH.size)
        return _unpickled(await pipe.readexactly(_LENGTH.unpack(head)[0]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _unpickled(body: bytes) -> Message:
    message: Message = pickle.loads(body)  # from our own process of the same code, over a pipe nobody else has
    return message
