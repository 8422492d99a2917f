"""A journal read through the decoder and the intake that the live feed goes through: what comes out is what came out then, read by read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..dxlink.messages import FeedData, parse
from ..errors import JournalDamaged, ProtocolViolation
from ..journal import Context, Reader
from ..journal.context import decode_gap
from ..journal.records import Kind, Record
from ..model import Action, Contract, Gap, Quote, TradeBatch
from .ahead import TimeGuard
from .intake import Intake
from .mapping import TradeDecoder


class Read(NamedTuple):
    """What was handed over together. `pause_ns`: after what came before it; `segment`: the file it lies in."""

    pause_ns: int
    items: list[TradeBatch | Gap | Quote]
    segment: Path | None = None


@dataclass(slots=True)
class _Line:
    """A contract's trades: its intake, and the exchange time of the newest one if the recording has stopped since."""

    contract: Contract
    intake: Intake
    stopped_ns: int | None = None
    guard: TimeGuard = field(default_factory=TimeGuard)

    def take(self, batch: TradeBatch) -> list[TradeBatch | Gap]:
        admitted = self.guard.admit(batch)
        taken = None if admitted is None else self.intake.take(admitted)
        if taken is None:
            return []
        gap = self._ended_by(taken)
        return [taken] if gap is None else [gap, taken]

    def _ended_by(self, batch: TradeBatch) -> Gap | None:
        start_ns = self.stopped_ns
        if start_ns is None:
            return None
        later = np.flatnonzero((batch.action == Action.NEW) & (batch.time_ns >= start_ns))
        if len(later) == 0:
            return None
        self.stopped_ns = None
        return Gap(self.contract, start_ns, int(batch.time_ns[later[0]]) + 1, "recording stopped")


class _AsSent(Intake):
    """Lets every row pass."""

    def take(self, batch: TradeBatch) -> TradeBatch | None:
        self.last_time_ns = max(self.last_time_ns, int(batch.time_ns[batch.action == Action.NEW].max(initial=0)))
        return batch


class JournalDecoder:
    """The reads of segments, once. Between one recording and the next, each contract's first new trade ends a Gap("recording stopped").

    rules   the arguments of an Intake; None: those of the recording
    gather  messages decoded together at least, where it matters how fast and not which came in one read
    as_sent True: every believable row as it was sent, duplicates, corrections and cancels too, and nothing filtered
    run_ns  when the recording began that is being read, by the recorder's clock (UTC ns)
    """

    def __init__(self, segments: Sequence[Path], *, rules: Mapping[str, Any] | None = None, gather: int = 0, as_sent: bool = False) -> None:
        self.decoder = TradeDecoder()
        self.lines: dict[str, _Line] = {}
        self.reader = Reader(segments)
        self.run_ns: int | None = None
        self._rules, self._gather, self._as_sent = rules, gather, as_sent
        self._context = Context()
        self._raws: list[bytes] = []
        self._walls: list[int] = []
        self._gaps: list[Gap] = []  # told before the trades of these messages
        self._last: Record | None = None
        self._first: Record | None = None
        self._segment: Path | None = None

    @property
    def intakes(self) -> list[Intake]:
        """One a contract."""
        return [line.intake for line in self.lines.values()]

    @property
    def rejected(self) -> int:
        """Rows that were no trades, or were not to be believed."""
        return self.decoder.rejected + sum(line.guard.rejected for line in self.lines.values())

    @property
    def rejects(self) -> list[str]:
        """The latest of them, with the reason."""
        return [*self.decoder.rejects, *(text for line in self.lines.values() for text in line.guard.rejects)]

    def begun_ns(self, symbol: str) -> int:
        """From when on messages of a streamer symbol were kept in the recording being read, by the recorder's clock (UTC ns)."""
        return max(self._context.watched.get(symbol, 0), self.run_ns or 0)

    def __iter__(self) -> Iterator[Read]:
        for record in self.reader:
            header, segment = self.reader.header, self.reader.segment
            if segment is not self._segment or record.kind is Kind.CONTEXT or self._is_next_read(record):
                yield from self._flush()
            self._segment = segment
            if header is not None and header.run_ns != self.run_ns:
                self.run_ns = header.run_ns
                for line in self.lines.values():
                    line.stopped_ns = line.intake.last_time_ns or None
                    line.guard.start_over()
            if record.kind is Kind.RESET:  # of no concern to the trades: see ReplayProvider.recorded_resets
                continue
            if record.kind is Kind.CONTEXT:
                self._enter(Context.decode(record.payload))
            elif record.kind is Kind.GAP:
                gap, before_read = self._gap(record)
                if before_read:
                    self._gaps.append(gap)
                else:
                    yield from self._flush()
                    yield Read(self._pause_ns(record), [gap], segment)
            else:
                self._take(record)
        yield from self._flush()

    def _is_next_read(self, record: Record) -> bool:
        return record.kind is Kind.DATA and self._first is not None and record.monotonic_ns != self._first.monotonic_ns and len(self._raws) >= self._gather

    def _take(self, record: Record) -> None:
        message = parse(record.payload)
        if not isinstance(message, FeedData):
            raise JournalDamaged(f"{self._segment}: a record holds {type(message).__name__} instead of FEED_DATA")
        self._first = self._first or record
        self._raws.append(message.raw)
        self._walls.append(record.wall_ns)

    def _enter(self, context: Context) -> None:
        self._context = context
        rules = context.rules if self._rules is None else self._rules
        for symbol, contract in context.contracts.items():
            if symbol not in self.lines:  # what is said of it first holds for all of the replay
                self.lines[symbol] = _Line(contract, _AsSent() if self._as_sent else Intake(**rules))
                self.decoder.watch(contract)

    def _gap(self, record: Record) -> tuple[Gap, bool]:
        gap, before_read = decode_gap(record.payload, self._context)
        line = self.lines[gap.contract.streamer_symbol]
        line.stopped_ns = None  # the recorder knew better
        return Gap(line.contract, gap.start_ns, gap.end_ns, gap.reason, gap.filled), before_read

    def _flush(self) -> Iterator[Read]:
        """The read that is complete now."""
        if self._first is None:
            return
        items: list[TradeBatch | Gap | Quote] = []
        gaps, self._gaps = self._gaps, []
        for batch in self.decoder.decode(self._raws, self._walls, self._fields):
            items += [gap for gap in gaps if gap.contract == batch.contract]
            gaps = [gap for gap in gaps if gap.contract != batch.contract]
            items += self.lines[batch.contract.streamer_symbol].take(batch)
        pause_ns = self._pause_ns(self._first)
        self._raws, self._walls, self._first = [], [], None
        yield Read(pause_ns, [*gaps, *items], self._segment)

    def _fields(self, event_type: str) -> tuple[str, ...]:
        if event_type not in self._context.columns:
            raise ProtocolViolation(f"the journal has no columns for {event_type!r}; it has {', '.join(self._context.columns) or 'none'}")
        return self._context.columns[event_type]

    def _pause_ns(self, record: Record) -> int:
        """By the clock that nobody sets; across a restart of the machine, which sets that one too, by the wall clock."""
        before, self._last = self._last, record
        if before is None:
            return 0
        pause_ns = record.monotonic_ns - before.monotonic_ns
        return pause_ns if 0 <= pause_ns <= 2 * abs(record.wall_ns - before.wall_ns) + 60 * 10**9 else max(0, record.wall_ns - before.wall_ns)
