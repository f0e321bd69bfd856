"""Builds sealed raw segments from lists of commits, for tests of tables, packing and digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from aurora_es.codecs.compression import compress
from aurora_es.files.layer import Files
from aurora_es.format.frame import KIND_END
from aurora_es.format.payload import EndPayload, encode_payload
from aurora_es.segment.file import SegmentFile
from tests.journal.support import QuickFiles
from tests.segment.test_walk import BASE_COMMIT, BASE_POSITION, Segment

Row = tuple[Any, ...]
CHECKPOINT = encode_payload((900, [("upstream", 3, 0)]))


@dataclass
class Commit:
    """What a commit holds, and into how many frames it is cut."""

    rows: list[Row] = field(default_factory=list)
    tracking: tuple[Any, ...] | None = None
    frames: int = 1
    codec: int = 0


def commit_id(number: int) -> bytes:
    """Commit id of the commit with this number."""
    return b"commit id %06d" % number


def timestamp(number: int) -> int:
    """Time of the commit with this number."""
    return 1000 + number


def sealed_bytes(commits: list[Commit]) -> bytes:
    """Bytes of a sealed segment."""
    segment = Segment(CHECKPOINT)
    frame_count = 1
    for number, commit in enumerate(commits, BASE_COMMIT):
        size = max(1, -(-len(commit.rows) // commit.frames))
        parts = [commit.rows[at : at + size] for at in range(0, len(commit.rows), size)] or [[]]
        for at, part in enumerate(parts, 1):
            raw = encode_payload((commit_id(number), commit.tracking, part) if at == 1 else part)
            codec, payload = compress(commit.codec, raw)
            segment.add(
                payload=payload,
                codec=codec,
                raw_length=len(raw),
                record_count=len(part),
                frame_number=at,
                frames_in_commit=len(parts),
            )
        frame_count += len(parts)
    add_end(segment, frame_count)
    return segment.data


def add_end(segment: Segment, frame_count: int, *more: Any) -> None:
    """Add an end frame with the right totals, and with ``more`` fields."""
    position, commit = segment.position - 1, segment.commit
    end = EndPayload(position, commit, position + 1 - BASE_POSITION, frame_count)
    fields = [end.last_position, end.last_commit, end.record_count, end.frame_count, *more]
    segment.add(KIND_END, encode_payload(fields))


def write_sealed(path: Path, commits: list[Commit], files: Files | None = None) -> SegmentFile:
    """Write a sealed segment and open it."""
    path.write_bytes(sealed_bytes(commits))
    return SegmentFile(QuickFiles() if files is None else files, str(path), writable=False)


def plain(commits: list[Commit]) -> list[tuple[Any, ...]]:
    """What ``iterate_commits`` has to give, with records and tracking as bytes."""
    position = BASE_POSITION
    expected = []
    for number, commit in enumerate(commits, BASE_COMMIT):
        tracking = None if commit.tracking is None else encode_payload(commit.tracking)
        records = [encode_payload(row) for row in commit.rows]
        expected.append((number, commit_id(number), timestamp(number), tracking, position, records))
        position += len(records)
    return expected


def in_bytes(commits: Any) -> list[tuple[Any, ...]]:
    """What ``iterate_commits`` gives, with records and tracking as bytes."""
    return [
        (
            *found[:3],
            None if found.tracking is None else bytes(found.tracking),
            found.first_position,
            [bytes(record) for record in found.records],
        )
        for found in commits
    ]


states = st.binary(max_size=40) | st.integers(0, 40_000).map(lambda size: b"state " * (size // 6))
plain_rows: st.SearchStrategy[Row] = st.tuples(
    st.none() | st.text(max_size=5) | st.binary(min_size=16, max_size=16),
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    st.text(max_size=5),
    states,
)
# With further fields, known ones and one of a later version.
rows = plain_rows | plain_rows.map(lambda row: (*row, ("tag",), None, {"key": 1}, "later"))
trackings: st.SearchStrategy[Row] = st.tuples(
    st.text(max_size=5), st.integers(0, 100), st.just(0)
) | st.just(("name " * 4000, 1, 0, "later"))
commit_lists = st.lists(
    st.builds(
        Commit,
        st.lists(rows, max_size=6) | st.lists(rows, min_size=1, max_size=1),
        st.none() | trackings,
        st.integers(1, 4),
        st.integers(0, 2),
    ),
    max_size=12,
)
