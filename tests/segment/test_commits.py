"""Commits of sealed segments: all of them come, with the bytes they had, or an error with a place."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import given

from aurora_es.errors import CorruptionError, UnsupportedFormatError
from aurora_es.format.frame import FLAG_COMPATIBLE, KIND_PACKED, KIND_RECORDS, frame_bytes
from aurora_es.format.payload import encode_payload
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.segment.commits import CommitWalk, iterate_commits
from aurora_es.segment.digest import logical_digest
from aurora_es.segment.file import SegmentFile
from tests.journal.support import QuickFiles
from tests.segment.sealed import (
    CHECKPOINT,
    Commit,
    add_end,
    commit_id,
    commit_lists,
    in_bytes,
    plain,
    timestamp,
    write_sealed,
)
from tests.segment.test_walk import BASE_COMMIT, BASE_POSITION, Segment

ROW = (bytes(16), 1, "topic", b"state")
FIRST_FRAME = SEGMENT_HEADER_BYTES + frame_bytes(len(CHECKPOINT))
Entry = list[Any]


def entry(number: int, count: Any = 1, tracking: Any = None, **wrong: Any) -> Entry:
    """One row of a packed frame's table; ``number`` counts from 0."""
    fields = {
        "number": BASE_COMMIT + number,
        "id": commit_id(number),
        "count": count,
        "timestamp": timestamp(number),
        "tracking": tracking,
    }
    return list({**fields, **wrong}.values())


def add_packed(
    segment: Segment, table: list[Entry], records: int | None = None, **wrong: Any
) -> None:
    """Add a packed frame with this table, and by default as many records as it says."""
    count = sum(row[2] for row in table) if records is None else records
    payload = encode_payload((table, [ROW] * count, *wrong.pop("more", ())))
    fields = {
        "kind": KIND_PACKED,
        "payload": payload,
        "record_count": count,
        "commit_number": table[0][0] if table else segment.commit + 1,
        "timestamp": table[-1][3] if table else 0,
    }
    segment.add(**{**fields, **wrong})
    segment.commit = max(segment.commit, *(row[0] for row in table), 0)


def written(path: Path, segment: Segment) -> SegmentFile:
    """Write a segment and open it."""
    path.write_bytes(segment.data)
    return SegmentFile(QuickFiles(), str(path), writable=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a segment that does not exist yet."""
    return tmp_path / "segment"


@given(commits=commit_lists)
def test_commits_of_a_raw_segment(
    tmp_path_factory: pytest.TempPathFactory, commits: list[Commit]
) -> None:
    """All commits come with number, id, time, tracking, position and the bytes of their records."""
    file = write_sealed(tmp_path_factory.mktemp("raw") / "segment", commits)
    walk = CommitWalk(file)
    assert in_bytes(walk) == in_bytes(iterate_commits(file)) == plain(commits)
    assert walk.end is not None
    assert walk.end[:2] == walk.end[2:4]
    assert walk.end.end_offset == file.size_bytes()
    assert walk.identity(0)[1:5] == (2, BASE_POSITION, 0, file.size_bytes())
    assert [tracking.application_name for tracking in walk.tracking_before()] == ["upstream"]
    assert walk.places.last_position == BASE_POSITION - 1 + sum(len(one.rows) for one in commits)
    assert not walk.is_packed


def test_commits_of_a_packed_segment(path: Path) -> None:
    """Commits that were cut, in the middle or at a border of frames, are put together again."""
    segment = Segment(CHECKPOINT)
    add_packed(segment, [entry(0, 2, ("name", 1, 0)), entry(1, 0), entry(2, 1)])
    add_packed(segment, [entry(2, 3)])
    add_packed(segment, [entry(2, 1), entry(3, 1)])
    add_packed(segment, [entry(4, 0, ("name", 2, 0))])
    add_end(segment, 5, 1, 2, bytes(32))
    walk = CommitWalk(written(path, segment))
    found = in_bytes(walk)
    assert [(one[0] - BASE_COMMIT, len(one[5])) for one in found] == [
        (0, 2),
        (1, 0),
        (2, 5),
        (3, 1),
        (4, 0),
    ]
    assert [one[4] - BASE_POSITION for one in found] == [0, 2, 2, 7, 8]
    assert [one[3] for one in found] == [
        encode_payload(("name", 1, 0)),
        None,
        None,
        None,
        encode_payload(("name", 2, 0)),
    ]
    assert {record for one in found for record in one[5]} == {encode_payload(ROW)}
    assert list(walk.places.positions) == [0, 3, 6]
    assert walk.chain.first_timestamp == timestamp(0)
    assert walk.is_packed
    assert walk.end is not None
    assert walk.end[2:] == (1, 2, bytes(32))


@pytest.mark.parametrize(
    ("table", "wrong", "expected"),
    [
        ([entry(1)], {}, "commit 6"),
        ([entry(-1)], {}, "commit 6"),
        ([entry(0), entry(0, tracking=("name", 1, 0))], {}, "rest of commit 6"),
        ([entry(0), entry(0, id=bytes(16))], {}, "rest of commit 6"),
        ([entry(0), entry(0, timestamp=5)], {}, "rest of commit 6"),
        ([entry(0), entry(2)], {}, "commit 7"),
        ([entry(0, id=b"short")], {}, "commit id"),
        ([entry(0, -1), entry(1, 2)], {"records": 1}, "a table of commits"),
        ([entry(0)], {"records": 2}, "2 records"),
        ([entry(0)], {"records": 0}, "0 records"),
        ([entry(0)], {"record_count": 2}, "2 records"),
        ([entry(0)], {"timestamp": 5}, "time 5"),
        ([entry(0)], {"commit_number": BASE_COMMIT + 1}, "commit 6"),
        ([entry(0), entry(1)], {"commit_number": BASE_COMMIT - 1}, "commits from 5"),
        ([entry(0)], {"frames_in_commit": 2}, "frame 1 of 1"),
        ([], {}, "commits from 6"),
        ([entry(0, tracking=7)], {}, "tracking record"),
        ([entry(0, count="1")], {"records": 1}, "a table of commits"),
        ([entry(0)], {"payload": encode_payload(([entry(0)[:3]], [ROW]))}, "a table"),
        ([entry(0)], {"payload": b""}, "a table"),
        ([entry(0)], {"payload": encode_payload([1, 2])}, "a table"),
        ([entry(0)], {"codec": 1, "raw_length": 1 << 31}, "after decompression"),
        ([entry(0)], {"codec": 3, "raw_length": 1 << 31}, "after decompression"),
    ],
)
def test_a_packed_frame_that_cannot_be(
    path: Path, table: list[Entry], wrong: dict[str, Any], expected: str
) -> None:
    """A frame whose checksums hold but whose table does not fit is named, with its place."""
    segment = Segment(CHECKPOINT)
    add_packed(segment, table, **wrong)
    add_end(segment, 2)
    with pytest.raises(CorruptionError) as caught:
        list(iterate_commits(written(path, segment)))
    assert expected in caught.value.expected
    assert (caught.value.path, caught.value.offset) == (str(path), FIRST_FRAME)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"payload": encode_payload((commit_id(0), None, [ROW]))}, "2 records"),
        ({"payload": encode_payload((b"short", None, [ROW, ROW]))}, "commit id"),
        ({"payload": encode_payload((commit_id(0), ("name",), [ROW, ROW]))}, "tracking"),
        ({"payload": encode_payload((commit_id(0), None))}, "payload of a commit"),
        ({"payload": b"\xc1"}, "payload of a commit"),
        ({"codec": 1}, "after decompression"),
    ],
)
def test_a_raw_commit_that_cannot_be(path: Path, wrong: dict[str, Any], expected: str) -> None:
    """The same for the frames of a raw segment."""
    segment = Segment(CHECKPOINT).add(**wrong)
    add_end(segment, 2)
    with pytest.raises(CorruptionError) as caught:
        list(iterate_commits(written(path, segment)))
    assert expected in caught.value.expected
    assert (caught.value.path, caught.value.offset) == (str(path), FIRST_FRAME)


def end_with(*fields: Any) -> Callable[[Segment], object]:
    """Add an end frame with this payload."""
    return lambda segment: segment.add(3, encode_payload(fields))


LAST = (BASE_POSITION, BASE_COMMIT, 1, 2)


@pytest.mark.parametrize(
    "end",
    [
        lambda segment: segment,
        lambda segment: segment.add(KIND_RECORDS, b"", commit_number=1),
        end_with(LAST[0] + 1, *LAST[1:]),
        end_with(LAST[0], LAST[1] + 1, *LAST[2:]),
        end_with(*LAST[:2], 2, 2),
        end_with(*LAST[:3], 3),
        end_with(*LAST[:3]),
        end_with(*LAST),
        end_with(*LAST, 1, 2),
        end_with(*LAST, 1, 2, b"short"),
    ],
)
def test_an_end_that_cannot_be(path: Path, end: Callable[[Segment], object]) -> None:
    """A cooled segment ends with an end frame, right totals and a digest."""
    segment = Segment(CHECKPOINT)
    add_packed(segment, [entry(0)])
    end_offset = len(segment.data)
    end(segment)
    with pytest.raises(CorruptionError) as caught:
        list(iterate_commits(written(path, segment)))
    assert caught.value.offset == end_offset


def test_a_raw_segment_that_goes_on_behind_its_end(path: Path) -> None:
    """Sealed segments have no slack, not even zeros."""
    file = write_sealed(path, [Commit([ROW])])
    size = file.size_bytes()
    path.write_bytes(path.read_bytes() + bytes(8))
    with pytest.raises(CorruptionError, match="8 more bytes") as caught:
        list(iterate_commits(file := SegmentFile(QuickFiles(), str(path), writable=False)))
    assert caught.value.offset == size


def test_every_cut_and_every_flipped_byte_of_a_raw_segment(path: Path) -> None:
    """No wrong byte goes unseen but in padding, where it changes nothing."""
    commits = [Commit([ROW] * 2, frames=2), Commit(tracking=("n", 1, 0)), Commit([ROW], codec=1)]
    write_sealed(path, commits)
    data = path.read_bytes()
    silent = 0
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        silent += is_silent(path, commits)
    assert silent < 7 * 7
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert not is_silent(path, commits)


def is_silent(path: Path, commits: list[Commit]) -> bool:
    """Whether a damaged segment is read without an error, and then rightly."""
    try:
        file = SegmentFile(QuickFiles(), str(path), writable=False)
        found = in_bytes(iterate_commits(file))
    except (CorruptionError, UnsupportedFormatError):
        return False
    assert found == plain(commits)
    return True


@pytest.mark.parametrize("kind", [KIND_PACKED, KIND_RECORDS])
def test_what_a_copy_would_lose(path: Path, kind: int) -> None:
    """Fields and frames of a later version are ignored by readers, and refused by who copies."""
    for which in range(3):
        segment = Segment(CHECKPOINT)
        more = ("later",) if which == 0 else ()
        if kind == KIND_PACKED:
            add_packed(segment, [entry(0)], more=more)
        else:
            payload = encode_payload((commit_id(0), None, [ROW], *more))
            segment.add(payload=payload, record_count=1)
        if which == 1:
            segment.add(200, flags=FLAG_COMPATIBLE)
        add_end(segment, 2 + (which == 1), 1, 2, bytes(32), *(("later",) if which == 2 else ()))
        file = written(path, segment)
        assert len(list(iterate_commits(file))) == 1
        with pytest.raises(UnsupportedFormatError, match="nothing was changed"):
            list(CommitWalk(file, refuse_unknown=True))


@pytest.mark.parametrize("wrong", [{"version": 2}, {"codec": 4}, {"kind": 9}])
def test_a_segment_of_a_later_version_is_not_corrupt(path: Path, wrong: dict[str, Any]) -> None:
    """Frames that this version does not know are unsupported."""
    segment = Segment(CHECKPOINT).add(**wrong)
    with pytest.raises(UnsupportedFormatError, match="Open it with the version"):
        list(iterate_commits(written(path, segment)))


def test_the_digest_has_not_changed(path: Path) -> None:
    """Known commits have the known digest: manifests and cooled segments name it for ever."""
    tracking = encode_payload(("name", 7, 0))
    said = [
        pack("<QQII", 6, 1006, 2, 0) + b"commit id 000006" + encode_payload(ROW) * 2,
        pack("<QQII", 7, 1007, 0, len(tracking)) + b"commit id 000007" + tracking,
        pack("<QQII", 8, 1008, 1, 0) + b"commit id 000008" + encode_payload(ROW),
    ]
    commits = [Commit([ROW, ROW], frames=2), Commit(tracking=("name", 7, 0)), Commit([ROW])]
    digest, _ = logical_digest(write_sealed(path, commits))
    assert digest == sha256(b"".join(said)).digest()
    assert digest.hex() == "a62086349b26884cdb052a655295864cfda58279c2a6e1c35c24a5c3fb12e4d3"


def test_a_digest_that_is_stated_must_be_right(path: Path) -> None:
    """A cooled segment that holds other commits than it was made of is corrupt."""
    segment = Segment(CHECKPOINT)
    add_packed(segment, [entry(0)])
    add_end(segment, 2, 1, 2, bytes(32))
    with pytest.raises(CorruptionError, match="logical digest 0000"):
        logical_digest(written(path, segment))
