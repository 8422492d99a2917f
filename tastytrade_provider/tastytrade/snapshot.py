"""A snapshot of one event type and symbol, put together from rows by index; afterwards the live updates of the same series. Reads no clock.

dxFeed's rules (IndexedEvent javadoc): a snapshot runs from SNAPSHOT_BEGIN to SNAPSHOT_END, or to SNAPSHOT_SNIP where the server cut the history;
REMOVE_EVENT withdraws an index; rows with TX_PENDING count only together with the next row that has it not. What servers were seen to do besides:

4, 0, 0, ... 10   newest first; the last row is a marker (REMOVE and END, prices NaN) that stands at the time asked from
14                BEGIN, END and REMOVE in one row: nothing is there
2038              a row with index Long.MAX_VALUE at the beginning; its flags count, the row does not
4, 1, 0, ...      TX_PENDING where none belongs and no END at all (dxFeed/dxfeed-graal-net-api issue 83): then silence ends the snapshot
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Literal

from ..dxlink.messages import shown
from ..dxlink.rows import EventFlags, Row, column_number, index_of, time_of
from ..errors import ProtocolViolation, UsageError

EndedBy = Literal["flag", "snip", "empty", "quiet", "deadline"]

_BEYOND = 2_082_758_400 << 32  # the index of 2036-01-01: no session table goes further, and no event is from there
_ROW_S = 0.1  # a row of history in such a time is a flow worth waiting for: 30,000 of them may take an hour
_TRANSPORT = ("eventFlags", "eventTime")  # these differ between two deliveries of one event
_BEGIN, _END, _SNIP = EventFlags.SNAPSHOT_BEGIN, EventFlags.SNAPSHOT_END, EventFlags.SNAPSHOT_SNIP
_PENDING, _REMOVE = int(EventFlags.TX_PENDING), int(EventFlags.REMOVE)


class Snapshot:
    """Rows in, in any number of messages; the state of the series out, one row an index. Good for Candle and for TimeAndSale with a fromTime.

    started_s    when the series was asked for, on the clock of `now_s` (seconds, any origin)
    quiet_s      a snapshot without its last flag ends after this long without a new index, or twice as long as it ever was without one, if that is more
    deadline_s   it ends this long after `started_s`, and a tenth of a second later for each row that lies before the first: so many come over a slow line too.
                 Nobody waits for longer without a row

    A later row of an index replaces the earlier one, REMOVE withdraws it, a repeated row changes nothing. Within one message rows may come in
    any order, and so may messages, as long as the last one carries the last flag. What comes after the end is an update: see `take_updates`.

    ended_by        None while it goes on, then one of
                    flag      END: everything asked for is here          snip      SNIP: the server cut the older part off (`first_time_ms`)
                    empty     it ended without a row                     quiet     no END came; what came may be all, or not
                    deadline  rows still came, or none ever did (`is_heard`)
    start_was_cut   True after SNIP
    is_heard        True once any row has come
    rejected        rows without a readable index or flags, the latest of them in `rejects`, with the reason

    >>> series = Snapshot(0.0)
    >>> series.add([{"eventFlags": 4, "index": 3, "close": 6001.0}, {"eventFlags": 0, "index": 2, "close": 6000.5}], 0.1)
    >>> series.add([{"eventFlags": 10, "index": 1, "close": "NaN"}], 0.2)
    >>> series.ended_by, [row["close"] for row in series.rows()]
    ('flag', [6000.5, 6001.0])
    """

    def __init__(self, started_s: float, *, quiet_s: float = 3.0, deadline_s: float = 30.0) -> None:
        self.ended_by: EndedBy | None = None
        self.start_was_cut = False
        self.is_heard = False
        self.rejected = 0
        self.rejects: deque[str] = deque(maxlen=20)
        self._quiet_s, self._pause_s, self._patience_s = quiet_s, 0.0, deadline_s
        self._deadline_s = started_s + deadline_s
        self._news_s = started_s
        self._top: int | None = None  # index of the first row: history lies before it, live rows behind
        self._floor = -(2**63)  # what is before it was forgotten
        self._is_repeated = False  # the snapshot is being sent again
        self._has_begun = self._has_ended = False
        self._rows: dict[int, Row] = {}
        self._held: list[tuple[int, int, Row]] = []
        self._updates: dict[int, Row] = {}

    @property
    def is_complete(self) -> bool:
        """True once the snapshot has ended; `ended_by` says how."""
        return self.ended_by is not None

    @property
    def count(self) -> int:
        """Rows so far."""
        return len(self._rows)

    @property
    def first_time_ms(self) -> int | None:
        """Time of the oldest row in Unix milliseconds, None without rows. After SNIP: where the history really begins."""
        return time_of(min(self._rows))[0] if self._rows else None

    @property
    def due_s(self) -> float | None:
        """When `advance` should be called next if no row comes before; None where it would do nothing."""
        if self.ended_by is not None:
            return self._news_s + self._quiet_s if self._held else None
        return min(self._news_s + self._silence_s, self._deadline_s) if self.is_heard else self._deadline_s

    @property
    def _silence_s(self) -> float:
        """For how long without a new index it is waited for one."""
        return self._quiet_s if self.ended_by is not None else min(max(self._quiet_s, 2 * self._pause_s), self._patience_s)

    def rows(self) -> list[Row]:
        """The rows as they stand, by index ascending; after the end with the updates in them."""
        return [self._rows[index] for index in sorted(self._rows)]

    def add(self, rows: Iterable[Row], now_s: float) -> None:
        """Take rows of this series in the order they arrived, all of one message at once."""
        for row in rows:
            self.is_heard = True
            try:
                index, flags = index_in(row), flags_in(row)
            except ProtocolViolation as violation:
                self.rejected += 1
                self.rejects.append(f"{violation}: {shown(row)}")
                continue
            if flags & _PENDING or not (flags & _REMOVE or index in self._rows):
                self._flow(index, now_s)
            self._held.append((index, flags, row))
            if not flags & _PENDING:
                self._commit()
        if self.ended_by is None and self._has_begun and self._has_ended and not self._held:
            self._end("flag")

    def advance(self, now_s: float) -> bool:
        """Tell the time. Ends a snapshot whose END does not come, and lets go of updates whose TX_PENDING is never cleared. Returns `is_complete`."""
        is_quiet = self.is_heard and now_s - self._news_s >= self._silence_s
        if self.ended_by is None and (is_quiet or now_s >= self._deadline_s):
            self._commit()
            self._end("quiet" if is_quiet else "deadline")
        elif self._held and is_quiet:
            self._commit()
        return self.is_complete

    def take_updates(self) -> list[Row]:
        """What changed after the snapshot had ended, the last version of each index; handed over once. A withdrawn index comes with REMOVE in its flags."""
        updates, self._updates = list(self._updates.values()), {}
        return updates

    def forget(self, kept: int) -> None:
        """Keep the newest rows of a series that has ended, so many to twice as many: a day of one-second candles is 80 MB.

        A row of what was forgotten that comes again is an update, as one that has changed; but where the server sends the whole snapshot again it is none.
        """
        if self.ended_by is not None and len(self._rows) > 2 * kept:
            newest = sorted(self._rows)[-kept:]
            self._floor = newest[0]
            self._rows = {index: self._rows[index] for index in newest}

    def _flow(self, index: int, now_s: float) -> None:
        """A row came that was not there."""
        if self.ended_by is None and self._top is not None:
            self._pause_s = max(self._pause_s, now_s - self._news_s)
        if self._top is None and index < _BEYOND:
            self._top = index
        self._news_s = now_s

    def _commit(self) -> None:
        held, self._held = self._held, []
        for index, flags, row in held:
            self._has_begun |= bool(flags & _BEGIN)
            self._has_ended |= bool(flags & (_END | _SNIP))
            self.start_was_cut |= bool(flags & _SNIP) and self.ended_by is None
            self._is_repeated |= bool(flags & _BEGIN) and self.ended_by is not None
            is_forgotten = self._is_repeated and index < self._floor
            self._is_repeated &= not flags & (_END | _SNIP)
            if index >= _BEYOND or is_forgotten:
                continue
            before = self._rows.get(index)
            if flags & _REMOVE:
                self._rows.pop(index, None)
                has_changed = before is not None or index < self._floor
            else:
                if before is None and self.ended_by is None and self._top is not None and index < self._top:
                    self._deadline_s += _ROW_S
                self._rows[index] = row
                has_changed = before is None or _content(before) != _content(row)
            if has_changed and self.ended_by is not None:
                self._updates.pop(index, None)  # so that the order is that of the last changes
                self._updates[index] = row

    def _end(self, how: EndedBy) -> None:
        if how == "flag":
            how = "empty" if not self._rows else "snip" if self.start_was_cut else "flag"
        self.ended_by = how


def index_in(row: Row) -> int:
    """The index of an event's row; where that cannot be read, the one its time and sequence make. ProtocolViolation without either.

    An index is beyond what a float holds exactly, so one that comes as a float is not believed.

    >>> index_in({"index": "7238429996434378670"}) == index_in({"time": 1685328315116, "sequence": 53166})
    True
    """
    index, time, sequence = row.get("index"), row.get("time"), row.get("sequence", 0)
    if isinstance(index, str) and index.isascii() and index.isdecimal() and len(index) < 20:
        index = int(index)
    if type(index) is int and -(2**63) <= index < 2**63:
        return index
    if type(time) is int and type(sequence) is int:
        try:
            return index_of(time, sequence)
        except UsageError as error:
            raise ProtocolViolation(str(error)) from None
    raise ProtocolViolation(f"index {shown(index)} is no 64-bit integer, and time {shown(time)} cannot stand for it")


def flags_in(row: Row) -> int:
    """The event flags of a row; 0 where the column is not sent or empty. ProtocolViolation for what is no number."""
    flags = row.get("eventFlags")
    if type(flags) is int:
        return flags
    number = column_number(flags)
    if math.isinf(number):
        raise ProtocolViolation(f"eventFlags {shown(flags)} are no whole number")
    return 0 if math.isnan(number) else int(number)


def _content(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _TRANSPORT}
