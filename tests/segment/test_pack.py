"""Cooling a segment: the copy holds the same commits, or there is none."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.errors import AuroraConfigurationError, CorruptionError, UnsupportedFormatError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.frame import FLAG_COMPATIBLE, KIND_PACKED, decode_header, frame_bytes
from aurora_es.format.names import segment_name
from aurora_es.format.packed import decode_packed, decode_sealed_end
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.segment.commits import CommitWalk, iterate_commits
from aurora_es.segment.digest import logical_digest
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.frame_table import FrameTable, write_frame_table
from aurora_es.segment.pack import PackedSegment, verify_packed, write_packed
from aurora_es.segment.read import decode_frame, decode_groups, read_record
from tests.journal.support import QuickFiles, ScriptedFiles, effects_with, error_of, flip
from tests.segment.sealed import (
    CHECKPOINT,
    Commit,
    add_end,
    commit_lists,
    in_bytes,
    plain,
    timestamp,
    write_sealed,
)
from tests.segment.test_walk import BASE_COMMIT, BASE_POSITION, Segment

ROW = (bytes(16), 1, "topic", b"state")
NAME = segment_name(2, BASE_POSITION, 1)
CODECS = [0, 1, 2, 3]


def constant_bytes(count: int) -> bytes:
    """Stand for random bytes."""
    return b"salty!!!"[:count]


def small(**more: Any) -> list[Commit]:
    """A few commits."""
    return [
        Commit([ROW] * 2, ("name", 7, 0), frames=2),
        Commit(),
        Commit([(None, None, "Note", b"x" * 100, ("tag",))], **more),
        Commit(tracking=("name", 8, 0)),
    ]


def cool(
    directory: Path, source: SegmentFile, *, codec: int = 0, revision: int = 1, **more: Any
) -> tuple[SegmentFile, PackedSegment]:
    """Cool a segment and open the copy where it was left."""
    effects = more.get("effects") or effects_with()
    packed = write_packed(effects, str(directory), source, revision=revision, codec=codec)
    verify_packed(effects.files, str(directory), packed)
    return (
        SegmentFile(effects.files, str(directory / (packed.name + ".new")), writable=False),
        packed,
    )


def frames_of(path: str | Path) -> list[tuple[int, Any]]:
    """Offsets and headers of all frames."""
    data = Path(path).read_bytes()
    offset, frames = SEGMENT_HEADER_BYTES, []
    while offset < len(data):
        decoded = decode_header(data, offset)
        assert decoded is not None
        frames.append((offset, decoded[0]))
        offset += frame_bytes(decoded[0].stored_length)
    return frames


@given(commits=commit_lists, codec=st.sampled_from(CODECS), again=st.sampled_from(CODECS))
def test_the_copy_holds_the_same(
    tmp_path_factory: pytest.TempPathFactory, commits: list[Commit], codec: int, again: int
) -> None:
    """Whatever commits, a cooled segment, and one cooled again, gives them back byte for byte."""
    directory = tmp_path_factory.mktemp("pack")
    source = write_sealed(directory / "raw", commits)
    digest, walk = logical_digest(source)
    first, facts = cool(directory, source, codec=codec)
    second, more = cool(directory, first, codec=again, revision=2)
    assert walk.end is not None
    for file, packed in ((first, facts), (second, more)):
        assert in_bytes(iterate_commits(file)) == plain(commits)
        assert packed.end.digest == digest
        assert packed.end[2:4] == walk.end[:2]
        assert packed.size_bytes == file.size_bytes()
        assert packed.last_position == BASE_POSITION - 1 + sum(len(one.rows) for one in commits)
        assert packed.last_commit == BASE_COMMIT - 1 + len(commits)
        assert file.header[4:8] == source.header[4:8]
        assert file.header[13:] == source.header[13:]
        check_reading(directory, file, packed, commits)


def check_reading(
    directory: Path, file: SegmentFile, packed: PackedSegment, commits: list[Commit]
) -> None:
    """Read every record through the table of frames, in all three ways."""
    name = write_frame_table(effects_with(), str(directory), packed.identity, packed.places)
    table = FrameTable(file.files, str(directory / name), packed.identity)
    expected = [
        (row[3], timestamp(number))
        for number, commit in enumerate(commits, BASE_COMMIT)
        for row in commit.rows
    ]
    data = Path(file.path).read_bytes()
    position, end = BASE_POSITION, BASE_POSITION + len(expected)
    while position < end:
        offsets, firsts, length = table.frames_between(position, end - 1, 1 << 17)
        buffer = data[offsets[0] : offsets[0] + length]
        for offset, first in zip(offsets, firsts, strict=True):
            place = (file, buffer, offset - offsets[0], offset, first)
            groups = decode_groups(*place)
            assert [group[0] for group in groups] == [
                first + sum(len(group[2]) for group in groups[:at]) for at in range(len(groups))
            ]
            found = [(one.state, group[1]) for group in groups for one in group[2]]
            records, _ = decode_frame(*place)
            assert [one.state for one in records] == [state for state, _ in found]
            begin = first - BASE_POSITION
            assert found == expected[begin : begin + len(found)]
            position = first + len(found)
    for at, one in enumerate(expected):
        offset, length, first = table.frame_of(BASE_POSITION + at)
        record = read_record(file, offset, length, first, BASE_POSITION + at - first)
        assert record.state == one[0]


def test_a_cooled_segment_has_not_changed(tmp_path: Path) -> None:
    """Given the same commits, clock and random bytes, the file is the known one, byte by byte."""
    source = write_sealed(tmp_path / "raw", small())
    effects = effects_with(random_bytes=constant_bytes)
    file, packed = cool(tmp_path, source, effects=effects)
    golden = Path(__file__).parent.parent / "golden" / "packed.txt"
    data = Path(file.path).read_bytes()
    text = "".join(f"{at:4} {data[at : at + 32].hex()}\n" for at in range(0, len(data), 32))
    assert text == golden.read_text()
    assert packed.name == NAME


def test_the_shape_of_a_cooled_segment(tmp_path: Path) -> None:
    """Checkpoint, packed frames of about 16 KiB, end frame; commits are cut where they must be."""
    commits = [Commit([ROW]) for _ in range(1000)]
    commits[500:500] = [Commit([(*ROW[:3], b"x" * 30_000), *[ROW] * 2000, (*ROW[:3], b"y" * 90)])]
    file, packed = cool(tmp_path, write_sealed(tmp_path / "raw", commits))
    frames = frames_of(file.path)
    assert [header.kind for _, header in frames] == [2, *[KIND_PACKED] * (len(frames) - 2), 3]
    raw = [header.raw_length for _, header in frames[1:-1]]
    assert sorted(raw)[-2] <= 1 << 14
    assert max(raw) < 30_200
    assert sum(size > 11_000 for size in raw) >= len(raw) - 3
    data = Path(file.path).read_bytes()
    tables = [
        decode_packed(data[offset + 72 : offset + 72 + header.stored_length]).commits
        for offset, header in frames[1:-1]
    ]
    listed = [commit.commit_number for table in tables for commit in table]
    assert listed.count(BASE_COMMIT + 500) > 3
    assert sorted(set(listed)) == list(range(BASE_COMMIT, BASE_COMMIT + 1001))
    offset, header = frames[-1]
    end = decode_sealed_end(data[offset + 72 : offset + 72 + header.stored_length])
    assert end.frame_count == len(frames) - 1
    assert end.digest == packed.end.digest


def test_the_checkpoint_is_copied(tmp_path: Path) -> None:
    """The tracking table of the segments before is in the copy, without being encoded again."""
    file, _ = cool(tmp_path, write_sealed(tmp_path / "raw", []), codec=1)
    walk = CommitWalk(file)
    assert list(walk) == []
    assert walk.checkpoint is not None
    assert walk.checkpoint.payload == CHECKPOINT


@pytest.mark.parametrize("codec", CODECS)
def test_every_cut_and_every_flipped_byte(tmp_path: Path, codec: int) -> None:
    """A damaged copy gives the same commits and records, or an error with its path."""
    commits = small()
    file, packed = cool(tmp_path, write_sealed(tmp_path / "raw", commits), codec=codec)
    path, data = Path(file.path), Path(file.path).read_bytes()
    padding = sum(-header.stored_length % 8 for _, header in frames_of(path))
    silent = 0
    for at in range(len(data)):
        flip(path, at, 1 << at % 8)
        silent += is_whole(path, packed, commits)
        flip(path, at, 1 << at % 8)
    assert silent == padding
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        assert not is_whole(path, packed, commits)


def is_whole(path: Path, packed: PackedSegment, commits: list[Commit]) -> bool:
    """Whether a copy passes for whole; its commits are right then, and its records always are."""
    try:
        file = SegmentFile(QuickFiles(), str(path), writable=False)
    except (CorruptionError, UnsupportedFormatError):
        return False
    first = 8 * packed.places.offsets[0]
    length = packed.places.end - first
    states = [row[3] for commit in commits for row in commit.rows]
    for ordinal, state in enumerate(states):
        with contextlib.suppress(CorruptionError):
            record = read_record(file, first, length, BASE_POSITION, ordinal)
            assert record.state == state
    try:
        verify_packed(file.files, "", packed, str(path))
    except (CorruptionError, UnsupportedFormatError):
        return False
    assert in_bytes(iterate_commits(file)) == plain(commits)
    return True


def test_verification_notices_another_segment(tmp_path: Path) -> None:
    """A copy that is whole, but not of these commits, is not taken for the one that was written."""
    _, packed = cool(tmp_path, write_sealed(tmp_path / "raw", small()))
    other, _ = cool(tmp_path, write_sealed(tmp_path / "other", small()[:3]))
    with pytest.raises(CorruptionError, match="expected SegmentIdentity"):
        verify_packed(other.files, str(tmp_path), packed)
    for column in (packed.places.positions, packed.places.offsets):
        column[0] += 1
        with pytest.raises(CorruptionError):
            verify_packed(other.files, str(tmp_path), packed)
        column[0] -= 1


def test_verification_reads_from_the_medium(tmp_path: Path) -> None:
    """What is cached is dropped first, and then all of the file is read."""
    scripted = ScriptedFiles()
    _, packed = cool(tmp_path, write_sealed(tmp_path / "raw", small()))
    verify_packed(scripted.files, str(tmp_path), packed)
    names = [name for name, _ in scripted.calls]
    assert "pread" in names[names.index("drop_cached") :]
    fd = os.open(tmp_path / "raw", os.O_RDONLY)
    SYSTEM_EFFECTS.files.drop_cached(fd)
    os.close(fd)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "posix_fadvise", lambda *_: os.fsync(10**6), raising=False)
        SYSTEM_EFFECTS.files.drop_cached(fd)  # the system refuses: then from its cache


@pytest.mark.parametrize("name", ["open", "pwrite", "fsync", "pread", "fstat"])
def test_a_failing_call_leaves_nothing(tmp_path: Path, name: str) -> None:
    """If a copy cannot be written, what was written of it is removed, and the source is as it was."""
    commits = small()
    scripted = ScriptedFiles()
    source = write_sealed(tmp_path / "raw", commits, scripted.files)
    scripted.fail(name, error_of(errno.ENOSPC), after=name == "fstat")
    with pytest.raises(OSError, match="No space"):
        write_packed(effects_with(scripted), str(tmp_path), source, revision=1, codec=0)
    scripted.obey()
    if name != "open":
        assert os.listdir(tmp_path) == ["raw"]
    assert in_bytes(iterate_commits(source)) == plain(commits)
    cool(tmp_path, source, effects=effects_with(scripted))


def test_it_is_synced_under_another_name(tmp_path: Path) -> None:
    """The copy is complete and synced before anybody may link it; half of an older try gives way."""
    (tmp_path / (NAME + ".new")).write_bytes(b"half a segment")
    scripted = ScriptedFiles()
    source = write_sealed(tmp_path / "raw", small(), scripted.files)
    write_packed(effects_with(scripted), str(tmp_path), source, revision=1, codec=0)
    writing = [name for name, _ in scripted.calls if name in {"pwrite", "fsync", "link", "rename"}]
    assert writing == ["pwrite", "fsync"]
    assert sorted(os.listdir(tmp_path)) == [NAME + ".new", "raw"]


def test_large_segments_are_written_piece_by_piece(tmp_path: Path) -> None:
    """Never more than about a MiB waits to be written."""
    scripted = ScriptedFiles()
    commits = [Commit([(None, None, "t", os.urandom(100_000))]) for _ in range(50)]
    source = write_sealed(tmp_path / "raw", commits, scripted.files)
    cool(tmp_path, source, codec=1, effects=effects_with(scripted))
    sizes = [len(arguments[1]) for name, arguments in scripted.calls if name == "pwrite"]
    assert len(sizes) >= 5
    assert max(sizes) < (1 << 20) + 110_000


@pytest.mark.parametrize("at", [140, 250, 400, -30])
def test_a_damaged_source_is_not_cooled(tmp_path: Path, at: int) -> None:
    """A segment that is not whole is named; it takes an operator to decide about it."""
    source = write_sealed(tmp_path / "raw", small())
    flip(tmp_path / "raw", at % source.size_bytes(), 0x10)
    with pytest.raises(CorruptionError):
        write_packed(effects_with(), str(tmp_path), source, revision=1, codec=0)
    assert os.listdir(tmp_path) == ["raw"]


def test_a_source_with_another_digest_is_not_cooled_again(tmp_path: Path) -> None:
    """A cooled segment that states a digest which its commits do not have is corrupt."""
    segment = Segment(CHECKPOINT)
    add_end(segment, 1, 1, 2, bytes(32))
    (tmp_path / "cooled").write_bytes(segment.data)
    source = SegmentFile(QuickFiles(), str(tmp_path / "cooled"), writable=False)
    with pytest.raises(CorruptionError, match="logical digest 0000"):
        write_packed(effects_with(), str(tmp_path), source, revision=2, codec=0)


def test_frames_of_a_later_version_are_not_lost(tmp_path: Path) -> None:
    """A segment with a frame that this version may skip, but not understand, is not cooled."""
    segment = Segment(CHECKPOINT).add(200, flags=FLAG_COMPATIBLE)
    add_end(segment, 2)
    (tmp_path / "raw").write_bytes(segment.data)
    source = SegmentFile(QuickFiles(), str(tmp_path / "raw"), writable=False)
    with pytest.raises(UnsupportedFormatError):
        write_packed(effects_with(), str(tmp_path), source, revision=1, codec=0)
    assert os.listdir(tmp_path) == ["raw"]


def test_a_codec_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra nothing is begun."""
    monkeypatch.setattr("aurora_es.codecs.compression._zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    source = write_sealed(tmp_path / "raw", small())
    with pytest.raises(AuroraConfigurationError, match="zstd"):
        write_packed(effects_with(), str(tmp_path), source, revision=1, codec=3)
    assert os.listdir(tmp_path) == ["raw"]


def test_the_clock_and_the_salt_are_new(tmp_path: Path) -> None:
    """A copy is a file of its own: its frames are never taken for those of the source."""
    source = write_sealed(tmp_path / "raw", small())
    drawn = iter([bytes(8), b"salty!!!"])  # zeros are no salt
    effects = effects_with(random_bytes=lambda _: next(drawn))
    file, _ = cool(tmp_path, source, effects=effects, codec=2)
    assert file.salt == b"salty!!!"
    assert file.header.created_at == effects.clock()
    assert file.header.codec == 2
