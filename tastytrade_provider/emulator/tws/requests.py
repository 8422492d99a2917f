"""Requests for prices: history and subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tastytrade_provider.emulator.tws import history
from tastytrade_provider.emulator.tws.bars import size_named
from tastytrade_provider.emulator.tws.hours import read_time, time_text
from tastytrade_provider.emulator.tws.listing import Listed, Query
from tastytrade_provider.emulator.tws.refusal import CANCELLED, NO_PERMISSIONS, Refused
from tastytrade_provider.emulator.tws.streams import TICK_TYPES, Depth, KeptBars, MarketData, RealTimeBars, TickByTick

if TYPE_CHECKING:
    from tastytrade_provider.emulator.tws.session import Session

_MINUTE_NS: Final = 60_000_000_000
_ELSEWHERE: Final = "Trading TWS session is connected from a different IP address"


def _one(session: Session, fields: list[str], refusal: int) -> Listed:
    """The one contract described, if data of it may be had; `refusal` is the error where not."""
    gateway = session.gateway
    listed = gateway.listing.one(Query.of(fields), gateway.market_ns)
    if gateway.is_competing:
        raise Refused(162, _ELSEWHERE) if refusal == 162 else Refused(10197)
    if listed.root in gateway.knobs.not_entitled:
        raise Refused(refusal, NO_PERMISSIONS.format(listed.kind) if refusal == 162 else listed.kind)
    return listed


def _when(session: Session, req_id: int, written: str) -> int | None:
    """A time as it was written; None where it is empty."""
    if not written:
        return None
    time_ns, was_supposed = read_time(written, session.gateway.knobs.time_zone)
    if was_supposed:
        session.error(req_id, 2174)
    return time_ns


def historical_data(session: Session, req_id: int, fields: list[str]) -> None:
    """20: bars, once or kept up to date; SCHEDULE answers with sessions."""
    _, end, bar_size, duration, use_rth, what, date_format, keep = fields[12:20]
    gateway, knobs = session.gateway, session.gateway.knobs
    session.check_free(req_id)
    listed = _one(session, fields, 162)
    end_ns = _when(session, req_id, end)
    if end_ns is not None and listed.is_continuous:
        raise Refused(10339)
    if end_ns is not None and keep == "1":
        raise Refused(321, "Historical data requests with keepUpToDate take no end date")
    now_ns = gateway.market_ns + 1
    query = history.BarQuery(listed, bar_size, duration, now_ns if end_ns is None else end_ns, use_rth == "1", what.upper(), int(date_format or 1))
    if knobs.pacing and 0 < size_named(bar_size).ns < _MINUTE_NS:
        session.pacing.check(session.now_s, f"{listed.con_id} {what}", "\0".join(fields))
    if query.what == "SCHEDULE":
        session.say(106, req_id, *history.schedule(query))
        return
    view = gateway.view(listed.contract)
    bars, maker = history.bars(view, query)
    zone = knobs.time_zone
    rows = [field for bar in bars for field in history.bar_fields(bar, query, zone)]
    session.say(17, req_id, time_text(query.start_ns, zone), time_text(query.end_ns, zone), len(bars), *rows)
    if keep == "1":
        session.open(KeptBars(req_id, "HistoricalData", listed, view, session.say_live, query, maker, zone))


def cancel_historical_data(session: Session, req_id: int, _: list[str]) -> None:
    """25."""
    if not session.drop(req_id, "HistoricalData"):
        raise Refused(366, req_id)
    session.error(req_id, 162, CANCELLED.format(req_id))


def head_timestamp(session: Session, req_id: int, fields: list[str]) -> None:
    """87."""
    _, use_rth, what, date_format = fields[12:16]
    listed = _one(session, fields, 162)
    session.say(88, req_id, history.head(session.gateway.view(listed.contract), listed, what.upper(), use_rth == "1", int(date_format or 1)))


def historical_ticks(session: Session, req_id: int, fields: list[str]) -> None:
    """96; there is one tape for all hours, useRth changes nothing."""
    _, start, end, number, what = fields[12:17]
    listed = _one(session, fields, 162)
    start_ns, end_ns = (_when(session, req_id, written) for written in (start, end))
    if session.gateway.knobs.pacing:
        session.pacing.check(session.now_s, f"{listed.con_id} {what}", "\0".join(fields))
    message_id, rows = history.ticks(session.gateway.view(listed.contract), what.upper(), start_ns, end_ns, int(number))
    session.say(message_id, req_id, len(rows), *(field for row in rows for field in row), True)


def tick_by_tick(session: Session, req_id: int, fields: list[str]) -> None:
    """97."""
    kind, _, ignore_size = fields[12:15]
    session.check_free(req_id)
    if kind not in TICK_TYPES:
        raise Refused(321, f"Tick-by-tick type {kind!r} is invalid; expected one of {', '.join(TICK_TYPES)}")
    listed = _one(session, fields, 10189)
    if session.count(*TICK_TYPES) >= session.gateway.knobs.tick_by_tick_lines:
        raise Refused(10190)
    session.open(TickByTick(req_id, kind, listed, session.gateway.view(listed.contract), session.say_live, ignore_size == "1"))


def market_data(session: Session, req_id: int, fields: list[str]) -> None:
    """1: level 1, as a stream or once."""
    _, generic, snapshot, regulatory = fields[12:16]
    session.check_free(req_id, 102)
    listed = _one(session, fields, 354)
    if session.count("MktData") >= session.gateway.knobs.market_data_lines:
        raise Refused(101)
    ticks = frozenset(part.strip().split(":")[0] for part in generic.split(",") if part)
    stream = MarketData(req_id, listed, session.gateway.view(listed.contract), session.say_live, ticks)
    if "1" in (snapshot, regulatory):
        stream.begin()
        session.say(57, 1, req_id)
    else:
        session.open(stream)


def real_time_bars(session: Session, req_id: int, fields: list[str]) -> None:
    """50."""
    size, what, use_rth = fields[12:15]
    session.check_free(req_id)
    if size != "5":
        raise Refused(321, f"Real-time bar size {size} is invalid; expected 5")
    history.check_what(what.upper())
    listed = _one(session, fields, 420)
    gateway = session.gateway
    query = history.BarQuery(listed, "5 secs", "10 S", gateway.market_ns + 1, use_rth == "1", what.upper(), 2)
    view = gateway.view(listed.contract)
    maker = history.resumed(view, query)
    session.open(RealTimeBars(req_id, "RealTimeBars", listed, view, session.say_live, query, maker))


def depth(session: Session, req_id: int, fields: list[str]) -> None:
    """10."""
    rows, is_smart = fields[12:14]
    session.check_free(req_id)
    listed = _one(session, fields, 354)
    knobs = session.gateway.knobs
    if session.count("MktDepth") >= knobs.depth_lines:
        raise Refused(309, knobs.depth_lines)
    session.open(Depth(req_id, "MktDepth", listed, session.gateway.view(listed.contract), session.say_live, max(int(rows or 5), 1), is_smart == "1"))


def cancel(*kinds: str) -> Callable[[Session, int, list[str]], None]:
    """2, 11, 51, 98: end a subscription of one of these kinds."""

    def cancel_(session: Session, req_id: int, _: list[str]) -> None:
        if not session.drop(req_id, *kinds):
            raise Refused(300, req_id)

    return cancel_
