"""What ought to be in a segment, and what a whole one says of itself.

Theory of operation: a segment is walked once, and everything that others say about it is gathered on
the way: where it ends, for the manifest and its successor; its digest, for another copy of the
journal; its postings, for the index run over it. Of a raw segment many small commits are taken at
once, from the first on; where that fails, the walk goes on one by one, ever further before it is tried
again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.findings import (
    PositionRange,
    joined,
)
from aurora_es.errors import CorruptionError
from aurora_es.format.payload import UNDECODABLE, decode_record
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.late_imports import fork_waits
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.digest import LogicalDigest
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.salvage import (
    Place,
)

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import SealedSegment
    from aurora_es.format.run import Columns
    from aurora_es.index.collect import PostingCollector
    from aurora_es.segment.bulk import Batch
    from aurora_es.segment.commits import Raw, SegmentCommit
    from aurora_es.segment.frame_table import FramePlaces

NO_BOUND = (1 << 64) - 1
_ONE_BY_ONE_BYTES = 1 << 14
_DECODED_RECORDS = 1 << 10  # at a time: one call for many is cheaper


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The commits that a digest covers: those that end at a position, and up to a commit."""

    position: int
    commit: int


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that ought to be there, and what is known of it from outside; None: not known."""

    genesis_id: bytes
    segment_number: int
    file_name: str
    base_position: int
    base_commit: int | None = None
    last_position: int | None = None
    last_commit: int | None = None
    entry: SealedSegment | None = None  # as the manifest lists it
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
            self.last_commit,
            self.visible_offset,
        )


def whole_range(target: Target) -> tuple[PositionRange, ...]:
    """All positions of a segment, as far as its end is known."""
    if target.last_position is None:
        return ()
    return joined([(target.base_position, target.last_position)])


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
    lost = () if target.entry is None else target.entry.lost or ()
    walk = CommitWalk(file, lost=lost, visible_offset=target.visible_offset)
    gathered = _Gathered(
        walk, bound, is_inside=_is_inside(target, bound), is_indexed=target.entry is not None
    )
    # Commits of cooled segments are read as fast one by one.
    is_raw = target.entry is None or not target.entry.revision
    _gather(walk, gathered, file.size_bytes() if is_raw else 0, target.visible_offset)
    gathered.decode()
    if walk.checkpoint is None:
        raise CorruptionError(
            file.path, SEGMENT_HEADER_BYTES, expected="a checkpoint frame", found="another"
        )
    walk.tracking_before()  # raises if it is no table
    digest = gathered.digest.digest()
    if walk.end is not None:
        walk.check_digest(digest)
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


def _gather(
    walk: CommitWalk, gathered: _Gathered, bulk_end: int, visible_offset: int | None
) -> None:
    """Walk all commits: many at once where that can be, else one by one."""
    if not bulk_end:
        for commit in walk:
            gathered.add(commit)
        return
    with fork_waits:
        from aurora_es.segment.bulk import take_batch

    if visible_offset is not None:
        bulk_end = min(bulk_end, visible_offset)
    commits = iter(walk)
    patience = 0  # how far to go one by one, behind the first, before many are tried again
    while True:
        resume_at = walk.chain.offset + patience
        for commit in commits:
            gathered.add(commit)
            if walk.chain.offset >= resume_at:
                break
        else:
            return
        is_any = False
        while gathered.takes_batches and (batch := take_batch(walk, bulk_end)) is not None:
            gathered.add_batch(batch)
            is_any = True
        if is_any:
            commits = iter(walk)  # from the walk's new place
        patience = 0 if is_any else max(2 * patience, _ONE_BY_ONE_BYTES)


class _Gathered:
    """What is learned of a segment while it is walked."""

    def __init__(
        self, walk: CommitWalk, bound: Bound, *, is_inside: bool, is_indexed: bool
    ) -> None:
        """Begin with none; ``is_inside``: no commit can be outside of the bound."""
        header = walk.file.header
        self.digest = LogicalDigest()
        self.collector: PostingCollector | None = None
        if is_indexed:
            with fork_waits:
                from aurora_es.index.collect import PostingCollector
            self.collector = PostingCollector(header.genesis_id, header.base_position)
        self.first_timestamp = self.last_timestamp = 0
        self._walk = walk
        self._bound = bound
        self.takes_batches = is_inside
        self._bounded: tuple[bytes, int, int] | None = None
        self._undecoded: list[Raw] = []
        self._first = header.base_position  # position of the first of these
        self._within = False  # a commit inside the bound was met, and none outside of it
        self._position, self._number = header.base_position - 1, header.base_commit - 1

    def add(self, commit: SegmentCommit) -> None:
        """Take the next commit; raises CorruptionError if records do not decode."""
        number, _, timestamp, _, first, records = commit
        last = first + len(records) - 1
        if self.takes_batches:
            self._within = True
        else:
            bound = self._bound
            is_inside = max(first, last) <= bound.position and number <= bound.commit
            if self._within and not is_inside:
                self._bounded = self.digest.digest(), self._position, self._number
            self._within = is_inside
        self.digest.add(commit)
        self._position, self._number = last, number
        self.last_timestamp = timestamp
        self.first_timestamp = self.first_timestamp or timestamp
        if self.collector is not None:
            if first != self._first + len(self._undecoded):
                self.decode()  # those before a hole
                self._first = first
            self._undecoded += records
            if len(self._undecoded) >= _DECODED_RECORDS:
                self.decode()

    def decode(self) -> None:
        """Decode the records taken so far; raises CorruptionError if they do not."""
        undecoded, self._undecoded = self._undecoded, []
        if self.collector is None or not undecoded:
            return
        try:
            records = [*map(decode_record, undecoded)]
        except UNDECODABLE as error:
            raise CorruptionError(
                self._walk.file.path,
                self._walk.chain.offset,
                expected="records in front of this offset",
                found=str(error),
            ) from error
        self.collector.add(self._first, records)
        self._first += len(records)

    def add_batch(self, batch: Batch) -> None:
        """Take many commits, none of which is outside the bound."""
        self.decode()
        self._within = True
        self.digest.add_encoded(batch.digested)
        self._position, self._number = batch.last_position, batch.last_commit
        self.last_timestamp = batch.last_timestamp
        self.first_timestamp = self.first_timestamp or batch.first_timestamp
        if self.collector is not None and batch.records:
            self.collector.add(batch.first_position, batch.records)

    def at_the_end(self, digest: bytes) -> tuple[bytes, int, int] | None:
        """Digest, last position and last commit of the commits inside the bound."""
        return (digest, self._position, self._number) if self._within else self._bounded


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
    lost = () if target.entry is None else target.entry.lost or ()
    for commit in CommitWalk(file, lost=lost):
        if commit.records:
            collector.add(commit.first_position, [*map(decode_record, commit.records)])
    return collector.postings()
