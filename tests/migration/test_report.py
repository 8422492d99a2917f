"""The report as a page and as JSON, and stored bars of any origin read and compared."""

from __future__ import annotations

import datetime as dt
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from tastytrade_provider.commands import migrate_compare
from tastytrade_provider.errors import MarketDataError, MissingColumns, UsageError
from tastytrade_provider.migration import Comparison, compare_bars, compare_files, read_bars, to_html, to_json, to_lines, write_report
from tests.checks.builders import a_batch, opening

NY = "America/New_York"


def frame(n: int = 120) -> pd.DataFrame:
    """Our kind of frame."""
    close = 6000 + np.random.default_rng(3).integers(-3, 4, n).cumsum() * 0.25
    start = pd.date_range("2026-11-23T14:30Z", periods=n, freq="1min", name="time", unit="ns")
    return pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close + 0.25, "volume": np.arange(n) + 100.0}, index=start)


def of_ib(bars: pd.DataFrame, date: Any) -> pd.DataFrame:
    """As ib_async's util.df gives it: a column `date`, and average and barCount behind the volume."""
    assert isinstance(bars.index, pd.DatetimeIndex)
    return bars.reset_index(drop=True).assign(date=date, average=bars["close"].to_numpy(), barCount=7)[["date", *bars.columns, "average", "barCount"]]


# --- the report


def a_result() -> Any:
    comparison = Comparison("/ESZ6 <b>", 0.25, ("ib & co", "tastytrade"))
    for minute in range(4):
        for side in (0, 1):
            times = opening() + minute * 60 * 10**9 + np.arange(30) * 10**9
            comparison.add_trades(side, a_batch(time_ns=times, side=1), int(times[0]) + side * 20_000_000)
    comparison.note(1, "fault", "it died <at once>")
    return comparison.result(is_over=True)


class Page(HTMLParser):
    """Tags in and out of balance, and every address a page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetches: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetches += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "line", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "line", "rect", "path"):
            assert self.open.pop() == tag


def test_the_page_is_whole_stands_alone_and_shows_what_was_found() -> None:
    text = to_html([a_result(), compare_bars(frame(), frame() + 0.5, 0.25)])
    page = Page(text)
    assert (page.open, page.fetches) == ([], [])
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?://", text)
    assert page.tags.count("svg") == 5
    assert "ib &amp; co" in text
    assert "it died &lt;at once&gt;" in text
    assert "close is typically 2 ticks higher" in text
    assert "crashes, freezes and errors" in text  # what a check means
    assert "above its second FAIL" in text  # and how it is judged


def test_the_text_says_what_was_compared_which_limit_was_crossed_and_the_whole() -> None:
    first, *checks, last = to_lines([compare_bars(frame(), frame().assign(volume=frame()["volume"] * 0.9), 0.25, symbol="/ESZ6")])
    assert first == "/ESZ6: FAIL  (a against b: 120 and 120 bars, 2026-11-23 14:30Z to 2026-11-23 16:29Z)"
    assert checks[0].endswith("(17,226 against 19,140) [FAIL above 5 %]")
    assert not any("[" in line for line in checks[1:])
    assert last == f"FAIL: a against b: 1 FAIL, 0 WATCH and {len(checks) - 1} PASS of {len(checks)} checks"


def test_the_json_has_every_check_with_its_limits_and_the_worst_verdict(tmp_path: Path) -> None:
    result = compare_bars(frame(), frame().assign(volume=frame()["volume"] * 0.97), 0.25)
    path, page = write_report(tmp_path / "new" / "folder", [result])
    assert page.read_text("utf-8").startswith("<!doctype html>")
    found = orjson.loads(path.read_bytes())
    assert found == orjson.loads(to_json([result]))
    assert found["verdict"] == "WATCH"
    [check] = [check for check in found["comparisons"][0]["checks"] if check["verdict"] != "PASS"]
    assert (check["name"], round(check["value"], 6), check["watch"], check["fail"]) == ("bar_volume_pct", 3.0, 1, 5)


# --- stored bars


WRITTEN: dict[str, Any] = {
    "aware, in New York": lambda time: time.tz_convert(NY),
    "text as formatDate=1 writes it": lambda time: [f"{at:%Y%m%d %H:%M:%S} US/Eastern" for at in time.tz_convert(NY)],
    "text as IB writes UTC": lambda time: [f"{at:%Y%m%d-%H:%M:%S}" for at in time],
    "ISO text with an offset": lambda time: [at.isoformat() for at in time.tz_convert(NY)],
    "seconds since 1970": lambda time: time.as_unit("s").asi8,
    "milliseconds since 1970": lambda time: time.as_unit("ms").asi8,
    "nanoseconds since 1970": lambda time: time.as_unit("ns").asi8,
    "naive, in a zone that is told": lambda time: time.tz_convert(NY).tz_localize(None),
}


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("written", WRITTEN)
def test_bars_are_read_alike_however_their_time_is_written(written: str, suffix: str, tmp_path: Path) -> None:
    theirs = of_ib(frame(), WRITTEN[written](frame().index))
    path = tmp_path / f"ib.{suffix}"
    theirs.to_parquet(path) if suffix == "parquet" else theirs.to_csv(path)
    stored = read_bars(path, zone=NY)
    pd.testing.assert_frame_equal(stored.frame, frame(), check_freq=False)
    assert not stored.is_daily


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_our_own_frames_come_back_and_other_spellings_are_understood(suffix: str, tmp_path: Path) -> None:
    ours = frame().assign(trades=3, session=pd.Timestamp("2026-11-23"))
    ours.attrs["tick_size"] = 0.25
    path = tmp_path / f"ours.{suffix}"
    ours.to_parquet(path) if suffix == "parquet" else ours.to_csv(path)
    pd.testing.assert_frame_equal(read_bars(path).frame, frame(), check_freq=False)
    spelt = frame().rename(columns={"open": "Open", "high": " HIGH", "low": "l", "close": "Close", "volume": "Vol"}).rename_axis("Datetime")
    spelt.to_csv(tmp_path / "spelt.csv")
    pd.testing.assert_frame_equal(read_bars(tmp_path / "spelt.csv").frame, frame(), check_freq=False)


def test_daily_bars_meet_by_label_date_whoever_wrote_them(tmp_path: Path) -> None:
    days = [dt.date(2026, 11, day) for day in (23, 24, 25)]
    flat = {"open": 6000.0, "high": 6001.0, "low": 5999.0, "close": 6000.5, "volume": 1000.0}
    pd.DataFrame({"date": days, **flat}).to_parquet(tmp_path / "ib.parquet")
    # the session of Monday opens on Sunday at 17:00 Chicago, 23:00 UTC in winter
    opened = pd.DatetimeIndex([f"2026-11-{day}T23:00Z" for day in (22, 23, 24)], name="time")
    pd.DataFrame(flat, index=opened).to_csv(tmp_path / "no label.csv")
    pd.DataFrame({**flat, "session": pd.to_datetime(days)}, index=opened).to_csv(tmp_path / "label.csv")
    pd.DataFrame({"date": [f"{day:%Y%m%d}" for day in days], **flat}).to_csv(tmp_path / "native.csv", index=False)
    for other in ("no label.csv", "label.csv", "native.csv"):
        result = compare_files(tmp_path / "ib.parquet", tmp_path / other, tick_size=0.25)
        assert ({check.name for check in result.checks if check.verdict != "PASS"}, result.facts["bars"]["matched"]) == ({"too_few"}, 3), other
    frame().to_csv(tmp_path / "minutes.csv")
    with pytest.raises(UsageError, match="holds daily bars"):
        compare_files(tmp_path / "ib.parquet", tmp_path / "minutes.csv")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("time,open,high,low\n2026-11-23T14:30Z,1,1,1\n", MissingColumns, r"close missing among \['time', 'open'"),
        ("date,open,high,low,close\n2026-11-23 09:30:00,1,1,1,1\n", UsageError, "--timezone"),
        ("date,open,high,low,close\nyesterday,1,1,1,1\n", UsageError, "cannot be read"),
        ("date,open,high,low,close\n,1,1,1,1\n", UsageError, "no time"),
        ("time,open,high,low,close\n2026-11-23T14:30Z,1,1,1,much\n", UsageError, "'close' holds something that is no number"),
        ("time,open,high,low,close\n", UsageError, "holds no bars"),
        ("", UsageError, "not a CSV or Parquet file"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_file_and_the_reason(text: str, kind: type[MarketDataError], said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(text)
    with pytest.raises(kind, match=said) as error:
        read_bars(path)
    assert "odd.csv" in str(error.value)


def test_a_zone_that_is_none_and_a_file_that_is_not_there_are_told(tmp_path: Path) -> None:
    of_ib(frame(), frame().index.tz_localize(None)).to_csv(tmp_path / "naive.csv")  # type: ignore[attr-defined]  # a DatetimeIndex
    with pytest.raises(UsageError, match="'Mars/Olympus' is not known"):
        read_bars(tmp_path / "naive.csv", zone="Mars/Olympus")
    with pytest.raises(UsageError, match=r"gone\.parquet: there is no such file"):
        read_bars(tmp_path / "gone.parquet")


def test_the_hour_that_spring_skips_and_the_one_that_autumn_repeats_are_read(tmp_path: Path) -> None:
    times = ["2026-03-08 01:58:00", "2026-03-08 01:59:00", "2026-03-08 03:00:00", "2026-11-01 01:30:00"]
    pd.DataFrame({"date": times, "open": 1, "high": 1, "low": 1, "close": 1}).to_csv(tmp_path / "clock.csv")
    found = read_bars(tmp_path / "clock.csv", zone="America/Chicago").frame.index
    assert [str(at) for at in found[1:]] == ["2026-03-08 07:59:00+00:00", "2026-03-08 08:00:00+00:00", "2026-11-01 06:30:00+00:00"]


# --- the command


def test_the_command_says_what_it_found_and_ends_with_1_where_a_check_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame().to_csv(tmp_path / "a.csv")
    higher = frame().assign(**{name: frame()[name] + 0.5 for name in ("open", "high", "low", "close")})
    of_ib(higher, frame().index).to_csv(tmp_path / "b.csv")
    options: dict[str, Any] = {"a": tmp_path / "a.csv", "timezone": None, "config_path": None}
    assert migrate_compare.run(b=tmp_path / "b.csv", tick_size=None, out=tmp_path / "out", as_json=False, **options) == 1
    said = capsys.readouterr().out
    assert "FAIL   bar_price_ticks" in said
    assert "2.00 ticks apart" in said
    assert "tick size 0.25 is the smallest step" in said
    assert (tmp_path / "out" / "report.html").is_file()
    assert migrate_compare.run(b=tmp_path / "a.csv", tick_size=0.25, out=None, as_json=True, **options) == 0
    assert orjson.loads(capsys.readouterr().out)["verdict"] == "PASS"


def test_the_command_judges_by_the_thresholds_of_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame().to_csv(tmp_path / "a.csv")
    frame().assign(volume=frame()["volume"] * 0.97).to_csv(tmp_path / "b.csv")
    (tmp_path / "config.yaml").write_text("ab:\n  thresholds: {bar_volume_pct_fail: 2}\n")
    options: dict[str, Any] = {"a": tmp_path / "a.csv", "b": tmp_path / "b.csv", "timezone": None, "tick_size": 0.25, "out": None, "as_json": True}
    assert [migrate_compare.run(config_path=path, **options) for path in (None, str(tmp_path / "config.yaml"))] == [0, 1]
    assert capsys.readouterr().err == ""
