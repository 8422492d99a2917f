"""Part `indicators`: delta divergence beside pandas, the live update of the delta indicators, footprints read beside polars, TA-Lib by name beside TA-Lib."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tastytrade_provider.indicators import CVD, DeltaDivergence, FootprintBars, Indicator, IndicatorManager, VolumeDelta
from tastytrade_provider.model import Bar, Timeframe
from tastytrade_provider.sessions import sessions_between
from tests.benchmarks.batch import ES, frame_of, tape, timed
from tests.benchmarks.report import Part, Ratio, Spread

if TYPE_CHECKING:
    import polars as pl

DIVERGENCE_TARGET, FOOTPRINT_TARGET = 2.5, 2.5  # times pandas, times polars
BUDGET_US = 20.0  # all three delta indicators, one closed bar
BY_NAME_TARGET = 1 / 1.5  # of TA-Lib called directly
_MINUTE_NS, _KEY = 60_000_000_000, 1 << 24
_LEFT, _RIGHT, _MIN_GAP, _MAX_GAP = 5, 5, 5, 60  # of DeltaDivergence, which is given none


def measure(is_quick: bool) -> list[Part]:
    """A million bars; 50 million trades; up to a million rows for TA-Lib."""
    bars = frame(20_000 if is_quick else 1_000_000)
    repeats = 2 if is_quick else 5
    return [_divergence(bars, repeats), _live(bars, 20 if is_quick else 200), _footprint(100_000 if is_quick else 50_000_000, repeats), _by_name(bars, repeats)]


def frame(count: int) -> pd.DataFrame:
    """One-minute bars over CME sessions: a walk in ticks, volumes without a pattern, one bar in 500 with a split nobody knows."""
    first, last = (pd.Timestamp(f"{year}-01-05", tz="UTC").value for year in (2019, 2025))
    table = sessions_between(ES.calendar, first, last)
    start = np.concatenate([np.arange(a, b, _MINUTE_NS) for a, b in zip(table.open_ns.tolist(), table.close_ns.tolist(), strict=True)])[:count]
    chance = np.random.default_rng(20190105)
    close = 24_000 + np.cumsum(chance.integers(-4, 5, count))
    first_price = np.append(24_000, close[:-1])
    high, low = np.maximum(first_price, close) + chance.integers(0, 4, count), np.minimum(first_price, close) - chance.integers(0, 4, count)
    buy, sell = chance.integers(0, 500, (2, count)).astype(np.float64)
    buy[chance.random(count) < 0.002] = np.nan
    prices = {name: ticks * ES.tick_size for name, ticks in (("open", first_price), ("high", high), ("low", low), ("close", close))}
    delta = buy - sell
    split = {"buy_volume": buy, "sell_volume": sell, "min_delta": np.minimum(delta, 0) - 9, "max_delta": np.maximum(delta, 0) + 9}
    volume = np.nan_to_num(buy) + sell + 1
    session = table.label[np.searchsorted(table.open_ns, start, side="right") - 1].astype("M8[D]").astype("M8[ns]")
    made = pd.DataFrame({**prices, "volume": volume, **split, "session": session}, index=pd.DatetimeIndex(start.view("M8[ns]"), tz="UTC", name="time"))
    made.attrs["tick_size"] = ES.tick_size
    return made


# -- divergence


def with_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Delta divergence by shifted rolling maxima, as it is usually written, with the rules and the columns of ours."""
    delta = bars["buy_volume"] - bars["sell_volume"]
    cvd = delta.groupby(bars["session"]).cumsum()
    known = delta.notna()
    day = bars["session"]
    segment = ((day != day.shift()) | ~known | ~known.shift(fill_value=True)).cumsum()
    volume = bars["volume"].cumsum()
    number = pd.Series(np.arange(len(bars)), index=bars.index)
    sides = []
    for column, sign in (("high", 1.0), ("low", -1.0)):
        price = sign * (bars[column] / ES.tick_size).round()
        before, after = price.shift(1).rolling(_LEFT).max(), price.shift(-_RIGHT).rolling(_RIGHT).max()
        at = (price > before) & (price >= after)
        pivots = pd.DataFrame({"price": price, "cvd": sign * cvd, "segment": segment, "volume": volume, "number": number})[at]
        step, gain, between, distance = (pivots[name].diff() for name in ("price", "cvd", "volume", "number"))
        comparable = (pivots["segment"].diff() == 0) & distance.between(_MIN_GAP, _MAX_GAP)
        found = pd.DataFrame({"regular": comparable & (step >= 1) & (gain <= 0), "hidden": comparable & (step < 0) & (gain > 0)}) * -sign
        found["absorption"] = -sign * (comparable & (step == 0) & (gain > 0))
        found["strength"], found["distance"] = gain.abs() / between, distance
        confirmed = pivots["number"].to_numpy() + _RIGHT
        found.index = bars.index[confirmed]
        sides.append(found[(found[["regular", "hidden", "absorption"]] != 0).any(axis=1)])
    both = sides[0].index.intersection(sides[1].index)
    told = pd.concat(sides)
    told = told[~told.index.isin(both)]
    out = pd.DataFrame(0.0, index=bars.index, columns=["regular", "hidden", "absorption"])
    out.loc[told.index, ["regular", "hidden", "absorption"]] = told[["regular", "hidden", "absorption"]]
    out["conflict"] = bars.index.isin(both)
    body = np.sign(bars["close"] - bars["open"])
    out["bar_divergence"] = np.where(known, np.where(body == -np.sign(delta), np.sign(delta), 0.0), np.nan)
    out["strength"] = told["strength"].reindex(bars.index)
    out["pivot_offset"] = np.where(out["conflict"] | out["strength"].notna(), float(_RIGHT), np.nan)
    out["prev_pivot_offset"] = (_RIGHT + told["distance"]).reindex(bars.index)
    return out


def _divergence(bars: pd.DataFrame, repeats: int) -> Part:
    indicator = DeltaDivergence()
    pd.testing.assert_frame_equal(indicator.run(bars), with_pandas(bars), check_exact=False, rtol=1e-12)
    ours, theirs = _in_turn(repeats, lambda: indicator.run(bars), lambda: with_pandas(bars))
    part = Part(f"indicators: delta divergence over {len(bars):,} bars", ("candidate", "seconds", "ours is", "target"), ("numba", "numpy", "pandas"))
    ratio = theirs.median / ours.median
    part.add(("ours, one thread", ours, "", ""))
    part.add(("pandas rolling", theirs, f"{ratio:.1f}x", f"{DIVERGENCE_TARGET:g}x"))
    part.ratios.append(Ratio("indicators, delta divergence beside pandas rolling", ratio, DIVERGENCE_TARGET))
    part.notes.append("both made the same eight columns from the same frame, CVD included")
    return part


# -- live


def _live(bars: pd.DataFrame, rounds: int) -> Part:
    """Closed bars one at a time, in rounds of a hundred."""
    closed = [_bar(time_, row) for time_, row in zip(bars.index[:2_000], bars.iloc[:2_000].to_dict("records"), strict=True)]
    made: list[Indicator] = [VolumeDelta(), CVD(), DeltaDivergence()]
    spreads = {name: _rounds(chosen, closed, rounds) for name, chosen in [(each.name, [each]) for each in made] + [("all three", made)]}
    last = bars.iloc[:500]
    again = timed(lambda: with_pandas(last), min(rounds, 10))
    part = Part("indicators: one closed bar", ("candidate", "us per bar", "least", "budget"), ("numba", "numpy", "pandas"))
    for name, spread in spreads.items():
        part.add((name, spread, _least(spread), f"{BUDGET_US:g}" if name == "all three" else ""))
    pandas_us = _in_us(again)
    part.add(("pandas, delta divergence over the last 500 bars", pandas_us, _least(pandas_us), ""))
    part.ratios += [
        Ratio(f"indicators, all three live within {BUDGET_US:g} us per closed bar", BUDGET_US / _least(spreads["all three"]), 1.0),
        Ratio("indicators, all three live beside pandas over the last 500 bars", pandas_us.median / spreads["all three"].median),
    ]
    part.notes.append("a budget in microseconds is judged by the quietest round of a hundred bars: other programs only ever add to it")
    return part


def _bar(start: pd.Timestamp, row: dict[Any, Any]) -> Bar:
    values = {name: None if value != value else value for name, value in row.items() if name != "session"}
    start_ns = start.as_unit("ns").value
    about = {"trades": None, "vwap": None, "session": pd.Timestamp(row["session"]).date(), "delta_source": "time_and_sale"}
    return Bar(contract=ES, timeframe=Timeframe(1, "m"), start_ns=start_ns, end_ns=start_ns + _MINUTE_NS, **values, **about)  # type: ignore[arg-type]


def _rounds(chosen: list[Indicator], closed: list[Bar], rounds: int) -> Spread:
    updates = [indicator.update for indicator in chosen]
    found = []
    for turn in range(-1, rounds):
        part = closed[turn * 100 % len(closed) :][:100]
        started = time.perf_counter_ns()
        for bar in part:
            for update in updates:
                update(bar)
        if turn >= 0:  # the first compiles
            found.append((time.perf_counter_ns() - started) / 1_000 / len(part))
    return Spread(found)


# -- footprint


def with_polars(trades: pl.DataFrame, engine: str) -> pl.DataFrame:
    """What `footprint_bars` says of each bar, but for the value area, which would take a loop: bars, cells, and cells compared with shifted ones."""
    import polars as pl

    minute, ticks, key = pl.col("time_ns") // _MINUTE_NS, pl.col("ticks"), pl.col("key")
    high, low, close = pl.col("high"), pl.col("low"), pl.col("close")
    by_minute = trades.lazy().with_columns(minute.alias("minute").set_sorted()).group_by("minute", maintain_order=True)
    bars = by_minute.agg(high=ticks.max().cast(pl.Int64), low=ticks.min().cast(pl.Int64), close=ticks.last().cast(pl.Int64))
    signed, unknown = (pl.col("lots") * pl.col("side")).alias("delta"), (pl.col("lots") * (pl.col("side") == 0)).alias("unknown")
    keyed = trades.lazy().select((minute * _KEY + ticks.cast(pl.Int64)).alias("key"), "lots", signed, unknown)
    cells = keyed.group_by("key").agg(pl.col("lots").sum().cast(pl.Int64).alias("volume"), pl.col("delta", "unknown").sum().cast(pl.Int64)).sort("key")
    sided = pl.col("volume") - pl.col("unknown")
    cells = cells.with_columns(minute=key // _KEY, ticks=key % _KEY, buy=(sided + pl.col("delta")) // 2, sell=(sided - pl.col("delta")) // 2)
    cells = cells.join(bars, on="minute", how="left", maintain_order="left")
    # of a bar: most volume, then nearest its middle, then lowest, in one number
    score = pl.col("volume") * (1 << 40) + ((1 << 15) - (2 * ticks - high - low).abs()) * _KEY + (_KEY - 1 - ticks)
    found = {"poc": score}
    for name, other, end, way in (("buy", "sell", "high", 1), ("sell", "buy", "low", -1)):
        drove, extreme, origin = pl.col(name), pl.col(end), low if way > 0 else high
        near = [(key.shift(way * k) == key - way * k).fill_null(value=False) for k in range(5)]  # whether the cell k places inwards is k prices inwards
        against = pl.when(near[1]).then(pl.col(other).shift(way)).otherwise(0)
        imbalance = (ticks != origin) & (drove >= 30) & (drove >= 3 * against)
        run = [near[k] & imbalance.shift(way * k).fill_null(value=False) for k in range(4)]
        rising = [(drove.shift(way * k) < drove.shift(way * (k + 1))).fill_null(value=False) for k in range(4)]
        at = ticks == extreme
        found |= {
            f"{name}_imbalances": imbalance.cast(pl.Float64),
            f"stacked_{name}": (run[0] & run[1] & run[2] & ~run[3]).cast(pl.Float64),  # the third cell of each run
            f"unfinished_{end}": at & (drove > 20) & (pl.col(other) > 0),
            f"exhaustion_{end}": at & near[4] & rising[0] & rising[1] & rising[2] & rising[3],
            f"absorption_{end}": imbalance & ((ticks - extreme).abs() < 5) & (way * (ticks - close) >= 4),
            f"ratio_{end}": pl.when(at & (drove > 0) & (high > low)).then(pl.when(near[1]).then(drove.shift(way)).otherwise(0) / drove),
        }
    sums = [name for name in found if name.endswith("imbalances") or name.startswith("stacked")]
    most = ["poc", *(name for name in found if name.startswith("ratio"))]
    flags = [name for name in found if name not in (*sums, *most)]
    read = cells.select("minute", "unknown", **found).with_columns(pl.col("minute").set_sorted()).group_by("minute", maintain_order=True)
    made = read.agg(pl.col(*sums).sum(), pl.col(*most).max(), pl.col(*flags).any(), pl.col("unknown").sum().cast(pl.Float64).alias("unknown_volume"))
    price = (_KEY - 1 - pl.col("poc") % _KEY) * ES.tick_size
    done: pl.DataFrame = made.with_columns(price.alias("poc")).collect(engine=engine)  # type: ignore[call-overload]
    return done


def _footprint(count: int, repeats: int) -> Part:
    batch, indicator = tape(count), FootprintBars()
    trades = frame_of(batch)
    ours = indicator.run(batch)
    engines = {engine: timed(lambda engine=engine: with_polars(trades, engine), 1).median for engine in ("in-memory", "streaming")}  # type: ignore[misc]
    engine = min(engines, key=lambda name: engines[name])
    theirs = with_polars(trades, engine).to_pandas().set_axis(ours.index)
    same = [name for name in ours if name not in ("val", "vah")]
    pd.testing.assert_frame_equal(ours[same], theirs[same], check_exact=False, rtol=1e-12)
    mine, other = _in_turn(repeats, lambda: indicator.run(batch), lambda: with_polars(trades, engine))
    part = Part(
        f"indicators: footprints of {count / 1e6:g} million trades read, {len(ours):,} bars",
        ("candidate", "seconds", "million trades/s", "ours is", "target"),
        ("numba", "numpy", "polars"),
    )
    ratio = other.median / mine.median
    part.add(("ours, one thread", mine, count / mine.median / 1e6, "", ""))
    part.add(("polars", other, count / other.median / 1e6, f"{ratio:.2f}x", f"{FOOTPRINT_TARGET:g}x"))
    part.ratios.append(Ratio("indicators, footprints read beside polars with its default threads", ratio, FOOTPRINT_TARGET))
    part.notes.append(f"all said the same of every bar; only ours has the value area; polars' engine: {engine}")
    return part


# -- TA-Lib


def _by_name(bars: pd.DataFrame, repeats: int) -> Part:
    import talib

    manager = IndicatorManager()
    part = Part("indicators: TA-Lib by name beside TA-Lib", ("rows", "function", "by name us", "directly us", "ratio"), ("TA-Lib", "numpy", "pandas"))
    for rows in sorted({min(rows, len(bars)) for rows in (10_000, 100_000, 1_000_000)}):
        some = bars.iloc[:rows]
        close = some["close"].to_numpy()
        for name, function in (("sma", talib.SMA), ("rsi", talib.RSI)):

            def by_name(name: str = name, some: pd.DataFrame = some) -> pd.DataFrame:
                return manager.calculate(some, name, timeperiod=14)

            def directly(function: Callable[..., np.ndarray] = function, close: np.ndarray = close) -> np.ndarray:
                return function(close, 14)

            np.testing.assert_array_equal(by_name()[name], directly())
            ours, theirs = map(_in_us, _in_turn(10 * repeats, by_name, directly))
            ratio = _least(theirs) / _least(ours)
            part.add((f"{rows:,}", name, ours, theirs, f"{ratio:.2f}x"))
            part.ratios.append(Ratio(f"indicators, {name} by name beside TA-Lib, {rows:,} rows", ratio, BY_NAME_TARGET if rows >= 1_000_000 else None))
    part.notes.append("ratios of the quickest calls; by name costs some 50 us a call whatever the size: a column out of a frame, a check for NaN, a frame")
    return part


def _least(spread: Spread) -> float:
    return float(np.min(spread.values))


def _in_us(seconds: Spread) -> Spread:
    return Spread((np.array(seconds.values) * 1e6).tolist())


def _in_turn(repeats: int, *works: Callable[[], object]) -> list[Spread]:
    """Seconds of each, one after the other in every round, so that all see the same machine; a round has gone before, to warm up."""
    found: list[list[float]] = [[] for _ in works]
    for turn in range(-1, repeats):
        for values, work in zip(found, works, strict=True):
            spent = timed(work, 1).median
            if turn >= 0:
                values.append(spent)
    return [Spread(values) for values in found]
