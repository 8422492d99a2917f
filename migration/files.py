"""Stored bars from anywhere, CSV or Parquet, read as one kind of frame and compared."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from tastytrade_provider.errors import MissingColumns, MissingExtra, UsageError

from .compare import Result, compare_bars

NAMES: Final = {
    "time": ("time", "date", "datetime", "timestamp", "ts", "start", "start_ns", "time_ns", "ts_event", "ts_event_ns", "bar_start", "unnamed: 0"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
}
"""Our column -> names it is accepted under, in any case; among several the first here wins. `date` is what ib_async's util.df writes."""

_EPOCHS = ((10**9, 1e11), (10**6, 1e14), (10**3, 1e17))  # ns in one unit of a count since 1970, if the count is below this: s, ms, us, else ns
_OFFSET = re.compile(r"\d(?:Z|\s?[+-]\d\d:?\d\d)$")
_NAMED_ZONE = re.compile(r"(.*\d)\s+([A-Za-z]\w*(?:/[\w+-]+)*)")
_DASHED_UTC = re.compile(r"\d{8}-\d\d:\d\d:\d\d")  # IB's way to write UTC
_TRADE_DATE = pd.Timedelta(hours=7)  # a session opens at 17:00 Chicago, so this much later it is the date it is labelled with


class Stored(NamedTuple):
    """Bars of a file: index `time` (bar start, UTC; for daily bars midnight of the label date), open high low close volume. None: not told there."""

    frame: pd.DataFrame
    is_daily: bool
    tick_size: float | None


def read_bars(path: Path | str, *, zone: str | None = None) -> Stored:
    """The bars of a CSV, CSV.gz or Parquet file; `NAMES` are the columns it is read by. `zone` is that of times without one, such as US/Eastern.

    Raises UsageError for a file that cannot be read or a time without a zone, MissingColumns naming what is missing and what there is.
    """
    path = Path(path)
    try:
        found = pd.read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else pd.read_csv(path)
    except ImportError as error:
        raise MissingExtra("reading Parquet needs pyarrow: pip install 'tastytrade-provider[store]'") from error
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file") from None
    except (ValueError, OSError) as error:  # pandas' parser errors and pyarrow's are ValueErrors
        raise UsageError(f"{path}: not a CSV or Parquet file that can be read: {str(error)[:160]}") from None
    try:
        return of_frame(found, zone=zone)
    except UsageError as error:
        raise type(error)(f"{path}: {error}") from None


def of_frame(found: pd.DataFrame, *, zone: str | None = None) -> Stored:
    """A frame of bars as ib_async's `util.df` or our `historical_bars` gives it, or of alike columns."""
    given: dict[str, str] = {}
    for column in found.columns:
        given.setdefault(str(column).strip().lower(), column)
    columns = {ours: next((given[name] for name in names if name in given), None) for ours, names in NAMES.items()}
    has_time_index = isinstance(found.index, pd.DatetimeIndex)
    missing = [ours for ours, name in columns.items() if name is None and ours != "volume" and not (ours == "time" and has_time_index)]
    if missing:
        raise MissingColumns(f"bars need {', '.join(NAMES)[:-8]}; {', '.join(missing)} missing among {[str(name) for name in found.columns]}")
    if found.empty:
        raise UsageError("it holds no bars")
    raw = found.index.to_series() if has_time_index else found[columns["time"]]
    time, is_daily = _times(raw, zone)
    if not is_daily and _looks_daily(time):
        time, is_daily = _labels(found, given, time), True
    data = {}
    for ours in ("open", "high", "low", "close", "volume"):
        name = columns[ours]
        try:
            data[ours] = np.full(len(found), np.nan) if name is None else found[name].to_numpy(np.float64, na_value=np.nan)
        except (ValueError, TypeError):
            raise UsageError(f"column {name!r} holds something that is no number") from None
    frame = pd.DataFrame(data, index=time.rename("time")).sort_index(kind="stable")
    return Stored(frame, is_daily, found.attrs.get("tick_size"))


def compare_files(
    a: Path | str,
    b: Path | str,
    *,
    tick_size: float | None = None,
    zone: str | None = None,
    labels: tuple[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
) -> Result:
    """The bars of two files compared, by the checks of a live A/B. Without `tick_size` it is what the files or, at last, their prices say."""
    first, second = read_bars(a, zone=zone), read_bars(b, zone=zone)
    if first.is_daily != second.is_daily:
        daily, other = (a, b) if first.is_daily else (b, a)
        raise UsageError(f"{daily} holds daily bars and {other} shorter ones; bars of one length can be compared")
    told = tick_size or first.tick_size or second.tick_size
    step = told or _smallest_step(first.frame, second.frame)
    names = labels or _names(Path(a), Path(b))
    result = compare_bars(first.frame, second.frame, step, labels=names, limits=limits)
    notes = [] if told else [f"tick size {step:g} is the smallest step between prices of the files; --tick-size says it"]
    if first.is_daily:
        notes.append("daily bars meet by label date; a close may be the settlement price, which comes hours later")
    result.facts["notes"] = notes
    return result


def _names(a: Path, b: Path) -> tuple[str, str]:
    return (a.name, b.name) if a.name != b.name else (str(a), str(b)) if a != b else (f"{a.name} (A)", f"{b.name} (B)")


def _times(raw: pd.Series, zone: str | None) -> tuple[pd.DatetimeIndex, bool]:
    """Bar starts in UTC, and whether they are dates, which carry no time."""
    if raw.isna().any():
        raise UsageError(f"row {int(raw.isna().to_numpy().argmax())} has no time")
    try:
        if pd.api.types.is_numeric_dtype(raw):
            return _epoch(raw)
        if isinstance(raw.dtype, pd.DatetimeTZDtype):
            return pd.DatetimeIndex(raw).tz_convert("UTC").as_unit("ns"), False
        if pd.api.types.is_datetime64_dtype(raw):
            return _naive(pd.DatetimeIndex(raw), zone)
        first = raw.iloc[0]
        if isinstance(first, dt.date) and not isinstance(first, dt.datetime):
            return pd.DatetimeIndex(pd.to_datetime(raw)).tz_localize("UTC").as_unit("ns"), True
        if isinstance(first, dt.datetime):
            aware = first.tzinfo is not None
            return (pd.DatetimeIndex(pd.to_datetime(raw, utc=True)).as_unit("ns"), False) if aware else _naive(pd.DatetimeIndex(pd.to_datetime(raw)), zone)
        return _from_text(raw.astype(str).str.strip(), zone)
    except (ValueError, TypeError) as error:  # UsageError is none of these
        raise UsageError(f"its times cannot be read: {str(error)[:160]}") from None


def _epoch(raw: pd.Series) -> tuple[pd.DatetimeIndex, bool]:
    if 19_000_101 <= raw.iloc[0] <= 21_001_231:  # 20260105 is a date
        return pd.DatetimeIndex(pd.to_datetime(raw.astype(int).astype(str), format="%Y%m%d")).tz_localize("UTC").as_unit("ns"), True
    to_ns = next((ns for ns, below in _EPOCHS if abs(raw.iloc[0]) < below), 1)
    return pd.DatetimeIndex((raw.to_numpy() * to_ns).astype(np.int64).view("M8[ns]"), tz="UTC"), False


def _from_text(text: pd.Series, zone: str | None) -> tuple[pd.DatetimeIndex, bool]:
    first = text.iloc[0]
    if _DASHED_UTC.fullmatch(first):
        return pd.DatetimeIndex(pd.to_datetime(text, format="%Y%m%d-%H:%M:%S", utc=True)).as_unit("ns"), False
    if named := _NAMED_ZONE.fullmatch(first):
        if not text.str.endswith(named[2]).all():
            raise UsageError("its times name more than one zone")
        return _naive(_read(text.str.removesuffix(named[2]).str.strip()), named[2])
    if _OFFSET.search(first):
        return pd.DatetimeIndex(pd.to_datetime(text, utc=True, format="ISO8601")).as_unit("ns"), False
    return _naive(_read(text), zone)


def _read(text: pd.Series) -> pd.DatetimeIndex:
    """IB's `YYYYMMDD[ HH:MM:SS]`, else ISO."""
    squeezed = text.str.replace(r"\s+", " ", regex=True)
    if re.fullmatch(r"\d{8}( .*)?", squeezed.iloc[0]):
        return pd.DatetimeIndex(pd.to_datetime(squeezed, format="%Y%m%d %H:%M:%S" if " " in squeezed.iloc[0] else "%Y%m%d"))
    return pd.DatetimeIndex(pd.to_datetime(squeezed, format="ISO8601"))


def _naive(times: pd.DatetimeIndex, zone: str | None) -> tuple[pd.DatetimeIndex, bool]:
    if (times == times.normalize()).all():
        return times.tz_localize("UTC").as_unit("ns"), True
    if zone is None:
        raise UsageError(f"its times, such as {times[0].isoformat()}, have no zone; say which it is: --timezone US/Eastern (IB writes that of the TWS login)")
    try:
        named = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError(f"time zone {zone!r} is not known; names are such as US/Eastern, America/Chicago, UTC") from None
    # of the hour that autumn repeats, text alone cannot tell; CME is closed then
    return times.tz_localize(named, ambiguous=np.ones(len(times), bool), nonexistent="shift_forward").tz_convert("UTC").as_unit("ns"), False


def _looks_daily(time: pd.DatetimeIndex) -> bool:
    return len(time) > 1 and bool(np.median(np.diff(np.sort(time.asi8))) > 12 * 3_600_000_000_000)


def _labels(found: pd.DataFrame, given: Mapping[str, str], time: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The label dates of daily bars that carry the time of their session's open."""
    if "session" in given:
        return pd.DatetimeIndex(pd.to_datetime(found[given["session"]])).normalize().tz_localize("UTC").as_unit("ns")
    return (time.tz_convert("America/Chicago").tz_localize(None) + _TRADE_DATE).normalize().tz_localize("UTC").as_unit("ns")


def _smallest_step(*frames: pd.DataFrame) -> float:
    prices = np.unique(np.round(np.concatenate([frame[["open", "high", "low", "close"]].to_numpy().ravel() for frame in frames]), 9))
    steps = np.diff(prices[np.isfinite(prices)])
    return float(np.round(steps[steps > 5e-9].min(), 9)) if (steps > 5e-9).any() else 0.01
