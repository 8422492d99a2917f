"""A journal read through the decoder and the intake that the live feed goes through: what comes out is what came out then, read by read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..dxlink.messages import FeedData, parse
from ..errors import JournalDamaged, ProtocolViolation
from ..journal import Context, Reader, Standing
from ..journal.context import decode_gap, decode_refill, decode_standing
from ..journal.records import Kind, Record
from ..model import Action, Contract, Gap, Quote, TradeBatch
from .intake import Intake
from .line import Line
from .mapping import TradeDecoder
from .quotes import LastTrade, MarketDecoder
from .rung import Rung, Wanted

_FETCHED = b'{"type":"FEED_DATA","channel":0,'  # how a message begins that was made of a snapshot, to fill a hole


class Read(NamedTuple):
    """What was handed over together. `pause_ns`: after what came before it; `segment`: the file it lies in."""

    pause_ns: int
    items: list[TradeBatch | Gap | Quote]
    segment: Path | None = None


class _AsSent(Intake):
    """Lets every row pass."""

    def take(self, batch: TradeBatch) -> TradeBatch | None:
        self.last_time_ns = max(self.last_time_ns, int(batch.time_ns[batch.action == Action.NEW].max(initial=0)))
        return batch


class JournalDecoder:
    """The reads of segments, once. Between one recording and the next, each contract's first new trade ends a Gap("recording stopped").

    Where trades were made of Quote and Trade, they are made of them again, from where on and as long as the recording says.

    rules   the arguments of an Intake; None: those of the recording
    gather  messages decoded together at least, where it matters how fast and not which came in one read
    as_sent True: every believable row as it was sent, duplicates, corrections and cancels too, and nothing filtered
    run_ns  when the recording began that is being read, by the recorder's clock (UTC ns)
    """

    def __init__(self, segments: Sequence[Path], *, rules: Mapping[str, Any] | None = None, gather: int = 0, as_sent: bool = False) -> None:
        self.decoder = TradeDecoder()
        self.ticker = MarketDecoder()
        self.lines: dict[str, Line] = {}
        self.reader = Reader(segments)
        self.run_ns: int | None = None
        self._rules, self._gather, self._as_sent = rules, gather, as_sent
        self._context = Context()
        self._standings: dict[str, Standing] = {}
        self._raws: list[bytes] = []
        self._walls: list[int] = []
        self._gaps: list[Gap] = []  # told before the trades of these messages
        self._foreseen: list[Gap] = []  # told already, by the same reckoning as then
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
            if segment is not self._segment or self._is_next_read(record):
                yield from self._flush()
            self._segment = segment
            if header is not None and header.run_ns != self.run_ns:
                self.run_ns = header.run_ns
                yield from self._stop(record)
            if record.kind is Kind.RESET:  # of no concern to the trades: see ReplayProvider.recorded_resets
                continue
            if record.kind is Kind.CONTEXT:
                context = Context.decode(record.payload)
                self._enter(context)
                for symbol, standing in context.standings.items():
                    yield from self._stand(record, symbol, standing)
            elif record.kind is Kind.STANDING:
                yield from self._stand(record, *decode_standing(record.payload))
            elif record.kind is Kind.REFILL:
                yield from self._refill(record, *decode_refill(record.payload))
            elif record.kind is Kind.GAP:
                gap, before_read = self._gap(record)
                if gap in self._foreseen:
                    self._foreseen.remove(gap)
                elif before_read:
                    self._gaps.append(gap)
                else:
                    yield from self._flush()
                    yield Read(self._pause_ns(record), [gap], segment)
            elif record.payload.startswith(_FETCHED):
                yield from self._flush()
                yield from self._fill(record)
            else:
                self._take(record)
        yield from self._flush()
        yield from self._stop(None)

    def _is_next_read(self, record: Record) -> bool:
        """Whether what was gathered is complete."""
        if self._first is None or record.kind in (Kind.GAP, Kind.RESET):  # a gap may be one that was told before those trades
            return False
        if record.kind is Kind.DATA is self._first.kind:
            return record.monotonic_ns != self._first.monotonic_ns and len(self._raws) >= self._gather
        return True

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
                wanted = context.standings[symbol].wanted if symbol in context.standings else "time_and_sale"
                self.lines[symbol] = Line(contract, _AsSent() if self._as_sent else Intake(**rules), Rung(cast(Wanted, wanted), 0.0))
                self.decoder.watch(contract)
                self.ticker.watch(contract)

    def _stand(self, record: Record, symbol: str, standing: Standing) -> Iterator[Read]:
        """From here on its trades come from there, perhaps some that were told already."""
        if self._standings.get(symbol) == standing:  # said again, since a context says all of it
            return
        self._standings[symbol] = standing
        line = self.lines[symbol]
        yield from self._decided(record, line.stand(standing._replace(is_held=standing.is_held and not self._as_sent)))

    def _refill(self, record: Record, symbol: str, cut_ns: int | None, raw: bytes) -> Iterator[Read]:
        """What was fetched after an outage, and what waited for it."""
        line = self.lines[symbol]
        batch = self.decoder.fetched(line.contract, raw, self._fields)
        yield from self._decided(record, line.refill(line.guard.within(batch, record.wall_ns), cut_ns) if line.is_held else line.take(batch))

    def _fill(self, record: Record) -> Iterator[Read]:
        """What was fetched for a hole of the recording. The feed did not tell it now: it says nothing of where trades come from."""
        for batch in self.decoder.decode([record.payload], [record.wall_ns], self._fields):
            line = self.lines[batch.contract.streamer_symbol]
            yield Read(self._pause_ns(record), [*line.take(line.guard.within(batch, record.wall_ns))], self._segment)

    def _stop(self, record: Record | None) -> Iterator[Read]:
        """A recording ends, and with it the wait for a refill."""
        self._standings.clear()
        for line in self.lines.values():
            yield from self._decided(record, line.stop("recording stopped"))

    def _decided(self, record: Record | None, items: Sequence[TradeBatch | Gap]) -> Iterator[Read]:
        """What follows of something other than trades. Its gaps were recorded behind it."""
        self._foreseen += [item for item in items if isinstance(item, Gap)]
        if items:
            yield Read(0 if record is None else self._pause_ns(record), [*items], self._segment)

    def _gap(self, record: Record) -> tuple[Gap, bool]:
        gap, before_read = decode_gap(record.payload, self._context)
        line = self.lines[gap.contract.streamer_symbol]
        line.mend()  # the recorder knew better
        return Gap(line.contract, gap.start_ns, gap.end_ns, gap.reason, gap.filled), before_read

    def _flush(self) -> Iterator[Read]:
        """The read that is complete now."""
        if self._first is None:
            return
        items: list[TradeBatch | Gap | Quote] = []
        gaps, self._gaps = self._gaps, []
        for contract, made in self._trades() if self._first.kind is Kind.DATA else self._inferred():
            told = [gap for gap in gaps if gap.contract == contract]
            items += told
            gaps = [gap for gap in gaps if gap.contract != contract]
            items += [item for item in made if not (told and isinstance(item, Gap))]  # the recorder knew better
        first, self._raws, self._walls, self._first = self._first, [], [], None
        if items or gaps or first.kind is Kind.DATA:
            yield Read(self._pause_ns(first), [*gaps, *items], self._segment)

    def _trades(self) -> Iterator[tuple[Contract, list[TradeBatch | Gap]]]:
        for batch in self.decoder.decode(self._raws, self._walls, self._fields):
            yield batch.contract, self.lines[batch.contract.streamer_symbol].hear(batch, 0.0)

    def _inferred(self) -> Iterator[tuple[Contract, list[TradeBatch | Gap]]]:
        for value in self.ticker.decode(self._raws, self._walls, self._fields):
            line = self.lines[value.contract.streamer_symbol]
            if isinstance(value, Quote | LastTrade) and line.rung.listens:
                yield line.contract, line.substitute(value, 0.0)

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
