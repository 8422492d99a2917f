from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.events import Ignored, Refused, TimedOut, Violation
from tastytrade_provider.dxlink.messages import (
    Auth,
    ChannelCancel,
    ChannelClosed,
    DataFormat,
    Error,
    ErrorKind,
    FeedData,
    FeedSetup,
    FeedSubscription,
    KeepAlive,
    Subscription,
    parse,
)
from tastytrade_provider.dxlink.rows import decode, encode_compact, encode_full, join
from tastytrade_provider.dxlink.turns import ChannelState, State
from tastytrade_provider.errors import ProtocolViolation, UsageError

AAPL, MSFT = Subscription("Quote", "AAPL"), Subscription("Quote", "MSFT")
UNAUTHORIZED = '{"type":"AUTH_STATE","channel":0,"state":"UNAUTHORIZED"}'
AUTHORIZED = '{"type":"AUTH_STATE","channel":0,"state":"AUTHORIZED"}'
SERVER_SETUP = '{"type":"SETUP","channel":0,"version":"1.0-1.2.3-20240912-171526","keepaliveTimeout":60,"acceptKeepaliveTimeout":60}'
OPENED = '{"type":"CHANNEL_OPENED","channel":1,"service":"FEED","parameters":{"contract":"AUTO"}}'


def sent(connection: Connection) -> list[Any]:
    return [json.loads(payload) for payload in connection.data_to_send()]


def types(connection: Connection) -> list[str]:
    return [message["type"] for message in sent(connection)]


def a_client(*received: str, token: str | None = "t", **options: Any) -> Connection:
    client = Connection("client", **options)
    client.setup()
    if token:
        client.authenticate(token)
    for payload in received:
        client.receive(payload)
    return client


# --- the handshake


def test_client_and_server_reach_an_open_connection_by_themselves_but_for_the_verdict(a_pair: Callable[..., Any]) -> None:
    pair = a_pair()
    pair.client.setup()
    pair.client.authenticate("token#123")
    pair.run()
    assert [(who, json.loads(text)["type"]) for who, text in pair.sent] == [
        ("client", "SETUP"),
        ("server", "SETUP"),
        ("server", "AUTH_STATE"),
        ("client", "AUTH"),
    ]
    assert pair.at_server[-1] == Auth("token#123")
    assert pair.client.state is pair.server.state is State.AUTHENTICATING
    pair.server.auth_state("AUTHORIZED", user_id="u")
    pair.run()
    assert pair.client.state is pair.server.state is State.OPEN


def test_a_server_without_authentication_opens_at_once_and_the_token_is_never_sent(a_pair: Callable[..., Any]) -> None:
    pair = a_pair(auth_required=False)
    pair.client.setup()
    pair.client.authenticate("token#123")
    pair.run()
    assert pair.client.state is pair.server.state is State.OPEN
    assert not any(b"token#123" in payload for _, payload in pair.sent)


def test_auth_is_not_sent_before_the_server_says_unauthorized() -> None:
    client = a_client(SERVER_SETUP)
    assert types(client) == ["SETUP"]
    client.receive(UNAUTHORIZED)
    assert types(client) == ["AUTH"]


def test_a_token_that_comes_late_is_sent_at_once() -> None:
    client = a_client(SERVER_SETUP, UNAUTHORIZED, token=None)
    assert types(client) == ["SETUP"]
    client.authenticate("t")
    assert types(client) == ["AUTH"]


@pytest.mark.parametrize("refusal", [UNAUTHORIZED, '{"type":"ERROR","channel":0,"error":"UNAUTHORIZED","message":"Authentication failed"}'])
def test_a_refusal_is_told_once_and_answered_with_nothing(refusal: str) -> None:
    client = a_client(SERVER_SETUP, UNAUTHORIZED)
    client.data_to_send()
    told = [event for _ in range(2000) for event in client.receive(refusal) if isinstance(event, Refused)]
    assert len(told) == 1
    assert client.data_to_send() == []
    assert client.state is State.UNAUTHORIZED
    client.authenticate("another")
    assert types(client) == ["AUTH"]
    assert any(isinstance(event, Refused) for event in client.receive(refusal))


def test_an_expired_token_is_told_and_the_data_goes_on(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.server.error(ErrorKind.UNAUTHORIZED, "Your authentication token has expired, reauthentication is required")
    open_pair.server.feed_data(channel, b"[]")
    open_pair.run()
    assert [type(event) for event in open_pair.at_client] == [Error, Refused, FeedData]
    assert open_pair.client.state is State.OPEN


def test_a_withdrawn_authorisation_holds_changes_back_until_it_is_given_again(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.client.subscribe(channel, [AAPL])
    open_pair.run()
    open_pair.server.auth_state("UNAUTHORIZED")
    open_pair.run()
    open_pair.client.subscribe(channel, [MSFT])
    open_pair.forget()
    open_pair.client.authenticate("fresh")
    open_pair.run()
    assert [json.loads(text)["type"] for _, text in open_pair.sent] == ["AUTH"]
    open_pair.server.auth_state("AUTHORIZED")
    open_pair.run()
    assert open_pair.at_server[-1] == FeedSubscription(channel, add=(AAPL, MSFT), reset=True)


@pytest.mark.parametrize("kind", [kind.value for kind in ErrorKind] + ["SOMETHING_NEW"])
def test_an_error_is_information_and_ends_nothing(open_pair: Any, kind: str) -> None:
    open_pair.server.error(kind, "text")
    open_pair.run()
    assert open_pair.at_client[0] == Error(kind, "text")
    assert open_pair.client.state is State.OPEN
    assert not open_pair.client.close_expected


# --- channels and subscriptions


def test_channels_have_odd_ascending_numbers_and_wait_for_the_connection() -> None:
    client = a_client()
    assert [client.open_channel(contract=contract) for contract in ("TICKER", "STREAM", "HISTORY")] == [1, 3, 5]
    assert types(client) == ["SETUP"]
    for payload in (SERVER_SETUP, UNAUTHORIZED, AUTHORIZED):
        client.receive(payload)
    assert [(line["type"], line["channel"]) for line in sent(client)] == [("AUTH", 0), *(("CHANNEL_REQUEST", n) for n in (1, 3, 5))]


def test_what_is_asked_of_a_channel_not_open_yet_is_sent_when_it_opens() -> None:
    client = a_client(SERVER_SETUP, UNAUTHORIZED, AUTHORIZED)
    channel = client.open_channel()
    client.feed_setup(channel, 0, event_fields={"Quote": ["eventSymbol", "bidPrice"]})
    client.subscribe(channel, [AAPL, MSFT])
    client.unsubscribe(channel, [AAPL])
    client.data_to_send()
    client.receive(OPENED)
    assert sent(client) == [
        {
            "type": "FEED_SETUP",
            "channel": 1,
            "acceptAggregationPeriod": 0,
            "acceptDataFormat": "COMPACT",
            "acceptEventFields": {"Quote": ["eventSymbol", "bidPrice"]},
        },
        {"type": "FEED_SUBSCRIPTION", "channel": 1, "add": [{"type": "Quote", "symbol": "MSFT"}]},
    ]


def test_unsubscribing_and_subscribing_again_reaches_the_server_in_that_order(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    series = Subscription("Candle", "AAPL{=m}", 1666600000000)
    later = Subscription("Candle", "AAPL{=m}", 1666700000000)
    open_pair.client.subscribe(channel, [series])
    open_pair.client.unsubscribe(channel, [Subscription("Candle", "AAPL{=m}")])
    open_pair.client.subscribe(channel, [later])
    open_pair.run()
    assert open_pair.at_server == [
        FeedSubscription(channel, add=(series,)),
        FeedSubscription(channel, remove=(series,)),  # with the time, which the specification calls mandatory
        FeedSubscription(channel, add=(later,)),
    ]
    assert list(open_pair.server.channels[channel].subscriptions.values()) == [later]


def test_a_later_time_for_the_same_symbol_replaces_the_subscription(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    for from_time_ms in (1, 2):
        open_pair.client.subscribe(channel, [Subscription("Candle", "AAPL{=m}", from_time_ms)])
    open_pair.run()
    assert list(open_pair.server.channels[channel].subscriptions.values()) == [Subscription("Candle", "AAPL{=m}", 2)]


def test_a_server_processes_reset_then_remove_then_add_of_one_message(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.client.subscribe(channel, [AAPL, MSFT])
    open_pair.run()
    item = {"type": "Quote", "symbol": "MSFT"}
    change = {"type": "FEED_SUBSCRIPTION", "channel": channel, "add": [item], "remove": [item], "reset": True}
    open_pair.server.receive(json.dumps(change))
    assert list(open_pair.server.channels[channel].subscriptions.values()) == [MSFT]


def test_a_reset_leaves_only_what_it_brings(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.client.subscribe(channel, [AAPL])
    open_pair.client.reset(channel, [MSFT])
    open_pair.run()
    assert list(open_pair.server.channels[channel].subscriptions.values()) == [MSFT]
    open_pair.client.reset(channel)
    open_pair.run()
    assert open_pair.server.channels[channel].subscriptions == open_pair.client.channels[channel].subscriptions == {}


@pytest.mark.parametrize(("symbol_length", "largest_chunk"), [(5, 100), (200, 40)])
def test_a_long_list_is_cut_by_count_and_by_size_and_loses_nothing(open_pair: Any, symbol_length: int, largest_chunk: int) -> None:
    channel = open_pair.open_channel()
    items = [Subscription("Quote", f"{n:0{symbol_length}}") for n in range(1001)]
    open_pair.client.reset(channel, items)
    open_pair.run()
    chunks = open_pair.at_server
    assert [item for chunk in chunks for item in chunk.add] == items
    assert [chunk.reset for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
    assert max(len(chunk.add) for chunk in chunks) <= largest_chunk
    assert max(len(payload) for _, payload in open_pair.sent) <= 8192
    assert list(open_pair.server.channels[channel].subscriptions.values()) == items


def test_what_arrives_on_a_cancelled_channel_is_ignored_and_counted(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.client.cancel(channel)
    open_pair.server.feed_data(channel, b"[]")
    in_flight = open_pair.server.data_to_send()
    assert [type(event) for payload in in_flight for event in open_pair.client.receive(payload)] == [Ignored]
    open_pair.run()
    assert open_pair.at_server == [ChannelCancel(channel)]
    assert open_pair.at_client == [ChannelClosed(channel)]
    assert open_pair.client.counts["crossed"] == 1


def test_a_channel_the_server_closes_is_reported_and_can_not_be_used_again(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.server.channel_closed(channel)
    open_pair.run()
    assert open_pair.at_client == [ChannelClosed(channel)]
    with pytest.raises(UsageError, match="channel 1 is CLOSED"):
        open_pair.client.subscribe(channel, [AAPL])
    assert open_pair.client.open_channel() == 3


def test_a_server_takes_a_channel_requested_again(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.server.receive('{"type":"CHANNEL_REQUEST","channel":1,"service":"FEED","parameters":{"contract":"STREAM"}}')
    assert open_pair.server.channels[channel].state is ChannelState.REQUESTED
    assert open_pair.server.channels[channel].contract == "STREAM"


def test_the_contract_is_the_one_the_server_granted(open_pair: Any) -> None:
    channel = open_pair.client.open_channel(contract="AUTO")
    open_pair.run()
    open_pair.server.channel_opened(channel, {"contract": "HISTORY"})
    open_pair.run()
    assert open_pair.client.channels[channel].contract == "HISTORY"


# --- columns


def test_the_columns_asked_count_until_a_config_names_the_type_and_then_the_config_counts(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.client.feed_setup(channel, 0, event_fields={"Candle": ["time", "bidVolume", "askVolume"], "Quote": ["bidPrice"]})
    open_pair.run()
    columns = open_pair.client.channels[channel].fields
    assert columns("Candle") == ("time", "bidVolume", "askVolume")
    open_pair.server.feed_config(channel, 0, DataFormat.COMPACT, {"Candle": ["askVolume", "bidVolume"]})
    open_pair.server.feed_data(channel, b'["Candle",[60,40]]')
    open_pair.run()
    assert columns("Candle") == ("askVolume", "bidVolume")
    assert columns("Quote") == ("bidPrice",)
    assert decode(open_pair.at_client[-1], columns) == [("Candle", [{"askVolume": 60, "bidVolume": 40}])]


def test_a_second_config_changes_only_the_types_it_names(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.server.feed_config(channel, 0.5, DataFormat.COMPACT, {"Candle": ["time"], "Quote": ["bidPrice"]})
    open_pair.server.feed_config(channel, event_fields={"Quote": ["askPrice", "bidPrice"]})
    open_pair.run()
    for end in (open_pair.client, open_pair.server):
        config = end.channels[channel].config
        assert config.event_fields == {"Candle": ("time",), "Quote": ("askPrice", "bidPrice")}
        assert (config.aggregation_period_s, config.data_format) == (0.5, DataFormat.COMPACT)


def test_rows_of_a_type_nobody_announced_cannot_be_read(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    with pytest.raises(ProtocolViolation, match="channel 1 has no columns for 'Order'; announced: none"):
        open_pair.client.channels[channel].fields("Order")


def test_a_feed_setup_without_fields_keeps_those_of_an_earlier_one(open_pair: Any) -> None:
    channel = open_pair.open_channel()
    open_pair.client.feed_setup(channel, 0, event_fields={"Quote": ["bidPrice"]})
    open_pair.client.feed_setup(channel, 1)
    open_pair.run()
    assert open_pair.server.channels[channel].setup == FeedSetup(channel, 1, DataFormat.COMPACT, {"Quote": ("bidPrice",)})


def test_rows_reach_the_client_the_same_in_both_formats_and_in_several_pairs(open_pair: Any) -> None:
    channel = open_pair.open_channel("STREAM")
    columns = {"Quote": ("eventSymbol", "bidPrice"), "Trade": ("eventSymbol", "index")}
    quotes, trades = [("AAPL", 1.5), ("MSFT", 2.5)], [("AAPL", 7238429996434378670)]
    open_pair.server.feed_config(channel, 0, DataFormat.COMPACT, columns)
    for encoded in (encode_compact, encode_full):
        open_pair.server.feed_data(channel, join(encoded("Quote", columns["Quote"], quotes), encoded("Trade", columns["Trade"], trades)))
    open_pair.run()
    compact, full = (decode(event, open_pair.client.channels[channel].fields) for event in open_pair.at_client[-2:])
    assert compact == [
        ("Quote", [{"eventSymbol": "AAPL", "bidPrice": 1.5}, {"eventSymbol": "MSFT", "bidPrice": 2.5}]),
        ("Trade", [{"eventSymbol": "AAPL", "index": 7238429996434378670}]),
    ]
    assert [(name, [{k: v for k, v in row.items() if k != "eventType"} for row in rows]) for name, rows in full] == compact


# --- time


def test_nothing_is_due_before_the_time_is_known() -> None:
    assert Connection("client").next_deadline() is None


def test_a_keepalive_goes_out_at_half_the_time_the_peer_accepts(open_pair: Any) -> None:
    client = open_pair.client
    client.advance(1000.0)
    assert client.next_deadline() == 1030.0
    client.advance(1029.9)
    assert client.data_to_send() == []
    client.advance(1030.0)
    assert [parse(payload) for payload in client.data_to_send()] == [KeepAlive()]
    assert client.next_deadline() == 1060.0


def test_a_peer_that_names_no_time_gets_a_keepalive_every_thirty_seconds() -> None:
    client = a_client('{"type":"SETUP","channel":0,"version":"1"}', UNAUTHORIZED, AUTHORIZED)
    client.advance(0.0)
    client.data_to_send()
    assert client.next_deadline() == 30.0


def test_whatever_is_sent_puts_the_keepalive_off(open_pair: Any) -> None:
    client = open_pair.client
    channel = open_pair.open_channel()
    client.advance(0.0)
    client.advance(20.0)
    client.subscribe(channel, [AAPL])
    client.advance(30.0)
    assert types(client) == ["FEED_SUBSCRIPTION"]
    assert client.next_deadline() == 50.0


def test_silence_beyond_what_was_announced_closes_the_connection(open_pair: Any) -> None:
    server = open_pair.server
    server.advance(0.0)
    assert server.advance(59.9) == []
    assert server.advance(60.0) == [TimedOut("any message", 60.0)]
    assert server.close_expected
    assert types(server) == ["KEEPALIVE", "ERROR"]
    assert server.next_deadline() is None
    assert server.advance(1000.0) == []


@pytest.mark.parametrize("payload", ['{"type":"KEEPALIVE","channel":0}', '{"type":"FEED_DATA","channel":1,"data":[]}', '{"type":"X","channel":0}'])
def test_any_message_is_a_sign_of_life(open_pair: Any, payload: str) -> None:
    open_pair.open_channel()
    client = open_pair.client
    client.advance(0.0)
    client.advance(50.0)
    client.receive(payload)
    client.advance(50.0)
    assert client.advance(109.0) == []
    assert client.advance(110.0) == [TimedOut("any message", 60.0)]


def test_even_a_message_that_breaks_the_protocol_is_a_sign_of_life(open_pair: Any) -> None:
    client = open_pair.client
    client.advance(0.0)
    with pytest.raises(ProtocolViolation):
        client.receive("not JSON")
    client.advance(50.0)
    assert client.advance(109.0) == []


def test_two_ends_that_say_nothing_else_keep_each_other_alive(open_pair: Any) -> None:
    now_s, waits = 0.0, 0
    while now_s < 3600.0:
        assert [*open_pair.client.advance(now_s), *open_pair.server.advance(now_s)] == []
        open_pair.run()
        assert [*open_pair.client.advance(now_s), *open_pair.server.advance(now_s)] == []
        now_s = min(open_pair.client.next_deadline(), open_pair.server.next_deadline())
        waits += 1
    assert open_pair.client.state is open_pair.server.state is State.OPEN
    assert waits == 120  # at 0, 30, ... 3570 s: no busy waiting


@pytest.mark.parametrize(
    ("received", "waiting_for"),
    [
        ([], "SETUP"),
        ([SERVER_SETUP], "AUTH_STATE UNAUTHORIZED, AUTH_STATE AUTHORIZED"),
        ([SERVER_SETUP, UNAUTHORIZED], "AUTH_STATE AUTHORIZED, AUTH_STATE UNAUTHORIZED, ERROR UNAUTHORIZED"),
    ],
)
def test_a_server_that_does_not_go_on_with_the_handshake_times_out(received: list[str], waiting_for: str) -> None:
    client = a_client(*received, handshake_timeout_s=10.0)
    client.advance(5.0)
    assert client.next_deadline() == 15.0
    assert client.advance(14.9) == []
    assert client.advance(15.0) == [TimedOut(waiting_for, 10.0)]
    assert client.state is State.CLOSED


def test_each_word_of_the_handshake_has_its_own_time() -> None:
    client = a_client()
    client.advance(0.0)
    client.advance(9.0)
    client.receive(SERVER_SETUP)
    client.advance(9.0)
    assert client.advance(18.0) == []
    assert len(client.advance(19.0)) == 1


def test_a_client_that_never_speaks_times_out_at_the_server() -> None:
    server = Connection("server")
    server.advance(0.0)
    assert server.advance(10.0) == [TimedOut("SETUP", 10.0)]


def test_the_wait_for_a_token_is_no_time_out_of_the_client() -> None:
    client = a_client(SERVER_SETUP, UNAUTHORIZED, token=None)
    client.advance(0.0)
    assert client.advance(30.0) == []


def test_a_channel_that_does_not_open_is_told_once_and_ends_nothing(open_pair: Any) -> None:
    client = open_pair.client
    client.advance(0.0)
    channel = client.open_channel()
    client.advance(0.0)
    assert client.advance(10.0) == [TimedOut("CHANNEL_OPENED", 10.0, channel)]
    assert client.advance(20.0) == []
    assert client.state is State.OPEN


# --- what must not be


def test_a_client_with_an_even_channel_is_told_so_in_the_words_of_the_real_server(open_pair: Any) -> None:
    text = "Protocol violation with an even channel usage."
    events = open_pair.server.receive('{"type":"CHANNEL_REQUEST","channel":2,"service":"FEED","parameters":{"contract":"AUTO"}}')
    assert events == [Violation(ErrorKind.BAD_ACTION, text, 2)]
    assert sent(open_pair.server) == [{"type": "ERROR", "channel": 2, "error": "BAD_ACTION", "message": text}]
    assert 2 not in open_pair.server.channels


@pytest.mark.parametrize(
    ("payload", "kind", "channel"),
    [
        ("not JSON", "INVALID_MESSAGE", 0),
        ('{"type":"FEED_SUBSCRIPTION","channel":7,"reset":true}', "BAD_ACTION", 7),
        ('{"type":"FEED_DATA","channel":1,"data":[]}', "BAD_ACTION", 1),
        ('{"type":"SETUP","channel":0,"version":"1"}', "BAD_ACTION", 0),
        (AUTHORIZED, "BAD_ACTION", 0),
    ],
)
def test_a_server_answers_a_violation_with_an_error_and_goes_on(open_pair: Any, payload: str, kind: str, channel: int) -> None:
    open_pair.open_channel()
    (event,) = open_pair.server.receive(payload)
    assert isinstance(event, Violation)
    ((answer),) = sent(open_pair.server)
    assert (answer["type"], answer["error"], answer["channel"]) == ("ERROR", kind, channel)
    assert open_pair.server.state is State.OPEN


def test_a_channel_before_authorisation_is_refused(a_pair: Callable[..., Any]) -> None:
    pair = a_pair()
    pair.client.setup()
    pair.run()
    (event,) = pair.server.receive('{"type":"CHANNEL_REQUEST","channel":1,"service":"FEED","parameters":{"contract":"AUTO"}}')
    assert event == Violation(ErrorKind.UNAUTHORIZED, "CHANNEL_REQUEST before the connection is authorized", 1)


@pytest.mark.parametrize(
    ("received", "offending", "says"),
    [
        ([], UNAUTHORIZED, "AUTH_STATE UNAUTHORIZED in state SETUP, expected SETUP"),
        ([SERVER_SETUP], SERVER_SETUP, "SETUP in state GREETED, expected AUTH_STATE UNAUTHORIZED, AUTH_STATE AUTHORIZED"),
        ([SERVER_SETUP, UNAUTHORIZED, AUTHORIZED], '{"type":"FEED_DATA","channel":1,"data":[]}', "FEED_DATA on channel 1 in state REQ"),
        ([SERVER_SETUP, UNAUTHORIZED, AUTHORIZED], '{"type":"FEED_CONFIG","channel":1}', "FEED_CONFIG on channel 1 in state REQUESTED"),
        ([SERVER_SETUP, UNAUTHORIZED, AUTHORIZED, OPENED], OPENED, "CHANNEL_OPENED on channel 1 in state OPENED"),
        ([SERVER_SETUP, UNAUTHORIZED, AUTHORIZED, OPENED], '{"type":"AUTH","channel":0,"token":"t"}', "AUTH in state OPEN"),
    ],
)  # fmt: skip
def test_a_client_raises_when_the_server_speaks_out_of_turn_and_stays_usable(received: list[str], offending: str, says: str) -> None:
    client = a_client(token="t")
    client.open_channel()
    for payload in received:
        client.receive(payload)
    state = client.state
    with pytest.raises(ProtocolViolation) as caught:
        client.receive(offending)
    assert says in str(caught.value)
    assert client.state is state
    assert client.counts["violation"] == 1


def test_data_of_an_unknown_channel_is_ignored_and_counted(open_pair: Any) -> None:
    (event,) = open_pair.client.receive('{"type":"FEED_DATA","channel":99,"data":[]}')
    assert isinstance(event, Ignored)
    assert open_pair.client.counts["unknown channel"] == 1


def test_unknown_types_are_counted(open_pair: Any) -> None:
    open_pair.client.receive('{"type":"DOM_CONFIG","channel":1}')
    assert open_pair.client.counts["unknown type"] == 1


def test_a_closed_connection_takes_nothing_and_counts_it(open_pair: Any) -> None:
    open_pair.client.close()
    assert open_pair.client.receive(AUTHORIZED) == []
    assert open_pair.client.counts["after close"] == 1
    assert open_pair.client.close_expected


@pytest.mark.parametrize(
    ("misuse", "says"),
    [
        (lambda client: client.setup(), "a client cannot send SETUP in state OPEN"),
        (lambda client: client.subscribe(5, [AAPL]), "channel 5 is unknown; there are 1"),
        (lambda client: client.feed_data(1, b"[]"), "a client cannot send FEED_DATA on channel 1 in state OPENED"),
        (lambda client: client.auth_state("AUTHORIZED"), "a client cannot send AUTH_STATE AUTHORIZED in state OPEN"),
        (lambda client: client.open_channel(contract="BEST"), "contract 'BEST' is not one of AUTO, HISTORY, STREAM, TICKER"),
        (lambda client: client.feed_setup(1, -1), "acceptAggregationPeriod of FEED_SETUP is '-1', expected a number of seconds, 0 or more"),
        (lambda client: client.subscribe(1, [Subscription("Quote", "A" * 9000)]), "more than the 8192 of a message"),
        (lambda client: client.authenticate(""), "the token is empty"),
        (lambda client: client.forget(1), "channel 1 is OPENED; only a closed one can be forgotten"),
        (lambda client: (client.close(), client.keepalive()), "a client cannot send KEEPALIVE in state CLOSED"),
    ],
)
def test_a_misuse_raises_and_sends_nothing(open_pair: Any, misuse: Callable[[Connection], None], says: str) -> None:
    open_pair.open_channel()
    with pytest.raises(UsageError) as caught:
        misuse(open_pair.client)
    assert says in str(caught.value)
    assert open_pair.client.data_to_send() == []
    assert open_pair.client.channels[1].subscriptions == {}


def test_data_is_handed_over_once(open_pair: Any) -> None:
    open_pair.client.keepalive()
    assert len(open_pair.client.data_to_send()) == 1
    assert open_pair.client.data_to_send() == []


def test_a_repr_holds_no_token() -> None:
    assert "s3cret" not in repr(a_client(token="s3cret"))
