"""The picture: what is drawn is read back from the figure, and files are what they are called. How it looks was judged by eye."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import build_history
from tastytrade_provider.chart import MOST_BARS, draw, zone_of
from tastytrade_provider.commands.chart import _span, run
from tastytrade_provider.errors import MissingColumns, MissingExtra, UsageError
from tastytrade_provider.indicators import IndicatorManager, divergences
from tastytrade_provider.model import Contract
from tests.checks.builders import ES, a_bar, a_batch, bars, frame, random_bars, random_trades

pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")

TAPE = "time_ns,price,size,side\n" + "".join(
    f"{1_766_500_200_000_000_000 + i * 7 * 10**9},{6000 + (i * i % 9) / 4},{1 + i % 5},{'BUY' if i % 3 else 'SELL'}\n" for i in range(400)
)


def complete(data: pd.DataFrame) -> pd.DataFrame:
    return IndicatorManager().apply(data, ["volume_delta", "cvd"])


def texts(figure: Any, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def dashed(axes: Any) -> int:
    return sum(isinstance(line.get_linestyle(), str) and line.get_linestyle() == "--" for line in axes.lines)


def test_the_footprint_has_what_was_sold_and_bought_at_each_price_of_each_bar() -> None:
    trades = a_batch(price=[6000, 6000, 6000.25, 6000], size=[3.0, 2.0, 7.0, 4.0], side=[1, -1, 1, 0], time_ns=a_batch().time_ns[0] + np.arange(4) * 10**9)
    history = build_history(trades, "1m", ES)
    figure = draw(complete(history.bars()), ES, footprint=history.footprint())
    assert texts(figure, 0)[1:5] == ["2", "3", "0", "7"]  # sold and bought at 6000.00, then at 6000.25; 4 unknown in neither
    assert "per 0.25" in figure.get_suptitle()
    assert texts(figure, 1)[1:] == ["+8"]


def test_prices_are_put_together_where_rows_would_be_too_low_for_a_number() -> None:
    history = build_history(a_batch(price=np.arange(6000, 6060, 0.25), side=1), "5m", ES)
    figure = draw(complete(history.bars()), ES, footprint=history.footprint())
    assert "per 2" in figure.get_suptitle()  # 240 ticks at 47 rows at most: 8 of them a row
    assert texts(figure, 0)[1:3] == ["0", "8"]


def test_a_line_and_a_date_mark_where_a_session_begins() -> None:
    week = bars(monday=[(5, 2)] * 3, tuesday=[(1, 2)] * 3)
    figure = draw(complete(week), ES)
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]] == [2.5]
    assert [text for text in texts(figure, 0) if text.startswith("session")] == ["session 2026-11-23", "session 2026-11-24"]


def test_a_divergence_joins_its_pivots_in_price_and_cvd_and_is_marked_where_it_was_confirmed() -> None:
    data = frame(random_bars(20261122, 200))
    data.attrs["tick_size"] = ES.tick_size
    events = divergences(data, left=3, right=2)
    assert len(events) > 2
    figure = draw(complete(data), ES, events=events)
    price, _, cvd = figure.axes
    marks = [int(line.get_xdata()[0]) for line in price.lines if line.get_marker() in ("^", "v")]
    assert marks == data.index.get_indexer(pd.DatetimeIndex(events["ts"])).tolist()
    joined = [tuple(line.get_ydata()) for line in price.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] != line.get_xdata()[1]]
    assert joined == list(zip(events["prev_price"], events["price"], strict=True))
    sums = [tuple(line.get_ydata()) for line in cvd.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] != line.get_xdata()[1]]
    assert (events["prev_cvd"].iloc[0], events["cvd"].iloc[0]) in sums
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        f"{kind} divergence" for kind in ("regular", "hidden", "absorption") if (events["kind"] == kind).any()
    ]


def test_a_line_whose_first_pivot_lies_before_the_picture_still_leads_to_the_second_and_moves_no_scale() -> None:
    data = complete(frame(random_bars(20261122, 200)))
    events = divergences(data, left=3, right=2)
    first = events[events["prev_pivot_ts"] < data.index[100]].iloc[[-1]]
    before, pivot = data.index.get_indexer(pd.DatetimeIndex([first["prev_pivot_ts"].item(), first["pivot_ts"].item()]))
    shown = data.iloc[before + 1 :]
    figure, plain = draw(shown, ES, events=first), draw(shown, ES, events=events.iloc[:0])
    ends = [first["prev_cvd"].item(), first["cvd"].item()]
    (line,) = [line for line in figure.axes[2].lines if list(line.get_ydata()) == ends]
    assert list(line.get_xdata()) == [-1, pivot - before - 1]
    assert figure.axes[2].get_ylim() == plain.axes[2].get_ylim()


def test_a_divergence_from_before_the_picture_is_not_in_its_legend() -> None:
    data = complete(frame(random_bars(20261122, 200)))
    events = divergences(data, left=3, right=2)
    assert draw(data, ES, events=events).legends
    figure = draw(data[data.index > events["ts"].iloc[-1]], ES, events=events)
    assert not figure.legends
    assert not [line for line in figure.axes[0].lines if line.get_marker() in ("^", "v")]


def test_names_of_divergences_that_would_overlap_stand_above_each_other() -> None:
    data = complete(frame(random_bars(20261122, 200)))
    event = divergences(data, left=3, right=2).iloc[[0]]
    at = data.index.get_indexer(pd.DatetimeIndex(event["ts"])).item()
    near, far = (event.assign(ts=data.index[at + bars]) for bars in (2, 40))  # of 200 bars each has 7 pixels
    figure = draw(data, ES, events=pd.concat([event, near, far]))
    heights = [abs(text.xyann[1]) for text in figure.axes[0].texts if text.get_text() == event["kind"].item()]
    assert heights == [12, 23, 12]


def test_the_title_tells_the_time_of_the_exchange_as_the_axis_does() -> None:
    monday = frame([a_bar(0), a_bar(1), a_bar(2, day="tuesday")])  # 08:30 in Chicago
    assert _span(monday.iloc[:2], zone_of(ES)) == "2026-11-23 08:30 to 08:31 Chicago"
    assert _span(monday, zone_of(ES)) == "2026-11-23 08:30 to 2026-11-24 08:32 Chicago"
    assert _span(monday.iloc[:1], zone_of(Contract("", "", calendar="24/7"))) == "2026-11-23 14:30 to 14:30 UTC"


def test_only_the_last_bars_are_drawn_and_many_have_no_footprint() -> None:
    history = build_history(random_trades(1, 4_000), "5s", ES)
    data = complete(history.bars())
    assert len(data) > MOST_BARS
    figure = draw(data, ES, footprint=history.footprint())
    assert figure.axes[0].get_xlim() == (-0.7, MOST_BARS - 0.3)
    assert "footprint" not in figure.get_suptitle()


def test_bars_without_a_split_or_extremes_draw_what_is_known(tmp_path: Path) -> None:
    data = frame(random_bars(5, 40, unknown=0.3)).drop(columns=["min_delta", "max_delta"])
    draw(complete(data), ES).savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_what_is_missing_is_told() -> None:
    with pytest.raises(MissingColumns, match=r"delta, cvd, cvd_open, cvd_high, cvd_low missing\. IndicatorManager"):
        draw(bars(monday=[(1, 2)]), ES)
    with pytest.raises(UsageError, match="no bars to draw"):
        draw(complete(bars(monday=[(1, 2)])).iloc[:0], ES)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"tastytrade-provider\[plot\]"):
        draw(complete(bars(monday=[(1, 2)])), ES)


def test_the_command_draws_a_tape_as_png_of_1600_by_900_and_as_svg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = tmp_path / "es_z5.csv"
    tape.write_text(TAPE)
    for name in ("a.png", "a.svg"):
        run(path=tape, out=tmp_path / name, symbol=None, timeframe="1m", last=20)
    png = (tmp_path / "a.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1600, 900)
    assert "<svg" in (tmp_path / "a.svg").read_text()[:600]
    assert "20 bars of /ESZ5" in capsys.readouterr().out


def test_the_command_draws_bars_from_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    data = frame(random_bars(2, 60))
    data.to_parquet(tmp_path / "bars.parquet")
    run(path=tmp_path / "bars.parquet", out=tmp_path / "a.png", symbol="/ESZ6", timeframe="1m", last=None)
    assert "60 bars of /ESZ6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "out", "told"),
    [
        ("es_z5.csv", "a.gif", r"a\.gif names no picture; a file that ends in \.png or \.svg does"),
        ("nothing.csv", "nowhere/a.png", r"nowhere is no folder that can be written to"),  # before anything is read
        ("nothing.csv", "a.png", "there is nothing to replay"),
    ],
)
def test_the_command_says_what_it_cannot_draw(tmp_path: Path, name: str, out: str, told: str) -> None:
    (tmp_path / "es_z5.csv").write_text(TAPE)
    with pytest.raises(UsageError, match=told):
        run(path=tmp_path / name, out=tmp_path / out, symbol=None, timeframe="1m", last=None)
