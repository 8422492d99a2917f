"""dxFeed's words to ours: TimeAndSale rows become TradeBatches. Vendor words stop here.

One row as on the wire (COMPACT, in the order of columns that FEED_CONFIG announced; a real /ESM23 print of 2023-05-29):

    "/ESM23:XCME",0,0,7238429932160864156,1685328300152,0,53148,"G",4223.75,1.0,4223.5,4223.75,"\\u0000","BUY",false,false,true,"NEW",null,null,null

aggressorSide  BUY, SELL or UNDEFINED: the exchange's own flag of who crossed the spread (dxFeed TimeAndSale javadoc; CME MDP 3.0 tag 5797).
index          unique per symbol; seconds << 32 | milliseconds << 22 | sequence. A CORRECTION or CANCEL carries the index of the trade it concerns.
time           milliseconds, with timeNanoPart the nanoseconds within them.
bidPrice, askPrice  the quote the print met; "NaN" where that side of the book was empty.
size           a double on the wire. validTick: may enter OHLC; a CANCEL is not valid, a CORRECTION of a valid tick is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from ..dxlink.messages import FeedData, shown
from ..dxlink.rows import Row, decode, time_of
from ..dxlink.scanner import INTEGER, NUMBER, NUMBER_OR_NONE, TRUTH, WORD, Layout, joined, scan_joined, slots_of
from ..errors import ProtocolViolation
from ..jit import kernel
from ..model import COLUMNS, OFF_STEP_TOLERANCE, Array, Contract, SideSource, TradeBatch, TradeFlag

TIME_AND_SALE = "TimeAndSale"
FIELDS = (
    "eventSymbol", "eventFlags", "index", "time", "timeNanoPart", "price", "size", "bidPrice", "askPrice",
    "aggressorSide", "spreadLeg", "extendedTradingHours", "validTick", "type",
)  # fmt: skip
"""The columns we ask for; the server announces which it sends."""

_KINDS = {
    "eventSymbol": WORD, "index": INTEGER, "time": INTEGER, "timeNanoPart": INTEGER, "aggressorSide": WORD, "type": WORD,
    "validTick": TRUTH, "spreadLeg": TRUTH, "extendedTradingHours": TRUTH,
    "price": NUMBER, "size": NUMBER, "bidPrice": NUMBER_OR_NONE, "askPrice": NUMBER_OR_NONE,
}  # fmt: skip
_ORDER = tuple(_KINDS)
_INTS, _NUMBERS = slots_of(_KINDS, _ORDER)
_SIDES = {"BUY": 1, "SELL": -1, "UNDEFINED": 0}
_TYPES = {"NEW": 0, "CORRECTION": 1, "CANCEL": 2}
_ABSENT = {
    "index": -1,
    "time": -1,
    "timeNanoPart": 0,
    "aggressorSide": 0,
    "type": 0,
    "validTick": 1,
    "spreadLeg": 0,
    "extendedTradingHours": 0,
}
_NEEDED = ("eventSymbol", "price", "size")
_SYMBOL, _INDEX, _TIME, _NANOS, _SIDE, _TYPE, _VALID, _LEG, _EXTENDED = (_INTS[name] for name in _ORDER[:9])
_PRICE, _SIZE, _BID, _ASK = (_NUMBERS[name] for name in _ORDER[9:])
_RECEIVED, _MESSAGE = 0, 1
_DTYPES = tuple((name, np.dtype(kind)) for name, kind in COLUMNS.items())
_FIRST_MS, _LAST_MS = (
    1_356_998_400_000,
    2_082_758_400_000,
)  # 2013 to 2035, what the session tables cover; dxFeed's end-of-snapshot row says 2038
_KEPT_ROWS = 1 << 16  # the scanner's columns are used again unless a snapshot made them larger than this (8 MB)
_TICK_LIMIT, _LOT_LIMIT = float(2**31 - 1), float(2**53)


@kernel
def _to_trades(
    ints: Any, numbers: Any, n: int, symbol: int, tick_up: float, tick_down: float, step_up: float, step_down: float,
    time: Any, received: Any, indices: Any, ticks: Any, whole_lots: Any, prices: Any, sizes: Any, bid: Any, ask: Any,
    side: Any, source: Any, action: Any, flags: Any,
) -> Any:  # fmt: skip
    """One contract's rows as trade columns. Returns how many, and how many rows are none: their numbers go where those of the messages were."""
    m = wrong = np.uint64(0)
    for i in range(np.uint64(n)):
        if ints[_SYMBOL, i] != symbol:
            continue
        index, ms = ints[_INDEX, i], ints[_TIME, i]
        if ms < 0 and index >= 0:
            ms = (index >> 32) * 1000 + ((index >> 22) & 0x3FF)
        price, size = numbers[_PRICE, i], numbers[_SIZE, i]
        steps, lots = price * tick_down / tick_up, size * step_down / step_up
        if ints[_TYPE, i] == 2:  # a cancel names the trade by its index; what else it carries does not matter
            steps, lots = (steps if abs(steps) < _TICK_LIMIT else 0.0), (lots if 0 <= lots < _LOT_LIMIT else 0.0)
        nanos = ints[_NANOS, i]
        if not (_FIRST_MS <= ms < _LAST_MS and 0 <= nanos < 1_000_000 and abs(steps) < _TICK_LIMIT and 0 <= lots < _LOT_LIMIT):
            ints[_MESSAGE, wrong] = np.int64(i)  # wrong <= i: no row is lost that is still to be read
            wrong += np.uint64(1)
            continue
        time[m], received[m], indices[m] = ms * 1_000_000 + nanos, ints[_RECEIVED, i], index
        ticks[m], whole_lots[m] = np.rint(steps), np.rint(lots)
        prices[m], sizes[m], bid[m], ask[m] = price, size, numbers[_BID, i], numbers[_ASK, i]
        side[m], action[m] = ints[_SIDE, i], ints[_TYPE, i]
        source[m] = 0 if ints[_SIDE, i] != 0 else 3
        flags[m] = (
            (ints[_VALID, i] != 0)
            | (ints[_LEG, i] << 1)
            | (ints[_EXTENDED, i] << 2)
            | ((abs(steps - np.rint(steps)) > OFF_STEP_TOLERANCE) << 3)
            | ((abs(lots - np.rint(lots)) > OFF_STEP_TOLERANCE) << 4)
        )
        m += np.uint64(1)
    return np.int64(m), np.int64(wrong)


assert (TradeFlag.VALID_TICK, TradeFlag.SPREAD_LEG, TradeFlag.EXTENDED_HOURS, TradeFlag.OFF_TICK, TradeFlag.OFF_STEP) == (1, 2, 4, 8, 16)
assert (SideSource.EXCHANGE, SideSource.NONE) == (0, 3)


class TradeDecoder:
    """FEED_DATA messages of TimeAndSale to TradeBatches, one per contract present. A row that is no readable trade is counted and kept, never skipped.

    rejected  rows that could not be read      rejects  the latest of them, raw, with the reason
    """

    def __init__(self) -> None:
        self.rejected = 0
        self.rejects: deque[str] = deque(maxlen=20)
        self._contracts: list[Contract] = []
        self._ratios: list[tuple[float, float, float, float]] = []
        self._codes: dict[str, int] = {}
        self._layouts: dict[tuple[str, ...], tuple[Layout | None, int, list[str]]] = {}
        self._ints, self._numbers = _scratch(64)

    def watch(self, contract: Contract) -> None:
        """Accept rows of this contract's streamer symbol from now on."""
        if contract.streamer_symbol not in self._codes:
            self._codes[contract.streamer_symbol] = len(self._contracts)
            self._contracts.append(contract)
            up, down, step_up, step_down = map(float, (*contract.tick_ratio, *contract.step_ratio))
            self._ratios.append((up, down, step_up, step_down))
            self._layouts.clear()

    def fetched(self, contract: Contract, raw: bytes, fields_of: Callable[[str], Sequence[str]]) -> TradeBatch:
        """The trades of a contract in a message made of a snapshot: marked BACKFILL, and received at no time."""
        batches = self.decode([raw], [0], fields_of)
        batch = TradeBatch.concat(batches) if batches else TradeBatch(contract, {"time_ns": [], "price": [], "size": []})
        return batch.replace(flags=batch.flags | np.uint16(TradeFlag.BACKFILL))

    def decode(self, raws: Sequence[bytes], received_ns: Sequence[int], fields_of: Callable[[str], Sequence[str]]) -> list[TradeBatch]:
        """The trades of several messages, in order. `fields_of` gives the announced columns of an event type."""
        layout, width, absent = self._layout(fields_of)
        received = np.array(received_ns, np.int64)
        together = joined(raws)
        room = len(together[0]) // max(2 * width, 2) + 2
        if room > self._ints.shape[1]:
            self._ints, self._numbers = _scratch(2 * room)
        n = at = 0
        while at < len(raws):
            if layout is not None:
                start = n
                n, at = scan_joined(layout, together, received, at, self._ints, self._numbers, n)
                for name in absent:
                    if name in _INTS:
                        self._ints[_INTS[name], start:n] = _ABSENT[name]
                    else:
                        self._numbers[_NUMBERS[name], start:n] = math.nan
            if at < len(raws):
                values = self._read(raws[at], fields_of)
                if n + len(values) > self._ints.shape[1]:
                    more = n + len(values) + room
                    self._ints, self._numbers = _grown(self._ints, more), _grown(self._numbers, more)
                for value in values:
                    self._ints[2:, n], self._numbers[:, n] = value
                    self._ints[_RECEIVED, n], self._ints[_MESSAGE, n] = received[at], at
                    n += 1
                at += 1
        batches = self._batches(n)
        if self._ints.shape[1] > _KEPT_ROWS:
            self._ints, self._numbers = _scratch(64)
        return batches

    def _batches(self, n: int) -> list[TradeBatch]:
        ints, numbers, batches = self._ints, self._numbers, []
        present = [n] if len(self._contracts) == 1 else np.bincount(ints[_SYMBOL, :n]).tolist()
        for code, rows in enumerate(present):
            if rows == 0:
                continue
            contract = self._contracts[code]
            columns = {name: np.empty(rows, kind) for name, kind in _DTYPES}
            m, wrong = _to_trades(ints, numbers, n, code, *self._ratios[code], *columns.values())
            for row in ints[_MESSAGE, :wrong].tolist() if wrong else ():
                shown = {name: ints[at, row].item() for name, at in _INTS.items()} | {name: numbers[at, row].item() for name, at in _NUMBERS.items()}
                self._reject({**shown, "eventSymbol": contract.streamer_symbol}, "time, price or size is out of range")
            if m < rows:
                columns = {name: column[:m] for name, column in columns.items()}
            if m:
                batches.append(TradeBatch.of(contract, columns))
        return batches

    def _layout(self, fields_of: Callable[[str], Sequence[str]]) -> tuple[Layout | None, int, list[str]]:
        """How to scan, where it can be scanned; the count of columns; and those of ours that are not sent."""
        try:
            fields = tuple(fields_of(TIME_AND_SALE))
        except ProtocolViolation:
            return None, 0, []  # FULL rows name their own columns
        if fields not in self._layouts:
            words = {"eventSymbol": self._codes, "aggressorSide": _SIDES, "type": _TYPES}
            readable = all(name in fields for name in _NEEDED) and ("index" in fields or "time" in fields)
            layout = Layout.of(TIME_AND_SALE, fields, _KINDS, words, _ORDER) if readable else None
            self._layouts[fields] = layout, len(fields), [name for name in _ORDER if name not in fields]
        return self._layouts[fields]

    def _read(self, raw: bytes, fields_of: Callable[[str], Sequence[str]]) -> list[tuple[list[int], list[float]]]:
        """The long way: a message with anything unusual in it, row by row."""
        values = []
        try:
            events = decode(FeedData(0, raw), fields_of)
        except (ProtocolViolation, RecursionError) as violation:
            self._reject(raw, str(violation))
            return []
        for event_type, rows in events:
            for row in rows:
                try:
                    if event_type != TIME_AND_SALE:
                        raise ValueError(f"event {event_type!r} on the channel of {TIME_AND_SALE}")
                    values.append(_row_values(row, self._codes))
                except (ValueError, RecursionError) as error:
                    self._reject(row, str(error))
        return values

    def _reject(self, row: Mapping[str, object] | bytes, reason: str) -> None:
        self.rejected += 1
        raw = row if isinstance(row, bytes) else _as_json(row)
        self.rejects.append(f"{reason}: {raw[:400].decode('utf-8', 'replace')}")


def _row_values(row: Row, codes: Mapping[str, int]) -> tuple[list[int], list[float]]:
    symbol, side, kind = row.get("eventSymbol"), row.get("aggressorSide"), row.get("type")
    if not isinstance(symbol, str) or symbol not in codes:
        raise ValueError(f"symbol {shown(symbol)} is not subscribed")
    if kind is not None and (not isinstance(kind, str) or kind not in _TYPES):
        raise ValueError(f"type {shown(kind)} is none of {', '.join(_TYPES)}")
    index, time = _whole(row.get("index"), "index"), _whole(row.get("time"), "time")
    if index < 0 and time < 0:
        raise ValueError("neither index nor time is there")
    if index >= 0 and time < 0:
        time = time_of(index)[0]
    ints = [
        codes[symbol], index, time, _whole(row.get("timeNanoPart"), "timeNanoPart", 0),
        _SIDES.get(side, 0) if isinstance(side, str) else 0, _TYPES[kind] if kind is not None else 0,
        int(row.get("validTick") not in (False, "false")), int(row.get("spreadLeg") in (True, "true")),
        int(row.get("extendedTradingHours") in (True, "true")),
    ]  # fmt: skip
    price, size = _real(row.get("price")), _real(row.get("size"))
    if kind != "CANCEL" and not (math.isfinite(price) and math.isfinite(size)):
        raise ValueError("no price" if not math.isfinite(price) else "no size")
    return ints, [price, size, _real(row.get("bidPrice")), _real(row.get("askPrice"))]


def _whole(value: object, name: str, absent: int = -1) -> int:
    """An integer that may come as text or as a float without a fraction; `absent` where it is not there."""
    if value is None or value == "NaN":
        return absent
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise ValueError(f"{name} {shown(value)} is no 64-bit integer")


def _real(value: object) -> float:
    """A number that may come as text; NaN where it is not there or not finite."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) and "_" not in str(value) else math.nan
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _as_json(row: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:  # nested deeper than can be written
        return str({name: type(value).__name__ if isinstance(value, list | dict) else value for name, value in row.items()}).encode()


def _scratch(room: int) -> tuple[Array, Array]:
    """The scanner's columns for so many rows."""
    return np.empty((len(_INTS) + 2, room), np.int64), np.empty((len(_NUMBERS), room))


def _grown(columns: Array, room: int) -> Array:
    wider = np.empty((len(columns), room), columns.dtype)
    wider[:, : columns.shape[1]] = columns
    return wider
