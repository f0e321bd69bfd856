"""Reading past damage: every whole commit comes, no other, and gaps name what is missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.codecs.compression import CODEC_LZ4
from aurora_es.files.layer import Effects
from aurora_es.format.frame import HEADER_BYTES, frame_bytes
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.segment.commits import CommitWalk, SegmentCommit
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.pack import write_packed
from aurora_es.segment.salvage import (
    CUT,
    FRAME,
    HEADER,
    OVERLONG,
    Gap,
    Place,
    Salvage,
    frames_from,
    open_damaged,
)
from tests.journal.support import QuickFiles
from tests.segment.sealed import Commit, commit_lists, sealed_bytes
from tests.segment.test_walk import BASE_COMMIT, BASE_POSITION

FILES = QuickFiles()
EFFECTS = Effects(FILES, clock=lambda: 5)
PLACE = Place(bytes(16), 2, BASE_POSITION, BASE_COMMIT)


def row(number: int, state: bytes = b"state") -> tuple[object, ...]:
    """Give one record."""
    return (bytes(15) + bytes([number]), 1, "topic", state)


SMALL = [
    Commit([row(1)]),
    Commit([row(2), row(3), row(4)], frames=3),
    Commit([], tracking=("upstream", 7, 0)),
    Commit([row(5), row(6)], tracking=("upstream", 8, 0)),
    Commit([row(7)]),
]
# With frames of about 16 KiB: commits that share one, that fill one, and that take three.
LARGE = [
    Commit([row(1, b"a" * 3000)]),
    Commit([row(2, b"b" * 3000)]),
    Commit([row(at, b"%d" % at * 6000) for at in range(3, 10)]),
    Commit([row(10, b"d" * 3000)]),
    Commit([row(11, b"e" * 15_000)]),
    Commit([row(12, b"f" * 3000)], tracking=("upstream", 9, 0)),
    Commit([row(13, b"g" * 3000)]),
]


@dataclass
class Whole:
    """A whole segment: its bytes, its commits, and in which bytes each of them lies."""

    data: bytes
    commits: list[SegmentCommit]
    frames: list[tuple[int, int]]  # offset, and the offset behind the payload
    owners: list[list[int]]  # commits of each frame

    @property
    def last(self) -> tuple[int, int]:
        """Number of the last commit, position of the last record."""
        last = self.commits[-1]
        return last.commit_number, last.first_position + len(last.records) - 1


def raw(path: Path, commits: list[Commit]) -> Whole:
    """Write a raw segment."""
    path.write_bytes(sealed_bytes(commits))
    return known(path)


def cooled(path: Path, commits: list[Commit]) -> Whole:
    """Write a cooled segment."""
    path.with_suffix(".raw").write_bytes(sealed_bytes(commits))
    source = SegmentFile(FILES, str(path.with_suffix(".raw")), writable=False)
    packed = write_packed(EFFECTS, str(path.parent), source, revision=1, codec=CODEC_LZ4)
    (path.parent / f"{packed.name}.new").rename(path)
    return known(path)


def known(path: Path) -> Whole:
    """What a whole segment consists of."""
    file = SegmentFile(FILES, str(path), writable=False)
    commits = list(CommitWalk(file))
    frames, owners = [], []
    ends = [commit.first_position + len(commit.records) - 1 for commit in commits]
    for offset, header in frames_from(file, SEGMENT_HEADER_BYTES, file.size_bytes()):
        frames.append((offset, offset + HEADER_BYTES + header.stored_length))
        first, last = header.first_position, header.first_position + header.record_count - 1
        owners.append(
            [
                commit.commit_number
                for commit, end in zip(commits, ends, strict=True)
                if (
                    (header.kind == 1 and commit.commit_number == header.commit_number)
                    or (
                        header.kind == 7
                        and commit.commit_number >= header.commit_number
                        and commit.first_position <= last + (not commit.records)
                        and end >= first - (not commit.records)
                    )
                )
            ]
        )
    return Whole(path.read_bytes(), commits, frames, owners)


def salvaged(path: Path, place: Place = PLACE) -> list[SegmentCommit | Gap]:
    """Everything that is found in a damaged segment."""
    file, gap = open_damaged(FILES, str(path), place)
    found: list[SegmentCommit | Gap] = [] if gap is None else [gap]
    if file is not None:
        found += Salvage(file, place)
    return found


def check_consistent(found: list[SegmentCommit | Gap]) -> None:
    """Commits and gaps follow each other without a hole, up to where that is known."""
    commit, position = BASE_COMMIT, BASE_POSITION
    for one in found:
        if isinstance(one, Gap):
            assert (one.first_commit, one.first_position) == (commit, position)
            assert one.offset <= one.end
            if one.last_commit is None or one.last_position is None:
                assert one is found[-1]
                return
            commit, position = one.last_commit + 1, one.last_position + 1
        else:
            assert (one.commit_number, one.first_position) == (commit, position)
            commit, position = commit + 1, position + len(one.records)


def flips(whole: Whole, step: int = 1) -> Iterator[tuple[int, bytes, list[int]]]:
    """Each byte changed, where, and the commits that this touches."""
    starts = [offset for offset, _ in whole.frames]
    for at in range(0, len(whole.data), step):
        data = bytearray(whole.data)
        data[at] ^= 0x41
        frame = bisect_right(starts, at) - 1
        touched: list[int] = []
        if frame >= 0 and at < whole.frames[frame][1]:
            touched = whole.owners[frame]
        yield at, bytes(data), touched


def is_padding(whole: Whole, at: int) -> bool:
    """Whether the byte at ``at`` fills up a frame."""
    return any(
        end <= at < offset + frame_bytes(end - offset - HEADER_BYTES)
        for offset, end in whole.frames
    )


def test_each_byte_of_a_raw_segment(tmp_path: Path) -> None:
    """Whatever byte is changed, exactly the untouched commits come, and a gap for the others."""
    path = tmp_path / "segment"
    whole = raw(path, SMALL)
    for at, data, touched in flips(whole):
        path.write_bytes(data)
        found = salvaged(path)
        commits = [one for one in found if isinstance(one, SegmentCommit)]
        gaps = [one for one in found if isinstance(one, Gap)]
        assert commits == [one for one in whole.commits if one.commit_number not in touched], at
        check_consistent(found)
        if is_padding(whole, at):
            assert gaps == []
            continue
        (gap,) = gaps
        start = max((offset for offset, _ in whole.frames if offset <= at), default=0)
        assert gap.offset == start, at
        assert gap.reason == (HEADER if at < SEGMENT_HEADER_BYTES else FRAME)
        lost = [one for one in whole.commits if one.commit_number in touched]
        if lost:
            last = lost[-1]
            assert (gap.first_commit, gap.last_commit) == (touched[0], touched[-1])
            assert gap.first_position == lost[0].first_position
            assert gap.last_position == last.first_position + len(last.records) - 1
        elif start != whole.frames[-1][0]:
            assert gap.last_commit == gap.first_commit - 1
            assert gap.last_position == gap.first_position - 1


@pytest.mark.parametrize("commits", [SMALL, LARGE])
def test_each_byte_of_a_cooled_segment(tmp_path: Path, commits: list[Commit]) -> None:
    """No touched commit comes; of the untouched at most the neighbours of a damaged header miss."""
    path = tmp_path / "segment"
    whole = cooled(path, commits)
    place = PLACE._replace(last_commit=whole.last[0], last_position=whole.last[1])
    missing = 0
    for at, data, touched in flips(whole, 1 if len(whole.data) < 4000 else 7):
        path.write_bytes(data)
        found = salvaged(path, place)
        numbers = [one.commit_number for one in found if isinstance(one, SegmentCommit)]
        untouched = [one for one in whole.commits if one.commit_number not in touched]
        assert [one for one in found if isinstance(one, SegmentCommit)] == [
            one for one in untouched if one.commit_number in numbers
        ], at
        check_consistent(found)
        edges = {touched[0] - 1, touched[-1] + 1} if touched else set()
        assert {one.commit_number for one in untouched} - set(numbers) <= edges, at
        in_header = any(offset <= at < offset + HEADER_BYTES for offset, _ in whole.frames)
        if not in_header:
            assert len(numbers) == len(untouched), at
        missing += len(untouched) - len(numbers)
        assert is_padding(whole, at) == (not [one for one in found if isinstance(one, Gap)])
    assert (missing > 0) == (commits is LARGE)  # such neighbours there are


@pytest.mark.parametrize("write", [raw, cooled])
def test_each_length_of_a_cut_segment(tmp_path: Path, write: object) -> None:
    """Whatever a segment is cut to, what lies whole before the cut comes, and one gap behind it."""
    path = tmp_path / "segment"
    whole = raw(path, SMALL) if write is raw else cooled(path, SMALL)
    place = PLACE._replace(last_commit=whole.last[0], last_position=whole.last[1])
    for length in range(len(whole.data)):
        path.write_bytes(whole.data[:length])
        gone = {
            number
            for (offset, end), owners in zip(whole.frames, whole.owners, strict=True)
            for number in owners
            if offset + frame_bytes(end - offset - HEADER_BYTES) > length
        }
        found = salvaged(path, place)
        commits = [one for one in found if isinstance(one, SegmentCommit)]
        assert commits == [one for one in whole.commits if one.commit_number not in gone], length
        if length < SEGMENT_HEADER_BYTES:
            assert [type(one) for one in found] == [Gap]
            continue
        check_consistent(found)
        gap = found[-1]
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.end) == (CUT, length)
        assert (gap.last_commit, gap.last_position) == whole.last
        kept = whole.commits[len(commits) - 1] if commits else None
        assert gap.first_commit == (kept.commit_number + 1 if kept else BASE_COMMIT)
        (unknown,) = [one for one in salvaged(path) if isinstance(one, Gap)]
        assert unknown.last_commit is unknown.last_position is None


def test_bytes_behind_the_end_frame(tmp_path: Path) -> None:
    """They are a gap in which nothing is lost."""
    path = tmp_path / "segment"
    whole = raw(path, SMALL)
    path.write_bytes(whole.data + b"more")
    *commits, gap = salvaged(path)
    assert commits == whole.commits
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.offset, gap.end) == (OVERLONG, len(whole.data), len(whole.data) + 4)
    assert gap.last_position == gap.first_position - 1


@pytest.mark.parametrize("write", [raw, cooled])
def test_a_lost_end_and_bytes_behind_the_end_frame(tmp_path: Path, write: object) -> None:
    """What is lost before the end frame is told, though there are bytes behind it, too."""
    path = tmp_path / "segment"
    whole = raw(path, SMALL) if write is raw else cooled(path, SMALL)
    data = bytearray(whole.data)
    data[whole.frames[-2][0] + HEADER_BYTES] ^= 1
    path.write_bytes(data + b"more")
    found = salvaged(path)
    *commits, gap, overlong = found
    kept = [one for one in whole.commits if one.commit_number not in whole.owners[-2]]
    assert commits == kept
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.offset, gap.end) == (FRAME, whole.frames[-2][0], whole.frames[-1][0])
    assert gap.first_commit == whole.owners[-2][0]
    assert (gap.last_commit, gap.last_position) == whole.last
    assert isinstance(overlong, Gap)
    assert (overlong.reason, overlong.offset) == (OVERLONG, len(whole.data))
    check_consistent(found)


def test_the_header_of_another_frame_proves_nothing(tmp_path: Path) -> None:
    """Where a later header lies over one of a commit's frames, no part of it passes for the whole."""
    path = tmp_path / "segment"
    whole = cooled(path, LARGE)
    for at, (target, _) in enumerate(whole.frames[1:-1], 1):
        for source, _ in whole.frames[1:-1]:
            if source == target:
                continue
            data = bytearray(whole.data)
            data[target : target + HEADER_BYTES] = whole.data[source : source + HEADER_BYTES]
            path.write_bytes(data)
            found = salvaged(path)
            commits = [one for one in found if isinstance(one, SegmentCommit)]
            untouched = [one for one in whole.commits if one.commit_number not in whole.owners[at]]
            assert [one for one in commits if one not in untouched] == [], (target, source)
            check_consistent(found)


def test_a_header_in_its_place_proves_the_commit_before_it(tmp_path: Path) -> None:
    """A frame whose payload alone is damaged takes no commit with it that lies before it."""
    path = tmp_path / "segment"
    whole = cooled(path, [Commit([row(at, b"%d" % at * 15_000)]) for at in range(1, 6)])
    offset = whole.frames[2][0]
    (lost,) = whole.owners[2]
    data = bytearray(whole.data)
    data[offset + HEADER_BYTES] ^= 1
    path.write_bytes(data[: whole.frames[3][0]])
    assert salvaged(path)[:-1] == [one for one in whole.commits if one.commit_number < lost]


def test_a_header_and_its_checkpoint_damaged(tmp_path: Path) -> None:
    """The salt is found in the first frame that is left, and all commits come."""
    path = tmp_path / "segment"
    whole = raw(path, SMALL)
    data = bytearray(whole.data)
    data[60] ^= 1
    data[whole.frames[0][0] + 3] ^= 1
    path.write_bytes(data)
    found = salvaged(path)
    assert [one for one in found if isinstance(one, SegmentCommit)] == whole.commits
    assert [one.reason for one in found if isinstance(one, Gap)] == [HEADER, FRAME]


@given(commit_lists, st.booleans(), st.lists(st.integers(0, 1 << 30), min_size=1, max_size=5))
def test_damage_in_several_places(
    tmp_path_factory: pytest.TempPathFactory,
    commits: list[Commit],
    is_cooled: bool,  # noqa: FBT001 - Hypothesis passes by position
    places: list[int],
) -> None:
    """Only whole commits come, in order, with gaps between them; of raw segments all of them."""
    path = tmp_path_factory.mktemp("salvage") / "segment"
    whole = (cooled if is_cooled else raw)(path, commits)
    data = bytearray(whole.data)
    starts = [offset for offset, _ in whole.frames]
    touched: set[int] = set()
    for chosen in places:
        at = chosen % len(data)
        data[at] = whole.data[at] ^ 0x20
        frame = bisect_right(starts, at) - 1
        if frame >= 0 and at < whole.frames[frame][1]:
            touched.update(whole.owners[frame])
    path.write_bytes(data)
    last = whole.last if whole.commits else (BASE_COMMIT - 1, BASE_POSITION - 1)
    found = salvaged(path, PLACE._replace(last_commit=last[0], last_position=last[1]))
    numbers = [one.commit_number for one in found if isinstance(one, SegmentCommit)]
    untouched = [one for one in whole.commits if one.commit_number not in touched]
    assert [one for one in found if isinstance(one, SegmentCommit)] == [
        one for one in untouched if one.commit_number in numbers
    ]
    if not is_cooled:
        assert len(numbers) == len(untouched)
    check_consistent(found)
