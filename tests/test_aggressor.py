"""Sides: the rules by hand, the definitions in a plain loop, another library, and a real hour with the exchange's flags."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.aggressor import AggressorClassifier, Quotes, classify
from tastytrade_provider.model import Action, Contract, SideSource, TradeBatch
from tests.checks.builders import ES, a_batch
from tests.checks.oracle import cut

BUY, SELL, UNKNOWN = 1, -1, 0
NAN = math.nan
GC = Contract("GC", "/GCZ6", tick_size=0.1)


def side_of(price: float, bid: float, ask: float, quotes: Quotes = "embedded", flag: int = UNKNOWN) -> tuple[int, str]:
    found = classify(a_batch(price=[price], bid=bid, ask=ask, side=flag), quotes)
    return int(found.side[0]), SideSource(found.side_source[0]).name


@pytest.mark.parametrize(
    ("price", "bid", "ask", "expected"),
    [
        (6000.25, 6000.0, 6000.25, (BUY, "QUOTE")),
        (6000.0, 6000.0, 6000.25, (SELL, "QUOTE")),
        (6001.0, 6000.0, 6000.25, (BUY, "QUOTE")),  # through the ask
        (5990.0, 6000.0, 6000.25, (SELL, "QUOTE")),
        (6000.5, 6000.0, 6000.75, (BUY, "QUOTE")),  # inside, above the middle
        (6000.25, 6000.0, 6000.5, (UNKNOWN, "NONE")),  # the middle
        (6000.0, 6000.0, 6000.0, (UNKNOWN, "NONE")),  # locked
        (6000.0, 6000.25, 6000.0, (UNKNOWN, "NONE")),  # crossed
        (6000.0, NAN, 6000.25, (UNKNOWN, "NONE")),
        (6000.0, 6000.0, NAN, (UNKNOWN, "NONE")),
    ],
)
def test_the_quote_rule_by_hand(price: float, bid: float, ask: float, expected: tuple[int, str]) -> None:
    assert side_of(price, bid, ask) == expected


@pytest.mark.parametrize(
    ("price", "expected"),
    [(6000.5, (BUY, "QUOTE")), (6000.0, (SELL, "QUOTE")), (6000.25, (UNKNOWN, "NONE")), (6000.75, (UNKNOWN, "NONE")), (5999.75, (UNKNOWN, "NONE"))],
)
def test_emo_by_hand_asks_for_the_very_quote(price: float, expected: tuple[int, str]) -> None:
    assert side_of(price, 6000.0, 6000.5, "apart") == expected


def test_the_tick_rule_by_hand_inherits_over_equal_prices_and_knows_nothing_before_the_first_change() -> None:
    batch = a_batch(price=[6000.0, 6000.0, 6000.25, 6000.25, 6000.0, 6000.0])
    found = classify(batch)
    assert found.side.tolist() == [0, 0, 1, 1, -1, -1]
    assert found.side_source.tolist() == [3, 3, 2, 2, 2, 2]


def test_the_exchange_is_believed_before_any_rule_unless_withheld() -> None:
    assert side_of(6000.25, 6000.0, 6000.25, flag=SELL) == (SELL, "EXCHANGE")
    batch = a_batch(price=[6000.25], bid=6000.0, ask=6000.25, side=SELL)
    assert classify(batch, trust_flags=False).side.tolist() == [BUY]


def test_a_side_that_was_inferred_before_does_not_become_the_exchanges() -> None:
    batch = a_batch(price=[6000.25], side=BUY, side_source=SideSource.TICK)
    assert classify(batch).side_source.tolist() == [SideSource.TICK]


@pytest.mark.parametrize(("contract", "unit"), [(GC, "0.1"), (Contract("6E", "/6EZ6", tick_size=0.00005), "0.00005")])
@pytest.mark.parametrize("quotes", ["embedded", "apart"])
def test_the_middle_is_the_middle_also_where_floats_are_rounded(contract: Contract, unit: str, quotes: Quotes) -> None:
    ticks = np.arange(40_000, 45_000)
    bid, middle, ask = ([float(Decimal(unit) * int(count + off)) for count in ticks] for off in (0, 1, 2))
    assert not classify(a_batch(contract, price=middle, bid=bid, ask=ask), quotes).side_source.tolist().count(SideSource.QUOTE)
    assert set(classify(a_batch(contract, price=ask, bid=bid, ask=ask), quotes).side.tolist()) == {BUY}
    assert set(classify(a_batch(contract, price=bid, bid=bid, ask=ask), quotes).side.tolist()) == {SELL}


@pytest.mark.parametrize("action", [Action.CORRECTION, Action.CANCEL])
def test_what_speaks_of_an_earlier_trade_leaves_no_trace_in_the_tick_rule(action: Action) -> None:
    classifier = AggressorClassifier()
    classifier.classify(a_batch(price=[6000.0, 6000.25]))
    classifier.classify(a_batch(price=[5990.0], action=action))
    assert classifier.classify(a_batch(price=[6000.25, 6000.25])).side.tolist() == [BUY, BUY]
    assert classifier.counts == {"exchange": 0, "quote": 0, "tick": 3, "none": 1}


@pytest.mark.parametrize("pieces", [1, 3])
def test_the_tick_rule_does_not_remember_the_session_before_so_that_an_opening_auction_has_no_side(pieces: int) -> None:
    halt_ns = int(pd.Timestamp("2026-03-02T22:00Z").value)  # Monday 16:00 in Chicago; the next session opens an hour later
    at_s = [-2, -1, 3600, 3601, 3602]
    batch = a_batch(time_ns=[halt_ns + s * 10**9 for s in at_s], price=[6000.0, 6000.25, 5990.0, 5990.0, 5990.25])
    classifier = AggressorClassifier()
    found = TradeBatch.concat([classifier.classify(piece) for piece in ([batch] if pieces == 1 else [batch[:2], batch[2:3], batch[3:]])])
    assert found.side.tolist() == [UNKNOWN, BUY, UNKNOWN, UNKNOWN, BUY]
    assert found[2:].side.tolist() == classify(batch[2:]).side.tolist()  # as for those who come or ask later
    assert classifier.counts == {"exchange": 0, "quote": 0, "tick": 2, "none": 3}


def test_a_time_that_no_calendar_knows_has_sides_all_the_same() -> None:
    assert classify(a_batch(time_ns=[2**62, 2**62 + 1], price=[6000.0, 6000.25])).side.tolist() == [UNKNOWN, BUY]


def by_definition(prices: list[int], quotes: list[tuple[int, int] | None], flags: list[int], kind: Quotes) -> list[tuple[int, int]]:
    """Lee and Ready 1991; Ellis, Michaely and O'Hara 2000, in ticks."""
    out, direction, last = [], 0, None
    for price, quote, flag in zip(prices, quotes, flags, strict=True):
        if last is not None and price != last:
            direction = 1 if price > last else -1
        last = price
        side = 0
        if quote is not None and quote[0] < quote[1]:
            bid, ask = quote
            side = (price == ask) - (price == bid) if kind == "apart" else (2 * price > bid + ask) - (2 * price < bid + ask)
        if flag:
            out.append((flag, 0))
        elif side:
            out.append((side, 1))
        else:
            out.append((direction, 2 if direction else 3))
    return out


TRADES = st.lists(
    st.tuples(
        st.integers(40_000, 40_006),
        st.one_of(st.none(), st.tuples(st.integers(39_999, 40_005), st.integers(39_999, 40_007))),
        st.sampled_from([0, 0, 0, 1, -1]),
    ),
    min_size=1,
    max_size=80,
)


@pytest.mark.property
@given(trades=TRADES, kind=st.sampled_from(["embedded", "apart"]), contract=st.sampled_from([ES, GC]), seed=st.integers(0, 999))
def test_the_rules_agree_with_their_definitions_and_remember_from_batch_to_batch(
    trades: list[tuple[int, tuple[int, int] | None, int]], kind: Quotes, contract: Contract, seed: int
) -> None:
    prices, quotes, flags = ([row[i] for row in trades] for i in range(3))  # type: ignore[misc]
    unit = Decimal(repr(contract.tick_size))
    bid, ask = ([NAN if quote is None else float(unit * quote[i]) for quote in quotes] for i in range(2))  # type: ignore[index]
    batch = a_batch(contract, price=[float(unit * price) for price in prices], bid=bid, ask=ask, side=flags)  # type: ignore[operator]
    whole = classify(batch, kind)
    assert list(zip(whole.side.tolist(), whole.side_source.tolist(), strict=True)) == by_definition(prices, quotes, flags, kind)  # type: ignore[arg-type]
    classifier = AggressorClassifier(kind)
    pieces = TradeBatch.concat([classifier.classify(piece) for piece in cut(np.random.default_rng(seed), batch, 9)])
    for name in ("side", "side_source"):
        np.testing.assert_array_equal(pieces.columns[name], whole.columns[name])
    assert sum(classifier.counts.values()) == len(batch)


@pytest.mark.parametrize(("layers", "kind"), [([("quote", "ex"), ("tick", "ex")], "embedded"), ([("lr", "ex")], "embedded"), ([("emo", "ex")], "apart")])
def test_the_rules_agree_with_tclf(layers: list[tuple[str, str]], kind: Quotes) -> None:
    theirs = pytest.importorskip("tclf.classical_classifier").ClassicalClassifier

    class Classifier(theirs):  # type: ignore[misc,valid-type]
        def _validate_data(self, table: pd.DataFrame, **_: object) -> np.ndarray:  # scikit-learn 1.7 took this helper away; tclf 0.0.9 calls it
            return table.to_numpy(np.float64)

    # ES at 6,000: a tick is wider there than the tolerance of tclf's EMO, which fails above 25,000
    rng = np.random.default_rng(4)
    ticks, low = 24_000 + np.cumsum(rng.integers(-2, 3, 2_000)), rng.integers(-2, 1, 2_000)
    bid, ask = (ticks + low) / 4, (ticks + low + rng.integers(1, 4, 2_000)) / 4
    last_different = [next((t / 4 for t in ticks[:i][::-1] if t != ticks[i]), NAN) for i in range(len(ticks))]
    table = pd.DataFrame({"trade_price": ticks / 4, "bid_ex": bid, "ask_ex": ask, "price_ex_lag": last_different})
    said = Classifier(layers=layers, strategy="const").fit(table).predict(table)
    assert classify(a_batch(price=ticks / 4, bid=bid, ask=ask), kind).side.tolist() == said.astype(int).tolist()


@pytest.mark.parametrize(("quotes", "agree"), [("embedded", 2972), ("apart", 2972)])
def test_on_the_real_hour_the_quote_before_the_match_tells_what_the_exchange_told(tapes: Path, quotes: Quotes, agree: int) -> None:
    table = pd.read_csv(tapes / "es_h4_20231225_trades_bbo.csv.gz")
    table["time"] = pd.to_datetime(table["ts_event_ns"], unit="ns", utc=True)
    told = TradeBatch.from_dataframe(table[["time", "price", "size", "side", "bid", "ask"]], ES)
    flagged = told.side != UNKNOWN
    found = classify(told, quotes, trust_flags=False)
    assert int((found.side[flagged] == told.side[flagged]).sum()) == int(flagged.sum()) == agree
    assert (int((~flagged).sum()), told.size[~flagged].sum()) == (1, 44)
    assert found.side[0] == UNKNOWN  # the auction met a crossed quote and no trade before it
    alone = classify(told.replace(bid=np.full(len(told), NAN)), trust_flags=False)
    right = (alone.side == told.side) & flagged
    assert round(100 * float(told.size[right].sum()) / float(told.size[flagged].sum())) == 81  # the tick rule's share of volume
