"""One contract's line: who listens to its trades, what happens to them on the way, and what an outage may have cost. No clock: times are arguments."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from ..journal import Standing
from ..model import Action, Contract, Gap, Quote, Roll, TradeBatch
from ..provider import Subscription
from .ahead import TimeGuard
from .fallback import FallbackTrades
from .intake import Intake
from .minutes import Minutes
from .quotes import LastTrade
from .rung import Rung, Wanted

TradeSubscription = Subscription[TradeBatch | Gap | Roll]

_CLOCKED = 64  # so many trades say how far the exchange's clock is from ours
_QUICK_NS = 1_000_000_000  # even the quickest message may have taken this long


@dataclass(slots=True)
class Line:
    """Trades go in by `hear` and out to `listeners` by `put`. After `broke`, the next trade (or `silent`) tells the gap, once.

    Where the missing trades may be fetched, `hold` keeps the live ones back until `refill` brings those before them, or `release` gives up on it.
    While `rung` stands on a lesser source, trades come by `substitute` instead.

    A replay makes the same of what was recorded by `hear` and `substitute`; what a clock or an outage decided then, it is told by `stand`.
    """

    contract: Contract
    intake: Intake
    rung: Rung = field(default_factory=lambda: Rung("time_and_sale", 0.0))
    inferred: int = 0  # trades made of lesser events
    begun: int = 0  # how often they began anew: the volume before is no concern of theirs
    minutes: Minutes = field(default_factory=Minutes)  # what was handed over of TimeAndSale, by minute
    made: Minutes = field(default_factory=lambda: Minutes(trust_inferred=True))  # what was made of lesser events, by minute
    guard: TimeGuard = field(default_factory=TimeGuard)  # of what comes live
    fallback: FallbackTrades = field(init=False)
    listeners: list[TradeSubscription] = field(default_factory=list)
    _since_ns: int = 0  # our clock when somebody began to listen
    _last: tuple[int, int] | None = None  # exchange time and our clock of the newest trade since then
    _first_ns: int | None = None  # exchange time of the first trade since then: what was before it is not to be refilled
    _marked: tuple[int, int] | None = None  # `_last` as it was at `mark`
    _looked: tuple[int, int] | None = None  # `_last` as it was when `is_fed` was asked
    _is_broken: bool = False
    _held: list[TradeBatch | None] | None = None  # live trades behind a refill that is under way; None: another outage in between
    _reason: str = ""
    _ahead_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_CLOCKED))  # exchange time minus our clock, of the latest trades: the quicker, the more
    _spare: list[TradeBatch] = field(default_factory=list)  # trades made of lesser events, should TimeAndSale turn out not to come
    _made_ns: int = 0  # exchange time of the newest of those that count

    def __post_init__(self) -> None:
        self.fallback = FallbackTrades(self.contract, "tick_rule" if self.rung.source == "tick_rule" else "quote_trade")

    def join(self, listener: TradeSubscription, now_ns: int) -> bool:
        """Add a listener; True where it is the only one, so that the feed must be asked."""
        if not self.listeners:
            self._since_ns, self._first_ns, self._last, self._marked, self._is_broken = now_ns, None, None, None, False
            self._begin_anew()
            self._ahead_ns.clear()
        self.listeners.append(listener)
        return len(self.listeners) == 1

    def leave(self, listener: TradeSubscription) -> bool:
        """Remove a listener; True where it was the last one, so that the feed need not send any more."""
        if listener not in self.listeners:
            return False
        self.listeners.remove(listener)
        if not self.listeners:
            self._left()
        return not self.listeners

    def _left(self) -> None:
        """Nobody listens any more, nor waits for a refill."""
        self._is_broken, self._held = False, None
        self.minutes.pause()
        self.made.pause()

    @property
    def standing(self) -> Standing:
        """Where its trades come from, to be recorded."""
        return Standing(self.rung.wanted, self.rung.source, self.rung.listens and bool(self.listeners), self.begun, self.is_held, self._last)

    def stand(self, standing: Standing) -> list[TradeBatch | Gap]:
        """As it stood when it was recorded. What is to be handed over because of it."""
        if standing.begun != self.begun:
            self._break_off()
            self.begun = standing.begun
        if standing.wanted != self.rung.wanted:  # another recording, with another source configured
            self.rung = Rung(cast(Wanted, standing.wanted), 0.0)
            self.fallback.with_quotes = standing.wanted != "tick_rule"
        items = [] if standing.is_held else self.release()
        if standing.is_held:
            self._last = standing.last
        elif standing.last is None:  # somebody has just begun to listen
            self._first_ns = None
            self._last = self._last if self._is_broken else None
        if standing.is_held and self._held is None:
            self._is_broken, self._reason, self._held = True, "connection lost", []
        self.rung.put(standing.source, standing.listens)
        return items + (self.settle() if self.rung.is_inferred else [])

    def stop(self, reason: str) -> list[TradeBatch | Gap]:
        """A recording ends here: between its newest trade and the first of the next one, trades may be missing. What is to be handed over before that."""
        items = self.release()
        last_ns = self.last_time_ns
        self._last = self._last or ((last_ns, last_ns) if last_ns else None)
        self._is_broken, self._reason = self._last is not None, reason
        self._begin_anew()
        self.guard.start_over()
        return items

    def mend(self) -> None:
        """Somebody else has told the gap."""
        self._is_broken = False

    @property
    def last_time_ns(self) -> int:
        """Exchange time of the newest trade, 0 before the first."""
        return max(self.intake.last_time_ns, self._made_ns)

    def hear(self, decoded: TradeBatch, now_s: float) -> list[TradeBatch | Gap]:
        """TimeAndSale, as decoded. What is to be handed over because of it: see `take`. Where it takes over from a lesser source, that is only what the
        other has not told, behind a gap: of what happened between the two nobody knows."""
        batch = self.guard.admit(decoded)
        if batch is None:
            return []
        if self.rung.listens or self.rung.is_inferred:
            if self.rung.told(now_s) and self._last is not None:
                batch = batch[(batch.action != Action.NEW) | (batch.time_ns > self._last[0])]
                self.fall()
            self._begin_anew()
        return self.take(batch)

    def take(self, batch: TradeBatch) -> list[TradeBatch | Gap]:
        """What of a batch is to be handed over: nothing, the trades that count, or before them the gap that they end."""
        if self._held is not None:
            self._held.append(batch)
            return []
        taken = self.intake.take(batch)
        if taken is None:
            return []
        return self._passed(taken, self.intake.last_time_ns)

    def substitute(self, value: Quote | LastTrade, now_s: float) -> list[TradeBatch | Gap]:
        """A quote or a last trade. What is to be handed over because of it: nothing, as long as TimeAndSale may still come."""
        if isinstance(value, Quote):
            self.rung.quoted()
        batch = self.fallback.take([value])
        batch = None if batch is None else self.guard.admit(batch)
        if batch is None:
            return []
        self.rung.traded(now_s)
        self._spare.append(batch)
        return self.settle() if self.rung.is_inferred else []

    def is_fed(self) -> bool:
        """Whether trades came since this was last asked."""
        before, self._looked = self._looked, self._last
        return before is not self._last

    def settle(self) -> list[TradeBatch | Gap]:
        """The trades made of lesser events, now that they count; before the first of them the gap since TimeAndSale was heard."""
        spare, self._spare = self._spare, []
        items: list[TradeBatch | Gap] = []
        for batch in spare:
            self.inferred += len(batch)
            self.made.add(batch)
            self._made_ns = max(self._made_ns, int(batch.time_ns.max()))
            items += self._passed(batch, int(batch.time_ns.max()))
        return items

    def fall(self) -> None:
        """TimeAndSale does not tell what happens: from the last trade on, trades may be missing."""
        self._is_broken, self._reason = True, "no time_and_sale"

    def _break_off(self) -> None:
        if self._held:
            self._held.append(None)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """What Trade and Quote told up to now is of no use any more."""
        self.begun += 1
        self.fallback.broke()
        self._spare.clear()

    def _passed(self, batch: TradeBatch, last_time_ns: int) -> list[TradeBatch | Gap]:
        gap = self._ended_by(batch)
        if self._first_ns is None and (is_new := batch.action == Action.NEW).any():
            self._first_ns = int(batch.time_ns[is_new].min())
        # what is about an earlier trade is no measure of the exchange's clock
        if last_time_ns > self._last[0] if self._last is not None else bool((batch.action == Action.NEW).any()):
            self._last = last_time_ns, int(batch.received_ns[-1])
            self._ahead_ns.append(last_time_ns - self._last[1])
        return [batch] if gap is None else [gap, batch]

    def put(self, item: TradeBatch | Gap) -> bool:
        """Hand an item to every listener. True where one of them is full, and the feed should wait."""
        if isinstance(item, TradeBatch):
            self.minutes.add(item)
        elif not item.filled:
            self.minutes.doubt(item.start_ns, item.end_ns)
        for listener in tuple(self.listeners):
            listener.put(item)
        return any(listener.is_full for listener in self.listeners)

    def mark(self) -> None:
        """Two connections are about to stand beside each other."""
        self._marked = self._last

    def doubt(self) -> None:
        """The newest trade that surely has none missing before it is that at the mark, not the newest of all."""
        if self._held is None:
            self._last = self._marked

    def broke(self) -> None:
        """The connection is gone: from the newest trade on, trades may be missing."""
        self._is_broken, self._reason = bool(self.listeners), "connection lost"
        self._break_off()

    @property
    def whole_until_ns(self) -> int | None:
        """The exchange time up to which every trade has come since somebody listens, 0 where none has; None: up to now."""
        if not self.listeners or self._first_ns is None:
            return self.last_time_ns
        return (self._last[0] if self._last is not None else 0) if self._is_broken or self.is_held else None

    @property
    def is_held(self) -> bool:
        """True while live trades wait for a refill."""
        return self._held is not None

    @property
    def refill_from_ns(self) -> int | None:
        """The exchange time from which trades may be missing and can be asked for; None where none may, none came before, or the feed has no history."""
        return self._last[0] if self._is_broken and self._last is not None and not self.rung.is_inferred else None

    def hold(self) -> None:
        """After `broke`: keep live trades back from now on, if there is a place from which to fetch those before them."""
        if self.refill_from_ns is not None and self._held is None:
            self._held = []

    def release(self) -> list[TradeBatch | Gap]:
        """Hand over what was held, the gap before it as it is, and those between."""
        held, self._held = self._held or [], None
        items: list[TradeBatch | Gap] = []
        for batch in held:
            if batch is None:
                self._is_broken = True
            else:
                items += self.take(batch)
        return items

    def refill(self, batch: TradeBatch, cut_ns: int | None) -> list[TradeBatch | Gap]:
        """The missing trades, then what was held. Whole: a Gap marked filled comes behind them. Cut: the gap up to where they begin comes before them.

        `batch` begins before the outage. One without any trade of then is no history, and the gap stays. Times are compared by the millisecond: live, the
        rest of a time may not have been sent.
        """
        start_ns, held = self.refill_from_ns, [part for part in self._held or [] if part is not None]
        if start_ns is None or self._last is None or (cut_ns is None and not (batch.time_ns // 1_000_000 <= start_ns // 1_000_000).any()):
            return self.release()
        time_ns, seen_ns = self._last
        self._held, self._is_broken = None, False
        begun_ns = start_ns if cut_ns is None else max(cut_ns, start_ns)
        items: list[TradeBatch | Gap] = []
        if begun_ns > start_ns:
            items.append(Gap(self.contract, start_ns, begun_ns + 1, "connection lost"))
        end_ns = max([begun_ns, *(int(part.time_ns.min()) for part in held[:1])]) + 1
        fetched = self.intake.take_snapshot(batch[batch.time_ns >= (self._first_ns or 0)])
        if fetched is not None:
            items.append(fetched)
            end_ns = max(end_ns, int(fetched.time_ns.max()) + 1)
            self._last = self.intake.last_time_ns, self.intake.last_time_ns + seen_ns - time_ns  # when it would have been seen
        items.append(Gap(self.contract, begun_ns, end_ns, "connection lost", filled=True))
        return items + [item for part in held for item in self.take(part)]

    def silent(self, now_ns: int) -> Gap | None:
        """The gap where no trade came that could end it: up to what the exchange's clock may show now, which is a little more than the quickest of the latest
        trades say.
        """
        if not self._is_broken or self._held is not None:
            return None
        if self._last is None:
            return self._gap(self._since_ns, now_ns + _QUICK_NS)
        time_ns, seen_ns = self._last
        return self._gap(time_ns, now_ns + max(self._ahead_ns, default=time_ns - seen_ns) + _QUICK_NS)

    def end(self, error: Exception | None) -> None:
        """Nothing more comes."""
        for listener in tuple(self.listeners):
            listener.end(error)
        self.listeners.clear()
        self._left()

    def _ended_by(self, batch: TradeBatch) -> Gap | None:
        """The gap that the first later trade ends; a correction or a straggler from before it does not."""
        if not self._is_broken:
            return None
        start_ns = None if self._last is None else self._last[0]
        later = np.flatnonzero((batch.action == Action.NEW) & (batch.time_ns >= (start_ns or 0)))
        if len(later) == 0:
            return None
        first_ns, seen_ns = int(batch.time_ns[later[0]]), int(batch.received_ns[later[0]])
        if start_ns is None:
            start_ns = first_ns - max(seen_ns - self._since_ns, 0)
        return self._gap(start_ns, first_ns + 1)  # one of the same nanosecond may be missing too

    def _gap(self, start_ns: int, end_ns: int) -> Gap:
        self._is_broken = False
        return Gap(self.contract, start_ns, max(end_ns, start_ns + 1), self._reason)
