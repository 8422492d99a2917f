from __future__ import annotations

import json
import math

import pytest

from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import (
    EMPTY_CHAR,
    EventFlags,
    column_number,
    decode,
    encode_compact,
    encode_full,
    index_of,
    join,
    time_of,
)
from tastytrade_provider.errors import ProtocolViolation, UsageError

COLUMNS = {"Quote": ("eventSymbol", "eventType", "askPrice", "bidPrice"), "Trade": ("eventSymbol", "eventType", "price", "size")}


def test_compact_data_of_two_event_types_is_read_as_in_the_specification() -> None:
    body = b'["Quote",["AAPL","Quote",123,124,"AMZN","Quote",321,322],"Trade",["AAPL","Trade",321,22,"AMZN","Trade",123,11]]'
    assert decode(feed_data(1, body), COLUMNS.__getitem__) == [
        (
            "Quote",
            [
                {"eventSymbol": "AAPL", "eventType": "Quote", "askPrice": 123, "bidPrice": 124},
                {"eventSymbol": "AMZN", "eventType": "Quote", "askPrice": 321, "bidPrice": 322},
            ],
        ),
        (
            "Trade",
            [
                {"eventSymbol": "AAPL", "eventType": "Trade", "price": 321, "size": 22},
                {"eventSymbol": "AMZN", "eventType": "Trade", "price": 123, "size": 11},
            ],
        ),
    ]


def test_full_data_is_read_as_in_the_specification_and_keeps_the_order_of_events() -> None:
    rows = [{"eventSymbol": s, "eventType": t, "askPrice": 1} for s, t in (("A", "Quote"), ("B", "Quote"), ("A", "Trade"), ("C", "Quote"))]
    assert decode(feed_data(1, json.dumps(rows).encode()), COLUMNS.__getitem__) == [
        ("Quote", rows[:2]),
        ("Trade", rows[2:3]),
        ("Quote", rows[3:]),
    ]


def test_no_data_is_no_events() -> None:
    assert decode(feed_data(1, b"[]"), COLUMNS.__getitem__) == []
    assert decode(feed_data(1, b'["Quote",[]]'), COLUMNS.__getitem__) == [("Quote", [])]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'["Quote",["AAPL","Quote",123]]', "Quote has 3 values, expected a multiple of its 4 columns"),
        (b'["Quote"]', "COMPACT data has 1 elements, expected pairs"),
        (b'["Quote",{"eventSymbol":"AAPL"}]', "expected an event type and a list of values"),
        (b'[["AAPL"],"Quote"]', "expected an event type and a list of values"),
        (b'[{"eventType":"Quote"},7]', "event '7' in FULL data, expected an object with eventType"),
        (b'[{"eventSymbol":"AAPL"}]', "expected an object with eventType"),
        (b"7", "data of FEED_DATA is '7', expected a list"),
        (b"[1,", "is not JSON"),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(body: bytes, says: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode(feed_data(1, body), COLUMNS.__getitem__)
    assert says in str(caught.value)


def test_special_numbers_have_their_meaning() -> None:
    assert math.isnan(column_number("NaN"))
    assert math.isnan(column_number(None))
    assert column_number("Infinity") == math.inf
    assert column_number("-Infinity") == -math.inf
    assert column_number(4223.75) == 4223.75
    assert type(column_number(1)) is float


def test_an_integer_that_a_float_would_change_stays_as_it_is() -> None:
    assert column_number(7238429932160864157) == 7238429932160864157
    assert column_number(-(2**53) - 1) == -9007199254740993


@pytest.mark.parametrize("value", [True, "1", "", "nan", [], {}])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ProtocolViolation, match="is not a number"):
        column_number(value)


FIELDS = ("eventSymbol", "index", "price", "size", "tradeThroughExempt", "buyer")
ROW = ("/ESM23:XCME", 7238429996434378670, math.nan, 1.0, EMPTY_CHAR, None)


def test_a_compact_row_is_written_as_dxfeed_writes_it() -> None:
    assert encode_compact("TimeAndSale", FIELDS, [ROW]) == (b'["TimeAndSale",["/ESM23:XCME",7238429996434378670,"NaN",1.0,"\\u0000",null]]')


def test_a_full_row_leaves_empty_fields_out() -> None:
    assert encode_full("TimeAndSale", FIELDS, [ROW]) == (
        b'[{"eventType":"TimeAndSale","eventSymbol":"/ESM23:XCME","index":7238429996434378670,"price":"NaN","size":1.0,"tradeThroughExempt":"\\u0000"}]'
    )


def test_infinities_are_written_as_texts() -> None:
    assert encode_compact("Quote", ("a", "b"), [(math.inf, -math.inf)]) == b'["Quote",["Infinity","-Infinity"]]'


def test_a_mapping_and_a_sequence_write_the_same_row() -> None:
    as_mapping = dict(zip(FIELDS, ROW, strict=True))
    assert encode_compact("TimeAndSale", FIELDS, [as_mapping]) == encode_compact("TimeAndSale", FIELDS, [ROW])


def test_a_row_of_another_length_than_its_columns_is_not_written() -> None:
    with pytest.raises(UsageError, match="row has 1 values, expected 2"):
        encode_compact("Quote", ("a", "b"), [(1,)])


def test_several_bodies_become_one_message() -> None:
    body = join(encode_compact("Quote", ("a",), [(1,)]), b"[]", encode_compact("Trade", ("b",), [(2,)]))
    assert decode(feed_data(1, body), {"Quote": ("a",), "Trade": ("b",)}.__getitem__) == [("Quote", [{"a": 1}]), ("Trade", [{"b": 2}])]


# Real rows of /ESM23:XCME, 2023-05-29 (tastyware/tastytrade, pull request 47): index, time, sequence as the feed gave them side by side.
REAL = [
    (7238429932160864156, 1685328300152, 53148),
    (7238429932160864157, 1685328300152, 53149),
    (7238429932160864158, 1685328300152, 53150),
    (7238429996434378670, 1685328315116, 53166),
]


@pytest.mark.parametrize(("index", "time_ms", "sequence"), REAL)
def test_the_index_of_a_real_trade_holds_its_time_and_sequence(index: int, time_ms: int, sequence: int) -> None:
    assert time_of(index) == (time_ms, sequence)
    assert index_of(time_ms, sequence) == index


def test_the_highest_index_is_the_row_of_2038() -> None:
    assert time_of(2**63 - 1) == (2147483648023, 4194303)


def test_an_index_before_1970_comes_back_as_it_went() -> None:
    assert time_of(index_of(-1, 5)) == (-1, 5)


@pytest.mark.parametrize(("time_ms", "sequence"), [(0, -1), (0, 2**22), (2**31 * 1000, 0), (-(2**31) * 1000 - 1, 0)])
def test_a_time_or_sequence_that_does_not_fit_an_index_is_refused(time_ms: int, sequence: int) -> None:
    with pytest.raises(UsageError):
        index_of(time_ms, sequence)


def test_an_empty_snapshot_is_begin_end_and_remove() -> None:
    assert EventFlags(14) == EventFlags.SNAPSHOT_BEGIN | EventFlags.SNAPSHOT_END | EventFlags.REMOVE
