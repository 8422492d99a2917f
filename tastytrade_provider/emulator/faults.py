"""What an exchange may do wrong: named faults, and the plan of when each of them strikes. Reads no clock; `faulty` acts.

A fault is written NAME=ARG. ARG of a fault that strikes is [WHAT@]WHEN; WHEN is `5s` (seconds since the first stream opened), `500rows` (rows sent to
all clients together), `every:5s` or `every:500rows`. For `rest` it may also be `first:2` or `every:3`, counted in REST answers. A limit holds from the
start; its ARG is a number, or what a login is served. The same specifications and seed give the same faults at the same marks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from tastytrade_provider.dxlink.messages import ErrorKind
from tastytrade_provider.emulator import limits
from tastytrade_provider.emulator.columns import COLUMNS
from tastytrade_provider.emulator.limits import Limits
from tastytrade_provider.errors import UsageError

_WHEN = re.compile(r"(?:(?P<mode>every|first):)?(?P<n>\d+(?:\.\d+)?)(?P<unit>s|rows)?")
_SECONDS, _ROWS, _ANSWERS = "seconds", "rows", "answers"


class Fault(NamedTuple):
    """One fault, now. `what` is its variant, `seed` what its randomness grows from."""

    name: str
    what: str = ""
    seed: int = 0


class Kind(NamedTuple):
    """A fault that can be asked for.

    text      what happens and what a client should experience, with the public source
    what      pattern of WHAT; "": it has no variants          shown    ARG as a user may write it
    default   WHAT where none is given; None: it must be given
    when      WHEN where none is given; "": it must be given    limit    reads ARG of a limit, ValueError where it is none; None: it strikes
    """

    text: str
    shown: str = "WHEN"
    what: str = ""
    default: str | None = ""
    when: str = ""
    limit: Callable[[str], Any] | None = None


KINDS: Final[dict[str, Kind]] = {
    "reset": Kind("TCP reset of every stream, nothing said. The client finds the socket broken, reconnects with a fresh token and marks the gap."),
    "close": Kind(
        "Every stream is closed with a code (RFC 6455): 1000 Bye, as the live server does; 1008 policy; 1009 message too big. The client reconnects.",
        "[1000|1008|1009@]WHEN",
        "1000|1008|1009",
        "1000",
    ),
    "silence": Kind(
        "The open streams send nothing any more, not even KEEPALIVE; the sockets stay open. Only a clock on any message shows it "
        "(QuantConnect/Lean.Brokerages.Tastytrade issue 31)."
    ),
    "channel_closed": Kind("CHANNEL_CLOSED for every open channel, unasked (dxLink asyncapi 1.0.2). No data until the client asks for a channel again."),
    "error": Kind(
        "An ERROR of this kind on channel 0, and nothing else: ERROR is informational and ends nothing by itself (dxLink asyncapi 1.0.2). "
        "Data go on; UNAUTHORIZED asks for a new login.",
        f"{'|'.join(ErrorKind)}@WHEN",
        "|".join(ErrorKind),
        None,
    ),
    "token_expiry": Kind(
        "Every quote token given out so far expires: ERROR UNAUTHORIZED, no data until a new AUTH, and the old token gets 'Authentication failed'. "
        "Live about 00:00 UTC each day (vanillaTTFeedHub KI-002). The client fetches a fresh token."
    ),
    "auth_state": Kind(
        "A second AUTH_STATE UNAUTHORIZED in mid-stream (dxLink asyncapi 1.0.2): no data until the client has sent AUTH; its token is still good.",
    ),
    "columns": Kind(
        "A new order of columns, or one column fewer, announced by FEED_CONFIG in mid-stream (dxLink specification: it may come at any time). "
        "A client that reads by the announced columns notices nothing, or an absent field.",
        "[reorder|drop@]WHEN",
        "reorder|drop",
        "reorder",
    ),
    "duplicate": Kind("The next message of TimeAndSale comes twice. Same index, same print: nothing is counted twice (dxFeed TimeAndSale javadoc)."),
    "reorder": Kind("The next rows of TimeAndSale come as two messages, the later half first. Order is by index, not by arrival (dxFeed javadoc)."),
    "corrections": Kind(
        "The newest COUNT prints are corrected or cancelled, all at once; the ground truth has it. The client's sums follow (dxFeed TimeAndSale javadoc).",
        "[COUNT@]WHEN",
        r"[1-9]\d{0,5}",
        "50",
    ),
    "rest": Kind(
        "The next REST answer is: 401, 403, 429 (no Retry-After, empty body), 429-retry-after (1 s), 502 (a proxy's HTML page), or html "
        "(a page with status 200). The client says which, and tries again where that helps (developer.tastytrade.com, rate limits and backoff).",
        "[401|403|429|429-retry-after|502|html@]WHEN|first:N|every:N",
        "401|403|429|429-retry-after|502|html",
        "502",
    ),
    "random": Kind(
        "A mix of the faults above, without silence, grown from SEED; WHEN is the mean distance, 5s if not given.",
        "SEED[@Ns|@Nrows]",
        r"\d{1,18}",
        None,
        "5s",
    ),
    "session_limit": Kind(
        "No more than N streams logged in at once; the next AUTH gets ERROR UNAUTHORIZED with the live server's text "
        "(TX-9AI/options_trader_v3). The client waits minutes.",
        "N",
        limit=limits.number,
    ),
    "subscription_size": Kind(
        "No more than N items subscribed by one connection; the rest gets BAD_ACTION and stays silent (live: 25,000). The client says so.",
        "N",
        limit=limits.number,
    ),
    "subscription_rate": Kind(
        "No more than N items subscribed in a second; the message beyond gets BAD_ACTION and stays silent. The client slows down.", "N", limit=limits.number
    ),
    "no_keepalive": Kind(
        "The server's keepalive time-outs are N seconds instead of 60, as its SETUP says; a client silent for longer is closed with 1000 Bye "
        "(dxLink asyncapi 1.0.2).",
        "Ns",
        limit=limits.seconds,
    ),
    "slow_setup": Kind(
        "The server's first word takes N seconds. The client waits, or gives up after a time-out of its own and tries again.", "Ns", limit=limits.seconds
    ),
    "unserved": Kind(
        "The login does not receive these event types: no data and no word, as TimeAndSale for many API tokens (tastyware/tastytrade issue 324). "
        "The client takes delta from a lesser source and says so.",
        "TYPE[,TYPE...]",
        limit=limits.event_types,
    ),
    "history_cap": Kind(
        "A history has no more than N rows, then it ends with SNAPSHOT_SNIP (dxFeed's own caps: TimeAndSale 1000, Candle 8000). "
        "The client says how far back it goes.",
        "TimeAndSale:N|Candle:N[,...]",
        limit=limits.caps,
    ),
    "level": Kind(
        "The quote token is of level demo and its stream ends in /delayed; a made-up market runs 15 minutes behind (developer.tastytrade.com, sandbox). "
        "The client says that the data are delayed.",
        "demo",
        limit=limits.level,
    ),
    "auto_without_history": Kind(
        "Candle on a channel of contract AUTO gets an empty history (tastyware/tastytrade issue 353). The client asks for HISTORY.", "", limit=limits.bare
    ),
}
"""Every fault by name."""
_TYPES: Final = f"TYPE is one of {', '.join(COLUMNS)}."

_MIX: Final = (
    *(Fault("close", code) for code in ("1000", "1008", "1009")),
    *(Fault("error", kind) for kind in ("TIMEOUT", "BAD_ACTION", "UNKNOWN", "UNAUTHORIZED")),
    *(Fault("rest", kind) for kind in ("429", "502", "html")),
    *(Fault(name, KINDS[name].default or "") for name in ("reset", "channel_closed", "token_expiry", "auth_state")),
    *(Fault(name, KINDS[name].default or "") for name in ("columns", "duplicate", "reorder", "corrections")),
)  # without silence: until the client's own time-out the rest of the mix would strike nobody


@dataclass
class _Rule:
    """When one fault strikes on its axis: at `at`, then every `step` (0: never again), `left` times at most."""

    fault: Fault
    axis: str
    at: float
    step: float
    left: float
    rng: np.random.Generator = field(repr=False)

    def due(self, reached: float) -> list[Fault]:
        """The fault, if its mark was passed since the last look; marks passed together strike once."""
        if self.left <= 0 or reached < self.at:
            return []
        self.left -= 1
        self._next(reached)
        return [self._drawn()._replace(seed=int(self.rng.integers(2**31)))]

    def _next(self, reached: float) -> None:
        self.at = self.at + self.step * (1 + math.floor((reached - self.at) / self.step)) if self.step else math.inf

    def _drawn(self) -> Fault:
        return self.fault


class _Mix(_Rule):
    """Any fault of `_MIX`, at distances of `step` in the mean."""

    def _next(self, reached: float) -> None:
        while self.at <= reached:
            self.at += float(self.rng.exponential(self.step)) + 1e-9

    def _drawn(self) -> Fault:
        return _MIX[int(self.rng.integers(len(_MIX)))]


class Faults:
    """The plan of an emulator's faults, from specifications NAME=ARG; UsageError names what there is.

    >>> plan = Faults(["reset=every:500rows", "close=1008@2.5s", "session_limit=3"])
    >>> [(fault.name, fault.what) for fault in plan.due(2.5, 499)], [fault.name for fault in plan.due(2.6, 500)], plan.due(2.7, 999)
    ([('close', '1008')], ['reset'], [])
    >>> plan.limits.session_limit
    3
    >>> sorted(Faults(["unserved=TimeAndSale", "unserved=Quote"]).limits.unserved)
    ['Quote', 'TimeAndSale']
    """

    def __init__(self, specs: Iterable[str] = (), seed: int = 1) -> None:
        self.specs = tuple(specs)
        self._rules: list[_Rule] = []
        held: dict[str, Any] = {}
        for number, spec in enumerate(self.specs):
            name, _, arg = spec.partition("=")
            kind = KINDS.get(name)
            if kind is not None and kind.limit is not None:
                try:
                    value = kind.limit(arg)
                except ValueError:
                    raise _misread(spec) from None
                held[name] = held[name] | value if name in held and isinstance(value, frozenset | dict) else value
            else:
                self._rules.append(_rule(name, kind, arg, spec, [seed, number]))
        self.limits = Limits(**held)

    def __bool__(self) -> bool:
        return bool(self.specs)

    def due(self, now_s: float, rows: int, answers: int = 0) -> list[Fault]:
        """The faults whose mark was passed since the last call: `now_s` since the first stream opened, `rows` sent, REST `answers` with the coming one."""
        reached = {_SECONDS: now_s, _ROWS: float(rows), _ANSWERS: float(answers)}
        return [fault for rule in self._rules for fault in rule.due(reached[rule.axis])]


def table() -> str:
    """Every fault with what its ARG accepts and what it does, as lines of text."""
    lines = [line for name, kind in KINDS.items() for line in (usage(name), f"    {kind.text}")]
    return "\n".join([*lines, "WHEN is 5s (since the first stream opened), 500rows (sent to all clients), every:5s or every:500rows.", _TYPES])


def usage(name: str) -> str:
    """A fault as it is asked for.

    >>> usage("session_limit"), usage("auto_without_history")
    ('session_limit=N', 'auto_without_history')
    """
    shown = KINDS[name].shown
    return f"{name}={shown}" if shown else name


def _rule(name: str, kind: Kind | None, arg: str, spec: str, seed: list[int]) -> _Rule:
    if kind is None:
        raise _misread(spec)
    what, at, when = arg.rpartition("@")
    if kind.when and not at:
        what, when = arg, kind.when
    elif not at:
        what = kind.default or ""
    match = _WHEN.fullmatch(when)
    if match is None or not re.fullmatch(kind.what, what) or (kind.default is None and not what) or (at and not what):
        raise _misread(spec)
    mode, unit, n = match["mode"], match["unit"], float(match["n"])
    counts_answers = name == "rest" and unit is None
    if n <= 0 or (not counts_answers and (unit is None or mode == "first")) or (unit != "s" and n != int(n)) or (mode and name == "random"):
        raise _misread(spec)
    axis = {"s": _SECONDS, "rows": _ROWS, None: _ANSWERS}[unit]
    if name == "random":
        rng = np.random.default_rng(int(what))
        return _Mix(Fault(name), axis, float(rng.exponential(n)), n, math.inf, rng)
    rng = np.random.default_rng(seed)
    at_, step, left = {None: (n, 0.0, 1.0), "every": (n, n, math.inf), "first": (1.0, 1.0, n)}[mode]
    return _Rule(Fault(name, what), axis, at_, step, left, rng)


def _misread(spec: str) -> UsageError:
    known = ", ".join(map(usage, KINDS))
    return UsageError(f"fault {spec!r} is not understood; there are {known}; WHEN is 5s, 500rows, every:5s or every:500rows; {_TYPES.rstrip('.')}")
