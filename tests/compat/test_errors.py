"""What is not served says so, in the guide's words; nothing that ib_async has is forgotten."""

from __future__ import annotations

import inspect
import re

import ib_async
import pytest

from migration.rules import CALL_SITES
from tastytrade_provider import compat
from tastytrade_provider.compat import IB
from tastytrade_provider.compat.errors import EVENTS, METHODS, code_of, refused
from tastytrade_provider.errors import FeedError, NoData, NotSupported, RequestTimeout, UnsupportedTimeframe

RULES = {rule_kind: {} for rule_kind in ("method", "event")}
for rule in CALL_SITES:
    if rule.api == "ib" and rule.kind in RULES and rule.when is None:
        for name in rule.names:
            RULES[rule.kind].setdefault(name, rule)
PUBLIC = {name for name, _ in inspect.getmembers(ib_async.IB) if not name.startswith("_")}


@pytest.fixture
def ib() -> IB:
    return IB(config={"data_provider": "demo"})


@pytest.mark.parametrize("name", sorted(name for name in PUBLIC if name.removesuffix("Async") in METHODS))
def test_a_method_without_equivalent_raises_and_names_the_guide_s_section(ib: IB, name: str) -> None:
    with pytest.raises(NotSupported, match=rf"{name}: .*\(migration guide: {METHODS[name.removesuffix('Async')]}\)"):
        getattr(ib, name)()


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_that_could_never_come_raises_where_it_is_looked_at(ib: IB, name: str) -> None:
    with pytest.raises(NotSupported, match=rf"{name}: .*\(migration guide: {EVENTS[name]}\)"):
        getattr(ib, name)


def test_the_sections_are_those_of_the_guide() -> None:
    told = {**METHODS, **EVENTS}
    differing = {
        name: (rule.anchor, told.get(name.removesuffix("Async")))
        for rules in RULES.values()
        for name, rule in rules.items()
        if rule.compat == "none" and name in PUBLIC | set(ib_async.IB.events)
        and told.get(name.removesuffix("Async")) != rule.anchor
    }  # fmt: skip
    assert differing == {}


def test_every_other_method_is_ib_async_s_or_ours() -> None:
    kept = PUBLIC - {name for name in PUBLIC if name.removesuffix("Async") in METHODS}
    requests = {name.removesuffix("Async") for name in kept if re.match("req|cancel|qualify|calc|place|exercise", name)}
    assert requests == {
        *("qualifyContracts", "reqContractDetails", "reqHistoricalData", "cancelHistoricalData", "reqHistoricalTicks", "reqHeadTimeStamp"),
        *("reqRealTimeBars", "cancelRealTimeBars", "reqMktData", "cancelMktData", "reqTickByTickData", "cancelTickByTickData", "reqTickers"),
        "reqMarketDataType",
    }


def test_another_request_of_the_client_does_not_pass_in_silence(ib: IB) -> None:
    with pytest.raises(NotSupported, match="request 12 of the TWS API"):
        ib.client.reqNewsBulletins(True)


def test_an_attribute_that_is_not_there_is_an_attribute_error(ib: IB) -> None:
    with pytest.raises(AttributeError, match="fooEvent"):
        _ = ib.fooEvent


@pytest.mark.parametrize("kind", [NoData, RequestTimeout, UnsupportedTimeframe])
def test_an_error_is_of_its_class_and_a_request_error(kind: type[Exception]) -> None:
    original = kind("what it says")
    made = refused(7, original)
    assert isinstance(made, kind)
    assert isinstance(made, ib_async.RequestError)
    assert (made.reqId, made.code, made.message, str(made)) == (7, code_of(original), "what it says", "what it says")
    assert made.__cause__ is original


def test_what_is_no_error_of_ours_is_a_feed_error() -> None:
    assert isinstance(refused(7, KeyError("x")), FeedError)


def test_everything_of_ib_async_can_be_imported_from_here() -> None:
    for name in {*ib_async.__all__, "Forex", "ticker", "contract"} - {"IB"}:
        assert getattr(compat, name) is getattr(ib_async, name)
    assert issubclass(compat.IB, ib_async.IB)
    names: dict[str, object] = {}
    exec("from tastytrade_provider.compat import *", names)
    assert names["IB"] is IB
    assert {"util", "Stock", "Future", "ContFuture", "Forex", "BarData", "BarDataList", "Ticker"} <= set(names)
