from __future__ import annotations

import pytest

from tastytrade_provider.emulator.instruments import SECURITIES
from tastytrade_provider.emulator.tws import TwsKnobs
from tastytrade_provider.emulator.tws.wire import message
from tastytrade_provider.model import Action
from tests.emulator.exchange import ES, a_print, a_quote
from tests.emulator.tws_talk import OPEN_NS, Client, Desk, described, errors, hello, only, parted

# --- handshake and login


def test_the_handshake_is_understood_wherever_the_network_cuts_it() -> None:
    said = hello() + message(71, 2, 7, "")
    for cut in range(len(said)):
        session = Desk().gateway.open_session()
        session.receive(said[:cut], 0.0)
        session.receive(said[cut:], 0.0)
        assert [fields[0] for fields in parted(session.data_to_send())] == ["178", "15", "9", "4", "4", "4"]
        assert session.client_id == 7


@pytest.mark.parametrize(
    ("versions", "served"),
    [("v157..178", "178"), ("v157..176", "176"), ("v100..157", "157"), ("v100..225", "178"), ("v157..178 +PACEAPI", "178")],
)
def test_the_version_is_the_highest_both_know(versions: str, served: str) -> None:
    session = Desk().gateway.open_session()
    session.receive(hello(versions), 0.0)
    assert parted(session.data_to_send()) == [(served, "20261124 08:30:00 US/Central")]


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", hello("v179..200"), hello("version 9"), b"API\0\x7f\0\0\0"])
def test_what_is_no_client_of_ours_is_shown_the_door(said: bytes) -> None:
    session = Desk().gateway.open_session()
    session.receive(said, 0.0)
    assert session.close_expected
    assert session.closed_because


def test_login_tells_accounts_the_next_id_and_that_the_farms_are_well() -> None:
    session = Desk().gateway.open_session()
    session.receive(hello() + message(71, 2, 1, ""), 0.0)
    _, accounts, next_id, *notices = parted(session.data_to_send())
    assert (accounts, next_id) == (("15", "1", "DU1234567"), ("9", "1", "1"))
    assert errors(notices) == [(-1, 2104), (-1, 2106), (-1, 2158)]


def test_a_client_id_in_use_is_refused_with_326_and_is_free_once_its_owner_has_gone() -> None:
    desk = Desk()
    first, second = desk.client(5), desk.gateway.open_session()
    second.receive(hello() + message(71, 2, 5, ""), 0.0)
    assert errors(parted(second.data_to_send())[1:]) == [(-1, 326)]
    assert second.close_expected
    desk.gateway.close_session(first.session)
    assert not desk.client(5).session.close_expected


def test_nothing_is_answered_before_start_api() -> None:
    session = Desk().gateway.open_session()
    session.receive(hello() + message(49, 1), 0.0)
    assert errors(parted(session.data_to_send())[1:]) == [(-1, 320)]
    assert session.close_expected


def test_more_messages_in_a_second_than_allowed_end_the_connection_with_error_100() -> None:
    desk = Desk(TwsKnobs(messages_per_s=10))
    client = desk.client()  # which said one
    for _ in range(9):
        assert errors(client.ask(49, 1)) == []
    desk.now_s = 1.5
    for _ in range(10):
        assert errors(client.ask(49, 1)) == []
    assert errors(client.ask(49, 1)) == [(-1, 100)]
    assert client.session.close_expected


def test_errors_to_a_client_of_version_157_have_one_field_less() -> None:
    lengths = [len(Desk().client(1, versions).ask(9, 8, 1, *described("XX"), False, "", "")[0]) for versions in ("v100..157", "v157..178")]
    assert lengths == [5, 6]


# --- contracts


def details(client: Client, *contract: object) -> list[tuple[str, ...]]:
    return only(client.ask(9, 8, 1, *contract, False, "", "", ""), 10)


def test_contract_details_have_the_fields_of_a_gateway_in_their_places() -> None:
    [fields] = details(Desk().client(), *described())
    assert len(fields) == 39  # forty with the message id, as a line captured from a gateway has (version 178)
    assert fields[1:3] == ("ES", "FUT")
    assert fields[6:9] == ("CME", "USD", "ESZ6")
    assert fields[12:14] == ("0.25", "50")
    assert (fields[20], fields[24]) == ("202612", "US/Central")
    assert fields[25].split(";")[0] == "20261123:1700-20261124:1600"
    assert fields[26].split(";")[:4] == [
        "20261124:0830-20261124:1600",
        "20261125:0830-20261125:1600",
        "20261126:0830-20261126:1200",
        "20261127:0830-20261127:1215",
    ]


def test_details_for_a_client_of_version_157_carry_version_and_size_multiplier() -> None:
    [fields] = details(Desk().client(1, "v100..157"), *described())
    assert fields[0] == "8"
    assert fields[14] == "1"
    assert len(fields) == 38


def test_a_root_without_a_month_finds_every_month_and_con_ids_tell_them_apart() -> None:
    client = Desk().client()
    found = details(client, *described(month=""))
    assert [fields[20] for fields in found] == ["202612", "202703", "202706", "202709", "202712", "202803"]
    for fields in found:
        assert details(client, *described("", "", "", "", int(fields[11]))) == [fields]


@pytest.mark.parametrize(
    "contract",
    [described("XX"), described(exchange="NYMEX"), described(month="202701"), described(sec_type="OPT"), described(con_id=12), described("")],
)
def test_what_is_not_listed_gets_error_200(contract: tuple[object, ...]) -> None:
    assert errors(Desk().client().ask(9, 8, 3, *contract, False, "", "", "")) == [(3, 200)]


def test_an_ambiguous_contract_gets_error_200_where_one_is_needed() -> None:
    [error] = Desk().client().ticks(4, contract=described(month=""))
    assert error[2:4] == ("4", "200")
    assert "ambiguous" in error[4]


def test_a_continuous_future_is_the_lead_month_under_its_own_con_id() -> None:
    client = Desk().client()
    [lead], [dated] = details(client, *described(sec_type="CONTFUT", month="")), details(client, *described())
    assert (lead[2], lead[11]) == ("CONTFUT", dated[11])


# --- what requests are refused with


def test_a_request_id_in_use_is_refused() -> None:
    client = Desk().client()
    client.ticks(1)
    client.market_data(2)
    assert errors(client.ticks(1)) == [(1, 322)]
    assert errors(client.market_data(2)) == [(2, 102)]


def test_beyond_their_numbers_subscriptions_are_refused_with_their_codes() -> None:
    client = Desk(TwsKnobs(tick_by_tick_lines=2, market_data_lines=1, depth_lines=1)).client()
    for req_id, kind in enumerate(("AllLast", "BidAsk")):
        assert errors(client.ticks(req_id, kind)) == []
    assert errors(client.ticks(9, "MidPoint")) == [(9, 10190)]
    assert errors([*client.market_data(3), *client.market_data(4)]) == [(4, 101)]
    assert errors([*client.depth(5), *client.depth(6)]) == [(6, 309)]
    client.ask(98, 0)
    assert errors(client.ticks(9, "MidPoint")) == []


def test_without_permissions_each_kind_of_request_has_its_own_error() -> None:
    client = Desk(TwsKnobs(not_entitled=("ES",))).client()
    answers = [client.ticks(1), client.market_data(2), client.live_bars(3), client.bars(4), client.depth(5)]
    assert [errors(answer) for answer in answers] == [[(1, 10189)], [(2, 354)], [(3, 420)], [(4, 162)], [(5, 354)]]
    assert answers[3][0][4].endswith("No market data permissions for CME FUT")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"size": "7 mins"}, 321),
        ({"duration": "1 X"}, 321),
        ({"duration": "90000 S"}, 321),
        ({"what": "NONSENSE"}, 321),
        ({"date_format": 3}, 321),
        ({"end": "yesterday"}, 10314),
        ({"end": "20261124 08:30:00 Mars/Olympus"}, 10314),
        ({"end": "20261399 08:30:00 UTC"}, 10314),
        ({"end": "20261124-14:30:00", "keep": True}, 321),
        ({"end": "20261124-14:30:00", "contract": described(sec_type="CONTFUT", month="")}, 10339),
        ({"end": "20250101-14:30:00"}, 162),
        ({"contract": described(month="202703")}, 162),
    ],
)
def test_history_that_cannot_be_had_is_refused(request_: dict[str, object], code: int) -> None:
    assert errors(Desk().happened(a_print()).client().bars(8, **request_)) == [(8, code)]


def test_an_end_without_a_zone_is_in_that_of_the_tws_and_warned_of() -> None:
    desk = Desk(TwsKnobs(time_zone="Europe/Berlin")).happened(a_print(0), a_print(90))
    told = desk.client().bars(end="20261124 15:31:00", duration="60 S")
    assert errors(told) == [(1, 2174)]
    assert only(told, 17)[0][3:5] == ("1", str(OPEN_NS // 10**9))


def test_what_is_cancelled_twice_is_told_so() -> None:
    client = Desk().happened(a_print(), a_quote()).client()
    client.ticks(1), client.market_data(2), client.live_bars(3), client.bars(4, keep=True)
    cancels = [(98, 1), (2, 2, 2), (51, 1, 3), (25, 1, 4)]
    assert [errors(client.ask(*cancel)) for cancel in cancels] == [[], [], [], [(4, 162)]]
    assert [errors(client.ask(*cancel)) for cancel in cancels] == [[(1, 300)], [(2, 300)], [(3, 300)], [(4, 366)]]


def test_orders_are_refused_and_what_is_not_understood_is_told() -> None:
    client = Desk().client()
    assert errors(client.ask(3, 17, "whatever")) == [(17, 321)]
    assert errors(client.ask(999, 1)) == [(-1, 320)]
    assert errors(client.ask(97, "one")) == [(-1, 320)]
    assert errors(client.ask(97, 5, 0)) == [(5, 320)]
    assert not client.session.close_expected


def test_pacing_refuses_the_same_small_bars_within_fifteen_seconds_and_six_of_a_contract_in_two() -> None:
    desk = Desk(TwsKnobs(pacing=True)).happened(a_print())
    client = desk.client()
    assert [errors(client.bars(n, size="5 secs", duration=f"{3600 + n % 2} S")) for n in range(4)] == [[], [], [(2, 162)], [(3, 162)]]
    desk.now_s = 15.0
    answers = [client.bars(n, size="5 secs", duration=f"{3600 + n} S") for n in range(10, 17)]
    assert [bool(errors(answer)) for answer in answers] == [False] * 5 + [True] * 2
    assert errors(client.bars(30, size="1 min")) == errors(client.bars(31, size="1 min")) == []


# --- the link


def test_after_1101_every_subscription_is_gone_after_1102_they_go_on() -> None:
    for data_lost, ticks in ((True, 0), (False, 1)):
        desk = Desk()
        client = desk.client()
        client.ticks()
        desk.gateway.cut_off()
        desk.happen(a_print(1))
        desk.gateway.reconnect(data_lost)
        desk.happen(a_print(2, sequence=1))
        told = client.listen()
        assert errors(told) == [(-1, 1100), (-1, 1101 if data_lost else 1102)]
        assert len(only(told, 99)) == ticks


def test_a_competing_session_silences_every_stream_and_refuses_requests_until_it_ends() -> None:
    desk = Desk()
    client = desk.client()
    client.ticks(1)
    desk.gateway.compete()
    desk.happen(a_print(1))
    assert errors([*client.listen(), *client.market_data(2), *client.bars(3)]) == [(1, 10197), (2, 10197), (3, 162)]
    desk.gateway.compete(False)
    desk.happen(a_print(2, sequence=1))
    assert len(only(client.listen(), 99)) == 1


def test_a_print_that_is_withdrawn_ends_bars_of_trades_with_10225_and_asking_anew_gives_them_without_it() -> None:
    first, second = a_print(0, 6000.0, 3), a_print(1, 6001.0, 5, sequence=1)
    desk = Desk().happened(first, second)
    client = desk.client()
    client.bars(1, keep=True)
    client.live_bars(2)
    client.live_bars(3, "MIDPOINT")
    desk.happen(second._replace(action=Action.CANCEL, at_ns=OPEN_NS + 2 * 10**9))
    assert errors(client.listen()) == [(1, 10225), (2, 10225)]
    [fields] = only(client.bars(1, keep=True), 17)
    assert fields[5:] == ("6000", "6000", "6000", "6000", "3", "6000", "1")


def test_the_clock_is_the_market_s() -> None:
    desk = Desk()
    client = desk.client()
    desk.happen(second=75)
    assert client.ask(49, 1) == [("49", "1", str(OPEN_NS // 10**9 + 75))]


@pytest.mark.parametrize(
    ("name", "symbol", "sec_type", "exchange", "primary", "zone"),
    [
        ("SPY", "SPY", "STK", "SMART", "ARCA", "US/Eastern"),
        ("BRK/B", "BRK B", "STK", "SMART", "NYSE", "US/Eastern"),
        ("ES:XNYS", "ES", "STK", "SMART", "NYSE", "US/Eastern"),
        ("SPX", "SPX", "IND", "CBOE", "", "US/Central"),
        ("BTC/USD", "BTC", "CRYPTO", "PAXOS", "", "UTC"),
    ],
)
def test_what_is_no_future_goes_by_its_own_type(name: str, symbol: str, sec_type: str, exchange: str, primary: str, zone: str) -> None:
    contracts = (ES, *(security.contract for security in SECURITIES.values()))
    client = Desk(contracts=contracts).client()
    [fields] = details(client, *described(symbol, sec_type, "", exchange))
    assert (fields[1], fields[2], fields[6], fields[19], fields[24]) == (symbol, sec_type, exchange, primary, zone)
    assert details(client, *described("", "", "", "", int(fields[11]))) == [fields]
    assert SECURITIES[name].description == fields[18]


def test_a_share_trades_from_four_to_eight_and_regularly_from_half_past_nine_to_four() -> None:
    spy = SECURITIES["SPY"].contract
    [fields] = details(Desk(contracts=(spy,)).client(), *described("SPY", "STK", "", "SMART"))
    assert [fields[n].split(";")[0] for n in (25, 26)] == ["20261124:0400-20261124:2000", "20261124:0930-20261124:1600"]
