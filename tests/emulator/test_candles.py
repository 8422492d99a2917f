from __future__ import annotations

import math

import pytest

from tastytrade_provider.dxlink.rows import index_of
from tastytrade_provider.emulator.book import Book
from tastytrade_provider.emulator.candles import parse
from tastytrade_provider.emulator.columns import COLUMNS
from tastytrade_provider.model import Action
from tests.emulator.exchange import BUY, ES, OPEN_MS, SELL, SYMBOL, UNDEFINED, a_print

NAMES = COLUMNS["Candle"]


# Server forms: dxFeed CandleSymbol; reports of live servers.
@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("{=1m,tho=true}", "{=m,tho=true}"),
        ("{=1d}", "{=d}"),
        ("{=1h}", "{=h}"),
        ("{=m}", "{=m}"),
        ("{=15m,tho=false,price=last,a=m}", "{=15m}"),
        ("{price=bid,=5m}", "{=5m,price=bid}"),
        ("{=2h,tho=true,a=session}", "{=2h,a=s,tho=true}"),
        ("{=1mo}", "{=mo}"),
        ("{=133t}", "{=133t}"),
    ],
)
def test_candle_symbols_are_written_as_the_server_writes_them(asked: str, served: str) -> None:
    found = parse(SYMBOL + asked)
    assert found is not None
    assert (found.base, found.text) == (SYMBOL, SYMBOL + served)


@pytest.mark.parametrize("asked", ["{=100v}", "{=m,price=bid}", "{=8r}", "{}", "{=nonsense}", "{=0m}"])
def test_candles_that_are_not_served_are_known_as_such(asked: str) -> None:
    found = parse(SYMBOL + asked)
    assert found is not None
    assert not found.is_served


def test_a_symbol_without_a_period_is_no_candle_symbol() -> None:
    assert parse(SYMBOL) is None


def bar(book: Book, period: str, at_ms: int = OPEN_MS) -> dict[str, object]:
    symbol = parse(f"{SYMBOL}{{={period}}}")
    assert symbol is not None
    return dict(zip(NAMES, book.candles(symbol).row(index_of(at_ms)), strict=True))


def test_a_bar_splits_its_volume_into_bought_at_the_ask_and_sold_at_the_bid() -> None:
    book = Book(ES)
    for event in (
        a_print(0, 6000.0, 5, BUY),
        a_print(1, 6001.0, 2, SELL, 1),
        a_print(2, 5999.0, 4, UNDEFINED, 2),
        a_print(59.9, 6000.5, 1, BUY, 3),
        a_print(60, 7000.0, 9, BUY, 4),
        a_print(3, 1.0, 9, BUY, 5, valid_tick=False),
    ):
        book.apply(event)
    row = bar(book, "1m")
    assert [row[name] for name in ("open", "high", "low", "close", "count")] == [6000.0, 6001.0, 5999.0, 6000.5, 4]
    assert [row[name] for name in ("volume", "askVolume", "bidVolume")] == [12.0, 6.0, 2.0]
    assert row["vwap"] == pytest.approx((6000.0 * 5 + 6001.0 * 2 + 5999.0 * 4 + 6000.5) / 12)
    assert (row["time"], row["index"]) == (OPEN_MS, index_of(OPEN_MS))


def test_a_correction_and_a_cancel_repair_the_bar_whenever_they_come() -> None:
    book = Book(ES)
    first, second = a_print(0, 6000.0, 5, BUY), a_print(1, 6010.0, 2, SELL, 1)
    for event in (first, second):
        book.apply(event)
    assert bar(book, "1m")["high"] == 6010.0
    symbol = parse(f"{SYMBOL}{{=1m}}")
    assert symbol is not None
    changed = book.apply(first._replace(size=8.0, action=Action.CORRECTION))
    assert changed == {symbol.text: index_of(OPEN_MS)}
    book.apply(second._replace(action=Action.CANCEL))
    row = bar(book, "1m")
    assert [row[name] for name in ("high", "volume", "askVolume", "bidVolume", "count")] == [6000.0, 8.0, 8.0, 0.0, 1]
    book.apply(first._replace(action=Action.CANCEL))
    removed = bar(book, "1m")
    assert removed["eventFlags"] == 2
    assert math.isnan(float(str(removed["open"])))


def test_an_orphan_repairs_nothing() -> None:
    book = Book(ES)
    book.apply(a_print(0))
    assert book.apply(a_print(1, sequence=9, action=Action.CANCEL)) == {}
    assert bar(book, "1m")["volume"] == 1.0


def test_bars_of_a_day_belong_to_the_session_label_and_hours_can_begin_at_its_open() -> None:
    evening_ms = OPEN_MS + 9 * 3_600_000  # 23:30 UTC, 17:30 Chicago: the session of Wednesday 25 November has begun
    book = Book(ES)
    book.apply(a_print(0))
    book.apply(a_print(9 * 3600, size=3, sequence=1))
    wednesday_ms = 1_795_564_800_000
    assert bar(book, "1d", wednesday_ms)["volume"] == 3.0
    assert bar(book, "1d", wednesday_ms - 86_400_000)["volume"] == 1.0
    assert bar(book, "2h,a=s", evening_ms - 1_800_000)["volume"] == 3.0
    assert bar(book, "2h", evening_ms - 5_400_000)["volume"] == 3.0
    monday_ms = wednesday_ms - 2 * 86_400_000
    assert bar(book, "1w", monday_ms)["volume"] == 4.0
    assert bar(book, "1mo", 1_793_491_200_000)["volume"] == 4.0  # 2026-11-01
