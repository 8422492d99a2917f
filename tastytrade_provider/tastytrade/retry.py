"""Whether a REST request is made again after an answer that was none, and after how long. Chance and clock are arguments.

TastyTrade publishes no quota and no retry advice; its 429 carries no rate headers (developer.tastytrade.com, guides, rate limits and backoff),
and some eight hours of silence follow many failed logins: hence no login is repeated that was refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from types import MappingProxyType


class Kind(Enum):
    """What an answer means for the request."""

    GOOD = "it can be read on"
    UNAUTHORIZED = "the access token is refused: once more, with a fresh one"
    LIMITED = "too many requests: more slowly"
    FAILING = "the server, or what stands before it, is out of order: a page instead of JSON, or HTTP 5xx"
    FINAL = "the same request would get the same answer"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one kind of answer is borne: `tries` requests in all, pauses doubling from `first_s` to `most_s`, together at most `total_s`."""

    tries: int
    first_s: float
    most_s: float
    total_s: float


PATIENCE: Mapping[Kind, Patience] = MappingProxyType(
    {
        Kind.UNAUTHORIZED: Patience(tries=2, first_s=0.0, most_s=0.0, total_s=0.0),
        Kind.LIMITED: Patience(tries=5, first_s=1.0, most_s=16.0, total_s=60.0),
        Kind.FAILING: Patience(tries=4, first_s=0.5, most_s=4.0, total_s=15.0),
    }
)
"""Kinds that are asked for again."""

LONGEST_S = sum(patience.total_s for patience in PATIENCE.values())
"""All pauses one request can come to."""


def kind_of(status: int, body: bytes, *, is_login: bool) -> Kind:
    """The kind of an answer. A login is made again only where the server is out of order, never where it said no.

    >>> kind_of(502, b"<html>", is_login=False).name, kind_of(200, b"<html>", is_login=False).name, kind_of(429, b"", is_login=True).name
    ('FAILING', 'FAILING', 'FINAL')
    """
    if status >= 500:
        return Kind.FAILING
    if 200 <= status < 300:
        return Kind.GOOD if body.lstrip().startswith((b"{", b"[")) else Kind.FAILING
    return Kind.FINAL if is_login else {401: Kind.UNAUTHORIZED, 429: Kind.LIMITED}.get(status, Kind.FINAL)


def wait_s(kind: Kind, tries: int, waited_s: float, retry_after_s: float | None, chance: float) -> float | None:
    """Seconds to wait before the request is made again; None: give up.

    tries          answers of this kind so far, from 1          waited_s  what was waited for this kind so far
    retry_after_s  what the server asked for: waited as it is, or not at all where it goes beyond the patience
    chance         in [0, 1): the pause is 0.5 to 1 of the doubling one, so that many clients do not come back at once

    >>> [wait_s(Kind.FAILING, tries, 0.0, None, 0.0) for tries in (1, 2, 3, 4)]
    [0.25, 0.5, 1.0, None]
    >>> wait_s(Kind.LIMITED, 1, 0.0, 7.0, 0.5), wait_s(Kind.LIMITED, 1, 0.0, 3600.0, 0.5), wait_s(Kind.FINAL, 1, 0.0, None, 0.5)
    (7.0, None, None)
    """
    patience = PATIENCE.get(kind)
    if patience is None or tries >= patience.tries:
        return None
    pause_s = min(patience.most_s, patience.first_s * 2.0 ** (tries - 1)) * (0.5 + chance / 2) if retry_after_s is None else retry_after_s
    return pause_s if waited_s + pause_s <= patience.total_s else None


def seconds_of(text: str, now: dt.datetime) -> float | None:
    """A Retry-After header (RFC 9110, 10.2.3: seconds or a date) as seconds from `now`, an aware time; None where it says nothing readable.

    >>> now = dt.datetime(2026, 11, 24, 14, 30, tzinfo=dt.UTC)
    >>> seconds_of("7", now), seconds_of("Tue, 24 Nov 2026 14:31:30 GMT", now), seconds_of("", now)
    (7.0, 90.0, None)
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=dt.UTC)
    return max((then - now).total_seconds(), 0.0)
