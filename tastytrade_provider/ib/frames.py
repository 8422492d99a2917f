"""IB's bars put together into bars of a timeframe: one calculation for history and for live bars. Pure.

Bars begin at the session's open and cross no session's end; weeks begin on Monday. Prices and volumes of the larger bar follow exactly from the
smaller ones; its VWAP is theirs by volume. IB does not tell who bought: buy_volume, sell_volume and the delta's extremes are unknown, `delta_source` is "none".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import kernels as k
from ..grid import Grid
from ..history import SOURCES
from ..model import Array, Bar, Contract, Int64, Timeframe
from .mapping import Row

if TYPE_CHECKING:
    import pandas as pd

_NONE = SOURCES.index("none")


def grid_of(contract: Contract, timeframe: Timeframe, start_ns: int, end_ns: int) -> Grid:
    """Where bars of a timeframe begin and end in a stretch of time."""
    return Grid(contract, timeframe, "session_open", start_ns, max(end_ns, start_ns))


def merged(contract: Contract, timeframe: Timeframe, rows: Sequence[Row]) -> dict[str, Array]:
    """Columns of bars, ascending: start_ns, label (days since 1970), is_regular, open to vwap and trades. `rows` in any order; the last one of a start counts.

    >>> es = Contract("ES", "/ESZ6")
    >>> minutes = [Row(1_767_600_000_000_000_000 + i * 60_000_000_000, 5.0 + i, 6.0 + i, 4.0, 5.5, 2.0, 5.0, 1) for i in range(5)]
    >>> {name: column.tolist() for name, column in merged(es, Timeframe.parse("5m"), minutes).items() if name in ("open", "high", "volume", "trades")}
    {'open': [5.0], 'high': [10.0], 'volume': [10.0], 'trades': [5.0]}
    """
    by_start = {row.start_ns: row for row in rows}
    ordered = [by_start[start] for start in sorted(by_start)]
    table = np.array([row[1:] for row in ordered], np.float64).reshape(-1, 7)
    start: Int64 = np.array([row.start_ns for row in ordered], np.int64)
    if not ordered:
        return _columns(start, start, np.zeros(0, np.bool_), table, start)
    grid = grid_of(contract, timeframe, int(start[0]), int(start[-1]))
    place = np.searchsorted(grid.opens, start, side="right") - 1
    opened = grid.opens[place]
    bar = opened + (start - opened) // grid.size * grid.size if grid.kind == k.BY_CLOCK else opened
    first = np.flatnonzero(np.diff(bar, prepend=bar[0] - 1))
    begun = bar[first]
    return _columns(begun, grid.label[place[first]], _is_regular(grid, timeframe, begun), table, first)


def _columns(start: Int64, label: Int64, is_regular: Array, table: Array, first: Int64) -> dict[str, Array]:
    if len(first) == 0:
        none = np.zeros(0)
        parts = dict.fromkeys(("open", "high", "low", "close", "volume", "trades", "vwap"), none)
    else:
        opened, high, low, close, volume, vwap, trades = table.T
        last = np.append(first[1:], len(table)) - 1
        total = np.add.reduceat(volume, first)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.add.reduceat(vwap * volume, first) / total
        alone = last == first
        mean[alone] = vwap[first[alone]]  # unrounded, as sent
        parts = {
            "open": opened[first],
            "high": np.maximum.reduceat(high, first),
            "low": np.minimum.reduceat(low, first),
            "close": close[last],
            "volume": total,
            "trades": np.add.reduceat(trades, first),
            "vwap": mean,
        }
    return {"start_ns": start, "label": label, "is_regular": is_regular, **parts}


def _is_regular(grid: Grid, timeframe: Timeframe, start: Int64) -> Array:
    """Which bars lie within regular hours; a bar ends with its session."""
    table = grid.table
    session = table.index_of(start)
    opened, closed = table.rth_open_ns[session], table.rth_close_ns[session]
    end = np.minimum(start + timeframe.ns, table.close_ns[session]) if timeframe.is_intraday else start + 1
    regular: Array = (opened >= 0) & (start >= opened) & (end <= closed)
    return regular


def frame(contract: Contract, timeframe: Timeframe, rows: Sequence[Row], start_ns: int, end_ns: int, hours: str = "eth") -> pd.DataFrame:
    """The bars frame of bars that start in [start_ns, end_ns), with all columns where there are none."""
    import pandas as pd

    bars = merged(contract, timeframe, rows)
    kept = (bars["start_ns"] >= start_ns) & (bars["start_ns"] < end_ns)
    if hours == "rth":
        kept &= bars["is_regular"]
    bars = {name: column[kept] for name, column in bars.items()}
    n = int(kept.sum())
    unknown, trades = np.full(n, np.nan), bars["trades"]
    columns = {
        **{name: bars[name] for name in ("open", "high", "low", "close", "volume")},
        "buy_volume": unknown,
        "sell_volume": unknown,
        "trades": trades.astype(np.int64) if not np.isnan(trades).any() else trades,
        "vwap": bars["vwap"],
        "min_delta": unknown,
        "max_delta": unknown,
        "session": bars["label"].astype("M8[D]").astype("M8[ns]"),
    }
    found = pd.DataFrame(columns, index=pd.DatetimeIndex(bars["start_ns"].astype("M8[ns]"), tz="UTC", name="time"))
    found["delta_source"] = pd.Categorical.from_codes(np.full(n, _NONE, np.int8), pd.Index(SOURCES))
    found["complete"], found["revision"] = True, 0
    found.attrs |= {"symbol": contract.symbol, "tick_size": contract.tick_size, "calendar": contract.calendar}
    return found


class LiveBars:
    """IB's bars as they grow -> closed bars of a timeframe, each once, and again with a higher revision where IB changes it.

    from_ns  bars that start earlier are not handed over

    `add` what came, then `closed`. A bar is closed once IB has sent a later one, or the clock has passed its end.
    """

    _KEPT = 3  # bars back that a late update can still change

    def __init__(self, contract: Contract, timeframe: Timeframe, from_ns: int, hours: str = "eth") -> None:
        self.contract, self.timeframe, self.hours = contract, timeframe, hours
        self.told_until_ns = from_ns
        self._from_ns = from_ns
        self._rows: dict[int, Row] = {}
        self._told: dict[int, Bar] = {}
        self._grid: Grid | None = None
        self._newest_ns = self._due_ns = 0
        self._is_late = False

    def add(self, rows: Sequence[Row], whole_ns: int = 0) -> None:
        """Bars as IB has them now; a later version of a start replaces the earlier one. `whole_ns`: they are over, each that long."""
        for row in rows:
            self._is_late |= row.start_ns < self._newest_ns
            self._rows[row.start_ns] = row
            self._newest_ns = max(self._newest_ns, row.start_ns + whole_ns)

    def closed(self, now_ns: int) -> list[Bar]:
        """Bars that have closed since the last call, oldest first. `now_ns`: the exchange's time, less what IB may be late."""
        reached_ns = max(now_ns, self._newest_ns)
        if not self._rows or not (self._is_late or reached_ns >= self._due_ns):
            return []
        columns = merged(self.contract, self.timeframe, list(self._rows.values()))
        self._is_late, self._due_ns, found = False, 0, list[Bar]()
        for i, start_ns in enumerate(columns["start_ns"].tolist()):
            if start_ns < self._from_ns or (self.hours == "rth" and not columns["is_regular"][i]):
                continue
            end_ns = self._end(start_ns)
            if end_ns > reached_ns:
                self._due_ns = end_ns  # until then there is nothing to do
                break
            bar = self._bar(columns, i, start_ns, end_ns)
            was = self._told.get(start_ns)
            if was is None or _figures(was) != _figures(bar):
                found.append(bar if was is None else _again(bar, was.revision + 1))
                self._told[start_ns] = found[-1]
                self.told_until_ns = max(self.told_until_ns, end_ns)
        self._forget(columns["start_ns"])
        return found

    def _forget(self, starts: Int64) -> None:
        if len(starts) <= self._KEPT:
            return
        oldest_ns = int(starts[-self._KEPT])
        self._rows = {start: row for start, row in self._rows.items() if start >= oldest_ns}
        self._told = {start: bar for start, bar in self._told.items() if start >= oldest_ns}
        self._from_ns = max(self._from_ns, oldest_ns)

    def _end(self, start_ns: int) -> int:
        if self._grid is None or not self._grid.covers(start_ns, start_ns):
            self._grid = grid_of(self.contract, self.timeframe, start_ns, self._newest_ns)
        return self._grid.span(start_ns)[1]

    def _bar(self, columns: dict[str, Array], i: int, start_ns: int, end_ns: int) -> Bar:
        value: dict[str, Any] = {name: columns[name][i].item() for name in ("open", "high", "low", "close", "volume")}
        vwap, trades = columns["vwap"][i].item(), columns["trades"][i].item()
        return Bar(
            self.contract,
            self.timeframe,
            start_ns=start_ns,
            end_ns=end_ns,
            **value,
            buy_volume=None,
            sell_volume=None,
            trades=int(trades) if trades == trades else None,
            vwap=vwap if vwap == vwap else None,
            min_delta=None,
            max_delta=None,
            session=date(1970, 1, 1) + timedelta(days=int(columns["label"][i])),
            delta_source="none",
        )


def _figures(bar: Bar) -> tuple[Any, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades, bar.vwap


def _again(bar: Bar, revision: int) -> Bar:
    from dataclasses import replace

    return replace(bar, revision=revision)
