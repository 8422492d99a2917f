"""What a probe counts, checked by hand; the probe against the emulator; and what a reader is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider import create_provider
from tastytrade_provider.commands.probe import facts, lines
from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import encode_compact, index_of
from tastytrade_provider.emulator import Emulator, Market, Oddities
from tastytrade_provider.emulator.wire import Wire
from tastytrade_provider.errors import CapacityExceeded
from tastytrade_provider.model import Contract
from tastytrade_provider.provider import Subscription
from tastytrade_provider.tastytrade import candles, mapping, quotes
from tastytrade_provider.tastytrade import probe as shell
from tastytrade_provider.tastytrade.candles import SignCheck
from tastytrade_provider.tastytrade.ladder import Observation, Seen, decide
from tastytrade_provider.tastytrade.probe import Collector, Report, probe
from tastytrade_provider.tastytrade.provider import TastyTradeProvider
from tests.checks.builders import ES, opening
from tests.checks.sources import LIMIT_S, Excerpt, until
from tests.test_providers import login

MINUTE_MS, OPENED_MS = 60_000, opening() // 1_000_000
COLUMNS = {mapping.TIME_AND_SALE: mapping.FIELDS, candles.CANDLE: candles.FIELDS, **quotes.FIELDS}
SYMBOL = ES.streamer_symbol
Rows = Sequence[Mapping[str, object]]


def send(collector: Collector, delivery: str, event_type: str, rows: Rows, *, at_ms: int = OPENED_MS) -> None:
    """One message with these rows, received at a time."""
    collector.take(delivery, [feed_data(1, encode_compact(event_type, COLUMNS[event_type], rows)).raw], [at_ms * 1_000_000], COLUMNS.__getitem__)


def a_print(ms: int, number: int = 0, side: str = "BUY", size: float = 1.0, **more: object) -> dict[str, object]:
    row = {"eventSymbol": SYMBOL, "index": index_of(ms, number), "time": ms, "price": 6000.0, "size": size, "aggressorSide": side}
    return row | {"spreadLeg": False, "validTick": True, "type": "NEW"} | more


def a_candle(minute: int, ask: float, bid: float) -> dict[str, object]:
    ms = OPENED_MS + minute * MINUTE_MS
    prices = dict.fromkeys(("open", "high", "low", "close"), 6000.0)
    return {"eventSymbol": f"{SYMBOL}{{=m}}", "index": index_of(ms, 0), "time": ms, "volume": ask + bid, "askVolume": ask, "bidVolume": bid, **prices}


def four_minutes(bought: float, sold: float, **more: object) -> list[dict[str, object]]:
    """In each of four minutes one trade bought and one sold."""
    starts = [OPENED_MS + minute * MINUTE_MS for minute in range(4)]
    return [row for ms in starts for row in (a_print(ms, 1, "BUY", bought, **more), a_print(ms + 1, 2, "SELL", sold, **more))]


def seen(collector: Collector, seconds: float = 20.0) -> Observation:
    return collector.observation(seconds, now_ns=opening(), token_level="api")


# --- counting


def test_every_row_of_time_and_sale_is_counted_as_it_came_before_anything_is_filtered() -> None:
    collector = Collector(ES)
    rows = [a_print(OPENED_MS, 1), a_print(OPENED_MS, 2, "SELL", validTick=False), a_print(OPENED_MS, 3, "UNDEFINED", spreadLeg=True)]
    send(collector, "STREAM", "TimeAndSale", [*rows, a_print(OPENED_MS, 4, price="much")], at_ms=OPENED_MS + 10)
    send(collector, "STREAM", "TimeAndSale", [a_print(OPENED_MS, 5), a_print(OPENED_MS, 5)], at_ms=OPENED_MS + 110)
    assert seen(collector).seen("TimeAndSale") == Seen(5, 1, with_side=4, valid_tick=4, spread_legs=1, latency_p50_ms=10.0, latency_p95_ms=110.0)


def test_conflated_rows_are_counted_by_type_and_the_first_of_each_is_a_state_whose_age_is_no_latency() -> None:
    collector = Collector(ES)
    for late_ms in (9_000_000, 100, 300):
        bid = {"eventSymbol": SYMBOL, "bidTime": OPENED_MS, "bidPrice": 6000.0, "askPrice": 6000.25}
        send(collector, "TICKER", "Quote", [bid], at_ms=OPENED_MS + late_ms)
    send(collector, "TICKER", "Trade", [{"eventSymbol": SYMBOL, "time": OPENED_MS, "price": "much"}])
    send(collector, "TICKER", "Summary", [{"eventSymbol": SYMBOL, "dayOpenPrice": 6000.0}] * 2)
    found = seen(collector)
    assert found.seen("Quote") == Seen(3, latency_p50_ms=200.0, latency_p95_ms=pytest.approx(290.0))
    assert (found.seen("Trade"), found.seen("Summary"), found.seen("Profile")) == (Seen(rejected=1), Seen(2), Seen())


def test_what_was_asked_of_the_past_is_not_counted_as_arriving() -> None:
    collector = Collector(ES)
    send(collector, "HISTORY", "TimeAndSale", [a_print(OPENED_MS), a_print(OPENED_MS - 1, price="NaN", eventFlags=10)])
    send(collector, "HISTORY", "Candle", [a_candle(0, 1, 1), a_candle(-1, 1, 1) | dict.fromkeys(("open", "high", "low", "close"), "NaN")])
    found = seen(collector)
    assert (found.seen("TimeAndSale"), found.history, found.seen("Candle")) == (Seen(), True, Seen(1))
    assert seen(Collector(ES)).history is False


def test_a_market_is_open_by_its_calendar() -> None:
    collector = Collector(ES)
    assert collector.observation(1.0, now_ns=opening(), token_level=None).is_open
    assert not collector.observation(1.0, now_ns=opening("friday") + 86_400 * 10**9, token_level=None).is_open


def test_a_message_without_rows_is_counted_though_no_event_type_can_be_blamed() -> None:
    collector = Collector(ES)
    for data in (b'["Quote"]', b'["Quote",[1,2]]', b"7"):
        collector.take("TICKER", [feed_data(1, data).raw], [opening()], COLUMNS.__getitem__)
    assert collector.unreadable == 3


# --- the sign of candles


@pytest.mark.parametrize(("ask", "bid", "sign"), [(5, 2, "agrees"), (2, 5, "contradicts"), (4, 4, "untested")])
@pytest.mark.parametrize("delivery", ["STREAM", "HISTORY"])
def test_candles_are_compared_with_the_trades_of_whole_minutes(delivery: str, ask: float, bid: float, sign: str) -> None:
    collector = Collector(ES)
    send(collector, delivery, "TimeAndSale", four_minutes(bought=5, sold=2))
    # the first and the last minute may be cut, and would say the opposite here
    send(collector, "HISTORY", "Candle", [a_candle(0, bid, ask), a_candle(1, ask, bid), a_candle(2, ask, bid), a_candle(3, bid, ask)])
    check = collector.sign()
    assert seen(collector).candle_sign == sign
    assert (check.agreeing + check.contradicting + check.unexplained, check.bought, check.sold) == (2, 10, 4)


def test_a_trade_that_comes_live_and_with_the_history_counts_once_and_an_invalid_one_not_at_all() -> None:
    collector = Collector(ES)
    for delivery in ("HISTORY", "STREAM"):
        send(collector, delivery, "TimeAndSale", four_minutes(5, 2))
    send(collector, "STREAM", "TimeAndSale", [a_print(OPENED_MS + MINUTE_MS + 7, 7, validTick=False)])
    send(collector, "HISTORY", "Candle", [a_candle(1, 5, 2), a_candle(2, 5, 2)])
    assert (collector.sign().agreeing, collector.sign().bought) == (2, 10)


def test_a_minute_with_a_corrected_trade_is_not_compared() -> None:
    collector = Collector(ES)
    corrected = a_print(OPENED_MS + MINUTE_MS, 1, size=9.0, type="CORRECTION")
    send(collector, "STREAM", "TimeAndSale", [*four_minutes(5, 2), corrected])
    send(collector, "HISTORY", "Candle", [a_candle(1, 2, 5), a_candle(2, 5, 2)])
    assert (collector.sign().agreeing, collector.sign().contradicting) == (1, 0)


def test_sides_that_the_exchange_did_not_tell_are_unknown_to_the_comparison() -> None:
    collector = Collector(ES)
    rows = [*four_minutes(5, 2), a_print(OPENED_MS + MINUTE_MS + 9, 9, "UNDEFINED", 1.0, bidPrice=5999.75, askPrice=6000.0)]
    send(collector, "STREAM", "TimeAndSale", rows)
    send(collector, "HISTORY", "Candle", [a_candle(1, 5, 2)])
    assert (collector.sign().agreeing, collector.sign().bought, collector.sign().unknown) == (1, 5, 1)


def test_without_time_and_sale_the_quote_rule_over_trade_and_quote_stands_in() -> None:
    collector, volume = Collector(ES), 0
    send(collector, "TICKER", "Trade", [{"eventSymbol": SYMBOL, "time": OPENED_MS, "price": 6000.0, "dayVolume": volume, "dayId": 1}])
    for minute in range(4):
        for price, size in ((6000.25, 5), (6000.0, 2)):  # at the ask, at the bid
            volume, ms = volume + size, OPENED_MS + minute * MINUTE_MS + 1
            send(collector, "TICKER", "Quote", [{"eventSymbol": SYMBOL, "bidPrice": 6000.0, "askPrice": 6000.25}], at_ms=ms)
            send(collector, "TICKER", "Trade", [{"eventSymbol": SYMBOL, "time": ms, "price": price, "dayVolume": volume, "dayId": 1}], at_ms=ms)
    send(collector, "HISTORY", "Candle", [a_candle(minute, 5, 2) for minute in range(4)])
    assert (collector.sign().agreeing, decide(seen(collector)).delta_source) == (2, "candle")


# --- against the emulator


@pytest.fixture(autouse=True)
def _truth_goes_to_the_tests_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def some_minutes(oddities: Oddities | None = None) -> Excerpt:
    return Excerpt(Market(seed=7, roots=("ES",), prints_per_s=1.0, oddities=oddities or Oddities()), 2400)


async def probed(source: Excerpt, **settings: Any) -> Report:
    async with Emulator(source, speed="max", start_on=("TimeAndSale", "Quote"), **settings) as emulator:
        provider = create_provider(login(emulator))
        assert isinstance(provider, TastyTradeProvider)
        provider._wall_ns = lambda: emulator.market_ns
        return await probe(provider, "ES", 1.0)


async def test_a_probe_sees_every_print_and_finds_the_sign_of_candles(monkeypatch: pytest.MonkeyPatch) -> None:
    source = some_minutes(Oddities(invalid_tick=0.2))
    prints, collectors = source.prints(), list[Collector]()

    def made(contract: Contract) -> Collector:
        collectors.append(Collector(contract))
        return collectors[0]

    async def to_the_end(subscriptions: object, seconds: float) -> None:
        await until(lambda: collectors[0].last_time_ns == prints[-1].time_ns, "the last print did not come")

    monkeypatch.setattr(shell, "Collector", made)
    monkeypatch.setattr(shell, "_watch", to_the_end)
    report = await probed(source)
    found, trades = report.observation, report.observation.seen("TimeAndSale")
    assert (prints[-1].time_ns - prints[0].time_ns) // (MINUTE_MS * 10**6) > 3
    assert trades.rows == len(prints)
    assert trades.valid_tick == sum(p.valid_tick for p in prints)
    assert trades.with_side == sum(bool(p.side) for p in prints)
    assert [found.seen(name).rows > 0 for name in ("Quote", "Trade", "Summary", "Profile", "Candle")] == [True] * 5
    assert (found.candle_sign, found.history, found.token_level) == ("agrees", True, "api")
    assert (report.sign.agreeing > 1, report.sign.unexplained, report.notes) == (True, 0, ())
    assert (report.decision.delta_source, report.decision.exit_code) == ("time_and_sale", 0)
    assert "tastytrade.invalid_ticks: include" in report.decision.text


async def test_a_subscription_that_ends_with_an_error_ends_the_watch_with_it() -> None:
    going_on: Subscription[Any] = Subscription(ES)
    refused: Subscription[Any] = Subscription(ES)
    refused.end(CapacityExceeded("your subscription size is too big"))
    with pytest.raises(CapacityExceeded, match="too big"):
        await shell._watch([going_on, refused], LIMIT_S)


async def test_where_no_time_and_sale_comes_a_lesser_source_is_named_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    subscribe = Connection.subscribe

    def without(self: Connection, channel: int, items: Any) -> None:
        kept = [item for item in items if item.type != "TimeAndSale" or item.from_time_ms is not None]
        if kept:
            subscribe(self, channel, kept)

    monkeypatch.setattr(Connection, "subscribe", without)
    report = await probed(some_minutes(), wire=Wire(history_cap={"TimeAndSale": 1, "Candle": 8000}))
    assert report.observation.seen("TimeAndSale").rows == 0
    assert report.decision.exit_code == 1
    assert report.decision.delta_source in ("candle", "quote_trade")


# --- what a reader is told


def a_report(*, level: str | None = "api", is_open: bool = True, notes: tuple[str, ...] = (), **events: Seen) -> Report:
    observation = Observation(ES, 20.0, is_open, level, {name: events.get(name, Seen()) for name in ("TimeAndSale", "Quote", "Trade", "Candle")}, history=False)
    return Report(observation, SignCheck(candles.Verdict.INCONCLUSIVE), decide(observation), notes)


GOOD = Seen(123_456, with_side=123_400, valid_tick=123_456, latency_p50_ms=12.0, latency_p95_ms=41.7)


@pytest.mark.parametrize(
    "report",
    [
        a_report(),
        a_report(level="demo", TimeAndSale=GOOD, notes=("the server says BAD_ACTION: " + "Your subscription rate is too high " * 5,)),
        a_report(Trade=Seen(9, latency_p50_ms=-90_000_000.0, latency_p95_ms=1.0), Quote=Seen(7, 3, latency_p50_ms=300.0, latency_p95_ms=900_000.0)),
        a_report(is_open=False, TimeAndSale=Seen(1_234_567, 5, latency_p50_ms=1e12, latency_p95_ms=1e12)),
    ],
    ids=["nothing", "demo", "lesser", "closed"],
)
def test_a_report_is_never_wider_than_a_terminal(report: Report) -> None:
    told = list(lines(report))
    assert max(map(len, told)) <= 80
    assert not [line for line in told if line != line.rstrip()]


def test_a_report_says_in_plain_words_what_comes_how_fast_and_what_to_do() -> None:
    text = "\n".join(lines(a_report(TimeAndSale=GOOD)))
    assert "TimeAndSale  123,456     6,172.8        12 ms  42 ms           0" in text
    assert "Quote           none           -            -      -           0" in text
    assert "TimeAndSale: 100.0% with a side, 100.0% validTick=true, none of a spread." in text
    assert "Past trades (TimeAndSale on a HISTORY channel): not served." in text
    assert "Delta source time_and_sale: every print with the exchange's own side" in text


def test_delayed_data_is_told_at_the_top_and_silence_with_the_letter_to_write() -> None:
    text = "\n".join(lines(a_report(level="demo")))
    assert text.splitlines()[0] == "/ESZ6 watched for 20 s, market open, token level demo (DELAYED DATA)"
    assert "\nNo delta: no TimeAndSale came in 20 s" in text
    assert "\n- The token is of level 'demo'" in text
    assert "write to TastyTrade's API support" in " ".join(text.split())


def test_rows_that_could_not_be_read_are_shown_raw_since_they_are_what_is_to_be_reported() -> None:
    report = replace(a_report(TimeAndSale=Seen(rejected=5)), rejects=tuple(f"no price: row {n}" for n in range(5)))
    assert list(lines(report))[-4:] == ["Rows that could not be read:", *(f"- no price: row {n}" for n in (2, 3, 4))]
    assert facts(report)["rejects"] == list(report.rejects)


def test_the_report_for_a_program_gives_shares_and_none_where_nothing_came() -> None:
    found = facts(a_report(TimeAndSale=Seen(4, 1, with_side=3, valid_tick=2, spread_legs=1)))
    trades, quote = found["events"]["TimeAndSale"], found["events"]["Quote"]
    assert (trades["with_side_share"], trades["valid_tick_share"], trades["spread_leg_share"], trades["rejected"]) == (0.75, 0.5, 0.25, 1)
    assert (trades["rows_per_s"], quote["arrives"], quote["latency_p50_ms"]) == (0.2, False, None)
    assert facts(a_report())["events"]["TimeAndSale"]["with_side_share"] is None
    assert (found["delta_source"], found["exit_code"], facts(a_report())["delta_source"], facts(a_report())["exit_code"]) == ("time_and_sale", 0, None, 2)
