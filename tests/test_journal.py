from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastytrade_provider.dxlink.messages import Auth, encode
from tastytrade_provider.errors import JournalDamaged, UsageError
from tastytrade_provider.journal import Journal, Reader, contexts, log, segments, verify
from tastytrade_provider.journal.records import HEADER_SIZE, Kind, decode_header, encode_header, record_at
from tastytrade_provider.journal.records import encode as encode_record
from tastytrade_provider.journal.segments import resets
from tastytrade_provider.model import Gap, TradeBatch
from tastytrade_provider.tastytrade.decode import JournalDecoder
from tests.checks.builders import ES
from tests.checks.journals import COLUMNS, a_message, kill_while_recording, raws, write
from tests.checks.sources import until


def places(segment: Path) -> list[int]:
    """Where each record of a segment begins, and after them its end."""
    data = segment.read_bytes()
    header = decode_header(data)
    assert header is not None
    found = [HEADER_SIZE]
    while (record := record_at(data, found[-1], header.salt)) is not None:
        found.append(record.end)
    return found


def only(folder: Path) -> Path:
    [segment] = segments(folder)
    return segment


# -- framing

STAMPS = st.integers(0, 2**63 - 1)


@pytest.mark.property
@given(st.sampled_from(Kind), STAMPS, STAMPS, st.binary(max_size=300), st.integers(0, 2**32 - 1), st.integers(0, 200))
def test_a_record_reads_back_where_it_was_written(kind: Kind, wall_ns: int, monotonic_ns: int, payload: bytes, salt: int, place: int) -> None:
    data = bytes(place) + encode_record(kind, wall_ns, monotonic_ns, payload, salt, place)
    assert record_at(data, place, salt) == (kind, wall_ns, monotonic_ns, payload, len(data))


@pytest.mark.property
@given(st.binary(max_size=100), st.integers(0, 2**32 - 1), st.integers(0, 50), st.data())
def test_a_record_with_any_bit_changed_is_none(payload: bytes, salt: int, place: int, data: st.DataObject) -> None:
    written = bytearray(bytes(place) + encode_record(Kind.DATA, 1, 2, payload, salt, place) + bytes(1 << 10))
    bit = data.draw(st.integers(8 * place, 8 * (len(written) - (1 << 10)) - 1))
    written[bit // 8] ^= 1 << bit % 8
    assert record_at(written, place, salt) is None


@pytest.mark.property
@given(st.binary(max_size=100), st.integers(1, 50))
def test_a_record_is_none_anywhere_else_and_under_another_header(payload: bytes, moved: int) -> None:
    written = encode_record(Kind.DATA, 1, 2, payload, 77, 40)
    assert record_at(bytes(40 + moved) + written, 40 + moved, 77) is None
    assert record_at(bytes(40) + written, 40, 78) is None


@pytest.mark.property
@given(st.binary(max_size=200))
def test_noise_is_no_header(noise: bytes) -> None:
    assert decode_header(noise) is None
    header, salt = encode_header(5, 3)
    assert decode_header(header + noise) == (5, 3, salt)


# -- recording and reading


def test_what_was_recorded_comes_back_in_order_byte_by_byte(tmp_path: Path) -> None:
    write(tmp_path, range(20), rows=10)
    assert raws(tmp_path) == [a_message(number, 10) for number in range(20)]
    [report] = verify(tmp_path)
    assert {kind: count for kind, count in report.records.items() if count} == {"data": 20, "context": 1}
    assert report.damages == []
    assert contexts(tmp_path).contracts == {ES.streamer_symbol: ES}
    assert contexts(tmp_path).columns == COLUMNS


def test_one_message_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, sizes = Journal(tmp_path), list[int]()
    journal.open()
    journal.append([a_message(0)], [0], COLUMNS)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: sizes.append(len(data)) or real(fd, data))
    journal.append([a_message(1), a_message(2)], [1, 2], COLUMNS)
    monkeypatch.undo()
    journal.close()
    assert sizes == [25 + len(a_message(number)) for number in (1, 2)]


def test_messages_of_one_read_share_the_monotonic_time_and_keep_their_own_wall_time(tmp_path: Path) -> None:
    ticks = iter([0, 100, 200])
    journal = Journal(tmp_path, monotonic_ns=lambda: next(ticks))
    journal.open()
    journal.append([a_message(0), a_message(1)], [7, 8], COLUMNS)
    journal.append([a_message(2)], [9], COLUMNS)
    journal.close()
    found = [(record.monotonic_ns, record.wall_ns) for record in Reader(segments(tmp_path)) if record.kind is Kind.DATA]
    assert found == [(100, 7), (100, 8), (200, 9)]


@pytest.mark.parametrize("raw", [encode(Auth("s3cret")), b'{"channel":1,"type":"FEED_DATA","data":[]}', b"", b'{"type":"AUTH_STATE","channel":0,"userId":"u"}'])
def test_anything_but_feed_data_is_refused_and_leaves_no_trace(tmp_path: Path, raw: bytes) -> None:
    journal = Journal(tmp_path)
    journal.open()
    with pytest.raises(UsageError, match="FEED_DATA") as told:
        journal.append([raw], [0], {})
    journal.close()
    assert "s3cret" not in str(told.value)
    assert segments(tmp_path) == []


def test_every_segment_stands_by_itself(tmp_path: Path) -> None:
    write(tmp_path, range(100), max_bytes=4000)
    every = segments(tmp_path)
    assert len(every) > 3
    assert all(segment.stat().st_size < 4000 + 400 for segment in every)
    assert raws(tmp_path) == [a_message(number) for number in range(100)]
    for segment in every:
        assert next(iter(Reader([segment]))).kind is Kind.CONTEXT
        assert contexts(segment).contracts == {ES.streamer_symbol: ES}


def test_an_old_segment_is_followed_by_a_new_one(tmp_path: Path) -> None:
    now = [1_000]
    journal = Journal(tmp_path, monotonic_ns=lambda: now[0], max_age_ns=3_600)
    journal.open()
    for hour in range(3):
        now[0] = 1_000 + hour * 3_600
        journal.append([a_message(2 * hour)], [now[0]], COLUMNS)
        journal.append([a_message(2 * hour + 1)], [now[0]], COLUMNS)
    journal.close()
    assert [report.records["data"] for report in verify(tmp_path)] == [2, 2, 2]


def test_columns_that_change_are_told_before_the_message_they_are_of(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES)
    other = {name: tuple(reversed(fields)) for name, fields in COLUMNS.items()}
    for columns in (COLUMNS, COLUMNS, other):
        journal.append([a_message(0)], [0], columns)
    journal.append_gap(Gap(ES, 1, 2, "connection lost"))
    journal.close()
    assert [record.kind.name for record in Reader(segments(tmp_path))] == ["CONTEXT", "DATA", "DATA", "CONTEXT", "DATA", "GAP"]


def test_two_cannot_record_in_one_folder(tmp_path: Path) -> None:
    journal, other = Journal(tmp_path), Journal(tmp_path)
    journal.open()
    with pytest.raises(UsageError, match="another process is recording"):
        other.open()
    journal.close()
    other.open()
    other.close()
    other.close()


def test_reading_while_recording_gives_whole_messages(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=3000)
    journal.open()
    for number in range(50):
        journal.append([a_message(number)], [number], COLUMNS)
        assert len(raws(tmp_path)) == number + 1
    journal.close()


# -- damage

DAMAGES = ("cut", "zeros", "garbage", "a copy of a good record", "zero after the cut")


def test_a_tail_cut_at_any_byte_of_the_last_record_costs_that_record_only(tmp_path: Path) -> None:
    write(tmp_path / "whole", range(5))
    start, end = places(only(tmp_path / "whole"))[-2:]
    for cut in range(start, end):
        folder = tmp_path / str(cut)
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(only(folder), cut)
        reader = Reader(segments(folder))
        assert [record.payload for record in reader if record.kind is Kind.DATA] == [a_message(number) for number in range(4)]
        assert reader.torn == cut - start
        assert [(damage.place, damage.end, damage.is_tail) for damage in verify(folder)[0].damages] == ([(start, cut, True)] if cut > start else [])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("way", DAMAGES)
def test_a_damaged_tail_is_detected_repaired_and_kept(tmp_path: Path, way: str, seed: int) -> None:
    chance = random.Random(seed)
    write(tmp_path, range(6))
    segment = only(tmp_path)
    *_, before, start, end = places(segment)
    data = segment.read_bytes()
    bad = {
        "cut": data[start : chance.randrange(start + 1, end)],
        "zeros": bytes(chance.randint(1, 9000)),
        "garbage": chance.randbytes(chance.randint(1, 9000)),
        "a copy of a good record": data[before:start],
        "zero after the cut": data[start : start + 30] + bytes(chance.randint(1, 500)),
    }[way]
    good = 5 if way in ("cut", "zero after the cut") else 6
    kept = data[:start] if good == 5 else data
    segment.write_bytes(kept + bad)
    assert raws(tmp_path) == [a_message(number) for number in range(good)]
    [damage] = verify(tmp_path)[0].damages
    assert (damage.place, damage.end, damage.is_tail) == (len(kept), len(kept) + len(bad), True)

    journal = Journal(tmp_path)
    journal.open()
    assert journal.repaired == len(bad)
    journal.append([a_message(6)], [6], COLUMNS)
    journal.close()
    assert raws(tmp_path) == [*(a_message(number) for number in range(good)), a_message(6)]
    assert segment.with_name(f"{segment.name}.damaged").read_bytes() == bad
    assert [report.damages for report in verify(tmp_path)] == [[], []]


@pytest.mark.parametrize("size", [0, 1, HEADER_SIZE - 1])
def test_a_segment_that_was_just_begun_is_put_aside(tmp_path: Path, size: int) -> None:
    write(tmp_path, range(3))
    header = only(tmp_path).read_bytes()[:size]
    (tmp_path / "00000002-x.ttj").write_bytes(header)
    assert len(raws(tmp_path)) == 3
    write(tmp_path, range(3, 5))
    assert raws(tmp_path) == [a_message(number) for number in range(5)]
    assert [report.damages for report in verify(tmp_path) if report.size >= HEADER_SIZE] == [[], []]


def test_a_destroyed_header_in_front_of_messages_is_no_tail(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    segment = only(tmp_path)
    segment.write_bytes(bytes(HEADER_SIZE) + segment.read_bytes()[HEADER_SIZE:])
    with pytest.raises(JournalDamaged, match="damaged at byte 0"):
        raws(tmp_path)
    write(tmp_path, range(3))
    assert segment.stat().st_size > HEADER_SIZE
    assert [len(report.damages) for report in verify(tmp_path)] == [1, 0]


def test_damage_in_the_middle_is_an_error_that_names_file_and_place_and_verify_lists_all(tmp_path: Path) -> None:
    write(tmp_path, range(10))
    segment = only(tmp_path)
    at = places(segment)
    data = bytearray(segment.read_bytes())
    data[at[3] + 60] ^= 1
    data[at[6]] ^= 0x10  # of a length
    segment.write_bytes(data)
    reader, read = Reader(segments(tmp_path)), []
    with pytest.raises(JournalDamaged, match=f"{segment.name}: damaged at byte {at[3]:,}"):
        read.extend(reader)
    assert len(read) == 3  # the context and two messages
    assert [(damage.place, damage.end, damage.is_tail) for damage in verify(tmp_path)[0].damages] == [(at[3], at[4], False), (at[6], at[7], False)]


def test_a_torn_tail_in_front_of_another_segment_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    write(tmp_path, range(3, 6))
    first, _ = segments(tmp_path)
    os.truncate(first, first.stat().st_size - 1)
    with pytest.raises(JournalDamaged, match=first.name):
        raws(tmp_path)
    assert [len(report.damages) for report in verify(tmp_path)] == [1, 0]


def test_damage_in_the_middle_does_not_keep_one_from_recording(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    segment = only(tmp_path)
    data = bytearray(segment.read_bytes())
    data[places(segment)[2] + 50] ^= 1
    segment.write_bytes(data)
    write(tmp_path, range(5, 8))
    assert segment.read_bytes() == bytes(data)
    assert [report.records["data"] for report in verify(tmp_path)] == [4, 3]


def test_a_full_disk_costs_the_messages_it_has_no_room_for_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.open()
    journal.append([a_message(0)], [0], COLUMNS)
    real = os.write

    def some_of_it(fd: int, data: bytes) -> None:
        real(fd, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", some_of_it)
    journal.append([a_message(1), a_message(2)], [1, 2], COLUMNS)
    assert journal.lost == 2
    assert journal.failure is not None
    assert "No space left" in journal.failure
    monkeypatch.undo()
    journal.append([a_message(3)], [3], COLUMNS)
    journal.close()
    assert raws(tmp_path) == [a_message(0), a_message(3)]
    assert len({report.run_ns for report in verify(tmp_path)}) == 2  # so that a replay tells the gap


# -- durability


async def test_it_is_made_durable_each_second_off_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, waits, wake = list[int](), list[float](), asyncio.Queue[None]()
    real = log._to_disk
    monkeypatch.setattr(log, "_to_disk", lambda fd: threads.append(threading.get_ident()) or real(fd))

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await wake.get()

    async with Journal(tmp_path, sleep=sleep, max_bytes=200) as journal:
        await until(lambda: waits, "it does not wait")
        for number in range(3):
            journal.append([a_message(number)], [number], COLUMNS)
        assert threads == []
        wake.put_nowait(None)
        await until(lambda: len(waits) == 2, "it does not go on")
        assert len(threads) == 3  # two full segments and the newest
        assert journal.syncs == 1
    assert waits == [1.0, 1.0]
    assert threading.get_ident() not in threads
    assert journal.syncs == 2
    assert raws(tmp_path) == [a_message(number) for number in range(3)]


@pytest.mark.parametrize("seed", [1])
def test_killing_the_recorder_loses_nothing_it_wrote(tmp_path: Path, seed: int) -> None:
    toll = kill_while_recording(tmp_path, 5, seed)
    assert (toll.kills, toll.lost, toll.phantoms, toll.undetected) == (5, 0, 0, 0)
    assert toll.written > 50


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killing_the_recorder_fifty_times_loses_nothing_it_wrote(tmp_path: Path) -> None:
    toll = kill_while_recording(tmp_path, 50, 20261122)
    assert (toll.kills, toll.lost, toll.phantoms, toll.undetected) == (50, 0, 0, 0)


# -- resets of CVD


def test_a_reset_comes_back_under_its_contract_and_leaves_the_messages_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=2_000)
    journal.open()
    journal.watch(ES)
    for number in range(30):
        journal.append([a_message(number)], [number], COLUMNS)
        if number in (7, 21):
            journal.append_reset(ES, 1_000 + number)
    journal.append_reset(replace(ES, streamer_symbol="/NQZ26:XCME"), 5)
    journal.close()
    assert len(segments(tmp_path)) > 2
    assert resets(tmp_path, ES) == [1_007, 1_021]
    assert raws(tmp_path) == [a_message(number) for number in range(30)]
    assert sum(report.records["reset"] for report in verify(tmp_path)) == 3
    assert [item for read in JournalDecoder(segments(tmp_path)) for item in read.items if not isinstance(item, TradeBatch)] == []


def test_damage_before_a_reset_is_found_and_the_reset_behind_it_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open()
    journal.watch(ES)
    journal.append([a_message(0)], [0], COLUMNS)
    journal.append_reset(ES, 42)
    journal.close()
    segment = only(tmp_path)
    data = bytearray(segment.read_bytes())
    data[places(segment)[1] + 30] ^= 1
    segment.write_bytes(data)
    [damage] = verify(tmp_path)[0].damages
    assert not damage.is_tail
    assert resets(tmp_path, ES) == [42]
