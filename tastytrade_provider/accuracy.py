"""How well the rules that infer a trade's side do against the exchange's own flag, trade by trade and summed up in bars.

Rules, by trade: tick, quote, Lee-Ready (quote, at the middle tick), EMO (at the quote, else tick), CLNV (within 30 % of the quote, else tick). By bar:
a blind half, BVC (bulk volume classification, Easley, Lopez de Prado and O'Hara 2012) with the normal and with Student's t distribution of 0.25
degrees of freedom, and the tick rule summed. Only trades with a flag are compared; a rule without an answer is wrong there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .aggressor import Quotes, classify
from .errors import UsageError
from .model import OFF_STEP_TOLERANCE, Contract, SideSource, TradeBatch

Floats = NDArray[np.float64]
Sides = NDArray[np.int8]

RULES = ("tick", "quote", "lee_ready", "emo", "clnv")
_CLNV_ZONE = 0.3  # share of the spread from bid and ask (Chakrabarty, Li, Nguyen and Van Ness 2007)


@dataclass(frozen=True, eq=False)
class Prints:
    """Trades in the order in which rules see them, each with the quote that stood then (NaN where none did). `flag`: 1 bought, -1 sold, 0 not told."""

    contract: Contract
    time_ns: NDArray[np.int64]
    price: Floats
    size: Floats
    flag: Sides
    bid: Floats
    ask: Floats

    def late(self, trades: int) -> Prints:
        """The same with quotes that come so many trades too late."""
        shifted = [np.concatenate([np.full(trades, np.nan), column[: len(column) - trades]])[: len(column)] for column in (self.bid, self.ask)]
        return replace(self, bid=shifted[0], ask=shifted[1])


@dataclass(frozen=True, slots=True)
class RuleScore:
    """Of the trades with a flag, and of their volume, the percentage whose side a rule found; `answered` had any answer."""

    rule: str
    trades_pct: float
    volume_pct: float
    answered_pct: float


@dataclass(frozen=True, slots=True)
class BarScore:
    """How near an estimate of bought and sold volume comes in bars of `bar_s` seconds.

    bulk_pct         percentage of volume put on its right side: what is usually quoted, and flatters where bars are balanced
    correlation      of the bars' deltas with the true ones; None where either never changes
    sign_agreement   percentage of bars whose delta has the true sign; None for the blind half, which has none
    cvd_end, cvd_error   the sum of all deltas, and by how much it misses the true one, in contracts
    """

    estimator: str
    bar_s: int
    bulk_pct: float
    correlation: float | None
    sign_agreement_pct: float | None
    cvd_end: float
    cvd_error: float


def inferred(prints: Prints) -> dict[str, Sides]:
    """The side of every trade by each rule; 0 where it has no answer.

    >>> es = Contract("ES", "/ESZ6", tick_size=0.25)
    >>> one = Prints(es, *(np.array([value]) for value in (1, 6000.25, 2.0, 1, 6000.0, 6000.25)))
    >>> {rule: side.tolist() for rule, side in inferred(one).items()}
    {'tick': [0], 'quote': [1], 'lee_ready': [1], 'emo': [1], 'clnv': [1]}
    """
    columns = {"time_ns": prints.time_ns, "price": prints.price, "size": prints.size}
    batch = TradeBatch(prints.contract, columns | {"bid": prints.bid, "ask": prints.ask})

    def by(quotes: Quotes, trades: TradeBatch = batch) -> TradeBatch:
        return classify(trades, quotes, trust_flags=False)

    lee_ready, tick = by("embedded"), by("embedded", TradeBatch(prints.contract, columns)).side
    quote = np.where(lee_ready.side_source == SideSource.QUOTE, lee_ready.side, np.int8(0))
    return {"tick": tick, "quote": quote, "lee_ready": lee_ready.side, "emo": by("apart").side, "clnv": _clnv(prints, tick)}


def _clnv(prints: Prints, tick: Sides) -> Sides:
    zone, same = _CLNV_ZONE * (prints.ask - prints.bid), OFF_STEP_TOLERANCE * prints.contract.tick_size
    from_bid, from_ask = prints.price - prints.bid, prints.ask - prints.price
    is_quoted = prints.bid < prints.ask
    bought = is_quoted & (-same <= from_ask) & (from_ask <= zone + same)
    sold = is_quoted & (-same <= from_bid) & (from_bid <= zone + same)
    return np.where(bought, 1, np.where(sold, -1, tick)).astype(np.int8)


def score_rules(prints: Prints) -> list[RuleScore]:
    """Every rule against the flag. UsageError where no trade has one."""
    told = _told(prints)
    flag, size = prints.flag[told], prints.size[told]
    scores = []
    for rule, side in inferred(prints).items():
        right = side[told] == flag
        scores.append(RuleScore(rule, _pct(right.mean()), _pct(size[right].sum() / size.sum()), _pct((side[told] != 0).mean())))
    return scores


def score_bars(prints: Prints, seconds: Iterable[int] = (1, 10, 60)) -> list[BarScore]:
    """Every estimate against the flag, for bars of so many seconds; bars without a flagged trade do not exist. UsageError where no trade has a flag."""
    told = _told(prints)
    tick = inferred(prints)["tick"][told]
    time_ns, price, size, flag = prints.time_ns[told], prints.price[told], prints.size[told], prints.flag[told]
    scores = []
    for bar_s in seconds:
        _, bar = np.unique(time_ns // (bar_s * 10**9), return_inverse=True)
        volume, bought = (np.bincount(bar, weights=weights).astype(np.float64) for weights in (size, size * (flag > 0)))
        steps = _steps(price, bar)
        by_tick = np.bincount(bar, weights=size * np.where(tick == 0, 0.5, tick > 0))
        estimates = {
            "blind half": volume / 2,
            "BVC normal": volume * np.array([0.5 * math.erfc(-step / math.sqrt(2)) for step in steps]),
            "BVC t(0.25)": volume * np.array([_student_cdf(step, 0.25) for step in steps]),
            "tick rule": by_tick,
        }
        scores += [_bar_score(name, bar_s, volume, bought, estimate) for name, estimate in estimates.items()]
    return scores


def _steps(price: Floats, bar: NDArray[np.int64]) -> list[float]:
    """Each bar's change of close, in standard deviations of these changes; the first has none."""
    close = np.empty(bar.max() + 1)
    close[bar] = price  # of several, the last one stays
    change = np.diff(close, prepend=close[0])
    spread = change.std(ddof=1) if len(change) > 1 else 0.0
    return [float(step) for step in change / spread] if spread > 0 else [0.0] * len(change)


def _bar_score(name: str, bar_s: int, volume: Floats, bought: Floats, estimate: Floats) -> BarScore:
    truth, delta = 2 * bought - volume, 2 * estimate - volume
    right = np.minimum(bought, estimate).sum() + np.minimum(volume - bought, volume - estimate).sum()
    is_blind = not delta.any()
    correlation = None if is_blind or len(delta) < 2 or not truth.std() or not delta.std() else float(np.corrcoef(truth, delta)[0, 1])
    agreement = None if is_blind else _pct((np.sign(truth) == np.sign(delta)).mean())
    end = float(delta.sum())
    return BarScore(name, bar_s, _pct(right / volume.sum()), correlation, agreement, end, end - float(truth.sum()))


def _told(prints: Prints) -> NDArray[np.bool_]:
    told: NDArray[np.bool_] = prints.flag != 0
    if not told.any():
        raise UsageError("no trade has the exchange's flag (side BUY or SELL), so there is nothing to compare with")
    return told


def _pct(share: float) -> float:
    return 100.0 * float(share)


def _student_cdf(x: float, nu: float) -> float:
    """The distribution function of Student's t, by the incomplete beta function."""
    if x == 0:
        return 0.5
    # of the two tails, through whichever argument the continued fraction converges fast for
    a, b, z, rest = nu / 2, 0.5, nu / (nu + x * x), x * x / (nu + x * x)
    tail = _beta(z, rest, a, b) if z < (a + 1) / (a + b + 2) else 1 - _beta(rest, z, b, a)
    return 1 - tail / 2 if x > 0 else tail / 2


def _beta(z: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function of z = 1 - rest, by its continued fraction (DLMF 8.17.22), evaluated from its end."""
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(z) + b * math.log(rest)) / a
    fraction = 1.0
    for i in range(200, 0, -1):
        m = i // 2
        d = -(a + m) * (a + b + m) * z / ((a + 2 * m) * (a + 2 * m + 1)) if i % 2 else m * (b - m) * z / ((a + 2 * m - 1) * (a + 2 * m))
        fraction = 1 + d / fraction
    return front / fraction
