"""What a comparison is judged by: one row for each check, with the limits from which it is WATCH or FAIL, and what it says in words.

A limit is changed under its name: `{"bar_volume_pct_watch": 4, "bar_volume_pct_fail": 8}`. The value of a check is never negative, and a check whose value is
above a limit has crossed it. Where there is nothing to compare, a check is left out; that something was to be compared and
never came, or is too little to judge by, is told by checks of its own: no feed passes because nothing was seen of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal, NamedTuple

from tastytrade_provider.errors import UsageError

from . import measures
from .measures import Facts, Found, Labels

Verdict = Literal["PASS", "WATCH", "FAIL"]
VERDICTS: Final[tuple[Verdict, ...]] = ("PASS", "WATCH", "FAIL")
_NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Check:
    """A check's verdict: its value, the limits it was held against, and the reason in words with the size of the difference."""

    name: str
    verdict: Verdict
    value: float
    unit: str
    watch: float
    fail: float
    reason: str


class Kind(NamedTuple):
    """How a check is made. watch, fail: limits unless configured otherwise; measure: (value, words), None where there is nothing to compare."""

    name: str
    unit: str
    watch: float
    fail: float
    meaning: str
    measure: Callable[[Facts, Labels], Found]


CHECKS: Final = (
    Kind("nothing_compared", "", 0, _NEVER, "1 where neither side sent anything", measures.nothing),
    Kind("not_compared", "", 0, _NEVER, "trades, quotes or bars: how many of those asked for never came from both", measures.not_compared),
    Kind("too_few", "", 0, _NEVER, "prints, quotes or bars that lack for a verdict", measures.too_few),
    Kind("bars_missing_pct", "%", 0.5, 3, "bars that only one side has, of all", measures.bars_missing),
    Kind("bars_outside_pct", "%", 2, _NEVER, "bars outside the time that both cover (stored bars only)", measures.bars_outside),
    Kind("bars_duplicate", "bars", 0, 0, "bars that came twice", measures.duplicates),
    Kind("bar_price_ticks", "ticks", 0.1, 1, "mean distance of open, high, low, close", measures.bar_prices),
    Kind("bar_volume_pct", "%", 1, 5, "volume summed over bars; IB's history leaves combos and blocks out", measures.bar_volume),
    Kind("trade_count_pct", "%", 2, _NEVER, "prints; never FAIL by itself: a broker may send one print for several fills", measures.trade_count),
    Kind("trade_volume_pct", "%", 1, 3, "volume summed over prints", measures.trade_volume),
    Kind("trade_unmatched_pct", "%", 2, 10, "volume not on both sides at one price in one second", measures.trades_unmatched),
    Kind("trade_shift_ticks", "ticks", 0.25, 1, "typical distance of the mean price of a second", measures.trade_shift),
    Kind("delta_pct", "%", 5, 20, "distance of the volume deltas minute by minute, of the volume", measures.delta),
    Kind("sides_apart_pct", "%", 10, 30, "volume that both have, but with another aggressor side; by chance it would be half", measures.sides),
    Kind("quotes_apart_pct", "%", 10, 30, "time during which best bid or ask differ", measures.quotes),
    Kind("quotes_silence_s", "s", 10, 30, "longest silence of one side's quotes while the other's changed", measures.quotes_silence),
    Kind("lag_ms", "ms", 100, 250, "typical lateness of one side, by arrival on one clock", measures.lag),
    Kind("lag_p95_ms", "ms", 500, 2000, "lateness that one price in twenty exceeds", measures.lag_tail),
    Kind("silence_s", "s", 10, 30, "longest silence of one side while the other traded", measures.silence),
    Kind("gaps", "gaps", 0, 10, "intervals told as possibly incomplete", measures.events("gap", "gaps told")),
    Kind("reconnects", "times", 0, 10, "connections lost and made again", measures.events("reconnect", "reconnects")),
    Kind("faults", "times", 0, 3, "crashes, freezes and errors", measures.events("fault", "crashes, freezes and errors")),
    Kind("dropped", "items", 0, _NEVER, "items left out of the comparison because it could not keep up", measures.events("dropped", "items not compared")),
)
"""Every check, in the order of a report."""

SETTINGS: Final = {"grace_s": 15.0, "prints_enough": 210, "bars_enough": 100, "quotes_enough": 15}
"""Not limits. grace_s: how long, by the exchange's time, one side waits for the other before something counts as missing.

..._enough: with fewer on either side the verdict is WATCH ("too few to say"). Where a share p is missing or wrong, n of them show k with the binomial
probability C(n, k) p^k (1 - p)^(n - k), and a check passes while k is within its WATCH limit w of n. From so many on, a feed that is as wrong as FAIL allows
passes at most one time in twenty:

    prints    p = 3 %, w = 1 % (trade_volume_pct, prints of one size)     from 208 on
    bars      p = 3 %, w = 0.5 % (bars_missing_pct)                      from 99 on
    quotes    p = 30 %, w = 10 % (quotes_apart_pct)                       from 14 on

With fewer, the words tell the share of which none would be seen one time in twenty: 1 - 0.05^(1/n), which is 95 % with one print.
"""

LIMITS: Final = {f"{kind.name}_{limit}": getattr(kind, limit) for kind in CHECKS for limit in ("watch", "fail")} | SETTINGS
"""Name -> default of everything that `ab.thresholds` may hold."""


def thresholds(given: Mapping[str, float] | None = None) -> dict[str, float]:
    """The defaults with what is given in their place. UsageError for an unknown name, a negative number, or a WATCH above its FAIL.

    >>> thresholds({"lag_ms_fail": 400})["lag_ms_fail"]
    400
    """
    given = given or {}
    for name, value in given.items():
        if name not in LIMITS:
            near = get_close_matches(name, LIMITS, 1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"no threshold is named {name!r}; {guess}Known: {', '.join(LIMITS)}")
        if not value >= 0:
            raise UsageError(f"threshold {name} is {value!r}; a number of 0 or more is accepted")
    found = {**LIMITS, **given}
    for kind in CHECKS:
        watch, fail = f"{kind.name}_watch", f"{kind.name}_fail"
        if found[watch] > found[fail]:
            if watch in given and fail in given:
                raise UsageError(f"threshold {watch} is {found[watch]:g}, above {fail} {found[fail]:g}")
            told, other = (watch, fail) if watch in given else (fail, watch)
            found[other] = found[told]
    return found


def judge(facts: Facts, labels: Labels, limits: Mapping[str, float]) -> list[Check]:
    """Every check that has something to compare. `limits` as `thresholds` gives them."""
    checks = []
    facts = {**facts, "enough": {kind: limits[f"{what}_enough"] for kind, what in (("trades", "prints"), ("quotes", "quotes"), ("bars", "bars"))}}
    for kind in CHECKS:
        found = kind.measure(facts, labels)
        if found is not None:
            watch, fail = limits[f"{kind.name}_watch"], limits[f"{kind.name}_fail"]
            verdict: Verdict = "FAIL" if found[0] > fail else "WATCH" if found[0] > watch else "PASS"
            checks.append(Check(kind.name, verdict, found[0], kind.unit, watch, fail, found[1]))
    return checks


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a whole: that of its worst part."""
    return max(verdicts, key=VERDICTS.index, default="WATCH")
