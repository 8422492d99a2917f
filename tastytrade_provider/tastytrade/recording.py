"""The journal of a live feed: taken when trades are first wanted, told what its messages alone do not tell, and read where the feed's own history ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import MarketDataError, UsageError
from ..journal import Journal
from ..model import Action, Contract, Gap, TradeBatch
from . import recorded
from .dialogue import Columns
from .line import Line
from .mapping import FIELDS, TIME_AND_SALE
from .quotes import FIELDS as BOARD_FIELDS
from .recorded import FOREVER, Hole, Recorded

_STOPPED = "recording stopped"  # as a replay calls what lies between two recordings


class Recording:
    """What is done with a provider's `journal`, if it has one. `lines`: its contracts by streamer symbol; `note` is told what a user should know."""

    def __init__(self, lines: Mapping[str, Line], note: Callable[[str], object]) -> None:
        self.journal: Journal | None = None
        self._lines, self._note = lines, note
        self._is_open = False
        self._opening: asyncio.Task[None] | None = None
        self._paused: dict[str, Hole] = {}  # by streamer symbol: from where on its trades were not recorded, up to the next that is

    @property
    def is_ready(self) -> bool:
        """Whether the feed may send: nothing is to be kept, or it will be."""
        return self.journal is None or self._is_open

    def open(self, then: Callable[[MarketDataError | None], None]) -> None:
        """Take the folder, off the event loop. `then` is told when that is done, or why it cannot be."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(then), name="journal opens")

    async def close(self) -> None:
        """Let go of it."""
        if self._opening is not None:
            await asyncio.wait({self._opening})  # a thread is at it
        self._is_open = False
        self._paused.clear()
        if self.journal is not None:
            await self.journal.stop()

    async def _open(self, then: Callable[[MarketDataError | None], None]) -> None:
        assert self.journal is not None
        failure: MarketDataError | None = None
        try:
            await self.journal.start()
            self._is_open = True
        except MarketDataError as error:
            failure = error
        except OSError as error:
            failure = UsageError(f"journal {self.journal.path}: {error.strerror or error}")
        finally:
            self._opening = None
        then(failure)

    # -- in

    def watch(self, line: Line, rules: Mapping[str, Any]) -> None:
        """Trades of this line are asked for from now on."""
        if self.journal is not None:
            self.journal.watch(line.contract, rules)
            self.stand(line)
            if line.last_time_ns:  # since then, messages of it did not come
                self._paused.setdefault(line.contract.streamer_symbol, Hole(line.last_time_ns, FOREVER))

    def stand(self, line: Line) -> None:
        """Where the trades of this line come from now, if that is new."""
        if self.journal is not None:
            self.journal.stand(line.contract, line.standing)

    def keep(self, raws: Sequence[bytes], received_ns: Sequence[int], columns: Sequence[str]) -> None:
        """Messages of trades, before anything looks into them."""
        if self.journal is not None and self._is_open:
            self.journal.append(raws, received_ns, {TIME_AND_SALE: tuple(columns)})

    def keep_ticker(self, raw: bytes, received_ns: int, columns: Columns) -> None:
        """The same for a message of quotes and last trades."""
        if self.journal is not None and self._is_open:
            self.journal.append([raw], [received_ns], {name: tuple(columns(name)) for name in BOARD_FIELDS}, are_trades=False)

    def keep_refill(self, line: Line, raw: bytes, received_ns: int, cut_ns: int | None) -> None:
        """The same for trades that were fetched after an outage, whose line holds none back any more."""
        if self.journal is not None and self._is_open:
            self.journal.append_refill(line.contract, cut_ns, raw, received_ns, {TIME_AND_SALE: FIELDS})
        self.stand(line)

    def taken(self, batch: TradeBatch, *, before_read: bool) -> None:
        """The trades that were in them: they may end a pause, of which the messages alone say nothing."""
        if (hole := self._paused.get(batch.contract.streamer_symbol)) is None:
            return
        later = batch.time_ns[(batch.action == Action.NEW) & (batch.time_ns >= hole.start_ns)]
        if len(later):
            del self._paused[batch.contract.streamer_symbol]
            self.tell(Gap(batch.contract, hole.start_ns, int(later[0]) + 1, "not subscribed"), before_read=before_read)

    def tell(self, gap: Gap, *, before_read: bool) -> None:
        """A gap that was told, before the trades of the messages just kept, or after them."""
        if self.journal is not None and self._is_open:
            self.journal.append_gap(gap, before_read=before_read)

    def fill(self, contract: Contract, holes: Sequence[Hole], raw: bytes) -> None:
        """The feed's history has filled holes of the journal: so that the next one who reads it finds them filled. `raw`: the trades of them."""
        line = self._lines.get(contract.streamer_symbol)
        if self.journal is None or not self._is_open or line is None or not line.listeners:
            return
        self.keep([raw], [time.time_ns()], FIELDS)
        for hole in holes:
            end_ns = hole.end_ns if hole.end_ns < FOREVER else max(line.last_time_ns, hole.start_ns) + 1  # from there on the feed has sent all
            self.journal.append_gap(Gap(contract, hole.start_ns, end_ns, _STOPPED, filled=True))

    # -- out

    async def past(self, contract: Contract, start_ns: int) -> Recorded | None:
        """What the journal has of a contract since a time, with the hole at its end where it does not reach up to now. None where it has nothing."""
        journal, line = self.journal, self._lines.get(contract.streamer_symbol)
        if journal is None or not journal.path.is_dir():
            return None
        whole_until_ns, newest_ns = (0, 0) if line is None or not self._is_open else (line.whole_until_ns, line.last_time_ns)
        try:
            found = await asyncio.to_thread(recorded.read, journal.path, contract, start_ns)
        except (MarketDataError, OSError) as error:
            self._note(f"the journal cannot give trades of {contract.symbol}: {error}")
            return None
        if found is None or (whole_until_ns is None and found.last_ns >= newest_ns):
            return found
        end_ns = min(whole_until_ns or found.last_ns, found.last_ns)
        return found._replace(holes=(*found.holes, Hole(end_ns, FOREVER)))

    def notes(self) -> list[str]:
        """What a user should know of it."""
        journal = self.journal
        return [f"{journal.lost} messages were not journalled: {journal.failure}"] if journal is not None and journal.failure else []
