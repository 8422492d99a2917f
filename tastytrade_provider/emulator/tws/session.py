"""TWS's side of one connection: handshake, login, requests, answers. Reads no socket and no clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tastytrade_provider.emulator.tws import reference, requests
from tastytrade_provider.emulator.tws.hours import time_text
from tastytrade_provider.emulator.tws.pacing import Pacing, Rate
from tastytrade_provider.emulator.tws.refusal import Refused, told
from tastytrade_provider.emulator.tws.streams import TICK_TYPES, Stream
from tastytrade_provider.emulator.tws.view import News
from tastytrade_provider.emulator.tws.wire import Framer, Unreadable, message

if TYPE_CHECKING:
    from tastytrade_provider.emulator.tws.gateway import Gateway

_VERSIONS = re.compile(r"v(\d+)(?:\.\.(\d+))?(?: .*)?")
Request = Callable[["Session", int, list[str]], None]

REQUESTS: Final[dict[int, tuple[Request, int]]] = {
    1: (requests.market_data, 2),
    2: (requests.cancel("MktData"), 2),
    3: (reference.read_only, 1),
    4: (reference.read_only, 2),
    5: (reference.open_orders, 0),
    6: (reference.account_updates, 0),
    7: (reference.executions, 2),
    8: (reference.next_id, 0),
    9: (reference.contract_details, 2),
    10: (requests.depth, 2),
    11: (requests.cancel("MktDepth"), 2),
    14: (reference.nothing, 0),
    15: (reference.nothing, 0),
    16: (reference.open_orders, 0),
    17: (reference.managed_accounts, 0),
    20: (requests.historical_data, 1),
    25: (requests.cancel_historical_data, 2),
    49: (reference.current_time, 0),
    50: (requests.real_time_bars, 2),
    51: (requests.cancel("RealTimeBars"), 2),
    59: (reference.market_data_type, 0),
    61: (reference.positions, 0),
    62: (reference.account_summary, 2),
    63: (reference.nothing, 0),
    64: (reference.nothing, 0),
    71: (reference.start_api, 0),
    76: (reference.account_updates_multi, 2),
    77: (reference.nothing, 0),
    81: (reference.matching_symbols, 1),
    82: (reference.depth_exchanges, 0),
    87: (requests.head_timestamp, 1),
    90: (reference.nothing, 0),
    91: (reference.market_rule, 1),
    96: (requests.historical_ticks, 1),
    97: (requests.tick_by_tick, 1),
    98: (requests.cancel(*TICK_TYPES), 1),
    99: (reference.completed_orders, 0),
}
"""Every request that is understood: what answers it, and where its id stands (0: it has none). The answerer gets the fields behind that place."""

_START_API = 71


class Session:
    """Answers one client. After `receive` and whatever the gateway does: `data_to_send()` and `close_expected`.

    now_s  what the clock said at the last message, seconds of any monotonic clock
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.version, self.client_id, self.now_s = gateway, 0, -1, 0.0
        self.pacing = Pacing()
        self.streams: dict[int, Stream] = {}
        self.close_expected, self.closed_because = False, ""
        self.flushed_s = float("-inf")
        self._framer = Framer()
        self._rate = Rate(gateway.knobs.messages_per_s)
        self._out: list[bytes] = []

    # --- the wire

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes of the client."""
        self.now_s = now_s
        try:
            for fields in self._framer.receive(data):
                if self.close_expected:
                    return
                if self.version:
                    self._answer(fields)
                else:
                    self._shake_hands(fields[0])
        except Unreadable as unread:
            self.close_expected, self.closed_because = True, str(unread)

    def data_to_send(self) -> bytes:
        """The bytes to be sent; handed over once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def say(self, *values: object) -> None:
        """Send one message."""
        self._out.append(message(*values))

    def say_live(self, *values: object) -> None:
        """Send a message of a subscription, if data may flow."""
        if not self.gateway.is_silent:
            self._out.append(message(*values))

    def error(self, req_id: int, code: int, *words: object) -> None:
        """Send an error or a notice; -1 where it is about no request."""
        self._error(req_id, code, told(code, *words))

    def _error(self, req_id: int, code: int, text: str) -> None:
        self.say(4, 2, req_id, code, text, *(("",) if self.version >= 166 else ()))

    # --- subscriptions

    def check_free(self, req_id: int, code: int = 322) -> None:
        """Raises Refused where an id is in use."""
        if req_id in self.streams:
            raise Refused(code)

    def count(self, *kinds: str) -> int:
        """How many subscriptions there are of these kinds."""
        return sum(stream.kind in kinds for stream in self.streams.values())

    def open(self, stream: Stream) -> None:
        """Begin a subscription."""
        self.streams[stream.req_id] = stream
        self.gateway.index_streams()
        if not self.gateway.is_silent:
            stream.begin()

    def drop(self, req_id: int, *kinds: str) -> bool:
        """End a subscription; False where there is none of these kinds."""
        if req_id not in self.streams or self.streams[req_id].kind not in kinds:
            return False
        del self.streams[req_id]
        self.gateway.index_streams()
        return True

    def take(self, stream: Stream, news: News) -> None:
        """Hand what happened to a subscription of this session."""
        if stream.is_busted_by(news):
            self.drop(stream.req_id, stream.kind)
            self.error(stream.req_id, 10225)
        elif stream.follows_in_silence or not self.gateway.is_silent:
            stream.take(news)

    def log_in(self, client_id: int) -> None:
        """Take a client id. Raises Refused 326 where another session has it."""
        self.gateway.log_in(self, client_id)
        self.client_id = client_id

    # --- what the client says

    def _shake_hands(self, versions: str) -> None:
        match = _VERSIONS.fullmatch(versions)
        version = min(int(match[2] or match[1]), self.gateway.knobs.server_version) if match else 0
        if match is None or version < max(int(match[1]), 100):
            self.close_expected, self.closed_because = True, f"versions {versions!r}; up to {self.gateway.knobs.server_version} are served"
            return
        self.version = version
        self.say(version, time_text(self.gateway.market_ns, self.gateway.knobs.time_zone))

    def _answer(self, fields: list[str]) -> None:
        req_id = -1
        try:
            self._rate.check(self.now_s)
            request, at = REQUESTS.get(int(fields[0]), (None, 0))
            if request is None:
                raise Refused(320, f" Message type {fields[0]} is not understood")
            if self.client_id < 0 and int(fields[0]) != _START_API:
                raise Refused(320, " startApi comes first", is_final=True)
            req_id = int(fields[at]) if at else -1
            request(self, req_id, fields[at + 1 :])
        except Refused as refused:
            self._error(req_id, refused.code, refused.text)
            self.close_expected = self.close_expected or refused.is_final
        except (ValueError, IndexError) as unread:
            self.error(req_id, 320, f" {unread}")
