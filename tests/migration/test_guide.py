"""The guide: its table is the rules', its anchors exist, and every example in it runs and shows what the text beside it says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("libcst")
pytest.importorskip("ib_async", reason="the extra [ib] is not installed")

from migration.guide import Example, anchors, with_table
from migration.rules import CALL_SITES, PANDAS_TRAPS
from tastytrade_provider.compat.errors import EVENTS, METHODS
from tastytrade_provider.config import load
from tastytrade_provider.emulator import Emulator, QuoteChange
from tests.checks.sources import until
from tests.migration.pairs import EXAMPLES, GUIDE, at_the_exchange, followed, of_section, printed, run
from tests.migration.world import NOW_NS, World, an_exchange

Names = dict[str, Any]


# --- the guide as a document


def test_the_table_is_that_of_the_rules() -> None:
    assert with_table(GUIDE) == GUIDE, "run: python -m migration.guide"


def test_every_section_that_a_rule_or_a_refusal_of_compat_names_exists_once() -> None:
    there = anchors(GUIDE)
    named = {rule.anchor for rule in (*CALL_SITES, *PANDAS_TRAPS)} | set(METHODS.values()) | set(EVENTS.values())
    assert sorted(named - set(there)) == []
    assert len(set(there)) == len(there)


def test_every_link_inside_the_guide_leads_somewhere() -> None:
    assert set(re.findall(r"\]\(#([\w-]+)\)", GUIDE)) - set(anchors(GUIDE)) == set()


# --- pairs: the same market through both doors


def bars_of_ib(bars: Any, closed: int | None = None) -> list[tuple[float, ...]]:
    return [(bar.date.timestamp(), bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in list(bars)[:closed]]


def bars_of_frame(frame: Any) -> list[tuple[float, ...]]:
    return [(time.timestamp(), *row) for time, row in zip(frame.index, frame[["open", "high", "low", "close", "volume"]].to_numpy().tolist(), strict=True)]


def closed(bars: Any) -> list[tuple[float, ...]]:
    return [(bar.start_ns / 1e9, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars]


def connection(before: Names, after: Names) -> None:
    assert before["ib"].client.host == "127.0.0.1"
    assert after["provider"].name == "tastytrade"


def contracts(before: Names, after: Names) -> None:
    assert (before["es"].localSymbol, before["es"].lastTradeDateOrContractMonth) == ("ESZ6", "20261218")
    assert (after["es"].symbol, f"{after['es'].expiry:%Y%m%d}") == ("/ESZ6", "20261218")


def facts(before: Names, after: Names) -> None:
    assert before["facts"] == after["facts"] == (0.25, 50.0, "20261218")


def month(before: Names, after: Names) -> None:
    assert before["month"] == after["month"] == "ESZ6"


def session(before: Names, after: Names) -> None:
    assert (before["opened"], before["closed"], before["label"]) == ("20261116-17:00:00", "20261117-16:00:00", "20261117")
    told = [f"{np.datetime64(after[name], 'ns').astype('M8[s]')}" for name in ("opened", "closed")]
    assert (told, after["label"].isoformat()) == (["2026-11-16T23:00:00", "2026-11-17T22:00:00"], "2026-11-17")


def history(before: Names, after: Names) -> None:
    assert len(before["bars"]) > 100
    assert bars_of_ib(before["bars"]) == bars_of_frame(after["bars"])
    assert [bar.barCount for bar in before["bars"]] == after["bars"]["trades"].tolist()


def head(before: Names, after: Names) -> None:
    assert before["head"].isoformat() == "2026-11-15T23:00:01+00:00"
    assert after["head"].isoformat() == "2026-11-15T23:00:00+00:00"


def daily(before: Names, after: Names) -> None:
    theirs = [(bar.date.isoformat(), bar.open, bar.high, bar.low, bar.volume) for bar in before["daily"]]
    rows = after["daily"].reset_index()[["session", "open", "high", "low", "volume"]].itertuples(index=False, name=None)
    assert theirs == [(label.date().isoformat(), *rest) for label, *rest in rows]
    assert [row[0] for row in theirs] == ["2026-11-16", "2026-11-17"]


def history_live(before: Names, after: Names) -> None:
    ours, theirs = closed(after["bars"]), bars_of_ib(before["bars"], closed=-1)
    assert len(ours) == 32
    assert ours[-1][0] > NOW_NS / 1e9  # some of them have closed live
    assert ours == theirs[: len(ours)]


def live_prints(count: int) -> list[tuple[float, float]]:
    return [(event.price, event.size) for event in World().prints()[:count]]


def ticks(before: Names, after: Names) -> None:
    assert [(tick.price, tick.size) for tick in before["ticks"][:100]] == live_prints(100)
    assert [(trade.price, trade.size) for trade in after["trades"][:100]] == live_prints(100)
    assert {int(trade.side) for trade in after["trades"]} == {1, -1}


def best(before: Names, after: Names) -> None:
    quoted = {event[2:] for event in World() if isinstance(event, QuoteChange) and event.contract.root == "ES"}
    quoted = {(bid, bid_size, ask, ask_size) for bid, ask, bid_size, ask_size in quoted}
    assert {before["best"], after["best"]} <= quoted


def past(before: Names, after: Names) -> None:
    theirs = [(tick.price, tick.size) for tick in before["past"]]
    assert len(theirs) == 95
    assert [(trade.price, trade.size) for trade in after["past"]] == theirs


def realtime(before: Names, after: Names) -> None:
    theirs = [(bar.time.timestamp(), bar.open_, bar.high, bar.low, bar.close, bar.volume) for bar in before["bars"]]
    ours = closed(after["bars"])
    whole = set(theirs) & set(ours)
    assert len(whole) >= 9  # either side may begin with the bar that was running
    assert {row[0] for row in theirs} & {row[0] for row in ours} - {row[0] for row in whole} <= {min(theirs)[0]}


def figures(before: Names, after: Names) -> None:
    assert before["seen"] == after["seen"]
    assert before["seen"][2] > 5_000


def events(before: Names, after: Names) -> None:
    for root in ("ES", "NQ"):
        expected = [(event.price, event.size) for event in World().prints(root)[:100]]
        for names in (before, after):
            assert [(price, size) for symbol, price, size in names["prints"] if symbol == root][:100] == expected


def bars_only(before: Names, after: Names) -> None:
    assert len(before["bars"]) == 60
    assert bars_of_ib(before["bars"]) == bars_of_frame(after["bars"])


def frames(before: Names, after: Names) -> None:
    columns = ["open", "high", "low", "close", "volume", "average", "barCount"]
    ours, theirs = after["frame"], before["frame"]
    assert [stamp.timestamp() for stamp in ours["date"]] == [stamp.timestamp() for stamp in theirs["date"]]
    np.testing.assert_allclose(ours[columns].to_numpy(float), theirs[columns].to_numpy(float))


def errors(before: Names, after: Names) -> None:
    assert before["code"] == 200
    assert "ESZ99" in after["reason"]


def outages(before: Names, after: Names) -> None:
    every = [event.price for event in World().prints()]
    theirs = [tick.price for tick in before["es_ticks"]]
    assert any(theirs == every[:k] + every[160 : 160 + len(theirs) - k] for k in range(151))  # the ten are nowhere
    assert after["prices"] == [event.price for event in World().prints()]


def native(before: Names, after: Names) -> None:
    assert len(before["bars"]) > 100
    assert before["bars"] == after["bars"]


# --- what happens on the exchange while an example runs, where it is more than a tape that plays


async def two_contracts(emulator: Emulator) -> None:
    await until(lambda: followed(emulator) == 2, "two contracts were not subscribed")
    emulator.publish(sorted((event for root in ("ES", "NQ") for event in World().prints(root)), key=lambda event: event.at_ns))


async def a_cut(emulator: Emulator) -> None:
    """A minute and more of prints, ten while the line is cut, then the rest."""
    prints = World().prints()
    await until(lambda: followed(emulator) == 1, "nothing was subscribed")
    emulator.publish(prints[:150])
    emulator.tws.drop_connections()
    for visitor in emulator.visitors:
        visitor.abort()
    await until(lambda: followed(emulator) == 0, "the line was not cut")
    emulator.publish(prints[150:160])
    await until(lambda: followed(emulator) == 1, "it did not come back")
    emulator.publish(prints[160:])


Check = Callable[[Names, Names], None]
PAIRS: dict[tuple[str, int], tuple[Check, str, Callable[[Emulator], Awaitable[None]] | None]] = {
    # section, number of the pair in it: (check, event type that starts the tape or "", what happens else)
    ("connection", 0): (connection, "", None),
    ("contracts", 0): (contracts, "", None),
    ("contract-details", 0): (facts, "", None),
    ("continuous", 0): (month, "", None),
    ("sessions", 0): (session, "", None),
    ("history", 0): (history, "", None),
    ("history", 1): (head, "", None),
    ("daily-bars", 0): (daily, "", None),
    ("history-live", 0): (history_live, "TimeAndSale", None),
    ("ticks", 0): (ticks, "TimeAndSale", None),
    ("ticks", 1): (best, "Quote", None),
    ("ticks", 2): (past, "", None),
    ("realtime-bars", 0): (realtime, "TimeAndSale", None),
    ("market-data", 0): (figures, "", None),
    ("events", 0): (events, "", two_contracts),
    ("event-loop", 0): (bars_only, "", None),
    ("frames", 0): (frames, "", None),
    ("errors", 0): (errors, "", None),
    ("outages", 0): (outages, "", a_cut),
    ("native", 0): (native, "", None),
}


def pairs() -> dict[tuple[str, int], Example]:
    found: dict[tuple[str, int], Example] = {}
    for example in EXAMPLES:
        if example.pair is not None:
            found[example.anchor, sum(anchor == example.anchor for anchor, _ in found)] = example
    return found


FOUND = pairs()


def test_every_pair_of_the_guide_is_run() -> None:
    assert sorted(FOUND) == sorted(PAIRS)


async def shown(key: tuple[str, int], side: int) -> Names:
    """What one side of a pair has made, with connection and contract before it, as the guide says."""
    _, start_on, director = PAIRS[key]
    before = [key] if key == ("native", 0) and side == 0 else [("connection", 0), ("contracts", 0), key]
    lines = [(FOUND[one].pair or ("", ""))[side] for one in dict.fromkeys(before[: before.index(key) + 1])]
    async with an_exchange(start_on=start_on) as emulator:
        with at_the_exchange(emulator):
            code = "\n".join(lines).replace("7497", str(emulator.tws_port))
            plays = asyncio.create_task(director(emulator)) if director is not None else None
            names = await run(code, f"GUIDE.md#{key[0]}", {})
            if plays is not None:
                await plays
            return names


@pytest.mark.parametrize("key", PAIRS, ids=lambda key: f"{key[0]}-{key[1]}")
async def test_both_sides_of_a_pair_show_the_same(key: tuple[str, int], configured: Path) -> None:
    if key[0] == "native":
        pytest.importorskip("ibapi.client", reason="ibapi, which may not be shipped, is not installed")
    check = PAIRS[key][0]
    check(await shown(key, 0), await shown(key, 1))


# --- the other examples


async def test_the_program_of_the_second_route_prints_what_it_prints_on_ib(configured: Path) -> None:
    [example] = of_section("route-2-swap-one-import")
    assert example.code.startswith("from tastytrade_provider.compat import ")
    told: dict[str, list[str]] = {"ib_async": [], "tastytrade_provider.compat": []}
    for library, lines in told.items():
        async with an_exchange(start_on="") as emulator:
            with at_the_exchange(emulator):
                await run(example.code.replace("tastytrade_provider.compat", library), "GUIDE.md", printed(lines))
    theirs, ours = told.values()
    assert "2026-11-17 09:25:00-06:00" in theirs[0]
    assert ours == theirs


async def test_data_and_orders_go_through_two_objects_side_by_side(configured: Path) -> None:
    async with an_exchange(start_on="") as emulator:
        with at_the_exchange(emulator):
            names = await run(of_section("orders")[0].code, "GUIDE.md", {})
    assert (names["order"].lmtPrice, names["es"].localSymbol) == (names["bars"][-1].close, "ESZ6")
    assert names["es"].conId > 0


@pytest.mark.parametrize("example", [example for example in EXAMPLES if example.language == "yaml"], ids=lambda example: example.anchor)
def test_every_configuration_of_the_guide_is_good(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_SECRET", "x")
    monkeypatch.setenv("TT_REFRESH", "x")
    (tmp_path / "config.yaml").write_text(example.code)
    assert load(tmp_path / "config.yaml").data_provider in ("tastytrade", "ab")
