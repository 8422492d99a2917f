"""The demo: a tape goes through the loopback exchange's socket, and every number that comes out is known from elsewhere."""

from __future__ import annotations

import asyncio
import csv
import gzip
import itertools
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.commands.demo import _with_key
from tastytrade_provider.config import load
from tastytrade_provider.demo import DemoProvider
from tastytrade_provider.emulator import Market, Print
from tastytrade_provider.errors import UsageError
from tastytrade_provider.model import Bar, Gap
from tastytrade_provider.tastytrade.bar_feed import Join
from tests.checks.builders import MINUTE_NS
from tests.checks.sources import LIMIT_S, a_tape, until
from tests.checks.terminal import Run, runner

S = 10**9
KEYS = [
    "trades", "volume", "buy_volume", "sell_volume", "unknown_volume", "delta", "cvd_high", "cvd_low", "cvd_since", "poc", "open", "high", "low",
    "close", "bars", "trades_by_source",
]  # fmt: skip
ES, ETH = "es_h4_20231225_trades_bbo.csv.gz", "ethusdt_usdm_20240808_trades_bookticker.csv.gz"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the exchange puts its ground truth
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    return runner(capsys, monkeypatch)


def only(found: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(found[name] for name in names)


# --- as a provider


async def test_before_it_is_connected_it_says_so_and_not_that_a_secret_is_missing() -> None:
    demo = DemoProvider(Market(seed=1, roots=("ES",)))
    contract = demo.source.contracts[0]
    calls: list[Callable[[], Any]] = [
        lambda: demo.resolve("ES"), lambda: demo.contracts("ES"), lambda: demo.products(), lambda: demo.front_month("ES"),
        lambda: demo.historical_bars(contract), lambda: demo.historical_trades(contract),
    ]  # fmt: skip
    for is_late in (False, True):
        for call in calls:
            with pytest.raises(UsageError, match=r"not connected; use `async with` or `await connect\(\)` first"):
                await call()
        if not is_late:
            async with demo:
                assert (await demo.resolve("ES")).symbol == contract.symbol


async def test_a_time_that_its_clock_has_not_reached_is_refused_with_what_the_clock_says() -> None:
    saturday_ns = 1_763_812_800 * 10**9  # 2025-11-22 12:00 UTC
    async with DemoProvider(Market(seed=1, roots=("ES",), start_ns=saturday_ns - 18 * 3600 * 10**9), past_ns=60 * 10**9) as demo:
        es = await demo.resolve("ES")
        for call in (demo.historical_bars(es, "1m", "2025-11-22T11:00:00Z"), demo.historical_trades(es, "2025-11-22T11:00:00Z")):
            with pytest.raises(UsageError, match=r"start 2025-11-22T11:00:00Z is not before end .*\(this feed's clock stands at 2025-11-21T18:0"):
                await call


async def test_its_made_up_market_begins_where_it_begins_and_claims_no_more() -> None:
    start_ns = 1_763_735_400 * 10**9  # Friday 2025-11-21 14:30 UTC, fifteen hours and a half after the open
    async with DemoProvider(Market(seed=1, roots=("ES",), start_ns=start_ns, prints_per_s=2.0), past_ns=180 * 10**9) as demo:
        es = await demo.resolve("ES")
        trades, bars = await demo.historical_trades(es), await demo.historical_bars(es)
        notes = demo.status().notes
    assert start_ns <= trades.time_ns[0] < start_ns + 10 * 10**9
    assert (bars.index[0].value, bars.attrs["start_was_cut"]) == (start_ns, True)
    assert notes == ()  # it is not as if something might be missing


async def test_while_it_is_paused_it_closes_no_bar_and_when_it_goes_on_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours_s, told, advance = [0.0], list[int](), Join.advance
    monkeypatch.setattr(Join, "advance", lambda join, now_ns: told.append(now_ns) or advance(join, now_ns))  # type: ignore[func-returns-value]
    start_ns = 1_763_735_400 * S  # Friday 2025-11-21 14:30 UTC
    market = Market(seed=1, roots=("ES",), start_ns=start_ns, prints_per_s=0.2)
    prints = [one for one in itertools.takewhile(lambda event: event.at_ns < start_ns + 1200 * S, market) if isinstance(one, Print)]
    # the first minute, not before the sixth, that nobody trades in for a while at its end and behind it: the clock alone can close it
    quiet = ((one, other.time_ns // MINUTE_NS * MINUTE_NS) for one, other in itertools.pairwise(prints) if one.time_ns > start_ns + 5 * MINUTE_NS)
    last, end_ns = next((one, end_ns) for one, end_ns in quiet if one.time_ns < end_ns - S and not any(end_ns <= x.time_ns < end_ns + 3 * S for x in prints))

    async def rounds() -> None:
        """Some of the feed's looks at the clock, the last of them with nothing under way any more."""
        for _ in range(3):
            before = len(told)
            await until(lambda: len(told) > before, "the feed does not look at the clock")  # noqa: B023  # awaited here

    async with DemoProvider(market, past_ns=3 * MINUTE_NS) as demo:
        demo.playback.pause()
        demo.playback.begin(lambda: ours_s[0], demo.now_ns())
        es, items = await demo.resolve("ES"), list[Bar | Gap]()
        bars = demo.subscribe_bars(es, "1m").on(items.append)
        async with asyncio.timeout(LIMIT_S):
            await bars.ready()
        demo.playback.step(last.time_ns)
        first_ns = start_ns + 3 * MINUTE_NS
        whole = list(range(first_ns, end_ns - MINUTE_NS, MINUTE_NS))
        await until(lambda: len(items) >= len(whole) and demo.playback.is_paused and told[-1] == last.time_ns, lambda: f"{items}, {demo.playback.now_ns}")

        ours_s[0] += 3600.0
        await rounds()
        assert set(told[-2:]) == {last.time_ns}
        assert [item.start_ns for item in items] == whole

        demo.playback.resume()
        ours_s[0] += (end_ns + S - last.time_ns) / S
        await until(lambda: len(items) > len(whole), "the bar was not closed by the clock")
        demo.playback.step(end_ns + MINUTE_NS)
        await until(lambda: len(items) > len(whole) + 1, "the next bar was not closed by a trade")
    for start_ns, bar in zip([*whole, end_ns - MINUTE_NS, end_ns], items, strict=True):
        assert isinstance(bar, Bar)
        assert (bar.start_ns, bar.revision, bar.complete) == (start_ns, 0, True)
        assert bar.volume == sum(one.size for one in prints if not one.spread_leg and start_ns <= one.time_ns < bar.end_ns)


# --- recorded tapes


def test_the_recorded_hour_of_es_gives_the_numbers_worked_out_independently(run: Run, tapes: Path) -> None:
    found = run("demo", "--tape", tapes / ES, "--speed", "max", "--timeframe", "15m", "--json").json
    assert list(found) == KEYS
    assert only(found, "trades", "volume", "buy_volume", "sell_volume", "unknown_volume", "delta") == (2973, 9892, 5322, 4526, 44, 796)
    assert only(found, "cvd_high", "cvd_low", "poc") == (860, -4, 4810.0)
    assert only(found, "open", "high", "low", "close") == (4800.25, 4811.75, 4800.25, 4810.0)
    assert [bar["delta"] for bar in found["bars"]] == [302, 520, -133, 107]
    assert {name: n for name, n in found["trades_by_source"].items() if n} == {"exchange": 2972, "none": 1}


def test_with_the_flags_withheld_the_quote_rule_finds_every_side_of_that_hour(run: Run, tapes: Path) -> None:
    ended = run("demo", "--tape", tapes / ES, "--speed", "max", "--timeframe", "15m", "--json", "--infer-sides")
    assert list(ended.json) == [*KEYS, "agreement"]
    assert ended.json["agreement"] == {"compared": 2972, "agreed": 2972}
    assert only(ended.json, "buy_volume", "sell_volume", "delta", "cvd_high", "cvd_low") == (5322, 4526, 796, 860, -4)
    assert ended.json["trades_by_source"]["exchange"] == 0


def test_the_sums_of_a_crypto_tape_are_exact_to_the_last_decimal(run: Run, tapes: Path) -> None:
    with gzip.open(tapes / ETH, "rt", newline="") as lines:
        trades = [row for row in csv.DictReader(lines) if row["kind"] == "T"]
    sums: Counter[str] = Counter()
    levels: Counter[Decimal] = Counter()
    for row in trades:
        sums[row["side"]] += Decimal(row["size"])  # type: ignore[assignment]  # exact where a float would not be
        levels[Decimal(row["price"])] += Decimal(row["size"])  # type: ignore[assignment]
    found = run("demo", "--tape", tapes / ETH, "--speed", "max", "--timeframe", "1m", "--json").json
    exact = {name: Decimal(str(found[name])) for name in ("volume", "buy_volume", "sell_volume", "unknown_volume", "delta", "poc", "high", "low")}
    assert found["trades"] == len(trades) == 14_076
    assert exact == {
        "volume": sum(levels.values()),
        "buy_volume": sums["BUY"],
        "sell_volume": sums["SELL"],
        "unknown_volume": 0,
        "delta": Decimal(sums["BUY"]) - sums["SELL"],
        "poc": levels.most_common(1)[0][0],
        "high": max(levels),
        "low": min(levels),
    }
    assert sum(Decimal(str(bar["delta"])) for bar in found["bars"]) == exact["delta"]


# --- tapes written here


def test_a_tape_of_six_prints_gives_what_one_can_add_up_by_hand(run: Run, tmp_path: Path) -> None:
    tape = a_tape(
        tmp_path / "es_z6.csv",
        """
        1795357800000000000, 6000.00, 7, UNDEFINED,        ,
        1795357801000000000, 6000.25, 3, BUY,       6000.00, 6000.25
        1795357802000000000, 6000.00, 5, SELL,      6000.00, 6000.25
        1795357861000000000, 6000.50, 4, BUY,       6000.25, 6000.50
        1795357862000000000, 6000.50, 2, UNDEFINED, 6000.25, 6000.50
        1795357863000000000, 6000.25, 1, SELL,      6000.25, 6000.50
        """,
    )
    ended = run("demo", "--tape", tape, "--speed", "max", "--json")
    found = ended.json
    assert list(found) == KEYS
    # the 7 at the start have no flag, no quote, and no trade before them; the 2 in the second minute stand at the ask
    assert only(found, "trades", "volume", "buy_volume", "sell_volume", "unknown_volume", "delta") == (6, 22, 3 + 4 + 2, 5 + 1, 7, 3)
    assert only(found, "cvd_high", "cvd_low") == (4, -2)  # 0, +3, -2, +2, +4, +3
    assert found["poc"] == 6000.0  # 12 lots, against 4 and 6
    assert only(found, "open", "high", "low", "close") == (6000.0, 6000.5, 6000.0, 6000.25)
    assert found["trades_by_source"] == {"exchange": 4, "quote": 1, "tick": 0, "none": 1}
    first, second = found["bars"]
    assert only(first, "time", "delta", "min_delta", "max_delta", "cvd", "trades") == ("2026-11-22T14:30:00Z", -2, -2, 3, -2, 3)
    assert only(second, "time", "delta", "min_delta", "max_delta", "cvd_open", "cvd", "trades") == ("2026-11-22T14:31:00Z", 5, 0, 6, -2, 3, 3)
    assert "symbol ESZ6, from the name of the file" in ended.err


SESSIONS = """
1772722800000000000, 6000, 5, BUY
1772747100000000000, 6000, 2, BUY
1772751600000000000, 6000, 3, SELL
1772833500000000000, 6000, 1, BUY
1773007200000000000, 6000, 4, BUY
1773068400000000000, 6000, 1, SELL
1793306700000000000, 6000, 9, BUY
1793311200000000000, 6000, 2, SELL
1793393100000000000, 6000, 1, BUY
1793574000000000000, 6000, 6, BUY
1793655900000000000, 6000, 1, SELL
1795734000000000000, 6000, 8, BUY
1795800600000000000, 6000, 3, SELL
1795993200000000000, 6000, 1, BUY
"""


def test_cvd_begins_anew_at_17_00_chicago_over_both_clock_changes_and_the_half_day(run: Run, tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "es_z6.csv", SESSIONS, header="time_ns,price,size,side")
    found = run("demo", "--tape", tape, "--speed", "max", "--timeframe", "15m", "--json").json
    assert [only(bar, "time", "session", "cvd_open", "cvd") for bar in found["bars"]] == [
        ("2026-03-05T15:00:00Z", "2026-03-05", 0, 5),
        ("2026-03-05T21:45:00Z", "2026-03-05", 5, 7),
        ("2026-03-05T23:00:00Z", "2026-03-06", 0, -3),  # 17:00 in winter
        ("2026-03-06T21:45:00Z", "2026-03-06", -3, -2),
        ("2026-03-08T22:00:00Z", "2026-03-09", 0, 4),  # the Sunday on which summer time began
        ("2026-03-09T15:00:00Z", "2026-03-09", 4, 3),
        ("2026-10-29T20:45:00Z", "2026-10-29", 0, 9),
        ("2026-10-29T22:00:00Z", "2026-10-30", 0, -2),  # 17:00 in summer
        ("2026-10-30T20:45:00Z", "2026-10-30", -2, -1),
        ("2026-11-01T23:00:00Z", "2026-11-02", 0, 6),  # the Sunday on which it ended
        ("2026-11-02T21:45:00Z", "2026-11-02", 6, 5),
        ("2026-11-26T23:00:00Z", "2026-11-27", 0, 8),  # Thanksgiving evening opens the half day
        ("2026-11-27T17:30:00Z", "2026-11-27", 8, 5),
        ("2026-11-29T23:00:00Z", "2026-11-30", 0, 1),
    ]
    assert only(found, "cvd_high", "cvd_low", "delta") == (9, -3, 5 + 2 - 3 + 1 + 4 - 1 + 9 - 2 + 1 + 6 - 1 + 8 - 3 + 1)


def test_without_json_the_end_of_the_tape_leaves_a_table_of_it(run: Run, tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "es_z6.csv", SESSIONS, header="time_ns,price,size,side")
    ended = run("demo", "--tape", tape, "--speed", "max", "--no-browser")
    assert ended.code == 0
    lines = ended.out.splitlines()
    at = max(at for at, line in enumerate(lines) if line.startswith("/ESZ6"))
    last = lines[at : at + 2]
    assert last[0].split() == ["/ESZ6", "6000", "+1", "+1", "23:00Z", "+1", "0", "exchange", "100%", "14", last[0].split()[-2], "-"]
    assert "nothing lost" in last[1]


@pytest.mark.parametrize("words", [["--calendar", "24/8"], ["--calendar", "24/8", "--json"]])
def test_a_calendar_that_does_not_exist_is_told_before_anything_is_drawn(run: Run, tmp_path: Path, words: list[str]) -> None:
    tape = a_tape(tmp_path / "es_z6.csv", SESSIONS, header="time_ns,price,size,side")
    ended = run("demo", "--tape", tape, "--speed", "max", "--no-browser", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: calendar '24/8' is not known; known are CME Globex Equity")


# --- the made-up market


def test_the_table_of_a_market_counts_the_session_from_its_first_trade_as_the_page_does(run: Run) -> None:
    """A quarter of an hour lies behind the market when the demo begins: three bars of five minutes or four, where one moment has one or two."""
    found = run("demo", "--seconds", "2", "--timeframe", "5m", "--json").json
    for one in found.values():
        assert len(one["bars"]) >= 3
        assert one["cvd_since"] is not None


def test_the_made_up_market_trades_every_contract_within_seconds_and_json_has_them_all(run: Run) -> None:
    found = run("demo", "--seconds", "3", "--json").json
    assert len(found) == 3
    for symbol, one in found.items():
        assert symbol.startswith("/")
        assert list(one) == KEYS
        assert one["trades"] > 0
        assert one["volume"] == one["buy_volume"] + one["sell_volume"] + one["unknown_volume"]
        assert sum(one["trades_by_source"].values()) == one["trades"]


def test_each_contract_of_a_market_has_its_own_agreement(run: Run) -> None:
    found = run("demo", "--seconds", "1", "--speed", "100", "--json", "--infer-sides").json
    for one in found.values():
        assert one["trades_by_source"]["exchange"] == 0
        assert 0 < one["agreement"]["agreed"] <= one["agreement"]["compared"] <= one["trades"]


# --- the page


def test_a_key_of_one_run_is_in_the_address_and_a_configured_token_never_is() -> None:
    plain, key = _with_key(load({}))
    assert plain.service.token is not None
    assert key == f"#token={plain.service.token.get_secret_value()}"
    assert len(plain.service.token.get_secret_value()) >= 16
    assert _with_key(load({}))[1] != key
    own = load({"service": {"token": "kept-to-oneself"}})
    assert _with_key(own) == (own, "")
