"""One contract watched: its trades go into every timeframe asked for, and what comes out goes to the hub."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..indicators import Indicator, Update
from ..model import Contract, Gap, Roll, TradeBatch
from ..pace import Pace
from ..sessions import session_at
from .counts import Counts, Histogram
from .feed import Feed, Row
from .hub import Hub, TopicName
from .recent import Item, Recent
from .resets import Resets
from .wire import gap_record, iso, number, record_of

_LATE_NS: Final = 250_000_000  # the clock closes a bar this long after its end: a trade under way does not make it a revision
_GAPS: Final = 100
_HALT_NS: Final = 60_000_000_000  # in a halt, how often to look whether the next session has begun


class Market:
    """A contract under the name it was asked for.

    name         as configured, "ES"            contract   what that is now
    feeds        by timeframe                   counts     of its trades
    covered_ns   exchange time from which every trade is in the feeds, None before the first
    problem      why there are no trades of it, in words
    """

    def __init__(
        self,
        name: str,
        contract: Contract,
        hub: Hub,
        resets: Resets,
        indicators: Callable[[Resets], Mapping[str, Indicator]],
        on_fault: Callable[[str, Exception], None],
        clock: Callable[[], int],
        pace: Pace | None,
    ) -> None:
        self.name, self.contract, self.resets = name, contract, resets
        self.feeds: dict[str, Feed] = {}
        self.counts = Counts()
        self.recent = Recent()
        self.gaps: deque[Gap] = deque(maxlen=_GAPS)
        self.gap_count = 0
        self.covered_ns: int | None = None
        self.problem: str | None = None
        self.delay = Histogram()
        self._hub, self._indicators, self._on_fault, self._clock, self._pace = hub, indicators, on_fault, clock, pace
        self._at: tuple[int, int] | None = None  # exchange time of the newest trade, and how long the exchange's clock had run then
        self.has_begun = asyncio.Event()  # what there was before the first subscription is in it: nobody is told of that bar by bar
        self._behind: dict[str, list[Item]] = {}  # feeds that are still being filled, and what came meanwhile
        self._filled: dict[str, asyncio.Event] = {}
        self._session_over_ns = 0
        self._fresh_since: int | None = None  # our clock when the first trade came that clients have not seen in a forming bar

    # -- in

    def add(self, item: Item) -> None:
        """Enter what a trade subscription hands over."""
        now = self._clock()
        if isinstance(item, TradeBatch):
            newest_ns = self.counts.add(item, now, is_past=not self.has_begun.is_set())
            if newest_ns is not None:
                self._see(newest_ns)
        elif isinstance(item, Gap):
            self._tell_gap(item)
        self.recent.add(item)
        for timeframe, feed in list(self.feeds.items()):
            if timeframe in self._behind:
                self._behind[timeframe].append(item)
            else:
                self._publish(feed, feed.add(item))
        if isinstance(item, Roll):
            self._roll(item)
        elif self._fresh_since is None:
            self._fresh_since = now

    def advance(self) -> None:
        """Let the exchange's clock close bars though nobody trades."""
        now_ns, pace = self.now_ns, self._pace
        if now_ns is None or pace is None or pace.is_paused or pace.is_hurried:
            return
        late_ns = int(_LATE_NS * max(1.0, float(pace.speed)))  # the way here takes its time by our clock
        for timeframe, feed in list(self.feeds.items()):
            if timeframe not in self._behind:
                self._publish(feed, feed.advance(now_ns - late_ns))

    def flush(self) -> None:
        """Give the forming bars to whoever listens."""
        if self._fresh_since is None:
            return
        waited_s = (self._clock() - self._fresh_since) / 1e9
        self._fresh_since = None
        self.delay.observe(waited_s)
        for timeframe, feed in self.feeds.items():
            if timeframe in self._behind or not self._hub.is_heard(self.name, timeframe):
                continue
            forming = feed.forming
            if forming is not None:
                self._hub.publish_state(self._topic(timeframe, "delta"), lambda feed=feed, bar=forming: self.delta_update(feed, bar, closed=False))  # type: ignore[misc]
                self._hub.publish_state(self._topic(timeframe, "footprint"), lambda feed=feed, bar=forming: self.footprint_update(feed, bar, closed=False))  # type: ignore[misc]

    def touch(self) -> None:
        """Give the forming bars out again with the next `flush`, though no trade came: somebody new listens."""
        if self._fresh_since is None:
            self._fresh_since = self._clock()

    def reset(self, time_ns: int) -> None:
        """CVD starts anew at the first bar that starts at or after this exchange time."""
        self.resets.add(time_ns)
        for timeframe in self.feeds:
            self._hub.publish(self._topic(timeframe, "delta"), {"type": "reset", **self._names(timeframe), "time": iso(time_ns)})

    # -- timeframes

    async def feed(self, timeframe: str) -> Feed:
        """The feed of a timeframe, filled with the session's trades where it is new. UnsupportedTimeframe."""
        while True:
            known = self.feeds.get(timeframe)
            if known is None:
                known = self.feeds[timeframe] = Feed(self.contract, timeframe, self._indicators(self.resets), self.resets, self._on_fault)
                if pieces := self.recent.pieces():
                    await self._fill(timeframe, known, pieces)
            if timeframe not in self._behind:
                return known
            await self._filled[timeframe].wait()  # another one fills it, and may give up

    async def _fill(self, timeframe: str, feed: Feed, pieces: list[TradeBatch | Gap]) -> None:
        self._behind[timeframe], self._filled[timeframe] = [], asyncio.Event()
        try:
            for piece in pieces:
                feed.add(piece)
                await asyncio.sleep(0)
            for item in self._behind[timeframe]:
                feed.add(item)
        except BaseException:
            del self.feeds[timeframe]
            raise
        finally:
            del self._behind[timeframe]
            self._filled.pop(timeframe).set()

    def drop(self, timeframe: str) -> None:
        """Keep a timeframe no longer."""
        if self.feeds.pop(timeframe, None) is not None:
            self._hub.forget(self.name, timeframe)

    def is_filling(self, timeframe: str) -> bool:
        """Whether the session's trades are still being entered."""
        return timeframe in self._behind

    # -- out

    @property
    def now_ns(self) -> int | None:
        """The exchange's clock: the newest trade's time, and what ran since where the feed has a clock beside its trades. None before a trade."""
        if self._at is None:
            return None
        at_ns, seen_ns = self._at
        return at_ns if self._pace is None else at_ns + self._pace.ran_ns - seen_ns

    @property
    def last_ns(self) -> int | None:
        """Exchange time of the newest trade."""
        return self._at[0] if self._at else None

    def delta_update(self, feed: Feed, update: Update, *, closed: bool, row: Row | None = None) -> dict[str, Any]:
        """The message about one bar."""
        bar, values = update.bar, update.values
        cvd = feed.cvd(None if closed else update)
        return {
            "type": "delta_update",
            **self._names(str(feed.timeframe)),
            "closed": closed,
            "bar": record_of(update) if row is None else row.json,
            "delta": bar.delta,
            "cvd": {
                "value": number(values["cvd"]),
                "open": number(values["cvd_open"]),
                "high": number(values["cvd_high"]),
                "low": number(values["cvd_low"]),
                "highest": cvd.high if cvd else None,
                "lowest": cvd.low if cvd else None,
                "since": iso(max(cvd.since_ns, self.covered_ns or 0)) if cvd else None,
            },
            "quality": self.quality(update),
        }

    def quality(self, update: Update) -> dict[str, Any]:
        """How far a bar's delta can be trusted."""
        bar = update.bar
        unknown = bar.unknown_volume
        return {
            "complete": bar.complete,
            "revision": bar.revision,
            "delta_source": bar.delta_source,
            "unknown_share": None if unknown is None or not bar.volume else unknown / bar.volume,
        }

    def footprint_update(self, feed: Feed, update: Update, *, closed: bool) -> dict[str, Any] | None:
        """The message about one bar's volume by price."""
        cells = self.cells(feed, update)
        return None if cells is None else {"type": "footprint_update", **self._names(str(feed.timeframe)), "closed": closed, **cells}

    def cells(self, feed: Feed, update: Update) -> dict[str, Any] | None:
        """Volume by price of a bar, as columns; None where it is not kept."""
        found = feed.footprint(update.bar)
        if found is None:
            return None
        size, price = found.contract.size, found.contract.price
        return {
            "time": iso(update.bar.start_ns),
            "bar_no": update.bar.bar_no,
            "revision": update.bar.revision,
            "poc": found.poc,
            "price": price(found.ticks).tolist(),
            "buy_volume": size(found.buy).tolist(),
            "sell_volume": size(found.sell).tolist(),
            "unknown_volume": size(found.unknown).tolist(),
        }

    def snapshot(self, feed: Feed, channels: list[str], history: int) -> dict[str, Any]:
        """Everything a client needs to begin: the latest closed bars, the forming one, gaps, and the numbers of the facts so far."""
        timeframe, forming = str(feed.timeframe), feed.forming
        rows = feed.last(history)
        found: dict[str, Any] = {
            "type": "snapshot",
            **self._names(timeframe),
            "stream": self._hub.stream,
            "seqs": {channel: self._hub.topic(self._topic(timeframe, channel)).seq for channel in channels},
            "bars": [row.json for row in rows],
            "forming": None if forming is None else self.delta_update(feed, forming, closed=False),
            "gaps": [gap_record(gap) for gap in self.gaps],
            "resets": [iso(time_ns) for time_ns in self.resets.times],
        }
        if "footprint" in channels:
            updates = [row.update for row in rows] + ([forming] if forming else [])
            found["footprints"] = [cells for update in updates if (cells := self.cells(feed, update)) is not None]
        return found

    # -- the work

    def _names(self, timeframe: str) -> dict[str, str]:
        return {"market": self.name, "symbol": self.contract.symbol, "timeframe": timeframe}

    def _topic(self, timeframe: str, channel: str) -> TopicName:
        return TopicName(self.name, timeframe, channel)

    def _see(self, newest_ns: int) -> None:
        if self.covered_ns is None:
            self.covered_ns = newest_ns
        if self._at is None or newest_ns >= self._at[0]:
            self._at = newest_ns, self._pace.ran_ns if self._pace is not None else 0
        if newest_ns >= self._session_over_ns:
            session = session_at(self.contract.calendar, newest_ns)
            self._session_over_ns = session.close_ns if newest_ns < session.close_ns else newest_ns + _HALT_NS
            self.recent.forget_before(session.open_ns)

    def _tell_gap(self, gap: Gap) -> None:
        if not gap.filled:
            self.gap_count += 1
        self.gaps.append(gap)
        for timeframe in self.feeds:
            self._hub.publish(self._topic(timeframe, "delta"), {"type": "gap", **self._names(timeframe), "gap": gap_record(gap)})

    def _roll(self, roll: Roll) -> None:
        self.contract, self.covered_ns = roll.new, None
        for timeframe in self.feeds:
            told = {"type": "roll", "old": roll.old.symbol, "new": roll.new.symbol, "time": iso(roll.time_ns)}
            self._hub.publish(self._topic(timeframe, "delta"), {**self._names(timeframe), **told})

    def _publish(self, feed: Feed, rows: list[Row]) -> None:
        timeframe = str(feed.timeframe)
        for row in rows:
            update = row.update
            self._hub.publish(self._topic(timeframe, "delta"), self.delta_update(feed, update, closed=True, row=row))
            if cells := self.footprint_update(feed, update, closed=True):
                self._hub.publish(self._topic(timeframe, "footprint"), cells)
            for signal in feed.signals(update):
                named = {"type": "signal", **self._names(timeframe), "time": iso(update.bar.start_ns), "revision": update.bar.revision, **signal}
                self._hub.publish(self._topic(timeframe, "signals"), named)
