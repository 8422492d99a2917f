"""Whatever happens to a line, in whatever order: its recording tells the same again, gap by gap and row by row."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.dxlink.messages import feed_data
from tastytrade_provider.dxlink.rows import encode_compact, index_of
from tastytrade_provider.journal import Journal, segments
from tastytrade_provider.model import Gap, TradeBatch
from tastytrade_provider.provider import Subscription
from tastytrade_provider.tastytrade.decode import JournalDecoder
from tastytrade_provider.tastytrade.intake import Intake
from tastytrade_provider.tastytrade.line import Line
from tastytrade_provider.tastytrade.mapping import FIELDS, TIME_AND_SALE, TradeDecoder
from tastytrade_provider.tastytrade.quotes import FIELDS as BOARD_FIELDS
from tastytrade_provider.tastytrade.quotes import LastTrade, MarketDecoder
from tastytrade_provider.tastytrade.recording import Recording
from tastytrade_provider.tastytrade.rung import Rung
from tests.checks.builders import ES, opening

S = 10**9
HAPPENINGS = {"print": 4, "last": 6, "silence": 2, "outage": 1, "fetched": 1, "back": 1, "serve": 1, "leave": 1}
"""How often each happens."""
Row = tuple[int, int, str]
"""Time in ms, sequence, type."""


def a_message(channel: int, kind: str, names: Sequence[str], *rows: dict[str, Any]) -> bytes:
    told = [dict.fromkeys(names) | {"eventSymbol": ES.streamer_symbol, "price": 6000.0, "size": 1.0} | row for row in rows]
    return feed_data(channel, encode_compact(kind, names, told)).raw


def prints(rows: Sequence[Row], channel: int = 1) -> bytes:
    common = {"eventFlags": 0, "aggressorSide": "BUY", "validTick": True}
    told = [common | {"index": index_of(time_ms, sequence), "time": time_ms, "type": kind} for time_ms, sequence, kind in rows]
    return a_message(channel, TIME_AND_SALE, FIELDS, *told)


class Feed:
    """A line, its recording and its listener, to whom anything may happen: done as `Trades` does it."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng, self.now_ns = rng, opening()
        self.journal = Journal(folder, wall_ns=self.clock, monotonic_ns=self.clock, max_bytes=rng.choice([1_500, 1 << 20]))
        self.line, self.listener = Line(ES, Intake(), Rung("auto", 0.0)), Subscription[Any](ES)
        self.recording = Recording({ES.streamer_symbol: self.line}, note=lambda text: None)
        self.decoder, self.ticker = TradeDecoder(), MarketDecoder()
        self.heard: list[TradeBatch | Gap] = []
        self.known, self.missed = list[Row](), list[Row]()
        self.volume, self.sequence, self.is_up, self.is_served = 100.0, 0, True, True
        self.decoder.watch(ES)
        self.ticker.watch(ES)
        self.journal.open()
        self.recording.journal, self.recording._is_open = self.journal, True
        self.join()

    def clock(self) -> int:
        return self.now_ns

    @property
    def now_s(self) -> float:
        return (self.now_ns - opening()) / S

    def tell(self, items: Sequence[TradeBatch | Gap], *, before_read: bool = False) -> None:
        for item in items:
            if isinstance(item, Gap):
                self.recording.tell(item, before_read=before_read)
            else:
                self.recording.taken(item, before_read=before_read)
        self.heard += items

    def join(self) -> None:
        self.line.join(self.listener, self.now_ns)
        self.recording.watch(self.line, {})
        self.line.rung.start_over(self.now_s)
        self.recording.stand(self.line)

    def happen(self, what: str) -> None:
        self.now_ns += self.rng.randint(1, 3) * S
        getattr(self, what)()

    def print(self) -> None:
        if not (self.line.listeners and self.is_served):
            return
        rows = []
        for _ in range(self.rng.randint(1, 3)):
            self.sequence += 1
            rows.append((self.now_ns // 10**6 - self.rng.randint(0, 1_500), self.sequence, "NEW"))
        if not self.is_up:
            self.missed += rows
            return
        if self.known and self.rng.random() < 0.2:
            rows.append((*self.rng.choice(self.known)[:2], self.rng.choice(["CORRECTION", "CANCEL"])))
        self.known += [row for row in rows if row[2] == "NEW"]
        self.recording.keep([raw := prints(rows)], [self.now_ns], FIELDS)
        for batch in self.decoder.decode([raw], [self.now_ns], lambda name: FIELDS):
            self.tell(self.line.hear(batch, self.now_s), before_read=True)
        self.recording.stand(self.line)

    def last(self) -> None:
        self.volume += self.rng.randint(0, 3)
        if not (self.is_up and self.line.rung.listens and self.line.listeners):
            return
        row = {"time": (self.now_ns - S // 2) // 10**6, "dayId": 20_780, "dayVolume": self.volume}
        raw = a_message(3, "Trade", BOARD_FIELDS["Trade"], row)
        self.recording.keep_ticker(raw, self.now_ns, BOARD_FIELDS.__getitem__)
        for value in self.ticker.decode([raw], [self.now_ns], BOARD_FIELDS.__getitem__):
            assert isinstance(value, LastTrade)
            self.tell(self.line.substitute(value, self.now_s), before_read=True)

    def silence(self) -> None:
        rung = self.line.rung
        was = rung.source
        if self.is_up and rung.advance(self.now_s + self.rng.choice([0, 30])):
            if was == "time_and_sale" != rung.source:
                self.line.fall()
            self.tell(self.line.settle() if rung.is_inferred else [])
            self.recording.stand(self.line)

    def outage(self) -> None:
        if self.is_up:
            self.is_up = False
            self.line.broke()
            self.line.hold()
            self.recording.stand(self.line)

    def fetched(self) -> None:
        start_ns = self.line.refill_from_ns
        if not self.is_up and self.line.is_held and start_ns is not None:
            cut_ns = self.rng.choice([None, start_ns + S])
            raw = prints(sorted(self.known[-5:] + self.missed), channel=0)
            batch = self.decoder.fetched(ES, raw, lambda name: FIELDS)
            items = self.line.refill(self.line.guard.within(batch, self.now_ns), cut_ns)
            self.recording.keep_refill(self.line, raw, self.now_ns, cut_ns)
            self.tell(items)
        self.back()

    def back(self) -> None:
        if self.is_up:
            return
        self.is_up, self.missed = True, []
        self.line.rung.start_over(self.now_s)
        items = self.line.release()
        self.recording.stand(self.line)
        self.tell(items)

    def serve(self) -> None:
        self.is_served = self.rng.random() < 0.4

    def leave(self) -> None:
        if not self.line.listeners:
            self.join()
        elif self.is_up and not self.line.is_held and self.line.refill_from_ns is None:
            self.line.leave(self.listener)
            self.recording.stand(self.line)


def shown(item: Any) -> Any:
    if isinstance(item, Gap):
        return item
    return list(zip(item.time_ns.tolist(), item.index.tolist(), item.action.tolist(), item.size.tolist(), item.side.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_a_recording_of_anything_comes_again_as_it_was_told(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    feed = Feed(tmp_path, rng)
    for what in rng.choices([*HAPPENINGS], [*HAPPENINGS.values()], k=150):
        feed.happen(what)
    feed.back()
    feed.journal.close()
    again = [item for read in JournalDecoder(segments(tmp_path)) for item in read.items]
    told = [shown(item) for item in again if not (isinstance(item, Gap) and item.reason == "not subscribed")]  # which no listener hears
    assert told == [shown(item) for item in feed.heard]
