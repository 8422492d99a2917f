"""What is measured between two sides: each function takes the facts of a comparison and the labels, and gives (value, words); None: nothing to compare.

A value is never negative, and the larger it is the worse. What each one means and its limits stand in `checks.CHECKS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Facts = Mapping[str, Any]
Labels = Sequence[str]
Found = tuple[float, str] | None

CHANCE: Final = 0.05
"""What may go unseen so often is not told apart from a feed that is whole."""
_MANY_QUOTES = 10  # of one side, while the other had none


def _more_or_less(values: Sequence[float], labels: Labels, what: str) -> Found:
    a, b = values
    if not a and not b:
        return None
    share = 100 * (b / a - 1) if a else 100.0
    if share == 0:
        return 0.0, f"both have the same {what} ({_n(a)})"
    return abs(share), f"{labels[1]} has {abs(share):.2f} % {'more' if share > 0 else 'less'} {what} than {labels[0]} ({_n(b)} against {_n(a)})"


def bars_missing(facts: Facts, labels: Labels) -> Found:
    bars = facts.get("bars", {})
    every = bars.get("matched", 0) + sum(bars.get("only", ()))
    if not every:
        return None
    a, b = bars["only"]
    words = f"{labels[1]} lacks {a:,} and {labels[0]} lacks {b:,} of {every:,} bars" if a or b else f"both have the same {every:,} bars"
    return 100 * (a + b) / every, words


def bars_outside(facts: Facts, labels: Labels) -> Found:
    outside = facts.get("bars", {}).get("outside")
    if outside is None:
        return None
    every = sum(outside) + sum(facts["bars"]["bars"])
    words = (
        f"{outside[0]:,} bars of {labels[0]} and {outside[1]:,} of {labels[1]} lie where the other has begun not yet or ended already; they are not compared"
    )
    return 100 * sum(outside) / every if every else 0.0, words if any(outside) else "both cover the same time"


def duplicates(facts: Facts, labels: Labels) -> Found:
    bars = facts.get("bars", {})
    if not sum(bars.get("bars", ())):
        return None
    a, b = bars["duplicates"]
    return float(a + b), f"{a:,} bars of {labels[0]} and {b:,} of {labels[1]} came twice" if a or b else "no bar came twice"


def bar_prices(facts: Facts, labels: Labels) -> Found:
    bars = facts.get("bars", {})
    if not bars.get("matched"):
        return None
    mean, typical = bars["apart_mean_ticks"], bars["apart_median_ticks"]["close"]
    if mean == 0:
        return 0.0, f"all prices of {bars['matched']:,} bars are the same"
    shift = f"{labels[1]}'s close is typically {_ticks(typical)} {'higher' if typical > 0 else 'lower'}" if typical else "the typical close is the same"
    return mean, f"prices of bars lie {mean:.2f} ticks apart on average; {shift}; {100 * bars['exact'] / bars['matched']:.1f} % of the bars are exactly alike"


def bar_volume(facts: Facts, labels: Labels) -> Found:
    return _more_or_less(facts.get("bars", {}).get("volume", (0, 0)), labels, "volume in its bars")


def trade_count(facts: Facts, labels: Labels) -> Found:
    return _more_or_less(facts.get("trades", {}).get("prints", (0, 0)), labels, "prints")


def trade_volume(facts: Facts, labels: Labels) -> Found:
    return _more_or_less(facts.get("trades", {}).get("lots", (0, 0)), labels, "traded volume")


def trades_unmatched(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("either_lots"):
        return None
    share = 100 * (1 - trades["common_lots"] / trades["either_lots"])
    return share, f"{share:.2f} % of the traded volume is not on both sides at the same price in the same second" if share else "every print is on both sides"


def trade_shift(facts: Facts, labels: Labels) -> Found:
    shift = facts.get("trades", {}).get("shift_ticks_p50")
    if shift is None:
        return None
    words = f"prints of {labels[1]} are typically {_ticks(shift)} {'higher' if shift > 0 else 'lower'}"
    return abs(shift), words if shift else "prints are typically at the same price"


def delta(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    sideless = _sideless(trades)
    if not trades.get("delta_lots") or all(sideless):
        return None
    share = 100 * trades["delta_apart_lots"] / trades["delta_lots"]
    words = f"minute by minute the volume deltas lie {share:.2f} % of the volume apart" if share else "every minute has the same volume delta"
    if any(sideless):  # its deltas are 0 because nothing is known of them
        share, words = 100.0, f"no print of {labels[sideless.index(True)]} has a side, so it has no volume delta"
    return share, f"{words}{_sources(trades, labels)}"


def sides(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("common_lots") or all(_sideless(trades)):
        return None
    share = 100 * trades["sides_apart_lots"] / trades["either_lots"]
    words = f"{share:.2f} % of the traded volume is bought at one, and sold or of no side at the other" if share else "bought and sold are the same"
    return share, f"{words}{_sources(trades, labels)}"


def _sideless(trades: Facts) -> list[bool]:
    """Which side traded and told no aggressor at all."""
    pairs = zip(trades.get("unknown_lots", ()), trades.get("lots", ()), strict=True)
    return [0 < lots == unknown for unknown, lots in pairs]


def _sources(trades: Facts, labels: Labels) -> str:
    how = (f"{label} from {_main_source(counts)}" for label, counts in zip(labels, trades["side_sources"], strict=True))
    return f" (sides: {' and '.join(how)})"


def quotes(facts: Facts, labels: Labels) -> Found:
    quotes = facts.get("quotes", {})
    updates = quotes.get("updates", (0, 0))
    if min(updates) == 0 and max(updates) >= _MANY_QUOTES:
        mute = updates.index(0)
        return 100.0, f"{labels[mute]} never sent a quote while {labels[1 - mute]} sent {max(updates):,}: a dead feed of quotes"
    if not quotes.get("both_s"):
        return None
    share = 100 * (1 - quotes["alike_s"] / quotes["both_s"])
    a, b = quotes["spread_ticks"]
    wide = f"the spread is {a:.2f} ticks at {labels[0]} and {b:.2f} at {labels[1]} on average" if a is not None else "never had both sides bid and ask"
    return share, f"best bid or ask differ for {share:.2f} % of the time; {wide}"


def quotes_silence(facts: Facts, labels: Labels) -> Found:
    quotes = facts.get("quotes", {})
    if not quotes:
        return None
    seconds = max(quotes["silence_s"])
    side = quotes["silence_s"].index(seconds)
    if not seconds:
        return 0.0, "neither was silent while the other's quotes changed"
    return seconds, f"{labels[side]} sent no quote for {seconds:,.1f} s while those of {labels[1 - side]} changed"


def lag(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("lead_ms_n"):
        return None
    p50, (a, b) = trades["lead_ms_p5_p50_p95"][1], trades["first"]
    late, first, share = (labels[1], labels[0], a) if p50 >= 0 else (labels[0], labels[1], b)
    words = f"{late} is typically {abs(p50):.4g} ms later than {first}, which is first with {100 * share / max(a + b, 1):.0f} % of the prices"
    return abs(p50), words


def lag_tail(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not trades.get("lead_ms_n"):
        return None
    low, _, high = trades["lead_ms_p5_p50_p95"]
    late = labels[1] if high >= -low else labels[0]
    return max(high, -low), f"one price in twenty comes {max(high, -low):.4g} ms or more later from {late}"


def silence(facts: Facts, labels: Labels) -> Found:
    trades = facts.get("trades", {})
    if not sum(trades.get("prints", ())):
        return None
    seconds = max(trades["silence_s"])
    side = trades["silence_s"].index(seconds)
    if not seconds:
        return 0.0, "neither was silent while the other traded"
    dead = " and never sent a print: a dead feed" if not trades["prints"][side] else ""
    return float(seconds), f"{labels[side]} was silent for {seconds:,} s while {labels[1 - side]} traded{dead}"


def events(kind: str, what: str) -> Callable[[Facts, Labels], Found]:
    def measure(facts: Facts, labels: Labels) -> Found:
        health = facts.get("health")
        if health is None:
            return None
        a, b = (counts.get(kind, 0) for counts in health["counts"])
        return float(a + b), f"{what}: {a:,} at {labels[0]}, {b:,} at {labels[1]}" if a or b else f"{what}: none"

    return measure


def nothing(facts: Facts, labels: Labels) -> Found:
    seen = sum(facts.get("bars", {}).get("bars", ())) + sum(facts.get("trades", {}).get("prints", ()))
    return (
        (0.0, f"{seen:,} bars and prints were seen") if seen else (1.0, f"neither {labels[0]} nor {labels[1]} has sent a bar or a print: nothing was compared")
    )


def not_compared(facts: Facts, labels: Labels) -> Found:
    expected = facts.get("expected", ())
    missing = [kind for kind in expected if kind not in facts]
    if not expected or len(missing) == len(expected):  # then nothing was, which is told already
        return None
    words = f"{' and '.join(expected)} were compared"
    return float(len(missing)), f"no {' and no '.join(missing)} of both sides came: nothing is known of them" if missing else words


def too_few(facts: Facts, labels: Labels) -> Found:
    lacking, enough = [], []
    for kind, counted, what in (("trades", "prints", "prints"), ("quotes", "updates", "quotes"), ("bars", "bars", "bars")):
        n, needed = min(facts.get(kind, {}).get(counted, (math.inf,))), facts["enough"][kind]
        if n < needed:
            unseen = 100 * (1 - CHANCE ** (1 / n)) if n else 100.0
            lacking.append((needed - n, f"{n:,} of the {needed:,.0f} {what} it takes, up to {unseen:.0f} % of them could be missing or wrong unseen"))
        elif n < math.inf:
            enough.append(f"{n:,} {what}")
    if lacking:
        return float(max(short for short, _ in lacking)), f"too few to say: {'; '.join(words for _, words in lacking)}"
    return (0.0, f"enough to judge by: {' and '.join(enough)} on each side") if enough else None


def _main_source(counts: Mapping[str, int]) -> str:
    return max(counts, key=counts.__getitem__) if any(counts.values()) else "nowhere"


def _ticks(count: float) -> str:
    return f"{abs(count):.3g} tick{'' if abs(count) == 1 else 's'}"


def _n(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
