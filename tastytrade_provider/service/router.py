"""The endpoints below /api, for any FastAPI application."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import pandas as pd
from fastapi import APIRouter, Header, Path, Query, Request, Response, WebSocket

from ..errors import UsageError
from . import models, past, playback
from .errors import RESPONSES, guarded, problem
from .feed import Feed
from .formats import ARROW, CSV, answer, chosen
from .market import Market
from .security import Denied, Guard, RateLimit
from .socket import serve
from .status import delta
from .wire import encode, iso

if TYPE_CHECKING:
    from .runtime import Runtime

_CHANGES: Final = (5, 12.0)  # resets at once, and seconds for one more
_PLAYS: Final = (20, 0.25)  # the same for steps and changes of a playback

Symbol = Annotated[str, Path(description="A contract that is watched: ES (front month) or ESZ6", max_length=40, examples=["ES"])]
Other = Annotated[str | None, Query(description="The contract in a form that is no path, such as /ESZ6 or /ESZ26:XCME; wins", alias="symbol", max_length=40)]
TimeframeText = Annotated[
    str | None,
    Query(description="5s 1m 15m 1h 1d 1w 1mo, 133t (trades), 1000v (contracts), 8r (ticks)", pattern=r"^[1-9][0-9]{0,8}(mo|[smhdwtvr])$", examples=["1m"]),
]
Start = Annotated[str | None, Query(description="First bar start, ISO text with a zone; the running session's open without it", max_length=40)]
End = Annotated[str | None, Query(description="Bars start before this, ISO text with a zone; now without it", max_length=40)]
Limit = Annotated[int, Query(description="Bars a page at most", ge=1, le=past.MOST_ROWS)]
Cursor = Annotated[str | None, Query(description="`next` of the page before", pattern=r"^\d{1,19}-\d{1,9}$")]
Accept = Annotated[str, Header(include_in_schema=False)]
_TABLE: Final = {200: {"description": "A page", "content": {CSV: {"schema": {"type": "string"}}, ARROW: {"schema": {"type": "string", "format": "binary"}}}}}


def create_router(runtime: Runtime, guard: Guard | None = None) -> APIRouter:
    """The endpoints of a runtime: `/api/...` and the WebSocket `/api/tastytrade/ws`, nothing else.

    guard  who may ask what; None: changes need the token of the runtime's settings, looking does not, and Host is the application's own affair
    """
    guard = guard or Guard.of(runtime.settings)
    router = APIRouter(route_class=guarded(guard), responses=RESPONSES, tags=["order flow"])
    changes, plays = RateLimit(*_CHANGES, runtime.clock), RateLimit(*_PLAYS, runtime.clock)

    def count(request: Request, limit: RateLimit) -> None:
        wait_s = limit.wait_s(request.client.host if request.client else None)
        if wait_s > 0:
            raise Denied(429, f"too many changes; again in {math.ceil(wait_s)} s", wait_s)

    async def found(symbol: str, timeframe: str | None) -> tuple[Market, Feed]:
        market = runtime.market(symbol)
        return market, await runtime.feed(market, timeframe)

    async def page(request: Request, symbol: str, timeframe: str | None, start: str | None, end: str | None, limit: int, cursor: str | None) -> Response:
        kind = chosen(request.headers.get("accept", ""))
        market, feed = await found(symbol, timeframe)
        wanted = past.Range.parse(market, market.now_ns or runtime.wall_ns(), start, end, limit, cursor)
        made = await past.bars(runtime, market, feed, wanted)
        head = {**_names(market, feed), "complete_since": None if market.covered_ns is None else iso(market.covered_ns)}
        url = None if made.next is None else str(request.url.include_query_params(cursor=made.next).replace(scheme="", netloc=""))
        return answer(kind, head, made, url)

    @router.get("/api/tastytrade/status", response_model=models.Status, summary="State of the feed", responses=_example("Status"))
    async def get_status() -> Response:
        return _json(runtime.status())

    @router.get("/api/delta", response_model=models.Deltas, summary="Delta and CVD of every contract, or of ?symbol=")
    async def get_deltas(symbol: Other = None, timeframe: TimeframeText = None) -> Response:
        markets = [runtime.market(symbol)] if symbol else list(runtime.markets.values()) or [runtime.market(runtime.symbols[0])]  # which says why not
        return _json({"contracts": [delta(market, await runtime.feed(market, timeframe)) for market in markets]})

    @router.get("/api/delta/{symbol}", response_model=models.Delta, summary="Delta and CVD now", responses=_example("Delta"))
    async def get_delta(symbol: Symbol, other: Other = None, timeframe: TimeframeText = None) -> Response:
        return _json(delta(*await found(other or symbol, timeframe)))

    @router.get(
        "/api/delta/{symbol}/history",
        response_model=models.History,
        summary="Closed bars with delta and CVD",
        responses=_example("History", _TABLE),
    )
    async def get_history(
        request: Request, symbol: Symbol, other: Other = None, timeframe: TimeframeText = None, start: Start = None, end: End = None,
        limit: Limit = 500, cursor: Cursor = None,
    ) -> Response:  # fmt: skip
        return await page(request, other or symbol, timeframe, start, end, limit, cursor)

    @router.get("/api/bars/{symbol}", response_model=models.History, summary="Closed bars with all indicators", responses=_example("History", _TABLE))
    async def get_bars(
        request: Request, symbol: Symbol, other: Other = None, timeframe: TimeframeText = None, start: Start = None, end: End = None,
        limit: Limit = 500, cursor: Cursor = None,
    ) -> Response:  # fmt: skip
        return await page(request, other or symbol, timeframe, start, end, limit, cursor)

    @router.get(
        "/api/delta/{symbol}/footprint",
        response_model=models.Footprints,
        summary="Volume by price of bars; without a range of the one that forms, or the last",
        responses=_example("Footprints"),
    )
    async def get_footprint(
        symbol: Symbol, other: Other = None, timeframe: TimeframeText = None, start: Start = None, end: End = None,
        limit: Limit = 100, cursor: Cursor = None,
    ) -> Response:  # fmt: skip
        market, feed = await found(other or symbol, timeframe)
        forming = feed.forming
        following = None
        if start is None and end is None and cursor is None:
            updates = [forming] if forming else [row.update for row in feed.last(1)]
        else:
            wanted = past.Range.parse(market, market.now_ns or runtime.wall_ns(), start, end, limit, cursor)
            updates = [row.update for row in feed.rows(wanted.start_ns, wanted.end_ns)]
            if forming is not None and wanted.start_ns <= forming.bar.start_ns < wanted.end_ns:
                updates.append(forming)
            if wanted.after is not None:
                updates = [each for each in updates if (each.bar.start_ns, each.bar.bar_no) > wanted.after]
            if len(updates) > wanted.limit:
                updates = updates[: wanted.limit]
                following = f"{updates[-1].bar.start_ns}-{updates[-1].bar.bar_no}"
        cells = [made for update in updates if (made := market.cells(feed, update)) is not None]
        return _json({**_names(market, feed), "tick_size": market.contract.tick_size, "bars": cells, "next": following})

    @router.post("/api/delta/{symbol}/reset", response_model=models.ResetDone, summary="CVD starts anew with the next bar (needs the token)")
    async def post_reset(request: Request, symbol: Symbol, other: Other = None) -> Response:
        count(request, changes)
        market = runtime.market(other or symbol)
        at_ns = runtime.reset(market)
        is_kept = getattr(runtime.provider, "journal", None) is not None
        return _json({"market": market.name, "symbol": market.contract.symbol, "time": iso(at_ns), "journalled": is_kept})

    @router.get("/api/tastytrade/playback", response_model=models.Playback, summary="How a recording is played", responses=_example("Playback"))
    async def get_playback() -> Response:
        found = playback.state(runtime)
        return _not_played(runtime) if found is None else _json(found)

    @router.post(
        "/api/tastytrade/playback",
        response_model=models.Playback,
        summary="Pause, resume, step, change the speed (needs the token)",
        responses=_example("Playback"),
    )
    async def post_playback(request: Request, wanted: models.PlaybackChange) -> Response:
        count(request, plays)
        if runtime.playback is None:
            return _not_played(runtime)
        if runtime.watcher.has_ended:
            return problem(409, "UsageError", "it is over: there is nothing more to be played")
        await playback.change(runtime, runtime.playback, wanted)
        return _json(playback.state(runtime))

    @router.get("/api/indicators", response_model=models.Indicators, summary="Indicators by name")
    async def get_indicators() -> Response:
        live = runtime.live_names
        described = [{**runtime.manager.describe(name), "live": name in live} for name in runtime.manager.list_indicators()]
        return _json({"indicators": described})

    @router.get("/api/indicators/{name}/{symbol}", response_model=models.Values, summary="An indicator over the latest bars", responses=_example("Values"))
    async def get_values(
        name: Annotated[str, Path(max_length=60, examples=["cvd"])],
        symbol: Symbol,
        other: Other = None,
        timeframe: TimeframeText = None,
        limit: Limit = 500,
        params: Annotated[str | None, Query(description='Its parameters as a JSON object: {"timeperiod": 14}', max_length=500)] = None,
    ) -> Response:
        market, feed = await found(other or symbol, timeframe)
        if name not in runtime.manager:
            return _unknown_indicator(runtime, name)
        frame = past.frame_of(feed, past.MOST_ROWS)
        indicator = runtime.manager.create(name, **_params(params))
        if indicator.input != "bars":
            raise UsageError(f"{name} reads trades, and its rows are not bars; /api/delta/{{symbol}}/footprint has volume by price")
        values = (await asyncio.to_thread(indicator.run, frame)).iloc[-limit:] if len(frame) else frame[[]]
        columns = {str(column): [_cell(value) for value in values[column].tolist()] for column in values}
        times = [iso(at_ns) for at_ns in pd.DatetimeIndex(values.index).as_unit("ns").asi8.tolist()]
        return _json({**_names(market, feed), "name": name, "time": times, "columns": columns})

    @router.websocket("/api/tastytrade/ws")
    async def websocket(websocket: WebSocket) -> None:
        await serve(websocket, runtime, guard)

    return router


def _names(market: Market, feed: Feed) -> dict[str, str]:
    return {"market": market.name, "symbol": market.contract.symbol, "timeframe": str(feed.timeframe)}


def _json(content: Any) -> Response:
    return Response(encode(content), media_type="application/json", headers={"Cache-Control": "no-store"})


def _example(name: str, more: dict[int, dict[str, Any]] | None = None) -> dict[int | str, dict[str, Any]]:
    found: dict[str, Any] = {"content": {"application/json": {"example": models.EXAMPLES[name]}}}
    if more is not None:
        found = {**more[200], "content": found["content"] | more[200]["content"]}
    return {200: found}


def _params(text: str | None) -> dict[str, Any]:
    try:
        found = orjson.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError('params is no JSON object such as {"timeperiod": 14}')
    return found


def _cell(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _not_played(runtime: Runtime) -> Response:
    return problem(404, "NotSupported", f"provider '{runtime.provider.name}' is live: it can be neither paused nor stepped")


def _unknown_indicator(runtime: Runtime, name: str) -> Response:
    return problem(404, "UsageError", f"no indicator of that name; known are {', '.join(runtime.manager.list_indicators())}")
