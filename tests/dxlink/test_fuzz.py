"""Whatever the peer sends, in whatever state: nothing but ProtocolViolation leaves `receive`, and a token is never in it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import FeedData, Subscription, Unknown, encode, parse
from tastytrade_provider.dxlink.rows import column_number, decode
from tastytrade_provider.dxlink.turns import State
from tastytrade_provider.errors import ProtocolViolation

a_run = settings(derandomize=False, print_blob=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SECRET = "s3cret"
VALID = [
    {"type": "SETUP", "channel": 0, "version": "1", "keepaliveTimeout": 60, "acceptKeepaliveTimeout": 60},
    {"type": "AUTH", "channel": 0, "token": SECRET},
    {"type": "AUTH_STATE", "channel": 0, "state": "UNAUTHORIZED"},
    {"type": "AUTH_STATE", "channel": 0, "state": "AUTHORIZED"},
    {"type": "KEEPALIVE", "channel": 0},
    {"type": "ERROR", "channel": 0, "error": "UNAUTHORIZED", "message": "m"},
    {"type": "CHANNEL_REQUEST", "channel": 1, "service": "FEED", "parameters": {"contract": "AUTO"}},
    {"type": "CHANNEL_OPENED", "channel": 1, "service": "FEED", "parameters": {"contract": "AUTO"}},
    {"type": "CHANNEL_CANCEL", "channel": 1},
    {"type": "CHANNEL_CLOSED", "channel": 1},
    {"type": "FEED_SETUP", "channel": 1, "acceptAggregationPeriod": 0, "acceptDataFormat": "COMPACT", "acceptEventFields": {"Q": ["a"]}},
    {"type": "FEED_CONFIG", "channel": 1, "aggregationPeriod": 0, "dataFormat": "COMPACT", "eventFields": {"Quote": ["a", "b"]}},
    {"type": "FEED_SUBSCRIPTION", "channel": 1, "add": [{"type": "Quote", "symbol": "A", "fromTime": 1}], "remove": [], "reset": True},
    {"type": "FEED_DATA", "channel": 1, "data": ["Quote", [1, 2, 3, "NaN"]]},
    {"type": "FEED_DATA", "channel": 1, "data": [{"eventType": "Quote", "a": 1}]},
]  # fmt: skip

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
any_json = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12)
keys = st.sampled_from(sorted({key for message in VALID for key in message}))
valid = st.sampled_from(VALID)
# A valid message with some of its values replaced, dropped or taken from another message, its channel perhaps another one.
altered = st.builds(
    lambda message, changes, dropped, channel: {k: v for k, v in {**message, "channel": channel, **changes}.items() if k not in dropped},
    valid,
    st.dictionaries(keys, any_json | valid.flatmap(lambda message: st.sampled_from(list(message.values()))), max_size=2),
    st.sets(keys, max_size=1),
    st.sampled_from([0, 1, 2, 3]),
)
as_text = st.builds(lambda value, compact: json.dumps(value, separators=(",", ":") if compact else None).encode(), altered | valid, st.booleans())
torn = st.builds(
    lambda raw, at, length, noise: raw[: at % len(raw)] + noise + raw[at % len(raw) + length :],
    as_text, st.integers(0, 300), st.integers(0, 5), st.binary(max_size=3),
)  # fmt: skip
payloads = st.one_of(st.binary(max_size=60), st.text(max_size=60), any_json.map(json.dumps), as_text, as_text, as_text, torn)


def _client(depth: int) -> Connection:
    client = Connection("client")
    steps: list[Callable[[], object]] = [
        client.setup,
        lambda: client.receive(json.dumps(VALID[0])),
        lambda: client.receive(json.dumps(VALID[2])),
        lambda: client.authenticate("t"),
        lambda: client.receive(json.dumps(VALID[3])),
        lambda: client.open_channel(),
        lambda: client.subscribe(1, [Subscription("Quote", "A")]),
        lambda: client.receive(json.dumps(VALID[7])),
        lambda: client.cancel(1),
        client.close,
    ]
    for step in steps[:depth]:
        step()
    return client


def _server(depth: int) -> Connection:
    server = Connection("server")
    steps: list[Callable[[], object]] = [
        lambda: server.receive(json.dumps(VALID[0])),
        lambda: server.receive(json.dumps(VALID[1])),
        lambda: server.auth_state("AUTHORIZED"),
        lambda: server.receive(json.dumps(VALID[6])),
        lambda: server.channel_opened(1),
        lambda: server.receive(json.dumps(VALID[8])),
        server.close,
    ]
    for step in steps[:depth]:
        step()
    return server


ENDS = [(_client, depth) for depth in range(11)] + [(_server, depth) for depth in range(8)]


def _decode(connection: Connection, message: FeedData) -> None:
    channel = connection.channels[message.channel]
    for _, rows in decode(message, channel.fields):
        for row in rows:
            for value in row.values():
                column_number(value)


@pytest.mark.property
@pytest.mark.parametrize(("make", "depth"), ENDS)
@a_run
@given(data=st.lists(payloads, min_size=1, max_size=6))
def test_only_a_protocol_violation_escapes_whatever_arrives(make: Callable[[int], Connection], depth: int, data: list[bytes | str]) -> None:
    connection = make(depth)
    connection.data_to_send()
    for step, payload in enumerate(data):
        state = connection.state
        try:
            for event in connection.receive(payload):
                if isinstance(event, FeedData):
                    _decode(connection, event)
        except ProtocolViolation:
            assert connection.state is state
        connection.advance(float(step))
        deadline = connection.next_deadline()
        assert deadline is None or deadline > float(step)
    for payload in connection.data_to_send():
        parse(payload)
        assert len(payload) <= 8192
    if connection.state is State.CLOSED:
        assert connection.next_deadline() is None


@a_run
@given(payload=payloads)
def test_what_is_read_is_written_and_read_again_the_same(payload: bytes | str) -> None:
    try:
        message = parse(payload)
    except ProtocolViolation:
        return
    assert parse(encode(message)) == message
    if not isinstance(message, FeedData | Unknown):
        assert encode(message).startswith(b'{"type":"')
        assert list(json.loads(encode(message)))[:2] == ["type", "channel"]


@a_run
@given(cut=st.integers(1, 60), changes=st.dictionaries(st.sampled_from(["type", "channel", "extra"]), any_json, max_size=2))
def test_the_token_of_a_damaged_auth_shows_nowhere(cut: int, changes: dict[str, object]) -> None:
    whole = json.dumps({"type": "AUTH", "channel": 0, "token": SECRET, **changes})
    for text in (whole, whole[:-cut], whole[cut:] if cut < whole.index("token") else whole):
        try:
            shown = repr(parse(text))
        except ProtocolViolation as violation:
            shown = repr(violation) + repr(violation.__cause__)
        assert SECRET not in shown
