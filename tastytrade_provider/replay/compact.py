"""A journal made into session files: decoded as the live feed was, one Parquet file per contract and session."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ..journal import segments
from ..journal.lock import is_locked, take_lock
from ..journal.sessions import SessionInfo, SessionWriter, session_info
from ..model import Action, Array, Contract, TradeBatch
from ..sessions import SessionTable, sessions_between
from ..tastytrade.decode import JournalDecoder

_FOLDER = "sessions"
_EARLIEST_NS = 1_356_998_400_000_000_000  # 2013, from where the session tables know


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of one contract's session.

    written  the file is new or has more in it       current  it was made of the same segments before
    kept     it was made of segments that are gone: it stays as it is
    open     the session is still being recorded: not yet
    """

    path: Path
    contract: Contract
    session: str
    outcome: Literal["written", "current", "kept", "open"]
    rows: int


@dataclass(slots=True)
class _Session:
    writer: SessionWriter
    close_ns: int
    sources: dict[str, int] = field(default_factory=dict)


def compact(path: Path | str, target: Path | str | None = None) -> list[Compacted]:
    """Make the session files of a journal's closed segments, in `target` (default: the journal's folder `sessions`). Each is written whole or not at all.

    While somebody records, the newest segment and sessions that are not over are left for later. Raises JournalDamaged where a segment is damaged.
    """
    path = Path(path)
    folder = Path(target) if target is not None else (path if path.is_dir() else path.parent) / _FOLDER
    every, is_recording = segments(path), is_locked((path if path.is_dir() else path.parent) / "lock")
    decoder = JournalDecoder(every[:-1] if is_recording else every, gather=512)
    sessions: dict[tuple[str, str], _Session] = {}
    last_ns = 0
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder / "lock", "writing session files")
    try:
        for read in decoder:
            for batch in read.items:
                if not isinstance(batch, TradeBatch) or read.segment is None:
                    continue
                last_ns = max(last_ns, int(batch.received_ns[-1]))
                for label, close_ns, part in _by_session(batch):
                    key = batch.contract.streamer_symbol, label
                    if key not in sessions:
                        sessions[key] = _Session(SessionWriter(session_path(folder, batch.contract, label), batch.contract, label), close_ns)
                    sessions[key].writer.add(part)
                    sessions[key].sources[read.segment.name] = read.segment.stat().st_size
        return [_finished(session, is_recording and session.close_ns > last_ns) for session in sessions.values()]
    finally:
        for session in sessions.values():
            session.writer.abort()
        os.close(lock)


def session_path(folder: Path, contract: Contract, session: str) -> Path:
    """Where the file of a contract's session lies.

    >>> session_path(Path("sessions"), Contract("ES", "/ESZ6", "/ESZ26:XCME"), "2026-11-24").as_posix()
    'sessions/ESZ26_XCME/2026-11-24.parquet'
    """
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", (contract.streamer_symbol or contract.symbol).strip("/"))
    return folder / name / f"{session}.parquet"


def _finished(session: _Session, is_open: bool) -> Compacted:
    writer = session.writer

    def outcome(word: Literal["written", "current", "kept", "open"], rows: int) -> Compacted:
        return Compacted(writer.path, writer.contract, writer.session, word, rows)

    if is_open:
        return outcome("open", 0)
    there = _there(writer.path)
    if there is not None and there.sources == session.sources:
        return outcome("current", there.rows)
    if there is not None and not all(size <= session.sources.get(name, -1) for name, size in there.sources.items()):
        return outcome("kept", there.rows)
    return outcome("written", writer.close(session.sources).rows)


def _there(path: Path) -> SessionInfo | None:
    return session_info(path) if path.exists() else None


def _by_session(batch: TradeBatch) -> Iterator[tuple[str, int, TradeBatch]]:
    """Label date, close and trades of each session in a batch. A correction or cancel goes where the trade is that its index names."""
    at_ns = batch.time_ns
    if batch.action.any():
        named_ns = (batch.index >> 32) * 1_000_000_000 + ((batch.index >> 22) & 0x3FF) * 1_000_000
        at_ns = np.where((batch.action != Action.NEW) & (named_ns > _EARLIEST_NS), np.minimum(named_ns, at_ns), at_ns)
    table = sessions_between(batch.contract.calendar, int(at_ns.min()), int(at_ns.max()))
    place = table.index_of(at_ns)
    for row in _distinct(place):
        yield _label(table, row), int(table.close_ns[row]), batch if (place == row).all() else batch[place == row]


def _distinct(place: Array) -> list[int]:
    return [int(place[0])] if place[0] == place[-1] and (place == place[0]).all() else [int(row) for row in np.unique(place)]


def _label(table: SessionTable, row: int) -> str:
    return table.label_date(row).isoformat()
