"""What can be replayed: a journal, session files, a tape; each as reads, in the order of recording. Iterating begins anew."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..emulator.source import Print, QuoteChange
from ..emulator.tape import Tape, load_tape
from ..errors import UsageError
from ..journal import contexts, segments
from ..journal.segments import SUFFIX, resets
from ..journal.sessions import load_session, session_info
from ..model import Contract, Gap, Quote, SideSource, TradeBatch, TradeFlag
from ..tastytrade.decode import JournalDecoder, Read
from ..tastytrade.intake import Intake

_ROWS = 4096  # handed over at a time where nobody waits for the clock
Quotes = Literal["apart", "embedded"] | None
_TAPE_TIES_NS = 1_000_000  # prints of one millisecond are one read


@dataclass(slots=True)
class Tally:
    """Counts of what was played so far, named as in ProviderStatus."""

    counts: dict[str, int] = field(default_factory=dict)
    excluded: Counter[str] = field(default_factory=Counter)
    sides: Counter[str] = field(default_factory=Counter)
    rejects: tuple[str, ...] = ()

    @classmethod
    def of(cls, intakes: Sequence[Intake], rejected: int = 0, rejects: Sequence[str] = ()) -> Tally:
        """Summed over contracts."""
        names = ("trades", "duplicates", "orphans", "corrections", "cancels", "off_tick", "off_step")
        made = cls({name: sum(getattr(intake.counts, name) for intake in intakes) for name in names} | {"rejected": rejected}, rejects=tuple(rejects))
        for intake in intakes:
            made.excluded.update(intake.counts.excluded)
            made.sides.update(intake.sides.counts)
        return made


class Source(Protocol):
    """Something recorded. `delta_source` is how its sides were found, `note` what a user should know after playing it.

    is_whole    False where trades of the session in which it begins may lie before it
    quotes      "apart": they are among the items; "embedded": only prints carry them; None: there are none
    """

    @property
    def contracts(self) -> tuple[Contract, ...]: ...
    @property
    def delta_source(self) -> str: ...
    @property
    def is_whole(self) -> bool: ...
    @property
    def quotes(self) -> Quotes: ...
    @property
    def note(self) -> str | None: ...
    def tally(self) -> Tally: ...
    def resets(self, contract: Contract) -> list[int]: ...
    def reads(self, gather: bool = False) -> Iterator[Read]: ...


class JournalSource:
    """A folder of segments, or one segment. `rules`: the arguments of an Intake; None: as when it was recorded."""

    is_whole = False
    quotes: Quotes = "embedded"

    def __init__(self, path: Path, rules: Mapping[str, Any] | None = None) -> None:
        self._path, self._rules = path, rules
        self.contracts = tuple(contexts(path).contracts.values())
        self._playing: JournalDecoder | None = None

    @property
    def delta_source(self) -> str:
        """Of all contracts, at the place of the pass under way or the last one."""
        lines = self._playing.lines.values() if self._playing else ()
        return ", ".join(sorted({line.rung.source for line in lines})) or "time_and_sale"

    @property
    def note(self) -> str | None:
        """Bytes at the end that are no record."""
        torn = self._playing.reader.torn if self._playing else 0
        return f"the last {torn:,} bytes of the journal are no record: cut off by a crash, or being written" if torn else None

    def resets(self, contract: Contract) -> list[int]:
        """Exchange times at which somebody had CVD of a contract start anew."""
        return resets(self._path, contract)

    def tally(self) -> Tally:
        """Of the pass under way or the last one."""
        playing = self._playing
        if playing is None:
            return Tally()
        tally = Tally.of(playing.intakes, playing.rejected, playing.rejects)
        for line in playing.lines.values():
            tally.counts["trades"] += line.inferred
            tally.sides.update(line.fallback.sides.counts)
        return tally

    def reads(self, gather: bool = False) -> Iterator[Read]:
        """Read by read as it came; `gather`: many at a time, and the tally is left alone."""
        decoder = JournalDecoder(segments(self._path), rules=self._rules, gather=512 if gather else 0)
        if not gather:
            self._playing = decoder
        return iter(decoder)


class SessionSource:
    """Session files: trades as they were handed over, files of several contracts by the time they were received."""

    is_whole = False
    quotes: Quotes = "embedded"
    note = None

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files: dict[Contract, list[tuple[str, Path]]] = {}
        for path in paths:
            info = session_info(path)
            if info is None:
                raise UsageError(f"{path} is a Parquet file but not one of a session; give a tape alone, not in a folder")
            self._files.setdefault(info.contract, []).append((info.session, path))
        self.contracts = tuple(self._files)
        self._tally = Tally()
        self._made_by = set[str]()

    @property
    def delta_source(self) -> str:
        """Of all contracts, as far as the pass under way or the last one came."""
        return ", ".join(sorted(self._made_by)) or "time_and_sale"

    def resets(self, contract: Contract) -> list[int]:
        """None: they stand in the journal the files were made of."""
        return []

    def tally(self) -> Tally:
        """Trades; what was filtered or could not be read was left out when the files were made."""
        return self._tally

    def reads(self, gather: bool = False) -> Iterator[Read]:
        """Trades received together; `gather`: many at a time."""
        tally = Tally({"trades": 0, "corrections": 0, "cancels": 0})
        made_by = set[str]()
        if not gather:
            self._tally, self._made_by = tally, made_by
        last_ns: int | None = None
        for at_ns, batch in heapq.merge(*(self._pieces(files, gather) for files in self._files.values()), key=lambda piece: piece[0]):
            for name, count in zip(tally.counts, np.bincount(batch.action, minlength=3).tolist(), strict=True):
                tally.counts[name] += count
            made_by.add(_made_by(batch))
            yield Read(0 if last_ns is None else at_ns - last_ns, [batch])
            last_ns = at_ns

    @staticmethod
    def _pieces(files: list[tuple[str, Path]], gather: bool) -> Iterator[tuple[int, TradeBatch]]:
        for _, path in sorted(files):
            batch = load_session(path)
            at_ns = batch.received_ns if batch.received_ns.any() else batch.time_ns
            bounds = np.arange(_ROWS, len(batch), _ROWS) if gather else np.flatnonzero(np.diff(at_ns)) + 1
            for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), len(batch)], strict=True):
                if stop > start:
                    yield int(at_ns[start]), batch[start:stop]


class TapeSource:
    """A tape's prints and quotes; each is received when the exchange published it."""

    delta_source = "time_and_sale"
    is_whole = True

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.contracts = tape.contracts
        self.quotes: Quotes = "apart" if (np.isfinite(tape.rows.bid) | np.isfinite(tape.rows.ask)).any() else None
        self._intake = Intake()

    @property
    def note(self) -> str | None:
        """What the file did not say."""
        return "; ".join(self._tape.assumed) or None

    def resets(self, contract: Contract) -> list[int]:
        """None: a tape knows of no reset."""
        return []

    def tally(self) -> Tally:
        """Of the pass under way or the last one."""
        return Tally.of([self._intake])

    def reads(self, gather: bool = False) -> Iterator[Read]:
        """What was published in one millisecond, quotes before prints; `gather`: many prints at a time, and no quotes."""
        intake = Intake()
        if not gather:
            self._intake = intake
        prints: list[Print] = []
        quotes: list[QuoteChange] = []
        first_ns: int | None = None
        last_ns: int | None = None
        for event in [*self._tape, None]:
            if gather and isinstance(event, QuoteChange):
                continue
            is_next = event is None or (len(prints) >= _ROWS if gather else first_ns is not None and event.at_ns // _TAPE_TIES_NS != first_ns // _TAPE_TIES_NS)
            if is_next and first_ns is not None:
                taken = intake.take(_batch(prints)) if prints else None
                items: list[TradeBatch | Gap | Quote] = [*map(_quote, quotes), *([] if taken is None else [taken])]
                if items:
                    yield Read(0 if last_ns is None else first_ns - last_ns, items)
                    last_ns = first_ns
                prints, quotes, first_ns = [], [], None
            if event is not None:
                first_ns = event.at_ns if first_ns is None else first_ns
                if isinstance(event, Print):
                    prints.append(event)
                else:
                    quotes.append(event)


def _made_by(batch: TradeBatch) -> str:
    """Where trades come from: of TimeAndSale they have an index, and most a side of the exchange's."""
    if batch.index[0] >= 0 or (batch.side_source == SideSource.EXCHANGE).any():
        return "time_and_sale"
    return "quote_trade" if (batch.side_source == SideSource.QUOTE).any() else "tick_rule"


def _quote(change: QuoteChange) -> Quote:
    bid, ask = (None if math.isnan(price) else price for price in (change.bid, change.ask))
    sizes = (None if price is None or math.isnan(size) else size for price, size in ((bid, change.bid_size), (ask, change.ask_size)))
    return Quote(change.contract, change.at_ns, change.at_ns, bid, ask, *sizes)


def _batch(prints: list[Print]) -> TradeBatch:
    columns: dict[str, Any] = {name: [getattr(each, name) for each in prints] for name in ("time_ns", "index", "price", "size", "bid", "ask")}
    for name in ("side", "action"):
        columns[name] = np.array([getattr(each, name) for each in prints], np.int8)
    flags = [TradeFlag.VALID_TICK * each.valid_tick | TradeFlag.SPREAD_LEG * each.spread_leg for each in prints]
    return TradeBatch(prints[0].contract, columns | {"received_ns": [each.at_ns for each in prints], "flags": np.array(flags, np.uint16)})


def open_source(path: Path | str, rules: Mapping[str, Any] | None = None) -> Source:
    """What lies at a path: a journal (a folder or one segment), session files (a folder or one), or a tape. UsageError where it is none of these."""
    path = Path(path)
    if path.is_dir():
        if any(path.glob(f"*{SUFFIX}")):
            return JournalSource(path, rules)
        files = sorted(path.rglob("*.parquet"))
        if files:
            return SessionSource(files)
        raise UsageError(f"{path}: neither segments of a journal ({SUFFIX}) nor session files (.parquet) in it")
    if not path.exists():
        raise UsageError(f"{path}: there is nothing to replay; a journal's folder, a session file or a tape is")
    if path.suffix == SUFFIX:
        return JournalSource(path, rules)
    if path.suffix == ".parquet" and session_info(path) is not None:
        return SessionSource([path])
    return TapeSource(load_tape(path))
