"""`bars`, `history build` and `doctor`, called as the command line calls them."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from tastytrade_provider.bars import build_bars, build_footprint
from tastytrade_provider.commands import bars, doctor, frames, history, show
from tastytrade_provider.errors import MissingExtra, NoData, UsageError
from tastytrade_provider.journal import Journal
from tastytrade_provider.model import Gap
from tastytrade_provider.provider import Capabilities, GapLog, ProviderStatus
from tastytrade_provider.replay import ReplayProvider, compact
from tastytrade_provider.settings import Settings
from tests.checks import journals
from tests.checks.builders import ES
from tests.checks.journals import ROOT, a_message, write
from tests.checks.sources import a_tape
from tests.test_replay import decoded

NO_BARS: dict[str, Any] = {"timeframe": None, "start": None, "end": None, "hours": "eth", "as_json": False, "as_csv": False, "out": None}
CHECKUP: dict[str, Any] = {"as_json": True, "timeout_s": 20.0, "connect": True}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TT_SECRET", "TT_REFRESH"):
        monkeypatch.delenv(name, raising=False)


def a_config(folder: Path, *lines: str) -> str:
    path = folder / "config.yaml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def recorded(tmp_path: Path) -> str:
    """The configuration of a replay of eighty seconds of trades, ten a second, from 14:30 on."""
    write(tmp_path / "journal", range(400), rows=4)
    return a_config(tmp_path, "data_provider: replay", "symbols: [ES]", "replay:", f"  path: {tmp_path / 'journal'}")


def checked(capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, dict[str, dict[str, str]]]:
    code = doctor.run(**CHECKUP | {"config_path": None} | options)
    told = orjson.loads(capsys.readouterr().out)
    assert told["ok"] is (code == 0)
    return code, {check["name"]: check for check in told["checks"]}


# --- bars


def test_bars_of_the_configured_provider_as_json_csv_parquet_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = NO_BARS | {"symbol": "ES", "timeframe": "1m", "config_path": recorded(tmp_path)}
    assert bars.run(**options | {"as_json": True}) == 0
    first, second = orjson.loads(capsys.readouterr().out)
    assert (first["time"], first["trades"], second["trades"]) == ("2026-11-24T14:30:00Z", 1200, 400)
    assert (first["session"], first["delta_source"], first["complete"]) == ("2026-11-24", "time_and_sale", True)
    assert first["volume"] == first["buy_volume"] + first["sell_volume"]
    assert bars.run(**options | {"as_csv": True}) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("time,open,high,low,close,volume,buy_volume,sell_volume,trades,")
    assert [row.split(",")[header.split(",").index("session")] for row in rows] == ["2026-11-24"] * 2
    assert [row.split(",")[0] for row in rows] == ["2026-11-24T14:30:00.000000Z", "2026-11-24T14:31:00.000000Z"]
    out = tmp_path / "made" / "es.parquet"
    assert bars.run(**options | {"out": out, "start": "2026-11-24T14:31:00Z"}) == 0
    assert "1 rows" in capsys.readouterr().err
    found = pd.read_parquet(out)
    assert (found.attrs["symbol"], found.attrs["tick_size"], found["trades"].tolist()) == ("/ESZ6", 0.25, [400])
    assert bars.run(**options) == 0
    assert "2026-11-24 14:31:00" in capsys.readouterr().out


def test_no_bars_where_the_market_was_closed_and_an_error_where_it_was_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = NO_BARS | {"symbol": "ES", "timeframe": "1m", "config_path": recorded(tmp_path)}
    assert bars.run(**options | {"start": "2026-11-21T12:00:00Z", "end": "2026-11-21T13:00:00Z"}) == 0
    assert "no bars: the market was closed" in capsys.readouterr().out
    assert bars.run(**options | {"start": "2026-11-21T12:00:00Z", "end": "2026-11-21T13:00:00Z", "as_json": True}) == 0
    assert orjson.loads(capsys.readouterr().out) == []
    with pytest.raises(NoData):
        bars.run(**options | {"start": "2026-11-24T12:00:00Z", "end": "2026-11-24T13:00:00Z"})
    with pytest.raises(UsageError, match="one of them"):
        bars.run(**options | {"as_csv": True, "as_json": True})
    with pytest.raises(UsageError, match=r"ends in \.parquet"):
        bars.run(**options | {"out": tmp_path / "es.xlsx"})


def test_a_parquet_file_needs_the_extra_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"\[store\]"):
        frames.write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "made.parquet")
    assert list(tmp_path.iterdir()) == []


class Slow(ReplayProvider):
    """A provider that tells how its history comes along."""

    capabilities = Capabilities(historical_bars=True)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.replay.path or "", "max", start="end")

    async def historical_bars(self, *args: Any, **options: Any) -> pd.DataFrame:
        for share in (0.2, 0.6, 1.0):
            assert self.progress is not None
            self.progress("Candle of ES", int(share * 1000), share)
        return await super().historical_bars(*args, **options)


def test_a_long_history_tells_how_it_comes_along_on_the_error_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(tmp_path)
    config = a_config(tmp_path, f"data_provider: {__name__}:Slow", "replay:", f"  path: {tmp_path / 'journal'}")
    monkeypatch.setattr("tastytrade_provider.registry.import_module", lambda name: sys.modules[name])
    monkeypatch.setattr(bars, "_PLAIN_EVERY_S", 0.0)
    assert bars.run(**NO_BARS | {"symbol": "ES", "as_json": True, "config_path": config, "start": "2026-11-24T14:30:00Z"}) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == ["Candle of ES: 200 rows, 20%", "Candle of ES: 600 rows, 60%", "Candle of ES: 1,000 rows, 100%"]
    orjson.loads(out)  # nothing of it stands among the rows
    monkeypatch.setattr(bars, "_PLAIN_EVERY_S", 60.0)
    assert bars.run(**NO_BARS | {"symbol": "ES", "as_json": True, "config_path": config, "start": "2026-11-24T14:30:00Z"}) == 0
    assert capsys.readouterr().err == ""


def test_what_a_reader_of_bars_should_know_besides_is_told_on_the_error_output() -> None:
    late = pd.DataFrame({"open": [6000.0]}, index=pd.DatetimeIndex(["2026-11-20T18:45:00Z"], name="time"))
    assert bars.notes(late) == []
    late.attrs = {"start_was_cut": True, "ended_by": "quiet", "counts": {"rejected": 2, "no_split": 1}}
    begins, quiet, rejected = bars.notes(late)
    assert "begins at 2026-11-20T18:45:00Z" in begins
    assert ("bars may be missing" in quiet, rejected) == (True, "bars that could not be read are left out: 2")
    late.attrs = {"start_was_cut": False, "ended_by": "deadline", "counts": {"rejected": 0}}
    assert [note.split(" and ")[0] for note in bars.notes(late)] == ["the feed's answer took too long"]
    assert bars.notes(late[:0].copy()) == bars.notes(late)


# --- history build


def built(capsys: pytest.CaptureFixture[str], path: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    given = {"symbols": (), "timeframe": "5s", "start": None, "end": None, "ticks_per_row": 1, "as_json": True}
    assert history.build(**given | {"path": path, "out": out} | options) == 0
    found: list[dict[str, Any]] = orjson.loads(capsys.readouterr().out)
    return found


def test_a_journal_and_its_session_files_make_the_same_bars_and_footprint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = tmp_path / "journal"
    write(journal, range(400), rows=4)
    sessions = tmp_path / "sessions"
    compact(journal, sessions)
    trades = decoded(range(400), 4)
    expected = build_bars(trades, "5s", ES), build_footprint(trades, "5s", ES)
    for path in (journal, sessions, next(sessions.rglob("*.parquet"))):
        out = tmp_path / "out" / path.name
        [told] = built(capsys, path, out)
        assert (told["contract"], told["bar_rows"], told["footprint_rows"]) == ("/ESZ6", len(expected[0]), len(expected[1]))
        for name, frame in zip(("bars", "footprint"), expected, strict=True):
            found = pd.read_parquet(told[name])
            assert found.index.tolist() == frame.index.tolist()
            for column in ("buy_volume", "sell_volume"):
                np.testing.assert_array_equal(found[column], frame[column])


def test_a_range_and_rows_of_several_ticks_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "journal", range(400), rows=4)
    [told] = built(capsys, tmp_path / "journal", tmp_path, start="2026-11-24T14:30:10Z", end="2026-11-24T14:30:20Z", ticks_per_row=4)
    found = pd.read_parquet(told["bars"])
    assert found.index.tolist() == [pd.Timestamp("2026-11-24T14:30:10Z"), pd.Timestamp("2026-11-24T14:30:15Z")]
    footprint = pd.read_parquet(told["footprint"])
    assert set(footprint.index.get_level_values("time")) == set(found.index)
    assert all(price == int(price) for price in footprint.index.get_level_values("price"))
    assert footprint[["buy_volume", "sell_volume", "unknown_volume"]].to_numpy().sum() == found["volume"].sum()
    for nowhere in ({"start": "2026-11-25T14:30:10Z"}, {"symbols": ("CL",)}, {"start": "2026-11-24T14:30:10Z", "end": "2026-11-24T14:30:10Z"}):
        with pytest.raises(UsageError):
            built(capsys, tmp_path / "journal", tmp_path, **nowhere)


def test_bars_that_a_gap_of_the_journal_touches_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path / "journal")
    journal.open()
    journal.watch(ES)
    for number in (0, 100, 200):  # five seconds apart
        journal.append([a_message(number)], [number], journals.COLUMNS)
    journal.close()
    write(tmp_path / "journal", range(520, 521))  # a second into its bar
    [told] = built(capsys, tmp_path / "journal", tmp_path)
    assert pd.read_parquet(told["bars"])["complete"].tolist() == [True, True, False, False]


# --- doctor


def test_a_good_machine_has_no_failure_and_the_configured_provider_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = checked(capsys, config_path=recorded(tmp_path))
    assert code == 0
    assert "connects; ES is /ESZ6" in checks["provider replay"]["text"]
    assert {check["status"] for check in checks.values()} <= {"OK", "WARN"}
    assert all(check["todo"] for check in checks.values() if check["status"] != "OK")
    assert checks["tastytrade.client_secret"]["text"] == "not set, and not needed"


def test_a_feed_that_is_lost_again_as_soon_as_it_stands_fails_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status = ReplayProvider.status
    monkeypatch.setattr(ReplayProvider, "status", lambda self: replace(status(self), problem="connection lost: reset by peer", attempts=1))
    code, checks = checked(capsys, config_path=recorded(tmp_path))
    assert (code, checks["provider replay"]["status"]) == (1, "FAIL")
    assert checks["provider replay"]["text"] == "connected, and lost again: connection lost: reset by peer"


def test_what_is_wrong_fails_with_what_to_do_and_never_with_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, checks = checked(capsys, config_path=a_config(tmp_path, "data_provider: tastytrade"))
    assert (code, checks["config"]["status"], checks["tastytrade.refresh_token"]["status"]) == (1, "FAIL", "WARN")
    assert "set TTP_TASTYTRADE__REFRESH_TOKEN or TT_REFRESH" in checks["tastytrade.refresh_token"]["todo"]
    monkeypatch.setenv("TT_SECRET", "s3cret-of-mine")
    monkeypatch.setenv("TT_REFRESH", "t0ken-of-mine")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        path = a_config(tmp_path, "data_provider: tastytrade", "tastytrade:", f"  api_url: {url}")
        for as_json in (True, False):
            assert doctor.run(**CHECKUP | {"config_path": path, "as_json": as_json, "timeout_s": 3.0}) == 1
            out, err = capsys.readouterr()
            assert "of-mine" not in out + err
            assert re.search(r"set by TT_SECRET", out)
            assert re.search(r"check the two secrets and the network", out)
    code, checks = checked(capsys, connect=False, config_path=path)
    assert (code, "provider tastytrade" in checks) == (0, False)


def test_a_missing_or_old_package_and_a_wrong_clock_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "picows":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.1.9" if name == "pandas" else "99"

    told = {check.name: check for check in doctor.packages(version)}
    assert (told["picows"].status, told["picows"].todo) == ("FAIL", "pip install 'picows>=2.3'")
    assert (told["pandas"].status, told["pandas"].text) == ("FAIL", "2.1.9 is older than 2.2.2")
    assert doctor.clock(lambda: 0.0).status == "FAIL"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = {check.name: check.status for check in doctor.extras({"ib"})}
    assert (found["extra ib"], found["extra plot"]) == ("FAIL", "WARN")
    texts = {check.name: check.text for check in doctor.extras(set())}
    assert texts["extra migrate"] == "not installed; only needed for migrate scan and migrate rewrite"


def test_the_packages_it_looks_for_are_those_that_are_installed_with_it() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    needed = [line for line in metadata["options"]["install_requires"].splitlines() if line and not line.startswith("#")]
    assert dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in needed) == doctor.CORE  # type: ignore[union-attr,misc]
    extras = set(metadata["options.extras_require"]) - {"all", "dev", "cluster"}
    assert extras == set(doctor.EXTRAS)


def test_a_contract_of_a_tape_can_be_built_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = a_tape(tmp_path / "ESH4.csv", "1703545200000000000, 4800, 2, BUY", header="time_ns,price,size,side")
    [told] = built(capsys, tape, tmp_path)
    assert (told["contract"], pd.read_parquet(told["bars"])["buy_volume"].tolist()) == ("/ESH4", [2.0])


# --- how it stands


class _Told:
    """A provider that only has a status."""

    def __init__(self, gaps: GapLog, **told: Any) -> None:
        self._status = ProviderStatus("connected", 0, delta_source="time_and_sale", **gaps.status(), **told)

    def status(self) -> ProviderStatus:
        return self._status


def test_a_gap_that_was_filled_is_no_loss_and_the_others_are_all_counted(capsys: pytest.CaptureFixture[str]) -> None:
    gaps = GapLog()
    for second in range(4):
        gaps.add(Gap(ES, second * 10, second * 10 + 5, "connection lost", filled=True))
    whole: Any = _Told(gaps, reconnects=4, duplicates=7)
    assert show._health(whole) == "connected, delta from time_and_sale; 4 reconnects, refilled; nothing lost; 7 duplicates ignored"
    for second in range(150):
        gaps.add(Gap(ES, second * 100, second * 100 + 1, "connection lost"))
    torn: Any = _Told(gaps, reconnects=154, token_level="demo", notes=("the front month moves on tomorrow", "3 messages were not journalled: [Errno 28]"))
    line, *notes = show._health(torn).splitlines()
    assert line == "connected, delta from time_and_sale; 154 reconnects; DELAYED DATA (token level demo); 150 gaps"
    assert notes == ["the front month moves on tomorrow", "3 messages were not journalled: [Errno 28]"]
    show.tell(torn.status())
    assert capsys.readouterr().err.splitlines() == ["note: DELAYED DATA (token level demo); 150 gaps", *(f"note: {note}" for note in notes)]


def test_doctor_says_that_another_process_records_and_that_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Journal(tmp_path / "kept")
    recorder.open()
    path = a_config(tmp_path, "data_provider: demo", "journal:", "  enabled: true", f"  path: {tmp_path / 'kept'}")
    _, checks = checked(capsys, connect=False, config_path=path)
    recorder.close()
    assert checks["journal"]["status"] != "FAIL"
    assert "another process is recording there" in checks["journal"]["text"]
