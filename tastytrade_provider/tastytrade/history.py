"""History over the stream: bars from Candle events, trades from TimeAndSale with a fromTime, bars of any kind from trades."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..bars import build_bars
from ..dxlink.messages import Subscription as Item
from ..dxlink.messages import feed_data
from ..dxlink.rows import Row, encode_compact
from ..errors import ConnectionLost, FeedError, NoData, UnsupportedTimeframe, UsageError
from ..model import Contract, Timeframe, TradeBatch
from ..provider import Time, time_ns
from ..sessions import FIRST_YEAR, session_at, sessions_between
from . import candles
from .intake import Intake
from .leaning import lean_check
from .mapping import FIELDS, TIME_AND_SALE, TradeDecoder
from .reach import OPENING_NS, Reach, is_late, open_ns, witness
from .reach import reach as reach_of
from .recorded import FOREVER, joined
from .recording import Recording
from .snapshot import Snapshot, index_in

if TYPE_CHECKING:
    import pandas as pd

_ASIDE_S = 5.0  # how long an answer may wait for what only helps to judge it
_MINUTE = Timeframe.parse("1m")

Ask = Callable[[str, Sequence[str], Item], Awaitable[Snapshot]]
KnownMinutes = Callable[[Contract], Mapping[int, tuple[float, float, float]]]
"""A contract -> start of the minute (UTC ns) -> bought, sold and unknown volume in contracts."""


class Refill(NamedTuple):
    """Trades from a time on, marked BACKFILL; where they are cut off (UTC ns, None: whole); and the rows of the feed as one message, for a journal.

    reach  UNKNOWN where the first one comes late, and nothing tells whether there were any before
    """

    batch: TradeBatch
    cut_ns: int | None
    raw: bytes
    reach: Reach = Reach.WHOLE


class History:
    """Bars and trades of the past. `ask` gathers one snapshot: (event type, columns, what) -> Snapshot.

    counts  what became of the candles read so far; `rejected` and `rejects` also of trades
    signs   streamer symbol -> what the comparison of candles with the trades of the same minutes last said
    in_doubt   streamer symbols whose trades, as fetched last, may lack some before the first: nothing tells that there were none

    `minutes` gives the minutes whose trades are known of a contract, so that the split of one-minute candles is compared wherever both are there. Where
    they contradict each other, candles of that contract are served without a split from then on. `inferred` gives those of trades whose sides were
    inferred. `recording` has the journal, which is asked for trades where the feed does not go back far enough. `note` is told, in
    a sentence, what a user should know.
    """

    def __init__(
        self,
        ask: Ask,
        make_intake: Callable[[], Intake],
        minutes: KnownMinutes,
        inferred: KnownMinutes = lambda _: {},
        recording: Callable[[], Recording | None] = lambda: None,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.counts = candles.CandleCounts()
        self.signs: dict[str, candles.SignCheck] = {}
        self.in_doubt: set[str] = set()
        self._ask, self._make_intake, self._minutes, self._inferred, self._recording = ask, make_intake, minutes, inferred, recording
        self._note = note
        self.begins_ns = 0  # where a market that is played begins: nothing was before
        self._compared: dict[str, int] = {}  # streamer symbol -> how many minutes were compared without a verdict

    async def bars(self, contract: Contract, timeframe: str, start: Time, end: Time, hours: str, now_ns: int) -> pd.DataFrame:
        """The bars frame of [start, end) by bar start; `start` None: the session of `now_ns`, `end` None: now.

        From candles: time bars, and bars of trades and volume where the feed serves them. Otherwise from the feed's trades, as are range bars.
        attrs: `ended_by` says how the history ended (see Snapshot), `start_was_cut` that the feed does not go back to `start`: it says so, or its
        first bar comes late, and not because nobody traded (see `reach`); of candles also `counts`, what was left out or refused (see `CandleCounts`).
        """
        wanted = Timeframe.parse(timeframe)
        start_ns, end_ns = asked_range(contract, start, end, now_ns)
        if wanted.unit == "r":
            return await self._from_trades(contract, wanted, start_ns, end_ns, hours)
        symbol = candles.candle_symbol(contract.streamer_symbol, wanted)
        item = Item(candles.CANDLE, symbol, from_time_ms=candles.from_time_ms(contract, wanted, start_ns))
        snapshot = await self._ask(candles.CANDLE, candles.FIELDS, item)
        rows = snapshot.rows()
        counts = candles.CandleCounts(rejected=snapshot.rejected, rejects=snapshot.rejects)
        try:
            found = candles.frame(rows, contract, wanted, start_ns, end_ns, hours, counts=counts)
        finally:
            self.counts.add(counts)
        self.check_sign(contract, wanted, rows)
        if found.empty and not wanted.is_time:
            return await self._from_trades(contract, wanted, start_ns, end_ns, hours)
        if found.empty and was_open(contract, start_ns, end_ns, hours):
            raise NoData(f"TastyTrade has no {wanted} bars of {contract.symbol} from {_text(start_ns)} to {_text(end_ns)}, while the market was open")
        if found["buy_volume"].notna().any():
            await self._compare(contract)
        told = int(found["buy_volume"].notna().sum())
        found = self.split(contract, found)
        counts.split_refused += told - int(found["buy_volume"].notna().sum())
        reach = Reach.CUT if snapshot.start_was_cut else Reach.WHOLE
        if reach is Reach.WHOLE and len(found):
            reach = await self._reach(contract, wanted, start_ns, found.index[0].value, now_ns, hours)
        if reach is not Reach.WHOLE and not wanted.is_time:
            found.loc[found.index[0], "complete"] = False
        found.attrs |= {"ended_by": snapshot.ended_by, "start_was_cut": reach is not Reach.WHOLE, "counts": counts.numbers}
        return found

    def split(self, contract: Contract, found: pd.DataFrame) -> pd.DataFrame:
        """A bars frame of candles, without bought and sold volume where trades contradict it."""
        if self.sign_of(contract) is not candles.Verdict.CONTRADICTS:
            return found
        self.counts.split_refused += int(found["buy_volume"].notna().sum())
        return candles.without_split(found)

    async def earliest(self, contract: Contract, timeframe: str, now_ns: int) -> pd.Timestamp:
        """The start of the first bar the feed has: the first of all it gives when asked from before it can have any. NoData where it has none."""
        found = await self.bars(contract, timeframe, f"{FIRST_YEAR}-01-02T00:00:00Z", None, "eth", now_ns)
        first: pd.Timestamp = found.index[0]
        return first

    def sign_of(self, contract: Contract) -> candles.Verdict:
        """What the trades say about the split of a contract's candles."""
        known = self.signs.get(contract.streamer_symbol)
        return candles.Verdict.INCONCLUSIVE if known is None else known.verdict

    def check_sign(self, contract: Contract, timeframe: Timeframe, rows: Sequence[Row]) -> None:
        """Compare one-minute candles with the trades of the same minutes: those the exchange told, or, before any of them decided, the inferred ones."""
        if str(timeframe) != "1m":
            return
        symbol = contract.streamer_symbol
        if minutes := self._minutes(contract):
            check = candles.sign_check(rows, minutes)
            if check.verdict is not candles.Verdict.INCONCLUSIVE:
                self._decide(contract, check)
        if symbol not in self.signs and (inferred := self._inferred(contract)):
            check = lean_check(rows, inferred)
            if check.verdict is not candles.Verdict.INCONCLUSIVE:
                self._decide(contract, check)

    def _decide(self, contract: Contract, check: candles.SignCheck) -> None:
        self.signs[contract.streamer_symbol] = check
        if check.verdict is candles.Verdict.CONTRADICTS:
            self._note(f"candles of {contract.symbol} are served without bought and sold volume: the trades of the same minutes contradict their split")

    async def _compare(self, contract: Contract) -> None:
        """Fetch the one-minute candles of the minutes whose trades are known, where nothing has compared them: once, and again when twice as many are."""
        symbol = contract.streamer_symbol
        if self.sign_of(contract) is not candles.Verdict.INCONCLUSIVE:
            return
        minutes = self._minutes(contract) or self._inferred(contract)
        if minutes and len(minutes) >= 2 * self._compared.get(symbol, 0):
            rows = await self._aside(contract, _MINUTE, min(minutes))
            if rows is not None:
                self._compared[symbol] = len(minutes)
                self.check_sign(contract, _MINUTE, rows)

    async def _aside(self, contract: Contract, timeframe: Timeframe, start_ns: int) -> list[Row] | None:
        """Candles that only help to judge something else; None where they do not come soon."""
        from_time_ms = candles.from_time_ms(contract, timeframe, max(start_ns, 0))
        item = Item(candles.CANDLE, candles.candle_symbol(contract.streamer_symbol, timeframe), from_time_ms=from_time_ms)
        try:
            async with asyncio.timeout(_ASIDE_S):
                return (await self._ask(candles.CANDLE, candles.FIELDS, item)).rows()
        except (FeedError, TimeoutError):
            return None

    async def trades(self, contract: Contract, start: Time, end: Time, now_ns: int, intake: Intake | None = None) -> TradeBatch:
        """The trades of [start, end), oldest first, as `intake` (None: a new one) takes them. NoData where neither the feed's history of trades nor the
        journal goes back to `start`, saying to where they do."""
        start_ns, end_ns = asked_range(contract, start, end, now_ns)
        start_ns = max(start_ns, self.begins_ns) if self.begins_ns < end_ns else start_ns
        until_ns = FOREVER if end is None else end_ns  # the exchange's clock may be ahead of ours
        found = await self.refill(contract, start_ns, until_ns)
        batch, cut_ns = found.batch, found.cut_ns
        first_ns = int(batch.time_ns.min()) if len(batch) else None
        self.in_doubt.discard(contract.streamer_symbol)
        if cut_ns is None and found.reach is Reach.UNKNOWN and first_ns is not None:
            if open_ns(contract, start_ns, session_at(contract.calendar, first_ns).open_ns):
                cut_ns = first_ns  # a session without a trade, and nothing to show that it had none
            else:
                self.in_doubt.add(contract.streamer_symbol)
                self._note(f"trades of {contract.symbol}, asked for from {_text(start_ns)}, begin at {_text(first_ns)}; whether any were before is not known")
        if cut_ns is not None:
            raise NoData(f"{self._whose} trades of {contract.symbol} go back to {_text(cut_ns)} only; ask from there, or for bars")
        is_asked = (batch.time_ns >= start_ns) & (batch.time_ns < until_ns)
        if not is_asked.any() and open_ns(contract, max(start_ns, session_at(contract.calendar, start_ns).open_ns + OPENING_NS), end_ns):
            raise NoData(f"TastyTrade has no trades of {contract.symbol} from {_text(start_ns)} to {_text(end_ns)}, while the market was open; bars may be had")
        batch = (intake or self._make_intake()).take_snapshot(batch) or batch[:0]
        return batch[(batch.time_ns >= start_ns) & (batch.time_ns < until_ns)]

    async def refill(self, contract: Contract, start_ns: int, end_ns: int | None = FOREVER) -> Refill:
        """Trades as sent from a time on; those of the journal before those of the feed, where the feed's do not go back so far and the two meet.

        `cut_ns` is where trades up to `end_ns` may be missing for the last time. Raises the feed's refusal where the journal cannot stand in. `end_ns` None:
        of the feed alone, as for an outage, of which a journal knows nothing.
        """
        refused: FeedError | None = None
        rows: list[Row] = []
        try:
            snapshot = await self._ask(TIME_AND_SALE, FIELDS, Item(TIME_AND_SALE, contract.streamer_symbol, from_time_ms=start_ns // 1_000_000))
            rows = snapshot.rows()
            whole = snapshot.ended_by in ("flag", "empty") and not snapshot.rejected
            first_ms = snapshot.first_time_ms
            cut_ns = start_ns + 1 if first_ms is None else (first_ms + 1) * 1_000_000 - 1  # others of the same millisecond may have been cut off
        except ConnectionLost:
            raise
        except FeedError as error:
            refused, whole, cut_ns = error, False, FOREVER
        batch, raw = _batch(contract, rows, self.counts)
        reach = Reach.WHOLE
        if whole and end_ns is not None and len(batch):
            reach = await self._reach(contract, None, start_ns, int(batch.time_ns.min()), int(batch.time_ns.max()))
            whole = reach is not Reach.CUT
        found = Refill(batch, None if whole else cut_ns, raw, reach)
        recording = self._recording()
        past = await recording.past(contract, start_ns) if recording is not None and end_ns is not None and (not whole or not rows) else None
        if recording is not None and end_ns is not None and past is not None:
            made = joined(past, batch, cut_ns if rows else FOREVER, start_ns, end_ns)
            if made.cut_ns is None or (rows and made.cut_ns < cut_ns):
                found = Refill(made.batch, made.cut_ns, raw)
            if made.filled and (missed := _without(rows, past.batch)):
                recording.fill(contract, made.filled, _message(missed))
        if refused is not None and found.cut_ns is not None:
            raise refused
        return found

    async def _from_trades(self, contract: Contract, timeframe: Timeframe, start_ns: int, end_ns: int, hours: str) -> pd.DataFrame:
        if hours != "eth":
            raise UnsupportedTimeframe(f"timeframe '{timeframe}' has no regular hours only; time bars have")
        opened_ns = session_at(contract.calendar, start_ns).open_ns  # bars of trades are counted from the session's open
        refill = await self.refill(contract, opened_ns, end_ns)
        if refill.cut_ns is not None:
            raise UnsupportedTimeframe(
                f"timeframe '{timeframe}' from {_text(start_ns)} needs every trade since the session's open, "
                f"and {self._whose} go back to {_text(refill.cut_ns)} only"
            )
        found = build_bars(self._make_intake().take_snapshot(refill.batch) or refill.batch[:0], timeframe, contract)
        starts = found.index.to_numpy("M8[ns]").astype(np.int64)
        is_asked = (starts >= start_ns) & (starts < end_ns)
        if not is_asked.any() and was_open(contract, start_ns, end_ns, hours):
            raise NoData(f"TastyTrade has no trades of {contract.symbol} for {timeframe} bars from {_text(start_ns)} to {_text(end_ns)}, with the market open")
        if refill.reach is not Reach.WHOLE:
            found.loc[found.index[0], "complete"] = False  # it, and what is counted from it, should have begun earlier
        found = found.loc[is_asked]
        found.attrs["start_was_cut"] = refill.reach is not Reach.WHOLE
        return found

    async def _reach(self, contract: Contract, timeframe: Timeframe | None, start_ns: int, first_ns: int, now_ns: int, hours: str = "eth") -> Reach:
        """Whether a history that begins at `first_ns` goes back to `start_ns`. Candles are asked where it is late."""
        if not is_late(contract, timeframe, start_ns, first_ns, hours):
            return Reach.WHOLE
        told = witness(start_ns, now_ns)
        rows = await self._aside(contract, told.timeframe, start_ns - told.before_ns)
        return Reach.UNKNOWN if rows is None else reach_of(rows, contract, told, start_ns, first_ns, hours)

    @property
    def _whose(self) -> str:
        recording = self._recording()
        return "TastyTrade's" if recording is None or recording.journal is None else "TastyTrade's and the journal's"


def asked_range(contract: Contract, start: Time, end: Time, now_ns: int) -> tuple[int, int]:
    """UTC ns of [start, end); `start` None: the session of `now_ns`, `end` None: now. UsageError for a time without a zone, or where nothing lies between."""
    end_ns = now_ns if end is None else time_ns(end, "end")
    start_ns = session_at(contract.calendar, min(now_ns, end_ns)).open_ns if start is None else time_ns(start, "start")
    if start_ns >= end_ns:
        clock = f" (this feed's clock stands at {_text(now_ns)})" if end is None else ""
        raise UsageError(f"start {_text(start_ns)} is not before end {_text(end_ns)}{clock}")
    return start_ns, end_ns


def was_open(contract: Contract, start_ns: int, end_ns: int, hours: str) -> bool:
    """Whether the market traded at some time in [start_ns, end_ns), so that there should be something."""
    table = sessions_between(contract.calendar, start_ns, end_ns)
    opened, closed = (table.open_ns, table.close_ns) if hours == "eth" else (table.rth_open_ns, table.rth_close_ns)
    return bool(((opened >= 0) & (opened < end_ns) & (closed > start_ns)).any())


def _batch(contract: Contract, rows: Sequence[Row], counts: candles.CandleCounts) -> tuple[TradeBatch, bytes]:
    """Rows of a snapshot through the decoder of the live feed, so that there is one reading of a trade. Those it cannot read are counted."""
    decoder, raw = TradeDecoder(), _message(rows)
    decoder.watch(contract)
    batch = decoder.fetched(contract, raw, lambda _: FIELDS)
    counts.rejected += decoder.rejected
    counts.rejects.extend(decoder.rejects)
    return batch, raw


def _message(rows: Sequence[Row]) -> bytes:
    return feed_data(0, encode_compact(TIME_AND_SALE, FIELDS, rows)).raw  # no channel of the feed's has that number


def _without(rows: Sequence[Row], known: TradeBatch) -> list[Row]:
    """The rows of trades that are not known."""
    indices = np.array([index_in(row) for row in rows], np.int64)
    return [row for row, is_known in zip(rows, np.isin(indices, known.index).tolist(), strict=True) if not is_known]


def _text(time: int) -> str:
    return f"{np.datetime64(time, 'ns').astype('M8[s]')}Z"
