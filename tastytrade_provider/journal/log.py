"""Recording: raw FEED_DATA messages into segments, one unbuffered write each, on disk for good within a second. The shell of the journal."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import UsageError
from ..model import Contract, Gap
from .context import Context, Standing, encode_gap, encode_refill, encode_reset, encode_standing
from .lock import take_lock
from .records import Kind, encode, encode_header
from .segments import SUFFIX, repair, segments

_FEED_DATA = b'{"type":"FEED_DATA",'
_DATA, _CONTEXT, _GAP, _RESET, _TICKER, _STANDING, _REFILL = map(int, Kind)  # plain numbers: packing an enum takes twice as long
_HOUR_NS = 3_600_000_000_000
_NUMBER = re.compile(rf"(\d+)-.*{re.escape(SUFFIX)}")
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_to_disk: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Journal:
    """The raw feed, appended to a folder of segments.

    path        the folder; made where it is missing. One process writes at a time: another one's Journal is a UsageError
    max_bytes, max_age_ns  when a new segment begins
    sync_every_s           how often what was written is made durable: a power failure costs no more than this, a killed process nothing
    wall_ns, monotonic_ns, sleep  the clocks

    written     records written          repaired  bytes of a torn tail cut off when it was opened (kept beside it)
    lost        messages that could not be written (disk full, say): the feed goes on, and `failure` says why

    Only FEED_DATA is taken; anything else, a login above all, is a UsageError. Use `async with`, or `open`, `sync` and `close` where there is no event loop.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_bytes: int = 256 << 20,
        max_age_ns: int = _HOUR_NS,
        sync_every_s: float = 1.0,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.path = Path(path)
        self.written = self.lost = self.repaired = self.syncs = 0
        self.failure: str | None = None
        self._max_bytes, self._max_age_ns, self._sync_every_s = max_bytes, max_age_ns, sync_every_s
        self._wall_ns, self._monotonic_ns, self._sleep = wall_ns, monotonic_ns, sleep
        self._context = Context()
        self._is_told = False  # whether the context stands in the segment
        self._fd = self._lock = -1
        self._salt = self._place = self._number = self._run_ns = 0
        self._unused: Path | None = None  # the segment being written, as long as nothing but contexts is in it
        self._room = self._old_at_ns = 0  # a record at or behind the one, or at or after the other, needs preparation
        self._retired: deque[int] = deque()  # segments that are full and not yet durable
        self._syncing = threading.Lock()  # one at a time; `append` never waits for it
        self._is_folder_new = False
        self._syncer: asyncio.Task[None] | None = None

    # -- beginning and ending

    def open(self) -> None:
        """Take the folder, repair what a crash left, begin a segment. Blocks while the newest segment is checked."""
        if self._lock >= 0:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = take_lock(self.path / "lock")
        except UsageError as error:
            raise UsageError(f"journal {error}; give this one a journal.path of its own, or set journal.enabled: false") from error
        try:
            every = segments(self.path)
            self._number = max((int(match[1]) for each in every if (match := _NUMBER.fullmatch(each.name))), default=0)
            self.repaired += repair(every[-1]) if every else 0
            self._run_ns = self._wall_ns()
            self._begin_segment()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Make everything durable and let go of the folder; a segment in which nothing was recorded is removed. Blocks; calling it twice does no harm."""
        try:
            unused, self._unused = (self._unused if self._fd >= 0 else None), None
            if self._fd >= 0:
                self._retired.append(self._fd)
                self._fd, self._room = -1, 0
            self.sync()
            if unused is not None:
                unused.unlink()
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1
            self._context = Context(rules=self._context.rules)  # who opens it again tells anew what is recorded

    async def start(self) -> None:
        """`open` off the event loop, and make what is written durable each second from now on."""
        if self._syncer is None:
            await asyncio.to_thread(self.open)
            self._syncer = asyncio.create_task(self._keep_synced(), name="journal sync")

    async def stop(self) -> None:
        """`close` off the event loop."""
        syncer, self._syncer = self._syncer, None
        if syncer is not None:
            syncer.cancel()
            with suppress(asyncio.CancelledError):
                await syncer
        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    # -- in

    def watch(self, contract: Contract, rules: Mapping[str, Any] | None = None) -> None:
        """Messages may speak of this contract from now on. `rules`: the arguments of the Intake its trades go through."""
        context = self._context.watching(contract, self._context.rules if rules is None else rules, self._wall_ns())
        if context != self._context:
            self._tell(context)

    def stand(self, contract: Contract, standing: Standing) -> None:
        """Trades of this contract come from there from now on. Of one that is not watched it is of no concern: after `close` none is."""
        before = self._context.standings.get(contract.streamer_symbol)
        if before == standing or contract.streamer_symbol not in self._context.contracts:
            return
        context = self._context.standing(contract, standing)
        if before is None or self._lock < 0:
            self._tell(context)
        else:  # a context anew, each time a quiet market falls silent, would be more than its trades
            self._context = context
            self._write(_STANDING, self._wall_ns(), self._monotonic_ns(), encode_standing(contract, standing))

    def append(self, raws: Sequence[bytes], received_ns: Sequence[int], columns: Mapping[str, tuple[str, ...]], *, are_trades: bool = True) -> None:
        """Write the messages of one read, as they came: of trades, or else of quotes and last trades. `columns`: of their event types, as FEED_CONFIG
        announced them."""
        self._read_by(columns)
        now_ns = self._monotonic_ns()
        kind, belongs = _DATA if are_trades else _TICKER, False
        for raw, wall_ns in zip(raws, received_ns, strict=True):
            if not raw.startswith(_FEED_DATA):
                raise UsageError("a journal takes FEED_DATA messages only")
            self._write(kind, wall_ns, now_ns, raw, belongs=belongs)
            belongs = True

    def append_refill(self, contract: Contract, cut_ns: int | None, raw: bytes, received_ns: int, columns: Mapping[str, tuple[str, ...]]) -> None:
        """Write what was fetched after an outage, for the trades held back since to come behind it. `cut_ns`: there is nothing up to there (UTC ns)."""
        self._read_by(columns)
        self._write(_REFILL, received_ns, self._monotonic_ns(), encode_refill(contract, cut_ns, raw))

    def append_gap(self, gap: Gap, *, before_read: bool = False) -> None:
        """Write that trades may be missing. `before_read`: it was told before the trades of the messages just appended."""
        self._write(_GAP, self._wall_ns(), self._monotonic_ns(), encode_gap(gap, before_read), belongs=before_read)

    def append_reset(self, contract: Contract, time_ns: int) -> None:
        """Write that CVD of a contract starts anew at its first bar from that exchange time (UTC ns) on: a replay repeats it."""
        self._write(_RESET, self._wall_ns(), self._monotonic_ns(), encode_reset(contract, time_ns))

    def sync(self) -> None:
        """Make durable what was written so far. Blocks; another thread may go on appending."""
        with self._syncing:
            while self._retired:
                fd = self._retired.popleft()
                try:
                    _to_disk(fd)
                finally:
                    os.close(fd)
            fd = self._fd  # should it be retired meanwhile, only the next call closes it
            if fd >= 0:
                _to_disk(fd)
            if self._is_folder_new:
                self._is_folder_new = False
                _folder_to_disk(self.path)
            self.syncs += 1

    # -- the work

    def _write(self, kind: int, wall_ns: int, monotonic_ns: int, payload: bytes, *, belongs: bool = False) -> None:
        """`belongs`: to what was written before, so that no segment begins between the two."""
        try:
            if (self._place >= self._room or monotonic_ns >= self._old_at_ns) and not (belongs and self._fd >= 0 and self._is_told):
                self._make_room(wall_ns, monotonic_ns)
            self._put(kind, wall_ns, monotonic_ns, payload)
        except OSError as error:  # no room on the disk must not stop the feed; whoever records is told
            self.lost += kind in (_DATA, _TICKER, _REFILL)
            self.failure = f"{error.strerror or error} ({self.path})"
            self._give_up_segment()

    def _put(self, kind: int, wall_ns: int, monotonic_ns: int, payload: bytes) -> None:
        record = encode(kind, wall_ns, monotonic_ns, payload, self._salt, self._place)
        done = os.write(self._fd, record)
        if done < len(record):
            _write_whole(self._fd, record[done:])
        self._place += len(record)
        self.written += 1
        if kind != _CONTEXT:
            self._unused = None

    def _read_by(self, columns: Mapping[str, tuple[str, ...]]) -> None:
        for name, names in columns.items():
            known = self._context.columns.get(name)
            if known is not names and known != names:
                self._tell(self._context.reading(columns))

    def _tell(self, context: Context) -> None:
        """This holds from the next record on."""
        self._context, self._is_told, self._room = context, False, 0

    def _make_room(self, wall_ns: int, monotonic_ns: int) -> None:
        """A segment that is neither full nor old, in which the context stands."""
        if self._lock < 0:
            raise UsageError(f"journal {self.path} is not open")
        if self._fd < 0 or self._place >= self._max_bytes or monotonic_ns >= self._old_at_ns:
            self._begin_segment()
        if not self._is_told:
            self._put(_CONTEXT, wall_ns, monotonic_ns, self._context.encode())
            self._is_told = True
        self._room = self._max_bytes

    def _begin_segment(self) -> None:
        created_ns = self._wall_ns()
        self._number += 1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(created_ns // 10**9))
        path = self.path / f"{self._number:08}-{stamp}{SUFFIX}"
        fd = os.open(path, _FLAGS, 0o644)
        header, salt = encode_header(created_ns, self._run_ns)
        try:
            _write_whole(fd, header)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd, self._salt, self._place, self._room, self._unused = fd, salt, len(header), 0, path
        self._is_folder_new, self._is_told, self._old_at_ns = True, False, self._monotonic_ns() + self._max_age_ns

    def _give_up_segment(self) -> None:
        """After a failed write: cut off what of it may be there, and begin anew with the next message, as another recording: a replay tells the gap."""
        if self._fd >= 0:
            with suppress(OSError):  # else it stays as a torn tail, which readers find
                os.ftruncate(self._fd, self._place)
            self._retired.append(self._fd)
            self._fd = -1
        self._run_ns, self._room = self._wall_ns(), 0

    async def _keep_synced(self) -> None:
        while True:
            await self._sleep(self._sync_every_s)
            try:
                await asyncio.to_thread(self.sync)
            except OSError as error:  # told like a failed write; a new segment, since nobody knows what of this one is on disk
                self.failure = f"{error.strerror or error} ({self.path})"
                self._give_up_segment()


def _write_whole(fd: int, data: bytes) -> None:
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, data[done:])


def _folder_to_disk(path: Path) -> None:
    """Make new names durable; Windows neither needs nor allows it."""
    if os.name == "posix":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
