"""Reading and writing the words of dxLink: one table says which JSON key is which field of which message.

Source: dxLink asyncapi 1.0.2. A message is a JSON object whose first two keys are `type` and `channel` (dxFeed's own parser wants them
first). Where real servers are laxer than the specification, so are we: the two settings of FEED_CONFIG, which the specification calls
required and leaves out in its own example, may be missing, and so may the text of an ERROR.

Nothing here ever shows a token: not a repr, not an error text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tastytrade_provider.dxlink.kinds import (
    COLUMNS,
    ERROR_KIND,
    FLAG,
    FORMAT,
    MILLISECONDS,
    PARAMETERS,
    SECONDS,
    STATE,
    TEXT,
    TOKEN,
    Kind,
    require,
    shown,
)
from tastytrade_provider.dxlink.vocabulary import (
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
    EventFields,
    FeedConfig,
    FeedData,
    FeedSetup,
    FeedSubscription,
    KeepAlive,
    Message,
    Setup,
    Subscription,
    Unknown,
)
from tastytrade_provider.errors import ProtocolViolation, UsageError

__all__ = [
    "Auth",
    "AuthState",
    "Authorization",
    "ChannelCancel",
    "ChannelClosed",
    "ChannelOpened",
    "ChannelRequest",
    "DataFormat",
    "Error",
    "ErrorKind",
    "EventFields",
    "FeedConfig",
    "FeedData",
    "FeedSetup",
    "FeedSubscription",
    "KeepAlive",
    "Message",
    "Setup",
    "Subscription",
    "Unknown",
    "encode",
    "feed_data",
    "item_as_json",
    "name_of",
    "parse",
    "shown",
]


def _items(value: Any) -> tuple[Subscription, ...]:
    require(isinstance(value, list) and all(isinstance(item, dict) for item in value))
    return tuple(Subscription(**_read("subscription", _SUBSCRIPTION, item)) for item in value)


def item_as_json(item: Subscription) -> dict[str, object]:
    """The JSON object of one subscription item."""
    return _write(_SUBSCRIPTION, item)


_ITEMS = Kind("a list of subscription objects", _items, lambda items: [item_as_json(item) for item in items])


class _Field(NamedTuple):
    key: str
    attribute: str
    kind: Kind
    is_required: bool = True


_SUBSCRIPTION = (
    _Field("type", "type", TEXT),
    _Field("symbol", "symbol", TEXT),
    _Field("fromTime", "from_time_ms", MILLISECONDS, False),
    _Field("source", "source", TEXT, False),
)
_SERVICE = (_Field("service", "service", TEXT), _Field("parameters", "parameters", PARAMETERS))

_TABLE: dict[str, tuple[type[Any], tuple[_Field, ...]]] = {
    "SETUP": (Setup, (
        _Field("version", "version", TEXT),
        _Field("keepaliveTimeout", "keepalive_timeout_s", SECONDS, False),
        _Field("acceptKeepaliveTimeout", "accept_keepalive_timeout_s", SECONDS, False),
    )),
    "AUTH": (Auth, (_Field("token", "token", TOKEN),)),
    "AUTH_STATE": (AuthState, (
        _Field("state", "state", STATE),
        _Field("userId", "user_id", TEXT, False),
    )),
    "KEEPALIVE": (KeepAlive, ()),
    "ERROR": (Error, (
        _Field("error", "kind", ERROR_KIND),
        _Field("message", "message", TEXT, False),
    )),
    "CHANNEL_REQUEST": (ChannelRequest, _SERVICE),
    "CHANNEL_OPENED": (ChannelOpened, _SERVICE),
    "CHANNEL_CANCEL": (ChannelCancel, ()),
    "CHANNEL_CLOSED": (ChannelClosed, ()),
    "FEED_SETUP": (FeedSetup, (
        _Field("acceptAggregationPeriod", "aggregation_period_s", SECONDS, False),
        _Field("acceptDataFormat", "data_format", FORMAT, False),
        _Field("acceptEventFields", "event_fields", COLUMNS, False),
    )),
    "FEED_CONFIG": (FeedConfig, (
        _Field("aggregationPeriod", "aggregation_period_s", SECONDS, False),
        _Field("dataFormat", "data_format", FORMAT, False),
        _Field("eventFields", "event_fields", COLUMNS, False),
    )),
    "FEED_SUBSCRIPTION": (FeedSubscription, (
        _Field("reset", "reset", FLAG, False),
        _Field("remove", "remove", _ITEMS, False),
        _Field("add", "add", _ITEMS, False),
    )),
}  # fmt: skip
_NAMES = {message: name for name, (message, _) in _TABLE.items()}
_CONNECTION_ONLY = {"SETUP", "AUTH", "AUTH_STATE", "KEEPALIVE"}

_PREFIX = b'{"type":"FEED_DATA","channel":'
_DATA = b',"data":'
_START = len(_PREFIX)
_END = _START + 18 + len(_DATA)  # a channel of more digits goes the long way
# The usual spelling with a channel of one or two digits is one slice and one look-up, 0.25 microseconds; finding the digits takes 0.5.
_HEADS = {b"%b%d%b" % (_PREFIX, channel, _DATA): channel for channel in range(100)}
_ONE_DIGIT, _TWO_DIGITS = _START + 1 + len(_DATA), _START + 2 + len(_DATA)
_new = tuple.__new__  # what FeedData(...) calls in the end, 0.1 microseconds sooner


def name_of(message: Message | type[Message]) -> str:
    """The name on the wire: `CHANNEL_REQUEST` for a ChannelRequest."""
    if isinstance(message, Unknown):
        return message.type
    kind = message if isinstance(message, type) else type(message)
    return "FEED_DATA" if kind is FeedData else _NAMES.get(kind, kind.__name__)


def parse(payload: bytes | str) -> Message:
    """Read one message.

    FEED_DATA in its usual spelling is recognised by its first bytes and not looked into; a malformed body shows when it is decoded.
    Raises ProtocolViolation naming what offended and what was expected.

    >>> parse('{"type":"AUTH_STATE","channel":0,"state":"UNAUTHORIZED"}').state.name
    'UNAUTHORIZED'
    >>> parse(b'{"type":"FEED_DATA","channel":3,"data":["Quote",["AAPL",1.5]]}').channel
    3
    """
    if isinstance(payload, str):
        payload = payload.encode("utf-8", "surrogatepass")  # a lone surrogate becomes bytes that are not JSON
    channel = _HEADS.get(payload[:_ONE_DIGIT])
    if channel is None:
        channel = _HEADS.get(payload[:_TWO_DIGITS])
    if channel is not None:
        return _new(FeedData, (channel, payload))
    if payload.startswith(_PREFIX):
        end = payload.find(_DATA, _START, _END)
        if end > 0 and (digits := payload[_START:end]).isdigit():
            return FeedData(int(digits), payload)
    return _parse_json(payload)


def channel_of_data(payload: bytes) -> int | None:
    """The channel of a FEED_DATA in its usual spelling, None for anything else."""
    if not payload.startswith(_PREFIX):
        return None
    end = payload.find(_DATA, _START, _END)
    digits = payload[_START:end] if end > 0 else b""
    return int(digits) if digits.isdigit() else None


def data_head(channel: int) -> bytes:
    """How every FEED_DATA of a channel begins in its usual spelling."""
    return b"%b%d%b" % (_PREFIX, channel, _DATA)


def _parse_json(payload: bytes) -> Message:
    try:
        content = orjson.loads(payload)
    except ValueError as error:  # not chained: orjson's error carries the whole text, and with it perhaps a token
        raise ProtocolViolation(f"{shown(payload)} is not JSON ({str(error)[:80]})") from None
    if not isinstance(content, dict):
        raise ProtocolViolation(f"{shown(payload)} is not a JSON object with type and channel")
    name, channel = content.get("type"), content.get("channel")
    if not isinstance(name, str):
        raise ProtocolViolation(f"message type is {_found(name)}, expected a text")
    if type(channel) is not int or channel < 0:
        raise ProtocolViolation(f"channel of {shown(name)} is {_found(channel)}, expected an integer, 0 or more")
    if name == "FEED_DATA":
        return _feed_data(channel, content)
    if name not in _TABLE:
        return Unknown(name, channel, payload)
    if name in _CONNECTION_ONLY and channel != 0:
        raise ProtocolViolation(f"channel of {name} is {channel}, expected 0")
    message, fields = _TABLE[name]
    parsed: Message = message(channel=channel, **_read(name, fields, content))
    return parsed


def _feed_data(channel: int, content: dict[str, object]) -> FeedData:
    if not isinstance(data := content.get("data"), list):
        raise ProtocolViolation(f"data of FEED_DATA is {_found(data)}, expected a list")
    try:
        return feed_data(channel, orjson.dumps(data))
    except TypeError as error:
        raise ProtocolViolation(f"data of FEED_DATA cannot be kept ({error}), expected a list of values or objects") from None


def feed_data(channel: int, body: bytes) -> FeedData:
    """FEED_DATA around a body that is already JSON, as `rows.encode_compact` and `rows.encode_full` write it."""
    return FeedData(channel, b"%b%d%b%b}" % (_PREFIX, channel, _DATA, body))


def encode(message: Message) -> bytes:
    """Write one message, `type` and `channel` first; fields that say nothing are left out. UsageError where JSON cannot hold a value.

    >>> encode(FeedSubscription(1, add=(Subscription("Quote", "AAPL"),)))
    b'{"type":"FEED_SUBSCRIPTION","channel":1,"add":[{"type":"Quote","symbol":"AAPL"}]}'
    """
    if isinstance(message, FeedData | Unknown):
        return message.raw
    name = _NAMES[type(message)]
    try:
        return orjson.dumps({"type": name, "channel": message.channel, **_write(_TABLE[name][1], message)})
    except TypeError as error:
        raise UsageError(f"{name} cannot be written as JSON: {error}") from None


def _read(name: str, fields: Sequence[_Field], content: Mapping[str, object]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, attribute, kind, is_required in fields:
        value = content.get(key)
        if value is None and not is_required:
            continue
        try:
            values[attribute] = kind.read(value)
        except ValueError:
            found = type(value).__name__ if kind.is_secret else _found(value)
            raise ProtocolViolation(f"{key} of {name} is {found}, expected {kind.expected}") from None
    return values


def _write(fields: Sequence[_Field], value: object) -> dict[str, object]:
    pairs = ((key, kind, getattr(value, attribute)) for key, attribute, kind, _ in fields)
    return {key: kind.write(content) for key, kind, content in pairs if content is not None and content is not False and content != ()}


def _found(value: object) -> str:
    return "missing" if value is None else shown(value)
