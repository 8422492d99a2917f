"""The accuracy report: by hand, against published functions, and the measured tables of two real tapes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastytrade_provider.accuracy import Prints, _student_cdf, inferred, score_bars, score_rules
from tastytrade_provider.commands.accuracy import by_arrival, by_exchange_time, report, run
from tastytrade_provider.emulator.tape import load_tape
from tastytrade_provider.errors import UsageError
from tests.checks.builders import ES

SECOND = 10**9


def prints(price: list[float], flag: list[int], *, size: list[float] | None = None, bid: Any = np.nan, ask: Any = np.nan, step: int = SECOND) -> Prints:
    n = len(price)
    columns = [np.broadcast_to(np.asarray(value, np.float64), n) for value in (price, size or 1.0)]
    quotes = [np.broadcast_to(np.asarray(value, np.float64), n) for value in (bid, ask)]
    return Prints(ES, np.arange(n) * step, *columns, np.array(flag, np.int8), *quotes)


def test_clnv_takes_the_quote_within_thirty_percent_of_the_spread_and_the_tick_in_the_middle_and_outside() -> None:
    # bid 6000.00, ask 6002.50: the zones end at 6000.75 and 6001.75
    price = [6000.0, 6000.75, 6001.0, 6001.5, 6001.75, 6002.5, 6002.75, 5999.75]
    assert inferred(prints(price, [0] * 8, bid=6000.0, ask=6002.5))["clnv"].tolist() == [-1, -1, 1, 1, 1, 1, 1, -1]


def test_each_rule_scores_trades_and_volume_and_no_answer_is_wrong() -> None:
    # the tick rule knows nothing of the first trade (1 lot), the second rises (2 lots, right), the third falls (7 lots, bought: wrong)
    found = {score.rule: score for score in score_rules(prints([6000.0, 6000.25, 6000.0], [1, 1, 1], size=[1, 2, 7]))}
    assert found["tick"].trades_pct == pytest.approx(100 / 3)
    assert found["tick"].volume_pct == pytest.approx(20)
    assert found["tick"].answered_pct == pytest.approx(200 / 3)
    assert (found["quote"].trades_pct, found["quote"].answered_pct) == (0, 0)


def test_a_trade_without_a_flag_is_not_compared_but_the_tick_rule_remembers_its_price() -> None:
    (tick, *_) = score_rules(prints([6000.0, 6001.0, 6000.5], [1, 0, -1]))
    assert tick.trades_pct == 50  # the first has no answer; the last falls from the one that was not told


def test_late_quotes_are_those_of_earlier_trades() -> None:
    late = prints([6000.0] * 3, [1] * 3, bid=[1.0, 2.0, 3.0], ask=[4.0, 5.0, 6.0]).late(2)
    assert np.isnan(late.bid[:2]).all()
    assert (late.bid[2], late.ask[2]) == (1.0, 4.0)
    assert np.isnan(prints([6000.0], [1], bid=1.0).late(5).bid).all()


def test_bars_by_hand() -> None:
    # bars of 2 s: 3 bought 1 sold, then 1 bought 3 sold; closes 6000.25, 6000.00
    found = score_bars(prints([6000.0, 6000.25, 6000.25, 6000.0], [-1, 1, 1, -1], size=[1, 3, 1, 3]), seconds=[2])
    blind, normal, _, tick = found
    assert (blind.bulk_pct, blind.correlation, blind.sign_agreement_pct, blind.cvd_end, blind.cvd_error) == (75, None, None, 0, 0)
    # changes of close 0, -0.25, standard deviation 0.25 / sqrt 2: steps 0 and -sqrt 2, where the normal distribution has 0.0786
    assert normal.cvd_end == pytest.approx(4 * (2 * 0.0786496 - 1), abs=1e-5)
    # ticks: no answer (half), up, up, down: 3.5 of 4 bought, then 1 of 4
    assert (tick.cvd_end, tick.bulk_pct) == (1.0, 100 * 7.5 / 8)
    assert tick.correlation == pytest.approx(1)


def test_a_tape_without_flags_has_nothing_to_compare_with() -> None:
    for score in (score_rules, score_bars):
        with pytest.raises(UsageError, match="no trade has the exchange's flag"):
            score(prints([6000.0], [0]))


def test_students_distribution_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for nu in (0.25, 1.0, 3.0):
        for x in [*np.linspace(-20, 20, 81), 1e-9, 1e3, -1e5]:
            assert _student_cdf(float(x), nu) == pytest.approx(stats.t.cdf(x, nu), abs=1e-8)


TAPE = """exch_ms,kind,price,size,side,bid,ask
5,Q,,,,10.0,10.1
7,T,10.1,1,BUY,,
6,Q,,,,10.1,10.2
7,T,10.1,2,SELL,,
6,T,10.0,4,SELL,,
"""


def test_by_arrival_a_print_has_the_quote_before_it_in_the_file_and_by_exchange_time_the_last_before_its_time(tmp_path: Path) -> None:
    path = tmp_path / "abc.csv"
    path.write_text(TAPE)
    tape = load_tape(path)
    arrival, exchange = by_arrival(tape, path), by_exchange_time(tape)
    assert list(zip(arrival.price.tolist(), arrival.size.tolist(), arrival.flag.tolist(), arrival.bid.tolist(), strict=True)) == [
        (10.1, 1, 1, 10.0), (10.1, 2, -1, 10.1), (10.0, 4, -1, 10.1),
    ]  # fmt: skip
    assert list(zip(exchange.size.tolist(), exchange.bid.tolist(), strict=True)) == [(4, 10.0), (1, 10.1), (2, 10.1)]


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "abc.csv.gz"
    path.write_bytes(gzip.compress(TAPE.encode()))
    options: dict[str, Any] = {"tape": path, "symbol": None, "tick_size": None, "size_step": None, "calendar": None}
    run(**options, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["trades"], told["flagged"], told["volume"], told["delta"]) == (3, 3, 7, -5)
    assert {row["quotes"] for row in told["rules"]} == {"by exchange time", "by arrival", "1 trade late", "2 trades late", "5 trades late"}
    run(**options, as_json=False)
    shown = capsys.readouterr().out
    assert "ABC: 3 of 3 trades have the exchange's flag; volume 7, delta -5" in shown
    assert "by arrival" in shown


def within_half_a_point(found: dict[str, Any], quotes: str, rule: str, trades: float | None, volume: float | None) -> None:
    (row,) = [row for row in found["rules"] if (row["quotes"], row["rule"]) == (quotes, rule)]
    for name, expected in (("trades_pct", trades), ("volume_pct", volume)):
        assert expected is None or row[name] == pytest.approx(expected, abs=0.5), (quotes, rule, name)


def test_an_hour_of_es_gives_the_table_measured_on_it_elsewhere(tapes: Path) -> None:
    path = tapes / "es_h4_20231225_trades_bbo.csv.gz"
    found = report(load_tape(path), path)
    assert (found["flagged"], found["volume"], found["delta"]) == (2_972, 9_892, 796)
    within_half_a_point(found, "as recorded", "tick", 74.8, 81.0)
    for rule in ("quote", "lee_ready", "emo", "clnv"):
        within_half_a_point(found, "as recorded", rule, 100, 100)
    for quotes, volumes in (
        ("1 trade late", (89.5, 90.1, 90.2, 90.2)),
        ("2 trades late", (82.0, 82.6, 82.7, 82.7)),
        ("5 trades late", (76.1, 76.8, 77.0, 77.0)),
    ):
        for rule, volume in zip(("quote", "lee_ready", "emo", "clnv"), volumes, strict=True):
            within_half_a_point(found, quotes, rule, None, volume)
    bars = {(row["estimator"], row["bar_s"]): row for row in found["bars"]}
    assert [bars["blind half", s]["bulk_pct"] for s in (1, 10, 60)] == pytest.approx([62.0, 73.4, 85.1], abs=0.5)
    for estimator, bar_s, bulk, correlation, sign, end in (
        ("BVC normal", 10, 79.0, 0.67, 41, 1029), ("BVC normal", 60, 79.9, 0.63, 58, 1440),
        ("BVC t(0.25)", 10, 79.8, 0.67, 41, 469), ("BVC t(0.25)", 60, 89.2, 0.62, 58, 654),
        ("tick rule", 10, 83.8, 0.74, 82, 855), ("tick rule", 60, 89.4, 0.78, 87, 855),
    ):  # fmt: skip
        row = bars[estimator, bar_s]
        assert row["bulk_pct"] == pytest.approx(bulk, abs=0.5)
        assert row["correlation"] == pytest.approx(correlation, abs=0.006)
        assert row["sign_agreement_pct"] == pytest.approx(sign, abs=0.6)
        assert row["cvd_end"] == pytest.approx(end, abs=1)
        assert row["cvd_error"] == pytest.approx(end - 796, abs=1)


def test_a_perpetual_gives_the_table_measured_on_it_elsewhere(tapes: Path) -> None:
    path = tapes / "ethusdt_usdm_20240808_trades_bookticker.csv.gz"
    found = report(load_tape(path), path)
    assert found["flagged"] == 14_076
    for quotes, rule, trades, volume in (
        ("by exchange time", "tick", 94.1, 92.8), ("by exchange time", "quote", 99.96, 99.99), ("by exchange time", "lee_ready", 99.96, None),
        ("by exchange time", "emo", 99.97, None), ("by exchange time", "clnv", 99.97, None),
        ("by arrival", "tick", 94.1, 92.8), ("by arrival", "quote", 80.8, 84.4), ("by arrival", "lee_ready", 80.8, 84.4),
        ("by arrival", "emo", 95.3, 96.9), ("by arrival", "clnv", 94.2, 95.2),
    ):  # fmt: skip
        within_half_a_point(found, quotes, rule, trades, volume)
