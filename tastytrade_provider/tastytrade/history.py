"""History over the stream: bars from Candle events, trades from TimeAndSale with a fromTime, bars of any kind from trades."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..bars import build_bars
from ..dxlink.messages import Subscription as Item
from ..dxlink.messages import feed_data
from ..dxlink.rows import Row, encode_compact
from ..errors import NoData, UnsupportedTimeframe, UsageError
from ..model import Contract, Timeframe, TradeBatch, TradeFlag
from ..provider import Time, time_ns
from ..sessions import FIRST_YEAR, session_at, sessions_between
from . import candles
from .intake import Intake
from .mapping import FIELDS, TIME_AND_SALE, TradeDecoder
from .snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd

Ask = Callable[[str, Sequence[str], Item], Awaitable[Snapshot]]


class Refill(NamedTuple):
    """Trades from a time on, marked BACKFILL; where the feed cut them off (UTC ns, None: whole); and their rows as one message, for a journal."""

    batch: TradeBatch
    cut_ns: int | None
    raw: bytes | None


class History:
    """Bars and trades of the past. `ask` gathers one snapshot: (event type, columns, what) -> Snapshot.

    counts  what became of the candles read so far
    signs   streamer symbol -> what the comparison of candles with the trades of the same minutes last said

    `minutes` gives the minutes whose trades are known of a contract, so that the split of one-minute candles is compared wherever both are there. Where
    they contradict each other, candles of that contract are served without a split from then on.
    """

    def __init__(self, ask: Ask, make_intake: Callable[[], Intake], minutes: Callable[[Contract], Mapping[int, tuple[float, float, float]]]) -> None:
        self.counts = candles.CandleCounts()
        self.signs: dict[str, candles.SignCheck] = {}
        self._ask, self._make_intake, self._minutes = ask, make_intake, minutes

    async def bars(self, contract: Contract, timeframe: str, start: Time, end: Time, hours: str, now_ns: int) -> pd.DataFrame:
        """The bars frame of [start, end) by bar start; `start` None: the session of `now_ns`, `end` None: now.

        From candles: time bars, and bars of trades and volume where the feed serves them. Otherwise from the feed's trades, as are range bars.
        attrs: `ended_by` says how the history ended (see Snapshot), `start_was_cut` that the feed does not go back to `start`.
        """
        wanted = Timeframe.parse(timeframe)
        start_ns, end_ns = asked_range(contract, start, end, now_ns)
        if wanted.unit == "r":
            return await self._from_trades(contract, wanted, start_ns, end_ns, hours)
        symbol = candles.candle_symbol(contract.streamer_symbol, wanted)
        item = Item(candles.CANDLE, symbol, from_time_ms=candles.from_time_ms(contract, wanted, start_ns))
        snapshot = await self._ask(candles.CANDLE, candles.FIELDS, item)
        rows = snapshot.rows()
        found = candles.frame(rows, contract, wanted, start_ns, end_ns, hours, counts=self.counts)
        self._check_sign(contract, wanted, rows)
        if found.empty and not wanted.is_time:
            return await self._from_trades(contract, wanted, start_ns, end_ns, hours)
        if found.empty and was_open(contract, start_ns, end_ns, hours):
            raise NoData(f"TastyTrade has no {wanted} bars of {contract.symbol} from {_text(start_ns)} to {_text(end_ns)}, while the market was open")
        if self.sign_of(contract) is candles.Verdict.CONTRADICTS:
            self.counts.split_refused += int(found["buy_volume"].notna().sum())
            found = candles.without_split(found)
        found.attrs |= {"ended_by": snapshot.ended_by, "start_was_cut": snapshot.start_was_cut}
        return found

    async def earliest(self, contract: Contract, timeframe: str, now_ns: int) -> pd.Timestamp:
        """The start of the first bar the feed has: the first of all it gives when asked from before it can have any. NoData where it has none."""
        found = await self.bars(contract, timeframe, f"{FIRST_YEAR}-01-02T00:00:00Z", None, "eth", now_ns)
        first: pd.Timestamp = found.index[0]
        return first

    def sign_of(self, contract: Contract) -> candles.Verdict:
        """What the trades say about the split of a contract's candles."""
        known = self.signs.get(contract.streamer_symbol)
        return candles.Verdict.INCONCLUSIVE if known is None else known.verdict

    def _check_sign(self, contract: Contract, timeframe: Timeframe, rows: Sequence[Row]) -> None:
        if str(timeframe) == "1m" and (minutes := self._minutes(contract)):
            check = candles.sign_check(rows, minutes)
            if check.verdict is not candles.Verdict.INCONCLUSIVE:
                self.signs[contract.streamer_symbol] = check

    async def trades(self, contract: Contract, start: Time, end: Time, now_ns: int) -> TradeBatch:
        """The trades of [start, end), oldest first. NoData where the feed's history of trades does not go back to `start`, saying to where it does."""
        start_ns, end_ns = asked_range(contract, start, end, now_ns)
        batch, cut_ns, _ = await self.refill(contract, start_ns)
        if cut_ns is not None:
            raise NoData(f"TastyTrade's trades of {contract.symbol} go back to {_text(cut_ns)} only; ask from there, or for bars")
        if len(batch) == 0 and was_open(contract, start_ns, now_ns, "eth"):
            raise NoData(f"TastyTrade has no trades of {contract.symbol} from {_text(start_ns)} on, while the market was open; bars may be had")
        batch = self._make_intake().take_snapshot(batch) or batch[:0]
        return batch[(batch.time_ns >= start_ns) & (batch.time_ns < end_ns)]

    async def refill(self, contract: Contract, start_ns: int) -> Refill:
        """Trades as sent from a time on."""
        snapshot = await self._ask(TIME_AND_SALE, FIELDS, Item(TIME_AND_SALE, contract.streamer_symbol, from_time_ms=start_ns // 1_000_000))
        batch, raw = _batch(contract, snapshot.rows())
        whole = snapshot.ended_by in ("flag", "empty") and not snapshot.rejected
        first_ms = snapshot.first_time_ms
        cut_ns = start_ns + 1 if first_ms is None else (first_ms + 1) * 1_000_000 - 1  # others of the same millisecond may have been cut off
        return Refill(batch, None if whole else cut_ns, raw)

    async def _from_trades(self, contract: Contract, timeframe: Timeframe, start_ns: int, end_ns: int, hours: str) -> pd.DataFrame:
        if hours != "eth":
            raise UnsupportedTimeframe(f"timeframe '{timeframe}' has no regular hours only; time bars have")
        opened_ns = session_at(contract.calendar, start_ns).open_ns  # bars of trades are counted from the session's open
        batch, cut_ns, _ = await self.refill(contract, opened_ns)
        if cut_ns is not None:
            raise UnsupportedTimeframe(
                f"timeframe '{timeframe}' from {_text(start_ns)} needs every trade since the session's open, and TastyTrade's go back to {_text(cut_ns)} only"
            )
        found = build_bars(self._make_intake().take_snapshot(batch) or batch[:0], timeframe, contract)
        starts = found.index.to_numpy("M8[ns]").astype(np.int64)
        return found.loc[(starts >= start_ns) & (starts < end_ns)]


def asked_range(contract: Contract, start: Time, end: Time, now_ns: int) -> tuple[int, int]:
    """UTC ns of [start, end); `start` None: the session of `now_ns`, `end` None: now. UsageError for a time without a zone, or where nothing lies between."""
    end_ns = now_ns if end is None else time_ns(end, "end")
    start_ns = session_at(contract.calendar, min(now_ns, end_ns)).open_ns if start is None else time_ns(start, "start")
    if start_ns >= end_ns:
        raise UsageError(f"start {_text(start_ns)} is not before end {_text(end_ns)}")
    return start_ns, end_ns


def was_open(contract: Contract, start_ns: int, end_ns: int, hours: str) -> bool:
    """Whether the market traded at some time in [start_ns, end_ns), so that there should be something."""
    table = sessions_between(contract.calendar, start_ns, end_ns)
    opened, closed = (table.open_ns, table.close_ns) if hours == "eth" else (table.rth_open_ns, table.rth_close_ns)
    return bool(((opened >= 0) & (opened < end_ns) & (closed > start_ns)).any())


def _batch(contract: Contract, rows: Sequence[Row]) -> tuple[TradeBatch, bytes | None]:
    """Rows of a snapshot through the decoder of the live feed, so that there is one reading of a trade."""
    decoder = TradeDecoder()
    decoder.watch(contract)
    raw = feed_data(1, encode_compact(TIME_AND_SALE, FIELDS, rows)).raw if rows else None
    batches = decoder.decode([raw], [0], lambda _: FIELDS) if raw is not None else []
    if not batches:
        return TradeBatch(contract, {"time_ns": [], "price": [], "size": []}), raw
    return batches[0].replace(flags=batches[0].flags | np.uint16(TradeFlag.BACKFILL)), raw


def _text(time: int) -> str:
    return f"{np.datetime64(time, 'ns').astype('M8[s]')}Z"
