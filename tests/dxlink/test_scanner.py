"""The byte scanner against a JSON parser."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.dxlink.scanner import INTEGER, NUMBER, NUMBER_OR_NONE, TRUTH, WORD, Layout, hash_of, scan, slots_of

KINDS = {"word": WORD, "whole": INTEGER, "flag": TRUTH, "number": NUMBER, "perhaps": NUMBER_OR_NONE}
WORDS = {"word": {"": 7, "BUY": 1, "SELL": -1, "/ÉS": 3, "ein längeres Wort": 4}}
ORDER = tuple(KINDS)
INTS, NUMBERS = slots_of(KINDS, ORDER)
PREFIX = b'{"type":"FEED_DATA","channel":1,"data":'


def scanned(fields: tuple[str, ...], bodies: list[bytes], room: int = 50) -> tuple[list[dict[str, Any]], int]:
    """The rows found, and the number of messages read before the scan stopped."""
    layout = Layout.of("Event", fields, KINDS, WORDS, ORDER)
    ints, numbers = np.full((len(INTS) + 2, room), -99), np.full((len(NUMBERS), room), -99.0)
    received = np.arange(len(bodies)) + 1_000
    n, stopped = scan(layout, [PREFIX + body + b"}" for body in bodies], received, 0, ints, numbers, 0)
    rows = []
    for i in range(n):
        values = {name: ints[at, i].item() for name, at in INTS.items() if name in fields}
        values |= {name: numbers[at, i].item() for name, at in NUMBERS.items() if name in fields}
        rows.append(values | {"received": ints[0, i].item(), "message": ints[1, i].item()})
    return rows, stopped


def one(field: str, text: str) -> Any:
    """The value read from a column's text; None where the scanner leaves it to the slower way."""
    rows, stopped = scanned((field,), [f'["Event",[{text}]]'.encode()])
    assert len(rows) == stopped
    return rows[0][field] if rows else None


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("whole", "0", 0),
        ("whole", "-7", -7),
        ("whole", "7238429932160864156", 7238429932160864156),
        ("whole", "8999999999999999999", 8999999999999999999),
        ("number", "4223.75", 4223.75),
        ("number", "-0.00005", -0.00005),
        ("number", "0.0000005", 5e-7),
        ("number", "123456789012345", 123456789012345.0),
        ("number", "0.30000000000001", 0.30000000000001),
        ("perhaps", "1", 1.0),
        ("flag", "true", 1),
        ("flag", "false", 0),
        ("word", '""', 7),
        ("word", '"/ÉS"', 3),
    ],
)
def test_the_usual_spelling_is_read(field: str, text: str, value: object) -> None:
    assert one(field, text) == value


def test_missing_numbers_are_nan_where_they_may_be_missing() -> None:
    assert math.isnan(one("perhaps", '"NaN"'))
    assert math.isnan(one("perhaps", "null"))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("whole", "1.0"), ("whole", "1e3"), ("whole", '"5"'), ("whole", "null"), ("whole", "true"), ("whole", "9223372036854775808"), ("whole", "01"),
        ("whole", "-"), ("whole", " 1"), ("whole", "1 "), ("whole", "+1"), ("whole", "12345678901234567890123"),
        ("number", "1e3"), ("number", "1.5E2"), ("number", '"NaN"'), ("number", "null"), ("number", ".5"), ("number", "5."), ("number", "-.5"),
        ("number", "00.5"), ("number", "1.2.3"), ("number", "1234567890.123456"), ("number", "Infinity"), ("number", "NaN"), ("number", "[1]"),
        ("perhaps", '"Infinity"'), ("perhaps", '"NaNN"'), ("perhaps", '""'), ("perhaps", '"\\u004eaN"'), ("perhaps", "nul"),
        ("flag", "1"), ("flag", "null"), ("flag", '"true"'), ("flag", "tru"), ("flag", "True"),
        ("word", '"HOLD"'), ("word", '"\\u0042UY"'), ("word", "null"), ("word", "1"), ("word", '"BUY'), ("word", "{}"),
        ("other", "01"), ("other", "1."), ("other", "1e5"), ("other", "[]"), ("other", "-"),
    ],
)  # fmt: skip
def test_any_other_spelling_is_left_to_the_slower_way(field: str, text: str) -> None:
    assert one(field, text) is None


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b'["Other",["BUY"]]', b'["Event",["BUY"],"Event",["BUY"]]', b'["Event",["BUY"]', b'["Event",["BUY",]]', b'["Event",["BUY"]]]',
        b'[{"eventType":"Event","word":"BUY"}]', b'["Event","BUY"]', b'["Event",[["BUY"]]]', b'["Event" ,["BUY"]]', b'["Event', b"[", b"", b"\xff",
        b'["Event",["BUY\\"]]',
    ],
)  # fmt: skip
def test_a_message_of_another_shape_stops_the_scan_and_those_before_it_stay(body: bytes) -> None:
    good = b'["Event",["SELL"]]'
    rows, stopped = scanned(("word",), [good, body, good])
    assert ([row["word"] for row in rows], stopped) == ([-1], 1)


def test_an_empty_list_is_no_rows() -> None:
    assert scanned(("word",), [b'["Event",[]]', b'["Event",["BUY"]]']) == ([{"word": 1, "received": 1_001, "message": 1}], 2)


def test_a_row_cut_short_gives_nothing_of_its_message() -> None:
    assert scanned(("word", "whole"), [b'["Event",["BUY",1,"SELL"]]']) == ([], 0)


def test_rows_beyond_the_room_there_is_stop_the_scan_instead_of_the_program() -> None:
    body = b'["Event",[' + b",".join([b"1"] * 9) + b"]]"
    assert scanned(("whole",), [body, body], room=8) == ([], 0)
    rows, stopped = scanned(("whole",), [body, body], room=10)
    assert (len(rows), stopped) == (9, 1)


VALUES = {
    "word": st.sampled_from(list(WORDS["word"])),
    "whole": st.integers(-(10**17), 10**18),
    "flag": st.booleans(),
    "number": st.one_of(st.integers(-(10**9), 10**9), st.decimals(-(10**6), 10**6, places=4).map(float)),
    "perhaps": st.one_of(st.none(), st.just("NaN"), st.integers(0, 9), st.decimals(0, 9, places=7).map(float)),
    "other": st.one_of(st.text(max_size=6), st.booleans(), st.none(), st.integers(), st.decimals(0, 9, places=3).map(float)),
}


@pytest.mark.property
@given(data=st.data(), fields=st.permutations(list(VALUES)), n=st.integers(0, 5), ascii_only=st.booleans())
def test_what_is_scanned_is_what_a_json_parser_reads(data: st.DataObject, fields: list[str], n: int, ascii_only: bool) -> None:
    fields = fields[: data.draw(st.integers(1, len(fields)))]
    rows = [[data.draw(VALUES[name]) for name in fields] for _ in range(n)]
    body = json.dumps(["Event", [value for row in rows for value in row]], ensure_ascii=ascii_only, separators=(",", ":"))
    found, stopped = scanned(tuple(fields), [body.encode()])
    if not stopped:
        plain = not any(e in json.dumps(row) for row in rows for e in ("e-", "e+", "\\u"))
        assert not plain or any(isinstance(value, int | float) and len(str(value).replace(".", "").lstrip("-")) > 15 for row in rows for value in row)
        return
    assert len(found) == n
    for row, said in zip(rows, found, strict=True):
        for name, value in zip(fields, row, strict=True):
            if name == "other":
                continue
            expected = WORDS["word"][value] if name == "word" else math.nan if value in (None, "NaN") else value
            assert said[name] == expected or (math.isnan(said[name]) and math.isnan(expected))


@pytest.mark.parametrize(("word", "value"), [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)])
def test_words_are_compared_by_the_published_fnv_1a(word: str, value: int) -> None:
    assert hash_of(word) == value
