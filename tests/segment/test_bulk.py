"""Many commits taken at once: the same as one by one, and never one that a walk would refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.codecs.compression import CODEC_LZ4
from aurora_es.errors import CorruptionError, UnsupportedFormatError
from aurora_es.format.payload import RecordData, decode_record, encode_payload
from aurora_es.segment.bulk import take_batch
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.digest import LogicalDigest
from aurora_es.segment.file import SegmentFile
from tests.journal.support import QuickFiles
from tests.segment.sealed import CHECKPOINT, Commit, commit_lists, rows, sealed_bytes, write_sealed
from tests.segment.test_walk import Segment

SMALL = [
    Commit([(b"%016d" % at, at, "topic", b"state") for at in range(number % 3 + 1)])
    for number in range(8)
]
Facts = tuple[object, ...]


def facts_of(walk: CommitWalk, records: list[RecordData], digest: LogicalDigest) -> Facts:
    """Everything that either way of reading finds."""
    places = walk.places
    return (
        walk.chain,
        walk.end,
        (places.positions, places.offsets, places.last_position, places.end),
        records,
        digest.digest(),
    )


def one_by_one(file: SegmentFile) -> Facts:
    """Read commit by commit."""
    walk, digest = CommitWalk(file), LogicalDigest()
    records: list[RecordData] = []
    for commit in walk:
        digest.add(commit)
        records += map(decode_record, commit.records)
    return facts_of(walk, records, digest)


def in_bulk(file: SegmentFile) -> tuple[Facts, int]:
    """Read as many at once as can be; also says how many commits came that way."""
    walk, digest = CommitWalk(file), LogicalDigest()
    records: list[RecordData] = []
    taken = 0
    commits = iter(walk)
    for commit in commits:
        digest.add(commit)
        records += map(decode_record, commit.records)
        break
    while True:
        while (batch := take_batch(walk, file.size_bytes())) is not None:
            digest.add_encoded(batch.digested)
            records += batch.records
            taken += batch.last_commit - batch.first_commit + 1
        following = next(iter(walk), None)
        if following is None:
            return facts_of(walk, records, digest), taken
        digest.add(following)
        records += map(decode_record, following.records)


@given(
    commit_lists | st.lists(st.builds(Commit, st.lists(rows, min_size=1, max_size=20)), max_size=20)
)
def test_both_ways_find_the_same(
    tmp_path_factory: pytest.TempPathFactory, commits: list[Commit]
) -> None:
    """Chain, end, places, records and digest do not depend on how commits are read."""
    file = write_sealed(tmp_path_factory.mktemp("bulk") / "segment", commits)
    assert in_bulk(file)[0] == one_by_one(file)


def test_small_commits_are_taken_at_once(tmp_path: Path) -> None:
    """Behind the first, all of them come in one batch."""
    file = write_sealed(tmp_path / "segment", SMALL)
    assert in_bulk(file)[1] == len(SMALL) - 1


@pytest.mark.parametrize(
    "commit",
    [
        Commit([(bytes(16), 1, "topic", b"s" * 100)], codec=CODEC_LZ4),
        Commit([(bytes(16), at, "topic", b"state") for at in (1, 2)], frames=2),
        Commit([(bytes(16), 1, "topic", b"state")], tracking=("upstream", 1, 0)),
        Commit([], tracking=("upstream", 1, 0)),
        Commit([(bytes(16), at, "topic", b"state") for at in range(20)]),
    ],
)
def test_other_commits_are_left_to_the_walk(tmp_path: Path, commit: Commit) -> None:
    """Compressed, of several frames, with tracking, without records or with many: one by one."""
    file = write_sealed(tmp_path / "segment", [SMALL[0], commit, *SMALL])
    found, taken = in_bulk(file)
    assert taken == len(SMALL)
    assert found == one_by_one(file)


def test_each_byte_changed_is_noticed(tmp_path: Path) -> None:
    """A segment that is refused one by one is refused in bulk, at the same offset."""
    path = tmp_path / "segment"
    data = sealed_bytes(SMALL)
    refused = 0
    for at in range(128, len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x04
        path.write_bytes(changed)
        file = SegmentFile(QuickFiles(), str(path), writable=False)
        try:
            expected: object = one_by_one(file)
        except CorruptionError as error:
            refused += 1
            expected = error.offset
        try:
            found: object = in_bulk(file)[0]
        except CorruptionError as error:
            found = error.offset
        assert found == expected, at
    assert refused > 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"previous_checksum": 7},
        {"first_position": 99},
        {"commit_number": 99},
        {"flags": 4},
        {"version": 2},
        {"salt": b"another!"},
        {"record_count": 3},
        {"raw_length": 7},
    ],
)
def test_a_frame_that_does_not_fit(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """With valid checksums and one wrong field a frame is judged by the walk, as ever."""
    segment = Segment(CHECKPOINT)
    rows = [(bytes(16), at, "topic", b"state") for at in (1, 2)]
    payload = encode_payload((bytes(16), None, rows))
    for number in range(6):
        segment.add(payload=payload, **(wrong if number == 3 else {}))
    path = tmp_path / "segment"
    path.write_bytes(segment.data)
    file = SegmentFile(QuickFiles(), str(path), writable=False)
    with pytest.raises((CorruptionError, UnsupportedFormatError)) as expected:
        one_by_one(file)
    with pytest.raises(expected.type) as found:
        in_bulk(file)
    assert str(found.value) == str(expected.value)
