"""The trades of all contracts: who listens, what comes and from which source, and what an outage cost. The shell around `Line`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..dxlink.messages import Subscription as Item
from ..errors import ConnectionLost, MarketDataError, RequestTimeout
from ..model import Contract, Gap, Quote, Roll, TradeBatch
from ..provider import GapLog, Subscription
from ..sessions import session_at
from ..settings import TastytradeSettings
from .board import Board
from .dialogue import Columns, Dialogue
from .history import Refill
from .intake import Intake
from .ladder import Source, TickQuality
from .line import Line, TradeSubscription
from .mapping import TIME_AND_SALE, TradeDecoder
from .quotes import LastTrade
from .recording import Recording
from .rung import Rung, Wanted

_GAP_AFTER_S = 2.0  # without a trade this long after a reconnect, the gap is told by the clock
_REFILL_S = 10.0  # live trades wait this long for those an outage cost
_REFILL_AGAIN_S = 0.25
_REORDERED_NS = 60 * 10**9  # a refill begins so long before the last trade known
_TICK_S = 1.0


class Trades:
    """One `Line` per contract, over however many connections there are.

    dialogues  the connections now        refill     asks the feed's history: (contract, from UTC ns, None) -> what it has
    note       told in a sentence what happened
    wait       True: a slow consumer makes the feed wait, and silence means nothing
    """

    def __init__(
        self,
        settings: TastytradeSettings,
        rules: Any,
        dialogues: Callable[[], Sequence[Dialogue]],
        refill: Callable[[Contract, int, None], Awaitable[Refill]],
        note: Callable[[str], object],
        *,
        wait: bool,
    ) -> None:
        self.lines: dict[str, Line] = {}
        self.decoder = TradeDecoder()
        self.recording = Recording(self.lines, note)
        self.board = Board(self._substitute, self.recording.keep_ticker)
        self.gaps = GapLog()
        self.failed: deque[str] = deque(maxlen=20)
        self.lag_ms: float | None = None
        self._settings, self._rules, self._dialogues, self._refill_from, self._note, self._wait = settings, rules, dialogues, refill, note, wait
        self._quality: dict[str, TickQuality] = {}
        self._refills: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None

    # -- listeners

    def subscribe(self, contract: Contract) -> TradeSubscription:
        """A listener to a contract's trades."""
        line = self.lines.get(contract.streamer_symbol)
        if line is None:
            wanted: Wanted = "time_and_sale" if self._wait else self._settings.delta_source  # a tape waits, so its silence means nothing
            line = self.lines[contract.streamer_symbol] = Line(contract, Intake(**self._rules), Rung(wanted, _now_s()))
            self._quality[contract.streamer_symbol] = TickQuality(self._settings.invalid_ticks)
            self.decoder.watch(contract)
        listener: TradeSubscription = Subscription(contract, wait=self._wait, on_cancel=self._cancelled, on_room=self._room, on_failure=self.note_failure)
        is_first = line.join(listener, time.time_ns())
        if is_first:
            self.recording.watch(line, self._rules)
            line.rung.start_over(_now_s())
            self._listen(line)
        if not self.recording.is_ready:  # what comes is to be kept: it is asked for once it can be
            self.recording.open(self._recorded)
            return listener
        for dialogue in self._dialogues():
            if is_first and self.first_source == "time_and_sale":
                dialogue.ask_trades([Item(TIME_AND_SALE, contract.streamer_symbol)])
            if dialogue.grants("STREAM"):
                listener.grant()
        return listener

    def _recorded(self, failure: MarketDataError | None) -> None:
        """The journal is open, or cannot be: then nothing is subscribed."""
        if failure is not None:
            self.end(failure)
        for line in self.lines.values():
            if line.listeners:
                self.recording.watch(line, self._rules)
            line.rung.start_over(_now_s())
            self._listen(line)
        for dialogue in self._dialogues():
            dialogue.ask_trades(self.wanted())
            if dialogue.grants("STREAM"):
                self.grant()

    def grant(self) -> None:
        """The channel is open: those who waited for it need not any more, unless the journal is not."""
        for listener in self.listeners() if self.recording.is_ready else ():
            listener.grant()

    def wanted(self) -> list[Item]:
        """What the feed is to be asked for."""
        is_asked = self.first_source == "time_and_sale" and self.recording.is_ready
        return [Item(TIME_AND_SALE, symbol) for symbol, line in self.lines.items() if line.listeners and is_asked]

    def listeners(self) -> list[TradeSubscription]:
        """All of them."""
        return [listener for line in self.lines.values() for listener in line.listeners]

    def end(self, error: MarketDataError | None, symbols: Sequence[str] | None = None) -> None:
        """End the listeners of these streamer symbols, or all; what still waited for a refill is handed over first."""
        for symbol in list(self.lines) if symbols is None else symbols:
            if (line := self.lines.get(symbol)) is not None:
                items = line.release()
                self.recording.stand(line)
                self.hand_over(line, items)
                line.end(error)
                self._listen(line)

    def put(self, roll: Roll) -> None:
        """The front month has moved on: for those who listen to the old one."""
        line = self.lines.get(roll.old.streamer_symbol)
        for listener in tuple(line.listeners) if line is not None else ():
            listener.put(roll)

    def note_failure(self, error: Exception) -> None:
        """A callback raised."""
        self.failed.append(f"a callback raised {type(error).__name__}: {error}")

    def _cancelled(self, listener: TradeSubscription) -> None:
        symbol = listener.contract.streamer_symbol
        if self.lines[symbol].leave(listener):
            self._listen(self.lines[symbol])
            for dialogue in self._dialogues():
                dialogue.leave("STREAM", [Item(TIME_AND_SALE, symbol)])

    def _room(self) -> None:
        if self._wait and not any(listener.is_full for listener in self.listeners()):
            for dialogue in self._dialogues():
                dialogue.stream.resume()

    def _pause(self) -> None:
        for dialogue in self._dialogues():
            dialogue.stream.pause()

    # -- what comes

    def take(self, raws: Sequence[bytes], received_ns: Sequence[int], columns: Columns) -> bool:
        """Messages of trades. True where a listener is full, and the feed should wait."""
        is_full, changed = False, list[Line]()
        self.recording.keep(raws, received_ns, columns(TIME_AND_SALE))
        for decoded in self.decoder.decode(raws, received_ns, columns):
            line = self.lines[decoded.contract.streamer_symbol]
            self._quality[decoded.contract.streamer_symbol].add(decoded, received_ns[-1])
            was = line.rung.source, line.rung.listens
            items = line.hear(decoded, _now_s())
            if items and isinstance(items[-1], TradeBatch):
                self.lag_ms = (int(items[-1].received_ns[-1]) - int(items[-1].time_ns[-1])) / 1e6
            is_full |= self.hand_over(line, items, before_read=True)
            if was[0] != line.rung.source:
                self._note(f"{line.contract.symbol}: TimeAndSale comes; trades are those of the exchange again")
            if was != (line.rung.source, line.rung.listens):
                changed.append(line)
        for line in changed:
            self._listen(line)
        return is_full

    def hand_over(self, line: Line, items: Sequence[TradeBatch | Gap], *, before_read: bool = False) -> bool:
        """To the listeners, and what the journal cannot know from the messages alone to the journal. True where a listener is full."""
        is_full = False
        for item in items:
            if isinstance(item, Gap):
                self.gaps.add(item)
                self.recording.tell(item, before_read=before_read)
            else:
                self.recording.taken(item, before_read=before_read)
            is_full |= line.put(item)
        return is_full

    # -- outages

    def start(self) -> None:
        """The first connection stands."""
        if self.listeners() and not self.recording.is_ready:  # a try before this one failed, and closed the journal
            self.recording.open(self._recorded)
        self._tick(is_new=True)

    async def stop(self) -> None:
        """Nothing is done any more by itself."""
        refills = tuple(self._refills)
        for owned in (*refills, self._timer, self._ticking):
            if owned is not None:
                owned.cancel()
        await asyncio.gather(*refills, return_exceptions=True)

    def lost(self) -> None:
        """From now on trades may be missing."""
        for owned in (*self._refills, self._timer, self._ticking):
            if owned is not None:
                owned.cancel()
        for line in self.lines.values():
            line.broke()
            line.hold()  # before the stream is back: its first trade must not pass those it waits for
            self.recording.stand(line)

    def mark(self) -> None:
        """A second connection is about to be opened."""
        for line in self.lines.values():
            line.mark()

    def doubt(self) -> None:
        """What came since then may lack trades."""
        for line in self.lines.values():
            line.doubt()

    def back(self) -> None:
        """A connection stands again, with everything subscribed."""
        for line in self.lines.values():
            if line.is_held:
                task = asyncio.create_task(self._refill(line), name=f"refill {line.contract.symbol}")
                self._refills.add(task)
                task.add_done_callback(self._refills.discard)
        self._timer = asyncio.get_running_loop().call_later(_GAP_AFTER_S, self.tell_gaps)
        self._tick(is_new=True)

    def tell_gaps(self) -> None:
        """By the clock, where no trade came to end a gap."""
        for line in self.lines.values():
            gap = line.silent(time.time_ns())
            if gap is not None:
                self.hand_over(line, [gap])

    async def _refill(self, line: Line) -> None:
        """Fetch what an outage cost. The live trades wait behind it, at most `_REFILL_S`; in vain, the gap is told.

        Should the connection be lost again meanwhile, they go on waiting: the next refill begins where this one did.
        """
        start_ns = line.refill_from_ns
        if start_ns is None:  # nobody waits for it any more
            return
        try:
            async with asyncio.timeout(_REFILL_S):
                found = await self._missed(line, start_ns)
            now_ns = time.time_ns()
            items = line.refill(line.guard.within(found.batch, now_ns), found.cut_ns)
            self.recording.keep_refill(line, found.raw, now_ns, found.cut_ns)
        except ConnectionLost:
            return
        except Exception as error:  # whatever it was: trades held back for ever would be lost silently
            self._note(f"trades of {line.contract.symbol} could not be fetched after the reconnect: {error or 'no answer in time'}")
            gap = None if (items := line.release()) else line.silent(time.time_ns())
            self.recording.stand(line)
            items += [gap] if gap is not None else []
        if self.hand_over(line, items):
            self._pause()

    async def _missed(self, line: Line, start_ns: int) -> Refill:
        """What an outage cost, asked for until there is an answer. A little from before it too: the last messages may not have come in order. Where that has
        no trade, it is either no history, or all trades of that time were cancelled since: then the session's tell."""
        from_ns = start_ns - _REORDERED_NS
        while True:
            try:
                found = await self._refill_from(line.contract, from_ns, None)
                opened_ns = session_at(line.contract.calendar, start_ns).open_ns
                if found.cut_ns is not None or from_ns <= opened_ns or (found.batch.time_ns <= start_ns).any():
                    return found
                from_ns = opened_ns
            except RequestTimeout:  # the server closed the channel: perhaps all of them, then `_lost` ends this
                await asyncio.sleep(_REFILL_AGAIN_S)

    # -- the ladder of sources

    @property
    def first_source(self) -> Source:
        """Where trades come from as long as nothing else was seen."""
        return "time_and_sale" if self._settings.delta_source == "auto" else self._settings.delta_source

    def _tick(self, *, is_new: bool = False) -> None:
        """Once a second: does TimeAndSale tell what happens? `is_new`: the connection is."""
        now_s = _now_s()
        for line in self.lines.values():
            rung = line.rung
            if is_new or not line.listeners or not self.recording.is_ready or (line.is_fed() and not rung.is_inferred):
                rung.start_over(now_s)
            was = rung.source
            if not rung.advance(now_s):
                continue
            if rung.source != was:
                self._note(f"{line.contract.symbol}: no TimeAndSale came while the market traded; trades are made of {rung.source} now")
                if was == "time_and_sale":
                    line.fall()
                if self.hand_over(line, line.settle()):
                    self._pause()
            self._listen(line)
        if self._ticking is not None:
            self._ticking.cancel()
        self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _substitute(self, value: Quote | LastTrade) -> None:
        """A quote or last trade of a contract whose TimeAndSale is silent."""
        line = self.lines[value.contract.streamer_symbol]
        if self.hand_over(line, line.substitute(value, _now_s()), before_read=True):
            self._pause()

    def _listen(self, line: Line) -> None:
        """Ask for Trade and Quote, or do not any more, as the rung wants."""
        self.recording.stand(line)
        if line.rung.listens and line.listeners and self.recording.is_ready:
            wanted = self.board.watch(line.contract)
            for dialogue in self._dialogues():
                dialogue.ask_board(wanted)
        else:
            gone = self.board.unwatch(line.contract)
            for dialogue in self._dialogues():
                dialogue.leave("TICKER", gone)

    # -- what it says of itself

    def sources(self) -> str:
        """Where trades come from now."""
        return ", ".join(sorted({line.rung.source for line in self.lines.values() if line.listeners})) or self.first_source

    def counted(self) -> dict[str, Any]:
        """The counts of a ProviderStatus, over all contracts."""
        lines = list(self.lines.values())
        counts = [line.intake.counts for line in lines]
        sides, excluded = Counter[str](), Counter[str]()
        for line in lines:
            sides.update(line.intake.sides.counts)
            sides.update(line.fallback.sides.counts)
            excluded.update(line.intake.counts.excluded)
        names = ("duplicates", "orphans", "corrections", "cancels", "off_tick", "off_step")
        found: dict[str, Any] = {name: sum(getattr(one, name) for one in counts) for name in names}
        return found | {
            "rejected": self.decoder.rejected + sum(line.guard.rejected for line in lines),
            "rejects": (*self.decoder.rejects, *(text for line in lines for text in line.guard.rejects)),
            "trades": sum(one.trades for one in counts) + sum(line.inferred for line in lines),
            "sides": dict(sides), "excluded": dict(excluded), "lag_ms": self.lag_ms, "failed": tuple(self.failed), **self.gaps.status(),
            "delta_source": self.sources(),
        }  # fmt: skip

    def quality_notes(self) -> list[str]:
        """Contracts whose prints are mostly left out, and the switch that counts them."""
        notes = []
        for symbol, quality in self._quality.items():
            quality.advance(time.time_ns())
            if quality.note is not None and self.lines[symbol].listeners:
                notes.append(f"{self.lines[symbol].contract.symbol}: {quality.note}")
        return notes


def _now_s() -> float:
    return asyncio.get_running_loop().time()
