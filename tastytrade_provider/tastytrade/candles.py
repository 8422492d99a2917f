"""dxFeed's Candle events to bars, and back: the symbol that asks for a timeframe, rows to a bars frame, and whether the split is what it seems.

One row as on the wire (COMPACT, columns as FEED_CONFIG announced; `FIELDS` here; the bar of the minute 2026-11-24 14:30 UTC):

    "/ESZ26:XCME{=m}",0,7711745205967257600,1795530600000,0,812,6000.0,6001.25,5999.5,6000.75,2042.0,6000.41,1175.0,867.0

eventSymbol  as the server writes it: `{=1m}` comes back as `{=m}` (devexperts/QD CandlePeriod); compare with `normalise` on both sides.
time         where the bar begins, Unix milliseconds. By default bars are aligned to midnight, with `a=s` to the trading session. A day is
             stamped with midnight UTC of its date.
count        prints in the bar, 0 where not known.   vwap, volume, bidVolume, askVolume   "NaN" where not known.
bidVolume, askVolume  documented only as "bid volume" and "ask volume in this candle". Read here as sold and bought, as every chart does:
             an inference, which `sign_check` compares with trades.
tho          "regular trading hours only" is never asked for: for CME dxFeed's own table knows one regular session, the whole Globex day, and
             for other products another; hours are cut here, with the product's own table.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..dxlink.messages import shown
from ..dxlink.rows import EventFlags, Row, column_number, time_of
from ..errors import ProtocolViolation, UnsupportedTimeframe, UsageError
from ..history import SOURCES
from ..model import Array, Contract, Int64, Timeframe
from ..sessions import CALENDARS, DAY_NS, SessionTable, session_at, sessions_between
from .snapshot import flags_in, index_in

if TYPE_CHECKING:
    import pandas as pd

CANDLE = "Candle"
FIELDS = (
    "eventSymbol", "eventFlags", "index", "time", "sequence", "count", "open", "high", "low", "close",
    "volume", "vwap", "bidVolume", "askVolume",
)  # fmt: skip
"""The columns we ask for; the server announces which it sends."""


_NUMBERS = FIELDS[5:]
_COUNT, _OPEN, _CLOSE, _VOLUME, _VWAP, _SOLD, _BOUGHT = 0, 1, 4, 5, 6, 7, 8
_PERIOD = re.compile(r"0*1(mo|p[mr]?|[tsmhdwoyv])")
_DEFAULTS = {"a": "m", "price": "last", "tho": "false"}
_SYMBOL = re.compile(r"([^{}]*)\{([^{}]*)\}")
_HOUR_NS = 3_600_000_000_000
_CLOSURE_NS = 7 * DAY_NS  # longer than any closure of Globex: a stamp and the open it means are never further apart
_RANGE_REASON = (
    "TastyTrade serves no range bars: dxFeed's price candles open where the one before closed, and ours where the next trade is; "
    "historical_trades and build_bars give them, or ask for s m h d w mo t v"
)


@dataclass(slots=True)
class CandleCounts:
    """What became of the rows that `frame` was given, over any number of calls.

    empty          rows without prices: markers of a snapshot, removals, intervals without a trade
    rejected       rows that cannot be read; the latest of them in `rejects`, raw, with the reason
    no_split       bars whose bought and sold volume the feed does not tell
    split_refused  bars whose split cannot be true (negative, or more than the volume): served without it
    off_grid       bars that begin where no bar of ours would, or cross a session's end; kept where they are
    straddling     bars left out because they lie partly within regular hours
    """

    empty: int = 0
    rejected: int = 0
    no_split: int = 0
    split_refused: int = 0
    off_grid: int = 0
    straddling: int = 0
    rejects: deque[str] = field(default_factory=lambda: deque(maxlen=20))

    @property
    def numbers(self) -> dict[str, int]:
        """Each count by its name."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "rejects"}

    def add(self, other: CandleCounts) -> None:
        """Those of one call more."""
        for name, count in other.numbers.items():
            setattr(self, name, getattr(self, name) + count)
        self.rejects.extend(other.rejects)

    def reject(self, row: Row, reason: str) -> None:
        """Count a row that cannot be read, and keep it."""
        self.rejected += 1
        self.rejects.append(f"{reason}: {shown(row)}")

    def doubled(self, start: Int64, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which bars but the last begin where the next one does, counted as rejected: of two stamps that mean one bar the later one is served."""
        twice: NDArray[np.bool_] = start[1:] == start[:-1]
        for at in np.flatnonzero(twice & inside[:-1]):
            self.rejected += 1
            self.rejects.append(f"two candles mean the bar that starts at {np.datetime64(int(start[at]), 'ns')}Z; the earlier one is left out")
        return twice


def candle_symbol(streamer_symbol: str, timeframe: str | Timeframe, *, session_aligned: bool = True) -> str:
    """The candle symbol of a timeframe, spelt as the server spells it. UnsupportedTimeframe for range bars.

    `a=s` is written where bars from midnight would not be bars from the session's open (more than 1h, what is no part of an hour, d w mo);
    `session_aligned=False` leaves it out.

    >>> [candle_symbol("/ESZ26:XCME", timeframe) for timeframe in ("1m", "4h", "1000v")]
    ['/ESZ26:XCME{=m}', '/ESZ26:XCME{=4h,a=s}', '/ESZ26:XCME{=1000v}']
    """
    wanted = _served(timeframe)
    is_session = wanted.is_time and not (wanted.is_intraday and _HOUR_NS % wanted.ns == 0)
    return normalise(f"{streamer_symbol}{{={wanted}{',a=s' if session_aligned and is_session else ''}}}")


def normalise(symbol: str) -> str:
    """A candle symbol in the server's form: keys sorted, defaults left out, the 1 of `1m` dropped. Anything else comes back as it is.

    >>> normalise("/ESZ26:XCME{tho=true,=1h,a=m,price=last}")
    '/ESZ26:XCME{=h,tho=true}'
    """
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        return symbol
    pairs = [part.partition("=")[::2] for part in match[2].split(",")]
    kept = {key.strip(): value.strip() for key, value in pairs if value.strip() and _DEFAULTS.get(key.strip()) != value.strip()}
    if period := _PERIOD.fullmatch(kept.get("", "")):
        kept[""] = period[1]
    return f"{match[1]}{{{','.join(f'{key}={kept[key]}' for key in sorted(kept))}}}"


def from_time_ms(contract: Contract, timeframe: str | Timeframe, start_ns: int) -> int:
    """The fromTime that brings every bar of ours from `start_ns` on, in Unix milliseconds; `frame` cuts what is too much.

    Bars of trades and volume are asked from their session's open, so that they can be counted.
    """
    wanted = _served(timeframe)
    earlier_ns = wanted.ns if wanted.is_intraday else _CLOSURE_NS
    first_ns = start_ns - earlier_ns if wanted.is_time else session_at(contract.calendar, start_ns).open_ns
    return max(first_ns // 1_000_000, 0)


def frame(
    rows: Iterable[Row],
    contract: Contract,
    timeframe: str | Timeframe,
    start_ns: int,
    end_ns: int,
    hours: str = "eth",
    *,
    counts: CandleCounts | None = None,
) -> pd.DataFrame:
    """The bars frame of candle rows, in any order: bars that start in [start_ns, end_ns), UTC nanoseconds; with all columns where there are none.

    Time       s, m, h start where the candle says. One that reaches from the daily halt over the open starts at the open, where its first trade
               can be. Bars of d, w, mo start at an open: of the first session labelled with the candle's date or later where it is stamped with
               midnight UTC, else of the session that its time lies in, or the next one where the market is closed then.
    Split      askVolume is bought, bidVolume sold, NaN stays NaN; `delta_source` is "candle" where both are known, else "none". The extremes of
               delta in a bar are never known. `trades` is int64, or float64 with NaN where a candle does not tell.
    bar_no     of t and v bars: counted from the first row given of each session (see `from_time_ms`).
    hours      "rth" keeps bars that lie within the regular hours of the contract's calendar; not for d, w, mo.
    counts     gets what was left out, refused or is odd

    Raises UnsupportedTimeframe, and UsageError where `hours` is unknown or the calendar has no regular ones.
    """
    import pandas as pd

    wanted = _served(timeframe)
    _check_hours(contract, wanted, hours)
    counts = CandleCounts() if counts is None else counts
    index, numbers = _read(rows, counts)
    first_ns = from_time_ms(contract, wanted, start_ns) * 1_000_000 if len(index) else 0
    stamps = _time_ns(index)
    near = (stamps >= first_ns) & (stamps < min(end_ns + DAY_NS, 2**63 - 1))
    stamps, numbers = stamps[near], numbers[near]
    start, session, label = stamps, np.empty(0, np.int64), np.empty(0, np.int64)
    kept = bar_no = np.arange(len(start))
    if len(start):
        table = sessions_between(contract.calendar, int(start[0]), int(start[-1]))
        start, session, is_odd = _placed(stamps, table, wanted)
        label = table.label[session]
        bar_no = kept - np.searchsorted(session, session)
        inside = (start >= start_ns) & (start < end_ns)
        if wanted.is_time:
            inside[:-1] &= ~counts.doubled(start, inside)
        if hours == "rth":
            within, partly = _regular(start, session, table, wanted)
            counts.straddling += int((inside & partly).sum())
            inside &= within
        kept = np.flatnonzero(inside)
        counts.off_grid += int(is_odd[kept].sum())
    columns, source = _columns(contract, numbers[kept], counts)
    columns["session"] = label[kept].astype("M8[D]").astype("M8[ns]")
    found = pd.DataFrame(columns, index=pd.DatetimeIndex(start[kept].astype("M8[ns]"), tz="UTC", name="time"))
    found["delta_source"] = pd.Categorical.from_codes(source, pd.Index(SOURCES))
    found["complete"], found["revision"] = True, 0
    if not wanted.is_time:
        found["bar_no"] = bar_no[kept]
    found.attrs |= {"symbol": contract.symbol, "tick_size": contract.tick_size, "calendar": contract.calendar}
    return found


def without_split(bars: pd.DataFrame) -> pd.DataFrame:
    """The same bars as if the feed did not tell who crossed the spread."""
    import pandas as pd

    source = pd.Categorical(["none"] * len(bars), categories=list(SOURCES))
    return bars.assign(buy_volume=np.nan, sell_volume=np.nan, delta_source=source)


class Verdict(Enum):
    """What comparing candles with trades says about askVolume = bought and bidVolume = sold."""

    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class SignCheck:
    """Candles beside the trades of the same minutes.

    agreeing, contradicting  minutes that fit only the reading used here, or only the swapped one
    undecided, unexplained   minutes that fit both, or neither: then candles and trades are not of the same prints
    ask_volume, bid_volume, bought, sold, unknown   sums over all these minutes, in contracts
    """

    verdict: Verdict
    agreeing: int = 0
    contradicting: int = 0
    undecided: int = 0
    unexplained: int = 0
    ask_volume: float = 0.0
    bid_volume: float = 0.0
    bought: float = 0.0
    sold: float = 0.0
    unknown: float = 0.0


def split_of(candle_rows: Iterable[Row]) -> Iterator[tuple[int, float, float]]:
    """Start (UTC ns), askVolume and bidVolume of the candles that tell both."""
    index, numbers = _read(candle_rows, CandleCounts())
    for start_ns, ask, bid in zip(_time_ns(index).tolist(), numbers[:, _BOUGHT].tolist(), numbers[:, _SOLD].tolist(), strict=True):
        if math.isfinite(ask) and math.isfinite(bid):
            yield start_ns, ask, bid


def sign_check(candle_rows: Iterable[Row], trades_by_minute: Mapping[int, tuple[float, float, float]]) -> SignCheck:
    """Compare the split of one-minute candles with trades: start of the minute (UTC ns) -> bought, sold and unknown volume, in contracts.

    A minute fits where each side differs by no more than its unknown volume. AGREES and CONTRADICTS need one minute that decides, none that decides
    the other way, and more that decide than are unexplained. Minutes that only one of the two has, or candles without a split, do not count.

    >>> rows = [{"index": 0, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 2042, "askVolume": 1175, "bidVolume": 867}]
    >>> sign_check(rows, {0: (1170, 860, 12)}).verdict.value, sign_check(rows, {0: (867, 1175, 0)}).verdict.value
    ('agrees', 'contradicts')
    """
    fits = dict.fromkeys([(True, False), (False, True), (True, True), (False, False)], 0)
    sums = np.zeros(5)
    for start_ns, ask, bid in split_of(candle_rows):
        trades = trades_by_minute.get(start_ns)
        if trades is None:
            continue
        bought, sold, unknown = trades
        fits[_is_near((ask, bid), (bought, sold), unknown), _is_near((ask, bid), (sold, bought), unknown)] += 1
        sums += (ask, bid, bought, sold, unknown)
    agreeing, contradicting, undecided, unexplained = fits.values()
    verdict = Verdict.INCONCLUSIVE
    if bool(agreeing) != bool(contradicting) and agreeing + contradicting > unexplained:
        verdict = Verdict.AGREES if agreeing else Verdict.CONTRADICTS
    return SignCheck(verdict, agreeing, contradicting, undecided, unexplained, *sums.tolist())


def _is_near(candle: tuple[float, float], trades: tuple[float, float], unknown: float) -> bool:
    tolerance = unknown + 1e-6  # sizes are floats
    return abs(candle[0] - trades[0]) <= tolerance and abs(candle[1] - trades[1]) <= tolerance


def _served(timeframe: str | Timeframe) -> Timeframe:
    wanted = Timeframe.parse(timeframe)
    if wanted.unit == "r":
        raise UnsupportedTimeframe(f"timeframe '{wanted}': {_RANGE_REASON}")
    return wanted


def _check_hours(contract: Contract, timeframe: Timeframe, hours: str) -> None:
    if hours not in ("eth", "rth"):
        raise UsageError(f"hours {hours!r} is neither 'eth' nor 'rth'")
    if hours == "eth":
        return
    if timeframe.is_time and not timeframe.is_intraday:
        raise UnsupportedTimeframe(f"timeframe '{timeframe}' has no regular hours: a candle of the whole session cannot be cut; ask for s, m or h")
    if contract.calendar in CALENDARS and CALENDARS[contract.calendar].rth is None:
        raise UsageError(f"calendar {contract.calendar!r} has no regular trading hours; use hours='eth'")


def _read(rows: Iterable[Row], counts: CandleCounts) -> tuple[Int64, NDArray[np.float64]]:
    """Index and numbers (in the order of `_NUMBERS`) of the rows that are bars, by index; the last one of an index."""
    bars: dict[int, list[float]] = {}
    for row in rows:
        try:
            index = index_in(row)
            numbers = [column_number(row.get(name)) for name in _NUMBERS]
            if flags_in(row) & EventFlags.REMOVE or all(math.isnan(price) for price in numbers[_OPEN : _CLOSE + 1]):
                counts.empty += 1
            elif not all(math.isfinite(price) for price in numbers[_OPEN : _CLOSE + 1]):
                counts.reject(row, "a price is missing")
            elif math.isinf(numbers[_VOLUME]) or numbers[_VOLUME] < 0:
                counts.reject(row, "the volume is no volume")
            else:
                bars[index] = numbers
        except ProtocolViolation as violation:
            counts.reject(row, str(violation))
    indices = sorted(bars)
    return np.array(indices, np.int64), np.array([bars[index] for index in indices], np.float64).reshape(-1, len(_NUMBERS))


def _time_ns(index: Int64) -> Int64:
    return np.array([time_of(one)[0] * 1_000_000 for one in index.tolist()], np.int64)


def _placed(stamps: Int64, table: SessionTable, timeframe: Timeframe) -> tuple[Int64, Int64, NDArray[np.bool_]]:
    """Where bars start, the row of their session, and whether that is where no bar of ours would start."""
    session = table.index_of(stamps)
    if not timeframe.is_time:
        return stamps, session, np.zeros(len(stamps), np.bool_)
    is_closed = stamps >= table.close_ns[session]
    if timeframe.is_intraday:
        reaches = stamps + timeframe.ns > table.open_ns[session + 1]
        session = session + (is_closed & reaches)
        start = np.maximum(stamps, table.open_ns[session])
        return start, session, (reaches & ~is_closed) | ((start - table.open_ns[session]) % timeframe.ns != 0) & (start < table.close_ns[session])
    is_date = stamps % DAY_NS == 0
    date = stamps // DAY_NS
    meant = np.where(is_date, np.searchsorted(table.label, date), session + is_closed)
    if timeframe.unit == "d" and timeframe.n == 1:
        # trades on a day that has no session here are not added to another day's: the bar stays where it is
        is_odd = is_date & (table.label[meant] != date)
        return np.where(is_odd, stamps, table.open_ns[meant]), np.where(is_odd, session, meant), is_odd
    return table.open_ns[meant], meant, np.zeros(len(stamps), np.bool_)


def _regular(start: Int64, session: Int64, table: SessionTable, timeframe: Timeframe) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which bars lie within regular hours, and which do so in part. A bar ends with its session; one of trades or volume counts where it starts."""
    opened, closed = table.rth_open_ns[session], table.rth_close_ns[session]
    end = np.minimum(start + timeframe.ns, table.close_ns[session]) if timeframe.is_intraday else start + 1
    within = (opened >= 0) & (start >= opened) & (start < closed) & (end <= closed)
    return within, (opened >= 0) & (start < closed) & (end > opened) & ~within


def _columns(contract: Contract, numbers: NDArray[np.float64], counts: CandleCounts) -> tuple[dict[str, Array], NDArray[np.int8]]:
    """The columns up to max_delta, in the order of the bars frame, and the codes of `delta_source`."""
    volume, bought, sold = numbers[:, _VOLUME], numbers[:, _BOUGHT].copy(), numbers[:, _SOLD].copy()
    with np.errstate(invalid="ignore"):  # a vendor's Infinity
        refused = (bought < 0) | (sold < 0) | (bought + sold > volume + contract.size_step) | np.isinf(bought) | np.isinf(sold)
    bought[refused] = sold[refused] = np.nan
    is_known = ~np.isnan(bought) & ~np.isnan(sold)
    counts.split_refused += int(refused.sum())
    counts.no_split += int((~is_known & ~refused).sum())
    trades = numbers[:, _COUNT]
    is_told = np.isfinite(trades) & (trades >= 0) & ~((trades == 0) & (volume > 0))
    none = np.full(len(numbers), np.nan)
    columns = {name: numbers[:, at] for at, name in enumerate(_NUMBERS[_OPEN : _CLOSE + 1], _OPEN)}
    columns |= {"volume": volume, "buy_volume": bought, "sell_volume": sold}
    columns["trades"] = trades.astype(np.int64) if is_told.all() else np.where(is_told, trades, np.nan)
    columns |= {"vwap": numbers[:, _VWAP], "min_delta": none, "max_delta": none}
    has_side = is_known & (bought + sold > 0)
    return columns, np.where(has_side, SOURCES.index("candle"), SOURCES.index("none")).astype(np.int8)
