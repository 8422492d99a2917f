from __future__ import annotations

import gzip
import math
from pathlib import Path

import pandas as pd
import pytest

from tastytrade_provider.dxlink.rows import time_of
from tastytrade_provider.emulator import Print, QuoteChange, Tape, load_tape
from tastytrade_provider.errors import UsageError

HEADER = "time_ns,price,size,side,bid,ask,bidsz,asksz\n"
ROWS = (
    "1703545200085275419,4800.25,5,BUY,4800.0,4800.25,4,7\n"
    "1703545200097787583,4800.0,2,SELL,4800.0,4800.25,4,2\n"
    "1703545200097787583,4800.25,1,,4800.0,4800.25,4,2\n"
)


def written(folder: Path, text: str, name: str = "ESH4.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def prints(tape: Tape) -> list[Print]:
    return [event for event in tape if isinstance(event, Print)]


def test_a_tape_gives_its_prints_with_indexes_that_tell_millisecond_and_order(tmp_path: Path) -> None:
    tape = load_tape(written(tmp_path, HEADER + ROWS))
    found = prints(tape)
    assert len(tape) == 3
    assert [(event.price, event.size, event.side.name) for event in found] == [(4800.25, 5.0, "BUY"), (4800.0, 2.0, "SELL"), (4800.25, 1.0, "UNKNOWN")]
    assert [time_of(event.index) for event in found] == [(1703545200085, 0), (1703545200097, 1), (1703545200097, 2)]
    assert [event.time_ns for event in found] == [1703545200085275419, 1703545200097787583, 1703545200097787583]
    assert (found[0].bid, found[0].ask, found[0].bid_size, found[0].ask_size) == (4800.0, 4800.25, 4.0, 7.0)


def test_a_changed_quote_is_an_event_before_the_print_that_carries_it(tmp_path: Path) -> None:
    kinds = [type(event).__name__ for event in load_tape(written(tmp_path, HEADER + ROWS))]
    assert kinds == ["QuoteChange", "Print", "QuoteChange", "Print", "Print"]


@pytest.mark.parametrize(
    ("name", "symbol", "streamer_symbol"),
    [
        ("ESH4.csv", "/ESH4", "/ESH24:XCME"),
        ("es_h4_20231225_trades.csv", "/ESH4", "/ESH24:XCME"),
        ("gc_g4.csv", "/GCG4", "/GCG24:XCEC"),
        ("es-day.csv", "/ESH4", "/ESH24:XCME"),
        ("ethusdt_usdm_20240808.csv", "ETHUSDT", "ETHUSDT"),
    ],
)
def test_the_name_of_the_file_says_the_symbol(tmp_path: Path, name: str, symbol: str, streamer_symbol: str) -> None:
    tape = load_tape(written(tmp_path, HEADER + ROWS, name))
    assert (tape.contract.symbol, tape.contract.streamer_symbol) == (symbol, streamer_symbol)
    assert any("name of the file" in sentence for sentence in tape.assumed)


def test_a_known_future_brings_its_own_facts_and_nothing_is_assumed(tmp_path: Path) -> None:
    tape = load_tape(written(tmp_path, HEADER + ROWS, "tape.csv"), symbol="GCG4")
    contract = tape.contract
    assert (contract.tick_size, contract.multiplier, contract.size_step, contract.calendar) == (0.1, 100.0, 1.0, "CMEGlobex_GC")
    assert tape.assumed == ()


def test_what_the_file_cannot_say_can_be_told(tmp_path: Path) -> None:
    tape = load_tape(written(tmp_path, HEADER + ROWS), symbol="BTCUSDT", tick_size=0.1, size_step=0.001, calendar="CME Globex Crypto")
    contract = tape.contract
    assert (contract.symbol, contract.tick_size, contract.size_step, contract.calendar) == ("BTCUSDT", 0.1, 0.001, "CME Globex Crypto")
    assert tape.assumed == ()


def test_steps_of_an_unknown_market_are_the_greatest_that_fit_and_a_size_step_is_never_above_one(tmp_path: Path) -> None:
    rows = "time_ns,price,size\n1703545200000000000,100.05,0.012\n1703545200000000001,100.15,0.018\n1703545200000000002,100.10,0.006\n"
    tape = load_tape(written(tmp_path, rows, "x.csv"))
    assert (tape.contract.tick_size, tape.contract.size_step, tape.contract.calendar) == (0.05, 0.006, "24/7")
    assert len(tape.assumed) == 4
    whole = rows.replace("0.012", "4").replace("0.018", "8").replace("0.006", "4")
    assert load_tape(written(tmp_path, whole, "x.csv")).contract.size_step == 1.0


def test_rows_are_sorted_by_exchange_time_and_equal_times_stay_as_they_are(tmp_path: Path) -> None:
    rows = "exch_ms,price,size\n3,3,1\n1,1,1\n2,2.1,1\n2,2.2,1\n2,2.0,1\n"
    assert [event.price for event in prints(load_tape(written(tmp_path, rows)))] == [1.0, 2.1, 2.2, 2.0, 3.0]


def test_a_print_carries_the_last_quote_row_from_before_its_exchange_time(tmp_path: Path) -> None:
    rows = (
        "exch_ms,kind,price,size,side,bid,ask,bidsz,asksz\n"
        "1,T,10.0,1,BUY,,,,\n"
        "2,Q,,,,9.0,10.0,1,1\n"
        "4,T,10.0,2,BUY,,,,\n"
        "4,Q,,,,9.5,10.5,2,2\n"
        "3,Q,,,,9.2,10.2,3,3\n"
        "5,T,9.5,3,SELL,,,,\n"
    )
    tape = load_tape(written(tmp_path, rows, "xy.csv"))
    quoted = [(event.bid, event.ask) for event in prints(tape)]
    assert math.isnan(quoted[0][0])
    assert quoted[1:] == [(9.2, 10.2), (9.5, 10.5)]
    assert [event.bid for event in tape if isinstance(event, QuoteChange)] == [9.0, 9.2, 9.5]


def test_a_correction_or_cancel_takes_the_index_of_the_print_it_names(tmp_path: Path) -> None:
    rows = (
        "time_ns,price,size,side,type,index\n"
        "1703545200000000000,10.0,1,BUY,NEW,71\n"
        "1703545201000000000,10.5,1,SELL,NEW,72\n"
        "1703545202000000000,10.25,4,BUY,CORRECTION,71\n"
        "1703545203000000000,10.5,1,SELL,CANCEL,72\n"
        "1703545204000000000,9.0,1,SELL,CANCEL,99\n"
    )
    first, second, correction, cancel, orphan = prints(load_tape(written(tmp_path, rows, "x.csv")))
    assert (correction.index, correction.time_ns, correction.at_ns) == (first.index, first.time_ns, 1703545202000000000)
    assert (cancel.index, cancel.action.name) == (second.index, "CANCEL")
    assert orphan.index == 99


def test_gzip_and_parquet_read_as_csv_does(tmp_path: Path) -> None:
    plain = load_tape(written(tmp_path, HEADER + ROWS))
    packed = tmp_path / "ESH4.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    columns = tmp_path / "ESH4.parquet"
    pd.read_csv(tmp_path / "ESH4.csv").to_parquet(columns)
    assert list(load_tape(packed)) == list(plain) == list(load_tape(columns))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        (HEADER, "no rows after the header"),
        ("price,size\n1,1\n", "line 1: no column for a time among price, size"),
        ("time_ns,price\n1,1\n", "line 1: no column for size"),
        (HEADER + ROWS + "1703545200097787584,abc,1,BUY,,,,\n", "line 5: price is 'abc', expected a number"),
        (HEADER + "1703545200097787584,1.0,-1,BUY,,,,\n", "line 2: size is '-1', expected a number, 0 or more"),
        (HEADER + "1703545200097787584,1.0,nan,BUY,,,,\n", "line 2: size is 'nan', expected a number"),
        (HEADER + "1703545200097787584,inf,1,BUY,,,,\n", "line 2: price is 'inf'"),
        (HEADER + "1703545200097787584,1.0,1,BOUGHT,,,,\n", "line 2: side is 'BOUGHT', expected one of BUY, SELL, UNDEFINED"),
        (HEADER + "2023-12-25,1.0,1,BUY,,,,\n", "line 2: time_ns is '2023-12-25', expected a whole number"),
        (HEADER + "-5,1.0,1,BUY,,,,\n", "line 2: time_ns is '-5', expected a time after 1970"),
        (HEADER + "5,1.0,1,BUY,x,,,\n", "line 2: bid is 'x'"),
        (HEADER + ROWS + "\n" + ROWS, "line 5: time_ns is ''"),
        ("time_ns,kind,price,size\n5,Z,1,1\n", "line 2: kind is 'Z', expected one of T, Q"),
        ("time_ns,kind,price,size,bid,ask\n5,Q,,,1,2\n", "no trade in it"),
        ("time_ns,price,size,type\n5,1,1,CANCEL\n", "line 2: type is 'CANCEL', expected NEW in a tape without a column index"),
        ("time_ns,price,size,type,index\n5,1,1,NEW,x\n", "line 2: index is 'x'"),
        ("time_ns,price,size\n5,1,1,1\n6,1\n7,1,1,1,1,1\n", "cannot be read"),
    ],
)
def test_a_corrupt_tape_is_refused_with_its_name_line_and_what_would_do(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        load_tape(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_broken_gzip_missing_files_and_other_kinds_are_refused(tmp_path: Path) -> None:
    packed = gzip.compress((HEADER + ROWS * 50).encode())
    for name, content in (
        ("cut.csv.gz", packed[:60]),
        ("none.csv.gz", b"time_ns,price"),
        ("bad.parquet", b"PAR1 no"),
        ("flip.csv.gz", packed[:30] + b"\xff" + packed[31:]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=name):
            load_tape(tmp_path / name)
    with pytest.raises(UsageError, match="there is no such file"):
        load_tape(tmp_path / "nothing.csv")
    with pytest.raises(UsageError, match="expected a name that ends in"):
        load_tape(written(tmp_path, HEADER, "tape.txt"))


def test_the_real_es_tape_reads_as_its_description_says(tapes: Path) -> None:
    tape = load_tape(tapes / "es_h4_20231225_trades_bbo.csv.gz")
    found = prints(tape)
    volume = {side: sum(event.size for event in found if event.side.name == side) for side in ("BUY", "SELL", "UNKNOWN")}
    assert tape.contract.streamer_symbol == "/ESH24:XCME"
    assert volume == {"BUY": 5322, "SELL": 4526, "UNKNOWN": 44}
    assert (found[0].price, max(e.price for e in found), min(e.price for e in found), found[-1].price) == (4800.25, 4811.75, 4800.25, 4810.0)


def test_the_real_eth_tape_knows_its_steps_and_quotes(tapes: Path) -> None:
    tape = load_tape(tapes / "ethusdt_usdm_20240808_trades_bookticker.csv.gz")
    assert len(tape) == 14_076
    assert (tape.contract.symbol, tape.contract.tick_size, tape.contract.size_step) == ("ETHUSDT", 0.01, 0.001)
    assert sum(isinstance(event, QuoteChange) for event in tape) <= 53_992
    assert sum(math.isnan(event.bid) for event in prints(tape)) == 0
