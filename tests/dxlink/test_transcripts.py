"""The example session of dxLink asyncapi 1.0.2, replayed against each end: what one end must say, the other end's lines given."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import FeedData, Subscription, parse
from tastytrade_provider.dxlink.rows import decode, encode_full
from tastytrade_provider.dxlink.turns import ChannelState, State

QUOTE = ["eventSymbol", "eventType", "bidPrice", "askPrice", "bidSize", "askSize"]
CANDLE = ["eventSymbol", "eventType", "eventFlags", "open", "close"]
SESSION: list[tuple[str, str]] = [
    ("client", '{"type":"SETUP","channel":0,"keepaliveTimeout":60,"acceptKeepaliveTimeout":60,"version":"1.0.0"}'),
    ("server", '{"type":"SETUP","channel":0,"keepaliveTimeout":60,"acceptKeepaliveTimeout":60,"version":"1.0.0"}'),
    ("server", '{"type":"AUTH_STATE","channel":0,"state":"UNAUTHORIZED"}'),
    ("client", '{"type":"AUTH","channel":0,"token":"token#123"}'),
    ("server", '{"type":"AUTH_STATE","channel":0,"state":"AUTHORIZED"}'),
    ("client", '{"type":"CHANNEL_REQUEST","channel":1,"service":"FEED","parameters":{"contract":"AUTO"}}'),
    ("server", '{"type":"CHANNEL_OPENED","channel":1,"service":"FEED","parameters":{"contract":"AUTO"}}'),
    ("client", '{"type":"FEED_SUBSCRIPTION","channel":1,"add":[{"symbol":"AAPL","type":"Quote"}]}'),
    ("server", json.dumps({"type": "FEED_CONFIG", "channel": 1, "eventFields": {"Quote": QUOTE}})),
    (
        "server",
        '{"type":"FEED_DATA","channel":1,"data":[{"eventSymbol":"AAPL","eventType":"Quote",'
        '"bidPrice":123.45,"askPrice":123.46,"bidSize":100,"askSize":200}]}',
    ),
    ("client", '{"type":"CHANNEL_CANCEL","channel":1}'),
    ("server", '{"type":"CHANNEL_CLOSED","channel":1}'),
    ("client", '{"type":"CHANNEL_REQUEST","channel":3,"service":"FEED","parameters":{"contract":"AUTO"}}'),
    ("server", '{"type":"CHANNEL_OPENED","channel":3,"service":"FEED","parameters":{"contract":"AUTO"}}'),
    ("client", '{"type":"FEED_SUBSCRIPTION","channel":3,"add":[{"symbol":"AAPL{=d}","type":"Candle","fromTime":1666600000000}]}'),
    ("server", json.dumps({"type": "FEED_CONFIG", "channel": 3, "eventFields": {"Candle": CANDLE}})),
    (
        "server",
        '{"type":"FEED_DATA","channel":3,"data":[{"eventSymbol":"AAPL{=d}","eventType":"Candle",'
        '"eventFlags":0,"open":123.45,"close":123.46}]}',
    ),
    ("client", '{"type":"CHANNEL_CANCEL","channel":3}'),
    ("server", '{"type":"CHANNEL_CLOSED","channel":3}'),
]  # fmt: skip


def _subscription(item: dict[str, object]) -> Subscription:
    return Subscription(str(item["type"]), str(item["symbol"]), item.get("fromTime"))  # type: ignore[arg-type]


def _send_rows(server: Connection, line: dict[str, object]) -> None:
    rows = line["data"]
    assert isinstance(rows, list)
    fields = [name for name in rows[0] if name != "eventType"]
    server.feed_data(line["channel"], encode_full(rows[0]["eventType"], fields, rows))  # type: ignore[arg-type]


# How an application makes its end say a line; a line that is not here the connection must say by itself.
COMMANDS: dict[tuple[str, str], Callable[[Connection, dict[str, object]], object]] = {
    ("client", "SETUP"): lambda client, line: client.setup(),
    ("client", "AUTH"): lambda client, line: client.authenticate(str(line["token"])),
    ("client", "CHANNEL_REQUEST"): lambda client, line: client.open_channel(),
    ("client", "FEED_SUBSCRIPTION"): lambda client, line: client.subscribe(line["channel"], map(_subscription, line["add"])),  # type: ignore[arg-type, call-overload]
    ("client", "CHANNEL_CANCEL"): lambda client, line: client.cancel(line["channel"]),  # type: ignore[arg-type]
    ("server", "CHANNEL_OPENED"): lambda server, line: server.channel_opened(line["channel"]),  # type: ignore[arg-type]
    ("server", "FEED_CONFIG"): lambda server, line: server.feed_config(line["channel"], event_fields=line["eventFields"]),  # type: ignore[arg-type]
    ("server", "FEED_DATA"): _send_rows,
}  # fmt: skip


@pytest.mark.parametrize("role", ["client", "server"])
def test_the_example_session_of_the_specification_is_spoken_line_by_line(role: str) -> None:
    end = Connection(role, version="1.0.0")  # type: ignore[arg-type]
    said: list[dict[str, object]] = []
    heard: list[object] = []
    for speaker, text in SESSION:
        line = json.loads(text)
        if speaker != role:
            heard += end.receive(text)
            continue
        if line.get("state") == "AUTHORIZED":
            end.auth_state("AUTHORIZED")
        elif command := COMMANDS.get((role, line["type"])):
            command(end, line)
        said += map(json.loads, end.data_to_send())
        spoken = said.pop(0)
        for key in ("type", "channel", "state", "token", "service", "parameters", "version", "eventFields"):
            assert spoken.get(key) == line.get(key)
        assert [sorted(item.items()) for item in spoken.get("add", ())] == [sorted(item.items()) for item in line.get("add", ())]  # type: ignore[attr-defined]
        if role == "server" and line["type"] == "FEED_DATA":
            assert sorted(spoken["data"][0].items()) == sorted(line["data"][0].items())  # type: ignore[index]
    assert not said
    assert not end.data_to_send()
    assert heard == [parse(text) for speaker, text in SESSION if speaker != role]
    assert end.state is State.OPEN
    assert [channel.state for channel in end.channels.values()] == [ChannelState.CLOSED, ChannelState.CLOSED]
    if role == "client":
        assert end.channels[1].fields("Quote") == tuple(QUOTE)
        data = [event for event in heard if isinstance(event, FeedData)]
        assert decode(data[1], end.channels[3].fields)[0][1][0]["close"] == 123.46
