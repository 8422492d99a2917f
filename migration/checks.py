"""What a comparison is judged by: one row for each check, with the limits from which it is WATCH or FAIL, and what it says in words.

A limit is changed under its name: `{"bar_volume_pct_watch": 4, "bar_volume_pct_fail": 8}`. The value of a check is never negative, and a check whose value is
above a limit has crossed it. Where there is nothing to compare, a check is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple

from tastytrade_provider.errors import UsageError

Verdict = Literal["PASS", "WATCH", "FAIL"]
VERDICTS: Final[tuple[Verdict, ...]] = ("PASS", "WATCH", "FAIL")
_NEVER = math.inf

Facts = Mapping[str, Any]
Labels = Sequence[str]
Found = tuple[float, str] | None


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


# --- what is measured


def _more_or_less(values: Sequence[float], labels: Labels, what: str) -> Found:
    a, b = values
    if not a and not b:
        return None
    share = 100 * (b / a - 1) if a else 100.0
    if share == 0:
        return 0.0, f"both have the same {what} ({_n(a)})"
    return abs(share), f"{labels[1]} has {abs(share):.2f} % {'more' if share > 0 else 'less'} {what} than {labels[0]} ({_n(b)} against {_n(a)})"


def _bars_missing(facts: Facts, labels: Labels) -> Found:
    bars = facts.get("bars", {})
    every = bars.get("matched", 0) + sum(bars.get("only", ()))
    if not every:
        return None
    a, b = bars["only"]
    words = f"{labels[1]} lacks {a:,} and {labels[0]} lacks {b:,} of {every:,} bars" if a or b else f"both have the same {every:,} bars"
    return 100 * (a + b) / every, words


def _bars_outside(facts: Facts, labels: Labels) -> Found:
    outside = facts.get("bars", {}).get("outside")
    if outside is None:
        return None
    every = sum(outside) + sum(facts["bars"]["bars"])
    words = (
        f"{outside[0]:,} bars of {labels[0]} and {outside[1]:,} of {labels[1]} lie where the other has begun not yet or ended already; they are not compared"
    )
    return 100 * sum(outside) / every if every else 0.0, words if any(outside) else "both cover the same time"


def _duplicates(facts: Facts, labels: Labels) -> Found:
    bars = facts.get("bars", {})
    if not sum(bars.get("bars", ())):
        return None
    a, b = bars["duplicates"]
    return float(a + b), f"{a:,} bars of {labels[0]} and {b:,} of {labels[1]} came twice" if a or b else "no bar came twice"


def _bar_prices(facts: Facts, labels: Labels) -> Found:
    bars = facts.get("bars", {})
    if not bars.get("matched"):
        return None
    mean, typical = bars["apart_mean_ticks"], bars["apart_median_ticks"]["close"]
    if mean == 0:
        return 0.0, f"all prices of {bars['matched']:,} bars are the same"
    shift = f"{labels[1]}'s close is typically {_ticks(typical)} {'higher' if typical > 0 else 'lower'}" if typical else "the typical close is the same"
    return mean, f"prices of bars lie {mean:.2f} ticks apart on average; {shift}; {100 * bars['exact'] / bars['matched']:.1f} % of the bars are exactly alike"


def _bar_volume(facts: Facts, labels: Labels) -> Found:
    return _more_or_less(facts.get("bars", {}).get("volume", (0, 0)), labels, "volume in its bars")


def _trade_count(facts: Facts, labels: Labels) -> Found:
    return _more_or_less(facts.get("trades", {}).get("prints", (0, 0)), labels, "prints")


def _trade_volume(facts: Facts, labels: Labels) -> Found:
    return _more_or_less(facts.get("trades", {}).get("lots", (0, 0)), labels, "traded volume")


def _trades_unmatched(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("either_lots"):
        return None
    share = 100 * (1 - trades["common_lots"] / trades["either_lots"])
    return share, f"{share:.2f} % of the traded volume is not on both sides at the same price in the same second" if share else "every print is on both sides"


def _trade_shift(facts: Facts, labels: Labels) -> Found:
    shift = facts.get("trades", {}).get("shift_ticks_p50")
    if shift is None:
        return None
    words = f"prints of {labels[1]} are typically {_ticks(shift)} {'higher' if shift > 0 else 'lower'}"
    return abs(shift), words if shift else "prints are typically at the same price"


def _delta(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("delta_lots"):
        return None
    share = 100 * trades["delta_apart_lots"] / trades["delta_lots"]
    how = " and ".join(f"{label} from {_main_source(counts)}" for label, counts in zip(labels, trades["side_sources"], strict=True))
    words = f"minute by minute the volume deltas lie {share:.2f} % of the volume apart" if share else "every minute has the same volume delta"
    return share, f"{words} (sides: {how})"


def _quotes(facts: Facts, labels: Labels) -> Found:
    quotes = facts.get("quotes", {})
    if not quotes.get("both_s"):
        return None
    share = 100 * (1 - quotes["alike_s"] / quotes["both_s"])
    a, b = quotes["spread_ticks"]
    return share, f"best bid or ask differ for {share:.2f} % of the time; the spread is {a:.2f} ticks at {labels[0]} and {b:.2f} at {labels[1]} on average"


def _lag(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("lead_ms_n"):
        return None
    p50, (a, b) = trades["lead_ms_p5_p50_p95"][1], trades["first"]
    late, first, share = (labels[1], labels[0], a) if p50 >= 0 else (labels[0], labels[1], b)
    words = f"{late} is typically {abs(p50):.4g} ms later than {first}, which is first with {100 * share / max(a + b, 1):.0f} % of the prices"
    return abs(p50), words


def _lag_tail(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("lead_ms_n"):
        return None
    low, _, high = trades["lead_ms_p5_p50_p95"]
    late = labels[1] if high >= -low else labels[0]
    return max(high, -low), f"one price in twenty comes {max(high, -low):.4g} ms or more later from {late}"


def _silence(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not sum(trades.get("prints", ())):
        return None
    seconds = max(trades["silence_s"])
    side = trades["silence_s"].index(seconds)
    if not seconds:
        return 0.0, "neither was silent while the other traded"
    dead = " and never sent a print: a dead feed" if not trades["prints"][side] else ""
    return float(seconds), f"{labels[side]} was silent for {seconds:,} s while {labels[1 - side]} traded{dead}"


def _events(kind: str, what: str) -> Callable[[Facts, Labels], Found]:
    def measure(facts: Facts, labels: Labels) -> Found:
        health = facts.get("health")
        if health is None:
            return None
        a, b = (counts.get(kind, 0) for counts in health["counts"])
        return float(a + b), f"{what}: {a:,} at {labels[0]}, {b:,} at {labels[1]}" if a or b else f"{what}: none"

    return measure


def _nothing(facts: Facts, labels: Labels) -> Found:
    seen = sum(facts.get("bars", {}).get("bars", ())) + sum(facts.get("trades", {}).get("prints", ()))
    return (
        (0.0, f"{seen:,} bars and prints were seen") if seen else (1.0, f"neither {labels[0]} nor {labels[1]} has sent a bar or a print: nothing was compared")
    )


CHECKS: Final = (
    Kind("nothing_compared", "", 0, _NEVER, "1 where neither side sent anything", _nothing),
    Kind("bars_missing_pct", "%", 0.5, 3, "bars that only one side has, of all", _bars_missing),
    Kind("bars_outside_pct", "%", 2, _NEVER, "bars outside the time that both cover (stored bars only)", _bars_outside),
    Kind("bars_duplicate", "bars", 0, 0, "bars that came twice", _duplicates),
    Kind("bar_price_ticks", "ticks", 0.1, 1, "mean distance of open, high, low, close", _bar_prices),
    Kind("bar_volume_pct", "%", 1, 5, "volume summed over bars; IB's history leaves combos and blocks out", _bar_volume),
    Kind("trade_count_pct", "%", 2, _NEVER, "prints; never FAIL by itself: a broker may send one print for several fills", _trade_count),
    Kind("trade_volume_pct", "%", 1, 3, "volume summed over prints", _trade_volume),
    Kind("trade_unmatched_pct", "%", 2, 10, "volume not on both sides at one price in one second", _trades_unmatched),
    Kind("trade_shift_ticks", "ticks", 0.25, 1, "typical distance of the mean price of a second", _trade_shift),
    Kind("delta_pct", "%", 5, 20, "distance of the volume deltas minute by minute, of the volume", _delta),
    Kind("quotes_apart_pct", "%", 10, 30, "time during which best bid or ask differ", _quotes),
    Kind("lag_ms", "ms", 100, 250, "typical lateness of one side, by arrival on one clock", _lag),
    Kind("lag_p95_ms", "ms", 500, 2000, "lateness that one price in twenty exceeds", _lag_tail),
    Kind("silence_s", "s", 10, 30, "longest silence of one side while the other traded", _silence),
    Kind("gaps", "gaps", 0, 10, "intervals told as possibly incomplete", _events("gap", "gaps told")),
    Kind("reconnects", "times", 0, 10, "connections lost and made again", _events("reconnect", "reconnects")),
    Kind("faults", "times", 0, 3, "crashes, freezes and errors", _events("fault", "crashes, freezes and errors")),
    Kind("dropped", "items", 0, _NEVER, "items left out of the comparison because it could not keep up", _events("dropped", "items not compared")),
)
"""Every check, in the order of a report."""

SETTINGS: Final = {"grace_s": 15.0}
"""Not limits: grace_s is how long, by the exchange's time, one side waits for the other before something counts as missing."""

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


def _main_source(counts: Mapping[str, int]) -> str:
    return max(counts, key=counts.__getitem__) if any(counts.values()) else "nowhere"


def _ticks(count: float) -> str:
    return f"{abs(count):.3g} tick{'' if abs(count) == 1 else 's'}"


def _n(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
