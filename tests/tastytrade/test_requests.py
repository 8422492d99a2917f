"""A request for a series: what belongs to its snapshot, and what becomes of one that nobody waits for any more."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import Subscription as Item
from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import encode_compact, index_of
from tastytrade_provider.dxlink.turns import ChannelState
from tastytrade_provider.errors import FeedError, RequestTimeout
from tastytrade_provider.tastytrade import requests
from tastytrade_provider.tastytrade.mapping import TIME_AND_SALE
from tastytrade_provider.tastytrade.requests import Series, SnapshotRequest
from tastytrade_provider.tastytrade.stream import Stream

FIELDS = ("eventSymbol", "eventFlags", "index", "time", "price", "size", "type")
SNIP, END, BEGIN = 16, 8, 4


def a_request(kind: type[SnapshotRequest] = SnapshotRequest) -> Any:
    loop = asyncio.get_running_loop()
    stream = SimpleNamespace(protocol=Connection("client"), flush=lambda: None, closed=loop.create_future())
    item = Item(TIME_AND_SALE, "/ESZ26:XCME", from_time_ms=0)
    return kind(cast(Stream, stream), TIME_AND_SALE, FIELDS, item, "HISTORY", lambda *_: None)


def a_message(request: SnapshotRequest, *rows: tuple[int, int, str]) -> bytes:
    """Rows of (time in ms, flags, type)."""
    values: list[Any] = [
        dict(zip(FIELDS, ("/ESZ26:XCME", flags, index_of(time_ms, 0), time_ms, 6000.0, 1.0, kind), strict=True)) for time_ms, flags, kind in rows
    ]
    return feed_data(request.channel, encode_compact(TIME_AND_SALE, FIELDS, values)).raw


async def test_a_correction_that_comes_behind_a_cut_snapshot_does_not_make_it_look_longer() -> None:
    request = a_request()
    request.take([a_message(request, (5000, BEGIN, "NEW"), (4000, SNIP, "NEW")), a_message(request, (1000, 0, "CORRECTION"))])
    snapshot = await request.result()
    assert (snapshot.ended_by, snapshot.first_time_ms, len(snapshot.rows())) == ("snip", 4000, 2)


async def test_a_series_keeps_its_snapshot_until_it_was_read_and_then_the_newest_rows_and_misses_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_KEPT", 10)
    series = a_request(Series)
    series.take([a_message(series, *((1000 - i, BEGIN if i == 0 else END if i == 99 else 0, "NEW") for i in range(100)))])
    assert len((await series.result()).rows()) == 100
    seen, most = [], 0
    for number in range(200):
        series.take([a_message(series, (1001 + number, 0, "NEW"))])
        await series.news(60.0)
        seen += [row["time"] for row in series.snapshot.take_updates()]
        most = max(most, series.snapshot.count)
    series.close()
    assert seen == [1001 + number for number in range(200)]
    assert most <= 20


async def test_a_channel_that_the_server_closed_is_not_closed_again() -> None:
    request = a_request()
    request._stream.protocol.channels[request.channel].state = ChannelState.CLOSED
    request.fail(RequestTimeout("the server closed it"))
    with pytest.raises(RequestTimeout, match="the server closed it"):
        await request.result()


async def test_a_refusal_that_comes_when_nobody_waits_any_more_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    request = a_request()
    waiting = asyncio.create_task(request.result())
    await asyncio.sleep(0)
    request.fail(FeedError("too many"))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    del request, waiting
    gc.collect()
    assert not caplog.records
