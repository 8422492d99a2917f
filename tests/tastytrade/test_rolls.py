"""The front month and its rolls. Dates of ES are CME's: quarterly, third Friday; dates of LE are those of a public listing of TastyTrade."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.errors import UnknownContract, UsageError
from tastytrade_provider.model import Contract, Roll
from tastytrade_provider.sessions import session_at
from tastytrade_provider.tastytrade.rolls import (
    DEFAULT_RULE,
    RULES,
    Month,
    RollRule,
    RollWatch,
    Segment,
    front,
    month_of,
    roll_day,
    rule_of,
    segments,
    volumes_of,
)

HOUR_NS = 3_600_000_000_000


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def at(text: str) -> int:
    """An instant of UTC in ns."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 10**9


def a_month(symbol: str, last_trade: str, notice: str | None = None, *, active: bool = False) -> Month:
    contract = Contract(symbol[1:-2], symbol, tick_size=0.25, expiry=day(last_trade))
    return Month(contract, day(last_trade), day(notice) if notice else None, active)


ESM4, ESU4, ESZ4, ESH5 = (
    a_month("/ESM4", "2024-06-21"), a_month("/ESU4", "2024-09-20", active=True), a_month("/ESZ4", "2024-12-20"), a_month("/ESH5", "2025-03-21"),
)  # fmt: skip
LINE = [ESH5, ESZ4, ESU4]  # in any order


# -- the rules


def test_an_equity_index_rolls_on_the_thursday_eight_days_before_the_third_friday() -> None:
    # September 2024 begins on a Sunday: Fridays are 6, 13, 20. Eight days before the 20th is Thursday the 12th
    assert roll_day(ESU4, RULES["ES"]) == day("2024-09-12")
    assert front(LINE, day("2024-09-11"), "date") == ESU4.contract
    assert front(LINE, day("2024-09-12"), "date") == ESZ4.contract


def test_an_expiry_that_a_holiday_moved_does_not_move_the_thursday() -> None:
    # the third Friday of June 2026 is the 19th, Juneteenth; the last trade is the day before
    assert roll_day(a_month("/ESM6", "2026-06-18"), RULES["ES"]) == day("2026-06-11")


@pytest.mark.parametrize("year", range(2020, 2031))
@pytest.mark.parametrize("month", [3, 6, 9, 12])
def test_the_equity_roll_is_always_a_thursday_from_the_7th_to_the_13th(year: int, month: int) -> None:
    rolls = roll_day(a_month("/ESZ4", dt.date(year, month, 20).isoformat()), RULES["ES"])
    assert (rolls.weekday(), rolls.month, 7 <= rolls.day <= 13) == (3, month, True)


@pytest.mark.parametrize(("notice", "closing_only"), [("2026-08-10", "2026-08-03"), ("2026-10-05", "2026-09-28"), ("2026-12-07", "2026-11-30")])
def test_live_cattle_rolls_five_business_days_before_its_first_notice(notice: str, closing_only: str) -> None:
    # TastyTrade lists the rule (agricultures: 5 business days, first notice), and a closing-only date that is the same five days earlier
    assert roll_day(a_month("/LEQ6", "2026-12-31", notice), DEFAULT_RULE) == day(closing_only)


def test_business_days_count_no_weekend_and_no_holiday() -> None:
    energies = RollRule("TastyTrade: energies", 5, first_notice=False)
    month = a_month("/RBM5", "2025-05-30", "2025-06-02")
    # Friday 30 May 2025 back: 29, 28, 27, (26 Memorial Day), 23, 22
    assert roll_day(month, energies) == day("2025-05-23")
    assert roll_day(month, energies, [day("2025-05-26")]) == day("2025-05-22")


def test_a_first_notice_after_the_last_trade_does_not_count() -> None:
    assert roll_day(a_month("/CLN5", "2025-06-20", "2025-06-24"), DEFAULT_RULE) == day("2025-06-13")


def test_thin_months_of_gold_are_never_the_front_by_date() -> None:
    months = [a_month("/GCV6", "2026-10-28", "2026-09-30"), a_month("/GCX6", "2026-11-25", "2026-10-30"), a_month("/GCZ6", "2026-12-29", "2026-11-30")]
    assert front(months, day("2026-09-01"), "date") == months[2].contract
    assert front(months, day("2026-09-01"), "date", rule=DEFAULT_RULE) == months[0].contract


def test_a_products_own_figures_go_before_the_default_and_after_the_table() -> None:
    roll = SimpleNamespace(name="energies", business_days_offset=3, first_notice=False)
    product = SimpleNamespace(roll=roll, active_months=[SimpleNamespace(value="H"), SimpleNamespace(value="M")])
    future: Any = SimpleNamespace(product_code="RB", future_product=product)
    assert rule_of(future) == RollRule("TastyTrade's listing, rule 'energies'", 3, first_notice=False, months="HM")
    future.future_product = None
    assert rule_of(future) is DEFAULT_RULE
    future.product_code = "NQ"
    assert rule_of(future) is RULES["NQ"]


def test_a_month_is_made_from_the_listing() -> None:
    future: Any = SimpleNamespace(
        product_code="LE", symbol="/LEV6", streamer_symbol="/LEV26:XCME", exchange="CME", tick_size="0.025", notional_multiplier="400.0",
        expiration_date=day("2026-10-30"), last_trade_date=day("2026-10-30"), first_notice_date=day("2026-10-05"), active=True, active_month=True,
    )  # fmt: skip
    month = month_of(future)
    assert (month.contract.symbol, month.last_trade, month.first_notice, month.is_active) == ("/LEV6", day("2026-10-30"), day("2026-10-05"), True)


# -- the front


def test_by_flag_the_front_is_the_flagged_month_whatever_the_date_rule_says() -> None:
    assert front(LINE, day("2024-09-13")) == ESU4.contract


def test_by_flag_a_month_that_has_expired_is_no_front_and_none_is_guessed() -> None:
    with pytest.raises(UnknownContract, match=r"no month of ES that still trades on 2024-09-23 is flagged as active month; there are /ESH5 \(last trade"):
        front(LINE, day("2024-09-23"))


def test_of_two_flagged_months_the_nearer_is_the_front() -> None:
    assert front([a_month("/ESZ4", "2024-12-20", active=True), ESU4], day("2024-09-13")) == ESU4.contract


def test_where_every_month_has_rolled_the_last_that_trades_is_the_front_and_after_it_none() -> None:
    assert front([ESU4], day("2024-09-20"), "date") == ESU4.contract
    with pytest.raises(UnknownContract, match="no month of ES that still trades on 2024-09-21 is listed"):
        front([ESU4], day("2024-09-21"), "date")


def test_a_crossing_of_volume_counts_from_the_session_after_its_confirmation() -> None:
    volumes = {day(f"2024-09-{d}"): {"/ESU4": near, "/ESZ4": far} for d, near, far in [("10", 9, 1), ("11", 6, 5), ("12", 4, 7), ("13", 2, 9), ("16", 1, 9)]}
    found = {d: front(LINE, day(f"2024-09-{d}"), "volume", volumes=volumes).symbol for d in ("11", "12", "13", "16", "17")}
    # the 12th crosses, the 13th confirms, so Monday the 16th is the first session of the new front
    assert found == {"11": "/ESU4", "12": "/ESU4", "13": "/ESU4", "16": "/ESZ4", "17": "/ESZ4"}


def test_a_crossing_that_is_not_confirmed_is_forgotten() -> None:
    volumes = {day(f"2024-09-{d}"): {"/ESU4": near, "/ESZ4": far} for d, near, far in [("10", 1, 2), ("11", 2, 1), ("12", 1, 2), ("13", 5, 5)]}
    assert front(LINE, day("2024-09-16"), "volume", volumes=volumes) == ESU4.contract


def test_a_session_without_one_of_the_volumes_says_nothing() -> None:
    volumes = {day("2024-09-12"): {"/ESU4": 1.0, "/ESZ4": 2.0}, day("2024-09-13"): {"/ESU4": 1.0}, day("2024-09-16"): {"/ESU4": 1.0, "/ESZ4": 2.0}}
    assert front(LINE, day("2024-09-16"), "volume", volumes=volumes) == ESU4.contract
    assert front(LINE, day("2024-09-17"), "volume", volumes=volumes) == ESZ4.contract


def test_by_volume_a_month_that_expired_gives_way_to_the_next() -> None:
    volumes = {day("2024-06-20"): {"/ESM4": 5.0, "/ESU4": 1.0}, day("2024-06-24"): {"/ESU4": 9.0, "/ESZ4": 1.0}}
    assert front([ESM4, *LINE], day("2024-06-21"), "volume", volumes=volumes) == ESM4.contract
    assert front([ESM4, *LINE], day("2024-06-24"), "volume", volumes=volumes) == ESU4.contract


def test_what_cannot_be_asked_is_refused_with_what_could() -> None:
    with pytest.raises(UsageError, match="needs volumes"):
        front(LINE, day("2024-09-12"), "volume")
    method: Any = "open interest"
    with pytest.raises(UsageError, match="none of active, date, volume"):
        front(LINE, day("2024-09-12"), method)
    with pytest.raises(UsageError, match="months of one product; given are ES, NQ"):
        front([ESU4, a_month("/NQU4", "2024-09-20")], day("2024-09-12"), "date")
    with pytest.raises(UsageError, match="given are none"):
        front([], day("2024-09-12"))
    with pytest.raises(UnknownContract, match=r"no month that is ever the front \(H, M, U, Z\) is listed; there are /ESV4"):
        front([a_month("/ESV4", "2024-10-18")], day("2024-09-12"), "date")


# -- the watch


def test_the_first_look_finds_the_front_and_is_no_roll() -> None:
    watch = RollWatch(LINE, "date")
    assert watch.advance(at("2024-09-13T15:00")) == []
    assert watch.current == ESZ4.contract


def test_by_date_the_roll_is_at_the_open_of_the_thursdays_session_on_wednesday_evening() -> None:
    watch = RollWatch(LINE, "date")
    assert watch.advance(at("2024-09-11T15:00")) == []
    assert watch.advance(at("2024-09-11T21:59")) == []  # 16:59 in Chicago, in the halt
    assert watch.advance(at("2024-09-11T22:00")) == [Roll(ESU4.contract, ESZ4.contract, at("2024-09-11T22:00"))]
    assert watch.advance(at("2024-09-12T15:00")) == []


def test_a_late_look_tells_each_roll_at_its_own_open() -> None:
    watch = RollWatch([*LINE, ESM4], "date")
    watch.advance(at("2024-06-12T15:00"))
    # June 2024: third Friday the 21st, Thursday the 13th, whose session opens on the 12th at 17:00 in Chicago
    assert watch.advance(at("2024-09-16T15:00")) == [
        Roll(ESM4.contract, ESU4.contract, at("2024-06-12T22:00")),
        Roll(ESU4.contract, ESZ4.contract, at("2024-09-11T22:00")),
    ]


def test_a_flag_that_moves_inside_a_session_rolls_at_the_next_open() -> None:
    watch = RollWatch(LINE)
    noon = at("2024-09-16T17:00")
    watch.advance(noon)
    assert watch.update([a_month("/ESZ4", "2024-12-20", active=True)], noon + HOUR_NS) == []
    assert watch.advance(noon + 2 * HOUR_NS) == []
    (roll,) = watch.advance(at("2024-09-16T22:00"))
    assert (roll.old.symbol, roll.new.symbol, roll.time_ns) == ("/ESU4", "/ESZ4", at("2024-09-16T22:00"))


def test_a_flag_that_goes_back_is_counted_and_not_followed() -> None:
    watch = RollWatch([a_month("/ESZ4", "2024-12-20", active=True)])
    watch.advance(at("2024-09-16T17:00"))
    watch.update([ESU4, a_month("/ESZ4", "2024-12-20")], at("2024-09-16T18:00"))
    assert watch.advance(at("2024-09-17T17:00")) == []
    assert (watch.went_back, watch.current) == (1, ESZ4.contract)


def test_volumes_of_the_running_session_do_not_roll_it() -> None:
    watch = RollWatch(LINE, "volume")
    watch.advance(at("2024-09-12T15:00"))
    crossed = {"/ESU4": 1.0, "/ESZ4": 2.0}
    watch.add_volumes(day("2024-09-12"), crossed)
    assert watch.advance(at("2024-09-13T15:00")) == []
    watch.add_volumes(day("2024-09-13"), crossed)
    assert watch.advance(at("2024-09-13T20:30")) == []
    # Friday's session closes at 21:00 UTC; the next opens on Sunday at 22:00 and is labelled Monday
    assert watch.advance(at("2024-09-14T12:00")) == []
    assert watch.advance(at("2024-09-15T23:00")) == [Roll(ESU4.contract, ESZ4.contract, at("2024-09-15T22:00"))]


def test_where_no_month_is_left_the_watch_says_so_each_time_and_loses_no_roll() -> None:
    watch = RollWatch([ESU4, ESZ4], "date")
    watch.advance(at("2024-09-11T15:00"))
    for _ in range(2):
        with pytest.raises(UnknownContract):
            watch.advance(at("2025-01-06T15:00"))
    assert len(watch.advance(at("2024-12-20T14:00"))) == 1


def test_every_roll_is_at_the_open_of_a_session() -> None:
    watch = RollWatch([ESM4, *LINE], "date")
    rolls = [roll for hour in range(0, 24 * 120, 7) for roll in watch.advance(at("2024-06-03T01:00") + hour * HOUR_NS)]
    assert [roll.new.symbol for roll in rolls] == ["/ESU4", "/ESZ4"]
    assert all(session_at("CME Globex Equity", roll.time_ns).open_ns == roll.time_ns for roll in rolls)


# -- history


def test_segments_cover_the_time_without_holes_and_change_at_the_opens() -> None:
    start, end = at("2024-06-03T15:00"), at("2024-09-20T15:00")
    first, second = at("2024-06-12T22:00"), at("2024-09-11T22:00")
    assert segments([ESM4, *LINE], start, end) == [
        Segment(ESM4.contract, start, first, False),
        Segment(ESU4.contract, first, second, True),
        Segment(ESZ4.contract, second, end, True),
    ]


def test_segments_by_volume_follow_the_crossing() -> None:
    volumes = {day(f"2024-09-{d}"): {"/ESU4": 1.0, "/ESZ4": 2.0} for d in ("12", "13")}
    found = segments(LINE, at("2024-09-12T15:00"), at("2024-09-18T15:00"), "volume", volumes=volumes)
    assert [(mark.contract.symbol, mark.start_ns) for mark in found] == [("/ESU4", at("2024-09-12T15:00")), ("/ESZ4", at("2024-09-15T22:00"))]


def test_the_present_flag_marks_no_history() -> None:
    with pytest.raises(UsageError, match="speaks of today only"):
        segments(LINE, at("2024-09-12T15:00"), at("2024-09-18T15:00"), "active")


# -- volumes from bars


def a_frame(*rows: tuple[str, float, bool]) -> pd.DataFrame:
    """A bars frame, as far as it matters: label of the session, volume, whether it is whole."""
    labels, volumes, whole = zip(*rows, strict=True)
    return pd.DataFrame({"session": np.array(labels, "M8[ns]"), "volume": volumes, "complete": whole})


def test_volumes_come_from_bars_session_by_session_until_the_one_that_runs() -> None:
    near = a_frame(("2024-09-10", 5.0, True), ("2024-09-10", 7.0, True), ("2024-09-11", 9.0, True), ("2024-09-12", 1.0, True))
    far = a_frame(("2024-09-10", 3.0, True), ("2024-09-11", 20.0, True))
    assert volumes_of({"/ESU4": near, "/ESZ4": far}, day("2024-09-12")) == {
        day("2024-09-10"): {"/ESU4": 12.0, "/ESZ4": 3.0},
        day("2024-09-11"): {"/ESU4": 9.0, "/ESZ4": 20.0},
    }


def test_a_session_that_is_not_wholly_known_has_no_volume() -> None:
    frame = a_frame(("2024-09-10", 5.0, True), ("2024-09-10", 7.0, False), ("2024-09-11", float("nan"), True), ("2024-09-12", 4.0, True))
    assert volumes_of({"/ESU4": frame}, day("2024-09-13")) == {day("2024-09-12"): {"/ESU4": 4.0}}
    assert volumes_of({}, day("2024-09-13")) == {}


def test_a_month_that_did_not_trade_has_a_volume_of_none_in_each_session_of_the_others() -> None:
    far = a_frame(("2024-09-10", 3.0, True), ("2024-09-11", 20.0, True))
    volumes = volumes_of({"/ESU4": None, "/ESZ4": far}, day("2024-09-12"))
    assert volumes == {day("2024-09-10"): {"/ESU4": 0.0, "/ESZ4": 3.0}, day("2024-09-11"): {"/ESU4": 0.0, "/ESZ4": 20.0}}
    assert front(LINE, day("2024-09-12"), "volume", volumes=volumes) == ESZ4.contract
    assert volumes_of({"/ESU4": None}, day("2024-09-12")) == {}


def test_two_sessions_of_bars_in_which_the_next_month_trades_more_make_a_roll() -> None:
    watch = RollWatch(LINE, "volume")
    assert watch.advance(at("2024-09-10 12:00")) == []
    bars = {
        "/ESU4": a_frame(("2024-09-10", 9.0, True), ("2024-09-11", 9.0, True)),
        "/ESZ4": a_frame(("2024-09-10", 10.0, True), ("2024-09-11", 10.0, True)),
    }
    for label, volumes in volumes_of(bars, day("2024-09-12")).items():
        watch.add_volumes(label, volumes)
    # the session labelled the 12th opens on the 11th at 17:00 Chicago, 22:00 UTC
    assert watch.advance(at("2024-09-12 12:00")) == [Roll(ESU4.contract, ESZ4.contract, at("2024-09-11 22:00"))]
