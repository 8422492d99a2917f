"""Contracts watched live: trades in, bars and indicators kept, and what of it a terminal or a program is shown."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .bars import Footprint
from .indicators import IndicatorManager, Update
from .model import Action, Bar, Contract, Gap, Roll, SideSource, TradeBatch, TradeFlag

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

INDICATORS = ("volume_delta", "cvd", "delta_divergence")
"""Those that the table and the summary are made of."""
_SIGNALS = ("regular", "hidden", "absorption")
_VOLUMES = ("unknown_volume", "delta", "min_delta", "max_delta", "cvd", "cvd_open", "cvd_high", "cvd_low")
_RATE_S = 5.0
_COLUMNS = ("symbol", "last", "delta", "CVD", "since", "high", "low", "sides", "trades", "/s", "divergence")
_LEFT = ("symbol", "sides", "divergence")
_SPARED = ("/s", "trades", "low", "high", "since", "sides")
"""Columns that are left out where the terminal is too narrow for all, first to last."""


class Watched:
    """One contract: its live indicators, every bar so far, and counts. Give it what a trade subscription hands over.

    indicators  others to keep beside `INDICATORS`: their values stand in the bars of the summary
    """

    def __init__(self, contract: Contract, timeframe: str, manager: IndicatorManager, indicators: Iterable[str] = ()) -> None:
        self.contract = contract
        self.live = manager.live(contract, timeframe, tuple(dict.fromkeys((*INDICATORS, *indicators))))
        self.trades = 0
        self.last: float | None = None
        self.gaps: list[Gap] = []
        self.signal = ""
        self._updates: dict[tuple[int, int], Update] = {}
        self._cells: dict[tuple[int, int], Footprint] = {}
        self._sources = np.zeros(len(SideSource), np.int64)
        self._arrivals: deque[tuple[float, int]] = deque()
        self._clock: tuple[int, float] | None = None

    def add(self, item: TradeBatch | Gap | Roll) -> None:
        """Enter a batch of trades, a gap or a roll."""
        if isinstance(item, TradeBatch):
            self._count(item)
        elif isinstance(item, Gap):
            self.gaps.append(item)
        self._keep(self.live.add(item))
        if isinstance(item, Roll):
            self.contract = item.new

    def tick(self, speed: float = 1.0) -> None:
        """Let the exchange's clock run on since the last trade, `speed` times as fast as ours, so that bars close though nobody trades."""
        if self._clock is not None:
            at_ns, seen = self._clock
            self._keep(self.live.advance(at_ns + int((time.monotonic() - seen) * speed * 1e9)))

    def _count(self, batch: TradeBatch) -> None:
        new, gone = batch.action == Action.NEW, batch.action == Action.CANCEL
        n = int(new.sum())
        self.trades += n - int(gone.sum())
        for rows, sign in ((new, 1), (gone, -1)):
            self._sources += sign * np.bincount(batch.side_source[rows], minlength=len(SideSource))
        if n:
            now = time.monotonic()
            self.last = float(batch.price[new][-1])
            self._arrivals.append((now, int((new & (batch.flags & TradeFlag.BACKFILL == 0)).sum())))
            self._clock = int(batch.time_ns[new][-1]), now

    @property
    def rate(self) -> float:
        """Trades per second over the last five."""
        now = time.monotonic()
        while self._arrivals and self._arrivals[0][0] < now - _RATE_S:
            self._arrivals.popleft()
        return sum(n for _, n in self._arrivals) / _RATE_S

    @property
    def by_source(self) -> dict[str, int]:
        """Trades by where their side came from, those withdrawn since taken off."""
        return {source.name.lower(): int(self._sources[source]) for source in SideSource}

    def bars(self) -> list[Update]:
        """Every bar so far with its indicator values, oldest first, the forming one last."""
        forming = self.live.forming
        closed = [self._updates[key] for key in sorted(self._updates) if forming is None or key != _key(forming.bar)]
        return closed + ([forming] if forming else [])

    def summary(self) -> dict[str, Any]:
        """Totals over all bars, as `demo --json` prints them: volumes in contracts, prices in price units, NaN and what is not known yet as None."""
        updates = [update for update in self.bars() if update.bar.open is not None]
        bars, lots, size = [update.bar for update in updates], self.contract.lots, self.contract.size
        volume, buy, sell = (sum(lots(value) for value in column) for column in _columns(bars))
        forming = self.live.forming
        cells = [self._cells[key] for key in (_key(bar) for bar in bars) if key in self._cells and not (forming and key == _key(forming.bar))]
        cells += [self.live.footprint(forming.bar)] if forming else []
        return {
            "trades": sum(bar.trades or 0 for bar in bars),
            "volume": size(volume),
            "buy_volume": size(buy),
            "sell_volume": size(sell),
            "unknown_volume": size(volume - buy - sell),
            "delta": size(buy - sell),
            "cvd_high": size(max(lots(update.values["cvd_high"]) for update in updates)) if updates else None,
            "cvd_low": size(min(lots(update.values["cvd_low"]) for update in updates)) if updates else None,
            "cvd_since": None if self.live.cvd.since_ns is None else _iso(self.live.cvd.since_ns),
            "poc": Footprint.merged(self.contract, cells).poc if cells else None,
            "open": bars[0].open if bars else None,
            "high": max((bar.high for bar in bars if bar.high is not None), default=None),
            "low": min((bar.low for bar in bars if bar.low is not None), default=None),
            "close": bars[-1].close if bars else None,
            "bars": [bar_record(update) for update in updates],
            "trades_by_source": self.by_source,
        }

    def _keep(self, updates: Iterable[Update]) -> None:
        for update in updates:
            key = _key(update.bar)
            self._updates[key] = update
            if update.bar.contract == self.live.contract:  # after a roll the old contract's cells are gone
                self._cells[key] = self.live.footprint(update.bar)
            for name in _SIGNALS:
                if abs(update.values[name]) > 0:  # neither none nor unknown
                    self.signal = f"{name} {'bullish' if update.values[name] > 0 else 'bearish'}"


def _key(bar: Bar) -> tuple[int, int]:
    """A bar's place, which a repair does not change: its start, or its number in the session where trades make bars."""
    return (bar.start_ns, 0) if bar.timeframe.is_time else (bar.session.toordinal(), bar.bar_no)


def _iso(time_ns: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(time_ns, 'ns'), unit='s')}Z"


def _columns(bars: list[Bar]) -> tuple[list[float], list[float], list[float]]:
    return [bar.volume for bar in bars], [bar.buy_volume or 0.0 for bar in bars], [bar.sell_volume or 0.0 for bar in bars]


def bar_record(update: Update) -> dict[str, Any]:
    """One bar and its indicator values, ready for JSON: NaN is None, and what is a volume is the exact decimal of its whole lots."""
    bar = update.bar
    record: dict[str, Any] = {
        "time": _iso(bar.start_ns),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "buy_volume": bar.buy_volume,
        "sell_volume": bar.sell_volume,
        "unknown_volume": bar.unknown_volume,
        "trades": bar.trades,
        "vwap": bar.vwap,
        "session": bar.session.isoformat(),
        "delta_source": bar.delta_source,
        "complete": bar.complete,
        "revision": bar.revision,
    }
    record |= {name: None if math.isnan(value) else value for name, value in update.values.items()}
    contract = bar.contract
    return record | {name: contract.size(contract.lots(record[name])) for name in _VOLUMES if record[name] is not None}


def table(watched: Iterable[Watched], title: str, caption: str = "") -> Table:
    """The live table: a row a contract."""
    return Table([_cells(one) for one in watched], title, caption)


@dataclass(frozen=True)
class Table:
    """Cells under `_COLUMNS`, for rich to print: where not all of them have room, those least needed are left out, and the rest stay whole."""

    rows: Sequence[Sequence[str]]
    title: str
    caption: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        from rich import table
        from rich.text import Text

        columns = dict(zip(_COLUMNS, zip(*self.rows, strict=True), strict=True)) if self.rows else dict.fromkeys(_COLUMNS, ())
        width = {name: max(len(name), *(Text.from_markup(cell).cell_len for cell in cells), 0) for name, cells in columns.items()}
        width[_COLUMNS[-1]] = len(_COLUMNS[-1])  # its two words may stand one above the other
        gap = 2 if _total(width, 2) <= options.max_width else 1
        for name in _SPARED:
            if _total(width, gap) > options.max_width:
                del width[name]
        grid = table.Table(
            title=self.title, caption=Text(self.caption) if self.caption else None, title_justify="left", caption_justify="left", box=None, pad_edge=False
        )
        grid.padding = 0, gap, 0, 0
        for name in width:
            grid.add_column(
                name, justify="left" if name in _LEFT else "right", no_wrap=name != _COLUMNS[-1], min_width=width[name], header_style="bold underline"
            )
        for row in zip(*(columns[name] for name in width), strict=True):
            grid.add_row(*row)
        yield grid


def _total(width: Mapping[str, int], gap: int) -> int:
    return sum(width.values()) + gap * (len(width) - 1)


def _cells(one: Watched) -> tuple[str, ...]:
    """A row, in the order of `_COLUMNS`."""
    forming, cvd = one.live.forming, one.live.cvd
    delta = forming.bar.delta if forming else None
    value, high, low = cvd[:3] if cvd.since_ns is not None else (None, None, None)  # before a trade nothing was counted
    return (
        one.contract.symbol,
        "-" if one.last is None else f"{one.last:.10g}",
        _signed(delta),
        _signed(value),
        "-" if cvd.since_ns is None else f"{_iso(cvd.since_ns)[11:16]}Z",
        _signed(high),
        _signed(low),
        _shares(one.by_source),
        f"{one.trades:,}",
        f"{one.rate:.0f}",
        one.signal or "-",
    )


def _shares(by_source: Mapping[str, int]) -> str:
    """The commonest source of sides and its share; what no rule could tell is never hidden in it."""
    total = sum(by_source.values())
    if not total:
        return "no trade yet"
    name = max(by_source, key=by_source.__getitem__)
    return f"{name} {100 * by_source[name] / total:.4g}%"


def _signed(value: float | None) -> str:
    if value is None:
        return "-"
    colour = "green" if value > 0 else "red" if value < 0 else "white"
    return f"[{colour}]{value:+,.10g}[/]" if value else "0"
