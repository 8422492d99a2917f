"""A still picture of order flow: candles with footprint, volume delta, CVD as candles, divergences and sessions. Drawn with matplotlib (extra `plot`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .errors import MissingColumns, MissingExtra, UsageError
from .model import Contract
from .sessions import CALENDARS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS = 300
"""Bars a picture shows at most; more would be narrower than a few pixels."""

NEEDED = ("open", "high", "low", "close", "delta", "cvd", "cvd_open", "cvd_high", "cvd_low")
"""Columns the bars must have: IndicatorManager().apply(bars, ["volume_delta", "cvd"]) adds the last five."""

_UP, _DOWN, _INK, _FAINT, _PAPER = "#0b7a75", "#c8443c", "#20262e", "#c9ced6", "#ffffff"
_STYLE: dict[str, Literal["-", "--", ":"]] = {"regular": "-", "hidden": "--", "absorption": ":"}
_PRICE_PX, _SLOTS_PX = 520, 1440  # of the price panel in a picture of 1600 x 900
_CELL_PX, _DIGIT_PX = 11, 6.0  # a row that holds a number, and one digit of it
_LABEL_PX, _LABEL_POINTS = 70, 11  # what the name of a divergence takes
_WIDE_PX, _HEAT_PX = 36, 9  # bars as wide as this have their candle beside the footprint; narrower than that have no footprint
_ROUND = (1, 2, 4, 5, 8, 10, 20, 25, 40, 50)


@dataclass(frozen=True)
class _Cells:
    """The footprint as it is drawn: rows of `step` in price, with the bar each belongs to."""

    bar: Any
    price: Any
    sold: Any
    bought: Any
    step: float

    @property
    def most(self) -> float:
        return float(max(self.sold.max(initial=1), self.bought.max(initial=1)))


def draw(bars: pd.DataFrame, contract: Contract, *, footprint: pd.DataFrame | None = None, events: pd.DataFrame | None = None, title: str = "") -> Figure:
    """The picture, 1600 x 900 at its own resolution of 100 dots per inch; `figure.savefig(path)` writes PNG or SVG.

    bars       the bars frame with the columns NEEDED, oldest first; `session` where known. The last MOST_BARS are shown
    footprint  rows (time, price) with buy_volume and sell_volume, as `build_footprint` returns them; prices are put together where rows would be too low
    events     divergences, as `divergences(bars)` returns them

    Raises MissingColumns, UsageError without bars, and MissingExtra without matplotlib.
    """
    missing = [name for name in NEEDED if name not in bars]
    if missing:
        hint = "IndicatorManager().apply(bars, ['volume_delta', 'cvd']) adds those of delta and CVD"
        raise MissingColumns(f"a chart needs {', '.join(NEEDED)}; {', '.join(missing)} missing. {hint}")
    if len(bars) == 0:
        raise UsageError("there are no bars to draw")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("a chart needs the extra 'plot': pip install 'tastytrade-provider[plot]'") from error
    shown = bars.iloc[-MOST_BARS:]
    figure = Figure(figsize=(16, 9), dpi=100, facecolor=_PAPER)
    price, delta, cvd = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [62, 15, 23], "hspace": 0.05})
    figure.subplots_adjust(left=0.02, right=0.945, top=0.94, bottom=0.055)
    for axes, name in ((price, "price"), (delta, "delta"), (cvd, "CVD")):
        _frame(axes, name)
    cells = None if footprint is None or _slot_px(len(shown)) < _HEAT_PX else _cells(footprint, shown, contract)
    _footprint(price, cells, len(shown))
    is_beside = cells is not None and _slot_px(len(shown)) >= _WIDE_PX
    at, width = (-0.38, 0.12) if is_beside else (0.0, 0.6)
    _candles(price, shown, ("open", "high", "low", "close"), at, width, hollow=cells is not None and not is_beside)
    _delta(delta, shown["delta"].to_numpy(np.float64))
    _candles(cvd, shown, ("cvd_open", "cvd_high", "cvd_low", "cvd"), 0.0, 0.6)
    low, high = cvd.get_ylim()
    if low - (high - low) <= 0 <= high + (high - low):  # further away, it would flatten the candles
        cvd.axhline(0, color=_INK, linewidth=0.6)
    if events is not None:
        events = events[pd.DatetimeIndex(events["ts"]).isin(shown.index)]
        _divergences(price, cvd, shown, events, 0.0 if cells is None else cells.step / 2)
    _sessions((price, delta, cvd), shown)
    _times(cvd, shown, contract)
    price.set_xlim(-0.7, len(shown) - 0.3)
    unit = "" if cells is None else f"  footprint: sold x bought per {cells.step:.10g}"
    figure.suptitle(f"{title or contract.symbol}{unit}", x=0.015, y=0.985, ha="left", fontsize=13, color=_INK, fontweight="bold")
    _legend(figure, events)
    return figure


def zone_of(contract: Contract) -> str:
    """The zone of the exchange, in which a picture tells the time; UTC where its calendar is not known."""
    return CALENDARS[contract.calendar].timezone if contract.calendar in CALENDARS else "UTC"


def city(zone: str) -> str:
    """A zone as a picture names it.

    >>> city("America/New_York")
    'New York'
    """
    return zone.rpartition("/")[2].replace("_", " ")


def _slot_px(n: int) -> float:
    """Width of one of n bars."""
    return _SLOTS_PX / n


def _frame(axes: Axes, name: str) -> None:
    axes.set_facecolor(_PAPER)
    axes.yaxis.tick_right()
    axes.grid(axis="y", color=_FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    axes.text(0.004, 0.97, name, transform=axes.transAxes, va="top", fontsize=9, color=_INK, alpha=0.7)
    for spine in axes.spines.values():
        spine.set_color(_FAINT)


def _candles(axes: Axes, bars: pd.DataFrame, names: tuple[str, str, str, str], at: float, width: float, *, hollow: bool = False) -> None:
    """Candles `at` beside their place. A bar without a high or a low has no wick."""
    first, high, low, last = (bars[name].to_numpy(np.float64) for name in names)
    x = np.arange(len(bars)) + at
    colors = np.where(last >= first, _UP, _DOWN).tolist()
    top, bottom = np.fmax(first, last), np.fmin(first, last)
    axes.vlines(x, np.where(np.isnan(low), bottom, low), np.where(np.isnan(high), top, high), colors=colors, linewidth=1.0, zorder=3)
    height = np.maximum(top - bottom, 1e-9)
    axes.bar(x, height, width, bottom, color="none" if hollow else colors, edgecolor=colors, linewidth=0.9, zorder=3)


def _cells(footprint: pd.DataFrame, shown: pd.DataFrame, contract: Contract) -> _Cells:
    """The rows of the bars shown, put together so that none is lower than a number."""
    time, price = footprint.index.get_level_values(0), footprint.index.get_level_values(1).to_numpy(np.float64)
    bar = shown.index.get_indexer(time)
    kept = bar >= 0
    ticks = contract.ticks(price[kept])
    span = int(ticks.max() - ticks.min()) + 1 if kept.any() else 1
    least = span * _CELL_PX / _PRICE_PX
    per_row = next(step * 10**power for power in range(0, 12, 2) for step in _ROUND if step * 10**power >= least)
    values = footprint[["sell_volume", "buy_volume"]].to_numpy(np.float64)[kept]
    keys = np.column_stack([bar[kept], ticks // per_row])
    rows, place = np.unique(keys, axis=0, return_inverse=True)
    sums = np.zeros((len(rows), 2))
    np.add.at(sums, place.ravel(), values)
    middle = contract.price(rows[:, 1] * per_row) + (per_row - 1) / 2 * contract.tick_size
    return _Cells(rows[:, 0], middle, sums[:, 0], sums[:, 1], per_row * contract.tick_size)


def _footprint(axes: Axes, cells: _Cells | None, n: int) -> None:
    """Sold on the left, bought on the right, the stronger the more; with numbers where they fit, and the row of most volume framed."""
    if cells is None or not len(cells.bar):
        return
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgb

    is_wide = _slot_px(n) >= _WIDE_PX
    left, middle, right = (-0.28, 0.1, 0.48) if is_wide else (-0.46, 0.0, 0.46)
    low, high = cells.price - cells.step / 2, cells.price + cells.step / 2
    for volume, color, a, b in ((cells.sold, _DOWN, left, middle), (cells.bought, _UP, middle, right)):
        x0, x1 = cells.bar + a, cells.bar + b
        corners = np.stack([np.column_stack(pair) for pair in ((x0, low), (x1, low), (x1, high), (x0, high))], axis=1)
        strength = 0.06 + 0.6 * np.sqrt(volume / cells.most)
        shades = np.column_stack([np.tile(to_rgb(color), (len(volume), 1)), np.where(volume > 0, strength, 0.03)])
        axes.add_collection(PolyCollection(list(corners), facecolors=shades, edgecolors="none", zorder=1))
    for bar in np.unique(cells.bar):
        own = np.flatnonzero(cells.bar == bar)
        if len(own) < 2:
            continue
        poc = own[(cells.sold + cells.bought)[own].argmax()]
        axes.add_patch(_box(bar + left, low[poc], right - left, cells.step, 0.7 if is_wide else 0.4))
    digits = len(f"{cells.most:.0f}")
    if is_wide and (right - left) / 2 * _slot_px(n) > digits * _DIGIT_PX + 3:
        size, gap = 7.5 if n <= 24 else 6.5, 2.5 / _slot_px(n)
        for bar, price, sold, bought in zip(cells.bar, cells.price, cells.sold, cells.bought, strict=True):
            axes.text(float(bar) + middle - gap, price, f"{sold:.4g}", ha="right", va="center_baseline", fontsize=size, color=_INK, zorder=2, clip_on=True)
            axes.text(float(bar) + middle + gap, price, f"{bought:.4g}", ha="left", va="center_baseline", fontsize=size, color=_INK, zorder=2, clip_on=True)


def _box(x: float, y: float, width: float, height: float, line: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fill=False, edgecolor=_INK, linewidth=line, zorder=2)


def _delta(axes: Axes, delta: Any) -> None:
    """A column a bar, with its number where there is room; nothing where the delta is not known."""
    x = np.arange(len(delta))
    axes.bar(x, np.nan_to_num(delta), 0.7, color=np.where(delta >= 0, _UP, _DOWN), zorder=2)
    axes.axhline(0, color=_INK, linewidth=0.6)
    axes.margins(y=0.25)
    digits = max((len(f"{value:+.4g}") for value in delta if value == value), default=1)
    if _slot_px(len(delta)) > digits * _DIGIT_PX:
        for at, value in enumerate(delta):
            if value == value:
                away: Any = {"xytext": (0, 1.5), "va": "bottom"} if value >= 0 else {"xytext": (0, -2.5), "va": "top"}
                axes.annotate(f"{value:+.4g}", (at, value), textcoords="offset points", ha="center", fontsize=7, color=_INK, **away)


def _divergences(price: Axes, cvd: Axes, shown: pd.DataFrame, events: pd.DataFrame, margin: float) -> None:
    """A line from pivot to pivot in price and in CVD, and a triangle where the signal was given: at the bar that confirmed it. Up is bullish."""
    from matplotlib.lines import Line2D

    places = (shown.index.get_indexer(pd.DatetimeIndex(events[name])).tolist() for name in ("ts", "pivot_ts"))
    values = (events[name].tolist() for name in ("bars_between", "kind", "direction", "price", "prev_price", "cvd", "prev_cvd"))
    reach = margin + float(shown["high"].max() - shown["low"].min()) * 0.025
    ends, lifts = {True: -np.inf, False: -np.inf}, {True: 0, False: 0}  # of the last name below, and above, the candles
    for at, pivot, between, kind, direction, at_price, prev_price, at_cvd, prev_cvd in zip(*places, *values, strict=True):
        is_up, color, style = direction > 0, _UP if direction > 0 else _DOWN, _STYLE[kind]
        for axes, one, two in ((price, prev_price, at_price), (cvd, prev_cvd, at_cvd)) if pivot >= 0 else ():
            # as an artist: a first pivot from before the picture does not move the scale
            axes.add_artist(Line2D([pivot - between, pivot], [one, two], color=color, linestyle=style, linewidth=1.8, zorder=5))
        edge = float(shown["low"].iloc[at]) - reach if is_up else float(shown["high"].iloc[at]) + reach
        price.plot([at], [edge], marker="^" if is_up else "v", markersize=11, color=color, markeredgecolor=_PAPER, zorder=6)
        width = _LABEL_PX / _slot_px(len(shown))
        lifts[is_up] = (lifts[is_up] + 1) % 3 if at - width / 2 < ends[is_up] else 0
        ends[is_up] = at + width / 2
        price.annotate(
            kind, (at, edge), xytext=(0, (12 + lifts[is_up] * _LABEL_POINTS) * (-1 if is_up else 1)), textcoords="offset points",
            ha="right" if at > 0.96 * len(shown) else "center", va="center", fontsize=8, color=color, fontweight="bold", zorder=6,
            bbox={"facecolor": _PAPER, "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


def _sessions(panels: tuple[Axes, ...], shown: pd.DataFrame) -> None:
    """A line where a session begins, and its label date; of the first bar only the date, as its session may have begun before."""
    if "session" not in shown:
        return
    label = shown["session"].to_numpy().astype("M8[D]")
    for at in [0, *(np.flatnonzero(label[1:] != label[:-1]) + 1).tolist()]:
        for axes in panels if at else ():
            axes.axvline(at - 0.5, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        side: Literal["left", "right"] = "right" if at > 0.9 * len(shown) else "left"
        panels[0].text(at - 0.5, 1.005, f"session {label[at]}", transform=panels[0].get_xaxis_transform(), fontsize=8, color=_INK, va="bottom", ha=side)


def _times(axes: Axes, shown: pd.DataFrame, contract: Contract) -> None:
    """Times of the bars in the exchange's zone, about a dozen of them."""
    zone = zone_of(contract)
    local = pd.DatetimeIndex(shown.index).tz_convert(zone)
    every = max(1, -(-len(shown) // 14))
    places = list(range(0, len(shown), every))
    is_long = local[-1] - local[0] > pd.Timedelta(days=20)
    text = "%d %b" if is_long else "%H:%M:%S" if any(local.second) else "%H:%M"
    axes.set_xticks(places, [local[at].strftime(text) for at in places])
    axes.text(1.0, -0.16, city(zone), transform=axes.transAxes, ha="left", va="center", fontsize=8, color=_INK)


def _legend(figure: Figure, events: pd.DataFrame | None) -> None:
    if events is None or not len(events):
        return
    from matplotlib.lines import Line2D

    kinds = [kind for kind in _STYLE if (events["kind"] == kind).any()]
    lines = [Line2D([], [], color=_INK, linestyle=_STYLE[kind], linewidth=1.8) for kind in kinds]
    figure.legend(lines, [f"{kind} divergence" for kind in kinds], loc="upper right", bbox_to_anchor=(0.945, 0.992), ncols=3, fontsize=9, frameon=False)
