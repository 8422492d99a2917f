"""TimeAndSale rows to trades: real rows, every shape a server may send, and what cannot be read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.errors import ProtocolViolation
from tastytrade_provider.model import Contract, TradeBatch, TradeFlag
from tastytrade_provider.tastytrade.mapping import FIELDS, TradeDecoder

ESM3 = Contract("ES", "/ESM3", "/ESM23:XCME", "CME", tick_size=0.25, multiplier=50)
GC = Contract("GC", "/GCQ3", "/GCQ23:XCEC", "CME", tick_size=0.1, multiplier=100)
ODD = Contract("É", "/É", '/É"S', "X", tick_size=0.5, size_step=0.001)
CONTRACTS = {contract.streamer_symbol: contract for contract in (ESM3, GC, ODD)}
ALL = (
    "eventSymbol", "eventTime", "eventFlags", "index", "time", "timeNanoPart", "sequence", "exchangeCode", "price", "size", "bidPrice", "askPrice",
    "exchangeSaleConditions", "tradeThroughExempt", "aggressorSide", "spreadLeg", "extendedTradingHours", "validTick", "type", "buyer", "seller",
)  # fmt: skip
"""Every column of a TimeAndSale, in the order of dxFeed's documentation."""

# Real prints of 2023-05-29 as tastyware/tastytrade pull request 47 shows them.
REAL = b"""["TimeAndSale",["/ESM23:XCME",0,0,7238429932160864156,1685328300152,0,53148,"G",4223.75,1.0,4223.5,4223.75,null,"\\u0000","BUY",false,false,true,\
"NEW",null,null,"/ESM23:XCME",0,0,7238429932160864157,1685328300152,0,53149,"G",4223.75,1.0,4223.5,4223.75,null,"\\u0000","BUY",false,false,true,"NEW",null,null]]"""


class Slowly(TradeDecoder):
    """Every message the long way."""

    def _layout(self, fields_of: Callable[[str], Sequence[str]]) -> Any:
        return None, *super()._layout(fields_of)[1:]


def a_decoder(kind: type[TradeDecoder] = TradeDecoder) -> TradeDecoder:
    decoder = kind()
    for contract in CONTRACTS.values():
        decoder.watch(contract)
    return decoder


def decoded(bodies: Sequence[bytes], fields: Sequence[str] | None = FIELDS, kind: type[TradeDecoder] = TradeDecoder) -> tuple[list[TradeBatch], TradeDecoder]:
    def fields_of(event_type: str) -> Sequence[str]:
        if fields is None or event_type != "TimeAndSale":
            raise ProtocolViolation(f"{event_type} was not announced")
        return fields

    decoder = a_decoder(kind)
    messages = [feed_data(1, body) for body in bodies]
    return decoder.decode([message.raw for message in messages], [10**18 + i for i in range(len(bodies))], fields_of), decoder


def a_row(**changes: Any) -> dict[str, Any]:
    values = {
        "eventSymbol": "/ESM23:XCME", "eventFlags": 0, "index": 7238429932160864156, "time": 1685328300152, "timeNanoPart": 0, "price": 4223.75, "size": 1.0,
        "bidPrice": 4223.5, "askPrice": 4223.75, "aggressorSide": "BUY", "spreadLeg": False, "extendedTradingHours": False, "validTick": True, "type": "NEW",
    }  # fmt: skip
    return values | changes


def a_body(*rows: dict[str, Any], fields: Sequence[str] = FIELDS) -> bytes:
    return json.dumps(["TimeAndSale", [row.get(name) for row in rows for name in fields]], separators=(",", ":"), ensure_ascii=False).encode()


def same(one: tuple[list[TradeBatch], TradeDecoder], other: tuple[list[TradeBatch], TradeDecoder]) -> None:
    assert one[1].rejected == other[1].rejected, (list(one[1].rejects), list(other[1].rejects))
    for a, b in zip(one[0], other[0], strict=True):
        assert a.contract == b.contract
        for name, column in a.columns.items():
            np.testing.assert_array_equal(column, b.columns[name], err_msg=name)
            assert column.dtype == b.columns[name].dtype


@pytest.mark.parametrize("kind", [TradeDecoder, Slowly])
def test_real_prints_are_the_trades_they_were(kind: type[TradeDecoder]) -> None:
    (batch,), decoder = decoded([REAL], ALL, kind)
    assert (len(batch), decoder.rejected, batch.contract) == (2, 0, ESM3)
    first = next(iter(batch))
    assert (first.time_ns, first.received_ns, first.index) == (1685328300152 * 10**6, 10**18, 7238429932160864156)
    assert (first.price, first.size, first.bid, first.ask, first.side.name, first.side_source.name) == (4223.75, 1, 4223.5, 4223.75, "BUY", "EXCHANGE")
    assert (first.action.name, first.flags) == ("NEW", TradeFlag.VALID_TICK)
    assert (batch.ticks.tolist(), batch.lots.tolist()) == ([16_895, 16_895], [1, 1])
    assert batch.index.tolist() == [7238429932160864156, 7238429932160864157]


@pytest.mark.parametrize("kind", [TradeDecoder, Slowly])
def test_without_a_time_the_index_tells_it(kind: type[TradeDecoder]) -> None:
    fields = [name for name in FIELDS if name not in ("time", "timeNanoPart")]
    (batch,), _ = decoded([a_body(a_row(), fields=fields)], fields, kind)
    assert batch.time_ns.tolist() == [1685328300152 * 10**6]


@pytest.mark.parametrize("kind", [TradeDecoder, Slowly])
def test_nanoseconds_flags_and_actions_arrive(kind: type[TradeDecoder]) -> None:
    rows = [
        a_row(timeNanoPart=123_456, aggressorSide="SELL", spreadLeg=True),
        a_row(type="CORRECTION", extendedTradingHours=True, aggressorSide="UNDEFINED"),
        a_row(type="CANCEL", validTick=False, price=4223.8, size=0.5),
    ]
    (batch,), _ = decoded([a_body(*rows)], kind=kind)
    assert batch.time_ns.tolist()[0] % 10**6 == 123_456
    assert (batch.side.tolist(), batch.side_source.tolist(), batch.action.tolist()) == ([-1, 0, 1], [0, 3, 0], [0, 1, 2])
    valid = TradeFlag.VALID_TICK
    assert batch.flags.tolist() == [valid | TradeFlag.SPREAD_LEG, valid | TradeFlag.EXTENDED_HOURS, TradeFlag.OFF_TICK | TradeFlag.OFF_STEP]


@pytest.mark.parametrize("kind", [TradeDecoder, Slowly])
def test_contracts_interleaved_in_a_message_come_apart_in_order(kind: type[TradeDecoder]) -> None:
    rows = [a_row(index=7238429932160864156 + i, eventSymbol=symbol, price=100.0 + i) for i, symbol in enumerate([*CONTRACTS, *CONTRACTS, "/GCQ23:XCEC"])]
    batches, decoder = decoded([a_body(*rows[:4]), a_body(*rows[4:])], kind=kind)
    assert {batch.contract.symbol: batch.price.tolist() for batch in batches} == {"/ESM3": [100, 103], "/GCQ3": [101, 104, 106], "/É": [102, 105]}
    assert [batch.received_ns.tolist() for batch in batches if batch.contract == GC] == [[10**18, 10**18 + 1, 10**18 + 1]]
    assert decoder.rejected == 0


def test_full_rows_name_their_own_columns() -> None:
    body = json.dumps([{"eventType": "TimeAndSale", **a_row(), "bidPrice": "NaN"}, {"eventType": "TimeAndSale", **a_row(eventSymbol="/GCQ23:XCEC")}]).encode()
    for fields in (None, FIELDS):
        batches, decoder = decoded([body], fields)
        assert [batch.contract for batch in batches] == [ESM3, GC]
        assert (math.isnan(batches[0].bid[0]), decoder.rejected) == (True, 0)


def test_short_full_rows_among_compact_ones_find_room() -> None:
    full = json.dumps([{"eventType": "TimeAndSale", "eventSymbol": "/ESM23:XCME", "time": 1685328300152, "price": 1, "size": 1}] * 300).encode()
    compact = a_body(*[a_row(index=7238429932160864156 + i) for i in range(200)], fields=(*FIELDS, *(f"x{i}" for i in range(80))))
    (batch,), decoder = decoded([full, compact, full, compact], (*FIELDS, *(f"x{i}" for i in range(80))))
    assert (len(batch), decoder.rejected) == (1000, 0)


@pytest.mark.parametrize("kind", [TradeDecoder, Slowly])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"eventSymbol": "/NQM23:XCME"}, "symbol '/NQM23:XCME' is not subscribed"),
        ({"eventSymbol": None}, "is not subscribed"),
        ({"type": "UPDATE"}, "type 'UPDATE' is none of NEW, CORRECTION, CANCEL"),
        ({"type": []}, "type '[]' is none of"),
        ({"type": {}}, "is none of"),
        ({"price": "NaN"}, "no price"),
        ({"price": None}, "no price"),
        ({"price": "Infinity"}, "no price"),
        ({"size": "NaN"}, "no size"),
        ({"size": -1.0}, "out of range"),
        ({"size": 1e300}, "out of range"),
        ({"price": 1e12}, "out of range"),
        ({"price": -1e12}, "out of range"),
        ({"index": 2**63}, "no 64-bit integer"),
        ({"index": "soon"}, "index 'soon' is no 64-bit integer"),
        ({"index": None, "time": None}, "neither index nor time is there"),
        ({"time": 0}, "out of range"),
        ({"time": 10**17}, "out of range"),
        ({"timeNanoPart": -5}, "out of range"),
        ({"timeNanoPart": 10**12}, "out of range"),
        ({"index": 2**63 - 1, "time": 2147483648023, "price": 0.0, "size": 0.0}, "out of range"),  # dxFeed's row of 2038, which ends a snapshot
    ],
)
def test_a_row_that_is_no_trade_is_counted_and_kept_with_the_reason_and_the_others_pass(kind: type[TradeDecoder], change: dict[str, Any], reason: str) -> None:
    (batch,), decoder = decoded([a_body(a_row(), a_row(price=1.25, **change) if "price" not in change else a_row(**change), a_row())], kind=kind)
    assert (len(batch), decoder.rejected) == (2, 1)
    (kept,) = decoder.rejects
    assert reason in kept
    shown = json.loads(kept.partition(": ")[2])
    assert shown["askPrice"] == 4223.75


@pytest.mark.parametrize("deep", [300, 1000, 5000])
def test_a_value_nested_absurdly_deep_ends_as_a_reject(deep: int) -> None:
    nested = "[" * deep + "]" * deep
    for name in ("eventSymbol", "type", "index", "price", "aggressorSide"):
        body = a_body(a_row(**{name: "NEST"})).replace(b'"NEST"', nested.encode())
        batches, decoder = decoded([body, a_body(a_row())])
        assert sum(map(len, batches)) + decoder.rejected == 2


@pytest.mark.parametrize("change", [{"price": "NaN", "size": "NaN"}, {"price": None, "size": 0}, {"price": 1e300}])
def test_a_cancel_is_read_by_its_index_whatever_else_it_carries(change: dict[str, Any]) -> None:
    (batch,), decoder = decoded([a_body(a_row(type="CANCEL", validTick=False, **change))])
    assert (batch.action.tolist(), batch.index.tolist(), decoder.rejected) == ([2], [7238429932160864156], 0)


@pytest.mark.parametrize(
    "body",
    [
        b'["TimeAndSale",["/ESM23:XCME"]]', b'["TimeAndSale"]', b'["TimeAndSale",{}]', b"[1", b"7", b"", b"null", b'[{"eventSymbol":"A"}]', b"\xff\xfe",
        b'["Quote",["/ESM23:XCME",1]]',
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_read_is_one_reject_and_the_next_one_passes(body: bytes) -> None:
    batches, decoder = decoded([a_body(a_row()), body, a_body(a_row())])
    assert ([len(batch) for batch in batches], decoder.rejected, len(decoder.rejects)) == ([2], 1, 1)


@pytest.mark.parametrize("body", [b"[]", b'["TimeAndSale",[]]'])
def test_nothing_is_nothing(body: bytes) -> None:
    batches, decoder = decoded([body])
    assert (batches, decoder.rejected) == ([], 0)


def test_of_rejects_the_latest_twenty_are_kept_and_all_are_counted() -> None:
    _, decoder = decoded([a_body(*[a_row(eventSymbol=f"/{i}") for i in range(50)])])
    assert (decoder.rejected, len(decoder.rejects)) == (50, 20)
    assert "'/49'" in decoder.rejects[-1]


def test_a_contract_is_read_from_the_moment_it_is_watched() -> None:
    decoder = TradeDecoder()
    message, fields = feed_data(1, a_body(a_row())), {"TimeAndSale": FIELDS}.__getitem__
    assert decoder.decode([message.raw], [1], fields) == []
    decoder.watch(ESM3)
    decoder.watch(ESM3)
    assert [len(batch) for batch in decoder.decode([message.raw], [1], fields)] == [1]
    assert decoder.rejected == 1


# -- the fast way and the slow way

USUAL = {
    "eventSymbol": st.sampled_from(list(CONTRACTS)),
    "eventFlags": st.sampled_from([0, 1, 64]),
    "index": st.integers(7238429932160864156, 7238429932160864156 + 10**9),
    "time": st.integers(1685328300152, 1785328300152),
    "timeNanoPart": st.integers(0, 999_999),
    "price": st.one_of(st.integers(-2_000, 90_000).map(lambda ticks: ticks / 4), st.decimals(0, 5_000, places=5).map(float)),
    "size": st.one_of(st.integers(0, 99), st.integers(0, 99).map(float), st.decimals(0, 9, places=3).map(float)),
    "bidPrice": st.sampled_from([4223.5, "NaN", None, 0.1, 7]),
    "askPrice": st.sampled_from([4223.75, "NaN", None, 0.1, 7]),
    "aggressorSide": st.sampled_from(["BUY", "SELL", "UNDEFINED"]),
    "spreadLeg": st.booleans(),
    "extendedTradingHours": st.booleans(),
    "validTick": st.booleans(),
    "type": st.sampled_from(["NEW", "NEW", "CORRECTION", "CANCEL"]),
}
OTHER = {name: st.sampled_from([None, "", "\0", "G", 'say "no"', 0, -1, 1.5, True]) for name in ALL if name not in USUAL}
ODDITIES = st.sampled_from([
    None, "NaN", "Infinity", "", "BUY", "buy", "1", "1.5", " 7", "1_0", "1e3", "\0", "é", "\u0663",
    0, -1, 1, 1.0, 1e22, 2**63, 10**30, True, False, [], [[]], {}, {"a": 1},
])  # fmt: skip


def true_value(row: dict[str, Any], name: str) -> Any:
    return math.nan if row.get(name) in (None, "NaN") else row[name]


@pytest.mark.property
@settings(max_examples=150)
@given(
    data=st.data(), order=st.permutations(list(USUAL | OTHER)), ways=st.lists(st.sampled_from(["compact", "ascii", "pairs", "full"]), min_size=1, max_size=4)
)
def test_every_usual_row_is_the_trade_it_says_by_either_way(data: st.DataObject, order: list[str], ways: list[str]) -> None:
    needed = {"eventSymbol", "price", "size", "index"}
    fields = [name for name in order if name in needed or data.draw(st.booleans())]
    bodies, rows = [], list[dict[str, Any]]()
    for way in ways:
        made = [{name: data.draw((USUAL | OTHER)[name]) for name in fields} for _ in range(data.draw(st.integers(0, 4)))]
        rows += made
        values = [row[name] for row in made for name in fields]
        shape: Any = ["TimeAndSale", values]
        if way == "pairs":
            shape = ["TimeAndSale", values[: len(fields)], "TimeAndSale", values[len(fields) :]]
        if way == "full":
            shape = [{"eventType": "TimeAndSale", **row} for row in made]
        bodies.append(json.dumps(shape, ensure_ascii=way == "ascii", separators=(",", ":")).encode())
    fast, slow = decoded(bodies, fields), decoded(bodies, fields, Slowly)
    same(fast, slow)
    assert fast[1].rejected == 0
    for contract in CONTRACTS.values():
        mine = [row for row in rows if row["eventSymbol"] == contract.streamer_symbol]
        found = [trade for batch in fast[0] if batch.contract == contract for trade in batch]
        assert len(found) == len(mine)
        for trade, row in zip(found, mine, strict=True):
            time_ms = row.get("time", (row["index"] >> 32) * 1000 + ((row["index"] >> 22) & 1023))
            assert (trade.index, trade.time_ns) == (row["index"], time_ms * 10**6 + row.get("timeNanoPart", 0))
            assert (trade.price, trade.size) == (row["price"], row["size"])
            assert (trade.bid, trade.ask) == tuple(None if math.isnan(true_value(row, name)) else row[name] for name in ("bidPrice", "askPrice"))
            assert trade.side.name == {"UNDEFINED": "UNKNOWN"}.get(word := row.get("aggressorSide", "UNDEFINED"), word)
            assert trade.action.name == row.get("type", "NEW")
            names = ("validTick", "spreadLeg", "extendedTradingHours")
            assert trade.flags & 7 == sum(row.get(name, name == "validTick") << i for i, name in enumerate(names))


@pytest.mark.property
@settings(max_examples=300)
@given(data=st.data(), order=st.permutations(FIELDS), n=st.integers(1, 4))
def test_odd_values_are_read_alike_by_either_way_and_never_end_the_decoder(data: st.DataObject, order: list[str], n: int) -> None:
    fields = order[: data.draw(st.integers(5, len(order)))]
    rows = [{name: data.draw(st.one_of(USUAL[name], USUAL[name], ODDITIES)) for name in fields} for _ in range(n)]
    bodies = [a_body(row, fields=fields) for row in rows]
    fast = decoded(bodies, fields)
    same(fast, decoded(bodies, fields, Slowly))
    assert sum(map(len, fast[0])) + fast[1].rejected == n


@pytest.mark.property
@settings(max_examples=400)
@given(data=st.data(), n=st.integers(1, 3))
def test_garbage_bytes_are_counted_and_nothing_false_is_read(data: st.DataObject, n: int) -> None:
    body = bytearray(a_body(*[{name: data.draw(USUAL[name]) for name in FIELDS} for _ in range(n)]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        what = data.draw(st.sampled_from(["change", "remove", "insert", "cut"]))
        byte = data.draw(st.one_of(st.sampled_from(list(b'[]{},:"\\0159.-eNtfn ')), st.integers(0, 255)))
        if what == "change":
            body[at] = byte
        elif what == "insert":
            body.insert(at, byte)
        else:
            del body[at : at + 1 if what == "remove" else at + 9]
    good = a_body(a_row(price=77.25))
    fast = decoded([bytes(body), good])
    same(fast, decoded([bytes(body), good], kind=Slowly))
    assert any(77.25 in batch.price.tolist() for batch in fast[0])


@given(raw=st.binary(max_size=60))
def test_any_bytes_at_all_are_a_reject(raw: bytes) -> None:
    decoder = a_decoder()
    assert decoder.decode([raw], [1], {"TimeAndSale": FIELDS}.__getitem__) == []
    assert decoder.rejected == 1
