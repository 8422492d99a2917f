from __future__ import annotations

import json
import math

import pytest

from tastytrade_provider.dxlink.messages import AuthState, DataFormat, Error, FeedConfig, FeedData, Subscription
from tastytrade_provider.dxlink.rows import decode, index_of
from tastytrade_provider.emulator import Wire
from tastytrade_provider.emulator.columns import COLUMNS
from tastytrade_provider.emulator.source import Before
from tastytrade_provider.model import Action
from tests.emulator.exchange import BUY, OPEN_MS, SELL, SYMBOL, UNDEFINED, Talk, a_print, a_quote, column

CANDLES = f"{SYMBOL}{{=1m}}"
MINUTE_MS = 60_000


def candles(n: int) -> list[object]:
    """Prints that make `n` bars of one minute."""
    return [a_print(60 * i, 6000.0 + i, 1, BUY, i) for i in range(n)]


def test_the_handshake_is_that_of_the_live_server() -> None:
    talk = Talk()
    said = [json.loads(payload) for payload in talk.payloads]
    assert [message["type"] for message in said] == ["SETUP", "AUTH_STATE", "AUTH_STATE"]
    assert said[0]["version"] == "1.0-1.2.3-20240912-171526"
    assert said[1]["state"] == "UNAUTHORIZED"
    assert said[2]["state"] == "AUTHORIZED"
    assert said[2]["userId"]


def test_a_token_that_was_not_issued_is_refused_in_the_server_s_words() -> None:
    refusals = [event for event in Talk(token="stolen").heard if isinstance(event, Error | AuthState)]
    assert [getattr(event, "message", None) or event.state for event in refusals] == ["UNAUTHORIZED", "Authentication failed", "UNAUTHORIZED"]  # type: ignore[union-attr]


def test_every_print_of_a_stream_arrives_once_in_order_and_as_real_rows_look() -> None:
    talk = Talk()
    talk.subscribe(talk.channel("STREAM"), "TimeAndSale")
    talk.happen(a_print(0, 6000.0, 2, BUY), a_print(0, 5999.75, 1, SELL, 1), a_print(0.0015, 6000.0, 1, UNDEFINED, 2, bid=math.nan))
    rows = talk.rows("TimeAndSale")
    assert column(rows, "aggressorSide") == ["BUY", "SELL", "UNDEFINED"]
    assert rows[0] == {
        "eventSymbol": SYMBOL,
        "eventType": "TimeAndSale",
        "eventTime": 0,
        "eventFlags": 0,
        "index": index_of(OPEN_MS),
        "time": OPEN_MS,
        "timeNanoPart": 0,
        "sequence": 0,
        "exchangeCode": "G",
        "price": 6000.0,
        "size": 2.0,
        "bidPrice": 5999.75,
        "askPrice": 6000.0,
        "exchangeSaleConditions": None,
        "tradeThroughExempt": "\u0000",
        "spreadLeg": False,
        "extendedTradingHours": False,
        "aggressorSide": "BUY",
        "validTick": True,
        "type": "NEW",
        "buyer": None,
        "seller": None,
    }
    assert (rows[2]["time"], rows[2]["timeNanoPart"], rows[2]["bidPrice"]) == (OPEN_MS + 1, 500_000, "NaN")


def test_corrections_and_cancels_go_out_with_the_index_of_the_print_they_are_about() -> None:
    talk = Talk()
    talk.subscribe(talk.channel("STREAM"), "TimeAndSale")
    first = a_print(0, size=2)
    talk.happen(first, first._replace(size=3.0, action=Action.CORRECTION), first._replace(action=Action.CANCEL))
    rows = talk.rows("TimeAndSale")
    assert column(rows, "type") == ["NEW", "CORRECTION", "CANCEL"]
    assert set(column(rows, "index")) == {first.index}


@pytest.mark.parametrize(("contract", "flags"), [("AUTO", [4, 0, 10]), ("HISTORY", [4, 0, 10]), ("STREAM", [])])
def test_a_time_series_of_prints_begins_with_a_snapshot_newest_first_unless_the_channel_streams(contract: str, flags: list[int]) -> None:
    talk = Talk()
    talk.happen(a_print(-5), a_print(1, sequence=1), a_print(2, sequence=2))
    talk.subscribe(talk.channel(contract), "TimeAndSale", from_ms=OPEN_MS)
    rows = talk.rows("TimeAndSale")
    assert column(rows, "eventFlags") == flags
    assert column(rows, "index") == sorted((index_of(OPEN_MS + ms, n) for ms, n in ((2000, 2), (1000, 1), (0, 0))), reverse=True)[: len(flags)]
    talk.happen(a_print(3, sequence=3))
    assert talk.rows("TimeAndSale")[-1]["eventFlags"] == 0
    assert len(talk.rows("TimeAndSale")) == len(flags) + 1


def test_a_snapshot_of_prints_leaves_out_cancelled_ones_and_shows_corrected_ones() -> None:
    talk = Talk()
    first, second = a_print(1), a_print(2, sequence=1)
    talk.happen(first, second, first._replace(size=9.0, action=Action.CORRECTION), second._replace(action=Action.CANCEL))
    talk.subscribe(talk.channel("HISTORY"), "TimeAndSale", from_ms=OPEN_MS)
    rows = talk.rows("TimeAndSale")
    assert column(rows, "size") == [9.0, "NaN"]
    assert column(rows, "eventFlags") == [4, 10]


def test_a_candle_snapshot_runs_from_the_row_of_2038_down_to_the_marker() -> None:
    talk = Talk()
    talk.happen(*candles(3))
    talk.subscribe(talk.channel("HISTORY"), "Candle", f"{SYMBOL}{{=1m,tho=false}}", OPEN_MS - MINUTE_MS)
    rows = talk.rows("Candle")
    assert set(column(rows, "eventSymbol")) == {f"{SYMBOL}{{=m}}"}
    assert column(rows, "eventFlags") == [4, 0, 0, 0, 10]
    assert column(rows, "time") == [2147483648023, OPEN_MS + 2 * MINUTE_MS, OPEN_MS + MINUTE_MS, OPEN_MS, OPEN_MS - MINUTE_MS]
    assert (rows[0]["index"], rows[0]["sequence"]) == (2**63 - 1, 4194303)
    assert column(rows, "close") == ["NaN", 6002.0, 6001.0, 6000.0, "NaN"]


def test_a_snapshot_whose_last_event_stands_at_the_start_asked_ends_with_it() -> None:
    talk = Talk(Wire(future_marker=False))
    talk.happen(*candles(2))
    talk.subscribe(talk.channel("HISTORY"), "Candle", CANDLES, OPEN_MS)
    assert column(talk.rows("Candle"), "eventFlags") == [4, 8]


@pytest.mark.parametrize("symbol", [CANDLES, "/XXZ26:XCME{=1m}", f"{SYMBOL}{{=100v}}", "no candle symbol"])
def test_an_empty_snapshot_is_one_row_of_flags_14(symbol: str) -> None:
    talk = Talk()
    talk.subscribe(talk.channel("HISTORY"), "Candle", symbol, OPEN_MS)
    rows = talk.rows("Candle")
    assert column(rows, "eventFlags") == [14]
    assert column(rows, "open") == ["NaN"]


def test_a_snapshot_that_is_cut_ends_with_snip() -> None:
    talk = Talk(Wire(history_cap={"Candle": 2, "TimeAndSale": 3}))
    talk.happen(*candles(5))
    talk.subscribe(talk.channel("HISTORY"), "Candle", CANDLES, 0)
    talk.subscribe(talk.channel("HISTORY"), "TimeAndSale", from_ms=0)
    assert column(talk.rows("Candle"), "eventFlags") == [4, 0, 16]
    assert column(talk.rows("TimeAndSale"), "eventFlags") == [4, 0, 16]


def test_a_bar_is_updated_live_and_conflated_to_its_last_version() -> None:
    talk = Talk()
    talk.subscribe(talk.channel("AUTO"), "Candle", CANDLES, OPEN_MS)
    talk.happen(a_print(0, size=2, side=BUY), a_print(1, size=3, side=SELL, sequence=1), a_print(61, sequence=2))
    live = talk.rows("Candle")[1:]
    assert column(live, "time") == [OPEN_MS, OPEN_MS + MINUTE_MS]
    assert [live[0][name] for name in ("volume", "askVolume", "bidVolume", "eventFlags")] == [5.0, 2.0, 3.0, 0]


def test_auto_without_history_gives_an_empty_snapshot_where_history_gives_all() -> None:
    talk = Talk(Wire(auto_without_history=True))
    talk.happen(*candles(2))
    talk.subscribe(talk.channel("AUTO"), "Candle", CANDLES, OPEN_MS)
    assert column(talk.rows("Candle"), "eventFlags") == [14]
    talk.subscribe(talk.channel("HISTORY"), "Candle", CANDLES, OPEN_MS)
    assert len(talk.rows("Candle")) == 1 + 3


def test_a_quote_is_told_at_once_and_then_conflated() -> None:
    talk = Talk()
    talk.happen(a_quote(0))
    talk.subscribe(talk.channel("AUTO"), "Quote")
    talk.happen(a_quote(1, 6000.0, 6000.25), a_quote(2, 6000.25, 6000.5))
    assert column(talk.rows("Quote"), "bidPrice") == [5999.75, 6000.25]


def test_a_streamed_quote_is_not_conflated() -> None:
    talk = Talk()
    talk.subscribe(talk.channel("STREAM"), "Quote")
    talk.happen(a_quote(1, 6000.0, 6000.25), a_quote(2, 6000.25, 6000.5))
    assert column(talk.rows("Quote"), "bidPrice") == [6000.0, 6000.25]


def test_conflated_channels_wait_for_their_period_and_streams_do_not() -> None:
    talk = Talk()
    talk.subscribe(talk.channel("TICKER", aggregation_period_s=1.0), "Quote")
    talk.subscribe(talk.channel("STREAM", aggregation_period_s=1.0), "TimeAndSale")
    for now_s in (10.0, 10.5, 11.1):
        talk.happen(a_quote(now_s, now_s), a_print(now_s, sequence=int(now_s * 10)), now_s=now_s)
    assert column(talk.rows("Quote"), "bidPrice") == [10.0, 11.1]
    assert len(talk.rows("TimeAndSale")) == 3


def test_trade_and_summary_tell_the_day_so_far() -> None:
    talk = Talk()
    channel = talk.channel()
    talk.subscribe(channel, "Trade").subscribe(channel, "Summary")
    talk.happen(a_print(0, 6000.0, 2), a_print(1, 6001.0, 3, sequence=1))
    trade, summary = talk.rows("Trade")[-1], talk.rows("Summary")[-1]
    assert [trade[name] for name in ("price", "size", "dayVolume", "tickDirection")] == [6001.0, 3.0, 5.0, "UP"]
    assert trade["dayTurnover"] == (6000.0 * 2 + 6001.0 * 3) * 50
    assert [summary[f"day{name}Price"] for name in ("Open", "High", "Low")] == [6000.0, 6001.0, 6000.0]


BEFORE = Before(close=5990.0, volume=1_500_000.0, open_interest=2_104_512)


def test_trade_and_summary_tell_what_the_day_before_left() -> None:
    talk = Talk(before=BEFORE)
    channel = talk.channel()
    talk.subscribe(channel, "Trade").subscribe(channel, "Summary").happen(a_print(0, 6001.5))
    trade, summary = talk.rows("Trade")[-1], talk.rows("Summary")[-1]
    assert trade["change"] == 11.5
    assert [summary[name] for name in ("prevDayClosePrice", "prevDayClosePriceType", "prevDayVolume", "openInterest")] == [
        5990.0,
        "FINAL",
        1_500_000.0,
        2_104_512,
    ]
    assert (summary["dayId"], summary["prevDayId"]) == (20781, 20780)  # Tuesday 2026-11-24 and the Monday before


def test_what_nobody_knows_of_the_day_before_is_not_a_number_and_open_interest_0() -> None:
    talk = Talk()
    channel = talk.channel()
    talk.subscribe(channel, "Trade").subscribe(channel, "Summary").subscribe(channel, "Profile").happen(a_print(0, 6001.5))
    assert talk.rows("Trade")[-1]["change"] == "NaN"
    assert [talk.rows("Summary")[-1][name] for name in ("prevDayClosePrice", "openInterest")] == ["NaN", 0]
    assert [talk.rows("Profile")[-1][f"{side}LimitPrice"] for side in ("high", "low")] == ["NaN", "NaN"]


def test_profile_tells_what_a_contract_is_and_again_when_a_day_has_new_limits() -> None:
    talk = Talk(before=BEFORE)
    talk.subscribe(talk.channel(), "Profile")
    [profile] = talk.rows("Profile")
    assert tuple(profile) == COLUMNS["Profile"]
    assert [profile[name] for name in ("description", "tradingStatus", "statusReason")] == ["E-mini S&P 500, Dec 2026", "ACTIVE", None]
    assert [profile[f"{side}LimitPrice"] for side in ("high", "low")] == [6409.25, 5570.75]  # 7 % of 5990 is 419.3
    talk.happen(a_print(0, 6000.0), a_print(1, 6001.0, sequence=1), a_print(86_400, 6001.0, sequence=2), a_print(86_401, 6001.0, sequence=3))
    assert [row["highLimitPrice"] for row in talk.rows("Profile")] == [6409.25, 6421.0]  # the first print of a day; 6001 * 1.07 is 6421.07


def test_feed_config_comes_once_before_the_first_data_of_a_type_and_tells_what_is_served() -> None:
    talk = Talk()
    channel = talk.channel(event_fields={"Quote": ("bidPrice", "colour", "eventSymbol")}, aggregation_period_s=0.0)
    talk.subscribe(channel, "Quote")
    assert not [event for event in talk.heard if isinstance(event, FeedConfig)]
    talk.happen(a_quote(0)).happen(a_quote(1, 5999.0))
    kinds = [type(event) for event in talk.heard if isinstance(event, FeedConfig | FeedData)]
    assert kinds == [FeedConfig, FeedData, FeedData]
    config = next(event for event in talk.heard if isinstance(event, FeedConfig))
    assert config.event_fields == {"Quote": ("bidPrice", "eventSymbol")}
    assert (config.aggregation_period_s, config.data_format) == (0.0, DataFormat.COMPACT)
    assert talk.rows("Quote") == [{"bidPrice": 5999.75, "eventSymbol": SYMBOL}, {"bidPrice": 5999.0, "eventSymbol": SYMBOL}]


def test_without_feed_setup_every_known_column_is_served_and_a_later_setup_is_announced_anew() -> None:
    talk = Talk()
    channel = talk.channel()
    talk.subscribe(channel, "Quote").happen(a_quote(0))
    assert tuple(talk.rows("Quote")[0]) == COLUMNS["Quote"]
    talk.client.feed_setup(channel, event_fields={"Quote": ("askPrice",)})
    talk.run().happen(a_quote(1))
    assert [event.event_fields for event in talk.heard if isinstance(event, FeedConfig)][-1] == {"Quote": ("askPrice",)}
    assert talk.client.channels[channel].fields("Quote") == ("askPrice",)


def test_a_server_may_reorder_and_drop_columns() -> None:
    talk = Talk(Wire(column_order={"Quote": ("askPrice", "bidPrice")}, dropped_columns={"Quote": ("bidSize",)}))
    channel = talk.channel(event_fields={"Quote": ("eventSymbol", "bidPrice", "bidSize", "askPrice")})
    talk.subscribe(channel, "Quote").happen(a_quote(0))
    config = next(event for event in talk.heard if isinstance(event, FeedConfig))
    assert config.event_fields == {"Quote": ("askPrice", "bidPrice", "eventSymbol")}
    assert talk.rows("Quote") == [{"askPrice": 6000.0, "bidPrice": 5999.75, "eventSymbol": SYMBOL}]


def test_full_is_written_when_asked_without_empty_fields() -> None:
    talk = Talk()
    channel = talk.channel("STREAM", data_format=DataFormat.FULL, event_fields={"TimeAndSale": ("eventSymbol", "price", "buyer")})
    talk.subscribe(channel, "TimeAndSale").happen(a_print())
    data = [json.loads(event.raw)["data"] for event in talk.heard if isinstance(event, FeedData)]
    assert data == [[{"eventType": "TimeAndSale", "eventSymbol": SYMBOL, "price": 6000.0}]]


@pytest.mark.parametrize("max_bytes", [65_536, 2_000])
def test_no_message_exceeds_the_limit_and_nothing_is_lost_to_it(max_bytes: int) -> None:
    talk = Talk(Wire(max_bytes=max_bytes, history_cap={"TimeAndSale": 5000}))
    talk.happen(*(a_print(i, sequence=i) for i in range(1500)))
    talk.subscribe(talk.channel("HISTORY"), "TimeAndSale", from_ms=OPEN_MS)
    sizes = [len(payload) for payload in talk.payloads]
    assert max_bytes * 0.4 < max(sizes) <= max_bytes
    assert column(talk.rows("TimeAndSale"), "sequence") == list(range(1499, -1, -1))
    pairs = [len(json.loads(payload)["data"]) for payload in talk.payloads if b"FEED_DATA" in payload]
    assert set(pairs) == {2}


def test_messages_may_hold_several_pairs_or_few_rows() -> None:
    for wire, expected in ((Wire(pairs_per_message=3), [6]), (Wire(rows_per_message=4), [2, 2, 2]), (Wire(rows_per_message=4, pairs_per_message=2), [4, 2])):
        talk = Talk(wire)
        talk.subscribe(talk.channel("STREAM"), "TimeAndSale")
        talk.happen(*(a_print(i, sequence=i) for i in range(9)))
        assert [len(json.loads(event.raw)["data"]) for event in talk.heard if isinstance(event, FeedData)] == expected
        assert column(talk.rows("TimeAndSale"), "sequence") == list(range(9))


def test_reset_remove_and_add_in_one_message_act_in_that_order() -> None:
    talk = Talk()
    channel = talk.channel("STREAM")
    talk.subscribe(channel, "TimeAndSale").subscribe(channel, "Quote")
    talk.client.reset(channel, [Subscription("TimeAndSale", SYMBOL)])
    talk.run().happen(a_print(), a_quote(1))
    assert len(talk.rows("TimeAndSale")) == 1
    assert talk.rows("Quote") == []


def test_a_candle_is_removed_by_any_spelling_of_its_symbol() -> None:
    talk = Talk()
    channel = talk.channel("HISTORY")
    talk.subscribe(channel, "Candle", f"{SYMBOL}{{=1m,tho=true}}", OPEN_MS)
    talk.client.unsubscribe(channel, [Subscription("Candle", f"{SYMBOL}{{=m,tho=true}}")])
    talk.run().happen(a_print())
    assert column(talk.rows("Candle"), "eventFlags") == [14]


def test_the_same_subscription_again_gives_a_new_snapshot_and_no_second_update() -> None:
    talk = Talk(Wire(future_marker=False))
    talk.happen(*candles(1))
    channel = talk.channel("HISTORY")
    talk.subscribe(channel, "Candle", CANDLES, OPEN_MS).subscribe(channel, "Candle", CANDLES, OPEN_MS)
    talk.happen(a_print(1, sequence=9))
    assert column(talk.rows("Candle"), "eventFlags") == [12, 12, 0]


def test_what_was_noted_before_a_cancel_is_not_sent_after_it() -> None:
    talk = Talk()
    channel = talk.channel("STREAM")
    talk.subscribe(channel, "TimeAndSale")
    talk.feed.take(a_print(), talk.books.apply(a_print()))
    talk.client.cancel(channel)
    talk.run().feed.flush()
    talk.run()
    assert talk.rows("TimeAndSale") == []


def test_unknown_types_symbols_services_and_contracts_end_nothing() -> None:
    talk = Talk()
    channel = talk.channel("STREAM")
    talk.subscribe(channel, "Greeks").subscribe(channel, "TimeAndSale", "/ESZ6").subscribe(channel, "TimeAndSale")
    talk.client.open_channel("DOM")
    talk.run().happen(a_print())
    assert len(talk.rows("TimeAndSale")) == 1
    assert [event.kind for event in talk.heard if isinstance(event, Error)] == ["BAD_ACTION"]


def test_two_types_on_one_channel_are_read_by_their_own_columns() -> None:
    talk = Talk()
    channel = talk.channel("STREAM", event_fields={"TimeAndSale": ("price",), "Quote": ("askPrice", "bidPrice")})
    talk.subscribe(channel, "TimeAndSale").subscribe(channel, "Quote").happen(a_print(), a_quote())
    messages = [event for event in talk.heard if isinstance(event, FeedData)]
    assert [decode(message, talk.client.channels[channel].fields)[0][0] for message in messages] == ["TimeAndSale", "Quote"]
    assert talk.rows("Quote") == [{"askPrice": 6000.0, "bidPrice": 5999.75}]
