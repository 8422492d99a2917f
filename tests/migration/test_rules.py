"""The table of call sites: names that exist, one class per rule, a guide's table that shows every row."""

from __future__ import annotations

import pytest

from migration.rules import CALL_SITES, PANDAS_TRAPS, find, table, unmistakable

ib_async = pytest.importorskip("ib_async")


def rules_of(api: str, kind: str) -> list[str]:
    return [name for rule in CALL_SITES if (rule.api, rule.kind) == (api, kind) for name in rule.names]


def test_every_method_event_class_and_function_of_the_table_is_one_of_ib_asyncs() -> None:
    ib = ib_async.IB
    assert [name for name in rules_of("ib", "method") if not callable(getattr(ib, name, None))] == []
    assert set(rules_of("ib", "event")) - {"updateEvent"} <= set(ib.events)
    assert [name for name in rules_of("ib", "class") if not isinstance(getattr(ib_async, name), type)] == []
    assert [name for name in rules_of("ib", "function") if not callable(getattr(ib_async.util, name.removeprefix("util."), None))] == []


def test_every_method_of_ib_async_that_asks_or_cancels_has_a_row() -> None:
    ours = set(rules_of("ib", "method"))
    assert [name for name in dir(ib_async.IB) if name.startswith(("req", "cancel", "qualify", "calculate", "getWsh")) and name not in ours] == []
    assert [name for name in ib_async.IB.events if not find("ib", "event", name)] == []


def test_a_rule_has_one_class_and_one_section_wherever_it_is_met() -> None:
    for name in {rule.id for rule in (*CALL_SITES, *PANDAS_TRAPS)}:
        assert len({rule.effort for rule in (*CALL_SITES, *PANDAS_TRAPS) if rule.id == name}) == 1, name
    assert all(rule.anchor and rule.advice.endswith((".", "cap of five streams.")) for rule in CALL_SITES)


def test_the_plain_row_of_a_call_comes_after_those_with_a_condition() -> None:
    for rule in CALL_SITES:
        for name in rule.names:
            rows = find(rule.api, rule.kind, name)
            assert [row.when is None for row in rows].count(True) == 1, (rule.id, name)
            assert rows[-1].when is None


def test_names_that_other_libraries_use_too_are_never_enough_by_themselves() -> None:
    assert not unmistakable() & {"connect", "disconnect", "sleep", "run", "positions", "orders", "trades", "placeOrder", "cancelOrder", "schedule", "ticker"}


def test_the_guides_table_has_a_line_for_every_row() -> None:
    lines = table().splitlines()
    assert len(lines) == 2 + len(CALL_SITES)
    assert all(line.count("|") == 7 for line in lines)
