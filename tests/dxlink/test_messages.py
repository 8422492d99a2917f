from __future__ import annotations

import json
import traceback

import pytest

from tastytrade_provider.dxlink.messages import (
    Auth,
    Authorization,
    AuthState,
    ChannelCancel,
    ChannelClosed,
    ChannelOpened,
    ChannelRequest,
    DataFormat,
    Error,
    ErrorKind,
    FeedConfig,
    FeedData,
    FeedSetup,
    FeedSubscription,
    KeepAlive,
    Message,
    Setup,
    Subscription,
    Unknown,
    encode,
    parse,
)
from tastytrade_provider.errors import ProtocolViolation, UsageError

QUOTE = ("eventType", "eventSymbol", "bidPrice", "askPrice", "bidSize", "askSize")

# The examples of dxLink asyncapi 1.0.2, as they stand there, and what they mean.
SPECIFICATION: list[tuple[str, Message]] = [
    (
        '{"type":"SETUP","channel":0,"version":"0.1-js/1.0.0","keepaliveTimeout":60,"acceptKeepaliveTimeout":60}',
        Setup("0.1-js/1.0.0", 60, 60),
    ),
    ('{"type":"KEEPALIVE","channel":0}', KeepAlive()),
    ('{"type":"AUTH","channel":0,"token":"token#123"}', Auth("token#123")),
    ('{"type":"AUTH_STATE","channel":0,"state":"AUTHORIZED"}', AuthState(Authorization.AUTHORIZED)),
    (
        '{"type":"ERROR","channel":0,"error":"INVALID_MESSAGE","message":"The message is not valid JSON."}',
        Error(ErrorKind.INVALID_MESSAGE, "The message is not valid JSON."),
    ),
    (
        '{"type":"CHANNEL_REQUEST","channel":1,"service":"FEED","parameters":{"contract":"AUTO"}}',
        ChannelRequest(1, "FEED", {"contract": "AUTO"}),
    ),
    (
        '{"type":"CHANNEL_OPENED","channel":1,"service":"DOM","parameters":{"symbol":"AAPL","sources":["ntv"]}}',
        ChannelOpened(1, "DOM", {"symbol": "AAPL", "sources": ["ntv"]}),
    ),
    ('{"type":"CHANNEL_CLOSED","channel":1}', ChannelClosed(1)),
    ('{"type":"CHANNEL_CANCEL","channel":1}', ChannelCancel(1)),
    (
        '{"type":"FEED_SETUP","channel":1,"acceptAggregationPeriod":1,"acceptDataFormat":"COMPACT",'
        '"acceptEventFields":{"Quote":["eventType","eventSymbol","bidPrice","askPrice","bidSize","askSize"]}}',
        FeedSetup(1, 1, DataFormat.COMPACT, {"Quote": QUOTE}),
    ),
    (
        '{"type":"FEED_CONFIG","channel":1,"aggregationPeriod":1,"dataFormat":"COMPACT",'
        '"eventFields":{"Quote":["eventType","eventSymbol","bidPrice","askPrice","bidSize","askSize"]}}',
        FeedConfig(1, 1, DataFormat.COMPACT, {"Quote": QUOTE}),
    ),
    (
        '{"type":"FEED_SUBSCRIPTION","channel":1,"add":[{"type":"Quote","symbol":"AAPL"}]}',
        FeedSubscription(1, add=(Subscription("Quote", "AAPL"),)),
    ),
    (
        '{"type":"FEED_SUBSCRIPTION","channel":1,"remove":[{"type":"Candle","symbol":"AAPL{=d}","fromTime":1610000000000}]}',
        FeedSubscription(1, remove=(Subscription("Candle", "AAPL{=d}", 1610000000000),)),
    ),
    ('{"type":"FEED_SUBSCRIPTION","channel":1,"reset":true}', FeedSubscription(1, reset=True)),
    (
        '{"type":"FEED_DATA","channel":1,"data":["Quote",["AAPL","Quote",123,123]]}',
        FeedData(1, b'{"type":"FEED_DATA","channel":1,"data":["Quote",["AAPL","Quote",123,123]]}'),
    ),
]


@pytest.mark.parametrize(("text", "message"), SPECIFICATION, ids=lambda value: type(value).__name__)
def test_an_example_of_the_specification_is_read_and_written_as_it_stands(text: str, message: Message) -> None:
    assert parse(text) == message
    assert parse(text.encode()) == message
    assert encode(message).decode() == text


@pytest.mark.parametrize(("text", "message"), SPECIFICATION, ids=lambda value: type(value).__name__)
def test_the_order_and_spacing_of_keys_do_not_matter(text: str, message: Message) -> None:
    assert parse(json.dumps(dict(reversed(json.loads(text).items())), indent=1)) == message


@pytest.mark.parametrize("channel", [1, 9, 10, 99, 100, 123456789])
def test_feed_data_of_any_channel_number_is_recognised_without_reading_its_body(channel: int) -> None:
    raw = b'{"type":"FEED_DATA","channel":%d,"data":[half a body' % channel
    assert parse(raw) == FeedData(channel, raw)


def test_feed_data_in_another_spelling_keeps_an_index_beyond_53_bits_exact() -> None:
    message = parse('{"channel": 1, "type": "FEED_DATA", "data": ["TimeAndSale", [7238429996434378670, 1.0]]}')
    assert message == FeedData(1, b'{"type":"FEED_DATA","channel":1,"data":["TimeAndSale",[7238429996434378670,1.0]]}')


def test_a_type_outside_the_vocabulary_is_unknown_and_no_error() -> None:
    raw = b'{"type":"DOM_SNAPSHOT","channel":1,"time":1710262466056,"bids":[],"asks":[]}'
    assert parse(raw) == Unknown("DOM_SNAPSHOT", 1, raw)


def test_an_error_kind_outside_the_six_stays_a_text() -> None:
    assert parse('{"type":"ERROR","channel":0,"error":"QUOTA","message":"m"}') == Error("QUOTA", "m")


def test_an_error_without_text_is_read() -> None:
    assert parse('{"type":"ERROR","channel":3,"error":"BAD_ACTION"}') == Error(ErrorKind.BAD_ACTION, "", 3)


def test_what_the_live_server_adds_to_auth_state_is_kept() -> None:
    assert parse('{"type":"AUTH_STATE","channel":0,"state":"AUTHORIZED","userId":"u"}') == AuthState(Authorization.AUTHORIZED, "u")


def test_the_feed_config_of_the_example_session_has_fields_only() -> None:
    text = '{"type":"FEED_CONFIG","channel":3,"eventFields":{"Candle":["eventSymbol","close"]}}'
    assert parse(text) == FeedConfig(3, event_fields={"Candle": ("eventSymbol", "close")})


def test_an_aggregation_period_of_nan_asks_for_the_default_of_the_server() -> None:
    assert parse('{"type":"FEED_SETUP","channel":1,"acceptAggregationPeriod":"NaN"}') == FeedSetup(1)


def test_an_aggregation_period_of_zero_is_not_left_out() -> None:
    assert encode(FeedSetup(1, 0.0)) == b'{"type":"FEED_SETUP","channel":1,"acceptAggregationPeriod":0}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[1,2]", "is not a JSON object"),
        ('{"channel":0}', "message type is missing, expected a text"),
        ('{"type":"SETUP"}', "channel of 'SETUP' is missing, expected an integer"),
        ('{"type":"KEEPALIVE","channel":true}', "channel of 'KEEPALIVE' is 'True', expected an integer"),
        ('{"type":"SETUP","channel":3,"version":"1"}', "channel of SETUP is 3, expected 0"),
        ('{"type":"SETUP","channel":0}', "version of SETUP is missing, expected a text"),
        ('{"type":"SETUP","channel":0,"version":"1","keepaliveTimeout":-1}', "keepaliveTimeout of SETUP is '-1', expected a number"),
        ('{"type":"AUTH_STATE","channel":0,"state":"MAYBE"}', "state of AUTH_STATE is 'MAYBE', expected AUTHORIZED or UNAUTHORIZED"),
        ('{"type":"ERROR","channel":0,"error":["x"]}', "error of ERROR is \"['x']\", expected an error type"),
        ('{"type":"FEED_CONFIG","channel":1,"eventFields":{"Quote":[]}}', "eventFields of FEED_CONFIG is \"{'Quote': []}\", expected"),
        ('{"type":"FEED_CONFIG","channel":1,"eventFields":{"Quote":["a","a"]}}', "list of different field names"),
        ('{"type":"FEED_CONFIG","channel":1,"dataFormat":"XML"}', "dataFormat of FEED_CONFIG is 'XML', expected FULL or COMPACT"),
        ('{"type":"FEED_SUBSCRIPTION","channel":1,"add":[{"type":"Quote"}]}', "symbol of subscription is missing, expected a text"),
        ('{"type":"FEED_DATA", "channel":1}', "data of FEED_DATA is missing, expected a list"),
    ],
)  # fmt: skip
def test_a_malformed_message_is_refused_with_what_was_found_and_what_was_expected(text: str, says: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse(text)
    assert says in str(caught.value)


def test_a_long_message_is_shown_in_about_eighty_characters() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse("x" * 10_000)
    assert "x" * 79 + "…" in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"AUTH","channel":0,"token":"s3cret"',
        '{"type":"AUTH","channel":0,"token":["s3cret"]}',
        '{"type":"AUTH","channel":"s","token":"s3cret"}',
        '{"channel":0,"token":"s3cret"}',
        '["AUTH","s3cret"]',
    ],
)
def test_no_token_shows_in_an_error_or_its_traceback(text: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse(text)
    error = caught.value
    assert "s3cret" not in repr(error) + repr(error.__cause__) + "".join(traceback.format_exception(error))
    assert error.__cause__ is None


def test_no_token_shows_in_a_repr() -> None:
    assert "s3cret" not in repr(Auth("s3cret")) + repr(parse('{"type":"LOGIN","channel":0,"token":"s3cret"}'))


def test_what_json_cannot_hold_is_refused_when_written() -> None:
    with pytest.raises(UsageError, match="FEED_SUBSCRIPTION cannot be written"):
        encode(FeedSubscription(1, add=(Subscription("Candle", "AAPL", 2**70),)))
