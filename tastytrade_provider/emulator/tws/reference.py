"""Requests for what is no price: login, contracts, rules, and an account in which there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastytrade_provider.emulator.tws.listing import Query
from tastytrade_provider.emulator.tws.refusal import NO_DEFINITION, READ_ONLY, Refused

if TYPE_CHECKING:
    from tastytrade_provider.emulator.tws.session import Session


def start_api(session: Session, _: int, fields: list[str]) -> None:
    """71."""
    session.log_in(int(fields[1]))
    managed_accounts(session, -1, [])
    next_id(session, -1, [])
    for code in (2104, 2106, 2158):
        session.error(-1, code)


def managed_accounts(session: Session, _: int, __: list[str]) -> None:
    """17."""
    session.say(15, 1, ",".join(session.gateway.knobs.accounts))


def next_id(session: Session, _: int, __: list[str]) -> None:
    """8."""
    session.say(9, 1, 1)


def current_time(session: Session, _: int, __: list[str]) -> None:
    """49: the market's clock."""
    session.say(49, 1, session.gateway.market_ns // 10**9)


def market_data_type(session: Session, _: int, fields: list[str]) -> None:
    """59: real time is all there is; whoever asks for less gets it too."""
    if int(fields[1]) not in (1, 2, 3, 4):
        raise Refused(321, f"Invalid market data type {fields[1]}")


def read_only(session: Session, _: int, __: list[str]) -> None:
    """Orders."""
    raise Refused(321, READ_ONLY)


def nothing(session: Session, _: int, __: list[str]) -> None:
    """What needs no answer."""


def positions(session: Session, _: int, __: list[str]) -> None:
    """61."""
    session.say(62, 1)


def open_orders(session: Session, _: int, __: list[str]) -> None:
    """5 and 16."""
    session.say(53, 1)


def completed_orders(session: Session, _: int, __: list[str]) -> None:
    """99."""
    session.say(102)


def account_updates(session: Session, _: int, fields: list[str]) -> None:
    """6."""
    account = fields[2] or session.gateway.knobs.accounts[0]
    if fields[1] == "1":
        session.say(6, 2, "NetLiquidation", "100000.00", "USD", account)
        session.say(54, 1, account)


def account_updates_multi(session: Session, req_id: int, fields: list[str]) -> None:
    """76."""
    session.say(73, 1, req_id, fields[0], fields[1], "NetLiquidation", "100000.00", "USD")
    session.say(74, 1, req_id)


def account_summary(session: Session, req_id: int, fields: list[str]) -> None:
    """62."""
    session.say(63, 1, req_id, session.gateway.knobs.accounts[0], "NetLiquidation", "100000.00", "USD")
    session.say(64, 1, req_id)


def executions(session: Session, req_id: int, _: list[str]) -> None:
    """7."""
    session.say(55, 1, req_id)


def contract_details(session: Session, req_id: int, fields: list[str]) -> None:
    """9."""
    gateway = session.gateway
    found = gateway.listing.find(Query.of(fields), gateway.market_ns)
    if not found:
        raise Refused(200, NO_DEFINITION)
    for listed in found:
        session.say(10, *((8,) if session.version < 164 else ()), req_id, *listed.details(session.version, gateway.market_ns))
    session.say(52, 1, req_id)


def matching_symbols(session: Session, req_id: int, fields: list[str]) -> None:
    """81: products whose symbol begins so."""
    leads = {listed.symbol: listed for listed in reversed(session.gateway.listing.every(session.gateway.market_ns))}
    found = [listed for symbol, listed in sorted(leads.items()) if symbol.startswith(fields[0].upper())]
    rows: list[object] = []
    for listed in found:
        is_future = listed.sec_type == "FUT"
        number = listed.under_con_id or listed.con_id
        rows += [number, listed.symbol, "IND" if is_future else listed.sec_type, listed.exchange, "USD", *((1, "FUT") if is_future else (0,))]
        rows += [listed.symbol, ""] if session.version >= 176 else []
    session.say(79, req_id, len(found), *rows)


def depth_exchanges(session: Session, _: int, __: list[str]) -> None:
    """82."""
    exchanges = ("CBOT", "CME", "COMEX", "NYMEX")
    session.say(80, len(exchanges), *(field for exchange in exchanges for field in (exchange, "FUT", "", "Deep2", 2147483647)))


def market_rule(session: Session, rule: int, _: list[str]) -> None:
    """91: one increment for all prices, that of the first contract."""
    session.say(93, rule, 1, 0, session.gateway.contracts[0].tick_size)
