"""What a terminal is shown: a table that fits, and a line that says how the feed stands."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from tastytrade_provider.commands.show import _health
from tastytrade_provider.indicators import IndicatorManager
from tastytrade_provider.provider import DataProvider, ProviderStatus
from tastytrade_provider.watch import Table, Watched, bar_record, table
from tests.checks.builders import ES, a_batch


class Down(DataProvider):
    """A provider whose connection broke at 19:36:02 UTC."""

    def __init__(self, state: Any, problem: str | None = None) -> None:
        self.state: Any = state
        self.problem = problem

    def status(self) -> ProviderStatus:
        return ProviderStatus(self.state, 1_795_376_162_000_000_000, delta_source="time_and_sale", problem=self.problem)

    is_connected = connect = disconnect = resolve = contracts = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("connected", "nothing lost"),
        ("closed", "nothing lost"),
        ("connecting", "no data yet"),
        ("reconnecting", "no data since 19:36:02 UTC; what was missed is fetched after the reconnect, or told as a gap"),
        ("disconnected", "no data since 19:36:02 UTC"),
    ],
)
def test_nothing_is_said_to_be_lost_only_where_that_can_be_known(state: str, says: str) -> None:
    assert _health(Down(state)) == f"{state}, delta from time_and_sale; {says}"


def test_why_nothing_comes_is_said_beside_it() -> None:
    assert _health(Down("disconnected", "the login was refused")) == (
        "disconnected, delta from time_and_sale; no data since 19:36:02 UTC: the login was refused"
    )


ROW = (
    "/ESZ6",
    "6026.25",
    "[green]+1,174[/]",
    "[red]-12,345[/]",
    "23:00Z",
    "[green]+9,001[/]",
    "-13,000",
    "exchange 99.9%",
    "123,456",
    "42",
    "absorption bullish",
)


@pytest.mark.parametrize(("width", "left_out"), [(140, []), (80, ["/s", "trades"]), (60, ["/s", "trades", "low", "high", "since"])])
def test_the_table_fits_the_terminal_and_what_it_shows_is_whole(width: int, left_out: list[str]) -> None:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(Table([ROW, ROW], "a title", "connected"))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    names = ("symbol", "last", "delta", "CVD", "since", "high", "low", "sides", "trades", "/s", "divergence")
    assert lines[1].split() == [name for name in names if name not in left_out]
    cells = [Text.from_markup(cell).plain for name, cell in zip(names, ROW, strict=True) if name not in left_out]
    words = " ".join(lines[2:4]).split()
    assert [word for cell in cells for word in cell.split() if word not in words] == []
    assert "…" not in capture.get()


def test_configured_indicators_are_kept_beside_those_of_the_table() -> None:
    watched = Watched(ES, "1m", IndicatorManager(), ["rsi", "cvd"])
    watched.add(a_batch())
    assert {"rsi", "cvd", "delta", "hidden"} <= set(bar_record(watched.bars()[-1]))


def test_before_the_first_trade_nothing_is_shown_as_a_zero_that_nobody_counted() -> None:
    watched = Watched(ES, "1m", IndicatorManager())
    [row] = table([watched], "a title").rows
    shown = dict(zip(("symbol", "last", "delta", "CVD", "since", "high", "low", "sides", "trades", "/s", "divergence"), row, strict=True))
    assert shown == dict.fromkeys(shown, "-") | {"symbol": ES.symbol, "sides": "no trade yet", "trades": "0", "/s": "0"}
    assert (watched.summary()["cvd_high"], watched.summary()["cvd_low"]) == (None, None)
    watched.add(a_batch(side=[0]))
    assert table([watched], "a title").rows[0][2:7:3] == ("0", "0")  # delta and high: a trade came, and its side is not known
