"""The answers as OpenAPI shows them. They are written by hand and not made from these models, which would cost a hundred times as much; tests compare."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

_BAR: Final[dict[str, Any]] = {
    "time": "2026-11-23T14:30:00Z", "end": "2026-11-23T14:31:00Z", "bar_no": 0, "session": "2026-11-23",
    "open": 6000.0, "high": 6002.25, "low": 5999.5, "close": 6001.75, "volume": 1840.0, "buy_volume": 867.0, "sell_volume": 973.0,
    "unknown_volume": 0.0, "trades": 542, "vwap": 6000.79, "delta_source": "time_and_sale", "complete": True, "revision": 0,
    "delta": -106.0, "delta_pct": -0.0576, "min_delta": -361.0, "max_delta": 8.0, "cvd": 75.0, "cvd_open": 181.0, "cvd_high": 189.0, "cvd_low": -180.0,
}  # fmt: skip
_NAMES: Final = {"market": "ES", "symbol": "/ESZ6", "timeframe": "1m"}
_GAP: Final = {"symbol": "/ESZ6", "start": "2026-11-23T14:30:02Z", "end": "2026-11-23T14:30:04.5Z", "reason": "connection lost", "filled": False}
_PLAYBACK: Final = {"state": "playing", "speed": 5.0, "speeds": [0.5, 1.0, 5.0, 20.0, "max"], "time": "2026-11-23T14:30:11.5Z"}
_SHARES: Final = {"exchange": 0.98, "quote": 0.02, "tick": 0.0, "none": 0.0}


class Problem(BaseModel):
    """Why not: the kind of error, and a sentence."""

    model_config = ConfigDict(json_schema_extra={"example": {"error": "UnknownContract", "detail": "'ZZ' is not watched; watched: ES, NQ"}})
    error: str
    detail: str


class BarRow(BaseModel):
    """One bar: times UTC, prices in price units, volumes in contracts; further columns are the indicators'. null: not known."""

    model_config = ConfigDict(extra="allow", json_schema_extra=lambda schema: schema.update(example=_BAR))
    time: str
    end: str | None
    bar_no: int
    session: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float
    buy_volume: float | None
    sell_volume: float | None
    unknown_volume: float | None
    trades: int | None
    vwap: float | None
    delta_source: str
    complete: bool
    revision: int
    delta: float | None = None
    min_delta: float | None = None
    max_delta: float | None = None
    cvd: float | None = None


class GapRow(BaseModel):
    """An interval in which trades may be missing."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(example=_GAP))
    symbol: str
    start: str
    end: str
    reason: str
    filled: bool


class Cvd(BaseModel):
    """CVD of the bar (value at its end), and its extremes trade by trade since it last started anew."""

    value: float | None
    open: float | None
    high: float | None
    low: float | None
    highest: float | None
    lowest: float | None
    since: str | None


class Quality(BaseModel):
    """How far the bar's delta can be trusted."""

    complete: bool
    revision: int
    delta_source: str
    unknown_share: float | None


class Named(BaseModel):
    """market: as configured; symbol: the contract that is now."""

    market: str
    symbol: str
    timeframe: str


class Delta(Named):
    """The bar that forms now (or the last one: `closed`), CVD, and by which rule trades got their sides. null before the first trade."""

    closed: bool | None
    bar: BarRow | None
    delta: float | None
    cvd: Cvd | None
    quality: Quality | None
    trades: int
    sides: dict[str, int]
    shares: dict[str, float]
    complete_since: str | None
    resets: list[str]


class Deltas(BaseModel):
    """Every contract watched."""

    contracts: list[Delta]


class History(Named):
    """Closed bars, oldest first. `next`: pass it as `cursor` for what follows; null at the end. `notes`: what could not be had."""

    bars: list[BarRow]
    next: str | None
    complete_since: str | None
    notes: list[str]


class FootprintBar(BaseModel):
    """Volume by price of one bar, as columns of equal length, prices ascending. poc: the price with most volume."""

    time: str
    bar_no: int
    revision: int
    poc: float | None
    price: list[float]
    buy_volume: list[float]
    sell_volume: list[float]
    unknown_volume: list[float]


class Footprints(Named):
    """Footprints of bars, oldest first; those of the last 2,000 bars made of trades are kept."""

    tick_size: float
    bars: list[FootprintBar]
    next: str | None


class ResetDone(BaseModel):
    """CVD starts anew at the first bar that starts at or after `time` (exchange time)."""

    model_config = ConfigDict(json_schema_extra={"example": {"market": "ES", "symbol": "/ESZ6", "time": "2026-11-23T14:30:17.25Z", "journalled": True}})
    market: str
    symbol: str
    time: str
    journalled: bool


class IndicatorInfo(BaseModel):
    """An indicator: what it reads, returns and accepts. `live`: kept up on every timeframe."""

    model_config = ConfigDict(extra="allow")
    name: str
    summary: str
    input: str
    outputs: list[str]
    params: list[dict[str, Any]]
    live: bool


class Indicators(BaseModel):
    """What may be asked for by name."""

    indicators: list[IndicatorInfo]


class Values(Named):
    """An indicator's columns over the latest closed bars: lists as long as `time`; null where not known."""

    name: str
    time: list[str]
    columns: dict[str, list[float | None]]


class ContractState(BaseModel):
    """One contract watched."""

    market: str
    symbol: str
    streamer_symbol: str
    tick_size: float
    last: float | None
    last_time: str | None
    trades: int
    rate: float
    shares: dict[str, float]
    complete_since: str | None
    timeframes: list[str]


class JournalState(BaseModel):
    """The durable raw feed."""

    written: int
    lost: int
    failure: str | None


class Playback(BaseModel):
    """How a recording or a made-up market is played. `time`: exchange time up to which it was, null before the first trade; `speeds`: those to choose from."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(example=_PLAYBACK))
    state: Literal["playing", "paused", "stepping", "ended"]
    speed: float | Literal["max"]
    speeds: list[float | Literal["max"]]
    time: str | None


class PlaybackChange(BaseModel):
    """What to do; `speed` alone changes it and nothing else.

    A step plays without waiting until the forming bar of a contract and timeframe (those configured) has closed, or for so many seconds of exchange time,
    and stands there.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"example": {"action": "step", "symbol": "ES", "timeframe": "1m"}})
    action: Literal["pause", "resume", "step"] | None = None
    speed: Annotated[float, Field(gt=0)] | Literal["max"] | None = None
    symbol: Annotated[str, Field(max_length=40)] | None = None
    timeframe: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}(mo|[smhdwtvr])$")] | None = None
    seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None


class Status(BaseModel):
    """The feed: state, since when, what was received and what was not. Counts are since the provider was made; rate is trades per second."""

    provider: str
    state: str
    since: str
    ready: bool
    reason: str | None
    problem: str | None
    attempts: int
    token_level: str | None
    delta_source: str | None
    lag_ms: float | None
    rate: float
    trades: int
    rejected: int
    duplicates: int
    orphans: int
    corrections: int
    cancels: int
    excluded: dict[str, int]
    sides: dict[str, int]
    reconnects: int
    gap_count: int
    gaps: list[GapRow]
    notes: list[str]
    contracts: list[ContractState]
    timeframe: str
    journal: JournalState | None
    playback: Playback | None


EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "Delta": {
        **_NAMES,
        "closed": False,
        "bar": _BAR,
        "delta": -106.0,
        "cvd": {"value": 75.0, "open": 181.0, "high": 189.0, "low": -180.0, "highest": 196.0, "lowest": -180.0, "since": "2026-11-22T23:00:00Z"},
        "quality": {"complete": True, "revision": 0, "delta_source": "time_and_sale", "unknown_share": 0.0},
        "trades": 875,
        "sides": {"exchange": 858, "quote": 17, "tick": 0, "none": 0},
        "shares": _SHARES,
        "complete_since": "2026-11-22T23:00:00Z",
        "resets": [],
    },
    "History": {**_NAMES, "bars": [_BAR], "next": None, "complete_since": "2026-11-22T23:00:00Z", "notes": []},
    "Footprints": {
        **_NAMES,
        "tick_size": 0.25,
        "bars": [
            {"time": "2026-11-23T14:30:00Z", "bar_no": 0, "revision": 0, "poc": 6000.25,
             "price": [6000.0, 6000.25], "buy_volume": [3.0, 9.0], "sell_volume": [4.0, 2.0], "unknown_volume": [0.0, 0.0]},
        ],
        "next": None,
    },
    "Playback": _PLAYBACK,
    "Status": {
        "provider": "tastytrade", "state": "connected", "since": "2026-11-23T14:00:00Z", "ready": True, "reason": None, "problem": None, "attempts": 0,
        "token_level": "api", "delta_source": "time_and_sale", "lag_ms": 41.2, "rate": 112.4, "trades": 88412, "rejected": 0, "duplicates": 0, "orphans": 0,
        "corrections": 0, "cancels": 0, "excluded": {"spread_leg": 12, "invalid_tick": 0}, "sides": {"exchange": 88412, "quote": 0, "tick": 0, "none": 0},
        "reconnects": 1, "gap_count": 0, "gaps": [_GAP | {"filled": True}], "notes": [],
        "contracts": [
            {"market": "ES", "symbol": "/ESZ6", "streamer_symbol": "/ESZ26:XCME", "tick_size": 0.25, "last": 6000.25, "last_time": "2026-11-23T14:30:11.5Z",
             "trades": 88412, "rate": 112.4, "shares": _SHARES, "complete_since": "2026-11-22T23:00:00Z", "timeframes": ["1m"]},
        ],
        "timeframe": "1m", "journal": {"written": 90120, "lost": 0, "failure": None}, "playback": None,
    },
    "Values": {**_NAMES, "name": "cvd", "time": ["2026-11-23T14:30:00Z"], "columns": {"cvd": [75.0]}},
}  # fmt: skip
