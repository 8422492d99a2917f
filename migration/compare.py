"""Two sources of one contract compared: `Comparison` takes what each hands over as it comes, `compare_bars` whole frames. One calculation behind both."""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Bar, Int64, Quote, TradeBatch

from .bar_differences import BarDifferences
from .checks import Check, Verdict, judge, thresholds, worst
from .quote_differences import QuoteDifferences
from .trade_differences import TradeDifferences

if TYPE_CHECKING:
    import pandas as pd

A: Final = 0
B: Final = 1
_EVENTS = 100
_WHOLE_S = 1e9  # longer than any stretch of trades


@dataclass(frozen=True)
class Result:
    """What came of a comparison: the verdict (of the worst check), every check in words, and the figures behind them, ready for JSON."""

    symbol: str
    labels: tuple[str, str]
    verdict: Verdict
    checks: tuple[Check, ...]
    facts: dict[str, Any]

    def check(self, name: str) -> Check:
        """The check of that name; UsageError where nothing was there to be checked."""
        for one in self.checks:
            if one.name == name:
                return one
        raise UsageError(f"nothing was compared for {name!r}; checked were {', '.join(one.name for one in self.checks)}")

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a program; a limit that cannot be crossed is None."""
        checks = [
            {**asdict(one), **{name: None if getattr(one, name) == float("inf") else getattr(one, name) for name in ("watch", "fail")}} for one in self.checks
        ]
        return {"symbol": self.symbol, "a": self.labels[0], "b": self.labels[1], "verdict": self.verdict, "checks": checks, **self.facts}


class Comparison:
    """One contract from two sides, A (0) and B (1), for a run of any length. No clock: arrivals are given, in ns of one clock for both sides; 0: not known.

    tick_size  of prices        labels  what the sides are called
    limits     thresholds by name (see `checks.LIMITS`)

    It waits `grace_s` of exchange time for the slower side; what comes later is counted as late, and stays missing. What waits is bounded, and counted
    where it is dropped.
    """

    def __init__(self, symbol: str, tick_size: float, labels: tuple[str, str] = ("a", "b"), *, limits: Mapping[str, float] | None = None) -> None:
        self.symbol, self.tick_size, self.labels = symbol, tick_size, labels
        self.limits = thresholds(limits)
        self.bars, self.trades, self.quotes = BarDifferences(), TradeDifferences(), QuoteDifferences()
        self._counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._newest_bar: list[int | None] = [None, None]
        self._arrived = [0, 0]
        self._settled_ns = 0
        self._expected: set[str] = set()

    # -- in

    def expect(self, kind: str) -> None:
        """`trades`, `quotes` or `bars` are to be compared: that neither side brings any is told."""
        self._expected.add(kind)

    def add_trades(self, side: int, batch: TradeBatch, arrived_ns: Int64 | int = 0, *, since_ns: int = 0) -> None:
        """Trades of one side, in ticks and lots of the same contract on both. `since_ns`: leave out those before this exchange time."""
        self.trades.add(side, batch, arrived_ns, since_ns)
        newest = self.trades.newest[side] or 0
        if newest - self._settled_ns >= 1_000_000_000:
            self._settled_ns = newest
            self.trades.settle(newest - self._grace_ns)

    def add_quote(self, side: int, quote: Quote, arrived_ns: int) -> None:
        """A quote of one side. Quotes meet by arrival: a broker may not say when they were made."""
        self.quotes.add(side, quote, arrived_ns)
        if arrived_ns - self._arrived[side] > self._grace_ns:
            self._arrived[side] = arrived_ns
            self.quotes.settle(arrived_ns - self._grace_ns)

    def add_bar(self, side: int, bar: Bar, arrived_ns: int = 0) -> None:
        """A closed bar of one side, or a newer revision of one. A bar that was left without trades is as good as none."""
        prices = (bar.open, bar.high, bar.low, bar.close)
        if any(price is None for price in prices):
            return
        ticks = np.array([[round(price / self.tick_size) for price in prices if price is not None]], np.int64)
        self.add_bars(side, np.array([bar.start_ns]), ticks, np.array([bar.volume]), arrived_ns, bar.revision)
        self.bars.settle(bar.start_ns - self._grace_ns - (bar.end_ns - bar.start_ns))

    def add_bars(self, side: int, start_ns: Any, ticks: Any, volume: Any, arrived_ns: int = 0, revision: Any = 0) -> None:
        """Bars of one side as columns: n starts (UTC ns), n x 4 prices in ticks, n volumes."""
        if len(start_ns):
            newest = int(start_ns.max())
            self._newest_bar[side] = max(newest, self._newest_bar[side] or newest)
        self.bars.add(side, start_ns, ticks, volume, arrived_ns, revision)

    def note(self, side: int, kind: str, text: str, at_ns: int = 0, n: int = 1) -> None:
        """Something that happened to one side: `gap`, `reconnect`, `fault`, `dropped`, or another word."""
        self._counts[side][kind] += n
        self._events.append({"side": self.labels[side], "kind": kind, "text": text, "at_ns": at_ns})

    # -- out

    def result(self, *, is_over: bool = False) -> Result:
        """The comparison so far, up to where both sides have come, or the grace is over; with `is_over`, to the end of both. Goes on afterwards."""
        now = copy.deepcopy(self)
        now._settle(is_over)
        kinds = {"bars": now.bars.facts(), "trades": now.trades.facts(), "quotes": now.quotes.facts()}
        dropped = [sum(kind["dropped"][side] for kind in kinds.values()) for side in (A, B)]
        counts = [dict(now._counts[side] + Counter(dropped=dropped[side])) for side in (A, B)]
        seen = {"bars": sum(kinds["bars"]["bars"]), "trades": sum(kinds["trades"]["prints"]), "quotes": sum(kinds["quotes"]["updates"])}
        facts = {name: kind for name, kind in kinds.items() if seen[name]}
        expected = {"expected": sorted(self._expected)} if self._expected else {}
        return self._judged(facts | expected | {"tick_size": self.tick_size, "health": {"counts": counts, "events": list(now._events)}})

    def _judged(self, facts: dict[str, Any]) -> Result:
        checks = judge(facts, self.labels, self.limits)
        return Result(self.symbol, self.labels, worst([one.verdict for one in checks]), tuple(checks), facts)

    @property
    def _grace_ns(self) -> int:
        return int(self.limits["grace_s"] * 1e9)

    def _settle(self, is_over: bool) -> None:
        end = np.iinfo(np.int64).max
        for newest, kind, last in ((self.trades.newest, self.trades, 0), (self._newest_bar, self.bars, 1)):
            known = [time for time in newest if time is not None]
            if known:
                # what is behind the slower side's newest was seen by both
                kind.settle(end if is_over else max(max(known) - self._grace_ns, min(known) + last if len(known) == 2 else 0))
        latest = max((row[0] for row in self.quotes._pending), default=0)
        self.quotes.settle(latest + 1 if is_over else latest)


def compare_bars(
    a: pd.DataFrame,
    b: pd.DataFrame,
    tick_size: float,
    *,
    symbol: str = "",
    labels: tuple[str, str] = ("a", "b"),
    limits: Mapping[str, float] | None = None,
) -> Result:
    """Two frames of bars, indexed by start (aware), with open high low close, and volume where known. Compared where both have bars; the rest is counted.

    >>> import pandas as pd
    >>> time = pd.DatetimeIndex(["2026-11-23T14:30Z", "2026-11-23T14:31Z"])
    >>> bars = pd.DataFrame({"open": 6000.0, "high": 6001.0, "low": 5999.0, "close": [6000.5, 6000.75], "volume": [10, 20]}, index=time)
    >>> result = compare_bars(bars, bars, 0.25)
    >>> result.verdict, [check.reason for check in result.checks if check.verdict != "PASS"]
    ('WATCH', ['too few to say: 2 of the 100 bars it takes, up to 78 % of them could be missing or wrong unseen'])
    """
    comparison = Comparison(symbol, tick_size, labels, limits=limits)
    columns = [_columns(frame, tick_size) for frame in (a, b)]
    starts = [start for start, *_ in columns]
    if not all(map(len, starts)):
        raise UsageError(f"{labels[0 if not len(starts[0]) else 1]} has no bars to compare")
    first, last = max(start.min() for start in starts), min(start.max() for start in starts)
    if first > last:
        raise UsageError(f"{labels[0]} and {labels[1]} have no time in common: {_span(a)} and {_span(b)}")
    outside, empty = [], []
    for side, (start, ticks, volume, known) in enumerate(columns):
        inside = (start >= first) & (start <= last)
        outside.append(int((~inside).sum()))
        empty.append(int((~known).sum()))
        inside &= known
        comparison.add_bars(side, start[inside], ticks[inside], volume[inside])
    result = comparison.result(is_over=True)
    facts = {name: value for name, value in result.facts.items() if name != "health"}
    if "bars" in facts:
        facts["bars"] = facts["bars"] | {"outside": outside, "without_price": empty}
    return comparison._judged(facts)


def compare_trades(a: TradeBatch, b: TradeBatch, *, labels: tuple[str, str] = ("a", "b"), limits: Mapping[str, float] | None = None) -> Result:
    """Two stretches of trades of one contract, each as a whole."""
    comparison = Comparison(a.contract.symbol, a.contract.tick_size, labels, limits={**(limits or {}), "grace_s": _WHOLE_S})
    for side, batch in ((A, a), (B, b)):
        comparison.add_trades(side, batch)
    return comparison.result(is_over=True)


def _span(frame: pd.DataFrame) -> str:
    return f"{frame.index.min()} to {frame.index.max()}"


def _columns(frame: pd.DataFrame, tick_size: float) -> Sequence[Any]:
    """Starts, prices in ticks, volumes, and which bars have prices."""
    import pandas as pd

    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise UsageError("bars to compare need aware times in their index")
    prices = frame[["open", "high", "low", "close"]].to_numpy(np.float64)
    known = np.isfinite(prices).all(axis=1)
    ticks = np.rint(np.where(np.isfinite(prices), prices, 0) / tick_size).astype(np.int64)
    volume = frame["volume"].to_numpy(np.float64) if "volume" in frame else np.full(len(frame), np.nan)
    return frame.index.tz_convert("UTC").as_unit("ns").asi8, ticks, np.where(volume < 0, np.nan, volume), known
