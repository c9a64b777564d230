"""The spool: what was appended comes back, once, in order, whatever cut the power; what is refused was never kept."""

import os

import pytest

from streams.ingest.record import Record, from_body, to_frame
from streams.ingest.spool import Spool, SpoolFull
from streams.runtime.errors import BadSettings


def record(number, value=b"payload"):
    return Record("topic", b"key-%d" % number, value, 1_000 + number, [("receipt", b"r%d" % number), ("query", b"a=%FF")])


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool", 1 << 20)
    made.open()
    yield made
    made.close()


def reopened(spool, **arguments):
    spool.close()
    again = Spool(spool.folder, spool.max_bytes, **arguments)
    again.open()
    return again


async def everything(spool):
    found = []
    while items := await spool.read():
        found += [item.record for item in items]
        spool.advance(items[-1].end)
    return found


@pytest.mark.parametrize("value", [b"", b"\x00\xff", b"x" * 70_000])
def test_a_frame_gives_back_its_record(value):
    assert from_body(memoryview(to_frame(record(1, value)))[12:]) == record(1, value)


async def test_records_come_back_in_order_after_a_restart(spool):
    await spool.append([record(n) for n in range(3)])
    await spool.append([record(3)])
    again = reopened(spool)
    assert await everything(again) == [record(n) for n in range(4)]
    assert again.is_empty
    again.close()


async def test_what_was_drained_does_not_come_again(spool):
    await spool.append([record(n) for n in range(4)])
    items = await spool.read()
    spool.advance(items[1].end)
    again = reopened(spool)
    assert await everything(again) == [record(2), record(3)]
    assert await everything(reopened(again)) == []


@pytest.mark.parametrize("cut", [1, 7, 20])
async def test_a_torn_tail_is_cut_and_the_rest_is_whole(spool, cut):
    await spool.append([record(1)])
    await spool.append([record(2)])
    path = next(spool.folder.glob("*.spool"))
    os.truncate(path, path.stat().st_size - cut)
    again = reopened(spool)
    await again.append([record(3)])
    assert await everything(again) == [record(1), record(3)]
    assert next(spool.folder.glob("*.torn")).stat().st_size == len(to_frame(record(2))) - cut
    again.close()


async def test_zeros_behind_the_end_are_a_torn_tail(spool):
    await spool.append([record(1)])
    with next(spool.folder.glob("*.spool")).open("ab") as file:
        file.write(bytes(4096))
    again = reopened(spool)
    assert await everything(again) == [record(1)]
    again.close()


async def test_a_damaged_segment_is_set_aside_and_the_next_ones_are_read(tmp_path):
    spool = Spool(tmp_path, 1 << 20, segment_bytes=100)
    spool.open()
    for number in range(3):
        await spool.append([record(number, b"x" * 200)])  # each is larger than a segment: one segment each
    first = min(tmp_path.glob("*.spool"))
    data = bytearray(first.read_bytes())
    data[50] ^= 1
    first.write_bytes(data)
    assert await everything(spool) == [record(1, b"x" * 200), record(2, b"x" * 200)]
    assert first.with_suffix(".damaged").read_bytes() == data
    spool.close()


async def test_drained_segments_are_deleted_and_clear_leaves_nothing(tmp_path):
    spool = Spool(tmp_path, 1 << 20, segment_bytes=100)
    spool.open()
    for number in range(5):
        await spool.append([record(number, b"x" * 200)])
    assert len(list(tmp_path.glob("*.spool"))) == 5
    await everything(spool)
    assert len(list(tmp_path.glob("*.spool"))) == 1
    spool.clear()
    assert not list(tmp_path.glob("*.spool"))
    await spool.append([record(9)])
    assert await everything(spool) == [record(9)]
    spool.close()


async def test_a_record_larger_than_a_read_comes_whole(spool):
    await spool.append([record(1, b"x" * 5_000), record(2)])
    items = await spool.read(max_bytes=100)
    assert [item.record for item in items] == [record(1, b"x" * 5_000)]


async def test_beyond_its_limit_it_keeps_nothing_of_a_batch(tmp_path):
    spool = Spool(tmp_path, 300)
    spool.open()
    await spool.append([record(1)])
    with pytest.raises(SpoolFull):
        await spool.append([record(2), record(3, b"x" * 300)])
    assert await everything(spool) == [record(1)]
    await spool.append([record(4)])  # there is room again
    spool.close()


async def test_after_a_failed_write_it_goes_on_in_a_new_segment(spool, monkeypatch):
    await spool.append([record(1)])
    real = os.pwrite

    def half(file, data, at):
        real(file, bytes(data)[: len(data) // 2], at)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(SpoolFull, match="No space"):
        await spool.append([record(2)])
    monkeypatch.setattr(os, "pwrite", real)
    await spool.append([record(3)])
    again = reopened(spool)
    assert await everything(again) == [record(1), record(3)]
    again.close()


async def test_a_failed_first_write_leaves_no_second_file_of_the_same_name(spool, monkeypatch):
    def failing(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", failing)
    for _ in range(2):
        with pytest.raises(SpoolFull):
            await spool.append([record(1)])
    monkeypatch.undo()
    await spool.append([record(2)])
    again = reopened(spool)
    assert await everything(again) == [record(2)]
    again.close()


def test_two_processes_cannot_share_a_spool(spool):
    with pytest.raises(BadSettings, match="Another ingest"):
        Spool(spool.folder, 1 << 20).open()
