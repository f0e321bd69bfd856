"""What ought to be in a segment, and what a whole one says of itself.

Theory of operation: a segment is walked once, and everything that others say about it is gathered on
the way: where it ends, for the manifest and its successor; its digest, for another copy of the
journal; its postings, for the index run over it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.findings import PositionRange, bare_count, newly_lost
from aurora_es.errors import CorruptionError
from aurora_es.format.manifest import SealedSegment
from aurora_es.format.payload import decode_record
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal.gathering import NO_BOUND, Gathered, gather
from aurora_es.late_imports import fork_waits
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.salvage import Place

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.run import Columns
    from aurora_es.index.collect import PostingCollector
    from aurora_es.journal.gathering import Bound
    from aurora_es.segment.frame_table import FramePlaces


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that ought to be there, and what is known of it from outside; None: not known."""

    genesis_id: bytes
    segment_number: int
    file_name: str
    base_position: int
    base_commit: int | None = None
    last_position: int | None = None
    last_commit: int | None = None
    # The same by the header of its successor, where nobody else tells: it may be another's.
    told_commit: int | None = None
    entry: SealedSegment | None = None  # as the manifest lists it
    has_manifest: bool = True  # else only its own frames say what is lost in it
    is_tail: bool = False
    # Of a tail: where the mark says that it ends, and up to where it was on disk.
    visible_offset: int | None = None
    durable_offset: int | None = None

    @property
    def place(self) -> Place:
        """The same, as the salvage of a segment takes it."""
        return Place(
            self.genesis_id,
            self.segment_number,
            self.base_position,
            self.base_commit,
            self.last_position,
            self.told_commit if self.last_commit is None else self.last_commit,
            self.visible_offset,
        )


def known_holes(target: Target) -> tuple[PositionRange, ...]:
    """Positions of a segment that the manifest lists as lost."""
    return () if target.entry is None else target.entry.lost or ()


def whole_range(target: Target) -> tuple[PositionRange, ...]:
    """All positions of a segment, as far as its end is known, but for its known holes."""
    if target.last_position is None:
        return ()
    return newly_lost([(target.base_position, target.last_position)], known_holes(target))


def whole_count(target: Target) -> int:
    """Number of all commits of a segment, if it had no position; 0 where its bounds are not known."""
    place = target.place
    if place.base_commit is None or place.last_commit is None or place.last_position is None:
        return 0
    is_bare = place.last_position < place.base_position
    return bare_count([(place.base_commit, place.last_commit)]) if is_bare else 0


class IndexFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an index run has to say of a segment."""

    base_position: int
    last_position: int
    fingerprint: int
    entry_count: int
    topics: dict[str, int]
    commons: list[tuple[int, int, int]]


class SegmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole segment says of itself."""

    segment_number: int
    size_bytes: int
    base_position: int
    base_commit: int
    last_position: int
    last_commit: int
    first_timestamp: int
    last_timestamp: int
    previous: tuple[int, int, int]  # its predecessor's end offset, last position, last checksum
    end: tuple[int, int]  # end offset and last checksum, before any cooling
    file_checksum: int  # header checksum of the last frame in the file
    digest: bytes
    # Digest, last position and last commit of the commits inside the bound; None if that is none.
    bounded: tuple[bytes, int, int] | None
    index: IndexFacts | None  # of listed segments


def facts_of(file: SegmentFile, target: Target, bound: Bound) -> tuple[SegmentFacts, FramePlaces]:
    """Walk a whole segment; raises CorruptionError, UnsupportedFormatError."""
    lost = known_holes(target) if target.has_manifest else None
    walk = CommitWalk(file, lost=lost, visible_offset=target.visible_offset)
    gathered = Gathered(
        walk,
        is_indexed=target.entry is not None,
        bound=bound,
        is_inside=_is_inside(target, bound),
    )
    is_raw = target.entry is None or not target.entry.revision
    gather(walk, gathered, is_raw=is_raw, visible_offset=target.visible_offset)
    if walk.checkpoint is None:
        raise CorruptionError(
            file.path, SEGMENT_HEADER_BYTES, expected="a checkpoint frame", found="another"
        )
    walk.tracking_before()  # raises if it is no table
    digest = gathered.finish()
    header, end, chain = file.header, walk.end, walk.chain
    return SegmentFacts(
        segment_number=header.segment_number,
        size_bytes=chain.offset,
        base_position=header.base_position,
        base_commit=header.base_commit,
        last_position=chain.position,
        last_commit=chain.commit_number,
        # Where all commits are lost, the time of the last one before.
        first_timestamp=gathered.first_timestamp or chain.timestamp,
        last_timestamp=gathered.last_timestamp or chain.timestamp,
        previous=(header.previous_end, header.previous_position, header.previous_checksum),
        end=(chain.offset, chain.previous_checksum)
        if end is None
        else (end.original_end, end.original_checksum),
        file_checksum=chain.previous_checksum,
        digest=digest,
        bounded=gathered.at_the_end(digest),
        index=None if gathered.collector is None else _index_facts(gathered.collector),
    ), walk.places


def _is_inside(target: Target, bound: Bound) -> bool:
    """Whether all of a segment is inside the bound, for sure."""
    position, commit = target.last_position, target.last_commit
    # A commit without records has the position of the next record.
    return (
        bound.position == NO_BOUND or (position is not None and position < bound.position)
    ) and (bound.commit == NO_BOUND or (commit is not None and commit <= bound.commit))


def _index_facts(collector: PostingCollector) -> IndexFacts:
    with fork_waits:
        from aurora_es.index.build import sorted_postings
        from aurora_es.index.fingerprint import fingerprint

    columns = collector.postings()
    if collector.has_repetitions:
        columns = sorted_postings(columns)
    return IndexFacts(
        base_position=collector.base_position,
        last_position=collector.last_position,
        fingerprint=fingerprint(columns),
        entry_count=len(columns[0]),
        topics=collector.topics(),
        commons=collector.commons(),
    )


def postings_of(files: Files, directory: str, target: Target) -> Columns:
    """The index entries of a whole segment, in any order."""
    with fork_waits:
        from aurora_es.index.collect import PostingCollector

    path = os.path.join(directory, target.file_name)
    file = SegmentFile(files, path, writable=False)
    collector = PostingCollector(file.header.genesis_id, file.header.base_position)
    for commit in CommitWalk(file, lost=known_holes(target)):
        if commit.records:
            collector.add(commit.first_position, [*map(decode_record, commit.records)])
    return collector.postings()
