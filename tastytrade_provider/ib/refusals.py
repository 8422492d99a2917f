"""TWS's message codes and what they mean here, as one table.

Source: the codes' list of the TWS API (interactivebrokers.github.io/tws-api/message_codes.html) and texts seen with them. One line as on the wire,
message 4, version 2: `4, 2, 7, 162, "Historical Market Data Service error message:HMDS query returned no data: ESZ6@CME Trades", ""`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import (
    CapacityExceeded,
    ConnectionLost,
    FeedError,
    MarketDataError,
    NoData,
    NotEntitled,
    PacingViolation,
    RequestTimeout,
    SessionConflict,
    UnknownContract,
    UsageError,
)

Kind = type[MarketDataError]

LINK_LOST, LINK_BACK_EMPTY, LINK_BACK = 1100, 1101, 1102
"""Between TWS and IB's servers: lost; back, and every subscription is gone; back with all subscriptions."""
CLIENT_ID_IN_USE: Final = 326
OTHER_SESSION: Final = 10197
BUST: Final = 10225
"""A trade was withdrawn; the bars of this request stop until they are asked for again."""

REFUSALS: Final[Mapping[int, Kind]] = {
    100: PacingViolation,  # more than 50 messages a second; TWS closes the socket soon after
    101: CapacityExceeded,  # market data lines
    200: UnknownContract,
    309: CapacityExceeded,  # market depth
    321: UsageError,  # the request does not validate
    326: ConnectionLost,  # the client id is in use
    354: NotEntitled,
    420: PacingViolation,  # real-time queries
    502: ConnectionLost,
    504: ConnectionLost,
    10089: NotEntitled,
    10090: NotEntitled,
    10167: NotEntitled,  # delayed data would be shown instead
    10168: NotEntitled,
    10189: NotEntitled,
    10182: ConnectionLost,  # bars that are kept up to date are so no longer: "failed to request live updates (disconnected)"
    10190: CapacityExceeded,  # tick-by-tick
    10197: SessionConflict,  # the same user is logged in elsewhere, and that session has the data
    10314: UsageError,  # the end date
    10339: UsageError,  # a continuous future with an end date
}
"""What a code means for the request that it answers. A code that is not here is a plain FeedError."""

_BY_TEXT: Final[Mapping[int, tuple[tuple[str, Kind], ...]]] = {
    162: (
        ("no data", NoData),
        ("pacing", PacingViolation),
        ("different ip", SessionConflict),
        ("competing", SessionConflict),
        ("permission", NotEntitled),
        ("subscri", NotEntitled),
        ("cancel", RequestTimeout),
    ),
    420: (("permission", NotEntitled),),
}
"""Codes with several meanings: the first text found in the message decides."""

FARMS: Final[Mapping[int, bool]] = {2103: False, 2104: True, 2105: False, 2106: True, 2107: True, 2108: True, 2110: False, 2157: False, 2158: True}
"""State of a data farm: False where it is broken. Sent for no request (-1), also when all is well. 2110 is TWS's own link, for a client that has come since."""
DATA_FARMS: Final[Mapping[int, bool]] = {2103: True, 2104: True, 2108: True, 2110: True, 2105: False, 2106: False, 2107: False}
"""Of those, through which data come: True live ones, False history. A broken farm may have stopped what it served, without a word of any request."""

_HINTS: Final[Mapping[int, str]] = {
    10190: ". Each contract's trades take two tick-by-tick streams; end one, or subscribe fewer",
    CLIENT_ID_IN_USE: ". Set ib.client_id to another number",
}
_ANSWERS_A_CANCEL = (300, 366)  # "can't find EId", "no historical data query found"


def is_refusal(code: int) -> bool:
    """Whether the request that a code answers has ended by it; otherwise it is only worth a note.

    >>> is_refusal(162), is_refusal(2174), is_refusal(366)
    (True, False, False)
    """
    return not (2100 <= code < 2200 or code == BUST or code in _ANSWERS_A_CANCEL)


def error_for(code: int, text: str, subject: str) -> MarketDataError:
    """The error that a code and its text mean for a request; `subject` says what was asked for.

    >>> error_for(162, "Historical Market Data Service error message:HMDS query returned no data: ESZ6@CME Trades", "1m bars of /ESZ6")
    NoData('Interactive Brokers refused 1m bars of /ESZ6 (162): Historical Market Data Service error message:HMDS query returned no data: ESZ6@CME Trades')
    """
    said = text.lower()
    kind = next((kind for words, kind in _BY_TEXT.get(code, ()) if words in said), REFUSALS.get(code, FeedError))
    return kind(f"Interactive Brokers refused {subject} ({code}): {text}{_HINTS.get(code, '')}")
