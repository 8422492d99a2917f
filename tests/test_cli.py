"""The command line as a stranger meets it: what it prints, how it ends, and one clear line when something is wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tastytrade_provider import warm
from tastytrade_provider.commands.ports import listen
from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN
from tastytrade_provider.emulator.truth import read
from tastytrade_provider.errors import UsageError
from tests.checks.sources import LIMIT_S, a_tape
from tests.checks.terminal import Run, runner

PROGRAM = (sys.executable, "-m", "tastytrade_provider")
WRONG = "not-the-right-secret"
ROWS = "1795357800000000000, 6000.00, 7, BUY"


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Once, so that no command has to say that it compiles."""
    warm.warm_up()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("TTP_", "TT_"))]:
        monkeypatch.delenv(name)
    return runner(capsys, monkeypatch)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The addresses of an exchange in a process of its own."""
    truth = tmp_path_factory.mktemp("exchange") / "truth.jsonl"
    with start("emulate", "--seed", "3", "--speed", "20", "--truth", str(truth)) as exchange:
        assert exchange.stdout is not None
        yield orjson.loads(exchange.stdout.readline())
        exchange.send_signal(signal.SIGINT)


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1])


def a_config(folder: Path, api_url: str, *more: str) -> Path:
    path = folder / "config.yaml"
    section = ["tastytrade:", f"  api_url: {api_url}", "  client_secret: ${TT_SECRET}", "  refresh_token: ${TT_REFRESH}"]
    path.write_text("\n".join(["data_provider: tastytrade", "symbols: [ES]", *section, *more]) + "\n")
    return path


# --- starting


def test_help_imports_nothing_heavy_and_comes_at_once() -> None:
    heavy = ["pandas", "numpy", "numba", "tastytrade", "picows", "pydantic", "rich", "asyncio", "httpx2"]
    code = (
        "import sys, runpy; sys.argv[1:] = ['--help']\n"
        "try: runpy.run_module('tastytrade_provider', run_name='__main__')\n"
        f"finally: print([name for name in {heavy} if name in sys.modules])"
    )
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=LIMIT_S, check=False)
    took_s = time.perf_counter() - began
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == "[]"
    assert took_s < 2.0


@pytest.mark.parametrize(
    "words", [["--help"], ["demo", "--help"], ["stream", "-h"], ["emulate", "--help"], ["probe", "--help"], ["config", "check", "--help"], ["--version"]]
)
def test_every_command_explains_itself(run: Run, words: list[str]) -> None:
    ended = run(*words)
    assert (ended.code, ended.err) == (0, "")
    assert "tastytrade-provider" in ended.out


# --- what is wrong is told in one line


def assert_one_line(ended: Any, *says: str) -> None:
    assert ended.code == 2, ended
    assert ended.out == ""
    told = [line for line in ended.err.splitlines() if not line.startswith("note: ")]
    assert len(told) == 1, ended.err
    assert told[0].startswith("error: ")
    for text in says:
        assert text in told[0], told[0]
    assert not [secret for secret in (WRONG, CLIENT_SECRET, REFRESH_TOKEN) if secret in ended.err]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch"], ["No such command 'nosuch'", "--help"]),
        (["demo", "--bogus"], ["--bogus", "demo --help"]),
        (["demo", "--speed", "fast"], ["'fast' is no speed; a number above 0 (1 is as recorded) or max is"]),
        (["demo", "--speed", "0"], ["'0' is no speed"]),
        (["demo", "--speed", "nan"], ["'nan' is no speed"]),
        (["demo", "--seconds", "0"], ["--seconds"]),
        (["demo", "--timeframe", "7x", "--seconds", "1"], ["timeframe '7x' is not a number followed by s m h d w mo t v r, up to one session, such as 5s"]),
        (["bars", "ES", "--timeframe", "7x", "--config", "nowhere.yaml"], ["timeframe '7x' is not a number followed by s m h d w mo t v r"]),
        (["history", "build", "nowhere", "--timeframe", "26h"], ["timeframe '26h' is not a number"]),
        (["demo", "--symbol", "XYZ", "--tick-size", "0.3"], ["without a tape there is nothing that --symbol, --tick-size could describe", "--tape"]),
        (["emulate", "--calendar", "24/7"], ["without a tape there is nothing that --calendar could describe"]),
        (["demo", "--tape", "nowhere.csv"], ["nowhere.csv", "no such file"]),
        (["demo", "--config", "nowhere.yaml"], ["nowhere.yaml", "No such file"]),
        (["config", "check"], ["config.yaml", "No such file"]),
        (["stream", "NOPE9", "--seconds", "1"], ["'NOPE9'", "ES (front month), ESZ6"]),
        (["probe"], ["Missing argument 'SYMBOL'", "probe --help"]),
        (["probe", "ES", "--seconds", "0"], ["--seconds"]),
        (["emulate", "--truth", "nowhere/truth.jsonl"], ["nowhere/truth.jsonl"]),
        (["emulate", "--port", "99999"], ["--port"]),
        (["migrate", "rewrite", "."], ["Missing option '--to'. Choose from: compat, provider; see", "rewrite --help"]),
    ],
)
def test_a_wrong_word_is_told_in_one_line_with_what_would_do(run: Run, words: list[str], says: list[str]) -> None:
    assert_one_line(run(*words), *says)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("es_z6.csv", b"", "es_z6.csv"),
        ("es_z6.csv", b"time_ns,price,size\n", "no rows after the header"),
        ("es_z6.csv", b"time_ns,price\n1795357800000000000,1\n", "no column for size among time_ns, price"),
        ("es_z6.csv", b"time_ns,price,size\n1795357800000000000,abc,1\n", "line 2: price is 'abc', expected a number"),
        ("es_z6.csv", b"time_ns,price,size,side\n1795357800000000000,1,1,UP\n", "line 2: side is 'UP', expected one of BUY, SELL"),
        ("es_z6.csv", b"\x00\xff\xfe" * 99, "es_z6.csv"),
        ("es_z6.csv.gz", b"not packed", "es_z6.csv.gz: cannot be read"),
        ("es_z6.parquet", b"PAR1", "es_z6.parquet"),
        ("es_z6.txt", b"a", "expected a name that ends in .csv, .csv.gz, .parquet"),
    ],
)
def test_a_damaged_tape_is_told_with_its_name_and_place(run: Run, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert_one_line(run("demo", "--tape", name, "--speed", "max", "--json"), says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timeframe: 7q\n", "config.yaml:1: timeframe: '7q' is not"),
        ("symbls: [ES]\n", "config.yaml:1: symbls: unknown key; did you mean symbols?"),
        ("symbols: [ES\n", "config.yaml:2:1: not YAML: the file ends inside what begins on line 1: a bracket, a brace or a quote is not closed"),
        ("indicators: [rsii]\n", "config.yaml:1: indicators[0]: no indicator 'rsii'; did you mean 'rsi'?"),
        ("data_provider: tastytrad\n", "no provider is named 'tastytrad'; did you mean 'tastytrade'?"),
    ],
)
def test_a_malformed_config_is_told_with_its_line(run: Run, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert_one_line(run("stream", "--config", "config.yaml", "--seconds", "1"), says)


def test_a_wrong_secret_is_told_without_showing_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: dict[str, Any]) -> None:
    monkeypatch.setenv("TT_SECRET", WRONG)
    monkeypatch.setenv("TT_REFRESH", REFRESH_TOKEN)
    ended = run("stream", "--config", a_config(tmp_path, emulator["api_url"]), "--seconds", "1", "--json")
    assert_one_line(ended, "TastyTrade refused the login", "check TT_SECRET (client secret) and TT_REFRESH (refresh token)")


def test_missing_secrets_are_told_with_the_variables_to_set(run: Run, tmp_path: Path) -> None:
    ended = run("stream", "--config", a_config(tmp_path, "http://127.0.0.1:1"), "--seconds", "1")
    assert ended.code == 2
    assert "set TTP_TASTYTRADE__CLIENT_SECRET or TT_SECRET" in ended.err
    assert "Traceback" not in ended.err


def test_an_unreachable_host_is_told_with_its_address(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_SECRET", WRONG)
    monkeypatch.setenv("TT_REFRESH", WRONG)
    ended = run("stream", "--config", a_config(tmp_path, "http://127.0.0.1:1"), "--seconds", "1")
    assert_one_line(ended, "http://127.0.0.1:1 cannot be reached (login)")


# --- config check


def test_a_good_config_is_summed_up_and_as_json_hides_secrets(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_SECRET", WRONG)
    monkeypatch.setenv("TT_REFRESH", WRONG)
    path = a_config(tmp_path, "https://api.tastyworks.com")
    ended = run("config", "check", path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{path}: good. data_provider tastytrade, ES, 1m, with TastyTrade delta.\n"
    as_json = run("config", "check", path, "--json")
    assert as_json.json["data_provider"] == "tastytrade"
    assert WRONG not in as_json.out


def test_every_mistake_of_a_config_is_named_where_it_stands(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("timeframe: 7q\nsymbls: [ES]\nib: {port: 0}\n")
    ended = run("config", "check")
    assert ended.code == 2
    assert [line.split(" ")[1 if line.startswith("error") else 0] for line in ended.err.splitlines()] == ["config.yaml:1:", "config.yaml:2:", "config.yaml:3:"]


OUTSIDE = """\
data_provider: demo
delta_provider: foo
timeframe: 7q
indicators: [cvd, rsii]
demo: {tape: nofile.csv}
replay: {path: not-recorded-yet}
ab:
  primary: ibb
  shadow: tastytrad
"""


def test_what_nobody_offers_and_files_that_are_not_there_are_mistakes_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(OUTSIDE)
    ended = run("config", "check")
    assert ended.code == 2
    assert [line.removeprefix("error: ").partition(";")[0] for line in ended.err.splitlines()] == [
        "config.yaml:2: delta_provider: no provider is named 'foo'",
        "config.yaml:3: timeframe: '7q' is not a number followed by s m h d w mo t v r, up to one session, such as 5s 1m 15m 1h 1d 1w 1mo 133t 1000v 8r",
        "config.yaml:4: indicators[1]: no indicator 'rsii'",
        "config.yaml:5: demo.tape: 'nofile.csv' is not there",  # replay.path is not asked for: nothing replays
        "config.yaml:8: ab.primary: no provider is named 'ibb'",
        "config.yaml:9: ab.shadow: no provider is named 'tastytrad'",
    ]
    (tmp_path / "config.yaml").write_text("data_provider: replay\nreplay: {path: not-recorded-yet}\n")
    monkeypatch.setenv("TTP_INDICATORS", "cvd, rsii")
    told = run("config", "check").err
    assert "TTP_INDICATORS: indicators[1]: no indicator 'rsii'" in told
    assert "config.yaml:2: replay.path: 'not-recorded-yet' is not there" in told
    monkeypatch.delenv("TTP_INDICATORS")
    (tmp_path / "config.yaml").write_text("data_provider: replay\n")
    assert_one_line(run("config", "check"), "config.yaml: replay.path: missing", "a journal's folder, a session file or a tape")


def test_the_file_to_check_may_be_named_either_way_but_not_twice(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("symbols: [NQ]\n")
    good = f"{path}: good. data_provider demo, NQ, 1m, without a TastyTrade login.\n"
    assert [run("config", "check", *words).out for words in ([path], ["--config", path])] == [good, good]
    assert_one_line(run("config", "check", path, "--config", path), "two files are named")


# --- ports


@pytest.mark.parametrize("command", ["serve", "emulate"])
def test_a_port_that_is_in_use_is_told_with_what_to_do(run: Run, command: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert_one_line(run(command, "--port", port), f"port {port} is in use; another --port, or 0 for a free one")


def test_an_address_that_is_not_ours_is_told_with_its_name() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 203\.0\.113\.1, port 0: "):  # RFC 5737: nobody's
        listen("203.0.113.1", 0)


def test_every_address_of_a_name_listens_on_one_port() -> None:
    found = listen("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in found}) == 1
    finally:
        for each in found:
            each.close()


# --- emulate and stream


def test_emulate_prints_its_addresses_as_one_line_and_ends_with_0_on_sigint(tmp_path: Path) -> None:
    tape, truth = a_tape(tmp_path / "es_z6.csv", ROWS, header="time_ns,price,size,side"), tmp_path / "truth.jsonl"
    with start("emulate", "--tape", str(tape), "--speed", "max", "--truth", str(truth)) as exchange:
        assert exchange.stdout is not None
        addresses = orjson.loads(exchange.stdout.readline())
        exchange.send_signal(signal.SIGINT)
        out, err = exchange.communicate(timeout=LIMIT_S)
    assert exchange.returncode == 0
    assert (out, b"Traceback" in err) == (b"", False)
    assert set(addresses) == {"api_url", "dxlink_url", "tws_port", "truth", "client_secret", "refresh_token"}
    assert (addresses["client_secret"], addresses["refresh_token"]) == (CLIENT_SECRET, REFRESH_TOKEN)
    assert addresses["api_url"].startswith("http://127.0.0.1:")
    assert addresses["dxlink_url"] == addresses["api_url"].replace("http", "ws") + "/realtime"
    assert addresses["truth"] == str(truth)
    assert truth.exists()


def test_stream_shows_what_an_exchange_elsewhere_published(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: dict[str, Any]) -> None:
    monkeypatch.setenv("TT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("TT_REFRESH", REFRESH_TOKEN)
    config = a_config(tmp_path, emulator["api_url"])
    ended = run("stream", "ES", "--config", config, "--seconds", "2", "--json", "--timeframe", "1m")
    found = ended.json
    assert "never retrieved" not in ended.err
    assert found["trades"] > 0
    assert found["volume"] == found["buy_volume"] + found["sell_volume"] + found["unknown_volume"]
    sizes = {record["size"] for record in read(Path(emulator["truth"])) if str(record["symbol"]).startswith("/ES")}
    assert sizes
    several = run("stream", "ES", "NQ", "--config", config, "--seconds", "0.5", "--json").json
    assert [symbol[:3] for symbol in several] == ["/ES", "/NQ"]
    once = run("stream", "ES", next(iter(several)), "--config", config, "--seconds", "0.5", "--json").json
    assert once.keys() == found.keys()  # two names of one contract: the summary of one
    table = run("stream", "--config", config, "--seconds", "0.5")
    assert (table.code, table.err) == (0, "")
    assert "nothing lost" in table.out
    assert "delta from time_and_sale" in table.out


# --- probe


def test_probe_says_what_a_login_receives_and_what_to_make_of_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: dict[str, Any]) -> None:
    monkeypatch.setenv("TT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("TT_REFRESH", REFRESH_TOKEN)
    config = a_config(tmp_path, emulator["api_url"])
    told = run("probe", "ES", "--config", config, "--seconds", "1")
    assert (told.code, told.err) == (0, "note: watching ES for 1 s\n")
    assert "Delta source time_and_sale: every print with the exchange's own side" in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    as_json = run("probe", "ES", "--config", config, "--seconds", "1", "--json")
    found = as_json.json
    assert (as_json.err, found["delta_source"], found["exit_code"], found["token_level"]) == ("", "time_and_sale", 0, "api")
    assert found["events"]["TimeAndSale"]["with_side_share"] > 0.9
    assert (found["events"]["Quote"]["arrives"], found["events"]["Profile"]["arrives"]) == (True, True)
    assert not [secret for secret in (CLIENT_SECRET, REFRESH_TOKEN) if secret in told.out + as_json.out]


def test_probe_tells_what_is_wrong_in_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: dict[str, Any]) -> None:
    monkeypatch.setenv("TT_REFRESH", REFRESH_TOKEN)
    config = a_config(tmp_path, emulator["api_url"])
    monkeypatch.setenv("TT_SECRET", WRONG)
    assert_one_line(run("probe", "ES", "--config", config), "TastyTrade refused the login", "TT_SECRET")
    monkeypatch.setenv("TT_SECRET", CLIENT_SECRET)
    assert_one_line(run("probe", "NOPE9", "--config", config, "--json"), "'NOPE9'", "Accepted forms")


# --- pipes and interrupts


@pytest.mark.parametrize("more", [["--json"], []], ids=["json", "table"])
def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path, more: list[str]) -> None:
    tape = a_tape(tmp_path / "es_z6.csv", ROWS, header="time_ns,price,size,side")
    with start("demo", "--tape", str(tape), "--speed", "max", *more) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        err = program.stderr.read().decode()
        program.wait(LIMIT_S)
    assert program.returncode == 0
    assert [line for line in err.splitlines() if not line.startswith("note: ")] == []


def test_the_demo_says_where_its_page_is_and_ctrl_c_ends_it_at_any_moment() -> None:
    with start("demo") as program:
        assert program.stdout is not None
        address = program.stdout.readline().decode().split()[3]
        with urllib.request.urlopen(f"{address}api/tastytrade/status", timeout=LIMIT_S) as answer:
            assert orjson.loads(answer.read())["provider"] == "demo"
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=LIMIT_S)
    assert (program.returncode, err) == (0, b"")


def test_ctrl_c_is_how_an_endless_demo_ends_and_leaves_its_last_table() -> None:
    with start("demo", "--speed", "50", "--no-browser") as program:
        assert program.stdout is not None
        program.stdout.readline()  # the first table has begun
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=LIMIT_S)
    assert (program.returncode, err) == (0, b"")
    assert b"nothing lost" in out
