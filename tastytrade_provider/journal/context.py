"""What stands beside the raw messages so that they can be read without anything else: contracts, columns, sources, gaps, resets; as JSON, for people too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from typing import Any, NamedTuple

import orjson

from ..errors import JournalDamaged
from ..model import Contract, Gap

_MESSAGE = b',"message":'

Columns = Mapping[str, tuple[str, ...]]
"""Event type -> its columns in the order of the rows, as FEED_CONFIG announced them."""


class Standing(NamedTuple):
    """Where a contract's trades come from: the source that is configured, and the one of now.

    listens  whether Quote and Trade are listened to       begun  how often inferring trades from them began anew in this recording
    is_held  whether trades are held back, until a refill brings those that an outage cost
    last     exchange time and recorder's clock (UTC ns) of the newest trade that surely has none missing before it since somebody listens
    """

    wanted: str
    source: str
    listens: bool
    begun: int
    is_held: bool
    last: tuple[int, int] | None


@dataclass(frozen=True)
class Context:
    """Contracts by streamer symbol, columns by event type, and by which rules trades were filtered when recorded (the arguments of an Intake).

    watched    streamer symbol -> since when (recorder's clock, UTC ns) all that comes of it is recorded, as long as the recording goes on
    standings  streamer symbol -> where its trades come from
    """

    contracts: Mapping[str, Contract] = field(default_factory=dict)
    columns: Columns = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    watched: Mapping[str, int] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)

    def watching(self, contract: Contract, rules: Mapping[str, Any], now_ns: int) -> Context:
        """With one more contract, from now on."""
        symbol = contract.streamer_symbol
        return replace(self, contracts={**self.contracts, symbol: contract}, rules=dict(rules), watched={symbol: now_ns, **self.watched})

    def standing(self, contract: Contract, standing: Standing) -> Context:
        """With a contract's trades from there."""
        return replace(self, standings={**self.standings, contract.streamer_symbol: standing})

    def reading(self, columns: Mapping[str, tuple[str, ...]]) -> Context:
        """With other columns."""
        return replace(self, columns={**self.columns, **columns})

    def encode(self) -> bytes:
        """As payload of a CONTEXT record."""
        contracts = [contract_as_json(contract) for contract in self.contracts.values()]
        standings = {symbol: standing._asdict() for symbol, standing in self.standings.items()}
        told = {"contracts": contracts, "columns": self.columns, "rules": self.rules, "watched": self.watched, "standings": standings}
        return orjson.dumps({"context": told})

    @classmethod
    def decode(cls, payload: bytes) -> Context:
        """From the payload of a CONTEXT record."""
        found = orjson.loads(payload)["context"]
        contracts = [contract_of_json(contract) for contract in found["contracts"]]
        columns = {name: tuple(names) for name, names in found["columns"].items()}
        standings = {symbol: _standing(standing) for symbol, standing in found.get("standings", {}).items()}
        return cls({contract.streamer_symbol: contract for contract in contracts}, columns, found["rules"], found.get("watched", {}), standings)


def contract_as_json(contract: Contract) -> dict[str, Any]:
    """A contract's fields, ready for JSON."""
    return {**asdict(contract), "expiry": contract.expiry.isoformat() if contract.expiry else None}


def contract_of_json(found: Mapping[str, Any]) -> Contract:
    """A contract from its fields; those this version does not know are left out."""
    known = {each.name: found[each.name] for each in fields(Contract) if each.name in found}
    return Contract(**known | {"expiry": date.fromisoformat(found["expiry"]) if found["expiry"] else None})


def encode_gap(gap: Gap, before_read: bool) -> bytes:
    """As payload of a GAP record. `before_read`: it was told before the trades of the messages just recorded."""
    values = {"symbol": gap.contract.streamer_symbol, "start_ns": gap.start_ns, "end_ns": gap.end_ns, "reason": gap.reason, "filled": gap.filled}
    return orjson.dumps({"gap": {**values, "before_read": before_read}})


def decode_gap(payload: bytes, context: Context) -> tuple[Gap, bool]:
    """The gap of a GAP record, and whether it comes before the trades of the messages in front of it."""
    found = orjson.loads(payload)["gap"]
    contract = context.contracts.get(found["symbol"])
    if contract is None:
        raise JournalDamaged(f"a gap names {found['symbol']!r}, which no context before it holds")
    return Gap(contract, found["start_ns"], found["end_ns"], found["reason"], found["filled"]), found["before_read"]


def encode_standing(contract: Contract, standing: Standing) -> bytes:
    """As payload of a STANDING record."""
    return orjson.dumps({"standing": {"symbol": contract.streamer_symbol, **standing._asdict()}})


def decode_standing(payload: bytes) -> tuple[str, Standing]:
    """Streamer symbol and standing of a STANDING record."""
    found = orjson.loads(payload)["standing"]
    return found.pop("symbol"), _standing(found)


def _standing(found: Mapping[str, Any]) -> Standing:
    return Standing(**{**found, "last": None if found["last"] is None else tuple(found["last"])})


def encode_refill(contract: Contract, cut_ns: int | None, raw: bytes) -> bytes:
    """As payload of a REFILL record: a FEED_DATA message of the trades that were fetched after an outage, and up to where there are none (None: all).

    >>> decode_refill(encode_refill(Contract("ES", "/ESZ6", "/ESZ26:XCME"), None, b'{"type":"FEED_DATA","channel":0,"data":[]}'))
    ('/ESZ26:XCME', None, b'{"type":"FEED_DATA","channel":0,"data":[]}')
    """
    return b'{"refill":' + orjson.dumps({"symbol": contract.streamer_symbol, "cut_ns": cut_ns}) + _MESSAGE + raw + b"}"


def decode_refill(payload: bytes) -> tuple[str, int | None, bytes]:
    """Streamer symbol, where it begins, and the message of a REFILL record."""
    told, raw = payload.removeprefix(b'{"refill":').split(_MESSAGE, 1)
    found = orjson.loads(told)
    return found["symbol"], found["cut_ns"], raw[:-1]


def encode_reset(contract: Contract, time_ns: int) -> bytes:
    """As payload of a RESET record: CVD of the contract starts anew at its first bar from that exchange time on."""
    return orjson.dumps({"reset": {"symbol": contract.streamer_symbol, "time_ns": time_ns}})


def decode_reset(payload: bytes) -> tuple[str, int]:
    """Streamer symbol and exchange time (UTC ns) of a RESET record."""
    found = orjson.loads(payload)["reset"]
    return found["symbol"], found["time_ns"]
