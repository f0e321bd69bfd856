"""The table of frames: it answers as a list would, or says that it cannot."""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.files.layer import Effects
from aurora_es.format.frame_table import SegmentIdentity
from aurora_es.segment.frame_table import (
    FramePlaces,
    FrameTable,
    TableDamagedError,
    write_frame_table,
)
from tests.journal.support import (
    QuickFiles,
    ScriptedFiles,
    effects_with,
    error_of,
    flip,
    run_threads,
)

BASE = 1001
IDENTITY = SegmentIdentity(bytes(16), 3, BASE, 0, 1 << 33, 77)
FILES = QuickFiles()
Entry = tuple[int, int, int, int]  # first position, record count, offset, length


def entries_of(sizes: list[tuple[int, int, int]]) -> list[Entry]:
    """Frames from (record count, length / 8, bytes / 8 of frames without records behind it)."""
    entries, position, offset = [], BASE, 128 + 80
    for count, length, gap in sizes:
        entries.append((position, count, offset, 8 * length))
        position, offset = position + count, offset + 8 * (length + gap)
    return entries


def places_of(entries: list[Entry]) -> FramePlaces:
    """The same, as they are written."""
    places = FramePlaces(BASE)
    for entry in entries:
        places.add(*entry)
        places.add(entry[0] + entry[1], 0, entry[2] + entry[3], 80)
    return places


def table_of(directory: str, entries: list[Entry], effects: Effects | None = None) -> FrameTable:
    """Write a table and open it."""
    effects = effects_with() if effects is None else effects
    name = write_frame_table(effects, directory, IDENTITY, places_of(entries))
    return FrameTable(effects.files, os.path.join(directory, name), IDENTITY)


class Model:
    """Answers from the plain list."""

    def __init__(self, entries: list[Entry]) -> None:
        """Keep positions and offsets."""
        self.firsts = [entry[0] for entry in entries]
        self.offsets = [entry[2] for entry in entries]
        self.ends = [*self.offsets[1:], entries[-1][2] + entries[-1][3]]
        self.last = entries[-1][0] + entries[-1][1] - 1

    def frame_of(self, position: int) -> tuple[int, int, int]:
        """As the table does."""
        at = bisect_right(self.firsts, position) - 1
        return self.offsets[at], self.ends[at] - self.offsets[at], self.firsts[at]

    def frames_between(
        self, position: int, until: int, bytes_max: int
    ) -> tuple[list[int], list[int], int]:
        """As the table does, if it looked at all of its blocks."""
        at = end = bisect_right(self.firsts, position) - 1
        begin = self.offsets[at]
        while end == at or (
            end < len(self.firsts)
            and self.firsts[end] <= until
            and self.ends[end] - begin <= bytes_max
        ):
            end += 1
        return self.offsets[at:end], self.firsts[at:end], self.ends[end - 1] - begin


def check(table: FrameTable, model: Model, position: int, until: int, bytes_max: int) -> None:
    """Compare the answers to one question."""
    assert table.frame_of(position) == model.frame_of(position)
    offsets, firsts, length = table.frames_between(position, until, bytes_max)
    expected = model.frames_between(position, until, bytes_max)
    if len(offsets) < len(expected[0]):
        # Two blocks have been looked at, up to the end of the second one.
        at = model.offsets.index(offsets[0])
        assert (at + len(offsets)) % 126 == 0
        assert len(offsets) >= 127
        expected = model.frames_between(position, firsts[-1], bytes_max)
    assert (offsets, firsts, length) == expected


sizes = st.tuples(st.integers(1, 5), st.integers(10, 3000), st.sampled_from([0, 0, 0, 10, 21]))


@given(
    st.lists(sizes, min_size=1, max_size=8)
    | st.tuples(st.lists(sizes, min_size=1, max_size=8), st.integers(10, 80)).map(
        lambda drawn: drawn[0] * drawn[1]
    ),
    st.data(),
)
def test_it_answers_as_a_list_would(
    frames: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Whatever the frames, positions and bounds, the answers are those of a plain search."""
    entries = entries_of(frames)
    model = Model(entries)
    with TemporaryDirectory() as directory:
        table = table_of(directory, entries)
        for _ in range(20):
            position = data.draw(st.integers(BASE, model.last))
            until = data.draw(st.integers(position, model.last + 2))
            check(table, model, position, until, data.draw(st.integers(0, 1 << 20)))


@pytest.mark.parametrize("count", [1, 125, 126, 127, 252, 253, 2000, 200_000])
def test_block_borders(tmp_path: Path, count: int) -> None:
    """Positions beside the borders of blocks, and at both ends, are found in large tables, too."""
    entries = entries_of([(2, 12, 0)] * count)
    model, table = Model(entries), table_of(str(tmp_path), entries)
    assert os.path.getsize(table.path) == 128 + 1028 * -(-count // 126)
    borders = {0, 1, count - 1, *(126 * block + step for block in (1, 2, 1500) for step in (-1, 0))}
    for frame in borders & set(range(count)):
        for position in (BASE + 2 * frame, BASE + 2 * frame + 1):
            for until in (position, position + 100, position + 10**6):
                for bytes_max in (0, 96, 5000, 1 << 30):
                    check(table, model, position, until, bytes_max)


def test_few_blocks_are_kept(tmp_path: Path) -> None:
    """However long a table is, it keeps a bounded part of it in memory."""
    table = table_of(str(tmp_path), entries_of([(1, 12, 0)] * 126 * 70))
    for position in range(BASE, BASE + 126 * 70, 50):
        table.frame_of(position)
        assert len(table._kept) <= 32


def test_an_answer_takes_one_read_or_two(tmp_path: Path) -> None:
    """A look-up reads one block, once; a run reads a second one only if it goes on there."""
    scripted = ScriptedFiles()
    table = table_of(str(tmp_path), entries_of([(1, 12, 0)] * 300), effects_with(scripted))

    def reads(position: int, until: int, bytes_max: int) -> int:
        scripted.calls.clear()
        table._kept.clear()
        found = table.frames_between(position, until, bytes_max)
        count = len(scripted.calls)
        assert table.frames_between(position, until, bytes_max) == found
        assert len(scripted.calls) == count
        return count

    assert reads(BASE, BASE + 99, 1 << 20) == 1
    assert reads(BASE + 100, BASE + 125, 1 << 20) == 1
    assert reads(BASE + 100, BASE + 126, 1 << 20) == 2
    assert reads(BASE + 100, BASE + 199, 26 * 96) == 1
    assert reads(BASE, BASE + 299, 1 << 20) == 2
    scripted.calls.clear()
    table._kept.clear()
    table.frame_of(BASE + 200)
    table.frame_of(BASE + 201)
    assert len(scripted.calls) == 1


def test_a_segment_without_records_has_an_empty_table(tmp_path: Path) -> None:
    """A segment that holds tracking only has a table that says so."""
    table = table_of(str(tmp_path), [])
    assert os.path.getsize(table.path) == 128


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    """A table with a wrong byte, or cut, or longer, gives the right answers or TableDamagedError."""
    entries = entries_of([(2, 12, 0), (1, 30, 10)] * 70)
    model, table = Model(entries), table_of(str(tmp_path), entries)
    path = Path(table.path)
    data = path.read_bytes()
    noticed = 0
    for at in range(len(data)):
        flip(path, at, 1 << at % 8)
        noticed += not answers(path, model)
        flip(path, at, 1 << at % 8)
    assert noticed == len(data)
    for size in [*range(0, len(data), 7), len(data) - 1, len(data) + 1]:
        path.write_bytes((data + b"\0")[:size])
        assert not answers(path, model)
    path.write_bytes(data)
    assert answers(path, model)


def answers(path: Path, model: Model) -> bool:
    """Ask for every frame; whether all was answered, rightly, or TableDamagedError came."""
    try:
        table = FrameTable(FILES, str(path), IDENTITY)
        for first in (model.firsts[0], model.last):
            check(table, model, first, model.last, 1 << 20)
    except TableDamagedError:
        return False
    return True


def test_a_file_that_changes_under_a_reader_is_noticed(tmp_path: Path) -> None:
    """Blocks are checked when they are read, not when the table is opened."""
    entries = entries_of([(1, 12, 0)] * 300)
    table = table_of(str(tmp_path), entries)
    data = Path(table.path).read_bytes()
    Path(table.path).write_bytes(data[:128] + data[128 + 1024 : 128 + 2048] * 2)
    for call in (lambda: table.frame_of(BASE), lambda: table.frames_between(BASE, BASE, 1)):
        with pytest.raises(TableDamagedError, match="block 0"):
            call()
    with pytest.raises(TableDamagedError, match="block 2"):
        table.frame_of(BASE + 299)


@pytest.mark.parametrize(
    "wrong",
    [
        {"genesis_id": b"another journal!"},
        {"segment_number": 4},
        {"base_position": BASE + 1},
        {"revision": 1},
        {"end_offset": (1 << 33) - 8},
        {"last_checksum": 78},
    ],
)
def test_the_table_of_other_contents_is_not_used(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """A table that was copied, or left behind by another history of the segment, is refused."""
    path = table_of(str(tmp_path), entries_of([(1, 12, 0)])).path
    with pytest.raises(TableDamagedError, match="expected the table of"):
        FrameTable(FILES, path, IDENTITY._replace(**wrong))


def test_a_missing_file_and_what_is_no_file(tmp_path: Path) -> None:
    """No table, a link and a directory are as good as a damaged table."""
    (tmp_path / "link").symlink_to(table_of(str(tmp_path), entries_of([(1, 12, 0)])).path)
    for name in ("missing", "link", "."):
        with pytest.raises(TableDamagedError):
            FrameTable(FILES, str(tmp_path / name), IDENTITY)


def test_a_read_that_fails(tmp_path: Path) -> None:
    """What the medium does not give back is damaged."""
    scripted = ScriptedFiles()
    effects = effects_with(scripted)
    table = table_of(str(tmp_path), entries_of([(1, 12, 0)]), effects)
    scripted.fail("pread", error_of(errno.EIO), times=2)
    with pytest.raises(TableDamagedError):
        table.frame_of(BASE)
    with pytest.raises(TableDamagedError):
        FrameTable(scripted.files, table.path, IDENTITY)
    assert table.frame_of(BASE) == (208, 96, BASE)


def test_a_table_is_whole_before_it_has_its_name(tmp_path: Path) -> None:
    """It is written beside, synced, then renamed; one that is there, or half of one, gives way."""
    old = table_of(str(tmp_path), entries_of([(5, 12, 0)]))
    Path(old.path + ".new").write_bytes(b"half a table")
    scripted = ScriptedFiles()
    table = table_of(str(tmp_path), entries_of([(1, 12, 0)] * 2), effects_with(scripted))
    names = [name for name, _ in scripted.calls]
    writing = [name for name in names if name in {"pwrite", "fsync", "rename"}]
    assert writing == ["pwrite", "fsync", "rename"]
    assert table.frame_of(BASE + 1) == (304, 96, BASE + 1)
    assert old.frame_of(BASE + 1) == (208, 96, BASE)  # the old file lives on with its reader
    assert os.listdir(tmp_path) == [os.path.basename(table.path)]


@pytest.mark.parametrize("name", ["open", "pwrite", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_table(tmp_path: Path, name: str) -> None:
    """If a table cannot be replaced, the one that is there stays."""
    old = table_of(str(tmp_path), entries_of([(5, 12, 0)]))
    scripted = ScriptedFiles()
    scripted.fail(name, error_of(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        table_of(str(tmp_path), entries_of([(1, 12, 0)]), effects_with(scripted))
    assert FrameTable(FILES, old.path, IDENTITY).frame_of(BASE + 4) == (208, 96, BASE)


def test_descriptors_are_closed(tmp_path: Path) -> None:
    """A table is closed with its last reference, and at once where it is refused."""
    scripted = ScriptedFiles()
    effects = effects_with(scripted)
    table = table_of(str(tmp_path), entries_of([(1, 12, 0)]), effects)
    path = table.path
    del table
    with pytest.raises(TableDamagedError):
        FrameTable(scripted.files, path, IDENTITY._replace(revision=1))
    names = [name for name, _ in scripted.calls]
    assert names.count("open") == names.count("close") == 3


def test_threads_share_a_table(tmp_path: Path) -> None:
    """Any number of threads get right answers from one table without a lock."""
    entries = entries_of([(2, 12, 0)] * 1000)
    model, table = Model(entries), table_of(str(tmp_path), entries)

    def ask(seed: int) -> int:
        rng = Random(seed)
        for _ in range(300):
            position = rng.randint(BASE, model.last)
            check(table, model, position, position + rng.randint(0, 600), rng.randint(0, 30_000))
        return seed

    assert run_threads(partial(ask, seed) for seed in range(6)) == [*range(6)]
