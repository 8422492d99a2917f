"""The forming bar: the trades kernel with its state, growing the room it asks for."""

from __future__ import annotations

import numpy as np

from . import kernels as k
from .grid import Grid
from .model import Array

_MOST_LEVELS = 1 << 20  # 25 MB; a forming bar wider than this spills its levels to a list: a price that cannot be real must not take the memory


class Forming:
    """The kernel with its state: trades in, rows of closed bars and cells out. Knows no sessions, clock or corrections."""

    def __init__(self, levels: int = 512, room: int = 64) -> None:
        self.state = np.zeros(k.STATE_SIZE, np.int64)
        self.cells = np.zeros(3 * levels, np.int64)
        self._spilled: list[Array] = []
        self._bars = np.empty((room, k.BAR_WIDTH), np.int64)
        self._out = np.empty((8 * levels, 5), np.int64)

    def run(self, grid: Grid, time: Array, ticks: Array, lots: Array, side: Array, source: Array) -> tuple[list[Array], list[Array]]:
        """Blocks of closed bars (rows x BAR_WIDTH), and their cells (bar, ticks, sell, unknown, buy), `bar` counted from the first block's first row."""
        bars: list[Array] = []
        cells: list[Array] = []
        first, spent, stop, closed = 0, 0, len(time), 0
        while True:
            began = first
            first, spent, n_bars, n_cells, reason = k.run(
                self.state, self.cells, time[:stop], ticks, lots, side, source, first, spent,
                grid.opens, grid.closes, grid.kind, grid.size, self._bars, self._out,
            )  # fmt: skip
            if n_bars:
                bars.append(self._bars[:n_bars].copy())
                cells.append(self._taken(n_cells, closed))
                closed += n_bars
            if reason == k.WANTS_ROOM:
                if n_bars == 0:
                    self._out = np.empty((2 * max(len(self._out), self._width()), 5), np.int64)
            elif reason == k.WANTS_LEVELS:
                stop = self._widen(first, stop)
            elif stop == len(time):
                return bars, cells
            else:
                stop = min(len(time), 2 * stop - began)

    def close(self) -> tuple[Array, Array]:
        """Close the forming bar: one row, its cells."""
        if self._width() > len(self._out):
            self._out = np.empty((self._width(), 5), np.int64)
        n_cells = k.close(self.state, self.cells, self._bars, self._out)
        return self._bars[:1].copy(), self._taken(n_cells, 0)

    def levels(self) -> Array:
        """Cells of the forming bar so far."""
        held = self.cells.reshape(-1, 3)
        used = np.flatnonzero(held.any(axis=1))
        return self._with_spilled(np.column_stack([np.zeros(len(used), np.int64), used + self.state[k.BASE], held[used]]))

    def save(self) -> tuple[Array, Array]:
        """Everything needed to go on from here."""
        return self.state.copy(), self.levels()

    def restore(self, saved: tuple[Array, Array]) -> None:
        """Go on from a saved place."""
        state, levels = saved
        self.state[:] = state
        self.cells[:] = 0
        self._spilled = []
        base = int(state[k.BASE])
        inside = (levels[:, 1] >= base) & (levels[:, 1] < base + len(self.cells) // 3)
        self.cells.reshape(-1, 3)[levels[inside, 1] - base] = levels[inside, 2:5]
        if not inside.all():
            self._spilled.append(levels[~inside])

    def _taken(self, n_cells: int, offset: int) -> Array:
        rows = self._with_spilled(self._out[:n_cells].copy())  # what spilled belongs to the first bar that closed, number 0
        self._spilled = []
        rows[:, 0] += offset
        return rows

    def _with_spilled(self, rows: Array) -> Array:
        """Cells together with the spilled ones, one row for each bar and price."""
        if not self._spilled:
            return rows
        every = np.concatenate([*self._spilled, rows])
        keys, place = np.unique(every[:, :2], axis=0, return_inverse=True)
        sums = np.zeros((len(keys), 3), np.int64)
        np.add.at(sums, place.reshape(-1), every[:, 2:])
        return np.hstack([keys, sums])

    def _width(self) -> int:
        """Rows that the cells of the forming bar may need."""
        return min(int(self.state[k.HIGH] - self.state[k.LOW]) + 1, len(self.cells) // 3)

    def _widen(self, first: int, stop: int) -> int:
        """Move or grow the level array to hold what the kernel wants. Returns how far the kernel may read next."""
        low, high = int(self.state[k.NEED_LOW]), int(self.state[k.NEED_HIGH])
        if high - low >= _MOST_LEVELS:
            return first + max(1, (stop - first) // 2)  # fewer trades at a time, in the end one, which fits
        kept = self.levels()
        if len(kept):
            widest = min(low, int(kept[:, 1].min())), max(high, int(kept[:, 1].max()))
            if widest[1] - widest[0] >= _MOST_LEVELS:
                self._spilled, kept = [kept], kept[:0]
            else:
                self._spilled = []
                low, high = widest
        room = max(len(self.cells) // 3, 1 << (high - low).bit_length())
        self.cells = np.zeros(3 * room, np.int64)
        base = self.state[k.BASE] = low - (room - (high - low + 1)) // 2
        self.cells.reshape(-1, 3)[kept[:, 1] - base] = kept[:, 2:5]
        return stop
