"""A frame of bars for whoever asked: as a table, JSON, CSV, or a Parquet file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from ..errors import MissingExtra, UsageError

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "delta_source", "complete")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as a program reads them: `time` as ISO text in UTC, what is not known None."""
    rows = frame.reset_index().to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def as_json(frame: pd.DataFrame) -> str:
    """The rows as a JSON array, a row a line."""
    return "[\n" + ",\n".join(orjson.dumps(row).decode() for row in records(frame)) + "\n]"


def as_csv(frame: pd.DataFrame) -> str:
    """The rows as CSV: times in UTC to the microsecond, a session by the date that labels it."""
    text: str = frame.assign(**{name: frame[name].dt.strftime("%Y-%m-%d") for name in ("session",) if name in frame}).to_csv(
        date_format="%Y-%m-%dT%H:%M:%S.%fZ"
    )
    return text


def as_table(frame: pd.DataFrame) -> str:
    """The columns a reader wants, and those that an indicator added."""
    known = {"min_delta", "max_delta", "vwap", "session", "revision", "bar_no"}
    names = [name for name in frame.columns if name in _SHOWN or name not in known]
    table = frame[names].copy()
    table.index = table.index.strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[attr-defined]  # a DatetimeIndex
    text: str = table.to_string(float_format=lambda value: f"{value:,.10g}", na_rep="-")
    return text


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """The frame as a file, in its place at once. MissingExtra without pyarrow."""
    if path.suffix.lower() != ".parquet":
        raise UsageError(f"{path} is no name of a Parquet file; one that ends in .parquet is")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingExtra("Parquet files need pyarrow: pip install 'tastytrade-provider[store]'") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        frame.to_parquet(temporary, compression="zstd")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    click.echo(f"{path}: {len(frame):,} rows", err=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "isoformat"):
        is_day = getattr(value, "tzinfo", None) is None
        text: str = value.isoformat()
        return text[:10] if is_day else text.replace("+00:00", "Z")
    return value.item() if hasattr(value, "item") else value
